// SPDX-License-Identifier: ISC
/*
 * The hypercalls of the Uhyve ABI, both generations: one table, and answers of a few lines that
 * unpack the block and call fileio. Booting is boot_uhyve.c.
 */
#include "abi_uhyve.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "boot_uhyve.h"
#include "fileio.h"
#include "hcall.h"
#include "vm.h"

#define BLOCK(type, call) ((const struct type *)(const void *)(call)->block)

enum { GUEST_STDIN = 0, GUEST_STDOUT = 1, MKDIR_MODE = 0777, V1_ENV_MIN = 4 };

static ssize_t io_read(struct vm *vm, int fd, void *buf, size_t len)
{
	return fileio_read(vm->files, fd, buf, len);
}

static ssize_t io_write(struct vm *vm, int fd, void *buf, size_t len)
{
	return fileio_write(vm->files, fd, buf, len);
}

static ssize_t io_getdents(struct vm *vm, int fd, void *buf, size_t len)
{
	return fileio_getdents(vm->files, fd, buf, len);
}

/* For calls that cannot report a short write: all of it, or an error. */
static int64_t write_all(struct vm *vm, struct hcall *call, int fd, uint64_t buf, uint64_t len)
{
	ssize_t n = hcall_transfer(vm, call, buf, len, true, fd, io_write);

	return n >= 0 && (uint64_t)n < len ? -EIO : n;
}

/* What went wrong with the console itself is no fault of the guest's, and it cannot be told. */
static int64_t console_result(struct vm *vm, int64_t r)
{
	if (r < 0 && r != -EFAULT && r != -EINTR)
		vm_stop_set(vm, VM_FAILED, "standard output: %s", strerrordesc_np((int)-r));
	return r;
}

static int64_t answer_exit(struct vm *vm, struct hcall *call)
{
	vm_stop_exit(vm, (int32_t)hcall_field_value(call, &call->row->fields[0]));
	return 0;
}

static int64_t answer_byte(struct vm *vm, struct hcall *call)
{
	ssize_t n = fileio_write(vm->files, GUEST_STDOUT, call->block, 1);

	return console_result(vm, n < 0 ? n : 0);
}

static int64_t answer_serial_write(struct vm *vm, struct hcall *call)
{
	return console_result(vm,
		write_all(vm, call, GUEST_STDOUT, hcall_field_value(call, &call->row->fields[0]),
			hcall_field_value(call, &call->row->fields[1])));
}

static int64_t answer_serial_read_byte(struct vm *vm, struct hcall *call)
{
	uint8_t byte;
	ssize_t n = fileio_read(vm->files, GUEST_STDIN, &byte, 1);

	(void)call;
	return n == 1 ? byte : n < 0 ? n : -ENODATA;
}

static int64_t answer_serial_read(struct vm *vm, struct hcall *call)
{
	const struct uhyve_v2_serial_read_buffer *p = BLOCK(uhyve_v2_serial_read_buffer, call);

	return hcall_transfer(vm, call, p->buf, p->maxlen, false, GUEST_STDIN, io_read);
}

static int64_t answer_open(struct vm *vm, struct hcall *call)
{
	const struct uhyve_open *p = BLOCK(uhyve_open, call);
	char path[HCALL_STRING_MAX];
	ssize_t n = hcall_read_string(vm, call, p->name, path);
	int r = fileio_check_flags(p->flags); /* before the name, as Linux does */

	if (r)
		return r;
	return n < 0 ? n : fileio_open(vm->files, path, p->flags, (mode_t)p->mode);
}

static int64_t answer_close(struct vm *vm, struct hcall *call)
{
	return fileio_close(vm->files, BLOCK(uhyve_close, call)->fd);
}

static int64_t answer_unlink(struct vm *vm, struct hcall *call)
{
	char path[HCALL_STRING_MAX];
	ssize_t n = hcall_read_string(vm, call, BLOCK(uhyve_unlink, call)->name, path);

	return n < 0 ? n : fileio_unlink(vm->files, path);
}

static int64_t answer_v1_write(struct vm *vm, struct hcall *call)
{
	const struct uhyve_v1_write *p = BLOCK(uhyve_v1_write, call);

	return write_all(vm, call, p->fd, p->buf, p->len);
}

static int64_t answer_v1_read(struct vm *vm, struct hcall *call)
{
	const struct uhyve_v1_read *p = BLOCK(uhyve_v1_read, call);

	return hcall_transfer(vm, call, p->buf, p->len, false, p->fd, io_read);
}

static int64_t answer_v1_lseek(struct vm *vm, struct hcall *call)
{
	const struct uhyve_v1_lseek *p = BLOCK(uhyve_v1_lseek, call);

	return fileio_lseek(vm->files, p->fd, p->offset, p->whence);
}

static int64_t answer_v2_write(struct vm *vm, struct hcall *call)
{
	const struct uhyve_v2_write *p = BLOCK(uhyve_v2_write, call);

	return hcall_transfer(vm, call, p->buf, p->len, true, p->fd, io_write);
}

static int64_t answer_v2_read(struct vm *vm, struct hcall *call)
{
	const struct uhyve_v2_read *p = BLOCK(uhyve_v2_read, call);

	return hcall_transfer(vm, call, p->buf, p->len, false, p->fd, io_read);
}

static int64_t answer_v2_lseek(struct vm *vm, struct hcall *call)
{
	const struct uhyve_v2_lseek *p = BLOCK(uhyve_v2_lseek, call);

	return fileio_lseek(vm->files, p->fd, p->offset, (int)p->whence);
}

static int64_t answer_getdents(struct vm *vm, struct hcall *call)
{
	const struct uhyve_v2_getdents *p = BLOCK(uhyve_v2_getdents, call);

	return hcall_transfer(vm, call, p->buf, p->len, false, p->fd, io_getdents);
}

static struct uhyve_time time_of(struct timespec t)
{
	return (struct uhyve_time){ .sec = t.tv_sec, .nsec = (int32_t)t.tv_nsec };
}

static int64_t put_attr(struct vm *vm, struct hcall *call, uint64_t gpa, const struct stat *st)
{
	struct uhyve_attr attr = {
		.dev = st->st_dev,
		.ino = st->st_ino,
		.nlink = st->st_nlink,
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.rdev = st->st_rdev,
		.size = st->st_size,
		.blksize = st->st_blksize,
		.blocks = st->st_blocks,
		.atim = time_of(st->st_atim),
		.mtim = time_of(st->st_mtim),
		.ctim = time_of(st->st_ctim),
	};

	return hcall_write(vm, call, gpa, &attr, sizeof(attr));
}

static int64_t answer_stat(struct vm *vm, struct hcall *call)
{
	const struct uhyve_v2_stat *p = BLOCK(uhyve_v2_stat, call);
	char path[HCALL_STRING_MAX];
	struct stat st;
	ssize_t n;
	int r;

	if (p->kind > UHYVE_STAT_NOFOLLOW)
		return -EINVAL;
	n = hcall_read_string(vm, call, p->name, path);
	if (n < 0)
		return n;
	r = fileio_stat(vm->files, path, p->kind == UHYVE_STAT_FOLLOW, &st);
	return r < 0 ? r : put_attr(vm, call, p->attr, &st);
}

static int64_t answer_fstat(struct vm *vm, struct hcall *call)
{
	const struct uhyve_v2_fstat *p = BLOCK(uhyve_v2_fstat, call);
	struct stat st;
	int r = fileio_fstat(vm->files, p->fd, &st);

	return r < 0 ? r : put_attr(vm, call, p->attr, &st);
}

static int64_t answer_mkdir(struct vm *vm, struct hcall *call)
{
	char path[HCALL_STRING_MAX];
	ssize_t n = hcall_read_string(vm, call, BLOCK(uhyve_v2_mkdir, call)->name, path);

	return n < 0 ? n : fileio_mkdir(vm->files, path, MKDIR_MODE);
}

/* argv[0] is the image's path; boot has checked that all counts fit. */
static const char *v1_argument(const struct vm *vm, size_t i)
{
	return i ? vm->args.app[i - 1] : vm->args.image_path;
}

/*
 * Kernels up to 0.8 forget the NULL behind the last entry of the environment, and with fewer than
 * four entries walk into what lies there: such guests get empty entries to make up the number.
 */
static size_t v1_env_count(const struct vm *vm)
{
	return vm->args.n_env < V1_ENV_MIN ? V1_ENV_MIN : vm->args.n_env;
}

static const char *v1_env(const struct vm *vm, size_t i)
{
	static const char *const filler[V1_ENV_MIN] = { "_0=", "_1=", "_2=", "_3=" };

	return i < vm->args.n_env ? vm->args.env[i] : filler[i];
}

static int64_t answer_cmdsize(struct vm *vm, struct hcall *call)
{
	struct uhyve_v1_cmdsize out = {
		.argc = (int32_t)vm->args.n_app + 1,
		.envc = (int32_t)v1_env_count(vm),
	};

	/* Boot refuses so many to a v1 guest; but a v2 guest may ask here, too. */
	if (vm->args.n_app + 1 > UHYVE_V1_ARGS_MAX || v1_env_count(vm) > UHYVE_V1_ARGS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < vm->args.n_app + 1; i++)
		out.argsz[i] = (int32_t)strlen(v1_argument(vm, i)) + 1;
	for (size_t i = 0; i < v1_env_count(vm); i++)
		out.envsz[i] = (int32_t)strlen(v1_env(vm, i)) + 1;
	return hcall_write(vm, call, call->arg, &out, sizeof(out));
}

/* Copies one string to the buffer whose address stands at array[i]. */
static int put_string(
	struct vm *vm, struct hcall *call, uint64_t array, size_t i, const char *string)
{
	uint64_t at;
	int r = hcall_read(vm, call, array + i * sizeof(at), &at, sizeof(at));

	return r ? r : hcall_write(vm, call, at, string, strlen(string) + 1);
}

static int64_t answer_cmdval(struct vm *vm, struct hcall *call)
{
	const struct uhyve_v1_cmdval *p = BLOCK(uhyve_v1_cmdval, call);
	int r = 0;

	for (size_t i = 0; !r && i < vm->args.n_app + 1; i++)
		r = put_string(vm, call, p->argv, i, v1_argument(vm, i));
	for (size_t i = 0; !r && i < v1_env_count(vm); i++)
		r = put_string(vm, call, p->envp, i, v1_env(vm, i));
	return r;
}

/* A row a call, its fields beneath. */
/* clang-format off */
#define FIELD(type, member, what) \
	{ #member, offsetof(struct type, member), sizeof(((struct type *)0)->member), what }
#define BLOCK_OF(type)   .block_len = sizeof(struct type)
#define RET(type, member) .ret_at = offsetof(struct type, member)

static const struct hcall_row rows[] = {
	{ UHYVE_V1_WRITE, "write", HCALL_ARG_EAX, BLOCK_OF(uhyve_v1_write), .virtual_buffers = true,
		.fields = { FIELD(uhyve_v1_write, fd, HCALL_FD), FIELD(uhyve_v1_write, buf, HCALL_DATA_IN),
			FIELD(uhyve_v1_write, len, HCALL_LEN) },
		.answer = answer_v1_write },
	{ UHYVE_V1_OPEN, "open", HCALL_ARG_EAX, BLOCK_OF(uhyve_open), RET(uhyve_open, ret),
		HCALL_RET_I32,
		.fields = { FIELD(uhyve_open, name, HCALL_PATH), FIELD(uhyve_open, flags, HCALL_OPEN_FLAGS),
			FIELD(uhyve_open, mode, HCALL_MODE) },
		.answer = answer_open },
	{ UHYVE_V1_CLOSE, "close", HCALL_ARG_EAX, BLOCK_OF(uhyve_close), RET(uhyve_close, ret),
		HCALL_RET_I32,
		.fields = { FIELD(uhyve_close, fd, HCALL_FD) },
		.answer = answer_close },
	{ UHYVE_V1_READ, "read", HCALL_ARG_EAX, BLOCK_OF(uhyve_v1_read), RET(uhyve_v1_read, ret),
		HCALL_RET_I64, .virtual_buffers = true,
		.fields = { FIELD(uhyve_v1_read, fd, HCALL_FD), FIELD(uhyve_v1_read, buf, HCALL_DATA_OUT),
			FIELD(uhyve_v1_read, len, HCALL_LEN) },
		.answer = answer_v1_read },
	{ UHYVE_V1_EXIT, "exit", HCALL_ARG_EAX, .block_len = sizeof(int32_t), .exits = true,
		.fields = { { "code", 0, sizeof(int32_t), HCALL_INT } },
		.answer = answer_exit },
	{ UHYVE_V1_LSEEK, "lseek", HCALL_ARG_EAX, BLOCK_OF(uhyve_v1_lseek), RET(uhyve_v1_lseek, offset),
		HCALL_RET_MINUS1,
		.fields = { FIELD(uhyve_v1_lseek, fd, HCALL_FD), FIELD(uhyve_v1_lseek, offset, HCALL_INT),
			FIELD(uhyve_v1_lseek, whence, HCALL_WHENCE) },
		.answer = answer_v1_lseek },
	{ UHYVE_V1_CMDSIZE, "cmdsize", HCALL_ARG_EAX, .local = true,
		.fields = { { "sizes", 0, sizeof(uint32_t), HCALL_POINTER } },
		.answer = answer_cmdsize },
	{ UHYVE_V1_CMDVAL, "cmdval", HCALL_ARG_EAX, BLOCK_OF(uhyve_v1_cmdval), .local = true,
		.fields = { FIELD(uhyve_v1_cmdval, argv, HCALL_POINTER),
			FIELD(uhyve_v1_cmdval, envp, HCALL_POINTER) },
		.answer = answer_cmdval },
	{ UHYVE_V1_UART, "uart", HCALL_ARG_EAX,
		.fields = { { "byte", 0, 1, HCALL_BYTE } },
		.answer = answer_byte },
	{ UHYVE_V1_UNLINK, "unlink", HCALL_ARG_EAX, BLOCK_OF(uhyve_unlink), RET(uhyve_unlink, ret),
		HCALL_RET_I32,
		.fields = { FIELD(uhyve_unlink, name, HCALL_PATH) },
		.answer = answer_unlink },
	{ UHYVE_V1_SERIAL_WRITE_BUFFER, "serial_write", HCALL_ARG_EAX,
		BLOCK_OF(uhyve_v1_serial_write_buffer),
		.fields = { FIELD(uhyve_v1_serial_write_buffer, buf, HCALL_DATA_IN),
			FIELD(uhyve_v1_serial_write_buffer, len, HCALL_LEN) },
		.answer = answer_serial_write },

	{ UHYVE_V2_EXIT, "exit", .exits = true,
		.fields = { { "code", 0, sizeof(int32_t), HCALL_INT } },
		.answer = answer_exit },
	{ UHYVE_V2_SERIAL_WRITE_BYTE, "serial_write_byte",
		.fields = { { "byte", 0, 1, HCALL_BYTE } },
		.answer = answer_byte },
	{ UHYVE_V2_SERIAL_WRITE_BUFFER, "serial_write", BLOCK_OF(uhyve_v2_serial_write_buffer),
		.fields = { FIELD(uhyve_v2_serial_write_buffer, buf, HCALL_DATA_IN),
			FIELD(uhyve_v2_serial_write_buffer, len, HCALL_LEN) },
		.answer = answer_serial_write },
	{ UHYVE_V2_SERIAL_READ_BYTE, "serial_read_byte", HCALL_ARG_IN, .ret = HCALL_RET_IN,
		.console_in = true,
		.answer = answer_serial_read_byte },
	{ UHYVE_V2_SERIAL_READ_BUFFER, "serial_read", BLOCK_OF(uhyve_v2_serial_read_buffer),
		RET(uhyve_v2_serial_read_buffer, len), HCALL_RET_I64, .console_in = true,
		.fields = { FIELD(uhyve_v2_serial_read_buffer, buf, HCALL_DATA_OUT),
			FIELD(uhyve_v2_serial_read_buffer, maxlen, HCALL_LEN) },
		.answer = answer_serial_read },
	{ UHYVE_V2_WRITE, "write", BLOCK_OF(uhyve_v2_write), RET(uhyve_v2_write, ret), HCALL_RET_I64,
		.fields = { FIELD(uhyve_v2_write, fd, HCALL_FD), FIELD(uhyve_v2_write, buf, HCALL_DATA_IN),
			FIELD(uhyve_v2_write, len, HCALL_LEN) },
		.answer = answer_v2_write },
	{ UHYVE_V2_OPEN, "open", BLOCK_OF(uhyve_open), RET(uhyve_open, ret), HCALL_RET_I32,
		.fields = { FIELD(uhyve_open, name, HCALL_PATH), FIELD(uhyve_open, flags, HCALL_OPEN_FLAGS),
			FIELD(uhyve_open, mode, HCALL_MODE) },
		.answer = answer_open },
	{ UHYVE_V2_CLOSE, "close", BLOCK_OF(uhyve_close), RET(uhyve_close, ret), HCALL_RET_I32,
		.fields = { FIELD(uhyve_close, fd, HCALL_FD) },
		.answer = answer_close },
	{ UHYVE_V2_READ, "read", BLOCK_OF(uhyve_v2_read), RET(uhyve_v2_read, ret), HCALL_RET_I64,
		.fields = { FIELD(uhyve_v2_read, fd, HCALL_FD), FIELD(uhyve_v2_read, buf, HCALL_DATA_OUT),
			FIELD(uhyve_v2_read, len, HCALL_LEN) },
		.answer = answer_v2_read },
	{ UHYVE_V2_LSEEK, "lseek", BLOCK_OF(uhyve_v2_lseek), RET(uhyve_v2_lseek, offset), HCALL_RET_I64,
		.fields = { FIELD(uhyve_v2_lseek, fd, HCALL_FD), FIELD(uhyve_v2_lseek, offset, HCALL_INT),
			FIELD(uhyve_v2_lseek, whence, HCALL_WHENCE) },
		.answer = answer_v2_lseek },
	{ UHYVE_V2_UNLINK, "unlink", BLOCK_OF(uhyve_unlink), RET(uhyve_unlink, ret), HCALL_RET_I32,
		.fields = { FIELD(uhyve_unlink, name, HCALL_PATH) },
		.answer = answer_unlink },
	{ UHYVE_V2_GETDENTS, "getdents", BLOCK_OF(uhyve_v2_getdents), RET(uhyve_v2_getdents, tag),
		HCALL_RET_DENTS,
		.fields = { FIELD(uhyve_v2_getdents, fd, HCALL_FD),
			FIELD(uhyve_v2_getdents, buf, HCALL_DENTS_OUT),
			FIELD(uhyve_v2_getdents, len, HCALL_LEN) },
		.answer = answer_getdents },
	{ UHYVE_V2_STAT, "stat", BLOCK_OF(uhyve_v2_stat), RET(uhyve_v2_stat, tag), HCALL_RET_TAG,
		.fields = { FIELD(uhyve_v2_stat, name, HCALL_PATH),
			FIELD(uhyve_v2_stat, kind, HCALL_STAT_KIND),
			FIELD(uhyve_v2_stat, attr, HCALL_STAT_OUT) },
		.answer = answer_stat },
	{ UHYVE_V2_FSTAT, "fstat", BLOCK_OF(uhyve_v2_fstat), RET(uhyve_v2_fstat, tag), HCALL_RET_TAG,
		.fields = { FIELD(uhyve_v2_fstat, fd, HCALL_FD), FIELD(uhyve_v2_fstat, attr, HCALL_STAT_OUT) },
		.answer = answer_fstat },
	{ UHYVE_V2_MKDIR, "mkdir", BLOCK_OF(uhyve_v2_mkdir), RET(uhyve_v2_mkdir, tag), HCALL_RET_TAG,
		.fields = { FIELD(uhyve_v2_mkdir, name, HCALL_PATH) },
		.answer = answer_mkdir },
};

/* clang-format on */

/* Kernels initialise the PICs, stop the PIT and scan PCI by ports, on machines that have none. */
static const struct abi_port_range legacy_ports[] = {
	{ 0x20, 0x21 },   /* PIC 1 */
	{ 0x40, 0x43 },   /* PIT */
	{ 0x60, 0x64 },   /* keyboard controller, system control */
	{ 0x70, 0x71 },   /* CMOS clock */
	{ 0x80, 0x80 },   /* delay */
	{ 0xa0, 0xa1 },   /* PIC 2 */
	{ 0x3f8, 0x3ff }, /* COM1 */
	{ 0xcf8, 0xcff }, /* PCI configuration: all ones is "no device" */
};

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

const struct guest_abi abi_uhyve = {
	.name = "uhyve",
	.rows = rows,
	.n_rows = ARRAY_LEN(rows),
	.legacy_ports = legacy_ports,
	.n_legacy_ports = ARRAY_LEN(legacy_ports),
	.irqchip = true,
	.claim = boot_uhyve_claim,
	.boot = boot_uhyve,
	.describe = boot_uhyve_describe,
	.wants_paging = boot_uhyve_wants_paging,
};
