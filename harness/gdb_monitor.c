// SPDX-License-Identifier: ISC
/* `monitor`: a table of commands, each with its words of help. */
#include <string.h>

#include "gdb_vm.h"

struct command {
	const char *name, *args, *help;
	/* args stands behind the name and its blanks. */
	void (*run)(struct gdb_vm *g, const char *args, FILE *out);
};

static void help(struct gdb_vm *g, const char *args, FILE *out);

static void strace(struct gdb_vm *g, const char *args, FILE *out)
{
	g->strace_on = !strcmp(args, "on");
	fprintf(out, "strace is %s\n", g->strace_on ? "on" : "off");
}

static void stop_at_exit(struct gdb_vm *g, const char *args, FILE *out)
{
	g->stop_at_exit = !strcmp(args, "on");
	fprintf(out, "stop-at-exit is %s\n", g->stop_at_exit ? "on" : "off");
}

static const struct command commands[] = {
	{ "help", "", "what there is", help },
	{ "stop-at-exit", "on|off", "stop once more before an exit, for there is a way back",
		stop_at_exit },
	{ "strace", "on|off", "show each hypercall as it is made", strace },
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void help(struct gdb_vm *g, const char *args, FILE *out)
{
	(void)g, (void)args;
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "%s %s -- %s\n", commands[i].name, commands[i].args, commands[i].help);
}

bool gdb_monitor(struct gdb_vm *g, const char *line, FILE *out)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		size_t n = strlen(commands[i].name);

		if (!strncmp(line, commands[i].name, n) && (!line[n] || line[n] == ' ')) {
			commands[i].run(g, line + n + strspn(line + n, " "), out);
			return true;
		}
	}
	return false;
}
