// SPDX-License-Identifier: ISC
/* The ELF loader: sound images are placed exactly, unsound ones refused with one line. */
#include "tmptree.h"
#include "unit.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "elf_load.h"
#include "elf_sample.h"
#include "err.h"
#include "gmem.h"
#include "heap.h"

enum { PAGE = 4096, RAM_SIZE = 2 << 20, RAM_GPA = SAMPLE_EXEC_BASE - (1 << 20), DIRT = 0xa5 };
#define PIE_BASE (RAM_GPA + 0x40000ul)

/*
 * Where images lie while they are parsed: against an unmapped page, so that a read past the end is a
 * fault, and not writable then, so that a write is one too.
 */
struct stage {
	uint8_t *pages;
	size_t room;
};

static bool stage_init(struct stage *s, size_t room)
{
	s->room = (room + PAGE - 1) / PAGE * PAGE;
	s->pages = mmap(
		NULL, s->room + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return s->pages != MAP_FAILED && !mprotect(s->pages + s->room, PAGE, PROT_NONE);
}

static const uint8_t *stage_put(const struct stage *s, const void *bytes, size_t size)
{
	uint8_t *at = s->pages + s->room - size;

	mprotect(s->pages, s->room, PROT_READ | PROT_WRITE);
	memcpy(at, bytes, size);
	mprotect(s->pages, s->room, PROT_READ);
	return at;
}

static void stage_finish(struct stage *s)
{
	munmap(s->pages, s->room + PAGE);
}

static bool one_printable_line(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if (!isprint((unsigned char)*text))
			return false;
	return true;
}

static int parse_and_place(
	const uint8_t *bytes, size_t size, const struct gmem *mem, struct err *err)
{
	struct elf_image image;
	int r;

	*err = (struct err){ 0 };
	r = elf_parse(bytes, size, &image, err);
	return r ? r : elf_place(&image, mem, PIE_BASE, err);
}

static void complain(const char *name, const char *want, int r, const char *text)
{
	printf("     %s: wanted \"%s\", got %d \"%s\"\n", name, want, r, text);
	CU_FAIL("a row of the table");
}

static void refuses_every_row_with_its_own_line(void)
{
	struct stage stage;
	struct gmem mem;
	struct sample s;
	struct err err;

	CU_ASSERT_FATAL(stage_init(&stage, sizeof(s)));
	CU_ASSERT_FATAL(!gmem_init(&mem, RAM_GPA, RAM_SIZE));
	for (size_t i = 0; i < SAMPLE_ROWS; i++) {
		const struct sample_row *row = &sample_rows[i];
		size_t size = sample_spoil(&s, row);
		const uint8_t *bytes = stage_put(&stage, &s, size);
		struct elf_image image;
		const char *want = row->want;
		int r = elf_parse(bytes, size, &image, &err);

		if (row->stage == SAMPLE_PARSE && r != -ENOEXEC)
			complain(row->name, want, r, r ? err.text : "parsed");
		if (row->stage != SAMPLE_PARSE && r)
			complain(row->name, "to be parsed", r, err.text);
		if (row->stage == SAMPLE_ABI)
			continue;
		if (row->stage == SAMPLE_PLACE)
			r = elf_place(&image, &mem, PIE_BASE, &err);
		if (r != -ENOEXEC || !strstr(err.text, want) || !one_printable_line(err.text))
			complain(row->name, want, r, err.text);
	}
	gmem_finish(&mem);
	stage_finish(&stage);
}

static void says_what_is_not_elf(void)
{
	struct elf_image image;
	struct stage stage;
	struct err err;

	CU_ASSERT_FATAL(stage_init(&stage, PAGE));
	for (size_t i = 0; i < SAMPLE_NOT_ELF; i++) {
		const uint8_t *b =
			stage_put(&stage, sample_not_elf[i].bytes, sample_not_elf[i].len);
		int r = elf_parse(b, sample_not_elf[i].len, &image, &err);

		if (r != -ENOEXEC || !strstr(err.text, sample_not_elf[i].want) ||
			!one_printable_line(err.text))
			complain(sample_not_elf[i].name, sample_not_elf[i].want, r, err.text);
	}
	CU_ASSERT_EQUAL(elf_parse(stage.pages + stage.room, 0, &image, &err), -ENOEXEC);
	CU_ASSERT_STRING_EQUAL(err.text, "is empty");
	stage_finish(&stage);
}

static void describes_a_pie(void)
{
	struct elf_image image;
	struct sample s;

	sample_init(&s, ET_DYN);
	CU_ASSERT_FATAL(!elf_parse((const uint8_t *)&s, sizeof(s), &image, NULL));
	CU_ASSERT(image.is_pie && image.has_tls && image.has_symbols);
	CU_ASSERT_EQUAL(image.osabi, 0xff);
	CU_ASSERT_EQUAL(image.entry, SAMPLE_TEXT_VADDR(text));
	CU_ASSERT_EQUAL(image.start, SAMPLE_START);
	CU_ASSERT_EQUAL(image.end, SAMPLE_END);
	CU_ASSERT_EQUAL(image.n_segments, 2);
	CU_ASSERT(image.segments[0].exec && !image.segments[0].write && image.segments[0].read);
	CU_ASSERT(image.segments[1].write && !image.segments[1].exec);
	CU_ASSERT_EQUAL(image.segments[1].memsz, SAMPLE_DATA_SIZE + SAMPLE_BSS);
	CU_ASSERT_EQUAL(image.segments[1].index, SAMPLE_DATA);
	CU_ASSERT_EQUAL(image.tls.vaddr, SAMPLE_DATA_VADDR(tdata));
	CU_ASSERT_EQUAL(image.tls.memsz, 24);
	CU_ASSERT_EQUAL(image.dynamic.n_relocations, 4);
	CU_ASSERT_EQUAL(image.dynamic.n_symbols, SYM_COUNT);
}

/* The table of symbols has no length of its own. */
static void symbols_end_where_strings_behind_them_begin(void)
{
	enum { ALL = (SAMPLE_AT(interp) - SAMPLE_AT(sym)) / sizeof(Elf64_Sym) };
	static const struct {
		uint64_t strings;
		size_t n;
	} rows[] = {
		{ SAMPLE_DATA_VADDR(str), SYM_COUNT },
		{ SAMPLE_DATA_VADDR(sym) + 1, 0 },
		{ SAMPLE_DATA_VADDR(sym), ALL },
		{ SAMPLE_DATA_VADDR(dyn), ALL },
		{ SAMPLE_TEXT_VADDR(text), ALL },
		{ 0, ALL },
	};
	struct elf_image image;
	struct sample s;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		sample_init(&s, ET_DYN);
		s.dyn[DYN_STRTAB].d_un.d_val = rows[i].strings;
		s.dyn[DYN_RELA].d_tag = DT_FLAGS;
		CU_ASSERT_FATAL(!elf_parse((const uint8_t *)&s, sizeof(s), &image, NULL));
		CU_ASSERT_EQUAL(image.dynamic.n_symbols, rows[i].n);
	}
}

static void a_segment_of_zeros_is_nowhere_in_the_file(void)
{
	struct elf_image image;
	struct sample s;

	sample_init(&s, ET_DYN);
	s.ph[SAMPLE_SPARE] = (Elf64_Phdr){ PT_LOAD, PF_R, UINT64_MAX, 0x9001, 0, 0, 64, 1 };
	CU_ASSERT_FATAL(!elf_parse((const uint8_t *)&s, sizeof(s), &image, NULL));
	CU_ASSERT_EQUAL(image.n_segments, 3);
	CU_ASSERT_EQUAL(image.segments[2].offset, 0);
	CU_ASSERT_EQUAL(image.segments[2].memsz, 64);
}

static void finds_notes_by_name_and_type(void)
{
	const struct elf_note *note;
	struct elf_image image;
	struct sample s;

	sample_init(&s, ET_DYN);
	CU_ASSERT_FATAL(!elf_parse((const uint8_t *)&s, sizeof(s), &image, NULL));
	CU_ASSERT_EQUAL(image.n_notes, 2);
	note = elf_find_note(&image, "HERMIT", 0x5a00);
	CU_ASSERT_PTR_NOT_NULL_FATAL(note);
	CU_ASSERT_EQUAL(note->desc_len, 1);
	CU_ASSERT_EQUAL(note->desc[0], 4);
	note = elf_find_note(&image, "UHYVEIF", 0x5b00);
	CU_ASSERT_PTR_NOT_NULL_FATAL(note);
	CU_ASSERT_EQUAL(note->desc_len, 4);
	CU_ASSERT_EQUAL(note->desc[3], 3);
	CU_ASSERT_PTR_NULL(elf_find_note(&image, "HERMIT", 0x5b00));
	CU_ASSERT_PTR_NULL(elf_find_note(&image, "GNU", 1));
}

static void collects_notes_of_every_segment(void)
{
	struct elf_image image;
	struct sample s;

	sample_init(&s, ET_DYN);
	s.ph[SAMPLE_NOTE].p_filesz = sizeof(struct sample_note);
	s.ph[SAMPLE_SPARE] = s.ph[SAMPLE_NOTE];
	s.ph[SAMPLE_SPARE].p_offset = SAMPLE_AT(interface);
	CU_ASSERT_FATAL(!elf_parse((const uint8_t *)&s, sizeof(s), &image, NULL));
	CU_ASSERT_PTR_NOT_NULL(elf_find_note(&image, "HERMIT", 0x5a00));
	CU_ASSERT_PTR_NOT_NULL(elf_find_note(&image, "UHYVEIF", 0x5b00));
}

static void cuts_long_note_names(void)
{
	struct elf_image image;
	struct sample s;

	sample_init(&s, ET_DYN);
	memset(s.entry.name, 'n', sizeof(s.entry) + sizeof(s.interface) - sizeof(Elf64_Nhdr));
	s.entry.h =
		(Elf64_Nhdr){ sizeof(s.entry) + sizeof(s.interface) - sizeof(Elf64_Nhdr), 0, 1 };
	CU_ASSERT_FATAL(!elf_parse((const uint8_t *)&s, sizeof(s), &image, NULL));
	CU_ASSERT_EQUAL(image.n_notes, 1);
	CU_ASSERT_EQUAL(strlen(image.notes[0].name), ELF_NOTE_NAME_MAX - 1);
}

/* Parses, dirties RAM, places. */
static void place(const struct sample *s, struct gmem *mem, uint64_t gpa, uint64_t base)
{
	struct err err = { 0 };
	struct elf_image image;

	CU_ASSERT_FATAL(!gmem_init(mem, gpa, RAM_SIZE));
	gmem_fill(mem, gpa, DIRT, RAM_SIZE);
	if (elf_parse((const uint8_t *)s, sizeof(*s), &image, &err) ||
		elf_place(&image, mem, base, &err)) {
		printf("     %s\n", err.text);
		CU_FAIL_FATAL("a sound image");
	}
}

static bool all_are(const struct gmem *mem, uint64_t from, uint64_t to, uint8_t byte)
{
	const uint8_t *p = gmem_span(mem, from, to - from);

	for (uint64_t i = 0; i < to - from; i++)
		if (p[i] != byte)
			return false;
	return true;
}

static uint64_t word_at(const struct gmem *mem, uint64_t gpa)
{
	uint64_t word = 0;

	CU_ASSERT_FATAL(!gmem_read(mem, gpa, &word, sizeof(word)));
	return word;
}

/* Everything an image placed at base must look like, and nothing around it. */
static void check_placed(const struct sample *s, const struct gmem *mem, uint64_t base)
{
	uint64_t slots = base + SAMPLE_DATA_VADDR(slots), bss = base + SAMPLE_DATA_VADDR(interp);

	CU_ASSERT(!memcmp(gmem_span(mem, base + SAMPLE_START, 32), s->text, 32));
	CU_ASSERT(all_are(mem, base + SAMPLE_START + 32, slots, 0));
	CU_ASSERT(!memcmp(
		gmem_span(mem, slots + sizeof(s->slots), SAMPLE_DATA_SIZE - sizeof(s->slots)),
		s->dyn, SAMPLE_DATA_SIZE - sizeof(s->slots)));
	CU_ASSERT(all_are(mem, bss, bss + SAMPLE_BSS, 0));
	CU_ASSERT(all_are(mem, mem->gpa, base + SAMPLE_START, DIRT));
	CU_ASSERT(all_are(mem, bss + SAMPLE_BSS, mem->gpa + mem->size, DIRT));
}

static void places_a_pie_and_relocates_it(void)
{
	static const uint64_t rams[] = { 0, RAM_GPA, 1ul << 32, 60ul << 30 };
	struct sample s;
	struct gmem mem;

	sample_init(&s, ET_DYN);
	for (size_t i = 0; i < sizeof(rams) / sizeof(rams[0]); i++) {
		uint64_t base = rams[i] + 0x40000, slots = base + SAMPLE_DATA_VADDR(slots);

		place(&s, &mem, rams[i], base);
		check_placed(&s, &mem, base);
		CU_ASSERT_EQUAL(word_at(&mem, slots), base + 0x1234);
		CU_ASSERT_EQUAL(word_at(&mem, slots + 8), base + SAMPLE_TEXT_VADDR(text) + 5);
		CU_ASSERT_EQUAL(word_at(&mem, slots + 16), base + SAMPLE_TEXT_VADDR(text));
		CU_ASSERT_EQUAL(
			word_at(&mem, slots + 24), 0x5eed); /* weak, undefined: left alone */
		gmem_finish(&mem);
	}
}

static void places_an_exec_where_it_says(void)
{
	uint64_t slots = SAMPLE_EXEC_BASE + SAMPLE_DATA_VADDR(slots);
	struct sample s;
	struct gmem mem;

	sample_init(&s, ET_EXEC);
	place(&s, &mem, RAM_GPA, 0x123000); /* the base does not count */
	check_placed(&s, &mem, SAMPLE_EXEC_BASE);
	CU_ASSERT_EQUAL(word_at(&mem, slots), 0x1234);
	CU_ASSERT_EQUAL(word_at(&mem, slots + 16), SAMPLE_EXEC_BASE + SAMPLE_TEXT_VADDR(text));
	gmem_finish(&mem);
}

/* Linked above where RAM is: the base is negative. */
static void places_a_pie_below_its_own_addresses(void)
{
	uint64_t base = PIE_BASE - SAMPLE_EXEC_BASE;
	struct sample s;
	struct gmem mem;

	sample_init(&s, ET_EXEC);
	s.h.e_type = ET_DYN;
	place(&s, &mem, RAM_GPA, base);
	check_placed(&s, &mem, PIE_BASE);
	CU_ASSERT_EQUAL(word_at(&mem, PIE_BASE + SAMPLE_DATA_VADDR(slots) + 16),
		PIE_BASE + SAMPLE_TEXT_VADDR(text));
	gmem_finish(&mem);
}

static void takes_absolute_symbols_as_they_are(void)
{
	struct sample s;
	struct gmem mem;

	sample_init(&s, ET_DYN);
	s.sym[SYM_HERE].st_shndx = SHN_ABS;
	s.sym[SYM_HERE].st_value = 0x77;
	place(&s, &mem, RAM_GPA, PIE_BASE);
	CU_ASSERT_EQUAL(word_at(&mem, PIE_BASE + SAMPLE_DATA_VADDR(slots) + 8), 0x77 + 5);
	gmem_finish(&mem);
}

static void accepts_what_is_harmless(void)
{
	static const struct {
		const char *name;
		struct sample_patch patches[4];
	} rows[] = {
		{ "no sections", { SET(h.e_shoff, 0), SET(h.e_shnum, 0), SET(h.e_shentsize, 0) } },
		{ "a BSS-only segment past the end of the file",
			{ SET(ph[SAMPLE_SPARE].p_type, PT_LOAD), SET(ph[SAMPLE_SPARE].p_memsz, 64),
				SET(ph[SAMPLE_SPARE].p_vaddr, 0x9001),
				SET(ph[SAMPLE_SPARE].p_offset, -1) } },
		{ "an empty segment anywhere", { SET(ph[SAMPLE_SPARE].p_type, PT_LOAD),
						       SET(ph[SAMPLE_SPARE].p_offset, 0x77777) } },
		{ "a relocation of type NONE",
			{ SET(rela[1].r_info, 0), SET(rela[1].r_offset, -1) } },
		{ "no dynamic section", { SET(ph[SAMPLE_DYNAMIC].p_type, PT_NULL) } },
		{ "a dynamic section without end", { SET(dyn[DYN_NULL].d_tag, DT_DEBUG) } },
		{ "a library needed after the end of the dynamic section",
			{ SET(dyn[DYN_SPARE].d_tag, DT_NULL),
				SET(dyn[DYN_SPARE2].d_tag, DT_NEEDED) } },
		{ "no strings", { SET(dyn[DYN_STRTAB].d_tag, DT_FLAGS) } },
		{ "an empty dynamic section", { SET(ph[SAMPLE_DYNAMIC].p_filesz, 0) } },
		{ "alignment 0",
			{ SET(ph[SAMPLE_TEXT].p_align, 0), SET(ph[SAMPLE_TLS].p_align, 0) } },
		{ "no TLS", { SET(ph[SAMPLE_TLS].p_type, PT_NULL) } },
		{ "TLS of zeros only",
			{ SET(ph[SAMPLE_TLS].p_filesz, 0), SET(ph[SAMPLE_TLS].p_vaddr, 0x9000) } },
		{ "an empty DT_JMPREL", { SET(dyn[DYN_SPARE].d_tag, DT_JMPREL),
						SET(dyn[DYN_SPARE].d_un.d_val, 0x1200) } },
		{ "an unknown program header", { SET(ph[SAMPLE_SPARE].p_type, 0x6fff1234),
						       SET(ph[SAMPLE_SPARE].p_filesz, -1) } },
	};
	struct gmem mem;
	struct sample s;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		sample_init(&s, ET_DYN);
		for (size_t k = 0; k < sizeof(rows[i].patches) / sizeof(rows[i].patches[0]); k++)
			memcpy((uint8_t *)&s + rows[i].patches[k].at, &rows[i].patches[k].value,
				rows[i].patches[k].len);
		place(&s, &mem, RAM_GPA, PIE_BASE);
		gmem_finish(&mem);
	}
}

static void allows_an_interpreter_that_never_exists(void)
{
	struct sample s;
	struct gmem mem;

	sample_init(&s, ET_DYN);
	strcpy(s.interp, "/nonexistent/solo5/");
	s.ph[SAMPLE_SPARE] = (Elf64_Phdr){ PT_INTERP, PF_R, SAMPLE_AT(interp), 0, 0, 20, 20, 1 };
	place(&s, &mem, RAM_GPA, PIE_BASE);
	gmem_finish(&mem);
}

static void reads_regular_files_only(void)
{
	struct tmptree tree;
	char file[80], fifo[80], big[80];
	const struct {
		const char *path, *want;
		int r;
	} rows[] = {
		{ tree.path, "directory", -EISDIR },
		{ fifo, "not a regular file", -EINVAL },
		{ "/dev/null", "not a regular file", -EINVAL },
		{ big, "too big", -EFBIG },
		{ "/nonexistent/x", "No such file", -ENOENT },
		{ "", "No such file", -ENOENT },
	};
	uint8_t *bytes = NULL;
	struct sample s;
	struct err err;
	size_t size;
	FILE *f;

	sample_init(&s, ET_DYN);
	CU_ASSERT_FATAL(
		!tmptree_make(&tree, (const char *const[]){ "f file", "p fifo", "f big", NULL }));
	snprintf(file, sizeof(file), "%s/file", tree.path);
	snprintf(fifo, sizeof(fifo), "%s/fifo", tree.path);
	snprintf(big, sizeof(big), "%s/big", tree.path);
	CU_ASSERT_EQUAL(elf_read_file(file, &bytes, &size, &err), -ENOEXEC);
	CU_ASSERT_STRING_EQUAL(err.text, "is empty");
	f = fopen(file, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fwrite(&s, sizeof(s), 1, f);
	fclose(f);
	CU_ASSERT(!truncate(big, (1l << 30) + 1));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int r = elf_read_file(rows[i].path, &bytes, &size, &err);

		if (r != rows[i].r || !strstr(err.text, rows[i].want))
			complain(rows[i].path, rows[i].want, r, err.text);
	}
	CU_ASSERT_PTR_NULL(bytes);
	CU_ASSERT(!elf_read_file(file, &bytes, &size, &err));
	CU_ASSERT(size == sizeof(s) && !memcmp(bytes, &s, sizeof(s)));
	free(bytes);
	tmptree_remove(&tree);
}

static void tells_stripped_images(void)
{
	struct elf_image image;
	struct sample s;

	sample_init(&s, ET_DYN);
	s.sh[1].sh_type = SHT_PROGBITS;
	CU_ASSERT_FATAL(!elf_parse((const uint8_t *)&s, sizeof(s), &image, NULL));
	CU_ASSERT(!image.has_symbols);
}

static void leaves_no_half_read_image(void)
{
	struct elf_image image;
	struct sample s;

	sample_init(&s, ET_DYN);
	s.rela[3].r_offset = 0;
	CU_ASSERT_EQUAL(elf_parse((const uint8_t *)&s, sizeof(s), &image, NULL), -ENOEXEC);
	CU_ASSERT(!image.bytes && !image.n_segments && !image.n_notes &&
		  !image.dynamic.n_relocations);
}

/* The sample followed by n copies of one program header, which is where its table is then. */
static size_t many_headers(uint8_t *out, const Elf64_Phdr *ph, size_t n, uint64_t stride)
{
	struct sample s;

	sample_init(&s, ET_DYN);
	s.h.e_phoff = sizeof(s);
	s.h.e_phnum = (uint16_t)n;
	s.h.e_shoff = 0;
	s.h.e_entry = ph->p_vaddr;
	memcpy(out, &s, sizeof(s));
	for (size_t i = 0; i < n; i++) {
		Elf64_Phdr one = *ph;

		one.p_vaddr += i * stride;
		memcpy(out + sizeof(s) + i * sizeof(one), &one, sizeof(one));
	}
	return sizeof(s) + n * sizeof(*ph);
}

static void counts_segments(void)
{
	const Elf64_Phdr text = { PT_LOAD, PF_R | PF_X, SAMPLE_AT(text), 0x1000, 0, 32, 32, 1 };
	static uint8_t bytes[sizeof(struct sample) + 64 * sizeof(Elf64_Phdr)];
	struct elf_image image;
	struct err err;

	CU_ASSERT(!elf_parse(
		bytes, many_headers(bytes, &text, ELF_SEGMENTS_MAX, 0x1000), &image, &err));
	CU_ASSERT_EQUAL(image.n_segments, ELF_SEGMENTS_MAX);
	CU_ASSERT_EQUAL(elf_parse(bytes, many_headers(bytes, &text, ELF_SEGMENTS_MAX + 1, 0x1000),
				&image, &err),
		-ENOEXEC);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "segment 32: more than 32 segments"));
}

/* 65534 headers, each for notes that fill the whole file: still no work to speak of. */
static void is_not_slowed_by_many_headers(void)
{
	enum { N = PN_XNUM - 1, SIZE = sizeof(struct sample) + N * sizeof(Elf64_Phdr) };
	const Elf64_Phdr note = { PT_NOTE, PF_R, 0, 0, 0, SIZE, SIZE, 4 };
	const Elf64_Phdr text = { PT_LOAD, PF_R | PF_X, SAMPLE_AT(text), 0x1000, 0, 32, 32, 1 };
	uint8_t *bytes = malloc(SIZE);
	struct elf_image image;
	struct timespec from, to;

	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	clock_gettime(CLOCK_MONOTONIC, &from);
	CU_ASSERT_EQUAL(elf_parse(bytes, many_headers(bytes, &note, N, 0), &image, NULL), -ENOEXEC);
	CU_ASSERT_EQUAL(
		elf_parse(bytes, many_headers(bytes, &text, N, 0x1000), &image, NULL), -ENOEXEC);
	clock_gettime(CLOCK_MONOTONIC, &to);
	CU_ASSERT(to.tv_sec - from.tv_sec < 2);
	free(bytes);
}

/* Each result of a sweep: placed, or refused in words. */
static bool sound_answer(const uint8_t *bytes, size_t size, const struct gmem *mem)
{
	struct err err;
	int r = parse_and_place(bytes, size, mem, &err);

	return !r || (r == -ENOEXEC && one_printable_line(err.text));
}

static void survives_every_truncation(void)
{
	struct stage stage;
	struct gmem mem;
	struct sample s;

	CU_ASSERT_FATAL(stage_init(&stage, sizeof(s)));
	CU_ASSERT_FATAL(!gmem_init(&mem, RAM_GPA, RAM_SIZE));
	for (int sections = 0; sections < 2; sections++) {
		sample_init(&s, ET_DYN);
		if (!sections)
			s.h.e_shoff =
				0; /* else the missing section headers hide what else is missing */
		for (size_t n = 0; n <= sizeof(s); n++) {
			const uint8_t *bytes = stage_put(&stage, &s, n);
			struct err err;

			if (!sound_answer(bytes, n, &mem) ||
				(n < SAMPLE_AT(interp) && !parse_and_place(bytes, n, &mem, &err)))
				complain("truncated", "a refusal", (int)n, "bytes");
		}
	}
	gmem_finish(&mem);
	stage_finish(&stage);
}

static void survives_every_flipped_bit(void)
{
	struct stage stage;
	struct gmem mem;
	struct sample s;

	CU_ASSERT_FATAL(stage_init(&stage, sizeof(s)));
	CU_ASSERT_FATAL(!gmem_init(&mem, RAM_GPA, RAM_SIZE));
	for (int type = ET_EXEC; type <= ET_DYN; type++) {
		sample_init(&s, (uint16_t)type);
		for (size_t bit = 0; bit < sizeof(s) * 8; bit++) {
			((uint8_t *)&s)[bit / 8] ^= (uint8_t)(1u << bit % 8);
			if (!sound_answer(stage_put(&stage, &s, sizeof(s)), sizeof(s), &mem))
				complain("flipped", "0 or one line", (int)bit, "bit");
			((uint8_t *)&s)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
	gmem_finish(&mem);
	stage_finish(&stage);
}

static void survives_extreme_words(void)
{
	static const uint64_t extremes[] = { 0, 1, 0x7fffffff, 0x80000000, 0xffffffff,
		0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffffff8, 0xffffffffffffffff };
	struct stage stage;
	struct gmem mem;
	struct sample s, spoiled;

	CU_ASSERT_FATAL(stage_init(&stage, sizeof(s)));
	CU_ASSERT_FATAL(!gmem_init(&mem, RAM_GPA, RAM_SIZE));
	sample_init(&s, ET_DYN);
	for (size_t at = 0; at + 8 <= sizeof(s); at += 2) {
		for (size_t i = 0; i < 2 * sizeof(extremes) / sizeof(extremes[0]); i++) {
			spoiled = s;
			memcpy((uint8_t *)&spoiled + at, &extremes[i / 2], i % 2 ? 8 : 4);
			if (!sound_answer(stage_put(&stage, &spoiled, sizeof(s)), sizeof(s), &mem))
				complain("extreme", "0 or one line", (int)at, "byte");
		}
	}
	gmem_finish(&mem);
	stage_finish(&stage);
}

static void writes_nothing_when_it_does_not_fit(void)
{
	static const struct {
		uint64_t base;
		const char *want;
	} rows[] = {
		{ RAM_GPA - 0x3000, "below RAM, which is 0x700000..0x900000" },
		{ RAM_GPA + RAM_SIZE - SAMPLE_END + 1, "needs 0x" },
		{ RAM_GPA + RAM_SIZE, "raise --mem" },
		{ 0xfffffffffffff000, "below RAM" },
	};
	struct elf_image image;
	struct sample s;
	struct gmem mem;
	struct err err;

	sample_init(&s, ET_DYN);
	CU_ASSERT_FATAL(!gmem_init(&mem, RAM_GPA, RAM_SIZE));
	CU_ASSERT_FATAL(!elf_parse((const uint8_t *)&s, sizeof(s), &image, &err));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int r = elf_place(&image, &mem, rows[i].base, &err);

		if (r != -ENOEXEC || !strstr(err.text, rows[i].want))
			complain("base", rows[i].want, r, err.text);
		CU_ASSERT(all_are(&mem, RAM_GPA, RAM_GPA + RAM_SIZE, 0));
	}
	CU_ASSERT(!elf_place(&image, &mem, RAM_GPA + RAM_SIZE - SAMPLE_END, &err));
	CU_ASSERT(!elf_place(&image, &mem, RAM_GPA - SAMPLE_START, &err));
	gmem_finish(&mem);
}

static void nothing_is_left_behind(void)
{
	struct elf_image image;
	struct sample s;
	size_t before = 0;

	sample_init(&s, ET_DYN);
	for (int i = 0; i < 20; i++) {
		CU_ASSERT(!elf_parse((const uint8_t *)&s, sizeof(s), &image, NULL));
		if (i == 9)
			before = heap();
	}
	CU_ASSERT_EQUAL(heap(), before);
}

static const struct unit_case cases[] = {
	{ "nothing_is_left_behind", nothing_is_left_behind },
	{ "describes_a_pie", describes_a_pie },
	{ "symbols_end_where_strings_behind_them_begin",
		symbols_end_where_strings_behind_them_begin },
	{ "a_segment_of_zeros_is_nowhere_in_the_file", a_segment_of_zeros_is_nowhere_in_the_file },
	{ "finds_notes_by_name_and_type", finds_notes_by_name_and_type },
	{ "collects_notes_of_every_segment", collects_notes_of_every_segment },
	{ "cuts_long_note_names", cuts_long_note_names },
	{ "places_a_pie_and_relocates_it", places_a_pie_and_relocates_it },
	{ "places_an_exec_where_it_says", places_an_exec_where_it_says },
	{ "places_a_pie_below_its_own_addresses", places_a_pie_below_its_own_addresses },
	{ "takes_absolute_symbols_as_they_are", takes_absolute_symbols_as_they_are },
	{ "accepts_what_is_harmless", accepts_what_is_harmless },
	{ "allows_an_interpreter_that_never_exists", allows_an_interpreter_that_never_exists },
	{ "refuses_every_row_with_its_own_line", refuses_every_row_with_its_own_line },
	{ "says_what_is_not_elf", says_what_is_not_elf },
	{ "writes_nothing_when_it_does_not_fit", writes_nothing_when_it_does_not_fit },
	{ "reads_regular_files_only", reads_regular_files_only },
	{ "tells_stripped_images", tells_stripped_images },
	{ "leaves_no_half_read_image", leaves_no_half_read_image },
	{ "counts_segments", counts_segments },
	{ "is_not_slowed_by_many_headers", is_not_slowed_by_many_headers },
	{ "survives_every_truncation", survives_every_truncation },
	{ "survives_every_flipped_bit", survives_every_flipped_bit },
	{ "survives_extreme_words", survives_extreme_words },
};

UNIT_MAIN("elf", cases)
