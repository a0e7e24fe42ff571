// SPDX-License-Identifier: ISC
/* Diagnostics on stderr. The level is the only mutable global of the library. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum log_level log_level = LOG_WARN;

void log_set_level(enum log_level level)
{
	log_level = level;
}

enum log_level log_get_level(void)
{
	return log_level;
}

void log_line(enum log_level level, const char *format, ...)
{
	static const char prefix[] = "belljar: ";
	char line[1024];
	size_t n = sizeof(prefix) - 1;
	va_list args;
	int r;

	if (level > log_level)
		return;
	memcpy(line, prefix, n);
	va_start(args, format);
	r = vsnprintf(line + n, sizeof(line) - n - 1, format, args);
	va_end(args);
	if (r < 0)
		return;
	/* One line it stays, whatever a file's name holds. */
	n = strlen(line);
	for (size_t i = sizeof(prefix) - 1; i < n; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	for (size_t done = 0; done < n;) {
		ssize_t more = write(STDERR_FILENO, line + done, n - done);

		if (more < 0 && errno != EINTR)
			return; /* nobody left to tell */
		done += more > 0 ? (size_t)more : 0;
	}
}
