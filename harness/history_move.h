/* SPDX-License-Identifier: ISC */
/* How a machine with a history is moved. Shared by history.c and history_back.c, for nobody else.
 */
#ifndef HISTORY_MOVE_H
#define HISTORY_MOVE_H

#include "backend.h"
#include "checkpoint.h"
#include "history.h"
#include "journal.h"

enum {
	HISTORY_NEAR = 2000, /* instructions that are run at once, whatever it is for */
};
#define HISTORY_STEPS_MAX UINT64_MAX /* without icount: at of what comes behind all steps */

enum history_hold {
	HOLD_NEVER,
	HOLD_AS_ASKED, /* as vm->hold says */
	HOLD_AT,       /* in one call */
};

struct history {
	struct vm *vm;
	struct history_options options;
	struct journal journal;
	struct checkpoint_list checkpoints;
	bool counted; /* there is an icount */

	/* Where it is, beside what the machine itself knows. */
	enum place_stage stage;
	uint32_t edits;
	uint64_t steps, turns; /* without icount: at and happened */
	bool vague;

	struct place begin, end;
	size_t answers_max;   /* when the journal takes more, its oldest half goes */
	uint64_t forgotten;   /* calls */
	uint64_t base; /* the count behind the last call before the beginning */
	struct vm_stop ended; /* when end.stage is PLACE_ENDED */

	/* Of the run in progress. */
	enum history_hold hold;
	vm_hold_fn *asked;
	void *asked_ctx;
	uint64_t hold_call;
	bool hold_answered, live;
	uint64_t limit_call; /* is held, too; UINT64_MAX: none */
	bool limit_answered;
	bool held_by_us;

	/* How fast it runs, and what checkpoints cost. */
	double ns_per_insn, ns_per_checkpoint;
	uint64_t last_checkpoint_ns;
	struct place aim; /* of a search: where checkpoints are wanted; zeroed: here */
	bool interrupted;
};

/* Where it is. */
struct place history_here(struct history *h);
uint64_t history_rip(struct vm *vm);
/* One vm_run, with its answers from the journal as far as that goes; beyond, only when h->live. */
const struct vm_stop *history_drive(
	struct history *h, const struct vcpu_debug *debug, enum history_hold hold);
/* Is this a breakpoint of these? Then vm->stop says so. */
bool history_stop_at_break(struct vm *vm, const struct vcpu_debug *debug);
/* The same, of a history's machine: but not in the middle of a string instruction where nobody counts. */
bool history_breaks_here(struct history *h, const struct vcpu_debug *debug);

/* A checkpoint here. 0 or -errno. */
int history_checkpoint_here(struct history *h, bool edit);
int history_restore(struct history *h, const struct checkpoint *c);
/* On a way that is gone step by step, where nobody counts: a checkpoint now and then, so that it is not gone again. */
void history_checkpoint_stepped(struct history *h, const struct place *here);
/* Where nobody counts: does the place lie within the string instruction it stands at, so that it is gone to by its turns? */
bool history_by_turns(const struct place *here, const struct place *to);
/* Instructions that take about this long. */
uint64_t history_insns_for(const struct history *h, double ns);
/* How many it is from one checkpoint to the next. */
uint64_t history_pace(const struct history *h);
/* Until at most HISTORY_NEAR of so many are left, with checkpoints on the way, the denser the
 * nearer. As history_move. */
int history_approach(struct history *h, uint64_t at, struct err *err);
/* Has somebody asked us to stop? */
bool history_interrupted(struct history *h);
/* Was it paused for something else, so that it is just run on? */
bool history_goes_on(struct history *h);

/*
 * To a place that is known to be one. dense: with checkpoints on the way, the denser the nearer. 0,
 * -EINTR, -ERANGE when it is not one, -EIO when the guest did otherwise than before; with err.
 */
int history_move(struct history *h, const struct place *to, bool dense, struct err *err);
/* The last place before one, which is not the beginning. */
int history_place_before(
	struct history *h, const struct place *now, struct place *before, struct err *err);
/*
 * Around what may fail or be interrupted: the second puts the machine back to where it was unless r
 * is 0, and returns r.
 */
int history_begin_journey(struct history *h, struct checkpoint **origin, struct err *err);
int history_end_journey(struct history *h, struct checkpoint *origin, int r, struct err *err);
/* The edits that were made before a place: of those that it might have, the nearest to what it
 * says. */
uint32_t history_edits_at(const struct history *h, const struct place *p);
/* What the machine shows that has been moved here. */
void history_show(struct history *h);

#endif
