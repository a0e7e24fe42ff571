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

enum { MIB = 1 << 20, MEM = 64 * MIB, FDT_SIZE = 0x4000 };
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
};

UNIT_MAIN("boot_uhyve", cases)
