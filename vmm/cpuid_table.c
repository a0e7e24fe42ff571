// SPDX-License-Identifier: ISC
/* Tables of what CPUID says: looked up, compared, their features by name (SDM 2A, CPUID). */
#include "cpuid_table.h"

#include <stdio.h>

struct cpuid_entry cpuid_table_find(
	const struct cpuid_entry *table, size_t n, uint32_t leaf, uint32_t subleaf)
{
	for (size_t i = 0; i < n; i++)
		if (table[i].leaf == leaf && (!table[i].has_subleaf || table[i].subleaf == subleaf))
			return table[i];
	return (struct cpuid_entry){ .leaf = leaf, .subleaf = subleaf };
}

/* Less what follows the CPU's state. */
static struct cpuid_entry find_fixed(
	const struct cpuid_entry *table, size_t n, uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_entry e = cpuid_table_find(table, n, leaf, subleaf);

	if (leaf == 1) {
		e.ecx &= ~(uint32_t)CPUID_ECX_OSXSAVE;
		e.edx &= ~(uint32_t)CPUID_EDX_APIC;
	} else if (leaf == CPUID_LEAF_XSAVE && subleaf < 2) {
		e.ebx = 0;
	}
	return e;
}

/* Is all that a says what b says, too? */
static bool agrees(const struct cpuid_entry *a, size_t n_a, const struct cpuid_entry *b, size_t n_b)
{
	for (size_t i = 0; i < n_a; i++) {
		struct cpuid_entry x = find_fixed(a, n_a, a[i].leaf, a[i].subleaf);
		struct cpuid_entry y = find_fixed(b, n_b, a[i].leaf, a[i].subleaf);

		if (x.eax != y.eax || x.ebx != y.ebx || x.ecx != y.ecx || x.edx != y.edx)
			return false;
	}
	return true;
}

bool cpuid_table_same(
	const struct cpuid_entry *a, size_t n_a, const struct cpuid_entry *b, size_t n_b)
{
	return agrees(a, n_a, b, n_b) && agrees(b, n_b, a, n_a);
}

enum reg { EAX, EBX, ECX, EDX };

/* As Linux calls them; where there is no name, it is not a feature for guests, or not yet one. */
static const struct feature_row {
	uint32_t leaf, subleaf;
	enum reg reg;
	const char *names[32];
} feature_rows[] = {
	{ 1, 0, ECX,
		{ "sse3", "pclmulqdq", "dtes64", "monitor", "ds_cpl", "vmx", "smx", "est", "tm2",
			"ssse3", "cid", "sdbg", "fma", "cx16", "xtpr", "pdcm", NULL, "pcid", "dca",
			"sse4_1", "sse4_2", "x2apic", "movbe", "popcnt", "tsc_deadline", "aes",
			"xsave", NULL, "avx", "f16c", "rdrand", "hypervisor" } },
	{ 1, 0, EDX,
		{ "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", NULL, NULL, "sep",
			"mtrr", "pge", "mca", "cmov", "pat", "pse36", "pn", "clflush", NULL, "ds",
			"acpi", "mmx", "fxsr", "sse", "sse2", "ss", "ht", "tm", "ia64", "pbe" } },
	{ 7, 0, EBX,
		{ "fsgsbase", "tsc_adjust", "sgx", "bmi1", "hle", "avx2", NULL, "smep", "bmi2",
			"erms", "invpcid", "rtm", NULL, NULL, "mpx", NULL, "avx512f", "avx512dq",
			"rdseed", "adx", "smap", "avx512ifma", NULL, "clflushopt", "clwb", "pt",
			"avx512pf", "avx512er", "avx512cd", "sha_ni", "avx512bw", "avx512vl" } },
	{ CPUID_LEAF_XSAVE, 1, EAX, { "xsaveopt", "xsavec", "xgetbv1", "xsaves" } },
	{ 0x80000001, 0, ECX,
		{ "lahf_lm", [5] = "lzcnt", "sse4a", "misalignsse",
			"3dnowprefetch", [11] = "xop", [16] = "fma4", [21] = "tbm" } },
	{ 0x80000001, 0, EDX,
		{ [11] = "syscall", [20] = "nx", [26] = "pdpe1gb", "rdtscp", [29] = "lm" } },
};

static uint32_t reg_of(const struct cpuid_entry *e, enum reg reg)
{
	return reg == EAX ? e->eax : reg == EBX ? e->ebx : reg == ECX ? e->ecx : e->edx;
}

unsigned cpuid_table_added(const struct cpuid_entry *a, size_t n_a, const struct cpuid_entry *b,
	size_t n_b, char *buf, size_t size)
{
	unsigned count = 0;
	size_t used = 0;

	buf[0] = 0;
	for (size_t i = 0; i < sizeof(feature_rows) / sizeof(feature_rows[0]); i++) {
		const struct feature_row *row = &feature_rows[i];
		struct cpuid_entry x = find_fixed(a, n_a, row->leaf, row->subleaf);
		struct cpuid_entry y = find_fixed(b, n_b, row->leaf, row->subleaf);
		uint32_t added = reg_of(&y, row->reg) & ~reg_of(&x, row->reg);

		for (unsigned bit = 0; bit < 32; bit++) {
			if (!(added >> bit & 1) || !row->names[bit])
				continue;
			count++;
			if (used < size)
				used += (size_t)snprintf(
					buf + used, size - used, " %s", row->names[bit]);
		}
	}
	return count;
}
