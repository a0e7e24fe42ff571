// SPDX-License-Identifier: ISC
/* The CPU state every guest ABI starts from. */
#include "cpu.h"

#include <string.h>

void cpu_state_long_mode(struct cpu_state *s)
{
	static const struct cpu_seg code = {
		.limit = ~0u,
		.selector = 0x08,
		.attr = 11 | CPU_SEG_S | CPU_SEG_P | CPU_SEG_L | CPU_SEG_G,
	};
	static const struct cpu_seg data = {
		.limit = ~0u,
		.selector = 0x10,
		.attr = 3 | CPU_SEG_S | CPU_SEG_P | CPU_SEG_DB | CPU_SEG_G,
	};
	static const uint16_t fcw = 0x37f;
	static const uint32_t mxcsr = 0x1f80, mxcsr_mask = 0xffff;

	*s = (struct cpu_state){
		.regs.rflags = CPU_RFLAGS_FIXED,
		.seg = {
			[CPU_CS] = code,
			[CPU_DS] = data, [CPU_ES] = data, [CPU_SS] = data, [CPU_FS] = data, [CPU_GS] = data,
			[CPU_TR] = { .limit = 0xffff, .attr = 11 | CPU_SEG_P },
			[CPU_LDTR] = { .attr = CPU_SEG_UNUSABLE },
		},
		.cr0 = CPU_CR0_PE | CPU_CR0_ET | CPU_CR0_NE | CPU_CR0_PG,
		.cr4 = CPU_CR4_PAE,
		.efer = CPU_EFER_LME | CPU_EFER_LMA,
		.pat = 0x0007040600070406, /* SDM 3A 11.12.4 */
		.apic_base = 0xfee00900,   /* enabled, boot processor */
		.dr6 = 0xffff0ff0,
		.dr7 = 0x400,
		.xcr0 = 1,
	};
	memcpy(s->fx + 0, &fcw, sizeof(fcw));
	memcpy(s->fx + 24, &mxcsr, sizeof(mxcsr));
	memcpy(s->fx + 28, &mxcsr_mask, sizeof(mxcsr_mask));
}
