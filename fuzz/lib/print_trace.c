// SPDX-License-Identifier: ISC
/* A fuzz target's trace as golden text. Of one that the reader refuses midway, what comes before, and `cut`. */
#include <errno.h>

#include "err.h"
#include "fuzz/fuzz.h"
#include "trace_read.h"
#include "trace_text.h"

int print_trace(const uint8_t *trace, size_t size, FILE *out)
{
	struct trace_text_config config = { 0 };
	struct trace_record record = { .kind = TRACE_CUT };
	const struct trace_header *header;
	struct trace_reader *reader;
	struct err err = { "" };
	int r, more = 1;

	r = trace_reader_open_memory(&reader, trace, size, "input", &err);
	if (r)
		return r;
	header = trace_reader_header(reader);
	r = trace_text_begin(out, header, &config, &err);
	while (!r && (more = trace_reader_next(reader, &record, &err)) > 0)
		r = trace_text_put(out, header, &record, &config, &err);
	if (!r && more < 0) {
		record = (struct trace_record){ .kind = TRACE_CUT };
		r = trace_text_put(out, header, &record, &config, &err);
	}
	trace_reader_close(reader);
	return r;
}
