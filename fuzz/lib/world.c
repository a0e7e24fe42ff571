// SPDX-License-Identifier: ISC
/* Mappings as mounts, in the order of their depth. */
#include "world.h"

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "slashes.h"

struct raw_dirent { /* struct linux_dirent64 */
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
} __attribute__((packed));

/* The next component, skipping slashes and dots; false at the end. */
static bool next_name(const char **path, const char **name, size_t *len)
{
	do {
		*path = skip_slashes(*path);
		*name = *path;
		*len = name_length(*path);
		*path += *len;
	} while (*len == 1 && (*name)[0] == '.');
	return *len;
}

static int depth_of(const char *path)
{
	const char *name;
	size_t len;
	int n = 0;

	while (next_name(&path, &name, &len))
		n++;
	return n;
}

static int node_of(const struct model *m, const char *path)
{
	const char *name;
	int node = 0;
	size_t len;

	while (node >= 0 && next_name(&path, &name, &len))
		node = model_child(m, node, name, len);
	return node;
}

static int add_path(struct model *m, const char *path, mode_t mode, const char *target)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char dir[256] = "";

	memcpy(dir, path, (size_t)(name - path));
	return model_add(m, node_of(m, dir), name, strlen(name), mode, target);
}

/* What a mapping shows: a node, or a file by its name. */
static void set_source(struct model *m, int mount, const struct scenario_mount *from)
{
	const char *slash = strrchr(from->host, '/');
	int node = node_of(m, from->host);

	m->mounts[mount].may_unlink = from->may_unlink;
	m->mounts[mount].root = node;
	if (node >= 0 && !(from->may_unlink && S_ISREG(m->nodes[node].mode)))
		return;
	model_mount_name(m, mount, node_of(m, "k"), slash + 1);
}

/* A directory that is there for what is mapped beneath it. */
static struct model_at parent_in(struct world *w, struct model_at at, const char *name, size_t len)
{
	struct model *m = &w->model;
	int mount = model_covered(m, at, name, len), node = model_child(m, at.node, name, len);
	char made[16];

	if (mount >= 0)
		return (struct model_at){ mount, m->mounts[mount].root };
	if (node < 0 && m->mounts[at.mount].scratch)
		node = model_add(m, at.node, name, len, S_IFDIR | 0755, NULL);
	if (node >= 0 && S_ISDIR(m->nodes[node].mode))
		return (struct model_at){ at.mount, node };
	w->real = false;
	snprintf(made, sizeof(made), "parent-%d", m->n_mounts);
	node = model_add(m, 0, made, strlen(made), S_IFDIR | 0755, NULL);
	mount = model_mount(m, at, name, len, node, false);
	return (struct model_at){ mount, node };
}

static void check_real(struct world *w, struct model_at at, const char *name, size_t len, int mount)
{
	const struct model *m = &w->model;
	int over = model_child(m, at.node, name, len), root = m->mounts[mount].root;

	if (root < 0 || (!m->mounts[at.mount].scratch && over < 0))
		w->real = false;
	else if (over >= 0 && (S_ISLNK(m->nodes[over].mode) ||
				      S_ISDIR(m->nodes[over].mode) != S_ISDIR(m->nodes[root].mode)))
		w->real = false;
}

static void add_mount(struct world *w, const struct scenario_mount *from)
{
	struct model *m = &w->model;
	struct model_at at = { 0, m->mounts[0].root };
	const char *path = from->guest, *name, *after;
	size_t len, after_len;
	int mount;

	if (!next_name(&path, &name, &len))
		return;
	while (next_name(&path, &after, &after_len)) {
		at = parent_in(w, at, name, len);
		name = after;
		len = after_len;
	}
	mount = model_mount(m, at, name, len, -1, from->writable);
	set_source(m, mount, from);
	check_real(w, at, name, len, mount);
}

static void add_root(struct world *w, const struct scenario_mount *mounts, int n)
{
	struct model *m = &w->model;

	w->scratch = -1;
	for (int i = 0; i < n; i++)
		if (!depth_of(mounts[i].guest)) {
			model_mount(m, (struct model_at){ 0, 0 }, "", 0, -1, mounts[i].writable);
			set_source(m, 0, &mounts[i]);
			return;
		}
	w->scratch = model_add(m, 0, "scratch", 7, S_IFDIR | 0755, NULL);
	model_mount(m, (struct model_at){ 0, 0 }, "", 0, w->scratch, true);
	m->mounts[0].scratch = true;
}

void world_init(struct world *w, int config, int variant, struct model_policy policy)
{
	struct scenario_mount mounts[SCENARIO_MOUNTS];
	int n = scenario_mounts(config, variant, mounts);

	model_init(&w->model);
	w->real = true;
	for (int i = 0; i < SCENARIO_BASE; i++) {
		const struct scenario_base *base = &scenario_base[i];

		w->base[i] = add_path(&w->model, base->path, base->mode, base->target);
		w->model.nodes[w->base[i]].size = base->size;
	}
	add_root(w, mounts, n);
	for (int depth = 1; depth < 8; depth++)
		for (int i = 0; i < n; i++)
			if (depth_of(mounts[i].guest) == depth)
				add_mount(w, &mounts[i]);
	w->n_base = w->model.n_nodes;
	w->model.policy = policy;
	w->model.cwd = (struct model_at){ 0, w->model.mounts[0].root };
	w->model.cwd = model_stat(&w->model, scenario_cwd(config), true).at;
}

void world_add_foreign(struct world *w)
{
	int dir = add_path(&w->model, "m1/k", S_IFDIR | 0755, NULL);

	w->model.nodes[dir].foreign = true;
	w->model.nodes[add_path(&w->model, "m1/k/f", S_IFREG | 0644, NULL)].foreign = true;
	w->n_base = w->model.n_nodes;
}

int world_place(const struct world *w, const struct model *m, const struct scenario_entry *entry,
	int last_dir)
{
	int dir = entry->parent == SCENARIO_IN_SCRATCH ? w->scratch
		  : entry->parent == SCENARIO_IN_ENTRY ? last_dir
						       : w->base[entry->parent];

	if (dir < 0 || model_child(m, dir, entry->name, entry->name_len) >= 0)
		return -1;
	if (dir == w->scratch &&
		model_covered(m, (struct model_at){ 0, dir }, entry->name, entry->name_len) >= 0)
		return -1;
	return dir;
}

struct model_result world_ask(struct model *m, const struct scenario_op *op)
{
	switch (op->kind) {
	case SCENARIO_OPEN:
	case SCENARIO_LIST:
		return model_open(m, op->path, op->flags, op->mode);
	case SCENARIO_STAT:
	case SCENARIO_LSTAT:
		return model_stat(m, op->path, op->kind == SCENARIO_STAT);
	case SCENARIO_MKDIR:
		return model_mkdir(m, op->path, op->mode);
	default:
		return model_unlink(m, op->path);
	}
}

static int count_listed(const struct model *m, struct model_at dir)
{
	struct model_listing at = { 0, 0 };
	struct model_entry entry;
	int n = 0;

	while (model_list(m, dir, &at, &entry))
		n++;
	return n;
}

bool world_same_listing(
	const struct model *m, struct model_at dir, const char *records, ssize_t len, bool sorted)
{
	const char *before = "";
	int n = 0, dots = 0, node;

	for (ssize_t at = 0; at < len;) {
		const struct raw_dirent *raw = (const struct raw_dirent *)(records + at);

		at += raw->reclen;
		if (!strcmp(raw->name, ".") || !strcmp(raw->name, "..")) {
			dots++;
			if (raw->type != DT_DIR)
				return false;
			continue;
		}
		if (sorted && strcmp(before, raw->name) >= 0)
			return false;
		before = raw->name;
		n++;
		node = model_peek(m, dir, raw->name, strlen(raw->name));
		if (node < 0 || raw->type != IFTODT(m->nodes[node].mode))
			return false;
	}
	return dots == 2 && n == count_listed(m, dir);
}
