// SPDX-License-Identifier: ISC
/*
 * Memory and strings. Copying and filling are single instructions: cheap where every instruction is
 * emulated, and nothing that a compiler could turn into a call of the function itself.
 */
#include "rt.h"

void *memcpy(void *to, const void *from, size_t len)
{
	void *d = to;

	asm volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(len) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t len)
{
	char *d = (char *)to + len - 1;
	const char *s = (const char *)from + len - 1;

	if ((uintptr_t)to - (uintptr_t)from >= len)
		return memcpy(to, from, len);
	asm volatile("std; rep movsb; cld" : "+D"(d), "+S"(s), "+c"(len) : : "memory");
	return to;
}

void *memset(void *to, int byte, size_t len)
{
	void *d = to;

	asm volatile("rep stosb" : "+D"(d), "+c"(len) : "a"(byte) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t len)
{
	const unsigned char *x = a, *y = b;

	for (; len; len--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *s)
{
	const char *end = s;
	size_t left = SIZE_MAX;

	asm volatile("repne scasb" : "+D"(end), "+c"(left) : "a"(0) : "memory");
	return (size_t)(end - s) - 1;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t len)
{
	for (; len && *a && *a == *b; len--, a++, b++)
		;
	return len ? (unsigned char)*a - (unsigned char)*b : 0;
}

char *strchr(const char *s, int c)
{
	for (; *s != (char)c; s++)
		if (!*s)
			return NULL;
	return (char *)(uintptr_t)s;
}

bool rt_parse_int(const char *s, int64_t *value)
{
	bool negative = *s == '-';
	uint64_t v = 0;

	s += negative;
	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || v > (uint64_t)INT64_MAX / 10 - 1)
			return false;
		v = v * 10 + (uint64_t)(*s - '0');
	}
	*value = negative ? -(int64_t)v : (int64_t)v;
	return true;
}
