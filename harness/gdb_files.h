/* SPDX-License-Identifier: ISC */
/*
 * Files that a debugger may read, by names that are no paths of any host: the image, the recording, what the guest has
 * said on its console.
 */
#ifndef GDB_FILES_H
#define GDB_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "trace.h"

struct session;

enum gdb_file { GDB_FILE_GUEST, GDB_FILE_TRACE, GDB_FILE_CONSOLE, GDB_FILE_COUNT };
extern const char *const gdb_file_names[GDB_FILE_COUNT];

enum { GDB_CONSOLE_MAX = 1 << 20 }; /* bytes that are kept: the last ones */

struct gdb_files {
	struct trace_sink sink; /* to see what is said */
	const struct session *session;
	int trace; /* open, or -1 */
	uint8_t *console;
	uint64_t said; /* bytes, from the start */
};

/* 0 or -ENOMEM. */
int gdb_files_init(struct gdb_files *f, const struct session *session);
void gdb_files_finish(struct gdb_files *f); /* takes zeroed ones */

/* The file's number, or -errno. */
int gdb_files_find(struct gdb_files *f, const char *name);
/* Bytes; negative: there is no such file. */
int64_t gdb_files_size(struct gdb_files *f, int file);
/* As pread: bytes, 0 at the end, -errno. */
ssize_t gdb_files_read(struct gdb_files *f, int file, uint64_t at, void *buf, size_t len);

#endif
