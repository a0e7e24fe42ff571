/* SPDX-License-Identifier: ISC */
/* Any bytes as printable ASCII, the way strace quotes them. Pure. */
#ifndef ESCAPE_H
#define ESCAPE_H

#include <stddef.h>

/*
 * Appends `len` bytes to the string in out (of `size` bytes, *used of them taken) as 20-7E, \n \t \r
 * \\ \" and \xHH. What does not fit is left out whole; out stays terminated.
 */
void escape_bytes(char *out, size_t size, size_t *used, const void *bytes, size_t len);

#endif
