/* SPDX-License-Identifier: ISC */
/*
 * A world (world.h) in the real file system, with its mappings bind-mounted over the scratch tree, so that the
 * kernel can be asked what the guest should see: chrooted into that, by the guest's own words. What inputs
 * change is undone by what the model says was changed. Lives in a private mount namespace, over a tmpfs, so that
 * nothing is left behind however we end.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "model.h"
#include "world.h"

enum { FIXTURE_LOG = 4096, FIXTURE_DIRS = 64, FIXTURE_LIST = 65536 };

/*
 * Once in a process: a namespace of its own, and a tmpfs in it. 0, or -errno with *why: then only
 * fixture_make_bare() will do.
 */
int fixture_enter(const char **why);
/* Where fixtures are: the tmpfs, or, if that cannot be, a new directory in /tmp, removed at exit. */
const char *fixture_home(void);

struct fixture {
	struct world world;
	int config, variant;
	char host[64];                 /* the directory of scenario_base */
	int host_fd, guest_fd, cwd_fd; /* guest, cwd: -1 when nothing is mounted */
	int dir_fd[FIXTURE_DIRS]; /* by node, for directories in front of world.n_base; else -1 */
	struct fixture_id {
		dev_t dev;
		ino_t ino; /* 0: not known, or not there */
	} id[MODEL_NODES]; /* of everything in front of world.n_base; of others once they were asked for */
	struct fixture_change {
		enum fixture_what { FIXTURE_MADE, FIXTURE_REMOVED, FIXTURE_CUT } what;
		int node;
		off_t size;
	} log[FIXTURE_LOG];
	int n_log;
};

/* The host's tree alone. 0 or -errno. number: no two may have the same. */
int fixture_make(
	struct fixture *f, int number, int config, int variant, struct model_policy policy);
/*
 * The guest's tree over it: scratch_root is the directory behind `/` unless that is mapped; NULL: one of our
 * own. For a world that is real, after fixture_enter().
 */
int fixture_mount(struct fixture *f, const char *scratch_root);
/* The scratch tree is here, though nothing is mounted over it. */
int fixture_set_scratch(struct fixture *f, const char *scratch_root);

/* Makes what the model has just got. 0 or -errno. */
int fixture_add(struct fixture *f, const struct model *m, int node);
/* Takes note of what an operation did, here already or not yet here, for fixture_restore(). */
void fixture_note(struct fixture *f, const struct model *m, const struct model_result *result);
/* All that was added and noted since the log was n_log long is as it was before. m: the model now. 0 or -errno. */
int fixture_restore(struct fixture *f, const struct model *m, int n_log);

/* Is it this node? */
bool fixture_is(struct fixture *f, const struct model *m, int node, const struct stat *st);

/*
 * Everything between these two is done by the kernel as the guest would have it. 0 or -errno. Who is in may go in
 * elsewhere, and who is out may go out, though not before fixture_enter().
 */
int fixture_go_in(const struct fixture *f);
int fixture_go_out(void);

/* Is this operation one whose meaning for Linux the model knows? */
bool fixture_asks(const struct scenario_op *op);
/*
 * Asks the kernel, inside, what the model has said of this operation and has done to m. NULL: they agree; else
 * what is different, until the next call.
 */
const char *fixture_differs(struct fixture *f, const struct model *m, const struct scenario_op *op,
	const struct model_result *said);

/* Of names, kinds, sizes and targets, and outside of times, too: equal when all is as it was. */
uint64_t fixture_fingerprint(const struct fixture *f);

#endif
