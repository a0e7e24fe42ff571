/* SPDX-License-Identifier: ISC */
/*
 * XSAVE, XSAVEC and XRSTOR done by hand, for CPUs that do not have them: x87, SSE and AVX (SDM 1 13.4 to
 * 13.10). Knows guest memory and page tables, and no backend.
 */
#ifndef XSAVE_H
#define XSAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"
#include "paging.h"

enum {
	XSAVE_X87 = 1,
	XSAVE_SSE = 2,
	XSAVE_AVX = 4,
	XSAVE_ALL = 7,
	XSAVE_SIZE_SSE = 576, /* of an area, and where the AVX part begins */
	XSAVE_SIZE_AVX = 832,
};

struct xsave {
	const struct gmem *mem; /* with paging: where gva is */
	struct paging paging;
	bool user; /* CPL 3 */
	uint64_t xcr0;
	uint64_t want; /* EDX:EAX */
	uint64_t gva;
	/* As in struct cpu_state. */
	uint8_t *fx, (*ymmh)[16];
	/* When it faults; for a #PF with the address. */
	struct cpu_event event;
	uint64_t cr2;
};

/* 0; -EFAULT: the guest gets x->event, and nothing was done; -ENOTSUP: cannot be done here. */
int xsave_save(struct xsave *x, bool compact);
int xsave_restore(struct xsave *x);

#endif
