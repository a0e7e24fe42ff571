/* SPDX-License-Identifier: ISC */
/*
 * What CPUID says, as a table: to ask a backend for, to keep in a recording, to compare. Pure. Bits that
 * follow the CPU's state (OSXSAVE, APIC, the size of an XSAVE area) are not for a table to say.
 */
#ifndef CPUID_TABLE_H
#define CPUID_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CPUID_TABLE_MAX = 256,
	/* Of leaf 1. */
	CPUID_ECX_FMA = 1 << 12,
	CPUID_ECX_MOVBE = 1 << 22,
	CPUID_ECX_POPCNT = 1 << 23,
	CPUID_ECX_XSAVE = 1 << 26,
	CPUID_ECX_OSXSAVE = 1 << 27,
	CPUID_ECX_AVX = 1 << 28,
	CPUID_ECX_RDRAND = 1 << 30,
	CPUID_EDX_APIC = 1 << 9,
	CPUID_LEAF_XSAVE = 0xd,
};

struct cpuid_entry {
	uint32_t leaf, subleaf;
	bool has_subleaf; /* else the entry is for all of them */
	uint32_t eax, ebx, ecx, edx;
};

/* What is said of a leaf: all zero where there is no entry. */
struct cpuid_entry cpuid_table_find(
	const struct cpuid_entry *table, size_t n, uint32_t leaf, uint32_t subleaf);
/* Do both tables say the same, in whatever order and form? */
bool cpuid_table_same(
	const struct cpuid_entry *a, size_t n_a, const struct cpuid_entry *b, size_t n_b);
/* The features that b has and a has not, as " avx xsave"; returns how many there are. */
unsigned cpuid_table_added(const struct cpuid_entry *a, size_t n_a, const struct cpuid_entry *b,
	size_t n_b, char *buf, size_t size);

#endif
