/* SPDX-License-Identifier: ISC */
/* The numbers the Uhyve ABI takes from Linux on x86-64; guests have no libc to name them. */
#ifndef LINUX_H
#define LINUX_H

enum {
	O_RDONLY = 0,
	O_WRONLY = 1,
	O_RDWR = 2,
	O_ACCMODE = 3,
	O_CREAT = 0100,
	O_EXCL = 0200,
	O_NOCTTY = 0400,
	O_TRUNC = 01000,
	O_APPEND = 02000,
	O_NONBLOCK = 04000,
	O_DSYNC = 010000,
	O_ASYNC = 020000,
	O_DIRECT = 040000,
	O_LARGEFILE = 0100000,
	O_DIRECTORY = 0200000,
	O_NOFOLLOW = 0400000,
	O_NOATIME = 01000000,
	O_CLOEXEC = 02000000,
	O_SYNC = 04010000,
	O_PATH = 010000000,
	O_TMPFILE = 020200000,
};

enum { SEEK_SET, SEEK_CUR, SEEK_END };

enum {
	S_IFMT = 0170000,
	S_IFIFO = 0010000,
	S_IFCHR = 0020000,
	S_IFDIR = 0040000,
	S_IFBLK = 0060000,
	S_IFREG = 0100000,
	S_IFLNK = 0120000,
	S_IFSOCK = 0140000,
};

enum { ENOSYS = 38, ERRNO_COUNT = 134 };

struct linux_dirent64 {
	unsigned long long d_ino;
	long long d_off;
	unsigned short d_reclen;
	unsigned char d_type;
	char d_name[];
};

#endif
