// SPDX-License-Identifier: ISC
/* A trace for other tools. Knows their formats, and no call by name. */
#include "trace_export.h"

#include <fcntl.h>
#include <string.h>

#include "abi.h"
#include "cpuid_table.h"
#include "err.h"
#include "escape.h"
#include "json.h"
#include "names.h"
#include "trace_read.h"
#include "trace_show.h"
#include "trace_text.h"
#include "trace_write.h"
#include "vm.h"

/* --- JSON lines ----------------------------------------------------------------------------------- */

static void put_key(FILE *out, const char *key)
{
	fprintf(out, ",\"%s\":", key);
}

static void put_uint(FILE *out, const char *key, uint64_t value)
{
	put_key(out, key);
	json_put_uint(out, value);
}

static void put_bytes(FILE *out, const char *key, const void *bytes, size_t len)
{
	put_key(out, key);
	json_put_bytes(out, bytes, len);
}

static void put_text(FILE *out, const char *key, const char *text)
{
	if (text)
		put_bytes(out, key, text, strlen(text));
}

static void put_true(FILE *out, const char *key, bool value)
{
	if (value)
		fprintf(out, ",\"%s\":true", key);
}

static void put_digest(FILE *out, const char *key, const uint8_t hash[TRACE_HASH_LEN])
{
	put_key(out, key);
	fputc('"', out);
	for (int i = 0; i < TRACE_HASH_LEN; i++)
		fprintf(out, "%02x", hash[i]);
	fputc('"', out);
}

static void put_strings(FILE *out, const char *key, const struct strings *s)
{
	put_key(out, key);
	fputc('[', out);
	for (size_t i = 0; i < s->n; i++) {
		fputs(i ? "," : "", out);
		json_put_text(out, s->list[i]);
	}
	fputc(']', out);
}

static void put_mounts(FILE *out, const struct trace_header *h)
{
	fputs(",\"mounts\":[", out);
	for (size_t i = 0; i < h->n_mounts; i++) {
		const struct trace_mount *m = &h->mounts[i];

		fputs(i ? ",{\"host\":" : "{\"host\":", out);
		json_put_text(out, m->host);
		put_text(out, "guest", m->guest);
		put_true(out, "writable", m->writable);
		put_true(out, "may_unlink", m->may_unlink);
		put_true(out, "no_hardlinks", m->no_hardlinks);
		put_true(out, "file", m->is_file);
		fputc('}', out);
	}
	fputc(']', out);
}

static void put_limits(FILE *out, struct fileio_limits limits)
{
	const char *before = ",\"limits\":{";

	for (size_t i = 0; i < LIMITS; i++) {
		uint64_t n = *limit_at(&limits, i);

		if (!n)
			continue;
		fprintf(out, "%s\"%s\":", before, limit_names[i]);
		json_put_uint(out, n);
		before = ",";
	}
	if (!before[1])
		fputc('}', out);
}

/* As in a recording, but the subleaf always has a place. */
static void put_cpuid(FILE *out, const struct trace_header *h)
{
	for (size_t i = 0; i < h->n_cpuid; i++) {
		const struct cpuid_entry *e = &h->cpuid[i];

		fprintf(out, "%s[%u,", i ? "," : ",\"cpuid\":[", e->leaf);
		if (e->has_subleaf)
			fprintf(out, "%u", e->subleaf);
		else
			fputs("null", out);
		fprintf(out, ",%u,%u,%u,%u]%s", e->eax, e->ebx, e->ecx, e->edx,
			i + 1 < h->n_cpuid ? "" : "]");
	}
}

static void put_header(FILE *out, const struct trace_header *h)
{
	fprintf(out, "{\"bjt\":%u", h->version);
	put_text(out, "program", h->program);
	put_text(out, "abi", h->abi->name);
	fprintf(out, ",\"generation\":%d", h->abi_version);
	if (h->has_guest_hash)
		put_digest(out, "guest", h->guest_hash);
	put_uint(out, "memory", h->mem_size);
	fprintf(out, ",\"clock\":\"%llu\"", (unsigned long long)h->boot_time_ns);
	put_uint(out, "seed", h->seed);
	put_text(out, "cpu", h->cpu);
	put_cpuid(out, h);
	put_text(out, "directory", h->cwd);
	put_strings(out, "arguments", &h->argv);
	put_strings(out, "kernel_arguments", &h->kernel_args);
	put_strings(out, "environment", &h->env);
	put_limits(out, h->limits);
	put_true(out, "utf8_paths", h->utf8_paths);
	put_true(out, "partial", h->partial);
	put_mounts(out, h);
	put_true(out, "tree", h->has_tree);
	fputs("}\n", out);
}

static void put_entry(FILE *out, const char *when, const struct tree_entry *e)
{
	fprintf(out, "{\"%s\":\"%s\"", when, name_of(&names_tree, e->kind));
	put_uint(out, "mount", e->mount);
	put_bytes(out, "path", e->path, e->path_len);
	put_uint(out, "mode", e->mode);
	if (e->kind == TREE_FILE) {
		put_uint(out, "size", e->size);
		put_digest(out, "sha256", e->hash);
	}
	if (e->kind == TREE_LINK)
		put_bytes(out, "target", e->target, e->target_len);
	if (e->same)
		put_uint(out, "same", e->same);
	put_true(out, "xdev", e->xdev);
	fputs("}\n", out);
}

static void put_blob(FILE *out, const struct trace_record *r)
{
	fputs("{\"blob\":true", out);
	put_digest(out, "sha256", r->tree.hash);
	put_bytes(out, "data", r->in, r->in_len);
	fputs("}\n", out);
}

/* The bits that have names, for those who would rather not know them. */
static void put_open_flags(FILE *out, uint64_t flags)
{
	char name[NAME_SHORT_MAX];

	name_short(&names_access, flags & O_ACCMODE, name);
	fprintf(out, ",\"flags\":[\"%s\"", name);
	for (size_t i = 0; i < names_open_flags.n; i++) {
		uint64_t bits = names_open_flags.rows[i].value;

		if ((flags & bits) != bits)
			continue;
		name_short(&names_open_flags, bits, name);
		fprintf(out, ",\"%s\"", name);
		flags &= ~bits;
	}
	fputc(']', out);
}

static void put_args(FILE *out, const struct trace_record *r)
{
	const struct hcall_field *f = r->row->fields;
	int flags = trace_row_find(r->row, HCALL_OPEN_FLAGS);

	fputs(",\"args\":{", out);
	for (size_t i = 0; f[i].name; i++) {
		fprintf(out, "%s\"%s\":", i ? "," : "", f[i].name);
		if (trace_field_is_pointer(f[i].kind))
			fprintf(out, "\"0x%llx\"", (unsigned long long)r->args[i]);
		else if (f[i].kind == HCALL_INT || f[i].kind == HCALL_FD)
			json_put_int(out, (int64_t)r->args[i]);
		else
			json_put_uint(out, r->args[i]);
	}
	fputc('}', out);
	if (flags >= 0)
		put_open_flags(out, r->args[flags]);
}

static void put_result(FILE *out, const struct trace_record *r)
{
	const char *name =
		r->result < 0 && r->result > -4096 ? strerrorname_np((int)-r->result) : NULL;

	put_key(out, "ret");
	json_put_int(out, r->result);
	if (name)
		put_text(out, "error", name);
	put_true(out, "ends", r->ends);
}

static void put_call(FILE *out, const struct trace_header *header, const struct trace_record *r)
{
	bool path = trace_row_has(r->row, HCALL_PATH);
	char name[64];

	trace_row_name(header, r->row, name, sizeof(name));
	fprintf(out, "{\"call\":\"%s\"", name);
	put_uint(out, "n", r->seq);
	put_uint(out, "port", r->row->port);
	fprintf(out, ",\"t\":\"%llu\"", (unsigned long long)r->time_ns);
	put_uint(out, "d", r->duration_ns);
	fprintf(out, ",\"ip\":\"0x%llx\"", (unsigned long long)r->rip);
	put_args(out, r);
	if (r->kind == TRACE_PENDING)
		put_true(out, "pending", true);
	else
		put_result(out, r);
	put_true(out, "fault", r->fault);
	put_true(out, "mask_ret", r->masked & TRACE_MASK_RESULT);
	put_true(out, "mask_out", r->masked & TRACE_MASK_OUT);
	if (r->in_len || (path && !r->fault))
		put_bytes(out, path ? "path" : "in", r->in, r->in_len);
	if (r->out_len)
		put_bytes(out, "out", r->out, r->out_len);
	fputs("}\n", out);
}

/* The value of a register as in golden text: a number, of any size. */
static void put_edit(FILE *out, const struct trace_record *r)
{
	const struct trace_edit *e = &r->edit;

	fprintf(out, "{\"edit\":\"%s\"", e->reg ? e->reg : "memory");
	put_uint(out, "n", e->calls);
	put_true(out, "held", e->held);
	if (!e->held)
		put_uint(out, "instructions", e->insns);
	if (!e->held && e->happened)
		put_uint(out, "exceptions", e->happened);
	if (e->rip)
		fprintf(out, ",\"ip\":\"0x%llx\"", (unsigned long long)e->rip);
	if (e->reg) {
		fputs(",\"value\":\"0x", out);
		for (size_t i = r->out_len; i--;)
			fprintf(out, "%02x", r->out[i]);
		fputc('"', out);
	} else {
		fprintf(out, ",\"address\":\"0x%llx\"", (unsigned long long)e->gpa);
		put_bytes(out, "out", r->out, r->out_len);
	}
	fputs("}\n", out);
}

static void put_end(FILE *out, const struct trace_record *r, uint64_t calls)
{
	fputs("{\"end\":", out);
	json_put_uint(out, calls);
	if (r->kind == TRACE_CUT) {
		put_true(out, "cut", true);
	} else {
		put_text(out, "stop", name_of(&names_stop, (unsigned)r->stop_kind));
		fprintf(out, ",\"code\":%d", r->stop_code);
		put_text(out, "text", r->stop_text ? r->stop_text : "");
	}
	fputs("}\n", out);
}

int trace_export_jsonl(FILE *out, struct trace_reader *reader, struct err *err)
{
	const struct trace_header *header = trace_reader_header(reader);
	struct trace_record r;
	uint64_t calls = 0;
	int more;

	put_header(out, header);
	while ((more = trace_reader_next(reader, &r, err)) > 0 && !ferror(out)) {
		calls += r.kind == TRACE_CALL;
		if (r.kind == TRACE_CALL || r.kind == TRACE_PENDING)
			put_call(out, header, &r);
		else if (r.kind == TRACE_BLOB)
			put_blob(out, &r);
		else if (r.kind == TRACE_BEFORE)
			put_entry(out, "before", &r.tree);
		else if (r.kind == TRACE_AFTER)
			put_entry(out, "after", &r.tree);
		else if (r.kind == TRACE_EDITED)
			put_edit(out, &r);
		else
			put_end(out, &r, calls);
	}
	return more < 0 ? more : 0;
}

/* --- trace events --------------------------------------------------------------------------------- */

enum { TRACK_GUEST = 1, TRACK_HOST };

struct chrome {
	FILE *out;
	const struct trace_header *header;
	struct trace_lines lines;
	uint64_t first_ns, last_end_ns;
	bool any;
};

static void put_line(void *ctx, const char *line, size_t len)
{
	json_put_bytes(ctx, line, len - 1);
}

/* Microseconds, with what nanoseconds there are behind the point. */
static void put_us(FILE *out, const char *key, int64_t ns)
{
	uint64_t n = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;

	fprintf(out, ",\"%s\":%s%llu.%03u", key, ns < 0 ? "-" : "", (unsigned long long)(n / 1000),
		(unsigned)(n % 1000));
}

static void begin_event(struct chrome *c, const char *phase, int track, int64_t ns)
{
	fprintf(c->out, "%s{\"ph\":\"%s\",\"pid\":1,\"tid\":%d", c->any ? ",\n" : "", phase, track);
	c->any = true;
	put_us(c->out, "ts", ns);
}

/* Always a string, as these tools want it: escaped, should it be no text. */
static void put_plain(FILE *out, const char *text)
{
	char line[256] = "";
	size_t used = 0;

	escape_bytes(line, sizeof(line), &used, text, strlen(text));
	json_put_text(out, line);
}

static void put_name(struct chrome *c, int track, const char *what, const char *text)
{
	fprintf(c->out, "%s{\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"name\":\"%s\",\"args\":{\"name\":",
		c->any ? ",\n" : "", track, what);
	c->any = true;
	put_plain(c->out, text);
	fputs("}}", c->out);
}

/* When a call began and how long it took; made up for traces that do not know. */
static void times_of(struct chrome *c, const struct trace_record *r, uint64_t *begin, uint64_t *ns)
{
	enum { MADE_UP_NS = 1000 };

	*begin = r->time_ns ? r->time_ns : r->seq * MADE_UP_NS;
	*ns = r->time_ns ? r->duration_ns : MADE_UP_NS / 2;
	if (!c->last_end_ns)
		c->last_end_ns = c->first_ns = *begin;
}

static void put_guest_run(struct chrome *c, uint64_t until)
{
	if (until <= c->last_end_ns)
		return;
	begin_event(c, "X", TRACK_GUEST, (int64_t)(c->last_end_ns - c->first_ns));
	put_us(c->out, "dur", (int64_t)(until - c->last_end_ns));
	fputs(",\"name\":\"guest\",\"cat\":\"guest\"}", c->out);
}

static void put_call_event(struct chrome *c, const struct trace_record *r)
{
	bool pending = r->kind == TRACE_PENDING;
	uint64_t begin, ns;
	char name[64];

	times_of(c, r, &begin, &ns);
	put_guest_run(c, begin);
	trace_row_name(c->header, r->row, name, sizeof(name));
	begin_event(c, pending ? "B" : "X", TRACK_HOST, (int64_t)(begin - c->first_ns));
	if (!pending)
		put_us(c->out, "dur", (int64_t)ns);
	fprintf(c->out, ",\"name\":\"%s\",\"cat\":\"hcall\",\"args\":{\"call\":", name);
	trace_lines_put(&c->lines, r);
	put_uint(c->out, "n", r->seq);
	fprintf(c->out, ",\"ip\":\"0x%llx\"", (unsigned long long)r->rip);
	put_uint(c->out, "bytes_in", r->in_len);
	put_uint(c->out, "bytes_out", r->out_len);
	if (pending)
		put_true(c->out, "unfinished", true);
	else
		put_result(c->out, r);
	fputs("}}", c->out);
	c->last_end_ns = pending || ns > UINT64_MAX - begin ? begin : begin + ns;
}

static void put_edit_event(struct chrome *c, const struct trace_record *r)
{
	char line[200];

	trace_text_line(c->header, r, line, sizeof(line));
	begin_event(c, "i", TRACK_GUEST,
		(int64_t)((r->time_ns ? r->time_ns : c->last_end_ns) - c->first_ns));
	fputs(",\"s\":\"t\",\"name\":", c->out);
	put_plain(c->out, line);
	fputc('}', c->out);
}

static void put_stop_event(struct chrome *c, const struct trace_record *r)
{
	begin_event(c, "i", TRACK_GUEST, (int64_t)(c->last_end_ns - c->first_ns));
	fputs(",\"s\":\"p\",\"name\":", c->out);
	if (r->kind == TRACE_CUT)
		fputs("\"recording was cut\"}", c->out);
	else
		fprintf(c->out, "\"%s\",\"args\":{\"code\":%d}}",
			name_of(&names_stop, (unsigned)r->stop_kind), r->stop_code);
}

int trace_export_chrome(FILE *out, struct trace_reader *reader, struct err *err)
{
	struct chrome c = { .out = out, .header = trace_reader_header(reader) };
	struct trace_record r;
	int more;

	trace_lines_init(&c.lines, put_line, out);
	fprintf(out,
		"{\"displayTimeUnit\":\"ns\",\"otherData\":{\"format\":\"belljar\",\"times\":\"%s\""
		"},\"traceEvents\":[\n",
		trace_reader_format(reader) == TRACE_BJT ? "made up: a microsecond for each call"
							 : "real");
	put_name(&c, 0, "process_name", c.header->argv.n ? c.header->argv.list[0] : "guest");
	put_name(&c, TRACK_GUEST, "thread_name", "guest");
	put_name(&c, TRACK_HOST, "thread_name", "host");
	while ((more = trace_reader_next(reader, &r, err)) > 0 && !ferror(out)) {
		if (r.kind == TRACE_CALL || r.kind == TRACE_PENDING)
			put_call_event(&c, &r);
		else if (r.kind == TRACE_EDITED)
			put_edit_event(&c, &r);
		else if (r.kind == TRACE_END || r.kind == TRACE_CUT)
			put_stop_event(&c, &r);
	}
	fputs("\n]}\n", out);
	return more < 0 ? more : 0;
}

/* --- recordings ----------------------------------------------------------------------------------- */

int trace_export_recording(const char *path, struct trace_reader *reader, struct err *err)
{
	const struct trace_writer_config config = { .on_error = TRACE_ERROR_STOP };
	struct trace_writer *writer;
	struct trace_record record;
	struct err why = { "" };
	int more = 0, r;

	r = trace_writer_open(&writer, path, trace_reader_header(reader), &config, err);
	if (r)
		return r;
	while (!r && (more = trace_reader_next(reader, &record, err)) > 0)
		if (record.kind != TRACE_PENDING && record.kind != TRACE_CUT)
			r = trace_writer_put(writer, &record);
	r = trace_writer_close(writer, &why);
	if (more < 0)
		return more; /* what was good is there, as a recording that was cut */
	return r ? err_set(err, r, "%s", why.text) : 0;
}
