// SPDX-License-Identifier: ISC
/*
 * Resolving guest paths.
 *
 * How this works: the names of all mappings form a tree (filemap_path.c), and every node of it holds
 * a host directory or file open. A path first descends that tree, component by component, without
 * a system call; the deepest node's directory anchors the rest.
 *
 * The fast path, for a path without `..`: one openat2 of all but the last component beneath the
 * anchor, in which the kernel may follow no link. Where there is none, that is the whole truth.
 *
 * The walk, for everything else: one component at a time over a stack of held directories, so that
 * `..` is a pop and never the kernel's. At each name the tree comes first, so that a mapping also
 * wins when it is reached through a link or `..`. A link is read, its text put before what is left
 * of the path; an absolute one starts again at the guest's root.
 *
 * Either way ends at (directory, one name). The rights are those of the mapping it lies in.
 */
#include "filemap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "beneath.h"
#include "fileid.h"

/* Beside 0 and -errno, from the steps below. */
enum { STEP_ON = 1, STEP_LINK = 2 };

int filemap_look(struct filemap_place *place)
{
	bool by_name = place->node != FILEMAP_NONE;
	int r = beneath_stat(place->dir, place->name, !by_name, &place->st);

	place->exists = !r;
	if (!r && by_name && !S_ISREG(place->st.st_mode))
		return S_ISLNK(place->st.st_mode) ? -ELOOP : -EACCES; /* a file was mapped */
	return r == -ENOENT ? 0 : r;
}

int filemap_open(const struct filemap_place *place, int flags, mode_t mode)
{
	if (place->kind == FILEMAP_DIR)
		return beneath_open(place->dir, ".", flags | O_DIRECTORY, 0);
	if (place->node != FILEMAP_NONE)
		return beneath_open_mapped(place->dir, place->name, flags | O_NOFOLLOW, mode);
	return beneath_open(place->dir, place->name, flags | O_NOFOLLOW, mode);
}

bool filemap_parent_writable(const struct filemap *map, int node)
{
	return map->nodes[map->tree.nodes[node].parent].writable;
}

static int place_node(const struct filemap *map, int i, bool slash, unsigned int want,
	struct filemap_place *place)
{
	const struct filemap_node *node = &map->nodes[i];

	if (slash && want & FILEMAP_CREATE)
		return -EISDIR;
	place->kind = node->kind;
	place->dir = node->fd;
	place->node = i;
	place->writable = node->writable;
	place->slash = slash;
	if (node->kind != FILEMAP_NAME)
		return 0;
	strcpy(place->name, node->host_name);
	return want & FILEMAP_PARENT ? 0 : filemap_look(place);
}

/* place->dir, writable and slash are set. STEP_LINK: there is a link, and it is to be followed. */
static int place_name(struct filemap_name name, unsigned int want, struct filemap_place *place)
{
	int r;

	if (name.len > FILEMAP_NAME_MAX)
		return -ENAMETOOLONG;
	if (place->slash && want & FILEMAP_CREATE)
		return -EISDIR;
	place->kind = FILEMAP_NAME;
	place->node = FILEMAP_NONE;
	memcpy(place->name, name.text, name.len);
	place->name[name.len] = 0;
	if (want & FILEMAP_PARENT)
		return 0;
	r = filemap_look(place);
	if (r)
		return r;
	if (place->exists && S_ISLNK(place->st.st_mode) && (want & FILEMAP_FOLLOW || place->slash))
		return STEP_LINK;
	return 0;
}

/* Cuts the last component off text, which begins a path beneath anchor, and removes it. */
static void remove_last(int anchor, char *text)
{
	char *slash = strrchr(text, '/');
	char *name = slash ? slash + 1 : text;
	int dir = anchor;

	if (slash) {
		*slash = 0;
		dir = text[0] ? beneath_open(anchor, text, O_PATH | O_DIRECTORY, 0) : -ENOENT;
	}
	if (dir >= 0)
		unlinkat(dir, name, AT_REMOVEDIR);
	if (dir >= 0 && dir != anchor)
		close(dir);
	if (!slash)
		*name = 0;
}

static void trim(char *text)
{
	size_t n = strlen(text);

	while (n && (text[n - 1] == '/' || (text[n - 1] == '.' && (n == 1 || text[n - 2] == '/'))))
		text[--n] = 0;
}

static void unmake_parents(const struct filemap *map, struct filemap_place *place)
{
	*place->made_end = 0;
	for (; place->made; place->made--) {
		trim(place->made_text);
		remove_last(map->nodes[place->made_in].fd, place->made_text);
	}
}

static int make_parent(
	const struct filemap *map, int dir, struct filemap_name part, struct filemap_place *place)
{
	char name[FILEMAP_NAME_MAX + 1];
	bool made = false;
	struct stat st;
	int fd;

	if (part.len > FILEMAP_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, part.text, part.len);
	name[part.len] = 0;
	if (mkdirat(dir, name, 0755)) {
		if (errno != EEXIST)
			return -errno;
	} else {
		made = true;
		place->made++;
		place->made_end = place->made_text + (part.text + part.len - place->made_text);
	}
	fd = beneath_open(dir, name, O_PATH | O_DIRECTORY, 0);
	if (made && map->ids && fd >= 0 && !fstat(fd, &st))
		fileid_renew(map->ids, st.st_dev, st.st_ino);
	return fd;
}

/* The directories named by text beneath a node in scratch. The last one, or -errno and none made. */
static int make_parents(
	const struct filemap *map, int node, char *text, struct filemap_place *place)
{
	const char *at = text;
	struct filemap_name part;
	int fd = map->nodes[node].fd;
	int next;

	place->made_in = node;
	place->made_text = place->made_end = text;
	while (fd >= 0 && filemap_path_next(&at, &part)) {
		if (filemap_name_is_dot(part))
			continue;
		next = make_parent(map, fd, part, place);
		if (fd != map->nodes[node].fd)
			close(fd);
		fd = next;
	}
	if (fd < 0 && place->made)
		unmake_parents(map, place);
	return fd;
}

/* rest is what lies beneath the node; last is the last of it. */
static int fast_beneath(const struct filemap *map, int node, char *rest, struct filemap_name last,
	unsigned int want, struct filemap_place *place)
{
	char *cut = rest + (last.text - rest) - 1;
	bool make;
	int r;

	place->dir = map->nodes[node].fd;
	place->writable = map->nodes[node].writable;
	place->slash = last.text[last.len] == '/';
	if (last.text != rest) {
		*cut = 0;
		r = beneath_open(place->dir, rest, O_PATH | O_DIRECTORY, 0);
		make = map->nodes[node].scratch &&
		       (want & FILEMAP_MKDIR || (want & FILEMAP_CREATE && !place->slash));
		if (r == -ENOENT && make)
			r = last.len > FILEMAP_NAME_MAX ? -ENAMETOOLONG
							: make_parents(map, node, rest, place);
		*cut = '/';
		if (r == -ELOOP)
			return STEP_LINK;
		if (r < 0)
			return r;
		place->dir = r;
		place->owned = true;
	}
	return place_name(last, want, place);
}

/* STEP_LINK: this needs the walk. */
static int resolve_fast(
	const struct filemap *map, char *text, unsigned int want, struct filemap_place *place)
{
	struct filemap_name name, last = { 0 };
	int node = FILEMAP_ROOT, child;
	const char *at = text;
	char *rest = NULL;
	bool dot = false;

	while (filemap_path_next(&at, &name)) {
		if (filemap_name_is_dotdot(name))
			return STEP_LINK;
		dot = filemap_name_is_dot(name);
		if (dot)
			continue;
		if (!rest) {
			child = filemap_tree_child(&map->tree, node, name);
			if (child != FILEMAP_NONE) {
				node = child;
				continue;
			}
			rest = text + (name.text - text);
		}
		last = name;
	}
	if (dot) /* asks for a directory, and more: that it can be searched */
		return STEP_LINK;
	if (!rest) {
		place->dots = node == FILEMAP_ROOT;
		return place_node(map, node, !place->dots && at[-1] == '/', want, place);
	}
	if (map->nodes[node].kind != FILEMAP_DIR)
		return -ENOTDIR;
	if (map->nodes[node].n_shadows)
		return STEP_LINK;
	return fast_beneath(map, node, rest, last, want, place);
}

static void unwind(struct filemap *map, int depth)
{
	while (map->depth > depth) {
		const struct filemap_level *level = &map->levels[--map->depth];

		if (level->node == FILEMAP_NONE && level->fd >= 0)
			close(level->fd);
	}
}

static int push(struct filemap *map, int fd, int node, bool writable)
{
	if (map->depth == FILEMAP_DEPTH_MAX) {
		if (node == FILEMAP_NONE)
			close(fd);
		return -ENAMETOOLONG;
	}
	map->levels[map->depth++] =
		(struct filemap_level){ .fd = fd, .node = node, .writable = writable };
	return STEP_ON;
}

static int push_node(struct filemap *map, int node)
{
	return push(map, map->nodes[node].fd, node, map->nodes[node].writable);
}

/*
 * The child of a node that covers this very object of the host's: it can be reached by another
 * spelling where the host's directory folds case. A file with more names is no alias but a hard link.
 */
static int shadow_of(const struct filemap *map, int node, const struct stat *st)
{
	if (!S_ISDIR(st->st_mode) && st->st_nlink > 1)
		return FILEMAP_NONE;
	for (int i = map->tree.nodes[node].first_child; i; i = map->tree.nodes[i].next_sibling)
		if (map->nodes[i].has_shadow && map->nodes[i].shadow_ino == st->st_ino &&
			map->nodes[i].shadow_dev == st->st_dev)
			return i;
	return FILEMAP_NONE;
}

static bool has_shadows(const struct filemap *map, const struct filemap_level *level)
{
	return level->node != FILEMAP_NONE && map->nodes[level->node].n_shadows;
}

static int walk_node(struct filemap *map, int node, bool last, bool slash, unsigned int want,
	struct filemap_place *place)
{
	if (last)
		return place_node(map, node, slash, want, place);
	if (map->nodes[node].kind != FILEMAP_DIR)
		return -ENOTDIR;
	return push_node(map, node);
}

static int walk_down(struct filemap *map, const char *name)
{
	const struct filemap_level *top = &map->levels[map->depth - 1];
	int child = FILEMAP_NONE;
	int fd = beneath_open(top->fd, name, O_PATH | O_DIRECTORY, 0);
	struct stat st;

	if (fd == -ELOOP)
		return STEP_LINK;
	if (fd < 0)
		return fd;
	if (has_shadows(map, top) && !fstat(fd, &st))
		child = shadow_of(map, top->node, &st);
	if (child == FILEMAP_NONE)
		return push(map, fd, FILEMAP_NONE, top->writable);
	close(fd);
	return walk_node(map, child, false, false, 0, NULL);
}

static int walk_last(struct filemap *map, struct filemap_name name, bool slash, unsigned int want,
	struct filemap_place *place)
{
	struct filemap_level *top = &map->levels[map->depth - 1];
	int r, child;

	place->dir = top->fd;
	place->writable = top->writable;
	place->slash = slash;
	r = place_name(name, want, place);
	if (r)
		return r;
	if (has_shadows(map, top)) {
		r = filemap_look(place);
		if (r)
			return r;
		child = place->exists ? shadow_of(map, top->node, &place->st) : FILEMAP_NONE;
		if (child != FILEMAP_NONE)
			return walk_node(map, child, true, slash, want, place);
	}
	place->owned = top->node == FILEMAP_NONE;
	if (place->owned)
		top->fd = -1;
	return 0;
}

/* The text of a link goes before what is left of the path. */
static int splice_link(struct filemap *map, const char *name, char **at)
{
	char body[PATH_MAX];
	ssize_t n = readlinkat(map->levels[map->depth - 1].fd, name, body, sizeof(body));

	if (n < 0)
		return errno == EINVAL ? -EAGAIN : -errno; /* it was a link a moment ago */
	if (n == 0)
		return -ENOENT;
	if (n == sizeof(body) || n > *at - map->text)
		return -ENAMETOOLONG;
	*at -= n;
	memcpy(*at, body, (size_t)n);
	if (body[0] == '/')
		unwind(map, 1);
	return STEP_ON;
}

static int walk_end(struct filemap *map, unsigned int want, struct filemap_place *place)
{
	struct filemap_level *top = &map->levels[map->depth - 1];

	place->dots = true;
	if (top->node != FILEMAP_NONE)
		return place_node(map, top->node, false, want, place);
	place->kind = FILEMAP_DIR;
	place->dir = top->fd;
	place->node = FILEMAP_NONE;
	place->writable = top->writable;
	place->slash = false;
	place->owned = true;
	top->fd = -1;
	return 0;
}

static int walk_step(
	struct filemap *map, char **at, int *links, unsigned int want, struct filemap_place *place)
{
	const struct filemap_level *top = &map->levels[map->depth - 1];
	char copy[FILEMAP_NAME_MAX + 1];
	struct filemap_name name;
	const char *next = *at;
	bool last, slash;
	int r, child = FILEMAP_NONE;

	if (!filemap_path_next(&next, &name))
		return walk_end(map, want, place);
	*at += next - *at;
	if (filemap_name_is_dot(name))
		return STEP_ON;
	if (filemap_name_is_dotdot(name)) {
		unwind(map, map->depth > 1 ? map->depth - 1 : 1);
		return STEP_ON;
	}
	if (name.len > FILEMAP_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(copy, name.text, name.len);
	copy[name.len] = 0;
	slash = **at == '/';
	last = !(*at)[strspn(*at, "/")];
	if (top->node != FILEMAP_NONE)
		child = filemap_tree_child(&map->tree, top->node, name);
	if (child != FILEMAP_NONE)
		r = walk_node(map, child, last, slash, want, place);
	else if (last)
		r = walk_last(map, name, slash, want, place);
	else
		r = walk_down(map, copy);
	if (r != STEP_LINK)
		return r;
	return ++*links > FILEMAP_LINKS_MAX ? -ELOOP : splice_link(map, copy, at);
}

static int resolve_walk(
	struct filemap *map, char *text, unsigned int want, struct filemap_place *place)
{
	int links = 0;
	int r;

	map->depth = 0;
	r = push_node(map, FILEMAP_ROOT);
	while (r == STEP_ON)
		r = walk_step(map, &text, &links, want, place);
	unwind(map, 0);
	return r;
}

/* The path to walk, absolute, against the end of the room: links are spliced in before it. */
static char *set_text(struct filemap *map, const char *path, size_t len)
{
	char *text = map->text + sizeof(map->text) - len - 1;

	memcpy(text, path, len + 1);
	if (path[0] == '/')
		return text;
	text -= map->cwd_len;
	return memcpy(text, map->cwd, map->cwd_len);
}

int filemap_resolve(
	struct filemap *map, const char *path, unsigned int want, struct filemap_place *place)
{
	size_t len = strnlen(path, PATH_MAX);
	char *text;
	int r;

	place->owned = false;
	place->made = 0;
	place->exists = place->dots = false;
	if (!len)
		return -ENOENT;
	if (len == PATH_MAX)
		return -ENAMETOOLONG;
	text = set_text(map, path, len);
	r = resolve_fast(map, text, want, place);
	if (r == STEP_LINK) {
		filemap_leave(map, place, false);
		r = -EAGAIN;
	}
	for (int tries = 0; r == -EAGAIN && tries < FILEMAP_TRIES; tries++) {
		set_text(map, path, len);
		r = resolve_walk(map, text, want, place);
	}
	if (r)
		filemap_leave(map, place, true);
	return r;
}

void filemap_leave(struct filemap *map, struct filemap_place *place, bool failed)
{
	if (failed && place->made)
		unmake_parents(map, place);
	if (place->owned)
		close(place->dir);
	place->owned = false;
}
