/* SPDX-License-Identifier: ISC */
/*
 * For a library that aborts on input it should refuse: Unicorn ends the process at some guests'
 * instructions, and no guest may.
 */
#ifndef ABORT_GUARD_H
#define ABORT_GUARD_H

#include <stdbool.h>

/* Takes SIGABRT over, unless somebody else has. Once is enough; abort() outside a guard is as ever. */
void abort_guard_init(void);
/* False when fn aborted: what it was working on is then in no known state. */
bool abort_guard(void (*fn)(void *ctx), void *ctx);

#endif
