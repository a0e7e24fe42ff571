// SPDX-License-Identifier: ISC
/*
 * A guest's files: what each operation means, over the file map and the descriptor table. Rights are
 * decided here, before the host is asked; host errno that no guest expects end here.
 */
#include "fileio.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cleanup.h"
#include "dirlist.h"
#include "err.h"
#include "fileid.h"
#include "filemap.h"
#include "guestfd.h"
#include "hostfs.h"
#include "log.h"
#include "quota.h"

enum {
	FLAG_LARGEFILE = 0100000, /* the kernel's; glibc's is 0 here */
	FLAGS_KNOWN = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK |
		      O_SYNC | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | FLAG_LARGEFILE | O_NOATIME,
	FLAGS_PASSED = O_ACCMODE | O_TRUNC | O_APPEND | O_SYNC | O_NOATIME,
	MODE_PASSED = 0777 & ~022,  /* no set-id, no sticky, umask 022 */
	IO_MAX = 0x7ffff000,        /* as Linux's MAX_RW_COUNT */
	OPEN_TRIES = FILEMAP_TRIES, /* while the host changes what we look at */
	ACCESS_TRIES = 4,           /* that a file may not be opened, before it is believed */
	OWN_FDS = 256,              /* descriptors for everything else in the process */
	DEVICE = 1,                 /* deterministic: what everything lies on, */
	BLOCK = 4096,               /* its blocks, and the size of its directories */
};

const struct fileio_limits fileio_limits_usual = {
	.fds = GUESTFD_MAX,
	.scratch_bytes = 1 << 30,
	.scratch_inodes = 65536,
	.depth = FILEMAP_DEPTH_MAX,
};
const struct fileio_limits fileio_limits_max = {
	.fds = GUESTFD_MAX,
	.scratch_bytes = 1ull << 60,
	.scratch_inodes = 1ull << 60,
	.depth = FILEMAP_DEPTH_MAX,
};

/* What a look must not change. */
struct look {
	const struct hostfs *host;
	struct fileid *ids;
	uint64_t inodes_left;
	struct quota quota;
};

struct fileio {
	struct filemap map;
	struct guestfd_table fds;
	struct quota quota;
	bool utf8_paths;
	struct dirlist list;
	struct fileid *ids; /* deterministic: who is who; else NULL */
	struct timespec clock;
	const volatile sig_atomic_t *stop;
	struct look *look; /* NULL: what is done counts */
};

/* What may reach a guest. EAGAIN and EINTR may not: they mean nothing to it. */
static const int guest_errno[] = { EPERM, ENOENT, EIO, ENXIO, EBADF, ENOMEM, EACCES, EFAULT, EBUSY,
	EEXIST, EXDEV, ENODEV, ENOTDIR, EISDIR, EINVAL, ENFILE, EMFILE, ETXTBSY, EFBIG, ENOSPC,
	ESPIPE, EROFS, EMLINK, EPIPE, ENAMETOOLONG, ENOTEMPTY, ELOOP, EOVERFLOW, EOPNOTSUPP, ESTALE,
	EDQUOT };

static int64_t guest_result(int64_t r)
{
	if (r >= 0)
		return r;
	for (size_t i = 0; i < sizeof(guest_errno) / sizeof(guest_errno[0]); i++)
		if (r == -guest_errno[i])
			return r;
	log_info("files: host error %s becomes EIO", strerrorname_np((int)-r));
	return -EIO;
}

/* So that it is always the guest's own table that is full first. A mapping holds its parents open, too. */
static void raise_limit(const struct fileio_config *config)
{
	rlim_t need = GUESTFD_MAX + FILEMAP_DEPTH_MAX + OWN_FDS;
	struct rlimit limit;

	for (size_t i = 0; i < config->n_mounts; i++)
		for (const char *at = config->mounts[i].guest; *at; at++)
			need += *at == '/';
	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= need)
		return;
	limit.rlim_cur = need < limit.rlim_max ? need : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int be_deterministic(struct fileio *f, uint64_t clock_ns)
{
	int r = fileid_create(&f->ids);

	if (r)
		return r;
	for (int i = 0; i < f->map.tree.n_nodes; i++)
		fileid_learn(f->ids, f->map.nodes[i].fd);
	f->list.ids = f->map.ids = f->ids;
	f->clock = (struct timespec){ .tv_sec = (time_t)(clock_ns / 1000000000),
		.tv_nsec = (long)(clock_ns % 1000000000) };
	return 0;
}

static uint64_t limit_of(uint64_t asked, uint64_t usual, uint64_t max)
{
	uint64_t limit = asked ? asked : usual;

	return limit < max ? limit : max;
}

static struct fileio_limits limits_of(const struct fileio_limits *asked)
{
	const struct fileio_limits *usual = &fileio_limits_usual, *max = &fileio_limits_max;
	struct fileio_limits limits = {
		.fds = limit_of(asked->fds, usual->fds, max->fds),
		.scratch_bytes =
			limit_of(asked->scratch_bytes, usual->scratch_bytes, max->scratch_bytes),
		.scratch_inodes =
			limit_of(asked->scratch_inodes, usual->scratch_inodes, max->scratch_inodes),
		.depth = limit_of(asked->depth, usual->depth, max->depth),
	};

	if (limits.fds < GUESTFD_FIRST)
		limits.fds = GUESTFD_FIRST;
	return limits;
}

static int init(struct fileio *f, const struct fileio_config *config, struct err *err)
{
	struct fileio_limits limits = limits_of(&config->limits);
	int r;

	raise_limit(config);
	r = filemap_init(&f->map,
		&(struct filemap_config){ .mounts = config->mounts,
			.n_mounts = config->n_mounts,
			.scratch_parent = config->scratch_parent,
			.cwd = config->cwd,
			.host = config->host,
			.inodes = limits.scratch_inodes,
			.depth = (int)limits.depth },
		err);
	if (!r && config->deterministic) {
		r = be_deterministic(f, config->clock_ns);
		if (r)
			filemap_finish(&f->map);
	}
	if (r)
		return r;
	guestfd_init(
		&f->fds, f->map.host, (int)limits.fds, config->console_in, config->console_out);
	f->quota.bytes_left = limits.scratch_bytes;
	f->utf8_paths = config->utf8_paths;
	f->stop = config->stop;
	return 0;
}

int fileio_init(struct fileio **out, const struct fileio_config *config, struct err *err)
{
	struct fileio *f = calloc(1, sizeof(*f));
	int r = -ENOMEM;

	if (err)
		err->text[0] = 0;
	if (f)
		r = init(f, config, err);
	if (r) {
		free(f);
		if (err && !err->text[0])
			err_set(err, r, "files: %s", strerror(-r));
		return r;
	}
	*out = f;
	return 0;
}

void fileio_destroy(struct fileio *f)
{
	if (!f)
		return;
	guestfd_finish(&f->fds);
	filemap_finish(&f->map);
	fileid_destroy(f->ids);
	free(f);
}

struct filemap *fileio_map(struct fileio *f)
{
	return &f->map;
}

const struct guestfd *fileio_fd(struct fileio *f, int fd)
{
	return guestfd_get(&f->fds, fd);
}

struct fileio_limits fileio_left(const struct fileio *f)
{
	int used = 0;

	for (size_t i = 0; i < sizeof(f->fds.used) / sizeof(f->fds.used[0]); i++)
		used += __builtin_popcountll(f->fds.used[i]);
	return (struct fileio_limits){
		.fds = (uint64_t)(f->fds.limit - used),
		.scratch_bytes = f->quota.bytes_left,
		.scratch_inodes = f->map.inodes_left,
		.depth = (uint64_t)f->map.max_depth,
	};
}

int fileio_look_begin(struct fileio *f, const struct hostfs *host)
{
	assert(!f->look);
	f->look = malloc(sizeof(*f->look));
	if (!f->look)
		return -ENOMEM;
	*f->look = (struct look){ f->map.host, f->ids, f->map.inodes_left, f->quota };
	f->map.host = host;
	f->ids = f->list.ids = f->map.ids = NULL;
	return 0;
}

void fileio_look_end(struct fileio *f)
{
	f->map.host = f->look->host;
	f->ids = f->list.ids = f->map.ids = f->look->ids;
	f->map.inodes_left = f->look->inodes_left;
	f->quota = f->look->quota;
	free(f->look);
	f->look = NULL;
}

static int add_option(struct fileio_mount *mount, const char *option, size_t len, bool *ro)
{
	static const char *const names[] = { "ro", "rw", "unlink", "submounts", "nohardlinks" };
	bool *const sets[] = { ro, &mount->writable, &mount->may_unlink, &mount->submounts,
		&mount->no_hardlinks };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == len && !memcmp(names[i], option, len)) {
			*sets[i] = true;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_options(struct fileio_mount *mount, const char *options, struct err *err)
{
	bool ro = false;

	for (const char *at = options; *at;) {
		size_t len = strcspn(at, ",");

		if (add_option(mount, at, len, &ro))
			return err_set(err, -EINVAL,
				"unknown option %.*s; say ro, rw, unlink, submounts or nohardlinks",
				(int)len, at);
		at += len;
		at += *at == ',';
	}
	if (ro && mount->writable)
		return err_set(err, -EINVAL, "both ro and rw; say one");
	if (mount->may_unlink && !mount->writable)
		return err_set(err, -EINVAL, "unlink needs rw; say rw,unlink");
	return 0;
}

/* The last colon that is no `\:`, or NULL. */
static char *last_colon(char *text)
{
	for (char *at = text + strlen(text); at-- > text;)
		if (*at == ':' && (at == text || at[-1] != '\\'))
			return at;
	return NULL;
}

/* A copy of a part without the escapes. */
static char *plain_part(const char *text)
{
	char *copy = malloc(strlen(text) + 1), *to = copy;

	for (; copy && *text; text++)
		if (text[0] != '\\' || text[1] != ':')
			*to++ = *text;
	if (copy)
		*to = 0;
	return copy;
}

int fileio_parse_mount(const char *text, struct fileio_mount *mount, struct err *err)
{
	autofree char *host = strdup(text);
	char *guest = host ? last_colon(host) : NULL;
	const char *options = "";
	int r;

	*mount = (struct fileio_mount){ 0 };
	if (!host)
		return err_set(err, -ENOMEM, "out of memory");
	/* The guest's side is absolute, options are not. */
	if (guest && guest[1] != '/' && memchr(host, ':', (size_t)(guest - host))) {
		*guest = 0;
		options = guest + 1;
		guest = last_colon(host);
	}
	if (!guest || guest == host || guest[1] != '/')
		return err_set(err, -EINVAL, "not HOST:GUEST[:OPTS] with GUEST beginning with /");
	*guest++ = 0;
	r = parse_options(mount, options, err);
	if (r)
		return r;
	mount->host = plain_part(host);
	mount->guest = plain_part(guest);
	if (mount->host && mount->guest)
		return 0;
	free((char *)(uintptr_t)mount->host);
	free((char *)(uintptr_t)mount->guest);
	*mount = (struct fileio_mount){ 0 };
	return err_set(err, -ENOMEM, "out of memory");
}

int fileio_check_flags(int flags)
{
	if ((flags & O_TMPFILE) == O_TMPFILE)
		return -EOPNOTSUPP;
	if (flags & ~FLAGS_KNOWN || (flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	if (flags & O_CREAT && flags & O_DIRECTORY)
		return -EINVAL;
	return 0;
}

static bool means_to_write(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
}

static int rwf_of(int flags)
{
	int rwf = flags & O_APPEND ? RWF_APPEND : 0;

	if ((flags & O_SYNC) == O_SYNC)
		return rwf | RWF_SYNC;
	return flags & O_DSYNC ? rwf | RWF_DSYNC : rwf;
}

static struct guestfd file_of(int host, bool owned, int flags)
{
	return (struct guestfd){ .kind = GUESTFD_FILE,
		.readable = (flags & O_ACCMODE) != O_WRONLY,
		.writable = (flags & O_ACCMODE) != O_RDONLY,
		.owned = owned,
		.host = host,
		.rwf = rwf_of(flags),
		.quota = -1,
		.node = FILEMAP_NONE };
}

/* What the host is asked. Deterministic: not what only a file's owner may, for owners are not kept. */
static int passed(const struct fileio *f, int flags)
{
	return flags & FLAGS_PASSED & (f->ids ? ~O_NOATIME : ~0);
}

static int open_directory(
	struct fileio *f, const struct filemap_place *place, int flags, struct guestfd *out)
{
	int fd;

	if (flags & O_CREAT)
		return flags & O_EXCL ? -EEXIST : -EISDIR;
	if (means_to_write(flags))
		return -EISDIR;
	fd = filemap_open(
		&f->map, place, O_RDONLY | O_DIRECTORY | (passed(f, flags) & O_NOATIME), 0);
	if (fd < 0)
		return fd == -ELOOP || fd == -ENOTDIR ? -EAGAIN : fd;
	*out = (struct guestfd){ .kind = GUESTFD_DIR,
		.readable = true,
		.owned = true,
		.host = fd,
		.quota = -1,
		.node = place->kind == FILEMAP_DIR ? place->node : FILEMAP_NONE };
	return 0;
}

static int open_pinned(
	struct fileio *f, const struct filemap_place *place, int flags, struct guestfd *out)
{
	struct stat st;
	int r = 0;

	if (flags & O_CREAT && flags & O_EXCL)
		return -EEXIST;
	if (place->slash || flags & O_DIRECTORY)
		return -ENOTDIR;
	if (means_to_write(flags) && !place->writable)
		return -EROFS;
	if (f->map.nodes[place->in].no_hardlinks) {
		r = f->map.host->fstat(place->dir, &st);
		if (r || st.st_nlink > 1)
			return r ? r : -EACCES;
	}
	if (flags & O_TRUNC)
		r = f->map.host->truncate(place->dir);
	*out = file_of(place->dir, false, flags);
	return r;
}

static bool in_scratch(const struct fileio *f, const struct filemap_place *place)
{
	return f->map.nodes[place->in].scratch;
}

static int create_file(struct fileio *f, const struct filemap_place *place, int flags, mode_t mode,
	struct guestfd *out)
{
	const struct hostfs *host = f->map.host;
	struct stat st;
	int fd;

	if (!place->writable)
		return -EROFS;
	if (in_scratch(f, place) && !f->map.inodes_left)
		return -ENOSPC;
	fd = filemap_open(&f->map, place, passed(f, flags) | O_CREAT | O_EXCL, mode & MODE_PASSED);
	if (fd == -EEXIST && !(flags & O_EXCL))
		return -EAGAIN;
	if (fd < 0)
		return fd;
	*out = file_of(fd, true, flags);
	if ((f->ids || in_scratch(f, place)) && !host->fstat(fd, &st)) {
		if (f->ids)
			fileid_renew(f->ids, st.st_dev, st.st_ino);
		if (in_scratch(f, place)) {
			f->map.inodes_left--;
			out->quota = quota_open(&f->quota, st.st_ino, 0);
		}
	}
	return 0;
}

/* What was opened, looked at again: the host may have put something else there; O_NONBLOCK bore with it. */
static int check_opened(
	struct fileio *f, const struct filemap_place *place, int fd, int flags, struct guestfd *out)
{
	struct stat st;

	if (f->map.host->fstat(fd, &st) || !S_ISREG(st.st_mode))
		return -EAGAIN;
	if (f->map.nodes[place->in].no_hardlinks && st.st_nlink > 1)
		return -EACCES;
	*out = file_of(fd, true, flags);
	if (!in_scratch(f, place))
		return 0;
	if (flags & O_TRUNC)
		quota_truncate(&f->quota, st.st_ino, (uint64_t)place->st.st_size);
	out->quota = quota_open(&f->quota, st.st_ino, (uint64_t)st.st_size);
	return 0;
}

static bool is_regular_no_more(const struct filemap *map, const struct filemap_place *place)
{
	struct filemap_place again = *place;

	if (place->name == place->last)
		again.name = again.last;
	return filemap_look(map, &again) || !again.exists || !S_ISREG(again.st.st_mode);
}

/*
 * What was a regular file a moment ago. A device that came since is EACCES, too, where none may be opened: so
 * that is believed only when it is said of what looks regular some times over. Else -EAGAIN.
 */
static int open_again(const struct filemap *map, const struct filemap_place *place, int flags)
{
	int fd = filemap_open(map, place, flags, 0);

	for (int tries = 0; fd == -EACCES && tries < ACCESS_TRIES; tries++) {
		if (is_regular_no_more(map, place))
			return -EAGAIN;
		fd = filemap_open(map, place, flags, 0);
	}
	return fd;
}

static int open_existing(
	struct fileio *f, const struct filemap_place *place, int flags, struct guestfd *out)
{
	int fd, r;

	if (S_ISLNK(place->st.st_mode))
		return flags & O_DIRECTORY ? -ENOTDIR : -ELOOP;
	if (S_ISDIR(place->st.st_mode))
		return open_directory(f, place, flags, out);
	if (place->slash || flags & O_DIRECTORY)
		return -ENOTDIR;
	if (!S_ISREG(place->st.st_mode))
		return -ENXIO;
	if (means_to_write(flags) && !place->writable)
		return -EROFS;
	if (f->map.nodes[place->in].no_hardlinks && place->st.st_nlink > 1)
		return -EACCES;
	fd = open_again(&f->map, place, passed(f, flags) | O_NONBLOCK);
	if (fd == -ELOOP || (fd == -ENOENT && flags & O_CREAT))
		return -EAGAIN;
	if (fd < 0)
		return fd;
	r = check_opened(f, place, fd, flags, out);
	if (r)
		f->map.host->close(fd);
	return r;
}

/* -EAGAIN: the host has changed what was looked at; look again. */
static int open_place(struct fileio *f, const struct filemap_place *place, int flags, mode_t mode,
	struct guestfd *out)
{
	if (place->kind == FILEMAP_DIR)
		return open_directory(f, place, flags, out);
	if (place->kind == FILEMAP_PINNED)
		return open_pinned(f, place, flags, out);
	if (!place->exists)
		return flags & O_CREAT ? create_file(f, place, flags, mode, out) : -ENOENT;
	if (flags & O_CREAT && flags & O_EXCL)
		return -EEXIST;
	return open_existing(f, place, flags, out);
}

unsigned int fileio_open_want(int flags)
{
	bool follow = !(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);

	return (follow ? FILEMAP_FOLLOW : 0u) | (flags & O_CREAT ? FILEMAP_CREATE : 0u);
}

static int resolve(
	struct fileio *f, const char *path, unsigned int want, struct filemap_place *place)
{
	if (f->utf8_paths && !filemap_path_is_utf8(path))
		return -EINVAL;
	return filemap_resolve(&f->map, path, want, place);
}

int fileio_open(struct fileio *f, const char *path, int flags, mode_t mode)
{
	struct filemap_place place;
	struct guestfd what;
	int r = fileio_check_flags(flags);
	int fd = guestfd_next(&f->fds);

	if (!r && fd < 0)
		r = fd;
	if (r)
		return r;
	r = -EAGAIN;
	for (unsigned tries = 0; r == -EAGAIN && tries < OPEN_TRIES; tries++) {
		filemap_back_off(tries);
		r = resolve(f, path, fileio_open_want(flags), &place);
		if (r)
			break;
		r = open_place(f, &place, flags, mode, &what);
		filemap_leave(&f->map, &place, r != 0);
	}
	if (r)
		return (int)guest_result(r);
	guestfd_set(&f->fds, fd, &what);
	return fd;
}

int fileio_close(struct fileio *f, int fd)
{
	const struct guestfd *what = guestfd_get(&f->fds, fd);

	if (what)
		dirlist_forget(&f->list, what);
	if (what && what->quota >= 0 && quota_close(&f->quota, what->quota))
		f->map.inodes_left++;
	return guestfd_close(&f->fds, fd);
}

/* After a failed host call on a descriptor: 0 to try again, or -errno. */
static int interrupted(const struct fileio *f, const struct guestfd *what, short events)
{
	struct pollfd wait = { .fd = what->host, .events = events };

	/* Somebody may have made our console non-blocking: it is shared. */
	if (errno == EAGAIN && what->kind == GUESTFD_CONSOLE && poll(&wait, 1, -1) >= 0)
		return 0;
	if (errno != EINTR)
		return -errno;
	return f->stop && *f->stop ? -EINTR : 0;
}

/* -EINTR is for our caller; anything else for the guest. */
static ssize_t io_result(ssize_t r)
{
	return r == -EINTR ? r : guest_result(r);
}

ssize_t fileio_read(struct fileio *f, int fd, void *buf, size_t len)
{
	struct guestfd *what = guestfd_get(&f->fds, fd);
	ssize_t n;
	int r;

	if (!what || !what->readable)
		return -EBADF;
	if (what->kind == GUESTFD_DIR)
		return -EISDIR;
	if (what->host < 0)
		return 0;
	if (len > IO_MAX)
		len = IO_MAX;
	do {
		n = what->kind == GUESTFD_FILE ? pread(what->host, buf, len, what->offset)
					       : read(what->host, buf, len);
		r = n < 0 ? interrupted(f, what, POLLIN) : 1;
	} while (!r);
	if (n < 0)
		return io_result(r);
	what->offset += n;
	return n;
}

static ssize_t write_some(struct guestfd *what, const void *buf, size_t len)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	ssize_t n;

	if (what->kind == GUESTFD_CONSOLE)
		return write(what->host, buf, len);
	if (what->rwf & RWF_APPEND) {
		n = pwritev2(what->host, &iov, 1, -1, what->rwf);
		what->offset = n > 0 ? lseek(what->host, 0, SEEK_CUR) : what->offset;
		return n;
	}
	n = pwritev2(what->host, &iov, 1, what->offset, what->rwf);
	if (n > 0)
		what->offset += n;
	return n;
}

/*
 * How many of len bytes may be written now: up to the largest size when deterministic, and as scratch has
 * room. What is appended to a mapped file has the host's limits only. 0 with *r set when there is none.
 */
static size_t room(const struct fileio *f, const struct guestfd *what, size_t len, int *r)
{
	bool append = what->rwf & RWF_APPEND;
	uint64_t at = (uint64_t)what->offset, most = len;

	if (what->kind != GUESTFD_FILE || !len)
		return len;
	if (f->ids && !append && most > FILEIO_SIZE_MAX - at)
		most = at < FILEIO_SIZE_MAX ? FILEIO_SIZE_MAX - at : 0;
	if (!most)
		*r = -EFBIG;
	if (most && what->quota >= 0) {
		if (append)
			at = quota_size(&f->quota, what->quota);
		most = quota_room(&f->quota, what->quota, at, most);
		*r = most ? 0 : -ENOSPC;
	}
	return most;
}

ssize_t fileio_write(struct fileio *f, int fd, const void *buf, size_t len)
{
	struct guestfd *what = guestfd_get(&f->fds, fd);
	size_t done = 0;
	ssize_t n;
	int r = 0;

	if (!what || !what->writable)
		return -EBADF;
	if (len > IO_MAX)
		len = IO_MAX;
	if (what->host < 0)
		return (ssize_t)len;
	len = room(f, what, len, &r);
	while (done < len && !r) {
		n = write_some(what, (const char *)buf + done, len - done);
		if (n > 0)
			done += (size_t)n;
		else
			r = n ? interrupted(f, what, POLLOUT) : -EIO;
	}
	if (what->quota >= 0 && done)
		quota_wrote(&f->quota, what->quota, (uint64_t)what->offset);
	return done ? (ssize_t)done : io_result(r);
}

static int64_t seek_directory(struct fileio *f, struct guestfd *dir, int64_t offset, int whence)
{
	if (whence == SEEK_CUR && __builtin_add_overflow(offset, dir->offset + dir->skip, &offset))
		return -EINVAL;
	if ((whence != SEEK_SET && whence != SEEK_CUR) || offset < 0)
		return -EINVAL;
	if (offset != dir->offset + dir->skip || !offset)
		dirlist_seek(&f->list, dir, offset);
	return offset;
}

/* Deterministic: as the host, but limits and holes depend on its file system. */
static int64_t seek_plain(
	const struct fileio *f, const struct guestfd *what, int64_t offset, int whence)
{
	struct stat st = { 0 };
	int r = whence != SEEK_SET ? f->map.host->fstat(what->host, &st) : 0;

	if (r)
		return r;
	if (whence == SEEK_DATA || whence == SEEK_HOLE) {
		if (offset < 0 || offset >= st.st_size)
			return -ENXIO;
		return whence == SEEK_DATA ? offset : st.st_size;
	}
	if (whence != SEEK_SET && whence != SEEK_END)
		return -EINVAL;
	if (__builtin_add_overflow(offset, st.st_size, &offset) || offset < 0 ||
		offset > FILEIO_SIZE_MAX)
		return -EINVAL;
	return offset;
}

int64_t fileio_lseek(struct fileio *f, int fd, int64_t offset, int whence)
{
	struct guestfd *what = guestfd_get(&f->fds, fd);

	if (!what)
		return -EBADF;
	if (what->kind == GUESTFD_CONSOLE)
		return -ESPIPE;
	if (what->kind == GUESTFD_DIR)
		return seek_directory(f, what, offset, whence);
	if (whence == SEEK_CUR) {
		if (__builtin_add_overflow(offset, what->offset, &offset))
			return -EINVAL;
		whence = SEEK_SET;
	}
	/* The position is ours; the host knows its limits and where data and holes are. */
	if (f->ids) {
		offset = seek_plain(f, what, offset, whence);
	} else {
		offset = lseek(what->host, offset, whence);
		offset = offset < 0 ? -errno : offset;
	}
	if (offset < 0)
		return guest_result(offset);
	what->offset = offset;
	return offset;
}

ssize_t fileio_getdents(struct fileio *f, int fd, void *buf, size_t len)
{
	struct guestfd *what = guestfd_get(&f->fds, fd);

	if (!what)
		return -EBADF;
	if (what->kind != GUESTFD_DIR)
		return -ENOTDIR;
	return guest_result(dirlist_read(&f->list, &f->map, what, buf, len));
}

static int stat_place(const struct fileio *f, const struct filemap_place *place, struct stat *st)
{
	if (place->kind == FILEMAP_PINNED && place->slash)
		return -ENOTDIR;
	if (place->kind != FILEMAP_NAME)
		return f->map.host->fstat(place->dir, st);
	if (!place->exists)
		return -ENOENT;
	if (place->slash && !S_ISDIR(place->st.st_mode))
		return -ENOTDIR;
	*st = place->st;
	return 0;
}

/* Deterministic: an object as it would be on any host. */
static void settle(const struct fileio *f, struct stat *st)
{
	off_t size = S_ISREG(st->st_mode) || S_ISLNK(st->st_mode) ? st->st_size : 0;
	off_t blocks;

	if (S_ISDIR(st->st_mode))
		size = BLOCK;
	blocks = S_ISLNK(st->st_mode) ? 0 : size / BLOCK + (size % BLOCK > 0);
	*st = (struct stat){ .st_dev = DEVICE,
		.st_ino = fileid_number(f->ids, st->st_dev, st->st_ino),
		.st_nlink = st->st_nlink != 0,
		.st_mode = st->st_mode & (S_IFMT | 0777),
		.st_rdev = st->st_rdev,
		.st_size = size,
		.st_blksize = BLOCK,
		.st_blocks = blocks * (BLOCK / 512),
		.st_atim = f->clock,
		.st_mtim = f->clock,
		.st_ctim = f->clock };
}

int fileio_stat(struct fileio *f, const char *path, bool follow, struct stat *st)
{
	struct filemap_place place;
	int r = resolve(f, path, follow ? FILEMAP_FOLLOW : 0, &place);

	if (!r) {
		r = stat_place(f, &place, st);
		if (!r && f->ids)
			settle(f, st);
		filemap_leave(&f->map, &place, false);
	}
	return (int)guest_result(r);
}

int fileio_fstat(struct fileio *f, int fd, struct stat *st)
{
	const struct guestfd *what = guestfd_get(&f->fds, fd);

	if (!what)
		return -EBADF;
	if (what->kind != GUESTFD_CONSOLE) {
		int r = f->map.host->fstat(what->host, st);

		if (!r && f->ids)
			settle(f, st);
		return (int)guest_result(r);
	}
	/* A console is always the same, whatever the host has there. */
	*st = (struct stat){ .st_ino = 1 + (ino_t)fd,
		.st_nlink = 1,
		.st_mode = S_IFCHR | 0620,
		.st_rdev = makedev(5, 1),
		.st_blksize = 1024,
		.st_atim = f->clock,
		.st_mtim = f->clock,
		.st_ctim = f->clock };
	return 0;
}

static int make_directory(struct fileio *f, struct filemap_place *place, mode_t mode)
{
	int r = 0;

	if (place->kind != FILEMAP_NAME || place->dots)
		return -EEXIST;
	if (!place->writable || place->node != FILEMAP_NONE)
		r = filemap_look(&f->map, place);
	if (r || place->exists)
		return r ? r : -EEXIST;
	if (!place->writable)
		return -EROFS;
	if (place->node != FILEMAP_NONE) /* what is mapped here, now or later, is a file */
		return -EACCES;
	if (!in_scratch(f, place))
		return f->map.host->mkdir(place->dir, place->name, mode & MODE_PASSED);
	if (!f->map.inodes_left)
		return filemap_look(&f->map, place) || !place->exists ? -ENOSPC : -EEXIST;
	r = f->map.host->mkdir(place->dir, place->name, mode & MODE_PASSED);
	f->map.inodes_left -= !r;
	return r;
}

int fileio_mkdir(struct fileio *f, const char *path, mode_t mode)
{
	struct filemap_place place;
	int r = resolve(f, path, FILEMAP_PARENT | FILEMAP_MKDIR, &place);

	if (!r) {
		r = make_directory(f, &place, mode);
		if (!r && f->ids && !filemap_look(&f->map, &place) && place.exists)
			fileid_renew(f->ids, place.st.st_dev, place.st.st_ino);
		filemap_leave(&f->map, &place, r != 0);
	}
	return (int)guest_result(r);
}

/* The name belongs to the directory it lies in, not to what is mapped there. */
static int unlink_mapped(const struct filemap *map, struct filemap_place *place)
{
	int r;

	if (!filemap_parent_writable(map, place->node) && !map->nodes[place->node].may_unlink)
		return -EROFS;
	if (place->kind == FILEMAP_DIR)
		return -EISDIR;
	if (place->kind == FILEMAP_NAME) {
		r = filemap_look(map, place);
		if (r || !place->exists)
			return r ? r : -ENOENT;
	}
	if (place->slash)
		return -ENOTDIR;
	if (!map->nodes[place->node].may_unlink)
		return -EBUSY;
	return map->host->unlink(place->dir, place->name, 0);
}

static int unlink_scratch(struct fileio *f, struct filemap_place *place)
{
	int r = filemap_look(&f->map, place);

	if (!r)
		r = f->map.host->unlink(place->dir, place->name, 0);
	if (!r && quota_unlink(&f->quota, place->st.st_ino,
			  S_ISREG(place->st.st_mode) ? (uint64_t)place->st.st_size : 0))
		f->map.inodes_left++;
	return r;
}

static int unlink_place(struct fileio *f, struct filemap_place *place)
{
	int r;

	if (place->dots)
		return -EISDIR;
	if (place->node != FILEMAP_NONE)
		return unlink_mapped(&f->map, place);
	if (!place->writable) {
		r = filemap_look(&f->map, place);
		return r == -EACCES ? r : -EROFS;
	}
	if (place->slash) {
		r = filemap_look(&f->map, place);
		if (r || !place->exists)
			return r ? r : -ENOENT;
		return S_ISDIR(place->st.st_mode) ? -EISDIR : -ENOTDIR;
	}
	if (in_scratch(f, place))
		return unlink_scratch(f, place);
	return f->map.host->unlink(place->dir, place->name, 0);
}

int fileio_unlink(struct fileio *f, const char *path)
{
	struct filemap_place place;
	int r = resolve(f, path, FILEMAP_PARENT, &place);

	if (!r) {
		r = unlink_place(f, &place);
		filemap_leave(&f->map, &place, r != 0);
	}
	return (int)guest_result(r);
}
