// SPDX-License-Identifier: ISC
/* The jobs of a check, and what is said of them. */
#include "golden_check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "cmd.h"
#include "err.h"
#include "golden.h"
#include "golden_new.h"
#include "jobs.h"
#include "replay.h"
#include "session.h"

enum {
	GRACE_MS = 10000, /* a guest has its own time limit; this is for us */
	SIDE_MAX = 32,
};

struct check {
	const struct golden_env *env;
	struct golden_subject *subjects;
	size_t sides, n_jobs; /* per subject; in all */
	struct golden_tally *tally;
	struct err *err;
	int r; /* the first error in telling */
	bool progress, colour;
	size_t n_shown;
	/* The last report of a guest that failed, for the next backend to say no more than that. */
	struct {
		char *text;
		size_t subject, side;
	} told;
};

void golden_print_indented(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (!i || text[i - 1] == '\n')
			fputs("     ", stdout);
		if ((c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t')
			putchar(c);
		else
			printf("\\x%02x", c);
	}
	if (len && text[len - 1] != '\n')
		putchar('\n');
}

int golden_tally_add(struct golden_tally *tally, const char *group, const char *name,
	enum junit_verdict verdict, const char *text, uint64_t ns, struct err *err)
{
	struct junit_case *list =
		reallocarray(tally->cases, tally->n_cases + 1, sizeof(*tally->cases));
	struct junit_case *c;

	if (!list)
		return err_set(err, -ENOMEM, "out of memory");
	tally->cases = list;
	c = &list[tally->n_cases++];
	*c = (struct junit_case){
		.group = strdup(group),
		.name = strdup(name),
		.verdict = verdict,
		.text = text ? strdup(text) : NULL,
		.ns = ns,
	};
	if (verdict == JUNIT_PASSED)
		tally->passed++;
	else
		tally->failed++;
	tally->errors |= verdict == JUNIT_ERROR;
	return c->group && c->name && (c->text || !text) ? 0
							 : err_set(err, -ENOMEM, "out of memory");
}

void golden_tally_finish(struct golden_tally *tally)
{
	for (size_t i = 0; i < tally->n_cases; i++) {
		free((char *)(uintptr_t)tally->cases[i].group);
		free((char *)(uintptr_t)tally->cases[i].name);
		free((char *)(uintptr_t)tally->cases[i].text);
	}
	free(tally->cases);
}

static int complain(const struct err *err)
{
	printf("%s\n", err->text);
	return EXIT_OURS;
}

/* What was cut off agreed as far as it went; but what a golden has lost, it no longer checks. */
static int verdict_code(const char *text, const struct replay_result *result)
{
	if (result->cut)
		printf("%s: ends in `cut`: what came behind it is not checked any more; a golden "
		       "ends in "
		       "`end`\n",
			text);
	return result->mismatches || result->cut ? EXIT_MISMATCH : 0;
}

static int check_host(const char *text, const char *tree)
{
	struct replay_host_options o = { .tree_dir = tree, .out = stdout };
	struct replay_result result;
	struct err err = { "" };

	if (golden_own_dir(tree, &err) || replay_host(text, &o, &result, &err))
		return complain(&err);
	return verdict_code(text, &result);
}

static int check_guest(const struct golden_env *env, const struct golden_subject *subject,
	const char *text, const char *backend)
{
	autoclose int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct replay_guest_options o = { .out = stdout };
	struct replay_result result = { 0 };
	autofree char *image = NULL;
	struct err err = { "" };
	struct session s;
	int code = 0, r = 0;

	if (!subject->guest)
		r = golden_image(&env->guests, text, &image, &err);
	if (r)
		return complain(&err);
	session_init(&s);
	s.options.backend = backend;
	s.options.timeout_ms = env->timeout_ms;
	s.console_out = null;
	r = replay_guest(
		&s, text, subject->guest ? subject->guest : image, &o, &result, &code, &err);
	session_finish(&s);
	if (r)
		return complain(&err);
	if (verdict_code(text, &result))
		return EXIT_MISMATCH;
	return code < 0 ? EXIT_OURS : code;
}

/* In the child. Side 0 is the host's, the others are the backends. */
static int run_job(void *ctx, size_t i)
{
	const struct check *check = ctx;
	const struct golden_subject *subject = &check->subjects[i / check->sides];
	size_t side = i % check->sides;
	autofree char *text = golden_path(check->env->dir, subject->name, subject->suffix);
	autofree char *tree = golden_path(check->env->dir, subject->name, GOLDEN_TREE);

	if (!text || !tree)
		return EXIT_OURS;
	return side ? check_guest(check->env, subject, text, check->env->backends[side - 1])
		    : check_host(text, tree);
}

/* What is wrong with a job besides what it has said itself. */
static void describe_end(
	const struct golden_env *env, const struct job_result *result, char *buf, size_t size)
{
	buf[0] = 0;
	if (result->end == JOB_KILLED)
		snprintf(buf, size, "ended by signal %d (%s)", result->code,
			strsignal(result->code));
	else if (result->end == JOB_TIMED_OUT)
		snprintf(buf, size, "still running after %llu.%03llu s; killed",
			(unsigned long long)(env->timeout_ms + GRACE_MS) / 1000,
			(unsigned long long)(env->timeout_ms + GRACE_MS) % 1000);
	else if (result->code && !result->output_len)
		snprintf(buf, size, "exit code %d", result->code);
}

static enum junit_verdict verdict_of(const struct job_result *result)
{
	if (result->end != JOB_EXITED)
		return JUNIT_ERROR;
	switch (result->code) {
	case 0:
		return JUNIT_PASSED;
	case EXIT_MISMATCH: /* and what a guest does of its own accord: */
	case EXIT_TIME_LIMIT:
	case EXIT_CRASHED:
		return JUNIT_FAILED;
	default:
		return JUNIT_ERROR;
	}
}

/* Behind a line about the CPU, of which each backend has its own. */
static const char *skip_cpu_line(const char *at, const char *start)
{
	static const char cpu[] = "  cpu  ";

	if ((at == start || at[-1] == '\n') && !strncmp(at, cpu, strlen(cpu)))
		at += strcspn(at, "\n") + (strchr(at, '\n') != NULL);
	return at;
}

/* Are the reports the same, but for the backends' names and what is said of their CPUs? */
static bool same_report(const char *a, const char *a_name, const char *b, const char *b_name)
{
	const char *a_start = a, *b_start = b;

	for (;;) {
		a = skip_cpu_line(a, a_start);
		b = skip_cpu_line(b, b_start);
		if (!strncmp(a, a_name, strlen(a_name)) && !strncmp(b, b_name, strlen(b_name))) {
			a += strlen(a_name);
			b += strlen(b_name);
		} else if (*a != *b) {
			return false;
		} else if (!*a) {
			return true;
		} else {
			a++;
			b++;
		}
	}
}

/* Has another backend's guest failed in the same way, and been told of? Keeps the report for the next. */
static bool is_told(struct check *check, size_t i, const struct job_result *result)
{
	const char *const *backends = check->env->backends;
	size_t subject = i / check->sides, side = i % check->sides;

	if (!side || !result->output_len || result->output_cut)
		return false;
	if (check->told.text && check->told.subject == subject &&
		same_report(check->told.text, backends[check->told.side - 1], result->output,
			backends[side - 1]))
		return true;
	free(check->told.text);
	check->told.text = strdup(result->output);
	check->told.subject = subject;
	check->told.side = side;
	return false;
}

static void clear_progress(const struct check *check)
{
	if (check->progress)
		fputs("\r\033[K", stderr);
}

static void say(const struct check *check, const char *name, const char *side,
	enum junit_verdict verdict, const char *end, const struct job_result *result, bool told)
{
	const struct golden_env *env = check->env;
	bool passed = verdict == JUNIT_PASSED;

	if (passed && env->quiet)
		return;
	clear_progress(check);
	if (check->colour)
		fputs(passed ? "\033[32m" : "\033[31m", stdout);
	printf("%s%s %s %s%s%s\n",
		passed       ? "ok  "
		: env->aside ? "    "
			     : "FAIL",
		check->colour ? "\033[0m" : "", name, side, end[0] ? ": " : "", end);
	if (!told && (!passed || env->verbose))
		golden_print_indented(result->output, result->output_len);
	if (result->output_cut)
		printf("     (cut: there was more)\n");
	fflush(stdout);
}

static void job_done(void *ctx, size_t i, const struct job_result *result)
{
	struct check *check = ctx;
	struct golden_subject *subject = &check->subjects[i / check->sides];
	enum junit_verdict verdict = verdict_of(result);
	size_t side = i % check->sides;
	char what[SIDE_MAX] = "host", end[100];
	autofree char *text = NULL;
	bool told;
	int r;

	if (side)
		snprintf(what, sizeof(what), "guest@%s", check->env->backends[side - 1]);
	describe_end(check->env, result, end, sizeof(end));
	told = verdict != JUNIT_PASSED && !end[0] && is_told(check, i, result);
	if (told)
		snprintf(end, sizeof(end), "the same as guest@%s",
			check->env->backends[check->told.side - 1]);
	say(check, golden_new_shown(subject->name), what, verdict, end, result, told);
	subject->failed |= verdict != JUNIT_PASSED;
	subject->differs |= verdict == JUNIT_FAILED;
	if (asprintf(&text, "%s%s%s", end, end[0] ? "\n" : "", result->output) < 0)
		text = NULL;
	r = golden_tally_add(check->tally, subject->name, what, verdict,
		verdict == JUNIT_PASSED ? NULL
		: text                  ? text
					: end,
		result->ns, check->err);
	if (!check->r)
		check->r = r;
}

static void show_progress(void *ctx, size_t n_ended)
{
	struct check *check = ctx;

	if (check->progress && n_ended != check->n_shown)
		fprintf(stderr, "\r\033[Kchecked %zu of %zu", n_ended, check->n_jobs);
	check->n_shown = n_ended;
}

int golden_check_all(const struct golden_env *env, struct golden_subject *subjects, size_t n,
	struct golden_tally *tally, struct err *err)
{
	bool guests = env->guests.n || (n && subjects[0].guest);
	struct check check = {
		.env = env,
		.subjects = subjects,
		.sides = 1 + (guests ? env->n_backends : 0),
		.tally = tally,
		.err = err,
		.progress = isatty(STDERR_FILENO) && isatty(STDOUT_FILENO),
		.colour = isatty(STDOUT_FILENO),
	};
	struct jobs jobs = {
		.n = n * check.sides,
		.parallel = env->parallel,
		.timeout_ms = env->timeout_ms + GRACE_MS,
		.run = run_job,
		.done = job_done,
		.progress = show_progress,
		.ctx = &check,
	};
	int r;

	check.n_jobs = jobs.n;
	r = jobs_run(&jobs, err);
	clear_progress(&check);
	free(check.told.text);
	return r ? r : check.r;
}
