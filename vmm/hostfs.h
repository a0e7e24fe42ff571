/* SPDX-License-Identifier: ISC */
/*
 * The host's files as the file map sees them: a table of functions, so that one resolver runs over
 * openat2, over a walk of single components, dry, or over a file system in memory. Knows neither
 * guests nor mappings. Everything returns >= 0 or -errno, and none of it -EINTR.
 */
#ifndef HOSTFS_H
#define HOSTFS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct err;
struct scratch;

enum {
	HOSTFS_XDEV =
		1, /* other mounts may be entered: the user mapped that very name, or said so */
};

struct hostfs {
	const char *name;
	/*
	 * Beneath dir; no link is followed and no `..` is walked. open: path has one or more names, `.` and
	 * further slashes, no `..`; flags as open(2), and O_CLOEXEC | O_NOCTTY always; -ELOOP where a link
	 * is in the way (at the end O_PATH | O_NOFOLLOW without O_DIRECTORY opens the link itself), -EACCES
	 * where another mount begins. stat is lstat(2) of one name, of `.`, or, for the number that a listing tells, of `..`; unlink's flags are 0 or AT_REMOVEDIR.
	 */
	int (*open)(int dir, const char *path, int flags, mode_t mode, unsigned int how);
	int (*stat)(int dir, const char *name, unsigned int how, struct stat *st);
	ssize_t (*readlink)(int dir, const char *name, char *buf, size_t size);
	int (*mkdir)(int dir, const char *name, mode_t mode);
	int (*unlink)(int dir, const char *name, int flags);
	/*
	 * Of a descriptor. truncate: to nothing. getdents as getdents64(2), from the start if so asked.
	 * fs_magic is f_type of statfs(2).
	 */
	int (*fstat)(int fd, struct stat *st);
	int (*truncate)(int fd);
	ssize_t (*getdents)(int fd, void *buf, size_t len, bool rewind);
	void (*close)(int fd);
	int (*fs_magic)(int fd, long *magic);
	/*
	 * Only at the start, by the host's own names. open_host is open(2); realpath's is realpath(3), to
	 * be freed, errno set when NULL. scratch_*: see scratch.h.
	 */
	int (*open_host)(const char *path, int flags);
	char *(*realpath)(const char *path);
	/*
	 * A view of the directory dir, by its real name path, in which a stat of more than one name follows
	 * no link and enters no mount: see mountclone.h. A descriptor or -errno; NULL: not offered.
	 */
	int (*isolate)(int dir, const char *path, bool writable);
	int (*scratch_init)(struct scratch *scratch, const char *parent, struct err *err);
	void (*scratch_finish)(struct scratch *scratch);
};

/* The two engines: they answer alike. */
extern const struct hostfs hostfs_openat2, hostfs_walk;

/* 0, or -errno when this kernel, or a filter over it, has no such engine. */
int hostfs_probe(const struct hostfs *host);

/* openat2 where this kernel has it and no filter forbids it, else the walk. */
const struct hostfs *hostfs_best(void);

#endif
