/* SPDX-License-Identifier: ISC */
/*
 * A text file's lines taken apart: words with one blank between them, numbers, quoted bytes. What is refused
 * is said as "FILE:LINE: what; expected what". Knows nothing of what the words mean.
 */
#ifndef SCAN_H
#define SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct err;

struct scan {
	FILE *file;
	struct err *err;  /* where refusals go; the caller sets it */
	const char *name; /* for messages */
	char *line;
	size_t room;
	uint64_t number; /* of the line */
	bool again;      /* set to have scan_line give the same line again */
	/* What is left of the line. A word begins behind one blank, or where the line does. */
	const char *at, *end;
};

/* file and name are borrowed. */
void scan_init(struct scan *in, FILE *file, const char *name);
void scan_finish(struct scan *in);

/* All of these return a negative number, that the caller can return. */
__attribute__((format(printf, 2, 3))) int scan_fail(const struct scan *in, const char *format, ...);
int scan_no_memory(const struct scan *in);
/* What stands next is not what should. */
int scan_expected(const struct scan *in, const char *what);

/* 1 with the next line, which is ASCII without a blank at its end; 0 at the end; -errno with err. */
int scan_line(struct scan *in);
/* The same, but for empty lines and those that begin with #. */
int scan_next_line(struct scan *in);

/* A word of the line, or a piece of one. */
struct word {
	const char *p;
	size_t n;
};

bool scan_at_end(const struct scan *in);
/* The next word, up to a blank; empty when there is none. It is not taken. */
struct word scan_peek(const struct scan *in);
/* Takes what was peeked at. */
void scan_skip(struct scan *in, struct word word);
bool scan_take_word(struct scan *in, const char *text);
/* Does the next word begin so? Then what is behind it. */
bool scan_peek_key(const struct scan *in, const char *key, struct word *rest);
/* Refuses a line that goes on. */
int scan_end_of_line(const struct scan *in);
/* A number behind a key, which may be "". */
int scan_keyed(struct scan *in, const char *key, unsigned base, uint64_t max, const char *what,
	uint64_t *value);
/* sha256= and 64 hex digits. */
enum { SCAN_SHA256_LEN = 32 };
int scan_sha256(struct scan *in, uint8_t hash[SCAN_SHA256_LEN]);

bool word_is(struct word s, const char *text);
bool word_number(struct word s, unsigned base, uint64_t *value);
bool word_signed(struct word s, int64_t *value);
/* Exactly len bytes in lower-case hex. */
bool word_hex(struct word s, uint8_t *out, size_t len);

/* Grows; data is the owner's to free. */
struct bytes {
	uint8_t *data;
	size_t len, room;
};

/* Room for so many more. data is not NULL then. */
bool bytes_room(struct bytes *b, size_t more);
/* Appends text with its escapes undone; text is a part of the line. */
int scan_escaped(struct scan *in, struct bytes *to, struct word text);
/* Appends what stands in quotes next. */
int scan_quoted(struct scan *in, struct bytes *to, const char *what);
/* The same as a string on the heap. Refuses NULs. */
int scan_string(struct scan *in, char **string, const char *what);

#endif
