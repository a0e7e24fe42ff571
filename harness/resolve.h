/* SPDX-License-Identifier: ISC */
/*
 * Where a guest's path leads and what would come of an operation on it: the very code that answers the
 * guest, over a host that is only looked at, and a report in words or JSON. Knows no options.
 */
#ifndef RESOLVE_H
#define RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct err;
struct fileio;
struct fileio_mount;

enum resolve_op {
	RESOLVE_OPEN,
	RESOLVE_CREATE,
	RESOLVE_STAT,
	RESOLVE_LSTAT,
	RESOLVE_READDIR,
	RESOLVE_MKDIR,
	RESOLVE_UNLINK,
	RESOLVE_OP_COUNT
};

struct resolve {
	struct fileio *files; /* borrowed; resolve_begin makes it dry */
	const struct fileio_mount *mounts;
	enum resolve_op op;
	int flags; /* of RESOLVE_OPEN and RESOLVE_CREATE */
	bool explain, json;
	FILE *out;
};

/* "open,rdwr+creat", as the guest `paths` takes them: sets op and flags. 0 or -EINVAL with err. */
int resolve_parse_op(struct resolve *r, const char *text, struct err *err);
/* From now on nothing that files does has an effect on the host. */
void resolve_begin(struct resolve *r);
/* Reports one path: what the guest would get, 0 or -errno. */
int resolve_path(struct resolve *r, const char *path);

#endif
