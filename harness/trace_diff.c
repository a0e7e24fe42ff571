// SPDX-License-Identifier: ISC
/*
 * Two traces compared. How it works: both are read side by side as long as they agree. From the first
 * difference on a window of each is kept as digests, 16 bytes a record, and aligned: by all that counts
 * first, what is left over by the question, and what is left over then by the call alone. With that the
 * traces are read once more, and every pair is compared in full: digests only say what to compare.
 */
#include "trace_diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "abi.h"
#include "cleanup.h"
#include "err.h"
#include "hash.h"
#include "linediff.h"
#include "names.h"
#include "trace_read.h"
#include "trace_show.h"
#include "trace_text.h"

enum {
	WINDOW = 1 << 18,
	CONTEXT = 3,
	FIRST_MAX = 20, /* differences shown without --all */
	LINE_SIZE = 1000,
	BYTES_BEFORE = 12,
	BYTES_SHOWN = 40,
};

/* --- records compared ----------------------------------------------------------------------------- */

static bool is_call(const struct trace_record *r)
{
	return r->kind == TRACE_CALL || r->kind == TRACE_PENDING;
}

/* What a field says to others than the guest it comes from. */
static bool counts(const struct trace_record *r, size_t field)
{
	return !r->row->local && !trace_field_is_pointer(r->row->fields[field].kind);
}

static bool same_bytes(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	return a_len == b_len && (!a_len || !memcmp(a, b, a_len));
}

static bool same_question(const struct trace_record *a, const struct trace_record *b)
{
	for (size_t i = 0; a->row->fields[i].name; i++)
		if (counts(a, i) && a->args[i] != b->args[i])
			return false;
	return a->row->local || same_bytes(a->in, a->in_len, b->in, b->in_len);
}

static bool same_result(const struct trace_record *a, const struct trace_record *b)
{
	if (a->ends != b->ends || a->fault != b->fault)
		return false;
	return a->ends || (a->masked | b->masked) & TRACE_MASK_RESULT || a->result == b->result;
}

static bool same_out(const struct trace_record *a, const struct trace_record *b)
{
	return a->row->local || (a->masked | b->masked) & TRACE_MASK_OUT ||
	       same_bytes(a->out, a->out_len, b->out, b->out_len);
}

static bool same_entry(const struct tree_entry *a, const struct tree_entry *b)
{
	if (a->kind != b->kind || a->mount != b->mount || a->mode != b->mode ||
		!same_bytes(a->path, a->path_len, b->path, b->path_len))
		return false;
	if (a->kind == TREE_FILE)
		return a->size == b->size && !memcmp(a->hash, b->hash, sizeof(a->hash));
	return a->kind != TREE_LINK ||
	       same_bytes(a->target, a->target_len, b->target, b->target_len);
}

static bool same_edit(const struct trace_record *a, const struct trace_record *b)
{
	return a->edit.held == b->edit.held && a->edit.insns == b->edit.insns &&
	       a->edit.happened == b->edit.happened && a->edit.reg == b->edit.reg &&
	       a->edit.gpa == b->edit.gpa && same_bytes(a->out, a->out_len, b->out, b->out_len);
}

static bool same(const struct trace_record *a, const struct trace_record *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == TRACE_AFTER)
		return same_entry(&a->tree, &b->tree);
	if (a->kind == TRACE_EDITED)
		return same_edit(a, b);
	if (a->kind == TRACE_END) /* the text may name addresses */
		return a->stop_kind == b->stop_kind && a->stop_code == b->stop_code;
	if (!is_call(a))
		return true;
	return a->row->port == b->row->port && same_question(a, b) &&
	       (a->kind == TRACE_PENDING || (same_result(a, b) && same_out(a, b)));
}

/* --- digests -------------------------------------------------------------------------------------- */

struct digest {
	uint64_t full;
	uint64_t question; /* its low 16 bits say which call */
};

struct digests {
	struct digest *list;
	size_t n, room;
	bool more; /* the trace goes on */
};

static uint64_t hash_entry(uint64_t h, const struct tree_entry *e)
{
	h = hash_word(hash_word(hash_word(h, e->kind), e->mount), e->mode);
	h = hash_bytes(h, e->path, e->path_len);
	if (e->kind == TREE_FILE)
		h = hash_bytes(h, e->hash, sizeof(e->hash));
	return h;
}

/* A collision costs one line of output. */
static struct digest digest_of(const struct trace_record *r)
{
	uint16_t call = (uint16_t)r->kind;
	uint64_t h = hash_word(r->kind, 0), full;

	if (is_call(r)) {
		call = r->row->port;
		h = hash_word(h, call);
		for (size_t i = 0; r->row->fields[i].name; i++)
			if (counts(r, i))
				h = hash_word(h, r->args[i]);
		if (!r->row->local)
			h = hash_bytes(h, r->in, r->in_len);
	}
	full = hash_word(h, (uint64_t)(r->stop_code) << 8 | (unsigned)r->stop_kind);
	if (r->kind == TRACE_AFTER)
		full = hash_entry(full, &r->tree);
	if (r->kind == TRACE_EDITED)
		full = hash_bytes(
			hash_word(hash_word(full, r->edit.insns), r->edit.gpa), r->out, r->out_len);
	if (r->kind == TRACE_CALL) {
		full = hash_word(full, (uint64_t)(r->ends * 2 + r->fault));
		if (!r->ends && !(r->masked & TRACE_MASK_RESULT))
			full = hash_word(full, (uint64_t)r->result);
		if (!r->row->local && !(r->masked & TRACE_MASK_OUT))
			full = hash_bytes(full, r->out, r->out_len);
	}
	return (struct digest){ full, (h & ~0xffffull) | call };
}

static int add_digest(struct digests *d, const struct trace_record *r, struct err *err)
{
	if (d->n == d->room) {
		size_t room = d->room ? 2 * d->room : 1024;
		struct digest *list = reallocarray(d->list, room, sizeof(*list));

		if (!list)
			return err_set(err, -ENOMEM, "out of memory");
		d->list = list;
		d->room = room;
	}
	d->list[d->n++] = digest_of(r);
	return 0;
}

/* --- alignment ------------------------------------------------------------------------------------ */

/* What two records must have in common to be a pair, in falling strictness: where in a digest, how long. */
static const struct {
	size_t at, len;
} keys[] = {
	{ offsetof(struct digest, full), sizeof(uint64_t) },
	{ offsetof(struct digest, question), sizeof(uint64_t) },
	{ offsetof(struct digest, question), sizeof(uint16_t) },
};
enum { KEYS = sizeof(keys) / sizeof(keys[0]) };

struct range {
	size_t a, a_end, b, b_end;
};

static void fill_lines(struct lines *lines, const struct digest *list, size_t n, size_t key)
{
	for (size_t i = 0; i < n; i++)
		lines->list[i] =
			(struct line){ (const char *)(list + i) + keys[key].at, keys[key].len };
	lines->n = n;
}

/* match: of the whole of a. */
static int align(
	const struct digests *a, const struct digests *b, struct range r, size_t key, size_t *match)
{
	size_t n = r.a_end - r.a, m = r.b_end - r.b;
	autofree struct line *a_lines = NULL, *b_lines = NULL;
	struct lines la, lb;
	struct range gap;
	int error;

	if (!n || !m || key == KEYS)
		return 0;
	a_lines = calloc(n, sizeof(*a_lines));
	b_lines = calloc(m, sizeof(*b_lines));
	if (!a_lines || !b_lines)
		return -ENOMEM;
	la.list = a_lines;
	lb.list = b_lines;
	fill_lines(&la, a->list + r.a, n, key);
	fill_lines(&lb, b->list + r.b, m, key);
	error = lines_match(&la, &lb, match + r.a);
	gap = (struct range){ r.a, r.a, r.b, r.b };
	for (size_t i = r.a; !error && i < r.a_end; i++) {
		if (match[i] == SIZE_MAX)
			continue;
		match[i] += r.b;
		gap.a_end = i;
		gap.b_end = match[i];
		error = align(a, b, gap, key + 1, match);
		gap.a = i + 1;
		gap.b = match[i] + 1;
	}
	gap.a_end = r.a_end;
	gap.b_end = r.b_end;
	return error ? error : align(a, b, gap, key + 1, match);
}

/* --- what differs in a pair ----------------------------------------------------------------------- */

static void begin_detail(FILE *out, const char *what)
{
	fprintf(out, "?               %s: ", what);
}

static void put_value(FILE *out, const struct hcall_field *f, uint64_t value)
{
	if (f->kind == HCALL_INT || f->kind == HCALL_FD)
		fprintf(out, "%lld", (long long)value);
	else if (f->kind == HCALL_MODE || f->kind == HCALL_OPEN_FLAGS)
		fprintf(out, "%#llo", (unsigned long long)value);
	else
		fprintf(out, "%llu", (unsigned long long)value);
}

static void put_result(FILE *out, const struct trace_record *r)
{
	const char *name =
		r->result < 0 && r->result > -4096 ? strerrorname_np((int)-r->result) : NULL;

	if (r->ends)
		fputs("the guest ended", out);
	else if (name)
		fprintf(out, "-%s", name);
	else
		fprintf(out, "%lld", (long long)r->result);
	if (r->fault)
		fputs(" (bad address)", out);
}

static void put_part(FILE *out, const uint8_t *p, size_t len, size_t from)
{
	size_t n = from < len ? len - from : 0;

	if (from)
		fputs("...", out);
	trace_show_quoted(out, p + (n ? from : 0), n < BYTES_SHOWN ? n : BYTES_SHOWN);
	if (n > BYTES_SHOWN)
		fputs("...", out);
}

static void put_bytes(
	FILE *out, const char *what, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	size_t at = 0, from;

	if (same_bytes(a, a_len, b, b_len))
		return;
	while (at < a_len && at < b_len && a[at] == b[at])
		at++;
	from = at > BYTES_BEFORE ? at - BYTES_BEFORE : 0;
	begin_detail(out, what);
	if (a_len != b_len)
		fprintf(out, "%zu bytes | %zu bytes, ", a_len, b_len);
	fprintf(out, "differ at byte %zu: ", at);
	put_part(out, a, a_len, from);
	fputs(" | ", out);
	put_part(out, b, b_len, from);
	fputc('\n', out);
}

/* The data lines of a call in golden text. */
struct data_text {
	char *text;
	size_t len;
	struct lines lines;
};

static int data_text(
	struct data_text *d, const struct trace_header *header, const struct trace_record *r)
{
	struct trace_text_config config = { 0 };
	FILE *f = open_memstream(&d->text, &d->len);
	const char *data;
	int error;

	if (!f)
		return -ENOMEM;
	error = trace_text_put(f, header, r, &config, NULL);
	if (fclose(f) || error)
		return -ENOMEM;
	data = memchr(d->text, '\n', d->len);
	data = data ? data + 1 : d->text + d->len;
	return lines_of(&d->lines, data, d->len - (size_t)(data - d->text));
}

static void put_data_line(FILE *out, char mark, const struct line *line, size_t *left)
{
	if (!*left)
		return;
	--*left;
	fprintf(out, "%c               %.*s\n", mark, (int)(line->len < 200 ? line->len : 200),
		line->text);
}

static void put_data_diff(FILE *out, const struct lines *a, const struct lines *b)
{
	autofree size_t *match = calloc(a->n + 1, sizeof(*match));
	size_t left = FIRST_MAX, j = 0;

	if (!match || lines_match(a, b, match))
		return;
	for (size_t i = 0; i <= a->n; i++) {
		size_t until = i == a->n ? b->n : match[i];

		if (until == SIZE_MAX) {
			put_data_line(out, '-', &a->list[i], &left);
			continue;
		}
		for (; j < until; j++)
			put_data_line(out, '+', &b->list[j], &left);
		j++;
	}
	if (!left)
		fputs("?               ...\n", out);
}

/* What has a structure reads best as golden text. False: it has none, or no memory. */
static bool put_structure(FILE *out, const struct trace_header *header_a,
	const struct trace_record *a, const struct trace_header *header_b,
	const struct trace_record *b)
{
	struct data_text ta = { 0 }, tb = { 0 };
	bool done = false;

	if (!trace_row_has(a->row, HCALL_STAT_OUT) && !trace_row_has(a->row, HCALL_DENTS_OUT))
		return false;
	if (!data_text(&ta, header_a, a) && !data_text(&tb, header_b, b)) {
		put_data_diff(out, &ta.lines, &tb.lines);
		done = true;
	}
	free(ta.text);
	free(tb.text);
	free(ta.lines.list);
	free(tb.lines.list);
	return done;
}

/* Both are calls of the same row. */
static void put_details(FILE *out, const struct trace_header *header_a,
	const struct trace_record *a, const struct trace_header *header_b,
	const struct trace_record *b)
{
	const struct hcall_field *f = a->row->fields;
	bool path = trace_row_has(a->row, HCALL_PATH);

	for (size_t i = 0; f[i].name; i++) {
		if (!counts(a, i) || a->args[i] == b->args[i])
			continue;
		begin_detail(out, f[i].name);
		put_value(out, &f[i], a->args[i]);
		fputs(" | ", out);
		put_value(out, &f[i], b->args[i]);
		fputc('\n', out);
	}
	if (!a->row->local)
		put_bytes(out, path ? "path" : "in", a->in, a->in_len, b->in, b->in_len);
	if (a->kind != TRACE_CALL || b->kind != TRACE_CALL)
		return;
	if (!same_result(a, b)) {
		begin_detail(out, "result");
		put_result(out, a);
		fputs(" | ", out);
		put_result(out, b);
		fputc('\n', out);
	}
	if (!same_out(a, b) && !put_structure(out, header_a, a, header_b, b))
		put_bytes(out, "out", a->out, a->out_len, b->out, b->out_len);
}

/* --- output --------------------------------------------------------------------------------------- */

struct side {
	struct trace_reader *reader;
	struct trace_record record;
};

struct differ {
	FILE *out;
	const struct trace_diff_options *o;
	struct trace_diff_result *result;
	const char *name_a, *name_b;
	struct side a, b;
	uint64_t prefix; /* records that agree at the beginning */
	struct digests window_a, window_b;
	/* Printing: lines that may become context, what is still to be shown after a difference. */
	char before[CONTEXT][LINE_SIZE + 64];
	size_t n_before, after;
	uint64_t shown;
	bool begun, left_out;
};

/* The next record that takes part: the trees as the guest found them are not in golden text. */
static int next(struct side *s, struct err *err)
{
	int r;

	do {
		r = trace_reader_next(s->reader, &s->record, err);
	} while (r > 0 && (s->record.kind == TRACE_BLOB || s->record.kind == TRACE_BEFORE));
	return r;
}

static void number_of(char buf[24], const struct trace_record *r)
{
	buf[0] = 0;
	if (r && is_call(r))
		snprintf(buf, 24, "%llu", (unsigned long long)r->seq);
}

/* A record of either side, or of both: "-", "+", " ". */
static void format_line(
	char mark, const struct side *a, const struct side *b, char *buf, size_t size)
{
	const struct side *s = a ? a : b;
	char text[LINE_SIZE], n_a[24], n_b[24];

	number_of(n_a, a ? &a->record : NULL);
	number_of(n_b, b ? &b->record : NULL);
	trace_text_line(trace_reader_header(s->reader), &s->record, text, sizeof(text));
	snprintf(buf, size, "%c%7s%7s  %s\n", mark, n_a, n_b, text);
}

static void put_begin(struct differ *d)
{
	if (!d->begun)
		fprintf(d->out, "--- %s\n+++ %s\n", d->name_a, d->name_b);
	else if (!d->after)
		fputs("...\n", d->out);
	d->begun = true;
	for (size_t i = 0; i < d->n_before; i++)
		fputs(d->before[i], d->out);
	d->n_before = 0;
	d->after = CONTEXT;
}

static void put_line(struct differ *d, char mark, const struct side *a, const struct side *b)
{
	char line[LINE_SIZE + 64];

	format_line(mark, a, b, line, sizeof(line));
	fputs(line, d->out);
}

/* Without --all only the first hunk is shown, and that not without end. */
static bool may_show(struct differ *d)
{
	bool first_hunk = !d->begun || d->after;

	if (!d->o->all && (!first_hunk || d->shown >= FIRST_MAX)) {
		d->left_out = true;
		d->shown = FIRST_MAX;
		return false;
	}
	d->shown++;
	put_begin(d);
	return true;
}

static void put_same(struct differ *d)
{
	d->result->same += is_call(&d->a.record);
	if (d->left_out && !d->o->all)
		return;
	if (d->after) {
		put_line(d, ' ', &d->a, &d->b);
		d->after--;
		return;
	}
	if (d->begun && !d->o->all)
		return;
	if (d->n_before == CONTEXT) {
		memmove(d->before, d->before[1], sizeof(d->before[0]) * (CONTEXT - 1));
		d->n_before--;
	}
	format_line(' ', &d->a, &d->b, d->before[d->n_before++], sizeof(d->before[0]));
}

static void put_pair(struct differ *d)
{
	const struct trace_record *a = &d->a.record, *b = &d->b.record;

	if (same(a, b)) {
		put_same(d);
		return;
	}
	if (is_call(a) && is_call(b))
		d->result->changed++;
	else
		d->result->others++;
	if (!may_show(d))
		return;
	put_line(d, '-', &d->a, NULL);
	put_line(d, '+', NULL, &d->b);
	if (is_call(a) && is_call(b) && a->row == b->row)
		put_details(d->out, trace_reader_header(d->a.reader), a,
			trace_reader_header(d->b.reader), b);
}

static void put_single(struct differ *d, char mark)
{
	struct side *s = mark == '-' ? &d->a : &d->b;

	if (!is_call(&s->record))
		d->result->others++;
	else if (mark == '-')
		d->result->only_a++;
	else
		d->result->only_b++;
	if (may_show(d))
		put_line(d, mark, mark == '-' ? s : NULL, mark == '-' ? NULL : s);
}

/* --- the two readings ----------------------------------------------------------------------------- */

static int open_both(struct differ *d, struct err *err)
{
	int r = trace_reader_open(&d->a.reader, d->name_a, err);

	return r ? r : trace_reader_open(&d->b.reader, d->name_b, err);
}

static void close_both(struct differ *d)
{
	trace_reader_close(d->a.reader);
	trace_reader_close(d->b.reader);
	d->a.reader = d->b.reader = NULL;
}

static int fill_window(struct side *s, struct digests *d, size_t window, bool have, struct err *err)
{
	int r = have ? 1 : 0;

	for (; r > 0; r = next(s, err)) {
		if (d->n == window) {
			d->more = true;
			return 0;
		}
		r = add_digest(d, &s->record, err);
		if (r)
			return r;
	}
	return r;
}

/* As long as both agree; then the windows. 1 when there is no difference, 0, or -errno. */
static int read_first(struct differ *d, struct err *err)
{
	size_t window = d->o->window ? d->o->window : WINDOW;
	int a, b, r;

	for (;;) {
		a = next(&d->a, err);
		b = a < 0 ? a : next(&d->b, err);
		if (a < 0 || b < 0)
			return a < 0 ? a : b;
		if (!a && !b)
			return 1;
		if (!a || !b || !same(&d->a.record, &d->b.record))
			break;
		d->prefix++;
	}
	r = fill_window(&d->a, &d->window_a, window, a, err);
	return r ? r : fill_window(&d->b, &d->window_b, window, b, err);
}

/* Both sides must be what they were at the first reading. */
static int next_again(struct differ *d, struct side *s, struct err *err)
{
	int r = next(s, err);

	if (r)
		return r < 0 ? r : 0;
	return err_set(
		err, -EBADMSG, "%s: changed while it was read", s == &d->a ? d->name_a : d->name_b);
}

static int next_pair(struct differ *d, struct err *err)
{
	int r = next_again(d, &d->a, err);

	return r ? r : next_again(d, &d->b, err);
}

static int read_again(struct differ *d, const size_t *match, struct err *err)
{
	size_t i = 0, j = 0;
	int r = 0;

	for (uint64_t k = 0; !r && k < d->prefix; k++) {
		r = next_pair(d, err);
		if (r)
			break;
		if (k + CONTEXT >= d->prefix)
			put_same(d);
		else
			d->result->same += is_call(&d->a.record);
	}
	while (!r && (i < d->window_a.n || j < d->window_b.n)) {
		bool only_a = i < d->window_a.n && match[i] == SIZE_MAX;
		bool pair = i < d->window_a.n && match[i] == j;

		if (pair)
			r = next_pair(d, err);
		else
			r = next_again(d, only_a ? &d->a : &d->b, err);
		if (r)
			break;
		if (pair)
			put_pair(d);
		else
			put_single(d, only_a ? '-' : '+');
		i += pair || only_a;
		j += pair || !only_a;
	}
	return r;
}

/* --- the whole ------------------------------------------------------------------------------------ */

static bool same_strings(const struct strings *a, const struct strings *b)
{
	for (size_t i = 0; i < a->n && i < b->n; i++)
		if (strcmp(a->list[i], b->list[i]) != 0)
			return false;
	return a->n == b->n;
}

/* The host's side of a mount depends on where it was recorded. */
static bool same_mounts(const struct trace_header *a, const struct trace_header *b)
{
	for (size_t i = 0; i < a->n_mounts && i < b->n_mounts; i++) {
		const struct trace_mount *x = &a->mounts[i], *y = &b->mounts[i];

		if (strcmp(x->guest, y->guest) != 0 || x->writable != y->writable ||
			x->may_unlink != y->may_unlink || x->no_hardlinks != y->no_hardlinks ||
			x->is_file != y->is_file)
			return false;
	}
	return a->n_mounts == b->n_mounts;
}

/* Headers are no calls: what differs is said, and does not count. */
static void put_header_note(FILE *out, const struct trace_header *a, const struct trace_header *b)
{
	const struct {
		const char *what;
		bool same;
	} facts[] = {
		{ "ABI", a->abi == b->abi && a->abi_version == b->abi_version },
		{ "image", !a->has_guest_hash || !b->has_guest_hash ||
				   !memcmp(a->guest_hash, b->guest_hash, TRACE_HASH_LEN) },
		{ "memory", a->mem_size == b->mem_size },
		{ "arguments", same_strings(&a->argv, &b->argv) },
		{ "kernel arguments", same_strings(&a->kernel_args, &b->kernel_args) },
		{ "environment", same_strings(&a->env, &b->env) },
		{ "directory", !strcmp(a->cwd ? a->cwd : "/", b->cwd ? b->cwd : "/") },
		{ "limits", !memcmp(&a->limits, &b->limits, sizeof(a->limits)) },
		{ "kind of paths", a->utf8_paths == b->utf8_paths },
		{ "mounts", same_mounts(a, b) },
		{ "clock", a->boot_time_ns == b->boot_time_ns },
		{ "seed", a->seed == b->seed },
	};
	const char *before = "note: not the same: ";

	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
		if (facts[i].same)
			continue;
		fprintf(out, "%s%s", before, facts[i].what);
		before = ", ";
	}
	if (*before == ',')
		fputc('\n', out);
}

bool trace_diff_found(const struct trace_diff_result *r)
{
	return r->changed || r->only_a || r->only_b || r->others;
}

static void put_summary(const struct differ *d)
{
	const struct trace_diff_result *r = d->result;
	unsigned long long window = d->o->window ? d->o->window : WINDOW;

	if (d->left_out)
		fprintf(d->out, "...\n(more differences follow; --all shows them)\n");
	fprintf(d->out, "%llu same, %llu changed, %llu only in %s, %llu only in %s",
		(unsigned long long)r->same, (unsigned long long)r->changed,
		(unsigned long long)r->only_a, d->name_a, (unsigned long long)r->only_b, d->name_b);
	if (r->others)
		fprintf(d->out, "; %llu difference%s in files or end",
			(unsigned long long)r->others, r->others == 1 ? "" : "s");
	fputc('\n', d->out);
	if (r->capped)
		fprintf(d->out,
			"Only %llu calls from the first difference on were compared; there are "
			"more.\n",
			window);
}

static int check_file(const char *name, struct err *err)
{
	struct stat st;

	if (strcmp(name, "-") != 0 && (stat(name, &st) || S_ISREG(st.st_mode)))
		return 0;
	return err_set(err, -EINVAL, "%s: traces are read twice here, so it must be a file", name);
}

static int compare(struct differ *d, struct err *err)
{
	autofree size_t *match = NULL;
	struct range all;
	int r = read_first(d, err);

	put_header_note(d->out, trace_reader_header(d->a.reader), trace_reader_header(d->b.reader));
	if (r < 0)
		return r;
	close_both(d);
	all = (struct range){ 0, d->window_a.n, 0, d->window_b.n };
	match = malloc((all.a_end + 1) * sizeof(*match));
	if (!match)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < all.a_end; i++)
		match[i] = SIZE_MAX;
	if (align(&d->window_a, &d->window_b, all, 0, match))
		return err_set(err, -ENOMEM, "out of memory");
	d->result->capped = d->window_a.more || d->window_b.more;
	r = open_both(d, err);
	return r ? r : read_again(d, match, err);
}

int trace_diff(FILE *out, const char *a, const char *b, const struct trace_diff_options *o,
	struct trace_diff_result *result, struct err *err)
{
	struct differ *d = calloc(1, sizeof(*d));
	int r;

	*result = (struct trace_diff_result){ 0 };
	if (!d)
		return err_set(err, -ENOMEM, "out of memory");
	*d = (struct differ){ .out = out, .o = o, .result = result, .name_a = a, .name_b = b };
	r = check_file(a, err);
	if (!r)
		r = check_file(b, err);
	if (!r)
		r = open_both(d, err);
	if (!r)
		r = compare(d, err);
	if (!r)
		put_summary(d);
	close_both(d);
	free(d->window_a.list);
	free(d->window_b.list);
	free(d);
	return r;
}
