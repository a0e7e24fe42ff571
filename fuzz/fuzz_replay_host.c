// SPDX-License-Identifier: ISC
/*
 * Any bytes as a trace, replayed in the guest's place with the trees it brings. Beyond not crashing: what is
 * refused is refused in one printable line, there is a report for each mismatch, no descriptor is left open,
 * and nothing is left in the private directory or made beside it.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "fuzz/fuzz.h"
#include "log.h"
#include "replay.h"
#include "trace_read.h"

enum { FILE_MAX = 4 << 20, MEM_MAX = 128 << 20 };

static char *home, *private;
static DIR *streams[2]; /* of both */

static void go_home(void)
{
	assert(!rmdir(private) && !rmdir(home));
}

/* A directory of our own that nothing may be left in; files that no run takes long to look at. */
static void set_up(void)
{
	struct rlimit limit = { FILE_MAX, FILE_MAX };

	home = fuzz_directory();
	assert(asprintf(&private, "%s/tmp", home) > 0);
	assert(!mkdir(private, 0700) && !setenv("TMPDIR", private, 1));
	streams[0] = opendir(home);
	streams[1] = opendir(private);
	assert(streams[0] && streams[1]);
	signal(SIGXFSZ, SIG_IGN);
	assert(!setrlimit(RLIMIT_FSIZE, &limit));
	mallopt(M_MMAP_THRESHOLD, 128 << 10); /* large tables, hardly used, need no clearing then */
	log_set_level(LOG_ERROR);
	atexit(go_home);
}

static int count(DIR *stream)
{
	int n = 0;

	rewinddir(stream);
	while (readdir(stream))
		n++;
	return n;
}

static bool printable_line(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

/* Each mismatch is a line of JSON, or a block that begins with its name. */
static uint64_t reports(const char *report, bool json)
{
	uint64_t n = 0;

	for (const char *line = report; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		n += json || !strncmp(line, "MISMATCH ", 9);
		assert(!json || *line == '{');
		assert(json || *line == 'M' || *line == ' ');
	}
	return n;
}

static void replay(struct trace_reader *reader, bool json)
{
	struct replay_host_options o = { .tree_dir = private, .json = json };
	struct replay_result result;
	struct err err = { "" };
	char *report = NULL;
	size_t size;
	int r;

	o.out = open_memstream(&report, &size);
	assert(o.out);
	r = replay_host_reader(reader, "input", &o, &result, &err);
	assert(!fclose(o.out));
	assert(!r || (err.text[0] && printable_line(err.text)));
	assert(r || reports(report, json) == result.mismatches);
	free(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace_reader *reader;
	struct err err = { "" };
	int fds;

	if (!private)
		set_up();
	fds = fuzz_open_files();
	if (trace_reader_open_memory(&reader, data, size, "input", &err)) {
		assert(err.text[0] && printable_line(err.text));
		return 0;
	}
	if (trace_reader_header(reader)->mem_size <= MEM_MAX)
		replay(reader, size & 1);
	trace_reader_close(reader);
	assert(fuzz_open_files() == fds);
	assert(count(streams[0]) == 3 && count(streams[1]) == 2);
	return 0;
}

int fuzz_print_bjt(const uint8_t *data, size_t size, FILE *out)
{
	return print_trace(data, size, out);
}
