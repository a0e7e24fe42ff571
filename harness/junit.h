/* SPDX-License-Identifier: ISC */
/* Results of tests as the XML that CI servers read. Knows no tests. */
#ifndef JUNIT_H
#define JUNIT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum junit_verdict { JUNIT_PASSED, JUNIT_FAILED, JUNIT_ERROR };

struct junit_case {
	const char *group, *name; /* any bytes */
	enum junit_verdict verdict;
	const char *text; /* why; its first line is the summary. NULL when it passed */
	uint64_t ns;
};

/* The whole document. 0 or -errno; out is not flushed. */
int junit_write(FILE *out, const char *suite, const struct junit_case *cases, size_t n);

#endif
