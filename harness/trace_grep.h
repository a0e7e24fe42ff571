/* SPDX-License-Identifier: ISC */
/* Conditions on calls, such as "path~=/etc", "ret=-ENOENT" or "dur>1ms". */
#ifndef TRACE_GREP_H
#define TRACE_GREP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace_record.h"

struct err;

enum trace_op {
	TRACE_OP_EQUAL,
	TRACE_OP_NOT_EQUAL,
	TRACE_OP_LESS,
	TRACE_OP_LESS_EQUAL,
	TRACE_OP_MORE,
	TRACE_OP_MORE_EQUAL,
	TRACE_OP_CONTAINS, /* ~= */
	TRACE_OP_COUNT,
};

/* Where a value comes from; see trace_grep.c. */
struct trace_subject;

struct trace_condition {
	const struct trace_subject *subject; /* NULL: the field of that name */
	char field[32];
	enum trace_op op;
	__int128 number;
	uint8_t *bytes; /* owned */
	size_t len;
};

/* 0 with *c, to be finished; -EINVAL with err, which says what is possible. */
int trace_condition_parse(struct trace_condition *c, const char *text, struct err *err);
void trace_condition_finish(struct trace_condition *c);
/* For TRACE_CALL and TRACE_PENDING. A call without such a field never meets the condition. */
bool trace_condition_holds(const struct trace_condition *c, const struct trace_header *header,
	const struct trace_record *record);
/* What there is, with examples; some lines. */
extern const char trace_condition_help[];

#endif
