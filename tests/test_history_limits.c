// SPDX-License-Identifier: ISC
/* A history that may take so much memory and no more: what is oldest is forgotten, and the rest is as it was. */
#include "history_machine.h"

/* Makes so many calls as RCX says, and writes between them. */
__asm__(".pushsection .rodata\n"
	"calls_start: mov $0x1020, %edx\n mov $'x', %edi\n xor %eax, %eax\n"
	"1: out %eax, %dx\n calls_behind: add $3, %rax\n xor %rax, -64(%rsp)\n dec %ecx\n jnz 1b\n"
	"mov $0x1010, %edx\n mov $7, %edi\n out %eax, %dx\n"
	"calls_end:\n.popsection");
extern const uint8_t calls_start[], calls_behind[], calls_end[];

enum { CALLS = 6000, MOST = 512 << 10, STACK = 1 << 20, DATA = 12 << 20 };

/* Who answers writes so much, and once more than there is room for. */
struct answers {
	uint64_t large_one;
	size_t large, each;
};

static int64_t answer(void *ctx, struct vm *vm, struct hcall *call)
{
	static uint8_t bytes[MOST];
	const struct answers *a = ctx;
	size_t len = call->seq == a->large_one ? a->large : a->each * (call->seq % 7);

	if (call->seq == CALLS)
		return hcall_answer_row(NULL, vm, call);
	memset(bytes, (int)call->seq, len);
	if (len)
		hcall_write(vm, call, vm->mem.gpa + DATA, bytes, len);
	return 0;
}

static bool begin(struct machine *m, const char *backend, size_t max_bytes, struct answers *answers)
{
	const struct history_options options = { .max_bytes = max_bytes };
	const size_t len = (size_t)(calls_end - calls_start);
	struct cpu_regs regs;

	if (!machine_on(m, backend, "hello", NULL, &options))
		return false;
	backend_get_regs(m->vm->cpu, &regs);
	CU_ASSERT_EQUAL(gmem_write(&m->vm->mem, regs.rip, calls_start, len), 0);
	backend_code_changed(m->vm->cpu, regs.rip, len);
	regs.gpr[CPU_RCX] = CALLS;
	regs.gpr[CPU_RSP] = m->vm->mem.gpa + STACK;
	CU_ASSERT_EQUAL(backend_set_regs(m->vm->cpu, &regs), 0);
	m->vm->respond = answer;
	m->vm->respond_ctx = answers;
	history_close(m->h);
	m->h = NULL;
	CU_ASSERT_EQUAL_FATAL(history_open(&m->h, m->vm, &options, &err), 0);
	return true;
}

static void expect_bound(struct machine *m)
{
	struct history_stat stat;

	history_stat(m->h, &stat);
	if (stat.bytes > MOST)
		printf("     %zu bytes\n", stat.bytes);
	CU_ASSERT(stat.bytes <= MOST);
}

/* Behind each call, and the end. The calls are the log's indices. */
static void run_through(struct machine *m, struct log *log)
{
	unsigned behind = 2;

	m->vm->hold = hold_all;
	m->vm->hold_ctx = &behind;
	log->n = 0;
	see(m, log, true);
	while (history_run(m->h, &free_run)->kind == VM_CALL) {
		expect_bound(m);
		history_run(m->h, &one_step);
		see(m, log, log->n % 50 == 0);
	}
	see(m, log, true);
	m->vm->hold = NULL;
	CU_ASSERT_EQUAL(m->vm->stop.kind, VM_EXITED);
	CU_ASSERT_EQUAL_FATAL(log->n, CALLS + 2);
}

/* What there is is as it was, and what is before the beginning is refused. */
static void look_around(struct machine *m, const struct log *log)
{
	struct history_pos pos;
	struct seen begin;

	history_begin(m->h, &pos);
	CU_ASSERT(pos.calls > 0 && pos.calls < CALLS);
	begin = log->at[pos.calls];
	for (unsigned i = 0; i < rounds(60); i++) {
		size_t at = i % 4 ? pos.calls + (size_t)random() % (log->n - pos.calls)
				  : (size_t)random() % pos.calls;

		if (at >= pos.calls)
			seek_to(m, &log->at[at]);
		else
			CU_ASSERT_EQUAL(history_seek(m->h, &log->at[at].pos, &err), -ERANGE);
	}
	CU_ASSERT_EQUAL(history_back(m->h, &(struct history_back){ 0 }, &err), HISTORY_BEGIN);
	expect(m, &begin, "the beginning");
	history_run(m->h, &one_step);
	CU_ASSERT_EQUAL(back_one(m), HISTORY_STOPPED);
	expect(m, &begin, "one back to the beginning");
	CU_ASSERT_EQUAL(back_one(m), HISTORY_BEGIN);
	CU_ASSERT_EQUAL(history_run(m->h, &free_run)->kind, VM_EXITED);
	expect(m, &log->at[log->n - 1], "the end");
	CU_ASSERT_EQUAL(m->leaves, CALLS + 1);
}

static void forgets_the_oldest(const char *backend, size_t each)
{
	struct answers answers = { .each = each };
	struct history_stat stat;
	struct history_pos pos;
	struct log log = { 0 };
	struct machine m;

	srandom(21);
	if (!begin(&m, backend, MOST, &answers))
		return;
	run_through(&m, &log);
	look_around(&m, &log);
	history_stat(m.h, &stat);
	history_begin(m.h, &pos);
	CU_ASSERT_EQUAL(stat.forgotten, pos.calls);
	CU_ASSERT_EQUAL(stat.calls, CALLS + 1 - pos.calls);
	/* Never less than the half of what answers may take. */
	CU_ASSERT(journal_size(&m.h->journal) > MOST / 5);
	finish(&m);
	/* The same with nobody who stops it. */
	CU_ASSERT_TRUE_FATAL(begin(&m, backend, MOST, &answers));
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_EXITED);
	expect_bound(&m);
	look_around(&m, &log);
	finish(&m);
	free(log.at);
}

static void the_oldest_answers_are_forgotten(void)
{
	forgets_the_oldest("tcg", 0);
	forgets_the_oldest("tcg", 300);
}

static void the_oldest_answers_are_forgotten_on_kvm(void)
{
	forgets_the_oldest("kvm", 0);
	forgets_the_oldest("kvm", 300);
}

/* One alone takes more than all may: it is forgotten at once. */
static void an_answer_may_be_too_large(void)
{
	struct answers answers = { .large_one = 4000, .large = MOST / 2 + 1 };
	struct history_pos pos;
	struct log log = { 0 };
	unsigned behind = 2;
	struct machine m;

	if (!begin(&m, "tcg", MOST, &answers))
		return;
	m.vm->hold = hold_all;
	m.vm->hold_ctx = &behind;
	for (unsigned i = 0; i <= answers.large_one; i++)
		CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_CALL);
	CU_ASSERT_EQUAL(history_back(m.h, &(struct history_back){ 0 }, &err), HISTORY_BEGIN);
	CU_ASSERT_EQUAL(back_one(&m), HISTORY_BEGIN);
	history_run(m.h, &one_step);
	see(&m, &log, true);
	history_begin(m.h, &pos);
	CU_ASSERT_EQUAL(history_compare(&pos, &log.at[0].pos), 0);
	CU_ASSERT_EQUAL(pos.calls, answers.large_one + 1);
	CU_ASSERT_EQUAL(journal_size(&m.h->journal), 0);
	for (unsigned i = 0; i < 500; i++)
		CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_CALL);
	CU_ASSERT_EQUAL(history_seek(m.h, &pos, &err), 0);
	expect(&m, &log.at[0], "behind the large one");
	finish(&m);
	free(log.at);
}

/* A state right behind a call is no place to stop at of its own. */
static void one_back_is_an_instruction_at_a_state(const char *backend)
{
	struct answers answers = { 0 };
	struct history_pos pos;
	struct cpu_regs regs;
	struct machine m;
	uint64_t out;

	if (!begin(&m, backend, MOST, &answers))
		return;
	backend_get_regs(m.vm->cpu, &regs);
	out = regs.rip + (uint64_t)(calls_behind - calls_start) - 1;
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_EXITED);
	pos = (struct history_pos){ .calls = m.h->checkpoints.middle.calls, .stage = PLACE_PLAIN };
	CU_ASSERT_EQUAL(history_seek(m.h, &pos, &err), 0);
	backend_get_regs(m.vm->cpu, &regs);
	CU_ASSERT_EQUAL(regs.rip, out + 1);
	CU_ASSERT_EQUAL(back_one(&m), HISTORY_STOPPED);
	backend_get_regs(m.vm->cpu, &regs);
	CU_ASSERT_EQUAL(regs.rip, out);
	CU_ASSERT_EQUAL(m.vm->n_calls, pos.calls - 1);
	finish(&m);
}

static void one_back_from_behind_a_call_is_in_front_of_it(void)
{
	one_back_is_an_instruction_at_a_state("tcg");
	one_back_is_an_instruction_at_a_state("kvm");
}

static void write_now(struct machine *m, uint64_t value)
{
	CU_ASSERT_EQUAL_FATAL(history_edit(m->h, &err), 0);
	bare_put64(m->vm, m->vm->mem.gpa + DATA, value);
	CU_ASSERT_EQUAL(history_edited(m->h, &err), 0);
}

static void expect_written(struct machine *m, uint64_t value)
{
	uint64_t is = 0;

	gmem_read(&m->vm->mem, m->vm->mem.gpa + DATA, &is, sizeof(is));
	CU_ASSERT_EQUAL(is, value);
}

static void run_calls(struct machine *m, unsigned n)
{
	unsigned behind = 2;

	m->vm->hold = hold_all;
	m->vm->hold_ctx = &behind;
	while (n--)
		CU_ASSERT_EQUAL(history_run(m->h, &free_run)->kind, VM_CALL);
	m->vm->hold = NULL;
	history_run(m->h, &one_step);
}

/* Edits that are forgotten are in what comes behind them; and the past that is left can be changed. */
static void changes_are_forgotten_with_the_rest(void)
{
	struct answers answers = { 0 };
	struct history_pos begin_pos, pos;
	struct machine m;

	if (!begin(&m, "tcg", MOST, &answers))
		return;
	run_calls(&m, 10);
	write_now(&m, 1);
	run_calls(&m, 5000);
	write_now(&m, 2);
	run_calls(&m, 100);
	history_begin(m.h, &begin_pos);
	CU_ASSERT(begin_pos.calls > 10 && begin_pos.edits == 1);
	CU_ASSERT_EQUAL(history_seek(m.h, &begin_pos, &err), 0);
	expect_written(&m, 1);
	pos = (struct history_pos){ .calls = begin_pos.calls + 7, .stage = PLACE_PLAIN };
	CU_ASSERT_EQUAL(history_seek(m.h, &pos, &err), 0);
	expect_written(&m, 1);
	history_end(m.h, &pos);
	CU_ASSERT_EQUAL(history_seek(m.h, &pos, &err), 0);
	expect_written(&m, 2);
	CU_ASSERT_EQUAL(history_back(m.h, &(struct history_back){ 0 }, &err), HISTORY_BEGIN);
	expect_written(&m, 1);
	m.vm->respond = hcall_answer_row; /* which can go on from anywhere */
	history_run(m.h, &one_step);
	CU_ASSERT_EQUAL(history_fork(m.h, &err), 0);
	CU_ASSERT_EQUAL(history_run(m.h, &free_run)->kind, VM_EXITED);
	expect_written(&m, 1);
	expect_bound(&m);
	history_begin(m.h, &pos);
	CU_ASSERT(pos.calls >= begin_pos.calls);
	CU_ASSERT_EQUAL(history_seek(m.h, &pos, &err), 0);
	finish(&m);
}

static const struct unit_case cases[] = {
	{ "the_oldest_answers_are_forgotten", the_oldest_answers_are_forgotten },
	{ "the_oldest_answers_are_forgotten_on_kvm", the_oldest_answers_are_forgotten_on_kvm },
	{ "an_answer_may_be_too_large", an_answer_may_be_too_large },
	{ "one_back_from_behind_a_call_is_in_front_of_it",
		one_back_from_behind_a_call_is_in_front_of_it },
	{ "changes_are_forgotten_with_the_rest", changes_are_forgotten_with_the_rest },
};

UNIT_MAIN("history_limits", cases)
