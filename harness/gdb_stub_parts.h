/* SPDX-License-Identifier: ISC */
/* What the files of the stub share among themselves: gdb_stub.c, gdb_query.c, gdb_run.c, gdb_file.c. */
#ifndef GDB_STUB_PARTS_H
#define GDB_STUB_PARTS_H

#include "cpu.h"
#include "err.h"
#include "gdb_packet.h"
#include "gdb_regs.h"
#include "gdb_stub.h"

struct gdb_stub {
	const struct gdb_target_ops *ops;
	void *target;
	gdb_send_fn *send;
	void *send_ctx;
	enum gdb_stub_state state;
	bool no_ack;
	bool error_text;           /* the client reads words behind E. */
	bool takes[GDB_WHY_COUNT]; /* the client said that it knows this reason: swbreak, hwbreak */
	bool extended, physical;
	bool killed; /* by a client that may want it started again */
	bool over;   /* the guest's end was told: there is no process, until it is started again */
	bool has_state; /* state below is that of the guest as it stands */
	bool resumed;   /* the guest runs: text may be said */
	struct cpu_state cpu;
	struct gdb_counts counts;
	char warned[sizeof(((struct err *)0)->text)]; /* the last reason that went to stderr */
	size_t framed;                                /* bytes of the last frame, for - */
	struct gdb_decoder in;
	struct gdb_reply out, said;
	uint8_t frame[GDB_FRAME_MAX], note[GDB_FRAME_MAX];
	uint8_t bytes[GDB_PACKET_MAX]; /* of memory, on their way */
};

/* Makes the reply; left empty it says "not known here". c stands behind the packet's name. */
typedef void gdb_packet_fn(struct gdb_stub *s, struct gdb_cursor *c);
struct gdb_packet_row {
	const char *name;
	gdb_packet_fn *handle;
	unsigned flags;
};
enum gdb_packet_flag {
	GDB_SILENT = 1, /* has no reply */
	GDB_WHOLE = 2,  /* the name is all of it, or ends at one of ":;,?" */
};
/* The rows of the other files; a NULL name ends each. */
extern const struct gdb_packet_row gdb_query_rows[], gdb_run_rows[], gdb_file_rows[];

/* E and a number; or words for clients that read them. */
void gdb_reply_error(struct gdb_stub *s, int error, const char *why);
/* OK, or the error of r. */
void gdb_reply_result(struct gdb_stub *s, int r, const char *why);
/*
 * The target has refused: the error of r, and why for the user of a gdb that does not show it on stderr, once.
 * otherwise: what the client is told when why is NULL.
 */
void gdb_reply_refused(struct gdb_stub *s, int r, const char *why, const char *otherwise);
/* The registers as they are now. False: the reply is an error. */
bool gdb_stub_state_get(struct gdb_stub *s);
/* A thread, as in H or vCont: there is only 1. *ours: it is this one, any or all. False: none is named there. */
bool gdb_take_thread(struct gdb_cursor *c, bool *ours);
/* An answer to qXfer: "l" or "m" and a part of these bytes. */
void gdb_reply_part(struct gdb_stub *s, struct gdb_cursor *c, const void *bytes, size_t n);

#endif
