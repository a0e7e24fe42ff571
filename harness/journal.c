// SPDX-License-Identifier: ISC
/*
 * The journal of answers. What the host writes is kept as runs of bytes, each with its address, as
 * the sinks are told. Knows nothing of positions but their count.
 */
#include "journal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "vm.h"

enum { CALLS_FIRST = 256, BYTES_FIRST = 1 << 16 };

/* In front of a run of bytes that were written; not aligned. */
struct run {
	uint64_t addr, len;
};

uint64_t journal_end(const struct journal *j)
{
	return j->first + j->n;
}

const struct journal_call *journal_call(const struct journal *j, uint64_t seq)
{
	assert(seq - j->first < j->n);
	return &j->calls[seq - j->first];
}

uint64_t journal_at(const struct journal *j, uint64_t seq)
{
	if (seq + 1 == j->first)
		return j->at_last_cut;
	return seq < journal_end(j) ? journal_call(j, seq)->at : j->at;
}

size_t journal_size(const struct journal *j)
{
	return j->n * sizeof(*j->calls) + j->n_bytes;
}

size_t journal_size_before(const struct journal *j, uint64_t seq)
{
	size_t n = (size_t)(seq - j->first);

	return n * sizeof(*j->calls) + (n < j->n ? j->calls[n].writes : j->n_bytes);
}

/* ---- what is new ---- */

/* Room for n more of size bytes; false when there is none. */
static bool make_room(void *array, size_t *max, size_t used, size_t n, size_t size, size_t first)
{
	void **at = array;
	size_t want = *max ? *max : first;
	void *more;

	if (n <= *max - used)
		return true;
	while (want - used < n)
		want *= 2;
	more = realloc(*at, want * size);
	if (!more)
		return false;
	*at = more;
	*max = want;
	return true;
}

static void forget_pending(struct journal *j)
{
	j->n_bytes -= j->n_pending;
	j->n_pending = 0;
}

/* The host has written: one run more, or more of the last one. */
static void note_write(struct journal *j, uint64_t addr, const void *data, size_t len)
{
	struct run run = { addr, len };

	if (!make_room(&j->bytes, &j->max_bytes, j->n_bytes, sizeof(run) + len, 1, BYTES_FIRST)) {
		j->broken = true;
		return;
	}
	memcpy(j->bytes + j->n_bytes, &run, sizeof(run));
	if (len)
		memcpy(j->bytes + j->n_bytes + sizeof(run), data, len);
	j->n_bytes += sizeof(run) + len;
	j->n_pending += sizeof(run) + len;
}

static bool keep_stop(struct journal_call *c, const struct vm_stop *stop)
{
	c->stop = malloc(sizeof(*c->stop));
	if (!c->stop)
		return false;
	*c->stop = *stop;
	return true;
}

static void note_call(struct journal *j, const struct hcall *call, const struct vm_stop *stop)
{
	struct journal_call *c;

	if (!make_room(&j->calls, &j->max, j->n, 1, sizeof(*j->calls), CALLS_FIRST)) {
		j->broken = true;
		return;
	}
	c = &j->calls[j->n];
	*c = (struct journal_call){ .row = call->row,
		.arg = call->arg,
		.rip = call->rip,
		.block = hash_bytes(0, call->block, call->row->block_len),
		.result = call->result,
		.at = j->at,
		.writes = j->n_bytes - j->n_pending,
		.n = j->n_pending,
		.fault = call->fault };
	if (call->ends && !keep_stop(c, stop)) {
		j->broken = true;
		return;
	}
	j->n_pending = 0;
	j->n++;
}

/* ---- what is known ---- */

static int64_t diverge(struct journal *j, struct vm *vm, const struct hcall *call, const char *how)
{
	const struct journal_call *c = journal_call(j, call->seq);

	j->diverged = true;
	vm_stop_set(vm, VM_FAILED,
		"the guest did not do again what it did: call %llu %s: %s(0x%llx) at RIP 0x%llx, "
		"was %s(0x%llx) at "
		"RIP 0x%llx",
		(unsigned long long)call->seq, how, call->row->name, (unsigned long long)call->arg,
		(unsigned long long)call->rip, c->row->name, (unsigned long long)c->arg,
		(unsigned long long)c->rip);
	return 0;
}

static ssize_t give_piece(struct vm *vm, int fd, void *buf, size_t len)
{
	struct journal *j = vm->respond_ctx;

	(void)fd;
	if (len > j->left)
		len = j->left;
	if (len)
		memcpy(buf, j->give, len);
	j->give += len;
	j->left -= len;
	return (ssize_t)len;
}

/* What the host wrote then is written again. False: it does not go there now. */
static bool give(struct journal *j, struct vm *vm, struct hcall *call, const struct journal_call *c)
{
	size_t at = c->writes, end = at + c->n;
	struct run run;

	while (at < end) {
		memcpy(&run, j->bytes + at, sizeof(run));
		at += sizeof(run);
		j->give = j->bytes + at;
		j->left = run.len;
		if (run.len)
			hcall_transfer(vm, call, run.addr, run.len, false, 0, give_piece);
		if (j->left)
			return false;
		at += run.len;
	}
	return true;
}

static int64_t answer_known(struct journal *j, struct vm *vm, struct hcall *call)
{
	const struct journal_call *c = journal_call(j, call->seq);

	if (call->row != c->row || call->arg != c->arg || call->rip != c->rip)
		return diverge(j, vm, call, "is another");
	if (hash_bytes(0, call->block, call->row->block_len) != c->block)
		return diverge(j, vm, call, "asks for something else");
	if (call->row->local) {
		if (call->row->answer(vm, call) != c->result)
			return diverge(j, vm, call, "has another answer");
		return c->result;
	}
	if (!give(j, vm, call, c))
		return diverge(j, vm, call, "has no room for its answer");
	call->fault = c->fault;
	if (c->stop)
		vm->stop = *c->stop;
	return c->result;
}

static bool is_known(const struct journal *j, const struct hcall *call)
{
	return call->seq - j->first < j->n;
}

/* Who answered before looks for his own context in the machine. */
static int64_t answer_new(struct journal *j, struct vm *vm, struct hcall *call)
{
	int64_t result;

	forget_pending(j);
	vm->respond_ctx = j->respond_ctx;
	result = j->respond(j->respond_ctx, vm, call);
	vm->respond_ctx = j;
	return result;
}

static int64_t respond(void *ctx, struct vm *vm, struct hcall *call)
{
	struct journal *j = ctx;

	return is_known(j, call) ? answer_known(j, vm, call) : answer_new(j, vm, call);
}

/* ---- who watches ---- */

static void pass_on(struct journal *j, const struct trace_event *event)
{
	for (struct trace_sink *s = j->watchers; s; s = s->next)
		s->emit(s, event);
}

static void emit_call(struct journal *j, const struct trace_event *event)
{
	const struct hcall *call = event->call;

	if (is_known(j, call))
		return;
	if (event->kind == TRACE_WRITE && !call->row->local && !j->broken)
		note_write(j, event->addr, event->data, event->len);
	/* Entered, interrupted, and come to again: once is enough. */
	if (event->kind != TRACE_ENTER || call->seq >= j->entered)
		pass_on(j, event);
	if (event->kind == TRACE_ENTER)
		j->entered = call->seq + 1;
	if (event->kind == TRACE_LEAVE && !j->broken)
		note_call(j, call, &j->vm->stop);
}

static void emit(struct trace_sink *sink, const struct trace_event *event)
{
	struct journal *j = (struct journal *)sink;

	if (event->call) {
		emit_call(j, event);
	} else if (!j->stopped && !j->diverged && !j->quiet) {
		j->stopped = event->stop->kind != VM_KICKED;
		pass_on(j, event);
	}
}

/* ---- the whole ---- */

void journal_attach(struct journal *j, struct vm *vm)
{
	j->vm = vm;
	j->respond = vm->respond;
	j->respond_ctx = vm->respond_ctx;
	j->watchers = vm->trace;
	j->sink = (struct trace_sink){ .emit = emit };
	vm->respond = respond;
	vm->respond_ctx = j;
	vm->trace = &j->sink;
}

void journal_detach(struct journal *j, struct vm *vm)
{
	vm->respond = j->respond;
	vm->respond_ctx = j->respond_ctx;
	vm->trace = j->watchers;
}

void journal_cut(struct journal *j, uint64_t seq)
{
	size_t keep = (size_t)(seq - j->first);

	for (size_t i = keep; i < j->n; i++)
		free(j->calls[i].stop);
	if (keep < j->n) {
		j->n_bytes = j->calls[keep].writes;
		j->n = keep;
	}
	j->n_pending = 0;
	j->entered = seq;
	j->stopped = j->broken = false;
}

void journal_cut_before(struct journal *j, uint64_t seq)
{
	size_t n = (size_t)(seq - j->first), bytes = n < j->n ? j->calls[n].writes : j->n_bytes;

	if (!n)
		return;
	j->at_last_cut = j->calls[n - 1].at;
	j->first = seq;
	j->n -= n;
	j->n_bytes -= bytes;
	memmove(j->calls, j->calls + n, j->n * sizeof(*j->calls));
	if (bytes)
		memmove(j->bytes, j->bytes + bytes, j->n_bytes);
	for (size_t i = 0; i < j->n; i++)
		j->calls[i].writes -= bytes;
}

void journal_finish(struct journal *j)
{
	for (size_t i = 0; i < j->n; i++)
		free(j->calls[i].stop);
	free(j->calls);
	free(j->bytes);
	*j = (struct journal){ 0 };
}
