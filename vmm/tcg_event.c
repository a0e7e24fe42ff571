// SPDX-License-Identifier: ISC
/* Delivery of interrupts and exceptions in 64-bit mode. Knows no emulator, no controller. */
#include "tcg_event.h"

#include <errno.h>
#include <string.h>

#include "gmem.h"
#include "paging.h"

enum {
	GATE_SIZE = 16,
	GATE_INTERRUPT = 0xe,
	GATE_TRAP = 0xf,
	TSS_RSP0 = 4,
	TSS_IST1 = 36,
	ERROR_EXT = 1 << 0,
	ERROR_IDT = 1 << 1,
	DESCRIPTOR_CODE = 0x18, /* type bits: S and executable */
	DESCRIPTOR_CONFORMING = 1 << 2,
	FRAME_MAX = 6,
	RFLAGS_NT = 1 << 14,
	RFLAGS_VM = 1 << 17,
};

struct gate {
	uint64_t target;
	uint16_t selector;
	uint8_t ist, type, dpl;
	bool present;
};

struct delivery {
	const struct gmem *m;
	const struct paging *p;
	const struct tcg_event *event;
	struct tcg_event *fault;
	const struct tcg_event_cpu *cpu;
};

static int fail(const struct delivery *d, uint8_t vector, uint32_t error)
{
	if (d->event->kind != TCG_EVENT_SOFT && vector != CPU_VEC_PF)
		error |= ERROR_EXT;
	d->fault->kind = TCG_EVENT_FAULT;
	d->fault->vector = vector;
	d->fault->error = error;
	return -EFAULT;
}

static int page_fault(const struct delivery *d, uint64_t gva, uint32_t error)
{
	d->fault->cr2 = gva;
	return fail(d, CPU_VEC_PF, error);
}

/* The CPU's own accesses are supervisor accesses, at any CPL. */
static int read_system(const struct delivery *d, uint64_t gva, void *buf, uint64_t len)
{
	uint64_t done = paging_read(d->m, d->p, gva, buf, len);
	struct paging_page page;
	uint32_t error = 0;

	if (done == len)
		return 0;
	paging_walk(d->m, d->p, gva + done, PAGING_READ, &page, &error);
	return page_fault(d, gva + done, error);
}

static bool canonical(uint64_t gva)
{
	return (uint64_t)((int64_t)(gva << 16) >> 16) == gva;
}

static int read_gate(const struct delivery *d, struct gate *gate)
{
	uint32_t at = d->event->vector * GATE_SIZE, error = at / 2 | ERROR_IDT, raw[4];
	unsigned cpl = d->cpu->cs & 3;
	int r;

	if (at + GATE_SIZE - 1 > d->cpu->idt.limit)
		return fail(d, CPU_VEC_GP, error);
	r = read_system(d, d->cpu->idt.base + at, raw, sizeof(raw));
	if (r)
		return r;
	*gate = (struct gate){
		.target = (uint64_t)raw[2] << 32 | (raw[1] & 0xffff0000) | (raw[0] & 0xffff),
		.selector = (uint16_t)(raw[0] >> 16),
		.ist = raw[1] & 7,
		.type = raw[1] >> 8 & 0x1f,
		.dpl = raw[1] >> 13 & 3,
		.present = raw[1] >> 15 & 1,
	};
	if (gate->type != GATE_INTERRUPT && gate->type != GATE_TRAP)
		return fail(d, CPU_VEC_GP, error);
	if (d->event->kind == TCG_EVENT_SOFT && gate->dpl < cpl)
		return fail(d, CPU_VEC_GP, error);
	if (!gate->present)
		return fail(d, CPU_VEC_NP, error);
	return canonical(gate->target) ? 0 : fail(d, CPU_VEC_GP, 0);
}

/* The privilege level the handler runs at, or -EFAULT. */
static int check_code(const struct delivery *d, uint16_t selector)
{
	uint32_t at = selector & 0xfff8u, raw[2], attr, dpl;
	unsigned cpl = d->cpu->cs & 3;
	int r;

	if (!at)
		return fail(d, CPU_VEC_GP, 0);
	if ((selector & 4) || at + 7 > d->cpu->gdt.limit)
		return fail(d, CPU_VEC_GP, at);
	r = read_system(d, d->cpu->gdt.base + at, raw, sizeof(raw));
	if (r)
		return r;
	attr = raw[1] >> 8;
	dpl = attr >> CPU_SEG_DPL_SHIFT & 3;
	if ((attr & DESCRIPTOR_CODE) != DESCRIPTOR_CODE || dpl > cpl || !(attr & CPU_SEG_L) ||
		(attr & CPU_SEG_DB))
		return fail(d, CPU_VEC_GP, at);
	if (!(attr & CPU_SEG_P))
		return fail(d, CPU_VEC_NP, at);
	return (int)(attr & DESCRIPTOR_CONFORMING ? cpl : dpl);
}

static int find_stack(
	const struct delivery *d, const struct gate *gate, unsigned cpl, uint64_t *rsp)
{
	uint32_t at;

	*rsp = d->cpu->rsp;
	if (gate->ist)
		at = TSS_IST1 + 8u * (gate->ist - 1u);
	else if (cpl != (d->cpu->cs & 3))
		at = TSS_RSP0 + 8 * cpl;
	else
		return 0;
	if (at + 7 > d->cpu->tss_limit)
		return fail(d, CPU_VEC_TS, d->cpu->tss_selector & 0xfffc);
	return read_system(d, d->cpu->tss_base + at, rsp, sizeof(*rsp));
}

/* All of the frame or nothing of it: it lies on two pages at most. */
static int push(const struct delivery *d, uint64_t rsp, const uint64_t *frame, size_t words)
{
	struct paging_page page;
	uint64_t end = rsp + 8 * words, gva[2] = { rsp, end - 8 }, gpa[2];
	uint32_t error;

	for (size_t i = 0; i < 2; i++) {
		if (!canonical(gva[i]))
			return fail(d, CPU_VEC_SS, 0);
		if (paging_walk(d->m, d->p, gva[i], PAGING_WRITE, &page, &error))
			return page_fault(d, gva[i], error);
		gpa[i] = page.gpa + (gva[i] - page.gva);
	}
	for (size_t i = 0; i < words; i++) {
		uint64_t at = rsp + 8 * i;
		bool first = (at & ~0xfffull) == (rsp & ~0xfffull);

		/* Outside RAM a stack is as good as any other memory there: writes are lost. */
		gmem_write(d->m, first ? gpa[0] + (at - rsp) : gpa[1] - (gva[1] - at), &frame[i],
			sizeof(frame[i]));
	}
	return 0;
}

bool tcg_event_has_error(uint8_t vector)
{
	return vector == CPU_VEC_DF || vector == CPU_VEC_AC ||
	       (vector >= CPU_VEC_TS && vector <= CPU_VEC_PF);
}

int tcg_event_deliver(const struct gmem *m, const struct paging *p, const struct tcg_event *event,
	struct tcg_event_cpu *cpu, struct tcg_event *fault)
{
	const struct delivery d = { .m = m, .p = p, .event = event, .fault = fault, .cpu = cpu };
	bool exception = event->kind == TCG_EVENT_FAULT || event->kind == TCG_EVENT_TRAP;
	bool has_error = exception && tcg_event_has_error(event->vector);
	uint64_t frame[FRAME_MAX], *f = frame, rsp;
	struct gate gate;
	int r, cpl;

	r = read_gate(&d, &gate);
	if (r)
		return r;
	cpl = check_code(&d, gate.selector);
	if (cpl < 0)
		return cpl;
	r = find_stack(&d, &gate, (unsigned)cpl, &rsp);
	if (r)
		return r;
	if (has_error)
		*f++ = event->error;
	*f++ = cpu->rip;
	*f++ = cpu->cs;
	*f++ = cpu->rflags | (event->kind == TCG_EVENT_FAULT ? CPU_RFLAGS_RF : 0);
	*f++ = cpu->rsp;
	*f++ = cpu->ss;
	rsp = (rsp & ~15ull) - 8 * (uint64_t)(f - frame);
	r = push(&d, rsp, frame, (size_t)(f - frame));
	if (r)
		return r;
	if ((unsigned)cpl != (cpu->cs & 3u))
		cpu->ss = (uint16_t)cpl;
	cpu->cs = (uint16_t)((gate.selector & ~3u) | (unsigned)cpl);
	cpu->rip = gate.target;
	cpu->rsp = rsp;
	cpu->rflags &= ~(uint64_t)(CPU_RFLAGS_TF | CPU_RFLAGS_RF | RFLAGS_NT | RFLAGS_VM);
	if (gate.type == GATE_INTERRUPT)
		cpu->rflags &= ~(uint64_t)CPU_RFLAGS_IF;
	return 0;
}

static bool contributory(int vector)
{
	return vector == CPU_VEC_DE || (vector >= CPU_VEC_TS && vector <= CPU_VEC_GP);
}

int tcg_event_combine(int first, int second)
{
	if (first == CPU_VEC_DF)
		return -1;
	if (contributory(first) && contributory(second))
		return CPU_VEC_DF;
	if (first == CPU_VEC_PF && (contributory(second) || second == CPU_VEC_PF))
		return CPU_VEC_DF;
	return second;
}
