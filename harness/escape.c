// SPDX-License-Identifier: ISC
/* Any bytes as printable ASCII. */
#include "escape.h"

#include <stdint.h>
#include <string.h>

static size_t escape_one(char out[4], uint8_t byte)
{
	static const char hex[] = "0123456789abcdef";
	static const char plain[] = "\n\t\r\\\"", letter[] = "ntr\\\"";
	const char *special = byte ? strchr(plain, byte) : NULL;

	out[0] = '\\';
	if (special) {
		out[1] = letter[special - plain];
		return 2;
	}
	if (byte >= 0x20 && byte < 0x7f) {
		out[0] = (char)byte;
		return 1;
	}
	out[1] = 'x';
	out[2] = hex[byte >> 4];
	out[3] = hex[byte & 15];
	return 4;
}

void escape_bytes(char *out, size_t size, size_t *used, const void *bytes, size_t len)
{
	const uint8_t *b = bytes;
	char one[4];

	for (size_t i = 0; i < len; i++) {
		size_t n = escape_one(one, b[i]);

		if (n >= size - *used)
			break;
		memcpy(out + *used, one, n);
		*used += n;
	}
	if (*used < size)
		out[*used] = 0;
}
