/* SPDX-License-Identifier: ISC */
/*
 * System calls beneath a directory descriptor, made so that the kernel follows no link, leaves no
 * mount and goes no `..`. Two ways that answer alike: openat2(2), and one component after another.
 * Knows neither guests nor mappings. Everything returns >= 0 or -errno.
 */
#ifndef BENEATH_H
#define BENEATH_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

enum {
	BENEATH_XDEV = 1, /* other mounts may be entered */
};

/*
 * path: names beneath dir, `.` and further slashes, no `..`. flags as open(2), and O_CLOEXEC | O_NOCTTY
 * always. -ELOOP where a link is in the way (at the end O_PATH | O_NOFOLLOW opens the link itself),
 * -EACCES where another mount begins.
 */
int beneath_openat2(int dir, const char *path, int flags, mode_t mode, unsigned int how);
int beneath_walk(int dir, const char *path, int flags, mode_t mode, unsigned int how);
/* The first, or the second where there is no openat2 or where it is forbidden. Enters no mount. */
int beneath_open(int dir, const char *path, int flags, mode_t mode);
/* lstat of one name; -EACCES when another mount begins there, but for BENEATH_XDEV. */
int beneath_stat(int dir, const char *name, unsigned int how, struct stat *st);
/* To nothing. */
int beneath_truncate(int fd);
/* 0, or -errno when this kernel, or a filter over it, refuses openat2. */
int beneath_probe(void);

#endif
