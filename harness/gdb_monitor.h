/* SPDX-License-Identifier: ISC */
/*
 * `monitor`: commands for whoever sits at gdb, in tables of rows. Lines are any bytes; an answer is text, always, and
 * nothing that a line says reaches a host file but by names that gdb_monitor_file() lets pass.
 */
#ifndef GDB_MONITOR_H
#define GDB_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "history.h"
#include "trace.h"

struct gdb_vm;
struct trace_writer;

enum { GDB_ROWS_MAX = 64, GDB_FILE_MAX = 200, GDB_MARKS_MAX = 32 };

/* A place of its run that the user wants to find again. */
struct gdb_mark {
	uint64_t number;
	struct history_pos pos;
};

/* What the monitor sees of a machine while it runs. */
struct gdb_monitor {
	struct trace_sink sink;
	struct {
		uint64_t calls, errors, bytes_in, bytes_out;
	} counts[GDB_ROWS_MAX];         /* by index into abi->rows */
	struct trace_writer *recording; /* NULL: none */
	bool recording_call;            /* it has seen the beginning of the call that is on */
	bool partial;                   /* it does not replay */
	char recording_name[GDB_FILE_MAX];
	struct gdb_mark marks[GDB_MARKS_MAX];
	size_t n_marks;
	uint64_t last_mark;
};

/* Watches g->vm from now on, and counts anew; no more, and a recording gets its end. */
void gdb_monitor_begin(struct gdb_vm *g);
void gdb_monitor_end(struct gdb_vm *g);
/* Of a machine that will be no more. */
void gdb_monitor_end_recording(struct gdb_vm *g);
/* Another way is taken from here: the checkpoints behind are no more. */
void gdb_monitor_forget_marks(struct gdb_vm *g);
/* Answers a line. */
void gdb_monitor_line(struct gdb_vm *g, const char *line, FILE *out);

/* ---- for the files of the monitor: gdb_monitor_*.c ---- */

enum { GDB_WORDS_MAX = 4 };

struct gdb_words {
	const char *list[GDB_WORDS_MAX]; /* behind the command's name */
	int n;
};

struct gdb_command {
	const char *name; /* a word, or two */
	const char *args; /* as help shows them */
	const char *help; /* the first line says what it does */
	int8_t least,
		most; /* words; most -1: one that goes on to the end of the line, blanks and all */
	void (*run)(struct gdb_vm *g, const struct gdb_words *w, FILE *out);
};
/* A NULL name ends each. */
extern const struct gdb_command gdb_commands_machine[], gdb_commands_memory[], gdb_commands_calls[],
	gdb_commands_files[], gdb_commands_time[];

/* Any bytes, quoted. */
void gdb_monitor_quote(FILE *out, const char *text);
/* "on" or "off"; else false, and it is said. */
bool gdb_monitor_switch(FILE *out, const char *word, bool *on);
/* A number, decimal or 0x...; else false, and it is said what was expected: what, from min to max. */
bool gdb_monitor_number(
	FILE *out, const char *word, const char *what, uint64_t min, uint64_t max, uint64_t *value);
/* An address: a number or "$REGISTER", with "+N" or "-N" behind it. False as above. */
bool gdb_monitor_address(struct gdb_vm *g, FILE *out, const char *word, uint64_t *addr);
/* A place of its run, as goto takes it, where there is a way back. False as above. */
bool gdb_monitor_place(struct gdb_vm *g, FILE *out, const char *word, struct history_pos *pos);
/* Goes there, back or forth: 0, or -errno with g->err; -EINTR when the user wanted no more of it. */
int gdb_monitor_go(struct gdb_vm *g, const struct history_pos *pos);
/*
 * May the user at gdb have this file made? Whoever can reach the socket can say it, so it is a plain name, of ASCII, in the
 * directory belljar was started in, that ends in suffix and that is not there yet. False, and it is said.
 */
bool gdb_monitor_file(FILE *out, const char *name, const char *suffix);

#endif
