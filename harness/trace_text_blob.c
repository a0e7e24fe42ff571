// SPDX-License-Identifier: ISC
/* Data beside golden text, kept and fetched. */
#include "trace_text_blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "tree.h"

enum { NAME_ROOM = 2 * TRACE_HASH_LEN + 1 };

static void name_of_hash(const uint8_t hash[TRACE_HASH_LEN], char name[NAME_ROOM])
{
	for (size_t i = 0; i < TRACE_HASH_LEN; i++)
		snprintf(name + 2 * i, 3, "%02x", hash[i]);
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int open_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Under another name first: a file that has its own name is whole. */
int text_blob_store(const char *dir, const uint8_t *data, size_t len, uint8_t hash[TRACE_HASH_LEN])
{
	autoclose int dirfd = -1, fd = -1;
	char name[NAME_ROOM], other[NAME_ROOM + 20];
	int r;

	tree_hash(data, len, hash);
	name_of_hash(hash, name);
	snprintf(other, sizeof(other), ".%s.%d", name, getpid());
	if (mkdir(dir, 0777) && errno != EEXIST)
		return -errno;
	dirfd = open_dir(dir);
	if (dirfd < 0)
		return dirfd;
	unlinkat(dirfd, other, 0);
	fd = openat(dirfd, other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	r = write_all(fd, data, len);
	if (!r && renameat(dirfd, other, dirfd, name))
		r = -errno;
	if (r)
		unlinkat(dirfd, other, 0);
	return r;
}

int text_blob_open(const char *dir, const uint8_t hash[TRACE_HASH_LEN], size_t len)
{
	autoclose int dirfd = open_dir(dir), fd = -1;
	char name[NAME_ROOM];
	struct stat st;

	if (dirfd < 0)
		return dirfd;
	name_of_hash(hash, name);
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != len)
		return -EINVAL;
	return take_fd(&fd);
}

int text_blob_read(int fd, const uint8_t hash[TRACE_HASH_LEN], uint8_t *data, size_t len)
{
	uint8_t found[TRACE_HASH_LEN];

	for (size_t done = 0; done < len;) {
		ssize_t n = read(fd, data + done, len - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EBADMSG;
		done += n > 0 ? (size_t)n : 0;
	}
	tree_hash(data, len, found);
	return memcmp(hash, found, sizeof(found)) ? -EBADMSG : 0;
}
