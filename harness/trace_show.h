/* SPDX-License-Identifier: ISC */
/* A trace as strace-like lines: of a whole trace, or of the calls that somebody picks. */
#ifndef TRACE_SHOW_H
#define TRACE_SHOW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "hcall.h"
#include "strace.h"
#include "trace_record.h"

struct err;
struct trace_reader;

struct trace_show_options {
	bool header;       /* what the header says first, as lines that begin with # */
	bool full;         /* number, time, RIP and all data beneath each line */
	uint64_t from, to; /* numbers of calls, both included */
};

/* All of it, in constant memory. 0, or -errno with err. Errors of out are left for the caller to see. */
int trace_show(FILE *out, struct trace_reader *reader, const struct trace_show_options *o,
	struct err *err);

/* Calls one by one: the line that strace prints. */
struct trace_lines {
	struct strace strace;
	struct hcall call;
};
void trace_lines_init(struct trace_lines *l, strace_line_fn *put_line, void *ctx);
/* TRACE_CALL and TRACE_PENDING. */
void trace_lines_put(struct trace_lines *l, const struct trace_record *record);

/* For trace_lines_init: ctx is a FILE. */
void trace_line_to_stream(void *ctx, const char *line, size_t len);
/* What --full adds beneath a call's line. */
void trace_show_full(FILE *out, const struct trace_record *record);
/* Bytes in quotes, escaped as strace does. */
void trace_show_quoted(FILE *out, const void *bytes, size_t len);

#endif
