// SPDX-License-Identifier: ISC
/*
 * Any trace against any guest: two bytes say how much of the input is the trace, the rest are the calls of a
 * machine without a CPU: the row, how many bytes follow, and those bytes at the start of the parameter block
 * (or the argument, where there is no block). Beyond not crashing: at most one mismatch, told in ASCII, on one line when it
 * is JSON; a refusal says why.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "backend.h"
#include "err.h"
#include "fuzz/fuzz.h"
#include "replay.h"
#include "session.h"
#include "trace_read.h"
#include "vm.h"

enum { RAM = 0x10000, RAM_SIZE = 0x10000, BLOCK = RAM + 0x1000, CALLS_MAX = 200 };

/* What is left of the guest's calls. */
static struct guest {
	const uint8_t *data;
	size_t size;
	unsigned calls;
} guest;

/* The guest's next call, or that it hangs. */
static int next(void *ctx, struct backend *b, struct vcpu_exit *exit)
{
	struct guest *g = &guest;
	struct vm *vm = ctx;
	const struct hcall_row *row;
	uint64_t arg = BLOCK;
	size_t len;

	(void)b;
	*exit = (struct vcpu_exit){ .kind = VCPU_HALT };
	if (g->size < 2 || g->calls++ == CALLS_MAX)
		return 0;
	row = &vm->abi->rows[g->data[0] % vm->abi->n_rows];
	len = g->data[1];
	g->data += 2;
	g->size -= 2;
	len = len < g->size ? len : g->size;
	if (row->block_len)
		gmem_write(&vm->mem, BLOCK, g->data, len);
	else
		memcpy(&arg, g->data, len < sizeof(arg) ? len : sizeof(arg));
	g->data += len;
	g->size -= len;
	*exit = (struct vcpu_exit){ .kind = VCPU_PORT,
		.port = row->port,
		.size = 4,
		.in = row->arg == HCALL_ARG_IN,
		.data = (uint32_t)arg,
		.rdi = arg,
		.rip = 1 };
	return 0;
}

static void check_text(const char *text, size_t len, bool json)
{
	assert(!len || text[len - 1] == '\n');
	for (size_t i = 0; i < len; i++)
		assert((text[i] >= ' ' && text[i] <= '~') ||
			(text[i] == '\n' && (!json || i == len - 1)));
}

/* False when there is nothing to be replayed. */
static bool replay(const uint8_t *trace, size_t len, const struct guest *calls, bool json)
{
	struct replay_guest_options o = { .json = json };
	struct replay_result result;
	struct trace_reader *reader;
	struct err err = { "" };
	struct session s;
	char *text = NULL;
	size_t text_len = 0;
	int code;

	if (trace_reader_open_memory(&reader, trace, len, "trace", &err))
		return false;
	session_init(&s);
	s.console_out = -1;
	s.guest = "guest";
	guest = *calls;
	assert(!vm_create_script(&s.vm,
		&(struct vm_script){ .abi = trace_reader_header(reader)->abi,
			.abi_version = trace_reader_header(reader)->abi_version,
			.ram_gpa = RAM,
			.mem_size = RAM_SIZE,
			.args = { .image_path = "guest" },
			.next = next },
		&err));
	o.out = open_memstream(&text, &text_len);
	assert(o.out);
	if (replay_guest_on(&s, reader, "trace", &o, &result, &code, &err))
		assert(err.text[0] && !strchr(err.text, '\n'));
	else
		assert(result.mismatches <= 1 && (!result.mismatches || ftell(o.out) > 0));
	fclose(o.out);
	check_text(text, text_len, json);
	free(text);
	trace_reader_close(reader);
	session_finish(&s);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest calls;
	size_t len;

	signal(SIGRTMIN, SIG_IGN); /* the session's heart: nobody is to be stopped here */
	if (size < 2)
		return 0;
	len = data[0] | (size_t)data[1] << 8;
	data += 2;
	size -= 2;
	if (len > size)
		len = size;
	calls = (struct guest){ .data = data + len, .size = size - len };
	if (replay(data, len, &calls, false))
		assert(replay(data, len, &calls, true));
	return 0;
}

int fuzz_print_bjt(const uint8_t *data, size_t size, FILE *out)
{
	size_t len;

	if (size < 2)
		return -EINVAL;
	len = data[0] | (size_t)data[1] << 8;
	return print_trace(data + 2, len < size - 2 ? len : size - 2, out);
}
