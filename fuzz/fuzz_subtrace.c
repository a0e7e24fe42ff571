// SPDX-License-Identifier: ISC
/*
 * Any bytes as a trace, and parts of it. What is let go takes along all that needs it; a part is a trace: it
 * can be read, has the calls that were kept in their order, and is a part of itself unchanged.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "err.h"
#include "fuzz/fuzz.h"
#include "subtrace.h"

static uint64_t state;

static bool coin(void)
{
	state = state * 6364136223846793005 + 1442695040888963407;
	return state >> 62; /* three of four stay */
}

static void check_closed(const struct subtrace *t, const bool *keep)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct subtrace_needs *needs = &t->needs[i];

		assert(needs->opener < (int64_t)i && needs->maker < (int64_t)i);
		if (!keep[i] || !subtrace_may_drop(t, i))
			continue;
		assert(needs->opener < 0 || keep[needs->opener]);
		assert(needs->maker < 0 || keep[needs->maker]);
	}
}

/* The part as text; free it. By way of a file that is the same for all. */
static char *text_of(const struct subtrace *t, const bool *keep, size_t *len)
{
	static int fd = -1;
	struct err err = { "" };
	char path[64], *text;
	off_t end;

	if (fd < 0)
		fd = memfd_create("part", MFD_CLOEXEC);
	assert(fd >= 0 && !ftruncate(fd, 0));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert(!subtrace_write(t, keep, path, TRACE_BJT, &err));
	end = lseek(fd, 0, SEEK_END);
	assert(end > 0);
	*len = (size_t)end;
	text = malloc(*len);
	assert(text && pread(fd, text, *len, 0) == end);
	return text;
}

static void check_part(const struct subtrace *t, const bool *keep)
{
	struct trace_reader *reader;
	struct err err = { "" };
	struct subtrace part;
	size_t len, again_len, k = 0;
	char *text = text_of(t, keep, &len), *again;
	bool *all;

	assert(!trace_reader_open_memory(&reader, text, len, "part", &err));
	assert(!subtrace_take(&part, reader, &err));
	trace_reader_close(reader);
	for (size_t i = 0; i < t->n; i++) {
		if (!keep[i] || t->records[i].kind == TRACE_BLOB ||
			t->records[i].kind == TRACE_BEFORE)
			continue;
		assert(k < part.n && part.records[k].kind == t->records[i].kind);
		if (t->records[i].kind == TRACE_CALL)
			assert(part.records[k].row == t->records[i].row);
		k++;
	}
	assert(k == part.n);
	all = malloc(part.n);
	assert(all);
	memset(all, true, part.n);
	again = text_of(&part, all, &again_len);
	assert(again_len == len && !memcmp(again, text, len));
	free(again);
	free(all);
	free(text);
	subtrace_finish(&part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace_reader *reader;
	struct err err = { "" };
	struct subtrace t;
	bool *keep;

	if (trace_reader_open_memory(&reader, data, size, "fuzz", &err))
		return 0;
	if (!subtrace_take(&t, reader, &err)) {
		keep = malloc(t.n + 1);
		assert(keep);
		memset(keep, true, t.n);
		check_part(&t, keep);
		state = size;
		for (size_t i = 0; i < t.n; i++)
			keep[i] = !subtrace_may_drop(&t, i) || coin();
		subtrace_close(&t, keep);
		check_closed(&t, keep);
		check_part(&t, keep);
		assert(!subtrace_note_makers(&t, keep));
		check_closed(&t, keep);
		free(keep);
	}
	subtrace_finish(&t);
	trace_reader_close(reader);
	return 0;
}

int fuzz_print_bjt(const uint8_t *data, size_t size, FILE *out)
{
	return print_trace(data, size, out);
}
