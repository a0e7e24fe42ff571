/* SPDX-License-Identifier: ISC */
/* The verbs, and the exit codes they share. A verb prints its own results and errors. */
#ifndef CMD_H
#define CMD_H

#include <stdio.h>

#include "options.h"

enum exit_code {
	EXIT_OK = 0,
	EXIT_REFUSED = 1, /* resolve: a path that gives the guest an errno */
	EXIT_USAGE = 2,
	EXIT_MISMATCH = 3, /* a replay diverged, a golden differs */
	EXIT_TIME_LIMIT = 124,
	EXIT_OURS = 125,    /* belljar could not do what was asked */
	EXIT_CRASHED = 126, /* the guest crashed */
	EXIT_KILLED = 137,  /* a debugger ended the guest */
};

struct cmd {
	const char *name, *synopsis, *summary;
	const char *notes;                   /* printed after the options; may be NULL */
	const struct option_row *options;    /* may be NULL */
	const struct option_row *vm_options; /* taken besides; may be NULL */
	/* argv[0] is the verb. Returns the exit code. */
	int (*run)(const struct cmd *cmd, int argc, char **argv);
};

extern const struct cmd cmd_run, cmd_record, cmd_replay, cmd_trace, cmd_golden, cmd_resolve,
	cmd_inspect, cmd_doctor, cmd_debug;

/* For the verbs: the help on stdout; or the error, how to get help, and EXIT_USAGE. */
int cmd_help(const struct cmd *cmd);
int cmd_usage(const struct cmd *cmd, const struct err *err);
/* code, when all of out was written; else says that name was not, and EXIT_OURS. */
int cmd_flush(FILE *out, const char *name, int code);

#endif
