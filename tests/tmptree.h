/* SPDX-License-Identifier: ISC */
/* A directory of files for a test, from one line each; gone again afterwards. */
#ifndef TMPTREE_H
#define TMPTREE_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TMPTREE_PATH = 64 };

struct tmptree {
	char path[TMPTREE_PATH];
};

/* A new directory below TMPDIR, its path in path; NULL: there is none. */
static inline char *tmptree_dir(char path[TMPTREE_PATH])
{
	const char *tmp = getenv("TMPDIR");

	snprintf(path, TMPTREE_PATH, "%.40s/belljar-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	return mkdtemp(path);
}

static inline int tmptree_remove_one(
	const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

static inline void tmptree_remove(struct tmptree *tree)
{
	nftw(tree->path, tmptree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* "d NAME", "f NAME CONTENT", "l NAME TARGET", "p NAME" (a fifo), "h NAME OLD" (a hard link). */
static inline int tmptree_add(const struct tmptree *tree, const char *line)
{
	char name[512] = "", rest[512] = "", kind = 0;
	char path[1200], old[1200];
	int fd, r = -1;

	if (sscanf(line, "%c %511s %511[^\n]", &kind, name, rest) < 2)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", tree->path, name);
	snprintf(old, sizeof(old), "%s/%s", tree->path, rest);
	if (kind == 'd')
		return mkdir(path, 0755);
	if (kind == 'l')
		return symlink(rest, path);
	if (kind == 'p')
		return mkfifo(path, 0644);
	if (kind == 'h')
		return link(old, path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd >= 0) {
		r = write(fd, rest, strlen(rest)) == (ssize_t)strlen(rest) ? 0 : -1;
		close(fd);
	}
	return r;
}

/* Lines up to a NULL. */
static inline int tmptree_make(struct tmptree *tree, const char *const *lines)
{
	if (!tmptree_dir(tree->path) || chmod(tree->path, 0755))
		return -1;
	for (; *lines; lines++)
		if (tmptree_add(tree, *lines))
			return fprintf(stderr, "tmptree: %s: failed\n", *lines), -1;
	return 0;
}

static inline int tmptree_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

#endif
