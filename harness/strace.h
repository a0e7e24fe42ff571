/* SPDX-License-Identifier: ISC */
/* A trace sink that prints one line per hypercall, as strace writes them. Allocates nothing. */
#ifndef STRACE_H
#define STRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "trace.h"

struct vm;

enum { STRACE_DATA_MAX = 32 }; /* bytes of a buffer that are shown */

/* Takes a line with its newline. */
typedef void strace_line_fn(void *ctx, const char *line, size_t len);

struct strace {
	struct trace_sink sink;
	int fd;                   /* borrowed */
	strace_line_fn *put_line; /* instead of fd, if not NULL */
	void *put_line_ctx;
	bool broken;  /* a write failed: said once, and no more is tried */
	bool in_call; /* between ENTER and LEAVE */
	const struct hcall *call;
	/* What passed through the call's buffers so far, for the line at its end. */
	char path[4096];
	size_t path_len;
	bool has_path;
	uint8_t data[128]; /* the first bytes; a whole struct uhyve_attr fits */
	uint64_t data_len; /* of all pieces */
	bool has_data;
	unsigned n_dents; /* records that went by */
	bool late;        /* path and data were looked at when the call was long over */
};

/* Writes each line at once. */
void strace_init(struct strace *s, int fd);
/* Hands each line over. */
void strace_init_lines(struct strace *s, strace_line_fn *put_line, void *ctx);

/* A call that is not answered yet, without its result and with a newline; always terminated. */
void strace_describe(struct vm *vm, const struct hcall *call, char *buf, size_t size);

/* One that is long over: what its buffers hold now, in a comment, for nobody looked when it was made. */
void strace_late(struct vm *vm, const struct hcall *call, strace_line_fn *put_line, void *ctx);

#endif
