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

#include "fileid.h"
#include "hostfs.h"

/* Beside 0 and -errno, from the steps below. */
enum { STEP_ON = 1, STEP_LINK = 2 };

static unsigned int how_of(const struct filemap *map, const struct filemap_place *place)
{
	return place->node != FILEMAP_NONE ? (unsigned int)HOSTFS_XDEV : map->nodes[place->in].how;
}

/* lstat of what must be shown, or of a path of several names by a host that would follow links on the way. */
static int look_through(
	const struct filemap *map, int dir, const char *path, unsigned int how, struct stat *st)
{
	const struct hostfs *host = map->host;
	int fd = filemap_shown(host, how, host->open(dir, path, O_PATH | O_NOFOLLOW, 0, how));
	int r;

	if (fd < 0)
		return fd;
	r = host->fstat(fd, st);
	host->close(fd);
	return r;
}

int filemap_look(const struct filemap *map, struct filemap_place *place)
{
	const struct filemap_node *in = &map->nodes[place->in];
	bool by_name = place->node != FILEMAP_NONE;
	bool in_one = by_name || (!in->how && (place->name == place->last || in->isolated));
	unsigned int how = how_of(map, place);
	int r = in_one ? map->host->stat(place->dir, place->name, how, &place->st)
		       : look_through(map, place->dir, place->name, how, &place->st);

	place->exists = !r;
	if (!r && by_name && !S_ISREG(place->st.st_mode))
		return S_ISLNK(place->st.st_mode) ? -ELOOP : -EACCES; /* a file was mapped */
	return r == -ENOENT ? 0 : r;
}

int filemap_open(
	const struct filemap *map, const struct filemap_place *place, int flags, mode_t mode)
{
	unsigned int how = how_of(map, place);

	if (place->kind == FILEMAP_DIR)
		return map->host->open(place->dir, ".", flags | O_DIRECTORY, 0, 0);
	return filemap_shown(map->host, how,
		map->host->open(place->dir, place->name, flags | O_NOFOLLOW, mode, how));
}

bool filemap_parent_writable(const struct filemap *map, int node)
{
	return map->nodes[map->tree.nodes[node].parent].writable;
}

/* What comes of a path that goes on behind a mapped file, which may be missing. */
static int behind_file(const struct filemap *map, int i)
{
	const struct filemap_node *node = &map->nodes[i];
	struct stat st;
	int r = 0;

	if (node->kind == FILEMAP_NAME)
		r = map->host->stat(node->fd, node->host_name, HOSTFS_XDEV, &st);
	return r ? r : -ENOTDIR;
}

static int place_node(const struct filemap *map, int i, bool slash, unsigned int want,
	struct filemap_place *place)
{
	const struct filemap_node *node = &map->nodes[i];

	if (slash && want & FILEMAP_CREATE)
		return -EISDIR;
	place->kind = node->kind;
	place->dir = node->fd;
	place->node = place->in = i;
	place->writable = node->writable;
	place->slash = slash;
	if (node->kind != FILEMAP_NAME)
		return 0;
	place->name = node->host_name;
	return want & FILEMAP_PARENT ? 0 : filemap_look(map, place);
}

static void place_in(const struct filemap *map, int node, struct filemap_place *place)
{
	place->in = node;
	place->writable = map->nodes[node].writable;
}

static bool is_to_follow(const struct filemap_place *place, unsigned int want)
{
	return place->exists && S_ISLNK(place->st.st_mode) && !(want & FILEMAP_PARENT) &&
	       (want & FILEMAP_FOLLOW || place->slash);
}

/* r, unless dir may not be searched: whatever there is to say of a name in it, that comes first. */
static int searched(const struct filemap *map, int dir, int r)
{
	struct stat st;
	int denied = map->host->stat(dir, ".", HOSTFS_XDEV, &st);

	return denied ? denied : r;
}

/* place->dir, in and slash are set. STEP_LINK: there is a link, and it is to be followed. */
static int place_name(const struct filemap *map, struct filemap_name name, unsigned int want,
	struct filemap_place *place)
{
	int r;

	if (place->slash && want & FILEMAP_CREATE)
		return searched(map, place->dir, -EISDIR);
	if (name.len > FILEMAP_NAME_MAX) /* what is to be unlinked is looked for last of all */
		return searched(map, place->dir,
			want == FILEMAP_PARENT && !place->writable ? -EROFS : -ENAMETOOLONG);
	place->kind = FILEMAP_NAME;
	place->node = FILEMAP_NONE;
	memcpy(place->last, name.text, name.len);
	place->last[name.len] = 0;
	place->name = place->last;
	if (want & FILEMAP_PARENT && !map->nodes[place->in].how)
		return 0;
	r = filemap_look(map, place); /* where other mounts lie, in any case: it must be shown */
	if (r)
		return r;
	return is_to_follow(place, want) ? STEP_LINK : 0;
}

/* Cuts the last component off text, which begins a path beneath anchor, and removes it. */
static void remove_last(const struct hostfs *host, int anchor, char *text)
{
	char *slash = strrchr(text, '/');
	char *name = slash ? slash + 1 : text;
	int dir = anchor;

	if (slash) {
		*slash = 0;
		dir = text[0] ? host->open(anchor, text, O_PATH | O_DIRECTORY, 0, 0) : -ENOENT;
	}
	if (dir >= 0)
		host->unlink(dir, name, AT_REMOVEDIR);
	if (dir >= 0 && dir != anchor)
		host->close(dir);
}

static void trim(char *text)
{
	size_t n = strlen(text);

	while (n && (text[n - 1] == '/' || (text[n - 1] == '.' && (n == 1 || text[n - 2] == '/'))))
		text[--n] = 0;
}

static void unmake_parents(struct filemap *map, struct filemap_place *place)
{
	*place->made_end = 0;
	for (; place->made; place->made--, map->inodes_left++) {
		trim(place->made_text);
		remove_last(map->host, map->nodes[place->made_in].fd, place->made_text);
	}
}

static int make_parent(
	struct filemap *map, int dir, struct filemap_name part, struct filemap_place *place)
{
	const struct hostfs *host = map->host;
	char name[FILEMAP_NAME_MAX + 1];
	struct stat st;
	int fd, r;

	if (part.len > FILEMAP_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, part.text, part.len);
	name[part.len] = 0;
	/* In one that has just been made there is nothing yet. */
	fd = place->made ? -ENOENT : host->open(dir, name, O_PATH | O_DIRECTORY, 0, 0);
	if (fd != -ENOENT)
		return fd;
	r = map->inodes_left ? host->mkdir(dir, name, 0755) : -ENOSPC;
	if (r && r != -EEXIST) /* somebody else was faster */
		return r;
	if (!r) {
		map->inodes_left--;
		place->made++;
		place->made_end = place->made_text + (part.text + part.len - place->made_text);
	}
	fd = host->open(dir, name, O_PATH | O_DIRECTORY, 0, 0);
	if (!r && map->ids && fd >= 0 && !host->fstat(fd, &st))
		fileid_renew(map->ids, st.st_dev, st.st_ino);
	return fd;
}

/* The directories named by text beneath a node in scratch. The last one, or -errno and none made. */
static int make_parents(struct filemap *map, int node, char *text, struct filemap_place *place)
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
			map->host->close(fd);
		fd = next;
	}
	if (fd < 0 && place->made)
		unmake_parents(map, place);
	return fd;
}

/*
 * Something that is there, named from the anchor on: looked at, through a descriptor that can do nothing
 * where the host would follow links, so that no fifo or device is opened. 1: not there.
 */
static int fast_existing(
	const struct filemap *map, const char *rest, unsigned int want, struct filemap_place *place)
{
	int r;

	place->kind = FILEMAP_NAME;
	place->node = FILEMAP_NONE;
	place->name = rest;
	r = filemap_look(map, place);
	if (r)
		return r == -ELOOP ? STEP_LINK : r;
	if (!place->exists)
		return 1;
	return is_to_follow(place, want) ? STEP_LINK : 0;
}

/* The directory that the last component lies in, rest ending before it. */
static int fast_parent(struct filemap *map, int node, char *rest, struct filemap_name last,
	unsigned int want, struct filemap_place *place)
{
	const struct filemap_node *in = &map->nodes[node];
	bool make =
		in->scratch && (want & FILEMAP_MKDIR || (want & FILEMAP_CREATE && !place->slash));
	int fd = map->host->open(in->fd, rest, O_PATH | O_DIRECTORY, 0, in->how);

	if (fd == -ENOENT && make)
		fd = last.len > FILEMAP_NAME_MAX ? -ENAMETOOLONG
						 : make_parents(map, node, rest, place);
	if (fd == -ELOOP)
		return STEP_LINK;
	if (fd < 0)
		return fd;
	place->dir = fd;
	place->owned = true;
	return 0;
}

/* rest is what lies beneath the node; last is the last of it. */
static int fast_beneath(struct filemap *map, int node, char *rest, struct filemap_name last,
	unsigned int want, struct filemap_place *place)
{
	char *name = rest + (last.text - rest), *end = name + last.len;
	bool more = *end;
	int r;

	place_in(map, node, place);
	place->dir = map->nodes[node].fd;
	place->slash = *end == '/';
	if (name != rest && !(want & FILEMAP_PARENT) && !(want & FILEMAP_CREATE && place->slash)) {
		*end = 0;
		r = fast_existing(map, rest, want, place);
		if (r != 1)
			return r;
		if (!(want & FILEMAP_CREATE))
			return -ENOENT;
		*end = more ? '/' : 0;
	}
	if (name != rest) {
		name[-1] = 0;
		r = fast_parent(map, node, rest, last, want, place);
		name[-1] = '/';
		if (r)
			return r;
	}
	return place_name(map, last, want, place);
}

/* STEP_LINK: this needs the walk. */
static int resolve_fast(
	struct filemap *map, char *text, unsigned int want, struct filemap_place *place)
{
	struct filemap_name name, last = { 0 };
	int node = FILEMAP_ROOT, child, depth = 0;
	const char *at = text;
	char *rest = NULL;
	bool dot = false;

	while (filemap_path_next(&at, &name)) {
		if (filemap_name_is_dotdot(name))
			return STEP_LINK;
		dot = filemap_name_is_dot(name);
		if (dot)
			continue;
		depth++;
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
		return behind_file(map, node);
	if (depth - 1 > map->max_depth && map->nodes[node].scratch &&
		want & (FILEMAP_CREATE | FILEMAP_MKDIR))
		return -EDQUOT;
	if (map->nodes[node].n_shadows || map->nodes[node].how || depth - 1 > map->max_depth)
		return STEP_LINK;
	return fast_beneath(map, node, rest, last, want, place);
}

static void tell(const struct filemap *map, const struct filemap_step *step)
{
	if (map->watch)
		map->watch->step(map->watch, step);
}

static void unwind(struct filemap *map, int depth)
{
	while (map->depth > depth) {
		const struct filemap_level *level = &map->levels[--map->depth];

		if (level->node == FILEMAP_NONE && level->fd >= 0)
			map->host->close(level->fd);
	}
}

static int push(struct filemap *map, int fd, int node, int in)
{
	if (map->depth > map->max_depth) {
		if (node == FILEMAP_NONE)
			map->host->close(fd);
		return -EDQUOT;
	}
	map->levels[map->depth++] = (struct filemap_level){ .fd = fd, .node = node, .in = in };
	return STEP_ON;
}

static int push_node(struct filemap *map, int node)
{
	return push(map, map->nodes[node].fd, node, node);
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
		return behind_file(map, node);
	return push_node(map, node);
}

static int walk_down(struct filemap *map, const char *name)
{
	const struct filemap_level *top = &map->levels[map->depth - 1];
	unsigned int how = map->nodes[top->in].how;
	int fd = filemap_shown(
		map->host, how, map->host->open(top->fd, name, O_PATH | O_DIRECTORY, 0, how));
	int child = FILEMAP_NONE, r;
	struct stat st;

	if (fd == -ELOOP) { /* a link may be a mount, too */
		r = how ? look_through(map, top->fd, name, how, &st) : 0;
		return r ? r : STEP_LINK;
	}
	if (fd < 0)
		return fd;
	if (has_shadows(map, top) && !map->host->fstat(fd, &st))
		child = shadow_of(map, top->node, &st);
	if (child == FILEMAP_NONE)
		return push(map, fd, FILEMAP_NONE, top->in);
	map->host->close(fd);
	return walk_node(map, child, false, false, 0, NULL);
}

static int walk_last(struct filemap *map, struct filemap_name name, bool slash, unsigned int want,
	struct filemap_place *place)
{
	struct filemap_level *top = &map->levels[map->depth - 1];
	struct stat st;
	int r, child;

	place_in(map, top->in, place);
	place->dir = top->fd;
	place->slash = slash;
	r = place_name(map, name, want, place);
	if (r)
		return r;
	if (has_shadows(map, top) && !map->host->stat(place->dir, place->name, HOSTFS_XDEV, &st)) {
		child = shadow_of(map, top->node, &st);
		if (child != FILEMAP_NONE)
			return walk_node(map, child, true, slash, want, place);
	}
	place->owned = top->node == FILEMAP_NONE;
	if (place->owned)
		top->fd = -1;
	return 0;
}

/* The text of a link goes before what is left of the path. */
static int splice_link(struct filemap *map, struct filemap_name link, const char *name, char **at)
{
	const struct filemap_level *top = &map->levels[map->depth - 1];
	char body[PATH_MAX];
	ssize_t n = map->host->readlink(top->fd, name, body, sizeof(body));

	if (n < 0)
		return n == -EINVAL || n == -ENOENT ? -EAGAIN
						    : (int)n; /* it was a link a moment ago */
	if (n == 0)
		return -ENOENT;
	if (n == sizeof(body) || n > *at - map->text)
		return -ENAMETOOLONG;
	tell(map,
		&(struct filemap_step){ FILEMAP_STEP_LINK, link, { body, (size_t)n }, top->in, 0 });
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
	place_in(map, top->in, place);
	place->kind = FILEMAP_DIR;
	place->dir = top->fd;
	place->node = FILEMAP_NONE;
	place->slash = false;
	place->owned = true;
	top->fd = -1;
	return 0;
}

/* One component that is a name: copy is the same, terminated. */
static int walk_name(struct filemap *map, struct filemap_name name, const char *copy, char *rest,
	unsigned int want, struct filemap_place *place)
{
	const struct filemap_level *top = &map->levels[map->depth - 1];
	bool last = !rest[strspn(rest, "/")];
	int in = top->in, child = FILEMAP_NONE, r;

	if (top->node != FILEMAP_NONE)
		child = filemap_tree_child(&map->tree, top->node, name);
	if (child != FILEMAP_NONE)
		r = walk_node(map, child, last, *rest == '/', want, place);
	else if (last)
		r = walk_last(map, name, *rest == '/', want, place);
	else
		r = walk_down(map, copy);
	if (r != STEP_LINK)
		tell(map,
			&(struct filemap_step){ .kind = r < 0                   ? FILEMAP_STEP_ERROR
							: child != FILEMAP_NONE ? FILEMAP_STEP_MOUNT
										: FILEMAP_STEP_DOWN,
				.name = name,
				.in = child != FILEMAP_NONE ? child : in,
				.r = r < 0 ? r : 0 });
	return r;
}

static int walk_step(
	struct filemap *map, char **at, int *links, unsigned int want, struct filemap_place *place)
{
	char copy[FILEMAP_NAME_MAX + 1];
	struct filemap_name name, link;
	const char *next = *at;
	int r, top = map->levels[map->depth - 1].fd;

	if (!filemap_path_next(&next, &name))
		return walk_end(map, want, place);
	*at += next - *at;
	if (filemap_name_is_dot(name) || filemap_name_is_dotdot(name)) {
		r = searched(map, top, 0);
		if (r) /* even that takes the right to search the directory */
			return r;
	}
	if (filemap_name_is_dot(name))
		return STEP_ON;
	if (filemap_name_is_dotdot(name)) {
		unwind(map, map->depth > 1 ? map->depth - 1 : 1);
		tell(map, &(struct filemap_step){ FILEMAP_STEP_UP, name, { 0 },
				  map->levels[map->depth - 1].in, 0 });
		return STEP_ON;
	}
	if (name.len > FILEMAP_NAME_MAX && (*at)[strspn(*at, "/")])
		return searched(map, top, -ENAMETOOLONG);
	if (name.len > FILEMAP_NAME_MAX)
		return walk_last(map, name, **at == '/', want, place);
	memcpy(copy, name.text, name.len);
	copy[name.len] = 0;
	r = walk_name(map, name, copy, *at, want, place);
	if (r != STEP_LINK)
		return r;
	link = (struct filemap_name){ copy, name.len };
	return ++*links > FILEMAP_LINKS_MAX ? -ELOOP : splice_link(map, link, copy, at);
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

void filemap_back_off(unsigned tries)
{
	enum { PAUSES = 16 };

	for (unsigned i = 0; i < tries * PAUSES; i++)
		__builtin_ia32_pause();
}

static int resolve(struct filemap *map, const char *path, size_t len, unsigned int want,
	struct filemap_place *place)
{
	bool whole = path[0] == '/' || map->cwd_len + len < PATH_MAX; /* the host takes no more */
	int r = -EAGAIN;

	for (unsigned tries = 0; r == -EAGAIN && tries < FILEMAP_TRIES; tries++) {
		char *text = set_text(map, path, len);

		filemap_back_off(tries);
		r = whole ? resolve_fast(map, text, want, place) : STEP_LINK;
		if (r == STEP_LINK) {
			filemap_leave(map, place, false);
			set_text(map, path, len);
			r = resolve_walk(map, text, want, place);
		}
		if (r)
			filemap_leave(map, place, true);
	}
	return r;
}

/* A walk of its own, for what it has to tell. */
static void explain(struct filemap *map, const char *path, size_t len, unsigned int want)
{
	struct filemap_place place = { 0 };
	char *text = set_text(map, path, len);

	tell(map, &(struct filemap_step){ FILEMAP_STEP_START, { text, strlen(text) - len }, { 0 },
			  FILEMAP_ROOT, 0 });
	resolve_walk(map, text, want, &place);
	filemap_leave(map, &place, true);
}

int filemap_resolve(
	struct filemap *map, const char *path, unsigned int want, struct filemap_place *place)
{
	struct filemap_watch *watch = map->watch;
	size_t len = strnlen(path, PATH_MAX);
	int r;

	place->owned = false;
	place->made = 0;
	place->exists = place->dots = false;
	if (!len)
		return -ENOENT;
	if (len == PATH_MAX)
		return -ENAMETOOLONG;
	if (watch)
		explain(map, path, len, want);
	map->watch = NULL;
	r = resolve(map, path, len, want, place);
	map->watch = watch;
	return r;
}

void filemap_leave(struct filemap *map, struct filemap_place *place, bool failed)
{
	if (failed && place->made)
		unmake_parents(map, place);
	place->made = 0;
	if (place->owned)
		map->host->close(place->dir);
	place->owned = false;
}
