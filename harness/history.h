/* SPDX-License-Identifier: ISC */
/*
 * Time travel over a machine: every place that it has been at can be gone to again, with the same
 * registers and the same memory, and it can be run backwards. Knows nothing of who wants that.
 *
 * How this works. Answers are kept (journal.h), states of the machine are kept now and then
 * (checkpoint.h); to be somewhere is to put back the last state before it and to run from there.
 * While a machine is before the end of what it has done, its calls are answered as they were,
 * nothing happens outside of it, and the sinks are told nothing. Behind the end it is as it always
 * was.
 *
 * From history_open to history_close the machine is run by the functions here and by nobody else.
 * vm->hold, vm->respond and vm->trace may be set at any time between runs; hold is asked in the
 * past, too.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "checkpoint.h"

struct edits;
struct err;
struct history;
struct vcpu_debug;
struct vm;
struct vm_stop;

struct history_options {
	/*
	 * What checkpoints and answers may take; 0: 256 MiB. When answers take half of it the
	 * oldest are forgotten, and what was before them. Beginning, middle and edits stay.
	 */
	size_t max_bytes;
	size_t max_checkpoints; /* 0: 128 */
	/* Asked every few ms on long ways: true when somebody wants us to stop. May be NULL. */
	bool (*poll)(void *ctx);
	void *poll_ctx;
	/*
	 * Makes who answers calls now go on with this one next: 0 or -errno with err. Needed by
	 * history_fork when that is not hcall_answer_row. May be NULL: nobody can.
	 */
	int (*rewind)(void *ctx, uint64_t call, struct err *err);
	void *rewind_ctx;
	struct edits *edits; /* a recording's, that are made at the end of what is known; or NULL */
	uint64_t base; /* the count at which the instructions behind the last call began */
};

/* A place, in order of time: calls first, then insns, stage, happened. */
struct history_pos {
	uint64_t calls; /* hypercalls answered before it */
	/*
	 * Instructions since the last of those. On a backend without icount steps from one
	 * instruction to another are counted, and where nobody has counted it says
	 * HISTORY_UNKNOWN: history_locate counts. For history_seek also HISTORY_AT_CALL: at the
	 * instruction that makes the next call.
	 */
	uint64_t insns;
	enum place_stage stage;
	uint64_t happened; /* exceptions, interrupts, turns of a string instruction since then */
	uint32_t edits; /* made from outside before it; history_seek takes the nearest there is */
};
#define HISTORY_UNKNOWN UINT64_MAX
#define HISTORY_AT_CALL (UINT64_MAX - 1)

/*
 * The machine, which is not inside of a call, is at the beginning now. 0, or -errno with err:
 * -EOPNOTSUPP when its backend cannot freeze.
 */
int history_open(struct history **out, struct vm *vm, const struct history_options *options,
	struct err *err);
/* The machine stays where it is. Takes NULL. */
void history_close(struct history *h);

/*
 * In place of vm_run, with the debug requests that backend_set_debug would be given: forward, also
 * out of the past, past the end of what is known. The same stops at the same places; where something
 * was changed when the machine was there, with the change.
 */
const struct vm_stop *history_run(struct history *h, const struct vcpu_debug *debug);

/* Where it is; begin and end of what is known. It begins later when there was too much of it. */
void history_now(struct history *h, struct history_pos *pos);
void history_begin(struct history *h, struct history_pos *pos);
void history_end(struct history *h, struct history_pos *pos);
/* <0, 0, >0. */
int history_compare(const struct history_pos *a, const struct history_pos *b);
bool history_in_past(struct history *h);
/* Makes insns known. 0, -EINTR, or another -errno with err. */
int history_locate(struct history *h, struct err *err);

/*
 * To a place, forward or back. vm->stop is as when the machine was there: of VM_DEBUG with
 * VCPU_STEP at an instruction, VM_CALL in a call, or how it ended. 0; -ERANGE when there is no such
 * place, -EINTR; or another -errno; then it is where it was, if that can be. err in words.
 */
int history_seek(struct history *h, const struct history_pos *pos, struct err *err);

struct history_back {
	bool step; /* one instruction; else to the last stop before, or the beginning */
	/* Breaks, watches, exceptions to stop at; step and until do not count. NULL: none. */
	const struct vcpu_debug *debug;
	/* Asked at each stop: is it one to stop at? May look, not touch. NULL: all are. */
	bool (*wanted)(void *ctx, struct vm *vm, const struct vm_stop *stop);
	void *ctx;
};
enum { HISTORY_STOPPED, HISTORY_BEGIN };
/*
 * Backwards. HISTORY_STOPPED: at the last place before where a breakpoint, a watchpoint, an
 * exception or vm->hold would have stopped it, or one instruction back; vm->stop says which. A
 * watchpoint's and an exception's is before the instruction that has it; that of a call that is
 * answered where its instruction is over, so that nothing is to be finished there. HISTORY_BEGIN:
 * nothing more; it is at the beginning. -EINTR or another -errno with err: it is where it was, if
 * that can be.
 */
int history_back(struct history *h, const struct history_back *back, struct err *err);

/*
 * Before registers or memory are written from outside: 0, or -EROFS in the past and -EPERM behind
 * the end of the machine, with err. And afterwards: what was done is part of the history then.
 * Between them nothing runs.
 */
int history_edit(struct history *h, struct err *err);
int history_edited(struct history *h, struct err *err);

/*
 * What comes behind this place never was; from here the machine goes on live. Host files stay as
 * they are. 0, or -EOPNOTSUPP with err when who answers calls cannot go back.
 */
int history_fork(struct history *h, struct err *err);

struct history_stat {
	size_t checkpoints, bytes; /* bytes: of checkpoints and answers */
	uint64_t calls, forgotten; /* answers kept, and those from before the beginning */
};
void history_stat(const struct history *h, struct history_stat *stat);

#endif
