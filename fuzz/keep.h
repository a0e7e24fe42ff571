/* SPDX-License-Identifier: ISC */
/* A machine's calls kept in memory as they pass by, as the records of a trace. */
#ifndef KEEP_H
#define KEEP_H

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "trace.h"
#include "trace_record.h"
#include "trace_text.h"
#include "vm.h"

struct kept_bytes {
	uint8_t *list;
	size_t n, room;
};

struct kept {
	struct trace_record record;
	struct kept_bytes in, out;
};

struct keep {
	struct trace_sink sink; /* first: it is the machine's */
	struct kept *list;
	size_t n, room;
	bool left;           /* the machine has to stop now: */
	struct vm_stop stop; /* in the last call; VM_RUNNING: it did not */
};

static void keep_bytes(struct kept_bytes *b, const void *bytes, size_t len)
{
	if (len > b->room - b->n) {
		b->room = 2 * b->room + len;
		b->list = realloc(b->list, b->room);
		assert(b->list);
	}
	if (len)
		memcpy(b->list + b->n, bytes, len);
	b->n += len;
}

static void keep_enter(struct keep *k)
{
	if (k->n == k->room) {
		k->room = 2 * k->room + 16;
		k->list = realloc(k->list, k->room * sizeof(*k->list));
		assert(k->list);
	}
	k->list[k->n++] = (struct kept){ 0 };
	k->stop.kind = VM_RUNNING;
}

/* A path is kept without its NUL. */
static size_t keep_read_len(const struct trace_event *event)
{
	int path = trace_row_find(event->call->row, HCALL_PATH);
	const uint8_t *bytes = event->data;

	if (path < 0 || !event->len || bytes[event->len - 1] ||
		event->addr != hcall_field_value(event->call, &event->call->row->fields[path]))
		return event->len;
	return event->len - 1;
}

static void keep_leave(struct keep *k, const struct hcall *call)
{
	struct kept *last = &k->list[k->n - 1];

	trace_record_of_call(&last->record, call);
	last->record.in = last->in.list;
	last->record.in_len = last->in.n;
	last->record.out = last->out.list;
	last->record.out_len = last->out.n;
	if (call->row->local) /* addresses, which no text has */
		last->record.in_len = last->record.out_len = 0;
	k->left = call->ends;
}

static void keep_emit(struct trace_sink *sink, const struct trace_event *event)
{
	struct keep *k = (struct keep *)sink;

	switch (event->kind) {
	case TRACE_ENTER:
		return keep_enter(k);
	case TRACE_READ:
		return keep_bytes(&k->list[k->n - 1].in, event->data, keep_read_len(event));
	case TRACE_WRITE:
		return keep_bytes(&k->list[k->n - 1].out, event->data, event->len);
	case TRACE_LEAVE:
		return keep_leave(k, event->call);
	case TRACE_STOP:
		if (k->left)
			k->stop = *event->stop;
		k->left = false;
		return;
	case TRACE_EDIT:
	case TRACE_KIND_COUNT:
		return;
	}
}

static void keep_finish(struct keep *k)
{
	for (size_t i = 0; i < k->n; i++) {
		free(k->list[i].in.list);
		free(k->list[i].out.list);
	}
	free(k->list);
	*k = (struct keep){ 0 };
}

#endif
