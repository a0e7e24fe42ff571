// SPDX-License-Identifier: ISC
/* Tables of what CPUID says: found, compared, and what one has more. */
#include "cpuid_table.h"

#include "unit.h"

static const struct cpuid_entry base[] = {
	{ .leaf = 1, .eax = 0x600, .ecx = 1, .edx = 0x101 },
	{ .leaf = 7, .has_subleaf = true, .ebx = 8 },
	{ .leaf = 7, .subleaf = 1, .has_subleaf = true, .eax = 2 },
};
enum { N = sizeof(base) / sizeof(base[0]) };

static void finds_a_leaf_or_zeroes(void)
{
	CU_ASSERT_EQUAL(cpuid_table_find(base, N, 1, 99).eax, 0x600); /* for all of them */
	CU_ASSERT_EQUAL(cpuid_table_find(base, N, 7, 1).eax, 2);
	CU_ASSERT_EQUAL(cpuid_table_find(base, N, 7, 2).eax, 0);
	CU_ASSERT_EQUAL(cpuid_table_find(base, N, 8, 0).eax, 0);
}

static void are_the_same_when_they_say_the_same(void)
{
	struct cpuid_entry other[N + 1] = { base[2], base[0], base[1] };

	CU_ASSERT_TRUE(cpuid_table_same(base, N, other, N));
	other[N] = (struct cpuid_entry){ .leaf = 9 }; /* zeroes are as good as nothing */
	CU_ASSERT_TRUE(cpuid_table_same(base, N, other, N + 1));
	CU_ASSERT_TRUE(cpuid_table_same(other, N + 1, base, N));
	other[N].edx = 4;
	CU_ASSERT_FALSE(cpuid_table_same(base, N, other, N + 1));
	CU_ASSERT_FALSE(cpuid_table_same(other, N + 1, base, N));
}

static void every_register_counts(void)
{
	for (size_t i = 0; i < 4; i++) {
		struct cpuid_entry other[N] = { base[0], base[1], base[2] };
		uint32_t *regs[] = { &other[0].eax, &other[1].ebx, &other[0].ecx, &other[0].edx };

		*regs[i] ^= 2;
		CU_ASSERT_FALSE(cpuid_table_same(base, N, other, N));
	}
}

static void names_what_one_has_more(void)
{
	const struct cpuid_entry more[] = {
		/* popcnt, one that has no name, sse, one that is there already */
		{ .leaf = 1, .ecx = 1 << 23 | 1 << 16 | 1, .edx = 1 << 25 | 1 << 10 },
		{ .leaf = 7, .has_subleaf = true, .ebx = 1 << 8 },
		{ .leaf = CPUID_LEAF_XSAVE, .subleaf = 1, .has_subleaf = true, .eax = 2 },
	};
	char text[100];

	CU_ASSERT_EQUAL(cpuid_table_added(base, N, more, 3, text, sizeof(text)), 4);
	CU_ASSERT_STRING_EQUAL(text, " popcnt sse bmi2 xsavec");
	CU_ASSERT_EQUAL(cpuid_table_added(base, N, more, 3, text, 10), 4);
	CU_ASSERT_STRING_EQUAL(text, " popcnt s");
	CU_ASSERT_EQUAL(cpuid_table_added(base, N, base, N, text, sizeof(text)), 0);
	CU_ASSERT_STRING_EQUAL(text, "");
}

static const struct unit_case cases[] = {
	{ "finds_a_leaf_or_zeroes", finds_a_leaf_or_zeroes },
	{ "are_the_same_when_they_say_the_same", are_the_same_when_they_say_the_same },
	{ "every_register_counts", every_register_counts },
	{ "names_what_one_has_more", names_what_one_has_more },
};

UNIT_MAIN("cpuid_table", cases)
