// SPDX-License-Identifier: ISC
/* One suite of cases over every backend: what a guest does must not depend on who runs it. */
#include "backend.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#include "cpuid_table.h"
#include "err.h"
#include "gmem.h"
#include "paging.h"
#include "unit.h"

enum {
	RAM = 8 << 20,
	PML4 = 0x1000,
	PDPT = 0x2000,
	PD = 0x3000,
	PT = 0x4000, /* and 0x5000: free for cases */
	PD_APIC = 0x6000,
	GDT = 0x7000,
	IDT = 0x8000,
	STUBS = 0x9000, /* 16 bytes per vector */
	VECTORS = 128,
	TIMER_VECTOR = 0x7b,
	CODE = 0x100000,
	DATA = 0x200000,
	OTHER = 0x208000,
	STACK = 0x300000,
	PORT = 0x1100,
	FAULT_PORT = 0x1200, /* a stub reports its vector in RDI */
	PW = 3,
	BIG = 0x83,
	NO_RAM = 0x20000000, /* mapped, but there is nothing */
	DEADLINE_US = 5000000,
};

/* A guest in assembly: its bytes, and offsets of labels in it as AT(name, label). */
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
	struct cpu_state state; /* it started in */
	bool answer;            /* the port callback answers */
	uint32_t in_value;      /* what it answers to `in` */
	unsigned n_ports;
	uint64_t sum;
	bool look, kick; /* at each port access */
	unsigned seen_int3;
};

/* ---- the machine ---- */

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

static double read_double(struct guest *g, uint64_t gpa)
{
	double value = 0;

	CU_ASSERT_EQUAL(gmem_read(&g->mem, gpa, &value, sizeof(value)), 0);
	return value;
}

static void look_for_int3(struct guest *g)
{
	uint8_t now[256];

	CU_ASSERT_EQUAL(gmem_read(&g->mem, CODE, now, sizeof(now)), 0);
	g->seen_int3 += memchr(now, 0xcc, sizeof(now)) != NULL;
}

static bool on_port(void *ctx, struct vcpu_exit *exit)
{
	struct guest *g = ctx;

	g->n_ports++;
	if (g->kick)
		backend_kick(g->b);
	if (g->look)
		look_for_int3(g);
	if (!g->answer || exit->port == FAULT_PORT)
		return false;
	if (exit->in)
		exit->data = g->in_value;
	else
		g->sum += exit->data;
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
		write64(g, IDT + 16 * v + 8, 0);
	}
}

static void write_tables(struct guest *g)
{
	write64(g, PML4, PDPT | PW);
	write64(g, PDPT, PD | PW);
	for (uint64_t i = 0; i < 512; i++)
		write64(g, PD + 8 * i, i << 21 | BIG);
	write64(g, PDPT + 8 * 3, PD_APIC | PW);
	for (uint64_t i = 0; i < 512; i++)
		write64(g, PD_APIC + 8 * i, (3ull << 30) + (i << 21) + BIG);
	write64(g, GDT + 8, 0x00af9b000000ffff);
	write64(g, GDT + 16, 0x00cf93000000ffff);
	write_idt(g);
}

/* config: what is asked for besides. */
static void start_as(struct guest *g, const struct backend_ops *ops, const uint8_t *code,
	size_t len, struct backend_config config)
{
	struct err err = { "" };

	config.mem = &g->mem;
	config.port = on_port;
	config.ctx = g;

	*g = (struct guest){ 0 };
	CU_ASSERT_EQUAL_FATAL(gmem_init(&g->mem, 0, RAM), 0);
	if (ops->create(&g->b, &config, &err)) {
		printf("     create: %s\n", err.text);
		CU_FAIL_FATAL("create");
	}
	write_tables(g);
	gmem_write(&g->mem, CODE, code, len);
	cpu_state_long_mode(&g->state);
	g->state.regs.rip = CODE;
	g->state.regs.gpr[CPU_RSP] = STACK;
	g->state.cr3 = PML4;
	g->state.cr4 |= CPU_CR4_OSFXSR | CPU_CR4_OSXMMEXCPT;
	g->state.gdt = (struct cpu_table){ .base = GDT, .limit = 23 };
	g->state.idt = (struct cpu_table){ .base = IDT, .limit = 16 * VECTORS - 1 };
	CU_ASSERT_EQUAL_FATAL(backend_load(g->b, &g->state), 0);
}

static void start_with(struct guest *g, const struct backend_ops *ops, const uint8_t *code,
	size_t len, bool irqchip)
{
	start_as(g, ops, code, len, (struct backend_config){ .irqchip = irqchip });
}

static void start(struct guest *g, const struct backend_ops *ops, const uint8_t *code, size_t len)
{
	start_with(g, ops, code, len, false);
}

static void finish(struct guest *g)
{
	backend_destroy(g->b);
	gmem_finish(&g->mem);
}

static struct backend *alarmed;

static void on_alarm(int sig)
{
	(void)sig;
	backend_kick(alarmed);
}

static void signal_us(struct backend *b, long us, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler };
	struct itimerval when = { .it_value = { .tv_sec = us / 1000000, .tv_usec = us % 1000000 } };

	alarmed = b;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &when, NULL);
}

static void alarm_us(struct backend *b, long us)
{
	signal_us(b, us, on_alarm);
}

/* Runs to the next exit, which must be of this kind. No guest runs for ever. */
static bool run_to(struct guest *g, enum vcpu_exit_kind kind)
{
	int r;

	alarm_us(g->b, DEADLINE_US);
	r = backend_run(g->b, &g->exit);
	alarm_us(g->b, 0);
	CU_ASSERT_EQUAL(r, 0);
	CU_ASSERT_EQUAL(g->exit.kind, kind);
	if (r || g->exit.kind != kind) {
		printf("     run: %d, exit %s, rip %#llx, %s\n", r, vcpu_exit_names[g->exit.kind],
			(unsigned long long)g->exit.rip, g->exit.text ? g->exit.text : "");
		return false;
	}
	return true;
}

static struct cpu_regs regs_of(struct guest *g)
{
	struct cpu_regs regs = { 0 };

	CU_ASSERT_EQUAL(backend_get_regs(g->b, &regs), 0);
	return regs;
}

static void debug(struct guest *g, bool step, const uint64_t *breaks, size_t n)
{
	CU_ASSERT_EQUAL(
		backend_set_debug(g->b,
			&(struct vcpu_debug){ .step = step, .breaks = breaks, .n_breaks = n }),
		0);
}

static void expect_debug(struct guest *g, enum vcpu_debug_why why, uint64_t rip)
{
	if (!run_to(g, VCPU_DEBUG))
		return;
	CU_ASSERT_EQUAL(g->exit.why, why);
	CU_ASSERT_EQUAL(g->exit.rip, rip);
	CU_ASSERT_EQUAL(regs_of(g).rip, rip);
}

/* ---- ports ---- */

GUEST(outs, "mov $0xfedcba98, %eax\n mov $0x1100, %edx\n mov $0x1122334455667788, %rdi\n"
	    "outs_a: out %eax, %dx\n outs_b: out %ax, %dx\n outs_c: out %al, %dx\n"
	    "outs_d: out %al, $0x80\n outs_e: out %ax, $0x42\n mov $0x7e, %edx\n outs_f: out %eax, "
	    "%dx\n"
	    "outs_g: hlt");
LABEL(outs, a);
LABEL(outs, b);
LABEL(outs, c);
LABEL(outs, d);
LABEL(outs, e);
LABEL(outs, f);
LABEL(outs, g);

static void reports_an_out(const struct backend_ops *ops)
{
	const struct {
		uint64_t rip, next;
		uint16_t port;
		uint8_t size;
		uint32_t data;
	} rows[] = {
		{ AT(outs, a), AT(outs, b), PORT, 4, 0xfedcba98 },
		{ AT(outs, b), AT(outs, c), PORT, 2, 0xba98 },
		{ AT(outs, c), AT(outs, d), PORT, 1, 0x98 },
		{ AT(outs, d), AT(outs, e), 0x80, 1, 0x98 },
		{ AT(outs, e), AT(outs, f) - 5, 0x42, 2, 0xba98 },
		{ AT(outs, f), AT(outs, g), 0x7e, 4, 0xfedcba98 },
	};
	struct guest g;

	start(&g, ops, BYTES(outs));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!run_to(&g, VCPU_PORT))
			break;
		CU_ASSERT_FALSE(g.exit.in);
		CU_ASSERT_EQUAL(g.exit.port, rows[i].port);
		CU_ASSERT_EQUAL(g.exit.size, rows[i].size);
		CU_ASSERT_EQUAL(g.exit.data, rows[i].data);
		CU_ASSERT_EQUAL(g.exit.rdi, 0x1122334455667788);
		CU_ASSERT_EQUAL(g.exit.rip, rows[i].rip);
		CU_ASSERT_EQUAL(regs_of(&g).rip, rows[i].next);
	}
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(regs_of(&g).rip, AT(outs, g) + 1);
	finish(&g);
}

GUEST(ins, "mov $0x1100, %edx\n mov $-1, %rax\n ins_a: in %dx, %al\n mov %rax, 0x200000\n"
	   "mov $-1, %rax\n in %dx, %ax\n mov %rax, 0x200008\n"
	   "mov $-1, %rax\n in %dx, %eax\n mov %rax, 0x200010\n hlt");
LABEL(ins, a);

static void puts_the_answer_of_an_in_into_al_ax_eax(const struct backend_ops *ops)
{
	struct guest g;

	start(&g, ops, BYTES(ins));
	for (unsigned i = 0; i < 3 && run_to(&g, VCPU_PORT); i++) {
		CU_ASSERT_TRUE(g.exit.in);
		CU_ASSERT_EQUAL(g.exit.size, 1 << i);
		if (!i)
			CU_ASSERT_EQUAL(g.exit.rip, AT(ins, a));
		g.exit.data = 0x12345678;
	}
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(read64(&g, DATA), 0xffffffffffffff78);
	CU_ASSERT_EQUAL(read64(&g, DATA + 8), 0xffffffffffff5678);
	CU_ASSERT_EQUAL(read64(&g, DATA + 16), 0x12345678);
	finish(&g);
}

GUEST(talk, "mov $0x1100, %edx\n mov $1000, %ecx\n 1: mov %ecx, %eax\n out %eax, %dx\n"
	    "in %dx, %eax\n add %rax, %rbx\n dec %ecx\n jnz 1b\n mov %rbx, 0x200000\n hlt");

static void answers_ports_without_leaving_run(const struct backend_ops *ops)
{
	struct guest g;

	start(&g, ops, BYTES(talk));
	g.answer = true;
	g.in_value = 7;
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(g.n_ports, 2000);
	CU_ASSERT_EQUAL(g.sum, 500500);
	CU_ASSERT_EQUAL(read64(&g, DATA), 7000);
	finish(&g);
}

static void keeps_registers_written_while_a_port_waits(const struct backend_ops *ops)
{
	struct cpu_regs regs;
	struct guest g;

	start(&g, ops, BYTES(ins));
	run_to(&g, VCPU_PORT);
	regs = regs_of(&g);
	regs.gpr[CPU_RBX] = 0x5151;
	regs.rip = CODE; /* from the start again */
	CU_ASSERT_EQUAL(backend_set_regs(g.b, &regs), 0);
	run_to(&g, VCPU_PORT);
	CU_ASSERT_EQUAL(g.exit.rip, AT(ins, a));
	regs = regs_of(&g);
	CU_ASSERT_EQUAL(regs.gpr[CPU_RBX], 0x5151);
	finish(&g);
}

static void halts_and_goes_on_behind_it(const struct backend_ops *ops)
{
	static const uint8_t code[] = { 0xf4, 0x90, 0xf4 };
	struct guest g;

	start(&g, ops, code, sizeof(code));
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(g.exit.rip, CODE + 1);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(g.exit.rip, CODE + 3);
	finish(&g);
}

/* ---- state ---- */

GUEST(store, "mov %rax, 0x200000\n mov %rcx, 0x200008\n mov %rdx, 0x200010\n mov %rbx, 0x200018\n"
	     "mov %rsp, 0x200020\n mov %rbp, 0x200028\n mov %rsi, 0x200030\n mov %rdi, 0x200038\n"
	     "mov %r8, 0x200040\n mov %r9, 0x200048\n mov %r10, 0x200050\n mov %r11, 0x200058\n"
	     "mov %r12, 0x200060\n mov %r13, 0x200068\n mov %r14, 0x200070\n mov %r15, 0x200078\n"
	     "mov $0x300000, %esp\n pushfq\n popq 0x200080\n hlt");

static void sets_and_gets_all_registers(const struct backend_ops *ops)
{
	const uint64_t flags = CPU_RFLAGS_FIXED | 0xcd5; /* OF DF SF ZF AF PF CF */
	struct cpu_regs want = { .rip = CODE, .rflags = flags }, got;
	struct guest g;

	start(&g, ops, BYTES(store));
	for (unsigned i = 0; i < CPU_GPR_COUNT; i++)
		want.gpr[i] = 0x8000000000000000 + 0x0101010101 * (i + 1);
	CU_ASSERT_EQUAL(backend_set_regs(g.b, &want), 0);
	got = regs_of(&g);
	CU_ASSERT_EQUAL(memcmp(&want, &got, sizeof(want)), 0);
	run_to(&g, VCPU_HALT);
	for (unsigned i = 0; i < CPU_GPR_COUNT; i++)
		CU_ASSERT_EQUAL(read64(&g, DATA + 8 * i), want.gpr[i]);
	CU_ASSERT_EQUAL(read64(&g, DATA + 0x80), flags);
	finish(&g);
}

GUEST(resume,
	"mov %rsp, %rax\n mov %ss, %ecx\n push %rcx\n push %rax\n push $0x10002\n mov %cs, %ecx\n"
	"push %rcx\n lea 1f(%rip), %rax\n push %rax\n iretq\n 1: nop\n pushfq\n jmp 2f\n 2: hlt");

/* RF, which iret loads, lasts for one instruction, and pushf never shows it (SDM 2B). */
static void pushes_no_resume_flag(const struct backend_ops *ops)
{
	struct guest g;

	start(&g, ops, BYTES(resume));
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(read64(&g, regs_of(&g).gpr[CPU_RSP]), CPU_RFLAGS_FIXED);
	finish(&g);
}

GUEST(bases,
	"mov $0xc0000100, %ecx\n mov $0x200000, %eax\n xor %edx, %edx\n wrmsr\n"
	"mov %fs:8, %rax\n mov %gs:0, %rbx\n mov $0xc0000102, %ecx\n mov $0x1234, %eax\n wrmsr\n"
	"hlt");

static void keeps_segment_bases(const struct backend_ops *ops)
{
	struct cpu_state s;
	struct guest g;

	start(&g, ops, BYTES(bases));
	write64(&g, DATA + 8, 0xf5f5);
	write64(&g, OTHER, 0x6565);
	g.state.seg[CPU_GS].base = OTHER;
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(backend_save(g.b, &s), 0);
	CU_ASSERT_EQUAL(s.regs.gpr[CPU_RAX], 0x1234);
	CU_ASSERT_EQUAL(s.regs.gpr[CPU_RBX], 0x6565);
	CU_ASSERT_EQUAL(s.seg[CPU_FS].base, DATA);
	CU_ASSERT_EQUAL(s.seg[CPU_GS].base, OTHER);
	CU_ASSERT_EQUAL(s.kernel_gs_base, 0x1234);
	finish(&g);
}

GUEST(control, "mov %cr3, %rax\n mov %rax, 0x200000\n mov %cr0, %rax\n or $0x10008, %rax\n"
	       "mov %rax, %cr0\n mov %cr4, %rax\n or $4, %rax\n mov %rax, %cr4\n"
	       "mov $0xabc000, %eax\n mov %rax, %cr2\n mov %cr8, %rax\n mov %rax, 0x200008\n hlt");

static void keeps_control_registers(const struct backend_ops *ops)
{
	struct cpu_state s;
	struct paging p;
	struct guest g;

	start(&g, ops, BYTES(control));
	g.state.cr8 = 5;
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(backend_save(g.b, &s), 0);
	CU_ASSERT_EQUAL(read64(&g, DATA), PML4);
	CU_ASSERT_EQUAL(read64(&g, DATA + 8), 5);
	CU_ASSERT_EQUAL(s.cr8, 5);
	CU_ASSERT_EQUAL(s.cr0, g.state.cr0 | CPU_CR0_TS | CPU_CR0_WP);
	CU_ASSERT_EQUAL(s.cr2, 0xabc000);
	CU_ASSERT_EQUAL(s.cr3, PML4);
	CU_ASSERT_EQUAL(s.cr4, g.state.cr4 | 4);
	CU_ASSERT_EQUAL(s.efer, g.state.efer);
	CU_ASSERT_EQUAL(backend_paging(g.b, &p), 0);
	CU_ASSERT_EQUAL(p.cr0, s.cr0);
	CU_ASSERT_EQUAL(p.cr3, s.cr3);
	CU_ASSERT_EQUAL(p.cr4, s.cr4);
	CU_ASSERT_EQUAL(p.efer, s.efer);
	finish(&g);
}

/* Something in every field that every backend can hold. */
static void fill_state(struct cpu_state *s)
{
	for (unsigned i = 0; i < CPU_GPR_COUNT; i++)
		s->regs.gpr[i] = 0x0123456789abcdef * (i + 1);
	s->regs.rflags |= 0x8d5;
	for (unsigned i = 0; i < 128; i++)
		s->fx[32 + i] = i % 16 < 10 ? (uint8_t)(i * 7) : 0; /* 80-bit registers */
	for (unsigned i = 0; i < 256; i++)
		s->fx[160 + i] = (uint8_t)(i * 13 + 1);
	s->fx[4] = 0xff; /* all x87 registers in use */
	s->seg[CPU_FS].base = 0x7f0012345000;
	s->seg[CPU_GS].base = 0xffff800012345000;
	s->kernel_gs_base = 0xffff900012345000;
	s->star = 0x0013000800000000;
	s->lstar = 0xffffffff81000000;
	s->sfmask = 0x47700;
	s->efer |= CPU_EFER_SCE | CPU_EFER_NXE;
	s->cr2 = 0xdeadbeef;
	s->cr8 = 5;
}

/* What a backend may not keep, and the clock. */
static void forget_optional(struct cpu_state *s)
{
	s->tsc = 0;
	s->cstar = s->sysenter_cs = s->sysenter_esp = s->sysenter_eip = 0;
	s->xcr0 = 1;
}

static void saves_what_was_loaded(const struct backend_ops *ops)
{
	struct cpu_state want, got, again;
	struct guest g;

	start(&g, ops, BYTES(store));
	want = g.state;
	fill_state(&want);
	CU_ASSERT_EQUAL(backend_load(g.b, &want), 0);
	CU_ASSERT_EQUAL(backend_save(g.b, &got), 0);
	CU_ASSERT_EQUAL(memcmp(&got.regs, &want.regs, sizeof(want.regs)), 0);
	CU_ASSERT_EQUAL(memcmp(got.fx, want.fx, sizeof(want.fx)), 0);
	CU_ASSERT_EQUAL(memcmp(got.seg, want.seg, sizeof(want.seg)), 0);
	for (unsigned i = 0; i < CPU_SEG_COUNT; i++) {
		if (memcmp(&got.seg[i], &want.seg[i], sizeof(got.seg[i])))
			printf("     segment %u: base %llx limit %x attr %x selector %x\n", i,
				(unsigned long long)got.seg[i].base, got.seg[i].limit,
				got.seg[i].attr, got.seg[i].selector);
	}
	CU_ASSERT_EQUAL(got.gdt.base, want.gdt.base);
	CU_ASSERT_EQUAL(got.gdt.limit, want.gdt.limit);
	CU_ASSERT_EQUAL(got.idt.base, want.idt.base);
	CU_ASSERT_EQUAL(got.idt.limit, want.idt.limit);
	CU_ASSERT_EQUAL(got.cr0, want.cr0);
	CU_ASSERT_EQUAL(got.cr2, want.cr2);
	CU_ASSERT_EQUAL(got.cr3, want.cr3);
	CU_ASSERT_EQUAL(got.cr4, want.cr4);
	CU_ASSERT_EQUAL(got.cr8, want.cr8);
	CU_ASSERT_EQUAL(got.efer, want.efer);
	CU_ASSERT_EQUAL(got.kernel_gs_base, want.kernel_gs_base);
	CU_ASSERT_EQUAL(got.star, want.star);
	CU_ASSERT_EQUAL(got.lstar, want.lstar);
	CU_ASSERT_EQUAL(got.sfmask, want.sfmask);
	CU_ASSERT_EQUAL(got.pat, want.pat);
	CU_ASSERT_EQUAL(got.apic_base, want.apic_base);
	CU_ASSERT_EQUAL(got.dr6, want.dr6);
	CU_ASSERT_EQUAL(got.dr7, want.dr7);
	CU_ASSERT_FALSE(got.halted);
	CU_ASSERT_FALSE(got.event.pending);
	CU_ASSERT_EQUAL(backend_load(g.b, &got), 0);
	CU_ASSERT_EQUAL(backend_save(g.b, &again), 0);
	forget_optional(&got);
	forget_optional(&again);
	CU_ASSERT_EQUAL(memcmp(&got, &again, sizeof(got)), 0);
	finish(&g);
}

GUEST(moves, "movups %xmm3, 0x200000\n movups 0x200020, %xmm9\n fxsave 0x200100\n hlt");

static void keeps_sse_registers_across_load_run_save(const struct backend_ops *ops)
{
	struct cpu_state s;
	struct guest g;

	start(&g, ops, BYTES(moves));
	for (unsigned i = 0; i < 256; i++)
		g.state.fx[160 + i] = (uint8_t)(i + 5);
	write64(&g, DATA + 0x20, 0x1111222233334444);
	write64(&g, DATA + 0x28, 0x5555666677778888);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(memcmp(gmem_span(&g.mem, DATA, 16), g.state.fx + 160 + 16 * 3, 16), 0);
	CU_ASSERT_EQUAL(
		memcmp(gmem_span(&g.mem, DATA + 0x100 + 160, 9 * 16), g.state.fx + 160, 9 * 16), 0);
	CU_ASSERT_EQUAL(backend_save(g.b, &s), 0);
	CU_ASSERT_EQUAL(memcmp(s.fx + 160 + 16 * 9, gmem_span(&g.mem, DATA + 0x20, 16), 16), 0);
	finish(&g);
}

static void delivers_an_exception_that_was_pending_in_the_state(const struct backend_ops *ops)
{
	static const uint8_t code[] = { 0x90, 0xf4 };
	struct guest g;

	start(&g, ops, code, sizeof(code));
	g.state.event = (struct cpu_event){
		.pending = true, .vector = CPU_VEC_GP, .has_error = true, .error = 0x18
	};
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_PORT);
	CU_ASSERT_EQUAL(g.exit.port, FAULT_PORT);
	CU_ASSERT_EQUAL(g.exit.rdi, CPU_VEC_GP);
	CU_ASSERT_EQUAL(read64(&g, regs_of(&g).gpr[CPU_RSP]), 0x18);
	CU_ASSERT_EQUAL(read64(&g, regs_of(&g).gpr[CPU_RSP] + 8), CODE);
	finish(&g);
}

/* ---- arithmetic ---- */

GUEST(sse, "mov $3, %eax\n cvtsi2sd %eax, %xmm0\n mov $4, %eax\n cvtsi2sd %eax, %xmm1\n"
	   "mulsd %xmm0, %xmm0\n mulsd %xmm1, %xmm1\n addsd %xmm1, %xmm0\n sqrtsd %xmm0, %xmm0\n"
	   "movsd %xmm0, 0x200000\n pxor %xmm2, %xmm2\n movups %xmm2, 0x200010\n"
	   "mov $0x0102030405060708, %rax\n movq %rax, %xmm3\n pshufd $0x11, %xmm3, %xmm4\n"
	   "movups %xmm4, 0x200020\n cvttsd2si %xmm0, %rbx\n mov %rbx, 0x200030\n"
	   "fldpi\n fld1\n faddp\n fstpl 0x200038\n fnclex\n hlt");

static void computes_with_sse_and_x87(const struct backend_ops *ops)
{
	struct guest g;

	start(&g, ops, BYTES(sse));
	write64(&g, DATA + 0x10, ~0ull);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(read_double(&g, DATA), 5.0);
	CU_ASSERT_EQUAL(read64(&g, DATA + 0x10), 0);
	CU_ASSERT_EQUAL(read64(&g, DATA + 0x20), 0x0506070801020304);
	CU_ASSERT_EQUAL(read64(&g, DATA + 0x28), 0x0506070801020304);
	CU_ASSERT_EQUAL(read64(&g, DATA + 0x30), 5);
	CU_ASSERT_DOUBLE_EQUAL(read_double(&g, DATA + 0x38), 4.14159265358979, 1e-12);
	finish(&g);
}

GUEST(tick, "mov $50, %ecx\n xor %ebx, %ebx\n 1: rdtsc\n shl $32, %rdx\n or %rdx, %rax\n"
	    "cmp %rbx, %rax\n jb 2f\n mov %rax, %rbx\n pxor %xmm0, %xmm0\n addsd %xmm1, %xmm0\n"
	    "dec %ecx\n jnz 1b\n mov $1, %esi\n 2: hlt");

static void keeps_the_clock_going_forward_between_sse_code(const struct backend_ops *ops)
{
	struct guest g;

	start(&g, ops, BYTES(tick));
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RSI], 1);
	finish(&g);
}

GUEST(xstate, "mov %cr4, %rax\n or $0x40000, %eax\n mov %rax, %cr4\n xor %ecx, %ecx\n xgetbv\n"
	      "mov %rax, 0x200000\n mov $0x0102030405060708, %rax\n movq %rax, %xmm5\n"
	      "mov $-1, %eax\n mov $-1, %edx\n xsave 0x201000\n pxor %xmm5, %xmm5\n"
	      "mov $-1, %eax\n lea 0x201000, %rdi\n mov $0x40, %esi\n xrstor -0x80(%rdi, %rsi, 2)\n"
	      "movq %xmm5, 0x200008\n xstate_bad: xrstor 0x201001");
LABEL(xstate, bad);

/* What a CPU with AVX says; to tcg, which has XSAVE only when it is told to say so. */
static const struct cpuid_entry with_avx[] = {
	{ 0, 0, false, 0xd, 0x68747541, 0x444d4163, 0x69746e65 },
	{ 1, 0, false, 0x60fb1, 0x10800, 0xf6d83203, 0x178bf9ff },
	{ 0xd, 0, true, 7, 576, 832, 0 },
	{ 0xd, 1, true, 7, 576, 0, 0 },
	{ 0xd, 2, true, 256, 576, 0, 0 },
	{ 0x80000000, 0, false, 0x80000008, 0, 0, 0 },
	{ 0x80000001, 0, false, 0, 0, 1, 0x20100800 },
	{ 0x80000008, 0, false, 0x3028, 0, 0, 0 },
};
enum { WITH_AVX = sizeof(with_avx) / sizeof(with_avx[0]) };

static void saves_and_restores_extended_state(const struct backend_ops *ops)
{
	struct backend_config config = { .cpuid = with_avx, .n_cpuid = WITH_AVX };
	struct guest g;

	start_as(&g, ops, BYTES(xstate),
		ops == &backend_tcg ? config : (struct backend_config){ 0 });
	g.state.xcr0 = 3;
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_PORT);
	CU_ASSERT_EQUAL(read64(&g, DATA), 3);
	CU_ASSERT_EQUAL(read64(&g, DATA + 8), 0x0102030405060708);
	CU_ASSERT_EQUAL(read64(&g, DATA + 0x1000 + 160 + 16 * 5), 0x0102030405060708);
	CU_ASSERT_EQUAL(g.exit.rdi, CPU_VEC_GP);
	CU_ASSERT_EQUAL(read64(&g, regs_of(&g).gpr[CPU_RSP] + 8), AT(xstate, bad));
	finish(&g);
}

GUEST(forms,
	"mov %cr4, %rax\n or $0x40000, %eax\n mov %rax, %cr4\n mov $5, %eax\n movd %eax, %xmm5\n"
	"mov $3, %eax\n xor %edx, %edx\n mov $0x210000, %ebx\n mov $0x1020, %ecx\n"
	"movabs $0x7fff00217000, %r12\n mov $0x218000, %r13d\n mov $0x21a000, %r14d\n"
	"xsave (%rbx)\n xsave 0x1000(%rbx)\n add $0x1fc0, %rbx\n xsave 0x40(%rbx)\n"
	"xsave 0x213000\n xsave (%rbx,%rcx,2)\n xsave %fs:0x15000\n xsave %gs:(%rcx)\n"
	"xsave (%r12d)\n xsave (%r13)\n xsave (forms_start + 0x119000)(%rip)\n xsave 0(%r14)\n"
	"xsave 0x213000(,%rcx,8)\n mov $2, %ecx\n forms_a: xgetbv\n hlt\n"
	"forms_b: xsave 0x40000000\n forms_c: xgetbv\n");
LABEL(forms, a);
LABEL(forms, b);
LABEL(forms, c);

/* The operand of an instruction that is done by hand, in every form it can have; and what is wrong with one. */
static void finds_operands_of_every_form(const struct backend_ops *ops)
{
	static const uint64_t areas[] = { 0x210000, 0x211000, 0x212000, 0x213000, 0x214000,
		0x215000, 0x216000, 0x217000, 0x218000, 0x219000, 0x21a000, 0x21b100 };
	struct backend_config config = { .cpuid = with_avx, .n_cpuid = WITH_AVX };
	struct guest g;

	start_as(
		&g, ops, BYTES(forms), ops == &backend_tcg ? config : (struct backend_config){ 0 });
	g.state.xcr0 = 3;
	g.state.seg[CPU_FS].base = 0x200000;
	g.state.seg[CPU_GS].base = 0x214fe0;
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_PORT);
	CU_ASSERT_EQUAL(g.exit.rdi, CPU_VEC_GP);
	CU_ASSERT_EQUAL(read64(&g, regs_of(&g).gpr[CPU_RSP] + 8), AT(forms, a));
	for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++) {
		CU_ASSERT_EQUAL(read64(&g, areas[i] + 160 + 16 * 5), 5);
		CU_ASSERT_EQUAL(read64(&g, areas[i] + 512) & 2, 2);
	}
	g.state.regs.rip = AT(forms, b);
	g.state.regs.gpr[CPU_RAX] = 3;
	g.state.cr4 |= CPU_CR4_OSXSAVE;
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_PORT);
	CU_ASSERT_EQUAL(g.exit.rdi, CPU_VEC_PF);
	CU_ASSERT_EQUAL(read64(&g, regs_of(&g).gpr[CPU_RSP] + 8), AT(forms, b));
	g.state.regs.rip = AT(forms, c);
	g.state.cr4 &= ~(uint64_t)CPU_CR4_OSXSAVE;
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_PORT);
	CU_ASSERT_EQUAL(g.exit.rdi, CPU_VEC_UD);
	CU_ASSERT_EQUAL(read64(&g, regs_of(&g).gpr[CPU_RSP]), AT(forms, c));
	finish(&g);
}

GUEST(medley,
	"mov $3, %eax\n cvtsi2sd %eax, %xmm0\n movabs $0x0706050403020100, %rax\n"
	"movq %rax, %xmm1\n movabs $0x0001020304050607, %rax\n movq %rax, %xmm2\n"
	"addsd %xmm0, %xmm0\n pshufb %xmm2, %xmm1\n movq %xmm1, %r8\n movapd %xmm1, %xmm3\n"
	"palignr $4, %xmm1, %xmm3\n movd %xmm3, %r9d\n mov $-5, %eax\n movd %eax, %xmm4\n"
	"pabsd %xmm4, %xmm4\n movd %xmm4, %r10d\n lock addl $7, %fs:0x10\n"
	"addl $1, %gs:0x10\n mov $0x200020, %ebx\n movl $9, (%ebx)\n .byte 0x2e\n nop\n"
	".byte 0x36\n nop\n .byte 0x3e\n nop\n .byte 0x26\n nop\n lfence\n mfence\n sfence\n"
	"stmxcsr 0x200030\n ldmxcsr 0x200030\n clflush 0x200030\n fxsave 0x200400\n"
	"fxrstor 0x200400\n mov $1, %eax\n xor %edx, %edx\n mov $2, %ebx\n xor %ecx, %ecx\n"
	"cmpxchg8b 0x200040\n setz %r11b\n xor %eax, %eax\n cmpxchg16b 0x200050\n setz %r12b\n"
	"mulsd %xmm0, %xmm0\n movsd %xmm0, 0x200000\n hlt");

/* Among arithmetic: what a CPU that helps out another one must tell from what it must not run. */
static void runs_a_medley_between_arithmetic(const struct backend_ops *ops)
{
	struct guest g;
	struct cpu_regs r;

	start(&g, ops, BYTES(medley));
	g.state.seg[CPU_FS].base = DATA;
	g.state.seg[CPU_GS].base = DATA + 4;
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	write64(&g, DATA + 0x40, 1);
	run_to(&g, VCPU_HALT);
	r = regs_of(&g);
	CU_ASSERT_EQUAL(read_double(&g, DATA), 36.0);
	CU_ASSERT_EQUAL(r.gpr[CPU_R8], 0x0001020304050607);
	CU_ASSERT_EQUAL(r.gpr[CPU_R9], 0x00010203);
	CU_ASSERT_EQUAL(r.gpr[CPU_R10], 5);
	CU_ASSERT_EQUAL(read64(&g, DATA + 0x10), 1ull << 32 | 7);
	CU_ASSERT_EQUAL(read64(&g, DATA + 0x20), 9);
	CU_ASSERT_EQUAL(read64(&g, DATA + 0x40), 2);
	CU_ASSERT_EQUAL(r.gpr[CPU_R11] & 1, 1);
	CU_ASSERT_EQUAL(read64(&g, DATA + 0x50), 2);
	CU_ASSERT_EQUAL(r.gpr[CPU_R12] & 1, 1);
	finish(&g);
}

/* ---- what CPUID says ---- */

/* Leaf in EDI, subleaf in ESI. */
GUEST(identify, "mov %edi, %eax\n mov %esi, %ecx\n cpuid\n hlt");

static struct cpuid_entry ask_cpuid(struct guest *g, uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_entry e = { .leaf = leaf, .subleaf = subleaf };
	struct cpu_regs regs = regs_of(g);

	regs.rip = CODE;
	regs.gpr[CPU_RDI] = leaf;
	regs.gpr[CPU_RSI] = subleaf;
	CU_ASSERT_EQUAL(backend_set_regs(g->b, &regs), 0);
	run_to(g, VCPU_HALT);
	regs = regs_of(g);
	e.eax = (uint32_t)regs.gpr[CPU_RAX];
	e.ebx = (uint32_t)regs.gpr[CPU_RBX];
	e.ecx = (uint32_t)regs.gpr[CPU_RCX];
	e.edx = (uint32_t)regs.gpr[CPU_RDX];
	return e;
}

/* The backend's own table is what its guest sees, and as much of what was asked for as the CPU obeys. */
static void shows_the_cpuid_it_was_given(const struct backend_ops *ops)
{
	static const struct cpuid_entry asked[] = {
		{ 0, 0, false, 0xd, 0x68747541, 0x444d4163, 0x69746e65 },
		{ 1, 0, false, 0x60fb1, 0x10800, 1u << 31, 0x78bf8ff },
		{ 0x80000000, 0, false, 0x80000008, 0, 0, 0 },
		{ 0x80000001, 0, false, 0, 0, 1, 0x20100800 },
		{ 0x80000002, 0, false, 0x6c6c6562, 0x2072616a, 0x5f, 0 },
		{ 0x80000008, 0, false, 0x3028, 0, 0, 0 },
	};
	const size_t n_asked = sizeof(asked) / sizeof(asked[0]);
	struct cpuid_entry table[CPUID_TABLE_MAX], seen;
	char added[200];
	struct guest g;
	int n;

	start_as(&g, ops, BYTES(identify),
		(struct backend_config){ .cpuid = asked, .n_cpuid = n_asked, .plain_cpu = true });
	n = backend_cpuid(g.b, table, CPUID_TABLE_MAX);
	CU_ASSERT_FATAL(n > 0);
	for (int i = 0; i < n; i++) {
		seen = ask_cpuid(&g, table[i].leaf, table[i].subleaf);
		seen.has_subleaf = table[i].has_subleaf;
		CU_ASSERT_TRUE(cpuid_table_same(&seen, 1, &table[i], 1));
	}
	seen = ask_cpuid(&g, 0x80000002, 0);
	CU_ASSERT_EQUAL(seen.eax, 0x6c6c6562);
	seen = ask_cpuid(&g, 1, 0);
	CU_ASSERT_EQUAL(seen.eax, 0x60fb1);
	if (ops == &backend_tcg)
		CU_ASSERT_TRUE(cpuid_table_same(table, (size_t)n, asked, n_asked));
	/* A CPU may add what it cannot hide, never leave out what it was told to have. */
	CU_ASSERT_EQUAL(
		cpuid_table_added(table, (size_t)n, asked, n_asked, added, sizeof(added)), 0);
	finish(&g);
}

/* ---- debugging ---- */

GUEST(steps, "nop\n steps_a: inc %eax\n steps_b: jmp steps_c\n ud2\n steps_c: push %rax\n"
	     "steps_d: mov $0x1100, %edx\n steps_e: out %eax, %dx\n steps_f: inc %eax\n"
	     "steps_g: in %dx, %eax\n steps_h: nop\n steps_i: hlt");
LABEL(steps, a);
LABEL(steps, b);
LABEL(steps, c);
LABEL(steps, d);
LABEL(steps, e);
LABEL(steps, f);
LABEL(steps, g);
LABEL(steps, h);
LABEL(steps, i);

static void steps_one_instruction_at_a_time(const struct backend_ops *ops)
{
	const uint64_t rips[] = { AT(steps, a), AT(steps, b), AT(steps, c), AT(steps, d),
		AT(steps, e), AT(steps, f), AT(steps, g), AT(steps, h), AT(steps, i) };
	struct guest g;

	start(&g, ops, BYTES(steps));
	g.answer = true; /* an access that is answered is one step, too */
	debug(&g, true, NULL, 0);
	for (size_t i = 0; i < sizeof(rips) / sizeof(rips[0]); i++)
		expect_debug(&g, VCPU_STEP, rips[i]);
	CU_ASSERT_EQUAL(g.n_ports, 2);
	debug(&g, false, NULL, 0);
	run_to(&g, VCPU_HALT);
	finish(&g);
}

static void steps_over_a_port_access_nobody_answered(const struct backend_ops *ops)
{
	struct guest g;

	start(&g, ops, BYTES(steps));
	for (unsigned pass = 0; pass < 2; pass++) {
		debug(&g, false, NULL, 0);
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		run_to(&g, VCPU_PORT);
		debug(&g, true, NULL, 0);
		expect_debug(&g, VCPU_STEP, AT(steps, f));
		expect_debug(&g, VCPU_STEP, AT(steps, g));
		run_to(&g, VCPU_PORT);
		CU_ASSERT_EQUAL(g.exit.rip, AT(steps, g));
		g.exit.data = 0x77;
		expect_debug(&g, VCPU_STEP, AT(steps, h));
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], 0x77);
	}
	finish(&g);
}

static void refuses_watches_that_cannot_be(const struct backend_ops *ops)
{
	static const struct vcpu_watch bad[] = {
		{ .gva = DATA, .len = 0, .on_write = true },
		{ .gva = UINT64_MAX, .len = 2, .on_write = true },
		{ .gva = DATA + 8, .len = UINT64_MAX, .on_write = true },
		{ .gva = DATA, .len = 8 },
	};
	struct guest g;

	start(&g, ops, BYTES(steps));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_EQUAL(backend_set_debug(g.b,
					&(struct vcpu_debug){ .watches = &bad[i], .n_watches = 1 }),
			-EINVAL);
	CU_ASSERT_EQUAL(backend_set_debug(g.b, &(struct vcpu_debug){ 0 }), 0);
	finish(&g);
}

static void tells_as_many_leaves_as_there_is_room_for(const struct backend_ops *ops)
{
	struct cpuid_entry all[CPUID_TABLE_MAX], one = { 0 };
	struct guest g;
	int n;

	start(&g, ops, BYTES(outs));
	n = backend_cpuid(g.b, all, CPUID_TABLE_MAX);
	CU_ASSERT(n > 1);
	CU_ASSERT_EQUAL(backend_cpuid(g.b, &one, 1), 1);
	CU_ASSERT_EQUAL(one.leaf, all[0].leaf);
	CU_ASSERT_EQUAL(one.ebx, all[0].ebx);
	CU_ASSERT_EQUAL(backend_cpuid(g.b, &one, 0), 0);
	finish(&g);
}

GUEST(loop3, "mov $3, %ecx\n loop3_a: inc %eax\n loop3_b: dec %ecx\n jnz loop3_a\n"
	     "mov $0x1100, %edx\n out %eax, %dx\n loop3_c: nop\n loop3_d: hlt");
LABEL(loop3, a);
LABEL(loop3, b);
LABEL(loop3, c);
LABEL(loop3, d);

static void stops_at_breakpoints_once_each_time(const struct backend_ops *ops)
{
	const uint64_t breaks[] = { AT(loop3, a), AT(loop3, b), AT(loop3, c), AT(loop3, d) };
	struct guest g;

	start(&g, ops, BYTES(loop3));
	debug(&g, false, breaks, 4);
	for (unsigned i = 0; i < 3; i++) {
		expect_debug(&g, VCPU_BREAKPOINT, breaks[0]);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], i);
		expect_debug(&g, VCPU_BREAKPOINT, breaks[1]);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], i + 1);
	}
	run_to(&g, VCPU_PORT);
	expect_debug(&g, VCPU_BREAKPOINT, breaks[2]); /* right behind an `out` */
	expect_debug(&g, VCPU_BREAKPOINT, breaks[3]);
	run_to(&g, VCPU_HALT);
	finish(&g);
}

static void steps_off_a_breakpoint(const struct backend_ops *ops)
{
	const uint64_t breaks[] = { AT(loop3, a) };
	struct guest g;

	start(&g, ops, BYTES(loop3));
	debug(&g, false, breaks, 1);
	expect_debug(&g, VCPU_BREAKPOINT, AT(loop3, a));
	debug(&g, true, breaks, 1);
	expect_debug(&g, VCPU_STEP, AT(loop3, b));
	debug(&g, false, NULL, 0);
	g.answer = true;
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(g.sum, 3);
	finish(&g);
}

static void takes_breakpoints_without_number(const struct backend_ops *ops)
{
	uint64_t breaks[300];
	struct guest g;

	start(&g, ops, BYTES(loop3));
	for (unsigned i = 0; i < 300; i++)
		breaks[i] = i < 296 ? 0x7f0000000000ull + i : AT(loop3, a);
	breaks[297] = AT(loop3, b);
	breaks[298] = AT(loop3, c);
	breaks[299] = AT(loop3, d);
	debug(&g, false, breaks, 300);
	for (unsigned i = 0; i < 3; i++) {
		expect_debug(&g, VCPU_BREAKPOINT, AT(loop3, a));
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], i);
		expect_debug(&g, VCPU_BREAKPOINT, AT(loop3, b));
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], i + 1);
	}
	run_to(&g, VCPU_PORT);
	expect_debug(&g, VCPU_BREAKPOINT, AT(loop3, c));
	expect_debug(&g, VCPU_BREAKPOINT, AT(loop3, d));
	run_to(&g, VCPU_HALT);
	finish(&g);
}

/* Six breakpoints are more than there are debug registers. */
enum { MANY = 6 };
GUEST(crowd, "mov $0x1100, %edx\n crowd_0: mov $1, %eax\n crowd_1: out %eax, %dx\n"
	     "crowd_2: mov $2, %eax\n crowd_3: out %eax, %dx\n crowd_4: inc %ecx\n"
	     "crowd_5: out %eax, %dx\n crowd_6: hlt");
LABEL(crowd, 0);
LABEL(crowd, 1);
LABEL(crowd, 2);
LABEL(crowd, 3);
LABEL(crowd, 4);
LABEL(crowd, 5);
LABEL(crowd, 6);

static const uint64_t *crowd(void)
{
	static uint64_t at[MANY];
	const uint64_t all[MANY] = { AT(crowd, 0), AT(crowd, 1), AT(crowd, 2), AT(crowd, 3),
		AT(crowd, 4), AT(crowd, 5) };

	memcpy(at, all, sizeof(at));
	return at;
}

static void shows_nobody_its_breakpoints(const struct backend_ops *ops)
{
	struct guest g;

	start(&g, ops, BYTES(crowd));
	g.answer = g.look = true;
	debug(&g, false, crowd(), MANY);
	for (unsigned i = 0; i < MANY; i++) {
		expect_debug(&g, VCPU_BREAKPOINT, crowd()[i]);
		look_for_int3(&g);
	}
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(g.n_ports, 3);
	look_for_int3(&g);
	CU_ASSERT_EQUAL(g.seen_int3, 0);
	finish(&g);
}

/* While it runs it puts other code where breakpoints are. */
GUEST(rewrite, "mov $0x1100, %edx\n lea rewrite_5(%rip), %rsi\n mov $6, %ecx\n"
	       "1: movb $0xff, (%rsi)\n movb $0xc3, 1(%rsi)\n add $2, %rsi\n dec %ecx\n jnz 1b\n"
	       "out %eax, %dx\n jmp rewrite_5\n"
	       "rewrite_0: nop\n nop\n nop\n nop\n nop\n hlt\n"
	       "rewrite_5: nop\n nop\n nop\n nop\n nop\n nop\n nop\n nop\n nop\n nop\n nop\n nop\n"
	       "hlt");
LABEL(rewrite, 5);

static void leaves_alone_what_the_guest_wrote_over_them(const struct backend_ops *ops)
{
	uint64_t breaks[12];
	struct guest g;

	start(&g, ops, BYTES(rewrite));
	for (unsigned i = 0; i < 12; i++)
		breaks[i] = AT(rewrite, 5) + i;
	debug(&g, false, breaks, 12);
	run_to(&g, VCPU_PORT);
	for (unsigned i = 0; i < 6; i++)
		CU_ASSERT_EQUAL(read64(&g, breaks[2 * i]) & 0xffff, 0xc3ff);
	expect_debug(&g, VCPU_BREAKPOINT, breaks[0]); /* of what is there now */
	for (unsigned i = 1; i < 6; i++)
		expect_debug(&g, VCPU_BREAKPOINT, breaks[2 * i]);
	run_to(&g, VCPU_HALT);
	finish(&g);
}

GUEST(late, "mov $0x40000000, %ebx\n mov $0x1100, %edx\n movq $0x209003, 0x5000\n"
	    "out %eax, %dx\n call *%rbx\n hlt");

/* Pages that are not there when they are set, more of them than debug registers. */
static void stops_in_pages_that_come_later(const struct backend_ops *ops)
{
	static const uint8_t nops[] = { 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xc3 };
	uint64_t breaks[sizeof(nops)];
	struct guest g;

	for (unsigned answered = 0; answered < 2; answered++) {
		start(&g, ops, BYTES(late));
		write64(&g, PDPT + 8, PT | PW);
		write64(&g, PT, (PT + 0x1000) | PW);
		gmem_write(&g.mem, 0x209000, nops, sizeof(nops));
		for (unsigned i = 0; i < sizeof(nops); i++)
			breaks[i] = 0x40000000 + i;
		debug(&g, false, breaks, sizeof(nops));
		g.answer = answered;
		if (!answered)
			run_to(&g, VCPU_PORT);
		for (unsigned i = 0; i < sizeof(nops); i++)
			expect_debug(&g, VCPU_BREAKPOINT, breaks[i]);
		run_to(&g, VCPU_HALT);
		finish(&g);
	}
}

GUEST(leap, "mov $0x40000010, %ebx\n jmp *%rbx\n");

/* As when a debugger has a function return to the stack: it stops in front of the fault, which comes when it goes on. */
static void stops_where_nothing_may_be_executed(const struct backend_ops *ops)
{
	const uint64_t breaks[] = { 0x40000010, CODE + 20, CODE + 21, CODE + 22, CODE + 23,
		CODE + 24 };
	struct guest g;

	for (unsigned i = 0; i < 4; i++) {
		unsigned there = i & 1, many = i & 2; /* more than there are debug registers */

		start(&g, ops, BYTES(leap));
		g.state.efer |= CPU_EFER_NXE;
		CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
		write64(&g, PDPT + 8, PT | PW);
		write64(&g, PT, (PT + 0x1000) | PW);
		write64(&g, PT + 0x1000, there ? 0x209000 | PW | 1ull << 63 : 0);
		debug(&g, false, breaks, many ? 6 : 1);
		expect_debug(&g, VCPU_BREAKPOINT, breaks[0]);
		CU_ASSERT_EQUAL(regs_of(&g).rip, breaks[0]);
		debug(&g, false, NULL, 0);
		if (run_to(&g, VCPU_PORT)) {
			CU_ASSERT_EQUAL(g.exit.port, FAULT_PORT);
			CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RDI], CPU_VEC_PF);
			CU_ASSERT_EQUAL(read64(&g, STACK - 40), breaks[0]);
		}
		finish(&g);
	}
}

/* The same code by an address that nobody asked for: it runs. */
GUEST(twice, "mov $0x40000000, %ebx\n mov $0x40001000, %ecx\n call *%rbx\n call *%rcx\n hlt");

static void does_not_stop_at_another_address_of_it(const struct backend_ops *ops)
{
	static const uint8_t incs[] = { 0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0,
		0xff, 0xc0, 0xff, 0xc0, 0xc3 };
	uint64_t breaks[7];
	struct guest g;

	start(&g, ops, BYTES(twice));
	write64(&g, PDPT + 8, PT | PW);
	write64(&g, PT, (PT + 0x1000) | PW);
	write64(&g, PT + 0x1000, 0x209000 | PW);
	write64(&g, PT + 0x1008, 0x209000 | PW);
	gmem_write(&g.mem, 0x209000, incs, sizeof(incs));
	for (unsigned i = 0; i < 7; i++)
		breaks[i] = 0x40001000 + 2 * i;
	debug(&g, false, breaks, 7);
	for (unsigned i = 0; i < 7; i++) {
		expect_debug(&g, VCPU_BREAKPOINT, breaks[i]);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], 7 + i);
	}
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], 14);
	finish(&g);
}

GUEST(own, "nop\n own_a: int3\n own_b: hlt\n nop\n nop\n nop\n nop\n nop\n");
LABEL(own, a);
LABEL(own, b);

static void gives_the_guest_its_own_int3(const struct backend_ops *ops)
{
	uint64_t breaks[MANY];
	struct guest g;

	for (unsigned at_it = 0; at_it < 2; at_it++) {
		start(&g, ops, BYTES(own));
		for (unsigned i = 0; i < MANY; i++)
			breaks[i] = AT(own, b) + i;
		breaks[MANY - 1] = at_it ? AT(own, a) : STUBS + 16;
		debug(&g, false, breaks, MANY);
		if (at_it)
			expect_debug(&g, VCPU_BREAKPOINT, AT(own, a));
		run_to(&g, VCPU_PORT);
		CU_ASSERT_EQUAL(g.exit.rdi, CPU_VEC_BP);
		CU_ASSERT_EQUAL(read64(&g, regs_of(&g).gpr[CPU_RSP]), AT(own, b));
		finish(&g);
	}
}

GUEST(cluster, "pxor %xmm0, %xmm0\n cluster_a: mov $2, %eax\n cluster_b: cvtsi2sd %eax, %xmm0\n"
	       "cluster_c: mulsd %xmm0, %xmm0\n cluster_d: movsd %xmm0, 0x200000\n cluster_e: hlt");
LABEL(cluster, a);
LABEL(cluster, b);
LABEL(cluster, c);
LABEL(cluster, d);
LABEL(cluster, e);

static void steps_through_sse_code(const struct backend_ops *ops)
{
	const uint64_t rips[] = { AT(cluster, a), AT(cluster, b), AT(cluster, c), AT(cluster, d),
		AT(cluster, e) };
	struct guest g;

	start(&g, ops, BYTES(cluster));
	debug(&g, true, NULL, 0);
	for (size_t i = 0; i < sizeof(rips) / sizeof(rips[0]); i++)
		expect_debug(&g, VCPU_STEP, rips[i]);
	CU_ASSERT_EQUAL(read_double(&g, DATA), 4.0);
	finish(&g);
}

static void stops_at_breakpoints_in_sse_code(const struct backend_ops *ops)
{
	const uint64_t breaks[] = { AT(cluster, b), AT(cluster, c), AT(cluster, e) };
	struct guest g;

	start(&g, ops, BYTES(cluster));
	debug(&g, false, breaks, 3);
	for (unsigned i = 0; i < 3; i++)
		expect_debug(&g, VCPU_BREAKPOINT, breaks[i]);
	CU_ASSERT_EQUAL(read_double(&g, DATA), 4.0);
	run_to(&g, VCPU_HALT);
	finish(&g);
}

GUEST(around, "mov $0x1100, %edx\n 1: pxor %xmm0, %xmm0\n inc %ecx\n around_a: inc %ecx\n"
	      "inc %ecx\n out %eax, %dx\n jmp 1b");
LABEL(around, a);

static void stops_at_breakpoints_in_sse_code_that_ran_before(const struct backend_ops *ops)
{
	const uint64_t a = AT(around, a);
	struct guest g;

	start(&g, ops, BYTES(around));
	for (uint64_t i = 0; i < 4; i++) {
		run_to(&g, VCPU_PORT);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RCX], 6 * i + 3);
		debug(&g, false, &a, 1);
		expect_debug(&g, VCPU_BREAKPOINT, a);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RCX], 6 * i + 4);
		debug(&g, false, NULL, 0);
		run_to(&g, VCPU_PORT);
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RCX], 6 * i + 6);
	}
	finish(&g);
}

GUEST(touch, "mov 0x200000, %rax\n touch_a: mov %rax, 0x200008\n touch_b: movb $7, 0x200003\n"
	     "touch_c: mov %rax, 0x200010\n hlt");
LABEL(touch, a);
LABEL(touch, b);
LABEL(touch, c);

static void stops_after_a_watched_access(const struct backend_ops *ops)
{
	const struct vcpu_watch rows[] = {
		{ .gva = DATA, .len = 8, .on_read = true, .on_write = true },
		{ .gva = DATA + 8, .len = 4, .on_write = true },
	};
	struct guest g;

	start(&g, ops, BYTES(touch));
	CU_ASSERT_EQUAL(
		backend_set_debug(g.b, &(struct vcpu_debug){ .watches = rows, .n_watches = 2 }), 0);
	expect_debug(&g, VCPU_WATCHPOINT, AT(touch, a));
	CU_ASSERT_EQUAL(g.exit.addr, DATA);
	expect_debug(&g, VCPU_WATCHPOINT, AT(touch, b));
	CU_ASSERT_EQUAL(g.exit.addr, DATA + 8);
	expect_debug(&g, VCPU_WATCHPOINT, AT(touch, c));
	CU_ASSERT_EQUAL(g.exit.addr, DATA);
	run_to(&g, VCPU_HALT);
	finish(&g);
}

static void watch(struct guest *g, const struct vcpu_watch *watches, size_t n)
{
	CU_ASSERT_EQUAL(
		backend_set_debug(g->b, &(struct vcpu_debug){ .watches = watches, .n_watches = n }),
		0);
}

static void expect_watch(struct guest *g, uint64_t rip, uint64_t addr, bool wrote)
{
	expect_debug(g, VCPU_WATCHPOINT, rip);
	CU_ASSERT_EQUAL(g->exit.addr, addr);
	CU_ASSERT_EQUAL(g->exit.wrote, wrote);
}

GUEST(grope,
	"mov $0x200000, %ebx\n mov 0x10(%rbx), %rax\n grope_a: mov %rax, 0x10(%rbx)\n"
	"grope_b: mov %al, 0x7f5(%rbx)\n grope_c: incl 0x800(%rbx)\n grope_d: mov 0x40(%rbx), %cl\n"
	"mov $0x1100, %edx\n out %eax, %dx\n mov %al, 0x41(%rbx)\n grope_e: sgdt 0x7000(%rbx)\n"
	"grope_f: lea 0x1ffd(%rbx), %rdi\n mov %rax, (%rdi)\n grope_g: hlt");
LABEL(grope, a);
LABEL(grope, b);
LABEL(grope, c);
LABEL(grope, d);
LABEL(grope, e);
LABEL(grope, f);
LABEL(grope, g);

/* Reads alone, all alignments and lengths, what does not change; and more than any CPU has registers. */
static void watches_whatever_is_asked_for(const struct backend_ops *ops)
{
	enum { FILL = 60 };
	struct vcpu_watch all[FILL + 6] = {
		{ .gva = DATA + 0x13, .len = 1, .on_read = true },
		{ .gva = DATA + 0x14, .len = 2, .on_write = true },
		{ .gva = DATA + 0x7f1, .len = 13, .on_read = true, .on_write = true },
		{ .gva = DATA + 0x803, .len = 7, .on_write = true },
		{ .gva = DATA + 0x2001, .len = 0x10000, .on_write = true },
		{ .gva = DATA + 0x41, .len = 1, .on_read = true },
	};
	struct guest g;

	for (uint64_t i = 0; i < FILL; i++)
		all[6 + i] =
			(struct vcpu_watch){ .gva = 0x500000 + 3 * i, .len = 3, .on_write = true };
	start(&g, ops, BYTES(grope));
	g.answer = true;
	watch(&g, all, FILL + 6);
	expect_watch(&g, AT(grope, a), DATA + 0x13, false);
	expect_watch(&g, AT(grope, b), DATA + 0x14, true);
	expect_watch(&g, AT(grope, c), DATA + 0x7f1, true);
	expect_watch(&g, AT(grope, d), DATA + 0x803, true);
	CU_ASSERT_EQUAL(g.n_ports, 0);
	expect_watch(&g, AT(grope, f), DATA + 0x2001, true);
	CU_ASSERT_EQUAL(g.n_ports, 1);
	expect_watch(&g, AT(grope, g), DATA + 0x2001, true);
	run_to(&g, VCPU_HALT);
	finish(&g);
}

static void steps_and_breaks_while_it_watches(const struct backend_ops *ops)
{
	const struct vcpu_watch rows[] = {
		{ .gva = DATA + 0x10, .len = 8, .on_read = true },
		{ .gva = DATA + 0x11, .len = 2, .on_write = true },
	};
	const uint64_t at[] = { AT(grope, c), AT(grope, e) };
	struct vcpu_debug d = { .step = true, .watches = rows, .n_watches = 2 };
	struct guest g;

	start(&g, ops, BYTES(grope));
	CU_ASSERT_EQUAL(backend_set_debug(g.b, &d), 0);
	expect_debug(&g, VCPU_STEP, AT(grope, a) - 4);
	expect_watch(&g, AT(grope, a), DATA + 0x10, false);
	expect_watch(&g, AT(grope, b), DATA + 0x11, true);
	expect_debug(&g, VCPU_STEP, AT(grope, c));
	d.step = false;
	d.breaks = at;
	d.n_breaks = 2;
	CU_ASSERT_EQUAL(backend_set_debug(g.b, &d), 0);
	run_to(&g, VCPU_PORT);
	CU_ASSERT_EQUAL(backend_set_debug(g.b, &d), 0);
	expect_debug(&g, VCPU_BREAKPOINT, AT(grope, e));
	run_to(&g, VCPU_HALT);
	finish(&g);
}

GUEST(count, "mov $1000, %ecx\n 1: add %ecx, %eax\n dec %ecx\n jnz 1b\n mov $0x1100, %edx\n"
	     "out %eax, %dx\n nop\n nop\n hlt");

static void counts_instructions_exactly(const struct backend_ops *ops)
{
	uint64_t from;
	struct guest g;

	start(&g, ops, BYTES(count));
	from = backend_icount(g.b);
	run_to(&g, VCPU_PORT);
	/* 1 + 3 * 1000 + 1, and the `out`, which is done */
	CU_ASSERT_EQUAL(backend_icount(g.b) - from, 3003);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(backend_icount(g.b) - from, 3006);
	finish(&g);
}

static void until(struct guest *g, uint64_t icount)
{
	CU_ASSERT_EQUAL(backend_set_debug(g->b, &(struct vcpu_debug){ .until = icount }), 0);
}

/* A hot loop, a string of bytes, a call and the timer. */
GUEST(varied, "mov $0xfee00000, %ebx\n movl $0x1ff, 0xf0(%rbx)\n movl $11, 0x3e0(%rbx)\n"
	      "movl $0x2007b, 0x320(%rbx)\n movl $2777, 0x380(%rbx)\n sti\n cld\n"
	      "varied_a: mov $40, %ecx\n 1: add %rcx, %rax\n rol $3, %rax\n dec %ecx\n jnz 1b\n"
	      "mov $0x200000, %esi\n mov $0x204000, %edi\n mov $300, %ecx\n rep movsb\n"
	      "cli\n mov $90, %ecx\n 1: dec %ecx\n jnz 1b\n sti\n varied_open: nop\n"
	      "call 2f\n mov %rax, 0x200010\n mov $0x1100, %edx\n out %eax, %dx\n in %dx, %eax\n"
	      "inc %r8\n test $63, %r8b\n jnz varied_a\n hlt\n jmp varied_a\n"
	      "2: rdtsc\n add %rax, %r9\n push %r9\n pushfq\n pop %r10\n pop %r11\n ret\n"
	      "varied_irq: incq 0x200020\n push %rax\n mov $0xfee00000, %eax\n"
	      "movl $0, 0xb0(%rax)\n pop %rax\n iretq");
LABEL(varied, irq);
LABEL(varied, open);

static void interrupt_to(struct guest *g, uint64_t handler)
{
	write64(g, IDT + 16 * TIMER_VECTOR,
		(handler & 0xffff) | 8u << 16 | 0x8e00ull << 32 | (handler >> 16) << 48);
}

static void start_varied(struct guest *g, const struct backend_ops *ops)
{
	start_with(g, ops, BYTES(varied), true);
	interrupt_to(g, AT(varied, irq));
	g->answer = true;
	g->in_value = 0x1357;
}

static struct cpu_state state_of(struct guest *g)
{
	struct cpu_state s;

	CU_ASSERT_EQUAL(backend_save(g->b, &s), 0);
	return s;
}

/* Written by who is interrupted for it; the rest goes on as ever. */
static void watches_what_an_interrupt_writes(const struct backend_ops *ops)
{
	const struct vcpu_watch row = { .gva = DATA + 0x20, .len = 3, .on_write = true };
	struct guest g;

	start_varied(&g, ops);
	watch(&g, &row, 1);
	for (uint64_t i = 0; i < 5; i++) {
		if (!run_to(&g, VCPU_DEBUG))
			break;
		CU_ASSERT_EQUAL(g.exit.why, VCPU_WATCHPOINT);
		CU_ASSERT_EQUAL(g.exit.addr, row.gva);
		CU_ASSERT_TRUE(g.exit.wrote);
		CU_ASSERT_EQUAL(read64(&g, DATA + 0x20), i + 1);
	}
	watch(&g, NULL, 0);
	for (unsigned i = 0; i < 200 && read64(&g, DATA + 0x20) <= 5; i++) {
		alarm_us(g.b, 20000);
		CU_ASSERT_EQUAL(backend_run(g.b, &g.exit), 0);
		CU_ASSERT_EQUAL(g.exit.kind, VCPU_KICKED);
		alarm_us(g.b, 0);
	}
	CU_ASSERT(read64(&g, DATA + 0x20) > 5);
	finish(&g);
}

/* Passed again and again, a breakpoint is missed never, and interrupts come all the same. */
GUEST(passed, "mov $0xfee00000, %ebx\n movl $0x1ff, 0xf0(%rbx)\n movl $11, 0x3e0(%rbx)\n"
	      "movl $0x2007b, 0x320(%rbx)\n movl $2777, 0x380(%rbx)\n sti\n"
	      "passed_loop: inc %rax\n passed_a: mov %rax, 0x200030\n dec %rcx\n jmp passed_loop\n"
	      "passed_irq: incq 0x200020\n push %rax\n mov $0xfee00000, %eax\n"
	      "movl $0, 0xb0(%rax)\n pop %rax\n iretq");
LABEL(passed, a);
LABEL(passed, irq);

static void passes_breakpoints_and_takes_interrupts(const struct backend_ops *ops)
{
	enum { LEAST = 1000, MOST = 200000 };
	const uint64_t at = AT(passed, a);
	struct guest g;
	uint64_t i;

	start_with(&g, ops, BYTES(passed), true);
	interrupt_to(&g, AT(passed, irq));
	debug(&g, false, &at, 1);
	for (i = 0; i < LEAST || (i < MOST && read64(&g, DATA + 0x20) < 5); i++) {
		if (!run_to(&g, VCPU_DEBUG) || g.exit.why != VCPU_BREAKPOINT || g.exit.rip != at ||
			regs_of(&g).gpr[CPU_RAX] != i + 1 || read64(&g, DATA + 0x30) != i)
			break;
	}
	CU_ASSERT(i >= LEAST);
	CU_ASSERT(read64(&g, DATA + 0x20) >= 5);
	finish(&g);
}

/* Whoever comes to a count in one go is where others are who stopped before on their way. */
static void stops_before_the_count_is_exceeded(const struct backend_ops *ops)
{
	enum { POINTS = 200, SPAN = 60000 };
	struct cpu_state there, here;
	struct guest g, other;
	uint64_t at = 0, from;

	start_varied(&g, ops);
	start_varied(&other, ops);
	from = backend_icount(g.b);
	srand(7);
	for (unsigned i = 0; i < POINTS; i++) {
		at += (uint64_t)rand() % (i % 3 ? SPAN / POINTS : 4);
		until(&g, from + at + 1);
		if (!run_to(&g, VCPU_DEBUG))
			break;
		CU_ASSERT_EQUAL(g.exit.why, VCPU_COUNTED);
		CU_ASSERT_EQUAL(backend_icount(g.b) - from, at + 1);
		there = state_of(&g);
		run_to(&g, VCPU_DEBUG); /* it is there already */
		here = state_of(&g);
		CU_ASSERT_EQUAL(g.exit.why, VCPU_COUNTED);
		CU_ASSERT_EQUAL(memcmp(&there, &here, sizeof(here)), 0);
		if (i % 8)
			continue;
		until(&other, from + at + 1);
		run_to(&other, VCPU_DEBUG);
		here = state_of(&other);
		CU_ASSERT_EQUAL(memcmp(&there, &here, sizeof(here)), 0);
	}
	CU_ASSERT(read64(&g, DATA + 0x20) > 5); /* interrupts that came */
	CU_ASSERT(g.n_ports > 20);
	until(&g, 0);
	debug(&g, true, NULL, 0);
	run_to(&g, VCPU_DEBUG);
	CU_ASSERT_EQUAL(g.exit.why, VCPU_STEP);
	finish(&g);
	finish(&other);
}

static void counts_to_where_single_steps_lead(const struct backend_ops *ops)
{
	struct cpu_state stepped, counted;
	struct guest g, other;
	uint64_t at;

	start_varied(&g, ops);
	start_varied(&other, ops);
	debug(&other, true, NULL, 0);
	for (unsigned i = 0; i < 3000; i++) {
		at = backend_icount(other.b);
		run_to(&other, VCPU_DEBUG);
		if (backend_icount(other.b) == at)
			continue; /* an interrupt was taken, or an exception */
		until(&g, at + 1);
		run_to(&g, VCPU_DEBUG);
		stepped = state_of(&other);
		counted = state_of(&g);
		CU_ASSERT_EQUAL_FATAL(memcmp(&stepped, &counted, sizeof(counted)), 0);
	}
	finish(&g);
	finish(&other);
}

GUEST(kicked_there,
	"mov $0x1100, %edx\n mov $7, %eax\n out %eax, %dx\n kicked_there_a: nop\n nop\n hlt");
LABEL(kicked_there, a);

/* A kick that comes when the guest stands before a breakpoint: both are told, in any order, once each. */
static void a_kick_hides_no_breakpoint(const struct backend_ops *ops)
{
	uint64_t at = AT(kicked_there, a);
	unsigned kicks = 0, breaks = 0;
	struct guest g;

	start(&g, ops, BYTES(kicked_there));
	g.answer = g.kick = true;
	debug(&g, false, &at, 1);
	for (unsigned i = 0; i < 10 && g.exit.kind != VCPU_HALT; i++) {
		CU_ASSERT_EQUAL_FATAL(backend_run(g.b, &g.exit), 0);
		kicks += g.exit.kind == VCPU_KICKED;
		breaks += g.exit.kind == VCPU_DEBUG && g.exit.rip == at;
	}
	CU_ASSERT_EQUAL(kicks, 1);
	CU_ASSERT_EQUAL(breaks, 1);
	finish(&g);
}

/* ---- frozen and thawed ---- */

#define APIC_TIMER                                                                                 \
	"mov $0xfee00000, %ebx\n movl $0x1ff, 0xf0(%rbx)\n movl $0xb, 0x3e0(%rbx)\n"               \
	"movl $0x7b, 0x320(%rbx)\n movl $1000000, 0x380(%rbx)\n"

struct checkpoint {
	void *frozen;
	uint8_t *ram;
	struct vcpu_exit exit;
	unsigned n_ports;
	uint64_t sum;
};

static struct checkpoint take_checkpoint(struct guest *g)
{
	struct checkpoint c = { .exit = g->exit, .n_ports = g->n_ports, .sum = g->sum };

	c.frozen = malloc(backend_frozen_size(g->b));
	c.ram = malloc(RAM);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c.frozen);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c.ram);
	CU_ASSERT_EQUAL(backend_freeze(g->b, c.frozen), 0);
	gmem_read(&g->mem, 0, c.ram, RAM);
	return c;
}

static void restore(struct guest *g, const struct checkpoint *c)
{
	enum { PAGE = 4096 };
	uint8_t page[PAGE];

	for (uint64_t at = 0; at < RAM; at += PAGE) {
		gmem_read(&g->mem, at, page, PAGE);
		if (!memcmp(page, c->ram + at, PAGE))
			continue;
		gmem_write(&g->mem, at, c->ram + at, PAGE);
		backend_code_changed(g->b, at, PAGE);
	}
	CU_ASSERT_EQUAL(backend_thaw(g->b, c->frozen), 0);
	g->exit = c->exit;
	g->n_ports = c->n_ports;
	g->sum = c->sum;
}

static void drop_checkpoint(struct checkpoint *c)
{
	free(c->frozen);
	free(c->ram);
}

static void run_to_count(struct guest *g, uint64_t icount)
{
	until(g, icount);
	run_to(g, VCPU_DEBUG);
	CU_ASSERT_EQUAL(g->exit.why, VCPU_COUNTED);
	CU_ASSERT_EQUAL(backend_icount(g->b), icount);
}

/* Each time from one checkpoint, by other stops: what is between them must not matter. */
static void goes_on_as_it_did_bit_for_bit(const struct backend_ops *ops)
{
	enum { POINTS = 24, ROUNDS = 12, STRIDE = 1500 };
	struct cpu_state want[POINTS], got;
	uint64_t at[POINTS], count = 0, sums[POINTS], ticks[POINTS];
	struct checkpoint c;
	struct guest g;

	start_varied(&g, ops);
	srand(11);
	for (unsigned round = 0; round < ROUNDS; round++) {
		run_to_count(&g, count += 1 + (uint64_t)rand() % (round % 2 ? STRIDE : 9));
		c = take_checkpoint(&g);
		for (unsigned i = 0; i < POINTS; i++) {
			at[i] = (i ? at[i - 1] : count) + 1 + (uint64_t)rand() % STRIDE;
			run_to_count(&g, at[i]);
			want[i] = state_of(&g);
			sums[i] = g.sum;
			ticks[i] = read64(&g, DATA + 0x20);
		}
		for (unsigned pass = 1; pass < 4; pass++) {
			restore(&g, &c);
			CU_ASSERT_EQUAL(backend_icount(g.b), count);
			for (unsigned i = 0; i < POINTS; i++) {
				if (i % pass)
					continue;
				run_to_count(&g, at[i]);
				got = state_of(&g);
				CU_ASSERT_EQUAL(memcmp(&want[i], &got, sizeof(got)), 0);
				CU_ASSERT_EQUAL(g.sum, sums[i]);
				CU_ASSERT_EQUAL(read64(&g, DATA + 0x20), ticks[i]);
			}
		}
		count = at[POINTS - 1] + 1;
		run_to_count(&g, count);
		drop_checkpoint(&c);
	}
	CU_ASSERT(read64(&g, DATA + 0x20) > 50);
	finish(&g);
}

GUEST(stations,
	"mov $0x1100, %edx\n xor %ebx, %ebx\n mov $3, %ebp\n 1: mov $7, %eax\n out %eax, %dx\n"
	"inc %rbx\n in %dx, %eax\n add %rax, %rbx\n in %dx, %al\n add %rax, %rbx\n"
	"out %al, $0x80\n hlt\n dec %ebp\n jnz 1b\n mov %rbx, 0x200000\n hlt\n 2: hlt\n jmp 2b");

/* An interrupt waits for the instruction behind `sti` to be over; and for those behind a stop. */
static void thaws_in_the_shadow_of_sti(const struct backend_ops *ops)
{
	const uint64_t at = AT(varied, open);
	struct cpu_state want, got;
	struct checkpoint c;
	unsigned taken = 0;
	struct guest g;

	start_varied(&g, ops);
	for (unsigned i = 0; i < 8; i++) {
		debug(&g, false, &at, 1);
		run_to(&g, VCPU_DEBUG);
		c = take_checkpoint(&g);
		run_to_count(&g, backend_icount(g.b) + 1);
		want = state_of(&g);
		taken += want.regs.rip == AT(varied, irq);
		run_to_count(&g, backend_icount(g.b) + 9);
		restore(&g, &c);
		run_to_count(&g, backend_icount(g.b) + 1);
		got = state_of(&g);
		CU_ASSERT_EQUAL(memcmp(&want, &got, sizeof(got)), 0);
		drop_checkpoint(&c);
	}
	CU_ASSERT(taken > 0);
	finish(&g);
}

GUEST(slow, APIC_TIMER "mov $0x1100, %edx\n out %eax, %dx\n sti\n 1: hlt\n jmp 1b");

static void thaws_a_timer(const struct backend_ops *ops)
{
	struct checkpoint c;
	struct guest g;

	start_with(&g, ops, BYTES(slow), true);
	run_to(&g, VCPU_PORT);
	c = take_checkpoint(&g);
	for (unsigned i = 0; i < 3; i++) {
		if (!run_to(&g, VCPU_PORT))
			break;
		CU_ASSERT_EQUAL(g.exit.rdi, TIMER_VECTOR);
		restore(&g, &c);
	}
	drop_checkpoint(&c);
	finish(&g);
}

/* Frozen where run returned, accesses unfinished and halted: on every backend. */
static void thaws_where_it_was_frozen(const struct backend_ops *ops)
{
	enum { STOPS = 16 };
	struct cpu_state want, got, end;
	struct checkpoint c;
	uint64_t sum = 0;
	struct guest g;

	start(&g, ops, BYTES(stations));
	for (unsigned i = 0; i < STOPS; i++) {
		CU_ASSERT_EQUAL(backend_run(g.b, &g.exit), 0);
		c = take_checkpoint(&g);
		want = state_of(&g);
		for (unsigned pass = 0; pass < 2; pass++) {
			g.exit.data = 0x1234 + i;
			CU_ASSERT_EQUAL(backend_run(g.b, &g.exit), 0);
			end = state_of(&g);
			for (unsigned n = 0; n < i % 5; n++)
				backend_run(g.b, &g.exit);
			restore(&g, &c);
			got = state_of(&g);
			got.tsc = want.tsc;
			CU_ASSERT_EQUAL(memcmp(&want, &got, sizeof(got)), 0);
			g.exit.data = 0x1234 + i;
			CU_ASSERT_EQUAL(backend_run(g.b, &g.exit), 0);
			got = state_of(&g);
			got.tsc = end.tsc;
			CU_ASSERT_EQUAL(memcmp(&end, &got, sizeof(got)), 0);
			restore(&g, &c);
		}
		g.exit.data = 0x1234 + i;
		drop_checkpoint(&c);
	}
	/* Of each turn: 1, the answer to the first `in`, and AX with AL from the second. */
	for (uint64_t i = 0; i < 3; i++)
		sum += 1 + (0x1234 + 5 * i + 1) + (0x1234 + 5 * i + 1) / 256 * 256 +
		       (0x1234 + 5 * i + 2) % 256;
	CU_ASSERT_EQUAL(read64(&g, DATA), sum);
	finish(&g);
}

/* One place for more than one reason: each is told, the count last, and nothing runs in between. */
static void tells_a_breakpoint_before_the_count(const struct backend_ops *ops)
{
	const uint64_t at = AT(loop3, b);
	struct vcpu_debug d = { .breaks = &at, .n_breaks = 1 };
	struct guest g;

	start(&g, ops, BYTES(loop3));
	d.until = backend_icount(g.b) + 5; /* in front of it for the second time */
	CU_ASSERT_EQUAL(backend_set_debug(g.b, &d), 0);
	expect_debug(&g, VCPU_BREAKPOINT, at);
	expect_debug(&g, VCPU_BREAKPOINT, at);
	expect_debug(&g, VCPU_COUNTED, at);
	expect_debug(&g, VCPU_COUNTED, at);
	d.until += 3;
	d.step = true;
	CU_ASSERT_EQUAL(backend_set_debug(g.b, &d), 0);
	expect_debug(&g, VCPU_STEP, at + 2);
	finish(&g);
}

static void says_that_it_does_not_count(const struct backend_ops *ops)
{
	struct guest g;
	int r;

	start(&g, ops, BYTES(count));
	r = backend_set_debug(g.b, &(struct vcpu_debug){ .until = 5 });
	CU_ASSERT_EQUAL(r, ops->icount ? 0 : -EOPNOTSUPP);
	finish(&g);
}

/* ---- stopping ---- */

static void is_kicked_out_of_an_endless_loop(const struct backend_ops *ops)
{
	static const uint8_t code[] = { 0xeb, 0xfe };
	struct guest g;

	start(&g, ops, code, sizeof(code));
	for (unsigned i = 0; i < 5; i++) {
		alarm_us(g.b, 2000);
		CU_ASSERT_EQUAL(backend_run(g.b, &g.exit), 0);
		CU_ASSERT_EQUAL(g.exit.kind, VCPU_KICKED);
		CU_ASSERT_EQUAL(g.exit.rip, CODE);
	}
	finish(&g);
}

static struct timespec kicked_at;

static void on_alarm_kick(int sig)
{
	(void)sig;
	clock_gettime(CLOCK_MONOTONIC, &kicked_at);
	backend_kick(alarmed);
}

/* Seconds from the kick to the exit; the least of some, as other processes run here, too. */
static double kick_latency(struct guest *g)
{
	struct timespec out;
	double least = 1e9, this;

	g->exit.kind = VCPU_KICKED;
	for (unsigned i = 0; i < 12 && g->exit.kind == VCPU_KICKED; i++) {
		signal_us(g->b, 1000 + 700 * i, on_alarm_kick);
		CU_ASSERT_EQUAL(backend_run(g->b, &g->exit), 0);
		clock_gettime(CLOCK_MONOTONIC, &out);
		this = (double)(out.tv_sec - kicked_at.tv_sec) +
		       (double)(out.tv_nsec - kicked_at.tv_nsec) * 1e-9;
		least = this < least ? this : least;
	}
	alarm_us(g->b, 0);
	return least;
}

GUEST(spin, "spin_a: jmp spin_a");
GUEST(sleep, "1: sti\n hlt\n jmp 1b");
/* A gigabyte that is two megabytes 512 times. */
GUEST(long_copy, "1: mov $0x40000000, %esi\n mov $0x40000000, %edi\n mov $0x40000000, %ecx\n"
		 "rep movsb\n jmp 1b");

static void is_kicked_at_once(const struct backend_ops *ops)
{
	const struct {
		const char *what;
		const uint8_t *code, *end;
		bool watch;
	} rows[] = {
		{ "jmp .", spin_start, spin_end, false },
		{ "rep movsb", long_copy_start, long_copy_end, false },
		{ "hlt", sleep_start, sleep_end, false },
		{ "jmp ., watching", spin_start, spin_end, true },
		{ "rep movsb, watching", long_copy_start, long_copy_end, true },
		{ "hlt, watching", sleep_start, sleep_end, true },
	};
	const struct vcpu_watch far = { .gva = 0x600000, .len = 64, .on_read = true };
	struct guest g;
	double took;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start_with(&g, ops, rows[i].code, (size_t)(rows[i].end - rows[i].code), true);
		write64(&g, PDPT + 8, PT | PW);
		for (uint64_t n = 0; n < 512; n++)
			write64(&g, PT + 8 * n, 0x400000 | BIG);
		if (!rows[i].watch || !backend_set_debug(g.b, &(struct vcpu_debug){ .watches = &far,
								      .n_watches = 1 })) {
			took = kick_latency(&g);
			/* An HLT that nothing can end is an exit of its own on some. */
			CU_ASSERT(g.exit.kind == VCPU_KICKED ||
				  (g.exit.kind == VCPU_HALT && rows[i].code == sleep_start));
			CU_ASSERT(took < 2e-3 || g.exit.kind == VCPU_HALT);
			if (took >= 2e-3 && g.exit.kind == VCPU_KICKED)
				printf("     %s: %.0f us\n", rows[i].what, 1e6 * took);
		}
		finish(&g);
	}
}

/* Runs a little at a time until the CPU sleeps; on a busy host it may not have come to its HLT. */
static void run_until_halted(struct guest *g, struct cpu_state *s)
{
	enum { TRIES = 500 };

	s->halted = false;
	g->exit.kind = VCPU_KICKED;
	for (unsigned i = 0; i < TRIES && g->exit.kind == VCPU_KICKED && !s->halted; i++) {
		alarm_us(g->b, 2000);
		CU_ASSERT_EQUAL(backend_run(g->b, &g->exit), 0);
		alarm_us(g->b, 0);
		CU_ASSERT_EQUAL(backend_save(g->b, s), 0);
	}
}

static void stays_halted_across_save_and_load(const struct backend_ops *ops)
{
	static const uint8_t code[] = { 0xfb, 0xf4, 0xf4 }; /* sti; hlt; hlt */
	struct cpu_state s;
	struct guest g;

	start_with(&g, ops, code, sizeof(code), true);
	for (unsigned i = 0; i < 2; i++) {
		run_until_halted(&g, &s);
		if (g.exit.kind == VCPU_HALT) {
			unit_skip("HLT that nothing can end, ends the run here");
			break;
		}
		CU_ASSERT_EQUAL(g.exit.kind, VCPU_KICKED);
		CU_ASSERT_TRUE(s.halted);
		CU_ASSERT_EQUAL(s.regs.rip, CODE + 2);
		CU_ASSERT_EQUAL(backend_load(g.b, &s), 0);
	}
	finish(&g);
}

static void remembers_a_kick_until_it_runs(const struct backend_ops *ops)
{
	static const uint8_t code[] = { 0xf4 };
	struct guest g;

	start(&g, ops, code, sizeof(code));
	backend_kick(g.b);
	run_to(&g, VCPU_KICKED);
	CU_ASSERT_EQUAL(g.exit.rip, CODE);
	run_to(&g, VCPU_HALT);
	finish(&g);
}

static void reports_a_triple_fault(const struct backend_ops *ops)
{
	static const uint8_t code[] = { 0x0f, 0x0b };
	struct guest g;

	start(&g, ops, code, sizeof(code));
	g.state.idt.limit = 0;
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	run_to(&g, VCPU_SHUTDOWN);
	finish(&g);
}

GUEST(beyond, "mov $0x20000000, %ebx\n beyond_a: mov 8(%rbx), %rax\n hlt");
LABEL(beyond, a);

static void refuses_access_outside_ram(const struct backend_ops *ops)
{
	struct guest g;

	start(&g, ops, BYTES(beyond));
	if (run_to(&g, VCPU_REFUSED)) {
		CU_ASSERT_EQUAL(g.exit.rip, AT(beyond, a));
		CU_ASSERT_PTR_NOT_NULL(g.exit.text);
		CU_ASSERT_TRUE(g.exit.insn_len >= 4);
		CU_ASSERT_EQUAL(memcmp(g.exit.insn, beyond_a, 4), 0);
	}
	finish(&g);
}

GUEST(outgrow, "mov $0x7fffc0, %ebx\n 1: outgrow_a: paddd (%rbx), %xmm0\n add $16, %ebx\n"
	       "inc %eax\n jmp 1b");
LABEL(outgrow, a);

/* With help: what is refused in the end is where the help began, too. */
static void keeps_what_ran_before_an_access_outside_ram(const struct backend_ops *ops)
{
	struct guest g;

	start(&g, ops, BYTES(outgrow));
	if (run_to(&g, VCPU_REFUSED)) {
		CU_ASSERT_EQUAL(g.exit.rip, AT(outgrow, a));
		CU_ASSERT_EQUAL(regs_of(&g).rip, AT(outgrow, a));
		CU_ASSERT_EQUAL(regs_of(&g).gpr[CPU_RAX], 4);
	}
	finish(&g);
}

static void names_both_when_neither_knows_the_instruction(const struct backend_ops *ops)
{
	static const uint8_t code[] = { 0x90, 0xc5, 0xf8, 0x58, 0xc0, 0xf4 }; /* vaddps */
	struct backend_info info = { 0 };
	struct guest g;

	ops->probe(&info);
	if (ops != &backend_assisted || !info.refuses) {
		unit_skip("nobody needs help here");
		return;
	}
	start(&g, ops, code, sizeof(code));
	if (run_to(&g, VCPU_REFUSED)) {
		CU_ASSERT_EQUAL(g.exit.rip, CODE + 1);
		CU_ASSERT_PTR_NOT_NULL(strstr(g.exit.text, "kvm"));
		CU_ASSERT_PTR_NOT_NULL(strstr(g.exit.text, "tcg"));
		CU_ASSERT_EQUAL(memcmp(g.exit.insn, code + 1, 4), 0);
	}
	finish(&g);
}

/* ---- exceptions ---- */

GUEST(divide, "mov $1, %eax\n xor %edx, %edx\n xor %ecx, %ecx\n divide_a: div %ecx\n hlt");
LABEL(divide, a);
GUEST(invalid, "nop\n invalid_a: ud2\n hlt");
LABEL(invalid, a);
GUEST(fetch, "mov $0x40000000, %eax\n fetch_a: movl $1, 4(%rax)\n hlt");
LABEL(fetch, a);
GUEST(protect,
	"mov $0x20, %ecx\n mov $1, %rax\n shl $63, %rax\n protect_a: mov (%rax, %rcx), %rbx\n hlt");
LABEL(protect, a);
GUEST(lazy, "mov %cr0, %rax\n or $8, %eax\n mov %rax, %cr0\n lazy_a: addsd %xmm0, %xmm0\n hlt");
LABEL(lazy, a);
GUEST(trap, "nop\n int3\n trap_a: hlt");
LABEL(trap, a);

static void expect_fault(const struct backend_ops *ops, const uint8_t *code, size_t len,
	unsigned vector, int error, uint64_t rip)
{
	uint64_t rsp;
	struct guest g;

	start(&g, ops, code, len);
	if (run_to(&g, VCPU_PORT)) {
		CU_ASSERT_EQUAL(g.exit.port, FAULT_PORT);
		CU_ASSERT_EQUAL(g.exit.rdi, vector);
		rsp = regs_of(&g).gpr[CPU_RSP];
		if (error >= 0) {
			CU_ASSERT_EQUAL(read64(&g, rsp), (uint64_t)error);
			rsp += 8;
		}
		CU_ASSERT_EQUAL(read64(&g, rsp), rip);
		CU_ASSERT_EQUAL(read64(&g, rsp + 8), 8);
		CU_ASSERT_EQUAL(read64(&g, rsp + 24), STACK);
		CU_ASSERT_EQUAL(rsp + 40, STACK);
	}
	finish(&g);
}

static void delivers_a_divide_error(const struct backend_ops *ops)
{
	expect_fault(ops, BYTES(divide), CPU_VEC_DE, -1, AT(divide, a));
}

static void delivers_an_invalid_opcode(const struct backend_ops *ops)
{
	expect_fault(ops, BYTES(invalid), CPU_VEC_UD, -1, AT(invalid, a));
}

static void delivers_a_protection_fault(const struct backend_ops *ops)
{
	expect_fault(ops, BYTES(protect), CPU_VEC_GP, 0, AT(protect, a));
}

static void delivers_device_not_available(const struct backend_ops *ops)
{
	expect_fault(ops, BYTES(lazy), CPU_VEC_NM, -1, AT(lazy, a));
}

static void delivers_a_breakpoint_of_the_guest(const struct backend_ops *ops)
{
	expect_fault(ops, BYTES(trap), CPU_VEC_BP, -1, AT(trap, a));
}

static void delivers_a_page_fault_with_address_and_error(const struct backend_ops *ops)
{
	struct cpu_state s;
	struct guest g;

	expect_fault(ops, BYTES(fetch), CPU_VEC_PF, PAGING_WRITE, AT(fetch, a));
	start(&g, ops, BYTES(fetch));
	run_to(&g, VCPU_PORT);
	CU_ASSERT_EQUAL(backend_save(g.b, &s), 0);
	CU_ASSERT_EQUAL(s.cr2, 0x40000004);
	finish(&g);
}

GUEST(recover, "mov $0x40000000, %ebx\n mov (%rbx), %rax\n mov %rax, 0x200000\n hlt");

/* Maps 1 GiB + 0 to OTHER, as a guest's own handler would, and returns from the exception. */
static void goes_on_after_a_page_fault_was_repaired(const struct backend_ops *ops)
{
	/* mov $FAULT_PORT, %edx; out %eax, %dx; add $8, %rsp; iretq */
	static const uint8_t handler[] = { 0xba, FAULT_PORT & 0xff, FAULT_PORT >> 8, 0, 0, 0xef,
		0x48, 0x83, 0xc4, 0x08, 0x48, 0xcf };
	struct guest g;

	start(&g, ops, BYTES(recover));
	gmem_write(&g.mem, STUBS + 16 * CPU_VEC_PF, handler, sizeof(handler));
	write64(&g, OTHER, 0x600d);
	run_to(&g, VCPU_PORT);
	write64(&g, PDPT + 8, PT | PW);
	write64(&g, PT, (PT + 0x1000) | PW);
	write64(&g, PT + 0x1000, OTHER | PW);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(read64(&g, DATA), 0x600d);
	finish(&g);
}

GUEST(asleep, APIC_TIMER "sti\n hlt\n asleep_a: jmp asleep_a");
LABEL(asleep, a);
GUEST(busy, "mov $7, %eax\n pxor %xmm1, %xmm1\n" APIC_TIMER
	    "sti\n 1: cvtsi2sd %eax, %xmm0\n addsd %xmm0, %xmm1\n jmp 1b");

static void wakes_up_by_the_timer(const struct backend_ops *ops)
{
	struct guest g;

	start_with(&g, ops, BYTES(asleep), true);
	if (run_to(&g, VCPU_PORT)) {
		CU_ASSERT_EQUAL(g.exit.port, FAULT_PORT);
		CU_ASSERT_EQUAL(g.exit.rdi, TIMER_VECTOR);
		CU_ASSERT_EQUAL(read64(&g, regs_of(&g).gpr[CPU_RSP]), AT(asleep, a));
	}
	finish(&g);
}

static void takes_timer_interrupts_in_sse_code(const struct backend_ops *ops)
{
	struct guest g;

	start_with(&g, ops, BYTES(busy), true);
	if (run_to(&g, VCPU_PORT))
		CU_ASSERT_EQUAL(g.exit.rdi, TIMER_VECTOR);
	finish(&g);
}

/* ---- memory ---- */

GUEST(alias, "mov $0x40000000, %ebx\n mov (%rbx), %rax\n mov %rax, 0x200000\n movq $5, 8(%rbx)\n"
	     "movq $0x209003, 0x5000\n invlpg (%rbx)\n mov (%rbx), %rax\n mov %rax, 0x200008\n"
	     "movq $0x20a003, 0x5000\n mov %cr3, %rax\n mov %rax, %cr3\n mov (%rbx), %rax\n"
	     "mov %rax, 0x200010\n jmp *%rsi");
GUEST(aliased, "lea (%rip), %rax\n aliased_a: mov %rax, 0x200018\n hlt");
LABEL(aliased, a);

static void translates_addresses_that_are_not_identity_mapped(const struct backend_ops *ops)
{
	struct cpu_regs regs;
	struct guest g;

	start(&g, ops, BYTES(alias));
	write64(&g, PDPT + 8, PT | PW);
	write64(&g, PT, (PT + 0x1000) | PW);
	write64(&g, PT + 0x1000, OTHER | PW); /* 0x5000 */
	write64(&g, PT + 0x1000 + 8, 0x20b000 | PW);
	write64(&g, OTHER, 0xa1);
	write64(&g, 0x209000, 0xa2);
	write64(&g, 0x20a000, 0xa3);
	gmem_write(&g.mem, 0x20b100, BYTES(aliased));
	regs = regs_of(&g);
	regs.gpr[CPU_RSI] = 0x40001100;
	CU_ASSERT_EQUAL(backend_set_regs(g.b, &regs), 0);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(read64(&g, DATA), 0xa1);
	CU_ASSERT_EQUAL(read64(&g, OTHER + 8), 5);
	CU_ASSERT_EQUAL(read64(&g, DATA + 8), 0xa2);
	CU_ASSERT_EQUAL(read64(&g, DATA + 16), 0xa3);
	CU_ASSERT_EQUAL(read64(&g, DATA + 24), 0x40001100 + (uint64_t)(aliased_a - aliased_start));
	finish(&g);
}

GUEST(modify,
	"mov $3, %ecx\n 1: modify_a: mov $1, %eax\n add %rax, %rbx\n addb $1, modify_a + 1(%rip)\n"
	"dec %ecx\n jnz 1b\n mov %rbx, 0x200000\n hlt");

static void runs_code_that_changes_itself(const struct backend_ops *ops)
{
	struct guest g;

	start(&g, ops, BYTES(modify));
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(read64(&g, DATA), 1 + 2 + 3);
	finish(&g);
}

GUEST(patched, "mov $0x1100, %edx\n 1: patched_a: mov $1, %eax\n out %eax, %dx\n jmp 1b");
LABEL(patched, a);

static void runs_code_that_was_changed_from_outside(const struct backend_ops *ops)
{
	struct guest g;

	start(&g, ops, BYTES(patched));
	for (uint32_t i = 1; i < 5; i++) {
		if (!run_to(&g, VCPU_PORT))
			break;
		CU_ASSERT_EQUAL(g.exit.data, i);
		gmem_fill(&g.mem, AT(patched, a) + 1, (uint8_t)(i + 1), 1);
		backend_code_changed(g.b, AT(patched, a) + 1, 1);
	}
	finish(&g);
}

GUEST(relay, "mov $0x1100, %edx\n mov $20, %ecx\n xor %ebx, %ebx\n"
	     "1: pxor %xmm0, %xmm0\n relay_a: mov $1, %eax\n add %rax, %rbx\n out %eax, %dx\n"
	     "addb $1, relay_a + 1(%rip)\n dec %ecx\n jnz 1b\n mov %rbx, 0x200000\n hlt");

/* With help: what tcg ran, kvm changes, and tcg runs it again. */
static void runs_code_that_was_changed_in_between(const struct backend_ops *ops)
{
	struct guest g;

	start(&g, ops, BYTES(relay));
	g.answer = true;
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(read64(&g, DATA), 210);
	CU_ASSERT_EQUAL(g.sum, 210);
	finish(&g);
}

GUEST(remap, "mov $0x1100, %edx\n mov $0x40000000, %ebx\n pxor %xmm0, %xmm0\n mov (%rbx), %rax\n"
	     "mov %rax, 0x200000\n movq $0x209003, 0x5000\n invlpg (%rbx)\n pxor %xmm0, %xmm0\n"
	     "mov (%rbx), %rax\n mov %rax, 0x200008\n movq $0x20a003, 0x5000\n mov %cr3, %rax\n"
	     "mov %rax, %cr3\n pxor %xmm0, %xmm0\n mov (%rbx), %rax\n mov %rax, 0x200010\n hlt");

static void sees_page_tables_that_were_changed_in_between(const struct backend_ops *ops)
{
	struct guest g;

	start(&g, ops, BYTES(remap));
	write64(&g, PDPT + 8, PT | PW);
	write64(&g, PT, (PT + 0x1000) | PW);
	write64(&g, PT + 0x1000, OTHER | PW); /* 0x5000 */
	write64(&g, OTHER, 0xa1);
	write64(&g, 0x209000, 0xa2);
	write64(&g, 0x20a000, 0xa3);
	run_to(&g, VCPU_HALT);
	CU_ASSERT_EQUAL(read64(&g, DATA), 0xa1);
	CU_ASSERT_EQUAL(read64(&g, DATA + 8), 0xa2);
	CU_ASSERT_EQUAL(read64(&g, DATA + 16), 0xa3);
	finish(&g);
}

/* ---- from one backend to another ---- */

GUEST(journey,
	"fld1\n fldpi\n mov $0x1100, %edx\n mov $40, %ecx\n mov $1, %r8d\n stc\n"
	"1: fmul %st(1), %st\n fadd %st(1), %st\n cvtsi2sd %ecx, %xmm0\n divsd %xmm0, %xmm1\n"
	"addsd %xmm0, %xmm1\n rcl $3, %r8\n adc %rcx, %r8\n pushfq\n xor %fs:0, %r8\n popfq\n"
	"out %eax, %dx\n rcl $1, %r9\n xor %r8, %r9\n dec %ecx\n jnz 1b\n"
	"fstpl 0x200000\n fstpl 0x200008\n movsd %xmm1, 0x200010\n mov %r8, 0x200018\n"
	"mov %r9, 0x200020\n hlt");

/* Runs the journey, at each `out` over to the next backend of the n. */
static void travel(const struct backend_ops *const *ops, size_t n, uint8_t *result, size_t len)
{
	struct backend *all[2] = { NULL, NULL };
	struct cpu_state s;
	struct guest g;

	start(&g, ops[0], BYTES(journey));
	g.state.seg[CPU_FS].base = OTHER;
	write64(&g, OTHER, 0x5a5a1234);
	CU_ASSERT_EQUAL(backend_load(g.b, &g.state), 0);
	all[0] = g.b;
	if (n > 1)
		CU_ASSERT_EQUAL(ops[1]->create(&all[1],
					&(struct backend_config){
						.mem = &g.mem, .port = on_port, .ctx = &g },
					NULL),
			0);
	for (size_t i = 1; all[n - 1]; i++) {
		CU_ASSERT_EQUAL(backend_run(g.b, &g.exit), 0);
		if (g.exit.kind != VCPU_PORT)
			break;
		CU_ASSERT_EQUAL(backend_save(g.b, &s), 0);
		g.b = all[i % n];
		CU_ASSERT_EQUAL(backend_load(g.b, &s), 0);
	}
	CU_ASSERT_EQUAL(g.exit.kind, VCPU_HALT);
	CU_ASSERT_EQUAL(g.n_ports, 40);
	gmem_read(&g.mem, DATA, result, len);
	backend_destroy(all[0]);
	backend_destroy(all[1]);
	gmem_finish(&g.mem);
}

static bool usable(const struct backend_ops *ops)
{
	struct backend_info info = { 0 };

	ops->probe(&info);
	return info.usable;
}

static void travels_to_tcg_and_back(const struct backend_ops *ops)
{
	const struct backend_ops *const route[] = { ops, &backend_tcg };
	uint8_t alone[40], together[40];

	if (!usable(&backend_tcg)) {
		unit_skip("tcg is not here");
		return;
	}
	travel(route, 1, alone, sizeof(alone));
	travel(route, 2, together, sizeof(together));
	CU_ASSERT_EQUAL(memcmp(alone, together, sizeof(alone)), 0);
	travel(route + 1, 1, together, sizeof(together));
	CU_ASSERT_EQUAL(memcmp(alone, together, sizeof(alone)), 0);
}

/* ---- a backend without a CPU ---- */

struct script_ctx {
	unsigned n;
	unsigned answered;
	uint32_t seen; /* the answer to the `in` */
};

static int script_next(void *ctx, struct backend *b, struct vcpu_exit *exit)
{
	static const struct vcpu_exit rows[] = {
		{ .kind = VCPU_PORT, .port = PORT, .size = 4, .data = 1, .rip = 0x10 },
		{ .kind = VCPU_PORT, .port = PORT, .size = 4, .in = true },
		{ .kind = VCPU_PORT, .port = FAULT_PORT, .size = 1, .data = 3 },
		{ .kind = VCPU_SHUTDOWN },
	};
	struct script_ctx *c = ctx;

	(void)b;
	if (c->n == 2)
		c->seen = exit->data;
	if (c->n == sizeof(rows) / sizeof(rows[0]))
		return -ENODATA;
	*exit = rows[c->n++];
	return 0;
}

static bool script_port(void *ctx, struct vcpu_exit *exit)
{
	struct script_ctx *c = ctx;

	if (exit->port != PORT)
		return false;
	exit->data = exit->in ? 0x42 : exit->data;
	c->answered++;
	return true;
}

static void follows_a_script(const struct backend_ops *ops)
{
	struct script_ctx c = { 0 };
	struct backend_config config = { .next = script_next, .port = script_port, .ctx = &c };
	struct vcpu_exit exit = { 0 };
	struct cpu_state want, got;
	struct backend *b = NULL;

	CU_ASSERT_EQUAL(ops->create(&b, &(struct backend_config){ .ctx = &c }, NULL), -EINVAL);
	CU_ASSERT_EQUAL_FATAL(ops->create(&b, &config, NULL), 0);
	backend_kick(b);
	CU_ASSERT_EQUAL(backend_run(b, &exit), 0);
	CU_ASSERT_EQUAL(exit.kind, VCPU_KICKED);
	CU_ASSERT_EQUAL(c.n, 0);
	CU_ASSERT_EQUAL(backend_run(b, &exit), 0);
	CU_ASSERT_EQUAL(exit.port, FAULT_PORT);
	CU_ASSERT_EQUAL(c.answered, 2);
	CU_ASSERT_EQUAL(c.seen, 0x42);
	CU_ASSERT_EQUAL(backend_run(b, &exit), 0);
	CU_ASSERT_EQUAL(exit.kind, VCPU_SHUTDOWN);
	CU_ASSERT_EQUAL(backend_run(b, &exit), -ENODATA);
	cpu_state_long_mode(&want);
	fill_state(&want);
	CU_ASSERT_EQUAL(backend_load(b, &want), 0);
	CU_ASSERT_EQUAL(backend_save(b, &got), 0);
	CU_ASSERT_EQUAL(memcmp(&want, &got, sizeof(want)), 0);
	backend_destroy(b);
}

static void says_what_is_not_offered(const struct backend_ops *ops)
{
	const struct backend_ops bare = {
		.name = "bare", .destroy = ops->destroy, .run = ops->run
	};
	struct script_ctx c = { 0 };
	struct backend_config config = { .next = script_next, .ctx = &c };
	struct backend *b = NULL;
	struct cpu_state state;
	struct paging p;

	CU_ASSERT_EQUAL_FATAL(ops->create(&b, &config, NULL), 0);
	b->ops = &bare;
	CU_ASSERT_EQUAL(backend_get_regs(b, &state.regs), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(backend_set_regs(b, &state.regs), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(backend_save(b, &state), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(backend_load(b, &state), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(backend_paging(b, &p), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(backend_set_debug(b, &(struct vcpu_debug){ 0 }), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(backend_icount(b), 0);
	CU_ASSERT_EQUAL(backend_tsc_khz(b), 0);
	backend_kick(b);
	backend_code_changed(b, 0, 1);
	backend_destroy(b);
	backend_destroy(NULL);
}

/* ---- the choice ---- */

static void opens_by_name_and_by_itself(const struct backend_ops *ops)
{
	const struct vcpu_watch odd = { .gva = 0x1001, .len = 99, .on_read = true };
	struct backend_info info;
	struct err err = { "" };
	struct backend *b;
	struct gmem m;

	CU_ASSERT_PTR_EQUAL(backend_find("kvm"), &backend_kvm);
	CU_ASSERT_PTR_EQUAL(backend_find("tcg"), &backend_tcg);
	CU_ASSERT_PTR_NULL(backend_find("script"));
	CU_ASSERT_PTR_NULL(backend_find(""));
	for (unsigned i = 0; i < VCPU_EXIT_COUNT; i++)
		CU_ASSERT_PTR_NOT_NULL(vcpu_exit_names[i]);
	CU_ASSERT_EQUAL_FATAL(gmem_init(&m, 0, 1 << 20), 0);
	CU_ASSERT_EQUAL(backend_open("xen", &(struct backend_config){ .mem = &m }, &b, &info, &err),
		-EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "xen"));
	CU_ASSERT_EQUAL(
		backend_open("auto", &(struct backend_config){ .mem = &m }, &b, &info, &err), 0);
	CU_ASSERT_TRUE(info.usable);
	CU_ASSERT_PTR_NOT_NULL(strstr(info.debug, "breakpoints: "));
	CU_ASSERT_PTR_NOT_NULL(strstr(info.debug, "watchpoints: "));
	if (b)
		CU_ASSERT_STRING_EQUAL(b->ops->name, usable(&backend_kvm) ? "kvm" : "tcg");
	backend_destroy(b);
	CU_ASSERT_EQUAL(backend_open("auto", &(struct backend_config){ .mem = &m, .debug = true },
				&b, &info, &err),
		0);
	CU_ASSERT_TRUE(info.breakpoints && info.watchpoints);
	backend_probe_for_debug(b ? backend_find(b->ops->name) : &backend_tcg, &info);
	CU_ASSERT_TRUE(info.breakpoints && info.watchpoints);
	if (b)
		CU_ASSERT_EQUAL(backend_set_debug(
					b, &(struct vcpu_debug){ .watches = &odd, .n_watches = 1 }),
			0);
	backend_destroy(b);
	gmem_finish(&m);
	(void)ops;
}

/* ---- the table ---- */

enum needs {
	ANY_CPU = 0,
	NEEDS_SSE = 1 << 0, /* not on a KVM that refuses it */
	NEEDS_WATCH = 1 << 1,
	NEEDS_ICOUNT = 1 << 2,
	NEEDS_DEBUG = 1 << 3,
	ONLY_SCRIPT = 1 << 4,
	NEEDS_ALL_WATCHES = 1 << 5, /* not only what debug registers do */
};

#define CASE(name, needs)                                                                          \
	{                                                                                          \
#name, name, needs                                                                 \
	}
static const struct row {
	const char *name;
	void (*run)(const struct backend_ops *ops);
	unsigned needs;
} rows[] = {
	CASE(reports_an_out, ANY_CPU),
	CASE(puts_the_answer_of_an_in_into_al_ax_eax, ANY_CPU),
	CASE(answers_ports_without_leaving_run, ANY_CPU),
	CASE(keeps_registers_written_while_a_port_waits, ANY_CPU),
	CASE(halts_and_goes_on_behind_it, ANY_CPU),
	CASE(sets_and_gets_all_registers, ANY_CPU),
	CASE(pushes_no_resume_flag, ANY_CPU),
	CASE(keeps_segment_bases, ANY_CPU),
	CASE(keeps_control_registers, ANY_CPU),
	CASE(saves_what_was_loaded, ANY_CPU),
	CASE(keeps_sse_registers_across_load_run_save, ANY_CPU),
	CASE(delivers_an_exception_that_was_pending_in_the_state, ANY_CPU),
	CASE(computes_with_sse_and_x87, NEEDS_SSE),
	CASE(keeps_the_clock_going_forward_between_sse_code, NEEDS_SSE),
	CASE(saves_and_restores_extended_state, NEEDS_SSE),
	CASE(finds_operands_of_every_form, NEEDS_SSE),
	CASE(runs_a_medley_between_arithmetic, NEEDS_SSE),
	CASE(shows_the_cpuid_it_was_given, ANY_CPU),
	CASE(refuses_watches_that_cannot_be, NEEDS_DEBUG),
	CASE(tells_as_many_leaves_as_there_is_room_for, 0),
	CASE(steps_one_instruction_at_a_time, NEEDS_DEBUG),
	CASE(steps_over_a_port_access_nobody_answered, NEEDS_DEBUG),
	CASE(stops_at_breakpoints_once_each_time, NEEDS_DEBUG),
	CASE(steps_off_a_breakpoint, NEEDS_DEBUG),
	CASE(takes_breakpoints_without_number, NEEDS_DEBUG),
	CASE(shows_nobody_its_breakpoints, NEEDS_DEBUG),
	CASE(leaves_alone_what_the_guest_wrote_over_them, NEEDS_DEBUG),
	CASE(stops_in_pages_that_come_later, NEEDS_DEBUG),
	CASE(stops_where_nothing_may_be_executed, NEEDS_DEBUG),
	CASE(does_not_stop_at_another_address_of_it, NEEDS_DEBUG),
	CASE(gives_the_guest_its_own_int3, NEEDS_DEBUG | NEEDS_SSE),
	CASE(steps_through_sse_code, NEEDS_DEBUG | NEEDS_SSE),
	CASE(stops_at_breakpoints_in_sse_code, NEEDS_DEBUG | NEEDS_SSE),
	CASE(stops_at_breakpoints_in_sse_code_that_ran_before, NEEDS_DEBUG | NEEDS_SSE),
	CASE(stops_after_a_watched_access, NEEDS_DEBUG | NEEDS_WATCH),
	CASE(watches_whatever_is_asked_for, NEEDS_DEBUG | NEEDS_WATCH | NEEDS_ALL_WATCHES),
	CASE(steps_and_breaks_while_it_watches, NEEDS_DEBUG | NEEDS_WATCH | NEEDS_ALL_WATCHES),
	CASE(passes_breakpoints_and_takes_interrupts, NEEDS_DEBUG),
	CASE(watches_what_an_interrupt_writes, NEEDS_DEBUG | NEEDS_WATCH | NEEDS_ALL_WATCHES),
	CASE(counts_instructions_exactly, NEEDS_ICOUNT),
	CASE(stops_before_the_count_is_exceeded, NEEDS_ICOUNT),
	CASE(counts_to_where_single_steps_lead, NEEDS_ICOUNT),
	CASE(tells_a_breakpoint_before_the_count, NEEDS_ICOUNT),
	CASE(says_that_it_does_not_count, NEEDS_DEBUG),
	CASE(goes_on_as_it_did_bit_for_bit, NEEDS_ICOUNT),
	CASE(a_kick_hides_no_breakpoint, NEEDS_DEBUG),
	CASE(thaws_a_timer, ANY_CPU),
	CASE(thaws_in_the_shadow_of_sti, NEEDS_ICOUNT),
	CASE(thaws_where_it_was_frozen, ANY_CPU),
	CASE(is_kicked_out_of_an_endless_loop, ANY_CPU),
	CASE(is_kicked_at_once, ANY_CPU),
	CASE(stays_halted_across_save_and_load, ANY_CPU),
	CASE(remembers_a_kick_until_it_runs, ANY_CPU),
	CASE(reports_a_triple_fault, ANY_CPU),
	CASE(refuses_access_outside_ram, ANY_CPU),
	CASE(keeps_what_ran_before_an_access_outside_ram, NEEDS_SSE),
	CASE(names_both_when_neither_knows_the_instruction, NEEDS_SSE),
	CASE(delivers_a_divide_error, ANY_CPU),
	CASE(delivers_an_invalid_opcode, ANY_CPU),
	CASE(delivers_a_protection_fault, ANY_CPU),
	CASE(delivers_device_not_available, NEEDS_SSE),
	CASE(delivers_a_breakpoint_of_the_guest, NEEDS_SSE),
	CASE(delivers_a_page_fault_with_address_and_error, ANY_CPU),
	CASE(goes_on_after_a_page_fault_was_repaired, ANY_CPU),
	CASE(wakes_up_by_the_timer, ANY_CPU),
	CASE(takes_timer_interrupts_in_sse_code, NEEDS_SSE),
	CASE(translates_addresses_that_are_not_identity_mapped, ANY_CPU),
	CASE(runs_code_that_changes_itself, ANY_CPU),
	CASE(runs_code_that_was_changed_from_outside, ANY_CPU),
	CASE(runs_code_that_was_changed_in_between, NEEDS_SSE),
	CASE(sees_page_tables_that_were_changed_in_between, NEEDS_SSE),
	CASE(travels_to_tcg_and_back, NEEDS_SSE),
	CASE(follows_a_script, ONLY_SCRIPT),
	CASE(says_what_is_not_offered, ONLY_SCRIPT),
	CASE(opens_by_name_and_by_itself, ONLY_SCRIPT),
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const struct column {
	const char *name;
	const struct backend_ops *ops;
} columns[] = {
	{ "kvm", &backend_kvm },
	{ "assisted", &backend_assisted },
	{ "tcg", &backend_tcg },
	{ "script", &backend_script },
};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static struct backend_info infos[COLUMNS];
static char names[ROWS * COLUMNS][100];
static const struct row *row_of[ROWS * COLUMNS];
static size_t column_of[ROWS * COLUMNS];
static struct unit_case cases[ROWS * COLUMNS];

static const char *reason_to_skip(const struct row *row, const struct column *column)
{
	const struct backend_info *info = &infos[column - columns];

	if (!info->usable)
		return info->why;
	if (column->ops == &backend_assisted && !usable(&backend_tcg))
		return "tcg is not here";
	if (column->ops == &backend_kvm && info->refuses && (row->needs & NEEDS_SSE))
		return "this KVM refuses it without help";
	if ((row->needs & NEEDS_DEBUG) && !column->ops->set_debug)
		return "no debugging here";
	if ((row->needs & NEEDS_WATCH) && !info->watchpoints)
		return "no watchpoints here";
	if ((row->needs & NEEDS_ALL_WATCHES) && column->ops == &backend_kvm)
		return "debug registers do not do that";
	if ((row->needs & NEEDS_ICOUNT) && !column->ops->icount)
		return "instructions are not counted here";
	return NULL;
}

/* CUnit says which case it runs by name only. */
static void run_current(void)
{
	const char *name = CU_get_current_test()->pName, *reason;
	size_t i = 0;

	while (strcmp(names[i], name))
		i++;
	reason = reason_to_skip(row_of[i], &columns[column_of[i]]);
	if (reason)
		unit_skip(reason);
	else
		row_of[i]->run(columns[column_of[i]].ops);
}

int main(void)
{
	size_t n = 0;

	for (size_t c = 0; c < COLUMNS; c++) {
		bool script = columns[c].ops == &backend_script;

		columns[c].ops->probe(&infos[c]);
		for (size_t i = 0; i < ROWS; i++) {
			if (!!(rows[i].needs & ONLY_SCRIPT) != script)
				continue;
			snprintf(names[n], sizeof(names[n]), "%s: %s", columns[c].name,
				rows[i].name);
			row_of[n] = &rows[i];
			column_of[n] = c;
			cases[n] = (struct unit_case){ names[n], run_current };
			n++;
		}
	}
	return unit_run("backend", cases, n);
}
