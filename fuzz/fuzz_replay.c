// SPDX-License-Identifier: ISC
/*
 * Any bytes as a trace, replayed in the guest's place with the trees it brings; and, when that could be done,
 * what came of it: the same questions with the answers that the handlers gave. Beyond not crashing:
 *
 *   - what is refused is refused in one printable line, and there is a report for each mismatch;
 *   - no descriptor is left open, nothing is left in the private directory or made beside it;
 *   - a trace of the answers that were given replays without a mismatch, to the same trees;
 *   - so does any part of it from the first call on;
 *   - one answer changed in it is one mismatch, which names the call and what was changed;
 *   - whatever else is changed, no call in front of it answers otherwise.
 *
 * The input is the trace, or, in front of it, how many changes there are and four bytes for each: what is
 * changed, the number of the call (2), and by how much.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "fuzz/keep.h"
#include "log.h"
#include "replay.h"
#include "subtrace.h"
#include "trace_read.h"
#include "trace_text.h"
#include "trace_write.h"
#include "tree.h"

enum { FILE_MAX = 4 << 20, MEM_MAX = 128 << 20, CHANGES_MAX = 3, CHANGE_LEN = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int fuzz_print_bjt(const uint8_t *data, size_t size, FILE *out);

static char home[] = "/tmp/belljar-fuzz-XXXXXX", private[sizeof(home) + 8],
	    recording[sizeof(home) + 16];

static void go_home(void)
{
	assert(!rmdir(private) && !rmdir(home));
}

/* A directory of our own that nothing may be left in; files that no run takes long to look at. */
static void set_up(void)
{
	struct rlimit limit = { FILE_MAX, FILE_MAX };

	assert(mkdtemp(home));
	snprintf(private, sizeof(private), "%s/tmp", home);
	snprintf(recording, sizeof(recording), "%s/recording", home);
	assert(!mkdir(private, 0700) && !setenv("TMPDIR", private, 1));
	signal(SIGXFSZ, SIG_IGN);
	assert(!setrlimit(RLIMIT_FSIZE, &limit));
	log_set_level(LOG_ERROR);
	atexit(go_home);
}

static int count(const char *dir)
{
	DIR *stream = opendir(dir);
	int n = 0;

	assert(stream);
	while (readdir(stream))
		n++;
	closedir(stream);
	return n;
}

static bool printable_line(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

/* --- one replay ---------------------------------------------------------------------------------- */

struct outcome {
	int r;
	struct replay_result result;
	char *report; /* a line of JSON, or a text, for each mismatch */
	struct err err;
};

/* Each mismatch is a line of JSON, or a block that begins with its name. */
static uint64_t reports(const char *report, bool json)
{
	uint64_t n = 0;

	for (const char *line = report; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		n += json || !strncmp(line, "MISMATCH ", 9);
		assert(!json || *line == '{');
		assert(json || *line == 'M' || *line == ' ');
	}
	return n;
}

static void replay(struct outcome *out, struct trace_reader *reader, struct replay_host_options *o)
{
	size_t size;

	*out = (struct outcome){ .err = { "" } };
	o->out = open_memstream(&out->report, &size);
	assert(o->out);
	out->r = replay_host_reader(reader, "input", o, &out->result, &out->err);
	assert(!fclose(o->out));
	assert(!out->r || (out->err.text[0] && printable_line(out->err.text)));
	assert(out->r || reports(out->report, o->json) == out->result.mismatches);
}

static bool is_of_call(const char *line, uint64_t *call)
{
	const char *key = memmem(line, strcspn(line, "\n"), ",\"call\":", 8);

	*call = key ? strtoull(key + 8, NULL, 10) : 0;
	return key;
}

/* --- the trace of what was answered --------------------------------------------------------------- */

struct answered {
	const struct trace_header *header;
	struct trace_record *list; /* borrows all bytes, but: */
	uint8_t *changed[CHANGES_MAX];
	size_t n, first_call, n_calls;
	unsigned n_changed;
};

/* The end that goes with what was kept. */
static struct trace_record keep_end(const struct keep *k)
{
	if (k->stop.kind == VM_RUNNING)
		return (struct trace_record){
			.kind = TRACE_END, .stop_kind = VM_CRASHED, .stop_text = "halted"
		};
	return (struct trace_record){ .kind = TRACE_END,
		.stop_kind = (int)k->stop.kind,
		.stop_code = k->stop.code,
		.stop_text = k->stop.text };
}

/* The questions of one trace with the answers of its replay, and the trees as that left them. */
static void make_answered(struct answered *a, const struct subtrace *t, const struct keep *keep,
	const struct tree *changes)
{
	size_t calls = 0;

	*a = (struct answered){ .header = &t->header };
	a->list = calloc(t->n + changes->n, sizeof(*a->list));
	assert(a->list);
	for (size_t i = 0; i < t->n; i++) {
		const struct trace_record *r = &t->records[i];
		struct trace_record *to = &a->list[a->n];

		if (r->kind == TRACE_AFTER)
			continue;
		for (size_t k = 0; r->kind == TRACE_END && k < changes->n; k++, to = &a->list[a->n])
			a->list[a->n++] = (struct trace_record){ .kind = TRACE_AFTER,
				.tree = changes->entries[k] };
		*to = *r;
		if (r->kind == TRACE_CALL) {
			assert(calls < keep->n && keep->list[calls].record.row == r->row);
			a->first_call = calls ? a->first_call : a->n;
			*to = keep->list[calls].record;
			to->seq = calls++;
		} else if (r->kind == TRACE_END) {
			*to = keep_end(keep);
			to->seq = calls;
		}
		a->n++;
	}
	assert(calls == keep->n);
	a->n_calls = calls;
}

static void finish_answered(struct answered *a)
{
	for (unsigned i = 0; i < a->n_changed; i++)
		free(a->changed[i]);
	free(a->list);
}

static int put_text(FILE *out, const struct answered *a, struct err *err)
{
	struct trace_text_config config = { 0 };
	int r = trace_text_begin(out, a->header, &config, err);

	for (size_t i = 0; !r && i < a->n; i++)
		r = trace_text_put(out, a->header, &a->list[i], &config, err);
	return r;
}

static int write_recording(const struct answered *a, struct err *err)
{
	const struct trace_writer_config config = { .on_error = TRACE_ERROR_STOP };
	struct trace_writer *w;
	int r = trace_writer_open(&w, recording, a->header, &config, err);
	int closed;

	if (r)
		return r;
	for (size_t i = 0; !r && i < a->n; i++)
		if (a->list[i].kind != TRACE_CUT)
			r = trace_writer_put(w, &a->list[i]);
	closed = trace_writer_close(w, err);
	return r ? r : closed;
}

/* Written and replayed; where there are files, as the recording that brings them. */
static void replay_answered(struct outcome *out, const struct answered *a, const char *tree_dir)
{
	struct replay_host_options o = { .tree_dir = tree_dir, .json = true };
	bool text = !a->header->has_tree || !a->header->n_mounts;
	struct trace_reader *reader = NULL;
	struct err err = { "" };
	char *bytes = NULL;
	size_t size = 0;
	FILE *stream;
	int r;

	if (text) {
		stream = open_memstream(&bytes, &size);
		assert(stream);
		r = put_text(stream, a, &err);
		assert(!fclose(stream));
		assert(!r);
		r = trace_reader_open_memory(&reader, bytes, size, "answered", &err);
	} else {
		assert(!write_recording(a, &err));
		r = trace_reader_open(&reader, recording, &err);
		unlink(recording);
	}
	assert(!r);
	replay(out, reader, &o);
	trace_reader_close(reader);
	free(bytes);
}

/* --- changes ------------------------------------------------------------------------------------- */

enum change_kind { CHANGE_RESULT, CHANGE_OUT, CHANGE_IN, CHANGE_DROP, CHANGE_SWAP, CHANGE_CUT };
enum { CHANGE_COUNT = CHANGE_CUT + 1 };

struct change {
	enum change_kind kind;
	uint64_t call;
	uint8_t value;
};

static uint8_t *own_bytes(struct answered *a, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len);

	assert(copy);
	return a->changed[a->n_changed++] = memcpy(copy, bytes, len);
}

static bool change_byte(
	struct answered *a, const uint8_t **bytes, size_t len, const struct change *c)
{
	uint8_t *copy;

	if (!len || !c->value)
		return false;
	*bytes = copy = own_bytes(a, *bytes, len);
	copy[c->call * 31 % len] ^= c->value;
	return true;
}

static void drop(struct answered *a, size_t from, size_t n)
{
	memmove(a->list + from, a->list + from + n, (a->n - from - n) * sizeof(*a->list));
	a->n -= n;
	a->n_calls -= n;
}

/* What comes behind call number c->call goes, the end too. */
static void cut(struct answered *a, const struct change *c)
{
	size_t at = a->first_call + c->call + 1;

	a->list[at] = (struct trace_record){ .kind = TRACE_CUT };
	a->n = at + 1;
	a->n_calls = c->call + 1;
}

/* False: nothing has changed. */
static bool change(struct answered *a, const struct change *c)
{
	struct trace_record *r = &a->list[a->first_call + c->call], other = *r;

	switch (c->kind) {
	case CHANGE_RESULT:
		r->result += (int8_t)c->value;
		return c->value;
	case CHANGE_OUT:
		return change_byte(a, &r->out, r->out_len, c);
	case CHANGE_IN:
		return change_byte(a, &r->in, r->in_len, c);
	case CHANGE_DROP:
		drop(a, a->first_call + c->call, 1);
		return true;
	case CHANGE_SWAP:
		if (c->call + 1 == a->n_calls)
			return false;
		*r = r[1];
		r[1] = other;
		return true;
	case CHANGE_CUT:
		cut(a, c);
		return true;
	}
	return false;
}

/* Is what the trace says of this call's answer the host's business, and compared? */
static bool is_compared(const struct trace_record *r, enum change_kind kind)
{
	struct hcall call;
	int fd = trace_row_find(r->row, HCALL_FD);

	trace_call_of_record(&call, r);
	if (r->ends || hcall_reads_console(&call) || r->row->fields[0].kind == HCALL_BYTE)
		return false;
	if (trace_row_find(r->row, HCALL_DATA_IN) >= 0 &&
		(fd < 0 || (r->args[fd] > 0 && r->args[fd] < 3)))
		return false;
	return kind == CHANGE_RESULT || !r->row->local;
}

/* One mismatch, and it is this one. */
static void check_named(const struct outcome *out, const struct change *c)
{
	const char *field = c->kind == CHANGE_RESULT ? "result" : "out";
	char head[32];
	uint64_t call;

	snprintf(head, sizeof(head), "{\"mismatch\":\"%s\"", field);
	if (out->result.mismatches == 1 && !strncmp(out->report, head, strlen(head)) &&
		is_of_call(out->report, &call) && call == c->call)
		return;
	fprintf(stderr, "the changed %s of call %llu gave %llu mismatches:\n%s\n", field,
		(unsigned long long)c->call, (unsigned long long)out->result.mismatches,
		out->report);
	abort();
}

/* A trace that does not hold together any more is refused; a host that ran out is no finding. */
static void check_changed(const struct answered *a, const struct change *changes, unsigned n,
	bool compared, const char *tree_dir)
{
	uint64_t first = UINT64_MAX, call;
	struct outcome out;
	bool cut_only = true;

	for (unsigned i = 0; i < n; i++) {
		cut_only = cut_only && changes[i].kind == CHANGE_CUT;
		first = changes[i].call < first ? changes[i].call : first;
	}
	replay_answered(&out, a, tree_dir);
	for (const char *line = out.report; *line; line = strchr(line, '\n') + 1)
		assert(!is_of_call(line, &call) || call >= first);
	if (!out.r && cut_only)
		assert(!out.result.mismatches && out.result.calls == a->n_calls);
	if (!out.r && compared)
		check_named(&out, changes);
	free(out.report);
}

static void number_calls(struct answered *a)
{
	uint64_t seq = 0;

	for (size_t i = 0; i < a->n; i++) {
		if (a->list[i].kind == TRACE_CALL)
			a->list[i].seq = seq++;
		else if (a->list[i].kind == TRACE_END)
			a->list[i].seq = seq;
	}
}

/* All at once; n is how many the input has. */
static void check_changes(struct answered *a, const uint8_t *data, unsigned n, const char *tree_dir)
{
	struct change changes[CHANGES_MAX];
	bool compared = false;
	unsigned done = 0;

	for (unsigned i = 0; i < n && a->n_calls; i++, data += CHANGE_LEN) {
		struct change c = { .kind = data[0] % CHANGE_COUNT,
			.call = (data[1] | (unsigned)data[2] << 8) % a->n_calls,
			.value = data[3] };

		compared = c.kind <= CHANGE_OUT &&
			   is_compared(&a->list[a->first_call + c.call], c.kind);
		if (change(a, &c))
			changes[done++] = c;
	}
	compared = compared && n == 1;
	number_calls(a);
	if (done)
		check_changed(a, changes, done, compared, tree_dir);
}

/* --- the whole ----------------------------------------------------------------------------------- */

/* Replayed again from what it answered: nothing differs. Then with what the input has changed. */
static void check_again(const uint8_t *trace, size_t size, const struct keep *keep,
	const struct tree *tree, const uint8_t *changes, unsigned n, const char *tree_dir)
{
	struct trace_reader *reader;
	struct err err = { "" };
	struct outcome out;
	struct answered a;
	struct subtrace t;

	assert(!trace_reader_open_memory(&reader, trace, size, "input", &err));
	assert(!subtrace_take(&t, reader, &err));
	trace_reader_close(reader);
	make_answered(&a, &t, keep, tree);
	replay_answered(&out, &a, tree_dir);
	assert(!out.r && !out.result.mismatches && out.result.calls == keep->n);
	free(out.report);
	check_changes(&a, changes, n, tree_dir);
	finish_answered(&a);
	subtrace_finish(&t);
}

/* Mismatches of the trace as it is; -1: it cannot be replayed. Golden text's files are in tree_dir. */
static int64_t check_trace(
	const uint8_t *trace, size_t size, const uint8_t *changes, unsigned n, const char *tree_dir)
{
	struct keep keep = { .sink.emit = keep_emit };
	struct tree tree = { 0 };
	struct replay_host_options o = {
		.tree_dir = tree_dir, .json = size & 1, .changes = &tree, .watch = &keep.sink
	};
	struct trace_reader *reader;
	struct err err = { "" };
	struct outcome out = { .r = -EFBIG };
	int64_t mismatches;

	if (trace_reader_open_memory(&reader, trace, size, "input", &err)) {
		assert(err.text[0] && printable_line(err.text));
		return -1;
	}
	if (trace_reader_header(reader)->mem_size <= MEM_MAX)
		replay(&out, reader, &o);
	trace_reader_close(reader);
	mismatches = out.r ? -1 : (int64_t)out.result.mismatches;
	free(out.report);
	if (!out.r)
		check_again(trace, size, &keep, &tree, changes, n, tree_dir);
	keep_finish(&keep);
	tree_finish(&tree);
	return mismatches;
}

/* How many changes lie in front of the trace. */
static unsigned count_changes(const uint8_t *data, size_t size)
{
	static const uint8_t section[] = { 0x0a, 0x0d, 0x0d, 0x0a };
	unsigned n;

	if (size < 4 || !memcmp(data, "bjt ", 4) || !memcmp(data, section, 4))
		return 0;
	n = 1 + data[0] % CHANGES_MAX;
	return size > 1 + (size_t)n * CHANGE_LEN ? n : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned n = count_changes(data, size);
	size_t head = n ? 1 + (size_t)n * CHANGE_LEN : 0;
	int fds;

	if (!private[0])
		set_up();
	fds = count("/proc/self/fd");
	check_trace(data + head, size - head, data + 1, n, private);
	assert(count("/proc/self/fd") == fds);
	assert(count(private) == 2 && count(home) == 3);
	return 0;
}

int fuzz_print_bjt(const uint8_t *data, size_t size, FILE *out)
{
	unsigned n = count_changes(data, size);
	size_t head = n ? 1 + (size_t)n * CHANGE_LEN : 0;
	struct trace_text_config config = { 0 };
	struct trace_reader *reader;
	struct trace_record record;
	struct err err = { "" };
	int r = trace_reader_open_memory(&reader, data + head, size - head, "input", &err);

	if (r)
		return r;
	r = trace_text_begin(out, trace_reader_header(reader), &config, &err);
	while (!r && (r = trace_reader_next(reader, &record, &err)) > 0)
		r = trace_text_put(out, trace_reader_header(reader), &record, &config, &err);
	trace_reader_close(reader);
	return r;
}
