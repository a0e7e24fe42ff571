// SPDX-License-Identifier: ISC
/*
 * The model of the file map against the kernel: random trees with mounts, built for real, and random operations
 * in a chroot. What the model says of Linux is what Linux does, operation by operation; so what the fuzz targets
 * hold the file map to is no opinion.
 */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "scenario.h"
#include "unit.h"
#include "world.h"

enum {
	OPERATIONS = 100000,
	INPUT = 220,
	KNOWN = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |
		O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
};

static struct fixture *fixtures[SCENARIO_CONFIGS][2];
static struct scenario s;
static struct model m;
static uint64_t state = 1;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Those of the table, and the same with rights the other way round. NULL: it could not be made. */
static struct fixture *fixture_of(int config, int variant)
{
	struct fixture **f = &fixtures[config][variant & 1];
	int r;

	if (*f)
		return *f;
	*f = calloc(1, sizeof(**f));
	if (!*f)
		return NULL;
	r = fixture_make(*f, 2 * config + (variant & 1), config, variant & 1 ? 3 : 0,
		(struct model_policy){ 0 });
	if (!r && (*f)->world.real)
		r = fixture_mount(*f, NULL);
	if (r)
		printf("     fixture %d: %s\n", config, strerrorname_np(-r));
	return r ? NULL : *f;
}

static struct model_result ask_model(const struct scenario_op *op)
{
	switch (op->kind) {
	case SCENARIO_OPEN:
	case SCENARIO_LIST:
		return model_open(&m, op->path, op->flags, op->mode);
	case SCENARIO_STAT:
	case SCENARIO_LSTAT:
		return model_stat(&m, op->path, op->kind == SCENARIO_STAT);
	case SCENARIO_MKDIR:
		return model_mkdir(&m, op->path, op->mode);
	default:
		return model_unlink(&m, op->path);
	}
}

static int kernel_open(const struct scenario_op *op, struct stat *st, char *list, ssize_t *listed)
{
	int fd = open(op->path, op->flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, op->mode & 0755),
	    r = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, st))
		r = -errno;
	if (op->kind == SCENARIO_LIST)
		*listed = syscall(SYS_getdents64, fd, list, 65536);
	close(fd);
	return r;
}

static int ask_kernel(const struct scenario_op *op, struct stat *st, char *list, ssize_t *listed)
{
	switch (op->kind) {
	case SCENARIO_OPEN:
	case SCENARIO_LIST:
		return kernel_open(op, st, list, listed);
	case SCENARIO_STAT:
		return stat(op->path, st) ? -errno : 0;
	case SCENARIO_LSTAT:
		return lstat(op->path, st) ? -errno : 0;
	case SCENARIO_MKDIR:
		return mkdir(op->path, op->mode & 0755) ? -errno : 0;
	default:
		return unlink(op->path) ? -errno : 0;
	}
}

static bool agree(struct fixture *f, const struct scenario_op *op, const struct model_result *said)
{
	static char list[65536] __attribute__((aligned(8)));
	struct stat st = { 0 };
	ssize_t listed = 0;
	int r = ask_kernel(op, &st, list, &listed);

	if (r != said->r) {
		printf("     the model says %s, the kernel %s\n",
			said->r ? strerrorname_np(-said->r) : "0", r ? strerrorname_np(-r) : "0");
		return false;
	}
	if (r || op->kind == SCENARIO_MKDIR || op->kind == SCENARIO_UNLINK)
		return true;
	if (!fixture_is(f, &m, said->at.node, &st)) {
		printf("     not the node %d that the model says\n", said->at.node);
		return false;
	}
	if (S_ISREG(st.st_mode) && st.st_size != m.nodes[said->at.node].size) {
		printf("     %jd bytes, not %jd\n", (intmax_t)st.st_size,
			(intmax_t)m.nodes[said->at.node].size);
		return false;
	}
	return op->kind != SCENARIO_LIST || world_same_listing(&m, said->at, list, listed, false);
}

static int add_entries(struct fixture *f)
{
	struct scenario_entry entry;
	int last_dir = -1, r = 0;

	while (!r && scenario_next_entry(&s, &entry)) {
		int dir = world_place(&f->world, &m, &entry, last_dir), node;

		if (dir < 0)
			continue;
		node = model_add(&m, dir, entry.name, entry.name_len, entry.mode, entry.target);
		if (node < 0)
			return node;
		if (S_ISDIR(entry.mode))
			last_dir = node;
		r = fixture_add(f, &m, node);
	}
	return r;
}

/* One tree; how many operations were compared, or -1. */
static int run(struct fixture *f, const uint8_t *input)
{
	struct scenario_op op;
	bool good = true;
	int n = 0;

	model_copy(&m, &f->world.model);
	if (add_entries(f) || fixture_go_in(f))
		return -1;
	while (good && !m.full && scenario_next_op(&s, &op)) {
		struct model_result said;

		if (op.kind == SCENARIO_CLOSE || op.flags & ~KNOWN ||
			(op.flags & O_ACCMODE) == O_ACCMODE)
			continue;
		said = ask_model(&op);
		good = m.full || agree(f, &op, &said);
		fixture_note(f, &m, &said);
		n++;
	}
	if (fixture_go_out() || (good && fixture_restore(f, &m)))
		good = false;
	if (good)
		return n;
	printf("     at operation %d of:\n", n);
	scenario_print(input, INPUT, stdout);
	return -1;
}

static int run_all(void)
{
	struct rlimit limit;
	uint8_t input[INPUT];
	int n = 0, done;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	while (n < OPERATIONS) {
		struct fixture *f;

		for (int i = 0; i < INPUT; i++)
			input[i] = (uint8_t)(next_random() >> 32);
		scenario_begin(&s, input, INPUT);
		f = fixture_of(s.config, s.variant);
		done = !f ? -1 : f->world.real ? run(f, input) : 0;
		if (done < 0)
			return 1;
		n += done;
	}
	printf("     %d operations\n", n);
	return 0;
}

/* A chain of links as long as Linux follows, and one longer: no random tree has one. */
static int run_chain(void)
{
	struct fixture *f = fixture_of(3, 0); /* m2 is at /x */
	char name[16], target[32];
	struct scenario_op op = { .kind = SCENARIO_STAT };
	bool good = f;

	if (f)
		model_copy(&m, &f->world.model);
	for (int i = 0; good && i <= 41; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		snprintf(target, sizeof(target), "%sc%d", i % 2 ? "/x/" : "", i - 1);
		good = !fixture_add(f, &m,
			model_add(&m, f->world.base[SCENARIO_M2], name, strlen(name),
				i ? S_IFLNK | 0777 : S_IFDIR | 0755, i ? target : NULL));
	}
	if (!good || fixture_go_in(f))
		return 1;
	for (int i = 38; good && i <= 41; i++) {
		static const char *const ends[] = { "", "/", "/.", "/missing" };

		for (int end = 0; good && end < 4; end++) {
			struct model_result said;
			char path[64];

			snprintf(path, sizeof(path), "/x/c%d%s", i, ends[end]);
			op.path = path;
			said = ask_model(&op);
			good = agree(f, &op, &said) && (said.r == -ELOOP) == (i > 40);
		}
	}
	return fixture_go_out() || !good || fixture_restore(f, &m);
}

/* In a child, for a namespace is for good. */
static void in_a_namespace(int (*run_it)(void))
{
	enum { NO_NAMESPACE = 77 };
	const char *why = "";
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (fixture_enter(&why))
			_exit(NO_NAMESPACE);
		status = run_it();
		fflush(stdout);
		_exit(status);
	}
	CU_ASSERT_FATAL(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_NAMESPACE) {
		unit_skip("no namespace with mounts of our own");
		return;
	}
	CU_ASSERT(WIFEXITED(status) && !WEXITSTATUS(status));
}

static void says_what_linux_does(void)
{
	in_a_namespace(run_all);
}

static void counts_links_as_linux_does(void)
{
	in_a_namespace(run_chain);
}

static const struct unit_case cases[] = {
	{ "says_what_linux_does", says_what_linux_does },
	{ "counts_links_as_linux_does", counts_links_as_linux_does },
};

UNIT_MAIN("model", cases)
