// SPDX-License-Identifier: ISC
/* Breakpoints and watchpoints: what is set is found, what is replaced or removed is gone, what a backend is told is all of it. */
#include "gdb_points.h"

#include <errno.h>
#include <stdlib.h>

#include "heap.h"
#include "unit.h"

static void set(struct gdb_points *points, enum gdb_point_kind kind, uint64_t addr, uint64_t len)
{
	CU_ASSERT(!gdb_points_insert(
		points, &(struct gdb_point){ .kind = kind, .addr = addr, .len = len }));
}

/* More than there is can be asked of sanitizers, too. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void finds_what_is_set(void)
{
	struct gdb_points points = { 0 };
	const struct gdb_point *p;

	CU_ASSERT_PTR_NULL(gdb_points_break_at(&points, 0x1000, 0));
	set(&points, GDB_BREAK_SOFT, 0x1000, 1);
	set(&points, GDB_BREAK_HARD, 0x1000, 1);
	set(&points, GDB_BREAK_SOFT, 0, 1);
	set(&points, GDB_BREAK_SOFT, UINT64_MAX, 1);
	set(&points, GDB_WATCH_WRITE, 0x1000, 1);
	p = gdb_points_break_at(&points, 0x1000, 0);
	CU_ASSERT(p && p == &points.list[0] && p->kind == GDB_BREAK_SOFT);
	p = gdb_points_break_at(&points, 0x1000, 1);
	CU_ASSERT(p && p == &points.list[1] && p->kind == GDB_BREAK_HARD);
	CU_ASSERT_PTR_NULL(gdb_points_break_at(&points, 0x1000, 2));
	CU_ASSERT_PTR_NOT_NULL(gdb_points_break_at(&points, 0, 0));
	CU_ASSERT_PTR_NOT_NULL(gdb_points_break_at(&points, UINT64_MAX, 0));
	CU_ASSERT_PTR_NULL(gdb_points_break_at(&points, 0x1001, 0));
	gdb_points_clear(&points);
	CU_ASSERT_PTR_NULL(gdb_points_break_at(&points, 0x1000, 0));
	gdb_points_clear(&points);
}

static void a_watch_means_accesses_of_its_kind(void)
{
	static const struct {
		enum gdb_point_kind kind;
		bool read, write;
	} rows[] = {
		{ GDB_WATCH_WRITE, false, true },
		{ GDB_WATCH_READ, true, false },
		{ GDB_WATCH_ACCESS, true, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct gdb_points points = { 0 };
		struct vcpu_debug debug;

		set(&points, rows[i].kind, 0x1000, 8);
		for (uint64_t addr = 0xfff; addr <= 0x1008; addr++) {
			bool in = addr >= 0x1000 && addr < 0x1008;

			CU_ASSERT(!gdb_points_watch_at(&points, addr, false) ==
				  !(in && rows[i].read));
			CU_ASSERT(!gdb_points_watch_at(&points, addr, true) ==
				  !(in && rows[i].write));
		}
		debug = gdb_points_debug(&points);
		CU_ASSERT(debug.n_breaks == 0 && debug.n_watches == 1 && !debug.step);
		if (debug.n_watches) {
			CU_ASSERT(debug.watches[0].gva == 0x1000 && debug.watches[0].len == 8);
			CU_ASSERT(debug.watches[0].on_read == rows[i].read);
			CU_ASSERT(debug.watches[0].on_write == rows[i].write);
		}
		CU_ASSERT_PTR_NULL(gdb_points_break_at(&points, 0x1000, 0));
		gdb_points_clear(&points);
	}
}

static void a_backend_is_told_each_address_once(void)
{
	struct gdb_points points = { 0 };
	struct vcpu_debug debug;

	set(&points, GDB_BREAK_SOFT, 0x1000, 1);
	set(&points, GDB_BREAK_HARD, 0x1000, 1);
	set(&points, GDB_BREAK_SOFT, 0x1000, 4); /* the length of a breakpoint means nothing */
	set(&points, GDB_BREAK_SOFT, 0x2000, 1);
	debug = gdb_points_debug(&points);
	CU_ASSERT(points.n == 3 && debug.n_breaks == 2);
	CU_ASSERT(debug.n_breaks > 1 && debug.breaks[0] == 0x1000 && debug.breaks[1] == 0x2000);
	gdb_points_remove(&points, GDB_BREAK_SOFT, 0x1000, 9);
	debug = gdb_points_debug(&points);
	CU_ASSERT(points.n == 2 && debug.n_breaks == 2);
	gdb_points_remove(&points, GDB_BREAK_HARD, 0x1000, 1);
	debug = gdb_points_debug(&points);
	CU_ASSERT(debug.n_breaks == 1 && debug.breaks[0] == 0x2000);
	gdb_points_remove(&points, GDB_BREAK_HARD, 0x2000, 1);
	CU_ASSERT(gdb_points_debug(&points).n_breaks == 1);
	gdb_points_remove(&points, GDB_BREAK_SOFT, 0x2000, 1);
	CU_ASSERT(gdb_points_debug(&points).n_breaks == 0);
	gdb_points_clear(&points);
}

static void watches_of_other_lengths_are_others(void)
{
	struct gdb_points points = { 0 };

	set(&points, GDB_WATCH_WRITE, 0x1000, 4);
	set(&points, GDB_WATCH_WRITE, 0x1000, 8);
	set(&points, GDB_WATCH_WRITE, 0x1000, 8);
	CU_ASSERT(points.n == 2 && gdb_points_debug(&points).n_watches == 2);
	gdb_points_remove(&points, GDB_WATCH_WRITE, 0x1000, 2);
	gdb_points_remove(&points, GDB_WATCH_READ, 0x1000, 4);
	CU_ASSERT(points.n == 2);
	gdb_points_remove(&points, GDB_WATCH_WRITE, 0x1000, 8);
	CU_ASSERT(points.n == 1 && points.list[0].len == 4);
	CU_ASSERT_PTR_NULL(gdb_points_watch_at(&points, 0x1004, true));
	gdb_points_clear(&points);
}

static void codes_are_its_own_and_replaced(void)
{
	uint8_t code[] = { 1, 2, 3 };
	struct gdb_point p = { .kind = GDB_BREAK_SOFT, .addr = 0x1000, .len = 1 };
	struct gdb_points points = { 0 };
	const struct gdb_point *got;

	p.conditions[p.n_conditions++] = (struct gdb_code){ code, 3 };
	p.conditions[p.n_conditions++] = (struct gdb_code){ code, 0 };
	p.commands[p.n_commands++] = (struct gdb_code){ code + 1, 2 };
	CU_ASSERT(!gdb_points_insert(&points, &p));
	memset(code, 9, sizeof(code));
	got = gdb_points_break_at(&points, 0x1000, 0);
	if (!got || got->n_conditions != 2 || got->n_commands != 1) {
		CU_FAIL("not as it was set");
		return gdb_points_clear(&points);
	}
	CU_ASSERT(got->conditions[0].len == 3 && !memcmp(got->conditions[0].bytes, "\1\2\3", 3));
	CU_ASSERT(got->conditions[1].len == 0);
	CU_ASSERT(got->commands[0].len == 2 && !memcmp(got->commands[0].bytes, "\2\3", 2));
	set(&points, GDB_BREAK_SOFT, 0x1000, 1);
	got = gdb_points_break_at(&points, 0x1000, 0);
	CU_ASSERT(points.n == 1 && got && got->n_conditions == 0 && got->n_commands == 0);
	gdb_points_clear(&points);
}

static void there_may_be_many(void)
{
	enum { MANY = 1000 };
	struct gdb_points points = { 0 };

	for (uint64_t i = 0; i < MANY; i++)
		set(&points, i % 2 ? GDB_BREAK_SOFT : GDB_WATCH_ACCESS, 0x1000 + 8 * i, 8);
	CU_ASSERT(gdb_points_debug(&points).n_breaks == MANY / 2);
	CU_ASSERT(gdb_points_debug(&points).n_watches == MANY / 2);
	for (uint64_t i = 0; i < MANY; i += 2)
		gdb_points_remove(&points, GDB_WATCH_ACCESS, 0x1000 + 8 * i, 8);
	CU_ASSERT(gdb_points_debug(&points).n_watches == 0);
	for (uint64_t i = 0; i < MANY; i++)
		CU_ASSERT(!gdb_points_break_at(&points, 0x1000 + 8 * i, 0) == !(i % 2));
	gdb_points_clear(&points);
	CU_ASSERT(gdb_points_debug(&points).n_breaks == 0);
}

/* The second and the third of several are found, too. */
static void the_last_is_as_good_as_the_first(void)
{
	struct gdb_points points = { 0 };

	set(&points, GDB_BREAK_SOFT, 0x1000, 1);
	set(&points, GDB_BREAK_SOFT, 0x2000, 1);
	set(&points, GDB_BREAK_SOFT, 0x3000, 1);
	set(&points, GDB_BREAK_HARD, 0x3000, 1);
	set(&points, GDB_WATCH_WRITE, 0x1000, 8);
	set(&points, GDB_WATCH_WRITE, 0x2000, 8);
	set(&points, GDB_WATCH_WRITE, 0x3000, 8);
	CU_ASSERT_EQUAL(gdb_points_debug(&points).n_breaks, 3);
	CU_ASSERT_PTR_EQUAL(gdb_points_watch_at(&points, 0x3004, true), &points.list[6]);
	CU_ASSERT_PTR_NULL(gdb_points_watch_at(&points, 0x4000, true));
	gdb_points_clear(&points);
}

/* A point with as many conditions and commands as there may be. */
static struct gdb_point with_codes(enum gdb_point_kind kind, uint64_t addr)
{
	static const uint8_t code[100] = { 0x27 };
	struct gdb_point p = { .kind = kind,
		.addr = addr,
		.len = 8,
		.n_conditions = GDB_CODES_MAX,
		.n_commands = GDB_CODES_MAX };

	for (size_t i = 0; i < GDB_CODES_MAX; i++)
		p.conditions[i] = p.commands[i] = (struct gdb_code){ code, sizeof(code) };
	return p;
}

static void use(struct gdb_points *points)
{
	struct gdb_point p;

	for (unsigned i = 0; i < 4; i++) {
		p = with_codes(i % 2 ? GDB_BREAK_SOFT : GDB_WATCH_READ, 0x1000 * i);
		CU_ASSERT(!gdb_points_insert(points, &p));
		CU_ASSERT(!gdb_points_insert(points, &p)); /* in its place */
	}
	gdb_points_remove(points, p.kind, p.addr, p.len);
	points->exceptions = 1 << 14;
}

static void nothing_is_left_behind(void)
{
	struct gdb_points points = { 0 };
	size_t before = 0;

	for (unsigned i = 0; i < 20; i++) {
		use(&points);
		gdb_points_clear(&points);
		CU_ASSERT_EQUAL(gdb_points_debug(&points).exceptions, 0);
		if (i == 9)
			before = heap();
	}
	CU_ASSERT_EQUAL(heap(), before);
}

/* What there is no room for changes nothing. */
static void too_much_is_refused_whole(void)
{
	struct gdb_points points = { 0 };
	struct gdb_point p = with_codes(GDB_BREAK_SOFT, 0x1000), q = p;
	const struct gdb_point *got;
	size_t before = 0;

	CU_ASSERT(!gdb_points_insert(&points, &p));
	for (unsigned i = 0; i < 4; i++) {
		q = p;
		q.conditions[1].len = SIZE_MAX / 2;
		CU_ASSERT_EQUAL(gdb_points_insert(&points, &q), -ENOMEM);
		q = p;
		q.commands[1].len = SIZE_MAX / 2;
		CU_ASSERT_EQUAL(gdb_points_insert(&points, &q), -ENOMEM);
		if (i == 1)
			before = heap();
	}
	CU_ASSERT_EQUAL(heap(), before);
	got = gdb_points_break_at(&points, 0x1000, 0);
	CU_ASSERT(points.n == 1 && got && got->n_conditions == p.n_conditions &&
		  got->n_commands == p.n_commands);
	q.addr = 0x2000;
	CU_ASSERT_EQUAL(gdb_points_insert(&points, &q), -ENOMEM);
	CU_ASSERT(points.n == 1 && !gdb_points_break_at(&points, 0x2000, 0));
	CU_ASSERT_EQUAL(gdb_points_debug(&points).n_breaks, 1);
	gdb_points_clear(&points);
}

static const struct unit_case cases[] = {
	{ "finds_what_is_set", finds_what_is_set },
	{ "a_watch_means_accesses_of_its_kind", a_watch_means_accesses_of_its_kind },
	{ "a_backend_is_told_each_address_once", a_backend_is_told_each_address_once },
	{ "watches_of_other_lengths_are_others", watches_of_other_lengths_are_others },
	{ "codes_are_its_own_and_replaced", codes_are_its_own_and_replaced },
	{ "there_may_be_many", there_may_be_many },
	{ "the_last_is_as_good_as_the_first", the_last_is_as_good_as_the_first },
	{ "nothing_is_left_behind", nothing_is_left_behind },
	{ "too_much_is_refused_whole", too_much_is_refused_whole },
};
UNIT_MAIN("gdb_points", cases)
