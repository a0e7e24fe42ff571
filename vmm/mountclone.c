// SPDX-License-Identifier: ISC
/* A detached, non-recursive clone of a mount (open_tree(2), mount_setattr(2)). */
#include "mountclone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "cleanup.h"

/* As mountinfo spells names: proc(5). */
static char *mountinfo_name(const char *path)
{
	char *name = malloc(4 * strlen(path) + 1), *to = name;

	for (; name && *path; path++) {
		if (strchr(" \t\n\\", *path))
			to += sprintf(to, "\\%03o", (unsigned char)*path);
		else
			*to++ = *path;
	}
	if (name)
		*to = 0;
	return name;
}

/* Is the fifth word of the line, where it is mounted, beneath name? */
static bool is_beneath(const char *line, const char *name)
{
	size_t len = strcmp(name, "/") ? strlen(name) : 0;

	for (int i = 0; line && i < 4; i++) {
		line = strchr(line, ' ');
		line += line != NULL;
	}
	return line && !strncmp(line, name, len) && line[len] == '/' && line[len + 1] != ' ';
}

/* 0, -EXDEV when anything is mounted beneath path, or -errno. */
static int check_inside(const char *path)
{
	autofree char *name = mountinfo_name(path);
	autofree char *line = NULL;
	FILE *info = fopen("/proc/self/mountinfo", "re");
	int r = info ? 0 : -errno;
	size_t room = 0;

	if (!name)
		r = -ENOMEM;
	while (!r && getline(&line, &room, info) > 0)
		r = is_beneath(line, name) ? -EXDEV : 0;
	if (info)
		fclose(info);
	return r;
}

int mountclone_open(int dir, const char *path, bool writable)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NOSYMFOLLOW | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID |
			    (writable ? 0 : MOUNT_ATTR_RDONLY),
		.propagation = MS_PRIVATE,
	};
	int r = path ? check_inside(path) : 0, fd;

	if (r)
		return r;
	fd = open_tree(dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (fd < 0)
		return -errno;
	if (!mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)))
		return fd;
	r = -errno;
	close(fd);
	return r;
}
