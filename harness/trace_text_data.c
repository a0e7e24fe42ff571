// SPDX-License-Identifier: ISC
/* The data beneath a call's line, read: text, hex, attributes, directory entries, or a file of its own. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi_uhyve.h"
#include "cleanup.h"
#include "names.h"
#include "scan.h"
#include "trace_text_blob.h"
#include "trace_text_parts.h"

static bool attr_time(struct word s, struct uhyve_time *t)
{
	const char *dot = memchr(s.p, '.', s.n);
	struct word sec = { s.p, dot ? (size_t)(dot - s.p) : s.n };
	uint64_t nsec = 0;

	enum { DIGITS = 9 };
	if (dot && (s.n - sec.n != DIGITS + 1 ||
			   !word_number((struct word){ dot + 1, DIGITS }, 10, &nsec)))
		return false;
	t->nsec = (int32_t)nsec;
	t->pad = 0;
	return word_signed(sec, &t->sec);
}

static bool attr_value(const struct text_attr_field *f, struct word s, struct uhyve_attr *attr)
{
	uint64_t value;
	int64_t n;

	switch (f->form) {
	case TEXT_TIME: {
		struct uhyve_time time;

		if (!attr_time(s, &time))
			return false;
		memcpy((uint8_t *)attr + f->at, &time, sizeof(time));
		return true;
	}
	case TEXT_SIGNED:
		if (!word_signed(s, &n))
			return false;
		value = (uint64_t)n;
		break;
	default:
		if (!word_number(s, f->form == TEXT_OCTAL ? 8 : 10, &value))
			return false;
	}
	if (f->size < sizeof(value) && value >> 8 * f->size)
		return false;
	memcpy((uint8_t *)attr + f->at, &value, f->size);
	return true;
}

/* In the order of the table; what is not there is as usual. */
static int add_attr(struct scan *in, const struct trace_header *header, struct bytes *to)
{
	struct uhyve_attr attr = { 0 };
	char key[16];
	struct word s;

	for (size_t i = 0; i < TEXT_ATTR_FIELDS; i++) {
		if (i == TEXT_ATTR_ALWAYS)
			text_attr_defaults(&attr, header);
		snprintf(key, sizeof(key), "%s=", text_attr_fields[i].name);
		if (scan_peek_key(in, key, &s)) {
			if (!attr_value(&text_attr_fields[i], s, &attr))
				return scan_expected(in, "a value that fits the attribute");
			scan_skip(in, s);
		} else if (i < TEXT_ATTR_ALWAYS) {
			return scan_expected(in, key);
		}
	}
	if (!bytes_room(to, sizeof(attr)))
		return scan_no_memory(in);
	memcpy(to->data + to->len, &attr, sizeof(attr));
	to->len += sizeof(attr);
	return scan_end_of_line(in);
}

static int dent_type(struct scan *in, uint8_t *type)
{
	struct word s = scan_peek(in);
	uint64_t value;

	if (name_find_short(&names_file_type, s.p, s.n, &value))
		*type = (uint8_t)IFTODT(value);
	else if (word_is(s, "unknown"))
		*type = DT_UNKNOWN;
	else if (word_number(s, 10, &value) && value <= UINT8_MAX)
		*type = (uint8_t)value;
	else
		return scan_expected(in, "reg, dir, lnk, chr, blk, fifo, sock, unknown or N");
	scan_skip(in, s);
	return 0;
}

static int add_dent(struct scan *in, struct bytes *to)
{
	struct text_dent dent = { 0 };
	struct bytes name = { 0 };
	size_t size;
	struct word s;
	int r;

	r = scan_keyed(in, "ino=", 10, UINT64_MAX, "ino=NUMBER", &dent.ino);
	if (r)
		return r;
	if (!scan_peek_key(in, "off=", &s) || !word_signed(s, &dent.off))
		return scan_expected(in, "off=NUMBER");
	scan_skip(in, s);
	r = dent_type(in, &dent.type);
	if (!r)
		r = scan_quoted(in, &name, "a name in quotes");
	if (!r)
		r = scan_end_of_line(in);
	dent.name = name.data;
	dent.name_len = name.len;
	size = text_dent_size(name.len);
	if (!r && (size > TEXT_DENT_MAX || memchr(name.data, 0, name.len)))
		r = scan_fail(
			in, "a name of %zu bytes; expected less than 64 KiB, no \\x00", name.len);
	if (!r && !bytes_room(to, size))
		r = scan_no_memory(in);
	if (!r) {
		text_dent_pack(to->data + to->len, &dent);
		to->len += size;
	}
	free(name.data);
	return r;
}

static int add_hex(struct scan *in, struct bytes *to)
{
	struct word s = scan_peek(in);

	if (!bytes_room(to, s.n / 2))
		return scan_no_memory(in);
	if (!s.n || !word_hex(s, to->data + to->len, s.n / 2))
		return scan_expected(in, "pairs of hex digits");
	to->len += s.n / 2;
	scan_skip(in, s);
	return scan_end_of_line(in);
}

static int add_blob(struct scan *in, const char *dir, struct bytes *to)
{
	uint8_t hash[TRACE_HASH_LEN];
	autoclose int fd = -1;
	uint64_t len;
	int r = scan_sha256(in, hash);

	if (!r)
		r = scan_keyed(in, "len=", 10, TEXT_BLOB_MAX, "len=BYTES, up to 1 GiB", &len);
	if (!r)
		r = scan_end_of_line(in);
	if (r)
		return r;
	if (to->len)
		return scan_fail(
			in, "data in a file behind data in the text; expected one of them");
	if (!dir)
		return scan_fail(in, "data in a file; expected it in the text, for there is no "
				     "directory beside it");
	fd = text_blob_open(dir, hash, len);
	if (fd == -EINVAL)
		return scan_fail(in, "this file in %.60s/; expected a regular file of %llu bytes",
			dir, (unsigned long long)len);
	if (fd < 0)
		return scan_fail(in, "this file in %.60s/: %s; expected it beside the text", dir,
			strerrordesc_np(-fd));
	if (!bytes_room(to, len))
		return scan_no_memory(in);
	r = text_blob_read(fd, hash, to->data, len);
	if (r == -EBADMSG)
		return scan_fail(in,
			"this file in %.60s/ has changed; expected its SHA-256 to be its name",
			dir);
	if (r)
		return scan_fail(
			in, "this file in %.60s/ cannot be read: %s", dir, strerrordesc_np(-r));
	to->len = len;
	return 0;
}

static int add_data(
	struct scan *in, struct text_data *d, const struct trace_record *rec, struct bytes *to)
{
	struct word rest = { in->at + 1, (size_t)(in->end - in->at) - 1 };
	bool out = to == &d->out;

	if (scan_take_word(in, "blob"))
		return add_blob(in, d->blob_dir, to);
	if (out && rec->row && trace_row_has(rec->row, HCALL_STAT_OUT))
		return scan_take_word(in, "attr") ? add_attr(in, d->header, to)
						  : scan_expected(in, "attr, or <x and hex");
	if (out && rec->row && trace_row_has(rec->row, HCALL_DENTS_OUT))
		return scan_take_word(in, "dent") ? add_dent(in, to)
						  : scan_expected(in, "dent, or <x and hex");
	return scan_escaped(in, to, rest);
}

/* "  < TEXT", "  <x HEX", "  > TEXT", "  >x HEX", and < with a ~ in front. */
int text_read_data_line(struct scan *in, struct text_data *d, struct trace_record *rec)
{
	struct bytes *to = &d->out;
	bool masked;

	if (in->at[1] != ' ') /* no line ends in a blank, so more follow */
		return scan_expected(in, "no blank, or two in front of data");
	in->at += 2;
	masked = *in->at == '~';
	in->at += masked;
	if (!scan_at_end(in) && *in->at == '>' && !masked)
		to = &d->in;
	else if (scan_at_end(in) || *in->at != '<')
		return scan_expected(in, "<, <x, >, >x, ~< or ~<x");
	if (!rec->row && (to == &d->in || masked))
		return scan_expected(in, "< or <x, for a debugger wrote it");
	if (rec->row && rec->row->local)
		return scan_fail(in, "data of %s; expected none: it is not kept", rec->row->name);
	if (to == &d->in && trace_row_has(rec->row, HCALL_PATH))
		return scan_fail(in, "data read from %s; expected none", rec->row->name);
	if (to == &d->out && to->len && masked != !!(rec->masked & TRACE_MASK_OUT))
		return scan_fail(in, "some of the data behind ~; expected all or none");
	rec->masked |= masked ? TRACE_MASK_OUT : 0;
	in->at++;
	if (scan_at_end(in))
		return masked ? 0 : scan_expected(in, "data");
	if (*in->at == 'x') {
		in->at++;
		return add_hex(in, to);
	}
	return *in->at == ' ' ? add_data(in, d, rec, to) : scan_expected(in, "a blank and data");
}
