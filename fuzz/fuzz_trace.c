// SPDX-License-Identifier: ISC
/*
 * Any bytes as a trace; behind a 'P', as payloads of sound packets; behind a 'T', as a file and its tail.
 * Beyond not crashing: a refusal says why in one line; records hold to their contract; a recording whose
 * records are written again reads the same; and what can be read with its tail can be recovered.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi.h"
#include "cpuid_table.h"
#include "err.h"
#include "fuzz/fuzz.h"
#include "trace_read.h"
#include "trace_write.h"
#include "vm.h"

enum { RECORDS_MAX = 4000 };

/* A recording and its tail, as bytes. */
struct input_pair {
	const uint8_t *data, *tail;
	size_t len, tail_len;
};

/* A recording and its tail as files. Kept from one input to the next, for making them costs more than all else. */
static struct file {
	char *path;
	int fd;
	off_t len; /* at most */
} recording = { .fd = -1 }, tail = { .fd = -1 };

static char *dir;

static void remove_files(void)
{
	unlink(recording.path);
	unlink(tail.path);
	rmdir(dir);
}

static void name_files(void)
{
	if (dir)
		return;
	dir = fuzz_directory();
	assert(asprintf(&recording.path, "%s/again", dir) > 0);
	assert(asprintf(&tail.path, "%s.tail", recording.path) > 0);
	atexit(remove_files);
}

static void save(struct file *f, const void *p, size_t len)
{
	if (f->fd < 0)
		f->fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert(f->fd >= 0 && pwrite(f->fd, p, len, 0) == (ssize_t)len);
	if (f->len > (off_t)len)
		assert(!ftruncate(f->fd, (off_t)len));
	f->len = (off_t)len;
}

static bool is_there(const struct file *f)
{
	struct stat st;

	assert(!fstat(f->fd, &st));
	return st.st_nlink;
}

static void check_error(const struct err *err)
{
	assert(err->text[0] && !strchr(err->text, '\n'));
}

static void check_string(const char *s, bool may_be_null)
{
	assert(s || may_be_null);
	if (s)
		assert(strlen(s) < SIZE_MAX / 2);
}

static bool same_cpuid(const struct cpuid_entry *a, const struct cpuid_entry *b)
{
	return a->leaf == b->leaf && a->subleaf == b->subleaf && a->has_subleaf == b->has_subleaf &&
	       a->eax == b->eax && a->ebx == b->ebx && a->ecx == b->ecx && a->edx == b->edx;
}

static void check_header(const struct trace_header *h)
{
	const struct strings *const lists[] = { &h->argv, &h->kernel_args, &h->env };

	assert(h->version >= 1 && h->version <= TRACE_VERSION);
	assert(h->abi && h->abi_version >= 1);
	assert(h->mem_size && !(h->mem_size & 4095) && h->mem_size <= 1ull << 40);
	check_string(h->cwd, false);
	assert(h->cwd[0] == '/');
	check_string(h->program, true);
	check_string(h->cpu, true);
	for (size_t k = 0; k < sizeof(lists) / sizeof(lists[0]); k++)
		for (size_t i = 0; i < lists[k]->n; i++)
			check_string(lists[k]->list[i], false);
	assert(h->n_cpuid <= CPUID_TABLE_MAX);
	for (size_t i = 0; i < h->n_mounts; i++) {
		check_string(h->mounts[i].host, false);
		check_string(h->mounts[i].guest, false);
		assert(h->mounts[i].guest[0] == '/' && !strstr(h->mounts[i].guest, "/../"));
	}
}

/* Every byte is looked at, so that a sanitizer sees those that are not there. */
static void touch(const uint8_t *p, size_t len)
{
	volatile unsigned sum = 0;

	assert(p || !len);
	for (size_t i = 0; i < len; i++)
		sum = sum + p[i];
}

static void check_tree(const struct trace_header *h, const struct trace_record *r)
{
	const struct tree_entry *e = &r->tree;

	assert(e->kind < TREE_KIND_COUNT && (e->kind != TREE_NONE || r->kind == TRACE_AFTER));
	assert(e->mount < h->n_mounts && !(e->mode & ~(mode_t)07777));
	touch(e->path, e->path_len);
	touch(e->target, e->target_len);
	assert(!e->path_len || (e->path[0] != '/' && e->path[e->path_len - 1] != '/'));
	assert(!memmem(e->path, e->path_len, "/../", 4) && !memmem(e->path, e->path_len, "//", 2));
	assert(e->path_len < 2 || memcmp(e->path, "..", 2) != 0 ||
		(e->path_len > 2 && e->path[2] != '/'));
	assert(e->kind != TREE_LINK || e->target_len);
	assert(!e->same || (r->kind == TRACE_BEFORE && e->kind != TREE_DIR));
}

static void check_call(const struct trace_header *h, const struct trace_record *r)
{
	char name[64];
	struct hcall call;
	struct trace_record back = *r;

	assert(r->row && r->row->port == r->port);
	assert(trace_record_is_sane(r, NULL));
	trace_row_name(h, r->row, name, sizeof(name));
	assert(trace_row_of_name(h, name, strlen(name)) == r->row);
	touch(r->in, r->in_len);
	touch(r->out, r->out_len);
	trace_call_of_record(
		&call, r); /* nothing is lost on the way to a machine's call and back */
	trace_record_of_call(&back, &call);
	assert(!memcmp(back.args, r->args, sizeof(r->args)));
}

static void check_record(const struct trace_header *h, const struct trace_record *r)
{
	switch (r->kind) {
	case TRACE_CALL:
	case TRACE_PENDING:
		check_call(h, r);
		break;
	case TRACE_EDITED:
		assert(trace_edit_is_sane(r, NULL));
		touch(r->out, r->out_len);
		break;
	case TRACE_BLOB:
		touch(r->in, r->in_len);
		break;
	case TRACE_BEFORE:
	case TRACE_AFTER:
		check_tree(h, r);
		break;
	case TRACE_END:
		assert(r->stop_kind > VM_RUNNING && r->stop_kind < VM_STOP_COUNT);
		check_string(r->stop_text, false);
		assert(!strchr(r->stop_text, '\n'));
		break;
	default:
		assert(r->kind == TRACE_CUT);
	}
}

static bool same_bytes(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	return a_len == b_len && (!a_len || !memcmp(a, b, a_len));
}

static void check_same(const struct trace_record *a, const struct trace_record *b)
{
	bool is_call = a->kind == TRACE_CALL;

	assert(a->kind == b->kind);
	assert(!is_call || (a->seq == b->seq && a->time_ns == b->time_ns));
	assert(a->duration_ns == b->duration_ns && a->rip == b->rip && a->row == b->row);
	assert(!memcmp(a->args, b->args, sizeof(a->args)) && a->result == b->result);
	assert(a->ends == b->ends && a->fault == b->fault);
	assert(same_bytes(a->in, a->in_len, b->in, b->in_len));
	assert(same_bytes(a->out, a->out_len, b->out, b->out_len));
	assert(a->tree.kind == b->tree.kind && a->tree.mount == b->tree.mount);
	assert(a->kind != TRACE_BLOB || !memcmp(a->tree.hash, b->tree.hash, TRACE_HASH_LEN));
	assert(a->tree.kind != TREE_FILE ||
		(a->tree.size == b->tree.size &&
			!memcmp(a->tree.hash, b->tree.hash, TRACE_HASH_LEN)));
	assert(a->tree.kind == TREE_NONE || a->tree.mode == b->tree.mode);
	assert(a->tree.same == b->tree.same && a->tree.xdev == b->tree.xdev);
	assert(same_bytes(a->tree.path, a->tree.path_len, b->tree.path, b->tree.path_len));
	assert(a->tree.kind != TREE_LINK ||
		same_bytes(a->tree.target, a->tree.target_len, b->tree.target, b->tree.target_len));
	assert(a->edit.calls == b->edit.calls && a->edit.held == b->edit.held);
	assert(a->edit.held ||
		(a->edit.insns == b->edit.insns && a->edit.happened == b->edit.happened));
	assert(a->edit.rip == b->edit.rip && a->edit.reg == b->edit.reg);
	assert(a->edit.reg || a->edit.gpa == b->edit.gpa);
	assert(a->stop_kind == b->stop_kind && a->stop_code == b->stop_code);
}

/* Reads all, putting each record to w when there is one. True when it came to an end without error. */
static bool read_all(struct trace_reader *r, struct trace_writer *w)
{
	const struct trace_header *h = trace_reader_header(r);
	struct trace_record record = { .kind = TRACE_RECORD_COUNT };
	struct err err = { "" };
	int n, records = 0;

	check_header(h);
	while ((n = trace_reader_next(r, &record, &err)) > 0) {
		assert(n == 1 && record.kind < TRACE_RECORD_COUNT);
		check_record(h, &record);
		if (w && record.kind != TRACE_PENDING && record.kind != TRACE_CUT)
			assert(!trace_writer_put(w, &record));
		if (++records == RECORDS_MAX)
			return false;
	}
	if (n < 0)
		check_error(&err);
	else
		assert(record.kind == TRACE_END || record.kind == TRACE_CUT);
	return !n;
}

static void compare(struct trace_reader *a, struct trace_reader *b)
{
	const struct trace_header *h = trace_reader_header(a), *g = trace_reader_header(b);
	struct trace_record x, y;
	struct err err;
	int n;

	assert(h->n_cpuid == g->n_cpuid);
	for (size_t i = 0; i < h->n_cpuid; i++)
		assert(same_cpuid(&h->cpuid[i], &g->cpuid[i]));
	while ((n = trace_reader_next(a, &x, &err)) > 0) {
		if (x.kind == TRACE_PENDING)
			continue; /* belongs to a recorder, and is not written */
		assert(trace_reader_next(b, &y, &err) == 1);
		check_same(&x, &y);
	}
	assert(!n && !trace_reader_next(b, &y, &err));
}

static struct trace_reader *open_again(const uint8_t *data, size_t size)
{
	struct trace_reader *r;
	struct err err = { "" };

	assert(!trace_reader_open_memory(&r, data, size, "fuzz", &err));
	return r;
}

/* What was written to a file; free it. */
static uint8_t *written(int fd, size_t *len)
{
	struct stat st;
	uint8_t *bytes;

	assert(!fstat(fd, &st));
	*len = (size_t)st.st_size;
	bytes = malloc(*len);
	assert(bytes && pread(fd, bytes, *len, 0) == st.st_size);
	return bytes;
}

/* To a file in memory, for a new one costs more than all else. */
static void write_again(const uint8_t *data, size_t size)
{
	static const struct trace_writer_config config = { .no_tail = true };
	static int fd = -1;
	struct trace_reader *r = open_again(data, size), *other;
	struct trace_writer *w;
	struct err err = { "" };
	uint8_t *bytes;
	char path[40];
	size_t len;
	bool whole;

	if (fd < 0)
		fd = memfd_create("again", MFD_CLOEXEC);
	assert(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (trace_writer_open(&w, path, trace_reader_header(r), &config, &err)) {
		trace_reader_close(r); /* a header that is too long for recorders */
		return;
	}
	whole = read_all(r, w);
	trace_reader_close(r);
	assert(!trace_writer_close(w, &err));
	if (!whole)
		return;
	bytes = written(fd, &len);
	other = open_again(bytes, len);
	r = open_again(data, size);
	compare(r, other);
	trace_reader_close(other);
	trace_reader_close(r);
	free(bytes);
}

static void try_memory(const uint8_t *data, size_t size)
{
	enum trace_format format;
	struct trace_reader *r;
	struct err err = { "" };
	bool whole;

	if (trace_reader_open_memory(&r, data, size, "fuzz", &err)) {
		check_error(&err);
		return;
	}
	format = trace_reader_format(r);
	whole = read_all(r, NULL);
	trace_reader_close(r);
	/* Text has a target of its own. */
	if (whole && format == TRACE_PCAPNG)
		write_again(data, size);
}

static uint8_t *copy_of(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* so that one byte too far is seen */

	assert(copy);
	if (size)
		memcpy(copy, data, size);
	return copy;
}

/* Is it a recording that can be read to its end? */
static bool read_pair(const struct input_pair *p)
{
	uint8_t *copy = copy_of(p->data, p->len), *tail_copy = copy_of(p->tail, p->tail_len);
	struct trace_reader *r;
	struct err err = { "" };
	bool whole = false;

	if (!trace_reader_open_pair(&r, copy, p->len, tail_copy, p->tail_len, "fuzz", &err)) {
		whole = read_all(r, NULL) && trace_reader_format(r) == TRACE_PCAPNG;
		trace_reader_close(r);
	} else {
		check_error(&err);
	}
	free(copy);
	free(tail_copy);
	return whole;
}

static void check_recovered(void)
{
	struct trace_reader *r;
	struct err err = { "" };
	uint8_t *bytes;
	size_t len;

	assert(!trace_recover(recording.path, &err));
	bytes = written(recording.fd, &len);
	r = open_again(bytes, len);
	assert(read_all(r, NULL));
	trace_reader_close(r);
	free(bytes);
}

/* What can be read can be recovered, and then reads the same; to what cannot nothing happens. */
static void recover_pair(const struct input_pair *p, bool whole)
{
	struct err err = { "" };
	int r;

	name_files();
	save(&recording, p->data, p->len);
	save(&tail, p->tail, p->tail_len);
	r = trace_recover(recording.path, &err);
	assert((r == 1) == !is_there(&tail) && (r == 1 || err.text[0]));
	assert(r == 1 || !whole);
	if (r == 1) {
		close(tail.fd);
		tail = (struct file){ .path = tail.path, .fd = -1 };
		recording.len = INT64_MAX;
	}
	if (whole)
		check_recovered();
}

/* A file and its tail: from memory, then as files. */
static void try_tail(const uint8_t *data, size_t size)
{
	struct input_pair p = { .data = data + 2 };

	if (size < 2)
		return;
	p.len = (size_t)(data[0] | data[1] << 8);
	p.len = p.len < size - 2 ? p.len : size - 2;
	p.tail = p.data + p.len;
	p.tail_len = size - 2 - p.len;
	recover_pair(&p, read_pair(&p));
}

static size_t put_block(uint8_t *to, uint32_t type, const uint8_t *body, size_t len)
{
	uint32_t whole = (uint32_t)((len + 3) & ~(size_t)3) + 12;

	memset(to, 0, whole);
	memcpy(to, &type, 4);
	memcpy(to + 4, &whole, 4);
	if (len)
		memcpy(to + 8, body, len);
	memcpy(to + whole - 4, &whole, 4);
	return whole;
}

/* Payloads, each behind a byte that says its length, in packets that are well formed. */
static void try_payloads(const uint8_t *data, size_t size)
{
	static const uint8_t section[] = { 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255,
		255, 255, 255, 255 };
	static const uint8_t interface[] = { 147, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0 };
	static const uint8_t header[] =
		"\xa5\x63"
		"abi\x65uhyve\x63"
		"bjt\x01\x63gen\x02\x63mem\x19\x10\x00\x63mnt\x81\x83\x41h\x42/m\x01";
	uint8_t *made = malloc(200 + size * 40), body[20 + 256] = { 0 };
	size_t len, n;

	assert(made);
	len = put_block(made, 0x0a0d0d0a, section, sizeof(section));
	len += put_block(made + len, 1, interface, sizeof(interface));
	body[12] = body[16] = sizeof(header) - 1;
	memcpy(body + 20, header, sizeof(header) - 1);
	len += put_block(made + len, 6, body, 20 + sizeof(header) - 1);
	while (size) {
		n = *data < size ? *data : size - 1;
		body[12] = body[16] = (uint8_t)n;
		memcpy(body + 20, data + 1, n);
		len += put_block(made + len, 6, body, 20 + n);
		data += 1 + n;
		size -= 1 + n;
	}
	made = realloc(made, len); /* so that one byte too far is seen */
	assert(made);
	try_memory(made, len);
	free(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (size && *data == 'T') {
		try_tail(data + 1, size - 1);
		return 0;
	}
	if (size && *data == 'P') {
		try_payloads(data + 1, size - 1);
		return 0;
	}
	copy = copy_of(data, size);
	try_memory(copy, size);
	free(copy);
	return 0;
}

/* Of a bare trace, and of a file and its tail the file. */
int fuzz_print_bjt(const uint8_t *data, size_t size, FILE *out)
{
	size_t len;

	if (size && *data == 'P')
		return -EINVAL;
	if (size < 3 || *data != 'T')
		return print_trace(data, size, out);
	len = (size_t)(data[1] | data[2] << 8);
	return print_trace(data + 3, len < size - 3 ? len : size - 3, out);
}
