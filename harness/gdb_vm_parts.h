/* SPDX-License-Identifier: ISC */
/* What the files of the machine under gdb share among themselves: gdb_vm.c, gdb_vm_run.c, gdb_vm_write.c. */
#ifndef GDB_VM_PARTS_H
#define GDB_VM_PARTS_H

#include "gdb_vm.h"

/* A call waits for its answer: its instruction has not been done, whatever the CPU says. */
bool gdb_vm_in_call(const struct gdb_vm *g);
/* As in struct gdb_target_ops. */
int gdb_vm_get_state(void *target, struct cpu_state *state, struct gdb_counts *counts);
int gdb_vm_get_regs(void *target, struct cpu_regs *regs);
int gdb_vm_set_state(void *target, const struct cpu_state *state, const char **why);
int gdb_vm_write(
	void *target, bool physical, uint64_t addr, const void *buf, size_t len, const char **why);
void gdb_vm_resume(void *target, const struct gdb_resume *how, struct gdb_stop *stop);
/* The code where breakpoints are, before the guest runs; and afterwards, what of it is another now. */
void gdb_vm_see_code(struct gdb_vm *g);
void gdb_vm_tell_code(struct gdb_vm *g);
/* It stands still, for this. */
void gdb_stop_is(struct gdb_stop *stop, enum gdb_why why, int signal, uint64_t value);

#endif
