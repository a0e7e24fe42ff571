// SPDX-License-Identifier: ISC
/*
 * Any bytes as golden text. Beyond not crashing: a refusal says why in one printable line; what parses can be
 * written, and what was written parses to the same text, in short and in full.
 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "fuzz/fuzz.h"
#include "trace_text.h"
#include "vm.h"

static bool printable_line(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

static void check_record(const struct trace_header *header, const struct trace_record *r)
{
	char line[80];

	assert(r->kind < TRACE_RECORD_COUNT && r->kind != TRACE_BLOB && r->kind != TRACE_BEFORE);
	assert(!r->in_len || r->in);
	assert(!r->out_len || r->out);
	trace_text_line(header, r, line, sizeof(line));
	assert(line[0] && strlen(line) < sizeof(line) && printable_line(line));
	if (r->kind == TRACE_AFTER)
		assert(r->tree.mount < header->n_mounts &&
			trace_tree_path_is_sane(r->tree.path, r->tree.path_len));
	if (r->kind == TRACE_EDITED)
		assert(trace_edit_is_sane(r, NULL));
	if (r->kind == TRACE_END)
		assert(r->stop_kind != VM_RUNNING && !strpbrk(r->stop_text, "\n\x1b"));
}

/* The text written anew, or NULL when it does not parse. */
static char *rewrite(const char *text, size_t len, bool full, size_t *out_len)
{
	FILE *in = fmemopen((void *)(uintptr_t)text, len, "r");
	struct trace_text_config config = { .full = full };
	struct trace_text_reader *reader;
	enum trace_record_kind last = TRACE_BLOB;
	struct trace_header header;
	struct trace_record record;
	struct err err = { 0 };
	char *written = NULL;
	FILE *out = open_memstream(&written, out_len);
	int r;

	assert(in && out);
	r = trace_text_open(&reader, in, "fuzz", NULL, &header, &err);
	if (!r) {
		r = trace_text_begin(out, &header, &config, &err);
		assert(!r);
		while ((r = trace_text_next(reader, &record, &err)) > 0) {
			check_record(&header, &record);
			last = record.kind;
			r = trace_text_put(out, &header, &record, &config, &err);
			assert(!r);
		}
		trace_text_close(reader);
		trace_header_finish(&header);
	}
	assert(!r || (r < 0 && err.text[0] && printable_line(err.text)));
	assert(r || last == TRACE_END || last == TRACE_CUT);
	fclose(in);
	fclose(out);
	if (!r)
		return written;
	free(written);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1); /* so that one byte too far is seen */

	assert(copy);
	if (size)
		memcpy(copy, data, size);
	for (int full = 0; full < 2; full++) {
		size_t len, len2;
		char *once = size ? rewrite(copy, size, full, &len) : NULL, *twice;

		if (!once)
			break;
		twice = rewrite(once, len, full, &len2);
		assert(twice && len == len2 && !memcmp(once, twice, len));
		free(once);
		free(twice);
	}
	free(copy);
	return 0;
}

int fuzz_print_bjt(const uint8_t *data, size_t size, FILE *out)
{
	return print_trace(data, size, out);
}
