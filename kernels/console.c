// SPDX-License-Identifier: ISC
/* Every way to the console and back: writes byte by byte, then reads what comes in, to the end. */
#include "rt.h"

int main(int argc, char **argv, char **envp)
{
	static char buf[16];
	int64_t r;
	int byte;

	(void)argc, (void)argv, (void)envp;
	for (const char *s = "written byte by byte\n"; *s; s++)
		rt_serial_write_byte(*s);
	byte = rt_serial_read_byte();
	if (byte < 0)
		printf("first byte = %s\n", byte == -1 ? "none" : rt_result(byte));
	else
		printf("first byte = 0x%02x\n", (unsigned)byte);
	while ((r = rt_serial_read(buf, sizeof(buf))) > 0) {
		printf("then %lld bytes: ", (long long)r);
		rt_print_quoted(buf, (size_t)r);
		putchar('\n');
	}
	printf("then read = %s, ", rt_result(r));
	byte = rt_serial_read_byte();
	printf("byte = %s\n", byte == -1 ? "none" : rt_result(byte));
	return 0;
}
