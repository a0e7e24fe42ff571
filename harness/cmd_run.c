// SPDX-License-Identifier: ISC
/* belljar run: boot a guest, answer its hypercalls from the mapped files, exit with its code. */
#include <errno.h>

#include "cmd.h"
#include "err.h"
#include "session.h"

static int cmd_run_main(const struct cmd *cmd, int argc, char **argv)
{
	struct err err = { "" };
	struct session session;
	int first, code, r;

	session_init(&session);
	r = options_parse(cmd->options, &session.options, argc, argv, &first, &err);
	if (!r)
		r = vm_options_check(&session.options, argv[first], &err);
	if (!r && first == argc)
		r = err_set(&err, -EINVAL, "no guest given");
	if (r)
		code = r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	else
		code = session_run_guest(&session, argv + first, (size_t)(argc - first));
	session_finish(&session);
	return session_die(code);
}

const struct cmd cmd_run = {
	.name = "run",
	.synopsis = "[OPTIONS] GUEST [--] [ARGS...]",
	.summary = "Boot a guest, answer its hypercalls, exit with its code",
	.options = vm_option_rows,
	.notes = "GUEST is a Hermit/Uhyve image (`belljar inspect` says what an image is). Options "
		 "come\n"
		 "before it; what follows it are its own arguments. Its console is standard input "
		 "and\n"
		 "output; belljar itself speaks on standard error.\n\n"
		 "Example:\n"
		 "  belljar run --strace --mount ./data:/data --mount ./out:/out:rw guest.elf -- "
		 "/data/x",
	.run = cmd_run_main,
};
