// SPDX-License-Identifier: ISC
/*
 * What must be the same in every run: the numbers of a guest's files, and every byte that the file
 * calls return, whatever file system the host has and in whatever order its tree was made; what a
 * guest finds in memory when it starts, whoever runs it.
 */
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "backend.h"
#include "err.h"
#include "fileid.h"
#include "fileio.h"
#include "tmptree.h"
#include "unit.h"
#include "vm.h"

enum { CLOCK_S = 1700000000, CLOCK_NS = 123456789, LOG_MAX = 8 << 20 };

static bool in_child;

/* What a case cannot go on without; a child's end is told by its exit code. */
static void must(bool ok, const char *what)
{
	if (ok)
		return;
	printf("     %s failed: %s\n", what, strerror(errno));
	fflush(stdout);
	if (in_child)
		_exit(1);
	CU_FAIL_FATAL("see above");
}

/* Everything that calls returned, in order. */
struct log {
	char *bytes;
	size_t len;
	bool numbers; /* and what depends on being deterministic */
};

static void log_add(struct log *log, const void *bytes, size_t len)
{
	must(len <= LOG_MAX - log->len, "room for the log");
	memcpy(log->bytes + log->len, bytes, len);
	log->len += len;
}

static void log_begin(struct log *log, bool numbers)
{
	*log = (struct log){ .bytes = malloc(LOG_MAX), .numbers = numbers };
	must(log->bytes != NULL, "malloc");
}

static void log_text(struct log *log, const char *what, int64_t r)
{
	char text[600];
	int n = snprintf(text, sizeof(text), "\n%.500s -> %lld ", what, (long long)r);

	log_add(log, text, (size_t)n);
}

static void log_stat(struct log *log, const struct stat *st)
{
	char text[300];
	int n;

	n = snprintf(text, sizeof(text), "type %o size %lld", st->st_mode & S_IFMT,
		(long long)(S_ISDIR(st->st_mode) ? 0 : st->st_size));
	log_add(log, text, (size_t)n);
	if (!log->numbers)
		return;
	n = snprintf(text, sizeof(text), " ino %llu", (unsigned long long)st->st_ino);
	log_add(log, text, (size_t)n);
	log_add(log, st, sizeof(*st));
}

/* The files of one host directory, or of one file system and another. */
struct world {
	struct tmptree tree;
	char *hosts[4], scratch[100];
	struct fileio_mount mounts[4];
	struct fileio *files;
	struct log *log;
};

static const char *const lines[] = { "d rw", "d rw/sub", "d rw/ro", "d ro", "d ro/dir", "d scratch",
	"f rw/file hello", "f rw/sub/deep deep", "f rw/ro/shadowed shadowed", "f ro/file read-only",
	"f ro/dir/deep ro-deep", "f conf configuration", "p rw/fifo", "l rw/link file",
	"l rw/sub/uplink ../file", "l rw/tosub sub", "l rw/dangling made-by-link", "l rw/toro ro",
	"h rw/second rw/file", NULL };

/* In another order: parents still come before what lies in them, links before what they name. */
static const char *const other_order[] = { "d scratch", "d ro", "p ro/x", "d rw", "p rw/fifo",
	"l rw/toro ro", "l rw/dangling made-by-link", "f rw/file hello", "l rw/tosub sub",
	"h rw/second rw/file", "d rw/sub", "l rw/sub/uplink ../file", "f conf configuration",
	"d ro/dir", "f ro/dir/deep ro-deep", "f rw/sub/deep deep", "d rw/ro", "f ro/file read-only",
	"l rw/link file", "f rw/ro/shadowed shadowed", NULL };

static void world_make(struct world *w, const char *dir, bool reordered)
{
	const char *const *line = reordered ? other_order : lines;
	char extra[400];

	memset(w, 0, sizeof(*w));
	snprintf(w->tree.path, sizeof(w->tree.path), "%.40s/belljar-test-XXXXXX", dir);
	must(mkdtemp(w->tree.path) && !chmod(w->tree.path, 0755), w->tree.path);
	for (; *line; line++)
		must(!tmptree_add(&w->tree, *line), *line);
	snprintf(extra, sizeof(extra), "%s/ro/x", w->tree.path);
	unlink(extra);
	snprintf(extra, sizeof(extra), "%s/rw/sub", w->tree.path);
	chmod(extra, reordered ? 02755 : 01755);
}

static void world_mount(
	struct world *w, size_t i, const char *host, const char *guest, const char *opts)
{
	must(asprintf(&w->hosts[i], "%s/%s", w->tree.path, host) > 0, "asprintf");
	w->mounts[i] = (struct fileio_mount){ .host = w->hosts[i],
		.guest = guest,
		.writable = strstr(opts, "rw"),
		.may_unlink = strstr(opts, "unlink") };
}

static void world_start(struct world *w, bool deterministic, struct log *log)
{
	struct err err = { "" };
	int r;

	w->log = log;
	snprintf(w->scratch, sizeof(w->scratch), "%s/scratch", w->tree.path);
	world_mount(w, 0, "rw", "/data", "rw");
	world_mount(w, 1, "ro", "/data/ro", "ro");
	world_mount(w, 2, "conf", "/etc/conf", "ro");
	world_mount(w, 3, "state", "/state", "rw,unlink");
	r = fileio_init(&w->files,
		&(struct fileio_config){ .mounts = w->mounts,
			.n_mounts = 4,
			.scratch_parent = w->scratch,
			.console_in = -1,
			.console_out = -1,
			.deterministic = deterministic,
			.clock_ns = CLOCK_S * 1000000000ull + CLOCK_NS },
		&err);
	must(r == 0, err.text);
}

static void world_end(struct world *w)
{
	fileio_destroy(w->files);
	tmptree_remove(&w->tree);
	for (size_t i = 0; i < 4; i++)
		free(w->hosts[i]);
}

static int do_open(struct world *w, const char *path, int flags, mode_t mode)
{
	int fd = fileio_open(w->files, path, flags, mode);

	log_text(w->log, path, fd);
	return fd;
}

static void do_stat(struct world *w, const char *path, bool follow)
{
	struct stat st = { 0 };
	int r = fileio_stat(w->files, path, follow, &st);

	log_text(w->log, path, r);
	if (!r)
		log_stat(w->log, &st);
}

static void do_fstat(struct world *w, int fd)
{
	struct stat st = { 0 };
	int r = fileio_fstat(w->files, fd, &st);

	log_text(w->log, "fstat", r);
	if (!r)
		log_stat(w->log, &st);
}

struct dirent_head {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
} __attribute__((packed));

static void do_list(struct world *w, const char *path, size_t room)
{
	_Alignas(8) char buf[2048];
	int fd = do_open(w, path, O_RDONLY | O_DIRECTORY, 0);
	ssize_t n;

	while (fd >= 0 && (n = fileio_getdents(w->files, fd, buf, room)) != 0) {
		log_text(w->log, "getdents", n);
		if (n < 0)
			break;
		for (ssize_t at = 0; at < n;) {
			struct dirent_head *entry = (struct dirent_head *)(buf + at);

			must(entry->type != DT_UNKNOWN || !w->log->numbers, "a type");
			at += entry->reclen;
			if (!w->log->numbers)
				entry->ino = entry->type = 0;
		}
		log_add(w->log, buf, (size_t)n);
	}
	if (fd >= 0)
		fileio_close(w->files, fd);
}

static void do_seek(struct world *w, int fd, int64_t offset, int whence)
{
	log_text(w->log, "seek", fileio_lseek(w->files, fd, offset, whence));
}

static void do_read(struct world *w, int fd, size_t len)
{
	static char buf[70000];
	ssize_t n = fileio_read(w->files, fd, buf, len);

	log_text(w->log, "read", n);
	if (n > 0)
		log_add(w->log, buf, (size_t)n);
}

static void do_write(struct world *w, int fd, const char *text)
{
	log_text(w->log, text, fileio_write(w->files, fd, text, strlen(text)));
}

static void look_around(struct world *w)
{
	static const char *const paths[] = { "/", "/data", "/data/.", "/data/..", "/data/sub",
		"/data/sub/..", "/data/sub/../..", "/data/file", "/data/second", "/data/link",
		"/data/sub/uplink", "/data/tosub", "/data/tosub/", "/data/fifo", "/data/ro",
		"/data/ro/..", "/data/ro/dir", "/data/toro/file", "/data/dangling", "/etc",
		"/etc/conf", "/etc/conf/x", "/state", "/x", "/x/y", "/missing", "/dev/../data" };
	static const char *const dirs[] = { "/data", "/", "/data/sub", "/etc", "/data/ro",
		"/data/ro/dir", "/data/tosub", "/x", "/x/y", "/data/file" };

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		do_list(w, dirs[i], 20);
		do_list(w, dirs[i], 100);
		do_list(w, dirs[i], 2048);
	}
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		do_stat(w, paths[i], true);
		do_stat(w, paths[i], false);
	}
}

/* The host gives the numbers of what is gone to what comes next; some do at once, others never. */
static void make_and_remove(struct world *w)
{
	char name[64];
	int fd, kept = -1;

	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), i % 3 ? "/data/new%d" : "/scratch/%d/new", i % 7);
		fd = do_open(w, name, O_RDWR | O_CREAT, 0640);
		if (fd < 0)
			continue;
		do_write(w, fd, name);
		if (i % 4 == 0)
			do_fstat(w, fd);
		if (i % 5 == 0)
			log_text(w->log, "unlink", fileio_unlink(w->files, name));
		if (i % 5 == 0)
			do_fstat(w, fd);
		if (i == 10)
			kept = fd;
		else
			fileio_close(w->files, fd);
		if (i % 2)
			log_text(w->log, "unlink", fileio_unlink(w->files, name));
		snprintf(name, sizeof(name), i % 2 ? "/data/dir%d" : "/deep/%d/dir", i);
		log_text(w->log, name, fileio_mkdir(w->files, name, 0755));
	}
	do_fstat(w, kept);
	log_text(w->log, "long", fileio_open(w->files, "/p/q/\001/", O_RDWR | O_CREAT, 0600));
	do_stat(w, "/p", true);
}

static void seek_about(struct world *w)
{
	static const int64_t places[] = { 0, 1, -1, 4095, 4096, 70000, 1 << 20, 3 << 20, 1ll << 32,
		1ll << 42, 1ll << 43, 1ll << 44, 1ll << 50, INT64_MAX, INT64_MIN };
	int fd = do_open(w, "/data/holes", O_RDWR | O_CREAT, 0600);

	do_write(w, fd, "begin");
	fileio_lseek(w->files, fd, 2 << 20, SEEK_SET);
	do_write(w, fd, "end");
	do_fstat(w, fd);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		for (int whence = -1; whence < 7; whence++) {
			if (!w->log->numbers && (whence > SEEK_END || places[i] >= 1ll << 43))
				continue;
			do_seek(w, fd, places[i], whence);
			do_read(w, fd, 10);
		}
	}
	if (w->log->numbers) {
		do_seek(w, fd, FILEIO_SIZE_MAX, SEEK_SET);
		do_write(w, fd, "x");
		do_write(w, fd, "");
	}
	fileio_close(w->files, fd);
}

static void script(struct world *w)
{
	int fd;

	look_around(w);
	make_and_remove(w);
	look_around(w);
	seek_about(w);
	fd = do_open(w, "/data/dangling", O_RDWR | O_CREAT, 0600);
	do_fstat(w, fd);
	fd = do_open(w, "/state", O_RDWR | O_CREAT, 0666);
	do_fstat(w, fd);
	do_write(w, fd, "state");
	log_text(w->log, "unlink", fileio_unlink(w->files, "/state"));
	do_fstat(w, fd);
	fd = do_open(w, "/state", O_RDWR | O_CREAT, 0666);
	do_fstat(w, fd);
	fd = do_open(w, "/data/file", O_RDWR | O_APPEND, 0);
	do_write(w, fd, " world");
	do_seek(w, fd, 0, SEEK_CUR);
	do_seek(w, fd, 0, SEEK_SET);
	do_read(w, fd, 100);
	do_fstat(w, 1);
	look_around(w);
}

/* Anything, the same anything each time. */
static void random_script(struct world *w)
{
	static const char *const dirs[] = { "/data", "/data/sub", "/data/ro", "/s", "", "/data/a",
		"/data/../data/sub", "/data/tosub" };
	static const char *const names[] = { "a", "b", "file", "link", "..", "deep", "a/b" };
	uint64_t state = 1;
	char path[100];

	for (int i = 0; i < 4000; i++) {
		unsigned int r;
		int fd;

		state = state * 6364136223846793005 + 1442695040888963407;
		r = (unsigned int)(state >> 33);
		fd = 3 + (int)(r >> 6 & 15);
		snprintf(path, sizeof(path), "%s/%s", dirs[r >> 10 & 7], names[(r >> 13) % 7]);
		switch (r & 15) {
		case 0:
		case 1:
		case 2:
			do_open(w, path, O_RDWR | O_CREAT | (r >> 20 & 1 ? O_EXCL : 0), 0600);
			break;
		case 3:
			do_open(w, path, r >> 20 & 1 ? O_RDONLY : O_WRONLY | O_TRUNC, 0);
			break;
		case 4:
		case 5:
			log_text(w->log, "close", fileio_close(w->files, fd));
			break;
		case 6:
		case 7:
			log_text(w->log, path, fileio_unlink(w->files, path));
			break;
		case 8:
			log_text(w->log, path, fileio_mkdir(w->files, path, 0755));
			break;
		case 9:
			do_list(w, path, 300);
			break;
		case 10:
			do_write(w, fd, path);
			break;
		case 11:
			do_read(w, fd, r >> 20 & 31);
			break;
		case 12:
			do_seek(w, fd, (int)(r >> 20 & 63) - 8, (int)(r >> 26 & 3));
			break;
		case 13:
			do_fstat(w, fd);
			break;
		default:
			do_stat(w, path, r & 1);
		}
	}
}

/* Both scripts over a tree made in dir. */
static void play(const char *dir, bool reordered, bool deterministic, struct log *log)
{
	struct world w;

	world_make(&w, dir, reordered);
	world_start(&w, deterministic, log);
	script(&w);
	world_end(&w);
	world_make(&w, dir, reordered);
	world_start(&w, deterministic, log);
	random_script(&w);
	world_end(&w);
}

static bool same_logs(const struct log *a, const struct log *b, const char *what)
{
	size_t len = a->len < b->len ? a->len : b->len, at = 0, from;

	while (at < len && a->bytes[at] == b->bytes[at])
		at++;
	if (at == a->len && at == b->len)
		return true;
	for (from = at; from && at - from < 1000 && a->bytes[from] != '\n';)
		from--;
	printf("     %s: %zu and %zu bytes, differ at %zu, in %.100s\n", what, a->len, b->len, at,
		a->bytes + from);
	return false;
}

static const char *tmp(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && dir[0] ? dir : "/tmp";
}

static void answers_the_same_twice(void)
{
	struct log a, b;

	log_begin(&a, true);
	log_begin(&b, true);
	play(tmp(), false, true, &a);
	play(tmp(), true, true, &b);
	CU_ASSERT(a.len > 100000);
	CU_ASSERT(same_logs(&a, &b, "made in another order"));
	free(a.bytes);
	free(b.bytes);
}

/* In a mount namespace of our own where that is allowed; it goes with the process. */
static bool own_mounts(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[64];
	int fd, n;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return false;
	fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "deny", 4) != 4)
		return false;
	close(fd);
	for (int i = 0; i < 2; i++) {
		fd = open(i ? "/proc/self/gid_map" : "/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
		n = snprintf(map, sizeof(map), "0 %u 1", i ? gid : uid);
		if (fd < 0 || write(fd, map, (size_t)n) != n)
			return false;
		close(fd);
	}
	return true;
}

enum { NOT_HERE = 77 };

struct place {
	const char *name;
	int (*make)(char *dir); /* what stands in dir may be mounted over: 0 or NOT_HERE */
};

static int other_directory(char *dir)
{
	strcpy(dir, "/dev/shm");
	return access(dir, W_OK) ? NOT_HERE : 0;
}

static int on_tmpfs(char *dir)
{
	return own_mounts() && !mount("none", dir, "tmpfs", 0, "mode=755") ? 0 : NOT_HERE;
}

static int on_ramfs(char *dir)
{
	return own_mounts() && !mount("none", dir, "ramfs", 0, "mode=755") ? 0 : NOT_HERE;
}

/* Layers on two file systems, which is when overlayfs lists other numbers than it says of a file. */
static int on_overlayfs(char *dir)
{
	char lower[80], upper[80], options[400];

	snprintf(lower, sizeof(lower), "%s/lower", dir);
	snprintf(upper, sizeof(upper), "%s/upper", dir);
	if (!own_mounts() || mkdir(lower, 0755) || mkdir(upper, 0755) ||
		mount("none", upper, "tmpfs", 0, "mode=755"))
		return NOT_HERE;
	snprintf(options, sizeof(options), "%s/upper", upper);
	if (mkdir(options, 0755))
		return NOT_HERE;
	snprintf(options, sizeof(options), "%s/work", upper);
	if (mkdir(options, 0755))
		return NOT_HERE;
	snprintf(options, sizeof(options),
		"lowerdir=%s,upperdir=%s/upper,workdir=%s/work,xino=off,userxattr", lower, upper,
		upper);
	return mount("none", dir, "overlay", 0, options) ? NOT_HERE : 0;
}

/* ext4 as it was before directories knew types: d_type is DT_UNKNOWN. Only root may. */
static int on_ext4_without_types(char *dir)
{
	char command[400];

	if (geteuid() || unshare(CLONE_NEWNS) ||
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return NOT_HERE;
	snprintf(command, sizeof(command),
		"PATH=$PATH:/usr/sbin:/sbin; exec >/dev/null 2>&1; truncate -s 16M %s/image && "
		"mkfs.ext4 -q -F -O ^filetype,^has_journal %s/image && "
		"mount -o loop %s/image %s",
		dir, dir, dir, dir);
	return system(command) ? NOT_HERE : 0;
}

/* Plays there, in a child, and compares with what was answered here. */
static int child_plays(const struct place *place, char *dir, const struct log *expect)
{
	struct log log;
	int r = place->make(dir);

	if (r)
		return r;
	log_begin(&log, true);
	play(dir, true, true, &log);
	return !same_logs(expect, &log, place->name);
}

static int play_elsewhere(const struct place *place, const struct log *expect)
{
	struct tmptree made;
	char dir[64];
	int status = -1;
	pid_t pid;

	snprintf(dir, sizeof(dir), "%.20s/belljar-test-XXXXXX", tmp());
	must(mkdtemp(dir) != NULL, dir);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		in_child = true;
		status = child_plays(place, dir, expect);
		fflush(stdout);
		_exit(status);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	snprintf(made.path, sizeof(made.path), "%s", dir);
	tmptree_remove(&made);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void answers_the_same(const struct place *place)
{
	struct log here;
	int r;

	log_begin(&here, true);
	play(tmp(), false, true, &here);
	r = play_elsewhere(place, &here);
	free(here.bytes);
	if (r == NOT_HERE)
		unit_skip("cannot have that file system here");
	else
		CU_ASSERT_EQUAL(r, 0);
}

static void answers_the_same_in_dev_shm(void)
{
	answers_the_same(&(struct place){ "/dev/shm", other_directory });
}

static void answers_the_same_on_tmpfs(void)
{
	answers_the_same(&(struct place){ "tmpfs", on_tmpfs });
}

static void answers_the_same_on_ramfs(void)
{
	answers_the_same(&(struct place){ "ramfs", on_ramfs });
}

static void answers_the_same_on_overlayfs(void)
{
	answers_the_same(&(struct place){ "overlayfs", on_overlayfs });
}

static void answers_the_same_where_directories_know_no_types(void)
{
	answers_the_same(&(struct place){ "ext4 without filetype", on_ext4_without_types });
}

/* Names, sizes, data, errors: what a guest works with does not depend on whether it is recorded. */
static void changes_nothing_but_numbers(void)
{
	struct log plain, fixed;

	log_begin(&plain, false);
	log_begin(&fixed, false);
	play(tmp(), false, false, &plain);
	play(tmp(), false, true, &fixed);
	CU_ASSERT(same_logs(&plain, &fixed, "not deterministic and deterministic"));
	free(plain.bytes);
	free(fixed.bytes);
}

static uint64_t listed(struct world *w, const char *dir, const char *name)
{
	_Alignas(8) char buf[8192];
	int fd = fileio_open(w->files, dir, O_RDONLY | O_DIRECTORY, 0);
	ssize_t n = fileio_getdents(w->files, fd, buf, sizeof(buf));
	uint64_t ino = 0;

	for (ssize_t at = 0; at < n;) {
		const struct dirent_head *entry = (const struct dirent_head *)(buf + at);

		if (!strcmp(entry->name, name))
			ino = entry->ino;
		at += entry->reclen;
	}
	fileio_close(w->files, fd);
	return ino;
}

static struct stat stat_of(struct world *w, const char *path)
{
	struct stat st = { 0 };

	CU_ASSERT_EQUAL(fileio_stat(w->files, path, false, &st), 0);
	return st;
}

static uint64_t fd_ino(struct world *w, const char *path, int flags)
{
	struct stat st = { 0 };
	int fd = fileio_open(w->files, path, flags, 0600);

	CU_ASSERT_EQUAL(fileio_fstat(w->files, fd, &st), 0);
	fileio_close(w->files, fd);
	return st.st_ino;
}

static void an_object_has_one_number(void)
{
	static const struct {
		const char *path, *dir, *name;
	} rows[] = {
		{ "/", "/", "." },
		{ "/", "/", ".." },
		{ "/", "/data", ".." },
		{ "/", "/etc", ".." },
		{ "/data", "/", "data" },
		{ "/data", "/data", "." },
		{ "/data", "/data/sub", ".." },
		{ "/data", "/data/ro", ".." },
		{ "/data/sub", "/data", "sub" },
		{ "/data/sub", "/data/tosub", "." },
		{ "/data/ro", "/data", "ro" },
		{ "/data/ro", "/data/ro/dir", ".." },
		{ "/data/ro/dir", "/data/ro", "dir" },
		{ "/etc", "/", "etc" },
		{ "/etc/conf", "/etc", "conf" },
		{ "/data/file", "/data", "file" },
		{ "/data/file", "/data", "second" },
		{ "/data/link", "/data", "link" },
		{ "/data/fifo", "/data", "fifo" },
		{ "/state", "/", "state" },
		{ "/new/parents", "/new", "parents" },
		{ "/new/parents/file", "/new/parents", "file" },
	};
	struct log log;
	struct world w;
	struct stat st;

	log_begin(&log, true);
	world_make(&w, tmp(), false);
	world_start(&w, true, &log);
	fd_ino(&w, "/new/parents/file", O_RDWR | O_CREAT);
	fd_ino(&w, "/state", O_RDWR | O_CREAT);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t ino = listed(&w, rows[i].dir, rows[i].name);

		st = stat_of(&w, rows[i].path);
		if (st.st_ino != ino || !ino || ino > 40)
			printf("     %s: %llu, in %s %llu\n", rows[i].path,
				(unsigned long long)st.st_ino, rows[i].dir,
				(unsigned long long)ino);
		CU_ASSERT(st.st_ino == ino && ino && ino <= 40);
		if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
			CU_ASSERT_EQUAL(fd_ino(&w, rows[i].path, O_RDONLY), ino);
	}
	CU_ASSERT_NOT_EQUAL(listed(&w, "/data", "file"), listed(&w, "/data", "sub"));
	world_end(&w);
	free(log.bytes);
}

static void what_is_new_has_a_new_number(void)
{
	struct log log;
	struct world w;
	uint64_t last = 0, ino;
	struct stat st;
	int fd;

	log_begin(&log, true);
	world_make(&w, tmp(), false);
	world_start(&w, true, &log);
	for (int i = 0; i < 100; i++) {
		ino = fd_ino(
			&w, i % 2 ? "/data/new" : "/implied/parent/new", O_RDWR | O_CREAT | O_EXCL);
		CU_ASSERT(ino > last);
		CU_ASSERT_EQUAL(
			fileio_unlink(w.files, i % 2 ? "/data/new" : "/implied/parent/new"), 0);
		last = ino;
	}
	fd = fileio_open(w.files, "/data/new", O_RDWR | O_CREAT, 0600);
	fileio_unlink(w.files, "/data/new");
	CU_ASSERT_EQUAL(fileio_fstat(w.files, fd, &st), 0);
	CU_ASSERT_EQUAL(st.st_nlink, 0);
	CU_ASSERT(st.st_ino > last);
	world_end(&w);
	free(log.bytes);
}

static void says_what_any_host_would_say(void)
{
	struct log log;
	struct world w;
	struct stat st;

	log_begin(&log, true);
	world_make(&w, tmp(), false);
	world_start(&w, true, &log);
	st = stat_of(&w, "/data/sub");
	CU_ASSERT_EQUAL(st.st_mode, S_IFDIR | 0755);
	CU_ASSERT_EQUAL(st.st_size, 4096);
	CU_ASSERT_EQUAL(st.st_blocks, 8);
	CU_ASSERT_EQUAL(st.st_nlink, 1);
	CU_ASSERT_EQUAL(st.st_uid, 0);
	CU_ASSERT_EQUAL(st.st_gid, 0);
	CU_ASSERT_EQUAL(st.st_blksize, 4096);
	CU_ASSERT_EQUAL(st.st_mtim.tv_sec, CLOCK_S);
	CU_ASSERT_EQUAL(st.st_mtim.tv_nsec, CLOCK_NS);
	CU_ASSERT_EQUAL(st.st_atim.tv_nsec, CLOCK_NS);
	CU_ASSERT_EQUAL(st.st_ctim.tv_nsec, CLOCK_NS);
	CU_ASSERT_EQUAL(st.st_dev, stat_of(&w, "/").st_dev);
	st = stat_of(&w, "/data/file");
	CU_ASSERT_EQUAL(st.st_nlink, 1); /* it has two */
	CU_ASSERT_EQUAL(st.st_size, 5);
	CU_ASSERT_EQUAL(st.st_blocks, 8);
	st = stat_of(&w, "/data/link");
	CU_ASSERT_EQUAL(st.st_size, 4);
	CU_ASSERT_EQUAL(st.st_blocks, 0);
	world_end(&w);
	free(log.bytes);
}

/* The simplest thing that does the same. */
static void numbers_as_a_list_would(void)
{
	enum { INODES = 100000, ROUNDS = 400000 };
	uint64_t *number = calloc(INODES, sizeof(*number)), given = 0, r, state = 7;
	struct fileid *ids;
	size_t wrong = 0;

	CU_ASSERT_FATAL(number && !fileid_create(&ids));
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t ino;
		bool renew;

		state = state * 6364136223846793005 + 1442695040888963407;
		ino = (state >> 33) % (i % 3 ? INODES : 50);
		renew = !(state >> 60);
		if (renew || !number[ino] || number[ino] + FILEID_OBJECTS <= given)
			number[ino] = ++given;
		r = (renew ? fileid_renew : fileid_number)(ids, ino % 3, ino * 0x10001);
		wrong += r != number[ino];
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT(given > 2 * FILEID_OBJECTS);
	fileid_destroy(ids);
	free(number);
}

static void the_guests_own_table_is_full_first(void)
{
	struct rlimit limit, few;
	struct log log;
	struct world w;
	int fd, last = 0;

	CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < 2000) {
		unit_skip("this process may not open enough files");
		return;
	}
	few = limit;
	few.rlim_cur = 200;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &few), 0);
	log_begin(&log, true);
	world_make(&w, tmp(), false);
	world_start(&w, true, &log);
	while ((fd = fileio_open(w.files, "/data/file", O_RDONLY, 0)) >= 0)
		last = fd;
	CU_ASSERT_EQUAL(fd, -EMFILE);
	CU_ASSERT_EQUAL(last, 1023);
	world_end(&w);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
	free(log.bytes);
}

struct start {
	uint8_t *ram;
	struct cpu_state state;
};

enum { MEM = 16 << 20 };

static void start_on(const char *backend, const char *guest, struct start *start)
{
	static char *app[] = { "one", "two words" }, *env[] = { "A=b" }, *dirs[] = { "/data" };
	const char *dir = getenv("GUESTS");
	struct err err = { "" };
	char path[4096];
	uint8_t *image;
	struct vm *vm;
	size_t size;

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : "build/rel/kernels", guest);
	must(!elf_read_file(path, &image, &size, &err), err.text);
	must(!vm_create(&vm,
		     &(struct vm_config){ .backend = backend,
			     .mem_size = MEM,
			     .image = image,
			     .image_size = size,
			     .args = { .image_path = "guest",
				     .app = app,
				     .n_app = 2,
				     .env = env,
				     .n_env = 1,
				     .mount_dirs = dirs,
				     .n_mount_dirs = 1 },
			     .boot_time_ns = CLOCK_S * 1000000000ull,
			     .tsc_khz = BACKEND_TSC_KHZ },
		     &err),
		err.text);
	start->ram = malloc(MEM);
	must(start->ram && !gmem_read(&vm->mem, vm->mem.gpa, start->ram, MEM), "RAM");
	must(!backend_save(vm->cpu, &start->state), "backend_save");
	vm_destroy(vm);
	free(image);
}

static void compare_starts(const char *one, const char *other)
{
	static const char *const guests[] = { "hello.elf", "hello-v1.elf", "floats.elf" };

	for (size_t i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
		struct start a, b;

		start_on(one, guests[i], &a);
		start_on(other, guests[i], &b);
		CU_ASSERT(!memcmp(a.ram, b.ram, MEM));
		CU_ASSERT_EQUAL(strcmp(other, "tcg") ? 0 : b.state.tsc, 0);
		a.state.tsc = b.state.tsc = 0; /* kvm's has run on from 0 */
		CU_ASSERT(!memcmp(&a.state, &b.state, sizeof(a.state)));
		free(a.ram);
		free(b.ram);
	}
}

static void a_guest_starts_the_same_twice(void)
{
	compare_starts("tcg", "tcg");
}

static void a_guest_starts_the_same_on_every_backend(void)
{
	struct backend_info info = { 0 };

	backend_kvm.probe(&info);
	if (!info.usable) {
		unit_skip(info.why);
		return;
	}
	compare_starts("kvm", "tcg");
	compare_starts("kvm", "kvm");
}

static const struct unit_case cases[] = {
	{ "numbers_as_a_list_would", numbers_as_a_list_would },
	{ "an_object_has_one_number", an_object_has_one_number },
	{ "what_is_new_has_a_new_number", what_is_new_has_a_new_number },
	{ "says_what_any_host_would_say", says_what_any_host_would_say },
	{ "the_guests_own_table_is_full_first", the_guests_own_table_is_full_first },
	{ "changes_nothing_but_numbers", changes_nothing_but_numbers },
	{ "a_guest_starts_the_same_twice", a_guest_starts_the_same_twice },
	{ "a_guest_starts_the_same_on_every_backend", a_guest_starts_the_same_on_every_backend },
	{ "answers_the_same_twice", answers_the_same_twice },
	{ "answers_the_same_in_dev_shm", answers_the_same_in_dev_shm },
	{ "answers_the_same_on_tmpfs", answers_the_same_on_tmpfs },
	{ "answers_the_same_on_ramfs", answers_the_same_on_ramfs },
	{ "answers_the_same_on_overlayfs", answers_the_same_on_overlayfs },
	{ "answers_the_same_where_directories_know_no_types",
		answers_the_same_where_directories_know_no_types },
};

UNIT_MAIN("determinism", cases)
