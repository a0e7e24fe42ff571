// SPDX-License-Identifier: ISC
/* The TSC held against the system's clock. */
#include "ticker.h"

#include <cpuid.h>
#include <time.h>

#define NS_PER_S 1000000000ull

/* Products of ticks and scale stay below 2^59; and what is measured in less than 2 ms is not exact. */
enum { GOOD_FOR_NS = 100000000, TOO_SHORT_NS = 2000000 };

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t monotonic_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

/* SDM 3B 18.17.1: CPUID.80000007H:EDX[8], the rate never changes. */
static bool tsc_is_constant(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(0x80000007, &a, &b, &c, &d) && d & 1u << 8;
}

void ticker_init(struct ticker *t)
{
	uint64_t now = monotonic_ns();

	*t = (struct ticker){ .constant = tsc_is_constant(), .tsc = __rdtsc() };
	t->origin = read_clock(CLOCK_REALTIME) - now;
	t->ns = t->origin + now;
}

uint64_t ticker_sync(struct ticker *t, uint64_t tsc)
{
	uint64_t ns = t->origin + monotonic_ns(), ticks = tsc - t->tsc, told;

	if (!t->constant || tsc <= t->tsc || ns < t->ns + TOO_SHORT_NS)
		return ns;
	told = t->good_for ? t->ns + GOOD_FOR_NS : 0; /* at most: beyond that nobody was told */
	t->scale = (uint64_t)(((unsigned __int128)(ns - t->ns) << 32) / ticks);
	t->good_for = t->scale ? ((uint64_t)GOOD_FOR_NS << 32) / t->scale : 0;
	t->tsc = tsc;
	t->ns = ns > told ? ns : told;
	return t->ns;
}
