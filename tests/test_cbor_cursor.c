// SPDX-License-Identifier: ISC
/* CBOR an item at a time: the vectors of RFC 8949 appendix A, what is cut, and what claims too much. */
#include "cbor_cursor.h"

#include <errno.h>

#include "unit.h"

#define BYTES(text)                                                                                \
	{                                                                                          \
		text, sizeof(text) - 1                                                             \
	}

struct input {
	const char *bytes;
	size_t len;
};

static struct cbor_cursor cursor_over(struct input in)
{
	const uint8_t *bytes = (const uint8_t *)in.bytes;

	return (struct cbor_cursor){ bytes, bytes + in.len };
}

/* A letter and a number for each item, the bytes of strings; "!" for -EBADMSG, "?" for another error. */
static void describe(struct input in, char *out, size_t size)
{
	struct cbor_cursor c = cursor_over(in);
	struct cbor_item item;
	int r = 0;

	*out = 0;
	while (c.at < c.end && !r) {
		size_t n = strlen(out);

		r = cbor_cursor_next(&c, &item);
		if (r)
			snprintf(out + n, size - n, r == -EBADMSG ? "!" : "?");
		else if (item.kind == CBOR_KIND_BYTES || item.kind == CBOR_KIND_TEXT)
			snprintf(out + n, size - n, "%c'%.*s' ", "unbtamTfo!"[item.kind],
				(int)item.len, (const char *)item.bytes);
		else
			snprintf(out + n, size - n, "%c%llu ", "unbtamTfo!"[item.kind],
				(unsigned long long)item.value);
	}
}

static void tells_every_kind(void)
{
	static const struct {
		struct input in;
		const char *items;
	} rows[] = {
		{ BYTES("\x00\x17\x18\x18\x18\xff"), "u0 u23 u24 u255 " },
		{ BYTES("\x19\x03\xe8\x1a\x00\x0f\x42\x40"), "u1000 u1000000 " },
		{ BYTES("\x1b\xff\xff\xff\xff\xff\xff\xff\xff"), "u18446744073709551615 " },
		{ BYTES("\x20\x37\x38\x63\x39\x03\xe7"), "n0 n23 n99 n999 " },
		{ BYTES("\x3a\x00\x0f\x42\x3f"), "n999999 " },
		{ BYTES("\x3b\x7f\xff\xff\xff\xff\xff\xff\xff"), "n9223372036854775807 " },
		{ BYTES("\x40\x43\x61\x62\x63\x58\x01x"), "b'' b'abc' b'x' " },
		{ BYTES("\x60\x62\xc3\xbc\x78\x01x"), "t'' t'\xc3\xbc' t'x' " },
		{ BYTES("\x80\x83\x01\x02\x03"), "a0 a3 u1 u2 u3 " },
		{ BYTES("\x98\x02\x01\x02"), "a2 u1 u2 " },
		{ BYTES("\xa0\xa1\x61k\x05"), "m0 m1 t'k' u5 " },
		{ BYTES("\xb8\x01\x01\x02"), "m1 u1 u2 " },
		{ BYTES("\xc1\x1a\x51\x4b\x67\xb0\xd8\x20\x00"), "T1 u1363896240 T32 u0 " },
		{ BYTES("\xf4\xf5\xf6\xf7"), "f0 f1 o0 o0 " },
		{ BYTES("\xf9\x3c\x00\xfa\x47\xc3\x50\x00"), "o0 o0 " },
		{ BYTES("\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a\x07"), "o0 u7 " },
	};
	char items[200];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		describe(rows[i].in, items, sizeof(items));
		CU_ASSERT_STRING_EQUAL(items, rows[i].items);
	}
}

static void refuses_what_is_cut_or_has_no_length(void)
{
	static const struct {
		struct input in;
		const char *items;
	} rows[] = {
		{ BYTES("\x18"), "!" },
		{ BYTES("\x19\x03"), "!" },
		{ BYTES("\x01\x1b\xff\xff\xff\xff\xff\xff\xff"), "u1 !" },
		{ BYTES("\x43\x61\x62"), "!" },
		{ BYTES("\x7b\xff\xff\xff\xff\xff\xff\xff\xff"), "!" },
		{ BYTES("\x1c"), "!" }, /* reserved */
		{ BYTES("\xfc"), "!" },
		{ BYTES("\x5f\x41x\xff"), "!" },
		{ BYTES("\x7f\x61x\xff"), "!" },
		{ BYTES("\x9f\xff"), "!" },
		{ BYTES("\xbf\xff"), "!" },
		{ BYTES("\x05\xff"), "u5 !" },
	};
	char items[200];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		describe(rows[i].in, items, sizeof(items));
		CU_ASSERT_STRING_EQUAL(items, rows[i].items);
	}
}

static void no_more_items_than_bytes(void)
{
	static const struct {
		struct input in;
		const char *items;
	} rows[] = {
		{ BYTES("\x82\x01"), "!" },
		{ BYTES("\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "!" },
		{ BYTES("\xa1"), "!" },
		{ BYTES("\xa1\x01"), "!" },
		{ BYTES("\xa2\x01\x02\x03"), "!" },
		{ BYTES("\xa2\x01\x02\x03\x04"), "m2 u1 u2 u3 u4 " },
		{ BYTES("\xbb\x80\x00\x00\x00\x00\x00\x00\x00\x01\x02"), "!" },
		{ BYTES("\x18\x64\x38\x64\xd8\x64\x00"), "u100 n100 T100 u0 " },
	};
	char items[200];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		describe(rows[i].in, items, sizeof(items));
		CU_ASSERT_STRING_EQUAL(items, rows[i].items);
	}
}

static void skips_one_item_and_all_in_it(void)
{
	static const struct {
		struct input in;
		int r;
		ptrdiff_t left; /* when r is 0 */
	} rows[] = {
		{ BYTES("\x01\x02"), 0, 1 },
		{ BYTES("\x42\x61\x62\x02\x03"), 0, 2 },
		{ BYTES("\x80\x02"), 0, 1 },
		{ BYTES("\x82\x01\x02\x03"), 0, 1 },
		{ BYTES("\x82\x82\x01\x02\x03\x04"), 0, 1 },
		{ BYTES("\xa0\x02"), 0, 1 },
		{ BYTES("\xa2\x01\x02\x03\x04\x05"), 0, 1 },
		{ BYTES("\xa1\x01\xa1\x02\x80\x05\x06"), 0, 2 },
		{ BYTES("\xc1\x01\x02"), 0, 1 },
		{ BYTES("\xc1\xc2\x81\x01\x02"), 0, 1 },
		{ BYTES(""), -EBADMSG, 0 },
		{ BYTES("\x82\x01\x18"), -EBADMSG, 0 },
		{ BYTES("\xc1"), -EBADMSG, 0 },
		{ BYTES("\x82\x81\x01"), -EBADMSG, 0 },
		{ BYTES("\x9f\x01\xff"), -EBADMSG, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cbor_cursor c = cursor_over(rows[i].in);

		CU_ASSERT_EQUAL(cbor_cursor_skip(&c), rows[i].r);
		if (!rows[i].r)
			CU_ASSERT_EQUAL(c.end - c.at, rows[i].left);
	}
}

static const struct unit_case cases[] = {
	{ "tells_every_kind", tells_every_kind },
	{ "refuses_what_is_cut_or_has_no_length", refuses_what_is_cut_or_has_no_length },
	{ "no_more_items_than_bytes", no_more_items_than_bytes },
	{ "skips_one_item_and_all_in_it", skips_one_item_and_all_in_it },
};

UNIT_MAIN("cbor_cursor", cases)
