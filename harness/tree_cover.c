// SPDX-License-Identifier: ISC
/* Mounts whose host paths lie in one another, by their text alone: no file is looked at. */
#include "tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"

struct place {
	char *path; /* NULL: cannot be told, for it has a `..` */
	size_t mount;
};

/* Begins with "/" when absolute and with "." when not; then "/NAME" for each component. The root is "". */
static int tidy(const char *host, char **out)
{
	char *path = malloc(strlen(host) + 3), *to = path;

	*out = NULL;
	if (!path)
		return -1;
	if (host[0] != '/')
		*to++ = '.';
	for (const char *at = host; *at;) {
		size_t n = strcspn(at, "/");

		if (n == 2 && at[0] == '.' && at[1] == '.') {
			free(path);
			return 0;
		}
		if (n && !(n == 1 && at[0] == '.')) {
			*to++ = '/';
			memcpy(to, at, n);
			to += n;
		}
		at += n + (at[n] == '/');
	}
	*to = 0;
	*out = path;
	return 0;
}

/* As bytes, but `/` before all others, so that what lies in a directory follows it; no path at the end. */
static int compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	const char *p = x->path, *q = y->path;

	if (!p || !q)
		return !p - !q;
	while (*p && *p == *q) {
		p++;
		q++;
	}
	if (*p != *q)
		return !*p ? -1 : !*q ? 1 : *p == '/' ? -1 : *q == '/' ? 1 : *p < *q ? -1 : 1;
	return (x->mount > y->mount) - (x->mount < y->mount);
}

static bool lies_in(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && (path[n] == '/' || !path[n]);
}

static int cover(struct tree_cover *covers, const struct place *places, size_t n,
	const struct trace_mount *mounts)
{
	const struct place *top = NULL;

	for (size_t i = 0; i < n && places[i].path; i++) {
		const struct place *p = &places[i];
		const char *rest;

		if (!top || !lies_in(p->path, top->path)) {
			top = p;
			continue;
		}
		rest = p->path + strlen(top->path);
		if (mounts[top->mount].is_file && *rest)
			continue;
		covers[p->mount].mount = top->mount;
		covers[p->mount].rest = strdup(*rest ? rest + 1 : "");
		if (!covers[p->mount].rest)
			return -1;
	}
	return 0;
}

int tree_find_covers(
	struct tree_cover **out, const struct trace_mount *mounts, size_t n_mounts, struct err *err)
{
	struct tree_cover *covers = calloc(n_mounts + 1, sizeof(*covers));
	struct place *places = calloc(n_mounts + 1, sizeof(*places));
	int r = covers && places ? 0 : -1;

	for (size_t i = 0; !r && i < n_mounts; i++) {
		covers[i].mount = places[i].mount = i;
		r = tidy(mounts[i].host, &places[i].path);
	}
	if (!r) {
		qsort(places, n_mounts, sizeof(*places), compare);
		r = cover(covers, places, n_mounts, mounts);
	}
	for (size_t i = 0; places && i < n_mounts; i++)
		free(places[i].path);
	free(places);
	if (r) {
		tree_drop_covers(covers, n_mounts);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*out = covers;
	return 0;
}

void tree_drop_covers(struct tree_cover *covers, size_t n_mounts)
{
	for (size_t i = 0; covers && i < n_mounts; i++)
		free(covers[i].rest);
	free(covers);
}
