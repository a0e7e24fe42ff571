// SPDX-License-Identifier: ISC
/* Opening beneath a directory where something is mounted in it, and where the kernel refuses calls. */
#include "beneath.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "namespace.h"
#include "refuse.h"
#include "tmptree.h"
#include "unit.h"

enum { NOT_ALLOWED = 77, NO_FILTER, NO_OPENAT2 };

typedef int opener(int dir, const char *path, int flags, mode_t mode, unsigned int how);

static struct tmptree tree;
static int dir = -1;

/* Runs `run` in a child, over a tree with one directory of each kind of thing: it must return 0. */
static void run_apart(int (*run)(void))
{
	static const char *const lines[] = { "d in", "f in/file text", "f in/bound text",
		"d in/mounted", "d in/sub", "d in/sub/mounted", "f outside outside",
		"f in/fifo text", "p outside-fifo", NULL };
	int status = -1, r;
	pid_t child;

	CU_ASSERT_FATAL(!tmptree_make(&tree, lines));
	fflush(stdout);
	child = fork();
	if (!child) {
		char path[100];

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		snprintf(path, sizeof(path), "%s/in", tree.path);
		dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		/* Not exit: a sanitizer would look for leaks, without files. */
		_exit(run());
	}
	waitpid(child, &status, 0);
	tmptree_remove(&tree);
	r = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	if (r == NOT_ALLOWED)
		unit_skip("no right to mount, not even in a user namespace");
	else if (r == NO_FILTER)
		unit_skip("seccomp filters are not allowed here");
	else if (r == NO_OPENAT2)
		unit_skip("no openat2 here");
	else
		CU_ASSERT_EQUAL(r, 0);
}

static int size_of(const char *name)
{
	char path[100];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", tree.path, name);
	return stat(path, &st) ? -errno : (int)st.st_size;
}

/* With any descriptor where expect is 0. */
static bool opens(opener *open_by, const char *path, int flags, unsigned int how, int expect)
{
	int fd = open_by(dir, path, flags, 0600, how);

	if (fd >= 0)
		close(fd);
	if (fd >= 0 ? !expect : fd == expect)
		return true;
	printf("     open \"%s\", flags %#o, how %u: %d, not %d\n", path, (unsigned)flags, how, fd,
		expect);
	return false;
}

static int bind_over(const char *name, const char *what)
{
	char path[100], other[100];

	snprintf(path, sizeof(path), "%s/in/%s", tree.path, name);
	snprintf(other, sizeof(other), "%s/%s", tree.path, what);
	return mount(other, path, NULL, MS_BIND, NULL);
}

static int mount_all(void)
{
	char path[100], other[100];

	if (own_mounts())
		return NOT_ALLOWED;
	/* The descriptor of before knows the old mounts alone. */
	close(dir);
	snprintf(path, sizeof(path), "%s/in", tree.path);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/in/mounted", tree.path);
	snprintf(other, sizeof(other), "%s/in/sub/mounted", tree.path);
	if (mount("none", path, "tmpfs", 0, "size=64k") ||
		mount("none", other, "tmpfs", 0, "size=64k") ||
		!opens(beneath_walk, "mounted/file", O_WRONLY | O_CREAT | O_EXCL, BENEATH_XDEV, 0))
		return NOT_ALLOWED;
	return bind_over("bound", "outside") || bind_over("fifo", "outside-fifo") ? NOT_ALLOWED : 0;
}

static int enter_mounts(void)
{
	static const struct {
		const char *path;
		int flags;
	} rows[] = {
		{ "mounted", O_PATH }, { "mounted", O_PATH | O_DIRECTORY },
		{ "mounted", O_RDONLY | O_DIRECTORY }, { "mounted/.", O_PATH | O_DIRECTORY },
		{ "mounted/file", O_RDONLY }, { "mounted/file", O_PATH },
		{ "mounted/none", O_RDONLY }, { "mounted/new", O_WRONLY | O_CREAT },
		{ "sub/mounted", O_RDONLY }, { "sub/mounted/new", O_WRONLY | O_CREAT },
		{ "bound", O_RDONLY }, { "bound", O_PATH | O_NOFOLLOW },
		{ "bound", O_WRONLY | O_TRUNC }, { "bound", O_WRONLY | O_CREAT },
		{ "bound", O_WRONLY | O_CREAT | O_TRUNC },
		{ "fifo", O_WRONLY | O_NONBLOCK }, /* ENXIO, had it been opened */
	};
	static opener *const engines[] = { beneath_walk, beneath_openat2 };
	int r = mount_all(), fds = tmptree_open_fds();
	bool fine = true;
	struct stat st;

	if (r)
		return r;
	for (size_t e = 0; e < (beneath_probe() ? 1 : 2); e++) {
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			fine &= opens(engines[e], rows[i].path, rows[i].flags, 0, -EACCES);
		fine &= opens(engines[e], "file", O_RDONLY, 0, 0);
		fine &= opens(engines[e], "mounted", O_RDONLY | O_DIRECTORY, BENEATH_XDEV, 0);
		fine &= opens(engines[e], "mounted/file", O_RDONLY, BENEATH_XDEV, 0);
		fine &= opens(engines[e], "sub/mounted/none", O_RDONLY, BENEATH_XDEV, -ENOENT);
		fine &= opens(engines[e], "bound", O_RDONLY, BENEATH_XDEV, 0);
	}
	return !(fine && size_of("outside") == 7 && size_of("in/mounted/new") == -ENOENT &&
		 size_of("in/sub/mounted/new") == -ENOENT &&
		 beneath_stat(dir, "mounted", 0, &st) == -EACCES &&
		 beneath_stat(dir, "bound", 0, &st) == -EACCES &&
		 !beneath_stat(dir, "bound", BENEATH_XDEV, &st) && st.st_size == 7 &&
		 tmptree_open_fds() == fds);
}

static void no_other_mount_is_entered_unless_allowed(void)
{
	run_apart(enter_mounts);
}

/* What was opened to be truncated is not handed out when it was not. */
static int refuse_truncation(void)
{
	int fds;

	if (refuse_call(SYS_ftruncate, EPERM))
		return NO_FILTER;
	fds = tmptree_open_fds();
	return !(opens(beneath_walk, "file", O_WRONLY | O_TRUNC, 0, -EPERM) &&
		 opens(beneath_walk, "file", O_RDONLY | O_TRUNC, 0, -EPERM) &&
		 opens(beneath_walk, "sub/new", O_WRONLY | O_CREAT | O_TRUNC, 0, -EPERM) &&
		 opens(beneath_walk, "file", O_WRONLY, 0, 0) && size_of("in/file") == 4 &&
		 tmptree_open_fds() == fds);
}

/* As of a file that has just come here and has nothing to truncate. */
static int refuse_truncation_as_senseless(void)
{
	if (refuse_call(SYS_ftruncate, EINVAL))
		return NO_FILTER;
	return !opens(beneath_walk, "file", O_WRONLY | O_TRUNC, 0, 0);
}

static void tells_when_a_file_was_not_truncated(void)
{
	run_apart(refuse_truncation);
	run_apart(refuse_truncation_as_senseless);
}

static int refuse_openat2(int error)
{
	int fd, none, root = open("/", O_PATH | O_CLOEXEC);

	if (beneath_probe())
		return NO_OPENAT2;
	if (refuse_call(SYS_openat2, error))
		return NO_FILTER;
	fd = beneath_open(dir, "sub/../file", O_RDONLY, 0);
	none = beneath_open(dir, "sub/none", O_RDONLY, 0);
	if (fd != -EACCES || none != -ENOENT || beneath_probe() != -error)
		return 1;
	if (beneath_open(root, "proc", O_PATH, 0) != -EACCES)
		return 1;
	fd = beneath_open(dir, "file", O_RDONLY, 0);
	return fd < 0 || close(fd);
}

static int refuse_as_unknown(void)
{
	return refuse_openat2(ENOSYS);
}

static int refuse_as_forbidden(void)
{
	return refuse_openat2(EPERM);
}

static void walks_where_openat2_is_refused(void)
{
	run_apart(refuse_as_unknown);
	run_apart(refuse_as_forbidden);
}

static int refuse_for_renames(void)
{
	if (refuse_call(SYS_openat2, EAGAIN))
		return NO_FILTER;
	return !(opens(beneath_openat2, "file", O_RDONLY, 0, 0) &&
		 opens(beneath_openat2, "sub/../file", O_RDONLY, 0, -EACCES));
}

static int refuse_for_nonsense(void)
{
	if (refuse_call(SYS_openat2, EINVAL))
		return NO_FILTER;
	return !(opens(beneath_openat2, "file", O_RDONLY, 0, -EINVAL) &&
		 beneath_open(dir, "file", O_RDONLY, 0) == -EINVAL);
}

static void walks_only_where_that_may_help(void)
{
	run_apart(refuse_for_renames);
	run_apart(refuse_for_nonsense);
}

/* Nothing can be said of openat2 then. */
static int probe_without_descriptors(void)
{
	struct rlimit none = { 0, 0 };

	return setrlimit(RLIMIT_NOFILE, &none) || beneath_probe() != -EMFILE;
}

static void a_probe_needs_a_descriptor(void)
{
	run_apart(probe_without_descriptors);
}

static const struct unit_case cases[] = {
	{ "no_other_mount_is_entered_unless_allowed", no_other_mount_is_entered_unless_allowed },
	{ "tells_when_a_file_was_not_truncated", tells_when_a_file_was_not_truncated },
	{ "walks_where_openat2_is_refused", walks_where_openat2_is_refused },
	{ "walks_only_where_that_may_help", walks_only_where_that_may_help },
	{ "a_probe_needs_a_descriptor", a_probe_needs_a_descriptor },
};

UNIT_MAIN("beneath_mounts", cases)
