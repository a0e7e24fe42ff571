/* SPDX-License-Identifier: ISC */
/*
 * CBOR from hostile bytes, an item at a time: no tree, no memory of its own. Definite lengths only.
 * Knows nothing of traces.
 */
#ifndef CBOR_CURSOR_H
#define CBOR_CURSOR_H

#include <stddef.h>
#include <stdint.h>

enum cbor_kind {
	CBOR_KIND_UINT,     /* value */
	CBOR_KIND_NEGATIVE, /* -1 - value */
	CBOR_KIND_BYTES,
	CBOR_KIND_TEXT,
	CBOR_KIND_ARRAY, /* value items follow */
	CBOR_KIND_MAP,   /* value pairs follow */
	CBOR_KIND_TAG,   /* belongs to the item behind it */
	CBOR_KIND_BOOL,  /* value */
	CBOR_KIND_OTHER, /* floating point, null, undefined */
	CBOR_KIND_BROKEN,
};

struct cbor_item {
	enum cbor_kind kind;
	uint64_t value;
	const uint8_t *bytes; /* BYTES, TEXT: points into the input */
	size_t len;
};

struct cbor_cursor {
	const uint8_t *at, *end;
};

/*
 * The next item, whole in the input; an array or map has no more items than bytes are left. 0 or
 * -EBADMSG.
 */
int cbor_cursor_next(struct cbor_cursor *c, struct cbor_item *item);
/* Over one item and all that is in it. */
int cbor_cursor_skip(struct cbor_cursor *c);

#endif
