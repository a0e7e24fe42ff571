// SPDX-License-Identifier: ISC
/* Any bytes as printable ASCII, and back. */
#include "escape.h"

#include <string.h>

static const char plain[] = "\n\t\r\\\"", letter[] = "ntr\\\"";

void escape_hex(char out[4], uint8_t byte)
{
	static const char hex[] = "0123456789abcdef";

	out[0] = '\\';
	out[1] = 'x';
	out[2] = hex[byte >> 4];
	out[3] = hex[byte & 15];
}

size_t escape_byte(char out[4], uint8_t byte, bool quoted)
{
	const char *special;

	out[0] = (char)byte;
	if (byte >= 0x20 && byte < 0x7f && byte != '\\' && (byte != '"' || !quoted))
		return 1;
	escape_hex(out, byte);
	special = byte ? strchr(plain, byte) : NULL;
	if (!special)
		return 4;
	out[1] = letter[special - plain];
	return 2;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

ssize_t unescape_bytes(uint8_t *out, const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++, n++) {
		const char *special;
		int high, low;

		out[n] = (uint8_t)text[i];
		if (text[i] != '\\')
			continue;
		special = i + 1 < len && text[i + 1] ? strchr(letter, text[i + 1]) : NULL;
		if (special) {
			out[n] = (uint8_t)plain[special - letter];
			i++;
			continue;
		}
		if (len - i < 4 || text[i + 1] != 'x')
			return -1 - (ssize_t)i;
		high = hex_digit(text[i + 2]);
		low = hex_digit(text[i + 3]);
		if (high < 0 || low < 0)
			return -1 - (ssize_t)i;
		out[n] = (uint8_t)(high << 4 | low);
		i += 3;
	}
	return (ssize_t)n;
}

void escape_bytes(char *out, size_t size, size_t *used, const void *bytes, size_t len)
{
	const uint8_t *b = bytes;
	char one[4];

	for (size_t i = 0; i < len; i++) {
		size_t n = escape_byte(one, b[i], true);

		if (n >= size - *used)
			break;
		memcpy(out + *used, one, n);
		*used += n;
	}
	if (*used < size)
		out[*used] = 0;
}
