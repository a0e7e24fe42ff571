// SPDX-License-Identifier: ISC
/* Recordings read: what the writer wrote, what a kill left, and what nobody should have written. */
#include "trace_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi.h"
#include "abi_uhyve.h"
#include "cpuid_table.h"
#include "err.h"
#include "heap.h"
#include "tmptree.h"
#include "trace_text.h"
#include "trace_write.h"
#include "unit.h"
#include "vm.h"

/* --- recordings by hand ------------------------------------------------------------------------- */

enum { ROOM = 256 << 10 };

struct bytes {
	uint8_t p[ROOM];
	size_t len;
};

static void put(struct bytes *b, const void *p, size_t len)
{
	CU_ASSERT_FATAL(len <= ROOM - b->len);
	memcpy(b->p + b->len, p, len);
	b->len += len;
}

static void put16(struct bytes *b, uint16_t v)
{
	put(b, &v, sizeof(v));
}

static void put32(struct bytes *b, uint32_t v)
{
	put(b, &v, sizeof(v));
}

static void put_section(struct bytes *b)
{
	put32(b, 0x0a0d0d0a), put32(b, 28), put32(b, 0x1a2b3c4d), put16(b, 1), put16(b, 0);
	put32(b, UINT32_MAX), put32(b, UINT32_MAX), put32(b, 28);
}

static void put_interface(struct bytes *b, uint16_t linktype, uint8_t resolution)
{
	put32(b, 1), put32(b, 32), put16(b, linktype), put16(b, 0), put32(b, 0);
	put16(b, 9), put16(b, 1), put32(b, resolution), put32(b, 0), put32(b, 32);
}

static void put_block(struct bytes *b, uint32_t type, const void *body, uint32_t len)
{
	uint32_t padded = (len + 3) & ~3u;

	put32(b, type), put32(b, padded + 12);
	put(b, body, len);
	put(b, "\0\0\0", padded - len);
	put32(b, padded + 12);
}

static void put_packet(struct bytes *b, const void *payload, size_t len)
{
	static struct bytes body;
	uint32_t len32 = (uint32_t)len;

	body.len = 0;
	put32(&body, 0), put32(&body, 1), put32(&body, 2), put32(&body, len32), put32(&body, len32);
	put(&body, payload, len);
	put_block(b, 6, body.p, (uint32_t)body.len);
}

static void head(struct bytes *b, unsigned major, uint64_t v)
{
	uint8_t one = (uint8_t)(major << 5 | 27), big[8];

	if (v < 24) {
		one = (uint8_t)(major << 5 | v);
		put(b, &one, 1);
		return;
	}
	put(b, &one, 1);
	for (int i = 0; i < 8; i++)
		big[i] = (uint8_t)(v >> (56 - 8 * i));
	put(b, big, 8);
}

/*
 * CBOR from a line: "{ a [ 1 2 ] n 3 in 'bytes' x "text" bad true r -2 f zNN }": bare words are keys and
 * texts, zNN are NN zero bytes, ~HEX is bytes of CBOR as they are. Maps and arrays say nothing of their size: it is counted here.
 */
static size_t count_items(const char *p)
{
	size_t n = 0;
	int depth = 0;
	char word[300];
	int len;

	while (sscanf(p, " %299s%n", word, &len) == 1) {
		p += len;
		if (*word == ']' || *word == '}')
			depth--;
		if (depth < 0)
			return n;
		n += !depth && *word != ']' && *word != '}';
		depth += *word == '[' || *word == '{';
	}
	return n;
}

static void put_hex(struct bytes *b, const char *hex)
{
	unsigned byte;

	for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		put(b, &(uint8_t){ (uint8_t)byte }, 1);
}

static void put_word(struct bytes *b, const char *word, const char *rest)
{
	static const uint8_t zeros[ROOM];
	size_t len = strlen(word);

	if (*word == '{')
		head(b, 5, count_items(rest) / 2);
	else if (*word == '[')
		head(b, 4, count_items(rest));
	else if (*word == '-')
		head(b, 1, strtoull(word + 1, NULL, 0) - 1);
	else if (*word >= '0' && *word <= '9')
		head(b, 0, strtoull(word, NULL, 0));
	else if (!strcmp(word, "true") || !strcmp(word, "false"))
		put(b, *word == 't' ? "\xf5" : "\xf4", 1);
	else if (!strcmp(word, "null"))
		put(b, "\xf6", 1);
	else if (*word == '\'')
		head(b, 2, len - 2), put(b, word + 1, len - 2);
	else if (*word == 'z' && word[1])
		head(b, 2, strtoull(word + 1, NULL, 0)), put(b, zeros, strtoull(word + 1, NULL, 0));
	else if (*word == '~')
		put_hex(b, word + 1);
	else if (*word != ']' && *word != '}')
		head(b, 3, len), put(b, word, len);
}

static void put_cbor(struct bytes *b, const char *line)
{
	char word[300];
	int len;

	while (sscanf(line, " %299s%n", word, &len) == 1)
		put_word(b, word, line += len);
}

static void put_line(struct bytes *b, const char *line)
{
	static struct bytes payload;

	payload.len = 0;
	put_cbor(&payload, line);
	put_packet(b, payload.p, payload.len);
}

#define HEADER "{ abi uhyve bjt 1 gen 2 mem 0x200000 mnt [ [ 'h' '/m' 1 ] ] }"
#define CLOSE  "{ a [ 1 ] n 0 r 0 nr 0x1120 }"
#define END    "{ end 1 code 0 stop 1 text done }"

static void put_start(struct bytes *b)
{
	b->len = 0;
	put_section(b);
	put_interface(b, 147, 9);
}

/* A recording of the lines, each a packet. */
static struct bytes *recording(const char *const *lines)
{
	static struct bytes b;

	put_start(&b);
	for (; *lines; lines++)
		put_line(&b, *lines);
	return &b;
}

/* Reads to the end; the number of records, or -errno. Kinds go to kinds, a letter each. */
static int read_all(const void *p, size_t len, char *kinds, size_t size, struct err *err)
{
	static const char letters[] = "BTCPWAEX";
	struct trace_reader *r;
	struct trace_record record;
	size_t n = 0;
	int got;

	err->text[0] = 0;
	kinds[0] = 0;
	got = trace_reader_open_memory(&r, p, len, "x.pcapng", err);
	if (got)
		return got;
	while ((got = trace_reader_next(r, &record, err)) > 0 && n + 1 < size) {
		kinds[n++] = letters[record.kind];
		kinds[n] = 0;
	}
	trace_reader_close(r);
	return got ? got : (int)n;
}

static bool contains(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

/* The error that reading the lines ends in; "" when there is none. */
static const char *error_of(const char *const *lines)
{
	static struct err err;
	struct bytes *b = recording(lines);
	char kinds[20];
	int n;

	n = read_all(b->p, b->len, kinds, sizeof(kinds), &err);
	CU_ASSERT(err.text[0] ? n == -EBADMSG : n >= 0);
	return err.text;
}

static void reads_what_is_written_by_hand(void)
{
	const char *const lines[] = { HEADER, "{ blob z32 data 'abc' }",
		"{ hash z32 mode 420 path 'a/b' size 3 tree 1 mount 0 }", CLOSE,
		"{ path 'a/b' after 0 mount 0 }", END, NULL };
	struct bytes *b = recording(lines);
	struct err err;
	char kinds[20];

	CU_ASSERT_EQUAL(read_all(b->p, b->len, kinds, sizeof(kinds), &err), 5);
	CU_ASSERT_STRING_EQUAL(kinds, "BTCAE");
	CU_ASSERT_STRING_EQUAL(err.text, "");
}

#define FIRST_NAME "{ hash z32 mode 0 path 'a' tree 1 mount 0 }"

/* Between the calls, and only there. */
static void tells_what_a_debugger_wrote(void)
{
	const char *const lines[] = { HEADER, "{ at 5 ex 2 ip 9 out z8 reg rax edit 0 }", CLOSE,
		"{ gpa 4096 out 'abc' edit 1 }", END, NULL };
	const char *const late[] = { HEADER, "{ path 'a/b' after 0 mount 0 }",
		"{ gpa 4096 out 'abc' edit 1 }", END, NULL };
	const char *const large[] = { HEADER, "{ gpa 4096 out z65537 edit 1 }", END, NULL };
	struct bytes *b = recording(lines);
	struct trace_record record;
	struct trace_reader *r;
	struct err err;
	char kinds[20];

	CU_ASSERT_EQUAL(read_all(b->p, b->len, kinds, sizeof(kinds), &err), 4);
	CU_ASSERT_STRING_EQUAL(kinds, "WCWE");
	CU_ASSERT_EQUAL_FATAL(trace_reader_open_memory(&r, b->p, b->len, "x.pcapng", &err), 0);
	CU_ASSERT_EQUAL(trace_reader_next(r, &record, &err), 1);
	CU_ASSERT(!record.edit.held && record.edit.insns == 5 && record.edit.happened == 2);
	CU_ASSERT(record.edit.rip == 9 && record.out_len == 8);
	CU_ASSERT_STRING_EQUAL(record.edit.reg, "rax");
	CU_ASSERT_EQUAL(trace_reader_next(r, &record, &err), 1);
	CU_ASSERT_EQUAL(trace_reader_next(r, &record, &err), 1);
	CU_ASSERT(record.edit.held && !record.edit.reg && record.edit.gpa == 4096);
	CU_ASSERT(record.edit.calls == 1 && !record.edit.rip);
	trace_reader_close(r);
	CU_ASSERT(contains(error_of(late), "comes too late"));
	CU_ASSERT(contains(error_of(large), "65537 bytes written; expected 1 to 65536"));
}

static void another_name_is_one_of_an_earlier_object(void)
{
	const char *const good[] = { HEADER, FIRST_NAME,
		"{ hash z32 mode 0 path 'b' same 1 tree 1 mount 0 }", NULL };

	CU_ASSERT_STRING_EQUAL(error_of(good), "");
	CU_ASSERT(contains(error_of((const char *const[]){ HEADER, FIRST_NAME,
				   "{ hash z32 mode 0 path 'b' same 2 tree 1 mount 0 }", NULL }),
		"not come before"));
	CU_ASSERT(contains(error_of((const char *const[]){ HEADER, FIRST_NAME,
				   "{ mode 0 path 'b' same 1 tree 2 mount 0 }", NULL }),
		"of a directory"));
}

static void refuses_a_bad_header(void)
{
#define WITHOUT_MEM "abi uhyve bjt 1 gen 2"
	static const struct {
		const char *header, *why;
	} rows[] = {
		{ "{ end 1 }", "no key \"bjt\"" },
		{ "{ abi [ 1 ] bjt 2 }", "a newer belljar" },
		{ "{ bjt 0 abi uhyve gen 2 mem 4096 }", "version 0" },
		{ "{ bjt 1 gen 2 mem 4096 }", "no ABI" },
		{ "{ bjt 1 abi other gen 2 mem 4096 }", "unknown ABI \"other\"" },
		{ "{ bjt 1 abi a234567890b234567890c234567890d2345678e234 gen 2 mem 4096 }",
			"unknown ABI \"a234567890b234567890c234567890d2345678e2\"" },
		{ "{ bjt 1 abi uhyvex gen 2 mem 4096 }", "unknown ABI \"uhyvex\"" },
		{ "{ bjt 1 abi uhyve gen 0 mem 4096 }", "unknown generation 0" },
		{ "{ bjt 2 abi uhyve gen 2 mem 4096 }", "format 2, and this one reads 1" },
		{ "{ bjt 1 abi uhyvf gen 2 mem 4096 }", "unknown ABI \"uhyvf\"" },
		{ "{ bjt 1 abi a234567890123456789012345678901234567890b gen 2 mem 4096 }",
			"unknown ABI \"a234567890123456789012345678901234567890\"" },
		{ "{ bjt 1 abi uhyve mem 4096 }", "no ABI generation" },
		{ "{ bjt 1 abi uhyve gen 3 mem 4096 }", "unknown generation 3" },
		{ "{ " WITHOUT_MEM " }", "0 bytes of guest memory" },
		{ "{ " WITHOUT_MEM " mem 4097 }", "4097 bytes of guest memory" },
		{ "{ " WITHOUT_MEM " mem 0x10000001000 }", "bytes of guest memory" },
		{ "{ " WITHOUT_MEM " mem -1 }", "key \"mem\": expected a number" },
		{ "{ " WITHOUT_MEM " mem 4096 cwd 'x' }", "working directory" },
		{ "{ " WITHOUT_MEM " mem 4096 argv [ z3 ] }", "a NUL in a string" },
		{ "{ " WITHOUT_MEM " mem 4096 argv 'x' }", "expected an array" },
		{ "{ " WITHOUT_MEM " mem 4096 argv [ 1 ] }", "key \"argv\": expected bytes" },
		{ "{ " WITHOUT_MEM " mem 4096 cwd z3 }", "a NUL in a string" },
		{ "{ " WITHOUT_MEM " mem 4096 mnt [ 5 ] }", "key \"mnt\": expected an array" },
		{ "{ " WITHOUT_MEM " mem 4096 mnt [ [ 5 '/b' 1 ] ] }", "expected bytes" },
		{ "{ " WITHOUT_MEM " mem 4096 mnt [ [ 'a' 5 1 ] ] }", "expected bytes" },
		{ "{ " WITHOUT_MEM " mem 4096 cpu \xf5\x80\x80\x80 }", "not UTF-8" },
		{ "{ " WITHOUT_MEM " mem 4096 cpu \xf0\x8f\xbf\xbf }", "not UTF-8" },
		{ "{ " WITHOUT_MEM " mem 4096 cpu \xf4\x90\x80\x80 }", "not UTF-8" },
		{ "{ " WITHOUT_MEM " mem 4096 cpu \xe0\x9f\xbf }", "not UTF-8" },
		{ "{ " WITHOUT_MEM " mem 4096 cpu a\xe2\x82 }", "not UTF-8" },
		{ "{ " WITHOUT_MEM " mem 4096 cpu \xc2\x41 }", "not UTF-8" },
		{ "{ " WITHOUT_MEM " mem 4096 cpu a\x7f }", "control character" },
		{ "{ " WITHOUT_MEM " mem 4096 cpu a\xff }", "not UTF-8" },
		{ "{ " WITHOUT_MEM " mem 4096 cpu a\xc0\x80 }", "not UTF-8" },
		{ "{ " WITHOUT_MEM " mem 4096 cpu a\xed\xa0\x80 }", "not UTF-8" },
		{ "{ " WITHOUT_MEM " mem 4096 prog a\x1b[2J }", "control character" },
		{ "{ " WITHOUT_MEM " mem 4096 prog a\xc2\x9b }", "control character" },
		{ "{ " WITHOUT_MEM " mem 4096 guest z31 }", "a hash of 31 bytes" },
		{ "{ " WITHOUT_MEM " mem 4096 mem 4096 }", "key \"mem\" twice" },
		{ "{ " WITHOUT_MEM " mem 4096 mnt [ [ 'a' '/b' ] ] }", "a mount of 2 parts" },
		{ "{ " WITHOUT_MEM " mem 4096 mnt [ [ 'a' 'b' 0 ] ] }", "path of mount 0" },
		{ "{ " WITHOUT_MEM " mem 4096 mnt [ [ 'a' '/x/..' 0 ] ] }", "path of mount 0" },
		{ "{ " WITHOUT_MEM " mem 4096 mnt [ [ 'a' '/../x' 0 ] ] }", "path of mount 0" },
		{ "{ " WITHOUT_MEM " lim [ 1 2 3 ] mem 4096 }", "3 limits" },
		{ "{ " WITHOUT_MEM " lim [ 1 2 3 'x' ] mem 4096 }",
			"key \"lim\": expected a number" },
		{ "{ " WITHOUT_MEM " mem 4096 utf8 1 }", "key \"utf8\": expected" },
		{ "{ " WITHOUT_MEM " mem 4096 mnt [ [ 'a' '/b' 0 0 ] ] }", "a mount of 4 parts" },
		{ "{ " WITHOUT_MEM " mem 4096 mnt [ [ 'a' '/..' 0 ] ] }", "path of mount 0" },
		{ "{ " WITHOUT_MEM " mem 4096 mnt [ [ 'a' '/a' 0 ] [ 'b' '/x/../y' 0 ] ] }",
			"path of mount 1" },
		{ "{ " WITHOUT_MEM " mem 4096 mnt [ [ z3 '/b' 0 ] ] }", "a NUL in a string" },
		{ "{ " WITHOUT_MEM " mem 4096 tree 1 }", "key \"tree\": expected true or false" },
		{ "{ " WITHOUT_MEM " mem 4096 cwd x }", "key \"cwd\": expected bytes" },
		{ "{ " WITHOUT_MEM " mem 4096 more true }", "cut off before its header" },
		{ "{ " WITHOUT_MEM " mem 4096 } 5", "something behind the map" },
		{ "5", "expected a map" },
		{ "{ 5 5 }", "expected text" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *text = error_of((const char *const[]){ rows[i].header, NULL });
		bool good = contains(text, rows[i].why) && contains(text, "x.pcapng: at offset ");

		if (!good)
			printf("%s: \"%s\"\n", rows[i].header, text);
		CU_ASSERT(good);
	}
}

/* RFC 3629's borders, and the control characters. */
static void text_is_utf8_on_one_line(void)
{
#define NO_UTF8 "text that is not UTF-8"
#define CONTROL "a control character in text"
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "a~", "" },
		{ "\x1b[m", CONTROL },
		{ "\x80", NO_UTF8 },
		{ "a\x7f", CONTROL },
		{ "a\x1f", CONTROL },
		{ "a\x01", CONTROL },
		{ "a\x80", NO_UTF8 },
		{ "a\xbf", NO_UTF8 },
		{ "a\xc1\xbf", NO_UTF8 },
		{ "a\xc2\x80", CONTROL },
		{ "a\xc2\x9f", CONTROL },
		{ "a\xc2\xa0", "" },
		{ "a\xc3\x80", "" },
		{ "a\xdf\xbf", "" },
		{ "a\xc3", NO_UTF8 },
		{ "a\xc3(", NO_UTF8 },
		{ "a\xc3\xc0", NO_UTF8 },
		{ "a\xe0\x9f\xbf", NO_UTF8 },
		{ "a\xe0\xa0\x80", "" },
		{ "a\xe1\x80\x80", "" },
		{ "a\xe1\x80", NO_UTF8 },
		{ "a\xe1\x80(", NO_UTF8 },
		{ "a\xe1(\x80", NO_UTF8 },
		{ "a\xed\x9f\xbf", "" },
		{ "a\xed\xa0\x80", NO_UTF8 },
		{ "a\xee\x80\x80", "" },
		{ "a\xef\xbf\xbf", "" },
		{ "a\xf0\x8f\xbf\xbf", NO_UTF8 },
		{ "a\xf0\x90\x80\x80", "" },
		{ "a\xf1\x80\x80", NO_UTF8 },
		{ "a\xf1\x80\x80(", NO_UTF8 },
		{ "a\xf4\x8f\xbf\xbf", "" },
		{ "a\xf4\x90\x80\x80", NO_UTF8 },
		{ "a\xf5\x80\x80\x80", NO_UTF8 },
		{ "a\xff", NO_UTF8 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char header[100];
		const char *text;

		snprintf(header, sizeof(header), "{ abi uhyve bjt 1 gen 2 mem 4096 prog %s }",
			rows[i].text);
		text = error_of((const char *const[]){ header, NULL });
		CU_ASSERT(*rows[i].why ? contains(text, rows[i].why) : !*text);
		if (!contains(text, rows[i].why))
			printf("     row %zu: %s\n", i, text);
	}
	for (int n = 1; n <= 4;
		n++) { /* what lies behind it, as a packet's padding may, is not it */
		char header[100], kinds[4];
		struct err err;
		struct bytes *b;
		uint8_t *last;

		snprintf(header, sizeof(header), "{ abi uhyve bjt 1 gen 2 mem 4096 prog %.*s\xc3 }",
			n, "aaaa");
		b = recording((const char *const[]){ header, NULL });
		last = memrchr(b->p, 0xc3, b->len);
		if (last + 1 < b->p + b->len - 4)
			last[1] = 0x80;
		CU_ASSERT_EQUAL(read_all(b->p, b->len, kinds, sizeof(kinds), &err), -EBADMSG);
		CU_ASSERT(contains(err.text, NO_UTF8));
	}
#undef NO_UTF8
#undef CONTROL
}

static void refuses_a_bad_record(void)
{
	static const struct {
		const char *line, *why;
	} rows[] = {
		{ "{ a [ 1 ] n 0 r 0 nr 0x1121 }", "unknown call 0x1121" },
		{ "{ at 1 out 'a' edit 0 }", "to neither a register nor memory" },
		{ "{ at 1 gpa 1 out 'a' reg cs edit 0 }", "or to both" },
		{ "{ at 1 out z8 reg rap edit 0 }", "unknown register" },
		{ "{ at 1 out z7 reg rax edit 0 }", "register rax of 7 bytes; expected 8" },
		{ "{ at 1 out z9 reg rax edit 0 }", "register rax of 9 bytes; expected 8" },
		{ "{ out z8 reg rax edit 0 }", "register rax written before a call's answer" },
		{ "{ at 1 gpa 1 edit 0 }", "0 bytes written" },
		{ "{ at 1 gpa 1 out 'a' reg 5 edit 0 }", "key \"reg\": expected text" },
		{ "{ at 1 gpa -1 out 'a' edit 0 }", "key \"gpa\": expected a number" },
		{ "{ gpa 1 out 'a' edit 0 edit 0 }", "key \"edit\" twice" },
		{ "{ a [ 1 ] n 0 r 0 nr 0x11120 }", "unknown call 0x11120" },
		{ "{ a [ 1 2 ] n 0 r 0 nr 0x1120 }", "close with 2 arguments in place of 1" },
		{ "{ n 0 r 0 nr 0x1120 }", "close with 0 arguments" },
		{ "{ a [ 3 0 9 ] n 0 r 3 nr 0x1130 out 'ab' }", "read -> 3 with 2 bytes" },
		{ "{ a [ 3 0 1 ] n 0 r 2 nr 0x1130 out 'ab' }", "expected up to 1" },
		{ "{ a [ 3 0 9 ] n 0 r 3 in 'ab' nr 0x1100 }", "write -> 3 with 2 bytes" },
		{ "{ a [ 1 2 3 4 5 6 ] n 0 r 0 nr 0x1120 }", "6 arguments" },
		{ "{ a [ 0x100000000 ] n 0 r 0 nr 0x1120 }", "argument fd is too large" },
		{ "{ a [ 0xffffffff ] n 0 r 0 nr 0x1120 }", "argument fd is too large" },
		{ "{ a [ 256 ] n 0 r 0 nr 0x1020 }", "argument byte is too large" },
		{ "{ a [ 1 2 0x100000000 ] n 0 r 0 nr 0x1140 }", "argument whence is too large" },
		{ "{ a [ 1 ] n 0 r 0 }", "missing" },
		{ "{ a [ 1 ] n 0 r 0x8000000000000000 nr 0x1120 }", "beyond 64 bits" },
		{ "{ a [ 1 ] n 0 r true nr 0x1120 }", "key \"r\": expected a number" },
		{ "{ a [ 1 ] n 0 r ~1c nr 0x1120 }", "key \"r\": broken CBOR" },
		{ "{ a [ 1 ] n 0 q ~1c nr 0x1120 }", "broken CBOR" },
		{ "{ a [ 1 ] n 0 n 0 nr 0x1120 }", "key \"n\" twice" },
		{ "{ a [ 1 2 3 ] n 0 r 0 in z3 nr 0x1110 }", "a NUL in a path" },
		{ "{ a [ 1 2 3 ] n 0 r 0 in z4097 nr 0x1110 }", "a path of 4097 bytes" },
		{ "{ mode 0 path 'a' tree 0 mount 0 }", "unknown kind 0" },
		{ "{ mode 0 path 'a' tree 7 mount 0 }", "unknown kind 7" },
		{ "{ mode 0 path 'a' tree 2 mount 1 }", "no mount 1" },
		{ "{ mode 0 tree 2 mount 0 }", "without its path" },
		{ "{ mode 0 path 'a' tree 2 }", "without its path and mount" },
		{ "{ mode 4096 path 'a' tree 2 mount 0 }", "mode 010000" },
		{ "{ mode 0 path 'a' tree 1 mount 0 }", "without its hash" },
		{ "{ hash z32 mode 0 path 'a' same 1 tree 1 mount 0 }", "not come before" },
		{ "{ mode 0 path 'a' same true tree 3 mount 0 }", "key \"same\"" },
		{ "{ mode 0 path 'a' tree 2 xdev 1 mount 0 }", "key \"xdev\"" },
		{ "{ mode 0 path 'a' tree 3 mount 0 }", "a link without" },
		{ "{ mode 0 path 'a' tree 3 mount 0 target z2 }", "a link without" },
		{ "{ mode 0 path '/a' tree 2 mount 0 }", "beneath its mount" },
		{ "{ mode 0 path 'a/' tree 2 mount 0 }", "beneath its mount" },
		{ "{ mode 0 path 'a//b' tree 2 mount 0 }", "beneath its mount" },
		{ "{ mode 0 path 'a/..' tree 2 mount 0 }", "beneath its mount" },
		{ "{ mode 0 path '../a' tree 2 mount 0 }", "beneath its mount" },
		{ "{ mode 0 path 'a/./b' tree 2 mount 0 }", "beneath its mount" },
		{ "{ mode 0 path z3 tree 2 mount 0 }", "beneath its mount" },
		{ "{ mode 0 path z4096 tree 2 mount 0 }", "beneath its mount" },
		{ "{ blob z31 data '' }", "a hash of 31 bytes" },
		{ "{ end 0 code 0 stop 0 }", "unknown reason 0" },
		{ "{ end 0 code 0 stop 8 }", "unknown reason 8" },
		{ "{ end 0 code 0x80000000 stop 1 }", "exit code 2147483648" },
		{ "{ end 0 code -2147483649 stop 1 }", "exit code -2147483649" },
		{ "[ 1 ]", "expected a map" },
		{ "{ a 1 } 7", "expected an array" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *text = error_of((const char *const[]){ HEADER, rows[i].line, NULL });
		bool good = contains(text, rows[i].why) && contains(text, "x.pcapng: at offset ");

		if (!good)
			printf("%s: \"%s\"\n", rows[i].line, text);
		CU_ASSERT(good);
	}
}

/* Any text that is one printable line, and a name that only begins as ".." does. */
static void takes_text_of_all_lengths(void)
{
	const char *const lines[] = {
		"{ abi uhyve bjt 1 gen 2 mem 4096 cpu a\xc2\xa0\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf"
		"\xef\xbf\xbf\xf0\x90\x80\x80\xf1\x80\x80\x80\xf4\x8f\xbf\xbf "
		"mnt [ [ 'h' '/..x/...' 1 ] ] }",
		END, NULL
	};
	struct bytes *b = recording(lines);
	const struct trace_header *h;
	struct trace_reader *r;
	struct err err;

	CU_ASSERT_FATAL(!trace_reader_open_memory(&r, b->p, b->len, "x", &err));
	h = trace_reader_header(r);
	CU_ASSERT_EQUAL(strlen(h->cpu), 1 + 2 + 2 + 3 + 3 + 3 + 4 + 4 + 4);
	CU_ASSERT_STRING_EQUAL(h->mounts[0].guest, "/..x/...");
	trace_reader_close(r);
}

static void takes_numbers_at_their_limits(void)
{
	const char *const lines[] = { HEADER,
		"{ a [ 0xffffffffffffffff ] d 0xffffffffffffffff n 0xffffffffffffffff "
		"r -9223372036854775808 ip 0xffffffffffffffff nr 0x1120 bad true fin true }",
		"{ a [ 0xffffffff80000000 0x7fffffffffffffff 0xffffffff ] n 0 "
		"r 0x7fffffffffffffff nr 0x1140 }",
		END, NULL };
	struct bytes *b = recording(lines);
	struct trace_record record;
	struct trace_reader *r;
	struct err err;

	CU_ASSERT_FATAL(!trace_reader_open_memory(&r, b->p, b->len, "x", &err));
	CU_ASSERT_EQUAL_FATAL(trace_reader_next(r, &record, &err), 1);
	CU_ASSERT_EQUAL(record.args[0], UINT64_MAX);
	CU_ASSERT_EQUAL(record.duration_ns, UINT64_MAX);
	CU_ASSERT_EQUAL(record.seq, UINT64_MAX);
	CU_ASSERT_EQUAL(record.rip, UINT64_MAX);
	CU_ASSERT_EQUAL(record.result, INT64_MIN);
	CU_ASSERT_EQUAL(record.time_ns, 1ull << 32 | 2);
	CU_ASSERT(record.fault && record.ends);
	CU_ASSERT_STRING_EQUAL(record.row->name, "close");
	CU_ASSERT_EQUAL_FATAL(trace_reader_next(r, &record, &err), 1);
	CU_ASSERT_EQUAL(record.args[0], (uint64_t)INT32_MIN);
	CU_ASSERT_EQUAL(record.result, INT64_MAX);
	trace_reader_close(r);
	CU_ASSERT_STRING_EQUAL(error_of((const char *const[]){
				       HEADER, "{ end 0 code -2147483648 stop 1 text a }", NULL }),
		"");
	CU_ASSERT_STRING_EQUAL(error_of((const char *const[]){
				       HEADER, "{ end 0 code 2147483647 stop 1 text a }", NULL }),
		"");
}

static void refuses_records_out_of_order(void)
{
	const char *tree = "{ mode 0 path 'a' tree 2 mount 0 }";
	const char *after = "{ path 'a' after 0 mount 0 }";
	const char *pending = "{ a [ 1 ] n 1 nr 0x1120 }";
	const char *const orders[][5] = {
		{ HEADER, CLOSE, tree },
		{ HEADER, CLOSE, "{ blob z32 data 'x' }" },
		{ HEADER, after, CLOSE },
		{ HEADER, pending, CLOSE },
		{ HEADER, pending, END },
		{ HEADER, pending, pending },
	};

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		CU_ASSERT(contains(error_of(orders[i]), "a record that comes too late"));
	CU_ASSERT(contains(
		error_of((const char *const[]){ HEADER, END, CLOSE, NULL }), "behind the end"));
	CU_ASSERT(contains(
		error_of((const char *const[]){ HEADER, END, END, NULL }), "behind the end"));
}

static void skips_what_it_does_not_know(void)
{
	const char *const lines[] = { HEADER, "{ future [ { a 1 } [ true null ] ] yy 'bytes' }",
		"{ a [ 1 ] n 0 q [ [ [ [ 1 ] ] ] ] r 0 yy { a { b 2 } } nr 0x1120 longer null }",
		"{ half ~f93c00 float ~fa3f800000 double ~fb3ff0000000000000 tag ~c101 "
		"negative [ ~20 ~38ff ~39ffff ~3affffffff ~3bffffffffffffffff ] undefined ~f7 "
		"positive [ ~17 ~18ff ~19ffff ~1affffffff ~1bffffffffffffffff ] }",
		END, NULL };
	static struct bytes b, deep;
	struct err err;
	char kinds[20];

	b = *recording(lines);
	put_block(&b, 5, "statistics..", 12);
	put_block(&b, 0x40000bad, "another's", 9);
	CU_ASSERT_EQUAL(read_all(b.p, b.len, kinds, sizeof(kinds), &err), 2);
	CU_ASSERT_STRING_EQUAL(kinds, "CE");

	deep.len = 0;
	head(&deep, 5, 2);
	put_cbor(&deep, "deep");
	for (int i = 0; i < 30000; i++)
		head(&deep, 4, 1);
	put_cbor(&deep, "7 end 1");
	put_start(&b);
	put_line(&b, HEADER);
	put_packet(&b, deep.p, deep.len);
	CU_ASSERT_EQUAL(read_all(b.p, b.len, kinds, sizeof(kinds), &err), -EBADMSG);
	CU_ASSERT(contains(err.text, "unknown reason 0 to stop"));
}

static void refuses_what_is_no_recording(void)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *why;
	} rows[] = {
		{ "", 0, "empty" },
		{ "GIF89a is no trace", 18, "does not begin as pcapng does" },
		{ "\x1f\x8b\x08\x00 gzip", 9, "compressed" },
		{ "\x1f\x8c is no gzip either", 22, "does not begin as pcapng does" },
		{ "\x28\xb5\x2f\xfd zstd", 9, "compressed" },
		{ "\x28\xb5\x2f\xfd", 4, "compressed" },
		{ "\x28\xb5\x2f\xfe is no zstd either", 24, "does not begin as pcapng does" },
		{ "\x1f\x8b\x08", 3, "cut off before its header" },
		{ "bjt 1", 3, "cut off before its header" },
		{ "bjt-like, and no trace", 22, "does not begin as pcapng does" },
		{ "ab", 2, "cut off before its header" },
	};
	static struct bytes b;
	struct err err;
	char kinds[4];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CU_ASSERT_EQUAL(read_all(rows[i].bytes, rows[i].len, kinds, 4, &err), -EBADMSG);
		CU_ASSERT(contains(err.text, rows[i].why));
		CU_ASSERT(contains(err.text, "x.pcapng: at offset 0: "));
		if (!contains(err.text, rows[i].why))
			printf("     row %zu: %s\n", i, err.text);
	}
	put_start(&b);
	CU_ASSERT_EQUAL(read_all(b.p, b.len, kinds, 4, &err), -EBADMSG);
	CU_ASSERT(contains(err.text, "cut off before its header"));
	b.p[8] = 0x1a, b.p[9] = 0x2b, b.p[10] = 0x3c, b.p[11] = 0x4d;
	CU_ASSERT_EQUAL(read_all(b.p, b.len, kinds, 4, &err), -EBADMSG);
	CU_ASSERT(contains(err.text, "big endian"));

	b.len = 0;
	put_section(&b), put_interface(&b, 1, 9);
	CU_ASSERT_EQUAL(read_all(b.p, b.len, kinds, 4, &err), -EBADMSG);
	CU_ASSERT(contains(err.text, "offset 28: link type 1"));
	b.len = 0;
	put_section(&b), put_interface(&b, 147, 6);
	CU_ASSERT_EQUAL(read_all(b.p, b.len, kinds, 4, &err), -EBADMSG);
	CU_ASSERT(contains(err.text, "nanoseconds"));
	b.len = 0;
	put_section(&b), put_line(&b, HEADER);
	CU_ASSERT_EQUAL(read_all(b.p, b.len, kinds, 4, &err), -EBADMSG);
	CU_ASSERT(contains(err.text, "before any interface"));
	put_start(&b), put_section(&b);
	CU_ASSERT_EQUAL(read_all(b.p, b.len, kinds, 4, &err), -EBADMSG);
	CU_ASSERT(contains(err.text, "offset 60: a second section"));
	put_start(&b), put_interface(&b, 147, 9);
	CU_ASSERT_EQUAL(read_all(b.p, b.len, kinds, 4, &err), -EBADMSG);
	CU_ASSERT(contains(err.text, "offset 60: a second interface"));
}

/* A block that contradicts itself is an error with its offset, though packets before it are read. */
static void tells_garbage_from_a_cut(void)
{
	static const struct {
		uint32_t at, value; /* in the block of the call */
		const char *why;
	} rows[] = {
		{ 4, 0, "a block of 0 bytes" },
		{ 4, 61, "a block of 61 bytes" },
		{ 4, 0x7ffffffc, "a block of 2147483644 bytes" },
		{ 4, 16, "a block of type 6 with 16 bytes" },
		{ 8, 1, "a packet of interface 1" },
		{ 20, 0x7fffffff, "a packet of 2147483647 bytes" },
		{ 20, 262145, "a packet of 262145 bytes" },
		{ 24, 3, "a packet cut from 3 bytes" },
	};
	const char *const lines[] = { HEADER, CLOSE, CLOSE, END, NULL };
	const char *const before[] = { HEADER, CLOSE, NULL };
	size_t at = recording(before)->len;
	struct err err;
	char kinds[9], where[40];

	snprintf(where, sizeof(where), "at offset %zu: ", at);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bytes *b = recording(lines);

		memcpy(b->p + at + rows[i].at, &rows[i].value, 4);
		CU_ASSERT_EQUAL(read_all(b->p, b->len, kinds, 9, &err), -EBADMSG);
		CU_ASSERT_STRING_EQUAL(kinds, "C");
		CU_ASSERT(contains(err.text, where) && contains(err.text, rows[i].why));
	}
}

/* A block of another tool's, longer than the input, with these words in it: torn, or damaged? */
static int read_torn(const uint32_t *words, size_t n, char *kinds, size_t size, struct err *err)
{
	static struct bytes b;

	b = *recording((const char *const[]){ HEADER, CLOSE, NULL });
	put32(&b, 0x40000bad), put32(&b, 0x100000), put32(&b, 0);
	put(&b, words, n * sizeof(*words));
	return read_all(b.p, b.len, kinds, size, err);
}

static void only_whole_blocks_up_to_the_end_are_damage(void)
{
#define PACKET_OF(len, again) 6, len, 0, 0, 0, 0, 0, again
	static const struct {
		uint32_t words[12];
		size_t n;
		bool whole;
	} rows[] = {
		{ { PACKET_OF(32, 32) }, 8, true },
		{ { 7, PACKET_OF(32, 32) }, 9, true },
		{ { PACKET_OF(32, 32), 5, 12, 12 }, 11, true },
		{ { PACKET_OF(32, 32), 5, 12 }, 10, false },
		{ { PACKET_OF(32, 36) }, 8, false },
		{ { PACKET_OF(28, 32) }, 8, false },
		{ { PACKET_OF(36, 36) }, 8, false },
		{ { PACKET_OF(33, 33) }, 8, false },
		{ { PACKET_OF(32, 32), 5, 8, 12 }, 11, false },
		{ { PACKET_OF(32, 32), 5, 13, 13 }, 11, false },
		{ { PACKET_OF(32, 32), 5, 16, 16 }, 11, false },
	};
	struct err err;
	char kinds[9];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int n = read_torn(rows[i].words, rows[i].n, kinds, sizeof(kinds), &err);

		CU_ASSERT_STRING_EQUAL(kinds, rows[i].whole ? "C" : "CX");
		CU_ASSERT_EQUAL(n, rows[i].whole ? -EBADMSG : 2);
		CU_ASSERT(!rows[i].whole || contains(err.text, "with whole ones behind its start"));
	}
}

/* Each of these packets begins a chain that breaks at the very end: looked at, they were millions. */
static void chains_are_looked_at_from_one_budget(void)
{
	enum { PACKETS = 8000, WORDS = 8 };
	static const uint32_t packet[WORDS] = { PACKET_OF(32, 32) },
			      rest[] = { 0x40000bad, 0x900000, 0 };
	struct bytes *start = recording((const char *const[]){ HEADER, CLOSE, NULL });
	size_t len = start->len + sizeof(rest) + PACKETS * sizeof(packet) + 4;
	uint8_t *p = calloc(1, len), *at;
	struct err err;
	char kinds[9];

	CU_ASSERT_FATAL(p != NULL);
	at = mempcpy(mempcpy(p, start->p, start->len), rest, sizeof(rest));
	for (int i = 0; i < PACKETS; i++)
		at = mempcpy(at, packet, sizeof(packet));
	CU_ASSERT_EQUAL(read_all(p, len, kinds, sizeof(kinds), &err), 2);
	CU_ASSERT_STRING_EQUAL(kinds, "CX");
	CU_ASSERT_EQUAL(read_all(p, len - 4, kinds, sizeof(kinds), &err), -EBADMSG);
	free(p);
}

static void joins_what_came_in_parts(void)
{
	const char *const lines[] = { HEADER, "{ blob z32 data 'one' more true }",
		"{ blob z32 data 'two' }", "{ a [ 1 2 4 ] n 5 in 'ab' nr 0x1100 more true }",
		"{ n 5 in 'cd' out 'x' more true }", "{ d 9 n 5 r -14 bad true out 'yz' }", END,
		NULL };
	struct bytes *b = recording(lines);
	struct trace_record record;
	struct trace_reader *r;
	struct err err;

	CU_ASSERT_FATAL(!trace_reader_open_memory(&r, b->p, b->len, "x", &err));
	CU_ASSERT_EQUAL_FATAL(trace_reader_next(r, &record, &err), 1);
	CU_ASSERT(
		record.kind == TRACE_BLOB && record.in_len == 6 && !memcmp(record.in, "onetwo", 6));
	CU_ASSERT_EQUAL_FATAL(trace_reader_next(r, &record, &err), 1);
	CU_ASSERT(record.kind == TRACE_CALL && record.in_len == 4 &&
		  !memcmp(record.in, "abcd", 4) && record.out_len == 3 &&
		  !memcmp(record.out, "xyz", 3) && record.result == -14 && record.fault &&
		  record.duration_ns == 9 && record.args[2] == 4);
	CU_ASSERT_EQUAL_FATAL(trace_reader_next(r, &record, &err), 1);
	CU_ASSERT_EQUAL(record.kind, TRACE_END);
	trace_reader_close(r);
	CU_ASSERT(contains(error_of((const char *const[]){ HEADER,
				   "{ a [ 1 2 4 ] n 5 in 'ab' nr 0x1100 more true }",
				   "{ n 6 in 'cd' r 1 }", NULL }),
		"does not go on with"));
	CU_ASSERT(contains(error_of((const char *const[]){
				   HEADER, "{ blob z32 data 'a' more true }", CLOSE, NULL }),
		"does not go on with"));
	CU_ASSERT(
		contains(error_of((const char *const[]){ HEADER, "{ blob z32 data 'a' more true }",
				 "{ blob 'another_hash_of_thirty-two_bytes' data 'b' }", NULL }),
			"does not go on with"));
	CU_ASSERT(contains(error_of((const char *const[]){
				   HEADER, "{ blob z32 data 'a' more true }", "5", NULL }),
		"expected a map"));
}

/* Nothing is known of contents that are not whole; what is no call and no contents comes in one part. */
static void parts_that_never_come_are_a_cut(void)
{
	struct err err;
	char kinds[9];
	struct bytes *b = recording(
		(const char *const[]){ HEADER, "{ blob z32 data 'one' more true }", NULL });

	CU_ASSERT_EQUAL(read_all(b->p, b->len, kinds, sizeof(kinds), &err), 1);
	CU_ASSERT_STRING_EQUAL(kinds, "X");
	/* It may have a result: what it said is not whole. */
	b = recording((const char *const[]){
		HEADER, "{ a [ 1 2 4 ] n 5 r 4 in 'abcd' nr 0x1100 more true }", NULL });
	CU_ASSERT_EQUAL(read_all(b->p, b->len, kinds, sizeof(kinds), &err), 2);
	CU_ASSERT_STRING_EQUAL(kinds, "PX");
	b = recording((const char *const[]){
		HEADER, "{ mode 0 path 'a' tree 2 more true mount 0 }", END, NULL });
	CU_ASSERT_EQUAL(read_all(b->p, b->len, kinds, sizeof(kinds), &err), 2);
	CU_ASSERT_STRING_EQUAL(kinds, "TE");
}

static void a_header_may_come_in_parts(void)
{
	const char *const lines[] = { "{ abi uhyve bjt 1 gen 1 mem 4096 mnt [ ] argv [ 'a' ] "
				      "call { } karg [ 'k' ] more true }",
		"{ env [ 'K=V' ] argv [ 'b' ] karg [ 'l' ] more true }",
		"{ env [ 'L=' ] mnt [ [ 'h' '/g' 7 ] ] argv [ 'c' ] call { } }", END, NULL };
	struct bytes *b = recording(lines);
	const struct trace_header *h;
	struct trace_reader *r;
	struct err err;

	CU_ASSERT_FATAL(!trace_reader_open_memory(&r, b->p, b->len, "x", &err));
	h = trace_reader_header(r);
	CU_ASSERT(h->argv.n == 3 && !strcmp(h->argv.list[2], "c") && h->env.n == 2 &&
		  h->kernel_args.n == 2);
	CU_ASSERT(h->n_mounts == 1 && h->mounts[0].writable && h->mounts[0].may_unlink &&
		  h->mounts[0].is_file);
	CU_ASSERT_STRING_EQUAL(h->cwd, "/");
	CU_ASSERT(h->abi_version == 1 && h->abi == &abi_uhyve && !h->has_guest_hash && !h->program);
	trace_reader_close(r);
	CU_ASSERT(contains(
		error_of((const char *const[]){ "{ abi uhyve bjt 1 gen 1 mem 4096 more true }",
			"{ mem 8192 }", END, NULL }),
		"key \"mem\" twice"));
	CU_ASSERT(contains(
		error_of((const char *const[]){ "{ abi uhyve bjt 1 gen 1 mem 4096 more true }",
			"{ call ~1c }", END, NULL }),
		"key \"call\": broken CBOR"));
}

/* Every key, and none that is not there. */
static void reads_all_of_a_header(void)
{
	const char *const lines[] = {
		"{ abi uhyve bjt 1 clk 0x1122334455667788 cpu kvm cwd '/d' "
		"env [ 'A=1' 'B=' ] gen 2 lim [ 1 2 3 4 ] mem 0x10000000000 "
		"mnt [ [ 'w' '/w' 1 ] [ 'u' '/..u' 2 ] [ 'f' '/f/...' 4 ] "
		"[ '' '/.x/x..' 8 ] ] argv [ 'g' ] call { any [ thing ] } "
		"karg [ 'k' '' ] prog me seed 0xffffffffffffffff tree true utf8 true "
		"cpuid [ [ 1 2 3 4 0xffffffff ] [ 6 7 8 9 10 11 ] ] guest z32 "
		"guest2 z3 }",
		END, NULL
	};
	static const struct cpuid_entry cpuid[] = {
		{ .leaf = 1, .eax = 2, .ebx = 3, .ecx = 4, .edx = UINT32_MAX },
		{ 6, 7, true, 8, 9, 10, 11 },
	};
	struct bytes *b = recording(lines);
	const struct trace_header *h;
	struct trace_reader *r;
	struct err err;

	CU_ASSERT_FATAL(!trace_reader_open_memory(&r, b->p, b->len, "x", &err));
	h = trace_reader_header(r);
	CU_ASSERT_EQUAL(h->version, 1);
	CU_ASSERT_EQUAL(h->boot_time_ns, 0x1122334455667788);
	CU_ASSERT_STRING_EQUAL(h->cpu, "kvm");
	CU_ASSERT_STRING_EQUAL(h->cwd, "/d");
	CU_ASSERT(h->env.n == 2 && !strcmp(h->env.list[0], "A=1") && !strcmp(h->env.list[1], "B="));
	CU_ASSERT_EQUAL(h->abi_version, 2);
	CU_ASSERT_EQUAL(h->mem_size, 1ull << 40);
	CU_ASSERT(h->argv.n == 1 && !strcmp(h->argv.list[0], "g"));
	CU_ASSERT(h->kernel_args.n == 2 && !strcmp(h->kernel_args.list[0], "k") &&
		  !h->kernel_args.list[1][0]);
	CU_ASSERT_STRING_EQUAL(h->program, "me");
	CU_ASSERT_EQUAL(h->seed, UINT64_MAX);
	CU_ASSERT(h->has_tree && h->has_guest_hash && h->utf8_paths);
	CU_ASSERT_EQUAL(h->limits.fds, 1);
	CU_ASSERT_EQUAL(h->limits.scratch_bytes, 2);
	CU_ASSERT_EQUAL(h->limits.scratch_inodes, 3);
	CU_ASSERT_EQUAL(h->limits.depth, 4);
	CU_ASSERT_EQUAL_FATAL(h->n_mounts, 4);
	for (unsigned i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(h->mounts[i].writable, i == 0);
		CU_ASSERT_EQUAL(h->mounts[i].may_unlink, i == 1);
		CU_ASSERT_EQUAL(h->mounts[i].is_file, i == 2);
		CU_ASSERT_EQUAL(h->mounts[i].no_hardlinks, i == 3);
	}
	CU_ASSERT_STRING_EQUAL(h->mounts[2].host, "f");
	CU_ASSERT_STRING_EQUAL(h->mounts[2].guest, "/f/...");
	CU_ASSERT_EQUAL_FATAL(h->n_cpuid, 2);
	CU_ASSERT(cpuid_table_same(h->cpuid, h->n_cpuid, cpuid, 2));
	CU_ASSERT(!h->cpuid[0].has_subleaf && h->cpuid[1].has_subleaf);
	trace_reader_close(r);
}

static void broken_cbor_is_said(void)
{
	static const struct {
		const char *payload;
		size_t len;
	} rows[] = {
		{ "\xa1\x61n\x18", 4 },
		{ "\xa1\x61r\x18", 4 },
		{ "\xa1\x61q\x18", 4 },
		{ "\xa1\x61", 2 },
		{ "\xa1\x61n", 3 },
		{ "\xbf\xff", 2 },
		{ "", 0 },
	};
	static struct bytes b;
	struct err err;
	char kinds[9];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put_start(&b);
		put_line(&b, HEADER);
		put_packet(&b, rows[i].payload, rows[i].len);
		CU_ASSERT_EQUAL(read_all(b.p, b.len, kinds, sizeof(kinds), &err), -EBADMSG);
		CU_ASSERT(contains(err.text, "broken CBOR"));
	}
}

static void keys_come_in_any_order(void)
{
	const char *const lines[] = { "{ mem 4096 gen 1 unknown 5 bjt 1 abi uhyve me 1 memo 2 }",
		"{ nr 0x1120 r 3 o 'x' outs 'y' n 7 a [ 1 ] }", NULL };
	struct bytes *b = recording(lines);
	struct trace_record record;
	struct trace_reader *r;
	struct err err;

	CU_ASSERT_FATAL(!trace_reader_open_memory(&r, b->p, b->len, "x", &err));
	CU_ASSERT_EQUAL(trace_reader_header(r)->mem_size, 4096);
	CU_ASSERT_EQUAL(trace_reader_next(r, &record, &err), 1);
	CU_ASSERT_EQUAL(record.result, 3);
	CU_ASSERT_EQUAL(record.seq, 7);
	CU_ASSERT_EQUAL(record.out_len, 0);
	trace_reader_close(r);
}

static void refuses_a_cpuid_that_is_none(void)
{
	static const struct {
		const char *value, *why;
	} rows[] = {
		{ "1", "expected an array" },
		{ "[ 1 ]", "expected an array" },
		{ "[ [ 1 2 3 4 ] ]", "an entry of 4 parts" },
		{ "[ [ 1 2 3 4 5 6 7 ] ]", "an entry of 7 parts" },
		{ "[ [ 1 2 3 4 4294967296 ] ]", "beyond 32 bits" },
		{ "[ [ 1 -2 3 4 5 ] ]", "not negative" },
	};
	char header[200], *many;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(header, sizeof(header), "{ abi uhyve bjt 1 gen 1 mem 4096 cpuid %s }",
			rows[i].value);
		CU_ASSERT(contains(
			error_of((const char *const[]){ header, END, NULL }), rows[i].why));
	}
	many = calloc(1, 200 + (CPUID_TABLE_MAX + 1) * strlen("[ 1 0 0 0 0 ] "));
	CU_ASSERT_FATAL(many != NULL);
	strcpy(many, "{ abi uhyve bjt 1 gen 1 mem 4096 cpuid [ ");
	for (int i = 0; i <= CPUID_TABLE_MAX; i++)
		strcat(many, "[ 1 0 0 0 0 ] ");
	strcat(many, "] }");
	CU_ASSERT(contains(error_of((const char *const[]){ many, END, NULL }), "257 entries"));
	strcpy(many + strlen(many) - strlen("[ 1 0 0 0 0 ] ] }"), "] }");
	CU_ASSERT_STRING_EQUAL(error_of((const char *const[]){ many, END, NULL }), "");
	free(many);
}

/* Only a fault build has it: there a million allocations, watched one by one, take too long. */
unsigned fault_failed(void) __attribute__((weak));

/* A million elements, 40960 of them in a packet; one more is refused before it takes memory. */
static void refuses_a_million(const char *key, const char *element)
{
	enum { PACKETS = 26, ELEMENTS = 40960 };
	size_t size = strlen(element) / 2;
	static struct bytes start, one;
	char line[60], says[80];
	struct trace_reader *r;
	uint8_t *p, *at;
	struct err err;

	if (fault_failed) {
		unit_skip("so many allocations are not watched one by one");
		return;
	}
	put_start(&start);
	put_line(&start, "{ abi uhyve bjt 1 gen 1 mem 4096 more true }");
	p = at = malloc(start.len + PACKETS * (ELEMENTS * size + 200));
	CU_ASSERT_FATAL(p != NULL);
	at = mempcpy(at, start.p, start.len);
	for (int i = 0; i < PACKETS; i++) {
		uint32_t words[] = { 6, 0, 0, 0, 0, 0, 0 }, len;
		uint8_t *payload = at + sizeof(words), *end;

		one.len = 0;
		snprintf(line, sizeof(line), "{ more %s %s [ ] }",
			i < PACKETS - 1 ? "true" : "false", key);
		put_cbor(&one, line);
		one.len--; /* the empty array; now one of many */
		end = mempcpy(payload, one.p, one.len);
		end = mempcpy(end, "\x9a\x00\x00\xa0\x00", 5);
		one.len = 0;
		put_hex(&one, element);
		for (int n = 0; n < ELEMENTS; n++)
			end = mempcpy(end, one.p, size);
		len = (uint32_t)(end - payload);
		words[5] = words[6] = len;
		while ((end - payload) % 4)
			*end++ = 0;
		words[1] = (uint32_t)(end - at) + 4;
		memcpy(at, words, sizeof(words));
		at = mempcpy(end, &words[1], 4);
	}
	CU_ASSERT_EQUAL(trace_reader_open_memory(&r, p, (size_t)(at - p), "x", &err), -EBADMSG);
	snprintf(says, sizeof(says), "key \"%s\": more than 1048576 elements", key);
	CU_ASSERT(contains(err.text, says));
	free(p);
}

static void a_header_has_an_end(void)
{
	refuses_a_million("env", "40");
}

static void a_headers_mounts_have_an_end(void)
{
	refuses_a_million("mnt", "8340412f00"); /* ["", "/", 0] */
}

/* --- sweeps ------------------------------------------------------------------------------------- */

static struct bytes *sample(void)
{
	const char *const lines[] = { HEADER, "{ blob z32 data 'abc' }",
		"{ hash z32 mode 420 path 'a/b' size 3 tree 1 mount 0 }",
		"{ a [ 0x1000 2 3 ] n 0 r 3 in 'some/file' nr 0x1110 }",
		"{ a [ 1 2 4 ] n 1 in 'ab' nr 0x1100 more true }", "{ d 9 n 1 r 4 in 'cd' }", CLOSE,
		"{ path 'a/b' after 0 mount 0 }", END, NULL };

	return recording(lines);
}

static void every_cut_is_read_up_to_it(void)
{
	static const char all[] = "BTCCCAE";
	struct bytes *b = sample();
	struct err err;
	char kinds[20];
	size_t cuts = 0;

	for (size_t len = 0; len < b->len; len++) {
		int n = read_all(b->p, len, kinds, sizeof(kinds), &err);

		if (n < 0) { /* only the header can be missing */
			CU_ASSERT(n == -EBADMSG && !kinds[0] && err.text[0]);
			continue;
		}
		cuts++;
		CU_ASSERT(kinds[n - 1] == 'X');
		kinds[n - 1] = 0;
		if (n > 1 && kinds[n - 2] == 'P') /* the call of which one part is there */
			kinds[n - 2] = 'C';
		CU_ASSERT(!strncmp(all, kinds, strlen(kinds)));
	}
	CU_ASSERT(cuts > 300);
	CU_ASSERT_EQUAL(read_all(b->p, b->len, kinds, sizeof(kinds), &err), 7);
	CU_ASSERT_STRING_EQUAL(kinds, all);
}

static void every_flipped_bit_gets_an_answer(void)
{
	struct bytes *b = sample();
	uint8_t *copy = malloc(b->len);
	struct err err;
	char kinds[20];

	CU_ASSERT_FATAL(copy != NULL);
	memcpy(copy, b->p, b->len);
	for (size_t bit = 0; bit < 8 * b->len; bit++) {
		int n;

		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		n = read_all(copy, b->len, kinds, sizeof(kinds), &err);
		CU_ASSERT(n < 0 ? err.text[0] != 0 : kinds[n - 1] == 'E' || kinds[n - 1] == 'X');
		if (n > 0 && kinds[n - 1] == 'X' && strcmp(kinds, "BTCCCAX") != 0) {
			fprintf(stderr, "bit %zu hides records: %s\n", bit, kinds);
			CU_FAIL("damage passes as a cut");
		}
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	free(copy);
}

/* --- files --------------------------------------------------------------------------------------- */

static struct tmptree tree;

static const char *in_tree(const char *name)
{
	static char paths[4][300];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", tree.path, name);
	return path;
}

static void make_tree(void)
{
	CU_ASSERT_FATAL(!tmptree_make(&tree, (const char *const[]){ NULL }));
}

/* Whole files, of at most a few KiB. */
static struct bytes *load(const char *name)
{
	static struct bytes files[4];
	static int next;
	struct bytes *b = &files[next++ % 4];
	int fd = open(in_tree(name), O_RDONLY);
	ssize_t n = read(fd, b->p, sizeof(b->p));

	CU_ASSERT_FATAL(fd >= 0 && n >= 0);
	close(fd);
	b->len = (size_t)n;
	return b;
}

static void save(const char *name, const void *p, size_t len)
{
	int fd;

	unlink(in_tree(name)); /* file systems write what was truncated and written anew at once */
	fd = open(in_tree(name), O_WRONLY | O_CREAT | O_EXCL, 0644);
	CU_ASSERT_FATAL(fd >= 0 && write(fd, p, len) == (ssize_t)len);
	close(fd);
}

static bool same(const struct bytes *a, const struct bytes *b)
{
	return a->len == b->len && !memcmp(a->p, b->p, a->len);
}

static bool exists(const char *name)
{
	return !access(in_tree(name), F_OK);
}

static int read_file(const char *name, char *kinds, size_t size, struct err *err)
{
	static const char letters[] = "BTCPWAEX";
	struct trace_reader *r;
	struct trace_record record;
	size_t n = 0;
	int got;

	err->text[0] = kinds[0] = 0;
	got = trace_reader_open(&r, in_tree(name), err);
	if (got)
		return got;
	while ((got = trace_reader_next(r, &record, err)) > 0 && n + 1 < size) {
		kinds[n++] = letters[record.kind];
		kinds[n] = 0;
	}
	got = got ? got : (int)trace_reader_recovered(r);
	trace_reader_close(r);
	return got;
}

static const struct hcall_row *row_of(uint16_t port)
{
	return trace_row_of_port(&abi_uhyve, port);
}

static struct trace_record call_of(uint64_t seq, uint16_t port)
{
	return (struct trace_record){ .kind = TRACE_CALL,
		.seq = seq,
		.port = port,
		.row = row_of(port),
		.time_ns = 1700000000123456789 + seq,
		.duration_ns = 77,
		.rip = 0x100200 + seq };
}

static const struct trace_header small_header = {
	.version = 1,
	.abi = &abi_uhyve,
	.abi_version = 2,
	.mem_size = 0x200000,
	.cwd = (char *)"/",
};

static struct trace_writer *writer(const char *name, const struct trace_header *header)
{
	struct trace_writer *w;
	struct err err = { "" };

	CU_ASSERT_FATAL(!trace_writer_open(
		&w, in_tree(name), header, &(struct trace_writer_config){ 0 }, &err));
	return w;
}

static void expect_record(const struct trace_record *got, const struct trace_record *put)
{
	CU_ASSERT_EQUAL(got->kind, put->kind);
	CU_ASSERT_EQUAL(got->seq, put->seq);
	CU_ASSERT_EQUAL(got->time_ns, put->time_ns);
	CU_ASSERT_EQUAL(got->duration_ns, put->duration_ns);
	CU_ASSERT_EQUAL(got->rip, put->rip);
	CU_ASSERT_EQUAL(got->port, put->port);
	CU_ASSERT_PTR_EQUAL(got->row, put->row);
	CU_ASSERT(!memcmp(got->args, put->args, sizeof(got->args)));
	CU_ASSERT_EQUAL(got->result, put->result);
	CU_ASSERT(got->ends == put->ends && got->fault == put->fault);
	CU_ASSERT(got->in_len == put->in_len && got->out_len == put->out_len);
	CU_ASSERT(got->in_len != put->in_len || !got->in_len ||
		  !memcmp(got->in, put->in, got->in_len));
	CU_ASSERT(got->out_len != put->out_len || !got->out_len ||
		  !memcmp(got->out, put->out, got->out_len));
}

static uint8_t *noise(size_t len)
{
	uint8_t *p = malloc(len);

	CU_ASSERT_FATAL(p != NULL);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 2654435761u >> 13);
	return p;
}

/* Sizes around every limit of the format. */
static void calls_of_any_size_come_back(void)
{
	static const size_t sizes[] = { 0, 1, 23, 24, 255, 256, 65535, 65536, 65537, 131072, 262144,
		262145, 1000000, 5000001 };
	enum { N = sizeof(sizes) / sizeof(sizes[0]) };
	uint8_t *data = noise(sizes[N - 1]);
	struct trace_record put[N], record;
	struct trace_writer *w;
	struct trace_reader *r;
	struct err err = { "" };

	make_tree();
	w = writer("a", &small_header);
	for (size_t i = 0; i < N; i++) {
		put[i] = call_of(i, UHYVE_V2_WRITE);
		put[i].args[1] = 0x1000, put[i].args[2] = sizes[i];
		put[i].in = data, put[i].in_len = sizes[i];
		put[i].out = data, put[i].out_len = sizes[N - 1 - i];
		put[i].fault = i % 2, put[i].ends = i % 3 == 1;
		put[i].result = -(int64_t)i;
		CU_ASSERT(!trace_writer_put(w, &put[i]));
	}
	CU_ASSERT(!trace_writer_close(w, &err));
	CU_ASSERT_FATAL(!trace_reader_open(&r, in_tree("a"), &err));
	for (size_t i = 0; i < N; i++) {
		CU_ASSERT_EQUAL_FATAL(trace_reader_next(r, &record, &err), 1);
		expect_record(&record, &put[i]);
	}
	CU_ASSERT_EQUAL(trace_reader_next(r, &record, &err), 1);
	CU_ASSERT_EQUAL(record.kind, TRACE_CUT); /* no TRACE_END was put */
	CU_ASSERT_EQUAL(trace_reader_next(r, &record, &err), 0);
	trace_reader_close(r);
	free(data);
	tmptree_remove(&tree);
}

static void a_header_comes_back(void)
{
	char *big = calloc(1, 100001);
	char *words[] = { (char *)"hello", (char *)"", (char *)"in/caf\xe9\x01.txt", big, big,
		big };
	struct trace_mount mounts[] = {
		{ .host = (char *)"a b", .guest = (char *)"/a", .writable = true },
		{ .host = (char *)"\xff",
			.guest = (char *)"/",
			.may_unlink = true,
			.is_file = true },
	};
	struct cpuid_entry cpuid[] = {
		{ .leaf = 1, .ecx = UINT32_MAX },
		{ .leaf = 0xd, .subleaf = 1, .has_subleaf = true, .eax = 7 },
	};
	struct trace_header put = {
		.version = 1,
		.program = (char *)"belljar 9.9",
		.abi = &abi_uhyve,
		.abi_version = 1,
		.has_guest_hash = true,
		.guest_hash = { 1, 2, 3 },
		.mem_size = 1ull << 40,
		.argv = { words, 6 },
		.kernel_args = { words, 1 },
		.env = { words, 4 },
		.cwd = (char *)"/x",
		.mounts = mounts,
		.n_mounts = 2,
		.boot_time_ns = 1ull << 60,
		.seed = UINT64_MAX,
		.cpu = (char *)"kvm 6-85-7",
		.cpuid = cpuid,
		.n_cpuid = 2,
		.has_tree = true,
	};
	const struct trace_header *got;
	struct trace_reader *r;
	struct err err = { "" };

	memset(big, 'x', 100000);
	make_tree();
	CU_ASSERT(!trace_writer_close(writer("a", &put), &err));
	CU_ASSERT_FATAL(!trace_reader_open(&r, in_tree("a"), &err));
	got = trace_reader_header(r);
	CU_ASSERT(got->version == 1 && got->abi == put.abi && got->abi_version == 1);
	CU_ASSERT_STRING_EQUAL(got->program, put.program);
	CU_ASSERT_STRING_EQUAL(got->cpu, put.cpu);
	CU_ASSERT_STRING_EQUAL(got->cwd, put.cwd);
	CU_ASSERT(got->has_guest_hash && !memcmp(got->guest_hash, put.guest_hash, TRACE_HASH_LEN));
	CU_ASSERT(got->mem_size == put.mem_size && got->boot_time_ns == put.boot_time_ns &&
		  got->seed == put.seed && got->has_tree);
	CU_ASSERT_FATAL(got->argv.n == 6 && got->kernel_args.n == 1 && got->env.n == 4);
	for (size_t i = 0; i < 6; i++)
		CU_ASSERT_STRING_EQUAL(got->argv.list[i], words[i]);
	CU_ASSERT_FATAL(got->n_cpuid == 2);
	CU_ASSERT(got->cpuid[0].leaf == 1 && !got->cpuid[0].has_subleaf &&
		  got->cpuid[0].ecx == UINT32_MAX && !got->cpuid[0].eax);
	CU_ASSERT(got->cpuid[1].leaf == 0xd && got->cpuid[1].has_subleaf &&
		  got->cpuid[1].subleaf == 1 && got->cpuid[1].eax == 7);
	CU_ASSERT_FATAL(got->n_mounts == 2);
	for (size_t i = 0; i < 2; i++) {
		CU_ASSERT_STRING_EQUAL(got->mounts[i].host, mounts[i].host);
		CU_ASSERT_STRING_EQUAL(got->mounts[i].guest, mounts[i].guest);
		CU_ASSERT(got->mounts[i].writable == mounts[i].writable &&
			  got->mounts[i].may_unlink == mounts[i].may_unlink &&
			  got->mounts[i].is_file == mounts[i].is_file);
	}
	trace_reader_close(r);
	free(big);
	tmptree_remove(&tree);
}

static void an_end_with_odd_text_comes_back(void)
{
	struct trace_record end = { .kind = TRACE_END,
		.stop_kind = VM_CRASHED,
		.stop_code = -5,
		.stop_text = "caf\xe9 \x1b[2J\ttab" },
			    record;
	struct trace_writer *w;
	struct trace_reader *r;
	struct err err = { "" };

	make_tree();
	w = writer("a", &small_header);
	CU_ASSERT(!trace_writer_put(w, &end) && !trace_writer_close(w, &err));
	CU_ASSERT_FATAL(!trace_reader_open(&r, in_tree("a"), &err));
	CU_ASSERT_EQUAL_FATAL(trace_reader_next(r, &record, &err), 1);
	CU_ASSERT(record.kind == TRACE_END && record.stop_kind == VM_CRASHED &&
		  record.stop_code == -5);
	CU_ASSERT_STRING_EQUAL(record.stop_text, "caf? ?[2J?tab");
	trace_reader_close(r);
	tmptree_remove(&tree);
}

/* --- tails -------------------------------------------------------------------------------------- */

static void emit(struct trace_writer *w, enum trace_kind kind, const struct hcall *call)
{
	struct trace_sink *sink = trace_writer_sink(w);

	sink->emit(sink, &(struct trace_event){ .kind = kind, .call = call });
}

static struct hcall close_call(uint64_t seq)
{
	struct hcall call = { .row = row_of(UHYVE_V2_CLOSE), .seq = seq, .rip = 0x1000 };

	call.block[0] = (uint8_t)(3 + seq);
	return call;
}

/*
 * FILE as a recorder killed within its third call leaves it, and FILE.tail: in the tree as "a" and
 * "a.tail". The recorder itself wrote to "live".
 */
static void make_killed(struct bytes *file, struct bytes *tail)
{
	struct trace_writer *w;
	struct hcall call;
	struct err err;

	make_tree();
	w = writer("live", &small_header);
	for (uint64_t i = 0; i < 3; i++) {
		call = close_call(i);
		emit(w, TRACE_ENTER, &call);
		if (i < 2)
			emit(w, TRACE_LEAVE, &call);
	}
	*file = *load("live");
	*tail = *load("live.tail");
	tail->len = 700; /* what follows is room that was never used */
	CU_ASSERT(!trace_writer_close(w, &err));
	save("a", file->p, file->len);
	save("a.tail", tail->p, tail->len);
}

static void reads_beside_a_living_recorder(void)
{
	struct trace_writer *w;
	struct hcall call;
	struct err err;
	char kinds[40];

	make_tree();
	w = writer("a", &small_header);
	for (uint64_t i = 0; i < 9; i++) {
		call = close_call(i);
		emit(w, TRACE_ENTER, &call);
		CU_ASSERT_EQUAL(read_file("a", kinds, sizeof(kinds), &err), (int)i);
		CU_ASSERT_STRING_EQUAL(kinds, &"CCCCCCCCCPX"[9 - i]);
		emit(w, TRACE_LEAVE, &call);
		CU_ASSERT_EQUAL(read_file("a", kinds, sizeof(kinds), &err), (int)i + 1);
		CU_ASSERT_EQUAL(strlen(kinds), i + 2);
		CU_ASSERT_EQUAL(kinds[i + 1], 'X');
	}
	CU_ASSERT_EQUAL(trace_recover(in_tree("a"), &err), -EBUSY);
	CU_ASSERT(contains(err.text, "is being written"));
	CU_ASSERT(!trace_writer_close(w, &err));
	CU_ASSERT_EQUAL(trace_recover(in_tree("a"), &err), 0);
	CU_ASSERT_EQUAL(read_file("a", kinds, sizeof(kinds), &err), 0);
	CU_ASSERT_STRING_EQUAL(kinds, "CCCCCCCCCX");
	tmptree_remove(&tree);
}

static void the_call_in_flight_is_named(void)
{
	static struct bytes file, tail;
	struct trace_record record;
	struct trace_reader *r;
	struct err err;
	uint64_t where = 0;

	make_killed(&file, &tail);
	CU_ASSERT_FATAL(!trace_reader_open(&r, in_tree("a"), &err));
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL_FATAL(trace_reader_next(r, &record, &err), 1);
		CU_ASSERT(i ? record.where > where : record.where == file.len);
		where = record.where;
	}
	CU_ASSERT_EQUAL(record.kind, TRACE_PENDING);
	CU_ASSERT_STRING_EQUAL(record.row->name, "close");
	CU_ASSERT(record.seq == 2 && record.args[0] == 5 && record.rip == 0x1000 && record.time_ns);
	CU_ASSERT_EQUAL(trace_reader_recovered(r), 2);
	trace_reader_close(r);
	tmptree_remove(&tree);
}

/* However far an interrupted recovery came, the next one ends where an undisturbed one does. */
static void recovers_again_wherever_it_was_interrupted(void)
{
	static struct bytes file, tail, whole, half;
	struct err err;
	char kinds[20];

	make_killed(&file, &tail);
	CU_ASSERT_EQUAL(trace_recover(in_tree("a"), &err), 1);
	CU_ASSERT(!exists("a.tail"));
	CU_ASSERT_EQUAL(read_file("a", kinds, sizeof(kinds), &err), 0);
	CU_ASSERT_STRING_EQUAL(kinds, "CCPX");
	whole = *load("a");
	CU_ASSERT_EQUAL(trace_recover(in_tree("a"), &err), 0);
	for (size_t len = file.len; len <= whole.len; len++) {
		save("a", whole.p, len);
		save("a.tail", tail.p, tail.len);
		CU_ASSERT_EQUAL(read_file("a", kinds, sizeof(kinds), &err), 2);
		CU_ASSERT_STRING_EQUAL(kinds, "CCPX");
		CU_ASSERT_EQUAL(trace_recover(in_tree("a"), &err), 1);
		CU_ASSERT(same(load("a"), &whole) && !exists("a.tail"));
	}
	half = file; /* and what the recorder itself had begun to write behind what is good */
	put(&half, "half a packet", 13);
	save("a", half.p, half.len);
	save("a.tail", tail.p, tail.len);
	CU_ASSERT_EQUAL(trace_recover(in_tree("a"), &err), 1);
	CU_ASSERT(same(load("a"), &whole));
	tmptree_remove(&tree);
}

static void a_tail_in_the_making_says_nothing(void)
{
	static struct bytes file, tail;
	struct err err;
	char kinds[20];

	make_killed(&file, &tail);
	for (size_t len = 0; len <= tail.len; len += 50) {
		static const struct bytes zeros;
		struct trace_tail head = { .committed = 9, .request.at = UINT64_MAX };

		save("a.tail", zeros.p, len);
		if (len >= sizeof(head)) {
			memcpy(tail.p, &head, sizeof(head)); /* all but its magic */
			save("a.tail", len % 100 ? tail.p : zeros.p, len);
		}
		CU_ASSERT_EQUAL(read_file("a", kinds, sizeof(kinds), &err), 0);
		CU_ASSERT_STRING_EQUAL(kinds, "X");
		CU_ASSERT_EQUAL(trace_recover(in_tree("a"), &err), 1);
		CU_ASSERT(same(load("a"), &file));
	}
	tmptree_remove(&tree);
}

/* Every bit of it, and every length: an answer, and FILE keeps what it had when recovery refuses. */
static void a_hostile_tail_destroys_nothing(void)
{
	static struct bytes file, tail;
	struct err err;
	char kinds[20];
	int refused = 0, n;

	make_killed(&file, &tail);
	tail.len = 400;
	for (size_t i = 0; i < 8 * tail.len + tail.len; i++) {
		size_t len = i < 8 * tail.len ? tail.len : i - 8 * tail.len;
		uint8_t bit = (uint8_t)(i < 8 * tail.len ? 1 << i % 8 : 0);

		tail.p[i / 8] ^= bit;
		save("a", file.p, file.len);
		save("a.tail", tail.p, len);
		n = read_file("a", kinds, sizeof(kinds), &err);
		CU_ASSERT(n >= 0 ? kinds[strlen(kinds) - 1] == 'X' : err.text[0] != 0);
		n = trace_recover(in_tree("a"), &err);
		CU_ASSERT(n == 1 || (n < 0 && err.text[0]));
		if (n < 0) {
			refused++;
			CU_ASSERT(same(load("a"), &file) && exists("a.tail"));
		}
		tail.p[i / 8] ^= bit;
	}
	CU_ASSERT(refused > 300);
	tmptree_remove(&tree);
}

/* Why file and tail cannot be read; "" when they can. */
static const char *error_of_pair(
	const struct bytes *file, struct trace_tail head, const struct bytes *tail)
{
	static struct bytes whole;
	static struct err err;
	struct trace_reader *r;

	whole = *tail;
	memcpy(whole.p, &head, sizeof(head));
	err.text[0] = 0;
	if (!trace_reader_open_pair(&r, file->p, file->len, whole.p, whole.len, "x", &err)) {
		CU_ASSERT_EQUAL(trace_reader_rest(r, &err), err.text[0] ? -EBADMSG : 0);
		trace_reader_close(r);
	}
	return err.text;
}

/* With the place in the tail. */
static void what_is_wrong_in_a_tail_is_said(void)
{
	static struct bytes file, tail;
	struct trace_tail good, head;
	uint32_t block;
	char where[80];

	make_killed(&file, &tail);
	memcpy(&good, tail.p, sizeof(good));
	memcpy(&block, tail.p + sizeof(good) + 4, sizeof(block));
	CU_ASSERT_STRING_EQUAL(error_of_pair(&file, good, &tail), "");
	head = good;
	head.request.port = 0xffff;
	snprintf(where, sizeof(where), "x.tail: at offset %zu: unknown call 0xffff",
		sizeof(good) + 2 * block);
	CU_ASSERT_STRING_EQUAL(error_of_pair(&file, head, &tail), where);
	head = good;
	head.committed -= 4;
	snprintf(where, sizeof(where), "x.tail: at offset %zu: ends within a packet",
		sizeof(good) + block);
	CU_ASSERT_STRING_EQUAL(error_of_pair(&file, head, &tail), where);
	memset(tail.p + sizeof(good) + block + 4, 0, 4);
	snprintf(where, sizeof(where), "x.tail: at offset %zu: a block of 0 bytes",
		sizeof(good) + block);
	CU_ASSERT(contains(error_of_pair(&file, good, &tail), where));
	snprintf(where, sizeof(where), "its tail says that %zu bytes are whole", file.len);
	file.len--;
	CU_ASSERT(contains(error_of_pair(&file, good, &tail), where));
	file.len = 60; /* whole blocks, but no header */
	CU_ASSERT(contains(error_of_pair(&file, good, &tail), where));
	tmptree_remove(&tree);
}

static void a_tail_in_memory_reads_as_in_a_file(void)
{
	static struct bytes file, tail;
	struct trace_record record;
	struct trace_reader *r;
	struct err err;

	make_killed(&file, &tail);
	CU_ASSERT_FATAL(!trace_reader_open_pair(&r, file.p, file.len, tail.p, tail.len, "x", &err));
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL_FATAL(trace_reader_next(r, &record, &err), 1);
	CU_ASSERT(record.kind == TRACE_PENDING && record.seq == 2 && record.time_ns);
	CU_ASSERT_EQUAL(trace_reader_recovered(r), 2);
	trace_reader_close(r);
	CU_ASSERT_EQUAL(trace_reader_open_pair(&r, file.p, file.len, tail.p,
				sizeof(struct trace_tail) + 1, "x", &err),
		-EBADMSG);
	CU_ASSERT(contains(err.text, "x.tail: at offset 8: claims "));
	CU_ASSERT_EQUAL(
		trace_reader_open_pair(&r, file.p, file.len, file.p, 9, "x", &err), -EBADMSG);
	CU_ASSERT(contains(err.text, "x.tail: at offset 0: not the tail"));
	tmptree_remove(&tree);
}

static void what_lies_beside_need_not_be_a_tail(void)
{
	static struct bytes file, tail;
	struct err err;
	char kinds[20];

	make_killed(&file, &tail);
	save("a.tail",
		"some text that has nothing to do with recordings, but is as long as a tail's "
		"fixed part is, or longer ................................",
		130);
	CU_ASSERT_EQUAL(read_file("a", kinds, sizeof(kinds), &err), -EBADMSG);
	CU_ASSERT(contains(err.text, "a.tail: at offset 0: not the tail of a recording"));
	CU_ASSERT_EQUAL(trace_recover(in_tree("a"), &err), -EBADMSG);
	save("a.tail", "my own notes\n", 13);
	CU_ASSERT_EQUAL(trace_recover(in_tree("a"), &err), -EBADMSG);
	CU_ASSERT(contains(err.text, "not the tail of a recording") && exists("a.tail"));
	unlink(in_tree("a.tail"));
	CU_ASSERT_FATAL(!mkfifo(in_tree("a.tail"), 0644));
	CU_ASSERT_EQUAL(read_file("a", kinds, sizeof(kinds), &err), -EINVAL);
	CU_ASSERT(contains(err.text, "not a regular file"));
	CU_ASSERT(trace_recover(in_tree("a"), &err) < 0);
	unlink(in_tree("a.tail"));
	CU_ASSERT_FATAL(!mkdir(in_tree("a.tail"), 0755));
	CU_ASSERT_EQUAL(read_file("a", kinds, sizeof(kinds), &err), -EINVAL);
	tmptree_remove(&tree);
}

static void only_a_recording_is_recovered(void)
{
	struct err err;

	make_tree();
	save("notes", "my own notes\n", 13);
	CU_ASSERT_EQUAL(trace_recover(in_tree("notes"), &err), -EBADMSG);
	CU_ASSERT_EQUAL(trace_recover("/dev/null", &err), -EINVAL);
	CU_ASSERT(contains(err.text, "/dev/null: not a recording"));
	CU_ASSERT_FATAL(!mkfifo(in_tree("fifo"), 0644));
	CU_ASSERT_EQUAL(trace_recover(in_tree("fifo"), &err), -EINVAL);
	tmptree_remove(&tree);
}

static void text_is_not_recovered_from_a_tail(void)
{
	struct trace_text_config config = { .blob_dir = NULL };
	static struct bytes file, tail;
	struct bytes text;
	struct err err;
	FILE *stream;

	make_killed(&file, &tail);
	stream = fopen(in_tree("a"), "w");
	CU_ASSERT_FATAL(stream != NULL);
	CU_ASSERT(!trace_text_begin(stream, &small_header, &config, &err));
	CU_ASSERT(!trace_text_put(stream, &small_header,
		&(struct trace_record){ .kind = TRACE_END, .stop_kind = VM_EXITED }, &config,
		&err));
	fclose(stream);
	text = *load("a");
	CU_ASSERT_EQUAL(trace_recover(in_tree("a"), &err), -EINVAL);
	CU_ASSERT(contains(err.text, "golden text"));
	CU_ASSERT(same(load("a"), &text) && exists("a.tail"));
	tmptree_remove(&tree);
}

static void a_pipe_is_read_as_it_comes(void)
{
	struct bytes *b = sample();
	int saved = dup(STDIN_FILENO), ends[2], fds = tmptree_open_fds();
	struct trace_record record;
	struct trace_reader *r;
	struct err err = { "" };
	int n = 0;

	CU_ASSERT_FATAL(!pipe(ends));
	CU_ASSERT_FATAL(write(ends[1], b->p, b->len) == (ssize_t)b->len);
	close(ends[1]);
	dup2(ends[0], STDIN_FILENO);
	close(ends[0]);
	CU_ASSERT_FATAL(!trace_reader_open(&r, "-", &err));
	while (trace_reader_next(r, &record, &err) > 0)
		n++;
	CU_ASSERT(n == 7 && record.kind == TRACE_END && !err.text[0]);
	trace_reader_close(r);
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	dup2(saved, STDIN_FILENO);
	close(saved);
}

/* In messages, of which each is read for itself. */
static void what_comes_bit_by_bit_is_told_apart(void)
{
	static const char text[] = "bjt 1\nguest \"g\" abi=uhyve/2 mem=4096\n\n";
	int saved = dup(STDIN_FILENO), ends[2];
	struct trace_reader *r;
	struct err err;

	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
	for (int i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(write(ends[1], text + i, 1), 1);
	CU_ASSERT(write(ends[1], text + 4, sizeof(text) - 5) > 0);
	close(ends[1]);
	dup2(ends[0], STDIN_FILENO);
	close(ends[0]);
	CU_ASSERT_FATAL(!trace_reader_open(&r, "-", &err));
	CU_ASSERT_EQUAL(trace_reader_format(r), TRACE_BJT);
	trace_reader_close(r);
	dup2(saved, STDIN_FILENO);
	close(saved);
}

static void descriptor_zero_is_one_too(void)
{
	int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100);
	struct trace_record record;
	struct trace_reader *r;
	struct err err;

	make_tree();
	save("a", sample()->p, sample()->len);
	close(STDIN_FILENO);
	CU_ASSERT_FATAL(!trace_reader_open(&r, in_tree("a"), &err));
	CU_ASSERT_EQUAL(fcntl(STDIN_FILENO, F_GETFD), FD_CLOEXEC);
	CU_ASSERT_EQUAL(trace_reader_next(r, &record, &err), 1);
	trace_reader_close(r);
	CU_ASSERT(fcntl(STDIN_FILENO, F_GETFD) < 0);
	dup2(saved, STDIN_FILENO);
	close(saved);
	tmptree_remove(&tree);
}

/* Whatever was read, and how far. */
static void nothing_is_left_behind(void)
{
	enum { WARM = 10, ROUNDS = 100, LEAST = 32 }; /* LEAST: bytes of anything */
	static const char text[] = "bjt 1\nguest \"g\" abi=uhyve/2 mem=4096\n\nend\n";
	static struct bytes file, tail;
	size_t before = 0;
	char kinds[20];
	struct err err;

	make_killed(&file, &tail);
	save("text", text, sizeof(text) - 1);
	save("none", "GIF89a is no trace", 18);
	for (int i = 0; i < WARM + ROUNDS; i++) {
		CU_ASSERT_EQUAL(read_all(sample()->p, sample()->len, kinds, 20, &err), 7);
		CU_ASSERT_EQUAL(read_all("GIF89a is no trace", 18, kinds, 20, &err), -EBADMSG);
		CU_ASSERT_EQUAL(read_file("a", kinds, 20, &err), 2);
		CU_ASSERT_EQUAL(read_file("text", kinds, 20, &err), 0);
		CU_ASSERT_EQUAL(read_file("none", kinds, 20, &err), -EBADMSG);
		if (i == WARM)
			before = heap();
	}
	CU_ASSERT(heap() < before + ROUNDS * LEAST / 2);
	tmptree_remove(&tree);
}

/*
 * Reads these bytes from a socket whose other end was closed in anger: then reading fails, with ECONNRESET.
 * What trace_reader_open says, or else the first call of trace_reader_next that does not succeed.
 */
static int read_reset(const void *p, size_t len, int *n, struct err *err)
{
	int saved = dup(STDIN_FILENO), ends[2], r;
	struct trace_record record;
	struct trace_reader *reader;

	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	CU_ASSERT_FATAL(write(ends[1], p, len) == (ssize_t)len);
	CU_ASSERT_FATAL(write(ends[0], "unread", 6) == 6);
	close(ends[1]);
	dup2(ends[0], STDIN_FILENO);
	close(ends[0]);
	*n = 0;
	err->text[0] = 0;
	r = trace_reader_open(&reader, "-", err);
	if (!r) {
		while ((r = trace_reader_next(reader, &record, err)) > 0)
			++*n;
		trace_reader_close(reader);
	}
	dup2(saved, STDIN_FILENO);
	close(saved);
	return r;
}

/* Wherever it happens, it is an error of reading, and what came before is there. */
static void what_cannot_be_read_is_no_cut(void)
{
	static struct bytes b, foreign;
	struct err err;
	int n, most = 0;

	b = *sample();
	for (size_t len = 0; len < b.len; len++) {
		CU_ASSERT_EQUAL(read_reset(b.p, len, &n, &err), -ECONNRESET);
		CU_ASSERT_STRING_EQUAL(err.text, "-: Connection reset by peer");
		most = n > most ? n : most;
	}
	CU_ASSERT_EQUAL(most, 6);
	b = *recording((const char *const[]){ HEADER, CLOSE, NULL });
	foreign.len = 0;
	put_block(&foreign, 0x40000bad, "another's", 9);
	for (size_t len = 0; len < foreign.len; len++) {
		put(&b, foreign.p + len, 1);
		CU_ASSERT_EQUAL(read_reset(b.p, b.len, &n, &err), -ECONNRESET);
		CU_ASSERT_EQUAL(n, 1);
	}
	for (size_t len = 0; len < 30; len++)
		CU_ASSERT_EQUAL(read_reset("bjt 1\nguest \"g\" abi=uhyve/2 mem=4096\n\nclose", len,
					&n, &err),
			-ECONNRESET);
}

/* To the end, or to the first mistake. */
static void the_rest_is_read_at_once(void)
{
	static const struct {
		const char *lines[4];
		int expect;
	} rows[] = {
		{ { HEADER, CLOSE, CLOSE }, 0 },
		{ { HEADER, CLOSE, END }, 0 },
		{ { HEADER, END, CLOSE }, -EBADMSG },
		{ { HEADER, CLOSE, "{ n 1 r 0 nr 1 }" }, -EBADMSG },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bytes *b = recording(rows[i].lines);
		struct trace_reader *r;
		struct err err = { "" };

		CU_ASSERT_FATAL(!trace_reader_open_memory(&r, b->p, b->len, "x", &err));
		CU_ASSERT_EQUAL(trace_reader_rest(r, &err), rows[i].expect);
		CU_ASSERT_EQUAL(!err.text[0], !rows[i].expect);
		trace_reader_close(r);
	}
}

/* One reader for both: golden text is told by its first bytes, and keeps large data beside it. */
/* What the last part brings needs more room than all before, and a packet more than the usual buffer. */
static void large_parts_are_joined(void)
{
	static uint8_t zeros[150000];
	const char *const lines[] = { HEADER, "{ blob z32 data z150000 }",
		"{ a [ 1 2 60002 ] n 5 in 'ab' nr 0x1100 more true }",
		"{ d 9 n 5 r 60002 in z60000 }", END, NULL };
	struct bytes *b = recording(lines);
	struct trace_record record;
	struct trace_reader *r;
	struct err err;

	make_tree();
	save("a", b->p, b->len);
	CU_ASSERT_FATAL(!trace_reader_open(&r, in_tree("a"), &err));
	CU_ASSERT_EQUAL_FATAL(trace_reader_next(r, &record, &err), 1);
	CU_ASSERT(record.kind == TRACE_BLOB && record.in_len == 150000 &&
		  !memcmp(record.in, zeros, 150000));
	CU_ASSERT_EQUAL_FATAL(trace_reader_next(r, &record, &err), 1);
	CU_ASSERT(record.kind == TRACE_CALL && record.in_len == 60002 &&
		  !memcmp(record.in, "ab", 2) && !memcmp(record.in + 2, zeros, 60000));
	CU_ASSERT_EQUAL_FATAL(trace_reader_next(r, &record, &err), 1);
	CU_ASSERT_EQUAL(record.kind, TRACE_END);
	trace_reader_close(r);
	tmptree_remove(&tree);
}

/* What a header may say does not depend on how it is written. */
static void golden_text_has_the_same_limits(void)
{
	static const struct {
		const char *header, *why;
	} rows[] = {
		{ "guest \"x\" abi=uhyve/2 mem=4097\n",
			"t.bjt: header: 4097 bytes of guest memory" },
		{ "guest \"x\" abi=uhyve/2 mem=4096\ncwd \"here\"\n", "is not absolute" },
		{ "guest \"x\" abi=uhyve/2 mem=4096\nmount \"x\" \"/a/..\" ro\n",
			"path of mount 0" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct trace_reader *r;
		struct err err = { "" };
		char text[200];
		int len = snprintf(text, sizeof(text), "bjt 1\n%s\nend\n", rows[i].header);

		CU_ASSERT_EQUAL(
			trace_reader_open_memory(&r, text, (size_t)len, "t.bjt", &err), -EBADMSG);
		if (!contains(err.text, rows[i].why))
			printf("     %s: \"%s\"\n", rows[i].header, err.text);
		CU_ASSERT(contains(err.text, rows[i].why));
	}
	trace_reader_close(NULL); /* what was not opened need not be known */
}

static void golden_text_is_read_all_the_same(void)
{
	int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct trace_text_config config = { .blob_dir = NULL };
	struct trace_record call = call_of(0, UHYVE_V2_WRITE), got;
	uint8_t *data = noise(5000);
	char blobs[300];
	struct trace_reader *r;
	struct err err = { "" };
	FILE *file;

	make_tree();
	snprintf(blobs, sizeof(blobs), "%s/blobs", tree.path);
	config.blob_dir = blobs;
	file = fopen(in_tree("a.bjt"), "w");
	CU_ASSERT_FATAL(file != NULL);
	call.in = data, call.in_len = 5000;
	call.args[0] = 1, call.args[2] = 5000, call.result = 5000;
	CU_ASSERT(!trace_text_begin(file, &small_header, &config, &err));
	CU_ASSERT(!trace_text_put(file, &small_header, &call, &config, &err));
	CU_ASSERT(!trace_text_put(file, &small_header,
		&(struct trace_record){ .kind = TRACE_END, .stop_kind = VM_EXITED }, &config,
		&err));
	fclose(file);
	CU_ASSERT(exists("blobs"));
	CU_ASSERT_FATAL(!trace_reader_open(&r, in_tree("a.bjt"), &err));
	CU_ASSERT_EQUAL(trace_reader_format(r), TRACE_BJT);
	CU_ASSERT_EQUAL(trace_reader_header(r)->mem_size, small_header.mem_size);
	CU_ASSERT_EQUAL_FATAL(trace_reader_next(r, &got, &err), 1);
	CU_ASSERT(got.kind == TRACE_CALL && got.in_len == 5000 && !memcmp(got.in, data, 5000));
	CU_ASSERT_EQUAL_FATAL(trace_reader_next(r, &got, &err), 1);
	CU_ASSERT_EQUAL(got.kind, TRACE_END);
	CU_ASSERT_EQUAL(trace_reader_next(r, &got, &err), 0);
	trace_reader_close(r);
	CU_ASSERT(trace_reader_open_memory(&r, "bjt 1\nnonsense\n", 15, "x.bjt", &err) < 0);
	CU_ASSERT(contains(err.text, "x.bjt:2: "));
	CU_ASSERT_PTR_NULL(r);
	CU_ASSERT(trace_reader_open_memory(&r, "bjt ", 4, "x.bjt", &err) < 0);
	CU_ASSERT(contains(err.text, "x.bjt:1: "));
	CU_ASSERT_FATAL(here >= 0 && !chdir(tree.path)); /* with no directory in its name */
	CU_ASSERT_FATAL(!trace_reader_open(&r, "a.bjt", &err));
	CU_ASSERT(trace_reader_next(r, &got, &err) == 1 && got.in_len == 5000);
	trace_reader_close(r);
	CU_ASSERT(!fchdir(here));
	close(here);
	free(data);
	tmptree_remove(&tree);
}

static void says_what_is_wrong_with_the_file_itself(void)
{
	int fds = tmptree_open_fds();
	struct err err;
	struct trace_reader *r = (struct trace_reader *)(void *)&err;

	make_tree();
	CU_ASSERT_EQUAL(trace_reader_open(&r, in_tree("none"), &err), -ENOENT);
	CU_ASSERT_PTR_NULL(r);
	CU_ASSERT(contains(err.text, "none: No such file"));
	CU_ASSERT_EQUAL(trace_reader_open(&r, tree.path, &err), -EISDIR);
	CU_ASSERT(contains(err.text, "Is a directory"));
	CU_ASSERT_EQUAL(trace_recover(in_tree("none"), &err), -ENOENT);
	save("empty", "", 0);
	CU_ASSERT_EQUAL(trace_reader_open(&r, in_tree("empty"), &err), -EBADMSG);
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	tmptree_remove(&tree);
}

static const struct unit_case cases[] = {
	{ "reads_what_is_written_by_hand", reads_what_is_written_by_hand },
	{ "tells_what_a_debugger_wrote", tells_what_a_debugger_wrote },
	{ "another_name_is_one_of_an_earlier_object", another_name_is_one_of_an_earlier_object },
	{ "refuses_a_bad_header", refuses_a_bad_header },
	{ "text_is_utf8_on_one_line", text_is_utf8_on_one_line },
	{ "refuses_a_bad_record", refuses_a_bad_record },
	{ "takes_text_of_all_lengths", takes_text_of_all_lengths },
	{ "takes_numbers_at_their_limits", takes_numbers_at_their_limits },
	{ "refuses_records_out_of_order", refuses_records_out_of_order },
	{ "skips_what_it_does_not_know", skips_what_it_does_not_know },
	{ "refuses_what_is_no_recording", refuses_what_is_no_recording },
	{ "tells_garbage_from_a_cut", tells_garbage_from_a_cut },
	{ "only_whole_blocks_up_to_the_end_are_damage",
		only_whole_blocks_up_to_the_end_are_damage },
	{ "chains_are_looked_at_from_one_budget", chains_are_looked_at_from_one_budget },
	{ "joins_what_came_in_parts", joins_what_came_in_parts },
	{ "parts_that_never_come_are_a_cut", parts_that_never_come_are_a_cut },
	{ "a_header_may_come_in_parts", a_header_may_come_in_parts },
	{ "reads_all_of_a_header", reads_all_of_a_header },
	{ "broken_cbor_is_said", broken_cbor_is_said },
	{ "keys_come_in_any_order", keys_come_in_any_order },
	{ "refuses_a_cpuid_that_is_none", refuses_a_cpuid_that_is_none },
	{ "a_header_has_an_end", a_header_has_an_end },
	{ "a_headers_mounts_have_an_end", a_headers_mounts_have_an_end },
	{ "every_cut_is_read_up_to_it", every_cut_is_read_up_to_it },
	{ "every_flipped_bit_gets_an_answer", every_flipped_bit_gets_an_answer },
	{ "calls_of_any_size_come_back", calls_of_any_size_come_back },
	{ "a_header_comes_back", a_header_comes_back },
	{ "an_end_with_odd_text_comes_back", an_end_with_odd_text_comes_back },
	{ "reads_beside_a_living_recorder", reads_beside_a_living_recorder },
	{ "the_call_in_flight_is_named", the_call_in_flight_is_named },
	{ "recovers_again_wherever_it_was_interrupted",
		recovers_again_wherever_it_was_interrupted },
	{ "a_tail_in_memory_reads_as_in_a_file", a_tail_in_memory_reads_as_in_a_file },
	{ "a_tail_in_the_making_says_nothing", a_tail_in_the_making_says_nothing },
	{ "a_hostile_tail_destroys_nothing", a_hostile_tail_destroys_nothing },
	{ "what_lies_beside_need_not_be_a_tail", what_lies_beside_need_not_be_a_tail },
	{ "only_a_recording_is_recovered", only_a_recording_is_recovered },
	{ "text_is_not_recovered_from_a_tail", text_is_not_recovered_from_a_tail },
	{ "a_pipe_is_read_as_it_comes", a_pipe_is_read_as_it_comes },
	{ "what_cannot_be_read_is_no_cut", what_cannot_be_read_is_no_cut },
	{ "large_parts_are_joined", large_parts_are_joined },
	{ "what_is_wrong_in_a_tail_is_said", what_is_wrong_in_a_tail_is_said },
	{ "what_comes_bit_by_bit_is_told_apart", what_comes_bit_by_bit_is_told_apart },
	{ "descriptor_zero_is_one_too", descriptor_zero_is_one_too },
	{ "nothing_is_left_behind", nothing_is_left_behind },
	{ "the_rest_is_read_at_once", the_rest_is_read_at_once },
	{ "golden_text_has_the_same_limits", golden_text_has_the_same_limits },
	{ "golden_text_is_read_all_the_same", golden_text_is_read_all_the_same },
	{ "says_what_is_wrong_with_the_file_itself", says_what_is_wrong_with_the_file_itself },
};
UNIT_MAIN("trace_read", cases)
