// SPDX-License-Identifier: ISC
/* belljar replay: a trace held against the handlers, or against a guest. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "cmd.h"
#include "err.h"
#include "json.h"
#include "log.h"
#include "replay.h"
#include "session.h"
#include "trace_read.h"

enum { PROGRESS_AFTER_MS = 2000, PROGRESS_EVERY_MS = 200, MISMATCHES_SHOWN = 100 };

struct replay_options {
	struct session session;
	const char *guest, *tree_dir;
	bool json, all;
};

static int set_guest(void *ctx, const char *value, struct err *err)
{
	(void)err;
	((struct replay_options *)ctx)->guest = value;
	return 0;
}

static int set_tree(void *ctx, const char *value, struct err *err)
{
	(void)err;
	((struct replay_options *)ctx)->tree_dir = value;
	return 0;
}

static int set_json(void *ctx, const char *value, struct err *err)
{
	(void)value, (void)err;
	((struct replay_options *)ctx)->json = true;
	return 0;
}

static int set_all(void *ctx, const char *value, struct err *err)
{
	(void)value, (void)err;
	((struct replay_options *)ctx)->all = true;
	return 0;
}

static const struct option_row replay_rows[] = {
	{ "guest", 0, OPTION_ARG, "GUEST",
		"run this guest and answer it from the trace; no\nhost file is touched",
		set_guest },
	{ "tree", 0, OPTION_ARG, "DIR",
		"golden text: the host files it was recorded over\n(default: FILE less .bjt plus "
		".d)",
		set_tree },
	{ "json", 0, OPTION_NO_ARG, NULL,
		"a JSON line per mismatch and one at the end; the\nguest's console is dropped",
		set_json },
	{ "all", 0, OPTION_NO_ARG, NULL,
		"show every mismatch, not the first 100 only; JSON is\nalways whole", set_all },
	{ 0 },
};

/* ---- Progress: said by a thread that only looks ---- */

struct progress {
	const struct replay_result *result;
	const char *path;
	pthread_t thread;
	bool runs;
	int stop; /* a pipe: closed to stop it */
	int stopped;
};

static void *show_progress(void *ctx)
{
	struct progress *p = ctx;
	struct pollfd end = { .fd = p->stopped, .events = POLLIN };
	int wait_ms = PROGRESS_AFTER_MS;

	for (; !poll(&end, 1, wait_ms); wait_ms = PROGRESS_EVERY_MS) {
		const char *last = __atomic_load_n(&p->result->last_call, __ATOMIC_RELAXED);

		fprintf(stderr, "%s: %llu calls%s%s\033[K\r", p->path,
			(unsigned long long)__atomic_load_n(&p->result->calls, __ATOMIC_RELAXED),
			last ? ", the last one " : "", last ? last : "");
	}
	if (wait_ms == PROGRESS_EVERY_MS)
		fprintf(stderr, "\033[K");
	return NULL;
}

/*
 * Signals are not for this thread: what they interrupt runs on the other one. A guest that speaks on the same
 * terminal is progress enough.
 */
static void start_progress(struct progress *p, const struct replay_options *o)
{
	int console = o->session.console_out;

	sigset_t all, before;
	int ends[2];

	p->runs = false;
	if (!isatty(STDERR_FILENO) || log_get_level() < LOG_WARN ||
		(o->guest && console >= 0 && isatty(console)) || pipe2(ends, O_CLOEXEC))
		return;
	p->stopped = ends[0];
	p->stop = ends[1];
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	p->runs = !pthread_create(&p->thread, NULL, show_progress, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void stop_progress(struct progress *p)
{
	if (!p->runs)
		return;
	close(p->stop);
	pthread_join(p->thread, NULL);
	close(p->stopped);
}

/* ---- The verdict ---- */

static void say(FILE *out, const struct replay_options *o, const char *path,
	const struct replay_result *result)
{
	const char *side = o->guest ? "guest" : "host";

	if (o->json) {
		fputs("{\"file\":", out);
		json_put_text(out, path);
		fprintf(out, ",\"side\":\"%s\",\"calls\":%llu,\"mismatches\":%llu,\"cut\":%s}\n",
			side, (unsigned long long)result->calls,
			(unsigned long long)result->mismatches, result->cut ? "true" : "false");
		return;
	}
	fprintf(out, "%s: %llu call%s, ", path, (unsigned long long)result->calls,
		result->calls == 1 ? "" : "s");
	if (result->mismatches)
		fprintf(out, "%llu mismatch%s", (unsigned long long)result->mismatches,
			result->mismatches == 1 ? "" : "es");
	else
		fprintf(out, "no mismatch");
	fprintf(out, " (%s side)%s%s\n", side,
		result->cut ? "; the recording was cut off there" : "",
		result->mismatches && result->no_tree
			? "; the files of its mounts were not there: --tree DIR"
			: "");
	if (!o->guest && !o->all && result->mismatches > MISMATCHES_SHOWN)
		fprintf(out, "%s: %llu more are not shown; --all shows them\n", path,
			(unsigned long long)result->mismatches - MISMATCHES_SHOWN);
}

/* The guest's console is standard output: what is said of it goes to the other one. */
static FILE *results_to(const struct replay_options *o)
{
	return o->guest && !o->json ? stderr : stdout;
}

/* Tidies up when it is told to stop. */
static int replay_without_guest(const char *path, struct replay_host_options *host,
	struct replay_result *result, int *code, struct err *err)
{
	struct trace_reader *reader;
	int r;

	host->stop = session_signal();
	session_catch_signals();
	r = trace_reader_open(&reader, path, err);
	if (r)
		return r;
	if (host->tree_dir && trace_reader_format(reader) != TRACE_BJT) {
		err_set(err, -EINVAL, "--tree: %.300s is a recording, its files are in it", path);
		*code = EXIT_USAGE;
	} else {
		r = replay_host_reader(reader, path, host, result, err);
	}
	trace_reader_close(reader);
	if (*code || r != -EINTR || !*host->stop)
		return r;
	*code = -*host->stop;
	return 0;
}

static int replay(const struct cmd *cmd, struct replay_options *o, const char *path)
{
	struct replay_host_options host = {
		.tree_dir = o->tree_dir,
		.out = results_to(o),
		.json = o->json,
		.most = o->all ? 0 : MISMATCHES_SHOWN,
		.warn = true,
	};
	struct replay_guest_options guest = { .out = results_to(o), .json = o->json };
	struct replay_result result = { 0 };
	struct progress progress = { .result = &result, .path = path };
	struct err err = { "" };
	int r, code = EXIT_OK;

	if (o->json || log_get_level() < LOG_WARN)
		o->session.console_out = -1;
	start_progress(&progress, o);
	r = o->guest ? replay_guest(&o->session, path, o->guest, &guest, &result, &code, &err)
		     : replay_without_guest(path, &host, &result, &code, &err);
	stop_progress(&progress);
	if (r) {
		log_error("%s", err.text);
		return EXIT_OURS;
	}
	if (code == EXIT_USAGE && err.text[0])
		return cmd_usage(cmd, &err);
	if (code)
		return code;
	if (result.mismatches || o->json || log_get_level() >= LOG_WARN)
		say(results_to(o), o, path, &result);
	else if (result.cut) /* what is not there was not held against anything: never silent */
		say(stderr, o, path, &result);
	return result.mismatches ? EXIT_MISMATCH : EXIT_OK;
}

static int check(const struct replay_options *o, const char *path, struct err *err)
{
	const struct vm_options *vm = &o->session.options;

	if (!path)
		return err_set(err, -EINVAL, "no trace given");
	if (o->guest && o->tree_dir)
		return err_set(err, -EINVAL, "--tree: with --guest no host file is touched");
	if (o->guest && o->all)
		return err_set(
			err, -EINVAL, "--all: with --guest the first mismatch is the only one");
	if (!o->guest && (vm->strace || vm->timeout_ms || vm->gdb))
		return err_set(err, -EINVAL, "--%s: no guest runs without --guest",
			vm->strace ? "strace"
			: vm->gdb  ? "gdb"
				   : "timeout");
	return 0;
}

/* The options may come before FILE and after it: no words of a guest's follow here. */
static int parse(const struct cmd *cmd, struct replay_options *o, int argc, char **argv,
	const char **path, struct err *err)
{
	int first, r;

	do {
		r = options_parse_with_vm(cmd->options, o, cmd->vm_options, &o->session.options,
			argc, argv, &first, err);
		if (r)
			return r;
		if (first < argc && *path)
			return err_set(err, -EINVAL,
				"%s: one trace at a time; the guest's arguments are in it",
				argv[first]);
		if (first < argc)
			*path = argv[first];
		argc -= first;
		argv += first;
	} while (argc > 0);
	return check(o, *path, err);
}

static int cmd_replay_main(const struct cmd *cmd, int argc, char **argv)
{
	struct replay_options o = { 0 };
	const char *path = NULL;
	struct err err = { "" };
	int code, r;

	session_init(&o.session);
	r = parse(cmd, &o, argc, argv, &path, &err);
	if (r)
		code = r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	else
		code = replay(cmd, &o, path);
	session_finish(&o.session);
	return session_die(code);
}

const struct cmd cmd_replay = {
	.name = "replay",
	.synopsis = "FILE [--guest GUEST] [OPTIONS]",
	.summary = "Hold a recording against belljar, or against a guest",
	.options = replay_rows,
	.vm_options = vm_replay_rows,
	.notes = "FILE is a recording or golden text. Without --guest its questions are asked "
		 "again, over a\n"
		 "fresh copy of the files it was recorded with, and every answer is compared; no "
		 "CPU and\n"
		 "no image are needed. With --guest the guest runs and gets the recorded answers; "
		 "the\n"
		 "first call that is not the recorded one ends it, with a report. Exit 0: no "
		 "mismatch; 3:\n"
		 "there are.\n\n"
		 "The copy belongs to whoever replays: where a mode forbids something, root was "
		 "answered\n"
		 "otherwise than others are.\n\n"
		 "Example:\n"
		 "  belljar replay run.pcapng && belljar replay run.pcapng --guest guest.elf",
	.run = cmd_replay_main,
};
