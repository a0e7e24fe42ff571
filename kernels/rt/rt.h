/* SPDX-License-Identifier: ISC */
/*
 * All that a guest in kernels/ has: hypercalls, a console, a few strings. One API for both ABI
 * generations; an image is linked with abi_v1.o or abi_v2.o and is otherwise the same.
 */
#ifndef RT_H
#define RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi_uhyve.h"
#include "linux.h"

/* The guest. argv[0] is "guest"; argv and envp end in NULL. The result is the exit code. */
int main(int argc, char **argv, char **envp);
_Noreturn void exit(int code);
/* Says why on the console and exits with 1. */
_Noreturn void rt_die(const char *why);

extern const struct uhyve_boot_info *rt_boot;
extern const int rt_abi; /* 1 or 2 */

/* One `out`. Both generations at once: v2 takes RDI, v1 the same address in EAX. */
static inline void rt_hypercall(uint16_t number, uint64_t param)
{
	asm volatile("outl %%eax, %%dx"
		     :
		     : "a"((uint32_t)param), "d"(number), "D"(param)
		     : "memory");
}

/*
 * The calls: >= 0 or -errno. v1 has no stat, lstat, fstat, getdents, mkdir and serial_read: here
 * -ENOSYS. Its write cannot fail, and its lseek answers every error with -1.
 */
int rt_open(const char *path, int flags, int mode);
int rt_close(int fd);
int64_t rt_read(int fd, void *buf, uint64_t len);
int64_t rt_write(int fd, const void *buf, uint64_t len);
int64_t rt_lseek(int fd, int64_t offset, int whence);
int rt_unlink(const char *path);
int rt_stat(const char *path, struct uhyve_attr *attr);
int rt_lstat(const char *path, struct uhyve_attr *attr);
int rt_fstat(int fd, struct uhyve_attr *attr);
int64_t rt_getdents(int fd, void *buf, uint64_t len);
int rt_mkdir(const char *path);
void rt_serial_write(const void *buf, uint64_t len);
int64_t rt_serial_read(void *buf, uint64_t len);
void rt_serial_write_byte(char byte);
int rt_serial_read_byte(void); /* -1 at the end; -ENOSYS in v1 */
_Noreturn void rt_exit(int code);

/* The console: a buffer that goes out, in one call, at each newline and at exit. */
void putchar(char c);
void rt_flush(void);
/* %d %u %x %s %c %p %%, l ll z, '0' and width; .* for %s */
__attribute__((format(printf, 1, 2))) void printf(const char *format, ...);
/* Printable ASCII as it is, backslash doubled, any other byte as \xHH. */
void rt_print_escaped(const char *s, size_t len);
/* The same between double quotes; a quote within is \x22. */
void rt_print_quoted(const char *s, size_t len);
/* "12" or "-ENOENT", in one of four buffers used in turn. */
const char *rt_result(int64_t r);

void *memcpy(void *to, const void *from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t len);
char *strchr(const char *s, int c);
/* The whole string as a decimal number, a sign allowed. */
bool rt_parse_int(const char *s, int64_t *value);

/*
 * Boot page tables reach from the start of RAM to the end of the kernel. Maps the rest of RAM, at
 * its own address; returns the end of what is mapped.
 */
uint64_t rt_map_ram(void);

/* Between the files of the runtime. */
struct rt_args {
	int argc;
	char **argv, **envp;
};
void rt_get_args(struct rt_args *args); /* abi_v1.c, abi_v2.c */
/* A property of a node right below the root of a flattened device tree; NULL when there is none. */
const char *rt_fdt_property(const void *fdt, const char *node, const char *name, size_t *len);
/* One shell word from *in to *out, terminated; both move on. False at the end. */
bool rt_next_word(const char **in, const char *end, char **out);
_Noreturn void rt_start(const struct uhyve_boot_info *boot);

#endif
