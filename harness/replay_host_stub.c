// SPDX-License-Identifier: ISC
/* Stands in until replay_host.c is there, which comes first in the library. */
#include <errno.h>

#include "err.h"
#include "replay.h"

int replay_host(const char *path, const struct replay_host_options *o, struct replay_result *result,
	struct err *err)
{
	(void)o, (void)result;
	return err_set(err, -EOPNOTSUPP, "%s: only --guest so far", path);
}
