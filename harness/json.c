// SPDX-License-Identifier: ISC
/* JSON: RFC 8259. Knows nothing of what the values mean. */
#include "json.h"

#include <stdbool.h>
#include <string.h>

#define EXACT_MAX (1ull << 53) /* what a double holds */

/* Bytes of the UTF-8 sequence at p, 0 when it is none: RFC 3629, no surrogates, nothing over-long. */
static size_t utf8_len(const uint8_t *p, size_t left)
{
	static const struct {
		uint8_t first, last, low, high; /* of the first byte; of the second */
		uint8_t len;
	} forms[] = {
		{ 0x00, 0x7f, 0, 0, 1 },
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (p[0] < forms[i].first || p[0] > forms[i].last)
			continue;
		if (forms[i].len > left ||
			(forms[i].len > 1 && (p[1] < forms[i].low || p[1] > forms[i].high)))
			return 0;
		for (size_t k = 2; k < forms[i].len; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

static bool is_utf8(const uint8_t *p, size_t len)
{
	for (size_t n; len; p += n, len -= n) {
		n = utf8_len(p, len);
		if (!n)
			return false;
	}
	return true;
}

static void put_string(FILE *out, const uint8_t *p, size_t len)
{
	fputc('"', out);
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '"' || p[i] == '\\')
			fprintf(out, "\\%c", p[i]);
		else if (p[i] == '\n')
			fputs("\\n", out);
		else if (p[i] < 0x20 || p[i] == 0x7f || p[i] == '<') /* "</script>" is HTML's */
			fprintf(out, "\\u%04x", p[i]);
		else
			fputc(p[i], out);
	}
	fputc('"', out);
}

void json_put_bytes(FILE *out, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	if (is_utf8(p, len)) {
		put_string(out, p, len);
		return;
	}
	fputs("{\"hex\":\"", out);
	for (size_t i = 0; i < len; i++)
		fprintf(out, "%02x", p[i]);
	fputs("\"}", out);
}

void json_put_text(FILE *out, const char *text)
{
	json_put_bytes(out, text, strlen(text));
}

void json_put_uint(FILE *out, uint64_t value)
{
	fprintf(out, value > EXACT_MAX ? "\"%llu\"" : "%llu", (unsigned long long)value);
}

void json_put_int(FILE *out, int64_t value)
{
	bool exact = value >= -(int64_t)EXACT_MAX && value <= (int64_t)EXACT_MAX;

	fprintf(out, exact ? "%lld" : "\"%lld\"", (long long)value);
}
