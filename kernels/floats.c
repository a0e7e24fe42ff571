// SPDX-License-Identifier: ISC
/*
 * SSE2 and x87 arithmetic whose every bit IEEE 754 fixes. The only guest compiled with floating
 * point; nothing in it may run before use_fpu, hence the noinline.
 */
#include "rt.h"

/* CR0.MP on, EM and TS off; CR4.OSFXSR and OSXMMEXCPT on: SDM 3A 13.1. */
static void use_fpu(void)
{
	uint64_t cr;

	asm volatile("mov %%cr0, %0" : "=r"(cr));
	cr = (cr & ~(uint64_t)(1 << 2 | 1 << 3)) | 1 << 1;
	asm volatile("mov %0, %%cr0" : : "r"(cr));
	asm volatile("mov %%cr4, %0" : "=r"(cr));
	cr |= 1 << 9 | 1 << 10;
	asm volatile("mov %0, %%cr4" : : "r"(cr) : "memory");
}

/* Nine digits after the point, cut off, and the bits. |v| < 9e9. */
__attribute__((noinline)) static void print(const char *what, double v)
{
	double size = v < 0 ? -v : v;
	uint64_t bits, whole = (uint64_t)(int64_t)size;
	uint64_t fraction = (uint64_t)(int64_t)((size - (double)(int64_t)whole) * 1e9);

	memcpy(&bits, &v, sizeof(bits));
	printf("%s = %s%llu.%09llu (%016llx)\n", what, v < 0 ? "-" : "", (unsigned long long)whole,
		(unsigned long long)fraction, (unsigned long long)bits);
}

static double root(double v)
{
	asm("sqrtsd %0, %0" : "+x"(v));
	return v;
}

static double x87_root(double v)
{
	asm("fldl %0; fsqrt; fstpl %0" : "+m"(v));
	return v;
}

__attribute__((noinline)) static void scalars(volatile double *a)
{
	print("0.1 + 0.2", a[0] + a[1]);
	print("0.1 - 0.2", a[0] - a[1]);
	print("1.5 * -2.25", a[2] * a[3]);
	print("1 / 3", a[4] / a[5]);
	print("sqrt(2)", root(a[6]));
	print("sqrt(2) by x87", x87_root(a[6]));
	print("(float)0.1", (double)(float)a[0]);
	print("(int)-2.25", (double)(int)a[3]);
}

__attribute__((noinline)) static void loops(void)
{
	double sum = 0, x = 1;

	for (int i = 1; i <= 200; i++)
		sum += 1.0 / i;
	print("1/1 + ... + 1/200", sum);
	for (int i = 0; i < 100; i++)
		x = (x + 2 / x) / 2;
	print("sqrt(2) by Newton", x);
}

__attribute__((noinline)) static void vectors(volatile double *a)
{
	typedef double pair __attribute__((vector_size(16)));
	typedef int quad __attribute__((vector_size(16)));
	pair p = { a[0], a[4] }, q = { a[2], a[3] }, r = p * q + p;
	quad n = { 1, -2, 3, -4 }, m = { (int)a[3], 5, 6, 7 };

	print("pair, low", r[0]);
	print("pair, high", r[1]);
	n += m;
	printf("quad = %d %d %d %d\n", n[0], n[1], n[2], n[3]);
}

int main(int argc, char **argv, char **envp)
{
	static volatile double a[] = { 0.1, 0.2, 1.5, -2.25, 1, 3, 2 };

	(void)argc, (void)argv, (void)envp;
	use_fpu();
	scalars(a);
	loops();
	vectors(a);
	return 0;
}
