// SPDX-License-Identifier: ISC
/* AFL++'s own switches, where its run-time is linked. */
#include "quiet.h"

#include <stddef.h>

extern int __afl_selective_coverage __attribute__((weak));
void __afl_coverage_off(void) __attribute__((weak));
void __afl_coverage_on(void) __attribute__((weak));

void quiet_begin(void)
{
	if (!&__afl_selective_coverage || !__afl_coverage_off)
		return;
	__afl_selective_coverage = 1;
	__afl_coverage_off();
}

void quiet_end(void)
{
	if (__afl_coverage_on)
		__afl_coverage_on();
}
