/* SPDX-License-Identifier: ISC */
/*
 * The host that the guest's calls reach: the file system in memory, with files that hold bytes. It has a scratch
 * tree, a mapped directory to read and one to write, and beside them what nobody may touch. What an input
 * changes is undone behind it.
 *
 * Bytes are the kernel's to read and write, so a regular file that is opened is one of a pool of memory
 * files, the same for everybody who opens it.
 */
#ifndef HYPERCALL_HOST_H
#define HYPERCALL_HOST_H

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "fileio.h"
#include "fuzz/lib/memfs.h"
#include "hostfs.h"
#include "hypercall_format.h"
#include "log.h"

#define HOST_CLOCK_NS 1704067200000000000ull

enum { HOST_FILE_MAX = 1 << 20, HOST_FILES = FORMAT_CALLS_MAX + 8, HOST_TEXT_MAX = 8 };

/* An object of a mapped directory: text is what a file holds or where a link leads. */
struct host_object {
	const char *dir, *name;
	mode_t type;
	const char *text;
};

static const struct host_object host_objects[] = { { "", "a", S_IFREG, "alpha" },
	{ "", "ab", S_IFDIR, NULL }, { "ab", "a.b", S_IFREG, "beta" }, { "", "dir", S_IFDIR, NULL },
	{ "", "link", S_IFLNK, "a" }, { "", "up", S_IFLNK, "../canary" },
	{ "", "abs", S_IFLNK, "/etc/passwd" }, { "", "loop", S_IFLNK, "loop" },
	{ "", "gone", S_IFLNK, "ab/new" }, { "", "dirlink", S_IFLNK, "ab/." },
	{ "", "fifo", S_IFIFO, NULL } };

enum { HOST_OBJECTS = sizeof(host_objects) / sizeof(host_objects[0]) };

/* A regular file's bytes, in a memory file. */
struct host_file {
	int bytes;
	int node; /* open in the file system in memory; -1: this is nobody's */
	ino_t ino;
	const char *text; /* what it holds when nobody has written to it; NULL: it is new */
	bool written;
};

static struct host {
	struct fileio *files;
	struct host_file pool[HOST_FILES];
	int n_used; /* of the pool: from the first on */
	int fds;    /* open in the file system in memory besides */
	struct {
		ino_t ino;
		const char *text;
	} texts[2 * HOST_OBJECTS];
	int n_texts;
} host;

/* --- files with bytes ---------------------------------------------------------------------------- */

static struct host_file *host_file_of(int fd)
{
	int i = 0;

	while (i < host.n_used && host.pool[i].bytes != fd)
		i++;
	assert(i < host.n_used);
	return &host.pool[i];
}

static struct host_file *host_find(ino_t ino)
{
	for (int i = 0; i < host.n_used; i++)
		if (host.pool[i].ino == ino)
			return &host.pool[i];
	return NULL;
}

/* Looked at first: what was opened for writing has mostly not been written, and a new page costs more. */
static void host_refill(struct host_file *file)
{
	ssize_t len = file->text ? (ssize_t)strlen(file->text) : 0, is;
	char bytes[HOST_TEXT_MAX + 1];

	assert(len <= HOST_TEXT_MAX);
	is = pread(file->bytes, bytes, (size_t)len + 1, 0);
	assert(is >= 0);
	if (is > len)
		assert(!ftruncate(file->bytes, len));
	if (is < len || (len && memcmp(bytes, file->text, (size_t)len) != 0))
		assert(pwrite(file->bytes, file->text, (size_t)len, 0) == len);
	file->written = false;
}

static struct host_file *host_take(int node, ino_t ino)
{
	struct host_file *file = &host.pool[host.n_used++];

	assert(host.n_used <= HOST_FILES);
	file->node = node;
	file->ino = ino;
	file->text = NULL;
	for (int i = 0; i < host.n_texts; i++)
		if (host.texts[i].ino == ino)
			file->text = host.texts[i].text;
	if (file->text)
		host_refill(file);
	return file;
}

static int host_open(int dir, const char *path, int flags, mode_t mode, unsigned int how)
{
	int node = memfs.open(dir, path, flags, mode, how);
	struct host_file *file;
	struct stat st;

	if (node < 0 || flags & O_PATH || memfs.fstat(node, &st) || !S_ISREG(st.st_mode))
		return node;
	file = host_find(st.st_ino);
	if (file)
		memfs.close(node);
	else
		file = host_take(node, st.st_ino);
	file->written |= (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
	if (flags & O_TRUNC)
		assert(!ftruncate(file->bytes, 0));
	return file->bytes;
}

static void host_put_size(const struct host_file *file, struct stat *st)
{
	struct stat bytes;

	assert(!fstat(file->bytes, &bytes));
	st->st_size = bytes.st_size;
}

/* `.`; and `..`, whose number and type a listing asks for. */
static int host_stat_dots(int dir, const char *name, struct stat *st)
{
	int r = memfs.fstat(dir, st), parent;

	if (r || !name[1])
		return r;
	parent = memfs_parent((int)(st->st_ino - MEMFS_INO_FIRST));
	st->st_ino = MEMFS_INO_FIRST + (ino_t)parent;
	st->st_mode = memfs_view(parent).mode;
	return 0;
}

static int host_stat(int dir, const char *name, unsigned int how, struct stat *st)
{
	const struct host_file *file;
	int r;

	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return host_stat_dots(dir, name, st);
	r = memfs.stat(dir, name, how, st);
	file = !r && S_ISREG(st->st_mode) ? host_find(st->st_ino) : NULL;
	if (file)
		host_put_size(file, st);
	return r;
}

static int host_fstat(int fd, struct stat *st)
{
	int r;

	if (fd >= MEMFS_FD_FIRST)
		return memfs.fstat(fd, st);
	r = memfs.fstat(host_file_of(fd)->node, st);
	host_put_size(host_file_of(fd), st);
	return r;
}

static int host_truncate(int fd)
{
	return ftruncate(host_file_of(fd)->bytes, 0) ? -errno : 0;
}

/* The bytes stay, for who opens them next. */
static void host_close(int fd)
{
	if (fd >= MEMFS_FD_FIRST)
		memfs.close(fd);
}

/* --- what is there ------------------------------------------------------------------------------- */

static int host_add(int dir, const char *name, mode_t mode, const char *target)
{
	int node = memfs_add(dir, name, strlen(name), mode, target);

	assert(node > 0);
	return node;
}

static void host_add_object(int root, const struct host_object *o)
{
	int dir = o->dir[0] ? memfs_child(root, o->dir, strlen(o->dir)) : root;
	mode_t mode = o->type == S_IFDIR ? 0755 : o->type == S_IFLNK ? 0777 : 0644;
	int node = host_add(dir, o->name, o->type | mode, o->type == S_IFLNK ? o->text : NULL);

	if (o->type != S_IFREG)
		return;
	memfs_set_size(node, (off_t)strlen(o->text));
	host.texts[host.n_texts].ino = MEMFS_INO_FIRST + (ino_t)node;
	host.texts[host.n_texts++].text = o->text;
}

static void host_make_tree(void)
{
	static const char *const mapped[] = { "ro", "rw" };
	int node;

	memfs_start();
	for (size_t i = 0; i < FORMAT_COUNT(mapped); i++) {
		node = host_add(MEMFS_ROOT, mapped[i], S_IFDIR | 0755, NULL);
		for (size_t k = 0; k < HOST_OBJECTS; k++)
			host_add_object(node, &host_objects[k]);
	}
	memfs_set_outside(host_add(MEMFS_ROOT, "canary", S_IFREG | 0644, NULL));
	node = host_add(MEMFS_ROOT, "outside", S_IFDIR | 0755, NULL);
	memfs_set_outside(node);
	memfs_set_outside(host_add(node, "a", S_IFREG | 0644, NULL));
	host_add(MEMFS_ROOT, "tmp", S_IFDIR | 01777, NULL);
}

/* So that no input is the first to open one: engines look at what differs between two runs. */
static void host_open_all(void)
{
	char path[40];

	for (size_t i = 0; i < 2 * HOST_OBJECTS; i++) {
		const struct host_object *o = &host_objects[i / 2];

		snprintf(path, sizeof(path), "/%s/%s/%s", i % 2 ? "rw" : "ro", o->dir, o->name);
		if (o->type == S_IFREG)
			fileio_close(host.files, fileio_open(host.files, path, O_RDONLY, 0));
	}
	assert(host.n_used == host.n_texts);
}

static void host_make(void)
{
	static const struct fileio_mount mounts[] = { { .host = "/ro", .guest = "/ro" },
		{ .host = "/rw", .guest = "/rw", .writable = true } };
	static struct hostfs table;
	struct rlimit limit = { HOST_FILE_MAX, HOST_FILE_MAX };
	struct err err = { "" };

	signal(SIGXFSZ, SIG_IGN);
	assert(!setrlimit(RLIMIT_FSIZE, &limit));
	log_set_level(LOG_ERROR);
	host_make_tree();
	for (int i = 0; i < HOST_FILES; i++) {
		host.pool[i].bytes = memfd_create("file", MFD_CLOEXEC);
		assert(host.pool[i].bytes >= 0);
	}
	table = memfs;
	table.open = host_open;
	table.stat = host_stat;
	table.fstat = host_fstat;
	table.truncate = host_truncate;
	table.close = host_close;
	/* Room without end: what is undone behind their back is not given back to these. */
	assert(!fileio_init(&host.files,
		&(struct fileio_config){ .mounts = mounts,
			.n_mounts = 2,
			.host = &table,
			.scratch_parent = "/tmp",
			.console_in = -1,
			.console_out = -1,
			.deterministic = true,
			.limits = { .scratch_bytes = UINT64_MAX, .scratch_inodes = UINT64_MAX },
			.clock_ns = HOST_CLOCK_NS },
		&err));
	host.fds = memfs_counts()->fds;
	host_open_all();
	memfs_mark();
}

/* All of the guest's descriptors are closed. */
static void host_undo(void)
{
	int kept = 0;

	assert(memfs_counts()->fds == host.fds + host.n_used);
	assert(!memfs_counts()->outside && !memfs_counts()->specials);
	for (int i = 0; i < host.n_used; i++) {
		struct host_file *file = &host.pool[i], swap;

		if (file->written)
			host_refill(file);
		if (!file->text) {
			memfs.close(file->node);
			continue;
		}
		swap = *file;
		*file = host.pool[kept];
		host.pool[kept++] = swap;
	}
	host.n_used = kept;
	memfs_reset();
}

enum { HOST_NUMBERED = 2 * HOST_OBJECTS + FORMAT_CALLS_MAX + 3 };

/*
 * What can come up has been numbered once, and the numbers of new files have been others': the file map never
 * forgets, and whether it knows one must not depend on the inputs before. Not for traces, which begin with 1.
 */
static void host_number_all(void)
{
	char path[40];
	struct stat st;

	for (size_t i = 0; i < 2 * HOST_OBJECTS; i++) {
		const struct host_object *o = &host_objects[i / 2];

		snprintf(path, sizeof(path), "/%s/%s/%s", i % 2 ? "rw" : "ro", o->dir, o->name);
		assert(!fileio_stat(host.files, path, false, &st));
	}
	for (int i = 0; i < FORMAT_CALLS_MAX; i++) {
		snprintf(path, sizeof(path), "/%d", i);
		assert(!fileio_mkdir(host.files, path, 0755));
	}
	assert(!fileio_stat(host.files, "/", false, &st));
	assert(!fileio_stat(host.files, "/ro", false, &st));
	assert(!fileio_stat(host.files, "/rw", false, &st));
	host_undo();
}

#endif
