// SPDX-License-Identifier: ISC
/* Agent expressions: what each instruction computes, what is refused, and what printf prints. */
#include "gdb_agent.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

/* Memory of 256 bytes, each its own address; registers that are ten times their number. */
struct world {
	char text[300];
	size_t len, full, prints;
};

static int read_register(void *ctx, unsigned n, uint64_t *value)
{
	(void)ctx;
	*value = 10 * n;
	return n < 100 ? 0 : -EINVAL;
}

static int read_memory(void *ctx, uint64_t gva, void *buf, size_t len)
{
	static const char words[] = "hello, world";

	(void)ctx;
	if (gva > 256 || len > 256 - gva)
		return -EFAULT;
	for (size_t i = 0; i < len; i++, gva++)
		((uint8_t *)buf)[i] = gva >= 64 && gva < 64 + sizeof(words)
					      ? (uint8_t)words[gva - 64]
					      : (uint8_t)gva;
	return 0;
}

static void take_text(void *ctx, const char *text, size_t len)
{
	struct world *w = ctx;

	w->prints++;
	w->full = len;
	if (len > sizeof(w->text) - 1)
		len = sizeof(w->text) - 1;
	memcpy(w->text, text, len);
	w->text[len] = 0;
	w->len = len;
}

static int eval(const void *code, size_t len, struct world *w, uint64_t *value)
{
	struct gdb_agent_env env = { w, read_register, read_memory, take_text };
	const char *why = NULL;
	int r;

	*w = (struct world){ .len = 0 };
	r = gdb_agent_eval(code, len, &env, value, &why);
	CU_ASSERT((r != 0) == (why != NULL));
	CU_ASSERT(!r || !*value);
	return r;
}

struct row {
	const char *code;
	size_t len;
	int r;
	uint64_t value;
};
#define ROW(code, r, value)                                                                        \
	{                                                                                          \
		code, sizeof(code) - 1, r, (uint64_t)(value)                                       \
	}
#define MINUS_1 "\x22\x00\x12" /* const8 0, bit_not */
#define END     "\x27"
#define LEAST   "\x25\x80\0\0\0\0\0\0\0" /* const64 INT64_MIN */

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct world w;
		uint64_t value = 99;
		int r = eval(rows[i].code, rows[i].len, &w, &value);

		CU_ASSERT(r == rows[i].r && value == rows[i].value);
		if (r != rows[i].r || value != rows[i].value)
			printf("     row %zu: %d, %#llx\n", i, r, (unsigned long long)value);
	}
}

static void computes(void)
{
	static const struct row rows[] = {
		ROW(END, 0, 0),
		ROW("\x22\x07" END, 0, 7),
		ROW("\x23\x01\x02" END, 0, 0x102),
		ROW("\x24\x01\x02\x03\x04" END, 0, 0x1020304),
		ROW("\x25\x01\x02\x03\x04\x05\x06\x07\x08" END, 0, 0x102030405060708),
		ROW("\x22\x07\x22\x03\x02" END, 0, 10),
		ROW("\x22\x07\x22\x09\x03" END, 0, -2),
		ROW("\x22\x07\x22\x09\x04" END, 0, 63),
		ROW("\x22\x07\x12\x22\x03\x05" END, 0, -2),
		ROW("\x22\x07\x12\x22\x03\x07" END, 0, -2), /* -8 % 3 */
		ROW("\x22\x07\x22\x03\x06" END, 0, 2),
		ROW("\x22\x07\x22\x03\x08" END, 0, 1),
		ROW(MINUS_1 "\x22\x02\x06" END, 0, INT64_MAX),
		ROW(LEAST MINUS_1 "\x05" END, 0, INT64_MIN),
		ROW(LEAST MINUS_1 "\x07" END, 0, 0),
		ROW("\x22\x01\x22\x3f\x09" END, 0, INT64_MIN),
		ROW("\x22\x01\x22\x40\x09" END, 0, 0),
		ROW(LEAST "\x22\x3f\x0a" END, 0, -1),
		ROW(LEAST "\x22\xff\x0a" END, 0, -1),
		ROW(LEAST "\x22\x3f\x0b" END, 0, 1),
		ROW(LEAST "\x22\x40\x0b" END, 0, 0),
		ROW("\x22\x05\x0e" END, 0, 0),
		ROW("\x22\x00\x0e" END, 0, 1),
		ROW("\x22\x0c\x22\x0a\x0f" END, 0, 8),
		ROW("\x22\x0c\x22\x0a\x10" END, 0, 14),
		ROW("\x22\x0c\x22\x0a\x11" END, 0, 6),
		ROW("\x22\x0c\x22\x0c\x13" END, 0, 1),
		ROW("\x22\x0c\x22\x0a\x13" END, 0, 0),
		ROW(MINUS_1 "\x22\x00\x14" END, 0, 1),
		ROW("\x22\x00" MINUS_1 "\x14" END, 0, 0),
		ROW(MINUS_1 "\x22\x00\x15" END, 0, 0),
		ROW("\x22\x00" MINUS_1 "\x15" END, 0, 1),
		ROW("\x22\x05\x22\x05\x14" END, 0, 0),
	};

	check_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

static void extends(void)
{
	static const struct row rows[] = {
		ROW("\x22\x80\x16\x08" END, 0, -128),
		ROW("\x22\x7f\x16\x08" END, 0, 127),
		ROW("\x23\x01\x7f\x16\x08" END, 0, 127),
		ROW("\x24\x80\0\0\0\x16\x20" END, 0, INT32_MIN),
		ROW("\x22\x01\x16\x01" END, 0, -1),
		ROW(LEAST "\x16\x40" END, 0, INT64_MIN),
		ROW(LEAST "\x16\xff" END, 0, INT64_MIN),
		ROW(MINUS_1 "\x16\x00" END, 0, 0),
		ROW(MINUS_1 "\x2a\x08" END, 0, 255),
		ROW(MINUS_1 "\x2a\x3f" END, 0, INT64_MAX),
		ROW(MINUS_1 "\x2a\x40" END, 0, -1),
		ROW(MINUS_1 "\x2a\x00" END, 0, 0),
	};

	check_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

static void refers(void)
{
	static const struct row rows[] = {
		ROW("\x22\x05\x17" END, 0, 5),
		ROW("\x22\x05\x18" END, 0, 0x605),
		ROW("\x22\x05\x19" END, 0, 0x8070605),
		ROW("\x22\x05\x1a" END, 0, 0xc0b0a0908070605),
		ROW("\x22\xff\x17" END, 0, 255),
		ROW("\x22\xff\x18" END, -EFAULT, 0),
		ROW(MINUS_1 "\x1a" END, -EFAULT, 0),
		ROW("\x26\x00\x07" END, 0, 70),
		ROW("\x26\x07\x00" END, -EINVAL, 0),
	};

	check_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

static void moves_on_the_stack(void)
{
	/* what is left of 1 2 3, read in decimal: 100 a + 10 b + c */
#define SUM "\x2b\x22\x0a\x04\x02\x2b\x22\x64\x04\x02" END
	static const struct row rows[] = {
		ROW("\x22\x01\x22\x02\x22\x03" SUM, 0, 123),
		ROW("\x22\x01\x22\x02\x22\x03\x2b" SUM, 0, 132),
		ROW("\x22\x01\x22\x02\x22\x03\x33" SUM, 0, 312),
		ROW("\x22\x01\x22\x02\x28" SUM, 0, 122),
		ROW("\x22\x01\x22\x02\x32\x00" SUM, 0, 122),
		ROW("\x22\x01\x22\x02\x32\x01" SUM, 0, 121),
		ROW("\x22\x01\x22\x02\x22\x03\x22\x04\x29" SUM, 0, 123),
		ROW("\x22\x01\x29" END, 0, 0),
	};

	check_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

static void jumps(void)
{
	static const struct row rows[] = {
		ROW("\x21\x00\x05\x22\x01\x22\x02" END, 0, 2),
		ROW("\x22\x01\x20\x00\x08\x22\x03\x27\x22\x04" END, 0, 4),
		ROW("\x22\x00\x20\x00\x08\x22\x03\x27\x22\x04" END, 0, 3),
		/* 10 down to 0 */
		ROW("\x22\x0a\x22\x01\x03\x28\x20\x00\x02" END, 0, 0),
		ROW("\x21\x00\x04" END, -EINVAL, 0), ROW("\x21\xff\xff" END, -EINVAL, 0),
		ROW("\x22\x01\x20\x00\x06" END, -EINVAL, 0),
		ROW("\x22\x00\x20\xff\xff" END, 0, 0), /* not gone there */
		ROW("\x21\x00\x00", -ETIME, 0), ROW("\x22\x01\x29\x21\x00\x00", -ETIME, 0),
		ROW("\x22\x01\x21\x00\x00", -EINVAL, 0), /* the stack is full before */
	};

	check_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

static void refuses(void)
{
	static const struct row rows[] = {
		ROW("", -EINVAL, 0),
		ROW("\x22\x07", -EINVAL, 0),
		ROW("\x22", -EINVAL, 0),
		ROW("\x25\x01\x02\x03\x04\x05\x06\x07", -EINVAL, 0),
		ROW("\x26\x00", -EINVAL, 0),
		ROW("\x00" END, -EINVAL, 0),
		ROW("\x31" END, -EINVAL, 0),
		ROW("\x35" END, -EINVAL, 0),
		ROW("\xff" END, -EINVAL, 0),
		ROW("\x02" END, -EINVAL, 0),
		ROW("\x22\x01\x02" END, -EINVAL, 0),
		ROW("\x29" END, -EINVAL, 0),
		ROW("\x28" END, -EINVAL, 0),
		ROW("\x22\x01\x2b" END, -EINVAL, 0),
		ROW("\x22\x01\x22\x01\x33" END, -EINVAL, 0),
		ROW("\x32\x00" END, -EINVAL, 0),
		ROW("\x22\x01\x32\x01" END, -EINVAL, 0),
		ROW("\x22\x01\x32\xff" END, -EINVAL, 0),
		ROW("\x17" END, -EINVAL, 0),
		ROW("\x18" END, -EINVAL, 0),
		ROW("\x19" END, -EINVAL, 0),
		ROW("\x1a" END, -EINVAL, 0),
		ROW("\x22\x01\x22\x00\x05" END, -EDOM, 0),
		ROW("\x22\x01\x22\x00\x06" END, -EDOM, 0),
		ROW("\x22\x01\x22\x00\x07" END, -EDOM, 0),
		ROW("\x22\x01\x22\x00\x08" END, -EDOM, 0),
		ROW("\x01" END, -EOPNOTSUPP, 0),
		ROW("\x22\x01\x22\x01\x0c" END, -EOPNOTSUPP, 0),
		ROW("\x22\x01\x0d\x01" END, -EOPNOTSUPP, 0),
		ROW("\x22\x01\x1b" END, -EOPNOTSUPP, 0),
		ROW("\x22\x01\x1f" END, -EOPNOTSUPP, 0),
		ROW("\x2c\x00\x01" END, -EOPNOTSUPP, 0),
		ROW("\x2d\x00\x01" END, -EOPNOTSUPP, 0),
		ROW("\x2e\x00\x01" END, -EOPNOTSUPP, 0),
		ROW("\x2f" END, -EOPNOTSUPP, 0),
		ROW("\x30\x00\x01" END, -EOPNOTSUPP, 0),
	};

	check_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

static void refuses_what_is_too_long(void)
{
	static uint8_t code[GDB_AGENT_MAX + 1];
	struct world w;
	uint64_t value;

	code[GDB_AGENT_MAX] = 0x27;
	memset(code, 0x28, GDB_AGENT_MAX);
	CU_ASSERT(eval(code, GDB_AGENT_MAX + 1, &w, &value) == -EINVAL);
	code[0] = 0x27;
	CU_ASSERT(eval(code, GDB_AGENT_MAX, &w, &value) == 0);
}

static void the_stack_ends_at_256(void)
{
	uint8_t code[2 + 256 + 1] = { 0x22, 1 };
	struct world w;
	uint64_t value;

	memset(code + 2, 0x28, 256);
	code[2 + 255] = 0x27;
	CU_ASSERT(eval(code, sizeof(code), &w, &value) == 0 && value == 1);
	code[2 + 255] = 0x28;
	code[2 + 256] = 0x27;
	CU_ASSERT(eval(code, sizeof(code), &w, &value) == -EINVAL);
}

/* An expression as gdb makes it of a dprintf: the values, last first, a channel, a function, the format. */
static int print(
	const char *format, const uint64_t *values, size_t n, struct world *w, uint64_t *value)
{
	uint8_t code[1000];
	size_t at = 0, len = strlen(format) + 1;

	for (size_t i = n + 2; i-- > 0;) {
		uint64_t v = i < 2 ? 0 : values[i - 2];

		code[at++] = 0x25;
		for (int shift = 56; shift >= 0; shift -= 8)
			code[at++] = (uint8_t)(v >> shift);
	}
	code[at++] = 0x34;
	code[at++] = (uint8_t)n;
	code[at++] = (uint8_t)(len >> 8);
	code[at++] = (uint8_t)len;
	memcpy(code + at, format, len);
	at += len;
	code[at++] = 0x27;
	return eval(code, at, w, value);
}

static void prints(void)
{
	static const struct {
		const char *format;
		uint64_t values[3];
		size_t n;
		const char *text;
	} rows[] = {
		{ "", { 0 }, 0, "" },
		{ "plain", { 0 }, 0, "plain" },
		{ "100%%", { 0 }, 0, "100%" },
		{ "%d %u %x", { 1, 2, 0xab }, 3, "1 2 ab" },
		{ "%d %ld", { 0xffffffff, UINT64_MAX }, 2, "-1 -1" },
		{ "%u %lu", { UINT64_MAX, UINT64_MAX }, 2, "4294967295 18446744073709551615" },
		{ "%x %lx %llX", { UINT64_MAX, UINT64_MAX, 0xabc }, 3,
			"ffffffff ffffffffffffffff ABC" },
		{ "%hhd %hx %hhu", { 0x1ff, 0x12345, 0x101 }, 3, "-1 2345 1" },
		{ "%zu %jd %o", { 5, UINT64_MAX, 8 }, 3, "5 -1 10" },
		{ "[%5d|%-5d|%05d]", { 42, 42, 42 }, 3, "[   42|42   |00042]" },
		{ "[%+d|% d|%#x]", { 42, 42, 42 }, 3, "[+42| 42|0x2a]" },
		{ "[%8.3x|%.0d]", { 1, 0 }, 2, "[     001|]" },
		{ "[%c%3c%-3c]", { 'a', 'b', 'c' }, 3, "[a  bc  ]" },
		{ "%s", { 64 }, 1, "hello, world" },
		{ "[%.5s|%15s|%-15s]", { 64, 64, 64 }, 3,
			"[hello|   hello, world|hello, world   ]" },
		{ "%s", { 0 }, 1, "(null)" },
		{ "%.0s.", { 64 }, 1, "." },
		{ "%p %p", { 0x1234, 0 }, 2, "0x1234 (nil)" },
		{ "[%10p|%-10p]", { 0x12, 0x12 }, 2, "[      0x12|0x12      ]" },
		{ "a\\n\\t\\\\\\\"\\101\\e\\q", { 0 }, 0, "a\n\t\\\"A\033q" },
		{ "\\78\\1234\\0", { 0 }, 0, "\a8S4" },
		{ "%i|%li", { 0xffffffff, 7 }, 2, "-1|7" },
		{ "end\\", { 0 }, 0, "end\\" },
		{ "%-#+0 -#+0 5d|", { 7 }, 1, "+7   |" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world w;
		uint64_t value;
		int r = print(rows[i].format, rows[i].values, rows[i].n, &w, &value);

		CU_ASSERT(r == 0 && w.prints == 1 && value == 0);
		CU_ASSERT_STRING_EQUAL(w.text, rows[i].text);
		CU_ASSERT(w.len == strlen(rows[i].text) ||
			  strchr(rows[i].format, '0')); /* a NUL may be meant */
		if (strcmp(w.text, rows[i].text))
			printf("     %s: %s, not %s\n", rows[i].format, w.text, rows[i].text);
	}
}

static void refuses_formats(void)
{
	static const struct {
		const char *format;
		uint64_t value;
		size_t n;
		int r;
	} rows[] = {
		{ "%", 0, 1, -EINVAL }, { "%5", 0, 1, -EINVAL }, { "%l", 0, 1, -EINVAL },
		{ "%n", 0, 1, -EINVAL }, { "%ln", 0, 1, -EINVAL }, { "%*d", 0, 1, -EINVAL },
		{ "%1$d", 0, 1, -EINVAL }, { "%.*s", 0, 1, -EINVAL }, { "%5%", 0, 1, -EINVAL },
		{ "%lld", 0, 0, -EINVAL }, { "%d%d", 0, 1, -EINVAL }, { "none", 0, 1, -EINVAL },
		{ "%513d", 0, 1, -EINVAL }, { "%99999999999999999999d", 0, 1, -EINVAL },
		{ "%.99999999999999999999d", 0, 1, -EINVAL }, { "%f", 0, 1, -EOPNOTSUPP },
		{ "%Lf", 0, 1, -EOPNOTSUPP }, { "%g", 0, 1, -EOPNOTSUPP },
		{ "%ls", 0, 1, -EOPNOTSUPP }, { "%lc", 0, 1, -EOPNOTSUPP },
		{ "%s", 1000, 1, -EFAULT },
		{ "%s", 200, 1, -EFAULT }, /* no end before memory ends */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world w;
		uint64_t value;
		int r = print(rows[i].format, &rows[i].value, rows[i].n, &w, &value);

		CU_ASSERT(r == rows[i].r && !w.prints);
		if (r != rows[i].r)
			printf("     %s: %d\n", rows[i].format, r);
	}
}

static void refuses_printf_that_is_cut(void)
{
#define TWO "\x22\x00\x22\x00"
	static const struct row rows[] = {
		ROW(TWO "\x34\x00\x00\x01\x00" END, 0, 0),
		ROW(TWO "\x34\x00\x00\x02\x00" END, -EINVAL, 0), /* its last byte is no NUL */
		ROW(TWO "\x34\x00\x00\x00" END, -EINVAL, 0),
		ROW(TWO "\x34\x00\x00\x05\x00" END, -EINVAL, 0),
		ROW(TWO "\x34\x00\xff\xff\x00" END, -EINVAL, 0),
		ROW(TWO "\x34\x00\x00", -EINVAL, 0),
		ROW(TWO "\x34\x00", -EINVAL, 0),
		ROW(TWO "\x34", -EINVAL, 0),
		ROW(TWO "\x34\x01\x00\x03%d\x00" END, -EINVAL, 0),
		ROW(TWO "\x34\xff\x00\x03%d\x00" END, -EINVAL, 0),
		ROW("\x22\x00\x34\x00\x00\x01\x00" END, -EINVAL, 0),
	};

	check_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

static void printing_may_be_absent(void)
{
	struct gdb_agent_env env = { NULL, read_register, read_memory, NULL };
	static const uint8_t code[] = { 0x22, 0, 0x22, 0, 0x34, 0, 0, 1, 0, 0x27 };
	const char *why;
	uint64_t value;

	CU_ASSERT(gdb_agent_eval(code, sizeof(code), &env, &value, &why) == -EOPNOTSUPP);
}

/* Endless text is as bounded as an endless loop: fuel is paid for what is printed. */
static void text_costs_fuel(void)
{
	static const uint8_t code[] = { 0x22, 5, 0x22, 0, 0x22, 0, 0x34, 1, 0, 6, '%', '5', '0',
		'0', 'd', 0, 0x21, 0, 0 };
	struct world w;
	uint64_t value;

	CU_ASSERT(eval(code, sizeof(code), &w, &value) == -ETIME);
	CU_ASSERT(w.full == 500);
	CU_ASSERT(w.prints > 100 && w.prints <= GDB_AGENT_FUEL / 500);
}

static void text_that_is_too_long_is_cut(void)
{
	char format[60] = "";
	uint64_t values[9] = { 0 }, value;
	struct world w;

	for (int i = 0; i < 9; i++)
		strcat(format, "%500d");
	CU_ASSERT(print(format, values, 9, &w, &value) == 0);
	CU_ASSERT(w.prints == 1 && w.full == 4096);
	CU_ASSERT(print("%512d%-.512d", values, 2, &w, &value) == 0 && w.full == 1024);
}

/* Registers are ten times their number: rax 0, rbx 10, rcx 20, rdx 30, rsi 40. */
static const struct compiled {
	const char *expression;
	int64_t value;
} compiled[] = {
	{ "(int)$rax * 3 - 7 < 100 && $rbx != 0", 1 },
	{ "($rdx >> 1) / (unsigned long)$rbx % 5u", 1 },
	{ "(short)$rdx << 2 | ~(char)$rbx ^ !$rcx", -3 },
	{ "*(unsigned short *)5", 0x605 },
	{ "*(int *)($rbx + 1)", 0xe0d0c0b },
	{ "*(char *)200", -56 },
	{ "$rax ? 1 : $rsi", 40 },
	{ "-$rbx / 3", -3 },
	{ "-$rbx % 7 < 0", 1 },
	{ "(unsigned char)($rcx * 13)", 4 },
	{ "$rbx >= 10 && $rcx <= 19 || $rdx > 29", 1 },
	{ "(unsigned)$rbx > (unsigned)-1", 0 },
	{ "$r15 == 150 && $rbx * 0x123456789 == 0xb60b60b5a", 1 },
};
enum { COMPILED = sizeof(compiled) / sizeof(compiled[0]) };

/* A line of gdb's listing, "  3  ext 64", as bytes. False when it is none. */
static bool assemble(const char *line, uint8_t *code, size_t *len)
{
	static const struct {
		const char *name;
		uint8_t op;
		int operand_bytes;
	} ops[] = {
		{ "add", 0x02, 0 },
		{ "sub", 0x03, 0 },
		{ "mul", 0x04, 0 },
		{ "div_signed", 0x05, 0 },
		{ "div_unsigned", 0x06, 0 },
		{ "rem_signed", 0x07, 0 },
		{ "rem_unsigned", 0x08, 0 },
		{ "lsh", 0x09, 0 },
		{ "rsh_signed", 0x0a, 0 },
		{ "rsh_unsigned", 0x0b, 0 },
		{ "log_not", 0x0e, 0 },
		{ "bit_and", 0x0f, 0 },
		{ "bit_or", 0x10, 0 },
		{ "bit_xor", 0x11, 0 },
		{ "bit_not", 0x12, 0 },
		{ "equal", 0x13, 0 },
		{ "less_signed", 0x14, 0 },
		{ "less_unsigned", 0x15, 0 },
		{ "ext", 0x16, 1 },
		{ "ref8", 0x17, 0 },
		{ "ref16", 0x18, 0 },
		{ "ref32", 0x19, 0 },
		{ "ref64", 0x1a, 0 },
		{ "if_goto", 0x20, 2 },
		{ "goto", 0x21, 2 },
		{ "const8", 0x22, 1 },
		{ "const16", 0x23, 2 },
		{ "const32", 0x24, 4 },
		{ "const64", 0x25, 8 },
		{ "reg", 0x26, 2 },
		{ "end", 0x27, 0 },
		{ "dup", 0x28, 0 },
		{ "pop", 0x29, 0 },
		{ "zero_ext", 0x2a, 1 },
		{ "swap", 0x2b, 0 },
		{ "pick", 0x32, 1 },
		{ "rot", 0x33, 0 },
	};
	unsigned long long operand = 0;
	size_t at;
	char name[20];

	if (sscanf(line, " %zu %19s %llu", &at, name, &operand) < 2)
		return false;
	CU_ASSERT(at == *len);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (!strcmp(ops[i].name, name)) {
			code[(*len)++] = ops[i].op;
			for (int b = ops[i].operand_bytes; b-- > 0;)
				code[(*len)++] = (uint8_t)(operand >> 8 * b);
			return true;
		}
	CU_FAIL("an instruction of gdb's that we do not know");
	return false;
}

/* gdb, asked for the code of each expression, as a debugger of this program. */
static FILE *ask_gdb(void)
{
	char command[4096], self[1000];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int at;

	if (n < 0)
		return NULL;
	self[n] = 0;
	at = snprintf(command, sizeof(command), "exec timeout 60 gdb -nx -batch");
	for (size_t i = 0; i < COMPILED; i++)
		at += snprintf(command + at, sizeof(command) - (size_t)at,
			" -ex 'maint agent-eval -at main, %s'", compiled[i].expression);
	snprintf(command + at, sizeof(command) - (size_t)at, " '%s' 2>&1 </dev/null", self);
	return popen(command, "r");
}

static void computes_what_gdb_compiles(void)
{
	FILE *f = ask_gdb();
	char line[300];
	uint8_t code[GDB_AGENT_MAX];
	size_t len = 0, seen = 0;
	int status;

	CU_ASSERT_FATAL(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		struct world w;
		uint64_t value;

		if (!assemble(line, code, &len) || code[len - 1] != 0x27 || !strstr(line, "end"))
			continue;
		CU_ASSERT(eval(code, len, &w, &value) == 0);
		CU_ASSERT(seen < COMPILED && value == (uint64_t)compiled[seen].value);
		if (seen < COMPILED && value != (uint64_t)compiled[seen].value)
			printf("     %s: %lld\n", compiled[seen].expression, (long long)value);
		seen++;
		len = 0;
	}
	status = pclose(f);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		unit_skip("no gdb, or no timeout");
		return;
	}
	CU_ASSERT(seen == COMPILED);
}

/* Why, in words: gdb shows them. */
static void says_why(void)
{
	static char long_one[GDB_AGENT_MAX + 1];
	static const struct {
		const char *code;
		size_t len;
		const char *why;
	} rows[] = {
		{ "", 0, "no end" },
		{ "\x22\x01", 2, "no end" },
		/* Operands that are cut. */
		{ "\x22", 1, "no end" },
		{ "\x22\x01\x23\x01", 4, "no end" },
		{ "\x22\x01\x24\x01\x02\x03", 6, "no end" },
		{ "\x22\x01\x25\x01\x02\x03\x04\x05\x06\x07", 10, "no end" },
		{ "\x22\x01\x26\x01", 4, "no end" },
		{ "\x22\x01\x20\x00", 4, "no end" },
		{ "\x35\x27", 2, "unknown instruction" },
		{ "\xff\x27", 2, "unknown instruction" },
		{ "\x02\x27", 2, "stack underflow" },
		{ "\x22\x00\x22\x00\x34\x00\x00\x03%d\x00\x27", 12,
			"fewer values than the format has" },
		{ long_one, sizeof(long_one), "longer than expressions may be" },
	};

	memset(long_one, 0x27, sizeof(long_one));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world w = { .len = 0 };
		struct gdb_agent_env env = { &w, read_register, read_memory, take_text };
		const char *why = "";
		uint64_t value;
		int r = gdb_agent_eval(
			(const uint8_t *)rows[i].code, rows[i].len, &env, &value, &why);

		CU_ASSERT_EQUAL(r, -EINVAL);
		CU_ASSERT_STRING_EQUAL(why, rows[i].why);
	}
}

/* Of more than 255 bytes: its length has two. */
static void prints_long_formats(void)
{
	char format[290];
	struct world w;
	uint64_t value;

	memset(format, 'x', sizeof(format));
	format[sizeof(format) - 1] = 0;
	CU_ASSERT_EQUAL(print(format, NULL, 0, &w, &value), 0);
	CU_ASSERT_STRING_EQUAL(w.text, format);
}

/* By as many bits as there are, or more: all of them are gone, but for the sign. */
static void shifts_by_any_number(void)
{
	static const struct {
		uint8_t op, by;
		uint64_t minus_8, plus_8;
	} rows[] = {
		{ 0x09, 63, 0, 0 },
		{ 0x09, 64, 0, 0 },
		{ 0x0a, 63, UINT64_MAX, 0 },
		{ 0x0a, 64, UINT64_MAX, 0 },
		{ 0x0a, 255, UINT64_MAX, 0 },
		{ 0x0b, 63, 1, 0 },
		{ 0x0b, 64, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t minus[] = { 0x22, 7, 0x12, 0x22, rows[i].by, rows[i].op, 0x27 };
		uint8_t plus[] = { 0x22, 8, 0x22, rows[i].by, rows[i].op, 0x27 };
		uint64_t value;
		struct world w;

		CU_ASSERT_EQUAL(eval(minus, sizeof(minus), &w, &value), 0);
		CU_ASSERT_EQUAL(value, rows[i].minus_8);
		CU_ASSERT_EQUAL(eval(plus, sizeof(plus), &w, &value), 0);
		CU_ASSERT_EQUAL(value, rows[i].plus_8);
	}
}

static const struct unit_case cases[] = {
	{ "computes", computes },
	{ "extends", extends },
	{ "refers", refers },
	{ "moves_on_the_stack", moves_on_the_stack },
	{ "jumps", jumps },
	{ "refuses", refuses },
	{ "refuses_what_is_too_long", refuses_what_is_too_long },
	{ "the_stack_ends_at_256", the_stack_ends_at_256 },
	{ "prints", prints },
	{ "refuses_formats", refuses_formats },
	{ "refuses_printf_that_is_cut", refuses_printf_that_is_cut },
	{ "printing_may_be_absent", printing_may_be_absent },
	{ "text_costs_fuel", text_costs_fuel },
	{ "computes_what_gdb_compiles", computes_what_gdb_compiles },
	{ "text_that_is_too_long_is_cut", text_that_is_too_long_is_cut },
	{ "says_why", says_why },
	{ "prints_long_formats", prints_long_formats },
	{ "shifts_by_any_number", shifts_by_any_number },
};

UNIT_MAIN("gdb_agent", cases)
