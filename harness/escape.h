/* SPDX-License-Identifier: ISC */
/* Any bytes as printable ASCII, the way strace quotes them, and back. Pure. */
#ifndef ESCAPE_H
#define ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Appends `len` bytes to the string in out (of `size` bytes, *used of them taken) as 20-7E, \n \t \r
 * \\ \" and \xHH. What does not fit is left out whole; out stays terminated.
 */
void escape_bytes(char *out, size_t size, size_t *used, const void *bytes, size_t len);

/* One byte: 1, 2 or 4 characters, no NUL behind them. Outside quotes a `"` stands for itself. */
size_t escape_byte(char out[4], uint8_t byte, bool quoted);
/* As \xHH, whatever it is. */
void escape_hex(char out[4], uint8_t byte);
/*
 * And back: the bytes into out, which has room for len. Their number, or -1 - the offset of an escape that
 * is none. Everything that is not an escape stands for itself.
 */
ssize_t unescape_bytes(uint8_t *out, const char *text, size_t len);

#endif
