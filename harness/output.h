/* SPDX-License-Identifier: ISC */
/* Bytes to a file, all of them. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stddef.h>
#include <stdint.h>

/* At this offset, in as many pieces as it takes: 0 or -errno; -ENOSPC when the file takes no more. */
int output_at(int fd, const void *bytes, size_t len, uint64_t at);

#endif
