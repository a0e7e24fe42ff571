/* SPDX-License-Identifier: ISC */
/*
 * The one portable form of an x86-64 CPU's state. Every backend saves to it and loads from it, so
 * that a state taken on kvm runs on tcg and the other way round. Plain data, host byte order.
 */
#ifndef CPU_H
#define CPU_H

#include <stdbool.h>
#include <stdint.h>

/* Hardware encoding order: SDM 2A table 2-2. */
enum cpu_gpr {
	CPU_RAX,
	CPU_RCX,
	CPU_RDX,
	CPU_RBX,
	CPU_RSP,
	CPU_RBP,
	CPU_RSI,
	CPU_RDI,
	CPU_R8,
	CPU_R9,
	CPU_R10,
	CPU_R11,
	CPU_R12,
	CPU_R13,
	CPU_R14,
	CPU_R15,
	CPU_GPR_COUNT
};

enum cpu_seg_name {
	CPU_ES,
	CPU_CS,
	CPU_SS,
	CPU_DS,
	CPU_FS,
	CPU_GS,
	CPU_LDTR,
	CPU_TR,
	CPU_SEG_COUNT
};

/* cpu_seg.attr: the VMX access-rights form, SDM 3C table 24-2. */
enum cpu_seg_attr {
	CPU_SEG_TYPE = 0xf,
	CPU_SEG_S = 1 << 4,
	CPU_SEG_DPL_SHIFT = 5,
	CPU_SEG_P = 1 << 7,
	CPU_SEG_AVL = 1 << 12,
	CPU_SEG_L = 1 << 13,
	CPU_SEG_DB = 1 << 14,
	CPU_SEG_G = 1 << 15,
	CPU_SEG_UNUSABLE = 1 << 16,
};

enum cpu_bits {
	CPU_CR0_PE = 1 << 0,
	CPU_CR0_MP = 1 << 1,
	CPU_CR0_EM = 1 << 2,
	CPU_CR0_TS = 1 << 3,
	CPU_CR0_ET = 1 << 4,
	CPU_CR0_NE = 1 << 5,
	CPU_CR0_WP = 1 << 16,
	CPU_CR4_PAE = 1 << 5,
	CPU_CR4_OSFXSR = 1 << 9,
	CPU_CR4_OSXMMEXCPT = 1 << 10,
	CPU_CR4_LA57 = 1 << 12,
	CPU_CR4_OSXSAVE = 1 << 18,
	CPU_EFER_SCE = 1 << 0,
	CPU_EFER_LME = 1 << 8,
	CPU_EFER_LMA = 1 << 10,
	CPU_EFER_NXE = 1 << 11,
	CPU_RFLAGS_FIXED = 1 << 1,
	CPU_RFLAGS_TF = 1 << 8,
	CPU_RFLAGS_IF = 1 << 9,
	CPU_RFLAGS_RF = 1 << 16
};
#define CPU_CR0_PG 0x80000000u

enum cpu_vector {
	CPU_VEC_DE = 0,
	CPU_VEC_DB = 1,
	CPU_VEC_NMI = 2,
	CPU_VEC_BP = 3,
	CPU_VEC_OF = 4,
	CPU_VEC_BR = 5,
	CPU_VEC_UD = 6,
	CPU_VEC_NM = 7,
	CPU_VEC_DF = 8,
	CPU_VEC_TS = 10,
	CPU_VEC_NP = 11,
	CPU_VEC_SS = 12,
	CPU_VEC_GP = 13,
	CPU_VEC_PF = 14,
	CPU_VEC_MF = 16,
	CPU_VEC_AC = 17,
	CPU_VEC_XM = 19
};

/* What nearly every question about a CPU needs; cheap to get on every backend. */
struct cpu_regs {
	uint64_t gpr[CPU_GPR_COUNT];
	uint64_t rip, rflags;
};

struct cpu_seg {
	uint64_t base;
	uint32_t limit, attr;
	uint16_t selector, pad[3];
};

struct cpu_table {
	uint64_t base;
	uint16_t limit, pad[3];
};

/* No holes: two states may be compared, hashed and written as bytes. */
struct cpu_state {
	struct cpu_regs regs;
	struct cpu_seg seg[CPU_SEG_COUNT];
	struct cpu_table gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer;
	uint64_t kernel_gs_base, star, lstar, cstar, sfmask;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, apic_base, tsc;
	uint64_t dr[4], dr6, dr7; /* the guest's own debug registers */
	uint64_t xcr0;
	uint8_t fx[512];      /* x87 and SSE as FXSAVE64 lays them out: SDM 1 table 10-2 */
	uint8_t ymmh[16][16]; /* upper halves of ymm0-15; zero where a backend has no AVX */
	bool halted, pad[3];  /* executed HLT, waits for an interrupt */
	struct cpu_event {    /* an exception accepted but not yet delivered */
		bool pending, has_error;
		uint8_t vector, pad;
		uint32_t error;
	} event;
	uint32_t pad2;
};

/*
 * 64-bit mode as every guest ABI here starts in it: flat segments (CS selector 8, the rest 0x10),
 * RFLAGS 2, x87 and MXCSR as after FNINIT and reset, PAT at reset, APIC at its usual place.
 * Paging (CR3, CR4, EFER's further bits) and registers are the caller's.
 */
void cpu_state_long_mode(struct cpu_state *s);

#endif
