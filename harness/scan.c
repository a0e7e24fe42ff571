// SPDX-License-Identifier: ISC
/* Lines taken apart. Every byte is hostile: nothing is allocated that the text itself does not fill. */
#include "scan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "escape.h"

void scan_init(struct scan *in, FILE *file, const char *name)
{
	*in = (struct scan){ .file = file, .name = name };
}

void scan_finish(struct scan *in)
{
	free(in->line);
}

int scan_fail(const struct scan *in, const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return err_set(
		in->err, -EINVAL, "%.90s:%llu: %s", in->name, (unsigned long long)in->number, text);
}

int scan_expected(const struct scan *in, const char *what)
{
	enum { SHOWN = 40 };
	const char *at = in->at < in->end && *in->at == ' ' ? in->at + 1 : in->at;
	int n = in->end - at > SHOWN ? SHOWN : (int)(in->end - at);

	if (!n)
		return scan_fail(in, "the line ends; expected %s", what);
	return scan_fail(in, "'%.*s%s'; expected %s", n, at, in->end - at > n ? "..." : "", what);
}

int scan_no_memory(const struct scan *in)
{
	return err_set(in->err, -ENOMEM, "out of memory");
}

static int check_line(const struct scan *in)
{
	const char *last = in->end - 1;

	for (const char *p = in->line; p < in->end; p++) {
		if (*p >= ' ' && *p <= '~')
			continue;
		if (*p == '\r' && p == last)
			return scan_fail(in,
				"CR LF line end; expected LF alone: git's core.autocrlf may have "
				"changed it, `*.bjt text eol=lf` in .gitattributes prevents that");
		return scan_fail(in, "byte 0x%02x in column %zu; expected ASCII, others as \\xHH",
			(uint8_t)*p, (size_t)(p - in->line) + 1);
	}
	if (in->line < in->end && *last == ' ')
		return scan_fail(in, "blank at the end of the line; expected none, or \\x20");
	return 0;
}

int scan_line(struct scan *in)
{
	ssize_t n;
	int e;

	in->at = in->line;
	if (in->again) {
		in->again = false;
		return 1;
	}
	errno = 0;
	n = getline(&in->line, &in->room, in->file);
	e = errno ? errno : EIO;
	if (ferror(in->file) || (n < 0 && e == ENOMEM)) /* half a line is there, or none */
		return err_set(in->err, -e, "%.200s: %s", in->name, strerrordesc_np(e));
	if (n < 0)
		return 0;
	in->number++;
	in->at = in->line;
	in->end = in->line + n - (in->line[n - 1] == '\n');
	e = check_line(in);
	return e ? e : 1;
}

int scan_next_line(struct scan *in)
{
	int n;

	do {
		n = scan_line(in);
	} while (n > 0 && (in->at == in->end || *in->at == '#'));
	return n;
}

bool scan_at_end(const struct scan *in)
{
	return in->at == in->end;
}

struct word scan_peek(const struct scan *in)
{
	const char *p =
		in->at < in->end && *in->at == ' ' && in->at != in->line ? in->at + 1 : in->at;
	const char *blank = memchr(p, ' ', (size_t)(in->end - p));

	return (struct word){ p, (size_t)((blank ? blank : in->end) - p) };
}

void scan_skip(struct scan *in, struct word word)
{
	in->at = word.p + word.n;
}

bool word_is(struct word s, const char *text)
{
	return strlen(text) == s.n && !memcmp(s.p, text, s.n);
}

bool scan_take_word(struct scan *in, const char *text)
{
	struct word s = scan_peek(in);

	if (!word_is(s, text))
		return false;
	scan_skip(in, s);
	return true;
}

bool scan_peek_key(const struct scan *in, const char *key, struct word *rest)
{
	struct word s = scan_peek(in);
	size_t n = strlen(key);

	if (s.n < n || memcmp(s.p, key, n) != 0)
		return false;
	*rest = (struct word){ s.p + n, s.n - n };
	return true;
}

int scan_end_of_line(const struct scan *in)
{
	return scan_at_end(in) ? 0 : scan_expected(in, "the end of the line");
}

bool word_number(struct word s, unsigned base, uint64_t *value)
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

bool word_signed(struct word s, int64_t *value)
{
	bool minus = s.n && s.p[0] == '-';
	uint64_t size;

	if (!word_number((struct word){ s.p + minus, s.n - minus }, 10, &size))
		return false;
	if (size > (uint64_t)INT64_MAX + minus)
		return false;
	*value = minus ? (int64_t)-size : (int64_t)size;
	return true;
}

bool word_hex(struct word s, uint8_t *out, size_t len)
{
	uint64_t byte;

	if (s.n != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!word_number((struct word){ s.p + 2 * i, 2 }, 16, &byte))
			return false;
		out[i] = (uint8_t)byte;
	}
	return true;
}

int scan_keyed(struct scan *in, const char *key, unsigned base, uint64_t max, const char *what,
	uint64_t *value)
{
	struct word s;

	if (!scan_peek_key(in, key, &s) || !word_number(s, base, value) || *value > max)
		return scan_expected(in, what);
	scan_skip(in, s);
	return 0;
}

int scan_sha256(struct scan *in, uint8_t hash[SCAN_SHA256_LEN])
{
	struct word s;

	if (!scan_peek_key(in, "sha256=", &s) || !word_hex(s, hash, SCAN_SHA256_LEN))
		return scan_expected(in, "sha256= and 64 hex digits");
	scan_skip(in, s);
	return 0;
}

bool bytes_room(struct bytes *b, size_t more)
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

int scan_escaped(struct scan *in, struct bytes *to, struct word text)
{
	ssize_t n;

	if (!bytes_room(to, text.n))
		return scan_no_memory(in);
	n = unescape_bytes(to->data + to->len, text.p, text.n);
	if (n < 0) {
		in->at = text.p - 1 - n;
		return scan_expected(in, "\\n \\t \\r \\\\ \\\" or \\x and two of 0-9a-f");
	}
	to->len += (size_t)n;
	return 0;
}

int scan_quoted(struct scan *in, struct bytes *to, const char *what)
{
	struct word word = scan_peek(in);
	const char *p = word.p + 1;
	int r;

	if (!word.n || word.p[0] != '"')
		return scan_expected(in, what);
	while (p < in->end && *p != '"')
		p += *p == '\\' ? 2 : 1;
	if (p >= in->end)
		return scan_fail(in, "the line ends within quotes; expected \"");
	r = scan_escaped(in, to, (struct word){ word.p + 1, (size_t)(p - word.p) - 1 });
	if (r)
		return r;
	in->at = p + 1;
	return !scan_at_end(in) && *in->at != ' ' ? scan_expected(in, "a blank behind the quotes")
						  : 0;
}

int scan_string(struct scan *in, char **string, const char *what)
{
	struct bytes b = { 0 };
	void *tight;
	int r = scan_quoted(in, &b, what);

	if (!r && !bytes_room(&b, 1))
		r = scan_no_memory(in);
	if (!r && memchr(b.data, 0, b.len))
		r = scan_fail(in, "\\x00 in a string; expected any other byte");
	if (r) {
		free(b.data);
		return r;
	}
	b.data[b.len] = 0;
	tight = realloc(b.data, b.len + 1);
	*string = (char *)(tight ? tight : b.data);
	return 0;
}
