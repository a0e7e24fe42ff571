/* SPDX-License-Identifier: ISC */
/*
 * What was answered to a guest, kept in memory so that it can be answered once more: put before a
 * machine's responder and its sinks. Calls that it knows are answered from it, and nobody else sees
 * them; behind the last one it asks who answered before, and remembers.
 */
#ifndef JOURNAL_H
#define JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hcall.h"
#include "trace.h"

struct vm;
struct vm_stop;

struct journal_call {
	const struct hcall_row *row;
	uint64_t arg, rip, block; /* the question; block: a hash of it */
	int64_t result;
	uint64_t at;          /* instructions before its own; 0 where nobody counts */
	size_t writes, n;     /* where in bytes what the host wrote begins, and its length */
	struct vm_stop *stop; /* how the machine stopped in it; or NULL */
	bool fault;
};

struct journal {
	struct trace_sink sink;
	struct vm *vm;
	/* Whom it had before. */
	hcall_respond_fn *respond;
	void *respond_ctx;
	struct trace_sink *watchers;

	uint64_t first;       /* number of calls[0] */
	uint64_t at_last_cut; /* at of the call in front of that one */
	struct journal_call *calls;
	size_t n, max;
	uint8_t *bytes;
	size_t n_bytes, max_bytes;

	uint64_t at;      /* of the call that is being asked; whoever holds calls says it */
	uint64_t entered; /* calls before this one the watchers know of */
	bool stopped;     /* and of the end */
	bool broken;      /* memory was short: from here on nothing is known */
	bool quiet;       /* the watchers are not told of an end either */
	bool diverged;    /* a call was not what it had been */

	/* Of the call at hand. */
	size_t n_pending;
	const uint8_t *give;
	size_t left;
};

/* Between these two the machine's responder and sinks are ours. */
void journal_attach(struct journal *j, struct vm *vm);
void journal_detach(struct journal *j, struct vm *vm);

/* The number of the first call that is not known. */
uint64_t journal_end(const struct journal *j);
/*
 * Instructions before a call's own: of one that is known, of the one in front of all that are, or of the last one, which
 * memory was too short for.
 */
uint64_t journal_at(const struct journal *j, uint64_t seq);
/* A call that is known. */
const struct journal_call *journal_call(const struct journal *j, uint64_t seq);
/* Forgets the calls from this one on. */
void journal_cut(struct journal *j, uint64_t seq);
/* Forgets the calls before this one, which is at most journal_end. */
void journal_cut_before(struct journal *j, uint64_t seq);
/* How many bytes it takes, and how many of them the calls before this one. */
size_t journal_size(const struct journal *j);
size_t journal_size_before(const struct journal *j, uint64_t seq);
void journal_finish(struct journal *j);

#endif
