// SPDX-License-Identifier: ISC
/* What a guest can know of time. Prints no times, so that every run prints the same. */
#include "rt.h"

enum { SECONDS_TO_2020 = 1577836800 };

static uint64_t rdtsc(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static int failures;

static void say(const char *what, bool yes)
{
	printf("%s: %s\n", what, yes ? "yes" : "no");
	failures += !yes;
}

int main(int argc, char **argv, char **envp)
{
	uint64_t start = rdtsc(), last = start;
	bool backwards = false;

	(void)argc, (void)argv, (void)envp;
	for (int i = 0; i < 100; i++) {
		uint64_t now = rdtsc();

		backwards |= now < last;
		last = now;
	}
	say("boot time is after 2020",
		rt_boot->boot_time_ns[1] == 0 &&
			rt_boot->boot_time_ns[0] / 1000000000 > SECONDS_TO_2020);
	say("frequency known", rt_boot->cpu_khz != 0);
	say("tsc goes forward", !backwards && last > start);
	return failures;
}
