// SPDX-License-Identifier: ISC
/*
 * What debuggers are measured on: functions to stop in, memory to read, and things to do that are asked for by writing
 * into variables. One image for belljar and for QEMU, so that both run the same instructions.
 */
#include <stdint.h>

enum { CONSOLE_READ_BYTE = 0x1040 };

extern volatile uint64_t counter, total, written;
volatile uint64_t counter, total, written;
/* Set by the debugger. */
extern volatile uint64_t do_loop, do_count, do_spin, do_read, do_halt;
volatile uint64_t do_loop, do_count, do_spin, do_read, do_halt;

void guest_main(void);

__attribute__((noinline)) static void hot(uint64_t i)
{
	counter = i;
}

__attribute__((noinline)) static void cold(uint64_t i)
{
	total += i;
}

/* One line of source with many turns: what `next` has to step over. */
__attribute__((noinline)) static uint64_t looper(uint64_t n)
{
	uint64_t sum = 0, i;

	// clang-format off
	for (i = 0; i < n; i++) sum += i ^ (sum << 1);
	// clang-format on
	return sum;
}

/* Exactly 3 * n instructions in the loop: a way to be far from the beginning. */
__attribute__((noinline)) static void count(uint64_t n)
{
	asm volatile("1: add $1, %%rax\n\t"
		     "dec %0\n\t"
		     "jnz 1b"
		     : "+r"(n)
		     :
		     : "rax", "cc");
}

__attribute__((noinline)) static void spin(void)
{
	for (;;)
		asm volatile("add $1, %%rax\n\t"
			     "add $2, %%rbx\n\t"
			     "xor %%rax, %%rbx\n\t"
			     "dec %%rcx"
			     :
			     :
			     : "rax", "rbx", "rcx", "cc");
}

/* Waits where a guest of belljar does: for a byte from the console. */
static void read_console(void)
{
	uint32_t byte;

	asm volatile("inl %1, %0" : "=a"(byte) : "d"((uint16_t)CONSOLE_READ_BYTE));
	total += byte;
}

/* Never woken. */
static void halt(void)
{
	for (;;)
		asm volatile("hlt");
}

void guest_main(void)
{
	for (uint64_t i = 1;; i++) {
		hot(i);
		cold(i);
		if (do_loop)
			total += looper(do_loop);
		if (do_count)
			count(do_count);
		if ((i & 1023) == 0)
			written = i;
		if (do_spin)
			spin();
		if (do_read)
			read_console();
		if (do_halt)
			halt();
	}
}
