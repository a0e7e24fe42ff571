// SPDX-License-Identifier: ISC
/*
 * Any bytes, cut in two at their first NUL, as two texts: what a diff says is true (lines taken to be the same
 * are the same, in order, and the output has as many lines of each kind as follow from them), and what is shown
 * is printable. The same texts in a test's result: the XML is ASCII, with no bracket but the tags' own.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "junit.h"
#include "linediff.h"

static size_t check_match(const struct lines *a, const struct lines *b, const size_t *match)
{
	size_t n = 0, next = 0;

	for (size_t i = 0; i < a->n; i++) {
		if (match[i] == SIZE_MAX)
			continue;
		assert(match[i] >= next && match[i] < b->n);
		assert(a->list[i].len == b->list[match[i]].len);
		assert(!memcmp(a->list[i].text, b->list[match[i]].text, a->list[i].len));
		next = match[i] + 1;
		n++;
	}
	return n;
}

/* Loops without a branch, for most of an input's time would go here. */
static size_t count_bytes(const char *text, size_t len, char c)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += text[i] == c;
	return n;
}

static size_t count_lines(const char *text, size_t len, char first)
{
	size_t n = len && text[0] == first;

	for (size_t i = 1; i < len; i++)
		n += (text[i] == first) & (text[i - 1] == '\n');
	return n;
}

/* Printable ASCII and line breaks. */
static size_t count_plain(const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += (text[i] == '\n') | ((text[i] >= ' ') & (text[i] <= '~'));
	return n;
}

static void check_printed(
	const struct lines *a, const struct lines *b, const size_t *match, size_t same)
{
	struct linediff_style style = { .context = 3 };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int hunks = linediff_print_match(out, a, b, match, &style);

	fclose(out);
	assert(hunks >= 0 && (size_t)hunks == count_lines(text, len, '@'));
	assert((hunks == 0) == (a->n == same && b->n == same));
	assert(count_lines(text, len, '-') == a->n - same);
	assert(count_lines(text, len, '+') == b->n - same);
	assert(count_plain(text, len) == len);
	free(text);
}

static void check_junit(const char *a, const char *b)
{
	const struct junit_case c = { b, a, JUNIT_FAILED, a, 0 };
	enum { TAGS = 10 }; /* of one case that failed, and what is around it */
	size_t len = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &len);

	assert(!junit_write(out, b, &c, 1));
	fclose(out);
	assert(count_plain(text, len) + count_bytes(text, len, '\t') == len);
	assert(count_bytes(text, len, '<') == TAGS - 1);
	assert(count_bytes(text, len, '>') == TAGS - 1);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
	size_t first = nul ? (size_t)(nul - data) : size;
	char *text = calloc(1, size + 1);
	struct lines a, b;
	size_t *match, same;

	if (size)
		memcpy(text, data, size);
	assert(!lines_of(&a, text, first));
	assert(!lines_of(&b, text + first + (nul != NULL), size - first - (nul != NULL)));
	match = calloc(a.n + 1, sizeof(*match));
	assert(!lines_match(&a, &b, match));
	same = check_match(&a, &b, match);
	check_printed(&a, &b, match, same);
	check_junit(text, text + (nul ? first + 1 : size));
	free(match);
	free(a.list);
	free(b.list);
	free(text);
	return 0;
}
