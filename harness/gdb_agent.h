/* SPDX-License-Identifier: ISC */
/*
 * gdb's agent expressions (GDB manual, appendix F): bytecode for conditions of breakpoints and for dprintf, evaluated where the
 * machine is. Pure: registers and memory come from callbacks. Any bytes are survived: an expression ends by
 * itself, in error, or out of fuel.
 */
#ifndef GDB_AGENT_H
#define GDB_AGENT_H

#include <stddef.h>
#include <stdint.h>

struct gdb_agent_env {
	void *ctx;
	int (*reg)(void *ctx, unsigned n, uint64_t *value);          /* 0 or -errno */
	int (*read)(void *ctx, uint64_t gva, void *buf, size_t len); /* 0 or -EFAULT */
	/* printf: text that is ready; NULL: such expressions are in error. */
	void (*print)(void *ctx, const char *text, size_t len);
};

enum {
	GDB_AGENT_MAX = 4096, /* bytes of an expression */
	GDB_AGENT_STACK = 256,
	GDB_AGENT_FUEL = 100 * 1000, /* instructions of one evaluation */
};

/*
 * 0 with *value the top of the stack (0 when it is empty), or -errno with *why static words: -EINVAL (not an expression: unknown
 * opcode, underflow, jump outside), -EFAULT (memory that is not there), -ETIME (fuel), -EDOM (division by zero), -EOPNOTSUPP (tracing).
 */
int gdb_agent_eval(const uint8_t *code, size_t len, const struct gdb_agent_env *env,
	uint64_t *value, const char **why);

#endif
