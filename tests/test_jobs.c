// SPDX-License-Identifier: ISC
/* Work in child processes: order, output, crashes, time limits, signals, what is left behind. */
#include "jobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "err.h"
#include "junit.h"
#include "tmptree.h"
#include "unit.h"

enum { MANY = 40 };

struct seen {
	size_t n, last;
	bool in_order;
	struct job_result results[MANY];
	char output[MANY][64];
};

static void see(void *ctx, size_t i, const struct job_result *result)
{
	struct seen *seen = ctx;

	seen->in_order &= i == seen->n++;
	seen->results[i] = *result;
	snprintf(seen->output[i], sizeof(seen->output[i]), "%s", result->output);
}

static int run(size_t n, unsigned parallel, uint64_t timeout_ms, int (*what)(void *, size_t),
	struct seen *seen)
{
	struct jobs jobs = { .n = n,
		.parallel = parallel,
		.timeout_ms = timeout_ms,
		.run = what,
		.done = see,
		.ctx = seen };
	struct err err = { "" };
	int r;

	*seen = (struct seen){ .in_order = true };
	r = jobs_run(&jobs, &err);
	if (r < 0)
		printf("     %s\n", err.text);
	return r;
}

static int talk(void *ctx, size_t i)
{
	(void)ctx;
	usleep((useconds_t)(MANY - i) * 500);
	printf("job %zu", i);
	fprintf(stderr, "!");
	return (int)i;
}

static void tells_in_order_whoever_is_first(void)
{
	struct seen seen;

	CU_ASSERT_EQUAL(run(MANY, 7, 0, talk, &seen), 0);
	CU_ASSERT_EQUAL(seen.n, MANY);
	CU_ASSERT(seen.in_order);
	for (size_t i = 0; i < MANY; i++) {
		char want[64];

		snprintf(want, sizeof(want), "job %zu", i);
		CU_ASSERT_EQUAL(seen.results[i].end, JOB_EXITED);
		CU_ASSERT_EQUAL(seen.results[i].code, (int)i);
		CU_ASSERT(strstr(seen.output[i], want) != NULL);
		CU_ASSERT(strchr(seen.output[i], '!') != NULL);
	}
}

static int misbehave(void *ctx, size_t i)
{
	(void)ctx;
	printf("before ");
	fflush(stdout);
	if (i == 0)
		raise(SIGKILL);
	if (i == 1)
		for (;;)
			pause();
	if (i == 2 && !fork()) { /* holds on to the output, and is not waited for */
		for (;;)
			pause();
	}
	if (i == 3)
		_exit(getchar() == EOF ? 33 : 1);
	return 0;
}

static void survives_what_its_jobs_do(void)
{
	struct seen seen;

	CU_ASSERT_EQUAL(run(4, 4, 300, misbehave, &seen), 0);
	CU_ASSERT_EQUAL(seen.n, 4);
	CU_ASSERT(seen.results[0].end == JOB_KILLED && seen.results[0].code == SIGKILL);
	CU_ASSERT_EQUAL(seen.results[1].end, JOB_TIMED_OUT);
	CU_ASSERT(seen.results[2].end == JOB_EXITED && seen.results[2].code == 0);
	CU_ASSERT(seen.results[3].end == JOB_EXITED && seen.results[3].code == 33);
	for (size_t i = 0; i < 4; i++)
		CU_ASSERT_STRING_EQUAL(seen.output[i], "before ");
}

static int flood(void *ctx, size_t i)
{
	static char bytes[1 << 16];

	(void)ctx, (void)i;
	memset(bytes, 'x', sizeof(bytes));
	for (int k = 0; k < 64; k++)
		fwrite(bytes, 1, sizeof(bytes), stdout);
	return 0;
}

static void keeps_no_more_than_it_may(void)
{
	struct seen seen;

	CU_ASSERT_EQUAL(run(1, 1, 0, flood, &seen), 0);
	CU_ASSERT_EQUAL(seen.results[0].output_len, JOBS_OUTPUT_MAX);
	CU_ASSERT(seen.results[0].output_cut);
	CU_ASSERT_EQUAL(seen.results[0].code, 0);
}

static int litter(void *ctx, size_t i)
{
	char path[4200];

	(void)ctx;
	snprintf(path, sizeof(path), "%s/dir", getenv("TMPDIR"));
	if (mkdir(path, 0))
		return 1;
	snprintf(path, sizeof(path), "%s/file", getenv("TMPDIR"));
	close(open(path, O_CREAT | O_WRONLY, 0));
	if (i)
		raise(SIGKILL);
	return 0;
}

static int entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = -2;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

/* A TMPDIR of its own for a case, in which nothing may be left. */
struct private_tmp {
	struct tmptree tree;
	char *old;
};

static void use_private_tmp(struct private_tmp *tmp)
{
	static const char *const none[] = { NULL };

	tmp->old = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;
	CU_ASSERT_FATAL(!tmptree_make(&tmp->tree, none));
	setenv("TMPDIR", tmp->tree.path, 1);
}

static void leave_private_tmp(struct private_tmp *tmp)
{
	CU_ASSERT_EQUAL(entries(tmp->tree.path), 0);
	if (tmp->old)
		setenv("TMPDIR", tmp->old, 1);
	else
		unsetenv("TMPDIR");
	free(tmp->old);
	tmptree_remove(&tmp->tree);
}

static void leaves_nothing_behind(void)
{
	int fds = tmptree_open_fds();
	struct private_tmp tmp;
	struct seen seen;

	use_private_tmp(&tmp);
	CU_ASSERT_EQUAL(run(2, 2, 0, litter, &seen), 0);
	CU_ASSERT_EQUAL(seen.results[0].code, 0);
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	leave_private_tmp(&tmp);
}

static int ask_to_end(void *ctx, size_t i)
{
	(void)ctx;
	if (i == 1)
		kill(getppid(), SIGTERM);
	for (;;)
		pause();
	return 0;
}

static void ends_when_told_to(void)
{
	struct sigaction now, before;
	struct private_tmp tmp;
	struct seen seen;

	use_private_tmp(&tmp);
	sigaction(SIGTERM, NULL, &before);
	CU_ASSERT_EQUAL(run(4, 2, 0, ask_to_end, &seen), SIGTERM);
	CU_ASSERT_EQUAL(seen.n, 0);
	CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
	sigaction(SIGTERM, NULL, &now);
	CU_ASSERT(now.sa_handler == before.sa_handler);
	leave_private_tmp(&tmp);
}

static volatile sig_atomic_t told;

static void note_told(int signum)
{
	told = signum;
}

/* Says how it was told to end, and does; the last one does not. */
static int tidy_up(void *ctx, size_t i)
{
	char path[4200];

	(void)ctx;
	snprintf(path, sizeof(path), "%s/made", getenv("TMPDIR"));
	if (mkdir(path, 0700))
		return 1;
	printf("ready ");
	fflush(stdout);
	while (!told || i == 2)
		usleep(1000);
	printf("told %d", (int)told);
	return rmdir(path) ? 1 : 7;
}

static void who_is_late_may_tidy_up(void)
{
	void (*before)(int) = signal(SIGTERM, note_told); /* the jobs' from their first moment on */
	struct private_tmp tmp;
	struct seen seen;

	use_private_tmp(&tmp);
	CU_ASSERT_EQUAL(run(3, 3, 300, tidy_up, &seen), 0);
	for (size_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(seen.results[i].end, JOB_TIMED_OUT);
	CU_ASSERT_STRING_EQUAL(seen.output[0], "ready told 15");
	CU_ASSERT_STRING_EQUAL(seen.output[1], "ready told 15");
	CU_ASSERT_EQUAL(seen.results[0].code, 7);
	CU_ASSERT_STRING_EQUAL(seen.output[2], "ready ");
	CU_ASSERT_EQUAL(seen.results[2].code, SIGKILL);
	leave_private_tmp(&tmp);
	signal(SIGTERM, before);
}

/* The first asks us to end, and takes its time when it is told to. */
static int tidy_up_slowly(void *ctx, size_t i)
{
	const char *file = ctx;

	signal(SIGTERM, note_told);
	if (!i)
		kill(getppid(), SIGINT);
	while (!told)
		usleep(1000);
	usleep(20000);
	return i || mkdir(file, 0700) ? 1 : 0;
}

static void the_interrupted_may_tidy_up(void)
{
	static const char *const none[] = { NULL };
	struct private_tmp tmp;
	struct tmptree tree;
	char path[100];
	struct jobs jobs = {
		.n = 4, .parallel = 2, .run = tidy_up_slowly, .done = see, .ctx = path
	};
	struct err err = { "" };

	CU_ASSERT_FATAL(!tmptree_make(&tree, none));
	snprintf(path, sizeof(path), "%s/told", tree.path);
	use_private_tmp(&tmp);
	CU_ASSERT_EQUAL(jobs_run(&jobs, &err), SIGINT);
	CU_ASSERT(!access(path, F_OK));
	CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG), -1);
	leave_private_tmp(&tmp);
	tmptree_remove(&tree);
}

static int ask_twice(void *ctx, size_t i)
{
	(void)ctx, (void)i;
	signal(SIGTERM, note_told);
	kill(getppid(), SIGINT);
	while (!told)
		usleep(1000);
	kill(getppid(), SIGHUP);
	for (;;)
		pause();
	return 0;
}

static void the_second_signal_is_the_last(void)
{
	struct seen seen;

	CU_ASSERT_EQUAL(run(1, 1, 0, ask_twice, &seen), SIGINT);
	CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG), -1);
}

static void says_why_it_cannot(void)
{
	char *old = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;
	struct jobs jobs = { .n = 1, .parallel = 1, .run = talk, .done = see };
	struct err err = { "" };

	setenv("TMPDIR", "/nonexistent", 1);
	CU_ASSERT_EQUAL(jobs_run(&jobs, &err), -ENOENT);
	CU_ASSERT(strstr(err.text, "/nonexistent") != NULL);
	if (old)
		setenv("TMPDIR", old, 1);
	else
		unsetenv("TMPDIR");
	free(old);
}

static void writes_xml_of_any_bytes(void)
{
	static const struct junit_case results[] = {
		{ "g", "fine", JUNIT_PASSED, NULL, 1234567890 },
		{ "g<&>\"'", "caf\xe9", JUNIT_FAILED, "first\033[1m <line>\nsecond ]]> & \x01\x7f",
			0 },
		{ "g", "odd", JUNIT_ERROR, "", 0 },
	};
	char buf[4000] = "";
	FILE *out = fmemopen(buf, sizeof(buf), "w");

	CU_ASSERT_EQUAL(junit_write(out, "suite", results, 3), 0);
	fclose(out);
	CU_ASSERT_STRING_EQUAL(buf,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<testsuites>\n"
		"  <testsuite name=\"suite\" tests=\"3\" failures=\"1\" errors=\"1\" skipped=\"0\" "
		"time=\"1.234\">\n"
		"    <testcase classname=\"g\" name=\"fine\" time=\"1.234\"/>\n"
		"    <testcase classname=\"g&lt;&amp;&gt;&quot;'\" name=\"caf\\xe9\" "
		"time=\"0.000\">\n"
		"      <failure message=\"first\\x1b[1m &lt;line&gt;\">first\\x1b[1m &lt;line&gt;\n"
		"second ]]&gt; &amp; \\x01\\x7f</failure>\n"
		"    </testcase>\n"
		"    <testcase classname=\"g\" name=\"odd\" time=\"0.000\">\n"
		"      <error message=\"\"></error>\n"
		"    </testcase>\n"
		"  </testsuite>\n"
		"</testsuites>\n");
}

static const struct unit_case cases[] = {
	{ "tells_in_order_whoever_is_first", tells_in_order_whoever_is_first },
	{ "survives_what_its_jobs_do", survives_what_its_jobs_do },
	{ "keeps_no_more_than_it_may", keeps_no_more_than_it_may },
	{ "leaves_nothing_behind", leaves_nothing_behind },
	{ "ends_when_told_to", ends_when_told_to },
	{ "who_is_late_may_tidy_up", who_is_late_may_tidy_up },
	{ "the_interrupted_may_tidy_up", the_interrupted_may_tidy_up },
	{ "the_second_signal_is_the_last", the_second_signal_is_the_last },
	{ "says_why_it_cannot", says_why_it_cannot },
	{ "writes_xml_of_any_bytes", writes_xml_of_any_bytes },
};
UNIT_MAIN("jobs", cases)
