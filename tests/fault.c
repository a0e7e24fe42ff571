// SPDX-License-Identifier: ISC
/*
 * Wrappers of what may fail. fault_call_NAME takes the place of NAME in our libraries, fault_both_NAME in
 * the tests as well: by objcopy, from this file's own symbols (see the Makefile). Everything else in the
 * process calls the real ones.
 */
#include "fault.h"

#include <dirent.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unicorn/unicorn.h>
#include <unistd.h>

const char *const fault_kind_names[FAULT_KIND_COUNT] = { "alloc", "io", "intr", "part" };

/* INTR: of what may wait. Opening, locking without waiting and cutting files of a local disk do not. */
enum {
	ALLOC = 1 << FAULT_ALLOC,
	IO = 1 << FAULT_IO,
	INTR = 1 << FAULT_INTR,
	PART = 1 << FAULT_PART,
};

/* The ledger: entries in a hash of chains, by what they are keyed with. */
enum { ENTRIES = 1 << 17, BUCKETS = 1 << 15, FDS = 4096 };

struct entry {
	const void *key;
	const void *extra; /* open_memstream: where the buffer's address will be */
	const char *call;
	uint32_t next; /* index + 1 */
	bool used;
	struct fault_trace trace;
};

static struct {
	struct fault_state *state;
	atomic_flag lock;
	struct entry entries[ENTRIES];
	uint32_t buckets[BUCKETS];
	uint32_t n, unused; /* unused: a chain of what was given back */
	struct fault_owned fds[FDS];
} fault;

void fault_backtrace(struct fault_trace *trace, const void *caller)
{
	void *at[FAULT_FRAMES + 6];
	int n = backtrace(at, FAULT_FRAMES + 6), skip = 0;

	while (caller && skip < n && at[skip] != caller)
		skip++;
	if (skip == n)
		skip = 0;
	trace->n = n - skip > FAULT_FRAMES ? FAULT_FRAMES : n - skip;
	memcpy(trace->at, at + skip, (size_t)trace->n * sizeof(at[0]));
}

void fault_start(struct fault_state *state)
{
	fault.state = state;
}

void fault_stop(void)
{
	fault.state = NULL;
}

unsigned fault_failed(void)
{
	return fault.state && fault.state->plan.kind <= FAULT_IO ? fault.state->injected : 0;
}

/* The frames that tell two sites apart. */
enum { SITE_FRAMES = 5, SURVEY_CALLS = 20000 };

static void note_site(struct fault_state *s, enum fault_kind kind, uint64_t n, const void *caller)
{
	struct fault_trace trace;
	uint64_t hash = 1469598103934665603u;
	size_t i;

	fault_backtrace(&trace, caller);
	for (int f = 0; f < trace.n && f < SITE_FRAMES; f++) /* distances: the same in every run */
		hash = (hash ^ (uint64_t)((char *)trace.at[f] - (char *)fault_start)) *
		       1099511628211u;
	hash |= 1;
	i = hash >> 32;
	for (size_t tries = 0; tries < FAULT_SITES; tries++, i++) {
		struct fault_site *site = &s->sites[kind][i % FAULT_SITES];

		if (!site->hash)
			*site = (struct fault_site){ .hash = hash, .first = n };
		if (site->hash == hash) {
			site->last = n;
			return;
		}
	}
}

static bool due(struct fault_state *s, const struct fault_call *call, enum fault_kind kind,
	const void *caller)
{
	uint64_t n = atomic_fetch_add(&s->count[kind], 1) + 1;

	if (s->survey && n <= SURVEY_CALLS)
		note_site(s, kind, n, caller);
	if (s->plan.kind != kind || !s->plan.n || n < s->plan.n ||
		(n > s->plan.n && !s->plan.onward))
		return false;
	if (!atomic_fetch_add(&s->injected, 1)) {
		s->call = call;
		s->error = kind == FAULT_INTR ? EINTR : kind == FAULT_PART ? 0 : call->error;
		fault_backtrace(&s->trace, caller);
	}
	return true;
}

/* True: this call is to fail, and errno says how. */
static bool hit(const struct fault_call *call, const void *caller)
{
	struct fault_state *s = fault.state;

	if (!s)
		return false;
	for (enum fault_kind kind = FAULT_ALLOC; kind <= FAULT_INTR; kind++) {
		if (!(call->kinds & 1u << kind) || !due(s, call, kind, caller))
			continue;
		errno = kind == FAULT_INTR ? EINTR : call->error;
		return true;
	}
	return false;
}

/* How much of len is to be transferred. */
static size_t part(const struct fault_call *call, size_t len, const void *caller)
{
	struct fault_state *s = fault.state;

	return s && len > 1 && due(s, call, FAULT_PART, caller) ? len / 2 : len;
}

static void lock(void)
{
	while (atomic_flag_test_and_set(&fault.lock))
		;
}

static void unlock(void)
{
	atomic_flag_clear(&fault.lock);
}

static uint32_t *bucket(const void *key)
{
	return &fault.buckets[((uintptr_t)key * 0x9e3779b97f4a7c15u) >> 49 & (BUCKETS - 1)];
}

static struct entry *take_entry(void)
{
	struct entry *e = NULL;

	if (fault.unused) {
		e = &fault.entries[fault.unused - 1];
		fault.unused = e->next;
	} else if (fault.n < ENTRIES) {
		e = &fault.entries[fault.n++];
	}
	return e;
}

static void own_with(const void *key, const char *call, const void *extra, const void *caller)
{
	struct entry *e;
	uint32_t *at = bucket(key);
	int error = errno;

	if (!key || !fault.state)
		return;
	lock();
	e = take_entry();
	if (e) {
		*e = (struct entry){
			.key = key, .extra = extra, .call = call, .next = *at, .used = true
		};
		fault_backtrace(&e->trace, caller);
		*at = (uint32_t)(e - fault.entries) + 1;
	}
	unlock();
	errno = error;
}

static void own(const void *key, const char *call, const void *caller)
{
	own_with(key, call, NULL, caller);
}

/* What was given back; all zero when it was none of ours. */
static struct entry disown(const void *key)
{
	struct entry found = { 0 };

	lock();
	for (uint32_t *at = bucket(key); *at; at = &fault.entries[*at - 1].next) {
		struct entry *e = &fault.entries[*at - 1];

		if (e->key != key)
			continue;
		found = *e;
		*at = e->next;
		e->used = false;
		e->next = fault.unused;
		fault.unused = (uint32_t)(e - fault.entries) + 1;
		break;
	}
	unlock();
	return found;
}

/* Of a call that failed after all: as it was. */
static void own_again(const struct entry *e)
{
	if (e->key)
		own_with(e->key, e->call, e->extra, NULL);
}

static int own_fd(int fd, const char *call, const void *caller)
{
	int error = errno;

	if (fd >= 0 && fd < FDS && fault.state) {
		fault.fds[fd].call = call;
		fault_backtrace(&fault.fds[fd].trace, caller);
	}
	errno = error;
	return fd;
}

bool fault_live(size_t i, struct fault_owned *owned)
{
	for (uint32_t at = 0; at < fault.n; at++) {
		const struct entry *e = &fault.entries[at];

		if (!e->used || i--)
			continue;
		*owned = (struct fault_owned){ .call = e->call, .trace = e->trace };
		return true;
	}
	return false;
}

bool fault_fd(int fd, struct fault_owned *owned)
{
	if (fd < 0 || fd >= FDS || !fault.fds[fd].call)
		return false;
	*owned = fault.fds[fd];
	return true;
}

/* stdio marks a stream whose write or read has failed. */
static int stream_error(FILE *f)
{
	f->_flags |= 0x20; /* _IO_ERR_SEEN */
	return EOF;
}

#define CALLER __builtin_return_address(0)

/* clang-format off */
#define HEAD(type, name, params) \
	type name params; \
	type name params

/* Fails with `failed` and errno, else does what it is called. */
#define PLAIN(type, name, params, args, kinds, error, failed) \
	HEAD(type, fault_call_##name, params) \
	{ \
		static const struct fault_call call = { #name, kinds, error }; \
		return hit(&call, CALLER) ? failed : name args; \
	}

/* The result is a descriptor. */
#define MAKES_FD(name, params, args, error) \
	HEAD(int, fault_call_##name, params) \
	{ \
		static const struct fault_call call = { #name, IO, error }; \
		return hit(&call, CALLER) ? -1 : own_fd(name args, #name, CALLER); \
	}

/* The result is owned until it is given back. */
#define MAKES(type, name, params, args, kinds, error) \
	HEAD(type, fault_call_##name, params) \
	{ \
		static const struct fault_call call = { #name, kinds, error }; \
		type made = hit(&call, CALLER) ? NULL : name args; \
		own(made, #name, CALLER); \
		return made; \
	}

/* Gives back what a MAKES made. */
#define TAKES(type, name, params, args, key) \
	HEAD(type, fault_both_##name, params) \
	{ \
		disown(key); \
		return name args; \
	}

/* Transfers len bytes, or some of them. */
#define MOVES(name, params, args, error) \
	HEAD(ssize_t, fault_call_##name, params) \
	{ \
		static const struct fault_call call = { #name, IO | INTR | PART, error }; \
		if (hit(&call, CALLER)) \
			return -1; \
		len = part(&call, len, CALLER); \
		return name args; \
	}

/* Memory. */
MAKES(void *, malloc, (size_t size), (size), ALLOC, ENOMEM)
MAKES(void *, calloc, (size_t n, size_t size), (n, size), ALLOC, ENOMEM)
MAKES(char *, strdup, (const char *s), (s), ALLOC, ENOMEM)
MAKES(char *, strndup, (const char *s, size_t n), (s, n), ALLOC, ENOMEM)
TAKES(void, free, (void *p), (p), p)
PLAIN(int, mprotect, (void *p, size_t size, int how), (p, size, how), ALLOC, ENOMEM, -1)
MAKES(FILE *, fopencookie, (void *cookie, const char *mode, cookie_io_functions_t io), (cookie, mode, io),
	ALLOC, ENOMEM)
MAKES(FILE *, fmemopen, (void *buf, size_t size, const char *mode), (buf, size, mode), ALLOC, ENOMEM)
MAKES(FILE *, fdopen, (int fd, const char *mode), (fd, mode), ALLOC, ENOMEM)
MAKES(DIR *, fdopendir, (int fd), (fd), ALLOC, ENOMEM)
PLAIN(int, pthread_create, (pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg),
	(thread, attr, run, arg), ALLOC, EAGAIN, EAGAIN)

/* Other libraries' own: not to leak, and out of memory where they say so. */
PLAIN(Elf *, elf_memory, (char *image, size_t size), (image, size), ALLOC, ENOMEM, NULL)
PLAIN(Elf_Data *, elf_getdata_rawchunk, (Elf *elf, int64_t at, size_t size, Elf_Type type),
	(elf, at, size, type), ALLOC, ENOMEM, NULL)
MAKES(Dwfl *, dwfl_begin, (const Dwfl_Callbacks *callbacks), (callbacks), ALLOC, ENOMEM)
PLAIN(Dwfl_Module *, dwfl_report_module, (Dwfl *dwfl, const char *name, GElf_Addr start, GElf_Addr end),
	(dwfl, name, start, end), ALLOC, ENOMEM, NULL)
PLAIN(Elf *, dwfl_module_getelf, (Dwfl_Module *module, GElf_Addr *bias), (module, bias), ALLOC, ENOMEM, NULL)
PLAIN(bool, dwfl_attach_state, (Dwfl *dwfl, Elf *elf, pid_t pid, const Dwfl_Thread_Callbacks *callbacks, void *ctx),
	(dwfl, elf, pid, callbacks, ctx), ALLOC, ENOMEM, false)
TAKES(void, dwfl_end, (Dwfl *dwfl), (dwfl), dwfl)
PLAIN(uc_err, uc_mem_map_ptr, (uc_engine *uc, uint64_t at, size_t size, uint32_t perms, void *p),
	(uc, at, size, perms, p), ALLOC, ENOMEM, UC_ERR_NOMEM)
PLAIN(uc_err, uc_mmio_map, (uc_engine *uc, uint64_t at, size_t size, uc_cb_mmio_read_t in, void *in_ctx,
	uc_cb_mmio_write_t out, void *out_ctx), (uc, at, size, in, in_ctx, out, out_ctx),
	ALLOC, ENOMEM, UC_ERR_NOMEM)
TAKES(uc_err, uc_close, (uc_engine *uc), (uc), uc)
TAKES(uc_err, uc_context_free, (uc_context *context), (context), context)

/* Files by name. */
MAKES(FILE *, fopen, (const char *path, const char *mode), (path, mode), IO, EMFILE)
MAKES(DIR *, opendir, (const char *path), (path), IO, EMFILE)
TAKES(int, closedir, (DIR *dir), (dir), dir)
MAKES_FD(mkostemp, (char *name, int flags), (name, flags), ENOSPC)
MAKES_FD(memfd_create, (const char *name, unsigned flags), (name, flags), EMFILE)
PLAIN(char *, mkdtemp, (char *name), (name), IO, ENOSPC, NULL)
PLAIN(int, access, (const char *path, int mode), (path, mode), IO, EACCES, -1)
PLAIN(int, faccessat, (int dir, const char *path, int mode, int flags), (dir, path, mode, flags), IO, EACCES, -1)
PLAIN(int, stat, (const char *path, struct stat *st), (path, st), IO, EACCES, -1)
PLAIN(int, lstat, (const char *path, struct stat *st), (path, st), IO, EACCES, -1)
PLAIN(int, fstat, (int fd, struct stat *st), (fd, st), IO, EIO, -1)
PLAIN(int, fstatat, (int dir, const char *path, struct stat *st, int flags), (dir, path, st, flags), IO, EACCES, -1)
PLAIN(int, statx, (int dir, const char *path, int flags, unsigned mask, struct statx *st),
	(dir, path, flags, mask, st), IO, EACCES, -1)
PLAIN(int, fstatfs, (int fd, struct statfs *st), (fd, st), IO, EIO, -1)
PLAIN(int, statfs, (const char *path, struct statfs *st), (path, st), IO, EIO, -1)
PLAIN(int, statvfs, (const char *path, struct statvfs *st), (path, st), IO, EIO, -1)
PLAIN(int, mkdir, (const char *path, mode_t mode), (path, mode), IO, ENOSPC, -1)
PLAIN(int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode), IO, ENOSPC, -1)
PLAIN(int, mknodat, (int dir, const char *path, mode_t mode, dev_t dev), (dir, path, mode, dev), IO, EPERM, -1)
PLAIN(int, symlink, (const char *to, const char *path), (to, path), IO, ENOSPC, -1)
PLAIN(int, symlinkat, (const char *to, int dir, const char *path), (to, dir, path), IO, ENOSPC, -1)
PLAIN(int, linkat, (int dir, const char *path, int new_dir, const char *new_path, int flags),
	(dir, path, new_dir, new_path, flags), IO, ENOSPC, -1)
PLAIN(int, rename, (const char *path, const char *new_path), (path, new_path), IO, ENOSPC, -1)
PLAIN(int, renameat, (int dir, const char *path, int new_dir, const char *new_path),
	(dir, path, new_dir, new_path), IO, ENOSPC, -1)
PLAIN(int, unlink, (const char *path), (path), IO, EROFS, -1)
PLAIN(int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags), IO, EROFS, -1)
PLAIN(int, rmdir, (const char *path), (path), IO, EROFS, -1)
PLAIN(int, remove, (const char *path), (path), IO, EROFS, -1)
PLAIN(ssize_t, readlink, (const char *path, char *buf, size_t size), (path, buf, size), IO, EIO, -1)
PLAIN(ssize_t, readlinkat, (int dir, const char *path, char *buf, size_t size), (dir, path, buf, size), IO, EIO, -1)
PLAIN(int, fchmodat, (int dir, const char *path, mode_t mode, int flags), (dir, path, mode, flags), IO, EPERM, -1)

/* Descriptors. */
MAKES_FD(dup, (int fd), (fd), EMFILE)
MAKES_FD(dup2, (int fd, int as), (fd, as), EMFILE)
MOVES(read, (int fd, void *buf, size_t len), (fd, buf, len), EIO)
MOVES(pread, (int fd, void *buf, size_t len, off_t at), (fd, buf, len, at), EIO)
MOVES(write, (int fd, const void *buf, size_t len), (fd, buf, len), ENOSPC)
MOVES(pwrite, (int fd, const void *buf, size_t len, off_t at), (fd, buf, len, at), ENOSPC)
PLAIN(struct dirent *, readdir, (DIR *dir), (dir), IO, EIO, NULL)
PLAIN(off_t, lseek, (int fd, off_t at, int whence), (fd, at, whence), IO, EIO, -1)
PLAIN(int, ftruncate, (int fd, off_t len), (fd, len), IO, ENOSPC, -1)
PLAIN(int, fallocate, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len), IO, ENOSPC, -1)
PLAIN(int, posix_fallocate, (int fd, off_t at, off_t len), (fd, at, len), IO, ENOSPC, ENOSPC)
PLAIN(int, fchmod, (int fd, mode_t mode), (fd, mode), IO, EPERM, -1)
PLAIN(int, flock, (int fd, int how), (fd, how), IO, ENOLCK, -1)
PLAIN(int, poll, (struct pollfd *fds, nfds_t n, int timeout_ms), (fds, n, timeout_ms), IO | INTR, ENOMEM, -1)
PLAIN(int, ppoll, (struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask),
	(fds, n, timeout, mask), IO | INTR, ENOMEM, -1)

/* Sockets. */
MAKES_FD(socket, (int domain, int type, int protocol), (domain, type, protocol), EMFILE)
PLAIN(int, bind, (int fd, const struct sockaddr *at, socklen_t len), (fd, at, len), IO, EACCES, -1)
PLAIN(int, connect, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len), IO, EAGAIN, -1)
PLAIN(int, listen, (int fd, int backlog), (fd, backlog), IO, EADDRINUSE, -1)
MAKES_FD(accept4, (int fd, struct sockaddr *from, socklen_t *len, int flags), (fd, from, len, flags), EMFILE)
MOVES(send, (int fd, const void *buf, size_t len, int flags), (fd, buf, len, flags), EPIPE)

/* Processes and what else the kernel has. */
PLAIN(ssize_t, getrandom, (void *buf, size_t len, unsigned flags), (buf, len, flags), IO, ENOSYS, -1)
PLAIN(pid_t, fork, (void), (), IO, EAGAIN, -1)
PLAIN(int, posix_spawnp, (pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
	const posix_spawnattr_t *attr, char *const argv[], char *const env[]),
	(pid, file, actions, attr, argv, env), IO, EAGAIN, EAGAIN)
PLAIN(int, posix_spawn_file_actions_init, (posix_spawn_file_actions_t *actions), (actions), ALLOC, ENOMEM, ENOMEM)
PLAIN(int, posix_spawn_file_actions_addopen, (posix_spawn_file_actions_t *actions, int fd, const char *path,
	int flags, mode_t mode), (actions, fd, path, flags, mode), ALLOC, ENOMEM, ENOMEM)
PLAIN(pid_t, waitpid, (pid_t pid, int *status, int options), (pid, status, options), INTR, 0, -1)
PLAIN(int, setenv, (const char *name, const char *value, int over), (name, value, over), ALLOC, ENOMEM, -1)
MAKES_FD(pidfd_open, (pid_t pid, unsigned flags), (pid, flags), EMFILE)

/* Streams. */
PLAIN(char *, fgets, (char *buf, int size, FILE *f), (buf, size, f), IO, EIO, (stream_error(f), NULL))
PLAIN(size_t, fread, (void *buf, size_t size, size_t n, FILE *f), (buf, size, n, f), IO, EIO,
	(stream_error(f), (size_t)0))
PLAIN(size_t, fwrite, (const void *buf, size_t size, size_t n, FILE *f), (buf, size, n, f), IO, ENOSPC,
	(stream_error(f), (size_t)0))
PLAIN(size_t, fwrite_unlocked, (const void *buf, size_t size, size_t n, FILE *f), (buf, size, n, f), IO,
	ENOSPC, (stream_error(f), (size_t)0))
PLAIN(int, fputs, (const char *s, FILE *f), (s, f), IO, ENOSPC, stream_error(f))
PLAIN(int, fputc, (int c, FILE *f), (c, f), IO, ENOSPC, stream_error(f))
PLAIN(int, fflush, (FILE *f), (f), IO, ENOSPC, f ? stream_error(f) : EOF)
/* clang-format on */

HEAD(void *, fault_call_realloc, (void *p, size_t size))
{
	static const struct fault_call call = { "realloc", ALLOC, ENOMEM };
	struct entry old;
	void *made;

	if (hit(&call, CALLER))
		return NULL;
	old = disown(p);
	made = realloc(p, size);
	if (made)
		own(made, "realloc", CALLER);
	else if (size)
		own_again(&old);
	return made;
}

HEAD(void *, fault_call_reallocarray, (void *p, size_t n, size_t size))
{
	static const struct fault_call call = { "reallocarray", ALLOC, ENOMEM };
	struct entry old;
	void *made;

	if (hit(&call, CALLER))
		return NULL;
	old = disown(p);
	made = reallocarray(p, n, size);
	if (made)
		own(made, "reallocarray", CALLER);
	else if (n && size)
		own_again(&old);
	return made;
}

HEAD(int, fault_call_asprintf, (char **out, const char *format, ...))
{
	static const struct fault_call call = { "asprintf", ALLOC, ENOMEM };
	va_list args;
	int r;

	if (hit(&call, CALLER))
		return -1; /* glibc leaves *out as it was */
	va_start(args, format);
	r = vasprintf(out, format, args);
	va_end(args);
	if (r >= 0)
		own(*out, "asprintf", CALLER);
	return r;
}

HEAD(char *, fault_call_realpath, (const char *path, char *buf))
{
	static const struct fault_call call = { "realpath", ALLOC | IO, EACCES };
	char *real = hit(&call, CALLER) ? NULL : realpath(path, buf);

	if (!buf)
		own(real, "realpath", CALLER);
	return real;
}

/* Behind getline(3). */
HEAD(ssize_t, fault_call___getdelim, (char **line, size_t *room, int end, FILE *f))
{
	static const struct fault_call call = { "getline", ALLOC | IO, ENOMEM };
	struct entry old;
	ssize_t n;

	if (hit(&call, CALLER))
		return stream_error(f), -1;
	old = disown(*line);
	n = __getdelim(line, room, end, f);
	if (old.key == *line)
		own_again(&old);
	else
		own(*line, "getline", CALLER);
	return n;
}

HEAD(FILE *, fault_call_open_memstream, (char **buf, size_t *len))
{
	static const struct fault_call call = { "open_memstream", ALLOC, ENOMEM };
	FILE *f = hit(&call, CALLER) ? NULL : open_memstream(buf, len);

	own_with(f, "open_memstream", buf, CALLER);
	return f;
}

static int give_back_stream(FILE *f)
{
	struct entry old = disown(f);
	int r = fclose(f);

	if (old.extra)
		own_with(*(char *const *)old.extra, "open_memstream", NULL, NULL);
	return r;
}

HEAD(int, fault_both_fclose, (FILE * f))
{
	return give_back_stream(f);
}

HEAD(int, fault_call_fprintf, (FILE * f, const char *format, ...))
{
	static const struct fault_call call = { "fprintf", IO, ENOSPC };
	va_list args;
	int r;

	if (hit(&call, CALLER))
		return stream_error(f);
	va_start(args, format);
	r = vfprintf(f, format, args);
	va_end(args);
	return r;
}

HEAD(void *, fault_call_mmap, (void *at, size_t len, int prot, int flags, int fd, off_t offset))
{
	static const struct fault_call call = { "mmap", ALLOC, ENOMEM };
	void *made = hit(&call, CALLER) ? MAP_FAILED : mmap(at, len, prot, flags, fd, offset);

	if (made != MAP_FAILED && !(flags & MAP_FIXED))
		own(made, "mmap", CALLER);
	return made;
}

HEAD(void *, fault_call_mremap, (void *at, size_t len, size_t new_len, int flags, ...))
{
	static const struct fault_call call = { "mremap", ALLOC, ENOMEM };
	void *made = hit(&call, CALLER) ? MAP_FAILED : mremap(at, len, new_len, flags);

	if (made == MAP_FAILED)
		return made;
	if (len)
		disown(at);
	own(made, "mremap", CALLER);
	return made;
}

HEAD(int, fault_both_munmap, (void *at, size_t len))
{
	disown(at);
	return munmap(at, len);
}

HEAD(uc_err, fault_call_uc_open, (uc_arch arch, uc_mode mode, uc_engine **uc))
{
	static const struct fault_call call = { "uc_open", ALLOC, ENOMEM };
	uc_err e = hit(&call, CALLER) ? UC_ERR_NOMEM : uc_open(arch, mode, uc);

	if (!e)
		own(*uc, "uc_open", CALLER);
	return e;
}

HEAD(uc_err, fault_call_uc_context_alloc, (uc_engine * uc, uc_context **context))
{
	static const struct fault_call call = { "uc_context_alloc", ALLOC, ENOMEM };
	uc_err e = hit(&call, CALLER) ? UC_ERR_NOMEM : uc_context_alloc(uc, context);

	if (!e)
		own(*context, "uc_context_alloc", CALLER);
	return e;
}

HEAD(uc_err, fault_call_uc_hook_add,
	(uc_engine * uc, uc_hook *hook, int type, void *fn, void *ctx, uint64_t begin, uint64_t end,
		...))
{
	static const struct fault_call call = { "uc_hook_add", ALLOC, ENOMEM };
	va_list args;
	int insn;

	if (hit(&call, CALLER))
		return UC_ERR_NOMEM;
	if (type != UC_HOOK_INSN)
		return uc_hook_add(uc, hook, type, fn, ctx, begin, end);
	va_start(args, end);
	insn = va_arg(args, int);
	va_end(args);
	return uc_hook_add(uc, hook, type, fn, ctx, begin, end, insn);
}

/* The mode, where there is one. */
static mode_t mode_of(int flags, va_list args)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(args, mode_t) : 0;
}

HEAD(int, fault_call_open, (const char *path, int flags, ...))
{
	static const struct fault_call call = { "open", IO, EMFILE };
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return hit(&call, CALLER) ? -1 : own_fd(open(path, flags, mode), "open", CALLER);
}

HEAD(int, fault_call_openat, (int dir, const char *path, int flags, ...))
{
	static const struct fault_call call = { "openat", IO, EMFILE };
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return hit(&call, CALLER) ? -1 : own_fd(openat(dir, path, flags, mode), "openat", CALLER);
}

HEAD(int, fault_call_pipe2, (int fds[2], int flags))
{
	static const struct fault_call call = { "pipe2", IO, EMFILE };
	int r = hit(&call, CALLER) ? -1 : pipe2(fds, flags);

	if (!r)
		own_fd(fds[0], "pipe2", CALLER), own_fd(fds[1], "pipe2", CALLER);
	return r;
}

HEAD(int, fault_call_fcntl, (int fd, int what, ...))
{
	static const struct fault_call call = { "fcntl", IO, EMFILE };
	bool makes = what == F_DUPFD || what == F_DUPFD_CLOEXEC;
	va_list args;
	void *arg;
	int r;

	va_start(args, what);
	arg = va_arg(args, void *);
	va_end(args);
	if (makes && hit(&call, CALLER)) /* flags of an open descriptor can be had and set */
		return -1;
	r = fcntl(fd, what, arg);
	return makes ? own_fd(r, "fcntl", CALLER) : r;
}

HEAD(int, fault_call_ioctl, (int fd, unsigned long request, ...))
{
	static const struct fault_call call = { "ioctl", IO, ENOMEM };
	static const struct fault_call runs = { "KVM_RUN", IO | INTR, ENOMEM };
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	return hit(request == _IO(0xae, 0x80) ? &runs : &call, CALLER) ? -1
								       : ioctl(fd, request, arg);
}

HEAD(ssize_t, fault_call_pwritev2, (int fd, const struct iovec *parts, int n, off_t at, int flags))
{
	static const struct fault_call call = { "pwritev2", IO | INTR | PART, ENOSPC };
	struct iovec first = parts[0];

	if (hit(&call, CALLER))
		return -1;
	first.iov_len = part(&call, first.iov_len, CALLER);
	return n && first.iov_len != parts[0].iov_len ? pwritev2(fd, &first, 1, at, flags)
						      : pwritev2(fd, parts, n, at, flags);
}

HEAD(int, fault_call_timer_create, (clockid_t clock, struct sigevent *event, timer_t *timer))
{
	static const struct fault_call call = { "timer_create", IO, EAGAIN };
	int r = hit(&call, CALLER) ? -1 : timer_create(clock, event, timer);

	if (!r)
		own(*timer, "timer_create", CALLER);
	return r;
}

HEAD(int, fault_both_timer_delete, (timer_t timer))
{
	disown(timer);
	return timer_delete(timer);
}

/* Calls that have no function of their own. */
HEAD(long, fault_call_syscall, (long number, ...))
{
	static const struct fault_call opens = { "openat2", IO, EMFILE };
	static const struct fault_call lists = { "getdents64", IO, EIO };
	va_list args;
	long a[6], r;

	va_start(args, number);
	for (size_t i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if ((number == SYS_openat2 && hit(&opens, CALLER)) ||
		(number == SYS_getdents64 && hit(&lists, CALLER)))
		return -1;
	r = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	return number == SYS_openat2 ? own_fd((int)r, "openat2", CALLER) : r;
}
