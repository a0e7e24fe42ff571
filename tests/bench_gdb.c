// SPDX-License-Identifier: ISC
/*
 * What a debugger's packets and conditions cost: bytes of the target, or evaluations, in a second of CPU time, and bytes as a
 * share of a copy's speed. Medians, in turns. Usage: bench_gdb
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cpu.h"
#include "gdb_agent.h"
#include "gdb_packet.h"
#include "gdb_regs.h"

enum { TURNS = 15, ROUNDS = 64, BYTES = GDB_PACKET_MAX / 2 - 2 };

static struct gdb_reply reply;
static struct gdb_decoder decoder;
static uint8_t frame[GDB_FRAME_MAX], memory[BYTES], copy[BYTES];
static size_t escaped_len;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void fill_random(void)
{
	uint32_t seed = 1;

	for (size_t i = 0; i < BYTES; i++) {
		seed = seed * 1664525 + 1013904223;
		memory[i] = (uint8_t)(seed >> 24);
	}
}

static void fill_zeros(void)
{
	memset(memory, 0, BYTES);
}

/* Of our own image; what it is too short for is random. */
static void fill_code(void)
{
	FILE *f = fopen("/proc/self/exe", "re");
	size_t n;

	fill_random();
	assert(f && !fseek(f, 0x1000, SEEK_SET));
	n = fread(memory, 1, BYTES, f);
	assert(n);
	fclose(f);
}

static size_t copy_bytes(void)
{
	memcpy(copy, memory, BYTES);
	__asm__ volatile("" : : "r"(copy) : "memory");
	return BYTES;
}

static size_t hex_only(void)
{
	gdb_reply_begin(&reply);
	gdb_put_hex(&reply, memory, BYTES);
	return BYTES;
}

static size_t read_m(void)
{
	hex_only();
	assert(gdb_frame(&reply, frame) > 4);
	return BYTES;
}

static size_t read_x(void)
{
	size_t n;

	gdb_reply_begin(&reply);
	gdb_put(&reply, "b");
	n = gdb_put_escaped(&reply, memory, BYTES);
	assert(gdb_frame(&reply, frame) > 4);
	return n;
}

static void fill_x(void)
{
	fill_random();
	gdb_reply_begin(&reply);
	gdb_put_escaped(&reply, memory, BYTES);
	escaped_len = gdb_frame(&reply, frame);
}

static size_t write_x(void)
{
	const uint8_t *p = frame;
	size_t left = escaped_len;
	enum gdb_item item = gdb_decode(&decoder, &p, &left);

	assert(item == GDB_PACKET);
	return gdb_unescape(decoder.payload, decoder.len);
}

static void fill_m(void)
{
	fill_random();
	hex_only();
}

static size_t write_m(void)
{
	struct gdb_cursor c = { reply.bytes, reply.bytes + reply.len };
	bool taken = gdb_take_bytes(&c, copy, BYTES);

	assert(taken);
	return BYTES;
}

static size_t read_g(void)
{
	static const struct gdb_counts counts = { 1, 2 };
	struct cpu_state s;
	uint8_t value[GDB_REG_MAX];

	cpu_state_long_mode(&s);
	gdb_reply_begin(&reply);
	for (unsigned n = 0; n < gdb_regs_count(true); n++) {
		gdb_reg_get(&s, &counts, n, value);
		gdb_put_hex(&reply, value, gdb_reg_size(true, n));
	}
	assert(gdb_frame(&reply, frame) > 4);
	return 1;
}

static int read_register(void *ctx, unsigned n, uint64_t *value)
{
	(void)ctx;
	*value = n;
	return 0;
}

static int read_memory(void *ctx, uint64_t gva, void *buf, size_t len)
{
	(void)ctx;
	memcpy(buf, memory + gva, len);
	return 0;
}

/* i == 100, as gdb compiles it for a local variable. */
static size_t condition(void)
{
	static const uint8_t code[] = { 0x26, 0, 6, 0x22, 0x14, 0x02, 0x19, 0x16, 32, 0x22, 100,
		0x13, 0x16, 32, 0x27 };
	struct gdb_agent_env env = { NULL, read_register, read_memory, NULL };
	const char *why;
	uint64_t value;
	int r = gdb_agent_eval(code, sizeof(code), &env, &value, &why);

	assert(r == 0);
	return 1;
}

struct row {
	const char *name;
	void (*fill)(void);
	size_t (*run)(void);
};

static double per_second(const struct row *row, int rounds)
{
	double rates[TURNS];

	row->fill();
	row->run();
	for (int i = 0; i < TURNS; i++) {
		double from = now();
		size_t n = 0;

		for (int k = 0; k < rounds; k++)
			n += row->run();
		rates[i] = (double)n / (now() - from);
	}
	qsort(rates, TURNS, sizeof(rates[0]), compare);
	return rates[TURNS / 2];
}

int main(void)
{
	static const struct row rows[] = {
		{ "hex digits", fill_random, hex_only },
		{ "m reply, random bytes", fill_random, read_m },
		{ "m reply, code", fill_code, read_m },
		{ "m reply, zeros", fill_zeros, read_m },
		{ "x reply, random bytes", fill_random, read_x },
		{ "x reply, zeros", fill_zeros, read_x },
		{ "M bytes taken", fill_m, write_m },
		{ "X packet taken, random bytes", fill_x, write_x },
	};
	static const struct row counted[] = {
		{ "g replies", fill_random, read_g },
		{ "conditions", fill_random, condition },
	};
	static const struct row copies = { "copy", fill_random, copy_bytes };
	double bare = per_second(&copies, ROUNDS);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		double rate = per_second(&rows[i], ROUNDS);

		printf("%-32s %8.0f MB/s, %5.3f of a copy\n", rows[i].name, rate / 1e6,
			rate / bare);
	}
	for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
		printf("%-32s %8.0f thousand/s\n", counted[i].name,
			per_second(&counted[i], 1000) / 1e3);
	return 0;
}
