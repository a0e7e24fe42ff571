/* SPDX-License-Identifier: ISC */
/* How a Hermit kernel is recognised and started; the functions behind struct guest_abi. */
#ifndef BOOT_UHYVE_H
#define BOOT_UHYVE_H

#include "abi.h"

int boot_uhyve_claim(const struct elf_image *image, uint64_t mem_size, int *version,
	struct abi_layout *layout, struct err *err);
int boot_uhyve(struct vm *vm, struct cpu_state *state, struct err *err);
void boot_uhyve_describe(const struct elf_image *image, char *buf, size_t size);
bool boot_uhyve_wants_paging(int version);

#endif
