// SPDX-License-Identifier: ISC
/* Bytes go in and come out as they were, whatever happened in between. */
#include "int3.h"

#include "cpu.h"
#include "gmem.h"
#include "paging.h"
#include "unit.h"

enum { RAM = 0x10000, PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, PT = 0x4000, AT = 0x8123, PW = 3 };

struct scene {
	struct gmem mem;
	struct paging paging;
	struct int3_point points[3];
	struct int3 int3;
};

/* The page of AT, at 0x8000 and at 0x9000; at 0xa000 there is none yet. */
static void set_up(struct scene *s)
{
	const uint64_t entries[][2] = { { PML4, PDPT | PW }, { PDPT, PD | PW }, { PD, PT | PW },
		{ PT + 8 * 8, 0x8000 | PW }, { PT + 8 * 9, 0x8000 | PW } };

	*s = (struct scene){ .paging = { .cr0 = CPU_CR0_PG | CPU_CR0_PE,
				     .cr3 = PML4,
				     .cr4 = CPU_CR4_PAE,
				     .efer = CPU_EFER_LME | CPU_EFER_LMA } };
	CU_ASSERT_EQUAL_FATAL(gmem_init(&s->mem, 0, RAM), 0);
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		gmem_write(&s->mem, entries[i][0], &entries[i][1], 8);
	gmem_fill(&s->mem, AT, 0x90, 1);
	s->points[0].gva = AT;
	s->points[1].gva = AT + 0x1000;
	s->points[2].gva = AT + 0x2000;
	s->int3 = (struct int3){ .points = s->points, .n = 3 };
}

static uint8_t byte_at(struct scene *s, uint64_t gpa)
{
	uint8_t byte = 0;

	CU_ASSERT_EQUAL(gmem_read(&s->mem, gpa, &byte, 1), 0);
	return byte;
}

static void puts_back_what_shows_twice(void)
{
	struct scene s;

	set_up(&s);
	for (int pass = 0; pass < 2; pass++) {
		int3_plant(&s.int3, &s.mem, &s.paging);
		CU_ASSERT_EQUAL(byte_at(&s, AT), 0xcc);
		int3_lift(&s.int3, &s.mem);
		CU_ASSERT_EQUAL(byte_at(&s, AT), 0x90);
	}
	CU_ASSERT_TRUE(int3_at_gpa(&s.int3, AT));
	CU_ASSERT_FALSE(int3_at_gpa(&s.int3, AT + 1));
	gmem_finish(&s.mem);
}

static void leaves_what_was_written_meanwhile(void)
{
	struct scene s;

	set_up(&s);
	int3_plant(&s.int3, &s.mem, &s.paging);
	gmem_fill(&s.mem, AT, 0xc3, 1);
	int3_lift(&s.int3, &s.mem);
	CU_ASSERT_EQUAL(byte_at(&s, AT), 0xc3);
	int3_plant(&s.int3, &s.mem, &s.paging);
	int3_lift(&s.int3, &s.mem);
	CU_ASSERT_EQUAL(byte_at(&s, AT), 0xc3);
	gmem_finish(&s.mem);
}

static void waits_for_a_page(void)
{
	const uint64_t entry = 0xb000 | PW, outside = 0x20000 | PW;
	struct scene s;

	set_up(&s);
	gmem_write(&s.mem, PT + 8 * 10, &outside, sizeof(outside));
	int3_plant(&s.int3, &s.mem, &s.paging);
	CU_ASSERT_FALSE(int3_all_mapped(&s.int3));
	int3_lift(&s.int3, &s.mem);
	gmem_write(&s.mem, PT + 8 * 10, &entry, sizeof(entry));
	int3_plant(&s.int3, &s.mem, NULL);
	CU_ASSERT_FALSE(int3_all_mapped(&s.int3));
	int3_lift(&s.int3, &s.mem);
	int3_plant(&s.int3, &s.mem, &s.paging);
	CU_ASSERT_TRUE(int3_all_mapped(&s.int3));
	CU_ASSERT_EQUAL(byte_at(&s, 0xb123), 0xcc);
	int3_lift(&s.int3, &s.mem);
	CU_ASSERT_EQUAL(byte_at(&s, 0xb123), 0);
	gmem_finish(&s.mem);
}

int main(void)
{
	static struct unit_case cases[] = {
		{ "puts_back_what_shows_twice", puts_back_what_shows_twice },
		{ "leaves_what_was_written_meanwhile", leaves_what_was_written_meanwhile },
		{ "waits_for_a_page", waits_for_a_page },
	};

	return unit_run("int3", cases, sizeof(cases) / sizeof(cases[0]));
}
