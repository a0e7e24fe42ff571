// SPDX-License-Identifier: ISC
/*
 * Running: one function drives the machine, gdb_vm_resume(), which runs until there is something to tell; what the backend
 * stops for and nobody wants to know (a condition that is false, a step within the range) it runs on from.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "edits.h"
#include "gdb_agent.h"
#include "gdb_vm_parts.h"
#include "history.h"
#include "report.h"
#include "session.h"
#include "ticker.h"

/* What is to be done about a stop of the machine. */
enum verdict { GO_ON, TELL };

/* ---- conditions and commands of a breakpoint ---- */

static int agent_reg(void *ctx, unsigned n, uint64_t *value)
{
	struct gdb_vm *g = ctx;
	uint8_t bytes[GDB_REG_MAX] = { 0 };
	struct gdb_counts counts;
	struct cpu_state state;

	if (!gdb_reg_size(g->ops.has_avx, n))
		return -EINVAL;
	if (n <= GDB_EFLAGS) { /* what conditions ask for; all of it costs more */
		if (gdb_vm_get_regs(g, &state.regs))
			return -EIO;
		counts = (struct gdb_counts){ 0 };
	} else if (gdb_vm_get_state(g, &state, &counts)) {
		return -EIO;
	}
	gdb_reg_get(&state, &counts, n, bytes);
	memcpy(value, bytes, sizeof(*value));
	return 0;
}

static int agent_read(void *ctx, uint64_t gva, void *buf, size_t len)
{
	return gdb_vm_read(ctx, false, gva, buf, len) == len ? 0 : -EFAULT;
}

static void agent_print(void *ctx, const char *text, size_t len)
{
	struct gdb_vm *g = ctx;

	g->link.say(g->link.ctx, text, len);
}

/* The value; an expression that cannot be evaluated is said, and counts as true. */
static uint64_t evaluate(struct gdb_vm *g, const struct gdb_code *code, struct gdb_stop *stop)
{
	struct gdb_agent_env env = { g, agent_reg, agent_read, agent_print };
	const char *why = "";
	uint64_t value;
	int r = gdb_agent_eval(code->bytes, code->len, &env, &value, &why);

	if (!r)
		return value;
	snprintf(stop->text, sizeof(stop->text),
		"The expression of this breakpoint cannot be evaluated: %s.\n", why);
	return 1;
}

static bool condition_holds(struct gdb_vm *g, const struct gdb_point *p, struct gdb_stop *stop)
{
	bool holds = !p->n_conditions;

	for (size_t i = 0; i < p->n_conditions && !holds; i++)
		holds = evaluate(g, &p->conditions[i], stop) != 0;
	return holds;
}

/* ---- forward ---- */

static const struct vm_stop *go(struct gdb_vm *g, const struct vcpu_debug *debug)
{
	int r;

	session_go_on();
	g->at_call = false;
	if (g->history)
		return history_run(g->history, debug);
	if (g->session->edits)
		return edits_run(g->session->edits, debug);
	r = backend_set_debug(g->vm->cpu, debug);
	if (!r)
		return vm_run(g->vm);
	vm_stop_set(g->vm, VM_FAILED, "breakpoints: %s", strerrordesc_np(-r));
	return &g->vm->stop;
}

void gdb_stop_is(struct gdb_stop *stop, enum gdb_why why, int signal, uint64_t value)
{
	stop->kind = GDB_STOPPED;
	stop->why = why;
	stop->signal = signal;
	stop->value = value;
}

/* Commands instead of a stop; one that cannot be evaluated is told after all. */
static bool runs_commands(struct gdb_vm *g, const struct gdb_point *p, struct gdb_stop *stop)
{
	if (!p->n_commands || stop->text[0])
		return false;
	for (size_t i = 0; i < p->n_commands; i++)
		evaluate(g, &p->commands[i], stop);
	return !stop->text[0];
}

/* All breakpoints at this address: what they want to be run, is run, but for the way back. */
static enum verdict at_breakpoint(struct gdb_vm *g, uint64_t rip, bool back, struct gdb_stop *stop)
{
	enum verdict verdict = GO_ON;
	const struct gdb_point *p;

	for (size_t i = 0; (p = gdb_points_break_at(&g->points, rip, i));
		i = (size_t)(p - g->points.list) + 1) {
		if ((back && p->n_commands) || !condition_holds(g, p, stop) ||
			runs_commands(g, p, stop))
			continue;
		gdb_stop_is(stop,
			p->kind == GDB_BREAK_HARD ? GDB_WHY_BREAK_HARD : GDB_WHY_BREAK_SOFT,
			GDB_SIG_TRAP, rip);
		verdict = TELL;
	}
	return verdict;
}

static enum verdict at_watchpoint(
	struct gdb_vm *g, const struct vcpu_exit *exit, struct gdb_stop *stop)
{
	static const enum gdb_why whys[] = { [GDB_WATCH_WRITE] = GDB_WHY_WATCH,
		[GDB_WATCH_READ] = GDB_WHY_RWATCH,
		[GDB_WATCH_ACCESS] = GDB_WHY_AWATCH };
	const struct gdb_point *p = gdb_points_watch_at(&g->points, exit->addr, exit->wrote);

	gdb_stop_is(
		stop, p ? whys[p->kind] : GDB_WHY_WATCH, GDB_SIG_TRAP, p ? p->addr : exit->addr);
	return TELL;
}

/* gdb's numbers of Linux's signals that a crash may be. */
static int gdb_signal_of(int signal)
{
	static const struct {
		int linux_one, gdb;
	} rows[] = { { SIGILL, GDB_SIG_ILL }, { SIGTRAP, GDB_SIG_TRAP }, { SIGABRT, GDB_SIG_ABRT },
		{ SIGFPE, GDB_SIG_FPE }, { SIGBUS, GDB_SIG_BUS }, { SIGSYS, GDB_SIG_SYS } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].linux_one == signal)
			return rows[i].gdb;
	return GDB_SIG_SEGV;
}

/* Before the guest's handler, if it has one, sees anything of it. */
static enum verdict at_exception(struct gdb_vm *g, struct gdb_stop *stop)
{
	struct cpu_state state;
	char text[200];
	int signal = SIGSEGV;

	if (!backend_save(g->vm->cpu, &state)) {
		signal = report_exception(&state, text, sizeof(text));
		snprintf(stop->text, sizeof(stop->text), "The guest raised %s.\n", text);
	}
	gdb_stop_is(stop, GDB_WHY_SIGNAL, gdb_signal_of(signal), 0);
	return TELL;
}

static enum verdict judge(struct gdb_vm *g, const struct gdb_resume *how, const struct vm_stop *s,
	struct gdb_stop *stop);

/* What an interrupt leaves on the stack: SDM 3A 6.14.2. */
struct interrupt_frame {
	uint64_t rip, cs, rflags, rsp, ss;
};

/* With one more breakpoint than gdb has set. */
static const struct vm_stop *go_until(struct gdb_vm *g, uint64_t rip)
{
	struct vcpu_debug debug = gdb_points_debug(&g->points);
	uint64_t *breaks = malloc((debug.n_breaks + 1) * sizeof(*breaks));
	const struct vm_stop *s;

	if (!breaks) {
		vm_stop_set(g->vm, VM_FAILED, "out of memory");
		return &g->vm->stop;
	}
	if (debug.n_breaks)
		memcpy(breaks, debug.breaks, debug.n_breaks * sizeof(*breaks));
	breaks[debug.n_breaks++] = rip;
	debug.breaks = breaks;
	s = go(g, &debug);
	free(breaks);
	return s;
}

/* A step that ended in a handler, which nobody wants to see, goes on where it was interrupted. */
static enum verdict over_handler(
	struct gdb_vm *g, const struct gdb_resume *how, struct gdb_stop *stop)
{
	enum verdict verdict = GO_ON;
	struct interrupt_frame frame;
	const struct vm_stop *s;
	struct cpu_regs regs;

	if (gdb_vm_get_regs(g, &regs) ||
		gdb_vm_read(g, false, regs.gpr[CPU_RSP], &frame, sizeof(frame)) != sizeof(frame)) {
		gdb_stop_is(stop, GDB_WHY_SIGNAL, GDB_SIG_TRAP, 0);
		return TELL;
	}
	g->link.watch(g->link.ctx, true);
	do {
		s = go_until(g, frame.rip);
		if (s->kind == VM_DEBUG && s->exit.why == VCPU_BREAKPOINT &&
			s->exit.rip == frame.rip && !gdb_vm_get_regs(g, &regs) &&
			regs.gpr[CPU_RSP] == frame.rsp)
			break;
		verdict = judge(g, how, s, stop);
	} while (verdict == GO_ON);
	g->link.watch(g->link.ctx, false);
	return verdict;
}

/* One instruction is over: is it enough? A breakpoint in the range counts for more. */
static enum verdict at_step(struct gdb_vm *g, const struct gdb_resume *how,
	const struct vcpu_exit *exit, struct gdb_stop *stop)
{
	bool ranged = how->range_end > how->range_start;
	uint64_t rip = exit->rip;

	if (exit->interrupt && !g->shows_interrupts)
		return over_handler(g, how, stop);
	if (ranged && gdb_points_break_at(&g->points, rip, 0))
		return at_breakpoint(g, rip, false, stop);
	if (ranged && rip >= how->range_start && rip < how->range_end)
		return GO_ON;
	gdb_stop_is(stop, GDB_WHY_SIGNAL, GDB_SIG_TRAP, 0);
	return TELL;
}

static bool is_step(const struct vm_stop *stop)
{
	return stop->kind == VM_DEBUG && stop->exit.why == VCPU_STEP;
}

/*
 * Its line in the log, which ends with a newer one when this is the past; described anew when it is there no more, not
 * at all when it was shown just now.
 */
static void tell_answer(const struct gdb_vm *g, const struct hcall *call, struct gdb_stop *stop)
{
	for (uint64_t i = g->n_log; i && g->n_log - i < GDB_LOG_LINES; i--) {
		const struct gdb_log_line *line = &g->log[(i - 1) % GDB_LOG_LINES];

		if (line->seq != call->seq)
			continue;
		if (!g->shown || i != g->n_log)
			snprintf(stop->text, sizeof(stop->text), "%s", line->text);
		return;
	}
	strace_describe(g->vm, call, stop->text, sizeof(stop->text));
}

/* Behind a call's answer the CPU still stands at its instruction: it is finished, and then told. */
static enum verdict at_call(struct gdb_vm *g, struct gdb_stop *stop)
{
	const struct hcall *call = &g->vm->call;
	uint64_t number = gdb_call_number(g->vm, call->row);

	if (!call->answered) {
		gdb_stop_is(stop, GDB_WHY_CALL_ENTRY, GDB_SIG_TRAP, number);
		strace_describe(g->vm, call, stop->text, sizeof(stop->text));
		return TELL;
	}
	gdb_stop_is(stop, GDB_WHY_CALL_RETURN, GDB_SIG_TRAP, number);
	tell_answer(g, call, stop);
	g->at_call = is_step(go(g, &(struct vcpu_debug){ .step = true }));
	return TELL;
}

/* The user wants it to stop, or is gone; or something else came, which can wait. */
static enum verdict at_pause(struct gdb_vm *g, struct gdb_stop *stop)
{
	if (g->link.poll(g->link.ctx) == GDB_POLL_NOTHING)
		return GO_ON;
	gdb_stop_is(stop, GDB_WHY_SIGNAL, GDB_SIG_INT, 0);
	return TELL;
}

/*
 * gdb (13 and 16) never comes out of a step over a breakpoint that is answered by the end of what there is: such a step is
 * one, and the next packet is told.
 */
static bool may_step_over(const struct gdb_resume *how)
{
	return how->step && how->alone && how->range_end <= how->range_start;
}

/* The end is a place like others, as long as nobody goes on behind it. */
static enum verdict at_known_end(struct gdb_vm *g, const struct gdb_resume *how,
	const struct vm_stop *s, struct gdb_stop *stop)
{
	bool step = may_step_over(how);

	gdb_stop_is(stop, step ? GDB_WHY_SIGNAL : GDB_WHY_END, GDB_SIG_TRAP, 0);
	if (s->kind == VM_EXITED)
		snprintf(stop->text, sizeof(stop->text), "Here the guest exits with code %d.\n",
			s->code);
	else
		snprintf(stop->text, sizeof(stop->text), "%s\n", s->text);
	if (g->stepped_to_end) /* and said it */
		stop->text[0] = 0;
	g->stepped_to_end = step;
	return TELL;
}

static void tell_crash(struct gdb_vm *g, struct gdb_stop *stop)
{
	FILE *out = fmemopen(stop->text, sizeof(stop->text) - 1, "w");

	if (!out)
		return;
	fprintf(out, "The guest crashed: %s\n", g->vm->stop.text);
	stop->signal = gdb_signal_of(report_cause(g->vm, out));
	fclose(out);
}

/* Has it come to where it goes on no more, but not by a fault? */
static bool is_over(const struct gdb_vm *g, const struct vm_stop *s)
{
	return s->kind == VM_EXITED || (s->kind == VM_KICKED && g->replays);
}

/* The guest is at its end. A crash is told first as a signal, with all that there is to look at. */
static enum verdict at_end(struct gdb_vm *g, const struct gdb_resume *how, const struct vm_stop *s,
	struct gdb_stop *stop)
{
	if (g->stop_at_exit && !session_stopping() && is_over(g, s))
		return at_known_end(g, how, s, stop);
	g->ended = true;
	if (s->kind == VM_EXITED) {
		stop->kind = GDB_EXITED;
		stop->code = s->code;
		return TELL;
	}
	if (s->kind == VM_CRASHED) {
		gdb_stop_is(stop, GDB_WHY_SIGNAL, GDB_SIG_SEGV, 0);
		tell_crash(g, stop);
		return TELL;
	}
	session_why(g->session, s, stop->text, sizeof(stop->text));
	stop->kind = GDB_ENDED;
	stop->signal = s->kind == VM_KICKED ? GDB_SIG_KILL : GDB_SIG_ABRT;
	return TELL;
}

static enum verdict judge(struct gdb_vm *g, const struct gdb_resume *how, const struct vm_stop *s,
	struct gdb_stop *stop)
{
	switch (s->kind) {
	case VM_DEBUG:
		if (s->exit.why == VCPU_BREAKPOINT)
			return at_breakpoint(g, s->exit.rip, false, stop);
		if (s->exit.why == VCPU_WATCHPOINT)
			return at_watchpoint(g, &s->exit, stop);
		if (s->exit.why == VCPU_EXCEPTION)
			return at_exception(g, stop);
		if (s->exit.why == VCPU_COUNTED) {
			gdb_stop_is(stop, GDB_WHY_SIGNAL, GDB_SIG_TRAP, 0);
			return TELL;
		}
		return at_step(g, how, &s->exit, stop);
	case VM_CALL:
		return at_call(g, stop);
	case VM_PAUSED:
		return at_pause(g, stop);
	case VM_EXITED:
	case VM_CRASHED:
	case VM_KICKED:
	case VM_FAILED:
	case VM_RUNNING:
	case VM_STOP_COUNT:
		break;
	}
	return at_end(g, how, s, stop);
}

/*
 * Backends pass a breakpoint where they go on from. gdb takes it away before it does so: one that it has set there again is
 * to be met, as after a jump. Who leaves it where it is has been told of it, and wants to go on.
 */
static bool met_at_once(struct gdb_vm *g, struct gdb_stop *stop)
{
	struct cpu_regs regs;

	return g->points.n && !gdb_vm_get_regs(g, &regs) &&
	       !(g->told_stays && regs.rip == g->stop.value) &&
	       at_breakpoint(g, regs.rip, false, stop) == TELL;
}

/* Runs on until there is something to tell. */
static void run_until_told(struct gdb_vm *g, const struct gdb_resume *how, struct gdb_stop *stop)
{
	struct vcpu_debug debug = gdb_points_debug(&g->points);

	if (!how->step && !how->insns && met_at_once(g, stop))
		return;
	debug.step = how->step;
	if (how->insns)
		debug.until = backend_icount(g->vm->cpu) + how->insns;
	while (judge(g, how, go(g, &debug), stop) == GO_ON)
		;
}

/* ---- back ---- */

/* Of the stops on the way back, the ones that gdb would be told of. */
static bool wanted(void *ctx, struct vm *vm, const struct vm_stop *s)
{
	struct gdb_stop unused = { 0 };

	(void)vm;
	return s->kind != VM_DEBUG || s->exit.why != VCPU_BREAKPOINT ||
	       at_breakpoint(ctx, s->exit.rip, true, &unused) == TELL;
}

/* Where the way back has ended, as gdb is told of it. */
static void told_back(struct gdb_vm *g, struct gdb_stop *stop)
{
	const struct vm_stop *s = &g->vm->stop;

	gdb_stop_is(stop, GDB_WHY_SIGNAL, GDB_SIG_TRAP, 0);
	if (s->kind == VM_CALL) {
		gdb_stop_is(stop, g->vm->call.answered ? GDB_WHY_CALL_RETURN : GDB_WHY_CALL_ENTRY,
			GDB_SIG_TRAP, gdb_call_number(g->vm, g->vm->call.row));
		if (g->vm->call.answered)
			tell_answer(g, &g->vm->call, stop);
		else
			strace_describe(g->vm, &g->vm->call, stop->text, sizeof(stop->text));
	} else if (s->kind == VM_DEBUG && s->exit.why == VCPU_WATCHPOINT) {
		at_watchpoint(g, &s->exit, stop);
	} else if (s->kind == VM_DEBUG && s->exit.why == VCPU_BREAKPOINT) {
		at_breakpoint(g, s->exit.rip, true, stop);
	}
}

static void go_back(struct gdb_vm *g, const struct gdb_resume *how, struct gdb_stop *stop)
{
	struct vcpu_debug debug = gdb_points_debug(&g->points);
	struct history_back back = {
		.step = how->step, .debug = &debug, .wanted = wanted, .ctx = g
	};
	int r;

	debug.exceptions = 0; /* seen going forward */
	session_go_on();
	g->way_began_ns = monotonic_ns();
	r = history_back(g->history, &back, &g->err);
	g->way_began_ns = 0;
	g->ended = false;
	if (r == HISTORY_BEGIN)
		gdb_stop_is(stop, GDB_WHY_BEGIN, GDB_SIG_TRAP, 0);
	else if (r == HISTORY_STOPPED)
		told_back(g, stop);
	else
		gdb_stop_is(stop, GDB_WHY_SIGNAL, r == -EINTR ? GDB_SIG_INT : GDB_SIG_TRAP, 0);
	if (r < 0 && r != -EINTR)
		snprintf(stop->text, sizeof(stop->text), "%s\n", g->err.text);
}

/* ---- either way ---- */

/* Told before, as a signal: now it is gone. */
static void is_gone(struct gdb_vm *g, struct gdb_stop *stop)
{
	*stop = g->stop = (struct gdb_stop){ .kind = GDB_ENDED,
		.signal = g->stop.signal ? g->stop.signal : GDB_SIG_KILL };
}

void gdb_vm_resume(void *target, const struct gdb_resume *how, struct gdb_stop *stop)
{
	struct gdb_vm *g = target;
	bool short_way = how->step && !how->reverse && how->range_end <= how->range_start;
	bool looks = !how->step && !how->reverse;

	*stop = (struct gdb_stop){ 0 };
	if (g->ended && !how->reverse)
		return is_gone(g, stop);
	g->shown = false;
	if (looks)
		gdb_vm_see_code(g);
	if (!short_way)
		g->link.watch(g->link.ctx, true);
	if (!short_way && g->link.poll(g->link.ctx) != GDB_POLL_NOTHING)
		gdb_stop_is(stop, GDB_WHY_SIGNAL, GDB_SIG_INT, 0); /* it came with the packet */
	else if (how->reverse)
		go_back(g, how, stop);
	else
		run_until_told(g, how, stop);
	if (!short_way)
		g->link.watch(g->link.ctx, false);
	if (looks && stop->kind == GDB_STOPPED)
		gdb_vm_tell_code(g);
	g->stepped_to_end &= is_over(g, &g->vm->stop);
	g->stop = *stop;
	g->told_stays = stop->kind == GDB_STOPPED &&
			(stop->why == GDB_WHY_BREAK_SOFT || stop->why == GDB_WHY_BREAK_HARD);
}

/* What it is paused for may wait. */
static const struct vm_stop *go_unpaused(struct gdb_vm *g, const struct vcpu_debug *debug)
{
	const struct vm_stop *s;

	do
		s = go(g, debug);
	while (s->kind == VM_PAUSED && g->link.poll(g->link.ctx) == GDB_POLL_NOTHING);
	return s;
}

/* Where nobody counts, history does, step by step. */
static const struct vm_stop *step_to(struct gdb_vm *g, uint64_t calls, uint64_t insns)
{
	struct history_pos want = { .calls = calls, .insns = insns, .stage = PLACE_PLAIN }, now;
	const struct vm_stop *s;

	do {
		s = go_unpaused(g, &(struct vcpu_debug){ .step = true });
		history_now(g->history, &now);
	} while (s->kind == VM_DEBUG && history_compare(&now, &want) < 0);
	return s;
}

/* Not past the next call, whose instruction is one too many. */
static const struct vm_stop *count_to(struct gdb_vm *g, uint64_t insns)
{
	const struct vm_stop *s = &g->vm->stop;
	struct vcpu_debug debug = { 0 };
	struct history_pos now;

	history_now(g->history, &now);
	if (now.stage == PLACE_ANSWERED) { /* its instruction is none of those behind it */
		s = go_unpaused(g, &(struct vcpu_debug){ .step = true });
		history_now(g->history, &now);
	}
	if (s->kind == VM_PAUSED || now.stage != PLACE_PLAIN || now.insns >= insns)
		return s;
	debug.until = backend_icount(g->vm->cpu) + (insns - now.insns);
	return go_unpaused(g, &debug);
}

int gdb_vm_run_to(struct gdb_vm *g, uint64_t calls, uint64_t insns)
{
	struct vcpu_debug debug = { 0 };
	const struct vm_stop *s = &g->vm->stop;

	g->runs_to = true;
	g->until_call = calls;
	if (g->vm->n_calls < calls)
		s = go_unpaused(g, &debug);
	if (g->vm->n_calls == calls && s->kind != VM_PAUSED)
		s = g->vm->cpu->ops->icount ? count_to(g, insns) : step_to(g, calls, insns);
	g->runs_to = false;
	return s->kind == VM_PAUSED ? -EINTR : 0;
}

const struct vm_stop *gdb_vm_run_free(struct gdb_vm *g)
{
	const struct vm_stop *s =
		is_over(g, &g->vm->stop) ? &g->vm->stop : go(g, &(struct vcpu_debug){ 0 });

	g->ended = s->kind != VM_PAUSED;
	gdb_stop_is(&g->stop, GDB_WHY_SIGNAL, GDB_SIG_INT, 0);
	return s;
}
