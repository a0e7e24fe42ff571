// SPDX-License-Identifier: ISC
/* Recordings written: what goes in is read back, whatever size, whenever killed, however full the disk. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "abi.h"
#include "abi_uhyve.h"
#include "cpuid_table.h"
#include "err.h"
#include "tmptree.h"
#include "trace.h"
#include "trace_read.h"
#include "trace_write.h"
#include "unit.h"
#include "vm.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

enum { MIB = 1 << 20 };

static struct tmptree dir;
static char file[80], tail[90];
static struct err err;
static uint8_t bytes[MIB + 2];
static struct trace_writer *writer;
static int n_failed;
static char failed_text[400];

static const struct hcall_row *row_of(uint16_t port)
{
	return trace_row_of_port(&abi_uhyve, port);
}

static struct trace_header header_of(void)
{
	static char *argv[] = { "guest.elf", "caf\xe9", "" };
	static char *env[] = { "A=1" }, *kernel[] = { "-v" };
	static struct trace_mount mounts[] = {
		{ .host = "in", .guest = "/in" },
		{ .host = "o\xff",
			.guest = "/out",
			.writable = true,
			.may_unlink = true,
			.no_hardlinks = true,
			.is_file = true },
	};
	static struct cpuid_entry cpuid[] = {
		{ 1, 0, false, 0x60fb1, 0, UINT32_MAX, 0x178bfbff },
		{ 0xd, 0, true, 7, 576, 832, 0 },
		{ 0xd, UINT32_MAX, true, 1, 2, 3, 4 },
	};

	return (struct trace_header){ .version = TRACE_VERSION,
		.program = "belljar test",
		.abi = &abi_uhyve,
		.abi_version = 2,
		.has_guest_hash = true,
		.guest_hash = { 1, 2, 3 },
		.mem_size = 64 * MIB,
		.argv = { argv, ARRAY_LEN(argv) },
		.env = { env, ARRAY_LEN(env) },
		.kernel_args = { kernel, ARRAY_LEN(kernel) },
		.cwd = "/in",
		.limits = { .fds = 5, .scratch_inodes = 1 << 20 },
		.utf8_paths = true,
		.mounts = mounts,
		.n_mounts = ARRAY_LEN(mounts),
		.boot_time_ns = 1704067200000000000,
		.seed = UINT64_MAX,
		.cpu = "tcg Test 1-2-3",
		.cpuid = cpuid,
		.n_cpuid = ARRAY_LEN(cpuid),
		.has_tree = true };
}

static void note_failure(void *ctx, const char *text)
{
	(void)ctx;
	n_failed++;
	snprintf(failed_text, sizeof(failed_text), "%s", text);
}

static const struct trace_writer_config config = { .failed = note_failure };

static void start(void)
{
	static const char *const nothing[] = { NULL };

	CU_ASSERT_FATAL(!tmptree_make(&dir, nothing));
	snprintf(file, sizeof(file), "%s/x.pcapng", dir.path);
	snprintf(tail, sizeof(tail), "%s.tail", file);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	err.text[0] = 0;
	n_failed = 0;
}

static void open_writer(void)
{
	struct trace_header header = header_of();

	if (trace_writer_open(&writer, file, &header, &config, &err))
		CU_FAIL_FATAL(err.text);
}

static void close_writer(void)
{
	err.text[0] = 0;
	CU_ASSERT_EQUAL(trace_writer_close(writer, &err), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
	CU_ASSERT(access(tail, F_OK) != 0);
}

static void put(const struct trace_record *record)
{
	CU_ASSERT_EQUAL(trace_writer_put(writer, record), 0);
}

static bool same_strings(const struct strings *a, const struct strings *b)
{
	bool same = a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++)
		same = !strcmp(a->list[i], b->list[i]);
	return same;
}

static bool same_mounts(const struct trace_header *a, const struct trace_header *b)
{
	bool same = a->n_mounts == b->n_mounts;

	for (size_t i = 0; same && i < a->n_mounts; i++) {
		const struct trace_mount *x = &a->mounts[i], *y = &b->mounts[i];

		same = !strcmp(x->host, y->host) && !strcmp(x->guest, y->guest) &&
		       x->writable == y->writable && x->may_unlink == y->may_unlink &&
		       x->no_hardlinks == y->no_hardlinks && x->is_file == y->is_file;
	}
	return same;
}

static bool same_cpuid(const struct trace_header *a, const struct trace_header *b)
{
	bool same = a->n_cpuid == b->n_cpuid;

	for (size_t i = 0; same && i < a->n_cpuid; i++) {
		const struct cpuid_entry *x = &a->cpuid[i], *y = &b->cpuid[i];

		same = x->leaf == y->leaf && x->subleaf == y->subleaf &&
		       x->has_subleaf == y->has_subleaf && x->eax == y->eax && x->ebx == y->ebx &&
		       x->ecx == y->ecx && x->edx == y->edx;
	}
	return same;
}

static void check_header(const struct trace_header *got, const struct trace_header *want)
{
	CU_ASSERT_EQUAL(got->version, want->version);
	CU_ASSERT_STRING_EQUAL(got->program, want->program);
	CU_ASSERT_PTR_EQUAL(got->abi, want->abi);
	CU_ASSERT_EQUAL(got->abi_version, want->abi_version);
	CU_ASSERT(got->has_guest_hash);
	CU_ASSERT(!memcmp(got->guest_hash, want->guest_hash, TRACE_HASH_LEN));
	CU_ASSERT_EQUAL(got->mem_size, want->mem_size);
	CU_ASSERT(same_strings(&got->argv, &want->argv));
	CU_ASSERT(same_strings(&got->env, &want->env));
	CU_ASSERT(same_strings(&got->kernel_args, &want->kernel_args));
	CU_ASSERT_STRING_EQUAL(got->cwd, want->cwd);
	CU_ASSERT(!memcmp(&got->limits, &want->limits, sizeof(got->limits)));
	CU_ASSERT_EQUAL(got->utf8_paths, want->utf8_paths);
	CU_ASSERT(same_mounts(got, want));
	CU_ASSERT_EQUAL(got->boot_time_ns, want->boot_time_ns);
	CU_ASSERT_EQUAL(got->seed, want->seed);
	CU_ASSERT_STRING_EQUAL(got->cpu, want->cpu);
	CU_ASSERT(same_cpuid(got, want));
	CU_ASSERT_EQUAL(got->has_tree, want->has_tree);
}

static bool same_bytes(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	return a_len == b_len && (!a_len || !memcmp(a, b, a_len));
}

static bool same_call(const struct trace_record *a, const struct trace_record *b)
{
	return a->seq == b->seq && a->time_ns == b->time_ns && a->duration_ns == b->duration_ns &&
	       a->rip == b->rip && a->port == b->port && a->row == b->row &&
	       !memcmp(a->args, b->args, sizeof(a->args)) && a->result == b->result &&
	       a->ends == b->ends && a->fault == b->fault &&
	       same_bytes(a->in, a->in_len, b->in, b->in_len) &&
	       same_bytes(a->out, a->out_len, b->out, b->out_len);
}

static bool same_tree(const struct tree_entry *a, const struct tree_entry *b)
{
	return a->kind == b->kind && a->mount == b->mount && a->mode == b->mode &&
	       a->same == b->same && a->xdev == b->xdev && a->size == b->size &&
	       !memcmp(a->hash, b->hash, TRACE_HASH_LEN) &&
	       same_bytes(a->path, a->path_len, b->path, b->path_len) &&
	       same_bytes(a->target, a->target_len, b->target, b->target_len);
}

static bool same_edit(const struct trace_record *a, const struct trace_record *b)
{
	const struct trace_edit *x = &a->edit, *y = &b->edit;

	return x->calls == y->calls && x->held == y->held && x->insns == y->insns &&
	       x->happened == y->happened && x->rip == y->rip && !x->reg == !y->reg &&
	       (!x->reg || !strcmp(x->reg, y->reg)) && x->gpa == y->gpa &&
	       same_bytes(a->out, a->out_len, b->out, b->out_len);
}

static bool same_record(const struct trace_record *a, const struct trace_record *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == TRACE_CALL)
		return same_call(a, b);
	if (a->kind == TRACE_EDITED)
		return same_edit(a, b);
	if (a->kind == TRACE_BLOB)
		return !memcmp(a->tree.hash, b->tree.hash, TRACE_HASH_LEN) &&
		       same_bytes(a->in, a->in_len, b->in, b->in_len);
	if (a->kind == TRACE_END)
		return a->stop_kind == b->stop_kind && a->stop_code == b->stop_code &&
		       !strcmp(a->stop_text, b->stop_text);
	return same_tree(&a->tree, &b->tree);
}

/* A name and a blob for a tree entry. */
#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

static struct trace_record read_call(uint64_t seq, size_t in_len, size_t out_len)
{
	return (struct trace_record){ .kind = TRACE_CALL,
		.seq = seq,
		.time_ns = 1704067200123456789 + seq,
		.duration_ns = seq * 77777,
		.rip = 0xffffffff80001234,
		.port = UHYVE_V2_READ,
		.row = row_of(UHYVE_V2_READ),
		.args = { (uint64_t)-1, 0x123456789ab, out_len },
		.result = (int64_t)out_len,
		.in = bytes + 1,
		.in_len = in_len,
		.out = bytes,
		.out_len = out_len };
}

static void reads_back_every_kind_of_record(void)
{
	struct trace_header header = header_of();
	struct trace_record records[] = {
		{ .kind = TRACE_BLOB, .tree.hash = { 9 }, .in = bytes, .in_len = 10 },
		{ .kind = TRACE_BLOB, .tree.hash = { 8 }, .in = bytes, .in_len = 200000 },
		{ .kind = TRACE_BLOB, .tree.hash = { 7 }, .in_len = 0 },
		{ .kind = TRACE_BEFORE, .tree = { TREE_DIR, 0, 0755, .path = BYTES("") } },
		{ .kind = TRACE_BEFORE,
			.tree = { TREE_FILE, 0, 0644, 10, { 9 }, .path = BYTES("caf\xe9\n") } },
		{ .kind = TRACE_BEFORE,
			.tree = { TREE_LINK, 0, 0777, .path = BYTES("l"),
				.target = BYTES("/etc") } },
		{ .kind = TRACE_BEFORE, .tree = { TREE_FIFO, 1, 04600, .path = BYTES("d/f") } },
		{ .kind = TRACE_BEFORE,
			.tree = { TREE_FIFO, 1, 04600, .path = BYTES("d/g"), .same = 4 } },
		{ .kind = TRACE_BEFORE, .tree = { TREE_SOCKET, 1, 0600, .path = BYTES("s") } },
		{ .kind = TRACE_BEFORE,
			.tree = { TREE_DEVICE, 1, 0600, .path = BYTES("x"), .xdev = true } },
		read_call(0, 3, 5),
		read_call(1, 0, 0),
		read_call(UINT32_MAX, 0, 0),
		{ .kind = TRACE_EDITED,
			.edit = { .calls = 3,
				.insns = UINT64_MAX,
				.happened = 7,
				.rip = 5,
				.reg = "xmm15" },
			.out = bytes,
			.out_len = 16 },
		{ .kind = TRACE_EDITED,
			.edit = { .calls = 3, .insns = 0, .reg = "eflags" },
			.out = bytes,
			.out_len = 4 },
		{ .kind = TRACE_EDITED,
			.edit = { .calls = 3, .held = true, .gpa = UINT64_MAX },
			.out = bytes,
			.out_len = TRACE_BLOCK_MAX },
		{ .kind = TRACE_AFTER,
			.tree = { TREE_FILE, 1, 0600, 1ull << 40, { 5 }, .path = BYTES("new") } },
		{ .kind = TRACE_AFTER, .tree = { TREE_NONE, 0, .path = BYTES("gone") } },
		{ .kind = TRACE_END, .stop_kind = VM_CRASHED, .stop_code = -1, .stop_text = "why" },
	};
	struct trace_reader *reader;
	struct trace_record got;

	start();
	records[11].result = -ENOENT;
	records[11].fault = true;
	records[12].result = INT64_MIN;
	records[12].ends = true;
	records[12].args[2] = UINT64_MAX;
	open_writer();
	for (size_t i = 0; i < ARRAY_LEN(records); i++)
		put(&records[i]);
	CU_ASSERT_EQUAL(trace_writer_count(writer), 3);
	records[13].out_len = TRACE_BLOCK_MAX + 1;
	CU_ASSERT_EQUAL(trace_writer_put(writer, &records[13]), -E2BIG);
	records[13].out_len = 16;
	close_writer();
	CU_ASSERT_EQUAL_FATAL(trace_reader_open(&reader, file, &err), 0);
	check_header(trace_reader_header(reader), &header);
	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		if (trace_reader_next(reader, &got, &err) != 1)
			CU_FAIL_FATAL(err.text);
		if (!same_record(&got, &records[i]))
			printf("     record %zu differs\n", i);
		CU_ASSERT(same_record(&got, &records[i]));
	}
	CU_ASSERT_EQUAL(got.seq, 3);
	CU_ASSERT_EQUAL(trace_reader_next(reader, &got, &err), 0);
	trace_reader_close(reader);
	tmptree_remove(&dir);
}

static const size_t sizes[] = { 0, 1, 65535, 65536, 65537, 131072, MIB };

static void reads_back_payloads_of_any_size(void)
{
	struct trace_reader *reader;
	struct trace_record got, want;
	uint64_t seq = 0;

	start();
	open_writer();
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (size_t o = 0; o < ARRAY_LEN(sizes); o++) {
			want = read_call(seq++, sizes[i], sizes[o]);
			put(&want);
		}
	close_writer();
	seq = 0;
	CU_ASSERT_EQUAL_FATAL(trace_reader_open(&reader, file, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (size_t o = 0; o < ARRAY_LEN(sizes); o++) {
			if (trace_reader_next(reader, &got, &err) != 1)
				CU_FAIL_FATAL(err.text);
			want = read_call(seq++, sizes[i], sizes[o]);
			CU_ASSERT(same_record(&got, &want));
		}
	CU_ASSERT_EQUAL(trace_reader_next(reader, &got, &err), 1);
	CU_ASSERT_EQUAL(got.kind, TRACE_CUT);
	trace_reader_close(reader);
	tmptree_remove(&dir);
}

/* Every block's two lengths agree, none is above Wireshark's limit, and the last ends where the file does. */
static void is_well_formed_pcapng(void)
{
	static uint8_t all[8 * MIB];
	struct trace_record call = read_call(0, MIB, MIB + 1);
	uint32_t head[2], len, caplen, at = 0;
	size_t size;
	FILE *f;

	start();
	open_writer();
	put(&call);
	close_writer();
	f = fopen(file, "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	size = fread(all, 1, sizeof(all), f);
	fclose(f);
	while (at < size) {
		memcpy(head, all + at, sizeof(head));
		CU_ASSERT_FATAL(head[1] >= 12 && !(head[1] & 3) && head[1] <= size - at);
		memcpy(&len, all + at + head[1] - 4, sizeof(len));
		CU_ASSERT_EQUAL(len, head[1]);
		if (head[0] == 6) {
			memcpy(&caplen, all + at + 20, sizeof(caplen));
			CU_ASSERT(caplen <= 262144);
			CU_ASSERT_EQUAL(head[1], 32 + ((caplen + 3) & ~3u));
		}
		at += head[1];
	}
	CU_ASSERT_EQUAL(at, size);
	tmptree_remove(&dir);
}

/* --- as a sink ---------------------------------------------------------------------------------- */

static struct hcall call;

static void tell(const struct trace_event *event)
{
	struct trace_sink *sink = trace_writer_sink(writer);

	sink->emit(sink, event);
}

static void enter(uint16_t port, uint64_t seq)
{
	call = (struct hcall){ .row = row_of(port), .seq = seq, .rip = 0x1000 + seq };
}

static void tell_kind(enum trace_kind kind)
{
	tell(&(struct trace_event){ .kind = kind, .call = &call });
}

static void tell_data(enum trace_kind kind, uint64_t addr, const void *data, size_t len)
{
	tell(&(struct trace_event){
		.kind = kind, .call = &call, .addr = addr, .data = data, .len = len });
}

static void tell_open(uint64_t seq, const char *path, size_t len, int result)
{
	struct uhyve_open block = { .name = 0x5000, .flags = 1, .mode = 0600 };

	enter(UHYVE_V2_OPEN, seq);
	memcpy(call.block, &block, sizeof(block));
	tell_kind(TRACE_ENTER);
	tell_data(TRACE_READ, 0x5000, path, len);
	call.result = result;
	tell_kind(TRACE_LEAVE);
}

static void tell_read(uint64_t seq, size_t len, size_t piece)
{
	struct uhyve_v2_read block = { .fd = 3, .buf = 0x7000, .len = len };

	enter(UHYVE_V2_READ, seq);
	memcpy(call.block, &block, sizeof(block));
	tell_kind(TRACE_ENTER);
	for (size_t at = 0; at < len; at += piece)
		tell_data(
			TRACE_WRITE, 0x7000 + at, bytes + at, piece < len - at ? piece : len - at);
	call.result = (int64_t)len;
	tell_kind(TRACE_LEAVE);
}

static void tell_stop(enum vm_stop_kind kind, int code)
{
	struct vm_stop stop = { .kind = kind, .code = code };

	tell(&(struct trace_event){ .kind = TRACE_STOP, .stop = &stop });
}

static void tell_edit(const struct trace_edit *edit, const void *data, size_t len)
{
	tell(&(struct trace_event){ .kind = TRACE_EDIT, .edit = edit, .data = data, .len = len });
}

/* The next record of the reader, which must be of this kind. */
static struct trace_record next(struct trace_reader *reader, enum trace_record_kind kind)
{
	struct trace_record got = { 0 };

	if (trace_reader_next(reader, &got, &err) != 1) {
		printf("     %s\n", err.text);
		CU_FAIL_FATAL("no record");
	}
	CU_ASSERT_EQUAL_FATAL(got.kind, kind);
	return got;
}

static struct trace_reader *open_reader(const char *path)
{
	struct trace_reader *reader = NULL;

	if (trace_reader_open(&reader, path, &err))
		CU_FAIL_FATAL(err.text);
	return reader;
}

static void records_what_a_machine_tells(void)
{
	static char path[HCALL_STRING_MAX];
	struct trace_reader *reader;
	struct trace_record got;

	start();
	memset(path, 'p', sizeof(path));
	open_writer();
	tell_open(0, "/a/b", 5, -ENOENT);
	tell_open(1, "", 1, 3);
	tell_open(2, path, sizeof(path), -ENAMETOOLONG);
	tell_read(3, 70000, 4096);
	enter(UHYVE_V2_EXIT, 4);
	call.ends = call.fault = true;
	tell_kind(TRACE_ENTER);
	tell_kind(TRACE_LEAVE);
	tell_stop(VM_DEBUG, 1);
	tell_stop(VM_EXITED, 42);
	close_writer();
	reader = open_reader(file);
	got = next(reader, TRACE_CALL);
	CU_ASSERT_EQUAL(got.args[0], 0x5000);
	CU_ASSERT_EQUAL(got.args[2], 0600);
	CU_ASSERT_EQUAL(got.rip, 0x1000);
	CU_ASSERT_EQUAL(got.result, -ENOENT);
	CU_ASSERT(same_bytes(got.in, got.in_len, (const uint8_t *)"/a/b", 4));
	CU_ASSERT(got.time_ns > 1600000000000000000);
	CU_ASSERT(got.duration_ns < 1000000000000);
	got = next(reader, TRACE_CALL);
	CU_ASSERT_EQUAL(got.in_len, 0);
	got = next(reader, TRACE_CALL);
	CU_ASSERT(same_bytes(got.in, got.in_len, (const uint8_t *)path, sizeof(path)));
	got = next(reader, TRACE_CALL);
	CU_ASSERT(same_bytes(got.out, got.out_len, bytes, 70000));
	got = next(reader, TRACE_CALL);
	CU_ASSERT(got.ends && got.fault);
	got = next(reader, TRACE_END);
	CU_ASSERT_EQUAL(got.seq, 5);
	CU_ASSERT_EQUAL(got.stop_kind, VM_EXITED);
	CU_ASSERT_EQUAL(got.stop_code, 42);
	trace_reader_close(reader);
	tmptree_remove(&dir);
}

/* It is there at once, and of no harm to a call that is given up for it. */
static void records_what_a_debugger_writes(void)
{
	const struct trace_edit reg = { .insns = 12, .rip = 0x1000, .reg = "rax" };
	const struct trace_edit memory = { .calls = 1, .held = true, .gpa = 0x201000 };
	struct trace_reader *reader;
	struct trace_record got;

	start();
	open_writer();
	tell_edit(&reg, bytes, 8);
	tell_open(0, "/a", 3, 3);
	enter(UHYVE_V2_READ, 1);
	tell_kind(TRACE_ENTER);
	tell_data(TRACE_WRITE, 0x7000, bytes, 100000);
	tell_edit(&memory, bytes + 3, 5);
	reader = open_reader(file);
	got = next(reader, TRACE_EDITED);
	CU_ASSERT(!got.edit.calls && got.edit.insns == 12 && got.edit.rip == 0x1000);
	CU_ASSERT_STRING_EQUAL(got.edit.reg, "rax");
	CU_ASSERT(same_bytes(got.out, got.out_len, bytes, 8));
	CU_ASSERT(got.time_ns > 1600000000000000000);
	next(reader, TRACE_CALL);
	got = next(reader, TRACE_EDITED);
	CU_ASSERT(got.edit.held && !got.edit.reg && got.edit.gpa == 0x201000);
	CU_ASSERT(same_bytes(got.out, got.out_len, bytes + 3, 5));
	next(reader, TRACE_CUT);
	trace_reader_close(reader);
	tell_read(1, 10, 10);
	tell_stop(VM_EXITED, 0);
	CU_ASSERT_EQUAL(trace_writer_count(writer), 2);
	close_writer();
	tmptree_remove(&dir);
}

/* A call that never came to its end, however large, leaves no trace in the next one. */
static void forgets_a_call_that_was_interrupted(void)
{
	struct trace_reader *reader;
	struct trace_record got;

	start();
	open_writer();
	tell_read(0, 10, 10);
	for (int i = 0; i < 2; i++) {
		enter(UHYVE_V2_READ, 1);
		tell_kind(TRACE_ENTER);
		tell_data(TRACE_WRITE, 0x7000, bytes, i ? MIB : 100);
	}
	tell_read(2, MIB, MIB);
	tell_read(3, 10, 10);
	enter(UHYVE_V2_READ, 4);
	tell_kind(TRACE_ENTER);
	tell_data(TRACE_WRITE, 0x7000, bytes, MIB);
	tell_stop(VM_KICKED, 0);
	close_writer();
	reader = open_reader(file);
	CU_ASSERT_EQUAL(next(reader, TRACE_CALL).seq, 0);
	got = next(reader, TRACE_CALL);
	CU_ASSERT_EQUAL(got.seq, 2);
	CU_ASSERT(same_bytes(got.out, got.out_len, bytes, MIB));
	CU_ASSERT_EQUAL(next(reader, TRACE_CALL).out_len, 10);
	CU_ASSERT_EQUAL(next(reader, TRACE_END).seq, 3);
	trace_reader_close(reader);
	tmptree_remove(&dir);
}

/* --- killed ------------------------------------------------------------------------------------- */

static void copy(const char *from, const char *to)
{
	char command[400];

	snprintf(command, sizeof(command), "cp %s %s", from, to);
	CU_ASSERT_EQUAL_FATAL(system(command), 0);
}

/* What a reader makes of FILE and tail as they are: n calls, and one in flight or none. */
static void check_as_killed(uint64_t n, bool in_flight)
{
	char as_is[90], as_is_tail[100];
	struct trace_reader *reader;
	struct trace_record got;

	snprintf(as_is, sizeof(as_is), "%s.copy", file);
	snprintf(as_is_tail, sizeof(as_is_tail), "%s.tail", as_is);
	copy(file, as_is);
	copy(tail, as_is_tail);
	reader = open_reader(as_is);
	for (uint64_t i = 0; i < n; i++)
		CU_ASSERT_EQUAL(next(reader, TRACE_CALL).seq, i);
	if (in_flight) {
		got = next(reader, TRACE_PENDING);
		CU_ASSERT_EQUAL(got.seq, n);
		CU_ASSERT_EQUAL(got.port, call.row->port);
		CU_ASSERT_EQUAL(got.rip, call.rip);
		CU_ASSERT_EQUAL(got.args[1], 0x7000);
	}
	next(reader, TRACE_CUT);
	trace_reader_close(reader);
}

static void can_be_read_at_any_moment(void)
{
	static const size_t lens[] = { 0, 100, 65536, 65537, 150000, 3, MIB, 40000, 5 };
	struct uhyve_v2_read block = { .fd = 3, .buf = 0x7000 };
	uint64_t seq = 0;

	start();
	open_writer();
	check_as_killed(0, false);
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < ARRAY_LEN(lens); i++, seq++) {
			enter(UHYVE_V2_READ, seq);
			block.len = lens[i];
			memcpy(call.block, &block, sizeof(block));
			tell_kind(TRACE_ENTER);
			check_as_killed(seq, true);
			tell_data(TRACE_WRITE, 0x7000, bytes, lens[i]);
			check_as_killed(seq, true);
			call.result = (int64_t)lens[i];
			tell_kind(TRACE_LEAVE);
			check_as_killed(seq + 1, false);
		}
	close_writer();
	tmptree_remove(&dir);
}

enum { KILLS = 60 };

/* Calls of all sizes for ever; says how many it has finished. */
static void record_for_ever(volatile uint64_t *finished)
{
	open_writer();
	for (uint64_t seq = 0;; seq++) {
		size_t len = seq % 97 == 96 ? 150000 : seq % 31 == 30 ? 70000 : seq * 37 % 700;

		tell_read(seq, len, len ? len : 1);
		__atomic_store_n(finished, seq + 1, __ATOMIC_RELEASE);
	}
}

static void check_killed(uint64_t finished)
{
	struct trace_reader *reader = open_reader(file);
	struct trace_record got;
	uint64_t n = 0;

	while (trace_reader_next(reader, &got, &err) == 1 && got.kind == TRACE_CALL) {
		CU_ASSERT_EQUAL(got.seq, n);
		CU_ASSERT_EQUAL(got.out_len, (size_t)got.result);
		CU_ASSERT(!memcmp(got.out ? got.out : bytes, bytes, got.out_len));
		n++;
	}
	if (got.kind == TRACE_PENDING) {
		CU_ASSERT_EQUAL(got.seq, n);
		next(reader, TRACE_CUT);
	} else {
		CU_ASSERT_EQUAL(got.kind, TRACE_CUT);
	}
	if (n != finished && n != finished + 1)
		printf("     %llu calls of %llu\n", (unsigned long long)n,
			(unsigned long long)finished);
	CU_ASSERT(n == finished || n == finished + 1);
	trace_reader_close(reader);
}

static void loses_no_finished_call_to_sigkill(void)
{
	volatile uint64_t *finished =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	start();
	for (int i = 0; i < KILLS; i++) {
		pid_t child;

		*finished = 0;
		fflush(stdout);
		child = fork();
		CU_ASSERT_FATAL(child >= 0);
		if (!child)
			record_for_ever(finished);
		while (!__atomic_load_n(finished, __ATOMIC_ACQUIRE)) {
			CU_ASSERT_FATAL(waitpid(child, NULL, WNOHANG) == 0);
			usleep(100);
		}
		usleep((useconds_t)(i * 7919 % 5000));
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		check_killed(*finished);
		if (i % 2) { /* the other half is recorded over */
			CU_ASSERT_EQUAL(trace_recover(file, &err), 1);
			CU_ASSERT(access(tail, F_OK) != 0);
			check_killed(*finished);
		}
	}
	munmap((void *)(uintptr_t)finished, 4096);
	tmptree_remove(&dir);
}

/* --- what goes wrong ---------------------------------------------------------------------------- */

static rlim_t limit_file_size(rlim_t size)
{
	struct rlimit limit;
	rlim_t old;

	getrlimit(RLIMIT_FSIZE, &limit);
	old = limit.rlim_cur;
	limit.rlim_cur = size;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
	return old;
}

/* Calls of len bytes until the file may not grow any more, and some beyond. Calls that were recorded. */
static uint64_t fill(size_t len)
{
	rlim_t old = limit_file_size(3000000);
	uint64_t seq = 0, n;

	open_writer();
	while (!trace_writer_broken(writer) && seq < 100000)
		tell_read(seq++, len, len);
	CU_ASSERT(trace_writer_broken(writer));
	n = trace_writer_count(writer);
	CU_ASSERT_EQUAL(n, seq - 1);
	CU_ASSERT_EQUAL(n_failed, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(failed_text, "x.pcapng: File too large"));
	CU_ASSERT_PTR_NULL(strchr(failed_text, '\n'));
	tell_read(seq, 10, 10);
	tell_stop(VM_EXITED, 0);
	CU_ASSERT_EQUAL(n_failed, 1);
	CU_ASSERT_EQUAL(
		trace_writer_put(writer, &(struct trace_record){ .kind = TRACE_BLOB, .in = bytes }),
		-EFBIG);
	CU_ASSERT_EQUAL(trace_writer_close(writer, &err), -EFBIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "File too large"));
	limit_file_size(old);
	return n;
}

static void check_filled(uint64_t n)
{
	struct trace_reader *reader = open_reader(file);
	struct trace_record got = { 0 };
	uint64_t calls = 0;

	while (trace_reader_next(reader, &got, &err) == 1 && got.kind == TRACE_CALL)
		calls++;
	CU_ASSERT_EQUAL(calls, n);
	CU_ASSERT(got.kind == TRACE_PENDING || got.kind == TRACE_CUT);
	trace_reader_close(reader);
}

static void keeps_what_there_is_when_the_disk_is_full(void)
{
	static const size_t lens[] = { 0, 300, 60000, 200000, MIB };

	signal(SIGXFSZ, SIG_IGN);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		uint64_t n;

		start();
		n = fill(lens[i]);
		check_filled(n);
		trace_recover(file, &err);
		check_filled(n);
		CU_ASSERT(access(tail, F_OK) != 0);
		tmptree_remove(&dir);
	}
}

static void check_refused(const char *path, const char *why)
{
	struct trace_header header = header_of();

	err.text[0] = 0;
	CU_ASSERT(trace_writer_open(&writer, path, &header, &config, &err) < 0);
	if (!strstr(err.text, why))
		printf("     %s: %s\n", path, err.text);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, why));
}

static void refuses_what_cannot_hold_a_recording(void)
{
	static const struct {
		const char *name, *why;
	} table[] = {
		{ "dir", "Is a directory" },
		{ "no/where", "No such file" },
		{ "fifo", "no regular file" },
		{ "taken", "something else is there" },
		{ "dirtail", "something else is there" },
		{ "linktail", "something else is there" },
	};
	static const char *const lines[] = { "d dir", "p fifo", "f taken.tail my letters",
		"d dirtail.tail", "l linktail.tail fifo", NULL };
	int fds = tmptree_open_fds();
	struct stat st;
	char path[200];

	start();
	for (size_t i = 0; lines[i]; i++)
		CU_ASSERT_FATAL(!tmptree_add(&dir, lines[i]));
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir.path, table[i].name);
		check_refused(path, table[i].why);
	}
	check_refused("/dev/null", "no regular file");
	snprintf(path, sizeof(path), "%s/taken.tail", dir.path);
	CU_ASSERT(!stat(path, &st) && st.st_size == 10);
	snprintf(path, sizeof(path), "%s/taken", dir.path);
	CU_ASSERT(access(path, F_OK) != 0);
	open_writer();
	check_refused(file, "by another process");
	close_writer();
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	tmptree_remove(&dir);
}

static void needs_room_for_its_tail(void)
{
	rlim_t old;

	start();
	signal(SIGXFSZ, SIG_IGN);
	old = limit_file_size(100000);
	check_refused(file, "no room for 1024 KiB");
	limit_file_size(old);
	CU_ASSERT(access(file, F_OK) != 0);
	CU_ASSERT(access(tail, F_OK) != 0);
	tmptree_remove(&dir);
}

/* Flushed again and again; what does not fit breaks it, and what came before stays. */
static void makes_do_with_a_small_tail(void)
{
	enum { SMALL = 24 << 10, CALLS = 40 };
	const struct trace_writer_config small = { .failed = note_failure, .tail_size = SMALL };
	struct trace_header header = header_of();
	struct trace_record record;
	struct trace_reader *reader;
	struct stat st;

	start();
	CU_ASSERT_EQUAL_FATAL(trace_writer_open(&writer, file, &header, &small, &err), 0);
	CU_ASSERT(!stat(tail, &st) && st.st_size == SMALL);
	for (int i = 0; i < CALLS; i++) {
		record = read_call((uint64_t)i, 3, 5000);
		put(&record);
	}
	record = read_call(CALLS, 0, SMALL);
	CU_ASSERT_EQUAL(trace_writer_put(writer, &record), -E2BIG);
	CU_ASSERT_EQUAL(n_failed, 1);
	CU_ASSERT(trace_writer_broken(writer));
	CU_ASSERT_EQUAL(trace_writer_close(writer, &err), -E2BIG);
	reader = open_reader(file);
	check_header(trace_reader_header(reader), &header);
	for (int i = 0; i < CALLS; i++)
		next(reader, TRACE_CALL);
	next(reader, TRACE_CUT);
	trace_reader_close(reader);
	CU_ASSERT_EQUAL(trace_writer_open(&writer, file, &header,
				&(struct trace_writer_config){ .tail_size = 1 }, &err),
		-E2BIG);
	tmptree_remove(&dir);
}

static void does_without_a_tail(void)
{
	const struct trace_writer_config none = { .no_tail = true };
	struct trace_header header = header_of();
	struct trace_record record = read_call(0, 3, MIB);
	struct trace_reader *reader;

	start();
	CU_ASSERT_EQUAL_FATAL(trace_writer_open(&writer, file, &header, &none, &err), 0);
	CU_ASSERT(access(tail, F_OK) != 0);
	put(&record);
	close_writer();
	reader = open_reader(file);
	check_header(trace_reader_header(reader), &header);
	next(reader, TRACE_CALL);
	next(reader, TRACE_CUT);
	trace_reader_close(reader);
	tmptree_remove(&dir);
}

static void splits_a_header_that_is_large(void)
{
	enum { N = 3000, LEN = 120 };
	static char text[N][LEN], *list[N], huge[200000];
	struct trace_header header = header_of();
	struct trace_reader *reader;

	start();
	for (int i = 0; i < N; i++) {
		snprintf(text[i], LEN, "V%d=%090d", i, i);
		list[i] = text[i];
	}
	header.env = (struct strings){ list, N };
	CU_ASSERT_EQUAL_FATAL(trace_writer_open(&writer, file, &header, &config, &err), 0);
	tell_read(0, 1, 1);
	close_writer();
	reader = open_reader(file);
	check_header(trace_reader_header(reader), &header);
	next(reader, TRACE_CALL);
	trace_reader_close(reader);
	memset(huge, 'x', sizeof(huge) - 1);
	list[5] = huge;
	CU_ASSERT_EQUAL(trace_writer_open(&writer, file, &header, &config, &err), -E2BIG);
	tmptree_remove(&dir);
}

static const struct unit_case cases[] = {
	{ "reads_back_every_kind_of_record", reads_back_every_kind_of_record },
	{ "reads_back_payloads_of_any_size", reads_back_payloads_of_any_size },
	{ "is_well_formed_pcapng", is_well_formed_pcapng },
	{ "records_what_a_machine_tells", records_what_a_machine_tells },
	{ "records_what_a_debugger_writes", records_what_a_debugger_writes },
	{ "forgets_a_call_that_was_interrupted", forgets_a_call_that_was_interrupted },
	{ "can_be_read_at_any_moment", can_be_read_at_any_moment },
	{ "loses_no_finished_call_to_sigkill", loses_no_finished_call_to_sigkill },
	{ "keeps_what_there_is_when_the_disk_is_full", keeps_what_there_is_when_the_disk_is_full },
	{ "refuses_what_cannot_hold_a_recording", refuses_what_cannot_hold_a_recording },
	{ "needs_room_for_its_tail", needs_room_for_its_tail },
	{ "makes_do_with_a_small_tail", makes_do_with_a_small_tail },
	{ "does_without_a_tail", does_without_a_tail },
	{ "splits_a_header_that_is_large", splits_a_header_that_is_large },
};

UNIT_MAIN("trace_write", cases)
