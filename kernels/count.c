// SPDX-License-Identifier: ISC
/*
 * count N: a loop of known length, for exact positions in time. Each turn is two instructions (add,
 * loop), so that one turn more is exactly two instructions more between `spin` and its return.
 */
#include "rt.h"

/* The sum of 1 to n, counted down. n > 0. */
__attribute__((noinline)) static uint64_t spin(uint64_t n)
{
	uint64_t sum = 0;

	asm volatile("1: add %1, %0\n\t"
		     "loop 1b"
		     : "+r"(sum), "+c"(n)
		     :
		     : "cc");
	return sum;
}

int main(int argc, char **argv, char **envp)
{
	int64_t n = 1000;

	(void)envp;
	if (argc > 2 || (argc == 2 && (!rt_parse_int(argv[1], &n) || n < 0)))
		rt_die("usage: count N");
	printf("count: %lld turns, sum %llu\n", (long long)n,
		(unsigned long long)(n ? spin((uint64_t)n) : 0));
	return 0;
}
