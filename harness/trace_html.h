/* SPDX-License-Identifier: ISC */
/* A trace as one HTML page that needs nothing else: timeline, table, list and detail of the calls. */
#ifndef TRACE_HTML_H
#define TRACE_HTML_H

#include <stdint.h>
#include <stdio.h>

struct err;
struct trace_reader;

enum { TRACE_HTML_LIMIT = 50000, TRACE_HTML_LIMIT_MAX = 1000000 };

/*
 * name is what the page calls the trace. The table counts all calls, the first `limit` are listed; of long
 * data the beginning is kept. 0, or -errno with err.
 */
int trace_html(
	FILE *out, const char *name, struct trace_reader *reader, uint64_t limit, struct err *err);

#endif
