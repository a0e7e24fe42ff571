// SPDX-License-Identifier: ISC
/* The least a guest can do. */
#include "rt.h"

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	printf("Hello, world!\n");
	return 0;
}
