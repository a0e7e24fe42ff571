// SPDX-License-Identifier: ISC
/*
 * badcalls: every call with arguments no honest guest would use. Each must come back with an error.
 * badcalls fatal KIND: a call that has no way to say so; the machine must stop.
 */
#include "rt.h"

enum { LONG_NAME = 4096 };
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char name[LONG_NAME + 1], buf[64];
static uint64_t ram_start, ram_end;

/* -1 is not taken for -EPERM: it is what v1's lseek has to answer. */
static void say(const char *call, const char *what, int64_t r)
{
	printf("%s, %s = %s\n", call, what, r == -1 ? "-1" : rt_result(r));
}

/* A call on a descriptor, a buffer, or both. */
typedef int64_t fd_call(int fd, uint64_t at, uint64_t len);

static int64_t do_close(int fd, uint64_t at, uint64_t len)
{
	(void)at, (void)len;
	return rt_close(fd);
}

static int64_t do_lseek(int fd, uint64_t at, uint64_t len)
{
	(void)at, (void)len;
	return rt_lseek(fd, 0, SEEK_SET);
}

static int64_t do_read(int fd, uint64_t at, uint64_t len)
{
	return rt_read(fd, (void *)at, len);
}

static int64_t do_write(int fd, uint64_t at, uint64_t len)
{
	return rt_write(fd, (void *)at, len);
}

static int64_t do_getdents(int fd, uint64_t at, uint64_t len)
{
	return rt_getdents(fd, (void *)at, len);
}

static int64_t do_fstat(int fd, uint64_t at, uint64_t len)
{
	(void)len;
	return rt_fstat(fd, (void *)at);
}

static int64_t do_stat(int fd, uint64_t at, uint64_t len)
{
	(void)fd, (void)len;
	return rt_stat("/", (void *)at);
}

static int64_t do_serial_read(int fd, uint64_t at, uint64_t len)
{
	(void)fd;
	return rt_serial_read((void *)at, len);
}

enum { FD = 1, BUFFER = 2, LENGTH = 4, ON_DIR = 8 };

static const struct {
	const char *name;
	fd_call *run;
	int since; /* the first ABI that has it, and an answer for it */
	int takes;
} fd_calls[] = {
	{ "close", do_close, 1, FD },
	{ "lseek", do_lseek, 1, FD },
	{ "read", do_read, 1, FD | BUFFER | LENGTH },
	{ "write", do_write, 2, FD | BUFFER | LENGTH },
	{ "getdents", do_getdents, 2, FD | BUFFER | LENGTH | ON_DIR },
	{ "fstat", do_fstat, 2, FD | BUFFER },
	{ "stat", do_stat, 2, BUFFER },
	{ "serial_read", do_serial_read, 2, BUFFER | LENGTH },
};

static void bad_fds(const char *call, fd_call *run)
{
	static const struct {
		const char *what;
		int fd;
	} rows[] = {
		{ "fd -1", -1 },
		{ "fd 3", 3 },
		{ "fd 1000000", 1000000 },
		{ "fd INT_MIN", INT32_MIN },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		say(call, rows[i].what, run(rows[i].fd, (uintptr_t)buf, sizeof(buf)));
		if (run != do_close && run != do_lseek)
			say(call, "and no buffer", run(rows[i].fd, ram_end, sizeof(buf)));
	}
}

static void bad_buffers(const char *call, fd_call *run, int takes, int fd)
{
	const struct {
		const char *what;
		uint64_t at, len;
	} rows[] = {
		{ "buffer begins below RAM", ram_start - 8, 16 },
		{ "buffer ends after RAM", ram_end - 8, 16 },
		{ "buffer after RAM", ram_end, 16 },
		{ "buffer at 2^63", 1ull << 63, 16 },
		{ "buffer wraps around", -(uint64_t)8, 16 },
		{ "2^63 bytes", (uintptr_t)buf, 1ull << 63 },
		{ "2^64 - 1 bytes", (uintptr_t)buf, ~0ull },
		{ "0 bytes", (uintptr_t)buf, 0 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].at == (uintptr_t)buf && !(takes & LENGTH))
			continue;
		if (takes & FD)
			rt_lseek(fd, 0, SEEK_SET);
		say(call, rows[i].what, run(fd, rows[i].at, rows[i].len));
	}
}

/* The calls that take a name. */
static int do_open(const char *path)
{
	return rt_open(path, O_RDONLY, 0);
}

static int do_create(const char *path)
{
	return rt_open(path, O_WRONLY | O_CREAT, 0644);
}

static int do_stat_name(const char *path)
{
	struct uhyve_attr attr;

	return rt_stat(path, &attr);
}

static int do_lstat_name(const char *path)
{
	struct uhyve_attr attr;

	return rt_lstat(path, &attr);
}

static const struct {
	const char *name;
	int (*run)(const char *path);
	int since;
} name_calls[] = {
	{ "open", do_open, 1 },
	{ "create", do_create, 1 },
	{ "unlink", rt_unlink, 1 },
	{ "stat", do_stat_name, 2 },
	{ "lstat", do_lstat_name, 2 },
	{ "mkdir", rt_mkdir, 2 },
};

static void bad_names(const char *call, int (*run)(const char *path))
{
	const struct {
		const char *what;
		uint64_t at;
	} rows[] = {
		{ "empty", (uintptr_t) "" },
		{ "name after RAM", ram_end },
		{ "name at 2^64 - 1", ~0ull },
		{ "name runs off the end of RAM", ram_end - 16 },
		{ "4096 bytes and no NUL", (uintptr_t)name },
		{ "a component of 256 bytes", (uintptr_t)name + LONG_NAME - 256 },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		say(call, rows[i].what, run((const char *)rows[i].at));
}

static void bad_flags(void)
{
	static const struct {
		const char *what;
		int flags;
	} rows[] = {
		{ "access mode 3", O_WRONLY | O_RDWR },
		{ "O_PATH", O_PATH },
		{ "O_DIRECT", O_DIRECT },
		{ "O_ASYNC", O_ASYNC },
		{ "unknown bits", 1 << 30 },
		{ "O_CREAT and O_DIRECTORY", O_CREAT | O_DIRECTORY },
		{ "all bits", -1 },
		{ "O_TMPFILE", O_TMPFILE | O_RDWR },
		{ "to write a directory", O_RDWR },
		{ "to create a directory", O_CREAT },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		say("open", rows[i].what, rt_open("/", rows[i].flags, -1));
}

static void bad_seeks(int fd)
{
	static const struct {
		const char *what;
		int64_t offset;
		int whence;
	} rows[] = {
		{ "whence 77", 0, 77 },
		{ "whence -1", 0, -1 },
		{ "before the start", -1, SEEK_SET },
		{ "far before the end", INT64_MIN, SEEK_END },
		{ "past 2^63", INT64_MAX, SEEK_END },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		say("lseek", rows[i].what, rt_lseek(fd, rows[i].offset, rows[i].whence));
}

/* Calls that cannot fail politely. */
static void fatal_block(void)
{
	rt_hypercall(rt_abi == 1 ? UHYVE_V1_CLOSE : UHYVE_V2_CLOSE, ram_end);
}

static void fatal_half(void)
{
	rt_hypercall(rt_abi == 1 ? UHYVE_V1_CLOSE : UHYVE_V2_CLOSE, ram_end - 4);
}

static void fatal_unknown(void)
{
	rt_hypercall(0x11f0, (uintptr_t)buf);
}

static void fatal_serial(void)
{
	rt_serial_write((const void *)(ram_end - 8), 16);
}

static void fatal_write(void)
{
	rt_write(-1, buf, sizeof(buf));
}

static void fatal_exit(void)
{
	rt_hypercall(UHYVE_V1_EXIT, ram_end);
}

static void fatal_cmdval(void)
{
	struct uhyve_v1_cmdval p = { .argv = ram_end, .envp = ram_end };

	rt_hypercall(UHYVE_V1_CMDVAL, (uintptr_t)&p);
}

static const struct {
	const char *name;
	void (*run)(void);
	int last; /* the last ABI in which it is fatal */
} fatal_calls[] = {
	{ "block", fatal_block, 2 },
	{ "half", fatal_half, 2 },
	{ "unknown", fatal_unknown, 2 },
	{ "serial", fatal_serial, 2 },
	{ "write", fatal_write, 1 },
	{ "exit", fatal_exit, 1 },
	{ "cmdval", fatal_cmdval, 1 },
};

static void fatal(const char *kind)
{
	for (size_t i = 0; i < COUNT(fatal_calls); i++) {
		if (strcmp(fatal_calls[i].name, kind) != 0 || rt_abi > fatal_calls[i].last)
			continue;
		printf("badcalls: fatal %s\n", kind);
		fatal_calls[i].run();
		rt_die("still here");
	}
	rt_die("badcalls: no such kind in this ABI");
}

static void survivable(void)
{
	int file, dir;

	for (size_t i = 0; i < COUNT(fd_calls); i++)
		if (rt_abi >= fd_calls[i].since && fd_calls[i].takes & FD)
			bad_fds(fd_calls[i].name, fd_calls[i].run);
	file = rt_open("/badcalls", O_RDWR | O_CREAT, 0600);
	dir = rt_open("/", O_RDONLY | O_DIRECTORY, 0);
	rt_write(file, name, sizeof(buf));
	for (size_t i = 0; i < COUNT(fd_calls); i++)
		if (rt_abi >= fd_calls[i].since && fd_calls[i].takes & BUFFER)
			bad_buffers(fd_calls[i].name, fd_calls[i].run, fd_calls[i].takes,
				fd_calls[i].takes & ON_DIR ? dir : file);
	for (size_t i = 0; i < COUNT(name_calls); i++)
		if (rt_abi >= name_calls[i].since)
			bad_names(name_calls[i].name, name_calls[i].run);
	say("create", "a directory", do_create("/"));
	say("unlink", "a directory", rt_unlink("/"));
	bad_flags();
	bad_seeks(file);
	if (rt_abi >= 2) {
		say("mkdir", "a directory", rt_mkdir("/"));
		say("read", "a directory", rt_read(dir, buf, sizeof(buf)));
		say("getdents", "a file", rt_getdents(file, buf, sizeof(buf)));
		say("getdents", "room for 1 byte", rt_getdents(dir, buf, 1));
	}
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	ram_start = rt_boot->ram_start;
	ram_end = rt_boot->ram_end;
	if (rt_map_ram() != ram_end)
		rt_die("badcalls: too much RAM");
	memset(name, 'a', LONG_NAME);
	memset((void *)(ram_end - 16), 'a', 16);
	if (argc == 3 && !strcmp(argv[1], "fatal"))
		fatal(argv[2]);
	if (argc != 1)
		rt_die("usage: badcalls [fatal KIND]");
	survivable();
	printf("badcalls: survived\n");
	return 0;
}
