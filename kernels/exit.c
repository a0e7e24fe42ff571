// SPDX-License-Identifier: ISC
/* exit CODE: says nothing and exits with it. */
#include "rt.h"

int main(int argc, char **argv, char **envp)
{
	int64_t code = 0;

	(void)envp;
	if (argc > 2 || (argc == 2 && !rt_parse_int(argv[1], &code)))
		rt_die("usage: exit CODE");
	return (int)code;
}
