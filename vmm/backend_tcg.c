// SPDX-License-Identifier: ISC
/*
 * A guest on a software CPU: Unicorn 2.0.1, driven so that every exit is exact. The only file that
 * includes unicorn.h. Knows no calls and no ABI.
 *
 * How memory works. Unicorn walks page tables for permissions, but then takes the virtual address
 * for the physical one. So its address space is made to be the guest-virtual one: regions[] map
 * runs of guest RAM where the guest's tables put them, and the page tables Unicorn walks are ours
 * (tcg_shadow.h), kept in a window of that address space and filled from the guest's own one page
 * fault at a time. What faults in them does so with exact registers and without side effects; what
 * the guest's tables do not grant goes on to the guest. Presence is the shadow's business alone; a
 * region may cover more than the guest has mapped. A page that must be watched (devices,
 * watchpoints) stays absent, and an instruction that touches it runs alone, in a "glimpse".
 *
 * How code may change. Unicorn notices writes through the address that code runs at, because every
 * region is memory of its own to it (region_memory). Through any other address of the same page the
 * shadow lets nothing be written until that code is dropped. Who else writes says so
 * (code_changed).
 *
 * How counting works. A hook at the start of each block adds the instructions of the block before
 * it, known from when it was translated. Who stops inside a block settles: adds those before RIP.
 *
 * How stopping works. Only before a block, before a hooked instruction, or at an exception. Every
 * instruction that Unicorn executes wrongly or that leaves the guest gets a hook of its own when it
 * is first translated (sites[]). One step is a block run under TF, which Unicorn translates apart,
 * so that stepping and running do not throw away each other's code.
 *
 * How bursts work. Another CPU may have changed any code meanwhile. So all that is translated in a
 * burst is written down with a hash of its bytes (seen[]), and a block is compared with that when a
 * burst first enters it. Since blocks of single steps and of other modes may have the same address
 * and size, a note is only changed when nothing translated from there is left. Where a burst has to
 * end is found out when a block is learned, and stopped at by a hook of its own inside of blocks.
 *
 * What Unicorn cannot be told through its registers is changed in a saved context, at offsets found
 * by experiment when the engine is made (find_layout). One that answers otherwise is refused.
 */
#include "abort_guard.h"
#include "backend.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unicorn/unicorn.h>

#include "cpuid_table.h"
#include "err.h"
#include "gmem.h"
#include "hash.h"
#include "lapic.h"
#include "paging.h"
#include "tcg_cpuid.h"
#include "tcg_event.h"
#include "tcg_insn.h"
#include "tcg_shadow.h"
#include "xsave.h"

enum {
	PAGE = 4096,
	LINE = PAGE / 64,
	LARGE_PAGE = 2 << 20,
	REGION_GROW_MAX = 256, /* large pages a region is extended by to either side */
	REGIONS_SOFT = 256,    /* more are dropped when there is a chance to */
	REGIONS_MAX = 2048,
	WINDOW_TABLES = 1023,
	WINDOW_SIZE = (WINDOW_TABLES + 1) * PAGE, /* a page of code of ours, then the shadow */
	PAGES_LATER = 16,
	BLOCKS = 1 << 14,
	SITES_FIRST = 24, /* a hooked instruction costs some ns per hook there is */
	SITES_MAX = 512,
	SEEN = 1 << 15,
	/* What a burst may cost besides what it executes, as if that were instructions. */
	BURST_WORK = 100 * 1000,
	COST_PASS = 200,        /* out of Unicorn and back */
	COST_TRANSLATION = 100, /* of an instruction */
	BLOCK_BYTES = 2 * PAGE,
	FRAME_MAX = 48, /* bytes on the stack of who is interrupted */
	TICKS = 10,     /* of the TSC, per instruction */
	GLIMPSE_TRIES = 16,
	GLIMPSE_PAGES = 8, /* code, source and destination, each of two pages */
};
#define WINDOW_TOP  0xff00000000ull /* its tables must have physical addresses: 40 bits */
#define WINDOW_STEP (1ull << 32)
#define APIC_PAGE   0xfee00000ull
#define IOAPIC_PAGE 0xfec00000ull
#define UNICORN_ROOM                                                                               \
	((1ull << 30) + (64ull << 20)) /* its buffer of 1 GiB, and what else it takes */
#define NO_ADDRESS UINT64_MAX
#define CODE_MANY  UINT64_MAX /* in code_at: translated at more than one address */

enum hflags { /* Unicorn's digest of registers: its target/i386/cpu.h */
	HF_CPL = 3,
	HF_MP = 1 << 9,
	HF_EM = 1 << 10,
	HF_TS = 1 << 11,
	HF_OSFXSR = 1 << 22,
};

enum attention {
	LOOK_KICK = 1 << 0,    /* set by anyone, any time */
	LOOK_PAGES = 1 << 1,   /* forget[], protect[] */
	LOOK_IRQ = 1 << 2,     /* an interrupt waits for IF */
	LOOK_NATIVE = 1 << 3,  /* code of ours runs, not the guest's */
	LOOK_FORGET = 1 << 4,  /* translated code must go */
	LOOK_REVOKE = 1 << 5,  /* the shadow must go */
	LOOK_REGIONS = 1 << 6, /* there are too many regions */
	LOOK_RESUME = 1 << 7,  /* RF may be set */
};

enum stop {
	STOP_NONE,      /* the emulator halted by itself */
	STOP_BLOCK,     /* before a block: look around */
	STOP_CAREFUL,   /* before a block that holds a point to stop at: step through it */
	STOP_SITES,     /* before a block with instructions that have no hook yet */
	STOP_STALE,     /* before a block that may have been translated from other bytes */
	STOP_LEAVE,     /* before an instruction that ends a burst */
	STOP_SITE,      /* before an instruction to execute by hand */
	STOP_PORT,      /* before a port access nobody answered */
	STOP_ANSWERED,  /* before one that was answered, but must not go on in this block */
	STOP_EXCEPTION, /* vector, at RIP */
	STOP_POISON,    /* before a block that must not be translated */
	STOP_FAILED,    /* the emulator gave up */
};

enum region_kind { REGION_RAM, REGION_DEVICE, REGION_NOTHING };

struct region {
	uint64_t gva, last, gpa; /* last is inclusive: one may end at the top */
	enum region_kind kind;
	bool has_code;
	void *view; /* of RAM, when it is not where addresses are physical ones; see region_memory */
};

struct block {
	uint64_t addr;
	uint64_t rep;   /* the repeated string instruction it ends in, or NO_ADDRESS */
	uint64_t burst; /* the last one that found it unchanged; 0: not for bursts; 1: none yet */
	uint16_t size, n;
	uint16_t redo;     /* an instruction before this offset may be run again, alone */
	uint8_t last_kind; /* of the last instruction */
	uint8_t special;   /* enum special */
};

enum special {
	SPECIAL_SITES = 1 << 0,  /* there are instructions to be hooked that are not */
	SPECIAL_BREAK = 1 << 1,  /* there is a breakpoint in it */
	SPECIAL_SINGLE = 1 << 2, /* one instruction: perhaps Unicorn runs it for the second time */
	SPECIAL_LEAVE = 1 << 3,  /* a burst ends before it */
	SPECIAL_RESUME = 1 << 4, /* may set RF */
};

/* Pages to do something about when Unicorn does not run. More than fit are all there are. */
struct page_list {
	uint64_t gpa[PAGES_LATER];
	unsigned n;
};

struct tcg;

struct site {
	struct tcg *t;
	uint64_t addr;
	uc_hook hook;
	struct tcg_insn insn;
	uint64_t memo_block; /* instructions before it, in the block that begins here */
	uint32_t memo_index;
	bool leave; /* a burst ends before it */
};

struct seen {
	uint64_t addr, hash;
	uint16_t size;
	bool used;
};

/* Where things lie in a saved context. */
struct layout {
	size_t old_exception, error_code, efer, hflags;
};

struct tcg {
	struct backend base;
	uc_engine *uc;
	uc_context *context;
	struct layout layout;
	atomic_uint attention;

	/* Between runs, and in a hook that stops: where the guest is and how far it came. */
	uint64_t rip, done, run_from; /* run_from: done, when run() began */
	/* What moved the guest and is no instruction: so often, when so many were done. */
	uint64_t happened, happened_at;
	/* The block being run; its instructions are not yet in done. &settled when they are. */
	struct block *cur, settled, overwritten;
	uint8_t last_kind; /* of the last instruction that ran, when settled */
	uint64_t limit;    /* done must not pass it unseen */
	enum stop stop;
	uint32_t vector;
	bool mid_block; /* a hook inside a block has called out; rip is exact, done is not */
	bool overtaken; /* and meanwhile the block was written to */
	bool stepping, progress, careful, bursting, again;
	bool near_limit;           /* careful until done comes to it */
	bool poisoned;             /* STOP_POISON: it is the instruction at rip */
	bool burst_kicked, turned; /* a string instruction, in a step, and is not through */
	uint64_t burst, bursts, burst_end, work;
	backend_leave_fn *leave;
	void *leave_ctx;
	bool guest_tf;
	struct site *site; /* of STOP_SITE, STOP_PORT, STOP_ANSWERED */
	struct vcpu_exit *exit;
	struct tcg_insn port_insn; /* an access run() returned for, to be finished by the next */
	bool port_pending;
	uint32_t in_data;
	bool halted, shut_down;
	struct cpu_event cause; /* of the shutdown */
	const char *refused;
	uc_err started; /* what uc_emu_start returned */
	bool gave_up;   /* Unicorn aborted: nothing of it can be run any more */
	bool no_memory; /* nor when it had none left for what we need of it */

	/* What the guest wrote and Unicorn cannot hold. */
	uint64_t cr0, cr2, cr3, cr4, cr8, efer, pat, apic_base, misc_enable, xcr0;
	uint64_t dr[4], dr6, dr7;
	uint64_t skipped,
		tsc_offset; /* time passed over in HLT; from our clock to the guest's TSC */
	struct cpu_seg seg[CPU_SEG_COUNT];
	uint16_t seg_there[CPU_SEG_COUNT]; /* the selectors Unicorn had when seg[] was loaded */
	struct cpu_event event;
	struct lapic lapic;
	uint32_t
		extras; /* what CPUID announces of what Unicorn lacks: a bit per enum tcg_insn_kind */
	uint64_t rdrand; /* how many numbers it gave */
	uint32_t ioapic_select, ioapic[64];

	uint8_t *window;
	uint64_t window_at;
	struct tcg_shadow shadow;
	struct region regions[REGIONS_MAX];
	size_t n_regions, last_region;
	uint8_t *nothing;  /* a page to map where an access is about to fault */
	uint64_t fill_gpa; /* what fill() last looked at */
	uint64_t *code_at; /* per page of RAM: the address its code was translated at, | 1; or 0 */
	struct page_list forget, protect; /* code to be dropped; writes to be noticed from now on */
	uint64_t *code_lines; /* and in which of its 64 lines there was any: a bit each */

	struct {
		bool open;
		unsigned tries, n;
		uint64_t gva[GLIMPSE_PAGES];
		uint64_t gpa; /* of the device that is shown, or NO_ADDRESS */
		uint64_t own; /* the page that is written to and run from, or NO_ADDRESS */
		bool watched, hit, hit_write;
		uint64_t hit_addr;
		uc_hook hook;
	} glimpse;

	bool step, turns;
	bool interrupted; /* in this run, by a device */
	bool caught; /* an exception of those below waits in event, to be shown before it is delivered */
	uint32_t exceptions;
	uint64_t until;                  /* UINT64_MAX: no end */
	uint64_t *breaks, *breaks_given; /* sorted; behind them, as they came: quicker to compare */
	size_t n_breaks;
	struct vcpu_watch *watches;
	size_t n_watches;

	struct block blocks[BLOCKS];
	struct site sites[SITES_MAX];
	size_t n_sites, max_sites;
	struct seen seen[SEEN];
	size_t n_seen;
	uint8_t code[BLOCK_BYTES]; /* of a block that lies in more than one region */
};

static struct tcg *tcg_of(struct backend *b)
{
	return (struct tcg *)b;
}

/* ---- registers ---- */

static const int gpr_ids[CPU_GPR_COUNT] = {
	UC_X86_REG_RAX,
	UC_X86_REG_RCX,
	UC_X86_REG_RDX,
	UC_X86_REG_RBX,
	UC_X86_REG_RSP,
	UC_X86_REG_RBP,
	UC_X86_REG_RSI,
	UC_X86_REG_RDI,
	UC_X86_REG_R8,
	UC_X86_REG_R9,
	UC_X86_REG_R10,
	UC_X86_REG_R11,
	UC_X86_REG_R12,
	UC_X86_REG_R13,
	UC_X86_REG_R14,
	UC_X86_REG_R15,
};

static uint64_t reg_get(struct tcg *t, int id)
{
	uint64_t v = 0;

	uc_reg_read(t->uc, id, &v);
	return v;
}

static void reg_set(struct tcg *t, int id, uint64_t v)
{
	uc_reg_write(t->uc, id, &v);
}

static uint64_t msr_get(struct tcg *t, uint32_t index)
{
	uc_x86_msr msr = { .rid = index };

	uc_reg_read(t->uc, UC_X86_REG_MSR, &msr);
	return msr.value;
}

static void msr_set(struct tcg *t, uint32_t index, uint64_t v)
{
	uc_x86_msr msr = { .rid = index, .value = v };

	uc_reg_write(t->uc, UC_X86_REG_MSR, &msr);
}

static uc_x86_mmr table_get(struct tcg *t, int id)
{
	uc_x86_mmr mmr = { 0 };

	uc_reg_read(t->uc, id, &mmr);
	return mmr;
}

static unsigned cpl(struct tcg *t)
{
	return reg_get(t, UC_X86_REG_CS) & 3;
}

static void regs_get(struct tcg *t, struct cpu_regs *regs)
{
	int ids[CPU_GPR_COUNT + 1];
	void *values[CPU_GPR_COUNT + 1];

	for (size_t i = 0; i < CPU_GPR_COUNT; i++) {
		ids[i] = gpr_ids[i];
		values[i] = &regs->gpr[i];
	}
	ids[CPU_GPR_COUNT] = UC_X86_REG_RFLAGS;
	values[CPU_GPR_COUNT] = &regs->rflags;
	uc_reg_read_batch(t->uc, ids, values, CPU_GPR_COUNT + 1);
	if (t->stepping && !t->guest_tf)
		regs->rflags &= ~(uint64_t)CPU_RFLAGS_TF;
	regs->rip = t->rip;
}

static void regs_set(struct tcg *t, const struct cpu_regs *regs)
{
	for (size_t i = 0; i < CPU_GPR_COUNT; i++)
		reg_set(t, gpr_ids[i], regs->gpr[i]);
	reg_set(t, UC_X86_REG_RFLAGS, regs->rflags | CPU_RFLAGS_FIXED);
	t->rip = regs->rip;
}

static struct paging paging_now(const struct tcg *t)
{
	return (struct paging){ .cr0 = t->cr0, .cr3 = t->cr3, .cr4 = t->cr4, .efer = t->efer };
}

/* ---- what only a saved context shows ---- */

static uint8_t *context_take(struct tcg *t)
{
	uc_context_save(t->uc, t->context);
	return (uint8_t *)t->context;
}

static uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void store32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* Unicorn never takes the exception it was asked to, so its idea of nested faults must be reset. */
static uint32_t exception_forget(struct tcg *t)
{
	uint8_t *c = context_take(t);
	uint32_t error = load32(c + t->layout.error_code);

	if (load32(c + t->layout.old_exception) != UINT32_MAX) {
		store32(c + t->layout.old_exception, UINT32_MAX);
		uc_context_restore(t->uc, t->context);
	}
	return error;
}

static void hflags_change(struct tcg *t, uint32_t clear, uint32_t set)
{
	uint8_t *c = context_take(t);
	uint32_t old = load32(c + t->layout.hflags), new = (old & ~clear) | set;

	if (new == old)
		return;
	store32(c + t->layout.hflags, new);
	uc_context_restore(t->uc, t->context);
}

/* No-execute is always on in there: the shadow has it where the guest does. */
static void efer_apply(struct tcg *t)
{
	uint64_t efer = CPU_EFER_LME | CPU_EFER_LMA | CPU_EFER_NXE | (t->efer & CPU_EFER_SCE);

	memcpy(context_take(t) + t->layout.efer, &efer, sizeof(efer));
	uc_context_restore(t->uc, t->context);
}

static void control_apply(struct tcg *t)
{
	uint32_t set = 0;

	if (t->cr0 & CPU_CR0_MP)
		set |= HF_MP;
	if (t->cr0 & CPU_CR0_EM)
		set |= HF_EM;
	if (t->cr0 & CPU_CR0_TS)
		set |= HF_TS;
	if (t->cr4 & CPU_CR4_OSFXSR)
		set |= HF_OSFXSR;
	reg_set(t, UC_X86_REG_CR0, (t->cr0 & 0xffffffff) | CPU_CR0_PG | CPU_CR0_WP);
	reg_set(t, UC_X86_REG_CR3, t->shadow.base);
	reg_set(t, UC_X86_REG_CR4, CPU_CR4_PAE | (t->cr4 & (CPU_CR4_OSFXSR | CPU_CR4_OSXMMEXCPT)));
	hflags_change(t, HF_MP | HF_EM | HF_TS | HF_OSFXSR, set);
}

/* clts and lmsw are left to Unicorn. */
static uint64_t cr0_get(struct tcg *t)
{
	t->cr0 = (t->cr0 & ~0xeull) | (reg_get(t, UC_X86_REG_CR0) & 0xe);
	return t->cr0;
}

/* ---- code of ours: `mov cr0, rax` turns paging on again, which empties the TLB ---- */

static void tlb_flush(struct tcg *t)
{
	uint8_t *c = context_take(t);
	uint32_t hflags = load32(c + t->layout.hflags);
	uint64_t cr0 = reg_get(t, UC_X86_REG_CR0);

	if (hflags & HF_CPL) {
		store32(c + t->layout.hflags, hflags & ~(uint32_t)HF_CPL);
		uc_context_restore(t->uc, t->context);
		store32(c + t->layout.hflags, hflags);
	}
	reg_set(t, UC_X86_REG_RAX, cr0 | CPU_CR0_PG);
	reg_set(t, UC_X86_REG_CR0, cr0 & ~(uint64_t)CPU_CR0_PG);
	reg_set(t, UC_X86_REG_RFLAGS, CPU_RFLAGS_FIXED | CPU_RFLAGS_TF);
	atomic_fetch_or(&t->attention, LOOK_NATIVE);
	uc_emu_start(t->uc, t->window_at, 0, 0, 0);
	atomic_fetch_and(&t->attention, ~(unsigned)LOOK_NATIVE);
	uc_context_restore(t->uc, t->context);
}

static void shadow_drop(struct tcg *t)
{
	tcg_shadow_clear(&t->shadow);
	tlb_flush(t);
}

/* ---- regions ---- */

static struct region *region_find(struct tcg *t, uint64_t gva)
{
	struct region *r = &t->regions[t->last_region];

	if (t->last_region < t->n_regions && gva >= r->gva && gva <= r->last)
		return r;
	for (size_t i = 0; i < t->n_regions; i++) {
		r = &t->regions[i];
		if (gva >= r->gva && gva <= r->last) {
			t->last_region = i;
			return r;
		}
	}
	return NULL;
}

static void *region_host(struct tcg *t, const struct region *r, uint64_t gva, size_t len)
{
	return gmem_span(t->base.config.mem, r->gpa + (gva - r->gva), len);
}

/* How many regions show any of these bytes of RAM? */
static unsigned regions_showing(const struct tcg *t, uint64_t gpa, uint64_t len)
{
	unsigned n = 0;

	for (size_t i = 0; i < t->n_regions; i++) {
		const struct region *r = &t->regions[i];

		if (r->kind == REGION_RAM && gpa + len - 1 >= r->gpa &&
			gpa <= r->gpa + (r->last - r->gva))
			n++;
	}
	return n;
}

/*
 * Unicorn files code under the host address it was read from. Two regions that show the same RAM at
 * the same host address would be one to it: it would file the code of one under the other, and not
 * notice writes through the one it runs at.
 */
static void *region_memory(struct tcg *t, struct region *r, size_t len)
{
	if (r->gva == r->gpa)
		return region_host(t, r, r->gva, len);
	r->view = gmem_view(t->base.config.mem, r->gpa, len);
	return r->view;
}

static uint64_t device_read(uc_engine *uc, uint64_t offset, unsigned size, void *ctx);
static void device_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *ctx);

static bool region_add(
	struct tcg *t, enum region_kind kind, uint64_t gva, uint64_t last, uint64_t gpa)
{
	struct region *r = &t->regions[t->n_regions];
	uint64_t len = last - gva + 1;
	uc_err e = UC_ERR_NOMEM;
	void *memory;

	if (t->n_regions == REGIONS_MAX)
		return false;
	*r = (struct region){ .gva = gva, .last = last, .gpa = gpa, .kind = kind };
	if (kind == REGION_RAM) {
		memory = region_memory(t, r, len);
		if (memory)
			e = uc_mem_map_ptr(t->uc, gva, len, UC_PROT_READ | UC_PROT_WRITE, memory);
	} else if (kind == REGION_DEVICE)
		e = uc_mmio_map(t->uc, gva, len, device_read, t, device_write, t);
	else
		e = uc_mem_map_ptr(t->uc, gva, len, UC_PROT_READ | UC_PROT_WRITE, t->nothing);
	if (e != UC_ERR_OK) {
		gmem_view_drop(r->view, len);
		return false;
	}
	t->last_region = t->n_regions++;
	if (t->n_regions > REGIONS_SOFT)
		atomic_fetch_or(&t->attention, LOOK_REGIONS);
	return true;
}

/*
 * Drops what was translated from gva..last. (Dropping everything is no way: Unicorn clears its
 * buffer of 1 GiB then.) Unicorn finds code by a fetch, for which paging is switched off; it is for
 * the caller to empty the TLB afterwards. Not while it runs.
 */
static void code_remove(struct tcg *t, uint64_t gva, uint64_t last)
{
	uint64_t cr0 = reg_get(t, UC_X86_REG_CR0);

	reg_set(t, UC_X86_REG_CR0, cr0 & ~(uint64_t)CPU_CR0_PG);
	uc_ctl_remove_cache(t->uc, gva, last);
	reg_set(t, UC_X86_REG_CR0, cr0);
}

/* Of one page, at every address it shows at. */
static void code_remove_page(struct tcg *t, uint64_t gpa)
{
	size_t i = (gpa - t->base.config.mem->gpa) / PAGE;

	for (size_t k = 0; t->code_at[i] && k < t->n_regions; k++) {
		const struct region *r = &t->regions[k];
		uint64_t gva = r->gva + (gpa - r->gpa);

		if (r->kind == REGION_RAM && gpa >= r->gpa && gpa - r->gpa <= r->last - r->gva)
			code_remove(t, gva, gva + (PAGE - 1));
	}
	t->code_at[i] = t->code_lines[i] = 0;
}

static void code_forget_all(struct tcg *t)
{
	const struct gmem *m = t->base.config.mem;

	if (t->n_seen)
		memset(t->seen, 0, sizeof(t->seen));
	t->n_seen = 0;
	for (uint64_t offset = 0; offset < m->size; offset += PAGE)
		if (t->code_at[offset / PAGE])
			code_remove_page(t, m->gpa + offset);
	tlb_flush(t);
}

/* Unicorn would find the code of a region that is gone in the next one. Not while it runs. */
static void region_remove(struct tcg *t, struct region *r)
{
	if (r->has_code)
		code_remove(t, r->gva, r->last);
	tcg_shadow_clear(&t->shadow);
	uc_mem_unmap(t->uc, r->gva, r->last - r->gva + 1);
	gmem_view_drop(r->view, r->last - r->gva + 1);
	*r = t->regions[--t->n_regions];
}

static void regions_drop(struct tcg *t)
{
	while (t->n_regions)
		region_remove(t, &t->regions[t->n_regions - 1]);
	shadow_drop(t);
}

static void region_add_part(struct tcg *t, const struct region *r, uint64_t gva, uint64_t last)
{
	if (gva < r->gva)
		gva = r->gva;
	if (last > r->last)
		last = r->last;
	if (r->kind == REGION_RAM && gva <= last)
		region_add(t, REGION_RAM, gva, last, r->gpa + (gva - r->gva));
}

/*
 * Takes the page at gva out of a region. What is near it becomes a region of its own:
 * where one page was taken, others will be, and removing a region takes time for every page of it.
 */
static void region_carve(struct tcg *t, struct region *at, uint64_t gva)
{
	struct region r = *at;
	uint64_t near = gva & ~(uint64_t)(LARGE_PAGE - 1), near_last = gva | (LARGE_PAGE - 1);

	region_remove(t, at);
	if (near)
		region_add_part(t, &r, 0, near - 1);
	if (gva > near)
		region_add_part(t, &r, near, gva - 1);
	if (gva + (PAGE - 1) < near_last)
		region_add_part(t, &r, gva + PAGE, near_last);
	if (near_last < UINT64_MAX)
		region_add_part(t, &r, near_last + 1, UINT64_MAX);
	tlb_flush(t);
}

/* The free addresses around gva, which is free itself and not in our window. */
static void region_room(const struct tcg *t, uint64_t gva, uint64_t *first, uint64_t *last)
{
	uint64_t window_last = t->window_at + WINDOW_SIZE - 1;

	*first = gva >> 63 ? 0xffff800000000000 : 0;
	*last = gva >> 63 ? UINT64_MAX : 0x00007fffffffffff;
	if (!(t->cr0 & CPU_CR0_PG))
		*last = INT64_MAX; /* physical addresses are shorter yet */
	if (window_last < gva)
		*first = window_last + 1;
	else
		*last = t->window_at - 1;
	for (size_t i = 0; i < t->n_regions; i++) {
		const struct region *r = &t->regions[i];

		if (r->last < gva && r->last >= *first)
			*first = r->last + 1;
		if (r->gva > gva && r->gva <= *last)
			*last = r->gva - 1;
	}
}

/* As much around gva as lies at the same distance from RAM: it will be wanted sooner or later. */
static void region_extent(
	const struct tcg *t, uint64_t gva, uint64_t gpa, uint64_t *first, uint64_t *last)
{
	const struct gmem *m = t->base.config.mem;
	struct paging p = paging_now(t);
	uint64_t distance = gva - gpa, ram_first = m->gpa + distance,
		 ram_last = ram_first + m->size - 1;
	uint64_t room_first, room_last, at;

	region_room(t, gva, &room_first, &room_last);
	if (ram_first > gva || ram_first < room_first)
		ram_first = room_first;
	if (ram_last < gva || ram_last > room_last)
		ram_last = room_last;
	*first = ram_first;
	*last = ram_last;
	if (!distance)
		return;
	*first = gva & ~(uint64_t)(LARGE_PAGE - 1);
	*last = gva | (LARGE_PAGE - 1);
	for (int i = 0; i<REGION_GROW_MAX && * first> ram_first; i++, *first -= LARGE_PAGE)
		if (paging_translate(m, &p, *first - LARGE_PAGE, &at) ||
			at + distance != *first - LARGE_PAGE)
			break;
	for (int i = 0; i < REGION_GROW_MAX && *last < ram_last; i++, *last += LARGE_PAGE)
		if (paging_translate(m, &p, *last + 1, &at) || at + distance != *last + 1)
			break;
	if (*first < ram_first)
		*first = ram_first;
	if (*last > ram_last)
		*last = ram_last;
}

/* RAM at gpa shows at gva. May replace other regions only when nothing runs. */
static bool region_ensure(struct tcg *t, uint64_t gva, uint64_t gpa)
{
	struct region *r = region_find(t, gva);
	uint64_t first, last;

	if (r && r->kind == REGION_RAM && gva - gpa == r->gva - r->gpa)
		return true;
	if (r && r->kind == REGION_NOTHING) {
		region_remove(t, r);
		tlb_flush(t);
	} else if (r) {
		region_carve(t, r, gva);
		return region_add(t, REGION_RAM, gva, gva + (PAGE - 1), gpa);
	}
	region_extent(t, gva, gpa, &first, &last);
	return region_add(t, REGION_RAM, first, last, gpa - (gva - first));
}

/* The guest wants the addresses that our window is at: out of the way. */
static void window_move(struct tcg *t, uint64_t gva)
{
	uint64_t to = WINDOW_TOP;

	while (gva - to < WINDOW_STEP)
		to -= WINDOW_STEP;
	regions_drop(t);
	code_remove(t, t->window_at, t->window_at + PAGE);
	uc_mem_unmap(t->uc, t->window_at, WINDOW_SIZE);
	t->window_at = to;
	t->shadow.base = to + PAGE;
	if (uc_mem_map_ptr(t->uc, to, WINDOW_SIZE, UC_PROT_ALL, t->window))
		t->no_memory = true;
	tcg_shadow_clear(&t->shadow);
	reg_set(t, UC_X86_REG_CR3, t->shadow.base);
}

/* ---- translated code and the memory it came from ---- */

static uint64_t *code_of(struct tcg *t, uint64_t gpa)
{
	return &t->code_at[(gpa - t->base.config.mem->gpa) / PAGE];
}

static uint64_t *code_lines_of(struct tcg *t, uint64_t gpa)
{
	return &t->code_lines[(gpa - t->base.config.mem->gpa) / PAGE];
}

/* The lines of a page that these bytes of it are in. */
static uint64_t lines_of(uint64_t first, size_t len)
{
	return ~0ull << (first / LINE & 63) & ~0ull >> (63 - ((first + len - 1) / LINE & 63));
}

static bool can_fetch(struct tcg *t, uint64_t gva)
{
	uint64_t flags;

	return !tcg_shadow_get(&t->shadow, gva, &flags) && !(flags & TCG_SHADOW_NO_EXEC) &&
	       (!cpl(t) || flags & TCG_SHADOW_USER);
}

static void put_off(struct tcg *t, struct page_list *list, uint64_t gpa)
{
	if (list->n < PAGES_LATER)
		list->gpa[list->n] = gpa & ~(uint64_t)(PAGE - 1);
	if (list->n <= PAGES_LATER)
		list->n++;
	atomic_fetch_or(&t->attention, LOOK_PAGES);
}

static void page_protect(struct tcg *t, uint64_t gpa)
{
	for (size_t i = 0; i < t->n_regions; i++) {
		const struct region *r = &t->regions[i];

		if (r->kind == REGION_RAM && gpa >= r->gpa && gpa - r->gpa <= r->last - r->gva)
			tcg_shadow_unset(&t->shadow, r->gva + (gpa - r->gpa));
	}
}

static void do_put_off(struct tcg *t)
{
	struct page_list *forget = &t->forget, *protect = &t->protect;

	if (forget->n > PAGES_LATER)
		code_forget_all(t);
	for (unsigned i = 0; forget->n <= PAGES_LATER && i < forget->n; i++)
		code_remove_page(t, forget->gpa[i]);
	if (protect->n > PAGES_LATER)
		tcg_shadow_clear(&t->shadow);
	for (unsigned i = 0; protect->n <= PAGES_LATER && i < protect->n; i++)
		page_protect(t, protect->gpa[i]);
	forget->n = protect->n = 0;
	tlb_flush(t);
}

/* Drops what was translated at gva from these bytes of a page. False when it cannot be found now. */
static bool code_forget_at(struct tcg *t, uint64_t gva, uint64_t gpa, size_t len)
{
	const struct region *r = region_find(t, gva);

	if (!r || r->kind != REGION_RAM || gva - gpa != r->gva - r->gpa || !can_fetch(t, gva))
		return false;
	uc_ctl_remove_cache(t->uc, gva, gva + len);
	return true;
}

/* The same for a page whose code was translated at more than one address. */
static bool code_forget_everywhere(struct tcg *t, uint64_t gpa, size_t len)
{
	for (size_t i = 0; i < t->n_regions; i++) {
		const struct region *r = &t->regions[i];

		if (r->kind == REGION_RAM && r->has_code && gpa >= r->gpa &&
			gpa - r->gpa <= r->last - r->gva &&
			!code_forget_at(t, r->gva + (gpa - r->gpa), gpa, len))
			return false;
	}
	return true;
}

/*
 * These bytes, of one page, are others now or about to be. In a hook, what cannot be done there is
 * left to do.
 */
static void code_forget(struct tcg *t, uint64_t gpa, size_t len)
{
	uint64_t *at = code_of(t, gpa), offset = gpa & (PAGE - 1);
	bool found;

	if (!*at)
		return;
	found = *at == CODE_MANY ? code_forget_everywhere(t, gpa, len)
				 : code_forget_at(t, (*at & ~1ull) + offset, gpa, len);
	if (!found)
		put_off(t, &t->forget, gpa);
	else if (len == PAGE)
		*at = *code_lines_of(t, gpa) = 0;
}

static void code_forget_page(struct tcg *t, uint64_t gpa)
{
	code_forget(t, gpa, PAGE);
}

static bool has_foreign_code(struct tcg *t, uint64_t gva, uint64_t gpa)
{
	uint64_t at = *code_of(t, gpa);

	return at && at != (gva | 1);
}

/*
 * Code was translated from here. Unicorn notices writes through the address the code runs at; for
 * those through another one the page is made read-only there.
 */
static void code_note_page(struct tcg *t, struct region *r, uint64_t gva, uint64_t lines)
{
	uint64_t gpa = r->gpa + (gva - r->gva), *at = code_of(t, gpa);

	r->has_code = true;
	*code_lines_of(t, gpa) |= lines;
	if (*at == (gva | 1))
		return;
	*at = *at ? CODE_MANY : gva | 1;
	if (regions_showing(t, gpa, PAGE) > 1)
		put_off(t, &t->protect, gpa);
}

/* ---- the shadow, filled from the guest's tables ---- */

enum fill { FILL_DONE, FILL_FAULT, FILL_GLIMPSE, FILL_OUTSIDE, FILL_FULL };

static bool is_watched(const struct tcg *t, uint64_t gva, uint64_t len)
{
	for (size_t i = 0; i < t->n_watches; i++)
		if (t->watches[i].gva - gva < len || gva - t->watches[i].gva < t->watches[i].len)
			return true;
	return false;
}

static bool fits_large(struct tcg *t, const struct paging_page *page, uint64_t gva, uint64_t gpa)
{
	uint64_t first = gva & ~(uint64_t)(LARGE_PAGE - 1), first_gpa = gpa - (gva - first);
	const struct region *r = region_find(t, gva);

	return page->size >= LARGE_PAGE && first >= r->gva && first + (LARGE_PAGE - 1) <= r->last &&
	       !is_watched(t, first, LARGE_PAGE) && regions_showing(t, first_gpa, LARGE_PAGE) == 1;
}

static uint64_t fill_flags(
	struct tcg *t, const struct paging_page *page, uint64_t gva, unsigned access)
{
	struct paging strict = paging_now(t);
	struct paging_page same;
	uint64_t flags = page->executable ? 0 : TCG_SHADOW_NO_EXEC;

	if (page->writable)
		flags |= TCG_SHADOW_WRITE;
	if (page->user)
		flags |= TCG_SHADOW_USER;
	if ((access & PAGING_USER) || (strict.cr0 & CPU_CR0_WP))
		return flags;
	/* Writable only for the supervisor, thanks to WP being clear: then not for the user at all. */
	strict.cr0 |= CPU_CR0_WP;
	if (!paging_walk(t->base.config.mem, &strict, gva, PAGING_READ, &same, NULL) &&
		!same.writable)
		flags &= ~(uint64_t)TCG_SHADOW_USER;
	return flags;
}

static bool is_apic(const struct tcg *t, uint64_t gpa)
{
	return t->base.config.irqchip && gpa == APIC_PAGE && t->apic_base >> 11 & 1;
}

static bool is_ioapic(const struct tcg *t, uint64_t gpa)
{
	return t->base.config.irqchip && gpa == IOAPIC_PAGE;
}

static enum fill fill_device(struct tcg *t, uint64_t gva, unsigned access)
{
	struct region *r = region_find(t, gva);

	if ((access & PAGING_FETCH) || (!is_apic(t, t->fill_gpa) && !is_ioapic(t, t->fill_gpa)))
		return FILL_OUTSIDE;
	if (r && r->kind != REGION_DEVICE) {
		region_carve(t, r, gva);
		r = NULL;
	}
	return r || region_add(t, REGION_DEVICE, gva, gva + (PAGE - 1), 0) ? FILL_GLIMPSE
									   : FILL_FULL;
}

/*
 * Makes the page at gva accessible if the guest's tables say so. running: called out of Unicorn,
 * which has found nothing there; so nothing has to be replaced.
 */
static enum fill fill(struct tcg *t, uint64_t gva, unsigned access, uint32_t *error, bool running)
{
	const struct gmem *m = t->base.config.mem;
	struct paging p = paging_now(t);
	struct paging_page page;
	uint64_t gpa, flags;

	if (paging_walk(m, &p, gva, access, &page, error))
		return FILL_FAULT;
	gva &= ~(uint64_t)(PAGE - 1);
	gpa = page.gpa + (gva - page.gva);
	if (gva - t->window_at < WINDOW_SIZE) {
		if (running) /* it is there; should Unicorn not find it, the guest is refused */
			return FILL_FULL;
		window_move(t, gva);
	}
	t->fill_gpa = gpa;
	if (!gmem_span(m, gpa, PAGE))
		return fill_device(t, gva, access);
	if (!region_ensure(t, gva, gpa))
		return FILL_FULL;
	if (is_watched(t, gva, PAGE))
		return FILL_GLIMPSE;
	flags = fill_flags(t, &page, gva, access);
	if (has_foreign_code(t, gva, gpa)) {
		if ((access & PAGING_WRITE) && running)
			return FILL_FULL; /* the rest of the block may be what is written */
		if (access & PAGING_WRITE)
			code_forget_page(t, gpa);
		else
			flags &= ~(uint64_t)TCG_SHADOW_WRITE;
	}
	return tcg_shadow_set(&t->shadow, gva, flags, fits_large(t, &page, gva, gpa)) ? FILL_DONE
										      : FILL_FULL;
}

static bool on_unmapped(
	uc_engine *uc, uc_mem_type type, uint64_t addr, int size, int64_t value, void *ctx)
{
	struct tcg *t = ctx;
	unsigned access = type == UC_MEM_WRITE_UNMAPPED   ? PAGING_WRITE
			  : type == UC_MEM_FETCH_UNMAPPED ? PAGING_FETCH
							  : PAGING_READ;
	uint64_t page = addr & ~(uint64_t)(PAGE - 1);
	uint32_t error;

	(void)uc, (void)size, (void)value;
	if (cpl(t) == 3)
		access |= PAGING_USER;
	fill(t, addr, access, &error, true);
	/* Whatever it was: with something there, Unicorn goes on to the shadow and faults properly. */
	return region_find(t, addr) || region_add(t, REGION_NOTHING, page, page + (PAGE - 1), 0);
}

/* ---- counting ---- */

/* Up to len bytes of code at gva: in place when they lie in one piece. Returns how many. */
static size_t code_bytes(struct tcg *t, uint64_t gva, size_t len, const uint8_t **bytes)
{
	const struct region *r = region_find(t, gva);
	size_t done = 0;

	*bytes = t->code;
	if (r && r->kind == REGION_RAM && len - 1 <= r->last - gva) {
		*bytes = region_host(t, r, gva, len);
		return *bytes ? len : 0;
	}
	while (r && r->kind == REGION_RAM && done < len) {
		size_t n = r->last - (gva + done) + 1 < len - done ? r->last - (gva + done) + 1
								   : len - done;

		memcpy(t->code + done, region_host(t, r, gva + done, n), n);
		done += n;
		r = region_find(t, gva + done);
	}
	return done;
}

/* How many instructions lie between addr and rip. What does not decode counts as one. */
static uint32_t count_between(struct tcg *t, uint64_t addr, uint64_t rip)
{
	const uint8_t *bytes;
	size_t len = code_bytes(t, addr, rip - addr, &bytes), at = 0;
	struct tcg_insn insn;
	uint32_t n = 0;

	while (at < len) {
		n++;
		if (!tcg_insn_decode(bytes + at, len - at, &insn))
			break;
		at += insn.len;
	}
	return n;
}

static bool in_block(const struct tcg *t, uint64_t rip)
{
	return rip - t->cur->addr < t->cur->size;
}

/* The guest is before rip: inside the current block, or past it. */
static void settle(struct tcg *t, uint64_t rip)
{
	if (t->cur == &t->settled)
		return;
	if (in_block(t, rip)) {
		t->done += count_between(t, t->cur->addr, rip);
		t->last_kind = TCG_PLAIN;
	} else {
		t->done += t->cur->n;
		t->last_kind = t->cur->last_kind;
	}
	t->cur = &t->settled;
}

static void settle_at_site(struct tcg *t, struct site *s)
{
	if (s->memo_block != t->cur->addr) {
		s->memo_index = count_between(t, t->cur->addr, s->addr);
		s->memo_block = t->cur->addr;
	}
	t->done += s->memo_index;
	t->cur = &t->settled;
	t->last_kind = TCG_PLAIN;
}

/* What devices go by; only when settled. */
static uint64_t clock_now(const struct tcg *t)
{
	return TICKS * t->done + t->skipped;
}

static uint64_t tsc_now(const struct tcg *t)
{
	return clock_now(t) + t->tsc_offset;
}

static struct site *site_find(struct tcg *t, uint64_t addr)
{
	for (size_t i = 0; i < t->n_sites; i++)
		if (t->sites[i].addr == addr)
			return &t->sites[i];
	return NULL;
}

static struct block *block_of(struct tcg *t, uint64_t addr)
{
	return &t->blocks[(addr ^ addr >> 13) & (BLOCKS - 1)];
}

static bool sites_near(const struct tcg *t, uint64_t addr, uint32_t size)
{
	for (size_t i = 0; i < t->n_sites; i++)
		if (t->sites[i].addr - addr < size)
			return true;
	return false;
}

static bool break_at(const struct tcg *t, uint64_t addr)
{
	for (size_t i = 0; i < t->n_breaks; i++)
		if (t->breaks[i] == addr)
			return true;
	return false;
}

/* breaks[] is sorted. */
static bool break_within(const struct tcg *t, uint64_t addr, uint32_t size)
{
	size_t low = 0, high = t->n_breaks;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (t->breaks[middle] < addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->n_breaks && t->breaks[low] - addr < size;
}

/* ---- in bursts, what is executed must still be what was translated ---- */

static uint64_t code_hash(struct tcg *t, uint64_t addr, uint32_t size)
{
	const uint8_t *bytes;
	size_t len = code_bytes(t, addr, size, &bytes);

	return hash_bytes(0, bytes, len);
}

static struct seen *seen_at(struct tcg *t, uint64_t addr, uint32_t size)
{
	uint64_t i = addr ^ addr >> 15 ^ (uint64_t)size << 7;
	struct seen *s;

	do
		s = &t->seen[i++ & (SEEN - 1)];
	while (s->used && (s->addr != addr || s->size != size));
	return s;
}

/* The code is as it was when it was, or now is, translated. */
static void seen_set(struct tcg *t, struct seen *s, uint64_t addr, uint32_t size)
{
	if (!s->used && t->n_seen >= SEEN / 4 * 3) {
		atomic_fetch_or(&t->attention, LOOK_FORGET);
		return;
	}
	t->n_seen += !s->used;
	*s = (struct seen){ .addr = addr, .size = (uint16_t)size, .used = true };
	s->hash = code_hash(t, addr, size);
}

static bool seen_same(struct tcg *t, struct block *b)
{
	const struct seen *s = seen_at(t, b->addr, b->size);

	if (!s->used || s->hash != code_hash(t, b->addr, b->size))
		return false;
	b->burst = t->burst;
	return true;
}

/* Something took time. A burst ends when that becomes too much. */
static void burst_charge(struct tcg *t, uint64_t cost)
{
	t->work += cost;
	if (t->work <= BURST_WORK)
		return;
	t->burst_end = t->done;
	if (!t->stepping)
		t->limit = t->done;
}

/* Does a burst end before this instruction, unless it began there? bytes: from it on. */
static bool leaves_burst(struct tcg *t, uint64_t addr, const uint8_t *bytes, size_t len)
{
	return t->bursting &&
	       t->leave(t->leave_ctx, addr, bytes, len < TCG_INSN_MAX ? len : TCG_INSN_MAX);
}

static bool has_extra(const struct tcg *t, uint8_t kind)
{
	return t->extras >> kind & 1;
}

/* At most TCG_INSN_MAX bytes, from wherever the guest's tables put them. */
static bool decode_live(struct tcg *t, uint64_t addr, uint8_t *bytes, struct tcg_insn *insn)
{
	struct paging p = paging_now(t);

	memset(bytes, 0, TCG_INSN_MAX);
	return tcg_insn_decode(bytes,
		(size_t)paging_read(t->base.config.mem, &p, addr, bytes, TCG_INSN_MAX), insn);
}

/*
 * An instruction of a block. Where Unicorn has found that it does not know one it looks no further, and the
 * block ends inside of it.
 */
static bool decode(struct tcg *t, uint64_t addr, const uint8_t *p, size_t n, struct tcg_insn *insn)
{
	uint8_t bytes[TCG_INSN_MAX];
	bool known = tcg_insn_decode(p, n, insn);

	if (!known && t->extras && n < TCG_INSN_MAX && decode_live(t, addr, bytes, insn))
		known = insn->kind >= TCG_EXTRA && has_extra(t, insn->kind);
	if (!known)
		*insn = (struct tcg_insn){ 0 }; /* it will fault */
	else if (insn->kind >= TCG_EXTRA && !has_extra(t, insn->kind))
		insn->kind = TCG_PLAIN;
	return known;
}

/* Looks at a block that was just translated; n is 0 when the count is not known. */
static void block_learn(struct tcg *t, uint64_t addr, uint32_t size, uint32_t n)
{
	struct block *b = block_of(t, addr);
	bool near = sites_near(t, addr, size);
	const uint8_t *bytes;
	size_t len = code_bytes(t, addr, size, &bytes), at = 0;
	struct tcg_insn insn;
	uint32_t counted = 0;
	uint64_t last_at = 0;
	bool leave;

	if (b == t->cur) { /* still to be counted */
		t->overwritten = *b;
		t->cur = &t->overwritten;
	}
	*b = (struct block){ .addr = addr, .size = (uint16_t)size, .rep = NO_ADDRESS };
	b->burst = t->bursting;
	for (bool known = true; known && at < len; at += insn.len) {
		struct site *s;

		counted++;
		known = decode(t, addr + at, bytes + at, len - at, &insn);
		leave = leaves_burst(t, addr + at, bytes + at, len - at);
		s = near || insn.kind >= TCG_HOOKED ? site_find(t, addr + at) : NULL;
		if (s) {
			s->insn = insn;
			s->leave = leave;
			s->memo_block = NO_ADDRESS;
		}
		if (leave && !at)
			b->special |= SPECIAL_LEAVE;
		if (((leave && at) || insn.kind >= TCG_HOOKED) && !s)
			b->special |= SPECIAL_SITES;
		last_at = at;
		b->last_kind = insn.kind;
	}
	b->n = (uint16_t)(n ? n : counted);
	b->redo = (uint16_t)(last_at + (b->last_kind == TCG_CALL));
	if (b->last_kind == TCG_REPEAT)
		b->rep = addr + last_at;
	if (b->n == 1)
		b->special |= SPECIAL_SINGLE;
	if (b->last_kind == TCG_IRET)
		b->special |= SPECIAL_RESUME;
	if (break_within(t, addr, size))
		b->special |= SPECIAL_BREAK;
}

static void on_translated(uc_engine *uc, uc_tb *block, uc_tb *previous, void *ctx)
{
	struct tcg *t = ctx;
	uint64_t first = block->pc & ~(uint64_t)(PAGE - 1), last = block->pc + block->size - 1;

	(void)uc, (void)previous;
	block_learn(t, block->pc, block->size, block->icount);
	if (t->bursting) {
		struct seen *s = seen_at(t, block->pc, block->size);

		/* If it was translated before, that may have been from other bytes. */
		if (!s->used)
			seen_set(t, s, block->pc, block->size);
		burst_charge(t, (uint64_t)COST_TRANSLATION * block->icount);
	}
	for (uint64_t page = first; page - first <= last - first; page += PAGE) {
		struct region *r = region_find(t, page);
		uint64_t from = page < block->pc ? block->pc : page;
		uint64_t to = last - page < PAGE ? last : page + (PAGE - 1);

		if (r && r->kind == REGION_RAM)
			code_note_page(t, r, page, lines_of(from, to - from + 1));
	}
}

/* ---- hooks ---- */

static void stop(struct tcg *t, enum stop why, uint64_t rip)
{
	t->stop = why;
	t->rip = rip;
	uc_emu_stop(t->uc);
}

/* Does anything make the guest stop before this block? */
static bool block_stops(struct tcg *t, struct block *b, unsigned attention)
{
	enum stop why = STOP_NONE;

	if (b->burst != t->burst && t->bursting && !seen_same(t, b))
		why = STOP_STALE;
	else if ((b->special & SPECIAL_LEAVE) && !t->stepping)
		why = STOP_LEAVE;
	else if (b->special & SPECIAL_SITES)
		why = STOP_SITES;
	else if (t->stepping)
		why = STOP_NONE;
	else if (attention & ~(unsigned)LOOK_IRQ)
		why = STOP_BLOCK;
	else if ((attention & LOOK_IRQ) && reg_get(t, UC_X86_REG_RFLAGS) & CPU_RFLAGS_IF &&
		 t->last_kind != TCG_SHADOW)
		why = STOP_BLOCK;
	else if (t->done + b->n > t->limit || (b->special & SPECIAL_BREAK))
		why = STOP_CAREFUL;
	if (why != STOP_NONE)
		stop(t, why, b->addr);
	return why != STOP_NONE;
}

/* Something was done that is not an instruction, or not yet all of one. */
static void count_happened(struct tcg *t)
{
	t->happened = t->happened_at == t->done ? t->happened + 1 : 1;
	t->happened_at = t->done;
}

/*
 * RF lasts for one instruction. Unicorn forgets to clear it in the middle of a block and pushf pushes it, so what could
 * be seen of it would depend on where it was stopped; nothing here heeds it. What is to be looked at then.
 */
static unsigned resume_flag_clear(struct tcg *t)
{
	uint64_t rflags = reg_get(t, UC_X86_REG_RFLAGS);

	if (rflags & CPU_RFLAGS_RF)
		reg_set(t, UC_X86_REG_RFLAGS, rflags & ~(uint64_t)CPU_RFLAGS_RF);
	return atomic_fetch_and(&t->attention, ~(unsigned)LOOK_RESUME) & ~(unsigned)LOOK_RESUME;
}

/* The block that was being run is behind; at is the start of the next. */
static void block_leave(struct tcg *t, uint64_t at)
{
	bool again = at == t->cur->rep;

	t->done += t->cur->n - (uint64_t)again;
	if (again)
		count_happened(t);
	t->last_kind = t->cur->last_kind;
	t->cur = &t->settled;
}

/*
 * The uncommon ways into a block. A store into the block it is part of makes Unicorn run that
 * instruction again, alone.
 */
static __attribute__((noinline)) void block_specially(struct tcg *t, uint64_t addr, uint32_t size)
{
	unsigned attention = atomic_load_explicit(&t->attention, memory_order_relaxed);
	struct block *b = block_of(t, addr);

	if (attention & LOOK_NATIVE)
		return;
	if (attention & LOOK_RESUME)
		attention = resume_flag_clear(t);
	if (b->addr != addr || b->size != size || !b->burst != !t->bursting)
		block_learn(t, addr, size, 0);
	if (t->bursting && addr == t->cur->rep)
		burst_charge(t, 1);
	if ((b->n == 1 && addr - t->cur->addr < t->cur->redo) ||
		(t->stepping && addr == t->cur->addr)) {
		settle(t, addr);
	} else if (t->cur != &t->settled) {
		block_leave(t, addr);
		if (t->stepping) { /* pause does not trap */
			stop(t, STOP_BLOCK, addr);
			return;
		}
	}
	if (block_stops(t, b, attention))
		return;
	t->cur = b;
	if (b->special & SPECIAL_RESUME)
		atomic_fetch_or(&t->attention, LOOK_RESUME);
}

/*
 * The hot path of everything. A block that ends in a repeated string instruction is left by way of
 * a block that begins there, until it has run its course: it counts once.
 */
static void on_block(uc_engine *uc, uint64_t addr, uint32_t size, void *ctx)
{
	struct tcg *t = ctx;
	struct block *b = block_of(t, addr);
	bool again = addr == t->cur->rep;
	uint64_t done = t->done + t->cur->n - (uint64_t)again;

	(void)uc;
	if (__builtin_expect(b->addr != addr || b->size != size || b->special ||
				     b->burst != t->burst || done + b->n > t->limit ||
				     atomic_load_explicit(&t->attention, memory_order_relaxed),
		    0)) {
		block_specially(t, addr, size);
		return;
	}
	t->done = done;
	t->cur = b;
	if (__builtin_expect(again, 0))
		count_happened(t);
}

static void on_exception(uc_engine *uc, uint32_t vector, void *ctx)
{
	struct tcg *t = ctx;

	t->vector = vector;
	if (atomic_load(&t->attention) & LOOK_NATIVE) {
		uc_emu_stop(uc);
		return;
	}
	stop(t, STOP_EXCEPTION, reg_get(t, UC_X86_REG_RIP));
}

static bool on_invalid(uc_engine *uc, void *ctx)
{
	on_exception(uc, CPU_VEC_UD, ctx);
	return true;
}

/*
 * Every byte of code comes by here before it is translated: regions are not executable for Unicorn,
 * which asks then. It breaks down, and the process with it, when it has to translate a compare with
 * a LOCK prefix. Where a byte is a prefix is not known here; but in a single step it is.
 */
static bool on_fetch(
	uc_engine *uc, uc_mem_type type, uint64_t addr, int size, int64_t value, void *ctx)
{
	struct tcg *t = ctx;
	const uint8_t *bytes;
	size_t n = code_bytes(t, addr, 1, &bytes);

	(void)uc, (void)type, (void)size, (void)value;
	if (n && bytes[0] != TCG_INSN_LOCK)
		return true;
	n = code_bytes(t, addr, TCG_INSN_MAX, &bytes);
	if (!tcg_insn_locks_compare(bytes, n))
		return true;
	if (t->stepping) {
		n = code_bytes(t, t->rip, TCG_INSN_MAX, &bytes);
		t->poisoned = tcg_insn_locks_compare(bytes, n);
		if (!t->poisoned)
			return true;
	}
	t->stop = STOP_POISON;
	return false;
}

static uint32_t on_in(uc_engine *uc, uint32_t port, int size, void *ctx)
{
	struct tcg *t = ctx;

	(void)uc, (void)port, (void)size;
	return t->in_data;
}

/* Of leaf 0xd, for what the guest has switched on. */
static uint32_t xsave_size(const struct tcg *t)
{
	return t->xcr0 & XSAVE_AVX ? XSAVE_SIZE_AVX : XSAVE_SIZE_SSE;
}

/* As the table says, with what follows the CPU's state. */
static struct tcg_cpuid cpuid_of_table(struct tcg *t, uint32_t leaf, uint32_t subleaf)
{
	const struct backend_config *config = &t->base.config;
	struct cpuid_entry e = cpuid_table_find(config->cpuid, config->n_cpuid, leaf, subleaf);

	if (leaf == 1 && has_extra(t, TCG_XSAVE)) {
		e.ecx &= ~(uint32_t)CPUID_ECX_OSXSAVE;
		e.ecx |= t->cr4 & CPU_CR4_OSXSAVE ? CPUID_ECX_OSXSAVE : 0u;
	}
	if (leaf == 1 && config->irqchip && !(t->apic_base >> 11 & 1))
		e.edx &= ~(uint32_t)CPUID_EDX_APIC;
	if (leaf == CPUID_LEAF_XSAVE && subleaf < 2 && e.ebx && has_extra(t, TCG_XSAVE))
		e.ebx = xsave_size(t);
	return (struct tcg_cpuid){ e.eax, e.ebx, e.ecx, e.edx };
}

static int on_cpuid(uc_engine *uc, void *ctx)
{
	struct tcg *t = ctx;
	bool apic = t->base.config.irqchip && t->apic_base >> 11 & 1;
	uint32_t leaf = (uint32_t)reg_get(t, UC_X86_REG_RAX);
	uint32_t subleaf = (uint32_t)reg_get(t, UC_X86_REG_RCX);
	struct tcg_cpuid r = t->base.config.n_cpuid
				     ? cpuid_of_table(t, leaf, subleaf)
				     : tcg_cpuid(leaf, subleaf, apic, t->base.config.plain_cpu);

	(void)uc;
	reg_set(t, UC_X86_REG_RAX, r.eax);
	reg_set(t, UC_X86_REG_RBX, r.ebx);
	reg_set(t, UC_X86_REG_RCX, r.ecx);
	reg_set(t, UC_X86_REG_RDX, r.edx);
	return 1;
}

static int tcg_cpuid_op(struct backend *backend, struct cpuid_entry *table, size_t max)
{
	const struct backend_config *config = &backend->config;
	struct cpuid_entry own[TCG_CPUID_LEAVES];
	size_t n = config->n_cpuid;

	if (!n)
		n = tcg_cpuid_table(own, config->irqchip, config->plain_cpu);
	n = n < max ? n : max;
	memcpy(table, config->n_cpuid ? config->cpuid : own, n * sizeof(*table));
	return (int)n;
}

/* What the table announces and we then do by hand. With AVX that is to refuse it, for Unicorn does it wrong. */
static uint32_t extras_of(const struct backend_config *config)
{
	static const struct {
		uint32_t ecx;
		uint8_t first, last;
	} rows[] = {
		{ CPUID_ECX_XSAVE, TCG_XGETBV, TCG_XRSTOR },
		{ CPUID_ECX_RDRAND, TCG_RDRAND, TCG_RDRAND },
		{ CPUID_ECX_POPCNT, TCG_POPCNT, TCG_POPCNT },
		{ CPUID_ECX_MOVBE, TCG_MOVBE, TCG_MOVBE },
		{ CPUID_ECX_AVX, TCG_AVX, TCG_AVX },
		{ CPUID_ECX_FMA, TCG_AVX, TCG_AVX },
	};
	uint32_t ecx = cpuid_table_find(config->cpuid, config->n_cpuid, 1, 0).ecx, extras = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (unsigned kind = rows[i].first; ecx & rows[i].ecx && kind <= rows[i].last;
			kind++)
			extras |= 1u << kind;
	return extras;
}

static uint8_t port_size(const struct tcg_insn *insn)
{
	return !(insn->opcode & 1) ? 1 : insn->opsize ? 2 : 4;
}

/*
 * Before an in or out. Answered, the instruction runs: out does nothing, in takes in_data. At CPL 3
 * only IOPL 3 gives ports; permission bitmaps are not looked at.
 */
static void site_port(struct tcg *t, struct site *s)
{
	static int ids[] = { UC_X86_REG_RAX, UC_X86_REG_RDX, UC_X86_REG_RDI, UC_X86_REG_CS };
	uint64_t rax, rdx, rdi, cs = 0;
	void *values[] = { &rax, &rdx, &rdi, &cs };
	struct vcpu_exit *exit = t->exit;
	uint8_t size = port_size(&s->insn);
	bool answered;

	uc_reg_read_batch(t->uc, ids, values, 4);
	t->site = s;
	if (cs & 3 && (cs & 3) > (reg_get(t, UC_X86_REG_RFLAGS) >> 12 & 3)) {
		stop(t, STOP_SITE, s->addr);
		return;
	}
	exit->kind = VCPU_PORT;
	exit->rip = t->rip = s->addr;
	exit->port = s->insn.opcode & 8 ? (uint16_t)rdx : s->insn.imm;
	exit->size = size;
	exit->in = s->insn.kind == TCG_IN;
	exit->data = exit->in    ? 0
		     : size == 4 ? (uint32_t)rax
				 : (uint32_t)rax & ((1u << 8 * size) - 1);
	exit->rdi = rdi;
	t->mid_block = true;
	t->overtaken = false;
	answered = !t->bursting && t->base.config.port &&
		   t->base.config.port(t->base.config.ctx, exit);
	t->mid_block = false;
	t->in_data = exit->data;
	if (!answered)
		stop(t, STOP_PORT, s->addr);
	else if (t->overtaken || atomic_load_explicit(&t->attention, memory_order_relaxed) &
					 (LOOK_FORGET | LOOK_PAGES))
		stop(t, STOP_ANSWERED, s->addr);
}

static void tsc_to_registers(struct tcg *t, const struct tcg_insn *insn)
{
	uint64_t tsc = tsc_now(t);

	reg_set(t, UC_X86_REG_RAX, (uint32_t)tsc);
	reg_set(t, UC_X86_REG_RDX, tsc >> 32);
	if (insn->kind == TCG_RDTSCP)
		reg_set(t, UC_X86_REG_RCX, (uint32_t)msr_get(t, 0xc0000103));
}

/* Before an instruction that is not left to Unicorn alone. */
static void on_site(uc_engine *uc, uint64_t addr, uint32_t size, void *ctx)
{
	struct site *s = ctx;
	struct tcg *t = s->t;

	(void)uc, (void)size;
	if (t->stop)
		return;
	if (s->leave && t->bursting && !t->stepping) {
		stop(t, STOP_LEAVE, addr);
		return;
	}
	switch (s->insn.kind) {
	case TCG_OUT:
	case TCG_IN:
		site_port(t, s);
		return;
	case TCG_RDTSC:
	case TCG_RDTSCP:
		/* In loops that wait for time to pass, so without the way out and back. */
		if (t->stepping || t->cr4 & 1 << 2)
			break;
		settle_at_site(t, s);
		tsc_to_registers(t, &s->insn);
		t->done++;
		reg_set(t, UC_X86_REG_RIP, addr + s->insn.len);
		return;
	default:
		if (s->insn.kind < TCG_HOOKED)
			return; /* the code is another now */
		break;
	}
	t->site = s;
	stop(t, STOP_SITE, addr);
}

static const char out_of_memory[] = "the software CPU is out of memory";

static void sites_drop(struct tcg *t)
{
	for (size_t i = 0; i < t->n_sites; i++)
		uc_hook_del(t->uc, t->sites[i].hook);
	t->n_sites = 0;
	t->max_sites = 2 * t->max_sites < SITES_MAX ? 2 * t->max_sites : SITES_MAX;
	code_forget_all(t);
	memset(t->blocks, 0, sizeof(t->blocks));
	/* Deleting looks hooked code up in the shadow; what it did not find there was a fault. */
	exception_forget(t);
}

/* Whatever holds the instruction is translated again, with the hook. */
static bool site_add(struct tcg *t, uint64_t addr, const struct tcg_insn *insn, bool leave)
{
	struct site *s = &t->sites[t->n_sites];

	*s = (struct site){ .t = t, .addr = addr, .insn = *insn, .memo_block = NO_ADDRESS };
	s->leave = leave;
	if (uc_hook_add(t->uc, &s->hook, UC_HOOK_CODE, (void *)(uintptr_t)on_site, s, addr, addr)) {
		t->no_memory |= !t->n_sites; /* none that could be dropped */
		return false;
	}
	t->n_sites++;
	uc_ctl_remove_cache(t->uc, addr, addr + 1);
	return true;
}

/* Those of the block that have no hook yet get one. False when there are too many. */
static bool sites_add(struct tcg *t, const struct block *b)
{
	const uint8_t *bytes;
	size_t len = code_bytes(t, b->addr, b->size, &bytes);
	struct tcg_insn insn;
	bool known = true, leave;

	for (size_t at = 0; known && at < len; at += insn.len) {
		known = decode(t, b->addr + at, bytes + at, len - at, &insn);
		leave = leaves_burst(t, b->addr + at, bytes + at, len - at);
		if ((insn.kind < TCG_HOOKED && (!leave || !at)) || site_find(t, b->addr + at))
			continue;
		if (t->n_sites == t->max_sites || !site_add(t, b->addr + at, &insn, leave))
			return false;
	}
	return true;
}

/* Hooks for the block at rip, which is translated again with them. False when there cannot be. */
static bool sites_install(struct tcg *t)
{
	struct block b = *block_of(t, t->rip);

	while (!sites_add(t, &b)) {
		if (t->no_memory || (t->max_sites == SITES_MAX && t->n_sites == b.n))
			return false; /* already alone */
		sites_drop(t);
	}
	*block_of(t, t->rip) = (struct block){ .rep = NO_ADDRESS };
	uc_ctl_remove_cache(t->uc, b.addr, b.addr + 1);
	return true;
}

/* The block at rip is translated again, and so is what begins there in other modes. */
static void block_renew(struct tcg *t)
{
	struct block *b = block_of(t, t->rip);

	seen_set(t, seen_at(t, b->addr, b->size), b->addr, b->size);
	*b = (struct block){ .rep = NO_ADDRESS };
	uc_ctl_remove_cache(t->uc, t->rip, t->rip + 1);
}

/* ---- devices ---- */

static uint64_t ioapic_read(const struct tcg *t, uint64_t offset)
{
	if (offset == 0)
		return t->ioapic_select;
	if (offset != 0x10)
		return 0;
	switch (t->ioapic_select) {
	case 1:
		return 23 << 16 | 0x11; /* 24 inputs, version 1.1 */
	default:
		return t->ioapic[t->ioapic_select & 63];
	}
}

/* Nothing is connected to it; it remembers what is written. */
static void ioapic_write(struct tcg *t, uint64_t offset, uint32_t value)
{
	if (offset == 0)
		t->ioapic_select = value & 0xff;
	else if (offset == 0x10)
		t->ioapic[t->ioapic_select & 63] = value;
}

/* Only ever called while an instruction runs alone (a glimpse), so done is exact. */
static uint64_t device_read(uc_engine *uc, uint64_t offset, unsigned size, void *ctx)
{
	struct tcg *t = ctx;
	uint64_t gpa = t->glimpse.gpa;

	(void)uc, (void)size;
	offset &= PAGE - 1;
	if (is_apic(t, gpa))
		return lapic_read(&t->lapic, (uint32_t)offset, clock_now(t));
	return ioapic_read(t, offset);
}

static void device_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *ctx)
{
	struct tcg *t = ctx;
	uint64_t gpa = t->glimpse.gpa;

	(void)uc, (void)size;
	offset &= PAGE - 1;
	if (is_apic(t, gpa))
		lapic_write(&t->lapic, (uint32_t)offset, (uint32_t)value, clock_now(t));
	else
		ioapic_write(t, offset, (uint32_t)value);
}

/* ---- events ---- */

static void cpl_changed(struct tcg *t, unsigned level)
{
	hflags_change(t, HF_CPL, level);
}

/* What was written by hand may have been code. */
static void memory_written(struct tcg *t, uint64_t gva, size_t len)
{
	const struct gmem *m = t->base.config.mem;
	struct paging p = paging_now(t);
	uint64_t gpa;

	for (size_t at = 0; at < len; at += PAGE - (gva + at) % PAGE)
		if (!paging_translate(m, &p, gva + at, &gpa) && gmem_span(m, gpa, 1))
			code_forget_page(t, gpa & ~(uint64_t)(PAGE - 1));
}

/* Where the CPU is, as delivery wants to know it. */
static void event_cpu_get(struct tcg *t, struct tcg_event_cpu *cpu)
{
	uc_x86_mmr idt = table_get(t, UC_X86_REG_IDTR), gdt = table_get(t, UC_X86_REG_GDTR);
	uc_x86_mmr tss = table_get(t, UC_X86_REG_TR);

	*cpu = (struct tcg_event_cpu){
		.rip = t->rip,
		.rsp = reg_get(t, UC_X86_REG_RSP),
		.rflags = reg_get(t, UC_X86_REG_RFLAGS),
		.cs = (uint16_t)reg_get(t, UC_X86_REG_CS),
		.ss = (uint16_t)reg_get(t, UC_X86_REG_SS),
		.idt = { .base = idt.base, .limit = (uint16_t)idt.limit },
		.gdt = { .base = gdt.base, .limit = (uint16_t)gdt.limit },
		.tss_base = tss.base,
		.tss_limit = tss.limit,
		.tss_selector = tss.selector,
	};
}

static void event_cpu_set(struct tcg *t, const struct tcg_event_cpu *cpu, unsigned old_level)
{
	t->rip = cpu->rip;
	reg_set(t, UC_X86_REG_RSP, cpu->rsp);
	reg_set(t, UC_X86_REG_RFLAGS, cpu->rflags);
	reg_set(t, UC_X86_REG_CS, cpu->cs);
	reg_set(t, UC_X86_REG_SS, cpu->ss);
	if ((cpu->cs & 3u) != old_level)
		cpl_changed(t, cpu->cs & 3u);
	memory_written(t, cpu->rsp, FRAME_MAX);
}

static struct cpu_event event_of(const struct tcg_event *event)
{
	return (struct cpu_event){
		.pending = true,
		.vector = event->vector,
		.has_error = event->kind == TCG_EVENT_FAULT && tcg_event_has_error(event->vector),
		.error = event->error,
	};
}

/* The guest goes on elsewhere, and no instruction was retired for it. */
static void happen(struct tcg *t)
{
	count_happened(t);
	t->progress = true;
}

/* To the guest's handler; or, when even a double fault finds none, the end of the guest. */
static void deliver_now(struct tcg *t, struct tcg_event event)
{
	const struct gmem *m = t->base.config.mem;
	struct paging p = paging_now(t);
	struct tcg_event fault = { 0 }, first = event;
	struct tcg_event_cpu cpu;
	unsigned level = cpl(t);
	int vector;

	happen(t);
	t->last_kind = TCG_PLAIN;
	if (t->bursting && t->burst_end > t->done)
		t->burst_end--;
	event_cpu_get(t, &cpu);
	for (;;) {
		bool exception = event.kind == TCG_EVENT_FAULT || event.kind == TCG_EVENT_TRAP;

		if (exception && event.vector == CPU_VEC_PF)
			t->cr2 = event.cr2;
		if (!tcg_event_deliver(m, &p, &event, &cpu, &fault))
			break;
		vector = exception ? tcg_event_combine(event.vector, fault.vector) : fault.vector;
		if (fault.vector == CPU_VEC_PF)
			t->cr2 = fault.cr2;
		if (vector < 0) {
			t->shut_down = true;
			t->cause = event_of(&first);
			return;
		}
		if (vector != fault.vector)
			fault = (struct tcg_event){ .vector = (uint8_t)vector };
		event = fault;
	}
	event_cpu_set(t, &cpu, level);
}

/* Does whoever debugs want to see this one first? Then it waits, as one does that was loaded with the state. */
static bool is_caught(struct tcg *t, const struct tcg_event *event)
{
	if (event->kind != TCG_EVENT_FAULT && event->kind != TCG_EVENT_TRAP)
		return false;
	if (t->bursting || event->vector >= 32 || !(t->exceptions >> event->vector & 1))
		return false;
	if (event->vector == CPU_VEC_PF)
		t->cr2 = event->cr2;
	t->event = event_of(event);
	t->last_kind = TCG_PLAIN;
	t->caught = true;
	return true;
}

static void deliver(struct tcg *t, struct tcg_event event)
{
	if (!is_caught(t, &event))
		deliver_now(t, event);
}

static void deliver_fault(struct tcg *t, uint8_t vector, uint32_t error)
{
	deliver(t, (struct tcg_event){ .kind = TCG_EVENT_FAULT, .vector = vector, .error = error });
}

/* ---- x87 and SSE as FXSAVE64 lays them out ---- */

enum {
	FX_FCW = 0,
	FX_FSW = 2,
	FX_FTW = 4,
	FX_FOP = 6,
	FX_FIP = 8,
	FX_FDP = 16,
	FX_MXCSR = 24,
	FX_MASK = 28,
	FX_ST = 32,
	FX_XMM = 160
};

static const struct {
	int id, at, size;
} fx_fields[] = {
	{ UC_X86_REG_FPCW, FX_FCW, 2 },
	{ UC_X86_REG_FPSW, FX_FSW, 2 },
	{ UC_X86_REG_FOP, FX_FOP, 2 },
	{ UC_X86_REG_FIP, FX_FIP, 8 },
	{ UC_X86_REG_FDP, FX_FDP, 8 },
	{ UC_X86_REG_MXCSR, FX_MXCSR, 4 },
};

/* The long tag word, 3 for empty, and FXSAVE's short one, a bit for not empty. */
static void fpu_save(struct tcg *t, uint8_t *fx)
{
	uint64_t tags = reg_get(t, UC_X86_REG_FPTAG);
	uint8_t valid = 0, wide[16];

	memset(fx, 0, 512);
	for (size_t i = 0; i < sizeof(fx_fields) / sizeof(fx_fields[0]); i++) {
		uint64_t v = reg_get(t, fx_fields[i].id);

		memcpy(fx + fx_fields[i].at, &v, (size_t)fx_fields[i].size);
	}
	store32(fx + FX_MASK, 0xffff);
	for (int i = 0; i < 8; i++) {
		if ((tags >> 2 * i & 3) != 3)
			valid |= (uint8_t)(1 << i);
		memset(wide, 0, sizeof(wide));
		uc_reg_read(t->uc, UC_X86_REG_ST0 + i, wide);
		memcpy(fx + FX_ST + 16 * i, wide, 10);
	}
	fx[FX_FTW] = valid;
	for (int i = 0; i < 16; i++)
		uc_reg_read(t->uc, UC_X86_REG_XMM0 + i, fx + FX_XMM + 16 * i);
}

static void fpu_load(struct tcg *t, const uint8_t *fx)
{
	uint64_t tags = 0;
	uint8_t wide[16];

	for (size_t i = 0; i < sizeof(fx_fields) / sizeof(fx_fields[0]); i++) {
		uint64_t v = 0;

		memcpy(&v, fx + fx_fields[i].at, (size_t)fx_fields[i].size);
		reg_set(t, fx_fields[i].id, v);
	}
	for (int i = 0; i < 8; i++) {
		if (!(fx[FX_FTW] >> i & 1))
			tags |= 3u << 2 * i;
		memcpy(wide, fx + FX_ST + 16 * i, sizeof(wide));
		uc_reg_write(t->uc, UC_X86_REG_ST0 + i, wide);
	}
	reg_set(t, UC_X86_REG_FPTAG, tags);
	for (int i = 0; i < 16; i++)
		uc_reg_write(t->uc, UC_X86_REG_XMM0 + i, fx + FX_XMM + 16 * i);
}

/* ---- instructions executed by hand: true when done, false with *fault ---- */

struct by_hand {
	struct tcg *t;
	const struct tcg_insn *insn;
	const uint8_t *bytes;
	struct tcg_event fault;
};

static bool fail(struct by_hand *h, uint8_t vector)
{
	h->fault = (struct tcg_event){ .kind = TCG_EVENT_FAULT, .vector = vector };
	return false;
}

static uint64_t gpr_get(struct tcg *t, unsigned i)
{
	return reg_get(t, gpr_ids[i]);
}

static int64_t load_signed(const uint8_t *p, size_t n)
{
	int32_t v32;

	if (n == 1)
		return (int8_t)*p;
	memcpy(&v32, p, sizeof(v32));
	return v32;
}

/* The address a ModRM byte means: SDM 2A tables 2-2 and 2-3, with their REX extensions. */
static uint64_t effective_address(struct tcg *t, const struct tcg_insn *insn, const uint8_t *bytes)
{
	const uint8_t *p = bytes + insn->modrm_at + 1;
	unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7, base = rm | (insn->rex & 1u) << 3;
	uint64_t address = 0;
	bool has_base = true;

	if (rm == 4) {
		unsigned sib = *p++, index = (sib >> 3 & 7) | (insn->rex & 2u) << 2;

		base = (sib & 7) | (insn->rex & 1u) << 3;
		has_base = mod || (sib & 7) != 5;
		if (index != CPU_RSP)
			address += gpr_get(t, index) << (sib >> 6);
	} else if (!mod && rm == 5) {
		address += t->rip + insn->len;
		has_base = false;
	}
	if (has_base)
		address += gpr_get(t, base);
	if (mod == 1)
		address += (uint64_t)load_signed(p, 1);
	else if (mod == 2 || !has_base)
		address += (uint64_t)load_signed(p, 4);
	if (insn->addrsize)
		address &= 0xffffffff;
	if (insn->segment == 0x64)
		address += reg_get(t, UC_X86_REG_FS_BASE);
	else if (insn->segment == 0x65)
		address += reg_get(t, UC_X86_REG_GS_BASE);
	return address;
}

/* Drops the translation of one page, unless it would come out the same again. */
static bool hand_invlpg(struct by_hand *h)
{
	struct tcg *t = h->t;
	struct paging p = paging_now(t);
	uint64_t gva = effective_address(t, h->insn, h->bytes), flags;
	struct region *r = region_find(t, gva);
	struct paging_page page;

	if (tcg_shadow_get(&t->shadow, gva, &flags))
		return true;
	if (r && r->kind == REGION_RAM &&
		!paging_walk(t->base.config.mem, &p, gva, PAGING_READ, &page, NULL) &&
		page.gpa + (gva - page.gva) == r->gpa + (gva - r->gva) &&
		fill_flags(t, &page, gva, PAGING_READ) == flags)
		return true;
	tcg_shadow_unset(&t->shadow, gva);
	tlb_flush(t);
	return true;
}

static bool cr0_write(struct by_hand *h, uint64_t v)
{
	const uint64_t nw = 1 << 29, cd = 1 << 30;
	struct tcg *t = h->t;
	uint64_t changed = (cr0_get(t) ^ v) & (CPU_CR0_PG | CPU_CR0_WP);

	/* Paging cannot be left in 64-bit mode. */
	if (v >> 32 || ((v & CPU_CR0_PG) && !(v & CPU_CR0_PE)) || ((v & nw) && !(v & cd)) ||
		(!(v & CPU_CR0_PG) && (t->cr0 & CPU_CR0_PG)) || !(v & CPU_CR0_PE))
		return fail(h, CPU_VEC_GP);
	t->cr0 = v | CPU_CR0_ET;
	control_apply(t);
	if (changed & CPU_CR0_PG)
		regions_drop(t);
	else if (changed)
		shadow_drop(t);
	return true;
}

static bool cr4_write(struct by_hand *h, uint64_t v)
{
	/* VME, PVI, TSD, DE, PSE, PAE, MCE, PGE, PCE, OSFXSR, OSXMMEXCPT; or what load() brought */
	struct tcg *t = h->t;
	uint64_t known = 0x7ff | t->cr4;

	if (has_extra(t, TCG_XSAVE))
		known |= CPU_CR4_OSXSAVE;
	if ((v & ~known) || !(v & CPU_CR4_PAE))
		return fail(h, CPU_VEC_GP);
	t->cr4 = v;
	control_apply(t);
	shadow_drop(t);
	return true;
}

static bool cr3_write(struct by_hand *h, uint64_t v)
{
	if (v >> 52)
		return fail(h, CPU_VEC_GP);
	h->t->cr3 = v;
	shadow_drop(h->t);
	return true;
}

static uint64_t cr8_get(const struct tcg *t)
{
	return t->base.config.irqchip ? lapic_get_cr8(&t->lapic) : t->cr8;
}

static void cr8_set(struct tcg *t, uint64_t v)
{
	t->cr8 = v;
	lapic_set_cr8(&t->lapic, v);
}

static bool hand_mov_cr(struct by_hand *h)
{
	struct tcg *t = h->t;
	unsigned reg = (h->insn->modrm >> 3 & 7) | (h->insn->rex & 4u) << 1;
	unsigned rm = (h->insn->modrm & 7) | (h->insn->rex & 1u) << 3;
	const uint64_t cr[9] = {
		[0] = cr0_get(t),
		[2] = t->cr2,
		[3] = t->cr3,
		[4] = t->cr4,
		[8] = cr8_get(t),
	};
	uint64_t v = gpr_get(t, rm);

	if (reg > 8 || reg == 1 || (reg > 4 && reg < 8))
		return fail(h, CPU_VEC_UD);
	if (h->insn->opcode == 0x20) {
		reg_set(t, gpr_ids[rm], cr[reg]);
		return true;
	}
	switch (reg) {
	case 0:
		return cr0_write(h, v);
	case 2:
		t->cr2 = v;
		return true;
	case 3:
		return cr3_write(h, v);
	case 4:
		return cr4_write(h, v);
	default:
		if (v > 15)
			return fail(h, CPU_VEC_GP);
		cr8_set(t, v);
		return true;
	}
}

/* The guest's debug registers are kept and have no effect: SDM 3B 17.2. */
static bool hand_mov_dr(struct by_hand *h)
{
	struct tcg *t = h->t;
	unsigned reg = h->insn->modrm >> 3 & 7, rm = (h->insn->modrm & 7) | (h->insn->rex & 1u)
										    << 3;
	uint64_t v = gpr_get(t, rm), *dr;

	if ((h->insn->rex & 4) || ((reg == 4 || reg == 5) && (t->cr4 & 1 << 3)))
		return fail(h, CPU_VEC_UD);
	dr = reg < 4 ? &t->dr[reg] : reg & 1 ? &t->dr7 : &t->dr6;
	if (h->insn->opcode == 0x21) {
		reg_set(t, gpr_ids[rm], *dr);
		return true;
	}
	if (reg >= 4 && v >> 32)
		return fail(h, CPU_VEC_GP);
	*dr = reg < 4 ? v : reg & 1 ? v | 0x400 : v | 0xffff0ff0;
	return true;
}

enum msr {
	MSR_TSC = 0x10,
	MSR_APIC_BASE = 0x1b,
	MSR_MICROCODE = 0x8b,
	MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP,
	MSR_SYSENTER_EIP,
	MSR_MISC_ENABLE = 0x1a0,
	MSR_PAT = 0x277,
};
enum {
	MSR_EFER = (int)0xc0000080,
	MSR_STAR,
	MSR_LSTAR,
	MSR_CSTAR,
	MSR_SFMASK,
	MSR_FS_BASE = (int)0xc0000100,
	MSR_GS_BASE,
	MSR_KERNEL_GS_BASE,
	MSR_TSC_AUX,
};

/* Those Unicorn keeps: it uses them itself. */
static const struct {
	uint32_t index;
	bool canonical;
	uint64_t reserved;
} kept_msrs[] = {
	{ MSR_SYSENTER_CS, false, 0 },
	{ MSR_SYSENTER_ESP, true, 0 },
	{ MSR_SYSENTER_EIP, true, 0 },
	{ (uint32_t)MSR_STAR, false, 0 },
	{ (uint32_t)MSR_LSTAR, true, 0 },
	{ (uint32_t)MSR_CSTAR, true, 0 },
	{ (uint32_t)MSR_SFMASK, false, ~0ull << 32 },
	{ (uint32_t)MSR_FS_BASE, true, 0 },
	{ (uint32_t)MSR_GS_BASE, true, 0 },
	{ (uint32_t)MSR_KERNEL_GS_BASE, true, 0 },
	{ (uint32_t)MSR_TSC_AUX, false, ~0ull << 32 },
};

static int msr_kept(uint32_t index)
{
	for (size_t i = 0; i < sizeof(kept_msrs) / sizeof(kept_msrs[0]); i++)
		if (kept_msrs[i].index == index)
			return (int)i;
	return -1;
}

static bool is_canonical(uint64_t v)
{
	return (uint64_t)((int64_t)(v << 16) >> 16) == v;
}

static bool hand_rdmsr(struct by_hand *h)
{
	struct tcg *t = h->t;
	uint32_t index = (uint32_t)gpr_get(t, CPU_RCX);
	uint64_t v;

	if (msr_kept(index) >= 0)
		v = msr_get(t, index);
	else if (index == MSR_TSC)
		v = tsc_now(t);
	else if (index == MSR_APIC_BASE)
		v = t->apic_base;
	else if (index == MSR_MICROCODE)
		v = 0;
	else if (index == MSR_MISC_ENABLE)
		v = t->misc_enable;
	else if (index == MSR_PAT)
		v = t->pat;
	else if (index == (uint32_t)MSR_EFER)
		v = t->efer;
	else
		return fail(h, CPU_VEC_GP);
	reg_set(t, UC_X86_REG_RAX, (uint32_t)v);
	reg_set(t, UC_X86_REG_RDX, v >> 32);
	return true;
}

static bool efer_write(struct by_hand *h, uint64_t v)
{
	struct tcg *t = h->t;

	if ((v & ~(uint64_t)(CPU_EFER_SCE | CPU_EFER_LME | CPU_EFER_LMA | CPU_EFER_NXE)) ||
		((v ^ t->efer) & CPU_EFER_LME))
		return fail(h, CPU_VEC_GP);
	v = (v & ~(uint64_t)CPU_EFER_LMA) | (t->efer & CPU_EFER_LMA);
	if ((v ^ t->efer) & CPU_EFER_NXE) {
		t->efer = v;
		shadow_drop(t);
	}
	t->efer = v;
	efer_apply(t);
	return true;
}

static bool pat_is_valid(uint64_t v)
{
	for (int i = 0; i < 64; i += 8)
		if ((v >> i & 0xff) > 7 || (v >> i & 0xff) == 2 || (v >> i & 0xff) == 3)
			return false;
	return true;
}

static bool hand_wrmsr(struct by_hand *h)
{
	struct tcg *t = h->t;
	uint32_t index = (uint32_t)gpr_get(t, CPU_RCX);
	uint64_t v = gpr_get(t, CPU_RDX) << 32 | (uint32_t)gpr_get(t, CPU_RAX);
	int kept = msr_kept(index);

	if (kept >= 0) {
		if ((kept_msrs[kept].canonical && !is_canonical(v)) ||
			(v & kept_msrs[kept].reserved))
			return fail(h, CPU_VEC_GP);
		msr_set(t, index, v);
		return true;
	}
	if (index == (uint32_t)MSR_EFER)
		return efer_write(h, v);
	if (index == MSR_TSC)
		t->tsc_offset = v - clock_now(t);
	else if (index == MSR_APIC_BASE && (v & ~0xa00ull) == (APIC_PAGE | 1 << 8))
		t->apic_base = v; /* on, off, but not moved; no x2APIC */
	else if (index == MSR_MISC_ENABLE)
		t->misc_enable = v;
	else if (index == MSR_PAT && pat_is_valid(v))
		t->pat = v;
	else if (index != MSR_MICROCODE)
		return fail(h, CPU_VEC_GP);
	return true;
}

static bool hand_hlt(struct by_hand *h)
{
	h->t->halted = true;
	return true;
}

/* Unicorn's own does nothing. SDM 2B. */
static bool hand_syscall(struct by_hand *h)
{
	struct tcg *t = h->t;
	uint64_t rflags = reg_get(t, UC_X86_REG_RFLAGS), star = msr_get(t, (uint32_t)MSR_STAR);
	unsigned level = cpl(t);

	if (!(t->efer & CPU_EFER_SCE))
		return fail(h, CPU_VEC_UD);
	reg_set(t, UC_X86_REG_RCX, t->rip + h->insn->len);
	reg_set(t, UC_X86_REG_R11, rflags & ~(uint64_t)CPU_RFLAGS_RF);
	rflags &= ~(msr_get(t, (uint32_t)MSR_SFMASK) | CPU_RFLAGS_RF);
	reg_set(t, UC_X86_REG_RFLAGS, rflags | CPU_RFLAGS_FIXED);
	reg_set(t, UC_X86_REG_CS, star >> 32 & 0xfffc);
	reg_set(t, UC_X86_REG_SS, (star >> 32 & 0xfffc) + 8);
	if (level)
		cpl_changed(t, 0);
	t->rip = msr_get(t, (uint32_t)MSR_LSTAR) - h->insn->len; /* the caller adds it */
	return true;
}

static bool hand_rdtsc(struct by_hand *h)
{
	struct tcg *t = h->t;

	if (t->cr4 & 1 << 2 && cpl(t))
		return fail(h, CPU_VEC_GP);
	tsc_to_registers(t, h->insn);
	return true;
}

static void watches_see(struct tcg *t, uint64_t addr, uint64_t size, bool write)
{
	for (size_t i = 0; i < t->n_watches; i++) {
		const struct vcpu_watch *w = &t->watches[i];

		if (addr - w->gva >= w->len && w->gva - addr >= size)
			continue;
		if (write ? !w->on_write : !w->on_read)
			continue;
		/* Of an instruction that reads and writes, the write is told. */
		if (t->glimpse.hit && t->glimpse.hit_write && !write)
			continue;
		t->glimpse.hit = true;
		t->glimpse.hit_write = write;
		t->glimpse.hit_addr = w->gva;
	}
}

/* ---- what CPUID announces and Unicorn lacks ---- */

static void operand_seen(struct tcg *t, uint64_t gva, size_t len, bool write)
{
	watches_see(t, gva, len, write);
	if (write)
		memory_written(t, gva, len);
}

/* Between a register of 2, 4 or 8 bytes and memory; watchpoints see it. */
static bool operand_copy(struct by_hand *h, uint64_t gva, void *buf, size_t len, bool write)
{
	struct tcg *t = h->t;
	struct paging p = paging_now(t);
	struct paging_fault fault;
	unsigned access = (write ? PAGING_WRITE : 0u) | (cpl(t) == 3 ? PAGING_USER : 0u);
	int r = paging_copy(t->base.config.mem, &p, gva, buf, len, access, &fault);

	if (r == -EFAULT) {
		fail(h, CPU_VEC_PF);
		h->fault.error = fault.error;
		h->fault.cr2 = fault.gva;
	} else if (r) {
		t->refused = "access outside RAM";
	} else {
		operand_seen(t, gva, len, write);
	}
	return !r;
}

static size_t operand_size(const struct tcg_insn *insn)
{
	return insn->rex & 8 ? 8 : insn->opsize ? 2 : 4;
}

static unsigned operand_reg(const struct tcg_insn *insn)
{
	return (insn->modrm >> 3 & 7) | (insn->rex & 4u) << 1;
}

static unsigned operand_rm(const struct tcg_insn *insn)
{
	return (insn->modrm & 7) | (insn->rex & 1u) << 3;
}

/* Two bytes leave the others as they are; four clear them. */
static void gpr_set(struct tcg *t, unsigned i, uint64_t v, size_t size)
{
	if (size == 2)
		v = (v & 0xffff) | (gpr_get(t, i) & ~0xffffull);
	reg_set(t, gpr_ids[i], size == 4 ? (uint32_t)v : v);
}

enum { RFLAGS_CF = 1, RFLAGS_ZF = 1 << 6, RFLAGS_ARITHMETIC = 0x8d5 };

static void arithmetic_flags_set(struct tcg *t, uint64_t set)
{
	uint64_t rflags = reg_get(t, UC_X86_REG_RFLAGS);

	reg_set(t, UC_X86_REG_RFLAGS, (rflags & ~(uint64_t)RFLAGS_ARITHMETIC) | set);
}

static bool hand_popcnt(struct by_hand *h)
{
	size_t size = operand_size(h->insn);
	uint64_t v = 0;

	if (h->insn->modrm >= 0xc0)
		v = gpr_get(h->t, operand_rm(h->insn));
	else if (!operand_copy(h, effective_address(h->t, h->insn, h->bytes), &v, size, false))
		return false;
	v &= ~0ull >> (64 - 8 * size);
	gpr_set(h->t, operand_reg(h->insn), (uint64_t)__builtin_popcountll(v), size);
	arithmetic_flags_set(h->t, v ? 0 : RFLAGS_ZF);
	return true;
}

static bool hand_movbe(struct by_hand *h)
{
	struct tcg *t = h->t;
	uint64_t gva = effective_address(t, h->insn, h->bytes), v = 0;
	size_t size = operand_size(h->insn);
	unsigned shift = 64 - 8 * (unsigned)size;

	if (h->insn->opcode & 1) {
		v = __builtin_bswap64(gpr_get(t, operand_reg(h->insn))) >> shift;
		return operand_copy(h, gva, &v, size, true);
	}
	if (!operand_copy(h, gva, &v, size, false))
		return false;
	gpr_set(t, operand_reg(h->insn), __builtin_bswap64(v) >> shift, size);
	return true;
}

/* The same numbers in every run (splitmix64): this CPU has nothing that is random. */
static bool hand_rdrand(struct by_hand *h)
{
	uint64_t v = ++h->t->rdrand * 0x9e3779b97f4a7c15;

	v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9;
	v = (v ^ v >> 27) * 0x94d049bb133111eb;
	gpr_set(h->t, operand_rm(h->insn), v ^ v >> 31, operand_size(h->insn));
	arithmetic_flags_set(h->t, RFLAGS_CF);
	return true;
}

static bool hand_avx(struct by_hand *h)
{
	return fail(h, CPU_VEC_UD);
}

static uint64_t edx_eax(struct tcg *t)
{
	return gpr_get(t, CPU_RDX) << 32 | (uint32_t)gpr_get(t, CPU_RAX);
}

/* 0 stands for "never said". */
static uint64_t xcr0_now(const struct tcg *t)
{
	return t->xcr0 | XSAVE_X87;
}

/* What leaf 0xd says of it. */
static struct cpuid_entry cpuid_xsave(struct tcg *t, uint32_t subleaf)
{
	const struct backend_config *config = &t->base.config;

	return cpuid_table_find(config->cpuid, config->n_cpuid, CPUID_LEAF_XSAVE, subleaf);
}

enum { XSAVEOPT = 1 << 0, XSAVEC = 1 << 1, XGETBV_IN_USE = 1 << 2 };

static bool hand_xgetbv(struct by_hand *h)
{
	struct tcg *t = h->t;
	uint32_t index = (uint32_t)gpr_get(t, CPU_RCX);

	if (!(t->cr4 & CPU_CR4_OSXSAVE))
		return fail(h, CPU_VEC_UD);
	if (index > 1 || (index && !(cpuid_xsave(t, 1).eax & XGETBV_IN_USE)))
		return fail(h, CPU_VEC_GP);
	reg_set(t, UC_X86_REG_RAX, (uint32_t)xcr0_now(t));
	reg_set(t, UC_X86_REG_RDX, xcr0_now(t) >> 32);
	return true;
}

/* Privilege comes after "not an instruction": SDM 2D. */
static bool hand_xsetbv(struct by_hand *h)
{
	struct tcg *t = h->t;
	uint64_t v = edx_eax(t);

	if (!(t->cr4 & CPU_CR4_OSXSAVE))
		return fail(h, CPU_VEC_UD);
	if (cpl(t) || (uint32_t)gpr_get(t, CPU_RCX) || !(v & XSAVE_X87) ||
		(v & ~(uint64_t)(cpuid_xsave(t, 0).eax & XSAVE_ALL)) ||
		(v & (XSAVE_SSE | XSAVE_AVX)) == XSAVE_AVX)
		return fail(h, CPU_VEC_GP);
	t->xcr0 = v;
	return true;
}

static struct xsave xsave_of(struct by_hand *h, uint8_t *fx, uint8_t (*ymmh)[16])
{
	struct tcg *t = h->t;

	cr0_get(t);
	fpu_save(t, fx);
	return (struct xsave){
		.mem = t->base.config.mem,
		.paging = paging_now(t),
		.user = cpl(t) == 3,
		.xcr0 = xcr0_now(t),
		.want = edx_eax(t),
		.gva = effective_address(t, h->insn, h->bytes),
		.fx = fx,
		.ymmh = ymmh,
	};
}

static bool xsave_done(struct by_hand *h, const struct xsave *x, int r, bool write)
{
	struct tcg *t = h->t;

	if (!r) {
		operand_seen(t, x->gva,
			x->want & x->xcr0 & XSAVE_AVX ? XSAVE_SIZE_AVX : XSAVE_SIZE_SSE, write);
		return true;
	}
	if (r != -EFAULT) {
		t->refused = "access outside RAM";
		return false;
	}
	fail(h, x->event.vector);
	h->fault.error = x->event.error;
	h->fault.cr2 = x->cr2;
	return false;
}

/* There is no AVX: its part of the state is what it is at first, zero. */
static bool hand_xsave(struct by_hand *h)
{
	uint32_t needs = h->insn->opcode == 0xc7          ? XSAVEC
			 : (h->insn->modrm >> 3 & 7) == 6 ? XSAVEOPT
							  : 0u;
	uint8_t fx[512], ymmh[16][16] = { { 0 } };
	struct xsave x;

	if (needs & ~cpuid_xsave(h->t, 1).eax)
		return fail(h, CPU_VEC_UD);
	x = xsave_of(h, fx, ymmh);
	return xsave_done(h, &x, xsave_save(&x, needs == XSAVEC), true);
}

static bool hand_xrstor(struct by_hand *h)
{
	uint8_t fx[512], ymmh[16][16];
	struct xsave x = xsave_of(h, fx, ymmh);

	if (!xsave_done(h, &x, xsave_restore(&x), false))
		return false;
	fpu_load(h->t, fx);
	return true;
}

/* A port access comes here when the guest may not make it. */
static bool hand_port(struct by_hand *h)
{
	return fail(h, CPU_VEC_GP);
}

static const struct {
	bool (*run)(struct by_hand *h);
	bool privileged;
} by_hand[TCG_INSN_KIND_COUNT] = {
	[TCG_OUT] = { hand_port, false },
	[TCG_IN] = { hand_port, false },
	[TCG_RDTSC] = { hand_rdtsc, false },
	[TCG_RDTSCP] = { hand_rdtsc, false },
	[TCG_HLT] = { hand_hlt, true },
	[TCG_MOV_CR] = { hand_mov_cr, true },
	[TCG_MOV_DR] = { hand_mov_dr, true },
	[TCG_RDMSR] = { hand_rdmsr, true },
	[TCG_WRMSR] = { hand_wrmsr, true },
	[TCG_INVLPG] = { hand_invlpg, true },
	[TCG_SYSCALL] = { hand_syscall, false },
	[TCG_XGETBV] = { hand_xgetbv, false },
	[TCG_XSETBV] = { hand_xsetbv, false },
	[TCG_XSAVE] = { hand_xsave, false },
	[TCG_XRSTOR] = { hand_xrstor, false },
	[TCG_RDRAND] = { hand_rdrand, false },
	[TCG_POPCNT] = { hand_popcnt, false },
	[TCG_MOVBE] = { hand_movbe, false },
	[TCG_AVX] = { hand_avx, false },
};

static void retire(struct tcg *t, uint8_t len)
{
	t->rip += len;
	t->done++;
	t->progress = true;
	t->last_kind = TCG_PLAIN;
}

static void run_by_hand(struct tcg *t, const struct tcg_insn *insn, const uint8_t *bytes)
{
	struct by_hand h = { .t = t, .insn = insn, .bytes = bytes };

	if (by_hand[insn->kind].privileged && cpl(t))
		fail(&h, CPU_VEC_GP);
	else if (by_hand[insn->kind].run(&h)) {
		retire(t, insn->len);
		return;
	}
	if (!t->refused)
		deliver(t, h.fault);
}

/* The block held only its beginning, and the rest may have changed since. */
static void execute_extra(struct tcg *t)
{
	uint8_t bytes[TCG_INSN_MAX];
	struct tcg_insn insn;

	if (decode_live(t, t->rip, bytes, &insn) && insn.kind >= TCG_EXTRA &&
		has_extra(t, insn.kind))
		run_by_hand(t, &insn, bytes);
	else
		deliver_fault(t, CPU_VEC_UD, 0);
}

static void execute_by_hand(struct tcg *t, const struct tcg_insn *insn)
{
	const uint8_t *bytes;
	size_t n;

	if (!by_hand[insn->kind].run) {
		t->refused = "string port access is not supported";
		return;
	}
	if (insn->kind >= TCG_EXTRA) {
		execute_extra(t);
		return;
	}
	n = code_bytes(t, t->rip, insn->len, &bytes);
	assert(n == insn->len); /* it was just translated */
	run_by_hand(t, insn, bytes);
}

/* ---- glimpses: one instruction sees a page that stays absent otherwise ---- */

static void on_watched(
	uc_engine *uc, uc_mem_type type, uint64_t addr, int size, int64_t value, void *ctx)
{
	(void)uc, (void)value;
	watches_see(ctx, addr, (uint64_t)size, type == UC_MEM_WRITE);
}

/* Accesses to watched pages are told from now on. */
static void glimpse_watch(struct tcg *t)
{
	t->glimpse.watched = true;
	if (uc_hook_add(t->uc, &t->glimpse.hook, UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE,
		    (void *)(uintptr_t)on_watched, t, 1, 0)) {
		t->glimpse.watched = false;
		t->no_memory = true;
	}
	/* Translated again, every access of it goes by the hook. */
	if (can_fetch(t, t->rip))
		uc_ctl_remove_cache(t->uc, t->rip, t->rip + 1);
}

/* False: this instruction needs more than can be shown to it. */
static bool glimpse_has_room(const struct tcg *t)
{
	bool device = is_apic(t, t->fill_gpa) || is_ioapic(t, t->fill_gpa);

	return t->glimpse.n < GLIMPSE_PAGES &&
	       !(device && t->glimpse.gpa != NO_ADDRESS && t->glimpse.gpa != t->fill_gpa);
}

static void glimpse_close(struct tcg *t)
{
	for (unsigned i = 0; i < t->glimpse.n; i++)
		tcg_shadow_unset(&t->shadow, t->glimpse.gva[i]);
	tlb_flush(t);
	if (t->glimpse.watched)
		uc_hook_del(t->uc, t->glimpse.hook);
	t->glimpse.open = t->glimpse.watched = false;
	t->glimpse.tries = t->glimpse.n = 0;
	if (t->glimpse.own != NO_ADDRESS)
		code_forget_page(t, t->glimpse.own);
	t->glimpse.gpa = t->glimpse.own = NO_ADDRESS;
}

static void glimpse_open(struct tcg *t, uint64_t gva, unsigned access)
{
	struct paging p = paging_now(t);
	struct paging_page page;

	gva &= ~(uint64_t)(PAGE - 1);
	if (paging_walk(t->base.config.mem, &p, gva, access, &page, NULL))
		return; /* it was there a moment ago; the fault comes again */
	if (!glimpse_has_room(t))
		glimpse_close(t);
	t->glimpse.open = true;
	t->glimpse.gva[t->glimpse.n++] = gva;
	if (is_apic(t, t->fill_gpa) || is_ioapic(t, t->fill_gpa))
		t->glimpse.gpa = t->fill_gpa;
	if (!t->glimpse.watched && is_watched(t, gva, PAGE))
		glimpse_watch(t);
	if (!tcg_shadow_set(&t->shadow, gva, fill_flags(t, &page, gva, access), false))
		shadow_drop(t); /* and again */
}

/*
 * Does the instruction write to the page it lies in, at another address? To let it means to drop its translation, and
 * to translate it anew means not to let it.
 */
static bool writes_own_page(struct tcg *t, uint64_t gva, unsigned access)
{
	struct paging p = paging_now(t);
	uint64_t gpa;

	if (!(access & PAGING_WRITE) || (gva ^ t->rip) < PAGE)
		return false;
	for (uint64_t at = 0; at < TCG_INSN_MAX; at += TCG_INSN_MAX - 1)
		if (!paging_translate(t->base.config.mem, &p, t->rip + at, &gpa) &&
			(gpa ^ t->fill_gpa) < PAGE)
			return true;
	return false;
}

/* ---- running ---- */

static uint64_t next_deadline(const struct tcg *t)
{
	uint64_t at = t->base.config.irqchip ? lapic_deadline(&t->lapic) : LAPIC_NEVER;

	return at == LAPIC_NEVER ? UINT64_MAX : (at - t->skipped + TICKS - 1) / TICKS;
}

/* pushf has pushed a TF that is not the guest's. */
static void unpush_trap_flag(struct tcg *t)
{
	const struct gmem *m = t->base.config.mem;
	struct paging p = paging_now(t);
	uint64_t gpa;
	uint8_t byte;

	if (paging_translate(m, &p, reg_get(t, UC_X86_REG_RSP) + 1, &gpa) ||
		gmem_read(m, gpa, &byte, sizeof(byte)))
		return;
	byte &= (uint8_t) ~(CPU_RFLAGS_TF >> 8);
	gmem_write(m, gpa, &byte, sizeof(byte));
}

/* TF back to what the guest thinks it is. */
static void trap_flag_restore(struct tcg *t)
{
	bool completed = t->stop == STOP_EXCEPTION && t->vector == CPU_VEC_DB;
	uint64_t rflags = reg_get(t, UC_X86_REG_RFLAGS);

	if (t->guest_tf ||
		(completed && (t->cur->last_kind == TCG_POPF || t->cur->last_kind == TCG_IRET)))
		return;
	if (rflags & CPU_RFLAGS_TF)
		reg_set(t, UC_X86_REG_RFLAGS, rflags & ~(uint64_t)CPU_RFLAGS_TF);
	if (completed && t->cur->last_kind == TCG_PUSHF)
		unpush_trap_flag(t);
}

static void start_emulator(void *ctx)
{
	struct tcg *t = ctx;

	t->started = uc_emu_start(t->uc, t->rip, 0, 0, 0);
}

/* The count at which something has to be looked at. */
static uint64_t next_limit(const struct tcg *t)
{
	uint64_t deadline;

	if (t->bursting)
		return t->burst_end;
	deadline = next_deadline(t);
	return deadline < t->until ? deadline : t->until;
}

/* From rip on, until something stops it: t->stop says what, t->rip where. */
static void emulate(struct tcg *t, bool step)
{
	uint64_t rflags;

	t->stop = STOP_NONE;
	t->cur = &t->settled;
	t->stepping = step;
	resume_flag_clear(t);
	t->limit = step ? UINT64_MAX : next_limit(t);
	if (step) {
		rflags = reg_get(t, UC_X86_REG_RFLAGS);
		t->guest_tf = rflags & CPU_RFLAGS_TF;
		reg_set(t, UC_X86_REG_RFLAGS, rflags | CPU_RFLAGS_TF);
	}
	if (!t->gave_up && !t->no_memory)
		t->gave_up = !abort_guard(start_emulator, t);
	if (t->gave_up || t->no_memory || (t->started != UC_ERR_OK && t->stop != STOP_POISON))
		t->stop = STOP_FAILED;
	if (t->stop == STOP_NONE || t->stop == STOP_FAILED || t->stop == STOP_POISON)
		t->rip = reg_get(t, UC_X86_REG_RIP);
	if (step)
		trap_flag_restore(t);
	resume_flag_clear(t);
	t->stepping = false;
}

/* Something ran since run() began. */
static bool has_moved(const struct tcg *t)
{
	return t->progress || t->done != t->run_from;
}

/* A breakpoint comes before the fault of fetching what is there (SDM 3A table 6-2), which comes when the guest goes on. */
static bool breaks_before_fetch(struct tcg *t, uint64_t gva, unsigned access)
{
	return (access & PAGING_FETCH) && gva == t->rip && has_moved(t) && break_at(t, gva);
}

/* What the shadow did not have. Another try, a glimpse, or a page fault of the guest's own. */
static void shadow_fault(struct tcg *t, uint32_t error, bool stepped)
{
	unsigned access = error & (PAGING_WRITE | PAGING_USER | PAGING_FETCH);
	uint64_t gva = reg_get(t, UC_X86_REG_CR2);
	enum fill f = fill(t, gva, access, &error, false);

	if (f == FILL_FULL) {
		regions_drop(t);
		f = fill(t, gva, access, &error, false);
	}
	t->again = true;
	/* A block is translated ahead: the fault may be that of a later instruction. */
	if (f != FILL_DONE && (access & PAGING_FETCH) && (gva ^ t->rip) >= PAGE && !stepped) {
		t->careful = true;
		return;
	}
	switch (f) {
	case FILL_DONE:
		if (!writes_own_page(t, gva, access))
			return;
		glimpse_open(t, gva, access);
		t->glimpse.own = t->fill_gpa;
		return;
	case FILL_GLIMPSE:
		glimpse_open(t, gva, access);
		return;
	case FILL_OUTSIDE:
		t->refused = "access outside RAM";
		return;
	case FILL_FULL:
		t->refused = "the emulator has no room for another mapping";
		return;
	case FILL_FAULT:
		break;
	}
	t->again = false;
	if (breaks_before_fetch(t, gva, access))
		return;
	deliver(t, (struct tcg_event){ .kind = TCG_EVENT_FAULT,
			   .vector = CPU_VEC_PF,
			   .error = error,
			   .cr2 = gva });
}

static void trap_by_flag(struct tcg *t, bool stepped)
{
	/* At the start of a string instruction that is not through yet, nothing was retired. */
	bool again = t->rip == t->cur->rep;

	t->turned |= again;
	block_leave(t, t->rip);
	t->progress |= again && t->turns;
	if (stepped && !t->guest_tf)
		return;
	t->dr6 |= 1 << 14;
	deliver(t, (struct tcg_event){ .kind = TCG_EVENT_TRAP, .vector = CPU_VEC_DB });
}

static void exception(struct tcg *t, bool stepped)
{
	uint32_t error = exception_forget(t);
	bool soft = t->cur->last_kind == TCG_SOFT_INT && t->rip == t->cur->addr + t->cur->size;

	if (t->vector == CPU_VEC_DB && !soft) {
		trap_by_flag(t, stepped);
		return;
	}
	settle(t, t->rip);
	if (soft)
		deliver(t,
			(struct tcg_event){ .kind = TCG_EVENT_SOFT, .vector = (uint8_t)t->vector });
	else if (t->vector == CPU_VEC_PF)
		shadow_fault(t, error, stepped);
	else
		deliver_fault(
			t, (uint8_t)t->vector, tcg_event_has_error((uint8_t)t->vector) ? error : 0);
}

static void port_retire(struct tcg *t, const struct tcg_insn *insn, uint32_t data)
{
	uint64_t rax = reg_get(t, UC_X86_REG_RAX);
	uint8_t size = port_size(insn);
	uint64_t mask = (1ull << 8 * size) - 1;

	if (insn->kind == TCG_IN)
		reg_set(t, UC_X86_REG_RAX, size == 4 ? data : (rax & ~mask) | (data & mask));
	retire(t, insn->len);
}

/* run() returns for a port access: an out is over with that, an in waits for its answer. */
static void port_left(struct tcg *t, const struct tcg_insn *insn)
{
	t->port_pending = true;
	t->port_insn = *insn;
	if (insn->kind == TCG_OUT)
		retire(t, insn->len);
}

/* The next run(): the access is done now, and for who steps it is this step. */
static void port_resume(struct tcg *t, const struct vcpu_exit *exit)
{
	t->progress = true;
	t->port_pending = false;
	if (t->port_insn.kind == TCG_IN)
		port_retire(t, &t->port_insn, exit->data);
}

/* Before an instruction that is not Unicorn's to execute. True: run() returns. */
static bool at_site(struct tcg *t, struct vcpu_exit *exit)
{
	const struct tcg_insn *insn = &t->site->insn;

	settle_at_site(t, t->site);
	switch (t->stop) {
	case STOP_PORT:
		if (!t->bursting)
			port_left(t, insn);
		return true;
	case STOP_ANSWERED:
		port_retire(t, insn, t->in_data);
		return false;
	default:
		break;
	}
	if (t->bursting && insn->kind == TCG_HLT) {
		exit->kind = VCPU_HALT;
		return true;
	}
	execute_by_hand(t, insn);
	return false;
}

/* A block that cannot be translated, or an emulator that stopped by itself. */
static void at_odds(struct tcg *t)
{
	settle(t, t->rip);
	if (t->stop == STOP_NONE) { /* mwait */
		t->halted = true;
		happen(t);
	} else if (t->stop == STOP_FAILED) {
		t->refused =
			t->gave_up ? "the software CPU has no way to run what is here or soon after"
			: t->no_memory ? out_of_memory
				       : "the emulator gave up";
	} else if (t->poisoned) {
		t->poisoned = false;
		deliver_fault(t, CPU_VEC_UD, 0);
	} else {
		t->careful = true;
	}
}

/* Runs on, and deals with why that ended. True: run() returns with *exit as it is. */
static bool advance(struct tcg *t, struct vcpu_exit *exit, bool step)
{
	bool stepped, leave = false;

	t->near_limit = t->near_limit && t->done < next_limit(t);
	stepped = step || t->careful || t->glimpse.open || t->near_limit;
	t->careful = t->again = false;
	emulate(t, stepped);
	switch (t->stop) {
	case STOP_BLOCK:
		break;
	case STOP_CAREFUL:
		t->careful = true;
		t->near_limit = t->done + block_of(t, t->rip)->n > t->limit;
		break;
	case STOP_SITES:
		t->again = true;
		if (!sites_install(t))
			t->refused = t->no_memory ? out_of_memory
						  : "too many privileged instructions in one block";
		break;
	case STOP_STALE:
		t->again = true;
		block_renew(t);
		break;
	case STOP_LEAVE:
		settle(t, t->rip);
		break;
	case STOP_SITE:
	case STOP_PORT:
	case STOP_ANSWERED:
		leave = at_site(t, exit);
		break;
	case STOP_EXCEPTION:
		exception(t, stepped);
		break;
	case STOP_NONE:
	case STOP_POISON:
	case STOP_FAILED:
		at_odds(t);
		break;
	}
	if (t->again && t->glimpse.open && ++t->glimpse.tries > GLIMPSE_TRIES)
		t->refused = "an instruction uses more watched or device pages than can be shown "
			     "at once";
	if (t->glimpse.open && (!t->again || t->refused))
		glimpse_close(t);
	return leave;
}

static void take_interrupt(struct tcg *t)
{
	int vector;

	if (!t->base.config.irqchip)
		return;
	lapic_advance(&t->lapic, clock_now(t));
	vector = t->apic_base >> 11 & 1 ? lapic_pending(&t->lapic) : -1;
	if (vector < 0) {
		atomic_fetch_and(&t->attention, ~(unsigned)LOOK_IRQ);
		return;
	}
	if (!(reg_get(t, UC_X86_REG_RFLAGS) & CPU_RFLAGS_IF) || t->last_kind == TCG_SHADOW ||
		t->glimpse.open) {
		atomic_fetch_or(&t->attention, LOOK_IRQ);
		return;
	}
	lapic_accept(&t->lapic, vector);
	t->halted = false;
	deliver(t, (struct tcg_event){ .kind = TCG_EVENT_EXTERNAL, .vector = (uint8_t)vector });
	t->interrupted = true;
}

/* Halted: time passes at once, up to the timer's next interrupt. False when none will ever come. */
static bool wake(struct tcg *t)
{
	uint64_t now = clock_now(t),
		 at = t->base.config.irqchip ? lapic_deadline(&t->lapic) : LAPIC_NEVER;

	if (!(reg_get(t, UC_X86_REG_RFLAGS) & CPU_RFLAGS_IF) || at == LAPIC_NEVER)
		return false;
	if (at > now)
		t->skipped += at - now;
	lapic_advance(&t->lapic, clock_now(t));
	return lapic_pending(&t->lapic) >= 0;
}

/* What was put off because Unicorn was running. */
static void catch_up(struct tcg *t)
{
	unsigned late = atomic_fetch_and(
		&t->attention, ~(unsigned)(LOOK_FORGET | LOOK_REVOKE | LOOK_REGIONS | LOOK_PAGES));

	if (late & LOOK_PAGES)
		do_put_off(t);
	if (late & LOOK_FORGET)
		code_forget_all(t);
	if (late & LOOK_REGIONS)
		regions_drop(t);
	else if (late & LOOK_REVOKE)
		shadow_drop(t);
}

static void inject(struct tcg *t)
{
	const struct cpu_event *e = &t->event;
	bool trap = e->vector == CPU_VEC_DB || e->vector == CPU_VEC_BP || e->vector == CPU_VEC_OF;

	t->event.pending = false;
	deliver_now(t, (struct tcg_event){ .kind = trap ? TCG_EVENT_TRAP : TCG_EVENT_FAULT,
			       .vector = e->vector,
			       .error = e->error,
			       .cr2 = t->cr2 });
}

static void refuse(struct tcg *t, struct vcpu_exit *exit)
{
	struct paging p = paging_now(t);

	exit->kind = VCPU_REFUSED;
	exit->text = t->refused;
	exit->insn_len = (uint8_t)paging_read(
		t->base.config.mem, &p, t->rip, exit->insn, sizeof(exit->insn));
	t->refused = NULL;
}

static void shutdown_exit(const struct tcg *t, struct vcpu_exit *exit)
{
	exit->kind = VCPU_SHUTDOWN;
	exit->cause = t->cause;
}

static void debug_exit(struct vcpu_exit *exit, enum vcpu_debug_why why, uint64_t addr)
{
	exit->kind = VCPU_DEBUG;
	exit->why = why;
	exit->addr = addr;
}

static void watch_exit(struct tcg *t, struct vcpu_exit *exit)
{
	debug_exit(exit, VCPU_WATCHPOINT, t->glimpse.hit_addr);
	exit->wrote = t->glimpse.hit_write;
	t->glimpse.hit = false;
}

static bool was_kicked(struct tcg *t)
{
	return atomic_fetch_and(&t->attention, ~(unsigned)LOOK_KICK) & LOOK_KICK;
}

/* Is there a reason to return before anything else runs? moved: something ran since run() began. */
static bool leaves(struct tcg *t, struct vcpu_exit *exit, bool moved)
{
	bool hit = t->glimpse.hit && !t->glimpse.open;

	if (t->shut_down)
		shutdown_exit(t, exit);
	else if (t->refused)
		refuse(t, exit);
	else if (t->caught)
		debug_exit(exit, VCPU_EXCEPTION, t->event.vector);
	else if (hit)
		watch_exit(t, exit);
	else if (t->halted && !wake(t)) {
		exit->kind = VCPU_HALT;
		t->halted = false; /* who runs it again means behind the HLT */
	} else if (t->step && moved) {
		debug_exit(exit, VCPU_STEP, 0);
		exit->interrupt = t->interrupted;
	} else if (moved && break_at(t, t->rip))
		debug_exit(exit, VCPU_BREAKPOINT, t->rip);
	else if (was_kicked(t)) /* behind what would not be seen the next time */
		exit->kind = VCPU_KICKED;
	else if (t->done >= t->until)
		debug_exit(exit, VCPU_COUNTED, 0);
	else
		return false;
	exit->rip = t->rip;
	return true;
}

/* There is nowhere to go: nothing is changed, also no port access finished. */
static bool counted_already(struct tcg *t, struct vcpu_exit *exit)
{
	if (t->done < t->until || t->shut_down || atomic_load(&t->attention) & LOOK_KICK)
		return false;
	debug_exit(exit, VCPU_COUNTED, 0);
	exit->rip = t->rip;
	return true;
}

static int tcg_run(struct backend *backend, struct vcpu_exit *exit)
{
	struct tcg *t = tcg_of(backend);

	t->exit = exit;
	t->run_from = t->done;
	t->progress = t->glimpse.hit = t->careful = t->near_limit = t->caught = false;
	t->interrupted = false;
	if (counted_already(t, exit))
		return 0;
	if (t->port_pending)
		port_resume(t, exit);
	for (;;) {
		catch_up(t);
		if (!t->caught) {
			if (t->event.pending)
				inject(t);
			take_interrupt(t);
		}
		if (leaves(t, exit, has_moved(t)))
			return 0;
		if (t->halted)
			continue; /* woken: take the interrupt */
		if (advance(t, exit, t->step))
			return 0; /* a port access; rip is its own */
	}
}

/* ---- bursts ---- */

/* An instruction that runs alone is not stopped before by its block. */
static bool leaves_alone(struct tcg *t)
{
	struct paging p = paging_now(t);
	uint8_t bytes[TCG_INSN_MAX];
	size_t len;

	if (!t->careful && !t->glimpse.open)
		return false;
	len = paging_read(t->base.config.mem, &p, t->rip, bytes, sizeof(bytes));
	return len && leaves_burst(t, t->rip, bytes, len);
}

static bool burst_ends(struct tcg *t, bool moved)
{
	if (t->stop == STOP_LEAVE && !moved)
		t->careful = true; /* it began there */
	return moved && (t->stop == STOP_LEAVE || t->done >= t->burst_end || t->halted ||
				(t->turns && t->turned) || break_at(t, t->rip) || leaves_alone(t));
}

/* After one instruction, or one turn of a string: who asked for it counts on that. */
static bool kick_ends_burst(struct tcg *t, bool moved)
{
	t->burst_kicked |= was_kicked(t);
	if (!t->burst_kicked || moved || t->turned)
		return t->burst_kicked;
	t->careful = true;
	return false;
}

static void burst_exit(struct tcg *t, struct vcpu_exit *exit)
{
	if (t->glimpse.hit)
		watch_exit(t, exit);
	else if (break_at(t, t->rip))
		debug_exit(exit, VCPU_BREAKPOINT, t->rip);
	else
		debug_exit(exit, VCPU_STEP, 0);
}

static void burst_begin(
	struct tcg *t, struct vcpu_exit *exit, uint64_t max, backend_leave_fn *leave, void *ctx)
{
	if (t->leave != leave || t->leave_ctx != ctx)
		memset(t->blocks, 0, sizeof(t->blocks));
	t->leave = leave;
	t->leave_ctx = ctx;
	t->exit = exit;
	t->bursting = true;
	t->burst = ++t->bursts;
	t->run_from = t->done;
	t->burst_end = t->done + max;
	t->work = 0;
	t->stop = STOP_NONE;
	t->burst_kicked = t->turned = false;
	t->careful = t->near_limit = t->port_pending = t->progress = t->glimpse.hit = false;
}

static int tcg_burst(struct backend *backend, struct vcpu_exit *exit, uint64_t max,
	backend_leave_fn *leave, void *ctx)
{
	struct tcg *t = tcg_of(backend);
	bool out = false;

	burst_begin(t, exit, max, leave, ctx);
	while (!out && !burst_ends(t, has_moved(t)) && !(t->glimpse.hit && !t->glimpse.open) &&
		!kick_ends_burst(t, has_moved(t))) {
		catch_up(t);
		burst_charge(t, COST_PASS);
		if (t->event.pending)
			inject(t);
		else
			out = advance(t, exit, t->turns);
		if (t->shut_down || t->refused)
			out = leaves(t, exit, false);
	}
	t->bursting = false;
	t->burst = 0;
	if (!out)
		burst_exit(t, exit);
	exit->rip = t->rip;
	return 0;
}

/* ---- state in and out ---- */

static const int seg_ids[] = {
	[CPU_ES] = UC_X86_REG_ES,
	[CPU_CS] = UC_X86_REG_CS,
	[CPU_SS] = UC_X86_REG_SS,
	[CPU_DS] = UC_X86_REG_DS,
	[CPU_FS] = UC_X86_REG_FS,
	[CPU_GS] = UC_X86_REG_GS,
};

/* The hidden part of a segment register that the guest loaded itself, from its table. */
static struct cpu_seg seg_from_gdt(struct tcg *t, uint16_t selector)
{
	uc_x86_mmr gdt = table_get(t, UC_X86_REG_GDTR);
	struct paging p = paging_now(t);
	struct cpu_seg seg = { .selector = selector, .attr = CPU_SEG_UNUSABLE };
	uint32_t raw[2], at = selector & 0xfff8u;

	if (!at || (selector & 4) || at + 7 > gdt.limit ||
		paging_read(t->base.config.mem, &p, gdt.base + at, raw, sizeof(raw)) != sizeof(raw))
		return seg;
	seg.base = raw[0] >> 16 | (raw[1] & 0xff) << 16 | (raw[1] & 0xff000000);
	seg.limit = (raw[0] & 0xffff) | (raw[1] & 0xf0000);
	seg.attr = (raw[1] >> 8 & 0xf0ff) | 1; /* accessed */
	if (seg.attr & CPU_SEG_G)
		seg.limit = seg.limit << 12 | 0xfff;
	return seg;
}

static void segs_save(struct tcg *t, struct cpu_state *s)
{
	uc_x86_mmr mmr;

	for (int i = CPU_ES; i <= CPU_GS; i++) {
		uint16_t selector = (uint16_t)reg_get(t, seg_ids[i]);

		s->seg[i] = selector == t->seg_there[i] ? t->seg[i] : seg_from_gdt(t, selector);
	}
	s->seg[CPU_FS].base = reg_get(t, UC_X86_REG_FS_BASE);
	s->seg[CPU_GS].base = reg_get(t, UC_X86_REG_GS_BASE);
	for (int i = CPU_LDTR; i <= CPU_TR; i++) {
		mmr = table_get(t, i == CPU_TR ? UC_X86_REG_TR : UC_X86_REG_LDTR);
		s->seg[i] = (struct cpu_seg){ .base = mmr.base,
			.limit = mmr.limit,
			.selector = mmr.selector,
			.attr = mmr.flags >> 8 & 0xf0ff };
		if (!(s->seg[i].attr & CPU_SEG_P))
			s->seg[i].attr |= CPU_SEG_UNUSABLE;
	}
	mmr = table_get(t, UC_X86_REG_GDTR);
	s->gdt = (struct cpu_table){ .base = mmr.base, .limit = (uint16_t)mmr.limit };
	mmr = table_get(t, UC_X86_REG_IDTR);
	s->idt = (struct cpu_table){ .base = mmr.base, .limit = (uint16_t)mmr.limit };
}

static void segs_load(struct tcg *t, const struct cpu_state *s)
{
	uc_x86_mmr mmr;

	memcpy(t->seg, s->seg, sizeof(t->seg));
	for (int i = CPU_ES; i <= CPU_GS; i++) {
		/* FS and GS cannot be set without a descriptor table; only what is saved shows them. */
		if (i < CPU_FS)
			reg_set(t, seg_ids[i], s->seg[i].selector);
		t->seg_there[i] = (uint16_t)reg_get(t, seg_ids[i]);
	}
	reg_set(t, UC_X86_REG_FS_BASE, s->seg[CPU_FS].base);
	reg_set(t, UC_X86_REG_GS_BASE, s->seg[CPU_GS].base);
	for (int i = CPU_LDTR; i <= CPU_TR; i++) {
		mmr = (uc_x86_mmr){ .base = s->seg[i].base,
			.limit = s->seg[i].limit,
			.selector = s->seg[i].selector,
			.flags = (s->seg[i].attr & 0xf0ff) << 8 };
		uc_reg_write(t->uc, i == CPU_TR ? UC_X86_REG_TR : UC_X86_REG_LDTR, &mmr);
	}
	mmr = (uc_x86_mmr){ .base = s->gdt.base, .limit = s->gdt.limit };
	uc_reg_write(t->uc, UC_X86_REG_GDTR, &mmr);
	mmr = (uc_x86_mmr){ .base = s->idt.base, .limit = s->idt.limit };
	uc_reg_write(t->uc, UC_X86_REG_IDTR, &mmr);
}

static const struct {
	uint32_t index;
	size_t at;
} state_msrs[] = {
	{ (uint32_t)MSR_STAR, offsetof(struct cpu_state, star) },
	{ (uint32_t)MSR_LSTAR, offsetof(struct cpu_state, lstar) },
	{ (uint32_t)MSR_CSTAR, offsetof(struct cpu_state, cstar) },
	{ (uint32_t)MSR_SFMASK, offsetof(struct cpu_state, sfmask) },
	{ (uint32_t)MSR_KERNEL_GS_BASE, offsetof(struct cpu_state, kernel_gs_base) },
	{ MSR_SYSENTER_CS, offsetof(struct cpu_state, sysenter_cs) },
	{ MSR_SYSENTER_ESP, offsetof(struct cpu_state, sysenter_esp) },
	{ MSR_SYSENTER_EIP, offsetof(struct cpu_state, sysenter_eip) },
};

static uint64_t tcg_icount(struct backend *backend)
{
	struct tcg *t = tcg_of(backend);

	return t->done + (t->mid_block ? count_between(t, t->cur->addr, t->rip) : 0);
}

static uint64_t tcg_happened(struct backend *backend)
{
	struct tcg *t = tcg_of(backend);

	return t->happened_at == tcg_icount(backend) ? t->happened : 0;
}

static int tcg_save(struct backend *backend, struct cpu_state *s)
{
	struct tcg *t = tcg_of(backend);

	*s = (struct cpu_state){
		.cr0 = cr0_get(t),
		.cr2 = t->cr2,
		.cr3 = t->cr3,
		.cr4 = t->cr4,
		.cr8 = cr8_get(t),
		.efer = t->efer,
		.pat = t->pat,
		.apic_base = t->apic_base,
		.tsc = TICKS * tcg_icount(backend) + t->skipped + t->tsc_offset,
		.dr = { t->dr[0], t->dr[1], t->dr[2], t->dr[3] },
		.dr6 = t->dr6,
		.dr7 = t->dr7,
		.xcr0 = t->xcr0,
		.halted = t->halted,
		.event = t->event,
	};
	regs_get(t, &s->regs);
	segs_save(t, s);
	for (size_t i = 0; i < sizeof(state_msrs) / sizeof(state_msrs[0]); i++) {
		uint64_t v = msr_get(t, state_msrs[i].index);

		memcpy((uint8_t *)s + state_msrs[i].at, &v, sizeof(v));
	}
	fpu_save(t, s->fx);
	return 0;
}

static int tcg_load(struct backend *backend, const struct cpu_state *s)
{
	struct tcg *t = tcg_of(backend);

	if (!(s->cr0 & CPU_CR0_PE) || !(s->efer & CPU_EFER_LMA) ||
		!(s->seg[CPU_CS].attr & CPU_SEG_L) || (s->cr4 & CPU_CR4_LA57) ||
		(s->regs.rflags & 1 << 17))
		return -EOPNOTSUPP;
	if ((s->cr0 ^ t->cr0) & CPU_CR0_PG)
		regions_drop(t); /* the limits of addresses are others */
	t->cr0 = s->cr0;
	t->cr2 = s->cr2;
	t->cr3 = s->cr3;
	t->cr4 = s->cr4;
	cr8_set(t, s->cr8);
	t->efer = s->efer;
	t->pat = s->pat;
	t->apic_base = s->apic_base;
	t->xcr0 = s->xcr0;
	memcpy(t->dr, s->dr, sizeof(t->dr));
	t->dr6 = s->dr6;
	t->dr7 = s->dr7;
	t->halted = s->halted;
	t->event = s->event;
	t->tsc_offset = s->tsc - clock_now(t);
	t->shut_down = t->port_pending = false;
	t->refused = NULL;
	t->last_kind = TCG_PLAIN;
	control_apply(t);
	efer_apply(t);
	hflags_change(t, HF_CPL, s->seg[CPU_CS].selector & 3);
	segs_load(t, s);
	for (size_t i = 0; i < sizeof(state_msrs) / sizeof(state_msrs[0]); i++) {
		uint64_t v;

		memcpy(&v, (const uint8_t *)s + state_msrs[i].at, sizeof(v));
		msr_set(t, state_msrs[i].index, v);
	}
	fpu_load(t, s->fx);
	regs_set(t, &s->regs);
	shadow_drop(t);
	return 0;
}

/* All that the guest is but its memory and what is in the context. */
#define FIELD(name)                                                                                \
	{                                                                                          \
		offsetof(struct tcg, name), sizeof(((struct tcg *)0)->name)                        \
	}
static const struct {
	size_t at, size;
} frozen_fields[] = {
	FIELD(rip),
	FIELD(done),
	FIELD(happened),
	FIELD(happened_at),
	FIELD(last_kind),
	FIELD(port_insn),
	FIELD(port_pending),
	FIELD(halted),
	FIELD(shut_down),
	FIELD(cr0),
	FIELD(cr2),
	FIELD(cr3),
	FIELD(cr4),
	FIELD(cr8),
	FIELD(efer),
	FIELD(pat),
	FIELD(apic_base),
	FIELD(misc_enable),
	FIELD(xcr0),
	FIELD(dr),
	FIELD(dr6),
	FIELD(dr7),
	FIELD(skipped),
	FIELD(tsc_offset),
	FIELD(seg),
	FIELD(seg_there),
	FIELD(event),
	FIELD(lapic),
	FIELD(rdrand),
	FIELD(ioapic_select),
	FIELD(ioapic),
};
enum { FROZEN_FIELDS = sizeof(frozen_fields) / sizeof(frozen_fields[0]) };

static size_t tcg_frozen_size(const struct backend *backend)
{
	size_t size = uc_context_size(((const struct tcg *)backend)->uc);

	for (size_t i = 0; i < FROZEN_FIELDS; i++)
		size += frozen_fields[i].size;
	return size;
}

static int tcg_freeze(struct backend *backend, void *frozen)
{
	struct tcg *t = tcg_of(backend);
	uint8_t *to = frozen;

	if (t->mid_block)
		return -EBUSY;
	cr0_get(t);
	for (size_t i = 0; i < FROZEN_FIELDS; to += frozen_fields[i++].size)
		memcpy(to, (uint8_t *)t + frozen_fields[i].at, frozen_fields[i].size);
	memcpy(to, context_take(t), uc_context_size(t->uc));
	return 0;
}

/* The window may have moved since, so CR3 is ours as it is now. */
static int tcg_thaw(struct backend *backend, const void *frozen)
{
	struct tcg *t = tcg_of(backend);
	const uint8_t *from = frozen;
	uint64_t cr0 = t->cr0;

	if (t->mid_block)
		return -EBUSY;
	if (t->glimpse.open)
		glimpse_close(t);
	for (size_t i = 0; i < FROZEN_FIELDS; from += frozen_fields[i++].size)
		memcpy((uint8_t *)t + frozen_fields[i].at, from, frozen_fields[i].size);
	t->refused = NULL;
	memcpy(context_take(t), from, uc_context_size(t->uc));
	uc_context_restore(t->uc, t->context);
	control_apply(t);
	if ((t->cr0 ^ cr0) & CPU_CR0_PG)
		regions_drop(t);
	else
		shadow_drop(t);
	return 0;
}

static int tcg_get_regs(struct backend *backend, struct cpu_regs *regs)
{
	regs_get(tcg_of(backend), regs);
	return 0;
}

/* A port access left unfinished is finished by the next run, unless the guest is moved. */
static int tcg_set_regs(struct backend *backend, const struct cpu_regs *regs)
{
	struct tcg *t = tcg_of(backend);

	if (regs->rip != t->rip) {
		t->port_pending = t->halted = false;
		t->last_kind = TCG_PLAIN;
	}
	regs_set(t, regs);
	return 0;
}

static int tcg_paging(struct backend *backend, struct paging *p)
{
	*p = paging_now(tcg_of(backend));
	return 0;
}

static int compare_addresses(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool watch_is_valid(const struct vcpu_watch *w)
{
	return w->len && w->len - 1 <= UINT64_MAX - w->gva && (w->on_read || w->on_write);
}

/* Blocks are told anew where breakpoints are. */
static int breaks_set(struct tcg *t, const uint64_t *from, size_t n)
{
	uint64_t *breaks;

	if (n == t->n_breaks && (!n || !memcmp(from, t->breaks_given, n * sizeof(*from))))
		return 0;
	breaks = calloc(2 * n + 1, sizeof(*breaks));
	if (!breaks)
		return -ENOMEM;
	if (n) {
		memcpy(breaks, from, n * sizeof(*breaks));
		memcpy(breaks + n, from, n * sizeof(*breaks));
	}
	qsort(breaks, n, sizeof(*breaks), compare_addresses);
	free(t->breaks);
	t->breaks = breaks;
	t->breaks_given = breaks + n;
	t->n_breaks = n;
	for (size_t i = 0; i < BLOCKS; i++) {
		struct block *b = &t->blocks[i];

		b->special &= (uint8_t)~SPECIAL_BREAK;
		if (break_within(t, b->addr, b->size))
			b->special |= SPECIAL_BREAK;
	}
	return 0;
}

static bool watches_are(const struct tcg *t, const struct vcpu_watch *watches, size_t n)
{
	bool same = n == t->n_watches;

	for (size_t i = 0; same && i < n; i++)
		same = watches[i].gva == t->watches[i].gva && watches[i].len == t->watches[i].len &&
		       watches[i].on_read == t->watches[i].on_read &&
		       watches[i].on_write == t->watches[i].on_write;
	return same;
}

static int watches_set(struct tcg *t, const struct vcpu_watch *from, size_t n)
{
	struct vcpu_watch *watches;

	if (watches_are(t, from, n))
		return 0;
	watches = calloc(n + 1, sizeof(*watches));
	if (!watches)
		return -ENOMEM;
	if (n)
		memcpy(watches, from, n * sizeof(*watches));
	free(t->watches);
	t->watches = watches;
	t->n_watches = n;
	atomic_fetch_or(&t->attention, LOOK_REVOKE);
	return 0;
}

/* Asked before each step, and with the same breakpoints after each stop: what stays costs nothing. */
static int tcg_set_debug(struct backend *backend, const struct vcpu_debug *d)
{
	struct tcg *t = tcg_of(backend);
	int r = 0;

	for (size_t i = 0; !r && i < d->n_watches; i++)
		r = watch_is_valid(&d->watches[i]) ? 0 : -EINVAL;
	if (!r)
		r = breaks_set(t, d->breaks, d->n_breaks);
	if (!r)
		r = watches_set(t, d->watches, d->n_watches);
	if (r)
		return r;
	t->step = d->step;
	t->turns = d->step && d->turns;
	t->until = d->until ? d->until : UINT64_MAX;
	t->exceptions = d->exceptions;
	return 0;
}

static void tcg_kick(struct backend *backend)
{
	atomic_fetch_or(&tcg_of(backend)->attention, LOOK_KICK);
}

static uint32_t tcg_tsc_khz(struct backend *backend)
{
	(void)backend;
	return BACKEND_TSC_KHZ;
}

/* Is the block that is being run made from any of these bytes, of one page with code? */
static bool code_is_current(struct tcg *t, uint64_t gpa, size_t len)
{
	uint64_t at = *code_of(t, gpa), gva = (at & ~1ull) + (gpa & (PAGE - 1));

	return at == CODE_MANY || gva - t->cur->addr < t->cur->size || t->cur->addr - gva < len;
}

/* A hypercall is answered inside a block; what comes after it there must not run as it was. */
static void tcg_code_changed(struct backend *backend, uint64_t gpa, size_t len)
{
	struct tcg *t = tcg_of(backend);
	const struct gmem *m = t->base.config.mem;
	uint64_t at = gpa < m->gpa ? m->gpa : gpa;
	uint64_t last = len > UINT64_MAX - gpa ? UINT64_MAX : gpa + len - 1;

	/* For every hypercall: a result in a page, and hardly ever in code. */
	if (gpa - m->gpa < m->size && (gpa & (PAGE - 1)) + len <= PAGE &&
		!(*code_lines_of(t, gpa) & lines_of(gpa, len)))
		return;
	if (!len || last < m->gpa || at - m->gpa >= m->size)
		return;
	if (last - m->gpa >= m->size)
		last = m->gpa + (m->size - 1);
	for (uint64_t n; at - 1 != last; at += n) {
		n = PAGE - (at & (PAGE - 1));
		if (n > last - at + 1)
			n = last - at + 1;
		if (*code_lines_of(t, at) & lines_of(at, n)) {
			t->overtaken |= t->mid_block && code_is_current(t, at, n);
			code_forget(t, at, n);
		}
	}
}

/* ---- made and unmade ---- */

enum { CODE_MOV_CR0 = 0, CODE_MOV_DS = 16, CODE_JMP_HLT = 32, WRONG_SELECTOR = 0x1238 };

static void run_ours(struct tcg *t, uint64_t offset, uint64_t rax, uint64_t trap_flag)
{
	reg_set(t, UC_X86_REG_RAX, rax);
	reg_set(t, UC_X86_REG_RFLAGS, CPU_RFLAGS_FIXED | trap_flag);
	uc_emu_start(t->uc, t->window_at + offset, 0, 0, 0);
}

/* The only place where a word was `from` and is `to`; -1 when there is not exactly one. */
static ssize_t find_word(
	const uint8_t *before, const uint8_t *after, size_t size, uint32_t from, uint32_t to)
{
	ssize_t at = -1;

	for (size_t i = 0; i + 4 <= size; i += 4) {
		if (load32(before + i) != from || load32(after + i) != to)
			continue;
		if (at >= 0)
			return -1;
		at = (ssize_t)i;
	}
	return at;
}

static ssize_t find_flip(const uint8_t *before, const uint8_t *after, size_t size, uint32_t bit)
{
	ssize_t at = -1;

	for (size_t i = 0; i + 4 <= size; i += 4) {
		if ((load32(before + i) ^ load32(after + i)) != bit)
			continue;
		if (at >= 0)
			return -1;
		at = (ssize_t)i;
	}
	return at;
}

static bool find_layout_in(struct tcg *t, uint8_t *before, size_t size)
{
	const uint8_t *now = (const uint8_t *)t->context;
	ssize_t hflags, efer, old, error;

	memcpy(before, context_take(t), size);
	efer = find_word(
		before, before, size, CPU_EFER_LME | CPU_EFER_LMA, CPU_EFER_LME | CPU_EFER_LMA);
	run_ours(t, CODE_MOV_CR0, CPU_CR0_PE | CPU_CR0_TS, CPU_RFLAGS_TF);
	context_take(t);
	hflags = find_flip(before, now, size, HF_TS);
	run_ours(t, CODE_MOV_DS, WRONG_SELECTOR | 3, CPU_RFLAGS_TF);
	context_take(t);
	old = find_word(before, now, size, UINT32_MAX, CPU_VEC_GP);
	error = find_word(before, now, size, 0, WRONG_SELECTOR);
	if (efer < 0 || hflags < 0 || old < 0 || error < 0 || t->vector != CPU_VEC_GP)
		return false;
	t->layout = (struct layout){ .efer = (size_t)efer,
		.hflags = (size_t)hflags,
		.old_exception = (size_t)old,
		.error_code = (size_t)error };
	memcpy(t->context, before, size);
	uc_context_restore(t->uc, t->context);
	/* Twice the same fault is twice the same fault, and not a double fault. */
	for (int i = 0; i < 2; i++) {
		run_ours(t, CODE_MOV_DS, WRONG_SELECTOR | 3, CPU_RFLAGS_TF);
		if (t->vector != CPU_VEC_GP || exception_forget(t) != WRONG_SELECTOR)
			return false;
	}
	/* Unicorn reports translated blocks once one has come to its end, and not in an exception. */
	run_ours(t, CODE_JMP_HLT, 0, 0);
	run_ours(t, CODE_JMP_HLT + 3, 0, 0);
	return block_of(t, t->window_at + CODE_JMP_HLT + 3)->n == 2;
}

static bool find_layout(struct tcg *t)
{
	static const uint8_t mov_cr0[] = { 0x0f, 0x22, 0xc0 }, mov_ds[] = { 0x8e, 0xd8 };
	static const uint8_t jmp_hlt[] = { 0xeb, 0x00, 0xf4, 0x90, 0xf4 };
	size_t size = uc_context_size(t->uc);
	uint8_t *before = malloc(size);
	bool found;

	memcpy(t->window + CODE_MOV_CR0, mov_cr0, sizeof(mov_cr0));
	memcpy(t->window + CODE_MOV_DS, mov_ds, sizeof(mov_ds));
	memcpy(t->window + CODE_JMP_HLT, jmp_hlt, sizeof(jmp_hlt));
	if (!before || uc_context_alloc(t->uc, &t->context)) {
		free(before);
		return false;
	}
	atomic_fetch_or(&t->attention, LOOK_NATIVE);
	found = find_layout_in(t, before, size);
	atomic_fetch_and(&t->attention, ~(unsigned)LOOK_NATIVE);
	free(before);
	return found;
}

static bool hooks_add(struct tcg *t)
{
	static const struct {
		int type;
		void *callback;
		int insn;
	} rows[] = {
		{ UC_HOOK_BLOCK, (void *)(uintptr_t)on_block, 0 },
		{ UC_HOOK_EDGE_GENERATED, (void *)(uintptr_t)on_translated, 0 },
		{ UC_HOOK_INTR, (void *)(uintptr_t)on_exception, 0 },
		{ UC_HOOK_INSN_INVALID, (void *)(uintptr_t)on_invalid, 0 },
		{ UC_HOOK_MEM_UNMAPPED, (void *)(uintptr_t)on_unmapped, 0 },
		{ UC_HOOK_MEM_FETCH_PROT, (void *)(uintptr_t)on_fetch, 0 },
		{ UC_HOOK_INSN, (void *)(uintptr_t)on_in, UC_X86_INS_IN },
		{ UC_HOOK_INSN, (void *)(uintptr_t)on_cpuid, UC_X86_INS_CPUID },
	};
	uc_hook hook;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (uc_hook_add(
			    t->uc, &hook, rows[i].type, rows[i].callback, t, 1, 0, rows[i].insn))
			return false;
	return true;
}

static void *pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void close_emulator(void *ctx)
{
	uc_close(ctx);
}

static void tcg_destroy(struct backend *backend)
{
	struct tcg *t = tcg_of(backend);

	if (!t)
		return;
	if (t->context)
		uc_context_free(t->context);
	if (t->uc)
		abort_guard(close_emulator, t->uc);
	for (size_t i = 0; i < t->n_regions; i++)
		gmem_view_drop(t->regions[i].view, t->regions[i].last - t->regions[i].gva + 1);
	if (t->window)
		munmap(t->window, WINDOW_SIZE);
	if (t->nothing)
		munmap(t->nothing, PAGE);
	free(t->code_at);
	free(t->code_lines);
	free(t->breaks);
	free(t->watches);
	free(t);
}

/* Unicorn ends the process when it cannot have the address space for what it translates to. */
static bool has_room(void)
{
	void *p = mmap(
		NULL, UNICORN_ROOM, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return false;
	munmap(p, UNICORN_ROOM);
	return true;
}

static int create_engine(struct tcg *t, struct err *err)
{
	uc_err e;

	if (!has_room())
		return err_set(err, -ENOMEM,
			"tcg: no %llu MiB of address space for translated code: raise the limit "
			"(ulimit -v)",
			UNICORN_ROOM >> 20);
	e = uc_open(UC_ARCH_X86, UC_MODE_64, &t->uc);
	if (e != UC_ERR_OK)
		return err_set(err, -ENODEV, "tcg: Unicorn: %s", uc_strerror(e));
	e = uc_mem_map_ptr(t->uc, t->window_at, WINDOW_SIZE, UC_PROT_ALL, t->window);
	if (e != UC_ERR_OK || uc_ctl_exits_enable(t->uc) || !hooks_add(t))
		return err_set(err, -ENOMEM, "tcg: Unicorn: %s", uc_strerror(e));
	if (!find_layout(t))
		return err_set(err, -ENOTSUP,
			"tcg: this Unicorn does not behave like 2.0.1, which is needed");
	return 0;
}

static int tcg_create(struct backend **out, const struct backend_config *config, struct err *err)
{
	struct tcg *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return err_set(err, -ENOMEM, "tcg: out of memory");
	abort_guard_init();
	t->base.ops = &backend_tcg;
	t->base.config = *config;
	t->extras = extras_of(config);
	t->window = pages(WINDOW_SIZE);
	t->nothing = pages(PAGE);
	t->code_at = calloc(config->mem->size / PAGE, sizeof(*t->code_at));
	t->code_lines = calloc(config->mem->size / PAGE, sizeof(*t->code_lines));
	t->window_at = WINDOW_TOP;
	t->max_sites = SITES_FIRST;
	t->settled = (struct block){ .addr = NO_ADDRESS, .rep = NO_ADDRESS };
	t->cur = &t->settled;
	t->limit = t->until = UINT64_MAX;
	t->glimpse.gpa = t->glimpse.own = NO_ADDRESS;
	t->misc_enable = t->bursts = 1;
	lapic_reset(&t->lapic, 0);
	if (!t->window || !t->nothing || !t->code_at || !t->code_lines) {
		tcg_destroy(&t->base);
		return err_set(err, -ENOMEM, "tcg: out of memory");
	}
	t->shadow = (struct tcg_shadow){ .tables = (void *)(t->window + PAGE),
		.n_tables = WINDOW_TABLES,
		.base = t->window_at + PAGE };
	tcg_shadow_clear(&t->shadow);
	r = create_engine(t, err);
	if (r) {
		tcg_destroy(&t->base);
		return r;
	}
	*out = &t->base;
	return 0;
}

static void tcg_probe(struct backend_info *info)
{
	unsigned major, minor;

	uc_version(&major, &minor);
	info->usable = uc_arch_supported(UC_ARCH_X86);
	if (!info->usable)
		snprintf(info->why, sizeof(info->why), "this Unicorn has no x86");
	snprintf(info->kind, sizeof(info->kind), "Unicorn %u.%u", major, minor);
	info->breakpoints = info->watchpoints = info->icount = true;
	snprintf(info->debug, sizeof(info->debug),
		"breakpoints: any number; watchpoints: any number, reads too; instructions are "
		"counted, "
		"and stopped at by count");
	snprintf(info->gaps, sizeof(info->gaps),
		"no AVX, XSAVE, POPCNT or RDRAND; 64-bit mode only; the guest's debug registers "
		"have no effect");
}

const struct backend_ops backend_tcg = {
	.name = "tcg",
	.probe = tcg_probe,
	.create = tcg_create,
	.destroy = tcg_destroy,
	.run = tcg_run,
	.get_regs = tcg_get_regs,
	.set_regs = tcg_set_regs,
	.save = tcg_save,
	.load = tcg_load,
	.paging = tcg_paging,
	.set_debug = tcg_set_debug,
	.kick = tcg_kick,
	.icount = tcg_icount,
	.happened = tcg_happened,
	.tsc_khz = tcg_tsc_khz,
	.cpuid = tcg_cpuid_op,
	.code_changed = tcg_code_changed,
	.frozen_size = tcg_frozen_size,
	.freeze = tcg_freeze,
	.thaw = tcg_thaw,
	.burst = tcg_burst,
};
