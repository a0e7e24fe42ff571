// SPDX-License-Identifier: ISC
/*
 * Failing traces made small: one wrong answer among hundreds of calls is found with what it needs and
 * nothing else; over random traces the result fails as the whole did, is a trace that a guest could have
 * made, and no call of it can go.
 */
#include "minimize.h"

#include <errno.h>
#include <sys/wait.h>

#include "abi.h"
#include "abi_uhyve.h"
#include "err.h"
#include "fileio.h"
#include "guestfd.h"
#include "replay.h"
#include "subtrace.h"
#include "tmptree.h"
#include "trace_write.h"
#include "tree.h"
#include "unit.h"
#include "vm.h"

#define CLOCK_NS 1700000000000000000

/* A guest that does things at random, and the trace of it. */
static struct world {
	struct tmptree tree;
	char data[100], scratch[100], trace[100], out[100];
	struct trace_mount mount;
	struct trace_header header;
	struct fileio *files;
	struct trace_writer *writer;
	uint64_t state, n;
	int fds[8], n_fds;
	int64_t planted; /* number of the call whose record is wrong; -1: none yet */
	uint64_t plant_at;
	bool spare; /* nothing is to be wrong */
} w;

static const char *const lines[] = { "d data", "d data/sub", "d scratch", "f data/a first file",
	"f data/b second file, longer", "f data/sub/c third", NULL };

static const char *const paths[] = { "/data/a", "/data/b", "/data/sub/c", "/data/new",
	"/data/sub/new", "/data/d1", "/data/d1/x", "/data/d1/d2", "/data/d1/d2/y", "/s/t", "/s/u",
	"/missing/z", "/data/sub/../a", "data/new" };

enum { N_PATHS = sizeof(paths) / sizeof(paths[0]) };

static unsigned pick(unsigned n)
{
	w.state = w.state * 6364136223846793005 + 1442695040888963407;
	return (unsigned)(w.state >> 33) % n;
}

static const struct hcall_row *row_of(const char *name)
{
	const struct hcall_row *row = trace_row_of_name(&w.header, name, strlen(name));

	CU_ASSERT_FATAL(row != NULL);
	return row;
}

/* One wrong answer: another byte, another errno, another number. */
static bool spoil(struct trace_record *record, uint8_t *out)
{
	if (record->out_len) {
		out[record->out_len / 2] ^= 1;
		return true;
	}
	if (!strcmp(record->row->name, "close") || !strcmp(record->row->name, "exit"))
		return false;
	if (record->result < 0)
		record->result = record->result == -EPERM ? -EROFS : -EPERM;
	else if (!strcmp(record->row->name, "read") || !strcmp(record->row->name, "write"))
		record->result = -EPERM; /* another number would not fit the bytes */
	else
		record->result += 3;
	return true;
}

static void put(const char *name, int64_t result, uint64_t a, uint64_t b, uint64_t c,
	const void *in, size_t in_len, uint8_t *out, size_t out_len)
{
	struct trace_record record = { .kind = TRACE_CALL,
		.seq = w.n,
		.row = row_of(name),
		.args = { a, b, c },
		.result = result,
		.in = in,
		.in_len = in_len,
		.out = out,
		.out_len = out_len,
		.ends = !strcmp(name, "exit") };

	record.port = record.row->port;
	if (w.planted < 0 && w.n >= w.plant_at && spoil(&record, out))
		w.planted = (int64_t)w.n;
	CU_ASSERT_EQUAL(trace_writer_put(w.writer, &record), 0);
	w.n++;
}

static void do_open(void)
{
	static const int flags[] = { O_RDONLY, O_RDONLY, O_RDWR, O_RDWR | O_CREAT, O_RDWR | O_CREAT,
		O_RDWR | O_CREAT | O_EXCL, O_WRONLY | O_CREAT | O_TRUNC, O_RDWR | O_APPEND };
	const char *path = paths[pick(N_PATHS)];
	int f = flags[pick(sizeof(flags) / sizeof(flags[0]))];
	int fd;

	if (w.n_fds == 8)
		return;
	fd = fileio_open(w.files, path, f, 0644);
	put("open", fd, 0, (uint64_t)f, 0644, path, strlen(path), NULL, 0);
	if (fd >= 0)
		w.fds[w.n_fds++] = fd;
}

static int any_fd(void)
{
	return w.n_fds ? w.fds[pick((unsigned)w.n_fds)] : 3 + (int)pick(5);
}

static void do_close(void)
{
	unsigned i = w.n_fds ? pick((unsigned)w.n_fds) : 0;
	int fd = w.n_fds ? w.fds[i] : 9;

	put("close", fileio_close(w.files, fd), (uint64_t)(int64_t)fd, 0, 0, NULL, 0, NULL, 0);
	if (w.n_fds)
		w.fds[i] = w.fds[--w.n_fds];
}

static void do_read(void)
{
	uint8_t buf[40];
	size_t len = pick(sizeof(buf));
	int fd = any_fd();
	ssize_t n = fileio_read(w.files, fd, buf, len);

	put("read", n, (uint64_t)fd, 0, len, NULL, 0, buf, n > 0 ? (size_t)n : 0);
}

static void do_write(void)
{
	char text[40];
	int fd = any_fd();
	int len = snprintf(text, sizeof(text), "call %llu\n", (unsigned long long)w.n);
	ssize_t n = fileio_write(w.files, fd, text, (size_t)len);

	put("write", n, (uint64_t)fd, 0, (uint64_t)len, text, n > 0 ? (size_t)n : 0, NULL, 0);
}

static void do_seek(void)
{
	int fd = any_fd(), whence = (int)pick(3);
	int64_t offset = pick(20);

	put("lseek", fileio_lseek(w.files, fd, offset, whence), (uint64_t)fd, (uint64_t)offset,
		(uint64_t)whence, NULL, 0, NULL, 0);
}

static void do_mkdir(void)
{
	const char *path = paths[pick(N_PATHS)];

	put("mkdir", fileio_mkdir(w.files, path, 0755), 0, 0, 0, path, strlen(path), NULL, 0);
}

static void do_unlink(void)
{
	const char *path = paths[pick(N_PATHS)];

	put("unlink", fileio_unlink(w.files, path), 0, 0, 0, path, strlen(path), NULL, 0);
}

static void (*const ops[])(void) = { do_open, do_open, do_open, do_close, do_close, do_read,
	do_read, do_read, do_write, do_write, do_write, do_seek, do_mkdir, do_unlink };

static void world_begin(void)
{
	static char name[] = "guest", cwd[] = "/", data[] = "/data";
	static char *argv[] = { name };

	memset(&w, 0, sizeof(w));
	CU_ASSERT_FATAL(!tmptree_make(&w.tree, lines));
	snprintf(w.data, sizeof(w.data), "%s/data", w.tree.path);
	snprintf(w.scratch, sizeof(w.scratch), "%s/scratch", w.tree.path);
	snprintf(w.trace, sizeof(w.trace), "%s/whole.pcapng", w.tree.path);
	snprintf(w.out, sizeof(w.out), "%s/small.pcapng", w.tree.path);
	w.mount = (struct trace_mount){ .host = w.data, .guest = data, .writable = true };
	w.header = (struct trace_header){ .version = TRACE_VERSION,
		.abi = &abi_uhyve,
		.abi_version = 2,
		.mem_size = 64 << 20,
		.argv = { argv, 1 },
		.cwd = cwd,
		.mounts = &w.mount,
		.n_mounts = 1,
		.boot_time_ns = CLOCK_NS,
		.has_tree = true };
	w.planted = -1;
}

static void world_end(void)
{
	tmptree_remove(&w.tree);
}

static void put_trees(const struct tree *trees)
{
	for (size_t i = 0; i < trees->n; i++)
		CU_ASSERT_EQUAL(
			trace_writer_put(w.writer, &(struct trace_record){ .kind = TRACE_AFTER,
							   .tree = trees->entries[i] }),
			0);
}

/* The calls of body, as they are answered, with the wrong one at plant_at or soon after. */
static void record_guest(uint64_t plant_at, void (*body)(void))
{
	static const struct trace_writer_config config = { .on_error = TRACE_ERROR_STOP };
	struct fileio_mount mount = { .host = w.data, .guest = "/data", .writable = true };
	struct tree before, after, diff;
	struct err err = { "" };

	w.plant_at = plant_at;
	CU_ASSERT_FATAL(!trace_writer_open(&w.writer, w.trace, &w.header, &config, &err));
	CU_ASSERT_FATAL(!tree_look(&before, &w.mount, 1, 0, &err));
	CU_ASSERT_FATAL(!tree_store(&before, &w.mount, w.writer, &err));
	CU_ASSERT_FATAL(!fileio_init(&w.files,
		&(struct fileio_config){ .mounts = &mount,
			.n_mounts = 1,
			.scratch_parent = w.scratch,
			.console_in = -1,
			.console_out = -1,
			.deterministic = true,
			.clock_ns = CLOCK_NS },
		&err));
	body();
	put("exit", 0, 0, 0, 0, NULL, 0, NULL, 0);
	fileio_destroy(w.files);
	CU_ASSERT_FATAL(!tree_look(&after, &w.mount, 1, 0, &err));
	CU_ASSERT_FATAL(!tree_diff(&before, &after, &diff, &err));
	put_trees(&diff);
	CU_ASSERT_EQUAL(trace_writer_put(w.writer, &(struct trace_record){ .kind = TRACE_END,
							   .seq = w.n,
							   .stop_kind = VM_EXITED,
							   .stop_text = "" }),
		0);
	CU_ASSERT_EQUAL(trace_writer_close(w.writer, &err), 0);
	tree_finish(&before);
	tree_finish(&after);
	tree_finish(&diff);
}

static uint64_t body_calls;

static void at_random(void)
{
	while (w.n < body_calls)
		ops[pick(sizeof(ops) / sizeof(ops[0]))]();
}

/* The first mismatch of a trace's replay. */
struct mismatch {
	char field[20], got[200]; /* "" and "": there is none */
	unsigned long long call;
};

static void first_mismatch(const char *file, struct mismatch *m)
{
	FILE *out = tmpfile();
	struct replay_result result;
	struct err err = { "" };
	char line[8000] = "";
	const char *at;
	int r = replay_host(
		file, &(struct replay_host_options){ .out = out, .json = true }, &result, &err);

	if (r)
		printf("     %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(r, 0);
	rewind(out);
	*m = (struct mismatch){ "", "", 0 };
	if (fgets(line, sizeof(line), out)) {
		sscanf(line, "{\"mismatch\":\"%19[a-z]", m->field);
		at = strstr(line, "\"call\":");
		if (at)
			sscanf(at, "\"call\":%llu", &m->call);
		at = strstr(line, "\"got\":");
		if (at)
			snprintf(m->got, sizeof(m->got), "%s", at);
	}
	fclose(out);
}

static size_t n_calls(const struct subtrace *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += t->records[i].kind == TRACE_CALL;
	return n;
}

/* Could a guest have made these calls? Every descriptor was got, as the lowest free, but in a wrong answer. */
static void check_descriptors(const struct subtrace *t, bool opens_wrong)
{
	bool open[GUESTFD_MAX] = { 0 };

	for (size_t i = 0; i < t->n; i++) {
		const struct trace_record *r = &t->records[i];
		int lowest = GUESTFD_FIRST, fd;

		if (r->kind != TRACE_CALL)
			continue;
		if (trace_row_find(r->row, HCALL_FD) >= 0) {
			fd = (int)r->args[trace_row_find(r->row, HCALL_FD)];
			if (fd >= 3 && fd < GUESTFD_MAX)
				CU_ASSERT(open[fd] || r->result == -EBADF || r->result == -EPERM);
			if (fd >= 3 && fd < GUESTFD_MAX && !strcmp(r->row->name, "close"))
				open[fd] = false;
		}
		while (open[lowest])
			lowest++;
		if (!strcmp(r->row->name, "open") && r->result >= 0) {
			CU_ASSERT(r->result == lowest || opens_wrong);
			if (r->result < GUESTFD_MAX)
				open[r->result] = true;
		}
	}
}

/* The call with this number. */
static size_t record_of(const struct subtrace *t, unsigned long long call)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->records[i].kind == TRACE_CALL && t->records[i].seq == call)
			return i;
	return t->n;
}

/* No call can go without another failure: tried one by one, and compared by other means. */
static void check_minimal(const struct subtrace *t, const struct mismatch *whole)
{
	size_t failing = record_of(t, whole->call);
	bool *keep = calloc(t->n, sizeof(*keep));
	char file[120];
	struct err err = { "" };

	CU_ASSERT_FATAL(failing < t->n);
	snprintf(file, sizeof(file), "%s/without.pcapng", w.tree.path);
	for (size_t i = 0; i < t->n; i++) {
		struct mismatch m;
		unsigned long long call = 0;

		if (t->records[i].kind != TRACE_CALL || !subtrace_may_drop(t, i))
			continue;
		memset(keep, true, t->n * sizeof(*keep));
		keep[i] = false;
		subtrace_close(t, keep);
		CU_ASSERT_EQUAL_FATAL(subtrace_write(t, keep, file, TRACE_PCAPNG, &err), 0);
		first_mismatch(file, &m);
		for (size_t k = 0; k < failing; k++)
			call += keep[k] && t->records[k].kind == TRACE_CALL;
		CU_ASSERT_FALSE(keep[failing] && m.call == call && !strcmp(m.field, whole->field) &&
				!strcmp(m.got, whole->got));
	}
	free(keep);
}

static void minimize(struct minimize_result *result)
{
	struct err err = { "" };
	int r = minimize_main(
		&(struct minimize_options){ .file = w.trace, .out = w.out }, result, &err);

	if (r)
		printf("     %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(r, 0);
	CU_ASSERT(result->minimal);
}

static void property(uint64_t seed, uint64_t calls)
{
	struct minimize_result result, again;
	struct mismatch want, got;
	struct subtrace whole, small;
	struct err err = { "" };

	world_begin();
	w.state = seed;
	body_calls = calls;
	record_guest(calls / 2 + pick((unsigned)calls / 2), at_random);
	if (w.planted < 0) { /* nothing but closes until the end */
		world_end();
		return;
	}
	CU_ASSERT_EQUAL_FATAL(subtrace_read(&whole, w.trace, &err), 0);
	first_mismatch(w.trace, &want);
	CU_ASSERT_EQUAL((int64_t)want.call, w.planted);
	minimize(&result);
	CU_ASSERT_EQUAL_FATAL(subtrace_read(&small, w.out, &err), 0);
	first_mismatch(w.out, &got);
	CU_ASSERT_STRING_EQUAL(got.field, want.field);
	CU_ASSERT_PTR_EQUAL(small.records[record_of(&small, got.call)].row,
		whole.records[record_of(&whole, want.call)].row);
	CU_ASSERT_EQUAL(n_calls(&small), result.calls);
	CU_ASSERT_EQUAL(n_calls(&whole), result.calls_before);
	CU_ASSERT(result.calls <= 25);
	check_descriptors(
		&small, !strcmp(small.records[record_of(&small, got.call)].row->name, "open"));
	check_minimal(&small, &got);
	strcpy(w.trace, w.out);
	minimize(&again);
	CU_ASSERT_EQUAL(again.calls, result.calls);
	subtrace_finish(&whole);
	subtrace_finish(&small);
	world_end();
}

static void over_random_traces(void)
{
	for (uint64_t seed = 1; seed <= 8; seed++)
		property(seed * 0x9e3779b97f4a7c15, 40 + 7 * seed);
}

static void read_wrong(void)
{
	uint8_t buf[8];
	int fd;
	ssize_t n;

	body_calls = 150;
	at_random();
	fd = fileio_open(w.files, "/data/sub/c", O_RDONLY, 0);
	put("open", fd, 0, O_RDONLY, 0, "/data/sub/c", 11, NULL, 0);
	n = fileio_read(w.files, fd, buf, 5);
	w.plant_at = w.n;
	put("read", n, (uint64_t)fd, 0, 5, NULL, 0, buf, n > 0 ? (size_t)n : 0);
	w.fds[w.n_fds < 8 ? w.n_fds++ : 0] = fd;
	body_calls = 299;
	at_random();
}

static void one_wrong_answer_among_three_hundred(void)
{
	struct minimize_result result;
	struct subtrace small;
	struct err err = { "" };

	world_begin();
	w.state = 42;
	record_guest(UINT64_MAX, read_wrong);
	CU_ASSERT_EQUAL(w.n, 300);
	CU_ASSERT(w.planted > 150);
	minimize(&result);
	CU_ASSERT_EQUAL(result.calls_before, 300);
	CU_ASSERT_EQUAL(result.calls, 3); /* open, read, exit */
	CU_ASSERT_EQUAL_FATAL(subtrace_read(&small, w.out, &err), 0);
	check_descriptors(&small, false);
	CU_ASSERT(!strncmp(result.reason, "read ", 5));
	subtrace_finish(&small);
	world_end();
}

/* What was written must stay for what is read to be wrong in the same way. */
static void write_then_read_wrong(void)
{
	static const char text[] = "written by the guest";
	uint8_t buf[40];
	int fd;
	ssize_t n;

	body_calls = 60;
	at_random();
	put("mkdir", fileio_mkdir(w.files, "/data/made", 0755), 0, 0, 0, "/data/made", 10, NULL, 0);
	fd = fileio_open(w.files, "/data/made/file", O_RDWR | O_CREAT, 0644);
	put("open", fd, 0, O_RDWR | O_CREAT, 0644, "/data/made/file", 15, NULL, 0);
	n = fileio_write(w.files, fd, text, strlen(text));
	put("write", n, (uint64_t)fd, 0, strlen(text), text, strlen(text), NULL, 0);
	put("close", fileio_close(w.files, fd), (uint64_t)fd, 0, 0, NULL, 0, NULL, 0);
	at_random();
	fd = fileio_open(w.files, "/data/made/file", O_RDONLY, 0);
	put("open", fd, 0, O_RDONLY, 0, "/data/made/file", 15, NULL, 0);
	n = fileio_read(w.files, fd, buf, sizeof(buf));
	CU_ASSERT_EQUAL(n, (ssize_t)strlen(text));
	w.plant_at = w.spare ? UINT64_MAX : w.n;
	put("read", n, (uint64_t)fd, 0, sizeof(buf), NULL, 0, buf, n > 0 ? (size_t)n : 0);
}

static void write_then_read_right(void)
{
	w.spare = true;
	write_then_read_wrong();
}

static void keeps_what_the_failure_needs(void)
{
	static const char *const want[] = { "mkdir", "open", "write", "open", "read", "exit" };
	struct minimize_result result;
	struct subtrace small;
	struct err err = { "" };
	size_t at = 0;

	world_begin();
	w.state = 7;
	record_guest(UINT64_MAX, write_then_read_wrong);
	minimize(&result);
	CU_ASSERT_EQUAL_FATAL(subtrace_read(&small, w.out, &err), 0);
	CU_ASSERT_EQUAL(n_calls(&small), 6);
	for (size_t i = 0; i < small.n; i++)
		if (small.records[i].kind == TRACE_CALL && at < 6)
			CU_ASSERT_STRING_EQUAL(small.records[i].row->name, want[at++]);
	subtrace_finish(&small);
	world_end();
}

static void refuses_what_does_not_fail(void)
{
	struct minimize_result result;
	struct err err = { "" };
	struct stat st;

	world_begin();
	body_calls = 40;
	record_guest(UINT64_MAX, at_random);
	CU_ASSERT_EQUAL(minimize_main(&(struct minimize_options){ .file = w.trace, .out = w.out },
				&result, &err),
		-EINVAL);
	CU_ASSERT(strstr(err.text, "does not fail") != NULL);
	CU_ASSERT_EQUAL(minimize_main(&(struct minimize_options){ .file = w.trace, .out = "x.txt" },
				&result, &err),
		-EINVAL);
	CU_ASSERT_NOT_EQUAL(stat(w.out, &st), 0);
	world_end();
}

/* A program of the user's: here one that fails as long as a certain path is in the trace. */
static void asks_a_program(void)
{
	static char sh[] = "sh", c[] = "-c",
		    script[] = "grep -q 'mkdir.*made' {} && exit 9; exit 0";
	static char *command[] = { sh, c, script };
	struct minimize_options o = {
		.file = w.trace, .out = w.out, .command = command, .n_command = 3
	};
	struct minimize_result result;
	struct err err = { "" };

	world_begin();
	w.state = 7;
	record_guest(UINT64_MAX, write_then_read_wrong);
	strcpy(strrchr(w.out, '.'), ".bjt");
	CU_ASSERT_EQUAL(minimize_main(&o, &result, &err), 0);
	CU_ASSERT_EQUAL(result.calls, 2); /* mkdir, exit */
	CU_ASSERT_STRING_EQUAL(result.reason, "exit code 9");
	strcpy(script, "exit 0 {}");
	CU_ASSERT_EQUAL(minimize_main(&o, &result, &err), -EINVAL);
	strcpy(script, "exit 1");
	CU_ASSERT_EQUAL(minimize_main(&o, &result, &err), -EINVAL);
	CU_ASSERT(strstr(err.text, "{}") != NULL);
	world_end();
}

static void stops_when_tries_run_out(void)
{
	struct minimize_result result;
	struct err err = { "" };

	world_begin();
	w.state = 42;
	record_guest(UINT64_MAX, read_wrong);
	CU_ASSERT_EQUAL(
		minimize_main(
			&(struct minimize_options){ .file = w.trace, .out = w.out, .max_tries = 5 },
			&result, &err),
		0);
	CU_ASSERT_FALSE(result.minimal);
	CU_ASSERT_EQUAL(result.tries, 5);
	CU_ASSERT(result.calls < result.calls_before);
	world_end();
}

/* A recording whose calls agree, and whose files do not end up as it says. */
static void end_otherwise(void (*body)(void))
{
	struct minimize_result result;
	struct subtrace small;
	struct err err = { "" };
	struct mismatch got;
	bool all[400];

	world_begin();
	w.state = 7;
	record_guest(UINT64_MAX, body);
	CU_ASSERT_EQUAL_FATAL(subtrace_read(&small, w.trace, &err), 0);
	for (size_t i = 0; i < small.n; i++)
		if (small.records[i].kind == TRACE_AFTER && small.records[i].tree.kind == TREE_FILE)
			small.records[i].tree.mode ^= 0100;
	CU_ASSERT_FATAL(small.n < sizeof(all));
	memset(all, true, sizeof(all));
	snprintf(w.trace, sizeof(w.trace), "%s/wrong.pcapng", w.tree.path);
	CU_ASSERT_EQUAL_FATAL(subtrace_write(&small, all, w.trace, TRACE_PCAPNG, &err), 0);
	subtrace_finish(&small);
	minimize(&result);
	CU_ASSERT(!strncmp(result.reason, "tree ", 5));
	CU_ASSERT(result.calls < result.calls_before);
	first_mismatch(w.out, &got);
	CU_ASSERT_STRING_EQUAL(got.field, "tree");
	world_end();
}

static void files_that_end_otherwise_are_a_failure(void)
{
	end_otherwise(write_then_read_right);
}

/* Its name is no text: a report has it as an object. */
static void make_odd_file(void)
{
	static const char odd[] = "/data/\xff\"}]\\";
	int fd;

	body_calls = 60;
	at_random();
	fd = fileio_open(w.files, odd, O_RDWR | O_CREAT, 0644);
	put("open", fd, 0, O_RDWR | O_CREAT, 0644, odd, sizeof(odd) - 1, NULL, 0);
	put("close", fileio_close(w.files, fd), (uint64_t)fd, 0, 0, NULL, 0, NULL, 0);
}

static void a_file_without_a_readable_name_is_found(void)
{
	end_otherwise(make_odd_file);
}

/* How a program of these words ends it. */
static int ask(const char *script, struct minimize_result *result, struct err *err)
{
	static char sh[] = "sh", c[] = "-c";
	char text[200];
	char *command[] = { sh, c, text };
	struct minimize_options o = {
		.file = w.trace, .out = w.out, .command = command, .n_command = 3, .max_tries = 50
	};

	snprintf(text, sizeof(text), "%s", script);
	return minimize_main(&o, result, err);
}

static void knows_how_a_program_ends(void)
{
	static const struct {
		const char *script, *reason;
	} rows[] = {
		{ "kill -9 $$ # {}", "exit code 137" },
		{ "test -s {} && test -s {} && exit 77", "exit code 77" },
		{ "no-such-command {} 2>&1", "exit code 127" },
	};
	struct minimize_result result;
	struct err err = { "" };

	world_begin();
	body_calls = 20;
	record_guest(UINT64_MAX, at_random);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CU_ASSERT_EQUAL(ask(rows[i].script, &result, &err), 0);
		CU_ASSERT_STRING_EQUAL(result.reason, rows[i].reason);
		CU_ASSERT_EQUAL(result.calls, 1); /* exit */
		CU_ASSERT(result.minimal);
	}
	world_end();
}

/* What it has by then is written, and is a trace. */
static void an_interrupt_ends_the_search(void)
{
	struct minimize_result result;
	struct subtrace small;
	struct err err = { "" };

	world_begin();
	body_calls = 60;
	record_guest(UINT64_MAX, at_random);
	CU_ASSERT_EQUAL(ask("kill -TERM $PPID; exit 1 # {}", &result, &err), 0);
	CU_ASSERT_FALSE(result.minimal);
	CU_ASSERT(result.tries <= 2);
	CU_ASSERT_EQUAL_FATAL(subtrace_read(&small, w.out, &err), 0);
	CU_ASSERT_EQUAL(n_calls(&small), result.calls);
	subtrace_finish(&small);
	world_end();
}

static void says_what_it_cannot_do(void)
{
	static char none[] = "/nonexistent/program", place[] = "{}";
	static char *command[] = { none, place };
	struct minimize_options o = { .out = w.out };
	struct minimize_result result;
	struct err err = { "" };
	char *old = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;

	world_begin();
	w.state = 42;
	record_guest(UINT64_MAX, read_wrong);
	o.file = "/nonexistent/trace.bjt";
	CU_ASSERT_EQUAL(minimize_main(&o, &result, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nonexistent/trace.bjt"));
	o.file = w.trace;
	o.command = command;
	o.n_command = 2;
	CU_ASSERT_EQUAL(minimize_main(&o, &result, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nonexistent/program"));
	o.command = NULL;
	o.max_tries = 2;
	o.out = "/nonexistent/small.bjt";
	CU_ASSERT_EQUAL(minimize_main(&o, &result, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nonexistent/small.bjt"));
	o.out = "/nonexistent/small.pcapng";
	CU_ASSERT_EQUAL(minimize_main(&o, &result, &err), -ENOENT);
	o.out = w.out;
	setenv("TMPDIR", "/nonexistent", 1);
	CU_ASSERT_EQUAL(minimize_main(&o, &result, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "set TMPDIR to a directory of yours"));
	if (old)
		setenv("TMPDIR", old, 1);
	else
		unsetenv("TMPDIR");
	free(old);
	world_end();
}

static void tells_how_far_it_is(void)
{
	struct minimize_options o = { .file = w.trace, .out = w.out };
	struct minimize_result result;
	struct err err = { "" };
	char *text = NULL, last[100];
	size_t len;

	o.progress = open_memstream(&text, &len);
	world_begin();
	w.state = 42;
	record_guest(UINT64_MAX, read_wrong);
	CU_ASSERT_EQUAL(minimize_main(&o, &result, &err), 0);
	fclose(o.progress);
	snprintf(last, sizeof(last), "\rtried %llu, 3 of 300 calls left \n",
		(unsigned long long)result.tries);
	CU_ASSERT(len > strlen(last) && !strcmp(text + len - strlen(last), last));
	free(text);
	world_end();
}

/* Golden text under another name has its files beside it all the same. */
static void takes_text_of_any_name(void)
{
	struct minimize_result result;
	struct subtrace whole;
	struct err err = { "" };
	bool all[400];

	world_begin();
	w.state = 42;
	record_guest(UINT64_MAX, read_wrong);
	CU_ASSERT_EQUAL_FATAL(subtrace_read(&whole, w.trace, &err), 0);
	memset(all, true, sizeof(all));
	CU_ASSERT_FATAL(whole.n < sizeof(all));
	snprintf(w.trace, sizeof(w.trace), "%s/whole.txt", w.tree.path);
	CU_ASSERT_EQUAL_FATAL(subtrace_write(&whole, all, w.trace, TRACE_BJT, &err), 0);
	subtrace_finish(&whole);
	strcpy(strrchr(w.out, '.'), ".bjt");
	CU_ASSERT_EQUAL(ask("grep -q 'sub/c' {} && exit 3", &result, &err), 0);
	CU_ASSERT(result.minimal && result.calls == 2);
	CU_ASSERT_EQUAL_FATAL(subtrace_read(&whole, w.out, &err), 0);
	CU_ASSERT_EQUAL(whole.format, TRACE_BJT);
	CU_ASSERT_EQUAL(n_calls(&whole), 2);
	subtrace_finish(&whole);
	world_end();
}

static const struct unit_case cases[] = {
	{ "files_that_end_otherwise_are_a_failure", files_that_end_otherwise_are_a_failure },
	{ "a_file_without_a_readable_name_is_found", a_file_without_a_readable_name_is_found },
	{ "knows_how_a_program_ends", knows_how_a_program_ends },
	{ "an_interrupt_ends_the_search", an_interrupt_ends_the_search },
	{ "says_what_it_cannot_do", says_what_it_cannot_do },
	{ "tells_how_far_it_is", tells_how_far_it_is },
	{ "takes_text_of_any_name", takes_text_of_any_name },
	{ "one_wrong_answer_among_three_hundred", one_wrong_answer_among_three_hundred },
	{ "keeps_what_the_failure_needs", keeps_what_the_failure_needs },
	{ "refuses_what_does_not_fail", refuses_what_does_not_fail },
	{ "asks_a_program", asks_a_program },
	{ "stops_when_tries_run_out", stops_when_tries_run_out },
	{ "over_random_traces", over_random_traces },
};

UNIT_MAIN("minimize", cases)
