// SPDX-License-Identifier: ISC
/* Host calls that stop where another mount is said to begin. Knows neither guests nor mappings. */
#include "hostfs_xdev.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostfs.h"
#include "inode.h"

static struct {
	const struct hostfs *over;
	const struct inode *list;
	size_t n;
} xdev;

static bool is_xdev(const struct stat *st)
{
	const struct inode key = { st->st_dev, st->st_ino };

	return xdev.n && bsearch(&key, xdev.list, xdev.n, sizeof(key), compare_inodes);
}

static int xdev_stat(int dir, const char *name, unsigned int how, struct stat *st)
{
	int r = xdev.over->stat(dir, name, how, st);

	return !r && !(how & HOSTFS_XDEV) && is_xdev(st) ? -EACCES : r;
}

/* fd, or closed and -EACCES. */
static int checked(int fd)
{
	struct stat st;

	if (fd < 0 || xdev.over->fstat(fd, &st) || !is_xdev(&st))
		return fd;
	xdev.over->close(fd);
	return -EACCES;
}

/* What stands for a mount is empty: on the way it shows as something that is missing, or no directory. */
static int xdev_open(int dir, const char *path, int flags, mode_t mode, unsigned int how)
{
	char copy[PATH_MAX];
	struct stat st;
	int fd, r = 0;

	if (how & HOSTFS_XDEV)
		return xdev.over->open(dir, path, flags, mode, how);
	if (!strchr(path, '/') && flags & (O_CREAT | O_TRUNC)) /* before the deed */
		r = xdev_stat(dir, path, how, &st);
	if (r == -EACCES)
		return r;
	fd = checked(xdev.over->open(dir, path, flags, mode, how));
	if (fd != -ENOENT && fd != -ENOTDIR)
		return fd;
	snprintf(copy, sizeof(copy), "%s", path);
	for (char *at = copy + strlen(copy); at && at != copy; at = strrchr(copy, '/')) {
		*at = 0;
		r = checked(xdev.over->open(dir, copy, O_PATH | O_NOFOLLOW, 0, 0));
		if (r >= 0)
			xdev.over->close(r);
		if (r != -ENOENT && r != -ENOTDIR)
			break;
	}
	return r == -EACCES ? r : fd;
}

static int xdev_unlink(int dir, const char *name, int flags)
{
	struct stat st;

	if (!xdev.over->stat(dir, name, HOSTFS_XDEV, &st) && is_xdev(&st) && !S_ISDIR(st.st_mode))
		return -EBUSY;
	return xdev.over->unlink(dir, name, flags);
}

const struct hostfs *hostfs_xdev(const struct inode *list, size_t n)
{
	static struct hostfs host;

	xdev.over = hostfs_best();
	xdev.list = list;
	xdev.n = n;
	host = *xdev.over;
	host.stat = xdev_stat;
	host.open = xdev_open;
	host.unlink = xdev_unlink;
	host.isolate = NULL; /* a view's own stat knows nothing of this */
	return &host;
}
