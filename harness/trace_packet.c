// SPDX-License-Identifier: ISC
/* Payloads taken apart by two tables of keys: one for the header, one for everything behind it. */
#include "trace_packet.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "cbor_cursor.h"
#include "cpuid_table.h"

/* An element takes more memory than the byte it may take in the file, hence a limit. */
enum { PAGE = 4096, GENERATION_MAX = 2, ELEMENTS_MAX = 1 << 20 };
#define MEM_MAX (1ull << 40)

struct key_row {
	const char *name;
	int (*get)(struct cbor_cursor *c, void *field, struct trace_why *why);
	size_t offset;
};

__attribute__((format(printf, 2, 3))) static int bad(struct trace_why *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	return -EBADMSG;
}

static int get(
	struct cbor_cursor *c, enum cbor_kind kind, struct cbor_item *item, struct trace_why *why)
{
	static const char *const names[] = {
		[CBOR_KIND_UINT] = "a number that is not negative",
		[CBOR_KIND_NEGATIVE] = "a number",
		[CBOR_KIND_BYTES] = "bytes",
		[CBOR_KIND_TEXT] = "text",
		[CBOR_KIND_ARRAY] = "an array",
		[CBOR_KIND_MAP] = "a map",
		[CBOR_KIND_BOOL] = "true or false",
	};

	if (cbor_cursor_next(c, item))
		return bad(why, "broken CBOR");
	if (item->kind != kind)
		return bad(why, "expected %s", names[kind]);
	return 0;
}

static int get_uint(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	struct cbor_item item;
	int r = get(c, CBOR_KIND_UINT, &item, why);

	*(uint64_t *)field = r ? 0 : item.value;
	return r;
}

static int get_bool(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	struct cbor_item item;
	int r = get(c, CBOR_KIND_BOOL, &item, why);

	*(bool *)field = !r && item.value;
	return r;
}

static int get_int(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	struct cbor_item item;

	if (cbor_cursor_next(c, &item))
		return bad(why, "broken CBOR");
	if (item.kind != CBOR_KIND_UINT && item.kind != CBOR_KIND_NEGATIVE)
		return bad(why, "expected a number");
	if (item.value > INT64_MAX)
		return bad(why, "a number beyond 64 bits");
	*(int64_t *)field =
		item.kind == CBOR_KIND_UINT ? (int64_t)item.value : -1 - (int64_t)item.value;
	return 0;
}

static int get_bytes(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	struct cbor_item item;
	int r = get(c, CBOR_KIND_BYTES, &item, why);

	if (!r)
		*(struct span *)field = (struct span){ item.bytes, item.len };
	return r;
}

static int get_hash(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	int r = get_bytes(c, field, why);

	if (!r && ((struct span *)field)->len != TRACE_HASH_LEN)
		return bad(why, "a hash of %zu bytes", ((struct span *)field)->len);
	return r;
}

/* Length of the UTF-8 sequence at p, shortest form and no surrogates; 0: none. RFC 3629. */
static size_t utf8_len(const uint8_t *p, size_t left)
{
	size_t len = *p < 0x80                 ? 1
		     : *p >= 0xc2 && *p < 0xe0 ? 2
		     : *p >= 0xe0 && *p < 0xf0 ? 3
		     : *p >= 0xf0 && *p < 0xf5 ? 4
					       : 0;

	if (!len || len > left)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

/* Text is printed as it is: one line, no control characters. */
static int get_text(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	struct cbor_item item;
	int r = get(c, CBOR_KIND_TEXT, &item, why);
	size_t n;

	if (r)
		return r;
	for (size_t i = 0; i < item.len; i += n) {
		n = utf8_len(item.bytes + i, item.len - i);
		if (!n)
			return bad(why, "text that is not UTF-8");
		if (item.bytes[i] < ' ' || item.bytes[i] == 0x7f ||
			(item.bytes[i] == 0xc2 && item.bytes[i + 1] < 0xa0))
			return bad(why, "a control character in text");
	}
	*(struct span *)field = (struct span){ item.bytes, item.len };
	return 0;
}

static int get_args(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	struct trace_packet *packet = field;
	struct cbor_item item;
	int r = get(c, CBOR_KIND_ARRAY, &item, why);

	if (r)
		return r;
	if (item.value > HCALL_FIELDS_MAX)
		return bad(why, "%llu arguments", (unsigned long long)item.value);
	packet->n_args = item.value;
	for (size_t i = 0; !r && i < packet->n_args; i++)
		r = get_uint(c, &packet->args[i], why);
	return r;
}

static_assert(KEY_COUNT <= 32, "a bit of `has` each");
#define PACKET(member) offsetof(struct trace_packet, member)

static const struct key_row packet_keys[KEY_COUNT] = {
	[KEY_A] = { "a", get_args, 0 },
	[KEY_D] = { "d", get_uint, PACKET(duration) },
	[KEY_N] = { "n", get_uint, PACKET(seq) },
	[KEY_R] = { "r", get_int, PACKET(result) },
	[KEY_AT] = { "at", get_uint, PACKET(insns) },
	[KEY_EX] = { "ex", get_uint, PACKET(happened) },
	[KEY_IN] = { "in", get_bytes, PACKET(in) },
	[KEY_IP] = { "ip", get_uint, PACKET(ip) },
	[KEY_NR] = { "nr", get_uint, PACKET(port) },
	[KEY_BAD] = { "bad", get_bool, PACKET(fault) },
	[KEY_END] = { "end", get_uint, PACKET(end) },
	[KEY_FIN] = { "fin", get_bool, PACKET(ends) },
	[KEY_GPA] = { "gpa", get_uint, PACKET(gpa) },
	[KEY_OUT] = { "out", get_bytes, PACKET(out) },
	[KEY_REG] = { "reg", get_text, PACKET(reg) },
	[KEY_BLOB] = { "blob", get_hash, PACKET(blob) },
	[KEY_CODE] = { "code", get_int, PACKET(code) },
	[KEY_DATA] = { "data", get_bytes, PACKET(data) },
	[KEY_EDIT] = { "edit", get_uint, PACKET(edit) },
	[KEY_HASH] = { "hash", get_hash, PACKET(hash) },
	[KEY_MODE] = { "mode", get_uint, PACKET(mode) },
	[KEY_MORE] = { "more", get_bool, PACKET(more) },
	[KEY_PATH] = { "path", get_bytes, PACKET(path) },
	[KEY_SAME] = { "same", get_uint, PACKET(same) },
	[KEY_SIZE] = { "size", get_uint, PACKET(size) },
	[KEY_STOP] = { "stop", get_uint, PACKET(stop) },
	[KEY_TEXT] = { "text", get_text, PACKET(text) },
	[KEY_TREE] = { "tree", get_uint, PACKET(before) },
	[KEY_XDEV] = { "xdev", get_bool, PACKET(xdev) },
	[KEY_AFTER] = { "after", get_uint, PACKET(after) },
	[KEY_MOUNT] = { "mount", get_uint, PACKET(mount) },
	[KEY_TARGET] = { "target", get_bytes, PACKET(target) },
};

/* The row of a key, looked for behind the last one first, since keys come in the table's order. */
static size_t find_key(const struct key_row *rows, size_t n, size_t from, struct span key)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = from + i < n ? from + i : from + i - n;
		const char *name = rows[at].name;

		if (strlen(name) == key.len && !memcmp(name, key.p, key.len))
			return at;
	}
	return n;
}

/* One map whose values go to the rows' fields in `to`; `has` gets a bit for each. */
static int decode_map(const struct key_row *rows, size_t n, void *to, uint32_t *has,
	struct cbor_cursor *c, struct trace_why *why)
{
	struct cbor_item map, key;
	struct trace_why reason;
	size_t row = 0;
	int r = get(c, CBOR_KIND_MAP, &map, why);

	for (uint64_t i = 0; !r && i < map.value; i++) {
		r = get(c, CBOR_KIND_TEXT, &key, why);
		if (r)
			return r;
		row = find_key(rows, n, row, (struct span){ key.bytes, key.len });
		if (row == n) {
			row = 0;
			if (cbor_cursor_skip(c))
				return bad(why, "broken CBOR");
			continue;
		}
		if (*has & 1u << row)
			return bad(why, "key \"%s\" twice", rows[row].name);
		*has |= 1u << row;
		r = rows[row].get(c, (char *)to + rows[row].offset, &reason);
		if (r == -EBADMSG)
			bad(why, "key \"%s\": %s", rows[row].name, reason.text);
		row++;
	}
	if (!r && c->at != c->end)
		return bad(why, "something behind the map");
	return r;
}

int trace_packet_decode(
	struct trace_packet *packet, const uint8_t *payload, size_t len, struct trace_why *why)
{
	struct cbor_cursor c = { payload, payload + len };

	return decode_map(packet_keys, KEY_COUNT, packet, &packet->has, &c, why);
}

/* A string of ours: no NUL. Grows its list by doubling. */
static int add_string(struct strings *to, struct span from, struct trace_why *why)
{
	char **grown;

	if (from.len && memchr(from.p, 0, from.len))
		return bad(why, "a NUL in a string");
	if (to->n == ELEMENTS_MAX)
		return bad(why, "more than %d elements", ELEMENTS_MAX);
	if (!(to->n & (to->n - 1))) {
		grown = realloc(to->list, (to->n ? 2 * to->n : 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		to->list = grown;
	}
	to->list[to->n] = strndup(from.len ? (const char *)from.p : "", from.len);
	if (!to->list[to->n])
		return -ENOMEM;
	to->n++;
	return 0;
}

static int get_strings(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	struct cbor_item array;
	struct span bytes;
	int r = get(c, CBOR_KIND_ARRAY, &array, why);

	for (uint64_t i = 0; !r && i < array.value; i++) {
		r = get_bytes(c, &bytes, why);
		if (!r)
			r = add_string(field, bytes, why);
	}
	return r;
}

/* A single string, that is not there yet. */
static int set_string(char **to, struct span from, struct trace_why *why)
{
	struct strings list = { 0 };
	int r = add_string(&list, from, why);

	*to = r ? NULL : list.list[0];
	free(list.list);
	return r;
}

static int get_string(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	struct span bytes;
	int r = get_bytes(c, &bytes, why);

	return r ? r : set_string(field, bytes, why);
}

static int get_label(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	struct span text;
	int r = get_text(c, &text, why);

	return r ? r : set_string(field, text, why);
}

static int get_version(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	uint64_t version;
	int r = get_uint(c, &version, why);

	if (!r && version > TRACE_VERSION)
		return bad(why, "a newer belljar wrote this: format %llu, and this one reads %d",
			(unsigned long long)version, TRACE_VERSION);
	*(unsigned *)field = (unsigned)version;
	return r;
}

static int get_abi(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	struct span name;
	int r = get_text(c, &name, why);

	for (size_t i = 0; !r && abi_list[i]; i++)
		if (strlen(abi_list[i]->name) == name.len &&
			!memcmp(abi_list[i]->name, name.p, name.len)) {
			*(const struct guest_abi **)field = abi_list[i];
			return 0;
		}
	return r ? r
		 : bad(why, "unknown ABI \"%.*s\"", (int)(name.len < 40 ? name.len : 40), name.p);
}

static int get_generation(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	uint64_t generation;
	int r = get_uint(c, &generation, why);

	if (!r && (generation < 1 || generation > GENERATION_MAX))
		return bad(why, "unknown generation %llu", (unsigned long long)generation);
	*(int *)field = (int)generation;
	return r;
}

static int get_guest_hash(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	struct span hash;
	int r = get_hash(c, &hash, why);

	if (!r)
		memcpy(field, hash.p, TRACE_HASH_LEN);
	return r;
}

enum { MOUNT_RW = 1, MOUNT_UNLINK = 2, MOUNT_FILE = 4, MOUNT_NO_HARDLINKS = 8 };

static int get_mount(struct cbor_cursor *c, struct trace_mount *m, struct trace_why *why)
{
	struct cbor_item array;
	uint64_t flags = 0;
	int r = get(c, CBOR_KIND_ARRAY, &array, why);

	if (!r && array.value != 3)
		return bad(why, "a mount of %llu parts", (unsigned long long)array.value);
	r = r ? r : get_string(c, &m->host, why);
	r = r ? r : get_string(c, &m->guest, why);
	r = r ? r : get_uint(c, &flags, why);
	m->writable = flags & MOUNT_RW;
	m->may_unlink = flags & MOUNT_UNLINK;
	m->is_file = flags & MOUNT_FILE;
	m->no_hardlinks = flags & MOUNT_NO_HARDLINKS;
	return r;
}

static int get_limits(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	struct fileio_limits *limits = field;
	struct cbor_item array;
	int r = get(c, CBOR_KIND_ARRAY, &array, why);

	if (!r && array.value != LIMITS)
		return bad(why, "%llu limits", (unsigned long long)array.value);
	for (size_t i = 0; !r && i < LIMITS; i++)
		r = get_uint(c, limit_at(limits, i), why);
	return r;
}

static int get_mounts(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	struct trace_header *header = field;
	struct trace_mount *grown;
	struct cbor_item array;
	int r = get(c, CBOR_KIND_ARRAY, &array, why);

	for (uint64_t i = 0; !r && i < array.value; i++) {
		size_t n = header->n_mounts;

		if (n == ELEMENTS_MAX)
			return bad(why, "more than %d elements", ELEMENTS_MAX);
		if (!(n & (n - 1))) {
			grown = realloc(header->mounts, (n ? 2 * n : 1) * sizeof(*grown));
			if (!grown)
				return -ENOMEM;
			header->mounts = grown;
		}
		header->mounts[n] = (struct trace_mount){ 0 };
		header->n_mounts++;
		r = get_mount(c, &header->mounts[n], why);
	}
	return r;
}

static int get_uint32(struct cbor_cursor *c, uint32_t *to, struct trace_why *why)
{
	uint64_t value;
	int r = get_uint(c, &value, why);

	if (!r && value > UINT32_MAX)
		return bad(why, "a number beyond 32 bits");
	*to = (uint32_t)value;
	return r;
}

/* [leaf, eax, ebx, ecx, edx], or with the subleaf behind the leaf. */
static int get_cpuid_entry(struct cbor_cursor *c, struct cpuid_entry *e, struct trace_why *why)
{
	uint32_t *const regs[] = { &e->eax, &e->ebx, &e->ecx, &e->edx };
	struct cbor_item array;
	int r = get(c, CBOR_KIND_ARRAY, &array, why);

	if (!r && array.value != 5 && array.value != 6)
		return bad(why, "an entry of %llu parts", (unsigned long long)array.value);
	*e = (struct cpuid_entry){ .has_subleaf = !r && array.value == 6 };
	r = r ? r : get_uint32(c, &e->leaf, why);
	if (!r && e->has_subleaf)
		r = get_uint32(c, &e->subleaf, why);
	for (size_t i = 0; !r && i < sizeof(regs) / sizeof(regs[0]); i++)
		r = get_uint32(c, regs[i], why);
	return r;
}

static int get_cpuid(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	struct trace_header *header = field;
	struct cbor_item array;
	int r = get(c, CBOR_KIND_ARRAY, &array, why);

	if (r)
		return r;
	if (array.value > CPUID_TABLE_MAX)
		return bad(why, "%llu entries", (unsigned long long)array.value);
	header->cpuid = calloc(array.value + 1, sizeof(*header->cpuid));
	if (!header->cpuid)
		return -ENOMEM;
	for (; !r && header->n_cpuid < array.value; header->n_cpuid++)
		r = get_cpuid_entry(c, &header->cpuid[header->n_cpuid], why);
	return r;
}

/* For tools that know no ABI; we know. */
static int get_skipped(struct cbor_cursor *c, void *field, struct trace_why *why)
{
	(void)field;
	return cbor_cursor_skip(c) ? bad(why, "broken CBOR") : 0;
}

#define PARTS(member)  offsetof(struct trace_header_parts, member)
#define HEADER(member) PARTS(header.member)

enum header_key {
	HEADER_ABI,
	HEADER_BJT,
	HEADER_CLK,
	HEADER_CPU,
	HEADER_CWD,
	HEADER_ENV,
	HEADER_GEN,
	HEADER_LIM,
	HEADER_MEM,
	HEADER_MNT,
	HEADER_ARGV,
	HEADER_CALL,
	HEADER_KARG,
	HEADER_MORE,
	HEADER_PART,
	HEADER_PROG,
	HEADER_SEED,
	HEADER_TREE,
	HEADER_UTF8,
	HEADER_CPUID,
	HEADER_GUEST,
	HEADER_COUNT,
};

static const struct key_row header_keys[HEADER_COUNT] = {
	[HEADER_ABI] = { "abi", get_abi, HEADER(abi) },
	[HEADER_BJT] = { "bjt", get_version, HEADER(version) },
	[HEADER_CLK] = { "clk", get_uint, HEADER(boot_time_ns) },
	[HEADER_CPU] = { "cpu", get_label, HEADER(cpu) },
	[HEADER_CWD] = { "cwd", get_string, HEADER(cwd) },
	[HEADER_ENV] = { "env", get_strings, HEADER(env) },
	[HEADER_GEN] = { "gen", get_generation, HEADER(abi_version) },
	[HEADER_LIM] = { "lim", get_limits, HEADER(limits) },
	[HEADER_MEM] = { "mem", get_uint, HEADER(mem_size) },
	[HEADER_MNT] = { "mnt", get_mounts, PARTS(header) },
	[HEADER_ARGV] = { "argv", get_strings, HEADER(argv) },
	[HEADER_CALL] = { "call", get_skipped, 0 },
	[HEADER_KARG] = { "karg", get_strings, HEADER(kernel_args) },
	[HEADER_MORE] = { "more", get_bool, PARTS(more) },
	[HEADER_PART] = { "part", get_bool, HEADER(partial) },
	[HEADER_PROG] = { "prog", get_label, HEADER(program) },
	[HEADER_SEED] = { "seed", get_uint, HEADER(seed) },
	[HEADER_TREE] = { "tree", get_bool, HEADER(has_tree) },
	[HEADER_UTF8] = { "utf8", get_bool, HEADER(utf8_paths) },
	[HEADER_CPUID] = { "cpuid", get_cpuid, PARTS(header) },
	[HEADER_GUEST] = { "guest", get_guest_hash, HEADER(guest_hash) },
};

/* What a packet behind the first may hold again. */
static const uint32_t header_repeats = 1u << HEADER_ENV | 1u << HEADER_MNT | 1u << HEADER_ARGV |
				       1u << HEADER_CALL | 1u << HEADER_KARG | 1u << HEADER_MORE;

/* The version alone, before other keys may mean what we do not know. */
static int decode_version(const uint8_t *payload, size_t len, struct trace_why *why)
{
	static const struct key_row version_key[] = { { "bjt", get_version, 0 } };
	struct cbor_cursor c = { payload, payload + len };
	unsigned version = 0;
	uint32_t has = 0;
	int r = decode_map(version_key, 1, &version, &has, &c, why);

	return r ? r : has ? 0 : bad(why, "the first packet is no header: it has no key \"bjt\"");
}

int trace_header_decode(
	struct trace_header_parts *parts, const uint8_t *payload, size_t len, struct trace_why *why)
{
	struct cbor_cursor c = { payload, payload + len };
	int r = parts->has ? 0 : decode_version(payload, len, why);

	parts->has &= ~header_repeats;
	parts->more = false;
	r = r ? r : decode_map(header_keys, HEADER_COUNT, parts, &parts->has, &c, why);
	parts->header.has_guest_hash = parts->has & 1u << HEADER_GUEST;
	return r;
}

/* Absolute, and no "..": what a mount's place in the guest looks like. */
static bool is_guest_path(const char *path)
{
	if (path[0] != '/')
		return false;
	for (const char *p = path; p; p = strchr(p + 1, '/'))
		if (!strncmp(p, "/..", 3) && (p[3] == '/' || !p[3]))
			return false;
	return true;
}

int trace_header_check(const struct trace_header *header, struct trace_why *why)
{
	if (header->version < 1)
		return bad(why, "format version 0");
	if (!header->abi)
		return bad(why, "no ABI");
	if (!header->abi_version)
		return bad(why, "no ABI generation");
	if (!header->mem_size || header->mem_size % PAGE || header->mem_size > MEM_MAX)
		return bad(why, "%llu bytes of guest memory", (unsigned long long)header->mem_size);
	if (header->cwd && header->cwd[0] != '/')
		return bad(why, "the working directory is not absolute");
	for (size_t i = 0; i < header->n_mounts; i++)
		if (!is_guest_path(header->mounts[i].guest))
			return bad(why,
				"the guest's path of mount %zu is not absolute, or has a \"..\"",
				i);
	return 0;
}
