/* SPDX-License-Identifier: ISC */
/* A trace for other tools: JSON lines, the trace-event format of Chrome and Perfetto, a recording. */
#ifndef TRACE_EXPORT_H
#define TRACE_EXPORT_H

#include <stdio.h>

struct err;
struct trace_reader;

/*
 * A line per record, the header first and the end last; nothing is lost. Bytes are as json_put_bytes has
 * them. Addresses are hexadecimal strings; other numbers as json_put_uint has them; times since 1970 are
 * strings always.
 */
int trace_export_jsonl(FILE *out, struct trace_reader *reader, struct err *err);
/*
 * Complete events, one track for the guest and one for the host. Valid JSON even when the trace turns out
 * to be bad on the way. A trace without times has a microsecond for each call.
 */
int trace_export_chrome(FILE *out, struct trace_reader *reader, struct err *err);
/* Another recording, at path. A call in flight is left out: its place is the end of a cut recording. */
int trace_export_recording(const char *path, struct trace_reader *reader, struct err *err);

#endif
