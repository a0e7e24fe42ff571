// SPDX-License-Identifier: ISC
/* Why a machine stops, for every way in which its CPU can end a run. */
#include "vm.h"

#include <errno.h>

#include "abi_uhyve.h"
#include "backend.h"
#include "err.h"
#include "trace.h"
#include "unit.h"

enum { RAM = 0x100000, SIZE = 0x10000 };

static struct vcpu_exit script[4];
static int n_script, at, script_error;
static unsigned n_stops;

static int next(void *ctx, struct backend *b, struct vcpu_exit *exit)
{
	(void)ctx, (void)b;
	if (at == n_script)
		return script_error ? script_error : -ENODATA;
	*exit = script[at++];
	return 0;
}

static void watch(struct trace_sink *sink, const struct trace_event *event)
{
	(void)sink;
	n_stops += event->kind == TRACE_STOP;
}

static struct trace_sink sink = { .emit = watch };

static struct vm *begin(void)
{
	struct err err = { "" };
	struct vm *vm = NULL;

	at = 0;
	n_stops = 0;
	CU_ASSERT_EQUAL_FATAL(vm_create_script(&vm,
				      &(struct vm_script){ .abi = &abi_uhyve,
					      .abi_version = 2,
					      .ram_gpa = RAM,
					      .mem_size = SIZE,
					      .sinks = &sink,
					      .next = next },
				      &err),
		0);
	return vm;
}

static void says_why_it_stopped(void)
{
	static const struct {
		struct vcpu_exit exit;
		enum vm_stop_kind kind;
		const char *text;
	} rows[] = {
		{ { .kind = VCPU_HALT, .rip = 0x123 }, VM_CRASHED,
			"halted at RIP 0x123 with nothing that could wake it" },
		{ { .kind = VCPU_SHUTDOWN, .rip = 0x123 }, VM_CRASHED,
			"triple fault at RIP 0x123: " },
		{ { .kind = VCPU_DEBUG }, VM_DEBUG, "debug stop" },
		{ { .kind = VCPU_REFUSED, .rip = 0x123 }, VM_CRASHED,
			"instruction refused at RIP 0x123" },
		{ { .kind = VCPU_REFUSED,
			  .rip = 0x123,
			  .text = "not here",
			  .insn = { 0x0f, 0x0b },
			  .insn_len = 2 },
			VM_CRASHED, "not here at RIP 0x123; bytes 0f 0b" },
		{ { .kind = VCPU_REFUSED,
			  .insn = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
			  .insn_len = 99 },
			VM_CRASHED, "bytes 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f" },
		{ { .kind = VCPU_EXIT_COUNT }, VM_FAILED, "is not one we know" },
		{ { .kind = VCPU_PORT, .port = 0x99, .size = 4, .rip = 0x123 }, VM_CRASHED,
			"0x99" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vm *vm = begin();
		const struct vm_stop *stop;

		script[0] = rows[i].exit;
		n_script = 1;
		stop = vm_run(vm);
		if (stop->kind != rows[i].kind || !strstr(stop->text, rows[i].text))
			printf("     row %zu: %d \"%s\"\n", i, stop->kind, stop->text);
		CU_ASSERT_EQUAL(stop->kind, rows[i].kind);
		CU_ASSERT_PTR_NOT_NULL(strstr(stop->text, rows[i].text));
		CU_ASSERT_EQUAL(stop->exit.kind, rows[i].exit.kind);
		CU_ASSERT_EQUAL(n_stops, rows[i].kind != VM_DEBUG);
		vm_destroy(vm);
	}
}

static void a_backend_that_fails_is_no_fault_of_the_guests(void)
{
	struct vm *vm = begin();
	const struct vm_stop *stop;

	n_script = 0;
	script_error = -EBADF;
	stop = vm_run(vm);
	CU_ASSERT_EQUAL(stop->kind, VM_FAILED);
	CU_ASSERT_STRING_EQUAL(stop->text, "backend script: Bad file descriptor");
	script_error = 0;
	vm_destroy(vm);
}

static void a_kick_that_came_before_stops_it_at_once(void)
{
	struct vm *vm = begin();
	const struct vm_stop *stop;

	script[0] = (struct vcpu_exit){ .kind = VCPU_HALT };
	n_script = 1;
	vm_kick(vm);
	stop = vm_run(vm);
	CU_ASSERT_EQUAL(stop->kind, VM_KICKED);
	CU_ASSERT_EQUAL(at, 0);
	CU_ASSERT_EQUAL(vm_run(vm)->kind, VM_CRASHED); /* once only */
	CU_ASSERT_EQUAL(at, 1);
	CU_ASSERT_EQUAL(n_stops, 2);
	vm_destroy(vm);
}

static void a_pause_stops_it_and_no_sink_is_told(void)
{
	struct vm *vm = begin();

	script[0] = (struct vcpu_exit){ .kind = VCPU_HALT };
	n_script = 1;
	vm_pause(vm);
	CU_ASSERT_EQUAL(vm_run(vm)->kind, VM_PAUSED);
	CU_ASSERT_EQUAL(n_stops, 0);
	vm_pause(vm);
	vm_kick(vm); /* who wants it to end counts for more */
	CU_ASSERT_EQUAL(vm_run(vm)->kind, VM_KICKED);
	CU_ASSERT_EQUAL(at, 0);
	CU_ASSERT_EQUAL(vm_run(vm)->kind, VM_CRASHED);
	vm_destroy(vm);
}

static void (*meanwhile)(struct vm *vm);
static struct vm *meant;

static int next_and_meanwhile(void *ctx, struct backend *b, struct vcpu_exit *exit)
{
	if (meanwhile)
		meanwhile(meant);
	return next(ctx, b, exit);
}

/* In the very moment in which it stops for something else: it is not forgotten. */
static void a_pause_that_comes_at_a_stop_is_for_the_next_run(void)
{
	static void (*const ways[])(struct vm *) = { vm_pause, vm_kick };

	for (size_t i = 0; i < 2; i++) {
		struct vm *vm = begin();

		script[0] = (struct vcpu_exit){ .kind = VCPU_DEBUG };
		script[1] = (struct vcpu_exit){ .kind = VCPU_HALT };
		n_script = 2;
		meant = vm;
		meanwhile = ways[i];
		vm->cpu->config.next = next_and_meanwhile;
		CU_ASSERT_EQUAL(vm_run(vm)->kind, VM_DEBUG);
		meanwhile = NULL;
		CU_ASSERT_EQUAL(vm_run(vm)->kind, i ? VM_KICKED : VM_PAUSED);
		CU_ASSERT_EQUAL(vm_run(vm)->kind, VM_CRASHED);
		vm_destroy(vm);
	}
}

/* Somebody only looked whether it sleeps: that is no reason to stop. */
static void a_look_does_not_stop_it(void)
{
	struct vm *vm = begin();

	script[0] = (struct vcpu_exit){ .kind = VCPU_KICKED };
	script[1] = (struct vcpu_exit){ .kind = VCPU_KICKED };
	script[2] = (struct vcpu_exit){ .kind = VCPU_HALT, .rip = 7 };
	n_script = 3;
	CU_ASSERT_EQUAL(vm_run(vm)->kind, VM_CRASHED);
	CU_ASSERT_EQUAL(at, 3);
	vm_destroy(vm);
	vm_destroy(NULL);
}

/* Unless it does, and nothing could wake it. */
static void a_look_at_one_that_sleeps_for_ever_ends_it(void)
{
	static const uint64_t interrupts = CPU_RFLAGS_IF;
	struct cpu_state state = { .halted = true, .regs.rip = 0x123, .regs.rflags = interrupts };
	struct vm *vm = begin();

	script[0] = (struct vcpu_exit){ .kind = VCPU_KICKED };
	script[1] = (struct vcpu_exit){ .kind = VCPU_SHUTDOWN };
	n_script = 2;
	CU_ASSERT_EQUAL(backend_load(vm->cpu, &state), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(vm_run(vm)->text, "triple fault"));
	vm_destroy(vm);
	vm = begin();
	state.regs.rflags = 0;
	CU_ASSERT_EQUAL(backend_load(vm->cpu, &state), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(vm_run(vm)->text, "halted at RIP 0x123 with nothing"));
	CU_ASSERT_EQUAL(at, 1);
	vm_destroy(vm);
}

/* A script is no CPU: what it does not have is not offered, and what it was given it keeps. */
static void a_script_says_what_it_does_not_have(void)
{
	struct cpu_regs regs = { .rip = 0x123, .gpr[CPU_R9] = 9 }, got = { 0 };
	struct vm *vm = begin();
	struct backend *b = vm->cpu;
	struct cpuid_entry *none = NULL;
	char frozen[1] = "";

	CU_ASSERT_EQUAL(backend_set_regs(b, &regs), 0);
	CU_ASSERT_EQUAL(backend_get_regs(b, &got), 0);
	CU_ASSERT(got.rip == 0x123 && got.gpr[CPU_R9] == 9);
	CU_ASSERT_EQUAL(backend_happened(b), 0);
	CU_ASSERT_EQUAL(backend_icount(b), 0);
	CU_ASSERT_EQUAL(backend_tsc_khz(b), 0);
	CU_ASSERT_EQUAL(backend_cpuid(b, none, 0), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(backend_frozen_size(b), 0);
	CU_ASSERT_EQUAL(backend_freeze(b, frozen), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(backend_thaw(b, frozen), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(backend_set_debug(b, &(struct vcpu_debug){ .step = true }), -EOPNOTSUPP);
	vm_destroy(vm);
}

static void refuses_memory_that_cannot_be(void)
{
	static const uint64_t sizes[] = { 0, 100, 1ull << 62 };
	struct err err = { "" };
	struct vm *vm = NULL;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		CU_ASSERT(vm_create_script(&vm,
				  &(struct vm_script){ .abi = &abi_uhyve,
					  .abi_version = 2,
					  .ram_gpa = RAM,
					  .mem_size = sizes[i],
					  .next = next },
				  &err) < 0);
		CU_ASSERT_PTR_NULL(vm);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "guest memory: "));
	}
}

static const struct unit_case cases[] = {
	{ "says_why_it_stopped", says_why_it_stopped },
	{ "a_backend_that_fails_is_no_fault_of_the_guests",
		a_backend_that_fails_is_no_fault_of_the_guests },
	{ "a_kick_that_came_before_stops_it_at_once", a_kick_that_came_before_stops_it_at_once },
	{ "a_pause_stops_it_and_no_sink_is_told", a_pause_stops_it_and_no_sink_is_told },
	{ "a_pause_that_comes_at_a_stop_is_for_the_next_run",
		a_pause_that_comes_at_a_stop_is_for_the_next_run },
	{ "a_look_does_not_stop_it", a_look_does_not_stop_it },
	{ "a_look_at_one_that_sleeps_for_ever_ends_it",
		a_look_at_one_that_sleeps_for_ever_ends_it },
	{ "a_script_says_what_it_does_not_have", a_script_says_what_it_does_not_have },
	{ "refuses_memory_that_cannot_be", refuses_memory_that_cannot_be },
};

UNIT_MAIN("vm", cases)
