// SPDX-License-Identifier: ISC
/* No target: what an engine costs by itself. scripts/bench-fuzz measures the others against it. */
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	(void)data;
	(void)size;
	return 0;
}
