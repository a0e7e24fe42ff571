// SPDX-License-Identifier: ISC
/* System calls beneath a directory descriptor. The only caller of openat2. */
#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "filemap_path.h"

/* Of one name; of dir itself when it is empty. The type, and whether this may be entered. */
static int look(int dir, const char *name, unsigned int how, struct statx *stx)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name[0] ? 0 : AT_EMPTY_PATH);
	int r;

	do
		r = statx(dir, name, flags, STATX_BASIC_STATS, stx);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	/* A kernel that cannot tell (before 5.8) has no directory that may be entered. */
	if (!(how & BENEATH_XDEV) && (!(stx->stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) ||
					     stx->stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return -EACCES;
	return 0;
}

static int open_name(int dir, const char *name, int flags, mode_t mode)
{
	int fd;

	do
		fd = openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

/* fd, or closed and -errno: a link, no directory though one was asked for, another mount. */
static int checked(int fd, int flags, unsigned int how)
{
	struct statx stx;
	int r;

	if (fd < 0)
		return fd;
	r = look(fd, "", how, &stx);
	if (!r && S_ISLNK(stx.stx_mode) && (flags & O_DIRECTORY || !(flags & O_NOFOLLOW)))
		r = -ELOOP;
	if (!r && flags & O_DIRECTORY && !S_ISDIR(stx.stx_mode))
		r = -ENOTDIR;
	if (!r)
		return fd;
	close(fd);
	return r;
}

int beneath_truncate(int fd)
{
	int r;

	do
		r = ftruncate(fd, 0);
	while (r && errno == EINTR);
	return r ? -errno : 0;
}

/* What may be told before the last component is opened: it may be another mount or a link. */
static int check_last(int dir, const char *name, int flags, unsigned int how)
{
	struct statx stx;
	int r = look(dir, name, how, &stx);

	if (r)
		return r == -ENOENT && flags & O_CREAT ? 0 : r;
	if (S_ISLNK(stx.stx_mode))
		return flags & O_CREAT && flags & O_EXCL ? -EEXIST : -ELOOP;
	return 0;
}

/*
 * Looked at first, for openat could tell only after the deed; and a truncation waits until what was opened
 * has been looked at, too.
 */
static int walk_last(int dir, const char *name, int flags, mode_t mode, unsigned int how)
{
	int open_flags = (flags & ~O_TRUNC) | O_NOCTTY;
	bool itself = !strcmp(name, "."); /* which may well be a mapping's root */
	int fd, r;

	if (flags & O_PATH)
		return checked(open_name(dir, name, O_PATH, 0), flags, how);
	r = itself ? 0 : check_last(dir, name, flags, how);
	if (r)
		return r;
	if (flags & O_TRUNC && (flags & O_ACCMODE) == O_RDONLY)
		open_flags |= O_RDWR; /* the same rights, and ftruncate wants it */
	fd = open_name(dir, name, open_flags, mode);
	if (!itself)
		fd = checked(fd, O_NOFOLLOW | (flags & O_DIRECTORY), how);
	if (fd < 0 || !(flags & O_TRUNC))
		return fd;
	r = beneath_truncate(fd);
	if (!r ||
		r == -EINVAL) /* as open(2), a fifo that has just come here has nothing to truncate */
		return fd;
	close(fd);
	return r;
}

int beneath_walk(int dir, const char *path, int flags, mode_t mode, unsigned int how)
{
	char text[FILEMAP_NAME_MAX + 2] = ".";
	struct filemap_name name;
	int at = dir, next;

	if (!path[0])
		return -ENOENT;
	while (at >= 0 && filemap_path_next(&path, &name)) {
		if (filemap_name_is_dot(name))
			continue;
		if (filemap_name_is_dotdot(name)) {
			next = -EACCES;
		} else {
			/* What is too long still is: for the host to refuse, perhaps it is EACCES. */
			size_t len = name.len < sizeof(text) ? name.len : sizeof(text) - 1;

			memcpy(text, name.text, len);
			text[len] = 0;
			if (!*path)
				break;
			next = checked(open_name(at, text, O_PATH, 0), O_DIRECTORY, how);
			strcpy(text, ".");
		}
		if (at != dir)
			close(at);
		at = next;
	}
	if (at < 0)
		return at;
	next = walk_last(at, text, flags, mode, how);
	if (at != dir)
		close(at);
	return next;
}

int beneath_openat2(int dir, const char *path, int flags, mode_t mode, unsigned int how)
{
	struct open_how open_how = { .flags = (uint64_t)(unsigned int)flags | O_CLOEXEC,
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	int fd;

	if (!(how & BENEATH_XDEV))
		open_how.resolve |= RESOLVE_NO_XDEV;
	if (!(flags & O_PATH))
		open_how.flags |= O_NOCTTY;
	if (flags & O_DIRECTORY) /* or a link at the end were ENOTDIR */
		open_how.flags &= ~(uint64_t)O_NOFOLLOW;
	do
		fd = (int)syscall(SYS_openat2, dir, path, &open_how, sizeof(open_how));
	while (fd < 0 && errno == EINTR);
	if (fd >= 0)
		return fd;
	/*
	 * Another mount; or just a directory moved away by the host meanwhile, which the walk bears. EAGAIN is said of
	 * `..` when anything on the machine was moved or mounted.
	 */
	return errno == EXDEV || errno == EAGAIN ? beneath_walk(dir, path, flags, mode, how)
						 : -errno;
}

int beneath_open(int dir, const char *path, int flags, mode_t mode)
{
	int fd = beneath_openat2(dir, path, flags, mode, 0);

	return fd == -ENOSYS || fd == -EPERM ? beneath_walk(dir, path, flags, mode, 0) : fd;
}

static struct timespec time_of(struct statx_timestamp t)
{
	return (struct timespec){ .tv_sec = t.tv_sec, .tv_nsec = t.tv_nsec };
}

int beneath_stat(int dir, const char *name, unsigned int how, struct stat *st)
{
	struct statx stx;
	int r = look(dir, name, how, &stx);

	if (r)
		return r;
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
	r = beneath_openat2(fd, ".", O_PATH | O_DIRECTORY, 0, 0);
	close(fd);
	if (r < 0)
		return r;
	close(r);
	return 0;
}
