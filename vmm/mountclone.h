/* SPDX-License-Identifier: ISC */
/*
 * A private view of a host directory in which the kernel itself follows no link, opens no device and knows
 * no other mount: paths may be looked at in one call there. Knows neither guests nor mappings.
 */
#ifndef MOUNTCLONE_H
#define MOUNTCLONE_H

#include <stdbool.h>

/*
 * The directory dir, whose real name is path (NULL: it is new and ours), once more: an O_PATH descriptor. -errno where it cannot be
 * had: no privilege, a kernel before 5.14, no /proc. -EXDEV: something is mounted inside, which would
 * seem to be gone.
 */
int mountclone_open(int dir, const char *path, bool writable);

#endif
