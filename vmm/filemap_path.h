/* SPDX-License-Identifier: ISC */
/*
 * The lexical part of the file map: paths cut into components, and the tree of names that the
 * mappings span. Bytes only: no decoding, no folding of case, no string prefixes. Makes no system
 * call and knows no files.
 */
#ifndef FILEMAP_PATH_H
#define FILEMAP_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FILEMAP_NAME_MAX = 255 };

/* A part of somebody else's string: not terminated. */
struct filemap_name {
	const char *text;
	size_t len;
};

/* The next component, skipping slashes; *path moves behind it. False at the end. */
bool filemap_path_next(const char **path, struct filemap_name *name);

/* The rest of path behind dir, which ends where a name does: with its slash, or "". NULL: it does not lie there. */
const char *filemap_path_behind(const char *path, const char *dir);

/* Is it UTF-8, in shortest form and without surrogates (RFC 3629)? */
bool filemap_path_is_utf8(const char *path);

static inline bool filemap_name_is_dot(struct filemap_name name)
{
	return name.len == 1 && name.text[0] == '.';
}

static inline bool filemap_name_is_dotdot(struct filemap_name name)
{
	return name.len == 2 && name.text[0] == '.' && name.text[1] == '.';
}

/* Node 0 is the root. Links are node numbers; 0 there means none, for nothing leads to the root. */
struct filemap_branch {
	char *name;
	uint32_t hash;
	int len, parent, first_child, next_sibling, next_in_bucket;
};

struct filemap_tree {
	struct filemap_branch *nodes;
	int *buckets; /* by parent and name, so that the number of mappings costs nothing */
	int n_nodes, room, n_buckets;
};

enum { FILEMAP_ROOT = 0, FILEMAP_NONE = -1 };

/* 0 or -ENOMEM. */
int filemap_tree_init(struct filemap_tree *tree);
/* Takes one zeroed or half built. */
void filemap_tree_finish(struct filemap_tree *tree);
/* The child of that name, made if there is none: its number or -ENOMEM. */
int filemap_tree_add(struct filemap_tree *tree, int parent, struct filemap_name name);
/* Its number, or FILEMAP_NONE. */
int filemap_tree_child(const struct filemap_tree *tree, int parent, struct filemap_name name);

/*
 * The node for the guest side of a mapping, with all its parents: absolute, no `..`, every name
 * short enough. Its number, -EINVAL, -ENAMETOOLONG or -ENOMEM.
 */
int filemap_tree_add_path(struct filemap_tree *tree, const char *guest);

#endif
