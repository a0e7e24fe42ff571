/* SPDX-License-Identifier: ISC */
/*
 * Recordings written: pcapng, one CBOR map per packet (docs: trace format in HACKING.md). As a trace
 * sink it allocates nothing and makes no system call per event; a tail ring beside the file, FILE.tail,
 * keeps every finished call and the one in flight through SIGKILL.
 */
#ifndef TRACE_WRITE_H
#define TRACE_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace.h"
#include "trace_record.h"

struct err;
struct trace_writer;

/*
 * FILE.tail, little endian; FILE and this together are the recording, whenever the recorder is killed:
 *
 *	the first min(good, committed) bytes of FILE, whatever follows them there being void,
 *	and, when committed > good, data[0] to data[committed - good - 1].
 *
 * Both ends fall between packets. Each field changes by a single store, `committed` last: that commits.
 * A call too large for the data goes to FILE in parts, beyond `committed`; then `good` moves ahead of
 * `committed` for an instant, and the call counts only when that has followed.
 *
 * Recovery cuts FILE there, appends the data and, as a packet without `r`, the call in flight, and only
 * then removes the tail: it can be done over again.
 * The recorder holds flock(LOCK_EX) on both as long as it lives. A tail without magic is one in the making:
 * FILE has all there is. With it, `good` may be 0 while FILE still is what it was before, or empty.
 */
#define TRACE_TAIL_MAGIC "bjttail1"

/* A call as it was asked, stored before the host does anything about it. */
struct trace_tail_request {
	uint64_t
		at; /* `committed` as it was; as long as it is, this call is in flight, else void */
	uint64_t seq, rip, time_ns;
	uint64_t args[HCALL_FIELDS_MAX]; /* as in struct trace_record */
	uint16_t port;
	uint16_t unused[3];
};

struct trace_tail {
	char magic[8];
	uint64_t committed;
	uint64_t good;
	struct trace_tail_request request;
	uint64_t unused[3];
	uint8_t data[]; /* as far as the file goes */
};

enum trace_on_error { TRACE_ERROR_STOP, TRACE_ERROR_CONTINUE };

struct trace_writer_config {
	enum trace_on_error on_error;
	/*
	 * Told once when writing failed (disk full ...): one line without newline, from within emit.
	 * With TRACE_ERROR_STOP its owner kicks the machine.
	 */
	void (*failed)(void *ctx, const char *text);
	void *ctx;
	/*
	 * Bytes of FILE.tail; 0: what is usual, which is enough for any packet. With less, packets that do not fit
	 * break the recording (-E2BIG): for who makes many small ones.
	 */
	size_t tail_size;
	/* A kill may lose all of it: there is no FILE.tail, and what it would hold is in memory. */
	bool no_tail;
};

/*
 * Creates FILE, header and all, and FILE.tail with its room reserved. A regular file that is there is
 * replaced. Killed at any moment, there is a recording without calls, or what was there before. 0, or -errno
 * with err.
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
/* What comes before the end is not whole: close will write none. */
void trace_writer_cut(struct trace_writer *w);
/*
 * Writes the end, folds the tail in and removes it. 0, or -errno with err when the file is not whole. Frees
 * w either way.
 */
int trace_writer_close(struct trace_writer *w, struct err *err);

#endif
