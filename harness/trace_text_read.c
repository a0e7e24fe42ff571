// SPDX-License-Identifier: ISC
/*
 * Golden text as records. Every byte is hostile: a line is ASCII or refused, numbers have the range of what
 * they stand for, and nothing is allocated that the text, or a blob that is really there, does not fill.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "gdb_regs.h"
#include "names.h"
#include "scan.h"
#include "trace_text.h"
#include "trace_text_parts.h"
#include "vm.h"

struct trace_text_reader {
	struct scan scan;
	struct text_data data;
	enum { IN_CALLS, IN_FLIGHT, IN_AFTERS, AT_END } state;
	uint64_t seq, time_ns; /* of the next call, of the call before */
	int exit_code;         /* that the last call ended the guest with, or 0 */
	char *stop_text;
};

static int field_number(
	struct scan *in, const struct hcall_field *f, const char *what, uint64_t *value)
{
	struct word s = scan_peek(in);
	int64_t n;

	if (f->kind == HCALL_INT || f->kind == HCALL_FD) {
		if (!word_signed(s, &n))
			return scan_expected(in, what);
		*value = (uint64_t)n;
	} else if (!word_number(s, 10, value)) {
		return scan_expected(in, what);
	}
	if (text_field_value(f, *value) != *value)
		return scan_expected(in, "a number that fits the field");
	scan_skip(in, s);
	return 0;
}

static int field_choice(struct scan *in, const struct hcall_field *f, const struct names *names,
	const char *what, uint64_t *value)
{
	struct word s = scan_peek(in);

	if (!name_find_short(names, s.p, s.n, value))
		return field_number(in, f, what, value);
	scan_skip(in, s);
	return 0;
}

static int field_open_flags(struct scan *in, const struct hcall_field *f, uint64_t *value)
{
	static const char what[] =
		"open flags: rdonly, wronly or rdwr, then +creat+trunc ... +0x..";
	const struct names *names = &names_access;
	struct word all = scan_peek(in), s;
	uint64_t bits;

	*value = 0;
	for (const char *p = all.p, *end = all.p + all.n; p <= end; p += s.n + 1) {
		const char *plus = memchr(p, '+', (size_t)(end - p));

		s = (struct word){ p, (size_t)((plus ? plus : end) - p) };
		if (!name_find_short(names, s.p, s.n, &bits) &&
			(names == &names_access || s.n < 3 || memcmp(s.p, "0x", 2) != 0 ||
				!word_number((struct word){ s.p + 2, s.n - 2 }, 16, &bits)))
			return scan_expected(in, what);
		*value |= bits;
		names = &names_open_flags;
	}
	if (text_field_value(f, *value) != *value)
		return scan_expected(in, "flags of 32 bits");
	scan_skip(in, all);
	return 0;
}

static int field_path(struct scan *in, struct text_data *data, struct trace_record *rec)
{
	int r;

	if (scan_take_word(in, "bad")) {
		rec->fault = true;
		return 0;
	}
	r = scan_quoted(in, &data->in, "a path in quotes, or bad");
	if (r)
		return r;
	if (data->in.len > HCALL_STRING_MAX)
		return scan_fail(in, "a path of %zu bytes; expected up to %d", data->in.len,
			HCALL_STRING_MAX);
	if (memchr(data->in.data, 0, data->in.len))
		return scan_fail(in, "\\x00 in a path; expected any other byte");
	return 0;
}

static int field_byte(struct scan *in, uint64_t *value)
{
	struct bytes b = { 0 };
	int r = scan_quoted(in, &b, "a byte in quotes");

	if (!r && b.len != 1)
		r = scan_fail(in, "%zu bytes in quotes; expected one", b.len);
	if (!r)
		*value = b.data[0];
	free(b.data);
	return r;
}

static int field_len(struct scan *in, const struct trace_record *rec, const struct hcall_field *f,
	uint64_t *value, bool *by_data)
{
	bool cap = text_len_is_cap(rec->row);
	struct word s;

	if (scan_peek_key(in, cap ? "cap=" : "len=", &s)) {
		if (!word_number(s, 10, value) || text_field_value(f, *value) != *value)
			return scan_expected(in, "a length that fits the field");
		scan_skip(in, s);
		return 0;
	}
	*by_data = !cap;
	return cap ? scan_expected(in, "cap=N") : 0;
}

static int read_field(
	struct trace_text_reader *r, struct trace_record *rec, size_t i, bool *len_by_data)
{
	struct scan *in = &r->scan;
	const struct hcall_field *f = &rec->row->fields[i];
	uint64_t *value = &rec->args[i];

	switch (f->kind) {
	case HCALL_INT:
		return field_number(in, f, "a number", value);
	case HCALL_FD:
		return field_number(in, f, "a descriptor", value);
	case HCALL_PATH:
		return field_path(in, &r->data, rec);
	case HCALL_OPEN_FLAGS:
		return field_open_flags(in, f, value);
	case HCALL_MODE:
		return scan_keyed(
			in, "mode=", 8, text_field_value(f, UINT64_MAX), "mode=OCTAL", value);
	case HCALL_LEN:
		return field_len(in, rec, f, value, len_by_data);
	case HCALL_WHENCE:
		return field_choice(in, f, &names_whence, "set, cur, end, data, hole or N", value);
	case HCALL_STAT_KIND:
		return field_choice(in, f, &names_stat_kind, "stat, lstat or N", value);
	case HCALL_BYTE:
		return field_byte(in, value);
	default: /* an address: not in the text */
		return 0;
	}
}

static int read_result(struct scan *in, struct trace_record *rec)
{
	struct word s;
	int error = 0;

	if (!scan_take_word(in, "->")) {
		rec->ends = true;
		return 0;
	}
	s = scan_peek(in);
	if (word_is(s, "?")) {
		rec->kind = TRACE_PENDING;
		scan_skip(in, s);
		return 0;
	}
	if (s.n && s.p[0] == '~') {
		rec->masked |= TRACE_MASK_RESULT;
		s = (struct word){ s.p + 1, s.n - 1 };
	}
	if (s.n > 1 && s.p[0] == '-' && s.p[1] == 'E')
		error = name_find_errno(s.p + 1, s.n - 1);
	if (error)
		rec->result = -error;
	else if (!word_signed(s, &rec->result))
		return scan_expected(in, "a result: a number or an error's name as in -ENOENT");
	scan_skip(in, s);
	return 0;
}

static int take_pointers(struct scan *in, struct trace_record *rec, struct word all)
{
	const char *p = all.p, *end = all.p + all.n;

	for (size_t i = 0; rec->row->fields[i].name; i++) {
		const struct hcall_field *f = &rec->row->fields[i];
		const char *comma;
		struct word s;

		if (!trace_field_is_pointer(f->kind))
			continue;
		if (end - p < 2 || memcmp(p, "0x", 2) != 0)
			return scan_expected(in, "ptr=0x.., one for each address of the call");
		p += 2;
		comma = memchr(p, ',', (size_t)(end - p));
		s = (struct word){ p, (size_t)((comma ? comma : end) - p) };
		if (!word_number(s, 16, &rec->args[i]) ||
			text_field_value(f, rec->args[i]) != rec->args[i])
			return scan_expected(in, "ptr=0x.., each address within its field");
		p = comma ? comma + 1 : end;
	}
	return p == end && end[-1] != ','
		       ? 0
		       : scan_expected(in, "no more addresses than the call has");
}

static bool nanoseconds(struct word s, uint64_t *value)
{
	return s.n > 2 && !memcmp(s.p + s.n - 2, "ns", 2) &&
	       word_number((struct word){ s.p, s.n - 2 }, 10, value);
}

static int take_full(struct scan *in, uint64_t last_ns, struct trace_record *rec)
{
	struct word s;

	if (scan_peek_key(in, "t=+", &s)) {
		if (!nanoseconds(s, &rec->time_ns) ||
			__builtin_add_overflow(rec->time_ns, last_ns, &rec->time_ns))
			return scan_expected(in, "t=+NUMBERns");
	} else if (scan_peek_key(in, "t=", &s)) {
		if (!nanoseconds(s, &rec->time_ns))
			return scan_expected(in, "t=NUMBERns");
	} else if (scan_peek_key(in, "d=", &s)) {
		if (!nanoseconds(s, &rec->duration_ns))
			return scan_expected(in, "d=NUMBERns");
	} else if (scan_peek_key(in, "ip=0x", &s)) {
		if (!word_number(s, 16, &rec->rip))
			return scan_expected(in, "ip=0x..");
	} else if (scan_peek_key(in, "ptr=", &s)) {
		int r = take_pointers(in, rec, s);

		if (r)
			return r;
	} else {
		return scan_expected(in, "t=, d=, ip= or ptr=");
	}
	scan_skip(in, s);
	return 0;
}

static int read_full(struct scan *in, uint64_t last_ns, struct trace_record *rec)
{
	struct word s;
	int r = 0;

	if (!scan_peek_key(in, "@", &s))
		return 0;
	r = scan_keyed(in, "@n=", 10, UINT64_MAX, "@n=NUMBER", &rec->seq);
	while (!r && !scan_at_end(in))
		r = take_full(in, last_ns, rec);
	return r;
}

static int read_call(struct trace_text_reader *r, struct trace_record *rec, bool *len_by_data)
{
	struct scan *in = &r->scan;
	struct word name = scan_peek(in);
	int n = 0;

	rec->kind = TRACE_CALL;
	rec->row = name.n ? trace_row_of_name(r->data.header, name.p, name.n) : NULL;
	if (!rec->row)
		return scan_expected(in, "a call of this ABI, after, end or cut");
	rec->port = rec->row->port;
	scan_skip(in, name);
	for (size_t i = 0; !n && !rec->row->local && rec->row->fields[i].name; i++)
		n = read_field(r, rec, i, len_by_data);
	if (n)
		return n;
	if (scan_take_word(in, "bad"))
		rec->fault = true;
	n = read_result(in, rec);
	if (!n)
		n = read_full(in, r->time_ns, rec);
	return n ? n : scan_end_of_line(in);
}

static int read_data(struct trace_text_reader *r, struct trace_record *rec)
{
	int n;

	while ((n = scan_next_line(&r->scan)) > 0) {
		if (*r->scan.at != ' ') {
			r->scan.again = true;
			return 0;
		}
		n = text_read_data_line(&r->scan, &r->data, rec);
		if (n)
			return n;
	}
	return n;
}

static int next_call(struct trace_text_reader *r, struct trace_record *rec)
{
	bool len_by_data = false;
	struct err why;
	int n;

	if (r->state != IN_CALLS)
		return scan_expected(&r->scan, r->state == IN_FLIGHT
						       ? "cut behind a call without result"
						       : "after, end or cut");
	rec->seq = r->seq;
	n = read_call(r, rec, &len_by_data);
	if (!n)
		n = read_data(r, rec);
	if (n)
		return n;
	rec->in = r->data.in.data;
	rec->in_len = r->data.in.len;
	rec->out = r->data.out.data;
	rec->out_len = r->data.out.len;
	if (len_by_data)
		rec->args[trace_row_find(rec->row, HCALL_LEN)] = rec->in_len;
	if (!trace_record_is_sane(rec, &why)) /* at the call's line, not the one behind its data */
		return err_set(r->scan.err, -EINVAL, "%.90s:%llu: %s", r->scan.name,
			(unsigned long long)rec->where, why.text);
	r->seq = rec->seq + 1;
	r->time_ns = rec->time_ns;
	r->exit_code = text_exit_code(rec);
	if (rec->kind == TRACE_PENDING)
		r->state = IN_FLIGHT;
	return 1;
}

/* held, or +INSTRUCTIONS[/EXCEPTIONS] */
static int read_edit_place(struct scan *in, struct trace_edit *e)
{
	struct word s, insns;
	const char *slash;

	e->held = scan_take_word(in, "held");
	if (e->held)
		return 0;
	if (!scan_peek_key(in, "+", &s))
		return scan_expected(in, "held or +INSTRUCTIONS");
	slash = s.n ? memchr(s.p, '/', s.n) : NULL;
	insns = (struct word){ s.p, slash ? (size_t)(slash - s.p) : s.n };
	if (!word_number(insns, 10, &e->insns))
		return scan_expected(in, "+INSTRUCTIONS");
	if (slash &&
		(!word_number((struct word){ slash + 1, s.n - insns.n - 1 }, 10, &e->happened) ||
			!e->happened))
		return scan_expected(in, "+INSTRUCTIONS/EXCEPTIONS");
	scan_skip(in, s);
	return 0;
}

static int read_register(struct scan *in, const struct trace_edit *e, struct bytes *to)
{
	size_t size = gdb_reg_size(true, (unsigned)gdb_reg_find(true, e->reg));
	struct word s;

	if (!bytes_room(to, size))
		return scan_no_memory(in);
	if (!scan_peek_key(in, "0x", &s) || !word_hex(s, to->data, size))
		return scan_fail(
			in, "a value of %s; expected 0x and %zu hex digits", e->reg, 2 * size);
	for (size_t i = 0; i < size / 2; i++) {
		uint8_t byte = to->data[i];

		to->data[i] = to->data[size - 1 - i];
		to->data[size - 1 - i] = byte;
	}
	to->len = size;
	scan_skip(in, s);
	return 0;
}

/* memory 0xADDR, or a register and its value; then where the CPU was. */
static int read_edit(struct trace_text_reader *r, struct trace_edit *e)
{
	struct scan *in = &r->scan;
	struct word s;
	int n = read_edit_place(in, e);

	if (n)
		return n;
	s = scan_peek(in);
	if (!word_is(s, "memory")) {
		e->reg = trace_edit_register(s.n ? s.p : "", s.n);
		if (!e->reg)
			return scan_expected(in, "memory or the name of a register");
	}
	scan_skip(in, s);
	n = e->reg ? read_register(in, e, &r->data.out)
		   : scan_keyed(in, "0x", 16, UINT64_MAX, "0xADDRESS", &e->gpa);
	if (!n && scan_peek_key(in, "@ip=", &s))
		n = scan_keyed(in, "@ip=0x", 16, UINT64_MAX, "@ip=0x..", &e->rip);
	return n ? n : scan_end_of_line(in);
}

static int next_edit(struct trace_text_reader *r, struct trace_record *rec)
{
	struct err why;
	int n;

	if (r->state != IN_CALLS)
		return scan_fail(&r->scan, "'edit' behind the calls; expected it between them");
	rec->kind = TRACE_EDITED;
	rec->edit.calls = r->seq;
	n = read_edit(r, &rec->edit);
	if (!n && !rec->edit.reg)
		n = read_data(r, rec);
	if (n < 0)
		return n;
	rec->out = r->data.out.data;
	rec->out_len = r->data.out.len;
	if (!trace_edit_is_sane(rec, &why))
		return err_set(r->scan.err, -EINVAL, "%.90s:%llu: %s", r->scan.name,
			(unsigned long long)rec->where, why.text);
	return 1;
}

static int read_target(struct trace_text_reader *r)
{
	struct bytes *b = &r->data.out;
	int n = scan_quoted(&r->scan, b, "what the link holds, in quotes");

	if (!n && !trace_tree_target_is_sane(b->data, b->len))
		n = scan_fail(
			&r->scan, "a target of %zu bytes; expected 1 to 4095, no \\x00", b->len);
	return n;
}

/* What the object is now, behind its name. */
static int read_object(struct trace_text_reader *r, struct tree_entry *t)
{
	enum { LINK_MODE = 0777, MODE_MAX = 07777 };
	struct scan *in = &r->scan;
	struct word s = scan_peek(in);
	uint64_t kind, mode;
	int n = 0;

	if (!name_find_short(&names_tree, s.p, s.n, &kind))
		return scan_expected(in, "removed, file, dir, link, fifo, socket or device");
	scan_skip(in, s);
	t->kind = (enum tree_kind)kind;
	mode = t->kind == TREE_LINK ? LINK_MODE : 0;
	if (t->kind != TREE_NONE && (t->kind != TREE_LINK || scan_peek_key(in, "mode=", &s)))
		n = scan_keyed(in, "mode=", 8, MODE_MAX, "mode=OCTAL", &mode);
	t->mode = (mode_t)mode;
	if (!n && t->kind == TREE_FILE)
		n = scan_keyed(in, "size=", 10, UINT64_MAX, "size=BYTES", &t->size);
	if (!n && t->kind == TREE_FILE)
		n = scan_sha256(in, t->hash);
	if (!n && t->kind == TREE_LINK)
		n = read_target(r);
	return n ? n : scan_end_of_line(in);
}

static int next_after(struct trace_text_reader *r, struct trace_record *rec)
{
	const struct trace_header *header = r->data.header;
	struct scan *in = &r->scan;
	uint64_t mount;
	int n;

	rec->kind = TRACE_AFTER;
	if (r->state == IN_FLIGHT)
		return scan_fail(in, "'after' behind a call without result; expected cut");
	r->state = IN_AFTERS;
	n = scan_keyed(in, "", 10, UINT32_MAX, "the number of a mount", &mount);
	if (n)
		return n;
	if (mount >= header->n_mounts)
		return scan_fail(in, "mount %llu; expected less than %zu, counted from 0",
			(unsigned long long)mount, header->n_mounts);
	n = scan_quoted(in, &r->data.in, "a path in quotes");
	if (!n && !trace_tree_path_is_sane(r->data.in.data, r->data.in.len))
		n = scan_fail(in, "a path that does not stay beneath its mount; expected names "
				  "with / between");
	if (!n)
		n = read_object(r, &rec->tree);
	if (n)
		return n;
	rec->tree.mount = (uint32_t)mount;
	rec->tree.path = r->data.in.data;
	rec->tree.path_len = r->data.in.len;
	rec->tree.target = r->data.out.data;
	rec->tree.target_len = r->data.out.len;
	return 1;
}

static bool has_control(const char *text)
{
	while (*text && (unsigned char)*text >= ' ' && *text != 0x7f)
		text++;
	return *text;
}

/* The text will be printed as it is. */
static int read_end(struct trace_text_reader *r, struct trace_record *rec)
{
	struct scan *in = &r->scan;
	struct word s = scan_peek(in);
	uint64_t kind = VM_EXITED;
	int64_t code = r->exit_code;
	int n = 0;

	if (r->state == IN_FLIGHT)
		return scan_fail(in, "'end' behind a call without result; expected cut");
	if (name_find_short(&names_stop, s.p, s.n, &kind) && kind != VM_RUNNING)
		scan_skip(in, s);
	if (scan_peek_key(in, "code=", &s)) {
		if (!word_signed(s, &code) || code < INT32_MIN || code > INT32_MAX)
			return scan_expected(in, "code=NUMBER");
		scan_skip(in, s);
	}
	if (!scan_at_end(in))
		n = scan_string(in, &r->stop_text, "why it stopped, in quotes");
	if (!n && r->stop_text && has_control(r->stop_text))
		n = scan_fail(in, "a control character in this text; expected one printable line");
	rec->kind = TRACE_END;
	rec->stop_kind = (int)kind;
	rec->stop_code = (int)code;
	rec->stop_text = r->stop_text ? r->stop_text : "";
	return n ? n : scan_end_of_line(in);
}

/* Nothing may follow: what two texts were merged into is refused. */
static int next_end(struct trace_text_reader *r, struct trace_record *rec, bool cut)
{
	int n = cut ? scan_end_of_line(&r->scan) : read_end(r, rec);

	if (cut)
		rec->kind = TRACE_CUT;
	if (!n)
		n = scan_next_line(&r->scan);
	if (n > 0)
		return scan_expected(&r->scan, "nothing behind the end");
	r->state = AT_END;
	return n ? n : 1;
}

int trace_text_next(struct trace_text_reader *r, struct trace_record *record, struct err *err)
{
	int n;

	if (r->state == AT_END)
		return 0;
	r->scan.err = err;
	n = scan_next_line(&r->scan);
	if (n < 0)
		return n;
	if (!n)
		return err_set(err, -EINVAL, "%.200s: truncated: no `end` line; expected one",
			r->scan.name);
	*record = (struct trace_record){ .where = r->scan.number };
	r->data.in.len = r->data.out.len = 0;
	if (scan_take_word(&r->scan, "end"))
		return next_end(r, record, false);
	if (scan_take_word(&r->scan, "cut"))
		return next_end(r, record, true);
	if (scan_take_word(&r->scan, "edit"))
		return next_edit(r, record);
	if (scan_take_word(&r->scan, "after"))
		return next_after(r, record);
	return next_call(r, record);
}

int trace_text_open(struct trace_text_reader **out, FILE *in, const char *name,
	const char *blob_dir, struct trace_header *header, struct err *err)
{
	struct trace_text_reader *r = calloc(1, sizeof(*r));
	int n;

	*out = NULL;
	*header = (struct trace_header){ 0 };
	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	scan_init(&r->scan, in, name);
	r->scan.err = err;
	r->data.header = header;
	r->data.blob_dir = blob_dir;
	n = text_read_header(&r->scan, header);
	if (n) {
		trace_header_finish(header);
		trace_text_close(r);
		return n;
	}
	*out = r;
	return 0;
}

void trace_text_close(struct trace_text_reader *r)
{
	if (!r)
		return;
	scan_finish(&r->scan);
	free(r->data.in.data);
	free(r->data.out.data);
	free(r->stop_text);
	free(r);
}
