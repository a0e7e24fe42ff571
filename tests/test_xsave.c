// SPDX-License-Identifier: ISC
/* XSAVE areas: which parts are written and read, and where a processor would fault. */
#include "xsave.h"

#include <errno.h>

#include "gmem.h"
#include "unit.h"

enum { RAM = 0x10000, AREA = 0x4000, X87 = XSAVE_X87, SSE = XSAVE_SSE, AVX = XSAVE_AVX };

static struct gmem mem;
static uint8_t fx[512], ymmh[16][16];

/* Paging is off: addresses are what they are. */
static struct xsave begin(void)
{
	CU_ASSERT_EQUAL_FATAL(gmem_init(&mem, 0, RAM), 0);
	memset(fx, 0x11, sizeof(fx));
	memset(fx + 24, 0, 8); /* MXCSR and its mask */
	fx[24] = 0x80;
	memset(ymmh, 0x22, sizeof(ymmh));
	return (struct xsave){ .mem = &mem,
		.paging = { .cr4 = CPU_CR4_OSXSAVE },
		.xcr0 = XSAVE_ALL,
		.want = XSAVE_ALL,
		.gva = AREA,
		.fx = fx,
		.ymmh = ymmh };
}

static uint8_t byte_at(uint64_t at)
{
	uint8_t byte = 0;

	CU_ASSERT_EQUAL(gmem_read(&mem, AREA + at, &byte, 1), 0);
	return byte;
}

static uint64_t word_at(uint64_t at)
{
	uint64_t word = 0;

	CU_ASSERT_EQUAL(gmem_read(&mem, AREA + at, &word, sizeof(word)), 0);
	return word;
}

static void saves_what_is_wanted_and_enabled(void)
{
	static const struct {
		uint64_t want, xcr0, saved;
	} rows[] = { { XSAVE_ALL, XSAVE_ALL, XSAVE_ALL }, { X87, XSAVE_ALL, X87 },
		{ SSE, XSAVE_ALL, SSE }, { AVX, XSAVE_ALL, AVX }, { ~0ull, X87 | SSE, X87 | SSE },
		{ AVX, X87 | SSE, 0 }, { 0, XSAVE_ALL, 0 } };

	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		struct xsave x = begin();
		uint64_t saved = rows[i / 2].saved;
		bool compact = i % 2;

		x.want = rows[i / 2].want;
		x.xcr0 = rows[i / 2].xcr0;
		CU_ASSERT_EQUAL(xsave_save(&x, compact), 0);
		CU_ASSERT_EQUAL(byte_at(0), saved & X87 ? 0x11 : 0);
		CU_ASSERT_EQUAL(byte_at(32), saved & X87 ? 0x11 : 0);
		CU_ASSERT_EQUAL(byte_at(24), saved & (SSE | AVX) ? 0x80 : 0);
		CU_ASSERT_EQUAL(byte_at(160), saved & SSE ? 0x11 : 0);
		CU_ASSERT_EQUAL(byte_at(576), saved & AVX ? 0x22 : 0);
		CU_ASSERT_EQUAL(word_at(512), saved);
		CU_ASSERT_EQUAL(word_at(520), compact ? saved | 1ull << 63 : 0);
		gmem_finish(&mem);
	}
}

static void leaves_the_other_parts_of_an_area_alone(void)
{
	struct xsave x = begin();

	CU_ASSERT_EQUAL(gmem_fill(&mem, AREA, 0, 1024), 0);
	CU_ASSERT_EQUAL(gmem_write(&mem, AREA + 512, &(uint64_t){ X87 }, 8), 0);
	x.want = SSE;
	CU_ASSERT_EQUAL(xsave_save(&x, false), 0);
	CU_ASSERT_EQUAL(word_at(512), X87 | SSE);
	CU_ASSERT_EQUAL(byte_at(0), 0);
	gmem_finish(&mem);
}

static void restores_what_is_there_and_else_what_is_initial(void)
{
	static const struct {
		uint64_t want, there;
	} rows[] = { { XSAVE_ALL, XSAVE_ALL }, { XSAVE_ALL, 0 }, { X87, X87 }, { X87, 0 },
		{ SSE, SSE }, { SSE, 0 }, { AVX, AVX }, { AVX, 0 }, { 0, XSAVE_ALL } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct xsave x = begin();
		uint64_t want = rows[i].want, got = want & rows[i].there;

		CU_ASSERT_EQUAL(gmem_fill(&mem, AREA, 0x33, 832), 0);
		CU_ASSERT_EQUAL(gmem_write(&mem, AREA + 512, &rows[i].there, 8), 0);
		CU_ASSERT_EQUAL(gmem_write(&mem, AREA + 24, &(uint64_t){ 0x1f80 }, 8), 0);
		x.want = want;
		CU_ASSERT_EQUAL(xsave_restore(&x), 0);
		CU_ASSERT_EQUAL(fx[32], got & X87 ? 0x33 : want & X87 ? 0 : 0x11);
		CU_ASSERT_EQUAL(fx[160], got & SSE ? 0x33 : want & SSE ? 0 : 0x11);
		CU_ASSERT_EQUAL(fx[25], want & (SSE | AVX) ? 0x1f : 0);
		CU_ASSERT_EQUAL(ymmh[15][15], got & AVX ? 0x33 : want & AVX ? 0 : 0x22);
		gmem_finish(&mem);
	}
}

static void faults_as_a_processor_does(void)
{
	static const struct {
		uint64_t cr0, cr4, gva, xcr0, in_area;
		uint32_t mxcsr;
		bool restore;
		int r;
		unsigned vector;
	} rows[] = {
		{ 0, 0, AREA, XSAVE_ALL, 0, 0, false, -EFAULT, CPU_VEC_UD },
		{ CPU_CR0_TS, CPU_CR4_OSXSAVE, AREA, XSAVE_ALL, 0, 0, false, -EFAULT, CPU_VEC_NM },
		{ 0, CPU_CR4_OSXSAVE, AREA + 1, XSAVE_ALL, 0, 0, false, -EFAULT, CPU_VEC_GP },
		{ 0, CPU_CR4_OSXSAVE, AREA, 1 << 9 | X87, 0, 0, false, -ENOTSUP, 0 },
		{ 0, 0, AREA, XSAVE_ALL, 0, 0, true, -EFAULT, CPU_VEC_UD },
		{ CPU_CR0_TS, CPU_CR4_OSXSAVE, AREA, XSAVE_ALL, 0, 0, true, -EFAULT, CPU_VEC_NM },
		{ 0, CPU_CR4_OSXSAVE, AREA + 32, XSAVE_ALL, 0, 0, true, -EFAULT, CPU_VEC_GP },
		{ 0, CPU_CR4_OSXSAVE, AREA, X87 | SSE, AVX, 0, true, -EFAULT, CPU_VEC_GP },
		{ 0, CPU_CR4_OSXSAVE, AREA, XSAVE_ALL, SSE, 0x10000, true, -EFAULT, CPU_VEC_GP },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct xsave x = begin();

		x.paging.cr0 = rows[i].cr0;
		x.paging.cr4 = rows[i].cr4;
		x.gva = rows[i].gva;
		x.xcr0 = rows[i].xcr0;
		CU_ASSERT_EQUAL(gmem_write(&mem, AREA + 512, &rows[i].in_area, 8), 0);
		CU_ASSERT_EQUAL(gmem_write(&mem, AREA + 24, &rows[i].mxcsr, 4), 0);
		CU_ASSERT_EQUAL(
			rows[i].restore ? xsave_restore(&x) : xsave_save(&x, false), rows[i].r);
		CU_ASSERT_EQUAL(x.event.pending, rows[i].vector != 0);
		CU_ASSERT_EQUAL(x.event.vector, rows[i].vector);
		CU_ASSERT_EQUAL(x.event.has_error, rows[i].vector == CPU_VEC_GP);
		CU_ASSERT(fx[0] == 0x11 && ymmh[0][0] == 0x22 && !byte_at(160));
		gmem_finish(&mem);
	}
}

/* One page of tables for a page of 2 MiB that only CPL 0 may use, and only read. */
static void says_where_a_page_is_missing(void)
{
	enum { PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, READ_ONLY = 0x81 };
	static const struct {
		bool user, restore, outside;
		uint32_t error;
		uint64_t cr2;
	} rows[] = { { false, false, false, 3, AREA }, { true, false, false, 5, AREA },
		{ true, true, false, 5, AREA }, { false, true, true, 0, 1 << 21 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct xsave x = begin();

		gmem_write(&mem, PML4, &(uint64_t){ PDPT | 3 }, 8);
		gmem_write(&mem, PDPT, &(uint64_t){ PD | 3 }, 8);
		gmem_write(&mem, PD, &(uint64_t){ READ_ONLY }, 8);
		x.paging.cr0 = CPU_CR0_PG | CPU_CR0_PE | CPU_CR0_WP;
		x.paging.cr3 = PML4;
		x.paging.cr4 |= CPU_CR4_PAE;
		x.paging.efer = CPU_EFER_LME | CPU_EFER_LMA;
		x.user = rows[i].user;
		x.gva = rows[i].outside ? 1 << 21 : AREA;
		CU_ASSERT_EQUAL(
			rows[i].restore ? xsave_restore(&x) : xsave_save(&x, false), -EFAULT);
		CU_ASSERT(x.event.vector == CPU_VEC_PF && x.event.has_error);
		CU_ASSERT_EQUAL(x.event.error, rows[i].error);
		CU_ASSERT_EQUAL(x.cr2, rows[i].cr2);
		gmem_finish(&mem);
	}
}

static const struct unit_case cases[] = {
	{ "saves_what_is_wanted_and_enabled", saves_what_is_wanted_and_enabled },
	{ "leaves_the_other_parts_of_an_area_alone", leaves_the_other_parts_of_an_area_alone },
	{ "restores_what_is_there_and_else_what_is_initial",
		restores_what_is_there_and_else_what_is_initial },
	{ "faults_as_a_processor_does", faults_as_a_processor_does },
	{ "says_where_a_page_is_missing", says_where_a_page_is_missing },
};

UNIT_MAIN("xsave", cases)
