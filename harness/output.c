// SPDX-License-Identifier: ISC
/* Writing, until it is done. */
#include "output.h"

#include <errno.h>
#include <unistd.h>

int output_at(int fd, const void *bytes, size_t len, uint64_t at)
{
	const uint8_t *p = bytes;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENOSPC;
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}
