/* SPDX-License-Identifier: ISC */
/* Paths taken apart at slashes. Loops, for names are short and strspn(3) is made for long ones. */
#ifndef SLASHES_H
#define SLASHES_H

#include <stddef.h>
#include <stdint.h>

static inline const char *skip_slashes(const char *path)
{
	while (*path == '/')
		path++;
	return path;
}

/* Of the name that path begins with. */
static inline size_t name_length(const char *path)
{
	size_t len = 0;

	while (path[len] && path[len] != '/')
		len++;
	return len;
}

/* Tells most names apart; who has found the same twice compares them. */
static inline uint32_t name_hash(const char *name, size_t len)
{
	return len ? (uint32_t)len << 16 | (uint32_t)(uint8_t)name[0] << 8 | (uint8_t)name[len - 1]
		   : 0;
}

#endif
