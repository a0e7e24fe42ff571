/* SPDX-License-Identifier: ISC */
/*
 * Replay of a trace: in the guest's place (the handlers answer over a fresh copy of the host tree and every
 * answer is compared) and in the host's place (a guest runs, its questions are compared and answered from
 * the trace). Results are text or one JSON line on a stream of the caller's.
 */
#ifndef REPLAY_H
#define REPLAY_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct err;
struct trace_reader;

struct replay_result {
	uint64_t calls;        /* compared */
	const char *last_call; /* its name; guest side, else NULL */
	uint64_t mismatches;   /* host side: all; guest side: 0 or 1 */
	bool cut;              /* the trace has no end: what there is agreed, or not */
	bool no_tree; /* host side: there is no directory of its files, so all mounts are empty */
};

struct trace_sink;
struct tree;
struct replay_host_options {
	const char *
		tree_dir; /* golden text: where NAME.d/ is; NULL: beside the trace, FILE less .bjt plus .d */
	FILE *out;     /* a line or more per mismatch; NULL: silence */
	bool json;     /* one JSON line per mismatch: see replay_check.h */
	uint64_t most; /* as text, no more mismatches than this are told; 0: all */
	bool warn;     /* log it when there are no files for the mounts */
	const volatile sig_atomic_t
		*stop; /* may be NULL; when it is set, -EINTR soon, all tidied up */
	/* Zeroed, or NULL: gets what the calls made of the files, as far as that is compared. The caller's. */
	struct tree *changes;
	struct trace_sink
		*watch; /* may be NULL; sees what the machine does, behind who compares it */
};
/*
 * 0 with *result (mismatches are no error), or -errno with err when it cannot be replayed. What is compared are
 * answers: what the guest wrote to its console or was given by it is taken as recorded. Known limits: root
 * may read and write where a mode says no; mounts that only links make the same have
 * the same files, but what is made in one is not in the other.
 */
int replay_host(const char *path, const struct replay_host_options *o, struct replay_result *result,
	struct err *err);
/* The same for a trace that is open, of which nothing was read yet. name is for messages. */
int replay_host_reader(struct trace_reader *reader, const char *name,
	const struct replay_host_options *o, struct replay_result *result, struct err *err);

struct session;
struct replay_guest_options {
	FILE *out;
	bool json;
};
/*
 * s: session_init done, backend, timeout, strace set by the caller; the rest comes from the trace's header.
 * guest: path of the image. Console output goes to s->console_out. *exit_code: what `replay` exits with when
 * the guest itself could not be run to its end (124, 126 ...; negative as session_exit_code), else 0.
 */
int replay_guest(struct session *s, const char *path, const char *guest,
	const struct replay_guest_options *o, struct replay_result *result, int *exit_code,
	struct err *err);

struct trace_reader;
/*
 * The second half of it: the machine is there (s->vm, whose answers this takes over) and stands at its first
 * instruction, the reader at the first record. For machines made in another way.
 */
int replay_guest_on(struct session *s, struct trace_reader *reader, const char *path,
	const struct replay_guest_options *o, struct replay_result *result, int *exit_code,
	struct err *err);

#endif
