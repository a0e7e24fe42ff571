// SPDX-License-Identifier: ISC
/* From a guest's run to NAME.bjt: taken in a job, checked as ever, renamed. */
#include "golden_accept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "cmd.h"
#include "err.h"
#include "golden.h"
#include "golden_check.h"
#include "golden_new.h"
#include "golden_take.h"
#include "jobs.h"
#include "log.h"

struct taking {
	const struct golden_env *env;
	struct golden_candidate *candidates;
	bool twice;
	int code; /* the worst that was seen */
};

static int complain(const struct err *err)
{
	log_error("golden: %s", err->text);
	return EXIT_OURS;
}

int golden_worse(int a, int b)
{
	return a > b ? a : b;
}

static int take_job(void *ctx, size_t i)
{
	const struct taking *t = ctx;
	const struct golden_candidate *c = &t->candidates[i];
	autofree char *text = golden_path(t->env->dir, c->name, c->from ? c->from : "");
	autofree char *image = NULL;
	struct golden_take take = {
		.dir = t->env->dir,
		.name = c->name,
		.guest = c->guest,
		.backend = t->env->backends[0],
		.timeout_ms = t->env->timeout_ms,
		.header = c->header,
		.from = c->from,
		.input = c->input,
	};
	struct err err = { "" };

	if (!text)
		return EXIT_OURS;
	if (!c->guest && golden_image(&t->env->guests, text, &image, &err)) {
		printf("%s\n", err.text);
		return EXIT_OURS;
	}
	if (!take.guest)
		take.guest = image;
	return t->twice ? golden_take_twice(&take) : golden_take_once(&take);
}

static void take_done(void *ctx, size_t i, const struct job_result *result)
{
	struct taking *t = ctx;
	struct golden_candidate *c = &t->candidates[i];

	/* To see that a guest no longer ends is what a check is for; but it makes no recording. */
	bool differs =
		result->end == JOB_EXITED &&
		(result->code == EXIT_MISMATCH || (result->code == EXIT_TIME_LIMIT && !t->twice));

	c->taken = result->end == JOB_EXITED && !result->code;
	if (c->taken)
		return;
	t->code = golden_worse(t->code, differs ? EXIT_MISMATCH : EXIT_OURS);
	printf("%s %s: %s\n", t->env->aside ? "    " : "FAIL", golden_new_shown(c->name),
		result->end == JOB_EXITED   ? "not recorded"
		: result->end == JOB_KILLED ? "belljar crashed while it was recorded"
					    : "out of time");
	golden_print_indented(result->output, result->output_len);
	fflush(stdout);
}

int golden_take_all(
	const struct golden_env *env, struct golden_candidate *candidates, size_t n, bool twice)
{
	struct taking t = { .env = env, .candidates = candidates, .twice = twice };
	struct jobs jobs = {
		.n = n,
		.parallel = env->parallel,
		.timeout_ms = 3 * env->timeout_ms, /* two runs, and ours */
		.run = take_job,
		.done = take_done,
		.ctx = &t,
	};
	struct err err = { "" };
	int r = jobs_run(&jobs, &err);

	return r > 0 ? -r : r < 0 ? complain(&err) : t.code;
}

int golden_put_in_place(const struct golden_env *env, const char *name, struct err *err)
{
	autofree char *new = golden_path(env->dir, name, GOLDEN_NEW);
	autofree char *text = golden_path(env->dir, name, GOLDEN_TEXT);

	if (!new || !text)
		return err_set(err, -ENOMEM, "out of memory");
	return rename(new, text) ? err_set(err, -errno, "%s: %m", text) : 0;
}

int golden_take_and_check(
	const struct golden_env *env, struct golden_candidate *candidates, size_t n, bool *good)
{
	struct golden_subject *subjects = calloc(n, sizeof(*subjects));
	struct golden_env quiet = *env;
	struct golden_tally tally = { 0 };
	struct err err = { "" };
	size_t k = 0;
	int r, code = subjects ? golden_take_all(env, candidates, n, true) : EXIT_OURS;

	for (size_t i = 0; code >= 0 && i < n; i++)
		if (candidates[i].taken)
			subjects[k++] = (struct golden_subject){ .name = candidates[i].name,
				.suffix = GOLDEN_NEW,
				.guest = candidates[i].guest };
	quiet.quiet = true;
	r = code < 0 ? 0 : golden_check_all(&quiet, subjects, k, &tally, &err);
	k = 0;
	for (size_t i = 0; code >= 0 && !r && i < n; i++) {
		good[i] = candidates[i].taken && !subjects[k].failed;
		k += candidates[i].taken;
	}
	if (tally.failed)
		code = golden_worse(code, tally.errors ? EXIT_OURS : EXIT_MISMATCH);
	golden_tally_finish(&tally);
	free(subjects);
	return r > 0 ? -r : r < 0 ? complain(&err) : code;
}

int golden_accept_all(const struct golden_env *env, struct golden_candidate *candidates, size_t n)
{
	autofree bool *good = calloc(n, sizeof(*good));
	int code = good ? golden_take_and_check(env, candidates, n, good) : EXIT_OURS;

	for (size_t i = 0; good && code >= 0 && i < n; i++) {
		struct err err = { "" };

		if (!good[i])
			continue;
		if (golden_put_in_place(env, candidates[i].name, &err))
			code = golden_worse(code, complain(&err));
		else
			printf("%s: accepted\n", candidates[i].name);
	}
	golden_drop_stray_blobs(env->dir);
	return code;
}
