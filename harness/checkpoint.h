/* SPDX-License-Identifier: ISC */
/*
 * Places in a machine's time, and the states it was in at some of them: in order, few enough for
 * what they may cost, nearer to each other the nearer they are to where they are wanted.
 */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hcall.h"
#include "image.h"
#include "vm.h"

/* At one instruction, one after the other. */
enum place_stage {
	PLACE_ANSWERED, /* held behind the call in front of it */
	PLACE_PLAIN,
	PLACE_ASKED, /* held in the call that it makes, before the answer */
	PLACE_ENDED, /* the machine is at its end */
};

struct place {
	uint64_t calls; /* answered before */
	uint64_t at;    /* instructions retired before; without icount: steps since the last call */
	enum place_stage stage;
	uint64_t happened; /* exceptions, and turns of a string instruction, since */
	uint32_t edits;    /* made from outside before */
	bool vague;        /* without icount, and nobody has counted: at is 0 and means nothing */
};

/* <0, 0, >0. */
int place_compare(const struct place *a, const struct place *b);
/* The same, whatever was edited. */
int place_compare_run(const struct place *a, const struct place *b);

struct checkpoint {
	struct place place;
	bool edit; /* taken behind an edit: nothing leads over there */
	struct image *image;
	void *frozen; /* of the backend */
	/* Of the machine: */
	uint64_t n_calls;
	enum vm_call_state call_state;
	struct hcall call;
	struct vcpu_exit exit;
	struct vm_stop stop;
};

struct checkpoint_list {
	struct vm *vm;
	size_t max_bytes, max;
	struct checkpoint **items; /* in order; [0] is the start */
	size_t n, room;
	struct image_cost cost;
	struct image *like;    /* close to what RAM is now */
	struct place focus[2]; /* where they may be wanted: the caller says */
	struct place middle;   /* one that stays: the same */
};

/* 0, or -EOPNOTSUPP when the backend cannot do it. vm is borrowed. */
int checkpoint_list_init(struct checkpoint_list *list, struct vm *vm, size_t max_bytes, size_t max);
void checkpoint_list_finish(struct checkpoint_list *list);

/*
 * The machine as it is now, which is at this place; one that is there already is replaced. Others
 * make room for it, first those that are dense for how far they are from the next focus. 0 or
 * -errno.
 */
int checkpoint_take(struct checkpoint_list *list, const struct place *here, bool edit);
/* The machine as it is now, in no list; NULL when memory is short. For checkpoint_free, which takes
 * NULL. */
struct checkpoint *checkpoint_new(struct checkpoint_list *list, const struct place *here);
void checkpoint_free(struct checkpoint_list *list, struct checkpoint *c);
/* The machine as it was. 0 or -errno. */
int checkpoint_restore(struct checkpoint_list *list, const struct checkpoint *c);

/* The last at or before a place; NULL when there is none. */
const struct checkpoint *checkpoint_at(
	const struct checkpoint_list *list, const struct place *place);
/* The last before a place, whatever was edited there; or NULL. */
const struct checkpoint *checkpoint_before(
	const struct checkpoint_list *list, const struct place *place);
/* The first edit behind a place; or NULL. */
const struct checkpoint *checkpoint_next_edit(
	const struct checkpoint_list *list, const struct place *place);
/* All behind a place go. */
void checkpoint_cut(struct checkpoint_list *list, const struct place *place);
/* All before one that is there. */
void checkpoint_cut_before(struct checkpoint_list *list, const struct place *place);

#endif
