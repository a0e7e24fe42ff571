/* SPDX-License-Identifier: ISC */
/*
 * Registers as gdb numbers and names them: one fixed layout for life, described to it in target.xml. Pure: values live
 * in a struct cpu_state.
 */
#ifndef GDB_REGS_H
#define GDB_REGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpu_state;

enum { GDB_REG_MAX = 32 }; /* bytes of the largest one */

/* Where registers are that no CPU has: read-only. */
struct gdb_counts {
	uint64_t insn_count;      /* instructions retired; all ones: this CPU does not count */
	uint64_t hypercall_index; /* calls answered so far */
};

/* The numbers that packets name: those every gdb knows, and those of ours that are expedited. */
enum gdb_reg { GDB_RAX, GDB_RBP = 6, GDB_RSP = 7, GDB_RIP = 16, GDB_EFLAGS = 17 };

/* Registers of target.xml; with AVX there are ymm0h-ymm15h as well. */
size_t gdb_regs_count(bool avx);
/* Bytes of all of them, as g sends. */
size_t gdb_regs_size(bool avx);
/* Bytes of register n; 0: there is no such. */
size_t gdb_reg_size(bool avx, unsigned n);
const char *gdb_reg_name(unsigned n);
/* The number of a name; -1. */
int gdb_reg_find(bool avx, const char *name);
/* gdb_reg_size bytes, in the target's order. */
void gdb_reg_get(
	const struct cpu_state *s, const struct gdb_counts *counts, unsigned n, uint8_t *value);
/*
 * 0; or -EINVAL for a value that no CPU may hold there (reserved bits are put right without a word), or -EPERM for
 * what may not be written: it then stays as it is, as it does for what is read-only and is written as it was.
 */
int gdb_reg_set(
	struct cpu_state *s, const struct gdb_counts *counts, unsigned n, const uint8_t *value);
/*
 * target.xml, NUL-terminated and static. osabi GNU/Linux (gdb asks for catch syscall only then), groups and
 * flag types included.
 */
const char *gdb_regs_xml(bool avx);

#endif
