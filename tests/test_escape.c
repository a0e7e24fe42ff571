// SPDX-License-Identifier: ISC
/* Quoting: every byte comes out as printable ASCII, and nothing is written past the buffer. */
#include "escape.h"

#include "unit.h"

static void quotes_as_strace_does(void)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "plain text ~", "plain text ~" },
		{ "a\nb\tc\r", "a\\nb\\tc\\r" },
		{ "\\\"", "\\\\\\\"" },
		{ "caf\xc3\xa9\x7f\x01", "caf\\xc3\\xa9\\x7f\\x01" },
	};
	char out[100];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t used = 0;

		escape_bytes(out, sizeof(out), &used, rows[i].in, strlen(rows[i].in));
		CU_ASSERT_STRING_EQUAL(out, rows[i].out);
		CU_ASSERT_EQUAL(used, strlen(rows[i].out));
	}
}

static void every_byte_becomes_printable(void)
{
	char out[8];

	for (unsigned byte = 0; byte < 256; byte++) {
		size_t used = 0;
		char in = (char)byte;

		escape_bytes(out, sizeof(out), &used, &in, 1);
		CU_ASSERT(used >= 1 && used <= 4);
		for (size_t i = 0; i < used; i++)
			CU_ASSERT(out[i] >= 0x20 && out[i] < 0x7f);
	}
}

static void stops_before_the_buffer_ends(void)
{
	for (size_t size = 1; size < 16; size++) {
		char out[17];
		size_t used = 0;

		memset(out, '#', sizeof(out));
		escape_bytes(out, size, &used, "\x01\x02\x03\x04", 4);
		CU_ASSERT(used < size);
		CU_ASSERT_EQUAL(used % 4, 0);
		CU_ASSERT_EQUAL(out[used], 0);
		CU_ASSERT_EQUAL(out[size], '#');
	}
}

static void every_byte_comes_back(void)
{
	for (int quoted = 0; quoted < 2; quoted++)
		for (unsigned byte = 0; byte < 256; byte++) {
			char text[4];
			uint8_t back[4];
			size_t n = escape_byte(text, (uint8_t)byte, quoted);

			CU_ASSERT_EQUAL(unescape_bytes(back, text, n), 1);
			CU_ASSERT_EQUAL(back[0], byte);
			CU_ASSERT(byte != '"' || n == (quoted ? 2u : 1u));
		}
}

static void refuses_what_is_no_escape(void)
{
	static const struct {
		const char *text;
		ssize_t n;
	} rows[] = {
		{ "", 0 },
		{ "a\"b", 3 },
		{ "\\n\\x0aZ", 3 },
		{ "\\", -1 },
		{ "ab\\q", -3 },
		{ "\\x", -1 },
		{ "\\x1", -1 },
		{ "\\x1g", -1 },
		{ "ab\\x1g", -3 },
		{ "\\xFF", -1 },
		{ "a\\X41", -2 },
	};
	uint8_t out[16];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CU_ASSERT_EQUAL(unescape_bytes(out, rows[i].text, strlen(rows[i].text)), rows[i].n);
}

static void looks_at_nothing_behind_the_end(void)
{
	static const char text[] = "abcd\\x41";
	uint8_t out[16];

	CU_ASSERT_EQUAL(unescape_bytes(out, text, 8), 5);
	for (size_t len = 5; len < 8; len++)
		CU_ASSERT_EQUAL(unescape_bytes(out, text, len), -5);
	CU_ASSERT_EQUAL(unescape_bytes(out, "\\n", 1), -1);
}

static const struct unit_case cases[] = {
	{ "quotes_as_strace_does", quotes_as_strace_does },
	{ "every_byte_becomes_printable", every_byte_becomes_printable },
	{ "stops_before_the_buffer_ends", stops_before_the_buffer_ends },
	{ "every_byte_comes_back", every_byte_comes_back },
	{ "refuses_what_is_no_escape", refuses_what_is_no_escape },
	{ "looks_at_nothing_behind_the_end", looks_at_nothing_behind_the_end },
};

UNIT_MAIN("escape", cases)
