/* SPDX-License-Identifier: ISC */
/*
 * The other way round: calls that a test makes, as the bytes that fuzz_hypercall reads (hypercall_format.h). As near
 * as the format allows: addresses keep their place in data or at an edge, not their value.
 */
#ifndef HYPERCALL_SEED_H
#define HYPERCALL_SEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "hcall.h"
#include "hypercall_format.h"
#include "vm.h"

enum { SEED_ROOM = 4096, SEED_ROOM_ROW = 400, SEED_POINTERS = 7 };

struct seed {
	uint8_t bytes[SEED_ROOM];
	size_t n;
	uint8_t data[SEED_ROOM]; /* what calls write: the last one's first */
	size_t n_data;
	unsigned calls;
};

static void seed_byte(struct seed *s, unsigned byte)
{
	if (s->n < sizeof(s->bytes))
		s->bytes[s->n++] = (uint8_t)byte;
}

static void seed_raw(struct seed *s, uint64_t value, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		seed_byte(s, (uint8_t)(value >> 8 * i));
}

/* Below 0x80 its number in the table; what is not there, as it is. */
static void seed_choice(struct seed *s, const uint32_t *table, size_t n, uint64_t value)
{
	for (size_t i = 0; i < n; i++)
		if (table[i] == (uint32_t)value)
			return seed_byte(s, (unsigned)i);
	seed_byte(s, FORMAT_BROKEN);
	seed_raw(s, value, 4);
}

/* The edge of the format's memory that is like this address of the test's. */
static void seed_edge(struct seed *s, const struct gmem *m, uint64_t value)
{
	uint64_t from_end = value - (m->gpa + m->size), alike = value;
	unsigned edge = 0;

	if (from_end + FORMAT_PAGE <= FORMAT_PAGE)
		alike = FORMAT_END + from_end;
	else if (value == m->gpa - 1)
		alike = FORMAT_RAM - 1;
	for (unsigned i = 0; i < FORMAT_COUNT(format_edges); i++)
		if (format_edges[i] == alike)
			edge = i;
	seed_byte(s, FORMAT_BROKEN);
	seed_byte(s, edge);
}

static bool seed_is_edge(const struct gmem *m, uint64_t value)
{
	return value < m->gpa || value > m->gpa + m->size - FORMAT_PAGE;
}

static void seed_address(struct seed *s, const struct gmem *m, uint64_t value)
{
	if (seed_is_edge(m, value))
		seed_edge(s, m, value);
	else
		seed_byte(s, (unsigned)(value - m->gpa) / FORMAT_PAGE * 40 % FORMAT_BROKEN);
}

/* The longest token that goes on here. */
static unsigned seed_token(const char *path, unsigned *len)
{
	unsigned token = FORMAT_TOKEN_LITERAL;

	*len = 0;
	for (unsigned i = 0; i < FORMAT_COUNT(format_tokens); i++) {
		if (format_tokens[i].len <= *len ||
			strncmp(path, format_tokens[i].text, format_tokens[i].len) != 0)
			continue;
		token = i;
		*len = format_tokens[i].len;
	}
	return token;
}

static void seed_path(struct seed *s, const struct gmem *m, uint64_t value)
{
	char path[HCALL_STRING_MAX] = "";
	size_t count_at;
	unsigned len, n = 0;

	if (seed_is_edge(m, value)) {
		seed_edge(s, m, value);
		return seed_byte(s, 0);
	}
	gmem_read_string(m, value, path, sizeof(path));
	path[sizeof(path) - 1] = 0;
	count_at = s->n;
	seed_byte(s, 0);
	for (const char *at = path; *at && n < FORMAT_PATH_TOKENS - 1; at += len, n++) {
		unsigned token = seed_token(at, &len);

		seed_byte(s, token);
		if (token == FORMAT_TOKEN_LITERAL) {
			seed_byte(s, (uint8_t)*at);
			len = 1;
		}
	}
	s->bytes[count_at] = (uint8_t)n;
}

static void seed_length(struct seed *s, uint64_t value)
{
	if (value < FORMAT_LEN_PLAIN)
		return seed_byte(s, (unsigned)value);
	for (unsigned i = 0; i < FORMAT_COUNT(format_lengths); i++) {
		if (format_lengths[i] != value)
			continue;
		seed_byte(s, FORMAT_BROKEN);
		return seed_byte(s, i);
	}
	if (value < (FORMAT_BROKEN - FORMAT_LEN_PLAIN) * FORMAT_LEN_STEP)
		return seed_byte(s, FORMAT_LEN_PLAIN + (unsigned)value / FORMAT_LEN_STEP);
	seed_byte(s, FORMAT_BROKEN);
	seed_byte(s, 0);
}

/* What the call is to write. */
static void seed_data(struct seed *s, const struct gmem *m, uint64_t at, uint64_t len)
{
	len = len < FORMAT_DATA_MAX ? len : FORMAT_DATA_MAX;
	if (len > sizeof(s->data) - s->n_data || !gmem_span(m, at, len))
		return;
	memmove(s->data + len, s->data, s->n_data); /* who reads begins at the end */
	gmem_read(m, at, s->data, len);
	s->n_data += len;
}

static void seed_int(struct seed *s, uint64_t value, unsigned size)
{
	if ((int64_t)value == (int8_t)value && (uint8_t)value != FORMAT_INT_RAW)
		return seed_byte(s, (uint8_t)value);
	seed_byte(s, FORMAT_INT_RAW);
	seed_raw(s, value, size);
}

static void seed_field(struct seed *s, const struct gmem *m, const struct hcall_row *row,
	const struct hcall_field *f, uint64_t value)
{
	static const uint32_t fds[FORMAT_FDS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
		15 };

	switch (f->kind) {
	case HCALL_INT:
		return seed_int(s, value, f->size);
	case HCALL_FD:
		return seed_choice(s, fds, FORMAT_FDS, value);
	case HCALL_PATH:
		return seed_path(s, m, value);
	case HCALL_OPEN_FLAGS:
		return seed_choice(s, (const uint32_t *)(const void *)format_flags,
			FORMAT_COUNT(format_flags), value);
	case HCALL_MODE:
		return seed_choice(s, (const uint32_t *)(const void *)format_modes,
			FORMAT_COUNT(format_modes), value);
	case HCALL_LEN:
		return seed_length(s, value);
	case HCALL_WHENCE:
		return seed_choice(s, format_whences, FORMAT_COUNT(format_whences), value);
	case HCALL_STAT_KIND:
		return seed_choice(s, fds, 2, value);
	case HCALL_POINTER:
		seed_address(s, m, value);
		for (unsigned i = 0; row->block_len && i < SEED_POINTERS; i++)
			seed_byte(s, i + 100);
		return;
	case HCALL_DATA_IN:
	case HCALL_DATA_OUT:
	case HCALL_DENTS_OUT:
	case HCALL_STAT_OUT:
		return seed_address(s, m, value);
	case HCALL_BYTE:
	case HCALL_KIND_COUNT:
		break;
	}
	seed_byte(s, (uint8_t)value);
}

static void seed_wild(struct seed *s, const struct vcpu_exit *exit)
{
	seed_byte(s, FORMAT_WILD);
	seed_raw(s, exit->port, 2);
	seed_byte(s, exit->size / 2u | (exit->in ? 0x80 : 0));
	seed_raw(s, exit->rdi, 8);
}

/* One call, as the script makes it and with its block still in memory. */
static void seed_call(struct seed *s, const struct vm *vm, const struct vcpu_exit *exit)
{
	unsigned number = vm->row_of_port[exit->port];
	const struct hcall_row *row = &vm->abi->rows[number - 1];
	struct hcall call = { .row = row, .arg = exit->rdi };
	uint64_t source = 0;

	if (s->calls == FORMAT_CALLS_MAX || s->n + s->n_data + SEED_ROOM_ROW > sizeof(s->bytes))
		return;
	s->calls++;
	if (!s->n)
		seed_byte(s, 0xff); /* with the double fetch */
	if (!number || number == VM_PORT_LEGACY || exit->size != 4 ||
		exit->in != (row->arg == HCALL_ARG_IN))
		return seed_wild(s, exit);
	seed_byte(s, number - 1);
	memcpy(call.block, &call.arg, sizeof(call.arg));
	if (row->block_len && gmem_read(&vm->mem, call.arg, call.block, row->block_len))
		seed_edge(s, &vm->mem, call.arg);
	else if (row->block_len)
		seed_byte(s, 0);
	for (const struct hcall_field *f = row->fields; f->name; f++) {
		uint64_t value = hcall_field_value(&call, f);

		seed_field(s, &vm->mem, row, f, value);
		source = f->kind == HCALL_DATA_IN ? value : source;
		if (f->kind == HCALL_LEN && source)
			seed_data(s, &vm->mem, source, value);
	}
}

/* As DIR/NAME-NUMBER. */
static bool seed_write(const struct seed *s, const char *dir, const char *name, unsigned number)
{
	char path[4096];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%.200s-%u", dir, name, number);
	out = fopen(path, "wb");
	if (!out)
		return false;
	fwrite(s->bytes, 1, s->n, out);
	fwrite(s->data, 1, s->n_data, out);
	return !fclose(out);
}

#endif
