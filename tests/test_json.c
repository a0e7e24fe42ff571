// SPDX-License-Identifier: ISC
/* Values as JSON. */
#include <stdlib.h>

#include "json.h"
#include "unit.h"

static char *text;

static const char *bytes(const char *s, size_t len)
{
	size_t size;
	FILE *out;

	free(text);
	out = open_memstream(&text, &size);
	json_put_bytes(out, s, len);
	fclose(out);
	return text;
}

static const char *number(int64_t i, uint64_t u, bool sign)
{
	size_t size;
	FILE *out;

	free(text);
	out = open_memstream(&text, &size);
	if (sign)
		json_put_int(out, i);
	else
		json_put_uint(out, u);
	fclose(out);
	return text;
}

static void utf8_is_a_string_and_the_rest_hex(void)
{
	static const struct {
		const char *in;
		size_t len;
		const char *out;
	} table[] = {
		{ "", 0, "\"\"" },
		{ "a\"b\\c\n\t\x7f", 8, "\"a\\\"b\\\\c\\n\\u0009\\u007f\"" },
		{ "\0", 1, "\"\\u0000\"" },
		{ "caf\xc3\xa9", 5, "\"caf\xc3\xa9\"" },
		{ "\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\"" },
		{ "caf\xe9", 4, "{\"hex\":\"636166e9\"}" },
		{ "\xc3", 1, "{\"hex\":\"c3\"}" },
		{ "\xc0\x80", 2, "{\"hex\":\"c080\"}" },             /* over-long */
		{ "\xed\xa0\x80", 3, "{\"hex\":\"eda080\"}" },       /* a surrogate */
		{ "\xf4\x90\x80\x80", 4, "{\"hex\":\"f4908080\"}" }, /* above U+10FFFF */
		{ "\xe2\x82z", 3, "{\"hex\":\"e2827a\"}" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		CU_ASSERT_STRING_EQUAL(bytes(table[i].in, table[i].len), table[i].out);
}

static void numbers_beyond_a_double_are_strings(void)
{
	CU_ASSERT_STRING_EQUAL(number(0, 9007199254740992u, false), "9007199254740992");
	CU_ASSERT_STRING_EQUAL(number(0, 9007199254740993u, false), "\"9007199254740993\"");
	CU_ASSERT_STRING_EQUAL(number(0, UINT64_MAX, false), "\"18446744073709551615\"");
	CU_ASSERT_STRING_EQUAL(number(-2, 0, true), "-2");
	CU_ASSERT_STRING_EQUAL(number(INT64_MIN, 0, true), "\"-9223372036854775808\"");
	free(text);
	text = NULL;
}

static const struct unit_case cases[] = {
	{ "utf8_is_a_string_and_the_rest_hex", utf8_is_a_string_and_the_rest_hex },
	{ "numbers_beyond_a_double_are_strings", numbers_beyond_a_double_are_strings },
};

UNIT_MAIN("json", cases)
