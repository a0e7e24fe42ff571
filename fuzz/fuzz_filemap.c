// SPDX-License-Identifier: ISC
/*
 * Any tree, any mappings, any operations of a guest, over a file system in memory. Every answer is what the
 * model (fuzz/lib/model.h) says: errno, which object, its kind and size, what directories list; and so are the
 * trees afterwards. The same path in other words leads to the same object. What lies on a file system that steers
 * the host is refused before it is opened. Nothing outside of mappings and scratch is ever touched, no special file
 * opened, no descriptor lost, no errno let through that no guest expects. While the host changes the tree under the
 * guest's feet only the last sentence holds, but for special files, which then may be opened, though never so that
 * it hangs.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "fileio.h"
#include "fuzz.h"
#include "log.h"
#include "memfs.h"
#include "model.h"
#include "quiet.h"
#include "scenario.h"
#include "world.h"

enum { FD_FIRST = 3, FDS = FD_FIRST + SCENARIO_OPS, PAIRS = 64 };

/* Mappings as files for a guest; kept, for opening them costs more than everything else. */
struct member {
	struct fileio *files;
	struct world world;
	int pairs[PAIRS]; /* model's node -> memfs's */
	bool compared;    /* all of the one with all of the other */
};

static struct member *members[SCENARIO_CONFIGS][SCENARIO_VARIANTS][2];

static struct run {
	const uint8_t *data;
	size_t size;
	struct member *member;
	struct scenario scenario;
	struct model model;
	int memfs_of[MODEL_NODES], n_paired; /* model's node -> memfs's, 0: not met yet */
	bool open[FDS];
	bool changed;   /* the model was */
	int race_after; /* calls until the host does this */
	uint8_t race;
	int host, first_new; /* memfs nodes: where mappings come from; what the input makes */
} run;

static const int guest_errno[] = { EPERM, ENOENT, EIO, ENXIO, EBADF, ENOMEM, EACCES, EFAULT, EBUSY,
	EEXIST, EXDEV, ENODEV, ENOTDIR, EISDIR, EINVAL, ENFILE, EMFILE, ETXTBSY, EFBIG, ENOSPC,
	ESPIPE, EROFS, EMLINK, EPIPE, ENAMETOOLONG, ENOTEMPTY, ELOOP, EOVERFLOW, EOPNOTSUPP, ESTALE,
	EDQUOT };
static bool for_guest[EHWPOISON + 1]; /* by errno, made of these */

int fuzz_print_bjt(const uint8_t *data, size_t size, FILE *out)
{
	return scenario_print(data, size, out);
}

static const char *name_of_errno(int64_t r)
{
	return r >= 0 ? "success" : strerrorname_np((int)-r);
}

__attribute__((format(printf, 1, 2))) static _Noreturn void differ(const char *format, ...)
{
	va_list args;

	fputs("filemap: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("\n", stderr);
	scenario_print(run.data, run.size, stderr);
	abort();
}

static int add_host_path(const struct scenario_base *base)
{
	const char *slash = strrchr(base->path, '/'), *name = slash ? slash + 1 : base->path;
	const char *path = base->path;
	int dir = run.host, node;

	for (; path < name; path += strcspn(path, "/") + 1)
		dir = memfs_child(dir, path, strcspn(path, "/"));
	node = memfs_add(dir, name, strlen(name), base->mode, base->target);
	if (base->outside)
		memfs_set_outside(node);
	if (!S_ISLNK(base->mode))
		memfs_set_size(node, base->size);
	return node;
}

/* As world_add_foreign(). */
static void add_foreign(void)
{
	static const struct scenario_base dir = { "m1/k", S_IFDIR | 0755, 0, NULL, false },
					  file = { "m1/k/f", S_IFREG | 0644, 0, NULL, false };
	int node = add_host_path(&dir);

	memfs_set_boundary(node);
	memfs_set_foreign(node);
	memfs_set_foreign(add_host_path(&file));
}

static void set_up(void)
{
	int tmp;

	log_set_level(LOG_ERROR);
	for (size_t i = 0; i < sizeof(guest_errno) / sizeof(guest_errno[0]); i++)
		for_guest[guest_errno[i]] = true;
	memfs_start();
	run.host = memfs_add(MEMFS_ROOT, "h", 1, S_IFDIR | 0755, NULL);
	tmp = memfs_add(MEMFS_ROOT, "tmp", 3, S_IFDIR | 0755, NULL);
	for (int i = 0; i < SCENARIO_BASE; i++)
		add_host_path(&scenario_base[i]);
	add_foreign();
	memfs_set_outside(MEMFS_ROOT);
	memfs_set_outside(run.host);
	memfs_set_outside(tmp);
	memfs_mark();
}

/* 0: not there, as are parents that stand for nothing in the host's tree: they are met later. */
static int memfs_of_base(const struct member *member, int node)
{
	const struct model_node *what = &member->world.model.nodes[node];
	int dir = what->parent ? member->pairs[what->parent] : run.host, there;

	if (!dir)
		return 0;
	there = memfs_child(dir, member->world.model.text + what->name, what->name_len);
	return there < 0 ? 0 : there;
}

/* Which node of the model is which node of the file system. */
static void pair_base(struct member *member)
{
	struct stat st;

	if (member->world.n_base > PAIRS)
		differ("too many nodes in the base");
	for (int i = 1; i < member->world.n_base; i++)
		member->pairs[i] = memfs_of_base(member, i);
	if (member->world.scratch >= 0) {
		if (fileio_stat(member->files, "/", true, &st))
			differ("no root");
		member->pairs[member->world.scratch] = (int)st.st_ino - MEMFS_INO_FIRST;
		for (int i = member->world.scratch + 1; i < member->world.n_base; i++)
			member->pairs[i] = memfs_of_base(member, i);
	}
}

static void open_files(struct member *member, int config, int variant, bool utf8, bool submounts)
{
	struct scenario_mount from[SCENARIO_MOUNTS];
	int n = scenario_mounts(config, variant, from);
	struct fileio_mount mounts[SCENARIO_MOUNTS];
	char hosts[SCENARIO_MOUNTS][32];
	struct fileio_config c = { .mounts = mounts,
		.n_mounts = (size_t)n,
		.scratch_parent = "/tmp",
		.cwd = scenario_cwd(config),
		.host = &memfs,
		.utf8_paths = utf8,
		.limits = fileio_limits_max,
		.console_in = -1,
		.console_out = -1 };
	struct err err = { "" };

	for (int i = 0; i < n; i++) {
		snprintf(hosts[i], sizeof(hosts[i]), "/h/%s", from[i].host);
		mounts[i] = (struct fileio_mount){ .host = hosts[i],
			.guest = from[i].guest,
			.writable = from[i].writable,
			.may_unlink = from[i].may_unlink,
			.submounts = submounts };
	}
	if (fileio_init(&member->files, &c, &err))
		differ("mappings %d refused: %s", config, err.text);
}

static struct member *member_of(const struct scenario *s)
{
	struct member **member = &members[s->config][s->variant][s->other];
	struct model_policy policy = { .special_enxio = true,
		.implicit_parents = true,
		.strict_flags = true,
		.strip_modes = true,
		.utf8_paths = s->other,
		.submounts = s->variant & 1 };

	if (*member)
		return *member;
	*member = calloc(1, sizeof(**member));
	if (!*member)
		abort();
	memfs_set_isolates((s->config ^ s->variant ^ s->other) & 1);
	world_init(&(*member)->world, s->config, s->variant, policy);
	world_add_foreign(&(*member)->world);
	open_files(*member, s->config, s->variant, s->other, policy.submounts);
	pair_base(*member);
	memfs_mark();
	return *member;
}

/* The model's node is this object, from now on if it is new. */
static void check_same(int node, const struct stat *st)
{
	const struct model_node *said = &run.model.nodes[node];
	int met = (int)st->st_ino - MEMFS_INO_FIRST;

	if (!run.memfs_of[node] && (met >= run.first_new || node < run.member->world.n_base))
		run.memfs_of[node] = met;
	if (run.memfs_of[node] != met)
		differ("led to object %d, not %d", met, run.memfs_of[node]);
	if ((said->mode & S_IFMT) != (st->st_mode & S_IFMT))
		differ("is a %#o, not %#o", st->st_mode, said->mode);
	if (said->size != st->st_size)
		differ("has %jd bytes, not %jd", (intmax_t)st->st_size, (intmax_t)said->size);
}

static void check_result(const struct scenario_op *op, int r, int said)
{
	if (r < 0 && (-r > EHWPOISON || !for_guest[-r]))
		differ("%s is no errno for a guest", name_of_errno(r));
	if (!run.scenario.race && !run.model.full && !memfs_counts()->full &&
		(r < 0 ? r : 0) != said)
		differ("operation %d on \"%.100s\": %s, not %s", op->kind, op->path,
			name_of_errno(r), name_of_errno(said));
}

static void note_result(const struct model_result *said)
{
	run.changed |= said->n_made || said->removed || said->truncated;
}

static void list(const struct scenario_op *op, int fd, struct model_at at)
{
	static char records[65536] __attribute__((aligned(8)));
	ssize_t n = fileio_getdents(run.member->files, fd, records, sizeof(records));

	check_result(op, n < 0 ? (int)n : 0, 0);
	if (n >= 0 && !run.scenario.race && !world_same_listing(&run.model, at, records, n, true))
		differ("\"%.100s\" lists other names", op->path);
}

static void do_open(const struct scenario_op *op)
{
	struct model_result said = { 0 };
	struct stat st;
	int fd = fileio_open(run.member->files, op->path, op->flags, op->mode), expect = FD_FIRST;

	if (!run.scenario.race)
		said = world_ask(&run.model, op);
	note_result(&said);
	check_result(op, fd, said.r);
	if (fd < 0)
		return;
	while (run.open[expect])
		expect++;
	if (fd != expect)
		differ("descriptor %d, not %d", fd, expect);
	if (fileio_fstat(run.member->files, fd, &st))
		differ("open, but no fstat");
	if (!run.scenario.race)
		check_same(said.at.node, &st);
	run.open[fd] = op->kind == SCENARIO_OPEN;
	if (op->kind == SCENARIO_LIST) {
		list(op, fd, said.at);
		if (fileio_close(run.member->files, fd))
			differ("cannot be closed");
	}
}

static void check_rephrased(const struct scenario_op *op, int r, const struct stat *st)
{
	char path[FILEIO_PATH_MAX];
	struct stat again;
	int r_again;

	if (!run.scenario.rephrase || run.scenario.race ||
		!scenario_rephrase(op->path, path, sizeof(path)))
		return;
	r_again = fileio_stat(run.member->files, path, op->kind == SCENARIO_STAT, &again);
	if (r_again != r || (!r && again.st_ino != st->st_ino))
		differ("\"%.100s\" in other words: %s", op->path, name_of_errno(r_again));
}

static void do_stat(const struct scenario_op *op)
{
	bool follow = op->kind == SCENARIO_STAT;
	struct model_result said = { 0 };
	struct stat st;
	int r = fileio_stat(run.member->files, op->path, follow, &st);

	if (!run.scenario.race)
		said = world_ask(&run.model, op);
	check_result(op, r, said.r);
	if (!r && !run.scenario.race)
		check_same(said.at.node, &st);
	check_rephrased(op, r, &st);
}

static void do_name(const struct scenario_op *op)
{
	bool mkdir = op->kind == SCENARIO_MKDIR;
	struct model_result said = { 0 };
	int r = mkdir ? fileio_mkdir(run.member->files, op->path, op->mode)
		      : fileio_unlink(run.member->files, op->path);

	if (!run.scenario.race)
		said = world_ask(&run.model, op);
	note_result(&said);
	check_result(op, r, said.r);
}

static void do_close(const struct scenario_op *op)
{
	int fd = FD_FIRST + op->which % SCENARIO_OPS;

	if (fileio_close(run.member->files, fd) != (run.open[fd] ? 0 : -EBADF))
		differ("close %d", fd);
	run.open[fd] = false;
}

static void operate(const struct scenario_op *op)
{
	static void (*const table[SCENARIO_KIND_COUNT])(const struct scenario_op *op) = {
		[SCENARIO_OPEN] = do_open,
		[SCENARIO_STAT] = do_stat,
		[SCENARIO_LSTAT] = do_stat,
		[SCENARIO_MKDIR] = do_name,
		[SCENARIO_UNLINK] = do_name,
		[SCENARIO_LIST] = do_open,
		[SCENARIO_CLOSE] = do_close,
	};

	run.race = op->race;
	run.race_after = op->race_after;
	table[op->kind](op);
}

/* The model's child is this child of the host's. */
static void compare_child(int child, int dir)
{
	const struct model_node *said = &run.model.nodes[child];
	int there = memfs_child(dir, run.model.text + said->name, said->name_len);

	if (there < 0)
		differ("\"%.*s\" is missing", said->name_len, run.model.text + said->name);
	if (run.memfs_of[child] && run.memfs_of[child] != there)
		differ("\"%.*s\" is another object", said->name_len, run.model.text + said->name);
	run.memfs_of[child] = there;
}

/* What the host has there is what the model has; the children themselves apart. */
static void compare_node(int node)
{
	const struct model_node *said = &run.model.nodes[node];
	struct memfs_view view = memfs_view(run.memfs_of[node]);
	int n = 0;

	if (!run.memfs_of[node])
		differ("\"%.*s\" is nowhere", said->name_len, run.model.text + said->name);
	if (said->mode != view.mode && (node >= run.member->world.n_base || S_ISLNK(said->mode)))
		differ("\"%.*s\" was made with mode %#o, not %#o", (int)view.name_len, view.name,
			view.mode, said->mode);
	if (said->size != view.size || (said->mode & S_IFMT) != (view.mode & S_IFMT))
		differ("\"%.*s\" is not what it should be", (int)view.name_len, view.name);
	for (int i = view.first; i; i = memfs_view(i).next)
		n++;
	for (int i = said->first; i; i = run.model.nodes[i].next, n--)
		compare_child(i, run.memfs_of[node]);
	if (n)
		differ("there are %d names too many in \"%.*s\"", n, (int)view.name_len, view.name);
}

/* Has anything been done to it, or to the names in it, since its member was made? */
static bool is_touched(int node)
{
	const struct model *begun = &run.member->world.model;

	return node >= begun->n_nodes || memfs_changed(run.memfs_of[node]) ||
	       memcmp(&run.model.nodes[node], &begun->nodes[node], sizeof(begun->nodes[0]));
}

/* All trees, parents before children; but once for what is as it was. */
static void compare_world(void)
{
	bool all = !run.member->compared;

	for (int i = 1; i < run.model.n_nodes; i++) {
		if (run.model.nodes[i].gone)
			continue;
		if (i < run.member->world.n_base &&
			!run.memfs_of[i]) /* a parent that is in nobody's tree */
			continue;
		if (all || is_touched(i))
			compare_node(i);
	}
	run.member->compared = true;
}

static void add_entries(void)
{
	struct scenario_entry entry;
	int last_dir = -1;

	while (scenario_next_entry(&run.scenario, &entry)) {
		int dir = world_place(&run.member->world, &run.model, &entry, last_dir), node;

		if (dir < 0)
			continue;
		node = model_add(
			&run.model, dir, entry.name, entry.name_len, entry.mode, entry.target);
		if (node < 0)
			differ("an entry does not fit");
		run.memfs_of[node] = memfs_add(
			run.memfs_of[dir], entry.name, entry.name_len, entry.mode, entry.target);
		if (S_ISDIR(entry.mode))
			last_dir = node;
	}
	run.n_paired = run.model.n_nodes;
}

/* The host's turn, between two calls of the guest's: something is another thing, elsewhere, or gone. */
static void race(void *arg)
{
	static const mode_t modes[] = { S_IFLNK | 0777, S_IFLNK | 0777, S_IFDIR | 0755,
		S_IFREG | 0644, S_IFIFO | 0644 };
	static const char *const targets[] = { "../out", "/h/out/secret", NULL, NULL, NULL };
	int what = run.race & 7, which = run.race >> 3, node, dir;
	struct memfs_view view;
	char name[NAME_MAX];

	(void)arg;
	if (!run.race || --run.race_after)
		return;
	node = which < SCENARIO_BASE ? run.memfs_of[run.member->world.base[which]]
	       : which - SCENARIO_BASE + run.member->world.n_base < run.model.n_nodes
		       ? run.memfs_of[which - SCENARIO_BASE + run.member->world.n_base]
		       : 0;
	dir = node > 0 ? memfs_parent(node) : run.host;
	if (node <= 0 || dir == run.host || (which < SCENARIO_BASE && scenario_base[which].outside))
		return; /* not what mappings were opened by, nor what they are beside */
	view = memfs_view(node);
	memcpy(name, view.name, view.name_len);
	if (memfs_child(dir, name, view.name_len) != node)
		return; /* gone already */
	if (what == 7) {
		memfs_move(node, run.memfs_of[run.member->world.base[SCENARIO_M2]], "y", 1);
		return;
	}
	if (what == 6)
		memfs_move(node, dir, "z", 1);
	else
		memfs_remove(node);
	if (what < 5)
		memfs_add(dir, name, view.name_len, modes[what], targets[what]);
}

static void close_all(int fds)
{
	for (int fd = FD_FIRST; fd < FDS; fd++)
		if (run.open[fd] && fileio_close(run.member->files, fd))
			differ("close %d", fd);
	memset(run.open, 0, sizeof(run.open));
	if (memfs_counts()->fds != fds)
		differ("%d descriptors lost", memfs_counts()->fds - fds);
}

static void begin(const uint8_t *data, size_t size)
{
	run.data = data;
	run.size = size;
	memfs_reset();
	scenario_begin(&run.scenario, data, size);
	quiet_begin(); /* whether it is there already is no input's doing, either */
	run.member = member_of(&run.scenario);
	quiet_end();
	memset(run.memfs_of + run.member->world.n_base, 0,
		(size_t)(run.n_paired > PAIRS ? run.n_paired : PAIRS) * sizeof(run.memfs_of[0]));
	memcpy(run.memfs_of, run.member->pairs,
		(size_t)run.member->world.n_base * sizeof(run.memfs_of[0]));
	model_copy(&run.model, &run.member->world.model);
	run.changed = false;
	run.first_new = memfs_nodes();
	if (!run.member->compared)
		compare_world();
	add_entries();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct memfs_counts *counts = memfs_counts();
	unsigned long outside, specials, changes;
	struct scenario_op op;
	int fds;

	if (!run.host)
		set_up();
	begin(data, size);
	outside = counts->outside;
	specials = counts->specials;
	changes = counts->changes;
	fds = counts->fds;
	memfs_set_hook(run.scenario.race ? race : NULL, NULL);
	while (!run.model.full && !counts->full && scenario_next_op(&run.scenario, &op))
		operate(&op);
	memfs_set_hook(NULL, NULL);
	if (counts->outside != outside)
		differ("something outside was touched");
	if (counts->specials != specials && !run.scenario.race)
		differ("a special file was opened");
	if ((run.changed || counts->changes != changes) && !run.scenario.race && !run.model.full &&
		!counts->full)
		compare_world();
	run.n_paired = run.model.n_nodes;
	close_all(fds);
	return 0;
}
