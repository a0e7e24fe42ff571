// SPDX-License-Identifier: ISC
/* Breakpoints and watchpoints: few, so a list serves. */
#include "gdb_points.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_watch(const struct gdb_point *p)
{
	return p->kind >= GDB_WATCH_WRITE;
}

static void codes_free(struct gdb_code *codes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free((void *)(uintptr_t)codes[i].bytes);
}

static void point_finish(struct gdb_point *p)
{
	codes_free(p->conditions, p->n_conditions);
	codes_free(p->commands, p->n_commands);
}

static bool codes_copy(struct gdb_code *to, size_t *n_to, const struct gdb_code *from, size_t n)
{
	for (*n_to = 0; *n_to < n; ++*n_to) {
		uint8_t *bytes = malloc(from[*n_to].len + 1);

		if (!bytes)
			return false;
		memcpy(bytes, from[*n_to].bytes, from[*n_to].len);
		to[*n_to] = (struct gdb_code){ bytes, from[*n_to].len };
	}
	return true;
}

static bool point_copy(struct gdb_point *to, const struct gdb_point *from)
{
	*to = (struct gdb_point){ .kind = from->kind, .addr = from->addr, .len = from->len };
	if (codes_copy(to->conditions, &to->n_conditions, from->conditions, from->n_conditions) &&
		codes_copy(to->commands, &to->n_commands, from->commands, from->n_commands))
		return true;
	point_finish(to);
	return false;
}

static struct gdb_point *find(
	struct gdb_points *points, enum gdb_point_kind kind, uint64_t addr, uint64_t len)
{
	for (size_t i = 0; i < points->n; i++) {
		struct gdb_point *p = &points->list[i];

		if (p->kind == kind && p->addr == addr && (p->len == len || !is_watch(p)))
			return p;
	}
	return NULL;
}

/* Room for n points in all three lists. */
static bool make_room(struct gdb_points *points, size_t n)
{
	struct gdb_point *list = realloc(points->list, n * sizeof(*list));
	uint64_t *breaks;
	struct vcpu_watch *watches;

	if (list)
		points->list = list;
	breaks = realloc(points->breaks, n * sizeof(*breaks));
	if (breaks)
		points->breaks = breaks;
	watches = realloc(points->watches, n * sizeof(*watches));
	if (watches)
		points->watches = watches;
	return list && breaks && watches;
}

/* Once per address, though a soft and a hard one may be there. */
static void add_break(struct gdb_points *points, uint64_t addr)
{
	for (size_t i = 0; i < points->n_breaks; i++)
		if (points->breaks[i] == addr)
			return;
	points->breaks[points->n_breaks++] = addr;
}

static void list_anew(struct gdb_points *points)
{
	points->n_breaks = points->n_watches = 0;
	for (size_t i = 0; i < points->n; i++) {
		const struct gdb_point *p = &points->list[i];

		if (!is_watch(p))
			add_break(points, p->addr);
		else
			points->watches[points->n_watches++] = (struct vcpu_watch){
				.gva = p->addr,
				.len = p->len,
				.on_read = p->kind != GDB_WATCH_WRITE,
				.on_write = p->kind != GDB_WATCH_READ,
			};
	}
}

int gdb_points_insert(struct gdb_points *points, const struct gdb_point *p)
{
	struct gdb_point *old = find(points, p->kind, p->addr, p->len), copy;

	if (!old && !make_room(points, points->n + 1))
		return -ENOMEM;
	if (!point_copy(&copy, p))
		return -ENOMEM;
	if (old)
		point_finish(old);
	else
		old = &points->list[points->n++];
	*old = copy;
	list_anew(points);
	return 0;
}

void gdb_points_remove(
	struct gdb_points *points, enum gdb_point_kind kind, uint64_t addr, uint64_t len)
{
	struct gdb_point *p = find(points, kind, addr, len);

	if (!p)
		return;
	point_finish(p);
	*p = points->list[--points->n];
	list_anew(points);
}

void gdb_points_clear(struct gdb_points *points)
{
	for (size_t i = 0; i < points->n; i++)
		point_finish(&points->list[i]);
	free(points->list);
	free(points->breaks);
	free(points->watches);
	*points = (struct gdb_points){ 0 };
}

struct vcpu_debug gdb_points_debug(const struct gdb_points *points)
{
	return (struct vcpu_debug){
		.breaks = points->breaks,
		.n_breaks = points->n_breaks,
		.watches = points->watches,
		.n_watches = points->n_watches,
		.exceptions = points->exceptions,
	};
}

const struct gdb_point *gdb_points_break_at(
	const struct gdb_points *points, uint64_t addr, size_t from)
{
	for (size_t i = from; i < points->n; i++)
		if (!is_watch(&points->list[i]) && points->list[i].addr == addr)
			return &points->list[i];
	return NULL;
}

const struct gdb_point *gdb_points_watch_at(
	const struct gdb_points *points, uint64_t addr, bool write)
{
	for (size_t i = 0; i < points->n; i++) {
		const struct gdb_point *p = &points->list[i];

		if (is_watch(p) && addr - p->addr < p->len &&
			p->kind != (write ? GDB_WATCH_READ : GDB_WATCH_WRITE))
			return p;
	}
	return NULL;
}
