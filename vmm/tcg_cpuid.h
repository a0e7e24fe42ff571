/* SPDX-License-Identifier: ISC */
/*
 * What CPUID says on the software CPU: what it executes and no more, the same on every host. Less what some KVM
 * cannot do it is what every backend says when it is asked to be plain.
 */
#ifndef TCG_CPUID_H
#define TCG_CPUID_H

#include <stdbool.h>
#include <stdint.h>

struct cpuid_entry;

struct tcg_cpuid {
	uint32_t eax, ebx, ecx, edx;
};

/* has_apic: CPUID.1:EDX.APIC, which APIC_BASE can switch off. */
struct tcg_cpuid tcg_cpuid(uint32_t leaf, uint32_t subleaf, bool has_apic, bool plain);

/* All of it, into TCG_CPUID_LEAVES entries; returns how many. */
enum { TCG_CPUID_LEAVES = 17 };
unsigned tcg_cpuid_table(struct cpuid_entry *table, bool has_apic, bool plain);

#endif
