// SPDX-License-Identifier: ISC
/* `monitor`, time: where in its run the guest is, and to other places of it. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "err.h"
#include "gdb_monitor.h"
#include "gdb_vm.h"
#include "history.h"
#include "vm.h"

enum { PLACE_LEN = 80 };

static bool has_history(const struct gdb_vm *g, FILE *out)
{
	if (!g->history)
		fprintf(out, "there is no way back here: %s\n", g->no_way_back.text);
	return g->history != NULL;
}

/* ---- places ---- */

/* As goto takes it, but for the last two words. */
static const char *place_text(const struct history_pos *pos, char buf[PLACE_LEN])
{
	static const char *const stages[] = { [PLACE_ANSWERED] = ", behind the answer",
		[PLACE_PLAIN] = "",
		[PLACE_ASKED] = ", in the next call",
		[PLACE_ENDED] = ", at the end" };

	if (pos->insns == HISTORY_UNKNOWN)
		snprintf(buf, PLACE_LEN, "%" PRIu64 "+?%s", pos->calls, stages[pos->stage]);
	else
		snprintf(buf, PLACE_LEN, "%" PRIu64 "+%" PRIu64 "%s", pos->calls, pos->insns,
			stages[pos->stage]);
	return buf;
}

static void when(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	struct history_pos now, begin, end;
	struct history_stat stat;
	char text[PLACE_LEN];
	bool unanswered; /* by a recording that has no more, or another call */

	(void)w;
	if (!g->history) {
		fprintf(out, "%" PRIu64 " calls were made", g->vm->n_calls);
		if (g->vm->cpu->ops->icount)
			fprintf(out, ", %" PRIu64 " instructions", backend_icount(g->vm->cpu));
		fputs("; ", out);
		has_history(g, out);
		return;
	}
	history_now(g->history, &now);
	history_end(g->history, &end);
	history_stat(g->history, &stat);
	unanswered = now.stage == PLACE_ENDED && now.calls && g->vm->stop.kind == VM_KICKED;
	fprintf(out, "at %s: %" PRIu64 " calls answered, ", place_text(&now, text),
		now.calls - unanswered);
	if (unanswered)
		fprintf(out, "call %" PRIu64 " is not\n", now.calls - 1);
	else if (now.insns == HISTORY_UNKNOWN)
		fputs("instructions since then not counted\n", out);
	else
		fprintf(out, "%" PRIu64 " instructions since\n", now.insns);
	if (history_in_past(g->history))
		fprintf(out, "this is the past; the present is at %s\n", place_text(&end, text));
	fprintf(out, "writes in the past are %s\n",
		g->diverge ? "let through, and what came behind is forgotten" : "refused");
	history_begin(g->history, &begin);
	if (stat.forgotten || begin.calls || begin.insns || g->uncounted)
		fprintf(out, "the way back begins at %s: %s\n", place_text(&begin, text),
			stat.forgotten ? "what was before took too much memory"
			: g->uncounted ? "until the next call, instructions are counted from there"
				       : "no debugger was there before");
	fprintf(out, "kept: %" PRIu64 " answers and %zu states, %zu KiB\n", stat.calls,
		stat.checkpoints, stat.bytes >> 10);
}

/* ---- going ---- */

/* gdb keeps what it has read of registers and of the stack, and nobody tells it of this. */
static void look_again(FILE *out)
{
	fputs("gdb does not know it yet. Type there:\n  maintenance flush register-cache\n  "
	      "maintenance flush dcache\n",
		out);
}

static void arrived(struct gdb_vm *g, FILE *out)
{
	bool gone = g->stop.kind != GDB_STOPPED; /* gdb was told, and asks no more */
	struct history_pos now;
	struct cpu_regs regs;
	char text[PLACE_LEN];

	g->ended = false; /* who goes on from the end is told of it again */
	g->stop = (struct gdb_stop){
		.kind = GDB_STOPPED, .why = GDB_WHY_SIGNAL, .signal = GDB_SIG_TRAP
	};
	history_now(g->history, &now);
	if (!g->ops.get_regs(g, &regs))
		fprintf(out, "at %s, RIP 0x%" PRIx64 "\n", place_text(&now, text), regs.rip);
	if (gone)
		fputs("gdb takes the guest for gone. Type there:\n  attach 1\n", out);
	else
		look_again(out);
}

/* As far as it must run for there to be such a place. */
static int run_on(struct gdb_vm *g, const struct history_pos *pos)
{
	struct history_pos end;
	int r;

	history_end(g->history, &end);
	if (pos->calls < end.calls || (pos->calls == end.calls && pos->insns <= end.insns))
		return 0;
	if (end.stage == PLACE_ENDED)
		return err_set(
			&g->err, -ERANGE, "the guest ended after %" PRIu64 " calls", end.calls);
	/* Where nobody counts, a place behind the last call need not be known: it runs there from here. */
	r = end.stage == PLACE_PLAIN && end.insns == HISTORY_UNKNOWN
		    ? 0
		    : history_seek(g->history, &end, &g->err);
	if (!r)
		r = gdb_vm_run_to(g, pos->calls, pos->insns);
	history_now(g->history, &end);
	return !r && end.stage == PLACE_ASKED && end.calls == pos->calls
		       ? err_set(&g->err, -ERANGE,
				 "there is no such place: call %" PRIu64 " comes before it",
				 pos->calls)
		       : r;
}

int gdb_monitor_go(struct gdb_vm *g, const struct history_pos *pos)
{
	int r;

	g->link.watch(g->link.ctx, true);
	r = run_on(g, pos);
	if (!r)
		r = history_seek(g->history, pos, &g->err);
	g->link.watch(g->link.ctx, false);
	return r == -EINTR ? err_set(&g->err, r, "interrupted") : r;
}

static struct gdb_mark *find_mark(struct gdb_vm *g, uint64_t number)
{
	for (size_t i = 0; i < g->monitor.n_marks; i++)
		if (g->monitor.marks[i].number == number)
			return &g->monitor.marks[i];
	return NULL;
}

/* "c1" */
static bool take_mark(struct gdb_vm *g, FILE *out, const char *word, struct history_pos *pos)
{
	const struct gdb_mark *mark;
	uint64_t number;

	if (!gdb_monitor_number(
		    out, word + 1, "the number of a checkpoint", 1, UINT64_MAX, &number))
		return false;
	mark = find_mark(g, number);
	if (mark)
		*pos = mark->pos;
	else
		fprintf(out, "there is no checkpoint %" PRIu64 "; monitor checkpoint list\n",
			number);
	return mark;
}

/* "12" or "12+345" */
static bool take_count(FILE *out, const char *word, struct history_pos *pos)
{
	const char *plus = strchrnul(word, '+');
	char calls[24] = "";
	size_t len = (size_t)(plus - word);

	/* No number is that long; what is no place is shown whole. */
	memcpy(calls, word, len < sizeof(calls) ? len : 0);
	*pos = (struct history_pos){ .stage = PLACE_PLAIN };
	return gdb_monitor_number(out, calls[0] >= '0' && calls[0] <= '9' ? calls : word,
		       "begin, end, a checkpoint such as c1, or CALLS[+INSNS]", 0, UINT64_MAX - 2,
		       &pos->calls) &&
	       (!*plus ||
		       gdb_monitor_number(out, plus[1] ? plus + 1 : word,
			       "instructions behind the +", 0, HISTORY_AT_CALL - 1, &pos->insns));
}

bool gdb_monitor_place(struct gdb_vm *g, FILE *out, const char *word, struct history_pos *pos)
{
	if (!strcmp(word, "begin"))
		history_begin(g->history, pos);
	else if (!strcmp(word, "end"))
		history_end(g->history, pos);
	else
		return *word == 'c' ? take_mark(g, out, word, pos) : take_count(out, word, pos);
	return true;
}

static void do_goto(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	struct history_pos pos;

	if (!has_history(g, out) || !gdb_monitor_place(g, out, w->list[0], &pos))
		return;
	if (gdb_monitor_go(g, &pos))
		fprintf(out, "%s\n", g->err.text);
	arrived(g, out);
}

static void run(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	struct gdb_resume how = { 0 };
	struct gdb_stop stop;
	struct cpu_regs regs;

	if (!gdb_monitor_number(
		    out, w->list[0], "how many instructions", 1, UINT32_MAX, &how.insns))
		return;
	if (!g->vm->cpu->ops->icount) {
		fprintf(out,
			"%s does not count instructions; gdb's `stepi N` makes N steps, and "
			"--backend tcg counts\n",
			g->vm->cpu->ops->name);
		return;
	}
	if (g->ended) {
		fputs("the guest is at its end\n", out);
		return;
	}
	g->ops.resume(g, &how, &stop);
	fputs(stop.text, out);
	if (stop.kind == GDB_EXITED)
		fprintf(out, "the guest ended with exit code %d\n", stop.code);
	else if (!g->ops.get_regs(g, &regs))
		fprintf(out, "RIP 0x%" PRIx64 ", %" PRIu64 " instructions since the start\n",
			regs.rip, backend_icount(g->vm->cpu));
	look_again(out);
}

static void diverge(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	if (!has_history(g, out) || !gdb_monitor_switch(out, w->list[0], &g->diverge))
		return;
	fprintf(out,
		g->diverge
			? "a write in the past forgets what came behind it; files of the host stay "
			  "as they are\n"
			: "writes in the past are refused\n");
}

static void stop_at_exit(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	if (!gdb_monitor_switch(out, w->list[0], &g->stop_at_exit))
		return;
	fprintf(out, "stop-at-exit is %s%s\n", g->stop_at_exit ? "on" : "off",
		g->stop_at_exit && !g->history ? ", but there is no way back from there" : "");
}

/* ---- checkpoints: places with a number ---- */

static void checkpoint(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	struct gdb_monitor *m = &g->monitor;
	struct gdb_mark *mark = &m->marks[m->n_marks];
	char text[PLACE_LEN];

	(void)w;
	if (!has_history(g, out))
		return;
	if (m->n_marks == GDB_MARKS_MAX) {
		fprintf(out, "there are %d checkpoints already; delete one\n", GDB_MARKS_MAX);
		return;
	}
	if (history_locate(g->history, &g->err)) {
		fprintf(out, "%s\n", g->err.text);
		return;
	}
	mark->number = ++m->last_mark;
	history_now(g->history, &mark->pos);
	m->n_marks++;
	fprintf(out, "checkpoint %" PRIu64 " at %s; monitor goto c%" PRIu64 " comes back to it\n",
		mark->number, place_text(&mark->pos, text), mark->number);
}

static void checkpoint_list(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	char text[PLACE_LEN];

	(void)w;
	if (!has_history(g, out))
		return;
	if (!g->monitor.n_marks)
		fputs("no checkpoints\n", out);
	for (size_t i = 0; i < g->monitor.n_marks; i++)
		fprintf(out, "%4" PRIu64 "  %s\n", g->monitor.marks[i].number,
			place_text(&g->monitor.marks[i].pos, text));
}

static void checkpoint_delete(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	struct gdb_monitor *m = &g->monitor;
	struct gdb_mark *mark;
	uint64_t number;

	if (!has_history(g, out) || !gdb_monitor_number(out, w->list[0],
					    "the number of a checkpoint", 1, UINT64_MAX, &number))
		return;
	mark = find_mark(g, number);
	if (!mark) {
		fprintf(out, "there is no checkpoint %" PRIu64 "; monitor checkpoint list\n",
			number);
		return;
	}
	memmove(mark, mark + 1, (size_t)(m->marks + m->n_marks - mark - 1) * sizeof(*mark));
	m->n_marks--;
	fprintf(out, "checkpoint %" PRIu64 " is deleted\n", number);
}

void gdb_monitor_forget_marks(struct gdb_vm *g)
{
	struct gdb_monitor *m = &g->monitor;
	struct history_pos here;
	size_t kept = 0;

	history_now(g->history, &here);
	for (size_t i = 0; i < m->n_marks; i++)
		if (history_compare(&m->marks[i].pos, &here) <= 0)
			m->marks[kept++] = m->marks[i];
	m->n_marks = kept;
}

const struct gdb_command gdb_commands_time[] = {
	{ "when", "",
		"where in its run the guest is\n"
		"CALLS+INSNS: hypercalls that were answered, and instructions since the last of "
		"them.",
		0, 0, when },
	{ "goto", "PLACE",
		"go to another place of its run, back or forth\n"
		"Where it has not been yet, it runs on until it is there. PLACE is begin, end, the "
		"number "
		"of hypercalls\n"
		"that are answered, 12, and instructions done since, 12+345; or a checkpoint, c1. "
		"gdb is not "
		"told: it\n"
		"looks again after maintenance flush register-cache and maintenance flush dcache "
		"(belljar goto "
		"of\n"
		"belljar-gdb.py does that).",
		1, 1, do_goto },
	{ "run", "N",
		"run exactly N instructions, if nothing stops it before; only on tcg\n"
		"gdb takes its breakpoints and watchpoints out whenever the guest stops: they "
		"count "
		"here only\n"
		"after set breakpoint always-inserted on.",
		1, 1, run },
	{ "checkpoint", "", "remember this place", 0, 0, checkpoint },
	{ "checkpoint list", "", "the places that are remembered", 0, 0, checkpoint_list },
	{ "checkpoint delete", "N", "forget one of them", 1, 1, checkpoint_delete },
	{ "stop-at-exit", "on|off",
		"stop where the guest ends, for there is a way back\n"
		"It stays there until it is killed or left, and then has the exit code that it "
		"gave.\n"
		"On from the start when a recording is replayed.",
		1, 1, stop_at_exit },
	{ "diverge", "on|off",
		"whether the past may be changed\n"
		"on: when registers or memory are written in the past, all that came behind is "
		"forgotten,\n"
		"and the guest goes on live from there. What it did to files of the host stays "
		"done, and what\n"
		"it has open is what is open at the present: a file that it closed since gives "
		"EBADF.",
		1, 1, diverge },
	{ 0 },
};
