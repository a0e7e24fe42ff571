/* SPDX-License-Identifier: ISC */
/*
 * What a machine's RAM was at some moments. Images share the pages in which they do not differ, so
 * many of one machine cost little more than what changed in between. Pages of zeroes cost nothing.
 */
#ifndef IMAGE_H
#define IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backend;
struct gmem;
struct image;

/* What images take together; one for all images of a machine. */
struct image_cost {
	size_t bytes;
};

/*
 * RAM as it is now. like: an image that much of it is the same as, or NULL; the closer, the
 * cheaper. NULL when memory is short.
 */
struct image *image_take(const struct gmem *m, struct image *like, struct image_cost *cost);
/* One more who holds it, for image_drop. */
struct image *image_hold(struct image *image);
void image_drop(struct image *image); /* takes NULL */
/* RAM becomes what it was. The CPU is told of pages that change. */
void image_put(const struct image *image, const struct gmem *m, struct backend *cpu);
enum { IMAGE_PAGE = 4096 };
/* The first page at or behind *gpa in which RAM is not what it was, and what that was. False: there
 * is none. */
bool image_differs(
	const struct image *image, const struct gmem *m, uint64_t *gpa, const uint8_t **was);

#endif
