// SPDX-License-Identifier: ISC
/*
 * What is said of a guest that crashed: over a machine whose CPU is a script, with whatever state and tables a guest may leave
 * behind. A triple fault that nobody explained is run once more, and only what is the same then is told.
 */
#include "report.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "abi_uhyve.h"
#include "err.h"
#include "said.h"
#include "unit.h"
#include "vm.h"

enum { RAM = 0x100000, SIZE = 0x20000, TABLES = RAM + 0x1000, CODE = RAM + 0x8000 };
enum { P = 1, W = 2, U = 4, LARGE = 1 << 7, USED = 3 << 5 };
/* Addresses of the guest, and what its tables make of them. */
enum {
	PLAIN = 0x400000,
	READ_ONLY = 0x401000,
	NO_RAM = 0x402000,
	NO_EXECUTE = 0x403000,
	FOR_USER = 0x404000,
	NOTHING = 0x600000,
	STACK = 0x80000000,
};
#define RESERVED (1ull << 39)
#define NX       (1ull << 63)

static struct vm *vm;

static int nothing(void *ctx, struct backend *b, struct vcpu_exit *exit)
{
	(void)ctx, (void)b;
	*exit = (struct vcpu_exit){ .kind = VCPU_HALT };
	return 0;
}

static void put(uint64_t gpa, uint64_t value)
{
	CU_ASSERT_EQUAL(gmem_write(&vm->mem, gpa, &value, sizeof(value)), 0);
}

static void begin(void)
{
	struct err err = { "" };
	struct cpu_state s;

	vm = NULL;
	if (vm_create_script(&vm,
		    &(struct vm_script){ .abi = &abi_uhyve,
			    .abi_version = 2,
			    .ram_gpa = RAM,
			    .mem_size = SIZE,
			    .next = nothing },
		    &err))
		CU_FAIL_FATAL(err.text);
	put(TABLES, (TABLES + 0x1000) | P | W | U | USED);
	put(TABLES + 8, LARGE | P | USED);
	put(TABLES + 0x1000, (TABLES + 0x2000) | P | W | U | USED);
	put(TABLES + 0x2000 + 8 * 2, (TABLES + 0x3000) | P | W | U | USED);
	put(TABLES + 0x3000, CODE | P | W | USED);
	put(TABLES + 0x3000 + 8, (CODE + 0x1000) | P | USED);
	put(TABLES + 0x3000 + 16, (RAM + SIZE) | P | W | USED);
	put(TABLES + 0x3000 + 24, (CODE + 0x3000) | P | W | USED | NX);
	put(TABLES + 0x3000 + 32, (CODE + 0x4000) | P | W | U | USED);
	cpu_state_long_mode(&s);
	s.cr0 |= CPU_CR0_WP;
	s.cr3 = TABLES;
	s.cr4 = CPU_CR4_PAE;
	s.efer |= CPU_EFER_NXE;
	s.regs.rip = PLAIN;
	s.regs.gpr[CPU_RSP] = STACK;
	CU_ASSERT_EQUAL(backend_load(vm->cpu, &s), 0);
}

static void end(void)
{
	vm_destroy(vm);
	vm = NULL;
}

static void crash(enum vcpu_exit_kind kind, struct cpu_event cause, uint64_t cr2)
{
	struct cpu_state s;

	CU_ASSERT_EQUAL(backend_save(vm->cpu, &s), 0);
	s.cr2 = cr2;
	CU_ASSERT_EQUAL(backend_load(vm->cpu, &s), 0);
	vm_stop_set(vm, VM_CRASHED, "for a test");
	vm->stop.exit = (struct vcpu_exit){ .kind = kind, .rip = s.regs.rip, .cause = cause };
}

static int cause_is(const char *want)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int signal;

	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	signal = report_cause(vm, out);
	fclose(out);
	if (strcmp(text, want) != 0)
		printf("     %s     not: %s", text, want);
	CU_ASSERT_STRING_EQUAL(text, want);
	free(text);
	return signal;
}

static void page_faults_are_explained_by_the_tables(void)
{
	enum { WRITE = 2, USER = 4, FETCH = 16 };
	static const struct {
		uint64_t gva;
		uint32_t error;
		const char *text;
	} rows[] = {
		{ NOTHING, WRITE, "write of 0x600000, which is not mapped" },
		{ NOTHING, 0, "read of 0x600000, which is not mapped" },
		{ NOTHING, FETCH, "fetch of 0x600000, which is not mapped" },
		{ 0, 0, "read of 0x0, which is not mapped; a null pointer?" },
		{ 4095, WRITE, "write of 0xfff, which is not mapped; a null pointer?" },
		{ 4096, 0, "read of 0x1000, which is not mapped" },
		{ STACK - 8, WRITE,
			"write of 0x7ffffff8, which is not mapped; RSP is near: a stack "
			"overflow?" },
		{ STACK - (64 << 10) - 1, WRITE, "write of 0x7ffeffff, which is not mapped" },
		{ STACK + (64 << 10), WRITE, "write of 0x80010000, which is not mapped" },
		{ READ_ONLY, WRITE, "write of 0x401000, which is mapped read-only" },
		{ NO_EXECUTE, FETCH, "fetch of 0x403000, which is mapped not executable" },
		{ PLAIN + 1, USER, "read of 0x400001, which is mapped for the supervisor only" },
		{ FOR_USER, USER | WRITE, "write of 0x404000" },
		{ NO_RAM + 5, 0, "read of 0x402005, which is mapped to 0x120005, outside RAM" },
		{ RESERVED, 0,
			"read of 0x8000000000, which is mapped by an entry with reserved bits "
			"set" },
		{ PLAIN + 1, 0, "read of 0x400001" },
		/* An instruction that was to be fetched, whatever the error code says. */
		{ PLAIN, 0, "fetch of 0x400000" },
		{ PLAIN, WRITE, "write of 0x400000" },
	};
	char want[200];

	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		crash(VCPU_SHUTDOWN,
			(struct cpu_event){ .pending = true,
				.has_error = true,
				.vector = CPU_VEC_PF,
				.error = rows[i].error },
			rows[i].gva);
		snprintf(want, sizeof(want), "  page fault (#PF): %s\n", rows[i].text);
		CU_ASSERT_EQUAL(cause_is(want), SIGSEGV);
	}
	end();
}

static void other_causes_have_a_line_and_a_signal(void)
{
	static const struct {
		enum vcpu_exit_kind kind;
		struct cpu_event cause;
		uint64_t cr2;
		const char *text;
		int signal;
	} rows[] = {
		{ VCPU_SHUTDOWN, { true, false, CPU_VEC_DE, 0, 0 }, NOTHING,
			"  divide error (#DE)\n", SIGFPE },
		{ VCPU_SHUTDOWN, { true, true, CPU_VEC_GP, 0, 0 }, 0,
			"  general protection fault (#GP)\n", SIGSEGV },
		{ VCPU_SHUTDOWN, { true, true, CPU_VEC_GP, 0, 0x10 }, 0,
			"  general protection fault (#GP), error code 0x10\n", SIGSEGV },
		{ VCPU_SHUTDOWN, { true, false, CPU_VEC_XM, 0, 0 }, 0,
			"  SIMD floating-point error (#XM)\n", SIGFPE },
		{ VCPU_SHUTDOWN, { true, false, 9, 0, 0 }, 0, "  exception 9\n", SIGSEGV },
		{ VCPU_SHUTDOWN, { true, false, 31, 0, 0 }, 0, "  exception 31\n", SIGSEGV },
		{ VCPU_SHUTDOWN, { true, false, 32, 0, 0 }, 0, "  interrupt 32\n", SIGSEGV },
		{ VCPU_HALT, { 0 }, 0, "", SIGABRT },
		{ VCPU_HALT, { true, false, CPU_VEC_DE, 0, 0 }, 0, "", SIGABRT },
		{ VCPU_PORT, { 0 }, 0, "", SIGSYS },
		{ VCPU_REFUSED, { 0 }, 0, "", SIGILL },
		{ VCPU_REFUSED, { 0 }, NOTHING,
			"  the last page fault was at 0x600000, which is not mapped\n", SIGILL },
		{ VCPU_REFUSED, { 0 }, PLAIN, "  the last page fault was at 0x400000\n", SIGILL },
	};

	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		crash(rows[i].kind, rows[i].cause, rows[i].cr2);
		CU_ASSERT_EQUAL(cause_is(rows[i].text), rows[i].signal);
	}
	end();
}

/* A KVM says no more than that it was a triple fault. */
static void a_fault_without_a_cause_is_tried_again(void)
{
	static const struct {
		uint8_t insn[8];
		uint64_t cr2;
		const char *text;
		int signal;
	} rows[] = {
		{ { 0x0f, 0x0b }, 0, "  invalid opcode (#UD)\n", SIGILL },
		{ { 0x8a, 0x04, 0x25, 0, 0, 0x60, 0 }, NOTHING,
			"  page fault (#PF): read of 0x600000, which is not mapped\n", SIGSEGV },
		/* The CPU saw another page fault: this is not it. */
		{ { 0x8a, 0x04, 0x25, 0, 0, 0x60, 0 }, NOTHING + 1,
			"  the last page fault was at 0x600001, which is not mapped\n", SIGSEGV },
		{ { 0x90 }, 0, "", SIGSEGV }, /* which is no fault at all */
		/* What the software CPU does not know may be something elsewhere: EVEX. */
		{ { 0x62, 0xf1, 0x7c, 0x48, 0x28, 0xc0 }, 0, "", SIGSEGV },
		{ { 0xc5, 0xff, 0xff, 0xff }, 0, "", SIGSEGV },
	};

	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		gmem_write(&vm->mem, CODE, rows[i].insn, sizeof(rows[i].insn));
		crash(VCPU_SHUTDOWN, (struct cpu_event){ 0 }, rows[i].cr2);
		CU_ASSERT_EQUAL(cause_is(rows[i].text), rows[i].signal);
	}
	end();
}

static void an_exception_is_told_in_words(void)
{
	static const struct {
		struct cpu_event event;
		const char *text;
		int signal;
	} rows[] = {
		{ { true, false, CPU_VEC_BP, 0, 0 }, "breakpoint (#BP)", SIGTRAP },
		{ { true, true, CPU_VEC_PF, 0, 2 }, "page fault (#PF), error code 0x2, at 0x1234",
			SIGSEGV },
		{ { true, true, CPU_VEC_NP, 0, 0 }, "segment not present (#NP), error code 0x0",
			SIGBUS },
		{ { true, false, 9, 0, 0 }, "exception 9", SIGSEGV },
		{ { true, false, 77, 0, 0 }, "exception 77", SIGSEGV },
	};
	struct cpu_state s = { .cr2 = 0x1234 };
	char text[100];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		s.event = rows[i].event;
		CU_ASSERT_EQUAL(report_exception(&s, text, sizeof(text)), rows[i].signal);
		CU_ASSERT_STRING_EQUAL(text, rows[i].text);
	}
}

/* ---- all of it ---- */

static char all[1 << 14];

static int crash_report(void)
{
	struct said said;
	int signal;

	said_begin(&said);
	signal = report_crash(vm);
	said_end(&said, all, sizeof(all));
	return signal;
}

static void make_calls(unsigned n)
{
	for (vm->n_calls = 0; vm->n_calls < n; vm->n_calls++)
		vm->last_calls[vm->n_calls % VM_CALLS_KEPT] =
			(struct hcall){ .row = &vm->abi->rows[0], .seq = vm->n_calls };
}

static void a_report_has_what_there_is(void)
{
	static const uint8_t no_elf[64];

	begin();
	vm->image.bytes = no_elf;
	vm->image.size = sizeof(no_elf);
	gmem_write(&vm->mem, CODE, "\x0f\x0b", 2);
	crash(VCPU_SHUTDOWN, (struct cpu_event){ .pending = true, .vector = CPU_VEC_UD }, 0);
	CU_ASSERT_EQUAL(crash_report(), SIGILL);
	CU_ASSERT_PTR_NOT_NULL(strstr(all, "the guest crashed: for a test\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(all, "  invalid opcode (#UD)\n  bytes at RIP: 0f 0b 00"));
	CU_ASSERT_PTR_NOT_NULL(strstr(all, "  rip    0000000000400000  rflags 0000000000000002\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(all, "  #0  0x400000  no backtrace: "));
	CU_ASSERT_PTR_NULL(strstr(all, "the last hypercall"));
	make_calls(1);
	crash_report();
	CU_ASSERT_PTR_NOT_NULL(strstr(all, "  the last hypercall, of 1:\n"));
	make_calls(20);
	crash_report();
	CU_ASSERT_PTR_NOT_NULL(strstr(all, "  the last hypercalls, of 20:\n"));
	vm->image.bytes = NULL;
	end();
}

static void no_instruction_is_shown_where_none_can_be_read(void)
{
	struct cpu_state s;

	begin();
	CU_ASSERT_EQUAL(backend_save(vm->cpu, &s), 0);
	s.regs.rip = NOTHING;
	CU_ASSERT_EQUAL(backend_load(vm->cpu, &s), 0);
	crash(VCPU_SHUTDOWN,
		(struct cpu_event){ .pending = true, .vector = CPU_VEC_PF, .has_error = true },
		NOTHING);
	CU_ASSERT_EQUAL(crash_report(), SIGSEGV);
	CU_ASSERT_PTR_NOT_NULL(strstr(all, "  page fault (#PF): fetch of 0x600000"));
	CU_ASSERT_PTR_NOT_NULL(strstr(all, "  no instruction can be read at RIP: not mapped\n"));
	end();
}

static void frames_of_what_is_no_image_are_none(void)
{
	static const uint8_t no_elf[64];
	char text[200] = "x";

	begin();
	report_frames(vm, 0, 3, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "");
	vm->image.bytes = no_elf;
	vm->image.size = sizeof(no_elf);
	report_frames(vm, 0, 300, text, sizeof(text));
	CU_ASSERT(!strncmp(text, "0x400000  no backtrace: ", 24));
	report_frames(vm, READ_ONLY, 3, text, sizeof(text));
	CU_ASSERT(!strncmp(text, "0x401000  no backtrace: ", 24));
	vm->image.bytes = NULL;
	end();
}

static int no_state(struct backend *b, struct cpu_state *state)
{
	(void)b, (void)state;
	return -EIO;
}

static void a_cpu_that_says_nothing_leaves_the_line_of_the_stop(void)
{
	static const uint8_t no_elf[64];
	struct backend_ops ops = backend_script;
	char text[10] = "x";

	begin();
	crash(VCPU_HALT, (struct cpu_event){ 0 }, 0);
	ops.save = no_state;
	vm->cpu->ops = &ops;
	CU_ASSERT_EQUAL(cause_is(""), SIGSEGV);
	CU_ASSERT_EQUAL(crash_report(), SIGSEGV);
	CU_ASSERT_STRING_EQUAL(all, "belljar: the guest crashed: for a test\n");
	vm->image.bytes = no_elf;
	report_frames(vm, 0, 3, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "");
	vm->image.bytes = NULL;
	end();
}

static const struct unit_case cases[] = {
	{ "page_faults_are_explained_by_the_tables", page_faults_are_explained_by_the_tables },
	{ "other_causes_have_a_line_and_a_signal", other_causes_have_a_line_and_a_signal },
	{ "a_fault_without_a_cause_is_tried_again", a_fault_without_a_cause_is_tried_again },
	{ "an_exception_is_told_in_words", an_exception_is_told_in_words },
	{ "a_report_has_what_there_is", a_report_has_what_there_is },
	{ "no_instruction_is_shown_where_none_can_be_read",
		no_instruction_is_shown_where_none_can_be_read },
	{ "frames_of_what_is_no_image_are_none", frames_of_what_is_no_image_are_none },
	{ "a_cpu_that_says_nothing_leaves_the_line_of_the_stop",
		a_cpu_that_says_nothing_leaves_the_line_of_the_stop },
};

UNIT_MAIN("report", cases)
