// SPDX-License-Identifier: ISC
/*
 * Parts of traces.
 *
 * How this works: one pass over the calls notes for each which call opened its descriptor and which one
 * made its path; both come before it, so a pass over a choice in order closes it. Paths are compared as
 * text, without their `.` and `..`: a link leads elsewhere, and then a call that was needed is not known
 * to be. Whoever tries the part sees that it does not do.
 */
#include "subtrace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "err.h"
#include "guestfd.h"
#include "trace_text.h"
#include "trace_write.h"
#include "tree.h"

/* --- what is there --------------------------------------------------------------------------------- */

/* Numbers from 0 to GUESTFD_MAX: whose they are, or -1. */
struct owners {
	int64_t of[GUESTFD_MAX];
};

static void owners_init(struct owners *owners)
{
	for (int fd = 0; fd < GUESTFD_MAX; fd++)
		owners->of[fd] = -1;
}

static int owners_lowest_free(const struct owners *owners)
{
	int fd = GUESTFD_FIRST;

	while (fd < GUESTFD_MAX && owners->of[fd] >= 0)
		fd++;
	return fd;
}

static bool is_owned(const struct owners *owners, int64_t fd)
{
	return fd >= GUESTFD_FIRST && fd < GUESTFD_MAX && owners->of[fd] >= 0;
}

/* Paths that are known of, by their text. */
struct known_path {
	const char *text; /* not terminated; NULL: a free row */
	size_t len;
	uint64_t hash;
	bool there;
	int64_t maker; /* of one that is there: a call; -1: it was before */
	bool mounted;  /* a mapping: nothing is made on the way to what lies beneath */
};

struct known_paths {
	struct known_path *rows; /* open addressing */
	size_t n, room;
	char **texts; /* what the rows point into */
	size_t n_texts, room_texts;
};

static uint64_t hash_on(uint64_t hash, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3; /* FNV-1a */
	return hash;
}

static struct known_path *find_row(
	const struct known_paths *known, const char *text, size_t len, uint64_t hash)
{
	size_t i = (size_t)(hash ^ hash >> 32) & (known->room - 1);

	while (known->rows[i].text && (known->rows[i].hash != hash || known->rows[i].len != len ||
					      memcmp(known->rows[i].text, text, len) != 0))
		i = (i + 1) & (known->room - 1);
	return &known->rows[i];
}

static int make_room(struct known_paths *known)
{
	struct known_paths grown = { .room = known->room ? 2 * known->room : 256 };

	if (2 * (known->n + 1) <= known->room)
		return 0;
	grown.rows = calloc(grown.room, sizeof(*grown.rows));
	if (!grown.rows)
		return -ENOMEM;
	for (size_t i = 0; i < known->room; i++) {
		const struct known_path *row = &known->rows[i];

		if (row->text)
			*find_row(&grown, row->text, row->len, row->hash) = *row;
	}
	free(known->rows);
	known->rows = grown.rows;
	known->room = grown.room;
	return 0;
}

static int keep_text(struct known_paths *known, char *text)
{
	if (known->n_texts == known->room_texts) {
		size_t room = known->room_texts ? 2 * known->room_texts : 64;
		char **grown = realloc(known->texts, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		known->texts = grown;
		known->room_texts = room;
	}
	known->texts[known->n_texts++] = text;
	return 0;
}

static void known_finish(struct known_paths *known)
{
	for (size_t i = 0; i < known->n_texts; i++)
		free(known->texts[i]);
	free(known->texts);
	free(known->rows);
}

/* Appends path's names to out, each behind a slash; `..` takes one away. */
static size_t append_names(char *out, size_t used, const char *path, size_t len)
{
	for (size_t at = 0, n; at < len; at += n + 1) {
		const char *slash = memchr(path + at, '/', len - at);

		n = slash ? (size_t)(slash - path) - at : len - at;
		if (n == 2 && !memcmp(path + at, "..", 2)) {
			while (used && out[--used] != '/')
				;
		} else if (n && !(n == 1 && path[at] == '.')) {
			out[used++] = '/';
			memcpy(out + used, path + at, n);
			used += n;
		}
	}
	return used;
}

/* "/a/b", terminated; "" is the root. NULL: out of memory. */
static char *plain_path(const char *cwd, const char *path, size_t len, size_t *plain_len)
{
	size_t cwd_len = cwd && (!len || path[0] != '/') ? strlen(cwd) : 0;
	char *out = malloc(cwd_len + len + 3);

	if (!out)
		return NULL;
	*plain_len = append_names(out, cwd_len ? append_names(out, 0, cwd, cwd_len) : 0, path, len);
	out[*plain_len] = 0;
	return out;
}

/* Calls fn for every directory on the way to text, and for text itself. */
static int each_part(struct known_paths *known, const char *text, size_t len, int64_t maker,
	int (*fn)(struct known_paths *known, struct known_path part, bool last, void *ctx),
	void *ctx)
{
	uint64_t hash = 0xcbf29ce484222325;
	int r = 0;

	for (size_t at = 0; !r && at < len;) {
		const char *slash = memchr(text + at + 1, '/', len - at - 1);
		size_t next = slash ? (size_t)(slash - text) : len;

		hash = hash_on(hash, text + at, next - at);
		at = next;
		r = fn(known, (struct known_path){ text, at, hash, true, maker, false }, at == len,
			ctx);
	}
	return r;
}

static int add_row(struct known_paths *known, const struct known_path *part)
{
	struct known_path *row;
	int r = make_room(known);

	if (r)
		return r;
	row = find_row(known, part->text, part->len, part->hash);
	known->n += !row->text;
	*row = *part;
	return 0;
}

/* A mapping, or what lies in one, and all above it. */
static int add_there(struct known_paths *known, struct known_path part, bool last, void *ctx)
{
	const bool *mounted = ctx;
	const struct known_path *row;
	int r = make_room(known);

	if (r)
		return r;
	row = find_row(known, part.text, part.len, part.hash);
	part.mounted = row->mounted || (last && *mounted);
	return add_row(known, &part);
}

/* What was not there; directories on the way are made in scratch only, not beneath a mapping. */
static int add_made(struct known_paths *known, struct known_path part, bool last, void *ctx)
{
	const struct known_path *row;
	bool *beneath = ctx;
	int r = make_room(known);

	if (r)
		return r;
	row = find_row(known, part.text, part.len, part.hash);
	*beneath |= row->mounted;
	if (row->there || (*beneath && !last))
		return 0;
	return add_row(known, &part);
}

static int find_maker(struct known_paths *known, struct known_path part, bool last, void *ctx)
{
	int64_t *maker = ctx;
	const struct known_path *row;

	(void)last;
	row = find_row(known, part.text, part.len, part.hash);
	if (row->there && row->maker >= 0)
		*maker = row->maker;
	return 0;
}

static int forget(struct known_paths *known, struct known_path part, bool last, void *ctx)
{
	struct known_path *row = find_row(known, part.text, part.len, part.hash);

	(void)ctx;
	if (last)
		row->there = false;
	return 0;
}

/* --- what calls need ------------------------------------------------------------------------------- */

static int field_of(const struct trace_record *record, enum hcall_kind kind, uint64_t *value)
{
	int i = trace_row_find(record->row, kind);

	if (i >= 0 && value)
		*value = record->args[i];
	return i;
}

static bool is_call(const struct trace_record *record, const char *name)
{
	return record->kind == TRACE_CALL && !strcmp(record->row->name, name);
}

static bool is_open(const struct trace_record *record)
{
	return record->kind == TRACE_CALL && field_of(record, HCALL_OPEN_FLAGS, NULL) >= 0;
}

static bool makes_path(const struct trace_record *record)
{
	uint64_t flags;

	if (record->result < 0)
		return false;
	if (is_open(record))
		return field_of(record, HCALL_OPEN_FLAGS, &flags) >= 0 && flags & O_CREAT;
	return is_call(record, "mkdir");
}

static int note_path(struct subtrace *t, size_t i, struct known_paths *known)
{
	const struct trace_record *record = &t->records[i];
	bool beneath = false;
	size_t len;
	char *text;
	int r;

	if (field_of(record, HCALL_PATH, NULL) < 0 || !record->in_len)
		return 0;
	text = plain_path(t->header.cwd, (const char *)record->in, record->in_len, &len);
	if (!text || keep_text(known, text)) {
		free(text);
		return -ENOMEM;
	}
	each_part(known, text, len, 0, find_maker, &t->needs[i].maker);
	if (makes_path(record)) {
		r = each_part(known, text, len, (int64_t)i, add_made, &beneath);
		if (r)
			return r;
	}
	if (is_call(record, "unlink") && record->result >= 0)
		each_part(known, text, len, 0, forget, NULL);
	return 0;
}

static void note_descriptor(struct subtrace *t, size_t i, struct owners *owners)
{
	const struct trace_record *record = &t->records[i];
	uint64_t fd;

	if (field_of(record, HCALL_FD, &fd) >= 0 && is_owned(owners, (int64_t)fd)) {
		t->needs[i].opener = owners->of[fd];
		if (is_call(record, "close"))
			owners->of[fd] = -1;
	}
	if (!is_open(record) || record->result < GUESTFD_FIRST || record->result >= GUESTFD_MAX)
		return;
	t->as_lowest[i] = record->result == owners_lowest_free(owners);
	owners->of[record->result] = (int64_t)i;
}

/* path: beneath a directory of the guest's, or it. */
static int note_there(struct known_paths *known, const char *directory, const void *path,
	size_t path_len, bool mounted)
{
	char *relative = path_len ? strndup(path, path_len) : strdup(".");
	size_t len;
	char *text = relative ? plain_path(directory, relative, strlen(relative), &len) : NULL;

	free(relative);
	if (!text || keep_text(known, text)) {
		free(text);
		return -ENOMEM;
	}
	return each_part(known, text, len, -1, add_there, &mounted);
}

/* What is there before the first call, as far as the trace tells. */
static int note_tree(const struct subtrace *t, struct known_paths *known)
{
	int r = make_room(known);

	for (size_t i = 0; !r && i < t->header.n_mounts; i++)
		if (!t->header.mounts[i].is_file) /* one that is still to be made is no news */
			r = note_there(known, t->header.mounts[i].guest, NULL, 0, true);
	for (size_t i = 0; !r && i < t->n; i++) {
		const struct tree_entry *e = &t->records[i].tree;

		if (t->records[i].kind == TRACE_BEFORE)
			r = note_there(known, t->header.mounts[e->mount].guest, e->path,
				e->path_len, false);
	}
	return r;
}

int subtrace_note_makers(struct subtrace *t, const bool *keep)
{
	struct known_paths known = { 0 };
	int r = note_tree(t, &known);

	for (size_t i = 0; !r && i < t->n; i++) {
		t->needs[i].maker = -1;
		if (t->records[i].kind == TRACE_CALL && (!keep || keep[i]))
			r = note_path(t, i, &known);
	}
	known_finish(&known);
	return r;
}

static int note_needs(struct subtrace *t)
{
	struct owners owners;

	t->needs = calloc(t->n + 1, sizeof(*t->needs));
	t->as_lowest = calloc(t->n + 1, sizeof(*t->as_lowest));
	if (!t->needs || !t->as_lowest)
		return -ENOMEM;
	owners_init(&owners);
	for (size_t i = 0; i < t->n; i++) {
		t->needs[i].opener = -1;
		if (t->records[i].kind == TRACE_CALL)
			note_descriptor(t, i, &owners);
	}
	return subtrace_note_makers(t, NULL);
}

bool subtrace_may_drop(const struct subtrace *t, size_t i)
{
	const struct trace_record *record = &t->records[i];

	return record->kind == TRACE_AFTER || (record->kind == TRACE_CALL && !record->ends);
}

void subtrace_close(const struct subtrace *t, bool *keep)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct subtrace_needs *needs = &t->needs[i];

		if ((needs->opener >= 0 && !keep[needs->opener]) ||
			(needs->maker >= 0 && !keep[needs->maker]))
			keep[i] = keep[i] && !subtrace_may_drop(t, i);
	}
}

/* --- reading --------------------------------------------------------------------------------------- */

static const uint8_t *put_bytes(uint8_t **at, const void *bytes, size_t len)
{
	uint8_t *to = *at;

	if (len)
		memcpy(to, bytes, len);
	*at += len;
	return to;
}

/* A record that outlives its reader: all it points to in one piece. */
static int copy_record(struct trace_record *record, void **bytes)
{
	struct tree_entry *tree = &record->tree;
	size_t text_len = record->stop_text ? strlen(record->stop_text) + 1 : 0;
	uint8_t *at = malloc(record->in_len + record->out_len + tree->path_len + tree->target_len +
			     text_len + 1);

	*bytes = at;
	if (!at)
		return -ENOMEM;
	record->in = put_bytes(&at, record->in, record->in_len);
	record->out = put_bytes(&at, record->out, record->out_len);
	tree->path = put_bytes(&at, tree->path, tree->path_len);
	tree->target = put_bytes(&at, tree->target, tree->target_len);
	if (record->stop_text)
		record->stop_text = (const char *)put_bytes(&at, record->stop_text, text_len);
	return 0;
}

static int add_record(struct subtrace *t, const struct trace_record *record)
{
	if (t->n == t->room) {
		size_t room = t->room ? 2 * t->room : 256;
		struct trace_record *records = realloc(t->records, room * sizeof(*records));
		void **bytes;

		if (!records)
			return -ENOMEM;
		t->records = records;
		bytes = realloc(t->bytes, room * sizeof(*bytes));
		if (!bytes)
			return -ENOMEM;
		t->bytes = bytes;
		t->room = room;
	}
	t->records[t->n] = *record;
	if (copy_record(&t->records[t->n], &t->bytes[t->n]))
		return -ENOMEM;
	t->n++;
	return 0;
}

static int read_records(struct subtrace *t, struct trace_reader *reader, struct err *err)
{
	struct trace_record record;
	int r;

	while ((r = trace_reader_next(reader, &record, err)) > 0)
		if (record.kind != TRACE_PENDING && add_record(t, &record))
			return err_set(err, -ENOMEM, "out of memory");
	return r;
}

int subtrace_take(struct subtrace *t, struct trace_reader *reader, struct err *err)
{
	int r;

	*t = (struct subtrace){ .format = trace_reader_format(reader) };
	r = read_records(t, reader, err);
	if (!r && trace_header_copy(&t->header, trace_reader_header(reader)))
		r = err_set(err, -ENOMEM, "out of memory");
	if (!r && note_needs(t))
		r = err_set(err, -ENOMEM, "out of memory");
	return r;
}

int subtrace_read(struct subtrace *t, const char *path, struct err *err)
{
	struct trace_reader *reader;
	int r;

	*t = (struct subtrace){ 0 };
	r = trace_reader_open(&reader, path, err);
	if (r)
		return r;
	r = subtrace_take(t, reader, err);
	trace_reader_close(reader);
	return r;
}

void subtrace_finish(struct subtrace *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->bytes[i]);
	free(t->bytes);
	free(t->records);
	free(t->needs);
	free(t->as_lowest);
	trace_header_finish(&t->header);
	*t = (struct subtrace){ 0 };
}

/* --- writing --------------------------------------------------------------------------------------- */

/* Descriptors in the part: what an old number is now, and which are taken. */
struct renumber {
	int now[GUESTFD_MAX]; /* -1: it is not open */
	struct owners taken;
};

static void renumber_init(struct renumber *n)
{
	for (int fd = 0; fd < GUESTFD_MAX; fd++)
		n->now[fd] = -1;
	owners_init(&n->taken);
}

/* A descriptor that was not open when it was used must not be now. */
static int64_t closed_number(const struct renumber *n, int64_t fd)
{
	while (is_owned(&n->taken, fd))
		fd++;
	return fd;
}

static void renumber_use(struct renumber *n, struct trace_record *record)
{
	uint64_t value;
	int field = field_of(record, HCALL_FD, &value);
	int64_t fd = (int64_t)value;

	if (field < 0 || fd < GUESTFD_FIRST || fd >= GUESTFD_MAX)
		return;
	if (n->now[fd] < 0) {
		record->args[field] = (uint64_t)closed_number(n, fd);
		return;
	}
	record->args[field] = (uint64_t)n->now[fd];
	if (is_call(record, "close")) {
		n->taken.of[n->now[fd]] = -1;
		n->now[fd] = -1;
	}
}

/* One that was not the lowest free was wrong, or not of our making: it stays so. */
static void renumber_open(struct renumber *n, struct trace_record *record, bool as_lowest)
{
	int64_t was = record->result, fd = was;

	if (!is_open(record) || was < GUESTFD_FIRST || was >= GUESTFD_MAX)
		return;
	if (as_lowest)
		fd = owners_lowest_free(&n->taken);
	if (fd == GUESTFD_MAX)
		return;
	record->result = fd;
	n->now[was] = (int)fd;
	n->taken.of[fd] = 0;
}

/* Where a part goes: a recording, or text. */
struct output {
	struct trace_writer *writer;
	FILE *text;
	struct trace_text_config config;
	const struct trace_header *header;
};

static int output_put(struct output *out, const struct trace_record *record, struct err *err)
{
	int r;

	if (out->text)
		return trace_text_put(out->text, out->header, record, &out->config, err);
	if (record->kind == TRACE_CUT) /* a recording without an end says that itself */
		return 0;
	r = trace_writer_put(out->writer, record);
	return r ? err_set(err, r, "%s", strerrordesc_np(-r)) : 0;
}

/* Behind the last call, the differences that there really are. */
static int put_changes(const struct tree *changes, struct output *out, struct err *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < changes->n; i++) {
		struct trace_record record = { .kind = TRACE_AFTER, .tree = changes->entries[i] };

		r = output_put(out, &record, err);
	}
	return r;
}

static int put_records(
	const struct subtrace *t, const bool *keep, struct output *out, struct err *err)
{
	struct trace_record record;
	struct renumber numbers;
	uint64_t calls = 0;
	int r = 0;

	renumber_init(&numbers);
	for (size_t i = 0; !r && i < t->n; i++) {
		record = t->records[i];
		if (!keep[i] || (t->changes && record.kind == TRACE_AFTER))
			continue;
		if (record.kind == TRACE_CALL) {
			record.seq = calls++;
			renumber_use(&numbers, &record);
			renumber_open(&numbers, &record, t->as_lowest[i]);
		}
		if (record.kind == TRACE_END) {
			record.seq = calls;
			r = t->changes ? put_changes(t->changes, out, err) : 0;
		}
		r = r ? r : output_put(out, &record, err);
	}
	return r;
}

static int write_text(const struct subtrace *t, const bool *keep, const char *path, struct err *err)
{
	struct output out = { .header = &t->header };
	int r;

	out.text = fopen(path, "we");
	if (!out.text)
		return err_set(err, -errno, "%s: %s", path, strerrordesc_np(errno));
	r = trace_text_begin(out.text, &t->header, &out.config, err);
	if (!r)
		r = put_records(t, keep, &out, err);
	if ((fclose(out.text) && !r))
		r = err_set(err, -errno, "%s: %s", path, strerrordesc_np(errno));
	return r;
}

static int write_recording(
	const struct subtrace *t, const bool *keep, const char *path, struct err *err)
{
	static const struct trace_writer_config config = { .on_error = TRACE_ERROR_STOP };
	struct output out = { .header = &t->header };
	struct err closing = { "" };
	int r = trace_writer_open(&out.writer, path, &t->header, &config, err);
	int r_close;

	if (r)
		return r;
	r = put_records(t, keep, &out, err);
	r_close = trace_writer_close(out.writer, &closing);
	if (r || !r_close)
		return r;
	return err_set(err, r_close, "%s", closing.text);
}

int subtrace_write(const struct subtrace *t, const bool *keep, const char *path,
	enum trace_format format, struct err *err)
{
	return (format == TRACE_BJT ? write_text : write_recording)(t, keep, path, err);
}

int subtrace_format_of(const char *path, enum trace_format *format, struct err *err)
{
	static const char *const suffixes[] = { [TRACE_PCAPNG] = ".pcapng", [TRACE_BJT] = ".bjt" };
	size_t len = strlen(path);

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		size_t n = strlen(suffixes[i]);

		if (len > n && !strcmp(path + len - n, suffixes[i])) {
			*format = (enum trace_format)i;
			return 0;
		}
	}
	return err_set(
		err, -EINVAL, "%s: must end in .bjt (golden text) or .pcapng (a recording)", path);
}
