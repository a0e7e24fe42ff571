// SPDX-License-Identifier: ISC
/*
 * What a debugger writes into the machine: only where it can be made again, told to whoever records, and never into the past
 * unless that is wanted.
 */
#include <errno.h>
#include <string.h>

#include "cpu.h"
#include "edits.h"
#include "gdb_vm_parts.h"
#include "history.h"
#include "paging.h"
#include "session.h"
#include "ticker.h"

enum { EDIT_NS = 50000000 };

/* ---- where, and who is told ---- */

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
			"this is the past, and what came of it is recorded already: go to the "
			"present first (monitor goto end)");
	if (g->vm->call_state == VM_CALL_INTERRUPTED)
		return err_set(&g->err, -EBUSY,
			"this hypercall has begun, and so has its recording: step over it first");
	if (!gdb_vm_get_regs(g, &regs))
		e->rip = regs.rip;
	e->held = gdb_vm_in_call(g);
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

/* What is written in the past would change what came of it. */
static int open_edit(struct gdb_vm *g, struct trace_edit *e)
{
	int r = place_edit(g, e);

	if (r || !g->history)
		return r;
	if (history_in_past(g->history) && !g->diverge)
		return err_set(&g->err, -EROFS,
			"this is the past; `monitor diverge on` lets it be changed, and "
			"forgets what came of it");
	if (history_in_past(g->history)) {
		r = history_fork(g->history, &g->err);
		gdb_monitor_end_recording(g); /* of what never was */
		if (!r)
			gdb_monitor_forget_marks(g);
	}
	return r ? r : edit_in_time(g);
}

static int edit_begin(struct gdb_vm *g, struct trace_edit *e, const char **why)
{
	int r = g->ended ? err_set(&g->err, -EPERM, "the guest is at its end%s",
				   g->history ? ": reverse-stepi first" : "")
			 : open_edit(g, e);

	if (r)
		*why = g->err.text;
	return r;
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

/* ---- registers ---- */

int gdb_vm_set_state(void *target, const struct cpu_state *state, const char **why)
{
	struct gdb_vm *g = target;
	struct gdb_counts counts;
	struct trace_edit edit;
	struct cpu_state now;
	int r = gdb_vm_get_state(g, &now, &counts);

	if (r || !memcmp(&now, state, sizeof(now)))
		return r;
	if (gdb_vm_in_call(g)) {
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

/* The debugger writes where the guest may not: only what is mapped counts. */
int gdb_vm_write(
	void *target, bool physical, uint64_t addr, const void *buf, size_t len, const char **why)
{
	struct gdb_vm *g = target;
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
