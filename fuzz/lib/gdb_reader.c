// SPDX-License-Identifier: ISC
/* Frames as gdb takes them. */
#include "gdb_reader.h"

#include <stdio.h>
#include <string.h>

static bool sum_is_right(const uint8_t *frame, size_t n)
{
	uint8_t sum = 0;
	char digits[3];

	for (size_t i = 1; i < n - 3; i++)
		sum = (uint8_t)(sum + frame[i]);
	snprintf(digits, sizeof(digits), "%02x", sum);
	return !memcmp(digits, frame + n - 2, 2);
}

static size_t unescape(uint8_t *bytes, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		bool escaped = bytes[i] == '}' && i + 1 < n;

		i += escaped;
		bytes[len++] = escaped ? bytes[i] ^ 0x20 : bytes[i];
	}
	return len;
}

/* How many more of the character before; 0 when this is no run length. */
static size_t run(const uint8_t *at, const uint8_t *end)
{
	if (end - at < 2 || at[1] < 32 || at[1] > 126 || strchr("#$+-", at[1]))
		return 0;
	return at[1] - 29u;
}

long gdb_reader_take(const uint8_t *frame, size_t n, bool binary, uint8_t *out, size_t size)
{
	const uint8_t *at = frame + 1, *end = frame + n - 3;
	size_t len = 0;

	if (n < 4 || frame[0] != '$' || *end != '#' || !sum_is_right(frame, n))
		return -1;
	while (at < end) {
		size_t more = *at == '*' ? run(at, end) : 1;
		uint8_t ch = *at;

		if (ch == '$' || ch == '#' || !more || more > size - len || (ch == '*' && !len))
			return -1;
		if (ch == '*')
			memset(out + len, out[len - 1], more);
		else
			out[len] = ch;
		at += ch == '*' ? 2 : 1;
		len += more;
	}
	return (long)(binary ? unescape(out, len) : len);
}
