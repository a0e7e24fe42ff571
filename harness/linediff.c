// SPDX-License-Identifier: ISC
/*
 * Myers, "An O(ND) difference algorithm": the furthest point on each diagonal after d changes, every round
 * kept so that the way can be walked back. Rounds are bounded: texts that have less in common than that are
 * taken to differ whole where they do.
 */
#include "linediff.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "escape.h"

enum {
	ROUNDS_MAX = 2000, /* 16 MB of diagonals at the worst */
	LINE_SHOWN_MAX = 4096,
};

int lines_of(struct lines *lines, const char *text, size_t len)
{
	size_t n = 0;

	*lines = (struct lines){ 0 };
	for (size_t i = 0; i < len; i++)
		n += text[i] == '\n' || i + 1 == len;
	lines->list = calloc(n ? n : 1, sizeof(*lines->list));
	if (!lines->list)
		return -ENOMEM;
	while (lines->n < n) {
		const char *end = memchr(text, '\n', len);
		size_t size = end ? (size_t)(end - text) : len;

		lines->list[lines->n++] = (struct line){ text, size };
		text += size + (end != NULL);
		len -= size + (end != NULL);
	}
	return 0;
}

static bool same(const struct line *a, const struct line *b)
{
	return a->len == b->len && !memcmp(a->text, b->text, a->len);
}

/* What lies between the common head and tail, without the lines that only one of the texts has. */
struct middle {
	struct line *a, *b;
	size_t *a_at, *b_at; /* which of the texts' lines they are */
	int32_t n, m;
};

/* What stands beside a round's first and last diagonal: no way comes from there. */
enum { NOWHERE = -2 };

/* Round d has 2d + 1 diagonals, two places on either side of them, and so begins at d * (d + 4). */
static int32_t *at(int32_t *rounds, int32_t d, int32_t k)
{
	return rounds + (size_t)d * (size_t)(d + 4) + (size_t)(k + d + 2);
}

/* Did diagonal k of round d begin by a step down from k + 1 of the round before, not right from k - 1? */
static bool is_down(int32_t *rounds, int32_t d, int32_t k)
{
	return *at(rounds, d - 1, k - 1) < *at(rounds, d - 1, k + 1);
}

static int32_t begin_of(int32_t *rounds, int32_t d, int32_t k)
{
	if (!d)
		return 0;
	return is_down(rounds, d, k) ? *at(rounds, d - 1, k + 1) : *at(rounds, d - 1, k - 1) + 1;
}

/* One round, of the diagonals that meet both texts. True when the end was reached. */
static bool round_run(const struct middle *mid, int32_t *rounds, int32_t d)
{
	int32_t first = d <= mid->m ? -d : ((d + mid->m) & 1) - mid->m;
	int32_t last = d <= mid->n ? d : mid->n - ((d + mid->n) & 1);

	*at(rounds, d, first - 2) = *at(rounds, d, last + 2) = NOWHERE;
	for (int32_t k = first; k <= last; k += 2) {
		int32_t x = begin_of(rounds, d, k);
		int32_t end = mid->n < mid->m + k ? mid->n : mid->m + k;

		while (x < end && same(&mid->a[x], &mid->b[x - k]))
			x++;
		*at(rounds, d, k) = x;
		if (x >= mid->n && x - k >= mid->m)
			return true;
	}
	return false;
}

/* From the end back to the beginning: what was the same on each diagonal. */
static void walk_back(const struct middle *mid, int32_t *rounds, int32_t d, size_t *match)
{
	int32_t k = mid->n - mid->m;

	for (; d >= 0; d--) {
		int32_t begin = begin_of(rounds, d, k);

		for (int32_t x = *at(rounds, d, k); x-- > begin;)
			match[mid->a_at[x]] = mid->b_at[x - k];
		if (d)
			k += is_down(rounds, d, k) ? 1 : -1;
	}
}

static int match_middle(const struct middle *mid, size_t *match)
{
	autofree int32_t *rounds = NULL;

	for (int32_t d = 0; d < ROUNDS_MAX; d++) {
		size_t room = (size_t)(d + 1) * (size_t)(d + 5);

		/* Grows as it is needed: doubling would ask for most of it at once. */
		if (!d || !(d & 63)) {
			int32_t *grown = reallocarray(
				rounds, room + 128 * (size_t)(d + 64), sizeof(*rounds));

			if (!grown)
				return -ENOMEM;
			rounds = grown;
		}
		if (round_run(mid, rounds, d)) {
			walk_back(mid, rounds, d, match);
			return 0;
		}
	}
	return 0; /* nothing in common that is worth the search */
}

static uint32_t hash_of(const struct line *line)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < line->len; i++)
		hash = (hash ^ (uint8_t)line->text[i]) * 16777619u;
	return hash ^ hash >> 15;
}

/* Of list's n lines those that seem to be among the m of other, and where: few that are not slip through. */
static int keep_common(struct line **kept, size_t **at, int32_t *n_kept, const struct line *list,
	size_t n, const struct line *other, size_t m, size_t offset)
{
	size_t places = 64;
	autofree uint8_t *seen = NULL;

	while (places < 8 * m)
		places *= 2;
	seen = calloc(places, 1);
	*kept = calloc(n + 1, sizeof(**kept));
	*at = calloc(n + 1, sizeof(**at));
	if (!seen || !*kept || !*at)
		return -ENOMEM;
	for (size_t i = 0; i < m; i++)
		seen[hash_of(&other[i]) & (places - 1)] = 1;
	for (size_t i = 0; i < n; i++) {
		if (!seen[hash_of(&list[i]) & (places - 1)])
			continue;
		(*kept)[*n_kept] = list[i];
		(*at)[(*n_kept)++] = offset + i;
	}
	return 0;
}

static int match_between(
	const struct line *a, size_t n, const struct line *b, size_t m, size_t *match, size_t head)
{
	struct middle mid = { 0 };
	int r = keep_common(&mid.a, &mid.a_at, &mid.n, a, n, b, m, head);

	if (!r)
		r = keep_common(&mid.b, &mid.b_at, &mid.m, b, m, a, n, head);
	if (!r && mid.n && mid.m)
		r = match_middle(&mid, match);
	free(mid.a);
	free(mid.b);
	free(mid.a_at);
	free(mid.b_at);
	return r;
}

int lines_match(const struct lines *a, const struct lines *b, size_t *match)
{
	size_t head = 0, tail = 0, least = a->n < b->n ? a->n : b->n, n, m;

	for (size_t i = 0; i < a->n; i++)
		match[i] = SIZE_MAX;
	while (head < least && same(&a->list[head], &b->list[head])) {
		match[head] = head;
		head++;
	}
	while (tail < least - head && same(&a->list[a->n - 1 - tail], &b->list[b->n - 1 - tail])) {
		match[a->n - 1 - tail] = b->n - 1 - tail;
		tail++;
	}
	n = a->n - head - tail;
	m = b->n - head - tail;
	if (!n || !m || n > INT32_MAX / 2 || m > INT32_MAX / 2)
		return 0;
	return match_between(a->list + head, n, b->list + head, m, match, head);
}

/* The two texts side by side, an edit at a time: '-' takes from a, '+' from b, ' ' from both. */
struct cursor {
	const struct lines *a, *b;
	const size_t *match;
	size_t i, j;
};

static char next_edit(const struct cursor *c)
{
	if (c->i < c->a->n && c->match[c->i] == SIZE_MAX)
		return '-';
	if (c->j < c->b->n && (c->i == c->a->n || c->j < c->match[c->i]))
		return '+';
	return c->i < c->a->n ? ' ' : 0;
}

static void take_edit(struct cursor *c, char edit)
{
	c->i += edit != '+';
	c->j += edit != '-';
}

/* To the end of a hunk that begins at c: two contexts of unchanged lines end it. */
static struct cursor hunk_end(struct cursor c, unsigned context)
{
	struct cursor end = c;
	size_t quiet = 0;
	char edit;

	while ((edit = next_edit(&c)) && quiet <= 2 * (size_t)context) {
		take_edit(&c, edit);
		quiet = edit == ' ' ? quiet + 1 : 0;
		if (quiet <= context)
			end = c;
	}
	return end;
}

static const char *colour_of(char edit)
{
	return edit == '-' ? "\033[31m" : edit == '+' ? "\033[32m" : edit == '@' ? "\033[36m" : "";
}

struct printer {
	FILE *out;
	const struct linediff_style *style;
	size_t printed, left_out;
};

static bool is_printable(char c)
{
	return c >= 0x20 && c < 0x7f;
}

/* A text may be anybody's: what a terminal would obey is shown as \xHH. */
static void put_printable(FILE *out, const struct line *line)
{
	size_t len = line->len < LINE_SHOWN_MAX ? line->len : LINE_SHOWN_MAX, n;
	char hex[4];

	for (size_t i = 0; i < len; i += n) {
		for (n = 0; i + n < len && is_printable(line->text[i + n]);)
			n++;
		fwrite(line->text + i, 1, n, out);
		if (i + n < len) {
			escape_hex(hex, (uint8_t)line->text[i + n++]);
			fwrite(hex, 1, sizeof(hex), out);
		}
	}
}

static void print_line(struct printer *p, char edit, const struct line *line)
{
	const char *colour = p->style->colour ? colour_of(edit) : "";

	if (p->style->max_lines && p->printed >= p->style->max_lines) {
		p->left_out++;
		return;
	}
	p->printed++;
	fputs(colour, p->out);
	putc(edit, p->out);
	put_printable(p->out, line);
	fputs(*colour ? "\033[0m\n" : "\n", p->out);
}

static void print_hunk(struct printer *p, struct cursor c, const struct cursor *end)
{
	char text[100];
	struct line head = { text + 1, 0 };
	size_t n = end->i - c.i, m = end->j - c.j;

	/* Lines are counted from 1; an empty side names the line before it. */
	head.len = (size_t)snprintf(text, sizeof(text), "@@ -%zu,%zu +%zu,%zu @@", c.i + (n != 0),
			   n, c.j + (m != 0), m) -
		   1;
	print_line(p, '@', &head);
	while (c.i < end->i || c.j < end->j) {
		char edit = next_edit(&c);

		print_line(p, edit, edit == '+' ? &c.b->list[c.j] : &c.a->list[c.i]);
		take_edit(&c, edit);
	}
}

int linediff_print_match(FILE *out, const struct lines *a, const struct lines *b,
	const size_t *match, const struct linediff_style *style)
{
	struct printer p = { .out = out, .style = style };
	struct cursor c = { .a = a, .b = b, .match = match }, end;
	int hunks = 0;
	char edit;

	while ((edit = next_edit(&c))) {
		size_t back;

		if (edit == ' ') {
			take_edit(&c, edit);
			continue;
		}
		end = hunk_end(c, style->context);
		/* The context before it: unchanged, so both sides go back alike. */
		for (back = 0; back < style->context && c.i && c.j && match[c.i - 1] == c.j - 1;
			back++)
			c.i--, c.j--;
		print_hunk(&p, c, &end);
		hunks++;
		c = end;
	}
	if (p.left_out)
		fprintf(out, "(%zu more lines)\n", p.left_out);
	return hunks;
}

int linediff_print(
	FILE *out, const struct lines *a, const struct lines *b, const struct linediff_style *style)
{
	autofree size_t *match = calloc(a->n + 1, sizeof(*match));
	int r = match ? lines_match(a, b, match) : -ENOMEM;

	return r ? r : linediff_print_match(out, a, b, match, style);
}
