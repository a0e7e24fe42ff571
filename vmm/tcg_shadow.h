/* SPDX-License-Identifier: ISC */
/*
 * Page tables of our own for a CPU that checks permissions in them but takes addresses from
 * elsewhere: an entry says whether and how a guest-virtual page may be touched, not where it is.
 * Pure: tables live in memory given by the caller.
 */
#ifndef TCG_SHADOW_H
#define TCG_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TCG_SHADOW_PAGE = 4096, TCG_SHADOW_ENTRIES = 512 };

struct tcg_shadow {
	uint64_t (*tables)[TCG_SHADOW_ENTRIES]; /* borrowed; the first one is the root */
	size_t n_tables, used;
	uint64_t base; /* the address the CPU finds tables[0] at: what CR3 has to be */
};

enum tcg_shadow_flags {
	TCG_SHADOW_WRITE = 1 << 1,
	TCG_SHADOW_USER = 1 << 2,
};
#define TCG_SHADOW_NO_EXEC (1ull << 63)

/* Nothing is present any more. */
void tcg_shadow_clear(struct tcg_shadow *s);

/* Makes the page, or with large the 2 MiB around it, present. False: out of tables. */
bool tcg_shadow_set(struct tcg_shadow *s, uint64_t gva, uint64_t flags, bool large);

/* Makes what holds gva absent: a page, or 2 MiB when it was set so. False: nothing was there. */
bool tcg_shadow_unset(struct tcg_shadow *s, uint64_t gva);

/* The flags gva is present with: 0. -ENOENT when it is not. */
int tcg_shadow_get(const struct tcg_shadow *s, uint64_t gva, uint64_t *flags);

#endif
