/* SPDX-License-Identifier: ISC */
/*
 * The guest's descriptors: what a number stands for. The only range check on descriptors is
 * guestfd_get(). Numbers 0, 1 and 2 are consoles for ever; the lowest free one from 3 on is next.
 * Knows no paths and makes no call of the host's but close.
 */
#ifndef GUESTFD_H
#define GUESTFD_H

#include <stdbool.h>
#include <stdint.h>

struct hostfs;

enum { GUESTFD_FIRST = 3, GUESTFD_MAX = 1024 };

enum guestfd_kind { GUESTFD_CONSOLE, GUESTFD_FILE, GUESTFD_DIR, GUESTFD_KIND_COUNT };

struct guestfd {
	enum guestfd_kind kind;
	bool readable, writable;
	bool owned;     /* host is closed with it */
	int host;       /* the host's descriptor; -1: none (a console that leads nowhere) */
	int rwf;        /* RWF_* of every write */
	int64_t offset; /* position: bytes in a file, entries in a directory */
	int quota;      /* a scratch file's number there, or -1 */
	/* Directories only: */
	int node;         /* in the tree of mappings, or -1 */
	int64_t skip;     /* entries to pass over before the next: the guest has sought */
	uint8_t last_len; /* the name listed last, so that a listing goes on behind it */
	char last[255];
};

struct guestfd_table {
	const struct hostfs *host; /* whose descriptors are closed */
	int limit;                 /* numbers are below it */
	struct guestfd slots[GUESTFD_MAX];
	uint64_t used[GUESTFD_MAX / 64];
};

/* limit: from GUESTFD_FIRST to GUESTFD_MAX. The consoles are borrowed. */
void guestfd_init(struct guestfd_table *table, const struct hostfs *host, int limit, int console_in,
	int console_out);
/* Closes what is owned; the consoles go on. Takes one zeroed. */
void guestfd_finish(struct guestfd_table *table);
/* What fd stands for, or NULL: any number is allowed. */
struct guestfd *guestfd_get(struct guestfd_table *table, int fd);
/* The lowest free number, still free, or -EMFILE. */
int guestfd_next(const struct guestfd_table *table);
/* Takes a number that guestfd_next() gave into use. */
void guestfd_set(struct guestfd_table *table, int fd, const struct guestfd *what);
/* 0 or -EBADF. Closing a console does nothing: guests do, and print afterwards. */
int guestfd_close(struct guestfd_table *table, int fd);

#endif
