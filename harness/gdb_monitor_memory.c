// SPDX-License-Identifier: ISC
/* `monitor`, memory: what is mapped where, and what is there. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "core.h"
#include "cpu.h"
#include "err.h"
#include "gdb_monitor.h"
#include "gdb_vm.h"
#include "paging.h"
#include "record.h"
#include "session.h"

enum { LINES_MAX = 1000, XP_MAX = 4096, XP_LINE = 16 };

enum { PTE_WRITABLE = 1 << 1, PTE_USER = 1 << 2, PTE_LARGE = 1 << 7, PTE_NX_BIT = 63 };
#define PTE_ADDRESS UINT64_C(0x000ffffffffff000)

static bool paging_of(struct gdb_vm *g, struct paging *p, FILE *out)
{
	if (!backend_paging(g->vm->cpu, p))
		return true;
	fputs("this backend does not tell its control registers\n", out);
	return false;
}

static bool in_ram(const struct gdb_vm *g, uint64_t gpa)
{
	return gpa - g->vm->mem.gpa < g->vm->mem.size;
}

/* ---- ranges ---- */

typedef void put_range_fn(FILE *out, const struct paging_page *range);

/* Pages that follow each other, joined. */
struct ranges {
	FILE *out;
	put_range_fn *put;
	bool physical; /* only what follows each other in physical memory, too, and by pages of one size */
	bool rights_x; /* executable or not makes a difference */
	struct paging_page range;
	uint64_t page_size;
	unsigned lines;
};

static bool goes_on(const struct ranges *r, const struct paging_page *page)
{
	const struct paging_page *range = &r->range;

	return page->gva == range->gva + range->size && page->writable == range->writable &&
	       page->user == range->user &&
	       (!r->rights_x || page->executable == range->executable) &&
	       (!r->physical ||
		       (page->gpa == range->gpa + range->size && page->size == r->page_size));
}

static bool add_page(void *ctx, const struct paging_page *page)
{
	struct ranges *r = ctx;

	if (r->range.size && goes_on(r, page)) {
		r->range.size += page->size;
		return true;
	}
	if (r->range.size) {
		r->put(r->out, &r->range);
		r->lines++;
	}
	r->range = *page;
	r->page_size = page->size;
	return r->lines < LINES_MAX;
}

static void put_ranges(struct gdb_vm *g, struct ranges *r)
{
	struct paging p;
	int result;

	if (!paging_of(g, &p, r->out))
		return;
	result = paging_each(&g->vm->mem, &p, add_page, r);
	if (r->range.size && r->lines < LINES_MAX)
		r->put(r->out, &r->range);
	if (result == -EOPNOTSUPP)
		fputs("paging is off: every address is a physical one\n", r->out);
	else if (result)
		fputs("... the tables map more than is shown\n", r->out);
	else if (!r->range.size)
		fputs("nothing is mapped\n", r->out);
}

/* As QEMU's: tools read it, and subtract the beginning from the end; 2^64 is one, too. */
static void put_mem(FILE *out, const struct paging_page *range)
{
	uint64_t end = range->gva + range->size;

	fprintf(out, "%016" PRIx64 "-%s%016" PRIx64 " %016" PRIx64 " %cr%c\n", range->gva,
		end ? "" : "1", end, range->size, range->user ? 'u' : '-',
		range->writable ? 'w' : '-');
}

static void info_mem(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	(void)w;
	put_ranges(g, &(struct ranges){ .out = out, .put = put_mem });
}

/* Of pages: 4096 as "4K", 3 MiB as "3M". */
static const char *size_text(uint64_t size, char buf[24])
{
	const char *unit = "KMGTPE";

	for (size /= 1024; size >= 1024 && size % 1024 == 0; size /= 1024)
		unit++;
	snprintf(buf, 24, "%" PRIu64 "%c", size, *unit);
	return buf;
}

static void put_pages(FILE *out, const struct paging_page *range)
{
	char size[24];

	fprintf(out, "%016" PRIx64 "-%016" PRIx64 "  %6s  %c%c%c%c  -> %012" PRIx64 "\n",
		range->gva, range->gva + range->size - 1, size_text(range->size, size),
		range->user ? 'u' : '-', 'r', range->writable ? 'w' : '-',
		range->executable ? 'x' : '-', range->gpa);
}

/* As QEMU's: a line a page. */
static bool put_tlb(void *ctx, const struct paging_page *page)
{
	static const struct {
		char letter;
		int bit;
	} bits[] = { { 'X', PTE_NX_BIT }, { 'G', 8 }, { 'P', 7 }, { 'D', 6 }, { 'A', 5 },
		{ 'C', 4 }, { 'T', 3 }, { 'U', 2 }, { 'W', 1 } };
	struct ranges *r = ctx;

	fprintf(r->out, "%016" PRIx64 ": %016" PRIx64 " ", page->gva, page->gpa);
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		bool set = page->entry >> bits[i].bit & 1;

		if (bits[i].bit == 7) /* in the entry of a small page the bit is another one: PAT */
			set = page->size > 4096;
		putc(set ? bits[i].letter : '-', r->out);
	}
	putc('\n', r->out);
	return ++r->lines < LINES_MAX;
}

static void info_tlb(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	struct ranges r = { .out = out };
	struct paging p;
	int result;

	(void)w;
	if (!paging_of(g, &p, out))
		return;
	result = paging_each(&g->vm->mem, &p, put_tlb, &r);
	if (result == -EOPNOTSUPP)
		fputs("paging is off: every address is a physical one\n", out);
	else if (result)
		fputs("... and more pages; monitor info pages joins them\n", out);
	else if (!r.lines)
		fputs("nothing is mapped\n", out);
}

/* ---- one address ---- */

static void put_entry(FILE *out, int level, unsigned index, uint64_t at, uint64_t entry)
{
	static const char *const names[] = { "PT", "PD", "PDPT", "PML4" };
	bool table = level && !(entry >> 7 & 1);

	fprintf(out, "  %-4s entry %3u at %09" PRIx64 ": %016" PRIx64 "  ", names[level], index, at,
		entry);
	if (!(entry & 1)) {
		fputs("not present\n", out);
		return;
	}
	fprintf(out, "%s %09" PRIx64 "%s%s%s%s%s%s\n", table ? "table" : "page",
		entry & PTE_ADDRESS, entry & PTE_WRITABLE ? ", writable" : "",
		entry & PTE_USER ? ", user" : "", entry >> PTE_NX_BIT ? ", no execute" : "",
		entry >> 8 & 1 && !table ? ", global" : "", entry >> 5 & 1 ? ", accessed" : "",
		entry >> 6 & 1 && !table ? ", dirty" : "");
}

/* The entries that lead to an address, as a CPU goes by them: SDM 3A 4.5. */
static void put_walk(struct gdb_vm *g, const struct paging *p, uint64_t gva, FILE *out)
{
	uint64_t table = p->cr3 & PTE_ADDRESS, entry;

	for (int level = 3; level >= 0; level--) {
		unsigned index = gva >> (12 + 9 * level) & 511;

		if (gdb_vm_read(g, true, table + 8 * index, &entry, sizeof(entry)) !=
			sizeof(entry)) {
			fprintf(out, "  the next table, at %09" PRIx64 ", is not in RAM\n", table);
			return;
		}
		put_entry(out, level, index, table + 8 * index, entry);
		if (!(entry & 1) || (level && entry & PTE_LARGE))
			return;
		table = entry & PTE_ADDRESS;
	}
}

/* No table is looked at for one that is not: SDM 1 3.3.7.1. */
static bool is_canonical(const struct paging *p, uint64_t gva)
{
	int unused = p->cr4 & CPU_CR4_LA57 ? 64 - 57 : 64 - 48;

	return !(p->efer & CPU_EFER_LMA) || (uint64_t)((int64_t)(gva << unused) >> unused) == gva;
}

static void put_address(struct gdb_vm *g, uint64_t gva, FILE *out)
{
	struct paging_page page;
	struct paging p;
	char size[24];
	uint64_t gpa;

	if (!paging_of(g, &p, out))
		return;
	if (!is_canonical(&p, gva)) {
		fprintf(out, "0x%" PRIx64 " is not canonical: it can never be mapped\n", gva);
		return;
	}
	if (paging_walk(&g->vm->mem, &p, gva, PAGING_READ, &page, NULL)) {
		fprintf(out, "0x%" PRIx64 " is not mapped\n", gva);
	} else {
		gpa = page.gpa + (gva - page.gva);
		fprintf(out, "0x%" PRIx64 " is 0x%" PRIx64 " in %s: a page of %s, %s, r%s%s\n", gva,
			gpa, in_ram(g, gpa) ? "RAM" : "no RAM", size_text(page.size, size),
			page.user ? "user" : "supervisor", page.writable ? "w" : "-",
			page.executable ? "x" : "-");
	}
	if (p.cr0 & CPU_CR0_PG)
		put_walk(g, &p, gva, out);
	else
		fputs("paging is off\n", out);
}

static void info_pages(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	uint64_t gva;

	if (!w->n)
		put_ranges(g,
			&(struct ranges){
				.out = out, .put = put_pages, .physical = true, .rights_x = true });
	else if (gdb_monitor_address(g, out, w->list[0], &gva))
		put_address(g, gva, out);
}

static void gva2gpa(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	uint64_t gva, gpa;
	struct paging p;

	if (!gdb_monitor_address(g, out, w->list[0], &gva) || !paging_of(g, &p, out))
		return;
	if (paging_translate(&g->vm->mem, &p, gva, &gpa))
		fputs("Unmapped\n", out);
	else
		fprintf(out, "gpa: 0x%" PRIx64 "\n", gpa);
}

/* ---- physical memory ---- */

struct format {
	unsigned count, size;
	char letter;
};

/* "/8xg", as gdb's and QEMU's x. */
static bool parse_format(const char *word, struct format *f, FILE *out)
{
	static const char sizes[] = "bhwg";
	const char *at = word + 1;
	unsigned count = 0;

	*f = (struct format){ 1, 4, 'x' };
	while (*at >= '0' && *at <= '9' && count <= XP_MAX)
		count = 10 * count + (unsigned)(*at++ - '0');
	if (at > word + 1)
		f->count = count;
	for (; *at && strchr("xduotcbhwg", *at); at++) {
		const char *size = strchr(sizes, *at);

		if (size)
			f->size = 1u << (size - sizes);
		else
			f->letter = *at;
		if (*at == 'c')
			f->size = 1;
	}
	if (!*at && f->count && f->count * f->size <= XP_MAX)
		return true;
	gdb_monitor_quote(out, word);
	fprintf(out,
		": expected /[COUNT][FORMAT][SIZE]: at most %d bytes, FORMAT of x d u o t c, SIZE "
		"of b h w "
		"g\n",
		XP_MAX);
	return false;
}

static void put_binary(FILE *out, uint64_t value, unsigned bits)
{
	putc(' ', out);
	while (bits--)
		putc('0' + (int)(value >> bits & 1), out);
}

static void put_char(FILE *out, uint64_t value)
{
	char text[2] = { (char)value, 0 };

	putc(' ', out);
	if (value)
		gdb_monitor_quote(out, text);
	else
		fputs("\"\\x00\"", out);
}

static void put_value(FILE *out, const struct format *f, uint64_t value)
{
	static const int decimal[] = { [1] = 4, [2] = 6, [4] = 11, [8] = 20 };
	static const int octal[] = { [1] = 3, [2] = 6, [4] = 11, [8] = 22 };
	unsigned unused = 64 - 8 * f->size;

	switch (f->letter) {
	case 'd':
		fprintf(out, " %*" PRId64, decimal[f->size], (int64_t)(value << unused) >> unused);
		return;
	case 'u':
		fprintf(out, " %*" PRIu64, decimal[f->size], value);
		return;
	case 'o':
		fprintf(out, " 0%0*" PRIo64, octal[f->size], value);
		return;
	case 't':
		put_binary(out, value, 8 * f->size);
		return;
	case 'c':
		put_char(out, value);
		return;
	default:
		fprintf(out, " 0x%0*" PRIx64, (int)(2 * f->size), value);
	}
}

static void dump(struct gdb_vm *g, const struct format *f, uint64_t gpa, FILE *out)
{
	for (unsigned at = 0; at < f->count * f->size; at += f->size) {
		uint64_t value = 0;

		if (at % XP_LINE == 0)
			fprintf(out, "%s%016" PRIx64 ":", at ? "\n" : "", gpa + at);
		if (gdb_vm_read(g, true, gpa + at, &value, f->size) != f->size) {
			fputs(" not RAM", out);
			break;
		}
		put_value(out, f, value);
	}
	putc('\n', out);
}

static void xp(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	const char *format = w->list[0][0] == '/' ? w->list[0] : "/";
	struct format f;
	uint64_t gpa;

	if ((w->n == 2) != (w->list[0][0] == '/')) {
		fputs("expected: monitor xp [/FORMAT] ADDRESS\n", out);
		return;
	}
	if (parse_format(format, &f, out) && gdb_monitor_address(g, out, w->list[w->n - 1], &gpa))
		dump(g, &f, gpa, out);
}

/* ---- all of it ---- */

static void dump_core(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	const char *name = w->list[0];
	struct core_size size = { 0 };
	struct err err = { "" };
	int r, signal = g->stop.signal == GDB_SIG_BUS ? SIGBUS : g->stop.signal;

	if (!gdb_monitor_file(out, name, ".core"))
		return;
	r = record_check_place(g->session, name, &err);
	if (!r)
		r = core_write_vm(g->vm, signal, name, session_signal(), &size, &err);
	if (r)
		fprintf(out, "%s\n", err.text);
	else
		fprintf(out, "%s: %" PRIu64 " bytes, %" PRIu64 " of memory in use, %zu ranges%s\n",
			name, size.bytes, size.used, size.ranges,
			size.cut ? "; more were left out" : "");
}

const struct gdb_command gdb_commands_memory[] = {
	{ "info pages", "[ADDRESS]",
		"what is mapped where, or how an address is translated\n"
		"Without ADDRESS: ranges, their size, rights (user, read, write, execute), and "
		"the\n"
		"physical address they begin at. ADDRESS is guest-virtual: 0x1000, $rsp, $rip+16.",
		0, 1, info_pages },
	{ "info mem", "", "the same in QEMU's format, for tools", 0, 0, info_mem },
	{ "info tlb", "", "every page and its entry's bits, in QEMU's format", 0, 0, info_tlb },
	{ "gva2gpa", "ADDRESS", "the physical address of a virtual one", 1, 1, gva2gpa },
	{ "xp", "[/FORMAT] ADDRESS",
		"show physical memory\n"
		"FORMAT is COUNT, one of x d u o t c, and a size, b h w g: xp /8xg 0x1000. For "
		"virtual\n"
		"addresses there is gdb's own x.",
		1, 2, xp },
	{ "dump-core", "NAME.core",
		"write a core file, for gdb GUEST NAME.core\n"
		"The file is made where belljar was started, and must not be there yet.",
		1, -1, dump_core },
	{ 0 },
};
