/* SPDX-License-Identifier: ISC */
/*
 * What a fuzz target offers to those that run it: an engine, or replay_main.c. And what targets share.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* One input, whatever bytes it has. Returns 0; what breaks an invariant aborts. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Optional, for targets whose input is, or stands for, a trace: the input as golden text. 0, or -errno when
 * there is none for this input (then what was written to out is of no use).
 */
int fuzz_print_bjt(const uint8_t *data, size_t size, FILE *out);

/* The trace that these bytes are, a recording or text, as golden text; as fuzz_print_bjt. */
int print_trace(const uint8_t *trace, size_t size, FILE *out);

/*
 * A new directory of this process alone: below $TMPDIR, else in memory if the machine has such a file system,
 * else below /tmp. Never NULL; stays until the process ends.
 */
char *fuzz_directory(void);

/* How many of the first 256 descriptors are open: who counts before and after sees a leak. One system call. */
int fuzz_open_files(void);

#endif
