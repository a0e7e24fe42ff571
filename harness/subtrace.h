/* SPDX-License-Identifier: ISC */
/*
 * A trace in memory, and parts of it that are traces again: what goes takes along what needs it, and
 * what stays gets the descriptors that its guest would have got. Knows nothing of why a part is wanted.
 */
#ifndef SUBTRACE_H
#define SUBTRACE_H

#include <stdbool.h>
#include <stddef.h>

#include "trace_read.h"
#include "trace_record.h"

struct err;
struct tree;

/* What a record needs before it, as indices of records; -1: nothing. */
struct subtrace_needs {
	int64_t opener; /* the open that gave it its descriptor */
	int64_t maker; /* the call that made its path, or the lowest directory of it that a call made */
};

struct subtrace {
	enum trace_format format;
	struct trace_header header;
	struct trace_record *records; /* with bytes of their own */
	void **bytes;
	struct subtrace_needs *needs;
	bool *as_lowest; /* an open that got the lowest free descriptor */
	size_t n, room;
	const struct tree
		*changes; /* not NULL: what is written in place of the differences; borrowed */
};

/* All of it but a call in flight. 0, or -errno with err. */
int subtrace_read(struct subtrace *t, const char *path, struct err *err);
/* The same from a reader of which nothing was read yet. */
int subtrace_take(struct subtrace *t, struct trace_reader *reader, struct err *err);
void subtrace_finish(struct subtrace *t); /* takes one zeroed or half read */

/* May it go? Calls, but the one in which the machine stopped, and differences of trees. */
bool subtrace_may_drop(const struct subtrace *t, size_t i);
/* keep[i]: record i stays. Lets go what needs one that does not. */
void subtrace_close(const struct subtrace *t, bool *keep);
/*
 * Finds out anew which calls made the paths of which, in what stays: with an unlink gone, the open behind
 * it makes nothing any more. 0 or -ENOMEM.
 */
int subtrace_note_makers(struct subtrace *t, const bool *keep);
/*
 * The part as a trace in a file, its calls numbered from 0. Golden text stands alone, without blobs
 * beside it. 0, or -errno with err.
 */
int subtrace_write(const struct subtrace *t, const bool *keep, const char *path,
	enum trace_format format, struct err *err);
/* ".bjt" is golden text, ".pcapng" a recording; else -EINVAL with err. */
int subtrace_format_of(const char *path, enum trace_format *format, struct err *err);

#endif
