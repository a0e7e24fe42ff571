/* SPDX-License-Identifier: ISC */
/*
 * Real time for hot paths, in half of what clock_gettime costs: the TSC where its rate is constant, held
 * against the system's clock every 100 ms; else that clock. Never goes back, and does not follow when
 * somebody sets the system's clock.
 */
#ifndef TICKER_H
#define TICKER_H

#include <stdbool.h>
#include <stdint.h>
#include <x86intrin.h>

struct ticker {
	bool constant;
	uint64_t tsc, ns;  /* when last held against the clock */
	uint64_t good_for; /* ticks from there on; 0: the rate is not known */
	uint64_t scale;    /* ns per tick, 32.32 */
	uint64_t origin;   /* ns since 1970 of the monotonic clock's 0 */
};

/* The system's clock that nobody sets: for what is not a hot path. */
uint64_t monotonic_ns(void);

void ticker_init(struct ticker *t);
uint64_t ticker_sync(struct ticker *t, uint64_t tsc);

/* ns since 1970. */
static inline uint64_t ticker_now(struct ticker *t)
{
	uint64_t tsc = __rdtsc(), ticks = tsc - t->tsc;

	return ticks < t->good_for ? t->ns + (ticks * t->scale >> 32) : ticker_sync(t, tsc);
}

#endif
