// SPDX-License-Identifier: ISC
/*
 * Time travel: every place gone to again is what it was when the machine first came by, bit for
 * bit, and backwards the same things stop it that do so forwards.
 */
#include "history.h"

#include <time.h>

#include "history_machine.h"

static const struct {
	const char *guest, *arg;
} guests[] = {
	{ "hello", NULL },
	{ "code", NULL },
	{ "count", "300" },
	{ "fault", "page" },
	{ "fault", "triple" },
};

enum { N_GUESTS = sizeof(guests) / sizeof(guests[0]) };

static void every_place_is_found_again_as_it_was(void)
{
	struct log log = { 0 };
	struct machine m;

	srandom(1);
	for (size_t i = 0; i < N_GUESTS; i++) {
		if (!machine(&m, guests[i].guest, guests[i].arg))
			return;
		step_through(&m, &log, 20000, 37);
		wander(&m, &log, rounds(1000 / N_GUESTS));
		seek_to(&m, &log.at[log.n - 1]);
		seek_to(&m, &log.at[0]);
		CU_ASSERT_EQUAL(back_one(&m), HISTORY_BEGIN);
		finish(&m);
	}
	free(log.at);
}

/* ---- backwards, against what was seen forwards ---- */

static void stops_backwards_where_it_does_forwards(void)
{
	struct log log = { 0 };
	struct machine m;

	srandom(2);
	for (size_t i = 0; i < N_GUESTS; i++) {
		if (!machine(&m, guests[i].guest, guests[i].arg))
			return;
		step_through(&m, &log, 20000, 97);
		for (unsigned turn = 0; turn < rounds(9) && !CU_get_number_of_failures(); turn++) {
			const struct seen *x = &log.at[(size_t)random() % log.n],
					  *y = &log.at[(size_t)random() % log.n];
			uint64_t breaks[] = { x->rip, y->rip };
			struct vcpu_watch watch = { .gva = y->rsp & ~7ull,
				.len = 8,
				.on_write = true,
				.on_read = random() % 2 };
			struct vcpu_debug debug = { .breaks = breaks,
				.n_breaks = (size_t)random() % 3,
				.watches = &watch,
				.n_watches = turn % 3 == 0 };

			if (debug.n_watches)
				mark_watched(&m, &log, &debug);
			back_through(&m, &log, &debug, (size_t)random() % log.n);
			back_through(&m, &log, &debug, log.n - 1);
			for (size_t k = 0; k < log.n; k++)
				log.at[k].watched = false;
		}
		finish(&m);
	}
	free(log.at);
}

/* ---- calls ---- */

/* To the next stop; out of a call that is answered. */
static enum vm_stop_kind run_on(struct machine *m)
{
	enum vm_stop_kind kind = history_run(m->h, &free_run)->kind;

	if (kind == VM_CALL && m->vm->call.answered)
		history_run(m->h, &one_step);
	return kind;
}

/* Forward from stop to stop, and back by the same ones; nobody outside notices. */
static void both_ways(struct machine *m, struct log *log, unsigned which)
{
	unsigned told[3];

	m->vm->hold = hold_all;
	m->vm->hold_ctx = &which;
	log->n = 0;
	see(m, log, true);
	while (run_on(m) == VM_CALL)
		see(m, log, true);
	see(m, log, true);
	CU_ASSERT_EQUAL(m->vm->stop.kind, VM_EXITED);
	told[0] = m->enters;
	told[1] = m->leaves;
	told[2] = m->stops;
	CU_ASSERT_EQUAL(m->stops, 1);
	for (size_t i = log->n - 1; i-- > 1;) {
		CU_ASSERT_EQUAL(
			history_back(m->h, &(struct history_back){ 0 }, &err), HISTORY_STOPPED);
		CU_ASSERT_EQUAL(m->vm->stop.kind, VM_CALL);
		expect(m, &log->at[i], "back to a call");
	}
	CU_ASSERT_EQUAL(history_back(m->h, &(struct history_back){ 0 }, &err), HISTORY_BEGIN);
	expect(m, &log->at[0], "back to the start");
	for (size_t i = 1; i < log->n; i++) {
		run_on(m);
		expect(m, &log->at[i], "forward again");
	}
	for (unsigned i = 0; i < 100; i++)
		seek_to(m, &log->at[(size_t)random() % log->n]);
	CU_ASSERT_EQUAL(told[0], m->enters);
	CU_ASSERT_EQUAL(told[1], m->leaves);
	CU_ASSERT_EQUAL(told[2], m->stops);
}

static void calls_stop_it_both_ways(void)
{
	static const struct {
		const char *backend, *guest, *arg;
	} rows[] = {
		{ "tcg", "code", NULL },
		{ "tcg", "code-v1", NULL },
		{ "tcg", "files", NULL },
		{ "tcg", "args-v1", "word" },
	};
	struct log log = { 0 };
	struct machine m;

	srandom(7);
	for (unsigned i = 0; i < 3 * sizeof(rows) / sizeof(rows[0]); i++) {
		if (machine_on(&m, rows[i / 3].backend, rows[i / 3].guest, rows[i / 3].arg, NULL))
			both_ways(&m, &log, 1 + i % 3);
		if (CU_get_number_of_failures())
			printf("     %s %s\n", rows[i / 3].backend, rows[i / 3].guest);
		finish(&m);
	}
	free(log.at);
}

static void calls_stop_it_both_ways_on_kvm(void)
{
	struct log log = { 0 };
	struct machine m;

	for (unsigned which = 1; which < 4; which++) {
		if (machine_on(&m, "kvm", "hello", NULL, NULL))
			both_ways(&m, &log, which);
		finish(&m);
	}
	free(log.at);
}

/* The answer to this call does not come at first, and somebody wants to look. */
static int64_t answer_late(void *ctx, struct vm *vm, struct hcall *call)
{
	unsigned *late = ctx;

	if (call->seq == 5 && (*late)++ == 0) {
		vm_pause(vm);
		return -EINTR;
	}
	return hcall_answer_row(NULL, vm, call);
}

static void looks_around_while_a_call_waits(void)
{
	struct log log = { 0 };
	struct machine m;
	unsigned late = 0;

	if (!machine(&m, "code", NULL))
		return;
	m.vm->respond = answer_late;
	m.vm->respond_ctx = &late;
	see(&m, &log, true);
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_PAUSED);
	see(&m, &log, true);
	CU_ASSERT_EQUAL(log.at[1].pos.stage, PLACE_ASKED);
	CU_ASSERT_EQUAL(m.enters, 6);
	CU_ASSERT_FALSE(history_in_past(m.h));
	CU_ASSERT_EQUAL(back_one(&m), HISTORY_STOPPED);
	CU_ASSERT_TRUE(history_in_past(m.h));
	CU_ASSERT_EQUAL(history_back(m.h, &(struct history_back){ 0 }, &err), HISTORY_BEGIN);
	expect(&m, &log.at[0], "back");
	seek_to(&m, &log.at[1]);
	CU_ASSERT_EQUAL(late, 1);
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_EXITED);
	CU_ASSERT_EQUAL(late, 2);
	CU_ASSERT_EQUAL(m.enters, m.leaves);
	CU_ASSERT_EQUAL(m.leaves, m.vm->n_calls);
	seek_to(&m, &log.at[1]);
	finish(&m);
	free(log.at);
}

/* ---- how long it takes: CPU time, the least of some tries, so that other programs do not count ---- */

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double least_of(double a, double b)
{
	return a < b ? a : b;
}

/* Printed when it is more. */
static void expect_within(const char *what, double took, double ms)
{
	if (took > ms || getenv("HISTORY_TIMES"))
		printf("     %s: %.2f ms\n", what, took);
	CU_ASSERT(took <= ms);
}

static bool never(void *ctx, struct vm *vm, const struct vm_stop *stop)
{
	(void)ctx, (void)vm, (void)stop;
	return false;
}

/* The least of 20. */
static double ms_for_one_back(struct machine *m)
{
	double least = 1e9;

	for (unsigned k = 0; k < 20; k++) {
		double since = cpu_ms();

		CU_ASSERT_EQUAL(back_one(m), HISTORY_STOPPED);
		least = least_of(least, cpu_ms() - since);
	}
	return least;
}

/* The loop of `count` is two instructions: back by one turn, 5 times; the least time of them. */
static double ms_for_a_turn_back(struct machine *m, const struct vcpu_debug *debug)
{
	struct history_pos then, now;
	double least = 1e9;

	for (unsigned k = 0; k < 5; k++) {
		double since = cpu_ms();

		history_now(m->h, &then);
		CU_ASSERT_EQUAL(history_back(m->h, &(struct history_back){ .debug = debug }, &err),
			HISTORY_STOPPED);
		least = least_of(least, cpu_ms() - since);
		history_now(m->h, &now);
		CU_ASSERT_EQUAL(now.insns + 2, then.insns);
	}
	return least;
}

static void far_and_hot_is_quick(void)
{
	static const struct {
		uint64_t insns;
		double step_ms;
	} rows[] = { { 100000, 20 }, { 20000000, 60 } };
	uint64_t breaks[1];
	const struct vcpu_debug debug = { .breaks = breaks, .n_breaks = 1 };
	const struct history_back to_none = { .debug = &debug, .wanted = never };
	struct history_stat stat;
	struct cpu_regs regs;
	struct machine m;

	for (size_t i = 0; i < 2; i++) {
		if (!machine(&m, "count", "100000000"))
			return;
		history_run(m.h, &(struct vcpu_debug){ .until = rows[i].insns });
		expect_within("one back", ms_for_one_back(&m), rows[i].step_ms);
		backend_get_regs(m.vm->cpu, &regs);
		breaks[0] = regs.rip;
		expect_within(
			"back to a breakpoint of a hot loop", ms_for_a_turn_back(&m, &debug), 1000);
		if (i == 0)
			CU_ASSERT_EQUAL(history_back(m.h, &to_none, &err), HISTORY_BEGIN);
		history_stat(m.h, &stat);
		CU_ASSERT(stat.checkpoints <= 128);
		CU_ASSERT(stat.bytes < 4 << 20);
		finish(&m);
	}
}

/* ---- where instructions are not counted ---- */

static uint64_t hash_regs(struct machine *m)
{
	struct cpu_regs regs = { 0 };

	backend_get_regs(m->vm->cpu, &regs);
	return mix(regs.rip, regs.gpr, sizeof(regs.gpr));
}

/* What is told on one is found on the other: the same registers, behind so many calls and instructions. */
static void places_are_the_same_on_every_backend(void)
{
	struct log log = { 0 };
	struct machine m;
	struct history_pos now;

	if (!machine(&m, "code", NULL))
		return;
	step_through(&m, &log, 20000, 20000);
	for (size_t i = 0; i < log.n; i++) {
		CU_ASSERT_EQUAL(history_seek(m.h, &log.at[i].pos, &err), 0);
		log.at[i].all = hash_regs(&m);
	}
	finish(&m);
	if (!machine_on(&m, "kvm", "code", NULL, NULL))
		return free(log.at);
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_EXITED);
	for (size_t i = 0; i + 1 < log.n && !CU_get_number_of_failures(); i += i % 29 + 1) {
		const struct seen *s = &log.at[i];

		if (s->pos.happened)
			continue;
		CU_ASSERT_EQUAL(history_seek(m.h, &s->pos, &err), 0);
		history_now(m.h, &now);
		CU_ASSERT(now.calls == s->pos.calls && now.insns == s->pos.insns);
		CU_ASSERT_EQUAL(hash_regs(&m), s->all);
		if (!i)
			continue;
		CU_ASSERT_EQUAL(back_one(&m), HISTORY_STOPPED);
		history_now(m.h, &now);
		CU_ASSERT(now.calls == log.at[i - 1].pos.calls &&
			  now.insns == log.at[i - 1].pos.insns);
		CU_ASSERT_EQUAL(hash_regs(&m), log.at[i - 1].all);
	}
	finish(&m);
	free(log.at);
}

static void finds_places_by_steps_on_kvm(void)
{
	struct log log = { 0 };
	struct machine m;
	uint64_t breaks[2];
	struct vcpu_debug debug = { .breaks = breaks, .n_breaks = 2 };
	struct vcpu_watch watch = { .len = 8, .on_write = true };

	if (!machine_on(&m, "kvm", "hello", NULL, NULL))
		return;
	srandom(3);
	step_through(&m, &log, 20000, 37);
	wander(&m, &log, rounds(40));
	for (unsigned turn = 0; turn < rounds(4); turn++) {
		breaks[0] = log.at[(size_t)random() % log.n].rip;
		breaks[1] = log.at[(size_t)random() % log.n].rip;
		back_through(&m, &log, &debug, (size_t)random() % log.n);
	}
	/* And where it writes, which it does often. */
	watch.gva = log.at[log.n / 2].rsp & ~7ull;
	debug = (struct vcpu_debug){ .watches = &watch, .n_watches = 1 };
	if (!backend_set_debug(m.vm->cpu, &debug)) {
		mark_watched(&m, &log, &debug);
		back_through(&m, &log, &debug, log.n / 2 + 40);
		back_through(&m, &log, &debug, log.n - 1);
	}
	finish(&m);
	free(log.at);
}

/* Run forward at full speed, nobody knows how far it is. */
static void finds_out_where_it_is_on_kvm(void)
{
	struct log log = { 0 };
	struct machine m;
	uint64_t at;
	size_t want = 0;

	if (!machine_on(&m, "kvm", "hello", NULL, NULL))
		return;
	step_through(&m, &log, 20000, 37);
	at = log.at[log.n / 2].rip;
	seek_to(&m, &log.at[0]);
	for (size_t i = 1; i < log.n; i++) {
		struct history_pos pos;

		if (log.at[i].rip != at)
			continue;
		want = i;
		history_run(m.h, &(struct vcpu_debug){ .breaks = &at, .n_breaks = 1 });
		CU_ASSERT_EQUAL(m.vm->stop.exit.why, VCPU_BREAKPOINT);
		history_now(m.h, &pos);
		CU_ASSERT_EQUAL(pos.insns, HISTORY_UNKNOWN);
		if (i > log.n / 2)
			break;
	}
	CU_ASSERT(want > 0);
	CU_ASSERT_EQUAL(history_locate(m.h, &err), 0);
	expect(&m, &log.at[want], "located");
	CU_ASSERT_EQUAL(back_one(&m), HISTORY_STOPPED);
	expect(&m, &log.at[want - 1], "one back");
	/* Many calls back, at full speed likewise. */
	for (size_t i = 1; i < 8; i++) {
		struct stops w = { &at, 1, false };

		at = log.at[log.n * i / 8].rip;
		want = last_stop(&log, log.n - 1, &w);
		seek_to(&m, &log.at[log.n - 1]);
		CU_ASSERT_EQUAL(history_back(m.h,
					&(struct history_back){
						.debug = &(struct vcpu_debug){ .breaks = &at,
							.n_breaks = 1 } },
					&err),
			HISTORY_STOPPED);
		CU_ASSERT_EQUAL(history_locate(m.h, &err), 0);
		expect(&m, &log.at[want], "back over calls");
	}
	finish(&m);
	free(log.at);
}

/* ---- interrupts ---- */

/* In place of the guest's own code. */
static bool timer_machine(struct machine *m, uint64_t *handler)
{
	if (!machine(m, "hello", NULL))
		return false;
	*handler = bare_timer_guest(m->vm);
	history_close(m->h);
	CU_ASSERT_EQUAL_FATAL(
		history_open(&m->h, m->vm, &(struct history_options){ .max_bytes = 0 }, &err), 0);
	return true;
}

static void interrupts_come_again_where_they_came(void)
{
	uint64_t handler;
	struct log log = { 0 };
	struct machine m;
	size_t n = 0;

	if (!timer_machine(&m, &handler))
		return;
	srandom(4);
	step_through(&m, &log, 40000, 97);
	for (size_t i = 0; i < log.n; i++)
		n += log.at[i].rip == handler && log.at[i].pos.happened;
	CU_ASSERT(n > 20);
	CU_ASSERT_EQUAL(m.vm->stop.kind, VM_EXITED);
	wander(&m, &log, rounds(300));
	for (unsigned i = 0; i < rounds(20); i++) {
		uint64_t breaks[] = { handler, log.at[(size_t)random() % log.n].rip };

		back_through(&m, &log,
			&(struct vcpu_debug){ .breaks = breaks, .n_breaks = 1 + i % 2 },
			(size_t)random() % log.n);
	}
	finish(&m);
	free(log.at);
}

/* ---- changes ---- */

/* A change is made where the machine stands; before it, and behind it, all is as it was. */
static void changes_are_part_of_it(void)
{
	enum vm_stop_kind end; /* it may not bear what is done to it */
	struct log log = { 0 };
	struct machine m;
	uint64_t gpa;

	if (!machine(&m, "code", NULL))
		return;
	srandom(5);
	gpa = m.vm->mem.gpa + (9 << 20);
	see(&m, &log, true);
	for (unsigned i = 1; m.vm->stop.kind == VM_DEBUG || i == 1; i++) {
		if (i % 500 == 250) {
			change(&m, gpa, i);
			see(&m, &log, true);
		}
		history_run(m.h, &one_step);
		see(&m, &log, i % 40 == 0);
	}
	end = m.vm->stop.kind;
	CU_ASSERT_EQUAL(history_edit(m.h, &err), -EPERM);
	for (unsigned i = 0; i < 200; i++)
		seek_to(&m, &log.at[(size_t)random() % log.n]);
	CU_ASSERT_EQUAL(history_edit(m.h, &err), -EROFS);
	/* Forward from the start, in one go: changes are made on the way. */
	seek_to(&m, &log.at[0]);
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, end);
	expect(&m, &log.at[log.n - 1], "run through changes");
	/* And step by step, back and forth: a change takes no step. */
	for (size_t i = log.n - 1, steps = 0; i > 0 && steps < 1000; steps++) {
		size_t to = i - 1;

		while (to && !history_compare(&log.at[to].pos, &log.at[i].pos))
			to--;
		if (to && log.at[to].pos.edits < log.at[i].pos.edits &&
			log.at[to].pos.insns == log.at[i].pos.insns &&
			log.at[to].pos.calls == log.at[i].pos.calls)
			to--;
		CU_ASSERT_EQUAL(back_one(&m), HISTORY_STOPPED);
		expect(&m, &log.at[to], "back over changes");
		i = to;
	}
	finish(&m);
	free(log.at);
}

/* A change that was made is behind us, though nobody knows how far. */
static void changes_twice_on_kvm(void)
{
	struct log log = { 0 };
	struct machine m;
	uint64_t rips[2];

	if (!machine_on(&m, "kvm", "hello", NULL, NULL))
		return;
	step_through(&m, &log, 20000, 37);
	rips[0] = log.at[log.n / 4].rip;
	rips[1] = log.at[log.n / 2].rip;
	free(log.at);
	finish(&m);
	CU_ASSERT_TRUE_FATAL(machine_on(&m, "kvm", "hello", NULL, NULL));
	for (unsigned i = 0; i < 2; i++) {
		history_run(m.h, &(struct vcpu_debug){ .breaks = &rips[i], .n_breaks = 1 });
		CU_ASSERT_EQUAL(m.vm->stop.exit.why, VCPU_BREAKPOINT);
		CU_ASSERT_FALSE(history_in_past(m.h));
		CU_ASSERT_EQUAL_FATAL(history_edit(m.h, &err), 0);
		put64(&m, m.vm->mem.gpa + (9 << 20), i + 1);
		CU_ASSERT_EQUAL(history_edited(m.h, &err), 0);
	}
	CU_ASSERT_EQUAL(back_one(&m), HISTORY_STOPPED);
	finish(&m);
}

static void goes_on_live_from_the_past_when_told_to(void)
{
	struct log log = { 0 };
	struct machine m;
	struct history_pos end, now;
	unsigned leaves;

	if (!machine(&m, "code", NULL))
		return;
	step_through(&m, &log, 20000, 97);
	leaves = m.leaves;
	seek_to(&m, &log.at[log.n / 2]);
	CU_ASSERT_TRUE(history_in_past(m.h));
	CU_ASSERT_EQUAL(history_fork(m.h, &err), 0);
	CU_ASSERT_FALSE(history_in_past(m.h));
	history_end(m.h, &end);
	history_now(m.h, &now);
	CU_ASSERT_EQUAL(history_compare(&end, &now), 0);
	CU_ASSERT_EQUAL(history_edit(m.h, &err), 0);
	put64(&m, m.vm->mem.gpa + (9 << 20), 77);
	CU_ASSERT_EQUAL(history_edited(m.h, &err), 0);
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_EXITED);
	CU_ASSERT(m.leaves > leaves);
	history_now(m.h, &now);
	seek_to(&m, &log.at[log.n / 3]);
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_EXITED);
	history_now(m.h, &end);
	CU_ASSERT_EQUAL(history_compare(&end, &now), 0);
	finish(&m);
	free(log.at);
}

static int64_t answer_as_usual(void *ctx, struct vm *vm, struct hcall *call)
{
	CU_ASSERT_PTR_EQUAL(vm->respond_ctx, ctx); /* whoever answers finds what is its own */
	return hcall_answer_row(NULL, vm, call);
}

static int rewound(void *ctx, uint64_t call, struct err *e)
{
	(void)e;
	*(uint64_t *)ctx = call;
	return 0;
}

static void who_answers_is_asked_whether_it_can_go_back(void)
{
	struct log log = { 0 };
	struct machine m;
	uint64_t to = 0;

	for (int can = 0; can < 2; can++) {
		if (!machine_on(&m, "tcg", "code", NULL,
			    &(struct history_options){
				    .rewind = can ? rewound : NULL, .rewind_ctx = &to }))
			return;
		m.vm->respond = answer_as_usual;
		m.vm->respond_ctx = &m;
		step_through(&m, &log, 20000, 97);
		seek_to(&m, &log.at[log.n / 2]);
		CU_ASSERT_EQUAL(history_fork(m.h, &err), can ? 0 : -EOPNOTSUPP);
		CU_ASSERT_EQUAL(to, can ? log.at[log.n / 2].pos.calls : 0);
		CU_ASSERT_EQUAL(history_in_past(m.h), !can);
		finish(&m);
	}
	free(log.at);
}

/* ---- limits ---- */

static void takes_no_more_than_it_may(void)
{
	static const size_t limits[] = { 1, 300 << 10, 1 << 20 };
	struct history_stat stat;
	struct history_pos begin;
	struct log log = { 0 };
	struct machine m;

	for (size_t i = 0; i < 3; i++) {
		if (!machine_on(&m, "tcg", "code", NULL,
			    &(struct history_options){
				    .max_bytes = limits[i], .max_checkpoints = 1000 }))
			return;
		history_stat(m.h, &stat);
		CU_ASSERT_EQUAL(stat.checkpoints, 1);
		step_through(&m, &log, 20000, 97);
		history_begin(m.h, &begin);
		srandom(6);
		for (unsigned k = 0; k < 40; k++) {
			size_t at = (size_t)random() % log.n;
			int order = history_compare(&log.at[at].pos, &begin);

			if (order < 0) {
				CU_ASSERT_EQUAL(history_seek(m.h, &log.at[at].pos, &err), -ERANGE);
				continue;
			}
			seek_to(&m, &log.at[at]);
			CU_ASSERT(back_one(&m) >= 0);
			history_stat(m.h, &stat);
			/* The beginning, the middle and the newest are always there. */
			CU_ASSERT(stat.bytes <= limits[i] || stat.checkpoints <= 3);
		}
		finish(&m);
	}
	free(log.at);
}

static bool soon(void *ctx)
{
	unsigned *left = ctx;

	return !(*left && --*left);
}

/* At whatever moment: it is where it was then, and all can be done anew. */
static void can_be_interrupted(void)
{
	unsigned left = 0, n = 0;
	uint64_t breaks[1];
	struct history_pos at, now;
	struct machine m;
	uint64_t hash;
	int r;

	if (!machine_on(&m, "tcg", "count", "4000000",
		    &(struct history_options){ .poll = soon, .poll_ctx = &left }))
		return;
	history_run(m.h, &(struct vcpu_debug){ .until = 3000000 });
	breaks[0] = 1;
	history_now(m.h, &at);
	hash = hash_all(&m);
	for (unsigned allow = 1; allow < 1000; allow += 1 + allow / 4) {
		left = allow;
		r = history_back(m.h,
			&(struct history_back){
				.debug = &(struct vcpu_debug){ .breaks = breaks, .n_breaks = 1 } },
			&err);
		if (r == HISTORY_BEGIN)
			break;
		n++;
		CU_ASSERT_EQUAL(r, -EINTR);
		history_now(m.h, &now);
		CU_ASSERT_EQUAL(history_compare(&now, &at), 0);
		CU_ASSERT_EQUAL(hash_all(&m), hash);
	}
	CU_ASSERT_EQUAL(r, HISTORY_BEGIN);
	CU_ASSERT(n > 2);
	left = 1;
	CU_ASSERT_EQUAL(history_seek(m.h, &at, &err), -EINTR);
	history_begin(m.h, &at);
	history_now(m.h, &now);
	CU_ASSERT_EQUAL(history_compare(&now, &at), 0);
	finish(&m);
}

static void refuses_places_that_are_none(void)
{
	static const struct history_pos none[] = {
		{ .calls = 1000 },
		{ .calls = 1000, .insns = HISTORY_AT_CALL },
		{ .calls = 0, .insns = 1 << 20 },
		{ .calls = 0, .insns = HISTORY_UNKNOWN },
		{ .calls = 0, .insns = 3, .happened = 2 },
		{ .calls = 0, .insns = 3, .stage = PLACE_ASKED },
		{ .calls = 0, .insns = 0, .stage = PLACE_ANSWERED },
		{ .calls = 0, .insns = 3, .stage = PLACE_ENDED },
		{ .calls = 3, .insns = 1, .stage = PLACE_ANSWERED },
	};
	struct machine m;
	struct history_pos at, now;
	uint64_t hash;

	if (!machine(&m, "code", NULL))
		return;
	history_run(m.h, &(struct vcpu_debug){ .until = 4000 });
	history_now(m.h, &at);
	hash = hash_all(&m);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		err.text[0] = 0;
		CU_ASSERT_EQUAL(history_seek(m.h, &none[i], &err), -ERANGE);
		CU_ASSERT(err.text[0]);
		history_now(m.h, &now);
		CU_ASSERT_EQUAL(history_compare(&now, &at), 0);
		CU_ASSERT_EQUAL(hash_all(&m), hash);
	}
	/* By a call's number: at the instruction that makes it. */
	at = (struct history_pos){ .calls = 2, .insns = HISTORY_AT_CALL };
	CU_ASSERT_EQUAL(history_seek(m.h, &at, &err), 0);
	CU_ASSERT_EQUAL(m.vm->n_calls, 2);
	history_run(m.h, &one_step);
	CU_ASSERT_EQUAL(m.vm->n_calls, 3);
	finish(&m);
}

/* A guest that is not what it was gets told so, and the machine is where it was. */
static void says_when_the_guest_does_something_else(void)
{
	struct log log = { 0 };
	struct machine m;

	if (!machine(&m, "code", NULL))
		return;
	step_through(&m, &log, 20000, 97);
	/* Behind everybody's back: what the second call asks for. */
	for (size_t i = 0; i < m.h->journal.n; i++)
		m.h->journal.calls[i].arg += i == 1;
	CU_ASSERT_EQUAL(history_seek(m.h, &log.at[10].pos, &err), 0);
	expect(&m, &log.at[10], "before");
	CU_ASSERT_EQUAL(history_seek(m.h, &log.at[log.n - 1].pos, &err), -EIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "call 1 is another"));
	expect(&m, &log.at[10], "still before");
	finish(&m);
	free(log.at);
}

static const struct unit_case cases[] = {
	{ "every_place_is_found_again_as_it_was", every_place_is_found_again_as_it_was },
	{ "stops_backwards_where_it_does_forwards", stops_backwards_where_it_does_forwards },
	{ "calls_stop_it_both_ways", calls_stop_it_both_ways },
	{ "looks_around_while_a_call_waits", looks_around_while_a_call_waits },
	{ "far_and_hot_is_quick", far_and_hot_is_quick },
	{ "calls_stop_it_both_ways_on_kvm", calls_stop_it_both_ways_on_kvm },
	{ "places_are_the_same_on_every_backend", places_are_the_same_on_every_backend },
	{ "finds_places_by_steps_on_kvm", finds_places_by_steps_on_kvm },
	{ "finds_out_where_it_is_on_kvm", finds_out_where_it_is_on_kvm },
	{ "changes_twice_on_kvm", changes_twice_on_kvm },
	{ "interrupts_come_again_where_they_came", interrupts_come_again_where_they_came },
	{ "changes_are_part_of_it", changes_are_part_of_it },
	{ "goes_on_live_from_the_past_when_told_to", goes_on_live_from_the_past_when_told_to },
	{ "who_answers_is_asked_whether_it_can_go_back",
		who_answers_is_asked_whether_it_can_go_back },
	{ "takes_no_more_than_it_may", takes_no_more_than_it_may },
	{ "can_be_interrupted", can_be_interrupted },
	{ "refuses_places_that_are_none", refuses_places_that_are_none },
	{ "says_when_the_guest_does_something_else", says_when_the_guest_does_something_else },
};

UNIT_MAIN("history", cases)
