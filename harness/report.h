/* SPDX-License-Identifier: ISC */
/* What is said about a guest that crashed: registers and a symbolised backtrace, on stderr. */
#ifndef REPORT_H
#define REPORT_H

struct vm;

/* Reads the stopped machine; allocates. Any state the guest left behind is survived. */
void report_crash(struct vm *vm);

#endif
