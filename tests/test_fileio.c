// SPDX-License-Identifier: ISC
/*
 * A guest's files as the guest sees them: errno and effect of every operation over a tree of
 * mappings, and what must never happen, above all while the host's tree changes under us. Runs as
 * root and as anybody alike.
 */
#include "fileio.h"
#include "filemap.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "err.h"
#include "guestfd.h"
#include "hostfs.h"
#include "hostfs_dry.h"
#include "namespace.h"
#include "tmptree.h"
#include "unit.h"

enum { N_MOUNTS_MAX = 8 };

static const struct hostfs *engine;

/* The world of most tests: host tree, mappings, and the files over them. */
static struct world {
	struct tmptree tree;
	struct fileio_mount mounts[N_MOUNTS_MAX];
	char hosts[N_MOUNTS_MAX][200];
	struct fileio_config config;
	struct fileio *files;
	struct err err;
	int fds_before;
	char scratch[100];
} w;

static const char *const base_lines[] = { "d rw", "d rw/sub", "d rw/ro", "d ro", "d ro/dir",
	"d outside", "d scratch", "f rw/file hello", "f rw/sub/deep deep",
	"f rw/ro/shadowed shadowed", "f ro/file read-only", "f ro/dir/deep ro-deep",
	"f outside/secret TOP-SECRET", "f conf configuration", "f state initial-state", "p rw/fifo",
	"p ro/fifo", "l rw/link file", "l rw/sub/uplink ../file", "l rw/tosub sub",
	"l rw/abs /etc/passwd", "l rw/absin /data/sub/deep",
	"l rw/escape ../../../../../../../../etc/passwd", "l rw/out ../outside/secret",
	"l rw/outdir ../outside", "l rw/loop loop", "l rw/loop1 loop2", "l rw/loop2 loop1",
	"l rw/dangling made-by-link", "l rw/dangout ../outside/made",
	"l rw/dangabs /made-in-scratch", "l rw/dangdeep /no/such/parent", "l rw/toro ro",
	"l rw/tofifo fifo", "l rw/conflink /etc/conf", "l ro/dangling nothing",
	"l ro/rwlink /data/file", NULL };

static const char *host_path(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", w.tree.path, name);
	return path;
}

static void add_mount(const char *host, const char *guest, const char *opts)
{
	size_t i = w.config.n_mounts++;

	strcpy(w.hosts[i], host_path(host));
	w.mounts[i] = (struct fileio_mount){ .host = w.hosts[i],
		.guest = guest,
		.writable = strstr(opts, "rw"),
		.may_unlink = strstr(opts, "unlink"),
		.submounts = strstr(opts, "submounts"),
		.no_hardlinks = strstr(opts, "nohardlinks") };
}

static void world_tree(const char *const *lines)
{
	memset(&w, 0, sizeof(w));
	w.fds_before = tmptree_open_fds();
	CU_ASSERT_FATAL(tmptree_make(&w.tree, lines) == 0);
	strcpy(w.scratch, host_path("scratch"));
	w.config = (struct fileio_config){
		.mounts = w.mounts,
		.scratch_parent = w.scratch,
		.host = engine,
		.console_in = -1,
		.console_out = -1,
	};
}

static void world_start(void)
{
	int r = fileio_init(&w.files, &w.config, &w.err);

	if (r)
		printf("     %s\n", w.err.text);
	CU_ASSERT_FATAL(r == 0);
}

static void world_begin(void)
{
	world_tree(base_lines);
	add_mount("conf", "/etc/conf", "ro");
	add_mount("ro", "/data/ro", "ro"); /* before the mapping that it lies in */
	add_mount("rw", "/data", "rw");
	add_mount("ro", "/ro", "ro");
	add_mount("state", "/var/lib/app/state", "rw");
	world_start();
}

/* Nothing may be left: no descriptor, no scratch directory. */
static void world_end(void)
{
	fileio_destroy(w.files);
	CU_ASSERT_EQUAL(tmptree_open_fds(), w.fds_before);
	CU_ASSERT_EQUAL(rmdir(w.scratch), 0);
	tmptree_remove(&w.tree);
	w.files = NULL;
}

static bool host_has(const char *name)
{
	struct stat st;

	return !lstat(host_path(name), &st);
}

static const char *host_content(const char *name)
{
	static char text[200];
	int fd = open(host_path(name), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = 0;
	return n < 0 ? "(none)" : text;
}

enum op { OPEN, STAT, LSTAT, MKDIR, UNLINK };

struct row {
	enum op op;
	const char *path;
	int flags;           /* OPEN */
	int expect;          /* 0 (for OPEN: a descriptor) or -errno */
	const char *content; /* OPEN: what is read; NULL: not read. STAT: "d", "f", "l", "p" */
};

static char kind_of(mode_t mode)
{
	return S_ISDIR(mode)    ? 'd'
	       : S_ISREG(mode)  ? 'f'
	       : S_ISLNK(mode)  ? 'l'
	       : S_ISFIFO(mode) ? 'p'
				: '?';
}

static int run_open(const struct row *row, char *text, size_t size)
{
	int fd = fileio_open(w.files, row->path, row->flags, 0644);
	ssize_t n;

	if (fd < 0)
		return fd;
	if (row->content) {
		n = fileio_read(w.files, fd, text, size - 1);
		text[n < 0 ? 0 : n] = 0;
	}
	CU_ASSERT_EQUAL(fileio_close(w.files, fd), 0);
	return 0;
}

static void run_row(const struct row *row)
{
	static const char *const names[] = { "open", "stat", "lstat", "mkdir", "unlink" };
	char text[100] = "";
	struct stat st = { 0 };
	int r = 0;

	if (row->op == OPEN)
		r = run_open(row, text, sizeof(text));
	if (row->op == STAT || row->op == LSTAT) {
		r = fileio_stat(w.files, row->path, row->op == STAT, &st);
		text[0] = kind_of(st.st_mode);
	}
	if (row->op == MKDIR)
		r = fileio_mkdir(w.files, row->path, 0755);
	if (row->op == UNLINK)
		r = fileio_unlink(w.files, row->path);
	if (r == row->expect && (r || !row->content || !strcmp(text, row->content)))
		return;
	printf("     %s \"%s\" %#o: %s \"%s\", not %s \"%s\"\n", names[row->op], row->path,
		(unsigned int)row->flags, r ? strerrorname_np(-r) : "0", text,
		row->expect ? strerrorname_np(-row->expect) : "0",
		row->content ? row->content : "");
	CU_FAIL("a row");
}

static void run_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		run_row(&rows[i]);
}

#define RUN(rows) run_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static void finds_what_is_mapped(void)
{
	static const struct row rows[] = {
		{ OPEN, "/data/file", O_RDONLY, 0, "hello" },
		{ OPEN, "//data/.//./file", O_RDONLY, 0, "hello" },
		{ OPEN, "data/file", O_RDONLY, 0, "hello" },
		{ OPEN, "/data/sub/deep", O_RDONLY, 0, "deep" },
		{ OPEN, "/data/ro/file", O_RDONLY, 0, "read-only" },
		{ OPEN, "/data/ro/shadowed", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/data/ro/dir/deep", O_RDONLY, 0, "ro-deep" },
		{ OPEN, "/etc/conf", O_RDONLY, 0, "configuration" },
		{ OPEN, "/var/lib/app/state", O_RDWR, 0, "initial-state" },
		{ OPEN, "/data", O_RDONLY | O_DIRECTORY, 0, NULL },
		{ OPEN, "/", O_RDONLY, 0, NULL },
		{ OPEN, "/var/lib", O_RDONLY | O_DIRECTORY, 0, NULL },
		{ OPEN, "/data/file", O_RDONLY | O_DIRECTORY, -ENOTDIR, NULL },
		{ OPEN, "/etc/conf", O_RDONLY | O_DIRECTORY, -ENOTDIR, NULL },
		{ OPEN, "/nothing", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/datafile", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/dat", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/etc/passwd", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "", O_RDONLY, -ENOENT, NULL },
		{ STAT, "/", 0, 0, "d" },
		{ STAT, ".", 0, 0, "d" },
		{ STAT, "/..", 0, 0, "d" },
		{ STAT, "/var", 0, 0, "d" },
		{ STAT, "/var/lib/app", 0, 0, "d" },
		{ STAT, "/var/lib/app/state", 0, 0, "f" },
		{ STAT, "/data/ro", 0, 0, "d" },
		{ STAT, "/data/fifo", 0, 0, "p" },
		{ STAT, "/data/link", 0, 0, "f" },
		{ LSTAT, "/data/link", 0, 0, "l" },
		{ STAT, "/etc/conf/x", 0, -ENOTDIR, NULL },
		{ STAT, "/data/file/x", 0, -ENOTDIR, NULL },
		{ STAT, "/data/missing/x", 0, -ENOENT, NULL },
	};

	world_begin();
	RUN(rows);
	world_end();
}

static void takes_dots_physically(void)
{
	static const struct row rows[] = {
		{ OPEN, "/data/sub/../file", O_RDONLY, 0, "hello" },
		{ OPEN, "/data/tosub/../file", O_RDONLY, 0, "hello" },
		{ OPEN, "/data/toro/../file", O_RDONLY, 0, "hello" },
		{ OPEN, "/../../data/file", O_RDONLY, 0, "hello" },
		{ OPEN, "/data/../../../../data/file", O_RDONLY, 0, "hello" },
		{ OPEN, "/var/lib/../../data/file", O_RDONLY, 0, "hello" },
		{ OPEN, "/data/ro/../ro/file", O_RDONLY, 0, "read-only" },
		{ OPEN, "/data/missing/../file", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/data/file/../file", O_RDONLY, -ENOTDIR, NULL },
		{ OPEN, "/etc/conf/../conf", O_RDONLY, -ENOTDIR, NULL },
		{ OPEN, "/etc/conf/.", O_RDONLY, -ENOTDIR, NULL },
		{ OPEN, "/data/file/.", O_RDONLY, -ENOTDIR, NULL },
		{ OPEN, "/data/sub/.", O_RDONLY, 0, NULL },
		{ OPEN, "/data/sub/..", O_RDONLY, 0, NULL },
		{ OPEN, "/data/..", O_RDONLY, 0, NULL },
		{ OPEN, "/data/../outside/secret", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/data/sub/../../outside/secret", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/ro/../rw/file", O_RDONLY, -ENOENT, NULL },
	};

	world_begin();
	RUN(rows);
	world_end();
}

static void follows_links_in_the_guests_tree_only(void)
{
	static const struct row rows[] = {
		{ OPEN, "/data/link", O_RDONLY, 0, "hello" },
		{ OPEN, "/data/sub/uplink", O_RDONLY, 0, "hello" },
		{ OPEN, "/data/tosub/deep", O_RDONLY, 0, "deep" },
		{ OPEN, "/data/tosub/uplink", O_RDONLY, 0, "hello" },
		{ OPEN, "/data/absin", O_RDONLY, 0, "deep" },
		{ OPEN, "/data/conflink", O_RDONLY, 0, "configuration" },
		{ OPEN, "/data/toro/file", O_RDONLY, 0, "read-only" },
		{ OPEN, "/data/toro/shadowed", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/ro/rwlink", O_RDONLY, 0, "hello" },
		{ OPEN, "/ro/rwlink", O_RDWR, 0, "hello" },
		{ OPEN, "/data/abs", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/data/escape", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/data/out", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/data/outdir/secret", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/data/outdir/secret", O_RDWR | O_CREAT, -ENOENT, NULL },
		{ STAT, "/data/outdir", 0, -ENOENT, NULL },
		{ LSTAT, "/data/outdir", 0, 0, "l" },
		{ LSTAT, "/data/outdir/", 0, -ENOENT, NULL },
		{ LSTAT, "/data/tosub/", 0, 0, "d" },
		{ LSTAT, "/data/link/", 0, -ENOTDIR, NULL },
		{ MKDIR, "/data/outdir/d", 0, -ENOENT, NULL },
		{ UNLINK, "/data/outdir/secret", 0, -ENOENT, NULL },
		{ OPEN, "/data/loop", O_RDONLY, -ELOOP, NULL },
		{ OPEN, "/data/loop1/x", O_RDONLY, -ELOOP, NULL },
		{ STAT, "/data/loop2", 0, -ELOOP, NULL },
		{ OPEN, "/data/link", O_RDONLY | O_NOFOLLOW, -ELOOP, NULL },
		{ OPEN, "/data/tosub", O_RDONLY | O_NOFOLLOW | O_DIRECTORY, -ENOTDIR, NULL },
		{ OPEN, "/data/tosub/", O_RDONLY | O_NOFOLLOW | O_DIRECTORY, 0, NULL },
		{ OPEN, "/data/tosub/deep", O_RDONLY | O_NOFOLLOW, 0, "deep" },
		{ OPEN, "/data/link", O_RDWR | O_CREAT | O_EXCL, -EEXIST, NULL },
		{ OPEN, "/data/dangling", O_RDWR | O_CREAT | O_EXCL, -EEXIST, NULL },
		{ OPEN, "/data/dangling", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/data/dangling", O_RDWR | O_CREAT, 0, "" },
		{ LSTAT, "/data/made-by-link", 0, 0, "f" },
		{ OPEN, "/data/dangout", O_RDWR | O_CREAT, -ENOENT, NULL },
		{ OPEN, "/data/dangabs", O_RDWR | O_CREAT, 0, "" },
		{ STAT, "/made-in-scratch", 0, 0, "f" },
		{ OPEN, "/data/dangdeep", O_RDWR | O_CREAT, -ENOENT, NULL },
		{ STAT, "/no", 0, -ENOENT, NULL },
		{ OPEN, "/ro/dangling", O_RDWR | O_CREAT, -EROFS, NULL },
		{ MKDIR, "/data/dangling", 0, -EEXIST, NULL },
		{ UNLINK, "/data/escape", 0, 0, NULL },
		{ UNLINK, "/data/tosub/", 0, -ENOTDIR, NULL },
	};

	world_begin();
	RUN(rows);
	CU_ASSERT_STRING_EQUAL(host_content("outside/secret"), "TOP-SECRET");
	CU_ASSERT_FALSE(host_has("outside/made"));
	CU_ASSERT_FALSE(host_has("outside/d"));
	CU_ASSERT_TRUE(host_has("rw/made-by-link"));
	world_end();
}

static void keeps_read_only_read_only(void)
{
	static const struct row rows[] = {
		{ OPEN, "/ro/file", O_RDWR, -EROFS, NULL },
		{ OPEN, "/ro/file", O_WRONLY, -EROFS, NULL },
		{ OPEN, "/ro/file", O_RDONLY | O_TRUNC, -EROFS, NULL },
		{ OPEN, "/ro/file", O_RDONLY | O_CREAT, 0, "read-only" },
		{ OPEN, "/ro/file", O_RDONLY | O_CREAT | O_EXCL, -EEXIST, NULL },
		{ OPEN, "/ro/new", O_RDWR | O_CREAT, -EROFS, NULL },
		{ OPEN, "/ro/new", O_RDWR | O_CREAT | O_EXCL, -EROFS, NULL },
		{ OPEN, "/data/ro/file", O_RDWR, -EROFS, NULL },
		{ OPEN, "/data/ro/dir/deep", O_RDWR, -EROFS, NULL },
		{ OPEN, "/data/sub/../ro/file", O_RDWR, -EROFS, NULL },
		{ OPEN, "/data/toro/file", O_RDWR, -EROFS, NULL },
		{ OPEN, "/data/toro/new", O_RDWR | O_CREAT, -EROFS, NULL },
		{ OPEN, "/data/ro/dir/../new", O_RDWR | O_CREAT, -EROFS, NULL },
		{ OPEN, "/etc/conf", O_RDWR, -EROFS, NULL },
		{ OPEN, "/etc/conf", O_RDONLY | O_TRUNC, -EROFS, NULL },
		{ OPEN, "/ro", O_RDWR, -EISDIR, NULL },
		{ MKDIR, "/ro/new", 0, -EROFS, NULL },
		{ MKDIR, "/ro/dir", 0, -EEXIST, NULL },
		{ MKDIR, "/data/ro/new", 0, -EROFS, NULL },
		{ UNLINK, "/ro/file", 0, -EROFS, NULL },
		{ UNLINK, "/ro/missing", 0, -EROFS, NULL },
		{ UNLINK, "/ro/.", 0, -EISDIR, NULL },
		{ UNLINK, "/data/toro/file", 0, -EROFS, NULL },
		{ OPEN, "/ro/rwlink", O_RDWR | O_TRUNC, 0, "" },
	};

	world_begin();
	RUN(rows);
	CU_ASSERT_STRING_EQUAL(host_content("ro/file"), "read-only");
	CU_ASSERT_STRING_EQUAL(host_content("conf"), "configuration");
	CU_ASSERT_FALSE(host_has("ro/new") || host_has("rw/ro/new"));
	CU_ASSERT_STRING_EQUAL(host_content("rw/file"), "");
	world_end();
}

static void refuses_as_linux_does(void)
{
	static char name255[300] = "/data/", name256[300] = "/data/", scratch256[300] = "/x/";
	static const struct row rows[] = {
		{ OPEN, "/data/file/", O_RDONLY, -ENOTDIR, NULL },
		{ OPEN, "/etc/conf/", O_RDONLY, -ENOTDIR, NULL },
		{ OPEN, "/data/new/", O_RDWR | O_CREAT, -EISDIR, NULL },
		{ OPEN, "/new/", O_RDWR | O_CREAT, -EISDIR, NULL },
		{ OPEN, "/data/file/", O_RDWR | O_CREAT, -EISDIR, NULL },
		{ OPEN, "/data/", O_RDONLY, 0, NULL },
		{ STAT, "/data/file/", 0, -ENOTDIR, NULL },
		{ STAT, "/etc/conf/", 0, -ENOTDIR, NULL },
		{ UNLINK, "/data/file/", 0, -ENOTDIR, NULL },
		{ UNLINK, "/data/missing/", 0, -ENOENT, NULL },
		{ UNLINK, "/data/sub/", 0, -EISDIR, NULL },
		{ UNLINK, "/data/sub", 0, -EISDIR, NULL },
		{ UNLINK, "/", 0, -EISDIR, NULL },
		{ UNLINK, "/data/sub/..", 0, -EISDIR, NULL },
		{ UNLINK, "/data", 0, -EISDIR, NULL },
		{ UNLINK, "/etc/conf", 0, -EBUSY, NULL },
		{ UNLINK, "/var/lib/app/state", 0, -EBUSY, NULL },
		{ UNLINK, "/data/missing", 0, -ENOENT, NULL },
		{ UNLINK, "", 0, -ENOENT, NULL },
		{ OPEN, "/data/sub", O_RDWR, -EISDIR, NULL },
		{ OPEN, "/data/sub", O_RDONLY | O_TRUNC, -EISDIR, NULL },
		{ OPEN, "/data/sub", O_RDONLY | O_CREAT, -EISDIR, NULL },
		{ OPEN, "/data", O_RDONLY | O_CREAT, -EISDIR, NULL },
		{ OPEN, "/data/sub/.", O_RDONLY | O_CREAT, -EISDIR, NULL },
		{ OPEN, "/data/sub", O_RDONLY | O_CREAT | O_EXCL, -EEXIST, NULL },
		{ OPEN, "/", O_RDONLY | O_CREAT | O_EXCL, -EEXIST, NULL },
		{ OPEN, "/etc/conf", O_RDONLY | O_CREAT | O_EXCL, -EEXIST, NULL },
		{ OPEN, "/data/x", O_RDONLY | O_CREAT | O_DIRECTORY, -EINVAL, NULL },
		{ OPEN, "/data/sub", O_RDWR | O_TMPFILE, -EOPNOTSUPP, NULL },
		{ OPEN, "/data/file", O_ACCMODE, -EINVAL, NULL },
		{ OPEN, "/data/file", O_PATH, -EINVAL, NULL },
		{ OPEN, "/data/file", O_DIRECT, -EINVAL, NULL },
		{ OPEN, "/data/file", O_ASYNC, -EINVAL, NULL },
		{ OPEN, "/data/file", 1 << 30, -EINVAL, NULL },
		{ OPEN, "/data/file", -1, -EOPNOTSUPP, NULL },
		{ OPEN, "/data/file", O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOATIME | 0100000, 0,
			"hello" },
		{ OPEN, "/data/file", O_RDWR | O_SYNC, 0, "hello" },
		{ MKDIR, "/", 0, -EEXIST, NULL },
		{ MKDIR, "/data", 0, -EEXIST, NULL },
		{ MKDIR, "/data/file", 0, -EEXIST, NULL },
		{ MKDIR, "/etc/conf", 0, -EEXIST, NULL },
		{ MKDIR, "/etc/conf/x", 0, -ENOTDIR, NULL },
		{ MKDIR, "/data/.", 0, -EEXIST, NULL },
		{ MKDIR, "/data/missing/x", 0, -ENOENT, NULL },
		{ MKDIR, "/data/d/", 0, 0, NULL },
		{ STAT, "/data/d", 0, 0, "d" },
		{ OPEN, name255, O_RDWR | O_CREAT, 0, "" },
		{ UNLINK, name255, 0, 0, NULL },
		{ OPEN, name256, O_RDWR | O_CREAT, -ENAMETOOLONG, NULL },
		{ STAT, name256, 0, -ENAMETOOLONG, NULL },
		{ MKDIR, name256, 0, -ENAMETOOLONG, NULL },
		{ OPEN, scratch256, O_RDWR | O_CREAT, -ENAMETOOLONG, NULL },
		{ STAT, "/x", 0, -ENOENT, NULL },
	};

	memset(name255 + strlen("/data/"), 'n', 255);
	memset(name256 + strlen("/data/"), 'n', 256);
	memset(scratch256 + strlen("/x/"), 'n', 256);
	world_begin();
	RUN(rows);
	CU_ASSERT_STRING_EQUAL(host_content("rw/file"), "hello");
	CU_ASSERT_TRUE(host_has("conf") && host_has("state") && !host_has("rw/new"));
	world_end();
}

static void never_opens_special_files(void)
{
	static const struct row rows[] = {
		{ OPEN, "/data/fifo", O_RDONLY, -ENXIO, NULL },
		{ OPEN, "/data/fifo", O_WRONLY, -ENXIO, NULL },
		{ OPEN, "/data/fifo", O_RDWR | O_CREAT | O_TRUNC, -ENXIO, NULL },
		{ OPEN, "/data/fifo", O_RDONLY | O_NONBLOCK, -ENXIO, NULL },
		{ OPEN, "/data/fifo", O_RDONLY | O_DIRECTORY, -ENOTDIR, NULL },
		{ OPEN, "/data/tofifo", O_RDONLY, -ENXIO, NULL },
		{ OPEN, "/data/sub/../fifo", O_RDONLY, -ENXIO, NULL },
		{ OPEN, "/ro/fifo", O_RDONLY, -ENXIO, NULL },
		{ OPEN, "/data/socket", O_RDWR, -ENXIO, NULL },
		{ LSTAT, "/data/fifo", 0, 0, "p" },
		{ UNLINK, "/data/fifo", 0, 0, NULL },
		{ LSTAT, "/data/fifo", 0, -ENOENT, NULL },
	};
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	world_begin();
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/rw/socket", w.tree.path);
	CU_ASSERT(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	close(fd);
	alarm(5); /* a fifo that is opened hangs */
	RUN(rows);
	alarm(0);
	world_end();
}

static void makes_missing_parents_in_scratch_only(void)
{
	static const struct row rows[] = {
		{ OPEN, "/tmp/a/b/file", O_RDONLY, -ENOENT, NULL },
		{ STAT, "/tmp", 0, -ENOENT, NULL },
		{ OPEN, "/tmp/a/./b//file", O_RDWR | O_CREAT, 0, "" },
		{ STAT, "/tmp/a/b", 0, 0, "d" },
		{ OPEN, "/tmp/a/c/file", O_RDWR | O_CREAT | O_EXCL, 0, "" },
		{ OPEN, "/tmp/a/c/file", O_RDWR | O_CREAT | O_EXCL, -EEXIST, NULL },
		{ OPEN, "/tmp/a/b/file/x", O_RDWR | O_CREAT, -ENOTDIR, NULL },
		{ OPEN, "/q/../r", O_RDWR | O_CREAT, -ENOENT, NULL },
		{ OPEN, "/q/r/", O_RDWR | O_CREAT, -ENOENT, NULL },
		{ STAT, "/q", 0, -ENOENT, NULL },
		{ MKDIR, "/m/n/o", 0, 0, NULL },
		{ MKDIR, "/m/n/o", 0, -EEXIST, NULL },
		{ STAT, "/m/n", 0, 0, "d" },
		{ OPEN, "/data/a/b", O_RDWR | O_CREAT, -ENOENT, NULL },
		{ OPEN, "/var/lib/new/file", O_RDWR | O_CREAT, 0, "" },
		{ OPEN, "/var/lib/app/beside", O_RDWR | O_CREAT, 0, "" },
		{ UNLINK, "/var/lib/app/beside", 0, 0, NULL },
		{ UNLINK, "/tmp/a/b/file", 0, 0, NULL },
		{ OPEN, "/tmp/a/b/file", O_RDONLY, -ENOENT, NULL },
	};

	world_begin();
	RUN(rows);
	CU_ASSERT_FALSE(host_has("rw/a"));
	world_end();
}

/* Runs out of descriptors at every step in turn; world_end() looks for leaks. */
static void bears_a_host_without_descriptors(void)
{
	static const char *const paths[] = { "/data/sub/../tosub/deep", "/data/sub/deep",
		"/data/absin", "/data/ro/dir/../dir/deep" };
	struct rlimit limit, old;
	int first, r;

	world_begin();
	first = open("/", O_PATH | O_CLOEXEC);
	close(first);
	getrlimit(RLIMIT_NOFILE, &old);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		r = -EMFILE;
		for (int more = 0; r == -EMFILE && more < 20; more++) {
			limit = (struct rlimit){ .rlim_cur = (rlim_t)(first + more),
				.rlim_max = old.rlim_max };
			setrlimit(RLIMIT_NOFILE, &limit);
			r = fileio_open(w.files, paths[i], O_RDONLY, 0);
			setrlimit(RLIMIT_NOFILE, &old);
		}
		CU_ASSERT_EQUAL(r, 3);
		CU_ASSERT_EQUAL(fileio_close(w.files, r), 0);
	}
	world_end();
}

static void undoes_parents_of_a_failed_create(void)
{
	char path[5000] = "";
	struct rlimit limit, old;
	int r = -EMFILE, first;
	struct stat st;

	world_begin();
	/* The last name is good, the one before it is too long: all made before it go again. */
	strcpy(path, "/u/v/w/");
	memset(path + strlen(path), 'n', 256);
	strcat(path, "/file");
	CU_ASSERT_EQUAL(fileio_open(w.files, path, O_RDWR | O_CREAT, 0644), -ENAMETOOLONG);
	CU_ASSERT_EQUAL(fileio_stat(w.files, "/u", true, &st), -ENOENT);
	/* One descriptor more each time: whatever step fails for want of one, nothing stays. */
	first = open("/", O_PATH | O_CLOEXEC);
	close(first);
	getrlimit(RLIMIT_NOFILE, &old);
	for (int more = 0; r == -EMFILE && more < 10; more++) {
		limit = (struct rlimit){ .rlim_cur = (rlim_t)(first + more),
			.rlim_max = old.rlim_max };
		setrlimit(RLIMIT_NOFILE, &limit);
		r = fileio_open(w.files, "/u/v/w/file", O_RDWR | O_CREAT, 0644);
		setrlimit(RLIMIT_NOFILE, &old);
		CU_ASSERT(r == -EMFILE || (r == 3 && more > 1));
		CU_ASSERT_EQUAL(fileio_stat(w.files, "/u", true, &st), r < 0 ? -ENOENT : 0);
	}
	CU_ASSERT_EQUAL(r, 3);
	world_end();
}

static void strips_modes(void)
{
	struct stat st;
	mode_t old = umask(0);
	int fd;

	world_begin();
	fd = fileio_open(w.files, "/data/setid", O_RDWR | O_CREAT, 07777);
	CU_ASSERT_EQUAL(fileio_fstat(w.files, fd, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode, S_IFREG | 0755);
	CU_ASSERT_EQUAL(fileio_mkdir(w.files, "/data/sticky", 07777), 0);
	CU_ASSERT_EQUAL(fileio_stat(w.files, "/data/sticky", true, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode, S_IFDIR | 0755);
	CU_ASSERT_EQUAL(fileio_stat(w.files, "/", true, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode, S_IFDIR | 0755);
	world_end();
	umask(old);
}

/* Its owner may say so; and whoever was recorded, for a replay has no owners. */
static void keeps_access_times_for_owners_only(void)
{
	bool foreign;

	for (int deterministic = 0; deterministic < 2; deterministic++) {
		int expect = deterministic ? 0 : -EPERM;

		world_tree(base_lines);
		add_mount("rw", "/data", "rw");
		add_mount("conf", "/conf", "ro");
		w.config.deterministic = deterministic;
		foreign = !chown(host_path("rw/file"), 1, (gid_t)-1) &&
			  !chown(host_path("rw/sub"), 1, (gid_t)-1) &&
			  !chown(host_path("conf"), 1, (gid_t)-1);
		world_start();
		obey_modes(true);
		run_row(&(struct row){ OPEN, "/data/sub/deep", O_NOATIME, 0, "deep" });
		run_row(&(struct row){ OPEN, "/new", O_NOATIME | O_CREAT, 0, "" });
		if (foreign) {
			run_row(&(struct row){ OPEN, "/data/file", O_NOATIME, expect, "hello" });
			run_row(&(struct row){ OPEN, "/data/sub", O_NOATIME, expect, NULL });
			run_row(&(struct row){ OPEN, "/conf", O_NOATIME, 0, "configuration" });
		}
		obey_modes(false);
		world_end();
	}
	if (!foreign)
		unit_skip("only root gives files away");
}

/* Linux would wait for its holder. */
static void waits_for_no_lease(void)
{
	sighandler_t old = signal(SIGIO, SIG_IGN);
	int fd;

	world_tree(base_lines);
	fd = open(host_path("rw/file"), O_RDWR | O_CLOEXEC);
	if (fcntl(fd, F_SETLEASE, F_WRLCK)) {
		unit_skip("no leases here");
	} else {
		add_mount("rw/file", "/file", "rw");
		CU_ASSERT_EQUAL(fileio_init(&w.files, &w.config, &w.err), -EAGAIN);
		CU_ASSERT_PTR_NOT_NULL(strstr(w.err.text, "holds a lease on it"));
		w.config.n_mounts = 0;
		add_mount("rw", "/data", "rw");
		world_start();
		run_row(&(struct row){ OPEN, "/data/file", O_RDWR, -EIO, NULL });
		run_row(&(struct row){ STAT, "/data/file", 0, 0, "f" });
	}
	close(fd);
	world_end();
	signal(SIGIO, old);
}

static void takes_any_bytes_in_names(void)
{
	static const char *const names[] = { "/data/\xff\xfe", "/data/\x01\x1b[31m", "/data/ ",
		"/data/a\nb", "/data/...", "/data/\xc0\xae\xc0\xae", "/data/a\\..\\b",
		"/\x80/\x81/\x82", "/data/:" };

	world_begin();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		run_row(&(struct row){ OPEN, names[i], O_RDWR | O_CREAT | O_EXCL, 0, "" });
		run_row(&(struct row){ STAT, names[i], 0, 0, "f" });
	}
	CU_ASSERT_TRUE(host_has("rw/\xff\xfe") && host_has("rw/..."));
	world_end();
}

/* path is filled with `unit` to `len` bytes and then has `end`. */
static void fill(char *path, const char *unit, size_t len, const char *end)
{
	path[0] = 0;
	while (strlen(path) + strlen(unit) + strlen(end) <= len)
		strcat(path, unit);
	while (strlen(path) + strlen(end) < len)
		strcat(path, "/");
	strcat(path, end);
}

static void takes_paths_of_4095_bytes(void)
{
	char path[5000];

	world_begin();
	fill(path, "/.", 4095, "/data/file");
	run_row(&(struct row){ OPEN, path, O_RDONLY, 0, "hello" });
	fill(path, "/.", 4096, "/data/file");
	run_row(&(struct row){ OPEN, path, O_RDONLY, -ENAMETOOLONG, NULL });
	fill(path, "/data/..", 4095, "/data/file");
	run_row(&(struct row){ OPEN, path, O_RDONLY, 0, "hello" });
	fill(path, "/data/sub/../..", 4095, "/data/file");
	run_row(&(struct row){ OPEN, path, O_RDONLY, 0, "hello" });
	fill(path, "/d", 4095, "/end"); /* two thousand directories deep, in scratch */
	run_row(&(struct row){ OPEN, path, O_RDWR | O_CREAT, 0, "" });
	run_row(&(struct row){ STAT, path, 0, 0, "f" });
	strcpy(path + 4095 - 4, "/../");
	run_row(&(struct row){ STAT, path, 0, 0, "d" });
	world_end(); /* and gone again */
}

static void follows_forty_links(void)
{
	char name[64], target[64];

	world_begin();
	for (int i = 1; i <= 41; i++) {
		snprintf(name, sizeof(name), "l rw/chain%d %schain%d", i,
			i % 2 ? "/data/" : "sub/../", i - 1);
		CU_ASSERT(tmptree_add(&w.tree, name) == 0);
	}
	CU_ASSERT(tmptree_add(&w.tree, "f rw/chain0 end") == 0);
	for (int i = 39; i <= 41; i++) {
		snprintf(target, sizeof(target), "/data/chain%d", i);
		run_row(&(struct row){
			OPEN, target, O_RDONLY, i <= 40 ? 0 : -ELOOP, i <= 40 ? "end" : NULL });
	}
	world_end();
}

static void keeps_offsets_per_open(void)
{
	char buf[64];
	int a, b;

	world_begin();
	for (int pinned = 0; pinned < 2; pinned++) {
		const char *path = pinned ? "/var/lib/app/state" : "/data/state";

		a = fileio_open(w.files, path, O_RDWR | O_CREAT | O_TRUNC, 0644);
		b = fileio_open(w.files, path, O_RDONLY, 0);
		CU_ASSERT_EQUAL(a, 3);
		CU_ASSERT_EQUAL(b, 4);
		CU_ASSERT_EQUAL(fileio_write(w.files, a, "0123456789", 10), 10);
		CU_ASSERT_EQUAL(fileio_read(w.files, b, buf, 4), 4);
		CU_ASSERT_EQUAL(fileio_read(w.files, a, buf, 4), 0);
		CU_ASSERT_EQUAL(fileio_read(w.files, b, buf, 64), 6);
		CU_ASSERT_EQUAL(memcmp(buf, "456789", 6), 0);
		CU_ASSERT_EQUAL(fileio_lseek(w.files, a, -3, SEEK_END), 7);
		CU_ASSERT_EQUAL(fileio_lseek(w.files, a, -4, SEEK_CUR), 3);
		CU_ASSERT_EQUAL(fileio_lseek(w.files, a, 0, SEEK_CUR), 3);
		CU_ASSERT_EQUAL(fileio_lseek(w.files, a, -4, SEEK_CUR), -EINVAL);
		CU_ASSERT_EQUAL(fileio_lseek(w.files, a, INT64_MAX, SEEK_CUR), -EINVAL);
		CU_ASSERT_EQUAL(fileio_lseek(w.files, a, 0, SEEK_CUR), 3);
		CU_ASSERT_EQUAL(fileio_lseek(w.files, a, 0, 17), -EINVAL);
		CU_ASSERT_EQUAL(fileio_lseek(w.files, a, 0, SEEK_HOLE), 10);
		CU_ASSERT_EQUAL(fileio_lseek(w.files, a, 10, SEEK_DATA), -ENXIO);
		CU_ASSERT_EQUAL(fileio_lseek(w.files, a, 12, SEEK_SET), 12);
		CU_ASSERT_EQUAL(fileio_write(w.files, a, "x", 1), 1);
		CU_ASSERT_EQUAL(fileio_read(w.files, b, buf, 64), 3);
		CU_ASSERT_EQUAL(memcmp(buf, "\0\0x", 3), 0);
		CU_ASSERT_EQUAL(fileio_write(w.files, b, "x", 1), -EBADF);
		CU_ASSERT_EQUAL(fileio_close(w.files, a), 0);
		CU_ASSERT_EQUAL(fileio_close(w.files, b), 0);
		CU_ASSERT_EQUAL(fileio_read(w.files, b, buf, 1), -EBADF);
		CU_ASSERT_STRING_EQUAL(host_content(pinned ? "state" : "rw/state"), "0123456789");
	}
	world_end();
}

static void appends_at_the_end(void)
{
	char buf[64];
	int a, b;

	world_begin();
	for (int pinned = 0; pinned < 2; pinned++) {
		const char *path = pinned ? "/var/lib/app/state" : "/data/state";

		a = fileio_open(
			w.files, path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_DSYNC, 0644);
		b = fileio_open(w.files, path, O_WRONLY, 0);
		CU_ASSERT_EQUAL(fileio_write(w.files, a, "one", 3), 3);
		CU_ASSERT_EQUAL(fileio_write(w.files, b, "TWO+", 4), 4);
		CU_ASSERT_EQUAL(fileio_lseek(w.files, a, 0, SEEK_SET), 0);
		CU_ASSERT_EQUAL(fileio_write(w.files, a, "three", 5), 5);
		CU_ASSERT_EQUAL(fileio_lseek(w.files, a, 0, SEEK_CUR), 9);
		CU_ASSERT_EQUAL(fileio_read(w.files, b, buf, 1), -EBADF);
		CU_ASSERT_EQUAL(fileio_lseek(w.files, a, 1, SEEK_SET), 1);
		CU_ASSERT_EQUAL(fileio_read(w.files, a, buf, 64), 8);
		CU_ASSERT_EQUAL(fileio_close(w.files, a), 0);
		CU_ASSERT_EQUAL(fileio_close(w.files, b), 0);
		CU_ASSERT_STRING_EQUAL(host_content(pinned ? "state" : "rw/state"), "TWO+three");
	}
	world_end();
}

/* The names of a listing, each with a space behind it. */
static void list(int fd, size_t buf_len, char *names, size_t size)
{
	char buf[4096] __attribute__((aligned(8)));
	ssize_t n;

	names[0] = 0;
	while ((n = fileio_getdents(w.files, fd, buf, buf_len)) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *entry = (const struct dirent64 *)(buf + at);

			CU_ASSERT_FATAL(entry->d_reclen >= 24 && entry->d_reclen % 8 == 0);
			CU_ASSERT_FATAL(entry->d_ino != 0);
			snprintf(names + strlen(names), size - strlen(names), "%s ", entry->d_name);
			at += entry->d_reclen;
		}
	}
	CU_ASSERT_EQUAL(n, 0);
}

static void lists_directories_in_order(void)
{
	static const struct {
		const char *path, *names;
	} rows[] = {
		{ "/", ". .. data etc made ro var " },
		{ "/data/..", ". .. data etc made ro var " },
		{ "/etc", ". .. conf " },
		{ "/var/lib", ". .. app " },
		{ "/data/ro", ". .. dangling dir fifo file rwlink " },
		{ "/data/toro/dir", ". .. deep " },
		{ "/data/sub", ". .. deep uplink " },
		{ "/data", ". .. abs absin conflink dangabs dangdeep dangling dangout escape fifo "
			   "file link "
			   "loop loop1 loop2 out outdir ro sub tofifo toro tosub " },
	};
	char names[2000], small[24];
	int fd;

	world_begin();
	run_row(&(struct row){ OPEN, "/made", O_RDWR | O_CREAT, 0, "" });
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t len = 24; len <= 4096; len = 13 * len + 16) {
			fd = fileio_open(w.files, rows[i].path, O_RDONLY | O_DIRECTORY, 0);
			list(fd, len < 40 ? 40 : len, names, sizeof(names));
			CU_ASSERT_STRING_EQUAL(names, rows[i].names);
			CU_ASSERT_EQUAL(fileio_lseek(w.files, fd, 0, SEEK_SET), 0);
			list(fd, 4096, names, sizeof(names));
			CU_ASSERT_STRING_EQUAL(names, rows[i].names);
			CU_ASSERT_EQUAL(fileio_lseek(w.files, fd, 2, SEEK_SET), 2);
			list(fd, 4096, names, sizeof(names));
			CU_ASSERT_STRING_EQUAL(names, rows[i].names + strlen(". .. "));
			CU_ASSERT_EQUAL(fileio_lseek(w.files, fd, -1, SEEK_SET), -EINVAL);
			CU_ASSERT_EQUAL(fileio_lseek(w.files, fd, INT64_MAX, SEEK_SET), INT64_MAX);
			list(fd, 4096, names, sizeof(names));
			CU_ASSERT_STRING_EQUAL(names, "");
			CU_ASSERT_EQUAL(fileio_close(w.files, fd), 0);
		}
	}
	fd = fileio_open(w.files, "/data", O_RDONLY, 0);
	CU_ASSERT_EQUAL(fileio_getdents(w.files, fd, small, 23), -EINVAL);
	CU_ASSERT_EQUAL(fileio_getdents(w.files, fd, small, 24), 24);
	CU_ASSERT_EQUAL(fileio_read(w.files, fd, small, 1), -EISDIR);
	CU_ASSERT_EQUAL(fileio_write(w.files, fd, small, 1), -EBADF);
	CU_ASSERT_EQUAL(fileio_close(w.files, fd), 0);
	world_end();
}

static void lists_large_directories(void)
{
	enum { N = 2500 }; /* more than are chosen in one pass */
	static char names[2][N * 8];
	char path[64];
	struct dirent64 entry;
	int fd, other;

	world_begin();
	for (int i = 0; i < N; i++) {
		snprintf(path, sizeof(path), "/big/%05d", i * 7919 % N);
		fd = fileio_open(w.files, path, O_WRONLY | O_CREAT | O_EXCL, 0644);
		CU_ASSERT_EQUAL_FATAL(fileio_close(w.files, fd), 0);
	}
	strcpy(names[0], ". .. ");
	for (int i = 0; i < N; i++)
		snprintf(names[0] + 5 + 6 * i, 16, "%05d ", i);
	fd = fileio_open(w.files, "/big", O_RDONLY, 0);
	other = fileio_open(w.files, "/", O_RDONLY, 0);
	list(fd, 4096, names[1], sizeof(names[1]));
	CU_ASSERT(!strcmp(names[0], names[1]));
	/* What another descriptor lists in between changes nothing. */
	CU_ASSERT_EQUAL(fileio_lseek(w.files, fd, 1000, SEEK_SET), 1000);
	CU_ASSERT_EQUAL(fileio_getdents(w.files, fd, &entry, 32), 32);
	CU_ASSERT_STRING_EQUAL(entry.d_name, "00998");
	list(other, 4096, names[1], sizeof(names[1]));
	CU_ASSERT_STRING_EQUAL(names[1], ". .. big data etc ro var ");
	list(fd, 4096, names[1], sizeof(names[1]));
	CU_ASSERT(!strcmp(strstr(names[0], "00999"), names[1]));
	world_end();
}

static void serves_the_consoles(void)
{
	char buf[64];
	struct stat st;
	int in[2], out[2];

	CU_ASSERT_FATAL(pipe2(in, O_CLOEXEC | O_NONBLOCK) == 0 && pipe2(out, O_CLOEXEC) == 0);
	world_tree(base_lines);
	w.config.console_in = in[0];
	w.config.console_out = out[1];
	world_start();
	CU_ASSERT_EQUAL(fileio_write(w.files, 1, "out", 3), 3);
	CU_ASSERT_EQUAL(fileio_write(w.files, 2, "err", 3), 3);
	CU_ASSERT_EQUAL(read(out[0], buf, sizeof(buf)), 6);
	CU_ASSERT_EQUAL(write(in[1], "input", 5), 5);
	CU_ASSERT_EQUAL(fileio_read(w.files, 0, buf, 2), 2);
	CU_ASSERT_EQUAL(fileio_read(w.files, 0, buf, 64), 3);
	CU_ASSERT_EQUAL(fileio_read(w.files, 1, buf, 1), -EBADF);
	CU_ASSERT_EQUAL(fileio_write(w.files, 0, buf, 1), -EBADF);
	CU_ASSERT_EQUAL(fileio_lseek(w.files, 1, 0, SEEK_CUR), -ESPIPE);
	CU_ASSERT_EQUAL(fileio_getdents(w.files, 0, buf, 64), -ENOTDIR);
	CU_ASSERT_EQUAL(fileio_close(w.files, 1), 0);
	CU_ASSERT_EQUAL(fileio_write(w.files, 1, "still", 5), 5);
	for (int fd = 0; fd < 3; fd++) {
		CU_ASSERT_EQUAL(fileio_fstat(w.files, fd, &st), 0);
		CU_ASSERT_EQUAL(st.st_mode, S_IFCHR | 0620);
	}
	close(in[1]);
	CU_ASSERT_EQUAL(fileio_read(w.files, 0, buf, 64), 0);
	fileio_destroy(w.files);
	CU_ASSERT(fcntl(in[0], F_GETFD) >= 0 && fcntl(out[1], F_GETFD) >= 0);
	tmptree_remove(&w.tree);
	close(in[0]);
	close(out[0]);
	close(out[1]);
	/* And none at all. */
	world_begin();
	CU_ASSERT_EQUAL(fileio_write(w.files, 1, "gone", 4), 4);
	CU_ASSERT_EQUAL(fileio_read(w.files, 0, buf, 4), 0);
	world_end();
}

static volatile sig_atomic_t stop;

static void on_alarm(int signal)
{
	(void)signal;
	stop = 1;
}

static void on_alarm_ignore(int signal)
{
	(void)signal;
}

static void *write_later(void *fd)
{
	usleep(60000);
	(void)!write(*(int *)fd, "late", 4);
	return NULL;
}

static void stops_a_blocked_read_when_asked(void)
{
	struct sigaction action = { .sa_handler = on_alarm_ignore }, old;
	struct itimerval soon = { .it_value = { .tv_usec = 20000 } };
	char buf[8];
	int in[2];

	CU_ASSERT_FATAL(pipe2(in, O_CLOEXEC) == 0);
	world_tree(base_lines);
	w.config.console_in = in[0];
	w.config.stop = &stop;
	world_start();
	sigaction(SIGALRM, &action, &old);
	stop = 0;
	setitimer(ITIMER_REAL, &soon, NULL);
	{ /* not asked to stop: the signal is none of the guest's business */
		pthread_t thread;
		sigset_t set, before;

		sigemptyset(&set);
		sigaddset(&set, SIGALRM);
		pthread_sigmask(SIG_BLOCK, &set, &before);
		CU_ASSERT(pthread_create(&thread, NULL, write_later, &in[1]) == 0);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		CU_ASSERT_EQUAL(fileio_read(w.files, 0, buf, sizeof(buf)), 4);
		pthread_join(thread, NULL);
	}
	action.sa_handler = on_alarm;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	CU_ASSERT_EQUAL(fileio_read(w.files, 0, buf, sizeof(buf)), -EINTR);
	CU_ASSERT_EQUAL(stop, 1);
	sigaction(SIGALRM, &old, NULL);
	fileio_destroy(w.files);
	tmptree_remove(&w.tree);
	close(in[0]);
	close(in[1]);
}

static void bears_hostile_descriptors(void)
{
	static const int hostile[] = { -1, INT32_MIN, INT32_MAX, 3, 1023, 1024, 1 << 20 };
	struct stat st;
	char buf[8];

	world_begin();
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		int fd = hostile[i];

		CU_ASSERT_EQUAL(fileio_read(w.files, fd, buf, 1), -EBADF);
		CU_ASSERT_EQUAL(fileio_write(w.files, fd, buf, 1), -EBADF);
		CU_ASSERT_EQUAL(fileio_lseek(w.files, fd, 0, SEEK_SET), -EBADF);
		CU_ASSERT_EQUAL(fileio_getdents(w.files, fd, buf, 8), -EBADF);
		CU_ASSERT_EQUAL(fileio_fstat(w.files, fd, &st), -EBADF);
		CU_ASSERT_EQUAL(fileio_close(w.files, fd), -EBADF);
	}
	world_end();
}

static void says_too_many_files_before_making_one(void)
{
	int n = 0, r;

	world_begin();
	while ((r = fileio_open(w.files, "/etc/conf", O_RDONLY, 0)) >= 0)
		n++;
	CU_ASSERT_EQUAL(r, -EMFILE);
	CU_ASSERT_EQUAL(n, 1021);
	CU_ASSERT_EQUAL(fileio_open(w.files, "/data/new", O_RDWR | O_CREAT, 0644), -EMFILE);
	CU_ASSERT_FALSE(host_has("rw/new"));
	CU_ASSERT_EQUAL(fileio_close(w.files, 700), 0);
	CU_ASSERT_EQUAL(fileio_open(w.files, "/data/new", O_RDWR | O_CREAT, 0644), 700);
	world_end(); /* all that is open is closed */
}

static void unlinks_a_mapped_file_only_if_allowed(void)
{
	static const struct row rows[] = {
		{ OPEN, "/f", O_RDONLY, 0, "initial-state" },
		{ OPEN, "/f/x", O_RDONLY, -ENOTDIR, NULL },
		{ STAT, "/f/.", 0, -ENOTDIR, NULL },
		{ UNLINK, "/f/", 0, -ENOTDIR, NULL },
		{ UNLINK, "/f", 0, 0, NULL },
		{ UNLINK, "/f", 0, -ENOENT, NULL },
		{ STAT, "/f", 0, -ENOENT, NULL },
		{ OPEN, "/f", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/f/x", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/f/x/..", O_RDONLY, -ENOENT, NULL },
		{ STAT, "/f/", 0, -ENOENT, NULL },
		{ STAT, "/f/.", 0, -ENOENT, NULL },
		{ UNLINK, "/f/", 0, -ENOENT, NULL },
		{ MKDIR, "/f", 0, -EACCES, NULL },
		{ OPEN, "/later", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/later", O_RDWR | O_CREAT | O_EXCL, 0, "" },
		{ UNLINK, "/later", 0, -EBUSY, NULL },
		{ STAT, "/later", 0, 0, "f" },
		{ UNLINK, "/dir", 0, -EISDIR, NULL },
	};
	char names[200];
	int fd;

	world_tree(base_lines);
	add_mount("state", "/f", "rw,unlink");
	add_mount("outside/later", "/later", "rw"); /* not there yet */
	add_mount("rw", "/dir", "rw,unlink");
	world_start();
	RUN(rows);
	CU_ASSERT_FALSE(host_has("state"));
	CU_ASSERT_TRUE(host_has("outside/later"));
	fd = fileio_open(w.files, "/", O_RDONLY, 0);
	list(fd, 4096, names, sizeof(names));
	CU_ASSERT_STRING_EQUAL(names, ". .. dir later ");
	CU_ASSERT_EQUAL(fileio_close(w.files, fd), 0);
	fd = fileio_open(w.files, "/f", O_RDWR | O_CREAT, 0644);
	CU_ASSERT_EQUAL(fileio_write(w.files, fd, "again", 5), 5);
	CU_ASSERT_STRING_EQUAL(host_content("state"), "again");
	/* The host puts a link where the file was: it is not followed. */
	CU_ASSERT(unlink(host_path("state")) == 0);
	CU_ASSERT(tmptree_add(&w.tree, "l state outside/secret") == 0);
	run_row(&(struct row){ OPEN, "/f", O_RDWR | O_CREAT, -ELOOP, NULL });
	run_row(&(struct row){ STAT, "/f", 0, -ELOOP, NULL });
	world_end();
}

static void maps_the_root(void)
{
	static const struct row rows[] = {
		{ OPEN, "/file", O_RDONLY, 0, "hello" },
		{ OPEN, "/link", O_RDONLY, 0, "hello" },
		{ OPEN, "/outdir/secret", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/conflink", O_RDONLY, -ENOENT, NULL },
		{ OPEN, "/new", O_RDWR | O_CREAT, 0, "" },
		{ OPEN, "/no/parent", O_RDWR | O_CREAT, -ENOENT, NULL },
		{ OPEN, "/a/b/conf", O_RDONLY, 0, "configuration" },
		{ STAT, "/a", 0, 0, "d" },
		{ STAT, "/a/b", 0, 0, "d" },
		{ OPEN, "/a/new", O_RDWR | O_CREAT, -EROFS, NULL },
		{ OPEN, "/sub/conf", O_RDONLY, 0, "configuration" },
		{ OPEN, "/tosub/conf", O_RDONLY, 0, "configuration" },
		{ OPEN, "/sub/deep", O_RDWR, 0, "deep" },
		{ OPEN, "/sub/uplink", O_RDONLY, 0, "hello" },
	};
	char names[500];
	int fd;

	world_tree(base_lines);
	add_mount("rw", "/", "rw");
	add_mount("conf", "/a/b/conf", "ro"); /* parents that the host does not have */
	add_mount("conf", "/sub/conf", "ro"); /* one that it has */
	world_start();
	RUN(rows);
	CU_ASSERT_TRUE(host_has("rw/new"));
	CU_ASSERT_FALSE(host_has("rw/a"));
	fd = fileio_open(w.files, "/sub", O_RDONLY, 0);
	list(fd, 4096, names, sizeof(names));
	CU_ASSERT_STRING_EQUAL(names, ". .. conf deep uplink ");
	CU_ASSERT_EQUAL(fileio_close(w.files, fd), 0);
	fd = fileio_open(w.files, "/", O_RDONLY, 0);
	list(fd, 4096, names, sizeof(names));
	CU_ASSERT_EQUAL(strncmp(names, ". .. a abs absin ", 17), 0);
	world_end();
}

static void starts_relative_paths_at_cwd(void)
{
	static const struct row rows[] = {
		{ OPEN, "deep", O_RDONLY, 0, "deep" },
		{ OPEN, "./../file", O_RDONLY, 0, "hello" },
		{ OPEN, "uplink", O_RDONLY, 0, "hello" },
		{ OPEN, "/data/file", O_RDONLY, 0, "hello" },
		{ STAT, ".", 0, 0, "d" },
		{ STAT, "../../../..", 0, 0, "d" },
		{ OPEN, "", O_RDONLY, -ENOENT, NULL },
	};

	static const char *const cwds[] = { "/data/sub", "/data/tosub", "/data/tosub/.",
		"/data/back/sub", "/to/sub//" };

	for (size_t i = 0; i < sizeof(cwds) / sizeof(cwds[0]); i++) {
		world_tree(base_lines);
		CU_ASSERT(!symlink("../../data/sub/..", host_path("rw/back")));
		add_mount("rw", "/data", "rw");
		add_mount("rw", "/to", "rw");
		w.config.cwd = cwds[i];
		world_start();
		RUN(rows);
		CU_ASSERT_STRING_EQUAL(fileio_map(w.files)->cwd, i < 4 ? "/data/sub/" : "/to/sub/");
		world_end();
	}
}

/* Configurations that are refused, and a part of what is said. */
static void refuses_bad_mappings(void)
{
	static const struct {
		const char *host, *guest, *opts, *cwd;
		int expect;
		const char *says;
	} rows[] = {
		{ "rw", "data", "rw", NULL, -EINVAL, "must begin with /" },
		{ "rw", "", "rw", NULL, -EINVAL, "must begin with /" },
		{ "rw", "/a/../b", "rw", NULL, -EINVAL, "`..`" },
		{ "rw/fifo", "/f", "rw", NULL, -EINVAL, "fifo" },
		{ "missing", "/f", "ro", NULL, -ENOENT, "no such" },
		{ "missing/x", "/f", "rw", NULL, -ENOENT, "make the directory" },
		{ "missing/", "/f", "rw", NULL, -ENOENT, "make it first" },
		{ "rw/dangling", "/f", "rw", NULL, -ELOOP, "link" },
		{ "rw", "/twice", "rw", NULL, -EEXIST, "is mapped there" },
		{ "rw", "//twice/.", "rw", NULL, -EEXIST, "is mapped there" },
		{ "rw", "/twice/x/y", "rw", NULL, -ENOTDIR,
			"/twice/x/y: lies beneath a mapped file" },
		{ "conf", "/", "ro", NULL, -ENOTDIR, "root" },
		{ "conf", "/f", "ro,unlink", NULL, -EINVAL, "rw" },
		{ "rw/../../../../../../../../proc", "/p", "ro", NULL, -EPERM, "proc" },
		{ "rw/../../../../../../../../proc/self", "/p", "ro", NULL, -EPERM, "proc" },
		{ "rw/../../../../../../../../proc/version", "/p", "ro", NULL, -EPERM, "proc" },
		{ "rw/../../../../../../../../dev/null", "/p", "ro", NULL, -EINVAL, "device" },
		{ "rw", "/d", "rw", "/nowhere", -ENOENT, "cwd" },
		{ "rw", "/d", "rw", "/d/file", -ENOTDIR, "cwd" },
		{ "rw", "/d", "rw", "/d/link", -ENOTDIR, "cwd" },
		{ "rw", "/d", "rw", "/d/link/", -ENOTDIR, "cwd" },
		{ "rw", "/d", "rw", "/d/dangling", -ENOENT, "cwd" },
		{ "rw", "/d", "rw", "/d/outdir", -ENOENT, "cwd" },
		{ "rw", "/d", "rw", "/d/loop", -ELOOP, "cwd" },
		{ "rw", "/d", "rw", "d", -EINVAL, "cwd" },
		{ "rw", "/d", "rw", "/d/..", -EINVAL, "cwd" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int r;

		world_tree(base_lines);
		add_mount("conf", "/twice", "ro");
		add_mount(rows[i].host, rows[i].guest, rows[i].opts);
		w.config.cwd = rows[i].cwd;
		r = fileio_init(&w.files, &w.config, &w.err);
		if (r != rows[i].expect || !strstr(w.err.text, rows[i].says))
			printf("     %s:%s: %d %s\n", rows[i].host, rows[i].guest, r, w.err.text);
		CU_ASSERT_EQUAL(r, rows[i].expect);
		CU_ASSERT_PTR_NOT_NULL(strstr(w.err.text, rows[i].says));
		w.files = NULL;
		world_end();
	}
}

static void checks_the_parent_of_scratch(void)
{
	world_tree(base_lines);
	CU_ASSERT(chmod(w.scratch, 0777) == 0);
	CU_ASSERT_EQUAL(fileio_init(&w.files, &w.config, &w.err), -EPERM);
	CU_ASSERT(chmod(w.scratch, 01777) == 0);
	CU_ASSERT_EQUAL(fileio_init(&w.files, &w.config, &w.err), 0);
	world_end();
	world_tree(base_lines);
	w.config.scratch_parent = "/nonexistent/directory";
	w.files = NULL;
	CU_ASSERT_EQUAL(fileio_init(&w.files, &w.config, &w.err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.err.text, "TMPDIR"));
	world_end();
}

static void removes_scratch_whatever_is_in_it(void)
{
	char path[4096];

	world_begin();
	for (int i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "/wide/%d/x/y/z/file%d", i % 10, i);
		run_row(&(struct row){ OPEN, path, O_RDWR | O_CREAT, 0, "" });
	}
	CU_ASSERT_EQUAL(fileio_mkdir(w.files, "/locked/inner/most", 0755), 0);
	CU_ASSERT_EQUAL(fileio_mkdir(w.files, "/locked/closed", 0), 0);
	run_row(&(struct row){ OPEN, "/locked/inner/file", O_WRONLY | O_CREAT, 0, NULL });
	fileio_open(w.files, "/locked/inner/file", O_WRONLY, 0); /* open while removed */
	world_end();
}

/* A host process swaps names as fast as it can; children, so that it is another process. */
static pid_t swapper(const char *a, const char *b)
{
	char one[300], two[300];
	pid_t child;

	snprintf(one, sizeof(one), "%s", host_path(a));
	snprintf(two, sizeof(two), "%s", host_path(b));
	child = fork();
	if (child)
		return child;
	alarm(20);
	for (;;)
		syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, two, 2 /* RENAME_EXCHANGE */);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void reap(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static bool errno_is_expected(int r, const int *expected, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (r == expected[i])
			return true;
	printf("     unexpected: %s\n", strerrorname_np(-r));
	return false;
}

/*
 * A directory and a link to outside change places. Whatever is opened, read, written or made must
 * lie in the mapping; and both must have been met, else nothing was tested.
 */
static void never_escapes_while_the_host_swaps(void)
{
	static const int expected[] = { -ENOENT, -EROFS, -ENOTDIR, -EEXIST, -EISDIR, -EIO };
	static const char *const paths[] = { "/data/swap/secret", "/data/swap/../swap/secret",
		"/data/swap/./secret", "/data/sub/../swap/secret" };
	int opened = 0, refused = 0, wrong = 0;
	double end = now() + 2;
	pid_t child;
	char buf[16] = "";

	world_tree(base_lines);
	add_mount("rw", "/data", "rw");
	CU_ASSERT(tmptree_add(&w.tree, "d rw/swap") == 0);
	CU_ASSERT(tmptree_add(&w.tree, "f rw/swap/secret ours") == 0);
	CU_ASSERT(tmptree_add(&w.tree, "l rw/other ../outside") == 0);
	world_start();
	child = swapper("rw/swap", "rw/other");
	for (int i = 0; i < 20000 && now() < end; i++) {
		int fd = fileio_open(
			w.files, paths[i % 4], i & 8 ? O_RDWR | O_CREAT : O_RDONLY, 0644);

		if (fd < 0) {
			refused++;
			wrong += !errno_is_expected(
				fd, expected, sizeof(expected) / sizeof(expected[0]));
			continue;
		}
		opened++;
		wrong += fileio_read(w.files, fd, buf, 3) == 3 && memcmp(buf, "our", 3) != 0;
		fileio_close(w.files, fd);
		fileio_mkdir(w.files, "/data/swap/made", 0755);
		fileio_unlink(w.files, "/data/swap/removed");
	}
	reap(child);
	CU_ASSERT_EQUAL(wrong, 0);
	if (!opened || !refused)
		unit_skip("the swaps were never met: too few processors");
	CU_ASSERT_STRING_EQUAL(host_content("outside/secret"), "TOP-SECRET");
	CU_ASSERT_FALSE(host_has("outside/made"));
	world_end();
}

/* A file and a link, then a file and a fifo, change places: no escape, no hang, no special file. */
static void never_follows_or_hangs_at_a_swapped_name(void)
{
	static const int expected[] = { -ENOENT, -ENXIO, -EIO };
	int opened = 0, refused = 0, wrong = 0;
	double end = now() + 2;
	pid_t children[2];
	struct stat st;

	world_tree(base_lines);
	add_mount("rw", "/data", "rw");
	CU_ASSERT(tmptree_add(&w.tree, "f rw/target ours") == 0);
	CU_ASSERT(tmptree_add(&w.tree, "l rw/toutside ../outside/secret") == 0);
	world_start();
	children[0] = swapper("rw/target", "rw/toutside");
	children[1] = swapper("rw/file", "rw/fifo");
	alarm(20);
	for (int i = 0; i < 20000 && now() < end; i++) {
		int fd = fileio_open(w.files, i & 1 ? "/data/target" : "/data/file",
			i & 2 ? O_RDWR | O_TRUNC : O_RDONLY, 0);

		if (fd < 0) {
			refused++;
			wrong += !errno_is_expected(
				fd, expected, sizeof(expected) / sizeof(expected[0]));
			continue;
		}
		opened++;
		wrong += fileio_fstat(w.files, fd, &st) || !S_ISREG(st.st_mode);
		fileio_close(w.files, fd);
	}
	alarm(0);
	reap(children[0]);
	reap(children[1]);
	CU_ASSERT_EQUAL(wrong, 0);
	if (!opened || !refused)
		unit_skip("the swaps were never met: too few processors");
	CU_ASSERT_STRING_EQUAL(host_content("outside/secret"), "TOP-SECRET");
	world_end();
}

static void parses_mappings(void)
{
	static const struct {
		const char *text, *host, *guest;
		int expect;
		const char *options;
	} rows[] = {
		{ "/h:/g", "/h", "/g", 0, "ro" },
		{ "/h:/g:ro", "/h", "/g", 0, "ro" },
		{ "/h:/g:rw", "/h", "/g", 0, "rw" },
		{ "h:/g:rw,unlink", "h", "/g", 0, "rw unlink" },
		{ "h:/g:unlink,rw", "h", "/g", 0, "rw unlink" },
		{ "a:b:/g", "a:b", "/g", 0, "ro" },
		{ "a:b:/g:rw", "a:b", "/g", 0, "rw" },
		{ "a:/b:/g", "a:/b", "/g", 0, "ro" },
		{ ":/g", NULL, NULL, -EINVAL, "HOST:GUEST" },
		{ "h", NULL, NULL, -EINVAL, "HOST:GUEST" },
		{ "", NULL, NULL, -EINVAL, "HOST:GUEST" },
		{ ":", NULL, NULL, -EINVAL, "HOST:GUEST" },
		{ "::", NULL, NULL, -EINVAL, "HOST:GUEST" },
		{ "h:g", NULL, NULL, -EINVAL, "HOST:GUEST" },
		{ "h:g:rw", NULL, NULL, -EINVAL, "HOST:GUEST" },
		{ "h:/g:fast", NULL, NULL, -EINVAL, "unknown option fast;" },
		{ "h:/g:rw,fast", NULL, NULL, -EINVAL, "unknown option fast;" },
		{ "h:/g:ro,rw", NULL, NULL, -EINVAL, "both ro and rw" },
		{ "h:/g:unlink", NULL, NULL, -EINVAL, "unlink needs rw" },
		{ "h:/g:,", NULL, NULL, -EINVAL, "unknown option" },
		{ "h:/g:submounts,nohardlinks,rw", "h", "/g", 0, "submounts nohardlinks rw" },
		{ "h:/g\\:x", "h", "/g:x", 0, "ro" },
		{ "h\\:/x:/g\\:/y:rw", "h:/x", "/g:/y", 0, "rw" },
		{ "h\\:/g", NULL, NULL, -EINVAL, "HOST:GUEST" },
		{ "h\\x:/g\\y", "h\\x", "/g\\y", 0, "ro" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fileio_mount mount;
		struct err err = { "" };
		int r = fileio_parse_mount(rows[i].text, &mount, &err);

		CU_ASSERT_EQUAL(r, rows[i].expect);
		if (r) {
			CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].options));
			CU_ASSERT_PTR_NULL(mount.host);
			continue;
		}
		CU_ASSERT_STRING_EQUAL(mount.host, rows[i].host);
		CU_ASSERT_STRING_EQUAL(mount.guest, rows[i].guest);
		CU_ASSERT_EQUAL(mount.writable, !!strstr(rows[i].options, "rw"));
		CU_ASSERT_EQUAL(mount.may_unlink, !!strstr(rows[i].options, "unlink"));
		CU_ASSERT_EQUAL(mount.submounts, !!strstr(rows[i].options, "submounts"));
		CU_ASSERT_EQUAL(mount.no_hardlinks, !!strstr(rows[i].options, "nohardlinks"));
		free((void *)(uintptr_t)mount.host);
		free((void *)(uintptr_t)mount.guest);
	}
}

static ssize_t write_path(const char *path, int flags, size_t len)
{
	static char zeros[4096];
	int fd = fileio_open(w.files, path, flags, 0644);
	ssize_t n = fd < 0 ? fd : fileio_write(w.files, fd, zeros, len);

	if (fd >= 0)
		fileio_close(w.files, fd);
	return n;
}

static void world_limited(struct fileio_limits limits)
{
	world_tree(base_lines);
	add_mount("rw", "/data", "rw");
	w.config.limits = limits;
	world_start();
}

static void counts_the_bytes_of_scratch(void)
{
	int a, b;

	world_limited((struct fileio_limits){ .scratch_bytes = 1000 });
	CU_ASSERT_EQUAL(write_path("/a", O_WRONLY | O_CREAT, 600), 600);
	CU_ASSERT_EQUAL(write_path("/b", O_WRONLY | O_CREAT, 600), 400); /* what fits */
	CU_ASSERT_EQUAL(write_path("/b", O_WRONLY | O_APPEND, 1), -ENOSPC);
	CU_ASSERT_EQUAL(write_path("/a", O_WRONLY, 600), 600); /* over what is there */
	CU_ASSERT_EQUAL(write_path("/c", O_WRONLY | O_CREAT, 1), -ENOSPC);
	CU_ASSERT_EQUAL(write_path("/data/new", O_WRONLY | O_CREAT, 4096), 4096); /* no scratch */
	CU_ASSERT_EQUAL(write_path("/a", O_WRONLY | O_TRUNC, 100), 100);          /* 500 less */
	CU_ASSERT_EQUAL(fileio_unlink(w.files, "/b"), 0);                         /* 400 less */
	CU_ASSERT_EQUAL(write_path("/c", O_WRONLY | O_APPEND, 900), 900);
	CU_ASSERT_EQUAL(write_path("/c", O_WRONLY | O_APPEND, 1), -ENOSPC);
	/* Two descriptors of one file; unlinked, it lives until both are closed. */
	a = fileio_open(w.files, "/c", O_WRONLY | O_TRUNC, 0);
	b = fileio_open(w.files, "/c", O_WRONLY | O_APPEND, 0);
	CU_ASSERT_EQUAL(fileio_write(w.files, a, w.scratch, 50), 50);
	CU_ASSERT_EQUAL(fileio_write(w.files, b, w.scratch, 50), 50);
	CU_ASSERT_EQUAL(fileio_lseek(w.files, b, 0, SEEK_CUR), 100);
	CU_ASSERT_EQUAL(fileio_unlink(w.files, "/c"), 0);
	CU_ASSERT_EQUAL(write_path("/d", O_WRONLY | O_CREAT, 900), 800);
	fileio_close(w.files, a);
	CU_ASSERT_EQUAL(write_path("/d", O_WRONLY | O_APPEND, 1), -ENOSPC);
	fileio_close(w.files, b);
	CU_ASSERT_EQUAL(write_path("/d", O_WRONLY | O_APPEND, 200), 100);
	/* A hole counts as if it were filled. */
	CU_ASSERT_EQUAL(fileio_unlink(w.files, "/d"), 0);
	a = fileio_open(w.files, "/e", O_WRONLY | O_CREAT, 0644);
	CU_ASSERT_EQUAL(fileio_lseek(w.files, a, 899, SEEK_SET), 899);
	CU_ASSERT_EQUAL(fileio_write(w.files, a, "xyz", 3), 1);
	CU_ASSERT_EQUAL(fileio_lseek(w.files, a, 1ll << 40, SEEK_SET), 1ll << 40);
	CU_ASSERT_EQUAL(fileio_write(w.files, a, "x", 1), -ENOSPC);
	fileio_close(w.files, a);
	world_end();
}

static void counts_the_files_of_scratch(void)
{
	int fd;

	world_limited((struct fileio_limits){ .scratch_inodes = 4 });
	CU_ASSERT_EQUAL(fileio_mkdir(w.files, "/a/b", 0755), 0); /* two */
	fd = fileio_open(w.files, "/c", O_RDWR | O_CREAT, 0644);
	CU_ASSERT(fd >= 3);
	CU_ASSERT_EQUAL(write_path("/x/y", O_WRONLY | O_CREAT, 1), -ENOSPC); /* two: not one */
	CU_ASSERT_EQUAL(fileio_mkdir(w.files, "/x/y/z", 0755), -ENOSPC);
	CU_ASSERT_EQUAL(fileio_stat(w.files, "/x", true, &(struct stat){ 0 }), -ENOENT);
	CU_ASSERT_EQUAL(write_path("/a/d", O_WRONLY | O_CREAT, 1), 1); /* the fourth */
	CU_ASSERT_EQUAL(write_path("/a/e", O_WRONLY | O_CREAT, 1), -ENOSPC);
	CU_ASSERT_EQUAL(fileio_mkdir(w.files, "/f", 0755), -ENOSPC);
	CU_ASSERT_EQUAL(fileio_mkdir(w.files, "/a", 0755), -EEXIST);
	CU_ASSERT_EQUAL(write_path("/a/d", O_WRONLY | O_CREAT, 1), 1); /* is there */
	CU_ASSERT_EQUAL(fileio_mkdir(w.files, "/data/f", 0755), 0);    /* no scratch */
	CU_ASSERT_EQUAL(fileio_unlink(w.files, "/c"), 0);
	CU_ASSERT_EQUAL(fileio_mkdir(w.files, "/f", 0755), -ENOSPC); /* it is open */
	fileio_close(w.files, fd);
	CU_ASSERT_EQUAL(fileio_mkdir(w.files, "/f", 0755), 0);
	CU_ASSERT_EQUAL(fileio_unlink(w.files, "/a/d"), 0);
	CU_ASSERT_EQUAL(write_path("/a/e", O_WRONLY | O_CREAT, 1), 1);
	world_end();
}

static void limits_descriptors(void)
{
	world_limited((struct fileio_limits){ .fds = 5 });
	CU_ASSERT_EQUAL(fileio_open(w.files, "/data/file", O_RDONLY, 0), 3);
	CU_ASSERT_EQUAL(fileio_open(w.files, "/data", O_RDONLY, 0), 4);
	CU_ASSERT_EQUAL(fileio_open(w.files, "/data/file", O_RDONLY, 0), -EMFILE);
	CU_ASSERT_EQUAL(fileio_open(w.files, "/new", O_RDONLY | O_CREAT, 0644), -EMFILE);
	CU_ASSERT_EQUAL(fileio_stat(w.files, "/new", true, &(struct stat){ 0 }), -ENOENT);
	CU_ASSERT_EQUAL(fileio_close(w.files, 3), 0);
	CU_ASSERT_EQUAL(fileio_open(w.files, "/data/file", O_RDONLY, 0), 3);
	world_end();
}

static void limits_depth(void)
{
	static const struct row rows[] = {
		{ OPEN, "/a/b/c/file", O_RDWR | O_CREAT, 0, "" },
		{ OPEN, "/a/b/c/d/file", O_RDWR | O_CREAT, -EDQUOT, NULL },
		{ STAT, "/a/b/c/d", 0, -ENOENT, NULL },
		{ STAT, "/a/b/c/d/file", 0, -ENOENT, NULL }, /* it is not that that fails */
		{ OPEN, "/data/sub/deep", O_RDONLY, 0, "deep" },
		{ OPEN, "/data/sub/three/f", O_RDONLY, 0, "3" },
		{ OPEN, "/data/sub/three/four/f", O_RDONLY, -EDQUOT, NULL },
		{ OPEN, "/data/sub/three/four/../f", O_RDONLY, -EDQUOT, NULL },
		{ OPEN, "/data/sub/three/../three/../three/f", O_RDONLY, 0, "3" },
		{ STAT, "/data/sub/three/four", 0, 0, "d" },
	};

	world_tree(base_lines);
	add_mount("rw", "/data", "rw");
	CU_ASSERT(!tmptree_add(&w.tree, "d rw/sub/three") &&
		  !tmptree_add(&w.tree, "f rw/sub/three/f 3") &&
		  !tmptree_add(&w.tree, "d rw/sub/three/four") &&
		  !tmptree_add(&w.tree, "f rw/sub/three/four/f 4"));
	w.config.limits.depth = 3;
	world_start();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		run_row(&rows[i]);
	world_end();
}

static void refuses_paths_that_are_not_utf8_if_asked(void)
{
	static const struct row rows[] = {
		{ OPEN, "/data/file", O_RDONLY, 0, "hello" },
		{ OPEN, "/data/\xc3\xa9", O_RDWR | O_CREAT, 0, "" },
		{ OPEN, "/data/\xf0\x9f\x90\xa7", O_RDWR | O_CREAT, 0, "" },
		{ OPEN, "/data/\xff", O_RDWR | O_CREAT, -EINVAL, NULL },
		{ STAT, "/\xc3/../data/file", 0, -EINVAL, NULL },
		{ MKDIR, "/data/\xed\xa0\x80", 0, -EINVAL, NULL },
		{ UNLINK, "/data/\xc0\xaf", 0, -EINVAL, NULL },
	};

	world_tree(base_lines);
	add_mount("rw", "/data", "rw");
	w.config.utf8_paths = true;
	world_start();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		run_row(&rows[i]);
	world_end();
}

static void refuses_hard_links_if_asked(void)
{
	static const struct row rows[] = {
		{ OPEN, "/data/file", O_RDONLY, 0, "hello" },
		{ OPEN, "/data/twice", O_RDONLY, -EACCES, NULL },
		{ OPEN, "/data/sub/deep", O_RDWR | O_TRUNC, -EACCES, NULL },
		{ STAT, "/data/twice", 0, 0, "f" },
		{ OPEN, "/other/twice", O_RDONLY, 0, "deep" },
		{ OPEN, "/alone", O_RDONLY, 0, "configuration" },
		{ OPEN, "/pinned", O_RDONLY, -EACCES, NULL },
		{ OPEN, "/named", O_RDONLY, -EACCES, NULL },
	};

	world_tree(base_lines);
	CU_ASSERT(!tmptree_add(&w.tree, "h rw/twice rw/sub/deep"));
	add_mount("rw", "/data", "rw,nohardlinks");
	add_mount("rw", "/other", "rw");
	add_mount("conf", "/alone", "ro,nohardlinks");
	add_mount("rw/twice", "/pinned", "ro,nohardlinks");
	add_mount("rw/sub/deep", "/named", "rw,unlink,nohardlinks");
	world_start();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		run_row(&rows[i]);
	world_end();
}

static uint64_t ino_of(const char *path)
{
	struct stat st = { 0 };

	CU_ASSERT_EQUAL(fileio_stat(w.files, path, true, &st), 0);
	return st.st_ino;
}

/* The calls that would leave the most behind. */
static void look_at_everything(void)
{
	static const struct row rows[] = {
		{ OPEN, "/tmp/mine", O_RDWR | O_TRUNC, 0, NULL },
		{ OPEN, "/a/b/new", O_RDWR | O_CREAT, 0, NULL },
		{ OPEN, "/data/file", O_RDWR | O_TRUNC, 0, NULL },
		{ STAT, "/data/sub/deep", 0, 0, "f" },
		{ UNLINK, "/tmp/mine", 0, 0, NULL },
		{ MKDIR, "/tmp/dir", 0, 0, NULL },
		{ MKDIR, "/data/dir", 0, 0, NULL },
		{ UNLINK, "/data/file", 0, 0, NULL },
		{ UNLINK, "/ro/file", 0, -EROFS, NULL },
	};

	CU_ASSERT_EQUAL(fileio_look_begin(w.files, hostfs_dry(fileio_map(w.files)->host)), 0);
	RUN(rows);
	fileio_look_end(w.files);
}

static void a_look_changes_nothing(void)
{
	struct fileio_limits before, after;
	uint64_t first, second;
	int fd;

	world_tree(base_lines);
	add_mount("rw", "/data", "rw");
	add_mount("ro", "/ro", "ro");
	w.config.deterministic = true;
	world_start();
	fd = fileio_open(w.files, "/tmp/mine", O_RDWR | O_CREAT, 0644);
	CU_ASSERT_EQUAL(fileio_write(w.files, fd, "0123456789", 10), 10);
	first = ino_of("/data/file");
	before = fileio_left(w.files);
	look_at_everything();
	after = fileio_left(w.files);
	CU_ASSERT(!memcmp(&before, &after, sizeof(before)));
	CU_ASSERT_EQUAL(before.fds, (uint64_t)GUESTFD_MAX - 4);
	CU_ASSERT_EQUAL(before.scratch_bytes, fileio_limits_usual.scratch_bytes - 10);
	second = ino_of(
		"/ro/file"); /* numbers by first sight: the look saw others, and it does not count */
	CU_ASSERT_EQUAL(second, first + 1);
	CU_ASSERT_EQUAL(fileio_lseek(w.files, fd, 0, SEEK_END), 10);
	CU_ASSERT_STRING_EQUAL(host_content("rw/file"), "hello");
	CU_ASSERT(!host_has("rw/dir"));
	CU_ASSERT_EQUAL(fileio_open(w.files, "/a/b/new", O_RDONLY, 0), -ENOENT);
	CU_ASSERT_EQUAL(fileio_close(w.files, fd), 0);
	world_end();
}

static void shows_what_a_descriptor_is(void)
{
	const struct guestfd *what;
	int fd;

	world_begin();
	fd = fileio_open(w.files, "/data/file", O_RDWR | O_APPEND, 0);
	what = fileio_fd(w.files, fd);
	CU_ASSERT(what && what->kind == GUESTFD_FILE && what->writable && what->rwf);
	CU_ASSERT(fileio_fd(w.files, 1)->kind == GUESTFD_CONSOLE);
	CU_ASSERT_PTR_NULL(fileio_fd(w.files, fd + 1));
	CU_ASSERT_PTR_NULL(fileio_fd(w.files, -1));
	CU_ASSERT_PTR_NULL(fileio_fd(w.files, INT_MAX));
	CU_ASSERT_EQUAL(fileio_close(w.files, fd), 0);
	world_end();
}

static const struct unit_case cases[] = {
	{ "a_look_changes_nothing", a_look_changes_nothing },
	{ "shows_what_a_descriptor_is", shows_what_a_descriptor_is },
	{ "counts_the_bytes_of_scratch", counts_the_bytes_of_scratch },
	{ "counts_the_files_of_scratch", counts_the_files_of_scratch },
	{ "limits_descriptors", limits_descriptors },
	{ "limits_depth", limits_depth },
	{ "refuses_paths_that_are_not_utf8_if_asked", refuses_paths_that_are_not_utf8_if_asked },
	{ "refuses_hard_links_if_asked", refuses_hard_links_if_asked },
	{ "finds_what_is_mapped", finds_what_is_mapped },
	{ "takes_dots_physically", takes_dots_physically },
	{ "follows_links_in_the_guests_tree_only", follows_links_in_the_guests_tree_only },
	{ "keeps_read_only_read_only", keeps_read_only_read_only },
	{ "refuses_as_linux_does", refuses_as_linux_does },
	{ "never_opens_special_files", never_opens_special_files },
	{ "makes_missing_parents_in_scratch_only", makes_missing_parents_in_scratch_only },
	{ "bears_a_host_without_descriptors", bears_a_host_without_descriptors },
	{ "undoes_parents_of_a_failed_create", undoes_parents_of_a_failed_create },
	{ "strips_modes", strips_modes },
	{ "keeps_access_times_for_owners_only", keeps_access_times_for_owners_only },
	{ "waits_for_no_lease", waits_for_no_lease },
	{ "takes_any_bytes_in_names", takes_any_bytes_in_names },
	{ "takes_paths_of_4095_bytes", takes_paths_of_4095_bytes },
	{ "follows_forty_links", follows_forty_links },
	{ "keeps_offsets_per_open", keeps_offsets_per_open },
	{ "appends_at_the_end", appends_at_the_end },
	{ "lists_directories_in_order", lists_directories_in_order },
	{ "lists_large_directories", lists_large_directories },
	{ "serves_the_consoles", serves_the_consoles },
	{ "stops_a_blocked_read_when_asked", stops_a_blocked_read_when_asked },
	{ "bears_hostile_descriptors", bears_hostile_descriptors },
	{ "says_too_many_files_before_making_one", says_too_many_files_before_making_one },
	{ "unlinks_a_mapped_file_only_if_allowed", unlinks_a_mapped_file_only_if_allowed },
	{ "maps_the_root", maps_the_root },
	{ "starts_relative_paths_at_cwd", starts_relative_paths_at_cwd },
	{ "refuses_bad_mappings", refuses_bad_mappings },
	{ "checks_the_parent_of_scratch", checks_the_parent_of_scratch },
	{ "removes_scratch_whatever_is_in_it", removes_scratch_whatever_is_in_it },
	{ "never_escapes_while_the_host_swaps", never_escapes_while_the_host_swaps },
	{ "never_follows_or_hangs_at_a_swapped_name", never_follows_or_hangs_at_a_swapped_name },
	{ "parses_mappings", parses_mappings },
};

/* The same answers, whichever way the resolver goes. */
static void on_openat2(void)
{
	engine = hostfs_best();
	if (engine != &hostfs_openat2)
		unit_skip("no openat2 here: what follows runs on the walk, twice");
}

static void on_the_walk(void)
{
	engine = &hostfs_walk;
	CU_ASSERT_STRING_EQUAL(engine->name, "walk");
}

enum { N_CASES = sizeof(cases) / sizeof(cases[0]) };

int main(void)
{
	struct unit_case all[2 * (1 + N_CASES)] = { { "on_openat2", on_openat2 },
		[1 + N_CASES] = { "on_the_walk", on_the_walk } };

	memcpy(&all[1], cases, sizeof(cases));
	memcpy(&all[2 + N_CASES], cases, sizeof(cases));
	return unit_run("fileio", all, sizeof(all) / sizeof(all[0]));
}
