// SPDX-License-Identifier: ISC
/*
 * kvm with the help of tcg, over a KVM that is a script: which instructions go to which of the two, and what of a KVM
 * that fails in between.
 */
#include "backend.h"

#include "backend_kvm.h"
#include "kvm_script.h"
#include "unit.h"

enum { IF = 1 << 9, FAR_DATA = 0xa000 };

static const struct step refused[] = { INTERNAL(NOT_EMULATED), END };
static const uint8_t pxor[] = { 0x66, 0x0f, 0xef, 0xc0 };

static void code_at(uint64_t gpa, const void *bytes, size_t len)
{
	gmem_write(&fake.mem, gpa, bytes, len);
	backend_code_changed(fake.b, gpa, len);
}

static void load(void)
{
	fake.state.cr4 |= CPU_CR4_OSFXSR;
	fake.state.regs.gpr[CPU_RAX] = DATA;
	fake.state.regs.gpr[CPU_RSP] = RAM;
	CU_ASSERT_EQUAL(backend_load(fake.b, &fake.state), 0);
}

static void start_with(struct backend_config config, const void *code, size_t len)
{
	start_for(&backend_assisted, config);
	gmem_fill(&fake.mem, CODE, 0xf4, 64);
	code_at(CODE, code, len);
	load();
}

static void start(const void *code, size_t len)
{
	start_with((struct backend_config){ 0 }, code, len);
}

static struct cpu_regs regs_now(void)
{
	struct cpu_regs regs = { 0 };

	CU_ASSERT_EQUAL(backend_get_regs(fake.b, &regs), 0);
	return regs;
}

/* ---- what a burst runs, and what it leaves to the CPU that has the devices ---- */

static const struct follower {
	uint8_t code[8];
	uint8_t len;
	bool leaves;
} followers[] = {
	{ { 0x90 }, 1, false },
	{ { 0x0f, 0xef, 0xc0 }, 3, false },                   /* pxor */
	{ { 0x0f, 0x38, 0x1c, 0xc0 }, 4, false },             /* pabsb */
	{ { 0x66, 0x0f, 0x38, 0x00, 0xc1 }, 5, false },       /* pshufb */
	{ { 0x66, 0x0f, 0x3a, 0x0f, 0xc1, 0x08 }, 6, false }, /* palignr */
	{ { 0x66, 0x0f, 0x38, 0x0c, 0xc0 }, 5, true },        /* no SSSE3, from here on */
	{ { 0x66, 0x0f, 0x38, 0x20, 0xc0 }, 5, true },
	{ { 0x66, 0x0f, 0x3a, 0x08, 0xc0, 0x00 }, 6, true },
	{ { 0x0f, 0xae, 0xf0 }, 3, false },      /* mfence */
	{ { 0x0f, 0xae, 0x18 }, 3, false },      /* stmxcsr (rax) */
	{ { 0x0f, 0xae, 0x38 }, 3, false },      /* clflush (rax) */
	{ { 0x0f, 0xae, 0x20 }, 3, true },       /* xsave (rax) */
	{ { 0xf3, 0x0f, 0xae, 0xc0 }, 4, true }, /* rdfsbase */
	{ { 0x0f, 0xae, 0xe0 }, 3, true },       /* not there with a register */
	{ { 0x0f, 0xc7, 0x08 }, 3, false },      /* cmpxchg8b (rax) */
	{ { 0x0f, 0xc7, 0xc8 }, 3, true },       /* of a register */
	{ { 0x0f, 0xc7, 0xf0 }, 3, true },       /* rdrand */
	{ { 0x0f, 0xa2 }, 2, true },             /* cpuid */
	{ { 0x0f, 0x05 }, 2, true },             /* syscall */
	{ { 0x48, 0x8e, 0xd0 }, 3, true },       /* mov to ss */
	{ { 0x66, 0xef }, 2, true },             /* out */
	{ { 0xc5, 0xf8, 0x77 }, 3, true },       /* vzeroupper */
	{ { 0x2e, 0x36, 0x3e, 0x26, 0x90 }, 5, false },
};

static void a_burst_ends_before_what_kvm_must_run(void)
{
	for (size_t i = 0; i < sizeof(followers) / sizeof(followers[0]); i++) {
		const struct follower *f = &followers[i];

		start(pxor, sizeof(pxor));
		code_at(CODE + sizeof(pxor), f->code, f->len);
		script(refused);
		run_to(VCPU_HALT);
		CU_ASSERT_EQUAL(regs_now().rip, CODE + sizeof(pxor) + (f->leaves ? 0 : f->len));
		finish();
	}
}

/* ---- what is done here ---- */

static void rdtscp_gives_the_clock_of_kvm(void)
{
	static const uint8_t code[] = { 0x0f, 0x01, 0xf9 };
	struct cpu_regs regs;

	start(code, sizeof(code));
	script(refused);
	run_to(VCPU_HALT);
	regs = regs_now();
	CU_ASSERT_EQUAL(regs.rip, CODE + sizeof(code));
	CU_ASSERT(regs.gpr[CPU_RAX] == 7 && !regs.gpr[CPU_RDX] && !regs.gpr[CPU_RCX]);
	finish();
}

static void what_neither_knows_is_refused_in_the_name_of_both(void)
{
	static const uint8_t vex2[] = { 0xc5, 0xf8, 0x77 },
			     vex3[] = { 0xc4, 0xe2, 0x78, 0xf2, 0xc0 },
			     evex[] = { 0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc0 };
	static const struct {
		const uint8_t *code;
		size_t len;
	} rows[] = { { vex2, sizeof(vex2) }, { vex3, sizeof(vex3) }, { evex, sizeof(evex) } };
	static const struct step unreadable[] = { INTERNAL(NOT_EMULATED, .rip = UNMAPPED), END };
	static const struct step mmio[] = { { .reason = KVM_EXIT_MMIO, .gpa = RAM }, END };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start(rows[i].code, rows[i].len);
		script(refused);
		run_to(VCPU_REFUSED);
		CU_ASSERT_STRING_EQUAL(
			fake.exit.text, "kvm refuses the instruction and tcg does not know it");
		CU_ASSERT_EQUAL(fake.exit.rip, CODE);
		finish();
	}
	start(vex2, sizeof(vex2));
	script(unreadable);
	run_to(VCPU_REFUSED); /* which instruction it was is not known */
	CU_ASSERT_STRING_EQUAL(fake.exit.text, "kvm: this KVM does not execute the instruction");
	script(mmio);
	run_to(VCPU_REFUSED); /* and this was none */
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.exit.text, "outside RAM"));
	finish();
}

/* With what kvm has of a state that no CPU could have, no burst begins. */
static void a_state_that_cannot_be_lent_is_an_error(void)
{
	static const uint8_t rdtscp[] = { 0x0f, 0x01, 0xf9 };
	static const uint8_t ones[] = { 0x66, 0x0f, 0x76, 0xc0 }; /* pcmpeqd: a register changes */

	start(ones, sizeof(ones));
	script(refused);
	refuse(KVM_GET_XSAVE, 0, EIO);
	CU_ASSERT_EQUAL(backend_run(fake.b, &fake.exit), -EIO);
	script(refused);
	refuse(KVM_SET_XSAVE, 0, EIO);
	CU_ASSERT_EQUAL(backend_run(fake.b, &fake.exit), -EIO);
	code_at(CODE, rdtscp, sizeof(rdtscp));
	load();
	script(refused);
	refuse(KVM_SET_MSRS, 0, EIO);
	CU_ASSERT_EQUAL(backend_run(fake.b, &fake.exit), -EIO);
	finish();
}

/* ---- breakpoints and steps, whoever runs ---- */

static void a_burst_ends_at_a_breakpoint(void)
{
	static const uint8_t code[] = { 0x66, 0x0f, 0xef, 0xc0, 0x90, 0x90 };
	const uint64_t at[] = { CODE + 5 };

	start(code, sizeof(code));
	CU_ASSERT_EQUAL(
		backend_set_debug(fake.b, &(struct vcpu_debug){ .breaks = at, .n_breaks = 1 }), 0);
	script(refused);
	run_to(VCPU_DEBUG);
	CU_ASSERT(fake.exit.why == VCPU_BREAKPOINT && fake.exit.addr == CODE + 5);
	load();
	CU_ASSERT_EQUAL(backend_set_debug(fake.b, &(struct vcpu_debug){ .step = true }), 0);
	script(refused);
	run_to(VCPU_DEBUG);
	CU_ASSERT(fake.exit.why == VCPU_STEP && fake.exit.rip == CODE + 4);
	finish();
}

/* An exception that a burst leaves pending is delivered before anything stops at its address. */
static void an_exception_comes_before_a_breakpoint(void)
{
	static const uint8_t code[] = { 0x0f, 0x01, 0xd0 }; /* xgetbv, without OSXSAVE */
	const uint64_t at[] = { CODE };
	struct cpu_state s;

	start(code, sizeof(code));
	script(refused);
	run_to(VCPU_HALT);
	CU_ASSERT_EQUAL(
		backend_set_debug(fake.b, &(struct vcpu_debug){ .breaks = at, .n_breaks = 1 }), 0);
	load();
	script(refused);
	run_to(VCPU_HALT);
	CU_ASSERT_EQUAL(backend_save(fake.b, &s), 0);
	CU_ASSERT(s.event.pending && s.event.vector == CPU_VEC_UD && s.regs.rip == CODE);
	finish();
}

/* ---- watching, which registers cannot do ---- */

static const struct vcpu_watch long_watch = {
	.gva = DATA - 0x1800, .len = 0x3000, .on_write = true
};

static const struct vcpu_watch far_watch = { .gva = FAR_DATA, .len = 0x3000, .on_write = true };

static void watch(const struct vcpu_watch *w, const uint64_t *breaks, size_t n_breaks, bool step)
{
	const struct vcpu_debug debug = { .watches = w,
		.n_watches = w != NULL,
		.breaks = breaks,
		.n_breaks = n_breaks,
		.step = step };

	CU_ASSERT_EQUAL(backend_set_debug(fake.b, &debug), 0);
}

static void tcg_sees_what_it_writes(void)
{
	static const uint8_t code[] = { 0x90, 0xc6, 0x00, 0x05, 0x90 }; /* movb $5, (rax) */

	start(code, sizeof(code));
	watch(&long_watch, NULL, 0, false);
	run_to(VCPU_DEBUG);
	CU_ASSERT(fake.exit.why == VCPU_WATCHPOINT && fake.exit.wrote);
	CU_ASSERT_EQUAL(fake.exit.addr, long_watch.gva);
	CU_ASSERT_EQUAL(regs_now().rip, CODE + 4);
	CU_ASSERT_EQUAL(fake.step, 0); /* not even asked */
	finish();
}

/* cpuid, which kvm runs; the script lets it write. */
static void what_kvm_wrote_is_found_by_comparing(void)
{
	static const uint8_t cpuid[] = { 0x0f, 0xa2 };
	static const struct step writes[] = { DEBUG(1, CODE + 2, .store = DATA + 16), END };
	static const struct step elsewhere[] = { DEBUG(1, CODE + 2, .store = RAM - 1),
		{ .reason = KVM_EXIT_SHUTDOWN }, END };
	const struct vcpu_watch reads = { .gva = DATA, .len = 64, .on_read = true };
	const struct vcpu_watch both = {
		.gva = DATA, .len = 64, .on_read = true, .on_write = true
	};

	start(cpuid, sizeof(cpuid));
	watch(&both, NULL, 0, false);
	script(writes);
	run_to(VCPU_DEBUG);
	CU_ASSERT(fake.exit.why == VCPU_WATCHPOINT && fake.exit.wrote && fake.exit.addr == DATA);
	load();
	watch(&reads, NULL, 0, false);
	gmem_fill(&fake.mem, DATA + 16, 0, 1);
	script(writes);
	run_to(VCPU_HALT); /* by the hlt behind it, a write being none of its business */
	load();
	watch(&both, NULL, 0, false);
	script(elsewhere);
	run_to(VCPU_SHUTDOWN);
	finish();
}

/* What the host writes in answer to a port is not the guest's doing; what a handler then writes is. */
static void what_a_port_is_answered_with_is_no_hit(void)
{
	static const uint8_t out_dx[] = { 0xee }, out_imm[] = { 0xe6, 0x80 };
	static const struct step one[] = { IO(1, .rip = CODE, .store = DATA), DEBUG(1, CODE + 1),
		{ .reason = KVM_EXIT_SHUTDOWN }, END };
	static const struct step two[] = { IO(1, .rip = CODE, .store = DATA), DEBUG(1, CODE + 2),
		{ .reason = KVM_EXIT_SHUTDOWN }, END };
	static const struct step handler[] = { DEBUG(1, CODE + 32, .store = DATA), END };
	const struct vcpu_watch w = { .gva = DATA, .len = 64, .on_write = true };
	static const struct {
		const uint8_t *code;
		size_t len;
		const struct step *steps;
		enum vcpu_exit_kind kind;
	} rows[] = {
		{ out_dx, 1, one, VCPU_SHUTDOWN },
		{ out_imm, 2, two, VCPU_SHUTDOWN },
		{ out_dx, 1, handler, VCPU_DEBUG },
		{ out_imm, 2, handler, VCPU_DEBUG },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start(rows[i].code, rows[i].len);
		fake.settle_moves = (unsigned)rows[i].len;
		watch(&w, NULL, 0, false);
		script(rows[i].steps);
		run_to(rows[i].kind);
		if (rows[i].kind == VCPU_DEBUG)
			CU_ASSERT(fake.exit.why == VCPU_WATCHPOINT && fake.exit.addr == DATA);
		finish();
	}
}

static void a_port_that_nobody_answers_ends_a_watched_run(void)
{
	static const uint8_t out_dx[] = { 0xee };
	static const struct step one[] = { IO(1, .rip = CODE), DEBUG(1, CODE + 1),
		{ .reason = KVM_EXIT_SHUTDOWN }, END };

	start(out_dx, sizeof(out_dx));
	fake.answers = false;
	fake.settle_moves = 1;
	watch(&long_watch, NULL, 0, false);
	script(one);
	run_to(VCPU_PORT);
	run_to(VCPU_SHUTDOWN); /* the access is finished, and no step of its own */
	finish();
}

static void a_watched_run_stops_at_breakpoints_and_steps(void)
{
	static const uint8_t code[] = { 0x0f, 0xa2, 0x90, 0x90, 0x90, 0x0f, 0xa2 };
	static const struct step steps[] = { DEBUG(1, CODE + 2), DEBUG(1, CODE + 7), END };
	const uint64_t at[] = { CODE + 2, CODE + 4, CODE + 7 };

	start(code, sizeof(code));
	watch(&long_watch, at, 3, false);
	script(steps);
	for (size_t i = 0; i < 3; i++) {
		run_to(VCPU_DEBUG);
		CU_ASSERT(fake.exit.why == VCPU_BREAKPOINT && fake.exit.addr == at[i]);
	}
	load();
	watch(&long_watch, NULL, 0, true);
	script(steps);
	run_to(VCPU_DEBUG);
	CU_ASSERT(fake.exit.why == VCPU_STEP && fake.exit.rip == CODE + 2);
	run_to(VCPU_DEBUG);
	CU_ASSERT(fake.exit.why == VCPU_STEP && fake.exit.rip == CODE + 3);
	backend_kick(fake.b);
	run_to(VCPU_KICKED);
	CU_ASSERT_EQUAL(fake.exit.rip, CODE + 3);
	finish();
}

/* An exception that waits is kvm's to deliver, and comes before a breakpoint where it was raised. */
static void an_exception_is_delivered_before_a_watched_run_stops(void)
{
	static const uint8_t xgetbv[] = { 0x0f, 0x01, 0xd0 };
	static const struct step steps[] = { INTERNAL(NOT_EMULATED), DEBUG(1, CODE + 32), END };
	const uint64_t at[] = { CODE, CODE + 32 };

	start(xgetbv, sizeof(xgetbv));
	watch(&long_watch, at, 2, false);
	script(steps);
	run_to(VCPU_DEBUG);
	CU_ASSERT(fake.exit.why == VCPU_BREAKPOINT && fake.exit.addr == CODE + 32);
	finish();
}

static void what_kvm_refuses_ends_a_watched_run(void)
{
	static const unsigned long requests[] = { KVM_GET_XCRS, KVM_SET_XSAVE };

	start(pxor, sizeof(pxor));
	watch(&long_watch, NULL, 0, false);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		refuse(requests[i], 0, EIO);
		CU_ASSERT_EQUAL(backend_run(fake.b, &fake.exit), -EIO);
	}
	refuse(KVM_RUN, 0, EIO);
	CU_ASSERT_EQUAL(backend_run(fake.b, &fake.exit), -EIO);
	finish();
}

/* Interrupts wait in kvm: now and then it is to take a step over what touches no memory, if they may come. */
static void interrupts_are_let_in_between_bursts(void)
{
	static const uint8_t calm[] = { 0xeb, 0xfe }; /* jmp to itself */
	static const struct step steps[] = { DEBUG(1, CODE), DEBUG(1, CODE + 32), { 0 } };
	const uint64_t at[] = { CODE + 32 };

	start_with((struct backend_config){ .irqchip = true }, calm, sizeof(calm));
	fake.debug2 = KVM_GUESTDBG_BLOCKIRQ;
	fake.state.regs.rflags |= IF;
	load();
	watch(&long_watch, at, 1, false);
	script(steps);
	run_to(VCPU_DEBUG);
	CU_ASSERT(fake.exit.why == VCPU_BREAKPOINT && fake.exit.addr == CODE + 32);
	CU_ASSERT_EQUAL(fake.step, 2);
	finish();
}

static uint64_t stepped_at;

static void note_rip(void)
{
	stepped_at = fake.run->s.regs.regs.rip;
}

/* In a loop with a jump, which is; where a burst ends by itself, the first that is goes to kvm. */
static void kvm_steps_over_what_touches_no_memory(void)
{
	static const struct {
		uint8_t code[6];
		uint8_t len;
		bool calm;
	} rows[] = {
		{ { 0x90 }, 1, true }, { { 0x89, 0xc0 }, 2, true },  /* mov eax, eax */
		{ { 0x89, 0x00 }, 2, false },                        /* mov (rax), eax */
		{ { 0x01, 0xc9 }, 2, true },                         /* add */
		{ { 0x84, 0xc9 }, 2, true },                         /* test */
		{ { 0x8d, 0x08 }, 2, true },                         /* lea */
		{ { 0xb1, 0x05 }, 2, true },                         /* mov cl, 5 */
		{ { 0x70, 0x00 }, 2, true },                         /* jo */
		{ { 0x0f, 0x80, 0x00, 0x00, 0x00, 0x00 }, 6, true }, /* jo, far */
		{ { 0xe9, 0x00, 0x00, 0x00, 0x00 }, 5, true },
		{ { 0xc0, 0xe1, 0x01 }, 3, true },                        /* shl */
		{ { 0xd1, 0xe1 }, 2, true }, { { 0xfe, 0xc1 }, 2, true }, /* inc */
		{ { 0xff, 0xc9 }, 2, true },                              /* dec */
		{ { 0xf7, 0xd9 }, 2, false },       /* neg, which is not looked for */
		{ { 0x0c, 0x00 }, 2, false },       /* or al, 0: nor this */
		{ { 0x0f, 0xef, 0xc0 }, 3, false }, /* pxor */
		{ { 0x8b, 0x08 }, 2, false },       /* mov ecx, (rax) */
	};
	static const struct step steps[] = { DEBUG(1, CODE + 32, .meanwhile = note_rip), END };
	static const uint64_t at[] = { CODE + 32 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const uint8_t jmp[] = { 0xeb, (uint8_t) - (rows[i].len + 2) };

		start_with((struct backend_config){ .irqchip = true }, rows[i].code, rows[i].len);
		code_at(CODE + rows[i].len, jmp, sizeof(jmp));
		fake.state.regs.rflags |= IF;
		load();
		watch(&far_watch, at, 1, false);
		script(steps);
		run_to(VCPU_DEBUG);
		CU_ASSERT_EQUAL(fake.exit.why, VCPU_BREAKPOINT);
		CU_ASSERT_EQUAL(stepped_at, CODE + (rows[i].calm ? 0u : rows[i].len));
		finish();
	}
}

static void is_nothing_without_its_kvm(void)
{
	struct backend_info info = { 0 };

	setup_for(&backend_assisted);
	fake.open_error = ENOENT;
	CU_ASSERT_EQUAL(create((struct backend_config){ 0 }), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.err.text, "load the module"));
	backend_assisted.look(&info);
	CU_ASSERT_FALSE(info.usable);
	fake.open_error = 0;
	backend_assisted.look(&info);
	CU_ASSERT(info.usable && info.watchpoints && strstr(info.debug, "on tcg in bursts"));
	finish();
	backend_assisted.destroy(NULL);
}

static const struct unit_case cases[] = {
	{ "a_burst_ends_before_what_kvm_must_run", a_burst_ends_before_what_kvm_must_run },
	{ "rdtscp_gives_the_clock_of_kvm", rdtscp_gives_the_clock_of_kvm },
	{ "what_neither_knows_is_refused_in_the_name_of_both",
		what_neither_knows_is_refused_in_the_name_of_both },
	{ "a_state_that_cannot_be_lent_is_an_error", a_state_that_cannot_be_lent_is_an_error },
	{ "a_burst_ends_at_a_breakpoint", a_burst_ends_at_a_breakpoint },
	{ "an_exception_comes_before_a_breakpoint", an_exception_comes_before_a_breakpoint },
	{ "tcg_sees_what_it_writes", tcg_sees_what_it_writes },
	{ "what_kvm_wrote_is_found_by_comparing", what_kvm_wrote_is_found_by_comparing },
	{ "what_a_port_is_answered_with_is_no_hit", what_a_port_is_answered_with_is_no_hit },
	{ "a_port_that_nobody_answers_ends_a_watched_run",
		a_port_that_nobody_answers_ends_a_watched_run },
	{ "a_watched_run_stops_at_breakpoints_and_steps",
		a_watched_run_stops_at_breakpoints_and_steps },
	{ "an_exception_is_delivered_before_a_watched_run_stops",
		an_exception_is_delivered_before_a_watched_run_stops },
	{ "what_kvm_refuses_ends_a_watched_run", what_kvm_refuses_ends_a_watched_run },
	{ "interrupts_are_let_in_between_bursts", interrupts_are_let_in_between_bursts },
	{ "kvm_steps_over_what_touches_no_memory", kvm_steps_over_what_touches_no_memory },
	{ "is_nothing_without_its_kvm", is_nothing_without_its_kvm },
};

UNIT_MAIN("assisted_script", cases)
