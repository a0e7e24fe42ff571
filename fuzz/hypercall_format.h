/* SPDX-License-Identifier: ISC */
/*
 * How bytes say what a guest asks: for the fuzz target, which reads them, and for the tests, which write
 * their own calls down as seeds.
 *
 * The first byte, when it has the bits of FORMAT_TWICE, is what the double fetch does to memory: exclusive or. Then
 * calls, from the front; the data they write come from the back. Every string of bytes is a list of calls; a byte of
 * 0xff is where something is broken:
 *
 *	row         number of the ABI's row; FORMAT_WILD: port (2), size and direction (1), argument (8);
 *	            FORMAT_POKE: offset in RAM (2), how many bytes from the back (1)
 *	block       where it lies, if the row has one; 0xff: format_edges[next]
 *	and each field by its kind:
 *	FD          0 to 15; 0xff: 4 bytes
 *	INT         one signed byte; 0x80: as many as the field has
 *	PATH        how many tokens follow; 0xff: lies at format_edges[next], how many tokens.
 *	            A token is a number of format_tokens; 0xff: the next byte itself
 *	OPEN_FLAGS, MODE, WHENCE  number in their table; 0xff: 4 bytes
 *	STAT_KIND   0 or 1; 0xff: 4 bytes
 *	addresses   in steps of FORMAT_STEP from DATA; 0xff: format_edges[next]
 *	LEN         below 0xc0 itself; then in steps of FORMAT_LEN_STEP; 0xff: format_lengths[next]
 *	BYTE        itself
 */
#ifndef HYPERCALL_FORMAT_H
#define HYPERCALL_FORMAT_H

#include <fcntl.h>
#include <stdint.h>

#define FORMAT_COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum {
	FORMAT_RAM = 0x100000,
	FORMAT_PAGE = 4096,
	FORMAT_PAGES = 8,
	FORMAT_SIZE = FORMAT_PAGES * FORMAT_PAGE,
	FORMAT_END = FORMAT_RAM + FORMAT_SIZE,
	FORMAT_TABLE = FORMAT_RAM, /* all four levels of page tables in one page */
	FORMAT_BLOCK = FORMAT_RAM + FORMAT_PAGE,
	FORMAT_DATA = FORMAT_RAM + 2 * FORMAT_PAGE,
	FORMAT_PATH = FORMAT_RAM + 3 * FORMAT_PAGE,
	FORMAT_STEP = 96,
	FORMAT_LEN_STEP = 128,
	FORMAT_LEN_PLAIN = 0xc0,
	FORMAT_BLOCK_STEP = 15,
	FORMAT_BROKEN = 0xff,
	FORMAT_WILD = 0xff, /* in the place of a row */
	FORMAT_POKE = 0xfe,
	FORMAT_INT_RAW = 0x80,
	FORMAT_FDS = 16,
	FORMAT_TWICE = 3,
	FORMAT_CALLS_MAX = 16,
	FORMAT_DATA_MAX = 64, /* bytes that one call takes from the back */
	FORMAT_PATH_TOKENS = 32,
	FORMAT_TOKEN_LITERAL = 0xff,
};

/* Addresses where something ends, wraps, or is something else. */
static const uint64_t format_edges[] = { 0, UINT64_MAX, FORMAT_END, FORMAT_END - 1, FORMAT_END - 8,
	FORMAT_END - 64, FORMAT_END - 120, FORMAT_END - FORMAT_PAGE, FORMAT_RAM - 1, FORMAT_RAM,
	FORMAT_BLOCK, FORMAT_BLOCK + 8, FORMAT_BLOCK - 8, UINT64_MAX - 15, 1ull << 63, 1ull << 32,
	FORMAT_PATH, FORMAT_END - 20, (1ull << 32) + FORMAT_DATA, FORMAT_END - 119,
	FORMAT_END - 7 };

static const uint64_t format_lengths[] = { UINT64_MAX, 1ull << 63, INT64_MAX, 1ull << 32,
	(1ull << 32) + 1, 0x7ffff000, FORMAT_SIZE, FORMAT_SIZE + 1, FORMAT_END - FORMAT_DATA,
	FORMAT_END - FORMAT_DATA + 1, UINT64_MAX - FORMAT_DATA, UINT64_MAX - FORMAT_DATA + 1,
	FORMAT_PAGE, FORMAT_PAGE - 1 };

static const int format_flags[] = { O_RDONLY, O_RDWR | O_CREAT, O_WRONLY | O_CREAT | O_TRUNC,
	O_RDWR, O_WRONLY, O_RDONLY | O_DIRECTORY, O_RDONLY | O_NOFOLLOW, O_RDWR | O_CREAT | O_EXCL,
	O_WRONLY | O_APPEND | O_CREAT, O_RDONLY | O_TRUNC, O_RDONLY | O_CREAT, O_WRONLY | O_SYNC,
	O_RDONLY | O_PATH, O_TMPFILE | O_RDWR, O_ACCMODE, O_RDWR | O_DIRECTORY | O_CREAT };

static const int format_modes[] = { 0644, 0600, 0777, 0, 0444, 04755, 01777, 0200 };

static const uint32_t format_whences[] = { 0, 1, 2, 3, 4, 5 };

/* A path is some of these, joined. Names that are prefixes of each other, and what is no name. */
/* clang-format off */
#define TIMES8(s)   s s s s s s s s
#define TIMES128(s) TIMES8(s s s s s s s s s s s s s s s s)
static const struct format_token {
	const char *text;
	unsigned len;
} format_tokens[] = {
#define TOKEN(s) { s, sizeof(s) - 1 }
	TOKEN("/"), TOKEN(".."), TOKEN("."), TOKEN("a"), TOKEN("ab"), TOKEN("a.b"), TOKEN("..a"),
	TOKEN("..."), TOKEN("ro"), TOKEN("rw"), TOKEN("/ro/"), TOKEN("/rw/"), TOKEN("../"), TOKEN("/../"),
	TOKEN("new"), TOKEN("dir"), TOKEN("dir/"), TOKEN("file"), TOKEN("link"), TOKEN("up"), TOKEN("abs"),
	TOKEN("loop"), TOKEN("gone"), TOKEN("dirlink"), TOKEN("fifo"), TOKEN("canary"), TOKEN("outside"),
	TOKEN("proc/self/fd/"), TOKEN("etc/passwd"), TOKEN("//"), TOKEN("/./"), TOKEN("\n"), TOKEN("\x1b[2J"),
	TOKEN("\xff\xfe"), TOKEN("\xc0\xaf"), TOKEN("\xc0\xae\xc0\xae/"), TOKEN("\xed\xa0\x80"), TOKEN("A"),
	TOKEN("caf\xc3\xa9"), TOKEN("cafe\xcc\x81"), TOKEN("\\"), TOKEN(" "), TOKEN("a/"), TOKEN("x"),
	TOKEN(TIMES128("n") TIMES8("nnnnnnnnnnnnnnn") "nnnnnnn"),  /* the longest name */
	TOKEN(TIMES128("n") TIMES128("n")),                        /* one byte more */
	TOKEN(TIMES8("d/")), TOKEN(TIMES128("././././")), TOKEN(TIMES128("../../")),
#undef TOKEN
};
/* clang-format on */

#endif
