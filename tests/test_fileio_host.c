// SPDX-License-Identifier: ISC
/*
 * A guest's files where the host's answers are made to order, and where errno and the process's own limits are
 * as somebody else has left them.
 */
#include "fileio.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "err.h"
#include "filemap.h"
#include "guestfd.h"
#include "hostfs.h"
#include "tmptree.h"
#include "unit.h"

enum { IO_MAX = 0x7ffff000 }; /* as Linux's */

static struct tmptree tree;
static struct fileio *files;

/* What the next calls of a kind answer; 0: what the host does. */
static struct {
	int open, times; /* of those that create */
	int mkdir, opens;
} says;

static int told_open(int dir, const char *path, int flags, mode_t mode, unsigned int how)
{
	if (flags & O_CREAT && says.times) {
		says.times--;
		says.opens++;
		return says.open;
	}
	return hostfs_best()->open(dir, path, flags, mode, how);
}

static int told_mkdir(int dir, const char *name, mode_t mode)
{
	return says.mkdir ? says.mkdir : hostfs_best()->mkdir(dir, name, mode);
}

static void begin_limited(bool deterministic, struct fileio_limits limits)
{
	static struct hostfs host;
	static char data[100];
	const struct fileio_mount mount = { .host = data, .guest = "/data", .writable = true };
	struct err err;

	host = *hostfs_best();
	host.open = told_open;
	host.mkdir = told_mkdir;
	memset(&says, 0, sizeof(says));
	CU_ASSERT_FATAL(
		!tmptree_make(&tree, (const char *const[]){ "d data", "f data/file hello", NULL }));
	snprintf(data, sizeof(data), "%s/data", tree.path);
	CU_ASSERT_EQUAL_FATAL(fileio_init(&files,
				      &(struct fileio_config){ .mounts = &mount,
					      .n_mounts = 1,
					      .scratch_parent = tree.path,
					      .host = &host,
					      .limits = limits,
					      .deterministic = deterministic,
					      .clock_ns = 5000000007,
					      .console_in = -1,
					      .console_out = -1 },
				      &err),
		0);
}

static void begin(void)
{
	begin_limited(false, (struct fileio_limits){ 0 });
}

static void end(void)
{
	fileio_destroy(files);
	tmptree_remove(&tree);
}

static void tells_only_what_a_guest_expects(void)
{
	static const int expected[] = { EPERM, ENOENT, EIO, ENXIO, EBADF, ENOMEM, EACCES, EFAULT,
		EBUSY, EEXIST, EXDEV, ENODEV, ENOTDIR, EISDIR, EINVAL, ENFILE, EMFILE, ETXTBSY,
		EFBIG, ENOSPC, ESPIPE, EROFS, EMLINK, EPIPE, ENAMETOOLONG, ENOTEMPTY, ELOOP,
		EOVERFLOW, EOPNOTSUPP, ESTALE, EDQUOT };

	begin();
	for (int e = 1; e < 134; e++) {
		int expect = -EIO;

		for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
			if (expected[i] == e)
				expect = -e;
		says.mkdir = -e;
		CU_ASSERT_EQUAL(fileio_mkdir(files, "/data/new", 0755), expect);
	}
	says.mkdir = 0;
	CU_ASSERT_EQUAL(fileio_mkdir(files, "/data/new", 0755), 0);
	end();
}

/* Somebody else makes it at the same time: a guest that did not ask to be the first opens what there is. */
static void a_file_made_meanwhile_is_opened(void)
{
	static const struct {
		int flags, times, expect, opens;
	} rows[] = { { O_WRONLY | O_CREAT, 3, 3, 3 },
		{ O_WRONLY | O_CREAT | O_EXCL, 1, -EEXIST, 1 },
		{ O_WRONLY | O_CREAT, 1000, -EIO, FILEMAP_TRIES } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin();
		says.open = -EEXIST;
		says.times = rows[i].times;
		CU_ASSERT_EQUAL(
			fileio_open(files, "/data/new", rows[i].flags, 0644), rows[i].expect);
		CU_ASSERT_EQUAL(says.opens, rows[i].opens);
		end();
	}
}

static const struct {
	size_t asked;
	ssize_t done;
} lengths[] = { { 0, 0 }, { 1, 1 }, { IO_MAX, IO_MAX }, { IO_MAX + 1u, IO_MAX },
	{ SIZE_MAX, IO_MAX } };

static void lengths_are_as_linux_takes_them(void)
{
	char byte = 0;
	int fd;

	begin();
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		CU_ASSERT_EQUAL(fileio_write(files, 1, &byte, lengths[i].asked), lengths[i].done);
	for (int i = 0; i < 3; i++) {
		static const char *const paths[] = { "/data/file", "/data/new", "/scratch" };

		fd = fileio_open(files, paths[i], O_RDWR | O_CREAT, 0644);
		CU_ASSERT_EQUAL(fileio_write(files, fd, &byte, 0), 0);
		CU_ASSERT_EQUAL(fileio_read(files, fd, &byte, 0), 0);
		CU_ASSERT_EQUAL(fileio_lseek(files, fd, 0, SEEK_CUR), 0);
		CU_ASSERT_EQUAL(fileio_close(files, fd), 0);
	}
	end();
}

/* errno of a call that has not failed says nothing. */
static void an_old_errno_is_none(void)
{
	static const int olds[] = { EINTR, EAGAIN, EIO };
	char text[8] = "";

	for (size_t i = 0; i < sizeof(olds) / sizeof(olds[0]); i++) {
		int fd;

		begin();
		fd = fileio_open(files, "/data/file", O_RDWR, 0);
		errno = olds[i];
		CU_ASSERT(fileio_read(files, fd, text, 5) == 5 && !memcmp(text, "hello", 5));
		CU_ASSERT_EQUAL(fileio_read(files, fd, text, 5), 0);
		CU_ASSERT_EQUAL(fileio_write(files, fd, text, 5), 5);
		CU_ASSERT_EQUAL(fileio_lseek(files, fd, 0, SEEK_SET), 0);
		CU_ASSERT_EQUAL(fileio_read(files, fd, text, 0), 0);
		end();
	}
}

/* Each part that a path of a mapping has is held open, too. */
static void raises_the_limit_of_open_files_as_needed(void)
{
	static const struct {
		rlim_t soft, hard;
		int parts; /* of each of two mappings */
	} rows[] = { { 64, 8192, 1 }, { 64, 8192, 1000 }, { 64, 100, 1 }, { 5000, 8192, 1 },
		{ 5000, 8192, 1000 } };
	struct rlimit now;

	CU_ASSERT_FATAL(!getrlimit(RLIMIT_NOFILE, &now));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pid_t child;
		int status;

		if (rows[i].hard > now.rlim_max) {
			unit_skip("the limit of open files is too low");
			continue;
		}
		child = fork();
		if (!child) {
			rlim_t need = GUESTFD_MAX + FILEMAP_DEPTH_MAX + 2 * (rlim_t)rows[i].parts;
			struct rlimit limit = { rows[i].soft, rows[i].hard };
			rlim_t least;
			char guests[2][2100];
			struct fileio_mount mounts[2] = { { .host = "/none", .guest = guests[0] },
				{ .host = "/none", .guest = guests[1] } };

			for (int m = 0; m < 2; m++)
				for (int k = 0; k <= rows[i].parts; k++)
					strcpy(guests[m] + 2 * k, k < rows[i].parts ? "/a" : "");
			guests[1][1] = 'b';
			setrlimit(RLIMIT_NOFILE, &limit);
			getrlimit(RLIMIT_NOFILE, &limit); /* MODE=cov keeps the hard one */
			least = limit.rlim_max < need ? limit.rlim_max : need;
			fileio_init(&files,
				&(struct fileio_config){ .mounts = mounts, .n_mounts = 2 }, NULL);
			getrlimit(RLIMIT_NOFILE, &limit);
			if (rows[i].soft >= need)
				_exit(limit.rlim_cur != rows[i].soft);
			_exit(limit.rlim_cur < least || limit.rlim_cur > least + 1000);
		}
		CU_ASSERT(waitpid(child, &status, 0) == child && !status);
	}
}

static void consoles_have_numbers_of_their_own(void)
{
	for (int deterministic = 0; deterministic < 2; deterministic++) {
		begin_limited(deterministic, (struct fileio_limits){ 0 });
		for (int fd = 0; fd < 3; fd++) {
			struct stat st;

			CU_ASSERT_EQUAL(fileio_fstat(files, fd, &st), 0);
			CU_ASSERT(st.st_ino == 1 + (ino_t)fd && st.st_nlink == 1);
			CU_ASSERT(S_ISCHR(st.st_mode) && (st.st_mode & 07777) == 0620);
			CU_ASSERT(st.st_rdev == 0x501 && st.st_blksize == 1024 && !st.st_size);
			CU_ASSERT_EQUAL(st.st_mtim.tv_sec, deterministic ? 5 : 0);
			CU_ASSERT_EQUAL(st.st_ctim.tv_nsec, deterministic ? 7 : 0);
			CU_ASSERT_EQUAL(st.st_atim.tv_nsec, deterministic ? 7 : 0);
			CU_ASSERT_EQUAL(fileio_lseek(files, fd, 0, SEEK_CUR), -ESPIPE);
		}
		end();
	}
}

static void blocks_are_those_of_a_file_without_holes(void)
{
	static const struct {
		int64_t size, blocks;
	} rows[] = { { 0, 0 }, { 1, 8 }, { 4095, 8 }, { 4096, 8 }, { 4097, 16 }, { 1 << 20, 2048 },
		{ (1ll << 30) + 1, 2097160 } };

	begin_limited(true, (struct fileio_limits){ 0 });
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = fileio_open(files, "/data/file", O_RDWR | O_TRUNC, 0);
		struct stat st;

		if (rows[i].size) {
			CU_ASSERT_EQUAL(fileio_lseek(files, fd, rows[i].size - 1, SEEK_SET),
				rows[i].size - 1);
			CU_ASSERT_EQUAL(fileio_write(files, fd, "x", 1), 1);
		}
		CU_ASSERT_EQUAL(fileio_fstat(files, fd, &st), 0);
		CU_ASSERT(st.st_size == rows[i].size && st.st_blocks == rows[i].blocks);
		CU_ASSERT(st.st_blksize == 4096 && st.st_dev == 1 && st.st_nlink == 1);
		CU_ASSERT_EQUAL(fileio_lseek(files, fd, 0, SEEK_END), rows[i].size);
		CU_ASSERT_EQUAL(fileio_lseek(files, fd, rows[i].size, SEEK_DATA), -ENXIO);
		if (rows[i].size) {
			CU_ASSERT_EQUAL(fileio_lseek(files, fd, rows[i].size - 1, SEEK_DATA),
				rows[i].size - 1);
			CU_ASSERT_EQUAL(fileio_lseek(files, fd, 0, SEEK_HOLE), rows[i].size);
		}
		CU_ASSERT_EQUAL(fileio_lseek(files, fd, 0, 5), -EINVAL);
		CU_ASSERT_EQUAL(fileio_close(files, fd), 0);
	}
	end();
}

/* Slot 0 of the quota is the first file that is open. */
static void the_first_file_of_scratch_counts_as_any_other(void)
{
	static const char bytes[10];

	for (int first = 0; first < 3; first++) {
		int fd;

		begin_limited(
			false, (struct fileio_limits){ .scratch_bytes = 10, .scratch_inodes = 4 });
		for (int i = 0; i < first; i++) {
			char name[24];

			snprintf(name, sizeof(name), "/other%d", i);
			CU_ASSERT_EQUAL(fileio_open(files, name, O_WRONLY | O_CREAT, 0600), 3 + i);
		}
		fd = fileio_open(files, "/file", O_WRONLY | O_CREAT, 0600);
		CU_ASSERT_EQUAL(fd, 3 + first);
		CU_ASSERT_EQUAL(fileio_write(files, fd, bytes, 6), 6);
		CU_ASSERT_EQUAL(fileio_write(files, fd, bytes, 6), 4);
		CU_ASSERT_EQUAL(fileio_write(files, fd, bytes, 1), -ENOSPC);
		CU_ASSERT_EQUAL(fileio_map(files)->inodes_left, 3 - (uint64_t)first);
		CU_ASSERT_EQUAL(fileio_unlink(files, "/file"), 0);
		CU_ASSERT_EQUAL(fileio_map(files)->inodes_left, 3 - (uint64_t)first);
		CU_ASSERT_EQUAL(fileio_write(files, fd, bytes, 1), -ENOSPC);
		CU_ASSERT_EQUAL(fileio_close(files, fd), 0);
		CU_ASSERT_EQUAL(fileio_map(files)->inodes_left, 4 - (uint64_t)first);
		CU_ASSERT_EQUAL(fileio_unlink(files, "/file"), -ENOENT);
		CU_ASSERT_EQUAL(fileio_map(files)->inodes_left, 4 - (uint64_t)first);
		fd = fileio_open(files, "/again", O_WRONLY | O_CREAT, 0600);
		CU_ASSERT_EQUAL(fileio_write(files, fd, bytes, 10), 10);
		CU_ASSERT_EQUAL(fileio_close(files, fd), 0);
		CU_ASSERT_EQUAL(fileio_unlink(files, "/again"), 0);
		CU_ASSERT_EQUAL(fileio_map(files)->inodes_left, 4 - (uint64_t)first);
		fd = fileio_open(files, "/cut", O_WRONLY | O_CREAT, 0600);
		CU_ASSERT_EQUAL(fileio_write(files, fd, bytes, 10), 10);
		CU_ASSERT_EQUAL(fileio_open(files, "/cut", O_WRONLY | O_TRUNC, 0600), 4 + first);
		CU_ASSERT_EQUAL(fileio_write(files, fd + 1, bytes, 10), 10);
		end();
	}
}

static int asked; /* of what file system it is */

/* As if proc were mounted at every name that begins with "hidden". */
static int told_fs_magic(int fd, long *magic)
{
	char link[40], name[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, sizeof(name) - 1);
	name[n < 0 ? 0 : n] = 0;
	asked++;
	*magic = strstr(name, "/hidden") ? PROC_SUPER_MAGIC : TMPFS_MAGIC;
	return 0;
}

static void begin_hidden(const struct hostfs *engine, bool submounts)
{
	static struct hostfs host;
	static char data[100], other[100];
	const struct fileio_mount mounts[] = {
		{ .host = data, .guest = "/data", .writable = true, .submounts = submounts },
		{ .host = other, .guest = "/data/hidden2/other" },
	};
	struct err err;

	host = *engine;
	host.fs_magic = told_fs_magic;
	CU_ASSERT_FATAL(!tmptree_make(&tree,
		(const char *const[]){ "d data", "f data/file x", "d other", "d data/hidden",
			"d data/hidden/sub", "f data/hidden/file hello", "f data/hidden-file x",
			"d data/hidden2", "f data/hidden2/file x", "l data/to hidden",
			"l data/tofile hidden/file", "l data/through hidden/../file",
			"l data/abs /data/hidden/sub", "l data/hidden-link file", "d data/dir",
			"f data/dir/file x", "l data/toname hidden-link", NULL }));
	snprintf(data, sizeof(data), "%s/data", tree.path);
	snprintf(other, sizeof(other), "%s/other", tree.path);
	CU_ASSERT_EQUAL_FATAL(fileio_init(&files,
				      &(struct fileio_config){ .mounts = mounts,
					      .n_mounts = 2,
					      .scratch_parent = tree.path,
					      .host = &host,
					      .console_in = -1,
					      .console_out = -1 },
				      &err),
		0);
	asked = 0;
}

static bool has(const char *name, off_t size)
{
	char path[200];
	struct stat st;

	snprintf(path, sizeof(path), "%s/data/%s", tree.path, name);
	return !lstat(path, &st) && st.st_size >= size;
}

/* Whatever is asked for, of it or in it: said before anything is done. */
static void what_steers_the_host_is_left_alone(void)
{
	static const char *const names[] = { "hidden", "hidden/", "hidden/.", "hidden/..",
		"hidden/file", "hidden/new", "hidden/sub", "hidden/sub/new", "hidden/../file",
		"hidden/../new", "to/", "to/file", "to/new", "to/../file", "abs/new",
		"dir/../hidden/new", "hidden-file", "hidden-link", "hidden-link/",
		"hidden-link/new" },
				 *const followed[] = { "to", "tofile", "through", "abs", "toname" };
	static const int flags[] = { O_RDONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDONLY | O_TRUNC,
		O_RDONLY | O_DIRECTORY };
	const struct hostfs *const engines[] = { &hostfs_walk, hostfs_best() };
	struct stat st;
	char path[100];

	for (size_t e = 0; e < 2; e++) {
		begin_hidden(engines[e], true);
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			bool slash = names[i][strlen(names[i]) - 1] == '/';

			snprintf(path, sizeof(path), "/data/%s", names[i]);
			CU_ASSERT_EQUAL(fileio_stat(files, path, true, &st), -EACCES);
			CU_ASSERT_EQUAL(fileio_stat(files, path, false, &st), -EACCES);
			CU_ASSERT_EQUAL(fileio_mkdir(files, path, 0755),
				strcmp(names[i], "to/") ? -EACCES
							: -EEXIST); /* the link's own name */
			CU_ASSERT_EQUAL(fileio_unlink(files, path),
				strcmp(names[i], "to/") ? -EACCES : -ENOTDIR);
			CU_ASSERT_EQUAL(fileio_open(files, path, O_WRONLY | O_CREAT, 0644),
				slash ? -EISDIR : -EACCES);
			for (size_t k = 0; k < sizeof(flags) / sizeof(flags[0]); k++)
				CU_ASSERT_EQUAL(fileio_open(files, path, flags[k], 0), -EACCES);
		}
		for (size_t i = 0; i < sizeof(followed) / sizeof(followed[0]); i++) {
			snprintf(path, sizeof(path), "/data/%s", followed[i]);
			CU_ASSERT_EQUAL(fileio_stat(files, path, true, &st), -EACCES);
			CU_ASSERT_EQUAL(fileio_open(files, path, O_RDWR | O_CREAT | O_TRUNC, 0644),
				-EACCES);
			CU_ASSERT_EQUAL(fileio_stat(files, path, false, &st), 0);
			CU_ASSERT_EQUAL(fileio_unlink(files, path), 0);
		}
		CU_ASSERT(has("hidden/file", 5) && has("hidden/sub", 0) && has("hidden-file", 1));
		CU_ASSERT(has("hidden-link", 0) && !has("hidden/new", 0) &&
			  !has("hidden/sub/new", 0));
		CU_ASSERT_EQUAL(fileio_stat(files, "/data/hidden2/other", true, &st), 0);
		CU_ASSERT_EQUAL(fileio_stat(files, "/data/hidden2/file", true, &st), -ENOENT);
		CU_ASSERT_EQUAL(fileio_stat(files, "/data/dir/file", true, &st), 0);
		end();
	}
}

/* What cannot be entered costs nothing. */
static void nobody_asks_without_submounts(void)
{
	struct stat st;

	begin_hidden(hostfs_best(), false);
	CU_ASSERT_EQUAL(fileio_stat(files, "/data/dir/../hidden/file", true, &st), 0);
	CU_ASSERT_EQUAL(fileio_open(files, "/data/dir/file", O_RDWR, 0), 3);
	CU_ASSERT_EQUAL(fileio_open(files, "/data/tofile", O_RDWR, 0), 4);
	CU_ASSERT_EQUAL(fileio_open(files, "/data/dir/new", O_RDWR | O_CREAT, 0644), 5);
	CU_ASSERT_EQUAL(fileio_mkdir(files, "/data/dir/sub", 0755), 0);
	CU_ASSERT_EQUAL(fileio_unlink(files, "/data/dir/new"), 0);
	CU_ASSERT_EQUAL(asked, 0);
	end();
}

static const struct unit_case cases[] = {
	{ "what_steers_the_host_is_left_alone", what_steers_the_host_is_left_alone },
	{ "nobody_asks_without_submounts", nobody_asks_without_submounts },
	{ "tells_only_what_a_guest_expects", tells_only_what_a_guest_expects },
	{ "a_file_made_meanwhile_is_opened", a_file_made_meanwhile_is_opened },
	{ "lengths_are_as_linux_takes_them", lengths_are_as_linux_takes_them },
	{ "an_old_errno_is_none", an_old_errno_is_none },
	{ "raises_the_limit_of_open_files_as_needed", raises_the_limit_of_open_files_as_needed },
	{ "consoles_have_numbers_of_their_own", consoles_have_numbers_of_their_own },
	{ "blocks_are_those_of_a_file_without_holes", blocks_are_those_of_a_file_without_holes },
	{ "the_first_file_of_scratch_counts_as_any_other",
		the_first_file_of_scratch_counts_as_any_other },
};

UNIT_MAIN("fileio_host", cases)
