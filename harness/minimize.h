/* SPDX-License-Identifier: ISC */
/*
 * A failing trace made as small as it can be and still fail in the same way: `trace minimize`. Delta
 * debugging over groups of calls that only make sense together (subtrace.h).
 */
#ifndef MINIMIZE_H
#define MINIMIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct err;

enum { MINIMIZE_DEFAULT_TRIES = 10000 };

struct minimize_options {
	const char *file, *out; /* out: .bjt or .pcapng */
	/*
	 * What tells whether a candidate fails: these words run as a program, "{}" in them replaced by
	 * its path. It fails when the program ends with the same code as for the whole trace, other
	 * than 0. NULL: replay in the guest's place; it fails when the first mismatch is in the same
	 * call, about the same thing (and a result other than a descriptor: came out the same).
	 */
	char *const *command;
	size_t n_command;
	uint64_t max_tries; /* then what there is is written; 0: MINIMIZE_DEFAULT_TRIES */
	FILE *progress;     /* a terminal, or NULL */
};

struct minimize_result {
	size_t calls_before, calls; /* in the whole, in the result */
	uint64_t tries;
	/* The files that the guest was given did not come along: text has them beside it. */
	bool no_files;
	bool minimal; /* no call can go, with what needs it; false: tries ran out, or a signal came */
	char reason[200]; /* how the whole trace fails: one line, printable */
};

/*
 * Writes the result to o->out. 0; or -errno with err, -EINVAL when the whole trace does not fail. SIGINT and
 * SIGTERM end the search, not the process: what there is then is written.
 */
int minimize_main(
	const struct minimize_options *o, struct minimize_result *result, struct err *err);

#endif
