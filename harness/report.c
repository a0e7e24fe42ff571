// SPDX-License-Identifier: ISC
/* The crash report. Runs after the guest has stopped, never on its path. */
#include "report.h"

#include <errno.h>
#include <stdio.h>

#include "err.h"
#include "log.h"
#include "paging.h"
#include "symbols.h"
#include "vm.h"

enum { FRAMES_MAX = 32, REGS_PER_LINE = 3, BACKTRACE_MS = 5000 };

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

struct crash {
	struct cpu_state state;
	struct memory memory;
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
	struct crash *crash = ctx;
	const struct vm *vm = crash->memory.vm;
	struct symbols *symbols = NULL;
	uint64_t pcs[FRAMES_MAX];
	struct err err = { "" };
	char where[300];
	size_t n;

	if (symbols_open(&symbols, vm->image.bytes, vm->image.size, vm->layout.kernel_base, &err)) {
		dprintf(fd, "  no backtrace: %s\n", err.text);
		return;
	}
	n = symbols_backtrace(
		symbols, &crash->state.regs, read_memory, &crash->memory, pcs, FRAMES_MAX);
	for (size_t i = 0; i < n; i++) {
		symbols_describe(symbols, pcs[i], where, sizeof(where));
		dprintf(fd, "  #%-2zu 0x%llx  %s\n", i, (unsigned long long)pcs[i], where);
	}
	symbols_close(symbols);
}

void report_crash(struct vm *vm)
{
	struct crash crash = { .memory.vm = vm };
	const struct cpu_state *s = &crash.state;
	char text[16384];

	log_error("the guest crashed: %s", vm->stop.text);
	if (backend_save(vm->cpu, &crash.state))
		return;
	crash.memory.paging =
		(struct paging){ .cr0 = s->cr0, .cr3 = s->cr3, .cr4 = s->cr4, .efer = s->efer };
	print_registers(s);
	if (symbols_in_child(write_backtrace, &crash, BACKTRACE_MS, text, sizeof(text)) > 0)
		fputs(text, stderr);
}
