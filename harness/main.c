// SPDX-License-Identifier: ISC
/* belljar: the table of contents. */
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "log.h"

static const struct cmd *const cmds[] = { &cmd_run, &cmd_debug, &cmd_record, &cmd_replay,
	&cmd_trace, &cmd_golden, &cmd_resolve, &cmd_inspect, &cmd_doctor };

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static int help(void)
{
	printf("Usage: belljar VERB [OPTIONS] ...\n\n"
	       "A glass bell jar for unikernels: runs a guest on KVM or on a software CPU, "
	       "answers\n"
	       "its hypercalls from the files you map, and lets you watch.\n\nVerbs:\n");
	for (size_t i = 0; i < ARRAY_LEN(cmds); i++)
		printf("  %-10s%s\n", cmds[i]->name, cmds[i]->summary);
	printf("\n  --help     this text; `belljar VERB --help` explains a verb\n"
	       "  --version  the version\n\n"
	       "Exit codes: the guest's own; 1 resolve, trace grep: see there; 2 usage; 3 a replay "
	       "differs; 124 time limit; 125 "
	       "belljar\n"
	       "could not do what was asked; 126 the guest crashed; 137 a "
	       "debugger ended it.\n");
	return EXIT_OK;
}

static int run_verb(const char *verb, int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_LEN(cmds); i++)
		if (!strcmp(verb, cmds[i]->name))
			return cmds[i]->run(cmds[i], argc, argv);
	log_error("%s: no such verb; see belljar --help", verb);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : NULL;
	int code = EXIT_USAGE;

	if (!verb)
		log_error("no verb given; see belljar --help");
	else if (!strcmp(verb, "--help") || !strcmp(verb, "-h") || !strcmp(verb, "help"))
		code = help();
	else if (!strcmp(verb, "--version"))
		code = printf("belljar %s\n", BELLJAR_VERSION) < 0 ? EXIT_OURS : EXIT_OK;
	else
		code = run_verb(verb, argc - 1, argv + 1);
	if (fflush(stdout)) {
		log_error("standard output: %m");
		return EXIT_OURS;
	}
	return code;
}
