/* SPDX-License-Identifier: ISC */
/*
 * From a port exit to an answer: the table of calls an ABI offers, the one copy of the parameter
 * block, the traced doors to guest memory that answers use, and the way a result goes back.
 */
#ifndef HCALL_H
#define HCALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hcall;
struct vcpu_exit;
struct vm;

enum {
	HCALL_BLOCK_MAX = 64, /* bytes of a parameter block that are copied in */
	HCALL_FIELDS_MAX = 5,
	HCALL_STRING_MAX = 4096,
};

/* Where the argument is. */
enum hcall_arg {
	HCALL_ARG_RDI, /* RDI: GPA of the block, or the value when there is no block */
	HCALL_ARG_EAX, /* the value written to the port: the same */
	HCALL_ARG_IN,  /* `in`: no argument, the result goes to the register read */
};

/* Where and how the result goes back: at block offset ret_at, as ... */
enum hcall_ret {
	HCALL_RET_NONE,   /* nowhere: an error stops the machine, for the guest could not know */
	HCALL_RET_IN,     /* the register of the `in`; all ones for an error */
	HCALL_RET_I32,    /* value or -errno */
	HCALL_RET_I64,    /* value or -errno */
	HCALL_RET_MINUS1, /* 64-bit value, or exactly -1 */
	HCALL_RET_TAG,    /* u32 tag 1, or 2 and a positive i32 errno behind it */
	HCALL_RET_DENTS,  /* u32 tag 1 and u64 bytes at +8; 2 at the end; 3 and errno */
	HCALL_RET_COUNT,
};

/* What a field of the block means: for whoever prints, records or compares a call. */
enum hcall_kind {
	HCALL_INT,
	HCALL_FD,
	HCALL_PATH, /* GPA of a C string */
	HCALL_OPEN_FLAGS,
	HCALL_MODE,
	HCALL_DATA_IN,   /* address of bytes the host reads */
	HCALL_DATA_OUT,  /* address of bytes the host writes */
	HCALL_DENTS_OUT, /* address of struct linux_dirent64 records the host writes */
	HCALL_LEN,
	HCALL_WHENCE,
	HCALL_STAT_OUT, /* address of a struct uhyve_attr the host fills in */
	HCALL_STAT_KIND,
	HCALL_POINTER,
	HCALL_BYTE,
	HCALL_KIND_COUNT,
};

struct hcall_field {
	const char *name; /* NULL ends the list */
	uint16_t at;      /* offset in the block; 0 when the argument is the value itself */
	uint8_t size;     /* 1, 4 or 8 */
	enum hcall_kind kind;
};

/* A non-negative result, or -errno. */
typedef int64_t hcall_fn(struct vm *vm, struct hcall *call);

struct hcall_row {
	uint16_t port;
	const char *name;
	enum hcall_arg arg;
	uint16_t block_len; /* 0: the argument is the value itself */
	uint16_t ret_at;
	enum hcall_ret ret;
	bool virtual_buffers; /* DATA_IN and DATA_OUT addresses are guest-virtual */
	bool local;           /* answered from the machine's own arguments: needs no host, and what
				 passes through guest memory may be pointers */
	bool exits;           /* the guest ends itself */
	bool console_in;      /* reads the console, though it names no descriptor */
	struct hcall_field fields[HCALL_FIELDS_MAX + 1]; /* in the order strace prints them */
	hcall_fn *answer;
};

/* One question while it is being answered. */
struct hcall {
	const struct hcall_row *row;
	uint64_t seq; /* 0 for the first call of the machine */
	uint64_t arg, rip;
	/* The block, copied once; or the 8 bytes of arg. Aligned, so that it can be cast. */
	_Alignas(8) uint8_t block[HCALL_BLOCK_MAX];
	int64_t result;
	bool answered; /* result is there, and went back but for ends */
	bool ends;     /* the machine stopped in this call: no result went back */
	bool fault;    /* an address of the guest's, or a part of its buffer, was outside RAM */
};

/* Who answers: normally hcall_answer_row; a replayer puts its own in vm->respond. */
typedef int64_t hcall_respond_fn(void *ctx, struct vm *vm, struct hcall *call);
int64_t hcall_answer_row(void *ctx, struct vm *vm, struct hcall *call);

/*
 * backend_port_fn of every machine: ctx is the struct vm. True when answered and the guest may go
 * on; false when the machine must stop, with vm->stop filled in.
 */
bool hcall_port(void *ctx, struct vcpu_exit *exit);

/* The call that this exit would make, without making it. False: none that could be answered. */
bool hcall_look(const struct vm *vm, const struct vcpu_exit *exit, struct hcall *call);

/* Does this call read the console: by its row, or as a read of descriptor 0? */
bool hcall_reads_console(const struct hcall *call);

/* A field of the copied block, sign-extended when it is an HCALL_INT or HCALL_FD. */
uint64_t hcall_field_value(const struct hcall *call, const struct hcall_field *field);

/*
 * Guest memory for answers, by physical address; every byte that crosses is shown to the sinks.
 * -EFAULT when any byte of the range is outside RAM.
 */
int hcall_read(struct vm *vm, struct hcall *call, uint64_t addr, void *buf, size_t len);
int hcall_write(struct vm *vm, struct hcall *call, uint64_t addr, const void *buf, size_t len);
/*
 * A C string at a GPA: its length, -EFAULT, or -ENAMETOOLONG. The sinks see it with its NUL; one that is
 * too long, as the HCALL_STRING_MAX bytes without a NUL that were looked at.
 */
ssize_t hcall_read_string(
	struct vm *vm, struct hcall *call, uint64_t gpa, char buf[HCALL_STRING_MAX]);

/* Does one piece of I/O at a host address: bytes done (less than len ends the transfer) or -errno. */
typedef ssize_t hcall_io_fn(struct vm *vm, int fd, void *buf, size_t len);
/*
 * Lets io work on the guest's buffer in place, a piece at a time where the row says that it is
 * virtual and its pages are scattered.
 * in: the host reads (TRACE_READ), else it writes. Bytes done, or -errno when none were.
 */
ssize_t hcall_transfer(struct vm *vm, struct hcall *call, uint64_t addr, uint64_t len, bool in,
	int fd, hcall_io_fn *io);

#endif
