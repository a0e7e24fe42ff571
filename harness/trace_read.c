// SPDX-License-Identifier: ISC
/*
 * Traces read record by record. A recording is pcapng.c's packets, first of FILE and then of its tail,
 * taken apart by trace_packet.c and here put together: parts joined, kinds told apart, order and meaning
 * checked. Golden text is trace_text's.
 */
#include "trace_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "err.h"
#include "input.h"
#include "pcapng.h"
#include "trace_packet.h"
#include "trace_tail.h"
#include "trace_text.h"
#include "vm.h"

enum { MODE_BITS = 07777 };

/* Parts of a record that came in several packets. */
struct joined {
	uint8_t *p;
	size_t len, room;
};

/* Records come in this order; nothing goes back. */
enum phase { PHASE_TREE, PHASE_CALLS, PHASE_AFTER, PHASE_PENDING, PHASE_END, PHASE_DONE };

struct trace_reader {
	enum trace_format format;
	char *name;
	struct input in;
	struct trace_header_parts parts;
	enum phase phase;
	uint64_t n_before; /* TRACE_BEFORE records so far */

	struct pcapng pcapng;
	struct trace_tail_view tail;
	struct input tail_in;
	bool in_tail; /* FILE is read to its end */
	uint64_t recovered;
	bool request_taken; /* the last call is the one in flight of the tail */
	struct joined joined_in, joined_out;
	char *stop_text;

	FILE *stream;
	char *blob_dir;
	struct trace_text_reader *text;
};

static int no_memory(const struct trace_reader *r, struct err *err)
{
	return err_set(err, -ENOMEM, "%s: out of memory", r->name);
}

/* The one form of complaints about bytes. */
__attribute__((format(printf, 4, 5))) static int refuse(
	const struct trace_reader *r, uint64_t offset, struct err *err, const char *format, ...)
{
	char why[sizeof(err->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	if (r->in_tail)
		offset = offset - r->tail.keep + sizeof(struct trace_tail);
	return err_set(err, -EBADMSG, "%.150s%s: at offset %llu: %s", r->name,
		r->in_tail ? ".tail" : "", (unsigned long long)offset, why);
}

/* Puts the tail's packets behind those of FILE. */
static int enter_tail(struct trace_reader *r, struct err *err)
{
	if (r->pcapng.torn || r->in.offset != r->tail.keep)
		return refuse(r, r->pcapng.offset, err,
			"its tail says that %llu bytes are whole; remove %s.tail to read what "
			"there is",
			(unsigned long long)r->tail.keep, r->name);
	input_memory(&r->tail_in, r->tail.data, r->tail.len);
	r->tail_in.offset = r->tail.keep;
	r->pcapng.in = &r->tail_in;
	r->in_tail = true;
	return 0;
}

/* 1 with the next packet of FILE and tail, 0 behind the last. */
static int next_packet(struct trace_reader *r, struct pcapng_packet *packet, struct err *err)
{
	int n = pcapng_next(&r->pcapng, packet);

	if (!n && r->tail.found && !r->in_tail) {
		n = enter_tail(r, err);
		if (n)
			return n;
		n = pcapng_next(&r->pcapng, packet);
	}
	if (!n && r->in_tail && r->pcapng.torn)
		return refuse(r, r->pcapng.offset, err, "ends within a packet");
	if (n == -ENOMEM)
		return no_memory(r, err);
	if (n == -EBADMSG)
		return refuse(r, r->pcapng.offset, err, "%s", r->pcapng.why);
	if (n < 0)
		return err_set(err, n, "%s: %s", r->name, strerrordesc_np(-n));
	return n;
}

static int read_header(struct trace_reader *r, struct err *err)
{
	struct pcapng_packet packet;
	struct trace_why why;
	int n;

	do {
		n = next_packet(r, &packet, err);
		if (n < 0)
			return n;
		if (!n)
			return refuse(r, r->pcapng.offset, err,
				"cut off before its header is whole: its recorder was killed "
				"before the guest ran");
		n = trace_header_decode(&r->parts, packet.data, packet.len, &why);
		if (n == -ENOMEM)
			return no_memory(r, err);
		if (n)
			return refuse(r, packet.offset, err, "header: %s", why.text);
	} while (r->parts.more);
	if (trace_header_check(&r->parts.header, &why))
		return refuse(r, packet.offset, err, "header: %s", why.text);
	if (!r->parts.header.cwd)
		r->parts.header.cwd = strdup("/");
	return r->parts.header.cwd ? 0 : no_memory(r, err);
}

/* Where golden text keeps large data: beside it. */
static char *blobs_beside(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir;

	if (asprintf(&dir, "%.*sblobs", slash ? (int)(slash + 1 - path) : 0, path) < 0)
		return NULL;
	return dir;
}

static int open_text(struct trace_reader *r, const char *path, struct err *err)
{
	struct trace_why why;
	int n;

	r->format = TRACE_BJT;
	r->stream = input_stream(&r->in);
	r->blob_dir = path ? blobs_beside(path) : NULL;
	if (!r->stream || (path && !r->blob_dir))
		return no_memory(r, err);
	n = trace_text_open(&r->text, r->stream, r->name, r->blob_dir, &r->parts.header, err);
	if (n)
		return n;
	if (trace_header_check(&r->parts.header, &why))
		return err_set(err, -EBADMSG, "%s: header: %s", r->name, why.text);
	return 0;
}

static bool is_compressed(const struct input *in)
{
	return in->len >= 4 &&
	       (!memcmp(in->bytes, "\x28\xb5\x2f\xfd", 4) || !memcmp(in->bytes, "\x1f\x8b", 2));
}

/* The tail beside path, or in memory. */
static int read_tail(struct trace_reader *r, const char *path, struct span tail, struct err *err)
{
	char name[sizeof(err->text)];

	if (path)
		return trace_tail_read(&r->tail, path, err);
	if (!tail.p)
		return 0;
	snprintf(name, sizeof(name), "%s.tail", r->name);
	return trace_tail_read_memory(&r->tail, tail.p, tail.len, name, err);
}

/* path: where the tail and blobs are; NULL for what has none, or the tail in memory. */
static int begin(struct trace_reader *r, const char *path, struct span tail, struct err *err)
{
	int n = input_look(&r->in, 4);

	if (n)
		return err_set(err, n, "%s: %s", r->name, strerrordesc_np(-n));
	if (r->in.len >= 4 && !memcmp(r->in.bytes, "bjt ", 4))
		return open_text(r, path, err);
	n = read_tail(r, path, tail, err);
	if (n)
		return n;
	if (r->tail.found)
		input_limit(&r->in, r->tail.keep); /* the rest may be what was there before */
	else if (!r->in.len)
		return refuse(r, 0, err,
			"empty, not a trace, or its recorder was killed before the guest ran");
	else if (is_compressed(&r->in))
		return refuse(r, 0, err, "compressed; unpack it first");
	r->pcapng.in = &r->in;
	return read_header(r, err);
}

static struct trace_reader *create(const char *name)
{
	struct trace_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->name = strdup(name);
	if (r->name)
		return r;
	free(r);
	return NULL;
}

int trace_reader_open(struct trace_reader **out, const char *path, struct err *err)
{
	bool is_stdin = !strcmp(path, "-");
	struct trace_reader *r = create(path);
	int fd, n;

	*out = NULL;
	if (!r)
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? err_set(err, -errno, "%s: %s", path, strerrordesc_np(errno)) : 0;
	if (!n && input_file(&r->in, fd))
		n = no_memory(r, err);
	n = n ? n : begin(r, is_stdin ? NULL : path, (struct span){ 0 }, err);
	if (n)
		trace_reader_close(r);
	else
		*out = r;
	return n;
}

int trace_reader_open_memory(
	struct trace_reader **out, const void *data, size_t len, const char *name, struct err *err)
{
	return trace_reader_open_pair(out, data, len, NULL, 0, name, err);
}

int trace_reader_open_pair(struct trace_reader **out, const void *data, size_t len,
	const void *tail, size_t tail_len, const char *name, struct err *err)
{
	struct trace_reader *r = create(name);
	int n;

	*out = NULL;
	if (!r)
		return err_set(err, -ENOMEM, "%s: out of memory", name);
	input_memory(&r->in, data, len);
	n = begin(r, NULL, (struct span){ tail, tail_len }, err);
	if (n)
		trace_reader_close(r);
	else
		*out = r;
	return n;
}

void trace_reader_close(struct trace_reader *r)
{
	if (!r)
		return;
	trace_text_close(r->text);
	if (r->stream)
		fclose(r->stream);
	free(r->blob_dir);
	trace_header_finish(&r->parts.header);
	trace_tail_finish(&r->tail);
	input_finish(&r->in);
	free(r->joined_in.p);
	free(r->joined_out.p);
	free(r->stop_text);
	free(r->name);
	free(r);
}

enum trace_format trace_reader_format(const struct trace_reader *r)
{
	return r->format;
}

const struct trace_header *trace_reader_header(const struct trace_reader *r)
{
	return &r->parts.header;
}

uint64_t trace_reader_recovered(const struct trace_reader *r)
{
	return r->recovered;
}

bool trace_reader_request_taken(const struct trace_reader *r)
{
	return r->request_taken;
}

static bool append(struct joined *to, struct span part)
{
	size_t room = to->room ? to->room : 4096;
	uint8_t *grown;

	while (room - to->len < part.len)
		room *= 2;
	if (room != to->room) {
		grown = realloc(to->p, room);
		if (!grown)
			return false;
		to->p = grown;
		to->room = room;
	}
	if (part.len)
		memcpy(to->p + to->len, part.p, part.len);
	to->len += part.len;
	return true;
}

/* What each packet of one record brings anew. */
static const uint32_t part_keys = 1u << KEY_N | 1u << KEY_BLOB | 1u << KEY_IN | 1u << KEY_OUT |
				  1u << KEY_DATA | 1u << KEY_MORE;

static bool append_part(struct trace_reader *r, struct trace_packet *p)
{
	struct span in = p->has & 1u << KEY_BLOB ? p->data : p->in;

	p->has &= ~part_keys;
	return append(&r->joined_in, in) && append(&r->joined_out, p->out);
}

/*
 * Reads on until a record that came in parts is whole: 1, or 0 when the recording ends before. Its bytes are
 * then in joined_in and joined_out, and p's spans point there.
 */
static int join(struct trace_reader *r, struct trace_packet *p, struct err *err)
{
	const uint32_t id_key = p->has & (1u << KEY_BLOB | 1u << KEY_N);
	struct pcapng_packet packet;
	uint8_t hash[TRACE_HASH_LEN];
	uint64_t seq = p->seq;
	struct trace_why why;
	int n = 1;

	if (id_key & 1u << KEY_BLOB)
		memcpy(hash, p->blob.p, sizeof(hash));
	r->joined_in.len = r->joined_out.len = 0;
	while (p->more) {
		if (!append_part(r, p))
			return no_memory(r, err);
		p->in = p->out = p->data = (struct span){ 0 };
		p->more = false;
		n = next_packet(r, &packet, err);
		if (n <= 0)
			break;
		if (trace_packet_decode(p, packet.data, packet.len, &why))
			return refuse(r, packet.offset, err, "%s", why.text);
		if ((p->has & (1u << KEY_BLOB | 1u << KEY_N)) != id_key ||
			(id_key & 1u << KEY_N && p->seq != seq) ||
			(id_key & 1u << KEY_BLOB && memcmp(hash, p->blob.p, sizeof(hash)) != 0))
			return refuse(r, packet.offset, err,
				"does not go on with what the packet before began");
	}
	if (!append_part(r, p))
		return no_memory(r, err);
	p->has |= id_key;
	p->in = p->data = (struct span){ r->joined_in.p, r->joined_in.len };
	p->out = (struct span){ r->joined_out.p, r->joined_out.len };
	if (!n)
		p->has &= ~(1u << KEY_R); /* not all of it is there, so it is not finished */
	return n;
}

/* Does the value come out the same when it is put into the field and taken out again? */
static bool fits(const struct hcall_field *field, uint64_t value)
{
	unsigned unused = 64 - 8u * field->size;
	bool is_signed = field->kind == HCALL_INT || field->kind == HCALL_FD;

	if (is_signed)
		return (uint64_t)((int64_t)(value << unused) >> unused) == value;
	return value << unused >> unused == value;
}

static int check_args(const struct trace_reader *r, const struct trace_packet *p,
	const struct trace_record *record, struct err *err)
{
	const struct hcall_row *row = record->row;

	if (p->n_args != trace_row_fields(row))
		return refuse(r, record->where, err, "%s with %zu arguments in place of %zu",
			row->name, p->n_args, trace_row_fields(row));
	for (size_t i = 0; i < p->n_args; i++)
		if (!fits(&row->fields[i], p->args[i]))
			return refuse(r, record->where, err, "%s: argument %s is too large",
				row->name, row->fields[i].name);
	return 0;
}

/* A path among the bytes is a string, or HCALL_STRING_MAX bytes of one. */
static int check_path(
	const struct trace_reader *r, const struct trace_record *record, struct err *err)
{
	if (!trace_row_has(record->row, HCALL_PATH) || !record->in_len)
		return 0;
	if (record->in_len > HCALL_STRING_MAX)
		return refuse(r, record->where, err, "%s: a path of %zu bytes", record->row->name,
			record->in_len);
	if (memchr(record->in, 0, record->in_len))
		return refuse(r, record->where, err, "%s: a NUL in a path", record->row->name);
	return 0;
}

static int make_call(struct trace_reader *r, const struct trace_packet *p,
	struct trace_record *record, struct err *err)
{
	struct err why;

	if (!(p->has & 1u << KEY_NR))
		return refuse(
			r, record->where, err, "not a record: no known keys, or some missing");
	record->row = p->port > UINT16_MAX
			      ? NULL
			      : trace_row_of_port(r->parts.header.abi, (uint16_t)p->port);
	if (!record->row)
		return refuse(
			r, record->where, err, "unknown call 0x%llx", (unsigned long long)p->port);
	record->kind = p->has & 1u << KEY_R ? TRACE_CALL : TRACE_PENDING;
	record->port = (uint16_t)p->port;
	record->seq = p->seq;
	record->rip = p->ip;
	record->duration_ns = p->duration;
	record->result = p->result;
	record->ends = p->ends;
	record->fault = p->fault;
	memcpy(record->args, p->args, sizeof(record->args));
	record->in = p->in.p, record->in_len = p->in.len;
	record->out = p->out.p, record->out_len = p->out.len;
	if (r->in_tail && record->kind == TRACE_CALL)
		r->recovered++;
	if (check_args(r, p, record, err) || check_path(r, record, err))
		return -EBADMSG;
	return trace_record_is_sane(record, &why) ? 0
						  : refuse(r, record->where, err, "%s", why.text);
}

static int make_blob(struct trace_reader *r, const struct trace_packet *p,
	struct trace_record *record, struct err *err)
{
	(void)r, (void)err;
	record->kind = TRACE_BLOB;
	memcpy(record->tree.hash, p->blob.p, TRACE_HASH_LEN);
	record->in = p->data.p, record->in_len = p->data.len;
	return 0;
}

static int make_tree(struct trace_reader *r, const struct trace_packet *p,
	struct trace_record *record, struct err *err)
{
	bool after = p->has & 1u << KEY_AFTER;
	uint64_t kind = after ? p->after : p->before;
	struct tree_entry *e = &record->tree;

	if (!(p->has & 1u << KEY_PATH) || !(p->has & 1u << KEY_MOUNT))
		return refuse(r, record->where, err, "a file without its path and mount");
	if (kind >= TREE_KIND_COUNT || (kind == TREE_NONE && !after))
		return refuse(r, record->where, err, "unknown kind %llu of a file",
			(unsigned long long)kind);
	if (p->mount >= r->parts.header.n_mounts)
		return refuse(r, record->where, err, "there is no mount %llu",
			(unsigned long long)p->mount);
	if (!trace_tree_path_is_sane(p->path.p, p->path.len))
		return refuse(r, record->where, err, "a path that does not stay beneath its mount");
	if (p->mode & ~(uint64_t)MODE_BITS)
		return refuse(r, record->where, err, "mode 0%llo", (unsigned long long)p->mode);
	if (kind == TREE_FILE && !(p->has & 1u << KEY_HASH))
		return refuse(r, record->where, err, "a file without its hash");
	if (kind == TREE_LINK && !trace_tree_target_is_sane(p->target.p, p->target.len))
		return refuse(r, record->where, err, "a link without a sane target");
	if (!after && (p->same > r->n_before || (p->same && kind == TREE_DIR)))
		return refuse(r, record->where, err, "another name of %s",
			kind == TREE_DIR ? "a directory" : "what does not come before it");
	record->kind = after ? TRACE_AFTER : TRACE_BEFORE;
	r->n_before += !after;
	e->same = after ? 0 : p->same;
	e->xdev = !after && p->xdev;
	e->kind = (enum tree_kind)kind;
	e->mount = (uint32_t)p->mount;
	e->mode = (mode_t)p->mode;
	e->size = p->size;
	if (p->has & 1u << KEY_HASH)
		memcpy(e->hash, p->hash.p, TRACE_HASH_LEN);
	e->path = p->path.p, e->path_len = p->path.len;
	e->target = p->target.p, e->target_len = p->target.len;
	return 0;
}

static int make_edit(struct trace_reader *r, const struct trace_packet *p,
	struct trace_record *record, struct err *err)
{
	bool reg = p->has & 1u << KEY_REG;
	struct err why;

	if (reg == !!(p->has & 1u << KEY_GPA))
		return refuse(r, record->where, err,
			"a debugger's write to neither a register nor memory, or to both");
	record->kind = TRACE_EDITED;
	record->edit = (struct trace_edit){ .calls = p->edit,
		.held = !(p->has & 1u << KEY_AT),
		.insns = p->insns,
		.happened = p->happened,
		.rip = p->ip,
		.gpa = p->gpa };
	if (reg)
		record->edit.reg =
			trace_edit_register(p->reg.len ? (const char *)p->reg.p : "", p->reg.len);
	if (reg && !record->edit.reg)
		return refuse(r, record->where, err, "a debugger's write to an unknown register");
	record->out = p->out.p, record->out_len = p->out.len;
	return trace_edit_is_sane(record, &why) ? 0 : refuse(r, record->where, err, "%s", why.text);
}

static int make_end(struct trace_reader *r, const struct trace_packet *p,
	struct trace_record *record, struct err *err)
{
	if (p->stop == VM_RUNNING || p->stop >= VM_STOP_COUNT)
		return refuse(r, record->where, err, "unknown reason %llu to stop",
			(unsigned long long)p->stop);
	if (p->code < INT32_MIN || p->code > INT32_MAX)
		return refuse(r, record->where, err, "exit code %lld", (long long)p->code);
	r->stop_text = strndup(p->text.len ? (const char *)p->text.p : "", p->text.len);
	if (!r->stop_text)
		return no_memory(r, err);
	record->kind = TRACE_END;
	record->seq = p->end;
	record->stop_kind = (int)p->stop;
	record->stop_code = (int)p->code;
	record->stop_text = r->stop_text;
	return 0;
}

/* What tells the kinds of maps apart: the first key that is there. */
static const struct maker {
	enum trace_key key;
	int (*make)(struct trace_reader *r, const struct trace_packet *p,
		struct trace_record *record, struct err *err);
} makers[] = {
	{ KEY_N, make_call },
	{ KEY_BLOB, make_blob },
	{ KEY_TREE, make_tree },
	{ KEY_AFTER, make_tree },
	{ KEY_END, make_end },
	{ KEY_EDIT, make_edit },
};

static const struct maker *find_maker(const struct trace_packet *p)
{
	for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++)
		if (p->has & 1u << makers[i].key)
			return &makers[i];
	return NULL;
}

static int check_phase(struct trace_reader *r, const struct trace_record *record, struct err *err)
{
	static const enum phase phases[TRACE_RECORD_COUNT] = {
		[TRACE_BLOB] = PHASE_TREE,
		[TRACE_BEFORE] = PHASE_TREE,
		[TRACE_CALL] = PHASE_CALLS,
		[TRACE_PENDING] = PHASE_PENDING,
		[TRACE_EDITED] = PHASE_CALLS,
		[TRACE_AFTER] = PHASE_AFTER,
		[TRACE_END] = PHASE_END,
	};
	enum phase phase = phases[record->kind];

	if (phase < r->phase || r->phase >= PHASE_PENDING)
		return refuse(r, record->where, err, "a record that comes too late");
	r->phase = phase;
	return 0;
}

/* The call in flight as the tail has it. 1 when there is one. */
static int make_request(struct trace_reader *r, struct trace_record *record, struct err *err)
{
	const struct trace_tail_request *q = &r->tail.request;
	struct trace_packet p = {
		.has = 1u << KEY_NR, .seq = q->seq, .ip = q->rip, .port = q->port
	};
	const struct hcall_row *row = trace_row_of_port(r->parts.header.abi, q->port);
	int n;

	if (!r->tail.in_flight || r->phase >= PHASE_AFTER)
		return 0;
	p.n_args = row ? trace_row_fields(row) : 0;
	memcpy(p.args, q->args, sizeof(p.args));
	*record = (struct trace_record){ .where = r->pcapng.offset, .time_ns = q->time_ns };
	n = make_call(r, &p, record, err);
	if (n)
		return n;
	r->phase = PHASE_PENDING;
	r->request_taken = true;
	return 1;
}

/* Behind the last packet of a recording that has no end. */
static int make_cut(struct trace_reader *r, struct trace_record *record, struct err *err)
{
	int n = make_request(r, record, err);

	if (n)
		return n;
	*record = (struct trace_record){ .kind = TRACE_CUT, .where = r->pcapng.offset };
	r->phase = PHASE_DONE;
	return 1;
}

/* Nothing may follow the end but blocks that other tools add. */
static int check_nothing_follows(struct trace_reader *r, struct err *err)
{
	struct pcapng_packet packet;
	int n = next_packet(r, &packet, err);

	return n > 0 ? refuse(r, packet.offset, err, "a packet behind the end") : n;
}

static int next_recorded(struct trace_reader *r, struct trace_record *record, struct err *err)
{
	const struct maker *maker;
	struct pcapng_packet packet;
	struct trace_packet p = { 0 };
	struct trace_why why;
	int n;

	if (r->phase == PHASE_DONE)
		return 0;
	if (r->phase == PHASE_END)
		return check_nothing_follows(r, err);
	n = next_packet(r, &packet, err);
	if (n <= 0)
		return n ? n : make_cut(r, record, err);
	*record = (struct trace_record){ .where = packet.offset, .time_ns = packet.time_ns };
	if (trace_packet_decode(&p, packet.data, packet.len, &why))
		return refuse(r, packet.offset, err, "%s", why.text);
	maker = find_maker(&p);
	if (!maker)
		return 2; /* a map of another kind: skipped */
	n = p.more && p.has & (1u << KEY_N | 1u << KEY_BLOB) ? join(r, &p, err) : 1;
	if (n < 0)
		return n;
	if (!n && !(p.has & 1u << KEY_N))
		return make_cut(r, record, err);
	n = maker->make(r, &p, record, err);
	if (!n)
		n = check_phase(r, record, err);
	return n ? n : 1;
}

int trace_reader_next(struct trace_reader *r, struct trace_record *record, struct err *err)
{
	int n;

	if (r->format == TRACE_BJT)
		return trace_text_next(r->text, record, err);
	do
		n = next_recorded(r, record, err);
	while (n == 2);
	return n;
}

int trace_reader_rest(struct trace_reader *r, struct err *err)
{
	struct trace_record record;
	int n;

	do
		n = trace_reader_next(r, &record, err);
	while (n > 0);
	return n;
}
