// SPDX-License-Identifier: ISC
/* The model of a trace: headers copied and freed, rows by port and by name, calls to records and back. */
#include "trace_record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "abi_uhyve.h"
#include "cpuid_table.h"
#include "err.h"
#include "gdb_regs.h"

enum { PORT_GENERATION_2 = 0x1000 }; /* abi_uhyve.h: the ports of v2 begin here */

static int copy_string(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

static int copy_strings(struct strings *to, const struct strings *from)
{
	to->list = calloc(from->n + 1, sizeof(*to->list));
	if (!to->list)
		return -ENOMEM;
	for (; to->n < from->n; to->n++)
		if (copy_string(&to->list[to->n], from->list[to->n]))
			return -ENOMEM;
	return 0;
}

static int copy_mounts(struct trace_header *to, const struct trace_header *from)
{
	to->mounts = calloc(from->n_mounts + 1, sizeof(*to->mounts));
	if (!to->mounts)
		return -ENOMEM;
	while (to->n_mounts < from->n_mounts) {
		const struct trace_mount *m = &from->mounts[to->n_mounts];
		struct trace_mount *copy = &to->mounts[to->n_mounts++];

		*copy = *m;
		copy->host = copy->guest = NULL;
		if (copy_string(&copy->host, m->host) || copy_string(&copy->guest, m->guest))
			return -ENOMEM;
	}
	return 0;
}

static int copy_cpuid(struct trace_header *to, const struct trace_header *from)
{
	if (!from->n_cpuid)
		return 0;
	to->cpuid = malloc(from->n_cpuid * sizeof(*to->cpuid));
	if (!to->cpuid)
		return -ENOMEM;
	to->n_cpuid = from->n_cpuid;
	memcpy(to->cpuid, from->cpuid, from->n_cpuid * sizeof(*to->cpuid));
	return 0;
}

int trace_header_copy(struct trace_header *to, const struct trace_header *from)
{
	*to = *from;
	to->program = to->cwd = to->cpu = NULL;
	to->argv = to->kernel_args = to->env = (struct strings){ 0 };
	to->mounts = NULL;
	to->cpuid = NULL;
	to->n_mounts = to->n_cpuid = 0;
	if (copy_string(&to->program, from->program) || copy_string(&to->cwd, from->cwd) ||
		copy_string(&to->cpu, from->cpu) || copy_strings(&to->argv, &from->argv) ||
		copy_strings(&to->kernel_args, &from->kernel_args) ||
		copy_strings(&to->env, &from->env) || copy_mounts(to, from) ||
		copy_cpuid(to, from)) {
		trace_header_finish(to);
		return -ENOMEM;
	}
	return 0;
}

static void free_strings(struct strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->list[i]);
	free(s->list);
}

int trace_header_replays(const struct trace_header *header, const char *name, struct err *err)
{
	return header->partial
		       ? err_set(err, -EINVAL,
				 "%s: is part of a run, so it cannot be replayed; `belljar record` "
				 "makes what can be. belljar trace reads this one",
				 name)
		       : 0;
}

void trace_header_finish(struct trace_header *header)
{
	free(header->program);
	free(header->cwd);
	free(header->cpu);
	free_strings(&header->argv);
	free_strings(&header->kernel_args);
	free_strings(&header->env);
	for (size_t i = 0; i < header->n_mounts; i++) {
		free(header->mounts[i].host);
		free(header->mounts[i].guest);
	}
	free(header->mounts);
	free(header->cpuid);
	*header = (struct trace_header){ 0 };
}

const struct hcall_row *trace_row_of_port(const struct guest_abi *abi, uint16_t port)
{
	for (size_t i = 0; i < abi->n_rows; i++)
		if (abi->rows[i].port == port)
			return &abi->rows[i];
	return NULL;
}

/* Both generations of a name: the header's own comes first. */
static const struct hcall_row *own_row(
	const struct trace_header *header, const char *name, size_t len)
{
	const struct hcall_row *other = NULL;

	for (size_t i = 0; i < header->abi->n_rows; i++) {
		const struct hcall_row *row = &header->abi->rows[i];

		if (strlen(row->name) != len || memcmp(row->name, name, len) != 0)
			continue;
		if ((row->port >= PORT_GENERATION_2) == (header->abi_version >= 2))
			return row;
		other = row;
	}
	return other;
}

void trace_row_name(
	const struct trace_header *header, const struct hcall_row *row, char *buf, size_t size)
{
	if (own_row(header, row->name, strlen(row->name)) == row)
		snprintf(buf, size, "%s", row->name);
	else
		snprintf(buf, size, "%s@0x%x", row->name, row->port);
}

const struct hcall_row *trace_row_of_name(
	const struct trace_header *header, const char *name, size_t len)
{
	const struct hcall_row *row = own_row(header, name, len);
	char text[64];

	for (size_t i = 0; !row && i < header->abi->n_rows; i++) {
		trace_row_name(header, &header->abi->rows[i], text, sizeof(text));
		if (strlen(text) == len && !memcmp(text, name, len))
			row = &header->abi->rows[i];
	}
	return row;
}

size_t trace_row_fields(const struct hcall_row *row)
{
	size_t n = 0;

	while (row->fields[n].name)
		n++;
	return n;
}

int trace_row_find(const struct hcall_row *row, enum hcall_kind kind)
{
	for (int i = 0; row->fields[i].name; i++)
		if (row->fields[i].kind == kind)
			return i;
	return -1;
}

bool trace_row_has(const struct hcall_row *row, enum hcall_kind kind)
{
	return trace_row_find(row, kind) >= 0;
}

bool trace_field_is_pointer(enum hcall_kind kind)
{
	static const bool pointers[HCALL_KIND_COUNT] = {
		[HCALL_PATH] = true,
		[HCALL_DATA_IN] = true,
		[HCALL_DATA_OUT] = true,
		[HCALL_DENTS_OUT] = true,
		[HCALL_STAT_OUT] = true,
		[HCALL_POINTER] = true,
	};

	return pointers[kind];
}

bool trace_tree_path_is_sane(const uint8_t *path, size_t len)
{
	size_t from = 0;

	if (len >= HCALL_STRING_MAX)
		return false;
	for (size_t i = 0; i <= len && len; i++) {
		if (i < len && !path[i])
			return false;
		if (i < len && path[i] != '/')
			continue;
		if (i == from || (i - from == 1 && path[from] == '.') ||
			(i - from == 2 && !memcmp(path + from, "..", 2)))
			return false;
		from = i + 1;
	}
	return true;
}

bool trace_tree_target_is_sane(const uint8_t *target, size_t len)
{
	return len && len < HCALL_STRING_MAX && !memchr(target, 0, len);
}

/* One direction of a call: no more bytes than there is room for, and as many as the result stands for. */
static bool bytes_are_sane(const struct trace_record *record, const char *where, size_t len,
	uint64_t room, uint64_t expected, struct err *why)
{
	const char *name = record->row->name;
	long long result = record->result;

	if (len > room || (result >= 0 && expected > room)) {
		err_set(why, 0, "%s -> %lld with %zu bytes %s; expected up to %llu", name, result,
			len, where, (unsigned long long)room);
		return false;
	}
	if (len == expected || result < 0 || record->kind != TRACE_CALL || record->ends ||
		record->masked)
		return true;
	err_set(why, 0, "%s -> %lld with %zu bytes %s; expected %llu", name, result, len, where,
		(unsigned long long)expected);
	return false;
}

bool trace_record_is_sane(const struct trace_record *record, struct err *why)
{
	uint64_t result = (uint64_t)record->result, room;
	int len;

	if ((record->kind != TRACE_CALL && record->kind != TRACE_PENDING) || record->row->local)
		return true;
	len = trace_row_find(record->row, HCALL_LEN);
	room = len < 0 ? UINT64_MAX : record->args[len];
	if (trace_row_has(record->row, HCALL_STAT_OUT)) {
		room = sizeof(struct uhyve_attr);
		return bytes_are_sane(record, "to the guest", record->out_len, room, room, why);
	}
	if (trace_row_has(record->row, HCALL_DATA_OUT) ||
		trace_row_has(record->row, HCALL_DENTS_OUT))
		return bytes_are_sane(record, "to the guest", record->out_len, room, result, why);
	if (trace_row_has(record->row, HCALL_DATA_IN))
		return bytes_are_sane(record, "to the host", record->in_len, room, result, why);
	return true;
}

const char *trace_edit_register(const char *name, size_t len)
{
	for (unsigned n = 0; n < gdb_regs_count(true); n++)
		if (strlen(gdb_reg_name(n)) == len && !memcmp(gdb_reg_name(n), name, len))
			return gdb_reg_name(n);
	return NULL;
}

bool trace_edit_is_sane(const struct trace_record *record, struct err *why)
{
	const char *reg = record->edit.reg;
	size_t size = reg ? gdb_reg_size(true, (unsigned)gdb_reg_find(true, reg)) : 0;

	if (reg && record->edit.held)
		err_set(why, 0, "register %s written before a call's answer", reg);
	else if (reg && record->out_len != size)
		err_set(why, 0, "register %s of %zu bytes; expected %zu", reg, record->out_len,
			size);
	else if (!record->out_len || record->out_len > TRACE_BLOCK_MAX)
		err_set(why, 0, "%zu bytes written; expected 1 to %d", record->out_len,
			TRACE_BLOCK_MAX);
	else
		return true;
	return false;
}

void trace_record_of_call(struct trace_record *record, const struct hcall *call)
{
	const struct hcall_field *f = call->row->fields;

	record->kind = TRACE_CALL;
	record->seq = call->seq;
	record->rip = call->rip;
	record->port = call->row->port;
	record->row = call->row;
	for (size_t i = 0; f[i].name; i++)
		record->args[i] = hcall_field_value(call, &f[i]);
	record->result = call->result;
	record->ends = call->ends;
	record->fault = call->fault;
}

void trace_call_of_record(struct hcall *call, const struct trace_record *record)
{
	const struct hcall_field *f = record->row->fields;

	*call = (struct hcall){
		.row = record->row,
		.seq = record->seq,
		.rip = record->rip,
		.result = record->result,
		.ends = record->ends,
		.fault = record->fault,
	};
	for (size_t i = 0; f[i].name; i++)
		memcpy(call->block + f[i].at, &record->args[i], f[i].size);
	if (!record->row->block_len)
		memcpy(&call->arg, call->block, sizeof(call->arg));
}
