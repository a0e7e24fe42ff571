// SPDX-License-Identifier: ISC
/* FILE.tail read, and folded into FILE. */
#include "trace_tail.h"

#include <cbor.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "err.h"
#include "trace_read.h"

enum { DATA_MAX = 64 << 20, TRIES = 100 };

void trace_tail_finish(struct trace_tail_view *view)
{
	free(view->data);
	*view = (struct trace_tail_view){ 0 };
}

static char *tail_path(const char *path)
{
	char *tail;

	return asprintf(&tail, "%s.tail", path) < 0 ? NULL : tail;
}

/* A tail: a file, or bytes in memory. */
struct source {
	int fd;
	const uint8_t *bytes; /* NULL: a file */
	size_t len;           /* of them */
};

static size_t copy_at(const struct source *s, void *buf, size_t len, size_t at)
{
	size_t n = at < s->len ? s->len - at : 0;

	n = n < len ? n : len;
	if (n)
		memcpy(buf, s->bytes + at, n);
	return n;
}

/* Bytes read, fewer only at the end of the tail; or -errno. */
static ssize_t read_at(const struct source *s, void *buf, size_t len, off_t at)
{
	size_t done = 0;
	ssize_t n;

	if (s->bytes)
		return (ssize_t)copy_at(s, buf, len, (size_t)at);
	while (done < len) {
		n = pread(s->fd, (uint8_t *)buf + done, len - done, at + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static bool is_zero(const void *p, size_t len)
{
	const uint8_t *bytes = p;

	for (size_t i = 0; i < len; i++)
		if (bytes[i])
			return false;
	return true;
}

bool trace_tail_in_the_making(const struct trace_tail *head, size_t len)
{
	return is_zero(head, len) || (len == sizeof(*head) && head->request.at == UINT64_MAX &&
					     is_zero(head->magic, sizeof(head->magic)));
}

/* 1 with the fixed part; 0 for a tail in the making; -errno with err. */
static int read_head(
	const struct source *s, struct trace_tail *head, const char *name, struct err *err)
{
	ssize_t n = read_at(s, head, sizeof(*head), 0);

	if (n < 0)
		return err_set(err, (int)n, "%s: %s", name, strerrordesc_np((int)-n));
	if (trace_tail_in_the_making(head, (size_t)n))
		return 0;
	if ((size_t)n < sizeof(*head) ||
		memcmp(head->magic, TRACE_TAIL_MAGIC, sizeof(head->magic)) != 0)
		return err_set(err, -EBADMSG,
			"%s: at offset 0: not the tail of a recording; move it out of the way",
			name);
	return 1;
}

static int size_of(const struct source *s, uint64_t *size)
{
	struct stat st;

	*size = s->len;
	if (s->bytes)
		return 0;
	if (fstat(s->fd, &st))
		return -errno;
	*size = (uint64_t)st.st_size;
	return 0;
}

/* The data that head speaks of. */
static int read_data(const struct source *s, const struct trace_tail *head,
	struct trace_tail_view *view, const char *name, struct err *err)
{
	uint64_t len = head->committed > head->good ? head->committed - head->good : 0;
	uint64_t size;
	ssize_t n = size_of(s, &size);

	if (n)
		return err_set(err, (int)n, "%s: %s", name, strerrordesc_np((int)-n));
	if (len > DATA_MAX || len > size - sizeof(*head))
		return err_set(err, -EBADMSG,
			"%s: at offset 8: claims %llu bytes of packets, more than it holds", name,
			(unsigned long long)len);
	free(view->data);
	view->data = malloc(len ? len : 1);
	if (!view->data)
		return err_set(err, -ENOMEM, "%s: out of memory", name);
	n = read_at(s, view->data, len, sizeof(*head));
	if (n < 0 || (uint64_t)n < len)
		return err_set(err, n < 0 ? (int)n : -EBADMSG, "%s: cannot be read whole", name);
	view->len = len;
	view->keep = head->good < head->committed ? head->good : head->committed;
	return 0;
}

/*
 * A recorder that lives goes on while we look. The data only grows until `good` moves, so what was
 * committed before is still there when `good` is the same behind it.
 */
static int read_tail(
	const struct source *s, struct trace_tail_view *view, const char *name, struct err *err)
{
	struct trace_tail head, again;
	int r = 0;

	for (int i = 0; i < TRIES; i++) {
		r = read_head(s, &head, name, err);
		if (r <= 0)
			return r;
		r = read_data(s, &head, view, name, err);
		if (!r)
			r = read_head(s, &again, name, err);
		if (r < 0)
			return r;
		if (r && again.good == head.good)
			break;
	}
	view->found = true;
	view->request = head.request;
	view->in_flight = head.request.at == head.committed &&
			  !memcmp(&head.request, &again.request, sizeof(head.request));
	return 0;
}

static int view_source(
	struct trace_tail_view *view, const struct source *s, const char *name, struct err *err)
{
	int r;

	*view = (struct trace_tail_view){ .keep = UINT64_MAX };
	r = read_tail(s, view, name, err);
	if (r)
		trace_tail_finish(view);
	return r;
}

int trace_tail_read_memory(struct trace_tail_view *view, const void *tail, size_t len,
	const char *name, struct err *err)
{
	return view_source(
		view, &(struct source){ .fd = -1, .bytes = tail, .len = len }, name, err);
}

int trace_tail_read(struct trace_tail_view *view, const char *path, struct err *err)
{
	autofree char *name = tail_path(path);
	autoclose int fd = -1;
	struct stat st;

	*view = (struct trace_tail_view){ .keep = UINT64_MAX };
	if (!name)
		return err_set(err, -ENOMEM, "out of memory");
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG))
		return 0;
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", name, strerrordesc_np(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s: not a regular file", name);
	return view_source(view, &(struct source){ .fd = fd }, name, err);
}

static int write_at(int fd, const void *buf, size_t len, uint64_t at)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pwrite(fd, (const uint8_t *)buf + done, len - done, (off_t)(at + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

struct payload {
	uint8_t bytes[160];
	size_t len;
};

static void put_uint(struct payload *p, uint64_t v)
{
	p->len += cbor_encode_uint(v, p->bytes + p->len, sizeof(p->bytes) - p->len);
}

static void put_key(struct payload *p, const char *key)
{
	size_t len = strlen(key);

	p->len += cbor_encode_string_start(len, p->bytes + p->len, sizeof(p->bytes) - p->len);
	memcpy(p->bytes + p->len, key, len);
	p->len += len;
}

/* The call in flight as a packet without "r"; returns the block's length. */
static uint32_t encode_request(
	uint8_t block[256], const struct trace_tail_request *q, size_t n_args)
{
	enum { HEAD = 28, PACKET = 6 };
	struct payload p = { .len = 0 };
	uint32_t len;

	p.len += cbor_encode_map_start(4, p.bytes, sizeof(p.bytes));
	put_key(&p, "a");
	p.len += cbor_encode_array_start(n_args, p.bytes + p.len, sizeof(p.bytes) - p.len);
	for (size_t i = 0; i < n_args; i++)
		put_uint(&p, q->args[i]);
	put_key(&p, "n"), put_uint(&p, q->seq);
	put_key(&p, "ip"), put_uint(&p, q->rip);
	put_key(&p, "nr"), put_uint(&p, q->port);
	len = (uint32_t)(HEAD + ((p.len + 3) & ~(size_t)3) + 4);
	memset(block, 0, 256);
	put32(block, PACKET);
	put32(block + 4, len);
	put32(block + 12, (uint32_t)(q->time_ns >> 32));
	put32(block + 16, (uint32_t)q->time_ns);
	put32(block + 20, (uint32_t)p.len);
	put32(block + 24, (uint32_t)p.len);
	memcpy(block + HEAD, p.bytes, p.len);
	put32(block + len - 4, len);
	return len;
}

struct verdict {
	bool in_flight; /* the last call is the tail's, without a result */
	size_t n_args;
	uint64_t recovered;
};

/* Reads all of FILE and tail first: a tail that makes no sense destroys nothing. */
static int judge(struct verdict *v, const char *path, struct err *err)
{
	struct trace_record record;
	struct trace_reader *reader;
	int r = trace_reader_open(&reader, path, err);

	*v = (struct verdict){ 0 };
	if (r)
		return r;
	if (trace_reader_format(reader) != TRACE_PCAPNG) {
		trace_reader_close(reader);
		return err_set(err, -EINVAL, "%s: golden text, which has no tail", path);
	}
	while ((r = trace_reader_next(reader, &record, err)) > 0)
		if (record.kind == TRACE_PENDING) {
			v->in_flight = trace_reader_request_taken(reader);
			v->n_args = trace_row_fields(record.row);
		}
	v->recovered = trace_reader_recovered(reader);
	trace_reader_close(reader);
	return r;
}

static int fold(int fd, const char *path, const struct trace_tail_view *view,
	const struct verdict *v, struct err *err)
{
	uint8_t block[256];
	struct stat st;
	uint32_t len;
	int r = 0;

	if (fstat(fd, &st) || (uint64_t)st.st_size < view->keep)
		return err_set(err, -EBADMSG, "%s: shorter than its tail says", path);
	if (ftruncate(fd, (off_t)view->keep))
		r = -errno;
	if (!r)
		r = write_at(fd, view->data, view->len, view->keep);
	if (!r && v->in_flight && view->in_flight) {
		len = encode_request(block, &view->request, v->n_args);
		r = write_at(fd, block, len, view->keep + view->len);
	}
	return r ? err_set(err, r, "%s: %s; nothing is lost while %s.tail is there", path,
			   strerrordesc_np(-r), path)
		 : 0;
}

int trace_recover(const char *path, struct err *err)
{
	struct trace_tail_view view;
	autofree char *tail = tail_path(path);
	autoclose int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct verdict verdict;
	struct stat st;
	int r;

	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerrordesc_np(errno));
	if (!tail)
		return err_set(err, -ENOMEM, "out of memory");
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s: not a recording: no regular file", path);
	if (faccessat(AT_FDCWD, tail, F_OK, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? judge(&verdict, path, err)
				       : err_set(err, -errno, "%s: %m", tail);
	if (flock(fd, LOCK_EX | LOCK_NB))
		return err_set(err, -EBUSY,
			"%s: is being written; recover it when its recorder has ended", path);
	r = judge(&verdict, path, err);
	if (!r)
		r = trace_tail_read(&view, path, err);
	if (r)
		return r;
	r = view.found ? fold(fd, path, &view, &verdict, err) : 0;
	trace_tail_finish(&view);
	if (r)
		return r;
	if (unlink(tail))
		return err_set(err, -errno, "%s: %s", tail, strerrordesc_np(errno));
	return 1;
}
