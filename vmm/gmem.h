/* SPDX-License-Identifier: ISC */
/*
 * Guest memory: the one door. Every byte that crosses between guest and host goes through these
 * functions, and no other file computes a host pointer from a guest address (scripts/check-layers
 * looks). Addresses are guest-physical (GPA).
 */
#ifndef GMEM_H
#define GMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct gmem {
	uint8_t *base; /* where the guest's RAM lies in our address space */
	uint64_t gpa;  /* its first guest-physical address */
	size_t size;   /* bytes; a multiple of 4096 */
	int file; /* 1 + the descriptor of what it is made of; 0: none, then all counts as used */
};

/* Anonymous zeroed RAM. 0, -EINVAL for a size or address not page-aligned or one that wraps, -ENOMEM. */
int gmem_init(struct gmem *m, uint64_t gpa, size_t size);
/* Takes NULL, zeroed or half-built. */
void gmem_finish(struct gmem *m);

/* 0, or -EFAULT when any byte of the range lies outside RAM; then nothing was copied. */
int gmem_read(const struct gmem *m, uint64_t gpa, void *buf, size_t len);
int gmem_write(const struct gmem *m, uint64_t gpa, const void *buf, size_t len);
int gmem_fill(const struct gmem *m, uint64_t gpa, uint8_t byte, size_t len);

/*
 * Copies a NUL-terminated string of at most size - 1 bytes. The length, -ENAMETOOLONG when there
 * is no NUL in size bytes, -EFAULT when RAM ends first. buf is terminated when >= 0.
 */
ssize_t gmem_read_string(const struct gmem *m, uint64_t gpa, char *buf, size_t size);

/* A host pointer to the whole range, or NULL. Must not outlive the statement it is for. */
void *gmem_span(const struct gmem *m, uint64_t gpa, size_t len);

/*
 * The same bytes once more, at a host address of their own: for who tells pages apart by where
 * they lie. NULL when not of whole pages, outside RAM or out of memory. For gmem_view_drop.
 */
void *gmem_view(const struct gmem *m, uint64_t gpa, size_t len);
/* Takes NULL. */
void gmem_view_drop(void *view, size_t len);

/*
 * The next part of RAM at or behind *gpa in which there may be anything but zeroes, in whole pages, without looking at
 * the rest. False when there is none.
 */
bool gmem_next_used(const struct gmem *m, uint64_t *gpa, size_t *len);
/* Are these the bytes there? False outside RAM, too. */
bool gmem_same(const struct gmem *m, uint64_t gpa, const void *bytes, size_t len);

#endif
