// SPDX-License-Identifier: ISC
/* CBOR an item at a time, over libcbor's streaming decoder: its callbacks fill in one struct. */
#include "cbor_cursor.h"

#include <cbor.h>
#include <errno.h>

static void put(void *ctx, enum cbor_kind kind, uint64_t value)
{
	*(struct cbor_item *)ctx = (struct cbor_item){ .kind = kind, .value = value };
}

static void put_string(void *ctx, enum cbor_kind kind, cbor_data bytes, size_t len)
{
	*(struct cbor_item *)ctx = (struct cbor_item){ .kind = kind, .bytes = bytes, .len = len };
}

static void on_uint8(void *ctx, uint8_t v)
{
	put(ctx, CBOR_KIND_UINT, v);
}

static void on_uint16(void *ctx, uint16_t v)
{
	put(ctx, CBOR_KIND_UINT, v);
}

static void on_uint32(void *ctx, uint32_t v)
{
	put(ctx, CBOR_KIND_UINT, v);
}

static void on_uint64(void *ctx, uint64_t v)
{
	put(ctx, CBOR_KIND_UINT, v);
}

static void on_negint8(void *ctx, uint8_t v)
{
	put(ctx, CBOR_KIND_NEGATIVE, v);
}

static void on_negint16(void *ctx, uint16_t v)
{
	put(ctx, CBOR_KIND_NEGATIVE, v);
}

static void on_negint32(void *ctx, uint32_t v)
{
	put(ctx, CBOR_KIND_NEGATIVE, v);
}

static void on_negint64(void *ctx, uint64_t v)
{
	put(ctx, CBOR_KIND_NEGATIVE, v);
}

static void on_bytes(void *ctx, cbor_data p, size_t len)
{
	put_string(ctx, CBOR_KIND_BYTES, p, len);
}

static void on_text(void *ctx, cbor_data p, size_t len)
{
	put_string(ctx, CBOR_KIND_TEXT, p, len);
}

static void on_array(void *ctx, size_t n)
{
	put(ctx, CBOR_KIND_ARRAY, n);
}

static void on_map(void *ctx, size_t n)
{
	put(ctx, CBOR_KIND_MAP, n);
}

static void on_tag(void *ctx, uint64_t v)
{
	put(ctx, CBOR_KIND_TAG, v);
}

static void on_bool(void *ctx, bool v)
{
	put(ctx, CBOR_KIND_BOOL, v);
}

static void on_float(void *ctx, float v)
{
	(void)v;
	put(ctx, CBOR_KIND_OTHER, 0);
}

static void on_double(void *ctx, double v)
{
	(void)v;
	put(ctx, CBOR_KIND_OTHER, 0);
}

static void on_nothing(void *ctx)
{
	put(ctx, CBOR_KIND_OTHER, 0);
}

/* Indefinite lengths and their end. */
static void on_indefinite(void *ctx)
{
	put(ctx, CBOR_KIND_BROKEN, 0);
}

static const struct cbor_callbacks callbacks = {
	.uint8 = on_uint8,
	.uint16 = on_uint16,
	.uint32 = on_uint32,
	.uint64 = on_uint64,
	.negint8 = on_negint8,
	.negint16 = on_negint16,
	.negint32 = on_negint32,
	.negint64 = on_negint64,
	.byte_string = on_bytes,
	.byte_string_start = on_indefinite,
	.string = on_text,
	.string_start = on_indefinite,
	.array_start = on_array,
	.indef_array_start = on_indefinite,
	.map_start = on_map,
	.indef_map_start = on_indefinite,
	.tag = on_tag,
	.boolean = on_bool,
	.float2 = on_float,
	.float4 = on_float,
	.float8 = on_double,
	.null = on_nothing,
	.undefined = on_nothing,
	.indef_break = on_indefinite,
};

int cbor_cursor_next(struct cbor_cursor *c, struct cbor_item *item)
{
	struct cbor_decoder_result result;
	size_t left;

	item->kind = CBOR_KIND_BROKEN;
	result = cbor_stream_decode(c->at, (size_t)(c->end - c->at), &callbacks, item);
	if (result.status != CBOR_DECODER_FINISHED || item->kind == CBOR_KIND_BROKEN)
		return -EBADMSG;
	c->at += result.read;
	left = (size_t)(c->end - c->at);
	if ((item->kind == CBOR_KIND_ARRAY && item->value > left) ||
		(item->kind == CBOR_KIND_MAP && item->value > left / 2))
		return -EBADMSG;
	return 0;
}

int cbor_cursor_skip(struct cbor_cursor *c)
{
	struct cbor_item item;

	/* Each item takes a byte at least, and no array claims more than are left: no overflow. */
	for (uint64_t left = 1; left; left--) {
		if (cbor_cursor_next(c, &item))
			return -EBADMSG;
		if (item.kind == CBOR_KIND_ARRAY)
			left += item.value;
		else if (item.kind == CBOR_KIND_MAP)
			left += 2 * item.value;
		else if (item.kind == CBOR_KIND_TAG)
			left++;
	}
	return 0;
}
