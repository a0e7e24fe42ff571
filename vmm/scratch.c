// SPDX-License-Identifier: ISC
/* A private directory: made beneath a checked parent, removed by descriptor. */
#include "scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "cleanup.h"
#include "err.h"
#include "log.h"

#define MORE_FILES "; raise ulimit -n"

static int parent_check(int fd, const char *parent, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_set(err, -errno, "scratch in %s: %s", parent, strerror(errno));
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return err_set(err, -EPERM,
			"scratch in %s: belongs to a user who is neither root nor you, as far as "
			"can be seen from here; "
			"set TMPDIR to a directory of yours",
			parent);
	if (st.st_mode & (S_IWGRP | S_IWOTH) && !(st.st_mode & S_ISVTX))
		return err_set(err, -EPERM,
			"scratch in %s: others can replace files there; chmod +t it, or set TMPDIR",
			parent);
	return 0;
}

/* What was made a moment ago; not what somebody else may have put in its place. */
static int open_private(struct scratch *scratch, const char *parent, struct err *err)
{
	struct stat st;
	int r = beneath_open(scratch->parent, scratch->name, O_PATH | O_DIRECTORY, 0);

	scratch->dir = r;
	if (r >= 0)
		r = fstat(r, &st) ? -errno : 0;
	if (r < 0) {
		err_set(err, r, "scratch in %s: %s: %s%s", parent, scratch->name, strerror(-r),
			r == -EMFILE ? MORE_FILES : "");
		unlinkat(scratch->parent, scratch->name, AT_REMOVEDIR);
		return r;
	}
	if (st.st_uid != geteuid() || st.st_mode & 077)
		return err_set(err, -EPERM, "scratch in %s: %s was replaced while it was made",
			parent, scratch->name);
	return 0;
}

/* mkdtemp(3), beneath a descriptor. */
static int private_dir(struct scratch *scratch)
{
	uint64_t number;

	for (int tries = 0; tries < 64; tries++) {
		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			return -EIO;
		snprintf(scratch->name, sizeof(scratch->name), "belljar-%016jx", (uintmax_t)number);
		if (!mkdirat(scratch->parent, scratch->name, 0700))
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

/* Before anything is made: what could not be removed is not made either. */
static int hold_spare(struct scratch *scratch)
{
	for (int i = 0; i < SCRATCH_SPARE; i++) {
		scratch->spare[i] = fcntl(scratch->parent, F_DUPFD_CLOEXEC, 0);
		if (scratch->spare[i] < 0)
			return -errno;
	}
	return 0;
}

static void give_spare(struct scratch *scratch)
{
	for (int i = 0; i < SCRATCH_SPARE; i++) {
		if (scratch->spare[i] >= 0)
			close(scratch->spare[i]);
		scratch->spare[i] = -1;
	}
}

static void drop(struct scratch *scratch)
{
	give_spare(scratch);
	if (scratch->dir >= 0)
		close(scratch->dir);
	if (scratch->parent >= 0)
		close(scratch->parent);
	scratch->parent = scratch->dir = -1;
}

static int fail(struct err *err, int r, const char *parent, const char *usual)
{
	return err_set(err, r, "scratch in %s: %s%s", parent, strerror(-r),
		r == -EMFILE ? MORE_FILES : usual);
}

static int make(struct scratch *scratch, const char *parent, struct err *err)
{
	int r;

	scratch->parent = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (scratch->parent < 0)
		return fail(err, -errno, parent, "; set TMPDIR to a directory");
	r = parent_check(scratch->parent, parent, err);
	if (r)
		return r;
	r = hold_spare(scratch);
	if (!r)
		r = private_dir(scratch);
	if (r)
		return fail(err, r, parent, "; set TMPDIR to one you can write to");
	return open_private(scratch, parent, err);
}

int scratch_init(struct scratch *scratch, const char *parent, struct err *err)
{
	int r;

	*scratch = (struct scratch){ .parent = -1, .dir = -1 };
	for (int i = 0; i < SCRATCH_SPARE; i++)
		scratch->spare[i] = -1;
	if (!parent)
		parent = getenv("TMPDIR");
	if (!parent || !parent[0])
		parent = "/tmp";
	r = make(scratch, parent, err);
	if (r)
		drop(scratch);
	return r;
}

int scratch_subdir(int dir, const char *name)
{
	if (mkdirat(dir, name, 0755) && errno != EEXIST)
		return -errno;
	return beneath_open(dir, name, O_PATH | O_DIRECTORY, 0);
}

/*
 * Calls `each` for every name in the directory `from` of `in`; goes round until a round finds
 * nothing that `each` could remove, for removing while reading may skip names.
 */
static int empty_dir(
	int in, const char *from, int (*each)(int dir, const char *name, int top), int top)
{
	int fd = beneath_open(in, from, O_RDONLY | O_DIRECTORY, 0);
	bool progress = true;
	DIR *stream;

	if (fd < 0)
		return fd;
	stream = fdopendir(fd);
	if (!stream) {
		close(fd);
		return -ENOMEM;
	}
	while (progress) {
		struct dirent *entry;

		progress = false;
		rewinddir(stream);
		while ((entry = readdir(stream)))
			if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
				!each(dirfd(stream), entry->d_name, top))
				progress = true;
	}
	closedir(stream);
	return 0;
}

/* A file goes; a directory goes if empty, else it moves to the top, so that depth costs nothing. */
static int flatten(int dir, const char *name, int top)
{
	static const char hex[] = "0123456789abcdef";
	char moved[] = "moved-0000000000000000";
	uint64_t number;

	if (!unlinkat(dir, name, 0) || !unlinkat(dir, name, AT_REMOVEDIR))
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -errno;
	/* unlinkat has just said that it is a directory; no link that takes its place is followed. */
	fchmodat(dir, name, 0700, AT_SYMLINK_NOFOLLOW);
	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return -EIO;
	for (size_t i = strlen("moved-"); moved[i]; i++, number >>= 4)
		moved[i] = hex[number & 15];
	return renameat(dir, name, top, moved) ? -errno : 0;
}

static int remove_one(int dir, const char *name, int top)
{
	if (!unlinkat(dir, name, 0))
		return 0;
	if (errno != EISDIR)
		return -errno;
	fchmodat(dir, name, 0700, AT_SYMLINK_NOFOLLOW);
	empty_dir(dir, name, flatten, top);
	return unlinkat(dir, name, AT_REMOVEDIR) ? -errno : 0;
}

void scratch_finish(struct scratch *scratch)
{
	if (scratch->dir < 0)
		return;
	give_spare(scratch);
	empty_dir(scratch->dir, ".", remove_one, scratch->dir);
	if (unlinkat(scratch->parent, scratch->name, AT_REMOVEDIR))
		log_warn("scratch %s: not removed: %s", scratch->name, strerror(errno));
	drop(scratch);
}
