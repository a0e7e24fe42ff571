// SPDX-License-Identifier: ISC
/*
 * A guest made of pieces, and journeys through its time: the input says which pieces (a count, then
 * a byte each), how far it is stepped at first, and then three bytes for each thing to do; the
 * count's highest bit, that the history has next to no room. Beyond not crashing: wherever it is
 * taken, registers and memory are what they were when it first came by; backwards the same things
 * stop it as forwards; no call is asked twice, and the sinks see each once; what was forgotten is
 * refused, and nothing else is.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "abi.h"
#include "backend.h"
#include "err.h"
#include "fuzz/fuzz.h"
#include "history.h"
#include "quiet.h"
#include "trace.h"
#include "vm.h"

enum {
	RAM = 0x100000,
	RAM_SIZE = 0x40000,
	CODE = RAM + 0x1000,
	HANDLERS = RAM + 0x4000,
	STACK = RAM + 0x8000,
	PML4 = RAM + 0x9000,
	PDPT = RAM + 0xa000,
	IDT = RAM + 0xb000,
	GDT = RAM + 0xc000,
	DATA = RAM + 0x10000,
	BLOCK = DATA + 0x1000,
	PAGE = 4096,
	PIECES_MAX = 48,
	FIRST_STEPS = 120,
	STEPS_MAX = 600,
	DOINGS_MAX = 40,
	SMALL = 1024, /* bytes of history: a few answers */
};

/* rbx: data; rbp: nothing is mapped there; r8: the APIC. */
#define PIECE(name, text)                                                                          \
	__asm__(".pushsection .rodata\n" #name "_start:\n" text "\n" #name "_end:\n.popsection");  \
	extern const uint8_t name##_start[], name##_end[]

PIECE(count, "inc %rax");
PIECE(store, "add %rax, (%rbx)\n mov %eax, 0x100(%rbx)");
PIECE(load, "mov (%rbx), %rdx\n xor %rdx, %rax");
PIECE(stack, "push %rax\n pushfq\n popfq\n pop %rdx");
PIECE(copy, "mov $5, %ecx\n lea (%rbx), %rsi\n lea 0x33(%rbx), %rdi\n rep movsb");
PIECE(put, "mov $0x1020, %edx\n mov %eax, %edi\n out %eax, %dx");
PIECE(get, "mov $0x1040, %edx\n in %dx, %eax");
PIECE(fetch, "mov $0x1050, %edx\n lea 0x1000(%rbx), %rdi\n out %eax, %dx\n add 0x2000(%rbx), %rax");
PIECE(invalid, "ud2");
PIECE(soft, "int $0x30");
PIECE(absent, "mov %eax, 0(%rbp)");
PIECE(patch, "incb 1f+1(%rip)\n 1: mov $1, %al");
PIECE(sleep, "movl $0x7b, 0x320(%r8)\n movl $30, 0x380(%r8)\n sti\n hlt\n cli");
PIECE(tick, "movl $0x2007b, 0x320(%r8)\n movl $90, 0x380(%r8)\n sti");
PIECE(loop, "mov $7, %ecx\n 1: add %rcx, 0x40(%rbx)\n dec %ecx\n jnz 1b");
PIECE(sse, "movq %rax, %xmm1\n paddq %xmm1, %xmm2\n movq %xmm2, 8(%rbx)");
PIECE(begin, "movl $0x1ff, 0xf0(%r8)\n movl $0xb, 0x3e0(%r8)");
PIECE(leave, "mov $0x1010, %edx\n mov $3, %edi\n out %eax, %dx");

#define ROW(name)                                                                                  \
	{                                                                                          \
		name##_start, name##_end                                                           \
	}
static const struct piece {
	const uint8_t *start, *end;
} pieces[] = { ROW(count), ROW(store), ROW(load), ROW(stack), ROW(copy), ROW(put), ROW(get),
	ROW(fetch), ROW(invalid), ROW(soft), ROW(absent), ROW(patch), ROW(sleep), ROW(tick),
	ROW(loop), ROW(sse) };
enum { N_PIECES = sizeof(pieces) / sizeof(pieces[0]) };

/* Handlers of what the pieces raise: each makes its way behind the instruction. */
PIECE(on_ud, "addq $2, (%rsp)\n iretq");
PIECE(on_pf, "add $8, %rsp\n addq $3, (%rsp)\n iretq");
PIECE(on_soft, "incq 0x80(%rbx)\n iretq");
PIECE(on_timer, "incq 0x88(%rbx)\n movl $0, 0xb0(%r8)\n iretq");
static const struct {
	uint8_t vector;
	struct piece code;
} handlers[] = {
	{ CPU_VEC_UD, ROW(on_ud) },
	{ CPU_VEC_PF, ROW(on_pf) },
	{ 0x30, ROW(on_soft) },
	{ 0x7b, ROW(on_timer) },
};

struct seen {
	struct history_pos pos;
	uint64_t rip, cpu, memory;
	bool read, written; /* by the instruction before it: the word at rbx */
};

static struct world {
	struct vm *vm;
	struct checkpoint_list states; /* for its frozen size only */
	struct checkpoint *fresh;
	struct history *h;
	struct trace_sink sink;
	uint64_t asked, told; /* calls */
	struct seen log[STEPS_MAX + DOINGS_MAX + 1];
	size_t n, at; /* of the log; where it is */
	size_t first; /* that is not forgotten */
	bool ended;
} world;

/* ---- the machine, made once ---- */

static void put64(uint64_t gpa, uint64_t v)
{
	assert(!gmem_write(&world.vm->mem, gpa, &v, sizeof(v)));
}

/* Whoever asks twice hears something else. */
static int64_t respond(void *ctx, struct vm *vm, struct hcall *call)
{
	struct world *w = ctx;
	uint64_t word = ++w->asked * 0x9e3779b97f4a7c15;

	assert(ctx == vm->respond_ctx);
	if (call->row->exits)
		return hcall_answer_row(NULL, vm, call);
	if (call->row->ret != HCALL_RET_I64)
		return (int64_t)(word & 0xff);
	return hcall_write(vm, call, DATA + 0x2000, &word, sizeof(word)) ? -EFAULT
									 : (int64_t)sizeof(word);
}

static void emit(struct trace_sink *sink, const struct trace_event *event)
{
	(void)sink;
	if (event->kind == TRACE_ENTER)
		assert(event->call->seq == world.told);
	if (event->kind == TRACE_LEAVE)
		assert(event->call->seq == world.told++);
}

static int next(void *ctx, struct backend *b, struct vcpu_exit *exit)
{
	(void)ctx, (void)b, (void)exit;
	return -ENODATA;
}

static void put_handlers(void)
{
	uint64_t at = HANDLERS;

	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
		size_t len = (size_t)(handlers[i].code.end - handlers[i].code.start);

		assert(!gmem_write(&world.vm->mem, at, handlers[i].code.start, len));
		put64(IDT + 16u * handlers[i].vector,
			(at & 0xffff) | 8u << 16 | 0x8e00ull << 32 | (at >> 16) << 48);
		at += 64;
	}
}

static void put_tables(void)
{
	put_handlers();
	put64(PML4, PDPT | 3);
	put64(PDPT, 0x83);
	put64(PDPT + 24, 3ull << 30 | 0x83);
	put64(GDT + 8, 0x00af9b000000ffff);
	put64(GDT + 16, 0x00cf93000000ffff);
	put64(BLOCK, 8);
	put64(BLOCK + 16, DATA + 0x2000);
}

static void load(struct vm *vm)
{
	struct cpu_state s = { 0 };

	cpu_state_long_mode(&s);
	s.cr3 = PML4;
	s.cr4 |= CPU_CR4_OSFXSR | CPU_CR4_OSXMMEXCPT;
	s.gdt = (struct cpu_table){ .base = GDT, .limit = 23 };
	s.idt = (struct cpu_table){ .base = IDT, .limit = PAGE - 1 };
	s.regs.rip = CODE;
	s.regs.gpr[CPU_RSP] = STACK;
	s.regs.gpr[CPU_RBX] = DATA;
	s.regs.gpr[CPU_RBP] = 0x7000000000;
	s.regs.gpr[CPU_R8] = 0xfee00000;
	assert(!backend_load(vm->cpu, &s));
}

static void make_world(void)
{
	struct err err = { "" };
	struct backend *cpu = NULL;
	struct vm *vm = NULL;

	assert(!vm_create_script(&vm,
		&(struct vm_script){ .abi = &abi_uhyve,
			.abi_version = 2,
			.ram_gpa = RAM,
			.mem_size = RAM_SIZE,
			.sinks = &world.sink,
			.next = next },
		&err));
	world.sink.emit = emit;
	backend_destroy(vm->cpu);
	vm->cpu = NULL;
	assert(!backend_tcg.create(&cpu,
		&(struct backend_config){ .mem = &vm->mem,
			.irqchip = true,
			.plain_cpu = true,
			.port = hcall_port,
			.ctx = vm },
		&err));
	vm->cpu = cpu;
	vm->respond = respond;
	vm->respond_ctx = &world;
	world.vm = vm;
	put_tables();
	load(vm);
	assert(!checkpoint_list_init(&world.states, vm, 1 << 30, 2));
	world.fresh = checkpoint_new(&world.states, &(struct place){ .stage = PLACE_PLAIN });
	assert(world.fresh);
}

/* ---- what it saw ---- */

static uint64_t hash(uint64_t h, const void *bytes, size_t len)
{
	const uint64_t *words = bytes;

	assert(!((uintptr_t)bytes % sizeof(*words)) && !(len % sizeof(*words)));
	for (size_t i = 0; i < len / sizeof(*words); i++)
		h = ((h ^ words[i]) * 0x9e3779b97f4a7c15) ^ h >> 31;
	return h;
}

/* Of memory what the guest writes to. */
static void look(struct seen *s)
{
	static const uint64_t written[] = { CODE, STACK - PAGE, DATA, DATA + 0x1000,
		DATA + 0x2000 };
	uint64_t words[PAGE / sizeof(uint64_t)];
	struct cpu_state cpu;

	memset(s, 0, sizeof(*s));
	history_now(world.h, &s->pos);
	assert(!backend_save(world.vm->cpu, &cpu));
	s->rip = cpu.regs.rip;
	s->cpu = hash(1, &cpu, sizeof(cpu));
	for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
		assert(!gmem_read(&world.vm->mem, written[i], words, sizeof(words)));
		s->memory = hash(s->memory, words, sizeof(words));
	}
}

static void expect_seen(const struct seen *want)
{
	struct seen now;

	look(&now);
	assert(!history_compare(&now.pos, &want->pos));
	assert(now.rip == want->rip);
	assert(now.cpu == want->cpu);
	assert(now.memory == want->memory);
}

static void expect(size_t at)
{
	expect_seen(&world.log[at]);
	world.at = at;
}

static void seek(size_t to)
{
	struct err err = { "" };
	int r = history_seek(world.h, &world.log[to].pos, &err);

	assert(r == (to < world.first ? -ERANGE : 0));
	expect(to < world.first ? world.at : to);
}

static size_t first_known(void)
{
	struct history_pos begin;
	size_t i = 0;

	history_begin(world.h, &begin);
	while (history_compare(&world.log[i].pos, &begin) < 0)
		i++;
	assert(!history_compare(&world.log[i].pos, &begin));
	return i;
}

static const struct vcpu_watch on_write = { .gva = DATA, .len = 8, .on_write = true },
			       on_read = { .gva = DATA, .len = 8, .on_read = true };

/* Does the last step make such an access? */
static bool makes(const struct vcpu_watch *watch)
{
	const struct vm_stop *stop;

	seek(world.n - 2);
	stop = history_run(
		world.h, &(struct vcpu_debug){ .step = true, .watches = watch, .n_watches = 1 });
	return stop->kind == VM_DEBUG && stop->exit.why == VCPU_WATCHPOINT;
}

/* One step where nobody has been. */
static void step_on(void)
{
	struct seen *s = &world.log[world.n];

	if (world.ended || world.n == STEPS_MAX)
		return;
	world.ended = history_run(world.h, &(struct vcpu_debug){ .step = true })->kind != VM_DEBUG;
	look(s);
	world.n++;
	world.at = world.n - 1;
	world.first = first_known();
	if (world.first == world.at)
		return;
	s->written = makes(&on_write);
	s->read = makes(&on_read);
	seek(world.n - 1);
}

/* ---- what is done ---- */

struct stops {
	uint64_t rip;
	bool breaks, reads, writes;
};

static struct vcpu_debug debug_of(const struct stops *w, struct vcpu_watch *watch)
{
	*watch = (struct vcpu_watch){
		.gva = DATA, .len = 8, .on_read = w->reads, .on_write = w->writes
	};
	return (struct vcpu_debug){ .breaks = &w->rip,
		.n_breaks = w->breaks,
		.watches = watch,
		.n_watches = w->reads || w->writes };
}

static bool accessed(const struct stops *w, size_t i)
{
	return (w->reads && world.log[i].read) || (w->writes && world.log[i].written);
}

/* The same place as at, but for what was edited. */
static bool same_place(size_t i, size_t at)
{
	struct history_pos a = world.log[i].pos, b = world.log[at].pos;

	a.edits = b.edits;
	return !history_compare(&a, &b);
}

/* Who comes by sees what was edited there. */
static size_t behind_edits(size_t i)
{
	while (i + 1 < world.n && same_place(i + 1, i))
		i++;
	return i;
}

static size_t next_stop(const struct stops *w)
{
	for (size_t i = world.at + 1; i < world.n; i++) {
		if (!history_compare(&world.log[i].pos, &world.log[i - 1].pos))
			continue;
		if (accessed(w, i) || (w->breaks && world.log[i].rip == w->rip &&
					      world.log[i].pos.edits == world.log[i - 1].pos.edits))
			return i;
	}
	return 0;
}

/* 0: none; else 1 + where. Where something was edited, it was already. */
static size_t last_stop(const struct stops *w)
{
	for (size_t i = world.at; i-- > world.first;) {
		if (world.log[i + 1].pos.edits == world.log[i].pos.edits && accessed(w, i + 1))
			return 1 + i;
		if (i > world.first && w->breaks && world.log[i].rip == w->rip &&
			!same_place(i, world.at) &&
			world.log[i].pos.edits == world.log[i - 1].pos.edits)
			return 1 + i;
	}
	return 0;
}

static void back_one(void)
{
	struct err err = { "" };
	size_t to = world.at;
	int r = history_back(world.h, &(struct history_back){ .step = true }, &err);

	while (to > world.first && same_place(to, world.at))
		to--;
	if (same_place(to, world.at)) {
		assert(r == HISTORY_BEGIN);
		to = world.at;
	} else {
		assert(r == HISTORY_STOPPED);
	}
	expect(to);
}

static void back(const struct stops *w)
{
	struct vcpu_watch watch;
	struct vcpu_debug debug = debug_of(w, &watch);
	size_t to = last_stop(w);
	struct err err = { "" };
	int r = history_back(world.h, &(struct history_back){ .debug = &debug }, &err);

	assert(r == (to ? HISTORY_STOPPED : HISTORY_BEGIN));
	if (to || !same_place(world.first, world.at))
		expect(behind_edits(to ? to - 1 : world.first));
	else
		expect(world.at); /* it was at the beginning */
}

/* An access stops a string instruction in the middle: a place that can be gone to as well. */
static void finish_string(size_t to)
{
	struct err err = { "" };
	struct seen middle;

	look(&middle);
	if (!history_compare(&middle.pos, &world.log[to].pos))
		return;
	seek(world.n - 1);
	assert(!history_seek(world.h, &middle.pos, &err));
	expect_seen(&middle);
	history_run(world.h, &(struct vcpu_debug){ .step = true });
}

static void forward(const struct stops *w)
{
	struct vcpu_watch watch;
	struct vcpu_debug debug = debug_of(w, &watch);
	size_t to = next_stop(w);

	if (!to)
		return;
	history_run(world.h, &debug);
	finish_string(behind_edits(to));
	expect(behind_edits(to));
}

static void edit(uint8_t value)
{
	struct err err = { "" };
	struct cpu_regs regs;

	if (world.at + 1 != world.n || world.ended || world.n == STEPS_MAX) {
		if (world.at + 1 < world.n && !same_place(world.at, world.n - 1))
			assert(history_edit(world.h, &err) == -EROFS);
		return;
	}
	assert(!history_edit(world.h, &err));
	put64(DATA, value);
	assert(!backend_get_regs(world.vm->cpu, &regs));
	regs.gpr[CPU_RAX] ^= value;
	assert(!backend_set_regs(world.vm->cpu, &regs));
	assert(!history_edited(world.h, &err));
	if (world.log[world.at].pos.edits && world.at &&
		same_place(world.at - 1, world.at)) { /* the same edit goes on */
		look(&world.log[world.at]);
		return;
	}
	look(&world.log[world.n++]);
	world.at++;
}

static void fork_here(void)
{
	struct err err = { "" };

	/* The calls that are told anew have their numbers anew. */
	assert(!history_fork(world.h, &err));
	world.told = world.vm->n_calls;
	world.n = world.at + 1;
	world.ended = world.ended && world.log[world.at].pos.stage == PLACE_ENDED;
	assert(!history_in_past(world.h));
}

static int rewind_answers(void *ctx, uint64_t call, struct err *err)
{
	(void)ctx, (void)call, (void)err;
	return 0;
}

static void act(const uint8_t *bytes)
{
	size_t to = bytes[1] * world.n / 256;
	struct stops w = { .rip = world.log[to].rip,
		.breaks = bytes[2] & 1,
		.reads = bytes[2] & 2,
		.writes = bytes[2] & 4 };

	switch (bytes[0] % 8) {
	case 0:
		return seek(to);
	case 1:
		for (unsigned i = bytes[1] % 4 + 1u; i; i--)
			back_one();
		return;
	case 2:
	case 3:
		return back(&w);
	case 4:
		return forward(&w);
	case 5:
		seek(world.n - 1);
		for (unsigned i = bytes[1] % 8 + 1u; i; i--)
			step_on();
		return;
	case 6:
		return edit(bytes[1]);
	case 7:
		if (bytes[2] > 200)
			fork_here();
		return;
	}
}

static size_t put_piece(uint8_t *to, const uint8_t *start, const uint8_t *end)
{
	memcpy(to, start, (size_t)(end - start));
	return (size_t)(end - start);
}

static const uint8_t *put_code(const uint8_t *data, const uint8_t *end)
{
	uint8_t code[HANDLERS - CODE];
	size_t n = put_piece(code, begin_start, begin_end),
	       count = *data++ % 128 % (PIECES_MAX + 1);

	for (; count && data < end; count--, data++) {
		const struct piece *p = &pieces[*data % N_PIECES];

		n += put_piece(code + n, p->start, p->end);
	}
	n += put_piece(code + n, leave_start, leave_end);
	assert(!gmem_write(&world.vm->mem, CODE, code, n));
	backend_code_changed(world.vm->cpu, CODE, n);
	return data;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	size_t room = size && data[0] & 0x80 ? SMALL : 0;
	struct err err = { "" };

	if (size < 3)
		return 0;
	if (!world.vm) {
		quiet_begin();
		make_world();
		quiet_end();
	}
	assert(!checkpoint_restore(&world.states, world.fresh));
	data = put_code(data, end);
	world.asked = world.told = world.at = world.first = 0;
	world.ended = false;
	assert(!history_open(&world.h, world.vm,
		&(struct history_options){
			.max_bytes = room, .max_checkpoints = 9, .rewind = rewind_answers },
		&err));
	look(&world.log[0]);
	world.n = 1;
	for (unsigned i = data < end ? *data++ % FIRST_STEPS : 0; i; i--)
		step_on();
	for (unsigned i = 0; i < DOINGS_MAX && end - data >= 3; i++, data += 3) {
		act(data);
		assert(first_known() == world.first);
	}
	history_close(world.h);
	return 0;
}
