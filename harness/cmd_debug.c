// SPDX-License-Identifier: ISC
/* belljar debug: a guest that waits at its first instruction for gdb. */
#include <errno.h>

#include "cmd.h"
#include "err.h"
#include "gdb_address.h"
#include "log.h"
#include "replay.h"
#include "session.h"

struct options {
	const char *trace, *guest;
};

static int set_trace(void *ctx, const char *value, struct err *err)
{
	(void)err;
	((struct options *)ctx)->trace = value;
	return 0;
}

static int set_guest(void *ctx, const char *value, struct err *err)
{
	(void)err;
	((struct options *)ctx)->guest = value;
	return 0;
}

static int debug_trace(struct session *s, const struct options *o)
{
	struct replay_guest_options replay = { .out = stderr };
	struct replay_result result;
	struct err err = { "" };
	int code;

	if (replay_guest(s, o->trace, o->guest, &replay, &result, &code, &err)) {
		log_error("%s", err.text);
		return session_exit_code(s, NULL);
	}
	return code ? code : result.mismatches ? EXIT_MISMATCH : EXIT_OK;
}

/* A run that is over cannot be asked to be another. */
static int check_trace_options(const struct cmd *cmd, int argc, char **argv, struct err *err)
{
	struct vm_options unused;
	struct options again;
	struct err why = { "" };
	int first, r;

	vm_options_init(&unused);
	r = options_parse_with_vm(
		cmd->options, &again, vm_replay_rows, &unused, argc, argv, &first, &why);
	vm_options_finish(&unused);
	return r ? err_set(err, r, "%s with --trace: the run is the recorded one", why.text) : 0;
}

static int check(const struct options *o, const struct session *s, char **words, int n_words,
	struct err *err)
{
	if (o->trace && (!o->guest || n_words))
		return err_set(err, -EINVAL,
			o->guest ? "a recording has its arguments in itself"
				 : "--trace needs --guest GUEST, the image it was recorded from");
	if (!o->trace && o->guest)
		return err_set(err, -EINVAL,
			"--guest goes with --trace; a guest to be run is given as it is");
	if (!o->trace && !n_words)
		return err_set(err, -EINVAL, "no guest given");
	return vm_options_check(&s->options, o->trace ? o->guest : words[0], err);
}

static int cmd_debug_main(const struct cmd *cmd, int argc, char **argv)
{
	struct options options = { 0 };
	struct err err = { "" };
	struct session session;
	int first, code, r;

	session_init(&session);
	r = options_parse_with_vm(cmd->options, &options, cmd->vm_options, &session.options, argc,
		argv, &first, &err);
	if (!r && options.trace)
		r = check_trace_options(cmd, argc, argv, &err);
	if (!r)
		r = check(&options, &session, argv + first, argc - first, &err);
	if (!session.options.gdb)
		session.options.gdb = GDB_ADDRESS_DEFAULT;
	session.gdb_waits = true;
	if (r)
		code = r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	else if (options.trace)
		code = debug_trace(&session, &options);
	else
		code = session_run_guest(&session, argv + first, (size_t)(argc - first));
	session_finish(&session);
	return session_die(code);
}

static const struct option_row rows[] = {
	{ "trace", 0, OPTION_ARG, "FILE", "a recording: its answers instead of the host's",
		set_trace },
	{ "guest", 0, OPTION_ARG, "GUEST", "with --trace: the image it was recorded from",
		set_guest },
	{ 0 },
};

const struct cmd cmd_debug = {
	.name = "debug",
	.synopsis = "[OPTIONS] GUEST [--] [ARGS...] | [OPTIONS] --trace FILE --guest GUEST",
	.summary = "Stop a guest before its first instruction and serve gdb",
	.options = rows,
	.vm_options = vm_option_rows,
	.notes = "It prints the line to type into gdb, which finds the symbols by itself.\n\n"
		 "Example:\n"
		 "  belljar debug guest.elf\n"
		 "  gdb -ex 'target remote localhost:1234'\n"
		 "or, in gdb alone, whose guest ends when gdb quits:\n"
		 "  target remote | belljar debug --gdb=stdio guest.elf",
	.run = cmd_debug_main,
};
