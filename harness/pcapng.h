/* SPDX-License-Identifier: ISC */
/*
 * pcapng taken apart, as far as recordings use it: little endian, one section, one interface of link
 * type 147 in nanoseconds, enhanced packets. Other blocks and all options are skipped.
 */
#ifndef PCAPNG_H
#define PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "input.h"

enum {
	PCAPNG_LINKTYPE = 147,       /* USER0 */
	PCAPNG_PACKET_MAX = 262144,  /* bytes; what Wireshark takes */
	PCAPNG_BLOCK_MAX = 16 << 20, /* the same */
};

struct pcapng {
	struct input *in;
	bool has_section, has_interface;
	uint64_t offset; /* of the block last looked at */
	bool torn;       /* the input ended within it, and held nothing whole behind its start */
	char why[120];   /* behind -EBADMSG: the reason */
};

struct pcapng_packet {
	uint64_t offset;     /* of its block */
	uint64_t time_ns;    /* since 1970 */
	const uint8_t *data; /* until the next call */
	size_t len;
};

/* 1 with the next packet; 0 at the end, see torn; -EBADMSG with why, or -errno. */
int pcapng_next(struct pcapng *p, struct pcapng_packet *packet);

#endif
