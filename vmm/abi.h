/* SPDX-License-Identifier: ISC */
/* What belljar must know of a guest ABI: how to recognise it, how to boot it, what it may ask. */
#ifndef ABI_H
#define ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpu_state;
struct elf_image;
struct err;
struct hcall_row;
struct vm;

/* Where an image wants RAM to be; asked before RAM exists. */
struct abi_layout {
	uint64_t ram_gpa;     /* first address of RAM */
	uint64_t kernel_base; /* what elf_place adds to vaddr: 0 for ET_EXEC */
	uint64_t ram_min;     /* bytes that the image and what lies before it take */
};

struct guest_abi {
	const char *name;
	const struct hcall_row *rows;
	size_t n_rows;
	/* Inclusive ranges of ports that PC guests poke at: `in` gives all ones, `out` is dropped. */
	const struct abi_port_range {
		uint16_t first, last;
	} * legacy_ports;
	size_t n_legacy_ports;
	bool irqchip;
	/* 1: this image is ours, *version and *layout filled in; 0: not ours; -ENOEXEC with err. */
	int (*claim)(const struct elf_image *image, uint64_t mem_size, int *version,
		struct abi_layout *layout, struct err *err);
	/* Writes page tables, boot information and arguments; fills in the first CPU state. */
	int (*boot)(struct vm *vm, struct cpu_state *state, struct err *err);
	/* One line for `inspect`: "Uhyve v2 (entry version 4, kernel 0.13.2)". */
	void (*describe)(const struct elf_image *image, char *buf, size_t size);
	/* True when guest-virtual buffers occur in this version: the backend keeps paging state at hand. */
	bool (*wants_paging)(int version);
};

extern const struct guest_abi abi_uhyve;

/* NULL ends it. */
extern const struct guest_abi *const abi_list[];

/* The ABI whose notes the image carries, or -ENOEXEC with err. */
int abi_find(const struct elf_image *image, uint64_t mem_size, const struct guest_abi **abi,
	int *version, struct abi_layout *layout, struct err *err);

#endif
