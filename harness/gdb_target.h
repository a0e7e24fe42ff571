/* SPDX-License-Identifier: ISC */
/*
 * What gdb may ask of whoever runs a guest: the seam between packets and a machine. Addresses are guest-virtual
 * unless said. Where an int is returned: 0 or -errno, and then *why may be set to static or lasting words for the user.
 */
#ifndef GDB_TARGET_H
#define GDB_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct cpu_regs;
struct cpu_state;
struct gdb_counts;

/* Numbers as in the packets Z0 to Z4. */
enum gdb_point_kind {
	GDB_BREAK_SOFT,
	GDB_BREAK_HARD,
	GDB_WATCH_WRITE,
	GDB_WATCH_READ,
	GDB_WATCH_ACCESS,
	GDB_POINT_KINDS,
};

/* An agent expression: gdb_agent.h. */
struct gdb_code {
	const uint8_t *bytes;
	size_t len;
};

enum { GDB_CODES_MAX = 32 }; /* conditions and commands of one breakpoint, each */

struct gdb_point {
	enum gdb_point_kind kind;
	uint64_t addr, len;
	struct gdb_code conditions[GDB_CODES_MAX]; /* stop when any is true; none: always */
	size_t n_conditions;
	struct gdb_code commands[GDB_CODES_MAX]; /* run then, and with them there is no stop */
	size_t n_commands;
};

enum gdb_stop_kind {
	GDB_STOPPED, /* by signal, for why */
	GDB_EXITED,  /* code */
	GDB_ENDED,   /* the guest crashed and is gone: signal */
};

enum gdb_why {
	GDB_WHY_SIGNAL, /* nothing but the signal */
	GDB_WHY_BREAK_SOFT,
	GDB_WHY_BREAK_HARD,
	GDB_WHY_WATCH, /* value: the address */
	GDB_WHY_RWATCH,
	GDB_WHY_AWATCH,
	GDB_WHY_CALL_ENTRY, /* value: the number of the call */
	GDB_WHY_CALL_RETURN,
	GDB_WHY_BEGIN, /* of what can be gone back to */
	GDB_WHY_END,
	GDB_WHY_COUNT,
};

/* Signals as gdb numbers them. */
enum gdb_signal {
	GDB_SIG_0 = 0,
	GDB_SIG_INT = 2,
	GDB_SIG_ILL = 4,
	GDB_SIG_TRAP = 5,
	GDB_SIG_ABRT = 6,
	GDB_SIG_FPE = 8,
	GDB_SIG_KILL = 9,
	GDB_SIG_BUS = 10,
	GDB_SIG_SEGV = 11,
	GDB_SIG_SYS = 12,
};

struct gdb_stop {
	enum gdb_stop_kind kind;
	enum gdb_why why;
	int signal, code;
	uint64_t value;
	char text[500]; /* for the user to read, before gdb's own words; "": nothing to say */
};

struct gdb_resume {
	bool step, reverse;
	bool alone; /* no other thread would run: gdb steps over breakpoints so */
	uint64_t range_start, range_end; /* step on while start <= rip < end; both 0: one step */
	uint64_t insns;                  /* no more than so many instructions; 0: no limit */
};

struct gdb_target_ops {
	/* The whole CPU, as it is before the next instruction. */
	int (*get_state)(void *target, struct cpu_state *state, struct gdb_counts *counts);
	/* The part that every stop tells, for less. */
	int (*get_regs)(void *target, struct cpu_regs *regs);
	int (*set_state)(void *target, const struct cpu_state *state, const char **why);
	/* Bytes read before an address that is not there. physical: addresses are GPAs. */
	size_t (*read)(void *target, bool physical, uint64_t addr, void *buf, size_t len);
	/* All or nothing. */
	int (*write)(void *target, bool physical, uint64_t addr, const void *buf, size_t len,
		const char **why);
	/* Inserting again replaces; removing what is not there does nothing. Codes are copied. */
	int (*insert)(void *target, const struct gdb_point *point, const char **why);
	int (*remove)(void *target, enum gdb_point_kind kind, uint64_t addr, uint64_t len);
	/* Stop before and behind the calls with these numbers; n 0: all. on false: none. */
	int (*catch_calls)(void *target, bool on, const uint64_t *numbers, size_t n);
	/* Runs until the guest stops, or the user wants it to. */
	void (*resume)(void *target, const struct gdb_resume *how, struct gdb_stop *stop);
	/* Why it stands still now. */
	void (*why)(void *target, struct gdb_stop *stop);
	/*
	 * The guest from its first instruction again, with these arguments: argz(3), copied; len 0: those that the command
	 * line says.
	 */
	int (*restart)(void *target, const char *args, size_t len, struct gdb_stop *stop,
		const char **why);
	/* No breakpoints, no catches: the debugger goes. */
	void (*detach)(void *target);
	/* A line of `monitor`: the answer is text. False: no such command. */
	bool (*monitor)(void *target, const char *line, FILE *out);
	/* Files for the debugger by virtual names ("/guest.elf"): an index, or -errno; its size; pread. */
	int (*file_find)(void *target, const char *name);
	int64_t (*file_size)(void *target, int file);
	ssize_t (*file_read)(void *target, int file, uint64_t at, void *buf, size_t len);
	/* The name of the image among them. */
	const char *(*exec_file)(void *target);
	/* How far the image was moved from its link addresses. */
	uint64_t (*load_offset)(void *target);
	/* The link address of its first byte. */
	uint64_t (*image_start)(void *target);
	/* Where its first instruction came to lie. */
	uint64_t (*image_entry)(void *target);
	bool has_avx, can_reverse;
	bool created; /* by the debugger: the guest ends when that quits */
};

#endif
