// SPDX-License-Identifier: ISC
/*
 * The path walk of Linux over nodes and mounts. Names in comments are the kernel's functions whose order of
 * checks is followed.
 */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "slashes.h"

enum {
	LINKS_MAX = 40,
	LARGEFILE = 0100000,
	FLAGS_KNOWN = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK |
		      O_SYNC | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | LARGEFILE | O_NOATIME,
};

/* What a path ends in, as in the kernel. */
enum last_type { LAST_NORM, LAST_ROOT, LAST_DOT, LAST_DOTDOT };

struct last {
	enum last_type type;
	const char *name;
	size_t len;
	bool slash; /* more than the name follows: slashes */
};

struct walk {
	struct model *m;
	struct model_at at;
	int links;
	bool make;    /* parents may be made */
	bool by_name; /* what has the last name is not looked at: the host makes or removes it */
	int n_made;   /* were made */
	struct last last; /* what walk_parent() left */
};

void model_init(struct model *m)
{
	m->n_nodes = 1;
	m->nodes[0] = (struct model_node){ .mode = S_IFDIR | 0755 };
	m->n_mounts = 0;
	m->n_text = 0;
	m->policy = (struct model_policy){ 0 };
	m->cwd = (struct model_at){ 0, 0 };
	m->full = false;
}

void model_copy(struct model *to, const struct model *from)
{
	memcpy(to->nodes, from->nodes, (size_t)from->n_nodes * sizeof(from->nodes[0]));
	memcpy(to->text, from->text, from->n_text);
	memcpy(to->mounts, from->mounts, (size_t)from->n_mounts * sizeof(from->mounts[0]));
	to->n_nodes = from->n_nodes;
	to->n_mounts = from->n_mounts;
	to->n_text = from->n_text;
	to->policy = from->policy;
	to->cwd = from->cwd;
	to->full = false;
}

static uint32_t keep_text(struct model *m, const char *text, size_t len)
{
	uint32_t at = m->n_text;

	if (len > MODEL_TEXT - m->n_text) {
		m->full = true;
		return 0;
	}
	memcpy(m->text + at, text, len);
	m->n_text += (uint32_t)len;
	return at;
}

int model_child(const struct model *m, int dir, const char *name, size_t len)
{
	uint32_t hash = name_hash(name, len);

	for (int i = m->nodes[dir].first; i; i = m->nodes[i].next)
		if (m->nodes[i].hash == hash && m->nodes[i].name_len == len &&
			!memcmp(m->text + m->nodes[i].name, name, len))
			return i;
	return -ENOENT;
}

int model_add(
	struct model *m, int dir, const char *name, size_t len, mode_t mode, const char *target)
{
	struct model_node *node = &m->nodes[m->n_nodes];
	size_t target_len = target ? strlen(target) : 0;

	if (!S_ISDIR(m->nodes[dir].mode))
		return -ENOTDIR;
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	if (model_child(m, dir, name, len) >= 0)
		return -EEXIST;
	if (m->n_nodes == MODEL_NODES - 1 || m->full) {
		m->full = true;
		return -ENOSPC;
	}
	*node = (struct model_node){ .mode = mode,
		.parent = dir,
		.next = m->nodes[dir].first,
		.hash = name_hash(name, len),
		.name = keep_text(m, name, len),
		.name_len = (uint16_t)len,
		.target = keep_text(m, target ? target : "", target_len),
		.target_len = (uint16_t)target_len,
		.size = (off_t)target_len };
	m->nodes[dir].first = m->n_nodes;
	return m->n_nodes++;
}

static void remove_node(struct model *m, int node)
{
	int *link = &m->nodes[m->nodes[node].parent].first;

	while (*link != node)
		link = &m->nodes[*link].next;
	*link = m->nodes[node].next;
	m->nodes[node].gone = true;
}

int model_covered(const struct model *m, struct model_at dir, const char *name, size_t len)
{
	uint32_t hash = name_hash(name, len);

	for (int i = 1; i < m->n_mounts; i++) {
		const struct model_mount *mount = &m->mounts[i];

		if (mount->parent == dir.mount && mount->dir == dir.node && mount->hash == hash &&
			mount->name_len == len && !memcmp(m->text + mount->name, name, len))
			return i;
	}
	return -1;
}

int model_mount(
	struct model *m, struct model_at dir, const char *name, size_t len, int root, bool writable)
{
	m->mounts[m->n_mounts] = (struct model_mount){ .parent = dir.mount,
		.dir = dir.node,
		.hash = name_hash(name, len),
		.name = keep_text(m, name, len),
		.name_len = (uint16_t)len,
		.root = root,
		.writable = writable };
	return m->n_mounts++;
}

static mode_t mode_of(const struct walk *w)
{
	return w->m->nodes[w->at.node].mode;
}

static struct model_at root_of(const struct model *m)
{
	return (struct model_at){ 0, m->mounts[0].root };
}

/* The node that a mount shows, or -ENOENT. */
static int mounted(const struct model *m, int mount)
{
	const struct model_mount *what = &m->mounts[mount];

	if (what->root >= 0)
		return what->root;
	return model_child(m, what->host_dir, m->text + what->host_name, what->host_name_len);
}

void model_mount_name(struct model *m, int mount, int dir, const char *name)
{
	struct model_mount *what = &m->mounts[mount];

	what->root = -1;
	what->host_dir = dir;
	what->host_name_len = (uint16_t)strlen(name);
	what->host_name = keep_text(m, name, what->host_name_len);
}

int model_peek(const struct model *m, struct model_at dir, const char *name, size_t len)
{
	int mount = model_covered(m, dir, name, len);

	return mount < 0 ? model_child(m, dir.node, name, len) : mounted(m, mount);
}

/* One name in the directory where we are; 0 and the child, or -errno. */
static int look_up(const struct walk *w, const char *name, size_t len, struct model_at *child)
{
	int mount;

	if (!S_ISDIR(mode_of(w)))
		return -ENOTDIR;
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	mount = model_covered(w->m, w->at, name, len);
	child->mount = mount < 0 ? w->at.mount : mount;
	child->node = mount < 0 ? model_child(w->m, w->at.node, name, len) : mounted(w->m, mount);
	if (child->node >= 0 && mount < 0 && w->m->nodes[child->node].foreign &&
		(w->m->policy.submounts || !w->by_name))
		return -EACCES;
	return child->node < 0 ? child->node : 0;
}

static void go_up(struct walk *w)
{
	const struct model_mount *mount = &w->m->mounts[w->at.mount];

	if (w->at.node != mount->root)
		w->at.node = w->m->nodes[w->at.node].parent;
	else if (w->at.mount)
		w->at = (struct model_at){ mount->parent, mount->dir };
}

/* Our own way: a parent that is missing in scratch, on a path without links and `..`, is made. */
static int make_parent(struct walk *w, const char *name, size_t len, struct model_at *child)
{
	const struct model_mount *mount = &w->m->mounts[w->at.mount];

	if (!w->make || w->links || !mount->scratch || model_covered(w->m, w->at, name, len) >= 0)
		return -ENOENT;
	child->mount = w->at.mount;
	child->node = model_add(w->m, w->at.node, name, len, S_IFDIR | 0755, NULL);
	if (child->node < 0)
		return child->node;
	w->n_made++;
	return 0;
}

static int walk_link(struct walk *w, struct model_at link);

/* walk_component() that is not the last: through links, whatever there is in the end. */
static int step(struct walk *w, const char *name, size_t len)
{
	struct model_at child;
	int r;

	if (len == 1 && name[0] == '.')
		return 0;
	if (len == 2 && name[0] == '.' && name[1] == '.') {
		go_up(w);
		return 0;
	}
	r = look_up(w, name, len, &child);
	if (r == -ENOENT)
		r = make_parent(w, name, len, &child);
	if (r)
		return r;
	if (S_ISLNK(w->m->nodes[child.node].mode))
		return walk_link(w, child);
	w->at = child;
	return 0;
}

static enum last_type type_of(const char *name, size_t len)
{
	if (name[0] == '.' && len == 1)
		return LAST_DOT;
	return len == 2 && name[0] == '.' && name[1] == '.' ? LAST_DOTDOT : LAST_NORM;
}

/* link_path_walk(): up to the last component, which is left in w->last. */
static int walk_parent(struct walk *w, const char *path)
{
	int r;

	if (path[0] == '/')
		w->at = root_of(w->m);
	path = skip_slashes(path);
	w->last = (struct last){ .type = LAST_ROOT };
	while (*path) {
		size_t len = name_length(path);
		const char *rest = skip_slashes(path + len);

		if (!S_ISDIR(mode_of(w)))
			return -ENOTDIR;
		if (!*rest) {
			w->last = (struct last){ type_of(path, len), path, len, path[len] };
			return 0;
		}
		r = step(w, path, len);
		if (r)
			return r;
		path = rest;
	}
	return 0;
}

static int target_of(struct walk *w, int link, char target[PATH_MAX])
{
	const struct model_node *node = &w->m->nodes[link];

	if (w->links++ == LINKS_MAX)
		return -ELOOP;
	memcpy(target, w->m->text + node->target, node->target_len);
	target[node->target_len] = 0;
	return 0;
}

/* A link in the middle: all of it is walked, its own last component too. */
static int walk_link(struct walk *w, struct model_at link)
{
	char target[PATH_MAX];
	int r = target_of(w, link.node, target);

	if (!r)
		r = walk_parent(w, target);
	if (r || w->last.type == LAST_ROOT)
		return r;
	if (!S_ISDIR(mode_of(w)))
		return -ENOTDIR;
	return step(w, w->last.name, w->last.len);
}

/* RFC 3629's table: shortest forms alone, no surrogates, nothing behind 10FFFF. */
static bool is_utf8(const char *path)
{
	const uint8_t *at = (const uint8_t *)path;

	while (*at) {
		int more = *at < 0x80   ? 0
			   : *at < 0xc2 ? -1
			   : *at < 0xe0 ? 1
			   : *at < 0xf0 ? 2
			   : *at < 0xf5 ? 3
					: -1;
		uint8_t lowest = *at == 0xe0 ? 0xa0 : *at == 0xf0 ? 0x90 : 0x80;
		uint8_t highest = *at == 0xed ? 0x9f : *at == 0xf4 ? 0x8f : 0xbf;

		if (more < 0)
			return false;
		for (at++; more; more--, at++, lowest = 0x80, highest = 0xbf)
			if (*at < lowest || *at > highest)
				return false;
	}
	return true;
}

static int begin(struct walk *w, struct model *m, const char *path)
{
	*w = (struct walk){ .m = m, .at = m->cwd };
	if (!path[0])
		return -ENOENT;
	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	return m->policy.utf8_paths && !is_utf8(path) ? -EINVAL : 0;
}

static struct model_result end(struct walk *w, int r)
{
	struct model_result result = { .r = r, .at = w->at };

	for (; r && w->n_made; w->n_made--)
		remove_node(w->m, --w->m->n_nodes);
	result.n_made = w->n_made;
	return result;
}

/* path_lookupat() */
static int walk_whole(struct walk *w, const char *path, bool follow)
{
	char target[2][PATH_MAX];
	bool directory = false;
	struct model_at child;
	int r;

	for (int turn = 0;; turn ^= 1) {
		r = walk_parent(w, path);
		if (r)
			return r;
		if (w->last.type == LAST_DOTDOT)
			go_up(w);
		if (w->last.type != LAST_NORM)
			break;
		directory |= w->last.slash;
		r = look_up(w, w->last.name, w->last.len, &child);
		if (r)
			return r;
		if (!S_ISLNK(w->m->nodes[child.node].mode) || !(follow || directory)) {
			w->at = child;
			break;
		}
		r = target_of(w, child.node, target[turn]);
		if (r)
			return r;
		path = target[turn];
	}
	return directory && !S_ISDIR(mode_of(w)) ? -ENOTDIR : 0;
}

struct model_result model_stat(struct model *m, const char *path, bool follow)
{
	struct walk w;
	int r = begin(&w, m, path);

	if (!r)
		r = walk_whole(&w, path, follow);
	return end(&w, r);
}

/* What we refuse whatever the path; 0 or -errno. */
static int check_strict(int flags)
{
	if ((flags & O_TMPFILE) == O_TMPFILE)
		return -EOPNOTSUPP;
	return flags & ~FLAGS_KNOWN || (flags & O_ACCMODE) == O_ACCMODE ? -EINVAL : 0;
}

/* The last component of an open: 1 and the target when a link is to be followed, 0, or -errno. */
static int open_last(
	struct walk *w, int flags, mode_t mode, bool *slashed, bool *created, char *target)
{
	bool excl = flags & O_CREAT && flags & O_EXCL;
	bool follow = !(flags & O_NOFOLLOW) && !excl;
	struct model_at child;
	int r;

	if (w->last.type == LAST_DOTDOT)
		go_up(w);
	if (w->last.type != LAST_NORM)
		return 0;
	if (flags & O_CREAT && w->last.slash)
		return -EISDIR;
	*slashed |= w->last.slash;
	r = look_up(w, w->last.name, w->last.len, &child);
	if (r == -ENOENT && flags & O_CREAT) {
		int mount = model_covered(w->m, w->at, w->last.name, w->last.len);
		const struct model_mount *in = &w->m->mounts[mount < 0 ? w->at.mount : mount];

		if (!in->writable)
			return -EROFS;
		child.mount = mount < 0 ? w->at.mount : mount;
		child.node = mount < 0 ? model_add(w->m, w->at.node, w->last.name, w->last.len,
						 S_IFREG | mode, NULL)
				       : model_add(w->m, in->host_dir, w->m->text + in->host_name,
						 in->host_name_len, S_IFREG | mode, NULL);
		if (child.node < 0)
			return child.node;
		w->at = child;
		w->n_made++;
		*created = true;
		return 0;
	}
	if (r)
		return r;
	if (S_ISLNK(w->m->nodes[child.node].mode) && (follow || *slashed)) {
		r = target_of(w, child.node, target);
		return r ? r : 1;
	}
	w->at = child;
	return 0;
}

/* do_open() and may_open() of what was there already. */
static int open_object(struct walk *w, int flags, bool directory)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
	mode_t mode = mode_of(w);

	if (flags & O_CREAT) {
		if (flags & O_EXCL)
			return -EEXIST;
		if (S_ISDIR(mode))
			return -EISDIR;
	}
	if ((directory || flags & O_DIRECTORY) && !S_ISDIR(mode))
		return -ENOTDIR;
	if (S_ISREG(mode) && flags & O_TRUNC && !w->m->mounts[w->at.mount].writable)
		return -EROFS;
	if (S_ISLNK(mode))
		return -ELOOP;
	if (S_ISDIR(mode))
		return writes ? -EISDIR : 0;
	if (!S_ISREG(mode)) {
		if (w->m->policy.special_enxio || S_ISSOCK(mode))
			return -ENXIO;
		return (flags & O_ACCMODE) == O_WRONLY ? -ENXIO : 0; /* a fifo without readers */
	}
	return writes && !w->m->mounts[w->at.mount].writable ? -EROFS : 0;
}

static void truncate_node(struct walk *w, struct model_result *result)
{
	struct model_node *node = &w->m->nodes[w->at.node];

	result->truncated = w->at.node;
	result->old_size = node->size;
	node->size = 0;
}

/* Is there a name at the end, and no `..` before it? Else no parents are made. */
static bool leads_to_a_name(const char *path)
{
	bool name = false;

	for (path = skip_slashes(path); *path; path = skip_slashes(path)) {
		size_t len = name_length(path);

		if (len == 2 && path[0] == '.' && path[1] == '.')
			return false;
		name = len != 1 || path[0] != '.';
		path += len;
	}
	return name;
}

struct model_result model_open(struct model *m, const char *path, int flags, mode_t mode)
{
	char target[2][PATH_MAX];
	bool slashed = false,
	     created = false; /* once a slash has followed a name, it holds for links, too */
	struct model_result result;
	struct walk w;
	int r = m->policy.strict_flags ? check_strict(flags) : 0, more = 1;

	if (r)
		return (struct model_result){ .r = r };
	if (flags & O_CREAT && flags & O_DIRECTORY)
		return (struct model_result){ .r = -EINVAL };
	r = begin(&w, m, path);
	w.make = m->policy.implicit_parents && flags & O_CREAT && leads_to_a_name(path) &&
		 path[strlen(path) - 1] != '/';
	mode &= m->policy.strip_modes ? 0755 : 07777;
	for (int turn = 0; !r && more > 0; turn ^= 1) {
		r = walk_parent(&w, path);
		if (r)
			break;
		more = open_last(&w, flags, mode, &slashed, &created, target[turn]);
		path = target[turn];
	}
	if (!r && more < 0)
		r = more;
	if (!r && !created)
		r = open_object(&w, flags, slashed);
	result = end(&w, r);
	if (!r && !created && flags & O_TRUNC && S_ISREG(mode_of(&w)))
		truncate_node(&w, &result);
	return result;
}

static int mkdir_last(struct walk *w, mode_t mode)
{
	struct model_at child;
	int r;

	if (w->last.type != LAST_NORM)
		return -EEXIST;
	w->by_name = w->m->mounts[w->at.mount].writable;
	r = look_up(w, w->last.name, w->last.len, &child);
	if (r != -ENOENT)
		return r ? r : -EEXIST;
	if (model_covered(w->m, w->at, w->last.name, w->last.len) >= 0)
		return -EACCES; /* what is mapped here, now or later, is a file */
	if (!w->m->mounts[w->at.mount].writable)
		return -EROFS;
	r = model_add(w->m, w->at.node, w->last.name, w->last.len, S_IFDIR | mode, NULL);
	if (r < 0)
		return r;
	w->at.node = r;
	w->n_made++;
	return 0;
}

struct model_result model_mkdir(struct model *m, const char *path, mode_t mode)
{
	struct walk w;
	int r = begin(&w, m, path);

	w.make = m->policy.implicit_parents && leads_to_a_name(path);
	if (!r)
		r = walk_parent(&w, path);
	if (!r)
		r = mkdir_last(&w, mode & (m->policy.strip_modes ? 0755 : 07777));
	return end(&w, r);
}

/* do_unlinkat(), may_delete(), vfs_unlink() */
static int unlink_last(struct walk *w, int *removed)
{
	struct model_at child;
	int mount, r;

	if (w->last.type != LAST_NORM)
		return -EISDIR;
	mount = model_covered(w->m, w->at, w->last.name, w->last.len);
	w->by_name = w->m->mounts[w->at.mount].writable && !w->last.slash;
	r = look_up(w, w->last.name, w->last.len, &child);
	if (r == -EACCES)
		return r;
	if (!w->m->mounts[w->at.mount].writable && !(mount >= 0 && w->m->mounts[mount].may_unlink))
		return -EROFS;
	if (r)
		return r;
	if (S_ISDIR(w->m->nodes[child.node].mode))
		return -EISDIR;
	if (w->last.slash)
		return -ENOTDIR;
	if (mount >= 0 && !w->m->mounts[mount].may_unlink)
		return -EBUSY;
	*removed = child.node;
	remove_node(w->m, child.node);
	return 0;
}

struct model_result model_unlink(struct model *m, const char *path)
{
	struct model_result result;
	struct walk w;
	int removed = 0, r = begin(&w, m, path);

	if (!r)
		r = walk_parent(&w, path);
	if (!r)
		r = unlink_last(&w, &removed);
	result = end(&w, r);
	result.removed = removed;
	return result;
}

static bool list_mount(const struct model *m, struct model_at dir, int i, struct model_entry *entry)
{
	const struct model_mount *mount = &m->mounts[i];
	int node = mounted(m, i);

	if (mount->parent != dir.mount || mount->dir != dir.node || node < 0)
		return false;
	*entry = (struct model_entry){ m->text + mount->name, mount->name_len,
		m->nodes[node].mode & S_IFMT };
	return true;
}

bool model_list(const struct model *m, struct model_at dir, struct model_listing *at,
	struct model_entry *entry)
{
	if (!at->next_mount) {
		at->next_mount = 1;
		at->next = m->nodes[dir.node].first;
	}
	while (at->next_mount < m->n_mounts)
		if (list_mount(m, dir, at->next_mount++, entry))
			return true;
	while (at->next) {
		const struct model_node *node = &m->nodes[at->next];

		*entry = (struct model_entry){ m->text + node->name, node->name_len,
			node->mode & S_IFMT };
		at->next = node->next;
		if (model_covered(m, dir, entry->name, entry->len) < 0)
			return true;
	}
	return false;
}
