/* SPDX-License-Identifier: ISC */
/*
 * gdb served while a guest runs: who drives the machine in place of session_run's vm_run. One client at a time; without
 * one, the guest runs (but for its first instruction, where it waits for one when told to).
 */
#ifndef GDB_SERVER_H
#define GDB_SERVER_H

#include <stdbool.h>

#include "session.h"

struct err;
struct gdb_server;

/*
 * Opens what address says (gdb_address.h); wait: the guest does not begin before a debugger has let it. With stdio the
 * guest's console is moved out of the way: call before session_prepare. 0, or -errno with err.
 */
int gdb_server_new(struct gdb_server **out, struct session *s, const char *address, bool wait,
	struct err *err);
void gdb_server_free(struct gdb_server *server); /* takes NULL */
/* session->drive: ctx is the server. */
const struct vm_stop *gdb_server_drive(void *ctx, struct vm *vm);

#endif
