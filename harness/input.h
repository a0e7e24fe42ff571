/* SPDX-License-Identifier: ISC */
/* Bytes of a file, a pipe or memory, looked at before they are taken. Knows nothing of what they mean. */
#ifndef INPUT_H
#define INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct input {
	int fd;               /* -1: memory */
	const uint8_t *bytes; /* at hand */
	size_t len;
	uint64_t offset; /* of bytes[0] in the whole */
	uint64_t limit;  /* the whole ends here, whatever follows */
	uint8_t *buf;    /* what bytes points into; NULL for memory */
	size_t room;
};

/* Takes fd, also when it fails with -ENOMEM. */
int input_file(struct input *in, int fd);
/* Borrows p. */
void input_memory(struct input *in, const void *p, size_t len);
void input_finish(struct input *in); /* takes one zeroed */
/* Before anything is looked at: the input is at most this long. */
void input_limit(struct input *in, uint64_t limit);

/*
 * Has in->bytes hold at least n bytes, unless the input ends before: then in->len says how many there
 * are. 0, or -errno. n is trusted: the caller bounds it.
 */
int input_look(struct input *in, size_t n);
/* Takes n bytes, which need not be at hand: 0, -ENODATA when the input ends before, or another -errno. */
int input_skip(struct input *in, uint64_t n);
/* A stream over what is left; NULL with errno. The input must outlive it. */
FILE *input_stream(struct input *in);

#endif
