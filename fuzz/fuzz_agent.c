// SPDX-License-Identifier: ISC
/*
 * Any bytes as an agent expression: it ends within its fuel, by its own end or with words, and never reads behind its
 * bytes; memory is asked for in small parts; evaluated anew it says, prints and asks for the same; what
 * is printed is paid for; and more bytes behind it change nothing unless it ran into its end.
 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "gdb_agent.h"

enum { MEMORY = 0x10000 };

struct world {
	uint64_t sum; /* of all that was asked for and printed */
	uint64_t asked, printed;
};

struct outcome {
	int r;
	uint64_t value;
	struct world world;
};

static void add(struct world *w, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < n; i++)
		w->sum = (w->sum ^ p[i]) * 0x100000001b3;
}

static int read_register(void *ctx, unsigned n, uint64_t *value)
{
	struct world *w = ctx;

	assert(n <= 0xffff);
	w->asked++;
	add(w, &n, sizeof(n));
	*value = n * 0x123456789abcdefu;
	return n < 128 ? 0 : -EINVAL;
}

/* 64 KiB, twice: at 0 and at the end of all addresses; zeros and letters. */
static int read_memory(void *ctx, uint64_t gva, void *buf, size_t len)
{
	struct world *w = ctx;

	assert(len && len <= 64);
	w->asked++;
	add(w, &gva, sizeof(gva));
	if (gva + MEMORY >= 2 * MEMORY || gva + MEMORY > 2 * MEMORY - len)
		return -EFAULT;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)((gva + i) % 50 ? 'a' + (gva + i) % 26 : 0);
	return 0;
}

static void print(void *ctx, const char *text, size_t len)
{
	struct world *w = ctx;

	w->printed += len;
	add(w, text, len);
}

static struct outcome eval(const uint8_t *code, size_t len, bool printing)
{
	struct outcome o = { .r = 1 };
	struct gdb_agent_env env = { &o.world, read_register, read_memory,
		printing ? print : NULL };
	const char *why = "";

	o.r = gdb_agent_eval(code, len, &env, &o.value, &why);
	assert(o.r ? why && *why && !o.value : !why);
	assert(o.r == 0 || o.r == -EINVAL || o.r == -EFAULT || o.r == -ETIME || o.r == -EDOM ||
		o.r == -EOPNOTSUPP);
	assert(o.world.printed <= GDB_AGENT_FUEL);
	assert(o.world.asked <= 100 * GDB_AGENT_FUEL);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *alone = malloc(size ? size : 1), *longer = malloc(size + 16);
	struct outcome first, again;

	if (size) {
		memcpy(alone, data, size);
		memcpy(longer, data, size);
	}
	memset(longer + size, 0x27, 16);
	first = eval(alone, size, true);
	again = eval(alone, size, true);
	assert(!memcmp(&first, &again, sizeof(first)));
	if (first.r == 0 && size + 16 <= GDB_AGENT_MAX) {
		again = eval(longer, size + 16, true);
		assert(!memcmp(&first, &again, sizeof(first)));
	}
	again = eval(alone, size, false);
	assert(first.world.printed == 0 || again.r == -EOPNOTSUPP);
	free(alone);
	free(longer);
	return 0;
}
