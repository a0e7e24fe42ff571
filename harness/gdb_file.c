// SPDX-License-Identifier: ISC
/*
 * Host I/O, vFile: GDB manual, appendix E.7. Read-only, and of the target's own files alone, by names that are no
 * paths of any host. A descriptor is the file's number.
 */
#include <endian.h>
#include <string.h>

#include "gdb_stub_parts.h"

enum { NAME_MAX_LEN = 256, FILE_READABLE = 0100444 };
/* Errors as this protocol numbers them. */
enum fileio_error {
	FILEIO_ENOENT = 2,
	FILEIO_EBADF = 9,
	FILEIO_EINVAL = 22,
	FILEIO_EROFS = 30,
	FILEIO_EIO = 9999
};

static void fail(struct gdb_stub *s, enum fileio_error error)
{
	gdb_reply_begin(&s->out);
	gdb_printf(&s->out, "F-1,%x", error);
}

static void set_root(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	gdb_put(&s->out, "F0");
}

static void open_file(struct gdb_stub *s, struct gdb_cursor *c)
{
	struct gdb_cursor hex = gdb_take_until(c, ",");
	size_t len = gdb_left(&hex) / 2;
	char name[NAME_MAX_LEN];
	uint64_t flags;
	int file;

	if (len >= sizeof(name) || !gdb_take_bytes(&hex, (uint8_t *)name, len) || gdb_left(&hex) ||
		!gdb_take_char(c, ',') || !gdb_take_hex(c, &flags))
		return fail(s, FILEIO_EINVAL);
	name[len] = 0;
	if (flags & 3)
		return fail(s, FILEIO_EROFS);
	file = s->ops->file_find(s->target, name);
	if (file < 0)
		return fail(s, FILEIO_ENOENT);
	gdb_printf(&s->out, "F%x", (unsigned)file);
}

/* The size of the file that is named by its number; negative: the reply says that there is none. */
static int64_t take_file(struct gdb_stub *s, struct gdb_cursor *c, int *file)
{
	uint64_t number;
	int64_t size = -1;

	if (gdb_take_hex(c, &number) && number <= INT16_MAX) {
		*file = (int)number;
		size = s->ops->file_size(s->target, *file);
	}
	if (size < 0)
		fail(s, FILEIO_EBADF);
	return size;
}

static void close_file(struct gdb_stub *s, struct gdb_cursor *c)
{
	int file;

	if (take_file(s, c, &file) >= 0)
		gdb_put(&s->out, "F0");
}

static void read_file(struct gdb_stub *s, struct gdb_cursor *c)
{
	enum { HEAD = 16 }; /* "F" LEN ";" */
	struct gdb_reply *out = &s->out;
	uint64_t len, at;
	ssize_t n;
	int file;

	if (take_file(s, c, &file) < 0)
		return;
	if (!gdb_take_char(c, ',') || !gdb_take_hex(c, &len) || !gdb_take_char(c, ',') ||
		!gdb_take_hex(c, &at))
		return fail(s, FILEIO_EINVAL);
	if (len > (GDB_PACKET_MAX - HEAD) / 2) /* all of it fits, however it must be escaped */
		len = (GDB_PACKET_MAX - HEAD) / 2;
	n = s->ops->file_read(s->target, file, at, s->bytes, len);
	if (n < 0)
		return fail(s, FILEIO_EIO);
	gdb_printf(out, "F%zx;", (size_t)n);
	gdb_put_escaped(out, s->bytes, (size_t)n);
	out->binary = true;
}

/* struct fio_stat of the protocol: all big-endian. */
static void stat_file(struct gdb_stub *s, struct gdb_cursor *c)
{
	struct __attribute__((packed)) {
		uint32_t dev, ino, mode, nlink, uid, gid, rdev;
		uint64_t size, blksize, blocks;
		uint32_t atime, mtime, ctime;
	} stat = { .mode = htobe32(FILE_READABLE), .nlink = htobe32(1), .blksize = htobe64(4096) };
	int64_t size;
	int file;

	size = take_file(s, c, &file);
	if (size < 0)
		return;
	stat.ino = htobe32((uint32_t)file + 1);
	stat.size = htobe64((uint64_t)size);
	stat.blocks = htobe64((uint64_t)(size + 511) / 512);
	gdb_printf(&s->out, "F%zx;", sizeof(stat));
	gdb_put_escaped(&s->out, &stat, sizeof(stat));
	s->out.binary = true;
}

static void refuse(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	fail(s, FILEIO_EROFS);
}

const struct gdb_packet_row gdb_file_rows[] = {
	{ "vFile:setfs:", set_root, 0 },
	{ "vFile:open:", open_file, 0 },
	{ "vFile:close:", close_file, 0 },
	{ "vFile:pread:", read_file, 0 },
	{ "vFile:fstat:", stat_file, 0 },
	{ "vFile:pwrite:", refuse, 0 },
	{ "vFile:unlink:", refuse, 0 },
	{ NULL, NULL, 0 },
};
