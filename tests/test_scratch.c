// SPDX-License-Identifier: ISC
/* Private directories: where they may be made, and that they go with all that is in them. */
#include "scratch.h"

#include <errno.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "err.h"
#include "namespace.h"
#include "refuse.h"
#include "said.h"
#include "tmptree.h"
#include "unit.h"

static struct tmptree tree;

static void make_tree(const char *line)
{
	CU_ASSERT_FATAL(!tmptree_make(&tree, (const char *const[]){ line, NULL }));
}

static int entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = -2; /* . and .. */

	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void is_made_in_tmpdir_or_in_tmp(void)
{
	char *tmpdir = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;
	struct scratch scratch;
	struct stat st, other;
	struct err err;

	make_tree("d unused");
	setenv("TMPDIR", tree.path, 1);
	CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, NULL, &err), 0);
	CU_ASSERT_EQUAL(entries(tree.path), 2);
	CU_ASSERT(!fstat(scratch.dir, &st) && (st.st_mode & 07777) == 0700);
	CU_ASSERT(fcntl(scratch.dir, F_GETFL) & O_PATH);
	scratch_finish(&scratch);
	CU_ASSERT_EQUAL(entries(tree.path), 1);
	CU_ASSERT(scratch.dir == -1 && scratch.parent == -1);
	scratch_finish(&scratch); /* and once more does nothing */
	for (int i = 0; i < 2; i++) {
		i ? unsetenv("TMPDIR") : setenv("TMPDIR", "", 1);
		CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, NULL, &err), 0);
		CU_ASSERT(!fstat(scratch.parent, &st) && !stat("/tmp", &other) &&
			  st.st_ino == other.st_ino && st.st_dev == other.st_dev);
		scratch_finish(&scratch);
	}
	if (tmpdir)
		setenv("TMPDIR", tmpdir, 1);
	free(tmpdir);
	tmptree_remove(&tree);
}

static void says_where_it_cannot_be_made(void)
{
	static const struct {
		const char *parent;
		int expect;
		const char *says;
	} rows[] = {
		{ "/no/such/place", -ENOENT, "set TMPDIR to a directory" },
		{ "/dev/null", -ENOTDIR, "set TMPDIR to a directory" },
		{ "/proc", -ENOENT, "set TMPDIR to one you can write to" },
	};
	int fds = tmptree_open_fds();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scratch scratch;
		struct err err;

		CU_ASSERT_EQUAL(scratch_init(&scratch, rows[i].parent, &err), rows[i].expect);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].says));
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].parent));
		CU_ASSERT(scratch.dir == -1 && scratch.parent == -1);
	}
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
}

static void is_not_made_where_others_could_replace_it(void)
{
	static const struct {
		mode_t mode;
		uid_t owner;
		int expect;
	} rows[] = {
		{ 0755, 0, 0 },
		{ 0777, 0, -EPERM },
		{ 0775, 0, -EPERM },
		{ 01777, 0, 0 },
		{ 0755, 12345, -EPERM },
		{ 01777, 12345, -EPERM },
	};
	struct scratch scratch;
	struct err err;
	int r;

	make_tree("d parent");
	strcat(tree.path, "/parent");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].owner && chown(tree.path, rows[i].owner, (gid_t)-1)) {
			unit_skip("only root can give a directory away");
			break;
		}
		CU_ASSERT(!chmod(tree.path, rows[i].mode));
		r = scratch_init(&scratch, tree.path, &err);
		CU_ASSERT_EQUAL(r, rows[i].expect);
		if (!r)
			scratch_finish(&scratch);
		CU_ASSERT_EQUAL(entries(tree.path), 0);
	}
	*strrchr(tree.path, '/') = 0;
	tmptree_remove(&tree);
}

/* As /tmp is: root's, and anybody's to write to. */
static void is_made_where_root_lets_all(void)
{
	struct scratch scratch;
	struct err err;
	int r;

	make_tree("d unused");
	CU_ASSERT(!chmod(tree.path, 01777));
	if (geteuid() || seteuid(12345)) {
		unit_skip("only root can be another user");
	} else {
		r = scratch_init(&scratch, tree.path, &err);
		scratch_finish(&scratch);
		/* The leak checker looks from outside. */
		CU_ASSERT(!seteuid(0) && !prctl(PR_SET_DUMPABLE, 1));
		CU_ASSERT_EQUAL(r, 0);
	}
	CU_ASSERT_EQUAL(entries(tree.path), 1);
	tmptree_remove(&tree);
}

static void goes_with_all_that_is_in_it(void)
{
	static const char *const lines[] = { "f %s/file text", "l %s/link /nowhere", "p %s/fifo",
		"d %s/empty", "d %s/a", "f %s/a/file text", "d %s/a/b", "l %s/a/b/up ../..",
		"d %s/a/b/c", "f %s/a/b/c/deep text", "d %s/a/d", "d %s/shut",
		"f %s/shut/file text", "l %s/outside ../kept" };
	struct scratch scratch;
	struct err err;
	char line[200], path[200];

	make_tree("d kept");
	CU_ASSERT(!tmptree_add(&tree, "f kept/file text"));
	CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, tree.path, &err), 0);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		snprintf(line, sizeof(line), lines[i], scratch.name);
		CU_ASSERT(!tmptree_add(&tree, line));
	}
	snprintf(path, sizeof(path), "%s/%s/a/b", tree.path, scratch.name);
	CU_ASSERT(!chmod(path, 0)); /* as a guest may leave it */
	snprintf(path, sizeof(path), "%s/%s/shut", tree.path, scratch.name);
	CU_ASSERT(!chmod(path, 0));
	obey_modes(true);
	scratch_finish(&scratch);
	obey_modes(false);
	CU_ASSERT_EQUAL(entries(tree.path), 1);
	snprintf(path, sizeof(path), "%s/kept", tree.path);
	CU_ASSERT_EQUAL(entries(path), 1); /* no link is followed */
	tmptree_remove(&tree);
}

/* A file system may leave out the name behind one that has just gone. */
static bool skips;

struct dirent *readdir(DIR *stream)
{
	static bool skip_one;
	struct dirent *entry;

	do
		entry = (struct dirent *)readdir64(stream);
	while (entry && entry->d_name[0] != '.' && skip_one && !(skip_one = false));
	skip_one = skips && entry && entry->d_name[0] != '.';
	return entry;
}

static void goes_where_reading_skips_names(void)
{
	static const char *const trees[][6] = {
		{ "f %s/a text", "f %s/b text", "f %s/c text" },
		{ "d %s/a", "f %s/a/b text", "f %s/a/c text" },
		{ "d %s/a", "d %s/a/b", "f %s/a/b/f text", "d %s/a/c", "f %s/a/c/f text" },
	};

	for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++) {
		struct scratch scratch;
		struct err err;
		char line[200];

		make_tree("d kept");
		CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, tree.path, &err), 0);
		for (int k = 0; k < 6 && trees[i][k]; k++) {
			snprintf(line, sizeof(line), trees[i][k], scratch.name);
			CU_ASSERT(!tmptree_add(&tree, line));
		}
		skips = true;
		scratch_finish(&scratch);
		skips = false;
		CU_ASSERT_EQUAL(entries(tree.path), 1);
		tmptree_remove(&tree);
	}
}

static void descriptor_zero_is_one_too(void)
{
	int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100);
	struct scratch scratch;
	struct err err;

	make_tree("d kept");
	close(STDIN_FILENO);
	CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, tree.path, &err), 0);
	CU_ASSERT_EQUAL(scratch.parent, STDIN_FILENO);
	scratch_finish(&scratch);
	CU_ASSERT(fcntl(STDIN_FILENO, F_GETFD) < 0);
	dup2(saved, STDIN_FILENO);
	close(saved);
	CU_ASSERT_EQUAL(entries(tree.path), 1);
	tmptree_remove(&tree);
}

static void a_subdirectory_is_made_or_found(void)
{
	struct stat made, found;
	struct scratch scratch;
	struct err err;
	int fd;

	umask(022);
	make_tree("d kept");
	CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, tree.path, &err), 0);
	fd = scratch_subdir(scratch.dir, "sub");
	CU_ASSERT(fd >= 0 && !fstat(fd, &made) && S_ISDIR(made.st_mode));
	CU_ASSERT_EQUAL(made.st_mode & 0777, 0755);
	close(fd);
	fd = scratch_subdir(scratch.dir, "sub");
	CU_ASSERT(fd >= 0 && !fstat(fd, &found) && found.st_ino == made.st_ino);
	close(fd);
	CU_ASSERT(!symlinkat("sub", scratch.dir, "link") && !mkfifoat(scratch.dir, "fifo", 0600));
	CU_ASSERT_EQUAL(scratch_subdir(scratch.dir, "link"), -ELOOP);
	CU_ASSERT_EQUAL(scratch_subdir(scratch.dir, "fifo"), -ENOTDIR);
	CU_ASSERT_EQUAL(scratch_subdir(scratch.dir, "none/sub"), -ENOENT);
	scratch_finish(&scratch);
	CU_ASSERT_EQUAL(entries(tree.path), 1);
	tmptree_remove(&tree);
}

/* Somebody has taken it away: that is said on stderr, and no reason to touch anything else. */
static void one_that_was_moved_away_is_emptied(void)
{
	int fds = tmptree_open_fds();
	struct scratch scratch;
	struct said said;
	char from[200], to[200], text[200];
	struct err err;

	make_tree("f kept text");
	CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, tree.path, &err), 0);
	snprintf(from, sizeof(from), "%s/%s", tree.path, scratch.name);
	snprintf(to, sizeof(to), "%s/moved", tree.path);
	CU_ASSERT(!mkdirat(scratch.dir, "inside", 0755));
	CU_ASSERT(!rename(from, to));
	said_begin(&said);
	scratch_finish(&scratch);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(said_end(&said, text, sizeof(text)), "not removed: No such file"));
	CU_ASSERT_EQUAL(entries(to), 0);
	CU_ASSERT_EQUAL(entries(tree.path), 2);
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	tmptree_remove(&tree);
}

/* What stands where it was made belongs to somebody else: it is refused, and not ours to remove. */
static void one_that_is_not_ours_is_refused(void)
{
	int fds = tmptree_open_fds(), r;
	struct scratch scratch;
	struct err err;

	make_tree("d parent");
	strcat(tree.path, "/parent");
	CU_ASSERT(!chmod(tree.path, 01777));
	setfsuid(12345); /* who makes files, not who we are */
	if (setfsuid((uid_t)-1) != 12345) {
		unit_skip("only root can make files for somebody else");
	} else {
		r = scratch_init(&scratch, tree.path, &err);
		CU_ASSERT_EQUAL(r, -EPERM);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "was replaced while it was made"));
		CU_ASSERT(scratch.dir == -1 && scratch.parent == -1);
		CU_ASSERT_EQUAL(entries(tree.path), 1);
		CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	}
	setfsuid(geteuid());
	*strrchr(tree.path, '/') = 0;
	tmptree_remove(&tree);
}

enum { NO_FILTER = 77 };

/* In a child to which a call is refused: what it says then. 0 when that is as expected. */
static int init_without(long nr, int error, int expect)
{
	int fds = tmptree_open_fds();
	struct scratch scratch;
	struct err err;

	if (refuse_call(nr, error))
		return NO_FILTER;
	return !(scratch_init(&scratch, tree.path, &err) == expect &&
		 strstr(err.text, strerror(-expect)) && strstr(err.text, "set TMPDIR") &&
		 scratch.dir == -1 && scratch.parent == -1 && tmptree_open_fds() == fds);
}

static void says_when_no_name_is_to_be_had(void)
{
	static const struct {
		long nr;
		int error, expect;
	} rows[] = {
		{ SYS_mkdirat, EEXIST, -EEXIST }, /* they are all taken */
		{ SYS_mkdirat, EROFS, -EROFS },
		{ SYS_getrandom, ENOSYS, -EIO },
	};

	make_tree("d kept");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int status = -1;
		pid_t child;

		fflush(stdout);
		child = fork();
		if (!child)
			_exit(init_without(rows[i].nr, rows[i].error, rows[i].expect));
		waitpid(child, &status, 0);
		if (WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTER)
			unit_skip("seccomp filters are not allowed here");
		else
			CU_ASSERT_EQUAL(status, 0);
		CU_ASSERT_EQUAL(entries(tree.path), 1);
	}
	tmptree_remove(&tree);
}

/* In a child to which nothing gives way: 0 when that ends all the same. */
static int finish_in_vain(void)
{
	struct scratch scratch;
	struct err err;

	if (scratch_init(&scratch, tree.path, &err) || mkdirat(scratch.dir, "a", 0700) ||
		mkdirat(scratch.dir, "a/b", 0700))
		return 1;
	if (refuse_call(SYS_unlinkat, EISDIR))
		return NO_FILTER;
	alarm(10);
	scratch_finish(&scratch);
	return 0;
}

static void gives_up_on_what_does_not_go(void)
{
	int status = -1;
	pid_t child;

	make_tree("d kept");
	fflush(stdout);
	child = fork();
	if (!child)
		_exit(finish_in_vain());
	waitpid(child, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTER)
		unit_skip("seccomp filters are not allowed here");
	else
		CU_ASSERT_EQUAL(status, 0);
	tmptree_remove(&tree);
}

/* Needs no descriptor. */
static bool fill(int dir)
{
	return !mkdirat(dir, "d", 0755) && !mkdirat(dir, "d/e", 0755) &&
	       !mkdirat(dir, "d/e/f", 0755) && !mknodat(dir, "d/e/f/file", S_IFREG | 0644, 0) &&
	       !fchmodat(dir, "d/e", 0, 0);
}

/* It is made when it can be removed: whatever is left of descriptors. */
static void few_descriptors_leave_nothing_behind(void)
{
	struct rlimit old, limit;
	struct scratch scratch;
	int refused = 0, made = 0, first;
	struct err err;

	make_tree("d kept");
	getrlimit(RLIMIT_NOFILE, &old);
	limit = old;
	first = dup(0);
	close(first);
	for (int left = 0; left < 10; left++) {
		int r;

		limit.rlim_cur = (rlim_t)(first + left);
		setrlimit(RLIMIT_NOFILE, &limit);
		obey_modes(true);
		r = scratch_init(&scratch, tree.path, &err);
		if (r)
			refused += r == -EMFILE &&
				   strstr(err.text, "Too many open files; raise ulimit -n");
		else
			made += fill(scratch.dir);
		scratch_finish(&scratch);
		obey_modes(false);
		setrlimit(RLIMIT_NOFILE, &old);
		CU_ASSERT_EQUAL(entries(tree.path), 1);
	}
	CU_ASSERT(refused > 1 && made > 1 && refused + made == 10);
	tmptree_remove(&tree);
}

static const struct unit_case cases[] = {
	{ "gives_up_on_what_does_not_go", gives_up_on_what_does_not_go },
	{ "is_made_in_tmpdir_or_in_tmp", is_made_in_tmpdir_or_in_tmp },
	{ "says_where_it_cannot_be_made", says_where_it_cannot_be_made },
	{ "is_not_made_where_others_could_replace_it", is_not_made_where_others_could_replace_it },
	{ "is_made_where_root_lets_all", is_made_where_root_lets_all },
	{ "one_that_is_not_ours_is_refused", one_that_is_not_ours_is_refused },
	{ "says_when_no_name_is_to_be_had", says_when_no_name_is_to_be_had },
	{ "goes_with_all_that_is_in_it", goes_with_all_that_is_in_it },
	{ "goes_where_reading_skips_names", goes_where_reading_skips_names },
	{ "descriptor_zero_is_one_too", descriptor_zero_is_one_too },
	{ "few_descriptors_leave_nothing_behind", few_descriptors_leave_nothing_behind },
	{ "a_subdirectory_is_made_or_found", a_subdirectory_is_made_or_found },
	{ "one_that_was_moved_away_is_emptied", one_that_was_moved_away_is_emptied },
};

UNIT_MAIN("scratch", cases)
