/* SPDX-License-Identifier: ISC */
/*
 * Recordings written: pcapng, one CBOR map per packet (docs: trace format in HACKING.md). As a trace
 * sink it allocates nothing and makes no system call per event; a tail ring beside the file, FILE.tail,
 * keeps every finished call and the one in flight through SIGKILL.
 */
#ifndef TRACE_WRITE_H
#define TRACE_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "trace.h"
#include "trace_record.h"

struct err;
struct trace_writer;

enum trace_on_error { TRACE_ERROR_STOP, TRACE_ERROR_CONTINUE };

struct trace_writer_config {
	enum trace_on_error on_error;
	/*
	 * Told once when writing failed (disk full ...): one line without newline, from within emit.
	 * With TRACE_ERROR_STOP its owner kicks the machine.
	 */
	void (*failed)(void *ctx, const char *text);
	void *ctx;
};

/*
 * Creates FILE and FILE.tail with its room reserved, and writes the header. A regular file that is
 * there is replaced. 0, or -errno with err.
 */
int trace_writer_open(struct trace_writer **out, const char *path,
	const struct trace_header *header, const struct trace_writer_config *config,
	struct err *err);
/* Any kind but TRACE_PENDING and TRACE_CUT. For what does not come from a running machine. 0 or -errno. */
int trace_writer_put(struct trace_writer *w, const struct trace_record *record);
/* The sink that records a machine's calls, and its stop when the machine is done (not VM_DEBUG). */
struct trace_sink *trace_writer_sink(struct trace_writer *w);
/* The stop is kept and written as TRACE_END by close, so that TRACE_AFTER records may come before it. */
uint64_t trace_writer_count(const struct trace_writer *w); /* calls recorded */
bool trace_writer_broken(const struct trace_writer *w);    /* writing failed */
/*
 * Writes the end, folds the tail in and removes it. 0, or -errno with err when the file is not whole. Frees
 * w either way.
 */
int trace_writer_close(struct trace_writer *w, struct err *err);

#endif
