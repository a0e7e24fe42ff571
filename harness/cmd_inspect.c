// SPDX-License-Identifier: ISC
/* belljar inspect: what an image is, without running it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "abi.h"
#include "cleanup.h"
#include "cmd.h"
#include "elf_load.h"
#include "err.h"
#include "escape.h"
#include "log.h"

enum { NOTE_BYTES_SHOWN = 16 };

static void print_segments(const struct elf_image *image)
{
	printf("segments:\n");
	for (size_t i = 0; i < image->n_segments; i++) {
		const struct elf_segment *s = &image->segments[i];

		printf("  0x%012llx  %8llu bytes, %8llu in the file  %c%c%c\n",
			(unsigned long long)s->vaddr, (unsigned long long)s->memsz,
			(unsigned long long)s->filesz, s->read ? 'r' : '-', s->write ? 'w' : '-',
			s->exec ? 'x' : '-');
	}
	if (image->has_tls)
		printf("tls:          0x%llx, %llu bytes, %llu in the file, align %llu\n",
			(unsigned long long)image->tls.vaddr, (unsigned long long)image->tls.memsz,
			(unsigned long long)image->tls.filesz,
			(unsigned long long)image->tls.align);
}

static void print_notes(const struct elf_image *image)
{
	printf("notes:\n");
	for (size_t i = 0; i < image->n_notes; i++) {
		const struct elf_note *note = &image->notes[i];
		char name[4 * ELF_NOTE_NAME_MAX + 1] = "";
		size_t used = 0;

		escape_bytes(name, sizeof(name), &used, note->name,
			strnlen(note->name, sizeof(note->name)));
		printf("  %-8s type 0x%x, %u byte%s:", name, note->type, note->desc_len,
			note->desc_len == 1 ? "" : "s");
		for (uint32_t k = 0; k < note->desc_len && k < NOTE_BYTES_SHOWN; k++)
			printf(" %02x", note->desc[k]);
		printf("%s\n", note->desc_len > NOTE_BYTES_SHOWN ? " ..." : "");
	}
}

static int print_image(const struct elf_image *image, uint64_t mem_size, struct err *err)
{
	const struct guest_abi *abi;
	struct abi_layout layout;
	char what[200];
	int version, r;

	r = abi_find(image, mem_size, &abi, &version, &layout, err);
	if (r)
		return r;
	abi->describe(image, what, sizeof(what));
	printf("abi:          %s\n", what);
	printf("type:         %s\n",
		image->is_pie ? "static PIE (ET_DYN)" : "fixed address (ET_EXEC)");
	printf("entry:        0x%llx\n", (unsigned long long)(layout.kernel_base + image->entry));
	printf("loaded at:    0x%llx-0x%llx\n",
		(unsigned long long)(layout.kernel_base + image->start),
		(unsigned long long)(layout.kernel_base + image->end));
	printf("ram from:     0x%llx\n", (unsigned long long)layout.ram_gpa);
	printf("needs ram:    %llu KiB at least\n",
		(unsigned long long)(layout.ram_min + 1023) / 1024);
	printf("relocations:  %zu\n", image->dynamic.n_relocations);
	printf("symbols:      %s\n", image->has_symbols ? "yes" : "no");
	print_segments(image);
	print_notes(image);
	return 0;
}

static int inspect(const char *path, struct err *err)
{
	const uint64_t any_mem = 3ull << 30; /* what every version allows */
	autofree uint8_t *bytes = NULL;
	struct elf_image image;
	size_t size;
	int r;

	r = elf_read_file(path, &bytes, &size, err);
	if (!r)
		r = elf_parse(bytes, size, &image, err);
	return r ? r : print_image(&image, any_mem, err);
}

static int cmd_inspect_main(const struct cmd *cmd, int argc, char **argv)
{
	struct err err = { "" };
	int first, r;

	r = options_parse(cmd->options, NULL, argc, argv, &first, &err);
	if (!r && argc - first != 1)
		r = err_set(
			&err, -EINVAL, first == argc ? "no guest given" : "one guest at a time");
	if (r)
		return r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	if (inspect(argv[first], &err)) {
		log_error("%s: %s", argv[first], err.text);
		return EXIT_OURS;
	}
	return EXIT_OK;
}

static const struct option_row options[] = { { 0 } };

const struct cmd cmd_inspect = {
	.name = "inspect",
	.synopsis = "GUEST",
	.summary = "Say what an image is: ABI, entry, segments, notes, needed memory",
	.options = options,
	.run = cmd_inspect_main,
};
