/* SPDX-License-Identifier: ISC */
/*
 * Directories listed in the order of their names, with a fixed amount of memory: the names that come
 * next are chosen in one pass over the directory, as many as there is room for. Mappings are merged
 * in, and what they cover is left out.
 */
#ifndef DIRLIST_H
#define DIRLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct fileid;
struct filemap;
struct guestfd;
struct hostfs;

enum { DIRLIST_ROOM = 1024, DIRLIST_RAW = 32768 };

struct dirlist_object {
	dev_t dev;
	ino_t ino;
	uint8_t type;
	bool hearsay; /* it is the host's listing that says so, not stat */
};

struct dirlist_entry {
	struct dirlist_object what;
	uint8_t len;
	char name[255];
};

struct dirlist {
	struct fileid *ids; /* borrowed; NULL: the host's own numbers are told */
	const struct hostfs *host;
	const struct guestfd *owner; /* whose names these are; NULL: nobody's */
	int n, next;                 /* chosen, listed already */
	bool more;                   /* there are names behind the last one */
	dev_t dev;                   /* the directory */
	ino_t ino, parent_ino;       /* and what the host says of `..` */
	uint16_t order[DIRLIST_ROOM];
	struct dirlist_entry entries[DIRLIST_ROOM];
	char raw[DIRLIST_RAW] __attribute__((aligned(8)));
};

/* As getdents64(2), for a GUESTFD_DIR. */
ssize_t dirlist_read(struct dirlist *list, const struct filemap *map, struct guestfd *dir,
	void *buf, size_t len);
/* Goes to entry number `position`, as d_off counts them; 0 begins anew. */
void dirlist_seek(struct dirlist *list, struct guestfd *dir, int64_t position);
/* Forgets what was chosen for a descriptor that is being closed. */
void dirlist_forget(struct dirlist *list, const struct guestfd *dir);

#endif
