/* SPDX-License-Identifier: ISC */
/* Values as JSON text, never lossy: what JSON cannot hold as it is becomes something it can. */
#ifndef JSON_H
#define JSON_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A string when the bytes are UTF-8, else {"hex":"..."}. */
void json_put_bytes(FILE *out, const void *bytes, size_t len);
/* A NUL-terminated string, the same way. */
void json_put_text(FILE *out, const char *text);
/* A number; beyond 2^53, which not every reader keeps apart, a string of digits. */
void json_put_int(FILE *out, int64_t value);
void json_put_uint(FILE *out, uint64_t value);

#endif
