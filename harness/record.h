/* SPDX-License-Identifier: ISC */
/* A session recorded: what `record`, `golden` and tests share. */
#ifndef RECORD_H
#define RECORD_H

#include <stdint.h>

#include "trace_write.h"

struct err;
struct session;
struct vm_stop;

/*
 * May a file of this name be written about a session that is prepared? It must not replace what it is made from, and
 * the guest must not see it: it would not be there when the guest is replayed, and a guest that may write could
 * change it. 0 or -errno with err.
 */
int record_check_place(const struct session *s, const char *file, struct err *err);

struct record_options {
	const char *file;
	enum trace_on_error on_error;
	uint64_t tree_limit; /* bytes; over it the recording has no tree (a warning says so) */
	bool no_tree;
};

/*
 * words as for session_prepare; session_init done, options set, not prepared. Turns on determinism, looks at
 * the trees before and after, records. *stop is the session's. 0, or -errno with err when nothing ran or the
 * recording is not whole (then *stop may still be set: the guest ran).
 */
int record_session(struct session *s, char **words, size_t n_words, const struct record_options *o,
	const struct vm_stop **stop, struct err *err);

#endif
