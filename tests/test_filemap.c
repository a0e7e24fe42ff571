// SPDX-License-Identifier: ISC
/*
 * The file map: its lexical part, and the whole against the kernel. A child mounts the same tree for
 * real, changes its root to it and does what we do; every answer and the trees must be the same.
 */
#include "filemap.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "err.h"
#include "fileio.h"
#include "tmptree.h"
#include "unit.h"

static void cuts_paths_into_components(void)
{
	static const struct {
		const char *path, *parts;
	} rows[] = {
		{ "", "" },
		{ "/", "" },
		{ "////", "" },
		{ "a", "a|" },
		{ "/a/b", "a|b|" },
		{ "//a///b//", "a|b|" },
		{ "/./a/../.b/..c/...", ".|a|..|.b|..c|...|" },
		{ "/\xff/\x01 /a\\b", "\xff|\x01 |a\\b|" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *at = rows[i].path;
		struct filemap_name name;
		char parts[100] = "";

		while (filemap_path_next(&at, &name)) {
			strncat(parts, name.text, name.len);
			strcat(parts, "|");
		}
		CU_ASSERT_STRING_EQUAL(parts, rows[i].parts);
		CU_ASSERT_EQUAL(*at, 0);
		CU_ASSERT_FALSE(filemap_path_next(&at, &name));
	}
}

static void knows_dots(void)
{
	static const struct {
		const char *name;
		bool dot, dotdot;
	} rows[] = { { ".", true, false }, { "..", false, true }, { "...", false, false },
		{ ".a", false, false }, { "a.", false, false }, { "", false, false } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct filemap_name name = { rows[i].name, strlen(rows[i].name) };

		CU_ASSERT_EQUAL(filemap_name_is_dot(name), rows[i].dot);
		CU_ASSERT_EQUAL(filemap_name_is_dotdot(name), rows[i].dotdot);
	}
}

static void knows_utf8(void)
{
	static const struct {
		const char *path;
		bool is;
	} rows[] = {
		{ "", true },
		{ "/plain\x01\x7f", true },
		{ "/\xc2\x80/\xdf\xbf", true },
		{ "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", true },
		{ "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", true },
		{ "\x80", false },
		{ "a\xbf", false },
		{ "\xc3", false },
		{ "\xc3/", false },
		{ "\xe2\x82", false },
		{ "\xe2\x82z", false },
		{ "\xf0\x9f\x90", false },
		{ "\xc0\xaf", false },         /* overlong slash */
		{ "\xc1\xbf", false },         /* overlong */
		{ "\xe0\x80\xaf", false },     /* overlong */
		{ "\xe0\x9f\xbf", false },     /* overlong */
		{ "\xf0\x8f\xbf\xbf", false }, /* overlong */
		{ "\xed\xa0\x80", false },     /* surrogates */
		{ "\xed\xbf\xbf", false },
		{ "\xf4\x90\x80\x80", false }, /* above U+10FFFF */
		{ "\xf5\x80\x80\x80", false },
		{ "\xf8\x88\x80\x80\x80", false },
		{ "\xff", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (filemap_path_is_utf8(rows[i].path) != rows[i].is)
			printf("     row %zu\n", i);
		CU_ASSERT_EQUAL(filemap_path_is_utf8(rows[i].path), rows[i].is);
	}
}

static void takes_guest_paths(void)
{
	static char long_name[300] = "/a/";
	static const struct {
		const char *path;
		int expect; /* FILEMAP_ROOT, 1 for some node, or -errno */
	} rows[] = {
		{ "/", FILEMAP_ROOT },
		{ "///.//", FILEMAP_ROOT },
		{ "/a", 1 },
		{ "/a/./b//", 1 },
		{ "/...", 1 },
		{ "", -EINVAL },
		{ "a", -EINVAL },
		{ "/..", -EINVAL },
		{ "/a/../b", -EINVAL },
		{ long_name, -ENAMETOOLONG },
	};
	struct filemap_tree tree;

	memset(long_name + 3, 'n', 256);
	CU_ASSERT_FATAL(filemap_tree_init(&tree) == 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int r = filemap_tree_add_path(&tree, rows[i].path);

		CU_ASSERT_EQUAL(r > 0 ? 1 : r, rows[i].expect);
	}
	CU_ASSERT_EQUAL(
		filemap_tree_add_path(&tree, "/x//y"), filemap_tree_add_path(&tree, "/x/./y/"));
	filemap_tree_finish(&tree);
}

static struct filemap_name numbered(char *text, int i)
{
	return (struct filemap_name){ text, (size_t)sprintf(text, "name%d", i) };
}

static void finds_whole_names_among_many(void)
{
	enum { N = 10000 };
	struct filemap_tree tree;
	char text[32];
	int parent, found = 0;

	CU_ASSERT_FATAL(filemap_tree_init(&tree) == 0);
	CU_ASSERT_EQUAL(filemap_tree_child(&tree, FILEMAP_ROOT, numbered(text, 0)), FILEMAP_NONE);
	parent = filemap_tree_add_path(&tree, "/parent");
	CU_ASSERT_FATAL(parent > 0);
	for (int i = 0; i < N; i++)
		CU_ASSERT_FATAL(filemap_tree_add(&tree, i % 2 ? parent : FILEMAP_ROOT,
					numbered(text, i)) > 0);
	for (int i = 0; i < N; i++) {
		int child =
			filemap_tree_child(&tree, i % 2 ? parent : FILEMAP_ROOT, numbered(text, i));

		found += child > 0 && !strcmp(tree.nodes[child].name, text);
		found -= filemap_tree_child(
				 &tree, i % 2 ? FILEMAP_ROOT : parent, numbered(text, i)) >= 0;
	}
	CU_ASSERT_EQUAL(found, N);
	CU_ASSERT_EQUAL(filemap_tree_child(&tree, parent, (struct filemap_name){ "name11", 4 }),
		FILEMAP_NONE);
	CU_ASSERT_EQUAL(filemap_tree_child(&tree, parent, (struct filemap_name){ "name1x", 5 }),
		filemap_tree_child(&tree, parent, numbered(text, 1)));
	filemap_tree_finish(&tree);
}

/* A small world for the tests of resolving as such. */
static struct tmptree tree;
static struct filemap map;

static void map_begin(const char *const *lines, const struct fileio_mount *mounts, size_t n)
{
	struct fileio_mount real[4];
	char hosts[4][128];
	struct err err;
	int r;

	CU_ASSERT_FATAL(tmptree_make(&tree, lines) == 0);
	for (size_t i = 0; i < n; i++) {
		real[i] = mounts[i];
		snprintf(hosts[i], sizeof(hosts[i]), "%s/%s", tree.path, mounts[i].host);
		real[i].host = hosts[i];
	}
	r = filemap_init(&map,
		&(struct filemap_config){ .mounts = real,
			.n_mounts = n,
			.scratch_parent = tree.path,
			.inodes = 100,
			.depth = FILEMAP_DEPTH_MAX },
		&err);
	if (r)
		printf("     %s\n", err.text);
	CU_ASSERT_FATAL(r == 0);
}

static void map_end(void)
{
	filemap_finish(&map);
	tmptree_remove(&tree);
}

static bool same_object(int dir, const char *name, const char *host)
{
	struct stat a, b;
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", tree.path, host);
	return !fstatat(dir, name, &a, AT_SYMLINK_NOFOLLOW) && !lstat(path, &b) &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static void leads_to_a_directory_a_name_and_rights(void)
{
	static const char *const lines[] = { "d h", "d h/sub", "f h/sub/file x",
		"l h/link sub/file", "d r", "f r/file x", "f single x", NULL };
	static const struct fileio_mount mounts[] = {
		{ .host = "h", .guest = "/m", .writable = true },
		{ .host = "r", .guest = "/m/deeper/r" },
		{ .host = "single", .guest = "/m/sub/single" }
	};
	static const struct {
		const char *path;
		unsigned int want;
		enum filemap_kind kind;
		const char *dir, *name;
		bool writable, exists;
	} rows[] = {
		{ "/m", FILEMAP_FOLLOW, FILEMAP_DIR, "h", NULL, true, false },
		{ "/m/sub", FILEMAP_FOLLOW, FILEMAP_DIR, "h/sub", NULL, true, false },
		{ "/m/sub/file", FILEMAP_FOLLOW, FILEMAP_NAME, "h/sub", "file", true, true },
		{ "/m/sub/new", FILEMAP_FOLLOW, FILEMAP_NAME, "h/sub", "new", true, false },
		{ "/m/link", FILEMAP_FOLLOW, FILEMAP_NAME, "h/sub", "file", true, true },
		{ "/m/link", 0, FILEMAP_NAME, "h", "link", true, true },
		{ "/m/link", FILEMAP_PARENT, FILEMAP_NAME, "h", "link", true, false },
		{ "/m/deeper/r", 0, FILEMAP_DIR, "r", NULL, false, false },
		{ "/m/deeper/r/../../sub/.", 0, FILEMAP_DIR, "h/sub", NULL, true, false },
		{ "/m/deeper/r/file", 0, FILEMAP_NAME, "r", "file", false, true },
		{ "/m/sub/single", 0, FILEMAP_PINNED, "single", NULL, false, false },
	};

	map_begin(lines, mounts, 3);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct filemap_place place;

		CU_ASSERT_EQUAL_FATAL(filemap_resolve(&map, rows[i].path, rows[i].want, &place), 0);
		CU_ASSERT_EQUAL(place.kind, rows[i].kind);
		CU_ASSERT_EQUAL(place.writable, rows[i].writable);
		if (rows[i].name) {
			CU_ASSERT_STRING_EQUAL(place.name, rows[i].name);
			if (!(rows[i].want &
				    FILEMAP_PARENT)) /* else it need not have been looked at */
				CU_ASSERT_EQUAL(place.exists, rows[i].exists);
		}
		if (rows[i].kind == FILEMAP_PINNED) {
			struct stat st, expect;
			char path[100];

			snprintf(path, sizeof(path), "%s/%s", tree.path, rows[i].dir);
			CU_ASSERT(!fstat(place.dir, &st) && !stat(path, &expect));
			CU_ASSERT_EQUAL(st.st_ino, expect.st_ino);
		} else {
			CU_ASSERT(same_object(place.dir, ".", rows[i].dir));
		}
		filemap_leave(&map, &place, false);
	}
	map_end();
}

static void takes_back_parents_that_were_for_nothing(void)
{
	static const char *const lines[] = { "d h", NULL };
	static const struct fileio_mount mounts[] = {
		{ .host = "h", .guest = "/deep/in/m", .writable = true }
	};
	static const char *const paths[] = { "/a/b/c/new", "/a/./b//./c/new", "/deep/a/new",
		"/a/new" };
	struct filemap_place place;

	map_begin(lines, mounts, 1);
	CU_ASSERT_EQUAL(filemap_resolve(&map, "/deep/kept/new", FILEMAP_CREATE, &place), 0);
	filemap_leave(&map, &place, false);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		CU_ASSERT_EQUAL(filemap_resolve(&map, paths[i], FILEMAP_CREATE, &place), 0);
		CU_ASSERT(place.kind == FILEMAP_NAME && !place.exists && place.made > 0);
		filemap_leave(&map, &place, true);
		CU_ASSERT_EQUAL(filemap_resolve(&map, paths[i], 0, &place), -ENOENT);
		CU_ASSERT_EQUAL(filemap_resolve(&map, i == 2 ? "/deep/a" : "/a", 0, &place), 0);
		CU_ASSERT_FALSE(place.exists);
		filemap_leave(&map, &place, false);
	}
	CU_ASSERT_EQUAL(filemap_resolve(&map, "/deep/kept", 0, &place), 0);
	CU_ASSERT_TRUE(place.exists);
	filemap_leave(&map, &place, false);
	map_end();
}

/* As where a directory folds case: the covered object turns up under another name. */
static void covers_an_object_under_any_spelling(void)
{
	static const char *const lines[] = { "d h", "d h/ro", "f h/ro/hidden x", "f h/file hidden",
		"f h/linked x", "h h/hardlink h/linked", "d r", "f r/seen x", "f single x", NULL };
	static const struct fileio_mount mounts[] = {
		{ .host = "h", .guest = "/m", .writable = true }, { .host = "r", .guest = "/m/ro" },
		{ .host = "single", .guest = "/m/file" }, { .host = "single", .guest = "/m/linked" }
	};
	struct filemap_place place;
	char old[100], new[100];

	map_begin(lines, mounts, 4);
	for (int i = 0; i < 2; i++) {
		snprintf(old, sizeof(old), "%s/h/%s", tree.path, i ? "file" : "ro");
		snprintf(new, sizeof(new), "%s/h/%s", tree.path, i ? "FILE" : "RO");
		CU_ASSERT(rename(old, new) == 0);
	}
	CU_ASSERT_EQUAL(filemap_resolve(&map, "/m/RO/hidden", 0, &place), 0);
	CU_ASSERT_FALSE(place.exists || place.writable);
	filemap_leave(&map, &place, false);
	CU_ASSERT_EQUAL(filemap_resolve(&map, "/m/RO/seen", 0, &place), 0);
	CU_ASSERT(place.exists && !place.writable);
	filemap_leave(&map, &place, false);
	CU_ASSERT_EQUAL(filemap_resolve(&map, "/m/RO", FILEMAP_PARENT, &place), 0);
	CU_ASSERT_EQUAL(place.kind, FILEMAP_DIR);
	filemap_leave(&map, &place, false);
	CU_ASSERT_EQUAL(filemap_resolve(&map, "/m/FILE", 0, &place), 0);
	CU_ASSERT_EQUAL(place.kind, FILEMAP_PINNED);
	filemap_leave(&map, &place, false);
	/* A hard link is no spelling of the same name: the host made it, so it is granted. */
	CU_ASSERT_EQUAL(filemap_resolve(&map, "/m/hardlink", 0, &place), 0);
	CU_ASSERT(place.kind == FILEMAP_NAME && place.writable);
	filemap_leave(&map, &place, false);
	map_end();
}

/* --- against the kernel --- */

enum { ROUNDS = 12, OPS = 1500, N_HOSTS = 4 };

enum op_kind { OP_OPEN, OP_STAT, OP_LSTAT, OP_MKDIR, OP_UNLINK, OP_COUNT };

struct op {
	enum op_kind kind;
	int flags;
	char path[200];
};

struct answer {
	int r;
	mode_t mode;
	off_t size;
};

/* The hosts of the mappings, in the order in which the kernel mounts them. */
static const struct fileio_mount oracle_mounts[N_HOSTS] = {
	{ .host = "root", .guest = "/", .writable = true },
	{ .host = "rw", .guest = "/m", .writable = true },
	{ .host = "ro", .guest = "/m/ro" },
	{ .host = "conf", .guest = "/etc/conf" },
};

static const char *const oracle_lines[] = { "d root", "d rw", "d ro", "f conf configuration",
	"d root/m", "f root/m/covered x", "d root/etc", "f root/etc/conf x", "f root/etc/other x",
	"d rw/ro", "f rw/ro/covered x", "d root/a", "d root/a/b", "f root/a/b/file x", "d rw/a",
	"d rw/a/b", "f rw/a/file x", "f rw/a/b/file x", "d ro/a", "f ro/file x", "f ro/a/file x",
	"d ro/a/b", NULL };

static uint64_t seed;

static unsigned int choose(unsigned int n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned int)((seed >> 11) % n);
}

static void random_path(char *path, bool link)
{
	static const char *const names[] = { "m", "ro", "a", "b", "file", "etc", "conf", "new1",
		"new2", "..", "..", ".", "", "l0", "l1", "l2", "l3", "l4", "l5", "l6", "l7", "l8",
		"l9", "a", "b", "m", "covered", "l10", "l11" };
	static const char *const starts[] = { "/m", "/m/ro", "/m/a", "/m/ro/a", "/a", "/a/b",
		"/etc", "../..", "/m/../m/ro/..", "/a/.." };
	unsigned int n = 1 + choose(link ? 2 : 4);

	strcpy(path, choose(2) ? starts[choose(sizeof(starts) / sizeof(starts[0]))] : "");
	for (unsigned int i = 0; i < n; i++) {
		if (path[0] || choose(link ? 2 : 4))
			strcat(path, "/");
		strcat(path, names[choose(sizeof(names) / sizeof(names[0]))]);
	}
	if (!choose(8))
		strcat(path, "/");
}

static void random_op(struct op *op)
{
	static const int bits[] = { O_CREAT, O_CREAT, O_CREAT | O_EXCL, O_EXCL, O_TRUNC, O_APPEND,
		O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK };

	op->kind = choose(4) ? choose(3) : choose(OP_COUNT);
	op->flags = (int)choose(3);
	for (unsigned int n = choose(4); n; n--)
		op->flags |= bits[choose(sizeof(bits) / sizeof(bits[0]))];
	random_path(op->path, false);
}

static void make_links(const struct tmptree *at)
{
	static const char *const dirs[] = { "root", "root/a", "root/a/b", "root/etc", "rw", "rw/a",
		"rw/a/b", "ro", "ro/a", "ro/a/b" };
	char line[400], target[200];

	for (int i = 0; i < 30; i++) {
		random_path(target, true);
		snprintf(line, sizeof(line), "l %s/l%u %s", dirs[choose(10)], choose(12), target);
		tmptree_add(
			at, line); /* a name that is there already, an empty target: never mind */
	}
}

static struct answer ask_kernel(const struct op *op)
{
	struct answer answer = { 0 };
	struct stat st = { 0 };

	if (op->kind == OP_OPEN) {
		int fd = open(op->path, op->flags | O_CLOEXEC, 0666);

		answer.r = fd < 0                                   ? -errno
			   : !fstat(fd, &st) && S_ISREG(st.st_mode) ? (int)write(fd, "ab", 2)
								    : 0;
		answer.r = fd >= 0 && answer.r < 0 ? -1000 - errno : answer.r;
		if (fd >= 0 && !fstat(fd, &st))
			close(fd);
	} else if (op->kind == OP_MKDIR) {
		answer.r = mkdir(op->path, 0777) ? -errno : 0;
	} else if (op->kind == OP_UNLINK) {
		answer.r = unlink(op->path) ? -errno : 0;
	} else {
		answer.r = (op->kind == OP_STAT ? stat : lstat)(op->path, &st) ? -errno : 0;
	}
	answer.mode = st.st_mode;
	answer.size = S_ISDIR(st.st_mode) ? 0 : st.st_size;
	return answer;
}

static struct answer ask_us(struct fileio *files, const struct op *op)
{
	struct answer answer = { 0 };
	struct stat st = { 0 };

	if (op->kind == OP_OPEN) {
		int fd = fileio_open(files, op->path, op->flags, 0666);

		answer.r = fd < 0 ? fd
			   : !fileio_fstat(files, fd, &st) && S_ISREG(st.st_mode)
				   ? (int)fileio_write(files, fd, "ab", 2)
				   : 0;
		answer.r = fd >= 0 && answer.r < 0 ? -1000 + answer.r : answer.r;
		if (fd >= 0 && !fileio_fstat(files, fd, &st))
			fileio_close(files, fd);
	} else if (op->kind == OP_MKDIR) {
		answer.r = fileio_mkdir(files, op->path, 0777);
	} else if (op->kind == OP_UNLINK) {
		answer.r = fileio_unlink(files, op->path);
	} else {
		answer.r = fileio_stat(files, op->path, op->kind == OP_STAT, &st);
	}
	answer.mode = answer.r < 0 && answer.r > -1000 ? 0 : st.st_mode;
	answer.size = S_ISDIR(st.st_mode) || !answer.mode ? 0 : st.st_size;
	return answer;
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

static int own_mounts(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char text[64];

	if (uid) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) ||
			write_text("/proc/self/setgroups", "deny"))
			return -1;
		snprintf(text, sizeof(text), "%u %u 1", uid, uid);
		if (write_text("/proc/self/uid_map", text))
			return -1;
		snprintf(text, sizeof(text), "%u %u 1", gid, gid);
		if (write_text("/proc/self/gid_map", text))
			return -1;
	} else if (unshare(CLONE_NEWNS)) {
		return -1;
	}
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static int mount_one(const struct tmptree *at, const struct fileio_mount *m)
{
	char from[200], to[200];
	struct statvfs fs;

	snprintf(from, sizeof(from), "%s/%s", at->path, m->host);
	snprintf(to, sizeof(to), "%s/root%s", at->path, m->guest);
	if (mount(from, to, NULL, MS_BIND, NULL) || statvfs(to, &fs))
		return -1;
	return m->writable ? 0
			   : mount(NULL, to, NULL,
				     MS_REMOUNT | MS_BIND | MS_RDONLY |
					     (fs.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC)),
				     NULL);
}

/* In a child: the mappings for real, and every op. 77: not allowed here. */
static void be_kernel(const struct tmptree *at, const struct op *ops, struct answer *answers)
{
	char root[200];

	snprintf(root, sizeof(root), "%s/root", at->path);
	if (own_mounts())
		_exit(77);
	for (int i = 0; i < N_HOSTS; i++)
		if (mount_one(at, &oracle_mounts[i]))
			_exit(77);
	if (chdir(root) || chroot(".") || chdir("/"))
		_exit(77);
	umask(022);
	for (int i = 0; i < OPS; i++)
		answers[i] = ask_kernel(&ops[i]);
	_exit(0);
}

/* In a child: what the host has mounted inside a mapped directory is no part of the grant. */
static int try_submount(const char *mapped)
{
	struct fileio_mount mount_it = { .host = mapped, .guest = "/m", .writable = true };
	struct fileio_config config = {
		.mounts = &mount_it,
		.n_mounts = 1,
		/* Ours: in a user namespace of one user, /tmp belongs to nobody we know. */
		.scratch_parent = tree.path,
		.console_in = -1,
		.console_out = -1,
	};
	struct fileio *files;
	char sub[200], inner[200];
	struct stat st;

	snprintf(sub, sizeof(sub), "%s/sub", mapped);
	snprintf(inner, sizeof(inner), "%s/sub/inner", mapped);
	if (own_mounts() || mount("none", sub, "tmpfs", 0, NULL))
		return 77;
	if (mkdir(inner, 0755) || fileio_init(&files, &config, NULL))
		return 1;
	if (fileio_stat(files, "/m/sub", true, &st) != -EACCES ||
		fileio_stat(files, "/m/sub/inner", true, &st) != -EACCES ||
		fileio_stat(files, "/m/../m/sub/inner", true, &st) != -EACCES ||
		fileio_stat(files, "/m/sub/..", true, &st) != -EACCES ||
		fileio_open(files, "/m/sub", O_RDONLY, 0) != -EACCES ||
		fileio_open(files, "/m/sub/new", O_RDWR | O_CREAT, 0644) != -EACCES ||
		fileio_mkdir(files, "/m/sub/new", 0755) != -EACCES)
		return 2;
	fileio_destroy(files);
	return 0;
}

static void refuses_what_is_mounted_inside(void)
{
	static const char *const lines[] = { "d h", "d h/sub", NULL };
	int status = -1;
	char path[100];
	pid_t child;

	CU_ASSERT_FATAL(tmptree_make(&tree, lines) == 0);
	snprintf(path, sizeof(path), "%s/h", tree.path);
	child = fork();
	if (!child)
		_exit(try_submount(path));
	waitpid(child, &status, 0);
	tmptree_remove(&tree);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		unit_skip("no right to mount, not even in a user namespace");
	else
		CU_ASSERT_EQUAL(status, 0);
}

static const char *error_name(int r)
{
	return r >= 0 ? "ok" : strerrorname_np(r <= -1000 ? -r - 1000 : -r);
}

static int compare_answers(
	int round, const struct op *ops, struct fileio *files, const struct answer *kernel)
{
	static const char *const names[] = { "open", "stat", "lstat", "mkdir", "unlink" };
	int wrong = 0;

	for (int i = 0; i < OPS && wrong < 5; i++) {
		struct answer us = ask_us(files, &ops[i]);

		if (us.r == kernel[i].r && us.mode == kernel[i].mode && us.size == kernel[i].size)
			continue;
		wrong++;
		printf("     round %d op %d: %s \"%s\" %#o: kernel %d %s %o %jd, we %d %s %o %jd\n",
			round, i, names[ops[i].kind], ops[i].path, (unsigned int)ops[i].flags,
			kernel[i].r, error_name(kernel[i].r), kernel[i].mode,
			(intmax_t)kernel[i].size, us.r, error_name(us.r), us.mode,
			(intmax_t)us.size);
	}
	return wrong;
}

static bool trees_differ(const struct tmptree *a, const struct tmptree *b)
{
	char command[300];

	snprintf(command, sizeof(command), "diff -r --no-dereference %s %s", a->path, b->path);
	return system(command) != 0;
}

struct shared {
	struct op ops[OPS];
	struct answer answers[OPS];
};

static int one_round(int round, struct shared *shared)
{
	static const char *const none[] = { NULL };
	struct fileio_mount mounts[N_HOSTS];
	struct tmptree ours, kernels, scratch;
	char hosts[N_HOSTS][100];
	struct fileio_config config = {
		.mounts = mounts, .n_mounts = N_HOSTS, .console_in = -1, .console_out = -1
	};
	struct fileio *files = NULL;
	struct err err;
	uint64_t start;
	int status = -1, wrong = -1;
	pid_t child;

	seed = start = 88172645463325252ull + (uint64_t)(unsigned int)round * 0x9e3779b97f4a7c15ull;
	CU_ASSERT_FATAL(
		!tmptree_make(&ours, oracle_lines) && !tmptree_make(&kernels, oracle_lines));
	CU_ASSERT_FATAL(!tmptree_make(&scratch, none));
	make_links(&ours);
	seed = start;
	make_links(&kernels);
	for (int i = 0; i < OPS; i++)
		random_op(&shared->ops[i]);
	child = fork();
	if (!child)
		be_kernel(&kernels, shared->ops, shared->answers);
	waitpid(child, &status, 0);
	for (int i = 0; i < N_HOSTS; i++) {
		mounts[i] = oracle_mounts[N_HOSTS - 1 - i]; /* the order does not matter to us */
		snprintf(hosts[i], sizeof(hosts[i]), "%s/%s", ours.path, mounts[i].host);
		mounts[i].host = hosts[i];
	}
	config.scratch_parent = scratch.path;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		unit_skip("no right to mount, not even in a user namespace");
	} else if (WIFEXITED(status) && !WEXITSTATUS(status) &&
		   !fileio_init(&files, &config, &err)) {
		wrong = compare_answers(round, shared->ops, files, shared->answers);
		fileio_destroy(files);
		wrong += trees_differ(&ours, &kernels);
	}
	tmptree_remove(&ours);
	tmptree_remove(&kernels);
	tmptree_remove(&scratch);
	return wrong;
}

static void answers_as_the_kernel_does(void)
{
	struct shared *shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int n_ok = 0, n_errors = 0, wrong = 0;
	mode_t old = umask(022);

	CU_ASSERT_FATAL(shared != MAP_FAILED);
	for (int round = 0; round < ROUNDS && !wrong && !unit_skip_reason[0]; round++) {
		wrong = one_round(round, shared);
		for (int i = 0; i < OPS; i++)
			shared->answers[i].r >= 0 ? n_ok++ : n_errors++;
	}
	umask(old);
	munmap(shared, sizeof(*shared));
	if (unit_skip_reason[0])
		return;
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT(n_ok > ROUNDS * OPS / 20 && n_errors > ROUNDS * OPS / 20);
}

static const struct unit_case cases[] = {
	{ "cuts_paths_into_components", cuts_paths_into_components },
	{ "knows_dots", knows_dots },
	{ "knows_utf8", knows_utf8 },
	{ "takes_guest_paths", takes_guest_paths },
	{ "finds_whole_names_among_many", finds_whole_names_among_many },
	{ "leads_to_a_directory_a_name_and_rights", leads_to_a_directory_a_name_and_rights },
	{ "takes_back_parents_that_were_for_nothing", takes_back_parents_that_were_for_nothing },
	{ "covers_an_object_under_any_spelling", covers_an_object_under_any_spelling },
	{ "refuses_what_is_mounted_inside", refuses_what_is_mounted_inside },
	{ "answers_as_the_kernel_does", answers_as_the_kernel_does },
};

UNIT_MAIN("filemap", cases)
