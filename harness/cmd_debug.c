// SPDX-License-Identifier: ISC
/* belljar debug: a guest that waits at its first instruction for gdb. */
#include <errno.h>

#include "cmd.h"
#include "err.h"
#include "gdb_address.h"
#include "gdb_server.h"
#include "log.h"
#include "session.h"

static int debug_guest(struct session *s, char **words, size_t n_words)
{
	struct gdb_server *server = NULL;
	struct err err = { "" };
	int code;

	if (gdb_server_new(&server, s, s->options.gdb ? s->options.gdb : GDB_ADDRESS_DEFAULT, true,
		    &err)) {
		log_error("--gdb: %s", err.text);
		return EXIT_OURS;
	}
	if (session_prepare(s, words, n_words, &err)) {
		log_error("%s: %s", words[0], err.text);
		code = session_exit_code(s, NULL);
	} else {
		code = session_exit_code(s, session_run(s));
	}
	gdb_server_free(server);
	return code;
}

static int cmd_debug_main(const struct cmd *cmd, int argc, char **argv)
{
	struct err err = { "" };
	struct session session;
	int first, code, r;

	session_init(&session);
	r = options_parse(cmd->options, &session.options, argc, argv, &first, &err);
	if (!r)
		r = vm_options_check(&session.options, &err);
	if (!r && first == argc)
		r = err_set(&err, -EINVAL, "no guest given");
	if (r)
		code = r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	else
		code = debug_guest(&session, argv + first, (size_t)(argc - first));
	session_finish(&session);
	return session_die(code);
}

const struct cmd cmd_debug = {
	.name = "debug",
	.synopsis = "[OPTIONS] GUEST [--] [ARGS...]",
	.summary = "Stop a guest before its first instruction and serve gdb",
	.options = vm_option_rows,
	.notes = "It prints the line to type into gdb, which finds the symbols by itself.\n\n"
		 "Example:\n"
		 "  belljar debug guest.elf\n"
		 "  gdb -ex 'target remote localhost:1234'\n"
		 "or, in gdb alone:\n"
		 "  target remote | belljar debug --gdb=stdio guest.elf",
	.run = cmd_debug_main,
};
