// SPDX-License-Identifier: ISC
/* Packets that ask what there is and agree on what is used: q and Q. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "core.h"
#include "gdb_stub_parts.h"

enum { CALLS_MAX = 256, SEARCH_MAX = 1024 };

/* ---- what both can do ---- */

static void supported(struct gdb_stub *s, struct gdb_cursor *c)
{
	while (gdb_left(c)) {
		c->at++;
		if (gdb_take(c, "error-message+"))
			s->error_text = true;
		else if (gdb_take(c, "swbreak+"))
			s->takes[GDB_WHY_BREAK_SOFT] = true;
		else if (gdb_take(c, "hwbreak+"))
			s->takes[GDB_WHY_BREAK_HARD] = true;
		*c = (struct gdb_cursor){ gdb_take_until(c, ";").end, c->end };
	}
	gdb_printf(&s->out,
		"PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;qXfer:exec-file:read+;"
		"qXfer:threads:read+;qXfer:auxv:read+;swbreak+;hwbreak+;vContSupported+;"
		"QCatchSyscalls+;"
		"ConditionalBreakpoints+;BreakpointCommands+;binary-upload+;error-message+",
		GDB_PACKET_MAX);
	if (s->ops->can_reverse)
		gdb_put(&s->out, ";ReverseStep+;ReverseContinue+");
}

static void start_no_ack(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	s->no_ack = true;
	gdb_put(&s->out, "OK");
}

static void agree(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	gdb_put(&s->out, "OK");
}

static void enable_error_text(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	s->error_text = true;
	gdb_put(&s->out, "OK");
}

/* ---- the process ---- */

static void attached(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	gdb_put(&s->out, s->ops->created ? "0" : "1"); /* killed, or let go of, when gdb quits */
}

static void current_thread(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	gdb_put(&s->out, "QC1");
}

static void first_threads(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	gdb_put(&s->out, "m1");
}

static void next_threads(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	gdb_put(&s->out, "l");
}

static void thread_info(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	gdb_put_hex(&s->out, "vCPU 0", strlen("vCPU 0"));
}

/*
 * Where the first segment is: gdb moves all that is in any segment as far. By the offsets of sections it would move .text,
 * .data and .bss alone, and lldb takes the address for an offset.
 */
static void offsets(struct gdb_stub *s, struct gdb_cursor *c)
{
	uint64_t offset = s->ops->load_offset(s->target);
	uint64_t start = offset + s->ops->image_start(s->target);

	(void)c;
	if (offset)
		gdb_printf(&s->out, "TextSeg=%llx", (unsigned long long)start);
	else
		gdb_put(&s->out, "Text=0;Data=0;Bss=0");
}

/* For lldb. */
static void host_info(struct gdb_stub *s, struct gdb_cursor *c)
{
	static const char triple[] = "x86_64-unknown-unknown-elf";

	(void)c;
	gdb_put(&s->out, "triple:");
	gdb_put_hex(&s->out, triple, strlen(triple));
	gdb_put(&s->out, ";ptrsize:8;endian:little;");
}

static void process_info(struct gdb_stub *s, struct gdb_cursor *c)
{
	gdb_put(&s->out, "pid:1;");
	host_info(s, c);
}

/* ---- objects ---- */

static void features(struct gdb_stub *s, struct gdb_cursor *c)
{
	const char *xml = gdb_regs_xml(s->ops->has_avx);

	gdb_reply_part(s, c, xml, strlen(xml));
}

static void threads(struct gdb_stub *s, struct gdb_cursor *c)
{
	static const char one[] = "<?xml version=\"1.0\"?><threads><thread id=\"1\" core=\"0\" "
				  "name=\"vCPU 0\"/></threads>";
	static const char none[] = "<?xml version=\"1.0\"?><threads/>";
	const char *xml = s->over ? none : one;

	gdb_reply_part(s, c, xml, strlen(xml));
}

/* By this gdb moves a PIE whose symbols are loaded when it has connected. */
static void auxv(struct gdb_stub *s, struct gdb_cursor *c)
{
	uint64_t aux[CORE_AUX_MAX][2];
	size_t n = core_auxv(s->ops->image_entry(s->target), aux);

	gdb_reply_part(s, c, aux, n * sizeof(aux[0]));
}

/* The annex is a process, or nothing. */
static void exec_file(struct gdb_stub *s, struct gdb_cursor *c)
{
	const char *name = s->ops->exec_file(s->target);

	gdb_take_until(c, ":");
	if (gdb_take_char(c, ':'))
		gdb_reply_part(s, c, name, strlen(name));
	else
		gdb_reply_error(s, ENOENT, NULL);
}

/* ---- calls ---- */

static void catch_calls(struct gdb_stub *s, struct gdb_cursor *c)
{
	uint64_t numbers[CALLS_MAX];
	bool on = gdb_take_char(c, '1');
	size_t n = 0;

	if (!on && !gdb_take_char(c, '0'))
		return gdb_reply_error(s, EINVAL, "0 or 1 expected");
	while (n < CALLS_MAX && gdb_take_char(c, ';')) {
		if (!gdb_take_hex(c, &numbers[n++]))
			return gdb_reply_error(s, EINVAL, "number of a call expected");
	}
	if (gdb_left(c))
		return gdb_reply_error(s, EINVAL, "so many calls there are not");
	gdb_reply_result(s, s->ops->catch_calls(s->target, on, numbers, n), NULL);
}

/* ---- monitor ---- */

static void monitor(struct gdb_stub *s, struct gdb_cursor *c)
{
	size_t n = gdb_left(c) / 2, size = 0;
	char *line = (char *)s->bytes;
	autofree char *text = NULL;
	FILE *out;
	bool known;

	if (!gdb_take_bytes(c, s->bytes, n) || gdb_left(c))
		return gdb_reply_error(s, EINVAL, "a line of hex digits expected");
	line[n] = 0;
	if (!n)
		strcpy(line, "help");
	out = open_memstream(&text, &size);
	if (!out)
		return gdb_reply_error(s, ENOMEM, "out of memory");
	known = s->ops->monitor(s->target, line, out);
	if (!known)
		fprintf(out, "%.*s: no such command; see monitor help\n", (int)strcspn(line, " "),
			line);
	s->has_state = false;
	if (fclose(out))
		return gdb_reply_error(s, ENOMEM, "out of memory");
	if (!size)
		return gdb_put(&s->out, "OK");
	if (size > GDB_PACKET_MAX / 2)
		size = GDB_PACKET_MAX / 2;
	gdb_put_hex(&s->out, text, size);
}

/* ---- memory, looked at here rather than fetched ---- */

/* The CRC of "compare-sections": GDB manual, appendix E.7; polynomial 0x04c11db7, from the top, all ones first. */
static uint32_t crc_add(uint32_t crc, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		crc ^= (uint32_t)bytes[i] << 24;
		for (int bit = 0; bit < 8; bit++)
			crc = crc << 1 ^ (crc >> 31 ? 0x04c11db7 : 0);
	}
	return crc;
}

static void crc(struct gdb_stub *s, struct gdb_cursor *c)
{
	uint32_t sum = ~0u;
	uint64_t at, len;
	size_t n;

	if (!gdb_take_hex(c, &at) || !gdb_take_char(c, ',') || !gdb_take_hex(c, &len))
		return gdb_reply_error(s, EINVAL, "address and length expected");
	for (; len; at += n, len -= n) {
		n = s->ops->read(s->target, s->physical, at, s->bytes,
			len < sizeof(s->bytes) ? len : sizeof(s->bytes));
		if (!n)
			return gdb_reply_error(s, EFAULT, "no such memory");
		sum = crc_add(sum, s->bytes, n);
	}
	gdb_printf(&s->out, "C%x", sum);
}

/* Piece by piece, overlapping by one byte less than is looked for. */
static bool search(struct gdb_stub *s, uint64_t *at, uint64_t len, const uint8_t *what, size_t n)
{
	const uint8_t *found;
	size_t got;

	while (len >= n) {
		got = s->ops->read(s->target, s->physical, *at, s->bytes,
			len < sizeof(s->bytes) ? len : sizeof(s->bytes));
		found = got >= n ? memmem(s->bytes, got, what, n) : NULL;
		if (found) {
			*at += (uint64_t)(found - s->bytes);
			return true;
		}
		if (got < n || got == len)
			return false;
		*at += got - (n - 1);
		len -= got - (n - 1);
	}
	return false;
}

static void search_memory(struct gdb_stub *s, struct gdb_cursor *c)
{
	uint8_t what[SEARCH_MAX];
	uint64_t at, len;
	size_t n;

	if (!gdb_take_hex(c, &at) || !gdb_take_char(c, ';') || !gdb_take_hex(c, &len) ||
		!gdb_take_char(c, ';') || !gdb_left(c) || gdb_left(c) > sizeof(what))
		return gdb_reply_error(s, EINVAL, "address, length and a pattern expected");
	n = gdb_left(c);
	memcpy(what, c->at, n);
	n = gdb_unescape(what, n);
	if (n && search(s, &at, len, what, n))
		gdb_printf(&s->out, "1,%llx", (unsigned long long)at);
	else
		gdb_put(&s->out, "0");
}

/* ---- as QEMU's stub has them: tools know kernels by these ---- */

static void physical_get(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	gdb_put(&s->out, s->physical ? "1" : "0");
}

static void physical_set(struct gdb_stub *s, struct gdb_cursor *c)
{
	bool on = gdb_take_char(c, '1');

	if (!on && !gdb_take_char(c, '0'))
		return gdb_reply_error(s, EINVAL, "0 or 1 expected");
	s->physical = on;
	gdb_put(&s->out, "OK");
}

static void step_bits(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	gdb_put(&s->out, "ENABLE=1,NOIRQ=2,NOTIMER=4");
}

static void step_mask(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	gdb_put(&s->out, "0x1");
}

const struct gdb_packet_row gdb_query_rows[] = {
	{ "qSupported", supported, GDB_WHOLE },
	{ "QStartNoAckMode", start_no_ack, GDB_WHOLE },
	{ "QEnableErrorStrings", enable_error_text, GDB_WHOLE },
	{ "qAttached", attached, GDB_WHOLE },
	{ "qC", current_thread, GDB_WHOLE },
	{ "qfThreadInfo", first_threads, GDB_WHOLE },
	{ "qsThreadInfo", next_threads, GDB_WHOLE },
	{ "qThreadExtraInfo,", thread_info, 0 },
	{ "qOffsets", offsets, GDB_WHOLE },
	{ "qHostInfo", host_info, GDB_WHOLE },
	{ "qProcessInfo", process_info, GDB_WHOLE },
	{ "qXfer:features:read:target.xml:", features, 0 },
	{ "qXfer:threads:read::", threads, 0 },
	{ "qXfer:auxv:read::", auxv, 0 },
	{ "qXfer:exec-file:read:", exec_file, 0 },
	{ "qSymbol:", agree, 0 },
	{ "QCatchSyscalls:", catch_calls, 0 },
	{ "qRcmd,", monitor, 0 },
	{ "qCRC:", crc, 0 },
	{ "qSearch:memory:", search_memory, 0 },
	{ "qqemu.PhyMemMode", physical_get, GDB_WHOLE },
	{ "Qqemu.PhyMemMode:", physical_set, 0 },
	{ "qqemu.sstepbits", step_bits, GDB_WHOLE },
	{ "qqemu.sstep", step_mask, GDB_WHOLE },
	{ NULL, NULL, 0 },
};
