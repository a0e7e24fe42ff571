/* SPDX-License-Identifier: ISC */
/* The entry point: RDI = boot information, RSP = the lowest address of a 32 KiB stack. */
	.section .text.start, "ax", @progbits
	.globl	_start
	.type	_start, @function
_start:
	.cfi_startproc
	.cfi_undefined rip		/* the outermost frame */
	leaq	0x8000(%rsp), %rsp
	xorl	%ebp, %ebp
	cld
	call	rt_start
	ud2
	.cfi_endproc
	.size	_start, . - _start
	.section .note.GNU-stack, "", @progbits
