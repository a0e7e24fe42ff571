/* SPDX-License-Identifier: ISC */
/*
 * How much of the host's disk a guest's scratch files may take: lengths, not blocks, so that it is the same
 * on every file system. Files that are open are known by ino, and their lengths without a system call:
 * nobody but the guest changes them. Makes no system call.
 */
#ifndef QUOTA_H
#define QUOTA_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "guestfd.h"

struct quota_file {
	ino_t ino;
	uint64_t size;
	int refs; /* 0: this slot is free */
	bool unlinked;
};

struct quota {
	uint64_t bytes_left;
	int n; /* up to the last slot in use */
	struct quota_file files[GUESTFD_MAX];
};

/* A scratch file is opened, size bytes long: its number, for the calls below. */
int quota_open(struct quota *q, ino_t ino, uint64_t size);
/* One descriptor less. True when the file is gone with it. */
bool quota_close(struct quota *q, int file);
/* How many of len bytes may be written at offset. */
uint64_t quota_room(const struct quota *q, int file, uint64_t offset, uint64_t len);
/* The file now reaches to end, at least. */
void quota_wrote(struct quota *q, int file, uint64_t end);
/* A file that was size bytes long has none now. Of one that is open counts what is known of it. */
void quota_truncate(struct quota *q, ino_t ino, uint64_t size);
/* The same for one that has no name any more. True when it is gone: it is not open. */
bool quota_unlink(struct quota *q, ino_t ino, uint64_t size);
/* Bytes of a file: for O_APPEND. */
uint64_t quota_size(const struct quota *q, int file);

#endif
