// SPDX-License-Identifier: ISC
/* What went wrong, in words. */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>

int err_set(struct err *err, int r, const char *format, ...)
{
	va_list args;

	if (!err)
		return r;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return r;
}
