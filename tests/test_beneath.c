// SPDX-License-Identifier: ISC
/* Opening and looking beneath a directory: what both engines answer, and leave open. */
#include "beneath.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "filemap_path.h"
#include "namespace.h"
#include "tmptree.h"
#include "unit.h"

typedef int open_fn(int dir, const char *path, int flags, mode_t mode, unsigned int how);

static const struct {
	const char *name;
	open_fn *open;
} engines[] = { { "walk", beneath_walk }, { "openat2", beneath_openat2 } };

enum { N_ENGINES = 2, ANY = 0 };

static struct tmptree tree;
static int top;

static bool begin(int engine)
{
	static const char *const lines[] = { "d dir", "d dir/sub", "f dir/file hello",
		"f dir/sub/deep deep", "l dir/link file", "l dir/away ../out", "l todir dir",
		"l dangling nothing", "f out outside", "p fifo", NULL };

	if (engines[engine].open == beneath_openat2 && beneath_probe()) {
		unit_skip("this kernel has no openat2");
		return false;
	}
	umask(022);
	CU_ASSERT_FATAL(!tmptree_make(&tree, lines));
	top = open(tree.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CU_ASSERT_FATAL(top >= 0);
	return true;
}

static void end(void)
{
	close(top);
	tmptree_remove(&tree);
}

static off_t size_of(const char *name)
{
	struct stat st;

	return fstatat(top, name, &st, AT_SYMLINK_NOFOLLOW) ? -1 : st.st_size;
}

struct row {
	const char *path;
	int flags, expect;
	const char *is; /* what was opened, beneath the top */
};

static bool is_object(int fd, const char *name)
{
	struct stat a, b;

	return !fstat(fd, &a) && !fstatat(top, name, &b, AT_SYMLINK_NOFOLLOW) &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static void check_row(int engine, const struct row *row)
{
	int fd = engines[engine].open(top, row->path, row->flags, 0640, 0), got;

	if (row->expect ? fd != row->expect : fd < 0)
		printf("     %s: \"%.40s\", %#o: %d\n", engines[engine].name, row->path,
			(unsigned int)row->flags, fd);
	CU_ASSERT(row->expect ? fd == row->expect : fd >= 0);
	if (fd < 0)
		return;
	CU_ASSERT(is_object(fd, row->is));
	CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
	got = fcntl(fd, F_GETFL);
	CU_ASSERT_EQUAL(got & O_PATH, row->flags & O_PATH);
	if (!(row->flags & O_TRUNC)) /* which may need more */
		CU_ASSERT_EQUAL(got & O_ACCMODE, row->flags & O_ACCMODE);
	CU_ASSERT_EQUAL(got & O_NONBLOCK, row->flags & O_NONBLOCK);
	close(fd);
}

#define NEW (O_WRONLY | O_CREAT)

static char longest[FILEMAP_NAME_MAX + 1], too_long[400], too_long_on[400];

static const struct row rows[] = {
	{ "", O_RDONLY, -ENOENT, NULL },
	{ ".", O_PATH | O_DIRECTORY, 0, "." },
	{ "./", O_RDONLY | O_DIRECTORY, 0, "." },
	{ ".//./.", O_RDONLY, 0, "." },
	{ "dir", O_PATH | O_DIRECTORY, 0, "dir" },
	{ "dir", O_RDONLY, 0, "dir" },
	{ "dir/", O_RDONLY, 0, "dir" },
	{ "dir/.", O_RDONLY, 0, "dir" },
	{ "dir/.", O_PATH | O_DIRECTORY, 0, "dir" },
	{ "dir//sub///.", O_RDONLY | O_DIRECTORY, 0, "dir/sub" },
	{ "./dir/./sub/deep", O_RDONLY, 0, "dir/sub/deep" },
	{ "dir/file", O_RDONLY, 0, "dir/file" },
	{ "dir/file", O_RDWR, 0, "dir/file" },
	{ "dir/file", O_WRONLY | O_APPEND, 0, "dir/file" },
	{ "dir/file", O_PATH, 0, "dir/file" },
	{ "dir/file", O_PATH | O_NOFOLLOW, 0, "dir/file" },
	{ "dir/file", O_PATH | O_DIRECTORY, -ENOTDIR, NULL },
	{ "dir/file", O_RDONLY | O_DIRECTORY, -ENOTDIR, NULL },
	{ "dir/file/", O_PATH, -ENOTDIR, NULL },
	{ "dir/file/.", O_PATH | O_DIRECTORY, -ENOTDIR, NULL },
	{ "dir/file/on", O_RDONLY, -ENOTDIR, NULL },
	{ "dir/sub", O_RDWR, -EISDIR, NULL },
	{ "none", O_RDONLY, -ENOENT, NULL },
	{ "none", O_PATH, -ENOENT, NULL },
	{ "none/on", O_RDONLY, -ENOENT, NULL },
	{ "none/on", NEW, -ENOENT, NULL },
	{ "dir/link", O_RDONLY, -ELOOP, NULL },
	{ "dir/link", O_RDONLY | O_NOFOLLOW, -ELOOP, NULL },
	{ "dir/link", O_PATH, -ELOOP, NULL },
	{ "dir/link", O_PATH | O_NOFOLLOW, 0, "dir/link" },
	{ "dir/away", O_RDONLY, -ELOOP, NULL },
	{ "todir", O_PATH | O_DIRECTORY, -ELOOP, NULL },
	{ "todir", O_PATH | O_NOFOLLOW | O_DIRECTORY, -ELOOP, NULL },
	{ "todir", O_RDONLY | O_DIRECTORY, -ELOOP, NULL },
	{ "todir/file", O_RDONLY, -ELOOP, NULL },
	{ "todir/file", O_PATH | O_NOFOLLOW, -ELOOP, NULL },
	{ "dangling", NEW, -ELOOP, NULL },
	{ "dangling", NEW | O_EXCL, -EEXIST, NULL },
	{ "dangling", O_RDONLY | O_EXCL, -ELOOP, NULL },
	{ "dir/file", NEW, 0, "dir/file" },
	{ "dir/file", NEW | O_EXCL, -EEXIST, NULL },
	{ "dir/new", NEW | O_EXCL, 0, "dir/new" },
	{ "new", NEW, 0, "new" },
	{ "fifo", O_RDONLY | O_NONBLOCK, 0, "fifo" },
	{ "fifo", O_WRONLY | O_NONBLOCK, -ENXIO, NULL },
	{ "fifo", O_RDONLY | O_NONBLOCK | O_TRUNC, 0, "fifo" },
	{ "fifo", O_PATH, 0, "fifo" },
	{ longest, NEW, 0, longest },
	{ longest, O_RDONLY, 0, longest },
	{ too_long, O_RDONLY, -ENAMETOOLONG, NULL },
	{ too_long, O_PATH, -ENAMETOOLONG, NULL },
	{ too_long, NEW, -ENAMETOOLONG, NULL },
	{ too_long_on, O_RDONLY, -ENAMETOOLONG, NULL },
	{ "none/..", O_RDONLY, -ENOENT, NULL },
};

static void opens_what_lies_beneath(void)
{
	memset(longest, 'x', FILEMAP_NAME_MAX);
	memset(too_long, 'x', sizeof(too_long) - 1);
	memset(too_long_on, 'x', FILEMAP_NAME_MAX + 1);
	strcpy(too_long_on + FILEMAP_NAME_MAX + 1, "/on");
	for (int engine = 0; engine < N_ENGINES; engine++) {
		int fds = tmptree_open_fds();
		struct stat st;

		if (!begin(engine))
			return;
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			check_row(engine, &rows[i]);
		CU_ASSERT(!fstatat(top, "new", &st, 0) && (st.st_mode & 07777) == 0640);
		CU_ASSERT(size_of("nothing") == -1 && size_of("out") == 7);
		CU_ASSERT_EQUAL(size_of("dir/file"), 5);
		end();
		CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	}
}

static void walks_no_dotdot(void)
{
	static const char *const paths[] = { "..", "../out", "dir/../..", "dir/sub/../../../x" };

	for (int engine = 0; engine < N_ENGINES; engine++) {
		int fds = tmptree_open_fds();

		if (!begin(engine))
			return;
		for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
			CU_ASSERT_EQUAL(
				engines[engine].open(top, paths[i], O_RDONLY, 0, 0), -EACCES);
			CU_ASSERT_EQUAL(engines[engine].open(top, paths[i], O_PATH, 0, 0), -EACCES);
		}
		end();
		CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	}
}

/* The kernel says EAGAIN of `..` while anything on the machine is renamed. */
static void walks_no_dotdot_while_others_rename(void)
{
	enum { TRIES = 3000 };
	pid_t child;

	if (!begin(1))
		return;
	child = fork();
	while (child == 0) {
		renameat(top, "todir", top, "moved");
		renameat(top, "moved", top, "todir");
	}
	for (int i = 0; child > 0 && i < TRIES; i++)
		CU_ASSERT_EQUAL(
			beneath_openat2(top, "dir/sub/../../../x", O_RDONLY, 0, 0), -EACCES);
	CU_ASSERT(child > 0 && !kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
	end();
}

/* With any access mode, but only what was meant. */
static void truncates_what_it_opens(void)
{
	static const struct {
		const char *path;
		int flags, expect;
	} cuts[] = { { "dir/file", O_RDONLY, ANY }, { "dir/file", O_WRONLY, ANY },
		{ "dir/file", O_RDWR, ANY }, { "dir/file", NEW, ANY },
		{ "dir/link", O_WRONLY, -ELOOP }, { "todir/file", O_WRONLY, -ELOOP },
		{ "dir", O_RDONLY, -EISDIR }, { "dir/sub/.", O_RDONLY, -EISDIR },
		{ "dir/file", NEW | O_EXCL, -EEXIST },
		{ "dir/file", O_WRONLY | O_DIRECTORY, -ENOTDIR } };

	for (int engine = 0; engine < N_ENGINES; engine++) {
		int fds = tmptree_open_fds();

		for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
			int fd;

			if (!begin(engine))
				return;
			fd = engines[engine].open(
				top, cuts[i].path, cuts[i].flags | O_TRUNC, 0600, 0);
			CU_ASSERT(cuts[i].expect ? fd == cuts[i].expect : fd >= 0);
			CU_ASSERT_EQUAL(size_of("dir/file"), cuts[i].expect ? 5 : 0);
			if (fd >= 0)
				close(fd);
			end();
		}
		CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	}
}

/* /proc is a mount, and it may be where we start. */
static void enters_another_mount_only_if_told(void)
{
	static const struct row mounts[] = {
		{ "proc", O_PATH, 0, NULL },
		{ "proc", O_RDONLY | O_DIRECTORY, 0, NULL },
		{ "proc/", O_PATH | O_DIRECTORY, 0, NULL },
		{ "proc/.", O_RDONLY, 0, NULL },
		{ "proc/version", O_RDONLY, 0, NULL },
		{ "proc/sys/kernel", O_PATH | O_DIRECTORY, 0, NULL },
		{ "proc/none", O_RDONLY, -ENOENT, NULL },
	};

	for (int engine = 0; engine < N_ENGINES; engine++) {
		int fds = tmptree_open_fds(), root, proc, fd;
		struct stat st;

		if (!begin(engine))
			return;
		root = open("/", O_PATH | O_CLOEXEC);
		for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
			const struct row *m = &mounts[i];

			CU_ASSERT_EQUAL(
				engines[engine].open(root, m->path, m->flags, 0, 0), -EACCES);
			fd = engines[engine].open(root, m->path, m->flags, 0, BENEATH_XDEV);
			CU_ASSERT(m->expect ? fd == m->expect : fd >= 0);
			if (fd >= 0)
				close(fd);
		}
		CU_ASSERT_EQUAL(beneath_stat(root, "proc", 0, &st), -EACCES);
		CU_ASSERT_EQUAL(beneath_stat(root, "proc", BENEATH_XDEV, &st), 0);
		CU_ASSERT(S_ISDIR(st.st_mode));
		proc = open("/proc", O_PATH | O_CLOEXEC);
		CU_ASSERT_EQUAL(beneath_stat(proc, "version", 0, &st), 0);
		for (int i = 0; i < 3; i++) {
			static const char *const within[] = { ".", "version", "sys/kernel" };

			fd = engines[engine].open(proc, within[i], O_RDONLY, 0, 0);
			CU_ASSERT(fd >= 0);
			close(fd);
		}
		close(proc);
		close(root);
		end();
		CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	}
}

/* What would be there is a matter of who may look. */
static void is_denied_where_one_may_not_search(void)
{
	static const char *const paths[] = { "dir/file", "dir/none", "dir/sub/deep", too_long };
	struct stat st;

	memset(too_long, 'x', sizeof(too_long) - 1);
	memcpy(too_long, "dir/", 4);
	for (int engine = 0; engine < N_ENGINES; engine++) {
		if (!begin(engine))
			return;
		CU_ASSERT(!fchmodat(top, "dir", 0600, 0));
		obey_modes(true);
		for (int i = 0; i < 4; i++) {
			CU_ASSERT_EQUAL(
				engines[engine].open(top, paths[i], O_RDONLY, 0, 0), -EACCES);
			CU_ASSERT_EQUAL(engines[engine].open(top, paths[i], NEW, 0600, 0), -EACCES);
			CU_ASSERT_EQUAL(engines[engine].open(top, paths[i], O_PATH, 0, 0), -EACCES);
		}
		CU_ASSERT_EQUAL(beneath_stat(top, "dir", 0, &st), 0);
		obey_modes(false);
		CU_ASSERT(!fchmodat(top, "dir", 0700, 0));
		end();
	}
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void check_stat(int dir, const char *name)
{
	struct stat a, b;

	CU_ASSERT_EQUAL_FATAL(beneath_stat(dir, name, BENEATH_XDEV, &a), 0);
	CU_ASSERT_EQUAL_FATAL(fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW), 0);
	CU_ASSERT(a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_nlink == b.st_nlink);
	CU_ASSERT(a.st_mode == b.st_mode && a.st_uid == b.st_uid && a.st_gid == b.st_gid);
	CU_ASSERT(a.st_rdev == b.st_rdev && a.st_size == b.st_size);
	CU_ASSERT(a.st_blksize == b.st_blksize && a.st_blocks == b.st_blocks);
	CU_ASSERT(same_time(a.st_atim, b.st_atim) && same_time(a.st_mtim, b.st_mtim) &&
		  same_time(a.st_ctim, b.st_ctim));
}

static void looks_as_lstat_does(void)
{
	static const char *const names[] = { "dir", "out", "todir", "dangling", "fifo", ".", ".." };
	const struct timespec times[2] = { { 1000000007, 123456789 }, { 1200000011, 987654321 } };
	struct stat st;
	int dev;

	if (!begin(0))
		return;
	dev = open("/dev", O_PATH | O_CLOEXEC);
	CU_ASSERT(!utimensat(top, "out", times, 0));
	if (!geteuid())
		CU_ASSERT(!fchownat(top, "out", 11, 22, 0));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		check_stat(top, names[i]);
	check_stat(dev, "null");
	check_stat(dev, "zero");
	CU_ASSERT_EQUAL(beneath_stat(top, "none", 0, &st), -ENOENT);
	CU_ASSERT_EQUAL(beneath_stat(-1, "none", 0, &st), -EBADF);
	CU_ASSERT_EQUAL(beneath_stat(top, "out", 0, &st), 0);
	close(dev);
	end();
}

static void opens_without_an_engine_being_chosen(void)
{
	int fds = tmptree_open_fds(), fd;

	if (!begin(0))
		return;
	fd = beneath_open(top, "dir/new", NEW | O_EXCL, 0600);
	CU_ASSERT(fd >= 0 && is_object(fd, "dir/new"));
	close(fd);
	CU_ASSERT_EQUAL(beneath_open(top, "dir/link", O_RDONLY, 0), -ELOOP);
	CU_ASSERT_EQUAL(beneath_open(top, "none", O_RDONLY, 0), -ENOENT);
	CU_ASSERT_EQUAL(beneath_open(top, "../x", O_RDONLY, 0), -EACCES);
	CU_ASSERT(beneath_probe() <= 0);
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	CU_ASSERT(fd < 0 || beneath_truncate(fd) == -EINVAL);
	CU_ASSERT_EQUAL(beneath_truncate(-1), -EBADF);
	close(fd);
	fd = beneath_open(top, "out", O_RDWR, 0);
	CU_ASSERT(beneath_truncate(fd) == 0 && size_of("out") == 0);
	close(fd);
	end();
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
}

/* Whatever errno was before: 0 is a descriptor, and no error. */
static void descriptor_zero_is_one_too(void)
{
	static const char *const names[] = { "out", "dir/sub/deep", "dir/.", "dir/" };
	int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100);

	if (saved < 0)
		unit_skip("it is closed");
	for (int engine = 0; saved >= 0 && engine < N_ENGINES && begin(engine); engine++) {
		int fd;

		for (int i = 0; i < 8; i++) {
			int flags = i % 2 ? O_PATH : O_RDONLY;

			close(STDIN_FILENO);
			errno = EINTR;
			fd = engines[engine].open(top, names[i / 2], flags, 0, 0);
			CU_ASSERT(fd >= 0 && is_object(fd, names[i / 2]));
			CU_ASSERT(fcntl(STDIN_FILENO, F_GETFD) < 0 || fd == STDIN_FILENO);
			close(fd);
		}
		CU_ASSERT(engines[engine].open != beneath_openat2 || !beneath_probe());
		CU_ASSERT(fcntl(STDIN_FILENO, F_GETFD) < 0);
		fd = engines[engine].open(top, "out", O_WRONLY | O_TRUNC, 0, 0);
		CU_ASSERT(fd >= 0 && size_of("out") == 0);
		close(fd);
		CU_ASSERT_EQUAL(engines[engine].open(top, "dir/link", O_PATH, 0, 0), -ELOOP);
		CU_ASSERT(fcntl(STDIN_FILENO, F_GETFD) < 0);
		dup2(saved, STDIN_FILENO);
		end();
	}
	close(saved);
}

enum { NO_PTY = 77 };

/* In a child without a terminal: 0 when it has none afterwards. */
static int opens_a_pty(void)
{
	int pty, dir, fd;
	bool good = true;

	if (setsid() < 0)
		return NO_PTY;
	pty = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	dir = open("/dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (pty < 0 || dir < 0 || grantpt(pty) || unlockpt(pty))
		return NO_PTY;
	for (int engine = 0; engine < N_ENGINES; engine++) {
		fd = engines[engine].open(
			dir, strrchr(ptsname(pty), '/') + 1, O_RDWR, 0, BENEATH_XDEV);
		if (fd < 0)
			return NO_PTY;
		good &= open("/dev/tty", O_RDWR | O_CLOEXEC) < 0;
		close(fd);
	}
	return !good;
}

static void a_terminal_does_not_become_ours(void)
{
	int status = -1;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child)
		_exit(opens_a_pty());
	waitpid(child, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_PTY)
		unit_skip("there are no terminals here");
	else
		CU_ASSERT_EQUAL(status, 0);
}

static const struct unit_case cases[] = {
	{ "a_terminal_does_not_become_ours", a_terminal_does_not_become_ours },
	{ "opens_what_lies_beneath", opens_what_lies_beneath },
	{ "walks_no_dotdot", walks_no_dotdot },
	{ "walks_no_dotdot_while_others_rename", walks_no_dotdot_while_others_rename },
	{ "truncates_what_it_opens", truncates_what_it_opens },
	{ "enters_another_mount_only_if_told", enters_another_mount_only_if_told },
	{ "is_denied_where_one_may_not_search", is_denied_where_one_may_not_search },
	{ "looks_as_lstat_does", looks_as_lstat_does },
	{ "opens_without_an_engine_being_chosen", opens_without_an_engine_being_chosen },
	{ "descriptor_zero_is_one_too", descriptor_zero_is_one_too },
};

UNIT_MAIN("beneath", cases)
