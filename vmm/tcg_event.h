/* SPDX-License-Identifier: ISC */
/*
 * Interrupts and exceptions the way a CPU in 64-bit mode takes them: through the guest's IDT, with
 * stacks from its TSS. SDM 3A 6.14. Pure: registers in; registers and a stack frame out.
 */
#ifndef TCG_EVENT_H
#define TCG_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"

struct gmem;
struct paging;

enum tcg_event_kind {
	TCG_EVENT_FAULT,    /* RIP is the instruction's own; the frame's RF is set */
	TCG_EVENT_TRAP,     /* RIP is the next one's */
	TCG_EVENT_SOFT,     /* int n: the gate's DPL is checked */
	TCG_EVENT_EXTERNAL, /* an interrupt */
};

struct tcg_event {
	enum tcg_event_kind kind;
	uint8_t vector;
	uint32_t error; /* pushed where the vector has one */
	uint64_t cr2;   /* for a page fault */
};

/* The part of a CPU that delivery reads and changes. */
struct tcg_event_cpu {
	uint64_t rip, rsp, rflags;
	uint16_t cs, ss;
	struct cpu_table idt, gdt;
	uint64_t tss_base;
	uint32_t tss_limit;
	uint16_t tss_selector;
};

/* Does the CPU push an error code for this exception? */
bool tcg_event_has_error(uint8_t vector);

/* 0 with *cpu at the handler; or -EFAULT with *cpu as it was and what went wrong in *fault. */
int tcg_event_deliver(const struct gmem *m, const struct paging *p, const struct tcg_event *event,
	struct tcg_event_cpu *cpu, struct tcg_event *fault);

/* What two exceptions in a row make: the second, a double fault, or -1, the end. */
int tcg_event_combine(int first, int second);

#endif
