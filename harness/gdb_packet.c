// SPDX-License-Identifier: ISC
/* Packets of gdb's remote serial protocol as bytes. Knows nothing of what they ask for. */
#include "gdb_packet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum decoder_state { OUTSIDE, BODY, FIRST_DIGIT, SECOND_DIGIT };

enum {
	ESCAPE = '}',
	ESCAPE_XOR = 0x20,
	RUN_MIN = 4,       /* three more of it: the shortest that a reader takes */
	RUN_MAX = 98,      /* 97 more, written as '~' */
	RUN_BASE = 29 - 1, /* a run of n is written as the character n + RUN_BASE */
};

/* One more than its value; 0: no digit. */
static const uint8_t digits[256] = {
	['0'] = 1,
	['1'] = 2,
	['2'] = 3,
	['3'] = 4,
	['4'] = 5,
	['5'] = 6,
	['6'] = 7,
	['7'] = 8,
	['8'] = 9,
	['9'] = 10,
	['a'] = 11,
	['b'] = 12,
	['c'] = 13,
	['d'] = 14,
	['e'] = 15,
	['f'] = 16,
	['A'] = 11,
	['B'] = 12,
	['C'] = 13,
	['D'] = 14,
	['E'] = 15,
	['F'] = 16,
};

static int digit_value(uint8_t ch)
{
	return digits[ch] - 1;
}

/* Sixteen bytes at a time: what compilers make of this is fast on every CPU. */
enum { WIDE = 16 };
typedef uint8_t wide __attribute__((vector_size(WIDE)));

static wide load(const uint8_t *p)
{
	wide v;

	memcpy(&v, p, WIDE);
	return v;
}

static bool any(wide v)
{
	uint64_t halves[2];

	memcpy(halves, &v, WIDE);
	return halves[0] | halves[1];
}

static uint8_t sum_of(wide v)
{
	unsigned sum = 0;

	for (int i = 0; i < WIDE; i++)
		sum += v[i];
	return (uint8_t)sum;
}

static void begin_body(struct gdb_decoder *d)
{
	d->state = BODY;
	d->sum = 0;
	d->len = 0;
	d->too_long = false;
}

static enum gdb_item outside(struct gdb_decoder *d, uint8_t ch)
{
	switch (ch) {
	case '$':
		begin_body(d);
		return GDB_NOTHING;
	case '+':
		return GDB_ACK;
	case '-':
		return GDB_NAK;
	case 3:
		return GDB_INTERRUPT;
	default:
		return GDB_NOTHING; /* noise */
	}
}

/* What is plain at the beginning of these bytes, and has room: how many there are. */
static size_t plain_body(struct gdb_decoder *d, const uint8_t *p, size_t n)
{
	wide sum = { 0 };
	uint8_t rest = 0;
	size_t i = 0;

	if (n > GDB_PACKET_MAX - d->len)
		n = GDB_PACKET_MAX - d->len;
	for (; n - i >= WIDE; i += WIDE) {
		wide v = load(p + i);

		if (any((wide)(v == '#') | (wide)(v == '$')))
			break;
		sum += v;
	}
	for (; i < n && p[i] != '#' && p[i] != '$'; i++)
		rest = (uint8_t)(rest + p[i]);
	memcpy(d->payload + d->len, p, i);
	d->len += i;
	d->sum = (uint8_t)(d->sum + sum_of(sum) + rest);
	return i;
}

/* What is not plain, or has no room. */
static void body(struct gdb_decoder *d, uint8_t ch)
{
	if (ch == '$') {
		begin_body(d);
	} else if (ch == '#') {
		d->state = FIRST_DIGIT;
	} else {
		d->sum = (uint8_t)(d->sum + ch);
		d->too_long = true;
	}
}

static enum gdb_item digit(struct gdb_decoder *d, int value)
{
	if (d->state == FIRST_DIGIT) {
		d->want = (uint8_t)(value << 4);
		d->state = SECOND_DIGIT;
		return GDB_NOTHING;
	}
	d->want |= (uint8_t)value;
	d->state = OUTSIDE;
	if (d->too_long || (!d->no_ack && d->want != d->sum))
		return GDB_CORRUPT;
	d->payload[d->len] = 0;
	return GDB_PACKET;
}

enum gdb_item gdb_decode(struct gdb_decoder *d, const uint8_t **bytes, size_t *n)
{
	enum gdb_item item = GDB_NOTHING;

	while (*n && item == GDB_NOTHING) {
		size_t plain = d->state == BODY ? plain_body(d, *bytes, *n) : 0;
		uint8_t ch;

		*bytes += plain;
		*n -= plain;
		if (!*n)
			break;
		ch = **bytes;
		if (d->state == OUTSIDE) {
			item = outside(d, ch);
		} else if (d->state == BODY) {
			body(d, ch);
		} else if (digit_value(ch) <
			   0) { /* where a digit is due: looked at again, outside */
			d->state = OUTSIDE;
			return GDB_CORRUPT;
		} else {
			item = digit(d, digit_value(ch));
		}
		(*bytes)++;
		(*n)--;
	}
	return item;
}

size_t gdb_unescape(uint8_t *bytes, size_t n)
{
	const uint8_t *first = memchr(bytes, ESCAPE, n);
	size_t len = first ? (size_t)(first - bytes) : n;

	for (size_t i = len; i < n; i++) {
		if (bytes[i] != ESCAPE)
			bytes[len++] = bytes[i];
		else if (++i < n)
			bytes[len++] = bytes[i] ^ ESCAPE_XOR;
	}
	return len;
}

bool gdb_take(struct gdb_cursor *c, const char *literal)
{
	size_t n = strlen(literal);

	if (gdb_left(c) < n || memcmp(c->at, literal, n))
		return false;
	c->at += n;
	return true;
}

bool gdb_take_char(struct gdb_cursor *c, char ch)
{
	if (!gdb_left(c) || *c->at != (uint8_t)ch)
		return false;
	c->at++;
	return true;
}

bool gdb_take_hex(struct gdb_cursor *c, uint64_t *value)
{
	const uint8_t *p = c->at;
	uint64_t v = 0;

	for (; p < c->end && digit_value(*p) >= 0; p++) {
		if (v >> 60)
			return false;
		v = v << 4 | (uint64_t)digit_value(*p);
	}
	if (p == c->at)
		return false;
	c->at = p;
	*value = v;
	return true;
}

bool gdb_take_bytes(struct gdb_cursor *c, uint8_t *bytes, size_t n)
{
	if (gdb_left(c) / 2 < n)
		return false;
	for (size_t i = 0; i < 2 * n; i++)
		if (digit_value(c->at[i]) < 0)
			return false;
	for (size_t i = 0; i < n; i++, c->at += 2)
		bytes[i] = (uint8_t)(digit_value(c->at[0]) << 4 | digit_value(c->at[1]));
	return true;
}

struct gdb_cursor gdb_take_until(struct gdb_cursor *c, const char *stops)
{
	struct gdb_cursor taken = *c;

	while (c->at < c->end && !(*c->at && strchr(stops, *c->at)))
		c->at++;
	taken.end = c->at;
	return taken;
}

void gdb_reply_begin(struct gdb_reply *r)
{
	r->len = 0;
	r->overflow = false;
	r->binary = false;
}

static size_t room(const struct gdb_reply *r)
{
	return GDB_PACKET_MAX - r->len;
}

/* Readers take these for framing wherever they are, and undo no escapes in text. */
static void without_framing(uint8_t *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (text[i] == '#' || text[i] == '$' || text[i] == '*')
			text[i] = '.';
}

void gdb_put_raw(struct gdb_reply *r, const void *bytes, size_t n)
{
	if (n > room(r)) {
		r->overflow = true;
		return;
	}
	memcpy(r->bytes + r->len, bytes, n);
	r->len += n;
}

void gdb_put(struct gdb_reply *r, const char *text)
{
	size_t from = r->len;

	gdb_put_raw(r, text, strlen(text));
	without_framing(r->bytes + from, r->len - from);
}

void gdb_printf(struct gdb_reply *r, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf((char *)r->bytes + r->len, room(r) + 1, format, args);
	va_end(args);
	if ((size_t)n > room(r)) {
		r->overflow = true;
		return;
	}
	without_framing(r->bytes + r->len, (size_t)n);
	r->len += (size_t)n;
}

/* clang-format off */
#define ROW(h) h "0" h "1" h "2" h "3" h "4" h "5" h "6" h "7" h "8" h "9" h "a" h "b" h "c" h "d" h "e" h "f"
/* clang-format on */
/* Both digits of every byte. */
static const char two_digits[] = ROW("0") ROW("1") ROW("2") ROW("3") ROW("4") ROW("5") ROW("6")
	ROW("7") ROW("8") ROW("9") ROW("a") ROW("b") ROW("c") ROW("d") ROW("e") ROW("f");

static wide digits_of(wide nibbles)
{
	return nibbles + '0' + ((wide)(nibbles > 9) & ('a' - '9' - 1));
}

static void wide_hex(uint8_t *out, wide v)
{
	wide high = v >> 4, low = v & 15;
	wide first = __builtin_shufflevector(
		high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
	wide second = __builtin_shufflevector(
		high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);

	first = digits_of(first);
	second = digits_of(second);
	memcpy(out, &first, WIDE);
	memcpy(out + WIDE, &second, WIDE);
}

void gdb_put_hex(struct gdb_reply *r, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint8_t *out = r->bytes + r->len;
	size_t i = 0;

	if (n > room(r) / 2) {
		r->overflow = true;
		n = room(r) / 2;
	}
	for (; n - i >= WIDE; i += WIDE)
		wide_hex(out + 2 * i, load(p + i));
	for (; i < n; i++)
		memcpy(out + 2 * i, two_digits + 2 * p[i], 2);
	r->len += 2 * n;
}

static bool needs_escape(uint8_t ch)
{
	return ch == ESCAPE || ch == '#' || ch == '$' || ch == '*';
}

/* 16 bytes that need no escape: whether they were. */
static bool put_plain(struct gdb_reply *r, const uint8_t *p)
{
	wide v = load(p);

	if (room(r) < WIDE ||
		any((wide)(v == ESCAPE) | (wide)(v == '#') | (wide)(v == '$') | (wide)(v == '*')))
		return false;
	memcpy(r->bytes + r->len, &v, WIDE);
	r->len += WIDE;
	return true;
}

size_t gdb_put_escaped(struct gdb_reply *r, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	size_t i = 0;

	r->binary = true;
	while (i < n) {
		bool escape = needs_escape(p[i]);

		if (!escape && n - i >= WIDE && put_plain(r, p + i)) {
			i += WIDE;
			continue;
		}
		if (room(r) < 1u + escape)
			break;
		if (escape)
			r->bytes[r->len++] = ESCAPE;
		r->bytes[r->len++] = escape ? p[i] ^ ESCAPE_XOR : p[i];
		i++;
	}
	return i;
}

/* How many of the sixteen characters at p are before the first that is like the three behind it. Looks at nineteen. */
static size_t before_run(const uint8_t *p)
{
	wide b = load(p + 1), c = load(p + 2);
	wide runs = (wide)(load(p) == b) & (wide)(b == c) & (wide)(c == load(p + 3));
	uint64_t halves[2];

	memcpy(halves, &runs, WIDE);
	if (halves[0])
		return (size_t)__builtin_ctzll(halves[0]) / 8;
	return halves[1] ? 8 + (size_t)__builtin_ctzll(halves[1]) / 8 : WIDE;
}

static uint8_t checksum(const uint8_t *p, size_t n)
{
	wide sum = { 0 };
	uint8_t rest = 0;

	for (; n >= WIDE; p += WIDE, n -= WIDE)
		sum += load(p);
	for (; n; n--)
		rest = (uint8_t)(rest + *p++);
	return (uint8_t)(rest + sum_of(sum));
}

/* How many characters from p on one run length stands for: 1 is none. */
static size_t run_length(const uint8_t *p, const uint8_t *end)
{
	size_t n = 1;

	if (end - p >= RUN_MAX && !memcmp(p, p + 1, RUN_MAX - 1))
		return RUN_MAX;
	while (p + n < end && p[n] == *p)
		n++;
	if (n < RUN_MIN)
		return 1;
	while (memchr("#$+-", (int)n + RUN_BASE, 4)) /* a reader would take these for framing */
		n--;
	return n;
}

/* With run lengths; the bytes written: no more than n. */
static size_t pack_runs(uint8_t *out, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;
	uint8_t *o = out;

	while (p < end) {
		size_t run;

		if (end - p >= WIDE + 3) {
			size_t plain = before_run(p);

			memcpy(o, p, WIDE);
			o += plain;
			p += plain;
			if (plain == WIDE)
				continue;
		}
		run = run_length(p, end);
		*o++ = *p;
		if (run > 1) {
			*o++ = '*';
			*o++ = (uint8_t)(run + RUN_BASE);
		}
		p += run;
	}
	return (size_t)(o - out);
}

size_t gdb_frame(const struct gdb_reply *r, uint8_t out[GDB_FRAME_MAX])
{
	size_t n = r->len;

	out[0] = '$';
	if (r->binary)
		memcpy(out + 1, r->bytes, n);
	else
		n = pack_runs(out + 1, r->bytes, n);
	out[n + 1] = '#';
	memcpy(out + n + 2, two_digits + 2 * checksum(out + 1, n), 2);
	return n + 4;
}
