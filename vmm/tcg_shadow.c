// SPDX-License-Identifier: ISC
/* Permission tables in the shape of four-level page tables, SDM 3A 4.5. Knows no CPU. */
#include "tcg_shadow.h"

#include <errno.h>
#include <string.h>

enum {
	P = 1 << 0,
	PS = 1 << 7,
	TOP = 3,
	LARGE = 1,               /* the level whose entries map 2 MiB */
	NO_WALK_WRITES = 3 << 5, /* accessed, dirty: the CPU finds them set and writes nothing */
};
#define FLAGS (TCG_SHADOW_WRITE | TCG_SHADOW_USER | TCG_SHADOW_NO_EXEC)

static unsigned index_at(uint64_t gva, int level)
{
	return gva >> (12 + 9 * level) & (TCG_SHADOW_ENTRIES - 1);
}

static uint64_t *table_of(const struct tcg_shadow *s, uint64_t entry)
{
	return s->tables[((entry & 0x000ffffffffff000) - s->base) / TCG_SHADOW_PAGE];
}

void tcg_shadow_clear(struct tcg_shadow *s)
{
	memset(s->tables[0], 0, sizeof(s->tables[0]));
	s->used = 1;
}

static bool add_table(struct tcg_shadow *s, uint64_t *entry)
{
	if (s->used >= s->n_tables)
		return false;
	memset(s->tables[s->used], 0, sizeof(s->tables[0]));
	*entry = (s->base + s->used * TCG_SHADOW_PAGE) | P | TCG_SHADOW_WRITE | TCG_SHADOW_USER |
		 NO_WALK_WRITES;
	s->used++;
	return true;
}

bool tcg_shadow_set(struct tcg_shadow *s, uint64_t gva, uint64_t flags, bool large)
{
	uint64_t *table = s->tables[0], *entry;
	int last = large ? LARGE : 0;

	for (int level = TOP; level > last; level--) {
		entry = &table[index_at(gva, level)];
		/* A large entry in the way is replaced: its other pages come back by themselves. */
		if ((!(*entry & P) || *entry & PS) && !add_table(s, entry))
			return false;
		table = table_of(s, *entry);
	}
	table[index_at(gva, last)] = P | NO_WALK_WRITES | (large ? PS : 0) | (flags & FLAGS);
	return true;
}

static uint64_t *find(const struct tcg_shadow *s, uint64_t gva)
{
	uint64_t *table = s->tables[0], *entry = NULL;

	for (int level = TOP; level >= 0; level--) {
		entry = &table[index_at(gva, level)];
		if (!(*entry & P))
			return NULL;
		if (*entry & PS)
			break;
		if (level)
			table = table_of(s, *entry);
	}
	return entry;
}

bool tcg_shadow_unset(struct tcg_shadow *s, uint64_t gva)
{
	uint64_t *entry = find(s, gva);

	if (entry)
		*entry = 0;
	return entry != NULL;
}

int tcg_shadow_get(const struct tcg_shadow *s, uint64_t gva, uint64_t *flags)
{
	const uint64_t *entry = find(s, gva);

	if (!entry)
		return -ENOENT;
	*flags = *entry & FLAGS;
	return 0;
}
