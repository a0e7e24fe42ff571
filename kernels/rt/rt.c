// SPDX-License-Identifier: ISC
/* From the entry point to main and out again; the rest of RAM. */
#include "rt.h"

enum { PAGE_P = 1 << 0, PAGE_W = 1 << 1, PAGE_PS = 1 << 7, SPARE_TABLES = 16 };
#define BIG_PAGE      0x200000u
#define TABLE_ADDRESS 0x000ffffffffff000u

const struct uhyve_boot_info *rt_boot;

void rt_start(const struct uhyve_boot_info *boot)
{
	struct rt_args args;

	rt_boot = boot;
	rt_get_args(&args);
	exit(main(args.argc, args.argv, args.envp));
}

void exit(int code)
{
	rt_flush();
	rt_exit(code);
}

void rt_die(const char *why)
{
	printf("guest: %s\n", why);
	exit(1);
}

/* The table an entry points to, made when absent; NULL when there is none to be had. */
static uint64_t *table_below(uint64_t *entry)
{
	static uint64_t spare[SPARE_TABLES][512] __attribute__((aligned(4096)));
	static unsigned used;

	if (!(*entry & PAGE_P)) {
		if (used == SPARE_TABLES)
			return NULL;
		*entry = (uintptr_t)spare[used++] | PAGE_P | PAGE_W;
	}
	return (uint64_t *)(*entry & TABLE_ADDRESS);
}

uint64_t rt_map_ram(void)
{
	uint64_t *pml4, *pdpt, *pd, *entry, gpa;

	asm("mov %%cr3, %0" : "=r"(pml4));
	pml4 = (uint64_t *)((uintptr_t)pml4 & TABLE_ADDRESS);
	for (gpa = rt_boot->ram_start & -(uint64_t)BIG_PAGE; gpa < rt_boot->ram_end;
		gpa += BIG_PAGE) {
		pdpt = table_below(&pml4[gpa >> 39 & 511]);
		pd = pdpt ? table_below(&pdpt[gpa >> 30 & 511]) : NULL;
		if (!pd)
			return gpa;
		entry = &pd[gpa >> 21 & 511];
		if (!(*entry & PAGE_P))
			*entry = gpa | PAGE_P | PAGE_W | PAGE_PS;
	}
	asm volatile("" ::: "memory");
	return rt_boot->ram_end;
}
