// SPDX-License-Identifier: ISC
/*
 * Names and backtraces. The image is this program itself: a PIE with debug information, whose own
 * stack is unwound; and the small sample image, which has neither CFI nor names.
 */
#include "unit.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "cpu.h"
#include "elf_load.h"
#include "elf_sample.h"
#include "err.h"
#include "symbols.h"

enum { DEPTH = 16, SAMPLE_BASE = 0x40000 };
#define NOINLINE __attribute__((noinline))

struct self {
	uint8_t *bytes;
	size_t size;
	uint64_t base;
	struct symbols *symbols;
};

static int first_object(struct dl_phdr_info *info, size_t size, void *base)
{
	(void)size;
	*(uint64_t *)base = info->dlpi_addr;
	return 1;
}

static void self_open(struct self *self)
{
	struct err err = { 0 };

	dl_iterate_phdr(first_object, &self->base);
	CU_ASSERT_FATAL(!elf_read_file("/proc/self/exe", &self->bytes, &self->size, &err));
	CU_ASSERT_FATAL(!symbols_open(&self->symbols, self->bytes, self->size, self->base, &err));
}

static void self_close(struct self *self)
{
	symbols_close(self->symbols);
	free(self->bytes);
}

static bool starts_with(const char *text, const char *start)
{
	bool is = !strncmp(text, start, strlen(start));

	if (!is)
		printf("     \"%s\" does not start with \"%s\"\n", text, start);
	return is;
}

static NOINLINE int landmark(int n)
{
	return n * 3 + 1;
}

static void describes_function_offset_file_and_line(void)
{
	enum { LANDMARK_LINE = __LINE__ - 7 };
	struct self self = { 0 };
	char text[200];
	int line = 0;

	self_open(&self);
	symbols_describe(self.symbols, (uintptr_t)landmark, text, sizeof(text));
	/* The compiler says whether its first byte belongs to the head or the body. */
	CU_ASSERT(sscanf(text, "landmark (%*[^:]:%d)", &line) == 1 && strchr(text, ')'));
	CU_ASSERT(line >= LANDMARK_LINE && line <= LANDMARK_LINE + 2);
	symbols_describe(self.symbols, (uintptr_t)landmark + 1, text, sizeof(text));
	CU_ASSERT(starts_with(text, "landmark+0x1 ("));
	CU_ASSERT_EQUAL(landmark(1), 4);
	self_close(&self);
}

static void says_nothing_of_addresses_outside(void)
{
	static const uint64_t addrs[] = { 0, 1, 0x7fffffffffffffff, 0x8000000000000000,
		0xffffffffffffffff };
	struct self self = { 0 };
	char text[200];

	self_open(&self);
	for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
		symbols_describe(self.symbols, addrs[i], text, sizeof(text));
		CU_ASSERT_STRING_EQUAL(text, "");
	}
	symbols_describe(self.symbols, (uintptr_t)text, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "");
	self_close(&self);
}

static void fills_any_buffer_and_ends_it(void)
{
	struct self self = { 0 };
	char whole[200], *text;

	self_open(&self);
	symbols_describe(self.symbols, (uintptr_t)landmark + 1, whole, sizeof(whole));
	for (size_t n = 0; n < 60; n++) {
		text = malloc(n + 1);
		memset(text, '#', n + 1);
		symbols_describe(self.symbols, (uintptr_t)landmark + 1, text, n);
		CU_ASSERT_EQUAL(text[n], '#');
		CU_ASSERT(!n || strlen(text) == (strlen(whole) < n ? strlen(whole) : n - 1));
		free(text);
	}
	self_close(&self);
}

/* A linear search: memmem would find the needle's own copy in this program's data as well. */
static size_t replace_all(uint8_t *bytes, size_t size, const char *from, const char *to)
{
	size_t n = strlen(from), found = 0;

	for (uint8_t *p = bytes; (p = memmem(p, size - (size_t)(p - bytes), from, n));
		p += n, found++)
		memcpy(p, to, n);
	return found;
}

static NOINLINE int hostile_name(int n)
{
	return n * 5 + 2;
}

static void shows_hostile_names_as_printable_text(void)
{
	struct self self = { 0 };
	struct symbols *s;
	char text[200];

	CU_ASSERT_EQUAL(hostile_name(1), 7);
	self_open(&self);
	CU_ASSERT(replace_all(self.bytes, self.size, "hostile_name", "\033[31m\n\xff\x80zzzz") > 0);
	CU_ASSERT_FATAL(!symbols_open(&s, self.bytes, self.size, self.base, NULL));
	symbols_describe(s, (uintptr_t)hostile_name, text, sizeof(text));
	CU_ASSERT(starts_with(text, "?[31m???zzzz"));
	symbols_close(s);
	self_close(&self);
}

static NOINLINE uint64_t caller(void)
{
	return (uintptr_t)__builtin_return_address(0) - 1;
}

static int deep_line, shallow_line;

static inline __attribute__((always_inline)) uint64_t deep(void)
{
	uint64_t pc;

	deep_line = __LINE__ + 1;
	pc = caller();
	__asm__ volatile("" ::: "memory"); /* not a tail call */
	return pc;
}

static NOINLINE uint64_t around(void)
{
	shallow_line = __LINE__ + 1;
	return deep();
}

static void names_functions_that_were_inlined(void)
{
	struct self self = { 0 };
	char text[200], want[60];
	uint64_t pc = around();

	self_open(&self);
	CU_ASSERT(symbols_describe_nth(self.symbols, pc, 0, text, sizeof(text)));
	snprintf(want, sizeof(want), "tests/test_symbols.c:%d)", deep_line);
	CU_ASSERT(starts_with(text, "deep, inlined (") && strstr(text, want));
	CU_ASSERT(symbols_describe_nth(self.symbols, pc, 1, text, sizeof(text)));
	snprintf(want, sizeof(want), "tests/test_symbols.c:%d)", shallow_line);
	CU_ASSERT(starts_with(text, "around+0x") && strstr(text, want));
	CU_ASSERT_FALSE(symbols_describe_nth(self.symbols, pc, 2, text, sizeof(text)));
	CU_ASSERT_STRING_EQUAL(text, "");
	CU_ASSERT(symbols_describe_nth(self.symbols, 1, 0, text, sizeof(text)));
	CU_ASSERT_FALSE(symbols_describe_nth(self.symbols, 1, 1, text, sizeof(text)));
	self_close(&self);
}

/* ---- unwinding this very stack ---- */

/* Any address may be asked for; the kernel says which exist. */
static int read_self(void *ctx, uint64_t gva, void *buf, size_t len)
{
	struct iovec to = { buf, len }, from = { (void *)(uintptr_t)gva, len };

	(void)ctx;
	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)len ? 0 : -EFAULT;
}

static struct cpu_regs regs_of(const ucontext_t *u)
{
	static const struct {
		enum cpu_gpr gpr;
		int greg;
	} map[] = {
		{ CPU_RAX, REG_RAX },
		{ CPU_RBX, REG_RBX },
		{ CPU_RCX, REG_RCX },
		{ CPU_RDX, REG_RDX },
		{ CPU_RSI, REG_RSI },
		{ CPU_RDI, REG_RDI },
		{ CPU_RBP, REG_RBP },
		{ CPU_RSP, REG_RSP },
		{ CPU_R8, REG_R8 },
		{ CPU_R9, REG_R9 },
		{ CPU_R10, REG_R10 },
		{ CPU_R11, REG_R11 },
		{ CPU_R12, REG_R12 },
		{ CPU_R13, REG_R13 },
		{ CPU_R14, REG_R14 },
		{ CPU_R15, REG_R15 },
	};
	struct cpu_regs regs = { .rip = (uint64_t)u->uc_mcontext.gregs[REG_RIP] };

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		regs.gpr[map[i].gpr] = (uint64_t)u->uc_mcontext.gregs[map[i].greg];
	return regs;
}

struct unwound {
	struct symbols *symbols;
	uint64_t pcs[DEPTH], limited[2];
	size_t n, n_limited;
};

static NOINLINE void innermost(struct unwound *w)
{
	struct cpu_regs regs;
	ucontext_t u;

	getcontext(&u);
	regs = regs_of(&u);
	w->n = symbols_backtrace(w->symbols, &regs, read_self, NULL, w->pcs, DEPTH);
	w->n_limited = symbols_backtrace(w->symbols, &regs, read_self, NULL, w->limited, 2);
}

static int middle_line, outer_line;

static NOINLINE void middle(struct unwound *w)
{
	middle_line = __LINE__ + 1;
	innermost(w);
	__asm__ volatile("" ::: "memory"); /* not a tail call */
}

static NOINLINE void outer(struct unwound *w)
{
	outer_line = __LINE__ + 1;
	middle(w);
	__asm__ volatile("" ::: "memory");
}

static void unwinds_a_real_stack_to_the_lines_of_the_calls(void)
{
	struct unwound w = { 0 };
	struct self self = { 0 };
	char text[200], want[40];

	self_open(&self);
	w.symbols = self.symbols;
	outer(&w);
	CU_ASSERT_FATAL(w.n >= 4 && w.n <= DEPTH);
	symbols_describe(self.symbols, w.pcs[0], text, sizeof(text));
	CU_ASSERT(starts_with(text, "innermost+0x"));
	symbols_describe(self.symbols, w.pcs[1], text, sizeof(text));
	snprintf(want, sizeof(want), "tests/test_symbols.c:%d)", middle_line);
	CU_ASSERT(starts_with(text, "middle+0x") && strstr(text, want));
	symbols_describe(self.symbols, w.pcs[2], text, sizeof(text));
	snprintf(want, sizeof(want), "tests/test_symbols.c:%d)", outer_line);
	CU_ASSERT(starts_with(text, "outer+0x") && strstr(text, want));
	symbols_describe(self.symbols, w.pcs[3], text, sizeof(text));
	CU_ASSERT(starts_with(text, "unwinds_a_real_stack_to_the_lines_of_the_calls+0x"));
	CU_ASSERT(w.n_limited == 2 && w.limited[1] == w.pcs[1]);
	self_close(&self);
}

/* ---- stacks made up for an image that has no CFI ---- */

enum { STACK_WORDS = 32 };
#define STACK_GVA 0x7000ul
#define CODE      (SAMPLE_BASE + SAMPLE_TEXT_VADDR(text))

struct stack {
	uint64_t words[STACK_WORDS];
};

static int read_stack(void *ctx, uint64_t gva, void *buf, size_t len)
{
	const struct stack *s = ctx;

	if (gva < STACK_GVA || gva - STACK_GVA > sizeof(s->words) - len)
		return -EFAULT;
	memcpy(buf, (const char *)s->words + (gva - STACK_GVA), len);
	return 0;
}

static struct symbols *open_sample(struct sample *s)
{
	struct symbols *symbols = NULL;

	sample_init(s, ET_DYN);
	CU_ASSERT_FATAL(!symbols_open(&symbols, (const uint8_t *)s, sizeof(*s), SAMPLE_BASE, NULL));
	return symbols;
}

/* Two callers by frame pointers: words 4 and 10 are saved frame pointers, return addresses follow. */
static const struct stack framed = { {
	[0] = CODE + 3,
	[4] = STACK_GVA + 80,
	[5] = CODE + 8,
	[10] = 0,
	[11] = CODE + 16,
} };

static void follows_frame_pointers_without_cfi(void)
{
	struct cpu_regs regs = { .rip = CODE + 2 };
	struct stack stack = framed;
	uint64_t pcs[DEPTH];
	struct sample s;
	struct symbols *symbols = open_sample(&s);

	regs.gpr[CPU_RSP] = STACK_GVA;
	regs.gpr[CPU_RBP] = STACK_GVA + 32;
	CU_ASSERT_EQUAL(symbols_backtrace(symbols, &regs, read_stack, &stack, pcs, DEPTH), 3);
	CU_ASSERT_EQUAL(pcs[0], CODE + 2);
	CU_ASSERT_EQUAL(pcs[1], CODE + 7);
	CU_ASSERT_EQUAL(pcs[2], CODE + 15);
	CU_ASSERT_EQUAL(symbols_backtrace(symbols, &regs, read_stack, &stack, pcs, 1), 1);
	CU_ASSERT_EQUAL(symbols_backtrace(symbols, &regs, read_stack, &stack, pcs, 0), 0);
	symbols_close(symbols);
}

static void finds_back_from_a_jump_to_nowhere(void)
{
	struct cpu_regs regs = { .rip = 0xdead };
	struct stack stack = framed;
	uint64_t pcs[DEPTH];
	struct sample s;
	struct symbols *symbols = open_sample(&s);

	regs.gpr[CPU_RSP] = STACK_GVA;
	regs.gpr[CPU_RBP] = STACK_GVA + 32;
	CU_ASSERT_EQUAL(symbols_backtrace(symbols, &regs, read_stack, &stack, pcs, DEPTH), 4);
	CU_ASSERT_EQUAL(pcs[0], 0xdead);
	CU_ASSERT_EQUAL(pcs[1], CODE + 2);
	CU_ASSERT_EQUAL(pcs[2], CODE + 7);
	regs.gpr[CPU_RSP] = 8; /* and no stack either */
	CU_ASSERT_EQUAL(symbols_backtrace(symbols, &regs, read_stack, &stack, pcs, DEPTH), 1);
	symbols_close(symbols);
}

static void ends_where_frames_loop(void)
{
	struct cpu_regs regs = { .rip = CODE };
	struct stack stack = { 0 };
	uint64_t pcs[DEPTH];
	struct sample s;
	struct symbols *symbols = open_sample(&s);

	stack.words[4] = STACK_GVA + 80;
	stack.words[5] = CODE + 8;
	stack.words[10] = STACK_GVA + 32;
	stack.words[11] = CODE + 16;
	regs.gpr[CPU_RSP] = STACK_GVA;
	regs.gpr[CPU_RBP] = STACK_GVA + 32;
	CU_ASSERT_EQUAL(symbols_backtrace(symbols, &regs, read_stack, &stack, pcs, DEPTH), 3);
	symbols_close(symbols);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void survives_any_registers_and_stack(void)
{
	uint64_t random = 0x9e3779b97f4a7c15, pcs[DEPTH];
	struct self self = { 0 };
	struct cpu_regs regs;
	struct stack stack;
	size_t n;

	self_open(&self);
	for (int turn = 0; turn < 3000; turn++) {
		uint64_t near = self.base + next_random(&random) % self.size;

		for (size_t i = 0; i < STACK_WORDS; i++)
			stack.words[i] = next_random(&random) % 3
						 ? next_random(&random)
						 : STACK_GVA + next_random(&random) % 256;
		for (size_t i = 0; i < STACK_WORDS; i += 3)
			stack.words[i] = self.base + next_random(&random) % self.size;
		for (size_t i = 0; i < CPU_GPR_COUNT; i++)
			regs.gpr[i] = turn % 2 ? STACK_GVA + next_random(&random) % 256
					       : next_random(&random);
		regs.rip = turn % 5 ? near : next_random(&random);
		n = symbols_backtrace(self.symbols, &regs, read_stack, &stack, pcs, DEPTH);
		CU_ASSERT(n >= 1 && n <= DEPTH && pcs[0] == regs.rip);
	}
	self_close(&self);
}

static void refuses_what_has_no_segments(void)
{
	struct err err = { 0 };
	struct symbols *symbols = NULL;
	struct sample s;

	sample_init(&s, ET_DYN);
	s.ph[SAMPLE_TEXT].p_type = s.ph[SAMPLE_DATA].p_type = PT_NULL;
	CU_ASSERT_EQUAL(symbols_open(&symbols, (const uint8_t *)&s, sizeof(s), 0, &err), -ENOEXEC);
	CU_ASSERT(err.text[0]);
	CU_ASSERT_EQUAL(symbols_open(&symbols, (const uint8_t *)"no", 2, 0, &err), -ENOEXEC);
	CU_ASSERT_PTR_NULL(symbols);
	symbols_close(NULL);
}

/* ---- the child ---- */

static void say(int fd, const char *text)
{
	CU_ASSERT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void work_well(void *ctx, int fd)
{
	say(fd, ctx);
}

static void work_and_die(void *ctx, int fd)
{
	say(fd, ctx);
	abort();
}

static void work_for_ever(void *ctx, int fd)
{
	say(fd, ctx);
	for (;;)
		pause();
}

static void work_with_files(void *ctx, int fd)
{
	(void)ctx;
	say(fd, open("/dev/null", O_RDONLY) < 0 && errno == EMFILE ? "closed" : "open");
}

static void work_with_memory(void *ctx, int fd)
{
	void *much =
		mmap(NULL, 1 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *some =
		mmap(NULL, 1 << 28, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)ctx;
	say(fd, much == MAP_FAILED && some != MAP_FAILED ? "closed" : "open");
}

static void work_too_much(void *ctx, int fd)
{
	for (int i = 0; i < 10000; i++)
		if (write(fd, ctx, 8) < 0)
			return;
}

static void collects_what_a_child_wrote_however_it_ends(void)
{
	static char words[] = "so far";
	static const struct {
		void (*work)(void *ctx, int fd);
		const char *want;
	} rows[] = {
		{ work_well, "so far" },
		{ work_and_die, "so far" },
		{ work_for_ever, "so far" },
		{ work_with_files, "closed" },
		{ work_with_memory, "closed" },
	};
	struct timespec from, to;
	char text[100];

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CU_ASSERT_EQUAL(symbols_in_child(rows[i].work, words, 300, text, sizeof(text)), 6);
		CU_ASSERT_STRING_EQUAL(text, rows[i].want);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	CU_ASSERT(to.tv_sec - from.tv_sec < 5);
}

static void stops_a_child_that_says_too_much(void)
{
	static char words[] = "morerest";
	char text[21];

	CU_ASSERT_EQUAL(symbols_in_child(work_too_much, words, 5000, text, sizeof(text)), 20);
	CU_ASSERT_STRING_EQUAL(text, "morerestmorerestmore");
}

static const struct unit_case cases[] = {
	{ "describes_function_offset_file_and_line", describes_function_offset_file_and_line },
	{ "says_nothing_of_addresses_outside", says_nothing_of_addresses_outside },
	{ "fills_any_buffer_and_ends_it", fills_any_buffer_and_ends_it },
	{ "shows_hostile_names_as_printable_text", shows_hostile_names_as_printable_text },
	{ "names_functions_that_were_inlined", names_functions_that_were_inlined },
	{ "unwinds_a_real_stack_to_the_lines_of_the_calls",
		unwinds_a_real_stack_to_the_lines_of_the_calls },
	{ "follows_frame_pointers_without_cfi", follows_frame_pointers_without_cfi },
	{ "finds_back_from_a_jump_to_nowhere", finds_back_from_a_jump_to_nowhere },
	{ "ends_where_frames_loop", ends_where_frames_loop },
	{ "survives_any_registers_and_stack", survives_any_registers_and_stack },
	{ "refuses_what_has_no_segments", refuses_what_has_no_segments },
	{ "collects_what_a_child_wrote_however_it_ends",
		collects_what_a_child_wrote_however_it_ends },
	{ "stops_a_child_that_says_too_much", stops_a_child_that_says_too_much },
};

UNIT_MAIN("symbols", cases)
