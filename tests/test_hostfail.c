// SPDX-License-Identifier: ISC
/*
 * Files over a host whose calls fail one at a time, lies about its names, or changes between two calls: the
 * guest is told what it may see of that, nothing stays open, and nothing is left half made.
 */
#include <errno.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "fileio.h"
#include "filemap_path.h"
#include "hostfs.h"
#include "tmptree.h"
#include "unit.h"

/* ---- the host ---- */

enum call {
	OPEN,
	STAT,
	READLINK,
	MKDIR,
	UNLINK,
	FSTAT,
	TRUNCATE,
	GETDENTS,
	OPEN_HOST,
	REALPATH,
	FS_MAGIC,
	SCRATCH,
	N_CALLS
};

static const char *const call_names[N_CALLS] = { "open", "stat", "readlink", "mkdir", "unlink",
	"fstat", "truncate", "getdents", "open_host", "realpath", "fs_magic", "scratch_init" };

static struct tmptree tree;

/* From the first-th call of a kind on, so many: they fail, or the tree is changed before them. */
static struct plan {
	enum call call;
	int first, times;
	int error; /* 0: the call goes on */
	const char *
		changes; /* "- NAME" goes, "> NAME" becomes conf, or a line of tmptree.h; with ; between */
} plan;

static int count[N_CALLS];

static int rename_to_conf(const char *path)
{
	char conf[300];

	snprintf(conf, sizeof(conf), "%s/conf", tree.path);
	return rename(path, conf);
}

static void change(const char *changes)
{
	char line[200], path[300];
	const char *end;

	for (; *changes; changes = *end ? end + 1 : end) {
		end = strchrnul(changes, ';');
		snprintf(line, sizeof(line), "%.*s", (int)(end - changes), changes);
		snprintf(path, sizeof(path), "%s/%s", tree.path, line + 2);
		CU_ASSERT(line[0] == '-'   ? !remove(path)
			  : line[0] == '>' ? !rename_to_conf(path)
					   : !tmptree_add(&tree, line));
	}
}

/* 0, or what the call shall fail with. */
static int ask(enum call call)
{
	count[call]++;
	if (call != plan.call || count[call] < plan.first || count[call] >= plan.first + plan.times)
		return 0;
	if (plan.changes)
		change(plan.changes);
	return -plan.error;
}

static bool was_due(void)
{
	return count[plan.call] >= plan.first;
}

static int host_open(int dir, const char *path, int flags, mode_t mode, unsigned int how)
{
	int r = ask(OPEN);

	return r ? r : hostfs_best()->open(dir, path, flags, mode, how);
}

static int host_stat(int dir, const char *name, unsigned int how, struct stat *st)
{
	int r = ask(STAT);

	return r ? r : hostfs_best()->stat(dir, name, how, st);
}

static ssize_t host_readlink(int dir, const char *name, char *buf, size_t size)
{
	int r = ask(READLINK);

	return r ? r : hostfs_best()->readlink(dir, name, buf, size);
}

static int host_mkdir(int dir, const char *name, mode_t mode)
{
	int r = ask(MKDIR);

	return r ? r : hostfs_best()->mkdir(dir, name, mode);
}

static int host_unlink(int dir, const char *name, int flags)
{
	int r = ask(UNLINK);

	return r ? r : hostfs_best()->unlink(dir, name, flags);
}

static int host_fstat(int fd, struct stat *st)
{
	int r = ask(FSTAT);

	return r ? r : hostfs_best()->fstat(fd, st);
}

static int host_truncate(int fd)
{
	int r = ask(TRUNCATE);

	return r ? r : hostfs_best()->truncate(fd);
}

static ssize_t host_getdents(int fd, void *buf, size_t len, bool rewind)
{
	int r = ask(GETDENTS);

	return r ? r : hostfs_best()->getdents(fd, buf, len, rewind);
}

static void host_close(int fd)
{
	close(fd);
}

static int host_open_host(const char *path, int flags)
{
	int r = ask(OPEN_HOST);

	return r ? r : hostfs_best()->open_host(path, flags);
}

static char *host_realpath(const char *path)
{
	int r = ask(REALPATH);

	if (!r)
		return hostfs_best()->realpath(path);
	errno = -r;
	return NULL;
}

static int host_fs_magic(int fd, long *magic)
{
	int r = ask(FS_MAGIC);

	return r ? r : hostfs_best()->fs_magic(fd, magic);
}

static int host_scratch_init(struct scratch *scratch, const char *parent, struct err *err)
{
	int r = ask(SCRATCH);

	return r ? err_set(err, r, "scratch: %s", strerror(-r))
		 : hostfs_best()->scratch_init(scratch, parent, err);
}

static void host_scratch_finish(struct scratch *scratch)
{
	hostfs_best()->scratch_finish(scratch);
}

static struct hostfs host = {
	.name = "fails",
	.open = host_open,
	.stat = host_stat,
	.readlink = host_readlink,
	.mkdir = host_mkdir,
	.unlink = host_unlink,
	.fstat = host_fstat,
	.truncate = host_truncate,
	.getdents = host_getdents,
	.close = host_close,
	.open_host = host_open_host,
	.realpath = host_realpath,
	.fs_magic = host_fs_magic,
	.scratch_init = host_scratch_init,
	.scratch_finish = host_scratch_finish,
};

/* ---- the guest's files ---- */

static const char *const lines[] = { "d rw", "d rw/sub", "d rw/cover", "d ro", "d ro/dir",
	"d scratch", "d root", "f root/file root", "f rw/file hello", "f rw/sub/deep deep",
	"f rw/cover/file covered", "f ro/file read-only", "f ro/dir/deep ro-deep",
	"f conf configuration", "f state initial", "f plain text", "p rw/fifo", "l rw/link file",
	"l rw/tosub sub", "l rw/dangling made-by-link", "l rw/abs /data/sub/deep", NULL };

static struct fileio *files;

enum { N_MOUNTS = 8 };

static int start(bool deterministic, bool with_root, struct err *err)
{
	static char hosts[N_MOUNTS][100], scratch[100];
	static const struct fileio_mount guests[N_MOUNTS] = {
		{ "conf", "/etc/conf", .writable = false },
		{ "rw", "/data", .writable = true, .no_hardlinks = true },
		{ "ro", "/data/cover", .writable = false },
		{ "state", "/var/state", .writable = true, .may_unlink = true },
		{ "rw/later", "/later", .writable = true, .may_unlink = true },
		{ "conf", "/data/cover/conf", .writable = false },
		{ "plain", "/plain", .writable = true },
		{ "root", "/", .writable = true },
	};
	struct fileio_mount mounts[N_MOUNTS];
	struct fileio_config config = { .mounts = mounts,
		.n_mounts = with_root ? N_MOUNTS : N_MOUNTS - 1,
		.scratch_parent = scratch,
		.host = &host,
		.deterministic = deterministic,
		.console_in = -1,
		.console_out = -1 };

	for (size_t i = 0; i < N_MOUNTS; i++) {
		snprintf(hosts[i], sizeof(hosts[i]), "%s/%s", tree.path, guests[i].host);
		mounts[i] = guests[i];
		mounts[i].host = hosts[i];
	}
	snprintf(scratch, sizeof(scratch), "%s/scratch", tree.path);
	memset(count, 0, sizeof(count));
	return fileio_init(&files, &config, err);
}

static uint64_t seen;

/* Names, kinds and sizes, in any order. */
static int see(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	uint64_t hash = (uint64_t)kind + (S_ISREG(st->st_mode) ? (uint64_t)st->st_size << 8 : 0);

	(void)ftw;
	if (strstr(path, "/belljar-") != strstr(path, "/belljar-test-"))
		return 0;
	path = strstr(strstr(path, "/belljar-test-") + 1, "/");
	if (path && strstr(path, "/belljar-")) /* the scratch tree has another name each time */
		path = strchrnul(strstr(path, "/belljar-") + 1, '/');
	for (; path && *path; path++)
		hash = (hash ^ (uint8_t)*path) * UINT64_C(1099511628211);
	seen += hash;
	return 0;
}

static uint64_t fingerprint(void)
{
	seen = 0;
	nftw(tree.path, see, 16, FTW_PHYS);
	return seen;
}

enum op { DO_OPEN, DO_LIST, DO_STAT, DO_LSTAT, DO_FSTAT, DO_MKDIR, DO_UNLINK };

struct row {
	enum op op;
	const char *path;
	int flags;
};

/* 0 or -errno; of LIST, the number of bytes. */
static int run(const struct row *row)
{
	static char buf[4096];
	struct stat st;
	int fd, r;

	switch (row->op) {
	case DO_STAT:
	case DO_LSTAT:
		return fileio_stat(files, row->path, row->op == DO_STAT, &st);
	case DO_MKDIR:
		return fileio_mkdir(files, row->path, 0755);
	case DO_UNLINK:
		return fileio_unlink(files, row->path);
	default:
		fd = fileio_open(files, row->path, row->flags, 0644);
		if (fd < 0)
			return fd;
		r = row->op == DO_LIST    ? (int)fileio_getdents(files, fd, buf, sizeof(buf))
		    : row->op == DO_FSTAT ? fileio_fstat(files, fd, &st)
					  : 0;
		CU_ASSERT_EQUAL(fileio_close(files, fd), 0);
		return r;
	}
}

#define CREATE (O_WRONLY | O_CREAT)

static const struct row rows[] = {
	{ DO_OPEN, "/data/file", O_RDWR },
	{ DO_OPEN, "/data/file", O_WRONLY | O_TRUNC },
	{ DO_OPEN, "/data/sub/deep", O_RDONLY },
	{ DO_OPEN, "/data/link", O_RDONLY },
	{ DO_OPEN, "/data/abs", O_RDONLY },
	{ DO_OPEN, "/data/dangling", CREATE },
	{ DO_OPEN, "/data/tosub/deep", O_RDONLY },
	{ DO_OPEN, "/data/sub/../file", O_RDONLY },
	{ DO_OPEN, "/data/cover/dir/deep", O_RDONLY },
	{ DO_OPEN, "/data/new", CREATE },
	{ DO_OPEN, "/data/sub/new", CREATE | O_EXCL },
	{ DO_OPEN, "/etc/conf", O_RDONLY },
	{ DO_OPEN, "/var/state", O_WRONLY | O_TRUNC },
	{ DO_OPEN, "/later", CREATE },
	{ DO_OPEN, "/made/by/guest/file", CREATE },
	{ DO_OPEN, "/made/./by//guest/file", CREATE },
	{ DO_LIST, "/", O_RDONLY },
	{ DO_LIST, "/data", O_RDONLY | O_DIRECTORY },
	{ DO_LIST, "/data/cover/", O_RDONLY },
	{ DO_FSTAT, "/data/file", O_RDONLY },
	{ DO_FSTAT, "/data/sub", O_RDONLY },
	{ DO_STAT, "/data/link", 0 },
	{ DO_STAT, "/data/file", 0 },
	{ DO_STAT, "/data", 0 },
	{ DO_STAT, "/var/state", 0 },
	{ DO_LSTAT, "/data/link", 0 },
	{ DO_MKDIR, "/data/sub/newdir", 0 },
	{ DO_MKDIR, "/made/by/guest", 0 },
	{ DO_MKDIR, "/data/cover", 0 },
	{ DO_UNLINK, "/data/file", 0 },
	{ DO_UNLINK, "/data/tosub/deep", 0 },
	{ DO_UNLINK, "/var/state", 0 },
	{ DO_UNLINK, "/later", 0 },
	{ DO_UNLINK, "/data/file/", 0 },
	{ DO_UNLINK, "/data/cover/conf", 0 },
	{ DO_MKDIR, "/data/cover/dir", 0 },
};

/* What the guest is told of a host's error. EAGAIN is tried again before. */
static int told(int error)
{
	return error == EREMOTE || error == EAGAIN ? -EIO : -error;
}

static void make_tree(void)
{
	plan = (struct plan){ 0 };
	CU_ASSERT_FATAL(tmptree_make(&tree, lines) == 0);
}

/* One run with one failure, over a tree that is made anew once it has changed: false when it has not so many calls. */
static bool run_failing(const struct row *row, bool deterministic, int good)
{
	int fds = tmptree_open_fds(), r;
	uint64_t before, after;
	struct err err;
	bool due, fine;

	plan.times = 0;
	CU_ASSERT_FATAL(!start(deterministic, false, &err));
	memset(count, 0, sizeof(count));
	plan.times = 1;
	before = fingerprint();
	r = run(row);
	due = was_due();
	after = fingerprint();
	fine = !due || r == good || (r == told(plan.error) && after == before);
	if (!fine)
		printf("     %d %s, %s %d fails with %s: %d, %s\n", row->op, row->path,
			call_names[plan.call], plan.first, strerrorname_np(plan.error), r,
			after == before ? "nothing changed" : "something changed");
	CU_ASSERT(fine);
	fileio_destroy(files);
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	if (after != before) {
		tmptree_remove(&tree);
		CU_ASSERT_FATAL(tmptree_make(&tree, lines) == 0);
	}
	return due;
}

static int run_well(const struct row *row, bool deterministic)
{
	struct err err;
	int r;

	make_tree();
	CU_ASSERT_FATAL(!start(deterministic, false, &err));
	r = run(row);
	fileio_destroy(files);
	tmptree_remove(&tree);
	return r;
}

#define CREATING (1u << 31) /* of DO_OPEN: those that make a file, else those that do not */

/* Each call of a row fails once, for every row that is one of these operations, a bit each. */
static void fail_all(bool deterministic, unsigned ops)
{
	static const int errors[] = { ENOSPC, EREMOTE, EAGAIN };
	int failures = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* In scratch, which is ours alone, nothing is ever to be tried again. */
		int n_errors = strncmp(rows[i].path, "/made", 5) ? 3 : 2, good;

		bool creates = rows[i].flags & O_CREAT;

		if (!(ops & 1u << rows[i].op) ||
			(rows[i].op == DO_OPEN && creates != !!(ops & CREATING)))
			continue;
		good = run_well(&rows[i], deterministic);
		make_tree();
		for (int call = 0; call < OPEN_HOST; call++)
			for (int first = 1; first < 50; first++) {
				plan = (struct plan){ (enum call)call, first, 1,
					errors[first % n_errors], NULL };
				if (!run_failing(&rows[i], deterministic, good))
					break;
				failures++;
			}
		tmptree_remove(&tree);
	}
	CU_ASSERT(failures > 20);
}

static void tells_what_failed_when_opening(void)
{
	fail_all(false, 1u << DO_OPEN);
}

static void tells_what_failed_when_creating(void)
{
	fail_all(false, CREATING | 1u << DO_OPEN);
}

static void tells_what_failed_when_looking(void)
{
	fail_all(false, 1u << DO_LIST | 1u << DO_STAT | 1u << DO_LSTAT | 1u << DO_FSTAT);
}

static void tells_what_failed_when_changing_names(void)
{
	fail_all(false, 1u << DO_MKDIR | 1u << DO_UNLINK);
}

static void tells_a_deterministic_guest_what_failed_when_creating(void)
{
	fail_all(true, CREATING | 1u << DO_OPEN | 1u << DO_MKDIR);
}

static void tells_a_deterministic_guest_what_failed_when_looking(void)
{
	fail_all(true, 1u << DO_LIST | 1u << DO_STAT | 1u << DO_FSTAT);
}

static void tells_what_failed_at_the_start(void)
{
	int fds = tmptree_open_fds(), refused = 0, r;
	uint64_t before;
	struct err err;

	for (int i = 0; i < 2 * N_CALLS; i++)
		for (int first = 1; first < 50; first++) {
			bool due;

			make_tree();
			before = fingerprint();
			plan = (struct plan){ (enum call)(i / 2), first, 1, EREMOTE, NULL };
			r = start(i % 2, i % 2, &err);
			due = was_due();
			if (!r)
				fileio_destroy(files);
			/* What a mapping hides, or has for a parent, need not be there. */
			CU_ASSERT(
				r ? r < 0 && err.text[0] : !due || i / 2 == STAT || i / 2 == OPEN);
			CU_ASSERT(!r || strstr(err.text, "Object is remote") || r == -ESTALE);
			refused += r != 0;
			plan = (struct plan){ 0 };
			CU_ASSERT_EQUAL(fingerprint(), before);
			tmptree_remove(&tree);
			CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
			if (!due)
				break;
		}
	CU_ASSERT(refused > 40);
}

/* ---- a host that changes ---- */

static const struct {
	struct row row;
	struct plan plan;
	int expect;
} changing[] = {
	/* a file becomes a link between the look and the deed: it is looked at again, and followed */
	{ { DO_OPEN, "/data/file", O_RDONLY }, { OPEN, 1, 1, 0, "- rw/file;l rw/file sub/deep" },
		0 },
	{ { DO_OPEN, "/data/file", O_RDONLY | O_NOFOLLOW },
		{ OPEN, 1, 1, 0, "- rw/file;l rw/file sub/deep" }, -ELOOP },
	{ { DO_OPEN, "/data/file", O_RDONLY }, { OPEN, 1, 1, 0, "- rw/file;l rw/file nowhere" },
		-ENOENT },
	/* or a fifo, which is opened by no one for long */
	{ { DO_OPEN, "/data/file", O_RDONLY }, { OPEN, 1, 1, 0, "- rw/file;p rw/file" }, -ENXIO },
	/* or nothing, or a directory */
	{ { DO_OPEN, "/data/file", O_RDONLY }, { OPEN, 1, 1, 0, "- rw/file" }, -ENOENT },
	{ { DO_OPEN, "/data/file", CREATE }, { OPEN, 1, 1, 0, "- rw/file" }, 0 },
	{ { DO_OPEN, "/data/file", O_WRONLY }, { OPEN, 1, 1, 0, "- rw/file;d rw/file" }, -EISDIR },
	/* or has one more name */
	{ { DO_OPEN, "/data/file", O_RDONLY }, { OPEN, 1, 1, 0, "h rw/second rw/file" }, -EACCES },
	/* a device may not even be opened, which is only told of what is still a file */
	{ { DO_OPEN, "/data/file", O_RDONLY }, { OPEN, 1, 1, EACCES, "- rw/file;p rw/file" },
		-ENXIO },
	{ { DO_OPEN, "/var/state", O_RDONLY }, { OPEN, 1, 1, EACCES, "- state" }, -ENOENT },
	{ { DO_OPEN, "/data/file", O_RDONLY }, { OPEN, 1, 1, EACCES, NULL }, 0 },
	{ { DO_OPEN, "/data/file", O_RDONLY }, { OPEN, 1, 10000, EACCES, NULL }, -EACCES },
	/* a directory becomes a file, or a link to one */
	{ { DO_OPEN, "/data/empty", O_RDONLY | O_DIRECTORY },
		{ OPEN, 1, 1, 0, "- rw/empty;f rw/empty" }, -ENOTDIR },
	{ { DO_OPEN, "/data/empty", O_RDONLY }, { OPEN, 1, 1, 0, "- rw/empty;l rw/empty file" },
		0 },
	/* what is to be made is there, after all */
	{ { DO_OPEN, "/data/new", CREATE }, { OPEN, 1, 1, 0, "f rw/new text" }, 0 },
	{ { DO_OPEN, "/data/new", CREATE | O_EXCL }, { OPEN, 1, 1, 0, "f rw/new text" }, -EEXIST },
	{ { DO_MKDIR, "/data/new", 0 }, { MKDIR, 1, 1, 0, "f rw/new text" }, -EEXIST },
	{ { DO_OPEN, "/made/by/guest", CREATE }, { MKDIR, 1, 1, EEXIST, NULL }, -ENOENT },
	/* a link becomes another, a file, or nothing, before it is read */
	{ { DO_OPEN, "/data/link", O_RDONLY },
		{ READLINK, 1, 1, 0, "- rw/link;l rw/link sub/deep" }, 0 },
	{ { DO_OPEN, "/data/link", O_RDONLY }, { READLINK, 1, 1, 0, "- rw/link;f rw/link text" },
		0 },
	{ { DO_OPEN, "/data/link", O_RDONLY }, { READLINK, 1, 1, 0, "- rw/link" }, -ENOENT },
	/* and never anything else than what it is looked at as */
	{ { DO_OPEN, "/data/link", O_RDONLY }, { READLINK, 1, 10000, EINVAL, NULL }, -EIO },
	{ { DO_OPEN, "/data/file", O_RDONLY }, { OPEN, 1, 10000, ELOOP, NULL }, -EIO },
	{ { DO_OPEN, "/data/new", CREATE }, { OPEN, 1, 10000, EEXIST, NULL }, -EIO },
	{ { DO_OPEN, "/data/file", O_RDONLY }, { FSTAT, 1, 10000, EIO, NULL }, -EIO },
	/* what is gone is no longer unlinked; what was mapped by name comes back as something else */
	{ { DO_UNLINK, "/data/file", 0 }, { UNLINK, 1, 1, 0, "- rw/file" }, -ENOENT },
	{ { DO_OPEN, "/var/state", O_RDONLY }, { STAT, 1, 1, 0, "- state;l state conf" }, -ELOOP },
	{ { DO_OPEN, "/var/state", O_RDONLY }, { STAT, 1, 1, 0, "- state;p state" }, -EACCES },
	{ { DO_OPEN, "/var/state", O_RDONLY }, { STAT, 1, 1, 0, "- state" }, -ENOENT },
	{ { DO_UNLINK, "/var/state", 0 }, { STAT, 1, 1, 0, "- state;d state" }, -EACCES },
};

static void bears_a_host_that_changes_between_two_calls(void)
{
	int fds = tmptree_open_fds();
	struct err err;

	for (size_t i = 0; i < sizeof(changing) / sizeof(changing[0]); i++) {
		int r;

		make_tree();
		change("d rw/empty");
		CU_ASSERT_FATAL(!start(false, false, &err));
		memset(count, 0, sizeof(count));
		plan = changing[i].plan;
		r = run(&changing[i].row);
		if (r != changing[i].expect || !was_due())
			printf("     row %zu, %s: %d, not %d%s\n", i, changing[i].row.path, r,
				changing[i].expect, was_due() ? "" : "; not changed");
		CU_ASSERT(r == changing[i].expect && was_due());
		plan = (struct plan){ 0 };
		fileio_destroy(files);
		tmptree_remove(&tree);
	}
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
}

/* A mapping is opened after it was looked at: it must be the same. */
static void a_mapping_replaced_at_the_start_is_refused(void)
{
	static const struct {
		int nth; /* call of open_host */
		const char *changes, *says;
	} moments[] = {
		{ 2, "> plain", "replaced while it was opened" },
		{ 2, "- conf", "No such file" },
		{ 2, "- conf;l conf state", "Too many levels" },
	};
	int fds = tmptree_open_fds();
	struct err err;

	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
		make_tree();
		plan = (struct plan){ OPEN_HOST, moments[i].nth, 1, 0, moments[i].changes };
		CU_ASSERT(start(false, false, &err) < 0);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "conf:/etc/conf: "));
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, moments[i].says));
		plan = (struct plan){ 0 };
		tmptree_remove(&tree);
	}
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
}

/* From some call on, the host does nothing any more: even then nothing stays open. */
static void bears_a_host_that_fails_for_good(void)
{
	int fds = tmptree_open_fds(), r;
	struct err err;

	make_tree();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int call = 0; call < OPEN_HOST; call++) {
			uint64_t before = fingerprint();

			CU_ASSERT_FATAL(!start(true, false, &err));
			memset(count, 0, sizeof(count));
			plan = (struct plan){ (enum call)call, 1 + (int)i % 2, 100000, EREMOTE,
				NULL };
			r = run(&rows[i]);
			CU_ASSERT(r >= 0 || r == -EIO || !was_due() || r == -EROFS || r == -EBUSY ||
				  r == -EEXIST || r == -ENOTDIR || r == -ENOENT);
			plan = (struct plan){ 0 };
			fileio_destroy(files);
			CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
			if (fingerprint() == before)
				continue;
			tmptree_remove(&tree);
			make_tree();
		}
	tmptree_remove(&tree);
}

/* ---- a host that lies ---- */

static size_t link_len;

static ssize_t long_readlink(int dir, const char *name, char *buf, size_t size)
{
	(void)dir, (void)name;
	memset(buf, 'x', link_len < size ? link_len : size);
	return (ssize_t)(link_len < size ? link_len : size);
}

static void bears_links_of_any_length(void)
{
	static const struct {
		size_t len;
		int expect;
	} lengths[] = { { 0, -ENOENT }, { 255, -ENOENT }, { 256, -ENAMETOOLONG },
		{ 4095, -ENAMETOOLONG }, { 4096, -ENAMETOOLONG }, { 5000, -ENAMETOOLONG } };
	struct err err;

	make_tree();
	CU_ASSERT_FATAL(!start(false, false, &err));
	host.readlink = long_readlink;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		link_len = lengths[i].len;
		CU_ASSERT_EQUAL(run(&(struct row){ DO_STAT, "/data/link", 0 }), lengths[i].expect);
	}
	host.readlink = host_readlink;
	fileio_destroy(files);
	tmptree_remove(&tree);
}

struct record {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[300];
} __attribute__((packed));

static struct record records[8];
static uint8_t kinds_told[8];         /* of the first entries listed */
static size_t n_records, records_cut; /* bytes that the last one lacks */

/* All of it at once, and then the end. */
static ssize_t lying_getdents(int fd, void *buf, size_t len, bool rewind)
{
	char *at = buf;

	(void)fd;
	if (!rewind)
		return 0;
	for (size_t i = 0; i < n_records; i++)
		at = mempcpy(at, &records[i],
			records[i].reclen && records[i].reclen <= sizeof(records[i])
				? records[i].reclen
				: 24);
	CU_ASSERT_FATAL((size_t)(at - (char *)buf) <= len);
	return at - (char *)buf - (ssize_t)records_cut;
}

static void tell_name(const char *name, size_t len)
{
	struct record *r = &records[n_records++];

	*r = (struct record){ .ino = n_records, .type = 8 };
	memcpy(r->name, name, len);
	r->reclen = (uint16_t)((offsetof(struct record, name) + len + 1 + 7) & ~7u);
}

/* Names that the guest is told in a listing of /data/sub, with a blank behind each; or -errno. */
static int list_lies(bool deterministic, char *names, size_t size)
{
	static char buf[4096];
	struct err err;
	ssize_t n;
	int fd;

	*names = 0;
	make_tree();
	CU_ASSERT_FATAL(!start(deterministic, false, &err));
	host.getdents = lying_getdents;
	fd = fileio_open(files, "/data/sub", O_RDONLY, 0);
	CU_ASSERT(fd >= 0);
	n = fileio_getdents(files, fd, buf, sizeof(buf));
	for (ssize_t at = 0, i = 0; at < n; at += ((struct record *)(buf + at))->reclen, i++)
		kinds_told[i & 7] = ((struct record *)(buf + at))->type;
	for (ssize_t at = 0; at < n; at += ((struct record *)(buf + at))->reclen)
		snprintf(names + strlen(names), size - strlen(names), "%s ",
			((struct record *)(buf + at))->name);
	host.getdents = host_getdents;
	fileio_destroy(files);
	tmptree_remove(&tree);
	return n < 0 ? (int)n : 0;
}

static void lists_only_what_are_names(void)
{
	static const struct {
		const char *name;
		size_t len;
	} told_names[] = { { "..", 2 }, { "", 0 }, { "a/b", 3 }, { "/", 1 }, { ".", 1 }, { "b", 1 },
		{ "a\0hidden", 8 }, { "...", 3 } };
	char names[600], longest[257];

	n_records = records_cut = 0;
	for (size_t i = 0; i < sizeof(told_names) / sizeof(told_names[0]); i++)
		tell_name(told_names[i].name, told_names[i].len);
	CU_ASSERT_EQUAL(list_lies(false, names, sizeof(names)), 0);
	CU_ASSERT_STRING_EQUAL(names, ". .. ... a b ");
	memset(longest, 'x', 256);
	longest[256] = 0;
	n_records = 0;
	tell_name(longest, 256);
	tell_name("short", 5);
	CU_ASSERT_EQUAL(list_lies(false, names, sizeof(names)), 0);
	CU_ASSERT_STRING_EQUAL(names, ". .. short ");
}

/* A kind that nobody knows is asked for; of what has gone since, a file is told. */
static void a_kind_is_told_even_of_what_has_gone(void)
{
	char names[600];

	n_records = records_cut = 0;
	tell_name("deep", 4);
	tell_name("gone", 4);
	records[0].type = records[1].type = DT_UNKNOWN;
	CU_ASSERT_EQUAL(list_lies(true, names, sizeof(names)), 0);
	CU_ASSERT_STRING_EQUAL(names, ". .. deep gone ");
	CU_ASSERT(kinds_told[2] == DT_REG && kinds_told[3] == DT_REG);
}

static void refuses_records_that_are_none(void)
{
	static const struct {
		uint16_t reclen;
		size_t cut;
	} bad[] = { { 0, 0 }, { 18, 0 }, { 25, 1 }, { 65535, 0 }, { 24, 6 }, { 24, 20 } };
	char names[600];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		n_records = 0;
		tell_name("a", 1);
		tell_name("b", 1);
		records[1].reclen = bad[i].reclen;
		records_cut = bad[i].cut;
		CU_ASSERT_EQUAL(list_lies(false, names, sizeof(names)), -EIO);
	}
	records_cut = 0;
}

static long magic_told;

static int lying_fs_magic(int fd, long *magic)
{
	(void)fd;
	*magic = magic_told;
	return 0;
}

static void refuses_file_systems_that_steer_the_host(void)
{
	static const struct {
		long magic;
		const char *name;
	} kinds[] = { { PROC_SUPER_MAGIC, "proc" }, { SYSFS_MAGIC, "sysfs" },
		{ CGROUP2_SUPER_MAGIC, "cgroup2" }, { BPF_FS_MAGIC, "bpf" },
		{ 0x19800202, "mqueue" }, { 0x62656570, "configfs" }, { 0x65735543, "fusectl" },
		{ 0x7655821, "resctrl" } };
	struct err err;

	make_tree();
	host.fs_magic = lying_fs_magic;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		magic_told = kinds[i].magic;
		CU_ASSERT_EQUAL(start(false, false, &err), -EPERM);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, kinds[i].name));
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "map a copy"));
	}
	magic_told = TMPFS_MAGIC;
	CU_ASSERT_EQUAL(start(false, false, &err), 0);
	fileio_destroy(files);
	host.fs_magic = host_fs_magic;
	tmptree_remove(&tree);
}

/* ---- the real one ---- */

struct opening {
	const char *path;
	int flags, expect; /* 0 for any descriptor */
};

static void both_engines_open_alike(void)
{
	static char long_name[FILEMAP_NAME_MAX + 2];
	static const struct hostfs *const engines[] = { &hostfs_walk, &hostfs_openat2 };
	const struct opening openings[] = {
		{ "", O_RDONLY, -ENOENT },
		{ ".", O_RDONLY | O_DIRECTORY, 0 },
		{ "./rw//./file", O_RDONLY, 0 },
		{ "rw/link", O_RDONLY | O_NOFOLLOW, -ELOOP },
		{ "rw/link", O_RDONLY, -ELOOP },
		{ "rw/link", O_WRONLY | O_CREAT, -ELOOP },
		{ "rw/link", O_WRONLY | O_CREAT | O_EXCL, -EEXIST },
		{ "rw/link", O_PATH, -ELOOP },
		{ "rw/link", O_PATH | O_NOFOLLOW, 0 },
		{ "rw/link", O_PATH | O_DIRECTORY, -ELOOP },
		{ "rw/tosub/deep", O_RDONLY, -ELOOP },
		{ "rw/file", O_PATH | O_DIRECTORY, -ENOTDIR },
		{ "rw/file", O_RDONLY | O_DIRECTORY, -ENOTDIR },
		{ "rw/file/beneath", O_RDONLY, -ENOTDIR },
		{ "rw/none", O_RDONLY, -ENOENT },
		{ "none/file", O_WRONLY | O_CREAT, -ENOENT },
		{ "..", O_RDONLY, -EACCES },
		{ long_name, O_RDONLY, -ENAMETOOLONG },
		{ "rw/fifo", O_RDONLY | O_NONBLOCK | O_TRUNC, 0 },
		{ "rw/sub", O_WRONLY, -EISDIR },
		{ "rw/new", O_WRONLY | O_CREAT | O_EXCL | O_TRUNC, 0 },
		{ "rw/file", O_RDONLY | O_TRUNC, 0 },
		{ "state", O_WRONLY | O_TRUNC, 0 },
	};

	memset(long_name, 'x', FILEMAP_NAME_MAX + 1);
	for (size_t i = 0; i < 2; i++) {
		int dir, fd, fds = tmptree_open_fds();
		struct stat st;

		if (engines[i] == &hostfs_openat2 && hostfs_best() != &hostfs_openat2) {
			unit_skip("this kernel has no openat2");
			return;
		}
		make_tree();
		dir = engines[i]->open_host(tree.path, O_PATH | O_DIRECTORY);
		for (size_t n = 0; n < sizeof(openings) / sizeof(openings[0]); n++) {
			const struct opening *o = &openings[n];

			fd = engines[i]->open(dir, o->path, o->flags, 0600, 0);
			if (fd != o->expect && (fd < 0 || o->expect))
				printf("     %s: open(\"%s\", %#o): %d\n", engines[i]->name,
					o->path, (unsigned)o->flags, fd);
			CU_ASSERT(fd >= 0 ? !o->expect : fd == o->expect);
			if (fd >= 0)
				close(fd);
		}
		CU_ASSERT(!fstatat(dir, "rw/file", &st, 0) && !st.st_size);
		CU_ASSERT(!fstatat(dir, "state", &st, 0) && !st.st_size);
		CU_ASSERT(!fstatat(dir, "rw/new", &st, 0) && (st.st_mode & 0777) == 0600);
		close(dir);
		tmptree_remove(&tree);
		CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	}
}

static void both_engines_return_errno(void)
{
	static const struct hostfs *const engines[] = { &hostfs_openat2, &hostfs_walk };

	make_tree();
	for (size_t i = 0; i < 2; i++) {
		const struct hostfs *h = engines[i];
		int dir = h->open_host(tree.path, O_PATH | O_DIRECTORY), ends[2];
		struct stat st;
		char buf[512];
		long magic;

		CU_ASSERT_FATAL(dir >= 0 && !pipe(ends));
		if (h == &hostfs_openat2 && hostfs_best() != h)
			unit_skip("this kernel has no openat2");
		else
			CU_ASSERT_EQUAL(h->open(dir, "rw/none", O_RDONLY, 0, 0), -ENOENT);
		CU_ASSERT_EQUAL(h->stat(dir, "none", 0, &st), -ENOENT);
		CU_ASSERT_EQUAL(h->readlink(dir, "conf", buf, sizeof(buf)), -EINVAL);
		CU_ASSERT_EQUAL(h->mkdir(dir, "rw", 0755), -EEXIST);
		CU_ASSERT_EQUAL(h->unlink(dir, "none", 0), -ENOENT);
		CU_ASSERT_EQUAL(h->unlink(dir, "rw", AT_REMOVEDIR), -ENOTEMPTY);
		CU_ASSERT_EQUAL(h->fstat(-1, &st), -EBADF);
		CU_ASSERT_EQUAL(h->truncate(-1), -EBADF);
		CU_ASSERT_EQUAL(h->getdents(-1, buf, sizeof(buf), false), -EBADF);
		CU_ASSERT_EQUAL(h->getdents(ends[0], buf, sizeof(buf), true), -ESPIPE);
		CU_ASSERT_EQUAL(h->fs_magic(-1, &magic), -EBADF);
		CU_ASSERT_EQUAL(h->open_host("/no/such/place", O_PATH), -ENOENT);
		errno = 0;
		CU_ASSERT_PTR_NULL(h->realpath("/no/such/place"));
		CU_ASSERT_EQUAL(errno, ENOENT);
		close(ends[0]);
		close(ends[1]);
		h->close(dir);
	}
	tmptree_remove(&tree);
}

static const struct unit_case cases[] = {
	{ "tells_what_failed_when_opening", tells_what_failed_when_opening },
	{ "tells_what_failed_when_creating", tells_what_failed_when_creating },
	{ "tells_what_failed_when_looking", tells_what_failed_when_looking },
	{ "tells_what_failed_when_changing_names", tells_what_failed_when_changing_names },
	{ "tells_a_deterministic_guest_what_failed_when_creating",
		tells_a_deterministic_guest_what_failed_when_creating },
	{ "tells_a_deterministic_guest_what_failed_when_looking",
		tells_a_deterministic_guest_what_failed_when_looking },
	{ "tells_what_failed_at_the_start", tells_what_failed_at_the_start },
	{ "bears_a_host_that_changes_between_two_calls",
		bears_a_host_that_changes_between_two_calls },
	{ "a_mapping_replaced_at_the_start_is_refused",
		a_mapping_replaced_at_the_start_is_refused },
	{ "bears_a_host_that_fails_for_good", bears_a_host_that_fails_for_good },
	{ "bears_links_of_any_length", bears_links_of_any_length },
	{ "lists_only_what_are_names", lists_only_what_are_names },
	{ "a_kind_is_told_even_of_what_has_gone", a_kind_is_told_even_of_what_has_gone },
	{ "refuses_records_that_are_none", refuses_records_that_are_none },
	{ "refuses_file_systems_that_steer_the_host", refuses_file_systems_that_steer_the_host },
	{ "both_engines_open_alike", both_engines_open_alike },
	{ "both_engines_return_errno", both_engines_return_errno },
};

UNIT_MAIN("hostfail", cases)
