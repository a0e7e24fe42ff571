// SPDX-License-Identifier: ISC
/* pcapng taken apart: which blocks are taken, what is torn, and what is damaged. */
#include "pcapng.h"

#include <errno.h>
#include <stdlib.h>

#include "unit.h"

enum { ROOM = 1 << 20, PACKET = 6, INTERFACE = 1, OTHER = 5 };

static struct {
	uint8_t p[ROOM];
	size_t len;
} file;

static void put(const void *p, size_t len)
{
	CU_ASSERT_FATAL(len <= ROOM - file.len);
	if (len)
		memcpy(file.p + file.len, p, len);
	file.len += len;
}

static void put32(uint32_t v)
{
	put(&v, sizeof(v));
}

static void put_block(uint32_t type, const void *body, uint32_t len)
{
	put32(type), put32(len + 12);
	put(body, len);
	put32(len + 12);
}

#define SECTION "\x4d\x3c\x2b\x1a\1\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"
#define USER0   "\x93\0\0\0\0\0\0\0"
#define NANO    "\x09\0\1\0\x09\0\0\0"

static void put_start(void)
{
	file.len = 0;
	put_block(0x0a0d0d0a, SECTION, 16);
	put_block(INTERFACE, USER0 NANO, 16);
}

/* A packet whose words are as they are given; data is of len bytes, a multiple of 4. */
static void put_packet_as(
	uint32_t interface, uint32_t caplen, uint32_t whole, const char *data, uint32_t len)
{
	put32(PACKET), put32(len + 32);
	put32(interface), put32(1), put32(2), put32(caplen), put32(whole);
	put(data, len);
	put32(len + 32);
}

static void put_packet(const char *data)
{
	uint32_t len = (uint32_t)strlen(data);

	put_packet_as(0, len, len, data, len);
}

static struct pcapng reader;
static struct pcapng_packet packet;

/* The data of the packets in the first len bytes, one after another; then "." at the end, "~" when it is torn, or why not. */
static const char *read_first(size_t len)
{
	static char out[400];
	struct input in;
	int r;

	input_memory(&in, file.p, len);
	reader = (struct pcapng){ .in = &in };
	*out = 0;
	while ((r = pcapng_next(&reader, &packet)) > 0)
		snprintf(out + strlen(out), sizeof(out) - strlen(out), "%.*s|", (int)packet.len,
			(const char *)packet.data);
	snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s",
		!r ? (reader.torn ? "~" : ".") : (r == -EBADMSG ? reader.why : "another error"));
	return out;
}

static const char *read_file(void)
{
	return read_first(file.len);
}

static void takes_packets_and_passes_over_the_rest(void)
{
	put_start();
	put_packet("abcd");
	put_block(OTHER, "1234", 4);
	put_block(OTHER, "", 0);
	put_packet_as(0, 3, 3, "efg\0", 4);
	put_packet_as(0, 0, 0, "", 0);
	put_block(0x80000001, "12345678", 8);
	CU_ASSERT_STRING_EQUAL(read_file(), "abcd|efg||.");
	CU_ASSERT_EQUAL(packet.time_ns, 1ull << 32 | 2);
	CU_ASSERT_EQUAL(packet.len, 0);
	CU_ASSERT_EQUAL(packet.offset, 28 + 28 + 36 + 16 + 12 + 36);
	CU_ASSERT_EQUAL(reader.offset, file.len);
}

static void wants_nanoseconds(void)
{
	static const struct {
		const char *options;
		uint32_t len;
		bool good;
	} rows[] = {
		{ NANO, 8, true },
		{ NANO "\0\0\0\0", 12, true },
		{ "", 0, false },
		{ "\0\0\0\0" NANO, 12, false },
		{ "\x09\0\1\0\x06\0\0\0", 8, false },
		{ "\x09\0\2\0\x09\0\0\0", 8, false },
		{ "\x09\0\1\0", 4, false },
		{ "\x02\0\1\0i\0\0\0" NANO, 16, true },
		{ "\x02\0\2\0if\0\0" NANO, 16, true },
		{ "\x02\0\4\0if00" NANO, 16, true },
		{ "\x02\0\5\0if001\0\0\0" NANO, 20, true },
		{ "\x02\0\0\0" NANO, 12, true },
		{ "\x02\0\7\0" NANO, 12, false }, /* the resolution is in the name */
		{ "\x02\0\xff\xff" NANO, 12, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char body[64] = USER0;

		file.len = 0;
		put_block(0x0a0d0d0a, SECTION, 16);
		memcpy(body + 8, rows[i].options, rows[i].len);
		put_block(INTERFACE, body, 8 + rows[i].len);
		put_packet("data");
		CU_ASSERT_STRING_EQUAL(
			read_file(), rows[i].good ? "data|." : "timestamps are not in nanoseconds");
	}
}

static void refuses_what_contradicts_itself(void)
{
	static const struct {
		uint32_t interface, caplen, whole, len;
		const char *why;
	} rows[] = {
		{ 5, 4, 4, 4, "a packet of interface 5" },
		{ 0, 5, 5, 4, "a packet of 5 bytes in a block of 36" },
		{ 0, 4, 9, 4, "a packet cut from 9 bytes to 4" },
		{ 0, 0xffffffff, 0xffffffff, 4, "a packet of 4294967295 bytes in a block of 36" },
		{ 0, 262145, 262145, 262148, "a packet of 262145 bytes in a block of 262180" },
	};
	static char data[PCAPNG_PACKET_MAX + 4];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put_start();
		put_packet_as(rows[i].interface, rows[i].caplen, rows[i].whole, data, rows[i].len);
		CU_ASSERT_STRING_EQUAL(read_file(), rows[i].why);
	}
	put_start();
	put_packet_as(0, PCAPNG_PACKET_MAX, PCAPNG_PACKET_MAX, data, PCAPNG_PACKET_MAX);
	CU_ASSERT_STRING_EQUAL(read_file(), "|.");
	CU_ASSERT_EQUAL(packet.len, PCAPNG_PACKET_MAX);
}

static void refuses_other_files(void)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *why;
	} rows[] = {
		{ "", 0, "." },
		{ "x", 1, "~" },
		{ "hello, world\n", 13, "not a recording: it does not begin as pcapng does" },
		{ "\x0a\x0d\x0d\x0a\0\0\0\x1c\x1a\x2b\x3c\x4d", 12,
			"big endian; recordings are little endian" },
		{ "\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1b", 12,
			"a pcapng section without its byte order" },
		{ "\x0a\x0d\x0d\x0a\x1b\0\0\0\x4d\x3c\x2b\x1a", 12, "a block of 27 bytes" },
		{ "\x0a\x0d\x0d\x0a\x08\0\0\0\x4d\x3c\x2b\x1a", 12, "a block of 8 bytes" },
		{ "\x0a\x0d\x0d\x0a\x04\0\0\1\x4d\x3c\x2b\x1a", 12, "a block of 16777220 bytes" },
		{ "\x0a\x0d\x0d\x0a\x18\0\0\0\x4d\x3c\x2b\x1a", 12,
			"a block of type 168627466 with 24 bytes" },
		{ "\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\2\0\0\0........\x1c\0\0\0", 28,
			"pcapng version 2; only 1 is known" },
		{ "\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\1\0\0\0........\x20\0\0\0", 28,
			"a block that says 28 bytes at its start and 32 at its end" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		file.len = 0;
		put(rows[i].bytes, rows[i].len);
		CU_ASSERT_STRING_EQUAL(read_file(), rows[i].why);
	}
}

static void there_is_one_section_and_one_interface(void)
{
	put_start();
	put_block(0x0a0d0d0a, SECTION, 16);
	CU_ASSERT_STRING_EQUAL(read_file(), "a second section");
	put_start();
	put_block(INTERFACE, USER0 NANO, 16);
	CU_ASSERT_STRING_EQUAL(read_file(), "a second interface");
	file.len = 0;
	put_block(0x0a0d0d0a, SECTION, 16);
	put_block(INTERFACE, "\1\0\0\0\0\0\0\0" NANO, 16);
	CU_ASSERT_STRING_EQUAL(read_file(), "link type 1, not a recording's 147");
	file.len = 0;
	put_block(0x0a0d0d0a, SECTION, 16);
	put_packet("data");
	CU_ASSERT_STRING_EQUAL(read_file(), "a packet before any interface");
}

static void wherever_it_is_cut_it_is_torn(void)
{
	size_t start, first, other;

	put_start();
	start = file.len;
	put_packet("abcd");
	first = file.len;
	put_block(OTHER, "12345678", 8);
	other = file.len;
	put_packet("efgh");
	for (size_t len = start; len <= file.len; len++) {
		const char *text = read_first(len);
		bool whole = len == start || len == first || len == other || len == file.len;

		CU_ASSERT_STRING_EQUAL(text, len == file.len ? "abcd|efgh|."
					     : len >= first  ? (whole ? "abcd|." : "abcd|~")
							     : (whole ? "." : "~"));
	}
}

/* The length of a block is changed to lead behind the end; what follows it tells damage from a tear. */
static void whole_blocks_behind_a_torn_one_are_damage(void)
{
	static const struct {
		uint32_t type;
		const char *behind[3];
		uint32_t cut; /* bytes less at the end */
		bool damage;
	} rows[] = {
		{ OTHER, { "abcd" }, 0, true },
		{ OTHER, { "" }, 0, true },
		{ OTHER, { "", "abcdefgh" }, 0, true },
		{ OTHER, { "abcd", "", "ab12" }, 0, true },
		{ OTHER, { NULL }, 0, false },
		{ OTHER, { "abcd" }, 4, false },
		{ OTHER, { "", "abcdefgh" }, 1, false },
		{ PACKET, { "abcd" }, 0, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t claim = 4000;
		size_t at;

		put_start();
		at = file.len;
		if (rows[i].type == PACKET)
			put_packet("1234");
		else
			put_block(rows[i].type, "", 0);
		memcpy(file.p + at + 4, &claim, sizeof(claim));
		for (size_t k = 0; k < 3 && rows[i].behind[k]; k++)
			put_packet(rows[i].behind[k]);
		CU_ASSERT_STRING_EQUAL(read_first(file.len - rows[i].cut),
			rows[i].damage
				? "damaged: a block of 4000 bytes, with whole ones behind its start"
				: "~");
	}
}

/* Behind the torn block a packet, and behind that what is no packet: it must be whole blocks, too. */
static void blocks_behind_a_packet_tell_as_well(void)
{
#define EMPTY "\5\0\0\0\x0c\0\0\0\x0c\0\0\0"
	static const struct {
		const char *tail;
		uint32_t len;
		bool damage;
	} rows[] = {
		{ EMPTY, 12, true },
		{ EMPTY EMPTY, 24, true },
		{ EMPTY "\5\0\0\0\x10\0\0\0abcd\x10\0\0\0", 28, true },
		{ EMPTY "1234", 16, false },
		{ "\5\0\0\0\x0c\0\0\0\x0d\0\0\0", 12, false },
		{ "\5\0\0\0\x0e\0\0\0ab\x0e\0\0\0", 14, false },
		{ "\5\0\0\0\x08\0\0\0" EMPTY, 20, false },
		{ "\5\0\0\0\x10\0\0\0\x10\0\0\0", 12, false },
		{ "\5\0\0\0\0\0\0\0\0\0\0\0", 12, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t claim = 4000;
		size_t at;

		put_start();
		at = file.len;
		put_block(OTHER, "", 0);
		memcpy(file.p + at + 4, &claim, sizeof(claim));
		put_packet("");
		put(rows[i].tail, rows[i].len);
		CU_ASSERT_STRING_EQUAL(read_file(),
			rows[i].damage
				? "damaged: a block of 4000 bytes, with whole ones behind its start"
				: "~");
	}
#undef EMPTY
}

static void a_block_says_its_length_twice(void)
{
	uint32_t wrong = 32;

	put_start();
	put_packet("abcd");
	memcpy(file.p + file.len - 4, &wrong, sizeof(wrong));
	CU_ASSERT_STRING_EQUAL(
		read_file(), "a block that says 36 bytes at its start and 32 at its end");
	put_start();
	put_block(OTHER, "12345678", 8);
	memcpy(file.p + file.len - 4, &wrong, sizeof(wrong));
	CU_ASSERT_STRING_EQUAL(
		read_file(), "a block that says 20 bytes at its start and 32 at its end");
}

static const struct unit_case cases[] = {
	{ "takes_packets_and_passes_over_the_rest", takes_packets_and_passes_over_the_rest },
	{ "wants_nanoseconds", wants_nanoseconds },
	{ "refuses_what_contradicts_itself", refuses_what_contradicts_itself },
	{ "refuses_other_files", refuses_other_files },
	{ "there_is_one_section_and_one_interface", there_is_one_section_and_one_interface },
	{ "wherever_it_is_cut_it_is_torn", wherever_it_is_cut_it_is_torn },
	{ "whole_blocks_behind_a_torn_one_are_damage", whole_blocks_behind_a_torn_one_are_damage },
	{ "blocks_behind_a_packet_tell_as_well", blocks_behind_a_packet_tell_as_well },
	{ "a_block_says_its_length_twice", a_block_says_its_length_twice },
};

UNIT_MAIN("pcapng", cases)
