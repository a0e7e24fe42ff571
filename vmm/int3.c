// SPDX-License-Identifier: ISC
/* One byte for another, and back. Two points may be the same byte by two addresses. */
#include "int3.h"

#include "gmem.h"
#include "paging.h"

enum { INT3 = 0xcc };

bool int3_find(struct int3_point *point, const struct gmem *m, const struct paging *p)
{
	struct paging_page page;

	point->mapped = !paging_walk(m, p, point->gva, PAGING_FETCH, &page, NULL);
	point->gpa = point->mapped ? page.gpa + (point->gva - page.gva) : 0;
	point->mapped &= gmem_span(m, point->gpa, 1) != NULL;
	return point->mapped;
}

void int3_plant(struct int3 *t, const struct gmem *m, const struct paging *p)
{
	for (size_t i = 0; i < t->n; i++) {
		struct int3_point *point = &t->points[i];

		if (!point->mapped && (!p || !int3_find(point, m, p)))
			continue;
		point->planted = !gmem_read(m, point->gpa, &point->byte, 1) &&
				 !gmem_fill(m, point->gpa, INT3, 1);
	}
}

/* Backwards: of two that are the same byte, the first one knows what it was. */
void int3_lift(struct int3 *t, const struct gmem *m)
{
	static const uint8_t int3 = INT3;

	for (size_t i = t->n; i-- > 0;) {
		struct int3_point *point = &t->points[i];

		if (point->planted && gmem_same(m, point->gpa, &int3, 1))
			gmem_fill(m, point->gpa, point->byte, 1);
		point->planted = false;
	}
}

bool int3_all_mapped(const struct int3 *t)
{
	for (size_t i = 0; i < t->n; i++) {
		if (!t->points[i].mapped)
			return false;
	}
	return true;
}

bool int3_at_gpa(const struct int3 *t, uint64_t gpa)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->points[i].mapped && t->points[i].gpa == gpa)
			return true;
	}
	return false;
}
