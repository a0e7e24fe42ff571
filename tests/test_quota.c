// SPDX-License-Identifier: ISC
/* Bytes of scratch files: what is left after each change, by any number of descriptors. */
#include "quota.h"

#include "unit.h"

static struct quota q;

static void begin(uint64_t bytes)
{
	memset(&q, 0, sizeof(q));
	q.bytes_left = bytes;
}

static void gives_room_up_to_the_limit(void)
{
	static const struct {
		uint64_t offset, len, room;
	} rows[] = { { 0, 10, 10 }, { 0, 100, 100 }, { 0, 101, 100 }, { 40, 100, 60 }, { 99, 5, 1 },
		{ 100, 1, 0 }, { 1000, 1, 0 }, { UINT64_MAX, 1, 0 } };
	int file;

	begin(70);
	file = quota_open(&q, 7, 30);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CU_ASSERT_EQUAL(quota_room(&q, file, rows[i].offset, rows[i].len), rows[i].room);
}

static void only_growth_costs(void)
{
	int file;

	begin(70);
	file = quota_open(&q, 7, 30);
	quota_wrote(&q, file, 20);
	quota_wrote(&q, file, 30);
	CU_ASSERT_EQUAL(q.bytes_left, 70);
	quota_wrote(&q, file, 50);
	CU_ASSERT_EQUAL(q.bytes_left, 50);
	CU_ASSERT_EQUAL(quota_size(&q, file), 50);
}

static void a_file_is_one_however_often_it_is_open(void)
{
	int a, b, other;

	begin(100);
	a = quota_open(&q, 7, 0);
	b = quota_open(&q, 7, 0);
	other = quota_open(&q, 8, 0);
	CU_ASSERT(a == b && other != a);
	quota_wrote(&q, a, 10);
	CU_ASSERT_EQUAL(quota_size(&q, b), 10);
	CU_ASSERT(!quota_close(&q, a));
	CU_ASSERT_EQUAL(quota_size(&q, b), 10);
	CU_ASSERT(!quota_close(&q, b));
	CU_ASSERT_EQUAL(quota_open(&q, 9, 5), a); /* its slot is free again */
	CU_ASSERT_EQUAL(q.n, 2);
}

static void what_is_truncated_is_given_back(void)
{
	int file;

	begin(100);
	file = quota_open(&q, 7, 0);
	quota_wrote(&q, file, 40);
	quota_truncate(&q, 7, 40);
	CU_ASSERT(q.bytes_left == 100 && !quota_size(&q, file));
	q.bytes_left = 60;
	quota_truncate(&q, 8, 40); /* one that nobody has open */
	CU_ASSERT_EQUAL(q.bytes_left, 100);
}

static void what_an_open_file_has_taken_is_given_back(void)
{
	int files[2];

	begin(100);
	for (int i = 0; i < 2; i++) {
		files[i] = quota_open(&q, 7 + (ino_t)i, 0);
		quota_wrote(&q, files[i], 40);
	}
	for (int i = 0; i < 2; i++) {
		quota_truncate(&q, 7 + (ino_t)i, 50); /* the host says more than was written */
		CU_ASSERT(q.bytes_left == 60 + 40 * (uint64_t)i && !quota_size(&q, files[i]));
	}
}

static void what_is_unlinked_is_given_back_when_nobody_has_it_open(void)
{
	int a, b;

	begin(100);
	a = quota_open(&q, 7, 0);
	b = quota_open(&q, 7, 0);
	quota_wrote(&q, a, 40);
	CU_ASSERT(!quota_unlink(&q, 7, 40) && q.bytes_left == 60);
	CU_ASSERT(!quota_close(&q, a) && q.bytes_left == 60);
	CU_ASSERT(quota_close(&q, b) && q.bytes_left == 100);
	q.bytes_left = 90;
	CU_ASSERT(quota_unlink(&q, 7, 10) && q.bytes_left == 100);
}

static const struct unit_case cases[] = {
	{ "gives_room_up_to_the_limit", gives_room_up_to_the_limit },
	{ "only_growth_costs", only_growth_costs },
	{ "a_file_is_one_however_often_it_is_open", a_file_is_one_however_often_it_is_open },
	{ "what_is_truncated_is_given_back", what_is_truncated_is_given_back },
	{ "what_an_open_file_has_taken_is_given_back", what_an_open_file_has_taken_is_given_back },
	{ "what_is_unlinked_is_given_back_when_nobody_has_it_open",
		what_is_unlinked_is_given_back_when_nobody_has_it_open },
};

UNIT_MAIN("quota", cases)
