// SPDX-License-Identifier: ISC
/*
 * Golden text as records. Every byte is hostile: a line is ASCII or refused, numbers have the range of what
 * they stand for, and nothing is allocated that the text, or a blob that is really there, does not fill.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi.h"
#include "abi_uhyve.h"
#include "cleanup.h"
#include "err.h"
#include "escape.h"
#include "names.h"
#include "session.h" /* SESSION_CLOCK_NS */
#include "trace_text.h"
#include "trace_text_parts.h"

enum { BLOB_MAX = 1 << 30 };

struct bytes {
	uint8_t *data;
	size_t len, room;
};

struct trace_text_reader {
	FILE *in;
	const char *blob_dir;
	int blob_fd;
	char *name;
	const struct trace_header *header;
	char *line;
	size_t line_room, line_len;
	uint64_t number; /* of the line */
	bool again;      /* the line has not been used */
	enum { IN_CALLS, IN_FLIGHT, IN_AFTERS, AT_END } state;
	struct bytes in_bytes, out_bytes;
	uint64_t seq, time_ns; /* of the next call, of the call before */
	int exit_code;         /* that the last call ended the guest with, or 0 */
};

/* What is left of a line. A word begins behind one blank, or where the line does. */
struct cursor {
	struct trace_text_reader *r;
	struct err *err;
	const char *at, *end;
};

struct span {
	const char *p;
	size_t n;
};

__attribute__((format(printf, 3, 4))) static int fail(
	const struct trace_text_reader *r, struct err *err, const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return err_set(
		err, -EINVAL, "%.90s:%llu: %s", r->name, (unsigned long long)r->number, text);
}

/* What stands at the cursor is not what should. */
static int expected(const struct cursor *c, const char *what)
{
	enum { SHOWN = 40 };
	const char *at = c->at < c->end && *c->at == ' ' ? c->at + 1 : c->at;
	int n = c->end - at > SHOWN ? SHOWN : (int)(c->end - at);

	if (!n)
		return fail(c->r, c->err, "the line ends; expected %s", what);
	return fail(
		c->r, c->err, "'%.*s%s'; expected %s", n, at, c->end - at > n ? "..." : "", what);
}

static int no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "out of memory");
}

/* Lines. */

static int check_line(const struct trace_text_reader *r, struct err *err)
{
	const char *line = r->line;

	for (size_t i = 0; i < r->line_len; i++) {
		uint8_t byte = (uint8_t)line[i];

		if (byte >= ' ' && byte <= '~')
			continue;
		if (byte == '\r' && i + 1 == r->line_len)
			return fail(r, err,
				"CR LF line end; expected LF alone: git's core.autocrlf may have "
				"changed it, `*.bjt text eol=lf` in .gitattributes prevents that");
		return fail(r, err, "byte 0x%02x in column %zu; expected ASCII, others as \\xHH",
			byte, i + 1);
	}
	if (r->line_len && line[r->line_len - 1] == ' ')
		return fail(r, err, "blank at the end of the line; expected none, or \\x20");
	return 0;
}

/* 1 with the next line in r->line, without its newline; 0 at the end. */
static int any_line(struct trace_text_reader *r, struct err *err)
{
	ssize_t n;
	int e;

	if (r->again) {
		r->again = false;
		return 1;
	}
	errno = 0;
	n = getline(&r->line, &r->line_room, r->in);
	e = errno;
	if (n < 0 && (ferror(r->in) || e == ENOMEM))
		return err_set(
			err, e ? -e : -EIO, "%.200s: %s", r->name, strerrordesc_np(e ? e : EIO));
	if (n < 0)
		return 0;
	r->number++;
	r->line_len = (size_t)n - (r->line[n - 1] == '\n');
	e = check_line(r, err);
	return e ? e : 1;
}

/* As any_line, but for comments and empty lines. */
static int next_line(struct trace_text_reader *r, struct err *err)
{
	int n;

	do {
		n = any_line(r, err);
	} while (n > 0 && (!r->line_len || r->line[0] == '#'));
	return n;
}

static struct cursor cursor_of(struct trace_text_reader *r, struct err *err)
{
	return (struct cursor){ r, err, r->line, r->line + r->line_len };
}

/* Words. */

static bool at_end(const struct cursor *c)
{
	return c->at == c->end;
}

static struct span peek(const struct cursor *c)
{
	const char *p = c->at < c->end && *c->at == ' ' && c->at != c->r->line ? c->at + 1 : c->at;
	const char *blank = memchr(p, ' ', (size_t)(c->end - p));

	return (struct span){ p, (size_t)((blank ? blank : c->end) - p) };
}

static void skip(struct cursor *c, struct span word)
{
	c->at = word.p + word.n;
}

static bool span_is(struct span s, const char *text)
{
	return strlen(text) == s.n && !memcmp(s.p, text, s.n);
}

static bool take_word(struct cursor *c, const char *text)
{
	struct span s = peek(c);

	if (!span_is(s, text))
		return false;
	skip(c, s);
	return true;
}

/* Does the next word begin so? Then what is behind it. */
static bool peek_key(const struct cursor *c, const char *key, struct span *rest)
{
	struct span s = peek(c);
	size_t n = strlen(key);

	if (s.n < n || memcmp(s.p, key, n) != 0)
		return false;
	*rest = (struct span){ s.p + n, s.n - n };
	return true;
}

static int end_of_line(const struct cursor *c)
{
	return at_end(c) ? 0 : expected(c, "the end of the line");
}

/* Numbers. */

static bool number(struct span s, unsigned base, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit =
			s.p[i] >= 'a' ? (unsigned)(s.p[i] - 'a') + 10 : (unsigned)(s.p[i] - '0');

		if (digit >= base || __builtin_mul_overflow(*value, base, value) ||
			__builtin_add_overflow(*value, digit, value))
			return false;
	}
	return s.n > 0;
}

static bool signed_number(struct span s, int64_t *value)
{
	bool minus = s.n && s.p[0] == '-';
	uint64_t size;

	if (!number((struct span){ s.p + minus, s.n - minus }, 10, &size))
		return false;
	if (size > (uint64_t)INT64_MAX + minus)
		return false;
	*value = minus ? (int64_t)-size : (int64_t)size;
	return true;
}

static bool hex_bytes(struct span s, uint8_t *out, size_t len)
{
	uint64_t byte;

	if (s.n != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!number((struct span){ s.p + 2 * i, 2 }, 16, &byte))
			return false;
		out[i] = (uint8_t)byte;
	}
	return true;
}

static int take_keyed(struct cursor *c, const char *key, unsigned base, uint64_t max,
	const char *what, uint64_t *value)
{
	struct span s;

	if (!peek_key(c, key, &s) || !number(s, base, value) || *value > max)
		return expected(c, what);
	skip(c, s);
	return 0;
}

static int take_hash(struct cursor *c, uint8_t hash[TRACE_HASH_LEN])
{
	struct span s;

	if (!peek_key(c, "sha256=", &s) || !hex_bytes(s, hash, TRACE_HASH_LEN))
		return expected(c, "sha256= and 64 hex digits");
	skip(c, s);
	return 0;
}

/* Bytes. */

static bool make_room(struct bytes *b, size_t more)
{
	size_t room = b->room ? b->room : 256;
	uint8_t *data;

	if (b->data && more <= b->room - b->len)
		return true;
	while (room - b->len < more)
		if (__builtin_mul_overflow(room, 2, &room))
			return false;
	data = realloc(b->data, room);
	if (!data)
		return false;
	b->data = data;
	b->room = room;
	return true;
}

static int add_escaped(struct cursor *c, struct bytes *to, struct span text)
{
	ssize_t n;

	if (!make_room(to, text.n))
		return no_memory(c->err);
	n = unescape_bytes(to->data + to->len, text.p, text.n);
	if (n < 0) {
		c->at = text.p - 1 - n;
		return expected(c, "\\n \\t \\r \\\\ \\\" or \\x and two of 0-9a-f");
	}
	to->len += (size_t)n;
	return 0;
}

static int take_quoted(struct cursor *c, struct bytes *to, const char *what)
{
	struct span word = peek(c);
	const char *p = word.p + 1;
	int r;

	if (!word.n || word.p[0] != '"')
		return expected(c, what);
	while (p < c->end && *p != '"')
		p += *p == '\\' ? 2 : 1;
	if (p >= c->end)
		return fail(c->r, c->err, "the line ends within quotes; expected \"");
	r = add_escaped(c, to, (struct span){ word.p + 1, (size_t)(p - word.p) - 1 });
	if (r)
		return r;
	c->at = p + 1;
	return !at_end(c) && *c->at != ' ' ? expected(c, "a blank behind the quotes") : 0;
}

/* A string of the header's: on the heap, without NULs. */
static int take_string(struct cursor *c, char **string, const char *what)
{
	struct bytes b = { 0 };
	int r = take_quoted(c, &b, what);

	if (!r && !make_room(&b, 1))
		r = no_memory(c->err);
	if (!r && memchr(b.data, 0, b.len))
		r = fail(c->r, c->err, "\\x00 in a string; expected any other byte");
	if (r) {
		free(b.data);
		return r;
	}
	b.data[b.len] = 0;
	free(*string);
	*string = (char *)b.data;
	return 0;
}

static int add_string(struct cursor *c, struct strings *to, const char *what)
{
	char **list, *string = NULL;
	int r;

	if (!(to->n & (to->n + 1))) { /* 0, 1, 3, 7 ... are full */
		list = reallocarray(to->list, to->n + 1, 2 * sizeof(*list));
		if (!list)
			return no_memory(c->err);
		to->list = list;
	}
	r = take_string(c, &string, what);
	if (!r)
		to->list[to->n++] = string;
	return r;
}

/* The header. */

typedef int header_fn(struct cursor *c, struct trace_header *h);

static int take_abi(struct cursor *c, struct trace_header *h)
{
	struct span s, name;
	const char *slash;
	uint64_t version;

	if (!peek_key(c, "abi=", &s))
		return expected(c, "abi=NAME/GENERATION");
	slash = memchr(s.p, '/', s.n);
	name = (struct span){ s.p, slash ? (size_t)(slash - s.p) : s.n };
	for (size_t i = 0; abi_list[i]; i++)
		if (span_is(name, abi_list[i]->name))
			h->abi = abi_list[i];
	if (!h->abi)
		return expected(c, "an ABI that is known: abi=uhyve/2");
	if (!slash || !number((struct span){ slash + 1, s.n - name.n - 1 }, 10, &version) ||
		version > INT32_MAX)
		return expected(c, "abi=NAME/GENERATION");
	h->abi_version = (int)version;
	skip(c, s);
	return 0;
}

static int header_guest(struct cursor *c, struct trace_header *h)
{
	int r = add_string(c, &h->argv, "the guest's name in quotes");

	if (!r)
		r = take_abi(c, h);
	if (!r)
		r = take_keyed(c, "mem=", 10, UINT64_MAX, "mem=BYTES", &h->mem_size);
	if (!r && !at_end(c)) {
		r = take_hash(c, h->guest_hash);
		h->has_guest_hash = true;
	}
	return r;
}

static int all_strings(struct cursor *c, struct strings *to, const char *what)
{
	int r;

	do {
		r = add_string(c, to, what);
	} while (!r && !at_end(c));
	return r;
}

static int header_argv(struct cursor *c, struct trace_header *h)
{
	if (!h->argv.n)
		return fail(c->r, c->err, "'argv' in front of 'guest'; expected it behind");
	return all_strings(c, &h->argv, "an argument in quotes");
}

static int header_kernel(struct cursor *c, struct trace_header *h)
{
	return all_strings(c, &h->kernel_args, "an argument in quotes");
}

static int header_env(struct cursor *c, struct trace_header *h)
{
	return add_string(c, &h->env, "\"NAME=VALUE\"");
}

static int header_cwd(struct cursor *c, struct trace_header *h)
{
	return take_string(c, &h->cwd, "a directory in quotes");
}

static int header_mount(struct cursor *c, struct trace_header *h)
{
	struct trace_mount *m = h->mounts;
	struct span s;
	int r;

	if (!(h->n_mounts & (h->n_mounts + 1))) {
		m = reallocarray(m, h->n_mounts + 1, 2 * sizeof(*m));
		if (!m)
			return no_memory(c->err);
		h->mounts = m;
	}
	m += h->n_mounts++;
	*m = (struct trace_mount){ 0 };
	r = take_string(c, &m->host, "a host path in quotes");
	if (!r)
		r = take_string(c, &m->guest, "a guest path in quotes");
	if (r)
		return r;
	s = peek(c);
	m->writable = span_is(s, "rw") || span_is(s, "rw,unlink");
	m->may_unlink = span_is(s, "rw,unlink") || span_is(s, "ro,unlink");
	if (!m->writable && !m->may_unlink && !span_is(s, "ro"))
		return expected(c, "ro, rw or rw,unlink");
	skip(c, s);
	m->is_file = take_word(c, "file");
	return 0;
}

static int header_clock(struct cursor *c, struct trace_header *h)
{
	return take_keyed(c, "", 10, UINT64_MAX, "nanoseconds since 1970", &h->boot_time_ns);
}

static int header_seed(struct cursor *c, struct trace_header *h)
{
	return take_keyed(c, "", 10, UINT64_MAX, "a number", &h->seed);
}

/* For the reader's eyes. */
static int header_omit(struct cursor *c, struct trace_header *h)
{
	(void)h;
	while (take_word(c, "t") || take_word(c, "ip") || take_word(c, "ptr") || take_word(c, "n"))
		;
	return 0;
}

static const struct header_row {
	const char *key;
	bool repeats;
	header_fn *take;
} header_rows[] = {
	{ "guest", false, header_guest },
	{ "argv", false, header_argv },
	{ "kernel", false, header_kernel },
	{ "env", true, header_env },
	{ "cwd", false, header_cwd },
	{ "mount", true, header_mount },
	{ "clock", false, header_clock },
	{ "seed", false, header_seed },
	{ "omit", false, header_omit },
};
enum { HEADER_ROWS = sizeof(header_rows) / sizeof(header_rows[0]) };

static int read_header_line(struct cursor *c, struct trace_header *h, unsigned *seen)
{
	int r;

	for (size_t i = 0; i < HEADER_ROWS; i++) {
		const struct header_row *row = &header_rows[i];

		if (!take_word(c, row->key))
			continue;
		if (*seen & 1u << i && !row->repeats)
			return fail(c->r, c->err, "'%s' again; expected it once", row->key);
		*seen |= 1u << i;
		r = row->take(c, h);
		return r ? r : end_of_line(c);
	}
	return expected(c, "guest, argv, kernel, env, cwd, mount, clock, seed, omit, or an empty "
			   "line in front of the calls");
}

static int read_version(struct trace_text_reader *r, struct trace_header *h, struct err *err)
{
	int n = next_line(r, err);
	struct cursor c;
	uint64_t version;

	if (n < 0)
		return n;
	if (!n)
		return err_set(err, -EINVAL, "%.200s: empty; expected 'bjt 1'", r->name);
	c = cursor_of(r, err);
	if (!take_word(&c, "bjt"))
		return expected(&c, "'bjt 1': golden text begins so");
	n = take_keyed(&c, "", 10, UINT32_MAX, "a version", &version);
	if (n)
		return n;
	if (!version || version > TRACE_VERSION)
		return fail(r, err, "version %llu; expected %d: a newer belljar wrote this",
			(unsigned long long)version, TRACE_VERSION);
	h->version = (unsigned)version;
	return end_of_line(&c);
}

/* Up to the first empty line. */
static int read_header(struct trace_text_reader *r, struct trace_header *h, struct err *err)
{
	int n = read_version(r, h, err);
	unsigned seen = 0;

	h->boot_time_ns = SESSION_CLOCK_NS;
	h->cwd = strdup("/");
	if (!h->cwd)
		return no_memory(err);
	while (!n && (n = any_line(r, err)) > 0) {
		struct cursor c = cursor_of(r, err);

		if (!r->line_len)
			break;
		n = r->line[0] == '#' ? 0 : read_header_line(&c, h, &seen);
	}
	if (n < 0)
		return n;
	if (!h->abi)
		return fail(r, err, "no 'guest' line; expected one in the header");
	return 0;
}

/* Calls. */

static int field_number(
	struct cursor *c, const struct hcall_field *f, const char *what, uint64_t *value)
{
	struct span s = peek(c);
	int64_t n;

	if (f->kind == HCALL_INT || f->kind == HCALL_FD) {
		if (!signed_number(s, &n))
			return expected(c, what);
		*value = (uint64_t)n;
	} else if (!number(s, 10, value)) {
		return expected(c, what);
	}
	if (text_field_value(f, *value) != *value)
		return expected(c, "a number that fits the field");
	skip(c, s);
	return 0;
}

static int field_choice(struct cursor *c, const struct hcall_field *f, const struct names *names,
	const char *what, uint64_t *value)
{
	struct span s = peek(c);

	if (!name_find_short(names, s.p, s.n, value))
		return field_number(c, f, what, value);
	skip(c, s);
	return 0;
}

static int field_open_flags(struct cursor *c, const struct hcall_field *f, uint64_t *value)
{
	static const char what[] =
		"open flags: rdonly, wronly or rdwr, then +creat+trunc ... +0x..";
	const struct names *names = &names_access;
	struct span all = peek(c), s;
	uint64_t bits;

	*value = 0;
	for (const char *p = all.p, *end = all.p + all.n; p <= end; p += s.n + 1) {
		const char *plus = memchr(p, '+', (size_t)(end - p));

		s = (struct span){ p, (size_t)((plus ? plus : end) - p) };
		if (!name_find_short(names, s.p, s.n, &bits) &&
			(names == &names_access || s.n < 3 || memcmp(s.p, "0x", 2) != 0 ||
				!number((struct span){ s.p + 2, s.n - 2 }, 16, &bits)))
			return expected(c, what);
		*value |= bits;
		names = &names_open_flags;
	}
	if (text_field_value(f, *value) != *value)
		return expected(c, "flags of 32 bits");
	skip(c, all);
	return 0;
}

static int field_path(struct cursor *c, struct trace_record *rec)
{
	if (take_word(c, "bad")) {
		rec->fault = true;
		return 0;
	}
	return take_quoted(c, &c->r->in_bytes, "a path in quotes, or bad");
}

static int field_byte(struct cursor *c, uint64_t *value)
{
	struct bytes b = { 0 };
	int r = take_quoted(c, &b, "a byte in quotes");

	if (!r && b.len != 1)
		r = fail(c->r, c->err, "%zu bytes in quotes; expected one", b.len);
	if (!r)
		*value = b.data[0];
	free(b.data);
	return r;
}

static int field_len(struct cursor *c, const struct trace_record *rec, const struct hcall_field *f,
	uint64_t *value, bool *by_data)
{
	enum text_len how = text_len_of(rec->row);
	const char *key = how == TEXT_LEN_CAP ? "cap=" : "len=";
	struct span s;

	if (peek_key(c, key, &s)) {
		if (!number(s, 10, value) || text_field_value(f, *value) != *value)
			return expected(c, "a length that fits the field");
		skip(c, s);
		return 0;
	}
	*by_data = how == TEXT_LEN_DATA;
	return *by_data ? 0 : expected(c, how == TEXT_LEN_CAP ? "cap=N" : "len=N");
}

static int read_field(struct cursor *c, struct trace_record *rec, size_t i, bool *len_by_data)
{
	const struct hcall_field *f = &rec->row->fields[i];
	uint64_t *value = &rec->args[i];

	switch (f->kind) {
	case HCALL_INT:
		return field_number(c, f, "a number", value);
	case HCALL_FD:
		return field_number(c, f, "a descriptor", value);
	case HCALL_PATH:
		return field_path(c, rec);
	case HCALL_OPEN_FLAGS:
		return field_open_flags(c, f, value);
	case HCALL_MODE:
		return take_keyed(
			c, "mode=", 8, text_field_value(f, UINT64_MAX), "mode=OCTAL", value);
	case HCALL_LEN:
		return field_len(c, rec, f, value, len_by_data);
	case HCALL_WHENCE:
		return field_choice(c, f, &names_whence, "set, cur, end, data, hole or N", value);
	case HCALL_STAT_KIND:
		return field_choice(c, f, &names_stat_kind, "stat, lstat or N", value);
	case HCALL_BYTE:
		return field_byte(c, value);
	default: /* an address: not in the text */
		return 0;
	}
}

static int read_result(struct cursor *c, struct trace_record *rec)
{
	struct span s;
	int error = 0;

	if (!take_word(c, "->")) {
		rec->ends = true;
		return 0;
	}
	s = peek(c);
	if (span_is(s, "?")) {
		rec->kind = TRACE_PENDING;
		skip(c, s);
		return 0;
	}
	if (s.n && s.p[0] == '~') {
		rec->masked |= TRACE_MASK_RESULT;
		s = (struct span){ s.p + 1, s.n - 1 };
	}
	if (s.n > 1 && s.p[0] == '-' && s.p[1] == 'E')
		error = name_find_errno(s.p + 1, s.n - 1);
	if (error)
		rec->result = -error;
	else if (!signed_number(s, &rec->result))
		return expected(c, "a result: a number or an error's name as in -ENOENT");
	skip(c, s);
	return 0;
}

static int take_pointers(struct cursor *c, struct trace_record *rec, struct span all)
{
	const char *p = all.p, *end = all.p + all.n;

	for (size_t i = 0; rec->row->fields[i].name; i++) {
		const struct hcall_field *f = &rec->row->fields[i];
		const char *comma;
		struct span s;

		if (!trace_field_is_pointer(f->kind))
			continue;
		if (end - p < 2 || memcmp(p, "0x", 2) != 0)
			return expected(c, "ptr=0x.., one for each address of the call");
		p += 2;
		comma = memchr(p, ',', (size_t)(end - p));
		s = (struct span){ p, (size_t)((comma ? comma : end) - p) };
		if (!number(s, 16, &rec->args[i]) ||
			text_field_value(f, rec->args[i]) != rec->args[i])
			return expected(c, "ptr=0x.., each address within its field");
		p = comma ? comma + 1 : end;
	}
	return p == end && end[-1] != ',' ? 0 : expected(c, "no more addresses than the call has");
}

static bool nanoseconds(struct span s, uint64_t *value)
{
	return s.n > 2 && !memcmp(s.p + s.n - 2, "ns", 2) &&
	       number((struct span){ s.p, s.n - 2 }, 10, value);
}

static int take_full(struct cursor *c, struct trace_record *rec)
{
	struct span s;

	if (peek_key(c, "t=+", &s)) {
		if (!nanoseconds(s, &rec->time_ns) ||
			__builtin_add_overflow(rec->time_ns, c->r->time_ns, &rec->time_ns))
			return expected(c, "t=+NUMBERns");
	} else if (peek_key(c, "t=", &s)) {
		if (!nanoseconds(s, &rec->time_ns))
			return expected(c, "t=NUMBERns");
	} else if (peek_key(c, "d=", &s)) {
		if (!nanoseconds(s, &rec->duration_ns))
			return expected(c, "d=NUMBERns");
	} else if (peek_key(c, "ip=0x", &s)) {
		if (!number(s, 16, &rec->rip))
			return expected(c, "ip=0x..");
	} else if (peek_key(c, "ptr=", &s)) {
		int r = take_pointers(c, rec, s);

		if (r)
			return r;
	} else {
		return expected(c, "t=, d=, ip= or ptr=");
	}
	skip(c, s);
	return 0;
}

static int read_full(struct cursor *c, struct trace_record *rec)
{
	struct span s;
	int r = 0;

	if (!peek_key(c, "@", &s))
		return 0;
	r = take_keyed(c, "@n=", 10, UINT64_MAX, "@n=NUMBER", &rec->seq);
	while (!r && !at_end(c))
		r = take_full(c, rec);
	return r;
}

static int read_call(struct cursor *c, struct trace_record *rec, bool *len_by_data)
{
	struct span name = peek(c);
	int r = 0;

	rec->kind = TRACE_CALL;
	rec->row = name.n ? trace_row_of_name(c->r->header, name.p, name.n) : NULL;
	if (!rec->row)
		return expected(c, "a call of this ABI, after, end or cut");
	rec->port = rec->row->port;
	skip(c, name);
	for (size_t i = 0; !r && !rec->row->local && rec->row->fields[i].name; i++)
		r = read_field(c, rec, i, len_by_data);
	if (r)
		return r;
	if (take_word(c, "bad"))
		rec->fault = true;
	r = read_result(c, rec);
	if (!r)
		r = read_full(c, rec);
	return r ? r : end_of_line(c);
}

/* Data. */

static int open_blob(struct cursor *c, struct span name, uint64_t len)
{
	char path[2 * TRACE_HASH_LEN + 1] = "";
	struct trace_text_reader *r = c->r;
	struct stat st;
	int fd;

	if (!r->blob_dir)
		return fail(r, c->err,
			"data in a file of its own; expected it in the text: "
			"there is no directory beside it here");
	if (r->blob_fd < 0)
		r->blob_fd = open(r->blob_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r->blob_fd < 0)
		return fail(r, c->err, "%.100s: %s; expected the directory with this text's data",
			r->blob_dir, strerrordesc_np(errno));
	memcpy(path, name.p, name.n);
	fd = openat(r->blob_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return fail(r, c->err, "data file %s: %s", path, strerrordesc_np(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != len) {
		close(fd);
		return fail(r, c->err, "data file %s; expected a regular file of %llu bytes", path,
			(unsigned long long)len);
	}
	return fd;
}

static bool read_all(int fd, uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = read(fd, data, len);

		if (n == 0 || (n < 0 && errno != EINTR))
			return false;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return true;
}

static int add_blob(struct cursor *c, struct bytes *to)
{
	uint8_t hash[TRACE_HASH_LEN], found[TRACE_HASH_LEN];
	struct sha256_ctx ctx;
	autoclose int fd = -1;
	struct span name;
	uint64_t len;
	int r;

	peek_key(c, "sha256=", &name);
	r = take_hash(c, hash);
	if (!r)
		r = take_keyed(c, "len=", 10, BLOB_MAX, "len=BYTES, up to 1 GiB", &len);
	if (!r)
		r = end_of_line(c);
	if (r)
		return r;
	if (to->len)
		return fail(c->r, c->err, "data in a file behind data in the text; expected one");
	fd = open_blob(c, name, len);
	if (fd < 0)
		return fd;
	if (!make_room(to, len))
		return no_memory(c->err);
	if (!read_all(fd, to->data, len))
		return fail(c->r, c->err, "data file %.*s cannot be read: %s", (int)name.n, name.p,
			strerrordesc_np(errno));
	sha256_init(&ctx);
	sha256_update(&ctx, len, to->data);
	sha256_digest(&ctx, sizeof(found), found);
	if (memcmp(hash, found, sizeof(hash)) != 0)
		return fail(c->r, c->err, "data file %.*s; expected contents of that SHA-256",
			(int)name.n, name.p);
	to->len = len;
	return 0;
}

static bool attr_time(struct span s, struct uhyve_time *t)
{
	const char *dot = memchr(s.p, '.', s.n);
	struct span sec = { s.p, dot ? (size_t)(dot - s.p) : s.n };
	uint64_t nsec = 0;

	enum { DIGITS = 9 };
	if (dot &&
		(s.n - sec.n != DIGITS + 1 || !number((struct span){ dot + 1, DIGITS }, 10, &nsec)))
		return false;
	t->nsec = (int32_t)nsec;
	t->pad = 0;
	return signed_number(sec, &t->sec);
}

static bool attr_value(const struct text_attr_field *f, struct span s, struct uhyve_attr *attr)
{
	uint64_t value;
	int64_t n;

	switch (f->form) {
	case TEXT_TIME: {
		struct uhyve_time time;

		if (!attr_time(s, &time))
			return false;
		memcpy((uint8_t *)attr + f->at, &time, sizeof(time));
		return true;
	}
	case TEXT_SIGNED:
		if (!signed_number(s, &n))
			return false;
		value = (uint64_t)n;
		break;
	default:
		if (!number(s, f->form == TEXT_OCTAL ? 8 : 10, &value))
			return false;
	}
	if (f->size < sizeof(value) && value >> 8 * f->size)
		return false;
	memcpy((uint8_t *)attr + f->at, &value, f->size);
	return true;
}

/* In the order of the table; what is not there is as usual. */
static int add_attr(struct cursor *c, struct bytes *to)
{
	struct uhyve_attr given = { 0 }, attr;
	bool is_given[TEXT_ATTR_FIELDS] = { 0 };
	char key[16];
	struct span s;

	for (size_t i = 0; i < TEXT_ATTR_FIELDS; i++) {
		const struct text_attr_field *f = &text_attr_fields[i];

		snprintf(key, sizeof(key), "%s=", f->name);
		is_given[i] = peek_key(c, key, &s);
		if (!is_given[i] && f->always)
			return expected(c, key);
		if (!is_given[i])
			continue;
		if (!attr_value(f, s, &given))
			return expected(c, "a value that fits the attribute");
		skip(c, s);
	}
	attr = given;
	text_attr_defaults(&attr, c->r->header);
	for (size_t i = 0; i < TEXT_ATTR_FIELDS; i++)
		if (is_given[i])
			memcpy((uint8_t *)&attr + text_attr_fields[i].at,
				(uint8_t *)&given + text_attr_fields[i].at,
				text_attr_fields[i].size);
	if (!make_room(to, sizeof(attr)))
		return no_memory(c->err);
	memcpy(to->data + to->len, &attr, sizeof(attr));
	to->len += sizeof(attr);
	return end_of_line(c);
}

static int dent_type(struct cursor *c, uint8_t *type)
{
	struct span s = peek(c);
	uint64_t value;

	if (name_find_short(&names_file_type, s.p, s.n, &value))
		*type = (uint8_t)IFTODT(value);
	else if (span_is(s, "unknown"))
		*type = DT_UNKNOWN;
	else if (number(s, 10, &value) && value <= UINT8_MAX)
		*type = (uint8_t)value;
	else
		return expected(c, "reg, dir, lnk, chr, blk, fifo, sock, unknown or N");
	skip(c, s);
	return 0;
}

static int add_dent(struct cursor *c, struct bytes *to)
{
	struct text_dent dent = { 0 };
	struct bytes name = { 0 };
	size_t size;
	struct span s;
	int r;

	r = take_keyed(c, "ino=", 10, UINT64_MAX, "ino=NUMBER", &dent.ino);
	if (r)
		return r;
	if (!peek_key(c, "off=", &s) || !signed_number(s, &dent.off))
		return expected(c, "off=NUMBER");
	skip(c, s);
	r = dent_type(c, &dent.type);
	if (!r)
		r = take_quoted(c, &name, "a name in quotes");
	if (!r)
		r = end_of_line(c);
	dent.name = name.data;
	dent.name_len = name.len;
	size = text_dent_size(name.len);
	if (!r && (size > TEXT_DENT_MAX || memchr(name.data, 0, name.len)))
		r = fail(c->r, c->err, "a name of %zu bytes; expected less than 64 KiB, no \\x00",
			name.len);
	if (!r && !make_room(to, size))
		r = no_memory(c->err);
	if (!r) {
		text_dent_pack(to->data + to->len, &dent);
		to->len += size;
	}
	free(name.data);
	return r;
}

static int add_hex(struct cursor *c, struct bytes *to)
{
	struct span s = peek(c);

	if (!make_room(to, s.n / 2))
		return no_memory(c->err);
	if (!s.n || !hex_bytes(s, to->data + to->len, s.n / 2))
		return expected(c, "pairs of hex digits");
	to->len += s.n / 2;
	skip(c, s);
	return end_of_line(c);
}

static int add_data(struct cursor *c, const struct trace_record *rec, struct bytes *to)
{
	struct span rest = { c->at + 1, (size_t)(c->end - c->at) - 1 };
	bool out = to == &c->r->out_bytes;

	if (take_word(c, "blob"))
		return add_blob(c, to);
	if (out && trace_row_find(rec->row, HCALL_STAT_OUT) >= 0)
		return take_word(c, "attr") ? add_attr(c, to) : expected(c, "attr, or <x and hex");
	if (out && trace_row_find(rec->row, HCALL_DENTS_OUT) >= 0)
		return take_word(c, "dent") ? add_dent(c, to) : expected(c, "dent, or <x and hex");
	return add_escaped(c, to, rest);
}

/* "  < TEXT", "  <x HEX", "  > TEXT", "  >x HEX", and < with a ~ in front. */
static int read_data_line(struct cursor *c, struct trace_record *rec)
{
	struct trace_text_reader *r = c->r;
	struct bytes *to = &r->out_bytes;
	bool masked;

	c->at += 2;
	masked = !at_end(c) && *c->at == '~';
	c->at += masked;
	if (!at_end(c) && *c->at == '>' && !masked)
		to = &r->in_bytes;
	else if (at_end(c) || *c->at != '<')
		return expected(c, "<, <x, >, >x, ~< or ~<x");
	if (rec->row->local)
		return fail(r, c->err, "data of %s; expected none: it is not kept", rec->row->name);
	if (to == &r->in_bytes && trace_row_find(rec->row, HCALL_PATH) >= 0)
		return fail(r, c->err, "data read from %s; expected none", rec->row->name);
	if (to == &r->out_bytes && to->len && masked != !!(rec->masked & TRACE_MASK_OUT))
		return fail(r, c->err, "some of the data behind ~; expected all or none");
	rec->masked |= masked ? TRACE_MASK_OUT : 0;
	c->at++;
	if (at_end(c))
		return masked ? 0 : expected(c, "data");
	if (*c->at == 'x') {
		c->at++;
		return add_hex(c, to);
	}
	return *c->at == ' ' ? add_data(c, rec, to) : expected(c, "a blank and data");
}

static int read_data(struct trace_text_reader *r, struct trace_record *rec, struct err *err)
{
	int n;

	while ((n = next_line(r, err)) > 0) {
		struct cursor c = cursor_of(r, err);

		if (r->line[0] != ' ') {
			r->again = true;
			return 0;
		}
		if (r->line_len < 2 || r->line[1] != ' ')
			return expected(&c, "no blank, or two in front of data");
		n = read_data_line(&c, rec);
		if (n)
			return n;
	}
	return n;
}

static int next_call(struct trace_text_reader *r, struct cursor *c, struct trace_record *rec)
{
	bool len_by_data = false;
	int n, i;

	if (r->state != IN_CALLS)
		return expected(c, r->state == IN_FLIGHT ? "cut behind a call without result"
							 : "after, end or cut");
	rec->seq = r->seq;
	n = read_call(c, rec, &len_by_data);
	if (!n)
		n = read_data(r, rec, c->err);
	if (n)
		return n;
	rec->in = r->in_bytes.data;
	rec->in_len = r->in_bytes.len;
	rec->out = r->out_bytes.data;
	rec->out_len = r->out_bytes.len;
	i = trace_row_find(rec->row, HCALL_LEN);
	if (len_by_data && i >= 0)
		rec->args[i] = rec->in_len;
	r->seq = rec->seq + 1;
	r->time_ns = rec->time_ns;
	r->exit_code = text_exit_code(rec);
	if (rec->kind == TRACE_PENDING)
		r->state = IN_FLIGHT;
	return 1;
}

/* The end. */

static int next_after(struct trace_text_reader *r, struct cursor *c, struct trace_record *rec)
{
	enum { LINK_MODE = 0777, MODE_MAX = 07777 };
	struct tree_entry *t = &rec->tree;
	uint64_t value;
	struct span s;
	int n;

	rec->kind = TRACE_AFTER;
	if (r->state == IN_FLIGHT)
		return fail(r, c->err, "'after' behind a call without result; expected cut");
	r->state = IN_AFTERS;
	n = take_keyed(c, "", 10, UINT32_MAX, "the number of a mount", &value);
	if (n)
		return n;
	if (value >= r->header->n_mounts)
		return fail(r, c->err, "mount %llu; expected less than %zu, counted from 0",
			(unsigned long long)value, r->header->n_mounts);
	t->mount = (uint32_t)value;
	n = take_quoted(c, &r->in_bytes, "a path in quotes");
	if (n)
		return n;
	s = peek(c);
	if (!name_find_short(&names_tree, s.p, s.n, &value))
		return expected(c, "removed, file, dir, link, fifo, socket or device");
	skip(c, s);
	t->kind = (enum tree_kind)value;
	value = t->kind == TREE_LINK ? LINK_MODE : 0;
	if (t->kind != TREE_NONE && (t->kind != TREE_LINK || peek_key(c, "mode=", &s)))
		n = take_keyed(c, "mode=", 8, MODE_MAX, "mode=OCTAL", &value);
	t->mode = (mode_t)value;
	if (!n && t->kind == TREE_FILE)
		n = take_keyed(c, "size=", 10, UINT64_MAX, "size=BYTES", &t->size);
	if (!n && t->kind == TREE_FILE)
		n = take_hash(c, t->hash);
	if (!n && t->kind == TREE_LINK)
		n = take_quoted(c, &r->out_bytes, "what the link holds, in quotes");
	t->path = r->in_bytes.data;
	t->path_len = r->in_bytes.len;
	t->target = r->out_bytes.data;
	t->target_len = r->out_bytes.len;
	if (!n)
		n = end_of_line(c);
	return n ? n : 1;
}

static int take_stop_text(struct cursor *c, struct trace_record *rec)
{
	struct bytes *b = &c->r->in_bytes;
	int r = at_end(c) ? 0 : take_quoted(c, b, "why it stopped, in quotes");

	if (r)
		return r;
	if (memchr(b->data ? b->data : (const uint8_t *)"", 0, b->len))
		return fail(c->r, c->err, "\\x00 in a string; expected any other byte");
	if (!make_room(b, 1))
		return no_memory(c->err);
	b->data[b->len] = 0;
	rec->stop_text = (const char *)b->data;
	return end_of_line(c);
}

static int read_end(struct cursor *c, struct trace_record *rec)
{
	struct span s = peek(c);
	uint64_t kind;
	int64_t code;

	rec->kind = TRACE_END;
	rec->stop_kind = VM_EXITED;
	rec->stop_code = c->r->exit_code;
	if (c->r->state == IN_FLIGHT)
		return fail(c->r, c->err, "'end' behind a call without result; expected cut");
	if (name_find_short(&names_stop, s.p, s.n, &kind)) {
		rec->stop_kind = (int)kind;
		skip(c, s);
	}
	if (peek_key(c, "code=", &s)) {
		if (!signed_number(s, &code) || code < INT32_MIN || code > INT32_MAX)
			return expected(c, "code=NUMBER");
		rec->stop_code = (int)code;
		skip(c, s);
	}
	return take_stop_text(c, rec);
}

/* Nothing may follow: what two texts were merged into is refused. */
static int next_end(struct trace_text_reader *r, struct cursor *c, struct trace_record *rec)
{
	bool cut = take_word(c, "cut");
	int n;

	if (cut)
		rec->kind = TRACE_CUT;
	n = cut ? end_of_line(c) : take_word(c, "end") ? read_end(c, rec) : -EINVAL;
	if (n)
		return n;
	n = next_line(r, c->err);
	if (n > 0) {
		struct cursor behind = cursor_of(r, c->err);

		return expected(&behind, "nothing behind the end");
	}
	r->state = AT_END;
	return n ? n : 1;
}

int trace_text_next(struct trace_text_reader *r, struct trace_record *record, struct err *err)
{
	struct cursor c;
	int n;

	if (r->state == AT_END)
		return 0;
	n = next_line(r, err);
	if (n < 0)
		return n;
	if (!n)
		return err_set(
			err, -EINVAL, "%.200s: truncated: no `end` line; expected one", r->name);
	*record = (struct trace_record){ .where = r->number };
	r->in_bytes.len = r->out_bytes.len = 0;
	c = cursor_of(r, err);
	if (span_is(peek(&c), "end") || span_is(peek(&c), "cut"))
		return next_end(r, &c, record);
	if (take_word(&c, "after"))
		return next_after(r, &c, record);
	return next_call(r, &c, record);
}

int trace_text_open(struct trace_text_reader **out, FILE *in, const char *name,
	const char *blob_dir, struct trace_header *header, struct err *err)
{
	struct trace_text_reader *r = calloc(1, sizeof(*r));
	int n;

	*out = NULL;
	*header = (struct trace_header){ 0 };
	if (!r)
		return no_memory(err);
	*r = (struct trace_text_reader){
		.in = in, .blob_dir = blob_dir, .blob_fd = -1, .header = header
	};
	r->name = strdup(name);
	n = r->name ? read_header(r, header, err) : no_memory(err);
	if (n) {
		trace_header_finish(header);
		trace_text_close(r);
		return n;
	}
	*out = r;
	return 0;
}

void trace_text_close(struct trace_text_reader *r)
{
	if (!r)
		return;
	if (r->blob_fd >= 0)
		close(r->blob_fd);
	free(r->in_bytes.data);
	free(r->out_bytes.data);
	free(r->line);
	free(r->name);
	free(r);
}
