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
		{ 0x123, PAGING_USER | PAGING_WRITE | PAGING_FETCH, 0, 0, DATA + 0x123, 4096 },
		{ 0x1fff, 0, 0, 0, DATA + 0xfff, 4096 },
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
		{ 1ull << 39, PAGING_USER, -EFAULT, 13, 0, 0 }, /* the PML4 has no big pages */
	};

	setup();
	put(PML4, 1, PDPT | P | W | U | PS);
	CHECK(walks);
}

static void without_wp_the_supervisor_writes_anywhere(void)
{
	static const struct walk walks[] = {
		{ 0x1000, PAGING_WRITE, 0, 0, DATA, 4096 },
		{ 0x1000, PAGING_WRITE | PAGING_USER, -EFAULT, 7, 0, 0 },
	};

	struct paging_page page;

	setup();
	p.cr0 &= ~(uint64_t)CPU_CR0_WP;
	CHECK(walks);
	CU_ASSERT_EQUAL(paging_walk(&m, &p, 0x1000, PAGING_READ, &page, NULL), 0);
	CU_ASSERT_TRUE(page.writable);
}

/* Stops behind the page that NX is set for. */
static bool note_page(void *ctx, const struct paging_page *page)
{
	*(struct paging_page *)ctx = *page;
	return page->gva != 0x2000;
}

static void without_nxe_the_nx_bit_is_reserved(void)
{
	struct paging_page page = { 0 };
	static const struct walk walks[] = {
		{ 0x2000, 0, -EFAULT, 9, 0, 0 }, { 0x123, PAGING_FETCH, 0, 0, DATA + 0x123, 4096 },
		{ 0x5000, PAGING_FETCH, -EFAULT, 0, 0, 0 }, /* nor is there the I bit */
	};

	setup();
	p.efer &= ~(uint64_t)CPU_EFER_NXE;
	CHECK(walks);
	CU_ASSERT_EQUAL(paging_each(&m, &p, note_page, &page), 0);
	CU_ASSERT_EQUAL(page.gva, 0x40000000);
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

/* Two pages that are neighbours for the guest only, and a page that ends before the second is there. */
static void setup_neighbours(void)
{
	setup();
	put(PT, 3, (DATA + 0x3000) | P | W | U);
	put(PT, 4, (DATA + 0x1000) | P | W);
	CU_ASSERT_EQUAL(gmem_fill(&m, DATA + 0x3ffc, 'a', 4), 0);
	CU_ASSERT_EQUAL(gmem_fill(&m, DATA + 0x1000, 'b', 4), 0);
}

static void reads_what_lies_apart(void)
{
	static const struct {
		uint64_t gva, len, r;
		const char *bytes;
	} rows[] = {
		{ 0x3ffc, 8, 8, "aaaabbbb" },
		{ 0x3ffe, 3, 3, "aab....." },
		{ 0x3ffc, 4, 4, "aaaa...." },
		{ 0x4000, 2, 2, "bb......" },
		{ 0x3fff, 0, 0, "........" },
	};

	setup_neighbours();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char buf[] = "........";

		CU_ASSERT_EQUAL(paging_read(&m, &p, rows[i].gva, buf, rows[i].len), rows[i].r);
		CU_ASSERT_STRING_EQUAL(buf, rows[i].bytes);
	}
}

static void copies_no_more_than_was_asked_for(void)
{
	enum { LEN = 4096 + 2048 };
	struct paging_fault fault;
	char buf[2 * 4096];

	setup_neighbours();
	memset(buf, '.', sizeof(buf));
	CU_ASSERT_EQUAL(paging_read(&m, &p, 0x3000, buf, LEN), LEN);
	CU_ASSERT_EQUAL(memcmp(buf + 4092, "aaaabbbb", 8), 0);
	CU_ASSERT_EQUAL(buf[LEN - 1], 0);
	CU_ASSERT_EQUAL(buf[LEN], '.');
	memset(buf, '.', sizeof(buf));
	CU_ASSERT_EQUAL(paging_copy(&m, &p, 0x3000, buf, LEN, PAGING_READ, &fault), 0);
	CU_ASSERT_EQUAL(memcmp(buf + 4092, "aaaabbbb", 8), 0);
	CU_ASSERT_EQUAL(buf[LEN - 1], 0);
	CU_ASSERT_EQUAL(buf[LEN], '.');
}

static void copies_all_or_nothing(void)
{
	static const struct {
		uint64_t gva;
		unsigned access;
		size_t len;
		int r;
		struct paging_fault fault;
		const char *buf, *pages; /* afterwards: the buffer, 4 bytes of each page */
	} rows[] = {
		{ 0x3ffc, PAGING_READ, 8, 0, { 0 }, "aaaabbbb", "aaaabbbb" },
		{ 0x3ffe, PAGING_READ, 3, 0, { 0 }, "aab45678", "aaaabbbb" },
		{ 0x3ffc, PAGING_READ, 4, 0, { 0 }, "aaaa5678", "aaaabbbb" },
		{ 0x3ffc, PAGING_WRITE, 8, 0, { 0 }, "12345678", "12345678" },
		{ 0x3ffe, PAGING_WRITE, 3, 0, { 0 }, "12345678", "aa123bbb" },
		{ 0x4001, PAGING_WRITE, 1, 0, { 0 }, "12345678", "aaaab1bb" },
		{ 0x3ffe, PAGING_WRITE, 0, 0, { 0 }, "12345678", "aaaabbbb" },
		{ 0x3ffe, PAGING_WRITE | PAGING_USER, 4, -EFAULT, { 0x4000, 7 }, "12345678",
			"aaaabbbb" },
		{ 0x3ffe, PAGING_USER, 4, -EFAULT, { 0x4000, 5 }, "12345678", "aaaabbbb" },
		{ 0x4ffe, PAGING_WRITE, 4, -EFAULT, { 0x5000, 2 }, "12345678", "aaaabbbb" },
		{ 0x1004, PAGING_WRITE, 4, -EFAULT, { 0x1004, 3 }, "12345678", "aaaabbbb" },
		{ 0x200000, PAGING_WRITE, 4, -ENOTSUP, { 0 }, "12345678", "aaaabbbb" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char buf[] = "12345678", pages[9] = "";
		struct paging_fault fault = { 0 };

		setup_neighbours();
		CU_ASSERT_EQUAL(
			paging_copy(&m, &p, rows[i].gva, buf, rows[i].len, rows[i].access, &fault),
			rows[i].r);
		CU_ASSERT_STRING_EQUAL(buf, rows[i].buf);
		CU_ASSERT_EQUAL(gmem_read(&m, DATA + 0x3ffc, pages, 4), 0);
		CU_ASSERT_EQUAL(gmem_read(&m, DATA + 0x1000, pages + 4, 4), 0);
		CU_ASSERT_STRING_EQUAL(pages, rows[i].pages);
		if (rows[i].r == -EFAULT) {
			CU_ASSERT_EQUAL(fault.gva, rows[i].fault.gva);
			CU_ASSERT_EQUAL(fault.error, rows[i].fault.error);
		}
	}
}

static void every_address_maps_to_itself_without_paging(void)
{
	struct paging_page page;
	uint64_t gpa = 0;

	setup();
	p.cr0 = 0;
	CU_ASSERT_EQUAL(paging_walk(&m, &p, 0x12345, PAGING_WRITE, &page, NULL), 0);
	CU_ASSERT_EQUAL(page.gva, 0x12000);
	CU_ASSERT_EQUAL(page.gpa, 0x12000);
	CU_ASSERT_EQUAL(page.size, 4096);
	CU_ASSERT_TRUE(page.writable && page.user && page.executable);
	CU_ASSERT_EQUAL(paging_translate(&m, &p, 0x12345, &gpa), 0);
	CU_ASSERT_EQUAL(gpa, 0x12345);
}

static void tells_the_entry_a_page_comes_from(void)
{
	struct paging_page page;

	setup();
	CU_ASSERT_EQUAL(paging_walk(&m, &p, 0x1000, PAGING_READ, &page, NULL), 0);
	CU_ASSERT_EQUAL(page.entry, DATA | P);
	CU_ASSERT_EQUAL(paging_each(&m, &p, note_page, &page), -E2BIG);
	CU_ASSERT(page.gva == 0x2000 && page.entry == (DATA | P | W | U | NX));
	p.cr0 = 0;
	CU_ASSERT_EQUAL(paging_walk(&m, &p, 0x1000, PAGING_READ, &page, NULL), 0);
	CU_ASSERT_EQUAL(page.entry, 0);
}

static const struct unit_case cases[] = {
	{ "tells_the_entry_a_page_comes_from", tells_the_entry_a_page_comes_from },
	{ "finds_pages_of_every_size", finds_pages_of_every_size },
	{ "gives_the_error_code_a_cpu_pushes", gives_the_error_code_a_cpu_pushes },
	{ "without_wp_the_supervisor_writes_anywhere", without_wp_the_supervisor_writes_anywhere },
	{ "without_nxe_the_nx_bit_is_reserved", without_nxe_the_nx_bit_is_reserved },
	{ "recursive_tables_reach_themselves", recursive_tables_reach_themselves },
	{ "tables_outside_ram_are_not_present", tables_outside_ram_are_not_present },
	{ "reads_across_pages_stop_at_the_first_fault",
		reads_across_pages_stop_at_the_first_fault },
	{ "reads_what_lies_apart", reads_what_lies_apart },
	{ "copies_no_more_than_was_asked_for", copies_no_more_than_was_asked_for },
	{ "copies_all_or_nothing", copies_all_or_nothing },
	{ "every_address_maps_to_itself_without_paging",
		every_address_maps_to_itself_without_paging },
};

int main(void)
{
	int r = unit_run("paging", cases, sizeof(cases) / sizeof(cases[0]));

	gmem_finish(&m);
	return r;
}
