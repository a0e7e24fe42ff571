// SPDX-License-Identifier: ISC
/*
 * CPUID of the software CPU. Frequencies (leaves 0x15, 0x16, 0x40000010) are not given: the guest
 * ABI says them, and a hypervisor's paravirtual leaves would lead guests to clocks we do not have.
 */
#include "tcg_cpuid.h"

#include <assert.h>
#include <string.h>

#include "cpuid_table.h"

enum {
	MAX_BASIC = 7,
	FAMILY_15_MODEL_107 = 0x00060fb1,
	CLFLUSH_64_ONE_CPU = 1 << 16 | 8 << 8,
	/* SSE3, SSSE3, CX16, SSE4.1, SSE4.2, AES */
	ECX_1 = 1 << 0 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 25,
	/* FPU, DE, PSE, TSC, MSR, PAE, CX8, PGE, CMOV, PAT, CLFSH, MMX, FXSR, SSE, SSE2 */
	EDX_1 = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 13 | 1 << 15 |
		1 << 16 | 1 << 19 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26,
	EDX_1_APIC = 1 << 9,
	ECX_EXTENDED = 1 << 0, /* LAHF */
	/* SYSCALL, NX, 1 GiB pages, RDTSCP, long mode */
	EDX_EXTENDED = 1 << 11 | 1 << 20 | 1 << 26 | 1 << 27 | 1 << 29,
	EDX_EXTENDED_NOT_PLAIN = 1 << 26 | 1 << 27, /* 1 GiB pages, RDTSCP */
	EDX_INVARIANT_TSC = 1 << 8,
	ADDRESS_SIZES = 48 << 8 | 40,
};
#define ECX_1_HYPERVISOR (1u << 31)
#define EXTENDED         0x80000000u
#define MAX_EXTENDED     0x80000008u
#define BRAND_FIRST      0x80000002u
#define BRAND_LAST       0x80000004u

static const struct {
	uint32_t leaf;
	struct tcg_cpuid regs;
} leaves[] = {
	{ 0, { MAX_BASIC, 0x68747541, 0x444d4163, 0x69746e65 } }, /* AuthenticAMD */
	{ 1, { FAMILY_15_MODEL_107, CLFLUSH_64_ONE_CPU, ECX_1 | ECX_1_HYPERVISOR, EDX_1 } },
	{ EXTENDED, { MAX_EXTENDED, 0x68747541, 0x444d4163, 0x69746e65 } },
	{ EXTENDED + 1, { FAMILY_15_MODEL_107, 0, ECX_EXTENDED, EDX_EXTENDED } },
	{ EXTENDED + 7, { 0, 0, 0, EDX_INVARIANT_TSC } },
	{ MAX_EXTENDED, { ADDRESS_SIZES, 0, 0, 0 } },
};

static struct tcg_cpuid brand(unsigned part)
{
	static const char text[3 * sizeof(struct tcg_cpuid)] = "belljar software CPU @ 1.00GHz";
	struct tcg_cpuid regs;

	memcpy(&regs, text + part * sizeof(regs), sizeof(regs));
	return regs;
}

struct tcg_cpuid tcg_cpuid(uint32_t leaf, uint32_t subleaf, bool has_apic, bool plain)
{
	struct tcg_cpuid regs = { 0 };

	(void)subleaf; /* leaf 7 has one, and says nothing there; leaf 4 is not there */
	if (leaf >= BRAND_FIRST && leaf <= BRAND_LAST)
		return brand(leaf - BRAND_FIRST);
	for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
		if (leaves[i].leaf == leaf)
			regs = leaves[i].regs;
	if (leaf == 1 && has_apic)
		regs.edx |= EDX_1_APIC;
	if (leaf == EXTENDED + 1 && plain)
		regs.edx &= ~(uint32_t)EDX_EXTENDED_NOT_PLAIN;
	return regs;
}

unsigned tcg_cpuid_table(struct cpuid_entry *table, bool has_apic, bool plain)
{
	static_assert(
		TCG_CPUID_LEAVES == MAX_BASIC + 1 + MAX_EXTENDED - EXTENDED + 1, "all leaves");

	for (uint32_t i = 0; i < TCG_CPUID_LEAVES; i++) {
		uint32_t leaf = i <= MAX_BASIC ? i : EXTENDED + (i - MAX_BASIC - 1);
		struct tcg_cpuid r = tcg_cpuid(leaf, 0, has_apic, plain);

		table[i] = (struct cpuid_entry){
			.leaf = leaf, .eax = r.eax, .ebx = r.ebx, .ecx = r.ecx, .edx = r.edx
		};
	}
	return TCG_CPUID_LEAVES;
}
