// SPDX-License-Identifier: ISC
/* belljar doctor: what this machine offers, what is missing, and what belljar will use. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend.h"
#include "beneath.h"
#include "cmd.h"
#include "err.h"

enum verdict { GOOD, NOTE, BAD };

static void say(enum verdict verdict, const char *what, const char *text)
{
	static const char *const marks[] = { "ok", "note", "no" };
	static const char *const colours[] = { "\033[32m", "\033[33m", "\033[31m" };
	bool colour = isatty(STDOUT_FILENO);

	printf("%s%-4s%s  %-16s %s\n", colour ? colours[verdict] : "", marks[verdict],
		colour ? "\033[0m" : "", what, text);
}

/* Gaps, and what a debugger gets, come as one string with "; " between: a line each. */
static void print_gaps(const char *gaps)
{
	while (*gaps) {
		size_t n = strcspn(gaps, ";");

		printf("%24s- %.*s\n", "", (int)n, gaps);
		gaps += n;
		gaps += strspn(gaps, "; ");
	}
}

static void check_backends(void)
{
	for (const struct backend_ops *const *b = backend_list; *b; b++) {
		struct backend_info info = { 0 };

		backend_probe_for_debug(*b, &info);
		if (!info.usable) {
			say(BAD, (*b)->name, info.why);
			continue;
		}
		say(info.gaps[0] ? NOTE : GOOD, (*b)->name, info.kind);
		print_gaps(info.gaps);
		print_gaps(info.debug);
	}
}

static void check_choice(void)
{
	for (const struct backend_ops *const *b = backend_list; *b; b++) {
		struct backend_info info = { 0 };
		char text[200];

		(*b)->probe(&info);
		if (!info.usable)
			continue;
		snprintf(text, sizeof(text), "%s%s", (*b)->name,
			info.refuses ? ", with tcg for the instructions that it refuses" : "");
		return say(GOOD, "--backend auto", text);
	}
	say(BAD, "--backend auto", "no backend works here");
}

static void check_openat2(void)
{
	int r = beneath_probe();
	char text[120];

	if (!r)
		return say(GOOD, "openat2", "mapped files are resolved by it beneath their roots");
	snprintf(text, sizeof(text), "%s; paths are walked name by name, which is slower",
		r == -ENOSYS ? "this kernel is older than Linux 5.6" : strerror(-r));
	say(NOTE, "openat2", text);
}

static void check_landlock(void)
{
	enum { CREATE_RULESET_VERSION = 1 };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
	char text[80];

	if (abi <= 0)
		return say(NOTE, "landlock", "not offered by this kernel");
	snprintf(text, sizeof(text), "ABI %ld", abi);
	say(GOOD, "landlock", text);
}

static void check_user_namespaces(void)
{
	int status = -1;
	pid_t child = fork();

	if (!child)
		_exit(unshare(CLONE_NEWUSER) ? 1 : 0);
	if (child > 0)
		waitpid(child, &status, 0);
	if (!status)
		return say(GOOD, "user namespaces", "may be made");
	say(NOTE, "user namespaces", "may not be made by this user");
}

static int cmd_doctor_main(const struct cmd *cmd, int argc, char **argv)
{
	struct err err = { "" };
	struct utsname os;
	int first, r;

	r = options_parse(cmd->options, NULL, argc, argv, &first, &err);
	if (!r && first != argc)
		r = err_set(&err, -EINVAL, "takes no arguments");
	if (r)
		return r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	if (!uname(&os)) {
		char text[3 * sizeof(os.release) + 3];

		snprintf(text, sizeof(text), "%s %s %s", os.sysname, os.release, os.machine);
		say(GOOD, "kernel", text);
	}
	check_backends();
	check_openat2();
	check_landlock();
	check_user_namespaces();
	check_choice();
	return EXIT_OK;
}

static const struct option_row options[] = { { 0 } };

const struct cmd cmd_doctor = {
	.name = "doctor",
	.synopsis = "",
	.summary = "Say what this machine offers and what belljar will use",
	.options = options,
	.notes =
		"A line each: ok, note (works, with gaps that are listed), or no, with the remedy.",
	.run = cmd_doctor_main,
};
