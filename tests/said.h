/* SPDX-License-Identifier: ISC */
/* What a test's subject says on stderr. */
#ifndef SAID_H
#define SAID_H

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"

struct said {
	int before, file;
};

/* From here on stderr is kept, to said_end. */
static inline void said_begin(struct said *said)
{
	said->before = dup(STDERR_FILENO);
	said->file = memfd_create("stderr", MFD_CLOEXEC);
	CU_ASSERT_FATAL(said->before >= 0 && said->file >= 0);
	dup2(said->file, STDERR_FILENO);
}

/* It is what it was, and what was said is in text, cut if need be. */
static inline const char *said_end(struct said *said, char *text, size_t size)
{
	ssize_t n;

	fflush(stderr);
	dup2(said->before, STDERR_FILENO);
	n = pread(said->file, text, size - 1, 0);
	text[n > 0 ? n : 0] = 0;
	close(said->before);
	close(said->file);
	return text;
}

#endif
