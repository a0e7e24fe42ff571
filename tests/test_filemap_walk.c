// SPDX-License-Identifier: ISC
/*
 * Resolving step by step: what a watcher is told, what stays open, how deep it goes, and that any
 * descriptor will do. Both engines.
 */
#include "filemap.h"

#include <errno.h>

#include "err.h"
#include "fileio.h"
#include "hostfs.h"
#include "namespace.h"
#include "said.h"
#include "tmptree.h"
#include "unit.h"

static struct tmptree tree;
static struct filemap map;

static const char *const lines[] = { "d h", "d h/sub", "d h/sub/deep", "f h/file x",
	"f h/sub/file x", "l h/link file", "l h/tosub sub", "l h/abs /m/sub/deep",
	"l h/up ../m/file", "l h/loop loop", "l h/dangling none", "l h/toro ro/file",
	"l h/slash sub/", "d h/sub/ro", "d r", "d r/dir", "f r/dir/file x", "l r/dir/link file",
	"f r/file x", "d h/plain", "f h/plain/file x", "l h/plain/link file", "f single x", NULL };

static int begin(const struct hostfs *host, int depth, uint64_t inodes, const char *cwd)
{
	static const struct fileio_mount mounts[] = {
		{ .host = "h", .guest = "/m", .writable = true },
		{ .host = "r", .guest = "/m/sub/ro" },
		{ .host = "single", .guest = "/m/single" },
		{ .host = "h/later", .guest = "/a/b/later", .writable = true, .may_unlink = true },
	};
	enum { N = sizeof(mounts) / sizeof(mounts[0]) };
	static char hosts[N][128];
	struct fileio_mount real[N];
	struct err err;

	for (size_t i = 0; i < N; i++) {
		snprintf(hosts[i], sizeof(hosts[i]), "%s/%s", tree.path, mounts[i].host);
		real[i] = mounts[i];
		real[i].host = hosts[i];
	}
	return filemap_init(&map,
		&(struct filemap_config){ .mounts = real,
			.n_mounts = N,
			.scratch_parent = tree.path,
			.host = host,
			.inodes = inodes,
			.cwd = cwd,
			.depth = depth },
		&err);
}

static void start(const struct hostfs *host, int depth, uint64_t inodes, const char *cwd)
{
	CU_ASSERT_FATAL(!tmptree_make(&tree, lines));
	CU_ASSERT_EQUAL_FATAL(begin(host, depth, inodes, cwd), 0);
}

static void end(void)
{
	filemap_finish(&map);
	tmptree_remove(&tree);
}

/* ---- watchers ---- */

static char told[4000];

static void on_step(struct filemap_watch *watch, const struct filemap_step *s)
{
	static const char *const kinds[FILEMAP_STEP_COUNT] = { "start", "mount", "down", "up",
		"link", "error" };
	size_t at = strlen(told);

	(void)watch;
	at += (size_t)snprintf(told + at, sizeof(told) - at, "%s %.*s", kinds[s->kind],
		(int)s->name.len, s->name.text);
	if (s->text.len)
		at += (size_t)snprintf(
			told + at, sizeof(told) - at, "=%.*s", (int)s->text.len, s->text.text);
	if (map.nodes[s->in].mount != FILEMAP_NONE)
		at += (size_t)snprintf(
			told + at, sizeof(told) - at, " in %d", map.nodes[s->in].mount);
	if (s->r)
		at += (size_t)snprintf(told + at, sizeof(told) - at, " %s", strerrorname_np(-s->r));
	snprintf(told + at, sizeof(told) - at, ", ");
}

static void tells_a_watcher_each_step(void)
{
	static const struct {
		const char *path;
		int expect;
		const char *told;
	} rows[] = {
		{ "/", 0, "start , " },
		{ "/m", 0, "start , mount m in 0, " },
		{ "/m/file", 0, "start , mount m in 0, down file in 0, " },
		{ "/m/sub/deep/none", 0,
			"start , mount m in 0, mount sub in 0, down deep in 0, down none in 0, " },
		{ "/m/link", 0, "start , mount m in 0, link link=file in 0, down file in 0, " },
		{ "/m/tosub/../file", 0,
			"start , mount m in 0, link tosub=sub in 0, mount sub in 0, up .. in 0, "
			"down file in 0, " },
		{ "/m/abs/x", 0,
			"start , mount m in 0, link abs=/m/sub/deep in 0, mount m in 0, "
			"mount sub in 0, down deep in 0, down x in 0, " },
		{ "/m/sub/ro/dir/../../../../a", 0,
			"start , mount m in 0, mount sub in 0, mount ro in 1, down dir in 1, "
			"up .. in 1, up .. in 0, up .. in 0, up .., mount a, " },
		{ "/..", 0, "start , up .., " },
		{ "/m/single", 0, "start , mount m in 0, mount single in 2, " },
		{ "/m/single/x", -ENOTDIR, "start , mount m in 0, error single in 2 ENOTDIR, " },
		{ "/m/file/x", -ENOTDIR, "start , mount m in 0, error file in 0 ENOTDIR, " },
		{ "/a/b/later", 0, "start , mount a, mount b, mount later in 3, " },
		{ "/a/b/later/x", -ENOENT, "start , mount a, mount b, error later in 3 ENOENT, " },
		{ "/none/x", -ENOENT, "start , error none ENOENT, " },
	};
	struct filemap_watch watch = { .step = on_step };
	struct filemap_place place;

	start(NULL, FILEMAP_DEPTH_MAX, 100, NULL);
	map.watch = &watch;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		told[0] = 0;
		CU_ASSERT_EQUAL(filemap_resolve(&map, rows[i].path, FILEMAP_FOLLOW, &place),
			rows[i].expect);
		if (!rows[i].expect)
			filemap_leave(&map, &place, false);
		if (strcmp(told, rows[i].told))
			printf("     %s\n     %s\n", rows[i].path, told);
		CU_ASSERT_STRING_EQUAL(told, rows[i].told);
		CU_ASSERT_PTR_EQUAL(map.watch, &watch);
	}
	end();
	start(NULL, FILEMAP_DEPTH_MAX, 100, "/m/sub");
	map.watch = &watch;
	told[0] = 0;
	CU_ASSERT_EQUAL(filemap_resolve(&map, "file", 0, &place), 0);
	filemap_leave(&map, &place, false);
	CU_ASSERT_STRING_EQUAL(
		told, "start /m/sub/, mount m in 0, mount sub in 0, down file in 0, ");
	end();
}

/* ---- what stays open ---- */

static const struct {
	const char *path;
	unsigned int want;
} paths[] = {
	{ "/", 0 },
	{ "/m/file", 0 },
	{ "/m/./file/", 0 },
	{ "/m/sub/deep/x", 0 },
	{ "/m/sub/deep/x", FILEMAP_PARENT },
	{ "/m/sub/deep/x", FILEMAP_CREATE },
	{ "/m/sub/deep/../file", 0 },
	{ "/m/sub/deep/..", 0 },
	{ "/m/sub/deep/.", 0 },
	{ "/m/sub/deep/./", 0 },
	{ "/m/sub/deep/../deep/../none/x", 0 },
	{ "/m/tosub/deep/..", 0 },
	{ "/m/tosub/deep/none/x", 0 },
	{ "/m/tosub/ro/dir/x", 0 },
	{ "/m/tosub/ro/dir", FILEMAP_FOLLOW },
	{ "/m/sub/ro/dir/file", 0 },
	{ "/m/sub/ro/dir/x", FILEMAP_CREATE },
	{ "/m/sub/ro/dir/link", FILEMAP_FOLLOW },
	{ "/m/tosub", FILEMAP_FOLLOW },
	{ "/m/tosub", 0 },
	{ "/m/slash", FILEMAP_FOLLOW },
	{ "/m/link", FILEMAP_FOLLOW },
	{ "/m/link/", FILEMAP_FOLLOW },
	{ "/m/link/x", FILEMAP_FOLLOW },
	{ "/m/loop", FILEMAP_FOLLOW },
	{ "/m/sub/../loop", FILEMAP_FOLLOW },
	{ "/m/dangling", FILEMAP_FOLLOW | FILEMAP_CREATE },
	{ "/m/dangling/x", FILEMAP_FOLLOW },
	{ "/m/abs/../../up", FILEMAP_FOLLOW },
	{ "/m/up", FILEMAP_FOLLOW },
	{ "/m/toro", FILEMAP_FOLLOW },
	{ "/m/single/x", 0 },
	{ "/a/b/later", 0 },
	{ "/a/b/later/x", 0 },
	{ "/a/b/../b/later", 0 },
	{ "/made/of/dirs/x", FILEMAP_CREATE },
	{ "/made/of/dirs/x/", FILEMAP_CREATE },
	{ "/made/of/../x", FILEMAP_CREATE },
	{ "/made/of/dirs/x", FILEMAP_MKDIR | FILEMAP_PARENT },
	{ "/a/made/x", FILEMAP_MKDIR | FILEMAP_PARENT },
	{ "/a/./made//in/x", FILEMAP_CREATE },
};

/* With views and without, where the host walks and where the kernel does. */
static const struct hostfs *host_of(int i)
{
	static struct hostfs plain;

	plain = hostfs_openat2;
	plain.isolate = NULL;
	return i && hostfs_best() != &hostfs_openat2 ? NULL
	       : i == 0                              ? &hostfs_walk
	       : i == 1                              ? &plain
						     : &hostfs_openat2;
}

enum { N_HOSTS = 3 };

static void leaves_nothing_open(void)
{
	for (int h = 0; h < N_HOSTS && host_of(h); h++) {
		int before = tmptree_open_fds(), fds;

		start(host_of(h), FILEMAP_DEPTH_MAX, 100, NULL);
		fds = tmptree_open_fds();
		for (size_t i = 0; i < 2 * sizeof(paths) / sizeof(paths[0]); i++) {
			struct filemap_place place;
			uint64_t left = map.inodes_left;
			int r = filemap_resolve(&map, paths[i / 2].path, paths[i / 2].want, &place);

			CU_ASSERT(!r || tmptree_open_fds() == fds);
			CU_ASSERT(!r || map.inodes_left == left);
			if (!r)
				filemap_leave(&map, &place, i % 2 == 0);
			CU_ASSERT(i % 2 || map.inodes_left == left);
			CU_ASSERT(!place.owned);
			if (tmptree_open_fds() != fds)
				printf("     %s\n", paths[i / 2].path);
			CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
		}
		end();
		CU_ASSERT_EQUAL(tmptree_open_fds(), before);
	}
}

/* The place, of a row of paths, in text. */
static const char *answer(size_t i)
{
	static char text[FILEMAP_NAME_MAX + 200];
	struct filemap_place place;
	struct stat st = { 0 };
	int r = filemap_resolve(&map, paths[i].path, paths[i].want, &place);

	if (r) {
		snprintf(text, sizeof(text), "%s", strerrorname_np(-r));
		return text;
	}
	CU_ASSERT(!fstat(place.dir, &st));
	snprintf(text, sizeof(text), "kind %d node %d in %d%s%s%s made %d: %s%s", place.kind,
		place.node, place.in, place.writable ? " writable" : "",
		place.slash ? " slash" : "", place.dots ? " dots" : "", place.made,
		place.kind == FILEMAP_NAME ? place.name : "",
		place.kind != FILEMAP_NAME || paths[i].want & FILEMAP_PARENT ? ""
		: place.exists                                               ? " exists"
									     : " no");
	filemap_leave(&map, &place, true);
	return text;
}

/* 0 is a descriptor like any other: as who closes stdin first will see. */
static void descriptor_zero_is_one_too(void)
{
	enum { N = sizeof(paths) / sizeof(paths[0]) };
	static char expect[N][FILEMAP_NAME_MAX + 200];
	int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100);

	if (saved < 0)
		unit_skip("it is closed");
	for (int h = 0; saved >= 0 && h < N_HOSTS && host_of(h); h++) {
		start(host_of(h), FILEMAP_DEPTH_MAX, 100, NULL);
		for (size_t i = 0; i < N; i++)
			strcpy(expect[i], answer(i));
		close(STDIN_FILENO);
		for (size_t i = 0; i < N; i++) { /* it is what is opened to resolve them */
			CU_ASSERT_STRING_EQUAL(answer(i), expect[i]);
			CU_ASSERT(fcntl(STDIN_FILENO, F_GETFD) < 0);
		}
		filemap_finish(&map);
		CU_ASSERT_EQUAL_FATAL(begin(host_of(h), FILEMAP_DEPTH_MAX, 100, NULL), 0);
		CU_ASSERT(fcntl(STDIN_FILENO, F_GETFD) >= 0); /* now it is a mapping */
		for (size_t i = 0; i < N; i++)
			CU_ASSERT_STRING_EQUAL(answer(i), expect[i]);
		end();
		CU_ASSERT(fcntl(STDIN_FILENO, F_GETFD) < 0);
		dup2(saved, STDIN_FILENO);
	}
	close(saved);
}

/* ---- rights and limits ---- */

static bool was_slash;

static int resolved(const char *path, unsigned int want)
{
	struct filemap_place place;
	int r = filemap_resolve(&map, path, want, &place);

	if (r)
		return r;
	was_slash = place.slash;
	filemap_leave(&map, &place, true);
	return place.kind == FILEMAP_NAME && !(want & FILEMAP_PARENT) ? place.exists : 2;
}

/* Directories that may be searched, not read: a path leads through them all the same. */
static void goes_where_one_may_search(void)
{
	static const struct {
		const char *path;
		int expect;
	} rows[] = { { "/m/sub/deep/x", 0 }, { "/m/sub/deep", 1 }, { "/m/sub/file", 1 },
		{ "/m/sub/deep/../file", 1 }, { "/m/tosub/file", 1 }, { "/m/tosub/deep/.", 2 },
		{ "/m/sub/../link", 1 }, { "/m/link/", 1 }, { "/m/sub/deep/../../file", 1 } };
	static const char *const closed[] = { "h/sub/deep", "h/sub", "h" };
	char path[200];

	for (int h = 0; h < N_HOSTS && host_of(h); h++) {
		start(host_of(h), FILEMAP_DEPTH_MAX, 100, NULL);
		for (int i = 0; i < 3; i++) {
			snprintf(path, sizeof(path), "%s/%s", tree.path, closed[i]);
			CU_ASSERT(!chmod(path, 0111));
		}
		obey_modes(true);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			int r = resolved(rows[i].path, FILEMAP_FOLLOW);

			if (r != rows[i].expect)
				printf("     %s: %d\n", rows[i].path, r);
			CU_ASSERT_EQUAL(r, rows[i].expect);
		}
		obey_modes(false);
		for (int i = 3; i-- > 0;) {
			snprintf(path, sizeof(path), "%s/%s", tree.path, closed[i]);
			CU_ASSERT(!chmod(path, 0755));
		}
		end();
	}
}

static void goes_as_deep_as_is_allowed(void)
{
	static const struct {
		const char *path;
		unsigned int want;
		int expect; /* at most 3 directories beneath the root */
	} rows[] = {
		{ "/m/sub/deep/x", 0, 0 },
		{ "/m/sub/deep/..", 0, 2 },
		{ "/m/sub/deep/x/y", 0, -ENOENT },
		{ "/m/sub/deep/.", 0, 2 },
		{ "/m/sub/ro/dir", 0, 1 },
		{ "/m/sub/ro/dir/.", 0, -EDQUOT },
		{ "/m/sub/ro/dir/..", 0, -EDQUOT },
		{ "/m/sub/ro/dir/x", 0, -EDQUOT },
		{ "/m/tosub/ro/dir", 0, 1 },
		{ "/m/tosub/ro/dir/x", 0, -EDQUOT },
		{ "/m/../m/sub/../sub/deep/x", 0, 0 },
		{ "/1/2/3/x", FILEMAP_CREATE, 0 },
		{ "/1/2/3/4/x", FILEMAP_CREATE, -EDQUOT },
		{ "/1/2/3/4", FILEMAP_MKDIR | FILEMAP_PARENT, 2 },
		{ "/1/2/3/4/5", FILEMAP_MKDIR | FILEMAP_PARENT, -EDQUOT },
		{ "/1/2/3/4/x", 0, -ENOENT },
		{ "/a/2/3/x", FILEMAP_CREATE, 0 },
		{ "/a/2/3/4/x", FILEMAP_CREATE, -EDQUOT },
	};

	for (int h = 0; h < N_HOSTS && host_of(h); h++) {
		start(host_of(h), 3, 100, NULL);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			int r = resolved(rows[i].path, rows[i].want);

			if (r != rows[i].expect)
				printf("     %s: %d\n", rows[i].path, r);
			CU_ASSERT_EQUAL(r, rows[i].expect);
		}
		end();
	}
}

/* Of three: those made on the way are given back when the rest is too much. */
static void makes_as_many_parents_as_are_left(void)
{
	static const struct {
		const char *path;
		int expect, kept; /* kept: those that stay when it was for something */
	} rows[] = { { "/x", 0, 0 }, { "/1/x", 0, 1 }, { "/1/2/3/x", 0, 2 }, { "/1/2/3/x", 0, 0 },
		{ "/1/2/3/4/x", -ENOSPC, 0 }, { "/5/6/x", -ENOSPC, 0 },
		{ "/1/2/../5/x", -ENOENT, 0 } };

	for (int h = 0; h < N_HOSTS && host_of(h); h++) {
		uint64_t left = 3;

		start(host_of(h), FILEMAP_DEPTH_MAX, left, NULL);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			struct filemap_place place;
			int r;

			if (!rows[i].expect) {
				CU_ASSERT_EQUAL(resolved(rows[i].path, FILEMAP_CREATE), 0);
				CU_ASSERT_EQUAL(map.inodes_left, left);
			}
			r = filemap_resolve(&map, rows[i].path, FILEMAP_CREATE, &place);
			CU_ASSERT_EQUAL(r, rows[i].expect);
			if (!r)
				filemap_leave(&map, &place, false);
			left -= (uint64_t)rows[i].kept;
			CU_ASSERT_EQUAL(map.inodes_left, left);
		}
		end();
	}
}

/* Whether only a directory will do, by either way; and names that are too long. */
static void a_slash_behind_a_name_is_told(void)
{
	static char long_here[300] = "/m/plain/", long_ro[300] = "/m/sub/ro/",
		    long_up[300] = "/m/..//m/";
	static const struct {
		const char *path;
		unsigned int want;
		int expect;
		bool slash;
	} rows[] = {
		{ "/m/plain/file", 0, 1, false },
		{ "/m/plain/file/", 0, 1, true },
		{ "/m/plain/none//", 0, 0, true },
		{ "/m/plain/../plain/file/", 0, 1, true },
		{ "/m/plain/../plain/file", 0, 1, false },
		{ "/m/plain/link/", 0, 1, true },
		{ "/m/plain/link", 0, 1, false },
		{ "/m/plain/file", FILEMAP_PARENT, 2, false },
		{ "/m/plain/file/", FILEMAP_PARENT, 2, true },
		{ "/m/plain/new/", FILEMAP_CREATE, -EISDIR, false },
		{ "/m/plain/../new/", FILEMAP_CREATE, -EISDIR, false },
		/* Nothing is covered in here: the host finds it at once. */
		{ "/none/of/x", 0, -ENOENT, false }, /* nothing is made to look at it */
		{ "/none/of/x", FILEMAP_PARENT, -ENOENT, false },
		{ "/m/sub/ro/dir/file", 0, 1, false },
		{ "/m/sub/ro/dir/file/", 0, 1, true },
		{ "/m/sub/ro/dir/link/", 0, 1, true },
		{ "/m/sub/ro/dir/link", 0, 1, false },
		{ "/m/sub/ro/dir/file/", FILEMAP_PARENT, 2, true },
		{ "/m/sub/ro/dir/new/", FILEMAP_CREATE, -EISDIR, false },
		{ "/m/single", 0, 2, false },
		{ "/m/single/", 0, 2, true },
		{ "/m/../m/single", 0, 2, false },
		{ "/m/../m/single/", 0, 2, true },
		{ "/m/single/", FILEMAP_CREATE, -EISDIR, false },
		{ "/m/../m/single/", FILEMAP_CREATE, -EISDIR, false },
		{ "/m/../m/single", FILEMAP_CREATE, 2, false },
		{ long_here, 0, -ENAMETOOLONG, false },
		{ long_here, FILEMAP_PARENT, -ENAMETOOLONG, false },
		{ long_here, FILEMAP_CREATE, -ENAMETOOLONG, false },
		{ long_up, 0, -ENAMETOOLONG, false },
		{ long_up, FILEMAP_PARENT, -ENAMETOOLONG, false },
		{ long_ro, 0, -ENAMETOOLONG, false },
		{ long_ro, FILEMAP_PARENT, -EROFS, false },
		{ long_ro, FILEMAP_PARENT | FILEMAP_MKDIR, -ENAMETOOLONG, false },
		{ long_ro, FILEMAP_CREATE, -ENAMETOOLONG, false },
	};
	char *const longs[] = { long_here, long_ro, long_up };

	for (int i = 0; i < 3; i++)
		memset(longs[i] + strlen(longs[i]), 'x', FILEMAP_NAME_MAX + 1);
	for (int h = 0; h < N_HOSTS && host_of(h); h++) {
		start(host_of(h), FILEMAP_DEPTH_MAX, 100, NULL);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			int r = resolved(rows[i].path, rows[i].want);

			if (r != rows[i].expect || (r >= 0 && was_slash != rows[i].slash))
				printf("     %s: %d%s\n", rows[i].path, r,
					was_slash ? " slash" : "");
			CU_ASSERT_EQUAL(r, rows[i].expect);
			CU_ASSERT(r < 0 || was_slash == rows[i].slash);
		}
		end();
	}
}

static void opens_directories_as_asked(void)
{
	static const int flags[] = { O_RDONLY, O_RDONLY | O_DIRECTORY, O_PATH };
	static const char *const dirs[] = { "/", "/m", "/m/plain/.", "/a" };
	struct filemap_place place;

	start(NULL, FILEMAP_DEPTH_MAX, 100, NULL);
	for (int i = 0; i < 12; i++) {
		int fd;

		CU_ASSERT_EQUAL_FATAL(filemap_resolve(&map, dirs[i / 3], 0, &place), 0);
		CU_ASSERT_EQUAL(place.kind, FILEMAP_DIR);
		fd = filemap_open(&map, &place, flags[i % 3], 0);
		CU_ASSERT(fd >= 0);
		CU_ASSERT_EQUAL(fcntl(fd, F_GETFL) & O_PATH, flags[i % 3] & O_PATH);
		close(fd);
		filemap_leave(&map, &place, false);
	}
	end();
}

static ssize_t link_says;
static int links_read;

static ssize_t told_readlink(int dir, const char *name, char *buf, size_t size)
{
	(void)dir, (void)name;
	links_read++;
	if (link_says > 0)
		memset(buf, 'x', (size_t)link_says < size ? (size_t)link_says : size);
	return link_says > (ssize_t)size ? (ssize_t)size : link_says;
}

/* What a host may say that a link says; it was one a moment ago. */
static void bears_links_of_any_text(void)
{
	static const struct {
		ssize_t says;
		int expect, read;
	} rows[] = { { 0, -ENOENT, 1 }, { 1, 0, 1 }, { 255, 0, 1 }, { 256, -ENAMETOOLONG, 1 },
		{ 4095, -ENAMETOOLONG, 1 }, { 4096, -ENAMETOOLONG, 1 }, { -EACCES, -EACCES, 1 },
		{ -EINVAL, -EAGAIN, FILEMAP_TRIES }, { -ENOENT, -EAGAIN, FILEMAP_TRIES } };
	struct hostfs host = *hostfs_best();

	host.readlink = told_readlink;
	start(&host, FILEMAP_DEPTH_MAX, 100, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		link_says = rows[i].says;
		links_read = 0;
		CU_ASSERT_EQUAL(resolved("/m/link", FILEMAP_FOLLOW), rows[i].expect);
		CU_ASSERT_EQUAL(links_read, rows[i].read);
	}
	end();
}

/* ---- what is opened at the start ---- */

/* One mapping on /m, one beneath it. */
static void start_two(const struct hostfs *host, const char *outer, const char *inner,
	const char *inner_guest, bool submounts)
{
	char hosts[2][128];
	const struct fileio_mount mounts[] = {
		{ .host = hosts[0], .guest = "/m", .writable = true, .submounts = submounts },
		{ .host = hosts[1], .guest = inner_guest, .submounts = submounts },
	};
	struct err err;

	CU_ASSERT_FATAL(!tmptree_make(&tree, lines));
	snprintf(hosts[0], sizeof(hosts[0]), "%s/%s", tree.path, outer);
	snprintf(hosts[1], sizeof(hosts[1]), "%s/%s", tree.path, inner);
	CU_ASSERT_EQUAL_FATAL(filemap_init(&map,
				      &(struct filemap_config){ .mounts = mounts,
					      .n_mounts = 2,
					      .scratch_parent = tree.path,
					      .host = host,
					      .inodes = 100,
					      .depth = FILEMAP_DEPTH_MAX },
				      &err),
		0);
}

/*
 * What is in the way of a mapping's name, and no directory, is not opened: an empty one stands there. Of a link that is
 * hidden so a word is said.
 */
static void a_directory_stands_where_the_host_has_none(void)
{
	static const char *const names[] = { "file", "link", "none", "loop" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char guest[64], file[80], other[80], text[400];
		struct said said;

		snprintf(guest, sizeof(guest), "/m/%s/in", names[i]);
		snprintf(file, sizeof(file), "%s/file", guest);
		snprintf(other, sizeof(other), "/m/%s/other", names[i]);
		said_begin(&said);
		start_two(NULL, "h", "r", guest, false);
		said_end(&said, text, sizeof(text));
		CU_ASSERT_EQUAL(text[0] != 0, names[i][0] == 'l');
		CU_ASSERT_EQUAL(resolved(guest, FILEMAP_FOLLOW), 2);
		CU_ASSERT_EQUAL(resolved(file, FILEMAP_FOLLOW), 1);
		CU_ASSERT_EQUAL(resolved(other, FILEMAP_FOLLOW), 0);
		CU_ASSERT_EQUAL(resolved("/m/sub/file", FILEMAP_FOLLOW), 1);
		for (int n = 0; n < map.tree.n_nodes; n++) {
			struct stat st;

			CU_ASSERT(!fstat(map.nodes[n].fd, &st) && S_ISDIR(st.st_mode));
			CU_ASSERT(fcntl(map.nodes[n].fd, F_GETFL) & O_PATH);
		}
		end();
	}
}

static int views;

static int count_view(int dir, const char *path, bool writable)
{
	(void)dir, (void)writable;
	views += path != NULL; /* not of what we have made ourselves */
	return -EPERM;
}

static void views_show_no_mounts_that_should_be_seen(void)
{
	struct hostfs host = *hostfs_best();

	host.isolate = count_view;
	for (int submounts = 0; submounts < 2; submounts++) {
		views = 0;
		start_two(&host, "h", "r", "/m/sub", submounts);
		CU_ASSERT_EQUAL(views, submounts ? 0 : 2);
		CU_ASSERT_EQUAL(resolved("/m/sub/file", FILEMAP_FOLLOW), 1);
		end();
	}
}

/* Where a mapping shows what is mounted inside, so does what lies between it and another mapping. */
static void directories_between_show_as_much(void)
{
	for (int submounts = 0; submounts < 2; submounts++) {
		int found = 0;

		start_two(NULL, "h", "r", "/m/plain/in", submounts);
		for (int n = 0; n < map.tree.n_nodes; n++) {
			const struct filemap_branch *branch = &map.tree.nodes[n];

			if (branch->len != 5 || memcmp(branch->name, "plain", 5))
				continue;
			CU_ASSERT_EQUAL(map.nodes[n].how, submounts ? HOSTFS_XDEV : 0);
			found++;
		}
		CU_ASSERT_EQUAL(found, 1);
		end();
	}
}

static bool closed[3];

static void note_close(int fd)
{
	if (fd >= 0 && fd < 3)
		closed[fd] = true;
	else
		hostfs_best()->close(fd);
}

static void closes_any_number_at_the_end(void)
{
	struct hostfs host = *hostfs_best();

	host.close = note_close;
	start_two(&host, "h", "r", "/m/sub", false);
	for (int i = 0; i < 3; i++) {
		close(map.nodes[i].fd);
		map.nodes[i].fd = i;
		closed[i] = false;
	}
	filemap_finish(&map);
	CU_ASSERT(closed[0] && closed[1] && closed[2]);
	tmptree_remove(&tree);
}

static const struct unit_case cases[] = {
	{ "tells_a_watcher_each_step", tells_a_watcher_each_step },
	{ "leaves_nothing_open", leaves_nothing_open },
	{ "descriptor_zero_is_one_too", descriptor_zero_is_one_too },
	{ "goes_where_one_may_search", goes_where_one_may_search },
	{ "goes_as_deep_as_is_allowed", goes_as_deep_as_is_allowed },
	{ "makes_as_many_parents_as_are_left", makes_as_many_parents_as_are_left },
	{ "a_slash_behind_a_name_is_told", a_slash_behind_a_name_is_told },
	{ "opens_directories_as_asked", opens_directories_as_asked },
	{ "bears_links_of_any_text", bears_links_of_any_text },
	{ "a_directory_stands_where_the_host_has_none",
		a_directory_stands_where_the_host_has_none },
	{ "directories_between_show_as_much", directories_between_show_as_much },
	{ "views_show_no_mounts_that_should_be_seen", views_show_no_mounts_that_should_be_seen },
	{ "closes_any_number_at_the_end", closes_any_number_at_the_end },
};

UNIT_MAIN("filemap_walk", cases)
