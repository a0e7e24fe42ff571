/* SPDX-License-Identifier: ISC */
/*
 * The kernel as the oracle of the file map: a world is one host tree made twice on a tmpfs of its
 * own. Over the one the kernel mounts the mappings for real, over the other lies a struct fileio.
 * Inside the world the process has the kernel's guest root as its root, so that a raw call and ours
 * can be made one after the other, and compared: errno, object, attributes, data, names.
 *
 * Names in a tree are HOST/...; `guest` is the guest's root itself where no mapping covers it.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "err.h"
#include "fileio.h"
#include "namespace.h"

enum {
	ORACLE_LINES = 96,
	ORACLE_MOUNTS = 16,
	ORACLE_PAIRS = 1024,
	ORACLE_NAMES = 4096,
	ORACLE_DATA = 64,
	ORACLE_PATH = 8192,
};

/* --- what is asked --- */

enum oracle_kind {
	ORACLE_OPEN,
	ORACLE_STAT,
	ORACLE_LSTAT,
	ORACLE_MKDIR,
	ORACLE_UNLINK,
	ORACLE_LIST,
	ORACLE_KIND_COUNT
};

struct oracle_op {
	enum oracle_kind kind;
	const char *path;
	int flags;
	mode_t mode;
};

struct oracle_answer {
	int r; /* 0 or -errno */
	struct stat st;
	int read, write; /* of a file that was opened: bytes or -errno */
	int64_t position;
	char data[ORACLE_DATA];   /* read before anything is written */
	char names[ORACLE_NAMES]; /* LIST: sorted, each with its type behind it and a blank */
};

/* Who is asked: files, or when NULL the kernel, from a directory. */
struct oracle_who {
	struct fileio *files;
	int dir;
};

static inline int oracle_result(long r)
{
	return r < 0 ? -errno : (int)r;
}

static inline int oracle_open(
	const struct oracle_who *who, const char *path, int flags, mode_t mode)
{
	return who->files ? fileio_open(who->files, path, flags, mode)
			  : oracle_result(syscall(SYS_openat, who->dir, path, flags, mode));
}

static inline void oracle_close(const struct oracle_who *who, int fd)
{
	who->files ? fileio_close(who->files, fd) : close(fd);
}

/* Reads, then writes one byte at the start or, with O_APPEND, the end. */
static inline void oracle_use(const struct oracle_who *who, int fd, struct oracle_answer *answer)
{
	if (who->files) {
		answer->read = (int)fileio_read(who->files, fd, answer->data, ORACLE_DATA);
		fileio_lseek(who->files, fd, 0, SEEK_SET);
		answer->write = (int)fileio_write(who->files, fd, "!", 1);
		answer->position = fileio_lseek(who->files, fd, 0, SEEK_CUR);
	} else {
		answer->read = oracle_result(read(fd, answer->data, ORACLE_DATA));
		lseek(fd, 0, SEEK_SET);
		answer->write = oracle_result(write(fd, "!", 1));
		answer->position = lseek(fd, 0, SEEK_CUR);
	}
}

static inline void oracle_ask_open(
	const struct oracle_who *who, const struct oracle_op *op, struct oracle_answer *answer)
{
	int fd = oracle_open(who, op->path, op->flags, op->mode);

	answer->r = fd < 0 ? fd : 0;
	if (fd < 0)
		return;
	if (who->files)
		answer->r = fileio_fstat(who->files, fd, &answer->st);
	else
		answer->r = oracle_result(fstat(fd, &answer->st));
	if (S_ISREG(answer->st.st_mode) && !(op->flags & O_PATH))
		oracle_use(who, fd, answer);
	oracle_close(who, fd);
}

struct oracle_dirent { /* struct linux_dirent64 */
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
} __attribute__((packed));

static inline int oracle_by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static inline char oracle_type(unsigned int type)
{
	static const char letters[16] = {
		[DT_DIR] = '/', [DT_LNK] = '@', [DT_FIFO] = '|', [DT_SOCK] = '=', [DT_CHR] = '%'
	};

	return type == DT_REG ? ' ' : type < sizeof(letters) && letters[type] ? letters[type] : '?';
}

/* All records are in buf. `.` and `..` are told apart from the rest only by their names. */
static inline int oracle_names(char *buf, size_t len, char *names)
{
	char *list[256];
	size_t n = 0, used = 0;

	for (size_t at = 0; at < len && n < 256;) {
		struct oracle_dirent *d = (struct oracle_dirent *)(buf + at);

		at += d->reclen;
		list[n++] = d->name;
	}
	qsort(list, n, sizeof(*list), oracle_by_name);
	for (size_t i = 0; i < n; i++) {
		const char *type = list[i] - offsetof(struct oracle_dirent, name) +
				   offsetof(struct oracle_dirent, type);
		char mark = oracle_type((uint8_t)*type);

		if (!strcmp(list[i], ".") || !strcmp(list[i], ".."))
			mark = mark == '/' ? ' ' : '?';
		used += (size_t)snprintf(names + used,
			used < ORACLE_NAMES ? ORACLE_NAMES - used : 0,
			mark == ' ' ? "%s " : "%s%c ", list[i], mark);
	}
	return used < ORACLE_NAMES ? 0 : -EOVERFLOW;
}

static inline void oracle_ask_list(
	const struct oracle_who *who, const struct oracle_op *op, struct oracle_answer *answer)
{
	static char buf[16384];
	int fd = oracle_open(who, op->path, O_RDONLY | O_DIRECTORY, 0);
	size_t len = 0;
	long n;

	answer->r = fd < 0 ? fd : 0;
	if (fd < 0)
		return;
	do {
		n = who->files ? fileio_getdents(who->files, fd, buf + len, sizeof(buf) - len)
			       : oracle_result(
					 syscall(SYS_getdents64, fd, buf + len, sizeof(buf) - len));
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	answer->r = n < 0 ? (int)n : oracle_names(buf, len, answer->names);
	oracle_close(who, fd);
}

static inline void oracle_ask(
	const struct oracle_who *who, const struct oracle_op *op, struct oracle_answer *answer)
{
	int nofollow = op->kind == ORACLE_LSTAT ? AT_SYMLINK_NOFOLLOW : 0;

	memset(answer, 0, offsetof(struct oracle_answer, names) + 1);
	if (op->kind == ORACLE_OPEN)
		oracle_ask_open(who, op, answer);
	else if (op->kind == ORACLE_LIST)
		oracle_ask_list(who, op, answer);
	else if (op->kind == ORACLE_MKDIR)
		answer->r = who->files ? fileio_mkdir(who->files, op->path, op->mode)
				       : oracle_result(mkdirat(who->dir, op->path, op->mode));
	else if (op->kind == ORACLE_UNLINK)
		answer->r = who->files ? fileio_unlink(who->files, op->path)
				       : oracle_result(unlinkat(who->dir, op->path, 0));
	else
		answer->r =
			who->files
				? fileio_stat(who->files, op->path, !nofollow, &answer->st)
				: oracle_result(fstatat(who->dir, op->path, &answer->st, nofollow));
}

/* --- the world --- */

struct oracle_mount {
	char host[64], guest[320];
	bool writable, may_unlink, submounts;
	bool implied; /* not a mapping: an empty directory that mappings lie beneath */
};

struct oracle_spec {
	const char *lines[ORACLE_LINES]; /* see oracle_add */
	struct oracle_mount mounts[ORACLE_MOUNTS];
	int n_lines, n_mounts;
	const char *cwd;
	const struct hostfs *engine;
	bool strict; /* every line and mount must work; else what the kernel refuses is left out */
	/* Lets us lie about a mapping, so that a test of the oracle has something to find. */
	void (*skew)(struct fileio_mount *mounts, size_t *n);
};

struct oracle_pair {
	ino_t ours, kernels;
};

/* A side of the twin tree, and where `guest` is. */
struct oracle_side {
	int tree, guest;
};

struct oracle_world {
	const char *base;
	struct oracle_mount mounts[ORACLE_MOUNTS]; /* as the kernel has them, parents first */
	int n_mounts;
	struct fileio *files;
	int outside;
	struct oracle_side ours, kernels;
	char late[ORACLE_MOUNTS][700]; /* mount points that the host's tree lacked, as lines */
	int n_late;
	struct oracle_pair pairs[ORACLE_PAIRS]; /* objects that are each other's twins */
	int n_pairs;
};

static inline bool oracle_is_guest(const char *name)
{
	return !strncmp(name, "guest", 5) && (!name[5] || name[5] == '/');
}

/* Below what directory a name of the tree is meant, and its rest. */
static inline int oracle_dir(const struct oracle_side *side, const char **name)
{
	if (!oracle_is_guest(*name))
		return side->tree;
	*name += (*name)[5] ? 6 : 5;
	if (!**name)
		*name = ".";
	return side->guest;
}

/*
 * The directory that a name lies in, open, and its last component. No link is followed on the way:
 * a tree is full of them, and they are meant for the guest's root, not for ours.
 */
static inline int oracle_parent(const struct oracle_side *side, const char **name)
{
	int dir = oracle_dir(side, name), fd = dir < 0 ? -1 : dup(dir);

	for (size_t n; fd >= 0 && (n = strcspn(*name, "/")) && (*name)[n]; *name += n + 1) {
		char part[300];
		int next;

		snprintf(part, sizeof(part), "%.*s", (int)n, *name);
		next = openat(fd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	return fd;
}

static inline int oracle_write(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

static inline int oracle_submount(int dir, const char *name, const char *type)
{
	int fd = mkdirat(dir, name, 0755) ? -1 : openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char path[40];
	int r;

	if (fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = mount("none", path, *type ? type : "tmpfs", 0, "mode=755");
	close(fd);
	return r;
}

/*
 * A line of a tree, KIND NAME [REST]: d directory, f file with content, l link to REST, p fifo,
 * s socket, n the null device, h another name of REST, c chmod to REST, o chown to REST, r rename from
 * REST, m a directory with a file system of type REST, or tmpfs, mounted on it. `!` before it: when all is
 * mounted and running.
 */
static inline int oracle_add_in(
	const struct oracle_side *side, int dir, char kind, const char *name, const char *rest)
{
	int from = kind == 'h' || kind == 'r' ? oracle_parent(side, &rest) : -1, r = -1;

	switch (kind) {
	case 'd':
		return mkdirat(dir, name, 0755);
	case 'f':
		return oracle_write(dir, name, rest);
	case 'l':
		return symlinkat(rest, dir, name);
	case 'p':
		return mkfifoat(dir, name, 0644);
	case 's':
		return mknodat(dir, name, S_IFSOCK | 0644, 0);
	case 'n':
		return mknodat(dir, name, S_IFCHR | 0666, makedev(1, 3));
	case 'c':
		return fchmodat(dir, name, (mode_t)strtol(rest, NULL, 8), AT_SYMLINK_NOFOLLOW);
	case 'o':
		return fchownat(dir, name, (uid_t)atoi(rest), (gid_t)-1, AT_SYMLINK_NOFOLLOW);
	case 'm':
		return oracle_submount(dir, name, rest);
	}
	if (from >= 0)
		r = kind == 'h' ? linkat(from, rest, dir, name, 0)
				: renameat(from, rest, dir, name);
	if (from >= 0)
		close(from);
	return r;
}

static inline int oracle_add(const struct oracle_side *side, const char *line)
{
	const char *name = line + 2, *rest = strchr(name, ' ');
	char copy[700];
	int dir, r;

	snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(name, " "), name);
	name = copy;
	dir = oracle_parent(side, &name);
	if (dir < 0)
		return -1;
	r = oracle_add_in(side, dir, line[0], name, rest ? rest + 1 : "");
	close(dir);
	return r;
}

/* Are these twins? Objects seen for the first time are, from then on. */
static inline bool oracle_twins(struct oracle_world *w, ino_t ours, ino_t kernels)
{
	for (int i = 0; i < w->n_pairs; i++)
		if (w->pairs[i].ours == ours || w->pairs[i].kernels == kernels)
			return w->pairs[i].ours == ours && w->pairs[i].kernels == kernels;
	if (w->n_pairs < ORACLE_PAIRS)
		w->pairs[w->n_pairs++] = (struct oracle_pair){ ours, kernels };
	return true;
}

static inline int oracle_add_twins(struct oracle_world *w, const char *line, bool strict)
{
	const char *ours = line + 2, *kernels = line + 2;
	struct stat a, b;
	char name[700];
	int r = oracle_add(&w->kernels, line), q = oracle_add(&w->ours, line);

	if ((r || q) && strict)
		return fprintf(stderr, "oracle: line %s: %s\n", line, strerror(errno)), -1;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(line + 2, " "), line + 2);
	ours = kernels = name;
	r = oracle_dir(&w->ours, &ours);
	q = oracle_dir(&w->kernels, &kernels);
	if (!fstatat(r, ours, &a, AT_SYMLINK_NOFOLLOW) &&
		!fstatat(q, kernels, &b, AT_SYMLINK_NOFOLLOW))
		oracle_twins(w, a.st_ino, b.st_ino);
	return 0;
}

/* --- the kernel's mounts --- */

/* Does this name, by components, lie in that directory, and properly so? What is left, or NULL. */
static inline const char *oracle_beneath(const char *name, const char *dir)
{
	size_t n = strcmp(dir, "/") ? strlen(dir) : 0;

	return !strncmp(name, dir, n) && name[n] == '/' && name[n + 1] ? name + n + 1 : NULL;
}

/* Where a guest's name lies in the tree: in the deepest of the mounts made so far, or `guest`. */
static inline const struct oracle_mount *oracle_holder(
	const struct oracle_world *w, const char *guest, const char **rest)
{
	const struct oracle_mount *deepest = NULL;

	*rest = guest + 1;
	for (int i = 0; i < w->n_mounts; i++) {
		const char *left = oracle_beneath(guest, w->mounts[i].guest);

		if (left && (!deepest || left > *rest)) {
			deepest = &w->mounts[i];
			*rest = left;
		}
	}
	return deepest;
}

static inline int oracle_bind(struct oracle_world *w, const struct oracle_mount *m)
{
	char from[200], to[500];

	snprintf(from, sizeof(from), "%s/k/%s", w->base, m->host);
	snprintf(to, sizeof(to), "%s/k/guest%s", w->base, m->guest);
	if (w->n_mounts == ORACLE_MOUNTS || mount(from, to, NULL, MS_BIND | MS_REC, NULL))
		return -1;
	w->mounts[w->n_mounts++] = *m;
	return 0;
}

/* A mount point that the tree lacks. Our twin gets it, too, once we run: it is covered there. */
static inline int oracle_place(
	struct oracle_world *w, const struct oracle_mount *in, const char *name, bool file)
{
	int n = snprintf(w->late[w->n_late], sizeof(w->late[0]), "%c %s", file ? 'f' : 'd', name);

	if (w->n_late == ORACLE_MOUNTS - 1 || n >= (int)sizeof(w->late[0]) ||
		oracle_add(&w->kernels, w->late[w->n_late]))
		return -1;
	w->n_late += in && !in->implied;
	return 0;
}

static inline bool oracle_is_placed(const struct oracle_world *w, const char *name)
{
	for (int i = 0; i < w->n_late; i++)
		if (!strcmp(w->late[i] + 2, name))
			return true;
	return false;
}

/* Makes what a mount point needs; nothing of it may be a link, nor anything else in the way. */
static inline int oracle_mount_point(struct oracle_world *w, const char *guest, bool file)
{
	const char *rest;
	const struct oracle_mount *in = oracle_holder(w, guest, &rest);
	size_t before = (size_t)(rest - guest);

	for (size_t n = strcspn(rest, "/");; n += 1 + strcspn(rest + n + 1, "/")) {
		struct oracle_mount implied = { .implied = true };
		char name[700];
		struct stat st;

		snprintf(name, sizeof(name), "%s/%.*s", in ? in->host : "guest", (int)n, rest);
		if (!fstatat(w->kernels.tree, name, &st, AT_SYMLINK_NOFOLLOW)) {
			/* On a fifo a file could be mounted, but then it is listed as a fifo. */
			if (rest[n] ? !S_ISDIR(st.st_mode)
				    : (st.st_mode & S_IFMT) != (file ? S_IFREG : S_IFDIR))
				return -1;
			if (!rest[n])
				return 0;
			if (!oracle_is_placed(w, name)) /* by us, for a mapping of the same host */
				continue;
		} else if (oracle_place(w, in, name, file && !rest[n])) {
			return -1;
		}
		if (!rest[n])
			return 0;
		if (!in || in->implied)
			continue;
		/* In a mapping such a directory is empty and can only be read. */
		snprintf(implied.host, sizeof(implied.host), "void/%d", w->n_mounts);
		snprintf(implied.guest, sizeof(implied.guest), "%.*s", (int)(before + n), guest);
		if (mkdirat(w->kernels.tree, implied.host, 0755) || oracle_bind(w, &implied))
			return -1;
		return oracle_mount_point(w, guest, file);
	}
}

static inline int oracle_depth(const struct oracle_mount *m)
{
	int n = 0;

	for (const char *p = m->guest; *p; p++)
		n += *p == '/' && p[1];
	return n;
}

/* The mode of a host; 0: none, or a link is in the way. */
static inline mode_t oracle_host_mode(const struct oracle_side *side, const char *host, bool follow)
{
	int dir = oracle_parent(side, &host), r;
	struct stat st;

	if (dir < 0)
		return 0;
	r = fstatat(dir, host, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW);
	close(dir);
	return r ? 0 : st.st_mode;
}

static inline int oracle_mount_one(
	struct oracle_world *w, const struct oracle_mount *m, bool follow)
{
	mode_t mode = oracle_host_mode(&w->kernels, m->host, follow);

	if (!S_ISDIR(mode) && !S_ISREG(mode))
		return -1;
	for (int i = 0; i < w->n_mounts; i++)
		if (!strcmp(w->mounts[i].guest, m->guest))
			return -1;
	if (strcmp(m->guest, "/") && oracle_mount_point(w, m->guest, S_ISREG(mode)))
		return -1;
	return oracle_bind(w, m);
}

static inline int oracle_mount_all(struct oracle_world *w, const struct oracle_spec *spec)
{
	char to[500];

	for (int depth = 0; depth < 16; depth++)
		for (int i = 0; i < spec->n_mounts; i++)
			if (oracle_depth(&spec->mounts[i]) == depth &&
				oracle_mount_one(w, &spec->mounts[i], spec->strict) && spec->strict)
				return fprintf(stderr, "oracle: mount %s: %s\n",
					       spec->mounts[i].guest, strerror(errno)),
				       -1;
	for (int i = 0; i < w->n_mounts; i++) {
		snprintf(to, sizeof(to), "%s/k/guest%s", w->base, w->mounts[i].guest);
		if (!w->mounts[i].writable &&
			mount(NULL, to, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL))
			return -1;
	}
	return 0;
}

/* --- ours --- */

/* The other way round than the kernel, for which order matters. */
static inline int oracle_start(struct oracle_world *w, const struct oracle_spec *spec)
{
	struct fileio_mount mounts[ORACLE_MOUNTS];
	char hosts[ORACLE_MOUNTS][200], scratch[200];
	struct fileio_config config = { .mounts = mounts,
		.scratch_parent = scratch,
		.cwd = spec->cwd,
		.host = spec->engine,
		.console_in = -1,
		.console_out = -1 };
	struct err err;
	int r;

	for (int i = w->n_mounts - 1; i >= 0; i--) {
		if (w->mounts[i].implied)
			continue;
		snprintf(hosts[i], sizeof(hosts[i]), "%s/o/%s", w->base, w->mounts[i].host);
		mounts[config.n_mounts++] = (struct fileio_mount){ .host = hosts[i],
			.guest = w->mounts[i].guest,
			.writable = w->mounts[i].writable,
			.may_unlink = w->mounts[i].may_unlink,
			.submounts = w->mounts[i].submounts };
	}
	if (spec->skew)
		spec->skew(mounts, &config.n_mounts);
	snprintf(scratch, sizeof(scratch), "%s/tmp", w->base);
	r = fileio_init(&w->files, &config, &err);
	if (r && spec->strict)
		fprintf(stderr, "oracle: %s\n", err.text);
	return r;
}

/* The guest's root, when it is no mapping: in the one directory beneath ours for scratch. */
static inline int oracle_scratch_root(const struct oracle_world *w)
{
	char path[400];
	struct dirent *d;
	int fd = -1;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/tmp", w->base);
	dir = opendir(path);
	while (dir && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/root", d->d_name);
		fd = openat(dirfd(dir), path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (dir)
		closedir(dir);
	return fd;
}

static inline int oracle_open_in(const struct oracle_world *w, const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", w->base, name);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static inline int oracle_make_base(struct oracle_world *w)
{
	static const char *const dirs[] = { "k", "k/guest", "k/void", "o", "tmp" };
	char path[200];

	if (mount("none", w->base, "tmpfs", 0, "mode=755,size=64m"))
		return -1;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", w->base, dirs[i]);
		if (mkdir(path, 0755))
			return -1;
	}
	w->outside = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	w->ours.tree = oracle_open_in(w, "o");
	w->kernels.tree = oracle_open_in(w, "k");
	w->kernels.guest = oracle_open_in(w, "k/guest"); /* beneath whatever is mounted there */
	return w->outside < 0 || w->ours.tree < 0 || w->kernels.guest < 0 ? -1 : 0;
}

static inline bool oracle_is_late(const char *line)
{
	return line[0] == '!' || oracle_is_guest(line + 2);
}

/* Is a name beneath `guest` really there, and not in some mapping? */
static inline bool oracle_in_scratch(const struct oracle_world *w, const char *line)
{
	char guest[700];
	const char *rest;

	if (!oracle_is_guest(line + 2))
		return true;
	snprintf(guest, sizeof(guest), "%.*s", (int)strcspn(line + 7, " "), line + 7);
	for (int i = 0; i < w->n_mounts; i++)
		if (!strcmp(w->mounts[i].guest, guest))
			return false;
	return w->ours.guest >= 0 && !oracle_holder(w, guest, &rest);
}

static inline int oracle_fill(struct oracle_world *w, const struct oracle_spec *spec, bool late)
{
	for (int i = 0; i < spec->n_lines; i++) {
		const char *line = spec->lines[i];

		if (oracle_is_late(line) == late && (spec->strict || oracle_in_scratch(w, line)) &&
			oracle_add_twins(w, line + (line[0] == '!'), spec->strict))
			return -1;
	}
	for (int i = 0; late && i < w->n_late; i++)
		oracle_add(&w->ours, w->late[i]);
	return 0;
}

static inline void oracle_leave(struct oracle_world *w)
{
	obey_modes(false);
	if (w->outside >= 0 && (fchdir(w->outside) || chroot(".")))
		abort();
	fileio_destroy(w->files);
	for (int i = 0; i < 5; i++) {
		int fd = (int[]){ w->outside, w->ours.tree, w->ours.guest, w->kernels.tree,
			w->kernels.guest }[i];

		if (fd >= 0)
			close(fd);
	}
	umount2(w->base, MNT_DETACH);
}

/*
 * Makes the world on an empty directory `base`, and goes into it; oracle_leave() must follow even
 * when this fails.
 */
static inline int oracle_enter(
	struct oracle_world *w, const char *base, const struct oracle_spec *spec)
{
	char root[200];

	memset(w, 0, offsetof(struct oracle_world, pairs));
	w->n_pairs = 0;
	w->base = base;
	w->outside = w->ours.tree = w->ours.guest = w->kernels.tree = w->kernels.guest = -1;
	if (oracle_make_base(w) || oracle_fill(w, spec, false) || oracle_mount_all(w, spec) ||
		oracle_start(w, spec))
		return -1;
	w->ours.guest = oracle_scratch_root(w);
	if (oracle_fill(w, spec, true))
		return -1;
	snprintf(root, sizeof(root), "%s/k/guest", base);
	if (chdir(root) || chroot(".") || chdir(spec->cwd ? spec->cwd : "/"))
		return -1;
	obey_modes(true);
	return 0;
}

/* --- comparing --- */

/* What two answers differ in, or NULL. */
static inline const char *oracle_difference(struct oracle_world *w,
	const struct oracle_answer *ours, const struct oracle_answer *kernels)
{
	const struct stat *a = &ours->st, *b = &kernels->st;

	if (ours->r != kernels->r)
		return "errno";
	if (a->st_mode != b->st_mode)
		return "mode";
	if (a->st_ino && !oracle_twins(w, a->st_ino, b->st_ino))
		return "object";
	if (!S_ISDIR(a->st_mode) && (a->st_size != b->st_size || a->st_nlink != b->st_nlink))
		return "size or links";
	if (a->st_uid != b->st_uid || a->st_gid != b->st_gid || a->st_rdev != b->st_rdev)
		return "owner";
	if (ours->read != kernels->read || memcmp(ours->data, kernels->data, ORACLE_DATA))
		return "what is read";
	if (ours->write != kernels->write || ours->position != kernels->position)
		return "what is written";
	return strcmp(ours->names, kernels->names) ? "names" : NULL;
}

/* The first path beneath `path` (a buffer of ORACLE_PATH) at which two trees differ, and in what. */
static inline const char *oracle_trees_differ(struct oracle_world *w, const struct oracle_who *ours,
	const struct oracle_who *kernels, char *path, int depth)
{
	struct oracle_answer *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));
	struct oracle_op op = { ORACLE_LSTAT, path, O_RDONLY, 0 };
	size_t len = strlen(path);
	const char *differ;

	oracle_ask(ours, &op, a);
	oracle_ask(kernels, &op, b);
	differ = oracle_difference(w, a, b);
	op.kind = S_ISDIR(a->st.st_mode) ? ORACLE_LIST : ORACLE_OPEN;
	if (!differ && (S_ISDIR(a->st.st_mode) || S_ISREG(a->st.st_mode))) {
		oracle_ask(ours, &op, a);
		oracle_ask(kernels, &op, b);
		differ = oracle_difference(w, a, b);
	}
	for (char *at = a->names; !differ && *at && depth < 32;) {
		size_t n = strcspn(at, " ");
		bool dots = (n == 1 && at[0] == '.') || (n == 2 && !memcmp(at, "..", 2));

		if (!dots && len + n + 2 < ORACLE_PATH) {
			if (strchr("/@|=%", at[n - 1]))
				n--;
			snprintf(path + len, ORACLE_PATH - len, "/%.*s", (int)n, at);
			differ = oracle_trees_differ(w, ours, kernels, path, depth + 1);
			if (!differ)
				path[len] = 0;
		}
		at += strcspn(at, " ") + 1;
	}
	free(a);
	free(b);
	return differ;
}

/* The guest's views, and the hosts' trees. NULL, or what differs, at path. */
static inline const char *oracle_effects_differ(struct oracle_world *w, char *path)
{
	const struct oracle_who ours = { .files = w->files }, kernels = { .dir = AT_FDCWD };
	const struct oracle_who our_tree = { .dir = w->ours.tree },
				its = { .dir = w->kernels.tree };
	const char *differ;

	strcpy(path, "/.");
	differ = oracle_trees_differ(w, &ours, &kernels, path, 0);
	obey_modes(false);
	for (int i = 0; !differ && i < w->n_mounts; i++) {
		if (w->mounts[i].implied)
			continue;
		strcpy(path, w->mounts[i].host);
		differ = oracle_trees_differ(w, &our_tree, &its, path, 0);
	}
	obey_modes(true);
	return differ;
}

#endif
