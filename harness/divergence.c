// SPDX-License-Identifier: ISC
/* Divergence reports. Knows calls by their rows' fields, none by name. */
#include "divergence.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>

#include "escape.h"
#include "json.h"
#include "names.h"
#include "trace_text.h"
#include "vm.h"

enum {
	LINES_MAX = HCALL_FIELDS_MAX + 4,
	VALUE_MAX = 200,
	PATH_SHOWN = 40,  /* bytes of a path in its cell */
	BYTES_BEFORE = 8, /* of a difference, that are shown */
	BYTES_AFTER = 16,
	TEXT_MAX = 256,
	EXIT_CODE = 3,
	EXIT_CODE_TIMEOUT = 124,
};

const char *const divergence_kind_names[] = {
	[DIVERGENCE_CHANGED] = "CHANGED",
	[DIVERGENCE_EXTRA] = "EXTRA",
	[DIVERGENCE_MISSING] = "MISSING",
	[DIVERGENCE_EARLY_EXIT] = "EARLY-EXIT",
	[DIVERGENCE_END] = "END",
	[DIVERGENCE_TIMEOUT] = "TIMEOUT",
};
static_assert(
	sizeof(divergence_kind_names) / sizeof(divergence_kind_names[0]) == DIVERGENCE_KIND_COUNT,
	"a name for each");

/* Only as many bytes of a value as its field has are the guest's. */
static uint64_t field_bits(const struct hcall_field *field, uint64_t value)
{
	return field->size >= sizeof(value) ? value : value & ((1ull << 8 * field->size) - 1);
}

bool divergence_same_args(const struct hcall_row *row, const uint64_t *a, const uint64_t *b)
{
	const struct hcall_field *f = row->fields;

	for (size_t i = 0; f[i].name; i++)
		if (!trace_field_is_pointer(f[i].kind) &&
			field_bits(&f[i], a[i]) != field_bits(&f[i], b[i]))
			return false;
	return true;
}

bool divergence_same_call(const struct trace_record *a, const struct trace_record *b)
{
	return a->row == b->row && divergence_same_args(a->row, a->args, b->args) &&
	       a->in_len == b->in_len && (!a->in_len || !memcmp(a->in, b->in, a->in_len));
}

/* ---- What is compared, line by line ---- */

struct line {
	const char *name;
	char got[VALUE_MAX], expected[VALUE_MAX];
	bool same;
	bool bytes; /* of `in`: at says where they differ */
	size_t at;
};

struct comparison {
	struct line lines[LINES_MAX];
	size_t n;
};

static struct line *add(struct comparison *c, const char *name, bool same)
{
	struct line *line = &c->lines[c->n++];

	*line = (struct line){ .name = name, .same = same };
	return line;
}

static void put_open_flags(char *buf, size_t size, uint64_t flags)
{
	char name[NAME_SHORT_MAX];
	size_t used = 0;

	name_short(&names_access, flags & O_ACCMODE, name);
	used += (size_t)snprintf(buf, size, "%s", name);
	flags &= ~(uint64_t)O_ACCMODE & 0xffffffff;
	for (size_t i = 0; i < names_open_flags.n && used < size; i++) {
		uint64_t value = names_open_flags.rows[i].value;

		if ((flags & value) != value)
			continue;
		name_short(&names_open_flags, value, name);
		used += (size_t)snprintf(buf + used, size - used, "+%s", name);
		flags &= ~value;
	}
	if (flags && used < size)
		snprintf(buf + used, size - used, "+0x%llx", (unsigned long long)flags);
}

static void put_name(char *buf, size_t size, const struct names *names, uint64_t value)
{
	char name[NAME_SHORT_MAX];

	if (name_short(names, value, name))
		snprintf(buf, size, "%s", name);
	else
		snprintf(buf, size, "%llu", (unsigned long long)value);
}

static void put_quoted(char *buf, size_t size, const void *bytes, size_t len, size_t most)
{
	size_t used = 0;

	used += (size_t)snprintf(buf, size, "\"");
	escape_bytes(buf, size - 5, &used, bytes, len < most ? len : most);
	snprintf(buf + used, size - used, len > most ? "\"..." : "\"");
}

static void put_value(char *buf, size_t size, enum hcall_kind kind, uint64_t value)
{
	uint8_t byte = (uint8_t)value;

	switch (kind) {
	case HCALL_INT:
	case HCALL_FD:
		snprintf(buf, size, "%lld", (long long)value);
		return;
	case HCALL_MODE:
		snprintf(buf, size, "%#llo", (unsigned long long)value);
		return;
	case HCALL_OPEN_FLAGS:
		return put_open_flags(buf, size, value);
	case HCALL_WHENCE:
		return put_name(buf, size, &names_whence, value);
	case HCALL_STAT_KIND:
		return put_name(buf, size, &names_stat_kind, value);
	case HCALL_BYTE:
		return put_quoted(buf, size, &byte, 1, 1);
	default:
		snprintf(buf, size, "%llu", (unsigned long long)value);
	}
}

static void put_result(char *buf, size_t size, int64_t r)
{
	const char *name = r < 0 && r > -4096 ? strerrorname_np((int)-r) : NULL;

	if (name)
		snprintf(buf, size, "-%s", name);
	else
		snprintf(buf, size, "%lld", (long long)r);
}

static size_t first_difference(const struct trace_record *a, const struct trace_record *b)
{
	size_t at = 0;

	while (at < a->in_len && at < b->in_len && a->in[at] == b->in[at])
		at++;
	return at;
}

static void put_bytes(char *buf, size_t size, const struct trace_record *record, bool path)
{
	if (record->fault && !record->in_len)
		snprintf(buf, size, "outside RAM");
	else if (path)
		put_quoted(buf, size, record->in, record->in_len, PATH_SHOWN);
	else
		snprintf(buf, size, "%zu byte%s", record->in_len, record->in_len == 1 ? "" : "s");
}

static void compare_bytes(struct comparison *c, const struct divergence *d, bool path)
{
	const struct trace_record *got = d->got, *expected = d->expected;
	size_t at = first_difference(got, expected);
	struct line *line =
		add(c, path ? "path" : "in", at == got->in_len && at == expected->in_len);

	line->bytes = !line->same;
	line->at = at;
	put_bytes(line->got, sizeof(line->got), got, path);
	put_bytes(line->expected, sizeof(line->expected), expected, path);
}

/* How the trace goes on, when it is not with a call. */
static void put_end(char *buf, size_t size, const struct trace_record *end)
{
	if (end->stop_kind == VM_EXITED)
		snprintf(buf, size, "end, exit %d", end->stop_code);
	else
		snprintf(buf, size, "end, a crash");
}

static void compare_names(struct comparison *c, const struct divergence *d)
{
	const struct trace_record *expected = d->expected;
	struct line *line = add(c, "call", d->got && d->got->row == expected->row);

	if (d->got)
		trace_row_name(d->header, d->got->row, line->got, sizeof(line->got));
	else
		snprintf(line->got, sizeof(line->got), "none");
	if (expected->row)
		trace_row_name(d->header, expected->row, line->expected, sizeof(line->expected));
	else
		put_end(line->expected, sizeof(line->expected), expected);
}

static void compare_fields(struct comparison *c, const struct divergence *d)
{
	const struct trace_record *got = d->got, *expected = d->expected;
	const struct hcall_field *f = got->row->fields;

	for (size_t i = 0; f[i].name; i++) {
		uint64_t a = field_bits(&f[i], got->args[i]);
		uint64_t b = field_bits(&f[i], expected->args[i]);
		struct line *line;

		if (f[i].kind == HCALL_PATH || f[i].kind == HCALL_DATA_IN)
			compare_bytes(c, d, f[i].kind == HCALL_PATH);
		if (trace_field_is_pointer(f[i].kind))
			continue;
		line = add(c, f[i].name, a == b);
		put_value(line->got, sizeof(line->got), f[i].kind, got->args[i]);
		put_value(line->expected, sizeof(line->expected), f[i].kind, expected->args[i]);
	}
}

static void compare(struct comparison *c, const struct divergence *d)
{
	const struct trace_record *got = d->got, *expected = d->expected;
	struct line *line;

	c->n = 0;
	compare_names(c, d);
	if (!got || got->row != expected->row)
		return;
	compare_fields(c, d);
	if (got->fault != expected->fault) {
		line = add(c, "memory", false);
		strcpy(line->got, got->fault ? "outside RAM" : "in RAM");
		strcpy(line->expected, expected->fault ? "outside RAM" : "in RAM");
	}
	if (d->has_result) {
		line = add(c, "result", got->result == expected->result);
		put_result(line->got, sizeof(line->got), got->result);
		put_result(line->expected, sizeof(line->expected), expected->result);
	}
}

/* ---- Text ---- */

struct colors {
	const char *bad, *end;
};

/* "... 6c 3d [31 37] 0a": what lies around the first difference, which is in brackets as far as it goes. */
static void hex_window(char *buf, size_t size, const struct trace_record *a,
	const struct trace_record *b, size_t at)
{
	size_t first = at > BYTES_BEFORE ? at - BYTES_BEFORE : 0, last = at + BYTES_AFTER;
	size_t end = at, used = 0;

	while (end < last && end < a->in_len && (end >= b->in_len || a->in[end] != b->in[end]))
		end++;
	used += (size_t)snprintf(buf, size, "%s", first ? "... " : "");
	for (size_t i = first; i <= a->in_len && i < last; i++) {
		const char *open = i == at ? "[" : "", *close = i + 1 == end ? "]" : "";

		if (i == at && end == at)
			used += (size_t)snprintf(buf + used, size - used, "[] ");
		if (i < a->in_len && end == at)
			used += (size_t)snprintf(buf + used, size - used, "%02x ", a->in[i]);
		else if (i < a->in_len)
			used += (size_t)snprintf(
				buf + used, size - used, "%s%02x%s ", open, a->in[i], close);
	}
	if (last < a->in_len)
		snprintf(buf + used, size - used, "...");
}

static void text_window(char *buf, size_t size, const struct trace_record *record, size_t at)
{
	size_t first = at > BYTES_BEFORE ? at - BYTES_BEFORE : 0, last = at + BYTES_AFTER;

	if (last > record->in_len)
		last = record->in_len;
	if (first > last)
		first = last;
	put_quoted(buf, size, record->in + first, last - first, BYTES_BEFORE + BYTES_AFTER);
}

static void print_windows(FILE *out, const struct divergence *d, size_t at)
{
	char hex[2][TEXT_MAX], text[2][TEXT_MAX];
	const struct trace_record *sides[] = { d->got, d->expected };
	int width = 0;

	for (int i = 0; i < 2; i++) {
		hex_window(hex[i], sizeof(hex[i]), sides[i], sides[!i], at);
		text_window(text[i], sizeof(text[i]), sides[i], at);
		if ((int)strlen(hex[i]) > width)
			width = (int)strlen(hex[i]);
	}
	fprintf(out, "           %-*s  %s\n", width, hex[0], text[0]);
	fprintf(out, "  expected %-*s  %s\n", width, hex[1], text[1]);
}

static void print_line(
	FILE *out, const struct divergence *d, const struct line *line, const struct colors *color)
{
	fprintf(out, "  %-8s %-20s expected %-20s ", line->name, line->got, line->expected);
	if (line->same) {
		fprintf(out, "same\n");
		return;
	}
	fprintf(out, "%sDIFFERS%s", color->bad, color->end);
	if (line->bytes)
		fprintf(out, " at byte %zu", line->at);
	fprintf(out, "\n");
	if (line->bytes)
		print_windows(out, d, line->at);
}

static void print_frames(FILE *out, const char *frames)
{
	const char *end, *name = "guest";

	for (; (end = strchr(frames, '\n')); frames = end + 1, name = "")
		fprintf(out, "  %-8s %.*s\n", name, (int)(end - frames), frames);
}

static void print_calls(FILE *out, const char *name, const struct divergence *d,
	const struct trace_record *const *calls, size_t n)
{
	char text[TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		trace_text_line(d->header, calls[i], text, sizeof(text));
		fprintf(out, "  %-8s %llu %s\n", i ? "" : name, (unsigned long long)calls[i]->seq,
			text);
	}
}

/* What it asked, where that is not shown field by field. */
static void print_asked(FILE *out, const struct divergence *d)
{
	char text[TEXT_MAX], data[VALUE_MAX], *result;

	if (!d->got || d->got->row == d->expected->row)
		return;
	trace_text_line(d->header, d->got, text, sizeof(text));
	result = strstr(text, " -> ");
	if (result && !d->got->row->exits)
		*result = 0;
	fprintf(out, "  %-8s %s", "asked", text);
	if (trace_row_has(d->got->row, HCALL_DATA_IN)) {
		put_quoted(data, sizeof(data), d->got->in, d->got->in_len, PATH_SHOWN);
		fprintf(out, " %s", data);
	}
	fprintf(out, "\n");
}

static void print_expected(FILE *out, const struct divergence *d)
{
	const struct trace_record *list[1 + DIVERGENCE_NEXT];
	size_t n = 0;

	/* Where the two are not even the same call, or one is left out, the fields do not show it. */
	if (d->expected->row &&
		(!d->got || d->got->row != d->expected->row || d->kind == DIVERGENCE_MISSING))
		list[n++] = d->expected;
	for (size_t i = 0; i < d->n_next; i++)
		list[n++] = d->next[i];
	print_calls(out, "next", d, list, n);
}

static void put_where(char *buf, size_t size, const struct divergence *d)
{
	size_t used = 0;

	buf[0] = 0;
	escape_bytes(buf, size - 40, &used, d->file, strlen(d->file));
	snprintf(buf + used, size - used, d->text ? ":%llu" : " offset 0x%llx",
		(unsigned long long)d->expected->where);
}

static int exit_code(const struct divergence *d)
{
	return d->kind == DIVERGENCE_TIMEOUT ? EXIT_CODE_TIMEOUT : EXIT_CODE;
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static void print_kind(FILE *out, const struct divergence *d)
{
	fprintf(out, "  looks like: %s (", divergence_kind_names[d->kind]);
	switch (d->kind) {
	case DIVERGENCE_MISSING:
		fprintf(out, "the guest skipped %llu call%s; ", (unsigned long long)d->skipped,
			plural(d->skipped));
		break;
	case DIVERGENCE_EXTRA:
		fprintf(out, "the trace has no such call here; ");
		break;
	case DIVERGENCE_EARLY_EXIT:
		fprintf(out, "the guest ended, and the trace goes on)\n");
		return;
	case DIVERGENCE_END:
		fprintf(out, "the trace ends in another way)\n");
		return;
	default:
		break;
	}
	if (d->followed > 1)
		fprintf(out, "the following %u calls would match)\n", d->followed);
	else if (d->followed)
		fprintf(out, "the following call would match)\n");
	else
		fprintf(out, "what follows does not match)\n");
}

void divergence_print(FILE *out, const struct divergence *d, bool color)
{
	struct colors colors = { color ? "\033[1;31m" : "", color ? "\033[0m" : "" };
	struct comparison c;
	char where[TEXT_MAX];

	compare(&c, d);
	fprintf(out, "%s%s%s at call %llu (guest-side)  exit %d\n", colors.bad,
		d->kind == DIVERGENCE_TIMEOUT ? "TIMEOUT" : "DIVERGENCE", colors.end,
		(unsigned long long)d->seq, exit_code(d));
	if (d->wrong_guest)
		fprintf(out, "  WRONG-GUEST? this image is not the one that was recorded\n");
	if (d->cpu)
		fprintf(out, "  %-8s %s\n", "cpu", d->cpu);
	print_frames(out, d->frames);
	if (d->ended)
		fprintf(out, "  %-8s %s\n", d->kind == DIVERGENCE_TIMEOUT ? "stopped" : "ended",
			d->ended);
	for (size_t i = 0; i < c.n; i++)
		print_line(out, d, &c.lines[i], &colors);
	print_asked(out, d);
	print_calls(out, "before", d, d->before, d->n_before);
	print_expected(out, d);
	if (d->kind != DIVERGENCE_TIMEOUT)
		print_kind(out, d);
	if (d->has_nearest)
		fprintf(out, "  nearest other match: call %llu, equal\n",
			(unsigned long long)d->nearest);
	put_where(where, sizeof(where), d);
	fprintf(out, "  trace    %s\n", where);
}

/* ---- JSON ---- */

static void json_key(FILE *out, const char *key, const char *text)
{
	fprintf(out, "\"%s\":", key);
	if (text)
		json_put_text(out, text);
	else
		fprintf(out, "null");
}

static void json_hex(FILE *out, const char *key, const struct trace_record *record, size_t at)
{
	fprintf(out, ",\"%s\":\"", key);
	for (size_t i = at; i < record->in_len && i < at + BYTES_AFTER; i++)
		fprintf(out, "%02x", record->in[i]);
	fputc('"', out);
}

static void json_line(FILE *out, const struct divergence *d, const struct line *line)
{
	fputc('{', out);
	json_key(out, "name", line->name);
	fputc(',', out);
	json_key(out, "got", line->got);
	fputc(',', out);
	json_key(out, "expected", line->expected);
	if (line->bytes) {
		fprintf(out, ",\"got_len\":%zu,\"expected_len\":%zu,\"at\":%zu", d->got->in_len,
			d->expected->in_len, line->at);
		json_hex(out, "got_hex", d->got, line->at);
		json_hex(out, "expected_hex", d->expected, line->at);
	}
	fprintf(out, ",\"same\":%s}", line->same ? "true" : "false");
}

static void json_calls(FILE *out, const char *key, const struct divergence *d,
	const struct trace_record *const *calls, size_t n)
{
	char text[TEXT_MAX];

	fprintf(out, ",\"%s\":[", key);
	for (size_t i = 0; i < n; i++) {
		trace_text_line(d->header, calls[i], text, sizeof(text));
		fprintf(out, "%s{\"call\":%llu,", i ? "," : "", (unsigned long long)calls[i]->seq);
		json_key(out, "text", text);
		fputc('}', out);
	}
	fputc(']', out);
}

/* The first frame, "0x100b02  f+0x1 (f.c:3)", as its two parts. */
static void json_place(FILE *out, const char *frames)
{
	size_t rip = strcspn(frames, " \n"), gap = strspn(frames + rip, " ");

	fprintf(out, ",\"rip\":");
	json_put_bytes(out, frames, rip);
	fprintf(out, ",\"at\":");
	json_put_bytes(out, frames + rip + gap, strcspn(frames + rip + gap, "\n"));
}

void divergence_print_json(FILE *out, const struct divergence *d)
{
	char where[TEXT_MAX];
	struct comparison c;

	compare(&c, d);
	fputc('{', out);
	put_where(where, sizeof(where), d);
	json_key(out, "file", d->file);
	fprintf(out, ",\"side\":\"guest\",\"call\":%llu,", (unsigned long long)d->seq);
	json_key(out, "kind", divergence_kind_names[d->kind]);
	fprintf(out, ",\"wrong_guest\":%s,", d->wrong_guest ? "true" : "false");
	json_key(out, "cpu", d->cpu);
	json_place(out, d->frames);
	fputc(',', out);
	json_key(out, "got", d->got ? c.lines[0].got : NULL);
	fputc(',', out);
	json_key(out, "expected", d->expected->row ? c.lines[0].expected : NULL);
	fputc(',', out);
	json_key(out, "ended", d->ended);
	fprintf(out, ",\"fields\":[");
	for (size_t i = 1; i < c.n; i++) {
		fputs(i > 1 ? "," : "", out);
		json_line(out, d, &c.lines[i]);
	}
	fputc(']', out);
	json_calls(out, "before", d, d->before, d->n_before);
	json_calls(out, "next", d, d->next, d->n_next);
	fprintf(out,
		",\"skipped\":%llu,\"followed\":%u,\"nearest\":", (unsigned long long)d->skipped,
		d->followed);
	if (d->has_nearest)
		fprintf(out, "%llu,", (unsigned long long)d->nearest);
	else
		fprintf(out, "null,");
	json_key(out, "where", where);
	fprintf(out, ",\"exit\":%d}\n", exit_code(d));
}
