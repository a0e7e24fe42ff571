// SPDX-License-Identifier: ISC
/*
 * Recordings written. Packets are made in the tail, a shared mapping of FILE.tail, and go to FILE when the
 * tail is full; one store commits each. Knows the format, not what any call means.
 *
 * How the tail works. A recording is one run of bytes, each at its offset in FILE. data[0] of the tail is
 * the byte at `base`; what lies between `base` and `committed` is finished, what follows up to base + used
 * is a call in the making. When there is no room, all of it is written to FILE and `base` moves: unfinished
 * bytes lie beyond what `good` says of FILE, so a kill forgets them. See struct trace_tail.
 */
#include "trace_write.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "abi.h"
#include "cleanup.h"
#include "cpuid_table.h"
#include "err.h"
#include "hcall.h"
#include "output.h"
#include "trace_tail.h"
#include "ticker.h"
#include "vm.h"

/* Large, because writes of a megabyte cost the page cache half as much as those of 256 KiB. */
enum { TAIL_SIZE = 1 << 20 };
/* Blocks of FILE are asked for before they are needed, which is cheaper for file systems. */
enum { AHEAD = 4 << 20 };
/* Wireshark takes no larger packet. What is in one beside strings and data; and how long those may be. */
enum { PACKET_MAX = 256 << 10, PACKET_REST = 1024, STRINGS_MAX = PACKET_MAX - PACKET_REST };
enum { HEADER_PART = 64 << 10 };

static_assert(2 * TRACE_BLOCK_MAX + PACKET_REST <= PACKET_MAX, "the largest packet of a call fits");
static_assert(PACKET_MAX + sizeof(struct trace_tail) <= TAIL_SIZE, "and so does any other");
static_assert(sizeof(struct trace_tail) == 128, "the tail's layout");

/* Bytes that crossed guest memory one way, not yet in a packet. */
struct staged {
	size_t len;
	uint8_t data[TRACE_BLOCK_MAX];
};

struct trace_writer {
	struct trace_sink sink;
	int broken; /* -errno of what could not be written; 0: all is well */
	int fd, tail_fd;
	bool has_tail;
	bool unnamed;    /* FILE has no name yet, */
	char *temp_path; /* or this one */
	struct trace_tail *tail;
	size_t tail_size;
	uint64_t good, committed; /* as in the tail */
	uint64_t base;
	size_t used;
	uint64_t allocated; /* blocks of FILE that are there already, in bytes; a hint */
	uint64_t count;
	struct ticker ticker;
	/* The call in the making. */
	struct trace_record call;
	size_t n_args;
	uint64_t path_at; /* the address of its path, or */
#define NO_PATH UINT64_MAX
	bool begun; /* its first packet has been made */
	bool stopped;
	struct vm_stop stop;
	struct trace_writer_config config;
	struct err error;
	char *path, *tail_path;
	struct staged in, out;
};

static void store(uint64_t *to, uint64_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELEASE);
}

/* FILE ends where it is good, for tools that know no tail; were this to fail, the tail says it too. */
static void cut(struct trace_writer *w)
{
	int r = ftruncate(w->fd, (off_t)w->good);

	(void)r;
}

/* From here on nothing is recorded. The tail keeps what did not fit. */
static int broken(struct trace_writer *w, int error)
{
	w->broken = error;
	err_set(&w->error, error, "%s: %s; the recording ends after %llu calls", w->path,
		strerror(-error), (unsigned long long)w->count);
	cut(w);
	if (w->config.failed)
		w->config.failed(w->config.ctx, w->error.text);
	return error;
}

/* Everything in the tail goes to FILE, but only what is committed counts there. */
static int flush(struct trace_writer *w)
{
	int r;

	if (w->base + w->used > w->allocated) {
		w->allocated = w->base + w->used + AHEAD;
		fallocate(w->fd, FALLOC_FL_KEEP_SIZE, (off_t)w->base, (off_t)w->used + AHEAD);
	}
	r = output_at(w->fd, w->tail->data, w->used, w->base);
	if (r)
		return broken(w, r);
	w->base += w->used;
	w->used = 0;
	if (w->good < w->committed)
		store(&w->tail->good, w->good = w->committed);
	return 0;
}

static size_t room_of(const struct trace_writer *w)
{
	return w->tail_size - sizeof(struct trace_tail);
}

/* Room for a packet of up to len bytes in all, len <= PACKET_MAX; or NULL when writing fails. */
static uint8_t *reserve(struct trace_writer *w, size_t len)
{
	if (room_of(w) - w->used < len && flush(w))
		return NULL;
	if (room_of(w) < len) {
		broken(w, -E2BIG);
		return NULL;
	}
	return w->tail->data + w->used;
}

static void commit(struct trace_writer *w)
{
	if (w->base > w->good)
		store(&w->tail->good, w->good = w->base);
	store(&w->tail->committed, w->committed = w->base + w->used);
}

/* Forgets what is not committed: a call that never came to its end. */
static void roll_back(struct trace_writer *w)
{
	w->begun = false;
	if (w->base > w->committed)
		w->base = w->committed;
	w->used = w->committed - w->base;
}

/* --- pcapng and CBOR ---------------------------------------------------------------------------- */

enum { CBOR_UINT, CBOR_NEGATIVE, CBOR_BYTES, CBOR_TEXT, CBOR_ARRAY, CBOR_MAP, CBOR_TRUE = 0xf5 };
enum { CBOR_FALSE = 0xf4 };
enum { BLOCK_SECTION = 0x0a0d0d0a, BLOCK_INTERFACE = 1, BLOCK_PACKET = 6, LINKTYPE_USER0 = 147 };
enum {
	PACKET_HEAD = 28,
	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	OPTION_IF_NAME = 2,
	OPTION_IF_TSRESOL = 9,
	OPTION_SHB_USERAPPL = 4
};

static inline uint8_t *put_head(uint8_t *p, unsigned major, uint64_t value)
{
	uint64_t big;
	unsigned size;

	*p = (uint8_t)(major << 5);
	if (value < 24) {
		*p |= (uint8_t)value;
		return p + 1;
	}
	size = value <= UINT8_MAX ? 0 : value <= UINT16_MAX ? 1 : value <= UINT32_MAX ? 2 : 3;
	*p |= (uint8_t)(24 + size);
	big = __builtin_bswap64(value << (64 - (8 << size)));
	memcpy(p + 1, &big, sizeof(big)); /* packets are reserved with room to spare */
	return p + 1 + (1u << size);
}

static inline uint8_t *put_uint(uint8_t *p, uint64_t value)
{
	return put_head(p, CBOR_UINT, value);
}

static inline uint8_t *put_int(uint8_t *p, int64_t value)
{
	return value < 0 ? put_head(p, CBOR_NEGATIVE, ~(uint64_t)value)
			 : put_head(p, CBOR_UINT, (uint64_t)value);
}

static inline uint8_t *put_bytes(uint8_t *p, const void *data, size_t len)
{
	p = put_head(p, CBOR_BYTES, len);
	return len ? mempcpy(p, data, len) : p;
}

static inline uint8_t *put_bool(uint8_t *p, bool value)
{
	*p = value ? CBOR_TRUE : CBOR_FALSE;
	return p + 1;
}

/* For keys, which are short and constant. */
static inline uint8_t *put_key(uint8_t *p, const char *key)
{
	size_t len = strlen(key);

	*p = (uint8_t)(CBOR_TEXT << 5 | len);
	return mempcpy(p + 1, key, len);
}

/* Text is UTF-8 without control characters, and not all that we say comes from us. */
static uint8_t *put_text(uint8_t *p, const char *text)
{
	size_t len = strlen(text);

	p = put_head(p, CBOR_TEXT, len);
	for (size_t i = 0; i < len; i++)
		*p++ = text[i] < ' ' || text[i] == 0x7f ? '?' : (uint8_t)text[i];
	return p;
}

static inline uint8_t *put32(uint8_t *p, uint32_t value)
{
	return mempcpy(p, &value, sizeof(value));
}

/* A map with less than 24 keys, which count themselves. */
struct map {
	uint8_t *head, *p;
};

static struct map map_begin(uint8_t *p)
{
	*p = CBOR_MAP << 5;
	return (struct map){ p, p + 1 };
}

static void map_key(struct map *m, const char *key)
{
	++*m->head;
	m->p = put_key(m->p, key);
}

static void map_uint(struct map *m, const char *key, uint64_t value)
{
	map_key(m, key);
	m->p = put_uint(m->p, value);
}

static void map_bytes(struct map *m, const char *key, const void *data, size_t len)
{
	map_key(m, key);
	m->p = put_bytes(m->p, data, len);
}

static void map_text(struct map *m, const char *key, const char *text)
{
	map_key(m, key);
	m->p = put_text(m->p, text);
}

static void map_bool(struct map *m, const char *key, bool value)
{
	map_key(m, key);
	m->p = put_bool(m->p, value);
}

/* A packet's payload begins at packet_begin's result; packet_end frames it, up to end. */
static inline uint8_t *packet_begin(struct trace_writer *w, size_t len)
{
	uint8_t *p = reserve(w, len);

	return p ? p + PACKET_HEAD : NULL;
}

static inline void packet_end(struct trace_writer *w, uint8_t *end, uint64_t time_ns)
{
	uint8_t *start = w->tail->data + w->used, *p = start;
	uint32_t len = (uint32_t)(end - start) - PACKET_HEAD;
	uint32_t padded = (len + 3) & ~3u, block = PACKET_HEAD + padded + 4;

	end = put32(end, 0) - 4 + (padded - len);
	put32(end, block);
	p = put32(p, BLOCK_PACKET);
	p = put32(p, block);
	p = put32(p, 0); /* interface */
	p = put32(p, (uint32_t)(time_ns >> 32));
	p = put32(p, (uint32_t)time_ns);
	p = put32(p, len);
	put32(p, len);
	w->used += block;
}

static uint8_t *put_option(uint8_t *p, uint16_t code, const void *value, size_t len)
{
	uint16_t len16 = (uint16_t)len;

	p = mempcpy(p, &code, sizeof(code));
	p = mempcpy(p, &len16, sizeof(len16));
	p = mempcpy(p, value, len);
	for (; len & 3; len++)
		*p++ = 0;
	return p;
}

/* Closes a block that began at start: the end of its options, its length at both ends. */
static uint8_t *block_end(uint8_t *start, uint8_t *p)
{
	uint32_t len;

	p = put32(p, 0);
	len = (uint32_t)(p - start) + 4;
	put32(start + 4, len);
	return put32(p, len);
}

static int put_section(struct trace_writer *w)
{
	static const char program[] = "belljar " BELLJAR_VERSION;
	uint8_t *start = reserve(w, PACKET_REST), *p = start;

	if (!p)
		return w->broken;
	p = put32(p, BLOCK_SECTION);
	p = put32(p, 0);
	p = put32(p, BYTE_ORDER_MAGIC);
	p = put32(p, 1);                                   /* version 1.0 */
	p = mempcpy(p, &(int64_t){ -1 }, sizeof(int64_t)); /* length unknown */
	p = put_option(p, OPTION_SHB_USERAPPL, program, sizeof(program) - 1);
	p = block_end(start, p);
	w->used += (size_t)(p - start);
	start = p;
	p = put32(p, BLOCK_INTERFACE);
	p = put32(p, 0);
	p = put32(p, LINKTYPE_USER0);
	p = put32(p, 0); /* no limit to packets */
	p = put_option(p, OPTION_IF_NAME, "hcall", 5);
	p = put_option(p, OPTION_IF_TSRESOL, "\x09", 1);
	p = block_end(start, p);
	w->used += (size_t)(p - start);
	return 0;
}

/* --- header ------------------------------------------------------------------------------------- */

/* The elements of a header's arrays that go into one packet. */
struct part {
	size_t from, n;
};
enum { PART_MOUNT, PART_ENV, PART_ARGV, PART_KARG, PART_COUNT };

static size_t array_size(const struct trace_header *h, int array)
{
	return array == PART_MOUNT  ? h->n_mounts
	       : array == PART_ENV  ? h->env.n
	       : array == PART_ARGV ? h->argv.n
				    : h->kernel_args.n;
}

static const struct strings *array_strings(const struct trace_header *h, int array)
{
	return array == PART_ENV ? &h->env : array == PART_ARGV ? &h->argv : &h->kernel_args;
}

static size_t element_size(const struct trace_header *h, int array, size_t i)
{
	if (array == PART_MOUNT)
		return 16 + strlen(h->mounts[i].host) + strlen(h->mounts[i].guest);
	return 8 + strlen(array_strings(h, array)->list[i]);
}

/*
 * The next elements, as many as a packet should have but at least one, and how long they are at most. True when
 * some are left then.
 */
static bool next_parts(const struct trace_header *h, struct part parts[PART_COUNT], size_t *len)
{
	*len = 0;
	for (int a = 0; a < PART_COUNT; a++) {
		parts[a].from += parts[a].n;
		parts[a].n = 0;
	}
	for (int a = 0; a < PART_COUNT; a++) {
		size_t all = array_size(h, a);

		for (size_t i = parts[a].from; i < all; i++) {
			size_t size = element_size(h, a, i);

			if (*len && *len + size > HEADER_PART)
				return true;
			*len += size;
			parts[a].n++;
		}
	}
	return false;
}

static void put_strings(
	struct map *m, const char *key, const struct strings *s, const struct part *part)
{
	if (!part->n)
		return;
	map_key(m, key);
	m->p = put_head(m->p, CBOR_ARRAY, part->n);
	for (size_t i = part->from; i < part->from + part->n; i++)
		m->p = put_bytes(m->p, s->list[i], strlen(s->list[i]));
}

static void put_mounts(struct map *m, const struct trace_header *h, const struct part *part)
{
	if (!part->n)
		return;
	map_key(m, "mnt");
	m->p = put_head(m->p, CBOR_ARRAY, part->n);
	for (size_t i = part->from; i < part->from + part->n; i++) {
		const struct trace_mount *mount = &h->mounts[i];

		m->p = put_head(m->p, CBOR_ARRAY, 3);
		m->p = put_bytes(m->p, mount->host, strlen(mount->host));
		m->p = put_bytes(m->p, mount->guest, strlen(mount->guest));
		m->p = put_uint(m->p, (mount->writable ? 1u : 0) | (mount->may_unlink ? 2u : 0) |
					      (mount->is_file ? 4u : 0) |
					      (mount->no_hardlinks ? 8u : 0));
	}
}

/* What the calls are called, for tools that know no ABI. */
static void put_rows(struct map *m, const struct guest_abi *abi)
{
	map_key(m, "call");
	m->p = put_head(m->p, CBOR_ARRAY, abi->n_rows);
	for (size_t i = 0; i < abi->n_rows; i++) {
		const struct hcall_row *row = &abi->rows[i];
		size_t n = trace_row_fields(row);

		m->p = put_head(m->p, CBOR_ARRAY, 3);
		m->p = put_uint(m->p, row->port);
		m->p = put_text(m->p, row->name);
		m->p = put_head(m->p, CBOR_ARRAY, n);
		for (size_t k = 0; k < n; k++)
			m->p = put_text(m->p, row->fields[k].name);
	}
}

static void put_cpuid(struct map *m, const struct trace_header *h)
{
	map_key(m, "cpuid");
	m->p = put_head(m->p, CBOR_ARRAY, h->n_cpuid);
	for (size_t i = 0; i < h->n_cpuid; i++) {
		const struct cpuid_entry *e = &h->cpuid[i];
		const uint32_t regs[] = { e->eax, e->ebx, e->ecx, e->edx };

		m->p = put_head(m->p, CBOR_ARRAY, e->has_subleaf ? 6 : 5);
		m->p = put_uint(m->p, e->leaf);
		if (e->has_subleaf)
			m->p = put_uint(m->p, e->subleaf);
		for (size_t k = 0; k < sizeof(regs) / sizeof(regs[0]); k++)
			m->p = put_uint(m->p, regs[k]);
	}
}

static void put_limits(struct map *m, struct fileio_limits limits)
{
	map_key(m, "lim");
	m->p = put_head(m->p, CBOR_ARRAY, LIMITS);
	for (size_t i = 0; i < LIMITS; i++)
		m->p = put_uint(m->p, *limit_at(&limits, i));
}

static void put_header_map(struct map *m, const struct trace_header *h,
	const struct part parts[PART_COUNT], bool first, bool more)
{
	if (first) {
		map_text(m, "abi", h->abi->name);
		map_uint(m, "bjt", TRACE_VERSION);
		map_uint(m, "clk", h->boot_time_ns);
		if (h->cpu)
			map_text(m, "cpu", h->cpu);
		map_bytes(m, "cwd", h->cwd, strlen(h->cwd));
	}
	put_strings(m, "env", &h->env, &parts[PART_ENV]);
	if (first) {
		map_uint(m, "gen", (uint64_t)h->abi_version);
		if (fileio_limits_any(&h->limits))
			put_limits(m, h->limits);
		map_uint(m, "mem", h->mem_size);
	}
	put_mounts(m, h, &parts[PART_MOUNT]);
	put_strings(m, "argv", &h->argv, &parts[PART_ARGV]);
	if (first)
		put_rows(m, h->abi);
	put_strings(m, "karg", &h->kernel_args, &parts[PART_KARG]);
	if (more)
		map_bool(m, "more", true);
	if (!first)
		return;
	if (h->partial)
		map_bool(m, "part", true);
	if (h->program)
		map_text(m, "prog", h->program);
	map_uint(m, "seed", h->seed);
	map_bool(m, "tree", h->has_tree);
	if (h->utf8_paths)
		map_bool(m, "utf8", true);
	if (h->n_cpuid)
		put_cpuid(m, h);
	if (h->has_guest_hash)
		map_bytes(m, "guest", h->guest_hash, sizeof(h->guest_hash));
}

/* Room for the names of an ABI's calls and their fields is PACKET_REST several times over. */
enum {
	HEADER_SCALARS = 16 << 10,
	CPUID_ENTRY = 32,
	ELEMENT_MAX = PACKET_MAX - HEADER_PART - HEADER_SCALARS
};

static int check_header(const struct trace_header *h, struct err *err)
{
	size_t scalars = strlen(h->cwd) + (h->cpu ? strlen(h->cpu) : 0) +
			 (h->program ? strlen(h->program) : 0) + 64 * h->abi->n_rows +
			 CPUID_ENTRY * h->n_cpuid;

	if (scalars > HEADER_SCALARS - PACKET_REST)
		return err_set(err, -E2BIG, "a recording's header cannot be that long");
	for (int a = 0; a < PART_COUNT; a++)
		for (size_t i = 0; i < array_size(h, a); i++)
			if (element_size(h, a, i) > ELEMENT_MAX)
				return err_set(err, -E2BIG,
					"an argument, environment entry or mount is too long to be "
					"recorded: %zu bytes, at most %d",
					element_size(h, a, i), ELEMENT_MAX);
	return 0;
}

static int put_header(struct trace_writer *w, const struct trace_header *h)
{
	struct part parts[PART_COUNT] = { { 0 } };
	bool first = true, more = true;

	while (more) {
		struct map map;
		size_t len;
		uint8_t *p;

		more = next_parts(h, parts, &len);
		p = packet_begin(w, (first ? PACKET_REST + HEADER_SCALARS : PACKET_REST) + len);
		if (!p)
			return w->broken;
		map = map_begin(p);
		put_header_map(&map, h, parts, first, more);
		packet_end(w, map.p, ticker_now(&w->ticker));
		first = false;
	}
	return 0;
}

/* --- calls -------------------------------------------------------------------------------------- */

/* What is staged, as a packet of its own: the call's first, last, both, or one between. */
static int put_call(struct trace_writer *w, bool last)
{
	const struct trace_record *c = &w->call;
	bool first = !w->begun;
	uint8_t *p = packet_begin(w, PACKET_REST + w->in.len + w->out.len);

	if (!p)
		return w->broken;
	*p++ = (uint8_t)(CBOR_MAP << 5 |
			 (1 + (first ? 3 : 0) + (w->in.len ? 1 : 0) + (w->out.len ? 1 : 0) +
				 (last ? 2 + c->fault + c->ends : 1)));
	if (first) {
		p = put_head(put_key(p, "a"), CBOR_ARRAY, w->n_args);
		for (size_t i = 0; i < w->n_args; i++)
			p = put_uint(p, c->args[i]);
	}
	if (last)
		p = put_uint(put_key(p, "d"), c->duration_ns);
	p = put_uint(put_key(p, "n"), c->seq);
	if (last)
		p = put_int(put_key(p, "r"), c->result);
	if (w->in.len)
		p = put_bytes(put_key(p, "in"), w->in.data, w->in.len);
	if (first) {
		p = put_uint(put_key(p, "ip"), c->rip);
		p = put_uint(put_key(p, "nr"), c->port);
	}
	if (last && c->fault)
		p = put_bool(put_key(p, "bad"), true);
	if (last && c->ends)
		p = put_bool(put_key(p, "fin"), true);
	if (w->out.len)
		p = put_bytes(put_key(p, "out"), w->out.data, w->out.len);
	if (!last)
		p = put_bool(put_key(p, "more"), true);
	packet_end(w, p, c->time_ns);
	w->begun = true;
	w->in.len = w->out.len = 0;
	return 0;
}

static void stage(struct trace_writer *w, struct staged *s, const uint8_t *data, size_t len)
{
	while (len > sizeof(s->data) - s->len) {
		size_t n = sizeof(s->data) - s->len;

		memcpy(s->data + s->len, data, n);
		s->len += n;
		data += n;
		len -= n;
		if (put_call(w, false))
			return;
	}
	if (len) /* of nothing there may be no address */
		memcpy(s->data + s->len, data, len);
	s->len += len;
}

/* The call has finished, and w->call is filled in. */
static int finish_call(struct trace_writer *w)
{
	int r = put_call(w, true);

	if (r)
		return r;
	commit(w);
	w->count++;
	return 0;
}

static void begin_call(struct trace_writer *w)
{
	roll_back(w);
	w->in.len = w->out.len = 0;
}

/* The question, kept from now on: its `at` is void until all of it is there. */
static void keep_request(struct trace_writer *w)
{
	struct trace_tail_request *q = &w->tail->request;

	store(&q->at, UINT64_MAX);
	atomic_signal_fence(memory_order_seq_cst);
	q->seq = w->call.seq;
	q->rip = w->call.rip;
	q->time_ns = w->call.time_ns;
	memcpy(q->args, w->call.args, sizeof(q->args));
	q->port = w->call.port;
	store(&q->at, w->committed);
}

/* As trace_record_of_call, but the row is walked once, and nothing is looked at that is not known yet. */
static void on_enter(struct trace_writer *w, const struct trace_event *event)
{
	const struct hcall *call = event->call;
	const struct hcall_field *f = call->row->fields;
	size_t n = 0;

	begin_call(w);
	w->path_at = NO_PATH;
	for (; f[n].name; n++) {
		w->call.args[n] = hcall_field_value(call, &f[n]);
		if (f[n].kind == HCALL_PATH)
			w->path_at = w->call.args[n];
	}
	w->n_args = n;
	w->call.seq = call->seq;
	w->call.rip = call->rip;
	w->call.port = call->row->port;
	w->call.time_ns = ticker_now(&w->ticker);
	keep_request(w);
}

static void on_read(struct trace_writer *w, const struct trace_event *event)
{
	const uint8_t *data = event->data;
	size_t len = event->len;

	if (len && event->addr == w->path_at && !data[len - 1])
		len--;
	stage(w, &w->in, data, len);
}

static void on_write(struct trace_writer *w, const struct trace_event *event)
{
	stage(w, &w->out, event->data, event->len);
}

static void on_leave(struct trace_writer *w, const struct trace_event *event)
{
	uint64_t end = ticker_now(&w->ticker);

	w->call.result = event->call->result;
	w->call.ends = event->call->ends;
	w->call.fault = event->call->fault;
	w->call.duration_ns = end > w->call.time_ns ? end - w->call.time_ns : 0;
	finish_call(w);
}

/* A debugger wrote: what is absent from its map says that it was in a call, or no exception was taken. */
static int put_edit(struct trace_writer *w, const struct trace_edit *e, const void *data,
	size_t len, uint64_t time_ns)
{
	struct map map;
	uint8_t *p;

	if (len > TRACE_BLOCK_MAX)
		return -E2BIG;
	begin_call(w);
	p = packet_begin(w, PACKET_REST + len);
	if (!p)
		return w->broken;
	map = map_begin(p);
	if (!e->held)
		map_uint(&map, "at", e->insns);
	if (!e->held && e->happened)
		map_uint(&map, "ex", e->happened);
	if (e->rip)
		map_uint(&map, "ip", e->rip);
	if (!e->reg)
		map_uint(&map, "gpa", e->gpa);
	map_bytes(&map, "out", data, len);
	if (e->reg)
		map_text(&map, "reg", e->reg);
	map_uint(&map, "edit", e->calls);
	packet_end(w, map.p, time_ns);
	commit(w);
	return 0;
}

static void on_edit(struct trace_writer *w, const struct trace_event *event)
{
	put_edit(w, event->edit, event->data, event->len, ticker_now(&w->ticker));
}

static void on_stop(struct trace_writer *w, const struct trace_event *event)
{
	if (event->stop->kind == VM_DEBUG)
		return;
	w->stop = *event->stop;
	w->stopped = true;
}

static void emit(struct trace_sink *sink, const struct trace_event *event)
{
	static void (*const on[TRACE_KIND_COUNT])(
		struct trace_writer *, const struct trace_event *) = {
		[TRACE_ENTER] = on_enter,
		[TRACE_READ] = on_read,
		[TRACE_WRITE] = on_write,
		[TRACE_LEAVE] = on_leave,
		[TRACE_EDIT] = on_edit,
		[TRACE_STOP] = on_stop,
	};
	struct trace_writer *w = (struct trace_writer *)sink;

	if (!w->broken)
		on[event->kind](w, event);
}

/* --- records ------------------------------------------------------------------------------------ */

static int put_record_call(struct trace_writer *w, const struct trace_record *record)
{
	w->call = *record;
	w->n_args = trace_row_fields(record->row);
	begin_call(w);
	stage(w, &w->in, record->in, record->in_len);
	if (!w->broken)
		stage(w, &w->out, record->out, record->out_len);
	return w->broken ? w->broken : finish_call(w);
}

static int put_edited(struct trace_writer *w, const struct trace_record *record)
{
	return put_edit(w, &record->edit, record->out, record->out_len, record->time_ns);
}

static int put_blob(struct trace_writer *w, const struct trace_record *record)
{
	const uint8_t *data = record->in;
	size_t left = record->in_len;

	do {
		size_t n = left < TRACE_BLOCK_MAX ? left : TRACE_BLOCK_MAX;
		uint8_t *p = packet_begin(w, PACKET_REST + n);
		struct map map;

		if (!p)
			return w->broken;
		map = map_begin(p);
		map_bytes(&map, "blob", record->tree.hash, sizeof(record->tree.hash));
		map_bytes(&map, "data", data, n);
		left -= n;
		if (left) {
			data += n;
			map_bool(&map, "more", true);
		}
		packet_end(w, map.p, ticker_now(&w->ticker));
	} while (left);
	commit(w);
	return 0;
}

static int put_entry(struct trace_writer *w, const struct trace_record *record)
{
	const struct tree_entry *e = &record->tree;
	bool before = record->kind == TRACE_BEFORE, file = e->kind == TREE_FILE;
	struct map map;
	uint8_t *p;

	if (e->path_len > STRINGS_MAX || e->target_len > STRINGS_MAX - e->path_len)
		return -E2BIG;
	p = packet_begin(w, PACKET_REST + e->path_len + e->target_len);
	if (!p)
		return w->broken;
	map = map_begin(p);
	if (file)
		map_bytes(&map, "hash", e->hash, sizeof(e->hash));
	if (e->kind != TREE_NONE)
		map_uint(&map, "mode", e->mode);
	map_bytes(&map, "path", e->path, e->path_len);
	if (before && e->same)
		map_uint(&map, "same", e->same);
	if (file)
		map_uint(&map, "size", e->size);
	if (before)
		map_uint(&map, "tree", e->kind);
	if (before && e->xdev)
		map_bool(&map, "xdev", true);
	if (!before)
		map_uint(&map, "after", e->kind);
	map_uint(&map, "mount", e->mount);
	if (e->kind == TREE_LINK)
		map_bytes(&map, "target", e->target, e->target_len);
	packet_end(w, map.p, ticker_now(&w->ticker));
	commit(w);
	return 0;
}

static int put_end(struct trace_writer *w)
{
	uint8_t *p = packet_begin(w, PACKET_REST);
	struct map map;

	if (!p)
		return w->broken;
	map = map_begin(p);
	map_uint(&map, "end", w->count);
	map_key(&map, "code");
	map.p = put_int(map.p, w->stop.code);
	map_uint(&map, "stop", w->stop.kind);
	map_text(&map, "text", w->stop.text);
	packet_end(w, map.p, ticker_now(&w->ticker));
	commit(w);
	return 0;
}

static int keep_end(struct trace_writer *w, const struct trace_record *record)
{
	w->stop = (struct vm_stop){ .kind = (enum vm_stop_kind)record->stop_kind,
		.code = record->stop_code };
	if (record->stop_text)
		snprintf(w->stop.text, sizeof(w->stop.text), "%s", record->stop_text);
	w->stopped = true;
	return 0;
}

int trace_writer_put(struct trace_writer *w, const struct trace_record *record)
{
	static int (*const put[TRACE_RECORD_COUNT])(
		struct trace_writer *, const struct trace_record *) = {
		[TRACE_BLOB] = put_blob,
		[TRACE_BEFORE] = put_entry,
		[TRACE_CALL] = put_record_call,
		[TRACE_EDITED] = put_edited,
		[TRACE_AFTER] = put_entry,
		[TRACE_END] = keep_end,
	};

	if (w->broken)
		return w->broken;
	roll_back(w);
	return put[record->kind] ? put[record->kind](w, record) : -EINVAL;
}

/* --- opening and closing ------------------------------------------------------------------------ */

static void destroy(struct trace_writer *w)
{
	if (w->tail)
		munmap(w->tail, w->tail_size);
	if (w->fd >= 0)
		close(w->fd);
	if (w->tail_fd >= 0)
		close(w->tail_fd);
	if (w->unnamed && w->temp_path && w->fd >= 0)
		unlink(w->temp_path);
	free(w->path);
	free(w->temp_path);
	free(w->tail_path);
	free(w);
}

static int lock(int fd, const char *path, struct err *err)
{
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return 0;
	return err_set(err, -errno,
		errno == EWOULDBLOCK ? "%s: is being recorded to by another process"
				     : "%s: cannot be locked: %m",
		path);
}

/* A new FILE gets its name when it has its header, wherever the file system can do that. */
static int open_new(struct trace_writer *w)
{
	const char *slash = strrchr(w->path, '/');
	autofree char *dir = slash ? strndup(w->path, (size_t)(slash - w->path) + 1) : strdup(".");
	struct stat st;
	int fd = -1;

	if (!lstat(w->path, &st)) /* a link to nowhere */
		return open(w->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
	w->unnamed = true;
	if (dir && !access("/proc/self/fd", X_OK))
		fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	if (fd >= 0 || asprintf(&w->temp_path, "%s.%d", w->path, (int)getpid()) < 0)
		return fd;
	return open(w->temp_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
}

static int give_name(struct trace_writer *w)
{
	char self[32];
	int r;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", w->fd);
	r = w->temp_path ? rename(w->temp_path, w->path)
			 : linkat(AT_FDCWD, self, AT_FDCWD, w->path, AT_SYMLINK_FOLLOW);
	if (r)
		return -errno;
	w->unnamed = false;
	return 0;
}

/* Not truncated yet: what lies there may turn out to be something else. */
static int open_file(struct trace_writer *w, struct err *err)
{
	struct stat st;

	w->fd = open(w->path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (w->fd < 0 && errno == ENOENT)
		w->fd = open_new(w);
	if (w->fd < 0 && errno != ENXIO)
		return err_set(err, -errno, "%s: %m", w->path);
	if (w->fd < 0 || fstat(w->fd, &st) || !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL,
			"%s: is no regular file, and a recording needs one to survive being "
			"killed; "
			"record to a file and copy that",
			w->path);
	return lock(w->fd, w->path, err);
}

/* What a recorder that was killed has left: with its magic, or before it had one. */
static bool is_tail(int fd)
{
	struct trace_tail head = { 0 };
	ssize_t n = read(fd, &head, sizeof(head));

	return n >= 0 && (trace_tail_in_the_making(&head, (size_t)n) ||
				 !memcmp(head.magic, TRACE_TAIL_MAGIC, sizeof(head.magic)));
}

/* A tail from before would be taken for this recording's: it goes first, unless its recorder lives. */
static int remove_tail(struct trace_writer *w, struct err *err)
{
	autoclose int fd =
		open(w->tail_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || !is_tail(fd))
		return err_set(err, -EEXIST,
			"%s: the recording needs that name, and something else is there",
			w->tail_path);
	r = lock(fd, w->path, err);
	if (!r && unlink(w->tail_path) && errno != ENOENT)
		return err_set(err, -errno, "%s: %m", w->tail_path);
	return r;
}

/* Its lock is what keeps two recorders apart as long as FILE has no name. */
static int create_tail(struct trace_writer *w, struct err *err)
{
	struct stat st;
	int r;

	w->tail_fd = open(w->tail_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (w->tail_fd < 0)
		return err_set(err, -errno, "%s: %m", w->tail_path);
	r = lock(w->tail_fd, w->path, err);
	if (!r && (fstat(w->tail_fd, &st) || !st.st_nlink))
		r = err_set(err, -EBUSY, "%s: is being recorded to by another process", w->path);
	w->has_tail = !r;
	return r;
}

static int map_tail(struct trace_writer *w, int flags, struct err *err)
{
	void *p = mmap(NULL, w->tail_size, PROT_READ | PROT_WRITE, flags, w->tail_fd, 0);

	if (p == MAP_FAILED)
		return err_set(err, -errno, "%s: %m", w->tail_path);
	w->tail = p;
	w->tail->request.at = UINT64_MAX;
	return 0;
}

static int open_tail(struct trace_writer *w, bool no_tail, struct err *err)
{
	int r;

	if (no_tail)
		return map_tail(w, MAP_PRIVATE | MAP_ANONYMOUS, err);
	r = remove_tail(w, err);
	if (!r)
		r = create_tail(w, err);
	if (r)
		return r;
	r = posix_fallocate(w->tail_fd, 0, (off_t)w->tail_size);
	if (r)
		return err_set(err, -r, "%s: no room for %zu KiB: %s", w->tail_path,
			w->tail_size >> 10, strerror(r));
	return map_tail(w, MAP_SHARED | MAP_POPULATE, err);
}

static bool is_tmpfs(int fd)
{
	struct statfs st;

	return !fstatfs(fd, &st) && st.f_type == TMPFS_MAGIC;
}

/*
 * The header is made in the tail, which then counts: from that store on the recording is there, whatever FILE
 * still holds. It goes to FILE all the same, so that other tools can open it at any time.
 */
static int put_beginning(struct trace_writer *w, const struct trace_header *header, struct err *err)
{
	int r;

	/* Nothing ahead for a recording that fits into the tail; nor on tmpfs, where it costs. */
	w->allocated = is_tmpfs(w->fd) ? UINT64_MAX : room_of(w);
	r = put_section(w);
	if (!r)
		r = put_header(w, header);
	if (!r) {
		commit(w);
		atomic_signal_fence(memory_order_seq_cst);
		memcpy(w->tail->magic, TRACE_TAIL_MAGIC, sizeof(w->tail->magic));
		r = flush(w);
	}
	if (!r && ftruncate(w->fd, (off_t)w->good))
		r = -errno;
	if (!r && w->unnamed)
		r = give_name(w);
	return r ? err_set(err, r, "%s: %s", w->path, strerror(-r)) : 0;
}

/* What is staged is only looked at as far as it was written, and too large to be cleared for nothing. */
static struct trace_writer *create(const struct trace_writer_config *config)
{
	struct trace_writer *w = malloc(sizeof(*w));

	if (!w)
		return NULL;
	memset(w, 0, offsetof(struct trace_writer, in));
	w->in.len = w->out.len = 0;
	w->sink.emit = emit;
	ticker_init(&w->ticker);
	w->fd = w->tail_fd = -1;
	w->tail_size = config->tail_size ? config->tail_size : TAIL_SIZE;
	if (w->tail_size < sizeof(struct trace_tail))
		w->tail_size = sizeof(struct trace_tail);
	return w;
}

int trace_writer_open(struct trace_writer **out, const char *path,
	const struct trace_header *header, const struct trace_writer_config *config,
	struct err *err)
{
	struct trace_writer *w = create(config);
	int r = -ENOMEM;

	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	w->path = strdup(path);
	if (!w->path || asprintf(&w->tail_path, "%s.tail", path) < 0) {
		w->tail_path = NULL;
		err_set(err, r, "out of memory");
		goto fail;
	}
	r = check_header(header, err);
	if (!r)
		r = open_file(w, err);
	if (!r)
		r = open_tail(w, config->no_tail, err);
	if (!r)
		r = put_beginning(w, header, err);
	if (r)
		goto fail;
	w->config = *config;
	*out = w;
	return 0;
fail:
	if (w->has_tail)
		unlink(w->tail_path);
	destroy(w);
	return r;
}

struct trace_sink *trace_writer_sink(struct trace_writer *w)
{
	return &w->sink;
}

uint64_t trace_writer_count(const struct trace_writer *w)
{
	return w->count;
}

bool trace_writer_broken(const struct trace_writer *w)
{
	return w->broken != 0;
}

/* What is finished goes to FILE, if it can; then the tail is not needed any more. */
static int fold(struct trace_writer *w)
{
	int r;

	roll_back(w);
	r = output_at(w->fd, w->tail->data, w->used, w->base);
	if (r) {
		cut(w);
		return r;
	}
	if (ftruncate(w->fd, (off_t)w->committed))
		return -errno;
	store(&w->tail->good, w->good = w->committed);
	return w->has_tail && unlink(w->tail_path) ? -errno : 0;
}

void trace_writer_cut(struct trace_writer *w)
{
	w->stopped = false;
}

int trace_writer_close(struct trace_writer *w, struct err *err)
{
	int r, folded;

	roll_back(w);
	if (!w->broken && w->stopped)
		put_end(w);
	folded = fold(w);
	r = w->broken ? w->broken : folded;
	if (w->broken && folded)
		err_set(err, r, "%s; keep %s beside it, for the last calls are there",
			w->error.text, w->tail_path);
	else if (w->broken)
		err_set(err, r, "%s", w->error.text);
	else if (folded)
		err_set(err, r, "%s: %s; keep %s beside it", w->path, strerror(-folded),
			w->tail_path);
	destroy(w);
	return r;
}
