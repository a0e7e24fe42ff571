// SPDX-License-Identifier: ISC
/* belljar resolve: where a guest's path would lead, with which rights, and why. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "err.h"
#include "fileio.h"
#include "hostfs.h"
#include "log.h"
#include "resolve.h"
#include "session.h"

struct options {
	struct resolve resolve;
	bool bulk;
	const volatile sig_atomic_t *stop;
};

static int set_op(void *ctx, const char *value, struct err *err)
{
	return resolve_parse_op(&((struct options *)ctx)->resolve, value, err);
}

static int set_explain(void *ctx, const char *value, struct err *err)
{
	(void)value, (void)err;
	((struct options *)ctx)->resolve.explain = true;
	return 0;
}

static int set_json(void *ctx, const char *value, struct err *err)
{
	(void)value, (void)err;
	((struct options *)ctx)->resolve.json = true;
	return 0;
}

static int set_null(void *ctx, const char *value, struct err *err)
{
	(void)value, (void)err;
	((struct options *)ctx)->bulk = true;
	return 0;
}

/* Signals are blocked but for the wait, so that none comes between the look and it. */
static ssize_t read_stdin(void *ctx, char *buf, size_t size)
{
	const struct options *o = ctx;
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	sigset_t all, before;
	int r;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	r = *o->stop ? -1 : ppoll(&in, 1, NULL, &before);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r < 0 ? -1 : read(STDIN_FILENO, buf, size);
}

/* Nobody waits for more. */
static bool is_over(const struct options *o)
{
	return *o->stop || ferror(stdout);
}

/* Paths that end in NUL; the last may do without. */
static int resolve_stdin(struct options *o, bool *refused)
{
	FILE *in = fopencookie(o, "r", (cookie_io_functions_t){ .read = read_stdin });
	char *path = NULL;
	size_t room = 0;
	int r = in ? 0 : -ENOMEM;

	while (in && !is_over(o) && getdelim(&path, &room, 0, in) > 0)
		*refused |= resolve_path(&o->resolve, path) < 0;
	if (in && ferror(in) && !*o->stop)
		r = -errno;
	if (r)
		log_error("resolve: standard input: %s", strerror(-r));
	free(path);
	if (in)
		fclose(in);
	return r;
}

static int resolve_all(struct options *o, char **paths, int n)
{
	bool refused = false, failed = false;
	int code;

	if (resolve_begin(&o->resolve)) {
		log_error("resolve: out of memory");
		return EXIT_OURS;
	}
	for (int i = 0; i < n && !is_over(o); i++)
		refused |= resolve_path(&o->resolve, paths[i]) < 0;
	if (o->bulk)
		failed = resolve_stdin(o, &refused) != 0;
	resolve_end(&o->resolve);
	code = failed ? EXIT_OURS : refused ? EXIT_REFUSED : EXIT_OK;
	errno = 0; /* of a write that failed long ago nothing is known */
	fflush(stdout);
	return *o->stop ? -*o->stop : cmd_flush(stdout, "standard output", code);
}

static int cmd_resolve_main(const struct cmd *cmd, int argc, char **argv)
{
	struct options o = { .resolve = { .op = RESOLVE_OPEN, .out = stdout },
		.stop = session_signal() };
	struct vm_options vm;
	struct fileio_config config;
	struct hostfs host;
	struct err err = { "" };
	int first, r, code;

	vm_options_init(&vm);
	r = options_parse_with_vm(cmd->options, &o, cmd->vm_options, &vm, argc, argv, &first, &err);
	if (!r && first == argc && !o.bulk)
		r = err_set(
			&err, -EINVAL, "no path given; or -0 to read paths from standard input");
	for (int i = first; !r && i < argc && strcmp(argv[first - 1], "--"); i++)
		if (argv[i][0] == '-')
			r = err_set(&err, -EINVAL,
				"%s: options go in front of the paths; -- in front of a path that "
				"begins so",
				argv[i]);
	config = vm_options_files(&vm);
	/* A view's descriptors do not tell where on the host they are. */
	host = config.host ? *config.host : *hostfs_best();
	host.isolate = NULL;
	config.host = &host;
	if (!r)
		session_catch_signals();
	if (r) {
		code = r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	} else if (fileio_init(&o.resolve.files, &config, &err)) {
		log_error("%s", err.text);
		code = EXIT_OURS;
	} else {
		o.resolve.mounts = vm.mounts;
		code = resolve_all(&o, argv + first, argc - first);
		fileio_destroy(o.resolve.files);
	}
	vm_options_finish(&vm);
	return session_die(code);
}

static const struct option_row options[] = {
	{ "op", 'o', OPTION_ARG, "OP[,FLAGS]",
		"what the guest would do: open (the default), create,\nstat, lstat, readdir, "
		"mkdir, "
		"unlink; FLAGS: open flags\njoined by +, such as open,rdwr+creat+excl",
		set_op },
	{ "explain", 'x', OPTION_NO_ARG, NULL, "each step: component, mount, link, decision",
		set_explain },
	{ "json", 'j', OPTION_NO_ARG, NULL, "one JSON object a path", set_json },
	{ "null", '0', OPTION_NO_ARG, NULL, "read more paths, ended by NUL, from standard input",
		set_null },
	{ 0 },
};

const struct cmd cmd_resolve = {
	.name = "resolve",
	.synopsis = "[OPTIONS] [--] [PATH...]",
	.summary = "Say where a guest's path leads, with which rights, and what comes of it",
	.options = options,
	.vm_options = file_option_rows,
	.notes =
		"Nothing is made, changed or removed, but for a private directory in TMPDIR that "
		"goes\n"
		"again. A line a path: the "
		"host's\nname of it, what is there, the rights and the mapping they come from, and "
		"what the\noperation would give the guest. Exit code 0: every path would do; 1: "
		"some "
		"would give\nthe guest an errno.",
	.run = cmd_resolve_main,
};
