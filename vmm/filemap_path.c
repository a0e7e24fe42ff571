// SPDX-License-Identifier: ISC
/* Components of paths, and the tree of mapped names: an arena of nodes and a hash over (parent, name). */
#include "filemap_path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool filemap_path_next(const char **path, struct filemap_name *name)
{
	const char *p = *path;

	while (*p == '/')
		p++;
	name->text = p;
	p = strchrnul(p, '/');
	name->len = (size_t)(p - name->text);
	*path = p;
	return name->len > 0;
}

const char *filemap_path_behind(const char *path, const char *dir)
{
	size_t len = strcmp(dir, "/") ? strlen(dir) : 0;

	if (!*dir || strncmp(path, dir, len) != 0)
		return NULL;
	return path[len] == '/' || !path[len] ? path + len : NULL;
}

bool filemap_path_is_utf8(const char *path)
{
	/* By how many bytes follow the first: the least that takes so many. */
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };

	for (const uint8_t *at = (const uint8_t *)path; *at;) {
		int more = *at < 0x80 ? 0 : *at < 0xe0 ? 1 : *at < 0xf0 ? 2 : 3;
		uint32_t code = more ? *at & (0x3fu >> more) : *at;

		if ((*at >= 0x80 && *at < 0xc0) || *at >= 0xf8)
			return false;
		at++;
		for (int i = 0; i < more; i++, at++) {
			if ((*at & 0xc0) != 0x80)
				return false;
			code = code << 6 | (*at & 0x3fu);
		}
		if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
			return false;
	}
	return true;
}

static uint32_t branch_hash(int parent, struct filemap_name name)
{
	uint32_t hash = 2166136261u ^ (uint32_t)parent * 2654435761u;

	for (size_t i = 0; i < name.len; i++)
		hash = (hash ^ (uint8_t)name.text[i]) * 16777619u;
	return hash ^ hash >> 15;
}

static int *bucket_of(const struct filemap_tree *tree, uint32_t hash)
{
	return &tree->buckets[hash & (uint32_t)(tree->n_buckets - 1)];
}

int filemap_tree_child(const struct filemap_tree *tree, int parent, struct filemap_name name)
{
	uint32_t hash;

	if (!tree->nodes[parent].first_child || name.len > FILEMAP_NAME_MAX)
		return FILEMAP_NONE;
	hash = branch_hash(parent, name);
	for (int i = *bucket_of(tree, hash); i; i = tree->nodes[i].next_in_bucket) {
		const struct filemap_branch *node = &tree->nodes[i];

		if (node->hash == hash && node->parent == parent && (size_t)node->len == name.len &&
			!memcmp(node->name, name.text, name.len))
			return i;
	}
	return FILEMAP_NONE;
}

static int tree_rehash(struct filemap_tree *tree, int n_buckets)
{
	int *buckets = calloc((size_t)n_buckets, sizeof(*buckets));

	if (!buckets)
		return -ENOMEM;
	free(tree->buckets);
	tree->buckets = buckets;
	tree->n_buckets = n_buckets;
	for (int i = 1; i < tree->n_nodes; i++) {
		int *bucket = bucket_of(tree, tree->nodes[i].hash);

		tree->nodes[i].next_in_bucket = *bucket;
		*bucket = i;
	}
	return 0;
}

static int tree_grow(struct filemap_tree *tree)
{
	int room = tree->room ? 2 * tree->room : 16;
	struct filemap_branch *nodes =
		reallocarray(tree->nodes, (size_t)room, sizeof(*tree->nodes));

	if (!nodes)
		return -ENOMEM;
	tree->nodes = nodes;
	tree->room = room;
	return tree_rehash(tree, 2 * room);
}

int filemap_tree_init(struct filemap_tree *tree)
{
	int r;

	*tree = (struct filemap_tree){ 0 };
	r = tree_grow(tree);
	if (r)
		return r;
	tree->nodes[FILEMAP_ROOT] = (struct filemap_branch){ 0 };
	tree->n_nodes = 1;
	return 0;
}

void filemap_tree_finish(struct filemap_tree *tree)
{
	for (int i = 1; i < tree->n_nodes; i++)
		free(tree->nodes[i].name);
	free(tree->nodes);
	free(tree->buckets);
	*tree = (struct filemap_tree){ 0 };
}

int filemap_tree_add(struct filemap_tree *tree, int parent, struct filemap_name name)
{
	int i = filemap_tree_child(tree, parent, name);
	struct filemap_branch *node;
	int *bucket;

	if (i >= 0)
		return i;
	if (tree->n_nodes == tree->room && tree_grow(tree))
		return -ENOMEM;
	i = tree->n_nodes;
	node = &tree->nodes[i];
	*node = (struct filemap_branch){ .name = strndup(name.text, name.len),
		.len = (int)name.len,
		.hash = branch_hash(parent, name),
		.parent = parent,
		.next_sibling = tree->nodes[parent].first_child };
	if (!node->name)
		return -ENOMEM;
	bucket = bucket_of(tree, node->hash);
	node->next_in_bucket = *bucket;
	*bucket = i;
	tree->nodes[parent].first_child = i;
	return tree->n_nodes++;
}

int filemap_tree_add_path(struct filemap_tree *tree, const char *guest)
{
	struct filemap_name name;
	int node = FILEMAP_ROOT;

	if (guest[0] != '/')
		return -EINVAL;
	while (node >= 0 && filemap_path_next(&guest, &name)) {
		if (filemap_name_is_dot(name))
			continue;
		if (filemap_name_is_dotdot(name))
			return -EINVAL;
		if (name.len > FILEMAP_NAME_MAX)
			return -ENAMETOOLONG;
		node = filemap_tree_add(tree, node, name);
	}
	return node;
}
