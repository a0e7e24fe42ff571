/* SPDX-License-Identifier: ISC */
/*
 * Names of Linux's numbers, as C programs spell them ("O_CREAT") and in short, as golden text does
 * ("creat"). Pure.
 */
#ifndef NAMES_H
#define NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct name {
	uint64_t value;
	const char *text;
};

struct names {
	const struct name *rows;
	size_t n;
	size_t prefix; /* characters that the short form leaves out */
};

extern const struct names names_access;     /* O_RDONLY ... by the value of the O_ACCMODE bits */
extern const struct names names_open_flags; /* masks; longer ones before the bits they contain */
extern const struct names names_whence;
extern const struct names names_stat_kind;
extern const struct names names_file_type; /* by the S_IFMT bits */
extern const struct names names_stop;      /* enum vm_stop_kind */
extern const struct names names_tree;      /* enum tree_kind */

enum { NAME_SHORT_MAX = 16 };

/* NULL: it has none. */
const char *name_of(const struct names *names, uint64_t value);
/* The short form into buf; false and "": it has none. */
bool name_short(const struct names *names, uint64_t value, char buf[NAME_SHORT_MAX]);
/* And back. */
bool name_find_short(const struct names *names, const char *text, size_t len, uint64_t *value);
/* "ENOENT" to 2; 0: there is none. */
int name_find_errno(const char *text, size_t len);

#endif
