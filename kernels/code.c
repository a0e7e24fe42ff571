// SPDX-License-Identifier: ISC
/*
 * code: changes code that has run, by its own stores and by a hypercall that reads a file over it. A
 * CPU runs what was written last.
 */
#include "rt.h"

enum { TURNS = 20, CODE_LEN = 6 };

static uint8_t code[4096] __attribute__((aligned(4096)));

/* mov eax, value; ret */
static void assemble(uint8_t to[CODE_LEN], int value)
{
	to[0] = 0xb8;
	memcpy(to + 1, &value, sizeof(value));
	to[CODE_LEN - 1] = 0xc3;
}

static int run(void)
{
	int value;

	asm volatile("call *%1" : "=a"(value) : "r"(code) : "memory", "cc");
	return value;
}

static bool by_stores(int value)
{
	assemble(code, value);
	return run() == value;
}

static bool by_hypercall(int value)
{
	int fd = rt_open("/code", O_RDWR | O_CREAT | O_TRUNC, 0600);
	uint8_t text[CODE_LEN];
	bool ok;

	assemble(text, value);
	ok = rt_write(fd, text, sizeof(text)) >= 0 && rt_lseek(fd, 0, SEEK_SET) == 0 &&
	     rt_read(fd, code, sizeof(code)) == sizeof(text);
	rt_close(fd);
	return ok && run() == value;
}

int main(int argc, char **argv, char **envp)
{
	bool stores = true, hypercalls = true;

	(void)argc, (void)argv, (void)envp;
	for (int i = 0; i < TURNS; i++) {
		stores &= by_stores(2 * i);
		hypercalls &= by_hypercall(2 * i + 1);
	}
	printf("code that the guest wrote runs: %s\n", stores ? "ok" : "OLD CODE RAN");
	printf("code that a hypercall wrote runs: %s\n", hypercalls ? "ok" : "OLD CODE RAN");
	return !stores || !hypercalls;
}
