// SPDX-License-Identifier: ISC
/*
 * What the libraries offer, each used from start to finish, with promises that hold whatever fails on the
 * way: success, or an error that says why; and nothing left behind. Run as it is, nothing fails and all must
 * succeed; the fault build (fault_unit.c) runs each case again for every call that may fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi_uhyve.h"
#include "elf_load.h"
#include "err.h"
#include "fileio.h"
#include "golden.h"
#include "golden_accept.h"
#include "golden_check.h"
#include "golden_new.h"
#include "hostfs.h"
#include "jobs.h"
#include "minimize.h"
#include "options.h"
#include "record.h"
#include "replay.h"
#include "session.h"
#include "subtrace.h"
#include "symbols.h"
#include "tmptree.h"
#include "trace_diff.h"
#include "trace_export.h"
#include "trace_grep.h"
#include "trace_html.h"
#include "trace_read.h"
#include "trace_show.h"
#include "trace_stat.h"
#include "trace_text.h"
#include "trace_write.h"
#include "tree.h"
#include "unit.h"
#include "vm.h"

/* For the runner: what these cases assert counts when something fails, too. */
extern const bool fault_strict;
const bool fault_strict = true;

/* How many calls have failed so far; only a fault build has it. */
unsigned fault_failed(void) __attribute__((weak));

static bool nothing_failed(void)
{
	return !fault_failed || !fault_failed();
}

#define GOLDEN "golden/report.bjt"

/* One line of text that says something. */
static bool says_why(const struct err *err)
{
	return err->text[0] && !strchr(err->text, '\n') && !strstr(err->text, "(null)") &&
	       !strstr(err->text, "Success");
}

/* Of a call with err: went well, or says why not, which it may only when something has failed. */
static bool well(int r, struct err *err, const char *what)
{
	bool good = r >= 0;

	if ((good && !err->text[0]) || (!good && !nothing_failed() && says_why(err) && r > -4096)) {
		err->text[0] = 0;
		return good;
	}
	printf("     %s: %d \"%s\"\n", what, r, err->text);
	CU_ASSERT(good ? !err->text[0] : !nothing_failed());
	CU_ASSERT(good || (says_why(err) && r > -4096));
	err->text[0] = 0;
	return good;
}

#define WELL(call) well((int)(call), &err, #call)

/* Of a call without err: an errno that a guest may see. */
static bool answered(int64_t r, const char *what)
{
	bool good = r >= 0 || (!nothing_failed() && r > -4096 && r != -EINTR && r != -EAGAIN);

	if (!good)
		printf("     %s: %lld\n", what, (long long)r);
	CU_ASSERT(good);
	return r >= 0;
}

#define ANSWERED(call) answered((int64_t)(call), #call)

static const char *guest(const char *name)
{
	const char *dir = getenv("GUESTS");
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : "build/rel/kernels", name);
	return path;
}

static bool no_guest(const char *name)
{
	if (!access(guest(name), R_OK))
		return false;
	unit_skip("the guests are not built");
	return true;
}

static void put_path(char *path, size_t size, const struct tmptree *tree, const char *name)
{
	snprintf(path, size, "%s/%s", tree->path, name);
}

/* ---- a guest's files ---- */

static const char *const host_lines[] = { "d ro", "d ro/sub", "f ro/a first", "f ro/sub/b second",
	"l ro/link a", "l ro/up sub", "d rw", "d rw/deep", "f rw/old contents", "f one alone",
	"d scratch", NULL };

struct files {
	struct tmptree tree;
	char ro[100], rw[100], one[100], scratch[100];
	struct fileio_mount mounts[4];
	struct fileio_config config;
};

static void files_begin(struct files *f, const struct hostfs *host)
{
	CU_ASSERT_FATAL(!tmptree_make(&f->tree, host_lines));
	put_path(f->ro, sizeof(f->ro), &f->tree, "ro");
	put_path(f->rw, sizeof(f->rw), &f->tree, "rw");
	put_path(f->one, sizeof(f->one), &f->tree, "one");
	put_path(f->scratch, sizeof(f->scratch), &f->tree, "scratch");
	f->mounts[0] = (struct fileio_mount){ .host = f->ro, .guest = "/ro" };
	f->mounts[1] = (struct fileio_mount){ .host = f->rw, .guest = "/rw", .writable = true };
	f->mounts[2] = (struct fileio_mount){ .host = f->one, .guest = "/etc/one" };
	f->mounts[3] =
		(struct fileio_mount){ .host = f->rw, .guest = "/ro/sub/in", .writable = true };
	f->config = (struct fileio_config){ .mounts = f->mounts,
		.n_mounts = 4,
		.cwd = "/ro",
		.host = host,
		.console_in = -1,
		.console_out = -1 };
}

static void use_file(struct fileio *io, const char *path, int flags)
{
	struct stat st;
	char buf[100];
	int fd = fileio_open(io, path, flags, 0644);

	if (!answered(fd, path))
		return;
	ANSWERED(fileio_fstat(io, fd, &st));
	if ((flags & O_ACCMODE) == O_RDONLY) {
		ANSWERED(fileio_read(io, fd, buf, sizeof(buf)));
	} else {
		ANSWERED(fileio_write(io, fd, "some text", 9));
		ANSWERED(fileio_lseek(io, fd, 2, SEEK_SET));
		ANSWERED(fileio_read(io, fd, buf, 4));
	}
	CU_ASSERT_EQUAL(fileio_close(io, fd), 0);
}

static void use_dir(struct fileio *io, const char *path)
{
	char buf[4096];
	int fd = fileio_open(io, path, O_RDONLY | O_DIRECTORY, 0);

	if (!answered(fd, path))
		return;
	while (fileio_getdents(io, fd, buf, sizeof(buf)) > 0)
		;
	ANSWERED(fileio_lseek(io, fd, 0, SEEK_SET));
	ANSWERED(fileio_getdents(io, fd, buf, sizeof(buf)));
	CU_ASSERT_EQUAL(fileio_close(io, fd), 0);
}

static void use_files(const struct hostfs *host, bool deterministic)
{
	struct fileio *io = NULL;
	struct files f;
	struct err err = { "" };
	struct stat st;

	files_begin(&f, host);
	f.config.deterministic = deterministic;
	if (WELL(fileio_init(&io, &f.config, &err))) {
		use_file(io, "/ro/a", O_RDONLY);
		use_file(io, "link", O_RDONLY);
		use_file(io, "/ro/up/../sub/b", O_RDONLY);
		use_file(io, "/etc/one", O_RDONLY);
		use_file(io, "/rw/old", O_RDWR | O_TRUNC);
		use_file(io, "/rw/new", O_RDWR | O_CREAT | O_EXCL);
		use_file(io, "/made/on/the/way", O_RDWR | O_CREAT | O_APPEND);
		use_dir(io, "/");
		use_dir(io, "/ro");
		if (ANSWERED(fileio_mkdir(io, "/rw/dir", 0755)))
			ANSWERED(fileio_stat(io, "/rw/dir", true, &st));
		ANSWERED(fileio_stat(io, "/ro/link", false, &st));
		ANSWERED(fileio_stat(io, "/ro/sub/in/deep", true, &st));
		ANSWERED(fileio_unlink(io, "/rw/old"));
		CU_ASSERT(fileio_open(io, "/ro/new", O_RDWR | O_CREAT, 0644) < 0);
		CU_ASSERT(fileio_open(io, "/absent", O_RDONLY, 0) < 0);
	}
	fileio_destroy(io);
	tmptree_remove(&f.tree);
}

static void files_by_openat2(void)
{
	use_files(&hostfs_openat2, false);
}

static void files_by_walking(void)
{
	use_files(&hostfs_walk, false);
}

static void files_by_the_best_and_always_the_same(void)
{
	use_files(NULL, true);
}

static void options_of_a_command_line(void)
{
	static char *words[] = { "run", "--mount", "/tmp:/data:rw", "--mount", "/:/host", "--env",
		"A=b", "--kernel-arg", "quiet", "--mem", "64M", "--cwd", "/data", "guest", "word" };
	enum { N = sizeof(words) / sizeof(words[0]) };
	static const struct option_row none[] = { { 0 } };
	struct vm_options o;
	struct err err = { "" };
	int first = 0;

	vm_options_init(&o);
	if (WELL(options_parse_with_vm(none, NULL, vm_option_rows, &o, N, words, &first, &err))) {
		CU_ASSERT_EQUAL(first, N - 2);
		WELL(vm_options_check(&o, words[first], &err));
	}
	vm_options_finish(&o);
}

/* ---- images and machines ---- */

static void an_image_placed(void)
{
	struct elf_image image;
	struct gmem mem = { 0 };
	struct err err = { "" };
	uint8_t *bytes = NULL;
	size_t size;

	if (no_guest("hello.elf"))
		return;
	if (WELL(elf_read_file(guest("hello.elf"), &bytes, &size, &err)) &&
		WELL(elf_parse(bytes, size, &image, &err)) &&
		answered(gmem_init(&mem, 0x200000, 4 << 20), "gmem_init"))
		WELL(elf_place(&image, &mem, 0x200000, &err));
	gmem_finish(&mem);
	free(bytes);
}

static void names_of_addresses(void)
{
	struct symbols *symbols = NULL;
	struct elf_image image;
	struct err err = { "" };
	uint8_t *bytes = NULL;
	char text[200];
	size_t size;

	if (no_guest("hello.elf"))
		return;
	if (WELL(elf_read_file(guest("hello.elf"), &bytes, &size, &err)) &&
		WELL(elf_parse(bytes, size, &image, &err)) &&
		WELL(symbols_open(&symbols, bytes, size, 0x200000, &err))) {
		symbols_describe(symbols, 0x200000 + image.entry, text, sizeof(text));
		CU_ASSERT(!strchr(text, '\n') && (text[0] || !nothing_failed()));
	}
	symbols_close(symbols);
	free(bytes);
}

static void say_two_words(void *ctx, int fd)
{
	(void)ctx;
	dprintf(fd, "two words");
}

static void work_in_a_child(void)
{
	char buf[20];
	ssize_t n = symbols_in_child(say_two_words, NULL, 5000, buf, sizeof(buf));

	if (nothing_failed())
		CU_ASSERT_STRING_EQUAL(buf, "two words");
	CU_ASSERT(n >= 0 || !nothing_failed());
}

/* A stop that is told of, and good when nothing has failed. */
static void check_stop(const struct vm_stop *stop)
{
	CU_ASSERT(stop->kind != VM_RUNNING);
	if (stop->kind == VM_EXITED && stop->code == 0)
		return;
	if (nothing_failed())
		printf("     %d: %s\n", stop->kind, stop->text);
	CU_ASSERT(!nothing_failed());
	CU_ASSERT(stop->kind == VM_EXITED || (stop->text[0] && !strchr(stop->text, '\n')));
}

static void run_on(const char *backend)
{
	char *const words[] = { "/in/a", "word" };
	struct vm_config config = { .backend = backend, .mem_size = 32 << 20 };
	struct fileio *io = NULL;
	struct files f;
	struct vm *vm = NULL;
	struct err err = { "" };
	uint8_t *bytes = NULL;
	size_t size = 0;

	if (no_guest("hello.elf"))
		return;
	files_begin(&f, NULL);
	f.config.console_out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (WELL(elf_read_file(guest("hello.elf"), &bytes, &size, &err)) &&
		WELL(fileio_init(&io, &f.config, &err))) {
		config.image = bytes;
		config.image_size = size;
		config.files = io;
		config.args = (struct vm_args){ .image_path = "hello", .app = words, .n_app = 2 };
		if (WELL(vm_create(&vm, &config, &err)))
			check_stop(vm_run(vm));
	}
	vm_destroy(vm);
	fileio_destroy(io);
	free(bytes);
	close(f.config.console_out);
	tmptree_remove(&f.tree);
}

static void a_guest_on_the_software_cpu(void)
{
	run_on("tcg");
}

static void a_guest_on_kvm(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return unit_skip("no /dev/kvm");
	close(fd);
	run_on("kvm");
}

static int shut_down(void *ctx, struct backend *b, struct vcpu_exit *exit)
{
	(void)ctx, (void)b;
	*exit = (struct vcpu_exit){ .kind = VCPU_SHUTDOWN };
	return 0;
}

static void a_machine_without_a_cpu(void)
{
	struct vm_script script = {
		.abi = &abi_uhyve, .abi_version = 2, .mem_size = 2 << 20, .next = shut_down
	};
	struct err err = { "" };
	struct vm *vm = NULL;

	if (WELL(vm_create_script(&vm, &script, &err)))
		CU_ASSERT_EQUAL(vm_run(vm)->kind, VM_CRASHED);
	vm_destroy(vm);
}

/* ---- recordings ---- */

/* A session of report.elf over files of its own. */
struct run {
	struct tmptree tree;
	char in[100], out[100], file[100], strace[100];
	struct session session;
	char image[4096];
	char *words[1];
};

static void run_begin(struct run *run)
{
	static const char *const lines[] = { "d in", "d out", "f in/north.txt 3",
		"f in/south.txt 10", "f in/west.txt 5", NULL };
	struct session *s = &run->session;

	CU_ASSERT_FATAL(!tmptree_make(&run->tree, lines));
	put_path(run->in, sizeof(run->in), &run->tree, "in:/in");
	put_path(run->out, sizeof(run->out), &run->tree, "out:/out:rw");
	put_path(run->file, sizeof(run->file), &run->tree, "run.pcapng");
	snprintf(run->strace, sizeof(run->strace), "--strace=%s/strace", run->tree.path);
	snprintf(run->image, sizeof(run->image), "%s", guest("report.elf"));
	run->words[0] = run->image;
	session_init(s);
	s->options.backend = "tcg";
	s->console_in = -1;
	s->console_out = open("/dev/null", O_WRONLY | O_CLOEXEC);
}

/* As a command line would. */
static bool run_options(struct run *run, struct err *err)
{
	char *words[] = { "run", "--mount", run->in, "--mount", run->out, run->strace, "guest" };
	static const struct option_row none[] = { { 0 } };
	int first;

	return well(options_parse_with_vm(none, NULL, vm_option_rows, &run->session.options, 7,
			    words, &first, err),
		err, "options");
}

static void run_end(struct run *run)
{
	int console = run->session.console_out;

	session_finish(&run->session);
	close(console);
	tmptree_remove(&run->tree);
}

static void a_session(void)
{
	struct err err = { "" };
	struct run run;

	if (no_guest("report.elf"))
		return;
	run_begin(&run);
	if (run_options(&run, &err)) {
		if (WELL(session_prepare(&run.session, run.words, 1, &err))) {
			const struct vm_stop *stop = session_run(&run.session);

			check_stop(stop);
			session_exit_code(&run.session, stop);
		} else {
			session_exit_code(&run.session, NULL);
		}
	}
	run_end(&run);
}

static void a_recording_of_a_session(void)
{
	struct record_options o = { .tree_limit = 1 << 20 };
	const struct vm_stop *stop = NULL;
	struct err err = { "" };
	struct run run;

	if (no_guest("report.elf"))
		return;
	run_begin(&run);
	o.file = run.file;
	if (run_options(&run, &err) &&
		WELL(record_session(&run.session, run.words, 1, &o, &stop, &err)))
		CU_ASSERT(stop != NULL);
	if (stop)
		check_stop(stop);
	run_end(&run);
}

/* To the end, whose record it is. */
static bool read_all(struct trace_reader *reader, struct err *err)
{
	struct trace_record record;
	int r;

	while ((r = trace_reader_next(reader, &record, err)) > 0)
		;
	return well(r, err, "trace_reader_next");
}

/* There and back: text as a recording, and that read. */
static void a_recording_written_and_read(void)
{
	static const char *const none[] = { NULL };
	struct trace_reader *reader = NULL;
	struct tmptree tree;
	struct err err = { "" };
	char path[100];
	bool good;

	CU_ASSERT_FATAL(!tmptree_make(&tree, none));
	put_path(path, sizeof(path), &tree, "copy.pcapng");
	good = WELL(trace_reader_open(&reader, GOLDEN, &err)) &&
	       WELL(trace_export_recording(path, reader, &err));
	trace_reader_close(reader);
	reader = NULL;
	if (good && WELL(trace_reader_open(&reader, path, &err)))
		read_all(reader, &err);
	trace_reader_close(reader);
	if (good)
		WELL(trace_recover(path, &err));
	tmptree_remove(&tree);
}

/* A recorder that was killed: what it leaves is the file and its tail. */
static void a_recording_recovered(void)
{
	static const char *const none[] = { NULL };
	static const struct trace_writer_config config = { .on_error = TRACE_ERROR_STOP };
	static char cwd[] = "/", *argv[] = { cwd };
	struct trace_header header = { .version = TRACE_VERSION,
		.abi = &abi_uhyve,
		.abi_version = 2,
		.mem_size = 64 << 20,
		.argv = { argv, 1 },
		.cwd = cwd };
	struct trace_record call = {
		.kind = TRACE_CALL, .row = abi_uhyve.rows, .port = abi_uhyve.rows->port, .result = 0
	};
	struct trace_writer *writer = NULL;
	struct trace_reader *reader = NULL;
	struct tmptree tree;
	struct err err = { "" };
	char path[100], tail[100], kept[100];

	CU_ASSERT_FATAL(!tmptree_make(&tree, none));
	put_path(path, sizeof(path), &tree, "run.pcapng");
	put_path(tail, sizeof(tail), &tree, "run.pcapng.tail");
	put_path(kept, sizeof(kept), &tree, "kept");
	if (WELL(trace_writer_open(&writer, path, &header, &config, &err))) {
		CU_ASSERT_EQUAL(trace_writer_put(writer, &call), 0);
		CU_ASSERT_EQUAL(link(tail, kept), 0);
		trace_writer_cut(writer);
		WELL(trace_writer_close(writer, &err));
		CU_ASSERT_EQUAL(rename(kept, tail), 0);
	}
	if (!access(tail, F_OK) && WELL(trace_reader_open(&reader, path, &err)))
		read_all(reader, &err);
	trace_reader_close(reader);
	if (!access(tail, F_OK) && WELL(trace_recover(path, &err)))
		CU_ASSERT(access(tail, F_OK) != 0);
	tmptree_remove(&tree);
}

/* ---- what is done with traces ---- */

typedef int trace_fn(FILE *out, struct trace_reader *reader, struct err *err);

static int as_text(FILE *out, struct trace_reader *reader, struct err *err)
{
	const struct trace_header *header = trace_reader_header(reader);
	struct trace_text_config config = { .full = true };
	struct trace_record record;
	int r = trace_text_begin(out, header, &config, err), n = 0;

	while (r >= 0 && (n = trace_reader_next(reader, &record, err)) > 0)
		r = trace_text_put(out, header, &record, &config, err);
	return r < 0 ? r : n;
}

static int as_lines(FILE *out, struct trace_reader *reader, struct err *err)
{
	static const struct trace_show_options o = {
		.header = true, .full = true, .to = UINT64_MAX
	};

	return trace_show(out, reader, &o, err);
}

static int as_html(FILE *out, struct trace_reader *reader, struct err *err)
{
	return trace_html(out, GOLDEN, reader, 1 << 20, err);
}

static int as_statistics(FILE *out, struct trace_reader *reader, struct err *err)
{
	struct trace_stat stat;
	int r = trace_stat_read(&stat, reader, err);

	if (r)
		return r;
	trace_stat_sort(&stat, TRACE_STAT_BYTES);
	trace_stat_print(out, &stat);
	trace_stat_json(out, &stat, GOLDEN);
	trace_stat_finish(&stat);
	return 0;
}

static int as_matches(FILE *out, struct trace_reader *reader, struct err *err)
{
	struct trace_condition c;
	struct trace_record record;
	int r = trace_condition_parse(&c, "path~=north", err), n = 0;

	if (r)
		return r;
	while ((n = trace_reader_next(reader, &record, err)) > 0)
		if (record.kind == TRACE_CALL &&
			trace_condition_holds(&c, trace_reader_header(reader), &record))
			fprintf(out, "%llu\n", (unsigned long long)record.seq);
	trace_condition_finish(&c);
	return n;
}

static void a_trace_printed_in_every_way(void)
{
	static trace_fn *const ways[] = { as_text, as_lines, as_html, as_statistics, as_matches,
		trace_export_jsonl, trace_export_chrome };
	struct trace_reader *reader;
	struct err err = { "" };
	FILE *out = fopen("/dev/null", "w");

	CU_ASSERT_FATAL(out != NULL);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		reader = NULL;
		if (WELL(trace_reader_open(&reader, GOLDEN, &err)))
			WELL(ways[i](out, reader, &err));
		trace_reader_close(reader);
	}
	fclose(out);
}

static void two_traces_compared(void)
{
	static const struct trace_diff_options o = { .all = true };
	struct trace_diff_result result;
	struct err err = { "" };
	FILE *out = fopen("/dev/null", "w");

	CU_ASSERT_FATAL(out != NULL);
	if (WELL(trace_diff(out, GOLDEN, "golden/files-v1.bjt", &o, &result, &err)))
		CU_ASSERT(trace_diff_found(&result));
	fclose(out);
}

static void a_trace_made_small(void)
{
	static const char *const none[] = { NULL };
	static char *const command[] = { "grep", "-q", "west", "{}" };
	struct minimize_options o = { .command = command, .n_command = 4, .max_tries = 6 };
	struct minimize_result result;
	struct tmptree tree;
	struct err err = { "" };
	char path[100], script[200];
	char *const words[] = { "sh", script, "{}" };

	CU_ASSERT_FATAL(!tmptree_make(&tree, none));
	put_path(path, sizeof(path), &tree, "small.bjt");
	put_path(script, sizeof(script), &tree, "fails");
	CU_ASSERT_EQUAL(tmptree_add(&tree, "f fails ! grep -q west \"$1\""), 0);
	o.file = GOLDEN;
	o.out = path;
	o.command = words;
	o.n_command = 3;
	WELL(minimize_main(&o, &result, &err));
	tmptree_remove(&tree);
}

static void a_replay_in_the_guests_place(void)
{
	FILE *out = fopen("/dev/null", "w");
	struct replay_host_options o = { .out = out };
	struct replay_result result;
	struct err err = { "" };

	CU_ASSERT_FATAL(out != NULL);
	if (WELL(replay_host(GOLDEN, &o, &result, &err)))
		CU_ASSERT(!result.mismatches || !nothing_failed());
	fclose(out);
}

static void a_replay_in_the_hosts_place(void)
{
	FILE *out = fopen("/dev/null", "w");
	struct replay_guest_options o = { .out = out };
	struct replay_result result = { 0 };
	struct session s;
	struct err err = { "" };
	int code = 0;

	CU_ASSERT_FATAL(out != NULL);
	if (no_guest("report.elf")) {
		fclose(out);
		return;
	}
	session_init(&s);
	s.options.backend = "tcg";
	s.console_in = -1;
	s.console_out = fileno(out);
	if (WELL(replay_guest(&s, GOLDEN, guest("report.elf"), &o, &result, &code, &err)))
		CU_ASSERT((!result.mismatches && !code) || !nothing_failed());
	session_finish(&s);
	fclose(out);
}

/* ---- trees of files ---- */

static void a_tree_looked_at_and_copied(void)
{
	static char cwd[] = "/", guest_name[] = "/data";
	static char *argv[] = { cwd };
	struct trace_mount mount = { .guest = guest_name, .writable = true };
	struct trace_header header = { .version = TRACE_VERSION,
		.abi = &abi_uhyve,
		.abi_version = 2,
		.argv = { argv, 1 },
		.mounts = &mount,
		.n_mounts = 1 };
	struct tree before = { 0 }, after = { 0 }, diff = { 0 };
	struct tree_copy copy = { 0 };
	struct tmptree tree;
	struct err err = { "" };
	char path[100], relative[] = "rw";

	CU_ASSERT_FATAL(!tmptree_make(&tree, host_lines));
	put_path(path, sizeof(path), &tree, "ro");
	mount.host = path;
	if (WELL(tree_look(&before, &mount, 1, 0, &err))) {
		put_path(path, sizeof(path), &tree, "rw");
		if (WELL(tree_look(&after, &mount, 1, 0, &err)))
			WELL(tree_diff(&before, &after, &diff, &err));
	}
	mount.host = relative;
	WELL(tree_copy_from_dir(&copy, tree.path, &header, &err));
	tree_copy_finish(&copy);
	tree_finish(&before);
	tree_finish(&after);
	tree_finish(&diff);
	tmptree_remove(&tree);
}

/* ---- jobs and goldens ---- */

static int say_and_end(void *ctx, size_t i)
{
	(void)ctx;
	printf("job %zu\n", i);
	return (int)i;
}

static void see_end(void *ctx, size_t i, const struct job_result *result)
{
	CU_ASSERT(result->output != NULL);
	if (nothing_failed())
		CU_ASSERT_EQUAL(result->code, (int)i);
	++*(size_t *)ctx;
}

static void jobs_side_by_side(void)
{
	size_t seen = 0;
	struct jobs jobs = { .n = 3,
		.parallel = 2,
		.timeout_ms = 10000,
		.run = say_and_end,
		.done = see_end,
		.ctx = &seen };
	struct err err = { "" };

	if (WELL(jobs_run(&jobs, &err)))
		CU_ASSERT_EQUAL(seen, 3);
}

/* A suite of one, as `golden check` sees it. */
static void a_golden_checked(void)
{
	static const char *const lines[] = { "d suite", NULL };
	struct golden_env env = { .parallel = 1, .timeout_ms = 20000, .quiet = true };
	struct golden_subject subject = { .name = "exit", .suffix = GOLDEN_TEXT };
	struct golden_suite suite = { 0 };
	struct golden_tally tally = { 0 };
	struct tmptree tree;
	struct err err = { "" };
	char dir[100], path[120], *text = NULL;
	size_t len;

	CU_ASSERT_FATAL(!tmptree_make(&tree, lines));
	put_path(dir, sizeof(dir), &tree, "suite");
	snprintf(path, sizeof(path), "%s/exit.bjt", dir);
	if (WELL(golden_read("golden/exit.bjt", &text, &len, &err)) &&
		WELL(golden_write(path, text, len, &err)) && WELL(golden_scan(&suite, dir, &err))) {
		CU_ASSERT_EQUAL(suite.n + suite.strays.files.n, 1);
		env.dir = dir;
		if (WELL(golden_check_all(&env, &subject, 1, &tally, &err)))
			CU_ASSERT(tally.passed == 1 || !nothing_failed());
	}
	golden_tally_finish(&tally);
	golden_suite_finish(&suite);
	free(text);
	tmptree_remove(&tree);
}

static void a_golden_begun(void)
{
	static const char *const lines[] = { "d data", "f data/a first", "l data/b a", NULL };
	static char *words[] = { "guest.elf", "word" };
	struct trace_header header = { 0 };
	struct vm_options o;
	struct fileio_mount *mount;
	struct tmptree tree;
	struct err err = { "" };
	char text[140], dir[100];

	CU_ASSERT_FATAL(!tmptree_make(&tree, lines));
	snprintf(text, sizeof(text), "%s/data:/data", tree.path);
	put_path(dir, sizeof(dir), &tree, "new.d");
	vm_options_init(&o);
	mount = calloc(1, sizeof(*mount));
	o.mounts = mount;
	if (WELL(fileio_parse_mount(text, mount, &err))) {
		o.n_mounts = 1;
		if (WELL(golden_new_header(&header, &o, words, 2, &err)) &&
			WELL(golden_new_tree(dir, &header, &o, &err)))
			golden_remove_tree(dir);
	}
	trace_header_finish(&header);
	vm_options_finish(&o);
	tmptree_remove(&tree);
}

static const struct unit_case cases[] = {
	{ "files_by_openat2", files_by_openat2 },
	{ "files_by_walking", files_by_walking },
	{ "files_by_the_best_and_always_the_same", files_by_the_best_and_always_the_same },
	{ "options_of_a_command_line", options_of_a_command_line },
	{ "an_image_placed", an_image_placed },
	{ "names_of_addresses", names_of_addresses },
	{ "work_in_a_child", work_in_a_child },
	{ "a_guest_on_the_software_cpu", a_guest_on_the_software_cpu },
	{ "a_guest_on_kvm", a_guest_on_kvm },
	{ "a_machine_without_a_cpu", a_machine_without_a_cpu },
	{ "a_session", a_session },
	{ "a_recording_of_a_session", a_recording_of_a_session },
	{ "a_recording_written_and_read", a_recording_written_and_read },
	{ "a_recording_recovered", a_recording_recovered },
	{ "a_trace_printed_in_every_way", a_trace_printed_in_every_way },
	{ "two_traces_compared", two_traces_compared },
	{ "a_trace_made_small", a_trace_made_small },
	{ "a_replay_in_the_guests_place", a_replay_in_the_guests_place },
	{ "a_replay_in_the_hosts_place", a_replay_in_the_hosts_place },
	{ "a_tree_looked_at_and_copied", a_tree_looked_at_and_copied },
	{ "jobs_side_by_side", jobs_side_by_side },
	{ "a_golden_checked", a_golden_checked },
	{ "a_golden_begun", a_golden_begun },
};
UNIT_MAIN("faults", cases)
