/* SPDX-License-Identifier: ISC */
/* Bytes as the calls of a guest (hypercall_format.h): what it puts into its memory, and the port it then uses. */
#ifndef HYPERCALL_INPUT_H
#define HYPERCALL_INPUT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "backend.h"
#include "hcall.h"
#include "hypercall_format.h"
#include "vm.h"

/* Level i of the tables is entry i of the one page; data pages are entries from FIRST on, two of them swapped. */
enum { TABLE_LEVELS = 4, TABLE_FIRST = 16, PTE_PRESENT = 1, PTE_WRITABLE = 2, READ_ONLY_PAGE = 6 };
#define VIRTUAL_BASE ((1ull << 39) | (2ull << 30) | (3ull << 21) | ((uint64_t)TABLE_FIRST << 12))

struct input {
	const uint8_t *from, *to; /* choices come from the front, data from the back */
	unsigned calls;
	const struct guest_abi *abi;
	size_t n_pointers; /* in the arrays that some calls ask for */
	void (*store)(void *ctx, uint64_t gpa, const void *bytes, size_t len); /* clipped to RAM */
	void *ctx;
};

static uint8_t input_byte(struct input *in)
{
	return in->from < in->to ? *in->from++ : 0;
}

static uint64_t input_raw(struct input *in, unsigned len)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < len; i++)
		value |= (uint64_t)input_byte(in) << 8 * i;
	return value;
}

static const uint8_t *input_data(struct input *in, size_t want, size_t *len)
{
	size_t room = (size_t)(in->to - in->from);

	*len = want < room ? want : room;
	in->to -= *len;
	return in->to;
}

static uint64_t input_edge(struct input *in)
{
	return format_edges[input_byte(in) % FORMAT_COUNT(format_edges)];
}

/* The two pages that are swapped; the same both ways. */
static uint64_t input_swap_pages(uint64_t page)
{
	return page == 4 || page == 5 ? 9 - page : page;
}

static uint64_t input_to_virtual(uint64_t gpa)
{
	uint64_t off = gpa - FORMAT_RAM;

	if (off >= FORMAT_SIZE) /* the end of RAM is the end of what is mapped */
		return off - FORMAT_SIZE < FORMAT_PAGE ? VIRTUAL_BASE + off : gpa;
	return VIRTUAL_BASE + input_swap_pages(off / FORMAT_PAGE) * FORMAT_PAGE + off % FORMAT_PAGE;
}

static uint64_t input_address(struct input *in)
{
	uint8_t b = input_byte(in);

	return b == FORMAT_BROKEN ? input_edge(in) : FORMAT_DATA + (uint64_t)b * FORMAT_STEP;
}

static uint64_t input_path(struct input *in)
{
	static char text[HCALL_STRING_MAX * 2];
	uint8_t n = input_byte(in);
	uint64_t at = FORMAT_PATH;
	size_t len = 0;

	if (n == FORMAT_BROKEN) {
		at = input_edge(in);
		n = input_byte(in);
	}
	for (n %= FORMAT_PATH_TOKENS; n; n--) {
		uint8_t b = input_byte(in);
		const struct format_token *t = &format_tokens[b % FORMAT_COUNT(format_tokens)];

		if (b == FORMAT_TOKEN_LITERAL && len < sizeof(text) - 1) {
			text[len++] = (char)input_byte(in);
		} else if (b != FORMAT_TOKEN_LITERAL && t->len < sizeof(text) - len) {
			memcpy(text + len, t->text, t->len);
			len += t->len;
		}
	}
	text[len] = 0;
	in->store(in->ctx, at, text, len + 1);
	return at;
}

/* An array of addresses, each in the data or at an edge. */
static uint64_t input_pointers(struct input *in)
{
	uint64_t at = input_address(in), entry;

	for (size_t i = 0; i < in->n_pointers; i++) {
		entry = input_address(in);
		in->store(in->ctx, at + 8 * i, &entry, sizeof(entry));
	}
	return at;
}

static uint64_t input_length(struct input *in)
{
	uint8_t b = input_byte(in);

	if (b == FORMAT_BROKEN)
		return format_lengths[input_byte(in) % FORMAT_COUNT(format_lengths)];
	return b < FORMAT_LEN_PLAIN ? b : (uint64_t)(b - FORMAT_LEN_PLAIN) * FORMAT_LEN_STEP;
}

/* Of a table, or anything. */
#define INPUT_CHOICE(in, table)                                                                    \
	input_choice(in, (const uint32_t *)(const void *)(table), FORMAT_COUNT(table))
static uint64_t input_choice(struct input *in, const uint32_t *table, size_t n)
{
	uint8_t b = input_byte(in);

	return b == FORMAT_BROKEN ? input_raw(in, 4) : table[b % n];
}

static uint64_t input_int(struct input *in, unsigned size)
{
	uint8_t b = input_byte(in);

	return b == FORMAT_INT_RAW ? input_raw(in, size) : (uint64_t)(int8_t)b;
}

static uint64_t input_field(
	struct input *in, const struct hcall_row *row, const struct hcall_field *f)
{
	static const uint32_t fds[FORMAT_FDS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
		15 };
	static const uint32_t stat_kinds[] = { 0, 1 };

	switch (f->kind) {
	case HCALL_INT:
		return input_int(in, f->size);
	case HCALL_FD:
		return INPUT_CHOICE(in, fds);
	case HCALL_PATH:
		return input_path(in);
	case HCALL_OPEN_FLAGS:
		return INPUT_CHOICE(in, format_flags);
	case HCALL_MODE:
		return INPUT_CHOICE(in, format_modes);
	case HCALL_LEN:
		return input_length(in);
	case HCALL_WHENCE:
		return INPUT_CHOICE(in, format_whences);
	case HCALL_STAT_KIND:
		return INPUT_CHOICE(in, stat_kinds);
	case HCALL_POINTER:
		return row->block_len ? input_pointers(in) : input_address(in);
	case HCALL_DATA_IN:
	case HCALL_DATA_OUT:
	case HCALL_DENTS_OUT:
	case HCALL_STAT_OUT:
		return input_address(in);
	case HCALL_BYTE:
	case HCALL_KIND_COUNT:
		break;
	}
	return input_byte(in);
}

/* What a call is to write, as far as the input has it. */
static void input_fill(struct input *in, uint64_t at, uint64_t len)
{
	size_t n;
	const uint8_t *data =
		input_data(in, len < FORMAT_DATA_MAX ? (size_t)len : FORMAT_DATA_MAX, &n);

	in->store(in->ctx, at, data, n);
}

static uint64_t input_block(struct input *in, const struct hcall_row *row)
{
	uint8_t block[HCALL_BLOCK_MAX] = { 0 }, place = row->block_len ? input_byte(in) : 0;
	uint64_t at = FORMAT_BLOCK + (uint64_t)place * FORMAT_BLOCK_STEP, source = 0, arg = 0;
	bool reads = false;

	if (row->block_len && place == FORMAT_BROKEN)
		at = input_edge(in);
	for (const struct hcall_field *f = row->fields; f->name; f++) {
		uint64_t value = input_field(in, row, f);

		if (f->kind == HCALL_DATA_IN || f->kind == HCALL_DATA_OUT) {
			reads = f->kind == HCALL_DATA_IN;
			source = value;
			value = row->virtual_buffers ? input_to_virtual(value) : value;
		}
		if (f->kind == HCALL_LEN && reads)
			input_fill(in, source, value);
		memcpy(block + f->at, &value, f->size);
	}
	if (row->block_len) {
		in->store(in->ctx, at, block, row->block_len);
		return at;
	}
	memcpy(&arg, block, sizeof(arg));
	return arg;
}

static void input_poke(struct input *in)
{
	uint64_t off = input_raw(in, 2) % FORMAT_SIZE;
	size_t n;
	const uint8_t *data = input_data(in, input_byte(in), &n);

	in->store(in->ctx, FORMAT_RAM + off, data, n);
}

/* The next call, its memory laid out; false behind the last. */
static bool input_next(struct input *in, struct vcpu_exit *exit)
{
	const struct hcall_row *row;
	uint64_t arg;
	uint8_t what;

	do {
		if (in->from == in->to || in->calls == FORMAT_CALLS_MAX)
			return false;
		in->calls++;
		what = input_byte(in);
		if (what == FORMAT_POKE)
			input_poke(in);
	} while (what == FORMAT_POKE);
	*exit = (struct vcpu_exit){ .kind = VCPU_PORT, .size = 4, .rip = in->calls };
	if (what == FORMAT_WILD) {
		exit->port = (uint16_t)input_raw(in, 2);
		what = input_byte(in);
		exit->size = (uint8_t)(1 << what % 3);
		exit->in = what & 0x80;
		arg = input_raw(in, 8);
	} else {
		row = &in->abi->rows[what % in->abi->n_rows];
		exit->port = row->port;
		exit->in = row->arg == HCALL_ARG_IN;
		arg = input_block(in, row);
	}
	exit->data = (uint32_t)arg;
	exit->rdi = arg;
	return true;
}

/* The guest's first memory: tables that map it, its pages in another order, one of them read-only. */
static void input_make_tables(uint64_t *table)
{
	for (unsigned i = 1; i < TABLE_LEVELS; i++)
		table[i] = FORMAT_TABLE | PTE_PRESENT | PTE_WRITABLE;
	for (unsigned i = 0; i < FORMAT_PAGES; i++)
		table[TABLE_FIRST + i] = (FORMAT_RAM + input_swap_pages(i) * FORMAT_PAGE) |
					 PTE_PRESENT | (i == READ_ONLY_PAGE ? 0 : PTE_WRITABLE);
}

#endif
