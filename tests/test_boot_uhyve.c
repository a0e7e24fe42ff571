// SPDX-License-Identifier: ISC
/*
 * What a Hermit kernel finds when it starts: registers, page tables, boot information, device tree,
 * and the images that are refused. On tcg, which is always there; nothing runs.
 */
#include "boot_uhyve.h"

#include <errno.h>
#include <libfdt.h>
#include <stdlib.h>

#include "abi_uhyve.h"
#include "err.h"
#include "fileio.h"
#include "paging.h"
#include "unit.h"
#include "vm.h"

enum { MIB = 1 << 20, MEM = 64 * MIB, FDT_SIZE = 0x4000, PAGE = 4096 };
#define GIB (1ull << 30)

static struct fixture {
	struct fileio *files;
	uint8_t *image;
	size_t size;
	struct vm *vm;
	struct cpu_state state;
	struct uhyve_boot_info info;
	uint8_t fdt[FDT_SIZE];
	struct err err;
} f;

static int start(const char *guest, const struct vm_args *args, uint64_t mem)
{
	const char *dir = getenv("GUESTS");
	char path[4096];
	int r;

	f = (struct fixture){ 0 };
	snprintf(path, sizeof(path), "%s/%s", dir ? dir : "build/rel/kernels", guest);
	CU_ASSERT_EQUAL_FATAL(elf_read_file(path, &f.image, &f.size, &f.err), 0);
	CU_ASSERT_EQUAL_FATAL(
		fileio_init(&f.files,
			&(struct fileio_config){ .console_in = -1, .console_out = -1 }, &f.err),
		0);
	r = vm_create(&f.vm,
		&(struct vm_config){
			.backend = "tcg",
			.mem_size = mem,
			.image = f.image,
			.image_size = f.size,
			.args = *args,
			.files = f.files,
			.boot_time_ns = 1234567890123456789,
		},
		&f.err);
	if (r)
		return r;
	CU_ASSERT_EQUAL(backend_save(f.vm->cpu, &f.state), 0);
	CU_ASSERT_EQUAL(
		gmem_read(&f.vm->mem, f.state.regs.gpr[CPU_RDI], &f.info, sizeof(f.info)), 0);
	CU_ASSERT_EQUAL(gmem_read(&f.vm->mem, f.info.fdt, f.fdt, sizeof(f.fdt)), 0);
	return 0;
}

static void finish(void)
{
	vm_destroy(f.vm);
	fileio_destroy(f.files);
	free(f.image);
}

static const char *property(const char *node, const char *name, int *len)
{
	return fdt_getprop(f.fdt, fdt_path_offset(f.fdt, node), name, len);
}

static void starts_in_the_state_the_abi_names(void)
{
	const struct cpu_state *s = &f.state;

	CU_ASSERT_EQUAL_FATAL(start("hello.elf", &(struct vm_args){ .image_path = "x" }, MEM), 0);
	CU_ASSERT_EQUAL(f.vm->mem.gpa, 4 * GIB);
	CU_ASSERT_EQUAL(s->regs.rip, f.vm->layout.kernel_base + f.vm->image.entry);
	CU_ASSERT_EQUAL(s->regs.gpr[CPU_RDI], 4 * GIB + 0x5000);
	CU_ASSERT_EQUAL(s->regs.gpr[CPU_RSI], 0);
	CU_ASSERT_EQUAL(s->regs.gpr[CPU_RSP], 4 * GIB + 0x40000 - 0x8000);
	CU_ASSERT_EQUAL(s->regs.rflags, 2);
	CU_ASSERT_EQUAL(s->cr0, 0x80000031);
	CU_ASSERT_EQUAL(s->cr3, 4 * GIB + 0x10000);
	CU_ASSERT_EQUAL(s->cr4, 0x20);
	CU_ASSERT_EQUAL(s->efer, 0xd00);
	CU_ASSERT_EQUAL(s->seg[CPU_CS].selector, 8);
	CU_ASSERT_EQUAL(s->seg[CPU_SS].selector, 0x10);
	CU_ASSERT_EQUAL(s->seg[CPU_GS].base, 0);
	CU_ASSERT_EQUAL(s->gdt.base, 4 * GIB);
	CU_ASSERT_EQUAL(s->gdt.limit, 23);
	finish();
}

static void boot_information_describes_the_machine(void)
{
	CU_ASSERT_EQUAL_FATAL(start("hello.elf", &(struct vm_args){ .image_path = "x" }, MEM), 0);
	CU_ASSERT_EQUAL(f.info.ram_start, 4 * GIB);
	CU_ASSERT_EQUAL(f.info.ram_end, 4 * GIB + MEM);
	CU_ASSERT_EQUAL(f.info.serial_port, 0x1030);
	CU_ASSERT_EQUAL(f.info.kernel_start, 4 * GIB + 0x40000);
	CU_ASSERT_EQUAL(f.info.kernel_end, f.vm->layout.kernel_base + f.vm->image.end);
	CU_ASSERT_EQUAL(f.info.platform, 1);
	CU_ASSERT_EQUAL(f.info.n_cpus, 1);
	CU_ASSERT(f.info.cpu_khz > 0);
	CU_ASSERT_EQUAL(f.info.boot_time_ns[0], 1234567890123456789);
	CU_ASSERT_EQUAL(f.info.boot_time_ns[1], 0);
	finish();
	CU_ASSERT_EQUAL_FATAL(
		start("hello-v1.elf", &(struct vm_args){ .image_path = "x" }, MEM), 0);
	CU_ASSERT_EQUAL(f.info.ram_start, 0);
	CU_ASSERT_EQUAL(f.info.serial_port, 0x800);
	finish();
}

static bool mapped(uint64_t gva)
{
	struct paging p = { f.state.cr0, f.state.cr3, f.state.cr4, f.state.efer };
	struct paging_page page;

	if (paging_walk(&f.vm->mem, &p, gva, PAGING_WRITE | PAGING_FETCH, &page, NULL))
		return false;
	CU_ASSERT_EQUAL(page.gva, page.gpa);
	CU_ASSERT_EQUAL(page.size, 2 * MIB);
	return true;
}

static void later_kernels_get_ram_up_to_their_end(void)
{
	uint64_t end;

	CU_ASSERT_EQUAL_FATAL(start("hello.elf", &(struct vm_args){ .image_path = "x" }, MEM), 0);
	end = f.info.kernel_end;
	CU_ASSERT(mapped(4 * GIB));
	CU_ASSERT(mapped(end));
	CU_ASSERT_FALSE(mapped(4 * GIB - 1));
	CU_ASSERT_FALSE(mapped((end | (2 * MIB - 1)) + 1));
	CU_ASSERT_FALSE(mapped(0));
	finish();
}

static void old_kernels_get_their_whole_first_gib(void)
{
	CU_ASSERT_EQUAL_FATAL(
		start("hello-v1.elf", &(struct vm_args){ .image_path = "x" }, MEM), 0);
	for (uint64_t gva = 0; gva < GIB; gva += 2 * MIB)
		CU_ASSERT(mapped(gva));
	CU_ASSERT_FALSE(mapped(GIB));
	finish();
}

static void the_last_pml4_entry_points_back(void)
{
	const uint64_t recursive = 0xfffffffffffff000;
	uint64_t gpa = 0;
	struct paging p;

	CU_ASSERT_EQUAL_FATAL(start("hello.elf", &(struct vm_args){ .image_path = "x" }, MEM), 0);
	CU_ASSERT_EQUAL(backend_paging(f.vm->cpu, &p), 0);
	CU_ASSERT_EQUAL(paging_translate(&f.vm->mem, &p, recursive, &gpa), 0);
	CU_ASSERT_EQUAL(gpa, f.state.cr3);
	finish();
}

static void the_device_tree_names_memory_clock_and_mounts(void)
{
	static char data[] = "/data", deep[] = "/a b/c";
	static char *dirs[] = { data, deep };
	const uint64_t *reg;
	const char *mounts;
	int len = 0;

	CU_ASSERT_EQUAL_FATAL(
		start("hello.elf",
			&(struct vm_args){
				.image_path = "x", .mount_dirs = dirs, .n_mount_dirs = 2 },
			MEM),
		0);
	CU_ASSERT_EQUAL_FATAL(fdt_check_full(f.fdt, sizeof(f.fdt)), 0);
	CU_ASSERT_STRING_EQUAL(property("/", "compatible", NULL), "hermit,uhyve");
	CU_ASSERT_STRING_EQUAL(property("/memory@100000000", "device_type", NULL), "memory");
	reg = (const uint64_t *)(const void *)property("/memory@100000000", "reg", &len);
	CU_ASSERT_EQUAL_FATAL(len, 16);
	CU_ASSERT_EQUAL(fdt64_ld(&reg[0]), 4 * GIB);
	CU_ASSERT_EQUAL(fdt64_ld(&reg[1]), MEM);
	CU_ASSERT_STRING_EQUAL(property("/cpus/cpu@0", "device_type", NULL), "cpu");
	CU_ASSERT_EQUAL(
		fdt32_ld((const void *)property("/hermit,tsc", "khz", NULL)), f.info.cpu_khz);
	mounts = property("/uhyve,mounts", "mounts", &len);
	CU_ASSERT_EQUAL_FATAL(len, sizeof("/data\0/a b/c"));
	CU_ASSERT_EQUAL(memcmp(mounts, "/data\0/a b/c", (size_t)len), 0);
	finish();
	CU_ASSERT_EQUAL_FATAL(start("hello.elf", &(struct vm_args){ .image_path = "x" }, MEM), 0);
	CU_ASSERT(fdt_path_offset(f.fdt, "/uhyve,mounts") < 0); /* an empty one would panic it */
	finish();
}

static void bootargs_are_words_as_a_shell_reads_them(void)
{
	static char freq[] = "-freq", mhz[] = "2000", env[] = "K=a b", plain[] = "P=1";
	static char one[] = "one", two[] = "it's", none[] = "", dashes[] = "--";
	static char *kernel[] = { freq, mhz }, *envs[] = { env, plain };
	static char *app[] = { one, two, none, dashes };

	CU_ASSERT_EQUAL_FATAL(start("hello.elf",
				      &(struct vm_args){ .image_path = "x",
					      .kernel = kernel,
					      .n_kernel = 2,
					      .env = envs,
					      .n_env = 2,
					      .app = app,
					      .n_app = 4 },
				      MEM),
		0);
	CU_ASSERT_STRING_EQUAL(property("/chosen", "bootargs", NULL),
		"-freq 2000 'env=K=a b' env=P=1 -- one 'it'\\''s' '' --");
	finish();
}

static void refuses_what_cannot_be_booted(void)
{
	static char word[2048];
	static char *many[200], *huge[16];
	static const struct {
		const char *guest, *says;
		uint64_t mem;
		char **app;
		size_t n_app;
	} rows[] = {
		{ "hello-v1.elf", "at most 3G", 4 * GIB, NULL, 0 },
		{ "hello-v1.elf", "at most 127 arguments", MEM, many, 200 },
		{ "hello.elf", "do not fit", MEM, huge, 16 },
		{ "hello-v1.elf", "more with --mem", 2 * MIB, NULL, 0 },
	};

	memset(word, 'w', sizeof(word) - 1);
	for (size_t i = 0; i < 200; i++)
		many[i] = word + sizeof(word) - 2;
	for (size_t i = 0; i < 16; i++)
		huge[i] = word;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vm_args args = {
			.image_path = "x", .app = rows[i].app, .n_app = rows[i].n_app
		};

		CU_ASSERT(start(rows[i].guest, &args, rows[i].mem) < 0);
		CU_ASSERT_PTR_NOT_NULL(strstr(f.err.text, rows[i].says));
		finish();
	}
}

/* ---- images that are only said to be there ---- */

/* GNU's note of the least kernel version: the system (6), then three numbers. */
static const uint8_t kernel_0_9[16] = { 6, [8] = 9 }, kernel_0_10[16] = { 6, [8] = 10 },
		     kernel_1_0[16] = { 6, [4] = 1 }, kernel_of_linux[16] = { 0, [4] = 1 };
static const uint8_t entry_4[] = { 4 }, entry_2[] = { 2 }, interface_0[] = { 0, 0, 0, 0 },
		     interface_2[] = { 0, 0, 0, 2 }, interface_4[] = { 0, 0, 0, 4 };

static void add_note(
	struct elf_image *image, const char *name, uint32_t type, const uint8_t *desc, uint32_t len)
{
	struct elf_note *note = &image->notes[image->n_notes++];

	*note = (struct elf_note){ .type = type, .desc = desc, .desc_len = len };
	snprintf(note->name, sizeof(note->name), "%s", name);
}

static void entry_and_interface_decide_which_abi_it_is(void)
{
	static const struct {
		const uint8_t *entry, *interface;
		uint32_t entry_len, interface_len;
		int r, version;
		const char *says;
	} rows[] = {
		{ NULL, interface_2, 0, 4, 0, 0, "" },
		{ entry_4, NULL, 1, 0, 1, 1, "" },
		{ entry_4, interface_2, 1, 4, 1, 2, "" },
		{ entry_2, interface_2, 1, 4, -ENOEXEC, 0, "entry version 2; only 4" },
		{ entry_4, interface_2, 0, 4, -ENOEXEC, 0, "entry version 0; only 4" },
		{ entry_4, interface_2, 1, 3, -ENOEXEC, 0, "hypercall interface 0;" },
		{ entry_4, interface_0, 1, 4, -ENOEXEC, 0, "hypercall interface 0;" },
		{ entry_4, interface_4, 1, 4, -ENOEXEC, 0, "hypercall interface 4;" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct elf_image image = { .start = 4 * GIB + MIB, .end = 4 * GIB + 2 * MIB };
		struct abi_layout layout;
		struct err err = { "" };
		int version = 0;

		if (!rows[i].interface || rows[i].version == 1)
			image.start -= 4 * GIB, image.end -= 4 * GIB;
		if (rows[i].entry)
			add_note(&image, "HERMIT", UHYVE_NOTE_ENTRY, rows[i].entry,
				rows[i].entry_len);
		if (rows[i].interface)
			add_note(&image, "UHYVEIF", UHYVE_NOTE_INTERFACE, rows[i].interface,
				rows[i].interface_len);
		CU_ASSERT_EQUAL(boot_uhyve_claim(&image, MEM, &version, &layout, &err), rows[i].r);
		CU_ASSERT_EQUAL(version, rows[i].version);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].says));
	}
}

static void an_image_lies_where_its_segments_allow(void)
{
	static const struct {
		bool is_pie;
		uint64_t start, end, align;
		int r;
		uint64_t ram, base;
		const char *says;
	} rows[] = {
		{ true, 0, MIB, 16, 1, 4 * GIB, 4 * GIB + 0x40000, "" },
		{ true, 0x1234, MIB, PAGE, 1, 4 * GIB, 4 * GIB + 0x40000 - 0x1000, "" },
		{ true, 0, MIB, 2 * MIB, 1, 4 * GIB, 4 * GIB + 2 * MIB, "" },
		{ true, 0, MIB, 4 * MIB, 1, 4 * GIB, 4 * GIB + 0x40000, "" }, /* no such page */
		{ false, 4 * GIB + MIB, 4 * GIB + 2 * MIB, PAGE, 1, 4 * GIB, 0, "" },
		{ false, MIB, 2 * MIB, PAGE, 1, 0, 0, "" },
		{ false, 0x3ffff, MIB, PAGE, -ENOEXEC, 0, 0, "begins at 0x3ffff, among" },
		{ false, MIB, MEM + 1, PAGE, -ENOEXEC, 0, 0,
			"ends at 0x4000001, RAM at 0x4000000" },
		{ false, UINT64_MAX - 5, 3, PAGE, -ENOEXEC, 0, 0, "ends at 0x3, " },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct elf_image image = { .is_pie = rows[i].is_pie,
			.start = rows[i].start,
			.end = rows[i].end,
			.n_segments = 1,
			.segments[0].align = rows[i].align };
		struct abi_layout layout;
		struct err err = { "" };
		int version;

		add_note(&image, "HERMIT", UHYVE_NOTE_ENTRY, entry_4, 1);
		add_note(&image, "UHYVEIF", UHYVE_NOTE_INTERFACE, interface_2, 4);
		CU_ASSERT_EQUAL(boot_uhyve_claim(&image, MEM, &version, &layout, &err), rows[i].r);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].says));
		if (rows[i].r != 1)
			continue;
		CU_ASSERT_EQUAL(layout.ram_gpa, rows[i].ram);
		CU_ASSERT_EQUAL(layout.kernel_base, rows[i].base);
	}
}

/* A machine of version 1 with RAM at 0, to boot it in. */
static int boot_in_script(const struct elf_image *image, const struct vm_args *args)
{
	int r = vm_create_script(&f.vm,
		&(struct vm_script){ .abi = &abi_uhyve,
			.abi_version = 1,
			.mem_size = MIB,
			.args = *args,
			.next = (void *)abort },
		&f.err);

	CU_ASSERT_EQUAL_FATAL(r, 0);
	f.vm->image = *image;
	return boot_uhyve(f.vm, &f.state, &f.err);
}

/* How far memory is mapped says for which kernel it was taken. */
static void the_kernels_version_decides_what_is_mapped(void)
{
	static const struct {
		const uint8_t *note;
		uint32_t len;
		uint64_t end;
		bool whole; /* its first GiB */
		const char *says;
	} rows[] = {
		{ NULL, 0, MIB, true, "kernel before 0.10" },
		{ kernel_0_9, 16, MIB, true, "kernel 0.9.0" },
		{ kernel_0_10, 16, MIB, false, "kernel 0.10.0" },
		{ kernel_1_0, 16, MIB, false, "kernel 1.0.0" },
		{ kernel_1_0, 12, MIB, true, "kernel before 0.10" },
		{ kernel_of_linux, 16, MIB, true, "kernel before 0.10" },
		{ NULL, 0, GIB + MIB, true, "kernel before 0.10" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct elf_image image = { .start = 0x40000, .end = rows[i].end, .entry = 0x40010 };
		char text[100];

		f = (struct fixture){ 0 };
		add_note(&image, "HERMIT", UHYVE_NOTE_ENTRY, entry_4, 1);
		if (rows[i].note)
			add_note(&image, "GNU", 1, rows[i].note, rows[i].len);
		CU_ASSERT_EQUAL(boot_in_script(&image, &(struct vm_args){ 0 }), 0);
		CU_ASSERT_EQUAL(f.state.regs.rip, 0x40010);
		CU_ASSERT_TRUE(mapped(MIB));
		CU_ASSERT_EQUAL(mapped(GIB - 1), rows[i].whole);
		CU_ASSERT_EQUAL(mapped(GIB), rows[i].end > GIB);
		boot_uhyve_describe(&image, text, sizeof(text));
		CU_ASSERT_PTR_NOT_NULL(strstr(text, rows[i].says));
		vm_destroy(f.vm);
	}
}

static void what_its_tables_have_no_room_for_is_refused(void)
{
	struct elf_image image = { .start = 0x40000, .end = 60 * GIB };
	static char *many[200];
	static char word[] = "A=B";

	f = (struct fixture){ 0 };
	CU_ASSERT_EQUAL(boot_in_script(&image, &(struct vm_args){ 0 }), -ENOSPC);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.err.text, "too large for the boot page tables"));
	vm_destroy(f.vm);
	for (size_t i = 0; i < 200; i++)
		many[i] = word;
	image.end = MIB;
	CU_ASSERT_EQUAL(boot_in_script(&image, &(struct vm_args){ .env = many, .n_env = 128 }), 0);
	vm_destroy(f.vm);
	CU_ASSERT_EQUAL(
		boot_in_script(&image, &(struct vm_args){ .env = many, .n_env = 129 }), -E2BIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.err.text, "128 environment entries"));
	vm_destroy(f.vm);
}

static const struct unit_case cases[] = {
	{ "starts_in_the_state_the_abi_names", starts_in_the_state_the_abi_names },
	{ "boot_information_describes_the_machine", boot_information_describes_the_machine },
	{ "later_kernels_get_ram_up_to_their_end", later_kernels_get_ram_up_to_their_end },
	{ "old_kernels_get_their_whole_first_gib", old_kernels_get_their_whole_first_gib },
	{ "the_last_pml4_entry_points_back", the_last_pml4_entry_points_back },
	{ "the_device_tree_names_memory_clock_and_mounts",
		the_device_tree_names_memory_clock_and_mounts },
	{ "bootargs_are_words_as_a_shell_reads_them", bootargs_are_words_as_a_shell_reads_them },
	{ "refuses_what_cannot_be_booted", refuses_what_cannot_be_booted },
	{ "entry_and_interface_decide_which_abi_it_is",
		entry_and_interface_decide_which_abi_it_is },
	{ "an_image_lies_where_its_segments_allow", an_image_lies_where_its_segments_allow },
	{ "the_kernels_version_decides_what_is_mapped",
		the_kernels_version_decides_what_is_mapped },
	{ "what_its_tables_have_no_room_for_is_refused",
		what_its_tables_have_no_room_for_is_refused },
};

UNIT_MAIN("boot_uhyve", cases)
