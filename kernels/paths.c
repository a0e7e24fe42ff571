// SPDX-License-Identifier: ISC
/*
 * paths OP[,FLAGS]:PATH ...: tries each and prints what came of it. OP: open create stat lstat
 * readdir mkdir unlink, and hold, which opens and does not close; FLAGS: open flags joined by `+`;
 * PATH: any bytes, \xHH and \\ understood. Or OP,FD:TEXT, on a descriptor: write:BYTES, read:LENGTH
 * and seek:OFFSET, fstat: getdents: close: with nothing. Or mounts:, what the boot data names.
 */
#include "rt.h"

enum { CONTENT_MAX = 0x10000, NAMES_MAX = 1024 };

static _Alignas(8) char content[CONTENT_MAX], listing[CONTENT_MAX];

static const struct {
	const char *name;
	int value;
} flag_names[] = {
	{ "rdonly", O_RDONLY },
	{ "wronly", O_WRONLY },
	{ "rdwr", O_RDWR },
	{ "creat", O_CREAT },
	{ "excl", O_EXCL },
	{ "noctty", O_NOCTTY },
	{ "trunc", O_TRUNC },
	{ "append", O_APPEND },
	{ "nonblock", O_NONBLOCK },
	{ "dsync", O_DSYNC },
	{ "async", O_ASYNC },
	{ "direct", O_DIRECT },
	{ "largefile", O_LARGEFILE },
	{ "sync", O_SYNC },
	{ "directory", O_DIRECTORY },
	{ "nofollow", O_NOFOLLOW },
	{ "noatime", O_NOATIME },
	{ "cloexec", O_CLOEXEC },
	{ "path", O_PATH },
	{ "tmpfile", O_TMPFILE },
};

static void hold(const char *path, int flags)
{
	printf(" = %s\n", rt_result(rt_open(path, flags, 0666)));
}

static void open_and_read(const char *path, int flags)
{
	int fd = rt_open(path, flags, 0666);
	int64_t len = 0, r = 0;

	printf(" = %s\n", rt_result(fd));
	if (fd < 0 || (flags & O_ACCMODE) == O_WRONLY)
		return;
	while (len < CONTENT_MAX &&
		(r = rt_read(fd, content + len, CONTENT_MAX - (uint64_t)len)) > 0)
		len += r;
	printf("  ");
	if (r < 0)
		printf("read = %s", rt_result(r));
	else
		rt_print_quoted(content, (size_t)len);
	putchar('\n');
	rt_close(fd);
}

static void create(const char *path, int flags)
{
	static const char text[] = "made by a guest\n";
	int fd = rt_open(path, O_CREAT | O_WRONLY | flags, 0666);
	int64_t r;

	printf(" = %s\n", rt_result(fd));
	if (fd < 0)
		return;
	r = rt_write(fd, text, sizeof(text) - 1);
	if (r != sizeof(text) - 1)
		printf("  write = %s\n", rt_result(r));
	rt_close(fd);
}

/* Only what does not differ from host to host. */
static void print_attr(int r, const struct uhyve_attr *attr)
{
	static const char *const types[16] = {
		[S_IFIFO >> 12] = "fifo",
		[S_IFCHR >> 12] = "char",
		[S_IFDIR >> 12] = "directory",
		[S_IFBLK >> 12] = "block",
		[S_IFREG >> 12] = "file",
		[S_IFLNK >> 12] = "link",
		[S_IFSOCK >> 12] = "socket",
	};
	const char *type = types[attr->mode >> 12 & 15];

	if (r) {
		printf(" = %s\n", rt_result(r));
		return;
	}
	printf(" = %s, mode %04o", type ? type : "of no type", attr->mode & 07777);
	if ((attr->mode & S_IFMT) == S_IFREG || (attr->mode & S_IFMT) == S_IFLNK)
		printf(", %lld bytes", (long long)attr->size);
	putchar('\n');
}

static void stat(const char *path, int flags)
{
	struct uhyve_attr attr = { 0 };

	(void)flags;
	print_attr(rt_stat(path, &attr), &attr);
}

static void lstat(const char *path, int flags)
{
	struct uhyve_attr attr = { 0 };

	(void)flags;
	print_attr(rt_lstat(path, &attr), &attr);
}

/* Puts a name where it belongs among n sorted ones. */
static void insert(const char **names, size_t n, const char *name)
{
	for (; n && strcmp(names[n - 1], name) > 0; n--)
		names[n] = names[n - 1];
	names[n] = name;
}

static void readdir(const char *path, int flags)
{
	static const char *names[NAMES_MAX];
	size_t n = 0, len = 0;
	int fd = rt_open(path, O_RDONLY | O_DIRECTORY | flags, 0);
	int64_t r = fd;

	while (fd >= 0 && (r = rt_getdents(fd, listing + len, sizeof(listing) - len)) > 0)
		len += (size_t)r;
	if (fd >= 0)
		rt_close(fd);
	if (r < 0) {
		printf(" = %s\n", rt_result(r));
		return;
	}
	for (size_t at = 0; at < len && n < NAMES_MAX; n++) {
		struct linux_dirent64 *entry = (struct linux_dirent64 *)(void *)(listing + at);

		insert(names, n, entry->d_name);
		at += entry->d_reclen;
	}
	printf(" = %zu names\n", n);
	for (size_t i = 0; i < n; i++) {
		printf("  ");
		rt_print_quoted(names[i], strlen(names[i]));
		putchar('\n');
	}
}

static void mkdir(const char *path, int flags)
{
	(void)flags;
	printf(" = %s\n", rt_result(rt_mkdir(path)));
}

static void unlink(const char *path, int flags)
{
	(void)flags;
	printf(" = %s\n", rt_result(rt_unlink(path)));
}

static int64_t number(const char *text)
{
	int64_t n;

	if (!rt_parse_int(text, &n))
		rt_die("paths: not a number");
	return n;
}

static void write(const char *text, int fd)
{
	printf(" = %s\n", rt_result(rt_write(fd, text, strlen(text))));
}

static void read(const char *text, int fd)
{
	int64_t len = number(text), r;

	if (len < 0 || len > CONTENT_MAX)
		rt_die("paths: that much is not read at once");
	r = rt_read(fd, content, (uint64_t)len);
	printf(" = %s\n", rt_result(r));
	if (r < 0)
		return;
	printf("  ");
	rt_print_quoted(content, (size_t)r);
	putchar('\n');
}

/* An error is -1 in v1, which is not taken for -EPERM. */
static void seek(const char *text, int fd)
{
	int64_t r = rt_lseek(fd, number(text), SEEK_SET);

	printf(" = %s\n", r == -1 ? "-1" : rt_result(r));
}

static void fstat(const char *text, int fd)
{
	struct uhyve_attr attr = { 0 };

	(void)text;
	print_attr(rt_fstat(fd, &attr), &attr);
}

/* The length differs with the order of the names. */
static void getdents(const char *text, int fd)
{
	int64_t r = rt_getdents(fd, listing, sizeof(listing));

	(void)text;
	printf(" = %s\n", r > 0 ? "some" : rt_result(r));
}

static void close(const char *text, int fd)
{
	(void)text;
	printf(" = %s\n", rt_result(rt_close(fd)));
}

/* Directories a kernel is to mount: what v2's device tree says. */
static void mounts(const char *text, int flags)
{
	size_t len = 0;
	const char *at =
		rt_fdt_property((const void *)rt_boot->fdt, "uhyve,mounts", "mounts", &len);
	const char *end = at + len;

	(void)text, (void)flags;
	printf(" = %s\n", at ? "listed" : "none");
	for (; at < end; at += strlen(at) + 1) {
		printf("  ");
		rt_print_quoted(at, strlen(at));
		putchar('\n');
	}
}

static const struct {
	const char *name;
	void (*run)(const char *text, int flags_or_fd);
	bool on_fd;
} ops[] = {
	{ "open", open_and_read, false },
	{ "create", create, false },
	{ "stat", stat, false },
	{ "lstat", lstat, false },
	{ "readdir", readdir, false },
	{ "mkdir", mkdir, false },
	{ "unlink", unlink, false },
	{ "hold", hold, false },
	{ "mounts", mounts, false },
	{ "write", write, true },
	{ "read", read, true },
	{ "seek", seek, true },
	{ "fstat", fstat, true },
	{ "getdents", getdents, true },
	{ "close", close, true },
};

/* "rdwr+trunc" */
static int parse_flags(const char *s)
{
	int flags = 0;

	while (*s) {
		const char *plus = strchr(s, '+');
		size_t len = plus ? (size_t)(plus - s) : strlen(s), i = 0;

		while (strncmp(flag_names[i].name, s, len) != 0 || flag_names[i].name[len])
			if (++i == sizeof(flag_names) / sizeof(flag_names[0]))
				rt_die("paths: no such flag");
		flags |= flag_names[i].value;
		s += len + (plus != NULL);
	}
	return flags;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 'a' - 'A';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place: the result is never longer. */
static void unescape(char *s)
{
	char *o = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] == 'x' && hex(s[2]) >= 0 && hex(s[3]) >= 0) {
			*o++ = (char)(hex(s[2]) << 4 | hex(s[3]));
			s += 3;
		} else {
			s += s[0] == '\\' && s[1] == '\\';
			*o++ = *s;
		}
	}
	*o = 0;
}

static void run(char *arg)
{
	char *path = strchr(arg, ':'), *what, none[] = "";
	size_t i = 0;

	if (!path)
		rt_die("usage: paths OP[,FLAGS]:PATH ... or OP,FD:TEXT ...");
	*path++ = 0;
	what = strchr(arg, ',');
	if (what)
		*what++ = 0;
	else
		what = none;
	while (strcmp(arg, ops[i].name) != 0)
		if (++i == sizeof(ops) / sizeof(ops[0]))
			rt_die("paths: no such operation");
	unescape(path);
	printf("%s ", arg);
	if (ops[i].on_fd)
		printf("%s ", what);
	rt_print_quoted(path, strlen(path));
	ops[i].run(path, ops[i].on_fd ? (int)number(what) : parse_flags(what));
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)envp;
	for (argv++; *argv; argv++)
		run(*argv);
	return 0;
}
