// SPDX-License-Identifier: ISC
/* Line diffs: small ones by sight, many random ones by what a diff has to be. */
#include "linediff.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "cleanup.h"
#include "unit.h"

static const struct {
	const char *a, *b, *diff;
	int hunks;
} rows[] = {
	{ "", "", "", 0 },
	{ "a\nb\n", "a\nb\n", "", 0 },
	{ "a\nb", "a\nb\n", "", 0 },
	{ "", "a\n", "@@ -0,0 +1,1 @@\n+a\n", 1 },
	{ "a\n", "", "@@ -1,1 +0,0 @@\n-a\n", 1 },
	{ "a\n", "b\n", "@@ -1,1 +1,1 @@\n-a\n+b\n", 1 },
	{ "a\nb\nc\nd\n", "a\nb\nX\nc\nd\n", "@@ -2,2 +2,3 @@\n b\n+X\n c\n", 1 },
	{ "a\nb\nc\n", "b\nc\nd\n", "@@ -1,3 +1,3 @@\n-a\n b\n c\n+d\n", 1 },
	{ "1\n2\n3\n4\n5\n6\n", "X\n2\n3\n4\n5\nY\n",
		"@@ -1,2 +1,2 @@\n-1\n+X\n 2\n@@ -5,2 +5,2 @@\n 5\n-6\n+Y\n", 2 },
	{ "1\n2\n3\n4\n", "X\n2\n3\nY\n", "@@ -1,4 +1,4 @@\n-1\n+X\n 2\n 3\n-4\n+Y\n", 1 },
	{ "\033[2J\n", "caf\xe9\n", "@@ -1,1 +1,1 @@\n-\\x1b[2J\n+caf\\xe9\n", 1 },
};

static int print(const char *a_text, const char *b_text, unsigned context, char *buf, size_t size)
{
	FILE *out = fmemopen(buf, size, "w");
	struct linediff_style style = { .context = context };
	struct lines a, b;
	int r;

	CU_ASSERT_FATAL(out != NULL);
	CU_ASSERT_FATAL(!lines_of(&a, a_text, strlen(a_text)));
	CU_ASSERT_FATAL(!lines_of(&b, b_text, strlen(b_text)));
	r = linediff_print(out, &a, &b, &style);
	fclose(out);
	free(a.list);
	free(b.list);
	return r;
}

static void says_what_differs(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char buf[1000] = "";

		CU_ASSERT_EQUAL(print(rows[i].a, rows[i].b, 1, buf, sizeof(buf)), rows[i].hunks);
		CU_ASSERT_STRING_EQUAL(buf, rows[i].diff);
		if (strcmp(buf, rows[i].diff))
			printf("     row %zu:\n%s", i, buf);
	}
}

/* Longest common subsequence, the slow way. */
static size_t common(const struct lines *a, const struct lines *b)
{
	static size_t best[65][65];

	for (size_t i = 0; i <= a->n; i++)
		for (size_t j = 0; j <= b->n; j++) {
			if (!i || !j)
				best[i][j] = 0;
			else if (a->list[i - 1].text[0] == b->list[j - 1].text[0])
				best[i][j] = best[i - 1][j - 1] + 1;
			else
				best[i][j] = best[i - 1][j] > best[i][j - 1] ? best[i - 1][j]
									     : best[i][j - 1];
		}
	return best[a->n][b->n];
}

static size_t random_text(char *text, unsigned letters)
{
	size_t n = (size_t)rand() % 60;

	for (size_t i = 0; i < n; i++) {
		text[2 * i] = (char)('a' + rand() % (int)letters);
		text[2 * i + 1] = '\n';
	}
	text[2 * n] = 0;
	return 2 * n;
}

static void leaves_over_as_little_as_can_be(void)
{
	srand(1);
	for (int turn = 0; turn < 3000; turn++) {
		unsigned letters = 1 + (unsigned)turn % 12;
		char a_text[128], b_text[128];
		struct lines a, b;
		size_t match[64], matched = 0, last = 0;
		bool right = true;

		CU_ASSERT_FATAL(!lines_of(&a, a_text, random_text(a_text, letters)));
		CU_ASSERT_FATAL(!lines_of(&b, b_text, random_text(b_text, letters)));
		CU_ASSERT_FATAL(!lines_match(&a, &b, match));
		for (size_t i = 0; i < a.n; i++) {
			if (match[i] == SIZE_MAX)
				continue;
			right &= match[i] < b.n && (!matched || match[i] > last) &&
				 a.list[i].text[0] == b.list[match[i]].text[0];
			last = match[i];
			matched++;
		}
		CU_ASSERT(right);
		CU_ASSERT_EQUAL(matched, common(&a, &b));
		free(a.list);
		free(b.list);
	}
}

/* The same lines, of which hardly any can be kept, and a lot of them: an answer all the same, and at once. */
static void gives_up_on_what_has_too_little_in_common(void)
{
	enum { LINES = 40000 };
	autofree char *a_text = malloc(LINES * 8 + 1), *b_text = malloc(LINES * 8 + 1);
	autofree size_t *match = calloc(LINES, sizeof(*match));
	struct lines a, b;

	for (int i = 0; i < LINES; i++) {
		sprintf(a_text + 8 * i, "a%06d\n", i);
		sprintf(b_text + 8 * i, "a%06d\n", LINES - 1 - i);
	}
	CU_ASSERT_FATAL(!lines_of(&a, a_text, LINES * 8));
	CU_ASSERT_FATAL(!lines_of(&b, b_text, LINES * 8));
	CU_ASSERT_FATAL(!lines_match(&a, &b, match));
	CU_ASSERT(match[0] == SIZE_MAX && match[LINES - 1] == SIZE_MAX);
	free(a.list);
	free(b.list);
}

/* Among so many that only one has that a search through them all would have given up. */
static void finds_the_one_line_that_both_have(void)
{
	enum { LINES = 4000, SHARED = 123 };
	autofree char *a_text = malloc(LINES * 8 + 1), *b_text = malloc(LINES * 8 + 1);
	autofree size_t *match = calloc(LINES, sizeof(*match));
	struct lines a, b;

	for (int i = 0; i < LINES; i++) {
		sprintf(a_text + 8 * i, "a%06d\n", i);
		sprintf(b_text + 8 * i, "%c%06d\n", i == SHARED ? 'a' : 'b', i == SHARED ? 7 : i);
	}
	CU_ASSERT_FATAL(!lines_of(&a, a_text, LINES * 8));
	CU_ASSERT_FATAL(!lines_of(&b, b_text, LINES * 8));
	CU_ASSERT_FATAL(!lines_match(&a, &b, match));
	for (size_t i = 0; i < LINES; i++)
		CU_ASSERT_EQUAL(match[i], i == 7 ? SHARED : SIZE_MAX);
	free(a.list);
	free(b.list);
}

static void stops_at_the_limit(void)
{
	char buf[400] = "";
	FILE *out = fmemopen(buf, sizeof(buf), "w");
	struct linediff_style style = { .max_lines = 3 };
	struct lines a, b;

	CU_ASSERT_FATAL(!lines_of(&a, "1\n2\n3\n4\n", 8));
	CU_ASSERT_FATAL(!lines_of(&b, "", 0));
	CU_ASSERT_EQUAL(linediff_print(out, &a, &b, &style), 1);
	fclose(out);
	CU_ASSERT_STRING_EQUAL(buf, "@@ -1,4 +0,0 @@\n-1\n-2\n(2 more lines)\n");
	free(a.list);
	free(b.list);
}

static const struct unit_case cases[] = {
	{ "says_what_differs", says_what_differs },
	{ "leaves_over_as_little_as_can_be", leaves_over_as_little_as_can_be },
	{ "gives_up_on_what_has_too_little_in_common", gives_up_on_what_has_too_little_in_common },
	{ "finds_the_one_line_that_both_have", finds_the_one_line_that_both_have },
	{ "stops_at_the_limit", stops_at_the_limit },
};
UNIT_MAIN("linediff", cases)
