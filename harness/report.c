// SPDX-License-Identifier: ISC
/* The crash report. Runs after the guest has stopped, never on its path. */
#include "report.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "err.h"
#include "log.h"
#include "paging.h"
#include "strace.h"
#include "symbols.h"
#include "vm.h"

enum { FRAMES_MAX = 32, REGS_PER_LINE = 3, BACKTRACE_MS = 5000, AGAIN_MS = 2000 };
enum { INSN_MAX = 15, NULL_END = 4096, STACK_NEAR = 64 << 10 };

static const char *const gpr_names[CPU_GPR_COUNT] = {
	[CPU_RAX] = "rax",
	[CPU_RCX] = "rcx",
	[CPU_RDX] = "rdx",
	[CPU_RBX] = "rbx",
	[CPU_RSP] = "rsp",
	[CPU_RBP] = "rbp",
	[CPU_RSI] = "rsi",
	[CPU_RDI] = "rdi",
	[CPU_R8] = "r8",
	[CPU_R9] = "r9",
	[CPU_R10] = "r10",
	[CPU_R11] = "r11",
	[CPU_R12] = "r12",
	[CPU_R13] = "r13",
	[CPU_R14] = "r14",
	[CPU_R15] = "r15",
};

struct memory {
	const struct vm *vm;
	struct paging paging;
};

struct place {
	struct cpu_state state;
	struct memory memory;
	size_t max_frames;
};

static int read_memory(void *ctx, uint64_t gva, void *buf, size_t len)
{
	const struct memory *m = ctx;

	return paging_read(&m->vm->mem, &m->paging, gva, buf, len) == len ? 0 : -EFAULT;
}

static void print_registers(const struct cpu_state *s)
{
	fprintf(stderr, "  rip    %016llx  rflags %016llx\n", (unsigned long long)s->regs.rip,
		(unsigned long long)s->regs.rflags);
	for (size_t i = 0; i < CPU_GPR_COUNT; i++)
		fprintf(stderr, "  %-3s %016llx%s", gpr_names[i],
			(unsigned long long)s->regs.gpr[i],
			i % REGS_PER_LINE == REGS_PER_LINE - 1 || i == CPU_GPR_COUNT - 1 ? "\n"
											 : "");
	fprintf(stderr, "  cr0 %llx  cr2 %llx  cr3 %llx  cr4 %llx  efer %llx\n",
		(unsigned long long)s->cr0, (unsigned long long)s->cr2, (unsigned long long)s->cr3,
		(unsigned long long)s->cr4, (unsigned long long)s->efer);
}

/* The backtrace, line by line to fd. In a child: an image's debug information is hostile too. */
static void write_backtrace(void *ctx, int fd)
{
	struct place *place = ctx;
	const struct vm *vm = place->memory.vm;
	struct symbols *symbols = NULL;
	uint64_t pcs[FRAMES_MAX];
	struct err err = { "" };
	char where[300];
	size_t n;

	if (symbols_open(&symbols, vm->image.bytes, vm->image.size, vm->layout.kernel_base, &err)) {
		dprintf(fd, "0x%llx  no backtrace: %s\n", (unsigned long long)place->state.regs.rip,
			err.text);
		return;
	}
	n = symbols_backtrace(
		symbols, &place->state.regs, read_memory, &place->memory, pcs, place->max_frames);
	for (size_t i = 0; i < n; i++) {
		for (unsigned k = 0; symbols_describe_nth(symbols, pcs[i], k, where, sizeof(where));
			k++)
			dprintf(fd, "0x%llx  %s\n", (unsigned long long)pcs[i], where);
	}
	symbols_close(symbols);
}

static bool find_place(struct place *place, struct vm *vm, size_t max_frames)
{
	if (backend_save(vm->cpu, &place->state))
		return false;
	place->memory.vm = vm;
	place->memory.paging = paging_of_state(&place->state);
	place->max_frames = max_frames < FRAMES_MAX ? max_frames : FRAMES_MAX;
	return true;
}

void report_frames(struct vm *vm, uint64_t rip, size_t max, char *buf, size_t size)
{
	struct place place;

	buf[0] = 0;
	if (!vm->image.bytes || !find_place(&place, vm, max))
		return;
	if (rip)
		place.state.regs.rip = rip;
	symbols_in_child(write_backtrace, &place, BACKTRACE_MS, buf, size);
}

/* ---- what happened ---- */

static const struct exception {
	const char *text;
	int signal;
} exceptions[] = {
	[CPU_VEC_DE] = { "divide error (#DE)", SIGFPE },
	[CPU_VEC_DB] = { "debug exception (#DB)", SIGTRAP },
	[CPU_VEC_NMI] = { "non-maskable interrupt", SIGABRT },
	[CPU_VEC_BP] = { "breakpoint (#BP)", SIGTRAP },
	[CPU_VEC_OF] = { "overflow (#OF)", SIGSEGV },
	[CPU_VEC_BR] = { "bound range exceeded (#BR)", SIGSEGV },
	[CPU_VEC_UD] = { "invalid opcode (#UD)", SIGILL },
	[CPU_VEC_NM] = { "no floating-point unit (#NM)", SIGFPE },
	[CPU_VEC_DF] = { "double fault (#DF)", SIGSEGV },
	[CPU_VEC_TS] = { "invalid task state segment (#TS)", SIGSEGV },
	[CPU_VEC_NP] = { "segment not present (#NP)", SIGBUS },
	[CPU_VEC_SS] = { "stack segment fault (#SS)", SIGBUS },
	[CPU_VEC_GP] = { "general protection fault (#GP)", SIGSEGV },
	[CPU_VEC_PF] = { "page fault (#PF)", SIGSEGV },
	[CPU_VEC_MF] = { "x87 floating-point error (#MF)", SIGFPE },
	[CPU_VEC_AC] = { "alignment check (#AC)", SIGBUS },
	[CPU_VEC_XM] = { "SIMD floating-point error (#XM)", SIGFPE },
};
enum { N_EXCEPTIONS = sizeof(exceptions) / sizeof(exceptions[0]), FIRST_INTERRUPT = 32 };

/*
 * A KVM does not say what began a triple fault. The instruction does when it is run once more, on the software CPU: in
 * a child, over memory that cannot be written there, so that nothing changes.
 */
static void fault_again(void *ctx, int fd)
{
	const struct place *place = ctx;
	const struct vm *vm = place->memory.vm;
	const struct vcpu_debug step = { .step = true };
	struct gmem mem = vm->mem;
	struct vcpu_exit exit = { 0 };
	struct cpu_state state;
	struct backend *cpu;
	struct rlimit limit;
	struct err err;

	/* Unicorn keeps a GiB of addresses for what it translates. */
	if (!getrlimit(RLIMIT_DATA, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_DATA, &limit);
	}
	if (mprotect(gmem_span(&mem, mem.gpa, mem.size), mem.size, PROT_READ) ||
		backend_tcg.create(&cpu, &(struct backend_config){ .mem = &mem }, &err) ||
		backend_load(cpu, &place->state) || backend_set_debug(cpu, &step) ||
		backend_run(cpu, &exit) || exit.kind != VCPU_SHUTDOWN || backend_save(cpu, &state))
		return;
	if (exit.cause.vector == CPU_VEC_PF && state.cr2 != place->state.cr2)
		return; /* not what happened */
	if (write(fd, &exit.cause, sizeof(exit.cause)) < 0)
		return;
}

/* VEX and EVEX prefixes: what the software CPU does not know is no invalid opcode elsewhere. */
static bool is_vex(uint8_t first)
{
	return (first & 0xfe) == 0xc4 || first == 0x62;
}

/* Of a triple fault; not pending: nobody can tell. */
static struct cpu_event find_cause(struct place *place, const uint8_t *insn, size_t len)
{
	const struct vcpu_exit *exit = &place->memory.vm->stop.exit;
	struct cpu_event cause = { 0 };
	char bytes[sizeof(cause) + 1];

	if (exit->kind != VCPU_SHUTDOWN || exit->cause.pending)
		return exit->kind == VCPU_SHUTDOWN ? exit->cause : cause;
	if (symbols_in_child(fault_again, place, AGAIN_MS, bytes, sizeof(bytes)) == sizeof(cause))
		memcpy(&cause, bytes, sizeof(cause));
	if (cause.vector == CPU_VEC_UD && len && is_vex(insn[0]))
		cause.pending = false;
	return cause;
}

/* Why an access does not work, by the tables: "" when it does. */
static void explain_access(
	const struct place *place, uint64_t gva, unsigned access, char *text, size_t size)
{
	enum { PRESENT = 1 << 0, RESERVED = 1 << 3 };
	const struct gmem *mem = &place->memory.vm->mem;
	struct paging_page page;
	uint32_t error = 0;
	int r = paging_walk(mem, &place->memory.paging, gva, access, &page, &error);

	if (!r && !gmem_span(mem, page.gpa + (gva - page.gva), 1))
		snprintf(text, size, "mapped to 0x%llx, outside RAM",
			(unsigned long long)(page.gpa + (gva - page.gva)));
	else
		snprintf(text, size, "%s",
			!r                   ? ""
			: !(error & PRESENT) ? "not mapped"
			: error & RESERVED   ? "mapped by an entry with reserved bits set"
			: access & PAGING_USER && !page.user ? "mapped for the supervisor only"
			: access & PAGING_WRITE              ? "mapped read-only"
							     : "mapped not executable");
}

/* What an address looks like that nobody meant. */
static const char *suspicion(const struct place *place, uint64_t gva, unsigned access)
{
	uint64_t rsp = place->state.regs.gpr[CPU_RSP];

	if (gva < NULL_END)
		return "; a null pointer?";
	if (!(access & PAGING_FETCH) && gva - (rsp - STACK_NEAR) < 2 * STACK_NEAR)
		return "; RSP is near: a stack overflow?";
	return "";
}

static void print_page_fault(FILE *out, const struct place *place, const struct cpu_event *cause)
{
	uint64_t gva = place->state.cr2;
	unsigned access = cause->error & (PAGING_WRITE | PAGING_USER | PAGING_FETCH);
	char why[80];

	if (gva == place->state.regs.rip && !(access & PAGING_WRITE))
		access |= PAGING_FETCH; /* without NXE the error code does not say so */
	explain_access(place, gva, access, why, sizeof(why));
	fprintf(out, "  page fault (#PF): %s of 0x%llx%s%s%s\n",
		access & PAGING_FETCH   ? "fetch"
		: access & PAGING_WRITE ? "write"
					: "read",
		(unsigned long long)gva, why[0] ? ", which is " : "", why,
		suspicion(place, gva, access));
}

static void print_cause(FILE *out, const struct place *place, const struct cpu_event *cause)
{
	const char *text = cause->vector < N_EXCEPTIONS ? exceptions[cause->vector].text : NULL;
	char why[80];

	if (cause->pending && cause->vector == CPU_VEC_PF)
		return print_page_fault(out, place, cause);
	if (cause->pending && cause->vector >= FIRST_INTERRUPT)
		fprintf(out, "  interrupt %u\n", cause->vector);
	else if (cause->pending && text && cause->has_error && cause->error)
		fprintf(out, "  %s, error code 0x%x\n", text, cause->error);
	else if (cause->pending && text)
		fprintf(out, "  %s\n", text);
	else if (cause->pending)
		fprintf(out, "  exception %u\n", cause->vector);
	if (cause->pending || !place->state.cr2)
		return;
	explain_access(place, place->state.cr2, PAGING_READ, why, sizeof(why));
	fprintf(out, "  the last page fault was at 0x%llx%s%s\n",
		(unsigned long long)place->state.cr2, why[0] ? ", which is " : "", why);
}

static void print_insn(const struct place *place, const uint8_t *insn, size_t len)
{
	char why[80];

	if (!len) {
		explain_access(place, place->state.regs.rip, PAGING_FETCH, why, sizeof(why));
		fprintf(stderr, "  no instruction can be read at RIP: %s\n", why);
		return;
	}
	fprintf(stderr, "  bytes at RIP:");
	for (size_t i = 0; i < len; i++)
		fprintf(stderr, " %02x", insn[i]);
	fprintf(stderr, "\n");
}

static void print_call(void *ctx, const char *line, size_t len)
{
	(void)ctx;
	fprintf(stderr, "  %.*s", (int)len, line);
}

static void print_calls(struct vm *vm)
{
	uint64_t n = vm->n_calls < VM_CALLS_KEPT ? vm->n_calls : VM_CALLS_KEPT;

	if (n)
		fprintf(stderr, "  the last hypercall%s, of %llu:\n", n > 1 ? "s" : "",
			(unsigned long long)vm->n_calls);
	for (uint64_t seq = vm->n_calls - n; seq < vm->n_calls; seq++)
		strace_late(vm, &vm->last_calls[seq % VM_CALLS_KEPT], print_call, NULL);
}

static void print_backtrace(struct place *place)
{
	char text[16384], *at = text, *line;

	if (symbols_in_child(write_backtrace, place, BACKTRACE_MS, text, sizeof(text)) <= 0)
		return;
	for (int i = 0; (line = strsep(&at, "\n")) && *line; i++)
		fprintf(stderr, "  #%-2d %s\n", i, line);
}

int report_exception(const struct cpu_state *state, char *buf, size_t size)
{
	const struct cpu_event *e = &state->event;
	bool known = e->vector < N_EXCEPTIONS && exceptions[e->vector].text;
	char error[40] = "", at[40] = "", number[20];

	snprintf(number, sizeof(number), "exception %u", e->vector);
	if (e->has_error)
		snprintf(error, sizeof(error), ", error code 0x%x", e->error);
	if (e->vector == CPU_VEC_PF)
		snprintf(at, sizeof(at), ", at 0x%llx", (unsigned long long)state->cr2);
	snprintf(buf, size, "%s%s%s", known ? exceptions[e->vector].text : number, error, at);
	return known ? exceptions[e->vector].signal : SIGSEGV;
}

/* As Linux would have said it. */
static int signal_of(const struct vcpu_exit *exit, const struct cpu_event *cause)
{
	static const int signals[VCPU_EXIT_COUNT] = {
		[VCPU_PORT] = SIGSYS, /* a call that cannot be answered */
		[VCPU_HALT] = SIGABRT,
		[VCPU_REFUSED] = SIGILL,
		[VCPU_SHUTDOWN] = SIGSEGV,
	};

	if (cause->pending && cause->vector < N_EXCEPTIONS && exceptions[cause->vector].signal)
		return exceptions[cause->vector].signal;
	return signals[exit->kind];
}

/* Where it is, what it was doing, and why that ended it. False: the CPU says nothing. */
static bool find_crash(
	struct vm *vm, struct place *place, struct cpu_event *cause, uint8_t *insn, size_t *len)
{
	if (!find_place(place, vm, FRAMES_MAX))
		return false;
	*len = (size_t)paging_read(
		&vm->mem, &place->memory.paging, place->state.regs.rip, insn, INSN_MAX);
	*cause = find_cause(place, insn, *len);
	return true;
}

int report_cause(struct vm *vm, FILE *out)
{
	uint8_t insn[INSN_MAX];
	struct cpu_event cause;
	struct place place;
	size_t len;

	if (!find_crash(vm, &place, &cause, insn, &len))
		return SIGSEGV;
	print_cause(out, &place, &cause);
	return signal_of(&vm->stop.exit, &cause);
}

int report_crash(struct vm *vm)
{
	uint8_t insn[INSN_MAX];
	struct cpu_event cause;
	struct place place;
	size_t len;

	log_error("the guest crashed: %s", vm->stop.text);
	if (!find_crash(vm, &place, &cause, insn, &len))
		return SIGSEGV;
	print_cause(stderr, &place, &cause);
	print_insn(&place, insn, len);
	print_registers(&place.state);
	print_backtrace(&place);
	print_calls(vm);
	return signal_of(&vm->stop.exit, &cause);
}
