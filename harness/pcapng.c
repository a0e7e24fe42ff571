// SPDX-License-Identifier: ISC
/* pcapng taken apart. A block that the input ends in is a tear; one that contradicts itself is an error. */
#include "pcapng.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 6,
	BYTE_ORDER = 0x1a2b3c4d,
	OPTION_END = 0,
	OPTION_TSRESOL = 9,
	NANOSECONDS = 9,
	BLOCK_MIN = 12,     /* type, length, length again */
	SECTION_MIN = 28,   /* with byte order, version, section length */
	INTERFACE_MIN = 20, /* with link type, snap length */
	PACKET_MIN = 32,    /* with interface, time, two lengths */
	PACKET_DATA = 28,
	CHAIN_BUDGET = 16 << 20,
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) | (uint32_t)get16(p + 2) << 16;
}

__attribute__((format(printf, 2, 3))) static int bad(struct pcapng *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(p->why, sizeof(p->why), format, args);
	va_end(args);
	return -EBADMSG;
}

static int check_byte_order(struct pcapng *p, const uint8_t *b)
{
	if (get32(b + 8) == __builtin_bswap32(BYTE_ORDER))
		return bad(p, "big endian; recordings are little endian");
	if (get32(b + 8) != BYTE_ORDER)
		return bad(p, "a pcapng section without its byte order");
	return 0;
}

static int check_section(struct pcapng *p, const uint8_t *b, uint32_t len)
{
	(void)len;
	if (p->has_section)
		return bad(p, "a second section");
	if (get16(b + 12) != 1)
		return bad(p, "pcapng version %u; only 1 is known", get16(b + 12));
	p->has_section = true;
	return 0;
}

/* The resolution of timestamps; microseconds when nothing is said. */
static int resolution(const uint8_t *b, uint32_t len)
{
	uint32_t at = 16, end = len - 4;

	while (at + 4 <= end) {
		uint16_t code = get16(b + at), size = get16(b + at + 2);
		uint32_t padded = (size + 3u) & ~3u;

		if (code == OPTION_END || padded > end - at - 4)
			break;
		if (code == OPTION_TSRESOL && size == 1)
			return b[at + 4];
		at += 4 + padded;
	}
	return 6;
}

static int check_interface(struct pcapng *p, const uint8_t *b, uint32_t len)
{
	if (p->has_interface)
		return bad(p, "a second interface");
	if (get16(b + 8) != PCAPNG_LINKTYPE)
		return bad(p, "link type %u, not a recording's %d", get16(b + 8), PCAPNG_LINKTYPE);
	if (resolution(b, len) != NANOSECONDS)
		return bad(p, "timestamps are not in nanoseconds");
	p->has_interface = true;
	return 0;
}

static int check_packet(struct pcapng *p, const uint8_t *b, uint32_t len)
{
	uint32_t caplen = get32(b + 20);

	if (!p->has_interface)
		return bad(p, "a packet before any interface");
	if (get32(b + 8))
		return bad(p, "a packet of interface %u", get32(b + 8));
	if (caplen > PCAPNG_PACKET_MAX || ((caplen + 3) & ~3u) > len - PACKET_MIN)
		return bad(p, "a packet of %u bytes in a block of %u", caplen, len);
	if (get32(b + 24) != caplen)
		return bad(p, "a packet cut from %u bytes to %u", get32(b + 24), caplen);
	return 0;
}

/* Type and length of the block that comes, once they make sense. 1, or 0 at the end. */
static int look_at_head(struct pcapng *p, uint32_t *type, uint32_t *len)
{
	struct input *in = p->in;
	int r = input_look(in, BLOCK_MIN);

	p->offset = in->offset;
	if (r)
		return r;
	p->torn = in->len > 0 && in->len < BLOCK_MIN;
	if (in->len < BLOCK_MIN)
		return 0;
	*type = get32(in->bytes);
	*len = get32(in->bytes + 4);
	if (!p->has_section && *type != BLOCK_SECTION)
		return bad(p, "not a recording: it does not begin as pcapng does");
	r = *type == BLOCK_SECTION ? check_byte_order(p, in->bytes) : 0;
	if (r)
		return r;
	if (*len < BLOCK_MIN || *len % 4 || *len > PCAPNG_BLOCK_MAX)
		return bad(p, "a block of %u bytes", *len);
	return 1;
}

static const struct known_block {
	uint32_t type, min;
	int (*check)(struct pcapng *p, const uint8_t *block, uint32_t len);
} known_blocks[] = {
	{ BLOCK_PACKET, PACKET_MIN, check_packet },
	{ BLOCK_SECTION, SECTION_MIN, check_section },
	{ BLOCK_INTERFACE, INTERFACE_MIN, check_interface },
};

static const struct known_block *find_known(uint32_t type)
{
	for (size_t i = 0; i < sizeof(known_blocks) / sizeof(known_blocks[0]); i++)
		if (known_blocks[i].type == type)
			return &known_blocks[i];
	return NULL;
}

/* Do whole blocks, of which the first is a packet, follow each other from p to the very end? There is room for one. */
static bool is_chain(const uint8_t *p, size_t len, size_t *budget)
{
	uint32_t block;

	if (get32(p) != BLOCK_PACKET || get32(p + 4) < PACKET_MIN)
		return false;
	while (len >= BLOCK_MIN && *budget) {
		--*budget;
		block = get32(p + 4);
		if (block < BLOCK_MIN || block % 4 || block > len || get32(p + block - 4) != block)
			return false;
		p += block;
		len -= block;
	}
	return !len;
}

/*
 * A block that the input ends in is a tear only when nothing whole lies behind its start; else it is its
 * length that is damaged. Guest data in a block that was torn may look like packets, so they are evidence
 * only when they reach exactly to the end; a guest that brings this about makes an error of its own cut
 * recording, no more. All of a torn block is at hand, at most PCAPNG_BLOCK_MAX; candidates are at steps of
 * four, and chains that hostile input makes long are paid for from one budget.
 */
static bool has_blocks_behind(const uint8_t *p, size_t len)
{
	size_t budget = CHAIN_BUDGET; /* blocks looked at */

	for (size_t at = BLOCK_MIN; at + PACKET_MIN <= len; at += 4)
		if (is_chain(p + at, len - at, &budget))
			return true;
	return false;
}

/* What a block that goes on behind the end of the input is: 0 when torn, else damage. */
static int tear(struct pcapng *p, uint32_t len)
{
	p->torn = true;
	if (has_blocks_behind(p->in->bytes, p->in->len))
		return bad(
			p, "damaged: a block of %u bytes, with whole ones behind its start", len);
	return 0;
}

/* Checked as soon as its fixed part is there: what contradicts itself is no tear. 1, or 0 when torn. */
static int look_at_block(struct pcapng *p, const struct known_block *known, uint32_t len)
{
	struct input *in = p->in;
	int r;

	if (len < known->min)
		return bad(p, "a block of type %u with %u bytes", known->type, len);
	r = input_look(in, known->min);
	if (!r && in->len >= known->min && known->type == BLOCK_PACKET)
		r = check_packet(p, in->bytes, len);
	if (!r)
		r = input_look(in, len);
	if (r)
		return r;
	if (in->len < len)
		return tear(p, len);
	r = known->check(p, in->bytes, len);
	return r ? r : 1;
}

/* Takes a block that is whole at hand; its last four bytes say its length again. */
static int take(struct pcapng *p, uint32_t len)
{
	uint32_t again = get32(p->in->bytes + len - 4);

	if (again != len)
		return bad(
			p, "a block that says %u bytes at its start and %u at its end", len, again);
	return input_skip(p->in, len);
}

/* Passed over, but whole it must be as well. 1, or 0 when torn. */
static int look_at_unknown(struct pcapng *p, uint32_t len)
{
	int r = input_look(p->in, len);

	if (r)
		return r;
	return p->in->len < len ? tear(p, len) : 1;
}

int pcapng_next(struct pcapng *p, struct pcapng_packet *packet)
{
	const struct known_block *known;
	const uint8_t *block;
	uint32_t type = 0, len = 0; /* look_at_head sets them; some compilers do not see it */
	int r;

	for (;;) {
		r = look_at_head(p, &type, &len);
		if (r <= 0)
			return r;
		known = find_known(type);
		r = known ? look_at_block(p, known, len) : look_at_unknown(p, len);
		if (r <= 0)
			return r;
		block = p->in->bytes; /* all is at hand, and stays so */
		r = take(p, len);
		if (r)
			return r;
		if (type == BLOCK_PACKET)
			break;
	}
	packet->offset = p->offset;
	packet->time_ns = (uint64_t)get32(block + 12) << 32 | get32(block + 16);
	packet->data = block + PACKET_DATA;
	packet->len = get32(block + 20);
	return 1;
}
