// SPDX-License-Identifier: ISC
/* Packets that resume the guest, end it or let go of it; and what a stop looks like. */
#include <errno.h>
#include <string.h>

#include "gdb_stub_parts.h"

/* ---- stop replies ---- */

static const struct {
	const char *name;
	bool value, asked; /* has a value; is for clients that asked for it */
} reasons[GDB_WHY_COUNT] = {
	[GDB_WHY_SIGNAL] = { NULL, false, false },
	[GDB_WHY_BREAK_SOFT] = { "swbreak", false, true },
	[GDB_WHY_BREAK_HARD] = { "hwbreak", false, true },
	[GDB_WHY_WATCH] = { "watch", true, false },
	[GDB_WHY_RWATCH] = { "rwatch", true, false },
	[GDB_WHY_AWATCH] = { "awatch", true, false },
	[GDB_WHY_CALL_ENTRY] = { "syscall_entry", true, false },
	[GDB_WHY_CALL_RETURN] = { "syscall_return", true, false },
	[GDB_WHY_BEGIN] = { "replaylog:begin", false, false },
	[GDB_WHY_END] = { "replaylog:end", false, false },
};

/* What nearly every stop makes gdb ask for: so that it need not. */
static void put_expedited(struct gdb_stub *s)
{
	static const enum gdb_reg regs[] = { GDB_RIP, GDB_RSP, GDB_RBP, GDB_EFLAGS };
	uint8_t value[GDB_REG_MAX];

	if (s->ops->get_regs(s->target, &s->cpu.regs))
		return;
	for (size_t i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
		gdb_reg_get(&s->cpu, &s->counts, regs[i], value);
		gdb_printf(&s->out, "%02x:", (unsigned)regs[i]);
		gdb_put_hex(&s->out, value, gdb_reg_size(s->ops->has_avx, regs[i]));
		gdb_put(&s->out, ";");
	}
}

/* A client that did not ask for swbreak or hwbreak must not get it, and looks for its breakpoint at RIP. */
static void put_reason(struct gdb_stub *s, const struct gdb_stop *stop)
{
	if (reasons[stop->why].asked && !s->takes[stop->why])
		return;
	if (reasons[stop->why].value)
		gdb_printf(&s->out, "%s:%llx;", reasons[stop->why].name,
			(unsigned long long)stop->value);
	else if (reasons[stop->why].name)
		gdb_printf(&s->out, "%s:;", reasons[stop->why].name);
}

static void put_stop(struct gdb_stub *s, const struct gdb_stop *stop)
{
	gdb_reply_begin(&s->out);
	s->over = stop->kind != GDB_STOPPED;
	if (stop->kind == GDB_EXITED) {
		gdb_printf(&s->out, "W%02x", (unsigned)stop->code & 0xff);
	} else if (stop->kind == GDB_ENDED) {
		gdb_printf(&s->out, "X%02x", (unsigned)stop->signal);
	} else {
		gdb_printf(&s->out, "T%02x", (unsigned)stop->signal);
		put_expedited(s);
		put_reason(s, stop);
		gdb_put(&s->out, "thread:1;");
	}
}

static void run(struct gdb_stub *s, const struct gdb_resume *how)
{
	struct gdb_stop stop = { 0 };

	s->has_state = false;
	s->resumed = true;
	s->ops->resume(s->target, how, &stop);
	gdb_stub_say(s, stop.text, strlen(stop.text));
	s->resumed = false;
	put_stop(s, &stop);
}

/* ---- packets ---- */

static void ask_why(struct gdb_stub *s, struct gdb_cursor *c)
{
	struct gdb_stop stop = { 0 };

	(void)c;
	s->ops->why(s->target, &stop);
	put_stop(s, &stop);
}

/* c, s, C, S: a signal, which no guest takes, and an address to go on at. */
static void run_from(struct gdb_stub *s, struct gdb_cursor *c, bool step, bool has_signal)
{
	const char *why = "this CPU does not go on there";
	uint64_t value;
	int r;

	if (has_signal && (!gdb_take_hex(c, &value) || (gdb_left(c) && !gdb_take_char(c, ';'))))
		return gdb_reply_error(s, EINVAL, "signal expected");
	if (gdb_left(c)) {
		if (!gdb_take_hex(c, &value) || gdb_left(c))
			return gdb_reply_error(s, EINVAL, "address expected");
		if (!gdb_stub_state_get(s))
			return;
		r = gdb_reg_set(&s->cpu, &s->counts, GDB_RIP, (const uint8_t *)&value);
		s->has_state = false;
		if (!r)
			r = s->ops->set_state(s->target, &s->cpu, &why);
		if (r)
			return gdb_reply_refused(s, r, why, NULL);
	}
	run(s, &(struct gdb_resume){ .step = step, .alone = step });
}

static void continue_plain(struct gdb_stub *s, struct gdb_cursor *c)
{
	run_from(s, c, false, false);
}

static void step_plain(struct gdb_stub *s, struct gdb_cursor *c)
{
	run_from(s, c, true, false);
}

static void continue_signal(struct gdb_stub *s, struct gdb_cursor *c)
{
	run_from(s, c, false, true);
}

static void step_signal(struct gdb_stub *s, struct gdb_cursor *c)
{
	run_from(s, c, true, true);
}

static void back(struct gdb_stub *s, bool step)
{
	if (s->ops->can_reverse)
		run(s, &(struct gdb_resume){ .step = step, .reverse = true });
}

static void step_back(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	back(s, true);
}

static void continue_back(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	back(s, false);
}

static void ask_actions(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	gdb_put(&s->out, "vCont;c;C;s;S;r;t");
}

/* What one action says to do; *stays: nothing, for a thread that should stop has. */
static bool take_verb(struct gdb_cursor *c, struct gdb_resume *how, bool *stays)
{
	uint64_t signal;

	if (gdb_take_char(c, 't'))
		return *stays = true;
	if (gdb_take_char(c, 'c'))
		return true;
	if (gdb_take_char(c, 'C'))
		return gdb_take_hex(c, &signal);
	how->step = true;
	if (gdb_take_char(c, 's'))
		return true;
	if (gdb_take_char(c, 'S'))
		return gdb_take_hex(c, &signal);
	return gdb_take_char(c, 'r') && gdb_take_hex(c, &how->range_start) &&
	       gdb_take_char(c, ',') && gdb_take_hex(c, &how->range_end);
}

static bool take_action(struct gdb_cursor *c, struct gdb_resume *how, bool *ours, bool *stays)
{
	*how = (struct gdb_resume){ 0 };
	*stays = false;
	*ours = true;
	if (!take_verb(c, how, stays))
		return false;
	how->alone = gdb_take_char(c, ':');
	if (how->alone && !gdb_take_thread(c, ours))
		return false;
	return !gdb_left(c) || *c->at == ';';
}

/* The first action that means our thread counts. */
static void do_actions(struct gdb_stub *s, struct gdb_cursor *c)
{
	struct gdb_resume how, chosen = { 0 };
	bool ours, stays, found = false;
	size_t n = 0;

	if (!gdb_left(c))
		return gdb_reply_error(s, EINVAL, "no action");
	for (; gdb_take_char(c, ';'); n++) {
		if (!take_action(c, &how, &ours, &stays))
			return gdb_reply_error(s, EINVAL, "an action that is not known");
		if (ours && !stays && !found) {
			chosen = how;
			found = true;
		}
	}
	chosen.alone &= chosen.step && n == 1;
	if (gdb_left(c))
		gdb_reply_error(s, EINVAL, "an action that is not known");
	else if (found)
		run(s, &chosen);
	else
		ask_why(s, c);
}

/* To s->bytes, as argz(3). False: that is no such list. */
static bool take_words(struct gdb_stub *s, struct gdb_cursor *c, size_t *len)
{
	*len = 0;
	while (gdb_take_char(c, ';')) {
		struct gdb_cursor word = gdb_take_until(c, ";");
		size_t n = gdb_left(&word) / 2;

		if (gdb_left(&word) % 2 || !gdb_take_bytes(&word, s->bytes + *len, n) ||
			memchr(s->bytes + *len, 0, n))
			return false;
		*len += n;
		s->bytes[(*len)++] = 0;
	}
	return !gdb_left(c);
}

static void start_again(struct gdb_stub *s, size_t args_len)
{
	const char *why = "this guest cannot be started again";
	struct gdb_stop stop = { 0 };
	int r = s->ops->restart(s->target, (const char *)s->bytes, args_len, &stop, &why);

	s->has_state = false;
	if (r)
		return gdb_reply_refused(s, r, why, NULL);
	s->killed = false;
	put_stop(s, &stop);
}

/* vRun;PROGRAM;ARGUMENT...: the program is the command line's. */
static void run_again(struct gdb_stub *s, struct gdb_cursor *c)
{
	size_t len;

	gdb_take_char(c, ';');
	gdb_take_until(c, ";");
	if (!take_words(s, c, &len))
		return gdb_reply_error(s, EINVAL, "arguments that are no hex, or that hold a NUL");
	start_again(s, len);
}

static void restart(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	start_again(s, 0);
}

static void detach(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	s->state = gdb_stub_gone(s);
	gdb_put(&s->out, "OK");
}

/* An extended client may want it started again, and stays. */
static void kill_guest(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	s->killed = s->over = true;
	if (!s->extended)
		s->state = GDB_KILLED;
	gdb_put(&s->out, "OK");
}

/* vAttach: there is one process, and it is attached to. */
static void attach(struct gdb_stub *s, struct gdb_cursor *c)
{
	uint64_t pid;

	if (gdb_take_hex(c, &pid) && pid == 1)
		ask_why(s, c);
	else
		gdb_reply_error(s, ESRCH, "there is only process 1");
}

static void interrupt(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	gdb_put(&s->out, "OK"); /* it stands still */
}

const struct gdb_packet_row gdb_run_rows[] = {
	{ "?", ask_why, GDB_WHOLE },
	{ "c", continue_plain, 0 },
	{ "s", step_plain, 0 },
	{ "C", continue_signal, 0 },
	{ "S", step_signal, 0 },
	{ "bs", step_back, GDB_WHOLE },
	{ "bc", continue_back, GDB_WHOLE },
	{ "vCont?", ask_actions, 0 },
	{ "vCont", do_actions, GDB_WHOLE },
	{ "vCtrlC", interrupt, GDB_WHOLE },
	{ "vRun", run_again, GDB_WHOLE },
	{ "vAttach;", attach, 0 },
	{ "vKill", kill_guest, GDB_WHOLE },
	{ "R", restart, GDB_SILENT },
	{ "D", detach, GDB_WHOLE },
	{ "k", kill_guest, GDB_SILENT | GDB_WHOLE },
	{ NULL, NULL, 0 },
};
