/* SPDX-License-Identifier: ISC */
/*
 * A guest's files for any ABI: open, read, write, stat ... over the file map and a table of guest
 * descriptors. Flags, modes, whence and errno are Linux's; every function returns >= 0 or -errno
 * that the guest may see. Knows no ABI and no guest memory; allocates nothing after fileio_init.
 */
#ifndef FILEIO_H
#define FILEIO_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct err;
struct fileio;
struct filemap;
struct guestfd;
struct hostfs;

enum {
	FILEIO_PATH_MAX = 4096, /* with the NUL */
	FILEIO_FDS_MIN = 3,     /* the consoles */
};
/* Bytes of a file, when deterministic: below what any host's file system takes. */
#define FILEIO_SIZE_MAX (1ll << 43)

struct fileio_mount {
	const char *host;  /* a directory or a regular file */
	const char *guest; /* absolute, no `..` */
	bool writable;
	bool may_unlink;   /* a mapped file itself may be unlinked and made again (Uhyve's way) */
	bool submounts;    /* what the host has mounted inside is shown: else it is -EACCES */
	bool no_hardlinks; /* files with more than one name are not opened: -EACCES */
};

/* What a guest may use up; 0: what is usual. */
struct fileio_limits {
	uint64_t fds;            /* descriptors, the three consoles among them; then -EMFILE */
	uint64_t scratch_bytes;  /* lengths of all scratch files together; then -ENOSPC */
	uint64_t scratch_inodes; /* files and directories made in scratch; then -ENOSPC */
	uint64_t depth; /* directories beneath the root; a path that goes deeper: -EDQUOT */
};

/* Is there one that is not as usual? */
static inline bool fileio_limits_any(const struct fileio_limits *limits)
{
	return limits->fds || limits->scratch_bytes || limits->scratch_inodes || limits->depth;
}

/* What is usual, and the most that may be asked for. */
extern const struct fileio_limits fileio_limits_usual, fileio_limits_max;

struct fileio_config {
	const struct fileio_mount *mounts;
	size_t n_mounts;
	const char *scratch_parent; /* where the scratch tree is made; NULL: $TMPDIR or /tmp */
	const char *cwd;            /* where relative guest paths start; NULL: "/" */
	const struct hostfs *host;  /* who makes the system calls; NULL: hostfs_best() */
	bool utf8_paths;            /* a path of the guest's that is not UTF-8 is -EINVAL */
	struct fileio_limits limits;
	int console_in, console_out; /* host descriptors behind guest 0, and 1 and 2; -1: none */
	/*
	 * May be NULL. When a signal interrupts a host call and this is set, read and write return
	 * -EINTR to the caller, which must stop the guest: no guest ever sees that errno.
	 */
	const volatile sig_atomic_t *stop;
	/*
	 * What calls return does not depend on the host's kind of file system, its numbers, clock
	 * or users: inode numbers by first sight (fileid.h), one device, one link, user and group 0,
	 * no set-id and sticky bits, directories of 4096 bytes, files without holes and of at most
	 * FILEIO_SIZE_MAX. What objects are called and what they hold is as ever.
	 */
	bool deterministic;
	uint64_t clock_ns; /* deterministic: every time of every object, in ns since 1970 */
};

/*
 * Opens every mapping and makes the scratch tree: the last time a host path is looked up by name. The
 * process's own limit of open files is raised where it may be, so that the guest's is met first.
 * 0, or -errno with err naming the mapping and what to do.
 */
int fileio_init(struct fileio **out, const struct fileio_config *config, struct err *err);
/* Closes everything but the consoles, removes the scratch tree. Takes NULL. */
void fileio_destroy(struct fileio *f);
/* The map beneath: for who wants to know where paths lead. */
struct filemap *fileio_map(struct fileio *f);
/* What stands behind a descriptor, for who shows it: NULL where there is none. Any number is allowed. */
const struct guestfd *fileio_fd(struct fileio *f, int fd);
/* What of its limits the guest has not used up. */
struct fileio_limits fileio_left(const struct fileio *f);
/*
 * Until fileio_look_end, calls find out what a guest would get and change nothing that it will ever notice: host, which
 * should be without effects (hostfs_dry.h), makes them; what was used up, and the numbers that the deterministic are
 * told, stay as they are. Descriptors opened meanwhile are closed before the end. 0 or -ENOMEM.
 */
int fileio_look_begin(struct fileio *f, const struct hostfs *host);
void fileio_look_end(struct fileio *f);
/* What fileio_open says of flags before it looks at the path: 0 or -errno. */
int fileio_check_flags(int flags);
/* What open(2) with these flags wants of the map: enum filemap_want. */
unsigned int fileio_open_want(int flags);

/*
 * "HOST:GUEST[:OPTS]" taken apart at the last colons; OPTS joins ro (default), rw, unlink, submounts,
 * nohardlinks by commas. `\:` is a colon that takes nothing apart. The strings are the caller's to free.
 */
int fileio_parse_mount(const char *text, struct fileio_mount *mount, struct err *err);

/* The lowest free descriptor >= 3. */
int fileio_open(struct fileio *f, const char *path, int flags, mode_t mode);
/* Closing 0, 1 or 2 does nothing. */
int fileio_close(struct fileio *f, int fd);
ssize_t fileio_read(struct fileio *f, int fd, void *buf, size_t len);
/* Writes all of it unless the host fails; then what was written, or -errno when nothing was. */
ssize_t fileio_write(struct fileio *f, int fd, const void *buf, size_t len);
int64_t fileio_lseek(struct fileio *f, int fd, int64_t offset, int whence);
/*
 * struct linux_dirent64 records: `.`, `..`, then the rest by name, bytewise; 0 at the end; -EINVAL
 * when not one fits.
 */
ssize_t fileio_getdents(struct fileio *f, int fd, void *buf, size_t len);
int fileio_stat(struct fileio *f, const char *path, bool follow, struct stat *st);
int fileio_fstat(struct fileio *f, int fd, struct stat *st);
int fileio_mkdir(struct fileio *f, const char *path, mode_t mode);
int fileio_unlink(struct fileio *f, const char *path);

#endif
