// SPDX-License-Identifier: ISC
/*
 * Time travel when something comes in between: pauses that can wait, signals that cannot, a machine that cannot be put back, a
 * guest that is another the second time, changes inside of calls, an end that whoever answers has decided on.
 */
#include "history.h"

#include <unistd.h>

#include "history_machine.h"

/* A loop of RCX turns, then a byte to the console, a short one, and the end. */
__asm__(".pushsection .rodata\n"
	"loops_start: nop\n"
	"loops_first: add $5, %rax\n dec %ecx\n jnz loops_first\n"
	"mov $0x1020, %edx\n mov $'x', %edi\n"
	"loops_call: out %eax, %dx\n"
	"mov $300, %ecx\n"
	"loops_second: add $7, %rax\n dec %ecx\n jnz loops_second\n"
	"mov $0x1010, %edx\n mov $7, %edi\n out %eax, %dx\n"
	"loops_end:\n.popsection");
extern const uint8_t loops_start[], loops_first[], loops_call[], loops_second[], loops_end[];

/* A backend that does what it does, but for what a test wants. */
static struct {
	struct backend_ops ops;
	const struct backend_ops *real;
	struct vm *vm;
	unsigned pause;                 /* one run of so many is paused; 0: none */
	unsigned pause_once, kick_once; /* the n-th run from now; 0: none */
	int freeze, thaw, save, debug;  /* fail with these */
	unsigned saves;                 /* so many still succeed */
	uint8_t operands;               /* x87's last one, another at each save; 0: as it is */
	unsigned tamper;                /* the n-th thaw from now changes a register */
	uint64_t rcx;
} own;

static bool now(unsigned *in)
{
	return *in && !--*in;
}

static int run(struct backend *b, struct vcpu_exit *exit)
{
	if ((own.pause && random() % own.pause == 0) || now(&own.pause_once))
		vm_pause(own.vm);
	if (now(&own.kick_once))
		vm_kick(own.vm);
	return own.real->run(b, exit);
}

static int freeze(struct backend *b, void *frozen)
{
	return own.freeze ? own.freeze : own.real->freeze(b, frozen);
}

static int thaw(struct backend *b, const void *frozen)
{
	struct cpu_regs regs;
	int r = own.thaw ? own.thaw : own.real->thaw(b, frozen);

	if (now(&own.tamper)) {
		own.real->get_regs(b, &regs);
		regs.gpr[CPU_RCX] = own.rcx;
		own.real->set_regs(b, &regs);
	}
	return r;
}

/* Of FXSAVE64: SDM 1 table 10-2. */
enum { FX_IP = 8, FX_DP = 16 };

static int save(struct backend *b, struct cpu_state *state)
{
	int r;

	if (own.save && !own.saves)
		return own.save;
	own.saves -= own.save != 0;
	r = own.real->save(b, state);
	if (!r && own.operands)
		state->fx[FX_IP] = state->fx[FX_DP] = own.operands++;
	return r;
}

static int set_debug(struct backend *b, const struct vcpu_debug *debug)
{
	return own.debug ? own.debug : own.real->set_debug(b, debug);
}

static void own_backend(struct machine *m)
{
	memset(&own, 0, sizeof(own));
	own.vm = m->vm;
	own.real = m->vm->cpu->ops;
	own.ops = *own.real;
	own.ops.run = run;
	own.ops.freeze = freeze;
	own.ops.thaw = thaw;
	own.ops.save = save;
	own.ops.set_debug = set_debug;
	m->vm->cpu->ops = &own.ops;
}

static bool nobody(void *ctx)
{
	(void)ctx;
	return false;
}

static const struct history_options patient = { .poll = nobody };

static bool begin(struct machine *m, const char *guest, const struct history_options *options)
{
	if (!machine_on(m, "tcg", guest, NULL, options))
		return false;
	own_backend(m);
	return true;
}

/* That guest of our own, from its first instruction. Where a label of it is. */
static bool begin_loops(struct machine *m, const struct history_options *options, uint64_t *code)
{
	struct cpu_regs regs;

	if (!begin(m, "hello", options))
		return false;
	*code = bare_guest(m->vm, loops_start, loops_end);
	backend_get_regs(m->vm->cpu, &regs);
	regs.gpr[CPU_RCX] = 3000;
	CU_ASSERT_EQUAL(backend_set_regs(m->vm->cpu, &regs), 0);
	history_close(m->h);
	m->h = NULL;
	CU_ASSERT_EQUAL_FATAL(history_open(&m->h, m->vm, options, &err), 0);
	return true;
}
#define AT(label) (code + (uint64_t)((label)-loops_start))

static struct seen here(struct machine *m)
{
	struct seen s = { 0 };
	struct cpu_regs regs = { 0 };

	backend_get_regs(m->vm->cpu, &regs);
	history_now(m->h, &s.pos);
	s.rip = regs.rip;
	s.cpu = hash_cpu(m);
	s.all = hash_all(m);
	return s;
}

/* ---- pauses ---- */

/* Whoever paused it is not the one who wants it to stop: it is run on, and all is as it would have been. */
static void pauses_that_can_wait_change_nothing(void)
{
	static const char *const names[] = { "hello", "code" };
	struct log log = { 0 };
	struct machine m;

	srandom(11);
	for (size_t i = 0; i < 2; i++) {
		if (!begin(&m, names[i], &patient))
			return;
		step_through(&m, &log, 20000, 97);
		own.pause = 3;
		for (unsigned turn = 0; turn < rounds(60); turn++) {
			size_t at = (size_t)random() % log.n;
			uint64_t breaks[] = { log.at[(size_t)random() % log.n].rip };

			seek_to(&m, &log.at[at]);
			if (at) {
				CU_ASSERT_EQUAL(back_one(&m), HISTORY_STOPPED);
				expect(&m, &log.at[at - 1], "one back");
			}
			if (turn % 5 == 0)
				back_through(&m, &log,
					&(struct vcpu_debug){ .breaks = breaks, .n_breaks = 1 },
					at);
		}
		seek_to(&m, &log.at[log.n - 1]);
		finish(&m);
	}
	free(log.at);
}

static void calls_are_found_through_pauses(void)
{
	struct history_back back = { .debug = NULL };
	unsigned which = 0;
	struct seen places[8];
	struct machine m;
	uint64_t code;

	if (!begin_loops(&m, &patient, &code))
		return;
	m.vm->hold = hold_all;
	m.vm->hold_ctx = &which;
	which = 3;
	for (size_t i = 0; i < 3; i++) {
		history_run(m.h, &free_run);
		CU_ASSERT_EQUAL(m.vm->stop.kind, VM_CALL);
		places[i] = here(&m); /* before and behind the first, before the second */
	}
	own.pause = 2;
	for (unsigned turn = 0; turn < rounds(20); turn++) {
		seek_to(&m, &places[turn % 3]);
		CU_ASSERT_EQUAL(m.vm->stop.kind, VM_CALL);
	}
	/* From behind an answer the call's own beginning is the last stop. */
	seek_to(&m, &places[1]);
	CU_ASSERT_EQUAL(history_back(m.h, &back, &err), HISTORY_STOPPED);
	expect(&m, &places[0], "before the call");
	seek_to(&m, &places[1]);
	CU_ASSERT_EQUAL(back_one(&m), HISTORY_STOPPED);
	seek_to(&m, &places[2]);
	CU_ASSERT_EQUAL(history_back(m.h, &back, &err), HISTORY_STOPPED);
	CU_ASSERT_EQUAL(m.vm->stop.kind, VM_CALL);
	CU_ASSERT_TRUE(m.vm->call.answered);
	finish(&m);
}

/* Without anybody to ask, a pause is what stops it. */
static void a_pause_stops_who_has_nobody_to_ask(void)
{
	static const struct history_options alone = { .max_bytes = 0 };
	struct history_pos to = { .calls = 1, .insns = 100, .stage = PLACE_PLAIN };
	struct machine m;
	struct seen at;
	uint64_t code;

	if (!begin_loops(&m, &alone, &code))
		return;
	history_run(m.h, &(struct vcpu_debug){ .until = 9600 });
	CU_ASSERT_EQUAL_FATAL(m.vm->n_calls, 1);
	at = here(&m);
	own.pause_once = 1;
	CU_ASSERT_EQUAL(history_seek(m.h, &to, &err), -EINTR);
	CU_ASSERT_STRING_EQUAL(err.text, "interrupted");
	expect(&m, &at, "interrupted");
	own.pause_once = 1;
	CU_ASSERT_EQUAL(history_back(m.h, &(struct history_back){ .step = true }, &err), -EINTR);
	expect(&m, &at, "interrupted");
	CU_ASSERT_EQUAL(history_seek(m.h, &to, &err), 0);
	finish(&m);
}

/* A signal that is to end us ends the way back first, wherever that is. */
static void a_kick_ends_the_way_at_any_time(void)
{
	unsigned interrupted = 0;
	uint64_t code, breaks[1];
	struct machine m;
	struct seen at;

	if (!begin_loops(&m, &patient, &code))
		return;
	breaks[0] = AT(loops_first) + 1000; /* nowhere */
	history_run(m.h, &(struct vcpu_debug){ .until = 9600 });
	at = here(&m);
	for (unsigned n = 1; n < 40; n++) {
		struct history_back back = { .step = n % 2,
			.debug = &(struct vcpu_debug){ .breaks = breaks, .n_breaks = 1 } };
		int r;

		own.kick_once = n;
		r = history_back(m.h, &back, &err);
		if (r == -EINTR) {
			interrupted++;
			expect(&m, &at, "kicked");
		} else {
			CU_ASSERT_EQUAL(r, back.step ? HISTORY_STOPPED : HISTORY_BEGIN);
		}
		own.kick_once = 0;
		CU_ASSERT_EQUAL(history_seek(m.h, &at.pos, &err), 0);
	}
	CU_ASSERT(interrupted > 1);
	finish(&m);
}

/* ---- what fails ---- */

static void a_machine_that_cannot_be_put_back_is_said_to_be(void)
{
	struct history_pos begin_pos;
	struct machine m;
	uint64_t code;

	if (!begin_loops(&m, &patient, &code))
		return;
	history_run(m.h, &(struct vcpu_debug){ .until = 9600 });
	history_begin(m.h, &begin_pos);
	own.thaw = -EIO;
	CU_ASSERT_EQUAL(history_seek(m.h, &begin_pos, &err), -EIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "the machine cannot be put back"));
	CU_ASSERT_EQUAL(back_one(&m), -EIO);
	CU_ASSERT_EQUAL(history_back(m.h, &(struct history_back){ .step = false }, &err), -EIO);
	own.thaw = 0;
	CU_ASSERT_EQUAL(history_seek(m.h, &begin_pos, &err), 0);
	/* One that cannot be remembered is not left. */
	own.freeze = -EIO;
	CU_ASSERT_EQUAL(back_one(&m), -ENOMEM);
	history_end(m.h, &begin_pos);
	CU_ASSERT_EQUAL(history_seek(m.h, &begin_pos, &err), -ENOMEM);
	own.freeze = 0;
	CU_ASSERT_EQUAL(history_seek(m.h, &begin_pos, &err), 0);
	CU_ASSERT_EQUAL(history_edit(m.h, &err), 0);
	own.freeze = -EIO;
	CU_ASSERT(history_edited(m.h, &err) < 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "what was changed is forgotten"));
	own.freeze = 0;
	/* Nor is anything known of a time of which too little was kept. */
	m.h->journal.broken = true;
	CU_ASSERT_EQUAL(back_one(&m), -ENOMEM);
	CU_ASSERT_EQUAL(history_edit(m.h, &err), -ENOMEM);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "memory was too short"));
	finish(&m);
}

static void a_history_begins_where_it_can(void)
{
	static const struct history_options none = { .max_bytes = 0 };
	struct history *h = NULL;
	struct machine m;

	if (!begin(&m, "hello", &patient))
		return;
	history_close(NULL);
	m.vm->call_state = VM_CALL_HELD;
	CU_ASSERT_EQUAL(history_open(&h, m.vm, &none, &err), -EBUSY);
	m.vm->call_state = VM_CALL_NONE;
	own.freeze = -EIO;
	CU_ASSERT_EQUAL(history_open(&h, m.vm, &none, &err), -ENOMEM);
	CU_ASSERT_STRING_EQUAL(err.text, "time travel on tcg: Cannot allocate memory");
	own.freeze = 0;
	own.debug = -EIO;
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_FAILED);
	CU_ASSERT_PTR_NULL(h);
	finish(&m);
}

static void comes_by_otherwise(struct machine *m, uint64_t nowhere, int want, const char *text)
{
	struct history_pos to = { .calls = 1, .insns = 250, .stage = PLACE_PLAIN };
	struct history_back back = { .debug = &(struct vcpu_debug){
					     .breaks = &nowhere, .n_breaks = 1 } };
	struct seen at = here(m);

	for (unsigned n = 1; n < 4; n++) {
		own.rcx = n; /* so many turns are left, and there were more */
		own.tamper = 1;
		CU_ASSERT_EQUAL(history_seek(m->h, &to, &err), want);
		CU_ASSERT(!strncmp(err.text, text, strlen(text)));
		expect(m, &at, "as it was");
		own.tamper = 1;
		CU_ASSERT_EQUAL(history_back(m->h, &back, &err), want);
		CU_ASSERT(!strncmp(err.text, text, strlen(text)));
		expect(m, &at, "as it was");
		own.tamper = 0;
		CU_ASSERT_EQUAL(history_seek(m->h, &to, &err), 0);
		CU_ASSERT_EQUAL(history_seek(m->h, &at.pos, &err), 0);
	}
}

/* It makes calls that it had not made, or ends where it had not ended: that is told, and it is where it was. */
static void a_guest_that_is_another_is_told(void)
{
	struct machine m;
	uint64_t code;

	if (!begin_loops(&m, &patient, &code))
		return;
	history_run(m.h, &(struct vcpu_debug){ .until = 9600 });
	comes_by_otherwise(&m, AT(loops_end) + 1000, -ERANGE, "there is no such place");
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_EXITED);
	comes_by_otherwise(
		&m, AT(loops_end) + 1000, -EIO, "the guest did not do again what it did");
	finish(&m);
}

/* ---- places ---- */

static void places_have_bounds(void)
{
	struct history_options late;
	struct history_pos end, pos;
	unsigned which = 0;
	struct machine m;
	struct seen at;
	uint64_t code;

	if (!begin_loops(&m, &patient, &code))
		return;
	m.vm->hold = hold_all;
	m.vm->hold_ctx = &which;
	history_run(m.h, &(struct vcpu_debug){ .until = 9300 });
	CU_ASSERT_EQUAL_FATAL(m.vm->n_calls, 1);
	at = here(&m);
	pos = (struct history_pos){ .calls = 1, .insns = HISTORY_AT_CALL };
	CU_ASSERT_EQUAL(history_seek(m.h, &pos, &err), -ERANGE);
	CU_ASSERT_STRING_EQUAL(err.text, "call 1 was not asked yet");
	pos.insns = at.pos.insns + 1;
	CU_ASSERT_EQUAL(history_seek(m.h, &pos, &err), -ERANGE);
	CU_ASSERT_STRING_EQUAL(err.text, "that is behind the end of what the guest did");
	pos.insns = UINT64_MAX - 2; /* around the end of all counting */
	CU_ASSERT_EQUAL(history_seek(m.h, &pos, &err), -ERANGE);
	expect(&m, &at, "there is no such place");
	which = 1;
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_CALL);
	history_end(m.h, &end);
	CU_ASSERT_EQUAL(end.stage, PLACE_ASKED);
	pos.insns = HISTORY_AT_CALL; /* now it was, though it is not answered */
	CU_ASSERT_EQUAL(history_seek(m.h, &pos, &err), 0);
	CU_ASSERT_EQUAL(m.vm->stop.kind, VM_DEBUG);
	CU_ASSERT_EQUAL(m.vm->call_state, VM_CALL_NONE);
	/* What was before a history began is not in it. */
	CU_ASSERT_EQUAL(history_seek(m.h, &end, &err), 0);
	which = 0;
	seek_to(&m, &at);
	history_close(m.h);
	m.h = NULL;
	late = patient;
	late.base = backend_icount(m.vm->cpu) - at.pos.insns;
	CU_ASSERT_EQUAL_FATAL(history_open(&m.h, m.vm, &late, &err), 0);
	history_begin(m.h, &pos);
	CU_ASSERT(!history_compare(&pos, &at.pos)); /* places are named as they were */
	history_run(m.h, &(struct vcpu_debug){ .until = 9400 });
	pos = (struct history_pos){ .calls = 0, .stage = PLACE_PLAIN };
	CU_ASSERT_EQUAL(history_seek(m.h, &pos, &err), -ERANGE);
	CU_ASSERT_STRING_EQUAL(err.text, "call 0: there are calls 1 to 1");
	pos = at.pos;
	pos.insns--;
	CU_ASSERT_EQUAL(history_seek(m.h, &pos, &err), -ERANGE);
	CU_ASSERT_STRING_EQUAL(err.text, "that is before the beginning");
	seek_to(&m, &at);
	CU_ASSERT_EQUAL(back_one(&m), HISTORY_BEGIN);
	finish(&m);
}

/* ---- changes in calls ---- */

/* What is changed while a call waits for its answer, and behind it, is made there again. */
static void changes_in_calls_are_part_of_it(void)
{
	struct history_pos start;
	unsigned which = 3;
	struct seen places[12];
	struct machine m;
	uint64_t gpa, code, to;
	size_t n = 0;

	if (!begin_loops(&m, &patient, &code))
		return;
	m.vm->hold = hold_all;
	m.vm->hold_ctx = &which;
	gpa = m.vm->mem.gpa + (9 << 20);
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_CALL);
		places[n++] = here(&m);
		CU_ASSERT_EQUAL_FATAL(history_edit(m.h, &err), 0);
		put64(&m, gpa, 100 + i);
		CU_ASSERT_EQUAL(history_edited(m.h, &err), 0);
		places[n++] = here(&m);
		if (!m.vm->call.answered)
			continue;
		history_run(m.h, &one_step);
		places[n++] = here(&m);
	}
	which = 0;
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_EXITED);
	places[n] = here(&m);
	for (unsigned turn = 0; turn < rounds(30); turn++)
		seek_to(&m, &places[(size_t)random() % (n + 1)]);
	/* In one go from the beginning: nobody but the changes stops it on the way. */
	history_begin(m.h, &start);
	CU_ASSERT_EQUAL(history_seek(m.h, &start, &err), 0);
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_EXITED);
	expect(&m, &places[n], "through changes");
	gmem_read(&m.vm->mem, gpa, &to, sizeof(to));
	CU_ASSERT_EQUAL(to, 102);
	/* And with stops, each with what was made there. */
	which = 3;
	CU_ASSERT_EQUAL(history_seek(m.h, &start, &err), 0);
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_CALL);
	expect(&m, &places[1], "held, and changed");
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_CALL);
	expect(&m, &places[3], "answered, and changed");
	finish(&m);
}

/* ---- an end that is none of the guest's ---- */

static int64_t answer_and_end(void *ctx, struct vm *vm, struct hcall *call)
{
	(void)ctx;
	if (call->seq)
		vm_stop_set(vm, VM_KICKED, "no more answers");
	return hcall_answer_row(NULL, vm, call);
}

/* As where a recording answers: behind its last call there is nothing. */
static void who_answers_may_end_it(void)
{
	struct log log = { 0 };
	struct machine m;

	if (!begin(&m, "code", &patient))
		return;
	m.vm->respond = answer_and_end;
	step_through(&m, &log, 20000, 97);
	CU_ASSERT_EQUAL(m.vm->stop.kind, VM_KICKED);
	CU_ASSERT_STRING_EQUAL(m.vm->stop.text, "no more answers");
	CU_ASSERT_EQUAL(log.at[log.n - 1].pos.stage, PLACE_ENDED);
	srandom(12);
	wander(&m, &log, rounds(50));
	seek_to(&m, &log.at[log.n - 1]);
	CU_ASSERT_EQUAL(m.vm->stop.kind, VM_KICKED);
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_KICKED);
	CU_ASSERT_EQUAL(history_edit(m.h, &err), -EPERM);
	CU_ASSERT_EQUAL(back_one(&m), HISTORY_STOPPED);
	expect(&m, &log.at[log.n - 2], "before the end");
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_KICKED);
	expect(&m, &log.at[log.n - 1], "the end again");
	finish(&m);
	free(log.at);
}

/* ---- where nobody counts ---- */

/* An instruction that nobody was at before a call was made. */
static uint64_t first_behind_a_call(const struct log *log)
{
	for (size_t i = 0; i < log->n; i++) {
		size_t k = 0;

		while (log->at[k].rip != log->at[i].rip)
			k++;
		if (k == i && log->at[i].pos.calls && log->at[i].pos.insns > 5)
			return log->at[i].rip;
	}
	return 0;
}

static bool begin_vague(struct machine *m, struct log *log, uint64_t *rip)
{
	if (!machine_on(m, "kvm", "hello", NULL, &patient))
		return false;
	step_through(m, log, 20000, 37);
	*rip = first_behind_a_call(log);
	finish(m);
	CU_ASSERT_TRUE_FATAL(machine_on(m, "kvm", "hello", NULL, &patient));
	own_backend(m);
	history_run(m->h, &(struct vcpu_debug){ .breaks = rip, .n_breaks = 1 });
	CU_ASSERT_EQUAL(m->vm->stop.exit.why, VCPU_BREAKPOINT);
	return true;
}

static void looking_for_a_place_can_be_given_up_on_kvm(void)
{
	struct history_pos at, pos;
	struct log log = { 0 };
	struct machine m;
	uint64_t rip;

	if (!begin_vague(&m, &log, &rip))
		return;
	own.kick_once = 2;
	CU_ASSERT_EQUAL(history_locate(m.h, &err), -EINTR);
	own.kick_once = 0;
	own.save = -EIO;
	CU_ASSERT_EQUAL(history_locate(m.h, &err), -EIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "the CPU's state"));
	own.saves = 1; /* only what is looked for is known: it is never seen again */
	CU_ASSERT_EQUAL(history_locate(m.h, &err), -EIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "did not come by here again"));
	own.save = 0;
	history_now(m.h, &at);
	CU_ASSERT_EQUAL(at.insns, HISTORY_UNKNOWN);
	CU_ASSERT_EQUAL(history_locate(m.h, &err), 0);
	history_now(m.h, &at);
	CU_ASSERT(at.insns != HISTORY_UNKNOWN);
	/* By a call's number it is held in that, which is as near as it gets. */
	CU_ASSERT_FATAL(at.calls > 0);
	pos = (struct history_pos){ .calls = 0, .insns = HISTORY_AT_CALL };
	CU_ASSERT_EQUAL(history_seek(m.h, &pos, &err), 0);
	CU_ASSERT_EQUAL(m.vm->stop.kind, VM_CALL);
	pos = (struct history_pos){ .calls = 1, .stage = PLACE_PLAIN };
	CU_ASSERT_EQUAL(history_seek(m.h, &pos, &err), 0);
	history_now(m.h, &pos);
	CU_ASSERT(pos.calls == 1 && pos.insns == 0 && pos.stage == PLACE_PLAIN);
	CU_ASSERT_EQUAL(history_seek(m.h, &at, &err), 0);
	own.thaw = -EIO;
	CU_ASSERT_EQUAL(back_one(&m), -EIO);
	own.thaw = 0;
	finish(&m);
	free(log.at);
}

/* Which x87 instruction was the last, and on what, is not noted by all who take a step: the place is found all the same. */
static void what_x87_did_last_is_no_part_of_a_place_on_kvm(void)
{
	struct cpu_state one, two;
	struct history_pos at;
	struct log log = { 0 };
	struct machine m;
	uint64_t rip;

	if (!begin_vague(&m, &log, &rip))
		return;
	own.operands = 1;
	CU_ASSERT_EQUAL(backend_save(m.vm->cpu, &one), 0);
	CU_ASSERT_EQUAL(backend_save(m.vm->cpu, &two), 0);
	CU_ASSERT_NOT_EQUAL(one.fx[FX_IP], two.fx[FX_IP]);
	CU_ASSERT_NOT_EQUAL(one.fx[FX_DP], two.fx[FX_DP]);
	CU_ASSERT_EQUAL(history_locate(m.h, &err), 0);
	history_now(m.h, &at);
	CU_ASSERT(at.insns != HISTORY_UNKNOWN);
	own.operands = 0;
	finish(&m);
	free(log.at);
}

static const struct unit_case cases[] = {
	{ "what_x87_did_last_is_no_part_of_a_place_on_kvm",
		what_x87_did_last_is_no_part_of_a_place_on_kvm },
	{ "pauses_that_can_wait_change_nothing", pauses_that_can_wait_change_nothing },
	{ "calls_are_found_through_pauses", calls_are_found_through_pauses },
	{ "a_pause_stops_who_has_nobody_to_ask", a_pause_stops_who_has_nobody_to_ask },
	{ "a_kick_ends_the_way_at_any_time", a_kick_ends_the_way_at_any_time },
	{ "a_machine_that_cannot_be_put_back_is_said_to_be",
		a_machine_that_cannot_be_put_back_is_said_to_be },
	{ "a_history_begins_where_it_can", a_history_begins_where_it_can },
	{ "a_guest_that_is_another_is_told", a_guest_that_is_another_is_told },
	{ "places_have_bounds", places_have_bounds },
	{ "changes_in_calls_are_part_of_it", changes_in_calls_are_part_of_it },
	{ "who_answers_may_end_it", who_answers_may_end_it },
	{ "looking_for_a_place_can_be_given_up_on_kvm",
		looking_for_a_place_can_be_given_up_on_kvm },
};

UNIT_MAIN("history_hard", cases)
