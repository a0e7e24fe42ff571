// SPDX-License-Identifier: ISC
/* Text for the console: a line buffer, printf, escaping. Numbers and strings only. */
#include <stdarg.h>

#include "rt.h"

enum { BUFFER_SIZE = 4096 };

static char buffer[BUFFER_SIZE];
static size_t used;

void rt_flush(void)
{
	if (used)
		rt_serial_write(buffer, used);
	used = 0;
}

void putchar(char c)
{
	buffer[used++] = c;
	if (c == '\n' || used == sizeof(buffer))
		rt_flush();
}

struct spec {
	char pad;
	unsigned width, longs;
	int precision; /* -1: none */
};

static void put_padded(const char *s, size_t len, const struct spec *spec)
{
	for (size_t i = len; i < spec->width; i++)
		putchar(spec->pad);
	for (size_t i = 0; i < len; i++)
		putchar(s[i]);
}

static void put_number(uint64_t v, unsigned base, bool negative, struct spec *spec)
{
	char digits[20], *p = digits + sizeof(digits);

	do {
		*--p = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	if (negative && spec->pad == '0') { /* the sign comes before zeros, after blanks */
		putchar('-');
		spec->width -= spec->width > 0;
	} else if (negative) {
		*--p = '-';
	}
	put_padded(p, (size_t)(digits + sizeof(digits) - p), spec);
}

static const char *parse_spec(const char *f, struct spec *spec, va_list *args)
{
	*spec = (struct spec){ .pad = *f == '0' ? '0' : ' ', .precision = -1 };
	for (; *f >= '0' && *f <= '9'; f++)
		spec->width = spec->width * 10 + (unsigned)(*f - '0');
	if (f[0] == '.' && f[1] == '*') {
		spec->precision = va_arg(*args, int);
		f += 2;
	}
	for (; *f == 'l' || *f == 'z'; f++)
		spec->longs++;
	return f;
}

static void put_string(const char *s, const struct spec *spec)
{
	put_padded(s, spec->precision >= 0 ? (size_t)spec->precision : strlen(s), spec);
}

static void put_signed(int64_t v, struct spec *spec)
{
	put_number(v < 0 ? -(uint64_t)v : (uint64_t)v, 10, v < 0, spec);
}

void printf(const char *format, ...)
{
	struct spec spec;
	va_list args;

	va_start(args, format);
	for (const char *f = format; *f; f++) {
		if (*f != '%') {
			putchar(*f);
			continue;
		}
		f = parse_spec(f + 1, &spec, &args);
		if (*f == 's')
			put_string(va_arg(args, const char *), &spec);
		else if (*f == 'c')
			putchar((char)va_arg(args, int));
		else if (*f == 'd')
			put_signed(spec.longs ? va_arg(args, int64_t) : va_arg(args, int), &spec);
		else if (*f == 'u' || *f == 'x' || *f == 'o')
			put_number(spec.longs ? va_arg(args, uint64_t) : va_arg(args, unsigned),
				*f == 'u'   ? 10
				: *f == 'x' ? 16
					    : 8,
				false, &spec);
		else if (*f == 'p')
			printf("0x%llx", va_arg(args, unsigned long long));
		else
			putchar(*f);
	}
	va_end(args);
}

static void put_escaped(const char *s, size_t len, char quote)
{
	for (; len; len--, s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '\\')
			printf("\\\\");
		else if (c < ' ' || c > '~' || c == quote)
			printf("\\x%02x", c);
		else
			putchar((char)c);
	}
}

void rt_print_escaped(const char *s, size_t len)
{
	put_escaped(s, len, 0);
}

void rt_print_quoted(const char *s, size_t len)
{
	putchar('"');
	put_escaped(s, len, '"');
	putchar('"');
}
