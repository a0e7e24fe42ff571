// SPDX-License-Identifier: ISC
/* The table of guest descriptors: any number is bearable, numbers are Linux's. */
#include "guestfd.h"
#include "hostfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "unit.h"

static struct guestfd_table table;

static int take(int host, bool owned)
{
	int fd = guestfd_next(&table);

	if (fd >= 0)
		guestfd_set(&table, fd,
			&(struct guestfd){ .kind = GUESTFD_FILE, .host = host, .owned = owned });
	return fd;
}

static void bears_any_number(void)
{
	static const int hostile[] = { -1, INT_MIN, INT_MAX, GUESTFD_MAX, GUESTFD_MAX + 1, 3, 63,
		64, GUESTFD_MAX - 1, -GUESTFD_MAX, 1 << 30 };

	guestfd_init(&table, &hostfs_openat2, GUESTFD_MAX, -1, -1);
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		CU_ASSERT_PTR_NULL(guestfd_get(&table, hostile[i]));
		CU_ASSERT_EQUAL(guestfd_close(&table, hostile[i]), -EBADF);
	}
	guestfd_finish(&table);
}

static void consoles_are_borrowed(void)
{
	int pipe_fds[2];

	CU_ASSERT_FATAL(pipe2(pipe_fds, O_CLOEXEC) == 0);
	guestfd_init(&table, &hostfs_openat2, GUESTFD_MAX, pipe_fds[0], pipe_fds[1]);
	for (int fd = 0; fd < 3; fd++) {
		CU_ASSERT_EQUAL(guestfd_close(&table, fd), 0);
		CU_ASSERT_PTR_NOT_NULL_FATAL(guestfd_get(&table, fd));
		CU_ASSERT_EQUAL(guestfd_get(&table, fd)->kind, GUESTFD_CONSOLE);
		CU_ASSERT_EQUAL(guestfd_get(&table, fd)->host, pipe_fds[fd > 0]);
		CU_ASSERT_EQUAL(guestfd_get(&table, fd)->readable, fd == 0);
		CU_ASSERT_EQUAL(guestfd_get(&table, fd)->writable, fd != 0);
		CU_ASSERT_EQUAL(guestfd_get(&table, fd)->quota, -1);
		CU_ASSERT_EQUAL(guestfd_get(&table, fd)->node, -1);
	}
	guestfd_finish(&table);
	CU_ASSERT(fcntl(pipe_fds[0], F_GETFD) >= 0);
	CU_ASSERT(fcntl(pipe_fds[1], F_GETFD) >= 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void gives_the_lowest_free_number(void)
{
	guestfd_init(&table, &hostfs_openat2, GUESTFD_MAX, -1, -1);
	for (int fd = 3; fd < 200; fd++)
		CU_ASSERT_EQUAL(take(1000 + fd, false), fd);
	CU_ASSERT_EQUAL(guestfd_close(&table, 130), 0);
	CU_ASSERT_EQUAL(guestfd_close(&table, 5), 0);
	CU_ASSERT_EQUAL(guestfd_close(&table, 5), -EBADF);
	CU_ASSERT_EQUAL(take(1, false), 5);
	CU_ASSERT_EQUAL(take(2, false), 130);
	CU_ASSERT_EQUAL(take(3, false), 200);
	CU_ASSERT_EQUAL(guestfd_get(&table, 130)->host, 2);
	CU_ASSERT_EQUAL(guestfd_get(&table, 129)->host, 1129);
	guestfd_finish(&table);
}

static void is_full_at_its_limit(void)
{
	for (int limit = GUESTFD_FIRST; limit <= GUESTFD_MAX; limit++) {
		int n = GUESTFD_FIRST;

		guestfd_init(&table, &hostfs_openat2, limit, -1, -1);
		while (take(-1, false) == n)
			n++;
		CU_ASSERT_EQUAL(n, limit);
		CU_ASSERT_EQUAL(guestfd_next(&table), -EMFILE);
		guestfd_finish(&table);
	}
}

static void every_number_is_free_again(void)
{
	guestfd_init(&table, &hostfs_openat2, GUESTFD_MAX, -1, -1);
	while (take(-1, false) >= 0)
		;
	for (int fd = GUESTFD_FIRST; fd < GUESTFD_MAX; fd++) {
		CU_ASSERT_EQUAL(guestfd_close(&table, fd), 0);
		CU_ASSERT_EQUAL(guestfd_next(&table), fd);
		CU_ASSERT_EQUAL(take(-1, false), fd);
	}
	guestfd_finish(&table);
}

static void closes_only_what_it_owns(void)
{
	int ours = open("/", O_PATH | O_CLOEXEC), borrowed = open("/", O_PATH | O_CLOEXEC);
	int left = open("/", O_PATH | O_CLOEXEC);

	guestfd_init(&table, &hostfs_openat2, GUESTFD_MAX, -1, -1);
	CU_ASSERT_EQUAL(guestfd_close(&table, take(ours, true)), 0);
	CU_ASSERT_EQUAL(guestfd_close(&table, take(borrowed, false)), 0);
	take(left, true);
	guestfd_finish(&table);
	CU_ASSERT(fcntl(ours, F_GETFD) < 0);
	CU_ASSERT(fcntl(left, F_GETFD) < 0);
	CU_ASSERT(fcntl(borrowed, F_GETFD) >= 0);
	close(borrowed);
}

static int times_closed[GUESTFD_MAX];

static void count_close(int fd)
{
	times_closed[fd]++;
}

static void closes_all_at_the_end(void)
{
	static const struct hostfs counts = { .name = "counts", .close = count_close };
	int fd, wrong = 0;

	guestfd_init(&table, &counts, GUESTFD_MAX, -1, -1);
	while ((fd = take(guestfd_next(&table), true)) >= 0)
		;
	guestfd_close(&table, 700);
	guestfd_finish(&table);
	for (fd = 0; fd < GUESTFD_MAX; fd++)
		wrong += times_closed[fd] != (fd >= GUESTFD_FIRST);
	CU_ASSERT_EQUAL(wrong, 0);
}

static const struct unit_case cases[] = {
	{ "bears_any_number", bears_any_number },
	{ "consoles_are_borrowed", consoles_are_borrowed },
	{ "gives_the_lowest_free_number", gives_the_lowest_free_number },
	{ "is_full_at_its_limit", is_full_at_its_limit },
	{ "every_number_is_free_again", every_number_is_free_again },
	{ "closes_only_what_it_owns", closes_only_what_it_owns },
	{ "closes_all_at_the_end", closes_all_at_the_end },
};

UNIT_MAIN("guestfd", cases)
