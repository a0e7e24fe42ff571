// SPDX-License-Identifier: ISC
/* System calls beneath a directory descriptor. The only caller of openat2. */
#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int open_how(int dir, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = (uint64_t)(unsigned int)flags | O_CLOEXEC,
		.mode = flags & O_CREAT ? mode : 0,
		.resolve =
			resolve | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	int fd;

	if (!(flags & O_PATH))
		how.flags |= O_NOCTTY;
	do
		fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	while (fd < 0 && errno == EINTR);
	if (fd >= 0)
		return fd;
	return errno == EXDEV ? -EACCES : -errno;
}

int beneath_open(int dir, const char *path, int flags, mode_t mode)
{
	return open_how(dir, path, flags, mode, RESOLVE_NO_XDEV);
}

int beneath_open_mapped(int dir, const char *name, int flags, mode_t mode)
{
	return open_how(dir, name, flags, mode, 0);
}

static struct timespec time_of(struct statx_timestamp t)
{
	return (struct timespec){ .tv_sec = t.tv_sec, .tv_nsec = t.tv_nsec };
}

int beneath_stat(int dir, const char *name, bool same_mount, struct stat *st)
{
	struct statx stx;
	int r;

	do
		r = statx(
			dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &stx);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (same_mount && stx.stx_attributes & STATX_ATTR_MOUNT_ROOT)
		return -EACCES;
	*st = (struct stat){ .st_dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
		.st_ino = stx.stx_ino,
		.st_nlink = stx.stx_nlink,
		.st_mode = stx.stx_mode,
		.st_uid = stx.stx_uid,
		.st_gid = stx.stx_gid,
		.st_rdev = makedev(stx.stx_rdev_major, stx.stx_rdev_minor),
		.st_size = (off_t)stx.stx_size,
		.st_blksize = (blksize_t)stx.stx_blksize,
		.st_blocks = (blkcnt_t)stx.stx_blocks,
		.st_atim = time_of(stx.stx_atime),
		.st_mtim = time_of(stx.stx_mtime),
		.st_ctim = time_of(stx.stx_ctime) };
	return 0;
}

int beneath_probe(void)
{
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = beneath_open(fd, ".", O_PATH | O_DIRECTORY, 0);
	close(fd);
	if (r < 0)
		return r;
	close(r);
	return 0;
}
