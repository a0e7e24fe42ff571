// SPDX-License-Identifier: ISC
/* Views of a directory: what may be seen through one, and where there is none. */
#include "mountclone.h"

#include <errno.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "namespace.h"
#include "refuse.h"
#include "tmptree.h"
#include "unit.h"

enum { NOT_ALLOWED = 77, NO_FILTER, NO_VIEWS };

static struct tmptree tree;

/* In a child, which has mounts of its own: says what is wrong. */
static bool is(bool right, const char *what)
{
	if (!right)
		printf("     not so: %s\n", what);
	return right;
}

static int open_view(const char *name, bool writable)
{
	char path[300];
	int dir, fd;

	snprintf(path, sizeof(path), "%s%s", tree.path, name);
	if (!path[0])
		strcpy(path, "/");
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = mountclone_open(dir, path, writable);
	close(dir);
	return fd;
}

/* Runs `run` in a child that may mount, over a tree of these lines: it must return 0. */
static void run_apart(int (*run)(void), const char *const *lines)
{
	int status = -1, r;
	pid_t child;

	CU_ASSERT_FATAL(!tmptree_make(&tree, lines));
	fflush(stdout);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Not exit: a sanitizer would look for leaks, without /proc. */
		_exit(own_mounts() ? NOT_ALLOWED : run());
	}
	waitpid(child, &status, 0);
	tmptree_remove(&tree);
	r = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	if (r == NOT_ALLOWED)
		unit_skip("no right to mount, not even in a user namespace");
	else if (r == NO_FILTER)
		unit_skip("seccomp filters are not allowed here");
	else if (r == NO_VIEWS)
		unit_skip("this kernel has no views of mounts");
	else
		CU_ASSERT_EQUAL(r, 0);
}

/* 0 when there are views here. */
static int have_views(void)
{
	int fd = open_view("/plain", false);

	if (fd >= 0)
		close(fd);
	return fd == -ENOSYS || fd == -EINVAL ? NO_VIEWS : 0;
}

static int look_at_view(void)
{
	int fd = open_view("/plain", false), writable = open_view("/plain", true);
	struct statvfs fs;
	struct stat st;
	bool fine;

	if (have_views())
		return NO_VIEWS;
	fine = is(fd >= 0 && writable >= 0, "there is a view") &&
	       is(!fstatat(fd, "file", &st, 0) && st.st_size == 4, "a file is there") &&
	       is(fstatat(fd, "link", &st, 0) && errno == ELOOP, "no link is followed") &&
	       is(fstatat(fd, "todir/deep", &st, 0) && errno == ELOOP, "nor on the way") &&
	       is(!fstatat(fd, "link", &st, AT_SYMLINK_NOFOLLOW), "a link can be looked at") &&
	       is(!fstatvfs(fd, &fs) && fs.f_flag & ST_RDONLY && fs.f_flag & ST_NODEV &&
			       fs.f_flag & ST_NOSUID,
		       "read-only, no devices, no set-user-ID") &&
	       is(mkdirat(fd, "new", 0755) && errno == EROFS, "nothing is made in it") &&
	       is(!fstatvfs(writable, &fs) && !(fs.f_flag & ST_RDONLY) && fs.f_flag & ST_NODEV &&
			       fs.f_flag & ST_NOSUID,
		       "writable, but the rest") &&
	       is(!mkdirat(writable, "new", 0755), "what is writable can be written to");
	return !fine;
}

static void follows_no_link_and_opens_no_device(void)
{
	run_apart(look_at_view,
		(const char *const[]){ "d plain", "f plain/file text", "l plain/link file",
			"d plain/dir", "f plain/dir/deep text", "l plain/todir dir", NULL });
}

static int mount_in(const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "%s%s", tree.path, name);
	return (mkdir(path, 0755) && errno != EEXIST) ||
	       mount("none", path, "tmpfs", 0, "size=64k");
}

/* Names that mountinfo does not spell as they are. */
static int mount_inside(void)
{
	static const char *const names[] = { "/plain", "/two words", "/a\ttab", "/a\nline",
		"/back\\slash", "/all \t\n\\of\\040them" };
	char path[300];
	bool fine = true;

	if (have_views())
		return NO_VIEWS;
	for (size_t i = 0; fine && i < sizeof(names) / sizeof(names[0]); i++) {
		int fd;

		snprintf(path, sizeof(path), "%s%s", tree.path, names[i]);
		if (mkdir(path, 0755) && errno != EEXIST)
			return 1;
		fd = open_view(names[i], false);
		fine = is(fd >= 0, names[i]);
		close(fd);
		snprintf(path, sizeof(path), "%s/in side", names[i]);
		if (mount_in(path))
			return NOT_ALLOWED;
		fine = fine && is(open_view(names[i], false) == -EXDEV, names[i]) &&
		       is(open_view(names[i], true) == -EXDEV, names[i]);
	}
	tree.path[0] = 0;
	return !(fine && is(open_view("", false) == -EXDEV, "the root has mounts inside"));
}

static void there_is_none_where_something_is_mounted_inside(void)
{
	run_apart(mount_inside, (const char *const[]){ "d plain", NULL });
}

/* Nor is a mount inside what only begins alike, or what is one itself. */
static int mount_beside(void)
{
	int beside, itself;

	if (have_views())
		return NO_VIEWS;
	if (mount_in("/plainer") || mount_in("/self"))
		return NOT_ALLOWED;
	beside = open_view("/plain", false);
	itself = open_view("/self", false);
	return !(is(beside >= 0, "beside") && is(itself >= 0, "a mount itself"));
}

static void mounts_elsewhere_do_not_matter(void)
{
	run_apart(mount_beside, (const char *const[]){ "d plain", NULL });
}

static int hide_mountinfo(void)
{
	int dir, new_one;

	if (have_views())
		return NO_VIEWS;
	if (mount("none", "/proc", "tmpfs", 0, "size=64k"))
		return NOT_ALLOWED;
	dir = open(tree.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	new_one = mountclone_open(dir, NULL, true);
	return !(is(open_view("/plain", false) == -ENOENT, "nobody knows what is mounted") &&
		 is(new_one >= 0, "in what is new nothing is"));
}

static void there_is_none_where_mounts_cannot_be_known(void)
{
	run_apart(hide_mountinfo, (const char *const[]){ "d plain", NULL });
}

/* As in a container, or on a kernel that has one of the calls alone. */
static int refuse_one(long nr, int error)
{
	int fds, r;

	if (have_views())
		return NO_VIEWS;
	if (refuse_call(nr, error))
		return NO_FILTER;
	fds = tmptree_open_fds();
	r = open_view("/plain", false);
	return !(is(r == -error, "the error is told") &&
		 is(tmptree_open_fds() == fds, "nothing stays open"));
}

static int refuse_open_tree(void)
{
	return refuse_one(SYS_open_tree, EPERM);
}

static int refuse_mount_setattr(void)
{
	return refuse_one(SYS_mount_setattr, ENOSYS);
}

static void there_is_none_where_the_kernel_refuses(void)
{
	run_apart(refuse_open_tree, (const char *const[]){ "d plain", NULL });
	run_apart(refuse_mount_setattr, (const char *const[]){ "d plain", NULL });
}

static const struct unit_case cases[] = {
	{ "follows_no_link_and_opens_no_device", follows_no_link_and_opens_no_device },
	{ "there_is_none_where_something_is_mounted_inside",
		there_is_none_where_something_is_mounted_inside },
	{ "mounts_elsewhere_do_not_matter", mounts_elsewhere_do_not_matter },
	{ "there_is_none_where_mounts_cannot_be_known",
		there_is_none_where_mounts_cannot_be_known },
	{ "there_is_none_where_the_kernel_refuses", there_is_none_where_the_kernel_refuses },
};

UNIT_MAIN("mountclone", cases)
