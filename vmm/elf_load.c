// SPDX-License-Identifier: ISC
/*
 * ELF images. Knows no ABI: what a note means and where RAM lies is for others to say. The headers
 * are checked here before libelf sees them, and nothing needed to run comes from section headers,
 * which may be stripped.
 */
#include "elf_load.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <libelf.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "err.h"
#include "gmem.h"

enum { ELF_FILE_MAX = 1 << 30, ELF_TEXT_MAX = 64 };

/* glibc's elf.h may be older than these. */
enum { TAG_RELRSZ = 35, TAG_RELR = 36, TAG_COUNT = 38 };

struct parse {
	struct elf_image *image;
	Elf *elf;
	struct err *err;
	uint16_t index; /* the program header at hand */
	bool has_dynamic;
	GElf_Phdr dynamic;
};

/* ---- reading the file ---- */

static int check_file(const struct stat *st, struct err *err)
{
	if (S_ISDIR(st->st_mode))
		return err_set(err, -EISDIR, "is a directory, not a guest image");
	if (!S_ISREG(st->st_mode))
		return err_set(err, -EINVAL, "is not a regular file");
	if (!st->st_size)
		return err_set(err, -ENOEXEC, "is empty");
	if (st->st_size > ELF_FILE_MAX)
		return err_set(err, -EFBIG, "%jd bytes is too big: images may have up to %d",
			(intmax_t)st->st_size, ELF_FILE_MAX);
	return 0;
}

static int read_all(int fd, uint8_t *buf, size_t *size)
{
	size_t n = 0;

	while (n < *size) {
		ssize_t r = read(fd, buf + n, *size - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (!r)
			break;
		n += (size_t)r;
	}
	*size = n;
	return 0;
}

int elf_read_file(const char *path, uint8_t **bytes, size_t *size, struct err *err)
{
	autoclose int fd = -1;
	autofree uint8_t *buf = NULL;
	struct stat st;
	size_t n;
	int r;

	/* Looked at before it is opened: opening some devices does something. */
	if (stat(path, &st))
		return err_set(err, -errno, "%s", strerror(errno));
	r = check_file(&st, err);
	if (r)
		return r;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return err_set(err, -errno, "%s", strerror(errno));
	r = check_file(&st, err);
	if (r)
		return r;
	n = (size_t)st.st_size;
	buf = malloc(n);
	if (!buf)
		return err_set(err, -ENOMEM, "no memory for an image of %zu bytes", n);
	r = read_all(fd, buf, &n);
	if (r)
		return err_set(err, r, "%s", strerror(-r));
	*bytes = buf;
	buf = NULL;
	*size = n;
	return 0;
}

/* ---- finding one's way in the image ---- */

static bool in_file(const struct elf_image *image, uint64_t offset, uint64_t len)
{
	return offset <= image->size && len <= image->size - offset;
}

/* The segment that holds all of [vaddr, vaddr + len), or NULL. */
static const struct elf_segment *segment_of(
	const struct elf_image *image, uint64_t vaddr, uint64_t len)
{
	for (size_t i = 0; i < image->n_segments; i++) {
		const struct elf_segment *s = &image->segments[i];

		if (vaddr >= s->vaddr && vaddr - s->vaddr < s->memsz)
			return len <= s->memsz - (vaddr - s->vaddr) ? s : NULL;
	}
	return NULL;
}

/* The file's bytes at vaddr and in *room how many follow in that segment, or NULL. */
static const uint8_t *bytes_at(const struct elf_image *image, uint64_t vaddr, uint64_t *room)
{
	const struct elf_segment *s = segment_of(image, vaddr, 1);

	if (!s || vaddr - s->vaddr >= s->filesz)
		return NULL;
	*room = s->filesz - (vaddr - s->vaddr);
	return image->bytes + s->offset + (vaddr - s->vaddr);
}

/* A string of the image's as it may be shown: one line, no control characters, not too long. */
static const char *show(char out[ELF_TEXT_MAX], const char *text, uint64_t len)
{
	size_t n = 0;

	for (; n < len && n < ELF_TEXT_MAX - 1 && text[n]; n++)
		out[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
	out[n] = 0;
	return out;
}

static const char *show_string(char out[ELF_TEXT_MAX], const struct elf_dynamic *d, uint64_t at)
{
	if (at >= d->strings_size)
		return show(out, "(no name)", ELF_TEXT_MAX);
	return show(out, d->strings + at, d->strings_size - at);
}

/* ---- the header ---- */

static const struct {
	const char *magic;
	size_t len;
	const char *what;
} not_elf[] = {
	{ "\x1f\x8b", 2,
		"compressed with gzip; a Hermit image must be unpacked first (tar xzf), then "
		"run the ELF file in it" },
	{ "\xfd\x37zXZ", 5, "compressed with xz; unpack it first" },
	{ "\x28\xb5\x2f\xfd", 4, "compressed with zstd; unpack it first" },
	{ "BZh", 3, "compressed with bzip2; unpack it first" },
	{ "PK\x03\x04", 4, "a zip archive; unpack it first" },
	{ "#!", 2, "a script, not an ELF image" },
	{ "!<arch>\n", 8, "a static library, not an ELF image; link it first" },
	{ "MZ", 2, "a PE (Windows or EFI) program, not an ELF image" },
};

static int check_magic(const struct elf_image *image, struct err *err)
{
	const uint8_t *b = image->bytes;

	if (!image->size)
		return err_set(err, -ENOEXEC, "is empty");
	for (size_t i = 0; i < sizeof(not_elf) / sizeof(not_elf[0]); i++)
		if (image->size >= not_elf[i].len && !memcmp(b, not_elf[i].magic, not_elf[i].len))
			return err_set(err, -ENOEXEC, "%s", not_elf[i].what);
	if (memcmp(b, ELFMAG, image->size < SELFMAG ? image->size : SELFMAG))
		return err_set(
			err, -ENOEXEC, "not an ELF image: it does not begin with 0x7f 'ELF'");
	if (image->size < sizeof(Elf64_Ehdr))
		return err_set(err, -ENOEXEC, "truncated: %zu bytes, the ELF header alone has %zu",
			image->size, sizeof(Elf64_Ehdr));
	return 0;
}

static const struct {
	uint16_t machine;
	const char *name;
} machines[] = {
	{ EM_386, "32-bit x86" },
	{ EM_ARM, "32-bit ARM" },
	{ EM_AARCH64, "aarch64" },
	{ EM_RISCV, "RISC-V" },
	{ EM_PPC64, "POWER" },
	{ EM_S390, "s390" },
};

static int check_machine(const Elf64_Ehdr *h, struct err *err)
{
	if (h->e_ident[EI_CLASS] == ELFCLASS32)
		return err_set(err, -ENOEXEC, "a 32-bit ELF image; guests are 64-bit x86-64");
	if (h->e_ident[EI_CLASS] != ELFCLASS64)
		return err_set(err, -ENOEXEC, "ELF class %u is unknown", h->e_ident[EI_CLASS]);
	if (h->e_ident[EI_DATA] == ELFDATA2MSB)
		return err_set(err, -ENOEXEC, "a big-endian ELF image; guests are x86-64");
	if (h->e_ident[EI_DATA] != ELFDATA2LSB)
		return err_set(err, -ENOEXEC, "ELF byte order %u is unknown", h->e_ident[EI_DATA]);
	if (h->e_ident[EI_VERSION] != EV_CURRENT || h->e_version != EV_CURRENT)
		return err_set(err, -ENOEXEC, "ELF version %u is unknown",
			h->e_version != EV_CURRENT ? h->e_version : h->e_ident[EI_VERSION]);
	if (h->e_machine == EM_X86_64)
		return 0;
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
		if (machines[i].machine == h->e_machine)
			return err_set(
				err, -ENOEXEC, "made for %s; guests are x86-64", machines[i].name);
	return err_set(err, -ENOEXEC, "made for ELF machine %u; guests are x86-64", h->e_machine);
}

static int check_type(const Elf64_Ehdr *h, struct err *err)
{
	if (h->e_type == ET_EXEC || h->e_type == ET_DYN)
		return 0;
	if (h->e_type == ET_REL)
		return err_set(err, -ENOEXEC, "a relocatable object; link it first");
	if (h->e_type == ET_CORE)
		return err_set(err, -ENOEXEC, "a core dump, not a program");
	return err_set(err, -ENOEXEC, "ELF type %u is not an executable", h->e_type);
}

static int check_tables(const struct elf_image *image, const Elf64_Ehdr *h, struct err *err)
{
	if (h->e_ehsize != sizeof(Elf64_Ehdr))
		return err_set(err, -ENOEXEC, "the ELF header says it has %u bytes, not %zu",
			h->e_ehsize, sizeof(Elf64_Ehdr));
	if (!h->e_phnum)
		return err_set(err, -ENOEXEC, "no program headers: nothing to load");
	if (h->e_phnum == PN_XNUM)
		return err_set(err, -ENOEXEC, "too many program headers: %u or more", PN_XNUM);
	if (h->e_phentsize != sizeof(Elf64_Phdr))
		return err_set(err, -ENOEXEC, "a program header has %u bytes, not %zu",
			h->e_phentsize, sizeof(Elf64_Phdr));
	if (!in_file(image, h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr)))
		return err_set(err, -ENOEXEC,
			"truncated: %u program headers at 0x%" PRIx64 ", the file has 0x%zx bytes",
			h->e_phnum, h->e_phoff, image->size);
	if (!h->e_shoff)
		return 0;
	if (!h->e_shnum || h->e_shentsize != sizeof(Elf64_Shdr))
		return err_set(err, -ENOEXEC,
			"%u section headers of %u bytes at 0x%" PRIx64 " make no sense", h->e_shnum,
			h->e_shentsize, h->e_shoff);
	if (!in_file(image, h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr)))
		return err_set(err, -ENOEXEC,
			"truncated: %u section headers at 0x%" PRIx64 ", the file has 0x%zx bytes",
			h->e_shnum, h->e_shoff, image->size);
	return 0;
}

static int check_header(const struct elf_image *image, struct err *err)
{
	Elf64_Ehdr h;
	int r = check_magic(image, err);

	if (r)
		return r;
	memcpy(&h, image->bytes, sizeof(h));
	r = check_machine(&h, err);
	if (!r)
		r = check_type(&h, err);
	if (!r)
		r = check_tables(image, &h, err);
	return r;
}

/* ---- program headers, one reader per kind ---- */

static bool power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

/* What holds for every kind with a range in the file and one in memory. */
static int check_ranges(const struct parse *p, const GElf_Phdr *ph)
{
	if (ph->p_filesz > ph->p_memsz)
		return err_set(p->err, -ENOEXEC,
			"segment %u: 0x%" PRIx64 " bytes in the file but 0x%" PRIx64 " in memory",
			p->index, ph->p_filesz, ph->p_memsz);
	if (ph->p_filesz && !in_file(p->image, ph->p_offset, ph->p_filesz))
		return err_set(p->err, -ENOEXEC,
			"segment %u: 0x%" PRIx64 " bytes at 0x%" PRIx64
			" are beyond the end of the file, which has 0x%zx: truncated?",
			p->index, ph->p_filesz, ph->p_offset, p->image->size);
	if (ph->p_memsz > UINT64_MAX - ph->p_vaddr)
		return err_set(p->err, -ENOEXEC,
			"segment %u: 0x%" PRIx64 " bytes at address 0x%" PRIx64 " wrap around",
			p->index, ph->p_memsz, ph->p_vaddr);
	if (ph->p_align && !power_of_two(ph->p_align))
		return err_set(p->err, -ENOEXEC,
			"segment %u: alignment 0x%" PRIx64 " is not a power of two", p->index,
			ph->p_align);
	return 0;
}

static struct elf_segment segment_from(const struct parse *p, const GElf_Phdr *ph)
{
	return (struct elf_segment){
		.vaddr = ph->p_vaddr,
		.filesz = ph->p_filesz,
		.memsz = ph->p_memsz,
		.align = ph->p_align,
		.offset = ph->p_offset,
		.read = ph->p_flags & PF_R,
		.write = ph->p_flags & PF_W,
		.exec = ph->p_flags & PF_X,
		.index = p->index,
	};
}

static int check_order(const struct parse *p, const GElf_Phdr *ph)
{
	const struct elf_segment *before;

	if (!p->image->n_segments)
		return 0;
	before = &p->image->segments[p->image->n_segments - 1];
	if (ph->p_vaddr < before->vaddr)
		return err_set(p->err, -ENOEXEC,
			"segment %u: address 0x%" PRIx64 " is below 0x%" PRIx64
			" of segment %u: not in ascending order",
			p->index, ph->p_vaddr, before->vaddr, before->index);
	if (ph->p_vaddr - before->vaddr < before->memsz)
		return err_set(p->err, -ENOEXEC,
			"segment %u: address 0x%" PRIx64
			" overlaps segment %u, which ends at 0x%" PRIx64,
			p->index, ph->p_vaddr, before->index, before->vaddr + before->memsz);
	return 0;
}

static int read_load(struct parse *p, const GElf_Phdr *ph)
{
	struct elf_image *image = p->image;
	int r;

	if (!ph->p_memsz && !ph->p_filesz)
		return 0;
	r = check_ranges(p, ph);
	if (!r)
		r = check_order(p, ph);
	if (r)
		return r;
	if (ph->p_align && ph->p_filesz && (ph->p_vaddr - ph->p_offset) % ph->p_align)
		return err_set(p->err, -ENOEXEC,
			"segment %u: address 0x%" PRIx64 " and file offset 0x%" PRIx64
			" disagree modulo the alignment 0x%" PRIx64,
			p->index, ph->p_vaddr, ph->p_offset, ph->p_align);
	if ((ph->p_flags & PF_W) && (ph->p_flags & PF_X))
		return err_set(
			p->err, -ENOEXEC, "segment %u: both writable and executable", p->index);
	if (image->n_segments == ELF_SEGMENTS_MAX)
		return err_set(p->err, -ENOEXEC, "segment %u: more than %d segments to load",
			p->index, ELF_SEGMENTS_MAX);
	image->segments[image->n_segments++] = segment_from(p, ph);
	return 0;
}

static int read_tls(struct parse *p, const GElf_Phdr *ph)
{
	int r = check_ranges(p, ph);

	if (r)
		return r;
	if (p->image->has_tls)
		return err_set(p->err, -ENOEXEC, "segment %u: a second TLS segment", p->index);
	p->image->has_tls = true;
	p->image->tls = segment_from(p, ph);
	return 0;
}

static int read_dynamic(struct parse *p, const GElf_Phdr *ph)
{
	int r = check_ranges(p, ph);

	if (r)
		return r;
	if (p->has_dynamic)
		return err_set(p->err, -ENOEXEC, "segment %u: a second dynamic section", p->index);
	p->has_dynamic = true;
	p->dynamic = *ph;
	return 0;
}

/* Solo5 and others put a path there that never exists, to keep Linux from running the image. */
static int read_interp(struct parse *p, const GElf_Phdr *ph)
{
	static const char none[] = "/nonexistent";
	char text[ELF_TEXT_MAX];
	int r = check_ranges(p, ph);

	if (r)
		return r;
	show(text, (const char *)p->image->bytes + ph->p_offset, ph->p_filesz);
	if (!strncmp(text, none, sizeof(none) - 1))
		return 0;
	return err_set(p->err, -ENOEXEC,
		"dynamically linked: wants the interpreter '%s'; link it statically (-static or "
		"-static-pie)",
		text);
}

static int bad_note(const struct parse *p, const Elf_Data *data, size_t at)
{
	GElf_Nhdr n;

	if (data->d_size - at < sizeof(n))
		return err_set(p->err, -ENOEXEC,
			"segment %u: truncated note: %zu bytes at 0x%zx, a note's header has %zu",
			p->index, data->d_size - at, at, sizeof(n));
	memcpy(&n, (const char *)data->d_buf + at, sizeof(n));
	return err_set(p->err, -ENOEXEC,
		"segment %u: note at 0x%zx: a name of 0x%x and a value of 0x%x bytes do not fit in "
		"the 0x%zx left",
		p->index, at, n.n_namesz, n.n_descsz, data->d_size - at - sizeof(n));
}

static void add_note(
	struct elf_image *image, const GElf_Nhdr *n, const char *name, const uint8_t *desc)
{
	struct elf_note *note = &image->notes[image->n_notes++];

	note->type = n->n_type;
	note->desc = desc;
	note->desc_len = n->n_descsz;
	memcpy(note->name, name,
		n->n_namesz < ELF_NOTE_NAME_MAX - 1 ? n->n_namesz : ELF_NOTE_NAME_MAX - 1);
}

static int read_notes(struct parse *p, const GElf_Phdr *ph)
{
	struct elf_image *image = p->image;
	GElf_Phdr range = *ph;
	Elf_Data *data;
	GElf_Nhdr n;
	size_t at = 0, next, name, desc;
	int r;

	range.p_memsz = ph->p_filesz; /* notes are read from the file; some linkers leave memsz 0 */
	r = check_ranges(p, &range);
	if (r || !ph->p_filesz)
		return r;
	data = elf_getdata_rawchunk(p->elf, (int64_t)ph->p_offset, ph->p_filesz,
		ph->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
	if (!data)
		return err_set(p->err, -ENOEXEC, "segment %u: notes: %s", p->index, elf_errmsg(-1));
	/* The limit on notes is also what bounds the time many overlapping PT_NOTE can cost. */
	for (; at < data->d_size && image->n_notes < ELF_NOTES_MAX; at = next) {
		next = gelf_getnote(data, at, &n, &name, &desc);
		if (!next)
			return bad_note(p, data, at);
		add_note(image, &n, (const char *)data->d_buf + name,
			image->bytes + ph->p_offset + desc);
	}
	return 0;
}

static const struct {
	uint32_t type;
	int (*read)(struct parse *p, const GElf_Phdr *ph);
} readers[] = {
	{ PT_LOAD, read_load },
	{ PT_DYNAMIC, read_dynamic },
	{ PT_INTERP, read_interp },
	{ PT_NOTE, read_notes },
	{ PT_TLS, read_tls },
};

static int read_program_headers(struct parse *p, size_t n)
{
	GElf_Phdr ph;
	int r = 0;

	for (size_t i = 0; i < n && !r; i++) {
		if (!gelf_getphdr(p->elf, (int)i, &ph))
			return err_set(
				p->err, -ENOEXEC, "program header %zu: %s", i, elf_errmsg(-1));
		p->index = (uint16_t)i;
		if (!ph.p_filesz)
			ph.p_offset = 0; /* of no bytes; it may point anywhere */
		for (size_t k = 0; k < sizeof(readers) / sizeof(readers[0]); k++)
			if (readers[k].type == ph.p_type)
				r = readers[k].read(p, &ph);
	}
	return r;
}

/* ---- the dynamic section ---- */

struct tags {
	uint64_t value[TAG_COUNT];
	bool has[TAG_COUNT];
};

static int read_tags(const struct parse *p, struct tags *tags)
{
	const uint8_t *at = p->image->bytes + p->dynamic.p_offset;
	Elf64_Dyn d;

	if (p->dynamic.p_filesz % sizeof(d))
		return err_set(p->err, -ENOEXEC,
			"the dynamic section has 0x%" PRIx64 " bytes, not a multiple of %zu",
			p->dynamic.p_filesz, sizeof(d));
	for (uint64_t i = 0; i < p->dynamic.p_filesz / sizeof(d); i++) {
		memcpy(&d, at + i * sizeof(d), sizeof(d));
		if (d.d_tag == DT_NULL)
			break;
		if (d.d_tag < 0 || d.d_tag >= TAG_COUNT || tags->has[d.d_tag])
			continue;
		tags->has[d.d_tag] = true;
		tags->value[d.d_tag] = d.d_un.d_val;
	}
	return 0;
}

/* Tables we do not read, refused unless empty. */
static const struct {
	unsigned table, size;
	const char *why;
} refused_tables[] = {
	{ DT_REL, DT_RELSZ, "DT_REL relocations, which x86-64 does not use" },
	{ DT_JMPREL, DT_PLTRELSZ,
		"DT_JMPREL relocations (calls through a PLT); link with -static-pie" },
	{ TAG_RELR, TAG_RELRSZ, "packed DT_RELR relocations; link with -z nopack-relative-relocs" },
};

static int check_tags(const struct parse *p, const struct tags *t)
{
	char text[ELF_TEXT_MAX];

	if (t->has[DT_NEEDED])
		return err_set(p->err, -ENOEXEC,
			"dynamically linked: needs the library '%s'; link it statically (-static "
			"or -static-pie)",
			show_string(text, &p->image->dynamic, t->value[DT_NEEDED]));
	for (size_t i = 0; i < sizeof(refused_tables) / sizeof(refused_tables[0]); i++)
		if (t->has[refused_tables[i].table] && t->value[refused_tables[i].size])
			return err_set(p->err, -ENOEXEC, "has %s", refused_tables[i].why);
	if (t->has[DT_SYMENT] && t->value[DT_SYMENT] != sizeof(Elf64_Sym))
		return err_set(p->err, -ENOEXEC,
			"DT_SYMENT: a symbol has %" PRIu64 " bytes, not %zu", t->value[DT_SYMENT],
			sizeof(Elf64_Sym));
	return 0;
}

static void find_strings(struct elf_image *image, const struct tags *t)
{
	uint64_t room;
	const uint8_t *at = t->has[DT_STRTAB] ? bytes_at(image, t->value[DT_STRTAB], &room) : NULL;

	if (!at)
		return;
	if (t->has[DT_STRSZ] && t->value[DT_STRSZ] < room)
		room = t->value[DT_STRSZ];
	image->dynamic.strings = (const char *)at;
	image->dynamic.strings_size = room;
}

/* Nothing states how many symbols there are; the table ends where strings or the segment do. */
static int find_symbols(const struct parse *p, const struct tags *t)
{
	struct elf_dynamic *d = &p->image->dynamic;
	const uint8_t *strings = (const uint8_t *)d->strings;
	uint64_t room;

	if (!t->has[DT_SYMTAB])
		return 0;
	d->symbols = bytes_at(p->image, t->value[DT_SYMTAB], &room);
	if (!d->symbols)
		return err_set(p->err, -ENOEXEC,
			"DT_SYMTAB: address 0x%" PRIx64 " is outside the segments",
			t->value[DT_SYMTAB]);
	if (strings > d->symbols && strings < d->symbols + room)
		room = (uint64_t)(strings - d->symbols);
	d->n_symbols = room / sizeof(Elf64_Sym);
	return 0;
}

static int find_relocations(const struct parse *p, const struct tags *t)
{
	struct elf_dynamic *d = &p->image->dynamic;
	uint64_t size = t->value[DT_RELASZ], room;

	if (!t->has[DT_RELA] || !size)
		return 0;
	if (t->has[DT_RELAENT] && t->value[DT_RELAENT] != sizeof(Elf64_Rela))
		return err_set(p->err, -ENOEXEC,
			"DT_RELAENT: a relocation has %" PRIu64 " bytes, not %zu",
			t->value[DT_RELAENT], sizeof(Elf64_Rela));
	if (size % sizeof(Elf64_Rela))
		return err_set(p->err, -ENOEXEC,
			"DT_RELASZ: 0x%" PRIx64 " bytes are not a multiple of %zu", size,
			sizeof(Elf64_Rela));
	d->relocations = bytes_at(p->image, t->value[DT_RELA], &room);
	if (!d->relocations || size > room)
		return err_set(p->err, -ENOEXEC,
			"DT_RELA: 0x%" PRIx64 " bytes of relocations at address 0x%" PRIx64
			" are outside the segments",
			size, t->value[DT_RELA]);
	d->n_relocations = size / sizeof(Elf64_Rela);
	return 0;
}

/* ---- relocations ---- */

static const struct {
	uint32_t type;
	const char *name;
	bool known, symbol;
} relocation_types[] = {
	{ R_X86_64_NONE, "NONE", true, false },
	{ R_X86_64_64, "64", true, true },
	{ R_X86_64_GLOB_DAT, "GLOB_DAT", true, true },
	{ R_X86_64_RELATIVE, "RELATIVE", true, false },
	{ R_X86_64_COPY, "COPY", false, false },
	{ R_X86_64_JUMP_SLOT, "JUMP_SLOT", false, false },
	{ R_X86_64_DTPMOD64, "DTPMOD64", false, false },
	{ R_X86_64_DTPOFF64, "DTPOFF64", false, false },
	{ R_X86_64_TPOFF64, "TPOFF64", false, false },
	{ R_X86_64_PC32, "PC32", false, false },
	{ R_X86_64_32, "32", false, false },
	{ R_X86_64_32S, "32S", false, false },
	{ R_X86_64_IRELATIVE, "IRELATIVE", false, false },
};

enum { RELOCATION_TYPES = sizeof(relocation_types) / sizeof(relocation_types[0]) };

static int refuse_type(uint32_t type, size_t k, size_t i, struct err *err)
{
	static const char known[] = "only RELATIVE, 64 and GLOB_DAT are applied";

	if (k < RELOCATION_TYPES)
		return err_set(err, -ENOEXEC, "relocation %zu: type %s (%u): %s", i,
			relocation_types[k].name, type, known);
	return err_set(err, -ENOEXEC, "relocation %zu: type %u: %s", i, type, known);
}

/* 1 with the symbol's address, 0 when it is weak and not defined, -ENOEXEC. */
static int resolve(const struct elf_image *image, size_t i, uint64_t index, uint64_t base,
	uint64_t *address, struct err *err)
{
	const struct elf_dynamic *d = &image->dynamic;
	char text[ELF_TEXT_MAX];
	Elf64_Sym sym;

	if (index >= d->n_symbols)
		return err_set(err, -ENOEXEC,
			"relocation %zu: symbol %" PRIu64 " is outside the table of %zu", i, index,
			d->n_symbols);
	memcpy(&sym, d->symbols + index * sizeof(sym), sizeof(sym));
	if (sym.st_shndx == SHN_UNDEF && ELF64_ST_BIND(sym.st_info) == STB_WEAK)
		return 0;
	if (sym.st_shndx == SHN_UNDEF)
		return err_set(err, -ENOEXEC,
			"relocation %zu: symbol %" PRIu64 " '%s' is not defined", i, index,
			show_string(text, d, sym.st_name));
	if (ELF64_ST_TYPE(sym.st_info) == STT_GNU_IFUNC || ELF64_ST_TYPE(sym.st_info) == STT_TLS)
		return err_set(err, -ENOEXEC, "relocation %zu: symbol %" PRIu64 " '%s' is %s", i,
			index, show_string(text, d, sym.st_name),
			ELF64_ST_TYPE(sym.st_info) == STT_TLS ? "thread-local"
							      : "an indirect function");
	*address = sym.st_value + (sym.st_shndx == SHN_ABS ? 0 : base);
	return 1;
}

/* What relocation i does: 1 with 8 bytes *value for *vaddr, 0 for nothing, -ENOEXEC. */
static int relocation(const struct elf_image *image, size_t i, uint64_t base, uint64_t *vaddr,
	uint64_t *value, struct err *err)
{
	uint64_t address = base;
	Elf64_Rela rela;
	uint32_t type;
	size_t k = 0;
	int r = 1;

	memcpy(&rela, image->dynamic.relocations + i * sizeof(rela), sizeof(rela));
	type = (uint32_t)ELF64_R_TYPE(rela.r_info);
	while (k < RELOCATION_TYPES && relocation_types[k].type != type)
		k++;
	if (k == RELOCATION_TYPES || !relocation_types[k].known)
		return refuse_type(type, k, i, err);
	if (type == R_X86_64_NONE)
		return 0;
	if (!segment_of(image, rela.r_offset, sizeof(*value)))
		return err_set(err, -ENOEXEC,
			"relocation %zu: 8 bytes at address 0x%" PRIx64 " are outside the segments",
			i, (uint64_t)rela.r_offset);
	if (relocation_types[k].symbol)
		r = resolve(image, i, ELF64_R_SYM(rela.r_info), base, &address, err);
	*vaddr = rela.r_offset;
	*value = address + (uint64_t)rela.r_addend;
	return r;
}

/* ---- parse ---- */

static int parse_dynamic(const struct parse *p)
{
	struct tags tags = { 0 };
	uint64_t vaddr, value;
	int r;

	if (!p->has_dynamic)
		return 0;
	r = read_tags(p, &tags);
	if (r)
		return r;
	find_strings(p->image, &tags);
	r = check_tags(p, &tags);
	if (!r)
		r = find_symbols(p, &tags);
	if (!r)
		r = find_relocations(p, &tags);
	for (size_t i = 0; i < p->image->dynamic.n_relocations && r >= 0; i++)
		r = relocation(p->image, i, 0, &vaddr, &value, p->err);
	return r < 0 ? r : 0;
}

static int check_whole(const struct elf_image *image, struct err *err)
{
	const struct elf_segment *entry = segment_of(image, image->entry, 1);

	if (!image->n_segments)
		return err_set(err, -ENOEXEC, "no segment to load");
	if (!entry || !entry->exec)
		return err_set(err, -ENOEXEC,
			"the entry point 0x%" PRIx64 " is not in an executable segment",
			image->entry);
	if (image->has_tls && image->tls.filesz &&
		!segment_of(image, image->tls.vaddr, image->tls.filesz))
		return err_set(err, -ENOEXEC,
			"segment %u: 0x%" PRIx64 " bytes of TLS data at address 0x%" PRIx64
			" are outside the loaded segments",
			image->tls.index, image->tls.filesz, image->tls.vaddr);
	return 0;
}

static bool has_symbol_table(Elf *elf)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_SYMTAB && sh.sh_size)
			return true;
	return false;
}

static int parse_image(struct elf_image *image, Elf *elf, struct err *err)
{
	struct parse p = { .image = image, .elf = elf, .err = err };
	const struct elf_segment *last;
	GElf_Ehdr h;
	int r;

	if (!gelf_getehdr(elf, &h))
		return err_set(err, -ENOEXEC, "libelf refuses the header: %s", elf_errmsg(-1));
	image->is_pie = h.e_type == ET_DYN;
	image->osabi = h.e_ident[EI_OSABI];
	image->entry = h.e_entry;
	r = read_program_headers(&p, h.e_phnum);
	if (!r)
		r = check_whole(image, err);
	if (!r)
		r = parse_dynamic(&p);
	if (r)
		return r;
	last = &image->segments[image->n_segments - 1];
	image->start = image->segments[0].vaddr;
	image->end = last->vaddr + last->memsz;
	image->has_symbols = has_symbol_table(elf);
	return 0;
}

int elf_parse(const uint8_t *bytes, size_t size, struct elf_image *image, struct err *err)
{
	Elf *elf;
	int r;

	*image = (struct elf_image){ .bytes = bytes, .size = size };
	r = check_header(image, err);
	if (!r) {
		elf_version(EV_CURRENT);
		/* Opened for reading: libelf takes a writable pointer but does not write. */
		elf = elf_memory((char *)(uintptr_t)bytes, size);
		if (elf)
			r = parse_image(image, elf, err);
		else
			r = err_set(err, -ENOEXEC, "libelf refuses the image: %s", elf_errmsg(-1));
		elf_end(elf);
	}
	if (r)
		*image = (struct elf_image){ 0 };
	return r;
}

/* ---- place ---- */

static int check_room(
	const struct elf_image *image, const struct gmem *mem, uint64_t base, struct err *err)
{
	uint64_t size = image->end - image->start, gpa = base + image->start;

	if (gpa < mem->gpa)
		return err_set(err, -ENOEXEC,
			"needs 0x%" PRIx64 " bytes at 0x%" PRIx64 ", below RAM, which is 0x%" PRIx64
			"..0x%" PRIx64,
			size, gpa, mem->gpa, mem->gpa + mem->size);
	if (gpa - mem->gpa > mem->size || size > mem->size - (gpa - mem->gpa))
		return err_set(err, -ENOEXEC,
			"needs 0x%" PRIx64 " bytes at 0x%" PRIx64 ", RAM is 0x%" PRIx64
			"..0x%" PRIx64 "; raise --mem",
			size, gpa, mem->gpa, mem->gpa + mem->size);
	return 0;
}

static int relocate(
	const struct elf_image *image, const struct gmem *mem, uint64_t base, struct err *err)
{
	uint64_t vaddr, value;
	int r;

	for (size_t i = 0; i < image->dynamic.n_relocations; i++) {
		r = relocation(image, i, base, &vaddr, &value, err);
		if (r > 0)
			r = gmem_write(mem, base + vaddr, &value, sizeof(value));
		if (r < 0)
			return r;
	}
	return 0;
}

int elf_place(const struct elf_image *image, const struct gmem *mem, uint64_t base, struct err *err)
{
	uint64_t end;
	int r;

	if (!image->is_pie)
		base = 0;
	r = check_room(image, mem, base, err);
	for (size_t i = 0; i < image->n_segments && !r; i++) {
		const struct elf_segment *s = &image->segments[i];

		/* Zeroes reach to the next segment, so that no byte of the image is left to chance. */
		end = i + 1 < image->n_segments ? s[1].vaddr : image->end;
		r = gmem_write(mem, base + s->vaddr, image->bytes + s->offset, s->filesz);
		if (!r)
			r = gmem_fill(
				mem, base + s->vaddr + s->filesz, 0, end - s->vaddr - s->filesz);
	}
	return r ? r : relocate(image, mem, base, err);
}

const struct elf_note *elf_find_note(const struct elf_image *image, const char *name, uint32_t type)
{
	for (size_t i = 0; i < image->n_notes; i++)
		if (image->notes[i].type == type && !strcmp(image->notes[i].name, name))
			return &image->notes[i];
	return NULL;
}
