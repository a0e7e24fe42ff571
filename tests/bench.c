// SPDX-License-Identifier: ISC
/*
 * Speed as ratios measured side by side: ours and the bare thing take turns in one process, and the
 * median of the pairs' ratios is what counts. Usage: bench BELLJAR GUESTS_DIR
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unicorn/unicorn.h>
#include <unistd.h>

#include "abi_uhyve.h"
#include "err.h"
#include "fileio.h"
#include "replay.h"
#include "trace_read.h"
#include "trace_write.h"
#include "vm.h"

enum { PAIRS = 15, RAM = 16 << 20, CODE = 0x38000, BLOCK = 0x38800, PROCESS_RUNS = 15 };
enum { TURNS = 31 }; /* of a guest that is recorded by turns */

extern char **environ;

/* `out dx, eax` and back: the shortest loop of hypercalls there is. */
static const uint8_t call_loop[] = { 0xef, 0xeb, 0xfd };
/* `inc rax; dec rcx; jnz`: three instructions a turn, then `out dx, eax` and back. */
static const uint8_t count_loop[] = { 0x48, 0xff, 0xc0, 0x48, 0xff, 0xc9, 0x75, 0xf8, 0xef, 0xeb,
	0xf5 };

/* `inc rax` and back: never ends. */
static const uint8_t step_loop[] = { 0x48, 0xff, 0xc0, 0xeb, 0xfb };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare);
	return v[n / 2];
}

__attribute__((noreturn)) _Noreturn static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}

/* A machine of ours whose CPU stands before one of the loops. */
struct ours {
	struct vm *vm;
	struct fileio *files;
	uint8_t *image;
	uint64_t left; /* calls until the batch ends */
};

/* Answers as ever, and stops the machine after the last call of a batch. */
static int64_t answer(void *ctx, struct vm *vm, struct hcall *call)
{
	struct ours *o = ctx;
	int64_t r = hcall_answer_row(NULL, vm, call);

	if (!--o->left)
		vm_stop_exit(vm, 0);
	return r;
}

static void ours_start(
	struct ours *o, const char *backend, const char *guests, const uint8_t *code, size_t len)
{
	struct uhyve_close block = { .fd = -1 };
	struct cpu_state state;
	struct err err = { "" };
	char path[4096];
	size_t size;
	uint64_t ram;

	snprintf(path, sizeof(path), "%s/hello.elf", guests);
	*o = (struct ours){ 0 };
	if (elf_read_file(path, &o->image, &size, &err) ||
		fileio_init(&o->files,
			&(struct fileio_config){ .console_in = -1, .console_out = -1 }, &err) ||
		vm_create(&o->vm,
			&(struct vm_config){ .backend = backend,
				.mem_size = RAM,
				.image = o->image,
				.image_size = size,
				.args.image_path = path,
				.files = o->files },
			&err))
		die(path, err.text);
	ram = o->vm->mem.gpa;
	gmem_write(&o->vm->mem, ram + CODE, code, len);
	gmem_write(&o->vm->mem, ram + BLOCK, &block, sizeof(block));
	backend_save(o->vm->cpu, &state);
	state.regs.rip = ram + CODE;
	state.regs.gpr[CPU_RDI] = ram + BLOCK;
	state.regs.gpr[CPU_RDX] = UHYVE_V2_CLOSE;
	backend_load(o->vm->cpu, &state);
	o->vm->respond = answer;
	o->vm->respond_ctx = o;
}

static void ours_finish(struct ours *o)
{
	vm_destroy(o->vm);
	fileio_destroy(o->files);
	free(o->image);
}

static double ours_calls(struct ours *o, uint64_t n)
{
	const struct vm_stop *stop;
	double start = now();

	o->left = n;
	stop = vm_run(o->vm);
	if (stop->kind != VM_EXITED || o->left)
		die("run", stop->text);
	return now() - start;
}

/* The same state in the shape of KVM's ioctls, and nothing else. */
struct bare_kvm {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	size_t run_size;
};

static struct kvm_segment segment_of(const struct cpu_seg *s)
{
	return (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = s->attr & 15,
		.s = !!(s->attr & CPU_SEG_S),
		.present = !!(s->attr & CPU_SEG_P),
		.l = !!(s->attr & CPU_SEG_L),
		.db = !!(s->attr & CPU_SEG_DB),
		.g = !!(s->attr & CPU_SEG_G),
		.unusable = !!(s->attr & CPU_SEG_UNUSABLE),
	};
}

static void bare_kvm_start(struct bare_kvm *b, const struct vm *vm, const struct cpu_state *state)
{
	struct kvm_userspace_memory_region ram = { .guest_phys_addr = vm->mem.gpa,
		.memory_size = vm->mem.size,
		.userspace_addr = (uint64_t)(uintptr_t)vm->mem.base };
	struct kvm_regs regs = { .rip = state->regs.rip,
		.rflags = state->regs.rflags,
		.rdi = state->regs.gpr[CPU_RDI],
		.rdx = state->regs.gpr[CPU_RDX] };
	struct kvm_sregs sregs;

	b->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	b->vm = ioctl(b->kvm, KVM_CREATE_VM, 0);
	b->run_size = (size_t)ioctl(b->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (ioctl(b->vm, KVM_SET_TSS_ADDR, 0xfffbd000ul) ||
		ioctl(b->vm, KVM_SET_USER_MEMORY_REGION, &ram))
		die("bare KVM", strerror(errno));
	b->vcpu = ioctl(b->vm, KVM_CREATE_VCPU, 0);
	b->run = mmap(NULL, b->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, b->vcpu, 0);
	if (b->run == MAP_FAILED || ioctl(b->vcpu, KVM_GET_SREGS, &sregs))
		die("bare KVM", strerror(errno));
	sregs.cs = segment_of(&state->seg[CPU_CS]);
	sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = segment_of(&state->seg[CPU_DS]);
	sregs.cr0 = state->cr0, sregs.cr3 = state->cr3, sregs.cr4 = state->cr4,
	sregs.efer = state->efer;
	sregs.gdt.base = state->gdt.base, sregs.gdt.limit = state->gdt.limit;
	if (ioctl(b->vcpu, KVM_SET_SREGS, &sregs) || ioctl(b->vcpu, KVM_SET_REGS, &regs))
		die("bare KVM", strerror(errno));
}

static double bare_kvm_calls(struct bare_kvm *b, uint64_t n)
{
	double start = now();

	for (uint64_t i = 0; i < n; i++)
		if (ioctl(b->vcpu, KVM_RUN, 0) || b->run->exit_reason != KVM_EXIT_IO)
			die("bare KVM_RUN", strerror(errno));
	return now() - start;
}

static void bare_kvm_finish(struct bare_kvm *b)
{
	munmap(b->run, b->run_size);
	close(b->vcpu);
	close(b->vm);
	close(b->kvm);
}

struct bare_tcg {
	uc_engine *uc;
	uint64_t rip, left;
};

static void on_out(uc_engine *uc, uint32_t port, int size, uint32_t value, void *ctx)
{
	struct bare_tcg *b = ctx;

	(void)port, (void)size, (void)value;
	if (!--b->left)
		uc_emu_stop(uc);
}

static void bare_tcg_start(struct bare_tcg *b, const struct vm *vm, const struct cpu_state *state)
{
	uc_hook hook;

	b->rip = state->regs.rip;
	if (uc_open(UC_ARCH_X86, UC_MODE_64, &b->uc) ||
		uc_mem_map_ptr(b->uc, vm->mem.gpa, vm->mem.size, UC_PROT_ALL, vm->mem.base) ||
		uc_hook_add(b->uc, &hook, UC_HOOK_INSN, (void *)on_out, b, 1, 0, UC_X86_INS_OUT))
		die("bare Unicorn", "cannot start");
	uc_reg_write(b->uc, UC_X86_REG_RDI, &state->regs.gpr[CPU_RDI]);
	uc_reg_write(b->uc, UC_X86_REG_RDX, &state->regs.gpr[CPU_RDX]);
}

static double bare_tcg_calls(struct bare_tcg *b, uint64_t n)
{
	double start = now();

	b->left = n;
	if (uc_emu_start(b->uc, b->rip, 0, 0, 0))
		die("bare Unicorn", "cannot run");
	return now() - start;
}

static void line(const char *what, double ours, double bare, double ratio, const char *unit)
{
	printf("%-46s %10.1f %-8s bare %10.1f   ratio %5.2f\n", what, ours, unit, bare, ratio);
}

static void bench_kvm_calls(const char *guests)
{
	enum { CALLS = 4000 };
	double a[PAIRS], b[PAIRS], ratio[PAIRS];
	struct backend_info info = { 0 };
	struct bare_kvm bare;
	struct cpu_state state;
	struct ours ours, memory;

	backend_kvm.probe(&info);
	if (!info.usable) {
		printf("SKIP hypercall round trip, kvm: %s\n", info.why);
		return;
	}
	ours_start(&ours, "kvm", guests, call_loop, sizeof(call_loop));
	ours_start(&memory, "tcg", guests, call_loop, sizeof(call_loop));
	backend_save(memory.vm->cpu, &state);
	bare_kvm_start(&bare, memory.vm, &state);
	ours_calls(&ours, CALLS), bare_kvm_calls(&bare, CALLS);
	for (int i = 0; i < PAIRS; i++) {
		a[i] = ours_calls(&ours, CALLS) / CALLS * 1e9;
		b[i] = bare_kvm_calls(&bare, CALLS) / CALLS * 1e9;
		ratio[i] = a[i] / b[i];
	}
	line("hypercall round trip, kvm / bare KVM_RUN", median(a, PAIRS), median(b, PAIRS),
		median(ratio, PAIRS), "ns");
	bare_kvm_finish(&bare);
	ours_finish(&memory);
	ours_finish(&ours);
}

static void bench_tcg_calls(const char *guests)
{
	enum { CALLS = 1000000 };
	double a[PAIRS], b[PAIRS], ratio[PAIRS];
	struct bare_tcg bare = { 0 };
	struct cpu_state state;
	struct ours ours, memory;

	ours_start(&ours, "tcg", guests, call_loop, sizeof(call_loop));
	ours_start(&memory, "tcg", guests, call_loop, sizeof(call_loop));
	backend_save(memory.vm->cpu, &state);
	bare_tcg_start(&bare, memory.vm, &state);
	ours_calls(&ours, CALLS), bare_tcg_calls(&bare, CALLS);
	for (int i = 0; i < PAIRS; i++) {
		a[i] = ours_calls(&ours, CALLS) / CALLS * 1e9;
		b[i] = bare_tcg_calls(&bare, CALLS) / CALLS * 1e9;
		ratio[i] = a[i] / b[i];
	}
	line("hypercall round trip, tcg / bare OUT hook", median(a, PAIRS), median(b, PAIRS),
		median(ratio, PAIRS), "ns");
	uc_close(bare.uc);
	ours_finish(&memory);
	ours_finish(&ours);
}

/* As a debugger does it: says before each step that it is one. */
static double ours_steps(struct ours *o, uint64_t n)
{
	const struct vcpu_debug step = { .step = true };
	struct backend *cpu = o->vm->cpu;
	struct vcpu_exit exit = { 0 };
	double start = now();

	for (uint64_t i = 0; i < n; i++)
		if (backend_set_debug(cpu, &step) || backend_run(cpu, &exit) ||
			exit.kind != VCPU_DEBUG)
			die("a step", exit.text ? exit.text : vcpu_exit_names[exit.kind]);
	return now() - start;
}

static double bare_kvm_steps(struct bare_kvm *b, uint64_t n)
{
	double start = now();

	for (uint64_t i = 0; i < n; i++)
		if (ioctl(b->vcpu, KVM_RUN, 0) || b->run->exit_reason != KVM_EXIT_DEBUG)
			die("bare step", strerror(errno));
	return now() - start;
}

static void bench_kvm_steps(const char *guests)
{
	enum { STEPS = 4000 };
	struct kvm_guest_debug step = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };
	double a[PAIRS], b[PAIRS], ratio[PAIRS];
	struct backend_info info = { 0 };
	struct bare_kvm bare;
	struct cpu_state state;
	struct ours ours, memory;

	backend_kvm.probe(&info);
	if (!info.usable) {
		printf("SKIP single steps, kvm: %s\n", info.why);
		return;
	}
	ours_start(&ours, "kvm", guests, step_loop, sizeof(step_loop));
	ours_start(&memory, "tcg", guests, step_loop, sizeof(step_loop));
	backend_save(memory.vm->cpu, &state);
	bare_kvm_start(&bare, memory.vm, &state);
	if (ioctl(bare.vcpu, KVM_SET_GUEST_DEBUG, &step))
		die("bare KVM", strerror(errno));
	ours_steps(&ours, STEPS), bare_kvm_steps(&bare, STEPS);
	for (int i = 0; i < PAIRS; i++) {
		a[i] = (double)STEPS / ours_steps(&ours, STEPS) * 1e-3;
		b[i] = (double)STEPS / bare_kvm_steps(&bare, STEPS) * 1e-3;
		ratio[i] = a[i] / b[i];
	}
	line("single steps, kvm / bare KVM_RUN", median(a, PAIRS), median(b, PAIRS),
		median(ratio, PAIRS), "k/s");
	bare_kvm_finish(&bare);
	ours_finish(&memory);
	ours_finish(&ours);
}

/* Against Unicorn told to run one instruction. */
static void bench_tcg_steps(const char *guests)
{
	enum { STEPS = 20000 };
	double a[PAIRS], b[PAIRS], ratio[PAIRS], start;
	uint64_t rax, zero = 0;
	struct bare_tcg bare = { 0 };
	struct cpu_state state;
	struct ours ours, memory;

	ours_start(&ours, "tcg", guests, step_loop, sizeof(step_loop));
	ours_start(&memory, "tcg", guests, step_loop, sizeof(step_loop));
	backend_save(memory.vm->cpu, &state);
	bare_tcg_start(&bare, memory.vm, &state);
	ours_steps(&ours, STEPS);
	for (int i = 0; i < PAIRS; i++) {
		a[i] = (double)STEPS / ours_steps(&ours, STEPS) * 1e-3;
		uc_reg_write(bare.uc, UC_X86_REG_RAX, &zero);
		start = now();
		for (int n = 0; n < STEPS; n++) {
			if (uc_emu_start(bare.uc, bare.rip, 0, 0, 1))
				die("bare Unicorn", "cannot step");
			uc_reg_read(bare.uc, UC_X86_REG_RIP, &bare.rip);
		}
		b[i] = STEPS / (now() - start) * 1e-3;
		ratio[i] = a[i] / b[i];
		uc_reg_read(bare.uc, UC_X86_REG_RAX, &rax);
		if (rax != STEPS / 2)
			die("bare Unicorn", "does not step");
	}
	line("single steps, tcg / bare Unicorn", median(a, PAIRS), median(b, PAIRS),
		median(ratio, PAIRS), "k/s");
	uc_close(bare.uc);
	ours_finish(&memory);
	ours_finish(&ours);
}

/* Millions of instructions a second in count_loop, which ends each batch by one call. */
static double ours_speed(struct ours *o, uint64_t turns)
{
	struct cpu_regs regs;

	backend_get_regs(o->vm->cpu, &regs);
	regs.gpr[CPU_RCX] = turns;
	regs.rip = o->vm->mem.gpa + CODE;
	backend_set_regs(o->vm->cpu, &regs);
	return 3 * (double)turns / ours_calls(o, 1) * 1e-6;
}

static double bare_tcg_speed(struct bare_tcg *b, uint64_t turns)
{
	uc_reg_write(b->uc, UC_X86_REG_RCX, &turns);
	return 3 * (double)turns / bare_tcg_calls(b, 1) * 1e-6;
}

static void bench_speed(const char *guests)
{
	enum { TCG_TURNS = 10000000, KVM_TURNS = 30000 };
	double a[PAIRS], b[PAIRS], ratio[PAIRS];
	struct backend_info info = { 0 };
	struct bare_tcg bare = { 0 };
	struct cpu_state state;
	struct ours ours, memory;

	ours_start(&ours, "tcg", guests, count_loop, sizeof(count_loop));
	ours_start(&memory, "tcg", guests, count_loop, sizeof(count_loop));
	backend_save(memory.vm->cpu, &state);
	bare_tcg_start(&bare, memory.vm, &state);
	for (int i = 0; i < PAIRS; i++) {
		a[i] = ours_speed(&ours, TCG_TURNS);
		b[i] = bare_tcg_speed(&bare, TCG_TURNS);
		ratio[i] = b[i] / a[i];
	}
	line("instructions, tcg counting / bare Unicorn", median(a, PAIRS), median(b, PAIRS),
		median(ratio, PAIRS), "M/s");
	uc_close(bare.uc);
	ours_finish(&memory);
	backend_kvm.probe(&info);
	if (!info.usable) {
		printf("SKIP instructions, kvm: %s\n", info.why);
		ours_finish(&ours);
		return;
	}
	ours_start(&memory, "kvm", guests, count_loop, sizeof(count_loop));
	for (int i = 0; i < PAIRS; i++) {
		a[i] = ours_speed(&memory, KVM_TURNS);
		b[i] = ours_speed(&ours, TCG_TURNS);
		ratio[i] = b[i] / a[i];
	}
	printf("%-46s %10.1f %-8s tcg  %10.1f   ratio %5.2f\n", "instructions, kvm / tcg",
		median(a, PAIRS), "M/s", median(b, PAIRS), median(ratio, PAIRS));
	ours_finish(&memory);
	ours_finish(&ours);
}

/* Wall-clock milliseconds from start to exit of a program whose output nobody sees. */
static double run_program(char *const *argv)
{
	posix_spawn_file_actions_t actions;
	double start = now();
	int status = -1;
	pid_t child;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&child, argv[0], &actions, NULL, argv, environ) ||
		waitpid(child, &status, 0) < 0 || status)
		die(argv[0], "failed");
	posix_spawn_file_actions_destroy(&actions);
	return (now() - start) * 1e3;
}

static void bench_start(char *belljar, const char *guests, char *backend)
{
	double a[PROCESS_RUNS], b[PROCESS_RUNS], ratio[PROCESS_RUNS];
	struct backend_info info = { 0 };
	char path[4096], what[80];

	backend_find(backend)->probe(&info);
	snprintf(what, sizeof(what), "start to exit of hello, %s / true(1)", backend);
	if (!info.usable) {
		printf("SKIP %s: %s\n", what, info.why);
		return;
	}
	snprintf(path, sizeof(path), "%s/hello.elf", guests);
	for (int i = 0; i < PROCESS_RUNS; i++) {
		a[i] = run_program((char *[]){ belljar, "run", "--backend", backend, path, NULL });
		b[i] = run_program((char *[]){ "true", NULL });
		ratio[i] = a[i] / b[i];
	}
	line(what, median(a, PROCESS_RUNS), median(b, PROCESS_RUNS), median(ratio, PROCESS_RUNS),
		"ms");
}

/* The same call n times, in a file in the page cache. */
static void write_recording(const char *path, uint64_t n, struct trace_record call)
{
	struct trace_header header = { .version = TRACE_VERSION,
		.abi = &abi_uhyve,
		.abi_version = 2,
		.mem_size = RAM,
		.cwd = "/" };
	struct trace_writer *w;
	struct err err;

	if (trace_writer_open(&w, path, &header, &(struct trace_writer_config){ 0 }, &err))
		die("recording", err.text);
	for (; call.seq < n; call.seq++)
		trace_writer_put(w, &call);
	trace_writer_put(w, &(struct trace_record){ .kind = TRACE_END, .stop_kind = VM_EXITED });
	if (trace_writer_close(w, &err))
		die("recording", err.text);
}

static double read_recording(const char *path, uint64_t n)
{
	struct trace_record record;
	struct trace_reader *r;
	struct err err;
	uint64_t calls = 0;
	double start = now();

	if (trace_reader_open(&r, path, &err))
		die("reader", err.text);
	while (trace_reader_next(r, &record, &err) > 0)
		calls += record.kind == TRACE_CALL;
	trace_reader_close(r);
	if (calls != n)
		die("reader", err.text);
	return now() - start;
}

static double read_bytes(const char *path)
{
	static uint8_t buf[128 << 10];
	double start = now();
	int fd = open(path, O_RDONLY);

	while (read(fd, buf, sizeof(buf)) > 0)
		;
	close(fd);
	return now() - start;
}

static void bench_read(void)
{
	enum { CALLS = 100000 };
	static const uint8_t data[256];
	const struct trace_record call = { .kind = TRACE_CALL,
		.port = UHYVE_V2_READ,
		.row = trace_row_of_port(&abi_uhyve, UHYVE_V2_READ),
		.rip = 0x100a31,
		.time_ns = 1700000000000000000,
		.duration_ns = 1234,
		.args = { 3, 0x201000, sizeof(data) },
		.result = sizeof(data),
		.out = data,
		.out_len = sizeof(data) };
	double a[PAIRS], b[PAIRS], ratio[PAIRS];
	char path[] = "/tmp/belljar-bench-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0)
		die(path, strerror(errno));
	close(fd);
	write_recording(path, CALLS, call);
	for (int i = 0; i < PAIRS; i++) {
		a[i] = read_recording(path, CALLS) / CALLS * 1e9;
		b[i] = read_bytes(path) / CALLS * 1e9;
		ratio[i] = a[i] / b[i];
	}
	unlink(path);
	line("a recorded call read / its bytes read(2)", median(a, PAIRS), median(b, PAIRS),
		median(ratio, PAIRS), "ns");
}

/* In the guest's place: questions laid, answered by the handlers, compared. */
static double replay_recording(const char *path, uint64_t n)
{
	struct replay_result result;
	struct err err = { "" };
	double start = now();

	if (replay_host(path, &(struct replay_host_options){ 0 }, &result, &err) ||
		result.calls != n)
		die("replay", err.text);
	return now() - start;
}

static void bench_replay(void)
{
	enum { CALLS = 100000 };
	static const uint8_t data[256];
	const struct trace_record call = { .kind = TRACE_CALL,
		.port = UHYVE_V2_SERIAL_WRITE_BUFFER,
		.row = trace_row_of_port(&abi_uhyve, UHYVE_V2_SERIAL_WRITE_BUFFER),
		.args = { 0x201000, sizeof(data) },
		.result = sizeof(data),
		.in = data,
		.in_len = sizeof(data) };
	double a[PAIRS], b[PAIRS], ratio[PAIRS];
	char path[] = "/tmp/belljar-bench-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0)
		die(path, strerror(errno));
	close(fd);
	write_recording(path, CALLS, call);
	for (int i = 0; i < PAIRS; i++) {
		a[i] = replay_recording(path, CALLS) / CALLS * 1e9;
		b[i] = read_recording(path, CALLS) / CALLS * 1e9;
		ratio[i] = a[i] / b[i];
	}
	unlink(path);
	line("a call of 256 B replayed, host side / only read", median(a, PAIRS), median(b, PAIRS),
		median(ratio, PAIRS), "ns");
	printf("%-46s %10.0f events/s\n", "replay, host side", 1e9 / median(a, PAIRS));
}

/* Seconds from start to exit, and the most memory it had at a time. */
static double run_measured(char *const *argv, long *rss_kib)
{
	posix_spawn_file_actions_t actions;
	struct rusage usage;
	double start = now();
	int status = -1;
	pid_t child;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&child, argv[0], &actions, NULL, argv, environ) ||
		wait4(child, &status, 0, &usage) < 0 || status)
		die(argv[0], "failed");
	posix_spawn_file_actions_destroy(&actions);
	*rss_kib = usage.ru_maxrss;
	return now() - start;
}

/* Recordings of two sizes: memory must not grow with them. BENCH_EVENTS: of the larger one. */
static void bench_trace_verbs(char *belljar)
{
	static const uint8_t data[64];
	static char *const verbs[] = { "stat", "show" };
	const struct trace_record call = { .kind = TRACE_CALL,
		.port = UHYVE_V2_READ,
		.row = trace_row_of_port(&abi_uhyve, UHYVE_V2_READ),
		.rip = 0x100a31,
		.time_ns = 1700000000000000000,
		.duration_ns = 1234,
		.args = { 3, 0x201000, sizeof(data) },
		.result = sizeof(data),
		.out = data,
		.out_len = sizeof(data) };
	const char *wanted = getenv("BENCH_EVENTS");
	uint64_t large = wanted ? strtoull(wanted, NULL, 10) : 1000000, small = large / 10;
	char paths[2][30] = { "/tmp/belljar-bench-XXXXXX", "/tmp/belljar-bench-XXXXXX" };

	for (int i = 0; i < 2; i++) {
		int fd = mkstemp(paths[i]);

		if (fd < 0)
			die(paths[i], strerror(errno));
		close(fd);
		write_recording(paths[i], i ? large : small, call);
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		long rss[2];
		double seconds[2];
		char what[80];

		for (int k = 0; k < 2; k++)
			seconds[k] = run_measured(
				(char *[]){ belljar, "trace", verbs[i], paths[k], NULL }, &rss[k]);
		snprintf(what, sizeof(what), "trace %s, %llu events", verbs[i],
			(unsigned long long)large);
		printf("%-46s %10.1f s        %10.0f events/s   %.1f MiB; of a tenth %.1f MiB\n",
			what, seconds[1], (double)large / seconds[1], (double)rss[1] / 1024,
			(double)rss[0] / 1024);
	}
	unlink(paths[0]);
	unlink(paths[1]);
}

/* --- recording ---------------------------------------------------------------------------------- */

/* In a directory of its own, which is removed with all that is in it. */
static void bench_dir(char dir[40])
{
	strcpy(dir, "/tmp/belljar-bench-XXXXXX");
	if (!mkdtemp(dir))
		die(dir, strerror(errno));
}

static void remove_bench_dir(const char *dir)
{
	char command[80];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command))
		die(dir, "cannot be removed");
}

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct trace_writer *new_recording(const char *path)
{
	struct trace_header header = { .version = TRACE_VERSION,
		.abi = &abi_uhyve,
		.abi_version = 2,
		.mem_size = RAM,
		.cwd = "/" };
	struct trace_writer *w;
	struct err err;

	unlink(path); /* what is overwritten costs extra on some file systems */
	if (trace_writer_open(&w, path, &header, &(struct trace_writer_config){ 0 }, &err))
		die("recording", err.text);
	return w;
}

/*
 * 64 bytes of arguments and 256 of data are what is promised for. No call has eight arguments, so here are as
 * many as a row can have, none of which CBOR can shorten, and the 24 bytes that are missing come with the data.
 */
enum { EVENT_ARGS = HCALL_FIELDS_MAX, EVENT_DATA = 256 + 64 - 8 * EVENT_ARGS };

static const struct hcall_row event_row = { .port = UHYVE_V2_READ,
	.name = "read",
	.block_len = HCALL_BLOCK_MAX,
	.fields = { { "a", 0, 8, HCALL_INT }, { "b", 8, 8, HCALL_DATA_OUT },
		{ "c", 16, 8, HCALL_LEN }, { "d", 24, 8, HCALL_INT }, { "e", 32, 8, HCALL_INT } } };
static_assert(EVENT_ARGS == 5, "event_row has them all");

/* ns of CPU for each of n such calls, seen by the sink; or by none. */
static double record_events(const char *path, uint64_t n)
{
	static uint8_t data[EVENT_DATA];
	struct trace_writer *w = path ? new_recording(path) : NULL;
	struct trace_sink *sink = path ? trace_writer_sink(w) : NULL;
	struct hcall call = {
		.row = &event_row, .rip = 0xffff800000123456, .result = sizeof(data)
	};
	double start = cpu_now(), ns;

	memset(call.block, 0x7f, sizeof(call.block));
	for (call.seq = 0; call.seq < n; call.seq++) {
		data[call.seq % sizeof(data)]++;
		if (!sink)
			continue;
		sink->emit(sink, &(struct trace_event){ .kind = TRACE_ENTER, .call = &call });
		sink->emit(sink, &(struct trace_event){ .kind = TRACE_WRITE,
					 .call = &call,
					 .data = data,
					 .len = sizeof(data) });
		sink->emit(sink, &(struct trace_event){ .kind = TRACE_LEAVE, .call = &call });
	}
	ns = (cpu_now() - start) / (double)n * 1e9;
	if (w)
		trace_writer_close(w, NULL);
	return ns;
}

/* CPU seconds for as many bytes written in pieces as the page cache likes them. */
static double write_bytes(const char *path, uint64_t size)
{
	static uint8_t buf[1 << 20];
	double start;
	int fd;

	unlink(path);
	start = cpu_now();
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	for (uint64_t at = 0; at < size; at += sizeof(buf))
		if (write(fd, buf, sizeof(buf)) != sizeof(buf))
			die(path, strerror(errno));
	start = cpu_now() - start;
	close(fd);
	return start;
}

static double least(double a, double b)
{
	return a < b ? a : b;
}

static void bench_record_event(void)
{
	enum { EVENTS = 40000 };
	char dir[40], path[60];
	double ours = 1e9, bare = 1e9; /* the least: what else runs here only adds */

	bench_dir(dir);
	snprintf(path, sizeof(path), "%s/r", dir);
	for (int i = 0; i < PAIRS; i++) {
		double empty = record_events(NULL, EVENTS);

		ours = least(ours, record_events(path, EVENTS) - empty);
		bare = least(bare, write_bytes(path, EVENTS * 400ull) / EVENTS * 1e9);
	}
	line("a call of 64 B + 256 B recorded, CPU / written", ours, bare, ours / bare, "ns");
	remove_bench_dir(dir);
}

/* A guest that is recorded by turns: so many calls with, as many without. */
struct by_turns {
	struct trace_sink *sink;
	uint64_t turn, left; /* calls of a turn */
	double since;
	double seconds[2][TURNS]; /* without, with */
	size_t n;                 /* turns done */
};

static int64_t answer_by_turns(void *ctx, struct vm *vm, struct hcall *call)
{
	struct by_turns *t = ctx;
	double at;

	if (t->left--)
		return hcall_answer_row(NULL, vm, call);
	at = cpu_now();
	if (t->n)
		t->seconds[!!vm->trace][(t->n - 1) / 2] = at - t->since;
	if (++t->n > 2 * TURNS)
		vm_stop_exit(vm, 0);
	t->left = t->turn;
	vm->trace = vm->trace ? NULL : t->sink; /* it forgets a call that has no end */
	if (vm->trace)
		t->sink->emit(t->sink, &(struct trace_event){ .kind = TRACE_ENTER, .call = call });
	t->since = cpu_now();
	return hcall_answer_row(NULL, vm, call);
}

static void run_by_turns(
	struct by_turns *t, const char *backend, const char *guests, const char *dir)
{
	char out[60], image_path[4096], *args[] = { "1000000000" };
	struct fileio_mount mount = { .host = out, .guest = "/out", .writable = true };
	const struct vm_stop *stop;
	struct fileio *files;
	struct err err = { "" };
	uint8_t *image;
	struct vm *vm;
	size_t size;

	snprintf(out, sizeof(out), "%s/out", dir);
	mkdir(out, 0755);
	snprintf(image_path, sizeof(image_path), "%s/filework.elf", guests);
	if (elf_read_file(image_path, &image, &size, &err) ||
		fileio_init(&files,
			&(struct fileio_config){ .mounts = &mount,
				.n_mounts = 1,
				.console_in = -1,
				.console_out = -1 },
			&err) ||
		vm_create(&vm,
			&(struct vm_config){ .backend = backend,
				.mem_size = RAM,
				.image = image,
				.image_size = size,
				.args = { .image_path = image_path, .app = args, .n_app = 1 },
				.files = files },
			&err))
		die(image_path, err.text);
	vm->respond = answer_by_turns;
	vm->respond_ctx = t;
	stop = vm_run(vm);
	if (t->n <= 2 * TURNS)
		die(image_path, stop->text);
	vm_destroy(vm);
	fileio_destroy(files);
	free(image);
}

/* Reads and writes of 256 B to 4 KiB, each with its open and close. A turn fills the recorder's tail some times over. */
static void bench_record_guest(const char *guests, const char *backend, uint64_t turn)
{
	static struct by_turns t;
	struct backend_info info = { 0 };
	struct trace_writer *w;
	double ratio[TURNS];
	char dir[40], path[60], what[80];

	backend_find(backend)->probe(&info);
	snprintf(what, sizeof(what), "a file-heavy guest recorded / not, CPU, %s", backend);
	if (!info.usable) {
		printf("SKIP %s: %s\n", what, info.why);
		return;
	}
	bench_dir(dir);
	snprintf(path, sizeof(path), "%s/r", dir);
	w = new_recording(path);
	t = (struct by_turns){ .sink = trace_writer_sink(w), .turn = turn, .left = turn };
	run_by_turns(&t, backend, guests, dir);
	trace_writer_close(w, NULL);
	for (int i = 0; i < TURNS; i++)
		ratio[i] = t.seconds[1][i] / t.seconds[0][i];
	line(what, median(t.seconds[1], TURNS) / (double)turn * 1e9,
		median(t.seconds[0], TURNS) / (double)turn * 1e9, median(ratio, TURNS), "ns/call");
	remove_bench_dir(dir);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: bench BELLJAR GUESTS_DIR\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* First: the memory of a child begins with ours. */
	bench_trace_verbs(argv[1]);
	bench_kvm_calls(argv[2]);
	bench_tcg_calls(argv[2]);
	bench_kvm_steps(argv[2]);
	bench_tcg_steps(argv[2]);
	bench_speed(argv[2]);
	bench_start(argv[1], argv[2], "tcg");
	bench_start(argv[1], argv[2], "kvm");
	bench_record_event();
	bench_record_guest(argv[2], "tcg", 6 * 600);
	bench_record_guest(argv[2], "kvm", 6 * 300);
	bench_read();
	bench_replay();
	return 0;
}
