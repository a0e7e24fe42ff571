/* SPDX-License-Identifier: ISC */
/*
 * The Hermit/Uhyve guest ABI: numbers, parameter blocks, boot information. Shared with the guests
 * in kernels/, so nothing but freestanding C here.
 *
 * Sources: hermit-os/uhyve uhyve-interface (v1 and v2), hermit-os/hermit-entry 0.10 (boot info).
 * v1: 32-bit `out` to PORT, EAX = GPA of a packed block.  v2: the same, but RDI = GPA of the block
 * (or the value itself) and EAX is ignored. The numbers are disjoint, so one machine serves both.
 */
#ifndef ABI_UHYVE_H
#define ABI_UHYVE_H

#include <stdint.h>

enum uhyve_v1_port {
	UHYVE_V1_WRITE = 0x400,
	UHYVE_V1_OPEN = 0x440,
	UHYVE_V1_CLOSE = 0x480,
	UHYVE_V1_READ = 0x500,
	UHYVE_V1_EXIT = 0x540,
	UHYVE_V1_LSEEK = 0x580,
	UHYVE_V1_CMDSIZE = 0x740,
	UHYVE_V1_CMDVAL = 0x780,
	UHYVE_V1_UART = 0x800, /* the byte itself, `out dx, al` */
	UHYVE_V1_UNLINK = 0x840,
	UHYVE_V1_SERIAL_WRITE_BUFFER = 0x880,
};

enum uhyve_v2_port {
	UHYVE_V2_EXIT = 0x1010,              /* RDI = code */
	UHYVE_V2_SERIAL_WRITE_BYTE = 0x1020, /* RDI = byte */
	UHYVE_V2_SERIAL_WRITE_BUFFER = 0x1030,
	UHYVE_V2_SERIAL_READ_BYTE = 0x1040, /* `in eax, dx`: the byte, or 0xffffffff at the end */
	UHYVE_V2_SERIAL_READ_BUFFER = 0x1050,
	UHYVE_V2_WRITE = 0x1100,
	UHYVE_V2_OPEN = 0x1110,
	UHYVE_V2_CLOSE = 0x1120,
	UHYVE_V2_READ = 0x1130,
	UHYVE_V2_LSEEK = 0x1140,
	UHYVE_V2_UNLINK = 0x1150,
	UHYVE_V2_GETDENTS = 0x1160,
	UHYVE_V2_STAT = 0x1170,
	UHYVE_V2_FSTAT = 0x1180,
	UHYVE_V2_MKDIR = 0x1190,
};

/* Open flags, whence, mode bits and errno are Linux's on x86-64. */

/* Blocks of both generations. `ret` is >= 0 or -errno. */
struct uhyve_open {
	uint64_t name; /* GPA of a C string */
	int32_t flags, mode, ret;
} __attribute__((packed));
struct uhyve_close {
	int32_t fd, ret;
} __attribute__((packed));
struct uhyve_unlink {
	uint64_t name;
	int32_t ret;
} __attribute__((packed));

/* v1 only. buf is guest-virtual here, and nowhere else. */
struct uhyve_v1_write {
	int32_t fd;
	uint64_t buf, len; /* no result: the guest takes success for granted */
} __attribute__((packed));
struct uhyve_v1_read {
	int32_t fd;
	uint64_t buf, len;
	int64_t ret;
} __attribute__((packed));
struct uhyve_v1_lseek {
	int32_t fd;
	int64_t offset; /* in: offset; out: position or exactly -1 */
	int32_t whence;
} __attribute__((packed));
struct uhyve_v1_serial_write_buffer {
	uint64_t buf, len;
} __attribute__((packed));
enum { UHYVE_V1_ARGS_MAX = 128 };
struct uhyve_v1_cmdsize { /* all out; sizes include the NUL */
	int32_t argc, argsz[UHYVE_V1_ARGS_MAX];
	int32_t envc, envsz[UHYVE_V1_ARGS_MAX];
} __attribute__((packed));
struct uhyve_v1_cmdval { /* GPAs of arrays of GPAs of buffers of the sizes above */
	uint64_t argv, envp;
} __attribute__((packed));

/* v2 only: naturally aligned. */
struct uhyve_v2_write {
	uint64_t len;
	int64_t ret;
	uint64_t buf;
	int32_t fd;
};
struct uhyve_v2_read {
	uint64_t len;
	int64_t ret;
	uint64_t buf;
	int32_t fd;
};
struct uhyve_v2_lseek {
	int64_t offset; /* in: offset; out: position or -errno */
	uint32_t whence;
	int32_t fd;
};
struct uhyve_v2_serial_write_buffer {
	uint64_t len, buf;
};
struct uhyve_v2_serial_read_buffer {
	uint64_t maxlen;
	int64_t len; /* out: bytes, 0 at the end, or -errno */
	uint64_t buf;
};

/* Tagged results: errno is positive here. */
enum uhyve_dents_tag {
	UHYVE_DENTS_NONE,
	UHYVE_DENTS_SUCCESS, /* payload = bytes of struct linux_dirent64 */
	UHYVE_DENTS_END,
	UHYVE_DENTS_ERROR, /* payload = errno */
};
struct uhyve_v2_getdents {
	int32_t fd;
	uint64_t buf, len;
	uint32_t tag;
	uint64_t payload;
};
enum uhyve_result_tag { UHYVE_RESULT_NONE, UHYVE_RESULT_SUCCESS, UHYVE_RESULT_ERROR };
enum uhyve_stat_kind { UHYVE_STAT_FOLLOW, UHYVE_STAT_NOFOLLOW };
struct uhyve_v2_stat {
	uint64_t name;
	uint32_t kind;
	uint64_t attr; /* GPA of a struct uhyve_attr */
	uint32_t tag;
	int32_t error;
};
struct uhyve_v2_fstat {
	int32_t fd;
	uint64_t attr;
	uint32_t tag;
	int32_t error;
};
struct uhyve_v2_mkdir {
	uint64_t name;
	uint64_t len; /* ignored: name is a C string */
	uint32_t tag;
	int32_t error;
};
struct uhyve_time {
	int64_t sec;
	int32_t nsec, pad;
};
struct uhyve_attr {
	uint64_t dev, ino, nlink;
	uint32_t mode, uid, gid, pad;
	uint64_t rdev;
	int64_t size, blksize, blocks;
	struct uhyve_time atim, mtim, ctim;
};

/* Boot information of hermit-entry version 4; RDI holds its GPA at the entry point. */
enum { UHYVE_ENTRY_VERSION = 4, UHYVE_PLATFORM_UHYVE = 1 };
struct uhyve_boot_info {
	uint64_t ram_start, ram_end; /* GPAs */
	uint16_t serial_port;        /* UHYVE_V1_UART or UHYVE_V2_SERIAL_WRITE_BUFFER; 0 = none */
	uint16_t pad0[3];
	uint64_t fdt; /* GPA; 0 = none */
	uint64_t kernel_start, kernel_end;
	uint64_t tls_start, tls_filesz, tls_memsz, tls_align; /* all 0 = no TLS */
	uint32_t platform, pad1;
	uint8_t has_pci, pad2[7];
	uint64_t n_cpus;
	uint32_t cpu_khz, pad3;   /* 0 = unknown */
	uint64_t boot_time_ns[2]; /* since 1970; 128 bits, little endian */
};

/* ELF notes. */
enum {
	UHYVE_NOTE_ENTRY = 0x5a00,     /* "HERMIT": 1 byte, UHYVE_ENTRY_VERSION */
	UHYVE_NOTE_INTERFACE = 0x5b00, /* "UHYVEIF": u32 big-endian; absent = v1, 2 and 3 = v2 */
};

_Static_assert(sizeof(struct uhyve_open) == 20, "ABI");
_Static_assert(sizeof(struct uhyve_close) == 8, "ABI");
_Static_assert(sizeof(struct uhyve_unlink) == 12, "ABI");
_Static_assert(sizeof(struct uhyve_v1_write) == 20, "ABI");
_Static_assert(sizeof(struct uhyve_v1_read) == 28, "ABI");
_Static_assert(sizeof(struct uhyve_v1_lseek) == 16, "ABI");
_Static_assert(sizeof(struct uhyve_v1_cmdsize) == 1032, "ABI");
_Static_assert(sizeof(struct uhyve_v2_write) == 32, "ABI");
_Static_assert(sizeof(struct uhyve_v2_lseek) == 16, "ABI");
_Static_assert(sizeof(struct uhyve_v2_getdents) == 40, "ABI");
_Static_assert(sizeof(struct uhyve_v2_stat) == 32, "ABI");
_Static_assert(sizeof(struct uhyve_v2_fstat) == 24, "ABI");
_Static_assert(sizeof(struct uhyve_v2_mkdir) == 24, "ABI");
_Static_assert(sizeof(struct uhyve_attr) == 120, "ABI");
_Static_assert(sizeof(struct uhyve_boot_info) == 128, "ABI");

#endif
