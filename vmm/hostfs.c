// SPDX-License-Identifier: ISC
/* The host's files: system calls, tried again when a signal came, with errno as the result. */
#include "hostfs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "beneath.h"
#include "mountclone.h"
#include "scratch.h"

static ssize_t host_readlink(int dir, const char *name, char *buf, size_t size)
{
	ssize_t n = readlinkat(dir, name, buf, size);

	return n < 0 ? -errno : n;
}

static int host_mkdir(int dir, const char *name, mode_t mode)
{
	return mkdirat(dir, name, mode) ? -errno : 0;
}

static int host_unlink(int dir, const char *name, int flags)
{
	return unlinkat(dir, name, flags) ? -errno : 0;
}

static int host_fstat(int fd, struct stat *st)
{
	return fstat(fd, st) ? -errno : 0;
}

static ssize_t host_getdents(int fd, void *buf, size_t len, bool rewind)
{
	long n;

	if (rewind && lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	n = syscall(SYS_getdents64, fd, buf, len);
	return n < 0 ? -errno : n;
}

static void host_close(int fd)
{
	close(fd);
}

static int host_open(const char *path, int flags)
{
	int fd;

	do
		fd = open(path, flags | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static char *host_realpath(const char *path)
{
	return realpath(path, NULL);
}

static int host_fs_magic(int fd, long *magic)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return -errno;
	*magic = fs.f_type;
	return 0;
}

/* clang-format off */
#define HOST_CALLS .stat = beneath_stat, .readlink = host_readlink, .mkdir = host_mkdir, \
	.unlink = host_unlink, .fstat = host_fstat, .truncate = beneath_truncate, \
	.getdents = host_getdents, .close = host_close, .open_host = host_open, \
	.realpath = host_realpath, .fs_magic = host_fs_magic, \
	.scratch_init = scratch_init, .scratch_finish = scratch_finish
/* clang-format on */

static_assert((int)HOSTFS_XDEV == (int)BENEATH_XDEV, "one meaning");

const struct hostfs hostfs_openat2 = {
	.name = "openat2", .open = beneath_openat2, HOST_CALLS, .isolate = mountclone_open
};
const struct hostfs hostfs_walk = { .name = "walk", .open = beneath_walk, HOST_CALLS };

int hostfs_probe(const struct hostfs *host)
{
	return host->open == beneath_openat2 ? beneath_probe() : 0;
}

const struct hostfs *hostfs_best(void)
{
	return hostfs_probe(&hostfs_openat2) ? &hostfs_walk : &hostfs_openat2;
}
