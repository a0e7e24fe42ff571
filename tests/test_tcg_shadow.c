// SPDX-License-Identifier: ISC
/* Page tables that say whether and not where: what was set is found, and they end. */
#include "tcg_shadow.h"

#include <errno.h>

#include "unit.h"

enum { TABLES = 8, LARGE = 2 << 20 };
#define BASE  0xff00001000ull
#define GVA   0x40000000ull
#define FAR   0xffff800000000000ull
#define NX    TCG_SHADOW_NO_EXEC
#define USER  TCG_SHADOW_USER
#define WRITE TCG_SHADOW_WRITE

static uint64_t tables[TABLES][TCG_SHADOW_ENTRIES];

static struct tcg_shadow shadow(size_t n)
{
	struct tcg_shadow s = { .tables = tables, .n_tables = n, .base = BASE };

	tcg_shadow_clear(&s);
	return s;
}

/* The flags, or -ENOENT. */
static int64_t at(const struct tcg_shadow *s, uint64_t gva)
{
	uint64_t flags = 0;
	int r = tcg_shadow_get(s, gva, &flags);

	return r ? r : (int64_t)flags;
}

static void finds_what_was_set_and_nothing_else(void)
{
	struct tcg_shadow s = shadow(TABLES);

	CU_ASSERT_EQUAL(at(&s, GVA), -ENOENT);
	CU_ASSERT_TRUE(tcg_shadow_set(&s, GVA + 0x3123, WRITE | 0x1234000, false));
	CU_ASSERT_TRUE(tcg_shadow_set(&s, FAR, USER | NX, false));
	CU_ASSERT_EQUAL(at(&s, GVA + 0x3fff), WRITE);
	CU_ASSERT_EQUAL(at(&s, GVA + 0x4000), -ENOENT);
	CU_ASSERT_EQUAL(at(&s, FAR), (int64_t)(USER | NX));
	CU_ASSERT_EQUAL(at(&s, GVA + LARGE), -ENOENT);
	CU_ASSERT_TRUE(tcg_shadow_unset(&s, GVA + 0x3000));
	CU_ASSERT_FALSE(tcg_shadow_unset(&s, GVA + 0x3000));
	CU_ASSERT_EQUAL(at(&s, GVA + 0x3000), -ENOENT);
	tcg_shadow_clear(&s);
	CU_ASSERT_EQUAL(at(&s, FAR), -ENOENT);
}

static void a_page_takes_the_place_of_a_large_one(void)
{
	struct tcg_shadow s = shadow(TABLES);

	CU_ASSERT_TRUE(tcg_shadow_set(&s, GVA + 0x5000, WRITE, true));
	CU_ASSERT_EQUAL(at(&s, GVA), WRITE);
	CU_ASSERT_EQUAL(at(&s, GVA + LARGE - 1), WRITE);
	CU_ASSERT_TRUE(tcg_shadow_set(&s, GVA + 0x5000, USER, false));
	CU_ASSERT_EQUAL(at(&s, GVA + 0x5000), USER);
	CU_ASSERT_EQUAL(at(&s, GVA), -ENOENT); /* it comes back by itself */
	CU_ASSERT_TRUE(tcg_shadow_set(&s, GVA, WRITE, true));
	CU_ASSERT_EQUAL(at(&s, GVA + 0x5000), WRITE);
	CU_ASSERT_TRUE(tcg_shadow_unset(&s, GVA + 0x7000));
	CU_ASSERT_EQUAL(at(&s, GVA), -ENOENT);
}

static void says_when_there_are_no_more_tables(void)
{
	for (size_t n = 1; n <= 4; n++) {
		struct tcg_shadow s = shadow(n);

		CU_ASSERT_EQUAL(tcg_shadow_set(&s, GVA, WRITE, false), n == 4);
		CU_ASSERT_EQUAL(at(&s, GVA), n == 4 ? WRITE : -ENOENT);
		CU_ASSERT_EQUAL(tcg_shadow_set(&s, GVA + 0x1000, WRITE, false), n == 4);
		CU_ASSERT_FALSE(tcg_shadow_set(&s, FAR, WRITE, false));
		tcg_shadow_clear(&s);
		CU_ASSERT_EQUAL(tcg_shadow_set(&s, FAR, WRITE, true), n >= 3);
	}
}

static const struct unit_case cases[] = {
	{ "finds_what_was_set_and_nothing_else", finds_what_was_set_and_nothing_else },
	{ "a_page_takes_the_place_of_a_large_one", a_page_takes_the_place_of_a_large_one },
	{ "says_when_there_are_no_more_tables", says_when_there_are_no_more_tables },
};

UNIT_MAIN("tcg_shadow", cases)
