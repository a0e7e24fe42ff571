/* SPDX-License-Identifier: ISC */
/*
 * gdb's remote protocol over a target: packets in, replies out. Knows no socket and no machine. A packet that resumes
 * the guest is answered when it stops. Any bytes may come in; nothing of them ends the guest but k and vKill.
 */
#ifndef GDB_STUB_H
#define GDB_STUB_H

#include <stddef.h>
#include <stdint.h>

#include "gdb_target.h"

struct gdb_stub;

enum gdb_stub_state {
	GDB_TALKING,
	GDB_DETACHED, /* the debugger goes, the guest runs on */
	GDB_KILLED,   /* the debugger wants the guest to end */
};

/* Sends all of it, or gives up on the connection by itself. */
typedef void gdb_send_fn(void *ctx, const uint8_t *bytes, size_t n);

/* NULL when out of memory. ops and target are borrowed. */
struct gdb_stub *gdb_stub_new(
	const struct gdb_target_ops *ops, void *target, gdb_send_fn *send, void *ctx);
void gdb_stub_free(struct gdb_stub *stub); /* takes NULL */
/* For the next debugger: forgets all that was agreed with the last one. */
void gdb_stub_reset(struct gdb_stub *stub);
/*
 * Takes bytes from *bytes on, at most to the end of one packet, and answers it. *bytes and *n move on before the
 * answer is made, so that what comes behind can be looked at for an interrupt while the guest runs.
 */
enum gdb_stub_state gdb_stub_input(struct gdb_stub *stub, const uint8_t **bytes, size_t *n);
/* The connection has ended without a word: as if the debugger had let go, but for what it had said before. */
enum gdb_stub_state gdb_stub_gone(struct gdb_stub *stub);
/* Text for gdb's console; only while it waits for the guest to stop. */
void gdb_stub_say(struct gdb_stub *stub, const char *text, size_t len);

#endif
