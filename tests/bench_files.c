// SPDX-License-Identifier: ISC
/*
 * What the file map costs: resolve, open and close as a guest's calls do them, against a bare openat2 and
 * close of the same file, by turns in one process; the median of the pairs' ratios counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "fileio.h"
#include "hostfs.h"
#include "tmptree.h"

enum { PAIRS = 201, BATCH = 200, MOUNTS_MAX = 10000 };

static struct tmptree tree;
static char host[80];

/* Depth 1, 4 and 10 beneath the mapping. */
static const char *const paths[] = { "file", "a/b/c/file", "a/b/c/d/e/f/g/h/i/file" };
static const int depths[] = { 1, 4, 10 };

__attribute__((noreturn)) _Noreturn static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench: %s: %s\n", what, why);
	tmptree_remove(&tree);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* no call here waits */
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare);
	return v[n / 2];
}

/* One side of a comparison: a batch of calls. */
struct side {
	struct fileio *files; /* NULL: bare */
	int dir;
	const char *path;
};

static double batch(const struct side *side)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH };
	double start = now();

	for (int i = 0; i < BATCH; i++) {
		int fd = side->files ? fileio_open(side->files, side->path, O_RDONLY, 0)
				     : (int)syscall(SYS_openat2, side->dir, side->path, &how,
					       sizeof(how));

		if (fd < 0)
			die(side->path, strerror(side->files ? -fd : errno));
		if (side->files)
			fileio_close(side->files, fd);
		else
			close(fd);
	}
	return (now() - start) / BATCH;
}

static void race(
	const char *what, const char *other, const struct side *ours, const struct side *bare)
{
	static double a[PAIRS], b[PAIRS], ratio[PAIRS];

	for (int i = 0; i < PAIRS; i++) {
		a[i] = batch(ours);
		b[i] = batch(bare);
		ratio[i] = a[i] / b[i];
	}
	printf("%-48s %10.1f ns CPU   %-8s %8.1f  ratio %5.2f\n", what, median(a, PAIRS), other,
		median(b, PAIRS), median(ratio, PAIRS));
}

static struct fileio *files_with(size_t n_mounts, const struct hostfs *engine)
{
	struct fileio_mount *mounts = calloc(n_mounts, sizeof(*mounts));
	char(*guests)[16] = calloc(n_mounts, sizeof(*guests));
	struct fileio_config config = { .mounts = mounts,
		.n_mounts = n_mounts,
		.host = engine,
		.console_in = -1,
		.console_out = -1 };
	struct fileio *files;
	struct err err;

	if (!mounts || !guests)
		die("mounts", "out of memory");
	for (size_t i = 0; i < n_mounts; i++) {
		snprintf(guests[i], sizeof(guests[i]), "/m%zu", i);
		mounts[i] = (struct fileio_mount){ .host = host, .guest = guests[i] };
	}
	if (fileio_init(&files, &config, &err))
		die("mounts", err.text);
	free(guests);
	free(mounts);
	return files;
}

static void make_tree(void)
{
	static const char *const lines[] = { "d h", "f h/file x", "d h/a", "d h/a/b", "d h/a/b/c",
		"f h/a/b/c/file x", "d h/a/b/c/d", "d h/a/b/c/d/e", "d h/a/b/c/d/e/f",
		"d h/a/b/c/d/e/f/g", "d h/a/b/c/d/e/f/g/h", "d h/a/b/c/d/e/f/g/h/i",
		"f h/a/b/c/d/e/f/g/h/i/file x", "l h/link a/b/c", NULL };

	if (tmptree_make(&tree, lines))
		die("tree", strerror(errno));
	snprintf(host, sizeof(host), "%s/h", tree.path);
}

static void bench_depths(struct fileio *files, const char *engine, int dir)
{
	char path[100], what[100];

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		snprintf(path, sizeof(path), "/m0/%s", paths[i]);
		snprintf(
			what, sizeof(what), "open + close, depth %d, %s / bare", depths[i], engine);
		race(what, "openat2", &(struct side){ .files = files, .path = path },
			&(struct side){ .dir = dir, .path = paths[i] });
	}
}

/* One mapping against many: the last of them, and the same file. */
static void bench_mounts(struct fileio *one, size_t n)
{
	struct fileio *many = files_with(n, NULL);
	char path[100], what[100];

	snprintf(path, sizeof(path), "/m%zu/a/b/c/file", n - 1);
	snprintf(what, sizeof(what), "open + close, depth 4, %zu mounts / 1", n);
	race(what, "1 mount", &(struct side){ .files = many, .path = path },
		&(struct side){ .files = one, .path = "/m0/a/b/c/file" });
	fileio_destroy(many);
}

int main(void)
{
	struct fileio *best, *walk;
	int dir;

	setvbuf(stdout, NULL, _IOLBF, 0);
	make_tree();
	dir = open(host, O_PATH | O_DIRECTORY | O_CLOEXEC);
	best = files_with(1, NULL);
	walk = files_with(1, &hostfs_walk);
	bench_depths(best, hostfs_best()->name, dir);
	bench_depths(walk, "walk", dir);
	race("the same through a link and `..`", "openat2",
		&(struct side){ .files = best, .path = "/m0/link/../c/file" },
		&(struct side){ .dir = dir, .path = "a/b/c/file" });
	bench_mounts(best, 100);
	bench_mounts(best, MOUNTS_MAX);
	fileio_destroy(walk);
	fileio_destroy(best);
	close(dir);
	tmptree_remove(&tree);
	return 0;
}
