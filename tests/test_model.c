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
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "scenario.h"
#include "unit.h"
#include "world.h"

enum {
	OPERATIONS = 100000,
	INPUT = 220,
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
	r = fixture_make(*f, 2 * config + (variant & 1), config, variant & 1 ? 2 : 0,
		(struct model_policy){ 0 });
	if (!r && (*f)->world.real)
		r = fixture_mount(*f, NULL);
	if (r)
		printf("     fixture %d: %s\n", config, strerrorname_np(-r));
	return r ? NULL : *f;
}

/* Done to the model, then to the real tree. */
static bool agree(struct fixture *f, const struct scenario_op *op, struct model_result *said)
{
	const char *differs;

	*said = world_ask(&m, op);
	differs = m.full ? NULL : fixture_differs(f, &m, op, said);
	if (differs)
		printf("     %s\n", differs);
	fixture_note(f, &m, said);
	return !differs;
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
	struct model_result said;
	struct scenario_op op;
	bool good = true;
	int n = 0;

	model_copy(&m, &f->world.model);
	if (add_entries(f) || fixture_go_in(f))
		return -1;
	while (good && !m.full && scenario_next_op(&s, &op)) {
		if (!fixture_asks(&op))
			continue;
		good = agree(f, &op, &said);
		n++;
	}
	if (fixture_go_out() || (good && fixture_restore(f, &m, 0)))
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

/* Every way to say the i-th link of the chain, every way to use it. */
static bool agree_on_link(struct fixture *f, int i)
{
	static const char *const ends[] = { "", "/", "/.", "/missing" };
	static const struct scenario_op uses[] = { { .kind = SCENARIO_STAT },
		{ .kind = SCENARIO_LSTAT }, { .kind = SCENARIO_OPEN },
		{ .kind = SCENARIO_OPEN, .flags = O_NOFOLLOW },
		{ .kind = SCENARIO_OPEN, .flags = O_NOFOLLOW | O_DIRECTORY },
		{ .kind = SCENARIO_OPEN, .flags = O_CREAT | O_EXCL },
		{ .kind = SCENARIO_OPEN, .flags = O_CREAT | O_NOFOLLOW },
		{ .kind = SCENARIO_UNLINK } };
	struct model_result said;
	bool good = true;
	char path[64];

	for (size_t end = 0; end < sizeof(ends) / sizeof(ends[0]); end++) {
		snprintf(path, sizeof(path), "/x/c%d%s", i, ends[end]);
		for (size_t use = 0; good && use < sizeof(uses) / sizeof(uses[0]); use++) {
			struct scenario_op op = uses[use];

			op.path = path;
			if (op.kind == SCENARIO_UNLINK && !end)
				continue; /* the next links need it */
			good = agree(f, &op, &said);
			if (op.kind == SCENARIO_STAT)
				good &= (said.r == -ELOOP) == (i > 40);
			if (!good)
				printf("     \"%s\", use %zu\n", path, use);
		}
	}
	return good;
}

/* A chain of links as long as Linux follows, and one longer: no random tree has one. */
static int run_chain(void)
{
	struct fixture *f = fixture_of(3, 0); /* m2 is at /x */
	char name[16], target[32];
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
	for (int i = 1; good && i <= 41; i++)
		good = agree_on_link(f, i);
	return fixture_go_out() || !good || fixture_restore(f, &m, 0);
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
