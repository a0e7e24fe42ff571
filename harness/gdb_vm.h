/* SPDX-License-Identifier: ISC */
/*
 * A running guest as gdb's target: breakpoints, stepping, caught calls, monitor. Drives vm_run; knows the protocol only
 * by gdb_target.h.
 */
#ifndef GDB_VM_H
#define GDB_VM_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "gdb_files.h"
#include "gdb_monitor.h"
#include "gdb_points.h"
#include "gdb_regs.h"
#include "gdb_target.h"
#include "strace.h"
#include "vm.h"

struct history;
struct session;

enum gdb_poll { GDB_POLL_NOTHING, GDB_POLL_INTERRUPT, GDB_POLL_GONE };

/* Whoever has the connection. */
struct gdb_link {
	void *ctx;
	enum gdb_poll (*poll)(
		void *ctx); /* has the debugger said something while the guest runs? */
	void (*watch)(void *ctx, bool on); /* vm_pause when it says something; costs system calls */
	void (*say)(
		void *ctx, const char *text, size_t len); /* on its console, while the guest runs */
};

enum { GDB_LOG_LINES = 1024, GDB_LOG_LINE = 240 };

/* The last hypercalls, as strace writes them. */
struct gdb_log_line {
	uint64_t seq;
	char text[GDB_LOG_LINE];
};

enum { GDB_SEEN_MAX = 64 };

/* What is where a breakpoint is. */
struct gdb_seen {
	uint64_t addr;
	uint8_t bytes[4];
	bool there, told;
};

struct gdb_vm {
	struct session *session;
	struct vm *vm;
	struct history *history; /* NULL: there is no way back */
	struct gdb_link link;
	struct gdb_target_ops ops;
	struct gdb_points points;
	bool catch_row[GDB_ROWS_MAX]; /* by index into abi->rows */
	bool strace_on, ended;
	bool shown;           /* a call's line, as it was made, since the guest was resumed */
	struct gdb_stop stop; /* why it stands still */
	bool told_stays;      /* that is a breakpoint which has not been taken away since */
	struct strace strace;
	struct gdb_files files;
	struct gdb_log_line *log;
	uint64_t n_log;
	bool diverge; /* writes in the past are let through: what came behind them is forgotten */
	bool replays; /* the answers are a recording's */
	bool shows_interrupts;  /* a step may end in a handler; else it goes over it */
	uint64_t base;          /* where the CPU counts: behind the last call */
	bool at_call;           /* nothing ran since the last call, or since the start */
	bool edited;            /* something was written, since the start */
	bool uncounted;         /* the way back begins between two calls, and nobody knows where */
	bool stop_at_exit;      /* before the guest is gone, for there is a way back */
	bool stepped_to_end;    /* gdb was told of a step, and not yet that it was the last */
	bool runs_to;           /* a place: */
	uint64_t until_call;    /* held behind so many answers, and in the next call */
	uint64_t way_began_ns;  /* the way back in progress, of which nothing was said yet; 0: none */
	uint64_t edit_until_ns; /* history looks for a place until then; 0: as long as it takes */
	bool leaves; /* the debugger has gone: nobody is there to interrupt the way to the present */
	bool edit_forgets;      /* what was before this change cannot be gone back to */
	struct err err;         /* of the last refusal */
	struct err no_way_back; /* why there is no history */
	struct gdb_seen seen[GDB_SEEN_MAX];
	size_t n_seen;
	struct gdb_monitor monitor;
};

/* 0 or -ENOMEM. The machine is at its first instruction, or where it was paused. */
int gdb_vm_init(struct gdb_vm *g, struct session *session, const struct gdb_link *link);
void gdb_vm_finish(struct gdb_vm *g);
/*
 * A debugger comes: from here on there is a way back, if there can be. And goes: what it has set goes with it, and a guest in the past
 * goes to the present, or is at its end when it cannot.
 */
void gdb_vm_begin(struct gdb_vm *g);
void gdb_vm_end(struct gdb_vm *g);
/* Without a debugger: until the guest is at its end, or vm_pause stops it. */
const struct vm_stop *gdb_vm_run_free(struct gdb_vm *g);
/*
 * Where there is a way back, without a look at breakpoints: until so many calls are answered, and so many instructions
 * done since; not into the next call, but perhaps to the guest's end. 0, or -EINTR when the debugger said something.
 */
int gdb_vm_run_to(struct gdb_vm *g, uint64_t calls, uint64_t insns);
/* The guest has come to its end: vm->stop says how. */
bool gdb_vm_ended(const struct gdb_vm *g);

/* For both: what is at a guest address, as gdb reads it. Bytes read. */
size_t gdb_vm_read(struct gdb_vm *g, bool physical, uint64_t addr, void *buf, size_t len);
/* The number that gdb knows a call by: Linux's where it has the name, else from GDB_CALL_OTHER on. */
enum { GDB_CALL_OTHER = 1000 };
uint64_t gdb_call_number(const struct vm *vm, const struct hcall_row *row);

#endif
