// SPDX-License-Identifier: ISC
/* belljar golden: traces kept with the source, checked against guests and handlers, reviewed, accepted. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"
#include "cleanup.h"
#include "cmd.h"
#include "err.h"
#include "golden.h"
#include "golden_accept.h"
#include "golden_check.h"
#include "golden_new.h"
#include "jobs.h"
#include "linediff.h"
#include "log.h"
#include "session.h"
#include "trace_read.h"

enum { DEFAULT_TIMEOUT_MS = 60000, PARALLEL_LIMIT = 256, DIFF_CONTEXT = 3 };

/* Everything one run of the verb knows. */
struct golden_run {
	struct golden_env env;
	const char *junit, *input;
	struct vm_options vm; /* of `new`; the others take its time limit */
	char **names;
	size_t n_names;
	enum golden_policy policy;
	struct golden_suite suite;
	struct golden_tally tally;
	struct strings notes; /* what was left out, and why */
	bool made_dir;
};

static int set_dir(void *ctx, const char *value, struct err *err)
{
	if (!*value)
		return err_set(err, -EINVAL, "give a directory");
	((struct golden_run *)ctx)->env.dir = value;
	return 0;
}

static int set_guests(void *ctx, const char *value, struct err *err)
{
	if (!*value)
		return err_set(err, -EINVAL, "give a directory");
	return strings_add(&((struct golden_run *)ctx)->env.guests, value, err);
}

static int set_backend(void *ctx, const char *value, struct err *err)
{
	struct golden_env *env = &((struct golden_run *)ctx)->env;

	if (!strcmp(value, "auto"))
		return 0;
	if (!backend_find(value))
		return err_set(err, -EINVAL, "no such backend; one of auto, kvm, tcg");
	for (size_t i = 0; i < env->n_backends; i++)
		if (!strcmp(env->backends[i], value))
			return 0;
	assert(env->n_backends < GOLDEN_BACKENDS_MAX);
	env->backends[env->n_backends++] = value;
	return 0;
}

static int set_parallel(void *ctx, const char *value, struct err *err)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (value[0] < '0' || value[0] > '9' || *end || !n || n > PARALLEL_LIMIT)
		return err_set(err, -EINVAL, "give a number from 1 to %d", PARALLEL_LIMIT);
	((struct golden_run *)ctx)->env.parallel = (unsigned)n;
	return 0;
}

static int set_junit(void *ctx, const char *value, struct err *err)
{
	if (!*value)
		return err_set(err, -EINVAL, "give a file name");
	((struct golden_run *)ctx)->junit = value;
	return 0;
}

static int set_input(void *ctx, const char *value, struct err *err)
{
	if (!*value)
		return err_set(err, -EINVAL, "give a file name");
	((struct golden_run *)ctx)->input = value;
	return 0;
}

/* What a VM option of the same name does. */
static int set_as_vm(void *ctx, const char *name, const char *value, struct err *err)
{
	const struct option_row *row = vm_option_rows;

	while (strcmp(row->name, name) != 0)
		row++;
	return row->set(&((struct golden_run *)ctx)->vm, value, err);
}

static int set_timeout(void *ctx, const char *value, struct err *err)
{
	return set_as_vm(ctx, "timeout", value, err);
}

static int set_verbose(void *ctx, const char *value, struct err *err)
{
	return set_as_vm(ctx, "verbose", value, err);
}

static int set_quiet(void *ctx, const char *value, struct err *err)
{
	return set_as_vm(ctx, "quiet", value, err);
}

#define DIR_ROW                                                                                    \
	{                                                                                          \
		"dir", 0, OPTION_ARG, "DIR", "where the goldens are (default golden)", set_dir     \
	}

static const struct option_row golden_rows[] = {
	DIR_ROW,
	{ "guests", 'g', OPTION_ARG, "DIR",
		"where images are, by the name that a golden has for\nits guest; repeatable. "
		"Without it, only the host side\nis checked",
		set_guests },
	{ "backend", 'b', OPTION_ARG, "auto|kvm|tcg",
		"run guests on this CPU; repeatable (default: each\nthat works here)",
		set_backend },
	{ "timeout", 0, OPTION_ARG, "SECONDS", "for each run of a guest (default 60)",
		set_timeout },
	{ "jobs", 'j', OPTION_ARG, "N", "at a time (default: as many as cores)", set_parallel },
	{ "junit", 0, OPTION_ARG, "FILE", "check: write the results as JUnit XML, too", set_junit },
	{ "verbose", 'v', OPTION_NO_ARG, NULL, "show what checks that passed have to say",
		set_verbose },
	{ "quiet", 'q', OPTION_NO_ARG, NULL, "show only what failed", set_quiet },
	{ 0 },
};

static const struct option_row new_rows[] = {
	DIR_ROW,
	{ "stdin", 0, OPTION_ARG, "FILE",
		"what the guest reads from its console (default:\nnothing)", set_input },
	{ 0 },
};

/* Every backend that works here; or that those asked for do. */
static int choose_backends(struct golden_env *env, struct strings *notes, struct err *err)
{
	bool asked = env->n_backends;
	int r = 0;

	for (const struct backend_ops *const *b = backend_list; !r && *b; b++) {
		struct backend_info info = { 0 };
		char note[300];
		bool wanted = !asked;

		for (size_t i = 0; asked && i < env->n_backends; i++)
			wanted |= !strcmp(env->backends[i], (*b)->name);
		if (!wanted)
			continue;
		((*b)->look ? (*b)->look : (*b)->probe)(&info);
		snprintf(note, sizeof(note), "%s: %s", (*b)->name, info.why);
		if (info.usable && !asked)
			env->backends[env->n_backends++] = (*b)->name;
		else if (!info.usable && asked)
			return err_set(err, -ENODEV, "--backend %s", note);
		else if (!info.usable)
			r = strings_add(notes, note, err);
	}
	return r || env->n_backends ? r : err_set(err, -ENODEV, "no backend works here");
}

static int complain(const struct err *err)
{
	log_error("golden: %s", err->text);
	return EXIT_OURS;
}

/* Writing is refused where nobody would look at what was written. */
static int refuse_writing(void)
{
	log_error("golden: %s; do this on your own machine%s",
		golden_in_ci() ? "CI is set, so nothing is written"
			       : "BELLJAR_GOLDEN=no, so nothing is written",
		golden_in_ci() ? ", or with CI empty" : ", or without it");
	return EXIT_OURS;
}

static int need_guests(const struct golden_env *env)
{
	if (env->guests.n)
		return 0;
	log_error("golden: what is accepted is run again first; --guests DIR says where the images "
		  "are");
	return EXIT_OURS;
}

/* The goldens that were named. 0, or an exit code when one is unknown. */
static int check_names(const struct golden_run *run)
{
	for (size_t i = 0; i < run->n_names; i++)
		if (!golden_find(&run->suite, run->names[i])) {
			log_error("golden: %s: no such golden in %s", run->names[i], run->env.dir);
			return EXIT_USAGE;
		}
	return 0;
}

static bool is_named(const struct golden_run *run, const struct golden *g)
{
	for (size_t i = 0; i < run->n_names; i++)
		if (!strcmp(run->names[i], g->name))
			return true;
	return !run->n_names;
}

static int golden_accept(struct golden_run *run)
{
	autofree struct golden_candidate *candidates = NULL;
	int code = run->policy == GOLDEN_POLICY_NO ? refuse_writing() : need_guests(&run->env);
	size_t n = 0;

	if (!code)
		code = check_names(run);
	if (code)
		return code;
	candidates = calloc(run->suite.n + 1, sizeof(*candidates));
	for (size_t i = 0; candidates && i < run->suite.n; i++) {
		const struct golden *g = &run->suite.list[i];

		if (is_named(run, g) && (g->has_new || (run->n_names && g->has_text)))
			candidates[n++] = (struct golden_candidate){ .name = g->name,
				.from = g->has_new ? GOLDEN_NEW : GOLDEN_TEXT };
	}
	if (!n)
		printf("nothing to accept\n");
	return n ? golden_accept_all(&run->env, candidates, n) : 0;
}

/* Something that belongs to no golden, as a failed check. */
static int fail_stray(struct golden_run *run, const char *file, const char *reason, struct err *err)
{
	printf("FAIL %s: %s\n", file, reason);
	return golden_tally_add(&run->tally, "golden", file, JUNIT_FAILED, reason, 0, err);
}

/* What nobody has decided on yet. */
static int check_waiting(struct golden_run *run, struct err *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < run->suite.n; i++) {
		const struct golden *g = &run->suite.list[i];
		char file[200];

		if (!g->has_new || (g->has_text && !golden_in_ci()))
			continue;
		snprintf(file, sizeof(file), "%s" GOLDEN_NEW, g->name);
		r = fail_stray(run, file,
			g->has_text ? "waits for `belljar golden review`"
				    : "waits for `belljar golden review`: there is no golden yet",
			err);
	}
	return r;
}

static int check_strays(struct golden_run *run, struct err *err)
{
	const struct golden_strays *strays = &run->suite.strays;
	struct golden_strays blobs = { 0 };
	struct err why = { "" };
	int r = check_waiting(run, err);
	bool known;

	for (size_t i = 0; !r && i < strays->files.n; i++)
		r = fail_stray(run, strays->files.list[i], strays->reasons.list[i], err);
	known = !r && !golden_stray_blobs(run->env.dir, &blobs, &why);
	if (!r && !known)
		r = fail_stray(run, "blobs", why.text, err);
	for (size_t i = 0; known && !r && i < blobs.files.n; i++)
		r = fail_stray(run, blobs.files.list[i], blobs.reasons.list[i], err);
	golden_strays_finish(&blobs);
	return r;
}

/* What guests that differ do now: beside, or in place. */
static int renew(struct golden_run *run, const struct golden_subject *subjects, size_t n)
{
	autofree struct golden_candidate *candidates = calloc(n + 1, sizeof(*candidates));
	struct golden_env env = run->env;
	size_t k = 0;
	int code;

	env.aside = true;
	for (size_t i = 0; candidates && i < n; i++)
		if (subjects[i].differs)
			candidates[k++] = (struct golden_candidate){ .name = subjects[i].name,
				.from = GOLDEN_TEXT };
	if (!k || run->policy == GOLDEN_POLICY_NO || !run->env.guests.n)
		return 0;
	if (run->policy == GOLDEN_POLICY_ALWAYS)
		return golden_accept_all(&env, candidates, k);
	code = golden_take_all(&env, candidates, k, false);
	for (size_t i = 0; code >= 0 && i < k; i++)
		if (candidates[i].taken)
			printf("     %s" GOLDEN_NEW
			       ": what the guest does now; see it with `belljar "
			       "golden review`\n",
				candidates[i].name);
	return code;
}

/* A proposal that has been overtaken: the golden as it is passes. */
static void drop_overtaken(
	const struct golden_run *run, const struct golden_subject *subjects, size_t n)
{
	bool dropped = false;

	for (size_t i = 0; i < n; i++) {
		const struct golden *g = golden_find(&run->suite, subjects[i].name);
		autofree char *new = golden_path(run->env.dir, subjects[i].name, GOLDEN_NEW);

		if (subjects[i].failed || !g->has_new || !new || unlink(new))
			continue;
		printf("     %s" GOLDEN_NEW ": removed, for the golden passes\n", g->name);
		dropped = true;
	}
	if (dropped)
		golden_drop_stray_blobs(run->env.dir);
}

static int write_junit(const struct golden_run *run)
{
	FILE *out = fopen(run->junit, "we");
	int r = out ? junit_write(out, "golden", run->tally.cases, run->tally.n_cases) : -errno;

	if (out && fclose(out) && !r)
		r = -errno;
	if (!r)
		return 0;
	log_error("golden: --junit %s: %s", run->junit, strerror(-r));
	return EXIT_OURS;
}

/* Notes, the report for machines, the closing line. */
static int conclude(
	const struct golden_run *run, const struct golden_subject *subjects, size_t n, int code)
{
	bool differs = false;

	for (size_t i = 0; i < n; i++)
		differs |= subjects[i].differs;
	if (run->tally.failed)
		code = golden_worse(code, run->tally.errors ? EXIT_OURS : EXIT_MISMATCH);
	if (run->junit)
		code = golden_worse(code, write_junit(run));
	for (size_t i = 0; run->env.guests.n && i < run->notes.n; i++)
		printf("note: no guest was run on %s\n", run->notes.list[i]);
	if (n && !run->env.guests.n)
		printf("note: host side only; --guests DIR says where the images are%s\n",
			differs && run->policy != GOLDEN_POLICY_NO
				? ", and then what they do now is written down for `golden review`"
				: "");
	printf("%zu passed, %zu failed\n", run->tally.passed, run->tally.failed);
	return code;
}

static int golden_check(struct golden_run *run)
{
	autofree struct golden_subject *subjects = NULL;
	struct err err = { "" };
	size_t n = 0;
	int r, code = check_names(run);

	if (code)
		return code;
	subjects = calloc(run->suite.n + 1, sizeof(*subjects));
	for (size_t i = 0; subjects && i < run->suite.n; i++) {
		const struct golden *g = &run->suite.list[i];

		if (is_named(run, g) && g->has_text)
			subjects[n++] =
				(struct golden_subject){ .name = g->name, .suffix = GOLDEN_TEXT };
	}
	if (!run->suite.n && !run->suite.strays.files.n) { /* a check of nothing must not pass */
		log_error("golden: %s: no goldens; `belljar golden new` makes the first",
			run->env.dir);
		return EXIT_OURS;
	}
	r = golden_check_all(&run->env, subjects, n, &run->tally, &err);
	if (!r && !run->n_names)
		r = check_strays(run, &err);
	if (r)
		return r > 0 ? -r : complain(&err);
	code = renew(run, subjects, n);
	if (code < 0)
		return code;
	if (run->policy != GOLDEN_POLICY_NO && run->env.guests.n)
		drop_overtaken(run, subjects, n);
	return conclude(run, subjects, n, code);
}

/* The text and what waits beside it, as a diff. Its hunks, or -errno. */
static int show_diff(const struct golden_run *run, const struct golden *g, struct err *err)
{
	struct linediff_style style = { .context = DIFF_CONTEXT, .colour = isatty(STDOUT_FILENO) };
	autofree char *text_path = golden_path(run->env.dir, g->name, GOLDEN_TEXT);
	autofree char *new_path = golden_path(run->env.dir, g->name, GOLDEN_NEW);
	autofree char *text = NULL, *new = NULL;
	struct lines a = { 0 }, b = { 0 };
	size_t text_len = 0, new_len = 0;
	int r = text_path && new_path ? 0 : err_set(err, -ENOMEM, "out of memory");

	if (!r && g->has_text)
		r = golden_read(text_path, &text, &text_len, err);
	if (!r)
		r = golden_read(new_path, &new, &new_len, err);
	if (!r)
		r = lines_of(&a, text ? text : "", text_len);
	if (!r)
		r = lines_of(&b, new, new_len);
	if (!r) {
		printf("--- %s%s\n+++ %s" GOLDEN_NEW "\n", g->name,
			g->has_text ? GOLDEN_TEXT : GOLDEN_TEXT " (not there yet)", g->name);
		r = linediff_print(stdout, &a, &b, &style);
	}
	free(a.list);
	free(b.list);
	fflush(stdout);
	return r;
}

/* 'a', 'r' or 's'; 0: nobody is there any more. */
static int ask(const char *name)
{
	char line[100];

	for (;;) {
		printf("%s: accept, reject or skip? [a/r/s] ", name);
		fflush(stdout);
		if (!fgets(line, sizeof(line), stdin))
			return 0;
		if (line[0] && strchr("ars", line[0]) && (line[1] == '\n' || !line[1]))
			return line[0];
		printf("  a  accept: run the guest again, and make this the golden\n"
		       "  r  reject: remove it, and leave the golden as it is\n"
		       "  s  skip: decide later\n");
	}
}

static int reject(const struct golden_run *run, const struct golden *g)
{
	autofree char *new = golden_path(run->env.dir, g->name, GOLDEN_NEW);

	if (!new || unlink(new)) {
		log_error("golden: %s" GOLDEN_NEW ": %m", g->name);
		return EXIT_OURS;
	}
	printf("%s: rejected\n", g->name);
	golden_drop_stray_blobs(run->env.dir);
	return 0;
}

static int decide(const struct golden_run *run, const struct golden *g)
{
	struct golden_candidate candidate = { .name = g->name, .from = GOLDEN_NEW };
	int code, answer = ask(g->name);

	if (answer == 'r')
		return reject(run, g);
	if (answer != 'a')
		return 0;
	code = need_guests(&run->env);
	return code ? code : golden_accept_all(&run->env, &candidate, 1);
}

static int golden_review(struct golden_run *run)
{
	bool asking =
		isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && run->policy != GOLDEN_POLICY_NO;
	struct err err = { "" };
	size_t n = 0;
	int code = check_names(run);

	for (size_t i = 0; !code && i < run->suite.n; i++) {
		const struct golden *g = &run->suite.list[i];

		if (!g->has_new || !is_named(run, g))
			continue;
		n++;
		if (show_diff(run, g, &err) < 0)
			return complain(&err);
		if (asking)
			code = decide(run, g);
	}
	if (code)
		return code;
	if (!n)
		printf("nothing to review\n");
	return n && !asking ? EXIT_MISMATCH : 0;
}

static int count_calls(const char *path, unsigned long long *calls)
{
	struct trace_reader *reader;
	struct trace_record record;
	int r = trace_reader_open(&reader, path, NULL);

	*calls = 0;
	if (r)
		return r;
	while ((r = trace_reader_next(reader, &record, NULL)) > 0)
		*calls += record.kind == TRACE_CALL;
	trace_reader_close(reader);
	return r;
}

/* From the name under which it was made to its own. 0, or -errno with err. */
static int put_new_in_place(const struct golden_run *run, const char *made, const char *tree,
	const char *path, struct err *err)
{
	autofree char *made_tree = golden_path(run->env.dir, made, GOLDEN_TREE);
	autofree char *made_text = golden_path(run->env.dir, made, GOLDEN_NEW);

	if (!made_tree || !made_text)
		return err_set(err, -ENOMEM, "out of memory");
	if (rename(made_tree, tree) && errno != ENOENT)
		return err_set(err, -errno, "%s: %m", tree);
	return rename(made_text, path) ? err_set(err, -errno, "%s: %m", path) : 0;
}

/* The texts agree, with each other and with a check: NAME.bjt, or where a review is wanted, NAME.bjt.new. */
static int finish_new(const struct golden_run *run, const char *made, const char *tree)
{
	bool beside = run->policy == GOLDEN_POLICY_NEW;
	autofree char *path =
		golden_path(run->env.dir, run->names[0], beside ? GOLDEN_NEW : GOLDEN_TEXT);
	unsigned long long calls;
	struct err err = { "" };

	if (!path || put_new_in_place(run, made, tree, path, &err))
		return complain(&err);
	if (count_calls(path, &calls))
		calls = 0;
	printf("%s: %llu calls%s\n", path, calls,
		beside ? ", to be accepted with `belljar golden review`" : "");
	return 0;
}

/* Under a name that the next one sweeps away, should this one be killed. */
static int record_new(struct golden_run *run, const char *guest, const struct trace_header *header,
	const char *tree)
{
	autofree char *made = golden_new_name(run->names[0]);
	autofree char *made_tree = made ? golden_path(run->env.dir, made, GOLDEN_TREE) : NULL;
	autofree char *made_text = made ? golden_path(run->env.dir, made, GOLDEN_NEW) : NULL;
	struct golden_candidate candidate = {
		.name = made, .header = header, .guest = guest, .input = run->input
	};
	struct err err = { "" };
	bool good = false;
	int code;

	if (!made_tree || !made_text)
		return EXIT_OURS;
	if (golden_new_tree(made_tree, header, &run->vm, &err)) {
		golden_remove_tree(made_tree);
		return complain(&err);
	}
	code = golden_take_and_check(&run->env, &candidate, 1, &good);
	if (!code && good)
		return finish_new(run, made, tree);
	unlink(made_text);
	golden_remove_tree(made_tree);
	golden_drop_stray_blobs(run->env.dir);
	return code ? code : EXIT_OURS;
}

/* Is the name good, and free? An exit code. */
static int check_new_name(const struct golden_run *run, const char *name, const char *tree)
{
	const struct golden *g = golden_find(&run->suite, name);

	if (!golden_name_ok(name)) {
		log_error("golden: %s: a golden's name is letters, digits and ._+- only", name);
		return EXIT_USAGE;
	}
	if (g && (g->has_text || g->has_new)) {
		log_error(
			"golden: %s: is there already; `belljar golden accept %s` records it again",
			name, name);
		return EXIT_OURS;
	}
	if (!access(tree, F_OK)) {
		log_error("golden: %s: is there, without a golden; remove it first", tree);
		return EXIT_OURS;
	}
	return 0;
}

/* names: NAME GUEST ARGS... */
static int golden_new(struct golden_run *run)
{
	autofree char *tree = golden_path(run->env.dir, run->names[0], GOLDEN_TREE);
	struct trace_header header;
	struct err err = { "" };
	int code = run->policy == GOLDEN_POLICY_NO ? refuse_writing() : 0;

	if (!code)
		code = tree ? check_new_name(run, run->names[0], tree) : EXIT_OURS;
	if (code)
		return code;
	if (access(run->names[1], R_OK) || (run->input && access(run->input, R_OK))) {
		err_set(&err, -errno, "%s: %m",
			access(run->names[1], R_OK) ? run->names[1] : run->input);
		return complain(&err);
	}
	if (golden_new_header(&header, &run->vm, run->names + 1, run->n_names - 1, &err))
		return complain(&err);
	code = record_new(run, run->names[1], &header, tree);
	trace_header_finish(&header);
	return code;
}

/* Options and names in any order, to the end or to "--". Consumes argv. */
static int parse_names(struct golden_run *run, int argc, char **argv, struct err *err)
{
	int first, r;

	run->names = argv;
	while (argc > 1) {
		bool dashes;

		r = options_parse(golden_rows, run, argc, argv, &first, err);
		if (r)
			return r;
		dashes = !strcmp(argv[first - 1], "--");
		for (int i = first; i < argc && (dashes || i == first); i++)
			run->names[run->n_names++] = argv[i];
		if (dashes || first == argc)
			return 0;
		argc -= first;
		argv += first; /* the name takes argv[0]'s place */
	}
	return 0;
}

/* [OPTIONS] NAME [OPTIONS] GUEST [--] [ARGS...]: the name, then all from the guest on. */
static int parse_new(struct golden_run *run, int argc, char **argv, struct err *err)
{
	int first, r = options_parse_with_vm(
			   new_rows, run, vm_option_rows, &run->vm, argc, argv, &first, err);
	char *name;

	if (r)
		return r;
	if (first == argc)
		return err_set(err, -EINVAL, "no name given");
	name = argv[first];
	argc -= first;
	argv += first;
	r = options_parse_with_vm(new_rows, run, vm_option_rows, &run->vm, argc, argv, &first, err);
	if (r)
		return r;
	if (first == argc)
		return err_set(err, -EINVAL, "no guest given");
	run->names = argv + first - 1;
	run->names[0] = name;
	run->n_names = (size_t)(argc - first + 1);
	run->vm.deterministic = true;
	r = vm_options_check(&run->vm, argv[first], err);
	return r ? r : set_backend(run, run->vm.backend, err);
}

/* What a verb of ours is, and what it needs before it can begin. */
struct subverb {
	struct cmd cmd;
	int (*parse)(struct golden_run *run, int argc, char **argv, struct err *err);
	int (*run)(struct golden_run *run);
	bool makes_dir;
};

static const struct subverb subverbs[] = {
	{ { .name = "golden check",
		  .synopsis = "[OPTIONS] [NAME...]",
		  .summary = "Check goldens: handlers, and guests on every backend",
		  .options = golden_rows,
		  .notes =
			  "Exit code 0: all passed; 3: something differs, or belongs to no golden; "
			  "125:\nsomething could not be checked. Outside CI, what a guest that "
			  "differs does now is\nwritten to NAME.bjt.new." },
		parse_names, golden_check, false },
	{ { .name = "golden review",
		  .synopsis = "[OPTIONS] [NAME...]",
		  .summary =
			  "Show what waits in NAME.bjt.new; on a terminal, ask what to do with it",
		  .options = golden_rows,
		  .notes = "Not on a terminal: exit code 3 when something waits." },
		parse_names, golden_review, false },
	{ { .name = "golden accept",
		  .synopsis = "[OPTIONS] [NAME...]",
		  .summary = "Make NAME.bjt.new, or without one a new recording, the golden",
		  .options = golden_rows,
		  .notes = "The guest is run twice and checked first. Without a name: all that "
			   "wait." },
		parse_names, golden_accept, false },
	{ { .name = "golden new",
		  .synopsis = "[OPTIONS] NAME [OPTIONS] GUEST [--] [ARGS...]",
		  .summary = "Record a guest for the first time",
		  .options = new_rows,
		  .vm_options = vm_option_rows,
		  .notes = "What is mapped is copied to NAME.d/ and used from there. The guest is "
			   "run twice, and\nrefused when the runs differ." },
		parse_new, golden_new, true },
};

static void run_finish(struct golden_run *run)
{
	golden_suite_finish(&run->suite);
	golden_tally_finish(&run->tally);
	strings_finish(&run->env.guests);
	strings_finish(&run->notes);
	vm_options_finish(&run->vm);
}

static int begin(struct golden_run *run, const struct subverb *verb)
{
	struct err err = { "" };
	int r;

	run->env.quiet = log_get_level() == LOG_ERROR;
	run->env.verbose = log_get_level() > LOG_WARN;
	run->env.timeout_ms = run->vm.timeout_ms ? run->vm.timeout_ms : DEFAULT_TIMEOUT_MS;
	if (golden_policy(&run->policy, &err)) {
		log_error("golden: %s", err.text);
		return EXIT_USAGE;
	}
	run->made_dir =
		verb->makes_dir && run->policy != GOLDEN_POLICY_NO && !mkdir(run->env.dir, 0777);
	if (verb->makes_dir && run->policy != GOLDEN_POLICY_NO && !run->made_dir && errno != EEXIST)
		r = err_set(&err, -errno, "%s: %m", run->env.dir);
	else
		r = golden_scan(&run->suite, run->env.dir, &err);
	if (!r && run->policy != GOLDEN_POLICY_NO)
		golden_new_sweep(run->env.dir);
	if (!r)
		r = choose_backends(&run->env, &run->notes, &err);
	return r ? complain(&err) : 0;
}

static int run_subverb(const struct subverb *verb, int argc, char **argv)
{
	struct golden_run run = { .env = { .dir = "golden", .parallel = jobs_cores() } };
	struct err err = { "" };
	int code, r;

	vm_options_init(&run.vm);
	r = verb->parse(&run, argc, argv, &err);
	if (r) {
		code = r > 0 ? cmd_help(&verb->cmd) : cmd_usage(&verb->cmd, &err);
	} else {
		code = begin(&run, verb);
		if (!code)
			code = verb->run(&run);
	}
	if (run.made_dir)
		rmdir(run.env.dir); /* unless something lies in it now */
	run_finish(&run);
	return session_die(code);
}

static int cmd_golden_main(const struct cmd *cmd, int argc, char **argv)
{
	struct err err = { "" };
	const char *word = argc > 1 ? argv[1] : NULL;

	for (size_t i = 0; word && i < sizeof(subverbs) / sizeof(subverbs[0]); i++)
		if (!strcmp(word, strchr(subverbs[i].cmd.name, ' ') + 1))
			return run_subverb(&subverbs[i], argc - 1, argv + 1);
	if (word && (!strcmp(word, "--help") || !strcmp(word, "-h")))
		return cmd_help(cmd);
	err_set(&err, -EINVAL,
		word ? "%s: no such verb" : "no verb given; check, review, accept or new", word);
	return cmd_usage(cmd, &err);
}

static const struct option_row all_rows[] = {
	DIR_ROW,
	{ "guests", 'g', OPTION_ARG, "DIR", "where images are; repeatable", set_guests },
	{ "backend", 'b', OPTION_ARG, "auto|kvm|tcg", "run guests on this CPU; repeatable",
		set_backend },
	{ "timeout", 0, OPTION_ARG, "SECONDS", "for each run of a guest (default 60)",
		set_timeout },
	{ "jobs", 'j', OPTION_ARG, "N", "at a time (default: as many as cores)", set_parallel },
	{ "junit", 0, OPTION_ARG, "FILE", "check: write the results as JUnit XML, too", set_junit },
	{ "stdin", 0, OPTION_ARG, "FILE", "new: what the guest reads from its console", set_input },
	{ "verbose", 'v', OPTION_NO_ARG, NULL, "say more", set_verbose },
	{ "quiet", 'q', OPTION_NO_ARG, NULL, "say less", set_quiet },
	{ 0 },
};

const struct cmd cmd_golden = {
	.name = "golden",
	.synopsis = "check|review|accept|new [OPTIONS] [NAME...]",
	.summary = "Keep traces with the source, and check guests against them",
	.options = all_rows,
	.notes = "  check   replay every golden in the guest's place, and with --guests in the "
		 "host's\n"
		 "  review  show what changed, and ask\n"
		 "  accept  make what changed the golden\n"
		 "  new     record a guest: golden new NAME [VM options] GUEST [--] [ARGS...]\n\n"
		 "A golden is NAME.bjt and, where the guest saw files, NAME.d/. BELLJAR_GOLDEN "
		 "says what "
		 "may be\nwritten: no, new (NAME.bjt.new), always, unseen (the default: directly "
		 "what is "
		 "new). With CI\nset nothing ever is.",
	.run = cmd_golden_main,
};
