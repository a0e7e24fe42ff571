/* SPDX-License-Identifier: ISC */
/* Mounts of our own, for a test: as root, or in a user namespace of one user. */
#ifndef NAMESPACE_H
#define NAMESPACE_H

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

/* For a child: what it mounts from now on is seen by nobody else. -1: not allowed here. */
static inline int own_mounts(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char text[64];

	if (uid) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) ||
			write_text("/proc/self/setgroups", "deny"))
			return -1;
		snprintf(text, sizeof(text), "%u %u 1", uid, uid);
		if (write_text("/proc/self/uid_map", text))
			return -1;
		snprintf(text, sizeof(text), "%u %u 1", gid, gid);
		if (write_text("/proc/self/gid_map", text))
			return -1;
	} else if (unshare(CLONE_NEWNS)) {
		return -1;
	}
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

/* Do modes and owners bind us, or are we above them? Only what we have got may be taken up again. */
static inline void obey_modes(bool obey)
{
	const unsigned int bits =
		1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER;
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return;
	data[0].effective &= ~bits;
	if (!obey)
		data[0].effective |= data[0].permitted & bits;
	syscall(SYS_capset, &head, data);
}

#endif
