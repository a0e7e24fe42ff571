// SPDX-License-Identifier: ISC
/*
 * Host trees made again in a private directory, from the records at the head of a recording or from a
 * golden's directory. Every record is hostile: a path is looked up beneath the private directory without
 * following a link, and what is made must not have been there. Mount 3 lies at DIR/3, a mapped file in it.
 */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "cleanup.h"
#include "err.h"
#include "escape.h"
#include "inode.h"
#include "scratch.h"

enum { PIECE = 65536, MODE_BITS = 07777, HEX_LEN = 2 * TRACE_HASH_LEN };

/*
 * One stored content may be in many files: what is made stays in proportion to what is stored, but for
 * this much. Bytes.
 */
static const uint64_t free_bytes = 1ull << 30;
enum { BYTES_PER_STORED = 64 };

struct tree_copy_work {
	struct scratch scratch;
	int blobs; /* O_PATH */
	struct tree_cover *covers;
	bool *made; /* there is something where mount i lies */
	struct made_dir {
		char *path; /* beneath the private directory */
		mode_t mode;
	} * dirs; /* in the order they were made: parents first */
	size_t n_dirs, room;
	struct tree
		put; /* every entry in the order it came, for those that are another name of one */
	uint64_t stored, files; /* bytes in blobs, and in the files made of them */
};

static int refuse(struct err *err, int r, const struct tree_entry *entry, const char *why)
{
	char name[200];

	return err_set(err, r, "mount %u, \"%s\": %s; the recording is damaged or made to harm",
		entry->mount, tree_name(entry, name, sizeof(name)), why);
}

static int fail(struct err *err, int r, const struct tree_entry *entry)
{
	char name[200];

	return err_set(err, r, "mount %u, \"%s\": cannot be made again: %s", entry->mount,
		tree_name(entry, name, sizeof(name)), strerror(-r));
}

/* The parent directory of all, by its real name, so that no link of it matters later. */
static int private_dir(struct tree_copy *copy, struct err *err)
{
	const char *tmp = getenv("TMPDIR");
	autofree char *parent = realpath(tmp && tmp[0] ? tmp : "/tmp", NULL);
	int r;

	if (!parent)
		return err_set(err, -errno, "%s: %s; set TMPDIR to a directory",
			tmp && tmp[0] ? tmp : "/tmp", strerror(errno));
	r = scratch_init(&copy->work->scratch, parent, err);
	if (r)
		return r;
	if (asprintf(&copy->dir, "%s/%s", parent, copy->work->scratch.name) < 0) {
		copy->dir = NULL;
		return err_set(err, -ENOMEM, "out of memory");
	}
	copy->work->blobs = scratch_subdir(copy->work->scratch.dir, "blobs");
	return copy->work->blobs < 0 ? err_set(err, copy->work->blobs, "%s: %s", copy->dir,
					       strerror(-copy->work->blobs))
				     : 0;
}

/* Where the mount lies beneath the private directory. */
static char *place_of(const struct trace_mount *mount, size_t i)
{
	char *place;

	return asprintf(&place, mount->is_file ? "%zu/file" : "%zu", i) < 0 ? NULL : place;
}

static int copy_mounts(struct tree_copy *copy, const struct trace_header *header)
{
	copy->mounts = calloc(header->n_mounts + 1, sizeof(*copy->mounts));
	copy->work->made = calloc(header->n_mounts + 1, sizeof(*copy->work->made));
	if (!copy->mounts || !copy->work->made)
		return -ENOMEM;
	while (copy->n_mounts < header->n_mounts) {
		struct trace_mount *m = &copy->mounts[copy->n_mounts];

		*m = header->mounts[copy->n_mounts];
		m->host = place_of(m, copy->n_mounts++);
		m->guest = strdup(m->guest);
		if (!m->host || !m->guest)
			return -ENOMEM;
	}
	return 0;
}

int tree_copy_init(struct tree_copy *copy, const struct trace_header *header, struct err *err)
{
	int r;

	*copy = (struct tree_copy){ .work = calloc(1, sizeof(*copy->work)) };
	if (!copy->work)
		return err_set(err, -ENOMEM, "out of memory");
	copy->work->scratch = (struct scratch){ .parent = -1, .dir = -1 };
	copy->work->blobs = -1;
	r = copy_mounts(copy, header);
	if (r)
		err_set(err, r, "out of memory");
	if (!r)
		r = tree_find_covers(&copy->work->covers, header->mounts, header->n_mounts, err);
	if (!r)
		r = private_dir(copy, err);
	if (r)
		tree_copy_finish(copy);
	return r;
}

static void finish_work(struct tree_copy_work *w, size_t n_mounts)
{
	for (size_t i = 0; i < w->n_dirs; i++)
		free(w->dirs[i].path);
	free(w->dirs);
	free(w->made);
	tree_finish(&w->put);
	tree_drop_covers(w->covers, n_mounts);
	if (w->blobs >= 0)
		close(w->blobs);
	scratch_finish(&w->scratch);
	free(w);
}

void tree_copy_finish(struct tree_copy *copy)
{
	if (copy->work)
		finish_work(copy->work, copy->n_mounts);
	for (size_t i = 0; i < copy->n_mounts; i++) {
		free(copy->mounts[i].host);
		free(copy->mounts[i].guest);
	}
	free(copy->mounts);
	free(copy->xdev);
	free(copy->dir);
	*copy = (struct tree_copy){ 0 };
}

static void hex_of(const uint8_t hash[TRACE_HASH_LEN], char hex[HEX_LEN + 1])
{
	for (size_t i = 0; i < TRACE_HASH_LEN; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
}

static int write_all(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int put_blob(struct tree_copy *copy, const struct trace_record *record, struct err *err)
{
	uint8_t hash[TRACE_HASH_LEN];
	char hex[HEX_LEN + 1];
	autoclose int fd = -1;
	int r;

	tree_hash(record->in, record->in_len, hash);
	hex_of(record->tree.hash, hex);
	if (memcmp(hash, record->tree.hash, sizeof(hash)) != 0)
		return err_set(err, -EBADMSG,
			"contents sha256=%s: the bytes have another hash; the recording is damaged",
			hex);
	fd = openat(
		copy->work->blobs, hex, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return 0;
	r = fd < 0 ? -errno : write_all(fd, record->in, record->in_len);
	if (r)
		return err_set(err, r, "copy of the host tree in %s: %s", copy->dir, strerror(-r));
	copy->work->stored += record->in_len;
	return 0;
}

/* Relative; every component a name. NULL when it is good, or why it is not. */
static const char *bad_path(const uint8_t *path, size_t len)
{
	size_t from = 0;

	if (len >= PATH_MAX)
		return "a path that is too long";
	if (memchr(path, 0, len))
		return "a NUL in a path";
	if (len && path[0] == '/')
		return "an absolute path";
	for (size_t i = 0; len && i <= len; i++) {
		if (i < len && path[i] != '/')
			continue;
		if (i == from)
			return "an empty component in a path";
		if (path[from] == '.' &&
			(i - from == 1 || (i - from == 2 && path[from + 1] == '.')))
			return "a component . or .. in a path";
		from = i + 1;
	}
	return NULL;
}

static const char *bad_entry(const struct tree_copy *copy, const struct tree_entry *entry)
{
	const char *bad;

	if (entry->mount >= copy->n_mounts)
		return "there is no such mount";
	bad = bad_path(entry->path, entry->path_len);
	if (bad)
		return bad;
	if (entry->mode & ~(mode_t)MODE_BITS)
		return "a mode with bits that are none";
	if (entry->kind <= TREE_NONE || entry->kind >= TREE_KIND_COUNT)
		return "an object of no kind";
	if (copy->mounts[entry->mount].is_file && (entry->path_len || entry->kind != TREE_FILE))
		return "something else than a file where the mount is one";
	if (!copy->mounts[entry->mount].is_file && !entry->path_len && entry->kind != TREE_DIR)
		return "something else than a directory where the mount is one";
	if (entry->kind != TREE_LINK)
		return NULL;
	if (!entry->target_len || entry->target_len >= PATH_MAX)
		return "a link to an empty or too long path";
	return memchr(entry->target, 0, entry->target_len) ? "a NUL in a link" : NULL;
}

/* Where bytes of a file come from. */
typedef int source_fn(void *ctx, const struct tree_entry *entry, struct err *err);

static int copy_bytes(int to, int from, uint64_t *len)
{
	uint8_t piece[PIECE];
	ssize_t n;
	int r = 0;

	*len = 0;
	while (!r && (n = read(from, piece, sizeof(piece))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		r = n < 0 ? -errno : write_all(to, piece, (size_t)n);
		*len += n > 0 ? (uint64_t)n : 0;
	}
	return r;
}

/* What is known of it is its size alone. */
static bool contents_unknown(const struct tree_entry *entry)
{
	return !memcmp(entry->hash, tree_unknown, TRACE_HASH_LEN);
}

/* Into an empty file that has just been made. */
static int fill_file(
	int fd, const struct tree_entry *entry, source_fn *source, void *ctx, struct err *err)
{
	uint8_t hash[TRACE_HASH_LEN];
	autoclose int from = -1;
	uint64_t len;
	int r;

	if (!entry->size) { /* nothing is stored of it */
		tree_hash(NULL, 0, hash);
		return contents_unknown(entry) || !memcmp(hash, entry->hash, sizeof(hash))
			       ? 0
			       : refuse(err, -EBADMSG, entry, "empty, but of another hash");
	}
	if (contents_unknown(entry))
		return ftruncate(fd, (off_t)entry->size) ? fail(err, -errno, entry) : 0;
	from = source(ctx, entry, err);
	if (from < 0)
		return from;
	r = copy_bytes(fd, from, &len);
	if (r)
		return fail(err, r, entry);
	return len == entry->size ? 0 : refuse(err, -EBADMSG, entry, "its size is another one");
}

static int make_file(int dir, const char *name, const struct tree_entry *entry, source_fn *source,
	void *ctx, struct err *err)
{
	autoclose int fd =
		openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = fill_file(fd, entry, source, ctx, err);
	if (r)
		return r;
	return fchmod(fd, entry->mode) ? fail(err, -errno, entry) : 0;
}

static int make_link(int dir, const char *name, const struct tree_entry *entry)
{
	char target[PATH_MAX];

	memcpy(target, entry->target, entry->target_len);
	target[entry->target_len] = 0;
	return symlinkat(target, dir, name) ? -errno : 0;
}

/* What only looks like something: never opened by anybody. Nobody else is here to put a link there. */
static int make_special(int dir, const char *name, const struct tree_entry *entry)
{
	mode_t type = entry->kind == TREE_SOCKET ? S_IFSOCK : S_IFIFO;

	return mknodat(dir, name, type | 0600, 0) || fchmodat(dir, name, entry->mode, 0) ? -errno
											 : 0;
}

/* Filled first: its own mode comes with tree_copy_seal. */
static int make_dir(
	struct tree_copy_work *w, int dir, const char *name, const char *path, mode_t mode)
{
	if (w->n_dirs == w->room) {
		size_t room = w->room ? 2 * w->room : 64;
		void *grown = reallocarray(w->dirs, room, sizeof(*w->dirs));

		if (!grown)
			return -ENOMEM;
		w->dirs = grown;
		w->room = room;
	}
	if (mkdirat(dir, name, 0700))
		return -errno;
	w->dirs[w->n_dirs] = (struct made_dir){ .path = strdup(path), .mode = mode };
	return w->dirs[w->n_dirs++].path ? 0 : -ENOMEM;
}

/* The directory that path, beneath the private one, lies in: O_PATH, or -errno. *name: its last part. */
static int open_parent(const struct tree_copy_work *w, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];

	*name = slash ? slash + 1 : path;
	if (!slash)
		return beneath_open(w->scratch.dir, ".", O_PATH | O_DIRECTORY, 0);
	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	return beneath_open(w->scratch.dir, parent, O_PATH | O_DIRECTORY, 0);
}

/* Where it lies beneath the private directory. */
static int path_of(
	const struct tree_copy *copy, const struct tree_entry *entry, char path[PATH_MAX])
{
	int len = snprintf(path, PATH_MAX, "%s%s%.*s", copy->mounts[entry->mount].host,
		entry->path_len ? "/" : "", (int)entry->path_len, (const char *)entry->path);

	return len < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* One more name of what has been made. */
static int make_name(
	const struct tree_copy *copy, int dir, const char *name, const struct tree_entry *entry)
{
	char path[PATH_MAX];
	const char *first;
	int r = path_of(copy, &copy->work->put.entries[entry->same - 1], path);
	autoclose int from = r ? r : open_parent(copy->work, path, &first);

	if (from < 0)
		return from;
	return linkat(from, first, dir, name, 0) ? -errno : 0;
}

static int make_at(struct tree_copy *copy, const char *path, const struct tree_entry *entry,
	source_fn *source, void *ctx, struct err *err)
{
	const char *name;
	autoclose int dir = open_parent(copy->work, path, &name);

	if (dir < 0)
		return dir;
	if (entry->same)
		return make_name(copy, dir, name, entry);
	switch (entry->kind) {
	case TREE_FILE:
		return make_file(dir, name, entry, source, ctx, err);
	case TREE_DIR:
		return make_dir(copy->work, dir, name, path, entry->mode);
	case TREE_LINK:
		return make_link(dir, name, entry);
	case TREE_FIFO:
	case TREE_SOCKET:
	case TREE_DEVICE:
		return make_special(dir, name, entry);
	case TREE_NONE:
	case TREE_KIND_COUNT:
		break;
	}
	return -EINVAL;
}

/* The directory that a mapped file lies in: its own. */
static int make_home(struct tree_copy *copy, uint32_t mount)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", mount);
	return copy->mounts[mount].is_file && mkdirat(copy->work->scratch.dir, name, 0700) ? -errno
											   : 0;
}

/* The entry has been checked. */
static int make(struct tree_copy *copy, const struct tree_entry *entry, source_fn *source,
	void *ctx, struct err *err)
{
	bool *made = &copy->work->made[entry->mount];
	char path[PATH_MAX];
	int r = 0;

	if (path_of(copy, entry, path))
		return refuse(err, -ENAMETOOLONG, entry, "a path that is too long");
	if (!entry->path_len && *made)
		return refuse(err, -EEXIST, entry, "it is there twice");
	if (!entry->path_len) {
		r = make_home(copy, entry->mount);
		*made = true;
	}
	if (err)
		err->text[0] = 0;
	if (!r)
		r = make_at(copy, path, entry, source, ctx, err);
	if (!r || (err && err->text[0]))
		return r;
	if (r == -EEXIST)
		return refuse(err, r, entry, "it is there twice");
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
		return refuse(err, r, entry, "what it lies in is no directory of the recording");
	return fail(err, r, entry);
}

static int open_blob(void *ctx, const struct tree_entry *entry, struct err *err)
{
	const struct tree_copy *copy = ctx;
	char hex[HEX_LEN + 1];
	int fd;

	hex_of(entry->hash, hex);
	fd = beneath_open(copy->work->blobs, hex, O_RDONLY, 0);
	return fd == -ENOENT ? refuse(err, fd, entry, "its contents are not in the recording")
	       : fd < 0      ? fail(err, fd, entry)
			     : fd;
}

static const char *bad_same(const struct tree_copy *copy, const struct tree_entry *entry)
{
	const struct tree *put = &copy->work->put;
	const struct tree_entry *first =
		entry->same && entry->same <= put->n ? put->entries + entry->same - 1 : NULL;

	if (!entry->same)
		return NULL;
	if (!first)
		return "another name of what does not come before it";
	return first->kind == TREE_DIR || !tree_entry_same(first, entry)
		       ? "another name of what is not the same"
		       : NULL;
}

/* What was another mount is found again by what is made in its place. */
static int note_xdev(struct tree_copy *copy, const struct tree_entry *entry)
{
	struct inode *grown = reallocarray(copy->xdev, copy->n_xdev + 1, sizeof(*grown));
	char path[PATH_MAX];
	const char *name;
	struct stat st;
	int r = path_of(copy, entry, path);
	autoclose int dir = r ? r : open_parent(copy->work, path, &name);

	if (!grown)
		return -ENOMEM;
	copy->xdev = grown;
	if (dir < 0)
		return dir;
	r = beneath_stat(dir, name, BENEATH_XDEV, &st);
	if (!r)
		grown[copy->n_xdev++] = (struct inode){ st.st_dev, st.st_ino };
	return r;
}

static int put_entry(struct tree_copy *copy, const struct tree_entry *entry, struct err *err)
{
	struct tree_copy_work *w = copy->work;
	const char *bad = bad_entry(copy, entry);
	uint64_t room = free_bytes + BYTES_PER_STORED * w->stored - w->files;
	int r;

	if (!bad)
		bad = bad_same(copy, entry);
	if (bad)
		return refuse(err, -EINVAL, entry, bad);
	if (entry->kind == TREE_FILE && !entry->same) {
		if (entry->size > room)
			return refuse(err, -EFBIG, entry, "more bytes than the recording holds");
		w->files += entry->size;
	}
	r = make(copy, entry, open_blob, copy, err);
	if (!r && entry->xdev) {
		r = note_xdev(copy, entry);
		if (r)
			fail(err, r, entry);
	}
	return r ? r : tree_add(&w->put, entry, err);
}

int tree_copy_put(struct tree_copy *copy, const struct trace_record *record, struct err *err)
{
	if (record->kind == TRACE_BLOB)
		return put_blob(copy, record, err);
	return record->kind == TRACE_BEFORE ? put_entry(copy, &record->tree, err) : 0;
}

/*
 * Lets a mount of which nothing was put lie in its cover. A file need not be there, a directory is made. False:
 * it cannot, for there is something else.
 */
static bool lies_in_cover(struct tree_copy *copy, uint32_t i, const char *path)
{
	struct tree_entry dir = { .kind = TREE_DIR, .mount = i, .mode = 0755 };
	const char *name;
	autoclose int parent = open_parent(copy->work, path, &name);
	struct stat st;
	int r;

	if (parent < 0)
		return false;
	r = beneath_stat(parent, name, BENEATH_XDEV, &st);
	if (copy->mounts[i].is_file)
		return r == -ENOENT || (!r && S_ISREG(st.st_mode));
	if (r == -ENOENT)
		return !make_at(copy, path, &dir, NULL, NULL, NULL);
	return !r && S_ISDIR(st.st_mode);
}

static int use_cover(struct tree_copy *copy, uint32_t i, struct err *err)
{
	const struct tree_cover *cover = &copy->work->covers[i];
	char *path;

	if (asprintf(&path, "%s%s%s", copy->mounts[cover->mount].host, cover->rest[0] ? "/" : "",
		    cover->rest) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	if (strlen(path) >= PATH_MAX || !lies_in_cover(copy, i, path)) {
		free(path);
		return 0;
	}
	free(copy->mounts[i].host);
	copy->mounts[i].host = path;
	copy->work->made[i] = true;
	return 0;
}

/* An empty directory; or for a file that is not there. */
static int make_missing(struct tree_copy *copy, uint32_t i, struct err *err)
{
	struct tree_entry entry = { .kind = TREE_DIR, .mount = i, .mode = 0755 };
	int r;

	if (!copy->mounts[i].is_file)
		return make(copy, &entry, NULL, NULL, err);
	r = make_home(copy, i);
	return r ? fail(err, r, &entry) : 0;
}

/* Mounts of which nothing was put. Covers have none themselves, so they come first. */
static int place_missing(struct tree_copy *copy, struct err *err)
{
	struct tree_copy_work *w = copy->work;
	int r = 0;

	for (uint32_t i = 0; !r && i < copy->n_mounts; i++)
		if (!w->made[i] && !w->covers[i].rest)
			r = make_missing(copy, i, err);
	for (uint32_t i = 0; !r && i < copy->n_mounts; i++) {
		if (w->made[i] || !w->covers[i].rest)
			continue;
		r = use_cover(copy, i, err);
		if (!r && !w->made[i])
			r = make_missing(copy, i, err);
	}
	return r;
}

static int set_mode(const struct tree_copy_work *w, const struct made_dir *made)
{
	autoclose int fd = beneath_open(w->scratch.dir, made->path, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return fd;
	return fchmod(fd, made->mode) ? -errno : 0;
}

static int make_absolute(struct tree_copy *copy)
{
	for (size_t i = 0; i < copy->n_mounts; i++) {
		char *host;

		if (asprintf(&host, "%s/%s", copy->dir, copy->mounts[i].host) < 0)
			return -ENOMEM;
		free(copy->mounts[i].host);
		copy->mounts[i].host = host;
	}
	return 0;
}

int tree_copy_seal(struct tree_copy *copy, struct err *err)
{
	struct tree_copy_work *w = copy->work;
	int r = place_missing(copy, err);

	/* Latest first: what lies in a directory must be reached through it. */
	for (size_t i = w->n_dirs; !r && i-- > 0;) {
		r = set_mode(w, &w->dirs[i]);
		if (r)
			err_set(err, r, "%s/%s: %s", copy->dir, w->dirs[i].path, strerror(-r));
	}
	if (r)
		return r;
	if (copy->n_xdev)
		qsort(copy->xdev, copy->n_xdev, sizeof(*copy->xdev), compare_inodes);
	r = make_absolute(copy);
	return r ? err_set(err, r, "out of memory") : 0;
}

/* A golden's directory, and where in it the mount is that is being copied. */
struct golden {
	const char *dir;
	int fd; /* O_PATH */
	const char *host;
};

static int open_golden(void *ctx, const struct tree_entry *entry, struct err *err)
{
	const struct golden *g = ctx;
	char path[PATH_MAX];
	int fd = -ENAMETOOLONG;

	if ((size_t)snprintf(path, sizeof(path), "%s%s%s", g->host, entry->path_len ? "/" : "",
		    (const char *)entry->path) < sizeof(path))
		fd = beneath_open(g->fd, path, O_RDONLY | O_NONBLOCK, 0);
	return fd < 0 ? err_set(err, fd, "%s/%s: %s", g->dir, path, strerror(-fd)) : fd;
}

static int copy_golden_tree(struct tree_copy *copy, struct golden *g, const struct tree *tree,
	uint32_t mount, struct err *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < tree->n; i++) {
		struct tree_entry entry = tree->entries[i];
		const char *bad;

		entry.mount = mount;
		entry.same = 0;
		entry.mode = entry.kind == TREE_DIR || entry.mode & S_IXUSR ? 0755 : 0644;
		bad = bad_entry(copy, &entry);
		if (bad)
			return err_set(err, -EINVAL, "%s/%s: %s", g->dir, g->host, bad);
		if (entry.kind == TREE_FILE && contents_unknown(&entry))
			return err_set(err, -EACCES, "%s/%s/%s: may not be read; change its mode",
				g->dir, g->host, (const char *)entry.path);
		r = make(copy, &entry, open_golden, g, err);
	}
	return r;
}

/* 1: it is there; 0: it is not; -errno with err when it is not where it may be. */
static int find_golden(const struct golden *g, struct err *err)
{
	autoclose int fd = -1;

	for (const char *at = g->host; *at; at += strcspn(at, "/"), at += strspn(at, "/"))
		if (at[0] == '/' || !strncmp(at, "../", 3) || !strcmp(at, ".."))
			return err_set(err, -EPERM,
				"mount \"%s\": leaves %s; name it relative to that", g->host,
				g->dir);
	fd = beneath_open(g->fd, g->host, O_PATH, 0);
	if (fd == -ELOOP)
		return err_set(
			err, fd, "%s/%s: a link; put the files themselves there", g->dir, g->host);
	if (fd < 0 && fd != -ENOENT)
		return err_set(err, fd, "%s/%s: %s", g->dir, g->host, strerror(-fd));
	return fd >= 0;
}

static int copy_golden_mount(struct tree_copy *copy, struct golden *g,
	const struct trace_mount *mount, uint32_t i, struct err *err)
{
	struct trace_mount source = *mount;
	struct tree tree;
	int r;

	g->host = mount->host;
	r = find_golden(g, err);
	if (r <= 0)
		return r;
	if (asprintf(&source.host, "%s/%s", g->dir, mount->host) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	r = tree_look(&tree, &source, 1, 0, err);
	free(source.host);
	if (r)
		return r;
	r = copy_golden_tree(copy, g, &tree, i, err);
	tree_finish(&tree);
	return r;
}

int tree_copy_from_dir(
	struct tree_copy *copy, const char *dir, const struct trace_header *header, struct err *err)
{
	autoclose int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct golden g = { .dir = dir, .fd = fd };
	int r;

	if (fd < 0 && errno != ENOENT)
		return err_set(err, -errno, "%s: %s", dir, strerror(errno));
	r = tree_copy_init(copy, header, err);
	if (r)
		return r;
	for (uint32_t i = 0; !r && fd >= 0 && i < header->n_mounts; i++)
		if (!copy->work->covers[i].rest) /* the others come with theirs */
			r = copy_golden_mount(copy, &g, &header->mounts[i], i, err);
	if (!r)
		r = tree_copy_seal(copy, err);
	if (r)
		tree_copy_finish(copy);
	return r;
}
