/* SPDX-License-Identifier: ISC */
/*
 * What a guest does now, as golden text: run live over fresh copies of its files, with the options of a
 * header and the console input of an earlier trace. To be called in a job: it runs guests, and says what went
 * wrong on standard output.
 */
#ifndef GOLDEN_TAKE_H
#define GOLDEN_TAKE_H

#include <stddef.h>
#include <stdint.h>

struct trace_header;

struct golden_take {
	const char *dir, *name; /* the golden's */
	const char *guest;      /* path of the image */
	const char *backend;
	uint64_t timeout_ms;
	/* Mounts relative to NAME.d/. NULL: that of NAME and from, whose console input it also gets. */
	const struct trace_header *header;
	const char *from;  /* a suffix, or NULL */
	const char *input; /* with header: a file with the console's input; NULL: none */
};

/*
 * Runs the guest once and writes NAME.bjt.new. Returns an exit code: 0, what the guest could not be run
 * with (124, 125), or 125.
 */
int golden_take_once(const struct golden_take *take);

/*
 * Runs it twice: the texts must be the same, and the same as NAME.bjt.new when from says that it is that
 * which is taken; 3 when they are not, and what differs is said. Else writes NAME.bjt.new.
 */
int golden_take_twice(const struct golden_take *take);

#endif
