/* SPDX-License-Identifier: ISC */
/*
 * One CUnit program per module: a table of cases whose names are sentences, and UNIT_MAIN. Prints a
 * line per case ("ok NAME", "FAIL NAME: ...", "SKIP NAME: why") and "N passed, N failed, N skipped".
 */
#ifndef UNIT_H
#define UNIT_H

#include <CUnit/CUnit.h>
#include <CUnit/TestRun.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit_case {
	const char *name;
	void (*run)(void);
};

static char unit_skip_reason[200];

/* Leaves a case that needs something absent; the reason is printed. Use as: { unit_skip("..."); return; } */
static inline void unit_skip(const char *reason)
{
	snprintf(unit_skip_reason, sizeof(unit_skip_reason), "%.*s",
		(int)sizeof(unit_skip_reason) - 1, reason);
}

static int unit_passed, unit_failed, unit_skipped;

static inline void unit_after_test(
	const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord failure)
{
	(void)suite;
	if (failure) {
		printf("FAIL %s\n", test->pName);
		for (CU_pFailureRecord f = failure; f; f = f->pNext)
			printf("     %s:%u: %s\n", f->strFileName, f->uiLineNumber,
				f->strCondition);
		unit_failed++;
	} else if (unit_skip_reason[0]) {
		printf("SKIP %s: %s\n", test->pName, unit_skip_reason);
		unit_skipped++;
	} else {
		printf("ok   %s\n", test->pName);
		unit_passed++;
	}
	unit_skip_reason[0] = 0;
	fflush(stdout);
}

/* In a fault build (fault_unit.c): every case over and over, with failures. Else there is none. */
int unit_fault_run(const struct unit_case *cases, size_t n, char *skip_reason)
	__attribute__((weak));

static inline int unit_run(const char *name, const struct unit_case *cases, size_t n)
{
	CU_pSuite suite;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (unit_fault_run)
		return unit_fault_run(cases, n, unit_skip_reason);
	if (CU_initialize_registry() != CUE_SUCCESS)
		return 1;
	suite = CU_add_suite(name, NULL, NULL);
	for (size_t i = 0; i < n; i++)
		CU_add_test(suite, cases[i].name, cases[i].run);
	CU_set_test_complete_handler(unit_after_test);
	CU_run_all_tests();
	CU_cleanup_registry();
	printf("%d passed, %d failed, %d skipped\n", unit_passed, unit_failed, unit_skipped);
	return unit_failed != 0;
}

#define UNIT_MAIN(name, cases)                                                                     \
	int main(void)                                                                             \
	{                                                                                          \
		return unit_run(name, cases, sizeof(cases) / sizeof((cases)[0]));                  \
	}

#endif
