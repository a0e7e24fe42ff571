/* SPDX-License-Identifier: ISC */
/* What went wrong, in words, beside the -errno: filled in where the cause is known, printed by main. */
#ifndef ERR_H
#define ERR_H

struct err {
	char text[400]; /* "what: why; what to do", no newline; "" when nothing was said */
};

/* Formats into err (which may be NULL) and returns r, so that callers can `return err_set(...)`. */
__attribute__((format(printf, 3, 4))) int err_set(struct err *err, int r, const char *format, ...);

#endif
