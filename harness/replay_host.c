// SPDX-License-Identifier: ISC
/*
 * Replay in the guest's place: a script asks what the recorded guest asked, the handlers answer over a fresh
 * copy of the host tree, and every answer is compared. No CPU, no image.
 *
 * The script's memory, at addresses of its own: nothing of the guest's is left but what passed through its
 * buffers. A buffer lies at DATA; one through which a fault cut the way lies so that as many bytes as passed
 * are in front of the end of RAM. Pages map to themselves, up to that end.
 *
 * Nothing that a hostile trace asks for makes this cost more than the trace is large, but for excess_max:
 * a length far above what was recorded to pass is cut to one byte more than that, enough to see a difference.
 */
#include "replay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"
#include "cleanup.h"
#include "err.h"
#include "log.h"
#include "fileio.h"
#include "hostfs_xdev.h"
#include "replay_check.h"
#include "session.h"
#include "trace_read.h"
#include "tree.h"
#include "vm.h"

enum {
	RAM = 0x100000,
	BLOCK = RAM,
	PATH = RAM + 0x1000, /* and a NUL */
	ATTR = RAM + 0x3000, /* what the host fills in besides data */
	PML4 = RAM + 0x4000,
	PDPT = RAM + 0x5000,
	PD = RAM + 0x6000,
	POINTERS = RAM + 0x8000, /* an array of addresses, for calls that ask where to put things */
	DATA = RAM + 0x100000,
	POINTERS_MAX = (DATA - POINTERS) / 8,
	OUTSIDE = 0,
	GUEST_UMASK = 022,
	ENTRY_PAGE = 0x83, /* present, writable, a page: SDM 3A 4.5 */
	ENTRY_TABLE = 0x3,
	CONSOLE_IN = 0,
	CONSOLE_ERR = 2,
	SPARE_POINTERS = 16, /* an ABI may add to arguments and environment */
};

static const uint64_t excess_max = 64 << 20; /* bytes in all that the host may be let do in vain */
static const uint64_t tree_limit = 4ull << 30;

struct host_replay {
	const struct replay_host_options *o;
	const char *name;
	struct trace_reader *reader;
	const struct trace_header *header;
	struct err *err;
	struct tree_copy copy;
	struct tree before, after; /* after: the recorded differences */
	struct fileio *files;
	struct vm *vm;
	uint64_t end; /* of RAM */
	int console;  /* what the guest reads as its console */
	bool console_used;
	struct replay_check check;
	struct replay_result *result; /* somebody may look at how far we are */
	struct trace_record record;
	struct vm_stop stop; /* of the last call */
	bool done;
	int r; /* why it ended before its time */
};

/* --- questions ----------------------------------------------------------------------------------- */

static int field_of_data(const struct hcall_row *row)
{
	int i = trace_row_find(row, HCALL_DATA_IN);

	return i >= 0 ? i : trace_row_find(row, HCALL_DATA_OUT);
}

/* Does this call write to the console? */
static bool writes_console(const struct trace_record *record)
{
	const struct hcall_field *f = record->row->fields;
	int fd;

	if (f[0].kind == HCALL_BYTE)
		return true;
	if (!trace_row_has(record->row, HCALL_DATA_IN))
		return false;
	fd = trace_row_find(record->row, HCALL_FD);
	return fd < 0 || (record->args[fd] > CONSOLE_IN && record->args[fd] <= CONSOLE_ERR);
}

static bool reads_console(const struct trace_record *record)
{
	struct hcall call;

	trace_call_of_record(&call, record);
	return hcall_reads_console(&call);
}

/* In front of the end of RAM, where only what passed has room. */
static uint64_t place_cut(const struct host_replay *h, size_t passed)
{
	return passed && passed <= h->end - DATA ? h->end - passed : OUTSIDE;
}

static uint64_t lay_data(struct host_replay *h)
{
	const struct trace_record *r = &h->record;
	uint64_t at = r->fault ? place_cut(h, r->in_len) : (uint64_t)DATA;

	if (at && r->in_len) /* what has no room shows as a mismatch */
		gmem_write(&h->vm->mem, at, r->in, r->in_len);
	return at;
}

static uint64_t lay_path(struct host_replay *h)
{
	const struct trace_record *r = &h->record;
	size_t len = r->in_len < HCALL_STRING_MAX ? r->in_len : HCALL_STRING_MAX;

	if (r->fault && !len)
		return OUTSIDE;
	if (len)
		gmem_write(&h->vm->mem, PATH, r->in, len);
	gmem_fill(&h->vm->mem, PATH + len, 0, 1);
	return PATH;
}

/* Written to when the path, if there is one, could be read. */
static uint64_t place_attr(const struct trace_record *r)
{
	bool path_cut = trace_row_has(r->row, HCALL_PATH) && !r->in_len;

	return r->fault && !path_cut ? OUTSIDE : ATTR;
}

static uint64_t lay_length(const struct host_replay *h, uint64_t asked)
{
	const struct trace_record *r = &h->record;
	bool in = trace_row_has(r->row, HCALL_DATA_IN);
	uint64_t passed = in ? r->in_len : r->out_len;

	if (r->fault || field_of_data(r->row) < 0 || asked <= passed)
		return asked;
	if (in && writes_console(r)) /* a console takes what it takes */
		return passed;
	return asked - passed < excess_max && h->check.excess < excess_max ? asked : passed + 1;
}

/*
 * An array of addresses for calls that are told where to put strings: all into the same place. Anew each time,
 * for another call may have put its answer there.
 */
static uint64_t lay_pointers(const struct host_replay *h)
{
	const uint64_t entry = DATA;
	size_t n = h->header->argv.n + h->header->env.n + SPARE_POINTERS;

	for (size_t i = 0; i < n && i < POINTERS_MAX; i++)
		gmem_write(&h->vm->mem, POINTERS + 8 * i, &entry, sizeof(entry));
	return POINTERS;
}

static uint64_t lay_field(struct host_replay *h, size_t i)
{
	const struct trace_record *r = &h->record;

	switch (r->row->fields[i].kind) {
	case HCALL_PATH:
		return lay_path(h);
	case HCALL_DATA_IN:
		return lay_data(h);
	case HCALL_DATA_OUT:
	case HCALL_DENTS_OUT:
		return r->fault ? place_cut(h, r->out_len) : (uint64_t)DATA;
	case HCALL_STAT_OUT:
		return place_attr(r);
	case HCALL_POINTER:
		return r->fault ? (uint64_t)OUTSIDE : lay_pointers(h);
	case HCALL_LEN:
		return lay_length(h, r->args[i]);
	case HCALL_INT:
	case HCALL_FD:
	case HCALL_OPEN_FLAGS:
	case HCALL_MODE:
	case HCALL_WHENCE:
	case HCALL_STAT_KIND:
	case HCALL_BYTE:
	case HCALL_KIND_COUNT:
		break;
	}
	return r->args[i];
}

static int write_at_start(int fd, const uint8_t *bytes, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, bytes + done, len - done, (off_t)done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* What the guest's console gave then is there to be read now. */
static int lay_console(struct host_replay *h)
{
	const struct trace_record *r = &h->record;
	uint8_t byte = (uint8_t)r->result;
	const uint8_t *bytes = r->out;
	size_t len = r->out_len;

	if (field_of_data(r->row) < 0) { /* the byte is the result */
		bytes = &byte;
		len = r->result >= 0;
	}
	if (!len && !h->console_used)
		return 0;
	h->console_used = len;
	if (ftruncate(h->console, 0) || write_at_start(h->console, bytes, len) ||
		lseek(h->console, 0, SEEK_SET))
		return err_set(h->err, -EIO, "%s: console input: %s", h->name, strerror(errno));
	return 0;
}

static int ask(struct host_replay *h, struct vcpu_exit *exit)
{
	const struct hcall_row *row = h->record.row;
	_Alignas(8) uint8_t block[HCALL_BLOCK_MAX] = { 0 };
	uint64_t value, arg = BLOCK;

	if (reads_console(&h->record)) {
		int r = lay_console(h);

		if (r)
			return r;
	}
	for (size_t i = 0; row->fields[i].name; i++) {
		value = lay_field(h, i);
		memcpy(block + row->fields[i].at, &value, row->fields[i].size);
	}
	if (row->block_len)
		gmem_write(&h->vm->mem, BLOCK, block, row->block_len);
	else
		memcpy(&arg, block, sizeof(arg));
	*exit = (struct vcpu_exit){ .kind = VCPU_PORT,
		.rip = h->record.rip,
		.port = row->port,
		.size = 4,
		.in = row->arg == HCALL_ARG_IN,
		.data = (uint32_t)arg,
		.rdi = arg };
	h->check.record = &h->record;
	return 0;
}

/* --- answers ------------------------------------------------------------------------------------- */

/* The console is the world's: what it refused then, nobody can be asked again. */
static bool world_failed(const struct trace_record *r)
{
	return r->result < 0 && !r->fault && !r->in_len && !r->out_len &&
	       (writes_console(r) || reads_console(r));
}

static int64_t respond(void *ctx, struct vm *vm, struct hcall *call)
{
	const struct host_replay *h = ctx;

	if (!world_failed(&h->record))
		return call->row->answer(vm, call);
	if (h->record.ends)
		vm_stop_set(vm, VM_FAILED, "the console failed");
	return h->record.result;
}

/* --- the trace ----------------------------------------------------------------------------------- */

static int end_of_trace(struct host_replay *h)
{
	h->done = true;
	return -ENODATA;
}

static int on_call(struct host_replay *h, struct vcpu_exit *exit)
{
	__atomic_store_n(&h->result->calls, h->check.calls, __ATOMIC_RELAXED);
	h->stop.kind = VM_RUNNING;
	h->r = ask(h, exit);
	return h->r;
}

static int on_after(struct host_replay *h, struct vcpu_exit *exit)
{
	(void)exit;
	h->r = tree_add(&h->after, &h->record.tree, h->err);
	return h->r ? h->r : 1;
}

static int on_end(struct host_replay *h, struct vcpu_exit *exit)
{
	(void)exit;
	replay_check_stop(&h->check, &h->record, &h->stop);
	return end_of_trace(h);
}

static int on_cut(struct host_replay *h, struct vcpu_exit *exit)
{
	(void)exit;
	return end_of_trace(h);
}

/* The call in flight: nobody knows what came of it. */
static int on_pending(struct host_replay *h, struct vcpu_exit *exit)
{
	(void)h, (void)exit;
	return 1;
}

/* In the guest's place there is nothing to write to: what came of it is in the calls. */
static int on_edited(struct host_replay *h, struct vcpu_exit *exit)
{
	(void)h, (void)exit;
	return 1;
}

static int on_late_tree(struct host_replay *h, struct vcpu_exit *exit)
{
	(void)exit;
	h->r = err_set(h->err, -EBADMSG, "%s: at %llu: files of the host after the first call",
		h->name, (unsigned long long)h->record.where);
	return h->r;
}

/* 0: ask; 1: go on reading; -errno: end. */
typedef int on_record_fn(struct host_replay *h, struct vcpu_exit *exit);
static on_record_fn *const on_record[TRACE_RECORD_COUNT] = {
	[TRACE_BLOB] = on_late_tree,
	[TRACE_BEFORE] = on_late_tree,
	[TRACE_CALL] = on_call,
	[TRACE_PENDING] = on_pending,
	[TRACE_EDITED] = on_edited,
	[TRACE_AFTER] = on_after,
	[TRACE_END] = on_end,
	[TRACE_CUT] = on_cut,
};

static int read_record(struct host_replay *h)
{
	int n = trace_reader_next(h->reader, &h->record, h->err);

	if (n > 0)
		return 0;
	return n ? n : err_set(h->err, -EBADMSG, "%s: has no end", h->name);
}

static int interrupted(const struct host_replay *h)
{
	return h->o->stop && *h->o->stop ? err_set(h->err, -EINTR, "%s: interrupted", h->name) : 0;
}

static int next(void *ctx, struct backend *b, struct vcpu_exit *exit)
{
	struct host_replay *h = ((struct vm *)ctx)->respond_ctx;
	int r;

	(void)b;
	h->r = interrupted(h);
	if (h->r)
		return h->r;
	if (h->check.lost) {
		h->r = replay_check_lost(&h->check, h->err);
		return h->r;
	}
	do {
		if (h->check.record) /* else the first one is there, from make_tree */
			h->r = read_record(h);
		h->check.record = &h->record;
		r = h->r ? h->r : on_record[h->record.kind](h, exit);
	} while (r > 0);
	return r;
}

/* --- start and end ------------------------------------------------------------------------------- */

static const char *no_tree_hint(const struct host_replay *h)
{
	return trace_reader_format(h->reader) == TRACE_BJT
		       ? "say where its directory is, --tree DIR"
		       : "record it with its files, or replay it with --guest";
}

/* The trees of golden text are in a directory beside it. */
static int copy_golden(struct host_replay *h)
{
	const char *dir = h->o->tree_dir;
	autofree char *beside = NULL;
	size_t len = strlen(h->name);

	if (!dir && !strcmp(h->name, "-"))
		return err_set(h->err, -ENOENT, "standard input: has mounts; %s", no_tree_hint(h));
	if (!dir) {
		if (len > 4 && !strcmp(h->name + len - 4, ".bjt"))
			len -= 4;
		if (asprintf(&beside, "%.*s.d", (int)len, h->name) < 0)
			return err_set(h->err, -ENOMEM, "out of memory");
		dir = beside;
	}
	if (access(dir, F_OK) && errno == ENOENT) {
		h->result->no_tree = true;
		if (h->o->warn)
			log_warn("%s: its mounts are empty, for there is no %s; --tree DIR says "
				 "where their files "
				 "are",
				h->name, dir);
	}
	return tree_copy_from_dir(&h->copy, dir, h->header, h->err);
}

static int put_tree_record(struct host_replay *h)
{
	struct err why = { "" };
	int r = tree_copy_put(&h->copy, &h->record, &why);

	if (r)
		err_set(h->err, r, "%s: at offset %llu: %.300s", h->name,
			(unsigned long long)h->record.where, why.text);
	return r;
}

static bool is_tree(const struct trace_record *r)
{
	return r->kind == TRACE_BLOB || r->kind == TRACE_BEFORE;
}

static int copy_recorded(struct host_replay *h)
{
	int r;

	if (!h->header->has_tree)
		return err_set(h->err, -ENOENT,
			"%s: was recorded without the files behind its mounts; %s", h->name,
			no_tree_hint(h));
	r = tree_copy_init(&h->copy, h->header, h->err);
	while (!r && is_tree(&h->record)) {
		r = put_tree_record(h);
		if (!r)
			r = interrupted(h);
		if (!r)
			r = read_record(h);
	}
	return r ? r : tree_copy_seal(&h->copy, h->err);
}

static int look(const struct host_replay *h, struct tree *tree)
{
	return tree_look_until(
		tree, h->copy.mounts, h->copy.n_mounts, tree_limit, h->o->stop, h->err);
}

/* Leaves the first record that is not the tree's in h->record. */
static int make_tree(struct host_replay *h)
{
	int r = read_record(h);

	if (!r && h->header->n_mounts)
		r = trace_reader_format(h->reader) == TRACE_BJT ? copy_golden(h) : copy_recorded(h);
	while (!r && is_tree(&h->record)) /* of no mount: of no use */
		r = read_record(h);
	return r ? r : look(h, &h->before);
}

static int open_files(struct host_replay *h)
{
	autofree struct fileio_mount *mounts = calloc(h->copy.n_mounts + 1, sizeof(*mounts));

	if (!mounts)
		return err_set(h->err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < h->copy.n_mounts; i++)
		mounts[i] = (struct fileio_mount){ .host = h->copy.mounts[i].host,
			.guest = h->copy.mounts[i].guest,
			.writable = h->copy.mounts[i].writable,
			.may_unlink = h->copy.mounts[i].may_unlink,
			.no_hardlinks = h->copy.mounts[i].no_hardlinks };
	h->console = memfd_create("console", MFD_CLOEXEC);
	if (h->console < 0)
		return err_set(h->err, -errno, "console input: %s", strerror(errno));
	return fileio_init(&h->files,
		&(struct fileio_config){
			.mounts = mounts,
			.n_mounts = h->copy.n_mounts,
			.cwd = h->header->cwd,
			.host = h->copy.n_xdev ? hostfs_xdev(h->copy.xdev, h->copy.n_xdev) : NULL,
			.limits = h->header->limits,
			.utf8_paths = h->header->utf8_paths,
			.console_in = h->console,
			.console_out = -1,
			.stop = h->o->stop,
			.deterministic = true,
			.clock_ns = SESSION_CLOCK_NS,
		},
		h->err);
}

/* Every address to itself up to the end of RAM, in the largest pages that fit. */
static int map_pages(struct host_replay *h)
{
	const uint64_t giga = 1ull << 30, mega2 = 2ull << 20;
	const struct gmem *m = &h->vm->mem;
	uint64_t entry = PDPT | ENTRY_TABLE, at = 0;
	struct cpu_state state;
	int r = gmem_write(m, PML4, &entry, sizeof(entry));

	for (; !r && h->end - at >= giga; at += giga) {
		entry = at | ENTRY_PAGE;
		r = gmem_write(m, PDPT + at / giga * 8, &entry, sizeof(entry));
	}
	entry = PD | ENTRY_TABLE;
	if (!r)
		r = gmem_write(m, PDPT + at / giga * 8, &entry, sizeof(entry));
	for (; !r && at < h->end; at += mega2) {
		entry = at | ENTRY_PAGE;
		r = gmem_write(m, PD + at % giga / mega2 * 8, &entry, sizeof(entry));
	}
	if (!r)
		r = backend_save(h->vm->cpu, &state);
	state.cr3 = PML4;
	return r ? r : backend_load(h->vm->cpu, &state);
}

static int make_machine(struct host_replay *h)
{
	const struct trace_header *t = h->header;
	const struct vm_script script = {
		.abi = t->abi,
		.abi_version = t->abi_version,
		.ram_gpa = RAM,
		.mem_size = DATA - RAM + t->mem_size,
		.files = h->files,
		.sinks = &h->check.sink,
		.args = { .image_path = t->argv.n ? t->argv.list[0] : "",
			.app = t->argv.n ? t->argv.list + 1 : NULL,
			.n_app = t->argv.n ? t->argv.n - 1 : 0,
			.env = t->env.list,
			.n_env = t->env.n },
		.next = next,
	};
	int r;

	if (!vm_mem_size_ok(t->mem_size))
		return err_set(h->err, -EINVAL, "%s: guest RAM of %llu bytes: %s", h->name,
			(unsigned long long)t->mem_size, VM_MEM_SIZE_RULE);
	r = vm_create_script(&h->vm, &script, h->err);
	if (r)
		return r;
	h->vm->respond = respond;
	h->vm->respond_ctx = h;
	h->end = RAM + script.mem_size;
	r = map_pages(h);
	return r ? err_set(h->err, r, "guest memory: %s", strerror(-r)) : 0;
}

static void start_check(struct host_replay *h)
{
	replay_check_init(&h->check);
	h->check.header = h->header;
	h->check.trace = h->name;
	h->check.format = trace_reader_format(h->reader);
	h->check.out = h->o->out;
	h->check.json = h->o->json;
	h->check.most = h->o->most;
	h->check.sink.next = h->o->watch;
}

/* A machine that stopped in a call is started again as long as there are calls. */
static int run(struct host_replay *h)
{
	while (!h->r && !h->done) {
		const struct vm_stop *stop = vm_run(h->vm);

		if (!h->r && !h->done)
			h->stop = *stop;
	}
	return h->r;
}

/* What the calls changed, against what the recorded ones did. */
static int compare_trees(struct host_replay *h)
{
	struct tree now, changes;
	int r = look(h, &now);

	if (r)
		return r;
	r = tree_diff(&h->before, &now, &changes, h->err);
	tree_finish(&now);
	if (r)
		return r;
	tree_sort(&h->after);
	replay_check_trees(&h->check, &h->after, &changes);
	if (h->o->changes)
		*h->o->changes = changes;
	else
		tree_finish(&changes);
	return 0;
}

/* Cut off before the first call: there is nothing to ask, and perhaps not all to ask it of. */
static bool is_empty(const struct host_replay *h)
{
	return h->record.kind == TRACE_CUT;
}

static int answer_calls(struct host_replay *h)
{
	int r = open_files(h);

	if (!r)
		r = make_machine(h);
	return r ? r : run(h);
}

static int replay(struct host_replay *h, struct replay_result *result)
{
	int r = trace_header_replays(h->header, h->name, h->err);

	if (!r)
		r = make_tree(h);
	if (!r && !is_empty(h))
		r = answer_calls(h);
	if (!r)
		r = trace_reader_rest(h->reader, h->err);
	fileio_destroy(h->files);
	h->files = NULL;
	result->cut = h->record.kind == TRACE_CUT;
	if (!r && !result->cut)
		r = compare_trees(h);
	result->calls = h->check.calls;
	result->mismatches = h->check.mismatches;
	return r;
}

/* The copies go where TMPDIR says. */
static void name_tmpdir(struct err *err, int r)
{
	struct err why = *err;

	if ((r == -ENOSPC || r == -EDQUOT) && !strstr(why.text, "TMPDIR"))
		err_set(err, r, "%.300s; set TMPDIR to a directory with room", why.text);
}

int replay_host_reader(struct trace_reader *reader, const char *name,
	const struct replay_host_options *o, struct replay_result *result, struct err *err)
{
	struct host_replay h = { .o = o,
		.name = name,
		.reader = reader,
		.header = trace_reader_header(reader),
		.err = err,
		.result = result,
		.console = -1 };
	mode_t mask = umask(GUEST_UMASK);
	int r;

	*result = (struct replay_result){ 0 };
	start_check(&h);
	r = replay(&h, result);
	name_tmpdir(err, r);
	vm_destroy(h.vm);
	if (h.console >= 0)
		close(h.console);
	tree_copy_finish(&h.copy);
	tree_finish(&h.before);
	tree_finish(&h.after);
	umask(mask);
	return r;
}

int replay_host(const char *path, const struct replay_host_options *o, struct replay_result *result,
	struct err *err)
{
	struct trace_reader *reader;
	int r = trace_reader_open(&reader, path, err);

	if (r)
		return r;
	r = replay_host_reader(reader, path, o, result, err);
	trace_reader_close(reader);
	return r;
}
