// SPDX-License-Identifier: ISC
/* The local APIC: priorities, the timer in its modes, and what a guest may do to the registers. */
#include "lapic.h"

#include "unit.h"

enum {
	ENABLE = 0x1ff, /* for the spurious vector register */
	MASKED = 1 << 16,
	PERIODIC = 1 << 17,
	SELF = 1 << 18,
	BY_1 = 0xb,
	BY_8 = 2,
	VECTOR = 0x7b,
};

static void enabled(struct lapic *l)
{
	lapic_reset(l, 0);
	lapic_write(l, LAPIC_SVR, ENABLE, 0);
}

static void send(struct lapic *l, unsigned vector)
{
	lapic_write(l, LAPIC_ICR, SELF | vector, 0);
}

static void starts_disabled_and_masked(void)
{
	struct lapic l;

	lapic_reset(&l, 3);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_ID, 0), 3u << 24);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_VERSION, 0), 0x50014);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_SVR, 0), 0xff);
	for (uint32_t lvt = LAPIC_LVT_TIMER; lvt <= LAPIC_LVT_LAST; lvt += 16)
		CU_ASSERT_EQUAL(lapic_read(&l, lvt, 0), MASKED);
	send(&l, VECTOR);
	CU_ASSERT_EQUAL(lapic_pending(&l), -1);
	CU_ASSERT_EQUAL(lapic_deadline(&l), LAPIC_NEVER);
	/* A mask bit cannot be cleared while it is disabled. */
	lapic_write(&l, LAPIC_LVT_TIMER, VECTOR, 0);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_LVT_TIMER, 0), MASKED | VECTOR);
}

static void keeps_only_the_bits_a_register_has(void)
{
	static const struct {
		uint32_t offset, written, read;
	} rows[] = {
		{ LAPIC_ID, ~0u, 0xff000000 },
		{ LAPIC_VERSION, ~0u, 0x50014 },
		{ LAPIC_TPR, ~0u, 0xff },
		{ LAPIC_LDR, ~0u, 0xff000000 },
		{ LAPIC_DFR, 0, 0x0fffffff },
		{ LAPIC_SVR, ~0u, 0x3ff },
		{ LAPIC_LVT_TIMER, ~0u, 0x310ff },
		{ LAPIC_TIMER_DIVIDE, ~0u, 0xb },
		{ LAPIC_ISR, ~0u, 0 },
		{ LAPIC_IRR + 0x10, ~0u, 0 },
		{ LAPIC_EOI, ~0u, 0 },
		{ 0x3f0, ~0u, 0 },
		{ 0, ~0u, 0 },
		{ 0x400, ~0u, 0 },
		{ 0xff0, ~0u, 0 },
		{ LAPIC_SVR + 4, ~0u, 0 },
		{ LAPIC_TPR + 1, ~0u, 0 },
		{ LAPIC_PAGE_SIZE, ~0u, 0 },
		{ ~0u - 15, ~0u, 0 },
	};
	struct lapic l;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enabled(&l);
		lapic_write(&l, rows[i].offset, rows[i].written, 0);
		CU_ASSERT_EQUAL(lapic_read(&l, rows[i].offset, 0), rows[i].read);
	}
}

static void gives_the_highest_first_and_waits_for_the_end(void)
{
	struct lapic l;

	enabled(&l);
	send(&l, 0x41);
	send(&l, 0x93);
	send(&l, 0x95);
	CU_ASSERT_EQUAL(lapic_pending(&l), 0x95);
	lapic_accept(&l, 0x95);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_PPR, 0), 0x90);
	CU_ASSERT_EQUAL(lapic_pending(&l), -1); /* 0x93 is of the same class */
	send(&l, 0xa0);
	CU_ASSERT_EQUAL(lapic_pending(&l), 0xa0);
	lapic_accept(&l, 0xa0);
	lapic_write(&l, LAPIC_EOI, 0, 0);
	CU_ASSERT_EQUAL(lapic_pending(&l), -1);
	lapic_write(&l, LAPIC_EOI, 0, 0);
	CU_ASSERT_EQUAL(lapic_pending(&l), 0x93);
	lapic_accept(&l, 0x93);
	lapic_write(&l, LAPIC_EOI, 0, 0);
	CU_ASSERT_EQUAL(lapic_pending(&l), 0x41);
	lapic_accept(&l, 0x41);
	lapic_write(&l, LAPIC_EOI, 0, 0);
	lapic_write(&l, LAPIC_EOI, 0, 0); /* once too often */
	CU_ASSERT_EQUAL(lapic_pending(&l), -1);
}

static void shows_requests_and_service_bit_by_bit(void)
{
	struct lapic l;

	enabled(&l);
	send(&l, VECTOR);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_IRR + 0x30, 0), 1u << 27);
	lapic_accept(&l, VECTOR);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_IRR + 0x30, 0), 0);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_ISR + 0x30, 0), 1u << 27);
}

static void holds_back_what_the_task_priority_covers(void)
{
	struct lapic l;

	enabled(&l);
	send(&l, VECTOR);
	lapic_set_cr8(&l, 7);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_TPR, 0), 0x70);
	CU_ASSERT_EQUAL(lapic_pending(&l), -1);
	lapic_write(&l, LAPIC_TPR, 0x6f, 0);
	CU_ASSERT_EQUAL(lapic_get_cr8(&l), 6);
	CU_ASSERT_EQUAL(lapic_pending(&l), VECTOR);
}

static void sends_only_to_itself(void)
{
	static const struct {
		uint32_t high, low;
		int pending;
	} rows[] = {
		{ 0, VECTOR, VECTOR }, { 0xff000000, VECTOR, VECTOR }, { 1u << 24, VECTOR, -1 },
		{ 1u << 24, 1 << 18 | VECTOR, VECTOR }, { 0, 2 << 18 | VECTOR, VECTOR },
		{ 0, 3 << 18 | VECTOR, -1 },     /* all but itself */
		{ 0, 1 << 18 | 5 << 8 | 0, -1 }, /* INIT */
		{ 0, 1 << 18 | 15, -1 },         /* no such vector */
	};
	struct lapic l;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enabled(&l);
		lapic_write(&l, LAPIC_ICR_HIGH, rows[i].high, 0);
		lapic_write(&l, LAPIC_ICR, rows[i].low, 0);
		CU_ASSERT_EQUAL(lapic_pending(&l), rows[i].pending);
	}
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_ESR, 0), 1 << 5);
	lapic_write(&l, LAPIC_ESR, 0, 0);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_ESR, 0), 0);
}

static void start_timer(
	struct lapic *l, uint32_t lvt, uint32_t divide, uint32_t count, uint64_t now)
{
	enabled(l);
	lapic_write(l, LAPIC_TIMER_DIVIDE, divide, now);
	lapic_write(l, LAPIC_LVT_TIMER, lvt, now);
	lapic_write(l, LAPIC_TIMER_INITIAL, count, now);
}

static void fires_once(void)
{
	struct lapic l;

	start_timer(&l, VECTOR, BY_8, 1000, 500);
	CU_ASSERT_EQUAL(lapic_deadline(&l), 8500);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_TIMER_CURRENT, 500), 1000);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_TIMER_CURRENT, 508), 999);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_TIMER_CURRENT, 8499), 1);
	lapic_advance(&l, 8499);
	CU_ASSERT_EQUAL(lapic_pending(&l), -1);
	lapic_advance(&l, 8500);
	CU_ASSERT_EQUAL(lapic_pending(&l), VECTOR);
	CU_ASSERT_EQUAL(lapic_deadline(&l), LAPIC_NEVER);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_TIMER_CURRENT, 9000), 0);
}

static void fires_again_and_again(void)
{
	struct lapic l;

	start_timer(&l, PERIODIC | VECTOR, BY_1, 100, 0);
	lapic_advance(&l, 100);
	CU_ASSERT_EQUAL(lapic_pending(&l), VECTOR);
	lapic_accept(&l, VECTOR);
	lapic_write(&l, LAPIC_EOI, 0, 110);
	CU_ASSERT_EQUAL(lapic_deadline(&l), 200);
	/* Turns that were slept through come as one. */
	lapic_advance(&l, 1050);
	CU_ASSERT_EQUAL(lapic_pending(&l), VECTOR);
	lapic_accept(&l, VECTOR);
	lapic_write(&l, LAPIC_EOI, 0, 1051);
	CU_ASSERT_EQUAL(lapic_pending(&l), -1);
	CU_ASSERT_EQUAL(lapic_deadline(&l), 1100);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_TIMER_CURRENT, 1060), 40);
}

static void divides_as_configured(void)
{
	static const uint32_t values[] = { 0xb, 0, 1, 2, 3, 8, 9, 0xa };
	struct lapic l;

	for (unsigned i = 0; i < 8; i++) {
		start_timer(&l, VECTOR, values[i], 1, 0);
		CU_ASSERT_EQUAL(lapic_deadline(&l), 1ull << i);
	}
}

static void keeps_the_count_when_the_divisor_changes(void)
{
	struct lapic l;

	start_timer(&l, VECTOR, BY_8, 100, 0);
	lapic_write(&l, LAPIC_TIMER_DIVIDE, BY_1, 400);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_TIMER_CURRENT, 400), 50);
	CU_ASSERT_EQUAL(lapic_deadline(&l), 450);
}

static void counts_but_stays_silent_when_masked(void)
{
	struct lapic l;

	start_timer(&l, MASKED | VECTOR, BY_1, 100, 0);
	CU_ASSERT_EQUAL(lapic_deadline(&l), LAPIC_NEVER);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_TIMER_CURRENT, 30), 70);
	lapic_advance(&l, 200);
	CU_ASSERT_EQUAL(lapic_pending(&l), -1);
	lapic_write(&l, LAPIC_LVT_TIMER, VECTOR, 200);
	CU_ASSERT_EQUAL(lapic_pending(&l), -1);
}

static void stops_when_zero_is_written(void)
{
	struct lapic l;

	start_timer(&l, VECTOR, BY_1, 100, 0);
	lapic_write(&l, LAPIC_TIMER_INITIAL, 0, 50);
	CU_ASSERT_EQUAL(lapic_deadline(&l), LAPIC_NEVER);
	lapic_advance(&l, 1000);
	CU_ASSERT_EQUAL(lapic_pending(&l), -1);
}

static void raises_what_is_due_before_a_write(void)
{
	struct lapic l;

	start_timer(&l, VECTOR, BY_1, 100, 0);
	lapic_write(&l, LAPIC_LVT_TIMER, MASKED | VECTOR, 150);
	CU_ASSERT_EQUAL(lapic_pending(&l), VECTOR);
}

static void takes_the_longest_count(void)
{
	struct lapic l;

	start_timer(&l, PERIODIC | VECTOR, 0xa, ~0u, 1000);
	CU_ASSERT_EQUAL(lapic_deadline(&l), 1000 + 128ull * ~0u);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_TIMER_CURRENT, 1000), ~0u);
	lapic_advance(&l, UINT64_MAX - 1);
	CU_ASSERT_EQUAL(lapic_pending(&l), VECTOR);
}

/* What is being served and what the task allows: the higher of the two. */
static void a_task_may_be_above_what_is_served(void)
{
	struct lapic l;

	enabled(&l);
	send(&l, 0x60);
	lapic_accept(&l, lapic_pending(&l));
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_PPR, 0), 0x60);
	lapic_write(&l, LAPIC_TPR, 0x80, 0);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_PPR, 0), 0x80);
	send(&l, VECTOR);
	CU_ASSERT_EQUAL(lapic_pending(&l), -1);
	lapic_write(&l, LAPIC_TPR, 0x10, 0);
	CU_ASSERT_EQUAL(lapic_pending(&l), VECTOR);
}

static void masks_everything_when_switched_off(void)
{
	struct lapic l;

	start_timer(&l, VECTOR, BY_1, 100, 0);
	lapic_write(&l, LAPIC_SVR, 0xff, 10);
	for (uint32_t lvt = LAPIC_LVT_TIMER; lvt <= LAPIC_LVT_LAST; lvt += 16)
		CU_ASSERT_EQUAL(lapic_read(&l, lvt, 10) & MASKED, MASKED);
	lapic_write(&l, LAPIC_TPR, 0x20, 10); /* is no such entry, and takes what is written */
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_TPR, 10), 0x20);
	lapic_write(&l, 0x3f0, 1, 10);
	lapic_write(&l, LAPIC_SVR, ENABLE, 20);
	CU_ASSERT_EQUAL(lapic_deadline(&l), LAPIC_NEVER); /* masked until somebody says otherwise */
	lapic_write(&l, LAPIC_LVT_TIMER, VECTOR, 30);
	CU_ASSERT_EQUAL(lapic_deadline(&l), 100);
}

/* Nobody has told it of the time: there is nothing left to count, and that is not below zero. */
static void counts_no_further_than_to_its_end(void)
{
	struct lapic l;

	start_timer(&l, VECTOR, BY_1, 100, 0);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_TIMER_CURRENT, 99), 1);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_TIMER_CURRENT, 100), 0);
	CU_ASSERT_EQUAL(lapic_read(&l, LAPIC_TIMER_CURRENT, 500), 0);
}

static const struct unit_case cases[] = {
	{ "starts_disabled_and_masked", starts_disabled_and_masked },
	{ "keeps_only_the_bits_a_register_has", keeps_only_the_bits_a_register_has },
	{ "gives_the_highest_first_and_waits_for_the_end",
		gives_the_highest_first_and_waits_for_the_end },
	{ "shows_requests_and_service_bit_by_bit", shows_requests_and_service_bit_by_bit },
	{ "holds_back_what_the_task_priority_covers", holds_back_what_the_task_priority_covers },
	{ "sends_only_to_itself", sends_only_to_itself },
	{ "fires_once", fires_once },
	{ "fires_again_and_again", fires_again_and_again },
	{ "divides_as_configured", divides_as_configured },
	{ "keeps_the_count_when_the_divisor_changes", keeps_the_count_when_the_divisor_changes },
	{ "counts_but_stays_silent_when_masked", counts_but_stays_silent_when_masked },
	{ "stops_when_zero_is_written", stops_when_zero_is_written },
	{ "raises_what_is_due_before_a_write", raises_what_is_due_before_a_write },
	{ "a_task_may_be_above_what_is_served", a_task_may_be_above_what_is_served },
	{ "masks_everything_when_switched_off", masks_everything_when_switched_off },
	{ "counts_no_further_than_to_its_end", counts_no_further_than_to_its_end },
	{ "takes_the_longest_count", takes_the_longest_count },
};

UNIT_MAIN("lapic", cases)
