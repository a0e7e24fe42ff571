// SPDX-License-Identifier: ISC
/* What a verb says of itself. */
#include "cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "log.h"

int cmd_help(const struct cmd *cmd)
{
	printf("Usage: belljar %s%s%s\n\n%s.\n", cmd->name, *cmd->synopsis ? " " : "",
		cmd->synopsis, cmd->summary);
	if (cmd->options) {
		printf("\nOptions:\n");
		options_print(cmd->options);
		if (cmd->vm_options)
			options_print(cmd->vm_options);
		options_print(help_option_rows);
	}
	if (cmd->notes)
		printf("\n%s\n", cmd->notes);
	return EXIT_OK;
}

int cmd_usage(const struct cmd *cmd, const struct err *err)
{
	log_error("%s: %s; see belljar %s --help", cmd->name, err->text, cmd->name);
	return EXIT_USAGE;
}

int cmd_flush(FILE *out, const char *name, int code)
{
	if (!fflush(out) && !ferror(out))
		return code;
	log_error("%s: %s", name, errno ? strerrordesc_np(errno) : "cannot be written");
	return EXIT_OURS;
}
