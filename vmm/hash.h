/* SPDX-License-Identifier: ISC */
/* 64 bits that stand for what is longer, to see that it is another. No guard against who means harm. */
#ifndef HASH_H
#define HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Another word never gives the same. */
static inline uint64_t hash_word(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 29;
}

/* Nor do as many bytes that differ within one word, as they are counted from the first. */
static inline uint64_t hash_bytes(uint64_t hash, const uint8_t *bytes, size_t len)
{
	for (size_t at = 0; at < len; at += sizeof(uint64_t)) {
		uint64_t word = 0;

		memcpy(&word, bytes + at, len - at < sizeof(word) ? len - at : sizeof(word));
		hash = hash_word(hash, word);
	}
	return hash_word(hash, len);
}

#endif
