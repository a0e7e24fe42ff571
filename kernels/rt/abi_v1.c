// SPDX-License-Identifier: ISC
/* The runtime's calls in the first generation of hypercalls: 32-bit pointers to packed blocks. */
#include "rt.h"

enum { ARGS_TEXT_MAX = 0x10000 };

const int rt_abi = 1;

static uint64_t gpa(const void *p)
{
	return (uintptr_t)p;
}

int rt_open(const char *path, int flags, int mode)
{
	struct uhyve_open p = { .name = gpa(path), .flags = flags, .mode = mode };

	rt_hypercall(UHYVE_V1_OPEN, gpa(&p));
	return p.ret;
}

int rt_close(int fd)
{
	struct uhyve_close p = { .fd = fd };

	rt_hypercall(UHYVE_V1_CLOSE, gpa(&p));
	return p.ret;
}

int64_t rt_read(int fd, void *buf, uint64_t len)
{
	struct uhyve_v1_read p = { .fd = fd, .buf = gpa(buf), .len = len };

	rt_hypercall(UHYVE_V1_READ, gpa(&p));
	return p.ret;
}

int64_t rt_write(int fd, const void *buf, uint64_t len)
{
	struct uhyve_v1_write p = { .fd = fd, .buf = gpa(buf), .len = len };

	rt_hypercall(UHYVE_V1_WRITE, gpa(&p));
	return (int64_t)len;
}

int64_t rt_lseek(int fd, int64_t offset, int whence)
{
	struct uhyve_v1_lseek p = { .fd = fd, .offset = offset, .whence = whence };

	rt_hypercall(UHYVE_V1_LSEEK, gpa(&p));
	return p.offset;
}

int rt_unlink(const char *path)
{
	struct uhyve_unlink p = { .name = gpa(path) };

	rt_hypercall(UHYVE_V1_UNLINK, gpa(&p));
	return p.ret;
}

int rt_stat(const char *path, struct uhyve_attr *attr)
{
	(void)path, (void)attr;
	return -ENOSYS;
}

int rt_lstat(const char *path, struct uhyve_attr *attr)
{
	(void)path, (void)attr;
	return -ENOSYS;
}

int rt_fstat(int fd, struct uhyve_attr *attr)
{
	(void)fd, (void)attr;
	return -ENOSYS;
}

int64_t rt_getdents(int fd, void *buf, uint64_t len)
{
	(void)fd, (void)buf, (void)len;
	return -ENOSYS;
}

int rt_mkdir(const char *path)
{
	(void)path;
	return -ENOSYS;
}

int64_t rt_serial_read(void *buf, uint64_t len)
{
	(void)buf, (void)len;
	return -ENOSYS;
}

void rt_serial_write(const void *buf, uint64_t len)
{
	struct uhyve_v1_serial_write_buffer p = { .buf = gpa(buf), .len = len };

	rt_hypercall(UHYVE_V1_SERIAL_WRITE_BUFFER, gpa(&p));
}

void rt_serial_write_byte(char byte)
{
	asm volatile("outb %0, %1" : : "a"(byte), "d"((uint16_t)UHYVE_V1_UART));
}

int rt_serial_read_byte(void)
{
	return -ENOSYS;
}

void rt_exit(int code)
{
	int32_t p = code;

	rt_hypercall(UHYVE_V1_EXIT, gpa(&p));
	__builtin_trap();
}

/* Points slots at room for n strings of these sizes (int32_t, unaligned), from *free on. */
static void reserve(char **slots, const void *sizes, int32_t n, char **free, const char *end)
{
	int32_t size;

	if (n < 0 || n > UHYVE_V1_ARGS_MAX)
		rt_die("more arguments than there can be");
	for (int32_t i = 0; i < n; i++) {
		memcpy(&size, (const char *)sizes + (size_t)i * sizeof(size), sizeof(size));
		if (size < 0 || size > end - *free)
			rt_die("the arguments are too long");
		slots[i] = *free;
		*free += size;
	}
	slots[n] = NULL;
}

void rt_get_args(struct rt_args *args)
{
	static struct uhyve_v1_cmdsize sizes;
	static char *argv[UHYVE_V1_ARGS_MAX + 1], *envp[UHYVE_V1_ARGS_MAX + 1];
	static char text[ARGS_TEXT_MAX], name[] = "guest";
	struct uhyve_v1_cmdval p = { .argv = gpa(argv), .envp = gpa(envp) };
	char *free = text;

	rt_hypercall(UHYVE_V1_CMDSIZE, gpa(&sizes));
	reserve(argv, sizes.argsz, sizes.argc, &free, text + sizeof(text));
	reserve(envp, sizes.envsz, sizes.envc, &free, text + sizeof(text));
	rt_hypercall(UHYVE_V1_CMDVAL, gpa(&p));
	argv[0] = name; /* was the path of the image */
	*args = (struct rt_args){ sizes.argc ? sizes.argc : 1, argv, envp };
}
