// SPDX-License-Identifier: ISC
/*
 * What GDB's test programs call of a libc, on top of kernels/rt. The declarations are the host's <stdio.h> and so on, so
 * that the programs compile as they are. Output is not buffered: one call, one hypercall.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi_uhyve.h"

/* Of kernels/rt/rt.h, whose printf and putchar are not these. */
int rt_open(const char *path, int flags, int mode);
int rt_close(int fd);
int64_t rt_read(int fd, void *buf, uint64_t len);
int64_t rt_write(int fd, const void *buf, uint64_t len);
_Noreturn void rt_exit(int code);
extern const struct uhyve_boot_info *rt_boot;

enum { HEAP_SIZE = 8 << 20, ALIGN = 16, STDOUT = 1, STDERR = 2, ABORTED = 134 };

/* A result of rt's as Linux programs know it. */
static int64_t result(int64_t r)
{
	if (r >= 0)
		return r;
	errno = (int)-r;
	return -1;
}

int *__errno_location(void)
{
	static int value;

	return &value;
}

ssize_t read(int fd, void *buf, size_t len)
{
	return result(rt_read(fd, buf, len));
}

ssize_t write(int fd, const void *buf, size_t len)
{
	return result(rt_write(fd, buf, len));
}

int open(const char *path, int flags, ...)
{
	va_list args;
	int mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, int) : 0;
	va_end(args);
	return (int)result(rt_open(path, flags, mode));
}

int close(int fd)
{
	return (int)result(rt_close(fd));
}

int isatty(int fd)
{
	(void)fd;
	errno = ENOTTY;
	return 0;
}

/* ---- the beginning, which rt takes for the guest's main, and the end ---- */

typedef void constructor(int argc, char **argv, char **envp);
extern constructor *__init_array_start[], *__init_array_end[];
int main(int argc, char **argv, char **envp);
int libc_main(int argc, char **argv, char **envp);

int libc_main(int argc, char **argv, char **envp)
{
	for (constructor **c = __init_array_start; c < __init_array_end; c++)
		(*c)(argc, argv, envp);
	return main(argc, argv, envp);
}

__attribute__((noinline)) void _exit(int code)
{
	rt_exit(code);
}

void exit(int code)
{
	_exit(code);
}

void abort(void)
{
	rt_exit(ABORTED);
}

void __assert_fail(const char *what, const char *file, unsigned line, const char *function)
{
	printf("%s:%u: %s: Assertion `%s' failed.\n", file, line, function, what);
	abort();
}

/* A watchdog: the script has one of its own. */
unsigned alarm(unsigned seconds)
{
	(void)seconds;
	return 0;
}

/* ---- time: a tenth of what is asked for, for a software CPU is slow, and tests only want to be there first ---- */

int usleep(useconds_t us)
{
	uint64_t end = __builtin_ia32_rdtsc() + us * (uint64_t)rt_boot->cpu_khz / 10000;

	while (__builtin_ia32_rdtsc() < end)
		;
	return 0;
}

unsigned sleep(unsigned seconds)
{
	while (seconds--)
		usleep(1000000);
	return 0;
}

/* ---- memory: never given back, which no test is long enough to notice ---- */

void *malloc(size_t size)
{
	static _Alignas(ALIGN) unsigned char heap[HEAP_SIZE];
	static size_t used;
	unsigned char *p = heap + used + ALIGN;

	if (size > HEAP_SIZE - ALIGN || (size + 2 * ALIGN - 1) / ALIGN * ALIGN > HEAP_SIZE - used)
		return NULL;
	used += (size + 2 * ALIGN - 1) / ALIGN * ALIGN;
	memcpy(p - ALIGN, &size, sizeof(size));
	return p;
}

void free(void *p)
{
	(void)p;
}

void *calloc(size_t n, size_t size)
{
	size_t len;
	void *p = __builtin_mul_overflow(n, size, &len) ? NULL : malloc(len);

	return p ? memset(p, 0, len) : NULL;
}

void *realloc(void *old, size_t size)
{
	void *p = malloc(size);
	size_t len = 0;

	if (old)
		memcpy(&len, (char *)old - ALIGN, sizeof(len));
	return p && old ? memcpy(p, old, len < size ? len : size) : p;
}

/* ---- strings that rt does not have ---- */

char *strcpy(char *to, const char *from)
{
	return memcpy(to, from, strlen(from) + 1);
}

char *strncpy(char *to, const char *from, size_t len)
{
	size_t n = strnlen(from, len);

	memset(memcpy(to, from, n) + n, 0, len - n);
	return to;
}

char *strcat(char *to, const char *from)
{
	strcpy(to + strlen(to), from);
	return to;
}

char *strdup(const char *s)
{
	char *p = malloc(strlen(s) + 1);

	return p ? strcpy(p, s) : NULL;
}

size_t strnlen(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && s[n])
		n++;
	return n;
}

/* Base 10 or as its prefix says. */
long strtol(const char *s, char **end, int base)
{
	bool negative;
	long v = 0;

	while (*s == ' ' || *s == '\t' || *s == '\n')
		s++;
	negative = *s == '-';
	s += *s == '-' || *s == '+';
	if ((base == 0 || base == 16) && s[0] == '0' && (s[1] | 32) == 'x') {
		base = 16;
		s += 2;
	} else if (base == 0) {
		base = *s == '0' ? 8 : 10;
	}
	for (;; s++) {
		int digit = *s >= '0' && *s <= '9' ? *s - '0'
			    : (*s | 32) >= 'a'     ? (*s | 32) - 'a' + 10
						   : base;

		if (digit >= base)
			break;
		v = v * base + digit;
	}
	if (end)
		*end = (char *)(uintptr_t)s;
	return negative ? -v : v;
}

int atoi(const char *s)
{
	return (int)strtol(s, NULL, 10);
}

/* ---- output ---- */

static FILE streams[] = { { ._fileno = 0 }, { ._fileno = STDOUT }, { ._fileno = STDERR } };
FILE *stdin = &streams[0], *stdout = &streams[1], *stderr = &streams[2];

struct sink {
	char *at, *end; /* what comes behind the end is counted only */
	size_t len;
};

struct spec {
	bool left, zero, plus, space, alternate;
	int width, precision; /* precision -1: none */
	unsigned longs;
};

static void put(struct sink *sink, char c)
{
	if (sink->at < sink->end)
		*sink->at++ = c;
	sink->len++;
}

static void pad(struct sink *sink, char c, int n)
{
	while (n-- > 0)
		put(sink, c);
}

static void put_field(
	struct sink *sink, const struct spec *spec, const char *prefix, const char *s, int len)
{
	int blanks = spec->width - len - (int)strlen(prefix);

	if (!spec->left && !spec->zero)
		pad(sink, ' ', blanks);
	while (*prefix)
		put(sink, *prefix++);
	if (!spec->left && spec->zero)
		pad(sink, '0', blanks);
	for (int i = 0; i < len; i++)
		put(sink, s[i]);
	if (spec->left)
		pad(sink, ' ', blanks);
}

static const char *sign_of(const struct spec *spec, bool negative)
{
	return negative ? "-" : spec->plus ? "+" : spec->space ? " " : "";
}

static char *digits_of(uint64_t v, unsigned base, bool capital, int least, char *end)
{
	char *p = end;

	for (; v || end - p < least; v /= base)
		*--p = (capital ? "0123456789ABCDEF" : "0123456789abcdef")[v % base];
	return p;
}

static void put_integer(struct sink *sink, struct spec *spec, char kind, uint64_t v)
{
	bool negative = (kind == 'd' || kind == 'i') && (int64_t)v < 0;
	unsigned base = kind == 'o' ? 8 : kind == 'x' || kind == 'X' || kind == 'p' ? 16 : 10;
	const char *prefix = "";
	char text[80], *end = text + sizeof(text), *p;

	if (kind == 'd' || kind == 'i')
		prefix = sign_of(spec, negative);
	else if (base == 16 && spec->alternate && v)
		prefix = kind == 'X' ? "0X" : "0x";
	if (spec->precision >= 0)
		spec->zero = false;
	p = digits_of(negative ? -v : v, base, kind == 'X',
		spec->precision < 0 ? 1 : spec->precision & 63, end);
	put_field(sink, spec, prefix, p, (int)(end - p));
}

/* %f, to 17 places, of what a uint64_t holds; %e and %g, too. */
static void put_fixed(struct sink *sink, struct spec *spec, double v)
{
	bool negative = __builtin_signbit(v);
	int places = spec->precision < 0 ? 6 : spec->precision > 17 ? 17 : spec->precision;
	uint64_t scale = 1, whole, fraction;
	char text[64], *end = text + sizeof(text), *p = end;

	for (int i = 0; i < places; i++)
		scale *= 10;
	v = negative ? -v : v;
	whole = (uint64_t)v;
	fraction = (uint64_t)((v - (double)whole) * (double)scale + 0.5);
	if (fraction >= scale) {
		whole++;
		fraction -= scale;
	}
	if (places) {
		p = digits_of(fraction, 10, false, places, p);
		*--p = '.';
	}
	p = digits_of(whole, 10, false, 1, p);
	put_field(sink, spec, sign_of(spec, negative), p, (int)(end - p));
}

static const char *parse_number(const char *f, int *value, va_list *args)
{
	if (*f == '*') {
		*value = va_arg(*args, int);
		return f + 1;
	}
	for (*value = 0; *f >= '0' && *f <= '9'; f++)
		*value = *value * 10 + *f - '0';
	return f;
}

static const char *parse_spec(const char *f, struct spec *spec, va_list *args)
{
	*spec = (struct spec){ .precision = -1 };
	for (;; f++) {
		bool *flag = *f == '-'   ? &spec->left
			     : *f == '0' ? &spec->zero
			     : *f == '+' ? &spec->plus
			     : *f == ' ' ? &spec->space
			     : *f == '#' ? &spec->alternate
					 : NULL;

		if (!flag)
			break;
		*flag = true;
	}
	f = parse_number(f, &spec->width, args);
	if (*f == '.')
		f = parse_number(f + 1, &spec->precision, args);
	for (; *f == 'l' || *f == 'z' || *f == 'j' || *f == 't' || *f == 'h' || *f == 'q'; f++)
		spec->longs += *f != 'h';
	return f;
}

static uint64_t integer_argument(const struct spec *spec, char kind, va_list *args)
{
	if (spec->longs || kind == 'p')
		return va_arg(*args, uint64_t);
	return kind == 'd' || kind == 'i' ? (uint64_t)va_arg(*args, int) : va_arg(*args, unsigned);
}

static void put_argument(struct sink *sink, struct spec *spec, char kind, va_list *args)
{
	const char *s;
	char c;

	if (kind == 's') {
		s = va_arg(*args, const char *);
		s = s ? s : "(null)";
		put_field(sink, spec, "", s,
			(int)strnlen(s, spec->precision < 0 ? INT32_MAX : (size_t)spec->precision));
	} else if (kind == 'c') {
		c = (char)va_arg(*args, int);
		put_field(sink, spec, "", &c, 1);
	} else if (kind && strchr("diuxXop", kind)) {
		spec->alternate |= kind == 'p';
		put_integer(sink, spec, kind, integer_argument(spec, kind, args));
	} else if (kind && strchr("fFgGeE", kind)) {
		put_fixed(sink, spec, va_arg(*args, double));
	} else {
		put(sink, kind);
	}
}

int vsnprintf(char *text, size_t size, const char *format, va_list list)
{
	struct sink sink = { .at = text, .end = text + (size ? size - 1 : 0) };
	struct spec spec;
	va_list args;

	va_copy(args, list);
	for (const char *f = format; *f; f++) {
		if (*f != '%') {
			put(&sink, *f);
			continue;
		}
		f = parse_spec(f + 1, &spec, &args);
		if (!*f)
			break;
		put_argument(&sink, &spec, *f, &args);
	}
	va_end(args);
	if (size)
		*sink.at = 0;
	return (int)sink.len;
}

int vfprintf(FILE *file, const char *format, va_list args)
{
	char text[4096];
	int len = vsnprintf(text, sizeof(text), format, args);

	fwrite(text, 1, len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1, file);
	return len;
}

int fprintf(FILE *file, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vfprintf(file, format, args);
	va_end(args);
	return len;
}

int printf(const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vfprintf(stdout, format, args);
	va_end(args);
	return len;
}

int sprintf(char *text, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, INT32_MAX, format, args);
	va_end(args);
	return len;
}

int snprintf(char *text, size_t size, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, size, format, args);
	va_end(args);
	return len;
}

size_t fwrite(const void *data, size_t size, size_t n, FILE *file)
{
	rt_write(file->_fileno, data, size * n);
	return n;
}

int fputs(const char *s, FILE *file)
{
	fwrite(s, 1, strlen(s), file);
	return 0;
}

int puts(const char *s)
{
	return printf("%s\n", s) < 0;
}

int fputc(int c, FILE *file)
{
	char byte = (char)c;

	fwrite(&byte, 1, 1, file);
	return c;
}

int putc(int c, FILE *file)
{
	return fputc(c, file);
}

int putchar(int c)
{
	return fputc(c, stdout);
}

void perror(const char *s)
{
	fprintf(stderr, "%s: error %d\n", s, errno);
}

int fileno(FILE *file)
{
	return file->_fileno;
}

int fflush(FILE *file)
{
	(void)file;
	return 0;
}

int setvbuf(FILE *file, char *buffer, int mode, size_t size)
{
	(void)file, (void)buffer, (void)mode, (void)size;
	return 0;
}

void setbuf(FILE *file, char *buffer)
{
	setvbuf(file, buffer, _IOFBF, 0);
}
