// SPDX-License-Identifier: ISC
/* Golden text's tables: fields of attributes and directory entries, and what they are by default. */
#include "trace_text_parts.h"

#include <string.h>
#include <sys/stat.h>

#include "abi_uhyve.h"
#include "trace_record.h"

uint64_t text_field_value(const struct hcall_field *field, uint64_t value)
{
	unsigned unused = 64 - 8u * field->size;

	if (field->kind == HCALL_INT || field->kind == HCALL_FD)
		return (uint64_t)((int64_t)(value << unused) >> unused);
	return value << unused >> unused;
}

bool text_len_is_cap(const struct hcall_row *row)
{
	return trace_row_has(row, HCALL_DATA_OUT) || trace_row_has(row, HCALL_DENTS_OUT);
}

int text_exit_code(const struct trace_record *record)
{
	const struct hcall_field *f = record->row->fields;

	if (!record->ends || !f[0].name || f[0].kind != HCALL_INT || f[1].name)
		return 0;
	return (int)text_field_value(f, record->args[0]);
}

/* clang-format off */
#define ATTR(member) offsetof(struct uhyve_attr, member), sizeof(((struct uhyve_attr *)0)->member)
const struct text_attr_field text_attr_fields[TEXT_ATTR_FIELDS] = {
	{ "mode", ATTR(mode), TEXT_OCTAL },
	{ "size", ATTR(size), TEXT_SIGNED },
	{ "ino", ATTR(ino), TEXT_UNSIGNED },
	{ "dev", ATTR(dev), TEXT_UNSIGNED },
	{ "nlink", ATTR(nlink), TEXT_UNSIGNED },
	{ "uid", ATTR(uid), TEXT_UNSIGNED },
	{ "gid", ATTR(gid), TEXT_UNSIGNED },
	{ "rdev", ATTR(rdev), TEXT_UNSIGNED },
	{ "blksize", ATTR(blksize), TEXT_SIGNED },
	{ "blocks", ATTR(blocks), TEXT_SIGNED },
	{ "atime", ATTR(atim), TEXT_TIME },
	{ "mtime", ATTR(mtim), TEXT_TIME },
	{ "ctime", ATTR(ctim), TEXT_TIME },
};
/* clang-format on */

/* What deterministic files say of themselves. */
void text_attr_defaults(struct uhyve_attr *attr, const struct trace_header *header)
{
	enum { DEV = 1, NLINK = 1, BLKSIZE = 4096 };
	struct uhyve_time start = {
		.sec = (int64_t)(header->boot_time_ns / TEXT_NSEC),
		.nsec = (int32_t)(header->boot_time_ns % TEXT_NSEC),
	};

	attr->dev = DEV;
	attr->nlink = NLINK;
	attr->uid = attr->gid = 0;
	attr->rdev = 0;
	attr->blksize = BLKSIZE;
	attr->blocks = S_ISLNK(attr->mode) ? 0 : attr->size / BLKSIZE + (attr->size % BLKSIZE > 0);
	attr->blocks *= BLKSIZE / 512;
	attr->atim = attr->mtim = attr->ctim = start;
}

static bool time_is_plain(const struct uhyve_time *t)
{
	return t->nsec >= 0 && t->nsec < TEXT_NSEC && !t->pad;
}

bool text_attr_is_plain(const struct uhyve_attr *attr)
{
	return !attr->pad && time_is_plain(&attr->atim) && time_is_plain(&attr->mtim) &&
	       time_is_plain(&attr->ctim);
}

enum { DENT_OFF = 8, DENT_RECLEN = 16, DENT_TYPE = 18, DENT_NAME = 19, DENT_ALIGN = 8 };

size_t text_dent_size(size_t name_len)
{
	return (DENT_NAME + name_len + 1 + DENT_ALIGN - 1) & ~(size_t)(DENT_ALIGN - 1);
}

size_t text_dent_next(const uint8_t *data, size_t len, struct text_dent *dent)
{
	uint16_t size;

	if (len < DENT_NAME)
		return 0;
	memcpy(&dent->ino, data, sizeof(dent->ino));
	memcpy(&dent->off, data + DENT_OFF, sizeof(dent->off));
	memcpy(&size, data + DENT_RECLEN, sizeof(size));
	if (size <= DENT_NAME || size > len)
		return 0;
	dent->type = data[DENT_TYPE];
	dent->name = data + DENT_NAME;
	dent->name_len = strnlen((const char *)dent->name, size - DENT_NAME);
	if (text_dent_size(dent->name_len) != size)
		return 0;
	for (size_t i = DENT_NAME + dent->name_len; i < size; i++)
		if (data[i])
			return 0;
	return size;
}

void text_dent_pack(uint8_t *to, const struct text_dent *dent)
{
	uint16_t size = (uint16_t)text_dent_size(dent->name_len);

	memset(to, 0, size);
	memcpy(to, &dent->ino, sizeof(dent->ino));
	memcpy(to + DENT_OFF, &dent->off, sizeof(dent->off));
	memcpy(to + DENT_RECLEN, &size, sizeof(size));
	to[DENT_TYPE] = dent->type;
	memcpy(to + DENT_NAME, dent->name, dent->name_len);
}
