/* SPDX-License-Identifier: ISC */
/*
 * A scenario's mappings as a model: the host's tree, the scratch tree, and a mount for each mapping, the way
 * one would lay them out with mkdir(1) and mount(8).
 */
#ifndef WORLD_H
#define WORLD_H

#include <stdbool.h>
#include <sys/types.h>

#include "model.h"
#include "scenario.h"

struct world {
	struct model model;
	int base[SCENARIO_BASE]; /* nodes */
	int scratch;             /* node; -1: `/` is mapped */
	int n_base;              /* nodes in front of what inputs make */
	bool real; /* mount(8) could do it: every mapping lies on something like itself */
};

void world_init(struct world *w, int config, int variant, struct model_policy policy);

/* A directory `k` and a file `f` in it of another file system, that is not shown, in the host's directory m1. */
void world_add_foreign(struct world *w);

/*
 * Where an entry goes: the node of its directory, or -1 when it cannot be made because it is there, hidden, or
 * its directory is not. last_dir: SCENARIO_IN_ENTRY, or -1.
 */
int world_place(const struct world *w, const struct model *m, const struct scenario_entry *entry,
	int last_dir);

/* The operation, done to the model. Not CLOSE. */
struct model_result world_ask(struct model *m, const struct scenario_op *op);

/* Records of getdents64(2) against what the model lists: false is a difference. sorted: ours have to be. */
bool world_same_listing(
	const struct model *m, struct model_at dir, const char *records, ssize_t len, bool sorted);

#endif
