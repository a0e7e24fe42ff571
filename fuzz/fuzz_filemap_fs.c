// SPDX-License-Identifier: ISC
/*
 * As fuzz_filemap, but over the real file system, by either engine. First the kernel is asked what a process
 * chrooted into the guest's tree would get, all mappings bind-mounted: it must be what the model says of Linux.
 * Then the file map does the same over the same tree: it must be what the model says of us. So the one is held
 * to the other, object by object, with the model's few switches in between. Without the right to mount only the
 * second half is done, in a directory of our own in /tmp. The tree is kept and put back after each input, up to
 * the input's entries, which stay for a next one that has the same; when it cannot be, or something outside of the
 * mappings has changed, that is said in other words than a finding.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "err.h"
#include "fileio.h"
#include "fixture.h"
#include "fuzz.h"
#include "hostfs.h"
#include "log.h"
#include "model.h"
#include "quiet.h"
#include "scenario.h"
#include "world.h"

enum {
	ENTRIES = 3,
	OPS = 3,
	ENOUGH = 4, /* made: files and directories take longer than all else */
	FD_FIRST = 3,
	FDS_EACH = 40,    /* descriptors that a fixture takes, and more */
	CHECK_SECOND = 8, /* inputs; the first is the first */
	CHECK_THIRD = 64,
	CHECK_EVERY = 4096,
	FILE_MAX = 1 << 20,
};

/* A tree with mappings and the guest's files over it. */
struct member {
	struct fixture fixture;
	struct fileio *files;
	uint64_t print, inputs;
	bool mounted;
	int next_fd,
		n_members; /* when last checked: what would be open next, and of how many of us */
};

static struct member *members[SCENARIO_CONFIGS][2];

static struct run {
	bool ready, can_mount;
	bool stays_in; /* the chroot: who feeds us opens no files here */
	int n_configs;
	const uint8_t *data;
	size_t size;
	struct scenario scenario;
	struct model model;
	struct model
		begun[2]; /* with the entries of this input and the last one, before operations */
	int turn;         /* which of the two is this one's */
	struct member *laid; /* whose tree has entries; NULL: none has */
	int n_entries;
	int made;     /* by the operations of this half */
	bool stirred; /* an entry was removed: directories may list it elsewhere now */
	bool open[FD_FIRST + OPS];
} run;

static const struct model_policy ours = {
	.special_enxio = true, .implicit_parents = true, .strict_flags = true, .strip_modes = true
};
/* Modes are stripped before the kernel is asked: it is the same question. */
static const struct model_policy linux_alone = { .strip_modes = true };

int fuzz_print_bjt(const uint8_t *data, size_t size, FILE *out)
{
	return scenario_print(data, size, out);
}

static const char *name_of_errno(int64_t r)
{
	return r >= 0 ? "success" : strerrorname_np((int)-r);
}

/* The way out of the chroot comes first: engines write what they found by a relative name. */
__attribute__((format(printf, 1, 2))) static _Noreturn void differ(const char *format, ...)
{
	va_list args;

	if (run.can_mount)
		fixture_go_out();
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("\n", stderr);
	scenario_print(run.data, run.size, stderr);
	abort();
}

static void set_up(void)
{
	struct rlimit files, bytes = { FILE_MAX, FILE_MAX };
	const char *why = "";

	run.ready = true;
	log_set_level(LOG_ERROR);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &bytes);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max < 2 * SCENARIO_CONFIGS * FDS_EACH
				 ? files.rlim_max
				 : 2 * SCENARIO_CONFIGS * FDS_EACH;
	setrlimit(RLIMIT_NOFILE, &files);
	run.n_configs = (int)(files.rlim_cur / (2 * FDS_EACH));
	if (run.n_configs < 1)
		run.n_configs = 1;
	run.can_mount = !fixture_enter(&why);
	run.stays_in = getenv("__AFL_SHM_FUZZ_ID");
	if (!run.can_mount)
		fprintf(stderr, "filemap_fs: %s: the model alone is asked\n", why);
}

/* The scratch tree that fileio has just made: its parent is ours alone. */
static void find_scratch(const char *parent, char *root, size_t size)
{
	DIR *stream = opendir(parent);
	struct dirent *entry;

	root[0] = 0;
	while (stream && (entry = readdir(stream)))
		if (entry->d_name[0] != '.')
			snprintf(root, size, "%s/%s/root", parent, entry->d_name);
	if (stream)
		closedir(stream);
}

static void open_files(struct member *member, const struct hostfs *host, const char *scratch_parent)
{
	const struct fixture *f = &member->fixture;
	struct scenario_mount from[SCENARIO_MOUNTS];
	int n = scenario_mounts(f->config, f->variant, from);
	struct fileio_mount mounts[SCENARIO_MOUNTS];
	char hosts[SCENARIO_MOUNTS][128];
	struct fileio_config c = { .mounts = mounts,
		.n_mounts = (size_t)n,
		.scratch_parent = scratch_parent,
		.cwd = scenario_cwd(f->config),
		.host = host,
		.limits = fileio_limits_max,
		.console_in = -1,
		.console_out = -1 };
	struct err err = { "" };

	for (int i = 0; i < n; i++) {
		snprintf(hosts[i], sizeof(hosts[i]), "%s/%s", f->host, from[i].host);
		mounts[i] = (struct fileio_mount){ .host = hosts[i],
			.guest = from[i].guest,
			.writable = from[i].writable,
			.may_unlink = from[i].may_unlink };
	}
	if (fileio_init(&member->files, &c, &err))
		differ("filemap_fs: mappings %d refused: %s", f->config, err.text);
}

static void make_member(struct member *member, int config, int other)
{
	struct fixture *f = &member->fixture;
	char parent[128], root[512];
	int r = fixture_make(f, 2 * config + other, config, 0, linux_alone);

	snprintf(parent, sizeof(parent), "%s.tmp", f->host);
	if (r || mkdir(parent, 0700))
		differ("filemap_fs harness: no fixture: %s", name_of_errno(r ? r : -errno));
	open_files(member, other ? &hostfs_walk : &hostfs_openat2, parent);
	find_scratch(parent, root, sizeof(root));
	member->mounted = run.can_mount && f->world.real;
	r = member->mounted ? fixture_mount(f, root) : fixture_set_scratch(f, root);
	if (r)
		differ("filemap_fs harness: no mounts: %s", name_of_errno(r));
	member->print = fixture_fingerprint(f);
}

static void leave_guest(void)
{
	if (fixture_go_out())
		differ("filemap_fs harness: no way out");
}

static struct member *member_of(const struct scenario *s)
{
	int config = s->config % run.n_configs;
	struct member **member = &members[config][s->other];

	if (*member)
		return *member;
	*member = calloc(1, sizeof(**member));
	if (!*member)
		abort();
	quiet_begin();
	leave_guest();
	make_member(*member, config, s->other);
	quiet_end();
	return *member;
}

/* The tree is as it was when the log was so long. */
static void take_back(struct fixture *f, const struct model *now, int n_log)
{
	int r = fixture_restore(f, now, n_log);

	if (r)
		differ("filemap_fs harness: the tree cannot be put back: %s", name_of_errno(r));
}

static void take_entries_back(void)
{
	if (run.laid)
		take_back(&run.laid->fixture, &run.begun[run.turn], 0);
	run.laid = NULL;
}

static bool is_same(const struct model *m, const struct model *before, int node)
{
	const struct model_node *is = &m->nodes[node], *was = &before->nodes[node];

	return node < before->n_nodes && is->mode == was->mode && is->parent == was->parent &&
	       is->name_len == was->name_len && is->target_len == was->target_len &&
	       !memcmp(m->text + is->name, before->text + was->name, is->name_len) &&
	       !memcmp(m->text + is->target, before->text + was->target, is->target_len);
}

/* Into the tree, unless it and all before it are there since the last input. */
static void lay_entry(struct fixture *f, int node, bool *same)
{
	const struct model *m = &run.begun[run.turn], *before = &run.begun[!run.turn];

	if (*same && is_same(m, before, node))
		return;
	if (*same)
		take_back(f, before, run.n_entries);
	*same = false;
	if (fixture_add(f, m, node))
		differ("filemap_fs harness: an entry cannot be made");
}

static void lay_entries(struct member *member)
{
	struct fixture *f = &member->fixture;
	struct scenario_entry entry;
	int last_dir = -1, dir, node;
	struct model *m;
	bool same = run.laid == member;

	if (!same)
		take_entries_back();
	run.laid = member;
	run.turn ^= 1;
	m = &run.begun[run.turn];
	model_copy(m, &f->world.model);
	run.n_entries = 0;
	while (scenario_next_entry(&run.scenario, &entry)) {
		dir = world_place(&f->world, m, &entry, last_dir);
		if (dir < 0 || run.n_entries == ENTRIES)
			continue;
		node = model_add(m, dir, entry.name, entry.name_len, entry.mode, entry.target);
		if (node < 0)
			differ("filemap_fs harness: an entry does not fit");
		lay_entry(f, node, &same);
		run.n_entries++;
		if (S_ISDIR(entry.mode))
			last_dir = node;
	}
	if (same)
		take_back(f, &run.begun[!run.turn], run.n_entries);
}

/* Operations are read again for each half. After those that make much there is no other. */
static bool next_op(struct scenario *s, struct scenario_op *op, int *n)
{
	return *n < OPS && run.made < ENOUGH && !run.model.full && ++*n && scenario_next_op(s, op);
}

static void note(struct fixture *f, const struct model_result *said)
{
	fixture_note(f, &run.model, said);
	run.stirred |= said->removed >= f->world.n_base;
	run.made += said->n_made;
}

static void ask_linux(struct fixture *f, struct scenario *s)
{
	struct model_result said;
	struct scenario_op op;
	const char *differs;
	int n = 0;

	model_copy(&run.model, &run.begun[run.turn]);
	run.made = 0;
	if (fixture_go_in(f))
		differ("filemap_fs harness: no way in");
	while (next_op(s, &op, &n)) {
		if (!fixture_asks(&op))
			continue;
		said = world_ask(&run.model, &op);
		differs = run.model.full ? NULL : fixture_differs(f, &run.model, &op, &said);
		if (differs)
			differ("filemap_fs, operation %d on \"%.100s\": %s", op.kind, op.path,
				differs);
		note(f, &said);
	}
	if (!run.stays_in)
		leave_guest();
	take_back(f, &run.model, run.n_entries);
}

static void check_same(
	struct fixture *f, const struct scenario_op *op, int node, const struct stat *st)
{
	if (!fixture_is(f, &run.model, node, st))
		differ("filemap_fs: \"%.100s\" led to another object", op->path);
	if (S_ISREG(st->st_mode) && st->st_size != run.model.nodes[node].size)
		differ("filemap_fs: \"%.100s\" has another size", op->path);
}

static void list(struct member *member, const struct scenario_op *op, int fd, struct model_at at)
{
	static char records[FIXTURE_LIST] __attribute__((aligned(8)));
	ssize_t n = fileio_getdents(member->files, fd, records, sizeof(records));

	if (n < 0 || !world_same_listing(&run.model, at, records, n, true))
		differ("filemap_fs: \"%.100s\" lists other names", op->path);
	if (fileio_close(member->files, fd))
		differ("filemap_fs: close %d", fd);
}

static int do_ours(struct member *member, const struct scenario_op *op, struct stat *st)
{
	switch (op->kind) {
	case SCENARIO_OPEN:
	case SCENARIO_LIST:
		return fileio_open(member->files, op->path, op->flags, op->mode);
	case SCENARIO_STAT:
	case SCENARIO_LSTAT:
		return fileio_stat(member->files, op->path, op->kind == SCENARIO_STAT, st);
	case SCENARIO_MKDIR:
		return fileio_mkdir(member->files, op->path, op->mode);
	default:
		return fileio_unlink(member->files, op->path);
	}
}

static void operate(struct member *member, const struct scenario_op *op)
{
	struct fixture *f = &member->fixture;
	struct model_result said = world_ask(&run.model, op);
	bool opens = op->kind == SCENARIO_OPEN || op->kind == SCENARIO_LIST;
	struct stat st;
	int r;

	if (run.model.full)
		return;
	r = do_ours(member, op, &st);
	if ((r < 0 ? r : 0) != said.r)
		differ("filemap_fs, operation %d on \"%.100s\": %s, not %s", op->kind, op->path,
			name_of_errno(r), name_of_errno(said.r));
	note(f, &said);
	if (r < 0 || op->kind == SCENARIO_MKDIR || op->kind == SCENARIO_UNLINK)
		return;
	if (opens && fileio_fstat(member->files, r, &st))
		differ("filemap_fs: open, but no fstat");
	check_same(f, op, said.at.node, &st);
	if (op->kind == SCENARIO_OPEN)
		run.open[r] = true;
	if (op->kind == SCENARIO_LIST)
		list(member, op, r, said.at);
}

static void ask_ours(struct member *member, struct scenario *s)
{
	struct scenario_op op;
	int n = 0;

	model_copy(&run.model, &run.begun[run.turn]);
	run.made = 0;
	run.model.policy = ours;
	while (next_op(s, &op, &n))
		if (op.kind != SCENARIO_CLOSE)
			operate(member, &op);
	for (int fd = FD_FIRST; fd < FD_FIRST + OPS; fd++)
		if (run.open[fd] && fileio_close(member->files, fd))
			differ("filemap_fs: close %d", fd);
	/* Also for inputs without operations, which afl-cmin begins with: it wants to see code reached. */
	if (fileio_close(member->files, FD_FIRST) != -EBADF)
		differ("filemap_fs: a descriptor is left open");
	memset(run.open, 0, sizeof(run.open));
	take_back(&member->fixture, &run.model, run.n_entries);
}

static int next_descriptor(const struct member *member)
{
	int fd = fcntl(member->fixture.host_fd, F_DUPFD_CLOEXEC, 0);

	close(fd);
	return fd;
}

/* Nothing may stay behind: neither in the tree nor among descriptors. */
static void check_fixture(const struct member *member, int fd_before)
{
	int fd = next_descriptor(member);

	if (fd != fd_before)
		differ("filemap_fs: %d is the next descriptor, not %d: some were lost", fd,
			fd_before);
	if (fixture_fingerprint(&member->fixture) != member->print)
		differ("filemap_fs harness: the fixture has drifted, or outside was changed");
}

static void run_input(struct member *member)
{
	struct scenario *s = &run.scenario;
	const uint8_t *at;
	int ops_left;

	run.stirred = false;
	lay_entries(member);
	at = s->at;
	ops_left = s->ops_left;
	if (member->mounted)
		ask_linux(&member->fixture, s);
	s->at = at;
	s->ops_left = ops_left;
	ask_ours(member, s);
	if (run.stirred)
		take_entries_back();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct member *member;
	int fd = -1;
	bool few;

	if (!run.ready) {
		quiet_begin();
		set_up();
		quiet_end();
	}
	run.data = data;
	run.size = size;
	scenario_begin(&run.scenario, data, size);
	member = member_of(&run.scenario);
	member->inputs++;
	/* Often at first, for a few inputs may be all there are. */
	few = member->inputs == 1 || member->inputs == CHECK_SECOND ||
	      member->inputs == CHECK_THIRD;
	if (few || member->inputs % CHECK_EVERY == 0)
		fd = next_descriptor(member);
	run_input(member);
	if (fd >= 0) {
		quiet_begin();
		take_entries_back();
		check_fixture(member, fd);
		quiet_end();
	}
	return 0;
}
