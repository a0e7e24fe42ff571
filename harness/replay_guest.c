// SPDX-License-Identifier: ISC
/*
 * Replay in the host's place: a guest runs, each of its calls is held against the next one of the trace, and
 * answered with what the trace says. No host file is touched.
 *
 * How this works: replay.next is always the record that the guest's next call is held against. A call that
 * is the same is answered, and the trace moves on. The first that is not is kept, with what the trace has
 * before and after it; then the guest may go on for a few calls, answered as well as can be, to tell a
 * changed call from one too many or too few.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "cmd.h"
#include "divergence.h"
#include "edits.h"
#include "err.h"
#include "gmem.h"
#include "hash.h"
#include "log.h"
#include "replay.h"
#include "report.h"
#include "session.h"
#include "trace_read.h"
#include "tree.h"
#include "vm.h"

enum {
	AHEAD = 64,             /* calls that are looked through for what a diverging call may be */
	AHEAD_BYTES = 16 << 20, /* of data kept for that */
	PAST = 256,             /* calls whose fingerprints are kept */
	FOLLOW = 3,             /* calls that a guest may make after it diverged */
	FOLLOW_MS = 1500,
	GATHER_MAX = 64 << 20, /* bytes of a diverging call's data that are looked at */
	FRAMES_TEXT = 1536,
	CPU_NOTE_TEXT = 800,
};

/* A call that the trace has moved past, for "before": a long path or its data cut. */
struct past_call {
	struct trace_record record;
	uint8_t in[HCALL_STRING_MAX];
};

struct fingerprint {
	uint64_t seq, hash;
};

/* What is known of a guest that diverged. The records own their bytes. */
struct divergence_state {
	struct divergence report;
	struct trace_record got, ahead[1 + AHEAD], follow[FOLLOW]; /* ahead[0]: the expected one */
	size_t n_ahead, n_follow;
	size_t same_ahead; /* ahead[this] is the call that got is; 0: none */
	char frames[FRAMES_TEXT];
};

struct replay {
	struct session *session;
	const char *path;
	struct replay_result *result;
	struct trace_reader *reader;
	struct trace_record next;
	struct edits edits;
	int error; /* of the trace, in the middle of the run; err says why */
	struct err *err;
	bool done; /* the trace has been seen to its end */
	bool seen; /* the watchers were told what the call at hand gives the host */

	/* For the I/O functions, which see the guest's bytes in place. */
	const struct trace_record *answer;
	size_t at;
	bool same;
	uint8_t *gathered;

	struct past_call before[DIVERGENCE_BEFORE];
	struct fingerprint past[PAST];
	struct divergence_state *diverged;
};

/* Equal calls have equal ones, whatever their addresses. */
static uint64_t fingerprint_of(const struct trace_record *record)
{
	const struct hcall_field *f = record->row->fields;
	uint64_t hash = record->port;

	for (size_t i = 0; f[i].name; i++)
		if (!trace_field_is_pointer(f[i].kind))
			hash = hash_word(hash, record->args[i]);
	return hash_bytes(hash, record->in, record->in_len);
}

/* ---- The trace ---- */

/* To the next record that a machine takes part in. One that has diverged is not written to any more. */
static void advance(struct replay *r)
{
	int n;

	do
		n = trace_reader_next(r->reader, &r->next, r->err);
	while (n > 0 && (r->next.kind == TRACE_BLOB || r->next.kind == TRACE_BEFORE ||
				r->next.kind == TRACE_AFTER ||
				(r->next.kind == TRACE_EDITED && r->diverged)));
	if (n == 0)
		n = err_set(r->err, -EINVAL, "the trace stops without saying so");
	if (n < 0)
		r->error = n;
}

/* Behind the last call: nobody knows what the guest did then, for belljar was stopped, or failed. */
static bool is_cut(const struct trace_record *record)
{
	return record->kind == TRACE_CUT ||
	       (record->kind == TRACE_END && record->stop_kind != VM_EXITED &&
		       record->stop_kind != VM_CRASHED);
}

static int64_t stop(struct replay *r, const char *why)
{
	vm_stop_set(r->session->vm, VM_KICKED, "%s", why);
	return 0;
}

/* Who debugs reads it there. */
static int64_t stop_no_good(struct replay *r)
{
	vm_stop_set(r->session->vm, VM_KICKED, "the trace is no good: %s", r->err->text);
	return 0;
}

static int64_t stop_broken(struct replay *r, const char *why)
{
	r->error = err_set(r->err, -EINVAL, "%s: call %llu: %s", r->path,
		(unsigned long long)r->next.seq, why);
	return stop_no_good(r);
}

static int64_t stop_cut(struct replay *r)
{
	r->done = r->result->cut = true;
	return stop(r, "the recording was cut off here");
}

/* ---- What a debugger wrote ---- */

static const struct trace_record *next_edit(void *ctx)
{
	const struct replay *r = ctx;

	return r->next.kind == TRACE_EDITED && !r->error && !r->diverged ? &r->next : NULL;
}

static void edit_done(void *ctx, const char *why)
{
	struct replay *r = ctx;

	if (why)
		r->error = err_set(r->err, -EINVAL, "%s: before call %llu: %s", r->path,
			(unsigned long long)r->next.edit.calls, why);
	else
		advance(r);
	if (r->error)
		stop_no_good(r);
}

/* The guest came to a call, but not to where something was written before it. */
static int64_t stop_unedited(struct replay *r, const struct hcall *call)
{
	r->error = err_set(r->err, -EINVAL,
		"%s: before call %llu a debugger wrote, %llu instructions behind the one before "
		"it: and the guest asks %s without coming there",
		r->path, (unsigned long long)call->seq, (unsigned long long)r->next.edit.insns,
		call->row->name);
	return stop(r, "the guest did not come to where a debugger wrote");
}

static const struct vm_stop *drive(void *ctx, struct vm *vm)
{
	(void)vm;
	return edits_run(ctx, &(struct vcpu_debug){ 0 });
}

/* ---- The same call? ---- */

/* Data that the host read, piece by piece: as far as it did then, which may be less than was offered. */
static ssize_t compare_piece(struct vm *vm, int fd, void *buf, size_t len)
{
	struct replay *r = vm->respond_ctx;
	size_t left = r->answer->in_len - r->at;

	(void)fd;
	if (len > left)
		len = left;
	if (len && memcmp(buf, r->answer->in + r->at, len) != 0)
		r->same = false;
	r->at += len;
	return (ssize_t)len;
}

/*
 * A path that the host did not get to look at is not in the trace. -EINVAL tells it from an empty one, which
 * is -ENOENT.
 */
static bool path_unseen(const struct trace_record *record)
{
	return !record->in_len && (record->fault || record->result == -EINVAL);
}

static bool same_path(
	struct replay *r, struct vm *vm, struct hcall *call, const struct trace_record *want)
{
	uint64_t gpa =
		hcall_field_value(call, &call->row->fields[trace_row_find(call->row, HCALL_PATH)]);
	char path[HCALL_STRING_MAX];
	ssize_t n = hcall_read_string(vm, call, gpa, path);

	r->seen = true;
	if (n == -EFAULT)
		return want->fault && !want->in_len;
	if (path_unseen(want))
		return !want->fault;
	if (n < 0)
		n = HCALL_STRING_MAX;
	return (size_t)n == want->in_len && (!n || !memcmp(path, want->in, want->in_len));
}

static uint64_t length_of(const struct hcall *call)
{
	int i = trace_row_find(call->row, HCALL_LEN);

	return i < 0 ? 0 : hcall_field_value(call, &call->row->fields[i]);
}

static bool same_data(struct replay *r, struct vm *vm, struct hcall *call, int field)
{
	r->answer = &r->next;
	r->at = 0;
	r->same = r->seen = true;
	hcall_transfer(vm, call, hcall_field_value(call, &call->row->fields[field]),
		length_of(call), true, 0, compare_piece);
	return r->same && r->at == r->next.in_len && call->fault == r->next.fault;
}

static bool same_call(struct replay *r, struct vm *vm, struct hcall *call)
{
	const struct trace_record *want = &r->next;
	struct trace_record got;
	int data;

	if (want->kind != TRACE_CALL && want->kind != TRACE_PENDING)
		return false;
	trace_record_of_call(&got, call);
	if (call->row != want->row || !divergence_same_args(call->row, got.args, want->args))
		return false;
	if (want->kind == TRACE_PENDING || call->row->local)
		return true;
	if (trace_row_has(call->row, HCALL_PATH))
		return same_path(r, vm, call, want);
	data = trace_row_find(call->row, HCALL_DATA_IN);
	return data < 0 || same_data(r, vm, call, data);
}

/* ---- Answers ---- */

static ssize_t give_piece(struct vm *vm, int fd, void *buf, size_t len)
{
	struct replay *r = vm->respond_ctx;
	size_t left = r->answer->out_len - r->at;

	(void)fd;
	if (len > left)
		len = left;
	if (len)
		memcpy(buf, r->answer->out + r->at, len);
	r->at += len;
	return (ssize_t)len;
}

static int out_field(const struct hcall_row *row)
{
	static const enum hcall_kind kinds[] = { HCALL_DATA_OUT, HCALL_DENTS_OUT, HCALL_STAT_OUT };
	int i = -1;

	for (size_t k = 0; i < 0 && k < sizeof(kinds) / sizeof(kinds[0]); k++)
		i = trace_row_find(row, kinds[k]);
	return i;
}

/* What the host wrote then, where the guest wants it now. False: it cannot be put there. */
static bool give(
	struct replay *r, struct vm *vm, struct hcall *call, const struct trace_record *answer)
{
	int i = out_field(call->row);
	uint64_t addr;

	if (i < 0)
		return !answer->out_len;
	addr = hcall_field_value(call, &call->row->fields[i]);
	if (call->row->fields[i].kind == HCALL_STAT_OUT) {
		if (answer->fault) /* its address or the path's: the result says it all */
			call->fault = true;
		return !answer->out_len ||
		       !hcall_write(vm, call, addr, answer->out, answer->out_len);
	}
	r->answer = answer;
	r->at = 0;
	hcall_transfer(vm, call, addr, length_of(call), false, 0, give_piece);
	return r->at == answer->out_len;
}

/* What the guest says on its console is to be seen, as in any run. */
static bool console_write(const struct replay *r, const uint8_t *bytes, size_t len)
{
	int fd = r->session->console_out;

	for (size_t done = 0; fd >= 0 && done < len && !r->session->vm->kicked;) {
		ssize_t n = write(fd, bytes + done, len - done);

		if (n < 0 && errno != EINTR)
			return false;
		done += n > 0 ? (size_t)n : 0;
	}
	return true;
}

static bool speak(struct replay *r, const struct hcall *call)
{
	const struct hcall_field *f = call->row->fields;
	uint8_t byte;

	if (f[0].kind == HCALL_BYTE) {
		byte = (uint8_t)hcall_field_value(call, &f[0]);
		return console_write(r, &byte, 1);
	}
	if (!trace_row_has(call->row, HCALL_DATA_IN))
		return true;
	if (f[0].kind == HCALL_FD && hcall_field_value(call, &f[0]) != STDOUT_FILENO &&
		hcall_field_value(call, &f[0]) != STDERR_FILENO)
		return true;
	return console_write(r, r->next.in, r->next.in_len);
}

static void remember(struct replay *r)
{
	struct past_call *past = &r->before[r->result->calls % DIVERGENCE_BEFORE];
	struct fingerprint *print = &r->past[r->result->calls % PAST];

	past->record = r->next;
	past->record.in_len = r->next.in_len < sizeof(past->in) ? r->next.in_len : sizeof(past->in);
	if (past->record.in_len)
		memcpy(past->in, r->next.in, past->record.in_len);
	past->record.in = past->in;
	past->record.out = NULL;
	past->record.out_len = 0;
	*print = (struct fingerprint){ r->next.seq, fingerprint_of(&r->next) };
	__atomic_store_n(&r->result->last_call, r->next.row->name, __ATOMIC_RELAXED);
	__atomic_store_n(&r->result->calls, r->result->calls + 1, __ATOMIC_RELAXED);
}

/* The machine stopped in this call, and the trace says how. */
static int64_t stop_as_recorded(struct replay *r, struct vm *vm)
{
	if (r->next.kind != TRACE_END && r->next.kind != TRACE_CUT)
		return stop_broken(r, "comes after one in which the guest stopped");
	if (is_cut(&r->next))
		return stop_cut(r);
	r->done = true;
	if (r->next.stop_kind == VM_EXITED)
		vm_stop_exit(vm, r->next.stop_code);
	else
		vm_stop_set(vm, VM_CRASHED, "%s", r->next.stop_text ? r->next.stop_text : "");
	return 0;
}

static int64_t diverge(struct replay *r, struct vm *vm, struct hcall *call, bool has_result);
static int64_t answer_diverged(struct replay *r, struct vm *vm, struct hcall *call);

static int64_t answer(struct replay *r, struct vm *vm, struct hcall *call)
{
	int64_t result = r->next.result;
	bool ends = r->next.ends, given;

	if (call->row->local) {
		call->result = call->row->answer(vm, call);
		if (call->result != result)
			return diverge(r, vm, call, true);
	} else {
		given = give(r, vm, call, &r->next);
		if (!given && !call->fault)
			return stop_broken(r, "holds more bytes than the guest has asked for");
		if (call->fault != r->next.fault)
			return diverge(r, vm, call, false);
	}
	if (!speak(r, call)) {
		vm_stop_set(vm, VM_FAILED, "standard output: %s", strerrordesc_np(errno));
		return 0;
	}
	remember(r);
	advance(r);
	if (r->error)
		return stop_no_good(r);
	if (ends)
		return stop_as_recorded(r, vm);
	return is_cut(&r->next) ? stop_cut(r) : result;
}

static int64_t respond(void *ctx, struct vm *vm, struct hcall *call)
{
	struct replay *r = ctx;

	r->seen = false;
	if (r->diverged)
		return answer_diverged(r, vm, call);
	if (r->error)
		return stop_no_good(r);
	if (r->next.kind == TRACE_EDITED)
		return stop_unedited(r, call);
	if (is_cut(&r->next))
		return stop_cut(r);
	if (!same_call(r, vm, call))
		return diverge(r, vm, call, false);
	if (r->next.kind == TRACE_PENDING)
		return stop_cut(r);
	return answer(r, vm, call);
}

/* ---- After the divergence ---- */

static bool copy_bytes(const uint8_t **bytes, size_t len)
{
	uint8_t *copy = malloc(len + 1);

	if (!copy)
		return false;
	if (len)
		memcpy(copy, *bytes, len);
	*bytes = copy;
	return true;
}

/* A copy that owns its bytes; without them when memory is short. */
static void keep(struct trace_record *copy, const struct trace_record *record)
{
	*copy = *record;
	copy->stop_text = NULL;
	if (!copy_bytes(&copy->in, copy->in_len)) {
		copy->in = NULL;
		copy->in_len = 0;
	}
	if (!copy_bytes(&copy->out, copy->out_len)) {
		copy->out = NULL;
		copy->out_len = 0;
	}
}

static void drop(struct trace_record *copy)
{
	free((uint8_t *)(uintptr_t)copy->in);
	free((uint8_t *)(uintptr_t)copy->out);
}

static ssize_t gather_piece(struct vm *vm, int fd, void *buf, size_t len)
{
	struct replay *r = vm->respond_ctx;
	uint8_t *more;

	(void)fd;
	if (len > GATHER_MAX - r->at)
		len = GATHER_MAX - r->at;
	more = realloc(r->gathered, r->at + len + 1);
	if (!more)
		return 0;
	r->gathered = more;
	if (len)
		memcpy(more + r->at, buf, len);
	r->at += len;
	return (ssize_t)len;
}

/* The call with all that it gives the host, as a record that owns its bytes. */
static void take_call(
	struct replay *r, struct vm *vm, struct hcall *call, struct trace_record *record)
{
	int path = trace_row_find(call->row, HCALL_PATH),
	    data = trace_row_find(call->row, HCALL_DATA_IN);
	struct trace_sink *watchers = vm->trace;
	bool fault = call->fault;
	ssize_t n;

	*record = (struct trace_record){ 0 };
	r->gathered = calloc(1, HCALL_STRING_MAX + 1);
	r->at = 0;
	if (r->seen)
		vm->trace = NULL;
	if (path >= 0 && r->gathered) {
		n = hcall_read_string(vm, call, hcall_field_value(call, &call->row->fields[path]),
			(char *)r->gathered);
		r->at = n >= 0 ? (size_t)n : n == -ENAMETOOLONG ? HCALL_STRING_MAX : 0;
	} else if (data >= 0) {
		hcall_transfer(vm, call, hcall_field_value(call, &call->row->fields[data]),
			length_of(call), true, 0, gather_piece);
	}
	vm->trace = watchers;
	trace_record_of_call(record, call);
	record->ends = call->row->exits;
	record->in = r->gathered;
	record->in_len = r->gathered ? r->at : 0;
	r->gathered = NULL;
	call->fault = fault;
}

/* The expected record and what comes after it, as far as is of use. */
static void look_ahead(struct replay *r, struct divergence_state *d)
{
	size_t bytes = 0;

	keep(&d->ahead[d->n_ahead++], &r->next);
	while (d->n_ahead < 1 + AHEAD && bytes < AHEAD_BYTES &&
		(r->next.kind == TRACE_CALL || r->next.kind == TRACE_PENDING)) {
		advance(r);
		if (r->error) { /* of no concern now: the guest has diverged before that */
			r->error = 0;
			return;
		}
		bytes += r->next.in_len + r->next.out_len;
		keep(&d->ahead[d->n_ahead++], &r->next);
	}
}

static bool same_ahead(const struct divergence_state *d, size_t i, const struct trace_record *call)
{
	return i < d->n_ahead && d->ahead[i].kind == TRACE_CALL &&
	       divergence_same_call(&d->ahead[i], call);
}

/* What a host might say to a call that the trace does not know. */
static int64_t plausible(const struct hcall *call)
{
	if (trace_row_has(call->row, HCALL_PATH))
		return -ENOENT;
	if (trace_row_has(call->row, HCALL_DATA_IN))
		return (int64_t)length_of(call);
	return 0;
}

static int64_t answer_from(struct replay *r, struct vm *vm, struct hcall *call,
	const struct trace_record *record, bool same)
{
	if (call->row->local)
		return call->row->answer(vm, call);
	give(r, vm, call, record);
	if (!same && record->result > 0 && trace_row_has(call->row, HCALL_DATA_IN))
		return plausible(call);
	return record->result;
}

static int64_t answer_somehow(
	struct replay *r, struct vm *vm, struct hcall *call, const struct trace_record *got)
{
	const struct divergence_state *d = r->diverged;

	for (size_t i = 0; i < d->n_ahead; i++)
		if (same_ahead(d, i, got))
			return answer_from(r, vm, call, &d->ahead[i], true);
	/* A changed question is best answered with the answer to what it was before. */
	if (got == &d->got && d->ahead[0].kind == TRACE_CALL && d->ahead[0].row == call->row)
		return answer_from(r, vm, call, &d->ahead[0], false);
	return call->row->local ? call->row->answer(vm, call) : plausible(call);
}

static bool is_another_image(const struct session *s, const struct trace_header *header)
{
	uint8_t hash[TRACE_HASH_LEN];

	if (!header->has_guest_hash)
		return false;
	tree_hash(s->image, s->image_size, hash);
	return memcmp(hash, header->guest_hash, sizeof(hash)) != 0;
}

static int64_t stop_diverged(struct replay *r)
{
	bool other = is_another_image(r->session, trace_reader_header(r->reader));

	vm_stop_set(r->session->vm, VM_KICKED,
		"at call %llu the guest did something else than was recorded%s",
		(unsigned long long)r->diverged->report.seq,
		other ? "; this image is not the one that was recorded" : "");
	return 0;
}

/* Behind the last one, too: a debugger may go on from there. */
static int64_t answer_diverged(struct replay *r, struct vm *vm, struct hcall *call)
{
	struct divergence_state *d = r->diverged;
	struct trace_record *got = &d->follow[d->n_follow];

	if (d->n_follow == FOLLOW)
		return stop_diverged(r);
	take_call(r, vm, call, got);
	d->n_follow++;
	if (d->n_follow == FOLLOW || call->row->exits)
		return stop_diverged(r);
	return answer_somehow(r, vm, call, got);
}

/* Of the calls before this one: how many are remembered, oldest first. */
static void list_before(struct replay *r, struct divergence *report)
{
	uint64_t n = r->result->calls;

	report->n_before = n < DIVERGENCE_BEFORE ? (size_t)n : DIVERGENCE_BEFORE;
	for (size_t i = 0; i < report->n_before; i++)
		report->before[i] =
			&r->before[(n - report->n_before + i) % DIVERGENCE_BEFORE].record;
}

/* What is known at once. */
static struct divergence_state *begin_divergence(struct replay *r, uint64_t seq, uint64_t rip)
{
	struct divergence_state *d = r->diverged = calloc(1, sizeof(*d));
	struct divergence *report;

	if (!d) {
		r->error = err_set(r->err, -ENOMEM, "out of memory");
		return NULL;
	}
	r->result->mismatches = 1;
	if (r->next.kind == TRACE_EDITED)
		advance(r);
	report = &d->report;
	report->seq = seq;
	report->frames = d->frames;
	report->expected = &d->ahead[0];
	look_ahead(r, d);
	list_before(r, report);
	for (size_t i = 1; i < d->n_ahead && report->n_next < DIVERGENCE_NEXT; i++)
		if (d->ahead[i].kind == TRACE_CALL)
			report->next[report->n_next++] = &d->ahead[i];
	report_frames(r->session->vm, rip, DIVERGENCE_FRAMES, d->frames, sizeof(d->frames));
	return d;
}

static int64_t diverge(struct replay *r, struct vm *vm, struct hcall *call, bool has_result)
{
	struct divergence_state *d = begin_divergence(r, call->seq, call->rip);

	if (!d)
		return stop(r, "out of memory");
	take_call(r, vm, call, &d->got);
	d->got.fault = call->fault;
	/* The recorded host stopped before the end of the data: so far goes what is compared. */
	if (d->got.row == d->ahead[0].row && d->got.in_len > d->ahead[0].in_len &&
		trace_row_has(call->row, HCALL_DATA_IN) &&
		divergence_same_args(call->row, d->got.args, d->ahead[0].args))
		d->got.in_len = d->ahead[0].in_len;
	d->report.got = &d->got;
	d->report.has_result = has_result;
	for (size_t i = 1; !d->same_ahead && i < d->n_ahead; i++)
		if (same_ahead(d, i, &d->got))
			d->same_ahead = i;
	if (call->row->exits || r->session->gdb) /* who debugs wants to look at this one */
		return stop_diverged(r);
	session_hurry(r->session, FOLLOW_MS);
	return answer_somehow(r, vm, call, &d->got);
}

/* How many of the guest's further calls are those of the trace from this one on. */
static unsigned followed_from(const struct divergence_state *d, size_t first)
{
	unsigned n = 0;

	while (n < d->n_follow && same_ahead(d, first + n, &d->follow[n]))
		n++;
	return n;
}

static void find_kind(struct divergence_state *d)
{
	unsigned changed = followed_from(d, 1), extra = followed_from(d, 0),
		 missing = d->same_ahead ? followed_from(d, d->same_ahead + 1) : 0;
	struct divergence *report = &d->report;

	report->kind = DIVERGENCE_CHANGED;
	report->followed = changed;
	if (report->expected->kind == TRACE_END)
		report->kind = report->got ? DIVERGENCE_EXTRA : DIVERGENCE_END;
	else if (!report->got || (report->got->row->exits && !report->expected->row->exits))
		report->kind = DIVERGENCE_EARLY_EXIT;
	else if (d->same_ahead && missing >= changed && missing >= extra) {
		report->kind = DIVERGENCE_MISSING;
		report->followed = missing;
		report->skipped = d->same_ahead;
	} else if (extra > changed) {
		report->kind = DIVERGENCE_EXTRA;
		report->followed = extra;
	}
}

/* The nearest call before or after that is what the guest asked. */
static void find_nearest(struct replay *r, struct divergence_state *d)
{
	struct divergence *report = &d->report;
	uint64_t n = r->result->calls, hash;

	if (!report->got)
		return;
	if (d->same_ahead && report->kind != DIVERGENCE_MISSING) {
		report->has_nearest = true;
		report->nearest = d->ahead[d->same_ahead].seq;
	}
	hash = fingerprint_of(report->got);
	for (uint64_t back = 1; back <= n && back <= PAST; back++) {
		const struct fingerprint *past = &r->past[(n - back) % PAST];

		if (past->hash != hash)
			continue;
		if (!report->has_nearest || report->nearest - report->seq > back) {
			report->has_nearest = true;
			report->nearest = past->seq;
		}
		return;
	}
}

/* ---- The whole ---- */

/* The machine stopped outside any call. True: as the trace says, or nothing can be said. */
static bool ended_as_recorded(const struct replay *r, const struct vm_stop *stop)
{
	if (r->done || r->diverged || stop->kind != VM_CRASHED)
		return true;
	return r->next.kind == TRACE_PENDING || is_cut(&r->next) ||
	       (r->next.kind == TRACE_END && r->next.stop_kind == VM_CRASHED);
}

static void print_report(struct replay *r, const char *path, const struct replay_guest_options *o)
{
	struct divergence_state *d = r->diverged;
	const struct trace_header *header = trace_reader_header(r->reader);
	char cpu[CPU_NOTE_TEXT];

	session_cpu_note(r->session, header, cpu, sizeof(cpu));
	d->report.cpu = cpu[0] ? cpu : NULL;
	d->report.file = path;
	d->report.text = trace_reader_format(r->reader) == TRACE_BJT;
	d->report.header = header;
	d->report.wrong_guest = is_another_image(r->session, header);
	if (d->report.kind != DIVERGENCE_TIMEOUT)
		find_kind(d);
	find_nearest(r, d);
	if (!o->out)
		return;
	if (o->json)
		divergence_print_json(o->out, &d->report);
	else
		divergence_print(o->out, &d->report, isatty(fileno(o->out)));
	fflush(o->out);
}

/* The guest was stopped without a call: where it is, and what it should have asked. */
static void report_timeout(struct replay *r, const char *path, const struct replay_guest_options *o)
{
	struct divergence_state *d = begin_divergence(r, r->result->calls, 0);

	r->result->mismatches = 0;
	if (!d)
		return;
	d->report.kind = DIVERGENCE_TIMEOUT;
	d->report.ended = "at the time limit, without another call";
	print_report(r, path, o);
}

static int run(
	struct replay *r, const char *path, const struct replay_guest_options *o, int *exit_code)
{
	const struct vm_stop *stop = session_run(r->session);
	struct divergence_state *d;

	if (!r->error && !ended_as_recorded(r, stop)) {
		d = begin_divergence(r, r->session->vm->n_calls, 0);
		if (d)
			d->report.ended = stop->text;
	}
	if (r->error)
		return r->error;
	if (r->diverged)
		print_report(r, path, o);
	else if (!r->done && stop->kind == VM_CRASHED &&
		 (r->next.kind == TRACE_PENDING || is_cut(&r->next)))
		r->result->cut = true;
	else if (!r->done && stop->kind != VM_CRASHED)
		*exit_code = session_exit_code(r->session, stop);
	if (*exit_code == EXIT_TIME_LIMIT && !r->diverged)
		report_timeout(r, path, o);
	else if (!r->error && !r->diverged && r->next.kind == TRACE_END)
		r->error = trace_reader_rest(r->reader, r->err);
	return r->error;
}

static int check_guest(const struct session *s, const struct trace_header *header,
	const char *guest, struct err *err)
{
	const struct vm *vm = s->vm;
	char note[CPU_NOTE_TEXT];

	if (vm->abi != header->abi || vm->abi_version != header->abi_version)
		return err_set(err, -EINVAL,
			"was recorded from a guest of %s v%d, and %s is one of %s v%d",
			header->abi->name, header->abi_version, guest, vm->abi->name,
			vm->abi_version);
	if (is_another_image(s, header))
		log_info("%s is not the image that was recorded: its SHA-256 is another", guest);
	if (header->cpu)
		log_info("recorded on %s", header->cpu);
	session_cpu_note(s, header, note, sizeof(note));
	if (note[0])
		log_info("%s", note);
	return 0;
}

/* Everything before the guest's first instruction. */
static int prepare(struct session *s, struct trace_reader **reader, const char *path,
	const char *guest, struct err *err)
{
	char *words[] = { (char *)(uintptr_t)guest };
	struct err why = { "" };
	int e = trace_reader_open(reader, path, err);

	if (e)
		return e;
	e = session_from_header(s, trace_reader_header(*reader), &why);
	if (e)
		return err_set(err, e, "%s: %s", path, why.text);
	s->no_files = true;
	s->guest = guest;
	s->recording = path;
	e = session_prepare(s, words, 1, &why);
	if (e)
		return err_set(err, e, "%s: %s", guest, why.text);
	e = check_guest(s, trace_reader_header(*reader), guest, &why);
	return e ? err_set(err, e, "%s: %s", path, why.text) : 0;
}

static void finish(struct replay *r)
{
	struct divergence_state *d = r->diverged;

	for (size_t i = 0; d && i < d->n_ahead; i++)
		drop(&d->ahead[i]);
	for (size_t i = 0; d && i < d->n_follow; i++)
		drop(&d->follow[i]);
	if (d)
		drop(&d->got);
	free(d);
	free(r->gathered);
	free(r);
}

int replay_guest_on(struct session *s, struct trace_reader *reader, const char *path,
	const struct replay_guest_options *o, struct replay_result *result, int *exit_code,
	struct err *err)
{
	struct replay *r = calloc(1, sizeof(*r));
	int e;

	*result = (struct replay_result){ 0 };
	*exit_code = 0;
	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	e = trace_header_replays(trace_reader_header(reader), path, err);
	if (e) {
		free(r);
		return e;
	}
	r->session = s;
	r->path = path;
	r->result = result;
	r->reader = reader;
	r->err = err;
	s->vm->respond = respond;
	s->vm->respond_ctx = r;
	r->edits = (struct edits){ .next = next_edit, .done = edit_done, .ctx = r };
	edits_init(&r->edits, s->vm);
	s->edits = &r->edits;
	if (!s->drive) {
		s->drive = drive;
		s->drive_ctx = &r->edits;
	}
	advance(r);
	e = r->error;
	if (!e && is_cut(&r->next) && !s->gdb)
		result->cut = true; /* before its first call: debugged, the way to it can be seen */
	else if (!e)
		e = run(r, path, o, exit_code);
	s->edits = NULL;
	if (s->drive == drive)
		s->drive = NULL;
	finish(r);
	return e;
}

int replay_guest(struct session *s, const char *path, const char *guest,
	const struct replay_guest_options *o, struct replay_result *result, int *exit_code,
	struct err *err)
{
	struct trace_reader *reader = NULL;
	int r;

	*result = (struct replay_result){ 0 };
	*exit_code = 0;
	r = prepare(s, &reader, path, guest, err);
	if (!r)
		r = replay_guest_on(s, reader, path, o, result, exit_code, err);
	trace_reader_close(reader);
	return r;
}
