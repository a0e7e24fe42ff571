// SPDX-License-Identifier: ISC
/*
 * Starting a Hermit kernel: which image is one, where its RAM lies, page tables, GDT, device tree,
 * boot information, first registers. Two layouts: kernels up to 0.8 expect the whole first GiB
 * mapped; later ones exactly RAM's start to the kernel's end. Knows no hypercalls.
 */
#include "boot_uhyve.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi_uhyve.h"
#include "cleanup.h"
#include "cpu.h"
#include "elf_load.h"
#include "err.h"
#include "vm.h"

/* Guest-physical layout, relative to the start of RAM: uhyve src/mem_layout.rs. */
enum {
	OFF_GDT = 0,
	OFF_FDT = 0x1000,
	FDT_MAX = 0x4000,
	OFF_BOOT_INFO = 0x5000,
	OFF_PML4 = 0x10000,
	OFF_POOL = 0x11000,
	POOL_FRAMES = 39,
	OFF_KERNEL = 0x40000,
	BOOT_STACK = 0x8000,
	PAGE = 4096,
	TABLE_ENTRIES = 512,
};
#define LARGE_PAGE (2ull << 20)
#define GIB        (1ull << 30)
#define V1_RAM_END (3 * GIB) /* the hole for the APICs begins here, and pointers have 32 bits */
#define V2_RAM     (4 * GIB)

enum {
	PTE_P = 1,
	PTE_W = 2,
	PTE_PS = 0x80,
};

static const uint64_t gdt[] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff };

/* What the notes say. */
struct notes {
	bool hermit, has_kernel_version;
	uint32_t entry, interface;
	uint32_t kernel[3];
};

/* Kernels before 0.10 expect more to be mapped; the oldest do not tell their version. */
static bool wants_legacy_map(const struct notes *notes)
{
	return !notes->has_kernel_version || (notes->kernel[0] == 0 && notes->kernel[1] < 10);
}

static uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void read_notes(const struct elf_image *image, struct notes *notes)
{
	const struct elf_note *entry = elf_find_note(image, "HERMIT", UHYVE_NOTE_ENTRY);
	const struct elf_note *interface = elf_find_note(image, "UHYVEIF", UHYVE_NOTE_INTERFACE);
	const struct elf_note *gnu = elf_find_note(image, "GNU", 1);

	*notes = (struct notes){ .interface = 1 };
	notes->hermit = entry != NULL;
	if (entry && entry->desc_len >= 1)
		notes->entry = entry->desc[0];
	if (interface)
		notes->interface =
			interface->desc_len == 4 ? __builtin_bswap32(load32(interface->desc)) : 0;
	if (!gnu || gnu->desc_len < 16 || load32(gnu->desc) != 6)
		return;
	notes->has_kernel_version = true;
	for (size_t i = 0; i < 3; i++)
		notes->kernel[i] = load32(gnu->desc + 4 + 4 * i);
}

/* A static PIE goes right behind the boot structures, or at the next address its segments allow. */
static uint64_t pie_base(const struct elf_image *image, uint64_t ram)
{
	uint64_t align = PAGE;

	for (size_t i = 0; i < image->n_segments; i++)
		if (image->segments[i].align > align && image->segments[i].align <= LARGE_PAGE)
			align = image->segments[i].align;
	return ((ram + OFF_KERNEL + align - 1) & ~(align - 1)) - (image->start & ~(align - 1));
}

static int lay_out(const struct elf_image *image, uint64_t mem_size, int version,
	struct abi_layout *layout, struct err *err)
{
	uint64_t start, end;

	/* A v2 image linked below 4 GiB wants its RAM there; any other is put where Uhyve puts it. */
	layout->ram_gpa = version == 2 && (image->is_pie || image->start >= V2_RAM) ? V2_RAM : 0;
	layout->kernel_base = image->is_pie ? pie_base(image, layout->ram_gpa) : 0;
	start = layout->kernel_base + image->start;
	end = layout->kernel_base + image->end;
	if (start < layout->ram_gpa + OFF_KERNEL)
		return err_set(err, -ENOEXEC,
			"the image begins at 0x%llx, among the boot structures; link it at 0x%llx "
			"or higher",
			(unsigned long long)start,
			(unsigned long long)(layout->ram_gpa + OFF_KERNEL));
	if (end < start || end - layout->ram_gpa > mem_size)
		return err_set(err, -ENOEXEC,
			"the image ends at 0x%llx, RAM at 0x%llx; give it more with --mem",
			(unsigned long long)end, (unsigned long long)(layout->ram_gpa + mem_size));
	if (version == 1 && mem_size > V1_RAM_END)
		return err_set(
			err, -EINVAL, "a v1 guest has 32-bit pointers; --mem may be at most 3G");
	layout->ram_min = end - layout->ram_gpa;
	return 0;
}

int boot_uhyve_claim(const struct elf_image *image, uint64_t mem_size, int *version,
	struct abi_layout *layout, struct err *err)
{
	struct notes notes;
	int r;

	read_notes(image, &notes);
	if (!notes.hermit)
		return 0;
	if (notes.entry != UHYVE_ENTRY_VERSION)
		return err_set(err, -ENOEXEC, "note HERMIT: entry version %u; only %d is supported",
			notes.entry, UHYVE_ENTRY_VERSION);
	if (notes.interface < 1 || notes.interface > 3)
		return err_set(err, -ENOEXEC,
			"note UHYVEIF: hypercall interface %u; 1, 2 and 3 are supported",
			notes.interface);
	*version = notes.interface == 1 ? 1 : 2;
	r = lay_out(image, mem_size, *version, layout, err);
	return r ? r : 1;
}

bool boot_uhyve_wants_paging(int version)
{
	return version == 1; /* read and write take guest-virtual buffers */
}

void boot_uhyve_describe(const struct elf_image *image, char *buf, size_t size)
{
	struct notes notes;
	char kernel[48] = "before 0.10";

	read_notes(image, &notes);
	if (notes.has_kernel_version)
		snprintf(kernel, sizeof(kernel), "%u.%u.%u", notes.kernel[0], notes.kernel[1],
			notes.kernel[2]);
	snprintf(buf, size, "Uhyve v%d (interface %u, entry version %u, kernel %s)",
		notes.interface == 1 ? 1 : 2, notes.interface, notes.entry, kernel);
}

/* Page tables under construction: frames are taken from the pool in order. */
struct tables {
	struct vm *vm;
	uint64_t pml4;
	unsigned used;
};

static int put_entry(struct tables *t, uint64_t table, uint64_t gva, unsigned shift, uint64_t entry)
{
	return gmem_write(&t->vm->mem, table + 8 * (gva >> shift & (TABLE_ENTRIES - 1)), &entry,
		sizeof(entry));
}

/* The table below `table` for that address, made if it is not there. */
static int next_table(
	struct tables *t, uint64_t table, uint64_t gva, unsigned shift, uint64_t *next)
{
	uint64_t at = table + 8 * (gva >> shift & (TABLE_ENTRIES - 1)), entry;

	if (gmem_read(&t->vm->mem, at, &entry, sizeof(entry)))
		return -EFAULT;
	if (!(entry & PTE_P)) {
		if (t->used == POOL_FRAMES)
			return -ENOSPC;
		entry = (t->vm->mem.gpa + OFF_POOL + (uint64_t)PAGE * t->used++) | PTE_P | PTE_W;
		if (put_entry(t, table, gva, shift, entry))
			return -EFAULT;
	}
	*next = entry & ~(uint64_t)(PAGE - 1);
	return 0;
}

/* start to end, the byte there included, mapped to itself by 2 MiB pages. */
static int map_identity(struct tables *t, uint64_t start, uint64_t end)
{
	uint64_t pdpt, pd;

	for (uint64_t gva = start & ~(LARGE_PAGE - 1); gva <= end; gva += LARGE_PAGE) {
		int r = next_table(t, t->pml4, gva, 39, &pdpt);

		if (!r)
			r = next_table(t, pdpt, gva, 30, &pd);
		if (!r)
			r = put_entry(t, pd, gva, 21, gva | PTE_P | PTE_W | PTE_PS);
		if (r)
			return r;
	}
	return 0;
}

static int write_tables(struct vm *vm, bool legacy, struct err *err)
{
	struct tables t = { .vm = vm, .pml4 = vm->mem.gpa + OFF_PML4 };
	uint64_t kernel = vm->layout.kernel_base + vm->image.start;
	uint64_t end = vm->layout.kernel_base + vm->image.end;
	int r;

	/* The last entry points back: kernels reach their tables through it. */
	r = gmem_fill(&vm->mem, t.pml4, 0, (size_t)PAGE * (1 + POOL_FRAMES));
	if (!r)
		r = put_entry(&t, t.pml4, ~0ull, 39, t.pml4 | PTE_P | PTE_W);
	/* Old kernels unmap the rest of their GiB, whether RAM or not. */
	if (legacy && end < (kernel & ~(GIB - 1)) + GIB - 1)
		end = (kernel & ~(GIB - 1)) + GIB - 1;
	if (!r)
		r = map_identity(&t, vm->mem.gpa, end);
	return r ? err_set(err, r, "the image is too large for the boot page tables") : 0;
}

/* A word list under construction, for the device tree. */
struct words {
	char *text;
	size_t len, size;
	bool full;
};

static void words_add(struct words *w, const char *bytes, size_t n)
{
	if (n >= w->size - w->len) {
		w->full = true;
		return;
	}
	memcpy(w->text + w->len, bytes, n);
	w->len += n;
	w->text[w->len] = 0;
}

/* Kernels split this line as a POSIX shell would; a word of other than safe bytes is quoted. */
static void words_add_quoted(struct words *w, const char *prefix, const char *word)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "_-+=./,:@%";
	bool plain = word[0] && strspn(word, safe) == strlen(word);

	if (w->len)
		words_add(w, " ", 1);
	if (!plain)
		words_add(w, "'", 1);
	words_add(w, prefix, strlen(prefix));
	for (const char *c = word; *c; c++) {
		if (*c == '\'')
			words_add(w, "'\\''", 4);
		else
			words_add(w, c, 1);
	}
	if (!plain)
		words_add(w, "'", 1);
}

static void write_bootargs(const struct vm_args *args, struct words *w)
{
	for (size_t i = 0; i < args->n_kernel; i++)
		words_add_quoted(w, "", args->kernel[i]);
	for (size_t i = 0; i < args->n_env; i++)
		words_add_quoted(w, "env=", args->env[i]);
	if (args->n_app)
		words_add_quoted(w, "", "--");
	for (size_t i = 0; i < args->n_app; i++)
		words_add_quoted(w, "", args->app[i]);
}

/* NUL-separated, as string lists are in device trees; *len without the last NUL's successor. */
static void write_mounts(const struct vm_args *args, struct words *w)
{
	for (size_t i = 0; i < args->n_mount_dirs; i++)
		words_add(w, args->mount_dirs[i], strlen(args->mount_dirs[i]) + 1);
}

static int fdt_nodes(
	void *fdt, const struct vm *vm, const struct words *bootargs, const struct words *mounts)
{
	uint64_t reg[2] = { cpu_to_fdt64(vm->mem.gpa), cpu_to_fdt64(vm->mem.size) };
	char memory[40];
	int r = 0;

	snprintf(memory, sizeof(memory), "memory@%llx", (unsigned long long)vm->mem.gpa);
	r |= fdt_finish_reservemap(fdt);
	r |= fdt_begin_node(fdt, "");
	r |= fdt_property(fdt, "compatible", "hermit,uhyve", sizeof("hermit,uhyve"));
	r |= fdt_property_u32(fdt, "#address-cells", 2);
	r |= fdt_property_u32(fdt, "#size-cells", 2);
	r |= fdt_begin_node(fdt, memory);
	r |= fdt_property_string(fdt, "device_type", "memory");
	r |= fdt_property(fdt, "reg", reg, sizeof(reg));
	r |= fdt_end_node(fdt);
	r |= fdt_begin_node(fdt, "cpus");
	r |= fdt_property_u32(fdt, "#address-cells", 1);
	r |= fdt_property_u32(fdt, "#size-cells", 0);
	r |= fdt_begin_node(fdt, "cpu@0");
	r |= fdt_property_string(fdt, "device_type", "cpu");
	r |= fdt_property_u32(fdt, "reg", 0);
	r |= fdt_end_node(fdt);
	r |= fdt_end_node(fdt);
	r |= fdt_begin_node(fdt, "hermit,tsc");
	r |= fdt_property_u32(fdt, "khz", vm->tsc_khz);
	r |= fdt_end_node(fdt);
	if (mounts->len) { /* an empty list would make the kernel panic */
		r |= fdt_begin_node(fdt, "uhyve,mounts");
		r |= fdt_property(fdt, "mounts", mounts->text, (int)mounts->len);
		r |= fdt_end_node(fdt);
	}
	r |= fdt_begin_node(fdt, "chosen");
	r |= fdt_property(fdt, "bootargs", bootargs->text, (int)bootargs->len + 1);
	r |= fdt_end_node(fdt);
	r |= fdt_end_node(fdt);
	r |= fdt_finish(fdt);
	return r;
}

/* Too much for a small stack. */
struct fdt_room {
	char fdt[FDT_MAX], bootargs[FDT_MAX], mounts[FDT_MAX];
};

static int write_fdt(struct vm *vm, struct err *err)
{
	autofree struct fdt_room *room = calloc(1, sizeof(*room));
	struct words bootargs = { .size = FDT_MAX }, mounts = { .size = FDT_MAX };

	if (!room)
		return err_set(err, -ENOMEM, "out of memory");
	bootargs.text = room->bootargs;
	mounts.text = room->mounts;
	write_bootargs(&vm->args, &bootargs);
	write_mounts(&vm->args, &mounts);
	if (bootargs.full || mounts.full || fdt_create(room->fdt, FDT_MAX) ||
		fdt_nodes(room->fdt, vm, &bootargs, &mounts))
		return err_set(err, -E2BIG,
			"arguments, environment and mount points do not fit into the %d bytes the "
			"guest has "
			"for them; pass fewer",
			FDT_MAX);
	return gmem_write(&vm->mem, vm->mem.gpa + OFF_FDT, room->fdt, FDT_MAX);
}

static int write_boot_info(struct vm *vm)
{
	uint64_t base = vm->layout.kernel_base, ram = vm->mem.gpa;
	struct uhyve_boot_info info = {
		.ram_start = ram,
		.ram_end = ram + vm->mem.size,
		.serial_port = vm->abi_version == 1 ? UHYVE_V1_UART : UHYVE_V2_SERIAL_WRITE_BUFFER,
		.fdt = ram + OFF_FDT,
		.kernel_start = base + vm->image.start,
		.kernel_end = base + vm->image.end,
		.platform = UHYVE_PLATFORM_UHYVE,
		.n_cpus = 1,
		.cpu_khz = vm->tsc_khz,
		.boot_time_ns = { vm->boot_time_ns },
	};

	if (vm->image.has_tls) {
		info.tls_start = base + vm->image.tls.vaddr;
		info.tls_filesz = vm->image.tls.filesz;
		info.tls_memsz = vm->image.tls.memsz;
		info.tls_align = vm->image.tls.align;
	}
	return gmem_write(&vm->mem, ram + OFF_BOOT_INFO, &info, sizeof(info));
}

/* v1 guests count their arguments in fixed arrays. */
static int check_v1_args(const struct vm_args *args, struct err *err)
{
	if (args->n_app + 1 <= UHYVE_V1_ARGS_MAX && args->n_env <= UHYVE_V1_ARGS_MAX)
		return 0;
	return err_set(err, -E2BIG,
		"a v1 guest takes at most %d arguments and %d environment entries",
		UHYVE_V1_ARGS_MAX - 1, UHYVE_V1_ARGS_MAX);
}

int boot_uhyve(struct vm *vm, struct cpu_state *state, struct err *err)
{
	uint64_t base = vm->layout.kernel_base, ram = vm->mem.gpa;
	struct notes notes;
	int r;

	read_notes(&vm->image, &notes);
	r = vm->abi_version == 1 ? check_v1_args(&vm->args, err) : 0;
	if (!r)
		r = write_fdt(vm, err);
	if (!r)
		r = write_tables(vm, vm->abi_version == 1 && wants_legacy_map(&notes), err);
	if (!r)
		r = gmem_write(&vm->mem, ram + OFF_GDT, gdt, sizeof(gdt));
	if (!r)
		r = write_boot_info(vm);
	if (r)
		return r;
	cpu_state_long_mode(state);
	state->efer |= CPU_EFER_NXE;
	state->cr3 = ram + OFF_PML4;
	state->gdt = (struct cpu_table){ .base = ram + OFF_GDT, .limit = sizeof(gdt) - 1 };
	state->regs.rip = base + vm->image.entry;
	state->regs.gpr[CPU_RDI] = ram + OFF_BOOT_INFO;
	state->regs.gpr[CPU_RSI] = 0; /* CPU number */
	/* The lowest address of the stack: the kernel adds its size itself. */
	state->regs.gpr[CPU_RSP] = base + vm->image.start - BOOT_STACK;
	return 0;
}
