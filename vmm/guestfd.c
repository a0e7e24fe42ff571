// SPDX-License-Identifier: ISC
/* The guest's descriptors: a table and a bitmap of the numbers in use. */
#include "guestfd.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "hostfs.h"

void guestfd_init(struct guestfd_table *table, const struct hostfs *host, int limit, int console_in,
	int console_out)
{
	memset(table->used, 0, sizeof(table->used)); /* the slots say nothing without */
	table->host = host;
	table->limit = limit;
	for (int fd = 0; fd < GUESTFD_FIRST; fd++)
		guestfd_set(table, fd,
			&(struct guestfd){ .kind = GUESTFD_CONSOLE,
				.readable = fd == STDIN_FILENO,
				.writable = fd != STDIN_FILENO,
				.host = fd == STDIN_FILENO ? console_in : console_out,
				.quota = -1,
				.node = -1 });
}

void guestfd_finish(struct guestfd_table *table)
{
	for (int i = 0; i < GUESTFD_MAX / 64; i++)
		for (uint64_t used = table->used[i]; used; used &= used - 1)
			guestfd_close(table, 64 * i + __builtin_ctzll(used));
}

static bool is_used(const struct guestfd_table *table, int fd)
{
	return table->used[fd / 64] >> fd % 64 & 1;
}

struct guestfd *guestfd_get(struct guestfd_table *table, int fd)
{
	if (fd < 0 || fd >= GUESTFD_MAX || !is_used(table, fd))
		return NULL;
	return &table->slots[fd];
}

int guestfd_next(const struct guestfd_table *table)
{
	for (int i = 0; 64 * i < table->limit; i++) {
		int fd = 64 * i + (~table->used[i] ? __builtin_ctzll(~table->used[i]) : 64);

		if (fd < 64 * (i + 1))
			return fd < table->limit ? fd : -EMFILE;
	}
	return -EMFILE;
}

void guestfd_set(struct guestfd_table *table, int fd, const struct guestfd *what)
{
	assert(fd >= 0 && fd < GUESTFD_MAX && !is_used(table, fd));
	table->slots[fd] = *what;
	table->used[fd / 64] |= 1ull << fd % 64;
}

int guestfd_close(struct guestfd_table *table, int fd)
{
	struct guestfd *slot = guestfd_get(table, fd);

	if (!slot)
		return -EBADF;
	if (fd < GUESTFD_FIRST)
		return 0;
	if (slot->owned)
		table->host->close(slot->host);
	table->used[fd / 64] &= ~(1ull << fd % 64);
	return 0;
}
