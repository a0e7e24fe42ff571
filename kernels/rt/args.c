// SPDX-License-Identifier: ISC
/* What a flattened device tree says, and the command line in it, split into words as a shell would. */
#include "rt.h"

enum {
	FDT_MAGIC = 0xd00dfeed,
	FDT_BEGIN_NODE = 1,
	FDT_END_NODE = 2,
	FDT_PROP = 3,
	FDT_NOP = 4,
	FDT_TOTALSIZE = 4, /* offsets in the header */
	FDT_STRUCT = 8,
	FDT_STRINGS = 12,
};

struct fdt {
	const char *base;
	size_t size, at, strings;
};

/* The 32-bit word at an offset; 0, which is no token, when it lies outside. */
static uint32_t word_at(const struct fdt *t, size_t at)
{
	uint32_t w;

	if (at > t->size || t->size - at < 4)
		return 0;
	memcpy(&w, t->base + at, 4);
	return __builtin_bswap32(w);
}

static bool string_is(const struct fdt *t, size_t at, const char *s)
{
	size_t len = strlen(s) + 1;

	return at <= t->size && t->size - at >= len && !memcmp(t->base + at, s, len);
}

static void skip_string(struct fdt *t)
{
	while (t->at < t->size && t->base[t->at])
		t->at++;
	t->at = (t->at + 4) & ~(size_t)3;
}

const char *rt_fdt_property(const void *fdt, const char *node, const char *name, size_t *len)
{
	struct fdt t = { .base = fdt, .size = 8 };
	unsigned depth = 0;
	bool here = false;

	if (!fdt || word_at(&t, 0) != FDT_MAGIC)
		return NULL;
	t.size = word_at(&t, FDT_TOTALSIZE);
	t.strings = word_at(&t, FDT_STRINGS);
	t.at = word_at(&t, FDT_STRUCT);
	for (;;) {
		uint32_t token = word_at(&t, t.at), prop_len = word_at(&t, t.at + 4);

		t.at += 4;
		if (token == FDT_BEGIN_NODE) {
			here = ++depth == 2 && string_is(&t, t.at, node);
			skip_string(&t);
		} else if (token == FDT_END_NODE) {
			here = false;
			depth--;
		} else if (token == FDT_PROP) {
			uint32_t at = word_at(&t, t.at + 4);

			t.at += 8;
			if (t.at > t.size || prop_len > t.size - t.at)
				return NULL;
			if (here && string_is(&t, t.strings + at, name)) {
				*len = prop_len;
				return t.base + t.at;
			}
			t.at += (prop_len + 3) & ~(size_t)3;
		} else if (token != FDT_NOP) {
			return NULL;
		}
	}
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* Does the backslash at p take away the meaning of the byte after it? */
static bool escapes(const char *p, const char *end, char quote)
{
	if (*p != '\\' || quote == '\'' || p + 1 == end)
		return false;
	return !quote || strchr("$`\"\\\n", p[1]);
}

bool rt_next_word(const char **in, const char *end, char **out)
{
	const char *p = *in;
	char *o = *out, quote = 0;

	while (p < end && is_blank(*p))
		p++;
	if (p >= end)
		return false;
	for (; p < end && (quote || !is_blank(*p)); p++) {
		if (escapes(p, end, quote))
			*o++ = *++p;
		else if (quote && *p == quote)
			quote = 0;
		else if (!quote && (*p == '\'' || *p == '"'))
			quote = *p;
		else
			*o++ = *p;
	}
	*o++ = 0;
	*in = p;
	*out = o;
	return true;
}
