// SPDX-License-Identifier: ISC
/* The runtime's calls in the second generation of hypercalls; arguments come in the device tree. */
#include "rt.h"

enum { ARGS_TEXT_MAX = 0x4000, ARGS_WORDS_MAX = ARGS_TEXT_MAX / 2 };

const int rt_abi = 2;

static uint64_t gpa(const void *p)
{
	return (uintptr_t)p;
}

int rt_open(const char *path, int flags, int mode)
{
	struct uhyve_open p = { .name = gpa(path), .flags = flags, .mode = mode };

	rt_hypercall(UHYVE_V2_OPEN, gpa(&p));
	return p.ret;
}

int rt_close(int fd)
{
	struct uhyve_close p = { .fd = fd };

	rt_hypercall(UHYVE_V2_CLOSE, gpa(&p));
	return p.ret;
}

int64_t rt_read(int fd, void *buf, uint64_t len)
{
	struct uhyve_v2_read p = { .len = len, .buf = gpa(buf), .fd = fd };

	rt_hypercall(UHYVE_V2_READ, gpa(&p));
	return p.ret;
}

int64_t rt_write(int fd, const void *buf, uint64_t len)
{
	struct uhyve_v2_write p = { .len = len, .buf = gpa(buf), .fd = fd };

	rt_hypercall(UHYVE_V2_WRITE, gpa(&p));
	return p.ret;
}

int64_t rt_lseek(int fd, int64_t offset, int whence)
{
	struct uhyve_v2_lseek p = {
		.offset = offset,
		.whence = (uint32_t)whence,
		.fd = fd,
	};

	rt_hypercall(UHYVE_V2_LSEEK, gpa(&p));
	return p.offset;
}

int rt_unlink(const char *path)
{
	struct uhyve_unlink p = { .name = gpa(path) };

	rt_hypercall(UHYVE_V2_UNLINK, gpa(&p));
	return p.ret;
}

/* A tagged result without payload. No tag at all is no answer. */
static int tagged(uint32_t tag, int32_t error)
{
	if (tag == UHYVE_RESULT_SUCCESS)
		return 0;
	return tag == UHYVE_RESULT_ERROR ? -error : -ENOSYS;
}

static int stat_path(const char *path, uint32_t kind, struct uhyve_attr *attr)
{
	struct uhyve_v2_stat p = { .name = gpa(path), .kind = kind, .attr = gpa(attr) };

	rt_hypercall(UHYVE_V2_STAT, gpa(&p));
	return tagged(p.tag, p.error);
}

int rt_stat(const char *path, struct uhyve_attr *attr)
{
	return stat_path(path, UHYVE_STAT_FOLLOW, attr);
}

int rt_lstat(const char *path, struct uhyve_attr *attr)
{
	return stat_path(path, UHYVE_STAT_NOFOLLOW, attr);
}

int rt_fstat(int fd, struct uhyve_attr *attr)
{
	struct uhyve_v2_fstat p = { .fd = fd, .attr = gpa(attr) };

	rt_hypercall(UHYVE_V2_FSTAT, gpa(&p));
	return tagged(p.tag, p.error);
}

int64_t rt_getdents(int fd, void *buf, uint64_t len)
{
	struct uhyve_v2_getdents p = { .fd = fd, .buf = gpa(buf), .len = len };

	rt_hypercall(UHYVE_V2_GETDENTS, gpa(&p));
	switch (p.tag) {
	case UHYVE_DENTS_SUCCESS:
		return (int64_t)p.payload;
	case UHYVE_DENTS_END:
		return 0;
	case UHYVE_DENTS_ERROR:
		return -(int32_t)p.payload;
	default:
		return -ENOSYS;
	}
}

int rt_mkdir(const char *path)
{
	struct uhyve_v2_mkdir p = { .name = gpa(path) };

	rt_hypercall(UHYVE_V2_MKDIR, gpa(&p));
	return tagged(p.tag, p.error);
}

int64_t rt_serial_read(void *buf, uint64_t len)
{
	struct uhyve_v2_serial_read_buffer p = { .maxlen = len, .buf = gpa(buf) };

	rt_hypercall(UHYVE_V2_SERIAL_READ_BUFFER, gpa(&p));
	return p.len;
}

void rt_serial_write(const void *buf, uint64_t len)
{
	struct uhyve_v2_serial_write_buffer p = { .len = len, .buf = gpa(buf) };

	rt_hypercall(UHYVE_V2_SERIAL_WRITE_BUFFER, gpa(&p));
}

void rt_serial_write_byte(char byte)
{
	rt_hypercall(UHYVE_V2_SERIAL_WRITE_BYTE, (unsigned char)byte);
}

int rt_serial_read_byte(void)
{
	int byte;

	asm volatile("inl %1, %0" : "=a"(byte) : "d"((uint16_t)UHYVE_V2_SERIAL_READ_BYTE));
	return byte;
}

void rt_exit(int code)
{
	rt_hypercall(UHYVE_V2_EXIT, (uint32_t)code);
	__builtin_trap();
}

/* bootargs = [kernel arguments] env=K=V ... [-- arguments]. Kernel arguments are not for us. */
void rt_get_args(struct rt_args *args)
{
	static char *words[ARGS_WORDS_MAX + 4], text[ARGS_TEXT_MAX + 1], name[] = "guest";
	char **next = words, *out = text, *word = text;
	size_t len = 0;
	const char *in = rt_fdt_property((const void *)rt_boot->fdt, "chosen", "bootargs", &len);
	const char *end = in + (len ? len - 1 : 0); /* its NUL */

	if (len > sizeof(text))
		rt_die("the arguments are too long");
	for (; rt_next_word(&in, end, &out) && strcmp(word, "--") != 0; word = out)
		if (!strncmp(word, "env=", 4))
			*next++ = word + 4;
	*next++ = NULL;
	*args = (struct rt_args){ .argv = next, .envp = words };
	*next++ = name;
	for (word = out; rt_next_word(&in, end, &out); word = out)
		*next++ = word;
	*next = NULL;
	args->argc = (int)(next - args->argv);
}
