// SPDX-License-Identifier: ISC
/* Core files: what is in them, by libelf; how little hostile page tables get out of them; how they appear. */
#include "core.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <time.h>
#include <unistd.h>

#include "abi_uhyve.h"
#include "cpu.h"
#include "err.h"
#include "gmem.h"
#include "tmptree.h"
#include "unit.h"
#include "vm.h"

enum { RAM = 0x100000, SIZE = 1 << 20, PAGE = 4096, MORE = 4 << 20 };
enum { PML4 = RAM, PDPT = RAM + 0x1000, PD = RAM + 0x2000, PT = RAM + 0x3000, DATA = RAM + 0x8000 };
enum { P = 1, W = 2, PS = 0x80 };
#define NX (1ull << 63)

static struct gmem m;
static struct cpu_state state;
static struct core core;

static void put(uint64_t table, unsigned i, uint64_t entry)
{
	CU_ASSERT_EQUAL(gmem_write(&m, table + 8 * i, &entry, sizeof(entry)), 0);
}

static void fill(uint64_t table, uint64_t entry)
{
	for (unsigned i = 0; i < 512; i++)
		put(table, i, entry);
}

static void setup(void)
{
	gmem_finish(&m);
	CU_ASSERT_EQUAL_FATAL(gmem_init(&m, RAM, SIZE), 0);
	cpu_state_long_mode(&state);
	state.cr0 |= CPU_CR0_PG | CPU_CR0_WP;
	state.cr3 = PML4;
	state.efer |= CPU_EFER_NXE;
	core = (struct core){ .mem = &m,
		.state = &state,
		.signal = SIGSEGV,
		.fault_addr = 0x1234,
		.entry = 0x4321,
		.name = "guest.elf",
		.args = "guest.elf one two" };
	put(PML4, 0, PDPT | P | W);
	put(PDPT, 0, PD | P | W);
	put(PD, 0, PT | P | W);
}

/* A core, as libelf sees it. */
struct seen {
	uint8_t *bytes;
	struct core_size size;
	Elf *elf;
	size_t n; /* of the program headers */
};

static bool see(struct seen *seen)
{
	int fd = memfd_create("core", MFD_CLOEXEC), r;
	struct err err = { "" };
	struct stat st = { 0 };

	*seen = (struct seen){ 0 };
	CU_ASSERT_FATAL(fd >= 0);
	r = core_write(&core, fd, &seen->size, &err);
	CU_ASSERT_EQUAL(r, 0);
	CU_ASSERT(!fstat(fd, &st) && (uint64_t)st.st_size == seen->size.bytes);
	CU_ASSERT(st.st_size <= SIZE + MORE);
	CU_ASSERT(seen->size.ranges <= CORE_RANGES_MAX && seen->size.used <= SIZE);
	if (!r)
		seen->bytes =
			mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	close(fd);
	if (r || seen->bytes == MAP_FAILED)
		return false;
	elf_version(EV_CURRENT);
	seen->elf = elf_memory((char *)seen->bytes, (size_t)st.st_size);
	CU_ASSERT(seen->elf && !elf_getphdrnum(seen->elf, &seen->n));
	CU_ASSERT_EQUAL(seen->n, seen->size.ranges + 1);
	return seen->elf;
}

static void forget(struct seen *seen)
{
	elf_end(seen->elf);
	munmap(seen->bytes, (size_t)seen->size.bytes);
}

/* Copied, for notes are aligned to four bytes. */
static bool find_note(struct seen *seen, uint32_t type, void *to, size_t len)
{
	size_t at = 0, name, desc;
	Elf_Data *data;
	GElf_Phdr ph;
	GElf_Nhdr head;

	gelf_getphdr(seen->elf, 0, &ph);
	CU_ASSERT_EQUAL(ph.p_type, PT_NOTE);
	data = elf_getdata_rawchunk(seen->elf, (int64_t)ph.p_offset, ph.p_filesz, ELF_T_NHDR);
	while (data && (at = gelf_getnote(data, at, &head, &name, &desc)))
		if (head.n_type == type) {
			CU_ASSERT_EQUAL_FATAL(head.n_descsz, len);
			memcpy(to, (char *)data->d_buf + desc, len);
			return true;
		}
	return false;
}

struct want {
	uint64_t gva, gpa, len;
	uint32_t flags;
};

static void check_ranges(const struct want *want, size_t n)
{
	struct seen seen;
	GElf_Phdr ph;

	if (!see(&seen))
		return;
	CU_ASSERT_FALSE(seen.size.cut);
	CU_ASSERT_EQUAL(seen.n, n + 1);
	for (size_t i = 0; i < n && i + 1 < seen.n; i++) {
		gelf_getphdr(seen.elf, (int)i + 1, &ph);
		CU_ASSERT(ph.p_type == PT_LOAD && ph.p_vaddr == want[i].gva);
		CU_ASSERT(ph.p_paddr == want[i].gpa && ph.p_flags == want[i].flags);
		CU_ASSERT(ph.p_filesz == want[i].len && ph.p_memsz == want[i].len);
		CU_ASSERT(ph.p_offset % PAGE == ph.p_vaddr % PAGE);
		CU_ASSERT(!memcmp(seen.bytes + ph.p_offset, gmem_span(&m, want[i].gpa, ph.p_filesz),
			ph.p_filesz));
	}
	forget(&seen);
}

static void joins_neighbours_of_one_kind(void)
{
	static const struct want want[] = {
		{ 0, DATA, 3 * PAGE, PF_R | PF_W | PF_X },
		{ 3 * PAGE, DATA + 3 * PAGE, PAGE, PF_R | PF_X },
		{ 4 * PAGE, DATA + 4 * PAGE, PAGE, PF_R | PF_W },
		{ 5 * PAGE, DATA, PAGE, PF_R | PF_W },
		{ 0xffffff8000000000, DATA, PAGE, PF_R | PF_W | PF_X },
	};

	setup();
	for (unsigned i = 0; i < 3; i++)
		put(PT, i, (uint64_t)(DATA + i * PAGE) | P | W);
	put(PT, 3, (DATA + 3 * PAGE) | P);
	put(PT, 4, (DATA + 4 * PAGE) | P | W | NX);
	put(PT, 5, DATA | P | W | NX);
	put(PT, 7, DATA | W); /* not present */
	put(PML4, 511, RAM + 0x4000 + P + W);
	put(RAM + 0x4000, 0, RAM + 0x5000 + P + W);
	put(RAM + 0x5000, 0, RAM + 0x6000 + P + W);
	put(RAM + 0x6000, 0, DATA + P + W);
	CU_ASSERT_EQUAL(gmem_fill(&m, DATA + 10, 0xa5, 2 * PAGE), 0);
	check_ranges(want, sizeof(want) / sizeof(want[0]));
}

/* Pages that reach beyond RAM, or lie outside; rights that only hold where all levels grant them. */
static void takes_of_large_pages_what_is_ram(void)
{
	static const struct want want[] = {
		{ 0x200000 + RAM, RAM, SIZE, PF_R | PF_X },
		{ 0x80000000 + RAM, RAM, SIZE, PF_R | PF_W | PF_X },
	};

	setup();
	put(PD, 0, 0);
	put(PD, 1, 0 | P | PS);
	put(PD, 2, 0x40000000 | P | W | PS);
	put(PDPT, 1, 0x40000000 | P | W | PS);
	put(PDPT, 2, 0 | P | W | PS);
	put(PML4, 1, 0 | P | W | PS); /* reserved: maps nothing */
	check_ranges(want, sizeof(want) / sizeof(want[0]));
}

static void without_paging_all_is_where_it_is(void)
{
	static const struct want want[] = { { RAM, RAM, SIZE, PF_R | PF_W | PF_X } };

	setup();
	state.cr0 &= ~(uint64_t)CPU_CR0_PG;
	check_ranges(want, 1);
}

static void nx_needs_nxe(void)
{
	setup();
	state.efer &= ~(uint64_t)CPU_EFER_NXE;
	put(PT, 0, DATA | P | NX);
	check_ranges(NULL, 0);
}

static void has_the_registers_where_gdb_looks(void)
{
	struct elf_prstatus status;
	struct elf_prpsinfo info;
	struct user_regs_struct regs;
	uint8_t fx[512], xstate[832];
	Elf64_auxv_t aux[3];
	siginfo_t signal;
	struct seen seen;
	uint64_t xcr0;

	setup();
	for (unsigned i = 0; i < CPU_GPR_COUNT; i++)
		state.regs.gpr[i] = 0x1111 * (i + 1);
	state.regs.rip = 0xabcd;
	state.regs.rflags = 0x246;
	state.seg[CPU_FS].base = 0x7000;
	state.seg[CPU_GS].base = 0x8000;
	state.fx[160] = 0x77;
	state.ymmh[3][2] = 0x88;
	state.xcr0 = 7;
	if (!see(&seen))
		return;
	CU_ASSERT_FATAL(find_note(&seen, NT_PRSTATUS, &status, sizeof(status)) &&
			find_note(&seen, NT_PRPSINFO, &info, sizeof(info)) &&
			find_note(&seen, NT_PRFPREG, fx, sizeof(fx)) &&
			find_note(&seen, NT_X86_XSTATE, xstate, sizeof(xstate)) &&
			find_note(&seen, NT_AUXV, aux, sizeof(aux)) &&
			find_note(&seen, NT_SIGINFO, &signal, sizeof(signal)));
	memcpy(&regs, &status.pr_reg, sizeof(regs));
	CU_ASSERT(regs.rax == 0x1111 && regs.rsp == 0x5555 && regs.rdi == 0x8888);
	CU_ASSERT(regs.r15 == 0x11110 && regs.rip == 0xabcd && regs.eflags == 0x246);
	CU_ASSERT(regs.fs_base == 0x7000 && regs.gs_base == 0x8000 && regs.cs == 8);
	CU_ASSERT(status.pr_cursig == SIGSEGV && signal.si_signo == SIGSEGV);
	CU_ASSERT(signal.si_addr == (void *)0x1234);
	CU_ASSERT_STRING_EQUAL(info.pr_fname, "guest.elf");
	CU_ASSERT_STRING_EQUAL(info.pr_psargs, "guest.elf one two");
	CU_ASSERT(fx[160] == 0x77 && xstate[160] == 0x77 && xstate[576 + 3 * 16 + 2] == 0x88);
	memcpy(&xcr0, xstate + 464, sizeof(xcr0));
	CU_ASSERT_EQUAL(xcr0, 7);
	CU_ASSERT(aux[1].a_type == AT_ENTRY && aux[1].a_un.a_val == 0x4321);
	forget(&seen);
	state.xcr0 = 1;
	if (!see(&seen))
		return;
	CU_ASSERT_FALSE(find_note(&seen, NT_X86_XSTATE, xstate, sizeof(xstate)));
	forget(&seen);
}

/* ---- hostile tables ---- */

static void check_bounded(bool cut)
{
	struct timespec from, to;
	struct seen seen;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	if (!see(&seen))
		return;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	CU_ASSERT_EQUAL(seen.size.cut, cut);
	CU_ASSERT(to.tv_sec - from.tv_sec < 20);
	forget(&seen);
}

static void one_page_mapped_everywhere_costs_nothing(void)
{
	setup();
	fill(PML4, PDPT | P | W);
	fill(PDPT, PD | P | W);
	fill(PD, PT | P | W);
	fill(PT, DATA | P | W);
	check_bounded(true);
}

static void tables_that_contain_themselves_end(void)
{
	setup();
	fill(PML4, PML4 | P | W);
	check_bounded(true);
	fill(PML4, 0);
	put(PML4, 511, PML4 | P | W); /* as kernels do it */
	put(PML4, 0, PDPT | P | W);
	put(PT, 0, DATA | P | W);
	check_bounded(false);
}

static void tables_without_end_that_map_nothing_end(void)
{
	setup();
	fill(PML4, PDPT | P | W);
	fill(PDPT, PD | P | W);
	fill(PD, PT | P | W);
	check_bounded(true);
	fill(PD, (1ull << 40) | P | W | PS);
	check_bounded(true);
	fill(PDPT, (1ull << 40) | P | W | PS);
	check_bounded(false);
	state.cr3 = 1ull << 40;
	check_bounded(false);
}

static void pages_of_zeroes_are_holes(void)
{
	struct seen seen;

	setup();
	put(PT, 0, DATA | P | W);
	if (!see(&seen))
		return;
	CU_ASSERT_EQUAL(seen.size.used, 3 * PAGE + PAGE); /* tables alone */
	forget(&seen);
}

/* ---- under a name ---- */

static char dir[TMPTREE_PATH];
static char name[80];

static struct vm *machine(void)
{
	struct vm *vm = NULL;
	struct err err = { "" };

	CU_ASSERT_EQUAL_FATAL(vm_create_script(&vm,
				      &(struct vm_script){ .abi = &abi_uhyve,
					      .abi_version = 2,
					      .ram_gpa = RAM,
					      .mem_size = SIZE,
					      .next = (void *)abort },
				      &err),
		0);
	return vm;
}

static int write_it(struct vm *vm, const volatile sig_atomic_t *stop, struct err *err)
{
	struct core_size size;

	return core_write_vm(vm, SIGTRAP, name, stop, &size, err);
}

static size_t names_in_dir(void)
{
	char command[100];
	size_t n = 0;
	FILE *ls;

	snprintf(command, sizeof(command), "ls -A %s | wc -l", dir);
	ls = popen(command, "r");
	CU_ASSERT(ls && fscanf(ls, "%zu", &n) == 1);
	if (ls)
		pclose(ls);
	return n;
}

static void appears_whole_or_not_at_all(void)
{
	static const volatile sig_atomic_t now = 1;
	struct rlimit before, small;
	struct vm *vm = machine();
	struct err err = { "" };
	struct stat st;

	CU_ASSERT_PTR_NOT_NULL_FATAL(tmptree_dir(dir));
	snprintf(name, sizeof(name), "%s/core", dir);
	umask(0);
	CU_ASSERT_EQUAL(write_it(vm, NULL, &err), 0);
	CU_ASSERT(!lstat(name, &st) && S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600);
	CU_ASSERT_EQUAL(unlink(name), 0);

	CU_ASSERT_EQUAL(gmem_fill(&vm->mem, RAM, 1, 1), 0);
	CU_ASSERT_EQUAL(write_it(vm, &now, &err), -EINTR);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	small = before;
	small.rlim_cur = SIZE / 2;
	setrlimit(RLIMIT_FSIZE, &small);
	CU_ASSERT_EQUAL(write_it(vm, NULL, &err), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &before);
	signal(SIGXFSZ, SIG_DFL);
	CU_ASSERT(strstr(err.text, "/core: File too large") != NULL);
	CU_ASSERT_EQUAL(names_in_dir(), 0);
	vm_destroy(vm);
	rmdir(dir);
}

static void what_lies_there_is_replaced_or_refused(void)
{
	struct vm *vm = machine();
	struct err err = { "" };
	char target[80];
	struct stat st;

	CU_ASSERT_PTR_NOT_NULL_FATAL(tmptree_dir(dir));
	snprintf(name, sizeof(name), "%s/core", dir);
	snprintf(target, sizeof(target), "%s/target", dir);
	CU_ASSERT(!close(open(target, O_WRONLY | O_CREAT, 0644)) && !symlink(target, name));
	CU_ASSERT_EQUAL(write_it(vm, NULL, &err), 0);
	CU_ASSERT(!lstat(name, &st) && S_ISREG(st.st_mode) && st.st_size > 0);
	CU_ASSERT(!lstat(target, &st) && !st.st_size);
	CU_ASSERT_EQUAL(write_it(vm, NULL, &err), 0); /* over the last one */
	CU_ASSERT_EQUAL(names_in_dir(), 2);
	unlink(name);
	CU_ASSERT(!mkfifo(name, 0600));
	CU_ASSERT_EQUAL(write_it(vm, NULL, &err), -EINVAL);
	unlink(name);
	CU_ASSERT(!mkdir(name, 0700));
	CU_ASSERT_EQUAL(write_it(vm, NULL, &err), -EINVAL);
	rmdir(name);
	strcat(name, "/x");
	CU_ASSERT_EQUAL(write_it(vm, NULL, &err), -ENOENT);
	CU_ASSERT_EQUAL(core_check(name, &err), -ENOENT);
	CU_ASSERT_EQUAL(core_check("/tmp/", &err), -EINVAL);
	CU_ASSERT_EQUAL(core_check("", &err), -EINVAL);
	CU_ASSERT_STRING_EQUAL(err.text, ": give a file name");
	CU_ASSERT_EQUAL(core_check("/no such directory/", &err), -EINVAL);
	CU_ASSERT_EQUAL(core_check("/dev/full", &err), -EINVAL);
	unlink(target);
	vm_destroy(vm);
	rmdir(dir);
}

static const struct unit_case cases[] = {
	{ "joins_neighbours_of_one_kind", joins_neighbours_of_one_kind },
	{ "takes_of_large_pages_what_is_ram", takes_of_large_pages_what_is_ram },
	{ "without_paging_all_is_where_it_is", without_paging_all_is_where_it_is },
	{ "nx_needs_nxe", nx_needs_nxe },
	{ "has_the_registers_where_gdb_looks", has_the_registers_where_gdb_looks },
	{ "one_page_mapped_everywhere_costs_nothing", one_page_mapped_everywhere_costs_nothing },
	{ "tables_that_contain_themselves_end", tables_that_contain_themselves_end },
	{ "tables_without_end_that_map_nothing_end", tables_without_end_that_map_nothing_end },
	{ "pages_of_zeroes_are_holes", pages_of_zeroes_are_holes },
	{ "appears_whole_or_not_at_all", appears_whole_or_not_at_all },
	{ "what_lies_there_is_replaced_or_refused", what_lies_there_is_replaced_or_refused },
};

UNIT_MAIN("core", cases)
