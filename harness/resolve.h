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
struct filemap;

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
/*
 * From here to resolve_end nothing that files does has an effect, neither on the host nor on what its guest will see.
 * 0 or -ENOMEM.
 */
int resolve_begin(struct resolve *r);
void resolve_end(struct resolve *r);
/*
 * The host's name of what a descriptor of the map's is open on, "(scratch)/..." for what lies there, "" without one;
 * and into guest, which may be NULL, the name that its guest would have for it, "" if it has none.
 */
enum { RESOLVE_NAME_MAX = 8192 };
void resolve_name_fd(const struct filemap *map, const struct fileio_mount *mounts, int fd,
	char host[RESOLVE_NAME_MAX], char guest[RESOLVE_NAME_MAX]);
/* Reports one path: what the guest would get, 0 or -errno. */
int resolve_path(struct resolve *r, const char *path);

#endif
