// SPDX-License-Identifier: ISC
/*
 * A guest without a CPU: a callback says what it does next. For replay in the guest's place, for
 * fuzzing and for tests. Knows neither traces nor fuzzers.
 */
#include "backend.h"

#include <errno.h>
#include <stdlib.h>

#include "err.h"
#include "paging.h"

struct script {
	struct backend base;
	struct cpu_state state; /* nobody's but the callback's and the debugger's */
	volatile bool kicked;   /* set in signal handlers */
};

static struct script *to_script(struct backend *b)
{
	return (struct script *)b;
}

static void script_probe(struct backend_info *info)
{
	*info = (struct backend_info){ .usable = true, .kind = "a script of exits" };
}

static int script_create(struct backend **out, const struct backend_config *config, struct err *err)
{
	struct script *s;

	if (!config->next)
		return err_set(err, -EINVAL, "script: nothing says what happens next");
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, -ENOMEM, "script: out of memory");
	s->base = (struct backend){ .ops = &backend_script, .config = *config };
	cpu_state_long_mode(&s->state);
	*out = &s->base;
	return 0;
}

static void script_destroy(struct backend *b)
{
	free(b);
}

static int script_run(struct backend *b, struct vcpu_exit *exit)
{
	const struct backend_config *c = &b->config;
	int r;

	for (;;) {
		if (to_script(b)->kicked) {
			to_script(b)->kicked = false;
			*exit = (struct vcpu_exit){ .kind = VCPU_KICKED,
				.rip = to_script(b)->state.regs.rip };
			return 0;
		}
		/* What exit still holds is the last one, with the answer when it was an `in`. */
		r = c->next(c->ctx, b, exit);
		if (r)
			return r;
		if (exit->kind != VCPU_PORT || !c->port || !c->port(c->ctx, exit))
			return 0;
	}
}

static int script_get_regs(struct backend *b, struct cpu_regs *regs)
{
	*regs = to_script(b)->state.regs;
	return 0;
}

static int script_set_regs(struct backend *b, const struct cpu_regs *regs)
{
	to_script(b)->state.regs = *regs;
	return 0;
}

static int script_save(struct backend *b, struct cpu_state *state)
{
	*state = to_script(b)->state;
	return 0;
}

static int script_load(struct backend *b, const struct cpu_state *state)
{
	to_script(b)->state = *state;
	return 0;
}

static int script_paging(struct backend *b, struct paging *p)
{
	*p = paging_of_state(&to_script(b)->state);
	return 0;
}

static void script_kick(struct backend *b)
{
	to_script(b)->kicked = true;
}

const struct backend_ops backend_script = {
	.name = "script",
	.probe = script_probe,
	.create = script_create,
	.destroy = script_destroy,
	.run = script_run,
	.get_regs = script_get_regs,
	.set_regs = script_set_regs,
	.save = script_save,
	.load = script_load,
	.paging = script_paging,
	.kick = script_kick,
};
