// SPDX-License-Identifier: ISC
/* Prints its arguments, then its environment, one to a line. */
#include "rt.h"

static void print_lines(char **strings)
{
	for (; *strings; strings++) {
		rt_print_escaped(*strings, strlen(*strings));
		putchar('\n');
	}
}

int main(int argc, char **argv, char **envp)
{
	(void)argc;
	print_lines(argv + 1);
	print_lines(envp);
	return 0;
}
