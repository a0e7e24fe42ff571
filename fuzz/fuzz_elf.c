// SPDX-License-Identifier: ISC
/*
 * Any bytes as a guest image: parsed, placed, asked for notes, names and a backtrace. Beyond not
 * crashing: a refusal says why in one printable line, the image's bytes stay as they are, and placing
 * touches nothing of guest memory but the image's own range.
 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "elf_load.h"
#include "err.h"
#include "fuzz/fuzz.h"
#include "gmem.h"
#include "symbols.h"

enum { RAM_SIZE = 128 << 10, DIRT = 0xa5, FRAMES_MAX = 16 };

static bool printable_line(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

static void check_image(const struct elf_image *image)
{
	assert(image->n_segments && image->n_segments <= ELF_SEGMENTS_MAX);
	assert(image->n_notes <= ELF_NOTES_MAX);
	assert(image->start < image->end);
	for (size_t i = 0; i < image->n_segments; i++) {
		const struct elf_segment *s = &image->segments[i];

		assert(s->filesz <= s->memsz && !(s->write && s->exec));
		assert(s->filesz <= image->size && s->offset <= image->size - s->filesz);
		assert(!i || s[-1].vaddr + s[-1].memsz <= s->vaddr);
	}
	for (size_t i = 0; i < image->n_notes; i++) {
		const struct elf_note *n = &image->notes[i];

		assert(n->desc >= image->bytes &&
			n->desc + n->desc_len <= image->bytes + image->size);
		assert(elf_find_note(image, n->name, n->type));
	}
}

static void check_dirt(const struct gmem *m, uint64_t from, uint64_t to)
{
	const uint8_t *p = gmem_span(m, from, to - from);

	assert(p);
	if (from < to)
		assert(p[0] == DIRT &&
			!memcmp(p, p + 1, to - from - 1)); /* each as the one before */
}

/*
 * RAM, dirty all over, that begins in the page the image begins in, so that most images fit. It is the same
 * for all inputs: who writes to it makes it dirty again.
 */
static bool borrow_ram(struct gmem *m, uint64_t gpa)
{
	static struct gmem ram;

	if (!ram.base) {
		assert(!gmem_init(&ram, 0, RAM_SIZE));
		gmem_fill(&ram, 0, DIRT, RAM_SIZE);
	}
	*m = ram;
	m->gpa = gpa;
	return gpa <= UINT64_MAX - RAM_SIZE;
}

static void place(const struct elf_image *image)
{
	uint64_t gpa = image->is_pie ? 0x200000 : image->start & ~0xfffull, base = 0;
	struct err err = { 0 };
	struct gmem m;
	int r;

	if (!borrow_ram(&m, gpa))
		return;
	if (image->is_pie)
		base = gpa - (image->start & ~0xfffull);
	r = elf_place(image, &m, base, &err);
	assert(!r || (r == -ENOEXEC && err.text[0] && printable_line(err.text)));
	if (r) {
		check_dirt(&m, gpa, gpa + RAM_SIZE);
	} else {
		check_dirt(&m, gpa, base + image->start);
		check_dirt(&m, base + image->end, gpa + RAM_SIZE);
		gmem_fill(&m, base + image->start, DIRT, image->end - image->start);
	}
}

/* The stack of a guest is the image itself, over and over. */
static int read_image(void *ctx, uint64_t gva, void *buf, size_t len)
{
	const struct elf_image *image = ctx;

	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = image->bytes[(gva + i) % image->size];
	return 0;
}

static void symbolise(struct elf_image *image)
{
	struct cpu_regs regs = { .rip = image->entry };
	uint64_t pcs[FRAMES_MAX];
	struct symbols *s;
	struct err err = { 0 };
	char text[100];
	size_t n;

	if (symbols_open(&s, image->bytes, image->size, 0, &err)) {
		assert(err.text[0] && printable_line(err.text));
		return;
	}
	for (size_t i = 0; i < CPU_GPR_COUNT; i++)
		regs.gpr[i] = 0x1000 + i * 64;
	n = symbols_backtrace(s, &regs, read_image, image, pcs, FRAMES_MAX);
	assert(n >= 1 && n <= FRAMES_MAX && pcs[0] == regs.rip);
	for (size_t i = 0; i < n; i++) {
		symbols_describe(s, pcs[i], text, sizeof(text));
		assert(strlen(text) < sizeof(text) && printable_line(text));
	}
	symbols_describe(s, image->start, text, sizeof(text));
	symbols_describe(s, image->end - 1, text, sizeof(text));
	symbols_close(s);
}

/*
 * libdw asks for as much as a header says, and fills it. It may have so much only, as in the child that
 * reports crashes: by the sanitizer's allocator, or by a limit of the process where there is none.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "max_allocation_size_mb=256:allocator_may_return_null=1";
}

#pragma weak __asan_init
void __asan_init(void);

static void limit_memory_once(void)
{
	static bool done;

	if (!done && !__asan_init)
		symbols_limit_memory();
	done = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* so that one byte too far is seen */
	struct elf_image image;
	struct err err = { 0 };
	int r;

	limit_memory_once();
	assert(copy);
	if (size)
		memcpy(copy, data, size);
	r = elf_parse(copy, size, &image, &err);
	assert(!r || (r == -ENOEXEC && err.text[0] && printable_line(err.text)));
	if (!r) {
		check_image(&image);
		place(&image);
		symbolise(&image);
	}
	assert(!size || !memcmp(copy, data, size));
	free(copy);
	return 0;
}
