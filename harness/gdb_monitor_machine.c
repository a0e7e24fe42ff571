// SPDX-License-Identifier: ISC
/* `monitor`, the machine: what it is, what runs it, and its registers. */
#include <inttypes.h>
#include <string.h>

#include "cpu.h"
#include "gdb_monitor.h"
#include "gdb_vm.h"
#include "session.h"

static bool state_of(struct gdb_vm *g, struct cpu_state *s, struct gdb_counts *counts, FILE *out)
{
	if (!g->ops.get_state(g, s, counts))
		return true;
	fputs("the registers cannot be had of this backend\n", out);
	return false;
}

/* ---- the machine ---- */

static void put_words(FILE *out, const char *label, char *const *words, size_t n)
{
	if (!n)
		return;
	fprintf(out, "%-14s", label);
	for (size_t i = 0; i < n; i++) {
		fputs(i ? " " : "", out);
		gdb_monitor_quote(out, words[i]);
	}
	putc('\n', out);
}

static void put_end(const struct gdb_vm *g, FILE *out)
{
	const struct vm_stop *stop = &g->vm->stop;

	if (stop->kind == VM_EXITED)
		fprintf(out, "state         ended: exit code %d\n", stop->code);
	else
		fprintf(out, "state         ended: %s\n", stop->text);
}

static void info_vm(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	const struct vm *vm = g->vm;
	const struct gmem *m = &vm->mem;
	struct gdb_counts counts;
	struct cpu_state s;
	char about[200];

	(void)w;
	vm->abi->describe(&vm->image, about, sizeof(about));
	fputs("guest         ", out);
	gdb_monitor_quote(out, g->session->guest);
	fprintf(out, "\nABI           %s\n", about);
	put_words(out, "arguments", vm->args.app, vm->args.n_app);
	put_words(out, "kernel args", vm->args.kernel, vm->args.n_kernel);
	put_words(out, "environment", vm->args.env, vm->args.n_env);
	fprintf(out, "RAM           0x%" PRIx64 "-0x%" PRIx64 ", %zu MiB\n", m->gpa,
		m->gpa + m->size - 1, m->size >> 20);
	fprintf(out, "image         0x%" PRIx64 "-0x%" PRIx64 ", linked at 0x%" PRIx64 "\n",
		vm->layout.kernel_base + vm->image.start,
		vm->layout.kernel_base + vm->image.end - 1, vm->image.start);
	fprintf(out, "backend       %s, %s\n", vm->cpu->ops->name, vm->cpu_info.kind);
	fprintf(out,
		"clock         begins at %" PRIu64 ".%09" PRIu64 " s since 1970, TSC %u kHz%s\n",
		vm->boot_time_ns / 1000000000, vm->boot_time_ns % 1000000000, vm->tsc_khz,
		g->session->options.deterministic ? ", deterministic" : "");
	if (!state_of(g, &s, &counts, out))
		return;
	if (g->ended)
		put_end(g, out);
	else if (vm->call_state != VM_CALL_NONE)
		fprintf(out, "state         in hypercall %s, RIP 0x%" PRIx64 "\n",
			vm->call.row->name, s.regs.rip);
	else
		fprintf(out, "state         stopped at RIP 0x%" PRIx64 "\n", s.regs.rip);
	fprintf(out, "so far        %" PRIu64 " hypercalls", counts.hypercall_index);
	if (counts.insn_count != UINT64_MAX)
		fprintf(out, ", %" PRIu64 " instructions", counts.insn_count);
	putc('\n', out);
}

static void info_backend(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	const struct backend_info *info = &g->vm->cpu_info;
	const struct backend_ops *ops = g->vm->cpu->ops;
	size_t watches = g->points.n_watches;

	(void)w;
	fprintf(out, "backend       %s, %s\n", ops->name, info->kind);
	if (info->why[0])
		fprintf(out, "note          %s\n", info->why);
	if (info->gaps[0])
		fprintf(out, "missing       %s\n", info->gaps);
	if (info->debug[0])
		fprintf(out, "debugging     %s\n", info->debug);
	fprintf(out, "breakpoints   %s, %zu set\n", info->breakpoints ? "yes" : "no",
		g->points.n - watches);
	fprintf(out, "watchpoints   %s, %zu set\n", info->watchpoints ? "yes" : "no", watches);
	fprintf(out, "instructions  %s\n",
		ops->icount ? "counted" : "not counted; $insn_count is -1");
	fprintf(out, "CPU state     %s\n",
		ops->save && ops->load ? "can be read and written" : "registers only");
	fprintf(out, "helped by     %s\n",
		info->refuses ? "tcg, for instructions it refuses" : "nobody");
}

static void irq(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	bool on;

	if (w->n && !gdb_monitor_switch(out, w->list[0], &on))
		return;
	if (w->n)
		g->shows_interrupts = on;
	fprintf(out, "a step %s\n",
		g->shows_interrupts ? "ends in an interrupt's handler, when there is one"
				    : "goes over the handlers of interrupts");
}

static void put_exceptions(uint32_t exceptions, FILE *out)
{
	if (!exceptions) {
		fputs("exceptions do not stop the guest\n", out);
		return;
	}
	fputs("stops before these exceptions are delivered:", out);
	for (int vector = 0; vector < 32; vector++)
		if (exceptions >> vector & 1)
			fprintf(out, " %d", vector);
	putc('\n', out);
}

/* "14,13", or "off". */
static bool parse_exceptions(FILE *out, const char *word, uint32_t *exceptions)
{
	char piece[8];
	uint64_t vector;

	*exceptions = 0;
	if (!strcmp(word, "off"))
		return true;
	for (size_t n;; word += n + 1) {
		n = strcspn(word, ",");
		snprintf(piece, sizeof(piece), "%.*s", n < sizeof(piece) ? (int)n : 0, word);
		if (!gdb_monitor_number(
			    out, piece, "off, or vectors such as 14,13: each", 0, 31, &vector))
			return false;
		*exceptions |= 1u << vector;
		if (!word[n])
			return true;
	}
}

static void catch_exception(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	uint32_t before = g->points.exceptions;
	struct vcpu_debug debug;

	if (w->n && !parse_exceptions(out, w->list[0], &g->points.exceptions)) {
		g->points.exceptions = before;
		return;
	}
	debug = gdb_points_debug(&g->points);
	if (w->n && backend_set_debug(g->vm->cpu, &debug)) {
		g->points.exceptions = before;
		fprintf(out,
			"%s does not tell what exceptions its guest raises; use --backend tcg\n",
			g->vm->cpu->ops->name);
		return;
	}
	put_exceptions(g->points.exceptions, out);
}

/* ---- registers, to be read ---- */

struct bit {
	const char *name;
	int bit;
};
#define NO_BIT                                                                                     \
	{                                                                                          \
		NULL, 0                                                                            \
	}

static const struct bit flag_bits[] = { { "CF", 0 }, { "PF", 2 }, { "AF", 4 }, { "ZF", 6 },
	{ "SF", 7 }, { "TF", 8 }, { "IF", 9 }, { "DF", 10 }, { "OF", 11 }, { "NT", 14 },
	{ "RF", 16 }, { "AC", 18 }, { "ID", 21 }, NO_BIT };
static const struct bit cr0_bits[] = { { "PE", 0 }, { "MP", 1 }, { "EM", 2 }, { "TS", 3 },
	{ "ET", 4 }, { "NE", 5 }, { "WP", 16 }, { "AM", 18 }, { "NW", 29 }, { "CD", 30 },
	{ "PG", 31 }, NO_BIT };
static const struct bit cr4_bits[] = { { "VME", 0 }, { "PVI", 1 }, { "TSD", 2 }, { "DE", 3 },
	{ "PSE", 4 }, { "PAE", 5 }, { "MCE", 6 }, { "PGE", 7 }, { "PCE", 8 }, { "OSFXSR", 9 },
	{ "OSXMMEXCPT", 10 }, { "UMIP", 11 }, { "LA57", 12 }, { "FSGSBASE", 16 }, { "PCIDE", 17 },
	{ "OSXSAVE", 18 }, { "SMEP", 20 }, { "SMAP", 21 }, { "PKE", 22 }, NO_BIT };
static const struct bit efer_bits[] = { { "SCE", 0 }, { "LME", 8 }, { "LMA", 10 }, { "NXE", 11 },
	NO_BIT };

static void put_bits(FILE *out, const char *name, uint64_t value, const struct bit *bits)
{
	fprintf(out, "%-7s %016" PRIx64, name, value);
	for (const char *gap = "  "; bits->name; bits++) {
		if (!(value >> bits->bit & 1))
			continue;
		fprintf(out, "%s%s", gap, bits->name);
		gap = " ";
	}
	putc('\n', out);
}

/* In the order of people, not of the encoding. */
static const struct {
	const char *name, *qemu;
	enum cpu_gpr gpr;
} gprs[] = { { "rax", "RAX", CPU_RAX }, { "rbx", "RBX", CPU_RBX }, { "rcx", "RCX", CPU_RCX },
	{ "rdx", "RDX", CPU_RDX }, { "rsi", "RSI", CPU_RSI }, { "rdi", "RDI", CPU_RDI },
	{ "rbp", "RBP", CPU_RBP }, { "rsp", "RSP", CPU_RSP }, { "r8", "R8 ", CPU_R8 },
	{ "r9", "R9 ", CPU_R9 }, { "r10", "R10", CPU_R10 }, { "r11", "R11", CPU_R11 },
	{ "r12", "R12", CPU_R12 }, { "r13", "R13", CPU_R13 }, { "r14", "R14", CPU_R14 },
	{ "r15", "R15", CPU_R15 } };

static const struct {
	const char *name;
	enum cpu_seg_name seg;
} segs[] = { { "ES", CPU_ES }, { "CS", CPU_CS }, { "SS", CPU_SS }, { "DS", CPU_DS },
	{ "FS", CPU_FS }, { "GS", CPU_GS }, { "LDT", CPU_LDTR }, { "TR", CPU_TR } };
enum { SEGS = sizeof(segs) / sizeof(segs[0]), GPRS = CPU_GPR_COUNT };

static unsigned dpl_of(const struct cpu_seg *s)
{
	return s->attr >> CPU_SEG_DPL_SHIFT & 3;
}

static void put_segments(FILE *out, const struct cpu_state *s)
{
	for (size_t i = 0; i < SEGS; i++) {
		const struct cpu_seg *seg = &s->seg[segs[i].seg];

		if (seg->attr & CPU_SEG_UNUSABLE)
			fprintf(out, "%-7s %04x  not usable\n", segs[i].name, seg->selector);
		else
			fprintf(out, "%-7s %04x  base %016" PRIx64 " limit %08x level %u %s\n",
				segs[i].name, seg->selector, seg->base, seg->limit, dpl_of(seg),
				!(seg->attr & CPU_SEG_S) ? "system"
				: !(seg->attr & 8)       ? "data"
				: seg->attr & CPU_SEG_L  ? "code, 64 bit"
				: seg->attr & CPU_SEG_DB ? "code, 32 bit"
							 : "code, 16 bit");
	}
}

static void info_regs(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	struct gdb_counts counts;
	struct cpu_state s;

	(void)w;
	if (!state_of(g, &s, &counts, out))
		return;
	for (size_t i = 0; i < GPRS; i++)
		fprintf(out, "%-3s %016" PRIx64 "%s", gprs[i].name, s.regs.gpr[gprs[i].gpr],
			i % 4 == 3 ? "\n" : "  ");
	fprintf(out, "rip     %016" PRIx64 "%s\n", s.regs.rip, s.halted ? "  halted" : "");
	put_bits(out, "rflags", s.regs.rflags, flag_bits);
	put_bits(out, "cr0", s.cr0, cr0_bits);
	put_bits(out, "cr4", s.cr4, cr4_bits);
	put_bits(out, "efer", s.efer, efer_bits);
	fprintf(out, "cr2     %016" PRIx64 "  cr3 %016" PRIx64 "  cr8 %" PRIx64 "\n", s.cr2, s.cr3,
		s.cr8);
	put_segments(out, &s);
	fprintf(out, "GDT           base %016" PRIx64 " limit %04x\n", s.gdt.base, s.gdt.limit);
	fprintf(out, "IDT           base %016" PRIx64 " limit %04x\n", s.idt.base, s.idt.limit);
	if (s.event.pending)
		fprintf(out, "exception %u is to be delivered next\n", s.event.vector);
}

/* ---- as QEMU writes them: tools read that ---- */

static void qemu_flags(FILE *out, const struct cpu_state *s)
{
	static const struct {
		char letter;
		int bit;
	} bits[] = { { 'D', 10 }, { 'O', 11 }, { 'S', 7 }, { 'Z', 6 }, { 'A', 4 }, { 'P', 2 },
		{ 'C', 0 } };

	fprintf(out, "RIP=%016" PRIx64 " RFL=%08x [", s->regs.rip, (unsigned)s->regs.rflags);
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		putc(s->regs.rflags >> bits[i].bit & 1 ? bits[i].letter : '-', out);
	fprintf(out, "] CPL=%u II=0 A20=1 SMM=0 HLT=%d\n", dpl_of(&s->seg[CPU_SS]), s->halted);
}

static void qemu_segment(FILE *out, const char *name, const struct cpu_seg *seg, bool is_64)
{
	static const char *const system[16] = { [2] = "LDT",
		[9] = "TSS64-avl",
		[11] = "TSS64-busy",
		[12] = "CallGate64",
		[14] = "IntGate64",
		[15] = "TrapGate64" };
	unsigned attr = seg->attr, type = attr & CPU_SEG_TYPE;

	fprintf(out, "%-3s=%04x %016" PRIx64 " %08x %08x", name, seg->selector, seg->base,
		seg->limit, attr & CPU_SEG_UNUSABLE ? 0 : (attr & 0xf0ff) << 8);
	if (!(attr & CPU_SEG_P) || attr & CPU_SEG_UNUSABLE) {
		putc('\n', out);
		return;
	}
	fprintf(out, " DPL=%u ", dpl_of(seg));
	if (!(attr & CPU_SEG_S))
		fprintf(out, "%s\n", system[type] ? system[type] : "Reserved");
	else if (type & 8)
		fprintf(out, "%s [%c%c%c]\n",
			attr & CPU_SEG_L    ? "CS64"
			: attr & CPU_SEG_DB ? "CS32"
					    : "CS16",
			type & 4 ? 'C' : '-', type & 2 ? 'R' : '-', type & 1 ? 'A' : '-');
	else
		fprintf(out, "%s [%c%c%c]\n", attr & CPU_SEG_DB || is_64 ? "DS  " : "DS16",
			type & 4 ? 'E' : '-', type & 2 ? 'W' : '-', type & 1 ? 'A' : '-');
}

static void qemu_float(FILE *out, const struct cpu_state *s)
{
	uint16_t fcw, fsw, high;
	uint64_t low[2];
	uint32_t mxcsr;

	memcpy(&fcw, s->fx, 2);
	memcpy(&fsw, s->fx + 2, 2);
	memcpy(&mxcsr, s->fx + 24, 4);
	fprintf(out, "FCW=%04x FSW=%04x [ST=%d] FTW=%02x MXCSR=%08x\n", fcw, fsw, fsw >> 11 & 7,
		s->fx[4], mxcsr);
	for (int i = 0; i < 8; i++) {
		memcpy(low, s->fx + 32 + 16 * i, 8);
		memcpy(&high, s->fx + 40 + 16 * i, 2);
		fprintf(out, "FPR%d=%016" PRIx64 " %04x%c", i, low[0], high, i % 2 ? '\n' : ' ');
	}
	for (int i = 0; i < 16; i++) {
		memcpy(low, s->fx + 160 + 16 * i, 16);
		fprintf(out, "XMM%02d=%016" PRIx64 " %016" PRIx64 "%c", i, low[1], low[0],
			i % 2 ? '\n' : ' ');
	}
}

static void info_registers(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	struct gdb_counts counts;
	struct cpu_state s;

	(void)w;
	if (!state_of(g, &s, &counts, out))
		return;
	for (size_t i = 0; i < GPRS; i++)
		fprintf(out, "%s=%016" PRIx64 "%c", gprs[i].qemu, s.regs.gpr[gprs[i].gpr],
			i % 4 == 3 ? '\n' : ' ');
	qemu_flags(out, &s);
	for (size_t i = 0; i < SEGS; i++)
		qemu_segment(
			out, segs[i].name, &s.seg[segs[i].seg], s.seg[CPU_CS].attr & CPU_SEG_L);
	fprintf(out, "GDT=     %016" PRIx64 " %08x\n", s.gdt.base, s.gdt.limit);
	fprintf(out, "IDT=     %016" PRIx64 " %08x\n", s.idt.base, s.idt.limit);
	fprintf(out, "CR0=%08x CR2=%016" PRIx64 " CR3=%016" PRIx64 " CR4=%08x\n", (unsigned)s.cr0,
		s.cr2, s.cr3, (unsigned)s.cr4);
	for (int i = 0; i < 4; i++)
		fprintf(out, "DR%d=%016" PRIx64 "%s", i, s.dr[i], i < 3 ? " " : " \n");
	fprintf(out, "DR6=%016" PRIx64 " DR7=%016" PRIx64 "\n", s.dr6, s.dr7);
	fprintf(out, "EFER=%016" PRIx64 "\n", s.efer);
	qemu_float(out, &s);
}

const struct gdb_command gdb_commands_machine[] = {
	{ "info vm", "", "the guest, its memory, its arguments, where it stands", 0, 0, info_vm },
	{ "info backend", "", "what runs it, and what that can do for a debugger", 0, 0,
		info_backend },
	{ "info regs", "", "registers, flags and segments in words", 0, 0, info_regs },
	{ "info registers", "", "the same in QEMU's format, for tools", 0, 0, info_registers },
	{ "catch exception", "[N,...|off]",
		"stop at exceptions, before the guest's handler sees them; only on tcg\n"
		"N is the vector: 14 for page faults, 13 for general protection, 6 for invalid "
		"opcodes, 0\n"
		"for divisions. continue delivers it.",
		0, 1, catch_exception },
	{ "irq", "[on|off]", "whether interrupts are taken while stepping", 0, 1, irq },
	{ 0 },
};
