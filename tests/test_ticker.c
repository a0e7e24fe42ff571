// SPDX-License-Identifier: ISC
/* The ticker against the clock it stands for. */
#include <time.h>

#include "ticker.h"
#include "unit.h"

static uint64_t real(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Two clocks read one after the other, the real one on both sides: off by no more than this. */
static uint64_t distance(struct ticker *t)
{
	uint64_t before = real(), now = ticker_now(t), after = real();

	return now < before ? before - now : now > after ? now - after : 0;
}

static void tells_the_time_and_never_goes_back(void)
{
	struct timespec nap = { 0, 1000000 };
	uint64_t last = 0, worst = 0, now;
	struct ticker t;

	ticker_init(&t);
	for (int i = 0; i < 300; i++) {
		for (int k = 0; k < 1000; k++) {
			now = ticker_now(&t);
			CU_ASSERT_FATAL(now >= last);
			last = now;
		}
		if (distance(&t) > worst)
			worst = distance(&t);
		nanosleep(&nap, NULL);
	}
	CU_ASSERT(worst < 10000000);
}

/* Without a TSC worth using, and where one stands still or jumps back. */
static void falls_back_to_the_clock(void)
{
	struct ticker t;

	ticker_init(&t);
	t.constant = false;
	CU_ASSERT(distance(&t) < 10000000);
	CU_ASSERT_EQUAL(t.good_for, 0);
	ticker_init(&t);
	t.tsc = UINT64_MAX - 1;
	CU_ASSERT(distance(&t) < 10000000);
}

static const struct unit_case cases[] = {
	{ "tells_the_time_and_never_goes_back", tells_the_time_and_never_goes_back },
	{ "falls_back_to_the_clock", falls_back_to_the_clock },
};

UNIT_MAIN("ticker", cases)
