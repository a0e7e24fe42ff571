// SPDX-License-Identifier: ISC
/*
 * filework N [DIR]: N times, reads a file of DIR (default /out) and writes another, which begins with the
 * number of the turn: open, read, close, open, write, close. Sizes go round from 256 bytes to 4 KiB. For
 * measuring, and for being killed.
 */
#include "rt.h"

enum { FILES = 5, SMALLEST = 256, LARGEST = SMALLEST << (FILES - 1), PATH_MAX = 4096 };

static char data[LARGEST], path[PATH_MAX];

static int64_t must(const char *what, int64_t r)
{
	if (r >= 0)
		return r;
	printf("%s %s = %s\n", what, path, rt_result(r));
	exit(1);
}

static int open_file(size_t dir_len, char kind, uint64_t i, int flags)
{
	path[dir_len] = '/';
	path[dir_len + 1] = kind;
	path[dir_len + 2] = (char)('0' + i % FILES);
	path[dir_len + 3] = 0;
	return (int)must("open", rt_open(path, flags, 0644));
}

static void put(int fd, uint64_t len)
{
	if ((uint64_t)must("write", rt_write(fd, data, len)) != len)
		rt_die("filework: a short write");
	must("close", rt_close(fd));
}

static uint64_t turn(size_t dir_len, uint64_t i)
{
	int fd = open_file(dir_len, 'r', i, O_RDONLY);
	uint64_t len = (uint64_t)must("read", rt_read(fd, data, sizeof(data)));

	must("close", rt_close(fd));
	memcpy(data, &(uint64_t){ i + 1 }, sizeof(i));
	put(open_file(dir_len, 'w', i, O_WRONLY | O_CREAT), len);
	return len;
}

int main(int argc, char **argv, char **envp)
{
	const char *dir = argc > 2 ? argv[2] : "/out";
	size_t dir_len = strlen(dir);
	uint64_t bytes = 0;
	int64_t n = 1000;

	(void)envp;
	if (argc > 3 || (argc > 1 && (!rt_parse_int(argv[1], &n) || n < 0)) ||
		dir_len > PATH_MAX - 4)
		rt_die("usage: filework N [DIR]");
	memcpy(path, dir, dir_len);
	memset(data, 'b', sizeof(data));
	for (uint64_t i = 0; i < FILES; i++)
		put(open_file(dir_len, 'r', i, O_WRONLY | O_CREAT), (uint64_t)SMALLEST << i);
	for (uint64_t i = 0; i < (uint64_t)n; i++)
		bytes += turn(dir_len, i);
	printf("filework: %lld turns, %llu bytes read and written\n", (long long)n,
		(unsigned long long)bytes);
	return 0;
}
