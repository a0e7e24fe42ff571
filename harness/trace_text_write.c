// SPDX-License-Identifier: ISC
/* Records as golden text. Knows no call by name: a row's fields say how it is written. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "abi.h"
#include "abi_uhyve.h"
#include "err.h"
#include "escape.h"
#include "names.h"
#include "session.h" /* SESSION_CLOCK_NS */
#include "trace_text.h"
#include "trace_text_blob.h"
#include "trace_text_parts.h"

/* A stream, or a string of which what does not fit is lost. */
struct out {
	FILE *file;
	char *buf;
	size_t size, used;
};

static void put_bytes(struct out *o, const char *bytes, size_t n)
{
	if (o->file) {
		fwrite_unlocked(bytes, 1, n, o->file);
		return;
	}
	if (n > o->size - o->used)
		n = o->size - o->used;
	memcpy(o->buf + o->used, bytes, n);
	o->used += n;
}

static void put(struct out *o, const char *text)
{
	put_bytes(o, text, strlen(text));
}

static void put_number(struct out *o, uint64_t value, unsigned base)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[value % base];
	} while (value /= base);
	put_bytes(o, digits + at, sizeof(digits) - at);
}

static void put_signed(struct out *o, int64_t value)
{
	if (value < 0)
		put(o, "-");
	put_number(o, value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
}

static void put_octal(struct out *o, uint64_t value)
{
	put(o, value ? "0" : "");
	put_number(o, value, 8);
}

static void put_keyed(struct out *o, const char *key, uint64_t value)
{
	put(o, key);
	put_number(o, value, 10);
}

static void put_hex(struct out *o, const uint8_t *bytes, size_t len)
{
	char pair[2];

	for (size_t i = 0; i < len; i++) {
		pair[0] = "0123456789abcdef"[bytes[i] >> 4];
		pair[1] = "0123456789abcdef"[bytes[i] & 15];
		put_bytes(o, pair, sizeof(pair));
	}
}

static void put_escaped(struct out *o, const uint8_t *bytes, size_t len, bool quoted)
{
	enum { PIECE = 64 };
	char text[4 * PIECE];
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		n += escape_byte(text + n, bytes[i], quoted);
		if (n > sizeof(text) - 4) {
			put_bytes(o, text, n);
			n = 0;
		}
	}
	put_bytes(o, text, n);
}

static void put_quoted(struct out *o, const void *bytes, size_t len)
{
	put(o, "\"");
	put_escaped(o, bytes, len, true);
	put(o, "\"");
}

static void put_string(struct out *o, const char *string)
{
	put_quoted(o, string ? string : "", string ? strlen(string) : 0);
}

static void put_choice(struct out *o, const struct names *names, uint64_t value)
{
	char name[NAME_SHORT_MAX];

	if (name_short(names, value, name))
		put(o, name);
	else
		put_number(o, value, 10);
}

static void put_open_flags(struct out *o, uint64_t flags)
{
	char name[NAME_SHORT_MAX];
	const struct name *row = names_open_flags.rows;

	put_choice(o, &names_access, flags & O_ACCMODE);
	flags &= ~(uint64_t)O_ACCMODE;
	for (size_t i = 0; i < names_open_flags.n; i++, row++) {
		if ((flags & row->value) != row->value)
			continue;
		name_short(&names_open_flags, row->value, name);
		put(o, "+");
		put(o, name);
		flags &= ~row->value;
	}
	if (flags) {
		put(o, "+0x");
		put_number(o, flags, 16);
	}
}

/* A path that could not be read at all. */
static bool path_is_bad(const struct trace_record *r)
{
	return r->fault && !r->in_len && trace_row_has(r->row, HCALL_PATH);
}

static void put_len(struct out *o, const struct trace_record *r, uint64_t value)
{
	bool cap = text_len_is_cap(r->row);

	if (!cap && value == r->in_len)
		return;
	put_keyed(o, cap ? " cap=" : " len=", value);
}

static void put_field(struct out *o, const struct trace_record *r, size_t i)
{
	const struct hcall_field *field = &r->row->fields[i];
	uint64_t value = text_field_value(field, r->args[i]);
	uint8_t byte = (uint8_t)value;

	if (trace_field_is_pointer(field->kind) && field->kind != HCALL_PATH)
		return;
	if (field->kind == HCALL_LEN)
		return put_len(o, r, value);
	put(o, " ");
	switch (field->kind) {
	case HCALL_INT:
	case HCALL_FD:
		return put_signed(o, (int64_t)value);
	case HCALL_PATH:
		return path_is_bad(r) ? put(o, "bad") : put_quoted(o, r->in, r->in_len);
	case HCALL_OPEN_FLAGS:
		return put_open_flags(o, value);
	case HCALL_MODE:
		put(o, "mode=");
		return put_octal(o, value);
	case HCALL_WHENCE:
		return put_choice(o, &names_whence, value);
	case HCALL_STAT_KIND:
		return put_choice(o, &names_stat_kind, value);
	case HCALL_BYTE:
		return put_quoted(o, &byte, 1);
	default:
		return;
	}
}

static void put_result(struct out *o, const struct trace_record *r)
{
	const char *name = NULL;

	if (r->kind == TRACE_PENDING)
		return put(o, " -> ?");
	if (r->ends)
		return;
	put(o, r->masked & TRACE_MASK_RESULT ? " -> ~" : " -> ");
	if (r->result < 0 && r->result >= -4095)
		name = strerrorname_np((int)-r->result);
	if (name)
		put(o, "-");
	if (name)
		put(o, name);
	else
		put_signed(o, r->result);
}

static void put_pointers(struct out *o, const struct trace_record *r)
{
	const char *before = " ptr=0x";

	for (size_t i = 0; r->row->fields[i].name; i++) {
		if (!trace_field_is_pointer(r->row->fields[i].kind))
			continue;
		put(o, before);
		put_number(o, text_field_value(&r->row->fields[i], r->args[i]), 16);
		before = ",0x";
	}
}

/* What shifts. A time is counted from the call before it, unless the clock was set back. */
static void put_full(struct out *o, const struct trace_record *r, uint64_t last_ns)
{
	put_keyed(o, " @n=", r->seq);
	if (last_ns && r->time_ns >= last_ns)
		put_keyed(o, " t=+", r->time_ns - last_ns);
	else
		put_keyed(o, " t=", r->time_ns);
	put_keyed(o, "ns d=", r->duration_ns);
	put(o, "ns ip=0x");
	put_number(o, r->rip, 16);
	put_pointers(o, r);
}

static void put_call(struct out *o, const struct trace_header *header, const struct trace_record *r)
{
	char name[64];

	trace_row_name(header, r->row, name, sizeof(name));
	put(o, name);
	for (size_t i = 0; !r->row->local && r->row->fields[i].name; i++)
		put_field(o, r, i);
	if (r->fault && !path_is_bad(r))
		put(o, " bad");
	put_result(o, r);
}

/* A register's value as a number: most significant digit first, and all of them. */
static void put_edit(struct out *o, const struct trace_record *r)
{
	const struct trace_edit *e = &r->edit;

	put(o, "edit ");
	if (e->held)
		put(o, "held ");
	else
		put_keyed(o, "+", e->insns);
	if (!e->held && e->happened)
		put_keyed(o, "/", e->happened);
	put(o, e->held ? "" : " ");
	put(o, e->reg ? e->reg : "memory");
	put(o, " 0x");
	for (size_t i = r->out_len; e->reg && i--;)
		put_hex(o, r->out + i, 1);
	if (!e->reg)
		put_number(o, e->gpa, 16);
}

static void put_after(struct out *o, const struct trace_record *r)
{
	enum { LINK_MODE = 0777 };
	const struct tree_entry *t = &r->tree;

	put_keyed(o, "after ", t->mount);
	put(o, " ");
	put_quoted(o, t->path, t->path_len);
	put(o, " ");
	put_choice(o, &names_tree, t->kind);
	if (t->kind != TREE_NONE && (t->kind != TREE_LINK || t->mode != LINK_MODE)) {
		put(o, " mode=");
		put_octal(o, t->mode);
	}
	if (t->kind == TREE_FILE) {
		put_keyed(o, " size=", t->size);
		put(o, " sha256=");
		put_hex(o, t->hash, sizeof(t->hash));
	}
	if (t->kind == TREE_LINK) {
		put(o, " ");
		put_quoted(o, t->target, t->target_len);
	}
}

/* Addresses go the way of all that shifts: a relinked guest crashes as it did. */
static void put_without_addresses(struct out *o, const char *text)
{
	enum { SHORTEST = 5 }; /* digits: ports stay */

	put(o, "\"");
	while (*text) {
		size_t digits = strncmp(text, "0x", 2) ? 0 : strspn(text + 2, "0123456789abcdef");
		bool address = digits >= SHORTEST;

		put_escaped(o, (const uint8_t *)text, address ? 2 : 1, true);
		put(o, address ? ".." : "");
		text += address ? 2 + digits : 1;
	}
	put(o, "\"");
}

/* config is NULL for a line alone. */
static void put_end(
	struct out *o, const struct trace_record *r, const struct trace_text_config *config)
{
	put(o, "end");
	if (r->stop_kind != VM_EXITED) {
		put(o, " ");
		put_choice(o, &names_stop, (unsigned)r->stop_kind);
	}
	if (r->stop_code != (config ? config->last.exit_code : 0)) {
		put(o, " code=");
		put_signed(o, r->stop_code);
	}
	if (!r->stop_text || !*r->stop_text)
		return;
	put(o, " ");
	if (config && !config->full)
		put_without_addresses(o, r->stop_text);
	else
		put_string(o, r->stop_text);
}

static bool put_line(struct out *o, const struct trace_header *header, const struct trace_record *r,
	const struct trace_text_config *config)
{
	switch (r->kind) {
	case TRACE_CALL:
	case TRACE_PENDING:
		put_call(o, header, r);
		return true;
	case TRACE_EDITED:
		put_edit(o, r);
		return true;
	case TRACE_AFTER:
		put_after(o, r);
		return true;
	case TRACE_END:
		put_end(o, r, config);
		return true;
	case TRACE_CUT:
		put(o, "cut");
		return true;
	default:
		return false;
	}
}

void trace_text_line(const struct trace_header *header, const struct trace_record *record,
	char *buf, size_t size)
{
	static const char dots[] = "...";
	struct out o = { .buf = buf, .size = size };

	put_line(&o, header, record, NULL);
	if (o.used < size) {
		buf[o.used] = 0;
		return;
	}
	if (size >= sizeof(dots))
		memcpy(buf + size - sizeof(dots), dots, sizeof(dots));
	else if (size)
		buf[size - 1] = 0;
}

static bool is_printable(const uint8_t *data, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += (data[i] >= 0x20 && data[i] < 0x7f) || data[i] == '\n' || data[i] == '\t' ||
		     data[i] == '\r';
	return n * 10 >= len * 7;
}

/* Up to and with the first newline. */
static size_t line_bytes(const uint8_t *data, size_t len)
{
	size_t n = len < TEXT_LINE_BYTES ? len : TEXT_LINE_BYTES;
	const uint8_t *newline = memchr(data, '\n', n);

	return newline ? (size_t)(newline - data) + 1 : n;
}

static void put_text_lines(struct out *o, const char *mark, const uint8_t *data, size_t len)
{
	static const size_t blob_mark = sizeof(TEXT_BLOB_MARK) - 1;

	for (size_t at = 0, n; at < len; at += n) {
		const uint8_t *line = data + at;
		size_t head = 0, tail;

		n = line_bytes(line, len - at);
		put(o, mark);
		put(o, " ");
		if (n >= blob_mark && !memcmp(line, TEXT_BLOB_MARK, blob_mark)) {
			put(o, "\\x");
			put_hex(o, line, 1);
			head = 1;
		}
		tail = line[n - 1] == ' ' && n > head;
		put_escaped(o, line + head, n - head - tail, false);
		put(o, tail ? "\\x20\n" : "\n");
	}
}

static void put_hex_lines(struct out *o, const char *mark, const uint8_t *data, size_t len)
{
	for (size_t at = 0, n; at < len; at += n) {
		n = len - at < TEXT_HEX_BYTES ? len - at : TEXT_HEX_BYTES;
		put(o, mark);
		put(o, "x ");
		put_hex(o, data + at, n);
		put(o, "\n");
	}
}

static void put_time(struct out *o, const struct uhyve_time *t)
{
	char digits[] = "000000000";
	uint32_t nsec = (uint32_t)t->nsec;

	put_signed(o, t->sec);
	if (!nsec)
		return;
	for (size_t i = sizeof(digits) - 1; i--; nsec /= 10)
		digits[i] = (char)('0' + nsec % 10);
	put(o, ".");
	put(o, digits);
}

static void put_attr_value(
	struct out *o, const struct text_attr_field *field, const struct uhyve_attr *attr)
{
	struct uhyve_time time;
	uint64_t value = 0;

	if (field->form == TEXT_TIME) {
		memcpy(&time, (const uint8_t *)attr + field->at, sizeof(time));
		return put_time(o, &time);
	}
	memcpy(&value, (const uint8_t *)attr + field->at, field->size);
	if (field->form == TEXT_OCTAL)
		put_octal(o, value);
	else if (field->form == TEXT_SIGNED)
		put_signed(o, (int64_t)value);
	else
		put_number(o, value, 10);
}

static void put_attr_field(
	struct out *o, const struct text_attr_field *field, const struct uhyve_attr *attr)
{
	put(o, " ");
	put(o, field->name);
	put(o, "=");
	put_attr_value(o, field, attr);
}

void text_attr_value(const struct text_attr_field *field, const struct uhyve_attr *attr,
	char buf[TEXT_VALUE_MAX])
{
	struct out o = { .buf = buf, .size = TEXT_VALUE_MAX - 1 };

	put_attr_value(&o, field, attr);
	buf[o.used] = 0;
}

static bool put_attr(struct out *o, const struct trace_header *header, const char *mark,
	const uint8_t *data, size_t len)
{
	struct uhyve_attr attr, usual;

	if (len != sizeof(attr))
		return false;
	memcpy(&attr, data, sizeof(attr));
	if (!text_attr_is_plain(&attr))
		return false;
	usual = attr;
	text_attr_defaults(&usual, header);
	put(o, mark);
	put(o, " attr");
	for (size_t i = 0; i < TEXT_ATTR_FIELDS; i++) {
		const struct text_attr_field *f = &text_attr_fields[i];

		if (i < TEXT_ATTR_ALWAYS ||
			memcmp((uint8_t *)&attr + f->at, (uint8_t *)&usual + f->at, f->size) != 0)
			put_attr_field(o, f, &attr);
	}
	put(o, "\n");
	return true;
}

static void put_dent_type(struct out *o, uint8_t value)
{
	char type[NAME_SHORT_MAX];

	if (name_short(&names_file_type, (uint64_t)DTTOIF(value), type))
		put(o, type);
	else if (value == DT_UNKNOWN)
		put(o, "unknown");
	else
		put_number(o, value, 10);
}

void text_dent_type(uint8_t type, char buf[TEXT_VALUE_MAX])
{
	struct out o = { .buf = buf, .size = TEXT_VALUE_MAX - 1 };

	put_dent_type(&o, type);
	buf[o.used] = 0;
}

static void put_dent(struct out *o, const char *mark, const struct text_dent *dent)
{
	put(o, mark);
	put_keyed(o, " dent ino=", dent->ino);
	put(o, " off=");
	put_signed(o, dent->off);
	put(o, " ");
	put_dent_type(o, dent->type);
	put(o, " ");
	put_quoted(o, dent->name, dent->name_len);
	put(o, "\n");
}

static bool put_dents(struct out *o, const char *mark, const uint8_t *data, size_t len)
{
	struct text_dent dent;
	size_t at, n;

	for (at = 0; at < len; at += n) {
		n = text_dent_next(data + at, len - at, &dent);
		if (!n)
			return false;
	}
	for (at = 0; at < len; at += n) {
		n = text_dent_next(data + at, len - at, &dent);
		put_dent(o, mark, &dent);
	}
	return true;
}

static int put_blob(struct out *o, const char *dir, const char *mark, const uint8_t *data,
	size_t len, struct err *err)
{
	uint8_t hash[TRACE_HASH_LEN];
	int r = text_blob_store(dir, data, len, hash);

	if (r)
		return err_set(
			err, r, "%.200s: cannot keep data there: %s", dir, strerrordesc_np(-r));
	put(o, mark);
	put(o, " " TEXT_BLOB_MARK "sha256=");
	put_hex(o, hash, sizeof(hash));
	put_keyed(o, " len=", len);
	put(o, "\n");
	return 0;
}

static int put_data(struct out *o, const struct trace_text_config *config, const char *mark,
	const uint8_t *data, size_t len, bool text, struct err *err)
{
	if (len > TEXT_BLOB_MIN && len <= TEXT_BLOB_MAX && config->blob_dir)
		return put_blob(o, config->blob_dir, mark, data, len, err);
	if (text && is_printable(data, len))
		put_text_lines(o, mark, data, len);
	else
		put_hex_lines(o, mark, data, len);
	return 0;
}

static int put_out(struct out *o, const struct trace_header *header, const struct trace_record *r,
	const struct trace_text_config *config, struct err *err)
{
	const char *mark = r->masked & TRACE_MASK_OUT ? "  ~<" : "  <";
	bool attr = trace_row_has(r->row, HCALL_STAT_OUT);
	bool dents = trace_row_has(r->row, HCALL_DENTS_OUT);

	if (!r->out_len && r->masked & TRACE_MASK_OUT)
		put(o, "  ~<\n");
	if (!r->out_len || (attr && put_attr(o, header, mark, r->out, r->out_len)) ||
		(dents && put_dents(o, mark, r->out, r->out_len)))
		return 0;
	return put_data(o, config, mark, r->out, r->out_len, !attr && !dents, err);
}

int trace_text_put(FILE *out, const struct trace_header *header, const struct trace_record *record,
	struct trace_text_config *config, struct err *err)
{
	bool call = record->kind == TRACE_CALL || record->kind == TRACE_PENDING;
	struct out o = { .file = out };
	int r = 0;

	if (!put_line(&o, header, record, config))
		return 0;
	if (call && config->full)
		put_full(&o, record, config->last.time_ns);
	if (record->kind == TRACE_EDITED && config->full && record->edit.rip) {
		put(&o, " @ip=0x");
		put_number(&o, record->edit.rip, 16);
	}
	put(&o, "\n");
	if (record->kind == TRACE_EDITED && !record->edit.reg)
		r = put_data(&o, config, "  <", record->out, record->out_len, true, err);
	if (call && !record->row->local) {
		if (!trace_row_has(record->row, HCALL_PATH) && record->in_len)
			r = put_data(&o, config, "  >", record->in, record->in_len, true, err);
		if (!r)
			r = put_out(&o, header, record, config, err);
	}
	if (call) {
		config->last.time_ns = record->time_ns;
		config->last.exit_code = text_exit_code(record);
	}
	if (!r && ferror_unlocked(out))
		return err_set(err, -EIO, "golden text cannot be written: is the disk full?");
	return r;
}

static void put_strings(struct out *o, const char *key, const struct strings *s, size_t from)
{
	if (s->n <= from)
		return;
	put(o, key);
	for (size_t i = from; i < s->n; i++) {
		put(o, " ");
		put_string(o, s->list[i]);
	}
	put(o, "\n");
}

static void put_mount(struct out *o, const struct trace_mount *m)
{
	put(o, "mount ");
	put_string(o, m->host);
	put(o, " ");
	put_string(o, m->guest);
	put(o, m->writable ? " rw" : " ro");
	put(o, m->may_unlink ? ",unlink" : "");
	put(o, m->no_hardlinks ? ",nohardlinks" : "");
	put(o, m->is_file ? " file\n" : "\n");
}

static void put_limits(struct out *o, struct fileio_limits limits)
{
	const char *before = "limit";

	for (size_t i = 0; i < LIMITS; i++) {
		uint64_t n = *limit_at(&limits, i);

		if (!n)
			continue;
		put(o, before);
		put(o, " ");
		put(o, limit_names[i]);
		put_keyed(o, "=", n);
		before = "";
	}
	put(o, *before ? "" : "\n");
}

static void put_guest(struct out *o, const struct trace_header *h, bool full)
{
	put_keyed(o, "bjt ", TRACE_VERSION);
	put(o, "\nguest ");
	put_string(o, h->argv.n ? h->argv.list[0] : "");
	put(o, " abi=");
	put(o, h->abi->name);
	put_keyed(o, "/", (unsigned)h->abi_version);
	put_keyed(o, " mem=", h->mem_size);
	if (full && h->has_guest_hash) {
		put(o, " sha256=");
		put_hex(o, h->guest_hash, sizeof(h->guest_hash));
	}
	put(o, "\n");
}

int trace_text_begin(FILE *out, const struct trace_header *header, struct trace_text_config *config,
	struct err *err)
{
	struct out o = { .file = out };

	put_guest(&o, header, config->full);
	put_strings(&o, "argv", &header->argv, 1);
	put_strings(&o, "kernel", &header->kernel_args, 0);
	for (size_t i = 0; i < header->env.n; i++) {
		put(&o, "env ");
		put_string(&o, header->env.list[i]);
		put(&o, "\n");
	}
	if (header->cwd && strcmp(header->cwd, "/") != 0) {
		put(&o, "cwd ");
		put_string(&o, header->cwd);
		put(&o, "\n");
	}
	put_limits(&o, header->limits);
	put(&o, header->utf8_paths ? "paths utf8\n" : "");
	put(&o, header->partial ? "partial\n" : "");
	for (size_t i = 0; i < header->n_mounts; i++)
		put_mount(&o, &header->mounts[i]);
	if (header->boot_time_ns != SESSION_CLOCK_NS) {
		put_keyed(&o, "clock ", header->boot_time_ns);
		put(&o, "\n");
	}
	if (header->seed) {
		put_keyed(&o, "seed ", header->seed);
		put(&o, "\n");
	}
	put(&o, config->full ? "\n" : "omit t ip ptr n\n\n");
	if (ferror_unlocked(out))
		return err_set(err, -EIO, "golden text cannot be written: is the disk full?");
	return 0;
}
