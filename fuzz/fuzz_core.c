// SPDX-License-Identifier: ISC
/*
 * Any registers and page tables as a core file: it is always an ELF file that libelf reads, no larger than RAM and 4
 * MiB; each range of it lies in the file, holds what memory does, and is where, and what, a walk of the tables says.
 */
#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <gelf.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core.h"
#include "cpu.h"
#include "err.h"
#include "fuzz/fuzz.h"
#include "gmem.h"
#include "paging.h"

enum {
	RAM = 0x200000,
	PAGES = 64,
	PAGE = 4096,
	SIZE = PAGES * PAGE,
	MORE = 4 << 20,
	OUTSIDE = 0xf0
};
enum { RANGES_CHECKED = 1000 }; /* and the last one */
enum { P = 1, PS = 0x80 };

/* One entry of a table, or all from it on. */
struct __attribute__((packed)) entry {
	uint8_t table, target, bits, further;
	uint16_t slot;
};
enum entry_bits {
	ENTRY_W = 2,
	ENTRY_U = 4,
	ENTRY_NX = 8,
	ENTRY_PS = 16,
	ENTRY_ALL = 32,
	ENTRY_NEXT = 64
};

struct __attribute__((packed)) head {
	uint8_t flags, cr3;
	uint8_t regs[64];
};
enum head_flags { HEAD_PLAIN = 1, HEAD_NO_NX = 2, HEAD_AVX = 4, HEAD_NO_WP = 8 };

static void put_entry(const struct gmem *m, const struct entry *e)
{
	uint64_t table = RAM + (uint64_t)(e->table % PAGES) * PAGE, target = e->target;

	target = target < OUTSIDE ? RAM + target % PAGES * PAGE : (target - OUTSIDE) << 28;
	for (unsigned i = e->slot % 512; i < 512; i++) {
		uint64_t value = target + (e->bits & ENTRY_NEXT ? (uint64_t)i * PAGE : 0);

		value |= P | (e->bits & (ENTRY_W | ENTRY_U)) | (e->bits & ENTRY_PS ? PS : 0u) |
			 (e->bits & ENTRY_NX ? 1ull << 63 : 0);
		gmem_write(m, table + 8 * i, &value, sizeof(value));
		if (!(e->bits & ENTRY_ALL))
			return;
	}
}

static void make_machine(
	const struct gmem *m, struct cpu_state *s, const uint8_t *data, size_t size)
{
	struct head head = { 0 };
	struct entry e;

	memcpy(&head, data, size < sizeof(head) ? size : sizeof(head));
	cpu_state_long_mode(s);
	memcpy(&s->regs, head.regs, sizeof(head.regs));
	memcpy(&s->cr2, head.regs, sizeof(s->cr2));
	s->cr3 = RAM + (uint64_t)(head.cr3 % (PAGES + 1)) * PAGE;
	s->cr0 |= (head.flags & HEAD_NO_WP) ? 0 : CPU_CR0_WP;
	s->cr0 = head.flags & HEAD_PLAIN ? s->cr0 & ~(uint64_t)CPU_CR0_PG : s->cr0 | CPU_CR0_PG;
	s->efer |= (head.flags & HEAD_NO_NX) ? 0 : CPU_EFER_NXE;
	s->xcr0 = head.flags & HEAD_AVX ? 7 : 1;
	for (size_t at = sizeof(head); at + sizeof(e) <= size; at += sizeof(e)) {
		memcpy(&e, data + at, sizeof(e));
		put_entry(m, &e);
	}
}

static void check_range(const struct core *core, const uint8_t *file, const GElf_Phdr *ph)
{
	const struct cpu_state *s = core->state;
	struct paging paging = {
		.cr0 = s->cr0 & ~(uint64_t)CPU_CR0_WP, .cr3 = s->cr3, .cr4 = s->cr4, .efer = s->efer
	};
	uint64_t at[] = { 0, ph->p_filesz - 1 };
	struct paging_page page;

	assert(ph->p_type == PT_LOAD && ph->p_filesz == ph->p_memsz && ph->p_filesz);
	assert(ph->p_offset % PAGE == ph->p_vaddr % PAGE);
	assert(!memcmp(file + ph->p_offset, gmem_span(core->mem, ph->p_paddr, ph->p_filesz),
		ph->p_filesz));
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		uint64_t gva = ph->p_vaddr + at[i];

		assert(!paging_walk(core->mem, &paging, gva, PAGING_READ, &page, NULL));
		assert(page.gpa + (gva - page.gva) == ph->p_paddr + at[i]);
		assert(!(ph->p_flags & PF_X) == !page.executable);
		assert(!paging_walk(core->mem, &paging, gva, PAGING_WRITE, &page, NULL));
	}
}

static void check_notes(Elf *elf, const GElf_Phdr *ph, const struct cpu_state *s)
{
	Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)ph->p_offset, ph->p_filesz, ELF_T_NHDR);
	size_t at = 0, name, desc;
	unsigned seen = 0;
	GElf_Nhdr head;

	assert(ph->p_type == PT_NOTE && data);
	while ((at = gelf_getnote(data, at, &head, &name, &desc)))
		seen++;
	assert(seen == (s->xcr0 & 4 ? 6u : 5u));
}

static void check_file(const struct core *core, const struct core_size *size, int fd)
{
	uint8_t *file = mmap(NULL, (size_t)size->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	struct stat st;
	GElf_Phdr ph;
	Elf *elf;
	size_t n;

	assert(!fstat(fd, &st) && (uint64_t)st.st_size == size->bytes);
	assert(st.st_size <= SIZE + MORE && file != MAP_FAILED && size->ranges <= CORE_RANGES_MAX);
	elf_version(EV_CURRENT);
	elf = elf_memory((char *)file, (size_t)size->bytes);
	assert(elf && !elf_getphdrnum(elf, &n) && n == size->ranges + 1);
	for (size_t i = 0; i < n; i++) {
		assert(gelf_getphdr(elf, (int)i, &ph));
		assert(ph.p_offset <= size->bytes && ph.p_filesz <= size->bytes - ph.p_offset);
		if (i > RANGES_CHECKED && i + 1 < n)
			continue;
		if (i)
			check_range(core, file, &ph);
		else
			check_notes(elf, &ph, core->state);
	}
	elf_end(elf);
	munmap(file, (size_t)size->bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char name[] = "a name that is longer than ELF has room for";
	int fd = memfd_create("core", MFD_CLOEXEC);
	struct core_size written;
	struct cpu_state state;
	struct gmem m;
	struct core core = { .mem = &m,
		.state = &state,
		.signal = SIGSEGV,
		.entry = size,
		.name = name,
		.args = name };

	assert(fd >= 0 && !gmem_init(&m, RAM, SIZE));
	make_machine(&m, &state, data, size);
	assert(!core_write(&core, fd, &written, NULL));
	check_file(&core, &written, fd);
	gmem_finish(&m);
	close(fd);
	return 0;
}
