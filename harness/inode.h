/* SPDX-License-Identifier: ISC */
/* Two names, one file? */
#ifndef INODE_H
#define INODE_H

#include <stdbool.h>
#include <sys/stat.h>

struct inode {
	dev_t dev;
	ino_t ino;
};

static inline bool same_inode(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* For qsort(3) and bsearch(3). */
static inline int compare_inodes(const void *a, const void *b)
{
	const struct inode *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return (x->ino > y->ino) - (x->ino < y->ino);
}

#endif
