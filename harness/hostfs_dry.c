// SPDX-License-Identifier: ISC
/* Host calls without effect. Knows neither guests nor mappings. */
#include "hostfs_dry.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "hostfs.h"

enum { NAME_SIZE = 256 };

/*
 * The directory made last, in its parent. It is asked for next, and nothing lies in it: its parent's own
 * descriptor, once more, takes its place, for more to be made beneath.
 */
static struct {
	int dir;
	char name[NAME_SIZE];
} made;

static int may_write(int dir)
{
	return faccessat(dir, ".", W_OK | X_OK, AT_EACCESS) ? -errno : 0;
}

/* May name be added to dir? */
static int may_add(const struct hostfs *host, int dir, const char *name)
{
	struct stat st;
	int r = host->stat(dir, name, HOSTFS_XDEV, &st);

	if (!r)
		return -EEXIST;
	return r == -ENOENT ? may_write(dir) : r;
}

static int dry_open(
	const struct hostfs *host, int dir, const char *path, int flags, unsigned int how)
{
	int fd, r;

	if (flags & O_CREAT) {
		r = may_add(host, dir, path);
		return r ? r : host->open(dir, ".", O_PATH | O_DIRECTORY, 0, how);
	}
	if (flags & O_TRUNC && (flags & O_ACCMODE) == O_RDONLY)
		flags |= O_RDWR; /* the rights that truncating takes */
	fd = host->open(dir, path, flags & ~O_TRUNC, 0, how);
	if (fd == -ENOENT && dir == made.dir && !strcmp(path, made.name))
		return host->open(dir, ".", O_PATH | O_DIRECTORY, 0, how);
	return fd;
}

static int dry_open_openat2(int dir, const char *path, int flags, mode_t mode, unsigned int how)
{
	(void)mode;
	return dry_open(&hostfs_openat2, dir, path, flags, how);
}

static int dry_open_walk(int dir, const char *path, int flags, mode_t mode, unsigned int how)
{
	(void)mode;
	return dry_open(&hostfs_walk, dir, path, flags, how);
}

static int dry_mkdir(int dir, const char *name, mode_t mode)
{
	int r = may_add(&hostfs_walk, dir, name);

	(void)mode;
	if (r)
		return r;
	made.dir = dir;
	strncpy(made.name, name, sizeof(made.name) - 1);
	return 0;
}

/* unlink(2): in a sticky directory only one's own. */
static int may_remove(int dir, const struct stat *st)
{
	struct stat in;
	int r = may_write(dir);

	if (!r)
		r = hostfs_walk.stat(dir, ".", HOSTFS_XDEV, &in);
	if (!r && in.st_mode & S_ISVTX && geteuid() && geteuid() != st->st_uid &&
		geteuid() != in.st_uid)
		r = -EPERM;
	return r;
}

static int dry_unlink(int dir, const char *name, int flags)
{
	struct stat st;
	int r;

	if (flags & AT_REMOVEDIR) /* a parent that was never made */
		return 0;
	r = hostfs_walk.stat(dir, name, HOSTFS_XDEV, &st);
	if (!r)
		r = may_remove(dir, &st);
	return !r && S_ISDIR(st.st_mode) ? -EISDIR : r;
}

static int dry_truncate(int fd)
{
	(void)fd;
	return 0;
}

const struct hostfs *hostfs_dry(const struct hostfs *engine)
{
	static struct hostfs dry;

	dry = *engine;
	dry.open = engine->open == hostfs_openat2.open ? dry_open_openat2 : dry_open_walk;
	dry.unlink = dry_unlink;
	dry.truncate = dry_truncate;
	dry.mkdir = dry_mkdir;
	hostfs_dry_forget();
	return &dry;
}

void hostfs_dry_forget(void)
{
	made.dir = -1;
}
