// SPDX-License-Identifier: ISC
/* The list of guest ABIs. */
#include "abi.h"

#include <errno.h>

#include "err.h"

const struct guest_abi *const abi_list[] = {
	&abi_uhyve,
	NULL,
};

int abi_find(const struct elf_image *image, uint64_t mem_size, const struct guest_abi **abi,
	int *version, struct abi_layout *layout, struct err *err)
{
	for (const struct guest_abi *const *a = abi_list; *a; a++) {
		int r = (*a)->claim(image, mem_size, version, layout, err);

		if (r < 0)
			return r;
		if (r) {
			*abi = *a;
			return 0;
		}
	}
	return err_set(err, -ENOEXEC,
		"no ELF note says which guest ABI this is; a Hermit kernel carries a note named "
		"HERMIT");
}
