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

static int digit_value(uint8_t ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch |= 0x20;
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
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

static void body(struct gdb_decoder *d, uint8_t ch)
{
	if (ch == '$') {
		begin_body(d);
	} else if (ch == '#') {
		d->state = FIRST_DIGIT;
	} else {
		d->sum = (uint8_t)(d->sum + ch);
		if (d->len < GDB_PACKET_MAX)
			d->payload[d->len++] = ch;
		else
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
		uint8_t ch = **bytes;

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
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
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
	if (n < 0 || (size_t)n > room(r)) {
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

void gdb_put_hex(struct gdb_reply *r, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint8_t *out = r->bytes + r->len;

	if (n > room(r) / 2) {
		r->overflow = true;
		n = room(r) / 2;
	}
	for (size_t i = 0; i < n; i++)
		memcpy(out + 2 * i, two_digits + 2 * p[i], 2);
	r->len += 2 * n;
}

static bool needs_escape(uint8_t ch)
{
	return ch == ESCAPE || ch == '#' || ch == '$' || ch == '*';
}

size_t gdb_put_escaped(struct gdb_reply *r, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	size_t i;

	r->binary = true;
	for (i = 0; i < n; i++) {
		bool escape = needs_escape(p[i]);

		if (room(r) < 1u + escape)
			break;
		if (escape)
			r->bytes[r->len++] = ESCAPE;
		r->bytes[r->len++] = escape ? p[i] ^ ESCAPE_XOR : p[i];
	}
	return i;
}

#define EACH_BYTE(x)  ((x)*0x0101010101010101u)
#define EACH_SHORT(x) ((x)*0x0001000100010001u)

static uint64_t load(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Of the eight characters at p, is one like the three behind it? Looks at eleven; may err towards yes. */
static bool run_begins(const uint8_t *p)
{
	uint64_t b = load(p + 1), c = load(p + 2);
	uint64_t differs = (load(p) ^ b) | (b ^ c) | (c ^ load(p + 3));

	return ((differs - EACH_BYTE(1)) & ~differs & EACH_BYTE(0x80)) != 0;
}

static uint8_t checksum(const uint8_t *p, size_t n)
{
	uint64_t sum = 0;

	for (; n >= 8; p += 8, n -= 8) {
		uint64_t v = load(p);

		sum += EACH_SHORT((v & EACH_SHORT(0xff)) + (v >> 8 & EACH_SHORT(0xff))) >> 48;
	}
	for (; n; n--)
		sum += *p++;
	return (uint8_t)sum;
}

/* How many characters from p on one run length stands for: 1 is none. */
static size_t run_length(const uint8_t *p, const uint8_t *end)
{
	size_t n = 1;

	while (n < RUN_MAX && p + n < end && p[n] == *p)
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

		if (end - p >= 11 && !run_begins(p)) {
			memcpy(o, p, 8);
			o += 8;
			p += 8;
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
