// SPDX-License-Identifier: ISC
/* Interrupts and exceptions delivered: every check that SDM 3A 6.14 asks for, and the frame that comes of it. */
#include "tcg_event.h"

#include <errno.h>

#include "gmem.h"
#include "paging.h"
#include "unit.h"

enum {
	RAM = 2 << 20, /* mapped by one large page; all above is not */
	PML4 = 0x1000,
	PDPT = 0x2000,
	PD = 0x3000,
	GDT = 0x7000,
	IDT = 0x8000,
	TSS = 0xa000,
	STACK = 0x20000,
	STACK0 = 0x30000,
	STACK_IST = 0x40000,
	HANDLER = 0x123456,
	NOWHERE = 0x400000,
	VECTOR = 0x30,
	CODE = 8, /* selectors */
	USER_CODE = 0x23,
	ERROR = VECTOR * 8 | 2, /* of the gate; 1 more when the event comes from outside */
};
#define CODE_DESCRIPTOR 0x00af9b000000ffff
#define DPL(n)          ((uint64_t)(n) << 45)
#define P_BIT           (1ull << 47)
#define L_BIT           (1ull << 53)
#define D_BIT           (1ull << 54)
#define HIGH            0x0000800000000000ull /* the first address that is not canonical */

static uint64_t gate_low(uint64_t target, uint16_t selector, unsigned ist, unsigned type)
{
	return (target & 0xffff) | (uint64_t)selector << 16 | (uint64_t)ist << 32 |
	       (uint64_t)type << 40 | (target >> 16 & 0xffff) << 48;
}

/* What differs from an interrupt that goes to HANDLER at CPL 0; 0 is what is usual. */
struct row {
	enum tcg_event_kind kind;
	unsigned type; /* of the gate; usually 0x8e */
	unsigned selector, ist;
	uint64_t target, descriptor, rsp, idt, gdt, tss;
	uint32_t idt_limit, gdt_limit, tss_limit;
	bool user, no_selector;
	/* the fault that it ends in */
	int vector;
	uint32_t error;
	uint64_t cr2;
};

static struct gmem mem;
static const struct paging paging = { .cr0 = CPU_CR0_PG | CPU_CR0_PE | CPU_CR0_WP,
	.cr3 = PML4,
	.cr4 = CPU_CR4_PAE,
	.efer = CPU_EFER_LME | CPU_EFER_LMA };

static void put64(uint64_t gpa, uint64_t value)
{
	CU_ASSERT_EQUAL(gmem_write(&mem, gpa, &value, sizeof(value)), 0);
}

static uint64_t get64(uint64_t gpa)
{
	uint64_t value = 0;

	CU_ASSERT_EQUAL(gmem_read(&mem, gpa, &value, sizeof(value)), 0);
	return value;
}

static struct tcg_event_cpu set_up(const struct row *row, struct tcg_event *event)
{
	uint64_t target = row->target ? row->target : HANDLER;
	unsigned selector = row->no_selector ? 0 : row->selector ? row->selector : CODE;

	*event = (struct tcg_event){ .kind = row->kind, .vector = VECTOR };
	CU_ASSERT_EQUAL_FATAL(gmem_init(&mem, 0, RAM), 0);
	put64(PML4, PDPT | 3);
	put64(PDPT, PD | 3);
	put64(PD, 0x83);
	put64(GDT + 8, row->descriptor ? row->descriptor : CODE_DESCRIPTOR);
	put64(IDT + 16 * VECTOR,
		gate_low(target, (uint16_t)selector, row->ist, row->type ? row->type : 0x8e));
	put64(IDT + 16 * VECTOR + 8, target >> 32);
	put64(TSS + 4, STACK0);
	put64(TSS + 36, STACK_IST);
	return (struct tcg_event_cpu){
		.rip = 0x1111,
		.rsp = row->rsp ? row->rsp : STACK,
		.rflags = CPU_RFLAGS_FIXED | CPU_RFLAGS_IF | CPU_RFLAGS_TF,
		.cs = row->user ? USER_CODE : CODE,
		.ss = row->user ? 0x1b : 0x10,
		.idt = { .base = row->idt ? row->idt : IDT,
			.limit = row->idt_limit ? (uint16_t)row->idt_limit : 0xfff },
		.gdt = { .base = row->gdt ? row->gdt : GDT,
			.limit = row->gdt_limit ? (uint16_t)row->gdt_limit : 39 },
		.tss_base = row->tss ? row->tss : TSS,
		.tss_limit = row->tss_limit ? row->tss_limit : 103,
		.tss_selector = 0x28,
	};
}

static void faults_where_a_table_is_not_right(void)
{
	static const struct row rows[] = {
		{ .kind = TCG_EVENT_EXTERNAL,
			.idt_limit = 16 * VECTOR + 14,
			.vector = CPU_VEC_GP,
			.error = ERROR | 1 },
		{ .kind = TCG_EVENT_SOFT,
			.idt_limit = 16 * VECTOR + 14,
			.vector = CPU_VEC_GP,
			.error = ERROR },
		{ .kind = TCG_EVENT_EXTERNAL,
			.idt = NOWHERE,
			.vector = CPU_VEC_PF,
			.cr2 = NOWHERE + 16 * VECTOR },
		{ .kind = TCG_EVENT_EXTERNAL,
			.idt = RAM - 16 * VECTOR - 8,
			.vector = CPU_VEC_PF,
			.cr2 = RAM },
		{ .kind = TCG_EVENT_EXTERNAL,
			.type = 0x8c,
			.vector = CPU_VEC_GP,
			.error = ERROR | 1 },
		{ .kind = TCG_EVENT_FAULT, .type = 0x85, .vector = CPU_VEC_GP, .error = ERROR | 1 },
		{ .kind = TCG_EVENT_SOFT, .user = true, .vector = CPU_VEC_GP, .error = ERROR },
		{ .kind = TCG_EVENT_EXTERNAL,
			.type = 0x0e,
			.vector = CPU_VEC_NP,
			.error = ERROR | 1 },
		{ .kind = TCG_EVENT_EXTERNAL, .target = HIGH, .vector = CPU_VEC_GP, .error = 1 },
		{ .kind = TCG_EVENT_EXTERNAL,
			.no_selector = true,
			.vector = CPU_VEC_GP,
			.error = 1 },
		{ .kind = TCG_EVENT_EXTERNAL,
			.selector = CODE | 4,
			.vector = CPU_VEC_GP,
			.error = CODE | 1 },
		{ .kind = TCG_EVENT_EXTERNAL,
			.selector = 0x28,
			.vector = CPU_VEC_GP,
			.error = 0x29 },
		{ .kind = TCG_EVENT_EXTERNAL,
			.gdt = NOWHERE,
			.vector = CPU_VEC_PF,
			.cr2 = NOWHERE + CODE },
		{ .kind = TCG_EVENT_EXTERNAL,
			.descriptor = 0x00cf93000000ffff,
			.vector = CPU_VEC_GP,
			.error = CODE | 1 },
		{ .kind = TCG_EVENT_EXTERNAL,
			.descriptor = CODE_DESCRIPTOR | DPL(3),
			.vector = CPU_VEC_GP,
			.error = CODE | 1 },
		{ .kind = TCG_EVENT_EXTERNAL,
			.descriptor = CODE_DESCRIPTOR & ~L_BIT,
			.vector = CPU_VEC_GP,
			.error = CODE | 1 },
		{ .kind = TCG_EVENT_EXTERNAL,
			.descriptor = CODE_DESCRIPTOR | D_BIT,
			.vector = CPU_VEC_GP,
			.error = CODE | 1 },
		{ .kind = TCG_EVENT_EXTERNAL,
			.descriptor = CODE_DESCRIPTOR & ~P_BIT,
			.vector = CPU_VEC_NP,
			.error = CODE | 1 },
		{ .kind = TCG_EVENT_EXTERNAL,
			.ist = 2,
			.tss_limit = 36 + 8 + 6,
			.vector = CPU_VEC_TS,
			.error = 0x29 },
		{ .kind = TCG_EVENT_EXTERNAL,
			.user = true,
			.tss_limit = 10,
			.vector = CPU_VEC_TS,
			.error = 0x29 },
		{ .kind = TCG_EVENT_EXTERNAL,
			.user = true,
			.tss = NOWHERE,
			.vector = CPU_VEC_PF,
			.cr2 = NOWHERE + 4 },
		{ .kind = TCG_EVENT_EXTERNAL,
			.rsp = HIGH + 0x100,
			.vector = CPU_VEC_SS,
			.error = 1 },
		{ .kind = TCG_EVENT_EXTERNAL,
			.rsp = NOWHERE,
			.vector = CPU_VEC_PF,
			.error = 2,
			.cr2 = NOWHERE - 40 },
		{ .kind = TCG_EVENT_EXTERNAL,
			.rsp = RAM + 16,
			.vector = CPU_VEC_PF,
			.error = 2,
			.cr2 = RAM + 8 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tcg_event event, fault = { 0 };
		struct tcg_event_cpu cpu = set_up(&rows[i], &event), before = cpu;
		int r = tcg_event_deliver(&mem, &paging, &event, &cpu, &fault);

		if (r != -EFAULT || fault.vector != rows[i].vector ||
			fault.error != rows[i].error || fault.cr2 != rows[i].cr2)
			printf("     row %zu: %d, vector %u, error %#x, cr2 %#llx\n", i, r,
				fault.vector, fault.error, (unsigned long long)fault.cr2);
		CU_ASSERT_EQUAL(r, -EFAULT);
		CU_ASSERT_EQUAL(fault.vector, rows[i].vector);
		CU_ASSERT_EQUAL(fault.error, rows[i].error);
		CU_ASSERT_EQUAL(fault.cr2, rows[i].cr2);
		CU_ASSERT_EQUAL(fault.kind, TCG_EVENT_FAULT);
		CU_ASSERT(!memcmp(&cpu, &before, sizeof(cpu)));
		gmem_finish(&mem);
	}
}

static void comes_to_its_handler_on_the_right_stack(void)
{
	static const struct {
		struct row row;
		uint64_t top; /* of the stack that is used */
		uint16_t cs, ss;
		bool interrupts;
	} rows[] = {
		{ { .kind = TCG_EVENT_EXTERNAL }, STACK, CODE, 0x10, false },
		{ { .kind = TCG_EVENT_EXTERNAL, .type = 0x8f }, STACK, CODE, 0x10, true },
		{ { .kind = TCG_EVENT_EXTERNAL, .rsp = STACK + 9 }, STACK, CODE, 0x10, false },
		{ { .kind = TCG_EVENT_EXTERNAL, .rsp = STACK + 16 }, STACK + 16, CODE, 0x10,
			false },
		{ { .kind = TCG_EVENT_EXTERNAL, .ist = 1 }, STACK_IST, CODE, 0x10, false },
		{ { .kind = TCG_EVENT_EXTERNAL, .user = true }, STACK0, CODE, 0, false },
		{ { .kind = TCG_EVENT_SOFT, .user = true, .type = 0xee }, STACK0, CODE, 0, false },
		{ { .kind = TCG_EVENT_EXTERNAL, .user = true, .ist = 1 }, STACK_IST, CODE, 0,
			false },
		{ { .kind = TCG_EVENT_EXTERNAL,
			  .user = true,
			  .descriptor = CODE_DESCRIPTOR | 4ull << 40 },
			STACK, CODE | 3, 0x1b, false }, /* conforming code keeps the level */
		{ { .kind = TCG_EVENT_FAULT }, STACK, CODE, 0x10, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tcg_event event, fault = { 0 };
		struct tcg_event_cpu cpu = set_up(&rows[i].row, &event), was = cpu;
		bool is_fault = event.kind == TCG_EVENT_FAULT;

		CU_ASSERT_EQUAL(tcg_event_deliver(&mem, &paging, &event, &cpu, &fault), 0);
		CU_ASSERT_EQUAL(cpu.rip, HANDLER);
		CU_ASSERT_EQUAL(cpu.rsp, rows[i].top - 40);
		CU_ASSERT(cpu.cs == rows[i].cs && cpu.ss == rows[i].ss);
		CU_ASSERT_EQUAL(
			cpu.rflags, CPU_RFLAGS_FIXED | (rows[i].interrupts ? CPU_RFLAGS_IF : 0));
		CU_ASSERT_EQUAL(get64(cpu.rsp), was.rip);
		CU_ASSERT_EQUAL(get64(cpu.rsp + 8), was.cs);
		CU_ASSERT_EQUAL(get64(cpu.rsp + 16), was.rflags | (is_fault ? CPU_RFLAGS_RF : 0));
		CU_ASSERT_EQUAL(get64(cpu.rsp + 24), was.rsp);
		CU_ASSERT_EQUAL(get64(cpu.rsp + 32), was.ss);
		gmem_finish(&mem);
	}
}

static void knows_which_exceptions_have_an_error_code(void)
{
	for (unsigned v = 0; v < 256; v++)
		CU_ASSERT_EQUAL(
			tcg_event_has_error((uint8_t)v), v == 8 || (v >= 10 && v <= 14) || v == 17);
}

static void two_in_a_row_make_a_double_fault_or_the_end(void)
{
	static const struct {
		int first, second, made;
	} rows[] = {
		{ CPU_VEC_BP, CPU_VEC_GP, CPU_VEC_GP },
		{ CPU_VEC_DE, CPU_VEC_GP, CPU_VEC_DF },
		{ CPU_VEC_GP, CPU_VEC_TS, CPU_VEC_DF },
		{ CPU_VEC_GP, CPU_VEC_PF, CPU_VEC_PF },
		{ CPU_VEC_GP, CPU_VEC_DB, CPU_VEC_DB },
		{ CPU_VEC_PF, CPU_VEC_PF, CPU_VEC_DF },
		{ CPU_VEC_PF, CPU_VEC_NP, CPU_VEC_DF },
		{ CPU_VEC_PF, CPU_VEC_DB, CPU_VEC_DB },
		{ CPU_VEC_DF, CPU_VEC_PF, -1 },
		{ CPU_VEC_DF, CPU_VEC_BP, -1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CU_ASSERT_EQUAL(tcg_event_combine(rows[i].first, rows[i].second), rows[i].made);
}

static const struct unit_case cases[] = {
	{ "faults_where_a_table_is_not_right", faults_where_a_table_is_not_right },
	{ "comes_to_its_handler_on_the_right_stack", comes_to_its_handler_on_the_right_stack },
	{ "knows_which_exceptions_have_an_error_code", knows_which_exceptions_have_an_error_code },
	{ "two_in_a_row_make_a_double_fault_or_the_end",
		two_in_a_row_make_a_double_fault_or_the_end },
};

UNIT_MAIN("tcg_event", cases)
