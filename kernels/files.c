// SPDX-License-Identifier: ISC
/*
 * files [IN OUT]: a walk through the file calls. Reads IN, writes it to OUT in upper case with a
 * line added, reads that back, lists OUT's directory, makes and removes a file there.
 */
#include "rt.h"

enum { FILE_MAX = 0x8000, PATH_MAX = 4096 };

static char input[FILE_MAX], output[FILE_MAX + 64], again[FILE_MAX + 64], path[PATH_MAX];
static const char trailer[] = "-- copied by a guest\n";

/* The result, or the end of the program. */
static int64_t must(const char *what, int64_t r)
{
	if (r >= 0)
		return r;
	printf("  %s = %s\n", what, rt_result(r));
	exit(1);
}

static uint64_t read_input(const char *name)
{
	struct uhyve_attr attr;
	int64_t fd, len, r;

	printf("reading %s\n", name);
	fd = must("open", rt_open(name, O_RDONLY, 0));
	r = rt_fstat((int)fd, &attr);
	if (r)
		printf("  fstat = %s\n", rt_result(r));
	else
		printf("  fstat says %lld bytes\n", (long long)attr.size);
	len = must("read", rt_read((int)fd, input, sizeof(input)));
	printf("  read %lld bytes, the first line is ", (long long)len);
	for (r = 0; r < len && input[r] != '\n';)
		r++;
	rt_print_quoted(input, (size_t)r);
	putchar('\n');
	must("close", rt_close((int)fd));
	return (uint64_t)len;
}

static void write_output(const char *name, uint64_t len)
{
	int64_t fd, r;

	for (uint64_t i = 0; i < len; i++)
		output[i] = (char)(input[i] >= 'a' && input[i] <= 'z' ? input[i] - 32 : input[i]);
	memcpy(output + len, trailer, sizeof(trailer) - 1);
	len += sizeof(trailer) - 1;
	printf("writing %s\n", name);
	fd = must("open", rt_open(name, O_RDWR | O_CREAT | O_TRUNC, 0644));
	r = must("write", rt_write((int)fd, output, len));
	printf("  wrote %lld bytes, upper case and a line more\n", (long long)r);
	must("lseek", rt_lseek((int)fd, 0, SEEK_SET));
	r = must("read", rt_read((int)fd, again, sizeof(again)));
	printf("  read back %lld bytes: %s\n", (long long)r,
		(uint64_t)r == len && !memcmp(again, output, len) ? "the same" : "DIFFERENT");
	must("close", rt_close((int)fd));
}

/* Not sorted: for that see paths. */
static void list(const char *dir)
{
	static _Alignas(8) char entries[4096];
	int64_t fd, len, n = 0;

	printf("listing %s\n", dir);
	fd = must("open", rt_open(dir, O_RDONLY | O_DIRECTORY, 0));
	while ((len = rt_getdents((int)fd, entries, sizeof(entries))) > 0)
		for (int64_t at = 0; at < len; n++)
			at += ((struct linux_dirent64 *)(void *)(entries + at))->d_reclen;
	if (len)
		printf("  getdents = %s\n", rt_result(len));
	else
		printf("  %lld names, . and .. among them\n", (long long)n);
	must("close", rt_close((int)fd));
}

static void make_and_remove(const char *name)
{
	printf("making and removing %s\n", name);
	must("close",
		rt_close((int)must("open", rt_open(name, O_WRONLY | O_CREAT | O_EXCL, 0600))));
	printf("  unlink = %s", rt_result(rt_unlink(name)));
	printf(", and now open = %s\n", rt_result(rt_open(name, O_RDONLY, 0)));
}

int main(int argc, char **argv, char **envp)
{
	const char *out = argc == 3 ? argv[2] : "/out/output.txt";
	size_t len = strlen(out);

	(void)envp;
	if ((argc != 1 && argc != 3) || len > sizeof(path) - 16)
		rt_die("usage: files [IN OUT]");
	write_output(out, read_input(argc == 3 ? argv[1] : "/in/input.txt"));
	while (len && out[len - 1] != '/')
		len--;
	memcpy(path, len ? out : ".", len ? len : 1);
	list(path);
	memcpy(path + len, "files.tmp", sizeof("files.tmp"));
	make_and_remove(path);
	return 0;
}
