// SPDX-License-Identifier: ISC
/*
 * The golden traces on the way of fuzz_replay, with their files: as they are nothing differs, and each answer
 * that is changed is told. With BELLJAR_SEEDS=DIR they are left in DIR as inputs for it: text, or, where files
 * belong to it, a recording that holds them.
 */
#include "fuzz/fuzz_replay.c"

#include "golden.h"
#include "unit.h"

#define SEEDS "BELLJAR_SEEDS"

static const char dir[] = "golden";

struct text {
	char *bytes, *tree_dir;
	size_t len;
};

static void read_golden(struct text *text, const char *name)
{
	char *path = golden_path(dir, name, GOLDEN_TEXT);
	struct err err = { "" };

	CU_ASSERT_EQUAL_FATAL(golden_read(path, &text->bytes, &text->len, &err), 0);
	text->tree_dir = golden_path(dir, name, GOLDEN_TREE);
	free(path);
}

static void free_text(struct text *text)
{
	free(text->bytes);
	free(text->tree_dir);
}

static void every_golden_is_as_it_says(void)
{
	struct golden_suite suite;
	struct err err = { "" };
	struct text text;

	CU_ASSERT_EQUAL_FATAL(golden_scan(&suite, dir, &err), 0);
	CU_ASSERT(suite.n > 0);
	for (size_t i = 0; i < suite.n; i++) {
		int64_t mismatches;

		read_golden(&text, suite.list[i].name);
		mismatches =
			check_trace((const uint8_t *)text.bytes, text.len, NULL, 0, text.tree_dir);
		CU_ASSERT_EQUAL(mismatches, 0);
		if (mismatches)
			printf("     %s: %lld\n", suite.list[i].name, (long long)mismatches);
		free_text(&text);
	}
	golden_suite_finish(&suite);
}

/* Calls all over these, each change; check_trace() asserts what comes of it. */
static void changes_are_told(void)
{
	static const char *const names[] = { "files", "badcalls-v1", "console", "paths-stat" };
	struct text text;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		read_golden(&text, names[i]);
		for (uint8_t call = 0; call < 60; call += 7)
			for (uint8_t kind = 0; kind < CHANGE_COUNT; kind++) {
				uint8_t c[CHANGE_LEN] = { kind, call, 0, 1 };

				CU_ASSERT_EQUAL(check_trace((const uint8_t *)text.bytes, text.len,
							c, 1, text.tree_dir),
					0);
			}
		free_text(&text);
	}
}

/* Text with its files as a recording, at path. */
static int record_golden(const struct text *text, const char *path, struct err *err)
{
	const struct trace_writer_config config = { .on_error = TRACE_ERROR_STOP };
	struct trace_writer *w = NULL;
	struct tree_copy copy = { 0 };
	struct trace_reader *reader;
	struct trace_header header;
	struct trace_record record;
	struct tree tree = { 0 };
	int r = trace_reader_open_memory(&reader, text->bytes, text->len, "text", err);

	CU_ASSERT_EQUAL_FATAL(r, 0);
	header = *trace_reader_header(reader);
	r = tree_copy_from_dir(&copy, text->tree_dir, &header, err);
	header.has_tree = true;
	r = r ? r : tree_look(&tree, copy.mounts, copy.n_mounts, 0, err);
	r = r ? r : trace_writer_open(&w, path, &header, &config, err);
	r = r ? r : tree_store(&tree, copy.mounts, w, err);
	while (!r && (r = trace_reader_next(reader, &record, err)) > 0)
		r = trace_writer_put(w, &record);
	if (w)
		r = trace_writer_close(w, err) ? -EIO : r;
	tree_finish(&tree);
	tree_copy_finish(&copy);
	trace_reader_close(reader);
	return r;
}

static void leaves_seeds_where_asked_to(void)
{
	const char *to = getenv(SEEDS);
	struct golden_suite suite;
	struct err err = { "" };
	struct text text;
	int r;

	if (!to) {
		unit_skip(SEEDS "=DIR is not set");
		return;
	}
	CU_ASSERT_EQUAL_FATAL(golden_scan(&suite, dir, &err), 0);
	for (size_t i = 0; i < suite.n; i++) {
		char *path = golden_path(
			to, suite.list[i].name, suite.list[i].has_tree ? ".pcapng" : GOLDEN_TEXT);

		read_golden(&text, suite.list[i].name);
		r = suite.list[i].has_tree ? record_golden(&text, path, &err)
					   : golden_write(path, text.bytes, text.len, &err);
		CU_ASSERT_EQUAL(r, 0);
		free_text(&text);
		free(path);
	}
	golden_suite_finish(&suite);
}

static const struct unit_case cases[] = {
	{ "every_golden_is_as_it_says", every_golden_is_as_it_says },
	{ "changes_are_told", changes_are_told },
	{ "leaves_seeds_where_asked_to", leaves_seeds_where_asked_to },
};

int main(void)
{
	set_up();
	return unit_run("fuzz_replay", cases, sizeof(cases) / sizeof(cases[0]));
}
