/* SPDX-License-Identifier: ISC */
/*
 * The payload of a recording's packet taken apart: its keys and values checked for what one packet
 * can tell. Knows no files and no order of packets.
 */
#ifndef TRACE_PACKET_H
#define TRACE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace_record.h"

struct span {
	const uint8_t *p;
	size_t len;
};

/* Bits of trace_packet.has, in the order in which the keys come: shorter first, then bytewise. */
enum trace_key {
	KEY_A,
	KEY_D,
	KEY_N,
	KEY_R,
	KEY_AT,
	KEY_EX,
	KEY_IN,
	KEY_IP,
	KEY_NR,
	KEY_BAD,
	KEY_END,
	KEY_FIN,
	KEY_GPA,
	KEY_OUT,
	KEY_REG,
	KEY_BLOB,
	KEY_CODE,
	KEY_DATA,
	KEY_EDIT,
	KEY_HASH,
	KEY_MODE,
	KEY_MORE,
	KEY_PATH,
	KEY_SAME,
	KEY_SIZE,
	KEY_STOP,
	KEY_TEXT,
	KEY_TREE,
	KEY_XDEV,
	KEY_AFTER,
	KEY_MOUNT,
	KEY_TARGET,
	KEY_COUNT,
};

/* A record's keys; spans point into the payload. */
struct trace_packet {
	uint32_t has; /* 1 << enum trace_key */
	size_t n_args;
	uint64_t args[HCALL_FIELDS_MAX];
	uint64_t duration, seq, ip, port, end, stop, mode, same, size, before, after, mount;
	uint64_t edit, insns, happened, gpa;
	int64_t result, code;
	bool fault, ends, more, xdev;
	struct span in, out, data, blob, hash, path, target, text, reg;
};

struct trace_why {
	char text[120]; /* why a packet is refused */
};

/*
 * Adds the keys of one payload; a key that is there already is refused, unknown ones are skipped. 0 or
 * -EBADMSG with why.
 */
int trace_packet_decode(
	struct trace_packet *packet, const uint8_t *payload, size_t len, struct trace_why *why);

/* The header as its packets come; zeroed before the first. */
struct trace_header_parts {
	uint32_t has;
	bool more; /* another packet goes on */
	struct trace_header header;
};

/* Adds one packet. 0, -ENOMEM, or -EBADMSG with why; header is to be finished either way. */
int trace_header_decode(struct trace_header_parts *parts, const uint8_t *payload, size_t len,
	struct trace_why *why);
/* When all have come: what is missing, what makes no sense. Golden text's header is held to it too. */
int trace_header_check(const struct trace_header *header, struct trace_why *why);

#endif
