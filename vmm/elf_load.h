/* SPDX-License-Identifier: ISC */
/*
 * ELF images: checked, described, copied into guest memory, relocated. The only module that sees
 * libelf. Two steps, so that an ABI can choose where RAM begins in between: elf_parse looks,
 * elf_place copies. Any bytes may come in; the answer is -ENOEXEC and one printable line saying what
 * is wrong ("segment 2: 0x2000 bytes in the file but 0x1000 in memory"). The lines do not name the
 * file: the caller knows it. Segments are numbered as program headers are, from 0.
 */
#ifndef ELF_LOAD_H
#define ELF_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct gmem;

enum { ELF_SEGMENTS_MAX = 32, ELF_NOTES_MAX = 16, ELF_NOTE_NAME_MAX = 32 };

struct elf_segment {
	uint64_t vaddr, filesz, memsz, align, offset; /* vaddr as in the file */
	bool read, write, exec;
	uint16_t index; /* of its program header */
};

struct elf_note {
	char name[ELF_NOTE_NAME_MAX]; /* terminated; longer names are cut */
	uint32_t type;
	const uint8_t *desc; /* into the image */
	uint32_t desc_len;
};

/* What PT_DYNAMIC leads to, as pointers into the image; NULL and 0 where there is none. */
struct elf_dynamic {
	const uint8_t *relocations, *symbols; /* Elf64_Rela, Elf64_Sym, of any alignment */
	size_t n_relocations, n_symbols;
	const char *strings; /* not necessarily terminated */
	size_t strings_size;
};

struct elf_image {
	const uint8_t *bytes; /* borrowed: the file in memory */
	size_t size;
	bool is_pie; /* ET_DYN: vaddr is relative to the base elf_place is given */
	uint8_t osabi;
	uint64_t entry;
	uint64_t start, end; /* vaddr of the first loaded byte, and after the last, BSS included */
	struct elf_segment segments[ELF_SEGMENTS_MAX]; /* PT_LOAD with memsz > 0, ascending */
	size_t n_segments;
	bool has_tls;
	struct elf_segment tls;
	struct elf_note notes[ELF_NOTES_MAX]; /* of every PT_NOTE; further ones are not looked at */
	size_t n_notes;
	struct elf_dynamic dynamic;
	bool has_symbols; /* a .symtab */
};

/*
 * The whole file, read into memory: 0 with *bytes to free, or -errno with err (a directory, a pipe,
 * empty, over 1 GiB, ...). Never waits for a pipe or touches a device.
 */
int elf_read_file(const char *path, uint8_t **bytes, size_t *size, struct err *err);

/*
 * 0, or -ENOEXEC with err and *image zeroed. Checks everything that does not depend on where RAM
 * lies, each relocation included. bytes must not change while image is in use.
 */
int elf_parse(const uint8_t *bytes, size_t size, struct elf_image *image, struct err *err);

/*
 * Copies the segments to base + vaddr, modulo 2^64 (base counts only for is_pie), zeroes BSS and the gaps between
 * segments, applies RELATIVE, 64 and GLOB_DAT relocations. Writes nowhere but [start, end) + base.
 * 0, or -ENOEXEC with err when that is not all in RAM; then nothing was written.
 */
int elf_place(
	const struct elf_image *image, const struct gmem *mem, uint64_t base, struct err *err);

/* The first note of that name and type, or NULL. */
const struct elf_note *elf_find_note(
	const struct elf_image *image, const char *name, uint32_t type);

#endif
