/* SPDX-License-Identifier: ISC */
/*
 * The machine: guest memory, who asks (cpu), who answers (respond), who watches (trace). Whoever
 * calls vm_run drives. Knows nothing of who they are.
 */
#ifndef VM_H
#define VM_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"
#include "backend.h"
#include "elf_load.h"
#include "gmem.h"
#include "hcall.h"

struct fileio;
struct trace_sink;

enum vm_stop_kind {
	VM_RUNNING, /* not stopped */
	VM_EXITED,  /* the guest ended itself: code */
	VM_CRASHED, /* triple fault, refused instruction, a call that cannot be answered: text */
	VM_DEBUG,   /* a breakpoint, step or watchpoint: exit */
	VM_KICKED,  /* vm_kick: time limit, signal */
	VM_FAILED,  /* belljar or the host failed: text */
	VM_CALL,    /* vm->hold asked for it: the call in vm->call, answered or not */
	VM_PAUSED,  /* vm_pause: whoever drives wants to look */
	VM_STOP_COUNT,
};

struct vm_stop {
	enum vm_stop_kind kind;
	int code;
	struct vcpu_exit exit; /* the last one */
	char text[300];        /* one line, no newline; "" when there is nothing to say */
};

/* Strings are borrowed and must outlive vm_init. */
struct vm_args {
	const char *image_path;
	char *const *kernel; /* words for the kernel itself */
	size_t n_kernel;
	char *const *app; /* the application's arguments, without argv[0] */
	size_t n_app;
	char *const *env; /* "K=V" */
	size_t n_env;
	char *const *mount_dirs; /* guest directories that hold mapped files; never "/" */
	size_t n_mount_dirs;
};

struct vm_config {
	const char *backend;  /* "auto", "kvm", "tcg" */
	uint64_t mem_size;    /* bytes, a multiple of 2 MiB */
	const uint8_t *image; /* the ELF file in memory; borrowed while the machine lives */
	size_t image_size;
	struct vm_args args;
	struct fileio *files;     /* borrowed */
	struct trace_sink *sinks; /* borrowed; NULL: nobody watches */
	uint64_t boot_time_ns;
	uint32_t tsc_khz; /* what the guest is told of its TSC; 0: what the backend says */
	bool plain_cpu;   /* backend.h */
	bool debug;       /* likewise */
	const struct cpuid_entry *cpuid; /* likewise; NULL: the backend's own */
	size_t n_cpuid;
};

/*
 * Asked when a call has been copied in and not been answered yet, and again when the answer has gone back. True: vm_run
 * returns VM_CALL. A call held before its answer is copied in again, and answered, by the next vm_run.
 */
typedef bool vm_hold_fn(void *ctx, struct vm *vm, const struct hcall *call, bool answered);

/* What the next vm_run has to do about a call that the last one stopped in. */
enum vm_call_state { VM_CALL_NONE, VM_CALL_HELD, VM_CALL_INTERRUPTED };

enum { VM_CALLS_KEPT = 8 };

/* row_of_port: 0 is not a call, else 1 + index into abi->rows, or */
enum { VM_PORT_LEGACY = 255 };

struct vm {
	struct gmem mem;
	struct backend *cpu;
	struct backend_info cpu_info;
	const struct guest_abi *abi;
	int abi_version;
	struct abi_layout layout;
	struct elf_image image;
	struct vm_args args;
	uint64_t boot_time_ns;
	uint32_t tsc_khz; /* what the guest is told */
	struct fileio *files;
	struct trace_sink *trace;
	hcall_respond_fn *respond;
	void *respond_ctx;
	vm_hold_fn *hold; /* NULL: nobody asks */
	void *hold_ctx;
	enum vm_call_state call_state;
	uint64_t n_calls;
	struct vm_stop stop;
	volatile sig_atomic_t kicked, paused;
	struct hcall call; /* the one in progress: dispatch is single-threaded */
	/* The last ones that were answered, each at its seq % VM_CALLS_KEPT: for reports. */
	struct hcall last_calls[VM_CALLS_KEPT];
	struct vcpu_exit exit; /* between runs: an unanswered `in` waits here */
	uint8_t row_of_port[65536];
};

/*
 * Looks at the image, makes RAM and a CPU, places the image, boots its ABI: ready to run its first
 * instruction. On the heap because it is large. 0, or -errno with err.
 */
int vm_create(struct vm **out, const struct vm_config *config, struct err *err);
/*
 * A machine without an image and without a CPU: exits come from a callback (backend.h), the ABI's calls
 * are answered as ever. For replay and for tests.
 */
struct vm_script {
	const struct guest_abi *abi;
	int abi_version;
	uint64_t ram_gpa, mem_size;
	struct vm_args args;
	struct fileio *files;     /* borrowed; NULL when no call will touch files */
	struct trace_sink *sinks; /* borrowed */
	int (*next)(void *ctx, struct backend *b, struct vcpu_exit *exit);
};
int vm_create_script(struct vm **out, const struct vm_script *script, struct err *err);
void vm_destroy(struct vm *vm); /* takes NULL */

/*
 * Runs until the guest stops for a reason that is not a hypercall; also in vm->stop. After VM_DEBUG, VM_CALL and
 * VM_PAUSED it may be run on, and the sinks are told nothing of them.
 */
const struct vm_stop *vm_run(struct vm *vm);

/* Async-signal-safe: vm_run returns VM_KICKED soon. */
void vm_kick(struct vm *vm);
/* Async-signal-safe: vm_run returns VM_PAUSED soon, also out of a call that waits; that one is asked again. */
void vm_pause(struct vm *vm);

/* Async-signal-safe: has vm_run see whether the CPU sleeps for ever; otherwise the guest goes on. */
void vm_look(struct vm *vm);

/* For answers: the guest ends itself; the machine cannot go on. */
void vm_stop_exit(struct vm *vm, int code);
__attribute__((format(printf, 3, 4))) void vm_stop_set(
	struct vm *vm, enum vm_stop_kind kind, const char *format, ...);

#endif
