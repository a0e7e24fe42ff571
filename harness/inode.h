/* SPDX-License-Identifier: ISC */
/* Two names, one file? */
#ifndef INODE_H
#define INODE_H

#include <stdbool.h>
#include <sys/stat.h>

static inline bool same_inode(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

#endif
