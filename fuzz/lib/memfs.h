/* SPDX-License-Identifier: ISC */
/*
 * A file system in memory behind struct hostfs: directories, links, files that have a size but no bytes,
 * fifos, sockets and devices. One per process, in fixed memory. It is a hostile judge, too: a caller that
 * breaks the table's contract (a `..`, an absolute path, a descriptor that is not open) is aborted, and
 * touches of what lies outside are counted.
 */
#ifndef MEMFS_H
#define MEMFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "hostfs.h"

enum {
	MEMFS_ROOT = 0,
	MEMFS_NODES = 16384,
	MEMFS_TEXT = 1 << 21,
	MEMFS_FDS = 16384,
	MEMFS_FD_FIRST = 1 << 20, /* so that no descriptor of the kernel's is ever taken for one */
	MEMFS_INO_FIRST = 100,    /* of node 0; the others in order */
};

extern const struct hostfs memfs;

/* An empty file system: `/`, without descriptors. */
void memfs_start(void);

/* For who builds the tree: node numbers, or -EEXIST, -ENOTDIR, -ENAMETOOLONG, -ENOSPC, -ENOENT. */
int memfs_add(int dir, const char *name, size_t len, mode_t mode, const char *target);
int memfs_child(int dir, const char *name, size_t len);
int memfs_parent(int node);
/* The name goes; descriptors keep the node. */
void memfs_remove(int node);
/* As rename(2), replacing nothing: false when that cannot be. */
bool memfs_move(int node, int dir, const char *name, size_t len);
void memfs_set_size(int node, off_t size);
/* It is not for the guest, nor is what is made in it from now on but for scratch directories. */
void memfs_set_outside(int node);
/* Another mount begins there: only HOSTFS_XDEV may enter. */
void memfs_set_boundary(int node);
/* On a file system that steers the host; opened other than by O_PATH it counts as a touch of what lies outside. */
void memfs_set_foreign(int node);

struct memfs_view {
	mode_t mode;
	off_t size;
	const char *name, *target; /* not terminated */
	size_t name_len, target_len;
	int first, next; /* child, sibling: 0 is none */
};

struct memfs_view memfs_view(int node);
/* Has it been changed, or a name in it, or made since the mark? */
bool memfs_changed(int node);

/* How many nodes there are: those made since are numbered from here on. */
int memfs_nodes(void);

/* What there is now is what memfs_reset() goes back to; open descriptors stay as they are. */
void memfs_mark(void);
void memfs_reset(void);

struct memfs_counts {
	int fds;                /* open now */
	unsigned long changes;  /* of nodes, ever */
	unsigned long outside;  /* touches of what is not for the guest */
	unsigned long specials; /* fifos, sockets and devices opened other than by O_PATH */
	bool full;              /* something was refused for want of room since the last reset */
};

const struct memfs_counts *memfs_counts(void);

/* Are views of directories to be had from now on? */
void memfs_set_isolates(bool isolates);

/* Called in front of every call beneath a descriptor, to change the tree under the caller. NULL: none. */
void memfs_set_hook(void (*hook)(void *arg), void *arg);

#endif
