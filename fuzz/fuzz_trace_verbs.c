// SPDX-License-Identifier: ISC
/*
 * What the verbs of `belljar trace` make of a trace: a line with a condition, then a recording or golden
 * text. Whatever that holds, lines are printable, JSON lines are whole, a page has its own two scripts and
 * no more, and the condition meets as many calls as it has been asked about at most.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "fuzz/fuzz.h"
#include "trace_export.h"
#include "trace_grep.h"
#include "trace_html.h"
#include "trace_read.h"
#include "trace_show.h"
#include "trace_stat.h"

struct text {
	char *buf;
	size_t len;
	FILE *out;
};

static void begin(struct text *t)
{
	*t = (struct text){ 0 };
	t->out = open_memstream(&t->buf, &t->len);
	assert(t->out);
}

static void end(struct text *t)
{
	fclose(t->out);
	free(t->buf);
}

static bool open_trace(struct trace_reader **r, const uint8_t *data, size_t size)
{
	struct err err = { "" };

	if (!trace_reader_open_memory(r, data, size, "fuzz", &err))
		return true;
	assert(err.text[0]);
	return false;
}

static void check_printable(const struct text *t)
{
	for (size_t i = 0; i < t->len; i++)
		assert(t->buf[i] == '\n' || (t->buf[i] >= 0x20 && t->buf[i] < 0x7f));
}

static void check_show(const uint8_t *data, size_t size, bool full)
{
	const struct trace_show_options o = { .full = full, .header = full, .to = UINT64_MAX };
	struct trace_reader *r;
	struct err err = { "" };
	struct text t;

	if (!open_trace(&r, data, size))
		return;
	begin(&t);
	if (trace_show(t.out, r, &o, &err))
		assert(err.text[0] && !strchr(err.text, '\n'));
	fflush(t.out);
	check_printable(&t);
	end(&t);
	trace_reader_close(r);
}

static size_t count(const struct text *t, const char *what)
{
	const char *at = t->buf;
	size_t n = 0;

	while ((at = memmem(at, t->len - (size_t)(at - t->buf), what, strlen(what)))) {
		at++;
		n++;
	}
	return n;
}

static void check_json_lines(const struct text *t)
{
	for (size_t i = 0; i < t->len; i++) {
		bool first = !i || t->buf[i - 1] == '\n';

		assert(!first || t->buf[i] == '{');
		assert(t->buf[i] != '\n' || t->buf[i - 1] == '}');
		assert(t->buf[i] == '\n' || (uint8_t)t->buf[i] >= 0x20);
	}
}

static void check_exports(const uint8_t *data, size_t size)
{
	struct trace_reader *r;
	struct err err = { "" };
	struct text t;

	if (!open_trace(&r, data, size))
		return;
	begin(&t);
	trace_export_jsonl(t.out, r, &err);
	fflush(t.out);
	check_json_lines(&t);
	end(&t);
	trace_reader_close(r);

	assert(open_trace(&r, data, size));
	begin(&t);
	trace_export_chrome(t.out, r, &err);
	fflush(t.out);
	assert(!strcmp(t.buf + t.len - 4, "\n]}\n"));
	end(&t);
	trace_reader_close(r);

	assert(open_trace(&r, data, size));
	begin(&t);
	trace_html(t.out, "fuzz", r, 100, &err);
	fflush(t.out);
	assert(count(&t, "<script") == 2 && count(&t, "</script") == 2);
	end(&t);
	trace_reader_close(r);
}

static void check_condition(const char *text, const uint8_t *data, size_t size)
{
	struct trace_condition c;
	struct trace_reader *r;
	struct trace_record record;
	struct trace_stat stat;
	struct err err = { "" };
	uint64_t met = 0, calls = 0;

	if (trace_condition_parse(&c, text, &err)) {
		assert(err.text[0] && !c.bytes);
		return;
	}
	if (open_trace(&r, data, size)) {
		while (trace_reader_next(r, &record, &err) > 0) {
			if (record.kind != TRACE_CALL && record.kind != TRACE_PENDING)
				continue;
			calls += record.kind == TRACE_CALL;
			met += record.kind == TRACE_CALL &&
			       trace_condition_holds(&c, trace_reader_header(r), &record);
		}
		trace_reader_close(r);
		assert(met <= calls && open_trace(&r, data, size));
		if (!trace_stat_read(&stat, r, &err)) {
			assert(stat.total.calls == calls);
			trace_stat_finish(&stat);
		}
		trace_reader_close(r);
	}
	trace_condition_finish(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = memchr(data, '\n', size);
	size_t line = newline ? (size_t)(newline - data) : 0;
	char condition[200] = "";

	if (!newline || line >= sizeof(condition))
		return 0;
	memcpy(condition, data, line);
	data += line + 1;
	size -= line + 1;
	check_show(data, size, false);
	check_show(data, size, true);
	check_exports(data, size);
	check_condition(condition, data, size);
	return 0;
}

int fuzz_print_bjt(const uint8_t *data, size_t size, FILE *out)
{
	const uint8_t *newline = memchr(data, '\n', size);

	if (!newline)
		return -EINVAL;
	newline++;
	return print_trace(newline, size - (size_t)(newline - data), out);
}
