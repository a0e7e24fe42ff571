/* SPDX-License-Identifier: ISC */
/*
 * What belongs to backend_kvm beyond the ops. For backend_assisted: the CPU lent to another one for
 * a few instructions, and taken back, with as few ioctls as that takes. And its probe.
 */
#ifndef BACKEND_KVM_H
#define BACKEND_KVM_H

#include <stdbool.h>

struct backend;
struct backend_info;
struct cpu_state;

enum backend_kvm_part {
	/* registers, segments, tables, control registers, x87 and SSE; the rest of state is left as it is */
	BACKEND_KVM_CORE,
	/* also MSRs, XCR0, the upper halves of ymm, and an exception to deliver */
	BACKEND_KVM_ALL,
};

/* After run said VCPU_REFUSED, of an instruction that KVM lacks, or stopped at a breakpoint. -EPERM: it did neither. */
int backend_kvm_lend(struct backend *b, enum backend_kvm_part part, struct cpu_state *state);
/* The same part, as it is now. The TSC is never written: it ran on. */
int backend_kvm_take_back(
	struct backend *b, enum backend_kvm_part part, const struct cpu_state *state);

/* The last run returned a port access that the next one finishes. */
bool backend_kvm_unfinished(struct backend *b);
/* Was there a kick? It is over with that. */
bool backend_kvm_kicked(struct backend *b);
/* May interrupts come while it steps? */
void backend_kvm_let_irqs(struct backend *b, bool let);

/* ops->probe: small guests tell what this KVM does. Once a process; it is remembered. */
void backend_kvm_probe(struct backend_info *info);
/* Take watchpoints even where they are not expected to fire: to find out. */
void backend_kvm_trust_watches(struct backend *b);

#endif
