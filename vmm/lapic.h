/* SPDX-License-Identifier: ISC */
/*
 * A local APIC as xAPIC shows it: one page of registers, interrupts to itself, one timer. SDM 3A
 * chapter 11. Pure: it has no clock. Time comes in as TSC ticks; the timer's input runs at TSC speed.
 */
#ifndef LAPIC_H
#define LAPIC_H

#include <stdbool.h>
#include <stdint.h>

#define LAPIC_NEVER UINT64_MAX

enum lapic_register {
	LAPIC_ID = 0x20,
	LAPIC_VERSION = 0x30,
	LAPIC_TPR = 0x80,
	LAPIC_PPR = 0xa0,
	LAPIC_EOI = 0xb0,
	LAPIC_LDR = 0xd0,
	LAPIC_DFR = 0xe0,
	LAPIC_SVR = 0xf0,
	LAPIC_ISR = 0x100,
	LAPIC_TMR = 0x180,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_ICR = 0x300,
	LAPIC_ICR_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_LAST = 0x370,
	LAPIC_TIMER_INITIAL = 0x380,
	LAPIC_TIMER_CURRENT = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3e0,
	LAPIC_PAGE_SIZE = 0x1000,
};

struct lapic {
	uint32_t reg[64];   /* by offset / 16; what is computed when read is not kept here */
	uint64_t timer_due; /* when the count reaches zero; LAPIC_NEVER when it does not run */
};

/* As after reset: software-disabled, everything masked, the timer stopped. */
void lapic_reset(struct lapic *l, uint8_t id);

/* 32-bit accesses at 16-byte steps do something; anything else reads 0 and writes nothing. */
uint32_t lapic_read(const struct lapic *l, uint32_t offset, uint64_t now);
void lapic_write(struct lapic *l, uint32_t offset, uint32_t value, uint64_t now);

/* When the timer will next raise an interrupt, or LAPIC_NEVER. */
uint64_t lapic_deadline(const struct lapic *l);
/* Raises what is due by now. A periodic timer that missed several turns raises one interrupt. */
void lapic_advance(struct lapic *l, uint64_t now);

/* The vector the CPU would be given now, or -1. */
int lapic_pending(const struct lapic *l);
/* The CPU takes it: from requested to in service. Only after lapic_pending said so. */
void lapic_accept(struct lapic *l, int vector);

/* CR8 is bits 7:4 of the task priority. */
uint64_t lapic_get_cr8(const struct lapic *l);
void lapic_set_cr8(struct lapic *l, uint64_t cr8);

#endif
