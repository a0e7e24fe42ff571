/* SPDX-License-Identifier: ISC */
/*
 * The host that the guest's calls reach: a scratch tree, a mapped directory to read and one to write, and
 * beside them what must never change. Made at the first input; what an input changes is undone behind it. As root it
 * is a file system of its own that goes away with us, however we end; else a directory of /tmp, removed at the end, or, when
 * we were killed, by a later one.
 */
#ifndef HYPERCALL_WORLD_H
#define HYPERCALL_WORLD_H

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "fileio.h"
#include "log.h"

#define WORLD_PREFIX   "belljar-fuzz-hypercall-"
#define WORLD_CLOCK_NS 1704067200000000000ull

enum { WORLD_FILE_MAX = 1 << 20, WORLD_STALE_S = 60, WORLD_LOOK_EVERY = 4096 };

/* An object of a mapped directory: text is what a file holds or where a link leads. */
struct world_object {
	const char *name;
	mode_t type;
	const char *text;
};

static const struct world_object world_objects[] = { { "a", S_IFREG, "alpha\n" },
	{ "ab", S_IFDIR, NULL }, { "ab/a.b", S_IFREG, "beta\n" }, { "dir", S_IFDIR, NULL },
	{ "link", S_IFLNK, "a" }, { "up", S_IFLNK, "../canary" }, { "abs", S_IFLNK, "/etc/passwd" },
	{ "loop", S_IFLNK, "loop" }, { "gone", S_IFLNK, "ab/new" }, { "dirlink", S_IFLNK, "ab/." },
	{ "fifo", S_IFIFO, NULL } };

static struct world {
	bool made, private; /* private: a file system that nobody else sees */
	int home, lock, rw, scratch;
	char path[100];
	struct stat canary, outside, whole; /* as they have to stay */
	struct fileio *files;
	unsigned rounds;
} world;

static void world_empty(int dir, const char *name);

/* Nothing is allocated, for this is done behind most inputs. False: there was nothing. */
static bool world_empty_once(int fd)
{
	_Alignas(8) char list[1024];
	const struct dirent64 *e;
	bool found = false;
	long n;

	assert(!lseek(fd, 0, SEEK_SET));
	while ((n = syscall(SYS_getdents64, fd, list, sizeof(list))) > 0) {
		for (long at = 0; at < n; at += e->d_reclen) {
			e = (const struct dirent64 *)(const void *)(list + at);
			if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
				continue;
			found = true;
			if (e->d_type == DT_DIR)
				world_empty(fd, e->d_name);
			assert(!unlinkat(fd, e->d_name, e->d_type == DT_DIR ? AT_REMOVEDIR : 0));
		}
	}
	assert(!n);
	return found;
}

/* Removing while reading may pass names over, hence once more. */
static void world_empty(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	assert(fd >= 0);
	while (world_empty_once(fd))
		;
	close(fd);
}

static void world_make_object(int dir, const struct world_object *o)
{
	int fd;

	switch (o->type) {
	case S_IFDIR:
		assert(!mkdirat(dir, o->name, 0755));
		return;
	case S_IFLNK:
		assert(!symlinkat(o->text, dir, o->name));
		return;
	case S_IFIFO:
		assert(!mkfifoat(dir, o->name, 0644));
		return;
	default:
		fd = openat(dir, o->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		assert(fd >= 0 && write(fd, o->text, strlen(o->text)) == (ssize_t)strlen(o->text));
		close(fd);
	}
}

static void world_fill(int dir)
{
	for (size_t i = 0; i < sizeof(world_objects) / sizeof(world_objects[0]); i++)
		world_make_object(dir, &world_objects[i]);
}

static int world_dir(const char *name)
{
	int fd;

	assert(!mkdirat(world.home, name, 0755));
	fd = openat(world.home, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(fd >= 0);
	return fd;
}

/* --- where it lies ------------------------------------------------------------------------------- */

/* On a directory that every system has and no corpus lies in. False: not allowed. */
static bool world_mount(void)
{
	static const char place[] = "/mnt";

	if (geteuid() || unshare(CLONE_NEWNS) ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("belljar", place, "tmpfs", MS_NODEV | MS_NOSUID, "mode=0755,size=16m"))
		return false;
	strcpy(world.path, place);
	return world.private = true;
}

/* Whoever lives holds the lock, or has only just begun. */
static void world_remove_if_stale(int tmp, const char *name)
{
	int fd = openat(tmp, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && st.st_uid == geteuid() && st.st_ctime < time(NULL) - WORLD_STALE_S &&
		!flock(fd, LOCK_EX | LOCK_NB)) {
		world_empty(fd, ".");
		unlinkat(tmp, name, AT_REMOVEDIR);
	}
	close(fd);
}

static void world_remove_stale(void)
{
	DIR *tmp = opendir("/tmp");
	struct dirent *e;

	assert(tmp);
	while ((e = readdir(tmp)))
		if (!strncmp(e->d_name, WORLD_PREFIX, strlen(WORLD_PREFIX)))
			world_remove_if_stale(dirfd(tmp), e->d_name);
	closedir(tmp);
}

static void world_remove(void)
{
	fileio_destroy(world.files);
	world.files = NULL;
	if (world.private)
		return;
	world_empty(world.home, ".");
	assert(!rmdir(world.path));
}

static void world_place(void)
{
	if (!world_mount()) {
		world_remove_stale();
		strcpy(world.path, "/tmp/" WORLD_PREFIX "XXXXXX");
		assert(mkdtemp(world.path));
	}
	world.home = open(world.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(world.home >= 0 && !flock(world.home, LOCK_EX | LOCK_NB));
	atexit(world_remove);
}

/* --- what is in it ------------------------------------------------------------------------------- */

static void world_open_files(int tmp)
{
	char ro[120], rw[120], parent[300];
	const struct fileio_mount mounts[] = { { .host = ro, .guest = "/ro" },
		{ .host = rw, .guest = "/rw", .writable = true } };
	struct err err = { "" };
	struct dirent *e;
	DIR *stream;

	snprintf(ro, sizeof(ro), "%s/ro", world.path);
	snprintf(rw, sizeof(rw), "%s/rw", world.path);
	snprintf(parent, sizeof(parent), "%s/tmp", world.path);
	assert(!fileio_init(&world.files,
		&(struct fileio_config){ .mounts = mounts,
			.n_mounts = 2,
			.scratch_parent = parent,
			.console_in = -1,
			.console_out = -1,
			.deterministic = true,
			.clock_ns = WORLD_CLOCK_NS },
		&err));
	stream = fdopendir(tmp);
	assert(stream);
	while ((e = readdir(stream)) && e->d_name[0] == '.')
		;
	assert(e);
	snprintf(parent, sizeof(parent), "%s/root", e->d_name);
	world.scratch = openat(tmp, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(world.scratch >= 0);
	closedir(stream);
}

/* All that a call may change: names, contents, nothing of time. */
static uint64_t world_fingerprint(void)
{
	const int dirs[] = { world.rw, world.scratch };
	uint64_t sum = 0;
	struct dirent *e;
	DIR *stream;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		stream = fdopendir(openat(dirs[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		assert(stream);
		while ((e = readdir(stream))) {
			uint64_t h = e->d_type + 31 * (i + 1);

			for (const char *c = e->d_name; *c; c++)
				h = (h ^ (uint8_t)*c) * 0x100000001b3;
			sum += h;
		}
		closedir(stream);
	}
	return sum;
}

static void world_make(void)
{
	const struct world_object canary = { "canary", S_IFREG, "nobody sees this\n" };
	struct rlimit limit = { WORLD_FILE_MAX, WORLD_FILE_MAX };
	int ro;

	world.made = true;
	umask(022);
	signal(SIGXFSZ, SIG_IGN);
	assert(!setrlimit(RLIMIT_FSIZE, &limit));
	log_set_level(LOG_ERROR);
	world_place();
	world_make_object(world.home, &canary);
	close(world_dir("outside"));
	ro = world_dir("ro");
	world_fill(ro);
	close(ro);
	world.rw = world_dir("rw");
	world_fill(world.rw);
	world_open_files(world_dir("tmp"));
	assert(!fstatat(world.home, "canary", &world.canary, AT_SYMLINK_NOFOLLOW));
	assert(!fstatat(world.home, "outside", &world.outside, AT_SYMLINK_NOFOLLOW));
	assert(!fstat(world.home, &world.whole));
}

static bool world_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_nlink == b->st_nlink && a->st_size == b->st_size &&
	       a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void world_check_canaries(void)
{
	struct stat st;

	assert(!fstatat(world.home, "canary", &st, AT_SYMLINK_NOFOLLOW));
	assert(world_same(&st, &world.canary));
	assert(!fstatat(world.home, "outside", &st, AT_SYMLINK_NOFOLLOW));
	assert(world_same(&st, &world.outside));
	assert(!fstat(world.home, &st) && world_same(&st, &world.whole));
}

/* What calls made, removed or wrote is to be undone there. All of the guest's descriptors are closed. */
static void world_undo(bool scratch, bool rw)
{
	static uint64_t fresh;

	if (scratch)
		world_empty(world.scratch, ".");
	if (rw) {
		world_empty(world.rw, ".");
		world_fill(world.rw);
	}
	if (world.rounds++ % WORLD_LOOK_EVERY)
		return;
	if (!fresh)
		fresh = world_fingerprint();
	if (fresh != world_fingerprint()) {
		fprintf(stderr, "the harness has lost track of its files: no finding\n");
		abort();
	}
}

/* The lowest free descriptor. */
static int world_next_fd(void)
{
	int fd = fcntl(world.home, F_DUPFD, 0);

	close(fd);
	return fd;
}

#endif
