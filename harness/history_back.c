// SPDX-License-Identifier: ISC
/*
 * Backwards. The stops in front of a place are found by running up to it, from one checkpoint after
 * the other, the newest first; the last one that is wanted is it. Where there are too many of them
 * on the way, the way is divided by more checkpoints first, so that only the last part of it is
 * searched.
 */
#include <errno.h>
#include <string.h>

#include "err.h"
#include "history_move.h"
#include "vm.h"

enum {
	STOPS_MAX = 256, /* on the way that is left, before it is divided */
	SLICE_NS = 3000000,
};

struct hit {
	bool found, watch, back; /* back: a call is answered */
	struct place place;
	struct vm_stop stop;
	/* The way that led to it, and how many stops there were on it. */
	struct place from, to;
	uint64_t n;
};

struct search {
	struct history *h;
	const struct history_back *back;
	struct vcpu_debug debug;
	struct place origin; /* where it is gone back from */
	struct place to;     /* what is looked at lies before; or, inclusive, is this */
	bool inclusive, divide;
	struct hit hit;
	struct place from;
	uint64_t n, n_wanted; /* stops; where nobody counts: the one to stay at, if not 0 */
};

enum { WAY_DONE, WAY_DIVIDE, WAY_STAY };

static bool is_return(const struct vm_stop *stop, const struct vm *vm)
{
	return stop->kind == VM_CALL && vm->call.answered;
}

/*
 * A call is back when its instruction is over, which is one step behind the place where it is held;
 * that takes no instruction more.
 */
static int order_of_return(const struct search *s, const struct place *here)
{
	const struct place *to = &s->to;

	if (here->calls != to->calls)
		return here->calls < to->calls ? -1 : 1;
	if (to->stage == PLACE_ANSWERED)
		return s->inclusive ? 0 : 1;
	if (to->stage != PLACE_PLAIN)
		return -1;
	return to->at > (s->h->counted ? here->at : 1) ? -1 : 0;
}

/* Where the call that is held there, answered, is over. */
static struct place behind(const struct search *s, const struct place *answered)
{
	struct place p = *answered;

	p.stage = PLACE_PLAIN;
	p.at += !s->h->counted;
	return p;
}

static void consider(struct search *s, bool watch)
{
	const struct vm_stop *stop = &s->h->vm->stop;
	struct place here = history_here(s->h);
	bool back = is_return(stop, s->h->vm);
	struct place over = behind(s, &here);
	int order = back ? order_of_return(s, &here) : place_compare_run(&here, &s->to);

	/* An access is before its instruction, so what stands right behind one has it behind
	 * itself. */
	if (order > 0 || (!order && !s->inclusive && !watch))
		return;
	if (back && place_compare_run(&over, &s->origin) >= 0)
		return;
	if (s->back->wanted && !s->back->wanted(s->back->ctx, s->h->vm, stop))
		return;
	s->hit = (struct hit){ true, watch, back, here, *stop, s->from, s->to, s->n };
}

/* Looks at a stop. 0, -EINTR, or another -errno with err. */
static int look(struct search *s, struct err *err)
{
	struct history *h = s->h;
	const struct vm_stop *stop = &h->vm->stop;
	struct place here;

	switch (stop->kind) {
	case VM_DEBUG:
		if (stop->exit.why != VCPU_STEP && stop->exit.why != VCPU_COUNTED) {
			s->n++;
			consider(s, stop->exit.why == VCPU_WATCHPOINT);
		}
		if ((stop->exit.why == VCPU_WATCHPOINT || stop->exit.why == VCPU_STEP) &&
			history_breaks_here(h, &s->debug))
			consider(s, false);
		return 0;
	case VM_CALL:
		if (!h->held_by_us) {
			s->n++;
			consider(s, false);
		}
		return 0;
	case VM_PAUSED:
		if (!history_goes_on(h))
			return -EINTR;
		here = history_here(h);
		if (place_compare(&here, &s->from) > 0 && history_breaks_here(h, &s->debug))
			consider(s, false);
		return 0;
	case VM_KICKED:
		return h->stage == PLACE_ENDED ? 0 : -EINTR;
	default:
		return h->journal.diverged ? err_set(err, -EIO, "%s", stop->text) : 0;
	}
}

/* The next piece of the way. */
static void run_on(struct search *s, const struct place *here)
{
	struct history *h = s->h;
	struct vcpu_debug d = s->debug;
	bool near = h->counted ? here->at >= s->to.at
			       : here->calls >= s->to.calls && here->stage != PLACE_ASKED;

	d.step = near;
	d.turns = !h->counted && history_by_turns(here, &s->to);
	h->limit_call = UINT64_MAX;
	if (!h->counted) {
		h->limit_answered = s->to.stage != PLACE_ASKED;
		h->limit_call = s->to.calls - h->limit_answered;
		if (s->to.stage == PLACE_ASKED || s->to.stage == PLACE_ENDED)
			d.step = false;
	} else if (!near) {
		uint64_t slice = history_insns_for(h, SLICE_NS);

		d.until = s->to.at - here->at < slice ? s->to.at : here->at + slice;
	}
	history_drive(h, &d, HOLD_AS_ASKED);
	h->limit_call = UINT64_MAX;
}

static bool should_divide(const struct search *s, const struct place *here)
{
	return s->divide && s->n > STOPS_MAX && s->to.at > here->at &&
	       s->to.at - here->at > 4 * HISTORY_NEAR;
}

/* From a checkpoint to s->to, looking at all stops. */
static int go_the_way(struct search *s, struct err *err)
{
	struct history *h = s->h;
	struct place here, last;
	int r;

	s->from = history_here(h);
	s->n = 0;
	for (here = s->from; place_compare_run(&here, &s->to) < 0; here = history_here(h)) {
		if (h->counted && should_divide(s, &here))
			return WAY_DIVIDE;
		if (history_interrupted(h))
			return -EINTR;
		last = here;
		run_on(s, &here);
		r = look(s, err);
		if (r)
			return r;
		if (s->n_wanted && s->n == s->n_wanted)
			return WAY_STAY;
		here = history_here(h);
		if (h->stage == PLACE_ENDED && place_compare_run(&here, &s->to) < 0 &&
			!h->end.vague)
			return err_set(err, -EIO, "the guest did not do again what it did: %s",
				h->vm->stop.text);
		if (h->counted && place_compare_run(&here, &last) < 0)
			return err_set(err, -EIO, "the guest did not do again what it did");
	}
	return WAY_DONE;
}

static int restore(struct history *h, const struct checkpoint *c, struct err *err)
{
	int r = history_restore(h, c);

	return r ? err_set(err, r, "the machine cannot be put back: %s", strerror(-r)) : 0;
}

/* One way: from the last checkpoint before s->to. WAY_DONE with s->to where it began, and s->hit.
 */
static int look_at_last_way(struct search *s, struct err *err)
{
	struct history *h = s->h;
	const struct checkpoint *c = checkpoint_before(&h->checkpoints, &s->to);
	struct place from = c->place;
	int r = restore(h, c, err);

	if (!r)
		r = go_the_way(s, err);
	if (r == WAY_DIVIDE) {
		memset(&s->hit, 0, sizeof(s->hit));
		r = history_approach(h, s->to.at, err);
		c = checkpoint_before(&h->checkpoints, &s->to);
		s->divide = place_compare(&c->place, &from) > 0;
		return r ? r : WAY_DIVIDE;
	}
	s->to = from;
	s->inclusive = s->divide = true;
	return r;
}

/* The first way is divided at once: it is short, and what is wanted is often near. */
static int divide_first(struct search *s, struct err *err)
{
	struct history *h = s->h;
	const struct checkpoint *c = checkpoint_before(&h->checkpoints, &s->to);
	int r;

	if (!h->counted || !c || s->to.at - c->place.at < 4 * HISTORY_NEAR)
		return 0;
	r = restore(h, c, err);
	return r ? r : history_approach(h, s->to.at, err);
}

static int find_last(struct search *s, struct err *err)
{
	int r = divide_first(s, err);

	while (r >= 0 && !s->hit.found && checkpoint_before(&s->h->checkpoints, &s->to)) {
		s->h->aim = s->to;
		r = look_at_last_way(s, err);
	}
	return r < 0 ? r : 0;
}

/*
 * What was changed there lies behind who comes by going forward, and is still to be undone by who
 * comes back. But where that was RIP, as for a function that a debugger calls, it is another
 * instruction that would be shown then: it stays before it.
 */
static int move_behind_edits(struct history *h, const struct place *place, struct err *err)
{
	struct place to = *place;
	uint64_t rip;
	int r = history_move(h, place, false, err);

	to.edits = UINT32_MAX;
	to.edits = history_edits_at(h, &to);
	if (r || to.edits == place->edits)
		return r;
	rip = history_rip(h->vm);
	r = history_move(h, &to, false, err);
	return r || history_rip(h->vm) == rip ? r : history_move(h, place, false, err);
}

/* To a stop that was found. Where nobody counts, by the way that led to it. */
static int go_to(struct search *s, const struct hit *hit, struct err *err)
{
	const struct checkpoint *c;
	int r;

	if (!hit->place.vague)
		return move_behind_edits(s->h, &hit->place, err);
	c = checkpoint_at(&s->h->checkpoints, &hit->from);
	r = restore(s->h, c, err);
	if (r)
		return r;
	s->to = hit->to;
	s->n_wanted = hit->n;
	r = go_the_way(s, err);
	if (r >= 0 && r != WAY_STAY)
		r = err_set(err, -EIO, "the guest did not do again what it did");
	return r < 0 ? r : 0;
}

/* Before the instruction whose access it was. */
static int go_before(struct search *s, const struct hit *hit, struct err *err)
{
	struct history *h = s->h;
	struct place at = hit->place, before;
	int r = 0;

	if (at.vague) {
		r = history_locate(h, err);
		at = history_here(h);
	}
	if (!r)
		r = history_place_before(h, &at, &before, err);
	return r ? r : history_move(h, &before, false, err);
}

/* Where the call is over. */
static int go_behind(struct search *s, const struct hit *hit, struct err *err)
{
	struct place to = behind(s, &hit->place);

	return move_behind_edits(s->h, &to, err);
}

static int land(struct search *s, struct err *err)
{
	struct hit hit = s->hit;
	struct vm *vm = s->h->vm;
	struct cpu_regs regs;
	int r = hit.watch && !hit.place.vague ? 0
		: hit.back                    ? go_behind(s, &hit, err)
					      : go_to(s, &hit, err);

	if (!r && hit.watch)
		r = go_before(s, &hit, err);
	if (r)
		return r;
	vm->stop = hit.stop;
	if (vm->stop.kind == VM_DEBUG && !backend_get_regs(vm->cpu, &regs))
		vm->stop.exit.rip = regs.rip;
	return 0;
}

static int back_to_stop(struct history *h, const struct history_back *back, struct err *err)
{
	static const struct vcpu_debug none;
	struct search s = { .h = h, .back = back, .origin = history_here(h), .divide = true };
	int r;

	s.to = s.origin;
	s.debug = back->debug ? *back->debug : none;
	s.debug.step = false;
	s.debug.until = 0;
	r = find_last(&s, err);
	if (r)
		return r;
	if (s.hit.found)
		return land(&s, err);
	r = move_behind_edits(h, &h->begin, err);
	return r ? r : HISTORY_BEGIN;
}

/* In front of a call that is held, and right behind one, a place before is at the same instruction. */
static bool is_same_instruction(
	const struct history *h, const struct place *before, const struct place *here)
{
	return here->stage == PLACE_ASKED ||
	       (before->stage == PLACE_ANSWERED && here->calls == before->calls &&
		       (!h->counted || here->at == before->at));
}

static int back_one(struct history *h, struct err *err)
{
	struct place here = history_here(h), before;
	int r;

	h->aim = here;
	r = history_place_before(h, &here, &before, err);
	if (!r && is_same_instruction(h, &before, &here) &&
		place_compare_run(&before, &h->begin) > 0) {
		here = before;
		r = history_place_before(h, &here, &before, err);
	}
	return r ? r : history_move(h, &before, false, err);
}

static int go_back(struct history *h, const struct history_back *back, struct err *err)
{
	struct place here = history_here(h);

	if (place_compare_run(&here, &h->begin) <= 0)
		return HISTORY_BEGIN;
	return back->step ? back_one(h, err) : back_to_stop(h, back, err);
}

int history_back(struct history *h, const struct history_back *back, struct err *err)
{
	struct checkpoint *origin;
	int r = history_begin_journey(h, &origin, err), result = HISTORY_STOPPED;

	if (r)
		return r;
	r = history_locate(h, err);
	if (!r)
		r = go_back(h, back, err);
	if (r == HISTORY_BEGIN) {
		result = HISTORY_BEGIN;
		history_show(h);
		r = 0;
	}
	r = history_end_journey(h, origin, r, err);
	return r ? r : result;
}
