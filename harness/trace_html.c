// SPDX-License-Identifier: ISC
/*
 * A trace as an HTML page: html/page.html, which is linked in, with the data as JSON and the hash of its
 * script, the only one that a browser then runs. Whatever is in a trace stays within JSON strings.
 */
#include "trace_html.h"

#include <assert.h>
#include <errno.h>
#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "cleanup.h"
#include "err.h"
#include "escape.h"
#include "json.h"
#include "names.h"
#include "trace_read.h"
#include "trace_show.h"
#include "trace_stat.h"
#include "trace_text.h"
#include "vm.h"

/* The assembler reads it: beside this file as the Makefile sees it. */
__asm__(".pushsection .rodata\n"
	"trace_html_page: .incbin \"harness/html/page.html\"\n"
	".byte 0\n"
	".popsection\n");
extern const char trace_html_page[]; /* a string */

enum {
	DATA_MAX = 4096, /* bytes of one buffer that the page holds */
	DATA_SUM = 32 << 20,
	LINE_SHOWN = 400,
	CHANGES_SHOWN = 30, /* lines of what the run did to the files */
};
#define EXACT_MAX (1ll << 53) /* what a number in JavaScript holds */

struct page {
	FILE *out;
	const struct trace_header *header;
	struct trace_lines lines;
	struct trace_stat stat;
	uint64_t limit, listed, first_ns;
	size_t data; /* bytes of data in the page so far */
	bool has_times, left_out;
	struct strings changes, edits;
	size_t more_changes, more_edits;
	char end[400];
	bool crashed;
};

/* --- calls ---------------------------------------------------------------------------------------- */

static void put_line(void *ctx, const char *line, size_t len)
{
	struct page *p = ctx;
	char text[LINE_SHOWN + 4];

	len--; /* its newline */
	if (len > LINE_SHOWN) {
		memcpy(mempcpy(text, line, LINE_SHOWN), "...", 3);
		line = text;
		len = LINE_SHOWN + 3;
	}
	json_put_bytes(p->out, line, len);
}

/* Length, and the bytes in base64 as far as they are kept. */
static void put_data(struct page *p, const uint8_t *data, size_t len)
{
	char text[BASE64_ENCODE_RAW_LENGTH(DATA_MAX)];
	size_t kept = len < DATA_MAX ? len : DATA_MAX;

	fprintf(p->out, ",%zu,", len);
	if (!kept || kept > DATA_SUM - p->data) {
		fputc('0', p->out);
		return;
	}
	p->data += kept;
	base64_encode_raw(text, kept, data);
	fprintf(p->out, "\"%.*s\"", (int)BASE64_ENCODE_RAW_LENGTH(kept), text);
}

static void put_args(FILE *out, const struct trace_record *r)
{
	const struct hcall_field *f = r->row->fields;

	fputs(",[", out);
	for (size_t i = 0; f[i].name; i++) {
		fputs(i ? "," : "", out);
		if (f[i].kind == HCALL_INT || f[i].kind == HCALL_FD)
			json_put_int(out, (int64_t)r->args[i]);
		else
			json_put_uint(out, r->args[i]);
	}
	fputc(']', out);
}

static int64_t since(uint64_t begin, uint64_t now)
{
	__int128 ns = (__int128)now - begin;

	return (int64_t)(ns > EXACT_MAX ? EXACT_MAX : ns < -EXACT_MAX ? -EXACT_MAX : ns);
}

/* The page's script knows these bits and the places in the array. */
static void put_call(struct page *p, const struct trace_record *r)
{
	enum { ENDS = 1, FAULT = 2, PENDING = 4 };
	bool pending = r->kind == TRACE_PENDING;

	if (!p->listed) {
		p->first_ns = r->time_ns;
		p->has_times = r->time_ns;
	}
	fprintf(p->out, "%s[%td,%llu,%lld,%lld,\"", p->listed ? ",\n" : "",
		r->row - p->header->abi->rows, (unsigned long long)r->seq,
		(long long)since(p->first_ns, r->time_ns),
		(long long)since(0, pending ? 0 : r->duration_ns));
	if (r->rip)
		fprintf(p->out, "0x%llx", (unsigned long long)r->rip);
	fputc('"', p->out);
	put_args(p->out, r);
	fputc(',', p->out);
	json_put_int(p->out, pending ? 0 : r->result);
	fprintf(p->out, ",%d,", r->ends * ENDS | r->fault * FAULT | pending * PENDING);
	trace_lines_put(&p->lines, r);
	put_data(p, r->in, r->in_len);
	put_data(p, r->out, r->out_len);
	fputc(']', p->out);
	p->listed++;
}

/* --- the rest ------------------------------------------------------------------------------------- */

static int keep_change(struct page *p, const struct trace_record *r, struct err *err)
{
	char line[400];

	if (r->kind == TRACE_EDITED ? p->edits.n == CHANGES_SHOWN : p->changes.n == CHANGES_SHOWN) {
		p->more_changes += r->kind == TRACE_AFTER;
		p->more_edits += r->kind == TRACE_EDITED;
		return 0;
	}
	trace_text_line(p->header, r, line, sizeof(line));
	return strings_add(r->kind == TRACE_EDITED ? &p->edits : &p->changes, line, err);
}

static void keep_end(struct page *p, const struct trace_record *r)
{
	const char *text = r->stop_text ? r->stop_text : "";
	size_t used;

	p->crashed = r->kind == TRACE_END && r->stop_kind != VM_EXITED;
	if (r->kind == TRACE_CUT)
		snprintf(p->end, sizeof(p->end), "recording was cut");
	else if (!p->crashed)
		snprintf(p->end, sizeof(p->end), "exited with %d", r->stop_code);
	else
		snprintf(p->end, sizeof(p->end),
			"%s: ", name_of(&names_stop, (unsigned)r->stop_kind));
	used = strlen(p->end);
	if (p->crashed)
		escape_bytes(p->end, sizeof(p->end), &used, text, strlen(text));
}

static int put_records(struct page *p, struct trace_reader *reader, struct err *err)
{
	struct trace_record r;
	int more, error = 0;

	while (!error && (more = trace_reader_next(reader, &r, err)) > 0 && !ferror(p->out)) {
		bool call = r.kind == TRACE_CALL || r.kind == TRACE_PENDING;

		trace_stat_add(&p->stat, p->header, &r);
		if (call && p->listed < p->limit)
			put_call(p, &r);
		else if (call)
			p->left_out = true;
		else if (r.kind == TRACE_AFTER || r.kind == TRACE_EDITED)
			error = keep_change(p, &r, err);
		else if (r.kind == TRACE_END || r.kind == TRACE_CUT)
			keep_end(p, &r);
	}
	return error ? error : more < 0 ? more : 0;
}

static void put_rows(FILE *out, const struct trace_header *h)
{
	char name[64];

	fputs("],\n\"rows\":[", out);
	for (size_t i = 0; i < h->abi->n_rows; i++) {
		const struct hcall_row *row = &h->abi->rows[i];

		trace_row_name(h, row, name, sizeof(name));
		fprintf(out, "%s{\"name\":\"%s\",\"fields\":[", i ? ",\n" : "", name);
		for (size_t k = 0; row->fields[k].name; k++)
			fprintf(out, "%s\"%s\"", k ? "," : "", row->fields[k].name);
		fputs("],\"pointers\":[", out);
		for (size_t k = 0; row->fields[k].name; k++)
			fprintf(out, "%s%d", k ? "," : "",
				trace_field_is_pointer(row->fields[k].kind));
		fprintf(out, "],\"path\":%d,\"len\":%d}", trace_row_has(row, HCALL_PATH),
			trace_row_find(row, HCALL_LEN));
	}
}

static void put_stat_row(FILE *out, const struct trace_stat_row *row)
{
	fprintf(out,
		"{\"row\":%zu,\"name\":\"%s\",\"calls\":%llu,\"errors\":%llu,\"ns\":", row->index,
		row->name, (unsigned long long)row->calls, (unsigned long long)row->errors);
	json_put_uint(out, row->time_ns);
	fputs(",\"bytes_in\":", out);
	json_put_uint(out, row->bytes_in);
	fputs(",\"bytes_out\":", out);
	json_put_uint(out, row->bytes_out);
	fputc('}', out);
}

static void put_stat(FILE *out, const struct trace_stat *stat)
{
	fputs("],\n\"summary\":[", out);
	for (size_t i = 0; i < stat->n; i++) {
		fputs(i ? ",\n" : "", out);
		put_stat_row(out, &stat->rows[i]);
	}
	fputs("],\n\"total\":", out);
	put_stat_row(out, &stat->total);
}

/* ["name","value"], the value printed by what follows into the stream; NULL: no memory. */
struct fact {
	FILE *text;
	char *buf;
	size_t len;
};

static bool fact_begin(struct fact *f)
{
	*f = (struct fact){ 0 };
	f->text = open_memstream(&f->buf, &f->len);
	return f->text;
}

static void fact_end(struct fact *f, FILE *out, const char *name)
{
	if (!fclose(f->text)) {
		fprintf(out, ",\n[\"%s\",", name);
		json_put_bytes(out, f->buf, f->len);
		fputc(']', out);
	}
	free(f->buf);
}

static void put_fact_strings(FILE *out, const char *name, const struct strings *s, size_t from)
{
	struct fact f;

	if (s->n <= from || !fact_begin(&f))
		return;
	for (size_t i = from; i < s->n; i++) {
		fputs(i > from ? " " : "", f.text);
		trace_show_quoted(f.text, s->list[i], strlen(s->list[i]));
	}
	fact_end(&f, out, name);
}

static void put_fact_string(FILE *out, const char *name, const char *string)
{
	struct fact f;

	if (!string || !fact_begin(&f))
		return;
	trace_show_quoted(f.text, string, strlen(string));
	fact_end(&f, out, name);
}

static void put_mount(FILE *out, const struct trace_mount *m)
{
	struct fact f;

	if (!fact_begin(&f))
		return;
	trace_show_quoted(f.text, m->host, strlen(m->host));
	fputs(" at ", f.text);
	trace_show_quoted(f.text, m->guest, strlen(m->guest));
	fprintf(f.text, " %s%s%s%s", m->writable ? "rw" : "ro", m->may_unlink ? ",unlink" : "",
		m->no_hardlinks ? ",nohardlinks" : "", m->is_file ? " file" : "");
	fact_end(&f, out, "mount");
}

static void put_facts(struct page *p)
{
	const struct trace_header *h = p->header;
	FILE *out = p->out;

	fprintf(out, ",\n\"facts\":[[\"machine\",\"%s v%d, %llu MiB of RAM\"]", h->abi->name,
		h->abi_version, (unsigned long long)(h->mem_size >> 20));
	if (h->has_guest_hash) {
		fputs(",\n[\"image\",\"sha256 ", out);
		for (size_t i = 0; i < sizeof(h->guest_hash); i++)
			fprintf(out, "%02x", h->guest_hash[i]);
		fputs("\"]", out);
	}
	put_fact_strings(out, "arguments", &h->argv, 0);
	put_fact_strings(out, "kernel arguments", &h->kernel_args, 0);
	put_fact_strings(out, "environment", &h->env, 0);
	put_fact_string(out, "directory", h->cwd);
	for (size_t i = 0; i < h->n_mounts; i++)
		put_mount(out, &h->mounts[i]);
	put_fact_string(out, "recorded by", h->program);
	put_fact_string(out, "recorded on", h->cpu);
	for (size_t i = 0; i < p->edits.n; i++) {
		fputs(",\n[\"a debugger wrote\",", out);
		json_put_text(out, p->edits.list[i] + strlen("edit "));
		fputc(']', out);
	}
	if (p->more_edits)
		fprintf(out, ",\n[\"a debugger wrote\",\"%zu times more\"]", p->more_edits);
	for (size_t i = 0; i < p->changes.n; i++) {
		fputs(",\n[\"file changed\",", out);
		json_put_text(out, p->changes.list[i] + strlen("after "));
		fputc(']', out);
	}
	if (p->more_changes)
		fprintf(out, ",\n[\"file changed\",\"and %zu more\"]", p->more_changes);
	fputc(']', out);
}

static void put_errnos(FILE *out)
{
	enum { ERRNO_NAMED_MAX = 133 };
	const char *comma = "";

	fputs(",\n\"errnos\":{", out);
	for (int i = 1; i <= ERRNO_NAMED_MAX; i++) {
		const char *name = strerrorname_np(i);

		if (!name)
			continue;
		fprintf(out, "%s\"%s\":%d", comma, name, i);
		comma = ",";
	}
	fputc('}', out);
}

/* A string, whatever it holds: what is no printable ASCII is escaped. */
static void put_name(FILE *out, const char *key, const char *name)
{
	char text[1024] = "";
	size_t used = 0;

	escape_bytes(text, sizeof(text), &used, name, strlen(name));
	fprintf(out, ",\n\"%s\":", key);
	json_put_text(out, text);
}

static int put_json(struct page *p, const char *name, struct trace_reader *reader, struct err *err)
{
	const char *slash = strrchr(name, '/');
	int r;

	fputs("{\"calls\":[", p->out);
	r = put_records(p, reader, err);
	trace_stat_end(&p->stat, p->header);
	trace_stat_sort(&p->stat, TRACE_STAT_TIME);
	put_rows(p->out, p->header);
	put_stat(p->out, &p->stat);
	put_facts(p);
	put_errnos(p->out);
	put_name(p->out, "file", slash ? slash + 1 : name);
	put_name(p->out, "guest", p->header->argv.n ? p->header->argv.list[0] : "");
	fprintf(p->out,
		",\n\"times\":%s,\"unfinished\":%d,\"cut\":%s,\"crashed\":%s,\"left_out\":%s",
		p->has_times ? "true" : "false", p->stat.unfinished, p->stat.cut ? "true" : "false",
		p->crashed ? "true" : "false", p->left_out ? "true" : "false");
	put_name(p->out, "end", p->end);
	fputs("}\n", p->out);
	return r;
}

/* --- the page ------------------------------------------------------------------------------------- */

static const char *find(const char *from, const char *text)
{
	const char *at = strstr(from, text);

	assert(at); /* the page is ours */
	return at;
}

static void put_until(FILE *out, const char **at, const char *marker)
{
	const char *end = find(*at, marker);

	fwrite(*at, 1, (size_t)(end - *at), out);
	*at = end + strlen(marker);
}

static void put_script_hash(FILE *out)
{
	const char *begin = find(trace_html_page, "<script>") + strlen("<script>");
	const char *end = find(begin, "</script>");
	char text[BASE64_ENCODE_RAW_LENGTH(SHA256_DIGEST_SIZE)];
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, (size_t)(end - begin), (const uint8_t *)begin);
	sha256_digest(&ctx, sizeof(digest), digest);
	base64_encode_raw(text, sizeof(digest), digest);
	fwrite(text, 1, sizeof(text), out);
}

int trace_html(
	FILE *out, const char *name, struct trace_reader *reader, uint64_t limit, struct err *err)
{
	struct page *p = calloc(1, sizeof(*p));
	const char *at = trace_html_page;
	int r;

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	*p = (struct page){ .out = out, .header = trace_reader_header(reader), .limit = limit };
	trace_lines_init(&p->lines, put_line, p);
	r = trace_stat_begin(&p->stat, p->header, err);
	if (!r) {
		put_until(out, &at, "@SCRIPT_HASH@");
		put_script_hash(out);
		put_until(out, &at, "@DATA@");
		r = put_json(p, name, reader, err);
		fputs(at, out);
	}
	trace_stat_finish(&p->stat);
	strings_finish(&p->changes);
	strings_finish(&p->edits);
	free(p);
	return r;
}
