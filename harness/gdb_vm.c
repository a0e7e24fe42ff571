// SPDX-License-Identifier: ISC
/*
 * The machine under gdb. One function drives it: resume(), which runs until there is something to tell; what the
 * backend stops for and nobody wants to know (a condition that is false, a step within the range) it runs on from.
 */
#include "gdb_vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "cpu.h"
#include "cpuid_table.h"
#include "edits.h"
#include "gdb_agent.h"
#include "history.h"
#include "log.h"
#include "paging.h"
#include "report.h"
#include "session.h"
#include "ticker.h"

/* What is to be done about a stop of the machine. */
enum verdict { GO_ON, TELL };

enum { EDIT_NS = 50000000 };

static struct gdb_vm *of(void *target)
{
	return target;
}

/* ---- registers ---- */

/* A call that waits for its answer: its instruction has not been done, whatever the CPU says. */
static bool in_held_call(const struct gdb_vm *g)
{
	return g->vm->call_state != VM_CALL_NONE;
}

static void see_call(const struct gdb_vm *g, struct cpu_regs *regs)
{
	if (in_held_call(g))
		regs->rip = g->vm->exit.rip;
}

static struct gdb_counts counts_of(const struct gdb_vm *g)
{
	uint64_t n = g->vm->cpu->ops->icount ? backend_icount(g->vm->cpu) : UINT64_MAX;

	return (struct gdb_counts){ n, g->vm->n_calls };
}

static int get_state(void *target, struct cpu_state *state, struct gdb_counts *counts)
{
	struct gdb_vm *g = of(target);
	int r = backend_save(g->vm->cpu, state);

	*counts = counts_of(g);
	if (!r)
		see_call(g, &state->regs);
	return r;
}

static int get_regs(void *target, struct cpu_regs *regs)
{
	struct gdb_vm *g = of(target);
	int r = backend_get_regs(g->vm->cpu, regs);

	if (!r)
		see_call(g, regs);
	return r;
}

/*
 * Where nobody counts instructions, history looks for this place step by step, and the guest may have come far: then what was
 * before is given up.
 */
static int edit_in_time(struct gdb_vm *g)
{
	int r;

	g->edit_until_ns = monotonic_ns() + EDIT_NS;
	r = history_edit(g->history, &g->err);
	g->edit_forgets = r == -EINTR && monotonic_ns() >= g->edit_until_ns;
	g->edit_until_ns = 0;
	return g->edit_forgets ? 0 : r;
}

/* ---- what is written ---- */

/* Somebody records what happens, for it to be replayed. What the debugger itself records ends in the past. */
static bool is_recorded(const struct gdb_vm *g)
{
	bool past = g->history && history_in_past(g->history);

	return g->session->sinks || (g->monitor.recording && !g->monitor.partial && !past);
}

/* Instructions since the last call. */
static int count_insns(struct gdb_vm *g, struct trace_edit *e)
{
	uint64_t n = backend_icount(g->vm->cpu);
	struct history_pos now;

	if (!g->vm->cpu->ops->icount)
		return g->at_call
			       ? 0
			       : err_set(&g->err, -EROFS,
					 "cannot be replayed: step to a hypercall (catch syscall) "
					 "first, or record on tcg");
	e->insns = n - g->base;
	if (g->history) {
		history_now(g->history, &now);
		e->insns = now.stage == PLACE_PLAIN ? now.insns : UINT64_MAX;
	}
	e->happened = backend_happened(g->vm->cpu);
	return e->insns > INT64_MAX
		       ? err_set(&g->err, -EROFS, "cannot be replayed: step once, and write then")
		       : 0;
}

/* Where a write is made: a recording has none that could not be made again. */
static int place_edit(struct gdb_vm *g, struct trace_edit *e)
{
	struct cpu_regs regs;

	*e = (struct trace_edit){ .calls = g->vm->n_calls };
	if (!is_recorded(g))
		return 0;
	if (g->history && history_in_past(g->history))
		return err_set(&g->err, -EROFS,
			"this is the past, and what came of it is recorded already");
	if (g->vm->call_state == VM_CALL_INTERRUPTED)
		return err_set(&g->err, -EBUSY,
			"this hypercall has begun, and so has its recording: step over it first");
	if (!get_regs(g, &regs))
		e->rip = regs.rip;
	e->held = in_held_call(g);
	return e->held ? 0 : count_insns(g, e);
}

static void tell_edit(struct gdb_vm *g, const struct trace_edit *e, const void *data, size_t len)
{
	const struct trace_event event = {
		.kind = TRACE_EDIT, .edit = e, .data = data, .len = len
	};

	g->edited = true;
	for (struct trace_sink *s = g->vm->trace; s; s = s->next)
		s->emit(s, &event);
}

static void tell_memory(struct gdb_vm *g, struct trace_edit *e, const uint8_t *data, size_t len)
{
	for (size_t n; len; data += n, len -= n, e->gpa += n) {
		n = len < TRACE_BLOCK_MAX ? len : TRACE_BLOCK_MAX;
		tell_edit(g, e, data, n);
	}
}

/* The registers that are others now. */
static void tell_registers(struct gdb_vm *g, struct trace_edit *e, const struct cpu_state *before,
	const struct cpu_state *now)
{
	const struct gdb_counts counts = { 0 };
	uint8_t was[GDB_REG_MAX], is[GDB_REG_MAX];

	for (unsigned n = 0; n < gdb_regs_count(true); n++) {
		size_t size = gdb_reg_size(true, n);

		gdb_reg_get(before, &counts, n, was);
		gdb_reg_get(now, &counts, n, is);
		e->reg = gdb_reg_name(n);
		if (memcmp(was, is, size) != 0)
			tell_edit(g, e, is, size);
	}
}

/* What is written in the past would change what came of it. */
static int edit_begin(struct gdb_vm *g, struct trace_edit *e, const char **why)
{
	int r = place_edit(g, e);

	*why = g->err.text;
	if (r) {
		log_warn("gdb: %s", g->err.text); /* not every gdb shows what it is told */
		return r;
	}
	if (!g->history)
		return g->ended ? err_set(&g->err, -EPERM, "the guest is at its end") : 0;
	if (history_in_past(g->history) && !g->diverge)
		return err_set(&g->err, -EROFS,
			"this is the past; `monitor diverge on` lets it be changed, and "
			"forgets what came of it");
	if (history_in_past(g->history)) {
		r = history_fork(g->history, &g->err);
		gdb_monitor_end_recording(g); /* of what never was */
	}
	return r ? r : edit_in_time(g);
}

static int edit_end(struct gdb_vm *g, int r, const char **why)
{
	int e = 0;

	if (g->edit_forgets) {
		gdb_vm_end(g);
		gdb_vm_begin(g);
		g->edit_forgets = false;
	} else if (g->history) {
		e = history_edited(g->history, &g->err);
	}
	if (e)
		*why = g->err.text;
	return r ? r : e;
}

static int set_state(void *target, const struct cpu_state *state, const char **why)
{
	struct gdb_vm *g = of(target);
	struct gdb_counts counts;
	struct trace_edit edit;
	struct cpu_state now;
	int r = get_state(g, &now, &counts);

	if (r || !memcmp(&now, state, sizeof(now)))
		return r;
	if (in_held_call(g)) {
		*why = "the registers wait for this hypercall's answer: step over it first";
		return -EBUSY;
	}
	r = edit_begin(g, &edit, why);
	if (r)
		return r;
	r = edits_put_state(g->vm, &now, state);
	if (!r)
		tell_registers(g, &edit, &now, state);
	return edit_end(g, r, why);
}

/* ---- memory ---- */

static bool find_page(struct gdb_vm *g, bool physical, uint64_t addr, uint64_t *gpa, size_t *len)
{
	struct paging_page page;
	struct paging paging;

	*gpa = addr;
	*len = SIZE_MAX;
	if (physical)
		return true;
	if (backend_paging(g->vm->cpu, &paging) ||
		paging_walk(&g->vm->mem, &paging, addr, PAGING_READ, &page, NULL))
		return false;
	*gpa = page.gpa + (addr - page.gva);
	*len = page.size - (addr - page.gva);
	return true;
}

/* Up to the end of RAM. */
static size_t read_physical(const struct gmem *m, uint64_t gpa, void *buf, size_t len)
{
	if (gpa - m->gpa < m->size && len > m->size - (gpa - m->gpa))
		len = m->size - (gpa - m->gpa);
	return gmem_read(m, gpa, buf, len) ? 0 : len;
}

size_t gdb_vm_read(struct gdb_vm *g, bool physical, uint64_t addr, void *buf, size_t len)
{
	struct paging paging;

	if (physical)
		return read_physical(&g->vm->mem, addr, buf, len);
	return backend_paging(g->vm->cpu, &paging)
		       ? 0
		       : paging_read(&g->vm->mem, &paging, addr, buf, len);
}

static size_t read_memory(void *target, bool physical, uint64_t addr, void *buf, size_t len)
{
	return gdb_vm_read(of(target), physical, addr, buf, len);
}

/* The debugger writes where the guest may not: only what is mapped counts. */
static int write_memory(
	void *target, bool physical, uint64_t addr, const void *buf, size_t len, const char **why)
{
	struct gdb_vm *g = of(target);
	struct trace_edit edit;
	size_t done, n;
	uint64_t gpa;
	int r;

	for (done = 0; done < len; done += n) {
		if (!find_page(g, physical, addr + done, &gpa, &n))
			return -EFAULT;
		if (n > len - done)
			n = len - done;
		if (!gmem_span(&g->vm->mem, gpa, n))
			return -EFAULT;
	}
	r = edit_begin(g, &edit, why);
	if (r)
		return r;
	for (done = 0; done < len; done += n) {
		find_page(g, physical, addr + done, &gpa, &n);
		if (n > len - done)
			n = len - done;
		gmem_write(&g->vm->mem, gpa, (const uint8_t *)buf + done, n);
		backend_code_changed(g->vm->cpu, gpa, n);
		edit.gpa = gpa;
		tell_memory(g, &edit, (const uint8_t *)buf + done, n);
	}
	return edit_end(g, 0, why);
}

/* ---- breakpoints ---- */

/* Tried at once, so that what this CPU cannot do is said when it is asked for. */
static int arm(struct gdb_vm *g, const char **why)
{
	struct vcpu_debug debug = gdb_points_debug(&g->points);
	int r = backend_set_debug(g->vm->cpu, &debug);

	if (r == -ENOSPC)
		*why = "no debug register is left for it; delete another";
	else if (r == -EOPNOTSUPP)
		*why = "this CPU has no such watchpoints; use --backend tcg";
	return r;
}

static int insert(void *target, const struct gdb_point *p, const char **why)
{
	struct gdb_vm *g = of(target);
	int r;

	if (p->kind >= GDB_WATCH_WRITE && (!p->len || p->addr + p->len < p->addr)) {
		*why = "there are no such addresses";
		return -EINVAL;
	}
	r = gdb_points_insert(&g->points, p);
	if (!r)
		r = arm(g, why);
	if (r)
		gdb_points_remove(&g->points, p->kind, p->addr, p->len);
	return r;
}

static int remove_point(void *target, enum gdb_point_kind kind, uint64_t addr, uint64_t len)
{
	gdb_points_remove(&of(target)->points, kind, addr, len);
	return 0;
}

static int agent_reg(void *ctx, unsigned n, uint64_t *value)
{
	struct gdb_vm *g = ctx;
	uint8_t bytes[GDB_REG_MAX] = { 0 };
	struct gdb_counts counts;
	struct cpu_state state;

	if (!gdb_reg_size(g->ops.has_avx, n))
		return -EINVAL;
	if (n <= GDB_EFLAGS) { /* what conditions ask for; all of it costs more */
		if (get_regs(g, &state.regs))
			return -EIO;
		counts = (struct gdb_counts){ 0 };
	} else if (get_state(g, &state, &counts)) {
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

/* ---- calls ---- */

static const struct {
	const char *name;
	uint64_t number;
} linux_calls[] = {
	{ "read", SYS_read },
	{ "write", SYS_write },
	{ "open", SYS_open },
	{ "close", SYS_close },
	{ "stat", SYS_stat },
	{ "fstat", SYS_fstat },
	{ "lseek", SYS_lseek },
	{ "exit", SYS_exit },
	{ "getdents", SYS_getdents },
	{ "mkdir", SYS_mkdir },
	{ "unlink", SYS_unlink },
};

uint64_t gdb_call_number(const struct vm *vm, const struct hcall_row *row)
{
	for (size_t i = 0; i < sizeof(linux_calls) / sizeof(linux_calls[0]); i++)
		if (!strcmp(linux_calls[i].name, row->name))
			return linux_calls[i].number;
	return GDB_CALL_OTHER + (uint64_t)(row - vm->abi->rows);
}

static int catch_calls(void *target, bool on, const uint64_t *numbers, size_t n)
{
	struct gdb_vm *g = of(target);

	g->catches = on;
	for (size_t i = 0; i < GDB_ROWS_MAX; i++)
		g->catch_row[i] = on && !n;
	for (size_t i = 0; i < g->vm->abi->n_rows && i < GDB_ROWS_MAX; i++)
		for (size_t k = 0; k < n; k++)
			if (gdb_call_number(g->vm, &g->vm->abi->rows[i]) == numbers[k])
				g->catch_row[i] = true;
	return 0;
}

static bool hold(void *ctx, struct vm *vm, const struct hcall *call, bool answered)
{
	struct gdb_vm *g = ctx;
	size_t row = (size_t)(call->row - vm->abi->rows);

	if (!answered)
		g->base = backend_icount(vm->cpu) + 1; /* its instruction is not retired yet */
	return g->catches && row < GDB_ROWS_MAX && g->catch_row[row];
}

/* ---- the log ---- */

static void keep_line(void *ctx, const char *line, size_t len)
{
	struct gdb_vm *g = ctx;
	struct gdb_log_line *to = &g->log[g->n_log++ % GDB_LOG_LINES];
	size_t n = len < sizeof(to->text) ? len : sizeof(to->text) - 1;

	to->seq = g->vm->call.seq;
	memcpy(to->text, line, n);
	to->text[n] = 0;
	if (n < len)
		memcpy(to->text + n - 4, "...\n", 4);
	if (g->strace_on)
		g->link.say(g->link.ctx, line, len);
}

static const char *last_line(const struct gdb_vm *g)
{
	return g->n_log ? g->log[(g->n_log - 1) % GDB_LOG_LINES].text : "";
}

/* ---- running ---- */

bool gdb_vm_ended(const struct gdb_vm *g)
{
	return g->ended;
}

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

static void stop_is(struct gdb_stop *stop, enum gdb_why why, int signal, uint64_t value)
{
	stop->kind = GDB_STOPPED;
	stop->why = why;
	stop->signal = signal;
	stop->value = value;
}

static void stop_at_break(struct gdb_stop *stop, const struct gdb_point *p, uint64_t rip)
{
	stop_is(stop, p && p->kind == GDB_BREAK_HARD ? GDB_WHY_BREAK_HARD : GDB_WHY_BREAK_SOFT,
		GDB_SIG_TRAP, rip);
}

/* All breakpoints at this address: what they want to be run, is run. */
static enum verdict at_breakpoint(struct gdb_vm *g, uint64_t rip, struct gdb_stop *stop)
{
	enum verdict verdict = GO_ON;
	const struct gdb_point *p;

	for (size_t i = 0; (p = gdb_points_break_at(&g->points, rip, i));
		i = (size_t)(p - g->points.list) + 1) {
		if (!condition_holds(g, p, stop))
			continue;
		if (p->n_commands && !stop->text[0]) {
			for (size_t k = 0; k < p->n_commands; k++)
				evaluate(g, &p->commands[k], stop);
			if (!stop->text[0])
				continue;
		}
		stop_at_break(stop, p, rip);
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

	stop_is(stop, p ? whys[p->kind] : GDB_WHY_WATCH, GDB_SIG_TRAP, p ? p->addr : exit->addr);
	return TELL;
}

/* gdb's numbers of Linux's signals that a crash may be. */
static int gdb_signal_of(int signal)
{
	static const struct {
		int linux_one, gdb;
	} rows[] = { { SIGILL, GDB_SIG_ILL }, { SIGTRAP, GDB_SIG_TRAP }, { SIGABRT, GDB_SIG_ABRT },
		{ SIGFPE, GDB_SIG_FPE }, { SIGSEGV, GDB_SIG_SEGV }, { SIGBUS, GDB_SIG_BUS },
		{ SIGSYS, GDB_SIG_SYS } };

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
	stop_is(stop, GDB_WHY_SIGNAL, gdb_signal_of(signal), 0);
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

	if (get_regs(g, &regs) ||
		gdb_vm_read(g, false, regs.gpr[CPU_RSP], &frame, sizeof(frame)) != sizeof(frame)) {
		stop_is(stop, GDB_WHY_SIGNAL, GDB_SIG_TRAP, 0);
		return TELL;
	}
	g->link.watch(g->link.ctx, true);
	do {
		s = go_until(g, frame.rip);
		if (s->kind == VM_DEBUG && s->exit.why == VCPU_BREAKPOINT &&
			s->exit.rip == frame.rip && !get_regs(g, &regs) &&
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
		return at_breakpoint(g, rip, stop);
	if (ranged && rip >= how->range_start && rip < how->range_end)
		return GO_ON;
	stop_is(stop, GDB_WHY_SIGNAL, GDB_SIG_TRAP, 0);
	return TELL;
}

static bool is_step(const struct vm_stop *stop)
{
	return stop->kind == VM_DEBUG && stop->exit.why == VCPU_STEP;
}

/* Behind a call's answer the CPU still stands at its instruction: it is finished, and then told. */
static enum verdict at_call(struct gdb_vm *g, struct gdb_stop *stop)
{
	const struct hcall *call = &g->vm->call;
	uint64_t number = gdb_call_number(g->vm, call->row);

	if (!call->answered) {
		stop_is(stop, GDB_WHY_CALL_ENTRY, GDB_SIG_TRAP, number);
		strace_describe(g->vm, call, stop->text, sizeof(stop->text));
		return TELL;
	}
	stop_is(stop, GDB_WHY_CALL_RETURN, GDB_SIG_TRAP, number);
	snprintf(stop->text, sizeof(stop->text), "%s", last_line(g));
	g->at_call = is_step(go(g, &(struct vcpu_debug){ .step = true }));
	return TELL;
}

/* The user wants it to stop, or is gone; or something else came, which can wait. */
static enum verdict at_pause(struct gdb_vm *g, struct gdb_stop *stop)
{
	if (g->link.poll(g->link.ctx) == GDB_POLL_NOTHING)
		return GO_ON;
	stop_is(stop, GDB_WHY_SIGNAL, GDB_SIG_INT, 0);
	return TELL;
}

/* The end is a place like others, as long as nobody goes on behind it. */
static enum verdict at_known_end(const struct vm_stop *s, struct gdb_stop *stop)
{
	stop_is(stop, GDB_WHY_END, GDB_SIG_TRAP, 0);
	if (s->kind == VM_EXITED)
		snprintf(stop->text, sizeof(stop->text), "Here the guest exits with code %d.\n",
			s->code);
	else
		snprintf(stop->text, sizeof(stop->text), "%s\n", s->text);
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

/* The guest is at its end. A crash is told first as a signal, with all that there is to look at. */
static enum verdict at_end(struct gdb_vm *g, const struct vm_stop *s, struct gdb_stop *stop)
{
	if (g->stop_at_exit && !session_stopping() &&
		(s->kind == VM_EXITED || (s->kind == VM_KICKED && g->replays)))
		return at_known_end(s, stop);
	g->ended = true;
	if (s->kind == VM_EXITED) {
		stop->kind = GDB_EXITED;
		stop->code = s->code;
		return TELL;
	}
	if (s->kind == VM_CRASHED) {
		stop_is(stop, GDB_WHY_SIGNAL, GDB_SIG_SEGV, 0);
		tell_crash(g, stop);
		return TELL;
	}
	snprintf(stop->text, sizeof(stop->text), "%s\n", s->text);
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
			return at_breakpoint(g, s->exit.rip, stop);
		if (s->exit.why == VCPU_WATCHPOINT)
			return at_watchpoint(g, &s->exit, stop);
		if (s->exit.why == VCPU_EXCEPTION)
			return at_exception(g, stop);
		if (s->exit.why == VCPU_COUNTED) {
			stop_is(stop, GDB_WHY_SIGNAL, GDB_SIG_TRAP, 0);
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
	return at_end(g, s, stop);
}

/* Runs on until there is something to tell. */
static void run_until_told(struct gdb_vm *g, const struct gdb_resume *how, struct gdb_stop *stop)
{
	struct vcpu_debug debug = gdb_points_debug(&g->points);

	debug.step = how->step;
	if (how->insns)
		debug.until = backend_icount(g->vm->cpu) + how->insns;
	while (judge(g, how, go(g, &debug), stop) == GO_ON)
		;
}

/* Of the stops on the way back, the ones that gdb would be told of. */
static bool wanted(void *ctx, struct vm *vm, const struct vm_stop *s)
{
	const struct gdb_point *p;
	struct gdb_vm *g = ctx;
	struct gdb_stop unused = { 0 };

	(void)vm;
	if (s->kind != VM_DEBUG || s->exit.why != VCPU_BREAKPOINT)
		return true;
	for (size_t i = 0; (p = gdb_points_break_at(&g->points, s->exit.rip, i));
		i = (size_t)(p - g->points.list) + 1)
		if (!p->n_commands && condition_holds(g, p, &unused))
			return true;
	return false;
}

/* Where the way back has ended, as gdb is told of it. */
static void told_back(struct gdb_vm *g, struct gdb_stop *stop)
{
	const struct vm_stop *s = &g->vm->stop;
	const struct gdb_point *p;

	stop_is(stop, GDB_WHY_SIGNAL, GDB_SIG_TRAP, 0);
	if (s->kind == VM_CALL) {
		stop_is(stop, g->vm->call.answered ? GDB_WHY_CALL_RETURN : GDB_WHY_CALL_ENTRY,
			GDB_SIG_TRAP, gdb_call_number(g->vm, g->vm->call.row));
		strace_describe(g->vm, &g->vm->call, stop->text, sizeof(stop->text));
	} else if (s->kind == VM_DEBUG && s->exit.why == VCPU_WATCHPOINT) {
		at_watchpoint(g, &s->exit, stop);
	} else if (s->kind == VM_DEBUG && s->exit.why == VCPU_BREAKPOINT) {
		p = gdb_points_break_at(&g->points, s->exit.rip, 0);
		stop_at_break(stop, p, s->exit.rip);
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
	r = history_back(g->history, &back, &g->err);
	g->ended = false;
	if (r == HISTORY_BEGIN)
		stop_is(stop, GDB_WHY_BEGIN, GDB_SIG_TRAP, 0);
	else if (r == HISTORY_STOPPED)
		told_back(g, stop);
	else
		stop_is(stop, GDB_WHY_SIGNAL, r == -EINTR ? GDB_SIG_INT : GDB_SIG_TRAP, 0);
	if (r < 0 && r != -EINTR)
		snprintf(stop->text, sizeof(stop->text), "%s\n", g->err.text);
}

/* Told before, as a signal: now it is gone. */
static void is_gone(const struct gdb_vm *g, struct gdb_stop *stop)
{
	*stop = (struct gdb_stop){ .kind = GDB_ENDED,
		.signal = g->stop.signal ? g->stop.signal : GDB_SIG_KILL };
}

static void resume(void *target, const struct gdb_resume *how, struct gdb_stop *stop)
{
	struct gdb_vm *g = of(target);
	bool short_way = how->step && !how->reverse && how->range_end <= how->range_start;

	*stop = (struct gdb_stop){ 0 };
	if (g->ended && !how->reverse)
		return is_gone(g, stop);
	if (!short_way)
		g->link.watch(g->link.ctx, true);
	if (!short_way && g->link.poll(g->link.ctx) != GDB_POLL_NOTHING)
		stop_is(stop, GDB_WHY_SIGNAL, GDB_SIG_INT, 0); /* it came with the packet */
	else if (how->reverse)
		go_back(g, how, stop);
	else
		run_until_told(g, how, stop);
	if (!short_way)
		g->link.watch(g->link.ctx, false);
	g->stop = *stop;
}

const struct vm_stop *gdb_vm_run_free(struct gdb_vm *g)
{
	const struct vm_stop *s = go(g, &(struct vcpu_debug){ 0 });

	g->ended = s->kind != VM_PAUSED;
	stop_is(&g->stop, GDB_WHY_SIGNAL, GDB_SIG_INT, 0);
	return s;
}

static void why(void *target, struct gdb_stop *stop)
{
	*stop = of(target)->stop;
}

static void detach(void *target)
{
	struct gdb_vm *g = of(target);

	if (!g->ended) /* the next one stops it where it is */
		g->stop = (struct gdb_stop){ .signal = GDB_SIG_INT };
	gdb_points_clear(&g->points);
	g->catches = g->strace_on = g->diverge = false;
	backend_set_debug(g->vm->cpu, &(struct vcpu_debug){ 0 });
}

/* The machine, and who is told what it does. */
static void attach(struct gdb_vm *g, struct vm *vm)
{
	g->vm = vm;
	g->files.sink.next = vm->trace;
	g->strace.sink.next = &g->files.sink;
	vm->trace = &g->strace.sink;
	gdb_monitor_begin(g);
	vm->hold = hold;
	vm->hold_ctx = g;
	g->ended = false;
	g->base = backend_icount(vm->cpu);
	g->at_call = true;
	g->edited = false;
	stop_is(&g->stop, GDB_WHY_SIGNAL, GDB_SIG_TRAP, 0);
}

/* On long ways of history's own. */
static bool history_poll(void *ctx)
{
	struct gdb_vm *g = ctx;

	if (g->edit_until_ns && monotonic_ns() >= g->edit_until_ns)
		return true;
	return g->link.poll(g->link.ctx) != GDB_POLL_NOTHING;
}

void gdb_vm_begin(struct gdb_vm *g)
{
	struct history_options o = {
		.max_bytes = g->session->options.history,
		.poll = history_poll,
		.poll_ctx = g,
		.edits = g->session->edits,
	};

	if (!g->history && !g->ended && !in_held_call(g) && o.max_bytes &&
		history_open(&g->history, g->vm, &o, &g->err))
		log_info("gdb: no way back: %s", g->err.text);
	g->ops.can_reverse = g->history != NULL;
}

void gdb_vm_end(struct gdb_vm *g)
{
	struct history_pos end;

	if (!g->history)
		return;
	history_end(g->history, &end);
	if (history_in_past(g->history) && history_seek(g->history, &end, &g->err))
		log_warn("gdb: the guest cannot go back to the present: %s", g->err.text);
	history_close(g->history);
	g->history = NULL;
}

/* Of a recording, or one that is recorded, there is one run: its beginning is in the past. */
static int back_to_begin(struct gdb_vm *g)
{
	struct history_pos begin;

	if (!g->history)
		return -EOPNOTSUPP;
	history_begin(g->history, &begin);
	return history_seek(g->history, &begin, &g->err);
}

/* With another machine, from where the way back begins anew. */
static int start_anew(struct gdb_vm *g)
{
	int r;

	gdb_vm_end(g);
	gdb_monitor_end_recording(g);
	r = session_restart(g->session, &g->err);
	if (!r)
		attach(g, g->session->vm);
	gdb_vm_begin(g);
	return r;
}

static int restart(void *target, struct gdb_stop *stop, const char **why_not)
{
	struct gdb_vm *g = of(target);
	int r = g->replays || g->session->sinks ? back_to_begin(g) : start_anew(g);

	*why_not = g->err.text;
	if (r)
		return r;
	g->ended = false;
	stop_is(&g->stop, GDB_WHY_SIGNAL, GDB_SIG_TRAP, 0);
	*stop = g->stop;
	return 0;
}

static bool monitor(void *target, const char *line, FILE *out)
{
	gdb_monitor_line(of(target), line, out);
	return true;
}

/* ---- files ---- */

static int file_find(void *target, const char *name)
{
	return gdb_files_find(&of(target)->files, name);
}

static int64_t file_size(void *target, int file)
{
	return gdb_files_size(&of(target)->files, file);
}

static ssize_t file_read(void *target, int file, uint64_t at, void *buf, size_t len)
{
	return gdb_files_read(&of(target)->files, file, at, buf, len);
}

static const char *exec_file(void *target)
{
	(void)target;
	return gdb_file_names[GDB_FILE_GUEST];
}

static uint64_t load_offset(void *target)
{
	return of(target)->vm->layout.kernel_base;
}

/* ---- beginning and end ---- */

static const struct gdb_target_ops ops = {
	.get_state = get_state,
	.get_regs = get_regs,
	.set_state = set_state,
	.read = read_memory,
	.write = write_memory,
	.insert = insert,
	.remove = remove_point,
	.catch_calls = catch_calls,
	.resume = resume,
	.why = why,
	.restart = restart,
	.detach = detach,
	.monitor = monitor,
	.file_find = file_find,
	.file_size = file_size,
	.file_read = file_read,
	.exec_file = exec_file,
	.load_offset = load_offset,
};

/* What CPUID tells the guest: leaf 1, ECX. */
static bool has_avx(struct vm *vm)
{
	enum { LEAVES = 256, AVX = 1 << 28 };
	struct cpuid_entry *table = calloc(LEAVES, sizeof(*table));
	int n = table ? backend_cpuid(vm->cpu, table, LEAVES) : 0;
	bool avx = false;

	for (int i = 0; i < n; i++)
		avx |= table[i].leaf == 1 && table[i].ecx & AVX;
	free(table);
	return avx;
}

int gdb_vm_init(struct gdb_vm *g, struct session *session, const struct gdb_link *link)
{
	*g = (struct gdb_vm){ .session = session, .vm = session->vm, .link = *link, .ops = ops };
	g->log = calloc(GDB_LOG_LINES, sizeof(*g->log));
	if (!g->log || gdb_files_init(&g->files, session)) {
		free(g->log);
		g->log = NULL;
		return -ENOMEM;
	}
	strace_init_lines(&g->strace, keep_line, g);
	g->ops.has_avx = has_avx(g->vm);
	g->replays = g->stop_at_exit = session->no_files;
	attach(g, session->vm);
	return 0;
}

void gdb_vm_finish(struct gdb_vm *g)
{
	if (!g->log)
		return;
	gdb_vm_end(g);
	gdb_monitor_end(g);
	g->vm->trace = g->files.sink.next;
	g->vm->hold = NULL;
	gdb_points_clear(&g->points);
	gdb_files_finish(&g->files);
	free(g->log);
}
