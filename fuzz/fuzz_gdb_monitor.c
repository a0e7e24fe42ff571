// SPDX-License-Identifier: ISC
/*
 * Any bytes as lines for `monitor`, over a machine whose memory and registers are any bytes, too: each is answered by
 * whole lines of printable text, of bounded length, and nothing of the machine changes.
 *
 * Lines up to the first NUL; behind it the registers of the CPU, then its RAM, which begins with the page tables.
 */
#include <assert.h>
#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi_uhyve.h"
#include "cleanup.h"
#include "cpu.h"
#include "err.h"
#include "fuzz/fuzz.h"
#include "gdb_vm.h"
#include "session.h"

enum { RAM = 0x100000, SIZE = 0x8000, LINE = 300, ANSWER_MAX = 1 << 20 };

static struct session session;
static struct gdb_vm target;
static uint8_t before[SIZE], after[SIZE];
static int here, nowhere; /* lines are said in a directory that is no more: none makes a file */

static int next(void *ctx, struct backend *b, struct vcpu_exit *exit)
{
	(void)ctx, (void)b, (void)exit;
	abort(); /* nothing a line says runs the machine */
}

static void say(void *ctx, const char *text, size_t len)
{
	(void)ctx, (void)text, (void)len;
}

static void make_nowhere(void)
{
	autofree char *name = fuzz_directory();

	here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	nowhere = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert(here >= 0 && nowhere >= 0 && !rmdir(name));
}

static void begin(void)
{
	static const struct gdb_link link = { .say = say };
	struct err err = { "" };

	session_init(&session);
	session.guest = "guest";
	assert(!vm_create_script(&session.vm,
		&(struct vm_script){ .abi = &abi_uhyve,
			.abi_version = 2,
			.ram_gpa = RAM,
			.mem_size = SIZE,
			.next = next },
		&err));
	assert(!gdb_vm_init(&target, &session, &link));
	session.vm->args.image_path = session.guest;
	target.ended = true; /* for recordings look at all of a session */
	make_nowhere();
}

static void load(const uint8_t *data, size_t size)
{
	struct cpu_state s;
	size_t n = size < sizeof(s.regs) ? size : sizeof(s.regs);

	cpu_state_long_mode(&s);
	memcpy(&s.regs, data, n);
	s.cr3 = RAM;
	s.cr4 = CPU_CR4_PAE;
	backend_load(session.vm->cpu, &s);
	gmem_fill(&session.vm->mem, RAM, 0, SIZE);
	gmem_write(&session.vm->mem, RAM, data + n, size - n < SIZE ? size - n : SIZE);
}

static void check_line(const char *line)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	assert(out && !fchdir(nowhere));
	gdb_monitor_line(&target, line, out);
	assert(!fclose(out) && !fchdir(here));
	assert(size && size < ANSWER_MAX && text[size - 1] == '\n');
	for (size_t i = 0; i < size; i++)
		assert(isprint((uint8_t)text[i]) || text[i] == '\n');
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = memchr(data, 0, size), *end = nul ? nul : data + size;
	struct cpu_state was, is;
	char line[LINE];

	if (!session.vm)
		begin();
	load(nul ? nul + 1 : end, nul ? (size_t)(data + size - nul - 1) : 0);
	gmem_read(&session.vm->mem, RAM, before, SIZE);
	backend_save(session.vm->cpu, &was);
	for (const uint8_t *at = data; at < end;) {
		size_t n = 0;

		while (at < end && *at != '\n' && n < sizeof(line) - 1)
			line[n++] = (char)*at++;
		at += at < end;
		line[n] = 0;
		check_line(line);
	}
	gmem_read(&session.vm->mem, RAM, after, SIZE);
	backend_save(session.vm->cpu, &is);
	assert(!memcmp(before, after, SIZE) && !memcmp(&was, &is, sizeof(is)));
	return 0;
}
