/* SPDX-License-Identifier: ISC */
/*
 * What a watcher is told about a hypercall, in order: ENTER, any READs and WRITEs of guest memory,
 * LEAVE; between calls, EDITs; at the very end one STOP. Pointers in an event live only as long as emit runs.
 */
#ifndef TRACE_H
#define TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hcall;
struct vm_stop;

enum trace_kind {
	TRACE_ENTER, /* call, with its block copied in */
	TRACE_READ,  /* guest -> host: len bytes from addr */
	TRACE_WRITE, /* host -> guest: len bytes to addr */
	TRACE_LEAVE, /* call, with its result */
	TRACE_EDIT,  /* edit: a debugger wrote len bytes of data */
	TRACE_STOP,  /* stop: why the machine stopped */
	TRACE_KIND_COUNT,
};

/* Where a debugger wrote, in time and in the machine. */
struct trace_edit {
	uint64_t calls;    /* answered before it */
	bool held;         /* in the next call, before its answer; else */
	uint64_t insns;    /* instructions since the last call, or since the start */
	uint64_t happened; /* and exceptions taken since the last of those: backend_happened */
	uint64_t rip;      /* then; 0: not known */
	const char *reg;   /* a register, by gdb's name; NULL: memory */
	uint64_t gpa;
};

struct trace_event {
	enum trace_kind kind;
	const struct hcall *call; /* NULL in EDIT and STOP */
	uint64_t addr;            /* as the guest gave it */
	const void *data;
	size_t len;
	const struct trace_edit *edit;
	const struct vm_stop *stop;
};

/* Embedded first in whatever watches. emit allocates nothing: it runs on the guest's path. */
struct trace_sink {
	void (*emit)(struct trace_sink *sink, const struct trace_event *event);
	struct trace_sink *next; /* the machine tells every sink of the chain */
};

#endif
