/* SPDX-License-Identifier: ISC */
/*
 * Failures made to order: in a fault build every call of our libraries that may fail (allocation, host
 * files, processes) goes through a wrapper in fault.c, which counts it and lets the planned ones fail. What
 * they hand out is kept in a ledger until it is given back. Knows nothing of who calls.
 */
#ifndef FAULT_H
#define FAULT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* FAULT_INTR: interrupted by a signal. FAULT_PART: fewer bytes than asked for. Both are no errors. */
enum fault_kind { FAULT_ALLOC, FAULT_IO, FAULT_INTR, FAULT_PART, FAULT_KIND_COUNT };
extern const char *const fault_kind_names[FAULT_KIND_COUNT];

enum { FAULT_FRAMES = 12, FAULT_SITES = 1 << 13 };

struct fault_trace {
	void *at[FAULT_FRAMES]; /* the wrapper's caller first */
	int n;
};

struct fault_call {
	const char *name;
	unsigned kinds; /* 1 << enum fault_kind */
	int error;      /* for ALLOC and IO */
};

/* The n-th call of a kind, counted from 1, and with onward all that follow. n 0: none. */
struct fault_plan {
	enum fault_kind kind;
	uint64_t n;
	bool onward;
};

/* A place that calls: told apart by the innermost frames. */
struct fault_site {
	uint64_t hash, first, last;
};

/* Shared by a process and its children: one count for all. */
struct fault_state {
	struct fault_plan plan;
	bool survey; /* note the sites */
	_Atomic uint64_t count[FAULT_KIND_COUNT];
	_Atomic unsigned injected; /* how many have failed; the first: */
	const struct fault_call *call;
	int error;
	struct fault_trace trace;
	struct fault_site sites[FAULT_KIND_COUNT][FAULT_SITES];
};

/* From now on, in this process and its children. */
void fault_start(struct fault_state *state);
void fault_stop(void);
/* How many calls have failed: not those that were only interrupted or done in part. */
unsigned fault_failed(void);

/* The i-th thing not given back: what made it, and from where. False behind the last. */
struct fault_owned {
	const char *call;
	struct fault_trace trace;
};
bool fault_live(size_t i, struct fault_owned *owned);
/* Where this descriptor was made; false when not by a wrapper. */
bool fault_fd(int fd, struct fault_owned *owned);

/* From the frame that returns to caller on, if there is one. */
void fault_backtrace(struct fault_trace *trace, const void *caller);

#endif
