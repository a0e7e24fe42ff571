// SPDX-License-Identifier: ISC
/*
 * The way of one hypercall: row, one copy of the block, the answer, the result. Knows the tables'
 * shape, not what any call means.
 */
#include "hcall.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "backend.h"
#include "paging.h"
#include "trace.h"
#include "vm.h"

enum { PIECE_MAX = 1 << 30 }; /* bytes: bounds the walk for absurd lengths */
enum { TAG_SUCCESS = 1, TAG_ERROR = 2, DENTS_END = 2, DENTS_ERROR = 3, DENTS_PAYLOAD = 8 };

static void emit(struct vm *vm, const struct trace_event *event)
{
	for (struct trace_sink *s = vm->trace; s; s = s->next)
		s->emit(s, event);
}

static bool crash(struct vm *vm, const struct vcpu_exit *exit, const char *what)
{
	vm_stop_set(vm, VM_CRASHED, "%s: %s port 0x%x, %u byte%s, at RIP 0x%llx", what,
		exit->in ? "in from" : "out to", exit->port, exit->size, exit->size == 1 ? "" : "s",
		(unsigned long long)exit->rip);
	return false;
}

/* The argument as the row says; false when the guest used the port the wrong way. */
static bool take_argument(struct hcall *call, const struct vcpu_exit *exit)
{
	const struct hcall_row *row = call->row;

	if (exit->in != (row->arg == HCALL_ARG_IN))
		return false;
	switch (row->arg) {
	case HCALL_ARG_RDI:
		call->arg = exit->rdi;
		return true;
	case HCALL_ARG_EAX:
		call->arg = exit->data;
		return !row->block_len || exit->size == 4; /* a pointer needs all 32 bits */
	case HCALL_ARG_IN:
		call->arg = 0;
		return true;
	}
	return false;
}

/* Whatever the host writes may be the guest's code. */
static int put(struct vm *vm, uint64_t gpa, const void *buf, size_t len)
{
	int r = gmem_write(&vm->mem, gpa, buf, len);

	if (!r)
		backend_code_changed(vm->cpu, gpa, len);
	return r;
}

/* A part of the block, which was copied from there. */
static void put_back(struct vm *vm, uint64_t gpa, const void *buf, size_t len)
{
	int r = put(vm, gpa, buf, len);

	assert(!r);
}

static void put_tag(struct vm *vm, const struct hcall *call, uint32_t tag, int32_t error)
{
	struct {
		uint32_t tag;
		int32_t error;
	} out = { tag, error };

	put_back(vm, call->arg + call->row->ret_at, &out, sizeof(out));
}

static void put_dents(struct vm *vm, const struct hcall *call, int64_t r)
{
	uint32_t tag = r > 0 ? TAG_SUCCESS : r ? DENTS_ERROR : DENTS_END;
	uint64_t payload = (uint64_t)(r < 0 ? -r : r), at = call->arg + call->row->ret_at;

	put_back(vm, at, &tag, sizeof(tag));
	put_back(vm, at + DENTS_PAYLOAD, &payload, sizeof(payload));
}

static void put_result(struct vm *vm, const struct hcall *call, struct vcpu_exit *exit)
{
	uint64_t at = call->arg + call->row->ret_at;
	int64_t r = call->result, or_minus1 = r < 0 ? -1 : r;
	int32_t r32 = (int32_t)r;

	switch (call->row->ret) {
	case HCALL_RET_I32:
		return put_back(vm, at, &r32, sizeof(r32));
	case HCALL_RET_I64:
		return put_back(vm, at, &r, sizeof(r));
	case HCALL_RET_MINUS1:
		return put_back(vm, at, &or_minus1, sizeof(or_minus1));
	case HCALL_RET_TAG:
		return r < 0 ? put_tag(vm, call, TAG_ERROR, -r32)
			     : put_tag(vm, call, TAG_SUCCESS, 0);
	case HCALL_RET_DENTS:
		return put_dents(vm, call, r);
	case HCALL_RET_IN:
		exit->data = r < 0 ? ~0u : (uint32_t)r;
		return;
	case HCALL_RET_NONE:
	case HCALL_RET_COUNT:
		break;
	}
	if (r >= 0)
		return;
	vm_stop_set(vm, VM_CRASHED,
		"%s(0x%llx) at RIP 0x%llx: %s, and this call has no way to tell the guest",
		call->row->name, (unsigned long long)call->arg, (unsigned long long)call->rip,
		strerrorname_np((int)-(uint64_t)r));
}

/* What the guest asks, into vm->call. False: it asked wrongly, and the machine stops. */
static bool take_call(struct vm *vm, const struct vcpu_exit *exit, const struct hcall_row *row)
{
	struct hcall *call = &vm->call;

	call->row = row;
	call->rip = exit->rip;
	call->seq = vm->n_calls;
	call->fault = call->answered = false;
	if (!take_argument(call, exit))
		return crash(vm, exit, row->name);
	if (!row->block_len) {
		memcpy(call->block, &call->arg, sizeof(call->arg));
	} else if (gmem_read(&vm->mem, call->arg, call->block, row->block_len)) {
		vm_stop_set(vm, VM_CRASHED,
			"%s at RIP 0x%llx: parameter block 0x%llx+%u lies outside RAM", row->name,
			(unsigned long long)call->rip, (unsigned long long)call->arg,
			row->block_len);
		return false;
	}
	return true;
}

/* Does whoever drives want to look now? Then the machine stops. */
static bool held(struct vm *vm, bool answered)
{
	if (!vm->hold || !vm->hold(vm->hold_ctx, vm, &vm->call, answered))
		return false;
	vm_stop_set(
		vm, VM_CALL, "%s hypercall %s", answered ? "after" : "before", vm->call.row->name);
	return true;
}

/* The answer did not come, for somebody wants us to stop. Paused, it is asked again. */
static bool interrupted(struct vm *vm, const struct hcall *call)
{
	if (call->result != -EINTR || !(vm->kicked || vm->paused))
		return false;
	vm_stop_set(vm, vm->kicked ? VM_KICKED : VM_PAUSED, "interrupted in %s", call->row->name);
	vm->call_state = VM_CALL_INTERRUPTED;
	return true;
}

static bool answer(struct vm *vm, struct vcpu_exit *exit, const struct hcall_row *row)
{
	enum vm_call_state state = vm->call_state;
	struct hcall *call = &vm->call;

	vm->call_state = VM_CALL_NONE;
	if (!take_call(vm, exit, row))
		return false;
	if (state == VM_CALL_NONE && held(vm, false)) {
		vm->call_state = VM_CALL_HELD;
		return false;
	}
	if (vm->trace && state != VM_CALL_INTERRUPTED)
		emit(vm, &(struct trace_event){ .kind = TRACE_ENTER, .call = call });
	call->result = vm->respond(vm->respond_ctx, vm, call);
	if (interrupted(vm, call))
		return false;
	vm->n_calls++;
	call->ends = vm->stop.kind != VM_RUNNING;
	if (!call->ends)
		put_result(vm, call, exit);
	call->answered = true;
	vm->last_calls[call->seq % VM_CALLS_KEPT] = *call;
	if (vm->trace)
		emit(vm, &(struct trace_event){ .kind = TRACE_LEAVE, .call = call });
	return vm->stop.kind == VM_RUNNING && !held(vm, true);
}

bool hcall_port(void *ctx, struct vcpu_exit *exit)
{
	struct vm *vm = ctx;
	unsigned row = vm->row_of_port[exit->port];

	if (row == VM_PORT_LEGACY) {
		exit->data = ~0u;
		return true;
	}
	if (!row)
		return crash(vm, exit, "unknown hypercall");
	return answer(vm, exit, &vm->abi->rows[row - 1]);
}

bool hcall_look(const struct vm *vm, const struct vcpu_exit *exit, struct hcall *call)
{
	unsigned row = vm->row_of_port[exit->port];

	if (!row || row == VM_PORT_LEGACY)
		return false;
	*call = (struct hcall){
		.row = &vm->abi->rows[row - 1], .rip = exit->rip, .seq = vm->n_calls
	};
	if (!take_argument(call, exit))
		return false;
	if (call->row->block_len)
		return !gmem_read(&vm->mem, call->arg, call->block, call->row->block_len);
	memcpy(call->block, &call->arg, sizeof(call->arg));
	return true;
}

int64_t hcall_answer_row(void *ctx, struct vm *vm, struct hcall *call)
{
	(void)ctx;
	return call->row->answer(vm, call);
}

bool hcall_reads_console(const struct hcall *call)
{
	const struct hcall_field *f = call->row->fields;

	return call->row->console_in || (f[0].kind == HCALL_FD && f[1].kind == HCALL_DATA_OUT &&
						hcall_field_value(call, f) == 0);
}

uint64_t hcall_field_value(const struct hcall *call, const struct hcall_field *field)
{
	const uint8_t *at = call->block + field->at;
	uint64_t value = *at;
	uint32_t value32;

	if (field->size == sizeof(value)) {
		memcpy(&value, at, sizeof(value));
	} else if (field->size == sizeof(value32)) {
		memcpy(&value32, at, sizeof(value32));
		value = value32;
	}
	if (field->kind == HCALL_INT || field->kind == HCALL_FD) {
		unsigned unused = 64 - 8u * field->size;

		value = (uint64_t)((int64_t)(value << unused) >> unused);
	}
	return value;
}

static void emit_data(struct vm *vm, struct hcall *call, enum trace_kind kind, uint64_t addr,
	const void *data, size_t len)
{
	if (vm->trace)
		emit(vm, &(struct trace_event){
				 kind, .call = call, .addr = addr, .data = data, .len = len });
}

int hcall_read(struct vm *vm, struct hcall *call, uint64_t addr, void *buf, size_t len)
{
	int r = gmem_read(&vm->mem, addr, buf, len);

	if (r)
		call->fault = true;
	else
		emit_data(vm, call, TRACE_READ, addr, buf, len);
	return r;
}

int hcall_write(struct vm *vm, struct hcall *call, uint64_t addr, const void *buf, size_t len)
{
	int r = put(vm, addr, buf, len);

	if (r)
		call->fault = true;
	else
		emit_data(vm, call, TRACE_WRITE, addr, buf, len);
	return r;
}

ssize_t hcall_read_string(
	struct vm *vm, struct hcall *call, uint64_t gpa, char buf[HCALL_STRING_MAX])
{
	ssize_t n = gmem_read_string(&vm->mem, gpa, buf, HCALL_STRING_MAX);

	if (n >= 0)
		emit_data(vm, call, TRACE_READ, gpa, buf, (size_t)n + 1);
	else if (n == -ENAMETOOLONG)
		emit_data(vm, call, TRACE_READ, gpa, buf, HCALL_STRING_MAX);
	else
		call->fault = true;
	return n;
}

/* The physical address of a piece of the buffer, and how much of len lies there in one run. */
static int find_piece(struct vm *vm, const struct hcall *call, unsigned access, uint64_t addr,
	uint64_t len, uint64_t *gpa, uint64_t *n)
{
	struct paging_page page;
	struct paging paging;

	*gpa = addr;
	*n = len;
	if (!call->row->virtual_buffers)
		return 0;
	if (len && addr + len - 1 < addr)
		return -EFAULT; /* wraps: the walk would go on at address 0 */
	if (backend_paging(vm->cpu, &paging) ||
		paging_walk(&vm->mem, &paging, addr, access, &page, NULL))
		return -EFAULT;
	*gpa = page.gpa + (addr - page.gva);
	*n = 0;
	do { /* neighbours in both spaces join into one piece */
		*n += page.gva + page.size - (addr + *n);
	} while (*n < len && *n < PIECE_MAX &&
		 !paging_walk(&vm->mem, &paging, addr + *n, access, &page, NULL) &&
		 page.gpa == *gpa + *n);
	if (*n > len)
		*n = len;
	return 0;
}

ssize_t hcall_transfer(struct vm *vm, struct hcall *call, uint64_t addr, uint64_t len, bool in,
	int fd, hcall_io_fn *io)
{
	unsigned access = in ? PAGING_READ : PAGING_WRITE;
	uint64_t done = 0, gpa, n;
	char nothing[1];
	ssize_t r;
	void *p;

	do {
		if (find_piece(vm, call, access, addr + done, len - done, &gpa, &n) ||
			!(p = gmem_span(&vm->mem, gpa, n))) {
			call->fault = true;
			if (done)
				return (ssize_t)done;
			/* A bad descriptor comes before a bad buffer. */
			return io(vm, fd, nothing, 0) == -EBADF ? -EBADF : -EFAULT;
		}
		r = io(vm, fd, p, n);
		if (r <= 0)
			return done ? (ssize_t)done : r;
		if (!in)
			backend_code_changed(vm->cpu, gpa, (size_t)r);
		emit_data(vm, call, in ? TRACE_READ : TRACE_WRITE, addr + done, p, (size_t)r);
		done += (uint64_t)r;
	} while (done < len && (uint64_t)r == n);
	return (ssize_t)done;
}
