// SPDX-License-Identifier: ISC
/*
 * How a machine with a history is moved: by a checkpoint and from there by running, told when to
 * stop by a count of instructions, by a call that is held, or, where nobody counts, by single
 * steps. Knows nothing of why.
 */
#include "history_move.h"

#include <errno.h>
#include <string.h>

#include "edits.h"
#include "err.h"
#include "ticker.h"
#include "vm.h"

enum {
	SLICE_NS = 3000000, /* how long nobody is asked whether to stop */
	SLICE_MIN = 10000,
	PACE = 16, /* how many times longer than a checkpoint takes it is to the next one, */
	PACE_NS = 4000000, /* at least */
};

/* ---- where it is ---- */

static struct place here_counted(struct history *h, struct place p)
{
	switch (p.stage) {
	case PLACE_ANSWERED: /* its instruction may not be retired yet, but it is behind us */
		p.at = journal_at(&h->journal, p.calls - 1) + 1;
		break;
	case PLACE_ASKED:
		p.at = h->journal.at;
		break;
	case PLACE_PLAIN:
	case PLACE_ENDED:
		p.at = backend_icount(h->vm->cpu);
		p.happened = backend_happened(h->vm->cpu);
		break;
	}
	return p;
}

struct place history_here(struct history *h)
{
	struct place p = { .calls = h->vm->n_calls, .stage = h->stage, .edits = h->edits };

	if (h->counted)
		return here_counted(h, p);
	p.vague = p.stage == PLACE_PLAIN && h->vague;
	if (p.stage == PLACE_PLAIN && !p.vague) {
		p.at = h->steps;
		p.happened = h->turns;
	} else if (p.stage >= PLACE_ASKED) {
		p.at = HISTORY_STEPS_MAX;
	}
	return p;
}

/* ---- running ---- */

/* Where nobody counts: is it long since the last checkpoint, for what one costs? */
static bool checkpoint_is_due(const struct history *h)
{
	double ns = PACE * h->ns_per_checkpoint;

	return !h->counted &&
	       (double)(monotonic_ns() - h->last_checkpoint_ns) > (ns < PACE_NS ? PACE_NS : ns);
}

/* Is there something that a debugger wrote in the recording, in or behind this call, which is new? */
static bool hold_for_edit(const struct history *h, uint64_t call, bool answered)
{
	struct edits *e = h->options.edits;

	return e && h->live && call + answered == journal_end(&h->journal) &&
	       edits_hold(e, answered);
}

/* Whether a call is held, for our own reasons. */
static bool hold_for_us(const struct history *h, uint64_t call, bool answered)
{
	if (h->hold == HOLD_AT && call == h->hold_call && answered == h->hold_answered)
		return true;
	if (call == h->limit_call && answered == h->limit_answered)
		return true;
	if (answered)
		return h->live &&
		       (checkpoint_is_due(h) || journal_size(&h->journal) > h->answers_max);
	return !h->live && call >= journal_end(&h->journal);
}

static bool on_hold(void *ctx, struct vm *vm, const struct hcall *call, bool answered)
{
	struct history *h = ctx;

	bool edit = hold_for_edit(h, call->seq, answered);

	if (!answered)
		h->journal.at = backend_icount(vm->cpu);
	if (h->hold == HOLD_AS_ASKED && h->asked && h->asked(h->asked_ctx, vm, call, answered))
		return true;
	h->held_by_us = edit || hold_for_us(h, call->seq, answered);
	return h->held_by_us;
}

/* Has the machine come to an end, from which nothing goes on? */
static bool is_end(const struct history *h, const struct place *before)
{
	uint64_t calls = h->vm->n_calls;

	switch (h->vm->stop.kind) {
	case VM_EXITED:
	case VM_CRASHED:
	case VM_FAILED:
		return true;
	case VM_KICKED: /* by who answers: there is nothing more */
		return calls > before->calls && calls <= journal_end(&h->journal) &&
		       journal_call(&h->journal, calls - 1)->stop;
	default:
		return false;
	}
}

static enum place_stage stage_now(const struct history *h, const struct place *before)
{
	const struct vm *vm = h->vm;

	if (vm->call_state != VM_CALL_NONE)
		return PLACE_ASKED;
	if (vm->stop.kind == VM_CALL)
		return PLACE_ANSWERED;
	if (is_end(h, before))
		return PLACE_ENDED;
	if (before->stage == PLACE_ANSWERED && vm->stop.kind != VM_DEBUG && h->counted &&
		vm->n_calls == before->calls && backend_icount(vm->cpu) <= before->at)
		return PLACE_ANSWERED; /* interrupted before anything ran */
	return PLACE_PLAIN;
}

uint64_t history_rip(struct vm *vm)
{
	struct cpu_regs regs = { 0 };

	backend_get_regs(vm->cpu, &regs);
	return regs.rip;
}

/*
 * Where nobody counts. A step that comes to a breakpoint, or makes an access that is watched, may
 * say that instead. One that stays where it was is a turn of a string instruction: how many those
 * are depends on who executes it.
 */
static void count_steps(struct history *h, const struct place *before, bool step, uint64_t rip)
{
	const struct vm_stop *stop = &h->vm->stop;
	enum vcpu_debug_why why = stop->exit.why;
	bool stepped = step && stop->kind == VM_DEBUG &&
		       (why == VCPU_STEP || why == VCPU_BREAKPOINT || why == VCPU_WATCHPOINT);
	bool begins = h->vm->n_calls != before->calls || before->stage != PLACE_PLAIN;

	if (h->stage != PLACE_PLAIN)
		return;
	h->vague = !stepped || (!begins && before->vague);
	if (h->vague)
		return;
	if (!begins && history_rip(h->vm) == rip) {
		h->turns = before->happened + 1;
		return;
	}
	h->steps = begins ? 1 : before->at + 1;
	h->turns = 0;
}

static void measure(struct history *h, uint64_t insns, uint64_t ns)
{
	if (h->counted && insns > SLICE_MIN)
		h->ns_per_insn = (h->ns_per_insn + (double)ns / (double)insns) / 2;
}

const struct vm_stop *history_drive(
	struct history *h, const struct vcpu_debug *debug, enum history_hold hold)
{
	struct place before = history_here(h);
	uint64_t insns = backend_icount(h->vm->cpu), started;
	uint64_t rip = h->counted || !debug->step ? 0 : history_rip(h->vm);
	struct vm *vm = h->vm;
	int r = backend_set_debug(vm->cpu, debug);

	if (r) {
		vm_stop_set(vm, VM_FAILED, "debug requests: %s", strerror(-r));
		return &vm->stop;
	}
	h->hold = hold;
	h->held_by_us = false;
	h->asked = vm->hold;
	h->asked_ctx = vm->hold_ctx;
	vm->hold = on_hold;
	vm->hold_ctx = h;
	h->journal.quiet = !h->live;
	journal_attach(&h->journal, vm);
	started = monotonic_ns();
	vm_run(vm);
	measure(h, backend_icount(vm->cpu) - insns, monotonic_ns() - started);
	journal_detach(&h->journal, vm);
	vm->hold = h->asked;
	vm->hold_ctx = h->asked_ctx;
	h->stage = stage_now(h, &before);
	if (!h->counted)
		count_steps(h, &before, debug->step, rip);
	return &vm->stop;
}

bool history_breaks_here(struct history *h, const struct vcpu_debug *debug)
{
	return (h->counted || !h->turns) && history_stop_at_break(h->vm, debug);
}

bool history_stop_at_break(struct vm *vm, const struct vcpu_debug *debug)
{
	struct cpu_regs regs;

	if (!debug->n_breaks || backend_get_regs(vm->cpu, &regs))
		return false;
	for (size_t i = 0; i < debug->n_breaks; i++) {
		if (debug->breaks[i] != regs.rip)
			continue;
		vm_stop_set(vm, VM_DEBUG, "debug stop");
		vm->stop.exit = (struct vcpu_exit){ .kind = VCPU_DEBUG,
			.why = VCPU_BREAKPOINT,
			.rip = regs.rip,
			.addr = regs.rip };
		return true;
	}
	return false;
}

void history_show(struct history *h)
{
	struct vm *vm = h->vm;
	struct cpu_regs regs = { 0 };

	switch (h->stage) {
	case PLACE_ENDED:
		vm->stop = h->ended;
		return;
	case PLACE_ASKED:
	case PLACE_ANSWERED:
		vm_stop_set(vm, VM_CALL, "%s hypercall %s",
			h->stage == PLACE_ANSWERED ? "after" : "before", vm->call.row->name);
		vm->stop.exit = vm->exit;
		return;
	case PLACE_PLAIN:
		backend_get_regs(vm->cpu, &regs);
		vm_stop_set(vm, VM_DEBUG, "debug stop");
		vm->stop.exit =
			(struct vcpu_exit){ .kind = VCPU_DEBUG, .why = VCPU_STEP, .rip = regs.rip };
	}
}

/* ---- checkpoints ---- */

uint64_t history_insns_for(const struct history *h, double ns)
{
	double insns = ns / h->ns_per_insn;

	return insns < SLICE_MIN ? SLICE_MIN : insns > 1e12 ? (uint64_t)1e12 : (uint64_t)insns;
}

uint64_t history_pace(const struct history *h)
{
	double ns = PACE * h->ns_per_checkpoint;

	return history_insns_for(h, ns < PACE_NS ? PACE_NS : ns);
}

int history_checkpoint_here(struct history *h, bool edit)
{
	struct place here = history_here(h);
	uint64_t started = monotonic_ns();
	int r;

	h->checkpoints.focus[0] = h->aim.calls || h->aim.at ? h->aim : here;
	h->checkpoints.focus[1] = place_compare(&h->end, &here) > 0 ? h->end : here;
	h->checkpoints.max_bytes =
		h->options.max_bytes > h->answers_max ? h->options.max_bytes - h->answers_max : 0;
	r = checkpoint_take(&h->checkpoints, &here, edit);
	h->last_checkpoint_ns = monotonic_ns();
	h->ns_per_checkpoint =
		(3 * h->ns_per_checkpoint + (double)(h->last_checkpoint_ns - started)) / 4;
	return r;
}

int history_restore(struct history *h, const struct checkpoint *c)
{
	h->stage = c->place.stage;
	h->edits = c->place.edits;
	h->steps = c->place.at;
	h->turns = c->place.happened;
	h->vague = c->place.vague;
	h->journal.diverged = false;
	if (c->place.stage == PLACE_ASKED)
		h->journal.at = c->place.at;
	return checkpoint_restore(&h->checkpoints, c);
}

void history_checkpoint_stepped(struct history *h, const struct place *here)
{
	if (here->stage == PLACE_PLAIN && !here->vague && !here->happened && checkpoint_is_due(h))
		history_checkpoint_here(h, false); /* without it, it is slower */
}

/* ---- moving ---- */

bool history_interrupted(struct history *h)
{
	const struct history_options *o = &h->options;

	if (!h->interrupted && o->poll && o->poll(o->poll_ctx))
		h->interrupted = true;
	return h->interrupted;
}

/* The machine stopped, but not where it should have. */
static int not_there(struct history *h, struct err *err)
{
	const struct vm_stop *stop = &h->vm->stop;

	if (h->stage != PLACE_ENDED && (stop->kind == VM_PAUSED || stop->kind == VM_KICKED))
		return -EINTR;
	if (h->journal.diverged)
		return err_set(err, -EIO, "%s", stop->text);
	if (stop->kind == VM_CALL)
		return err_set(err, -ERANGE, "there is no such place: call %llu comes before it",
			(unsigned long long)h->vm->call.seq);
	if (stop->kind == VM_DEBUG)
		return err_set(err, -ERANGE, "there is no such place");
	return err_set(err, -EIO, "the guest did not do again what it did: %s",
		stop->kind == VM_EXITED ? "it exited" : stop->text);
}

/* Was it paused for something that can wait? */
static bool just_paused(struct history *h)
{
	return h->vm->stop.kind == VM_PAUSED && h->options.poll && !history_interrupted(h);
}

/* Where nobody counts, a pause may have come before a step or behind it. */
bool history_goes_on(struct history *h)
{
	return h->counted && just_paused(h);
}

static int step(struct history *h, bool turns, struct err *err)
{
	const struct vcpu_debug d = { .step = true, .turns = turns };
	struct place before = history_here(h), here;

	do { /* a pause may come before the instruction as well as behind it */
		history_drive(h, &d, HOLD_NEVER);
		here = history_here(h);
	} while (history_goes_on(h) && !place_compare(&here, &before));
	return h->vm->stop.kind == VM_DEBUG || history_goes_on(h) ? 0 : not_there(h, err);
}

/* Until so many instructions are retired, in slices. */
static int run_until(struct history *h, uint64_t at, struct err *err)
{
	while (backend_icount(h->vm->cpu) < at) {
		uint64_t left = at - backend_icount(h->vm->cpu),
			 slice = history_insns_for(h, SLICE_NS);
		const struct vm_stop *stop;

		if (history_interrupted(h))
			return -EINTR;
		stop = history_drive(h,
			&(struct vcpu_debug){ .until = left < slice ? at : at - left + slice },
			HOLD_NEVER);
		if (stop->kind != VM_DEBUG && !history_goes_on(h))
			return not_there(h, err);
	}
	return 0;
}

int history_approach(struct history *h, uint64_t at, struct err *err)
{
	int r = 0;

	for (uint64_t now; !r && (now = backend_icount(h->vm->cpu)) + HISTORY_NEAR < at;) {
		r = run_until(h, at - (at - now) / 4, err);
		if (!r && h->stage == PLACE_PLAIN)
			history_checkpoint_here(h, false); /* without it, it is slower */
	}
	return r;
}

static int run_to_count(struct history *h, uint64_t at, bool dense, struct err *err)
{
	int r = dense ? history_approach(h, at, err) : 0;

	return r ? r : run_until(h, at, err);
}

/* Held in a call, before or behind its answer. limit: instructions that are too many; 0: nobody
 * counts. */
static int run_to_call(
	struct history *h, uint64_t call, bool answered, uint64_t limit, struct err *err)
{
	h->hold_call = call;
	h->hold_answered = answered;
	do
		history_drive(h, &(struct vcpu_debug){ .until = limit }, HOLD_AT);
	while (just_paused(h));
	return h->vm->stop.kind == VM_CALL ? 0 : not_there(h, err);
}

static int run_to_end(struct history *h, uint64_t limit, struct err *err)
{
	do
		history_drive(h, &(struct vcpu_debug){ .until = limit }, HOLD_NEVER);
	while (just_paused(h));
	return h->stage == PLACE_ENDED ? 0 : not_there(h, err);
}

static int reach_plain(struct history *h, const struct place *to, bool dense, struct err *err)
{
	struct place here;
	int r = run_to_count(h, to->at, dense, err);

	while (!r) {
		here = history_here(h);
		if (place_compare_run(&here, to) >= 0)
			break;
		r = step(h, true, err); /* out of a call, or into an exception's handler */
	}
	return r;
}

static int reach_counted(struct history *h, const struct place *to, bool dense, struct err *err)
{
	int r;

	if (to->stage == PLACE_PLAIN)
		return reach_plain(h, to, dense, err);
	r = run_to_count(h,
		to->stage == PLACE_ASKED ? to->at
		: to->at                 ? to->at - 1
					 : 0,
		dense, err);
	if (r)
		return r;
	if (to->stage == PLACE_ENDED)
		return run_to_end(h, to->at + 1, err);
	if (to->stage == PLACE_ASKED)
		return run_to_call(h, to->calls, false, to->at + 1, err);
	return run_to_call(h, to->calls - 1, true, to->at, err);
}

bool history_by_turns(const struct place *here, const struct place *to)
{
	return to->happened && to->stage == PLACE_PLAIN && here->stage == PLACE_PLAIN &&
	       here->calls == to->calls && here->at == to->at;
}

static int reach_by_steps(struct history *h, const struct place *to, struct err *err)
{
	struct place here = history_here(h);
	int r = 0;

	if (to->stage == PLACE_ENDED)
		return run_to_end(h, 0, err);
	if (to->stage == PLACE_ASKED)
		return run_to_call(h, to->calls, false, 0, err);
	if (here.calls != to->calls || here.vague)
		r = run_to_call(h, to->calls - 1, true, 0, err);
	for (; !r; r = step(h, history_by_turns(&here, to), err)) {
		here = history_here(h);
		if (place_compare_run(&here, to) >= 0)
			break;
		if (history_interrupted(h))
			return -EINTR;
		history_checkpoint_stepped(h, &here);
	}
	return r;
}

/* From a place at or before it, with nothing edited in between. */
static int reach(struct history *h, const struct place *to, bool dense, struct err *err)
{
	struct place here = history_here(h);
	int r = 0;

	if (place_compare(&here, to) < 0 || here.vague)
		r = h->counted ? reach_counted(h, to, dense, err) : reach_by_steps(h, to, err);
	if (r)
		return r;
	here = history_here(h);
	if (here.calls != to->calls || here.at != to->at || here.stage != to->stage)
		return err_set(err, -ERANGE, "there is no such place");
	history_show(h);
	return 0;
}

int history_move(struct history *h, const struct place *to, bool dense, struct err *err)
{
	const struct checkpoint *c = checkpoint_at(&h->checkpoints, to);
	struct place here = history_here(h);
	int r = 0;

	if (here.vague || here.edits != to->edits || place_compare(&here, to) > 0 ||
		place_compare(&here, &c->place) < 0)
		r = history_restore(h, c);
	if (r)
		return err_set(err, r, "the machine cannot be put back: %s", strerror(-r));
	return reach(h, to, dense, err);
}

/* ---- one back ---- */

/* How many calls were answered when so many instructions were retired? */
static uint64_t calls_before(const struct history *h, uint64_t at)
{
	uint64_t low = h->journal.first, high = journal_end(&h->journal);

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (journal_call(&h->journal, middle)->at < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct place instruction_before(const struct history *h, const struct place *now)
{
	uint64_t at = now->stage == PLACE_ASKED || !now->at ? now->at : now->at - 1;

	return (struct place){ .calls = calls_before(h, at), .at = at, .stage = PLACE_PLAIN };
}

/* Where nobody counts: where the steps to it begin. */
static struct place call_before(const struct history *h, const struct place *now)
{
	uint64_t calls = now->calls;

	if (now->stage == PLACE_ANSWERED ||
		(now->stage == PLACE_ENDED && calls > h->journal.first &&
			calls <= journal_end(&h->journal) &&
			journal_call(&h->journal, calls - 1)->stop))
		calls--;
	return calls > h->begin.calls ? (struct place){ .calls = calls, .stage = PLACE_ANSWERED }
				      : h->begin;
}

/* Step by step; the last one before. */
static int step_up_to(
	struct history *h, const struct place *now, struct place *before, struct err *err)
{
	bool in_call = now->stage == PLACE_ASKED || now->stage == PLACE_ANSWERED;
	struct place here = history_here(h), last;

	h->hold_call = now->stage == PLACE_ASKED ? now->calls : now->calls - 1;
	h->hold_answered = now->stage == PLACE_ANSWERED;
	while (place_compare_run(&here, now) < 0) {
		last = here;
		if (h->counted || !here.happened)
			*before = here;
		if (history_interrupted(h))
			return -EINTR;
		history_checkpoint_stepped(h, &here);
		history_drive(
			h, &(struct vcpu_debug){ .step = true }, in_call ? HOLD_AT : HOLD_NEVER);
		here = history_here(h);
		if (place_compare_run(&here, &last) <= 0 && !history_goes_on(h))
			return not_there(h, err);
	}
	return 0;
}

int history_place_before(
	struct history *h, const struct place *now, struct place *before, struct err *err)
{
	struct place from = h->counted ? instruction_before(h, now) : call_before(h, now);
	const struct checkpoint *c = checkpoint_before(&h->checkpoints, now);
	int r;

	if (!c)
		return err_set(err, -ERANGE, "there is nothing before");
	from.edits = c->place.edits;
	if (place_compare_run(&from, &c->place) < 0)
		from = c->place;
	r = history_move(h, &from, true, err);
	return r ? r : step_up_to(h, now, before, err);
}
