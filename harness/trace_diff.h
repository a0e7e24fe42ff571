/* SPDX-License-Identifier: ISC */
/*
 * Two traces compared, call by call: questions and answers, not what shifts (time, RIP, pointers) and not
 * what golden text masks. Either may be a recording or golden text.
 */
#ifndef TRACE_DIFF_H
#define TRACE_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "trace_record.h"

struct err;

struct trace_diff_options {
	bool all;      /* every difference, not the first ones only */
	size_t window; /* calls from the first difference on that are aligned; 0: a good number */
};

struct trace_diff_result {
	uint64_t same, changed, only_a, only_b; /* calls */
	uint64_t others; /* differences of the trees afterwards, of the end */
	bool capped;     /* there is more behind the window */
};

/*
 * Reads both twice, so they must be files. Writes differences with context and a summary. Memory is bounded
 * by the window. 0 with *result, or -errno with err.
 */
int trace_diff(FILE *out, const char *a, const char *b, const struct trace_diff_options *o,
	struct trace_diff_result *result, struct err *err);
bool trace_diff_found(const struct trace_diff_result *result);

#endif
