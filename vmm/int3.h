/* SPDX-License-Identifier: ISC */
/*
 * Breakpoints by int3: put into guest memory while the CPU runs, and taken out before anybody looks; only the
 * guest itself would see them, if it read its code. Knows guest memory and page tables, and no CPU.
 */
#ifndef INT3_H
#define INT3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gmem;
struct paging;

struct int3_point {
	uint64_t gva;
	uint64_t gpa;         /* where it was last found; only when mapped */
	uint8_t byte;         /* that it stands for; only when planted */
	bool mapped, planted; /* mapped: as code, for no other is executed */
};

struct int3 {
	struct int3_point *points; /* in no order */
	size_t n;
};

/* Found anew, by tables that may have changed; nothing is planted. False: it is not mapped. */
bool int3_find(struct int3_point *point, const struct gmem *m, const struct paging *p);

/* Those that are mapped; what was not is looked for once more. p may be NULL when all were. */
void int3_plant(struct int3 *t, const struct gmem *m, const struct paging *p);
/* What the guest wrote in its place meanwhile stays. */
void int3_lift(struct int3 *t, const struct gmem *m);

bool int3_all_mapped(const struct int3 *t);
/* Is it by one of these that the CPU stopped at gpa? */
bool int3_at_gpa(const struct int3 *t, uint64_t gpa);

#endif
