/* SPDX-License-Identifier: ISC */
/*
 * Guests run live for goldens, and what came of it put in place: what check, accept and new share. Says what
 * cannot be done on standard output and standard error.
 */
#ifndef GOLDEN_ACCEPT_H
#define GOLDEN_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct golden_env;
struct trace_header;

/* A golden whose guest is to be run now. */
struct golden_candidate {
	const char *name;
	const char *from; /* suffix of the trace that says how; or */
	const struct trace_header *header;
	const char *guest; /* with header */
	const char *input; /* with header; may be NULL */
	bool taken;        /* NAME.bjt.new is there */
};

/*
 * Of two exit codes the worse: that something could not be done is worse than that it differs. All functions
 * here that say so return 0, the worst exit code, or a negative one: a signal to die of (session_die).
 */
int golden_worse(int a, int b);

/* Runs each guest, once or twice (see golden_take.h), for NAME.bjt.new. An exit code as above. */
int golden_take_all(
	const struct golden_env *env, struct golden_candidate *candidates, size_t n, bool twice);
/*
 * Twice, and then checks NAME.bjt.new as the next check would. good[i]: it may be put in place. An exit code
 * as above.
 */
int golden_take_and_check(
	const struct golden_env *env, struct golden_candidate *candidates, size_t n, bool *good);
/* NAME.bjt.new becomes NAME.bjt. 0, or -errno with err. */
int golden_put_in_place(const struct golden_env *env, const char *name, struct err *err);
/* All three: a line for each that was accepted. An exit code as above. */
int golden_accept_all(const struct golden_env *env, struct golden_candidate *candidates, size_t n);

#endif
