// SPDX-License-Identifier: ISC
/*
 * Any bytes as what a debugger says to the stub over a machine that runs, makes calls, crashes and ends: each packet has one
 * reply, or none if it is one of those; replies are such as gdb takes; words for the console come only while the guest runs;
 * whoever is still talking is told at the end how the guest stands. The machine's CPU is a script: a loop of one-byte
 * instructions that count, read, write and call.
 *
 * The first byte: bit 0, no checksums; bits 1 and 2, how the guest ends.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "cpu.h"
#include "err.h"
#include "fuzz/fuzz.h"
#include "gdb_packet.h"
#include "gdb_reader.h"
#include "gdb_stub.h"
#include "gdb_vm.h"
#include "gmem.h"
#include "log.h"
#include "paging.h"
#include "quiet.h"
#include "session.h"

enum {
	RAM_SIZE = 0x10000,
	PML4 = 0x1000,
	PDPT = 0x2000,
	PD = 0x3000,
	BLOCK = 0x4000,
	DATA = 0x8000,
	CODE = 0x9000,
	CODE_LEN = 64,
	PRESENT = 3,
	LARGE = 0x83,
	INSNS_MAX = 1000,
	PAUSE_EVERY = 64,
	INTERRUPT = 3,
};
enum end { END_EXIT, END_CRASH, END_HALT, END_REFUSED };

/* The machine, and what the debugger has not read or said yet. */
static struct world {
	struct session session;
	struct gdb_vm target;
	struct vcpu_debug debug;
	bool in_call, watched;
	uint64_t insns;
	enum end end;
	const uint8_t *at;
	size_t n;
	/* Of what was sent: */
	unsigned replies, acks, naks;
	bool running;
	uint8_t first; /* of the last reply; 0: it was empty */
} world;
static struct gdb_stub *stub; /* kept: each input is the next debugger */

/* ---- the CPU ---- */

static const struct hcall_row *row_named(const struct vm *vm, const char *name)
{
	for (size_t i = 0; i < vm->abi->n_rows; i++)
		if (!strcmp(vm->abi->rows[i].name, name) && vm->row_of_port[vm->abi->rows[i].port])
			return &vm->abi->rows[i];
	return NULL;
}

static int call(struct vm *vm, const char *name, uint64_t rip, struct vcpu_exit *exit)
{
	const struct hcall_row *row = row_named(vm, name);

	world.in_call = true;
	*exit = (struct vcpu_exit){ .kind = VCPU_PORT,
		.port = row->port,
		.size = 4,
		.data = row->block_len ? BLOCK : 'x',
		.rdi = row->block_len ? BLOCK : 'x',
		.rip = rip };
	return 0;
}

static int stop_at(
	struct vcpu_exit *exit, enum vcpu_debug_why why, uint64_t rip, uint64_t addr, bool wrote)
{
	*exit = (struct vcpu_exit){
		.kind = VCPU_DEBUG, .why = why, .rip = rip, .addr = addr, .wrote = wrote
	};
	return 0;
}

static const struct vcpu_watch *watched(uint64_t addr, uint64_t len, bool write)
{
	for (size_t i = 0; i < world.debug.n_watches; i++) {
		const struct vcpu_watch *w = &world.debug.watches[i];

		assert(w->len && w->gva + w->len >= w->gva);
		if (addr < w->gva + w->len && w->gva < addr + len &&
			(write ? w->on_write : w->on_read))
			return w;
	}
	return NULL;
}

static bool breaks(uint64_t rip)
{
	for (size_t i = 0; i < world.debug.n_breaks; i++)
		if (world.debug.breaks[i] == rip)
			return true;
	return false;
}

static int end_guest(struct vm *vm, uint64_t rip, struct vcpu_exit *exit)
{
	static const enum vcpu_exit_kind kinds[] = {
		[END_CRASH] = VCPU_SHUTDOWN, [END_HALT] = VCPU_HALT, [END_REFUSED] = VCPU_REFUSED
	};

	if (world.end == END_EXIT)
		return call(vm, "exit", rip, exit);
	*exit = (struct vcpu_exit){ .kind = kinds[world.end], .rip = rip, .text = "refused" };
	return 0;
}

/* What is at rip, done. True: exit is set. */
static bool one(struct vm *vm, struct cpu_regs *regs, struct vcpu_exit *exit)
{
	uint64_t at = regs->rip - CODE, addr = DATA + (regs->gpr[CPU_RAX] & 63);
	const struct vcpu_watch *w = NULL;

	if (at >= CODE_LEN || world.insns++ == INSNS_MAX)
		return !end_guest(vm, regs->rip, exit);
	regs->gpr[CPU_RAX]++;
	if (at == 20 || at == 40)
		return !call(vm, at == 20 ? "serial_write_byte" : "close", regs->rip, exit);
	if (at % 16 == 3) {
		gmem_write(&vm->mem, addr, &world.insns, sizeof(world.insns));
		w = watched(addr, sizeof(world.insns), true);
	} else if (at % 16 == 7) {
		w = watched(addr, sizeof(world.insns), false);
	}
	regs->rip = CODE + (at + 1) % CODE_LEN;
	return w && !stop_at(exit, VCPU_WATCHPOINT, regs->rip, w->gva, at % 16 == 3);
}

static int next(void *ctx, struct backend *b, struct vcpu_exit *exit)
{
	struct vm *vm = ctx;
	struct cpu_regs regs;
	bool first = true;

	backend_get_regs(b, &regs);
	if (world.in_call) {
		world.in_call = false;
		regs.rip++;
		backend_set_regs(b, &regs);
		if (world.debug.step)
			return stop_at(exit, VCPU_STEP, regs.rip, 0, false);
		first = false;
	}
	for (bool done = false; !done; first = false) {
		if (!first && breaks(regs.rip))
			return stop_at(exit, VCPU_BREAKPOINT, regs.rip, regs.rip, false);
		if (world.watched && world.insns % PAUSE_EVERY == PAUSE_EVERY - 1)
			vm_pause(vm);
		done = one(vm, &regs, exit);
		backend_set_regs(b, &regs);
		if (!done && world.debug.step)
			return stop_at(exit, VCPU_STEP, regs.rip, 0, false);
		if (!done && vm->paused)
			return *exit = (struct vcpu_exit){ .kind = VCPU_KICKED, .rip = regs.rip },
			       0;
	}
	return 0;
}

static int set_debug(struct backend *b, const struct vcpu_debug *debug)
{
	(void)b;
	world.debug = *debug;
	return 0;
}

static uint64_t icount(struct backend *b)
{
	(void)b;
	return world.insns;
}

static int64_t respond(void *ctx, struct vm *vm, struct hcall *hcall)
{
	return hcall->row->exits ? hcall_answer_row(ctx, vm, hcall) : -EBADF;
}

/* ---- the machine ---- */

static void put(struct vm *vm, uint64_t gpa, uint64_t value)
{
	assert(!gmem_write(&vm->mem, gpa, &value, sizeof(value)));
}

static void make_machine(void)
{
	static struct backend_ops ops;
	struct err err = { "" };
	struct cpu_state state;
	struct vm *vm;

	assert(!vm_create_script(&vm,
		&(struct vm_script){ .abi = &abi_uhyve,
			.abi_version = 2,
			.mem_size = RAM_SIZE,
			.args = { .image_path = "guest" },
			.next = next },
		&err));
	ops = *vm->cpu->ops;
	ops.set_debug = set_debug;
	ops.icount = icount;
	vm->cpu->ops = &ops;
	vm->respond = respond;
	put(vm, PML4, PDPT | PRESENT);
	put(vm, PDPT, PD | PRESENT);
	put(vm, PD, LARGE);
	put(vm, BLOCK, 7);
	cpu_state_long_mode(&state);
	state.cr3 = PML4;
	state.regs.rip = CODE;
	state.regs.gpr[CPU_RSP] = state.regs.gpr[CPU_RBP] = DATA + 0x800;
	assert(!backend_load(vm->cpu, &state));
	world.session.vm = vm;
	world.session.guest = "guest";
	world.session.no_files = true;
}

/* ---- the debugger's end ---- */

static void take(void *ctx, const uint8_t *bytes, size_t n)
{
	static uint8_t text[GDB_PACKET_MAX];
	long len;

	(void)ctx;
	if (n == 1) {
		assert(bytes[0] == '+' || bytes[0] == '-');
		world.acks += bytes[0] == '+';
		world.naks += bytes[0] == '-';
		return;
	}
	len = gdb_reader_take(bytes, n, false, text, sizeof(text));
	assert(len >= 0);
	if (len > 1 && text[0] == 'O' && text[1] != 'K') {
		assert(world.running && len % 2);
		return;
	}
	world.replies++;
	world.first = len ? text[0] : 0;
}

static enum gdb_poll poll_debugger(void *ctx)
{
	(void)ctx;
	while (world.n && *world.at == '+')
		world.at++, world.n--;
	if (!world.n || *world.at != INTERRUPT)
		return GDB_POLL_NOTHING;
	world.at++;
	world.n--;
	return GDB_POLL_INTERRUPT;
}

static void watch_debugger(void *ctx, bool on)
{
	(void)ctx;
	world.watched = on;
}

static void say(void *ctx, const char *text, size_t len)
{
	(void)ctx;
	gdb_stub_say(stub, text, len);
}

/* What the next item of the input is, by a decoder of our own. */
static enum gdb_item expect(struct gdb_decoder *d, bool no_ack)
{
	const uint8_t *at = world.at;
	size_t n = world.n;

	d->no_ack = no_ack;
	return gdb_decode(d, &at, &n);
}

static bool is_silent(const struct gdb_decoder *d)
{
	return (d->len && d->payload[0] == 'R') ||
	       (d->payload[0] == 'k' &&
		       (d->len == 1 || (d->payload[1] && strchr(":;,?", d->payload[1]))));
}

static bool is_no_ack(const struct gdb_decoder *d)
{
	const size_t len = strlen("QStartNoAckMode");

	return d->len >= len && !memcmp(d->payload, "QStartNoAckMode", len) &&
	       (d->len == len || (d->payload[len] && strchr(":;,?", d->payload[len])));
}

/* To the end of the input, or of the session. */
static enum gdb_stub_state talk(bool no_ack)
{
	static struct gdb_decoder mirror;
	enum gdb_stub_state state = GDB_TALKING;
	bool replied = false;

	mirror.state = 0;
	while (world.n && state == GDB_TALKING) {
		enum gdb_item item = expect(&mirror, no_ack);

		world.replies = world.acks = world.naks = 0;
		world.running =
			item == GDB_PACKET; /* one that goes on may say something in front */
		state = gdb_stub_input(stub, &world.at, &world.n);
		world.running = false;
		if (item == GDB_PACKET) {
			assert(world.replies == !is_silent(&mirror));
			assert(world.acks == !no_ack && !world.naks);
			no_ack |= is_no_ack(&mirror);
			replied |= world.replies;
		} else if (item == GDB_NAK) {
			assert(world.replies == (replied && !no_ack) && !world.acks);
		} else {
			assert(!world.replies && !world.acks);
			assert(world.naks == (item == GDB_CORRUPT && !no_ack));
		}
	}
	return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char hello[] = "$QStartNoAckMode#b0", question[] = "$?#3f";
	const struct gdb_link link = { NULL, poll_debugger, watch_debugger, say };
	bool no_ack;

	signal(SIGRTMIN, SIG_IGN);
	log_set_level(LOG_ERROR);
	if (!size)
		return 0;
	world = (struct world){ .end = (enum end)(data[0] >> 1 & 3) };
	session_init(&world.session);
	make_machine();
	assert(!gdb_vm_init(&world.target, &world.session, &link));
	quiet_begin();
	if (!stub)
		stub = gdb_stub_new(&world.target.ops, &world.target, take, NULL);
	quiet_end();
	assert(stub);
	gdb_stub_reset(stub);
	no_ack = data[0] & 1;
	world.at = (const uint8_t *)hello;
	world.n = no_ack ? strlen(hello) : 0;
	talk(false);
	world.at = data + 1;
	world.n = size - 1;
	if (talk(no_ack) == GDB_TALKING) {
		world.replies = 0;
		world.at = (const uint8_t *)question;
		world.n = strlen(question);
		while (world.n)
			gdb_stub_input(stub, &world.at, &world.n);
		assert(world.replies == 1 && world.first && strchr("TWX", world.first));
	}
	gdb_stub_gone(stub);
	gdb_vm_finish(&world.target);
	session_finish(&world.session);
	return 0;
}
