// SPDX-License-Identifier: ISC
/* Bytes of a file, a pipe or memory, looked at before they are taken. */
#include "input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 128 << 10 };

int input_file(struct input *in, int fd)
{
	*in = (struct input){ .fd = fd, .limit = UINT64_MAX, .buf = malloc(ROOM), .room = ROOM };
	in->bytes = in->buf;
	if (in->buf)
		return 0;
	close(fd);
	return -ENOMEM;
}

void input_memory(struct input *in, const void *p, size_t len)
{
	*in = (struct input){ .fd = -1, .bytes = p, .len = len, .limit = len };
}

void input_finish(struct input *in)
{
	if (in->buf)
		close(in->fd);
	free(in->buf);
	*in = (struct input){ .fd = -1 };
}

void input_limit(struct input *in, uint64_t limit)
{
	if (limit < in->limit)
		in->limit = limit;
	if (in->len > in->limit)
		in->len = (size_t)in->limit;
}

/* Moves what is at hand to the front of a buffer that has room for n bytes. */
static int make_room(struct input *in, size_t n)
{
	uint8_t *grown;

	if (in->len)
		memmove(in->buf, in->bytes, in->len);
	in->bytes = in->buf;
	if (n <= in->room)
		return 0;
	grown = realloc(in->buf, n);
	if (!grown)
		return -ENOMEM;
	in->bytes = in->buf = grown;
	in->room = n;
	return 0;
}

static ssize_t read_some(struct input *in)
{
	uint64_t left = in->limit - in->offset - in->len;
	size_t want = in->room - in->len;
	ssize_t n;

	if (want > left)
		want = (size_t)left;
	do
		n = read(in->fd, in->buf + in->len, want);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int input_look(struct input *in, size_t n)
{
	ssize_t got;

	if (in->len >= n || !in->buf)
		return 0;
	if (make_room(in, n))
		return -ENOMEM;
	while (in->len < n) {
		got = read_some(in);
		if (got <= 0)
			return (int)got;
		in->len += (size_t)got;
	}
	return 0;
}

int input_skip(struct input *in, uint64_t n)
{
	while (n) {
		size_t piece;
		int r = input_look(in, 1);

		if (r || !in->len)
			return r ? r : -ENODATA;
		piece = in->len < n ? in->len : (size_t)n;
		in->bytes += piece;
		in->len -= piece;
		in->offset += piece;
		n -= piece;
	}
	return 0;
}

static ssize_t stream_read(void *cookie, char *buf, size_t size)
{
	struct input *in = cookie;
	int r = input_look(in, 1);
	size_t n = in->len < size ? in->len : size;

	if (r) {
		errno = -r;
		return -1;
	}
	if (n)
		memcpy(buf, in->bytes, n);
	input_skip(in, n);
	return (ssize_t)n;
}

FILE *input_stream(struct input *in)
{
	return fopencookie(in, "r", (cookie_io_functions_t){ .read = stream_read });
}
