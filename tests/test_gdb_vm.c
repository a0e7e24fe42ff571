// SPDX-License-Identifier: ISC
/*
 * The machine under gdb: a guest of a few instructions on the software CPU, and what a debugger is told of it, for
 * whatever stops it, fails or is in the way. Where only a CPU that fails would do, its operations fail for the test.
 */
#include "gdb_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bare_guest.h"
#include "err.h"
#include "history_move.h"
#include "session.h"
#include "tmptree.h"
#include "unit.h"

/* Three turns of a store and a load, then a byte to the console, then the end. */
__asm__(".pushsection .rodata\n"
	"plain_start: mov $3, %ecx\n"
	"plain_loop: add $5, %rax\n"
	"plain_store: mov %rax, (%rbx)\n"
	"plain_load: mov (%rbx), %rsi\n"
	"plain_dec: dec %ecx\n jnz plain_loop\n"
	"plain_call: mov $0x1020, %edx\n mov $'x', %edi\n"
	"plain_out: out %eax, %dx\n"
	"plain_exit: mov $0x1010, %edx\n mov $7, %edi\n out %eax, %dx\n"
	"plain_end:\n"
	"broken_start: nop\n"
	"broken_at: ud2\n"
	"broken_end:\n.popsection");
extern const uint8_t plain_start[], plain_loop[], plain_store[], plain_load[], plain_dec[],
	plain_call[], plain_out[], plain_exit[], plain_end[], broken_start[], broken_at[],
	broken_end[];
#define AT(label) (w.code + (uint64_t)((label)-plain_start))

enum { DATA = 0x100000, FAR = 0x7f, MEM = 16 << 20 };

static struct world {
	struct session session;
	struct gdb_vm g;
	struct gdb_stop stop;
	const char *why;
	uint64_t code, data;
	/* What the link says and was told. */
	enum gdb_poll poll;
	unsigned quiet; /* so often it first has nothing to say */
	bool slow;      /* the way back takes long */
	int watched;
	char said[400];
	/* A sink beside it, as a recorder's. */
	struct trace_sink sink;
	unsigned edits;
	char last_reg[20];
	uint64_t last_gpa, last_insns;
	bool last_held;
	/* The CPU's operations: what they fail with. */
	struct backend_ops ops;
	const struct backend_ops *real;
	int save, regs, debug, load, pages, run;
	struct vcpu_exit exit; /* of a run that fails with 1 */
} w;

static enum gdb_poll poll_world(void *ctx)
{
	(void)ctx;
	if (w.slow && w.g.way_began_ns)
		w.g.way_began_ns = 1;
	if (w.quiet) {
		w.quiet--;
		return GDB_POLL_NOTHING;
	}
	return w.poll;
}

static void watch_world(void *ctx, bool on)
{
	(void)ctx;
	w.watched += on ? 1 : -1;
}

static void say(void *ctx, const char *text, size_t len)
{
	size_t used = strlen(w.said);

	(void)ctx;
	snprintf(w.said + used, sizeof(w.said) - used, "%.*s", (int)len, text);
}

static void see_edits(struct trace_sink *sink, const struct trace_event *event)
{
	(void)sink;
	if (event->kind != TRACE_EDIT)
		return;
	w.edits++;
	snprintf(w.last_reg, sizeof(w.last_reg), "%s",
		event->edit->reg ? event->edit->reg : "memory");
	w.last_gpa = event->edit->gpa;
	w.last_insns = event->edit->insns;
	w.last_held = event->edit->held;
}

/* ---- a CPU whose operations fail ---- */

static int save(struct backend *b, struct cpu_state *state)
{
	return w.save ? w.save : w.real->save(b, state);
}

static int get_regs(struct backend *b, struct cpu_regs *regs)
{
	return w.regs ? w.regs : w.real->get_regs(b, regs);
}

static int set_debug(struct backend *b, const struct vcpu_debug *debug)
{
	return w.debug ? w.debug : w.real->set_debug(b, debug);
}

static int load(struct backend *b, const struct cpu_state *state)
{
	return w.load ? w.load : w.real->load(b, state);
}

static int paging(struct backend *b, struct paging *p)
{
	return w.pages ? w.pages : w.real->paging(b, p);
}

static int run_once(struct backend *b, struct vcpu_exit *exit)
{
	int r = w.run;

	w.run = 0;
	if (r == 1)
		*exit = w.exit;
	return r == 1 ? 0 : r ? r : w.real->run(b, exit);
}

static void own_operations(void)
{
	struct backend *cpu = w.session.vm->cpu;

	w.real = cpu->ops;
	w.ops = *cpu->ops;
	w.ops.save = save;
	w.ops.get_regs = get_regs;
	w.ops.set_debug = set_debug;
	w.ops.load = load;
	w.ops.paging = paging;
	w.ops.run = run_once;
	cpu->ops = &w.ops;
}

/* ---- the world ---- */

/* False: there are no guests, whose images make the machine. */
static bool prepare(void)
{
	static char path[4096];
	static char *words[] = { path };
	const char *dir = getenv("GUESTS");
	struct err err = { "" };

	memset(&w, 0, sizeof(w));
	snprintf(path, sizeof(path), "%s/hello.elf", dir ? dir : "build/rel/kernels");
	if (access(path, R_OK)) {
		unit_skip("the guests are not built");
		return false;
	}
	session_init(&w.session);
	w.session.options.backend = "tcg";
	w.session.options.mem_size = MEM;
	w.session.options.deterministic = true;
	w.session.console_in = w.session.console_out = -1;
	if (session_prepare(&w.session, words, 1, &err)) {
		session_finish(&w.session);
		CU_FAIL_FATAL(err.text);
	}
	return true;
}

static void attach(void)
{
	static const struct gdb_link link = { NULL, poll_world, watch_world, say };

	own_operations();
	CU_ASSERT_EQUAL_FATAL(gdb_vm_init(&w.g, &w.session, &link), 0);
	gdb_vm_begin(&w.g);
}

static void place(const uint8_t *start, const uint8_t *end)
{
	struct cpu_regs regs;

	w.code = bare_guest(w.session.vm, start, end);
	w.data = w.code + DATA;
	backend_get_regs(w.session.vm->cpu, &regs);
	regs.gpr[CPU_RBX] = w.data;
	CU_ASSERT_EQUAL(backend_set_regs(w.session.vm->cpu, &regs), 0);
}

static bool begin(void)
{
	if (!prepare())
		return false;
	place(plain_start, plain_end);
	attach();
	return true;
}

/* As for a recorder, who is there before gdb. */
static bool begin_recorded(void)
{
	if (!prepare())
		return false;
	place(plain_start, plain_end);
	w.sink.emit = see_edits;
	w.session.sinks = w.session.vm->trace = &w.sink;
	attach();
	return true;
}

static void end(void)
{
	CU_ASSERT_EQUAL(w.watched, 0);
	w.save = w.regs = w.debug = w.load = w.pages = w.run = 0;
	gdb_vm_finish(&w.g);
	session_finish(&w.session);
}

/* ---- what a debugger does ---- */

static enum gdb_why resume(const struct gdb_resume *how)
{
	w.g.ops.resume(&w.g, how, &w.stop);
	return w.stop.why;
}

static enum gdb_why step(void)
{
	return resume(&(struct gdb_resume){ .step = true });
}

static int restart_with(const char *args, size_t len)
{
	return w.g.ops.restart(&w.g, args, len, &w.stop, &w.why);
}

/* As gdb does it: over a breakpoint where it stands it steps first. */
static enum gdb_why go(void)
{
	struct cpu_regs regs;

	w.real->get_regs(w.session.vm->cpu, &regs);
	if (!gdb_vm_ended(&w.g) && gdb_points_break_at(&w.g.points, regs.rip, 0) &&
		(step() != GDB_WHY_SIGNAL || w.stop.kind != GDB_STOPPED))
		return w.stop.why;
	return resume(&(struct gdb_resume){ 0 });
}

static enum gdb_why back(bool one)
{
	CU_ASSERT_TRUE_FATAL(w.g.ops.can_reverse); /* as the stub does */
	return resume(&(struct gdb_resume){ .step = one, .reverse = true });
}

static bool is_signal(int signal)
{
	return w.stop.kind == GDB_STOPPED && w.stop.why == GDB_WHY_SIGNAL &&
	       w.stop.signal == signal;
}

static struct cpu_regs regs_now(void)
{
	struct cpu_regs regs = { 0 };

	CU_ASSERT_EQUAL(w.g.ops.get_regs(&w.g, &regs), 0);
	return regs;
}

static bool is_at(uint64_t rip)
{
	bool there = regs_now().rip == rip;

	if (!there)
		printf("     at code+0x%llx\n", (unsigned long long)(regs_now().rip - w.code));
	return there;
}

static int put(const struct gdb_point *p)
{
	w.why = "";
	return w.g.ops.insert(&w.g, p, &w.why);
}

static void break_at(enum gdb_point_kind kind, uint64_t at)
{
	CU_ASSERT_EQUAL(put(&(struct gdb_point){ .kind = kind, .addr = at, .len = 1 }), 0);
}

static void unbreak(enum gdb_point_kind kind, uint64_t at)
{
	CU_ASSERT_EQUAL(w.g.ops.remove(&w.g, kind, at, 1), 0);
}

#define CODE(...)                                                                                  \
	(struct gdb_code)                                                                          \
	{                                                                                          \
		(const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })         \
	}
#define RCX_IS(n)        CODE(0x26, 0, 2, 0x22, n, 0x13, 0x27)
#define NO_SUCH_REGISTER CODE(0x26, 0x7f, 0xff, 0x27)
#define NO_SUCH_MEMORY   CODE(0x25, FAR, 0, 0, 0, 0, 0, 0, 0, 0x1a, 0x27)
#define AT_RBX           CODE(0x26, 0, 1, 0x1a, 0x27)

static void break_if(uint64_t at, struct gdb_code code)
{
	struct gdb_point p = { .addr = at, .len = 1, .conditions = { code }, .n_conditions = 1 };

	CU_ASSERT_EQUAL(put(&p), 0);
}

static void monitor(const char *line, char *text, size_t size)
{
	FILE *out = fmemopen(text, size, "w");

	text[0] = 0;
	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	CU_ASSERT(w.g.ops.monitor(&w.g, line, out));
	fclose(out);
}

static bool says(const char *line, const char *part)
{
	char text[4096];
	bool found;

	monitor(line, text, sizeof(text));
	found = strstr(text, part);
	if (!found)
		printf("     %s: %s", line, text);
	return found;
}

/* ---- breakpoints ---- */

static void a_breakpoint_says_of_which_kind_it_is(void)
{
	if (!begin())
		return;
	break_at(GDB_BREAK_SOFT, AT(plain_store));
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	CU_ASSERT(is_at(AT(plain_store)) && w.stop.signal == GDB_SIG_TRAP);
	/* Left where it is, it is gone on from; set there anew, it is met at once. */
	CU_ASSERT_EQUAL(resume(&(struct gdb_resume){ 0 }), GDB_WHY_BREAK_SOFT);
	CU_ASSERT_EQUAL(regs_now().gpr[CPU_RCX], 2);
	unbreak(GDB_BREAK_SOFT, AT(plain_store));
	break_at(GDB_BREAK_SOFT, AT(plain_store));
	CU_ASSERT_EQUAL(resume(&(struct gdb_resume){ 0 }), GDB_WHY_BREAK_SOFT);
	CU_ASSERT_EQUAL(regs_now().gpr[CPU_RCX], 2);
	break_at(GDB_BREAK_HARD, AT(plain_store)); /* the last that was set is told */
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_HARD);
	CU_ASSERT_EQUAL(regs_now().gpr[CPU_RCX], 1);
	unbreak(GDB_BREAK_SOFT, AT(plain_store));
	/* And backwards. */
	CU_ASSERT_EQUAL(back(false), GDB_WHY_BREAK_HARD);
	CU_ASSERT_EQUAL(regs_now().gpr[CPU_RCX], 2);
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_HARD);
	CU_ASSERT_EQUAL(regs_now().gpr[CPU_RCX], 1);
	w.g.ops.why(&w.g, &w.stop);
	CU_ASSERT_EQUAL(w.stop.why, GDB_WHY_BREAK_HARD);
	unbreak(GDB_BREAK_HARD, AT(plain_store));
	go();
	CU_ASSERT(w.stop.kind == GDB_EXITED && w.stop.code == 7);
	end();
}

static void conditions_choose_the_turn(void)
{
	struct gdb_point two = {
		.len = 1, .conditions = { RCX_IS(9), RCX_IS(2) }, .n_conditions = 2
	};

	if (!begin())
		return;
	two.addr = AT(plain_dec);
	CU_ASSERT_EQUAL(put(&two), 0);
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT); /* any of them */
	CU_ASSERT_EQUAL(regs_now().gpr[CPU_RCX], 2);
	break_if(AT(plain_dec), RCX_IS(1));
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	CU_ASSERT_EQUAL(regs_now().gpr[CPU_RCX], 1);
	CU_ASSERT_STRING_EQUAL(w.stop.text, "");
	break_if(AT(plain_dec), RCX_IS(3));
	CU_ASSERT_EQUAL(back(false), GDB_WHY_BREAK_SOFT);
	CU_ASSERT_EQUAL(regs_now().gpr[CPU_RCX], 3);
	break_if(AT(plain_dec), AT_RBX);
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	CU_ASSERT_EQUAL(regs_now().gpr[CPU_RCX], 2);
	end();
}

/* What cannot be known is no reason to run on: it stops, and says why. */
static void a_condition_that_cannot_be_evaluated_stops(void)
{
	int cr3 = gdb_reg_find(true, "cr3");
	const struct gdb_code codes[] = { NO_SUCH_REGISTER, NO_SUCH_MEMORY,
		CODE(0x26, (uint8_t)(cr3 >> 8), (uint8_t)cr3, 0x27) };

	if (!begin())
		return;
	break_if(AT(plain_dec), codes[2]); /* is not 0 */
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	CU_ASSERT_STRING_EQUAL(w.stop.text, "");
	for (size_t i = 0; i < 2; i++) {
		break_if(AT(plain_dec), codes[i]);
		CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
		CU_ASSERT_PTR_NOT_NULL(strstr(w.stop.text, "cannot be evaluated"));
	}
	CU_ASSERT_EQUAL(back(false), GDB_WHY_BREAK_SOFT); /* either way */
	CU_ASSERT_EQUAL(regs_now().gpr[CPU_RCX], 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.stop.text, "cannot be evaluated"));
	end();
}

/* A CPU that gives up none of its registers while a condition asks for them. */
static void a_condition_without_registers_stops(void)
{
	if (!begin())
		return;
	w.session.options.history = 0; /* which asks for them as well */
	gdb_vm_end(&w.g);
	gdb_vm_begin(&w.g);
	CU_ASSERT_FALSE(w.g.ops.can_reverse);
	break_if(AT(plain_dec), RCX_IS(9));
	w.regs = -EIO;
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.stop.text, "cannot be evaluated"));
	w.regs = 0;
	CU_ASSERT(is_at(AT(plain_dec)));
	break_if(AT(plain_dec),
		CODE(0x26, 0, 18, 0x27)); /* a segment: of those that all the state has */
	w.save = -EIO;
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.stop.text, "cannot be evaluated"));
	end();
}

static void commands_run_in_place_of_a_stop(void)
{
	struct gdb_point p = { .len = 1, .n_commands = 2 }, q = { .len = 1 };

	if (!begin())
		return;
	p.addr = q.addr = AT(plain_dec);
	p.commands[0] = CODE(0x26, 0, 2, 0x22, 0, 0x22, 0, 0x34, 1, 0, 4, '%', 'd', '\n', 0, 0x27);
	p.commands[1] = CODE(0x22, 1, 0x27);
	CU_ASSERT_EQUAL(put(&p), 0);
	w.g.stop_at_exit = true;
	CU_ASSERT_EQUAL(go(), GDB_WHY_END);
	CU_ASSERT_STRING_EQUAL(w.said, "3\n2\n1\n");
	/* On the way back they neither run nor stop it. */
	CU_ASSERT_EQUAL(back(false), GDB_WHY_BEGIN);
	CU_ASSERT_STRING_EQUAL(w.said, "3\n2\n1\n");
	/* One that fails is told, and so is another breakpoint there. */
	p.commands[1] = NO_SUCH_REGISTER;
	CU_ASSERT_EQUAL(put(&p), 0);
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.stop.text, "cannot be evaluated"));
	p.commands[1] = CODE(0x22, 1, 0x27);
	q.kind = GDB_BREAK_HARD;
	CU_ASSERT_EQUAL(put(&p) || put(&q), 0);
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_HARD);
	CU_ASSERT_EQUAL(back(false), GDB_WHY_BREAK_HARD);
	CU_ASSERT_EQUAL(regs_now().gpr[CPU_RCX], 3);
	/* Where one has failed already no others run: what it says would be lost. */
	q.kind = GDB_BREAK_SOFT;
	q.n_commands = 1;
	q.commands[0] = NO_SUCH_MEMORY;
	p.kind = GDB_BREAK_HARD;
	CU_ASSERT_EQUAL(put(&q) || put(&p), 0);
	w.said[0] = 0;
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_HARD);
	CU_ASSERT_STRING_EQUAL(w.said, "");
	end();
}

static void watchpoints_tell_their_address(void)
{
	struct gdb_point p = { .kind = GDB_WATCH_WRITE, .len = 8 };

	if (!begin())
		return;
	p.addr = w.data;
	CU_ASSERT_EQUAL(put(&p), 0);
	CU_ASSERT_EQUAL(go(), GDB_WHY_WATCH);
	CU_ASSERT(w.stop.value == w.data && is_at(AT(plain_load)));
	w.g.ops.remove(&w.g, p.kind, p.addr, p.len);
	p.kind = GDB_WATCH_READ;
	CU_ASSERT_EQUAL(put(&p), 0);
	CU_ASSERT_EQUAL(go(), GDB_WHY_RWATCH);
	CU_ASSERT(is_at(AT(plain_dec)));
	w.g.ops.remove(&w.g, p.kind, p.addr, p.len);
	p.kind = GDB_WATCH_ACCESS;
	CU_ASSERT_EQUAL(put(&p), 0);
	CU_ASSERT_EQUAL(go(), GDB_WHY_AWATCH);
	CU_ASSERT_EQUAL(back(false), GDB_WHY_AWATCH);
	CU_ASSERT(is_at(AT(plain_store)));
	/* A CPU that reports an access nobody asked for. */
	w.run = 1;
	w.exit = (struct vcpu_exit){
		.kind = VCPU_DEBUG, .why = VCPU_WATCHPOINT, .addr = 0x123, .wrote = true
	};
	CU_ASSERT_EQUAL(go(), GDB_WHY_WATCH);
	CU_ASSERT_EQUAL(w.stop.value, 0x123);
	end();
}

static void what_this_cpu_cannot_stop_at_is_said_when_it_is_asked_for(void)
{
	static const struct {
		int r;
		const char *why;
	} rows[] = {
		{ -ENOSPC, "no debug register is left for it; delete another" },
		{ -EOPNOTSUPP, "this CPU has no such watchpoints; use --backend tcg" },
		{ -EIO, "" },
	};
	struct gdb_point p = { .kind = GDB_WATCH_WRITE, .addr = 0x1000, .len = 0 };

	if (!begin())
		return;
	CU_ASSERT_EQUAL(put(&p), -EINVAL);
	CU_ASSERT_STRING_EQUAL(w.why, "0x1000, 0 bytes: there are no such addresses");
	p.addr = UINT64_MAX - 3;
	p.len = 8;
	CU_ASSERT_EQUAL(put(&p), -EINVAL);
	CU_ASSERT_STRING_EQUAL(w.why, "0xfffffffffffffffc, 8 bytes: there are no such addresses");
	p.len = 4; /* the last ones there are */
	CU_ASSERT_EQUAL(put(&p), 0);
	CU_ASSERT_EQUAL(w.g.ops.remove(&w.g, p.kind, p.addr, p.len), 0);
	p.len = 8;
	p.addr = w.data;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		w.debug = rows[i].r;
		CU_ASSERT_EQUAL(put(&p), rows[i].r);
		CU_ASSERT_STRING_EQUAL(w.why, rows[i].why);
		CU_ASSERT_EQUAL(w.g.points.n, 0); /* it is not there */
	}
	w.debug = 0;
	go();
	CU_ASSERT_EQUAL(w.stop.kind, GDB_EXITED);
	end();
}

/* ---- steps ---- */

static void a_range_is_stepped_through(void)
{
	struct gdb_resume range = { .step = true };

	if (!begin())
		return;
	range.range_start = AT(plain_start);
	range.range_end = AT(plain_call);
	CU_ASSERT_EQUAL(resume(&range), GDB_WHY_SIGNAL);
	CU_ASSERT(is_at(AT(plain_call)) && is_signal(GDB_SIG_TRAP));
	CU_ASSERT_EQUAL(back(false), GDB_WHY_BEGIN);
	range.range_start = AT(plain_loop); /* it begins before it */
	range.range_end = AT(plain_dec);
	step();
	CU_ASSERT(is_at(AT(plain_loop)));
	resume(&range);
	CU_ASSERT(is_at(AT(plain_dec)));
	/* A breakpoint within counts for more, if what it wants to know is so. */
	range.range_end = AT(plain_call);
	break_if(AT(plain_store), RCX_IS(1));
	CU_ASSERT_EQUAL(resume(&range), GDB_WHY_BREAK_SOFT);
	CU_ASSERT_EQUAL(regs_now().gpr[CPU_RCX], 1);
	/* Until something else is wanted. */
	w.poll = GDB_POLL_INTERRUPT;
	CU_ASSERT_EQUAL(resume(&range), GDB_WHY_SIGNAL);
	CU_ASSERT(is_at(AT(plain_store)) && is_signal(GDB_SIG_INT));
	end();
}

/* To where the next step is into the handler: forth and back, for that is where nothing is lost. */
static bool timer_begin(uint64_t *handler, uint64_t *before)
{
	if (!prepare())
		return false;
	*handler = bare_timer_guest(w.session.vm);
	w.code = *handler - (uint64_t)(bare_timer_handler - bare_timer_start);
	attach();
	break_at(GDB_BREAK_SOFT, *handler);
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	back(true);
	*before = regs_now().rip;
	CU_ASSERT(*before < *handler);
	unbreak(GDB_BREAK_SOFT, *handler);
	return true;
}

static void a_step_goes_over_an_interrupts_handler(void)
{
	uint64_t handler, before, rsp;

	if (!timer_begin(&handler, &before))
		return;
	rsp = regs_now().gpr[CPU_RSP];
	step();
	CU_ASSERT(is_signal(GDB_SIG_TRAP));
	CU_ASSERT(regs_now().rip < handler && regs_now().gpr[CPU_RSP] == rsp);
	end();
	if (!timer_begin(&handler, &before))
		return;
	CU_ASSERT(says("irq on", "ends in an interrupt's handler"));
	step();
	CU_ASSERT(is_at(handler));
	end();
}

static void what_stops_it_in_the_handler_counts(void)
{
	uint64_t handler, before;

	if (!timer_begin(&handler, &before))
		return;
	break_if(handler + 1, RCX_IS(77)); /* not this one */
	break_at(GDB_BREAK_HARD, handler + 2);
	CU_ASSERT_EQUAL(step(), GDB_WHY_BREAK_HARD);
	CU_ASSERT(is_at(handler + 2));
	end();
	/* Where the stack cannot be read nobody knows where it came from: it is a step. */
	if (!timer_begin(&handler, &before))
		return;
	w.pages = -EIO;
	step();
	CU_ASSERT(is_signal(GDB_SIG_TRAP) && is_at(handler));
	end();
}

/* ---- calls ---- */

static void a_call_stops_it_before_and_behind(void)
{
	uint64_t byte = 0, other = 12345;
	const struct guest_abi *abi;

	if (!begin())
		return;
	abi = w.session.vm->abi;
	for (size_t i = 0; i < abi->n_rows; i++)
		if (abi->rows[i].port == BARE_CALL_BYTE)
			byte = gdb_call_number(w.session.vm, &abi->rows[i]);
	CU_ASSERT(byte >= GDB_CALL_OTHER);
	CU_ASSERT_EQUAL(w.g.ops.catch_calls(&w.g, true, &other, 1), 0);
	w.g.stop_at_exit = true;
	CU_ASSERT_EQUAL(go(), GDB_WHY_END);
	CU_ASSERT(w.stop.text[0]);
	CU_ASSERT_EQUAL(back(false), GDB_WHY_BEGIN);
	CU_ASSERT_EQUAL(w.g.ops.catch_calls(&w.g, true, &byte, 1), 0);
	CU_ASSERT_EQUAL(go(), GDB_WHY_CALL_ENTRY);
	CU_ASSERT_EQUAL(w.stop.value, byte);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.stop.text, "serial_write_byte("));
	CU_ASSERT(is_at(AT(plain_out))); /* not done, whatever the CPU says */
	CU_ASSERT(says("info vm", "in hypercall serial_write_byte, RIP"));
	CU_ASSERT(says("info call", "in call 0: serial_write_byte("));
	CU_ASSERT(says("info hypercalls", "yes"));
	CU_ASSERT_EQUAL(go(), GDB_WHY_CALL_RETURN);
	CU_ASSERT(is_at(AT(plain_exit)));
	CU_ASSERT_EQUAL(back(false), GDB_WHY_CALL_ENTRY);
	CU_ASSERT(is_at(AT(plain_out)));
	CU_ASSERT_EQUAL(w.g.ops.catch_calls(&w.g, false, NULL, 0), 0);
	CU_ASSERT_EQUAL(go(), GDB_WHY_END);
	CU_ASSERT_EQUAL(w.g.ops.catch_calls(&w.g, true, NULL, 0), 0);
	CU_ASSERT_EQUAL(back(false), GDB_WHY_CALL_ENTRY); /* of exit */
	CU_ASSERT_EQUAL(back(false), GDB_WHY_CALL_RETURN);
	CU_ASSERT(is_at(AT(plain_exit)));
	end();
}

/* ---- pauses ---- */

static void an_interrupt_stops_it_at_once(void)
{
	if (!begin())
		return;
	w.poll = GDB_POLL_INTERRUPT; /* came with the packet */
	CU_ASSERT_EQUAL(go(), GDB_WHY_SIGNAL);
	CU_ASSERT(is_at(AT(plain_start)) && is_signal(GDB_SIG_INT));
	CU_ASSERT_EQUAL(back(false), GDB_WHY_SIGNAL);
	w.poll = GDB_POLL_NOTHING;
	vm_pause(w.session.vm); /* for something else, which can wait */
	go();
	CU_ASSERT_EQUAL(w.stop.kind, GDB_EXITED);
	end();
	if (!begin())
		return;
	w.poll = GDB_POLL_GONE;
	w.quiet = 1;
	vm_pause(w.session.vm);
	CU_ASSERT_EQUAL(go(), GDB_WHY_SIGNAL);
	CU_ASSERT(is_signal(GDB_SIG_INT));
	/* On the way back, too: it stays where it was. */
	w.poll = GDB_POLL_NOTHING;
	break_at(GDB_BREAK_SOFT, AT(plain_exit));
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	w.poll = GDB_POLL_INTERRUPT;
	w.quiet = 1;
	back(false);
	CU_ASSERT(is_at(AT(plain_exit)) && is_signal(GDB_SIG_INT));
	CU_ASSERT_STRING_EQUAL(w.stop.text, "");
	w.quiet = 1;
	CU_ASSERT(says("goto 0+5", "interrupted"));
	CU_ASSERT(is_at(AT(plain_exit)));
	end();
}

static void a_long_way_back_is_told_of_once(void)
{
	if (!begin())
		return;
	break_at(GDB_BREAK_SOFT, AT(plain_exit));
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	w.slow = true;
	w.said[0] = 0;
	CU_ASSERT_EQUAL(back(false), GDB_WHY_BEGIN);
	CU_ASSERT_STRING_EQUAL(w.said, "The way back is long; Ctrl-C gives it up.\n");
	w.said[0] = 0;
	go();
	CU_ASSERT_STRING_EQUAL(w.said, "");
	end();
}

/* ---- the end ---- */

static void a_crash_is_a_signal_first_and_an_end_then(void)
{
	if (!prepare())
		return;
	place(broken_start, broken_end);
	w.session.options.history = 0;
	attach();
	go();
	CU_ASSERT(is_signal(GDB_SIG_ILL));
	CU_ASSERT_PTR_NOT_NULL(strstr(w.stop.text, "The guest crashed: triple fault"));
	CU_ASSERT_PTR_NOT_NULL(strstr(w.stop.text, "invalid opcode (#UD)"));
	CU_ASSERT(gdb_vm_ended(&w.g));
	CU_ASSERT(says("info vm", "ended: triple fault"));
	CU_ASSERT(says("info call", "in no hypercall"));
	CU_ASSERT(says("run 5", "the guest is at its end"));
	CU_ASSERT(says("record start x.pcapng", "nothing to record"));
	go();
	CU_ASSERT(w.stop.kind == GDB_ENDED && w.stop.signal == GDB_SIG_ILL);
	/* It is said again that it is gone, also to the next one. */
	w.g.ops.detach(&w.g);
	step();
	CU_ASSERT(w.stop.kind == GDB_ENDED && w.stop.signal == GDB_SIG_ILL);
	end();
}

static void an_exception_stops_it_before_it_is_delivered(void)
{
	if (!prepare())
		return;
	place(broken_start, broken_end);
	attach();
	CU_ASSERT(says("catch exception 6", "before these exceptions are delivered: 6"));
	go();
	CU_ASSERT(is_signal(GDB_SIG_ILL));
	CU_ASSERT_STRING_EQUAL(w.stop.text, "The guest raised invalid opcode (#UD).\n");
	CU_ASSERT(regs_now().rip == w.code + (uint64_t)(broken_at - broken_start));
	CU_ASSERT(says("info regs", "exception 6 is to be delivered next"));
	/* One whose state cannot be had is a fault of some kind. */
	w.run = 1;
	w.exit = (struct vcpu_exit){ .kind = VCPU_DEBUG, .why = VCPU_EXCEPTION };
	w.save = -EIO;
	go();
	CU_ASSERT(is_signal(GDB_SIG_SEGV));
	CU_ASSERT_STRING_EQUAL(w.stop.text, "");
	end();
}

static void what_ends_it_is_said(void)
{
	if (!begin())
		return;
	go();
	CU_ASSERT(w.stop.kind == GDB_EXITED && w.stop.code == 7);
	CU_ASSERT(says("info vm", "ended: exit code 7"));
	go(); /* there is nothing more, and no signal had ended it */
	CU_ASSERT(w.stop.kind == GDB_ENDED && w.stop.signal == GDB_SIG_KILL);
	end();
	if (!begin())
		return;
	vm_kick(w.session.vm);
	go();
	CU_ASSERT(w.stop.kind == GDB_ENDED && w.stop.signal == GDB_SIG_KILL);
	end();
	if (!begin())
		return;
	w.run = -EIO;
	go();
	CU_ASSERT(w.stop.kind == GDB_ENDED && w.stop.signal == GDB_SIG_ABRT);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.stop.text, "backend tcg: Input/output error"));
	end();
	if (!begin())
		return;
	w.debug = -EIO;
	go();
	CU_ASSERT(w.stop.kind == GDB_ENDED && w.stop.signal == GDB_SIG_ABRT);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.stop.text, "debug requests: Input/output error"));
	end();
}

/* The same without a way back. */
static void breakpoints_that_cannot_be_had_end_it(void)
{
	if (!prepare())
		return;
	place(plain_start, plain_end);
	w.session.options.history = 0;
	attach();
	CU_ASSERT(says("when", "0 calls were made, 0 instructions; there is no way back"));
	CU_ASSERT(says("goto begin", "there is no way back"));
	CU_ASSERT(says("checkpoint", "there is no way back"));
	CU_ASSERT(says("checkpoint list", "there is no way back"));
	CU_ASSERT(says("checkpoint delete 1", "there is no way back"));
	CU_ASSERT(says("diverge on", "there is no way back"));
	CU_ASSERT(says("stop-at-exit on", "but there is no way back from there"));
	w.debug = -EIO;
	go();
	CU_ASSERT(w.stop.kind == GDB_ENDED && w.stop.signal == GDB_SIG_ABRT);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.stop.text, "breakpoints: Input/output error"));
	end();
}

/* The last answer of a recording is an end, too, from which there is a way back. */
static void the_end_of_a_recording_is_a_place(void)
{
	if (!begin())
		return;
	w.g.replays = w.g.stop_at_exit = true;
	break_at(GDB_BREAK_SOFT, AT(plain_dec));
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	vm_kick(w.session.vm);
	CU_ASSERT_EQUAL(go(), GDB_WHY_END);
	CU_ASSERT_STRING_EQUAL(w.stop.text, "interrupted\n");
	CU_ASSERT_FALSE(gdb_vm_ended(&w.g));
	end();
	if (!begin())
		return;
	w.g.stop_at_exit = true; /* but what kills a guest that lives is its end */
	vm_kick(w.session.vm);
	go();
	CU_ASSERT_EQUAL(w.stop.kind, GDB_ENDED);
	end();
}

/* gdb comes out of a step over a breakpoint only when that is told as a step. */
static void a_step_of_one_thread_to_the_end_is_a_step_first(void)
{
	static const char said[] = "Here the guest exits with code 7.\n";
	const struct gdb_resume over = { .step = true, .alone = true };

	if (!begin())
		return;
	w.g.stop_at_exit = true;
	break_at(GDB_BREAK_SOFT, AT(plain_end) - 1);
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	unbreak(GDB_BREAK_SOFT, AT(plain_end) - 1);
	for (int i = 0; i < 2; i++) { /* also from there */
		CU_ASSERT_EQUAL(resume(&over), GDB_WHY_SIGNAL);
		CU_ASSERT(is_signal(GDB_SIG_TRAP) && is_at(AT(plain_end)));
		CU_ASSERT_STRING_EQUAL(w.stop.text, said);
		CU_ASSERT_EQUAL(go(), GDB_WHY_END);
		CU_ASSERT_STRING_EQUAL(w.stop.text, ""); /* once is enough */
	}
	CU_ASSERT_EQUAL(go(), GDB_WHY_END);
	CU_ASSERT_STRING_EQUAL(w.stop.text, said);
	CU_ASSERT_EQUAL(step(), GDB_WHY_END);
	CU_ASSERT_EQUAL(resume(&(struct gdb_resume){ .step = true,
				.alone = true,
				.range_start = w.code,
				.range_end = UINT64_MAX }),
		GDB_WHY_END);
	CU_ASSERT_EQUAL(resume(&over), GDB_WHY_SIGNAL);
	CU_ASSERT_EQUAL(back(true), GDB_WHY_SIGNAL);
	CU_ASSERT_EQUAL(go(), GDB_WHY_END);
	CU_ASSERT_STRING_EQUAL(w.stop.text, said);
	end();
}

static void it_runs_on_without_a_debugger(void)
{
	if (!begin())
		return;
	break_at(GDB_BREAK_SOFT, AT(plain_dec));
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	w.g.ops.detach(&w.g);
	gdb_vm_end(&w.g);
	vm_pause(w.session.vm);
	CU_ASSERT_EQUAL(gdb_vm_run_free(&w.g)->kind, VM_PAUSED);
	CU_ASSERT_FALSE(gdb_vm_ended(&w.g));
	w.g.ops.why(&w.g, &w.stop);
	CU_ASSERT(is_signal(GDB_SIG_INT));
	CU_ASSERT_EQUAL(gdb_vm_run_free(&w.g)->kind, VM_EXITED);
	CU_ASSERT(gdb_vm_ended(&w.g));
	gdb_vm_begin(&w.g); /* too late for a way back */
	CU_ASSERT_FALSE(w.g.ops.can_reverse);
	end();
}

/* ---- what is written ---- */

static int write_at(uint64_t at, const void *bytes, size_t n)
{
	w.why = "";
	return w.g.ops.write(&w.g, false, at, bytes, n, &w.why);
}

static int set_register(enum cpu_gpr gpr, uint64_t value)
{
	struct gdb_counts counts;
	struct cpu_state s;
	int r = w.g.ops.get_state(&w.g, &s, &counts);

	w.why = "";
	if (r)
		return r;
	s.regs.gpr[gpr] = value;
	return w.g.ops.set_state(&w.g, &s, &w.why);
}

static int set_cr2(uint64_t value)
{
	struct gdb_counts counts;
	struct cpu_state s;

	CU_ASSERT_EQUAL(w.g.ops.get_state(&w.g, &s, &counts), 0);
	s.cr2 = value;
	w.why = "";
	return w.g.ops.set_state(&w.g, &s, &w.why);
}

static void writes_reach_what_is_mapped_and_nothing_else(void)
{
	uint8_t bytes[16] = { 1, 2, 3 }, seen[16];
	const struct gmem *m;

	if (!begin())
		return;
	m = &w.session.vm->mem;
	CU_ASSERT_EQUAL(write_at(w.data, bytes, sizeof(bytes)), 0);
	CU_ASSERT_EQUAL(w.g.ops.read(&w.g, false, w.data, seen, sizeof(seen)), sizeof(seen));
	CU_ASSERT(!memcmp(bytes, seen, sizeof(seen)));
	CU_ASSERT_EQUAL(w.g.ops.write(&w.g, true, w.data, "x", 1, &w.why), 0);
	CU_ASSERT_EQUAL(w.g.ops.read(&w.g, true, w.data, seen, 1), 1);
	CU_ASSERT_EQUAL(seen[0], 'x');
	CU_ASSERT_EQUAL(
		w.g.ops.write(&w.g, true, m->gpa + m->size - 8, bytes, 16, &w.why), -EFAULT);
	CU_ASSERT_EQUAL(w.g.ops.read(&w.g, true, m->gpa + m->size - 8, seen, 16), 8);
	CU_ASSERT(!seen[0] && !seen[1]); /* all or nothing */
	CU_ASSERT_EQUAL(w.g.ops.read(&w.g, true, m->gpa + m->size, seen, 16), 0);
	CU_ASSERT_EQUAL(write_at(0x7f00000000000000, bytes, 1), -EFAULT);
	CU_ASSERT_EQUAL(write_at(8ull << 30, bytes, 1), -EFAULT);
	CU_ASSERT_EQUAL(w.g.ops.read(&w.g, false, 8ull << 30, seen, 16), 0);
	w.pages = -EIO;
	CU_ASSERT_EQUAL(write_at(w.data, bytes, 1), -EFAULT);
	CU_ASSERT_EQUAL(w.g.ops.read(&w.g, false, w.data, seen, 1), 0);
	end();
}

/* From one page to another that lies elsewhere: entries of 2 MiB below the gigabyte that RAM is in. */
static void a_write_crosses_pages(void)
{
	enum { LARGE = 2 << 20 };
	uint64_t pd, gva, a, b;
	uint8_t bytes[8] = "abcdefg", seen[8];

	if (!begin())
		return;
	pd = w.code + 0x14000;
	gva = 9ull << 30;
	a = (w.data & ~(uint64_t)(LARGE - 1));
	b = a - LARGE;
	bare_put64(w.session.vm, w.code + BARE_TABLES + 4096 + 8 * 9, pd | 3);
	bare_put64(w.session.vm, pd, a | 0x83);
	bare_put64(w.session.vm, pd + 8, b | 0x83);
	CU_ASSERT_EQUAL(write_at(gva + LARGE - 4, bytes, 8), 0);
	CU_ASSERT_EQUAL(w.g.ops.read(&w.g, true, a + LARGE - 4, seen, 4), 4);
	CU_ASSERT_EQUAL(w.g.ops.read(&w.g, true, b, seen + 4, 4), 4);
	CU_ASSERT(!memcmp(seen, bytes, 8));
	CU_ASSERT_EQUAL(write_at(gva + 2 * LARGE - 4, bytes, 8), -EFAULT);
	end();
}

static void registers_are_written_where_that_makes_sense(void)
{
	const uint64_t all = 0;

	if (!begin())
		return;
	CU_ASSERT_EQUAL(set_register(CPU_RAX, 0), 0); /* as it is: nothing is done */
	CU_ASSERT_EQUAL(set_register(CPU_R15, 77), 0);
	CU_ASSERT_EQUAL(regs_now().gpr[CPU_R15], 77);
	w.load = -EINVAL;
	CU_ASSERT_EQUAL(set_cr2(5), -EINVAL);
	w.load = 0;
	CU_ASSERT_EQUAL(set_cr2(5), 0);
	w.save = -EIO;
	CU_ASSERT_EQUAL(set_register(CPU_R15, 78), -EIO);
	w.save = 0;
	w.g.ops.catch_calls(&w.g, true, &all, 0);
	CU_ASSERT_EQUAL(go(), GDB_WHY_CALL_ENTRY);
	CU_ASSERT_EQUAL(set_register(CPU_R15, 79), -EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.why, "wait for this hypercall's answer"));
	CU_ASSERT_EQUAL(write_at(w.data, "y", 1), 0); /* what it asks for may be changed */
	end();
}

static void what_is_recorded_is_written_where_it_can_be_made_again(void)
{
	const uint64_t all = 0;

	if (!begin_recorded())
		return;
	CU_ASSERT_EQUAL(write_at(w.data, "y", 1), 0);
	CU_ASSERT(w.edits == 1 && w.last_gpa == w.data && !w.last_insns && !w.last_held);
	CU_ASSERT_STRING_EQUAL(w.last_reg, "memory");
	step();
	step();
	CU_ASSERT_EQUAL(set_register(CPU_R15, 3), 0);
	CU_ASSERT(w.edits == 2 && w.last_insns == 2);
	CU_ASSERT_STRING_EQUAL(w.last_reg, "r15");
	w.load = -EINVAL; /* what was not done is not told */
	CU_ASSERT_EQUAL(set_cr2(5), -EINVAL);
	w.load = 0;
	CU_ASSERT_EQUAL(w.edits, 2);
	/* The past was recorded as it was. */
	back(true);
	CU_ASSERT_EQUAL(write_at(w.data, "z", 1), -EROFS);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.why, "recorded already"));
	step();
	step();
	w.g.ops.catch_calls(&w.g, true, &all, 0);
	CU_ASSERT_EQUAL(go(), GDB_WHY_CALL_ENTRY);
	CU_ASSERT_EQUAL(write_at(w.data, "z", 1), 0);
	CU_ASSERT(w.last_held && w.edits == 3);
	w.session.vm->call_state = VM_CALL_INTERRUPTED;
	CU_ASSERT_EQUAL(write_at(w.data, "z", 1), -EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.why, "has begun"));
	w.session.vm->call_state = VM_CALL_HELD;
	CU_ASSERT_EQUAL(w.edits, 3);
	/* The run is one: it starts again by going back. */
	CU_ASSERT_EQUAL(restart_with(NULL, 0), 0);
	CU_ASSERT(is_at(AT(plain_start)) && is_signal(GDB_SIG_TRAP));
	/* Or to a place of it. */
	CU_ASSERT_EQUAL(restart_with("0+2", 4), 0);
	CU_ASSERT(is_at(AT(plain_store)) && is_signal(GDB_SIG_TRAP));
	CU_ASSERT(says("checkpoint", "checkpoint 1 at 0+2"));
	CU_ASSERT_EQUAL(restart_with("begin", 6), 0);
	CU_ASSERT(is_at(AT(plain_start)));
	CU_ASSERT_EQUAL(restart_with("c1", 3), 0);
	CU_ASSERT(is_at(AT(plain_store)));
	CU_ASSERT_EQUAL(restart_with("c2", 3), -EINVAL);
	CU_ASSERT_STRING_EQUAL(w.why,
		"a recording has the arguments that it has; `run` takes a place of it: there is no "
		"checkpoint 2; monitor checkpoint list");
	CU_ASSERT_EQUAL(restart_with("1\0002", 4), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.why, "a place of it: one is enough"));
	CU_ASSERT_EQUAL(restart_with("", 1), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.why, "expected begin, end, a checkpoint such as c1"));
	CU_ASSERT(is_at(AT(plain_store)));
	end();
}

/* By who does not count, a place is a call's. */
static void who_does_not_count_records_writes_at_calls(void)
{
	const uint64_t all = 0;

	if (!prepare())
		return;
	place(plain_start, plain_end);
	w.sink.emit = see_edits;
	w.session.sinks = w.session.vm->trace = &w.sink;
	w.session.options.history = 0;
	attach();
	w.ops.icount = NULL;
	CU_ASSERT(says("run 3", "tcg does not count instructions"));
	CU_ASSERT(says("when", "0 calls were made; there is no way back"));
	CU_ASSERT_EQUAL(write_at(w.data, "y", 1), 0);
	step();
	CU_ASSERT_EQUAL(write_at(w.data, "y", 1), -EROFS);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.why, "step to a hypercall"));
	w.g.ops.catch_calls(&w.g, true, &all, 0);
	CU_ASSERT_EQUAL(go(), GDB_WHY_CALL_ENTRY);
	CU_ASSERT_EQUAL(go(), GDB_WHY_CALL_RETURN);
	CU_ASSERT_EQUAL(write_at(w.data, "y", 1), 0);
	CU_ASSERT_EQUAL(w.edits, 2);
	CU_ASSERT_EQUAL(restart_with(NULL, 0), -EOPNOTSUPP);
	w.g.ops.catch_calls(&w.g, false, NULL, 0);
	go();
	CU_ASSERT_EQUAL(w.stop.kind, GDB_EXITED);
	CU_ASSERT_EQUAL(write_at(w.data, "y", 1), -EPERM);
	w.session.sinks = NULL;
	CU_ASSERT_EQUAL(write_at(w.data, "y", 1), -EPERM);
	CU_ASSERT_STRING_EQUAL(w.why, "the guest is at its end");
	end();
}

static void the_past_is_changed_only_when_that_is_wanted(void)
{
	if (!begin())
		return;
	break_at(GDB_BREAK_SOFT, AT(plain_dec));
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	CU_ASSERT(says("when", "at 0+4: 0 calls answered, 4 instructions since"));
	CU_ASSERT_EQUAL(back(false), GDB_WHY_BEGIN);
	CU_ASSERT(says("when", "this is the past; the present is at 0+4"));
	CU_ASSERT_EQUAL(write_at(w.data, "y", 1), -EROFS);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.why, "monitor diverge on"));
	CU_ASSERT_EQUAL(set_register(CPU_RAX, 1000), -EROFS);
	CU_ASSERT(says("diverge maybe", "neither on nor off"));
	CU_ASSERT(says("diverge on", "forgets what came behind it"));
	CU_ASSERT(says("when", "let through, and what came behind is forgotten"));
	CU_ASSERT_EQUAL(set_register(CPU_RAX, 1000), 0);
	CU_ASSERT(says("diverge off", "writes in the past are refused"));
	CU_ASSERT_FALSE(history_in_past(w.g.history));
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	CU_ASSERT_EQUAL(regs_now().gpr[CPU_RSI], 1005);
	end();
}

/* As gdb does to call a function: either way it comes to the breakpoint first. */
static void a_breakpoint_where_rip_was_changed_is_one_still(void)
{
	struct gdb_counts counts;
	struct cpu_state state;

	if (!begin())
		return;
	break_at(GDB_BREAK_SOFT, AT(plain_dec));
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	CU_ASSERT_EQUAL(w.g.ops.get_state(&w.g, &state, &counts), 0);
	state.regs.rip = AT(plain_store);
	CU_ASSERT_EQUAL(w.g.ops.set_state(&w.g, &state, &w.why), 0);
	step();
	CU_ASSERT(is_at(AT(plain_load)));
	CU_ASSERT_EQUAL(back(false), GDB_WHY_BREAK_SOFT);
	CU_ASSERT(is_at(AT(plain_dec)));
	CU_ASSERT_EQUAL(back(false), GDB_WHY_BEGIN);
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	CU_ASSERT(is_at(AT(plain_dec)));
	step(); /* which is one of the other way */
	CU_ASSERT(is_at(AT(plain_load)));
	CU_ASSERT_FALSE(history_in_past(w.g.history));
	end();
}

static int64_t answer_otherwise(void *ctx, struct vm *vm, struct hcall *call)
{
	(void)ctx;
	return hcall_answer_row(NULL, vm, call);
}

static void the_past_stays_where_who_answers_cannot_go_back(void)
{
	if (!begin())
		return;
	w.session.vm->respond = answer_otherwise;
	w.g.stop_at_exit = true;
	CU_ASSERT_EQUAL(go(), GDB_WHY_END);
	CU_ASSERT_EQUAL(write_at(w.data, "y", 1), -EPERM);
	CU_ASSERT_EQUAL(back(false), GDB_WHY_BEGIN);
	CU_ASSERT(says("diverge on", "forgets"));
	CU_ASSERT_EQUAL(write_at(w.data, "y", 1), -EOPNOTSUPP);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.why, "cannot go back to call 0"));
	end();
}

/* ---- recordings that the debugger makes ---- */

static struct {
	struct tmptree tree;
	char cwd[4096];
} place_of_files;

static bool begin_in_directory(void)
{
	static const char *const lines[] = { NULL };

	CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(place_of_files.cwd, sizeof(place_of_files.cwd)));
	if (!begin())
		return false;
	CU_ASSERT_EQUAL_FATAL(tmptree_make(&place_of_files.tree, lines), 0);
	CU_ASSERT_EQUAL(chdir(place_of_files.tree.path), 0);
	return true;
}

static void end_in_directory(void)
{
	CU_ASSERT_EQUAL(chdir(place_of_files.cwd), 0);
	tmptree_remove(&place_of_files.tree);
	end();
}

static void records_from_where_it_is(void)
{
	if (!begin_in_directory())
		return;
	CU_ASSERT(says("record start a.pcapng", "nothing was asked before: it replays"));
	CU_ASSERT(says("record start b.pcapng", "there is a recording already, to a.pcapng"));
	CU_ASSERT(says("info trace", "recording     to a.pcapng, 0 calls\n"));
	CU_ASSERT_EQUAL(write_at(w.data, "y", 1), 0); /* is in it, */
	break_at(GDB_BREAK_SOFT, AT(plain_exit));
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	CU_ASSERT_EQUAL(back(true), GDB_WHY_SIGNAL);
	CU_ASSERT(says("diverge on", "forgets"));
	CU_ASSERT_EQUAL(write_at(w.data, "z", 1), 0); /* and ends with what never was */
	CU_ASSERT(says("info trace", "recording     none"));
	CU_ASSERT_EQUAL(access("a.pcapng", R_OK), 0);
	CU_ASSERT(says("record start c.pcapng", "marked as a part: it does not replay"));
	CU_ASSERT_EQUAL(write_at(w.data, "y", 1), 0); /* of which no part is */
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	go();
	CU_ASSERT_EQUAL(w.stop.kind, GDB_EXITED);
	CU_ASSERT(says("record stop", "c.pcapng: 2 calls recorded"));
	CU_ASSERT(says("record stop", "there is no recording"));
	end_in_directory();
	if (!begin_in_directory())
		return;
	w.session.options.deterministic = false;
	CU_ASSERT(says("record start a.pcapng", "this run is not deterministic"));
	CU_ASSERT(says("record stop", "a.pcapng: 0 calls recorded"));
	step();
	CU_ASSERT_EQUAL(write_at(w.data, "y", 1), 0);
	CU_ASSERT(says("record start b.pcapng", "what came before is not in it"));
	CU_ASSERT_EQUAL(restart_with(NULL, 0), 0); /* ends it */
	CU_ASSERT(says("info trace", "recording     none"));
	end_in_directory();
}

static void a_recording_that_cannot_be_written_on_is_no_reason_to_stop(void)
{
	struct rlimit before, limit;

	if (!begin_in_directory())
		return;
	CU_ASSERT(says("record start a.pcapng", "recording to a.pcapng"));
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = (struct rlimit){ .rlim_cur = 16, .rlim_max = before.rlim_max };
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
	break_at(GDB_BREAK_SOFT, AT(plain_exit));
	CU_ASSERT_EQUAL(go(), GDB_WHY_BREAK_SOFT);
	CU_ASSERT(says("record stop", "the recording is not whole: "));
	CU_ASSERT(says("record start b.pcapng", "b.pcapng"));
	CU_ASSERT(says("info trace", "recording     none"));
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &before), 0);
	go();
	CU_ASSERT_EQUAL(w.stop.kind, GDB_EXITED);
	end_in_directory();
}

/* ---- time ---- */

static void places_are_named_and_come_back_to(void)
{
	char line[40];

	if (!begin())
		return;
	CU_ASSERT(says("checkpoint list", "no checkpoints"));
	CU_ASSERT(says("run 3", "3 instructions since the start"));
	CU_ASSERT(says("checkpoint", "checkpoint 1 at 0+3; monitor goto c1"));
	CU_ASSERT(says("goto begin", "at 0+0, RIP 0x"));
	CU_ASSERT(says("goto c1", "at 0+3, RIP 0x"));
	CU_ASSERT(says("goto c2", "there is no checkpoint 2"));
	CU_ASSERT(says("goto cx", "expected the number of a checkpoint"));
	CU_ASSERT(says("goto c0", "expected the number of a checkpoint"));
	CU_ASSERT(says("goto 0+x", "expected instructions behind the +"));
	CU_ASSERT(says("goto +5", "\"+5\": expected begin, end"));
	CU_ASSERT(says("goto 1+", "\"1+\": expected instructions behind the +"));
	CU_ASSERT(says("goto 0+1", "at 0+1, RIP 0x"));
	CU_ASSERT(says("goto end", "at 0+3, RIP 0x"));
	CU_ASSERT(says("goto 99999999999999999999999999999+1",
		"\"99999999999999999999999999999+1\": expected begin, end"));
	CU_ASSERT(says("checkpoint delete 2", "there is no checkpoint 2"));
	CU_ASSERT(says("checkpoint delete x", "expected the number of a checkpoint"));
	for (unsigned i = 2; i <= GDB_MARKS_MAX; i++) {
		snprintf(line, sizeof(line), "checkpoint %u at 0+3", i);
		CU_ASSERT(says("checkpoint", line));
	}
	CU_ASSERT(says("checkpoint", "there are 32 checkpoints already; delete one"));
	CU_ASSERT(says("checkpoint delete 1", "checkpoint 1 is deleted"));
	CU_ASSERT(says("checkpoint list", "   2  0+3\n   3  0+3\n"));
	CU_ASSERT(says("checkpoint", "checkpoint 33 at 0+3"));
	CU_ASSERT(says("goto 1", "at 1+0, RIP 0x")); /* it has not been there */
	CU_ASSERT(says("goto 1+2", "at 1+2, RIP 0x"));
	CU_ASSERT(says("run 1000", "the guest ended with exit code 7"));
	CU_ASSERT(says("when", "at 2+"));
	CU_ASSERT(says("goto 9", "the guest ended after 2 calls"));
	CU_ASSERT(says("goto 2", ", at the end, RIP 0x"));
	CU_ASSERT(says("goto 1", ", RIP 0x"));
	w.regs = -EIO;
	CU_ASSERT(says("goto 0", "gdb does not know it yet"));
	w.regs = 0;
	CU_ASSERT(says("goto end", ", at the end, RIP 0x"));
	CU_ASSERT(says("stop-at-exit x", "neither on nor off"));
	CU_ASSERT(says("stop-at-exit on", "stop-at-exit is on\n"));
	CU_ASSERT(says("stop-at-exit off", "stop-at-exit is off\n"));
	end();
}

/* Where it has not been it comes to stand at the present: there it may be changed. */
static void a_place_where_nobody_was_is_the_present(void)
{
	static const char *const places[] = { "0+3", "0+5", "0+16", "1", "1+2" };
	char line[40], at[40];

	if (!begin())
		return;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(line, sizeof(line), "goto %s", places[i]);
		snprintf(at, sizeof(at), "at %s%s, RIP 0x", places[i],
			strchr(places[i], '+') ? "" : "+0");
		CU_ASSERT(says(line, at));
		CU_ASSERT_FALSE(history_in_past(w.g.history));
		CU_ASSERT_EQUAL(write_at(w.data + 64, "y", 1), 0);
	}
	CU_ASSERT(is_at(AT(plain_end) - 1));
	end();
	if (!begin())
		return;
	/* A call comes before it: there it stands, whether that one is caught or not. */
	CU_ASSERT_EQUAL(w.g.ops.catch_calls(&w.g, true, NULL, 0), 0);
	CU_ASSERT(
		says("goto 0+99", "there is no such place: call 0 comes before it\nat 0+18, in "));
	CU_ASSERT(
		says("goto 0+99", "there is no such place: call 0 comes before it\nat 0+18, in "));
	CU_ASSERT(is_at(AT(plain_out)));
	CU_ASSERT(says("goto 1", "at 1+0, RIP 0x"));
	CU_ASSERT_FALSE(history_in_past(w.g.history));
	CU_ASSERT(says("goto 1+99", "call 1 comes before it"));
	CU_ASSERT(says("goto 0+99", "there are 18 instructions before call 0"));
	end();
}

/* A guest that does otherwise the second time is told as such, and stays where it is. */
static void says_when_the_way_back_is_lost(void)
{
	if (!begin())
		return;
	if (!w.g.history) { /* memory was short */
		end();
		return;
	}
	w.g.stop_at_exit = true;
	CU_ASSERT_EQUAL(go(), GDB_WHY_END);
	if (w.g.history->journal.broken) {
		end();
		return;
	}
	w.g.history->journal.calls[0].arg++;
	break_at(GDB_BREAK_SOFT, AT(plain_exit));
	CU_ASSERT_EQUAL(back(false), GDB_WHY_SIGNAL);
	CU_ASSERT(is_signal(GDB_SIG_TRAP));
	CU_ASSERT_PTR_NOT_NULL(strstr(w.stop.text, "call 0 is another"));
	CU_ASSERT(says("goto 0", "at 0+0"));
	CU_ASSERT(says("goto 1", "call 0 is another"));
	gdb_vm_end(&w.g); /* nor is there one to the present: the guest does nothing twice */
	CU_ASSERT_PTR_NULL(w.g.history);
	CU_ASSERT(gdb_vm_ended(&w.g));
	CU_ASSERT_EQUAL(w.session.vm->stop.kind, VM_FAILED);
	end();
}

static void starts_again_with_another_machine(void)
{
	uint64_t entry;

	if (!prepare())
		return;
	attach();
	entry = regs_now().rip;
	CU_ASSERT_EQUAL(w.g.ops.load_offset(&w.g), w.session.vm->layout.kernel_base);
	CU_ASSERT_STRING_EQUAL(w.g.ops.exec_file(&w.g), "/guest.elf");
	go();
	CU_ASSERT_EQUAL(w.stop.kind, GDB_EXITED);
	CU_ASSERT_EQUAL(restart_with(NULL, 0), 0);
	CU_ASSERT(is_at(entry) && is_signal(GDB_SIG_TRAP) && w.g.ops.can_reverse);
	CU_ASSERT_FALSE(gdb_vm_ended(&w.g));
	w.session.options.backend = "none"; /* one that cannot be had leaves what there is */
	CU_ASSERT_EQUAL(restart_with(NULL, 0), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.why, "backend none: not known"));
	CU_ASSERT(is_at(entry) && w.g.ops.can_reverse);
	CU_ASSERT_EQUAL(restart_with("x", 2), -EINVAL);
	CU_ASSERT(w.session.vm->args.n_app == 0);
	w.session.options.backend = "tcg";
	CU_ASSERT_EQUAL(restart_with("a b\0\0c", 7), 0);
	CU_ASSERT(says("info vm", "arguments     \"a b\" \"\" \"c\"\n"));
	CU_ASSERT_EQUAL(restart_with("d", 2), 0);
	CU_ASSERT(says("info vm", "arguments     \"d\"\n"));
	CU_ASSERT_EQUAL(restart_with(NULL, 0), 0);
	CU_ASSERT(w.session.vm->args.n_app == 0);
	go();
	CU_ASSERT_EQUAL(w.stop.kind, GDB_EXITED);
	end();
}

/* A backend that cannot freeze has no way back, and everything else. */
static void without_freezing_there_is_no_way_back(void)
{
	if (!prepare())
		return;
	place(plain_start, plain_end);
	own_operations();
	w.ops.freeze = NULL;
	CU_ASSERT_EQUAL_FATAL(gdb_vm_init(&w.g, &w.session,
				      &(struct gdb_link){ NULL, poll_world, watch_world, say }),
		0);
	gdb_vm_begin(&w.g);
	CU_ASSERT_FALSE(w.g.ops.can_reverse);
	go();
	CU_ASSERT_EQUAL(w.stop.kind, GDB_EXITED);
	end();
}

static const struct unit_case cases[] = {
	{ "a_breakpoint_says_of_which_kind_it_is", a_breakpoint_says_of_which_kind_it_is },
	{ "conditions_choose_the_turn", conditions_choose_the_turn },
	{ "a_condition_that_cannot_be_evaluated_stops",
		a_condition_that_cannot_be_evaluated_stops },
	{ "a_condition_without_registers_stops", a_condition_without_registers_stops },
	{ "commands_run_in_place_of_a_stop", commands_run_in_place_of_a_stop },
	{ "watchpoints_tell_their_address", watchpoints_tell_their_address },
	{ "what_this_cpu_cannot_stop_at_is_said_when_it_is_asked_for",
		what_this_cpu_cannot_stop_at_is_said_when_it_is_asked_for },
	{ "a_range_is_stepped_through", a_range_is_stepped_through },
	{ "a_step_goes_over_an_interrupts_handler", a_step_goes_over_an_interrupts_handler },
	{ "what_stops_it_in_the_handler_counts", what_stops_it_in_the_handler_counts },
	{ "a_call_stops_it_before_and_behind", a_call_stops_it_before_and_behind },
	{ "an_interrupt_stops_it_at_once", an_interrupt_stops_it_at_once },
	{ "a_long_way_back_is_told_of_once", a_long_way_back_is_told_of_once },
	{ "a_crash_is_a_signal_first_and_an_end_then", a_crash_is_a_signal_first_and_an_end_then },
	{ "an_exception_stops_it_before_it_is_delivered",
		an_exception_stops_it_before_it_is_delivered },
	{ "what_ends_it_is_said", what_ends_it_is_said },
	{ "breakpoints_that_cannot_be_had_end_it", breakpoints_that_cannot_be_had_end_it },
	{ "the_end_of_a_recording_is_a_place", the_end_of_a_recording_is_a_place },
	{ "a_step_of_one_thread_to_the_end_is_a_step_first",
		a_step_of_one_thread_to_the_end_is_a_step_first },
	{ "it_runs_on_without_a_debugger", it_runs_on_without_a_debugger },
	{ "writes_reach_what_is_mapped_and_nothing_else",
		writes_reach_what_is_mapped_and_nothing_else },
	{ "a_write_crosses_pages", a_write_crosses_pages },
	{ "registers_are_written_where_that_makes_sense",
		registers_are_written_where_that_makes_sense },
	{ "what_is_recorded_is_written_where_it_can_be_made_again",
		what_is_recorded_is_written_where_it_can_be_made_again },
	{ "who_does_not_count_records_writes_at_calls",
		who_does_not_count_records_writes_at_calls },
	{ "the_past_is_changed_only_when_that_is_wanted",
		the_past_is_changed_only_when_that_is_wanted },
	{ "a_breakpoint_where_rip_was_changed_is_one_still",
		a_breakpoint_where_rip_was_changed_is_one_still },
	{ "the_past_stays_where_who_answers_cannot_go_back",
		the_past_stays_where_who_answers_cannot_go_back },
	{ "records_from_where_it_is", records_from_where_it_is },
	{ "a_recording_that_cannot_be_written_on_is_no_reason_to_stop",
		a_recording_that_cannot_be_written_on_is_no_reason_to_stop },
	{ "places_are_named_and_come_back_to", places_are_named_and_come_back_to },
	{ "a_place_where_nobody_was_is_the_present", a_place_where_nobody_was_is_the_present },
	{ "says_when_the_way_back_is_lost", says_when_the_way_back_is_lost },
	{ "starts_again_with_another_machine", starts_again_with_another_machine },
	{ "without_freezing_there_is_no_way_back", without_freezing_there_is_no_way_back },
};

UNIT_MAIN("gdb_vm", cases)
