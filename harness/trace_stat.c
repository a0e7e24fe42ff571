// SPDX-License-Identifier: ISC
/* A trace in numbers. A counter per row of the ABI's table; knows no call by name. */
#include "trace_stat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "err.h"
#include "json.h"
#include "trace_read.h"

const char *const trace_stat_sort_names[] = { "time", "calls", "errors", "name", "bytes" };

_Static_assert(
	sizeof(trace_stat_sort_names) / sizeof(trace_stat_sort_names[0]) == TRACE_STAT_SORT_COUNT,
	"a name each");

static void count(struct trace_stat_row *row, const struct trace_record *record)
{
	row->calls++;
	row->errors += !record->ends && record->result < 0;
	row->time_ns += record->duration_ns;
	row->bytes_in += record->in_len;
	row->bytes_out += record->out_len;
}

int trace_stat_begin(struct trace_stat *stat, const struct trace_header *header, struct err *err)
{
	*stat = (struct trace_stat){ .total.name = "total" };
	stat->rows = calloc(header->abi->n_rows, sizeof(*stat->rows));
	return stat->rows ? 0 : err_set(err, -ENOMEM, "out of memory");
}

void trace_stat_add(struct trace_stat *stat, const struct trace_header *header,
	const struct trace_record *record)
{
	stat->cut |= record->kind == TRACE_CUT;
	stat->unfinished |= record->kind == TRACE_PENDING;
	stat->edits += record->kind == TRACE_EDITED;
	if (record->kind != TRACE_CALL)
		return;
	count(&stat->rows[record->row - header->abi->rows], record);
	count(&stat->total, record);
}

/* Names the rows, and leaves out those that were not called. */
void trace_stat_end(struct trace_stat *stat, const struct trace_header *header)
{
	for (size_t i = 0; i < header->abi->n_rows; i++) {
		struct trace_stat_row *row = &stat->rows[i];

		if (!row->calls)
			continue;
		trace_row_name(header, &header->abi->rows[i], row->name, sizeof(row->name));
		row->index = i;
		stat->rows[stat->n++] = *row;
	}
}

int trace_stat_read(struct trace_stat *stat, struct trace_reader *reader, struct err *err)
{
	const struct trace_header *header = trace_reader_header(reader);
	struct trace_record record;
	int r = trace_stat_begin(stat, header, err);

	if (r)
		return r;
	while ((r = trace_reader_next(reader, &record, err)) > 0)
		trace_stat_add(stat, header, &record);
	trace_stat_end(stat, header);
	if (r)
		trace_stat_finish(stat);
	return r;
}

void trace_stat_finish(struct trace_stat *stat)
{
	free(stat->rows);
	stat->rows = NULL;
}

/* Most first; what is equal by calls, then by name. */
static int more(uint64_t x, uint64_t y)
{
	return (x < y) - (x > y);
}

static int compare(const void *a, const void *b, void *ctx)
{
	const struct trace_stat_row *x = a, *y = b;
	const enum trace_stat_sort *by = ctx;
	const uint64_t keys[][2] = {
		[TRACE_STAT_TIME] = { x->time_ns, y->time_ns },
		[TRACE_STAT_CALLS] = { x->calls, y->calls },
		[TRACE_STAT_ERRORS] = { x->errors, y->errors },
		[TRACE_STAT_NAME] = { 0, 0 },
		[TRACE_STAT_BYTES] = { x->bytes_in + x->bytes_out, y->bytes_in + y->bytes_out },
	};
	int r = more(keys[*by][0], keys[*by][1]);

	if (!r && *by != TRACE_STAT_NAME)
		r = more(x->calls, y->calls);
	return r ? r : strcmp(x->name, y->name);
}

void trace_stat_sort(struct trace_stat *stat, enum trace_stat_sort by)
{
	qsort_r(stat->rows, stat->n, sizeof(*stat->rows), compare, &by);
}

static void print_row(
	FILE *out, const struct trace_stat_row *row, const struct trace_stat_row *total)
{
	double seconds = (double)row->time_ns * 1e-9;
	double part = total->time_ns ? (double)row->time_ns / (double)total->time_ns : 0;
	char errors[24] = "";

	if (row->errors)
		snprintf(errors, sizeof(errors), "%llu", (unsigned long long)row->errors);
	fprintf(out, "%6.2f %12.6f %11.2f %9llu %9s %12llu %12llu %s\n", part * 100, seconds,
		row->calls ? seconds * 1e6 / (double)row->calls : 0, (unsigned long long)row->calls,
		errors, (unsigned long long)row->bytes_in, (unsigned long long)row->bytes_out,
		row->name);
}

void trace_stat_print(FILE *out, const struct trace_stat *stat)
{
	static const char rule[] =
		"------ ------------ ----------- --------- --------- ------------ ------------ "
		"----------------\n";

	fprintf(out, "%6s %12s %11s %9s %9s %12s %12s %s\n%s", "% time", "seconds", "usecs/call",
		"calls", "errors", "bytes in", "bytes out", "call", rule);
	for (size_t i = 0; i < stat->n; i++)
		print_row(out, &stat->rows[i], &stat->total);
	fputs(rule, out);
	print_row(out, &stat->total, &stat->total);
	if (stat->edits)
		fprintf(out, "A debugger wrote %llu times.\n", (unsigned long long)stat->edits);
	if (stat->cut)
		fprintf(out, "The recording was cut%s.\n",
			stat->unfinished ? "; one call more was in flight" : "");
}

static void json_row(FILE *out, const struct trace_stat_row *row)
{
	fputs("{\"call\":", out);
	json_put_text(out, row->name);
	fputs(",\"calls\":", out);
	json_put_uint(out, row->calls);
	fputs(",\"errors\":", out);
	json_put_uint(out, row->errors);
	fputs(",\"ns\":", out);
	json_put_uint(out, row->time_ns);
	fputs(",\"bytes_in\":", out);
	json_put_uint(out, row->bytes_in);
	fputs(",\"bytes_out\":", out);
	json_put_uint(out, row->bytes_out);
	fputs("}", out);
}

void trace_stat_json(FILE *out, const struct trace_stat *stat, const char *file)
{
	fputs("{\"file\":", out);
	json_put_text(out, file);
	fprintf(out, ",\"cut\":%s,\"unfinished\":%d,\"rows\":[", stat->cut ? "true" : "false",
		stat->unfinished);
	for (size_t i = 0; i < stat->n; i++) {
		fputs(i ? "," : "", out);
		json_row(out, &stat->rows[i]);
	}
	fputs("],\"total\":", out);
	json_row(out, &stat->total);
	if (stat->edits) {
		fputs(",\"edits\":", out);
		json_put_uint(out, stat->edits);
	}
	fputs("}\n", out);
}
