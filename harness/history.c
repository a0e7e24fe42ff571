// SPDX-License-Identifier: ISC
/* The history of a machine: its beginning, its end, the way forward, and what may be changed in it. */
#include "history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "edits.h"
#include "err.h"
#include "history_move.h"
#include "hcall.h"
#include "trace_record.h"
#include "vm.h"

enum { CHECKPOINTS = 128 };
#define BYTES (256ull << 20)

/* Twice this is what answers may take. */
static size_t answers_share(const struct history *h)
{
	return h->options.max_bytes / 4;
}

int history_open(
	struct history **out, struct vm *vm, const struct history_options *options, struct err *err)
{
	struct history *h;
	int r;

	if (vm->call_state != VM_CALL_NONE)
		return err_set(err, -EBUSY, "time travel cannot begin inside of a call");
	h = calloc(1, sizeof(*h));
	if (!h)
		return err_set(err, -ENOMEM, "out of memory");
	h->vm = vm;
	h->options = *options;
	if (!h->options.max_bytes)
		h->options.max_bytes = BYTES;
	if (!h->options.max_checkpoints)
		h->options.max_checkpoints = CHECKPOINTS;
	h->counted = vm->cpu->ops->icount;
	h->journal.first = h->journal.entered = vm->n_calls;
	h->stage = PLACE_PLAIN;
	h->limit_call = UINT64_MAX;
	h->ns_per_insn = 20;
	h->begin = h->end = history_here(h);
	h->base = options->base;
	h->answers_max = answers_share(h);
	r = checkpoint_list_init(
		&h->checkpoints, vm, h->options.max_bytes, h->options.max_checkpoints);
	if (!r)
		r = history_checkpoint_here(h, false);
	if (r) {
		history_close(h);
		return err_set(err, r, "time travel on %s: %s", vm->cpu->ops->name, strerror(-r));
	}
	*out = h;
	return 0;
}

void history_close(struct history *h)
{
	if (!h)
		return;
	checkpoint_list_finish(&h->checkpoints);
	journal_finish(&h->journal);
	free(h);
}

/* ---- places as others see them ---- */

/*
 * The count at which the instructions behind the last of so many calls begin. Steps begin in front of the one that makes
 * the call, which is none of them.
 */
static uint64_t base_of(const struct history *h, uint64_t calls)
{
	if (!h->counted)
		return calls > h->begin.calls || h->forgotten;
	return calls > h->journal.first ? journal_at(&h->journal, calls - 1) + 1 : h->base;
}

static struct history_pos pos_of(const struct history *h, const struct place *p)
{
	bool vague = p->vague || p->calls > journal_end(&h->journal) ||
		     (!h->counted && p->at == HISTORY_STEPS_MAX);
	uint64_t base = p->stage == PLACE_ANSWERED ? p->at : base_of(h, p->calls);

	return (struct history_pos){
		.calls = p->calls,
		.insns = vague ? HISTORY_UNKNOWN : p->at - base,
		.stage = p->stage,
		.happened = p->happened,
		.edits = p->edits,
	};
}

void history_now(struct history *h, struct history_pos *pos)
{
	struct place here = history_here(h);

	*pos = pos_of(h, &here);
}

void history_begin(struct history *h, struct history_pos *pos)
{
	*pos = pos_of(h, &h->begin);
}

void history_end(struct history *h, struct history_pos *pos)
{
	*pos = pos_of(h, &h->end);
}

int history_compare(const struct history_pos *a, const struct history_pos *b)
{
	struct place x = { .calls = a->calls,
		.at = a->insns,
		.stage = a->stage,
		.happened = a->happened,
		.edits = a->edits };
	struct place y = { .calls = b->calls,
		.at = b->insns,
		.stage = b->stage,
		.happened = b->happened,
		.edits = b->edits };

	return place_compare(&x, &y);
}

/*
 * Where nobody counts, a place behind the last call may be before or behind the end; then nothing is known of what comes,
 * and it is as good as the end.
 */
static bool is_past(const struct history *h, const struct place *here)
{
	if (h->counted || !(here->vague || h->end.vague))
		return place_compare(here, &h->end) < 0;
	return here->calls < journal_end(&h->journal) || h->end.stage == PLACE_ENDED ||
	       checkpoint_next_edit(&h->checkpoints, here);
}

bool history_in_past(struct history *h)
{
	struct place here = history_here(h);

	return is_past(h, &here);
}

static int known(const struct history *h, struct err *err)
{
	if (h->journal.broken)
		return err_set(err, -ENOMEM, "memory was too short to remember what the guest did");
	return 0;
}

/* ---- forward ---- */

/* An edit that is made in a call: that one is held. */
static void limit_by_edit(struct history *h, const struct place *edit)
{
	h->limit_call = UINT64_MAX;
	if (edit && edit->stage == PLACE_ASKED)
		h->limit_call = edit->calls;
	else if (edit && (edit->stage == PLACE_ANSWERED || !h->counted))
		h->limit_call = edit->calls - 1;
	h->limit_answered = !edit || edit->stage != PLACE_ASKED;
}

/* ---- what a debugger wrote in the recording ---- */

/* What is to be written before the next new call, the machine being behind the last one that is known. */
static const struct trace_edit *pending(const struct history *h, const struct place *here)
{
	const struct edits *e = h->options.edits;
	const struct trace_record *record =
		e && here->calls == journal_end(&h->journal) ? e->next(e->ctx) : NULL;

	return record ? &record->edit : NULL;
}

static bool is_pending_here(const struct history *h, const struct place *here)
{
	const struct trace_edit *edit = pending(h, here);

	if (!edit || is_past(h, here))
		return false;
	if (edit->held || here->stage != PLACE_PLAIN)
		return edit->held && h->vm->call_state == VM_CALL_HELD;
	if (!h->counted)
		return h->options.edits->steps == (int64_t)edit->insns;
	return here->at == h->options.edits->base + edit->insns && here->happened == edit->happened;
}

/* 0; or -errno with err, or with vm->stop of another kind. */
static int make_pending(struct history *h, struct err *err)
{
	int r = history_edit(h, err);

	h->vm->stop.kind = VM_RUNNING;
	if (!r)
		edits_make(h->options.edits);
	if (!r && h->vm->stop.kind == VM_RUNNING)
		return history_edited(h, err);
	return r ? r : -ECANCELED;
}

/* No further than there. */
static void plan_pending(struct history *h, const struct place *here, struct vcpu_debug *d)
{
	const struct trace_edit *edit = pending(h, here);
	uint64_t at = edit ? h->options.edits->base + edit->insns : 0;

	if (!edit || edit->held || here->stage == PLACE_ASKED)
		return;
	if (!h->counted || here->stage == PLACE_ANSWERED || backend_icount(h->vm->cpu) >= at)
		d->step = true;
	else if (!d->until || at < d->until)
		d->until = at;
}

/*
 * What was written in the recording is written here. 1: it was, 0: there is nothing, or -errno with err: where it is is
 * not known any more, or vm->stop says why.
 */
static int write_pending(struct history *h, struct err *err)
{
	struct place here = history_here(h);
	const struct trace_edit *edit = pending(h, &here);
	int r = edit && !edit->held && here.vague ? history_locate(h, err) : 0;

	here = history_here(h);
	if (!r && is_pending_here(h, &here))
		r = make_pending(h, err) ? -ECANCELED : 1;
	if (r < 0 && h->vm->stop.kind != VM_KICKED)
		vm_stop_set(h->vm, r == -EINTR ? VM_PAUSED : VM_FAILED, "%s", err->text);
	return r;
}

/* Is the next step one that was not taken before, on the way to what is to be written? */
static bool counts_for_pending(const struct history *h, const struct place *here)
{
	const struct trace_edit *edit = pending(h, here);

	return edit && !edit->held && !h->counted && here->stage <= PLACE_PLAIN &&
	       !is_past(h, here);
}

/* What to ask the backend for: no more than until the next place where something is to be done. */
static struct vcpu_debug plan(struct history *h, const struct vcpu_debug *debug,
	const struct place *here, const struct place *edit)
{
	struct vcpu_debug d = *debug;
	uint64_t until;

	limit_by_edit(h, edit);
	if (edit && edit->stage == PLACE_PLAIN && here->calls == edit->calls && !here->vague &&
		(!h->counted || here->at >= edit->at))
		d.step = true;
	if (!edit)
		plan_pending(h, here, &d);
	if (d.step || !h->counted)
		return d;
	until = here->at + history_pace(h);
	if (edit && edit->stage == PLACE_PLAIN && edit->at < until)
		until = edit->at;
	if (!d.until || until < d.until)
		d.until = until;
	return d;
}

/* Did it stop for something that nobody asked for but us? */
static bool is_ours(struct history *h, const struct vcpu_debug *debug)
{
	const struct vm_stop *stop = &h->vm->stop;

	if (stop->kind == VM_CALL)
		return h->held_by_us;
	if (stop->kind != VM_DEBUG)
		return false;
	if (stop->exit.why == VCPU_COUNTED)
		return !debug->until || backend_icount(h->vm->cpu) < debug->until;
	return stop->exit.why == VCPU_STEP && !debug->step && !history_breaks_here(h, debug);
}

static void checkpoint_if_due(struct history *h)
{
	struct place here = history_here(h);
	const struct checkpoint *c = checkpoint_at(&h->checkpoints, &here);

	if (here.vague || (h->counted && here.at - c->place.at < history_pace(h) / 2))
		return;
	history_checkpoint_here(h, false); /* when memory is short, without */
}

/* ---- what is too old ---- */

static void answers_end_behind(struct history *h, const struct place *middle)
{
	h->checkpoints.middle = *middle;
	h->answers_max = journal_size_before(&h->journal, middle->calls) + answers_share(h);
}

/* It begins where that call's instruction is over: there is nothing to be finished there. */
static void begin_behind(struct history *h, const struct place *answered)
{
	h->forgotten += answered->calls - h->begin.calls;
	h->begin = *answered;
	h->begin.stage = PLACE_PLAIN;
	h->begin.at += !h->counted;
	h->base = h->begin.at;
	checkpoint_cut_before(&h->checkpoints, answered);
	journal_cut_before(&h->journal, answered->calls);
}

/*
 * Answers are kept in two halves, with a state between them. When the second is full the first is forgotten, with the
 * states in it; the way back begins at the state between them then, and the next one is here.
 */
static void forget_oldest(struct history *h)
{
	struct place here = history_here(h);

	if (here.stage != PLACE_ANSWERED || here.calls != journal_end(&h->journal) ||
		journal_size(&h->journal) <= h->answers_max)
		return;
	if (h->checkpoints.middle.calls > h->begin.calls)
		begin_behind(h, &h->checkpoints.middle);
	answers_end_behind(h, &here);
	if (history_checkpoint_here(h, false)) {
		answers_end_behind(h, &h->begin);
	} else if (journal_size(&h->journal) > 2 * answers_share(h)) { /* of one call */
		begin_behind(h, &here);
		answers_end_behind(h, &here);
	}
}

static void note_end(struct history *h)
{
	struct place here = history_here(h);

	if (h->stage == PLACE_ENDED)
		h->ended = h->vm->stop;
	else if (is_past(h, &here))
		return;
	h->end = here;
}

/* A breakpoint is no more where RIP was changed at it, as for a function that a debugger called. */
static bool leaves_break(struct history *h, const struct vm_stop *stop)
{
	return stop->kind == VM_DEBUG && stop->exit.why == VCPU_BREAKPOINT &&
	       history_rip(h->vm) != stop->exit.rip;
}

/* Where it stops something was changed when it was here: it shows what was made of it. */
static void stop_behind_edits(struct history *h)
{
	struct place here = history_here(h);
	const struct checkpoint *edit = checkpoint_next_edit(&h->checkpoints, &here);
	struct vm_stop stop = h->vm->stop;
	struct checkpoint *before = NULL;

	if (edit && !here.vague && !place_compare_run(&edit->place, &here))
		before = checkpoint_new(&h->checkpoints, &here);
	for (; edit && !here.vague && !place_compare_run(&edit->place, &here);
		edit = checkpoint_next_edit(&h->checkpoints, &here)) {
		history_restore(h, edit);
		here = history_here(h);
		h->vm->stop = stop;
	}
	if (before && leaves_break(h, &stop)) {
		history_restore(h, before);
		h->vm->stop = stop;
	}
	checkpoint_free(&h->checkpoints, before);
}

static void drive_on(struct history *h, const struct vcpu_debug *debug, const struct place *here)
{
	bool counts = counts_for_pending(h, here);

	if (counts)
		edits_step(h->options.edits);
	history_drive(h, debug, HOLD_AS_ASKED);
	if (counts) {
		edits_stepped(h->options.edits);
		note_end(h);
	}
}

const struct vm_stop *history_run(struct history *h, const struct vcpu_debug *debug)
{
	const struct checkpoint *edit;
	struct err err = { "" };
	struct vcpu_debug d;
	struct place here;
	int r;

	if (h->stage == PLACE_ENDED) {
		history_show(h);
		return &h->vm->stop;
	}
	h->live = true;
	do {
		here = history_here(h);
		edit = checkpoint_next_edit(&h->checkpoints, &here);
		if (edit && !place_compare_run(&edit->place, &here) && !here.vague) {
			history_restore(h, edit);
			continue;
		}
		r = edit ? 0 : write_pending(h, &err);
		if (r < 0)
			break;
		if (r)
			continue;
		here = history_here(h);
		d = plan(h, debug, &here, edit ? &edit->place : NULL);
		drive_on(h, &d, &here);
		forget_oldest(h);
		if (!is_ours(h, debug))
			break;
		checkpoint_if_due(h);
	} while (true);
	h->live = false;
	h->limit_call = UINT64_MAX;
	stop_behind_edits(h);
	note_end(h);
	return &h->vm->stop;
}

/* ---- to a place ---- */

uint32_t history_edits_at(const struct history *h, const struct place *p)
{
	uint32_t edits = h->begin.edits;

	for (size_t i = 0; i < h->checkpoints.n; i++) {
		const struct checkpoint *c = h->checkpoints.items[i];
		int order = place_compare_run(&c->place, p);

		if (c->edit && (order < 0 || (!order && c->place.edits <= p->edits)))
			edits = c->place.edits;
	}
	return edits;
}

static int place_at_call(struct history *h, uint64_t call, struct place *to, struct err *err)
{
	to->stage = PLACE_PLAIN;
	if (!h->counted) { /* held in it is as near as it gets */
		to->stage = PLACE_ASKED;
		to->at = HISTORY_STEPS_MAX;
	} else if (call < journal_end(&h->journal)) {
		to->at = journal_call(&h->journal, call)->at;
	} else if (h->end.stage == PLACE_ASKED) {
		to->at = h->end.at;
	} else {
		return err_set(
			err, -ERANGE, "call %llu was not asked yet", (unsigned long long)call);
	}
	return 0;
}

/* Did the guest exit by the last of so many calls? There is nothing behind its answer. */
static bool is_exit(const struct history *h, uint64_t calls)
{
	return h->end.stage == PLACE_ENDED && calls == h->end.calls && calls > h->journal.first &&
	       journal_call(&h->journal, calls - 1)->stop;
}

static int to_place(
	struct history *h, const struct history_pos *pos, struct place *to, struct err *err)
{
	uint64_t base, end = journal_end(&h->journal);

	if (pos->calls < h->journal.first || pos->calls > end)
		return err_set(err, -ERANGE, "call %llu: there are calls %llu to %llu",
			(unsigned long long)pos->calls, (unsigned long long)h->journal.first,
			(unsigned long long)end);
	*to = (struct place){ .calls = pos->calls,
		.stage = pos->stage,
		.happened = pos->happened,
		.edits = pos->edits };
	if (pos->insns == HISTORY_AT_CALL)
		return place_at_call(h, pos->calls, to, err);
	if (to->stage == PLACE_PLAIN && !pos->insns && is_exit(h, pos->calls)) {
		*to = h->end;
		return 0;
	}
	base = base_of(h, pos->calls);
	to->at = base + pos->insns;
	if (!h->counted && to->stage >= PLACE_ASKED) {
		to->at = HISTORY_STEPS_MAX;
	} else if (to->at < base || pos->insns == HISTORY_UNKNOWN) {
		return err_set(err, -ERANGE, "there is no such place");
	} else if (h->counted && pos->calls < end &&
		   to->at > journal_call(&h->journal, pos->calls)->at) {
		return err_set(err, -ERANGE, "there are %llu instructions before call %llu",
			(unsigned long long)(journal_call(&h->journal, pos->calls)->at - base),
			(unsigned long long)pos->calls);
	}
	if (!h->counted && to->stage == PLACE_ANSWERED)
		to->at = pos->insns;
	return 0;
}

/* After a journey that did not come to its end. */
static int go_back(struct history *h, struct checkpoint *origin, int r, struct err *err)
{
	int back = r ? history_restore(h, origin) : 0;

	checkpoint_free(&h->checkpoints, origin);
	if (back)
		return err_set(err, back, "the machine cannot be put back: %s", strerror(-back));
	if (r == -EINTR)
		err_set(err, r, "interrupted");
	return r;
}

int history_begin_journey(struct history *h, struct checkpoint **origin, struct err *err)
{
	struct place here = history_here(h);
	int r = known(h, err);

	if (r)
		return r;
	h->interrupted = false;
	if (h->options.poll && !history_interrupted(h))
		h->vm->paused = 0; /* of an earlier run */
	*origin = checkpoint_new(&h->checkpoints, &here);
	return *origin ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int history_end_journey(struct history *h, struct checkpoint *origin, int r, struct err *err)
{
	h->aim = (struct place){ 0 };
	return go_back(h, origin, r, err);
}

int history_seek(struct history *h, const struct history_pos *pos, struct err *err)
{
	struct checkpoint *origin;
	struct place to;
	int r = to_place(h, pos, &to, err);

	if (!r && !h->end.vague && place_compare_run(&to, &h->end) > 0)
		r = err_set(err, -ERANGE, "that is behind the end of what the guest did");
	if (!r && place_compare_run(&to, &h->begin) < 0)
		r = err_set(err, -ERANGE, "that is before the beginning");
	if (!r)
		r = history_begin_journey(h, &origin, err);
	if (r)
		return r;
	to.edits = history_edits_at(h, &to);
	return history_end_journey(h, origin, history_move(h, &to, false, err), err);
}

/* ---- what cannot be counted is looked for ---- */

enum {
	ENTRIES = 512,
	ENTRY_PRESENT = 1 << 0,
	ENTRY_USED = 3 << 5, /* accessed, dirty */
	ENTRY_LARGE = 1 << 7,
	TABLES_MAX = 1 << 12, /* looked at: a guest may have them in circles */
};
#define ENTRY_ADDRESS 0x000ffffffffff000ull

/* Is this page a table below that one? budget: how many more are looked at. */
static bool is_table(
	const struct gmem *m, uint64_t table, int level, uint64_t page, unsigned *budget)
{
	uint64_t entries[ENTRIES];

	if (table == page)
		return true;
	if (!level || !*budget || gmem_read(m, table, entries, sizeof(entries)))
		return false;
	--*budget;
	for (size_t i = 0; i < ENTRIES; i++)
		if ((entries[i] & ENTRY_PRESENT) && !(entries[i] & ENTRY_LARGE) &&
			is_table(m, entries[i] & ENTRY_ADDRESS, level - 1, page, budget))
			return true;
	return false;
}

/* The CPU notes in tables what it used, and when it does depends on what it keeps of them. */
static bool same_table(struct history *h, uint64_t cr3, uint64_t page, const uint8_t *was)
{
	uint64_t then[ENTRIES], now[ENTRIES];
	unsigned budget = TABLES_MAX;

	memcpy(then, was, sizeof(then));
	if (gmem_read(&h->vm->mem, page, now, sizeof(now)))
		return false;
	for (size_t i = 0; i < ENTRIES; i++)
		if ((then[i] ^ now[i]) & ~(uint64_t)ENTRY_USED)
			return false;
	return is_table(&h->vm->mem, cr3 & ENTRY_ADDRESS, 3, page, &budget);
}

static bool same_memory(struct history *h, uint64_t cr3, const struct image *image)
{
	uint64_t page = 0;
	const uint8_t *was;

	for (; image_differs(image, &h->vm->mem, &page, &was); page += IMAGE_PAGE)
		if (!same_table(h, cr3, page, was))
			return false;
	return true;
}

/*
 * Which x87 instruction was the last, and on what, depends on who executed it: the software CPU does not always note it.
 * SDM 1 table 10-2: opcode, instruction, data.
 */
enum { FX_LAST = 6, FX_LAST_LEN = 18 };

static bool same_state(struct history *h, const struct cpu_state *state, const struct checkpoint *c)
{
	struct cpu_state now;

	if (backend_save(h->vm->cpu, &now))
		return false;
	now.tsc = state->tsc;
	memcpy(now.fx + FX_LAST, state->fx + FX_LAST, FX_LAST_LEN);
	return !memcmp(&now, state, sizeof(now)) && same_memory(h, now.cr3, c->image);
}

/* Steps to a place begin behind the last edit before it. */
static void last_edit(const struct history *h, struct place *from)
{
	for (size_t i = 0; i < h->checkpoints.n; i++) {
		const struct checkpoint *c = h->checkpoints.items[i];

		if (c->edit && c->place.edits == from->edits && c->place.calls == from->calls)
			*from = c->place;
	}
}

/* May it be within the string instruction that comes next? Then its turns are looked at. */
static bool is_within(struct history *h, const struct cpu_state *state)
{
	struct cpu_regs now;

	return !backend_get_regs(h->vm->cpu, &now) && now.rip == state->regs.rip &&
	       now.gpr[CPU_RCX] > state->regs.gpr[CPU_RCX];
}

static int locate(struct history *h, const struct checkpoint *origin, struct err *err)
{
	struct place from = {
		.calls = origin->place.calls, .stage = PLACE_ANSWERED, .edits = origin->place.edits
	};
	struct cpu_state state;
	int r = backend_save(h->vm->cpu, &state);

	if (r)
		return err_set(err, r, "the CPU's state: %s", strerror(-r));
	if (from.calls == h->begin.calls) {
		from = h->begin;
		from.edits = origin->place.edits;
	}
	last_edit(h, &from);
	r = history_move(h, &from, false, err);
	while (!r && !same_state(h, &state, origin)) {
		struct place here = history_here(h);
		const struct vm_stop *stop;

		if (history_interrupted(h))
			return -EINTR;
		history_checkpoint_stepped(h, &here);
		stop = history_drive(h,
			&(struct vcpu_debug){ .step = true, .turns = is_within(h, &state) },
			HOLD_NEVER);
		if (stop->kind == VM_PAUSED || stop->kind == VM_KICKED)
			return -EINTR;
		if (stop->kind != VM_DEBUG || h->vm->n_calls != from.calls)
			return err_set(err, -EIO, "the guest did not come by here again");
	}
	return r;
}

int history_locate(struct history *h, struct err *err)
{
	struct place here = history_here(h);
	struct vm_stop stop = h->vm->stop;
	struct checkpoint *origin;
	bool at_end;
	int r;

	if (!here.vague)
		return 0;
	at_end = !is_past(h, &here);
	r = history_begin_journey(h, &origin, err);
	if (r)
		return r;
	r = history_end_journey(h, origin, locate(h, origin, err), err);
	h->vm->stop = stop;
	if (!r && at_end)
		h->end = history_here(h);
	return r;
}

/* ---- changes ---- */

int history_edit(struct history *h, struct err *err)
{
	int r = known(h, err);

	if (!r)
		r = history_locate(h, err);
	if (!r && h->stage == PLACE_ENDED)
		r = err_set(err, -EPERM, "the guest is at its end: reverse-stepi first");
	if (!r && history_in_past(h))
		r = err_set(err, -EROFS, "this is the past, and it was not so");
	return r;
}

int history_edited(struct history *h, struct err *err)
{
	struct place here = history_here(h);
	const struct checkpoint *c = checkpoint_at(&h->checkpoints, &here);
	bool again = c->edit && !place_compare(&c->place, &here);
	int r;

	h->edits += !again;
	r = history_checkpoint_here(h, true);
	h->end = history_here(h);
	return r ? err_set(err, r,
			   "out of memory: what was changed is forgotten when time goes back")
		 : 0;
}

static int rewind_answers(struct history *h, struct err *err)
{
	struct vm *vm = h->vm;

	if (vm->respond == hcall_answer_row || vm->n_calls == journal_end(&h->journal))
		return 0;
	if (!h->options.rewind)
		return err_set(err, -EOPNOTSUPP,
			"who answers the guest's calls cannot go back to call %llu",
			(unsigned long long)vm->n_calls);
	return h->options.rewind(h->options.rewind_ctx, vm->n_calls, err);
}

int history_fork(struct history *h, struct err *err)
{
	struct place here;
	int r = history_locate(h, err);

	if (!r)
		r = rewind_answers(h, err);
	if (r)
		return r;
	here = history_here(h);
	checkpoint_cut(&h->checkpoints, &here);
	journal_cut(&h->journal, here.calls);
	if (place_compare(&h->checkpoints.middle, &here) > 0)
		answers_end_behind(h, &h->begin);
	h->end = here;
	return 0;
}

/* ---- how much there is ---- */

void history_stat(const struct history *h, struct history_stat *stat)
{
	*stat = (struct history_stat){
		.checkpoints = h->checkpoints.n,
		.bytes = h->checkpoints.cost.bytes + journal_size(&h->journal),
		.calls = h->journal.n,
		.forgotten = h->forgotten,
	};
}
