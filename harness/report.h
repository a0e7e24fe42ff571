/* SPDX-License-Identifier: ISC */
/* Where a stopped guest is, in words; and all that is said on stderr about one that crashed. */
#ifndef REPORT_H
#define REPORT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct cpu_state;
struct vm;

/*
 * Reads the stopped machine; allocates. Any state the guest left behind is survived. Returns the signal by which Linux
 * would have ended a process for it.
 */
int report_crash(struct vm *vm);
/* Of that, what happened: a line or two to out, or nothing. Returns the same. */
int report_cause(struct vm *vm, FILE *out);
/*
 * The exception that waits in this state, in words: "page fault (#PF), error code 0x2, at 0x1234". The signal that it
 * is to Linux.
 */
int report_exception(const struct cpu_state *state, char *buf, size_t size);
/*
 * The backtrace from rip (0: where the CPU is), innermost first, at most max frames: a line "0x100b02  function+0x12 (dir/file.c:34)" each, and one for each function
 * inlined there.
 * Also while a call is being answered. buf is always terminated; "" when nothing can be said.
 */
void report_frames(struct vm *vm, uint64_t rip, size_t max, char *buf, size_t size);

#endif
