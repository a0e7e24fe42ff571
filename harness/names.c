// SPDX-License-Identifier: ISC
/* Names of Linux's numbers: tables, and a search through them. */
#include "names.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi_uhyve.h"
#include "trace_record.h"
#include "vm.h"

static const struct name access_modes[] = {
	{ O_RDONLY, "O_RDONLY" },
	{ O_WRONLY, "O_WRONLY" },
	{ O_RDWR, "O_RDWR" },
	{ O_ACCMODE, "O_ACCMODE" },
};
static const struct name open_flags[] = {
	{ O_CREAT, "O_CREAT" },
	{ O_EXCL, "O_EXCL" },
	{ O_NOCTTY, "O_NOCTTY" },
	{ O_TRUNC, "O_TRUNC" },
	{ O_APPEND, "O_APPEND" },
	{ O_NONBLOCK, "O_NONBLOCK" },
	{ O_SYNC, "O_SYNC" },
	{ O_DSYNC, "O_DSYNC" },
	{ O_ASYNC, "O_ASYNC" },
	{ O_DIRECT, "O_DIRECT" },
	{ 0100000, "O_LARGEFILE" },
	{ O_TMPFILE, "O_TMPFILE" },
	{ O_DIRECTORY, "O_DIRECTORY" },
	{ O_NOFOLLOW, "O_NOFOLLOW" },
	{ O_NOATIME, "O_NOATIME" },
	{ O_CLOEXEC, "O_CLOEXEC" },
	{ O_PATH, "O_PATH" },
};
static const struct name whences[] = {
	{ SEEK_SET, "SEEK_SET" },
	{ SEEK_CUR, "SEEK_CUR" },
	{ SEEK_END, "SEEK_END" },
	{ SEEK_DATA, "SEEK_DATA" },
	{ SEEK_HOLE, "SEEK_HOLE" },
};
static const struct name stat_kinds[] = {
	{ UHYVE_STAT_FOLLOW, "STAT" },
	{ UHYVE_STAT_NOFOLLOW, "LSTAT" },
};
static const struct name file_types[] = {
	{ S_IFREG, "S_IFREG" },
	{ S_IFDIR, "S_IFDIR" },
	{ S_IFLNK, "S_IFLNK" },
	{ S_IFCHR, "S_IFCHR" },
	{ S_IFBLK, "S_IFBLK" },
	{ S_IFIFO, "S_IFIFO" },
	{ S_IFSOCK, "S_IFSOCK" },
};
static const struct name stops[] = {
	{ VM_RUNNING, "running" },
	{ VM_EXITED, "exited" },
	{ VM_CRASHED, "crashed" },
	{ VM_DEBUG, "debug" },
	{ VM_KICKED, "kicked" },
	{ VM_FAILED, "failed" },
	{ VM_CALL, "call" },
	{ VM_PAUSED, "paused" },
};
static const struct name trees[] = {
	{ TREE_NONE, "removed" },
	{ TREE_FILE, "file" },
	{ TREE_DIR, "dir" },
	{ TREE_LINK, "link" },
	{ TREE_FIFO, "fifo" },
	{ TREE_SOCKET, "socket" },
	{ TREE_DEVICE, "device" },
};

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

_Static_assert(ARRAY_LEN(stops) == VM_STOP_COUNT, "a name each");
_Static_assert(ARRAY_LEN(trees) == TREE_KIND_COUNT, "a name each");

const struct names names_access = { access_modes, ARRAY_LEN(access_modes), sizeof("O_") - 1 };
const struct names names_open_flags = { open_flags, ARRAY_LEN(open_flags), sizeof("O_") - 1 };
const struct names names_whence = { whences, ARRAY_LEN(whences), sizeof("SEEK_") - 1 };
const struct names names_stat_kind = { stat_kinds, ARRAY_LEN(stat_kinds), 0 };
const struct names names_file_type = { file_types, ARRAY_LEN(file_types), sizeof("S_IF") - 1 };
const struct names names_stop = { stops, ARRAY_LEN(stops), 0 };
const struct names names_tree = { trees, ARRAY_LEN(trees), 0 };

const char *name_of(const struct names *names, uint64_t value)
{
	for (size_t i = 0; i < names->n; i++)
		if (names->rows[i].value == value)
			return names->rows[i].text;
	return NULL;
}

bool name_short(const struct names *names, uint64_t value, char buf[NAME_SHORT_MAX])
{
	const char *name = name_of(names, value);
	size_t n = 0;

	for (name = name ? name + names->prefix : ""; *name && n < NAME_SHORT_MAX - 1; name++)
		buf[n++] = (char)(*name >= 'A' && *name <= 'Z' ? *name - 'A' + 'a' : *name);
	buf[n] = 0;
	return n;
}

bool name_find_short(const struct names *names, const char *text, size_t len, uint64_t *value)
{
	char name[NAME_SHORT_MAX];

	for (size_t i = 0; i < names->n; i++) {
		name_short(names, names->rows[i].value, name);
		if (strlen(name) != len || memcmp(name, text, len) != 0)
			continue;
		*value = names->rows[i].value;
		return true;
	}
	return false;
}

int name_find_errno(const char *text, size_t len)
{
	enum { ERRNO_MAX = 4095 };
	const char *name;

	for (int i = 1; i <= ERRNO_MAX; i++) {
		name = strerrorname_np(i);
		if (name && !strncmp(name, text, len) && !name[len])
			return i;
	}
	return 0;
}
