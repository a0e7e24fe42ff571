/* SPDX-License-Identifier: ISC */
/* A trace in numbers: a row per call, as `strace -c` has it. */
#ifndef TRACE_STAT_H
#define TRACE_STAT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "trace_record.h"

struct err;
struct trace_reader;

enum trace_stat_sort {
	TRACE_STAT_TIME,
	TRACE_STAT_CALLS,
	TRACE_STAT_ERRORS,
	TRACE_STAT_NAME,
	TRACE_STAT_BYTES,
	TRACE_STAT_SORT_COUNT,
};
extern const char *const trace_stat_sort_names[TRACE_STAT_SORT_COUNT];

struct trace_stat_row {
	char name[64];
	size_t index; /* into the ABI's rows */
	uint64_t calls, errors, time_ns, bytes_in, bytes_out;
};

struct trace_stat {
	struct trace_stat_row *rows; /* only calls that were made */
	size_t n;
	struct trace_stat_row total;
	bool cut;        /* the recording has no end */
	bool unfinished; /* and a call was in flight; it is not counted */
	uint64_t edits;  /* times that a debugger wrote */
};

/* For those who read themselves: begin (0 or -ENOMEM with err), add every record, end. */
int trace_stat_begin(struct trace_stat *stat, const struct trace_header *header, struct err *err);
void trace_stat_add(struct trace_stat *stat, const struct trace_header *header,
	const struct trace_record *record);
void trace_stat_end(struct trace_stat *stat, const struct trace_header *header);
/* Reads to the end, in constant memory. 0 with *stat, to be finished; or -errno with err. */
int trace_stat_read(struct trace_stat *stat, struct trace_reader *reader, struct err *err);
void trace_stat_sort(struct trace_stat *stat, enum trace_stat_sort by);
void trace_stat_print(FILE *out, const struct trace_stat *stat);
/* One line. */
void trace_stat_json(FILE *out, const struct trace_stat *stat, const char *file);
void trace_stat_finish(struct trace_stat *stat);

#endif
