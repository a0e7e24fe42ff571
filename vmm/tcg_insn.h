/* SPDX-License-Identifier: ISC */
/*
 * How long an x86-64 instruction is, and whether the software CPU has to step in when it runs.
 * 64-bit mode only. Pure. It agrees with Unicorn 2.0.1 on lengths, also where processors differ
 * (a branch with an operand-size prefix has a 16-bit displacement, as on AMD).
 */
#ifndef TCG_INSN_H
#define TCG_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TCG_INSN_MAX = 15, TCG_INSN_LOCK = 0xf0 };

enum tcg_insn_kind {
	TCG_PLAIN,
	/* Wants to be watched while it runs, nothing more. */
	TCG_REPEAT,   /* a string instruction that comes back to itself */
	TCG_SHADOW,   /* sti, or a load of SS: no interrupt after it */
	TCG_SOFT_INT, /* int n, int3: the exception's RIP is the next instruction */
	TCG_CALL,     /* ends a block and writes memory */
	TCG_PUSHF,
	TCG_POPF,
	TCG_IRET,
	/* From here on the instruction is hooked. */
	TCG_HOOKED,
	TCG_OUT = TCG_HOOKED,
	TCG_IN,
	TCG_STRING_IO,
	TCG_RDTSC,
	TCG_RDTSCP,
	/* From here on it is executed by hand. */
	TCG_BY_HAND,
	TCG_HLT = TCG_BY_HAND,
	TCG_MOV_CR,
	TCG_MOV_DR,
	TCG_RDMSR,
	TCG_WRMSR,
	TCG_INVLPG,
	TCG_SYSCALL,
	/* From here on only where CPUID announces it; Unicorn knows them not, or wrongly. */
	TCG_EXTRA,
	TCG_XGETBV = TCG_EXTRA,
	TCG_XSETBV,
	TCG_XSAVE, /* xsave, xsaveopt, xsavec */
	TCG_XRSTOR,
	TCG_RDRAND,
	TCG_POPCNT,
	TCG_MOVBE,
	TCG_AVX, /* what has a VEX prefix and is not BMI */
	TCG_INSN_KIND_COUNT,
};

struct tcg_insn {
	uint8_t len;
	uint8_t kind;   /* enum tcg_insn_kind */
	uint8_t opcode; /* the last opcode byte */
	uint8_t modrm;
	uint8_t modrm_at; /* offset of the ModRM byte, 0 when there is none */
	uint8_t rex;
	uint8_t imm; /* first byte of the immediate; port or vector */
	bool opsize, addrsize, lock;
	uint8_t rep;     /* f2, f3 or 0 */
	uint8_t segment; /* the override prefix, 0 when none */
};

/* A compare of memory that would have a LOCK prefix, which is no instruction either. */
bool tcg_insn_locks_compare(const uint8_t *p, size_t n);

/* False: not an instruction, or not whole in n bytes. */
bool tcg_insn_decode(const uint8_t *p, size_t n, struct tcg_insn *insn);

#endif
