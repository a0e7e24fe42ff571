// SPDX-License-Identifier: ISC
/* Guest-virtual to guest-physical. Pure: reads page tables, changes nothing. */
#include "paging.h"

#include <errno.h>
#include <string.h>

#include "cpu.h"
#include "gmem.h"

enum {
	PTE_P = 1 << 0,
	PTE_W = 1 << 1,
	PTE_U = 1 << 2,
	PTE_PS = 1 << 7,
	PF_PRESENT = 1 << 0,
	PF_RESERVED = 1 << 3,
	LEVELS = 4,
	PTE_COUNT = 512,
};
#define PTE_ADDR 0x000ffffffffff000ull
#define PTE_NX   (1ull << 63)

struct paging paging_of_state(const struct cpu_state *s)
{
	return (struct paging){ .cr0 = s->cr0, .cr3 = s->cr3, .cr4 = s->cr4, .efer = s->efer };
}

static bool canonical(uint64_t gva)
{
	return (uint64_t)((int64_t)(gva << 16) >> 16) == gva;
}

static int fault(uint32_t *error, unsigned access, unsigned why)
{
	if (error)
		*error = access | why;
	return -EFAULT;
}

static int grant(const struct paging *p, struct paging_page *page, unsigned access, uint32_t *error)
{
	/* A supervisor write ignores read-only pages unless CR0.WP: SDM 3A 4.6.1. */
	bool may_write = page->writable || (!(access & PAGING_USER) && !(p->cr0 & CPU_CR0_WP));

	page->writable = may_write;
	if ((access & PAGING_USER) && !page->user)
		return fault(error, access, PF_PRESENT);
	if ((access & PAGING_WRITE) && !may_write)
		return fault(error, access, PF_PRESENT);
	if ((access & PAGING_FETCH) && !page->executable)
		return fault(error, access, PF_PRESENT);
	return 0;
}

int paging_walk(const struct gmem *m, const struct paging *p, uint64_t gva, unsigned access,
	struct paging_page *page, uint32_t *error)
{
	bool nxe = p->efer & CPU_EFER_NXE;
	uint64_t table = p->cr3 & PTE_ADDR, entry;

	if (!nxe)
		access &= ~(unsigned)PAGING_FETCH; /* the error code's I bit exists only with NXE */
	*page = (struct paging_page){ .writable = true, .user = true, .executable = true };
	if (!(p->cr0 & CPU_CR0_PG)) {
		page->gva = page->gpa = gva & ~0xfffull;
		page->size = 4096;
		return 0;
	}
	if (!canonical(gva))
		return fault(error, access, 0);
	for (int level = LEVELS - 1; level >= 0; level--) {
		unsigned shift = 12 + 9 * (unsigned)level;

		if (gmem_read(m, table + 8 * (gva >> shift & 511), &entry, sizeof(entry)))
			return fault(error, access, 0);
		if (!(entry & PTE_P))
			return fault(error, access, 0);
		if ((entry & PTE_NX) && !nxe)
			return fault(error, access, PF_PRESENT | PF_RESERVED);
		page->writable &= !!(entry & PTE_W);
		page->user &= !!(entry & PTE_U);
		page->executable &= !(entry & PTE_NX);
		if (level == LEVELS - 1 && (entry & PTE_PS))
			return fault(error, access, PF_PRESENT | PF_RESERVED);
		if (level && !(entry & PTE_PS)) {
			table = entry & PTE_ADDR;
			continue;
		}
		page->size = 1ull << shift;
		page->gva = gva & ~(page->size - 1);
		page->gpa = entry & PTE_ADDR & ~(page->size - 1);
		page->entry = entry;
		return grant(p, page, access, error);
	}
	return fault(error, access, 0); /* not reached: level 0 always ends the walk */
}

/* A walk over all there is: the tables on the way down, and how many more may be looked at. */
struct each {
	const struct gmem *m;
	bool nxe;
	paging_page_fn *fn;
	void *ctx;
	uint64_t left;
	uint64_t entries[LEVELS][PTE_COUNT];
};

static int each_table(struct each *e, int level, uint64_t table, const struct paging_page *above)
{
	unsigned shift = 12 + 9 * (unsigned)level;
	uint64_t *entries = e->entries[level];
	int r = 0;

	if (!e->left--)
		return -E2BIG;
	if (gmem_read(e->m, table, entries, sizeof(e->entries[level])))
		return 0;
	for (uint64_t i = 0; !r && i < PTE_COUNT; i++) {
		struct paging_page page;

		if (!(entries[i] & PTE_P) || ((entries[i] & PTE_NX) && !e->nxe))
			continue;
		page = *above;
		page.gva |= (uint64_t)((int64_t)(i << (shift + 16)) >> 16);
		page.writable &= !!(entries[i] & PTE_W);
		page.user &= !!(entries[i] & PTE_U);
		page.executable &= !(entries[i] & PTE_NX);
		if (level && !(entries[i] & PTE_PS)) {
			r = each_table(e, level - 1, entries[i] & PTE_ADDR, &page);
		} else if (level < LEVELS - 1) {
			page.size = 1ull << shift;
			page.gpa = entries[i] & PTE_ADDR & ~(page.size - 1);
			page.entry = entries[i];
			r = e->fn(e->ctx, &page) ? 0 : -E2BIG;
		}
	}
	return r;
}

int paging_each(const struct gmem *m, const struct paging *p, paging_page_fn *fn, void *ctx)
{
	struct paging_page all = { .writable = true, .user = true, .executable = true };
	struct each e = { .m = m,
		.nxe = p->efer & CPU_EFER_NXE,
		.fn = fn,
		.ctx = ctx,
		.left = PAGING_TABLES_MAX };

	if (!(p->cr0 & CPU_CR0_PG))
		return -EOPNOTSUPP;
	return each_table(&e, LEVELS - 1, p->cr3 & PTE_ADDR, &all);
}

int paging_translate(const struct gmem *m, const struct paging *p, uint64_t gva, uint64_t *gpa)
{
	struct paging_page page;
	int r;

	r = paging_walk(m, p, gva, PAGING_READ, &page, NULL);
	if (!r)
		*gpa = page.gpa + (gva - page.gva);
	return r;
}

uint64_t paging_read(
	const struct gmem *m, const struct paging *p, uint64_t gva, void *buf, uint64_t len)
{
	uint64_t done = 0;

	while (done < len) {
		uint64_t at = gva + done, gpa, n = 4096 - at % 4096;

		if (n > len - done)
			n = len - done;
		if (paging_translate(m, p, at, &gpa) || gmem_read(m, gpa, (uint8_t *)buf + done, n))
			break;
		done += n;
	}
	return done;
}

int paging_copy(const struct gmem *m, const struct paging *p, uint64_t gva, void *buf, size_t len,
	unsigned access, struct paging_fault *fault)
{
	struct paging_page page;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t done = 0, n; done < len; done += n) {
			uint64_t at = gva + done, gpa;
			uint8_t *bytes = (uint8_t *)buf + done;

			n = 4096 - at % 4096 < len - done ? 4096 - at % 4096 : len - done;
			fault->gva = at;
			if (paging_walk(m, p, at, access, &page, &fault->error))
				return -EFAULT;
			gpa = page.gpa + (at - page.gva);
			if (!gmem_span(m, gpa, n))
				return -ENOTSUP;
			if (pass && (access & PAGING_WRITE))
				gmem_write(m, gpa, bytes, n);
			else if (pass)
				gmem_read(m, gpa, bytes, n);
		}
	}
	return 0;
}
