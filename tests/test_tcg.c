// SPDX-License-Identifier: ISC
/* What is special about the software CPU: exact positions, exact counts, exact time, any mapping. */
#include "backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cpuid_table.h"
#include "err.h"
#include "gmem.h"
#include "paging.h"
#include "tcg_cpuid.h"
#include "tcg_insn.h"
#include "unit.h"

enum {
	RAM = 16 << 20,
	PAGE = 4096,
	PML4 = 0x1000,
	PDPT = 0x2000,
	PD = 0x3000,
	PD_FAR = 0x4000, /* 1 GiB and up: pages of 4 KiB */
	PT_FAR = 0x5000,
	PD_APIC = 0x6000,
	GDT = 0x7000,
	IDT = 0x8000,
	STUBS = 0x9000,
	TSS = 0xa000,
	PDPT_HIGH = 0xb000,
	VECTORS = 128,
	TIMER = 0x7b,
	CODE = 0x100000,
	DATA = 0x200000,
	FRAMES = 0x400000, /* memory for FAR to show */
	STACK = 0x300000,
	STACK_IST = 0x310000,
	STACK_RSP0 = 0x320000,
	PORT = 0x1100,
	FAULT_PORT = 0x1200,
	FAR = 0x40000000,
	PW = 3,
	PWU = 7,
	BIG = 0x83,
	NO_ERROR = -1, /* for expect_fault */
	FROM_USER = -2,
};
#define NX        (1ull << 63)
#define HIGH      0xffff800000000000ull
#define APIC_PAGE 0xfee00000ull
#define OUR_PLACE 0xff00000000ull /* where the software CPU keeps tables of its own */

#define GUEST(name, text)                                                                          \
	__asm__(".pushsection .rodata\n" #name "_start:\n" text "\n" #name "_end:\n.popsection");  \
	extern const uint8_t name##_start[], name##_end[]
#define LABEL(name, label) extern const uint8_t name##_##label[]
#define AT(name, label)    (CODE + (uint64_t)(name##_##label - name##_start))
#define BYTES(name)        name##_start, (size_t)(name##_end - name##_start)

struct guest {
	struct gmem mem;
	struct backend *b;
	struct vcpu_exit exit;
	struct cpu_state state;
	bool answer;
	unsigned n_ports;
	struct cpu_regs seen; /* in the last port callback */
	uint64_t seen_icount;
	bool patch; /* what is written to PORT goes to memory, at RDI */
};

static void write64(struct guest *g, uint64_t gpa, uint64_t value)
{
	CU_ASSERT_EQUAL(gmem_write(&g->mem, gpa, &value, sizeof(value)), 0);
}

static uint64_t read64(struct guest *g, uint64_t gpa)
{
	uint64_t value = 0;

	CU_ASSERT_EQUAL(gmem_read(&g->mem, gpa, &value, sizeof(value)), 0);
	return value;
}

static bool on_port(void *ctx, struct vcpu_exit *exit)
{
	struct guest *g = ctx;

	g->n_ports++;
	backend_get_regs(g->b, &g->seen);
	g->seen_icount = backend_icount(g->b);
	if (!g->answer || exit->port == FAULT_PORT)
		return false;
	if (exit->in)
		exit->data = 0x1234567;
	if (g->patch) {
		uint8_t byte = (uint8_t)exit->data;

		CU_ASSERT_EQUAL(gmem_write(&g->mem, exit->rdi, &byte, sizeof(byte)), 0);
		backend_code_changed(g->b, exit->rdi, sizeof(byte));
	}
	return true;
}

/* Every vector: mov $vector, %edi; mov $FAULT_PORT, %edx; out %eax, %dx; hlt */
static void write_idt(struct guest *g)
{
	for (uint32_t v = 0; v < VECTORS; v++) {
		uint8_t stub[] = { 0xbf, (uint8_t)v, 0, 0, 0, 0xba, FAULT_PORT & 0xff,
			FAULT_PORT >> 8, 0, 0, 0xef, 0xf4 };
		uint64_t at = STUBS + 16 * v;

		gmem_write(&g->mem, at, stub, sizeof(stub));
		write64(g, IDT + 16 * v, (at & 0xffff) | 8u << 16 | 0x8e00ull << 32);
	}
}

/* A gate of its own for one vector. type: 0x8e interrupt, 0x8f trap, 0xee interrupt from CPL 3. */
static void set_gate(struct guest *g, unsigned vector, uint64_t target, unsigned type, unsigned ist)
{
	write64(g, IDT + 16 * vector,
		(target & 0xffff) | 8u << 16 | (uint64_t)ist << 32 | (uint64_t)type << 40 |
			(target >> 16 & 0xffff) << 48);
	write64(g, IDT + 16 * vector + 8, target >> 32);
}

static void set_page(struct guest *g, uint64_t n, uint64_t entry)
{
	write64(g, PT_FAR + 8 * n, entry);
}

static void write_tables(struct guest *g)
{
	write64(g, PML4, PDPT | PWU);
	write64(g, PDPT, PD | PWU);
	write64(g, PDPT + 8, PD_FAR | PWU);
	write64(g, PDPT + 8 * 3, PD_APIC | PW);
	write64(g, PML4 + 8 * 256, PDPT_HIGH | PW);
	write64(g, PDPT_HIGH, PD | PW);
	write64(g, PD_FAR, PT_FAR | PWU);
	for (uint64_t i = 0; i < 512; i++) {
		write64(g, PD + 8 * i, i << 21 | BIG | 4);
		write64(g, PD_APIC + 8 * i, (3ull << 30) + (i << 21) + BIG);
	}
	write64(g, GDT + 8, 0x00af9b000000ffff);
	write64(g, GDT + 16, 0x00cf93000000ffff);
	write64(g, GDT + 24, 0x00cff3000000ffff); /* data for CPL 3 */
	write64(g, GDT + 32, 0x00affb000000ffff); /* code for CPL 3 */
	write64(g, TSS + 4, STACK_RSP0);
	write64(g, TSS + 36, STACK_IST);
	write_idt(g);
}

/* config: what is asked for besides. */
static void start_as(struct guest *g, const uint8_t *code, size_t len, struct backend_config config)
{
	struct err err = { "" };

	config.mem = &g->mem;
	config.port = on_port;
	config.ctx = g;

	*g = (struct guest){ .answer = true };
	CU_ASSERT_EQUAL_FATAL(gmem_init(&g->mem, 0, RAM), 0);
	if (backend_tcg.create(&g->b, &config, &err)) {
		printf("     create: %s\n", err.text);
		CU_FAIL_FATAL("create");
	}
	write_tables(g);
	gmem_write(&g->mem, CODE, code, len);
	cpu_state_long_mode(&g->state);
	g->state.regs.rip = CODE;
	g->state.regs.gpr[CPU_RSP] = STACK;
	g->state.cr0 |= CPU_CR0_WP;
	g->state.cr3 = PML4;
	g->state.cr4 |= CPU_CR4_OSFXSR;
	g->state.efer |= CPU_EFER_NXE;
	g->state.gdt = (struct cpu_table){ .base = GDT, .limit = 39 };
	g->state.idt = (struct cpu_table){ .base = IDT, .limit = VECTORS * 16 - 1 };
	g->state.seg[CPU_TR] = (struct cpu_seg){
		.base = TSS, .limit = 103, .selector = 0x28, .attr = 11 | CPU_SEG_P
	};
}

static void start_with(struct guest *g, const uint8_t *code, size_t len, bool irqchip)
{
	start_as(g, code, len, (struct backend_config){ .irqchip = irqchip });
}

static void start(struct guest *g, const uint8_t *code, size_t len)
{
	start_with(g, code, len, false);
	CU_ASSERT_EQUAL(backend_load(g->b, &g->state), 0);
}

static void finish(struct guest *g)
{
	backend_destroy(g->b);
	gmem_finish(&g->mem);
}

static bool run_to(struct guest *g, enum vcpu_exit_kind kind)
{
	int r = backend_run(g->b, &g->exit);

	CU_ASSERT_EQUAL(r, 0);
	CU_ASSERT_EQUAL(g->exit.kind, kind);
	if (!r && g->exit.kind == kind)
		return true;
	printf("     exit %s, rip 0x%llx, rdi %llu %s\n", vcpu_exit_names[g->exit.kind],
		(unsigned long long)g->exit.rip, (unsigned long long)g->exit.rdi,
		g->exit.kind == VCPU_REFUSED ? g->exit.text : "");
	return false;
}

static struct cpu_regs regs_of(struct guest *g)
{
	struct cpu_regs regs = { 0 };

	CU_ASSERT_EQUAL(backend_get_regs(g->b, &regs), 0);
	return regs;
}

static struct cpu_state state_of(struct guest *g)
{
	struct cpu_state s;

	memset(&s, 0, sizeof(s));
	CU_ASSERT_EQUAL(backend_save(g->b, &s), 0);
	return s;
}

/* The guest ran into that exception: looks at the frame its stub was called with. */
static void expect_fault(struct guest *g, unsigned vector, uint64_t rip, int64_t error)
{
	uint64_t rsp;

	if (!run_to(g, VCPU_PORT))
		return;
	CU_ASSERT_EQUAL(g->exit.port, FAULT_PORT);
	CU_ASSERT_EQUAL(g->exit.rdi, vector);
	rsp = regs_of(g).gpr[CPU_RSP];
	CU_ASSERT_EQUAL(rsp & 15, error >= 0 ? 0 : 8);
	if (error >= 0) {
		CU_ASSERT_EQUAL(read64(g, rsp), (uint64_t)error);
		rsp += 8;
	}
	CU_ASSERT_EQUAL(read64(g, rsp), rip);
	CU_ASSERT_EQUAL(read64(g, rsp + 8), error == FROM_USER ? 0x23 : 8);
}

/* ---- memory that is not where it seems ---- */

GUEST(scattered, "mov $0x40000000, %ebx\n xor %ecx, %ecx\n"
		 "1: mov (%rbx), %rax\n add %rax, %rsi\n mov %rcx, 8(%rbx)\n add $0x1000, %rbx\n"
		 "inc %ecx\n cmp $512, %ecx\n jne 1b\n hlt");

static void reads_and_writes_pages_in_any_order(void)
{
	struct guest g;
	uint64_t sum = 0;

	start(&g, BYTES(scattered));
	for (uint64_t i = 0; i < 512; i++) {
		uint64_t frame = FRAMES + PAGE * (i * 211 % 512);

		set_page(&g, i, frame | PW);
		write64(&g, frame, i * i);
		sum += i * i;
	}
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RSI], sum);
	for (uint64_t i = 0; i < 512; i++)
		CU_ASSERT_EQUAL(read64(&g, FRAMES + PAGE * (i * 211 % 512) + 8), i);
	finish(&g);
}

GUEST(straddle, "mov $0x40000ffc, %ebx\n movabs $0x1122334455667788, %rax\n mov %rax, (%rbx)\n"
		"mov (%rbx), %rcx\n movups (%rbx), %xmm0\n movups %xmm0, 0x200000\n hlt");

static void accesses_across_two_pages_that_lie_apart(void)
{
	struct guest g;

	start(&g, BYTES(straddle));
	set_page(&g, 0, (FRAMES + 8 * PAGE) | PW);
	set_page(&g, 1, (FRAMES + 2 * PAGE) | PW);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RCX], 0x1122334455667788);
	CU_ASSERT_EQUAL(read64(&g, DATA), 0x1122334455667788);
	CU_ASSERT_EQUAL(read64(&g, FRAMES + 8 * PAGE + 0xff8) >> 32, 0x55667788);
	CU_ASSERT_EQUAL((uint32_t)read64(&g, FRAMES + 2 * PAGE), 0x11223344);
	finish(&g);
}

GUEST(remap, "mov $0x40000000, %ebx\n mov (%rbx), %r8\n movq $0x402003, 0x5000\n invlpg (%rbx)\n"
	     "mov (%rbx), %r9\n movq $0x403003, 0x5000\n mov %cr3, %rax\n mov %rax, %cr3\n"
	     "mov (%rbx), %r10\n movq $7, 8(%rbx)\n movq $0x404001, 0x5000\n invlpg (%rbx)\n"
	     "mov (%rbx), %r11\n remap_a: movq $7, 8(%rbx)\n hlt");
LABEL(remap, a);

static void follows_its_guests_changes_of_page_tables(void)
{
	struct guest g;
	struct cpu_regs r;

	start(&g, BYTES(remap));
	set_page(&g, 0, 0x401003);
	for (uint64_t i = 1; i < 5; i++)
		write64(&g, FRAMES + PAGE * i, 100 + i);
	expect_fault(&g, CPU_VEC_PF, AT(remap, a), 3);
	r = regs_of(&g);
	CU_ASSERT_EQUAL(r.gpr[CPU_R8], 101);
	CU_ASSERT_EQUAL(r.gpr[CPU_R9], 102);
	CU_ASSERT_EQUAL(r.gpr[CPU_R10], 103);
	CU_ASSERT_EQUAL(r.gpr[CPU_R11], 104);
	CU_ASSERT_EQUAL(read64(&g, FRAMES + 3 * PAGE + 8), 7);
	CU_ASSERT_EQUAL(read64(&g, FRAMES + 4 * PAGE + 8), 0);
	CU_ASSERT_EQUAL(state_of(&g).cr2, FAR + 8);
	finish(&g);
}

GUEST(ours, "movabs $0xff00200000, %rbx\n mov (%rbx), %rax\n movq $5, 8(%rbx)\n"
	    "movabs $0xfe00200000, %rbx\n add (%rbx), %rax\n movabs $0xffff800000200000, %rbx\n"
	    "add (%rbx), %rax\n hlt");

/* The same RAM at OUR_PLACE, at a neighbour of it, and in the upper half. */
static void leaves_every_address_to_its_guest(void)
{
	const uint64_t pdpt = 0xc000;
	struct guest g;

	start(&g, BYTES(ours));
	write64(&g, PML4 + 8 * (OUR_PLACE >> 39), pdpt | PW);
	write64(&g, pdpt + 8 * (OUR_PLACE >> 30 & 511), PD | PW);
	write64(&g, pdpt + 8 * ((OUR_PLACE - (1ull << 32)) >> 30 & 511), PD | PW);
	write64(&g, DATA, 1000);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], 3000);
	CU_ASSERT_EQUAL(read64(&g, DATA + 8), 5);
	finish(&g);
}

static void refuses_what_is_not_64_bit_mode(void)
{
	struct guest g;
	struct cpu_state s;

	start(&g, BYTES(ours));
	s = g.state;
	s.seg[CPU_CS].attr &= ~(uint32_t)CPU_SEG_L;
	CU_ASSERT_EQUAL(backend_load(g.b, &s), -EOPNOTSUPP);
	s = g.state;
	s.efer = 0;
	CU_ASSERT_EQUAL(backend_load(g.b, &s), -EOPNOTSUPP);
	s = g.state;
	s.cr4 |= CPU_CR4_LA57;
	CU_ASSERT_EQUAL(backend_load(g.b, &s), -EOPNOTSUPP);
	s = g.state;
	s.cr0 &= ~(uint64_t)CPU_CR0_PE;
	CU_ASSERT_EQUAL(backend_load(g.b, &s), -EOPNOTSUPP);
	s = g.state;
	s.regs.rflags |= 1 << 17; /* VM */
	CU_ASSERT_EQUAL(backend_load(g.b, &s), -EOPNOTSUPP);
	finish(&g);
}

/* ---- maps of any kind ---- */

/* Tables for gva, made where there are none; a large page is split into small ones. */
static void map_page(struct guest *g, uint64_t gva, uint64_t entry)
{
	static const uint64_t pool = 0x20000;
	uint64_t table = PML4, used = read64(g, pool);

	for (unsigned shift = 39; shift > 12; shift -= 9) {
		uint64_t at = table + 8 * (gva >> shift & 511), old = read64(g, at);

		if (!(old & 1) || (old & 0x80)) {
			uint64_t made = pool + PAGE * ++used;

			for (uint64_t i = 0; i < 512; i++)
				write64(g, made + 8 * i,
					old & 0x80 ? (old & ~0x80ull) + (i << (shift - 9)) : 0);
			write64(g, at, made | PWU);
			old = made;
		}
		table = old & ~0xfffull;
	}
	write64(g, table + 8 * (gva >> 12 & 511), entry);
	write64(g, pool, used);
}

GUEST(listed, "mov $0x200000, %esi\n mov $1, %ecx\n 1: lodsq\n test %rax, %rax\n jz 2f\n"
	      "add (%rax), %rdi\n mov %rcx, 8(%rax)\n inc %ecx\n jmp 1b\n 2: hlt");

/* At the ends of RAM and of the address space, above and below where RAM is. */
static void shows_ram_at_any_address(void)
{
	static const uint64_t rows[][2] = {
		{ 0x151000, RAM - 0x100000 },
		{ 0x152000, 0x153000 },
		{ 0x3000000, FRAMES },
		{ 0x3001000, FRAMES + 7 * PAGE },
		{ FAR + PAGE, 0 },
		{ FAR + 16 * PAGE, RAM - PAGE },
		{ 0x7ffffffff000, FRAMES + PAGE },
		{ HIGH, FRAMES + 2 * PAGE },
		{ UINT64_MAX - 0x1fafff, FRAMES + 3 * PAGE },
		{ UINT64_MAX - 0x1f9fff, FRAMES + 9 * PAGE },
		{ UINT64_MAX - 0xfff, 0x154000 },
	};
	const size_t n = sizeof(rows) / sizeof(rows[0]);
	struct guest g;

	start(&g, BYTES(listed));
	for (size_t i = 0; i < n; i++) {
		map_page(&g, rows[i][0], rows[i][1] | PW);
		write64(&g, rows[i][1], 1ull << 4 * i);
	}
	for (size_t turn = 0; turn < n; turn++) {
		for (size_t i = 0; i < n; i++)
			write64(&g, DATA + 8 * i, rows[(i + turn) % n][0]);
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, VCPU_HALT);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RDI], (1ull << 4 * n) / 15);
		for (size_t i = 0; i < n; i++)
			CU_ASSERT_EQUAL(read64(&g, rows[i][1] + 8), (i + n - turn) % n + 1);
	}
	finish(&g);
}

GUEST(stuffed, "mov $0x30003000, %ebx\n mov (%rbx), %rax\n mov $5, %ecx\n add %rcx, 8(%rbx)\n"
	       "mov 0x1000(%rbx), %r8\n hlt");

/* RAM that begins and ends inside of a large page, which the guest's tables map whole. */
static void ram_may_lie_anywhere(void)
{
	enum { BASE = 0x30001000, SIZE = 0x400000, AT_CODE = 0x30002000 };
	static const struct {
		uint64_t gpa, len;
		bool there;
	} rows[] = {
		{ 0, BASE, false },
		{ 0, AT_CODE + 100, true },
		{ AT_CODE, 64, true },
		{ BASE - 1, 1, false },
		{ BASE - 1, UINT64_MAX, true },
		{ BASE + SIZE, 100, false },
	};
	struct guest g = { .answer = true };
	struct backend_config config = { .mem = &g.mem };
	struct err err = { "" };

	CU_ASSERT_EQUAL_FATAL(gmem_init(&g.mem, BASE, SIZE), 0);
	CU_ASSERT_EQUAL_FATAL(backend_tcg.create(&g.b, &config, &err), 0);
	gmem_write(&g.mem, AT_CODE, BYTES(stuffed));
	write64(&g, 0x30100000, 0x30101003);
	write64(&g, 0x30101000, 0x30102003);
	for (uint64_t i = 0; i < 512; i++)
		write64(&g, 0x30102000 + 8 * i, i << 21 | BIG);
	cpu_state_long_mode(&g.state);
	g.state.cr3 = 0x30100000;
	g.state.regs.rip = AT_CODE;
	write64(&g, 0x30003000, 77);
	for (uint8_t paged = 0; paged < 2; paged++) {
		if (!paged)
			g.state.cr0 &= ~(uint64_t)CPU_CR0_PG;
		else
			g.state.cr0 |= CPU_CR0_PG;
		for (uint8_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			uint8_t add = (uint8_t)(i + 10 * paged + 1);
			uint64_t was = read64(&g, 0x30003008);

			if (rows[i].there) /* the constant it adds */
				gmem_fill(&g.mem, AT_CODE + 9, add, 1);
			backend_code_changed(g.b, rows[i].gpa, rows[i].len);
			CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
			run_to(&g, VCPU_HALT);
			CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], 77);
			if (rows[i].there)
				CU_ASSERT_EQUAL(read64(&g, 0x30003008), was + add);
		}
	}
	finish(&g);
}

GUEST(whole, "mov $0x40000000, %ebx\n mov (%rbx), %rax\n mov 0x1000(%rbx), %rcx\n"
	     "mov 0x5000(%rbx), %rdx\n hlt");

/* A large page over where a small one lay apart from its neighbours. */
static void small_pages_become_a_large_one(void)
{
	struct guest g;
	struct cpu_regs r;

	start(&g, BYTES(whole));
	for (uint64_t i = 0; i < 8; i++) {
		set_page(&g, i, (FRAMES + i * PAGE) | PW);
		write64(&g, FRAMES + i * PAGE, 100 + i);
	}
	set_page(&g, 1, (FRAMES + 7 * PAGE) | PW);
	run_to(&g, VCPU_HALT);
	r = regs_of(&g);
	CU_ASSERT(r.gpr[CPU_RAX] == 100 && r.gpr[CPU_RCX] == 107 && r.gpr[CPU_RDX] == 105);
	write64(&g, PD_FAR, FRAMES | BIG);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_HALT);
	r = regs_of(&g);
	CU_ASSERT(r.gpr[CPU_RAX] == 100 && r.gpr[CPU_RCX] == 101 && r.gpr[CPU_RDX] == 105);
	finish(&g);
}

/* ---- faults ---- */

GUEST(wp, "mov $0x40000000, %ebx\n mov (%rbx), %rcx\n movq $7, (%rbx)\n mov %cr0, %rax\n"
	  "or $0x10000, %eax\n mov %rax, %cr0\n wp_a: movq $8, (%rbx)\n hlt");
LABEL(wp, a);

static void writes_what_is_read_only_while_wp_is_clear(void)
{
	struct guest g;

	start(&g, BYTES(wp));
	g.state.cr0 &= ~(uint64_t)CPU_CR0_WP;
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	set_page(&g, 0, FRAMES | 5); /* the user's, too */
	expect_fault(&g, CPU_VEC_PF, AT(wp, a), 3);
	CU_ASSERT_EQUAL(read64(&g, FRAMES), 7);
	finish(&g);
}

GUEST(nx_data, "mov $0x40000000, %eax\n mov (%rax), %ecx\n call *%rax\n hlt");

static void runs_nothing_in_a_page_of_data_that_was_read(void)
{
	struct guest g;

	start(&g, BYTES(nx_data));
	set_page(&g, 0, FRAMES | PW | NX);
	write64(&g, FRAMES, 0xc3);
	expect_fault(&g, CPU_VEC_PF, FAR, 0x11);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RCX], 0xc3);
	finish(&g);
}

static void delivers_events_it_was_loaded_with(void)
{
	static const struct {
		struct cpu_event event;
		int64_t error;
		bool resume; /* RF in the frame: the instruction is to be tried again */
	} rows[] = {
		{ { .pending = true, .vector = CPU_VEC_DB }, NO_ERROR, false },
		{ { .pending = true, .vector = CPU_VEC_BP }, NO_ERROR, false },
		{ { .pending = true, .vector = 4 }, NO_ERROR, false },
		{ { .pending = true, .vector = CPU_VEC_UD }, NO_ERROR, true },
		{ { .pending = true, .vector = CPU_VEC_GP, .has_error = true, .error = 0x28 }, 0x28,
			true },
	};
	struct guest g;

	start(&g, BYTES(nx_data));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t frame;

		g.state.event = rows[i].event;
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		CU_ASSERT_TRUE(state_of(&g).event.pending);
		expect_fault(&g, rows[i].event.vector, CODE, rows[i].error);
		frame = regs_of(&g).gpr[CPU_RSP] + (rows[i].error == NO_ERROR ? 0 : 8);
		CU_ASSERT_EQUAL(read64(&g, frame + 16) >> 16 & 1, rows[i].resume);
		CU_ASSERT_FALSE(state_of(&g).event.pending);
	}
	finish(&g);
}

GUEST(read_only, "mov $0x40000000, %ebx\n mov $1, %eax\n mov (%rbx), %rcx\n cmp $2, %eax\n"
		 "read_only_a: add %rax, (%rbx)\n inc %eax\n push %rax\n hlt");
LABEL(read_only, a);

/* A page that was read before; the instruction reads it, too; others follow in its block. */
static void faults_before_anything_else_happens(void)
{
	struct guest g;
	struct cpu_regs r;

	start(&g, BYTES(read_only));
	set_page(&g, 0, FRAMES | 1);
	write64(&g, FRAMES, 77);
	expect_fault(&g, CPU_VEC_PF, AT(read_only, a), 3);
	r = regs_of(&g);
	CU_ASSERT_EQUAL(r.gpr[CPU_RCX], 77);
	CU_ASSERT_EQUAL(read64(&g, FRAMES), 77);
	/* CF, PF, AF, SF as the comparison left them, RF in the frame of a fault, and one pushed 8 above */
	CU_ASSERT_EQUAL(read64(&g, r.gpr[CPU_RSP] + 24), 0x10097);
	CU_ASSERT_EQUAL(read64(&g, r.gpr[CPU_RSP] + 32), STACK);
	CU_ASSERT_EQUAL(g.seen_icount, 4 + 2);
	finish(&g);
}

GUEST(no_exec, "mov $0x40000000, %eax\n call *%rax\n hlt");
GUEST(far_code, "mov $0x40000ffd, %eax\n jmp *%rax\n");

static void faults_on_fetches_where_they_begin(void)
{
	static const uint8_t ret = 0xc3,
			     ahead[] = { 0xff, 0xc0, 0xb8 }; /* inc %eax; mov $...: cut off */
	struct guest g;

	start(&g, BYTES(no_exec));
	set_page(&g, 0, FRAMES | PW | NX);
	gmem_write(&g.mem, FRAMES, &ret, 1);
	expect_fault(&g, CPU_VEC_PF, FAR, 0x11);
	CU_ASSERT_EQUAL(state_of(&g).cr2, FAR);
	set_page(&g, 0, FRAMES | PW);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_HALT);
	finish(&g);

	start(&g, BYTES(far_code));
	set_page(&g, 0, FRAMES | PW);
	gmem_write(&g.mem, FRAMES + 0xffd, ahead, sizeof(ahead));
	expect_fault(&g, CPU_VEC_PF, FAR + 0xfff, 0x10);
	CU_ASSERT_EQUAL(state_of(&g).cr2, FAR + PAGE);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], FAR + 0xffe);
	finish(&g);
}

GUEST(again, "movq $0, 0x200000\n mov $3, %ecx\n 1: xor %edx, %edx\n again_a: div %edx\n"
	     "again_b: mov 0x40000000, %rax\n movabs $0x8000000000000000, %rbx\n again_c: mov "
	     "(%rbx), %rax\n"
	     "dec %ecx\n jnz 1b\n hlt\n"
	     "again_divide: incq 0x200000\n addq $2, (%rsp)\n iretq\n"
	     "again_page: incq 0x200000\n addq $8, 8(%rsp)\n add $8, %rsp\n iretq\n"
	     "again_protect: incq 0x200000\n addq $3, 8(%rsp)\n add $8, %rsp\n iretq\n");
LABEL(again, a);
LABEL(again, divide);
LABEL(again, page);
LABEL(again, protect);

static void takes_the_same_faults_over_and_over(void)
{
	struct guest g;

	start(&g, BYTES(again));
	set_gate(&g, CPU_VEC_DE, AT(again, divide), 0x8e, 0);
	set_gate(&g, CPU_VEC_PF, AT(again, page), 0x8e, 0);
	set_gate(&g, CPU_VEC_GP, AT(again, protect), 0x8e, 0);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(read64(&g, DATA), 9);
	finish(&g);
}

GUEST(soft, "stc\n int $0x40\n soft_a: int3\n soft_b: nop\n hlt");
LABEL(soft, a);
LABEL(soft, b);

static void delivers_interrupts_of_the_guests_own(void)
{
	struct guest g;
	uint64_t rsp;

	start(&g, BYTES(soft));
	expect_fault(&g, 0x40, AT(soft, a), NO_ERROR);
	CU_ASSERT_EQUAL(read64(&g, regs_of(&g).gpr[CPU_RSP] + 16), 3); /* CF; a trap has no RF */
	CU_ASSERT_EQUAL(g.seen_icount, 2 + 2);
	finish(&g);
	start(&g, BYTES(soft));
	g.state.regs.rip = AT(soft, a);
	g.state.regs.gpr[CPU_RSP] = STACK + 3; /* aligned by delivery */
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	set_gate(&g, CPU_VEC_BP, STUBS + 16 * CPU_VEC_BP, 0x8f, 1);
	expect_fault(&g, CPU_VEC_BP, AT(soft, b), NO_ERROR);
	rsp = regs_of(&g).gpr[CPU_RSP];
	CU_ASSERT_EQUAL(rsp, STACK_IST - 40);
	CU_ASSERT_EQUAL(read64(&g, rsp + 24), STACK + 3);
	CU_ASSERT_EQUAL(read64(&g, rsp + 32), 0x10);
	finish(&g);
}

GUEST(no_stack, "mov $0x40001000, %esp\n no_stack_a: push %rax\n hlt");
LABEL(no_stack, a);

static void ends_in_double_and_triple_faults(void)
{
	struct guest g;

	start(&g, BYTES(no_stack));
	set_gate(&g, CPU_VEC_DF, STUBS + 16 * CPU_VEC_DF, 0x8e, 1);
	expect_fault(&g, CPU_VEC_DF, AT(no_stack, a), 0);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RSP], STACK_IST - 48);
	finish(&g);
	start(&g, BYTES(no_stack));
	run_to(&g, VCPU_SHUTDOWN);
	CU_ASSERT_EQUAL(g.exit.rip, AT(no_stack, a));
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RSP], FAR + PAGE);
	run_to(&g, VCPU_SHUTDOWN);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_SHUTDOWN);
	finish(&g);
}

/* To CPL 3 by iretq; there a page of the kernel's, a privileged instruction, a system call. */
GUEST(user,
	"push $0x1b\n push $0x200800\n push $0x202\n push $0x23\n lea 1f(%rip), %rax\n push %rax\n"
	"iretq\n 1: mov %cs, %r8d\n user_a: mov 0x40000000, %rax\n user_b: cli\n user_c: syscall\n"
	"user_d: int $0x41\n user_e: hlt\n"
	"user_skip: mov %cs, %r9d\n mov %rsp, %r10\n mov (%rsp), %r11\n add $8, %rsp\n"
	"add %rdi, (%rsp)\n iretq\n"
	"user_kernel: mov %rcx, %r12\n mov %r11, %r13\n mov %cs, %r14d\n mov %ss, %r15d\n "
	"sysretq\n");
LABEL(user, a);
LABEL(user, b);
LABEL(user, d);
LABEL(user, e);
LABEL(user, skip);
LABEL(user, kernel);

static void goes_to_user_mode_and_back(void)
{
	struct guest g;
	struct cpu_regs r;

	start(&g, BYTES(user));
	g.state.efer |= CPU_EFER_SCE;
	g.state.star = 8ull << 32 | 0x10ull << 48;
	g.state.lstar = AT(user, kernel);
	g.state.sfmask = 0x200;
	g.state.regs.gpr[CPU_RDI] = 8; /* length of the instruction to skip */
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	set_page(&g, 0, FRAMES | PW); /* the supervisor's */
	set_gate(&g, CPU_VEC_PF, AT(user, skip), 0x8e, 0);
	set_gate(&g, 0x41, STUBS + 16 * 0x41, 0xee, 0);
	if (!run_to(&g, VCPU_PORT))
		goto out;
	/* cli was refused: #GP came from CPL 3 on the stack of the TSS. */
	CU_ASSERT_EQUAL(g.exit.rdi, CPU_VEC_GP);
	r = regs_of(&g);
	CU_ASSERT_EQUAL(r.gpr[CPU_R8], 0x23);
	CU_ASSERT_EQUAL(r.gpr[CPU_R9], 8);
	CU_ASSERT_EQUAL(r.gpr[CPU_R10], STACK_RSP0 - 48);
	CU_ASSERT_EQUAL(r.gpr[CPU_R11], 5);
	CU_ASSERT_EQUAL(r.gpr[CPU_RSP], STACK_RSP0 - 48);
	CU_ASSERT_EQUAL(read64(&g, r.gpr[CPU_RSP] + 8), AT(user, b));
	CU_ASSERT_EQUAL(read64(&g, r.gpr[CPU_RSP] + 16), 0x23);
	CU_ASSERT_EQUAL(read64(&g, r.gpr[CPU_RSP] + 40), 0x1b);
	CU_ASSERT_EQUAL(state_of(&g).seg[CPU_SS].selector, 0);
out:
	finish(&g);
}

static void makes_system_calls(void)
{
	struct guest g;
	struct cpu_regs r;

	start(&g, BYTES(user));
	g.state.efer |= CPU_EFER_SCE;
	g.state.star = 8ull << 32 | 0x10ull << 48;
	g.state.lstar = AT(user, kernel);
	g.state.sfmask = 0x200;
	g.state.regs.gpr[CPU_RDI] = 1;
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	set_page(&g, 0, FRAMES | PWU);
	set_gate(&g, CPU_VEC_GP, AT(user, skip), 0x8e, 0);
	set_gate(&g, 0x41, STUBS + 16 * 0x41, 0xee, 0);
	expect_fault(&g, 0x41, AT(user, e), FROM_USER);
	r = regs_of(&g);
	CU_ASSERT_EQUAL(r.gpr[CPU_R12], AT(user, d));
	CU_ASSERT_EQUAL(r.gpr[CPU_R13], 0x202);
	CU_ASSERT_EQUAL(r.gpr[CPU_R14], 8);
	CU_ASSERT_EQUAL(r.gpr[CPU_R15], 0x10);
	finish(&g);
}

/* ---- instructions ---- */

static void knows_how_long_instructions_are(void)
{
	static const struct {
		const char *bytes;
		uint8_t n, len, kind;
	} rows[] = {
		{ "\x90", 1, 1, TCG_PLAIN },
		{ "\xef", 1, 1, TCG_OUT },
		{ "\xe5\x70", 2, 2, TCG_IN },
		{ "\x66\xef", 2, 2, TCG_OUT },
		{ "\x6e", 1, 1, TCG_STRING_IO },
		{ "\x0f\x31", 2, 2, TCG_RDTSC },
		{ "\x0f\x01\xf9", 3, 3, TCG_RDTSCP },
		{ "\x0f\x01\x38", 3, 3, TCG_INVLPG },
		{ "\x0f\x01\xf8", 3, 3, TCG_PLAIN },
		{ "\xf3\x48\xab", 3, 3, TCG_REPEAT },
		{ "\x48\xab", 2, 2, TCG_PLAIN },
		{ "\x0f\x22\xd8", 3, 3, TCG_MOV_CR },
		{ "\x0f\x22\x18\xff", 4, 3, TCG_MOV_CR },
		{ "\xfb", 1, 1, TCG_SHADOW },
		{ "\x8e\xd0", 2, 2, TCG_SHADOW },
		{ "\x8e\xd8", 2, 2, TCG_PLAIN },
		{ "\x48\xb8\1\2\3\4\5\6\7\10", 10, 10, TCG_PLAIN },
		{ "\x66\xb8\1\2", 4, 4, TCG_PLAIN },
		{ "\x48\xa1\1\2\3\4\5\6\7\10", 10, 10, TCG_PLAIN },
		{ "\x67\xa1\1\2\3\4", 6, 6, TCG_PLAIN },
		{ "\xf6\x05\1\2\3\4\5", 7, 7, TCG_PLAIN },
		{ "\xf6\x15\1\2\3\4", 6, 6, TCG_PLAIN },
		{ "\xf7\xc0\1\2\3\4", 6, 6, TCG_PLAIN },
		{ "\xf7\xd8", 2, 2, TCG_PLAIN },
		{ "\x8b\x04\x25\1\2\3\4", 7, 7, TCG_PLAIN },
		{ "\x8b\x44\x24\1", 4, 4, TCG_PLAIN },
		{ "\xc8\1\2\3", 4, 4, TCG_PLAIN },
		{ "\x66\xe8\1\2", 4, 4, TCG_CALL },
		{ "\x0f\x3a\x0f\xc1\4", 5, 5, TCG_PLAIN },
		{ "\x0f\x38\x00\xc1", 4, 4, TCG_PLAIN },
		{ "\xc4\xe2\x78\xf2\xc1", 5, 5, TCG_PLAIN },
		{ "\xc5\xf8\x77", 3, 3, TCG_AVX },
		{ "\xc4\xe3\x7b\xf0\xc1\1", 6, 6, TCG_PLAIN },
		{ "\x0f\x38\x01\xf9", 4, 4, TCG_PLAIN },
		{ "\x0f\x01\xd0", 3, 3, TCG_XGETBV },
		{ "\x0f\x01\xd1", 3, 3, TCG_XSETBV },
		{ "\x66\x0f\x01\xd1", 4, 4, TCG_PLAIN },
		{ "\x0f\xae\x24\x25\1\2\3\4", 8, 8, TCG_XSAVE },
		{ "\x0f\xae\x67\1", 4, 4, TCG_XSAVE },
		{ "\x48\x0f\xae\x77\1", 5, 5, TCG_XSAVE },
		{ "\x0f\xc7\x27", 3, 3, TCG_XSAVE },
		{ "\x0f\xae\x2f", 3, 3, TCG_XRSTOR },
		{ "\xf0\x0f\xae\x2f", 4, 4, TCG_PLAIN },
		{ "\x0f\xae\xe8", 3, 3, TCG_PLAIN },
		{ "\x0f\xae\x07", 3, 3, TCG_PLAIN },
		{ "\x0f\xc7\x0f", 3, 3, TCG_PLAIN },
		{ "\x0f\xc7\xf0", 3, 3, TCG_RDRAND },
		{ "\xf3\x48\x0f\xb8\xc1", 5, 5, TCG_POPCNT },
		{ "\x0f\x38\xf1\x07", 4, 4, TCG_MOVBE },
		{ "\xf2\x0f\x38\xf1\xc7", 5, 5, TCG_PLAIN },
		{ "\x0f\x38\xf1\xc7", 4, 4, TCG_PLAIN },
		{ "\x0f\xb8\xc1", 3, 3, TCG_PLAIN },
		{ "\xc2\1\2", 3, 3, TCG_PLAIN },
		{ "\xff\xd0", 2, 2, TCG_CALL },
		{ "\xff\x1b", 2, 2, TCG_CALL },
		{ "\xff\xc0", 2, 2, TCG_PLAIN },
		{ "\x64\x8b\x05\1\2\3\4", 7, 7, TCG_PLAIN },
		{ "\x8b\x80\1\2\3\4", 6, 6, TCG_PLAIN },
		{ "\x8b\x84\x24\1\2\3\4", 7, 7, TCG_PLAIN },
		/* what of VEX is BMI: andn, bls, bzhi, pdep, mulx, bextr, rorx; not the same opcodes elsewhere */
		{ "\xc4\xe2\x78\xf3\xc9", 5, 5, TCG_PLAIN },
		{ "\xc4\xe2\x78\xf5\xc1", 5, 5, TCG_PLAIN },
		{ "\xc4\xe2\x7b\xf6\xc1", 5, 5, TCG_PLAIN },
		{ "\xc4\xe2\x78\xf7\xc1", 5, 5, TCG_PLAIN },
		{ "\xc4\xe2\x78\xf4\xc1", 5, 5, TCG_AVX },
		{ "\xc4\xe2\x78\xf8\xc1", 5, 5, TCG_AVX },
		{ "\xc4\xe2\x78\x18\xc1", 5, 5, TCG_AVX },
		{ "\xc4\xe3\x7b\x0f\xc1\1", 6, 6, TCG_AVX },
		{ "\xc4\xe1\x78\x58\xc1", 5, 5, TCG_AVX },
		/* not instructions, or not whole */
		{ "\x0f\x38\x00\x07", 4, 4, TCG_PLAIN },
		{ "\x0f\xc7\xf8", 3, 3, TCG_PLAIN },
		{ "\x8b\x00", 2, 2, TCG_PLAIN },
		{ "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90", 15, 15,
			TCG_PLAIN },
		{ "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90", 16, 0, 0 },
		{ "\x06", 1, 0, 0 },
		{ "\x48", 1, 0, 0 },
		{ "\x0f", 1, 0, 0 },
		{ "\x0f\x38", 2, 0, 0 },
		{ "\x0f\x3a", 2, 0, 0 },
		{ "\x0f\x01", 2, 0, 0 },
		{ "\xc4", 1, 0, 0 },
		{ "\xc5", 1, 0, 0 },
		{ "\xc4\xe2", 2, 0, 0 },
		{ "\xc4\xe2\x78", 3, 0, 0 },
		{ "\xc4\xe2\x78\xf2", 4, 0, 0 },
		{ "\xc4\xe0\x78\xf2\xc1", 5, 0, 0 },
		{ "\xc4\xe4\x78\xf2\xc1", 5, 0, 0 },
		{ "\xe8\1\2\3", 4, 0, 0 },
		{ "\x8b\x04", 2, 0, 0 },
		{ "", 0, 0, 0 },
		{ "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90", 16, 0, 0 },
	};
	struct tcg_insn insn;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool ok = tcg_insn_decode((const uint8_t *)rows[i].bytes, rows[i].n, &insn);

		CU_ASSERT_EQUAL(ok, rows[i].len > 0);
		if (ok && rows[i].len)
			CU_ASSERT_TRUE(insn.len == rows[i].len && insn.kind == rows[i].kind);
	}
}

/* The emulator would abort on these, and must not on what only looks like them. */
GUEST(locked, "mov $0x200000, %edi\n mov %edi, %esi\n xor %ecx, %ecx\n cmp %edi, %esi\n"
	      ".byte 0x75, 0xf0\n cmpsb\n mov $0xa6f0, %eax\n lock incl (%rdi)\n"
	      "locked_a: .byte 0xf0, 0xa6\n hlt\n"
	      "locked_b: .byte 0x66, 0xf0, 0x48, 0x39, 0x07\n hlt\n"
	      "locked_c: .byte 0xf0, 0x83, 0x3f, 1\n hlt");
LABEL(locked, a);
LABEL(locked, b);
LABEL(locked, c);

static void knows_a_locked_compare(void)
{
	static const struct {
		const char *bytes;
		uint8_t n;
		bool is_one;
	} rows[] = {
		{ "\xf0\x38\x07", 3, true },
		{ "\xf0\x39\x07", 3, true },
		{ "\x66\xf0\x48\x39\x07", 5, true },
		{ "\xf0\x80\x3f\1", 4, true },
		{ "\xf0\x83\x3f\1", 4, true },
		{ "\xf0\xa6", 2, true },
		{ "\xf0\xf3\xa7", 3, true },
		{ "\xf0\x39\xc7", 3, false },   /* registers: no memory is compared */
		{ "\xf0\x83\x07\1", 4, false }, /* add */
		{ "\xf0\x84\x3f", 3, false },
		{ "\xf0\x7f\x3f", 3, false },
		{ "\xf0\x01\x07", 3, false },
		{ "\x39\x07", 2, false },
		{ "\xf0\x39", 2, false },
		{ "\xf0", 1, false },
		{ "\xa6", 1, false },
		{ "", 0, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CU_ASSERT_EQUAL(tcg_insn_locks_compare((const uint8_t *)rows[i].bytes, rows[i].n),
			rows[i].is_one);
}

static void survives_a_locked_compare(void)
{
	struct guest g;

	start(&g, BYTES(locked));
	expect_fault(&g, CPU_VEC_UD, AT(locked, a), NO_ERROR);
	CU_ASSERT_EQUAL(g.seen_icount, 8 + 2);
	CU_ASSERT_EQUAL(read64(&g, DATA), 1ull << 8);
	g.state.regs.rip = AT(locked, b);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	expect_fault(&g, CPU_VEC_UD, AT(locked, b), NO_ERROR);
	g.state.regs.rip = AT(locked, c);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	expect_fault(&g, CPU_VEC_UD, AT(locked, c), NO_ERROR);
	finish(&g);
}

GUEST(msrs,
	"mov $0x1234, %ecx\n msrs_a: rdmsr\n hlt\n msrs_b: mov $0x808, %ecx\n msrs_c: wrmsr\n hlt\n"
	"msrs_d: mov $0x1b, %ecx\n rdmsr\n or $0x400, %eax\n msrs_e: wrmsr\n hlt\n"
	"msrs_f: mov $0xc0000100, %ecx\n mov $0x80000000, %edx\n msrs_g: wrmsr\n hlt\n"
	"msrs_h: xor %ecx, %ecx\n msrs_i: xgetbv\n hlt\n msrs_j: rdrand %eax\n hlt\n");
LABEL(msrs, a);
LABEL(msrs, b);
LABEL(msrs, c);
LABEL(msrs, d);
LABEL(msrs, e);
LABEL(msrs, f);
LABEL(msrs, g);
LABEL(msrs, h);
LABEL(msrs, i);
LABEL(msrs, j);

static void refuses_registers_that_do_not_exist(void)
{
	const struct {
		uint64_t from, at;
		unsigned vector;
	} rows[] = {
		{ CODE, AT(msrs, a), CPU_VEC_GP },
		{ AT(msrs, b), AT(msrs, c), CPU_VEC_GP },
		{ AT(msrs, d), AT(msrs, e), CPU_VEC_GP }, /* x2APIC */
		{ AT(msrs, f), AT(msrs, g), CPU_VEC_GP }, /* not canonical */
		{ AT(msrs, h), AT(msrs, i), CPU_VEC_UD },
		{ AT(msrs, j), AT(msrs, j), CPU_VEC_UD },
	};
	struct guest g;

	start(&g, BYTES(msrs));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		g.state.regs.rip = rows[i].from;
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		expect_fault(&g, rows[i].vector, rows[i].at,
			rows[i].vector == CPU_VEC_GP ? 0 : NO_ERROR);
	}
	finish(&g);
}

/* An instruction and HLT behind it, with these registers: faults, or what RBX holds in the end. */
struct register_row {
	const char *code;
	size_t len;
	uint64_t rax, rcx, rdx;
	int vector; /* 0: none */
	uint64_t rbx;
};
#define CODE_OF(text) text, sizeof(text) - 1
#define TO_CR(n)      "\x0f\x22" n "\x0f\x20"
#define RDMSR_TO_RBX  "\x0f\x32\x48\xc1\xe2\x20\x48\x09\xd0\x48\x89\xc3" /* rdx:rax */
#define WRMSR         "\x0f\x30"

static void run_register_rows(struct guest *g, const struct register_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct register_row *row = &rows[i];
		uint8_t code[64];

		memset(code, 0xf4, sizeof(code)); /* hlt */
		memcpy(code, row->code, row->len);
		CU_ASSERT_EQUAL(gmem_write(&g->mem, CODE, code, sizeof(code)), 0);
		backend_code_changed(g->b, CODE, sizeof(code));
		g->state.regs.gpr[CPU_RAX] = row->rax;
		g->state.regs.gpr[CPU_RCX] = row->rcx;
		g->state.regs.gpr[CPU_RDX] = row->rdx;
		CU_ASSERT_EQUAL(backend_load(g->b, &g->state), 0);
		if (row->vector) {
			expect_fault(g, (unsigned)row->vector, CODE,
				row->vector == CPU_VEC_GP ? 0 : NO_ERROR);
			continue;
		}
		if (!run_to(g, VCPU_HALT) || regs_of(g).gpr[CPU_RBX] != row->rbx)
			printf("     row %zu: rbx %#llx\n", i,
				(unsigned long long)regs_of(g).gpr[CPU_RBX]);
		CU_ASSERT_EQUAL(regs_of(g).gpr[CPU_RBX], row->rbx);
	}
}

#define RUN_REGISTERS(g, rows) run_register_rows(g, rows, sizeof(rows) / sizeof((rows)[0]))

GUEST(unpaged, "mov 0x200000, %r8\n mov %cr0, %rax\n bts $31, %rax\n mov %rax, %cr0\n"
	       "mov $0x40000000, %ebx\n mov (%rbx), %r9\n hlt\n"
	       "unpaged_a: movabs $0xffff800000200000, %rbx\n unpaged_b: mov (%rbx), %rax");
LABEL(unpaged, a);
LABEL(unpaged, b);

static void begins_without_paging(void)
{
	const uint64_t cr0 = CPU_CR0_PE | CPU_CR0_ET | CPU_CR0_WP | 1 << 5 | 1 << 1;
	const struct register_row rows[] = {
		{ CODE_OF(TO_CR("\xc0") "\xc3"), cr0, 0, 0, 0, cr0 },
		{ CODE_OF("\x0f\x22\xc0"), cr0 & ~(uint64_t)CPU_CR0_PE, 0, 0, CPU_VEC_GP, 0 },
	};
	struct guest g;

	start(&g, BYTES(unpaged));
	g.state.cr0 &= ~(uint64_t)CPU_CR0_PG;
	set_page(&g, 0, FRAMES | PW);
	write64(&g, DATA, 5);
	write64(&g, FRAMES, 6);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_R8], 5);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_R9], 6);
	CU_ASSERT_EQUAL(state_of(&g).cr0, g.state.cr0 | CPU_CR0_PG);
	/* Then there is nothing at an address that only tables could lead to RAM. */
	g.state.regs.rip = AT(unpaged, a);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_REFUSED);
	CU_ASSERT_EQUAL(g.exit.rip, AT(unpaged, b));
	g.state.regs.rip = CODE;
	RUN_REGISTERS(&g, rows);
	finish(&g);
}

static void control_registers_take_what_a_processor_takes(void)
{
	enum { GP = CPU_VEC_GP, UD = CPU_VEC_UD };
	const uint64_t cr0 = CPU_CR0_PG | CPU_CR0_PE | CPU_CR0_ET | CPU_CR0_WP | 1 << 5 | 1 << 1;
	const struct register_row rows[] = {
		/* to CR0, and back to RBX */
		{ CODE_OF(TO_CR("\xc0") "\xc3"), cr0, 0, 0, 0, cr0 },
		{ CODE_OF(TO_CR("\xc0") "\xc3"), cr0 & ~(uint64_t)CPU_CR0_WP, 0, 0, 0,
			cr0 & ~(uint64_t)CPU_CR0_WP },
		{ CODE_OF(TO_CR("\xc0") "\xc3"), cr0 | 1 << 30 | 1 << 29, 0, 0, 0,
			cr0 | 1 << 30 | 1 << 29 },
		{ CODE_OF("\x0f\x22\xc0"), cr0 | 1 << 29, 0, 0, GP, 0 },
		{ CODE_OF("\x0f\x22\xc0"), cr0 | 1ull << 32, 0, 0, GP, 0 },
		{ CODE_OF("\x0f\x22\xc0"), cr0 & ~(uint64_t)CPU_CR0_PE, 0, 0, GP, 0 },
		{ CODE_OF("\x0f\x22\xc0"), cr0 & ~(uint64_t)CPU_CR0_PG, 0, 0, GP, 0 },
		/* CR2, CR3, CR4 */
		{ CODE_OF(TO_CR("\xd0") "\xd3"), 0x123456789abc, 0, 0, 0, 0x123456789abc },
		{ CODE_OF(TO_CR("\xd8") "\xdb"), PML4, 0, 0, 0, PML4 },
		{ CODE_OF("\x0f\x22\xd8"), 1ull << 52 | PML4, 0, 0, GP, 0 },
		{ CODE_OF(TO_CR("\xe0") "\xe3"), CPU_CR4_PAE | 4, 0, 0, 0, CPU_CR4_PAE | 4 },
		{ CODE_OF("\x0f\x22\xe0"), CPU_CR4_PAE | 1 << 30, 0, 0, GP, 0 },
		{ CODE_OF("\x0f\x22\xe0"), CPU_CR4_PAE | CPU_CR4_OSXSAVE, 0, 0, GP, 0 },
		{ CODE_OF("\x0f\x22\xe0"), 0, 0, 0, GP, 0 },
		/* CR8, and what there is none of */
		{ CODE_OF("\x44" TO_CR("\xc0")), 16, 0, 0, GP, 0 },
		{ CODE_OF("\x44\x0f\x22\xc0\x44\x0f\x20\xc3"), 15, 0, 0, 0, 15 },
		{ CODE_OF("\x0f\x20\xc8"), 0, 0, 0, UD, 0 },
		{ CODE_OF("\x0f\x22\xe8"), 0, 0, 0, UD, 0 },
		{ CODE_OF("\x0f\x20\xf8"), 0, 0, 0, UD, 0 },
		{ CODE_OF("\x44\x0f\x20\xc8"), 0, 0, 0, UD, 0 },
		/* debug registers: 4 and 5 are 6 and 7 unless CR4.DE is set */
		{ CODE_OF("\x0f\x23\xd8\x0f\x21\xdb"), ~0ull, 0, 0, 0, ~0ull },
		{ CODE_OF("\x0f\x23\xf0\x0f\x21\xe3"), 1, 0, 0, 0, 0xffff0ff1 },
		{ CODE_OF("\x0f\x23\xe8\x0f\x21\xfb"), 1, 0, 0, 0, 0x401 },
		{ CODE_OF("\x0f\x23\xf8"), 1ull << 32, 0, 0, GP, 0 },
		{ CODE_OF("\x0f\x23\xf0"), 1ull << 32, 0, 0, GP, 0 },
		{ CODE_OF("\x44\x0f\x23\xc0"), 0, 0, 0, UD, 0 },
	};
	const struct register_row debug_extensions[] = {
		{ CODE_OF("\x0f\x21\xe3"), 0, 0, 0, UD, 0 },
		{ CODE_OF("\x0f\x23\xe8"), 0, 0, 0, UD, 0 },
		{ CODE_OF("\x0f\x23\xf0\x0f\x21\xf3"), 0, 0, 0, 0, 0xffff0ff0 },
	};
	struct guest g;

	start(&g, BYTES(msrs));
	RUN_REGISTERS(&g, rows);
	g.state.cr4 |= 1 << 3;
	RUN_REGISTERS(&g, debug_extensions);
	finish(&g);
}

static void msrs_take_what_a_processor_takes(void)
{
	enum { GP = CPU_VEC_GP, UD = CPU_VEC_UD };
	const uint32_t efer = CPU_EFER_LME | CPU_EFER_LMA | CPU_EFER_NXE, high = 0x80000000;
	const struct register_row rows[] = {
		/* written, and read back */
		{ CODE_OF(WRMSR RDMSR_TO_RBX), 0x10, 0x174, 0, 0, 0x10 },
		{ CODE_OF(WRMSR RDMSR_TO_RBX), 0x1000, 0x175, 0, 0, 0x1000 },
		{ CODE_OF(WRMSR RDMSR_TO_RBX), 0x2000, 0xc0000082, 0xffff8000, 0,
			0xffff800000002000 },
		{ CODE_OF(WRMSR RDMSR_TO_RBX), 0x700, 0xc0000084, 0, 0, 0x700 },
		{ CODE_OF(WRMSR RDMSR_TO_RBX), 0x851, 0x1a0, 0, 0, 0x851 },
		{ CODE_OF(WRMSR RDMSR_TO_RBX), 0x07060504, 0x277, 0x07010006, 0,
			0x0701000607060504 },
		{ CODE_OF(WRMSR RDMSR_TO_RBX), 0xfee00100, 0x1b, 0, 0, 0xfee00100 },
		{ CODE_OF(WRMSR RDMSR_TO_RBX), 0xfee00900, 0x1b, 0, 0, 0xfee00900 },
		{ CODE_OF(WRMSR RDMSR_TO_RBX), 5, 0x8b, 0, 0, 0 }, /* no microcode */
		{ CODE_OF(WRMSR RDMSR_TO_RBX), 1000, 0x10, 1, 0, 0x1000003e8 + 10 },
		{ CODE_OF(WRMSR RDMSR_TO_RBX), efer | CPU_EFER_SCE, 0xc0000080, 0, 0,
			efer | CPU_EFER_SCE },
		{ CODE_OF(WRMSR RDMSR_TO_RBX), CPU_EFER_LME, 0xc0000080, 0, 0,
			CPU_EFER_LME | CPU_EFER_LMA },
		/* refused */
		{ CODE_OF(WRMSR), 0, 0x175, high, GP, 0 },
		{ CODE_OF(WRMSR), 0, 0xc0000083, high, GP, 0 },
		{ CODE_OF(WRMSR), 0, 0xc0000084, 1, GP, 0 }, { CODE_OF(WRMSR), 2, 0x277, 0, GP, 0 },
		{ CODE_OF(WRMSR), 0x300, 0x277, 0, GP, 0 },
		{ CODE_OF(WRMSR), 0, 0x277, 0x08000000, GP, 0 },
		{ CODE_OF(WRMSR), 0xfee01900, 0x1b, 0, GP, 0 },
		{ CODE_OF(WRMSR), efer | 1 << 20, 0xc0000080, 0, GP, 0 },
		{ CODE_OF(WRMSR), CPU_EFER_NXE, 0xc0000080, 0, GP, 0 },
		{ CODE_OF("\x0f\x05"), 0, 0, 0, UD, 0 }, /* syscall without EFER.SCE */
	};
	struct guest g;

	start_with(&g, BYTES(msrs), true);
	RUN_REGISTERS(&g, rows);
	finish(&g);
}

static void start_announcing(struct guest *g, const uint8_t *code, size_t len);

static void xcr0_takes_what_a_processor_takes(void)
{
	enum { GP = CPU_VEC_GP };
	const struct register_row rows[] = {
		{ CODE_OF("\x0f\x01\xd1\x0f\x01\xd0\x48\x89\xc3"), 3, 0, 0, 0, 3 },
		{ CODE_OF("\x0f\x01\xd1"), 3, 1, 0, GP, 0 },
		{ CODE_OF("\x0f\x01\xd1"), 2, 0, 0, GP, 0 },
		{ CODE_OF("\x0f\x01\xd1"), 5, 0, 0, GP, 0 },
		{ CODE_OF("\x0f\x01\xd1"), 15, 0, 0, GP, 0 },
		{ CODE_OF("\x0f\x01\xd1"), 7, 0, 1, GP, 0 },
		{ CODE_OF("\x0f\x01\xd0"), 0, 2, 0, GP, 0 },
		{ CODE_OF("\x0f\x01\xd0\x48\x89\xc3"), 0, 1, 0, 0, 1 }, /* what is in use */
		{ CODE_OF("\x0f\xa2"), 0xd, 2, 0, 0, 0 },
		{ CODE_OF("\x0f\xa2"), 0xd, 0, 0, 0, 576 },
	};
	struct guest g;

	start_announcing(&g, BYTES(msrs));
	g.state.cr4 |= CPU_CR4_OSXSAVE;
	RUN_REGISTERS(&g, rows);
	g.state.cr4 &= ~(uint64_t)CPU_CR4_OSXSAVE;
	run_register_rows(
		&g, &(struct register_row){ CODE_OF("\x0f\x01\xd1"), 7, 0, 0, CPU_VEC_UD, 0 }, 1);
	finish(&g);
}

/* Code of a user, from CODE on. */
static void become_user(struct guest *g)
{
	g->state.seg[CPU_CS].selector = 0x23;
	g->state.seg[CPU_CS].attr |= 3 << CPU_SEG_DPL_SHIFT;
	g->state.seg[CPU_SS].selector = 0x1b;
	g->state.seg[CPU_SS].attr |= 3 << CPU_SEG_DPL_SHIFT;
}

/* Each ends in a fault from CPL 3, if only at the HLT behind it. */
struct user_row {
	const char *code;
	size_t len;
	uint64_t cr4, rflags;
	unsigned vector;
	uint64_t at, error; /* from CODE on */
};

static void run_user_rows(struct guest *g, const struct user_row *rows, size_t n)
{
	const struct cpu_state was = g->state;

	become_user(g);
	for (size_t i = 0; i < n; i++) {
		const struct user_row *row = &rows[i];
		uint8_t code[64];
		uint64_t rsp;

		memset(code, 0xf4, sizeof(code));
		memcpy(code, row->code, row->len);
		gmem_write(&g->mem, CODE, code, sizeof(code));
		backend_code_changed(g->b, CODE, sizeof(code));
		g->state.cr4 = was.cr4 | row->cr4;
		g->state.regs.rflags = was.regs.rflags | row->rflags;
		g->state.regs.gpr[CPU_RBX] = FAR;
		CU_ASSERT_EQUAL(backend_load(g->b, &g->state), 0);
		if (!run_to(g, VCPU_PORT))
			continue;
		rsp = regs_of(g).gpr[CPU_RSP];
		CU_ASSERT_EQUAL(g->exit.port, FAULT_PORT);
		CU_ASSERT_EQUAL(g->exit.rdi, row->vector);
		CU_ASSERT_EQUAL(read64(g, rsp), row->error);
		CU_ASSERT_EQUAL(read64(g, rsp + 8), CODE + row->at);
		CU_ASSERT_EQUAL(read64(g, rsp + 16), 0x23);
	}
	g->state = was;
}

static void keeps_users_from_what_is_not_theirs(void)
{
	enum { GP = CPU_VEC_GP, TSD = 1 << 2, IOPL3 = 3 << 12, IOPL2 = 2 << 12 };
	static const struct user_row rows[] = {
		{ CODE_OF("\xe4\x10"), 0, 0, GP, 0, 0 }, /* in */
		{ CODE_OF("\xe4\x10"), 0, IOPL2, GP, 0, 0 },
		{ CODE_OF("\xe4\x10"), 0, IOPL3, GP, 2, 0 },
		{ CODE_OF("\xef"), 0, 0, GP, 0, 0 },         /* out */
		{ CODE_OF("\x0f\x32"), 0, 0, GP, 0, 0 },     /* rdmsr */
		{ CODE_OF("\x0f\x30"), 0, 0, GP, 0, 0 },     /* wrmsr */
		{ CODE_OF("\x0f\x20\xc0"), 0, 0, GP, 0, 0 }, /* mov %cr0, %rax */
		{ CODE_OF("\x0f\x22\xd8"), 0, 0, GP, 0, 0 }, /* mov %rax, %cr3 */
		{ CODE_OF("\x0f\x21\xc0"), 0, 0, GP, 0, 0 }, /* mov %dr0, %rax */
		{ CODE_OF("\x0f\x01\x3b"), 0, 0, GP, 0, 0 }, /* invlpg (%rbx) */
		{ CODE_OF("\x0f\x31"), 0, 0, GP, 2, 0 },     /* rdtsc */
		{ CODE_OF("\x0f\x31"), TSD, 0, GP, 0, 0 },
		{ CODE_OF("\x0f\x01\xf9"), 0, 0, GP, 3, 0 }, /* rdtscp */
		{ CODE_OF("\x0f\x01\xf9"), TSD, 0, GP, 0, 0 },
		{ CODE_OF("\x90"), 0, 0, GP, 1, 0 },
	};
	static const struct user_row announced[] = {
		{ CODE_OF("\x0f\x01\xd1"), CPU_CR4_OSXSAVE, 0, GP, 0, 0 }, /* xsetbv */
		{ CODE_OF("\x0f\x01\xd0"), CPU_CR4_OSXSAVE, 0, GP, 3, 0 }, /* xgetbv */
		/* movbe and popcnt of a supervisor's page */
		{ CODE_OF("\x0f\x38\xf0\x03"), 0, 0, CPU_VEC_PF, 0, 5 },
		{ CODE_OF("\x0f\x38\xf1\x03"), 0, 0, CPU_VEC_PF, 0, 7 },
		{ CODE_OF("\xf3\x0f\xb8\x03"), 0, 0, CPU_VEC_PF, 0, 5 },
	};
	const struct register_row supervisor[] = {
		{ CODE_OF("\x0f\x31"), 0, 0, 0, 0, FAR },
	};
	struct guest g;

	start(&g, BYTES(msrs));
	run_user_rows(&g, rows, sizeof(rows) / sizeof(rows[0]));
	g.state.cr4 |= TSD;
	g.state.regs.gpr[CPU_RBX] = FAR;
	RUN_REGISTERS(&g, supervisor);
	finish(&g);
	start_announcing(&g, BYTES(msrs));
	set_page(&g, 0, FRAMES | PW);
	run_user_rows(&g, announced, sizeof(announced) / sizeof(announced[0]));
	finish(&g);
}

GUEST(apic_off, "mov $0xfee00030, %ebx\n mov (%rbx), %r10d\n mov $1, %eax\n cpuid\n mov %edx, "
		"%r8d\n mov $0x1b, %ecx\n rdmsr\n"
		"and $0xfffff7ff, %eax\n wrmsr\n mov $1, %eax\n cpuid\n mov %edx, %r9d\n"
		"mov $0xfee00020, %ebx\n apic_off_a: mov (%rbx), %eax\n"
		"apic_off_b: mov $0xfee00000, %ebx\n jmp *%rbx");
LABEL(apic_off, a);
LABEL(apic_off, b);

static void has_no_apic_once_it_is_switched_off(void)
{
	const struct cpuid_entry table[] = { { 0, 0, false, 1, 0, 0, 0 },
		{ 1, 0, false, 0x663, 0, 0, 0x78bfbff } };

	for (size_t n = 0; n <= 2; n += 2) {
		struct guest g;

		start_as(&g, BYTES(apic_off),
			(struct backend_config){ .irqchip = true, .cpuid = table, .n_cpuid = n });
		g.state.apic_base = APIC_PAGE | 0x900;
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, VCPU_REFUSED);
		CU_ASSERT_EQUAL(g.exit.rip, AT(apic_off, a));
		CU_ASSERT_NOT_EQUAL(regs_of(&g).gpr[CPU_R10], 0); /* its version */
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_R8] >> 9 & 1, 1);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_R9] >> 9 & 1, 0);
		/* Nor is it code when it is there. */
		g.state.regs.rip = AT(apic_off, b);
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, VCPU_REFUSED);
		CU_ASSERT_EQUAL(g.exit.rip, APIC_PAGE);
		finish(&g);
	}
}

GUEST(segments, "mov $0x28, %eax\n mov %eax, %ds\n xor %eax, %eax\n mov %eax, %es\n"
		"mov $0x1000, %ecx\n hlt\n segments_a: mov $0x30, %eax\n segments_b: mov %eax, "
		"%ds\n hlt");
LABEL(segments, a);
LABEL(segments, b);

static void knows_segments_that_were_loaded_from_a_table(void)
{
	const uint64_t gdt = 0xd000;
	struct guest g;
	struct cpu_state s;

	start(&g, BYTES(segments));
	for (uint64_t i = 0; i < 5; i++)
		write64(&g, gdt + 8 * i, read64(&g, GDT + 8 * i));
	write64(&g, gdt + 40, 0x004093250000ffff); /* in bytes, from 0x250000 on */
	g.state.gdt = (struct cpu_table){ .base = gdt, .limit = 47 };
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_HALT);
	s = state_of(&g);
	CU_ASSERT_EQUAL(s.seg[CPU_DS].selector, 0x28);
	CU_ASSERT_EQUAL(s.seg[CPU_DS].base, 0x250000);
	CU_ASSERT_EQUAL(s.seg[CPU_DS].limit, 0xffff);
	CU_ASSERT_EQUAL(s.seg[CPU_DS].attr, 0x4093);
	CU_ASSERT_EQUAL(s.seg[CPU_ES].attr, CPU_SEG_UNUSABLE);
	g.state.regs.rip = AT(segments, a);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	expect_fault(&g, CPU_VEC_GP, AT(segments, b), 0x30); /* behind its limit */
	finish(&g);
}

GUEST(lost_table, "mov $0x28, %eax\n mov %eax, %ds\n mov $0x10, %eax\n mov %eax, %es\n"
		  "lgdt %es:0x200000\n hlt");

/* A table that ends before, or is not there any more, says nothing of a segment. */
static void knows_nothing_of_a_segment_whose_table_is_gone(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} rows[] = { { 47, 0xd000 }, { 46, 0xd000 }, { 47, FAR + PAGE } };
	struct guest g;

	start(&g, BYTES(lost_table));
	for (uint64_t i = 0; i < 5; i++)
		write64(&g, 0xd000 + 8 * i, read64(&g, GDT + 8 * i));
	write64(&g, 0xd000 + 40, 0x00cf93000000ffff);
	g.state.gdt = (struct cpu_table){ .base = 0xd000, .limit = 47 };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cpu_state s;

		write64(&g, DATA, rows[i].limit | rows[i].base << 16);
		write64(&g, DATA + 8, rows[i].base >> 48);
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, VCPU_HALT);
		s = state_of(&g);
		CU_ASSERT_EQUAL(s.seg[CPU_DS].selector, 0x28);
		CU_ASSERT_EQUAL(s.seg[CPU_DS].attr, i ? CPU_SEG_UNUSABLE : 0xc093);
		CU_ASSERT_EQUAL(s.gdt.base, rows[i].base);
	}
	finish(&g);
}

GUEST(waits, "waits_a: .byte 0x0f, 0x01, 0xc8\n waits_b: .byte 0x0f, 0x01, 0xc9\n hlt");
LABEL(waits, a);
LABEL(waits, b);

static void knows_neither_monitor_nor_mwait(void)
{
	const uint64_t at[] = { AT(waits, a), AT(waits, b) };
	struct guest g;

	start(&g, BYTES(waits));
	for (size_t i = 0; i < 2; i++) {
		g.state.regs.rip = at[i];
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		expect_fault(&g, CPU_VEC_UD, at[i], NO_ERROR);
	}
	finish(&g);
}

GUEST(ioapic,
	"mov $0xfec00000, %ebx\n movl $1, (%rbx)\n mov 0x10(%rbx), %r8d\n movl $0x10, (%rbx)\n"
	"movl $0x1234, 0x10(%rbx)\n movl $0x11, (%rbx)\n mov 0x10(%rbx), %r9d\n"
	"movl $0x10, (%rbx)\n mov 0x10(%rbx), %r10d\n mov (%rbx), %r11d\n"
	"movl $7, 0x20(%rbx)\n mov 0x20(%rbx), %r12d\n hlt");

static void an_ioapic_remembers_what_is_written(void)
{
	struct guest g;
	struct cpu_regs r;

	start_with(&g, BYTES(ioapic), true);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_HALT);
	r = regs_of(&g);
	CU_ASSERT_EQUAL(r.gpr[CPU_R8], 0x170011);
	CU_ASSERT_EQUAL(r.gpr[CPU_R9], 0);
	CU_ASSERT_EQUAL(r.gpr[CPU_R10], 0x1234);
	CU_ASSERT_EQUAL(r.gpr[CPU_R11], 0x10);
	CU_ASSERT_EQUAL(r.gpr[CPU_R12], 0);
	finish(&g);
}

GUEST(emulated,
	"mov %cr0, %rax\n or $4, %eax\n mov %rax, %cr0\n emulated_a: addps %xmm0, %xmm1\n hlt");
LABEL(emulated, a);

static void there_is_no_sse_when_its_guest_says_so(void)
{
	struct guest g;

	start(&g, BYTES(emulated));
	expect_fault(&g, CPU_VEC_UD, AT(emulated, a), NO_ERROR);
	finish(&g);
}

/* far call and far jump to a register: no such instruction, and Unicorn aborts at it */
GUEST(no_way, "nop\n .byte 0xff, 0xd8\n hlt\n no_way_b: nop\n .byte 0xff, 0xe8\n hlt");
LABEL(no_way, b);

static void survives_what_unicorn_aborts_at(void)
{
	const uint64_t from[] = { CODE, AT(no_way, b) };
	struct guest g;

	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		start(&g, BYTES(no_way));
		g.state.regs.rip = from[i];
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		for (int again = 0; again < 2; again++) {
			CU_ASSERT_EQUAL(backend_run(g.b, &g.exit), 0);
			CU_ASSERT_EQUAL(g.exit.kind, VCPU_REFUSED);
		}
		finish(&g);
	}
}

GUEST(written,
	"mov %cr0, %rax\n or $0x40000, %rax\n mov %rax, %cr0\n mov %cr0, %r8\n"
	"mov %cr4, %rax\n or $0x484, %rax\n mov %rax, %cr4\n mov %cr4, %r9\n"
	"mov $0xc0000080, %ecx\n rdmsr\n or $1, %eax\n wrmsr\n rdmsr\n mov %rax, %r10\n"
	"mov $0x123400, %eax\n mov %rax, %dr0\n mov %dr0, %r11\n mov $0xe0000, %eax\n mov %rax, "
	"%dr7\n"
	"mov $5, %eax\n mov %rax, %cr8\n mov %cr8, %r12\n mov $0x277, %ecx\n mov $0x01040506, "
	"%eax\n"
	"mov $0x00070106, %edx\n wrmsr\n swapgs\n mov $0x18, %eax\n mov %eax, %fs\n clts\n hlt");

static void gives_back_what_the_guest_wrote(void)
{
	struct guest g;
	struct cpu_state s;

	start(&g, BYTES(written));
	g.state.cr0 |= CPU_CR0_TS;
	g.state.seg[CPU_GS].base = 0x1000;
	g.state.kernel_gs_base = 0x2000;
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_HALT);
	s = state_of(&g);
	CU_ASSERT_EQUAL(s.regs.gpr[CPU_R8], g.state.cr0 | 0x40000);
	CU_ASSERT_EQUAL(s.cr0, (g.state.cr0 | 0x40000) & ~(uint64_t)CPU_CR0_TS);
	CU_ASSERT_EQUAL(s.regs.gpr[CPU_R9], g.state.cr4 | 0x484);
	CU_ASSERT_EQUAL(s.cr4, g.state.cr4 | 0x484);
	CU_ASSERT_EQUAL(s.regs.gpr[CPU_R10], g.state.efer | 1);
	CU_ASSERT_EQUAL(s.efer, g.state.efer | 1);
	CU_ASSERT_EQUAL(s.dr[0], 0x123400);
	CU_ASSERT_EQUAL(s.regs.gpr[CPU_R11], 0x123400);
	CU_ASSERT_EQUAL(s.dr7, 0xe0400);
	CU_ASSERT_EQUAL(s.cr8, 5);
	CU_ASSERT_EQUAL(s.regs.gpr[CPU_R12], 5);
	CU_ASSERT_EQUAL(s.pat, 0x0007010601040506);
	CU_ASSERT_EQUAL(s.seg[CPU_GS].base, 0x2000);
	CU_ASSERT_EQUAL(s.kernel_gs_base, 0x1000);
	CU_ASSERT_EQUAL(s.seg[CPU_FS].selector, 0x18);
	CU_ASSERT_EQUAL(s.seg[CPU_FS].attr,
		3 | CPU_SEG_S | 3 << CPU_SEG_DPL_SHIFT | CPU_SEG_P | CPU_SEG_DB | CPU_SEG_G);
	CU_ASSERT_EQUAL(s.seg[CPU_CS].attr, g.state.seg[CPU_CS].attr);
	CU_ASSERT_EQUAL(memcmp(&s.seg[CPU_TR], &g.state.seg[CPU_TR], sizeof(s.seg[CPU_TR])), 0);
	finish(&g);
}

GUEST(identify,
	"mov $1, %eax\n cpuid\n mov %ecx, %r8d\n mov %edx, %r9d\n mov $0x80000001, %eax\n cpuid\n"
	"mov %edx, %r10d\n mov $0x16, %eax\n cpuid\n mov %eax, %r11d\n mov $0x80000000, %eax\n "
	"cpuid\n"
	"mov %eax, %r12d\n hlt");

static void shows_only_features_it_has(void)
{
	struct guest g;
	struct cpu_regs r;

	start(&g, BYTES(identify));
	run_to(&g, VCPU_HALT);
	r = regs_of(&g);
	/* not x2APIC, TSC-deadline, XSAVE, AVX, POPCNT, RDRAND; but the hypervisor bit */
	CU_ASSERT_EQUAL(r.gpr[CPU_R8] & (1u << 21 | 1 << 24 | 1 << 26 | 1 << 27 | 1 << 28 |
						1 << 23 | 1 << 30),
		0);
	CU_ASSERT_EQUAL(r.gpr[CPU_R8] >> 31, 1);
	CU_ASSERT_EQUAL(r.gpr[CPU_R9] >> 9 & 1, 0); /* no APIC without irqchip */
	CU_ASSERT_EQUAL(tcg_cpuid(1, 0, true, false).edx >> 9 & 1, 1);
	CU_ASSERT_EQUAL(r.gpr[CPU_R10] >> 29 & 1, 1);
	CU_ASSERT_EQUAL(r.gpr[CPU_R11], 0);
	CU_ASSERT_EQUAL(r.gpr[CPU_R12], 0x80000008);
	finish(&g);
}

/* ---- what only a table of CPUID makes it do ---- */

enum { FEATURES = 1u << 12 | 1 << 22 | 1 << 23 | 1 << 26 | 1 << 28 | 1 << 30 };
static const struct cpuid_entry announcing[] = {
	{ 0, 0, false, 0xd, 0, 0, 0 },
	{ 1, 0, false, 0x663, 0, FEATURES, 0x78bfbff },
	{ 0xd, 0, true, 7, 576, 832, 0 },
	{ 0xd, 1, true, 7, 576, 0, 0 },
};

static void start_announcing(struct guest *g, const uint8_t *code, size_t len)
{
	start_as(g, code, len,
		(struct backend_config){
			.cpuid = announcing,
			.n_cpuid = sizeof(announcing) / sizeof(announcing[0]),
		});
	CU_ASSERT_EQUAL(backend_load(g->b, &g->state), 0);
}

static void tells_what_cpuid_says(void)
{
	struct cpuid_entry got[TCG_CPUID_LEAVES];
	struct guest g;
	int n;

	start_announcing(&g, BYTES(msrs));
	n = backend_cpuid(g.b, got, TCG_CPUID_LEAVES);
	CU_ASSERT_EQUAL(n, (int)(sizeof(announcing) / sizeof(announcing[0])));
	CU_ASSERT_EQUAL(memcmp(got, announcing, sizeof(announcing)), 0);
	CU_ASSERT_EQUAL(backend_cpuid(g.b, got, 2), 2);
	finish(&g);
	start(&g, BYTES(msrs));
	n = backend_cpuid(g.b, got, TCG_CPUID_LEAVES);
	CU_ASSERT_TRUE(n > 2);
	CU_ASSERT_EQUAL(got[0].leaf, 0);
	CU_ASSERT_EQUAL(backend_cpuid(g.b, got, 0), 0);
	finish(&g);
}

GUEST(avx_state,
	"mov $1, %eax\n cpuid\n mov %ecx, %r8d\n mov %cr4, %rax\n or $0x40000, %eax\n"
	"mov %rax, %cr4\n mov $1, %eax\n cpuid\n mov %ecx, %r9d\n xor %ecx, %ecx\n xgetbv\n"
	"mov %eax, %r10d\n mov $7, %eax\n xor %edx, %edx\n xsetbv\n xor %eax, %eax\n xgetbv\n"
	"mov %eax, %r11d\n mov $0xd, %eax\n cpuid\n mov %ebx, %r12d\n"
	"mov $0x1122334455667788, %rax\n movq %rax, %xmm15\n fldpi\n"
	"mov $-1, %eax\n mov $-1, %edx\n lea 0x200000, %rbx\n"
	"xsave 0x40(%rbx)\n xsaveopt 0x1000(%rbx)\n xsavec 0x2000(%rbx)\n"
	"xorps %xmm15, %xmm15\n fninit\n xrstor 0x40(%rbx)\n"
	"movq %xmm15, %r13\n fstpt 0x3000(%rbx)\n"
	"movq $0, 0x240(%rbx)\n xrstor 0x40(%rbx)\n movq %xmm15, %r14\n hlt");

static void has_xsave_when_it_announces_it(void)
{
	static const uint8_t pi[10] = { 0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0x0f, 0xc9, 0, 0x40 };
	uint8_t st[10] = { 0 };
	struct guest g;
	struct cpu_regs r;

	start_announcing(&g, BYTES(avx_state));
	run_to(&g, VCPU_HALT);
	r = regs_of(&g);
	CU_ASSERT_EQUAL(r.gpr[CPU_R8], (uint32_t)FEATURES);
	CU_ASSERT_EQUAL(r.gpr[CPU_R9], (uint32_t)FEATURES | CPUID_ECX_OSXSAVE);
	CU_ASSERT_EQUAL(r.gpr[CPU_R10], 1);
	CU_ASSERT_EQUAL(r.gpr[CPU_R11], 7);
	CU_ASSERT_EQUAL(r.gpr[CPU_R12], 832);
	CU_ASSERT_EQUAL(r.gpr[CPU_R13], 0x1122334455667788);
	CU_ASSERT_EQUAL(r.gpr[CPU_R14], 0); /* XSTATE_BV says that nothing is in the area */
	CU_ASSERT_EQUAL(gmem_read(&g.mem, DATA + 0x3000, st, sizeof(st)), 0);
	CU_ASSERT_EQUAL(memcmp(st, pi, sizeof(pi)), 0);
	for (uint64_t at = DATA + 0x1000; at <= DATA + 0x2000; at += 0x1000) {
		CU_ASSERT_EQUAL(read64(&g, at + 160 + 16 * 15), 0x1122334455667788);
		CU_ASSERT_EQUAL(read64(&g, at + 512), 7);
		CU_ASSERT_EQUAL(read64(&g, at + 520), at > DATA + 0x1000 ? 1ull << 63 | 7 : 0);
	}
	CU_ASSERT_EQUAL(state_of(&g).xcr0, 7);
	finish(&g);
}

GUEST(extras, "mov $0x200000, %ebx\n mov $0x1234, %ecx\n movabs $0x1122334455667788, %rax\n"
	      "mov %rax, (%rbx)\n popcnt (%rbx), %rsi\n popcnt %cx, %di\n movbe (%rbx), %r8\n"
	      "movbe (%rbx), %r9d\n movbe %ax, 8(%rbx)\n rdrand %r10\n setc %r11b\n"
	      "rdrand %r12\n xor %eax, %eax\n popcnt %eax, %eax\n setz %r13b\n hlt");

static void counts_swaps_and_draws_when_it_announces_it(void)
{
	uint64_t drawn[2];
	struct guest g;
	struct cpu_regs r;

	for (int i = 0; i < 2; i++) {
		start_announcing(&g, BYTES(extras));
		run_to(&g, VCPU_HALT);
		r = regs_of(&g);
		CU_ASSERT_EQUAL(r.gpr[CPU_RSI], __builtin_popcountll(0x1122334455667788));
		CU_ASSERT_EQUAL(r.gpr[CPU_RDI], 5);
		CU_ASSERT_EQUAL(r.gpr[CPU_R8], 0x8877665544332211);
		CU_ASSERT_EQUAL(r.gpr[CPU_R9], 0x88776655);
		CU_ASSERT_EQUAL(read64(&g, DATA + 8), 0x8877);
		CU_ASSERT_EQUAL(r.gpr[CPU_R11] & 1, 1);
		CU_ASSERT_EQUAL(r.gpr[CPU_R13] & 1, 1);
		CU_ASSERT_NOT_EQUAL(r.gpr[CPU_R10], r.gpr[CPU_R12]);
		CU_ASSERT_EQUAL(backend_icount(g.b), 16);
		drawn[i] = r.gpr[CPU_R10];
		finish(&g);
	}
	CU_ASSERT_EQUAL(drawn[0], drawn[1]);
}

/* Every form of a memory operand, of an instruction that is done by hand. */
GUEST(operands,
	"mov $0x200000, %ebx\n mov $0x80000, %ecx\n movabs $0xffffffff00200000, %r12\n"
	"movbe 0x200000, %eax\n movbe (%rbx), %edx\n movbe 8(%rbx), %esi\n"
	"movbe 0x7ff8(%rbx), %edi\n movbe (%rcx,%rcx,2), %r8d\n movbe -0x80000(,%rcx,8), %r9d\n"
	"movbe 1f(%rip), %r10d\n movbe %fs:16, %r11d\n movbe %gs:(%rcx), %r13d\n"
	"movbe 16(%r12d), %r14d\n lea -8(%rbx), %rbp\n movbe 0(%rbp,%rcx,1), %r15d\n hlt\n"
	"1: .long 0x0a0b0c0d");

static void finds_every_kind_of_operand(void)
{
	static const struct {
		uint64_t at;
		enum cpu_gpr gpr;
	} rows[] = {
		{ DATA, CPU_RAX },
		{ DATA, CPU_RDX },
		{ DATA + 8, CPU_RSI },
		{ DATA + 0x7ff8, CPU_RDI },
		{ 0x180000, CPU_R8 },
		{ 0x380000, CPU_R9 },
		{ 0x260010, CPU_R11 },
		{ 0x280000, CPU_R13 },
		{ DATA + 16, CPU_R14 },
		{ 0x27fff8, CPU_R15 },
	};
	struct guest g;
	struct cpu_regs r;

	start_announcing(&g, BYTES(operands));
	g.state.seg[CPU_FS].base = 0x260000;
	g.state.seg[CPU_GS].base = 0x200000;
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		write64(&g, rows[i].at, __builtin_bswap32((uint32_t)rows[i].at));
	run_to(&g, VCPU_HALT);
	r = regs_of(&g);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CU_ASSERT_EQUAL(r.gpr[rows[i].gpr], rows[i].at);
	CU_ASSERT_EQUAL(r.gpr[CPU_R10], 0x0d0c0b0a);
	finish(&g);
}

GUEST(beyond, "mov $0x8000000, %ebx\n mov $3, %eax\n xor %edx, %edx\n beyond_a: xsave (%rbx)\n"
	      "beyond_b: xrstor (%rbx)\n beyond_c: movbe (%rbx), %eax\n"
	      "beyond_d: movbe %eax, (%rbx)\n beyond_e: popcnt (%rbx), %eax\n hlt");
LABEL(beyond, a);
LABEL(beyond, b);
LABEL(beyond, c);
LABEL(beyond, d);
LABEL(beyond, e);

/* Tables lead there, but there is no RAM. */
static void refuses_operands_outside_of_ram(void)
{
	const uint64_t at[] = { AT(beyond, a), AT(beyond, b), AT(beyond, c), AT(beyond, d),
		AT(beyond, e) };
	struct guest g;

	start_announcing(&g, BYTES(beyond));
	g.state.cr4 |= CPU_CR4_OSXSAVE;
	g.state.xcr0 = 3;
	g.state.regs.gpr[CPU_RBX] = 0x8000000;
	g.state.regs.gpr[CPU_RAX] = 3;
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		g.state.regs.rip = at[i];
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, VCPU_REFUSED);
		CU_ASSERT_EQUAL(g.exit.rip, at[i]);
		CU_ASSERT_STRING_EQUAL(g.exit.text, "access outside RAM");
	}
	finish(&g);
}

/* XSAVE without its later forms, and what is enabled tells the size. */
static void has_no_form_of_xsave_that_it_does_not_announce(void)
{
	enum { UD = CPU_VEC_UD, GP = CPU_VEC_GP };
	const struct cpuid_entry plain[] = { { 0, 0, false, 0xd, 0, 0, 0 },
		{ 1, 0, false, 0x663, 0, 1u << 26, 0x78bfbff }, { 0xd, 0, true, 3, 576, 576, 0 },
		{ 0xd, 1, true, 0, 0, 0, 0 } };
	const struct register_row rows[] = {
		{ CODE_OF("\x0f\xc7\x24\x25\x00\x00\x20\x00"), 3, 0, 0, UD, 0 }, /* xsavec */
		{ CODE_OF("\x0f\xae\x34\x25\x00\x00\x20\x00"), 3, 0, 0, UD, 0 }, /* xsaveopt */
		{ CODE_OF("\x0f\xae\x24\x25\x00\x00\x20\x00"), 3, 0, 0, 0, 0 },
		{ CODE_OF("\x0f\x01\xd0"), 0, 1, 0, GP, 0 },
		{ CODE_OF("\x0f\x01\xd1"), 7, 0, 0, GP, 0 },
		{ CODE_OF("\x0f\xa2"), 0xd, 0, 0, 0, 576 },
		{ CODE_OF("\x0f\xa2"), 0xd, 1, 0, 0, 0 },
		{ CODE_OF("\x0f\x38\xf0\x03"), 0, 0, 0, UD, 0 }, /* movbe */
	};
	struct guest g;

	start_as(&g, BYTES(msrs), (struct backend_config){ .cpuid = plain, .n_cpuid = 4 });
	g.state.cr4 |= CPU_CR4_OSXSAVE;
	g.state.xcr0 = 3;
	RUN_REGISTERS(&g, rows);
	CU_ASSERT_EQUAL(read64(&g, DATA + 512), 3);
	finish(&g);
}

GUEST(no_osxsave, "no_osxsave_a: xgetbv");
GUEST(bad_xcr0, "mov %cr4, %rax\n or $0x40000, %eax\n mov %rax, %cr4\n xor %ecx, %ecx\n"
		"mov $5, %eax\n xor %edx, %edx\n bad_xcr0_a: xsetbv");
GUEST(vex, "vex_a: vaddps %ymm1, %ymm2, %ymm3");
GUEST(save_nowhere, "mov %cr4, %rax\n or $0x40000, %eax\n mov %rax, %cr4\n mov $3, %eax\n"
		    "xor %edx, %edx\n mov $0x40000fc0, %ebx\n save_nowhere_a: xsave (%rbx)");
GUEST(swap_nowhere, "mov $0x40000ffd, %ebx\n swap_nowhere_a: movbe %rax, (%rbx)");
LABEL(no_osxsave, a);
LABEL(bad_xcr0, a);
LABEL(vex, a);
LABEL(save_nowhere, a);
LABEL(swap_nowhere, a);

static void faults_where_a_processor_would(void)
{
	const struct {
		const uint8_t *code;
		size_t len;
		unsigned vector;
		uint64_t rip;
		int64_t error;
		uint64_t cr2;
	} rows[] = {
		{ BYTES(no_osxsave), CPU_VEC_UD, AT(no_osxsave, a), NO_ERROR, 0 },
		{ BYTES(bad_xcr0), CPU_VEC_GP, AT(bad_xcr0, a), 0, 0 },
		{ BYTES(vex), CPU_VEC_UD, AT(vex, a), NO_ERROR, 0 },
		{ BYTES(save_nowhere), CPU_VEC_PF, AT(save_nowhere, a), 0, FAR + PAGE },
		{ BYTES(swap_nowhere), CPU_VEC_PF, AT(swap_nowhere, a), 2, FAR + PAGE },
	};
	struct guest g;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start_announcing(&g, rows[i].code, rows[i].len);
		set_page(&g, 0, FRAMES | PW);
		expect_fault(&g, rows[i].vector, rows[i].rip, rows[i].error);
		if (rows[i].vector == CPU_VEC_PF)
			CU_ASSERT_EQUAL(state_of(&g).cr2, rows[i].cr2);
		CU_ASSERT_EQUAL(read64(&g, FRAMES + 0xff8), 0); /* nothing of it was done */
		finish(&g);
	}
}

/* The emulator sees no further than 0f ae, and the rest may be on another page, and another large page. */
GUEST(far_operand, "xsave 0x200000\n hlt");

static void knows_an_instruction_that_goes_on_elsewhere(void)
{
	size_t len = (size_t)(far_operand_end - far_operand_start);
	struct guest g;

	for (size_t n = 1; n < len; n++) {
		start_announcing(&g, BYTES(far_operand));
		gmem_write(&g.mem, FRAMES + PAGE - n, far_operand_start, n);
		gmem_write(&g.mem, FRAMES + 8 * PAGE, far_operand_start + n, len - n);
		set_page(&g, 0, FRAMES | PW);
		set_page(&g, 1, (FRAMES + 8 * PAGE) | PW);
		g.state.regs.rip = FAR + PAGE - n;
		g.state.cr4 |= CPU_CR4_OSXSAVE;
		g.state.regs.gpr[CPU_RAX] = 3;
		g.state.xcr0 = 3;
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, VCPU_HALT);
		CU_ASSERT_EQUAL(read64(&g, DATA + 512), 3);
		CU_ASSERT_EQUAL(backend_icount(g.b), 2);
		finish(&g);
	}
}

GUEST(raises, "inc %eax\n raises_a: ud2\n hlt");
LABEL(raises, a);
GUEST(raises_page, "mov $0x50000000, %ebx\n raises_page_a: mov %eax, (%rbx)\n hlt");
LABEL(raises_page, a);

/* Shown before the handler sees it, once; then taken as if nobody had looked. */
static void stops_at_exceptions_that_are_asked_for(void)
{
	const struct {
		const uint8_t *code;
		size_t len;
		uint64_t rip;
		unsigned vector;
		int64_t error;
	} rows[] = {
		{ BYTES(raises), AT(raises, a), CPU_VEC_UD, NO_ERROR },
		{ BYTES(raises_page), AT(raises_page, a), CPU_VEC_PF, PAGING_WRITE },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cpu_state s;
		struct guest g;

		start(&g, rows[i].code, rows[i].len);
		CU_ASSERT_EQUAL(backend_set_debug(g.b,
					&(struct vcpu_debug){ .exceptions = 1u << rows[i].vector }),
			0);
		run_to(&g, VCPU_DEBUG);
		CU_ASSERT(g.exit.why == VCPU_EXCEPTION && g.exit.addr == rows[i].vector);
		CU_ASSERT_EQUAL(g.exit.rip, rows[i].rip);
		CU_ASSERT_EQUAL(backend_icount(g.b), 1);
		s = state_of(&g);
		CU_ASSERT(s.event.pending && s.event.vector == rows[i].vector);
		CU_ASSERT_EQUAL(s.regs.rip, rows[i].rip);
		CU_ASSERT_EQUAL(s.regs.gpr[CPU_RSP], STACK);
		CU_ASSERT_EQUAL(s.cr2, rows[i].vector == CPU_VEC_PF ? 0x50000000 : 0);
		expect_fault(&g, rows[i].vector, rows[i].rip, rows[i].error);
		finish(&g);

		start(&g, rows[i].code, rows[i].len);
		backend_set_debug(g.b, &(struct vcpu_debug){ .exceptions = 1u << CPU_VEC_GP });
		expect_fault(&g, rows[i].vector, rows[i].rip, rows[i].error);
		finish(&g);
	}
}

GUEST(by_hand, "mov $0x200000, %ebx\n mov $-1, %rax\n by_hand_a: movbe %rax, (%rbx)\n"
	       "by_hand_b: nop\n by_hand_c: popcnt 4(%rbx), %ecx\n by_hand_d: hlt");
LABEL(by_hand, b);
LABEL(by_hand, c);
LABEL(by_hand, d);

static void steps_and_watches_what_it_does_by_hand(void)
{
	const struct vcpu_watch watch = {
		.gva = DATA + 4, .len = 4, .on_write = true, .on_read = true
	};
	struct guest g;

	start_announcing(&g, BYTES(by_hand));
	backend_set_debug(g.b, &(struct vcpu_debug){ .watches = &watch, .n_watches = 1 });
	run_to(&g, VCPU_DEBUG);
	CU_ASSERT_EQUAL(g.exit.why, VCPU_WATCHPOINT);
	CU_ASSERT_EQUAL(g.exit.rip, AT(by_hand, b));
	backend_set_debug(g.b, &(struct vcpu_debug){ .step = true });
	run_to(&g, VCPU_DEBUG);
	CU_ASSERT_EQUAL(g.exit.rip, AT(by_hand, c));
	run_to(&g, VCPU_DEBUG);
	CU_ASSERT_EQUAL(g.exit.rip, AT(by_hand, d));
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RCX], 32);
	finish(&g);
}

/* A store by hand into code that has run. */
GUEST(patches, "mov $0x90909090, %eax\n mov $patches_here - patches_start + 0x100000, %ebx\n"
	       "xor %ecx, %ecx\n 1: jmp 2f\n 2: inc %ecx\n patches_here: add $1, %edi\n nop\n"
	       "cmp $2, %ecx\n je 3f\n movbe %eax, (%rbx)\n jmp 1b\n 3: hlt");

static void runs_what_it_wrote_by_hand(void)
{
	struct guest g;

	start_announcing(&g, BYTES(patches));
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RDI], 1);
	finish(&g);
}

static void knows_none_of_it_otherwise(void)
{
	struct guest g;

	start(&g, BYTES(no_osxsave));
	expect_fault(&g, CPU_VEC_UD, AT(no_osxsave, a), NO_ERROR);
	finish(&g);
	start(&g, BYTES(swap_nowhere));
	expect_fault(&g, CPU_VEC_UD, AT(swap_nowhere, a), NO_ERROR);
	finish(&g);
}

/* ---- counting and time ---- */

GUEST(middle, "mov $0x1100, %edx\n mov $5, %eax\n sub $6, %eax\n middle_a: out %eax, %dx\n"
	      "xor %eax, %eax\n middle_b: in %dx, %eax\n add $1, %eax\n middle_c: out %eax, %dx\n "
	      "nop\n hlt");
LABEL(middle, a);
LABEL(middle, b);
LABEL(middle, c);

static void knows_everything_in_the_middle_of_a_block(void)
{
	struct guest g;

	start(&g, BYTES(middle));
	for (int pass = 0; pass < 2; pass++) { /* the second time with the code translated */
		const uint64_t base = backend_icount(g.b);
		const uint64_t at[] = { AT(middle, a), AT(middle, b), AT(middle, c) };
		const uint64_t flags[] = { 0x97, 0x46, 0x2 }, rax[] = { 0xffffffff, 0, 0x1234568 };
		const uint64_t count[] = { 3, 5, 7 };

		for (unsigned stop = 0; stop < 3; stop++) {
			CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
			g.answer = false;
			for (unsigned i = 0; i <= stop; i++) {
				run_to(&g, VCPU_PORT);
				g.exit.data = 0x1234567;
				CU_ASSERT_EQUAL(g.exit.rip, at[i]);
				CU_ASSERT_EQUAL(g.seen.rip, at[i]);
				CU_ASSERT_EQUAL(g.seen.rflags, flags[i]);
				CU_ASSERT_EQUAL(g.seen.gpr[CPU_RAX], rax[i]);
			}
			if (!stop)
				CU_ASSERT_EQUAL(g.seen_icount - base, count[0]);
		}
		g.answer = true;
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		g.seen_icount = backend_icount(g.b);
		run_to(&g, VCPU_HALT);
		CU_ASSERT_EQUAL(g.seen.rip, at[2]);
		CU_ASSERT_EQUAL(g.seen.rflags, flags[2]);
		CU_ASSERT_EQUAL(backend_icount(g.b) - g.seen_icount, 3);
		backend_code_changed(g.b, CODE, 1);
	}
	finish(&g);
}

GUEST(strings,
	"mov $0x200000, %edi\n mov $1000, %ecx\n mov $7, %eax\n rep stosb\n"
	"mov $0x200000, %edi\n mov $1000, %ecx\n mov $8, %al\n repne scasb\n rep stosb\n hlt");

static void counts_a_repeated_instruction_once(void)
{
	struct guest g;
	uint64_t from;

	start(&g, BYTES(strings));
	from = backend_icount(g.b);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(backend_icount(g.b) - from, 10);
	CU_ASSERT_EQUAL(read64(&g, DATA + 992), 0x0707070707070707);
	finish(&g);
}

GUEST(time, "rdtsc\n mov %eax, %r8d\n nop\n nop\n rdtscp\n mov %eax, %r9d\n mov %ecx, %r10d\n"
	    "mov $5, %edx\n xor %eax, %eax\n mov $0x10, %ecx\n wrmsr\n rdtsc\n mov %rdx, %r11\n "
	    "mov %eax, %r12d\n hlt");

static void makes_time_of_instructions(void)
{
	struct guest g;
	struct cpu_regs r;
	struct cpu_state s;

	start(&g, BYTES(time));
	CU_ASSERT_EQUAL(backend_tsc_khz(g.b), 1000000);
	g.state.tsc = 1234000;
	for (int pass = 0; pass < 3; pass++) {
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, VCPU_HALT);
		r = regs_of(&g);
		CU_ASSERT_EQUAL(r.gpr[CPU_R8], 1234000);
		CU_ASSERT_EQUAL(r.gpr[CPU_R9], 1234040);
		CU_ASSERT_EQUAL(r.gpr[CPU_R11], 5);
		CU_ASSERT_EQUAL(r.gpr[CPU_R12], 10);
		s = state_of(&g);
		CU_ASSERT_EQUAL(s.tsc, (5ull << 32) + 50);
	}
	finish(&g);
}

/* ---- a run and the same run in steps are one and the same ---- */

static void compare_run_and_steps(struct guest *g, uint64_t *steps)
{
	struct vcpu_debug step = { .step = true };
	struct cpu_state run, stepped;
	uint8_t *before = malloc(RAM), *after = malloc(RAM);
	uint64_t count, from;

	CU_ASSERT_FATAL(before && after);
	memcpy(before, g->mem.base, RAM);
	CU_ASSERT_EQUAL(backend_load(g->b, &g->state), 0);
	from = backend_icount(g->b);
	run_to(g, VCPU_HALT);
	count = backend_icount(g->b) - from;
	run = state_of(g);
	memcpy(after, g->mem.base, RAM);

	memcpy(g->mem.base, before, RAM);
	backend_code_changed(g->b, 0, RAM);
	CU_ASSERT_EQUAL(backend_set_debug(g->b, &step), 0);
	CU_ASSERT_EQUAL(backend_load(g->b, &g->state), 0);
	from = backend_icount(g->b);
	*steps = 0;
	do {
		CU_ASSERT_EQUAL(backend_run(g->b, &g->exit), 0);
		(*steps)++;
	} while (g->exit.kind == VCPU_DEBUG && *steps < 10000000);
	CU_ASSERT_EQUAL(g->exit.kind, VCPU_HALT);
	CU_ASSERT_EQUAL(backend_icount(g->b) - from, count);
	stepped = state_of(g);
	CU_ASSERT_EQUAL(memcmp(&run, &stepped, sizeof(run)), 0);
	CU_ASSERT_EQUAL(memcmp(after, g->mem.base, RAM), 0);
	CU_ASSERT_EQUAL(backend_set_debug(g->b, &(struct vcpu_debug){ 0 }), 0);
	free(before);
	free(after);
}

GUEST(flags, "mov $100, %ecx\n 1: pushfq\n pop %rax\n xor %rax, %rbx\n rol %rbx\n pushf\n pop %dx\n"
	     "add %dx, %bx\n push %rbx\n andq $0xcd5, (%rsp)\n popfq\n adc %rbx, %rbx\n rdtsc\n"
	     "add %rax, %rsi\n lahf\n add %rax, %rbx\n cpuid\n mov $0x1100, %edx\n out %eax, %dx\n"
	     "in %dx, %eax\n int $0x42\n dec %r15d\n mov %rsi, %rdi\n and $0xff, %edi\n add "
	     "$0x200000, %edi\n"
	     "mov $5, %ecx\n rep stosb\n cmp $-100, %r15d\n jne 1b\n hlt\n"
	     "flags_handler: add 16(%rsp), %rbx\n iretq");
LABEL(flags, handler);

static void runs_the_same_in_steps(void)
{
	struct guest g;
	uint64_t steps;

	start(&g, BYTES(flags));
	set_gate(&g, 0x42, AT(flags, handler), 0x8e, 0);
	compare_run_and_steps(&g, &steps);
	CU_ASSERT_EQUAL(steps, 100 * 30 + 2);
	finish(&g);
}

/* A periodic timer interrupts odd code; its handler mixes the TSC and the interrupted RIP in. */
GUEST(timed,
	"mov $0xfee00000, %ebx\n movl $0x1ff, 0xf0(%rbx)\n movl $0xb, 0x3e0(%rbx)\n"
	"movl $0x2007b, 0x320(%rbx)\n movl $777, 0x380(%rbx)\n xor %r8d, %r8d\n xor %r9d, %r9d\n"
	"mov $2000, %ecx\n sti\n 1: add %rcx, %rax\n imul $3, %rax\n cli\n rol %rax\n xor %rcx, "
	"%rax\n sti\n"
	"push %rcx\n mov $0x200000, %edi\n mov $20, %ecx\n rep stosl\n pop %rcx\n loop 1b\n"
	"mov 0x390(%rbx), %r10d\n hlt\n mov 0x390(%rbx), %r11d\n rdtsc\n cli\n hlt\n"
	"timed_handler: push %rax\n push %rdx\n rdtsc\n rol %r8\n add %rax, %r8\n xor 16(%rsp), "
	"%r8\n"
	"inc %r9\n movl $0, 0xb0(%rbx)\n pop %rdx\n pop %rax\n iretq");
LABEL(timed, handler);

static void interrupts_come_at_exact_instructions(void)
{
	struct guest g;
	uint64_t steps;

	start_with(&g, BYTES(timed), true);
	set_gate(&g, TIMER, AT(timed, handler), 0x8e, 0);
	compare_run_and_steps(&g, &steps);
	CU_ASSERT_TRUE(regs_of(&g).gpr[CPU_R9] > 300);
	finish(&g);
}

static void says_which_steps_an_interrupt_took(void)
{
	struct vcpu_exit exit = { 0 };
	unsigned taken = 0;
	struct guest g;

	start_with(&g, BYTES(timed), true);
	set_gate(&g, TIMER, AT(timed, handler), 0x8e, 0);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	CU_ASSERT_EQUAL(backend_set_debug(g.b, &(struct vcpu_debug){ .step = true }), 0);
	for (unsigned i = 0; i < 20000; i++) {
		CU_ASSERT_EQUAL_FATAL(backend_run(g.b, &exit), 0);
		CU_ASSERT_EQUAL_FATAL(exit.why, VCPU_STEP);
		CU_ASSERT_EQUAL_FATAL(exit.interrupt, exit.rip == AT(timed, handler));
		taken += exit.interrupt;
	}
	CU_ASSERT(taken > 20);
	finish(&g);
}

GUEST(sleeper,
	"mov $0xfee00000, %ebx\n movl $0x1ff, 0xf0(%rbx)\n movl $2, 0x3e0(%rbx)\n"
	"movl $0x7b, 0x320(%rbx)\n movl $1000000, 0x380(%rbx)\n rdtsc\n mov %rax, %r8\n sti\n hlt\n"
	"sleeper_a: rdtsc\n mov %rax, %r9\n hlt\n sleeper_handler: mov (%rsp), %r10\n movl $0, "
	"0xb0(%rbx)\n iretq");
LABEL(sleeper, a);
LABEL(sleeper, handler);

static void sleeps_at_once(void)
{
	struct guest g;
	struct cpu_regs r;

	start_with(&g, BYTES(sleeper), true);
	set_gate(&g, TIMER, AT(sleeper, handler), 0x8e, 0);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_HALT);
	r = regs_of(&g);
	CU_ASSERT_EQUAL(r.gpr[CPU_R10], AT(sleeper, a));
	/* Eight million ticks, from one instruction before the first rdtsc; then three of the handler. */
	CU_ASSERT_EQUAL(r.gpr[CPU_R9] - r.gpr[CPU_R8], 8000000 - 10 + 30);
	finish(&g);
}

/* ---- code ---- */

/* Code runs at FAR and is written through the identity map, and the other way round. */
GUEST(alias,
	"mov $0x40000000, %r8d\n mov $0x400000, %r9d\n mov $20, %ecx\n xor %ebx, %ebx\n"
	"1: incl 1(%r9)\n call *%r8\n add %eax, %ebx\n incl 1(%r8)\n call *%r9\n add %eax, %ebx\n"
	"loop 1b\n hlt");

static void notices_code_written_through_another_address(void)
{
	static const uint8_t code[] = { 0xb8, 0, 0, 0, 0, 0xc3 }; /* mov $0, %eax; ret */
	struct guest g;

	start(&g, BYTES(alias));
	set_page(&g, 0, FRAMES | PW);
	gmem_write(&g.mem, FRAMES, code, sizeof(code));
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RBX], 820);
	finish(&g);
}

GUEST(self,
	"mov $10, %ecx\n xor %ebx, %ebx\n 1: incb 3f+1(%rip)\n 3: mov $0, %eax\n add %eax, %ebx\n"
	"dec %ecx\n jnz 1b\n hlt");

static void counts_code_that_changes_itself(void)
{
	struct guest g;
	uint64_t steps;

	start(&g, BYTES(self));
	compare_run_and_steps(&g, &steps);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RBX], 55);
	CU_ASSERT_EQUAL(steps, 2 + 10 * 5 + 1);
	finish(&g);
}

/* More hooked instructions than there are hooks at first, in blocks of many. */
static void runs_code_full_of_port_accesses(void)
{
	uint8_t code[3000];
	struct guest g;

	memset(code, 0xef, sizeof(code));
	for (size_t i = 50; i < sizeof(code); i += 50)
		memcpy(code + i, "\xeb\x00", 2); /* jmp to the next */
	code[sizeof(code) - 1] = 0xf4;
	start(&g, code, sizeof(code));
	for (int pass = 1; pass <= 2; pass++) {
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, VCPU_HALT);
		CU_ASSERT_EQUAL(g.n_ports, (unsigned)pass * (3000 - 59 * 2 - 1));
	}
	CU_ASSERT_EQUAL(backend_icount(g.b), 2 * (3000 - 59));
	finish(&g);
}

/* ---- debugging ---- */

GUEST(watched,
	"mov $0x200000, %ebx\n incq 8(%rbx)\n watched_a: mov (%rbx), %rax\n mov %rax, 0x10(%rbx)\n"
	"lea 0x18(%rbx), %rsp\n push %rax\n watched_b: mov %rbx, %rsi\n lea 8(%rbx), %edi\n movsq\n"
	"watched_c: movups %xmm0, 4(%rbx)\n watched_d: nop\n hlt");
LABEL(watched, a);
LABEL(watched, b);
LABEL(watched, c);
LABEL(watched, d);

static void watches_a_page_in_use(void)
{
	const struct vcpu_watch rows[] = {
		{ .gva = DATA + 8, .len = 8, .on_write = true },
		{ .gva = DATA + 0x10, .len = 4, .on_write = true },
	};
	const struct vcpu_debug d = { .watches = rows, .n_watches = 2 };
	const uint64_t rips[] = { AT(watched, a), AT(watched, b) - 6, AT(watched, b),
		AT(watched, c), AT(watched, d) };
	const uint64_t addrs[] = { DATA + 8, DATA + 0x10, DATA + 0x10, DATA + 8, DATA + 0x10 };
	struct guest g;

	start(&g, BYTES(watched));
	CU_ASSERT_EQUAL(backend_set_debug(g.b, &d), 0);
	for (size_t i = 0; i < sizeof(rips) / sizeof(rips[0]); i++) {
		run_to(&g, VCPU_DEBUG);
		CU_ASSERT_EQUAL(g.exit.why, VCPU_WATCHPOINT);
		CU_ASSERT_EQUAL(g.exit.addr, addrs[i]);
		if (i != 1)
			CU_ASSERT_EQUAL(g.exit.rip, rips[i]);
		CU_ASSERT_EQUAL(regs_of(&g).rip, g.exit.rip);
	}
	run_to(&g, VCPU_HALT);
	finish(&g);
}

static void watches_single_bytes_and_refuses_odd_ones(void)
{
	static const struct vcpu_watch bad[] = {
		{ .gva = DATA, .len = 0, .on_write = true },
		{ .gva = UINT64_MAX, .len = 2, .on_write = true },
		{ .gva = DATA, .len = 8 },
	};
	const struct vcpu_watch byte = { .gva = DATA + 9, .len = 1, .on_read = true };
	struct guest g;

	start(&g, BYTES(watched));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_EQUAL(backend_set_debug(g.b,
					&(struct vcpu_debug){ .watches = &bad[i], .n_watches = 1 }),
			-EINVAL);
	CU_ASSERT_EQUAL(
		backend_set_debug(g.b, &(struct vcpu_debug){ .watches = &byte, .n_watches = 1 }),
		0);
	run_to(&g, VCPU_DEBUG);
	CU_ASSERT_EQUAL(g.exit.why, VCPU_WATCHPOINT);
	CU_ASSERT_EQUAL(g.exit.addr, DATA + 9);
	CU_ASSERT_EQUAL(g.exit.rip, AT(watched, a));
	finish(&g);
}

GUEST(reads_writes,
	"mov 0x200008, %rax\n reads_writes_a: mov %rax, 0x200000\n reads_writes_b: hlt");
LABEL(reads_writes, a);
LABEL(reads_writes, b);

/* A set that differs from the last in one respect is another one. */
static void takes_up_watches_that_changed_a_little(void)
{
	static const struct {
		struct vcpu_watch w;
		bool at_read;
	} rows[] = {
		{ { .gva = DATA, .len = 8, .on_write = true }, false },
		{ { .gva = DATA, .len = 8, .on_write = true }, false },
		{ { .gva = DATA, .len = 16, .on_write = true }, false },
		{ { .gva = DATA, .len = 16, .on_read = true, .on_write = true }, true },
		{ { .gva = DATA, .len = 16, .on_read = true }, true },
		{ { .gva = DATA + 8, .len = 16, .on_read = true }, true },
	};
	struct guest g;

	start(&g, BYTES(reads_writes));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CU_ASSERT_EQUAL(backend_set_debug(g.b, &(struct vcpu_debug){ .watches = &rows[i].w,
							       .n_watches = 1 }),
			0);
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, VCPU_DEBUG);
		CU_ASSERT_EQUAL(g.exit.why, VCPU_WATCHPOINT);
		CU_ASSERT_EQUAL(
			g.exit.rip, rows[i].at_read ? AT(reads_writes, a) : AT(reads_writes, b));
	}
	finish(&g);
}

GUEST(trapping, "pushfq\n orq $0x100, (%rsp)\n popfq\n nop\n trapping_a: nop\n hlt");
LABEL(trapping, a);

static void lets_the_guest_trace_itself(void)
{
	struct vcpu_debug step = { .step = true };
	struct guest g;

	start(&g, BYTES(trapping));
	expect_fault(&g, CPU_VEC_DB, AT(trapping, a), NO_ERROR);
	CU_ASSERT_EQUAL(read64(&g, regs_of(&g).gpr[CPU_RSP] + 16), 0x102);
	CU_ASSERT_EQUAL(state_of(&g).dr6, 0xffff4ff0);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	CU_ASSERT_EQUAL(backend_set_debug(g.b, &step), 0);
	for (int i = 0; i < 3; i++)
		run_to(&g, VCPU_DEBUG);
	CU_ASSERT_EQUAL(regs_of(&g).rflags, 0x102);
	run_to(&g, VCPU_DEBUG);
	CU_ASSERT_EQUAL(g.exit.rip, STUBS + 16 * CPU_VEC_DB);
	finish(&g);
}

GUEST(counted, "mov $1000, %ecx\n 1: counted_a: inc %eax\n counted_b: dec %ecx\n jnz 1b\n hlt");
LABEL(counted, a);
LABEL(counted, b);

static void stops_at_hundreds_of_breakpoints(void)
{
	uint64_t breaks[300];
	struct vcpu_debug d = { .breaks = breaks, .n_breaks = 300 };
	struct guest g;

	start(&g, BYTES(counted));
	for (size_t i = 0; i < 299; i++)
		breaks[i] = DATA + 997 * i;
	breaks[299] = AT(counted, b);
	CU_ASSERT_EQUAL(backend_set_debug(g.b, &d), 0);
	for (unsigned i = 1; i <= 1000; i++) {
		if (!run_to(&g, VCPU_DEBUG))
			break;
		CU_ASSERT_EQUAL(g.exit.rip, AT(counted, b));
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], i);
		CU_ASSERT_EQUAL(backend_icount(g.b), 2 + 3 * (i - 1));
	}
	run_to(&g, VCPU_HALT);
	finish(&g);
}

/* ---- bursts ---- */

struct limit {
	uint64_t rip;
	uint8_t opcode; /* or 0 */
	unsigned asked;
};

static bool leave_at(void *ctx, uint64_t rip, const uint8_t *insn, size_t len)
{
	struct limit *limit = ctx;

	CU_ASSERT_TRUE(insn && len >= 1 && len <= 15);
	limit->asked++;
	return rip == limit->rip || (limit->opcode && insn[0] == limit->opcode);
}

static void burst(struct guest *g, uint64_t max, struct limit *limit)
{
	CU_ASSERT_EQUAL(backend_tcg.burst(g->b, &g->exit, max, leave_at, limit), 0);
	CU_ASSERT_EQUAL(g->exit.kind, VCPU_DEBUG);
	CU_ASSERT_EQUAL(g->exit.why, VCPU_STEP);
	CU_ASSERT_EQUAL(g->exit.rip, regs_of(g).rip);
}

static void runs_a_burst(void)
{
	struct limit limit = { .rip = AT(counted, b) }, none = { 0 };
	struct guest g;

	start(&g, BYTES(counted));
	burst(&g, 100, &limit);
	CU_ASSERT_EQUAL(g.exit.rip, AT(counted, b));
	burst(&g, 30, &none);
	CU_ASSERT_EQUAL(backend_icount(g.b), 32);
	CU_ASSERT_EQUAL(g.exit.rip, AT(counted, b));
	none.asked = 0;
	burst(&g, 2000, &none);
	CU_ASSERT_EQUAL(backend_icount(g.b), 2032);
	CU_ASSERT_TRUE(none.asked < 100); /* where code is new, and not each time it runs */
	finish(&g);
	start(&g, BYTES(middle));
	CU_ASSERT_EQUAL(backend_tcg.burst(g.b, &g.exit, 100, leave_at, &none), 0);
	CU_ASSERT_EQUAL(g.exit.kind, VCPU_PORT);
	CU_ASSERT_EQUAL(g.exit.rip, AT(middle, a));
	CU_ASSERT_EQUAL(regs_of(&g).rip, AT(middle, a));
	CU_ASSERT_EQUAL(g.n_ports, 0);
	finish(&g);
}

static void ends_bursts_at_their_maximum(void)
{
	struct limit none = { 0 };
	uint64_t total = 0;
	struct guest g;

	start(&g, BYTES(counted));
	for (uint64_t max = 1; max < 50; max++) {
		burst(&g, max, &none);
		total += max;
		CU_ASSERT_EQUAL(backend_icount(g.b), total);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], (total + 1) / 3);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RCX], 1000 - total / 3);
	}
	finish(&g);
}

static void bursts_end_at_a_halt_and_take_events(void)
{
	struct limit none = { 0 };
	struct guest g;

	start(&g, BYTES(counted));
	g.state.regs.gpr[CPU_RCX] = 1;
	g.state.regs.rip = AT(counted, a);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	CU_ASSERT_EQUAL(backend_tcg.burst(g.b, &g.exit, 100, leave_at, &none), 0);
	CU_ASSERT_EQUAL(g.exit.kind, VCPU_HALT);
	CU_ASSERT_EQUAL(g.exit.rip, CODE + (uint64_t)(counted_end - counted_start) - 1);
	CU_ASSERT_EQUAL(regs_of(&g).rip, g.exit.rip);
	g.state.event = (struct cpu_event){ .pending = true, .vector = CPU_VEC_UD };
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	burst(&g, 1, &none);
	CU_ASSERT_EQUAL(g.exit.rip, STUBS + 16 * CPU_VEC_UD); /* delivered, and no more */
	finish(&g);
}

/* The same code, translated in pieces that overlap; what leaves is another place each time. */
static void ends_bursts_where_they_must(void)
{
	struct limit limits[2] = { { .rip = AT(counted, b) }, { .rip = AT(counted, a) } };
	struct limit none = { 0 };
	struct guest g;

	start(&g, BYTES(counted));
	burst(&g, 300, &none);
	for (uint64_t i = 0; i < 40; i++) {
		struct limit *limit = &limits[i & 1];

		limit->asked = 0;
		burst(&g, 100, limit);
		CU_ASSERT_EQUAL(g.exit.rip, limit->rip);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], 101 + i / 2);
		CU_ASSERT_TRUE(limit->asked > 0);
	}
	/* It begins at one, and comes by again. */
	burst(&g, 100, &limits[1]);
	CU_ASSERT_EQUAL(g.exit.rip, limits[1].rip);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], 121);
	finish(&g);
}

static void a_kick_leaves_a_burst_one_instruction(void)
{
	struct limit none = { 0 };
	struct guest g;

	start(&g, BYTES(counted));
	for (uint64_t i = 1; i < 20; i++) {
		backend_kick(g.b);
		burst(&g, 1000, &none);
		CU_ASSERT_EQUAL(backend_icount(g.b), i);
	}
	finish(&g);
}

static void ends_bursts_at_breakpoints_and_watchpoints(void)
{
	const uint64_t at = AT(counted, a);
	const struct vcpu_watch watch = { .gva = DATA + 6, .len = 4, .on_write = true };
	struct limit none = { 0 };
	struct guest g;

	start(&g, BYTES(counted));
	burst(&g, 300, &none);
	CU_ASSERT_EQUAL(
		backend_set_debug(g.b, &(struct vcpu_debug){ .breaks = &at, .n_breaks = 1 }), 0);
	for (unsigned i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(backend_tcg.burst(g.b, &g.exit, 100, leave_at, &none), 0);
		CU_ASSERT_EQUAL(g.exit.why, VCPU_BREAKPOINT);
		CU_ASSERT_EQUAL(g.exit.rip, at);
	}
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	gmem_write(&g.mem, CODE, BYTES(watched));
	backend_code_changed(g.b, CODE, (size_t)(watched_end - watched_start));
	CU_ASSERT_EQUAL(
		backend_set_debug(g.b, &(struct vcpu_debug){ .watches = &watch, .n_watches = 1 }),
		0);
	CU_ASSERT_EQUAL(backend_tcg.burst(g.b, &g.exit, 100, leave_at, &none), 0);
	CU_ASSERT_EQUAL(g.exit.why, VCPU_WATCHPOINT);
	CU_ASSERT_TRUE(g.exit.wrote);
	CU_ASSERT_EQUAL(g.exit.rip, AT(watched, a));
	finish(&g);
}

/* More watched pages at once than one: its code, what it reads, what it writes, each across a border. */
GUEST(crossing, "mov $0x200ffc, %esi\n mov $0x202ffa, %edi\n mov $0xabcd, %eax\n"
		"crossing_a: movsq\n crossing_b: hlt");
LABEL(crossing, a);
LABEL(crossing, b);

static void watches_across_pages(void)
{
	const uint64_t code = 0x102fff - (uint64_t)(crossing_a - crossing_start);
	struct vcpu_watch all[] = {
		{ .gva = 0x200000, .len = 0x4000, .on_read = true },
		{ .gva = 0x202fff, .len = 2, .on_write = true },
		{ .gva = 0x102000, .len = 0x2000, .on_write = true },
	};
	struct guest g;

	start(&g, BYTES(crossing));
	gmem_write(&g.mem, code, BYTES(crossing));
	write64(&g, 0x200ffc, 0x1122334455667788);
	g.state.regs.rip = code;
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	CU_ASSERT_EQUAL(
		backend_set_debug(g.b, &(struct vcpu_debug){ .watches = all, .n_watches = 3 }), 0);
	run_to(&g, VCPU_DEBUG);
	CU_ASSERT_EQUAL(g.exit.why, VCPU_WATCHPOINT);
	CU_ASSERT_EQUAL(g.exit.addr, 0x202fff);
	CU_ASSERT_TRUE(g.exit.wrote);
	CU_ASSERT_EQUAL(g.exit.rip, code + (uint64_t)(crossing_b - crossing_start));
	CU_ASSERT_EQUAL(read64(&g, 0x202ffa), 0x1122334455667788);
	run_to(&g, VCPU_HALT);
	finish(&g);
}

GUEST(vexed, "inc %eax\n inc %eax\n vexed_a: vaddps %xmm0, %xmm0, %xmm0\n inc %eax\n hlt");
LABEL(vexed, a);

static void ends_bursts_before_the_unknown(void)
{
	struct limit limit = { .opcode = 0xc5 };
	struct guest g;

	start(&g, BYTES(vexed));
	burst(&g, 100, &limit);
	CU_ASSERT_EQUAL(g.exit.rip, AT(vexed, a));
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], 2);
	finish(&g);
}

GUEST(reworked, "1: reworked_a: mov $1, %eax\n reworked_b: add %rax, %rbx\n inc %ecx\n jmp 1b");
LABEL(reworked, a);
LABEL(reworked, b);

static void notices_code_changed_between_bursts(void)
{
	struct limit limit = { .opcode = 0xf4 };
	uint64_t sum = 0;
	struct guest g;

	start(&g, BYTES(reworked));
	for (uint8_t i = 1; i < 60; i++) {
		gmem_fill(&g.mem, AT(reworked, a) + 1, i, 1);
		for (uint64_t left = 8, max = 1 + i % 8, n; left; left -= n) {
			n = max < left ? max : left;
			burst(&g, n, &limit);
		}
		sum += 2u * i;
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RBX], sum);
		CU_ASSERT_EQUAL(g.exit.rip, CODE);
	}
	gmem_fill(&g.mem, AT(reworked, b), 0xf4, 1);
	burst(&g, 8, &limit);
	CU_ASSERT_EQUAL(g.exit.rip, AT(reworked, b));
	finish(&g);
}

GUEST(vicious, "vicious_a: ud2");
LABEL(vicious, a);

/* Nothing is ever retired, and the stack does not run out. */
static void ends_bursts_that_get_nowhere(void)
{
	struct limit none = { 0 };
	struct guest g;

	start(&g, BYTES(vicious));
	set_gate(&g, CPU_VEC_UD, AT(vicious, a), 0x8e, 1);
	burst(&g, UINT64_MAX / 2, &none);
	CU_ASSERT_EQUAL(g.exit.rip, AT(vicious, a));
	CU_ASSERT_EQUAL(backend_icount(g.b), 0);
	finish(&g);
}

/* More pieces of code than a burst can tell apart: it forgets and starts again. */
static void runs_a_lot_of_code_in_bursts(void)
{
	struct limit none = { 0 };
	struct guest g;
	uint64_t pieces = 40000, done = 0, before;

	start(&g, BYTES(vicious));
	gmem_fill(&g.mem, CODE, 0x90, 0x80000);
	for (uint64_t i = 0; i < pieces; i++) /* inc %eax; jmp over a nop */
		gmem_write(&g.mem, CODE + 5 * i, (const uint8_t[]){ 0xff, 0xc0, 0xeb, 0x01 }, 4);
	while (done < 2 * pieces) {
		before = done;
		burst(&g, 2 * pieces - done, &none);
		done = backend_icount(g.b);
		if (done == before)
			break;
	}
	CU_ASSERT_EQUAL(done, 2 * pieces);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], pieces);
	CU_ASSERT_EQUAL(regs_of(&g).rip, CODE + 5 * pieces);
	finish(&g);
}

/* ---- code that is written to ---- */

/* Three addresses of one page. Each writes `mov $n, %eax` where each other one runs it. */
GUEST(aliases, "xor %ebp, %ebp\n xor %r12d, %r12d\n mov $100, %r15d\n 1: xor %r13d, %r13d\n"
	       "2: xor %r14d, %r14d\n 3: mov 0x200000(,%r13,8), %rbx\n"
	       "mov 0x200000(,%r14,8), %rsi\n inc %r12b\n mov %r12b, 1(%rbx)\n call *%rsi\n"
	       "cmp %r12d, %eax\n je 4f\n inc %ebp\n 4: inc %r14d\n cmp $3, %r14d\n jne 3b\n"
	       "inc %r13d\n cmp $3, %r13d\n jne 2b\n dec %r15d\n jne 1b\n hlt");

static const uint8_t mov_eax_ret[] = { 0xb8, 0, 0, 0, 0, 0xc3 };

static void show_frame(struct guest *g, const uint8_t *code, size_t len)
{
	set_page(g, 0, FRAMES | PW);
	set_page(g, 1, FRAMES | PW);
	write64(g, DATA, FRAMES);
	write64(g, DATA + 8, FAR);
	write64(g, DATA + 16, FAR + PAGE);
	gmem_write(&g->mem, FRAMES, code, len);
}

static void runs_what_was_written_through_any_address(void)
{
	struct guest g;

	start(&g, BYTES(aliases));
	show_frame(&g, mov_eax_ret, sizeof(mov_eax_ret));
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RBP], 0);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_R15], 0);
	finish(&g);
}

/* movb $n, 1(%rip): the operand of the mov $0, %al behind it */
static const uint8_t own_operand[] = { 0xc6, 5, 1, 0, 0, 0, 0, 0xb0, 0, 0xc3 };
GUEST(operand, "xor %ebp, %ebp\n xor %r12d, %r12d\n mov $100, %r15d\n mov $0x40000000, %ebx\n"
	       "1: inc %r12b\n mov %r12b, 6(%rbx)\n call *%rbx\n cmp %r12b, %al\n je 2f\n"
	       "inc %ebp\n 2: dec %r15d\n jne 1b\n hlt");

static void runs_what_the_instruction_before_wrote(void)
{
	struct guest g;

	start(&g, BYTES(operand));
	show_frame(&g, own_operand, sizeof(own_operand));
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RBP], 0);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_R15], 0);
	finish(&g);
}

GUEST(serialized, "xor %ebp, %ebp\n xor %r12d, %r12d\n mov $100, %r15d\n mov $0x40000000, %ebx\n"
		  "1: inc %r12b\n mov %r12b, 1(%rbx)\n mov %cr3, %rax\n mov %rax, %cr3\n"
		  "call *%rbx\n cmp %r12d, %eax\n je 2f\n inc %ebp\n 2: inc %r12b\n"
		  "mov %r12b, 1(%rbx)\n invlpg (%rbx)\n call *%rbx\n cmp %r12d, %eax\n je 3f\n"
		  "inc %ebp\n 3: dec %r15d\n jne 1b\n hlt");

static void runs_what_was_written_before_a_flush(void)
{
	struct guest g;

	start(&g, BYTES(serialized));
	show_frame(&g, mov_eax_ret, sizeof(mov_eax_ret));
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RBP], 0);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_R15], 0);
	finish(&g);
}

/* The host writes to code at three addresses, and behind the out itself. */
GUEST(host_patch,
	"xor %ebp, %ebp\n xor %r12d, %r12d\n mov $0x1100, %edx\n mov $100, %r15d\n"
	"1: xor %r14d, %r14d\n 2: mov 0x200000(,%r14,8), %rsi\n inc %r12b\n mov %r12d, %eax\n"
	"mov $0x400001, %edi\n out %eax, %dx\n call *%rsi\n cmp %r12d, %eax\n je 3f\n"
	"inc %ebp\n 3: inc %r14d\n cmp $3, %r14d\n jne 2b\n inc %r12b\n mov %r12d, %eax\n"
	"lea 4f(%rip), %rdi\n inc %rdi\n out %eax, %dx\n 4: mov $0, %al\n cmp %r12b, %al\n"
	"je 5f\n inc %ebp\n 5: dec %r15d\n jne 1b\n hlt");

static void runs_what_the_host_wrote(void)
{
	struct guest g;

	start(&g, BYTES(host_patch));
	g.patch = true;
	show_frame(&g, mov_eax_ret, sizeof(mov_eax_ret));
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RBP], 0);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_R15], 0);
	CU_ASSERT_EQUAL(g.n_ports, 400);
	finish(&g);
}

/* Twenty pages of the kernel's and one of everybody's, in each a number; then to CPL 3 and a port access from there. */
GUEST(many_pages,
	"xor %ebx, %ebx\n mov $0x40000000, %r8d\n mov $20, %r9d\n"
	"1: call *%r8\n add %eax, %ebx\n add $0x1000, %r8\n dec %r9d\n jnz 1b\n"
	"mov $0x500000, %r8d\n call *%r8\n add %eax, %ebx\n"
	"push $0x1b\n push $0x200800\n push $0x3202\n push $0x23\n lea 2f(%rip), %rax\n push %rax\n"
	"iretq\n 2: mov $0x1200, %edx\n out %eax, %dx\n int $0x41\n"
	"many_pages_again: hlt");
LABEL(many_pages, again);

/* What the CPU may not fetch from at CPL 3 is changed meanwhile, and more than can be remembered page by page. */
static void runs_what_the_host_wrote_while_the_user_ran(void)
{
	uint8_t code[] = { 0xb8, 1, 0, 0, 0, 0xc3 }; /* mov $1, %eax; ret */
	struct guest g;

	start(&g, BYTES(many_pages));
	set_gate(&g, 0x41, AT(many_pages, again), 0xee, 0);
	for (uint64_t i = 0; i < 20; i++)
		set_page(&g, i, (FRAMES + i * PAGE) | PW);
	for (uint8_t n = 1; n < 4; n++) {
		code[1] = n;
		for (uint64_t i = 0; i <= 20; i++) {
			uint64_t at = i == 20 ? 0x500000 : FRAMES + i * PAGE;

			gmem_write(&g.mem, at, code, sizeof(code));
			backend_code_changed(g.b, at, sizeof(code));
		}
		if (n > 1)
			run_to(&g, VCPU_HALT);
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, VCPU_PORT);
		CU_ASSERT_EQUAL(g.exit.port, FAULT_PORT);
		CU_ASSERT_EQUAL(state_of(&g).seg[CPU_CS].selector & 3, 3);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RBX], 21u * n);
	}
	finish(&g);
}

GUEST(calls_far, "mov $0x40000000, %ebx\n call *%rbx\n hlt\n"
		 "calls_far_look: mov $0x40000000, %ebx\n mov (%rbx), %rcx\n hlt");
LABEL(calls_far, look);

/* Its code changes while the page is not there, or is data, or shows something else. */
static void runs_what_the_host_wrote_where_nothing_could_run(void)
{
	static const uint64_t meanwhile[] = { 0, FRAMES | PW | NX, (FRAMES + PAGE) | PW };
	uint8_t code[] = { 0xb8, 1, 0, 0, 0, 0xc3 };
	struct guest g;

	start(&g, BYTES(calls_far));
	gmem_write(&g.mem, FRAMES, code, sizeof(code));
	for (uint8_t i = 0; i < sizeof(meanwhile) / sizeof(meanwhile[0]); i++) {
		set_page(&g, 0, FRAMES | PW);
		g.state.regs.rip = CODE;
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, VCPU_HALT);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], i + 1u);
		set_page(&g, 0, meanwhile[i]);
		g.state.regs.rip = AT(calls_far, look);
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, meanwhile[i] ? VCPU_HALT : VCPU_PORT);
		code[1] = (uint8_t)(i + 2);
		gmem_write(&g.mem, FRAMES, code, sizeof(code));
		backend_code_changed(g.b, FRAMES, sizeof(code));
	}
	finish(&g);
}

GUEST(first_write, "mov $0x40100000, %ebx\n movb $7, first_write_a + 1 - first_write_start(%rbx)\n"
		   "first_write_a: mov $0, %al\n hlt");
LABEL(first_write, a);

/* Nothing was ever at that address when it is written to, and the next instruction is what is written. */
static void runs_what_was_written_by_the_first_access(void)
{
	struct guest g;

	start(&g, BYTES(first_write));
	map_page(&g, FAR + CODE, CODE | PW);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX] & 0xff, 7);
	finish(&g);
}

/* Whatever is said to have changed, what did not runs on, and what did is seen. */
static void takes_any_range_for_changed_code(void)
{
	static const struct {
		uint64_t gpa, len;
	} rows[] = {
		{ 0, 0 },
		{ RAM, 10 },
		{ RAM - 4, 100 },
		{ UINT64_MAX - 3, 2 },
		{ UINT64_MAX - 3, 100 },
		{ CODE, UINT64_MAX },
		{ 0, UINT64_MAX },
		{ CODE - 1, 2 },
		{ CODE - PAGE - 1, 2 * PAGE },
	};
	struct guest g;

	start(&g, BYTES(counted));
	for (uint8_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool there = rows[i].gpa <= CODE && rows[i].len > CODE - rows[i].gpa;

		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, VCPU_HALT);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], 1000);
		if (there)
			gmem_fill(&g.mem, CODE + 1, 1 + i, 1); /* another count */
		backend_code_changed(g.b, rows[i].gpa, (size_t)rows[i].len);
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, VCPU_HALT);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], there ? 0x300u + 1 + i : 1000);
		gmem_write(&g.mem, CODE, counted_start, 8);
		backend_code_changed(g.b, CODE, 8);
	}
	finish(&g);
}

GUEST(no_address, "no_address_a: mov (%rbx), %rax\n no_address_b: mov %rax, (%rbx)\n"
		  "no_address_c: incl (%rbx)\n no_address_d: movups %xmm0, 0x100(%rbx)\n"
		  "no_address_e: lock xadd %eax, (%rbx)\n no_address_f: rep stosb\n hlt");
LABEL(no_address, a);
LABEL(no_address, b);
LABEL(no_address, c);
LABEL(no_address, d);
LABEL(no_address, e);
LABEL(no_address, f);

static void faults_at_addresses_that_cannot_be(void)
{
	const uint64_t at[] = { AT(no_address, a), AT(no_address, b), AT(no_address, c),
		AT(no_address, d), AT(no_address, e), AT(no_address, f) };
	struct guest g;

	start(&g, BYTES(no_address));
	g.state.regs.gpr[CPU_RCX] = 10;
	for (unsigned bit = 47; bit < 64; bit++) {
		for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
			g.state.regs.gpr[CPU_RBX] = g.state.regs.gpr[CPU_RDI] = DATA | 1ull << bit;
			g.state.regs.rip = at[i];
			CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
			expect_fault(&g, CPU_VEC_GP, at[i], 0);
		}
	}
	finish(&g);
}

static void knows_interrupts_that_are_exceptions(void)
{
	static const struct {
		const char *code;
		size_t len;
		unsigned vector;
	} rows[] = {
		{ CODE_OF("\xcd\x01"), CPU_VEC_DB },
		{ CODE_OF("\xcd\x03"), CPU_VEC_BP },
		{ CODE_OF("\xcd\x0e"), CPU_VEC_PF },
	};
	struct guest g;

	start(&g, BYTES(msrs));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		gmem_write(&g.mem, CODE, rows[i].code, rows[i].len);
		backend_code_changed(g.b, CODE, rows[i].len);
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		expect_fault(&g, rows[i].vector, CODE + rows[i].len, NO_ERROR);
	}
	finish(&g);
}

static void refuses_string_port_accesses(void)
{
	static const char *const codes[] = { "\x6e", "\x6c", "\x6f", "\xf3\x6e" };
	struct guest g;

	start(&g, BYTES(msrs));
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		gmem_write(&g.mem, CODE, codes[i], strlen(codes[i]));
		backend_code_changed(g.b, CODE, strlen(codes[i]));
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, VCPU_REFUSED);
		CU_ASSERT_EQUAL(g.exit.rip, CODE);
		CU_ASSERT_STRING_EQUAL(g.exit.text, "string port access is not supported");
		CU_ASSERT_EQUAL(memcmp(g.exit.insn, codes[i], strlen(codes[i])), 0);
	}
	finish(&g);
}

GUEST(supervisor_call, "syscall\n hlt\n supervisor_call_to: inc %eax\n hlt");
LABEL(supervisor_call, to);

static void a_supervisor_may_make_system_calls(void)
{
	struct guest g;

	start(&g, BYTES(supervisor_call));
	g.state.efer |= CPU_EFER_SCE;
	g.state.star = 8ull << 32;
	g.state.lstar = AT(supervisor_call, to);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], 1);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RCX], CODE + 2);
	CU_ASSERT_EQUAL(state_of(&g).seg[CPU_CS].selector, 8);
	finish(&g);
}

GUEST(paused, "paused_a: pause\n paused_b: rep stosb\n paused_c: pause\n paused_d: hlt");
LABEL(paused, b);
LABEL(paused, c);
LABEL(paused, d);

static void steps_over_a_pause(void)
{
	const uint64_t rips[] = { AT(paused, b), AT(paused, c), AT(paused, d) };
	struct guest g;

	start(&g, BYTES(paused));
	g.state.regs.gpr[CPU_RCX] = 20;
	g.state.regs.gpr[CPU_RDI] = DATA;
	g.state.regs.gpr[CPU_RAX] = 1;
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	CU_ASSERT_EQUAL(backend_set_debug(g.b, &(struct vcpu_debug){ .step = true }), 0);
	for (size_t i = 0; i < sizeof(rips) / sizeof(rips[0]); i++) {
		run_to(&g, VCPU_DEBUG);
		CU_ASSERT_EQUAL(g.exit.rip, rips[i]);
		CU_ASSERT_EQUAL(backend_icount(g.b), i + 1);
	}
	CU_ASSERT_EQUAL(read64(&g, DATA + 12), 0x0101010101010101);
	finish(&g);
}

GUEST(traced_port, "pushfq\n orq $0x100, (%rsp)\n popfq\n out %eax, %dx\n nop\n hlt");

static void shows_the_guests_own_trap_flag_in_steps(void)
{
	struct guest g;

	start(&g, BYTES(traced_port));
	g.state.regs.gpr[CPU_RDX] = PORT;
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	CU_ASSERT_EQUAL(backend_set_debug(g.b, &(struct vcpu_debug){ .step = true }), 0);
	for (int i = 0; i < 20 && !g.n_ports; i++)
		CU_ASSERT_EQUAL(backend_run(g.b, &g.exit), 0);
	CU_ASSERT_EQUAL(g.n_ports, 1);
	CU_ASSERT_EQUAL(g.seen.rflags & CPU_RFLAGS_TF, CPU_RFLAGS_TF);
	finish(&g);
}

GUEST(hand_burst, "mov $0x200000, %edi\n mov $500, %ecx\n mov $1, %al\n rep stosb\n"
		  "mov $0x1b, %ecx\n rdmsr\n mov %cr0, %rbx\n rdtsc\n nop\n nop");

static void bursts_hold_what_is_done_by_hand(void)
{
	struct limit none = { 0 };

	for (uint64_t max = 1; max <= 10; max++) {
		struct guest g;
		uint64_t done = 0;

		start(&g, BYTES(hand_burst));
		while (done < 10) {
			uint64_t before = done;

			burst(&g, max < 10 - done ? max : 10 - done, &none);
			done = backend_icount(g.b);
			if (done == before || done > 10)
				break;
		}
		CU_ASSERT_EQUAL(done, 10);
		CU_ASSERT_EQUAL(read64(&g, DATA + 492), 0x0101010101010101);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RBX], state_of(&g).cr0);
		CU_ASSERT_EQUAL(
			regs_of(&g).rip, CODE + (uint64_t)(hand_burst_end - hand_burst_start));
		finish(&g);
	}
}

/* Room for much, but not for what Unicorn translates to. */
static void says_when_there_is_no_address_space(void)
{
	struct rlimit old, less;
	struct backend_config config;
	struct backend *b = NULL;
	struct err err = { "" };
	struct gmem mem;
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	int r;

	CU_ASSERT_FATAL(f && fscanf(f, "%lu", &pages) == 1);
	fclose(f);
	CU_ASSERT_EQUAL_FATAL(gmem_init(&mem, 0, RAM), 0);
	config = (struct backend_config){ .mem = &mem };
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_AS, &old), 0);
	less = old;
	less.rlim_cur = (rlim_t)pages * PAGE + (512 << 20);
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_AS, &less), 0);
	r = backend_tcg.create(&b, &config, &err);
	setrlimit(RLIMIT_AS, &old);
	CU_ASSERT_EQUAL(r, -ENOMEM);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "ulimit -v"));
	gmem_finish(&mem);
}

GUEST(asks, "mov $0x1100, %edx\n out %eax, %dx\n mov 0x200000, %rbx\n hlt");

static bool freezes_in_the_middle(void *ctx, struct vcpu_exit *exit)
{
	struct guest *g = ctx;
	void *frozen = calloc(1, backend_frozen_size(g->b));

	(void)exit;
	g->n_ports++;
	CU_ASSERT_PTR_NOT_NULL_FATAL(frozen);
	CU_ASSERT_EQUAL(backend_freeze(g->b, frozen), -EBUSY);
	CU_ASSERT_EQUAL(backend_thaw(g->b, frozen), -EBUSY);
	free(frozen);
	return true;
}

static void is_not_frozen_in_the_middle_of_a_block(void)
{
	struct guest g;

	start(&g, BYTES(asks));
	g.b->config.port = freezes_in_the_middle;
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(g.n_ports, 1);
	finish(&g);
	backend_tcg.destroy(NULL);
}

/* Frozen without paging, thawed with it, and the other way round: other things are at an address. */
static void thaws_with_and_without_paging(void)
{
	struct guest g;
	void *frozen[2];

	start(&g, BYTES(asks));
	map_page(&g, DATA, FRAMES | PW);
	write64(&g, DATA, 11);
	write64(&g, FRAMES, 22);
	for (int paged = 0; paged < 2; paged++) {
		g.state.cr0 ^= CPU_CR0_PG;
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		frozen[paged] = calloc(1, backend_frozen_size(g.b));
		CU_ASSERT_PTR_NOT_NULL_FATAL(frozen[paged]);
		CU_ASSERT_EQUAL(backend_freeze(g.b, frozen[paged]), 0);
	}
	for (int turn = 0; turn < 4; turn++) {
		CU_ASSERT_EQUAL(backend_thaw(g.b, frozen[turn & 1]), 0);
		run_to(&g, VCPU_HALT);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RBX], turn & 1 ? 22 : 11);
	}
	free(frozen[0]);
	free(frozen[1]);
	finish(&g);
}

static const struct unit_case cases[] = {
	{ "reads_and_writes_pages_in_any_order", reads_and_writes_pages_in_any_order },
	{ "accesses_across_two_pages_that_lie_apart", accesses_across_two_pages_that_lie_apart },
	{ "follows_its_guests_changes_of_page_tables", follows_its_guests_changes_of_page_tables },
	{ "leaves_every_address_to_its_guest", leaves_every_address_to_its_guest },
	{ "refuses_what_is_not_64_bit_mode", refuses_what_is_not_64_bit_mode },
	{ "faults_before_anything_else_happens", faults_before_anything_else_happens },
	{ "faults_on_fetches_where_they_begin", faults_on_fetches_where_they_begin },
	{ "takes_the_same_faults_over_and_over", takes_the_same_faults_over_and_over },
	{ "delivers_interrupts_of_the_guests_own", delivers_interrupts_of_the_guests_own },
	{ "ends_in_double_and_triple_faults", ends_in_double_and_triple_faults },
	{ "goes_to_user_mode_and_back", goes_to_user_mode_and_back },
	{ "makes_system_calls", makes_system_calls },
	{ "knows_how_long_instructions_are", knows_how_long_instructions_are },
	{ "knows_a_locked_compare", knows_a_locked_compare },
	{ "survives_a_locked_compare", survives_a_locked_compare },
	{ "refuses_registers_that_do_not_exist", refuses_registers_that_do_not_exist },
	{ "control_registers_take_what_a_processor_takes",
		control_registers_take_what_a_processor_takes },
	{ "msrs_take_what_a_processor_takes", msrs_take_what_a_processor_takes },
	{ "xcr0_takes_what_a_processor_takes", xcr0_takes_what_a_processor_takes },
	{ "an_ioapic_remembers_what_is_written", an_ioapic_remembers_what_is_written },
	{ "there_is_no_sse_when_its_guest_says_so", there_is_no_sse_when_its_guest_says_so },
	{ "survives_what_unicorn_aborts_at", survives_what_unicorn_aborts_at },
	{ "gives_back_what_the_guest_wrote", gives_back_what_the_guest_wrote },
	{ "shows_only_features_it_has", shows_only_features_it_has },
	{ "has_xsave_when_it_announces_it", has_xsave_when_it_announces_it },
	{ "counts_swaps_and_draws_when_it_announces_it",
		counts_swaps_and_draws_when_it_announces_it },
	{ "finds_every_kind_of_operand", finds_every_kind_of_operand },
	{ "faults_where_a_processor_would", faults_where_a_processor_would },
	{ "knows_an_instruction_that_goes_on_elsewhere",
		knows_an_instruction_that_goes_on_elsewhere },
	{ "stops_at_exceptions_that_are_asked_for", stops_at_exceptions_that_are_asked_for },
	{ "steps_and_watches_what_it_does_by_hand", steps_and_watches_what_it_does_by_hand },
	{ "runs_what_it_wrote_by_hand", runs_what_it_wrote_by_hand },
	{ "knows_none_of_it_otherwise", knows_none_of_it_otherwise },
	{ "knows_everything_in_the_middle_of_a_block", knows_everything_in_the_middle_of_a_block },
	{ "counts_a_repeated_instruction_once", counts_a_repeated_instruction_once },
	{ "makes_time_of_instructions", makes_time_of_instructions },
	{ "runs_the_same_in_steps", runs_the_same_in_steps },
	{ "interrupts_come_at_exact_instructions", interrupts_come_at_exact_instructions },
	{ "says_which_steps_an_interrupt_took", says_which_steps_an_interrupt_took },
	{ "sleeps_at_once", sleeps_at_once },
	{ "notices_code_written_through_another_address",
		notices_code_written_through_another_address },
	{ "counts_code_that_changes_itself", counts_code_that_changes_itself },
	{ "runs_code_full_of_port_accesses", runs_code_full_of_port_accesses },
	{ "watches_a_page_in_use", watches_a_page_in_use },
	{ "lets_the_guest_trace_itself", lets_the_guest_trace_itself },
	{ "stops_at_hundreds_of_breakpoints", stops_at_hundreds_of_breakpoints },
	{ "runs_a_burst", runs_a_burst },
	{ "ends_bursts_at_their_maximum", ends_bursts_at_their_maximum },
	{ "ends_bursts_where_they_must", ends_bursts_where_they_must },
	{ "ends_bursts_at_breakpoints_and_watchpoints",
		ends_bursts_at_breakpoints_and_watchpoints },
	{ "watches_across_pages", watches_across_pages },
	{ "a_kick_leaves_a_burst_one_instruction", a_kick_leaves_a_burst_one_instruction },
	{ "ends_bursts_before_the_unknown", ends_bursts_before_the_unknown },
	{ "notices_code_changed_between_bursts", notices_code_changed_between_bursts },
	{ "ends_bursts_that_get_nowhere", ends_bursts_that_get_nowhere },
	{ "runs_a_lot_of_code_in_bursts", runs_a_lot_of_code_in_bursts },
	{ "runs_what_was_written_through_any_address", runs_what_was_written_through_any_address },
	{ "runs_what_the_instruction_before_wrote", runs_what_the_instruction_before_wrote },
	{ "runs_what_was_written_before_a_flush", runs_what_was_written_before_a_flush },
	{ "runs_what_the_host_wrote", runs_what_the_host_wrote },
	{ "faults_at_addresses_that_cannot_be", faults_at_addresses_that_cannot_be },
	{ "begins_without_paging", begins_without_paging },
	{ "writes_what_is_read_only_while_wp_is_clear",
		writes_what_is_read_only_while_wp_is_clear },
	{ "runs_nothing_in_a_page_of_data_that_was_read",
		runs_nothing_in_a_page_of_data_that_was_read },
	{ "delivers_events_it_was_loaded_with", delivers_events_it_was_loaded_with },
	{ "keeps_users_from_what_is_not_theirs", keeps_users_from_what_is_not_theirs },
	{ "has_no_apic_once_it_is_switched_off", has_no_apic_once_it_is_switched_off },
	{ "knows_segments_that_were_loaded_from_a_table",
		knows_segments_that_were_loaded_from_a_table },
	{ "tells_what_cpuid_says", tells_what_cpuid_says },
	{ "knows_neither_monitor_nor_mwait", knows_neither_monitor_nor_mwait },
	{ "refuses_operands_outside_of_ram", refuses_operands_outside_of_ram },
	{ "has_no_form_of_xsave_that_it_does_not_announce",
		has_no_form_of_xsave_that_it_does_not_announce },
	{ "bursts_end_at_a_halt_and_take_events", bursts_end_at_a_halt_and_take_events },
	{ "takes_any_range_for_changed_code", takes_any_range_for_changed_code },
	{ "watches_single_bytes_and_refuses_odd_ones", watches_single_bytes_and_refuses_odd_ones },
	{ "knows_interrupts_that_are_exceptions", knows_interrupts_that_are_exceptions },
	{ "refuses_string_port_accesses", refuses_string_port_accesses },
	{ "a_supervisor_may_make_system_calls", a_supervisor_may_make_system_calls },
	{ "steps_over_a_pause", steps_over_a_pause },
	{ "shows_the_guests_own_trap_flag_in_steps", shows_the_guests_own_trap_flag_in_steps },
	{ "bursts_hold_what_is_done_by_hand", bursts_hold_what_is_done_by_hand },
	{ "says_when_there_is_no_address_space", says_when_there_is_no_address_space },
	{ "shows_ram_at_any_address", shows_ram_at_any_address },
	{ "ram_may_lie_anywhere", ram_may_lie_anywhere },
	{ "small_pages_become_a_large_one", small_pages_become_a_large_one },
	{ "runs_what_the_host_wrote_while_the_user_ran",
		runs_what_the_host_wrote_while_the_user_ran },
	{ "runs_what_the_host_wrote_where_nothing_could_run",
		runs_what_the_host_wrote_where_nothing_could_run },
	{ "runs_what_was_written_by_the_first_access", runs_what_was_written_by_the_first_access },
	{ "takes_up_watches_that_changed_a_little", takes_up_watches_that_changed_a_little },
	{ "knows_nothing_of_a_segment_whose_table_is_gone",
		knows_nothing_of_a_segment_whose_table_is_gone },
	{ "is_not_frozen_in_the_middle_of_a_block", is_not_frozen_in_the_middle_of_a_block },
	{ "thaws_with_and_without_paging", thaws_with_and_without_paging },
};

UNIT_MAIN("tcg", cases)
