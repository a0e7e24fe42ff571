/* SPDX-License-Identifier: ISC */
/* Where gdb is served: stdio, a unix socket, or TCP. */
#ifndef GDB_ADDRESS_H
#define GDB_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

struct err;

#define GDB_ADDRESS_DEFAULT "1234"

enum gdb_transport { GDB_STDIO, GDB_UNIX, GDB_TCP };

struct gdb_address {
	enum gdb_transport transport;
	char host[256]; /* or the path of a unix socket; "": loopback */
	char port[16];
};

/* "stdio", "unix:PATH", "PORT", "HOST:PORT", "[HOST]:PORT". 0, or -EINVAL with err. */
int gdb_address_parse(const char *text, struct gdb_address *a, struct err *err);
/*
 * A listening socket, close-on-exec; -errno with err. A unix socket is its user's alone; one that was left behind
 * is replaced. An address that others can reach is warned of. *text: what to give to `target remote`.
 */
int gdb_address_listen(const struct gdb_address *a, char *text, size_t size, struct err *err);
/* A unix socket's name goes. */
void gdb_address_forget(const struct gdb_address *a);

#endif
