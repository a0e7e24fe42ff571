/* SPDX-License-Identifier: ISC */
/*
 * What running a guest means, whoever does it: hardware (kvm), a software CPU (tcg), or no CPU at
 * all (script). A backend knows no hypercalls, no files and no ABI; it turns what the guest does
 * into exits. A NULL op is "not offered here": callers use the backend_* wrappers, which say
 * -EOPNOTSUPP for them.
 */
#ifndef BACKEND_H
#define BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu.h"

/* tcg's TSC, which no machine changes: what a deterministic guest is told on every backend. */
enum { BACKEND_TSC_KHZ = 1000 * 1000 };

struct backend;
struct cpuid_entry;
struct err;
struct gmem;
struct paging;

enum vcpu_exit_kind {
	VCPU_PORT,     /* in or out; see the port fields */
	VCPU_DEBUG,    /* what backend_set_debug asked for happened; see why */
	VCPU_HALT,     /* HLT with nothing that could ever wake the CPU */
	VCPU_SHUTDOWN, /* triple fault */
	VCPU_KICKED,   /* backend_kick, or a signal */
	VCPU_REFUSED,  /* this CPU cannot go on at rip; see text and insn */
	VCPU_EXIT_COUNT,
};
extern const char *const vcpu_exit_names[VCPU_EXIT_COUNT];

enum vcpu_debug_why {
	VCPU_STEP,
	VCPU_BREAKPOINT,
	VCPU_WATCHPOINT,
	VCPU_COUNTED, /* backend_icount() came to vcpu_debug.until */
	VCPU_EXCEPTION, /* one of vcpu_debug.exceptions: it is in cpu_state.event, and taken when run again */
	VCPU_DEBUG_WHY_COUNT
};

struct vcpu_exit {
	enum vcpu_exit_kind kind;
	/* PORT and REFUSED: the address of the instruction itself. Others: the next to run. */
	uint64_t rip;

	/* VCPU_PORT. For `in` the answer is left in data: run takes it from the exit it is given next. */
	uint16_t port;
	uint8_t size; /* 1, 2 or 4 */
	bool in;
	uint32_t data;
	uint64_t rdi;

	/* VCPU_DEBUG */
	enum vcpu_debug_why why;
	uint64_t
		addr; /* breakpoint: rip; watchpoint: the gva of the watch; exception: its vector */
	bool wrote;   /* watchpoint: the access was a write; else a read */
	bool interrupt; /* step: the CPU went to an interrupt's handler instead, and stands at its beginning */

	/* VCPU_SHUTDOWN: the exception that began it, where the backend knows (pending); its address is in CR2. */
	struct cpu_event cause;

	/* VCPU_REFUSED */
	const char *text; /* static: what was refused and why */
	uint8_t insn[15]; /* as many bytes at rip as could be read */
	uint8_t insn_len;
};

/*
 * A port access is first offered here, in the middle of run, so that answering one costs no way
 * out of the backend and back. True: answered (for `in`, exit->data set), the guest goes on.
 * False: run returns this exit. May read registers and memory; must not run, load or destroy.
 */
typedef bool backend_port_fn(void *ctx, struct vcpu_exit *exit);

/* Asked by burst: does it have to end before this instruction? insn: len bytes at rip, 1 to 15. */
typedef bool backend_leave_fn(void *ctx, uint64_t rip, const uint8_t *insn, size_t len);

struct vcpu_watch {
	uint64_t gva;
	uint64_t len; /* 1 or more, however aligned; must not wrap */
	bool on_read, on_write;
};

struct vcpu_debug {
	bool step;  /* stop after one instruction */
	bool turns; /* or one turn of a repeated string instruction */
	const uint64_t *breaks; /* GVAs; stop before the instruction runs */
	size_t n_breaks;
	const struct vcpu_watch
		*watches; /* stop after the access, whether or not it changed anything */
	size_t n_watches;
	/* Stop before the instruction that would make icount exceed this; 0: nowhere. -EOPNOTSUPP without icount. */
	uint64_t until;
	/* A bit per vector: stop when the guest raises it, before anything of it is delivered. -EOPNOTSUPP: not told here. */
	uint32_t exceptions;
};

struct backend_config {
	struct gmem *mem; /* borrowed; must outlive the backend */
	bool irqchip;     /* interrupt controller and timer */
	bool want_paging; /* backend_paging() is called often: keep it cheap */
	bool debug; /* will be debugged: watchpoints of any number and kind, even if that is slow */
	bool plain_cpu; /* CPUID says the same on every backend and host: what all can do */
	/* What CPUID is to say, instead; as far as this CPU lets itself be told. Borrowed likewise. */
	const struct cpuid_entry *cpuid;
	size_t n_cpuid;
	backend_port_fn *port; /* may be NULL */
	void *ctx;             /* for port; and for a script */
	/* script only: the next exit, or a negative errno to end with */
	int (*next)(void *ctx, struct backend *b, struct vcpu_exit *exit);
};

/* What this machine gives a backend; filled in by probe. */
struct backend_info {
	bool usable;
	char why[200]; /* when not usable: the reason and what to do */
	char kind[80]; /* "KVM API 12 on VT-x", "KVM without VT-x (kvm_pvm)", "Unicorn 2.0.1" */
	bool refuses;  /* some ordinary instructions are refused and need the assistance of tcg */
	bool breakpoints, watchpoints, icount;
	char debug[300]; /* by what a debugger gets those, "; " between */
	char gaps[400];  /* what is missing here, "; " between; "" when nothing is */
};

struct backend_ops {
	const char *name;
	bool sleeps; /* HLT may wait inside run without end: kick now and then, and look */
	/* Everything that can be found out, by trying where it must be; a few ms the first time. */
	void (*probe)(struct backend_info *info);
	/* What backend_open needs of it: no guest is started. NULL: probe is as quick. */
	void (*look)(struct backend_info *info);
	int (*create)(struct backend **out, const struct backend_config *config, struct err *err);
	void (*destroy)(struct backend *b); /* takes NULL */
	/* Until one exit that config.port did not answer: 0 or -errno. */
	int (*run)(struct backend *b, struct vcpu_exit *exit);
	/* From here on NULL = not offered. */
	int (*get_regs)(struct backend *b, struct cpu_regs *regs);
	int (*set_regs)(struct backend *b, const struct cpu_regs *regs);
	int (*save)(struct backend *b, struct cpu_state *state);
	int (*load)(struct backend *b, const struct cpu_state *state);
	int (*paging)(struct backend *b, struct paging *p);
	int (*set_debug)(struct backend *b, const struct vcpu_debug *debug);
	/* Async-signal-safe. The run in progress, or else the next one, ends with VCPU_KICKED. */
	void (*kick)(struct backend *b);
	/* Instructions retired since create, exact. An instruction that faults is not retired. */
	uint64_t (*icount)(struct backend *b);
	/*
	 * Exceptions and interrupts that the CPU went to a handler for since icount last changed, and turns of a repeated
	 * string instruction that is not through: with icount it tells apart all places that a run can stop at.
	 */
	uint64_t (*happened)(struct backend *b);
	uint32_t (*tsc_khz)(struct backend *b);
	/* What CPUID says to a guest here, whatever was asked for: entries, at most max; or -errno. */
	int (*cpuid)(struct backend *b, struct cpuid_entry *table, size_t max);
	/* Code in guest memory was changed from outside: forget what was derived from it. */
	void (*code_changed)(struct backend *b, uint64_t gpa, size_t len);
	/*
	 * All that is between two runs but memory: CPU, interrupt controllers, timers, clock, icount, an access
	 * that is unfinished. Thawed into the same backend, over the same memory, the guest goes on as it did, bit
	 * for bit as far as this backend is deterministic. frozen_size bytes, no pointers that may dangle. What set_debug
	 * asked for, and a kick, are no part of it. Not in the port callback.
	 */
	size_t (*frozen_size)(const struct backend *b);
	int (*freeze)(struct backend *b, void *frozen);
	int (*thaw)(struct backend *b, const void *frozen);
	/*
	 * For a CPU that helps out another one, between load and save: at least one and at most max
	 * instructions (fewer when they take much else), ending before one that leave says true of,
	 * unless it is the first. leave is asked ahead, and what it says is remembered as long as ctx
	 * and the code are the same. Ended by either: VCPU_DEBUG with VCPU_STEP; by breakpoints and
	 * watchpoints: as run would say it. A kick ends it, too.
	 * Port accesses, HLT and what is refused end it as in run (config.port is not asked), with
	 * rip at the instruction and nothing of it done. Exceptions go to the guest. Another CPU ran
	 * on this memory in between: code translated and page tables walked in earlier calls may be
	 * stale. Ignores set_debug otherwise.
	 */
	int (*burst)(struct backend *b, struct vcpu_exit *exit, uint64_t max,
		backend_leave_fn *leave, void *ctx);
};

/* The part every backend's own struct begins with. */
struct backend {
	const struct backend_ops *ops;
	struct backend_config config;
};

extern const struct backend_ops backend_kvm, backend_tcg, backend_script, backend_assisted;
/* In order of preference; NULL ends it. Those a user may name. */
extern const struct backend_ops *const backend_list[];

/* The ops by name ("kvm", "tcg"), or NULL. */
const struct backend_ops *backend_find(const char *name);
/*
 * "auto", "kvm" or "tcg". On a KVM that refuses ordinary instructions, and for config.debug, the
 * result is kvm with the assistance of tcg. Says in *info what was found. 0, or -errno with err filled in.
 */
int backend_open(const char *name, const struct backend_config *config, struct backend **out,
	struct backend_info *info, struct err *err);

/* ops->probe of what config.debug would open. */
void backend_probe_for_debug(const struct backend_ops *ops, struct backend_info *info);

/* The ops with NULL decided: -EOPNOTSUPP, or nothing done, 0 and 0. */
void backend_destroy(struct backend *b);
int backend_run(struct backend *b, struct vcpu_exit *exit);
int backend_get_regs(struct backend *b, struct cpu_regs *regs);
int backend_set_regs(struct backend *b, const struct cpu_regs *regs);
int backend_save(struct backend *b, struct cpu_state *state);
int backend_load(struct backend *b, const struct cpu_state *state);
int backend_paging(struct backend *b, struct paging *p);
int backend_set_debug(struct backend *b, const struct vcpu_debug *debug);
void backend_kick(struct backend *b);
uint64_t backend_icount(struct backend *b);
uint64_t backend_happened(struct backend *b);
uint32_t backend_tsc_khz(struct backend *b);
int backend_cpuid(struct backend *b, struct cpuid_entry *table, size_t max);
void backend_code_changed(struct backend *b, uint64_t gpa, size_t len);
size_t backend_frozen_size(const struct backend *b); /* 0: not offered */
int backend_freeze(struct backend *b, void *frozen);
int backend_thaw(struct backend *b, const void *frozen);

#endif
