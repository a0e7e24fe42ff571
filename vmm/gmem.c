// SPDX-License-Identifier: ISC
/* Guest memory. Knows no guest, no call, no backend. */
#include "gmem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PAGE = 4096 };

/* A file in memory, which can tell what of it was ever used. -1 when there cannot be one of this size. */
static int make_file(size_t size)
{
	struct rlimit limit;
	int fd;

	/* A file too large would be a signal, and memory has never been one. */
	if (getrlimit(RLIMIT_FSIZE, &limit) ||
		(limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < size))
		return -1;
	fd = memfd_create("guest", MFD_CLOEXEC);
	if (fd >= 0 && ftruncate(fd, (off_t)size)) {
		close(fd);
		return -1;
	}
	return fd;
}

int gmem_init(struct gmem *m, uint64_t gpa, size_t size)
{
	void *base;
	int fd;

	if (!size || size % PAGE || gpa % PAGE || gpa + size < gpa)
		return -EINVAL;
	fd = make_file(size);
	/* Shared, so that there can be a second view of it. */
	base = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
	if (base == MAP_FAILED) {
		if (fd >= 0)
			close(fd);
		return -ENOMEM;
	}
	*m = (struct gmem){ .base = base, .gpa = gpa, .size = size, .file = fd + 1 };
	return 0;
}

void gmem_finish(struct gmem *m)
{
	if (m && m->base)
		munmap(m->base, m->size);
	if (m && m->file)
		close(m->file - 1);
	if (m)
		*m = (struct gmem){ 0 };
}

void *gmem_view(const struct gmem *m, uint64_t gpa, size_t len)
{
	void *at = gmem_span(m, gpa, len), *view;

	if (!at || !len || gpa % PAGE || len % PAGE)
		return NULL;
	view = mremap(at, 0, len, MREMAP_MAYMOVE); /* of nothing: the old one stays */
	return view == MAP_FAILED ? NULL : view;
}

void gmem_view_drop(void *view, size_t len)
{
	if (view)
		munmap(view, len);
}

void *gmem_span(const struct gmem *m, uint64_t gpa, size_t len)
{
	uint64_t off = gpa - m->gpa; /* wraps to a huge value below RAM */

	if (gpa < m->gpa || off > m->size || len > m->size - off)
		return NULL;
	return m->base + off;
}

int gmem_read(const struct gmem *m, uint64_t gpa, void *buf, size_t len)
{
	const void *p = gmem_span(m, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

int gmem_write(const struct gmem *m, uint64_t gpa, const void *buf, size_t len)
{
	void *p = gmem_span(m, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(p, buf, len);
	return 0;
}

int gmem_fill(const struct gmem *m, uint64_t gpa, uint8_t byte, size_t len)
{
	void *p = gmem_span(m, gpa, len);

	if (!p)
		return -EFAULT;
	memset(p, byte, len);
	return 0;
}

ssize_t gmem_read_string(const struct gmem *m, uint64_t gpa, char *buf, size_t size)
{
	uint64_t off = gpa - m->gpa;
	size_t room, n;

	if (gpa < m->gpa || off >= m->size)
		return -EFAULT;
	room = m->size - off < size ? m->size - off : size;
	/* Copy first, measure the copy: the guest may change the bytes in between. */
	memcpy(buf, m->base + off, room);
	n = strnlen(buf, room);
	if (n < room)
		return (ssize_t)n;
	return room < size ? -EFAULT : -ENAMETOOLONG;
}

bool gmem_next_used(const struct gmem *m, uint64_t *gpa, size_t *len)
{
	uint64_t at = *gpa > m->gpa ? *gpa - m->gpa : 0;
	off_t from = (off_t)(at - at % PAGE), to = (off_t)m->size;

	if (at >= m->size)
		return false;
	if (m->file) {
		off_t data = lseek(m->file - 1, from, SEEK_DATA);

		if (data < 0 && errno == ENXIO)
			return false;
		if (data >= 0) {
			from = data;
			data = lseek(m->file - 1, from, SEEK_HOLE);
			to = data > from ? data : to;
		}
	}
	*gpa = m->gpa + (uint64_t)from;
	*len = (size_t)(to - from);
	return true;
}

bool gmem_same(const struct gmem *m, uint64_t gpa, const void *bytes, size_t len)
{
	const void *p = gmem_span(m, gpa, len);

	return p && !memcmp(p, bytes, len);
}
