// SPDX-License-Identifier: ISC
/* A local APIC. Knows no clock, no CPU and no backend. */
#include "lapic.h"

#include <string.h>

enum {
	VECTOR_MASK = 0xff,
	FIRST_VECTOR = 16, /* lower ones are illegal: SDM 3A 11.5.2 */
	SVR_ENABLED = 1 << 8,
	LVT_MASKED = 1 << 16,
	LVT_PERIODIC = 1 << 17,
	LVT_COUNT = 6,
	ESR_SEND_ILLEGAL = 1 << 5,
	ICR_SHORTHAND = 3 << 18,
	ICR_SELF = 1 << 18,
	ICR_ALL = 2 << 18,
	ICR_DELIVERY = 7 << 8,
	WORDS = 8, /* of 32 vectors each in IRR, ISR, TMR */
};

static uint32_t *at(struct lapic *l, unsigned offset)
{
	return &l->reg[offset >> 4];
}

static uint32_t get(const struct lapic *l, unsigned offset)
{
	return l->reg[offset >> 4];
}

static bool enabled(const struct lapic *l)
{
	return get(l, LAPIC_SVR) & SVR_ENABLED;
}

void lapic_reset(struct lapic *l, uint8_t id)
{
	*l = (struct lapic){ .timer_due = LAPIC_NEVER };
	*at(l, LAPIC_ID) = (uint32_t)id << 24;
	*at(l, LAPIC_VERSION) = (LVT_COUNT - 1) << 16 | 0x14;
	*at(l, LAPIC_DFR) = ~0u;
	*at(l, LAPIC_SVR) = 0xff;
	for (unsigned lvt = LAPIC_LVT_TIMER; lvt <= LAPIC_LVT_LAST; lvt += 16)
		*at(l, lvt) = LVT_MASKED;
}

static int highest(const struct lapic *l, unsigned set)
{
	for (int word = WORDS - 1; word >= 0; word--) {
		uint32_t bits = get(l, set + 16 * (unsigned)word);

		if (bits)
			return 32 * word + 31 - __builtin_clz(bits);
	}
	return -1;
}

static void set_bit(struct lapic *l, unsigned set, unsigned vector, bool on)
{
	uint32_t bit = 1u << vector % 32;

	if (on)
		*at(l, set + 16 * (vector / 32)) |= bit;
	else
		*at(l, set + 16 * (vector / 32)) &= ~bit;
}

static void raise(struct lapic *l, unsigned vector)
{
	if (vector < FIRST_VECTOR)
		*at(l, LAPIC_ESR) |= ESR_SEND_ILLEGAL;
	else if (enabled(l))
		set_bit(l, LAPIC_IRR, vector, true);
}

static uint32_t processor_priority(const struct lapic *l)
{
	uint32_t tpr = get(l, LAPIC_TPR) & 0xff;
	int in_service = highest(l, LAPIC_ISR);

	if (in_service < 0 || (tpr & 0xf0) >= ((uint32_t)in_service & 0xf0))
		return tpr;
	return (uint32_t)in_service & 0xf0;
}

/* SDM 3A figure 11-10: bits 3, 1, 0; all set means by one. */
static uint64_t divisor(const struct lapic *l)
{
	uint32_t v = get(l, LAPIC_TIMER_DIVIDE);
	uint32_t shift = ((v & 3) | (v >> 1 & 4)) + 1;

	return 1ull << (shift & 7);
}

static uint64_t period(const struct lapic *l)
{
	return get(l, LAPIC_TIMER_INITIAL) * divisor(l);
}

static void timer_start(struct lapic *l, uint64_t now)
{
	l->timer_due = get(l, LAPIC_TIMER_INITIAL) ? now + period(l) : LAPIC_NEVER;
}

static uint32_t timer_current(const struct lapic *l, uint64_t now)
{
	if (l->timer_due == LAPIC_NEVER || now >= l->timer_due)
		return 0;
	return (uint32_t)((l->timer_due - now + divisor(l) - 1) / divisor(l));
}

/* A new divisor takes the count that is left with it. */
static void set_divisor(struct lapic *l, uint32_t value, uint64_t now)
{
	uint64_t left = timer_current(l, now);

	*at(l, LAPIC_TIMER_DIVIDE) = value & 0xb;
	if (l->timer_due != LAPIC_NEVER)
		l->timer_due = now + left * divisor(l);
}

static void send(struct lapic *l, uint32_t command)
{
	uint32_t shorthand = command & ICR_SHORTHAND;
	uint32_t destination = get(l, LAPIC_ICR_HIGH) >> 24;
	bool self = shorthand == ICR_SELF || shorthand == ICR_ALL ||
		    (!shorthand && (destination == get(l, LAPIC_ID) >> 24 || destination == 0xff));

	/* There is one CPU, and only fixed and lowest-priority interrupts mean anything to itself. */
	if (self && (command & ICR_DELIVERY) <= 1 << 8)
		raise(l, command & VECTOR_MASK);
}

uint32_t lapic_read(const struct lapic *l, uint32_t offset, uint64_t now)
{
	if (offset % 16 || offset >= sizeof(l->reg) / sizeof(l->reg[0]) * 16)
		return 0;
	switch (offset) {
	case LAPIC_PPR:
		return processor_priority(l);
	case LAPIC_TIMER_CURRENT:
		return timer_current(l, now);
	case LAPIC_EOI:
		return 0;
	default:
		return get(l, offset);
	}
}

static void end_of_interrupt(struct lapic *l)
{
	int vector = highest(l, LAPIC_ISR);

	if (vector >= 0)
		set_bit(l, LAPIC_ISR, (unsigned)vector, false);
}

/* Bits a register keeps; those absent are read-only or handled below. */
static uint32_t writable(uint32_t offset)
{
	static const struct {
		uint16_t offset;
		uint32_t bits;
	} rows[] = {
		{ LAPIC_ID, 0xff000000 },
		{ LAPIC_TPR, 0xff },
		{ LAPIC_LDR, 0xff000000 },
		{ LAPIC_DFR, 0xf0000000 },
		{ LAPIC_SVR, 0x3ff },
		{ LAPIC_ICR, 0xccfff & ~(1u << 12) },
		{ LAPIC_ICR_HIGH, 0xff000000 },
		{ LAPIC_LVT_TIMER, 0x310ff },
		{ 0x330, 0x107ff },
		{ 0x340, 0x107ff },
		{ 0x350, 0x1a7ff },
		{ 0x360, 0x1a7ff },
		{ 0x370, 0x100ff },
		{ LAPIC_TIMER_INITIAL, ~0u },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].offset == offset)
			return rows[i].bits;
	return 0;
}

void lapic_write(struct lapic *l, uint32_t offset, uint32_t value, uint64_t now)
{
	uint32_t bits = writable(offset);

	lapic_advance(l, now);
	if (bits)
		*at(l, offset) = (get(l, offset) & ~bits) | (value & bits);
	if (!enabled(l) && offset >= LAPIC_LVT_TIMER && offset <= LAPIC_LVT_LAST)
		*at(l, offset) |= bits & LVT_MASKED;
	switch (offset) {
	case LAPIC_EOI:
		end_of_interrupt(l);
		break;
	case LAPIC_DFR:
		*at(l, offset) |= 0x0fffffff;
		break;
	case LAPIC_SVR:
		for (unsigned lvt = LAPIC_LVT_TIMER; !enabled(l) && lvt <= LAPIC_LVT_LAST;
			lvt += 16)
			*at(l, lvt) |= LVT_MASKED;
		break;
	case LAPIC_ESR: /* a write shows what was gathered since the last; one vector is all there is */
		*at(l, offset) = 0;
		break;
	case LAPIC_ICR:
		send(l, value);
		break;
	case LAPIC_TIMER_INITIAL:
		timer_start(l, now);
		break;
	case LAPIC_TIMER_DIVIDE:
		set_divisor(l, value, now);
		break;
	default:
		break;
	}
}

uint64_t lapic_deadline(const struct lapic *l)
{
	return get(l, LAPIC_LVT_TIMER) & LVT_MASKED ? LAPIC_NEVER : l->timer_due;
}

void lapic_advance(struct lapic *l, uint64_t now)
{
	uint32_t lvt = get(l, LAPIC_LVT_TIMER);

	if (l->timer_due == LAPIC_NEVER || now < l->timer_due)
		return;
	if (!(lvt & LVT_MASKED))
		raise(l, lvt & VECTOR_MASK);
	if (lvt & LVT_PERIODIC) {
		uint64_t turns = (now - l->timer_due) / period(l);

		l->timer_due += (turns + 1) * period(l);
	} else {
		l->timer_due = LAPIC_NEVER;
	}
}

int lapic_pending(const struct lapic *l)
{
	int vector = highest(l, LAPIC_IRR);

	if (vector < 0 || ((uint32_t)vector & 0xf0) <= (processor_priority(l) & 0xf0))
		return -1;
	return vector;
}

void lapic_accept(struct lapic *l, int vector)
{
	set_bit(l, LAPIC_IRR, (unsigned)vector, false);
	set_bit(l, LAPIC_ISR, (unsigned)vector, true);
}

uint64_t lapic_get_cr8(const struct lapic *l)
{
	return get(l, LAPIC_TPR) >> 4 & 0xf;
}

void lapic_set_cr8(struct lapic *l, uint64_t cr8)
{
	*at(l, LAPIC_TPR) = (uint32_t)(cr8 & 0xf) << 4;
}
