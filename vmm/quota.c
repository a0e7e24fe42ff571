// SPDX-License-Identifier: ISC
/* Bytes of scratch files, counted where they change. */
#include "quota.h"

#include <assert.h>
#include <stddef.h>

static int find(const struct quota *q, ino_t ino)
{
	for (int i = 0; i < q->n; i++)
		if (q->files[i].refs && q->files[i].ino == ino)
			return i;
	return -1;
}

int quota_open(struct quota *q, ino_t ino, uint64_t size)
{
	int i = find(q, ino);

	if (i < 0) {
		for (i = 0; i < q->n && q->files[i].refs; i++)
			;
		assert(i < GUESTFD_MAX); /* a file is open by one descriptor at least */
		if (i == q->n)
			q->n++;
		q->files[i] = (struct quota_file){ .ino = ino, .size = size };
	}
	q->files[i].refs++;
	return i;
}

bool quota_close(struct quota *q, int file)
{
	struct quota_file *f = &q->files[file];

	if (--f->refs)
		return false;
	while (q->n && !q->files[q->n - 1].refs)
		q->n--;
	if (f->unlinked)
		q->bytes_left += f->size;
	return f->unlinked;
}

uint64_t quota_room(const struct quota *q, int file, uint64_t offset, uint64_t len)
{
	uint64_t end = q->files[file].size + q->bytes_left; /* both are below 2^63 */

	if (offset >= end)
		return 0;
	return len < end - offset ? len : end - offset;
}

void quota_wrote(struct quota *q, int file, uint64_t end)
{
	struct quota_file *f = &q->files[file];

	if (end <= f->size)
		return;
	q->bytes_left -= end - f->size;
	f->size = end;
}

void quota_truncate(struct quota *q, ino_t ino, uint64_t size)
{
	int i = find(q, ino);

	q->bytes_left += i < 0 ? size : q->files[i].size;
	if (i >= 0)
		q->files[i].size = 0;
}

bool quota_unlink(struct quota *q, ino_t ino, uint64_t size)
{
	int i = find(q, ino);

	if (i >= 0) {
		q->files[i].unlinked = true;
		return false;
	}
	q->bytes_left += size;
	return true;
}

uint64_t quota_size(const struct quota *q, int file)
{
	return q->files[file].size;
}
