/* SPDX-License-Identifier: ISC */
/* What of the heap is in use, for tests that nothing is left behind. */
#ifndef HEAP_H
#define HEAP_H

#include <malloc.h>

#include "unit.h"

/* Bytes in use; a fault build counts for itself. What was free before may be in use by a cache the first time. */
static inline size_t heap(void)
{
	return unit_fault_run ? 0 : mallinfo2().uordblks;
}

#endif
