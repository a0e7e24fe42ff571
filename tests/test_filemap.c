// SPDX-License-Identifier: ISC
/*
 * The file map: its lexical part, and what resolving a path gives. What paths lead to is compared with
 * the kernel's answers in test_oracle.c.
 */
#include "filemap.h"

#include <errno.h>

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

static void tells_why_a_path_leads_nowhere(void)
{
	static const char *const lines[] = { "d h", "d h/sub", "f h/file x", "f single x", NULL };
	static const struct fileio_mount mounts[] = {
		{ .host = "h", .guest = "/m", .writable = true },
		{ .host = "single", .guest = "/m/sub/single" }
	};
	static const struct {
		const char *path;
		unsigned int want;
		int expect;
	} rows[] = {
		{ "/m/", FILEMAP_CREATE, -EISDIR },
		{ "/m/sub/", FILEMAP_CREATE | FILEMAP_FOLLOW, -EISDIR },
		{ "/m/sub/single/", FILEMAP_CREATE, -EISDIR },
		{ "/m/new/", FILEMAP_CREATE, -EISDIR },
		{ "/m/sub/../sub/", FILEMAP_CREATE, -EISDIR },
		{ "/m/file/x", 0, -ENOTDIR },
		{ "/m/sub/single/x", 0, -ENOTDIR },
		{ "/m/none/x", FILEMAP_CREATE, -ENOENT },
		{ "", 0, -ENOENT },
	};
	struct filemap_place place;

	map_begin(lines, mounts, 2);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CU_ASSERT_EQUAL(
			filemap_resolve(&map, rows[i].path, rows[i].want, &place), rows[i].expect);
	map_end();
}

struct listener {
	struct filemap_watch watch;
	char text[400];
};

/* The kind, the name, the text in its place or the error. */
static void listen(struct filemap_watch *watch, const struct filemap_step *step)
{
	struct listener *l = (struct listener *)watch;
	static const char kinds[FILEMAP_STEP_COUNT] = "smdule";
	size_t n = strlen(l->text);

	n += (size_t)snprintf(l->text + n, sizeof(l->text) - n, "%c %.*s", kinds[step->kind],
		(int)step->name.len, step->name.text);
	if (step->text.len)
		n += (size_t)snprintf(l->text + n, sizeof(l->text) - n, " > %.*s",
			(int)step->text.len, step->text.text);
	snprintf(l->text + n, sizeof(l->text) - n, "%s%s; ", step->r ? ": " : "",
		step->r ? strerrorname_np(-step->r) : "");
}

static void tells_who_wants_to_see_it_each_step(void)
{
	static const char *const lines[] = { "d h", "d h/sub", "f h/sub/file x",
		"l h/link sub/file", "l h/loop loop", NULL };
	static const struct fileio_mount mounts[] = {
		{ .host = "h", .guest = "/m", .writable = true },
	};
	static const struct {
		const char *path;
		unsigned int want;
		int expect;
		const char *told;
	} rows[] = {
		{ "/m/sub/file", 0, 0, "s ; m m; d sub; d file; " },
		{ "/m/./link", FILEMAP_FOLLOW, 0, "s ; m m; l link > sub/file; d sub; d file; " },
		{ "/m/sub/../none", 0, 0, "s ; m m; d sub; u ..; d none; " },
		{ "/m/sub/file/x", 0, -ENOTDIR, "s ; m m; d sub; e file: ENOTDIR; " },
		{ "/a/b/new", FILEMAP_CREATE, 0, "s ; e a: ENOENT; " },
	};
	struct listener l = { .watch.step = listen };
	struct filemap_place place;
	int fds;

	map_begin(lines, mounts, 1);
	map.watch = &l.watch;
	fds = tmptree_open_fds();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		l.text[0] = 0;
		CU_ASSERT_EQUAL(
			filemap_resolve(&map, rows[i].path, rows[i].want, &place), rows[i].expect);
		filemap_leave(&map, &place, false);
		if (strcmp(l.text, rows[i].told))
			printf("     %s: %s\n", rows[i].path, l.text);
		CU_ASSERT_STRING_EQUAL(l.text, rows[i].told);
		CU_ASSERT_PTR_EQUAL(map.watch, &l.watch);
	}
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
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

static const struct unit_case cases[] = {
	{ "cuts_paths_into_components", cuts_paths_into_components },
	{ "knows_dots", knows_dots },
	{ "knows_utf8", knows_utf8 },
	{ "takes_guest_paths", takes_guest_paths },
	{ "finds_whole_names_among_many", finds_whole_names_among_many },
	{ "leads_to_a_directory_a_name_and_rights", leads_to_a_directory_a_name_and_rights },
	{ "tells_why_a_path_leads_nowhere", tells_why_a_path_leads_nowhere },
	{ "tells_who_wants_to_see_it_each_step", tells_who_wants_to_see_it_each_step },
	{ "takes_back_parents_that_were_for_nothing", takes_back_parents_that_were_for_nothing },
	{ "covers_an_object_under_any_spelling", covers_an_object_under_any_spelling },
};

UNIT_MAIN("filemap", cases)
