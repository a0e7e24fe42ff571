// SPDX-License-Identifier: ISC
/* A debugger's writes, made again. */
#include "edits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cpu.h"
#include "gdb_regs.h"
#include "history_move.h"
#include "log.h"
#include "paging.h"
#include "tcg_insn.h"
#include "trace_record.h"
#include "vm.h"

void edits_init(struct edits *e, struct vm *vm)
{
	e->vm = vm;
	e->base = backend_icount(vm->cpu);
	e->steps = 0;
	e->far_told = false;
}

/* ---- writing ---- */

static bool same_but_regs(const struct cpu_state *a, const struct cpu_state *b)
{
	const size_t at = sizeof(a->regs);

	return !memcmp((const uint8_t *)a + at, (const uint8_t *)b + at, sizeof(*a) - at);
}

int edits_put_state(struct vm *vm, const struct cpu_state *now, const struct cpu_state *state)
{
	return same_but_regs(now, state) ? backend_set_regs(vm->cpu, &state->regs)
					 : backend_load(vm->cpu, state);
}

static int write_register(struct vm *vm, const struct trace_record *record)
{
	const struct gdb_counts counts = { 0 };
	struct cpu_state now, state;
	int n = gdb_reg_find(true, record->edit.reg), r = backend_save(vm->cpu, &now);

	if (r)
		return r;
	state = now;
	r = gdb_reg_set(&state, &counts, (unsigned)n, record->out);
	return r ? r : edits_put_state(vm, &now, &state);
}

static int write_memory(struct vm *vm, const struct trace_record *record)
{
	int r = gmem_write(&vm->mem, record->edit.gpa, record->out, record->out_len);

	if (!r)
		backend_code_changed(vm->cpu, record->edit.gpa, record->out_len);
	return r;
}

/* Steps are not the same on every CPU, and a guest may be another: then it is not where it was. */
static bool is_elsewhere(const struct vm *vm, const struct trace_edit *edit, uint64_t *rip)
{
	struct cpu_regs regs;

	*rip = vm->exit.rip;
	if (!edit->held && !backend_get_regs(vm->cpu, &regs))
		*rip = regs.rip;
	return edit->rip && edit->rip != *rip;
}

void edits_make(struct edits *e)
{
	const struct trace_record *record = e->next(e->ctx);
	const struct trace_edit *edit = &record->edit;
	char why[160];
	uint64_t rip;
	int r;

	if (is_elsewhere(e->vm, edit, &rip)) {
		snprintf(why, sizeof(why),
			"a debugger wrote when the guest was at 0x%llx, and here it is at 0x%llx",
			(unsigned long long)edit->rip, (unsigned long long)rip);
		return e->done(e->ctx, why);
	}
	r = edit->reg ? write_register(e->vm, record) : write_memory(e->vm, record);
	if (!r)
		return e->done(e->ctx, NULL);
	snprintf(why, sizeof(why), "what a debugger wrote to %s cannot be written: %s",
		edit->reg ? edit->reg : "memory", strerrordesc_np(-r));
	e->done(e->ctx, why);
}

/* ---- running ---- */

static bool counts(const struct edits *e)
{
	return e->vm->cpu->ops->icount;
}

static const struct trace_edit *next_edit(const struct edits *e)
{
	const struct trace_record *record = e->next(e->ctx);

	return record ? &record->edit : NULL;
}

bool edits_hold(struct edits *e, bool answered)
{
	const struct trace_edit *next = next_edit(e);

	if (!answered) { /* and its instruction is not retired yet */
		e->base = backend_icount(e->vm->cpu) + 1;
		e->steps = -1;
	}
	return next && next->held != answered;
}

static bool is_here(const struct edits *e)
{
	const struct trace_edit *next = next_edit(e);

	if (!next || next->held != (e->vm->call_state == VM_CALL_HELD))
		return false;
	if (next->held || e->steps < 0)
		return next->held;
	if (!counts(e))
		return (uint64_t)e->steps == next->insns;
	return backend_icount(e->vm->cpu) == e->base + next->insns &&
	       backend_happened(e->vm->cpu) == next->happened;
}

/* Some seconds, or many. */
enum { FAR = 1000000 };

/* Once: the first instruction may take many steps. */
static void tell_far_way(struct edits *e)
{
	const struct trace_edit *next = next_edit(e);

	if (e->far_told || !next || next->held || next->insns < FAR)
		return;
	e->far_told = true;
	log_warn("a debugger wrote %llu instructions behind a hypercall: %s goes there by "
		 "single steps; --backend tcg is quicker",
		(unsigned long long)next->insns, e->vm->cpu->ops->name);
}

void edits_step(struct edits *e)
{
	struct vm *vm = e->vm;
	uint8_t code[TCG_INSN_MAX];
	struct cpu_regs regs = { 0 };
	struct tcg_insn insn;
	struct paging paging;
	uint64_t n = 0;

	if (!e->steps && !counts(e))
		tell_far_way(e);
	backend_get_regs(vm->cpu, &regs);
	if (!backend_paging(vm->cpu, &paging))
		n = paging_read(&vm->mem, &paging, regs.rip, code, sizeof(code));
	e->rip = regs.rip;
	e->repeats = tcg_insn_decode(code, n, &insn) && insn.kind == TCG_REPEAT;
}

void edits_stepped(struct edits *e)
{
	const struct vm_stop *stop = &e->vm->stop;
	bool stepped = stop->kind == VM_DEBUG && stop->exit.why == VCPU_STEP;
	struct cpu_regs regs = { 0 };

	backend_get_regs(e->vm->cpu, &regs);
	e->steps += regs.rip != e->rip || (stepped && !e->repeats);
}

/* No further than to the next one. */
static struct vcpu_debug plan(const struct edits *e, const struct vcpu_debug *debug)
{
	const struct trace_edit *next = next_edit(e);
	struct vcpu_debug d = *debug;

	if (!next || next->held || e->vm->call_state != VM_CALL_NONE)
		return d;
	/* Out of the call, that many, or into an exception's handler. */
	if (e->steps < 0 || !counts(e) || backend_icount(e->vm->cpu) >= e->base + next->insns)
		d.step = true;
	else if (!d.until || d.until > e->base + next->insns)
		d.until = e->base + next->insns;
	return d;
}

struct run {
	struct edits *e;
	vm_hold_fn *asked;
	void *asked_ctx;
	bool ours;
};

static bool hold(void *ctx, struct vm *vm, const struct hcall *call, bool answered)
{
	struct run *run = ctx;

	bool ours = edits_hold(run->e, answered);
	bool asked = run->asked && run->asked(run->asked_ctx, vm, call, answered);

	run->ours = ours && !asked;
	return ours || asked;
}

/* Did it stop for nobody but us? */
static bool is_ours(
	const struct run *run, const struct vcpu_debug *debug, const struct vcpu_debug *d)
{
	struct vm *vm = run->e->vm;

	if (vm->stop.kind == VM_CALL)
		return run->ours;
	if (vm->stop.kind != VM_DEBUG)
		return false;
	if (vm->stop.exit.why == VCPU_COUNTED)
		return d->until != debug->until;
	return vm->stop.exit.why == VCPU_STEP && !debug->step && !history_stop_at_break(vm, debug);
}

/* Until it stops. True: for us. */
static bool drive(struct edits *e, const struct vcpu_debug *debug)
{
	struct vcpu_debug d = plan(e, debug);
	struct vm *vm = e->vm;
	struct run run = { .e = e, .asked = vm->hold, .asked_ctx = vm->hold_ctx };
	bool steps = next_edit(e) && (e->steps < 0 || !counts(e)) && vm->call_state == VM_CALL_NONE;
	bool any = d.step || d.until || d.n_breaks || d.n_watches || vm->cpu->ops->set_debug;
	int r = any ? backend_set_debug(vm->cpu, &d) : 0;

	if (r) {
		vm_stop_set(vm, VM_FAILED, "debug requests: %s", strerrordesc_np(-r));
		return false;
	}
	vm->hold = hold;
	vm->hold_ctx = &run;
	if (steps)
		edits_step(e);
	vm_run(vm);
	vm->hold = run.asked;
	vm->hold_ctx = run.asked_ctx;
	if (steps)
		edits_stepped(e);
	return is_ours(&run, debug, &d);
}

const struct vm_stop *edits_run(struct edits *e, const struct vcpu_debug *debug)
{
	struct vm_stop *stop = &e->vm->stop;
	bool again;

	do {
		again = is_here(e);
		stop->kind = VM_RUNNING;
		if (again)
			edits_make(e);
		again = again ? stop->kind == VM_RUNNING : drive(e, debug);
	} while (again);
	return stop;
}
