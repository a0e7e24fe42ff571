// SPDX-License-Identifier: ISC
/*
 * A guest on Linux KVM, with VT-x, SVM or neither. Knows no calls, no ABI, and not who helps out
 * when this KVM refuses an instruction (backend_assisted.c).
 *
 * How an exit costs one ioctl: registers (and segments, for config.want_paging) come back with
 * KVM_RUN in kvm_run.s and are written there; kvm_dirty_regs makes KVM take them in. So kvm_run.s
 * is the truth about registers from create on.
 *
 * What a port access leaves behind: KVM finishes it at the next KVM_RUN and would overwrite
 * registers set in between; settle() makes it finish now. Where RIP is in the meantime depends on
 * who executed the instruction: a CPU leaves it at the `out`, KVM's emulator after it. The first
 * `out` of a guest is settled at once, and whether RIP moves then tells.
 */
#include "backend_kvm.h"

#include <assert.h>
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend.h"
#include "cleanup.h"
#include "cpuid_table.h"
#include "err.h"
#include "gmem.h"
#include "int3.h"
#include "paging.h"
#include "tcg_cpuid.h"

enum {
	API_VERSION = 12,
	SLOTS = 4, /* debug registers */
	/* In the hole below 4 GiB, where no guest has RAM and no interrupt controller is. */
	IDENTITY_MAP = 0xfffbc000,
	TSS_ADDR = 0xfffbd000,
	XSAVE_LEGACY = 416, /* bytes of FXSAVE64 that hold state */
	XSAVE_HEADER = 512,
	XSAVE_YMMH = 576,
	MXCSR_MASK_AT = 28,
	XFEATURE_FPSSE = 3,
	XFEATURE_AVX = 4,
	REAL_TSC = 0x10,
	MISC_ENABLE = 0x1a0,
	TSC_ADJUST = 0x3b,
	TSC_DEADLINE_MSR = 0x6e0,
};

#define TSC_AUX 0xc0000103u

enum io_state { IO_NONE, IO_OUT, IO_IN };
enum out_rip { OUT_RIP_UNKNOWN, OUT_RIP_AT, OUT_RIP_PAST };

struct debug {
	bool step;
	unsigned n_watches;
	struct piece {
		uint64_t gva, watch; /* what a register watches of a watch, which begins at */
		uint8_t len;
		bool on_read;
		uint8_t before[8]; /* when the run began; to tell writes from reads */
	} watches[SLOTS];
	uint64_t *breaks; /* as they were given */
	size_t n_breaks;
	/* Of these, at the last look, in debug registers; all others are int3. */
	unsigned n_slots;
	uint64_t slots[SLOTS];
	struct int3 int3; /* room for all */
};

struct kvm {
	struct backend base;
	int vm_fd, vcpu_fd;
	struct kvm_run *run;
	size_t run_size;
	uint64_t xcr0_mask; /* what the CPU has */
	uint32_t tsc_khz;
	bool watches_fire;
	bool block_irq; /* KVM_GUESTDBG_BLOCKIRQ is there */
	bool let_irqs;  /* and not to be used */

	enum io_state io; /* what the next KVM_RUN will finish */
	enum out_rip out_rip;
	bool returned_port; /* by the last run */
	bool unseen; /* the last run was kicked where a breakpoint may be, before it was told */
	bool lendable; /* the last run ended before an instruction that KVM lacks, or at a breakpoint */
	bool out_done; /* the `out` last reported is over: its step is */
	bool io_again; /* thawed at an `in`: it is executed anew, its answer is in io_answer */
	uint32_t io_answer;
	bool halted; /* loaded so, without an interrupt controller: run says it once */
	atomic_bool kicked;

	struct debug debug;
	bool planted;            /* there were int3 of ours at the last KVM_RUN */
	bool stepping, skipping; /* what is armed: one instruction; past a breakpoint at RIP */
	struct kvm_guest_debug armed;
	struct kvm_xsave xsave;
};

static struct kvm *to_kvm(struct backend *b)
{
	return (struct kvm *)b;
}

static struct kvm_regs *regs_of(struct kvm *k)
{
	return &k->run->s.regs.regs;
}

/* ---- conversions ---- */

/* clang-format off */
/* In the order of enum cpu_gpr. */
static const size_t gpr_at[CPU_GPR_COUNT] = {
	offsetof(struct kvm_regs, rax), offsetof(struct kvm_regs, rcx),
	offsetof(struct kvm_regs, rdx), offsetof(struct kvm_regs, rbx),
	offsetof(struct kvm_regs, rsp), offsetof(struct kvm_regs, rbp),
	offsetof(struct kvm_regs, rsi), offsetof(struct kvm_regs, rdi),
	offsetof(struct kvm_regs, r8), offsetof(struct kvm_regs, r9),
	offsetof(struct kvm_regs, r10), offsetof(struct kvm_regs, r11),
	offsetof(struct kvm_regs, r12), offsetof(struct kvm_regs, r13),
	offsetof(struct kvm_regs, r14), offsetof(struct kvm_regs, r15),
};

/* In the order of enum cpu_seg_name. */
static const size_t seg_at[CPU_SEG_COUNT] = {
	offsetof(struct kvm_sregs, es), offsetof(struct kvm_sregs, cs),
	offsetof(struct kvm_sregs, ss), offsetof(struct kvm_sregs, ds),
	offsetof(struct kvm_sregs, fs), offsetof(struct kvm_sregs, gs),
	offsetof(struct kvm_sregs, ldt), offsetof(struct kvm_sregs, tr),
};
/* clang-format on */

static const struct msr_row {
	uint32_t index;
	size_t at;
} msr_rows[] = {
	{ 0xc0000081, offsetof(struct cpu_state, star) },
	{ 0xc0000082, offsetof(struct cpu_state, lstar) },
	{ 0xc0000083, offsetof(struct cpu_state, cstar) },
	{ 0xc0000084, offsetof(struct cpu_state, sfmask) },
	{ 0xc0000102, offsetof(struct cpu_state, kernel_gs_base) },
	{ 0x174, offsetof(struct cpu_state, sysenter_cs) },
	{ 0x175, offsetof(struct cpu_state, sysenter_esp) },
	{ 0x176, offsetof(struct cpu_state, sysenter_eip) },
	{ 0x277, offsetof(struct cpu_state, pat) },
	{ REAL_TSC, offsetof(struct cpu_state, tsc) },
};
enum { MSR_ROWS = sizeof(msr_rows) / sizeof(msr_rows[0]) };

static void regs_from_kvm(struct cpu_regs *to, const struct kvm_regs *from)
{
	for (size_t i = 0; i < CPU_GPR_COUNT; i++)
		memcpy(&to->gpr[i], (const char *)from + gpr_at[i], sizeof(uint64_t));
	to->rip = from->rip;
	to->rflags = from->rflags;
}

static void regs_to_kvm(struct kvm_regs *to, const struct cpu_regs *from)
{
	for (size_t i = 0; i < CPU_GPR_COUNT; i++)
		memcpy((char *)to + gpr_at[i], &from->gpr[i], sizeof(uint64_t));
	to->rip = from->rip;
	to->rflags = from->rflags;
}

static struct cpu_seg seg_from_kvm(const struct kvm_segment *s)
{
	unsigned attr = s->type | (unsigned)s->s << 4 | (unsigned)s->dpl << CPU_SEG_DPL_SHIFT |
			(unsigned)s->present << 7 | (unsigned)s->avl << 12 | (unsigned)s->l << 13 |
			(unsigned)s->db << 14 | (unsigned)s->g << 15;

	if (s->unusable)
		attr = CPU_SEG_UNUSABLE;
	return (struct cpu_seg){
		.base = s->base, .limit = s->limit, .attr = attr, .selector = s->selector
	};
}

static struct kvm_segment seg_to_kvm(const struct cpu_seg *s)
{
	return (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = s->attr & CPU_SEG_TYPE,
		.s = !!(s->attr & CPU_SEG_S),
		.dpl = s->attr >> CPU_SEG_DPL_SHIFT & 3,
		.present = !!(s->attr & CPU_SEG_P),
		.avl = !!(s->attr & CPU_SEG_AVL),
		.l = !!(s->attr & CPU_SEG_L),
		.db = !!(s->attr & CPU_SEG_DB),
		.g = !!(s->attr & CPU_SEG_G),
		.unusable = !!(s->attr & CPU_SEG_UNUSABLE),
	};
}

static void sregs_from_kvm(struct cpu_state *to, const struct kvm_sregs *from)
{
	struct kvm_segment seg;

	for (size_t i = 0; i < CPU_SEG_COUNT; i++) {
		memcpy(&seg, (const char *)from + seg_at[i], sizeof(seg));
		to->seg[i] = seg_from_kvm(&seg);
	}
	to->gdt = (struct cpu_table){ .base = from->gdt.base, .limit = from->gdt.limit };
	to->idt = (struct cpu_table){ .base = from->idt.base, .limit = from->idt.limit };
	to->cr0 = from->cr0;
	to->cr2 = from->cr2;
	to->cr3 = from->cr3;
	to->cr4 = from->cr4;
	to->cr8 = from->cr8;
	to->efer = from->efer;
	to->apic_base = from->apic_base;
}

static void sregs_to_kvm(struct kvm_sregs *to, const struct cpu_state *from)
{
	struct kvm_segment seg;

	for (size_t i = 0; i < CPU_SEG_COUNT; i++) {
		seg = seg_to_kvm(&from->seg[i]);
		memcpy((char *)to + seg_at[i], &seg, sizeof(seg));
	}
	to->gdt = (struct kvm_dtable){ .base = from->gdt.base, .limit = from->gdt.limit };
	to->idt = (struct kvm_dtable){ .base = from->idt.base, .limit = from->idt.limit };
	to->cr0 = from->cr0;
	to->cr2 = from->cr2;
	to->cr3 = from->cr3;
	to->cr4 = from->cr4;
	to->cr8 = from->cr8;
	to->efer = from->efer;
	to->apic_base = from->apic_base;
}

/* ---- state in pieces ---- */

static int vcpu_ioctl(struct kvm *k, unsigned long request, void *arg)
{
	return ioctl(k->vcpu_fd, request, arg) < 0 ? -errno : 0;
}

/* Segments and control registers into kvm_run.s, unless they come with each KVM_RUN. */
static int get_sregs(struct kvm *k)
{
	if (k->run->kvm_valid_regs & KVM_SYNC_X86_SREGS)
		return 0;
	return vcpu_ioctl(k, KVM_GET_SREGS, &k->run->s.regs.sregs);
}

static int get_paging(struct kvm *k, struct paging *p)
{
	const struct kvm_sregs *s = &k->run->s.regs.sregs;
	int r = get_sregs(k);

	if (!r)
		*p = (struct paging){
			.cr0 = s->cr0, .cr3 = s->cr3, .cr4 = s->cr4, .efer = s->efer
		};
	return r;
}

static size_t read_code(struct kvm *k, uint64_t gva, void *buf, size_t len)
{
	struct paging p;

	return get_paging(k, &p) ? 0 : (size_t)paging_read(k->base.config.mem, &p, gva, buf, len);
}

static int get_fpu(struct kvm *k, struct cpu_state *s)
{
	static const uint32_t mxcsr_mask = 0xffff; /* the bits that do not depend on the vendor */
	char *area = (char *)k->xsave.region;
	uint64_t present;
	int r = vcpu_ioctl(k, KVM_GET_XSAVE, &k->xsave);

	if (r)
		return r;
	memset(s->fx, 0, sizeof(s->fx));
	memcpy(s->fx, area, XSAVE_LEGACY);
	memcpy(s->fx + MXCSR_MASK_AT, &mxcsr_mask, sizeof(mxcsr_mask));
	memcpy(&present, area + XSAVE_HEADER, sizeof(present));
	memset(s->ymmh, 0, sizeof(s->ymmh));
	if (present & XFEATURE_AVX)
		memcpy(s->ymmh, area + XSAVE_YMMH, sizeof(s->ymmh));
	return 0;
}

/* with_ymmh: else the upper halves and what else KVM has stay as get_fpu found them. */
static int set_fpu(struct kvm *k, const struct cpu_state *s, bool with_ymmh)
{
	static const uint8_t zero[sizeof(s->ymmh)];
	char *area = (char *)k->xsave.region;
	uint64_t present = 0;

	if (with_ymmh) {
		memset(&k->xsave, 0, sizeof(k->xsave));
		memcpy(area + XSAVE_YMMH, s->ymmh, sizeof(s->ymmh));
		if (memcmp(s->ymmh, zero, sizeof(zero)) && (k->xcr0_mask & XFEATURE_AVX))
			present = XFEATURE_AVX;
	} else {
		memcpy(&present, area + XSAVE_HEADER, sizeof(present));
	}
	present |= XFEATURE_FPSSE;
	memcpy(area, s->fx, XSAVE_LEGACY);
	memcpy(area + XSAVE_HEADER, &present, sizeof(present));
	return vcpu_ioctl(k, KVM_SET_XSAVE, &k->xsave);
}

/* struct kvm_msrs with room behind it. */
struct msr_list {
	uint32_t n, pad;
	struct kvm_msr_entry entries[MSR_ROWS];
};
static_assert(offsetof(struct msr_list, entries) == sizeof(struct kvm_msrs), "kvm_msrs");

/* One that this KVM does not have reads as 0. */
static int get_msrs(struct kvm *k, struct cpu_state *s)
{
	struct msr_list list = { 0 };
	int done = 0, n;

	while (done < MSR_ROWS) {
		list.n = (uint32_t)(MSR_ROWS - done);
		for (int i = done; i < MSR_ROWS; i++)
			list.entries[i - done].index = msr_rows[i].index;
		n = ioctl(k->vcpu_fd, KVM_GET_MSRS, &list);
		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++)
			memcpy((char *)s + msr_rows[done + i].at, &list.entries[i].data, 8);
		done += n;
		if (done < MSR_ROWS)
			memset((char *)s + msr_rows[done++].at, 0, 8);
	}
	return 0;
}

/* One that this KVM does not have may only be 0. */
static int set_msrs(struct kvm *k, const struct cpu_state *s, bool with_tsc)
{
	int total = with_tsc ? MSR_ROWS : MSR_ROWS - 1, done = 0, n;
	struct msr_list list = { 0 };

	while (done < total) {
		list.n = (uint32_t)(total - done);
		for (int i = done; i < total; i++) {
			list.entries[i - done].index = msr_rows[i].index;
			memcpy(&list.entries[i - done].data, (const char *)s + msr_rows[i].at, 8);
		}
		n = ioctl(k->vcpu_fd, KVM_SET_MSRS, &list);
		if (n < 0)
			return -errno;
		if (done + n < total && list.entries[n].data)
			return -EINVAL;
		done += n + 1;
	}
	return 0;
}

static int get_event(struct kvm *k, struct cpu_state *s)
{
	struct kvm_vcpu_events events;
	int r = vcpu_ioctl(k, KVM_GET_VCPU_EVENTS, &events);

	if (r)
		return r;
	s->event = (struct cpu_event){ 0 };
	if (!events.exception.injected && !events.exception.pending)
		return 0;
	s->event.pending = true;
	s->event.vector = events.exception.nr;
	s->event.has_error = events.exception.has_error_code;
	s->event.error = events.exception.error_code;
	return 0;
}

static int set_event(struct kvm *k, const struct cpu_state *s)
{
	struct kvm_vcpu_events events = {
		.exception.injected = s->event.pending,
		.exception.nr = s->event.pending ? s->event.vector : 0,
		.exception.has_error_code = s->event.has_error,
		.exception.error_code = s->event.error,
	};

	return vcpu_ioctl(k, KVM_SET_VCPU_EVENTS, &events);
}

static int get_xcr0(struct kvm *k, struct cpu_state *s)
{
	struct kvm_xcrs xcrs;
	int r = vcpu_ioctl(k, KVM_GET_XCRS, &xcrs);

	s->xcr0 = 1;
	for (uint32_t i = 0; !r && i < xcrs.nr_xcrs && i < KVM_MAX_XCRS; i++) {
		if (xcrs.xcrs[i].xcr == 0)
			s->xcr0 = xcrs.xcrs[i].value;
	}
	return r;
}

static int set_xcr0(struct kvm *k, const struct cpu_state *s)
{
	/* A CPU without XSAVE still has the x87 bit: 0 stands for "never said". */
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = s->xcr0 ? s->xcr0 : 1 };

	return vcpu_ioctl(k, KVM_SET_XCRS, &xcrs);
}

static int get_debug_regs(struct kvm *k, struct cpu_state *s)
{
	struct kvm_debugregs regs;
	int r = vcpu_ioctl(k, KVM_GET_DEBUGREGS, &regs);

	if (r)
		return r;
	memcpy(s->dr, regs.db, sizeof(s->dr));
	s->dr6 = regs.dr6;
	s->dr7 = regs.dr7;
	return 0;
}

static int set_debug_regs(struct kvm *k, const struct cpu_state *s)
{
	struct kvm_debugregs regs = { .dr6 = s->dr6, .dr7 = s->dr7 };

	memcpy(regs.db, s->dr, sizeof(regs.db));
	return vcpu_ioctl(k, KVM_SET_DEBUGREGS, &regs);
}

static int get_halted(struct kvm *k, struct cpu_state *s)
{
	struct kvm_mp_state state;
	int r;

	s->halted = k->halted;
	if (!k->base.config.irqchip)
		return 0;
	r = vcpu_ioctl(k, KVM_GET_MP_STATE, &state);
	s->halted = !r && state.mp_state == KVM_MP_STATE_HALTED;
	return r;
}

static int set_halted(struct kvm *k, const struct cpu_state *s)
{
	struct kvm_mp_state state = { .mp_state = s->halted ? KVM_MP_STATE_HALTED
							    : KVM_MP_STATE_RUNNABLE };

	k->halted = s->halted && !k->base.config.irqchip;
	return k->base.config.irqchip ? vcpu_ioctl(k, KVM_SET_MP_STATE, &state) : 0;
}

/* ---- port accesses and where they leave RIP ---- */

/* KVM finishes the access it reported, and does nothing else. */
static int settle(struct kvm *k)
{
	int r;

	if (k->io == IO_NONE)
		return 0;
	k->out_done = k->io == IO_OUT;
	k->io = IO_NONE;
	k->run->immediate_exit = 1;
	r = ioctl(k->vcpu_fd, KVM_RUN, 0) < 0 ? -errno : 0;
	/* In this order, or a kick in between would be lost. */
	k->run->immediate_exit = 0;
	if (atomic_load(&k->kicked))
		k->run->immediate_exit = 1;
	return r == -EINTR ? 0 : r;
}

/* The length of the `out` before rip: without looking where the port does not fit into imm8. */
static unsigned out_length(struct kvm *k, const struct vcpu_exit *exit, uint64_t rip)
{
	unsigned len = exit->size == 2 ? 2 : 1; /* [66] ee/ef */
	uint8_t code[2];

	if (exit->port > 0xff)
		return len;
	if ((uint16_t)regs_of(k)->rdx != exit->port)
		return len + 1;
	if (read_code(k, rip - 2, code, 2) == 2 && (code[0] & 0xfe) == 0xe6 &&
		code[1] == exit->port)
		return len + 1;
	return len;
}

static uint64_t port_rip(struct kvm *k, const struct vcpu_exit *exit)
{
	uint64_t rip = regs_of(k)->rip;

	if (exit->in || k->out_rip == OUT_RIP_AT)
		return rip;
	if (k->out_rip == OUT_RIP_UNKNOWN) {
		/* Settled only here: whether it moves is what is to be learnt. */
		settle(k);
		k->out_rip = regs_of(k)->rip == rip ? OUT_RIP_PAST : OUT_RIP_AT;
		if (k->out_rip == OUT_RIP_AT)
			return rip;
	}
	return rip - out_length(k, exit, rip);
}

/* ---- debugging ---- */

static bool is_break(const struct kvm *k, uint64_t rip)
{
	for (size_t i = 0; i < k->debug.n_breaks; i++) {
		if (k->debug.breaks[i] == rip)
			return true;
	}
	return false;
}

/* What has no page yet, or none with code, takes a debug register: there an int3 is not executed. */
static int choose_slots(struct kvm *k)
{
	struct debug *d = &k->debug;
	size_t room = SLOTS - d->n_watches, n = 0;
	struct paging p;
	int r;

	d->n_slots = 0;
	d->int3.n = 0;
	if (d->step)
		return 0;
	if (d->n_breaks <= room) {
		for (size_t i = 0; i < d->n_breaks; i++)
			d->slots[d->n_slots++] = d->breaks[i];
		return 0;
	}
	r = get_paging(k, &p);
	for (size_t i = 0; !r && i < d->n_breaks; i++) {
		d->int3.points[n] = (struct int3_point){ .gva = d->breaks[i] };
		if (int3_find(&d->int3.points[n], k->base.config.mem, &p) || d->n_slots == room)
			n++;
		else
			d->slots[d->n_slots++] = d->breaks[i];
	}
	while (n && d->n_slots < room)
		d->slots[d->n_slots++] = d->int3.points[--n].gva;
	d->int3.n = n;
	return r;
}

/* DR7: enable bits, then four bits each of what and how long from bit 16. SDM 3B 17.2.4. */
static uint64_t watch_bits(const struct piece *w, unsigned slot)
{
	static const uint64_t len_code[] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };

	return ((w->on_read ? 3u : 1u) | len_code[w->len] << 2) << (16 + 4 * slot);
}

/* Makes KVM watch for what was asked; with skip, one instruction and no breakpoints. */
static int arm(struct kvm *k, bool skip)
{
	struct kvm_guest_debug want = { 0 };
	const struct debug *d = &k->debug;
	unsigned slot = 0;

	k->skipping = skip;
	k->stepping = skip || d->step;
	if (k->stepping)
		want.control |= KVM_GUESTDBG_SINGLESTEP |
				(k->block_irq && !k->let_irqs ? KVM_GUESTDBG_BLOCKIRQ : 0);
	want.arch.debugreg[7] = 0x400;
	for (unsigned i = 0; i < d->n_slots; i++, slot++) {
		want.arch.debugreg[slot] = d->slots[i];
		if (!skip)
			want.arch.debugreg[7] |= 2ull << 2 * slot;
	}
	for (unsigned i = 0; i < d->n_watches; i++, slot++) {
		want.arch.debugreg[slot] = d->watches[i].gva;
		want.arch.debugreg[7] |= 2ull << 2 * slot | watch_bits(&d->watches[i], slot);
	}
	if (slot)
		want.control |= KVM_GUESTDBG_USE_HW_BP;
	if (d->int3.n && !k->stepping)
		want.control |= KVM_GUESTDBG_USE_SW_BP;
	if (want.control)
		want.control |= KVM_GUESTDBG_ENABLE;
	else
		want.arch.debugreg[7] = 0;
	if (!memcmp(&want, &k->armed, sizeof(want)))
		return 0;
	k->armed = want;
	return vcpu_ioctl(k, KVM_SET_GUEST_DEBUG, &want);
}

static int check_watches(const struct kvm *k, const struct vcpu_debug *d)
{
	for (size_t i = 0; i < d->n_watches; i++) {
		const struct vcpu_watch *w = &d->watches[i];

		if (!w->len || w->len - 1 > UINT64_MAX - w->gva || (!w->on_read && !w->on_write))
			return -EINVAL;
		/* x86 has no watch for reads alone. */
		if (!k->watches_fire || !w->on_write)
			return -EOPNOTSUPP;
	}
	return 0;
}

/* Registers watch 1, 2, 4 or 8 bytes that are aligned. -ENOSPC: this takes more than there are. */
static int cut_watches(struct debug *to, const struct vcpu_watch *from, size_t n)
{
	to->n_watches = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t at = from[i].gva, left = from[i].len, len;

		for (; left; at += len, left -= len) {
			if (to->n_watches == SLOTS)
				return -ENOSPC;
			for (len = 8; at % len || len > left; len /= 2)
				;
			to->watches[to->n_watches++] = (struct piece){ .gva = at,
				.watch = from[i].gva,
				.len = (uint8_t)len,
				.on_read = from[i].on_read };
		}
	}
	return 0;
}

/* Segments and control registers with each exit, or by an ioctl of their own. */
static int want_sregs(struct kvm *k, bool want)
{
	uint64_t with = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	int r = 0;

	if (want)
		r = get_sregs(k);
	if (!r)
		k->run->kvm_valid_regs =
			want || k->base.config.want_paging ? with : KVM_SYNC_X86_REGS;
	return r;
}

static int set_breaks(struct kvm *k, const uint64_t *from, size_t n)
{
	struct debug *d = &k->debug;
	struct int3_point *points;
	uint64_t *breaks;

	if (n == d->n_breaks && (!n || !memcmp(from, d->breaks, n * sizeof(*from))))
		return 0;
	breaks = calloc(n + 1, sizeof(*breaks));
	points = calloc(n + 1, sizeof(*points));
	if (!breaks || !points) {
		free(breaks);
		free(points);
		return -ENOMEM;
	}
	if (n)
		memcpy(breaks, from, n * sizeof(*breaks));
	free(d->breaks);
	free(d->int3.points);
	d->breaks = breaks;
	d->n_breaks = n;
	d->int3 = (struct int3){ .points = points };
	return 0;
}

static int kvm_set_debug(struct backend *b, const struct vcpu_debug *d)
{
	struct kvm *k = to_kvm(b);
	struct debug cut = { 0 };
	int r = d->until || d->exceptions ? -EOPNOTSUPP : check_watches(k, d);

	if (!r)
		r = cut_watches(&cut, d->watches, d->n_watches);
	if (!r)
		r = set_breaks(k, d->breaks, d->n_breaks);
	if (!r)
		r = want_sregs(k, cut.n_watches || d->n_breaks > SLOTS);
	if (r)
		return r;
	k->debug.step = d->step;
	k->debug.n_watches = cut.n_watches;
	memcpy(k->debug.watches, cut.watches, sizeof(cut.watches));
	return 0;
}

/* ---- exits: each returns 1 (run returns it), 0 (the guest goes on) or -errno ---- */

static int exit_now(struct kvm *k, struct vcpu_exit *exit, enum vcpu_exit_kind kind)
{
	*exit = (struct vcpu_exit){ .kind = kind, .rip = regs_of(k)->rip };
	return 1;
}

static int refuse(struct kvm *k, struct vcpu_exit *exit, const char *text)
{
	exit_now(k, exit, VCPU_REFUSED);
	exit->text = text;
	exit->insn_len = (uint8_t)read_code(k, exit->rip, exit->insn, sizeof(exit->insn));
	return 1;
}

/* One instruction is over that was to run alone. */
static int on_stepped(struct kvm *k, struct vcpu_exit *exit)
{
	if (k->skipping && !k->debug.step)
		return arm(k, false);
	exit_now(k, exit, VCPU_DEBUG);
	exit->why = VCPU_STEP;
	return 1;
}

static int at_break(struct kvm *k, struct vcpu_exit *exit)
{
	exit_now(k, exit, VCPU_DEBUG);
	exit->why = VCPU_BREAKPOINT;
	exit->addr = exit->rip;
	k->lendable = true;
	return 1;
}

/*
 * The CPU stands before an int3. -ENOENT: it is none of ours. Where ours shows at another address, too,
 * or the guest has put another page there, the instruction it stands for is run alone.
 */
static int on_int3(struct kvm *k, struct vcpu_exit *exit)
{
	uint64_t rip = regs_of(k)->rip, gpa;
	struct paging p;

	if (!k->debug.int3.n || get_paging(k, &p) ||
		paging_translate(k->base.config.mem, &p, rip, &gpa) ||
		!int3_at_gpa(&k->debug.int3, gpa))
		return -ENOENT;
	return is_break(k, rip) ? at_break(k, exit) : arm(k, true);
}

/* An int3 of the guest's own, which KVM gave us with all others. */
static int give_back_int3(struct kvm *k)
{
	struct kvm_guest_debug inject = k->armed;

	inject.control |= KVM_GUESTDBG_INJECT_BP;
	return vcpu_ioctl(k, KVM_SET_GUEST_DEBUG, &inject);
}

static void watches_begin(struct kvm *k)
{
	for (unsigned i = 0; i < k->debug.n_watches; i++) {
		struct piece *w = &k->debug.watches[i];

		if (w->on_read)
			read_code(k, w->gva, w->before, w->len);
	}
}

/* A register that sees reads does not tell them from writes. */
static int at_watch(struct kvm *k, struct vcpu_exit *exit, const struct piece *w)
{
	uint8_t now[8];

	exit_now(k, exit, VCPU_DEBUG);
	exit->why = VCPU_WATCHPOINT;
	exit->addr = w->watch;
	exit->wrote = !w->on_read || (read_code(k, w->gva, now, w->len) == w->len &&
					     memcmp(now, w->before, w->len));
	return 1;
}

static int on_debug(struct kvm *k, struct vcpu_exit *exit)
{
	uint64_t dr6 = k->run->debug.arch.dr6;
	const struct debug *d = &k->debug;
	int r;

	if (k->run->debug.arch.exception == CPU_VEC_BP) {
		r = on_int3(k, exit);
		return r == -ENOENT ? give_back_int3(k) : r;
	}
	for (unsigned i = 0; i < d->n_watches; i++) {
		if (dr6 >> (d->n_slots + i) & 1)
			return at_watch(k, exit, &d->watches[i]);
	}
	if (!k->skipping && (dr6 & 0xf) && is_break(k, regs_of(k)->rip))
		return at_break(k, exit);
	return on_stepped(k, exit);
}

static void *io_data(struct kvm *k)
{
	return (char *)k->run + k->run->io.data_offset;
}

static int on_io(struct kvm *k, struct vcpu_exit *exit)
{
	const struct kvm_run *run = k->run;

	if (run->io.count != 1)
		return refuse(
			k, exit, "kvm: string port access (rep ins, rep outs) is not offered");
	*exit = (struct vcpu_exit){
		.kind = VCPU_PORT,
		.port = run->io.port,
		.size = run->io.size,
		.in = run->io.direction == KVM_EXIT_IO_IN,
		.rdi = regs_of(k)->rdi,
	};
	k->io = exit->in ? IO_IN : IO_OUT;
	k->out_done = false;
	if (!exit->in)
		memcpy(&exit->data, io_data(k), exit->size);
	exit->rip = port_rip(k, exit);
	if (k->out_rip == OUT_RIP_PAST)
		k->io = exit->in ? IO_IN : IO_NONE;
	k->out_done |= !exit->in && k->out_rip == OUT_RIP_PAST;
	if (k->io_again && exit->in) {
		k->io_again = false;
		memcpy(io_data(k), &k->io_answer, k->run->io.size);
		return 0;
	}
	if (!k->base.config.port || !k->base.config.port(k->base.config.ctx, exit))
		return 1;
	if (exit->in)
		memcpy(io_data(k), &exit->data, k->run->io.size);
	/* No step is reported for an `out` that is over. */
	return k->stepping && k->out_done ? on_stepped(k, exit) : 0;
}

static int on_internal_error(struct kvm *k, struct vcpu_exit *exit)
{
	static const char *const texts[] = {
		[0] = "kvm: internal error of this KVM",
		[KVM_INTERNAL_ERROR_EMULATION] = "kvm: this KVM does not execute the instruction",
		[KVM_INTERNAL_ERROR_SIMUL_EX] = "kvm: two exceptions at once",
		[KVM_INTERNAL_ERROR_DELIVERY_EV] = "kvm: an exception could not be delivered",
		[KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] =
			"kvm: the CPU left for an unknown reason",
	};
	const struct kvm_run *run = k->run;
	uint32_t why = run->internal.suberror;
	uint8_t given = run->emulation_failure.insn_size;
	int r;

	/* Without VT-x an int3 is refused. */
	r = why == KVM_INTERNAL_ERROR_EMULATION && k->planted ? on_int3(k, exit) : -ENOENT;
	if (r != -ENOENT)
		return r;
	refuse(k, exit, texts[why < sizeof(texts) / sizeof(texts[0]) ? why : 0]);
	k->lendable = why == KVM_INTERNAL_ERROR_EMULATION;
	if (k->lendable && run->emulation_failure.ndata >= 3 && given <= sizeof(exit->insn) &&
		given > exit->insn_len &&
		(run->emulation_failure.flags &
			KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
		memcpy(exit->insn, run->emulation_failure.insn_bytes, given);
		exit->insn_len = given;
	}
	return 1;
}

static int on_mmio(struct kvm *k, struct vcpu_exit *exit)
{
	uint64_t gpa = k->run->mmio.phys_addr;
	const char *text = k->run->mmio.is_write ? "kvm: write to a physical address outside RAM"
						 : "kvm: read from a physical address outside RAM";

	/* Without VT-x, a store to a page the host cannot write looks like this. */
	if (gmem_span(k->base.config.mem, gpa, 1))
		text = "kvm: access to RAM that the host does not allow";
	memset(k->run->mmio.data, 0xff, sizeof(k->run->mmio.data));
	refuse(k, exit, text);
	exit->addr = gpa;
	/* The store is over and RIP behind it: these are not its bytes. */
	if (k->run->mmio.is_write)
		exit->insn_len = 0;
	return 1;
}

static int on_halt(struct kvm *k, struct vcpu_exit *exit)
{
	return exit_now(k, exit, VCPU_HALT);
}

static int on_shutdown(struct kvm *k, struct vcpu_exit *exit)
{
	return exit_now(k, exit, VCPU_SHUTDOWN);
}

static int on_fail_entry(struct kvm *k, struct vcpu_exit *exit)
{
	return refuse(k, exit, "kvm: the CPU does not enter this state");
}

static int on_nothing(struct kvm *k, struct vcpu_exit *exit)
{
	(void)k;
	(void)exit;
	return 0;
}

typedef int on_exit_fn(struct kvm *k, struct vcpu_exit *exit);
static on_exit_fn *const on_exit_of[] = {
	[KVM_EXIT_IO] = on_io,
	[KVM_EXIT_DEBUG] = on_debug,
	[KVM_EXIT_HLT] = on_halt,
	[KVM_EXIT_MMIO] = on_mmio,
	[KVM_EXIT_SHUTDOWN] = on_shutdown,
	[KVM_EXIT_FAIL_ENTRY] = on_fail_entry,
	[KVM_EXIT_INTR] = on_nothing,
	[KVM_EXIT_INTERNAL_ERROR] = on_internal_error,
};

static int on_exit_reason(struct kvm *k, struct vcpu_exit *exit)
{
	uint32_t reason = k->run->exit_reason;

	if (reason < sizeof(on_exit_of) / sizeof(on_exit_of[0]) && on_exit_of[reason])
		return on_exit_of[reason](k, exit);
	return refuse(k, exit, "kvm: the guest left for a reason that is not handled");
}

/* ---- running ---- */

/* What the last run left to do, and what is to be watched for now. */
static int resume(struct kvm *k, struct vcpu_exit *exit)
{
	/* Who resumes at a breakpoint has seen it; after a port access, or a kick there, nobody has. */
	bool skip = k->debug.n_breaks && !k->returned_port && !k->unseen &&
		    is_break(k, regs_of(k)->rip);
	bool step_over = k->debug.step && k->returned_port && k->out_done;
	int r;

	if (k->io == IO_IN)
		memcpy(io_data(k), &exit->data, k->run->io.size);
	if (k->io_again)
		k->io_answer = exit->data;
	k->returned_port = k->unseen = false;
	watches_begin(k);
	r = choose_slots(k);
	if (!r)
		r = arm(k, skip);
	if (r)
		return r;
	if (step_over)
		return on_stepped(k, exit);
	if (k->halted) {
		k->halted = false;
		return exit_now(k, exit, VCPU_HALT);
	}
	return 0;
}

static void plant(struct kvm *k)
{
	struct int3 *int3 = &k->debug.int3;
	struct paging p;
	bool look = !int3_all_mapped(int3) && !get_paging(k, &p);

	int3_plant(int3, k->base.config.mem, look ? &p : NULL);
}

static int kvm_run(struct backend *b, struct vcpu_exit *exit)
{
	struct kvm *k = to_kvm(b);
	int r = resume(k, exit);

	k->lendable = false;
	while (!r) {
		bool failed;

		k->planted = k->debug.int3.n && !k->stepping;
		if (k->planted)
			plant(k);
		failed = ioctl(k->vcpu_fd, KVM_RUN, 0) < 0;
		if (k->planted) /* errno stays */
			int3_lift(&k->debug.int3, k->base.config.mem);
		k->io = IO_NONE;
		if (failed) {
			if (errno != EINTR)
				return -errno;
			/* In this order, or a kick in between would be lost. */
			k->run->immediate_exit = 0;
			if (atomic_exchange(&k->kicked, false)) {
				k->unseen = !k->skipping;
				r = exit_now(k, exit, VCPU_KICKED);
			}
			continue;
		}
		r = on_exit_reason(k, exit);
	}
	k->returned_port = r > 0 && exit->kind == VCPU_PORT;
	return r < 0 ? r : 0;
}

static void kvm_kick(struct backend *b)
{
	struct kvm *k = to_kvm(b);

	atomic_store(&k->kicked, true);
	*(volatile uint8_t *)&k->run->immediate_exit = 1;
}

/* ---- state ---- */

static int kvm_get_regs(struct backend *b, struct cpu_regs *regs)
{
	struct kvm *k = to_kvm(b);
	int r = k->io == IO_OUT ? settle(k) : 0;

	regs_from_kvm(regs, regs_of(k));
	return r;
}

static int kvm_set_regs(struct backend *b, const struct cpu_regs *regs)
{
	struct kvm *k = to_kvm(b);
	int r = settle(k);

	if (r)
		return r;
	regs_to_kvm(regs_of(k), regs);
	k->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
	k->out_done = k->returned_port = k->io_again = k->unseen = false;
	return 0;
}

/* A step of saving or loading; *s stands for what it reads or fills in. */
typedef int state_fn(struct kvm *k, struct cpu_state *s);

static int kvm_save(struct backend *b, struct cpu_state *s)
{
	static state_fn *const parts[] = { get_fpu, get_msrs, get_event, get_xcr0, get_debug_regs,
		get_halted };
	struct kvm *k = to_kvm(b);
	int r;

	*s = (struct cpu_state){ 0 };
	r = kvm_get_regs(b, &s->regs);
	if (!r)
		r = get_sregs(k);
	if (r)
		return r;
	sregs_from_kvm(s, &k->run->s.regs.sregs);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !r; i++)
		r = parts[i](k, s);
	return r;
}

/* Now and not at the next run, so that a state that cannot be is refused here. */
static int set_core(struct kvm *k, const struct cpu_state *s)
{
	struct kvm_sync_regs *sync = &k->run->s.regs;
	struct kvm_sregs sregs = { 0 };
	int r;

	sregs_to_kvm(&sregs, s);
	r = vcpu_ioctl(k, KVM_SET_SREGS, &sregs);
	if (r)
		return r;
	k->run->cr8 = s->cr8; /* without an interrupt controller each KVM_RUN takes it from here */
	regs_to_kvm(&sync->regs, &s->regs);
	r = vcpu_ioctl(k, KVM_SET_REGS, &sync->regs);
	if (!r)
		r = vcpu_ioctl(k, KVM_GET_SREGS, &sync->sregs);
	k->run->kvm_dirty_regs = 0;
	return r;
}

static int kvm_load(struct backend *b, const struct cpu_state *s)
{
	struct kvm *k = to_kvm(b);
	int r = settle(k);

	k->out_done = k->returned_port = k->io_again = k->unseen = k->lendable = false;
	if (!r)
		r = set_core(k, s);
	if (!r)
		r = set_xcr0(k, s);
	if (!r)
		r = set_fpu(k, s, true);
	if (!r)
		r = set_msrs(k, s, true);
	if (!r)
		r = set_debug_regs(k, s);
	if (!r)
		r = set_halted(k, s);
	return r ? r : set_event(k, s);
}

/* ---- frozen: what KVM gives away of itself, and what we know besides ---- */

enum { CHIPS = 3, FROZEN_MSRS = MSR_ROWS + 4 };

struct frozen {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug_regs;
	struct kvm_vcpu_events events;
	/* With an interrupt controller. */
	struct kvm_mp_state mp_state;
	struct kvm_lapic_state lapic;
	struct kvm_irqchip chips[CHIPS];
	struct {
		bool known;
		uint64_t value;
	} msrs[FROZEN_MSRS];
	bool in_waits, returned_port, unseen, out_done, halted;
	struct kvm_xsave xsave; /* last: it ends in an array without length */
};

/* The clock last but for what is due by it. */
static uint32_t frozen_msr(size_t i)
{
	static const uint32_t more[] = { MISC_ENABLE, TSC_ADJUST, TSC_AUX };

	if (i < sizeof(more) / sizeof(more[0]))
		return more[i];
	i -= sizeof(more) / sizeof(more[0]);
	return i < MSR_ROWS ? msr_rows[i].index : (uint32_t)TSC_DEADLINE_MSR;
}

static void freeze_msrs(struct kvm *k, struct frozen *f)
{
	for (size_t i = 0; i < FROZEN_MSRS; i++) {
		struct msr_list list = { .n = 1, .entries[0].index = frozen_msr(i) };

		f->msrs[i].known = ioctl(k->vcpu_fd, KVM_GET_MSRS, &list) == 1;
		f->msrs[i].value = list.entries[0].data;
	}
}

/* One that this KVM shows and does not take is as it was. */
static void thaw_msrs(struct kvm *k, const struct frozen *f)
{
	for (size_t i = 0; i < FROZEN_MSRS; i++) {
		struct msr_list list = { .n = 1 };

		list.entries[0].index = frozen_msr(i);
		list.entries[0].data = f->msrs[i].value;
		if (f->msrs[i].known)
			ioctl(k->vcpu_fd, KVM_SET_MSRS, &list);
	}
}

static int freeze_irqs(struct kvm *k, struct frozen *f)
{
	int r = vcpu_ioctl(k, KVM_GET_MP_STATE, &f->mp_state);

	if (!r)
		r = vcpu_ioctl(k, KVM_GET_LAPIC, &f->lapic);
	for (uint32_t i = 0; !r && i < CHIPS; i++) {
		f->chips[i].chip_id = i;
		r = ioctl(k->vm_fd, KVM_GET_IRQCHIP, &f->chips[i]) < 0 ? -errno : 0;
	}
	return r;
}

static int thaw_irqs(struct kvm *k, struct frozen *f)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < CHIPS; i++)
		r = ioctl(k->vm_fd, KVM_SET_IRQCHIP, &f->chips[i]) < 0 ? -errno : 0;
	if (!r)
		r = vcpu_ioctl(k, KVM_SET_LAPIC, &f->lapic);
	return r ? r : vcpu_ioctl(k, KVM_SET_MP_STATE, &f->mp_state);
}

static size_t kvm_frozen_size(const struct backend *b)
{
	(void)b;
	return sizeof(struct frozen);
}

static int freeze_cpu(struct kvm *k, struct frozen *f)
{
	int r = get_sregs(k);

	f->regs = *regs_of(k);
	f->sregs = k->run->s.regs.sregs;
	if (!r)
		r = vcpu_ioctl(k, KVM_GET_XSAVE, &f->xsave);
	if (!r)
		r = vcpu_ioctl(k, KVM_GET_XCRS, &f->xcrs);
	if (!r)
		r = vcpu_ioctl(k, KVM_GET_DEBUGREGS, &f->debug_regs);
	return r ? r : vcpu_ioctl(k, KVM_GET_VCPU_EVENTS, &f->events);
}

/* An `in` that waits for its answer stays unfinished; any other access is finished first. */
static int kvm_freeze(struct backend *b, void *frozen)
{
	struct kvm *k = to_kvm(b);
	struct frozen *f = calloc(1, sizeof(*f));
	int r = !f ? -ENOMEM : k->io == IO_OUT ? settle(k) : 0;

	if (!r)
		r = freeze_cpu(k, f);
	if (!r)
		freeze_msrs(k, f);
	if (!r && k->base.config.irqchip)
		r = freeze_irqs(k, f);
	if (!r) {
		f->in_waits = k->io == IO_IN || k->io_again;
		f->returned_port = k->returned_port;
		f->unseen = k->unseen;
		f->out_done = k->out_done;
		f->halted = k->halted;
		memcpy(frozen, f, sizeof(*f));
	}
	free(f);
	return r;
}

static int thaw_cpu(struct kvm *k, struct frozen *f)
{
	struct kvm_sync_regs *sync = &k->run->s.regs;
	int r = vcpu_ioctl(k, KVM_SET_SREGS, &f->sregs);

	k->run->cr8 = f->sregs.cr8;
	sync->regs = f->regs;
	if (!r)
		r = vcpu_ioctl(k, KVM_SET_REGS, &f->regs);
	if (!r)
		r = vcpu_ioctl(k, KVM_SET_XCRS, &f->xcrs);
	if (!r)
		r = vcpu_ioctl(k, KVM_SET_XSAVE, &f->xsave);
	if (!r)
		r = vcpu_ioctl(k, KVM_SET_DEBUGREGS, &f->debug_regs);
	if (!r)
		r = vcpu_ioctl(k, KVM_GET_SREGS, &sync->sregs);
	k->run->kvm_dirty_regs = 0;
	return r;
}

static int kvm_thaw(struct backend *b, const void *frozen)
{
	struct kvm *k = to_kvm(b);
	struct frozen *f = malloc(sizeof(*f));
	int r = f ? settle(k) : -ENOMEM;

	if (!r) {
		memcpy(f, frozen, sizeof(*f));
		r = thaw_cpu(k, f);
	}
	if (!r)
		thaw_msrs(k, f);
	if (!r && k->base.config.irqchip)
		r = thaw_irqs(k, f);
	if (!r)
		r = vcpu_ioctl(k, KVM_SET_VCPU_EVENTS, &f->events);
	if (!r) {
		k->io_again = f->in_waits;
		k->returned_port = f->returned_port;
		k->unseen = f->unseen;
		k->out_done = f->out_done;
		k->halted = f->halted;
		k->lendable = false;
	}
	free(f);
	return r;
}

int backend_kvm_lend(struct backend *b, enum backend_kvm_part part, struct cpu_state *s)
{
	struct kvm *k = to_kvm(b);
	int r;

	if (!k->lendable)
		return -EPERM;
	if (part == BACKEND_KVM_ALL)
		return kvm_save(b, s);
	regs_from_kvm(&s->regs, regs_of(k));
	r = get_sregs(k);
	sregs_from_kvm(s, &k->run->s.regs.sregs);
	return r ? r : get_fpu(k, s);
}

int backend_kvm_take_back(struct backend *b, enum backend_kvm_part part, const struct cpu_state *s)
{
	struct kvm *k = to_kvm(b);
	struct kvm_sync_regs *sync = &k->run->s.regs;
	struct kvm_sregs sregs = sync->sregs;
	int r = 0;

	regs_to_kvm(&sync->regs, &s->regs);
	k->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
	sregs_to_kvm(&sregs, s);
	k->run->cr8 = s->cr8;
	if (memcmp(&sregs, &sync->sregs, sizeof(sregs))) {
		sync->sregs = sregs;
		k->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
	}
	if (part == BACKEND_KVM_ALL) {
		r = set_xcr0(k, s);
		if (!r)
			r = set_msrs(k, s, false);
		if (!r && s->event.pending)
			r = set_event(k, s);
	}
	if (!r && (part == BACKEND_KVM_ALL || memcmp(k->xsave.region, s->fx, XSAVE_LEGACY)))
		r = set_fpu(k, s, part == BACKEND_KVM_ALL);
	return r;
}

bool backend_kvm_unfinished(struct backend *b)
{
	return to_kvm(b)->returned_port;
}

bool backend_kvm_kicked(struct backend *b)
{
	struct kvm *k = to_kvm(b);

	if (!atomic_load(&k->kicked))
		return false;
	/* In this order, or a kick in between would be lost. */
	k->run->immediate_exit = 0;
	return atomic_exchange(&k->kicked, false);
}

void backend_kvm_let_irqs(struct backend *b, bool let)
{
	to_kvm(b)->let_irqs = let;
}

static int kvm_paging(struct backend *b, struct paging *p)
{
	return get_paging(to_kvm(b), p);
}

static uint32_t kvm_tsc_khz(struct backend *b)
{
	return to_kvm(b)->tsc_khz;
}

/* ---- what the guest's CPU is said to be ---- */

enum cpuid_reg { EAX, EBX, ECX, EDX };

/* Applied on top of what this KVM supports. Where nothing obeys, it does no harm. */
static const struct cpuid_rule {
	uint32_t function, index;
	uint32_t clear[4], set[4];
} cpuid_rules[] = {
	/* the APIC id; the hypervisor bit */
	{ 0x1, 0, { [EBX] = 0xff000000 }, { [ECX] = 1u << 31 } },
	/* AVX-512, AMX, PKU, CET: cpu_state has no room for them; LA57: we walk four levels */
	{ 0x7, 0, { [EBX] = 0xdc230000, [ECX] = 0x158da, [EDX] = 0x3d0010c }, { 0 } },
	{ 0x7, 1, { [EAX] = 0x2000e0 }, { 0 } },
	/* no performance counters */
	{ 0xa, 0, { ~0u, ~0u, ~0u, ~0u }, { 0 } },
	/* XSAVE: x87, SSE and AVX, 832 bytes */
	{ 0xd, 0, { [EAX] = ~7u, [ECX] = ~0u, [EDX] = ~0u }, { [ECX] = 832 } },
	{ 0xd, 1, { [EAX] = 1u << 3, [ECX] = ~0u, [EDX] = ~0u }, { 0 } },
	/* frequencies: the guest is told by its ABI */
	{ 0x15, 0, { ~0u, ~0u, ~0u, ~0u }, { 0 } },
	{ 0x16, 0, { ~0u, ~0u, ~0u, ~0u }, { 0 } },
};
enum { X2APIC = 1 << 21, TSC_DEADLINE = 1 << 24, HAS_APIC = 1 << 9 };

/* struct kvm_cpuid2 with room behind it. */
struct cpuid_list {
	uint32_t n, pad;
	struct kvm_cpuid_entry2 entries[CPUID_TABLE_MAX];
};
static_assert(offsetof(struct cpuid_list, entries) == sizeof(struct kvm_cpuid2), "kvm_cpuid2");

static bool cpuid_hidden(const struct kvm_cpuid_entry2 *e)
{
	/* KVM's paravirtual leaves: time that is not the TSC, and calls that are not ours. */
	return (e->function & 0xf0000000) == 0x40000000 || (e->function == 0xd && e->index > 2) ||
	       (e->function & ~1u) == 0x1c || e->function == 0x14;
}

static void cpuid_apply(struct kvm_cpuid_entry2 *e, const struct cpuid_rule *rule)
{
	uint32_t *regs[] = { &e->eax, &e->ebx, &e->ecx, &e->edx };

	for (unsigned i = 0; i < 4; i++)
		*regs[i] = (*regs[i] & ~rule->clear[i]) | rule->set[i];
}

/* Frees the guest of a 30 ms loop that measures its timer. */
static void cpuid_timers(struct kvm_cpuid_entry2 *e, bool irqchip, bool deadline)
{
	e->ecx &= ~(uint32_t)(X2APIC | TSC_DEADLINE);
	if (irqchip)
		e->ecx |= X2APIC | (deadline ? TSC_DEADLINE : 0u);
	else
		e->edx &= ~(uint32_t)HAS_APIC;
}

static uint32_t cpuid_to_kvm(struct kvm_cpuid_entry2 *to, const struct cpuid_entry *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (struct kvm_cpuid_entry2){
			.function = from[i].leaf,
			.index = from[i].has_subleaf ? from[i].subleaf : 0,
			.flags = from[i].has_subleaf ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
			.eax = from[i].eax,
			.ebx = from[i].ebx,
			.ecx = from[i].ecx,
			.edx = from[i].edx,
		};
	return (uint32_t)n;
}

/*
 * What was asked for, or the software CPU's. A KVM that knows better and adds its own is one that nothing
 * can be done about.
 */
static uint32_t cpuid_asked_for(const struct backend_config *config, struct kvm_cpuid_entry2 *to)
{
	struct cpuid_entry plain[TCG_CPUID_LEAVES];

	if (config->n_cpuid)
		return cpuid_to_kvm(to, config->cpuid,
			config->n_cpuid < CPUID_TABLE_MAX ? config->n_cpuid : CPUID_TABLE_MAX);
	return cpuid_to_kvm(to, plain, tcg_cpuid_table(plain, config->irqchip, true));
}

static int kvm_cpuid(struct backend *b, struct cpuid_entry *table, size_t max)
{
	autofree struct cpuid_list *list = calloc(1, sizeof(*list));
	int r;

	if (!list)
		return -ENOMEM;
	list->n = CPUID_TABLE_MAX;
	r = vcpu_ioctl(to_kvm(b), KVM_GET_CPUID2, list);
	for (uint32_t i = 0; !r && i < list->n && i < max; i++) {
		const struct kvm_cpuid_entry2 *e = &list->entries[i];

		table[i] = (struct cpuid_entry){
			.leaf = e->function,
			.subleaf = e->index,
			.has_subleaf = e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = e->eax,
			.ebx = e->ebx,
			.ecx = e->ecx,
			.edx = e->edx,
		};
	}
	return r ? r : (int)(list->n < max ? list->n : max);
}

static int set_cpuid(struct kvm *k, int kvm_fd)
{
	autofree struct cpuid_list *list = calloc(1, sizeof(*list));
	bool deadline = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	uint32_t n = 0;

	if (!list)
		return -ENOMEM;
	list->n = CPUID_TABLE_MAX;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, list) < 0)
		return -errno;
	k->xcr0_mask = XFEATURE_FPSSE;
	for (uint32_t i = 0; i < list->n; i++) {
		struct kvm_cpuid_entry2 *e = &list->entries[i];

		if (cpuid_hidden(e))
			continue;
		if (e->function == 0xd && e->index == 0)
			k->xcr0_mask = e->eax;
		for (size_t j = 0; j < sizeof(cpuid_rules) / sizeof(cpuid_rules[0]); j++) {
			if (cpuid_rules[j].function == e->function &&
				cpuid_rules[j].index == e->index)
				cpuid_apply(e, &cpuid_rules[j]);
		}
		if (e->function == 1)
			cpuid_timers(e, k->base.config.irqchip, deadline);
		list->entries[n++] = *e;
	}
	if (k->base.config.plain_cpu || k->base.config.n_cpuid)
		n = cpuid_asked_for(&k->base.config, list->entries);
	list->n = n;
	return vcpu_ioctl(k, KVM_SET_CPUID2, list);
}

/* ---- making one ---- */

static bool is_pvm(void)
{
	return access("/sys/module/kvm_pvm", F_OK) == 0;
}

/* "VT-x" or "SVM"; or NULL: KVM is a program that interprets. */
static const char *hardware(void)
{
	unsigned a, b, c, d;

	if (is_pvm())
		return NULL;
	if (__get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 5))
		return "VT-x";
	if (__get_cpuid(0x80000001, &a, &b, &c, &d) && (c & 1u << 2))
		return "SVM";
	return NULL;
}

static const char *open_hint(int r)
{
	if (r == -ENOENT)
		return "load the module kvm_intel or kvm_amd, or switch virtualisation on in the "
		       "firmware";
	if (r == -EACCES || r == -EPERM)
		return "run as root, or add yourself to the group kvm";
	return "the kernel's log may say more";
}

/* The descriptor, or -errno with the reason in why. */
static int open_kvm(char *why, size_t size)
{
	const int needed = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), r, version;

	if (fd < 0) {
		r = -errno;
		snprintf(why, size, "/dev/kvm: %s; %s", strerror(-r), open_hint(r));
		return r;
	}
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	r = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);
	if (version == API_VERSION && r > 0 && (r & needed) == needed)
		return fd;
	close(fd);
	if (version < 0)
		snprintf(why, size, "/dev/kvm: is there, but is no KVM device");
	else if (version != API_VERSION)
		snprintf(why, size, "/dev/kvm: API version %d, not %d", version, API_VERSION);
	else
		snprintf(
			why, size, "/dev/kvm: no KVM_CAP_SYNC_REGS; Linux 4.17 or later is needed");
	return -ENODEV;
}

static int create_vm(struct kvm *k, int kvm_fd)
{
	const struct gmem *m = k->base.config.mem;
	struct kvm_userspace_memory_region ram = {
		.guest_phys_addr = m->gpa,
		.memory_size = m->size,
		.userspace_addr = (uintptr_t)m->base,
	};
	/* Port 0x7e as every port; a hypercall instruction of the other vendor is #UD. */
	struct kvm_enable_cap quirks = {
		.cap = KVM_CAP_DISABLE_QUIRKS2,
		.args = { KVM_X86_QUIRK_OUT_7E_INC_RIP | KVM_X86_QUIRK_FIX_HYPERCALL_INSN },
	};
	__u64 identity = IDENTITY_MAP;

	k->vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	if (k->vm_fd < 0)
		return -errno;
	quirks.args[0] &= (uint64_t)ioctl(k->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_DISABLE_QUIRKS2) &
			  0xffffffff;
	if (quirks.args[0])
		ioctl(k->vm_fd, KVM_ENABLE_CAP, &quirks);
	/* RAM before the interrupt controller: after it, KVM lets a slot wait some milliseconds. */
	if (ioctl(k->vm_fd, KVM_SET_USER_MEMORY_REGION, &ram) < 0 ||
		ioctl(k->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
		ioctl(k->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDR) < 0 ||
		(k->base.config.irqchip && ioctl(k->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0))
		return -errno;
	return 0;
}

/* Best effort: some KVMs do not have it. */
static void set_misc_enable(struct kvm *k)
{
	struct msr_list list = { .n = 1, .entries[0] = { .index = MISC_ENABLE, .data = 1 } };

	vcpu_ioctl(k, KVM_SET_MSRS, &list);
}

static int create_vcpu(struct kvm *k, int kvm_fd)
{
	int size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0), control, r;
	void *run;

	k->vcpu_fd = ioctl(k->vm_fd, KVM_CREATE_VCPU, 0);
	if (k->vcpu_fd < 0 || size < (int)sizeof(struct kvm_run))
		return k->vcpu_fd < 0 ? -errno : -ENODEV;
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, k->vcpu_fd, 0);
	if (run == MAP_FAILED)
		return -errno;
	k->run = run;
	k->run_size = (size_t)size;
	r = set_cpuid(k, kvm_fd);
	if (r)
		return r;
	set_misc_enable(k);
	r = ioctl(k->vcpu_fd, KVM_GET_TSC_KHZ, 0);
	k->tsc_khz = r > 0 ? (uint32_t)r : 0;
	control = ioctl(k->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2);
	k->block_irq = control > 0 && (control & KVM_GUESTDBG_BLOCKIRQ);
	r = vcpu_ioctl(k, KVM_GET_REGS, regs_of(k));
	if (!r)
		r = vcpu_ioctl(k, KVM_GET_SREGS, &k->run->s.regs.sregs);
	k->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	if (k->base.config.want_paging)
		k->run->kvm_valid_regs |= KVM_SYNC_X86_SREGS;
	return r;
}

static void kvm_destroy(struct backend *b)
{
	struct kvm *k = to_kvm(b);

	if (!k)
		return;
	if (k->run)
		munmap(k->run, k->run_size);
	if (k->vcpu_fd >= 0)
		close(k->vcpu_fd);
	if (k->vm_fd >= 0)
		close(k->vm_fd);
	free(k->debug.breaks);
	free(k->debug.int3.points);
	free(k);
}

static int kvm_create(struct backend **out, const struct backend_config *config, struct err *err)
{
	char why[200] = "";
	autoclose int kvm_fd = open_kvm(why, sizeof(why));
	struct kvm *k;
	int r;

	if (kvm_fd < 0)
		return err_set(err, kvm_fd, "kvm: %s; --backend tcg works without", why);
	k = calloc(1, sizeof(*k));
	if (!k)
		return err_set(err, -ENOMEM, "kvm: out of memory");
	k->base = (struct backend){ .ops = &backend_kvm, .config = *config };
	k->vm_fd = k->vcpu_fd = -1;
	k->watches_fire = hardware() != NULL;
	r = create_vm(k, kvm_fd);
	if (!r)
		r = create_vcpu(k, kvm_fd);
	if (r == -EINVAL && config->n_cpuid) {
		kvm_destroy(&k->base);
		return err_set(err, r,
			"kvm: does not take the CPUID that the guest is to be shown; --backend tcg "
			"does");
	}
	if (r) {
		kvm_destroy(&k->base);
		return err_set(err, r, "kvm: making a machine: %s; --backend tcg works without",
			strerror(-r));
	}
	*out = &k->base;
	return 0;
}

static void kvm_look(struct backend_info *info)
{
	const char *on = hardware();
	autoclose int fd = open_kvm(info->why, sizeof(info->why));

	info->usable = fd >= 0;
	info->refuses = !on;
	info->breakpoints = true;
	info->watchpoints = on != NULL;
	snprintf(info->debug, sizeof(info->debug),
		"breakpoints: 4 debug registers, more by int3%s; watchpoints: %s; instructions are "
		"not "
		"counted",
		on ? "" : " (refused and recognised), in supervisor code",
		on ? "4 debug registers, of 8 aligned bytes" : "none");
	if (on) {
		snprintf(info->kind, sizeof(info->kind), "KVM API %d on %s", API_VERSION, on);
		return;
	}
	snprintf(info->kind, sizeof(info->kind), "KVM API %d without VT-x or SVM%s", API_VERSION,
		is_pvm() ? " (kvm_pvm)" : "");
	snprintf(info->gaps, sizeof(info->gaps), "SSE and x87 arithmetic are left to tcg");
}

void backend_kvm_trust_watches(struct backend *b)
{
	to_kvm(b)->watches_fire = true;
}

const struct backend_ops backend_kvm = {
	.name = "kvm",
	.sleeps = true,
	.probe = backend_kvm_probe,
	.look = kvm_look,
	.create = kvm_create,
	.destroy = kvm_destroy,
	.run = kvm_run,
	.get_regs = kvm_get_regs,
	.set_regs = kvm_set_regs,
	.save = kvm_save,
	.load = kvm_load,
	.paging = kvm_paging,
	.set_debug = kvm_set_debug,
	.kick = kvm_kick,
	.tsc_khz = kvm_tsc_khz,
	.cpuid = kvm_cpuid,
	.frozen_size = kvm_frozen_size,
	.freeze = kvm_freeze,
	.thaw = kvm_thaw,
};
