// SPDX-License-Identifier: ISC
/*
 * What this machine's KVM really does, found out with guests of a few instructions: for `belljar
 * doctor`. Knows KVM only through the ops.
 */
#include "backend_kvm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backend.h"
#include "err.h"
#include "gmem.h"

/* Guests of a few instructions; each ends by HLT, whatever becomes of what comes first. */
static const struct trial {
	const char *what;
	uint8_t code[8];
	uint8_t len;
} trials[] = {
	{ "SSE arithmetic", { 0x66, 0x0f, 0xef, 0xc0 }, 4 },     /* pxor xmm0, xmm0 */
	{ "SSE floating point", { 0xf2, 0x0f, 0x58, 0xc0 }, 4 }, /* addsd xmm0, xmm0 */
	{ "x87", { 0xd9, 0xe8 }, 2 },                            /* fld1 */
	{ "int3", { 0xcc }, 1 },
	{ "rdtscp", { 0x0f, 0x01, 0xf9 }, 3 },
	{ "xgetbv", { 0x0f, 0x01, 0xd0 }, 3 },
	{ "popcnt", { 0xf3, 0x0f, 0xb8, 0xc0 }, 4 },
};
enum {
	TRIAL_PML4 = 0x1000,
	TRIAL_PDPT = 0x2000,
	TRIAL_PD = 0x3000,
	TRIAL_CODE = 0x4000,
	TRIAL_DATA = 0x5000,
	TRIAL_RAM = 0x6000,
	PTE_PW = 3,
	PTE_PS = 0x80,
};

static int trial_run(struct backend *b, const uint8_t *code, size_t len, struct vcpu_exit *exit)
{
	static const uint64_t pml4e = TRIAL_PDPT | PTE_PW, pdpte = TRIAL_PD | PTE_PW,
			      pde = PTE_PS | PTE_PW;
	static const uint32_t xcr0_x87_sse = 3;
	const struct gmem *m = b->config.mem;
	struct cpu_state s;
	int r;

	cpu_state_long_mode(&s);
	s.cr3 = TRIAL_PML4;
	s.cr4 |= CPU_CR4_OSFXSR | CPU_CR4_OSXSAVE;
	s.xcr0 = xcr0_x87_sse;
	s.regs.rip = TRIAL_CODE;
	gmem_write(m, TRIAL_PML4, &pml4e, sizeof(pml4e));
	gmem_write(m, TRIAL_PDPT, &pdpte, sizeof(pdpte));
	gmem_write(m, TRIAL_PD, &pde, sizeof(pde));
	gmem_fill(m, TRIAL_CODE, 0xf4, 64); /* hlt */
	gmem_write(m, TRIAL_CODE, code, len);
	r = backend_load(b, &s);
	if (r == -EINVAL) { /* no XSAVE here */
		s.cr4 &= ~(uint64_t)CPU_CR4_OSXSAVE;
		r = backend_load(b, &s);
	}
	return r ? r : backend_run(b, exit);
}

static bool trial_watch(struct backend *b)
{
	static const uint8_t store[] = { 0x89, 0x04, 0x25, 0x00, 0x50, 0x00, 0x00 };
	const struct vcpu_watch watch = { .gva = TRIAL_DATA, .len = 4, .on_write = true };
	struct vcpu_exit exit = { 0 };
	bool fires;

	backend_kvm_trust_watches(b);
	fires = !backend_set_debug(b, &(struct vcpu_debug){ .watches = &watch, .n_watches = 1 }) &&
		!trial_run(b, store, sizeof(store), &exit) && exit.kind == VCPU_DEBUG;
	backend_set_debug(b, &(struct vcpu_debug){ 0 });
	return fires;
}

static bool trial_break(struct backend *b)
{
	static const uint8_t nops[] = { 0x90, 0x90 };
	const uint64_t at = TRIAL_CODE + 1;
	struct vcpu_exit exit = { 0 };
	bool fires;

	fires = !backend_set_debug(b, &(struct vcpu_debug){ .breaks = &at, .n_breaks = 1 }) &&
		!trial_run(b, nops, sizeof(nops), &exit) && exit.kind == VCPU_DEBUG &&
		exit.rip == at;
	backend_set_debug(b, &(struct vcpu_debug){ 0 });
	return fires;
}

/* More than there are debug registers. */
static bool trial_breaks(struct backend *b)
{
	static const uint8_t nops[] = { 0x90, 0x90, 0x90, 0x90, 0x90, 0x90 };
	uint64_t at[sizeof(nops)];
	struct vcpu_exit exit = { 0 };
	bool fires;

	for (size_t i = 0; i < sizeof(nops); i++)
		at[i] = TRIAL_CODE + 1 + i;
	fires = !backend_set_debug(
		b, &(struct vcpu_debug){ .breaks = at, .n_breaks = sizeof(nops) });
	for (size_t i = 0; fires && i < sizeof(nops); i++)
		fires = !(i ? backend_run(b, &exit) : trial_run(b, nops, sizeof(nops), &exit)) &&
			exit.kind == VCPU_DEBUG && exit.rip == at[i];
	backend_set_debug(b, &(struct vcpu_debug){ 0 });
	return fires;
}

static bool trial_step(struct backend *b)
{
	static const uint8_t nops[] = { 0x90, 0x90 };
	struct vcpu_exit exit = { 0 };
	bool steps;

	steps = !backend_set_debug(b, &(struct vcpu_debug){ .step = true }) &&
		!trial_run(b, nops, sizeof(nops), &exit) && exit.rip == TRIAL_CODE + 1;
	backend_set_debug(b, &(struct vcpu_debug){ 0 });
	return steps;
}

static void add_gap(struct backend_info *info, const char *separator, const char *what)
{
	size_t n = strlen(info->gaps);

	snprintf(info->gaps + n, sizeof(info->gaps) - n, "%s%s", n ? separator : "", what);
}

static void try_instructions(struct backend *b, struct backend_info *info)
{
	info->refuses = false;
	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
		struct vcpu_exit exit = { 0 };

		if (trial_run(b, trials[i].code, trials[i].len, &exit) || exit.kind != VCPU_REFUSED)
			continue;
		add_gap(info, "", info->refuses ? ", " : "refused and left to tcg: ");
		add_gap(info, "", trials[i].what);
		info->refuses = true;
	}
	if (info->refuses)
		add_gap(info, "; ",
			"interprets what it does not refuse: --backend tcg computes faster; "
			"CPUID shows features that are not executed (AVX, SSE4)");
}

static void try_all(struct backend *b, struct backend_info *info)
{
	info->gaps[0] = 0;
	try_instructions(b, info);
	info->breakpoints = trial_break(b);
	info->watchpoints = trial_watch(b);
	if (!trial_step(b))
		add_gap(info, "; ", "no single steps");
	if (!info->breakpoints)
		add_gap(info, "; ", "no breakpoints");
	else if (!trial_breaks(b))
		add_gap(info, "; ", "no more than 4 breakpoints");
}

void backend_kvm_probe(struct backend_info *info)
{
	static struct backend_info known; /* the host does not change */
	struct backend *b;
	struct gmem m;
	struct err err = { "" };

	if (known.usable) {
		*info = known;
		return;
	}
	*info = (struct backend_info){ 0 };
	backend_kvm.look(info);
	if (!info->usable || gmem_init(&m, 0, TRIAL_RAM))
		return;
	if (backend_kvm.create(&b, &(struct backend_config){ .mem = &m }, &err)) {
		info->usable = false;
		snprintf(
			info->why, sizeof(info->why), "%.*s", (int)sizeof(info->why) - 1, err.text);
	} else {
		try_all(b, info);
		backend_destroy(b);
		known = *info;
	}
	gmem_finish(&m);
}
