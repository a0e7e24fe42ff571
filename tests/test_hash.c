// SPDX-License-Identifier: ISC
/* The hash: what must not be the same. */
#include "hash.h"

#include "unit.h"

enum { LEN = 21 };

static void every_bit_and_every_length_counts(void)
{
	uint64_t seen[LEN + 1 + 8 * LEN + 1];
	uint8_t bytes[LEN] = { 0 };
	size_t n = 0;

	for (size_t len = 0; len <= LEN; len++)
		seen[n++] = hash_bytes(0, bytes, len);
	seen[n++] = hash_bytes(3, bytes, LEN);
	for (size_t bit = 0; bit < 8 * LEN; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		seen[n++] = hash_bytes(0, bytes, LEN);
		bytes[bit / 8] = 0;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			CU_ASSERT_NOT_EQUAL(seen[i], seen[j]);
}

/* The last word is short: nothing behind it is read. */
static void only_its_bytes_count(void)
{
	uint8_t one[LEN + 1] = { 0 }, other[LEN + 1] = { 0 };

	other[LEN] = 1;
	CU_ASSERT_EQUAL(hash_bytes(7, one, LEN), hash_bytes(7, other, LEN));
	CU_ASSERT_EQUAL(hash_bytes(7, one + 1, LEN - 1), hash_bytes(7, other, LEN - 1));
}

static const struct unit_case cases[] = {
	{ "every_bit_and_every_length_counts", every_bit_and_every_length_counts },
	{ "only_its_bytes_count", only_its_bytes_count },
};

UNIT_MAIN("hash", cases)
