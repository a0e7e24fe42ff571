/* SPDX-License-Identifier: ISC */
/*
 * Code of a test's own in place of a guest's, on pages of 1 GiB that map each address to itself: so that it is known what lies
 * where. For machines whose RAM has 16 MiB or more.
 */
#ifndef BARE_GUEST_H
#define BARE_GUEST_H

#include "unit.h"
#include "vm.h"

enum { BARE_CODE = 8 << 20, BARE_TABLES = 0x10000, BARE_IDT = 0x12000, BARE_STACK = 0x9000 };
enum { BARE_CALL_EXIT = 0x1010, BARE_CALL_BYTE = 0x1020, BARE_TIMER = 0x7b };

static inline void bare_put64(struct vm *vm, uint64_t gpa, uint64_t v)
{
	CU_ASSERT_EQUAL(gmem_write(&vm->mem, gpa, &v, sizeof(v)), 0);
}

/* The CPU stands at its beginning, with a stack and with no handlers. Where that is. */
static inline uint64_t bare_guest(struct vm *vm, const uint8_t *start, const uint8_t *end)
{
	uint64_t code = vm->mem.gpa + BARE_CODE, pml4 = code + BARE_TABLES;
	struct cpu_state s;

	CU_ASSERT_EQUAL(gmem_write(&vm->mem, code, start, (size_t)(end - start)), 0);
	bare_put64(vm, pml4, (pml4 + 4096) | 3);
	for (uint64_t i = 0; i < 8; i++)
		bare_put64(vm, pml4 + 4096 + 8 * i, i << 30 | 0x83);
	backend_save(vm->cpu, &s);
	s.cr3 = pml4;
	s.idt = (struct cpu_table){ .base = code + BARE_IDT, .limit = 0xfff };
	s.regs.rip = code;
	s.regs.gpr[CPU_RSP] = code + BARE_STACK;
	CU_ASSERT_EQUAL(backend_load(vm->cpu, &s), 0);
	return code;
}

/* Counts in a loop; a timer interrupts it, and now and then the handler makes a call or waits for
 * the next one. */
__asm__(".pushsection .rodata\n"
	"bare_timer_start: mov $0xfee00000, %ebx\n movl $0x1ff, 0xf0(%rbx)\n movl $0xb, "
	"0x3e0(%rbx)\n"
	"movl $0x2007b, 0x320(%rbx)\n movl $700, 0x380(%rbx)\n xor %eax, %eax\n xor %ecx, %ecx\n "
	"sti\n"
	"1: add $3, %rax\n xor %rax, -512(%rsp)\n test $0x1f, %al\n jnz 1b\n"
	"cmp $60, %ecx\n ja 2f\n hlt\n jmp 1b\n"
	"2: mov $0x1010, %edx\n mov $7, %edi\n out %eax, %dx\n hlt\n"
	"bare_timer_handler: push %rax\n push %rdx\n push %rdi\n inc %ecx\n movl $0, 0xb0(%rbx)\n "
	"test "
	"$3, %cl\n jnz 3f\n"
	"mov $0x1020, %edx\n mov $'x', %edi\n out %eax, %dx\n"
	"3: pop %rdi\n pop %rdx\n pop %rax\n iretq\n"
	"bare_timer_end:\n.popsection");
extern const uint8_t bare_timer_start[], bare_timer_handler[], bare_timer_end[];

/* That one. Where its handler is. */
static inline uint64_t bare_timer_guest(struct vm *vm)
{
	uint64_t code = bare_guest(vm, bare_timer_start, bare_timer_end);
	uint64_t handler = code + (uint64_t)(bare_timer_handler - bare_timer_start);
	uint64_t gate = code + BARE_IDT + BARE_TIMER * 16;

	bare_put64(
		vm, gate, (handler & 0xffff) | 8u << 16 | 0x8e00ull << 32 | (handler >> 16) << 48);
	bare_put64(vm, gate + 8, handler >> 32);
	return handler;
}

#endif
