// SPDX-License-Identifier: ISC
/*
 * A trace as strace-like lines: each record is told to strace as the machine would have told it. Knows no
 * call by name, and no output but a stream.
 */
#include "trace_show.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "abi.h"
#include "err.h"
#include "escape.h"
#include "trace_read.h"
#include "trace_text.h"
#include "vm.h"

enum { DUMP_WIDTH = 16 };

void trace_line_to_stream(void *ctx, const char *line, size_t len)
{
	fwrite_unlocked(line, 1, len, ctx);
}

void trace_lines_init(struct trace_lines *l, strace_line_fn *put_line, void *ctx)
{
	strace_init_lines(&l->strace, put_line, ctx);
}

static void emit(struct trace_lines *l, const struct trace_event *event)
{
	l->strace.sink.emit(&l->strace.sink, event);
}

static void emit_data(struct trace_lines *l, enum trace_kind kind,
	const struct trace_record *record, int field, const uint8_t *data, size_t len)
{
	emit(l, &(struct trace_event){ .kind = kind,
			.call = &l->call,
			.addr = hcall_field_value(&l->call, &record->row->fields[field]),
			.data = data ? data : (const uint8_t *)"",
			.len = len });
}

static int find_field(const struct hcall_row *row, const enum hcall_kind *kinds, size_t n)
{
	int field = -1;

	for (size_t i = 0; field < 0 && i < n; i++)
		field = trace_row_find(row, kinds[i]);
	return field;
}

void trace_lines_put(struct trace_lines *l, const struct trace_record *record)
{
	static const enum hcall_kind ins[] = { HCALL_PATH, HCALL_DATA_IN };
	static const enum hcall_kind outs[] = { HCALL_DATA_OUT, HCALL_DENTS_OUT, HCALL_STAT_OUT };
	static const struct vm_stop silent = { .kind = VM_DEBUG };
	int in = find_field(record->row, ins, 2), out = find_field(record->row, outs, 3);
	bool empty_path = in >= 0 && record->row->fields[in].kind == HCALL_PATH &&
			  record->kind == TRACE_CALL && !record->fault;

	trace_call_of_record(&l->call, record);
	emit(l, &(struct trace_event){ .kind = TRACE_ENTER, .call = &l->call });
	if (in >= 0 && (record->in_len || empty_path))
		emit_data(l, TRACE_READ, record, in, record->in, record->in_len);
	if (out >= 0 && record->out_len)
		emit_data(l, TRACE_WRITE, record, out, record->out, record->out_len);
	if (record->kind == TRACE_PENDING)
		emit(l, &(struct trace_event){ .kind = TRACE_STOP, .stop = &silent });
	else
		emit(l, &(struct trace_event){ .kind = TRACE_LEAVE, .call = &l->call });
}

/* --- --full --------------------------------------------------------------------------------------- */

void trace_show_quoted(FILE *out, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	char text[4];

	putc_unlocked('"', out);
	for (size_t i = 0; i < len; i++)
		fwrite_unlocked(text, 1, escape_byte(text, p[i], true), out);
	putc_unlocked('"', out);
}

static bool is_text(const uint8_t *data, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += (data[i] >= ' ' && data[i] < 0x7f) || data[i] == '\n' || data[i] == '\t' ||
		     data[i] == '\r';
	return n * 10 >= len * 9;
}

/* A line of the data is a line here; long ones go on. */
static void put_text(FILE *out, char mark, const uint8_t *data, size_t len)
{
	enum { WIDTH = 80 };
	char text[4];

	for (size_t at = 0; at < len;) {
		fprintf(out, "    %c ", mark);
		for (size_t n = 0; n < WIDTH && at < len; n++) {
			fwrite_unlocked(text, 1, escape_byte(text, data[at], false), out);
			if (data[at++] == '\n')
				break;
		}
		putc_unlocked('\n', out);
	}
}

static void put_dump(FILE *out, char mark, const uint8_t *data, size_t len)
{
	for (size_t at = 0; at < len; at += DUMP_WIDTH) {
		size_t n = len - at < DUMP_WIDTH ? len - at : DUMP_WIDTH;

		fprintf(out, "    %c %08zx ", mark, at);
		for (size_t i = 0; i < DUMP_WIDTH; i++) {
			if (i == DUMP_WIDTH / 2)
				putc_unlocked(' ', out);
			if (i < n)
				fprintf(out, " %02x", data[at + i]);
			else
				fputs_unlocked("   ", out);
		}
		fputs_unlocked("  |", out);
		for (size_t i = 0; i < n; i++) {
			uint8_t c = data[at + i];

			putc_unlocked(c >= ' ' && c < 0x7f ? c : '.', out);
		}
		fputs_unlocked("|\n", out);
	}
}

static void put_data(FILE *out, char mark, const uint8_t *data, size_t len)
{
	if (is_text(data, len))
		put_text(out, mark, data, len);
	else
		put_dump(out, mark, data, len);
}

void trace_show_full(FILE *out, const struct trace_record *record)
{
	time_t seconds = (time_t)(record->time_ns / 1000000000);
	struct tm tm;
	char when[40];

	fprintf(out, "    #%llu", (unsigned long long)record->seq);
	if (record->time_ns && gmtime_r(&seconds, &tm) &&
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm))
		fprintf(out, "  %s.%09u", when, (unsigned)(record->time_ns % 1000000000));
	if (record->time_ns && record->kind == TRACE_CALL)
		fprintf(out, "  took %llu.%03u us",
			(unsigned long long)(record->duration_ns / 1000),
			(unsigned)(record->duration_ns % 1000));
	if (record->rip)
		fprintf(out, "  rip 0x%llx", (unsigned long long)record->rip);
	if (record->fault)
		fprintf(out, "  bad address");
	putc_unlocked('\n', out);
	put_data(out, '>', record->in, record->in_len);
	put_data(out, '<', record->out, record->out_len);
}

/* --- the whole ------------------------------------------------------------------------------------ */

static void put_strings(FILE *out, const char *what, const struct strings *s, size_t from)
{
	if (s->n <= from)
		return;
	fprintf(out, "# %s", what);
	for (size_t i = from; i < s->n; i++) {
		putc_unlocked(' ', out);
		trace_show_quoted(out, s->list[i], strlen(s->list[i]));
	}
	putc_unlocked('\n', out);
}

static void put_string(FILE *out, const char *what, const char *string)
{
	fputs_unlocked(what, out);
	trace_show_quoted(out, string, strlen(string));
}

static void put_header(FILE *out, const struct trace_header *h)
{
	struct fileio_limits limits = h->limits;

	put_string(out, "# guest ", h->argv.n ? h->argv.list[0] : "");
	fprintf(out, " %s v%d, %llu MiB", h->abi->name, h->abi_version,
		(unsigned long long)(h->mem_size >> 20));
	if (h->has_guest_hash) {
		fputs_unlocked(", sha256 ", out);
		for (size_t i = 0; i < sizeof(h->guest_hash); i++)
			fprintf(out, "%02x", h->guest_hash[i]);
	}
	putc_unlocked('\n', out);
	put_strings(out, "arguments", &h->argv, 1);
	put_strings(out, "kernel arguments", &h->kernel_args, 0);
	put_strings(out, "environment", &h->env, 0);
	if (h->cwd && strcmp(h->cwd, "/") != 0) {
		put_string(out, "# directory ", h->cwd);
		putc_unlocked('\n', out);
	}
	for (size_t i = 0; i < LIMITS; i++)
		if (*limit_at(&limits, i))
			fprintf(out, "# limit %s %" PRIu64 "\n", limit_names[i],
				*limit_at(&limits, i));
	if (h->utf8_paths)
		fputs("# paths are UTF-8\n", out);
	if (h->partial)
		fputs("# part of a run: it is not to be replayed\n", out);
	for (size_t i = 0; i < h->n_mounts; i++) {
		const struct trace_mount *m = &h->mounts[i];

		put_string(out, "# mount ", m->host);
		put_string(out, " at ", m->guest);
		fprintf(out, " %s%s%s%s\n", m->writable ? "rw" : "ro",
			m->may_unlink ? ",unlink" : "", m->no_hardlinks ? ",nohardlinks" : "",
			m->is_file ? " file" : "");
	}
	if (h->program)
		put_string(out, "# recorded by ", h->program);
	if (h->program && h->cpu)
		put_string(out, " on ", h->cpu);
	if (h->program)
		putc_unlocked('\n', out);
}

static void put_end(FILE *out, struct trace_lines *l, const struct trace_record *record)
{
	struct vm_stop stop = { .kind = (enum vm_stop_kind)record->stop_kind,
		.code = record->stop_code };
	const char *text = record->stop_text ? record->stop_text : "";
	size_t used = 0;

	if (record->kind == TRACE_CUT) {
		fputs_unlocked("+++ recording was cut +++\n", out);
		return;
	}
	escape_bytes(stop.text, sizeof(stop.text), &used, text, strlen(text));
	emit(l, &(struct trace_event){ .kind = TRACE_STOP, .stop = &stop });
}

/* What changed in the mounted trees, for those who want more than the calls. */
static void put_after(
	FILE *out, const struct trace_header *header, const struct trace_record *record)
{
	char line[9000]; /* a path of 2000 bytes, escaped */

	trace_text_line(header, record, line, sizeof(line));
	fprintf(out, "# %s\n", line);
}

/* What a debugger wrote, as strace tells what comes from outside. */
static void put_edit(
	FILE *out, const struct trace_header *header, const struct trace_record *record, bool full)
{
	char line[200];

	trace_text_line(header, record, line, sizeof(line));
	fprintf(out, "--- %s ---\n", line);
	if (full && !record->edit.reg)
		put_data(out, '<', record->out, record->out_len);
}

int trace_show(
	FILE *out, struct trace_reader *reader, const struct trace_show_options *o, struct err *err)
{
	const struct trace_header *header = trace_reader_header(reader);
	struct trace_record record;
	struct trace_lines lines;
	int r;

	trace_lines_init(&lines, trace_line_to_stream, out);
	if (o->header)
		put_header(out, header);
	while ((r = trace_reader_next(reader, &record, err)) > 0 && !ferror_unlocked(out)) {
		bool call = record.kind == TRACE_CALL || record.kind == TRACE_PENDING;

		if (call && record.seq < o->from)
			continue;
		if (call && record.seq > o->to)
			return 0;
		if (call)
			trace_lines_put(&lines, &record);
		if (call && o->full)
			trace_show_full(out, &record);
		if (record.kind == TRACE_EDITED && record.edit.calls >= o->from &&
			record.edit.calls <= o->to)
			put_edit(out, header, &record, o->full);
		if (record.kind == TRACE_AFTER && o->header)
			put_after(out, header, &record);
		if (record.kind == TRACE_END || record.kind == TRACE_CUT)
			put_end(out, &lines, &record);
	}
	return r > 0 ? 0 : r;
}
