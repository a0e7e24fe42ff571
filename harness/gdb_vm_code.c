// SPDX-License-Identifier: ISC
/*
 * Code that the guest writes over where a breakpoint is: the debugger is told so, once for each, when the guest stops next. A
 * breakpoint stays where it was, which may be in the middle of an instruction now.
 */
#include <inttypes.h>
#include <string.h>

#include "gdb_vm_parts.h"

static struct gdb_seen *find(struct gdb_vm *g, uint64_t addr)
{
	for (size_t i = 0; i < g->n_seen; i++)
		if (g->seen[i].addr == addr)
			return &g->seen[i];
	if (g->n_seen == GDB_SEEN_MAX)
		return NULL;
	g->seen[g->n_seen] = (struct gdb_seen){ .addr = addr };
	return &g->seen[g->n_seen++];
}

void gdb_vm_see_code(struct gdb_vm *g)
{
	struct gdb_seen *s;

	for (size_t i = 0; i < g->points.n_breaks; i++) {
		s = find(g, g->points.breaks[i]);
		if (s && !s->told)
			s->there = gdb_vm_read(g, false, s->addr, s->bytes, sizeof(s->bytes)) ==
				   sizeof(s->bytes);
	}
}

void gdb_vm_tell_code(struct gdb_vm *g)
{
	uint8_t now[sizeof(g->seen->bytes)];
	struct gdb_seen *s;
	char text[100];
	int n;

	for (size_t i = 0; i < g->points.n_breaks; i++) {
		s = find(g, g->points.breaks[i]);
		if (!s || s->told || !s->there ||
			gdb_vm_read(g, false, s->addr, now, sizeof(now)) != sizeof(now) ||
			!memcmp(now, s->bytes, sizeof(now)))
			continue;
		s->told = true;
		n = snprintf(text, sizeof(text),
			"The guest has written over the code of the breakpoint at 0x%" PRIx64 ".\n",
			s->addr);
		g->link.say(g->link.ctx, text, (size_t)n);
	}
}
