// SPDX-License-Identifier: ISC
/*
 * kvm with the help of tcg, for a KVM that refuses ordinary instructions (SSE arithmetic, x87,
 * int3). Knows what such instructions are, and neither KVM nor Unicorn.
 *
 * How this works: kvm runs the guest until it refuses an instruction. Its registers go to tcg,
 * which shares the memory and runs a burst: that instruction and what follows, as such code comes
 * in clusters and a change of CPU costs more than hundreds of instructions. A burst ends before
 * whatever must be done by the CPU that has the devices, the clock and the MSRs, before a
 * breakpoint, and after a while, so that interrupts, which wait in kvm, come in time. Then the
 * registers go back. Instructions that need state only kvm has are interpreted here.
 *
 * How a breakpoint is passed: by a burst, too. kvm would take a step without breakpoints, then be told of them again.
 *
 * How a repeated string instruction is stepped: how many turns of it one step of kvm's takes is kvm's business. So a step
 * is as many of those as it takes, and single turns, for who asks for them, are tcg's.
 *
 * How watching works, where debug registers do not do it: the other way round. tcg, which sees each access,
 * runs bursts of what it can run, and kvm steps over what only it can. What kvm wrote is found by comparing;
 * what it read is not. Interrupts wait in kvm, so after each burst it takes a step in which they may come.
 */
#include "backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend_kvm.h"
#include "err.h"
#include "gmem.h"
#include "hash.h"
#include "paging.h"
#include "xsave.h"

enum {
	BURST = 100 * 1000, /* instructions; up to 1 ms once translated */
	PASSES = 16,        /* breakpoints in a row that tcg passes; kvm has the interrupts */
	CALM_TRIES = 16,    /* instructions to find one in that touches no memory */
	CALM_READS =
		1024,  /* the same, when kvm must not read unseen: all code jumps now and then */
	WINDOW = 4096, /* of a watch, how much is compared */
	XCR0_RUN = 3,  /* x87 and SSE: what the two of us can execute */
};

struct assisted {
	struct backend base;
	struct backend *kvm, *tcg;
	bool step, turns;
	uint64_t *breaks;
	size_t n_breaks;
	unsigned passed; /* breakpoints in a row, by tcg */
	bool watching;   /* kvm does not do it alone */
	struct vcpu_watch *watches;
	uint64_t *hashes; /* of what they watch, before a step */
	size_t n_watches;
	struct cpu_state state; /* on its way between the two */
};

static struct assisted *to_assisted(struct backend *b)
{
	return (struct assisted *)b;
}

static struct backend *kvm_of(struct backend *b)
{
	return to_assisted(b)->kvm;
}

/* ---- looking at instructions: SDM 2A 2.1, appendix A ---- */

struct insn {
	const uint8_t *bytes;
	size_t len;          /* bytes that can be looked at */
	size_t at;           /* of the opcode, behind prefixes */
	uint8_t rex, rep;    /* rep: f2, f3 or 0 */
	bool fs, gs, narrow; /* prefixes 64, 65, 67 */
	bool two;            /* 0f xx */
	uint8_t opcode, modrm;
};

static uint8_t byte_at(const struct insn *i, size_t at)
{
	return at < i->len ? i->bytes[at] : 0;
}

static struct insn insn_decode(const uint8_t *bytes, size_t len)
{
	struct insn i = { .bytes = bytes, .len = len };

	for (; i.at < len; i.at++) {
		uint8_t b = bytes[i.at];

		if (b == 0xf2 || b == 0xf3)
			i.rep = b;
		else if (b == 0x64 || b == 0x65)
			i.fs = b == 0x64, i.gs = b == 0x65;
		else if (b == 0x67)
			i.narrow = true;
		else if (b != 0x66 && b != 0xf0 && b != 0x2e && b != 0x36 && b != 0x3e && b != 0x26)
			break;
	}
	if ((byte_at(&i, i.at) & 0xf0) == 0x40)
		i.rex = byte_at(&i, i.at++);
	i.two = byte_at(&i, i.at) == 0x0f;
	i.at += i.two;
	i.opcode = byte_at(&i, i.at);
	i.modrm = byte_at(&i, i.at + 1);
	return i;
}

/* clang-format off */
/* Opcodes that only the CPU with devices, clock and MSRs may run. */
static const bool leave_one[256] = {
	[0x62] = true, [0xc4] = true, [0xc5] = true, /* EVEX, VEX */
	[0x6c ... 0x6f] = true, [0xe4 ... 0xe7] = true, [0xec ... 0xef] = true, /* ins, outs, in, out */
	[0xcf] = true, [0xf1] = true, [0xf4] = true, /* iret, int1, hlt */
	[0x8e] = true, [0xfb] = true, /* mov to ss, sti: interrupts wait one instruction */
};
static const bool leave_two[256] = {
	[0x00] = true, [0x01] = true, /* groups 6 and 7: system tables, swapgs, rdtscp, xgetbv */
	[0x05] = true, [0x07] = true, [0x34] = true, [0x35] = true, /* syscall and the like */
	[0x08] = true, [0x09] = true, /* invd, wbinvd */
	[0x20 ... 0x23] = true, /* mov to and from control and debug registers */
	[0x30 ... 0x33] = true, [0xa2] = true, [0xaa] = true, /* MSRs, rdtsc, rdpmc; cpuid; rsm */
	[0x38] = true, [0x3a] = true, /* but see below */
};
/* clang-format on */

/* 0f 38 and 0f 3a: of these tcg knows SSSE3. */
static bool is_ssse3(const struct insn *i)
{
	uint8_t third = byte_at(i, i->at + 1);

	if (i->opcode == 0x3a)
		return third == 0x0f;
	return third <= 0x0b || (third >= 0x1c && third <= 0x1e);
}

/* 0f ae: fxsave, fxrstor, ldmxcsr, stmxcsr, fences, clflush; 0f c7: cmpxchg8b/16b. */
static bool is_plain_group(const struct insn *i)
{
	unsigned reg = i->modrm >> 3 & 7, mod = i->modrm >> 6;

	if (i->opcode == 0xc7)
		return reg == 1 && mod != 3;
	if (i->rep)
		return false;
	return mod == 3 ? reg >= 5 : reg <= 3 || reg == 7;
}

static bool must_leave(const struct insn *i)
{
	if (!i->two)
		return leave_one[i->opcode];
	if (i->opcode == 0xae || i->opcode == 0xc7)
		return !is_plain_group(i);
	if (i->opcode == 0x38 || i->opcode == 0x3a)
		return !is_ssse3(i);
	return leave_two[i->opcode];
}

/* ---- instructions interpreted here ---- */

/* The linear address of the memory operand: SDM 2A 2.1.5, 2.2.1. */
static uint64_t operand_gva(const struct insn *i, const struct cpu_state *s, uint64_t *end)
{
	unsigned mod = i->modrm >> 6, rm = i->modrm & 7, base = rm;
	size_t at = i->at + 2;
	uint64_t gva = 0;
	int32_t disp = 0;

	if (rm == 4) {
		uint8_t sib = byte_at(i, at++);
		unsigned index = (sib >> 3 & 7) | (i->rex & 2u) << 2;

		base = sib & 7;
		if (index != CPU_RSP)
			gva = s->regs.gpr[index] << (sib >> 6);
	}
	if (mod == 1) {
		disp = (int8_t)byte_at(i, at++);
	} else if (mod == 2 || (mod == 0 && base == 5)) {
		for (unsigned n = 0; n < 4; n++)
			disp |= (int32_t)((uint32_t)byte_at(i, at++) << 8 * n);
	}
	*end = s->regs.rip + at;
	if (mod == 0 && rm == 5)
		gva = *end;
	else if (mod != 0 || base != 5)
		gva += s->regs.gpr[base | (i->rex & 1u) << 3];
	gva += (uint64_t)(int64_t)disp;
	if (i->narrow)
		gva = (uint32_t)gva;
	return gva + (i->fs ? s->seg[CPU_FS].base : i->gs ? s->seg[CPU_GS].base : 0);
}

/* kvm delivers it when it goes on. */
static int raise(struct cpu_state *s, enum cpu_vector vector, bool has_error, uint32_t error)
{
	s->event = (struct cpu_event){
		.pending = true, .vector = (uint8_t)vector, .has_error = has_error, .error = error
	};
	return 0;
}

static void set_edx_eax(struct cpu_state *s, uint64_t value)
{
	s->regs.gpr[CPU_RAX] = (uint32_t)value;
	s->regs.gpr[CPU_RDX] = value >> 32;
}

static uint64_t get_edx_eax(const struct cpu_state *s)
{
	return s->regs.gpr[CPU_RDX] << 32 | (uint32_t)s->regs.gpr[CPU_RAX];
}

static int do_rdtscp(struct assisted *a, const struct insn *i, struct cpu_state *s)
{
	(void)a;
	set_edx_eax(s, s->tsc);
	s->regs.gpr[CPU_RCX] = 0; /* TSC_AUX: the number of the CPU */
	s->regs.rip += i->at + 2;
	return 0;
}

/* Without AVX, whatever CPUID says: so that the guest does not use what neither of us executes. */
static int do_xgetbv(struct assisted *a, const struct insn *i, struct cpu_state *s)
{
	(void)a;
	if (!(s->cr4 & CPU_CR4_OSXSAVE))
		return raise(s, CPU_VEC_UD, false, 0);
	if ((uint32_t)s->regs.gpr[CPU_RCX] > 1)
		return raise(s, CPU_VEC_GP, true, 0);
	set_edx_eax(s, s->xcr0 & XCR0_RUN);
	s->regs.rip += i->at + 2;
	return 0;
}

static int do_xstate(struct assisted *a, const struct insn *i, struct cpu_state *s, bool restore)
{
	uint64_t end;
	struct xsave x = {
		.mem = a->base.config.mem,
		.paging = paging_of_state(s),
		.user = (s->seg[CPU_CS].selector & 3) == 3,
		.xcr0 = s->xcr0,
		.want = get_edx_eax(s),
		.gva = operand_gva(i, s, &end),
		.fx = s->fx,
		.ymmh = s->ymmh,
	};
	int r = restore ? xsave_restore(&x) : xsave_save(&x, i->opcode == 0xc7);

	if (!r)
		s->regs.rip = end;
	if (r != -EFAULT)
		return r;
	s->event = x.event;
	if (x.event.vector == CPU_VEC_PF)
		s->cr2 = x.cr2;
	return 0;
}

static int do_xsave(struct assisted *a, const struct insn *i, struct cpu_state *s)
{
	return do_xstate(a, i, s, false);
}

static int do_xrstor(struct assisted *a, const struct insn *i, struct cpu_state *s)
{
	return do_xstate(a, i, s, true);
}

/* 0, state then being what is to go on with; -ENOTSUP: not for here after all. */
typedef int do_fn(struct assisted *a, const struct insn *i, struct cpu_state *s);

/* clang-format off */
static const struct own_row {
	uint8_t opcode, mask, modrm; /* the modrm byte, masked */
	bool memory;                 /* only with a memory operand */
	do_fn *run;
} own_rows[] = {
	{ 0x01, 0xff, 0xf9, false, do_rdtscp },
	{ 0x01, 0xff, 0xd0, false, do_xgetbv },
	{ 0xae, 0x38, 0x20, true, do_xsave },
	{ 0xae, 0x38, 0x28, true, do_xrstor },
	{ 0xae, 0x38, 0x30, true, do_xsave }, /* xsaveopt may save all */
	{ 0xc7, 0x38, 0x20, true, do_xsave }, /* xsavec */
};
/* clang-format on */

static do_fn *find_own(const struct insn *i)
{
	for (size_t n = 0; i->two && !i->rep && n < sizeof(own_rows) / sizeof(own_rows[0]); n++) {
		const struct own_row *row = &own_rows[n];

		if (row->opcode == i->opcode && (i->modrm & row->mask) == row->modrm &&
			(!row->memory || i->modrm >> 6 != 3))
			return row->run;
	}
	return NULL;
}

/* ---- bursts ---- */

static bool is_break(const struct assisted *a, uint64_t rip)
{
	for (size_t i = 0; i < a->n_breaks; i++) {
		if (a->breaks[i] == rip)
			return true;
	}
	return false;
}

static bool leave(void *ctx, uint64_t rip, const uint8_t *bytes, size_t len)
{
	struct insn i = insn_decode(bytes, len);

	(void)ctx, (void)rip;
	return must_leave(&i);
}

static int burst(
	struct assisted *a, struct vcpu_exit *exit, uint64_t max, enum backend_kvm_part part)
{
	uint64_t start = a->state.regs.rip;
	uint64_t before = backend_icount(a->tcg);
	struct cpu_state back;
	int r = backend_load(a->tcg, &a->state);

	if (!r)
		r = backend_tcg.burst(a->tcg, exit, max, leave, a);
	if (!r && exit->kind == VCPU_REFUSED && exit->rip == start &&
		backend_icount(a->tcg) == before)
		return -ENOTSUP;
	if (!r)
		r = backend_save(a->tcg, &back);
	if (r)
		return r;
	/* What tcg does not have stays as it was. */
	back.tsc = a->state.tsc;
	back.apic_base = a->state.apic_base;
	back.xcr0 = a->state.xcr0;
	memcpy(back.ymmh, a->state.ymmh, sizeof(back.ymmh));
	return backend_kvm_take_back(a->kvm, part, &back);
}

/* Past the instruction that kvm refused: 0; -ENOTSUP: nobody knows it; -EPERM: that was not it. */
static int help(struct assisted *a, struct vcpu_exit *exit)
{
	struct insn i = insn_decode(exit->insn, exit->insn_len);
	do_fn *own = find_own(&i);
	bool all = own || must_leave(&i);
	int r;

	if (!exit->insn_len || (!i.two && (i.opcode == 0x62 || (i.opcode & 0xfe) == 0xc4)))
		return -ENOTSUP;
	a->state.event = (struct cpu_event){ 0 };
	r = backend_kvm_lend(a->kvm, all ? BACKEND_KVM_ALL : BACKEND_KVM_CORE, &a->state);
	if (r)
		return r;
	if (!own)
		return burst(
			a, exit, a->step ? 1 : BURST, all ? BACKEND_KVM_ALL : BACKEND_KVM_CORE);
	r = own(a, &i, &a->state);
	if (!r)
		r = backend_kvm_take_back(a->kvm, BACKEND_KVM_ALL, &a->state);
	exit->kind = VCPU_DEBUG;
	exit->why = VCPU_STEP;
	return r;
}

static int debug_exit(struct assisted *a, struct vcpu_exit *exit, enum vcpu_debug_why why)
{
	struct cpu_regs regs;
	int r = backend_get_regs(a->kvm, &regs);

	*exit = (struct vcpu_exit){
		.kind = VCPU_DEBUG, .why = why, .rip = regs.rip, .addr = regs.rip
	};
	return r ? r : 1;
}

/* What came of a burst, r: 1, 0 or -errno as of run_kvm(). */
static int after_burst(int r, const struct vcpu_exit *exit)
{
	if (r || exit->kind == VCPU_SHUTDOWN)
		return r ? r : 1;
	return exit->kind == VCPU_DEBUG && exit->why == VCPU_WATCHPOINT;
}

/*
 * kvm has run; where it refused, tcg has. 1: run returns *exit, 0: the guest goes on, or -errno. *helped: the
 * latter.
 */
static int run_kvm(struct assisted *a, struct vcpu_exit *exit, bool *helped)
{
	int r = a->kvm->ops->run(a->kvm, exit);
	struct vcpu_exit refused = *exit;

	*helped = false;
	if (r || exit->kind != VCPU_REFUSED)
		return r ? r : 1;
	r = help(a, exit);
	if (r == -ENOTSUP || r == -EPERM) {
		*exit = refused;
		if (r == -ENOTSUP && refused.insn_len)
			exit->text = "kvm refuses the instruction and tcg does not know it";
		return 1;
	}
	*helped = true;
	return after_burst(r, exit);
}

static struct insn insn_at(
	const struct assisted *a, const struct paging *p, uint64_t rip, uint8_t bytes[static 15])
{
	return insn_decode(bytes, (size_t)paging_read(a->base.config.mem, p, rip, bytes, 15));
}

/* Of the state that is on its way. */
static struct insn insn_next(const struct assisted *a, uint8_t bytes[static 15])
{
	struct paging p = paging_of_state(&a->state);

	return insn_at(a, &p, a->state.regs.rip, bytes);
}

/* Goes on from the breakpoint that kvm has stopped at: as run_kvm, or -ENOTSUP when it is for kvm to do. */
static int pass(struct assisted *a, struct vcpu_exit *exit)
{
	struct cpu_regs regs;
	uint8_t bytes[15];
	struct insn i;
	int r;

	if (a->step || !a->n_breaks || a->passed >= PASSES || backend_get_regs(a->kvm, &regs) ||
		!is_break(a, regs.rip))
		return -ENOTSUP;
	a->state.event = (struct cpu_event){ 0 };
	r = backend_kvm_lend(a->kvm, BACKEND_KVM_CORE, &a->state);
	if (r)
		return r == -EPERM ? -ENOTSUP : r;
	i = insn_next(a, bytes);
	if (!i.len || must_leave(&i))
		return -ENOTSUP;
	a->passed++;
	return after_burst(burst(a, exit, BURST, BACKEND_KVM_CORE), exit);
}

/* movs, cmps, stos, lods, scas with a repeat prefix */
static bool is_repeated(const struct insn *i)
{
	return i->rep && !i->two && i->len &&
	       ((i->opcode & 0xfc) == 0xa4 || (i->opcode >= 0xaa && i->opcode <= 0xaf));
}

static bool is_repeated_at(struct assisted *a, uint64_t rip)
{
	uint8_t bytes[15];
	struct paging p;
	struct insn i;

	if (backend_paging(a->kvm, &p))
		return false;
	i = insn_at(a, &p, rip, bytes);
	return is_repeated(&i);
}

/* A turn of a repeated instruction that is asked for: as run_kvm, or -ENOTSUP when it is for kvm to do. */
static int turn(struct assisted *a, struct vcpu_exit *exit)
{
	struct cpu_regs regs;
	int r;

	if (!a->step || !a->turns || backend_kvm_unfinished(a->kvm) ||
		backend_get_regs(a->kvm, &regs) || !is_repeated_at(a, regs.rip))
		return -ENOTSUP;
	r = backend_save(a->kvm, &a->state);
	if (r)
		return r;
	if (a->state.event.pending || a->state.halted)
		return -ENOTSUP;
	return after_burst(burst(a, exit, 1, BACKEND_KVM_ALL), exit);
}

/* kvm has taken a step from there. Is the instruction through? */
static bool is_through(
	struct assisted *a, const struct vcpu_exit *exit, const struct cpu_regs *before)
{
	struct cpu_regs now;

	return a->turns || exit->kind != VCPU_DEBUG || exit->why != VCPU_STEP ||
	       backend_get_regs(a->kvm, &now) || now.rip != before->rip ||
	       now.gpr[CPU_RCX] == before->gpr[CPU_RCX] || !is_repeated_at(a, now.rip);
}

/* As run_kvm. A step is one instruction, however many that is to kvm. */
static int run_kvm_on(struct assisted *a, struct vcpu_exit *exit)
{
	struct cpu_regs before = { 0 };
	bool helped;
	int r;

	do {
		if (a->step)
			backend_get_regs(a->kvm, &before);
		r = run_kvm(a, exit, &helped);
	} while (r > 0 && a->step && !is_through(a, exit, &before));
	return r;
}

static int run_helped(struct assisted *a, struct vcpu_exit *exit)
{
	struct cpu_regs regs;
	int r = turn(a, exit);

	if (r == -ENOTSUP)
		r = pass(a, exit);
	for (;;) {
		if (r == -ENOTSUP) {
			a->passed = 0;
			r = run_kvm_on(a, exit);
		}
		if (r)
			return r;
		backend_get_regs(a->kvm, &regs);
		if (a->step)
			return debug_exit(a, exit, VCPU_STEP);
		if (is_break(a, regs.rip) && !a->state.event.pending)
			return debug_exit(a, exit, VCPU_BREAKPOINT);
		r = -ENOTSUP;
	}
}

/* ---- watching ---- */

static bool is_port(const struct insn *i)
{
	return !i->two && ((i->opcode & 0xfc) == 0xe4 || (i->opcode & 0xfc) == 0xec);
}

/* Touches no memory and ends nothing: kvm may run it unseen. */
static bool is_calm(const struct insn *i)
{
	uint8_t op = i->opcode;

	if (i->two)
		return (op & 0xf0) == 0x80; /* jcc */
	if ((op & 0xf0) == 0x70 || op == 0xe9 || op == 0xeb || op == 0x90 || (op & 0xf0) == 0xb0 ||
		op == 0x8d)
		return true;
	/* Arithmetic, mov, test, shifts, inc, dec: between registers. */
	return i->modrm >> 6 == 3 &&
	       ((op < 0x40 && (op & 7) < 4) || (op >= 0x80 && op <= 0x8b) || (op & 0xfe) == 0xc0 ||
		       (op & 0xfc) == 0xd0 || ((op & 0xfe) == 0xfe && !(i->modrm & 0x30)));
}

/* Of a long watch, what lies where the instruction writes. */
static struct vcpu_watch window_of(
	const struct assisted *a, const struct vcpu_watch *w, const struct insn *i)
{
	struct vcpu_watch window = *w;
	uint64_t end, at = operand_gva(i, &a->state, &end);

	if (w->len <= WINDOW)
		return window;
	if (at - w->gva < w->len) {
		window.len -= at - w->gva;
		window.gva = at;
	}
	if (window.len > WINDOW)
		window.len = WINDOW;
	return window;
}

static uint64_t hash_of(const struct assisted *a, const struct vcpu_watch *w)
{
	struct paging p = paging_of_state(&a->state);
	uint8_t bytes[WINDOW];
	size_t n = (size_t)paging_read(a->base.config.mem, &p, w->gva, bytes, w->len);

	return hash_bytes(0, bytes, n);
}

/* What is watched for writes, with what was there before; NULL: nothing has changed, or to be remembered now. */
static const struct vcpu_watch *watches_compare(
	struct assisted *a, const struct insn *i, bool remember)
{
	for (size_t n = 0; n < a->n_watches; n++) {
		struct vcpu_watch window = window_of(a, &a->watches[n], i);
		uint64_t hash;

		if (!a->watches[n].on_write)
			continue;
		hash = hash_of(a, &window);
		if (!remember && hash != a->hashes[n])
			return &a->watches[n];
		a->hashes[n] = hash;
	}
	return NULL;
}

static int watch_exit(struct assisted *a, struct vcpu_exit *exit, const struct vcpu_watch *w)
{
	int r = debug_exit(a, exit, VCPU_WATCHPOINT);

	exit->addr = w->gva;
	exit->wrote = true;
	return r;
}

/* Interrupts could come if kvm took a step: that many instructions are tried for one that it may run unseen. */
static unsigned calm_tries(const struct assisted *a)
{
	if (!a->base.config.irqchip)
		return 0;
	for (size_t n = 0; n < a->n_watches; n++) {
		if (a->watches[n].on_read)
			return CALM_READS;
	}
	return CALM_TRIES;
}

/* May interrupts come in a step over it, and are they let in? */
static bool is_open(struct assisted *a, const struct insn *i)
{
	return !backend_kvm_unfinished(a->kvm) && !is_port(i) && !a->step &&
	       (a->state.regs.rflags & CPU_RFLAGS_IF);
}

/* Of HLT as a step some KVMs say nothing but that it was one. */
static bool halts_for_ever(const struct assisted *a, const struct insn *i)
{
	return !i->two && i->opcode == 0xf4 && !a->base.config.irqchip &&
	       !(a->state.seg[CPU_CS].selector & 3);
}

/* It was the port access that was executed, and not what an interrupt led to. */
static bool was_port(struct assisted *a, const struct insn *i)
{
	struct cpu_regs regs;

	return is_port(i) && !backend_get_regs(a->kvm, &regs) &&
	       regs.rip - a->state.regs.rip == i->at + (i->opcode & 8 ? 1 : 2);
}

/* What is unfinished, or one instruction, by kvm. What the host writes meanwhile is not the guest's. */
static int step_on_kvm(struct assisted *a, struct vcpu_exit *exit, const struct insn *i)
{
	bool compare = !backend_kvm_unfinished(a->kvm), helped;
	const struct vcpu_watch *w;
	int r;

	if (compare)
		watches_compare(a, i, true);
	backend_kvm_let_irqs(a->kvm, is_open(a, i) || a->state.halted);
	r = halts_for_ever(a, i) ? backend_set_debug(a->kvm, &(struct vcpu_debug){ 0 }) : 0;
	if (!r)
		r = run_kvm(a, exit, &helped);
	backend_set_debug(a->kvm, &(struct vcpu_debug){ .step = true });
	if (r < 0 || (r && (exit->kind != VCPU_DEBUG || exit->why != VCPU_STEP)))
		return r;
	if (!helped)
		a->state.event.pending = false; /* it has been delivered */
	w = compare && !was_port(a, i) ? watches_compare(a, i, false) : NULL;
	return w ? watch_exit(a, exit, w) : 0;
}

static int burst_watched(struct assisted *a, struct vcpu_exit *exit, uint64_t max, bool *refused)
{
	int r = burst(a, exit, max, BACKEND_KVM_ALL);

	*refused = r == -ENOTSUP || (!r && exit->kind != VCPU_DEBUG);
	if (r == -ENOTSUP)
		return 0;
	if (r || exit->kind == VCPU_SHUTDOWN)
		return r ? r : 1;
	return exit->kind == VCPU_DEBUG && exit->why != VCPU_STEP;
}

/* Of the calm tries that are left: is it for this instruction that they were? */
static bool calm_enough(const struct assisted *a, const struct insn *i, unsigned calm)
{
	return is_calm(i) || (calm == 1 && calm_tries(a) == CALM_TRIES);
}

/* A little further. calm: see calm_tries(). by_kvm: tcg cannot run this one. */
static int go_watched(struct assisted *a, struct vcpu_exit *exit, unsigned *calm, bool *by_kvm)
{
	uint8_t bytes[15];
	struct insn i;
	bool trying;
	int r = backend_save(a->kvm, &a->state);

	if (r)
		return r;
	i = insn_next(a, bytes);
	trying = *calm && (a->state.regs.rflags & CPU_RFLAGS_IF);
	if (*by_kvm || !i.len || must_leave(&i) || a->state.event.pending || a->state.halted ||
		(trying && calm_enough(a, &i, *calm))) {
		if (is_open(a, &i))
			*calm = 0;
		*by_kvm = false;
		return step_on_kvm(a, exit, &i);
	}
	r = burst_watched(a, exit, a->step || trying ? 1 : BURST, by_kvm);
	*calm = trying ? *calm - 1 : calm_tries(a);
	return r;
}

static int run_watched(struct assisted *a, struct vcpu_exit *exit)
{
	bool by_kvm = backend_kvm_unfinished(a->kvm);
	unsigned calm = 0;
	struct cpu_regs regs;
	int r;

	for (;;) {
		if (backend_kvm_kicked(a->kvm)) {
			r = debug_exit(a, exit, VCPU_STEP);
			exit->kind = VCPU_KICKED;
			return r;
		}
		r = go_watched(a, exit, &calm, &by_kvm);
		if (r)
			return r;
		if (by_kvm)
			continue; /* of this instruction nothing is done */
		backend_get_regs(a->kvm, &regs);
		if (a->step)
			return debug_exit(a, exit, VCPU_STEP);
		if (is_break(a, regs.rip) && !a->state.event.pending)
			return debug_exit(a, exit, VCPU_BREAKPOINT);
	}
}

static int assisted_run(struct backend *b, struct vcpu_exit *exit)
{
	struct assisted *a = to_assisted(b);
	int r = a->watching ? run_watched(a, exit) : run_helped(a, exit);

	return r < 0 ? r : 0;
}

/* ---- the rest is kvm's ---- */

static void assisted_destroy(struct backend *b)
{
	struct assisted *a = to_assisted(b);

	if (!a)
		return;
	backend_destroy(a->kvm);
	backend_destroy(a->tcg);
	free(a->breaks);
	free(a->watches);
	free(a->hashes);
	free(a);
}

static int assisted_create(
	struct backend **out, const struct backend_config *config, struct err *err)
{
	struct backend_config for_kvm = *config;
	const struct backend_config for_tcg = { .mem = config->mem };
	struct assisted *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return err_set(err, -ENOMEM, "kvm: out of memory");
	a->base = (struct backend){ .ops = &backend_assisted, .config = *config };
	for_kvm.want_paging =
		true; /* segments and control registers come with each exit: no ioctl */
	r = backend_kvm.create(&a->kvm, &for_kvm, err);
	if (!r)
		r = backend_tcg.create(&a->tcg, &for_tcg, err);
	if (r) {
		assisted_destroy(&a->base);
		return r;
	}
	*out = &a->base;
	return 0;
}

static int assisted_get_regs(struct backend *b, struct cpu_regs *regs)
{
	return backend_get_regs(kvm_of(b), regs);
}

static int assisted_set_regs(struct backend *b, const struct cpu_regs *regs)
{
	return backend_set_regs(kvm_of(b), regs);
}

static int assisted_save(struct backend *b, struct cpu_state *state)
{
	return backend_save(kvm_of(b), state);
}

static int assisted_load(struct backend *b, const struct cpu_state *state)
{
	return backend_load(kvm_of(b), state);
}

static int assisted_paging(struct backend *b, struct paging *p)
{
	return backend_paging(kvm_of(b), p);
}

static int keep_breaks(struct assisted *a, const uint64_t *from, size_t n)
{
	uint64_t *breaks;

	if (n == a->n_breaks && (!n || !memcmp(from, a->breaks, n * sizeof(*from))))
		return 0;
	breaks = calloc(n + 1, sizeof(*breaks));
	if (!breaks)
		return -ENOMEM;
	if (n)
		memcpy(breaks, from, n * sizeof(*breaks));
	free(a->breaks);
	a->breaks = breaks;
	a->n_breaks = n;
	return 0;
}

static int keep_watches(struct assisted *a, const struct vcpu_watch *from, size_t n)
{
	struct vcpu_watch *watches;
	uint64_t *hashes;

	if (!n && !a->n_watches)
		return 0;
	watches = calloc(n + 1, sizeof(*watches));
	hashes = calloc(n + 1, sizeof(*hashes));
	if (!watches || !hashes) {
		free(watches);
		free(hashes);
		return -ENOMEM;
	}
	if (n)
		memcpy(watches, from, n * sizeof(*watches));
	free(a->watches);
	free(a->hashes);
	a->watches = watches;
	a->hashes = hashes;
	a->n_watches = n;
	return 0;
}

/* tcg is told all, for it helps out; kvm what it can do, or to step when it shall not do it alone. */
static int assisted_set_debug(struct backend *b, const struct vcpu_debug *d)
{
	struct assisted *a = to_assisted(b);
	struct vcpu_debug for_tcg = *d;
	int r = backend_set_debug(a->kvm, d);
	bool watching =
		d->n_watches && !d->until && !d->exceptions && (r == -EOPNOTSUPP || r == -ENOSPC);

	if (watching)
		r = backend_set_debug(a->kvm, &(struct vcpu_debug){ .step = true });
	for_tcg.step = for_tcg.turns = d->step && d->turns;
	if (!r)
		r = backend_set_debug(a->tcg, &for_tcg);
	if (!r)
		r = keep_breaks(a, d->breaks, d->n_breaks);
	if (!r)
		r = keep_watches(a, d->watches, d->n_watches);
	if (r)
		return r;
	a->watching = watching;
	a->step = d->step;
	a->turns = d->turns;
	backend_kvm_let_irqs(a->kvm, false);
	return 0;
}

/* Whoever of the two runs. */
static void assisted_kick(struct backend *b)
{
	backend_kick(kvm_of(b));
	backend_kick(to_assisted(b)->tcg);
}

static uint32_t assisted_tsc_khz(struct backend *b)
{
	return backend_tsc_khz(kvm_of(b));
}

static int assisted_cpuid(struct backend *b, struct cpuid_entry *table, size_t max)
{
	return backend_cpuid(kvm_of(b), table, max);
}

static void assisted_code_changed(struct backend *b, uint64_t gpa, size_t len)
{
	backend_code_changed(to_assisted(b)->tcg, gpa, len);
}

/* tcg has no state of its own between two runs. */
static size_t assisted_frozen_size(const struct backend *b)
{
	return backend_frozen_size(((const struct assisted *)b)->kvm);
}

static int assisted_freeze(struct backend *b, void *frozen)
{
	return backend_freeze(kvm_of(b), frozen);
}

static int assisted_thaw(struct backend *b, const void *frozen)
{
	return backend_thaw(kvm_of(b), frozen);
}

static void watchpoints_too(struct backend_info *info)
{
	char *at = strstr(info->debug, "watchpoints: ");

	if (!info->usable || !at)
		return;
	snprintf(at, sizeof(info->debug) - (size_t)(at - info->debug), "watchpoints: %s; %s",
		info->watchpoints ? "4 debug registers, others on tcg in bursts"
				  : "on tcg in bursts, which then runs what it can",
		"instructions are not counted");
	info->watchpoints = true;
}

static void assisted_probe(struct backend_info *info)
{
	backend_kvm.probe(info);
	watchpoints_too(info);
}

static void assisted_look(struct backend_info *info)
{
	backend_kvm.look(info);
	watchpoints_too(info);
}

const struct backend_ops backend_assisted = {
	.name = "kvm",
	.sleeps = true,
	.probe = assisted_probe,
	.look = assisted_look,
	.create = assisted_create,
	.destroy = assisted_destroy,
	.run = assisted_run,
	.get_regs = assisted_get_regs,
	.set_regs = assisted_set_regs,
	.save = assisted_save,
	.load = assisted_load,
	.paging = assisted_paging,
	.set_debug = assisted_set_debug,
	.kick = assisted_kick,
	.tsc_khz = assisted_tsc_khz,
	.cpuid = assisted_cpuid,
	.code_changed = assisted_code_changed,
	.frozen_size = assisted_frozen_size,
	.freeze = assisted_freeze,
	.thaw = assisted_thaw,
};
