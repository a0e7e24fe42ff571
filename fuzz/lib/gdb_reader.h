/* SPDX-License-Identifier: ISC */
/* The other side of gdb_frame: frames as gdb takes them, written anew, for tests and fuzzers. */
#ifndef GDB_READER_H
#define GDB_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What one whole frame of n bytes says, its run lengths and, when it is binary, its escapes undone: the length, at most
 * size; or -1 when gdb would not take it.
 */
long gdb_reader_take(const uint8_t *frame, size_t n, bool binary, uint8_t *out, size_t size);

#endif
