/* SPDX-License-Identifier: ISC */
/*
 * What a debugger wrote into a guest while it was recorded, written again at the same places when the recording is
 * replayed. Knows no trace: who reads it says what comes next.
 *
 * A place is so many instructions behind a call's, told by the CPU's count or, where nobody counts, by steps; or in a
 * call that is held before its answer, which is then asked again.
 */
#ifndef EDITS_H
#define EDITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpu_state;
struct trace_record;
struct vcpu_debug;
struct vm;
struct vm_stop;

struct edits {
	struct vm *vm;
	/*
	 * The next record when that is an edit and all calls before it were answered, else NULL. done: it is written, and
	 * what comes next is another; or, with why, it cannot be: the machine is to be stopped.
	 */
	const struct trace_record *(*next)(void *ctx);
	void (*done)(void *ctx, const char *why);
	void *ctx;
	/* Where it is. */
	uint64_t base; /* the count behind the last call's instruction, */
	int64_t steps; /* or, where nobody counts, those stepped over since; -1: that one is not finished */
	uint64_t rip;  /* where the step in progress began, */
	bool repeats;  /* and whether that may take many steps, which the count has as one */
	bool far_told; /* that a way is long */
};

void edits_init(struct edits *e, struct vm *vm);
/* In place of backend_set_debug and vm_run: the same stops, and what is to be written on the way is written. */
const struct vm_stop *edits_run(struct edits *e, const struct vcpu_debug *debug);

/* The parts of it, for who drives in another way. As vm_hold_fn, of each call that is new: is something to be written? */
bool edits_hold(struct edits *e, bool answered);
/* The machine being where the next one belongs: writes it, and says so by done. */
void edits_make(struct edits *e);
/* Around each step of a machine that nobody counts, while something is to be written before its next call. */
void edits_step(struct edits *e);
void edits_stepped(struct edits *e);

/* A CPU's state, of which `now` is what it is: 0 or -errno. */
int edits_put_state(struct vm *vm, const struct cpu_state *now, const struct cpu_state *state);

#endif
