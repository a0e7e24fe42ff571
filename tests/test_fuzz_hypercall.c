// SPDX-License-Identifier: ISC
/*
 * The seeds of fuzz_hypercall, which were answered over files in memory, as golden text: replayed over real files
 * they answer the same.
 */
#include "fuzz/fuzz_hypercall.c"

#include <dirent.h>
#include <sys/wait.h>

#include "replay.h"
#include "tmptree.h"
#include "trace_read.h"
#include "unit.h"

static const char seeds[] = "fuzz/seeds/hypercall";

static void make_files(struct tmptree *tree)
{
	static const char *const mapped[] = { "ro", "rw" }, *const nothing[] = { NULL };
	char line[200];

	CU_ASSERT_EQUAL_FATAL(tmptree_make(tree, nothing), 0);
	for (size_t i = 0; i < 2; i++) {
		snprintf(line, sizeof(line), "d %s", mapped[i]);
		CU_ASSERT_EQUAL(tmptree_add(tree, line), 0);
		for (size_t k = 0; k < HOST_OBJECTS; k++) {
			const struct host_object *o = &host_objects[k];
			char kind = o->type == S_IFDIR   ? 'd'
				    : o->type == S_IFLNK ? 'l'
				    : o->type == S_IFREG ? 'f'
							 : 'p';

			snprintf(line, sizeof(line), "%c %s/%s/%s %s", kind, mapped[i], o->dir,
				o->name, o->text ? o->text : "");
			CU_ASSERT_EQUAL(tmptree_add(tree, line), 0);
		}
	}
}

/* By a process of its own: numbers of inodes go by first sight. */
static void print_seed(const char *name, FILE *out)
{
	uint8_t bytes[4096];
	char path[400];
	int status;
	pid_t pid = fork();

	CU_ASSERT_FATAL(pid >= 0);
	if (!pid) {
		FILE *file;
		size_t n;

		snprintf(path, sizeof(path), "%s/%s", seeds, name);
		file = fopen(path, "rb");
		n = file ? fread(bytes, 1, sizeof(bytes), file) : 0;
		_exit(fuzz_print_bjt(bytes, n, out) || fflush(out));
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
}

static void replay_seed(const char *name, const char *tree_dir)
{
	struct replay_host_options o = { .tree_dir = tree_dir, .out = stdout };
	struct replay_result result = { 0 };
	struct trace_reader *reader;
	struct err err = { "" };
	FILE *text = tmpfile();
	char path[40];

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	print_seed(name, text);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(text));
	CU_ASSERT_EQUAL_FATAL(trace_reader_open(&reader, path, &err), 0);
	CU_ASSERT_EQUAL(replay_host_reader(reader, name, &o, &result, &err), 0);
	CU_ASSERT_EQUAL(result.mismatches, 0);
	CU_ASSERT(result.calls > 0);
	trace_reader_close(reader);
	fclose(text);
}

static void real_files_answer_the_same(void)
{
	struct tmptree tree;
	struct dirent *e;
	DIR *dir = opendir(seeds);

	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
	make_files(&tree);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			replay_seed(e->d_name, tree.path);
	closedir(dir);
	tmptree_remove(&tree);
}

static const struct unit_case cases[] = {
	{ "real_files_answer_the_same", real_files_answer_the_same },
};

UNIT_MAIN("fuzz_hypercall", cases)
