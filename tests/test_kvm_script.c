// SPDX-License-Identifier: ISC
/* The kvm backend over a KVM that is a script: what no machine at hand does is held to here, and no /dev/kvm is needed. */
#include "backend.h"

#include <sys/wait.h>

#include "backend_kvm.h"
#include "cpuid_table.h"
#include "paging.h"
#include "kvm_script.h"
#include "tmptree.h"
#include "unit.h"

static void setup(void)
{
	setup_for(&backend_kvm);
}

static void start_as(struct backend_config config)
{
	start_for(&backend_kvm, config);
}

static void start(void)
{
	start_as((struct backend_config){ 0 });
}

/* ---- making one ---- */

static const struct refusal {
	int open_error, version, sync, r;
	const char *says;
} refusals[] = {
	{ ENOENT, 12, ALL_SYNC, -ENOENT, "load the module" },
	{ EACCES, 12, ALL_SYNC, -EACCES, "the group kvm" },
	{ EPERM, 12, ALL_SYNC, -EPERM, "run as root" },
	{ EIO, 12, ALL_SYNC, -EIO, "the kernel's log" },
	{ 0, -1, ALL_SYNC, -ENODEV, "is no KVM device" },
	{ 0, 11, ALL_SYNC, -ENODEV, "API version 11, not 12" },
	{ 0, 12, 0, -ENODEV, "Linux 4.17" },
	{ 0, 12, -1, -ENODEV, "Linux 4.17" },
	{ 0, 12, KVM_SYNC_X86_REGS, -ENODEV, "Linux 4.17" },
};

static void says_why_there_is_none(void)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const struct refusal *row = &refusals[i];
		struct backend_info info = { 0 };
		int fds = tmptree_open_fds();

		setup();
		fake.open_error = row->open_error;
		fake.version = row->version;
		fake.sync = row->sync;
		CU_ASSERT_EQUAL(create((struct backend_config){ 0 }), row->r);
		CU_ASSERT_PTR_NOT_NULL(strstr(fake.err.text, row->says));
		backend_kvm.look(&info);
		CU_ASSERT(!info.usable && strstr(info.why, row->says) != NULL);
		finish();
		CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	}
}

static const struct making {
	unsigned long refuse;
	bool irqchip;
} makings[] = {
	{ KVM_CREATE_VM, false },
	{ KVM_SET_USER_MEMORY_REGION, false },
	{ KVM_SET_IDENTITY_MAP_ADDR, false },
	{ KVM_SET_TSS_ADDR, false },
	{ KVM_CREATE_IRQCHIP, true },
	{ KVM_CREATE_VCPU, false },
	{ KVM_GET_SUPPORTED_CPUID, false },
	{ KVM_SET_CPUID2, false },
	{ KVM_GET_REGS, false },
	{ KVM_GET_SREGS, false },
};

static void nothing_is_left_of_one_that_cannot_be_made(void)
{
	int fds = tmptree_open_fds();

	for (size_t i = 0; i < sizeof(makings) / sizeof(makings[0]); i++) {
		setup();
		refuse(makings[i].refuse, 0, EMFILE);
		CU_ASSERT_EQUAL(
			create((struct backend_config){ .irqchip = makings[i].irqchip }), -EMFILE);
		CU_ASSERT_PTR_NOT_NULL(strstr(fake.err.text, "making a machine: Too many"));
		finish();
	}
	setup();
	fake.run_size = 100;
	CU_ASSERT_EQUAL(create((struct backend_config){ 0 }), -ENODEV);
	finish();
	setup();
	fake.no_memory = true;
	CU_ASSERT(create((struct backend_config){ 0 }) < 0);
	finish();
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
}

static void a_cpuid_that_it_does_not_take_is_named(void)
{
	const struct cpuid_entry mine = { .leaf = 0, .eax = 1, .ebx = 2 };

	setup();
	refuse(KVM_SET_CPUID2, 0, EINVAL);
	CU_ASSERT_EQUAL(create((struct backend_config){ .cpuid = &mine, .n_cpuid = 1 }), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.err.text, "does not take the CPUID"));
	finish();
	setup();
	refuse(KVM_SET_CPUID2, 0, EINVAL);
	CU_ASSERT_EQUAL(create((struct backend_config){ 0 }), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.err.text, "making a machine"));
	finish();
}

static const struct kvm_cpuid_entry2 *leaf(uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < fake.n_cpuid; i++)
		if (fake.cpuid[i].function == function && fake.cpuid[i].index == index)
			return &fake.cpuid[i];
	return NULL;
}

static void the_guest_is_told_what_it_can_use(void)
{
	static const uint32_t hidden[][2] = { { 0xd, 5 }, { 0x14, 0 }, { 0x1d, 0 },
		{ 0x40000001, 0 } };
	struct cpuid_entry table[8];

	for (int irqchip = 0; irqchip < 2; irqchip++) {
		setup();
		fake.deadline = irqchip;
		CU_ASSERT_EQUAL(create((struct backend_config){ .irqchip = irqchip }), 0);
		for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
			CU_ASSERT_PTR_NULL(leaf(hidden[i][0], hidden[i][1]));
		CU_ASSERT_PTR_NOT_NULL_FATAL(leaf(1, 0));
		CU_ASSERT_EQUAL(leaf(1, 0)->ebx, 0);
		CU_ASSERT_EQUAL(leaf(1, 0)->ecx,
			1u << 31 | (irqchip ? 1u << 21 | 1u << 24 : 0)); /* x2APIC, deadline */
		CU_ASSERT_EQUAL(leaf(1, 0)->edx, irqchip ? 1u << 9 : 0); /* an APIC */
		CU_ASSERT_EQUAL(leaf(7, 0)->ebx & 1u << 16, 0);          /* AVX-512 */
		CU_ASSERT_EQUAL(leaf(0xd, 0)->eax, 7);
		CU_ASSERT_EQUAL(backend_cpuid(fake.b, table, 8), 4);
		CU_ASSERT(table[1].leaf == 7 && table[3].leaf == 0xd && table[3].eax == 7);
		CU_ASSERT_EQUAL(backend_cpuid(fake.b, table, 2), 2);
		refuse(KVM_GET_CPUID2, 0, E2BIG);
		CU_ASSERT_EQUAL(backend_cpuid(fake.b, table, 8), -E2BIG);
		CU_ASSERT_EQUAL(backend_tsc_khz(fake.b), 2000);
		finish();
	}
}

static void quirks_are_switched_off_where_they_can_be(void)
{
	static const struct {
		int quirks;
		unsigned enabled;
	} rows[] = { { 0, 0 }, { 1, 0 }, { KVM_X86_QUIRK_OUT_7E_INC_RIP, 1 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		setup();
		fake.quirks = rows[i].quirks;
		CU_ASSERT_EQUAL(create((struct backend_config){ 0 }), 0);
		CU_ASSERT_EQUAL(fake.enabled, rows[i].enabled);
		finish();
	}
}

/* ---- state ---- */

static void state_comes_back_as_it_was_set(void)
{
	struct cpu_state *s, got;

	start_as((struct backend_config){ .irqchip = true });
	s = &fake.state;
	s->star = 0x1234;
	s->xcr0 = 7;
	s->dr[1] = 0x5000;
	s->dr7 = 0x400;
	s->halted = true;
	s->ymmh[3][5] = 9;
	s->fx[0] = 0x7f;
	s->regs.gpr[CPU_R12] = 12;
	s->event = (struct cpu_event){
		.pending = true, .has_error = true, .vector = CPU_VEC_PF, .error = 2
	};
	CU_ASSERT_EQUAL(backend_load(fake.b, s), 0);
	CU_ASSERT_EQUAL(backend_save(fake.b, &got), 0);
	CU_ASSERT(got.star == 0x1234 && got.xcr0 == 7 && got.dr[1] == 0x5000 && got.dr7 == 0x400);
	CU_ASSERT(got.halted && got.fx[0] == 0x7f && got.ymmh[3][5] == 9);
	CU_ASSERT_EQUAL(got.regs.gpr[CPU_R12], 12);
	CU_ASSERT_EQUAL(memcmp(&got.event, &s->event, sizeof(got.event)), 0);
	CU_ASSERT_EQUAL(memcmp(&got.seg, &s->seg, sizeof(got.seg)), 0);
	s->halted = s->event.pending = false;
	memset(s->ymmh, 0, sizeof(s->ymmh));
	CU_ASSERT_EQUAL(backend_load(fake.b, s), 0);
	CU_ASSERT_EQUAL(backend_save(fake.b, &got), 0);
	CU_ASSERT(!got.halted && !got.event.pending && !got.ymmh[3][5]);
	finish();
}

static void what_no_cpu_has_is_not_set(void)
{
	struct cpu_state got;

	setup();
	fake.n_cpuid = 1; /* no leaf that tells of AVX */
	CU_ASSERT_EQUAL(create((struct backend_config){ 0 }), 0);
	cpu_state_long_mode(&fake.state);
	fake.state.ymmh[3][5] = 9;
	fake.state.xcr0 = 0;
	CU_ASSERT_EQUAL(backend_load(fake.b, &fake.state), 0);
	CU_ASSERT_EQUAL(backend_save(fake.b, &got), 0);
	CU_ASSERT_EQUAL(got.ymmh[3][5], 0);
	CU_ASSERT_EQUAL(got.xcr0, 1);
	finish();
}

static void an_exception_that_waits_is_saved(void)
{
	struct kvm_vcpu_events *events = slot_of(KVM_SET_VCPU_EVENTS);
	struct cpu_state got;

	start();
	events->exception.pending = 1;
	events->exception.nr = CPU_VEC_UD;
	CU_ASSERT_EQUAL(backend_save(fake.b, &got), 0);
	CU_ASSERT(got.event.pending && got.event.vector == CPU_VEC_UD && !got.event.has_error);
	finish();
}

/* It may list what it has in any order, and no XCR0 at all. */
static void xcr0_is_found_among_others(void)
{
	struct kvm_xcrs *xcrs = slot_of(KVM_SET_XCRS);
	struct cpu_state got;

	start();
	*xcrs = (struct kvm_xcrs){ .nr_xcrs = 2,
		.xcrs = { { .xcr = 1, .value = 5 }, { .value = 3 } } };
	CU_ASSERT_EQUAL(backend_save(fake.b, &got), 0);
	CU_ASSERT_EQUAL(got.xcr0, 3);
	xcrs->nr_xcrs = 1;
	CU_ASSERT_EQUAL(backend_save(fake.b, &got), 0);
	CU_ASSERT_EQUAL(got.xcr0, 1);
	xcrs->nr_xcrs = 1000;
	CU_ASSERT_EQUAL(backend_save(fake.b, &got), 0);
	finish();
}

static void an_msr_that_is_not_there_is_zero(void)
{
	struct cpu_state got;

	start();
	fake.no_msr = STAR;
	CU_ASSERT_EQUAL(backend_save(fake.b, &got), 0);
	CU_ASSERT_EQUAL(got.star, 0);
	CU_ASSERT_EQUAL(got.lstar, 7);
	CU_ASSERT_EQUAL(backend_load(fake.b, &fake.state), 0);
	fake.state.star = 1;
	CU_ASSERT_EQUAL(backend_load(fake.b, &fake.state), -EINVAL);
	finish();
}

enum part { SAVE, LOAD, FREEZE, THAW, PARTS };

/* What each asks KVM for, and how often. */
static const struct asking {
	unsigned long request;
	unsigned times[PARTS];
} askings[] = {
	{ KVM_GET_SREGS, { 1, 1, 1, 1 } },
	{ KVM_SET_SREGS, { 0, 1, 0, 1 } },
	{ KVM_SET_REGS, { 0, 1, 0, 1 } },
	{ KVM_GET_XSAVE, { 1, 0, 1, 0 } },
	{ KVM_SET_XSAVE, { 0, 1, 0, 1 } },
	{ KVM_GET_MSRS, { 1, 0, 0, 0 } },
	{ KVM_SET_MSRS, { 0, 1, 0, 0 } },
	{ KVM_GET_VCPU_EVENTS, { 1, 0, 1, 0 } },
	{ KVM_SET_VCPU_EVENTS, { 0, 1, 0, 1 } },
	{ KVM_GET_XCRS, { 1, 0, 1, 0 } },
	{ KVM_SET_XCRS, { 0, 1, 0, 1 } },
	{ KVM_GET_DEBUGREGS, { 1, 0, 1, 0 } },
	{ KVM_SET_DEBUGREGS, { 0, 1, 0, 1 } },
	{ KVM_GET_MP_STATE, { 1, 0, 1, 0 } },
	{ KVM_SET_MP_STATE, { 0, 1, 0, 1 } },
	{ KVM_GET_LAPIC, { 0, 0, 1, 0 } },
	{ KVM_SET_LAPIC, { 0, 0, 0, 1 } },
	{ KVM_GET_IRQCHIP, { 0, 0, 3, 0 } },
	{ KVM_SET_IRQCHIP, { 0, 0, 0, 3 } },
};

static int do_part(enum part part, void *frozen)
{
	struct cpu_state got;

	switch (part) {
	case SAVE:
		return backend_save(fake.b, &got);
	case LOAD:
		return backend_load(fake.b, &fake.state);
	case FREEZE:
		return backend_freeze(fake.b, frozen);
	default:
		return backend_thaw(fake.b, frozen);
	}
}

static void what_kvm_refuses_is_passed_on(void)
{
	size_t n = sizeof(askings) / sizeof(askings[0]);
	void *frozen;

	start_as((struct backend_config){ .irqchip = true });
	frozen = calloc(1, backend_frozen_size(fake.b));
	CU_ASSERT_PTR_NOT_NULL_FATAL(frozen);
	CU_ASSERT_EQUAL(backend_freeze(fake.b, frozen), 0);
	for (size_t i = 0; i < n * PARTS; i++) {
		enum part part = i % PARTS;
		const struct asking *a = &askings[i / PARTS];

		for (unsigned nth = 0; nth <= a->times[part]; nth++) {
			refuse(a->request, nth, EIO);
			CU_ASSERT_EQUAL(do_part(part, frozen), nth < a->times[part] ? -EIO : 0);
		}
		fake.refuse = 0;
		CU_ASSERT_EQUAL(do_part(part, frozen), 0);
	}
	free(frozen);
	finish();
}

/* What is left to do of an access comes first. */
static void what_cannot_be_finished_is_told(void)
{
	static const struct step out[] = { IO(1, .rip = CODE), IO(1, .rip = CODE + 1), END };
	struct cpu_regs regs = { .rip = 1 };
	struct paging p;
	void *frozen;

	start();
	frozen = calloc(1, backend_frozen_size(fake.b));
	CU_ASSERT_PTR_NOT_NULL_FATAL(frozen);
	CU_ASSERT_EQUAL(backend_freeze(fake.b, frozen), 0);
	fake.answers = false;
	fake.settle_moves = 1;
	for (int part = 0; part < PARTS + 2; part++) {
		script(out);
		fake.refuse = 0;
		run_to(VCPU_PORT);
		run_to(VCPU_PORT);
		refuse(KVM_RUN, 0, EIO);
		CU_ASSERT_EQUAL(part == PARTS       ? backend_set_regs(fake.b, &regs)
				: part == PARTS + 1 ? backend_get_regs(fake.b, &regs)
						    : do_part((enum part)part, frozen),
			-EIO);
	}
	refuse(KVM_GET_SREGS, 0, EIO);
	CU_ASSERT_EQUAL(backend_paging(fake.b, &p), -EIO);
	refuse(KVM_RUN, 0, EIO);
	CU_ASSERT_EQUAL(backend_run(fake.b, &fake.exit), -EIO);
	free(frozen);
	finish();
}

static void halted_without_a_controller_is_told_once(void)
{
	static const struct step out[] = { { .reason = KVM_EXIT_SHUTDOWN }, END };
	struct cpu_state got;

	start();
	fake.state.halted = true;
	CU_ASSERT_EQUAL(backend_load(fake.b, &fake.state), 0);
	CU_ASSERT_EQUAL(backend_save(fake.b, &got), 0);
	CU_ASSERT_TRUE(got.halted);
	script(out);
	run_to(VCPU_HALT);
	CU_ASSERT_EQUAL(fake.step, 0);
	run_to(VCPU_SHUTDOWN);
	finish();
}

/* ---- ports ---- */

static const struct port_row {
	unsigned moves; /* by how much what is left to do moves RIP */
	uint8_t code[3];
	uint8_t n; /* bytes of the instruction, where RIP is behind it already */
	uint16_t port;
	uint8_t size;
	uint64_t rdx;
	uint64_t before; /* bytes of code in front of it */
} port_rows[] = {
	{ 1, { 0xee }, 0, PORT, 1, PORT, 0 }, /* by a CPU: not moved yet */
	{ 0, { 0xee }, 1, PORT, 1, PORT, 0 }, { 0, { 0x66, 0xef }, 2, PORT, 2, PORT, 0 },
	{ 0, { 0xef }, 1, PORT, 4, PORT, 0 }, { 0, { 0xe6, 0x80 }, 2, 0x80, 1, 0, 0 },
	{ 0, { 0x66, 0xe7, 0x80 }, 3, 0x80, 2, 0, 0 },
	{ 0, { 0xe6, 0x80 }, 2, 0x80, 1, 0x80, 0 }, /* either could be */
	{ 0, { 0x90, 0xee }, 1, 0x80, 1, 0x80, 1 },
	{ 0, { 0xe6, 0xee }, 1, 0x80, 1, 0x80, 1 }, /* only looks like it */
};

static void an_out_is_reported_at_its_address(void)
{
	for (size_t i = 0; i < sizeof(port_rows) / sizeof(port_rows[0]); i++) {
		const struct port_row *row = &port_rows[i];
		const struct step steps[] = { { .reason = KVM_EXIT_IO,
						      .rip = CODE + 2 + row->n,
						      .port = row->port,
						      .size = row->size },
			END };

		start();
		gmem_write(&fake.mem, CODE + 2 - row->before, row->code, sizeof(row->code));
		fake.state.regs.gpr[CPU_RDX] = row->rdx;
		CU_ASSERT_EQUAL(backend_load(fake.b, &fake.state), 0);
		fake.settle_moves = row->moves;
		script(steps);
		run_to(VCPU_HALT);
		CU_ASSERT_EQUAL(fake.ports, 1);
		CU_ASSERT_EQUAL(fake.port.rip, CODE + 2);
		CU_ASSERT_EQUAL(fake.port.port, row->port);
		CU_ASSERT_EQUAL(memcmp(&fake.port.data, "out!", row->size), 0);
		CU_ASSERT_EQUAL(fake.settles, 1);
		finish();
	}
}

static void string_ports_are_refused(void)
{
	static const struct step rep[] = { IO(1, .count = 2), END };

	start();
	script(rep);
	run_to(VCPU_REFUSED);
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.exit.text, "rep outs"));
	finish();
}

static void an_answer_reaches_who_asked(void)
{
	static const struct step in[] = { IO(4, .in = true), IO(4, .in = true), END };
	uint32_t data;

	start();
	script(in);
	fake.answers = false;
	run_to(VCPU_PORT);
	fake.exit.data = 0x55667788;
	fake.answers = true;
	run_to(VCPU_HALT);
	memcpy(&data, (char *)fake.run + IO_DATA, sizeof(data));
	CU_ASSERT_EQUAL(data, 0x11223344); /* the second, by the callback */
	CU_ASSERT_EQUAL(fake.ports, 2);
	finish();
}

/* The answer that it waits for is given to the access when it is executed once more. */
static void thawed_at_an_in_it_asks_no_second_time(void)
{
	static const struct step in[] = { IO(4, .in = true), END };
	uint32_t data = 0;
	void *frozen;

	start();
	frozen = calloc(1, backend_frozen_size(fake.b));
	CU_ASSERT_PTR_NOT_NULL_FATAL(frozen);
	script(in);
	fake.answers = false;
	run_to(VCPU_PORT);
	CU_ASSERT_EQUAL(backend_freeze(fake.b, frozen), 0);
	CU_ASSERT_EQUAL(backend_thaw(fake.b, frozen), 0);
	CU_ASSERT_EQUAL(backend_freeze(fake.b, frozen), 0); /* still so */
	CU_ASSERT_EQUAL(backend_thaw(fake.b, frozen), 0);
	script(in);
	fake.exit.data = 0x55667788;
	run_to(VCPU_HALT);
	memcpy(&data, (char *)fake.run + IO_DATA, sizeof(data));
	CU_ASSERT_EQUAL(data, 0x55667788);
	CU_ASSERT_EQUAL(fake.ports, 1);
	free(frozen);
	finish();
}

/* A handler may run before it is executed once more, and ask for things of its own. */
static void thawed_at_an_in_others_are_asked(void)
{
	static const struct step in[] = { IO(4, .in = true), END };
	static const struct step out_in[] = { IO(1, .rip = CODE), IO(4, .in = true), END };
	uint32_t data = 0;
	void *frozen;

	start();
	frozen = calloc(1, backend_frozen_size(fake.b));
	CU_ASSERT_PTR_NOT_NULL_FATAL(frozen);
	fake.answers = false;
	script(in);
	run_to(VCPU_PORT);
	CU_ASSERT_EQUAL(backend_freeze(fake.b, frozen), 0);
	CU_ASSERT_EQUAL(backend_thaw(fake.b, frozen), 0);
	fake.answers = true;
	fake.exit.data = 0x55667788;
	script(out_in);
	run_to(VCPU_HALT);
	memcpy(&data, (char *)fake.run + IO_DATA, sizeof(data));
	CU_ASSERT_EQUAL(data, 0x55667788);
	CU_ASSERT(fake.ports == 2 && !fake.port.in);
	free(frozen);
	finish();
}

static void without_somebody_to_ask_a_port_ends_the_run(void)
{
	static const struct step in[] = { IO(4, .in = true), END };

	setup();
	fake.deaf = true;
	CU_ASSERT_EQUAL(create((struct backend_config){ 0 }), 0);
	script(in);
	run_to(VCPU_PORT);
	CU_ASSERT(fake.exit.in && fake.exit.port == PORT && fake.exit.size == 4);
	finish();
}

/* ---- why a run ends ---- */

static const struct ending {
	struct step step;
	const char *says;
	uint8_t insn_len; /* 15: what lies there */
} endings[] = {
	{ { .reason = KVM_EXIT_FAIL_ENTRY }, "does not enter this state", 15 },
	{ { .reason = KVM_EXIT_EXCEPTION }, "not handled", 15 },
	{ { .reason = 1000 }, "not handled", 15 },
	{ INTERNAL(KVM_INTERNAL_ERROR_SIMUL_EX), "two exceptions", 15 },
	{ INTERNAL(KVM_INTERNAL_ERROR_DELIVERY_EV), "could not be delivered", 15 },
	{ INTERNAL(1000), "internal error", 15 },
	{ INTERNAL(NOT_EMULATED), "does not execute", 15 },
	/* what the kernel saw of it, when we cannot look */
	{ INTERNAL(NOT_EMULATED, .rip = UNMAPPED, .given = 15, .bytes = true), "does not execute",
		15 },
	{ INTERNAL(NOT_EMULATED, .rip = UNMAPPED, .given = 15), "does not execute", 0 },
	{ INTERNAL(NOT_EMULATED, .rip = UNMAPPED, .given = 16, .bytes = true), "does not execute",
		0 },
	{ INTERNAL(NOT_EMULATED, .given = 1, .bytes = true), "does not execute", 15 },
	{ { .reason = KVM_EXIT_MMIO, .gpa = RAM }, "read from a physical address outside", 15 },
	{ { .reason = KVM_EXIT_MMIO, .gpa = RAM, .write = true }, "write to a physical address",
		0 },
	{ { .reason = KVM_EXIT_MMIO, .gpa = DATA, .write = true }, "RAM that the host does not",
		0 },
};

static void says_what_it_cannot_go_on_with(void)
{
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		const struct ending *row = &endings[i];
		const struct step steps[] = { row->step, END };

		start();
		script(steps);
		run_to(VCPU_REFUSED);
		CU_ASSERT_PTR_NOT_NULL(strstr(fake.exit.text, row->says));
		CU_ASSERT_EQUAL(fake.exit.insn_len, row->insn_len);
		if (row->step.bytes && row->step.given == 15)
			CU_ASSERT_EQUAL(fake.exit.insn[0], 0x62);
		if (row->step.reason == KVM_EXIT_MMIO)
			CU_ASSERT_EQUAL(fake.exit.addr, row->step.gpa);
		finish();
	}
}

static void kick(void)
{
	backend_kick(fake.b);
}

static void a_signal_ends_a_run_only_with_a_kick(void)
{
	static const struct step steps[] = { { .error = EINTR }, { .reason = KVM_EXIT_INTR },
		{ .error = EINTR, .meanwhile = kick }, END };
	static const struct step fails_at_once[] = { { .error = EFAULT }, END };

	start();
	script(steps);
	run_to(VCPU_KICKED);
	CU_ASSERT_EQUAL(fake.step, 3);
	run_to(VCPU_HALT);
	script(fails_at_once);
	CU_ASSERT_EQUAL(backend_run(fake.b, &fake.exit), -EFAULT);
	finish();
}

/* A kick during a port access is not lost when the access is finished first. */
static void a_kick_outlives_what_was_left_to_do(void)
{
	static const struct step out[] = { IO(1, .rip = CODE), IO(1, .rip = CODE + 1), END };
	struct cpu_regs regs;

	start();
	script(out);
	fake.answers = false;
	fake.settle_moves = 1;
	run_to(VCPU_PORT);
	run_to(VCPU_PORT);
	backend_kick(fake.b);
	CU_ASSERT_EQUAL(backend_get_regs(fake.b, &regs), 0);
	CU_ASSERT_EQUAL(fake.settles, 2);
	run_to(VCPU_KICKED);
	CU_ASSERT_FALSE(backend_kvm_kicked(fake.b));
	backend_kick(fake.b);
	CU_ASSERT_TRUE(backend_kvm_kicked(fake.b));
	run_to(VCPU_HALT);
	finish();
}

/* ---- debugging ---- */

static void watch(const struct vcpu_watch *watches, size_t n, int r)
{
	const struct vcpu_debug debug = { .watches = watches, .n_watches = n };

	CU_ASSERT_EQUAL(backend_set_debug(fake.b, &debug), r);
}

static void registers_watch_what_is_aligned(void)
{
	static const struct step hits[] = { DEBUG(1, 0, .dr6 = 1 << 2), END };
	static const uint64_t cut_at[] = { 3, 4, 8 };
	const struct vcpu_watch cut = { .gva = DATA + 3, .len = 13, .on_write = true };
	const struct vcpu_watch many = { .gva = DATA + 1, .len = 30, .on_write = true };
	const struct vcpu_watch reads = { .gva = DATA, .len = 1, .on_read = true };
	const struct vcpu_watch wraps = { .gva = UINT64_MAX, .len = 2, .on_write = true };
	const struct vcpu_watch nothing = { .gva = DATA, .on_write = true };
	const struct vcpu_watch neither = { .gva = DATA, .len = 1 };

	start();
	backend_kvm_trust_watches(fake.b);
	watch(&reads, 1, -EOPNOTSUPP);
	watch(&wraps, 1, -EINVAL);
	watch(&nothing, 1, -EINVAL);
	watch(&neither, 1, -EINVAL);
	watch(&many, 1, -ENOSPC);
	watch(&cut, 1, 0); /* 1 at 3, 4 at 4, 8 at 8 */
	script(hits);
	run_to(VCPU_DEBUG);
	CU_ASSERT_EQUAL(fake.exit.why, VCPU_WATCHPOINT);
	CU_ASSERT_EQUAL(fake.exit.addr, cut.gva);
	CU_ASSERT_TRUE(fake.exit.wrote);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(fake.debug.arch.debugreg[i], (uint64_t)DATA + cut_at[i]);
	CU_ASSERT_EQUAL(fake.debug.arch.debugreg[7],
		0x400 | 0x2a | 0x1ull << 16 | 0xdull << 20 | 0x9ull << 24);
	CU_ASSERT_EQUAL(fake.debug.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP);
	watch(NULL, 0, 0);
	run_to(VCPU_HALT);
	CU_ASSERT_EQUAL(fake.debug.control, 0);
	finish();
}

static void reads_are_told_from_writes_by_what_changed(void)
{
	static const struct step hits[] = { DEBUG(1, 0, .dr6 = 1),
		DEBUG(1, 0, .dr6 = 1, .store = DATA), END };
	const struct vcpu_watch both = { .gva = DATA, .len = 2, .on_read = true, .on_write = true };
	const struct vcpu_watch far = {
		.gva = UNMAPPED, .len = 1, .on_read = true, .on_write = true
	};

	start();
	backend_kvm_trust_watches(fake.b);
	watch(&both, 1, 0);
	script(hits);
	run_to(VCPU_DEBUG);
	CU_ASSERT(fake.exit.why == VCPU_WATCHPOINT && !fake.exit.wrote);
	run_to(VCPU_DEBUG);
	CU_ASSERT(fake.exit.why == VCPU_WATCHPOINT && fake.exit.wrote);
	CU_ASSERT_EQUAL(fake.debug.arch.debugreg[7], 0x400 | DEBUGREG_ON | 0x7ull << 16);
	watch(&far, 1, 0);
	script(hits);
	run_to(VCPU_DEBUG);
	CU_ASSERT_FALSE(fake.exit.wrote);
	finish();
}

static const uint64_t points[] = { CODE + 1, CODE + 2, CODE + 3, CODE + 4, CODE + 5, UNMAPPED };

static void by_int3(void)
{
	const struct vcpu_debug debug = { .breaks = points, .n_breaks = 6 };

	gmem_fill(&fake.mem, CODE, 0x90, 64);
	CU_ASSERT_EQUAL(backend_set_debug(fake.b, &debug), 0);
}

/* What the guest's code looks like while it runs. */
static uint8_t code_then[8];

static void look_at_code(void)
{
	gmem_read(&fake.mem, CODE, code_then, sizeof(code_then));
}

static void an_int3_of_ours_is_a_breakpoint(void)
{
	static const struct step hits[] = { DEBUG(CPU_VEC_BP, CODE + 1, .meanwhile = look_at_code),
		DEBUG(1, CODE + 2), INTERNAL(NOT_EMULATED, .rip = CODE + 2), END };
	uint8_t byte;

	start();
	by_int3();
	script(hits);
	run_to(VCPU_DEBUG);
	CU_ASSERT(fake.exit.why == VCPU_BREAKPOINT && fake.exit.addr == CODE + 1);
	CU_ASSERT_EQUAL(code_then[1], 0xcc);
	CU_ASSERT_EQUAL(gmem_read(&fake.mem, CODE + 1, &byte, 1), 0);
	CU_ASSERT_EQUAL(byte, 0x90);
	CU_ASSERT_TRUE(fake.debug.control & KVM_GUESTDBG_USE_SW_BP);
	CU_ASSERT_EQUAL(fake.debug.arch.debugreg[0], UNMAPPED);
	run_to(VCPU_DEBUG); /* past the first alone, then refused at the second */
	CU_ASSERT(fake.exit.why == VCPU_BREAKPOINT && fake.exit.addr == CODE + 2);
	finish();
}

static void an_int3_of_the_guests_is_given_back(void)
{
	static const struct step hits[] = { DEBUG(CPU_VEC_BP, CODE + 9), END };
	static const struct step far[] = { DEBUG(CPU_VEC_BP, UNMAPPED), END };

	start();
	script(hits);
	run_to(VCPU_HALT); /* there are none of ours at all */
	CU_ASSERT_TRUE(fake.debug.control & KVM_GUESTDBG_INJECT_BP);
	fake.debug.control = 0;
	by_int3();
	script(hits);
	run_to(VCPU_HALT);
	CU_ASSERT_TRUE(fake.debug.control & KVM_GUESTDBG_INJECT_BP);
	fake.debug.control = 0;
	script(far);
	run_to(VCPU_HALT);
	CU_ASSERT_TRUE(fake.debug.control & KVM_GUESTDBG_INJECT_BP);
	script(hits);
	refuse(KVM_SET_GUEST_DEBUG, 0, EIO);
	CU_ASSERT_EQUAL(backend_run(fake.b, &fake.exit), -EIO);
	finish();
}

/* The same page at two addresses: the breakpoint is at one of them. */
static void an_int3_seen_from_elsewhere_is_stepped_over(void)
{
	static const struct step hits[] = { DEBUG(CPU_VEC_BP, 0x204001), DEBUG(1, 0x204002), END };

	start();
	write64(PD + 8, 0x83);
	by_int3();
	script(hits);
	run_to(VCPU_HALT);
	CU_ASSERT_EQUAL(fake.step, 3);
	finish();
}

static void debug_registers_break_and_steps_step(void)
{
	static const struct step hits[] = { DEBUG(1, CODE + 1, .dr6 = 1), DEBUG(1, CODE + 2),
		DEBUG(1, CODE + 9, .dr6 = 1), END };
	const struct vcpu_debug one = { .breaks = points, .n_breaks = 1 };
	const struct vcpu_debug step = { .step = true };

	for (int blocks = 0; blocks < 2; blocks++) {
		setup();
		fake.debug2 = blocks ? KVM_GUESTDBG_BLOCKIRQ : KVM_GUESTDBG_SINGLESTEP;
		CU_ASSERT_EQUAL(create((struct backend_config){ 0 }), 0);
		CU_ASSERT_EQUAL(backend_set_debug(fake.b, &one), 0);
		script(hits);
		run_to(VCPU_DEBUG);
		CU_ASSERT(fake.exit.why == VCPU_BREAKPOINT && fake.exit.addr == CODE + 1);
		CU_ASSERT_EQUAL(fake.debug.arch.debugreg[7], 0x400 | DEBUGREG_ON);
		CU_ASSERT_EQUAL(backend_set_debug(fake.b, &step), 0);
		run_to(VCPU_DEBUG);
		CU_ASSERT_EQUAL(fake.exit.why, VCPU_STEP);
		CU_ASSERT_EQUAL(!!(fake.debug.control & KVM_GUESTDBG_BLOCKIRQ), blocks);
		backend_kvm_let_irqs(fake.b, true);
		run_to(VCPU_DEBUG);
		CU_ASSERT_EQUAL(fake.exit.why, VCPU_STEP);
		CU_ASSERT_EQUAL(fake.debug.control & KVM_GUESTDBG_BLOCKIRQ, 0);
		finish();
	}
}

static void debugging_that_kvm_refuses_is_passed_on(void)
{
	const struct vcpu_debug many = { .breaks = points, .n_breaks = 6 };
	const struct vcpu_debug until = { .until = 1 }, caught = { .exceptions = 1 };
	const struct vcpu_debug step = { .step = true };

	start();
	refuse(KVM_GET_SREGS, 0, EIO);
	CU_ASSERT_EQUAL(backend_set_debug(fake.b, &many), -EIO);
	refuse(KVM_GET_SREGS, 0, EIO);
	CU_ASSERT_EQUAL(backend_run(fake.b, &fake.exit), -EIO);
	CU_ASSERT_EQUAL(backend_set_debug(fake.b, &until), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(backend_set_debug(fake.b, &caught), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(backend_set_debug(fake.b, &step), 0);
	refuse(KVM_SET_GUEST_DEBUG, 0, EIO);
	CU_ASSERT_EQUAL(backend_run(fake.b, &fake.exit), -EIO);
	finish();
}

/* ---- lent ---- */

static void only_what_it_did_not_execute_is_lent(void)
{
	static const struct step refused[] = { INTERNAL(NOT_EMULATED), END };
	static const struct step mmio[] = { { .reason = KVM_EXIT_MMIO, .gpa = RAM }, END };
	struct cpu_state s;

	start();
	script(mmio);
	run_to(VCPU_REFUSED);
	CU_ASSERT_EQUAL(backend_kvm_lend(fake.b, BACKEND_KVM_CORE, &s), -EPERM);
	script(refused);
	run_to(VCPU_REFUSED);
	refuse(KVM_GET_SREGS, 0, EIO);
	CU_ASSERT_EQUAL(backend_kvm_lend(fake.b, BACKEND_KVM_CORE, &s), -EIO);
	fake.refuse = 0;
	CU_ASSERT_EQUAL(backend_kvm_lend(fake.b, BACKEND_KVM_ALL, &s), 0);
	s.regs.rip += 4;
	s.cr2 = 0x1234;
	s.star = 99;
	s.event = (struct cpu_event){ .pending = true, .vector = CPU_VEC_UD };
	refuse(KVM_SET_XCRS, 0, EIO);
	CU_ASSERT_EQUAL(backend_kvm_take_back(fake.b, BACKEND_KVM_ALL, &s), -EIO);
	refuse(KVM_SET_MSRS, 0, EIO);
	CU_ASSERT_EQUAL(backend_kvm_take_back(fake.b, BACKEND_KVM_ALL, &s), -EIO);
	refuse(KVM_SET_VCPU_EVENTS, 0, EIO);
	CU_ASSERT_EQUAL(backend_kvm_take_back(fake.b, BACKEND_KVM_ALL, &s), -EIO);
	fake.refuse = 0;
	CU_ASSERT_EQUAL(backend_kvm_take_back(fake.b, BACKEND_KVM_ALL, &s), 0);
	run_to(VCPU_HALT);
	CU_ASSERT_EQUAL(backend_save(fake.b, &s), 0);
	CU_ASSERT(s.regs.rip == CODE + 4 && s.cr2 == 0x1234 && s.star == 99);
	CU_ASSERT(s.event.pending && s.event.vector == CPU_VEC_UD);
	finish();
}

/* What nobody changed is not set anew. */
static void what_was_lent_comes_back_as_it_is(void)
{
	static const struct step refused[] = { INTERNAL(NOT_EMULATED), END };
	struct cpu_state s, got;

	start();
	script(refused);
	run_to(VCPU_REFUSED);
	CU_ASSERT_EQUAL(backend_kvm_lend(fake.b, BACKEND_KVM_CORE, &s), 0);
	refuse(KVM_SET_XSAVE, 0, EIO);
	CU_ASSERT_EQUAL(backend_kvm_take_back(fake.b, BACKEND_KVM_CORE, &s), 0);
	s.fx[160] = 0x5a;
	CU_ASSERT_EQUAL(backend_kvm_take_back(fake.b, BACKEND_KVM_CORE, &s), -EIO);
	s.fx[161] = 0x5b;
	CU_ASSERT_EQUAL(backend_kvm_take_back(fake.b, BACKEND_KVM_CORE, &s), 0);
	CU_ASSERT_EQUAL(backend_save(fake.b, &got), 0);
	CU_ASSERT(got.fx[160] == 0x5a && got.fx[161] == 0x5b);
	finish();
	backend_kvm.destroy(NULL);
}

/* ---- the probe, whose findings a process keeps ---- */

enum { TRIAL = 0x4000 };
#define HALTS                                                                                      \
	{                                                                                          \
		.reason = KVM_EXIT_HLT                                                             \
	}
#define SEVEN_HALTS HALTS, HALTS, HALTS, HALTS, HALTS, HALTS, HALTS

/* Of six breakpoints two are int3 and four are in registers; the one that it stands at is stepped over. */
static const struct step all_works[] = { SEVEN_HALTS, DEBUG(1, TRIAL + 1, .dr6 = 1),
	DEBUG(1, TRIAL + 7, .dr6 = 1), DEBUG(1, TRIAL + 1), DEBUG(CPU_VEC_BP, TRIAL + 1),
	DEBUG(1, TRIAL + 2), DEBUG(CPU_VEC_BP, TRIAL + 2), DEBUG(1, TRIAL + 3),
	DEBUG(1, TRIAL + 3, .dr6 = 1), DEBUG(1, TRIAL + 4), DEBUG(1, TRIAL + 4, .dr6 = 2),
	DEBUG(1, TRIAL + 5), DEBUG(1, TRIAL + 5, .dr6 = 4), DEBUG(1, TRIAL + 6),
	DEBUG(1, TRIAL + 6, .dr6 = 8), END };
static const struct step four_breaks[] = { SEVEN_HALTS, DEBUG(1, TRIAL + 1, .dr6 = 1), HALTS,
	DEBUG(1, TRIAL + 1), DEBUG(CPU_VEC_BP, TRIAL + 1), HALTS, END };
static const struct step lost_breaks[] = { SEVEN_HALTS, DEBUG(1, TRIAL + 1, .dr6 = 1), HALTS,
	DEBUG(1, TRIAL + 1), DEBUG(CPU_VEC_BP, TRIAL + 2), END };
static const struct step break_elsewhere[] = { SEVEN_HALTS, DEBUG(1, TRIAL + 2, .dr6 = 1), HALTS,
	DEBUG(1, TRIAL + 2), END };
static const struct step some_refused[] = { INTERNAL(NOT_EMULATED), HALTS, INTERNAL(NOT_EMULATED),
	{ .error = EIO }, HALTS, HALTS, HALTS, { .error = EIO }, { .error = EIO }, { .error = EIO },
	END };

static const struct trial {
	const struct step *steps;
	unsigned long refuse;
	int open_error;
	bool breakpoints, watchpoints;
	const char *gaps, *why;
} trials[] = {
	{ all_works, 0, 0, true, true, "", NULL },
	{ four_breaks, 0, 0, true, false, "no more than 4 breakpoints", NULL },
	{ lost_breaks, 0, 0, true, false, "no more than 4 breakpoints", NULL },
	{ break_elsewhere, 0, 0, false, false, "no single steps; no breakpoints", NULL },
	{ NULL, 0, 0, false, false, "no single steps; no breakpoints", NULL },
	{ some_refused, 0, 0, false, false,
		"refused and left to tcg: SSE arithmetic, x87; interprets what it does not refuse: "
		"--backend tcg computes faster; CPUID shows features that are not executed (AVX, "
		"SSE4); no single steps; no breakpoints",
		NULL },
	{ NULL, KVM_SET_SREGS, 0, false, false, "no single steps; no breakpoints", NULL },
	{ NULL, KVM_CREATE_VM, 0, false, false, NULL, "making a machine" },
	{ NULL, 0, ENOENT, false, false, NULL, "load the module" },
};

static int probe_of(const struct trial *trial)
{
	struct backend_info info, again;

	setup();
	script(trial->steps);
	refuse(trial->refuse, 0, EINVAL);
	fake.open_error = trial->open_error;
	backend_kvm_probe(&info);
	backend_kvm_probe(&again);
	if (trial->why)
		return info.usable || !strstr(info.why, trial->why);
	return !info.usable || strcmp(info.gaps, trial->gaps) != 0 ||
	       info.breakpoints != trial->breakpoints || info.watchpoints != trial->watchpoints ||
	       memcmp(&info, &again, sizeof(info));
}

static void the_probe_believes_what_it_sees(void)
{
	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
		int status = -1;
		pid_t child;

		fflush(stdout);
		child = fork();
		if (!child)
			_exit(probe_of(&trials[i]));
		CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
		CU_ASSERT_EQUAL(status, 0);
	}
}

static const struct unit_case cases[] = {
	{ "says_why_there_is_none", says_why_there_is_none },
	{ "nothing_is_left_of_one_that_cannot_be_made",
		nothing_is_left_of_one_that_cannot_be_made },
	{ "a_cpuid_that_it_does_not_take_is_named", a_cpuid_that_it_does_not_take_is_named },
	{ "the_guest_is_told_what_it_can_use", the_guest_is_told_what_it_can_use },
	{ "quirks_are_switched_off_where_they_can_be", quirks_are_switched_off_where_they_can_be },
	{ "state_comes_back_as_it_was_set", state_comes_back_as_it_was_set },
	{ "xcr0_is_found_among_others", xcr0_is_found_among_others },
	{ "an_msr_that_is_not_there_is_zero", an_msr_that_is_not_there_is_zero },
	{ "what_kvm_refuses_is_passed_on", what_kvm_refuses_is_passed_on },
	{ "what_cannot_be_finished_is_told", what_cannot_be_finished_is_told },
	{ "what_no_cpu_has_is_not_set", what_no_cpu_has_is_not_set },
	{ "an_exception_that_waits_is_saved", an_exception_that_waits_is_saved },
	{ "halted_without_a_controller_is_told_once", halted_without_a_controller_is_told_once },
	{ "an_out_is_reported_at_its_address", an_out_is_reported_at_its_address },
	{ "string_ports_are_refused", string_ports_are_refused },
	{ "an_answer_reaches_who_asked", an_answer_reaches_who_asked },
	{ "thawed_at_an_in_it_asks_no_second_time", thawed_at_an_in_it_asks_no_second_time },
	{ "thawed_at_an_in_others_are_asked", thawed_at_an_in_others_are_asked },
	{ "without_somebody_to_ask_a_port_ends_the_run",
		without_somebody_to_ask_a_port_ends_the_run },
	{ "says_what_it_cannot_go_on_with", says_what_it_cannot_go_on_with },
	{ "a_signal_ends_a_run_only_with_a_kick", a_signal_ends_a_run_only_with_a_kick },
	{ "a_kick_outlives_what_was_left_to_do", a_kick_outlives_what_was_left_to_do },
	{ "registers_watch_what_is_aligned", registers_watch_what_is_aligned },
	{ "reads_are_told_from_writes_by_what_changed",
		reads_are_told_from_writes_by_what_changed },
	{ "an_int3_of_ours_is_a_breakpoint", an_int3_of_ours_is_a_breakpoint },
	{ "an_int3_of_the_guests_is_given_back", an_int3_of_the_guests_is_given_back },
	{ "an_int3_seen_from_elsewhere_is_stepped_over",
		an_int3_seen_from_elsewhere_is_stepped_over },
	{ "debug_registers_break_and_steps_step", debug_registers_break_and_steps_step },
	{ "debugging_that_kvm_refuses_is_passed_on", debugging_that_kvm_refuses_is_passed_on },
	{ "only_what_it_did_not_execute_is_lent", only_what_it_did_not_execute_is_lent },
	{ "what_was_lent_comes_back_as_it_is", what_was_lent_comes_back_as_it_is },
	{ "the_probe_believes_what_it_sees", the_probe_believes_what_it_sees },
};

UNIT_MAIN("kvm_script", cases)
