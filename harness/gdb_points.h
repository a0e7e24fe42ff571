/* SPDX-License-Identifier: ISC */
/* The breakpoints and watchpoints gdb has set: a list, and what of it a backend is to stop for. */
#ifndef GDB_POINTS_H
#define GDB_POINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend.h"
#include "gdb_target.h"

struct gdb_points {
	uint32_t exceptions;    /* to stop at: a bit per vector */
	struct gdb_point *list; /* codes are their own */
	size_t n;
	/* Of the list, for the backend. */
	uint64_t *breaks;
	size_t n_breaks;
	struct vcpu_watch *watches;
	size_t n_watches;
};

/* A copy; one of the same kind, address and length is replaced. 0 or -ENOMEM, and then nothing has changed. */
int gdb_points_insert(struct gdb_points *points, const struct gdb_point *p);
void gdb_points_remove(
	struct gdb_points *points, enum gdb_point_kind kind, uint64_t addr, uint64_t len);
/* All of them; takes zeroed ones. */
void gdb_points_clear(struct gdb_points *points);
/* What a backend is to stop for: borrowed until the next change. */
struct vcpu_debug gdb_points_debug(const struct gdb_points *points);
/* From index `from` on, the next breakpoint at this address; NULL. */
const struct gdb_point *gdb_points_break_at(
	const struct gdb_points *points, uint64_t addr, size_t from);
/* The watchpoint that a backend's report means: an access at addr, of this kind. NULL. */
const struct gdb_point *gdb_points_watch_at(
	const struct gdb_points *points, uint64_t addr, bool write);

#endif
