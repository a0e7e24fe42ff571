// SPDX-License-Identifier: ISC
/*
 * Is the RAM that boot information names there, all of it, and does it keep what is written? Looks
 * at a thousand places however large RAM is.
 */
#include "rt.h"

enum { PROBES = 1000, BLOCK = 1 << 16, PAGE = 4096, BIG_PAGE = 1 << 21 };

static int failures;

static void check(const char *what, bool ok)
{
	printf("%s: %s\n", what, ok ? "ok" : "FAILED");
	failures += !ok;
}

/* Every byte of the block is this one? */
static bool block_is(const char *block, char byte)
{
	uint64_t left = BLOCK;
	bool same;

	asm volatile("repe scasb" : "+D"(block), "+c"(left), "=@cce"(same) : "a"(byte) : "memory");
	return same;
}

/* Eight bytes across a border, written at once and read one by one. */
static bool straddles(char *border)
{
	typedef volatile uint64_t unaligned __attribute__((aligned(1)));
	volatile char *p = border - 3;

	*(unaligned *)p = 0x0807060504030201;
	for (int i = 0; i < 8; i++)
		if (p[i] != i + 1)
			return false;
	return true;
}

static void probe(uint64_t start, uint64_t end)
{
	uint64_t stride = ((end - start) / PROBES) & ~(uint64_t)7, zeros = 0, kept = 0;

	for (uint64_t i = 0; i < PROBES; i++)
		zeros += *(volatile uint64_t *)(end - 8 - i * stride) == 0;
	for (uint64_t i = 0; i < PROBES; i++)
		*(volatile uint64_t *)(end - 8 - i * stride) = ~i;
	for (uint64_t i = 0; i < PROBES; i++)
		kept += *(volatile uint64_t *)(end - 8 - i * stride) == ~i;
	check("fresh RAM is zero", zeros == PROBES);
	check("1000 places keep their own value", kept == PROBES);
}

int main(int argc, char **argv, char **envp)
{
	const struct uhyve_boot_info *b = rt_boot;
	uint64_t end = rt_map_ram(), free = (b->kernel_end + PAGE - 1) & -(uint64_t)PAGE;
	uint64_t border = (free + 2 * BIG_PAGE) & -(uint64_t)BIG_PAGE;

	(void)argc, (void)argv, (void)envp;
	check("the kernel lies in RAM", b->ram_start <= b->kernel_start &&
						b->kernel_start < b->kernel_end &&
						free < b->ram_end);
	check("main lies in the kernel",
		(uintptr_t)main >= b->kernel_start && (uintptr_t)main < b->kernel_end);
	check("all of RAM can be mapped", end == b->ram_end);
	if (failures || end - free < 4 * BIG_PAGE)
		rt_die("memory: too little RAM");
	probe(free, end);
	memset((void *)(border - BLOCK / 2), 0xa5, BLOCK);
	check("a filled block reads back", block_is((char *)(border - BLOCK / 2), (char)0xa5));
	memcpy((void *)(border + BLOCK), (void *)(border - BLOCK / 2), BLOCK);
	check("and so does a copy", block_is((char *)(border + BLOCK), (char)0xa5));
	check("a write across pages", straddles((char *)(border + PAGE)));
	check("a write across large pages", straddles((char *)border));
	return failures;
}
