/* SPDX-License-Identifier: ISC */
/*
 * Two ways in: of belljar, in long mode, by the notes of a Hermit kernel; and of QEMU -kernel, in 32-bit mode, by the note of
 * PVH. The second one maps the first GiB and goes into long mode, and then all is the same.
 */
#include "note.inc"
	.section .note.hermit, "a", @note
	.balign	4
	note	HERMIT, 0x5a00, 7, 1, .byte, 4
	note	GNU, 1, 4, 16, .long, 6, 0, 13, 2
	note	UHYVEIF, 0x5b00, 8, 4, .byte, 0, 0, 0, 2	/* big-endian */
	note	Xen, 18, 4, 8, .quad, start_pvh

	.section .text.start, "ax", @progbits
	.globl	_start
	.type	_start, @function
	.code64
_start:
	leaq	stack_end, %rsp
	xorl	%ebp, %ebp
	cld
	call	guest_main
	ud2
	.size	_start, . - _start

	.set	LARGE_PAGE, 0x83	/* present, writable, 2 MiB */
	.set	TABLE, 3		/* present, writable */
	.code32
start_pvh:
	cli
	cld
	movl	$(pdpt + TABLE), pml4
	movl	$(directory + TABLE), pdpt
	movl	$directory, %edi
	movl	$LARGE_PAGE, %eax
	movl	$512, %ecx
1:	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	loop	1b
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	%cr4, %eax
	orl	$0x620, %eax		/* PAE, OSFXSR, OSXMMEXCPT */
	movl	%eax, %cr4
	movl	$0xc0000080, %ecx	/* EFER: long mode */
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	%cr0, %eax
	andl	$~4, %eax		/* no EM; MP, PE, PG */
	orl	$0x80000003, %eax
	movl	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$8, $start_long
	.code64
start_long:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	jmp	_start

	.data
	.balign	8
gdt:	.quad	0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdt_pointer:
	.word	23
	.long	gdt

	.bss
	.balign	4096
pml4:	.skip	4096
pdpt:	.skip	4096
directory:
	.skip	4096
	.skip	65536
stack_end:

/* 1 MiB that no run length and no escape makes shorter or longer than usual. */
	.section .rodata, "a"
	.balign	4096
	.globl	buf
	.type	buf, @object
buf:
	.set	seed, 1
	.rept	0x20000
	.set	seed, (seed * 6364136223846793005 + 1442695040888963407)
	.quad	seed
	.endr
	.size	buf, . - buf
	.section .note.GNU-stack, "", @progbits
