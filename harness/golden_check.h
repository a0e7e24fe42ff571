/* SPDX-License-Identifier: ISC */
/*
 * Goldens checked side by side: each in the guest's place (host), and in the host's place on every backend
 * (guest@NAME). A line per result on standard output, with the report beneath when it failed.
 */
#ifndef GOLDEN_CHECK_H
#define GOLDEN_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "junit.h"
#include "options.h" /* struct strings */

struct err;

enum { GOLDEN_BACKENDS_MAX = 8 };

/* What all goldens of a run share. */
struct golden_env {
	const char *dir;
	struct strings guests; /* directories of images; none: only the host side */
	const char *backends[GOLDEN_BACKENDS_MAX];
	size_t n_backends;
	unsigned parallel;
	uint64_t timeout_ms;
	bool quiet, verbose; /* failures only; what passed says something, too */
	bool aside;          /* no closing line counts what fails: it is not said as FAIL */
};

struct golden_subject {
	const char *name, *suffix; /* which text */
	const char *guest;         /* the image, or NULL: by the header's name in env->guests */
	bool failed, differs;      /* out: in any way; by what a guest or a handler did */
};

struct golden_tally {
	size_t passed, failed;
	bool errors;              /* something could not be checked */
	struct junit_case *cases; /* their strings are the tally's */
	size_t n_cases;
};

/*
 * Adds to the tally. 0; the number of a signal that said to stop; or -errno with err when nobody could be
 * asked to check.
 */
int golden_check_all(const struct golden_env *env, struct golden_subject *subjects, size_t n,
	struct golden_tally *tally, struct err *err);
/* Something else that passed or failed. text: why, or NULL when it passed. 0 or -ENOMEM with err. */
int golden_tally_add(struct golden_tally *tally, const char *group, const char *name,
	enum junit_verdict verdict, const char *text, uint64_t ns, struct err *err);
void golden_tally_finish(struct golden_tally *tally);

/* Any bytes on standard output, each line indented: what a terminal would obey is escaped. */
void golden_print_indented(const char *text, size_t len);

#endif
