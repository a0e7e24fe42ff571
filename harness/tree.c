// SPDX-License-Identifier: ISC
/*
 * Host trees looked at, stored in a recording and compared. Directories are read one after the other,
 * each opened beneath its mount without following a link. Making them again is tree_copy.c.
 */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nettle/sha2.h>

#include "beneath.h"
#include "cleanup.h"
#include "err.h"
#include "escape.h"
#include "inode.h"
#include "trace_write.h"

_Static_assert(TRACE_HASH_LEN == SHA256_DIGEST_SIZE, "a hash is a SHA-256");

enum { PIECE = 65536, MODE_BITS = 07777 };

const uint8_t tree_unknown[TRACE_HASH_LEN];

void tree_hash(const void *data, size_t len, uint8_t hash[TRACE_HASH_LEN])
{
	struct sha256_ctx sha;

	sha256_init(&sha);
	sha256_update(&sha, len, data);
	sha256_digest(&sha, TRACE_HASH_LEN, hash);
}

static void free_entry(struct tree_entry *entry)
{
	free((void *)(uintptr_t)entry->path);
	free((void *)(uintptr_t)entry->target);
}

void tree_finish(struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		free_entry(&tree->entries[i]);
	free(tree->entries);
	*tree = (struct tree){ 0 };
}

const char *tree_name(const struct tree_entry *entry, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = 0;
	escape_bytes(buf, size, &used, entry->path, entry->path_len);
	return buf;
}

/* A copy with a NUL behind it, which does not count. */
static uint8_t *copy_bytes(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len + 1);

	if (!copy)
		return NULL;
	if (len)
		memcpy(copy, bytes, len);
	copy[len] = 0;
	return copy;
}

int tree_add(struct tree *tree, const struct tree_entry *entry, struct err *err)
{
	struct tree_entry *e;

	if (tree->n == tree->room) {
		size_t room = tree->room ? 2 * tree->room : 64;
		struct tree_entry *grown =
			reallocarray(tree->entries, room, sizeof(*tree->entries));

		if (!grown)
			return err_set(err, -ENOMEM, "out of memory");
		tree->entries = grown;
		tree->room = room;
	}
	e = &tree->entries[tree->n];
	*e = *entry;
	e->path = copy_bytes(entry->path, entry->path_len);
	e->target = entry->kind == TREE_LINK ? copy_bytes(entry->target, entry->target_len) : NULL;
	if (!e->path || (entry->kind == TREE_LINK && !e->target)) {
		free_entry(e);
		return err_set(err, -ENOMEM, "out of memory");
	}
	tree->n++;
	return 0;
}

static int compare_places(const struct tree_entry *a, const struct tree_entry *b)
{
	size_t n = a->path_len < b->path_len ? a->path_len : b->path_len;
	int r = n ? memcmp(a->path, b->path, n) : 0;

	if (a->mount != b->mount)
		return a->mount < b->mount ? -1 : 1;
	return r ? r : (a->path_len > b->path_len) - (a->path_len < b->path_len);
}

static int compare_entries(const void *a, const void *b)
{
	return compare_places(a, b);
}

void tree_sort(struct tree *tree)
{
	if (tree->n)
		qsort(tree->entries, tree->n, sizeof(*tree->entries), compare_entries);
}

/* An object that may have more names than the one that was found. */
struct named {
	struct inode inode;
	size_t entry;
};

/* One look: what is being looked at, and how much was read. */
struct look {
	struct tree *tree;
	struct named *named;
	size_t n_named, named_room;
	bool one_mount;
	const volatile sig_atomic_t *stop;
	const struct trace_mount *mount;
	uint32_t index;
	int root; /* O_PATH */
	uint64_t limit, total;
	struct err *err;
};

static int say(const struct look *l, int r, const char *path, const char *why)
{
	char text[200];
	size_t used = 0;

	text[0] = 0;
	escape_bytes(text, sizeof(text), &used, path, strlen(path));
	return err_set(
		l->err, r, "mount %s: %s%s%s", l->mount->host, text, text[0] ? ": " : "", why);
}

static int over_limit(const struct look *l)
{
	return err_set(l->err, -EFBIG,
		"mount %s: the mounts' files hold more than %llu bytes in all", l->mount->host,
		(unsigned long long)l->limit);
}

static int interrupted(const struct look *l)
{
	return l->stop && *l->stop
		       ? err_set(l->err, -EINTR, "mount %s: interrupted", l->mount->host)
		       : 0;
}

static int hash_file(struct look *l, int fd, const char *path, struct tree_entry *entry)
{
	struct sha256_ctx sha;
	uint8_t piece[PIECE];
	ssize_t n;

	sha256_init(&sha);
	entry->size = 0;
	while ((n = read(fd, piece, sizeof(piece))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return say(l, -errno, path, strerror(errno));
		l->total += (uint64_t)n;
		if (l->limit && l->total > l->limit)
			return over_limit(l);
		if (interrupted(l))
			return -EINTR;
		entry->size += (uint64_t)n;
		sha256_update(&sha, (size_t)n, piece);
	}
	sha256_digest(&sha, TRACE_HASH_LEN, entry->hash);
	return 0;
}

/* fd is of a regular file. What may not be read, the guest could not read either: its size is kept. */
static int look_at_file(
	struct look *l, int fd, const char *path, const struct stat *st, struct tree_entry *entry)
{
	if (l->limit && (uint64_t)st->st_size > l->limit - l->total)
		return over_limit(l);
	if (fd >= 0)
		return hash_file(l, fd, path, entry);
	entry->size = (uint64_t)st->st_size;
	l->total += entry->size;
	memcpy(entry->hash, tree_unknown, sizeof(entry->hash));
	return 0;
}

static int open_file(struct look *l, const char *path)
{
	int flags = O_RDONLY | O_NONBLOCK;

	if (path[0])
		return beneath_open(l->root, path, flags, 0);
	/* The mapped file itself: the one name that may be a link. */
	flags = open(l->mount->host, flags | O_CLOEXEC | O_NOCTTY);
	return flags < 0 ? -errno : flags;
}

static int look_at_link(struct look *l, const char *path, uint8_t *target, struct tree_entry *entry)
{
	autoclose int fd = beneath_open(l->root, path, O_PATH | O_NOFOLLOW, 0);
	ssize_t n = fd < 0 ? fd : readlinkat(fd, "", (char *)target, PATH_MAX);

	if (fd == -EACCES) { /* nobody can follow it */
		target[0] = '?';
		n = 1;
	}
	if (n < 0)
		return say(l, fd < 0 ? fd : -errno, path, strerror(fd < 0 ? -fd : errno));
	entry->target = target;
	entry->target_len = (size_t)n;
	return 0;
}

static enum tree_kind kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return TREE_FILE;
	case S_IFDIR:
		return TREE_DIR;
	case S_IFLNK:
		return TREE_LINK;
	case S_IFIFO:
		return TREE_FIFO;
	case S_IFSOCK:
		return TREE_SOCKET;
	}
	return TREE_DEVICE;
}

/* Notes the object of the entry to come: other names may have been found, or will be. */
static int note_object(struct look *l, const struct stat *st, struct tree_entry *entry)
{
	if (entry->kind == TREE_DIR || !st->st_nlink || (st->st_nlink == 1 && l->one_mount))
		return 0;
	if (l->n_named == l->named_room) {
		size_t room = l->named_room ? 2 * l->named_room : 64;
		void *grown = reallocarray(l->named, room, sizeof(*l->named));

		if (!grown)
			return err_set(l->err, -ENOMEM, "out of memory");
		l->named = grown;
		l->named_room = room;
	}
	l->named[l->n_named++] = (struct named){ .inode = { st->st_dev, st->st_ino } };
	entry->same = l->n_named; /* until join_names */
	return 0;
}

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int r = compare_inodes(&x->inode, &y->inode);

	return r ? r : (x->entry > y->entry) - (x->entry < y->entry);
}

/* The tree is sorted: each entry of an object gets the number of the first. */
static void join_names(struct look *l)
{
	struct tree_entry *entries = l->tree->entries;
	const struct named *first = l->named;

	for (size_t i = 0; i < l->tree->n; i++) {
		if (entries[i].same)
			l->named[entries[i].same - 1].entry = i;
		entries[i].same = 0;
	}
	if (!l->n_named)
		return;
	qsort(l->named, l->n_named, sizeof(*l->named), compare_named);
	for (const struct named *at = l->named; at < l->named + l->n_named; at++) {
		if (compare_inodes(&at->inode, &first->inode))
			first = at;
		/* What was written to between two looks is kept as it was seen. */
		if (at != first && tree_entry_same(&entries[at->entry], &entries[first->entry]))
			entries[at->entry].same = first->entry + 1;
	}
}

/* Adds the object at path, whose stat is st; xdev: of another mount, which is not entered. */
static int look_at(struct look *l, const char *path, const struct stat *st, bool xdev)
{
	struct tree_entry entry = { .kind = kind_of(st->st_mode),
		.mount = l->index,
		.xdev = xdev,
		.mode = st->st_mode & MODE_BITS,
		.path = (const uint8_t *)path,
		.path_len = strlen(path) };
	uint8_t target[PATH_MAX];
	struct stat now;
	int r = 0;

	if (entry.kind == TREE_FILE && !xdev) {
		autoclose int fd = open_file(l, path);

		if (fd < 0 && fd != -EACCES && fd != -EPERM)
			return say(l, fd, path, strerror(-fd));
		if (fd >= 0 && (fstat(fd, &now) || !S_ISREG(now.st_mode)))
			return say(l, -ESTALE, path, "replaced while it was looked at");
		r = look_at_file(l, fd, path, st, &entry);
	} else if (entry.kind == TREE_LINK) {
		r = look_at_link(l, path, target, &entry);
	}
	if (!r && !xdev)
		r = note_object(l, st, &entry);
	return r ? r : tree_add(l->tree, &entry, l->err);
}

static int look_at_name(struct look *l, int dir, const char *path, const struct dirent *d)
{
	const char *name = d->d_name;
	char full[PATH_MAX];
	struct stat st;
	int here = beneath_stat(dir, name, 0, &st);
	int r = here == -EACCES ? beneath_stat(dir, name, BENEATH_XDEV, &st) : here;
	bool xdev = here && !r;

	if (r ==
		-EACCES) { /* a directory that may be listed only: what is there is all but out of reach */
		st = (struct stat){ .st_mode = (mode_t)DTTOIF(d->d_type) };
		r = 0;
	}

	if (r == -ENOENT)
		return 0; /* gone since its name was read */
	if (r)
		return say(l, r, path, strerror(-r));
	if ((size_t)snprintf(full, sizeof(full), "%s%s%s", path, path[0] ? "/" : "", name) >=
		sizeof(full))
		return say(l, -ENAMETOOLONG, path, "names beneath it are too long");
	return look_at(l, full, &st, xdev);
}

/* What lies in one directory. One that may not be read, or is another file system's, shows nothing. */
static int look_into(struct look *l, const char *path)
{
	int fd = beneath_open(l->root, path[0] ? path : ".", O_RDONLY | O_DIRECTORY, 0);
	struct dirent *d;
	DIR *stream;
	int r = 0;

	if (fd < 0)
		return fd == -EACCES || fd == -EPERM || fd == -ENOENT
			       ? 0
			       : say(l, fd, path, strerror(-fd));
	stream = fdopendir(fd);
	if (!stream) {
		close(fd);
		return say(l, -ENOMEM, path, "out of memory");
	}
	while (!r && !(r = interrupted(l)) && (errno = 0, d = readdir(stream)))
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			r = look_at_name(l, dirfd(stream), path, d);
	if (!r && errno)
		r = say(l, -errno, path, strerror(errno));
	closedir(stream);
	return r;
}

/* The tree is its own list of what is still to be read: new directories are added behind. */
static int look_at_mount(struct look *l)
{
	size_t i = l->tree->n;
	struct stat st;
	int r;

	l->root = open(l->mount->host, O_PATH | O_CLOEXEC);
	if (l->root < 0 && errno == ENOENT && l->mount->is_file)
		return 0; /* still to be made, or unlinked */
	if (l->root < 0 || fstat(l->root, &st))
		return say(l, -errno, "", strerror(errno));
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return say(l, -EINVAL, "", "neither a directory nor a regular file");
	r = look_at(l, "", &st, false);
	for (; !r && i < l->tree->n; i++)
		if (l->tree->entries[i].kind == TREE_DIR)
			r = look_into(l, (const char *)l->tree->entries[i].path);
	return r;
}

/* Is what the mount maps the very object that its cover has there? What links make of paths is not in their text. */
static bool is_covered(const struct trace_mount *mounts, size_t i, const struct tree_cover *cover)
{
	autoclose int own = -1, dir = -1, there = -1;
	struct stat a, b;

	if (!cover->rest)
		return false;
	own = open(mounts[i].host, O_PATH | O_CLOEXEC);
	dir = open(mounts[cover->mount].host, O_PATH | O_CLOEXEC);
	there = cover->rest[0] ? beneath_open(dir, cover->rest, O_PATH, 0) : dup(dir);
	return own >= 0 && there >= 0 && !fstat(own, &a) && !fstat(there, &b) && same_inode(&a, &b);
}

int tree_look(struct tree *tree, const struct trace_mount *mounts, size_t n_mounts, uint64_t limit,
	struct err *err)
{
	return tree_look_until(tree, mounts, n_mounts, limit, NULL, err);
}

int tree_look_until(struct tree *tree, const struct trace_mount *mounts, size_t n_mounts,
	uint64_t limit, const volatile sig_atomic_t *stop, struct err *err)
{
	struct look l = {
		.tree = tree, .one_mount = n_mounts == 1, .limit = limit, .stop = stop, .err = err
	};
	struct tree_cover *covers;
	int r = tree_find_covers(&covers, mounts, n_mounts, err);

	*tree = (struct tree){ 0 };
	if (r)
		return r;
	for (size_t i = 0; !r && i < n_mounts; i++) {
		if (is_covered(mounts, i, &covers[i]))
			continue;
		l.mount = &mounts[i];
		l.index = (uint32_t)i;
		r = look_at_mount(&l);
		if (l.root >= 0)
			close(l.root);
	}
	tree_drop_covers(covers, n_mounts);
	if (r)
		tree_finish(tree);
	tree_sort(tree);
	if (!r)
		join_names(&l);
	free(l.named);
	return r;
}

/* The whole file, again, as it was when it was looked at. */
static int read_again(const struct tree_entry *entry, const struct trace_mount *mount,
	uint8_t **bytes, struct err *err)
{
	struct look l = { .mount = mount, .err = err, .root = -1 };
	const char *path = (const char *)entry->path;
	autofree uint8_t *buf = malloc(entry->size + 1);
	autoclose int root = open(mount->host, O_PATH | O_CLOEXEC);
	uint8_t hash[TRACE_HASH_LEN];
	size_t len = 0;
	ssize_t n = 1;

	if (!buf || root < 0)
		return say(&l, buf ? -errno : -ENOMEM, path, strerror(buf ? errno : ENOMEM));
	l.root = root;
	autoclose int fd = open_file(&l, path);
	if (fd < 0)
		return say(&l, fd, path, strerror(-fd));
	while (n && len <= entry->size) {
		n = read(fd, buf + len, entry->size + 1 - len);
		if (n < 0 && errno != EINTR)
			return say(&l, -errno, path, strerror(errno));
		len += n > 0 ? (size_t)n : 0;
	}
	tree_hash(buf, len, hash);
	if (len != entry->size || memcmp(hash, entry->hash, sizeof(hash)) != 0)
		return say(&l, -ESTALE, path,
			"changed while it was recorded; keep others from writing there");
	*bytes = buf;
	buf = NULL;
	return 0;
}

static int store_blob(const struct tree_entry *entry, const struct trace_mount *mount,
	struct trace_writer *w, struct err *err)
{
	struct trace_record blob = { .kind = TRACE_BLOB, .tree = *entry, .in_len = entry->size };
	autofree uint8_t *bytes = NULL;
	int r = read_again(entry, mount, &bytes, err);

	if (r)
		return r;
	blob.in = bytes;
	r = trace_writer_put(w, &blob);
	return r ? err_set(err, r, "recording the mounts' files: %s", strerror(-r)) : 0;
}

static int compare_hashes(const void *a, const void *b)
{
	const struct tree_entry *x = *(struct tree_entry *const *)a;
	const struct tree_entry *y = *(struct tree_entry *const *)b;
	int r = memcmp(x->hash, y->hash, TRACE_HASH_LEN);

	return r ? r : (x > y) - (x < y); /* the first of equals comes first */
}

static bool has_blob(const struct tree_entry *entry)
{
	return entry->kind == TREE_FILE && entry->size &&
	       memcmp(entry->hash, tree_unknown, TRACE_HASH_LEN) != 0;
}

int tree_store(const struct tree *tree, const struct trace_mount *mounts, struct trace_writer *w,
	struct err *err)
{
	autofree struct tree_entry **files = calloc(tree->n + 1, sizeof(struct tree_entry *));
	size_t n = 0;
	int r = 0;

	if (!files)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < tree->n; i++)
		if (has_blob(&tree->entries[i]))
			files[n++] = &tree->entries[i];
	qsort(files, n, sizeof(struct tree_entry *), compare_hashes);
	for (size_t i = 0; !r && i < n; i++)
		if (!i || memcmp(files[i]->hash, files[i - 1]->hash, TRACE_HASH_LEN) != 0)
			r = store_blob(files[i], &mounts[files[i]->mount], w, err);
	for (size_t i = 0; !r && i < tree->n; i++) {
		struct trace_record before = { .kind = TRACE_BEFORE, .tree = tree->entries[i] };

		r = trace_writer_put(w, &before);
		if (r)
			err_set(err, r, "recording the mounts' files: %s", strerror(-r));
	}
	return r;
}

bool tree_entry_same(const struct tree_entry *a, const struct tree_entry *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == TREE_LINK)
		return a->target_len == b->target_len &&
		       !memcmp(a->target, b->target, a->target_len);
	if (a->kind == TREE_FILE &&
		(a->size != b->size || memcmp(a->hash, b->hash, TRACE_HASH_LEN) != 0))
		return false;
	return a->kind == TREE_NONE || a->mode == b->mode;
}

int tree_diff(
	const struct tree *before, const struct tree *after, struct tree *diff, struct err *err)
{
	const struct tree_entry *a, *b;
	size_t i = 0, k = 0;
	int r = 0;

	*diff = (struct tree){ 0 };
	while (!r && tree_next_pair(before, &i, &b, after, &k, &a)) {
		if (!a)
			r = tree_add(diff,
				&(struct tree_entry){ .kind = TREE_NONE,
					.mount = b->mount,
					.path = b->path,
					.path_len = b->path_len },
				err);
		else if (!b || !tree_entry_same(a, b))
			r = tree_add(diff, a, err);
	}
	if (r)
		tree_finish(diff);
	return r;
}

bool tree_next_pair(const struct tree *a, size_t *at_a, const struct tree_entry **entry_a,
	const struct tree *b, size_t *at_b, const struct tree_entry **entry_b)
{
	int order;

	*entry_a = *at_a < a->n ? &a->entries[*at_a] : NULL;
	*entry_b = *at_b < b->n ? &b->entries[*at_b] : NULL;
	if (!*entry_a && !*entry_b)
		return false;
	order = !*entry_a ? 1 : !*entry_b ? -1 : compare_places(*entry_a, *entry_b);
	if (order > 0)
		*entry_a = NULL;
	if (order < 0)
		*entry_b = NULL;
	*at_a += order <= 0;
	*at_b += order >= 0;
	return true;
}
