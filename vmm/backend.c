// SPDX-License-Identifier: ISC
/* The list of backends, the choice among them, and what an op that is not offered means. */
#include "backend.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "err.h"

const struct backend_ops *const backend_list[] = { &backend_kvm, &backend_tcg, NULL };

const char *const vcpu_exit_names[] = {
	[VCPU_PORT] = "port",
	[VCPU_DEBUG] = "debug",
	[VCPU_HALT] = "halt",
	[VCPU_SHUTDOWN] = "shutdown",
	[VCPU_KICKED] = "kicked",
	[VCPU_REFUSED] = "refused",
};
static_assert(sizeof(vcpu_exit_names) / sizeof(vcpu_exit_names[0]) == VCPU_EXIT_COUNT, "names");

const struct backend_ops *backend_find(const char *name)
{
	for (const struct backend_ops *const *ops = backend_list; *ops; ops++) {
		if (!strcmp((*ops)->name, name))
			return *ops;
	}
	return NULL;
}

/* The one asked for, or itself with help where it needs help. When not: the reason in info->why. */
static int open_one(const struct backend_ops *ops, const struct backend_config *config,
	struct backend **out, struct backend_info *info, struct err *err)
{
	const char *name = ops->name;
	int r;

	*info = (struct backend_info){ 0 };
	(ops->look ? ops->look : ops->probe)(info);
	if (!info->usable)
		return err_set(
			err, -ENODEV, "%s: %s; --backend tcg works without", name, info->why);
	if (info->refuses || (config->debug && ops == &backend_kvm)) {
		ops = &backend_assisted;
		ops->look(info);
	}
	r = ops->create(out, config, err);
	if (r)
		snprintf(info->why, sizeof(info->why), "%s", strerror(-r));
	return r;
}

/* The first that works. Why the one before it did not is left in info->why. */
static int open_auto(const struct backend_config *config, struct backend **out,
	struct backend_info *info, struct err *err)
{
	char why[sizeof(info->why) + 8] = "";
	int r = -ENODEV;

	for (const struct backend_ops *const *ops = backend_list; *ops; ops++) {
		r = open_one(*ops, config, out, info, err);
		if (!r) {
			snprintf(info->why, sizeof(info->why), "%.*s", (int)sizeof(info->why) - 1,
				why);
			break;
		}
		snprintf(why, sizeof(why), "%s: %s", (*ops)->name, info->why);
	}
	return r;
}

int backend_open(const char *name, const struct backend_config *config, struct backend **out,
	struct backend_info *info, struct err *err)
{
	const struct backend_ops *ops;

	*out = NULL;
	if (!strcmp(name, "auto"))
		return open_auto(config, out, info, err);
	ops = backend_find(name);
	if (!ops)
		return err_set(err, -EINVAL, "backend %s: not known; one of auto, kvm, tcg", name);
	return open_one(ops, config, out, info, err);
}

void backend_destroy(struct backend *b)
{
	if (b)
		b->ops->destroy(b);
}

int backend_run(struct backend *b, struct vcpu_exit *exit)
{
	return b->ops->run(b, exit);
}

int backend_get_regs(struct backend *b, struct cpu_regs *regs)
{
	return b->ops->get_regs ? b->ops->get_regs(b, regs) : -EOPNOTSUPP;
}

int backend_set_regs(struct backend *b, const struct cpu_regs *regs)
{
	return b->ops->set_regs ? b->ops->set_regs(b, regs) : -EOPNOTSUPP;
}

int backend_save(struct backend *b, struct cpu_state *state)
{
	return b->ops->save ? b->ops->save(b, state) : -EOPNOTSUPP;
}

int backend_load(struct backend *b, const struct cpu_state *state)
{
	return b->ops->load ? b->ops->load(b, state) : -EOPNOTSUPP;
}

int backend_paging(struct backend *b, struct paging *p)
{
	return b->ops->paging ? b->ops->paging(b, p) : -EOPNOTSUPP;
}

int backend_set_debug(struct backend *b, const struct vcpu_debug *debug)
{
	return b->ops->set_debug ? b->ops->set_debug(b, debug) : -EOPNOTSUPP;
}

void backend_kick(struct backend *b)
{
	if (b->ops->kick)
		b->ops->kick(b);
}

uint64_t backend_icount(struct backend *b)
{
	return b->ops->icount ? b->ops->icount(b) : 0;
}

uint64_t backend_happened(struct backend *b)
{
	return b->ops->happened ? b->ops->happened(b) : 0;
}

uint32_t backend_tsc_khz(struct backend *b)
{
	return b->ops->tsc_khz ? b->ops->tsc_khz(b) : 0;
}

void backend_code_changed(struct backend *b, uint64_t gpa, size_t len)
{
	if (b->ops->code_changed)
		b->ops->code_changed(b, gpa, len);
}

int backend_cpuid(struct backend *b, struct cpuid_entry *table, size_t max)
{
	return b->ops->cpuid ? b->ops->cpuid(b, table, max) : -EOPNOTSUPP;
}

size_t backend_frozen_size(const struct backend *b)
{
	return b->ops->freeze ? b->ops->frozen_size(b) : 0;
}

int backend_freeze(struct backend *b, void *frozen)
{
	return b->ops->freeze ? b->ops->freeze(b, frozen) : -EOPNOTSUPP;
}

int backend_thaw(struct backend *b, const void *frozen)
{
	return b->ops->thaw ? b->ops->thaw(b, frozen) : -EOPNOTSUPP;
}
