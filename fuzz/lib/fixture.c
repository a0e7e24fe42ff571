// SPDX-License-Identifier: ISC
/* Real trees and mounts, and their undoing. */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KERNEL_TRIES = 1000 };

static char home[64];
static int outer_root = -1, outer_cwd = -1;
static const struct fixture *inside; /* where the process is */

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* As root of a namespace of users, when not root already. */
static int become_root(void)
{
	char map[64];
	unsigned int uid = geteuid(), gid = getegid();

	if (unshare(CLONE_NEWUSER))
		return -errno;
	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (write_text("/proc/self/uid_map", map))
		return -EPERM;
	snprintf(map, sizeof(map), "0 %u 1", gid);
	if (write_text("/proc/self/setgroups", "deny") || write_text("/proc/self/gid_map", map))
		return -EPERM;
	return 0;
}

static int mount_home(void)
{
	static const char *const places[] = { "/mnt", "/media", "/srv", "/opt" };

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (!mount("fuzz", places[i], "tmpfs", MS_NOSUID, "size=64m,mode=755")) {
			strcpy(home, places[i]);
			return 0;
		}
	return -errno;
}

int fixture_enter(const char **why)
{
	int r = 0;

	umask(0);
	*why = "no user namespace";
	if (unshare(CLONE_NEWNS)) {
		r = become_root();
		if (!r && unshare(CLONE_NEWNS))
			r = -errno;
	}
	if (r)
		return r;
	*why = "no mounts";
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -errno;
	outer_root = open("/",
		O_PATH | O_DIRECTORY | O_CLOEXEC); /* the namespace's own, not the one before */
	outer_cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return outer_root < 0 || outer_cwd < 0 ? -errno : mount_home();
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st;
	(void)flag;
	(void)at;
	return remove(path) && errno != ENOENT;
}

static void remove_home(void)
{
	nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

const char *fixture_home(void)
{
	umask(0);
	if (!home[0]) {
		strcpy(home, "/tmp/belljar-fuzz-XXXXXX");
		if (!mkdtemp(home))
			abort();
		atexit(remove_home);
	}
	return home;
}

static const char *name_of(const struct model *m, int node, char name[NAME_MAX + 1])
{
	memcpy(name, m->text + m->nodes[node].name, m->nodes[node].name_len);
	name[m->nodes[node].name_len] = 0;
	return name;
}

static bool has_fd(const struct fixture *f, int node)
{
	return node < f->world.n_base && node < FIXTURE_DIRS && f->dir_fd[node] >= 0;
}

/*
 * A node by a directory that is held open and the names from there. All of them in one path, for the kernel goes
 * many names in the time that one call takes; but for those, deep down, whose names are more than fit in one.
 */
struct way {
	int dir;  /* or -errno */
	bool own; /* dir is to be closed */
	const char *path;
	char text[PATH_MAX];
};

static void find_way(const struct fixture *f, const struct model *m, int node, struct way *way);

/* From the directory `at`, which is not held open itself. */
static int open_far(const struct fixture *f, const struct model *m, int at)
{
	struct way way;
	int fd;

	find_way(f, m, at, &way);
	if (way.dir < 0)
		return way.dir;
	fd = openat(way.dir, way.path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	fd = fd < 0 ? -errno : fd;
	if (way.own)
		close(way.dir);
	return fd;
}

static void find_way(const struct fixture *f, const struct model *m, int node, struct way *way)
{
	size_t at = sizeof(way->text) - 1;
	int dir = m->nodes[node].parent;

	way->text[at] = 0;
	at -= m->nodes[node].name_len;
	memcpy(way->text + at, m->text + m->nodes[node].name, m->nodes[node].name_len);
	for (; !has_fd(f, dir) && at > m->nodes[dir].name_len; dir = m->nodes[dir].parent) {
		way->text[--at] = '/';
		at -= m->nodes[dir].name_len;
		memcpy(way->text + at, m->text + m->nodes[dir].name, m->nodes[dir].name_len);
	}
	way->path = way->text + at;
	way->own = !has_fd(f, dir);
	way->dir = way->own ? open_far(f, m, dir) : f->dir_fd[dir];
}

static void leave(const struct way *way)
{
	int was = errno;

	if (way->own && way->dir >= 0)
		close(way->dir);
	errno = was;
}

static int make_one(int dir, const char *name, const struct model *m, int node, off_t size)
{
	mode_t mode = m->nodes[node].mode;
	char target[PATH_MAX];
	int fd, r;

	memcpy(target, m->text + m->nodes[node].target, m->nodes[node].target_len);
	target[m->nodes[node].target_len] = 0;
	if (S_ISDIR(mode))
		r = mkdirat(dir, name, mode & 0777);
	else if (S_ISLNK(mode))
		r = symlinkat(target, dir, name);
	else
		r = mknodat(dir, name, mode, 0);
	if (r || !S_ISREG(mode) || !size)
		return r ? -errno : 0;
	fd = openat(dir, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 || ftruncate(fd, size) ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return r;
}

static int make_node(const struct fixture *f, const struct model *m, int node, off_t size)
{
	struct way way;
	int r;

	find_way(f, m, node, &way);
	r = way.dir < 0 ? way.dir : make_one(way.dir, way.path, m, node, size);
	leave(&way);
	return r;
}

static int remove_node(const struct fixture *f, const struct model *m, int node)
{
	struct way way;
	int r, flags = S_ISDIR(m->nodes[node].mode) ? AT_REMOVEDIR : 0;

	find_way(f, m, node, &way);
	r = way.dir < 0 ? way.dir : unlinkat(way.dir, way.path, flags) ? -errno : 0;
	leave(&way);
	return r;
}

static int set_size(const struct fixture *f, const struct model *m, int node, off_t size)
{
	struct way way;
	int r = 0, fd;

	find_way(f, m, node, &way);
	if (way.dir < 0)
		return way.dir;
	fd = openat(way.dir, way.path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || ftruncate(fd, size))
		r = -errno;
	if (fd >= 0)
		close(fd);
	leave(&way);
	return r;
}

/* Holds a directory of the base open, and notes who everything in it is. */
static int hold(struct fixture *f, int node, int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	f->id[node] = (struct fixture_id){ st.st_dev, st.st_ino };
	if (S_ISDIR(st.st_mode))
		f->dir_fd[node] = openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return S_ISDIR(st.st_mode) && f->dir_fd[node] < 0 ? -errno : 0;
}

int fixture_make(struct fixture *f, int number, int config, int variant, struct model_policy policy)
{
	const struct model *m = &f->world.model;
	char name[NAME_MAX + 1];
	int r = 0;

	world_init(&f->world, config, variant, policy);
	f->config = config;
	f->variant = variant;
	f->guest_fd = f->cwd_fd = -1;
	f->n_log = 0;
	memset(f->dir_fd, -1, sizeof(f->dir_fd));
	snprintf(f->host, sizeof(f->host), "%s/host-%d", fixture_home(), number);
	if (f->world.n_base > FIXTURE_DIRS)
		return -E2BIG;
	if (mkdir(f->host, 0755))
		return -errno;
	f->host_fd = f->dir_fd[0] = open(f->host, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; !r && i < SCENARIO_BASE; i++) {
		int node = f->world.base[i];

		r = make_node(f, m, node, scenario_base[i].size);
		if (!r)
			r = hold(f, node, f->dir_fd[m->nodes[node].parent], name_of(m, node, name));
	}
	return r;
}

int fixture_set_scratch(struct fixture *f, const char *scratch_root)
{
	const struct model *m = &f->world.model;
	char name[NAME_MAX + 1];
	int r;

	if (f->world.scratch < 0)
		return 0;
	r = hold(f, f->world.scratch, AT_FDCWD, scratch_root);
	for (int i = f->world.scratch + 1; !r && i < f->world.n_base; i++) {
		int dir = f->dir_fd[m->nodes[i].parent];

		if (m->nodes[i].parent == 0) /* a parent that is in nobody's tree */
			continue;
		mkdirat(dir, name_of(m, i, name), 0755);
		r = hold(f, i, dir, name);
	}
	return r;
}

static int bind_one(const char *from, const char *to, bool writable)
{
	if (mount(from, to, NULL, MS_BIND, NULL))
		return -errno;
	if (!writable && mount(NULL, to, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID, NULL))
		return -errno;
	return 0;
}

static int bind_mapping(
	const struct fixture *f, const char *guest, const struct scenario_mount *from)
{
	char host[PATH_MAX], to[PATH_MAX];
	struct stat st;

	snprintf(host, sizeof(host), "%s/%s", f->host, from->host);
	snprintf(to, sizeof(to), "%s/%s", guest, from->guest);
	if (stat(host, &st))
		return -errno;
	/* In scratch nothing is there yet; elsewhere something is, for the world is real. */
	if (S_ISDIR(st.st_mode))
		mkdir(to, 0755);
	else
		mknod(to, S_IFREG | 0644, 0);
	return bind_one(host, to, from->writable);
}

static int components(const char *path)
{
	int n = 0;

	for (; *path; path += strcspn(path, "/"), n++) {
		path += strspn(path, "/");
		if (!*path)
			break;
	}
	return n;
}

int fixture_mount(struct fixture *f, const char *scratch_root)
{
	struct scenario_mount mounts[SCENARIO_MOUNTS];
	int n = scenario_mounts(f->config, f->variant, mounts), r = 0;
	char guest[128], cwd[512];

	snprintf(guest, sizeof(guest), "%s.guest", f->host);
	if (mkdir(guest, 0755))
		return -errno;
	if (f->world.scratch >= 0) {
		snprintf(cwd, sizeof(cwd), "%s.scratch", f->host);
		if (!scratch_root && mkdir(cwd, 0755))
			return -errno;
		r = fixture_set_scratch(f, scratch_root ? scratch_root : cwd);
		if (!r)
			r = bind_one(scratch_root ? scratch_root : cwd, guest, true);
	}
	for (int depth = 0; depth < 8; depth++)
		for (int i = 0; !r && i < n; i++)
			if (components(mounts[i].guest) == depth)
				r = bind_mapping(f, guest, &mounts[i]);
	if (r)
		return r;
	snprintf(cwd, sizeof(cwd), "%s%s", guest, scenario_cwd(f->config));
	f->guest_fd = open(guest, O_PATH | O_DIRECTORY | O_CLOEXEC);
	f->cwd_fd = open(cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return f->guest_fd < 0 || f->cwd_fd < 0 ? -errno : 0;
}

static void log_change(struct fixture *f, enum fixture_what what, int node, off_t size)
{
	if (f->n_log < FIXTURE_LOG)
		f->log[f->n_log++] = (struct fixture_change){ what, node, size };
}

int fixture_add(struct fixture *f, const struct model *m, int node)
{
	int r = make_node(f, m, node, 0);

	if (!r)
		log_change(f, FIXTURE_MADE, node, 0);
	return r;
}

void fixture_note(struct fixture *f, const struct model *m, const struct model_result *result)
{
	for (int i = result->n_made; i; i--)
		log_change(f, FIXTURE_MADE, m->n_nodes - i, 0);
	if (result->removed)
		log_change(f, FIXTURE_REMOVED, result->removed, m->nodes[result->removed].size);
	if (result->truncated)
		log_change(f, FIXTURE_CUT, result->truncated, result->old_size);
}

/* From the last change to the first, so that names are free and directories empty. */
int fixture_restore(struct fixture *f, const struct model *m, int n_log)
{
	char name[NAME_MAX + 1];
	int r = 0;

	while (f->n_log > n_log && !r) {
		const struct fixture_change *change = &f->log[--f->n_log];
		int node = change->node;

		if (change->what == FIXTURE_MADE)
			r = remove_node(f, m, node);
		else if (change->what == FIXTURE_REMOVED)
			r = make_node(f, m, node, change->size);
		else
			r = set_size(f, m, node, change->size);
		f->id[node].ino = change->what == FIXTURE_CUT ? f->id[node].ino : 0;
		if (!r && change->what == FIXTURE_REMOVED && node < f->world.n_base)
			r = hold(f, node, f->dir_fd[m->nodes[node].parent], name_of(m, node, name));
	}
	return r;
}

/* None of those that we know? */
static bool is_strange(const struct fixture *f, ino_t ino)
{
	for (int i = 0; i < f->world.n_base; i++)
		if (f->id[i].ino == ino)
			return false;
	return true;
}

/* Of what inputs make, when it is first asked for. */
static bool look(struct fixture *f, const struct model *m, int node)
{
	struct stat st;
	struct way way;
	bool there;

	find_way(f, m, node, &way);
	there = way.dir >= 0 && !fstatat(way.dir, way.path, &st, AT_SYMLINK_NOFOLLOW);
	leave(&way);
	if (there)
		f->id[node] = (struct fixture_id){ st.st_dev, st.st_ino };
	return there;
}

bool fixture_is(struct fixture *f, const struct model *m, int node, const struct stat *st)
{
	const struct fixture_id *id = &f->id[node];

	if ((st->st_mode & S_IFMT) != (m->nodes[node].mode & S_IFMT))
		return false;
	if (node < f->world.n_base && !id->ino) /* a parent that is in nobody's tree */
		return is_strange(f, st->st_ino);
	return (id->ino || look(f, m, node)) && st->st_ino == id->ino && st->st_dev == id->dev;
}

int fixture_go_in(const struct fixture *f)
{
	if (inside == f)
		return 0;
	inside = f;
	return fchdir(f->guest_fd) || chroot(".") || fchdir(f->cwd_fd) ? -errno : 0;
}

int fixture_go_out(void)
{
	if (!inside)
		return 0;
	inside = NULL;
	return fchdir(outer_root) || chroot(".") || fchdir(outer_cwd) ? -errno : 0;
}

bool fixture_asks(const struct scenario_op *op)
{
	int known = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |
		    O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

	return op->kind != SCENARIO_CLOSE && !(op->flags & ~known) &&
	       (op->flags & O_ACCMODE) != O_ACCMODE;
}

static int kernel_open(const struct scenario_op *op, struct stat *st, char *list, ssize_t *listed)
{
	int fd = open(op->path, op->flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, op->mode & 0755),
	    r = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, st))
		r = -errno;
	if (op->kind == SCENARIO_LIST)
		*listed = syscall(SYS_getdents64, fd, list, FIXTURE_LIST);
	close(fd);
	return r;
}

static int ask_kernel(const struct scenario_op *op, struct stat *st, char *list, ssize_t *listed)
{
	switch (op->kind) {
	case SCENARIO_OPEN:
	case SCENARIO_LIST:
		return kernel_open(op, st, list, listed);
	case SCENARIO_STAT:
		return stat(op->path, st) ? -errno : 0;
	case SCENARIO_LSTAT:
		return lstat(op->path, st) ? -errno : 0;
	case SCENARIO_MKDIR:
		return mkdir(op->path, op->mode & 0755) ? -errno : 0;
	default:
		return unlink(op->path) ? -errno : 0;
	}
}

const char *fixture_differs(struct fixture *f, const struct model *m, const struct scenario_op *op,
	const struct model_result *said)
{
	static char list[FIXTURE_LIST] __attribute__((aligned(8))), text[200];
	struct stat st = { 0 };
	ssize_t listed = 0;
	int r, tries = 0;

	/* Linux counts links twice when something else in the system makes it walk a path anew. */
	do
		r = ask_kernel(op, &st, list, &listed);
	while (r == -ELOOP && said->r != -ELOOP && ++tries < KERNEL_TRIES);
	if (r != said->r) {
		snprintf(text, sizeof(text), "the model says %s, the kernel %s",
			said->r ? strerrorname_np(-said->r) : "0", r ? strerrorname_np(-r) : "0");
		return text;
	}
	if (r || op->kind == SCENARIO_MKDIR || op->kind == SCENARIO_UNLINK)
		return NULL;
	if (!fixture_is(f, m, said->at.node, &st))
		return "the model says another object than the kernel";
	if (S_ISREG(st.st_mode) && st.st_size != m->nodes[said->at.node].size)
		return "the model says another size than the kernel";
	if (op->kind == SCENARIO_LIST && !world_same_listing(m, said->at, list, listed, false))
		return "the model lists other names than the kernel";
	return NULL;
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
	return hash;
}

static uint64_t print_dir(int dir, const char *name, bool outside);

/* Of one name; the sum of all is the directory's, whatever order it lists them in. */
static uint64_t print_one(int dir, const char *name, bool outside)
{
	char target[PATH_MAX];
	struct stat st;
	uint64_t hash = mix(14695981039346656037u, name, strlen(name));
	ssize_t n;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	hash = mix(hash, &st.st_mode, sizeof(st.st_mode));
	if (!S_ISDIR(st.st_mode))
		hash = mix(hash, &st.st_size, sizeof(st.st_size));
	n = S_ISLNK(st.st_mode) ? readlinkat(dir, name, target, sizeof(target)) : 0;
	hash = mix(hash, target, n > 0 ? (size_t)n : 0);
	outside |= !strcmp(name, "out");
	if (outside) {
		hash = mix(hash, &st.st_ino, sizeof(st.st_ino));
		hash = mix(hash, &st.st_mtim, sizeof(st.st_mtim));
		hash = mix(hash, &st.st_ctim, sizeof(st.st_ctim));
	}
	return S_ISDIR(st.st_mode) ? hash * 31 + print_dir(dir, name, outside) : hash;
}

static uint64_t print_dir(int dir, const char *name, bool outside)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	uint64_t sum = 0;

	while (stream && (entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			sum += print_one(dirfd(stream), entry->d_name, outside);
	if (stream)
		closedir(stream);
	return sum;
}

uint64_t fixture_fingerprint(const struct fixture *f)
{
	uint64_t print = print_dir(f->host_fd, ".", false);

	if (f->world.scratch >= 0 && f->dir_fd[f->world.scratch] >= 0)
		print = print * 31 + print_dir(f->dir_fd[f->world.scratch], ".", false);
	return print;
}
