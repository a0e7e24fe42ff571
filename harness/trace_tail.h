/* SPDX-License-Identifier: ISC */
/* FILE.tail as it was left, or as it is at this moment: see struct trace_tail. */
#ifndef TRACE_TAIL_H
#define TRACE_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace_write.h"

struct err;

struct trace_tail_view {
	bool found;    /* there is one that says something */
	uint64_t keep; /* bytes of FILE that count; all when nothing was found */
	uint8_t *data; /* whole packets that follow them */
	size_t len;
	bool in_flight; /* request is a call that was not finished */
	struct trace_tail_request request;
};

/* A tail gets its magic last. Before, nothing is set, or no request is valid yet. len: as far as was read. */
bool trace_tail_in_the_making(const struct trace_tail *head, size_t len);
/* 0, also when there is none or one in the making; or -errno with err. */
int trace_tail_read(struct trace_tail_view *view, const char *path, struct err *err);
/* The same of a tail in memory; name is for err. */
int trace_tail_read_memory(struct trace_tail_view *view, const void *tail, size_t len,
	const char *name, struct err *err);
void trace_tail_finish(struct trace_tail_view *view); /* takes one zeroed */

#endif
