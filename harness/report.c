// SPDX-License-Identifier: ISC
/* The crash report. Runs after the guest has stopped, never on its path. */
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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
		symbols_describe(symbols, pcs[i], where, sizeof(where));
		dprintf(fd, "0x%llx  %s\n", (unsigned long long)pcs[i], where);
	}
	symbols_close(symbols);
}

static bool find_place(struct place *place, struct vm *vm, size_t max_frames)
{
	const struct cpu_state *s = &place->state;

	if (backend_save(vm->cpu, &place->state))
		return false;
	place->memory.vm = vm;
	place->memory.paging =
		(struct paging){ .cr0 = s->cr0, .cr3 = s->cr3, .cr4 = s->cr4, .efer = s->efer };
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

void report_crash(struct vm *vm)
{
	char text[16384], *at = text, *line;
	struct place place;

	log_error("the guest crashed: %s", vm->stop.text);
	if (!find_place(&place, vm, FRAMES_MAX))
		return;
	print_registers(&place.state);
	if (symbols_in_child(write_backtrace, &place, BACKTRACE_MS, text, sizeof(text)) <= 0)
		return;
	for (int i = 0; (line = strsep(&at, "\n")) && *line; i++)
		fprintf(stderr, "  #%-2d %s\n", i, line);
}
