// SPDX-License-Identifier: ISC
/*
 * The file system in memory. Nodes and their texts lie in arenas that only grow; going back to the mark cuts
 * the arenas and restores the marked nodes that were changed, so it costs what was done and no more.
 */
#include "memfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "scratch.h"
#include "slashes.h"

struct node {
	mode_t mode;
	int parent, first, last, prev, next; /* a directory's children in order of their making */
	uint32_t hash, name, target;         /* in the text */
	uint16_t name_len, target_len;
	off_t size;
	bool outside, boundary, foreign, gone;
	bool saved; /* as it was at the mark */
};

struct open_file {
	int node; /* -1: not open */
	int flags;
	int next_free;
	size_t at; /* getdents: names given */
	bool isolated;
};

struct last {
	const char *name;
	size_t len;
	bool slash; /* slashes follow */
};

struct saved {
	int number;
	struct node node;
};

static struct {
	struct node nodes[MEMFS_NODES];
	struct saved saved[MEMFS_NODES];
	struct open_file files[MEMFS_FDS];
	char text[MEMFS_TEXT];
	int n_nodes, n_saved, n_marked, n_files, free_file;
	int first_file; /* those in front of it stay as they were at the mark */
	uint32_t n_text, marked_text;
	bool marked;
	struct memfs_counts counts;
	bool isolates;
	void (*hook)(void *arg);
	void *hook_arg;
} fs;

/* Ours or the caller's mistake, never an input's fault. */
static _Noreturn void broken(const char *what)
{
	fprintf(stderr, "memfs: contract broken: %s\n", what);
	abort();
}

/* Every change of a node comes by here. */
static struct node *change(int number)
{
	struct node *node = &fs.nodes[number];

	fs.counts.changes++;
	if (fs.marked && number < fs.n_marked && !node->saved) {
		node->saved = true;
		fs.saved[fs.n_saved++] = (struct saved){ number, *node };
	}
	return node;
}

static bool take_text(const char *text, size_t len, uint32_t *at)
{
	if (len > MEMFS_TEXT - fs.n_text)
		return false;
	*at = fs.n_text;
	memcpy(fs.text + fs.n_text, text, len);
	fs.n_text += (uint32_t)len;
	return true;
}

void memfs_start(void)
{
	fs.n_nodes = 1;
	fs.nodes[0] = (struct node){ .mode = S_IFDIR | 0755 };
	fs.n_saved = fs.n_marked = fs.n_files = fs.first_file = 0;
	fs.n_text = fs.marked_text = 0;
	fs.free_file = -1;
	fs.marked = false;
	fs.hook = NULL;
	fs.counts = (struct memfs_counts){ 0 };
}

int memfs_child(int dir, const char *name, size_t len)
{
	uint32_t hash = name_hash(name, len);

	for (int i = fs.nodes[dir].first; i; i = fs.nodes[i].next)
		if (fs.nodes[i].hash == hash && fs.nodes[i].name_len == len &&
			!memcmp(fs.text + fs.nodes[i].name, name, len))
			return i;
	return -ENOENT;
}

int memfs_parent(int node)
{
	return fs.nodes[node].parent;
}

static void link_in(int number, int dir)
{
	struct node *node = change(number), *parent = change(dir);

	node->parent = dir;
	node->prev = parent->last;
	node->next = 0;
	if (parent->last)
		change(parent->last)->next = number;
	else
		parent->first = number;
	parent->last = number;
}

static void take_out(int number)
{
	struct node *node = change(number), *parent = change(node->parent);

	if (node->prev)
		change(node->prev)->next = node->next;
	else
		parent->first = node->next;
	if (node->next)
		change(node->next)->prev = node->prev;
	else
		parent->last = node->prev;
	node->next = node->prev = 0;
}

int memfs_add(int dir, const char *name, size_t len, mode_t mode, const char *target)
{
	struct node *node = &fs.nodes[fs.n_nodes];
	size_t target_len = target ? strlen(target) : 0;

	if (!S_ISDIR(fs.nodes[dir].mode))
		return -ENOTDIR;
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	if (memfs_child(dir, name, len) >= 0)
		return -EEXIST;
	if (fs.nodes[dir].gone)
		return -ENOENT;
	*node = (struct node){ .mode = mode,
		.hash = name_hash(name, len),
		.name_len = (uint16_t)len,
		.target_len = (uint16_t)target_len,
		.size = (off_t)target_len,
		.outside = fs.nodes[dir].outside };
	if (fs.n_nodes == MEMFS_NODES - 1 || !take_text(name, len, &node->name) ||
		!take_text(target ? target : "", target_len, &node->target)) {
		fs.counts.full = true;
		return -ENOSPC;
	}
	link_in(fs.n_nodes, dir);
	return fs.n_nodes++;
}

void memfs_remove(int node)
{
	take_out(node);
	change(node)->gone = true;
}

static bool is_beneath(int node, int dir)
{
	for (; node != dir; node = fs.nodes[node].parent)
		if (node == MEMFS_ROOT)
			return false;
	return true;
}

bool memfs_move(int node, int dir, const char *name, size_t len)
{
	uint32_t at;

	if (node == MEMFS_ROOT || fs.nodes[node].gone || fs.nodes[dir].gone || len > NAME_MAX ||
		!S_ISDIR(fs.nodes[dir].mode) || memfs_child(dir, name, len) >= 0 ||
		is_beneath(dir, node) || !take_text(name, len, &at))
		return false;
	take_out(node);
	change(node)->name = at;
	change(node)->name_len = (uint16_t)len;
	change(node)->hash = name_hash(name, len);
	link_in(node, dir);
	return true;
}

void memfs_set_size(int node, off_t size)
{
	change(node)->size = size;
}

void memfs_set_outside(int node)
{
	change(node)->outside = true;
}

void memfs_set_boundary(int node)
{
	change(node)->boundary = true;
}

void memfs_set_foreign(int node)
{
	change(node)->foreign = true;
}

struct memfs_view memfs_view(int node)
{
	const struct node *n = &fs.nodes[node];

	return (struct memfs_view){ .mode = n->mode,
		.size = n->size,
		.name = fs.text + n->name,
		.target = fs.text + n->target,
		.name_len = n->name_len,
		.target_len = n->target_len,
		.first = n->first,
		.next = n->next };
}

bool memfs_changed(int node)
{
	return node >= fs.n_marked || fs.nodes[node].saved;
}

int memfs_nodes(void)
{
	return fs.n_nodes;
}

/* The lowest free one is next, whatever was closed in which order. */
static void sort_free_files(void)
{
	while (fs.n_files > fs.first_file && fs.files[fs.n_files - 1].node < 0)
		fs.n_files--;
	fs.free_file = -1;
	for (int i = fs.n_files - 1; i >= fs.first_file; i--)
		if (fs.files[i].node < 0) {
			fs.files[i].next_free = fs.free_file;
			fs.free_file = i;
		}
}

void memfs_mark(void)
{
	for (int i = 0; i < fs.n_saved; i++)
		fs.nodes[fs.saved[i].number].saved = false;
	fs.n_saved = 0;
	fs.n_marked = fs.n_nodes;
	fs.marked_text = fs.n_text;
	sort_free_files();
	fs.first_file = fs.n_files;
	fs.free_file =
		-1; /* what is free in front of it stays so: nobody goes over all files per input */
	fs.marked = true;
}

void memfs_reset(void)
{
	while (fs.n_saved) {
		const struct saved *saved = &fs.saved[--fs.n_saved];

		fs.nodes[saved->number] = saved->node;
		fs.nodes[saved->number].saved = false;
	}
	fs.n_nodes = fs.n_marked;
	fs.n_text = fs.marked_text;
	fs.counts.full = false;
	sort_free_files();
}

const struct memfs_counts *memfs_counts(void)
{
	return &fs.counts;
}

void memfs_set_hook(void (*hook)(void *arg), void *arg)
{
	fs.hook = hook;
	fs.hook_arg = arg;
}

static struct open_file *file_of(int fd)
{
	int i = fd - MEMFS_FD_FIRST;

	if (fd < MEMFS_FD_FIRST || i >= fs.n_files || fs.files[i].node < 0)
		broken("a descriptor that is not open");
	return &fs.files[i];
}

static int new_file(int node, int flags)
{
	int i = fs.free_file;

	if (i >= 0) {
		fs.free_file = fs.files[i].next_free;
	} else {
		if (fs.n_files == MEMFS_FDS) {
			fs.counts.full = true;
			return -EMFILE;
		}
		i = fs.n_files++;
	}
	fs.files[i] = (struct open_file){ .node = node, .flags = flags };
	fs.counts.fds++;
	return MEMFS_FD_FIRST + i;
}

/* In front of every call beneath a descriptor. */
static void called(void)
{
	if (fs.hook)
		fs.hook(fs.hook_arg);
}

static int dir_of(int fd)
{
	int dir = file_of(fd)->node;

	fs.counts.outside += fs.nodes[dir].outside;
	return dir;
}

/* A single name, for all but open. */
static size_t name_len(const char *name)
{
	size_t len = strlen(name);

	if (!len || memchr(name, '/', len) || !strcmp(name, ".") || !strcmp(name, ".."))
		broken("not a single name");
	return len;
}

static int look_up(int dir, const char *name, size_t len)
{
	int node;

	if (!S_ISDIR(fs.nodes[dir].mode))
		return -ENOTDIR;
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	node = memfs_child(dir, name, len);
	if (node >= 0)
		fs.counts.outside += fs.nodes[node].outside;
	return node;
}

static int open_special(int node, int flags)
{
	fs.counts.specials++;
	if (S_ISFIFO(fs.nodes[node].mode)) {
		if (!(flags & O_NONBLOCK))
			broken("a fifo opened so that it hangs");
		return (flags & O_ACCMODE) == O_WRONLY ? -ENXIO : new_file(node, flags);
	}
	return S_ISSOCK(fs.nodes[node].mode) ? -ENXIO : new_file(node, flags);
}

static int open_node(int node, int flags, bool slash)
{
	mode_t mode = fs.nodes[node].mode;
	bool path = flags & O_PATH, writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;

	fs.counts.outside += fs.nodes[node].foreign && !path;
	if (S_ISLNK(mode))
		return path && flags & O_NOFOLLOW && !slash && !(flags & O_DIRECTORY)
			       ? new_file(node, flags)
			       : -ELOOP;
	if (!path && S_ISDIR(mode) && flags & O_CREAT)
		return -EISDIR;
	if (!S_ISDIR(mode) && (slash || flags & O_DIRECTORY))
		return -ENOTDIR;
	if (path)
		return new_file(node, flags);
	if (S_ISDIR(mode))
		return writes ? -EISDIR : new_file(node, flags);
	if (!S_ISREG(mode))
		return open_special(node, flags);
	if (flags & O_TRUNC)
		change(node)->size = 0;
	return new_file(node, flags);
}

static int create(int dir, const char *name, size_t len, int flags, mode_t mode)
{
	int node;

	if (mode & ~(mode_t)0755)
		broken("a file made with set-id bits, or others may write it");
	node = memfs_add(dir, name, len, S_IFREG | mode, NULL);
	return node < 0 ? node : new_file(node, flags);
}

static int open_last(
	int dir, const char *name, size_t len, bool slash, int flags, mode_t mode, unsigned int how)
{
	int node = look_up(dir, name, len);

	if (node == -ENOENT && flags & O_CREAT && !slash)
		return create(dir, name, len, flags, mode);
	if (node < 0)
		return node;
	if (flags & O_CREAT && flags & O_EXCL)
		return -EEXIST;
	if (fs.nodes[node].boundary && !(how & HOSTFS_XDEV))
		return -EACCES;
	return open_node(node, flags, slash);
}

static int step(int dir, const char *name, size_t len, unsigned int how)
{
	int node = look_up(dir, name, len);

	if (node < 0)
		return node;
	if (S_ISLNK(fs.nodes[node].mode))
		return -ELOOP;
	if (!S_ISDIR(fs.nodes[node].mode))
		return -ENOTDIR;
	return fs.nodes[node].boundary && !(how & HOSTFS_XDEV) ? -EACCES : node;
}

/* Up to the last name of a path, which may be none: then it ended in `.`, and the directory is meant. */
static int walk(int dir, const char *path, unsigned int how, struct last *last)
{
	if (path[0] == '/' || !path[0])
		broken("a path that is empty or begins at the root");
	while (true) {
		size_t len = name_length(path);
		const char *rest = skip_slashes(path + len);
		bool dot = len == 1 && path[0] == '.';

		if (len == 2 && path[0] == '.' && path[1] == '.')
			broken("a `..` in a path");
		if (dot && !S_ISDIR(fs.nodes[dir].mode))
			return -ENOTDIR;
		if (!rest[0]) {
			*last = (struct last){ dot ? NULL : path, len, path[len] };
			return dir;
		}
		if (!dot)
			dir = step(dir, path, len, how);
		if (dir < 0)
			return dir;
		path = rest;
	}
}

static int memfs_open(int fd, const char *path, int flags, mode_t mode, unsigned int how)
{
	struct last last;
	int dir, r;

	called();
	dir = walk(dir_of(fd), path, how, &last);
	if (dir < 0)
		return dir;
	r = last.name ? open_last(dir, last.name, last.len, last.slash, flags, mode, how)
		      : open_node(dir, flags, true);
	if (r >= 0)
		file_of(r)->isolated = file_of(fd)->isolated; /* in the same view */
	return r;
}

static void stat_node(int node, struct stat *st)
{
	*st = (struct stat){ .st_dev = 1,
		.st_ino = MEMFS_INO_FIRST + (ino_t)node,
		.st_mode = fs.nodes[node].mode,
		.st_nlink = !fs.nodes[node].gone,
		.st_size = fs.nodes[node].size,
		.st_blksize = 4096 };
}

static int memfs_stat(int fd, const char *name, unsigned int how, struct stat *st)
{
	struct last last;
	int node;

	called();
	if (strchr(name, '/') && !file_of(fd)->isolated)
		broken("a stat of more than one name where the host would follow links");
	node = walk(dir_of(fd), name, how, &last);
	if (node >= 0 && last.name)
		node = look_up(node, last.name, last.len);
	if (node < 0)
		return node;
	if (last.slash && S_ISLNK(fs.nodes[node].mode))
		return -ELOOP;
	if (last.slash && !S_ISDIR(fs.nodes[node].mode))
		return -ENOTDIR;
	if (fs.nodes[node].boundary && !(how & HOSTFS_XDEV))
		return -EACCES;
	stat_node(node, st);
	return 0;
}

static ssize_t memfs_readlink(int fd, const char *name, char *buf, size_t size)
{
	const struct node *node;
	int number;

	called();
	number = look_up(dir_of(fd), name, name_len(name));
	if (number < 0)
		return number;
	node = &fs.nodes[number];
	if (!S_ISLNK(node->mode))
		return -EINVAL;
	if (size > node->target_len)
		size = node->target_len;
	memcpy(buf, fs.text + node->target, size);
	return (ssize_t)size;
}

static int memfs_mkdir(int fd, const char *name, mode_t mode)
{
	int dir, node;

	called();
	dir = dir_of(fd);
	if (mode & ~(mode_t)0755)
		broken("a directory made with set-id bits, or others may write it");
	node = look_up(dir, name, name_len(name));
	if (node != -ENOENT)
		return node < 0 ? node : -EEXIST;
	node = memfs_add(dir, name, strlen(name), S_IFDIR | mode, NULL);
	return node < 0 ? node : 0;
}

static int memfs_unlink(int fd, const char *name, int flags)
{
	int node;
	bool dir;

	called();
	node = look_up(dir_of(fd), name, name_len(name));
	if (node < 0)
		return node;
	dir = S_ISDIR(fs.nodes[node].mode);
	if (dir != (flags == AT_REMOVEDIR))
		return dir ? -EISDIR : -ENOTDIR;
	if (fs.nodes[node].boundary)
		return -EBUSY;
	if (fs.nodes[node].first)
		return -ENOTEMPTY;
	memfs_remove(node);
	return 0;
}

static int memfs_fstat(int fd, struct stat *st)
{
	stat_node(file_of(fd)->node, st);
	return 0;
}

static int memfs_truncate(int fd)
{
	const struct open_file *file = file_of(fd);

	if ((file->flags & O_ACCMODE) == O_RDONLY || file->flags & O_PATH)
		return -EINVAL;
	change(file->node)->size = 0;
	return 0;
}

struct raw_dirent { /* struct linux_dirent64 */
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
} __attribute__((packed));

static size_t put_dirent(char *to, size_t room, int node, const char *name, size_t len, size_t at)
{
	size_t need = (offsetof(struct raw_dirent, name) + len + 1 + 7) & ~(size_t)7;
	struct raw_dirent raw = { .ino = MEMFS_INO_FIRST + (uint64_t)node,
		.off = (int64_t)at,
		.reclen = (uint16_t)need,
		.type = (uint8_t)IFTODT(fs.nodes[node].mode) };

	if (need > room)
		return 0;
	memset(to, 0, need);
	memcpy(to, &raw, sizeof(raw));
	memcpy(to + offsetof(struct raw_dirent, name), name, len);
	return need;
}

static ssize_t memfs_getdents(int fd, void *buf, size_t len, bool rewind)
{
	struct open_file *file = file_of(fd);
	const struct node *dir = &fs.nodes[file->node];
	size_t done = 0, n = 1, at = 2;
	int i;

	called();
	file = file_of(fd);
	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	if (file->flags & O_PATH)
		return -EBADF;
	fs.counts.outside += dir->outside;
	if (rewind)
		file->at = 0;
	for (; file->at < 2 && n; file->at += n > 0) {
		n = put_dirent((char *)buf + done, len - done, file->at ? dir->parent : file->node,
			"..", 1 + file->at, 1 + file->at);
		done += n;
	}
	for (i = dir->first; i && at < file->at; i = fs.nodes[i].next)
		at++;
	for (; i && n; i = fs.nodes[i].next) {
		n = put_dirent((char *)buf + done, len - done, i, fs.text + fs.nodes[i].name,
			fs.nodes[i].name_len, file->at + 1);
		file->at += n > 0;
		done += n;
	}
	return n || done ? (ssize_t)done : -EINVAL;
}

static void memfs_close(int fd)
{
	struct open_file *file = file_of(fd);

	file->node = -1;
	file->next_free = fs.free_file;
	fs.free_file = fd - MEMFS_FD_FIRST;
	fs.counts.fds--;
}

/* By the host's own names: absolute, without links and dots, as whoever built the tree named it. */
static int by_host_name(const char *path)
{
	int node = MEMFS_ROOT;

	for (path = skip_slashes(path); *path && node >= 0; path = skip_slashes(path)) {
		size_t len = name_length(path);

		node = S_ISDIR(fs.nodes[node].mode) ? memfs_child(node, path, len) : -ENOTDIR;
		path += len;
	}
	return node;
}

static int memfs_open_host(const char *path, int flags)
{
	int node = by_host_name(path);

	if (node < 0)
		return node;
	return open_node(node, flags, path[strlen(path) - 1] == '/');
}

static char *memfs_realpath(const char *path)
{
	int node = by_host_name(path);

	if (node >= 0)
		return strdup(path);
	errno = -node;
	return NULL;
}

static int memfs_fs_magic(int fd, long *magic)
{
	*magic = fs.nodes[file_of(fd)->node].foreign ? PROC_SUPER_MAGIC : TMPFS_MAGIC;
	return 0;
}

static int memfs_isolate(int dir, const char *path, bool writable)
{
	int node = file_of(dir)->node, fd;

	(void)writable; /* rights are the caller's business */
	if (!fs.isolates)
		return -EPERM;
	if (path && by_host_name(path) != node)
		broken("a view by the name of something else");
	fd = new_file(node, O_PATH | O_DIRECTORY);
	if (fd >= 0)
		file_of(fd)->isolated = true;
	return fd;
}

void memfs_set_isolates(bool isolates)
{
	fs.isolates = isolates;
}

static int memfs_scratch_init(struct scratch *scratch, const char *parent, struct err *err)
{
	int at = by_host_name(parent ? parent : "/tmp"), node = -ENOENT;

	*scratch = (struct scratch){ .parent = -1, .dir = -1 };
	snprintf(scratch->name, sizeof(scratch->name), "belljar-%d", fs.n_nodes);
	if (at >= 0)
		node = memfs_add(at, scratch->name, strlen(scratch->name), S_IFDIR | 0700, NULL);
	if (node < 0)
		return err_set(err, node, "scratch in %s: %s", parent, strerror(-node));
	change(node)->outside = false;
	scratch->parent = new_file(at, O_PATH | O_DIRECTORY);
	scratch->dir = new_file(node, O_PATH | O_DIRECTORY);
	if (scratch->parent < 0 || scratch->dir < 0)
		broken("no descriptors left for a scratch directory");
	return 0;
}

static void memfs_scratch_finish(struct scratch *scratch)
{
	if (scratch->dir < 0)
		return;
	memfs_remove(file_of(scratch->dir)->node);
	memfs_close(scratch->dir);
	memfs_close(scratch->parent);
	*scratch = (struct scratch){ .parent = -1, .dir = -1 };
}

const struct hostfs memfs = {
	.name = "memory",
	.open = memfs_open,
	.stat = memfs_stat,
	.readlink = memfs_readlink,
	.mkdir = memfs_mkdir,
	.unlink = memfs_unlink,
	.fstat = memfs_fstat,
	.truncate = memfs_truncate,
	.getdents = memfs_getdents,
	.close = memfs_close,
	.open_host = memfs_open_host,
	.realpath = memfs_realpath,
	.fs_magic = memfs_fs_magic,
	.isolate = memfs_isolate,
	.scratch_init = memfs_scratch_init,
	.scratch_finish = memfs_scratch_finish,
};
