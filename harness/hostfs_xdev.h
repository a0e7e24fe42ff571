/* SPDX-License-Identifier: ISC */
/*
 * The host's files, some of which stand for other mounts: the file map is told of them what it would be told of
 * those, and does not enter them. Takes no privilege to make.
 */
#ifndef HOSTFS_XDEV_H
#define HOSTFS_XDEV_H

#include <stddef.h>

struct hostfs;
struct inode;

/* Over the best there is. xdev: which, sorted; borrowed, until another call. One at a time in a process. */
const struct hostfs *hostfs_xdev(const struct inode *xdev, size_t n);

#endif
