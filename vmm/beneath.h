/* SPDX-License-Identifier: ISC */
/*
 * System calls beneath a directory descriptor, made so that the kernel follows no link, leaves no
 * mount and goes no `..`. Knows neither guests nor mappings.
 */
#ifndef BENEATH_H
#define BENEATH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/*
 * openat2(2) with every restriction; flags get O_CLOEXEC | O_NOCTTY. A descriptor or -errno: -ELOOP
 * where a link is in the way, -EACCES where another mount begins.
 */
int beneath_open(int dir, const char *path, int flags, mode_t mode);
/* The same, but path may lie on another mount: for the one name that the user mapped. */
int beneath_open_mapped(int dir, const char *name, int flags, mode_t mode);
/* lstat of one name; -EACCES when another mount begins there and same_mount is asked. */
int beneath_stat(int dir, const char *name, bool same_mount, struct stat *st);
/* 0, or -errno when this kernel, or a filter over it, refuses openat2. */
int beneath_probe(void);

#endif
