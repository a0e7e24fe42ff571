// SPDX-License-Identifier: ISC
/* The XSAVE area, written and read. Compacted or not, its first three components lie at the same places. */
#include "xsave.h"

#include <errno.h>
#include <string.h>

enum {
	X87_LEN = 24, /* control and status; MXCSR is between it and the registers */
	MXCSR_AT = 24,
	MXCSR_LEN = 8, /* with its mask */
	ST_AT = 32,
	ST_LEN = 128,
	XMM_AT = 160,
	XMM_LEN = 256,
	XSTATE_BV_AT = 512,
	XCOMP_BV_AT = 520,
	HEADER_END = 576,
	YMMH_LEN = 256,
};
#define COMPACTED (1ull << 63)

static int raise(struct xsave *x, enum cpu_vector vector, bool has_error, uint32_t error)
{
	x->event = (struct cpu_event){
		.pending = true, .vector = (uint8_t)vector, .has_error = has_error, .error = error
	};
	return -EFAULT;
}

static int check(struct xsave *x)
{
	if (!(x->paging.cr4 & CPU_CR4_OSXSAVE))
		return raise(x, CPU_VEC_UD, false, 0);
	if (x->paging.cr0 & CPU_CR0_TS)
		return raise(x, CPU_VEC_NM, false, 0);
	if (x->gva % 64)
		return raise(x, CPU_VEC_GP, true, 0);
	return x->xcr0 & ~(uint64_t)XSAVE_ALL ? -ENOTSUP : 0;
}

static int copy(struct xsave *x, uint8_t *area, size_t len, unsigned access)
{
	struct paging_fault fault;
	int r;

	access |= x->user ? PAGING_USER : 0u;
	r = paging_copy(x->mem, &x->paging, x->gva, area, len, access, &fault);
	if (r != -EFAULT)
		return r;
	x->cr2 = fault.gva;
	return raise(x, CPU_VEC_PF, true, fault.error);
}

int xsave_save(struct xsave *x, bool compact)
{
	uint64_t want = x->want & x->xcr0, bv;
	size_t len = want & XSAVE_AVX ? XSAVE_SIZE_AVX : XSAVE_SIZE_SSE;
	uint8_t area[XSAVE_SIZE_AVX];
	int r = check(x);

	if (!r)
		r = copy(x, area, len, PAGING_READ);
	if (r)
		return r;
	memcpy(&bv, area + XSTATE_BV_AT, sizeof(bv));
	bv = compact ? want : bv | want;
	memcpy(area + XSTATE_BV_AT, &bv, sizeof(bv));
	if (compact) {
		bv = want | COMPACTED;
		memset(area + XCOMP_BV_AT, 0, HEADER_END - XCOMP_BV_AT);
		memcpy(area + XCOMP_BV_AT, &bv, sizeof(bv));
	}
	if (want & XSAVE_X87) {
		memcpy(area, x->fx, X87_LEN);
		memcpy(area + ST_AT, x->fx + ST_AT, ST_LEN);
	}
	if (want & (XSAVE_SSE | XSAVE_AVX))
		memcpy(area + MXCSR_AT, x->fx + MXCSR_AT, MXCSR_LEN);
	if (want & XSAVE_SSE)
		memcpy(area + XMM_AT, x->fx + XMM_AT, XMM_LEN);
	if (want & XSAVE_AVX)
		memcpy(area + XSAVE_SIZE_SSE, x->ymmh, YMMH_LEN);
	return copy(x, area, len, PAGING_WRITE);
}

int xsave_restore(struct xsave *x)
{
	uint64_t want = x->want & x->xcr0, bv;
	uint8_t area[XSAVE_SIZE_AVX];
	struct cpu_state initial;
	uint32_t mxcsr;
	int r = check(x);

	if (!r)
		r = copy(x, area, want & XSAVE_AVX ? XSAVE_SIZE_AVX : XSAVE_SIZE_SSE, PAGING_READ);
	if (r)
		return r;
	memcpy(&bv, area + XSTATE_BV_AT, sizeof(bv));
	memcpy(&mxcsr, area + MXCSR_AT, sizeof(mxcsr));
	if ((bv & ~x->xcr0) || mxcsr >> 16)
		return raise(x, CPU_VEC_GP, true, 0);
	cpu_state_long_mode(&initial);
	if (want & XSAVE_X87) {
		memcpy(x->fx, bv & XSAVE_X87 ? area : initial.fx, X87_LEN);
		memcpy(x->fx + ST_AT, (bv & XSAVE_X87 ? area : initial.fx) + ST_AT, ST_LEN);
	}
	if (want & (XSAVE_SSE | XSAVE_AVX))
		memcpy(x->fx + MXCSR_AT, &mxcsr, sizeof(mxcsr));
	if (want & XSAVE_SSE)
		memcpy(x->fx + XMM_AT, (bv & XSAVE_SSE ? area : initial.fx) + XMM_AT, XMM_LEN);
	if (want & XSAVE_AVX)
		memcpy(x->ymmh, bv & XSAVE_AVX ? area + XSAVE_SIZE_SSE : initial.ymmh[0], YMMH_LEN);
	return 0;
}
