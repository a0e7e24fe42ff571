// SPDX-License-Identifier: ISC
/*
 * fault KIND: does not come back. This guest has no interrupt table, so on any x86 CPU each of
 * these exceptions is a triple fault, which stops the machine.
 */
#include "rt.h"

enum { BIG_FRAME = 3 << 20 };

static volatile uint64_t nowhere = 0x700000000000; /* canonical, and far from RAM */
static volatile int sink;

/* Three frames between main and the fault, for backtraces to show. */
__attribute__((noinline)) static void innermost(volatile uint64_t *p)
{
	*p = 1;
}

__attribute__((noinline)) static void middle(uint64_t address)
{
	innermost((volatile uint64_t *)address);
}

static void page(void)
{
	middle(nowhere);
}

static void ud(void)
{
	asm volatile("ud2");
}

static void de(void)
{
	asm volatile("divl %0" : : "r"(0), "a"(1), "d"(0) : "cc");
}

/* A frame so large that it reaches below RAM, without touching what lies in between. */
__attribute__((noinline)) static int recurse(int depth)
{
	volatile char frame[BIG_FRAME];

	frame[0] = (char)depth;
	return depth < 1 << 20 ? recurse(depth + 1) + frame[0] : 0;
}

static void stack(void)
{
	sink = recurse(0);
}

static void triple(void)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} none = { 0, 0 };

	asm volatile("lidt %0; int3" : : "m"(none));
}

/* Not a fault, but as final: interrupts are off, and nothing else could wake the CPU. */
static void halt(void)
{
	asm volatile("cli; hlt");
}

static const struct {
	const char *name;
	void (*run)(void);
} kinds[] = {
	{ "page", page },
	{ "ud", ud },
	{ "de", de },
	{ "stack", stack },
	{ "triple", triple },
	{ "halt", halt },
};

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	for (size_t i = 0; argc == 2 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(argv[1], kinds[i].name) != 0)
			continue;
		printf("fault: %s\n", argv[1]);
		kinds[i].run();
		rt_die("still here");
	}
	rt_die("usage: fault page|ud|de|stack|triple|halt");
}
