/* SPDX-License-Identifier: ISC */
/*
 * Packets of gdb's remote serial protocol (RSP), as bytes: GDB manual, appendix E. Pure: no socket, no
 * machine. Any bytes may come in.
 */
#ifndef GDB_PACKET_H
#define GDB_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes between $ and #, as announced by PacketSize and as the most we send. */
enum { GDB_PACKET_MAX = 0x20000 };

enum gdb_item {
	GDB_NOTHING,   /* all bytes were used up: give more */
	GDB_PACKET,    /* payload */
	GDB_ACK,       /* + */
	GDB_NAK,       /* -: the last reply is wanted again */
	GDB_INTERRUPT, /* 0x03 outside a packet */
	GDB_CORRUPT, /* a wrong checksum, no hex digits in it, or too long: to be answered with - */
};

/* What has come in. Zeroed, it is ready for the first byte. */
struct gdb_decoder {
	int state; /* private */
	uint8_t sum, want;
	bool too_long;
	bool no_ack; /* the caller's: what checksums say is not looked at any more */
	size_t len;
	uint8_t payload[GDB_PACKET_MAX + 1]; /* of GDB_PACKET, still escaped; a NUL behind it */
};

/* Takes bytes up to the end of one item; *bytes and *n move on. A $ within a packet begins it anew. */
enum gdb_item gdb_decode(struct gdb_decoder *d, const uint8_t **bytes, size_t *n);
/* Undoes } escapes in place: the new length. */
size_t gdb_unescape(uint8_t *bytes, size_t n);

/* A reading finger in a payload. Every take moves it on when it is true, and not when it is false. */
struct gdb_cursor {
	const uint8_t *at, *end;
};
bool gdb_take(struct gdb_cursor *c, const char *literal);
bool gdb_take_char(struct gdb_cursor *c, char ch);
/* One or more hex digits, big-endian as gdb writes numbers; false when there is none or it has over 64 bits. */
bool gdb_take_hex(struct gdb_cursor *c, uint64_t *value);
/* Exactly 2 * n hex digits: bytes in their order. */
bool gdb_take_bytes(struct gdb_cursor *c, uint8_t *bytes, size_t n);
/* All up to the first of these characters, which is not taken, or to the end. */
struct gdb_cursor gdb_take_until(struct gdb_cursor *c, const char *stops);
static inline size_t gdb_left(const struct gdb_cursor *c)
{
	return (size_t)(c->end - c->at);
}

/*
 * A reply being made. What does not fit is left out (whole, of hex what is beyond), and overflow says so. Text cannot
 * carry # $ and *: they become dots.
 */
struct gdb_reply {
	size_t len;
	bool overflow;
	bool binary; /* holds raw bytes: no run lengths */
	uint8_t bytes[GDB_PACKET_MAX + 1];
};
void gdb_reply_begin(struct gdb_reply *r);
void gdb_put(struct gdb_reply *r, const char *text);
void gdb_put_raw(struct gdb_reply *r, const void *bytes,
	size_t n); /* as they are; the caller knows they may */
__attribute__((format(printf, 2, 3))) void gdb_printf(struct gdb_reply *r, const char *format, ...);
void gdb_put_hex(struct gdb_reply *r, const void *bytes, size_t n); /* two digits a byte */
/* Escaped, and makes the reply binary. Returns how many of the bytes found room; fewer is no overflow. */
size_t gdb_put_escaped(struct gdb_reply *r, const void *bytes, size_t n);

/* The reply as it goes over the wire: $, text with run lengths (from 4 repeats on), #, checksum. Bytes written. */
enum { GDB_FRAME_MAX = GDB_PACKET_MAX + 4 };
size_t gdb_frame(const struct gdb_reply *r, uint8_t out[GDB_FRAME_MAX]);

#endif
