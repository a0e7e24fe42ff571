/* SPDX-License-Identifier: ISC */
/*
 * Traces read, record by record in constant memory: recordings (with their FILE.tail when the recorder was
 * killed) and golden text, told apart by their first bytes. Every byte is hostile: lengths are checked
 * before use, unknown keys and blocks skipped; err is one line that names file, offset or line, and why.
 */
#ifndef TRACE_READ_H
#define TRACE_READ_H

#include <stddef.h>
#include <stdint.h>

#include "trace_record.h"

struct err;
struct trace_reader;

enum trace_format { TRACE_PCAPNG, TRACE_BJT };

/* path "-": standard input (a recording or text, no tail). */
int trace_reader_open(struct trace_reader **out, const char *path, struct err *err);
/* The bytes are borrowed. name is for messages. For tests and fuzzing. */
int trace_reader_open_memory(
	struct trace_reader **out, const void *data, size_t len, const char *name, struct err *err);
/* The same of a recording with its tail. */
int trace_reader_open_pair(struct trace_reader **out, const void *data, size_t len,
	const void *tail, size_t tail_len, const char *name, struct err *err);
void trace_reader_close(struct trace_reader *r); /* takes NULL */

enum trace_format trace_reader_format(const struct trace_reader *r);
const struct trace_header *trace_reader_header(const struct trace_reader *r);
/* Calls that came from the tail file so far. */
uint64_t trace_reader_recovered(const struct trace_reader *r);
/* The last record is the call in flight that the tail file has, and no packet says so. */
bool trace_reader_request_taken(const struct trace_reader *r);

/*
 * 1 with the next record, whose pointers live until the next call; 0 behind the last; -errno with err.
 * The last record is always TRACE_END or TRACE_CUT.
 */
int trace_reader_next(struct trace_reader *r, struct trace_record *record, struct err *err);
/* Reads the rest, for who wants no more of it: 0, or -errno with err where it is damaged. */
int trace_reader_rest(struct trace_reader *r, struct err *err);

/*
 * `trace recover`: folds FILE.tail into FILE and removes it, so that other tools see all of it. Idempotent
 * whenever it is interrupted. 1 when there was something to do, 0, or -errno with err.
 */
int trace_recover(const char *path, struct err *err);

#endif
