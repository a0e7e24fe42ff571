/* SPDX-License-Identifier: ISC */
/*
 * A small guest image as a C struct, laid out as the file is, and a table of ways to spoil it. Shared
 * by the tests of the loader alone and of the program. The guest exits with SAMPLE_CODE at once.
 */
#ifndef ELF_SAMPLE_H
#define ELF_SAMPLE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
	SAMPLE_NOTE,
	SAMPLE_TEXT,
	SAMPLE_DATA,
	SAMPLE_DYNAMIC,
	SAMPLE_TLS,
	SAMPLE_SPARE,
	SAMPLE_HEADERS
};
enum { SAMPLE_CODE = 42, SAMPLE_BSS = 64, SAMPLE_EXEC_BASE = 0x800000 };
enum { SYM_NONE, SYM_HERE, SYM_WEAK, SYM_GONE, SYM_COUNT };
enum {
	DYN_RELA,
	DYN_RELASZ,
	DYN_RELAENT,
	DYN_SYMTAB,
	DYN_SYMENT,
	DYN_STRTAB,
	DYN_STRSZ,
	DYN_SPARE,
	DYN_SPARE2,
	DYN_NULL,
	DYN_COUNT
};

struct sample_note {
	Elf64_Nhdr h;
	char name[8];
	uint8_t desc[4];
};

struct sample {
	Elf64_Ehdr h;
	Elf64_Phdr ph[SAMPLE_HEADERS];
	struct sample_note entry, interface;
	uint8_t text[32];
	uint64_t slots[4]; /* from here to tdata: the data segment */
	Elf64_Dyn dyn[DYN_COUNT];
	Elf64_Rela rela[4]; /* one for each slot */
	Elf64_Sym sym[SYM_COUNT];
	char str[16];
	uint8_t tdata[8];
	char interp[32];
	Elf64_Shdr sh[2];
};

#define SAMPLE_AT(field) offsetof(struct sample, field)

/* vaddr of a member of the text or data segment. */
#define SAMPLE_TEXT_VADDR(field) (0x1000 + SAMPLE_AT(field))
#define SAMPLE_DATA_VADDR(field) (0x2000 + SAMPLE_AT(field))

enum {
	SAMPLE_DATA_SIZE = SAMPLE_AT(interp) - SAMPLE_AT(slots),
	SAMPLE_START = SAMPLE_TEXT_VADDR(text),
	SAMPLE_END = SAMPLE_DATA_VADDR(interp) + SAMPLE_BSS,
};

static inline void sample_headers(struct sample *s, uint16_t type, uint64_t base)
{
	s->h = (Elf64_Ehdr){
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT, 0xff },
		.e_type = type,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = base + SAMPLE_TEXT_VADDR(text),
		.e_phoff = SAMPLE_AT(ph),
		.e_shoff = SAMPLE_AT(sh),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = SAMPLE_HEADERS,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = 2,
	};
	s->ph[SAMPLE_NOTE] = (Elf64_Phdr){ PT_NOTE, PF_R, SAMPLE_AT(entry), 0, 0,
		2 * sizeof(struct sample_note), 2 * sizeof(struct sample_note), 4 };
	s->ph[SAMPLE_TEXT] = (Elf64_Phdr){ PT_LOAD, PF_R | PF_X, SAMPLE_AT(text),
		base + SAMPLE_TEXT_VADDR(text), 0, sizeof(s->text), sizeof(s->text), 0x1000 };
	s->ph[SAMPLE_DATA] = (Elf64_Phdr){ PT_LOAD, PF_R | PF_W, SAMPLE_AT(slots),
		base + SAMPLE_DATA_VADDR(slots), 0, SAMPLE_DATA_SIZE, SAMPLE_DATA_SIZE + SAMPLE_BSS,
		0x1000 };
	s->ph[SAMPLE_DYNAMIC] = (Elf64_Phdr){ PT_DYNAMIC, PF_R | PF_W, SAMPLE_AT(dyn),
		base + SAMPLE_DATA_VADDR(dyn), 0, sizeof(s->dyn), sizeof(s->dyn), 8 };
	s->ph[SAMPLE_TLS] = (Elf64_Phdr){ PT_TLS, PF_R, SAMPLE_AT(tdata),
		base + SAMPLE_DATA_VADDR(tdata), 0, sizeof(s->tdata), sizeof(s->tdata) + 16, 8 };
	s->sh[1] = (Elf64_Shdr){ .sh_type = SHT_SYMTAB,
		.sh_offset = SAMPLE_AT(sym),
		.sh_size = sizeof(s->sym),
		.sh_entsize = sizeof(Elf64_Sym) };
}

static inline void sample_dynamic(struct sample *s, uint64_t base)
{
	const uint64_t slot = base + SAMPLE_DATA_VADDR(slots);

	s->dyn[DYN_RELA] = (Elf64_Dyn){ DT_RELA, { base + SAMPLE_DATA_VADDR(rela) } };
	s->dyn[DYN_RELASZ] = (Elf64_Dyn){ DT_RELASZ, { sizeof(s->rela) } };
	s->dyn[DYN_RELAENT] = (Elf64_Dyn){ DT_RELAENT, { sizeof(Elf64_Rela) } };
	s->dyn[DYN_SYMTAB] = (Elf64_Dyn){ DT_SYMTAB, { base + SAMPLE_DATA_VADDR(sym) } };
	s->dyn[DYN_SYMENT] = (Elf64_Dyn){ DT_SYMENT, { sizeof(Elf64_Sym) } };
	s->dyn[DYN_STRTAB] = (Elf64_Dyn){ DT_STRTAB, { base + SAMPLE_DATA_VADDR(str) } };
	s->dyn[DYN_STRSZ] = (Elf64_Dyn){ DT_STRSZ, { sizeof(s->str) } };
	s->dyn[DYN_SPARE] = (Elf64_Dyn){ DT_FLAGS, { 0 } };
	s->dyn[DYN_SPARE2] = (Elf64_Dyn){ DT_FLAGS, { 0 } };
	s->rela[0] = (Elf64_Rela){ slot, ELF64_R_INFO(0, R_X86_64_RELATIVE), 0x1234 };
	s->rela[1] = (Elf64_Rela){ slot + 8, ELF64_R_INFO(SYM_HERE, R_X86_64_64), 5 };
	s->rela[2] = (Elf64_Rela){ slot + 16, ELF64_R_INFO(SYM_HERE, R_X86_64_GLOB_DAT), 0 };
	s->rela[3] = (Elf64_Rela){ slot + 24, ELF64_R_INFO(SYM_WEAK, R_X86_64_64), 7 };
	memcpy(s->str, "\0here\0weak\0gone", sizeof(s->str));
	s->sym[SYM_HERE] = (Elf64_Sym){ 1, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, 1,
		base + SAMPLE_TEXT_VADDR(text), 14 };
	s->sym[SYM_WEAK] =
		(Elf64_Sym){ 6, ELF64_ST_INFO(STB_WEAK, STT_NOTYPE), 0, SHN_UNDEF, 0, 0 };
	s->sym[SYM_GONE] =
		(Elf64_Sym){ 11, ELF64_ST_INFO(STB_GLOBAL, STT_NOTYPE), 0, SHN_UNDEF, 0, 0 };
}

/* A sound image: ET_DYN from 0, or ET_EXEC from SAMPLE_EXEC_BASE. */
static inline void sample_init(struct sample *s, uint16_t type)
{
	static const uint8_t code[] = {
		0xbf, SAMPLE_CODE, 0, 0, 0, /* mov edi, SAMPLE_CODE */
		0x66, 0xba, 0x10, 0x10,     /* mov dx, 0x1010: exit */
		0xef,                       /* out dx, eax */
		0xf4, 0xeb, 0xfd,           /* hlt; jmp back */
	};
	const uint64_t base = type == ET_EXEC ? SAMPLE_EXEC_BASE : 0;

	memset(s, 0, sizeof(*s));
	sample_headers(s, type, base);
	sample_dynamic(s, base);
	s->entry = (struct sample_note){ { 7, 1, 0x5a00 }, "HERMIT", { 4 } };
	s->interface = (struct sample_note){ { 8, 4, 0x5b00 }, "UHYVEIF",
		{ 0, 0, 0, type == ET_EXEC ? 1 : 3 } };
	memcpy(s->text, code, sizeof(code));
	memcpy(s->tdata, "tlsdata", 8);
	memcpy(s->slots, "slot\0\0\0", 8);
	s->slots[3] = 0x5eed;
	strcpy(s->interp, "/lib64/ld-linux-x86-64.so.2");
}

struct sample_patch {
	size_t at, len;
	uint64_t value;
};

#define SET(field, to)                                                                             \
	{                                                                                          \
		offsetof(struct sample, field), sizeof(((struct sample *)0)->field),               \
			(uint64_t)(to)                                                             \
	}

/* Who refuses: the loader by itself, the loader once it knows where RAM is, or the guest's ABI. */
enum sample_stage { SAMPLE_PARSE, SAMPLE_PLACE, SAMPLE_ABI };

struct sample_row {
	const char *name, *want; /* part of the one line that must come */
	enum sample_stage stage;
	uint16_t type; /* 0: ET_DYN */
	size_t cut;    /* file ends here; 0: whole */
	struct sample_patch patches[6];
};

static inline size_t sample_spoil(struct sample *s, const struct sample_row *row)
{
	sample_init(s, row->type ? row->type : ET_DYN);
	for (size_t i = 0; i < sizeof(row->patches) / sizeof(row->patches[0]); i++)
		memcpy((uint8_t *)s + row->patches[i].at, &row->patches[i].value,
			row->patches[i].len);
	return row->cut ? row->cut : sizeof(*s);
}

#define BAD(text, expect, ...)                                                                     \
	{                                                                                          \
		.name = text, .want = expect, .patches = { __VA_ARGS__ }                           \
	}
#define CUT(text, expect, len)                                                                     \
	{                                                                                          \
		.name = text, .want = expect, .cut = len                                           \
	}
#define AWAY(text, expect, as, ...)                                                                \
	{                                                                                          \
		.name = text, .want = expect, .stage = SAMPLE_PLACE, .type = as, .patches = {      \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define ABI(text, expect, ...)                                                                     \
	{                                                                                          \
		.name = text, .want = expect, .stage = SAMPLE_ABI, .patches = { __VA_ARGS__ }      \
	}
#define RELOC(text, expect, kind)                                                                  \
	BAD(text, expect, SET(rela[1].r_info, ELF64_R_INFO(SYM_HERE, kind)))

static const struct sample_row sample_rows[] = {
	CUT("first byte only", "truncated", 1),
	CUT("cut in the magic", "truncated", 3),
	CUT("cut after the magic", "truncated", 4),
	CUT("one byte less than a header", "truncated", 63),
	CUT("header only", "program headers", 64),
	CUT("cut in the program headers", "program headers", SAMPLE_AT(ph[3])),
	CUT("cut in the text", "truncated", SAMPLE_AT(text) + 1),
	CUT("cut in the section headers", "section headers", sizeof(struct sample) - 1),

	BAD("not the magic", "not an ELF image", SET(h.e_ident[3], 'f')),
	BAD("32-bit", "32-bit", SET(h.e_ident[EI_CLASS], ELFCLASS32)),
	BAD("class 0", "ELF class 0", SET(h.e_ident[EI_CLASS], 0)),
	BAD("big-endian", "big-endian", SET(h.e_ident[EI_DATA], ELFDATA2MSB)),
	BAD("byte order 9", "byte order 9", SET(h.e_ident[EI_DATA], 9)),
	BAD("version 0 in ident", "ELF version 0", SET(h.e_ident[EI_VERSION], 0)),
	BAD("version 7", "ELF version 7", SET(h.e_version, 7)),
	BAD("aarch64", "aarch64", SET(h.e_machine, EM_AARCH64)),
	BAD("RISC-V", "RISC-V", SET(h.e_machine, EM_RISCV)),
	BAD("machine 65535", "machine 65535", SET(h.e_machine, 65535)),
	BAD("relocatable", "relocatable object", SET(h.e_type, ET_REL)),
	BAD("core", "core dump", SET(h.e_type, ET_CORE)),
	BAD("type 0", "ELF type 0", SET(h.e_type, ET_NONE)),
	BAD("type 0xfe00", "ELF type 65024", SET(h.e_type, 0xfe00)),

	BAD("header size 0", "header says it has 0 bytes", SET(h.e_ehsize, 0)),
	BAD("header size 52", "header says it has 52 bytes", SET(h.e_ehsize, 52)),
	BAD("no program headers", "no program headers", SET(h.e_phnum, 0)),
	BAD("extended count of program headers", "too many program headers",
		SET(h.e_phnum, PN_XNUM)),
	BAD("60000 program headers", "60000 program headers", SET(h.e_phnum, 60000)),
	BAD("program header size 32", "program header has 32 bytes", SET(h.e_phentsize, 32)),
	BAD("program header size 0", "program header has 0 bytes", SET(h.e_phentsize, 0)),
	BAD("program headers past the end", "program headers at 0x1000000",
		SET(h.e_phoff, 0x1000000)),
	BAD("program headers wrap", "program headers at 0xffffffffffffffc8", SET(h.e_phoff, -56)),
	BAD("section headers past the end", "section headers at 0x1000000",
		SET(h.e_shoff, 0x1000000)),
	BAD("section header size 1", "section headers of 1 bytes", SET(h.e_shentsize, 1)),
	BAD("section headers uncounted", "0 section headers", SET(h.e_shnum, 0)),

	BAD("more in the file than in memory",
		"segment 1: 0x20 bytes in the file but 0x10 in memory",
		SET(ph[SAMPLE_TEXT].p_memsz, 0x10)),
	BAD("in the file but not in memory", "segment 1: 0x20 bytes in the file but 0x0 in memory",
		SET(ph[SAMPLE_TEXT].p_memsz, 0)),
	BAD("segment starts past the end", "segment 1: 0x20 bytes at 0x7001c0 are beyond the end",
		SET(ph[SAMPLE_TEXT].p_offset, 0x7001c0)),
	BAD("segment ends past the end", "segment 2: 0x200000 bytes at ",
		SET(ph[SAMPLE_DATA].p_filesz, 0x200000), SET(ph[SAMPLE_DATA].p_memsz, 0x200000)),
	BAD("segment's file range wraps", "segment 1: 0x20 bytes at 0xfffffffffffffff0",
		SET(ph[SAMPLE_TEXT].p_offset, -16)),
	BAD("segment of nearly all addresses", "are beyond the end",
		SET(ph[SAMPLE_TEXT].p_filesz, -1), SET(ph[SAMPLE_TEXT].p_memsz, -1)),
	BAD("segment's addresses wrap", "segment 2: 0xfffffffffffff000 bytes at address",
		SET(ph[SAMPLE_DATA].p_memsz, 0xfffffffffffff000)),
	BAD("segment at the last address", "wrap around", SET(ph[SAMPLE_DATA].p_vaddr, -1)),
	BAD("alignment 3", "segment 1: alignment 0x3 is not a power of two",
		SET(ph[SAMPLE_TEXT].p_align, 3)),
	BAD("alignment all ones", "is not a power of two", SET(ph[SAMPLE_TEXT].p_align, -1)),
	BAD("address and offset disagree", "disagree modulo the alignment 0x1000",
		SET(ph[SAMPLE_TEXT].p_vaddr, SAMPLE_TEXT_VADDR(text) + 8)),
	BAD("writable and executable", "segment 1: both writable and executable",
		SET(ph[SAMPLE_TEXT].p_flags, PF_R | PF_W | PF_X)),
	BAD("writable data made executable", "segment 2: both writable and executable",
		SET(ph[SAMPLE_DATA].p_flags, PF_W | PF_X)),
	BAD("overlapping segments", "segment 2: address 0x11e0 overlaps segment 1",
		SET(ph[SAMPLE_TEXT].p_memsz, 0x2000),
		SET(ph[SAMPLE_DATA].p_vaddr, SAMPLE_TEXT_VADDR(slots))),
	BAD("same segment twice", "overlaps segment 1",
		SET(ph[SAMPLE_DATA].p_vaddr, SAMPLE_TEXT_VADDR(text)),
		SET(ph[SAMPLE_DATA].p_offset, SAMPLE_AT(text))),
	BAD("descending segments", "segment 2: address 0x1e0 is below",
		SET(ph[SAMPLE_DATA].p_vaddr, SAMPLE_AT(slots))),
	BAD("nothing to load", "no segment to load", SET(ph[SAMPLE_TEXT].p_type, PT_NULL),
		SET(ph[SAMPLE_DATA].p_type, PT_NULL)),
	BAD("segments of no bytes", "no segment to load", SET(ph[SAMPLE_TEXT].p_type, PT_NULL),
		SET(ph[SAMPLE_DATA].p_memsz, 0), SET(ph[SAMPLE_DATA].p_filesz, 0)),

	BAD("entry 0", "entry point 0x0 is not in an executable segment", SET(h.e_entry, 0)),
	BAD("entry in data", "is not in an executable segment",
		SET(h.e_entry, SAMPLE_DATA_VADDR(slots))),
	BAD("entry just after the text", "entry point 0x11e0",
		SET(h.e_entry, SAMPLE_TEXT_VADDR(text) + 32)),
	BAD("entry far away", "entry point 0xffffffffffffffff", SET(h.e_entry, -1)),

	BAD("note's name too long", "segment 0: note at 0x0: a name of 0x100",
		SET(entry.h.n_namesz, 0x100)),
	BAD("note's name of 4 GiB", "a name of 0xffffffff", SET(entry.h.n_namesz, 0xffffffff)),
	BAD("note's value too long", "note at 0x18: a name of 0x8 and a value of 0x5",
		SET(interface.h.n_descsz, 5)),
	BAD("note's value of 4 GiB", "a value of 0xffffffff",
		SET(interface.h.n_descsz, 0xffffffff)),
	BAD("truncated note", "segment 0: truncated note: 10 bytes",
		SET(ph[SAMPLE_NOTE].p_filesz, 34)),
	BAD("notes past the end", "segment 0: 0x30 bytes at 0x1000000",
		SET(ph[SAMPLE_NOTE].p_offset, 0x1000000)),
	BAD("notes of 2^64 bytes", "segment 0: ", SET(ph[SAMPLE_NOTE].p_filesz, -1)),

	BAD("interpreter", "interpreter '/lib64/ld-linux-x86-64.so.2'",
		SET(ph[SAMPLE_SPARE].p_type, PT_INTERP),
		SET(ph[SAMPLE_SPARE].p_offset, SAMPLE_AT(interp)),
		SET(ph[SAMPLE_SPARE].p_filesz, 28), SET(ph[SAMPLE_SPARE].p_memsz, 28)),
	BAD("interpreter with an escape sequence", "interpreter '??[31m'",
		SET(ph[SAMPLE_SPARE].p_type, PT_INTERP),
		SET(ph[SAMPLE_SPARE].p_offset, SAMPLE_AT(interp)),
		SET(ph[SAMPLE_SPARE].p_filesz, 28), SET(ph[SAMPLE_SPARE].p_memsz, 28),
		{ SAMPLE_AT(interp), 8, 0x6d31335b1b0a }),
	BAD("interpreter past the end", "segment 5: 0x1c bytes at 0xffff",
		SET(ph[SAMPLE_SPARE].p_type, PT_INTERP), SET(ph[SAMPLE_SPARE].p_offset, 0xffff),
		SET(ph[SAMPLE_SPARE].p_filesz, 28), SET(ph[SAMPLE_SPARE].p_memsz, 28)),

	BAD("needs a library", "needs the library 'gone'", SET(dyn[DYN_SPARE].d_tag, DT_NEEDED),
		SET(dyn[DYN_SPARE].d_un.d_val, 11)),
	BAD("needs a library without a name", "needs the library '(no name)'",
		SET(dyn[DYN_SPARE].d_tag, DT_NEEDED), SET(dyn[DYN_SPARE].d_un.d_val, 0x7fffffff)),
	BAD("needs a library named past the strings", "needs the library '(no name)'",
		SET(dyn[DYN_SPARE].d_tag, DT_NEEDED), SET(dyn[DYN_SPARE].d_un.d_val, 4),
		SET(dyn[DYN_STRSZ].d_un.d_val, 4)),
	BAD("DT_REL", "DT_REL relocations", SET(dyn[DYN_SPARE].d_tag, DT_REL),
		SET(dyn[DYN_SPARE2].d_tag, DT_RELSZ), SET(dyn[DYN_SPARE2].d_un.d_val, 16)),
	BAD("DT_JMPREL", "DT_JMPREL", SET(dyn[DYN_SPARE].d_tag, DT_JMPREL),
		SET(dyn[DYN_SPARE2].d_tag, DT_PLTRELSZ), SET(dyn[DYN_SPARE2].d_un.d_val, 24)),
	BAD("DT_RELR", "DT_RELR", SET(dyn[DYN_SPARE].d_tag, 36), SET(dyn[DYN_SPARE2].d_tag, 35),
		SET(dyn[DYN_SPARE2].d_un.d_val, 8)),
	BAD("symbol size", "DT_SYMENT: a symbol has 23 bytes", SET(dyn[DYN_SYMENT].d_un.d_val, 23)),
	BAD("relocation size", "DT_RELAENT: a relocation has 16 bytes",
		SET(dyn[DYN_RELAENT].d_un.d_val, 16)),
	BAD("a piece of a relocation", "DT_RELASZ: 0x61 bytes",
		SET(dyn[DYN_RELASZ].d_un.d_val, 97)),
	BAD("relocations of 2^64 bytes", "DT_RELA: 0xfffffffffffffff0 bytes",
		SET(dyn[DYN_RELASZ].d_un.d_val, 0xfffffffffffffff0)),
	BAD("relocations outside", "DT_RELA: 0x60 bytes of relocations at address 0x10",
		SET(dyn[DYN_RELA].d_un.d_val, 0x10)),
	BAD("relocations leave the segment's file bytes", "DT_RELA: 0x600 bytes",
		SET(dyn[DYN_RELASZ].d_un.d_val, 0x600)),
	BAD("symbols outside", "DT_SYMTAB: address 0x10", SET(dyn[DYN_SYMTAB].d_un.d_val, 0x10)),
	BAD("odd dynamic section", "dynamic section has 0x9f bytes",
		SET(ph[SAMPLE_DYNAMIC].p_filesz, 159)),
	BAD("dynamic section past the end", "segment 3: 0xa0 bytes at 0xfffff000",
		SET(ph[SAMPLE_DYNAMIC].p_offset, 0xfffff000)),
	BAD("two dynamic sections", "segment 4: a second dynamic section",
		SET(ph[SAMPLE_TLS].p_type, PT_DYNAMIC)),

	RELOC("COPY", "relocation 1: type COPY (5)", R_X86_64_COPY),
	RELOC("JUMP_SLOT", "type JUMP_SLOT (7)", R_X86_64_JUMP_SLOT),
	RELOC("IRELATIVE", "type IRELATIVE (37)", R_X86_64_IRELATIVE),
	RELOC("TPOFF64", "type TPOFF64 (18)", R_X86_64_TPOFF64),
	RELOC("32", "type 32 (10)", R_X86_64_32),
	RELOC("32S", "type 32S (11)", R_X86_64_32S),
	RELOC("PC32", "type PC32 (2)", R_X86_64_PC32),
	RELOC("DTPMOD64", "type DTPMOD64 (16)", R_X86_64_DTPMOD64),
	RELOC("DTPOFF64", "type DTPOFF64 (17)", R_X86_64_DTPOFF64),
	RELOC("unknown relocation", "relocation 1: type 4294967295", 0xffffffff),
	BAD("relocates outside", "relocation 0: 8 bytes at address 0x8 are outside the segments",
		SET(rela[0].r_offset, 8)),
	BAD("relocates the last seven bytes", "relocation 0: 8 bytes at address",
		SET(rela[0].r_offset, SAMPLE_END - 7)),
	BAD("relocates the end", "relocation 0: 8 bytes at address",
		SET(rela[0].r_offset, SAMPLE_END)),
	BAD("relocation wraps", "address 0xfffffffffffffffc", SET(rela[0].r_offset, -4)),
	BAD("symbol out of the table", "relocation 1: symbol 4 is outside the table of 4",
		SET(rela[1].r_info, ELF64_R_INFO(SYM_COUNT, R_X86_64_64))),
	BAD("symbol 2^32-1", "symbol 4294967295 is outside",
		SET(rela[1].r_info, 0xffffffff00000001)),
	BAD("no symbol table", "symbol 1 is outside the table of 0",
		SET(dyn[DYN_SYMTAB].d_tag, DT_FLAGS)),
	BAD("symbol not defined", "relocation 1: symbol 3 'gone' is not defined",
		SET(rela[1].r_info, ELF64_R_INFO(SYM_GONE, R_X86_64_64))),
	BAD("indirect function", "'here' is an indirect function",
		SET(sym[SYM_HERE].st_info, ELF64_ST_INFO(STB_GLOBAL, STT_GNU_IFUNC))),
	BAD("thread-local symbol", "'here' is thread-local",
		SET(sym[SYM_HERE].st_info, ELF64_ST_INFO(STB_GLOBAL, STT_TLS))),

	BAD("TLS bigger in the file", "segment 4: 0x8 bytes in the file but 0x4 in memory",
		SET(ph[SAMPLE_TLS].p_memsz, 4)),
	BAD("TLS alignment", "segment 4: alignment 0x18", SET(ph[SAMPLE_TLS].p_align, 0x18)),
	BAD("TLS past the end", "segment 4: 0x8 bytes at 0x99999",
		SET(ph[SAMPLE_TLS].p_offset, 0x99999)),
	BAD("TLS outside the segments", "bytes of TLS data at address 0x30",
		SET(ph[SAMPLE_TLS].p_vaddr, 0x30)),
	BAD("two TLS segments", "segment 5: a second TLS segment",
		SET(ph[SAMPLE_SPARE].p_type, PT_TLS)),

	AWAY("4 GiB of BSS", "--mem", ET_DYN, SET(ph[SAMPLE_DATA].p_memsz, 0x100000000)),
	AWAY("an exabyte of BSS", "--mem", ET_DYN,
		SET(ph[SAMPLE_DATA].p_memsz, 0x1000000000000000)),
	AWAY("data far above RAM", "--mem", ET_EXEC, SET(ph[SAMPLE_DYNAMIC].p_type, PT_NULL),
		SET(ph[SAMPLE_TLS].p_type, PT_NULL),
		SET(ph[SAMPLE_DATA].p_vaddr, 0x100000000000 + SAMPLE_AT(slots))),
	AWAY("data near the last address", "0x", ET_DYN, SET(ph[SAMPLE_DYNAMIC].p_type, PT_NULL),
		SET(ph[SAMPLE_TLS].p_type, PT_NULL),
		SET(ph[SAMPLE_DATA].p_vaddr, 0xffffffffffff0000 + SAMPLE_AT(slots))),
	AWAY("text below RAM", "0x", ET_EXEC, SET(ph[SAMPLE_TEXT].p_vaddr, SAMPLE_AT(text)),
		SET(h.e_entry, SAMPLE_AT(text))),

	ABI("no HERMIT note", "guest ABI", SET(entry.name[0], 'P')),
	ABI("no notes at all", "guest ABI", SET(ph[SAMPLE_NOTE].p_type, PT_NULL)),
	ABI("entry version 3", "entry version", SET(entry.desc[0], 3)),
	ABI("entry version 255", "entry version", SET(entry.desc[0], 255)),
	ABI("entry version missing", "entry version", SET(entry.h.n_descsz, 0),
		SET(entry.desc[0], 8), SET(ph[SAMPLE_NOTE].p_filesz, 20)),
	ABI("interface 0", "UHYVEIF", SET(interface.desc[3], 0)),
	ABI("interface 4", "UHYVEIF", SET(interface.desc[3], 4)),
	ABI("interface little-endian", "UHYVEIF", SET(interface.desc[0], 3),
		SET(interface.desc[3], 0)),
	ABI("interface of two bytes", "UHYVEIF", SET(interface.h.n_descsz, 2)),
};

enum { SAMPLE_ROWS = sizeof(sample_rows) / sizeof(sample_rows[0]) };

#undef BAD
#undef CUT
#undef AWAY
#undef ABI
#undef RELOC

/* Bytes that are no ELF image at all. */
static const struct {
	const char *name, *want, *bytes;
	size_t len;
} sample_not_elf[] = {
	{ "gzip", "Hermit image must be unpacked", "\x1f\x8b\x08\0\0\0\0\0\0\3", 10 },
	{ "two bytes of gzip", "gzip", "\x1f\x8b", 2 },
	{ "xz", "xz", "\xfd\x37zXZ\0\0\4", 8 },
	{ "zstd", "zstd", "\x28\xb5\x2f\xfd\0", 5 },
	{ "bzip2", "bzip2", "BZh91AY", 7 },
	{ "zip", "zip archive", "PK\3\4....", 8 },
	{ "script", "script", "#!/bin/sh\nexit 1\n", 17 },
	{ "static library", "static library", "!<arch>\nfoo/", 12 },
	{ "EFI program", "PE (", "MZ\x90\0\3\0\0\0", 8 },
	{ "nearly gzip", "does not begin with", "\x1f\x8c\x08\0", 4 },
	{ "nearly xz", "does not begin with", "\xfd\x37zXY\0", 6 },
	{ "nearly zstd", "does not begin with", "\x28\xb5\x2f\xfc", 4 },
	{ "nearly bzip2", "does not begin with", "BZi91AY", 7 },
	{ "nearly zip", "does not begin with", "PK\3\5....", 8 },
	{ "nearly a script", "does not begin with", "# comment\n", 10 },
	{ "nearly a static library", "does not begin with", "!<arch> foo/", 12 },
	{ "nearly an EFI program", "does not begin with", "My\x90\0", 4 },
	{ "text", "not an ELF image", "hello, world\n", 13 },
	{ "one byte", "not an ELF image", "x", 1 },
	{ "NUL", "not an ELF image", "\0", 1 },
	{ "zeros", "not an ELF image", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16 },
};

enum { SAMPLE_NOT_ELF = sizeof(sample_not_elf) / sizeof(sample_not_elf[0]) };

#endif
