/* SPDX-License-Identifier: ISC */
/*
 * Golden text, .bjt: exact, ASCII, one call per line, its data beneath, nothing that shifts. Both
 * directions. What the text leaves out: time, RIP, pointers, sequence numbers.
 */
#ifndef TRACE_TEXT_H
#define TRACE_TEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "trace_record.h"

struct err;

/* One for the whole of a text: the functions keep in it what the next record's line depends on. */
struct trace_text_config {
	/*
	 * Where data of more than 4 KiB goes, as files named by their SHA-256; made when it is needed.
	 * NULL: in the text, whole.
	 */
	const char *blob_dir;
	/* Adds what shifts as trailing " @n=... t=... d=... ip=... ptr=...", and the guest's hash. */
	bool full;
	/* Kept by trace_text_put; zero at first. */
	struct {
		uint64_t time_ns; /* of the call before */
		int exit_code;    /* that the last call ended the guest with, or 0 */
	} last;
};

/* out is borrowed, and buffered by stdio. 0, or -errno with err. */
int trace_text_begin(FILE *out, const struct trace_header *header, struct trace_text_config *config,
	struct err *err);
/* Any record; TRACE_BLOB and TRACE_BEFORE write nothing (the tree is in NAME.d/). */
int trace_text_put(FILE *out, const struct trace_header *header, const struct trace_record *record,
	struct trace_text_config *config, struct err *err);
/* A record as its line alone, without data and newline: for reports. Cut to size, "..." at its end then. */
void trace_text_line(const struct trace_header *header, const struct trace_record *record,
	char *buf, size_t size);

/*
 * Reading; used through trace_reader. in, blob_dir (NULL: there are no blobs) and name are borrowed; name is
 * for messages and may be "-". header is filled in, and must stay as long as the reader; it is the caller's to
 * finish, but for a failed open.
 */
struct trace_text_reader;
int trace_text_open(struct trace_text_reader **out, FILE *in, const char *name,
	const char *blob_dir, struct trace_header *header, struct err *err);
/* As trace_reader_next. */
int trace_text_next(struct trace_text_reader *r, struct trace_record *record, struct err *err);
void trace_text_close(struct trace_text_reader *r); /* takes NULL */

#endif
