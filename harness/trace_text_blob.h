/* SPDX-License-Identifier: ISC */
/*
 * Data beside golden text: files named by the SHA-256 of what they hold. What lies there is hostile: nothing
 * is opened outside the directory, followed, waited for, or believed.
 */
#ifndef TRACE_TEXT_BLOB_H
#define TRACE_TEXT_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "trace_record.h"

enum { TEXT_BLOB_MAX = 1 << 30 };

/* Writes a file; makes the directory. 0 with its hash, or -errno. */
int text_blob_store(const char *dir, const uint8_t *data, size_t len, uint8_t hash[TRACE_HASH_LEN]);
/* A descriptor; -errno, -EINVAL when it is no regular file of that length. */
int text_blob_open(const char *dir, const uint8_t hash[TRACE_HASH_LEN], size_t len);
/* All of it. 0; -errno, -EBADMSG when it is not what its name says. */
int text_blob_read(int fd, const uint8_t hash[TRACE_HASH_LEN], uint8_t *data, size_t len);

#endif
