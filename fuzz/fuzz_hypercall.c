// SPDX-License-Identifier: ISC
/*
 * Any bytes as the calls of a guest (hypercall_format.h), answered by the handlers over files in memory. Inputs
 * whose first byte has both lowest bits set, a quarter, are run twice; the second time what has been read of the
 * guest's memory is another thing at once, and back when the call is answered. Beyond not crashing:
 *
 *   - memory is what the guest put there, what the sinks were told, and the result, where the row says; no byte else;
 *   - results are >= 0 or an errno that guests know;
 *   - no descriptor stays open, nothing beside the mapped directories is touched, no fifo opened;
 *   - the second time is as the first: every byte read, written and answered, and how the machine stopped.
 *
 * Memory lies between pages that nobody may touch. Inode numbers are told as 1, 2, 3 in the order of an
 * input, for the file map goes on from one to the next.
 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "abi.h"
#include "abi_uhyve.h"
#include "backend.h"
#include "cpu.h"
#include "err.h"
#include "fuzz/hypercall_host.h"
#include "fuzz/hypercall_input.h"
#include "fuzz/keep.h"
#include "hash.h"
#include "hcall.h"
#include "trace.h"
#include "vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int fuzz_print_bjt(const uint8_t *data, size_t size, FILE *out);

enum {
	TOUCHED_MAX = 64, /* ranges read in one call */
	INODES_MAX = 256,
	DENT_HEAD = 19, /* of a struct linux_dirent64, in front of the name */
	DENT_LEN_AT = 16,
	PIECE = FORMAT_SIZE / 64, /* of memory: what is looked at and put back at once */
	TABLE_PIECES = FORMAT_PAGE / PIECE,
	FD_FIRST = 3,
	ERRNO_MAX = EHWPOISON,
};

struct range {
	uint64_t gpa, len;
};

static char arg_one[] = "one", arg_empty[] = "", env_one[] = "A=1";
static char *const args[] = { arg_one, arg_empty }, *const env[] = { env_one };
enum { N_ARGS = 2, N_ENV = 4 /* as v1 tells it */, N_POINTERS = 1 + N_ARGS + N_ENV };

static struct machine {
	struct trace_sink sink; /* first: it is what the machine tells */
	struct vm *vm;
	uint8_t *mem;
	uint8_t table[FORMAT_PAGE];  /* the first page, at first; the others are zero */
	uint8_t shadow[FORMAT_SIZE]; /* what memory has to be */
	uint64_t dirty;              /* bit per piece: shadow is not as it was at first */
	struct input input;
	bool in_call;  /* its answer is still to be looked at, when it was an `in` */
	uint64_t told; /* all that was seen of this run, as a number */
	uint64_t inodes[INODES_MAX];
	unsigned n_inodes;
	int fd_max; /* of the guest's, so far */
	bool knows[ERRNO_MAX + 1];
	/* The double fetch: */
	bool attack, attackable;
	uint8_t flip;
	struct range touched[TOUCHED_MAX];
	unsigned n_touched;
} machine;

/* --- what was seen ------------------------------------------------------------------------------- */

static void tell(struct machine *m, const void *bytes, size_t len)
{
	m->told = hash_bytes(m->told, bytes, len);
}

static void tell_number(struct machine *m, uint64_t n)
{
	m->told = hash_word(m->told, n);
}

/* --- memory -------------------------------------------------------------------------------------- */

static void mark(struct machine *m, uint64_t off, size_t len)
{
	for (uint64_t piece = off / PIECE; len && piece <= (off + len - 1) / PIECE; piece++)
		m->dirty |= 1ull << piece;
}

static void expect(struct machine *m, uint64_t gpa, const void *bytes, size_t len)
{
	uint64_t off = gpa - FORMAT_RAM;

	assert(gpa >= FORMAT_RAM && off <= FORMAT_SIZE && len <= FORMAT_SIZE - off);
	memcpy(m->shadow + off, bytes, len);
	mark(m, off, len);
}

/* The guest itself writes: as much as lies in RAM. */
static void store(void *ctx, uint64_t gpa, const void *bytes, size_t len)
{
	struct machine *m = ctx;

	if (gpa < FORMAT_RAM || gpa >= FORMAT_END)
		return;
	len = len < FORMAT_END - gpa ? len : (size_t)(FORMAT_END - gpa);
	expect(m, gpa, bytes, len);
	memcpy(m->mem + (gpa - FORMAT_RAM), bytes, len);
}

static void make_memory(struct machine *m)
{
	uint8_t *all = mmap(
		NULL, FORMAT_SIZE + 2 * FORMAT_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert(all != MAP_FAILED);
	m->mem = all + FORMAT_PAGE;
	assert(!mprotect(m->mem, FORMAT_SIZE, PROT_READ | PROT_WRITE));
	input_make_tables((uint64_t *)(void *)m->table);
	memcpy(m->mem, m->table, FORMAT_PAGE);
	memcpy(m->shadow, m->table, FORMAT_PAGE);
}

static bool is_zero(const uint8_t *piece)
{
	const uint64_t *words = (const uint64_t *)(const void *)piece;
	uint64_t any = 0;

	for (size_t i = 0; i < PIECE / sizeof(any); i++)
		any |= words[i];
	return !any;
}

/*
 * Every byte is looked at; where nothing is to be found but zeroes, without the shadow, and only the last time
 * that an input is run, for nobody cleans there meanwhile.
 */
static void check_memory(const struct machine *m, bool last)
{
	assert(!memcmp(m->mem, m->shadow, FORMAT_PAGE));
	for (unsigned piece = TABLE_PIECES; piece < FORMAT_SIZE / PIECE; piece++) {
		size_t off = (size_t)piece * PIECE;

		if (m->dirty & 1ull << piece)
			assert(!memcmp(m->mem + off, m->shadow + off, PIECE));
		else if (last)
			assert(is_zero(m->mem + off));
	}
}

/* Behind each run, not in front of the next, where it would depend on another input. */
static void reset_memory(struct machine *m)
{
	for (; m->dirty; m->dirty &= m->dirty - 1) {
		unsigned piece = (unsigned)__builtin_ctzll(m->dirty);
		size_t off = (size_t)piece * PIECE;

		if (piece < TABLE_PIECES) {
			memcpy(m->shadow + off, m->table + off, PIECE);
			memcpy(m->mem + off, m->table + off, PIECE);
		} else {
			memset(m->shadow + off, 0, PIECE);
			memset(m->mem + off, 0, PIECE);
		}
	}
}

/* --- the double fetch ---------------------------------------------------------------------------- */

static bool overlap(const struct range *a, const struct range *b)
{
	return a->gpa < b->gpa + b->len && b->gpa < a->gpa + a->len;
}

static uint64_t string_len(const struct machine *m, uint64_t gpa)
{
	if (gpa < FORMAT_RAM || gpa >= FORMAT_END)
		return 0;
	return strnlen((const char *)m->shadow + (gpa - FORMAT_RAM), (size_t)(FORMAT_END - gpa)) +
	       1;
}

/* What the call is going to read besides its block; len 0: nothing. */
static struct range range_of(
	const struct machine *m, const struct hcall *call, const struct hcall_field *f)
{
	uint64_t at = hcall_field_value(call, f);

	if (f->kind == HCALL_PATH)
		return (struct range){ at, string_len(m, at) };
	if (f->kind == HCALL_POINTER && call->row->block_len)
		return (struct range){ at, 8 * (f == call->row->fields ? 1 + N_ARGS : N_ENV) };
	if (f->kind != HCALL_DATA_IN)
		return (struct range){ 0, 0 };
	if (call->row->virtual_buffers) /* pages that are swapped are all behind the block's */
		at = at - VIRTUAL_BASE + FORMAT_RAM;
	return (struct range){ at, hcall_field_value(call, f + 1) };
}

/*
 * Does this call read no byte twice because it was told to, and none of the page tables, which decide where the
 * rest is? Ranges that wrap are read by nobody.
 */
static bool reads_once(const struct machine *m, const struct hcall *call)
{
	struct range ranges[HCALL_FIELDS_MAX + 2];
	const struct hcall_field *f;
	size_t n = 0;

	if (m->dirty & ((1u << TABLE_PIECES) - 1)) /* two addresses may be one by now */
		return false;
	ranges[n++] = (struct range){ FORMAT_TABLE, FORMAT_PAGE };
	if (call->row->block_len)
		ranges[n++] = (struct range){ call->arg, call->row->block_len };
	for (f = call->row->fields; f->name; f++) {
		ranges[n] = range_of(m, call, f);
		n += ranges[n].len && ranges[n].gpa + ranges[n].len > ranges[n].gpa;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (overlap(&ranges[i], &ranges[k]))
				return false;
	return true;
}

static void change(struct machine *m, uint64_t gpa, uint64_t len)
{
	uint8_t *at, flip = m->flip;

	if (!m->attack || !m->attackable || !len || m->n_touched == TOUCHED_MAX)
		return;
	at = m->mem + (gpa - FORMAT_RAM);
	for (uint64_t i = 0; i < len; i++)
		at[i] ^= flip;
	m->touched[m->n_touched++] = (struct range){ gpa, len };
}

static void change_back(struct machine *m)
{
	for (unsigned i = 0; i < m->n_touched; i++)
		memcpy(m->mem + (m->touched[i].gpa - FORMAT_RAM),
			m->shadow + (m->touched[i].gpa - FORMAT_RAM), m->touched[i].len);
	m->n_touched = 0;
}

/* --- answers ------------------------------------------------------------------------------------- */

/* Of fileio.c, and what calls without files say. */
static const int known_errno[] = { EPERM, ENOENT, EIO, ENXIO, EBADF, ENOMEM, EACCES, EFAULT, EBUSY,
	EEXIST, EXDEV, ENODEV, ENOTDIR, EISDIR, EINVAL, ENFILE, EMFILE, ETXTBSY, EFBIG, ENOSPC,
	ESPIPE, EROFS, EMLINK, EPIPE, ENAMETOOLONG, ENOTEMPTY, ELOOP, EOVERFLOW, EOPNOTSUPP, ESTALE,
	EDQUOT, E2BIG, ENODATA };

static bool guest_knows(const struct machine *m, int64_t r)
{
	return r >= 0 || (r >= -ERRNO_MAX && m->knows[-r]);
}

/* The result's place in memory holds it, and has room. */
static void expect_at(
	struct machine *m, const struct hcall *call, unsigned at, const void *bytes, size_t len)
{
	uint64_t gpa = call->arg + call->row->ret_at + at;

	assert(call->row->ret_at + at + len <= call->row->block_len);
	expect(m, gpa, bytes, len);
	assert(!memcmp(m->mem + (gpa - FORMAT_RAM), bytes, len));
}

static void expect_number(
	struct machine *m, const struct hcall *call, unsigned at, int64_t value, size_t len)
{
	expect_at(m, call, at, &value, len);
}

static void expect_dents(struct machine *m, const struct hcall *call)
{
	int64_t r = call->result;

	expect_number(m, call, 0,
		r > 0 ? UHYVE_DENTS_SUCCESS
		: r   ? UHYVE_DENTS_ERROR
		      : UHYVE_DENTS_END,
		4);
	expect_number(m, call, 8, r < 0 ? -r : r, 8);
}

static void expect_result(struct machine *m, const struct hcall *call)
{
	int64_t r = call->result;

	switch (call->row->ret) {
	case HCALL_RET_I32:
		assert(r == (int32_t)r);
		return expect_number(m, call, 0, r, 4);
	case HCALL_RET_I64:
		return expect_number(m, call, 0, r, 8);
	case HCALL_RET_MINUS1:
		return expect_number(m, call, 0, r < 0 ? -1 : r, 8);
	case HCALL_RET_TAG:
		expect_number(m, call, 0, r < 0 ? UHYVE_RESULT_ERROR : UHYVE_RESULT_SUCCESS, 4);
		return expect_number(m, call, 4, r < 0 ? -r : 0, 4);
	case HCALL_RET_DENTS:
		return expect_dents(m, call);
	case HCALL_RET_IN: /* see next() */
	case HCALL_RET_NONE:
	case HCALL_RET_COUNT:
		return;
	}
}

/* --- what is told -------------------------------------------------------------------------------- */

static void rename_inode(struct machine *m, uint8_t *at)
{
	uint64_t ino, i = 0;

	memcpy(&ino, at, sizeof(ino));
	while (i < m->n_inodes && m->inodes[i] != ino)
		i++;
	if (i == m->n_inodes && i < INODES_MAX)
		m->inodes[m->n_inodes++] = ino;
	i++;
	memcpy(at, &i, sizeof(i));
}

static void rename_inodes(struct machine *m, const struct hcall_row *row, uint8_t *at, size_t len)
{
	enum hcall_kind kind = row->fields[1].kind;
	uint16_t entry;

	if (kind == HCALL_STAT_OUT || row->fields[2].kind == HCALL_STAT_OUT)
		return rename_inode(m, at + offsetof(struct uhyve_attr, ino));
	for (size_t i = 0; kind == HCALL_DENTS_OUT && i < len; i += entry) {
		memcpy(&entry, at + i + DENT_LEN_AT, sizeof(entry));
		assert(entry >= DENT_HEAD && entry % 8 == 0 && entry <= len - i);
		rename_inode(m, at + i);
	}
}

/* Where in RAM it is: bytes that passed in place say it themselves, for their address may be virtual. */
static uint64_t place_of(const struct machine *m, const struct trace_event *event)
{
	uintptr_t at = (uintptr_t)event->data - (uintptr_t)m->mem;

	return at < FORMAT_SIZE ? FORMAT_RAM + at : event->addr;
}

static void on_enter(struct machine *m, const struct hcall *call)
{
	m->attackable = reads_once(m, call);
	change(m, call->arg, call->row->block_len);
}

static void on_read(struct machine *m, const struct trace_event *event)
{
	tell(m, event->data, event->len);
	change(m, place_of(m, event), event->len);
}

static void on_write(struct machine *m, const struct trace_event *event)
{
	uint64_t gpa = place_of(m, event);
	uint8_t *at = m->mem + (gpa - FORMAT_RAM);

	assert(gpa >= FORMAT_RAM && event->len <= FORMAT_END - gpa);
	assert(!memcmp(at, event->data, event->len));
	if (!m->sink.next) /* who keeps them wants the real ones */
		rename_inodes(m, event->call->row, at, event->len);
	tell(m, at, event->len);
	expect(m, gpa, at, event->len);
}

/* What is to be closed behind the input. */
static void note_opened(struct machine *m, const struct hcall *call)
{
	if (call->result < 0 || trace_row_find(call->row, HCALL_OPEN_FLAGS) < 0)
		return;
	assert(call->result >= FD_FIRST);
	m->fd_max = m->fd_max > (int)call->result ? m->fd_max : (int)call->result;
}

static void on_leave(struct machine *m, const struct hcall *call)
{
	tell_number(m, (uint64_t)call->result);
	tell_number(m, call->ends ? 1 : 0);
	tell_number(m, call->fault ? 1 : 0);
	assert(guest_knows(m, call->result));
	if (!call->ends)
		expect_result(m, call);
	change_back(m);
	note_opened(m, call);
}

static void emit(struct trace_sink *sink, const struct trace_event *event)
{
	struct machine *m = (struct machine *)sink;

	switch (event->kind) {
	case TRACE_ENTER:
		return on_enter(m, event->call);
	case TRACE_READ:
		return on_read(m, event);
	case TRACE_WRITE:
		return on_write(m, event);
	case TRACE_LEAVE:
		return on_leave(m, event->call);
	case TRACE_STOP:
		tell_number(m, event->stop->kind);
		tell_number(m, (uint64_t)event->stop->code);
		return tell(m, event->stop->text, strlen(event->stop->text));
	case TRACE_EDIT:
	case TRACE_KIND_COUNT:
		return;
	}
}

/* --- runs ---------------------------------------------------------------------------------------- */

static int next(void *ctx, struct backend *b, struct vcpu_exit *exit)
{
	(void)ctx, (void)b;
	if (exit->kind == VCPU_PORT && exit->in)
		tell_number(&machine, exit->data);
	if (!input_next(&machine.input, exit))
		*exit = (struct vcpu_exit){ .kind = VCPU_DEBUG };
	return 0;
}

static void make_machine(struct machine *m)
{
	struct err err = { "" };
	struct cpu_state state;

	for (size_t i = 0; i < sizeof(known_errno) / sizeof(known_errno[0]); i++)
		m->knows[known_errno[i]] = true;
	host_make();
	make_memory(m);
	m->sink.emit = emit;
	assert(!vm_create_script(&m->vm,
		&(struct vm_script){ .abi = &abi_uhyve,
			.abi_version = 2,
			.ram_gpa = FORMAT_RAM,
			.mem_size = FORMAT_SIZE,
			.files = host.files,
			.sinks = &m->sink,
			.args = { .image_path = "guest",
				.app = args,
				.n_app = N_ARGS,
				.env = env,
				.n_env = 1 },
			.next = next },
		&err));
	gmem_finish(&m->vm->mem);
	m->vm->mem = (struct gmem){ .base = m->mem, .gpa = FORMAT_RAM, .size = FORMAT_SIZE };
	assert(!backend_save(m->vm->cpu, &state));
	state.cr3 = FORMAT_TABLE;
	state.cr0 |= CPU_CR0_WP;
	assert(!backend_load(m->vm->cpu, &state));
}

static void close_all(struct machine *m)
{
	for (int fd = FD_FIRST; fd <= m->fd_max; fd++)
		fileio_close(host.files, fd);
	assert(fileio_close(host.files, FD_FIRST) == -EBADF);
}

/* All calls of the input, though the machine stops in some. Returns what was told. last: see check_memory() */
static uint64_t run(struct machine *m, const uint8_t *data, size_t size, bool attack, bool last)
{
	m->input = (struct input){ .from = data + 1,
		.to = data + size,
		.abi = m->vm->abi,
		.n_pointers = N_POINTERS,
		.store = store,
		.ctx = m };
	m->attack = attack;
	m->flip = data[0];
	m->told = m->n_inodes = m->n_touched = 0;
	m->fd_max = 0;
	m->vm->n_calls = 0;
	m->vm->exit = (struct vcpu_exit){ 0 };
	do
		vm_run(m->vm);
	while (m->vm->stop.exit.kind != VCPU_DEBUG);
	check_memory(m, last);
	reset_memory(m);
	close_all(m);
	host_undo();
	return m->told;
}

/*
 * Once in 65,536 objects the oldest is forgotten, and numbered anew in midst of a run. What was numbered at the start
 * comes in a row: as many runs may differ, and no more.
 */
static void run_as_asked(struct machine *m, const uint8_t *data, size_t size)
{
	bool twice = (data[0] & FORMAT_TWICE) == FORMAT_TWICE;
	uint64_t first = run(m, data, size, false, !twice);
	unsigned left = HOST_NUMBERED;

	if (!twice)
		return;
	while (run(m, data, size, true, true) != first) {
		assert(left--);
		first = run(m, data, size, false, false);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine *m = &machine;

	if (!size)
		return 0;
	if (!m->vm) {
		make_machine(m);
		host_number_all();
	}
	run_as_asked(m, data, size);
	return 0;
}

/* --- as golden text ------------------------------------------------------------------------------ */

/* The objects of the mapped directories, as comments: who replays the text makes them in NAME.d. */
static void print_host(FILE *out)
{
	fputs("# in both ro/ and rw/ of its directory:\n", out);
	for (size_t i = 0; i < HOST_OBJECTS; i++) {
		const struct host_object *o = &host_objects[i];
		const char *slash = o->dir[0] ? "/" : "";

		if (o->type == S_IFREG)
			fprintf(out, "#   printf %s >%s%s%s\n", o->text, o->dir, slash, o->name);
		else if (o->type == S_IFLNK)
			fprintf(out, "#   ln -s %s %s\n", o->text, o->name);
		else
			fprintf(out, "#   %s %s\n", o->type == S_IFDIR ? "mkdir" : "mkfifo",
				o->name);
	}
}

static int print_kept(FILE *out, const struct keep *k)
{
	static char ro[] = "ro", rw[] = "rw", ro_guest[] = "/ro", rw_guest[] = "/rw", root[] = "/";
	static char guest[] = "guest", *words[] = { guest, arg_one, arg_empty },
		    *entries[] = { env_one };
	struct trace_mount mounts[] = { { .host = ro, .guest = ro_guest },
		{ .host = rw, .guest = rw_guest, .writable = true } };
	const struct trace_header header = { .version = TRACE_VERSION,
		.abi = &abi_uhyve,
		.abi_version = 2,
		.mem_size = 2 << 20,
		.argv = { words, 1 + N_ARGS },
		.env = { entries, 1 },
		.cwd = root,
		.mounts = mounts,
		.n_mounts = 2,
		.boot_time_ns = HOST_CLOCK_NS };
	struct trace_text_config config = { 0 };
	/* No end: nobody has looked at what became of the files. */
	const struct trace_record end = { .kind = TRACE_CUT };
	struct err err = { "" };
	int r = trace_text_begin(out, &header, &config, &err);

	for (size_t i = 0; !r && i < k->n; i++)
		r = trace_text_put(out, &header, &k->list[i].record, &config, &err);
	return r ? r : trace_text_put(out, &header, &end, &config, &err);
}

int fuzz_print_bjt(const uint8_t *data, size_t size, FILE *out)
{
	struct machine *m = &machine;
	struct keep keep = { .sink.emit = keep_emit };
	int r;

	if (!size)
		return -ENODATA;
	if (!m->vm)
		make_machine(m);
	m->sink.next = &keep.sink;
	run(m, data, size, false, true);
	m->sink.next = NULL;
	r = print_kept(out, &keep);
	print_host(out);
	keep_finish(&keep);
	return r;
}
