/* SPDX-License-Identifier: ISC */
/*
 * A KVM that is a script: open, access and ioctl of this program answer for /dev/kvm what hardware, other kernels or a
 * failing one would. Included once, by a test program.
 */
#ifndef KVM_SCRIPT_H
#define KVM_SCRIPT_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend.h"
#include "err.h"
#include "gmem.h"
#include "unit.h"

enum {
	RAM = 0x10000,
	PML4 = 0x1000,
	PDPT = 0x2000,
	PD = 0x3000,
	CODE = 0x4000,
	DATA = 0x8000,
	UNMAPPED = 0x40000000,
	PORT = 0x1100,
	RUN_SIZE = 0x3000,
	IO_DATA = 0x1000, /* in kvm_run */
	ALL_SYNC = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS,
	STAR = 0xc0000081u,
	NOT_EMULATED = KVM_INTERNAL_ERROR_EMULATION,
	SLOT_SIZE = sizeof(struct kvm_xsave),
	DEBUGREG_ON = 2, /* G0 of DR7 */
};

/* What one KVM_RUN does; one of zeroes is none, and behind the last the guest halts. */
struct step {
	uint32_t reason;
	int error;
	uint64_t rip;
	/* I/O */
	uint16_t port;
	uint8_t size, count;
	bool in;
	/* a debug exit; and of an internal error: how many bytes are given, and whether it says so */
	uint32_t exception, dr6;
	uint32_t suberror;
	uint8_t given;
	bool bytes;
	/* MMIO */
	uint64_t gpa;
	bool write;
	uint64_t store; /* where the guest writes a byte before */
	void (*meanwhile)(void);
};

#define IO(len, ...)                                                                               \
	{                                                                                          \
		.reason = KVM_EXIT_IO, .port = PORT, .size = len, ##__VA_ARGS__                    \
	}
#define DEBUG(vector, at, ...)                                                                     \
	{                                                                                          \
		.reason = KVM_EXIT_DEBUG, .exception = vector, .rip = at, ##__VA_ARGS__            \
	}
#define INTERNAL(why, ...)                                                                         \
	{                                                                                          \
		.reason = KVM_EXIT_INTERNAL_ERROR, .suberror = why, ##__VA_ARGS__                  \
	}
#define END                                                                                        \
	{                                                                                          \
		0                                                                                  \
	}

static struct fake {
	bool on;
	int kvm, vm, vcpu;
	struct kvm_run *run;
	struct gmem mem;
	struct backend *b;
	struct err err;
	struct vcpu_exit exit;
	struct cpu_state state;

	int open_error, version, sync, quirks, debug2, deadline, run_size;
	bool no_memory; /* the vcpu's descriptor cannot be mapped */
	unsigned long refuse;
	unsigned after; /* so many of it are taken first */
	int error;
	uint32_t no_msr;
	unsigned settles, settle_moves, enabled;

	const struct step *steps;
	unsigned step;
	_Alignas(8) uint8_t slots[256][SLOT_SIZE];
	uint64_t star;
	struct kvm_guest_debug debug;
	struct kvm_cpuid_entry2 cpuid[100];
	uint32_t n_cpuid;
	struct vcpu_exit port;
	unsigned ports;
	bool answers, deaf; /* on_port; there is none */
	const struct backend_ops *ops;
} fake;

/* Reads give what was last set. */
static const unsigned long get_set[][2] = {
	{ KVM_GET_REGS, KVM_SET_REGS },
	{ KVM_GET_SREGS, KVM_SET_SREGS },
	{ KVM_GET_XSAVE, KVM_SET_XSAVE },
	{ KVM_GET_XCRS, KVM_SET_XCRS },
	{ KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS },
	{ KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS },
	{ KVM_GET_MP_STATE, KVM_SET_MP_STATE },
	{ KVM_GET_LAPIC, KVM_SET_LAPIC },
	{ KVM_GET_IRQCHIP, KVM_SET_IRQCHIP },
};

static void *slot_of(unsigned long set)
{
	return fake.slots[_IOC_NR(set)];
}

static int fails(int error)
{
	errno = error;
	return -1;
}

static void take_step(const struct step *s, struct kvm_run *run)
{
	static const uint8_t none[15];

	if (s->meanwhile)
		s->meanwhile();
	run->exit_reason = s->reason;
	if (s->rip)
		run->s.regs.regs.rip = s->rip;
	if (s->store)
		gmem_write(&fake.mem, s->store, "!", 1);
	if (s->reason == KVM_EXIT_IO) {
		run->io.port = s->port;
		run->io.size = s->size;
		run->io.count = s->count ? s->count : 1;
		run->io.direction = s->in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
		run->io.data_offset = IO_DATA;
		if (!s->in)
			memcpy((char *)run + IO_DATA, "out!", s->size);
	} else if (s->reason == KVM_EXIT_DEBUG) {
		run->debug.arch.exception = s->exception;
		run->debug.arch.dr6 = s->dr6;
	} else if (s->reason == KVM_EXIT_INTERNAL_ERROR) {
		run->internal.suberror = s->suberror;
		run->emulation_failure.ndata = s->given ? 3 : 0;
		run->emulation_failure.flags =
			s->bytes ? KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES : 0;
		run->emulation_failure.insn_size = s->given;
		memcpy(run->emulation_failure.insn_bytes, none, sizeof(none));
		run->emulation_failure.insn_bytes[0] = 0x62;
	} else if (s->reason == KVM_EXIT_MMIO) {
		run->mmio.phys_addr = s->gpa;
		run->mmio.is_write = s->write;
	}
}

static int run_vcpu(void)
{
	struct kvm_run *run = fake.run;
	const struct step *s = fake.steps;

	if (run->immediate_exit) {
		fake.settles++;
		run->s.regs.regs.rip += fake.settle_moves;
		return fails(EINTR);
	}
	if (run->kvm_dirty_regs & KVM_SYNC_X86_SREGS)
		memcpy(slot_of(KVM_SET_SREGS), &run->s.regs.sregs, sizeof(run->s.regs.sregs));
	run->kvm_dirty_regs = 0;
	if (run->kvm_valid_regs & KVM_SYNC_X86_SREGS)
		memcpy(&run->s.regs.sregs, slot_of(KVM_SET_SREGS), sizeof(run->s.regs.sregs));
	if (s)
		s += fake.step++;
	if (!s || (!s->reason && !s->error)) {
		run->exit_reason = KVM_EXIT_HLT;
		return 0;
	}
	if (s->error) {
		if (s->meanwhile)
			s->meanwhile();
		return fails(s->error);
	}
	take_step(s, run);
	return 0;
}

static int make_vcpu(void)
{
	int fds[2];

	if (fake.no_memory && !pipe(fds)) {
		close(fds[1]);
		return fds[0];
	}
	fake.vcpu = memfd_create("vcpu", MFD_CLOEXEC);
	if (ftruncate(fake.vcpu, RUN_SIZE))
		return -1;
	fake.run = mmap(NULL, RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fake.vcpu, 0);
	return fake.vcpu;
}

/* As KVM: how many were taken before the first that it does not have. */
static int msrs(unsigned long request, struct kvm_msrs *list)
{
	for (uint32_t i = 0; i < list->nmsrs; i++) {
		if (list->entries[i].index == fake.no_msr)
			return (int)i;
		if (request == KVM_SET_MSRS && list->entries[i].index == STAR)
			fake.star = list->entries[i].data;
		else if (request == KVM_GET_MSRS)
			list->entries[i].data = list->entries[i].index == STAR ? fake.star : 7;
	}
	return (int)list->nmsrs;
}

static int cpuids(unsigned long request, struct kvm_cpuid2 *list)
{
	if (request == KVM_SET_CPUID2)
		fake.n_cpuid = list->nent;
	else
		list->nent = fake.n_cpuid;
	if (request == KVM_SET_CPUID2)
		memcpy(fake.cpuid, list->entries, list->nent * sizeof(list->entries[0]));
	else
		memcpy(list->entries, fake.cpuid, list->nent * sizeof(list->entries[0]));
	return 0;
}

static int capability(unsigned long cap)
{
	switch (cap) {
	case KVM_CAP_SYNC_REGS:
		return fake.sync;
	case KVM_CAP_TSC_DEADLINE_TIMER:
		return fake.deadline;
	case KVM_CAP_DISABLE_QUIRKS2:
		return fake.quirks;
	case KVM_CAP_SET_GUEST_DEBUG2:
		return fake.debug2;
	default:
		return 0;
	}
}

static int answer(unsigned long request, void *arg)
{
	if (request == fake.refuse && !fake.after--)
		return fails(fake.error);
	for (size_t i = 0; i < sizeof(get_set) / sizeof(get_set[0]); i++) {
		if (request == get_set[i][0])
			memcpy(arg, slot_of(get_set[i][1]), _IOC_SIZE(request));
		else if (request == get_set[i][1])
			memcpy(slot_of(request), arg, _IOC_SIZE(request));
		else
			continue;
		return 0;
	}
	switch (request) {
	case KVM_GET_API_VERSION:
		return fake.version < 0 ? fails(ENOTTY) : fake.version;
	case KVM_CHECK_EXTENSION:
		return capability((unsigned long)arg);
	case KVM_CREATE_VM:
		return fake.vm = memfd_create("vm", MFD_CLOEXEC);
	case KVM_CREATE_VCPU:
		return make_vcpu();
	case KVM_GET_VCPU_MMAP_SIZE:
		return fake.run_size;
	case KVM_GET_TSC_KHZ:
		return 2000;
	case KVM_RUN:
		return run_vcpu();
	case KVM_GET_MSRS:
	case KVM_SET_MSRS:
		return msrs(request, arg);
	case KVM_GET_SUPPORTED_CPUID:
	case KVM_SET_CPUID2:
	case KVM_GET_CPUID2:
		return cpuids(request, arg);
	case KVM_SET_GUEST_DEBUG:
		fake.debug = *(struct kvm_guest_debug *)arg;
		return 0;
	case KVM_ENABLE_CAP:
		fake.enabled++;
		return 0;
	default:
		return 0;
	}
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (fake.on && _IOC_TYPE(request) == KVMIO &&
		(fd == fake.kvm || fd == fake.vm || fd == fake.vcpu))
		return answer(request, arg);
	return (int)syscall(SYS_ioctl, fd, request, arg);
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (!fake.on || strcmp(path, "/dev/kvm"))
		return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (fake.open_error)
		return fails(fake.open_error);
	return fake.kvm = memfd_create("kvm", MFD_CLOEXEC);
}

/* No sign of the KVM that is known to interpret. */
int access(const char *path, int mode)
{
	return fake.on && !strcmp(path, "/sys/module/kvm_pvm")
		       ? fails(ENOENT)
		       : (int)syscall(SYS_access, path, mode);
}

/* ---- a machine of it ---- */

static bool on_port(void *ctx, struct vcpu_exit *exit)
{
	(void)ctx;
	fake.ports++;
	fake.port = *exit;
	exit->data = 0x11223344;
	return fake.answers;
}

static void setup_for(const struct backend_ops *ops)
{
	static const struct kvm_cpuid_entry2 supported[] = {
		{ .function = 1, .ebx = 0x5000000, .edx = 1 << 9 },
		{ .function = 7, .index = 0, .ebx = ~0u },
		{ .function = 7, .index = 1, .eax = ~0u },
		{ .function = 0xd, .index = 0, .eax = 0xe7 },
		{ .function = 0xd, .index = 5, .eax = 64 },
		{ .function = 0x14, .eax = 1 },
		{ .function = 0x1d, .eax = 1 },
		{ .function = 0x40000001, .eax = 1 },
	};

	fake = (struct fake){ .on = true,
		.ops = ops,
		.kvm = -1,
		.vm = -1,
		.vcpu = -1,
		.version = 12,
		.sync = ALL_SYNC,
		.run_size = RUN_SIZE,
		.answers = true };
	memcpy(fake.cpuid, supported, sizeof(supported));
	fake.n_cpuid = sizeof(supported) / sizeof(supported[0]);
	CU_ASSERT_EQUAL_FATAL(gmem_init(&fake.mem, 0, RAM), 0);
}

static int create(struct backend_config config)
{
	config.mem = &fake.mem;
	if (!fake.deaf)
		config.port = on_port;
	return fake.ops->create(&fake.b, &config, &fake.err);
}

static void write64(uint64_t gpa, uint64_t value)
{
	gmem_write(&fake.mem, gpa, &value, sizeof(value));
}

static void start_for(const struct backend_ops *ops, struct backend_config config)
{
	setup_for(ops);
	CU_ASSERT_EQUAL_FATAL(create(config), 0);
	write64(PML4, PDPT | 3);
	write64(PDPT, PD | 3);
	write64(PD, 0x83);
	cpu_state_long_mode(&fake.state);
	fake.state.cr3 = PML4;
	fake.state.regs.rip = CODE;
	CU_ASSERT_EQUAL(backend_load(fake.b, &fake.state), 0);
}

static void finish(void)
{
	backend_destroy(fake.b);
	if (fake.run)
		munmap(fake.run, RUN_SIZE);
	gmem_finish(&fake.mem);
	fake = (struct fake){ 0 };
}

static void refuse(unsigned long request, unsigned after, int error)
{
	fake.refuse = request;
	fake.after = after;
	fake.error = error;
}

static void script(const struct step *steps)
{
	fake.steps = steps;
	fake.step = 0;
}

static void run_to(enum vcpu_exit_kind kind)
{
	CU_ASSERT_EQUAL(backend_run(fake.b, &fake.exit), 0);
	CU_ASSERT_EQUAL(fake.exit.kind, kind);
}

#endif
