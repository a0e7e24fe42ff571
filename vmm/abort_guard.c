// SPDX-License-Identifier: ISC
/* abort() caught. The handler jumps only out of the thread's own abort(), never out of a signal sent. */
#include "abort_guard.h"

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

static _Thread_local sigjmp_buf *volatile guard;

static void on_abort(int signum)
{
	if (guard)
		siglongjmp(*guard, 1);
	signal(signum, SIG_DFL); /* abort() raises it again */
}

void abort_guard_init(void)
{
	struct sigaction action = { .sa_handler = on_abort, .sa_flags = SA_NODEFER }, old;

	if (!sigaction(SIGABRT, NULL, &old) && old.sa_handler == SIG_DFL)
		sigaction(SIGABRT, &action, NULL);
}

bool abort_guard(void (*fn)(void *ctx), void *ctx)
{
	sigjmp_buf here;

	if (sigsetjmp(here, 0)) {
		guard = NULL;
		return false;
	}
	guard = &here;
	fn(ctx);
	guard = NULL;
	return true;
}
