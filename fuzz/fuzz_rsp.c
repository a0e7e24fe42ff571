// SPDX-License-Identifier: ISC
/*
 * Any bytes as what a debugger sends: the items found in them are the same however the stream is cut; packets, sent
 * back, come out as they were. P and G packets write registers of a CPU: what is refused changes nothing, what is
 * accepted is read again, a P changes no other register, and the state stays one that a CPU may have. Or as what is
 * said to a debugger: escapes are undone; texts with run lengths say what was said.
 *
 * The first byte: enum first_byte. The second: the size of the parts, less one.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "cpu.h"
#include "fuzz/fuzz.h"
#include "gdb_packet.h"
#include "gdb_reader.h"
#include "gdb_regs.h"
#include "hash.h"

enum { SIZE_MAX_TAKEN = 4096, WRITES_MAX = 3 };
enum first_byte { NO_ACK = 1, SAID = 2, SAID_IN_RUNS = 4 };

struct run {
	struct cpu_state *cpu; /* NULL: items are only summed up */
	int writes_left;
	uint64_t sum;
};

static struct gdb_decoder decoder, echo;
static struct gdb_reply reply;
static uint8_t frame[GDB_FRAME_MAX], text[GDB_PACKET_MAX];
static const struct gdb_counts counts = { 1000, 10 };

static void start(struct gdb_decoder *d, bool no_ack)
{
	memset(d, 0, offsetof(struct gdb_decoder, payload));
	d->no_ack = no_ack;
}

static void check_sent_back(const uint8_t *payload, size_t len)
{
	const uint8_t *p = frame;
	size_t n;

	gdb_reply_begin(&reply);
	gdb_put_raw(&reply, payload, len);
	reply.binary = true;
	n = gdb_frame(&reply, frame);
	start(&echo, false);
	assert(gdb_decode(&echo, &p, &n) == GDB_PACKET && n == 0);
	assert(echo.len == len && !memcmp(echo.payload, payload, len));
	assert(gdb_unescape(echo.payload, len) <= len);
}

/* Numbers and words taken out of it, to its end. */
static void check_cursor(const uint8_t *payload, size_t len)
{
	struct gdb_cursor c = { payload, payload + len };

	while (gdb_left(&c)) {
		const uint8_t *from = c.at;
		struct gdb_cursor word;
		uint64_t value, again;
		char digits[20];

		if (gdb_take_hex(&c, &value)) {
			struct gdb_cursor written = { (uint8_t *)digits, (uint8_t *)digits };

			written.end += snprintf(digits, sizeof(digits), "%llx", (long long)value);
			assert(gdb_take_hex(&written, &again) && again == value &&
				!gdb_left(&written));
		}
		word = gdb_take_until(&c, ":;,=");
		assert(word.end == c.at && word.at <= word.end && c.at <= c.end);
		assert(!gdb_left(&c) || strchr(":;,=", *c.at));
		assert(!gdb_left(&c) || gdb_take_char(&c, (char)*c.at));
		assert(c.at > from);
	}
}

/* Has bits that are put right without a word, or is no place at all. */
static bool is_lenient(const char *name)
{
	static const char *const names[] = { "eflags", "fctrl", "fstat", "ftag", "fop", "mxcsr",
		"orig_rax", "cr0", "dr6", "dr7" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

static void check_others(const struct cpu_state *a, const struct cpu_state *b, unsigned but)
{
	for (unsigned n = 0; n < gdb_regs_count(true); n++) {
		uint8_t x[GDB_REG_MAX], y[GDB_REG_MAX];

		if (n == but || !strcmp(gdb_reg_name(n), "ftag")) /* which x87's others tell */
			continue;
		gdb_reg_get(a, &counts, n, x);
		gdb_reg_get(b, &counts, n, y);
		assert(!memcmp(x, y, gdb_reg_size(true, n)));
	}
}

static void check_state(const struct cpu_state *s)
{
	bool paging = s->cr0 & CPU_CR0_PG, lma = s->efer & CPU_EFER_LMA;

	assert(!paging || s->cr0 & CPU_CR0_PE);
	assert(lma == (paging && s->efer & CPU_EFER_LME));
	assert(!lma || s->cr4 & CPU_CR4_PAE);
	assert((s->regs.rflags & 0xffffffffffc2802a) == CPU_RFLAGS_FIXED);
	assert(s->regs.rip + 0x800000000000 < 0x1000000000000);
	assert(s->cr8 < 16 && !(s->cr3 >> 52) && !(s->dr6 >> 32) && !(s->dr7 >> 32));
}

/* What is refused changes nothing; what is accepted is there. */
static int write_register(struct cpu_state *s, unsigned n, const uint8_t *value)
{
	struct cpu_state before = *s;
	int r = gdb_reg_set(s, &counts, n, value);
	uint8_t now[GDB_REG_MAX];

	assert(r == 0 || r == -EPERM || r == -EINVAL);
	if (r) {
		assert(!memcmp(s, &before, sizeof(before)));
		return r;
	}
	gdb_reg_get(s, &counts, n, now);
	assert(is_lenient(gdb_reg_name(n)) || !memcmp(now, value, gdb_reg_size(true, n)));
	return 0;
}

/* What a register says, to itself. */
static int write_again(struct cpu_state *s, unsigned n)
{
	uint8_t now[GDB_REG_MAX];

	gdb_reg_get(s, &counts, n, now);
	return gdb_reg_set(s, &counts, n, now);
}

static void write_one(struct cpu_state *s, unsigned n, const uint8_t *value)
{
	struct cpu_state before = *s, after;

	if (write_register(s, n, value))
		return;
	after = *s;
	assert(!write_again(s, n) && !memcmp(s, &after, sizeof(after)));
	check_state(s);
	check_others(&before, s, n);
}

static void write_all(struct cpu_state *s, struct gdb_cursor *c)
{
	unsigned n = (unsigned)gdb_regs_count(true), i;
	uint8_t value[GDB_REG_MAX];
	struct cpu_state after;

	for (i = 0; i < n && gdb_take_bytes(c, value, gdb_reg_size(true, i)); i++) {
		if (!write_register(s, i, value))
			check_state(s);
	}
	after = *s;
	while (i)
		assert(write_again(s, --i) != -EINVAL);
	assert(!memcmp(s, &after, sizeof(after)));
}

/* A few registers, and all of them once: it takes longer than all else. */
static void write_registers(struct run *run, const uint8_t *payload, size_t len)
{
	struct gdb_cursor c = { payload, payload + len };
	uint8_t value[GDB_REG_MAX];
	uint64_t n;

	if (!run->writes_left)
		return;
	if (gdb_take_char(&c, 'G')) {
		run->writes_left = 0;
		write_all(run->cpu, &c);
	} else if (gdb_take_char(&c, 'P') && gdb_take_hex(&c, &n) && gdb_take_char(&c, '=') &&
		   n < gdb_regs_count(true) &&
		   gdb_take_bytes(&c, value, gdb_reg_size(true, (unsigned)n))) {
		run->writes_left--;
		write_one(run->cpu, (unsigned)n, value);
	}
}

static void take_items(struct run *run, const uint8_t *stream, size_t len, size_t part, bool no_ack)
{
	start(&decoder, no_ack);
	for (size_t at = 0, n; at < len; at += n) {
		const uint8_t *p = stream + at;

		n = len - at < part ? len - at : part;
		for (size_t left = n; left;) {
			size_t before = left;
			enum gdb_item item = gdb_decode(&decoder, &p, &left);

			assert(p == stream + at + n - left);
			assert(left < before || item == GDB_CORRUPT);
			if (item == GDB_NOTHING)
				continue;
			run->sum = hash_word(run->sum, item);
			if (item != GDB_PACKET)
				continue;
			assert(decoder.len <= GDB_PACKET_MAX && !decoder.payload[decoder.len]);
			run->sum = hash_bytes(run->sum, decoder.payload, decoder.len);
			if (!run->cpu)
				continue;
			check_sent_back(decoder.payload, decoder.len);
			check_cursor(decoder.payload, decoder.len);
			write_registers(run, decoder.payload, decoder.len);
		}
	}
}

static void check_escapes(const uint8_t *bytes, size_t n)
{
	size_t len;

	gdb_reply_begin(&reply);
	assert(gdb_put_escaped(&reply, bytes, n) == n && !reply.overflow);
	len = gdb_frame(&reply, frame);
	assert(gdb_reader_take(frame, len, true, text, sizeof(text)) == (long)n);
	assert(!n || !memcmp(text, bytes, n));
	assert(gdb_unescape(reply.bytes, reply.len) == n);
	assert(!n || !memcmp(reply.bytes, bytes, n));
}

static void check_runs(const uint8_t *bytes, size_t n)
{
	char line[SIZE_MAX_TAKEN];
	uint8_t back[SIZE_MAX_TAKEN];
	struct gdb_cursor digits;
	size_t len;

	for (size_t i = 0; i < n; i++)
		line[i] = (char)(bytes[i] ? bytes[i] : '0');
	line[n] = 0;
	gdb_reply_begin(&reply);
	gdb_put(&reply, line);
	gdb_put_hex(&reply, bytes, n);
	len = gdb_frame(&reply, frame);
	assert(len <= reply.len + 4 && reply.len == 3 * n);
	assert(gdb_reader_take(frame, len, false, text, sizeof(text)) == (long)reply.len);
	assert(!memcmp(text, reply.bytes, reply.len));
	digits = (struct gdb_cursor){ text + n, text + 3 * n };
	assert(gdb_take_bytes(&digits, back, n) && !memcmp(back, bytes, n));
	for (size_t i = 0; i < n; i++)
		assert(line[i] == (char)text[i] || (text[i] == '.' && strchr("#$*", line[i])));
}

static void check_stream(const uint8_t *stream, size_t len, size_t part, bool no_ack)
{
	struct cpu_state cpu;
	struct run whole = { .cpu = &cpu, .writes_left = WRITES_MAX }, parts = { .sum = 0 };

	cpu_state_long_mode(&cpu);
	take_items(&whole, stream, len, len, no_ack);
	take_items(&parts, stream, len, part, no_ack);
	assert(parts.sum == whole.sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > SIZE_MAX_TAKEN)
		return 0;
	if (!(data[0] & SAID))
		check_stream(data + 2, size - 2, 1u + data[1], data[0] & NO_ACK);
	else if (data[0] & SAID_IN_RUNS)
		check_runs(data + 2, size - 2);
	else
		check_escapes(data + 2, size - 2);
	return 0;
}
