// SPDX-License-Identifier: ISC
/*
 * Bad images through the program, as a user meets them: `run` and `inspect` end with 125 and one line
 * on stderr that says what is wrong, print nothing else, and never die of a signal or hang.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>

#include "elf_sample.h"
#include "tmptree.h"

enum { EXIT_OURS = 125, SECONDS_MAX = 10, PATH_LEN = 200 };

static const char *program;
static struct tmptree tree;

struct outcome {
	int status; /* as of waitpid; -1: killed because it took too long */
	size_t out_size;
	char err[4096];
};

/* ---- running the program ---- */

static void in_dir(char path[PATH_LEN], const char *name)
{
	snprintf(path, PATH_LEN, "%s/%s", tree.path, name);
}

/* Even root must not be able to read what may not be read. */
static void drop_override(void)
{
	prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE);
	prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH);
}

static void become_program(char *const argv[], bool unprivileged)
{
	int in = open("/dev/null", O_RDONLY), out, err;
	char path[PATH_LEN];

	in_dir(path, "stdout");
	out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	in_dir(path, "stderr");
	err = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(99);
	if (unprivileged)
		drop_override();
	execv(program, argv);
	_exit(98);
}

static int wait_or_kill(pid_t child)
{
	const struct timespec pause = { .tv_nsec = 500000 };
	time_t end = time(NULL) + SECONDS_MAX;
	int status;

	while (waitpid(child, &status, WNOHANG) == 0) {
		if (time(NULL) > end) {
			kill(child, SIGKILL);
			waitpid(child, &status, 0);
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	return status;
}

static size_t slurp(const char *name, char *buf, size_t size)
{
	char path[PATH_LEN];
	size_t n;
	FILE *f;

	in_dir(path, name);
	f = fopen(path, "r");
	if (!f)
		return 0;
	n = fread(buf, 1, size - 1, f);
	buf[n] = 0;
	fclose(f);
	return n;
}

static void launch(char *const argv[], bool unprivileged, struct outcome *o)
{
	char out[4096];
	pid_t child = fork();

	CU_ASSERT_FATAL(child >= 0);
	if (!child)
		become_program(argv, unprivileged);
	o->status = wait_or_kill(child);
	o->out_size = slurp("stdout", out, sizeof(out));
	slurp("stderr", o->err, sizeof(o->err));
}

static void run_image(const char *path, bool unprivileged, struct outcome *o)
{
	char *argv[] = { (char *)(uintptr_t)program, (char *)"run", (char *)"--backend",
		(char *)"tcg", (char *)(uintptr_t)path, NULL };

	launch(argv, unprivileged, o);
}

static void inspect_image(const char *path, bool unprivileged, struct outcome *o)
{
	char *argv[] = { (char *)(uintptr_t)program, (char *)"inspect", (char *)(uintptr_t)path,
		NULL };

	launch(argv, unprivileged, o);
}

/* ---- judging it ---- */

static bool one_line_of_ours(const char *text)
{
	const char *end = strchr(text, '\n');

	if (strncmp(text, "belljar: ", 9) || !end || end[1])
		return false;
	for (; text < end; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

static bool exited_with(const struct outcome *o, int code)
{
	return o->status >= 0 && WIFEXITED(o->status) && WEXITSTATUS(o->status) == code;
}

static bool refused(const struct outcome *o, const char *want)
{
	return exited_with(o, EXIT_OURS) && !o->out_size && one_line_of_ours(o->err) &&
	       strstr(o->err, want);
}

static void complain(const char *verb, const char *name, const char *want, const struct outcome *o)
{
	printf("     %s %s: wanted \"%s\", got status 0x%x, %zu bytes on stdout, and: %s\n", verb,
		name, want, (unsigned)o->status, o->out_size, o->err);
	CU_FAIL("a row of the table");
}

static void check_path(const char *path, const char *name, const char *want,
	bool inspect_may_like_it, bool unprivileged)
{
	struct outcome o;

	run_image(path, unprivileged, &o);
	if (!refused(&o, want))
		complain("run", name, want, &o);
	inspect_image(path, unprivileged, &o);
	if (inspect_may_like_it && exited_with(&o, 0) && !o.err[0])
		return;
	if (!refused(&o, inspect_may_like_it ? "" : want))
		complain("inspect", name, want, &o);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_FATAL(write(fd, bytes, size) == (ssize_t)size);
	close(fd);
}

/* ---- cases ---- */

/* What the rows below spoil is sound, or they would prove nothing. */
static void runs_the_image_that_is_not_spoiled(void)
{
	char path[PATH_LEN];
	struct outcome o;
	struct sample s;

	in_dir(path, "good");
	for (int type = ET_EXEC; type <= ET_DYN; type++) {
		sample_init(&s, (uint16_t)type);
		write_file(path, &s, sizeof(s));
		run_image(path, false, &o);
		if (!exited_with(&o, SAMPLE_CODE) || o.out_size || o.err[0])
			complain("run", type == ET_DYN ? "sound PIE" : "sound EXEC", "exit 42", &o);
		inspect_image(path, false, &o);
		if (!exited_with(&o, 0) || !o.out_size || o.err[0])
			complain("inspect", "sound image", "exit 0", &o);
	}
}

static void refuses_every_spoiled_image_with_one_line(void)
{
	char path[PATH_LEN];
	struct sample s;

	in_dir(path, "bad");
	for (size_t i = 0; i < SAMPLE_ROWS; i++) {
		size_t size = sample_spoil(&s, &sample_rows[i]);

		write_file(path, &s, size);
		check_path(path, sample_rows[i].name, sample_rows[i].want,
			sample_rows[i].stage == SAMPLE_PLACE, false);
	}
}

static void says_what_is_not_elf(void)
{
	char path[PATH_LEN];

	in_dir(path, "other");
	for (size_t i = 0; i < SAMPLE_NOT_ELF; i++) {
		write_file(path, sample_not_elf[i].bytes, sample_not_elf[i].len);
		check_path(path, sample_not_elf[i].name, sample_not_elf[i].want, false, false);
	}
}

static void refuses_what_is_not_a_readable_file(void)
{
	char fifo[PATH_LEN], empty[PATH_LEN], secret[PATH_LEN], big[PATH_LEN], loop[PATH_LEN],
		none[PATH_LEN], below[PATH_LEN];
	const struct {
		const char *name, *path, *want;
	} rows[] = {
		{ "a directory", tree.path, "directory" },
		{ "an empty file", empty, "is empty" },
		{ "a missing file", none, "No such file" },
		{ "a name that is empty", "", "No such file" },
		{ "a fifo without writer", fifo, "not a regular file" },
		{ "/dev/null", "/dev/null", "not a regular file" },
		{ "/dev/zero", "/dev/zero", "not a regular file" },
		{ "an unreadable file", secret, "Permission denied" },
		{ "a file over 1 GiB", big, "too big" },
		{ "a symlink to itself", loop, "symbolic links" },
		{ "a file taken for a directory", below, "Not a directory" },
	};

	in_dir(fifo, "fifo");
	in_dir(empty, "empty");
	in_dir(secret, "secret");
	in_dir(big, "big");
	in_dir(loop, "loop");
	in_dir(none, "none");
	in_dir(below, "empty/x");
	write_file(empty, "", 0);
	write_file(secret, "\177ELF", 4);
	write_file(big, "\177ELF", 4);
	CU_ASSERT_FATAL(!mkfifo(fifo, 0600) && !chmod(secret, 0) && !symlink("loop", loop));
	CU_ASSERT_FATAL(!truncate(big, (1l << 30) + 4096));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_path(rows[i].path, rows[i].name, rows[i].want, false, true);
}

/* /proc/self is the program's own then: a real, dynamically linked PIE. */
static void refuses_a_program_made_for_linux(void)
{
	check_path("/proc/self/exe", "belljar itself", "dynamically linked", false, false);
}

/* The name is the user's, but what it does to a terminal or a log must not be. */
static void keeps_its_line_whatever_the_file_is_called(void)
{
	char path[PATH_LEN];

	in_dir(path, "new\nline\033[31m");
	write_file(path, "x", 1);
	check_path(path, "a name with a newline", "not an ELF image", false, false);
}

static const struct unit_case cases[] = {
	{ "runs_the_image_that_is_not_spoiled", runs_the_image_that_is_not_spoiled },
	{ "refuses_every_spoiled_image_with_one_line", refuses_every_spoiled_image_with_one_line },
	{ "says_what_is_not_elf", says_what_is_not_elf },
	{ "refuses_what_is_not_a_readable_file", refuses_what_is_not_a_readable_file },
	{ "refuses_a_program_made_for_linux", refuses_a_program_made_for_linux },
	{ "keeps_its_line_whatever_the_file_is_called",
		keeps_its_line_whatever_the_file_is_called },
};

int main(void)
{
	int r;

	program = getenv("BELLJAR");
	if (!program || !*program)
		program = "build/rel/belljar";
	if (access(program, X_OK)) {
		printf("FAIL badimages: %s: %s\n0 passed, 1 failed, 0 skipped\n", program,
			strerror(errno));
		return 1;
	}
	if (!tmptree_dir(tree.path)) {
		printf("FAIL badimages: %s: %s\n0 passed, 1 failed, 0 skipped\n", tree.path,
			strerror(errno));
		return 1;
	}
	r = unit_run("badimages", cases, sizeof(cases) / sizeof(cases[0]));
	tmptree_remove(&tree);
	return r;
}
