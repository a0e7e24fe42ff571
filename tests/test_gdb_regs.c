// SPDX-License-Identifier: ISC
/* Registers as gdb sees them: what is read, what may be written, and that gdb numbers them as we do. */
#include "gdb_regs.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu.h"
#include "unit.h"

static const struct gdb_counts counts = { 0x1122334455667788, 42 };

static uint64_t get(const struct cpu_state *s, const char *name)
{
	uint8_t bytes[GDB_REG_MAX] = { 0 };
	uint64_t value;
	int n = gdb_reg_find(true, name);

	CU_ASSERT(n >= 0);
	if (n < 0)
		return 0;
	gdb_reg_get(s, &counts, (unsigned)n, bytes);
	memcpy(&value, bytes, sizeof(value));
	return value;
}

static int set(struct cpu_state *s, const char *name, uint64_t value)
{
	uint8_t bytes[GDB_REG_MAX] = { 0 };
	int n = gdb_reg_find(true, name);

	CU_ASSERT(n >= 0);
	if (n < 0)
		return 1;
	memcpy(bytes, &value, sizeof(value));
	return gdb_reg_set(s, &counts, (unsigned)n, bytes);
}

static void sizes_and_numbers_agree(void)
{
	for (int avx = 0; avx < 2; avx++) {
		size_t sum = 0;
		unsigned n = 0;

		for (; gdb_reg_size(avx, n); n++) {
			sum += gdb_reg_size(avx, n);
			CU_ASSERT(gdb_reg_size(avx, n) <= GDB_REG_MAX);
			CU_ASSERT(gdb_reg_find(avx, gdb_reg_name(n)) == (int)n);
		}
		CU_ASSERT(n == gdb_regs_count(avx) && sum == gdb_regs_size(avx));
		CU_ASSERT(gdb_reg_size(avx, UINT32_MAX) == 0);
	}
	CU_ASSERT(gdb_regs_count(true) == gdb_regs_count(false) + 16);
	CU_ASSERT(gdb_regs_size(true) == gdb_regs_size(false) + 256);
	CU_ASSERT(gdb_reg_find(true, "ymm15h") == (int)gdb_regs_count(true) - 1);
	CU_ASSERT(gdb_reg_find(false, "ymm0h") == -1);
	CU_ASSERT(gdb_reg_find(true, "") == -1 && gdb_reg_find(true, "pc") == -1);
	CU_ASSERT(gdb_reg_name((unsigned)gdb_regs_count(true)) == NULL);
}

static void the_numbers_others_rely_on_are_these(void)
{
	static const struct {
		const char *name;
		int n;
	} rows[] = {
		{ "rax", GDB_RAX },
		{ "rbx", 1 },
		{ "rcx", 2 },
		{ "rdx", 3 },
		{ "rsi", 4 },
		{ "rdi", 5 },
		{ "rbp", GDB_RBP },
		{ "rsp", GDB_RSP },
		{ "r8", 8 },
		{ "r15", 15 },
		{ "rip", GDB_RIP },
		{ "eflags", GDB_EFLAGS },
		{ "cs", 18 },
		{ "gs", 23 },
		{ "st0", 24 },
		{ "fctrl", 32 },
		{ "fop", 39 },
		{ "xmm0", 40 },
		{ "mxcsr", 56 },
		{ "orig_rax", 57 },
		{ "fs_base", 58 },
		{ "cr0", 60 },
		{ "hypercall_index", 84 },
		{ "ymm0h", 85 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CU_ASSERT(gdb_reg_find(true, rows[i].name) == rows[i].n);
}

/* Every byte of a state another one, as far as 256 go. */
static struct cpu_state patterned(void)
{
	struct cpu_state s;

	for (size_t i = 0; i < sizeof(s); i++)
		((uint8_t *)&s)[i] = (uint8_t)(i * 7 + 3);
	return s;
}

static void reads_what_the_state_holds(void)
{
	struct cpu_state s = patterned();
	uint8_t bytes[GDB_REG_MAX];
	uint64_t low;

	CU_ASSERT(get(&s, "rax") == s.regs.gpr[CPU_RAX]);
	CU_ASSERT(get(&s, "rbx") == s.regs.gpr[CPU_RBX]);
	CU_ASSERT(get(&s, "rcx") == s.regs.gpr[CPU_RCX]);
	CU_ASSERT(get(&s, "rdx") == s.regs.gpr[CPU_RDX]);
	CU_ASSERT(get(&s, "rsi") == s.regs.gpr[CPU_RSI]);
	CU_ASSERT(get(&s, "rdi") == s.regs.gpr[CPU_RDI]);
	CU_ASSERT(get(&s, "rbp") == s.regs.gpr[CPU_RBP]);
	CU_ASSERT(get(&s, "rsp") == s.regs.gpr[CPU_RSP]);
	CU_ASSERT(get(&s, "r12") == s.regs.gpr[CPU_R12]);
	CU_ASSERT(get(&s, "rip") == s.regs.rip);
	CU_ASSERT(get(&s, "eflags") == (uint32_t)s.regs.rflags);
	CU_ASSERT(get(&s, "cs") == s.seg[CPU_CS].selector);
	CU_ASSERT(get(&s, "ds") == s.seg[CPU_DS].selector);
	CU_ASSERT(get(&s, "es") == s.seg[CPU_ES].selector);
	CU_ASSERT(get(&s, "fs_base") == s.seg[CPU_FS].base);
	CU_ASSERT(get(&s, "gs_base") == s.seg[CPU_GS].base);
	CU_ASSERT(get(&s, "k_gs_base") == s.kernel_gs_base);
	CU_ASSERT(get(&s, "cr3") == s.cr3 && get(&s, "cr8") == s.cr8);
	CU_ASSERT(get(&s, "efer") == s.efer && get(&s, "lstar") == s.lstar);
	CU_ASSERT(get(&s, "gdtr_base") == s.gdt.base && get(&s, "gdtr_limit") == s.gdt.limit);
	CU_ASSERT(get(&s, "idtr_base") == s.idt.base && get(&s, "idtr_limit") == s.idt.limit);
	CU_ASSERT(get(&s, "tr") == s.seg[CPU_TR].selector);
	CU_ASSERT(get(&s, "tr_base") == s.seg[CPU_TR].base);
	CU_ASSERT(get(&s, "tr_limit") == s.seg[CPU_TR].limit);
	CU_ASSERT(get(&s, "dr2") == s.dr[2] && get(&s, "dr7") == s.dr7);
	CU_ASSERT(get(&s, "orig_rax") == UINT64_MAX);
	CU_ASSERT(get(&s, "insn_count") == counts.insn_count);
	CU_ASSERT(get(&s, "hypercall_index") == counts.hypercall_index);
	gdb_reg_get(&s, &counts, (unsigned)gdb_reg_find(true, "ymm3h"), bytes);
	CU_ASSERT(!memcmp(bytes, s.ymmh[3], 16));
	gdb_reg_get(&s, &counts, (unsigned)gdb_reg_find(true, "xmm15"), bytes);
	CU_ASSERT(!memcmp(bytes, s.fx + 400, 16));
	gdb_reg_get(&s, &counts, (unsigned)gdb_reg_find(true, "st7"), bytes);
	CU_ASSERT(!memcmp(bytes, s.fx + 144, 10));
	memcpy(&low, s.fx + 8, 8);
	CU_ASSERT(get(&s, "fioff") == (uint32_t)low && get(&s, "fiseg") == low >> 32);
	memcpy(&low, s.fx + 16, 8);
	CU_ASSERT(get(&s, "fooff") == (uint32_t)low && get(&s, "foseg") == low >> 32);
}

static void what_is_written_as_it_was_changes_nothing(void)
{
	struct cpu_state s[3] = { { .cr0 = 0 }, patterned() }, before;

	cpu_state_long_mode(&s[2]);
	for (int k = 0; k < 3; k++) {
		before = s[k];
		for (unsigned n = 0; n < gdb_regs_count(true); n++) {
			uint8_t bytes[GDB_REG_MAX];

			gdb_reg_get(&s[k], &counts, n, bytes);
			CU_ASSERT(gdb_reg_set(&s[k], &counts, n, bytes) == 0);
		}
		CU_ASSERT(!memcmp(&before, &s[k], sizeof(before)));
	}
}

#define TOP 0x800000000000 /* the first address that is not canonical */

static void accepts_what_a_cpu_may_hold(void)
{
	static const struct {
		const char *name;
		uint64_t value;
		int r;
		uint64_t after; /* when it was accepted */
	} rows[] = {
		{ "rax", UINT64_MAX, 0, UINT64_MAX },
		{ "rsp", TOP, 0, TOP },
		{ "rip", TOP - 1, 0, TOP - 1 },
		{ "rip", TOP, -EINVAL, 0 },
		{ "rip", -(uint64_t)TOP, 0, -(uint64_t)TOP },
		{ "rip", -(uint64_t)TOP - 1, -EINVAL, 0 },
		{ "eflags", 0, 0, 2 },
		{ "eflags", 0x246, 0, 0x246 },
		{ "eflags", 0xffffffff & ~(1u << 17), 0, 0x3d7fd7 },
		{ "eflags", 1 << 17, -EINVAL, 0 },
		{ "cs", 0x10, -EPERM, 0 },
		{ "cs", 0x10008, -EPERM, 0 },
		{ "ss", 0, -EPERM, 0 },
		{ "fs", 3, -EPERM, 0 },
		{ "tr", 8, -EPERM, 0 },
		{ "fctrl", 0, 0, 0x40 },
		{ "fctrl", 0x27f, 0, 0x27f },
		{ "fctrl", 0xffffffff, 0, 0x1f7f },
		{ "fstat", 0xffff3800, 0, 0x3800 },
		{ "fop", 0xffff, 0, 0x7ff },
		{ "fiseg", 0xffffffff, 0, 0xffffffff },
		{ "fioff", 0x1234, 0, 0x1234 },
		{ "mxcsr", 0x1f80, 0, 0x1f80 },
		{ "mxcsr", 0xffffffff, 0, 0xffff },
		{ "orig_rax", 5, 0, UINT64_MAX },
		{ "fs_base", 0x1000, 0, 0x1000 },
		{ "fs_base", TOP, -EINVAL, 0 },
		{ "gs_base", TOP, -EINVAL, 0 },
		{ "k_gs_base", TOP, -EINVAL, 0 },
		{ "lstar", TOP, -EINVAL, 0 },
		{ "star", UINT64_MAX, 0, UINT64_MAX },
		{ "sfmask", 0xffffffff, 0, 0xffffffff },
		{ "sfmask", 0x100000000, -EINVAL, 0 },
		{ "gdtr_base", TOP, -EINVAL, 0 },
		{ "gdtr_limit", 0xffff, 0, 0xffff },
		{ "idtr_base", 0x2000, 0, 0x2000 },
		{ "tr_base", TOP, -EINVAL, 0 },
		{ "tr_limit", 0x67, 0, 0x67 },
		{ "tr_limit", 0x100000, -EINVAL, 0 }, /* its unit is a byte */
		{ "cr2", UINT64_MAX, 0, UINT64_MAX },
		{ "cr3", 0xfffffffffffff, 0, 0xfffffffffffff },
		{ "cr3", 0x10000000000000, -EINVAL, 0 },
		{ "cr8", 15, 0, 15 },
		{ "cr8", 16, -EINVAL, 0 },
		{ "cr0", 0x80010031, 0, 0x80010031 },
		{ "cr0", 0x80000021, 0, 0x80000031 }, /* ET is always there */
		{ "cr0", 0xe0000031, 0, 0xe0000031 },
		{ "cr0", 0xa0000031, -EINVAL, 0 }, /* NW without CD */
		{ "cr0", 0x80000030, -EINVAL, 0 }, /* PG without PE */
		{ "cr0", 0x31, -EINVAL, 0 },       /* out of long mode */
		{ "cr0", 0x80000071, -EINVAL, 0 },
		{ "cr0", 0x180000031, -EINVAL, 0 },
		{ "cr4", 0x620, 0, 0x620 },
		{ "cr4", 0x20020, 0, 0x20020 },
		{ "cr4", 0, -EINVAL, 0 },        /* without PAE */
		{ "cr4", 0x1020, -EINVAL, 0 },   /* LA57 while paging */
		{ "cr4", 0x2020, -EINVAL, 0 },   /* VMXE: not here */
		{ "cr4", 0x800020, -EINVAL, 0 }, /* CET without WP */
		{ "cr4", 0x100000020, -EINVAL, 0 },
		{ "efer", 0xd01, 0, 0xd01 },
		{ "efer", 0x100, -EINVAL, 0 }, /* LMA follows from LME and PG */
		{ "efer", 0, -EINVAL, 0 },
		{ "efer", 0x1500, -EINVAL, 0 },
		{ "dr0", UINT64_MAX, 0, UINT64_MAX },
		{ "dr6", 0, 0, 0xffff0ff0 },
		{ "dr6", 0xffffffff, 0, 0xffffefff },
		{ "dr6", 0x100000000, -EINVAL, 0 },
		{ "dr7", 0, 0, 0x400 },
		{ "dr7", 0xffffffff, 0, 0xffff27ff },
		{ "dr7", 0x100000000, -EINVAL, 0 },
		{ "insn_count", 0, -EPERM, 0 },
		{ "hypercall_index", 43, -EPERM, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cpu_state s, before;
		int r;

		cpu_state_long_mode(&s);
		before = s;
		r = set(&s, rows[i].name, rows[i].value);
		CU_ASSERT(r == rows[i].r);
		if (r)
			CU_ASSERT(!memcmp(&s, &before, sizeof(s)));
		if (!r)
			CU_ASSERT(get(&s, rows[i].name) == rows[i].after);
		if (r != rows[i].r || (!r && get(&s, rows[i].name) != rows[i].after))
			printf("     %s = %#llx: %d, %#llx\n", rows[i].name,
				(unsigned long long)rows[i].value, r,
				(unsigned long long)get(&s, rows[i].name));
	}
}

static void a_cpu_with_57_bits_has_more_addresses(void)
{
	struct cpu_state s;

	cpu_state_long_mode(&s);
	s.cr4 |= CPU_CR4_LA57;
	CU_ASSERT(set(&s, "rip", TOP) == 0);
	CU_ASSERT(set(&s, "rip", 1ull << 56) == -EINVAL);
}

static void a_bit_that_is_there_may_stay(void)
{
	struct cpu_state s;

	cpu_state_long_mode(&s);
	s.efer |= 1 << 14;
	CU_ASSERT(set(&s, "efer", s.efer | CPU_EFER_NXE) == 0);
	CU_ASSERT(set(&s, "efer", s.efer & ~(1ull << 14)) == 0);
	CU_ASSERT(set(&s, "efer", s.efer | 1 << 14) == -EINVAL);
}

static void modes_are_held_together_outside_of_long_mode_too(void)
{
	struct cpu_state s;

	cpu_state_long_mode(&s);
	s.cr0 = CPU_CR0_PE | CPU_CR0_ET;
	s.cr4 = s.efer = 0;
	CU_ASSERT(set(&s, "cr4", 0x20000) == -EINVAL); /* PCIDE is of long mode */
	CU_ASSERT(set(&s, "cr4", CPU_CR4_LA57 | CPU_CR4_PAE) == 0);
	CU_ASSERT(set(&s, "efer", CPU_EFER_LMA) == -EINVAL);
	CU_ASSERT(set(&s, "efer", CPU_EFER_LME) == 0);
	CU_ASSERT(set(&s, "cr0", s.cr0 | CPU_CR0_PG) == -EINVAL); /* LMA would have to come, too */
	CU_ASSERT(set(&s, "efer", 0) == 0);
	CU_ASSERT(set(&s, "cr0", s.cr0 | CPU_CR0_PG | CPU_CR0_WP) == 0);
	CU_ASSERT(set(&s, "efer", CPU_EFER_LME) == -EINVAL);
	CU_ASSERT(set(&s, "cr4", s.cr4 | 1 << 23) == 0); /* CET with WP */
	CU_ASSERT(set(&s, "cr0", s.cr0 & ~(uint64_t)CPU_CR0_WP) == -EINVAL);
}

static void a_limit_in_pages_ends_with_a_page(void)
{
	struct cpu_state s;

	cpu_state_long_mode(&s);
	s.seg[CPU_TR].attr |= CPU_SEG_G;
	CU_ASSERT(set(&s, "tr_limit", 0xfffff) == 0 && set(&s, "tr_limit", 0x67) == -EINVAL);
}

static void an_old_fpu_has_no_denormals_are_zero(void)
{
	struct cpu_state s;

	cpu_state_long_mode(&s);
	memset(s.fx + 28, 0, 4);
	CU_ASSERT(set(&s, "mxcsr", 0xffff) == 0 && get(&s, "mxcsr") == 0xffbf);
}

static void wide_registers_take_any_bytes(void)
{
	static const char *const names[] = { "st0", "st7", "xmm0", "xmm15", "ymm0h", "ymm15h" };
	struct cpu_state s;
	uint8_t in[GDB_REG_MAX], out[GDB_REG_MAX];

	cpu_state_long_mode(&s);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		unsigned n = (unsigned)gdb_reg_find(true, names[i]);

		memset(in, 0xa0 + (int)i, sizeof(in));
		CU_ASSERT(gdb_reg_set(&s, &counts, n, in) == 0);
		gdb_reg_get(&s, &counts, n, out);
		CU_ASSERT(!memcmp(in, out, gdb_reg_size(true, n)));
	}
	CU_ASSERT(s.fx[32] == 0xa0 && s.fx[41] == 0xa0 && s.fx[42] == 0);
	CU_ASSERT(s.fx[160] == 0xa2 && s.fx[415] == 0xa3 && s.ymmh[15][15] == 0xa5);
}

/* A real x87 says by FNSTENV what the tag word of the state is that FXSAVE stores. */
static void the_tag_word_is_the_one_that_x87_makes(void)
{
	static const uint8_t denormal[10] = { 1 },
			     unnormal[10] = { 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x40 };
	struct cpu_state s;
	uint32_t env[7];
	__attribute__((aligned(16))) uint8_t fx[512];

	for (int n = 0; n < 9; n++) {
		__asm__ volatile("fninit");
		if (n > 0)
			__asm__ volatile("fldz");
		if (n > 1)
			__asm__ volatile("fld1");
		if (n > 2)
			__asm__ volatile("fldpi; fchs");
		if (n > 3)
			__asm__ volatile("fld1; fldz; fdivrp; fnclex"); /* infinite */
		if (n > 4)
			__asm__ volatile("fldt %0" : : "m"(denormal));
		if (n > 5)
			__asm__ volatile("ffree %st(3)");
		if (n > 6)
			__asm__ volatile("fldt %0; fincstp" : : "m"(unnormal));
		if (n > 7)
			__asm__ volatile("fldz; fchs; fld1; fdecstp");
		__asm__ volatile("fxsave64 %0; fnstenv %1; fninit" : "=m"(fx), "=m"(env));
		cpu_state_long_mode(&s);
		memcpy(s.fx, fx, sizeof(fx));
		CU_ASSERT(get(&s, "ftag") == (env[2] & 0xffff));
		CU_ASSERT(get(&s, "fctrl") == (env[0] & 0xffff));
		CU_ASSERT(get(&s, "fstat") == (env[1] & 0xffff));
		if (get(&s, "ftag") != (env[2] & 0xffff))
			printf("     %d: %#x, not %#x\n", n, (unsigned)get(&s, "ftag"), env[2]);
	}
}

static void a_tag_word_says_which_registers_are_empty(void)
{
	struct cpu_state s;

	cpu_state_long_mode(&s);
	CU_ASSERT(get(&s, "ftag") == 0xffff);
	CU_ASSERT(set(&s, "ftag", 0x3fff) == 0 && s.fx[4] == 0x80);
	CU_ASSERT(get(&s, "ftag") == 0x7fff); /* what is in it is zero */
	CU_ASSERT(set(&s, "ftag", 0) == 0 && s.fx[4] == 0xff && s.fx[5] == 0);
	CU_ASSERT(get(&s, "ftag") == 0x5555);
	CU_ASSERT(set(&s, "ftag", 0xffffffff) == 0 && s.fx[4] == 0);
}

/* gdb on our target.xml: its table of registers, and what it complains of. NULL: it cannot be had. */
static FILE *ask_gdb(const char *xml, int *fd)
{
	char command[300];

	*fd = memfd_create("target.xml", 0);
	if (*fd < 0 || write(*fd, xml, strlen(xml)) != (ssize_t)strlen(xml))
		return NULL;
	snprintf(command, sizeof(command),
		"exec timeout 60 gdb -nx -batch -ex 'set architecture i386:x86-64' -ex 'set tdesc "
		"filename /proc/self/fd/%d' -ex 'maint print remote-registers' 2>&1 </dev/null",
		*fd);
	return popen(command, "r");
}

static void check_gdb(bool avx)
{
	int fd, nr, rel, offset, size, number, at, status;
	FILE *f = ask_gdb(gdb_regs_xml(avx), &fd);
	char line[300], name[64], type[64], complaint[300] = "";
	size_t seen = 0, expected[128], sum = 0;

	CU_ASSERT_FATAL(f != NULL);
	for (unsigned n = 0; n < gdb_regs_count(avx); sum += gdb_reg_size(avx, n++))
		expected[n] = sum;
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "warning") && !*complaint)
			memcpy(complaint, line, sizeof(line));
		if (sscanf(line, " %63s %d %d %d %d %63s %d %d", name, &nr, &rel, &offset, &size,
			    type, &number, &at) != 8 ||
			!strcmp(name, "''"))
			continue;
		seen++;
		CU_ASSERT(gdb_reg_find(avx, name) == number);
		CU_ASSERT(gdb_reg_size(avx, (unsigned)number) == (size_t)size);
		CU_ASSERT((size_t)number < gdb_regs_count(avx) && expected[number] == (size_t)at);
	}
	status = pclose(f);
	close(fd);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		unit_skip("no gdb, or no timeout");
		return;
	}
	if (strstr(complaint, "XML support was disabled")) {
		unit_skip("this gdb reads no XML");
		return;
	}
	CU_ASSERT_STRING_EQUAL(complaint, "");
	CU_ASSERT(seen == gdb_regs_count(avx));
	if (*complaint || seen != gdb_regs_count(avx))
		printf("     %zu registers; %s\n", seen, complaint);
}

static void gdb_numbers_and_lays_them_out_as_we_do(void)
{
	check_gdb(false);
}

static void gdb_does_so_with_avx(void)
{
	check_gdb(true);
}

static const struct unit_case cases[] = {
	{ "sizes_and_numbers_agree", sizes_and_numbers_agree },
	{ "the_numbers_others_rely_on_are_these", the_numbers_others_rely_on_are_these },
	{ "reads_what_the_state_holds", reads_what_the_state_holds },
	{ "what_is_written_as_it_was_changes_nothing", what_is_written_as_it_was_changes_nothing },
	{ "accepts_what_a_cpu_may_hold", accepts_what_a_cpu_may_hold },
	{ "a_cpu_with_57_bits_has_more_addresses", a_cpu_with_57_bits_has_more_addresses },
	{ "a_bit_that_is_there_may_stay", a_bit_that_is_there_may_stay },
	{ "modes_are_held_together_outside_of_long_mode_too",
		modes_are_held_together_outside_of_long_mode_too },
	{ "a_limit_in_pages_ends_with_a_page", a_limit_in_pages_ends_with_a_page },
	{ "an_old_fpu_has_no_denormals_are_zero", an_old_fpu_has_no_denormals_are_zero },
	{ "wide_registers_take_any_bytes", wide_registers_take_any_bytes },
	{ "the_tag_word_is_the_one_that_x87_makes", the_tag_word_is_the_one_that_x87_makes },
	{ "a_tag_word_says_which_registers_are_empty", a_tag_word_says_which_registers_are_empty },
	{ "gdb_numbers_and_lays_them_out_as_we_do", gdb_numbers_and_lays_them_out_as_we_do },
	{ "gdb_does_so_with_avx", gdb_does_so_with_avx },
};

UNIT_MAIN("gdb_regs", cases)
