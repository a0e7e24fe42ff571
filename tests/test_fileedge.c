// SPDX-License-Identifier: ISC
/* A guest's files at their limits: lengths, positions, numbers of files, names, and consoles that are shared. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>

#include "err.h"
#include "fileio.h"
#include "filemap_path.h"
#include "tmptree.h"
#include "unit.h"

static struct tmptree tree;
static struct fileio *files;

enum { IO_MAX = 0x7ffff000 };

/* Consoles -1: none. */
static void begin(bool deterministic, struct fileio_limits limits, int in, int out)
{
	static char host[100], ro[100];
	const struct fileio_mount mounts[] = { { host, "/data", .writable = true },
		{ ro, "/ro", .writable = false } };
	struct err err;

	CU_ASSERT_FATAL(
		!tmptree_make(&tree, (const char *const[]){ "d data", "d ro", "d scratch",
					     "f data/file hello", "f ro/file text", NULL }));
	snprintf(host, sizeof(host), "%s/data", tree.path);
	snprintf(ro, sizeof(ro), "%s/ro", tree.path);
	CU_ASSERT_EQUAL_FATAL(fileio_init(&files,
				      &(struct fileio_config){ .mounts = mounts,
					      .n_mounts = 2,
					      .scratch_parent = tree.path,
					      .limits = limits,
					      .deterministic = deterministic,
					      .console_in = in,
					      .console_out = out },
				      &err),
		0);
}

static void end(void)
{
	fileio_destroy(files);
	tmptree_remove(&tree);
}

static const struct fileio_limits usual;

static void takes_lengths_of_any_size(void)
{
	/* Not on the stack: behind its end no buffer may reach, and the kernel looks at the length. */
	static char buf[16];
	int fd;

	begin(false, usual, -1, -1);
	CU_ASSERT_EQUAL(fileio_write(files, 1, buf, SIZE_MAX), IO_MAX);
	CU_ASSERT_EQUAL(fileio_read(files, 0, buf, SIZE_MAX), 0);
	fd = fileio_open(files, "/data/file", O_RDWR, 0);
	CU_ASSERT_EQUAL(fileio_read(files, fd, buf, SIZE_MAX), 5);
	CU_ASSERT_STRING_EQUAL(buf, "hello");
	CU_ASSERT_EQUAL(fileio_write(files, fd, buf, 0), 0);
	end();
}

static void the_largest_file_has_an_end(void)
{
	int fd;

	begin(true, usual, -1, -1);
	fd = fileio_open(files, "/data/file", O_RDWR, 0);
	CU_ASSERT_EQUAL(fileio_lseek(files, fd, FILEIO_SIZE_MAX + 1, SEEK_SET), -EINVAL);
	CU_ASSERT_EQUAL(
		fileio_lseek(files, fd, FILEIO_SIZE_MAX - 2, SEEK_SET), FILEIO_SIZE_MAX - 2);
	CU_ASSERT_EQUAL(fileio_write(files, fd, "abcdef", 6), 2);
	CU_ASSERT_EQUAL(fileio_write(files, fd, "c", 1), -EFBIG);
	CU_ASSERT_EQUAL(fileio_lseek(files, fd, 0, SEEK_END), FILEIO_SIZE_MAX);
	CU_ASSERT_EQUAL(fileio_lseek(files, fd, 1, SEEK_CUR), -EINVAL);
	CU_ASSERT_EQUAL(fileio_lseek(files, fd, INT64_MAX, SEEK_CUR), -EINVAL);
	CU_ASSERT_EQUAL(fileio_lseek(files, fd, INT64_MAX, SEEK_END), -EINVAL);
	end();
}

static void directories_are_positions_too(void)
{
	char buf[4096];
	int64_t at;
	ssize_t all;
	int fd;

	begin(false, usual, -1, -1);
	fd = fileio_open(files, "/data", O_RDONLY, 0);
	all = fileio_getdents(files, fd, buf, sizeof(buf));
	CU_ASSERT(all > 0 && !fileio_getdents(files, fd, buf, sizeof(buf)));
	at = fileio_lseek(files, fd, 0, SEEK_CUR);
	CU_ASSERT_EQUAL(at, 3);
	CU_ASSERT_EQUAL(fileio_lseek(files, fd, at, SEEK_SET), at);
	CU_ASSERT_EQUAL(fileio_getdents(files, fd, buf, sizeof(buf)), 0);
	CU_ASSERT_EQUAL(fileio_lseek(files, fd, INT64_MAX, SEEK_CUR), -EINVAL);
	CU_ASSERT_EQUAL(fileio_lseek(files, fd, -4, SEEK_CUR), -EINVAL);
	CU_ASSERT_EQUAL(fileio_lseek(files, fd, 0, SEEK_END), -EINVAL);
	CU_ASSERT_EQUAL(fileio_lseek(files, fd, -1, SEEK_CUR), 2);
	CU_ASSERT(fileio_getdents(files, fd, buf, sizeof(buf)) == 24);
	CU_ASSERT_EQUAL(fileio_lseek(files, fd, 0, SEEK_SET), 0);
	CU_ASSERT_EQUAL(fileio_getdents(files, fd, buf, sizeof(buf)), all);
	CU_ASSERT_EQUAL(fileio_lseek(files, fd, 0, SEEK_SET), 0);
	CU_ASSERT_EQUAL(fileio_getdents(files, fd, buf, 23), -EINVAL);
	end();
}

static void there_are_always_the_consoles(void)
{
	begin(false, (struct fileio_limits){ .fds = 1 }, -1, -1);
	CU_ASSERT_EQUAL(fileio_write(files, 1, "x", 1), 1);
	CU_ASSERT_EQUAL(fileio_open(files, "/data/file", O_RDONLY, 0), -EMFILE);
	end();
}

static void a_full_scratch_still_says_what_is_there(void)
{
	begin(false, (struct fileio_limits){ .scratch_inodes = 1 }, -1, -1);
	CU_ASSERT_EQUAL(fileio_mkdir(files, "/one", 0755), 0);
	CU_ASSERT_EQUAL(fileio_mkdir(files, "/one", 0755), -EEXIST);
	CU_ASSERT_EQUAL(fileio_mkdir(files, "/two", 0755), -ENOSPC);
	CU_ASSERT_EQUAL(fileio_mkdir(files, "/two/three", 0755), -ENOSPC);
	CU_ASSERT_EQUAL(fileio_open(files, "/one/file", O_WRONLY | O_CREAT, 0644), -ENOSPC);
	CU_ASSERT_EQUAL(fileio_mkdir(files, "/data/elsewhere", 0755), 0);
	CU_ASSERT_EQUAL(fileio_mkdir(files, "/data/../one", 0755), -EEXIST);
	CU_ASSERT_EQUAL(fileio_mkdir(files, "/data/elsewhere/..", 0755), -EEXIST);
	CU_ASSERT_EQUAL(fileio_mkdir(files, "/", 0755), -EEXIST);
	end();
}

static void names_have_an_end_wherever_they_are(void)
{
	static const struct {
		const char *before, *behind;
		int expect; /* of stat; 255 bytes are one less, and not there */
	} rows[] = { { "/", "", -ENAMETOOLONG }, { "/data/", "", -ENAMETOOLONG },
		{ "/data/", "/x", -ENAMETOOLONG }, { "/data/../", "", -ENAMETOOLONG },
		{ "/data/../", "/x", -ENAMETOOLONG }, { "/ro/", "/.", -ENAMETOOLONG } };
	char path[400], name[FILEMAP_NAME_MAX + 2] = "";
	struct stat st;

	memset(name, 'x', FILEMAP_NAME_MAX + 1);
	begin(false, usual, -1, -1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(path, sizeof(path), "%s%s%s", rows[i].before, name, rows[i].behind);
		CU_ASSERT_EQUAL(fileio_stat(files, path, true, &st), rows[i].expect);
		snprintf(path, sizeof(path), "%s%s%s", rows[i].before, name + 1, rows[i].behind);
		CU_ASSERT_EQUAL(fileio_stat(files, path, true, &st), -ENOENT);
	}
	snprintf(path, sizeof(path), "/made/%s/file", name);
	CU_ASSERT_EQUAL(fileio_open(files, path, O_WRONLY | O_CREAT, 0644), -ENAMETOOLONG);
	snprintf(path, sizeof(path), "/made/%s", name);
	CU_ASSERT_EQUAL(fileio_open(files, path, O_WRONLY | O_CREAT, 0644), -ENAMETOOLONG);
	CU_ASSERT_EQUAL(fileio_mkdir(files, path, 0755), -ENAMETOOLONG);
	CU_ASSERT_EQUAL(fileio_stat(files, "/made", true, &st), -ENOENT);
	snprintf(path, sizeof(path), "/ro/%s", name);
	CU_ASSERT_EQUAL(fileio_unlink(files, path), -EROFS);
	snprintf(path, sizeof(path), "/data/%s", name);
	CU_ASSERT_EQUAL(fileio_unlink(files, path), -ENAMETOOLONG);
	end();
}

/* The threads assert nothing: what they did is seen from what comes through. */
static void *feed_later(void *fd)
{
	usleep(20000);
	return write(*(int *)fd, "late", 4) == 4 ? fd : NULL;
}

enum { MUCH = 80000 };

static void *drain_later(void *fd)
{
	char buf[4096];
	ssize_t got;

	usleep(20000);
	for (ssize_t n = 0; n<MUCH; n += got> 0 ? got : 0) {
		got = read(*(int *)fd, buf, sizeof(buf));
		if (got < 0 && errno == EAGAIN)
			usleep(1000);
		else if (got <= 0)
			return NULL;
	}
	return fd;
}

/* Whoever else has our terminal may have made it non-blocking: a guest does not see that. */
static void consoles_block_though_the_hosts_do_not(void)
{
	static const char much[MUCH];
	static int in[2], out[2];
	pthread_t thread;
	void *fd;
	char buf[8];

	CU_ASSERT_FATAL(!pipe2(in, O_CLOEXEC | O_NONBLOCK) && !pipe2(out, O_CLOEXEC | O_NONBLOCK));
	begin(false, usual, in[0], out[1]);
	CU_ASSERT_FATAL(!pthread_create(&thread, NULL, feed_later, &in[1]));
	CU_ASSERT_EQUAL(fileio_read(files, 0, buf, sizeof(buf)), 4);
	CU_ASSERT(!pthread_join(thread, &fd) && fd == &in[1]);
	CU_ASSERT_FATAL(!pthread_create(&thread, NULL, drain_later, &out[0]));
	CU_ASSERT_EQUAL(fileio_write(files, 1, much, MUCH), MUCH);
	close(out[1]);
	CU_ASSERT(!pthread_join(thread, &fd) && fd == &out[0]);
	end();
	close(in[0]);
	close(in[1]);
	close(out[0]);
}

static void a_console_that_is_gone_is_an_error(void)
{
	sighandler_t before = signal(SIGPIPE, SIG_IGN);
	int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), out[2];
	char byte;

	CU_ASSERT_FATAL(dir >= 0 && !pipe2(out, O_CLOEXEC));
	close(out[0]);
	begin(false, usual, dir, out[1]);
	CU_ASSERT_EQUAL(fileio_write(files, 1, "x", 1), -EPIPE);
	CU_ASSERT_EQUAL(fileio_read(files, 0, &byte, 1), -EISDIR);
	end();
	close(out[1]);
	close(dir);
	signal(SIGPIPE, before);
}

/* The host's own limit, in the middle of what is written, and when there is no room at all. */
static void a_host_without_room_is_told_with_what_was_written(void)
{
	static const char data[2000];
	sighandler_t before = signal(SIGXFSZ, SIG_IGN);
	struct rlimit old, few;
	int fd, end_fd;

	begin(false, usual, -1, -1);
	fd = fileio_open(files, "/data/file", O_WRONLY, 0);
	end_fd = fileio_open(files, "/data/file", O_WRONLY | O_APPEND, 0);
	CU_ASSERT_FATAL(!getrlimit(RLIMIT_FSIZE, &old));
	few = (struct rlimit){ 1000, old.rlim_max };
	CU_ASSERT_FATAL(!setrlimit(RLIMIT_FSIZE, &few));
	CU_ASSERT_EQUAL(fileio_write(files, fd, data, sizeof(data)), 1000);
	CU_ASSERT_EQUAL(fileio_write(files, fd, data, 1), -EFBIG);
	CU_ASSERT_EQUAL(fileio_write(files, end_fd, data, 1), -EFBIG);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &old), 0);
	CU_ASSERT_EQUAL(fileio_write(files, end_fd, data, 1), 1);
	CU_ASSERT_EQUAL(fileio_lseek(files, end_fd, 0, SEEK_CUR), 1001);
	end();
	signal(SIGXFSZ, before);
}

/* Where a mapping's file is named without any directory, and what such a name may not be. */
static void mappings_are_found_from_where_we_stand(void)
{
	static const struct {
		const char *host, *guest;
		int expect;
	} rows[] = { { "later", "/later", 0 }, { "file", "/f", 0 }, { ".", "/d", 0 },
		{ "none/.", "/f", -ENOENT }, { "none/..", "/f", -ENOENT },
		{ "none/", "/f", -ENOENT } };
	char before[4096], name[FILEMAP_NAME_MAX + 2] = "", guest[300];
	struct fileio_mount mount = { .writable = true };
	struct fileio_config config = {
		.mounts = &mount, .n_mounts = 1, .console_in = -1, .console_out = -1
	};
	struct err err;
	int r;

	CU_ASSERT_FATAL(getcwd(before, sizeof(before)) != NULL);
	CU_ASSERT_FATAL(!tmptree_make(&tree, (const char *const[]){ "f file text", NULL }));
	CU_ASSERT_FATAL(!chdir(tree.path));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		mount.host = rows[i].host;
		mount.guest = rows[i].guest;
		r = fileio_init(&files, &config, &err);
		CU_ASSERT_EQUAL(r, rows[i].expect);
		if (!r)
			fileio_destroy(files);
	}
	memset(name, 'x', FILEMAP_NAME_MAX + 1);
	mount.host = name;
	CU_ASSERT(fileio_init(&files, &config, &err) == -ENAMETOOLONG);
	snprintf(guest, sizeof(guest), "/%s", name);
	mount = (struct fileio_mount){ .host = "file", .guest = guest };
	CU_ASSERT_EQUAL(fileio_init(&files, &config, &err), -ENAMETOOLONG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "longer than 255 bytes"));
	mount.guest = "/f";
	config.cwd = "relative";
	CU_ASSERT_EQUAL(fileio_init(&files, &config, &err), -EINVAL);
	CU_ASSERT(!chdir(before));
	tmptree_remove(&tree);
}

/* The host's 0 is free for whoever closed stdin first. */
static void opens_what_is_descriptor_zero_on_the_host(void)
{
	static const struct {
		const char *path;
		int flags;
	} rows[] = { { "/data/file", O_RDONLY }, { "/ro/file", O_RDONLY }, { "/data/file", O_RDWR },
		{ "/data/file", O_WRONLY | O_CREAT }, { "/data/new", O_RDWR | O_CREAT | O_EXCL },
		{ "/new", O_RDWR | O_CREAT } };
	int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100);

	if (saved < 0) {
		unit_skip("it is closed");
		return;
	}
	begin(false, usual, -1, -1);
	close(STDIN_FILENO);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = fileio_open(files, rows[i].path, rows[i].flags, 0644);

		CU_ASSERT_EQUAL(fd, 3);
		CU_ASSERT(fcntl(STDIN_FILENO, F_GETFD) >= 0);
		CU_ASSERT_EQUAL(fileio_close(files, fd), 0);
		CU_ASSERT(fcntl(STDIN_FILENO, F_GETFD) < 0);
	}
	dup2(saved, STDIN_FILENO);
	close(saved);
	end();
}

static const struct unit_case cases[] = {
	{ "takes_lengths_of_any_size", takes_lengths_of_any_size },
	{ "the_largest_file_has_an_end", the_largest_file_has_an_end },
	{ "directories_are_positions_too", directories_are_positions_too },
	{ "there_are_always_the_consoles", there_are_always_the_consoles },
	{ "a_full_scratch_still_says_what_is_there", a_full_scratch_still_says_what_is_there },
	{ "names_have_an_end_wherever_they_are", names_have_an_end_wherever_they_are },
	{ "consoles_block_though_the_hosts_do_not", consoles_block_though_the_hosts_do_not },
	{ "a_console_that_is_gone_is_an_error", a_console_that_is_gone_is_an_error },
	{ "a_host_without_room_is_told_with_what_was_written",
		a_host_without_room_is_told_with_what_was_written },
	{ "mappings_are_found_from_where_we_stand", mappings_are_found_from_where_we_stand },
	{ "opens_what_is_descriptor_zero_on_the_host", opens_what_is_descriptor_zero_on_the_host },
};

UNIT_MAIN("fileedge", cases)
