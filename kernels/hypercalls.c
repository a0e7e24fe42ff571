// SPDX-License-Identifier: ISC
/* hypercalls N: makes that many cheap calls, none of which reaches a file. */
#include "rt.h"

int main(int argc, char **argv, char **envp)
{
	int64_t n = 1000, refused = 0;

	(void)envp;
	if (argc > 2 || (argc == 2 && (!rt_parse_int(argv[1], &n) || n < 0)))
		rt_die("usage: hypercalls N");
	for (int64_t i = 0; i < n; i++)
		refused += rt_close(-1) < 0;
	printf("hypercalls: %lld calls made\n", (long long)refused);
	return refused != n;
}
