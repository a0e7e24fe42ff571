// SPDX-License-Identifier: ISC
/*
 * Core files. Knows ELF's core format and page tables; not why the guest stopped.
 *
 * How the file lies: the ELF header, program headers, notes; then from a page's border on all of RAM, once, in its
 * physical order. Each PT_LOAD is a range of guest-virtual addresses whose pages also lie in one run of RAM, and points
 * into that. So the file is no larger when pages are mapped many times. Pages of zeroes are holes in the file rather
 * than memsz > filesz, for gdb does not read what a core does not hold.
 */
#include "core.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <unistd.h>

#include "cleanup.h"
#include "cpu.h"
#include "err.h"
#include "gmem.h"
#include "inode.h"
#include "output.h"
#include "paging.h"
#include "vm.h"
#include "xsave.h"

enum { PAGE = 4096, STEP = 512 * PAGE, GUEST_PID = 1 };

/* ---- what is mapped ---- */

struct range {
	uint64_t gva, gpa, len;
	uint32_t flags;
};

struct ranges {
	const struct gmem *mem;
	struct range *list;
	size_t n, room;
	bool full;
	int error;
};

static bool add_range(struct ranges *rs, struct range add)
{
	struct range *last = rs->n ? &rs->list[rs->n - 1] : NULL, *list;

	if (last && last->gva + last->len == add.gva && last->gpa + last->len == add.gpa &&
		last->flags == add.flags) {
		last->len += add.len;
		return true;
	}
	if (rs->n == CORE_RANGES_MAX)
		return false;
	if (rs->n == rs->room) {
		size_t room = rs->room ? 2 * rs->room : 64;

		list = reallocarray(rs->list, room, sizeof(*list));
		if (!list) {
			rs->error = -ENOMEM;
			return false;
		}
		rs->list = list;
		rs->room = room;
	}
	rs->list[rs->n++] = add;
	return true;
}

/* The part of a page that is RAM. */
static bool add_page(void *ctx, const struct paging_page *page)
{
	struct ranges *rs = ctx;
	const struct gmem *m = rs->mem;
	uint64_t ram_end = m->gpa + m->size, end = page->gpa + page->size;
	uint64_t from = page->gpa > m->gpa ? page->gpa : m->gpa, to = end < ram_end ? end : ram_end;

	if (from >= to)
		return true;
	return add_range(rs, (struct range){ .gva = page->gva + (from - page->gpa),
				     .gpa = from,
				     .len = to - from,
				     .flags = PF_R | (page->writable ? PF_W : 0u) |
					      (page->executable ? PF_X : 0u) });
}

static int find_ranges(const struct core *core, struct ranges *rs, bool *cut)
{
	const struct cpu_state *s = core->state;
	struct paging paging = paging_of_state(s);
	struct paging_page all = { .gva = rs->mem->gpa,
		.gpa = rs->mem->gpa,
		.size = rs->mem->size,
		.writable = true,
		.executable = true };
	int r = paging_each(rs->mem, &paging, add_page, rs);

	if (r == -EOPNOTSUPP)
		add_page(rs, &all);
	*cut = r == -E2BIG;
	return rs->error;
}

/* ---- notes ---- */

struct notes {
	uint8_t bytes[4096];
	size_t len;
};

static void add_note(
	struct notes *notes, uint32_t type, const char *owner, const void *desc, size_t len)
{
	Elf64_Nhdr head = { .n_namesz = (Elf64_Word)strlen(owner) + 1,
		.n_descsz = (Elf64_Word)len,
		.n_type = type };
	uint8_t *at = notes->bytes + notes->len;

	at = mempcpy(at, &head, sizeof(head));
	at = (uint8_t *)mempcpy(at, owner, head.n_namesz) + (-head.n_namesz & 3);
	at = (uint8_t *)mempcpy(at, desc, len) + (-len & 3);
	notes->len = (size_t)(at - notes->bytes);
}

static struct user_regs_struct registers_of(const struct cpu_state *s)
{
	const uint64_t *r = s->regs.gpr;
	const struct cpu_seg *seg = s->seg;

	return (struct user_regs_struct){
		.rax = r[CPU_RAX],
		.rcx = r[CPU_RCX],
		.rdx = r[CPU_RDX],
		.rbx = r[CPU_RBX],
		.rsp = r[CPU_RSP],
		.rbp = r[CPU_RBP],
		.rsi = r[CPU_RSI],
		.rdi = r[CPU_RDI],
		.r8 = r[CPU_R8],
		.r9 = r[CPU_R9],
		.r10 = r[CPU_R10],
		.r11 = r[CPU_R11],
		.r12 = r[CPU_R12],
		.r13 = r[CPU_R13],
		.r14 = r[CPU_R14],
		.r15 = r[CPU_R15],
		.orig_rax = ~0ull,
		.rip = s->regs.rip,
		.eflags = s->regs.rflags,
		.cs = seg[CPU_CS].selector,
		.ss = seg[CPU_SS].selector,
		.ds = seg[CPU_DS].selector,
		.es = seg[CPU_ES].selector,
		.fs = seg[CPU_FS].selector,
		.gs = seg[CPU_GS].selector,
		.fs_base = seg[CPU_FS].base,
		.gs_base = seg[CPU_GS].base,
	};
}

static void add_status(struct notes *notes, const struct core *core)
{
	struct user_regs_struct regs = registers_of(core->state);
	struct elf_prstatus status = {
		.pr_cursig = (short)core->signal, .pr_pid = GUEST_PID, .pr_fpvalid = 1
	};

	status.pr_info.si_signo = core->signal;
	static_assert(sizeof(status.pr_reg) == sizeof(regs), "one layout");
	memcpy(&status.pr_reg, &regs, sizeof(regs));
	add_note(notes, NT_PRSTATUS, "CORE", &status, sizeof(status));
}

size_t core_auxv(uint64_t entry, uint64_t aux[CORE_AUX_MAX][2])
{
	const uint64_t all[CORE_AUX_MAX][2] = { { AT_PAGESZ, PAGE }, { AT_ENTRY, entry },
		{ AT_NULL, 0 } };

	memcpy(aux, all, sizeof(all));
	return entry ? CORE_AUX_MAX : 1;
}

static void add_program(struct notes *notes, const struct core *core)
{
	struct elf_prpsinfo info = { .pr_sname = 'R', .pr_pid = GUEST_PID };
	siginfo_t signal = { .si_signo = core->signal,
		.si_addr = (void *)(uintptr_t)core->fault_addr };
	uint64_t aux[CORE_AUX_MAX][2];

	snprintf(info.pr_fname, sizeof(info.pr_fname), "%s", core->name);
	snprintf(info.pr_psargs, sizeof(info.pr_psargs), "%s", core->args);
	add_note(notes, NT_PRPSINFO, "CORE", &info, sizeof(info));
	add_note(notes, NT_SIGINFO, "CORE", &signal, sizeof(signal));
	add_note(notes, NT_AUXV, "CORE", aux, core_auxv(core->entry, aux) * sizeof(aux[0]));
}

/* As XSAVE lays it out, with XCR0 where Linux tells it to debuggers. */
static void add_vectors(struct notes *notes, const struct cpu_state *s)
{
	enum { XCR0_AT = 464, XSTATE_BV_AT = 512 };
	uint64_t components = XSAVE_X87 | XSAVE_SSE | XSAVE_AVX;
	uint8_t area[XSAVE_SIZE_AVX] = { 0 };

	add_note(notes, NT_PRFPREG, "CORE", s->fx, sizeof(s->fx));
	if (!(s->xcr0 & XSAVE_AVX))
		return;
	memcpy(area, s->fx, XCR0_AT);
	memcpy(area + XCR0_AT, &components, sizeof(components));
	memcpy(area + XSTATE_BV_AT, &components, sizeof(components));
	memcpy(area + XSAVE_SIZE_SSE, s->ymmh, sizeof(s->ymmh));
	add_note(notes, NT_X86_XSTATE, "LINUX", area, sizeof(area));
}

/* ---- the file ---- */

static int put_headers(int fd, const struct ranges *rs, const struct notes *notes, uint64_t ram_at)
{
	size_t n = rs->n + 1;
	autofree Elf64_Phdr *heads = calloc(n, sizeof(*heads));
	Elf64_Ehdr elf = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(elf),
		.e_ehsize = sizeof(elf),
		.e_phentsize = sizeof(*heads),
		.e_phnum = (Elf64_Half)n,
	};
	uint64_t notes_at = sizeof(elf) + n * sizeof(*heads);
	int r;

	if (!heads)
		return -ENOMEM;
	heads[0] = (Elf64_Phdr){
		.p_type = PT_NOTE, .p_offset = notes_at, .p_filesz = notes->len, .p_align = 4
	};
	for (size_t i = 0; i < rs->n; i++) {
		const struct range *range = &rs->list[i];

		heads[i + 1] = (Elf64_Phdr){ .p_type = PT_LOAD,
			.p_flags = range->flags,
			.p_offset = ram_at + (range->gpa - rs->mem->gpa),
			.p_vaddr = range->gva,
			.p_paddr = range->gpa,
			.p_filesz = range->len,
			.p_memsz = range->len,
			.p_align = PAGE };
	}
	r = output_at(fd, &elf, sizeof(elf), 0);
	if (!r)
		r = output_at(fd, heads, n * sizeof(*heads), sizeof(elf));
	return r ? r : output_at(fd, notes->bytes, notes->len, notes_at);
}

/* Each run of pages that are not all zero; the rest stays a hole. */
static int put_pages(
	int fd, const struct gmem *m, uint64_t gpa, size_t len, uint64_t ram_at, uint64_t *used)
{
	static const uint8_t zeroes[PAGE];
	size_t run;
	int r = 0;

	for (size_t at = 0; !r && at < len; at += run + PAGE) {
		for (run = 0; at + run < len && !gmem_same(m, gpa + at + run, zeroes, PAGE);)
			run += PAGE;
		*used += run;
		r = output_at(fd, gmem_span(m, gpa + at, run), run, ram_at + (gpa + at - m->gpa));
	}
	return r;
}

static int put_ram(int fd, const struct core *core, uint64_t ram_at, uint64_t *used)
{
	const struct gmem *m = core->mem;
	uint64_t gpa = m->gpa;
	int r = 0;

	for (size_t len; !r && gmem_next_used(m, &gpa, &len); gpa += len) {
		if (core->stop && *core->stop)
			return -EINTR;
		len = len < STEP ? len : STEP;
		r = put_pages(fd, m, gpa, len, ram_at, used);
	}
	return r;
}

int core_write(const struct core *core, int fd, struct core_size *size, struct err *err)
{
	struct ranges rs = { .mem = core->mem };
	struct notes notes = { .len = 0 };
	uint64_t ram_at;
	int r;

	*size = (struct core_size){ 0 };
	r = find_ranges(core, &rs, &size->cut);
	add_status(&notes, core);
	add_program(&notes, core);
	add_vectors(&notes, core->state);
	ram_at = sizeof(Elf64_Ehdr) + (rs.n + 1) * sizeof(Elf64_Phdr) + notes.len;
	ram_at = (ram_at + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	size->ranges = rs.n;
	size->bytes = ram_at + core->mem->size;
	if (!r)
		r = put_headers(fd, &rs, &notes, ram_at);
	if (!r)
		r = put_ram(fd, core, ram_at, &size->used);
	if (!r && ftruncate(fd, (off_t)size->bytes))
		r = -errno;
	free(rs.list);
	return r ? err_set(err, r, "%s", strerrordesc_np(-r)) : 0;
}

/* ---- of a machine, under a name ---- */

static const char *without_directory(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The words as they were given, as much of them as ELF has room for. */
static void join_args(const struct vm_args *args, char *text, size_t size)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < args->n_app && len < size - 1; i++)
		len += (size_t)snprintf(text + len, size - len, " %s", args->app[i]);
}

static int write_vm(struct vm *vm, int signal, int fd, const volatile sig_atomic_t *stop,
	struct core_size *size, struct err *err)
{
	const char *path = vm->args.image_path ? vm->args.image_path : "";
	char args[ELF_PRARGSZ];
	struct cpu_state state;
	int r = backend_save(vm->cpu, &state);

	if (r)
		return err_set(err, r, "registers: %s", strerrordesc_np(-r));
	snprintf(args, sizeof(args), "%s", path);
	join_args(&vm->args, args, sizeof(args));
	return core_write(
		&(struct core){
			.mem = &vm->mem,
			.state = &state,
			.signal = signal,
			.fault_addr = state.cr2,
			.entry = vm->image.bytes ? vm->layout.kernel_base + vm->image.entry : 0,
			.name = without_directory(path),
			.args = args,
			.stop = stop,
		},
		fd, size, err);
}

static char *directory_of(const char *path)
{
	size_t len = (size_t)(without_directory(path) - path);

	return len ? strndup(path, len) : strdup(".");
}

bool core_replaces(const char *path, const char *file)
{
	autofree char *ours = directory_of(path), *its = directory_of(file);
	struct stat a, b;

	if (!stat(file, &b) && !lstat(path, &a) && same_inode(&a, &b))
		return true;
	return ours && its && !strcmp(without_directory(path), without_directory(file)) &&
	       !stat(ours, &a) && !stat(its, &b) && same_inode(&a, &b);
}

int core_check(const char *path, struct err *err)
{
	size_t len = (size_t)(without_directory(path) - path);
	autofree char *dir = directory_of(path);
	struct stat st;

	if (!dir)
		return err_set(err, -ENOMEM, "out of memory");
	if (!lstat(path, &st) && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return err_set(
			err, -EINVAL, "%s: is no regular file, and a core becomes one", path);
	if (!path[len])
		return err_set(err, -EINVAL, "%s: give a file name", path);
	if (access(dir, W_OK | X_OK))
		return err_set(err, -errno, "%s: %m", path);
	return 0;
}

int core_write_vm(struct vm *vm, int signal, const char *path, const volatile sig_atomic_t *stop,
	struct core_size *size, struct err *err)
{
	autofree char *temp = NULL;
	struct err why = { "" };
	int fd, r = core_check(path, err);

	if (r)
		return r;
	if (asprintf(&temp, "%s.XXXXXX", path) < 0) {
		temp = NULL;
		return err_set(err, -ENOMEM, "out of memory");
	}
	fd = mkostemp(temp, O_CLOEXEC); /* mode 0600 */
	if (fd < 0)
		return err_set(err, -errno, "%s: %m", path);
	r = write_vm(vm, signal, fd, stop, size, &why);
	if (close(fd) && !r)
		r = err_set(&why, -errno, "%m");
	if (!r && rename(temp, path))
		r = err_set(&why, -errno, "%m");
	if (r) {
		unlink(temp);
		err_set(err, r, "%s: %s", path, why.text);
	}
	return r;
}
