// SPDX-License-Identifier: ISC
/*
 * The way of a hypercall, asked by a script instead of a CPU: every call of the table with good and
 * hostile blocks, the ways results go back, what watchers are told, and what stops the machine. With
 * BELLJAR_SEEDS=DIR the calls of every case are left in DIR, too, as inputs for fuzz_hypercall.
 */
#include "hcall.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "abi_uhyve.h"
#include "backend.h"
#include "err.h"
#include "fileio.h"
#include "fuzz/hypercall_seed.h"
#include "trace.h"
#include "unit.h"
#include "vm.h"

enum {
	RAM = 0x100000,
	SIZE = 0x10000,
	BLOCK = RAM + 0x1000,
	DATA = RAM + 0x2000,
	NAME = RAM + 0x3000
};
#define RAM_END ((uint64_t)RAM + SIZE)
#define SEEDS   "BELLJAR_SEEDS"

/* One port access for the script to make. */
struct ask {
	uint16_t port;
	uint8_t size;
	bool in;
	uint64_t arg; /* in RDI, and its low half in EAX */
};

static struct fixture {
	struct vm *vm;
	struct fileio *files;
	struct ask ask;
	bool asked;
	uint32_t in_data;
	struct seed seed;
	struct {
		struct trace_sink sink;
		unsigned kinds[TRACE_KIND_COUNT];
		uint64_t read_len, write_len;
		int64_t result;
		uint64_t arg;
		bool ends;
	} watch;
} f;

static int next(void *ctx, struct backend *b, struct vcpu_exit *exit)
{
	(void)ctx, (void)b;
	if (f.asked) {
		f.in_data = exit->data;
		*exit = (struct vcpu_exit){ .kind = VCPU_HALT };
		return 0;
	}
	f.asked = true;
	*exit = (struct vcpu_exit){ .kind = VCPU_PORT,
		.port = f.ask.port,
		.size = f.ask.size,
		.in = f.ask.in,
		.data = (uint32_t)f.ask.arg,
		.rdi = f.ask.arg,
		.rip = 0x1234 };
	if (getenv(SEEDS))
		seed_call(&f.seed, f.vm, exit);
	return 0;
}

static void watch(struct trace_sink *sink, const struct trace_event *event)
{
	(void)sink;
	f.watch.kinds[event->kind]++;
	if (event->kind == TRACE_READ)
		f.watch.read_len += event->len;
	if (event->kind == TRACE_WRITE)
		f.watch.write_len += event->len;
	if (event->kind != TRACE_LEAVE)
		return;
	f.watch.result = event->call->result;
	f.watch.arg = event->call->arg;
	f.watch.ends = event->call->ends;
}

static void start_with_console(int console_in)
{
	static char one[] = "one", empty[] = "", entry[] = "A=1";
	static char *app[] = { one, empty }, *env[] = { entry };
	struct err err = { "" };

	f = (struct fixture){ .watch.sink.emit = watch };
	CU_ASSERT_EQUAL_FATAL(
		fileio_init(&f.files,
			&(struct fileio_config){ .console_in = console_in, .console_out = -1 },
			&err),
		0);
	CU_ASSERT_EQUAL_FATAL(vm_create_script(&f.vm,
				      &(struct vm_script){ .abi = &abi_uhyve,
					      .abi_version = 2,
					      .ram_gpa = RAM,
					      .mem_size = SIZE,
					      .files = f.files,
					      .sinks = &f.watch.sink,
					      .args = { .image_path = "image",
						      .app = app,
						      .n_app = 2,
						      .env = env,
						      .n_env = 1 },
					      .next = next },
				      &err),
		0);
}

static void start(void)
{
	start_with_console(-1);
}

static void finish(void)
{
	static unsigned n_seeds;

	if (getenv(SEEDS))
		CU_ASSERT(seed_write(
			&f.seed, getenv(SEEDS), CU_get_current_test()->pName, n_seeds++));
	vm_destroy(f.vm);
	fileio_destroy(f.files);
}

/* Puts the block at BLOCK, makes the call, takes the block back. VM_CRASHED by HLT is "went on". */
static const struct vm_stop *call(uint16_t port, void *block, size_t len)
{
	f.ask = (struct ask){ .port = port, .size = 4, .arg = BLOCK };
	f.asked = false;
	CU_ASSERT_EQUAL(gmem_write(&f.vm->mem, BLOCK, block, len), 0);
	vm_run(f.vm);
	CU_ASSERT_EQUAL(gmem_read(&f.vm->mem, BLOCK, block, len), 0);
	return &f.vm->stop;
}

static const struct vm_stop *ask(struct ask a)
{
	f.ask = a;
	f.asked = false;
	return vm_run(f.vm);
}

static bool went_on(const struct vm_stop *stop)
{
	return stop->kind == VM_CRASHED && stop->exit.kind == VCPU_HALT;
}

static void put_name(const char *name)
{
	CU_ASSERT_EQUAL(gmem_write(&f.vm->mem, NAME, name, strlen(name) + 1), 0);
}

static int open_file(const char *name, int flags)
{
	struct uhyve_open p = { .name = NAME, .flags = flags, .mode = 0600, .ret = 77 };

	put_name(name);
	CU_ASSERT(went_on(call(UHYVE_V2_OPEN, &p, sizeof(p))));
	return p.ret;
}

static void writes_seeks_and_reads_back(void)
{
	struct uhyve_v2_write w = { .len = 5, .buf = DATA };
	struct uhyve_v2_lseek s = { .offset = 0, .whence = SEEK_SET };
	struct uhyve_v2_read r = { .len = 100, .buf = DATA + 0x100 };
	char back[8] = "";

	start();
	w.fd = s.fd = r.fd = open_file("/x", O_RDWR | O_CREAT);
	CU_ASSERT_EQUAL(w.fd, 3);
	CU_ASSERT_EQUAL(gmem_write(&f.vm->mem, DATA, "hello", 5), 0);
	CU_ASSERT(went_on(call(UHYVE_V2_WRITE, &w, sizeof(w))));
	CU_ASSERT_EQUAL(w.ret, 5);
	CU_ASSERT(went_on(call(UHYVE_V2_LSEEK, &s, sizeof(s))));
	CU_ASSERT_EQUAL(s.offset, 0);
	CU_ASSERT(went_on(call(UHYVE_V2_READ, &r, sizeof(r))));
	CU_ASSERT_EQUAL(r.ret, 5);
	CU_ASSERT_EQUAL(gmem_read(&f.vm->mem, DATA + 0x100, back, 6), 0);
	CU_ASSERT_STRING_EQUAL(back, "hello");
	finish();
}

static void stat_calls_answer_with_tags(void)
{
	struct uhyve_v2_stat st = { .name = NAME, .kind = UHYVE_STAT_FOLLOW, .attr = DATA };
	struct uhyve_v2_fstat fst = { .fd = 99, .attr = DATA };
	struct uhyve_v2_mkdir mk = { .name = NAME };
	struct uhyve_attr attr;

	start();
	put_name("/dir");
	CU_ASSERT(went_on(call(UHYVE_V2_MKDIR, &mk, sizeof(mk))));
	CU_ASSERT_EQUAL(mk.tag, UHYVE_RESULT_SUCCESS);
	CU_ASSERT(went_on(call(UHYVE_V2_MKDIR, &mk, sizeof(mk))));
	CU_ASSERT_EQUAL(mk.tag, UHYVE_RESULT_ERROR);
	CU_ASSERT_EQUAL(mk.error, EEXIST);
	CU_ASSERT(went_on(call(UHYVE_V2_STAT, &st, sizeof(st))));
	CU_ASSERT_EQUAL(st.tag, UHYVE_RESULT_SUCCESS);
	CU_ASSERT_EQUAL(gmem_read(&f.vm->mem, DATA, &attr, sizeof(attr)), 0);
	CU_ASSERT(S_ISDIR(attr.mode));
	st.kind = 2;
	CU_ASSERT(went_on(call(UHYVE_V2_STAT, &st, sizeof(st))));
	CU_ASSERT_EQUAL(st.error, EINVAL);
	CU_ASSERT(went_on(call(UHYVE_V2_FSTAT, &fst, sizeof(fst))));
	CU_ASSERT_EQUAL(fst.tag, UHYVE_RESULT_ERROR);
	CU_ASSERT_EQUAL(fst.error, EBADF);
	finish();
}

static void getdents_tells_success_end_and_error_apart(void)
{
	struct uhyve_v2_getdents d = { .buf = DATA, .len = 4096 };
	struct uhyve_v2_mkdir mk = { .name = NAME };

	start();
	put_name("/dir");
	call(UHYVE_V2_MKDIR, &mk, sizeof(mk));
	d.fd = open_file("/dir", O_RDONLY | O_DIRECTORY);
	CU_ASSERT(went_on(call(UHYVE_V2_GETDENTS, &d, sizeof(d))));
	CU_ASSERT_EQUAL(d.tag, UHYVE_DENTS_SUCCESS);
	CU_ASSERT(d.payload >= 48 && d.payload <= 4096);
	CU_ASSERT(went_on(call(UHYVE_V2_GETDENTS, &d, sizeof(d))));
	CU_ASSERT_EQUAL(d.tag, UHYVE_DENTS_END);
	d.fd = 55;
	CU_ASSERT(went_on(call(UHYVE_V2_GETDENTS, &d, sizeof(d))));
	CU_ASSERT_EQUAL(d.tag, UHYVE_DENTS_ERROR);
	CU_ASSERT_EQUAL(d.payload, EBADF);
	finish();
}

/* fd -> { buf, len } -> what a read of a good and of a bad descriptor says. */
static void bad_descriptors_come_before_bad_buffers(void)
{
	static const struct {
		uint64_t buf, len;
		int64_t good_fd, bad_fd;
	} rows[] = {
		{ DATA, 16, 0, -EBADF },
		{ DATA, 0, 0, -EBADF },
		{ 0, 16, -EFAULT, -EBADF },
		{ RAM - 1, 2, -EFAULT, -EBADF },
		{ RAM_END - 1, 2, -EFAULT, -EBADF },
		{ RAM_END - 16, 16, 0, -EBADF },
		{ RAM_END, 1, -EFAULT, -EBADF },
		{ UINT64_MAX, 1, -EFAULT, -EBADF },
		{ DATA, UINT64_MAX, -EFAULT, -EBADF },
		{ DATA, 1ull << 63, -EFAULT, -EBADF },
		{ DATA, UINT64_MAX - DATA + 1, -EFAULT, -EBADF },
		{ UINT64_MAX, UINT64_MAX, -EFAULT, -EBADF },
	};
	static const int bad_fds[] = { -1, 4, 1000000, INT_MAX, INT_MIN };

	start();
	CU_ASSERT_EQUAL(open_file("/empty", O_RDWR | O_CREAT), 3);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct uhyve_v2_read r = { .len = rows[i].len, .buf = rows[i].buf, .fd = 3 };

		CU_ASSERT(went_on(call(UHYVE_V2_READ, &r, sizeof(r))));
		CU_ASSERT_EQUAL(r.ret, rows[i].good_fd);
		for (size_t k = 0; k < sizeof(bad_fds) / sizeof(bad_fds[0]); k++) {
			struct uhyve_v2_write w = {
				.len = rows[i].len, .buf = rows[i].buf, .fd = bad_fds[k]
			};

			CU_ASSERT(went_on(call(UHYVE_V2_WRITE, &w, sizeof(w))));
			CU_ASSERT_EQUAL(w.ret, rows[i].bad_fd);
		}
	}
	finish();
}

static void names_must_lie_in_ram_and_end(void)
{
	struct uhyve_open p = { .name = NAME };

	start();
	CU_ASSERT_EQUAL(gmem_fill(&f.vm->mem, NAME, 'a', (size_t)(RAM_END - NAME)), 0);
	CU_ASSERT(went_on(call(UHYVE_V2_OPEN, &p, sizeof(p))));
	CU_ASSERT_EQUAL(p.ret, -ENAMETOOLONG);
	CU_ASSERT_EQUAL(f.watch.read_len, HCALL_STRING_MAX);
	p.name = RAM_END - 10;
	CU_ASSERT(went_on(call(UHYVE_V2_OPEN, &p, sizeof(p))));
	CU_ASSERT_EQUAL(p.ret, -EFAULT);
	p.name = 0;
	CU_ASSERT(went_on(call(UHYVE_V2_OPEN, &p, sizeof(p))));
	CU_ASSERT_EQUAL(p.ret, -EFAULT);
	CU_ASSERT_EQUAL(open_file("", O_RDONLY), -ENOENT);
	finish();
}

/* What the guest cannot be told stops the machine, with a line that names call, argument and RIP. */
static void stops_on_what_cannot_be_answered(void)
{
	static const struct {
		struct ask ask;
		const char *words[3];
	} rows[] = {
		{ { 0x7777, 4, false, BLOCK }, { "unknown hypercall", "0x7777", "0x1234" } },
		{ { UHYVE_V2_CLOSE, 4, false, 0 }, { "close", "outside RAM", "0x1234" } },
		{ { UHYVE_V2_CLOSE, 4, false, RAM_END - 7 },
			{ "close", "outside RAM", "0x10fff9" } },
		{ { UHYVE_V2_CLOSE, 4, false, UINT64_MAX - 3 },
			{ "close", "outside RAM", "0x1234" } },
		{ { UHYVE_V2_CLOSE, 4, true, BLOCK }, { "close", "in from", "0x1234" } },
		{ { UHYVE_V2_SERIAL_READ_BYTE, 4, false, 0 },
			{ "serial_read_byte", "out to", "0x1234" } },
		{ { UHYVE_V1_CLOSE, 2, false, BLOCK }, { "close", "2 bytes", "0x1234" } },
		{ { UHYVE_V1_WRITE, 4, false, BLOCK }, { "write", "EBADF", "0x1234" } },
		{ { UHYVE_V1_CMDSIZE, 4, false, 16 }, { "cmdsize", "EFAULT", "0x1234" } },
		{ { UHYVE_V1_CMDVAL, 4, false, BLOCK }, { "cmdval", "EFAULT", "0x1234" } },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct vm_stop *stop;

		start();
		CU_ASSERT_EQUAL(gmem_fill(&f.vm->mem, BLOCK, 0xff, 64), 0);
		stop = ask(rows[i].ask);
		CU_ASSERT_EQUAL(stop->kind, VM_CRASHED);
		CU_ASSERT_EQUAL(stop->exit.kind, VCPU_PORT);
		for (size_t k = 0; k < 3; k++)
			CU_ASSERT_PTR_NOT_NULL(strstr(stop->text, rows[i].words[k]));
		finish();
	}
}

static void exit_ends_the_machine_with_its_code(void)
{
	struct {
		int32_t code;
	} block = { -7 };
	const struct vm_stop *stop;

	start();
	stop = ask((struct ask){ UHYVE_V2_EXIT, 4, false, 42 });
	CU_ASSERT_EQUAL(stop->kind, VM_EXITED);
	CU_ASSERT_EQUAL(stop->code, 42);
	CU_ASSERT(f.watch.ends && f.watch.arg == 42);
	CU_ASSERT(went_on(ask((struct ask){ UHYVE_V2_SERIAL_READ_BYTE, 4, true, 0 })));
	CU_ASSERT(!f.watch.ends && f.watch.arg == 0);
	stop = call(UHYVE_V1_EXIT, &block, sizeof(block));
	CU_ASSERT_EQUAL(stop->kind, VM_EXITED);
	CU_ASSERT_EQUAL(stop->code, -7);
	finish();
}

static void legacy_ports_read_as_all_ones(void)
{
	start();
	CU_ASSERT(went_on(ask((struct ask){ 0xcfc, 4, true, 0 })));
	CU_ASSERT_EQUAL(f.in_data, 0xffffffff);
	CU_ASSERT(went_on(ask((struct ask){ 0x20, 1, false, 0x11 })));
	CU_ASSERT_EQUAL(f.watch.kinds[TRACE_ENTER], 0);
	finish();
}

static void serial_input_at_its_end_is_all_ones(void)
{
	struct uhyve_v2_serial_read_buffer p = { .maxlen = 10, .len = 5, .buf = DATA };

	start();
	CU_ASSERT(went_on(ask((struct ask){ UHYVE_V2_SERIAL_READ_BYTE, 4, true, 0 })));
	CU_ASSERT_EQUAL(f.in_data, 0xffffffff);
	CU_ASSERT(went_on(call(UHYVE_V2_SERIAL_READ_BUFFER, &p, sizeof(p))));
	CU_ASSERT(p.len <= 0);
	finish();
}

static void serial_input_reaches_the_guest(void)
{
	struct uhyve_v2_serial_read_buffer p = { .maxlen = 100, .buf = DATA };
	char back[8] = "";
	int ends[2];

	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	CU_ASSERT_EQUAL(write(ends[1], "\0typed", 6), 6);
	close(ends[1]);
	start_with_console(ends[0]);
	CU_ASSERT(went_on(ask((struct ask){ UHYVE_V2_SERIAL_READ_BYTE, 4, true, 0 })));
	CU_ASSERT_EQUAL(f.in_data, 0);
	CU_ASSERT(went_on(ask((struct ask){ UHYVE_V2_SERIAL_READ_BYTE, 4, true, 0 })));
	CU_ASSERT_EQUAL(f.in_data, 't');
	CU_ASSERT(went_on(call(UHYVE_V2_SERIAL_READ_BUFFER, &p, sizeof(p))));
	CU_ASSERT_EQUAL(p.len, 4);
	gmem_read(&f.vm->mem, DATA, back, 5);
	CU_ASSERT_STRING_EQUAL(back, "yped");
	CU_ASSERT(went_on(call(UHYVE_V2_SERIAL_READ_BUFFER, &p, sizeof(p))));
	CU_ASSERT_EQUAL(p.len, 0);
	CU_ASSERT(went_on(ask((struct ask){ UHYVE_V2_SERIAL_READ_BYTE, 4, true, 0 })));
	CU_ASSERT_EQUAL(f.in_data, 0xffffffff);
	finish();
	close(ends[0]);
}

static void v1_lseek_says_exactly_minus_one(void)
{
	struct uhyve_v1_lseek p = { .fd = 9, .offset = 5, .whence = SEEK_SET };

	start();
	CU_ASSERT(went_on(call(UHYVE_V1_LSEEK, &p, sizeof(p))));
	CU_ASSERT_EQUAL(p.offset, -1);
	finish();
}

/* Two neighbouring virtual pages that lie apart and in the other order, and nothing behind them. */
static void v1_buffers_are_virtual_and_may_be_scattered(void)
{
	enum {
		P = 1,
		W = 2,
		TABLES = RAM + 0x8000,
		LOW = RAM + 0xc000,
		HIGH = RAM + 0xe000,
		GVA = 0x3000
	};
	struct uhyve_v1_write w = { .buf = GVA + 0xffe, .len = 4 };
	struct uhyve_v1_read r = { .buf = GVA + 0xffd, .len = 4 };
	uint64_t entries[] = { TABLES + 0x1000 + P + W, TABLES + 0x2000 + P + W,
		TABLES + 0x3000 + P + W };
	uint64_t pages[] = { HIGH + P + W, LOW + P + W };
	struct cpu_state state;
	char back[4];

	start();
	for (size_t i = 0; i < 3; i++)
		gmem_write(&f.vm->mem, TABLES + 0x1000 * i, &entries[i], 8);
	gmem_write(&f.vm->mem, TABLES + 0x3000 + 8 * (GVA >> 12), pages, sizeof(pages));
	cpu_state_long_mode(&state);
	state.cr3 = TABLES;
	CU_ASSERT_EQUAL(backend_load(f.vm->cpu, &state), 0);
	gmem_write(&f.vm->mem, HIGH + 0xffe, "ab", 2);
	gmem_write(&f.vm->mem, LOW, "cd", 2);
	w.fd = r.fd = open_file("/x", O_RDWR | O_CREAT);
	CU_ASSERT(went_on(call(UHYVE_V1_WRITE, &w, sizeof(w))));
	call(UHYVE_V1_LSEEK, &(struct uhyve_v1_lseek){ .fd = w.fd }, sizeof(struct uhyve_v1_lseek));
	CU_ASSERT(went_on(call(UHYVE_V1_READ, &r, sizeof(r))));
	CU_ASSERT_EQUAL(r.ret, 4);
	gmem_read(&f.vm->mem, HIGH + 0xffd, back, 3);
	gmem_read(&f.vm->mem, LOW, back + 3, 1);
	CU_ASSERT_EQUAL(memcmp(back, "abcd", 4), 0);
	r.buf = GVA + 0x2000;
	CU_ASSERT(went_on(call(UHYVE_V1_READ, &r, sizeof(r))));
	CU_ASSERT_EQUAL(r.ret, -EFAULT);
	w.buf = GVA + 0x1fff; /* half of it is not there: a short write is an error here */
	CU_ASSERT_EQUAL(call(UHYVE_V1_WRITE, &w, sizeof(w))->exit.kind, VCPU_PORT);
	finish();
}

/* Three pages, the first two neighbours in both spaces: two pieces, however long the buffer is. */
static void v1_neighbours_are_one_piece(void)
{
	enum { P = 1, W = 2, TABLES = RAM + 0x8000, LOW = RAM + 0xc000, HIGH = RAM + 0xe000 };
	static const struct {
		uint64_t at, len;
		unsigned pieces;
		int64_t ret;
	} rows[] = { { 0, 0, 0, 0 }, { 0, 1, 1, 1 }, { 0, 0x1000, 1, 0x1000 },
		{ 0, 0x1001, 1, 0x1001 }, { 0, 0x2000, 1, 0x2000 }, { 0, 0x2001, 2, 0x2001 },
		{ 0x1fff, 2, 2, 2 }, { 0x1234, 0x100, 1, 0x100 }, { 0, 0x3000, 2, 0x3000 },
		{ 0, 0x3001, 2, 0x3000 }, { 0x2fff, 2, 1, 1 }, { 0x3000, 1, 0, -EFAULT } };
	uint64_t entries[] = { TABLES + 0x1000 + P + W, TABLES + 0x2000 + P + W,
		TABLES + 0x3000 + P + W };
	uint64_t pages[] = { LOW + P + W, LOW + 0x1000 + P + W, HIGH + 0x1000 + P + W };
	struct cpu_state state;
	int fd;

	start();
	for (size_t i = 0; i < 3; i++)
		gmem_write(&f.vm->mem, TABLES + 0x1000 * i, &entries[i], 8);
	gmem_write(&f.vm->mem, TABLES + 0x3000 + 8 * 3, pages, sizeof(pages));
	cpu_state_long_mode(&state);
	state.cr3 = TABLES;
	CU_ASSERT_EQUAL(backend_load(f.vm->cpu, &state), 0);
	fd = open_file("/x", O_RDWR | O_CREAT);
	CU_ASSERT_EQUAL(fileio_lseek(f.files, fd, 0x4000, SEEK_SET), 0x4000);
	CU_ASSERT_EQUAL(fileio_write(f.files, fd, "x", 1), 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct uhyve_v1_read r = {
			.fd = fd, .buf = 0x3000 + rows[i].at, .len = rows[i].len
		};

		fileio_lseek(f.files, fd, 0, SEEK_SET);
		f.watch.kinds[TRACE_WRITE] = 0;
		CU_ASSERT(went_on(call(UHYVE_V1_READ, &r, sizeof(r))));
		CU_ASSERT_EQUAL(r.ret, rows[i].ret);
		CU_ASSERT_EQUAL(f.watch.kinds[TRACE_WRITE], rows[i].pieces);
	}
	finish();
}

static void v1_arguments_come_in_two_calls(void)
{
	struct uhyve_v1_cmdsize sizes;
	struct uhyve_v1_cmdval p = { .argv = DATA, .envp = DATA + 64 };
	uint64_t pointers[16];
	char text[8];

	start();
	CU_ASSERT(went_on(ask((struct ask){ UHYVE_V1_CMDSIZE, 4, false, BLOCK })));
	CU_ASSERT_EQUAL(gmem_read(&f.vm->mem, BLOCK, &sizes, sizeof(sizes)), 0);
	CU_ASSERT_EQUAL(sizes.argc, 3);
	CU_ASSERT_EQUAL(sizes.argsz[0], 6);
	CU_ASSERT_EQUAL(sizes.argsz[1], 4);
	CU_ASSERT_EQUAL(sizes.argsz[2], 1);
	CU_ASSERT_EQUAL(sizes.envc, 4); /* made up to what old kernels need */
	CU_ASSERT_EQUAL(sizes.envsz[0], 4);
	for (size_t i = 0; i < 16; i++)
		pointers[i] = NAME + 16 * i;
	CU_ASSERT_EQUAL(gmem_write(&f.vm->mem, DATA, pointers, sizeof(pointers)), 0);
	CU_ASSERT(went_on(call(UHYVE_V1_CMDVAL, &p, sizeof(p))));
	CU_ASSERT_EQUAL(gmem_read(&f.vm->mem, NAME + 16, text, 4), 0);
	CU_ASSERT_STRING_EQUAL(text, "one");
	CU_ASSERT_EQUAL(gmem_read(&f.vm->mem, NAME + 16 * 8, text, 4), 0);
	CU_ASSERT_STRING_EQUAL(text, "A=1");
	CU_ASSERT_EQUAL(f.watch.read_len, 8 * (3 + 4)); /* the pointers */
	finish();
}

static void v1_arguments_that_do_not_fit_are_refused(void)
{
	static char word[] = "x";
	static char *many[UHYVE_V1_ARGS_MAX + 1];
	const struct {
		size_t n_app, n_env;
		bool fits;
	} table[] = {
		{ UHYVE_V1_ARGS_MAX - 1, UHYVE_V1_ARGS_MAX, true },
		{ UHYVE_V1_ARGS_MAX, 0, false },
		{ 0, UHYVE_V1_ARGS_MAX + 1, false },
	};

	for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
		many[i] = word;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct vm_stop *stop;

		start();
		f.vm->args = (struct vm_args){ .image_path = "image",
			.app = many,
			.n_app = table[i].n_app,
			.env = many,
			.n_env = table[i].n_env };
		stop = ask((struct ask){ UHYVE_V1_CMDSIZE, 4, false, BLOCK });
		CU_ASSERT_EQUAL(went_on(stop), table[i].fits);
		CU_ASSERT_EQUAL(strstr(stop->text, "E2BIG") != NULL, !table[i].fits);
		finish();
	}
}

static void watchers_see_each_call_whole(void)
{
	struct uhyve_v2_write w = { .len = 5, .buf = DATA };

	start();
	w.fd = open_file("/x", O_RDWR | O_CREAT);
	CU_ASSERT_EQUAL(f.watch.kinds[TRACE_ENTER], 1);
	CU_ASSERT_EQUAL(f.watch.kinds[TRACE_LEAVE], 1);
	CU_ASSERT_EQUAL(f.watch.read_len, 3); /* "/x" and its NUL */
	CU_ASSERT_EQUAL(f.watch.result, 3);
	call(UHYVE_V2_WRITE, &w, sizeof(w));
	CU_ASSERT_EQUAL(f.watch.read_len, 8);
	CU_ASSERT_EQUAL(f.watch.write_len, 0);
	CU_ASSERT_EQUAL(f.watch.kinds[TRACE_STOP], 2);
	CU_ASSERT_EQUAL(f.vm->n_calls, 2);
	finish();
}

static int64_t answer_seven(void *ctx, struct vm *vm, struct hcall *hcall)
{
	(void)ctx, (void)vm, (void)hcall;
	return 7;
}

static int64_t answer_interrupted(void *ctx, struct vm *vm, struct hcall *hcall)
{
	(void)hcall;
	vm->kicked = ctx != NULL;
	return -EINTR;
}

/* What no guest sees: the call that was not answered is none. */
static void an_interrupted_call_stops_a_machine_that_is_to_stop(void)
{
	struct uhyve_close p = { .fd = 99 };
	const struct vm_stop *stop;

	start();
	f.vm->respond = answer_interrupted;
	CU_ASSERT(went_on(call(UHYVE_V2_CLOSE, &p, sizeof(p))));
	CU_ASSERT_EQUAL(p.ret, -EINTR);
	CU_ASSERT_EQUAL(f.watch.kinds[TRACE_LEAVE], 1);
	f.vm->respond_ctx = &f;
	p.ret = 77;
	stop = call(UHYVE_V2_CLOSE, &p, sizeof(p));
	CU_ASSERT_EQUAL(stop->kind, VM_KICKED);
	CU_ASSERT_PTR_NOT_NULL(strstr(stop->text, "interrupted in close"));
	CU_ASSERT(p.ret == 77 && f.watch.kinds[TRACE_LEAVE] == 1);
	finish();
}

static int64_t answer_when_asked_again(void *ctx, struct vm *vm, struct hcall *hcall)
{
	unsigned *asked = ctx;

	(void)hcall;
	if ((*asked)++)
		return 5;
	vm_pause(vm);
	return -EINTR;
}

/* Whoever drives wanted to look: the call waits, and its watchers see it once. */
static void a_paused_call_is_asked_again(void)
{
	struct uhyve_close p = { .fd = 99, .ret = 77 };
	unsigned asked = 0;

	start();
	f.vm->respond = answer_when_asked_again;
	f.vm->respond_ctx = &asked;
	CU_ASSERT_EQUAL(call(UHYVE_V2_CLOSE, &p, sizeof(p))->kind, VM_PAUSED);
	CU_ASSERT_EQUAL(p.ret, 77);
	CU_ASSERT_EQUAL(f.watch.kinds[TRACE_STOP], 0);
	CU_ASSERT_EQUAL(f.vm->n_calls, 0);
	CU_ASSERT(went_on(vm_run(f.vm)));
	CU_ASSERT_EQUAL(gmem_read(&f.vm->mem, BLOCK, &p, sizeof(p)), 0);
	CU_ASSERT_EQUAL(p.ret, 5);
	CU_ASSERT_EQUAL(asked, 2);
	CU_ASSERT_EQUAL(f.watch.kinds[TRACE_ENTER], 1);
	CU_ASSERT_EQUAL(f.watch.kinds[TRACE_LEAVE], 1);
	CU_ASSERT_EQUAL(f.vm->n_calls, 1);
	finish();
}

struct holder {
	bool before, after;
	unsigned n_before, n_after;
};

static bool hold(void *ctx, struct vm *vm, const struct hcall *hcall, bool answered)
{
	struct holder *h = ctx;

	CU_ASSERT_EQUAL(hcall->answered, answered);
	CU_ASSERT_EQUAL(vm->n_calls, answered);
	*(answered ? &h->n_after : &h->n_before) += 1;
	return answered ? h->after : h->before;
}

/* What the debugger changes of a call that is held before its answer, counts. */
static void a_call_is_held_before_its_answer_and_behind_it(void)
{
	struct uhyve_close p = { .fd = 99, .ret = 77 };
	struct holder h = { .before = true, .after = true };
	struct uhyve_close other = { .fd = 1, .ret = 77 };

	start();
	f.vm->hold = hold;
	f.vm->hold_ctx = &h;
	CU_ASSERT_EQUAL(call(UHYVE_V2_CLOSE, &p, sizeof(p))->kind, VM_CALL);
	CU_ASSERT(p.ret == 77 && f.vm->call_state == VM_CALL_HELD && !f.vm->call.answered);
	CU_ASSERT_EQUAL(f.watch.kinds[TRACE_ENTER], 0);
	CU_ASSERT_EQUAL(gmem_write(&f.vm->mem, BLOCK, &other, sizeof(other)), 0);
	CU_ASSERT_EQUAL(vm_run(f.vm)->kind, VM_CALL);
	CU_ASSERT(f.vm->call.answered && f.vm->call_state == VM_CALL_NONE);
	CU_ASSERT_EQUAL(gmem_read(&f.vm->mem, BLOCK, &p, sizeof(p)), 0);
	CU_ASSERT_EQUAL(p.ret, 0);
	CU_ASSERT(went_on(vm_run(f.vm)));
	CU_ASSERT(h.n_before == 1 && h.n_after == 1);
	CU_ASSERT_EQUAL(f.watch.kinds[TRACE_ENTER], 1);
	CU_ASSERT_EQUAL(f.watch.kinds[TRACE_LEAVE], 1);
	CU_ASSERT_EQUAL(f.watch.kinds[TRACE_STOP], 1);
	finish();
}

static struct {
	unsigned n;
	uint64_t gpa[8];
	size_t len[8];
} changed;

static void on_changed(struct backend *b, uint64_t gpa, size_t len)
{
	(void)b;
	changed.gpa[changed.n % 8] = gpa;
	changed.len[changed.n++ % 8] = len;
}

/* It may be code: a file read to memory, and the result in the block. */
static void tells_the_cpu_what_was_written(void)
{
	struct uhyve_v2_write w = { .len = 5, .buf = DATA };
	struct uhyve_v2_lseek s = { .offset = 0, .whence = SEEK_SET };
	struct uhyve_v2_read r = { .len = 100, .buf = DATA + 0x100 };
	struct backend_ops ops;

	start();
	ops = *f.vm->cpu->ops;
	ops.code_changed = on_changed;
	w.fd = s.fd = r.fd = open_file("/x", O_RDWR | O_CREAT);
	CU_ASSERT(went_on(call(UHYVE_V2_WRITE, &w, sizeof(w))));
	CU_ASSERT(went_on(call(UHYVE_V2_LSEEK, &s, sizeof(s))));
	f.vm->cpu->ops = &ops;
	changed.n = 0;
	CU_ASSERT(went_on(call(UHYVE_V2_READ, &r, sizeof(r))));
	CU_ASSERT_EQUAL(r.ret, 5);
	CU_ASSERT_EQUAL(changed.n, 2);
	CU_ASSERT_EQUAL(changed.gpa[0], DATA + 0x100);
	CU_ASSERT_EQUAL(changed.len[0], 5);
	CU_ASSERT_EQUAL(changed.gpa[1], BLOCK + offsetof(struct uhyve_v2_read, ret));
	CU_ASSERT_EQUAL(changed.len[1], sizeof(r.ret));
	finish();
}

static void another_responder_may_answer(void)
{
	struct uhyve_close p = { .fd = 99 };

	start();
	f.vm->respond = answer_seven;
	CU_ASSERT(went_on(call(UHYVE_V2_CLOSE, &p, sizeof(p))));
	CU_ASSERT_EQUAL(p.ret, 7);
	finish();
}

/* Before it is answered: what it will be, if it is one. */
static void a_call_can_be_looked_at(void)
{
	static const struct {
		struct ask ask;
		bool is_call;
		uint64_t block; /* its first bytes */
	} rows[] = {
		{ { UHYVE_V2_CLOSE, 4, false, BLOCK }, true, 0x1122334455667788 },
		{ { UHYVE_V2_CLOSE, 4, true, BLOCK }, false, 0 },
		{ { UHYVE_V2_CLOSE, 4, false, RAM_END - 1 }, false, 0 },
		{ { UHYVE_V2_EXIT, 4, false, 42 }, true, 42 },
		{ { UHYVE_V2_EXIT, 4, true, 42 }, false, 0 },
		{ { UHYVE_V2_SERIAL_READ_BYTE, 4, true, 9 }, true, 0 },
		{ { 0xcfc, 4, false, BLOCK }, false, 0 },
		{ { 0x1011, 4, false, BLOCK }, false, 0 },
	};
	uint64_t block = 0x1122334455667788, first;

	start();
	CU_ASSERT_EQUAL(gmem_write(&f.vm->mem, BLOCK, &block, sizeof(block)), 0);
	CU_ASSERT(went_on(ask((struct ask){ UHYVE_V2_SERIAL_READ_BYTE, 4, true, 0 })));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct ask *a = &rows[i].ask;
		struct vcpu_exit exit = { .kind = VCPU_PORT,
			.port = a->port,
			.size = a->size,
			.in = a->in,
			.data = (uint32_t)a->arg,
			.rdi = a->arg,
			.rip = 0x1234 };
		struct hcall call = { 0 };

		CU_ASSERT_EQUAL(hcall_look(f.vm, &exit, &call), rows[i].is_call);
		if (!rows[i].is_call)
			continue;
		memcpy(&first, call.block, sizeof(first));
		CU_ASSERT(call.row->port == a->port && call.seq == 1 && call.rip == 0x1234);
		CU_ASSERT_EQUAL(first, rows[i].block);
	}
	finish();
}

/* Every port with blocks of noise: an answer or a stop, never more; sanitizers watch. */
static void survives_noise_on_every_port(void)
{
	uint32_t seed = 1;

	start();
	for (unsigned port = 0; port < 65536; port++) {
		bool known = f.vm->row_of_port[port] && f.vm->row_of_port[port] != VM_PORT_LEGACY;

		for (unsigned round = 0; round < (known ? 200 : 1); round++) {
			uint64_t block[8];

			for (size_t i = 0; i < 8; i++) {
				seed = seed * 1664525 + 1013904223;
				block[i] = seed & 3 ? (uint64_t)RAM + (seed >> 8 & 0x1ffff)
						    : (uint64_t)seed << (seed >> 26);
			}
			gmem_write(&f.vm->mem, BLOCK, block, sizeof(block));
			ask((struct ask){ (uint16_t)port, 4, seed >> 30 == 3, BLOCK });
			CU_ASSERT(f.vm->stop.kind != VM_RUNNING && f.vm->stop.kind != VM_FAILED);
		}
	}
	finish();
}

static const struct unit_case cases[] = {
	{ "writes_seeks_and_reads_back", writes_seeks_and_reads_back },
	{ "stat_calls_answer_with_tags", stat_calls_answer_with_tags },
	{ "getdents_tells_success_end_and_error_apart",
		getdents_tells_success_end_and_error_apart },
	{ "bad_descriptors_come_before_bad_buffers", bad_descriptors_come_before_bad_buffers },
	{ "names_must_lie_in_ram_and_end", names_must_lie_in_ram_and_end },
	{ "stops_on_what_cannot_be_answered", stops_on_what_cannot_be_answered },
	{ "exit_ends_the_machine_with_its_code", exit_ends_the_machine_with_its_code },
	{ "legacy_ports_read_as_all_ones", legacy_ports_read_as_all_ones },
	{ "serial_input_at_its_end_is_all_ones", serial_input_at_its_end_is_all_ones },
	{ "serial_input_reaches_the_guest", serial_input_reaches_the_guest },
	{ "v1_lseek_says_exactly_minus_one", v1_lseek_says_exactly_minus_one },
	{ "v1_buffers_are_virtual_and_may_be_scattered",
		v1_buffers_are_virtual_and_may_be_scattered },
	{ "v1_neighbours_are_one_piece", v1_neighbours_are_one_piece },
	{ "v1_arguments_come_in_two_calls", v1_arguments_come_in_two_calls },
	{ "v1_arguments_that_do_not_fit_are_refused", v1_arguments_that_do_not_fit_are_refused },
	{ "watchers_see_each_call_whole", watchers_see_each_call_whole },
	{ "tells_the_cpu_what_was_written", tells_the_cpu_what_was_written },
	{ "another_responder_may_answer", another_responder_may_answer },
	{ "an_interrupted_call_stops_a_machine_that_is_to_stop",
		an_interrupted_call_stops_a_machine_that_is_to_stop },
	{ "a_paused_call_is_asked_again", a_paused_call_is_asked_again },
	{ "a_call_is_held_before_its_answer_and_behind_it",
		a_call_is_held_before_its_answer_and_behind_it },
	{ "a_call_can_be_looked_at", a_call_can_be_looked_at },
	{ "survives_noise_on_every_port", survives_noise_on_every_port },
};

UNIT_MAIN("hcall", cases)
