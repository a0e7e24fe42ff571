// SPDX-License-Identifier: ISC
/* Packets of gdb's protocol: what comes in however it is cut, and what goes out as a reader takes it. */
#include "gdb_packet.h"

#include <stdlib.h>

#include "gdb_reader.h"
#include "unit.h"

/* Items as they come: <payload>, + - ! (interrupt) ? (corrupt); the stream goes in by parts of so many bytes. */
static void decode(const char *stream, size_t len, size_t part, bool no_ack, char *out, size_t size)
{
	struct gdb_decoder *d = calloc(1, sizeof(*d));
	FILE *f = fmemopen(out, size, "w");

	d->no_ack = no_ack;
	for (size_t at = 0, n; at < len; at += n) {
		const uint8_t *bytes = (const uint8_t *)stream + at;

		n = len - at < part ? len - at : part;
		for (size_t left = n; left;) {
			enum gdb_item item = gdb_decode(d, &bytes, &left);

			if (item == GDB_PACKET)
				fprintf(f, "<%s>", (char *)d->payload);
			else if (item != GDB_NOTHING)
				fputc("  +-!?"[item], f);
		}
	}
	fputc(0, f);
	fclose(f);
	free(d);
}

static const struct stream {
	const char *bytes, *items;
} streams[] = {
	{ "", "" },
	{ "+$g#67", "+<g>" },
	{ "+$g#67+$?#3f-", "+<g>+<?>-" },
	{ "$#00", "<>" },
	{ "\003", "!" },
	{ "$m\003#70\003", "<m\003>!" },
	{ "$vCont;c#a8\003", "<vCont;c>!" },
	{ "noise$g#67noise", "<g>" },
	{ "$g#68$g#67", "?<g>" },
	{ "$g#6x$g#67", "?<g>" },
	{ "$g#x7$g#67", "?<g>" },
	{ "$g#$g#67", "?<g>" },
	{ "$g#6$g#67", "?<g>" },
	{ "$g##67", "?" },
	{ "$g#6\003", "?!" },
	{ "$cut$g#67", "<g>" },
	{ "$$$g#67", "<g>" },
	{ "$g#6F", "?" },
	{ "$o#6F$o#6f", "<o><o>" },
	{ "#67", "" },
	{ "$X0,1:}\003#9f", "<X0,1:}\003>" },
	{ "$}#7d", "<}>" },
	{ "++--\003+", "++--!+" },
};

static void tells_items_however_the_stream_is_cut(void)
{
	char out[200];

	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
		for (size_t part = 1; part < 8; part++) {
			const struct stream *s = &streams[i];

			decode(s->bytes, strlen(s->bytes), part, false, out, sizeof(out));
			CU_ASSERT_STRING_EQUAL(out, s->items);
			if (strcmp(out, s->items))
				printf("     %s: %s, not %s\n", s->bytes, out, s->items);
		}
}

/* Each bad byte at each place of a long packet, whole and byte by byte. */
static void long_packets_are_as_hostile_as_short_ones(void)
{
	static const char bad[] = { '$', '#', '}', '+', '\003', '\377' };
	char stream[200], whole[500], single[500];

	for (size_t k = 0; k < sizeof(bad); k++)
		for (int at = 1; at <= 100; at++) {
			int sum = 0, n;

			memset(stream, 'a', sizeof(stream));
			stream[0] = '$';
			stream[at] = bad[k];
			for (int i = bad[k] == '$' ? at + 1 : 1; i <= 100; i++)
				sum += (unsigned char)stream[i];
			n = 101 + snprintf(stream + 101, 20, "#%02x$g#67\003", sum & 0xff);
			decode(stream, (size_t)n, sizeof(stream), false, whole, sizeof(whole));
			decode(stream, (size_t)n, 1, false, single, sizeof(single));
			CU_ASSERT_STRING_EQUAL(whole, single);
			decode(stream, (size_t)n, 17, false, single, sizeof(single));
			CU_ASSERT_STRING_EQUAL(whole, single);
			n = (int)strlen(whole);
			CU_ASSERT_STRING_EQUAL(whole + n - 4, "<g>!");
			CU_ASSERT((strchr(whole, '?') != NULL) == (bad[k] == '#'));
		}
}

static void looks_at_no_checksum_without_acks(void)
{
	static const struct stream rows[] = {
		{ "$g#00", "<g>" }, { "$g#ff$?#00", "<g><?>" },
		{ "$g#zz$?#00", "?<?>" }, /* that is no packet at all */
	};
	char out[200];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		decode(rows[i].bytes, strlen(rows[i].bytes), 3, true, out, sizeof(out));
		CU_ASSERT_STRING_EQUAL(out, rows[i].items);
	}
}

static void takes_nul_bytes_as_data(void)
{
	static const char stream[] = "$a\0b#c3\0$g#67";
	char out[200];

	decode(stream, sizeof(stream) - 1, 1, false, out, sizeof(out));
	CU_ASSERT(!memcmp(out, "<a><g>", 7)); /* printed as text */
}

static enum gdb_item item_of_length(struct gdb_decoder *d, size_t len)
{
	static const uint8_t start[] = "$";
	uint8_t *body = malloc(len + 3);
	const uint8_t *p = start;
	size_t n = 1;
	enum gdb_item item;

	CU_ASSERT(gdb_decode(d, &p, &n) == GDB_NOTHING);
	memset(body, 'a', len);
	snprintf((char *)body + len, 3, "#%x", (unsigned)('a' * len & 0xff) >> 4);
	p = body;
	n = len + 2;
	CU_ASSERT(gdb_decode(d, &p, &n) == GDB_NOTHING);
	snprintf((char *)body, 3, "%x", (unsigned)('a' * len & 0xf));
	p = body;
	n = 1;
	item = gdb_decode(d, &p, &n);
	free(body);
	return item;
}

static void takes_the_size_it_announces_and_no_more(void)
{
	struct gdb_decoder *d = calloc(1, sizeof(*d));
	const uint8_t *g = (const uint8_t *)"$g#67";
	size_t n = 5;

	CU_ASSERT(item_of_length(d, GDB_PACKET_MAX) == GDB_PACKET);
	CU_ASSERT(d->len == GDB_PACKET_MAX && d->payload[d->len] == 0);
	CU_ASSERT(item_of_length(d, GDB_PACKET_MAX + 1) == GDB_CORRUPT);
	CU_ASSERT(item_of_length(d, 10 * GDB_PACKET_MAX) == GDB_CORRUPT);
	CU_ASSERT(gdb_decode(d, &g, &n) == GDB_PACKET && d->len == 1);
	free(d);
}

static struct gdb_cursor over(const char *text)
{
	return (struct gdb_cursor){ (const uint8_t *)text, (const uint8_t *)text + strlen(text) };
}

static void reads_numbers_of_64_bits(void)
{
	static const struct {
		const char *text;
		bool taken;
		uint64_t value;
		const char *rest;
	} rows[] = {
		{ "0", true, 0, "" },
		{ "10,4", true, 0x10, ",4" },
		{ "dEaDbEeF:", true, 0xdeadbeef, ":" },
		{ "0123456789abcdef", true, 0x123456789abcdef, "" },
		{ "fEDCBA9876543210", true, 0xfedcba9876543210, "" },
		{ "ffffffffffffffff", true, UINT64_MAX, "" },
		{ "0000000000000000000001g", true, 1, "g" },
		{ "10000000000000000", false, 0, "10000000000000000" },
		{ "", false, 0, "" },
		{ "x", false, 0, "x" },
		{ "-1", false, 0, "-1" },
		{ " 1", false, 0, " 1" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct gdb_cursor c = over(rows[i].text);
		uint64_t value = 0;

		CU_ASSERT(gdb_take_hex(&c, &value) == rows[i].taken);
		CU_ASSERT(value == rows[i].value);
		CU_ASSERT_STRING_EQUAL((const char *)c.at, rows[i].rest);
	}
}

static void reads_bytes_all_or_none(void)
{
	struct gdb_cursor c = over("00fF7fx");
	uint8_t b[4] = { 0 };

	CU_ASSERT(!gdb_take_bytes(&c, b, 4) && gdb_left(&c) == 7 && b[1] == 0);
	CU_ASSERT(!gdb_take_bytes(&c, b, SIZE_MAX) && gdb_left(&c) == 7);
	CU_ASSERT(gdb_take_bytes(&c, b, 3) && gdb_left(&c) == 1);
	CU_ASSERT(b[0] == 0 && b[1] == 0xff && b[2] == 0x7f);
	CU_ASSERT(!gdb_take_bytes(&c, b, 1) && gdb_take_bytes(&c, b, 0));
	c = over("00x0");
	CU_ASSERT(!gdb_take_bytes(&c, b + 1, 2) && gdb_left(&c) == 4 && b[1] == 0xff);
}

static void takes_words_and_characters(void)
{
	struct gdb_cursor c = over("vCont;c:p1.2;s"), word;

	CU_ASSERT(!gdb_take(&c, "vConts") && gdb_take(&c, "vCont") && gdb_take(&c, ""));
	CU_ASSERT(!gdb_take_char(&c, ':') && gdb_take_char(&c, ';'));
	word = gdb_take_until(&c, ";,");
	CU_ASSERT(gdb_left(&word) == 6 && !memcmp(word.at, "c:p1.2", 6));
	CU_ASSERT(gdb_take_char(&c, ';'));
	word = gdb_take_until(&c, ";");
	CU_ASSERT(gdb_left(&word) == 1 && gdb_left(&c) == 0);
	CU_ASSERT(!gdb_take_char(&c, 's') && !gdb_take_char(&c, 0) && !gdb_take(&c, "s"));
	word = gdb_take_until(&c, ";");
	CU_ASSERT(gdb_left(&word) == 0);
}

static void a_nul_stops_no_word(void)
{
	struct gdb_cursor c = { (const uint8_t *)"a\0b;", (const uint8_t *)"a\0b;" + 4 }, word;

	c.end = c.at + 4;
	word = gdb_take_until(&c, ";");
	CU_ASSERT(gdb_left(&word) == 3);
}

static uint8_t frame[GDB_FRAME_MAX];

static void makes_frames(void)
{
	static const struct {
		const char *text, *frame;
	} rows[] = {
		{ "", "$#00" },
		{ "OK", "$OK#9a" },
		{ "000", "$000#90" },
		{ "0000", "$0* #7a" },
		{ "00000", "$0*!#7b" },
		{ "000000", "$0*\"#7c" },
		{ "0000000", "$0*\"0#ac" },   /* six more would be # */
		{ "00000000", "$0*\"00#dc" }, /* seven more would be $ */
		{ "000000000", "$0*%#7f" },
		{ "1000000002", "$10*\"002#3f" },
		{ "a#b$c*d", "$a.b.c.d#14" },
	};
	struct gdb_reply *r = malloc(sizeof(*r));

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n;

		gdb_reply_begin(r);
		gdb_put(r, rows[i].text);
		n = gdb_frame(r, frame);
		CU_ASSERT(n == strlen(rows[i].frame) && !memcmp(frame, rows[i].frame, n));
		if (n != strlen(rows[i].frame) || memcmp(frame, rows[i].frame, n))
			printf("     %s: %.*s\n", rows[i].text, (int)n, (char *)frame);
	}
	free(r);
}

static void packs_runs_of_every_length_wherever_they_lie(void)
{
	struct gdb_reply *r = malloc(sizeof(*r));
	static uint8_t out[GDB_PACKET_MAX];
	bool right = true, short_enough = true;

	for (size_t run = 1; run < 310; run++)
		for (size_t before = 0; before < 20; before++) {
			size_t n;

			gdb_reply_begin(r);
			gdb_put_raw(r, "0123456789abcdefghij", before);
			gdb_printf(r, "%0*d", (int)run, 0);
			gdb_put(r, before & 1 ? "x" : "");
			n = gdb_frame(r, frame);
			right &= gdb_reader_take(frame, n, false, out, sizeof(out)) ==
					 (long)r->len &&
				 !memcmp(out, r->bytes, r->len);
			short_enough &= n <= 4 + before + 3 * (run / 98 + 1) + 4;
		}
	CU_ASSERT(right);
	CU_ASSERT(short_enough);
	free(r);
}

static void escapes_what_a_reader_would_take_for_framing(void)
{
	struct gdb_reply *r = malloc(sizeof(*r));
	static uint8_t out[GDB_PACKET_MAX];
	uint8_t all[256 + 8];
	size_t n;

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)(i < 256 ? i : '*');
	gdb_reply_begin(r);
	gdb_put(r, "b");
	CU_ASSERT(!r->binary);
	CU_ASSERT(gdb_put_escaped(r, all, sizeof(all)) == sizeof(all));
	CU_ASSERT(r->binary && !r->overflow && r->len == 1 + 256 + 4 + 2 * 8);
	n = gdb_frame(r, frame);
	CU_ASSERT(gdb_reader_take(frame, n, true, out, sizeof(out)) == 1 + (long)sizeof(all));
	CU_ASSERT(!memcmp(out + 1, all, sizeof(all)));
	free(r);
}

static void plain_bytes_are_themselves(void)
{
	static const char plain[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP####QRSTUVWX";
	struct gdb_reply *r = malloc(sizeof(*r));
	size_t hashes = (size_t)(strchr(plain, '#') - plain);

	for (size_t n = 0; n < sizeof(plain); n++) {
		size_t escapes = n < hashes ? 0 : n - hashes < 4 ? n - hashes : 4;

		gdb_reply_begin(r);
		CU_ASSERT(gdb_put_escaped(r, plain, n) == n && r->len == n + escapes);
		CU_ASSERT(!memcmp(r->bytes, plain, n < hashes ? n : hashes));
		CU_ASSERT(gdb_unescape(r->bytes, r->len) == n && !memcmp(r->bytes, plain, n));
	}
	free(r);
}

static void an_escape_at_the_end_is_nothing(void)
{
	uint8_t bytes[] = "a}\003}]}";

	CU_ASSERT(gdb_unescape(bytes, 6) == 3);
	CU_ASSERT(!memcmp(bytes, "a#}", 3));
}

static void leaves_out_what_does_not_fit(void)
{
	struct gdb_reply *r = malloc(sizeof(*r));
	uint8_t *big = calloc(1, GDB_PACKET_MAX + 1);

	gdb_reply_begin(r);
	gdb_put_raw(r, big, GDB_PACKET_MAX + 1);
	CU_ASSERT(r->overflow && r->len == 0);
	gdb_reply_begin(r);
	gdb_put_hex(r, big, GDB_PACKET_MAX / 2);
	CU_ASSERT(!r->overflow && r->len == GDB_PACKET_MAX);
	gdb_put(r, "");
	CU_ASSERT(!r->overflow);
	gdb_put_hex(r, big, 1);
	CU_ASSERT(r->overflow && r->len == GDB_PACKET_MAX);
	gdb_reply_begin(r);
	gdb_put_raw(r, big, GDB_PACKET_MAX - 3);
	gdb_put_hex(r, big, 2);
	CU_ASSERT(r->overflow && r->len == GDB_PACKET_MAX - 1);
	gdb_reply_begin(r);
	gdb_put_raw(r, big, GDB_PACKET_MAX - 3);
	gdb_printf(r, "%d", 1234);
	CU_ASSERT(r->overflow && r->len == GDB_PACKET_MAX - 3);
	gdb_reply_begin(r);
	gdb_put_raw(r, big, GDB_PACKET_MAX - 3);
	gdb_printf(r, "%d", 123);
	CU_ASSERT(!r->overflow && r->len == GDB_PACKET_MAX);
	CU_ASSERT(gdb_frame(r, frame) <= GDB_FRAME_MAX);
	gdb_reply_begin(r);
	gdb_put_raw(r, big, GDB_PACKET_MAX - 2);
	CU_ASSERT(gdb_put_escaped(r, "a#", 2) == 1);
	CU_ASSERT(!r->overflow && r->len == GDB_PACKET_MAX - 1);
	CU_ASSERT(gdb_frame(r, frame) == GDB_FRAME_MAX - 1);
	gdb_reply_begin(r);
	gdb_put_raw(r, big, GDB_PACKET_MAX - 7);
	CU_ASSERT(gdb_put_escaped(r, big, 100) == 7 && r->len == GDB_PACKET_MAX);
	free(big);
	free(r);
}

static void writes_all_digits(void)
{
	struct gdb_reply *r = malloc(sizeof(*r));
	uint8_t bytes[300], back[300];
	char digits[601];
	bool same = true;

	for (size_t n = 0; n <= sizeof(bytes); n++) {
		struct gdb_cursor c;

		for (size_t i = 0; i < n; i++) {
			bytes[i] = (uint8_t)(i * 37 + n);
			snprintf(digits + 2 * i, 3, "%02x", bytes[i]);
		}
		gdb_reply_begin(r);
		gdb_put_hex(r, bytes, n);
		same &= r->len == 2 * n && !memcmp(r->bytes, digits, r->len) && !r->overflow;
		c = (struct gdb_cursor){ r->bytes, r->bytes + r->len };
		same &= gdb_take_bytes(&c, back, n) && !memcmp(bytes, back, n) && !gdb_left(&c);
	}
	CU_ASSERT(same);
	free(r);
}

/* xorshift: the same numbers everywhere. */
static uint32_t random_next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* What gdb_frame is to make of a text, said as simply as can be. */
static size_t packed(const char *text, char *out)
{
	size_t len = 0;

	for (size_t n; *text; text += n) {
		for (n = 1; n < 98 && text[n] == *text; n++)
			;
		while (n >= 4 && strchr("#$+-", (int)n + 28))
			n--;
		n = n < 4 ? 1 : n;
		len += (size_t)sprintf(out + len, n < 4 ? "%c" : "%c*%c", *text, (int)n + 28);
	}
	return len;
}

static void packs_every_run_there_is(void)
{
	struct gdb_reply *r = malloc(sizeof(*r));
	char text[301], expected[301];
	uint32_t seed = 7;
	bool same = true;

	for (int round = 0; round < 5000; round++) {
		size_t n = random_next(&seed) % 300, len;

		for (size_t i = 0; i < n; i++)
			text[i] = i && random_next(&seed) % 8
					  ? text[i - 1]
					  : (char)('a' + random_next(&seed) % 3);
		text[n] = 0;
		gdb_reply_begin(r);
		gdb_put(r, text);
		len = gdb_frame(r, frame);
		same &= len == packed(text, expected) + 4 && !memcmp(frame + 1, expected, len - 4);
	}
	CU_ASSERT(same);
	free(r);
}

static void what_is_framed_is_decoded(void)
{
	static const uint8_t often[] = { '$', '#', '}', '*' };
	struct gdb_reply *r = malloc(sizeof(*r));
	struct gdb_decoder *d = calloc(1, sizeof(*d));
	uint32_t seed = 1;
	bool same = true;

	for (int round = 0; round < 2000; round++) {
		uint8_t data[100];
		size_t n = random_next(&seed) % sizeof(data), left;
		const uint8_t *p = frame;

		for (size_t i = 0; i < n; i++)
			data[i] = random_next(&seed) % 4 ? often[random_next(&seed) % 4]
							 : (uint8_t)random_next(&seed);
		gdb_reply_begin(r);
		gdb_put_escaped(r, data, n);
		left = gdb_frame(r, frame);
		same &= gdb_decode(d, &p, &left) == GDB_PACKET && !left;
		same &= gdb_unescape(d->payload, d->len) == n && !memcmp(d->payload, data, n);
	}
	CU_ASSERT(same);
	free(d);
	free(r);
}

static const struct unit_case cases[] = {
	{ "tells_items_however_the_stream_is_cut", tells_items_however_the_stream_is_cut },
	{ "long_packets_are_as_hostile_as_short_ones", long_packets_are_as_hostile_as_short_ones },
	{ "looks_at_no_checksum_without_acks", looks_at_no_checksum_without_acks },
	{ "takes_nul_bytes_as_data", takes_nul_bytes_as_data },
	{ "takes_the_size_it_announces_and_no_more", takes_the_size_it_announces_and_no_more },
	{ "reads_numbers_of_64_bits", reads_numbers_of_64_bits },
	{ "reads_bytes_all_or_none", reads_bytes_all_or_none },
	{ "takes_words_and_characters", takes_words_and_characters },
	{ "a_nul_stops_no_word", a_nul_stops_no_word },
	{ "makes_frames", makes_frames },
	{ "packs_runs_of_every_length_wherever_they_lie",
		packs_runs_of_every_length_wherever_they_lie },
	{ "escapes_what_a_reader_would_take_for_framing",
		escapes_what_a_reader_would_take_for_framing },
	{ "plain_bytes_are_themselves", plain_bytes_are_themselves },
	{ "an_escape_at_the_end_is_nothing", an_escape_at_the_end_is_nothing },
	{ "leaves_out_what_does_not_fit", leaves_out_what_does_not_fit },
	{ "writes_all_digits", writes_all_digits },
	{ "packs_every_run_there_is", packs_every_run_there_is },
	{ "what_is_framed_is_decoded", what_is_framed_is_decoded },
};

UNIT_MAIN("gdb_packet", cases)
