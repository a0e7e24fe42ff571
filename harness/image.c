// SPDX-License-Identifier: ISC
/*
 * Images of RAM: a table of leaves, a leaf is a table of pages, and both leaves and pages are
 * counted and shared. What is shared is never written to. NULL stands for zeroes. Knows no machine
 * and no time.
 */
#include "image.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "gmem.h"

enum { PAGE = IMAGE_PAGE, LEAF = 512 };

struct page {
	uint32_t holders;
	uint8_t bytes[PAGE];
};

struct leaf {
	uint32_t holders;
	struct page *pages[LEAF];
};

struct image {
	uint32_t holders;
	struct image_cost *cost;
	size_t n; /* leaves */
	struct leaf *leaves[];
};

static const uint8_t zeroes[PAGE];

static void *take(struct image_cost *cost, size_t size)
{
	void *p = calloc(1, size);

	if (p)
		cost->bytes += size;
	return p;
}

static void give_back(struct image_cost *cost, void *p, size_t size)
{
	cost->bytes -= size;
	free(p);
}

static size_t size_of(size_t n_leaves)
{
	return sizeof(struct image) + n_leaves * sizeof(struct leaf *);
}

static void drop_page(struct image_cost *cost, struct page *page)
{
	if (page && !--page->holders)
		give_back(cost, page, sizeof(*page));
}

static void drop_leaf(struct image_cost *cost, struct leaf *leaf)
{
	if (!leaf || --leaf->holders)
		return;
	for (size_t i = 0; i < LEAF; i++)
		drop_page(cost, leaf->pages[i]);
	give_back(cost, leaf, sizeof(*leaf));
}

struct image *image_hold(struct image *image)
{
	image->holders++;
	return image;
}

void image_drop(struct image *image)
{
	if (!image || --image->holders)
		return;
	for (size_t i = 0; i < image->n; i++)
		drop_leaf(image->cost, image->leaves[i]);
	give_back(image->cost, image, size_of(image->n));
}

static const struct page *page_of(const struct image *image, size_t i)
{
	const struct leaf *leaf = image->leaves[i / LEAF];

	return leaf ? leaf->pages[i % LEAF] : NULL;
}

static const uint8_t *bytes_of(const struct image *image, size_t i)
{
	const struct page *page = page_of(image, i);

	return page ? page->bytes : zeroes;
}

/* The leaf of page i, for this image alone. */
static struct leaf *own_leaf(struct image *image, size_t i)
{
	struct leaf **slot = &image->leaves[i / LEAF], *copy;

	if (*slot && (*slot)->holders == 1)
		return *slot;
	copy = take(image->cost, sizeof(*copy));
	if (!copy)
		return NULL;
	if (*slot)
		*copy = **slot;
	copy->holders = 1;
	for (size_t k = 0; k < LEAF; k++)
		if (copy->pages[k])
			copy->pages[k]->holders++;
	drop_leaf(image->cost, *slot);
	*slot = copy;
	return copy;
}

/* Page i of RAM goes into the image. */
static bool set_page(struct image *image, const struct gmem *m, size_t i)
{
	uint64_t gpa = m->gpa + i * PAGE;
	struct page *page = NULL;
	struct leaf *leaf = own_leaf(image, i);

	if (!leaf)
		return false;
	if (!gmem_same(m, gpa, zeroes, PAGE)) {
		page = take(image->cost, sizeof(*page));
		if (!page)
			return false;
		page->holders = 1;
		gmem_read(m, gpa, page->bytes, PAGE);
	}
	drop_page(image->cost, leaf->pages[i % LEAF]);
	leaf->pages[i % LEAF] = page;
	return true;
}

static struct image *new_image(
	const struct gmem *m, const struct image *like, struct image_cost *cost)
{
	size_t n = (m->size / PAGE + LEAF - 1) / LEAF;
	struct image *image = take(cost, size_of(n));

	if (!image)
		return NULL;
	image->holders = 1;
	image->cost = cost;
	image->n = n;
	for (size_t i = 0; like && i < n; i++) {
		image->leaves[i] = like->leaves[i];
		if (image->leaves[i])
			image->leaves[i]->holders++;
	}
	return image;
}

struct image *image_take(const struct gmem *m, struct image *like, struct image_cost *cost)
{
	struct image *image = new_image(m, like, cost);
	uint64_t gpa = m->gpa;

	for (size_t len; image && gmem_next_used(m, &gpa, &len); gpa += len)
		for (size_t at = 0; image && at < len; at += PAGE) {
			size_t i = (gpa + at - m->gpa) / PAGE;

			if (gmem_same(m, gpa + at, bytes_of(image, i), PAGE) ||
				set_page(image, m, i))
				continue;
			image_drop(image);
			image = NULL;
		}
	return image;
}

static void put_page(const struct image *image, const struct gmem *m, struct backend *cpu, size_t i)
{
	uint64_t gpa = m->gpa + i * PAGE;

	if (gmem_same(m, gpa, bytes_of(image, i), PAGE))
		return;
	gmem_write(m, gpa, bytes_of(image, i), PAGE);
	backend_code_changed(cpu, gpa, PAGE);
}

/* Pages first to last - 1 were never used: only what the image has there is to be written. */
static void put_unused(const struct image *image, const struct gmem *m, struct backend *cpu,
	size_t first, size_t last)
{
	for (size_t i = first; i < last; i++) {
		if (!image->leaves[i / LEAF])
			i |= LEAF - 1; /* nor in all of this leaf */
		else if (page_of(image, i))
			put_page(image, m, cpu, i);
	}
}

void image_put(const struct image *image, const struct gmem *m, struct backend *cpu)
{
	uint64_t gpa = m->gpa;
	size_t i = 0;

	for (size_t len; gmem_next_used(m, &gpa, &len); gpa += len) {
		put_unused(image, m, cpu, i, (gpa - m->gpa) / PAGE);
		for (i = (gpa - m->gpa) / PAGE; i < (gpa + len - m->gpa) / PAGE; i++)
			put_page(image, m, cpu, i);
	}
	put_unused(image, m, cpu, i, m->size / PAGE);
}

bool image_differs(
	const struct image *image, const struct gmem *m, uint64_t *gpa, const uint8_t **was)
{
	/* What was used once stays used, so what the image has is among it. */
	for (size_t len; gmem_next_used(m, gpa, &len); *gpa += PAGE) {
		*was = bytes_of(image, (*gpa - m->gpa) / PAGE);
		if (!gmem_same(m, *gpa, *was, PAGE))
			return true;
	}
	return false;
}
