// SPDX-License-Identifier: ISC
/* The machine under gdb: the operations that a target has. Running is gdb_vm_run.c, writing gdb_vm_write.c. */
#include "gdb_vm.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "cpu.h"
#include "cpuid_table.h"
#include "gdb_vm_parts.h"
#include "history.h"
#include "log.h"
#include "paging.h"
#include "session.h"
#include "ticker.h"

static struct gdb_vm *of(void *target)
{
	return target;
}

/* ---- registers ---- */

bool gdb_vm_in_call(const struct gdb_vm *g)
{
	return g->vm->call_state != VM_CALL_NONE;
}

static void see_call(const struct gdb_vm *g, struct cpu_regs *regs)
{
	if (gdb_vm_in_call(g))
		regs->rip = g->vm->exit.rip;
}

static struct gdb_counts counts_of(const struct gdb_vm *g)
{
	uint64_t n = g->vm->cpu->ops->icount ? backend_icount(g->vm->cpu) : UINT64_MAX;

	return (struct gdb_counts){ n, g->vm->n_calls };
}

int gdb_vm_get_state(void *target, struct cpu_state *state, struct gdb_counts *counts)
{
	struct gdb_vm *g = of(target);
	int r = backend_save(g->vm->cpu, state);

	*counts = counts_of(g);
	if (!r)
		see_call(g, &state->regs);
	return r;
}

int gdb_vm_get_regs(void *target, struct cpu_regs *regs)
{
	struct gdb_vm *g = of(target);
	int r = backend_get_regs(g->vm->cpu, regs);

	if (!r)
		see_call(g, regs);
	return r;
}

/* ---- memory ---- */

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

	if (p->kind >= GDB_WATCH_WRITE && (!p->len || p->addr + (p->len - 1) < p->addr)) {
		r = err_set(&g->err, -EINVAL,
			"0x%" PRIx64 ", %" PRIu64 " bytes: there are no such addresses", p->addr,
			p->len);
		*why = g->err.text;
		return r;
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
	struct gdb_vm *g = of(target);

	g->told_stays &= addr != g->stop.value;
	gdb_points_remove(&g->points, kind, addr, len);
	return 0;
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

	for (size_t i = 0; i < g->vm->abi->n_rows; i++) {
		g->catch_row[i] = on && !n;
		for (size_t k = 0; k < n; k++)
			if (gdb_call_number(g->vm, &g->vm->abi->rows[i]) == numbers[k])
				g->catch_row[i] = on;
	}
	return 0;
}

static bool hold(void *ctx, struct vm *vm, const struct hcall *call, bool answered)
{
	struct gdb_vm *g = ctx;

	if (!answered)
		g->base = backend_icount(vm->cpu) + 1; /* its instruction is not retired yet */
	return g->runs_to ? call->seq + answered == g->until_call
			  : g->catch_row[call->row - vm->abi->rows];
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
	g->shown = g->strace_on;
	if (g->strace_on)
		g->link.say(g->link.ctx, line, len);
}

/* ---- how it stands ---- */

bool gdb_vm_ended(const struct gdb_vm *g)
{
	return g->ended;
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
	g->n_seen = 0;
	memset(g->catch_row, 0, sizeof(g->catch_row));
	g->strace_on = g->diverge = false;
	backend_set_debug(g->vm->cpu, &(struct vcpu_debug){ 0 });
}

/* The machine, and who is told what it does. */
static void attach(struct gdb_vm *g, struct vm *vm)
{
	assert(vm->abi->n_rows <= GDB_ROWS_MAX);
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
	gdb_stop_is(&g->stop, GDB_WHY_SIGNAL, GDB_SIG_TRAP, 0);
}

enum { LONG_WAY_NS = 2000000000 };

/* Once. */
static void tell_long_way(struct gdb_vm *g)
{
	char text[160];
	int n;

	if (!g->way_began_ns || monotonic_ns() - g->way_began_ns < LONG_WAY_NS)
		return;
	g->way_began_ns = 0;
	n = snprintf(text, sizeof(text), "The way back is long; Ctrl-C gives it up.%s\n",
		g->vm->cpu->ops->icount
			? ""
			: " (It is gone by single steps here: --backend tcg is quicker.)");
	g->link.say(g->link.ctx, text, (size_t)n);
}

/* On long ways of history's own. */
static bool history_poll(void *ctx)
{
	struct gdb_vm *g = ctx;

	tell_long_way(g);
	if (g->leaves)
		return session_stopping();
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
		.base = g->base,
	};

	if (!o.max_bytes)
		err_set(&g->no_way_back, -EINVAL, "--history is 0");
	else if (gdb_vm_in_call(g))
		err_set(&g->no_way_back, -EBUSY,
			"gdb came while a hypercall was answered; detach, and come again");
	else if (!g->history && !g->ended && history_open(&g->history, g->vm, &o, &g->no_way_back))
		log_info("gdb: no way back: %s", g->no_way_back.text);
	g->uncounted = g->history && !g->vm->cpu->ops->icount && !g->at_call;
	g->ops.can_reverse = g->history != NULL;
}

/* Where the instructions behind the last call began to be counted: on the way no call need have been seen. */
static void find_base(struct gdb_vm *g)
{
	struct history_pos now;

	history_now(g->history, &now);
	if (g->vm->cpu->ops->icount)
		g->base = backend_icount(g->vm->cpu) - now.insns + (now.stage == PLACE_ANSWERED);
}

void gdb_vm_end(struct gdb_vm *g)
{
	struct history_pos end;

	if (!g->history)
		return;
	history_end(g->history, &end);
	g->leaves = true;
	if (history_in_past(g->history) && history_seek(g->history, &end, &g->err)) {
		/* What it does from there on, it would do to the host a second time. */
		vm_stop_set(g->vm, VM_FAILED, "the guest cannot go back to the present: %s",
			g->err.text);
		g->ended = true;
	}
	g->leaves = false;
	find_base(g);
	history_close(g->history);
	g->history = NULL;
}

/* Of a recording, or one that is recorded, there is one run: what is named, as `monitor goto` takes it, is a place of it. */
static int find_place(struct gdb_vm *g, const char *words, size_t len, struct history_pos *pos)
{
	char why[200] = "";
	FILE *out = fmemopen(why, sizeof(why) - 1, "w");
	bool found = false;

	if (!out)
		return err_set(&g->err, -ENOMEM, "out of memory");
	if (strlen(words) + 1 < len)
		fputs("one is enough", out);
	else
		found = gdb_monitor_place(g, out, words, pos);
	fclose(out);
	why[strcspn(why, "\n")] = 0;
	return found ? 0
		     : err_set(&g->err, -EINVAL,
			       "a recording has the arguments that it has; `run` takes a place of "
			       "it: %s",
			       why);
}

/* Without words its beginning, which is in the past. */
static int back_to(struct gdb_vm *g, const char *words, size_t len)
{
	struct history_stat stat;
	struct history_pos pos;
	int r = 0;

	if (!g->history)
		return err_set(&g->err, -EOPNOTSUPP,
			"a recording is of one run, and there is no way back to its beginning");
	if (len) {
		r = find_place(g, words, len, &pos);
	} else {
		history_begin(g->history, &pos);
		history_stat(g->history, &stat);
		if (stat.forgotten)
			log_warn("gdb: the start is forgotten; back to where the way back begins "
				 "(--history SIZE)");
	}
	return r ? r : gdb_monitor_go(g, &pos);
}

/* With another machine, from where the way back begins anew. */
static int start_anew(struct gdb_vm *g, const char *args, size_t len)
{
	int r;

	gdb_vm_end(g);
	gdb_monitor_end_recording(g);
	r = session_restart(g->session, args, len, &g->err);
	if (!r)
		attach(g, g->session->vm);
	gdb_vm_begin(g);
	return r;
}

static int restart(
	void *target, const char *args, size_t len, struct gdb_stop *stop, const char **why_not)
{
	struct gdb_vm *g = of(target);
	int r = g->replays || g->session->sinks ? back_to(g, args, len) : start_anew(g, args, len);

	*why_not = g->err.text;
	if (r)
		return r;
	g->ended = false;
	g->n_seen = 0;
	gdb_stop_is(&g->stop, GDB_WHY_SIGNAL, GDB_SIG_TRAP, 0);
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

static uint64_t image_start(void *target)
{
	return of(target)->vm->image.start;
}

static uint64_t image_entry(void *target)
{
	const struct vm *vm = of(target)->vm;

	return vm->layout.kernel_base + vm->image.entry;
}

/* ---- beginning and end ---- */

static const struct gdb_target_ops ops = {
	.get_state = gdb_vm_get_state,
	.get_regs = gdb_vm_get_regs,
	.set_state = gdb_vm_set_state,
	.read = read_memory,
	.write = gdb_vm_write,
	.insert = insert,
	.remove = remove_point,
	.catch_calls = catch_calls,
	.resume = gdb_vm_resume,
	.why = why,
	.restart = restart,
	.detach = detach,
	.monitor = monitor,
	.file_find = file_find,
	.file_size = file_size,
	.file_read = file_read,
	.exec_file = exec_file,
	.load_offset = load_offset,
	.image_start = image_start,
	.image_entry = image_entry,
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
