/* SPDX-License-Identifier: ISC */
/* Two texts compared line by line: which lines are the same, and what differs as a unified diff. Pure. */
#ifndef LINEDIFF_H
#define LINEDIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A line without its newline; not terminated. Borrowed from the text. */
struct line {
	const char *text;
	size_t len;
};

struct lines {
	struct line *list;
	size_t n;
};

/* Cuts a text into lines; what follows the last newline is a line, too. Free list. 0 or -ENOMEM. */
int lines_of(struct lines *lines, const char *text, size_t len);

/*
 * match[i] becomes the index of b's line that a's line i is, rising, or SIZE_MAX for a line that b has not.
 * As few lines as possible are left over, unless the texts have little in common. 0 or -ENOMEM.
 */
int lines_match(const struct lines *a, const struct lines *b, size_t *match);

struct linediff_style {
	unsigned context; /* lines around a change */
	bool colour;
	size_t max_lines; /* of output; 0: no limit. What is left out is counted */
};

/* Writes the hunks, nothing when the texts are the same. Their number, or -ENOMEM. */
int linediff_print(FILE *out, const struct lines *a, const struct lines *b,
	const struct linediff_style *style);
/* The same of what lines_match() has said. */
int linediff_print_match(FILE *out, const struct lines *a, const struct lines *b,
	const size_t *match, const struct linediff_style *style);

#endif
