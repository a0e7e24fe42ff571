// SPDX-License-Identifier: ISC
/* What a field of a parameter block holds, and which calls read the console. */
#include "hcall.h"

#include "unit.h"

static void fields_are_as_wide_as_the_row_says(void)
{
	static const struct {
		struct hcall_field field;
		uint64_t expect;
	} rows[] = {
		{ { "a", 0, 1, HCALL_BYTE }, 0x81 },
		{ { "a", 0, 4, HCALL_LEN }, 0x84838281 },
		{ { "a", 0, 8, HCALL_LEN }, 0x8887868584838281 },
		{ { "a", 3, 1, HCALL_BYTE }, 0x84 },
		{ { "a", 4, 4, HCALL_POINTER }, 0x88878685 },
		{ { "a", 8, 8, HCALL_POINTER }, 0x1716151413121110 },
		{ { "a", 0, 1, HCALL_INT }, 0xffffffffffffff81 },
		{ { "a", 0, 4, HCALL_INT }, 0xffffffff84838281 },
		{ { "a", 0, 4, HCALL_FD }, 0xffffffff84838281 },
		{ { "a", 0, 8, HCALL_INT }, 0x8887868584838281 },
		{ { "a", 8, 1, HCALL_INT }, 0x10 },
		{ { "a", 8, 4, HCALL_FD }, 0x13121110 },
		{ { "a", 8, 8, HCALL_INT }, 0x1716151413121110 },
		{ { "a", 0, 4, HCALL_MODE }, 0x84838281 },
		{ { "a", 0, 4, HCALL_OPEN_FLAGS }, 0x84838281 },
		{ { "a", 0, 4, HCALL_WHENCE }, 0x84838281 },
	};
	struct hcall call = { .block = { 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x10, 0x11,
				      0x12, 0x13, 0x14, 0x15, 0x16, 0x17 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CU_ASSERT_EQUAL(hcall_field_value(&call, &rows[i].field), rows[i].expect);
}

static void knows_what_reads_the_console(void)
{
	static const struct {
		bool console_in;
		enum hcall_kind first, second, third;
		uint8_t fd;
		bool expect;
	} rows[] = {
		{ false, HCALL_FD, HCALL_DATA_OUT, HCALL_LEN, 0, true },
		{ false, HCALL_FD, HCALL_DATA_OUT, HCALL_LEN, 1, false },
		{ false, HCALL_FD, HCALL_DATA_IN, HCALL_LEN, 0, false },
		{ false, HCALL_FD, HCALL_LEN, HCALL_DATA_OUT, 0, false },
		{ false, HCALL_INT, HCALL_DATA_OUT, HCALL_LEN, 0, false },
		{ true, HCALL_DATA_OUT, HCALL_LEN, HCALL_LEN, 0, true },
		{ true, HCALL_FD, HCALL_DATA_OUT, HCALL_LEN, 1, true },
		{ true, HCALL_FD, HCALL_DATA_OUT, HCALL_LEN, 0, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct hcall_row row = { .console_in = rows[i].console_in,
			.fields = { { "a", 0, 4, rows[i].first }, { "b", 8, 8, rows[i].second },
				{ "c", 16, 8, rows[i].third } } };
		struct hcall call = { .row = &row, .block = { rows[i].fd } };

		CU_ASSERT_EQUAL(hcall_reads_console(&call), rows[i].expect);
	}
}

static const struct unit_case cases[] = {
	{ "fields_are_as_wide_as_the_row_says", fields_are_as_wide_as_the_row_says },
	{ "knows_what_reads_the_console", knows_what_reads_the_console },
};

UNIT_MAIN("hcall_fields", cases)
