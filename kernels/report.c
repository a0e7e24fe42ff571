// SPDX-License-Identifier: ISC
/*
 * report: a small program as one records it. Reads numbers, one a line, from /in/north.txt and /in/south.txt
 * and writes their sums to /out/report.txt; takes no offence at the lack of a third file.
 */
#include "rt.h"

static char text[4096];

static void write_line(int fd, const char *name, int64_t n)
{
	char line[80], *digit = line + sizeof(line), *start;

	*--digit = '\n';
	do
		*--digit = (char)('0' + n % 10);
	while (n /= 10);
	start = digit - strlen(name);
	memcpy(start, name, strlen(name));
	rt_write(fd, start, (uint64_t)(line + sizeof(line) - start));
}

/* The sum of the numbers in a file, or -errno. */
static int64_t sum_of(const char *path)
{
	int fd = rt_open(path, O_RDONLY, 0);
	int64_t len, n, sum = 0;

	if (fd < 0)
		return fd;
	len = rt_read(fd, text, sizeof(text) - 1);
	rt_close(fd);
	for (char *line = text, *end; line < text + len; line = end + 1) {
		for (end = line; end < text + len && *end != '\n'; end++)
			;
		*end = 0;
		if (rt_parse_int(line, &n))
			sum += n;
	}
	return sum;
}

int main(int argc, char **argv, char **envp)
{
	int64_t north = sum_of("/in/north.txt"), south = sum_of("/in/south.txt"), west;
	int fd = rt_open("/out/report.txt", O_WRONLY | O_CREAT | O_TRUNC, 0644);

	(void)argc, (void)argv, (void)envp;
	if (north < 0 || south < 0 || fd < 0)
		rt_die("report: a file is missing");
	write_line(fd, "north=", north);
	write_line(fd, "south=", south);
	west = sum_of("/in/west.txt");
	printf("west: %s\n", rt_result(west));
	write_line(fd, "total=", north + south + (west < 0 ? 0 : west));
	rt_close(fd);
	return 0;
}
