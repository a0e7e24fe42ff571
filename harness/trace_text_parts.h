/* SPDX-License-Identifier: ISC */
/* What the files that write and read golden text have in common. */
#ifndef TRACE_TEXT_PARTS_H
#define TRACE_TEXT_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hcall.h"
#include "scan.h"

struct trace_header;
struct trace_record;
struct uhyve_attr;

enum {
	TEXT_BLOB_MIN = 4096, /* more bytes than that go to a file of their own */
	TEXT_LINE_BYTES = 64, /* data on one line */
	TEXT_HEX_BYTES = 32,
	TEXT_NSEC = 1000000000,
	TEXT_VALUE_MAX = 48, /* of an attribute or a type, with its NUL */
};
#define TEXT_BLOB_MARK "blob " /* data that begins so has its first letter escaped */

/* A field's value as its size and kind make it: what is behind them is cut off. */
uint64_t text_field_value(const struct hcall_field *field, uint64_t value);

/* A row's HCALL_LEN is cap=N, room for what the host writes; else len=N where that is not what it read. */
bool text_len_is_cap(const struct hcall_row *row);

/* The code that the guest ended itself with in this call, else 0. */
int text_exit_code(const struct trace_record *record);

/* A member of struct uhyve_attr, and how it is written. */
struct text_attr_field {
	const char *name;
	uint8_t at, size;
	enum { TEXT_UNSIGNED, TEXT_SIGNED, TEXT_OCTAL, TEXT_TIME } form;
};
enum { TEXT_ATTR_ALWAYS = 3, TEXT_ATTR_FIELDS = 13 }; /* the first have no default */
extern const struct text_attr_field text_attr_fields[TEXT_ATTR_FIELDS];
/* Gives every field that has a default the one that belongs to the others. */
void text_attr_defaults(struct uhyve_attr *attr, const struct trace_header *header);
/* Do the fields say all? Not when padding is used, or nanoseconds are none. */
bool text_attr_is_plain(const struct uhyve_attr *attr);
/* Its value alone. */
void text_attr_value(const struct text_attr_field *field, const struct uhyve_attr *attr,
	char buf[TEXT_VALUE_MAX]);

/* A struct linux_dirent64. name is borrowed. */
struct text_dent {
	uint64_t ino;
	int64_t off;
	uint8_t type;
	const uint8_t *name;
	size_t name_len;
};
enum { TEXT_DENT_MAX = 65528 }; /* bytes of one, a multiple of 8 */
/* Bytes that it takes, padding too. */
size_t text_dent_size(size_t name_len);
/* The first one of data; its size, or 0 when text_dent_pack would not make the same bytes of it. */
size_t text_dent_next(const uint8_t *data, size_t len, struct text_dent *dent);
/* to has room for text_dent_size. */
void text_dent_pack(uint8_t *to, const struct text_dent *dent);
/* "reg" */
void text_dent_type(uint8_t type, char buf[TEXT_VALUE_MAX]);

/* The header's lines, up to the first empty one. 0, or a scan's error. */
int text_read_header(struct scan *in, struct trace_header *header);

struct text_data {
	const struct trace_header *header;
	const char *blob_dir;
	struct bytes in, out;
};
/* A line of data, appended to in or out; sets masked. 0, or a scan's error. */
int text_read_data_line(struct scan *in, struct text_data *data, struct trace_record *record);

#endif
