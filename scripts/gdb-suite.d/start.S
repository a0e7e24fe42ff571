/* SPDX-License-Identifier: ISC */
/* From belljar into a test program, with floating point and a stack of a usual size; setjmp. */
	.set	CR0_MP, 1 << 1
	.set	CR0_EM_TS, 1 << 2 | 1 << 3
	.set	CR4_OSFXSR_OSXMMEXCPT, 1 << 9 | 1 << 10

	.section .text.start, "ax", @progbits
	.globl	_start
	.type	_start, @function
_start:
	.cfi_startproc
	.cfi_undefined rip		/* the outermost frame */
	leaq	stack_end(%rip), %rsp
	movq	%cr0, %rax
	andl	$~(CR0_EM_TS), %eax
	orl	$CR0_MP, %eax
	movq	%rax, %cr0
	movq	%cr4, %rax
	orl	$CR4_OSFXSR_OSXMMEXCPT, %eax
	movq	%rax, %cr4
	fninit
	xorl	%ebp, %ebp
	cld
	call	rt_start
	ud2
	.cfi_endproc
	.size	_start, . - _start

	/* glibc's order in a jmp_buf: RBX RBP R12 R13 R14 R15 RSP PC. Nothing is mangled. */
	.text
	.globl	setjmp, _setjmp
	.type	setjmp, @function
	.type	_setjmp, @function
setjmp:
_setjmp:
	movq	%rbx, (%rdi)
	movq	%rbp, 8(%rdi)
	movq	%r12, 16(%rdi)
	movq	%r13, 24(%rdi)
	movq	%r14, 32(%rdi)
	movq	%r15, 40(%rdi)
	leaq	8(%rsp), %rax
	movq	%rax, 48(%rdi)
	movq	(%rsp), %rax
	movq	%rax, 56(%rdi)
	xorl	%eax, %eax
	ret
	.size	setjmp, . - setjmp
	.size	_setjmp, . - _setjmp

	.globl	longjmp
	.type	longjmp, @function
longjmp:
	movl	%esi, %eax
	cmpl	$1, %eax		/* 0 becomes 1 */
	adcl	$0, %eax
	movq	(%rdi), %rbx
	movq	8(%rdi), %rbp
	movq	16(%rdi), %r12
	movq	24(%rdi), %r13
	movq	32(%rdi), %r14
	movq	40(%rdi), %r15
	movq	48(%rdi), %rsp
	jmp	*56(%rdi)
	.size	longjmp, . - longjmp

	.bss
	.balign	4096
	.zero	1 << 20
stack_end:
	.section .note.GNU-stack, "", @progbits
