// SPDX-License-Identifier: ISC
/* The page walk: sizes, rights, error codes, and tables that lead out of RAM. */
#include "paging.h"

#include <errno.h>

#include "cpu.h"
#include "gmem.h"
#include "unit.h"

enum { P = 1, W = 2, U = 4, PS = 0x80, SIZE = 1 << 20 };
enum { PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, PT = 0x4000, DATA = 0x8000 };
#define NX   (1ull << 63)
#define HIGH 0xffffff8000000000ull /* PML4 entry 511 */

static struct gmem m;
static struct paging p;

static void put(uint64_t table, unsigned i, uint64_t entry)
{
	CU_ASSERT_EQUAL(gmem_write(&m, table + 8 * i, &entry, sizeof(entry)), 0);
}

static void setup(void)
{
	gmem_finish(&m);
	CU_ASSERT_EQUAL(gmem_init(&m, 0, SIZE), 0);
	p = (struct paging){
		.cr0 = CPU_CR0_PG | CPU_CR0_WP, .cr3 = PML4, .efer = CPU_EFER_LMA | CPU_EFER_NXE
	};
	put(PML4, 0, PDPT | P | W | U);
	put(PDPT, 0, PD | P | W | U);
	put(PDPT, 1, 0x40000000 | P | W | PS);
	put(PD, 0, PT | P | W | U);
	put(PD, 1, 0x200000 | P | W | PS);
	put(PT, 0, DATA | P | W | U);
	put(PT, 1, DATA | P);
	put(PT, 2, DATA | P | W | U | NX);
}

struct walk {
	uint64_t gva;
	unsigned access;
	int r;
	uint32_t error;     /* when r */
	uint64_t gpa, size; /* when !r */
};

static void check_walks(const struct walk *walks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct walk *w = &walks[i];
		struct paging_page page;
		uint32_t error = 0;
		int r = paging_walk(&m, &p, w->gva, w->access, &page, &error);

		CU_ASSERT_EQUAL(r, w->r);
		if (r != w->r)
			printf("     row %zu: %d\n", i, r);
		else if (r)
			CU_ASSERT_EQUAL(error, w->error);
		if (!r && !w->r) {
			CU_ASSERT_EQUAL(page.gpa + (w->gva - page.gva), w->gpa);
			CU_ASSERT_EQUAL(page.size, w->size);
		}
	}
}

#define CHECK(walks) check_walks(walks, sizeof(walks) / sizeof((walks)[0]))

static void finds_pages_of_every_size(void)
{
	static const struct walk walks[] = {
		{ 0x123, 0, 0, 0, DATA + 0x123, 4096 },
		{ 0x212345, 0, 0, 0, 0x212345, 2 << 20 },
		{ 0x40123456, PAGING_WRITE, 0, 0, 0x40123456, 1 << 30 },
	};

	setup();
	CHECK(walks);
}

static void gives_the_error_code_a_cpu_pushes(void)
{
	static const struct walk walks[] = {
		{ 0x5000, 0, -EFAULT, 0, 0, 0 }, /* not present */
		{ 0x5000, PAGING_WRITE, -EFAULT, 2, 0, 0 },
		{ 0x1000, PAGING_WRITE, -EFAULT, 3, 0, 0 },      /* read-only, CR0.WP */
		{ 0x1000, PAGING_USER, -EFAULT, 5, 0, 0 },       /* supervisor page */
		{ 0x2000, PAGING_FETCH, -EFAULT, 0x11, 0, 0 },   /* NX */
		{ 0x400000, PAGING_FETCH, -EFAULT, 0x10, 0, 0 }, /* no entry in the PD */
		{ 0x0000800000000000, 0, -EFAULT, 0, 0, 0 },     /* not canonical */
		{ HIGH, 0, -EFAULT, 0, 0, 0 },
	};

	setup();
	CHECK(walks);
}

static void without_wp_the_supervisor_writes_anywhere(void)
{
	static const struct walk walks[] = {
		{ 0x1000, PAGING_WRITE, 0, 0, DATA, 4096 },
		{ 0x1000, PAGING_WRITE | PAGING_USER, -EFAULT, 7, 0, 0 },
	};

	setup();
	p.cr0 &= ~(uint64_t)CPU_CR0_WP;
	CHECK(walks);
}

static void without_nxe_the_nx_bit_is_reserved(void)
{
	static const struct walk walks[] = { { 0x2000, 0, -EFAULT, 9, 0, 0 } };

	setup();
	p.efer &= ~(uint64_t)CPU_EFER_NXE;
	CHECK(walks);
}

static void recursive_tables_reach_themselves(void)
{
	static const struct walk walks[] = { { 0xfffffffffffff000, PAGING_WRITE, 0, 0, PML4,
		4096 } };

	setup();
	put(PML4, 511, PML4 | P | W);
	CHECK(walks);
}

static void tables_outside_ram_are_not_present(void)
{
	static const struct walk walks[] = {
		{ 0x8000000000, 0, -EFAULT, 0, 0, 0 },
		{ 0x80000000, 0, -EFAULT, 0, 0, 0 },
	};

	setup();
	put(PML4, 1, 0x000ffffffffff000 | P | W);
	put(PDPT, 2, SIZE | P | W);
	CHECK(walks);
	p.cr3 = 0xfffffffffffff000;
	CHECK(walks);
}

static void reads_across_pages_stop_at_the_first_fault(void)
{
	uint8_t buf[0x4000];

	setup();
	CU_ASSERT_EQUAL(gmem_fill(&m, DATA, 'd', 4096), 0);
	CU_ASSERT_EQUAL(paging_read(&m, &p, 0x800, buf, sizeof(buf)), 0x3000 - 0x800);
	CU_ASSERT_EQUAL(buf[0], 'd');
	CU_ASSERT_EQUAL(paging_read(&m, &p, 0x5000, buf, 1), 0);
	CU_ASSERT_EQUAL(paging_read(&m, &p, UINT64_MAX, buf, 2), 0);
}

static void every_address_maps_to_itself_without_paging(void)
{
	uint64_t gpa = 0;

	setup();
	p.cr0 = 0;
	CU_ASSERT_EQUAL(paging_translate(&m, &p, 0x12345, &gpa), 0);
	CU_ASSERT_EQUAL(gpa, 0x12345);
}

static const struct unit_case cases[] = {
	{ "finds_pages_of_every_size", finds_pages_of_every_size },
	{ "gives_the_error_code_a_cpu_pushes", gives_the_error_code_a_cpu_pushes },
	{ "without_wp_the_supervisor_writes_anywhere", without_wp_the_supervisor_writes_anywhere },
	{ "without_nxe_the_nx_bit_is_reserved", without_nxe_the_nx_bit_is_reserved },
	{ "recursive_tables_reach_themselves", recursive_tables_reach_themselves },
	{ "tables_outside_ram_are_not_present", tables_outside_ram_are_not_present },
	{ "reads_across_pages_stop_at_the_first_fault",
		reads_across_pages_stop_at_the_first_fault },
	{ "every_address_maps_to_itself_without_paging",
		every_address_maps_to_itself_without_paging },
};

int main(void)
{
	int r = unit_run("paging", cases, sizeof(cases) / sizeof(cases[0]));

	gmem_finish(&m);
	return r;
}
