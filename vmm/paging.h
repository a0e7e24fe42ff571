/* SPDX-License-Identifier: ISC */
/* Guest-virtual (GVA) to guest-physical (GPA): the walk a CPU makes, four levels, SDM 3A 4.5. */
#ifndef PAGING_H
#define PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpu_state;
struct gmem;

/* The control state a walk depends on. With cr0.PG clear every address maps to itself. */
struct paging {
	uint64_t cr0, cr3, cr4, efer;
};

/* That of a CPU. */
struct paging paging_of_state(const struct cpu_state *s);

/* What the access is; the bits are those of a #PF error code: SDM 3A 4.7. */
enum paging_access {
	PAGING_READ = 0,
	PAGING_WRITE = 1 << 1,
	PAGING_USER = 1 << 2,
	PAGING_FETCH = 1 << 4,
};

struct paging_page {
	uint64_t gva, gpa;               /* first byte of the page that holds the address */
	uint64_t size;                   /* 4 KiB, 2 MiB or 1 GiB */
	bool writable, user, executable; /* what the entries grant, CR0.WP and EFER.NXE applied */
	uint64_t entry; /* the last of them, as it is in memory; 0 without paging */
};

/*
 * 0 with *page filled in; or -EFAULT with *error the #PF error code a CPU would push. Accessed and
 * dirty bits are not set. Table entries outside RAM count as not present.
 */
int paging_walk(const struct gmem *m, const struct paging *p, uint64_t gva, unsigned access,
	struct paging_page *page, uint32_t *error);

/* The GPA of one address for reading, as a debugger wants it: 0 or -EFAULT. */
int paging_translate(const struct gmem *m, const struct paging *p, uint64_t gva, uint64_t *gpa);

/* Copies from guest-virtual memory, page by page. Returns the bytes copied before a fault. */
uint64_t paging_read(
	const struct gmem *m, const struct paging *p, uint64_t gva, void *buf, uint64_t len);

/* What one entry that maps memory says: rights as the tables have them, CR0.WP not applied. False ends it. */
typedef bool paging_page_fn(void *ctx, const struct paging_page *page);
/*
 * Every page that is mapped, by ascending address; neighbours are not joined, and what a page maps need not be RAM.
 * 0; or -E2BIG when it ended early, for fn said so or the tables were more than PAGING_TABLES_MAX: tables may
 * contain themselves. Without paging: -EOPNOTSUPP.
 */
enum { PAGING_TABLES_MAX = 1 << 17 };
int paging_each(const struct gmem *m, const struct paging *p, paging_page_fn *fn, void *ctx);

struct paging_fault {
	uint64_t gva;
	uint32_t error; /* of the #PF */
};
/*
 * What an instruction does with an operand in memory: out of buf with PAGING_WRITE, else into it. 0; or,
 * nothing copied, -EFAULT with *fault, or -ENOTSUP where there is no RAM.
 */
int paging_copy(const struct gmem *m, const struct paging *p, uint64_t gva, void *buf, size_t len,
	unsigned access, struct paging_fault *fault);

#endif
