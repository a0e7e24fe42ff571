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

static const struct unit_case cases[] = {
	{ "quotes_as_strace_does", quotes_as_strace_does },
	{ "every_byte_becomes_printable", every_byte_becomes_printable },
	{ "stops_before_the_buffer_ends", stops_before_the_buffer_ends },
};

UNIT_MAIN("escape", cases)
