/* SPDX-License-Identifier: ISC */
/* A private directory of the host that goes away with us. Knows no guests; all by descriptor. */
#ifndef SCRATCH_H
#define SCRATCH_H

struct err;

enum { SCRATCH_SPARE = 3 }; /* descriptors that removing takes at a time */

struct scratch {
	int parent, dir;          /* O_PATH; dir -1: none */
	int spare[SCRATCH_SPARE]; /* held for the end, when there may be no others */
	char name[32];
};

/*
 * A new directory, mode 0700, in parent (NULL: $TMPDIR or /tmp), which must be one where nobody
 * else can replace it. 0, or -errno with err set.
 */
int scratch_init(struct scratch *scratch, const char *parent, struct err *err);
/* Removes it and all beneath it, however deep, following no link. Takes one whose dir is -1. */
void scratch_finish(struct scratch *scratch);
/* A directory in dir, made if missing: O_PATH descriptor or -errno. */
int scratch_subdir(int dir, const char *name);

#endif
