// SPDX-License-Identifier: ISC
/* Guests run live for goldens, and what they did as text, with the masks that somebody put into an earlier one. */
#include "golden_take.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "cmd.h"
#include "err.h"
#include "golden.h"
#include "linediff.h"
#include "record.h"
#include "session.h"
#include "trace_read.h"
#include "trace_text.h"
#include "tree.h"

enum { KEY_MAX = 8192, DIFF_LINES = 40, DIFF_CONTEXT = 2 };

/* Everything of one take. Files of its own lie in $TMPDIR, which goes away with the job. */
struct work {
	const struct golden_take *take;
	char *tree, *new, *from, *blobs, *tmp_blobs, *input; /* paths; from may be NULL */
	struct trace_header header;                          /* mounts relative to the tree */
};

static int no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "out of memory");
}

static const char *tmp_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	return tmp && tmp[0] ? tmp : "/tmp";
}

/* Calls that an earlier text has masks on, and the lines to find them again by. */
struct masks {
	struct lines keys;
	unsigned *masked;
	size_t n_masked;
};

static void masks_finish(struct masks *m)
{
	for (size_t i = 0; i < m->keys.n; i++)
		free((char *)(uintptr_t)m->keys.list[i].text);
	free(m->keys.list);
	free(m->masked);
	*m = (struct masks){ 0 };
}

/* The call's line without its result: what a call is known by. */
static int add_key(
	struct masks *m, const struct trace_header *header, const struct trace_record *record)
{
	struct trace_record bare = *record;
	void *list, *masked;
	char line[KEY_MAX];
	char *text;

	bare.result = 0;
	bare.masked = 0;
	trace_text_line(header, &bare, line, sizeof(line));
	list = reallocarray(m->keys.list, m->keys.n + 1, sizeof(*m->keys.list));
	if (list)
		m->keys.list = list;
	masked = reallocarray(m->masked, m->keys.n + 1, sizeof(*m->masked));
	if (masked)
		m->masked = masked;
	text = list && masked ? strdup(line) : NULL;
	if (!text)
		return -ENOMEM;
	m->keys.list[m->keys.n] = (struct line){ text, strlen(text) };
	m->masked[m->keys.n++] = record->masked;
	m->n_masked += record->masked != 0;
	return 0;
}

/* The keys of all calls of a trace, in order. */
static int masks_read(struct masks *m, const char *path, struct err *err)
{
	struct trace_reader *reader;
	struct trace_record record;
	int r;

	*m = (struct masks){ 0 };
	r = trace_reader_open(&reader, path, err);
	if (r)
		return r;
	while ((r = trace_reader_next(reader, &record, err)) > 0)
		if (record.kind == TRACE_CALL && add_key(m, trace_reader_header(reader), &record)) {
			r = no_memory(err);
			break;
		}
	trace_reader_close(reader);
	if (r)
		masks_finish(m);
	return r;
}

/*
 * The mask of every call of a trace, as the text `from` has it on the calls that both made: the caller's to
 * free. NULL with 0: there are none.
 */
static int carry_masks(const char *from, const char *trace, unsigned **masked, struct err *err)
{
	struct masks old = { 0 }, now = { 0 };
	autofree size_t *match = NULL;
	int r = from ? masks_read(&old, from, err) : 0;

	*masked = NULL;
	if (!r && old.n_masked)
		r = masks_read(&now, trace, err);
	if (!r && now.keys.n) {
		match = calloc(old.keys.n, sizeof(*match));
		*masked = calloc(now.keys.n, sizeof(**masked));
		if (!match || !*masked || lines_match(&old.keys, &now.keys, match))
			r = no_memory(err);
	}
	for (size_t i = 0; match && !r && i < old.keys.n; i++)
		if (match[i] != SIZE_MAX)
			(*masked)[match[i]] = old.masked[i];
	masks_finish(&old);
	masks_finish(&now);
	return r;
}

/* A masked value may differ: for a comparison it is taken out. */
static void blank_masked(struct trace_record *record)
{
	if (record->masked & TRACE_MASK_RESULT)
		record->result = 0;
	if (record->masked & TRACE_MASK_OUT)
		record->out_len = 0;
}

struct text {
	char *bytes;
	size_t len;
};

static int put_records(FILE *out, struct trace_reader *reader, const struct trace_header *header,
	const unsigned *masked, struct trace_text_config *config, bool blank, struct err *err)
{
	struct trace_record record;
	size_t call = 0;
	int r = trace_text_begin(out, header, config, err);

	while (!r && (r = trace_reader_next(reader, &record, err)) > 0) {
		if (record.kind == TRACE_CALL && masked)
			record.masked = masked[call++];
		if (blank)
			blank_masked(&record);
		r = trace_text_put(out, header, &record, config, err);
	}
	return r;
}

/* A trace as golden text, its mounts named relative to the tree. */
static int text_of(
	const struct work *w, const char *trace, bool blank, struct text *text, struct err *err)
{
	struct trace_text_config config = { .blob_dir = blank ? w->tmp_blobs : w->blobs };
	autofree unsigned *masked = NULL;
	struct trace_reader *reader;
	struct trace_header header;
	FILE *out;
	int r = carry_masks(w->from, trace, &masked, err);

	if (r)
		return r;
	r = trace_reader_open(&reader, trace, err);
	if (r)
		return r;
	header = *trace_reader_header(reader);
	header.mounts = w->header.mounts;
	header.n_mounts = w->header.n_mounts;
	out = open_memstream(&text->bytes, &text->len);
	r = out ? put_records(out, reader, &header, masked, &config, blank, err) : no_memory(err);
	if (out && fclose(out) && !r)
		r = no_memory(err);
	trace_reader_close(reader);
	return r;
}

/* What the console's reads delivered, so that it can be typed again. */
static int put_input(FILE *out, const struct trace_record *record)
{
	struct hcall call;

	if (record->kind != TRACE_CALL)
		return 0;
	trace_call_of_record(&call, record);
	if (!hcall_reads_console(&call) || record->result < 0)
		return 0;
	if (record->row->ret == HCALL_RET_IN)
		fputc((int)(record->result & 0xff), out);
	else if (record->out_len)
		fwrite(record->out, 1, record->out_len, out);
	return ferror(out) ? -EIO : 0;
}

/* Header and console input of the earlier trace. */
static int read_from(struct work *w, struct err *err)
{
	FILE *out = fopen(w->input, "we");
	struct trace_reader *reader = NULL;
	struct trace_record record;
	int r = out ? trace_reader_open(&reader, w->from, err)
		    : err_set(err, -errno, "%s: %m", w->input);

	if (!r && trace_header_copy(&w->header, trace_reader_header(reader)))
		r = no_memory(err);
	while (!r && (r = trace_reader_next(reader, &record, err)) > 0)
		r = put_input(out, &record) ? err_set(err, -EIO, "%s: cannot be written", w->input)
					    : 0;
	if (reader)
		trace_reader_close(reader);
	if (out && fclose(out) && !r)
		r = err_set(err, -EIO, "%s: cannot be written", w->input);
	return r;
}

static int work_init(struct work *w, const struct golden_take *take, struct err *err)
{
	int r;

	*w = (struct work){ .take = take };
	w->tree = golden_path(take->dir, take->name, GOLDEN_TREE);
	w->new = golden_path(take->dir, take->name, GOLDEN_NEW);
	w->from = take->from ? golden_path(take->dir, take->name, take->from) : NULL;
	w->blobs = golden_path(take->dir, "blobs", "");
	w->tmp_blobs = golden_path(tmp_dir(), "blobs", "");
	w->input = take->input ? strdup(take->input) : golden_path(tmp_dir(), "input", "");
	if (!w->tree || !w->new || !w->blobs || !w->tmp_blobs || !w->input ||
		(take->from && !w->from))
		return no_memory(err);
	r = golden_own_dir(w->tree, err);
	if (!r)
		r = golden_own_dir(w->blobs, err);
	if (r || !take->header)
		return r ? r : read_from(w, err);
	if (trace_header_copy(&w->header, take->header))
		return no_memory(err);
	if (!take->input) {
		free(w->input);
		w->input = strdup("/dev/null");
	}
	return w->input ? 0 : no_memory(err);
}

static void work_finish(struct work *w)
{
	free(w->tree);
	free(w->new);
	free(w->from);
	free(w->blobs);
	free(w->tmp_blobs);
	free(w->input);
	trace_header_finish(&w->header);
}

/* Says what is wrong, as every job does. */
static int complain(const struct err *err)
{
	printf("%s\n", err->text);
	return EXIT_OURS;
}

/* 0: it came to an end, be it a crash; else the exit code, and something has been said. */
static int run_session(const struct work *w, struct session *s, const struct trace_header *header,
	const char *recording)
{
	struct record_options options = { .file = recording, .on_error = TRACE_ERROR_STOP };
	char *words[] = { (char *)(uintptr_t)w->take->guest };
	const struct vm_stop *stop = NULL;
	struct err err = { "" };
	int r = session_from_header(s, header, &err);

	if (!r)
		r = record_session(s, words, 1, &options, &stop, &err);
	if (r)
		return complain(&err);
	if (stop->kind == VM_EXITED || stop->kind == VM_CRASHED)
		return 0;
	fflush(stdout);
	return session_exit_code(s, stop);
}

/* One run over a fresh copy of the files. An exit code. */
static int record_once(const struct work *w, const char *recording)
{
	autoclose int in = open(w->input, O_RDONLY | O_CLOEXEC);
	autoclose int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct err err = { "" };
	struct trace_header header = w->header;
	struct tree_copy copy = { 0 };
	struct session s;
	int code;

	if (in < 0 || out < 0) {
		err_set(&err, -errno, "%s: %m", in < 0 ? w->input : "/dev/null");
		return complain(&err);
	}
	if (tree_copy_from_dir(&copy, w->tree, &header, &err))
		return complain(&err);
	header.mounts = copy.mounts;
	session_init(&s);
	s.options.backend = w->take->backend;
	s.options.timeout_ms = w->take->timeout_ms;
	s.console_in = in;
	s.console_out = out;
	code = run_session(w, &s, &header, recording);
	session_finish(&s);
	tree_copy_finish(&copy);
	return code < 0 ? EXIT_OURS : code;
}

/* The n-th run: its recording's path, the caller's to free, and its text for comparisons. */
static int take_text(const struct work *w, int n, char **recording, struct text *blank)
{
	char name[16];
	struct err err = { "" };
	int code;

	snprintf(name, sizeof(name), "%d", n);
	*recording = golden_path(tmp_dir(), name, ".pcapng");
	if (!*recording) {
		no_memory(&err);
		return complain(&err);
	}
	code = record_once(w, *recording);
	if (code)
		return code;
	return text_of(w, *recording, true, blank, &err) ? complain(&err) : 0;
}

static int write_new(const struct work *w, const char *recording)
{
	struct err err = { "" };
	struct text text = { 0 };
	int code = 0;

	if (text_of(w, recording, false, &text, &err) ||
		golden_write(w->new, text.bytes, text.len, &err))
		code = complain(&err);
	free(text.bytes);
	return code;
}

static bool same_text(const struct text *a, const struct text *b)
{
	return a->len == b->len && !memcmp(a->bytes, b->bytes, a->len);
}

/* 3, and the first differences. */
static int refuse(const char *why, const struct text *a, const struct text *b)
{
	struct linediff_style style = { .context = DIFF_CONTEXT, .max_lines = DIFF_LINES };
	struct lines x = { 0 }, y = { 0 };

	printf("%s:\n", why);
	if (!lines_of(&x, a->bytes, a->len) && !lines_of(&y, b->bytes, b->len))
		linediff_print(stdout, &x, &y, &style);
	free(x.list);
	free(y.list);
	return EXIT_MISMATCH;
}

/* Is what waits for a review what the guest does? */
static int compare_with_new(const struct work *w, const struct text *now)
{
	struct err err = { "" };
	struct text reviewed = { 0 };
	int code = 0;

	if (text_of(w, w->new, true, &reviewed, &err))
		code = complain(&err);
	else if (!same_text(&reviewed, now))
		code = refuse(
			"what was to be accepted is no longer what the guest does; `golden check` "
			"writes it anew",
			&reviewed, now);
	free(reviewed.bytes);
	return code;
}

static int take_twice(const struct work *w)
{
	char *recordings[2] = { NULL, NULL };
	struct text texts[2] = { { 0 }, { 0 } };
	bool reviewed = w->take->from && !strcmp(w->take->from, GOLDEN_NEW);
	int code = 0;

	for (int i = 0; !code && i < 2; i++)
		code = take_text(w, i, &recordings[i], &texts[i]);
	if (!code && !same_text(&texts[0], &texts[1]))
		code = refuse("a second run differs from the first, so this guest would fail now "
			      "and then",
			&texts[0], &texts[1]);
	if (!code && reviewed)
		code = compare_with_new(w, &texts[0]);
	else if (!code)
		code = write_new(w, recordings[0]);
	for (int i = 0; i < 2; i++) {
		free(recordings[i]);
		free(texts[i].bytes);
	}
	return code;
}

static int take_once(const struct work *w)
{
	autofree char *recording = NULL;
	struct text text = { 0 };
	int code = take_text(w, 0, &recording, &text);

	free(text.bytes);
	return code ? code : write_new(w, recording);
}

static int with_work(const struct golden_take *take, int (*what)(const struct work *w))
{
	struct err err = { "" };
	struct work w;
	int code = work_init(&w, take, &err) ? complain(&err) : what(&w);

	work_finish(&w);
	return code;
}

int golden_take_once(const struct golden_take *take)
{
	return with_work(take, take_once);
}

int golden_take_twice(const struct golden_take *take)
{
	return with_work(take, take_twice);
}
