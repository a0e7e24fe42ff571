// SPDX-License-Identifier: ISC
/*
 * A process of the host changes a mapped tree without pause while a guest's calls walk it: whatever
 * it swaps, the guest gets what lies in its mappings or an errno of Linux's, at once, and nothing
 * outside is read, made, changed or removed.
 *
 * How this works: a shape is a row: what lies there, what the host does over and over, what the guest
 * asks, and which outcomes must all be seen, else the race was not on and more rounds follow. An
 * outcome is the content got, the kind of object, or an errno. Objects outside are known by their
 * inode, and held open to see that they stay as they are.
 */
#include "fileio.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>

#include "cleanup.h"
#include "err.h"
#include "hostfs.h"
#include "tmptree.h"
#include "unit.h"

enum {
	LINES = 8,        /* of one kind in one shape */
	ROUNDS = 20000,   /* unless RACE_ROUNDS says another number */
	BATCHES_MAX = 20, /* of as many rounds, until all outcomes were seen */
	CHECK_EVERY = 20, /* rounds: a change outside stays, so it is met later, too */
	ROUND_SECONDS = 20,
	SHAPE_SECONDS = 120,
	EXCHANGE = 2, /* RENAME_EXCHANGE */
};

enum op { READ, WRITE, STAT, LSTAT, MKDIR, UNLINK, LIST, OP_COUNT };

/*
 * Steps of the host: "d NAME", "f NAME CONTENT", "l NAME TARGET" (@: the tree's own path), "p NAME",
 * "s NAME" (socket), "c NAME" (device), "x A B" (exchange), "r OLD NEW", "u NAME", "e NAME" (rmdir).
 */
struct shape {
	const char *name;
	enum op op;
	int flags;
	const char *mounts[LINES]; /* none: in:/in:rw */
	const char *tree[LINES];   /* beside base_tree */
	const char *swap[LINES];   /* by the host, over and over; none: nothing moves */
	const char *held;        /* a directory of the host, held open since before the swapping, */
	const char *undo[LINES]; /* in which these steps undo what a round may have done */
	const char *paths[LINES]; /* in turn */
	const char *must[LINES];  /* outcomes that must be seen; there may be no others */
	bool variant;             /* of another shape: a quarter of the rounds will do */
	bool device;
	bool rare; /* the last outcome takes forty looks in a row that meet it: it need not be seen */
};

static const char *const base_tree[] = { "d in", "d out", "d out/sub", "d aside", "d ro",
	"d scratch", "f out/name SECRET", "f out/victim SECRET", "f aside/name SECRET",
	"f aside/victim SECRET", "f ro/name read-only", NULL };

/* They never change; what is outside is never met either. */
static const struct {
	const char *name;
	bool outside;
} canary_names[] = { { "out", true }, { "out/name", true }, { "out/victim", true },
	{ "out/sub", true }, { "aside/name", true }, { "aside/victim", true }, { "ro/name", false },
	{ "ro/file", false }, { "ro/dir", false }, { "in/sub/shadowed", false } };

enum { N_CANARIES = sizeof(canary_names) / sizeof(canary_names[0]) };

static const struct engine {
	const char *name;
	const struct hostfs *host;
} engines[] = { { "openat2", &hostfs_openat2 }, { "walk", &hostfs_walk } };

struct step {
	char what, a[64], b[128];
};

struct shared {
	_Atomic uint64_t swaps; /* that came about */
	_Atomic bool woken;
};

static struct world {
	struct tmptree tree;
	int dir, before, fds_before;
	struct {
		int fd;
		struct stat st;
	} canaries[N_CANARIES];
	struct fileio_mount mounts[LINES];
	struct fileio *files;
	struct shared *shared;
	pid_t swapper;
	char text[64]; /* of the last outcome */
} w;

struct tally {
	char name[32];
	unsigned int n;
};

struct score {
	struct tally outcomes[12];
	unsigned int rounds, raced, escapes;
	bool failed;
};

static unsigned int rounds_wanted(const struct shape *shape)
{
	const char *text = getenv("RACE_ROUNDS");
	long n = text ? strtol(text, NULL, 10) : 0;
	unsigned int rounds = n > 0 ? (unsigned int)n : ROUNDS;

	return shape->variant ? (rounds + 3) / 4 : rounds;
}

static struct step parse_step(const char *line)
{
	struct step step = { 0 };
	char rest[64] = "";

	CU_ASSERT_FATAL(sscanf(line, "%c %63s %63s", &step.what, step.a, rest) >= 2);
	snprintf(step.b, sizeof(step.b), "%s%s", rest[0] == '@' ? w.tree.path : "",
		rest + (rest[0] == '@'));
	return step;
}

static int make_file(int dir, const struct step *step)
{
	int fd = openat(dir, step->a, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	size_t len = strlen(step->b);
	bool good = fd >= 0 && write(fd, step->b, len) == (ssize_t)len;

	if (fd >= 0)
		close(fd);
	return good ? 0 : -1;
}

static int host_step(int dir, const struct step *step)
{
	switch (step->what) {
	case 'd':
		return mkdirat(dir, step->a, 0755);
	case 'f':
		return make_file(dir, step);
	case 'l':
		return symlinkat(step->b, dir, step->a);
	case 'p':
		return mkfifoat(dir, step->a, 0644);
	case 's':
		return mknodat(dir, step->a, S_IFSOCK | 0644, 0);
	case 'c': /* /dev/zero: to be told from a file */
		return mknodat(dir, step->a, S_IFCHR | 0666, makedev(1, 5));
	case 'x':
		return (int)syscall(SYS_renameat2, dir, step->a, dir, step->b, EXCHANGE);
	case 'r':
		return renameat(dir, step->a, dir, step->b);
	case 'u':
		return unlinkat(dir, step->a, 0);
	case 'e':
		return unlinkat(dir, step->a, AT_REMOVEDIR);
	default:
		return -1;
	}
}

static int host_steps(int dir, const char *const *lines)
{
	int failed = 0;

	for (; *lines; lines++) {
		struct step step = parse_step(*lines);

		if (host_step(dir, &step)) {
			failed = failed ? failed : errno;
		}
	}
	return failed;
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static void canaries_begin(void)
{
	sleep_ms(12); /* a later change gets a later time */
	for (int i = 0; i < N_CANARIES; i++) {
		w.canaries[i].fd =
			openat(w.dir, canary_names[i].name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (w.canaries[i].fd >= 0)
			fstat(w.canaries[i].fd, &w.canaries[i].st);
	}
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* The first canary that was changed, or NULL. Being moved by the host is no change. */
static const char *changed_canary(void)
{
	for (int i = 0; i < N_CANARIES; i++) {
		const struct stat *old = &w.canaries[i].st;
		struct stat st;

		if (w.canaries[i].fd < 0)
			continue;
		if (fstat(w.canaries[i].fd, &st) || st.st_size != old->st_size ||
			st.st_mode != old->st_mode || st.st_nlink != old->st_nlink ||
			!same_time(st.st_mtim, old->st_mtim))
			return canary_names[i].name;
	}
	return NULL;
}

static bool is_outside(const struct stat *st)
{
	for (int i = 0; i < N_CANARIES; i++)
		if (canary_names[i].outside && w.canaries[i].fd >= 0 &&
			w.canaries[i].st.st_ino == st->st_ino &&
			w.canaries[i].st.st_dev == st->st_dev)
			return true;
	return false;
}

/* The guest's root in the scratch tree gets a name that steps can use. */
static void name_scratch(void)
{
	char target[300];
	struct dirent *entry;
	DIR *dir = opendir("scratch");

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(target, sizeof(target), "scratch/%s/root", entry->d_name);
		CU_ASSERT_EQUAL_FATAL(symlink(target, "root"), 0);
	}
	if (dir)
		closedir(dir);
}

static size_t parse_mounts(const struct shape *shape)
{
	static const char *const usual[] = { "in:/in:rw", NULL };
	const char *const *texts = shape->mounts[0] ? shape->mounts : usual;
	struct err err;
	size_t n = 0;

	for (; texts[n]; n++)
		CU_ASSERT_EQUAL_FATAL(fileio_parse_mount(texts[n], &w.mounts[n], &err), 0);
	return n;
}

static void world_make(void)
{
	static const char *const nothing[] = { NULL };

	w = (struct world){ .fds_before = tmptree_open_fds() };
	CU_ASSERT_FATAL(tmptree_make(&w.tree, nothing) == 0);
	w.before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CU_ASSERT_FATAL(chdir(w.tree.path) == 0);
	w.dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w.shared = mmap(
		NULL, sizeof(*w.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_FATAL(w.dir >= 0 && w.shared != MAP_FAILED);
	CU_ASSERT_EQUAL_FATAL(host_steps(w.dir, base_tree), 0);
}

static int world_start(const struct engine *engine, size_t n_mounts)
{
	struct fileio_config config = { .mounts = w.mounts,
		.n_mounts = n_mounts,
		.scratch_parent = "scratch",
		.host = engine->host,
		.console_in = -1,
		.console_out = -1 };
	struct err err;
	int r;

	r = fileio_init(&w.files, &config, &err);
	if (r)
		printf("     %s\n", err.text);
	return r;
}

static void world_end(void)
{
	fileio_destroy(w.files);
	for (int i = 0; i < N_CANARIES; i++)
		if (w.canaries[i].fd > 0)
			close(w.canaries[i].fd);
	for (int i = 0; i < LINES; i++) {
		free((char *)(uintptr_t)w.mounts[i].host);
		free((char *)(uintptr_t)w.mounts[i].guest);
	}
	CU_ASSERT_EQUAL(rmdir("scratch"), 0); /* nothing of ours is left in it */
	munmap(w.shared, sizeof(*w.shared));
	close(w.dir);
	CU_ASSERT_EQUAL(fchdir(w.before), 0);
	close(w.before);
	tmptree_remove(&w.tree);
	CU_ASSERT_EQUAL(tmptree_open_fds(), w.fds_before);
}

/* A child that ends with us, and by itself in the end. Its steps are parsed before. */
static pid_t fork_child(void)
{
	pid_t child = fork();

	CU_ASSERT_FATAL(child >= 0);
	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGALRM, SIG_DFL);
	alarm(2 * SHAPE_SECONDS);
	return 0;
}

static void reap(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void start_swapper(const struct shape *shape)
{
	struct step steps[LINES];
	int n = 0;

	for (; shape->swap[n]; n++)
		steps[n] = parse_step(shape->swap[n]);
	w.swapper = n ? fork_child() : -1;
	if (w.swapper)
		return;
	for (unsigned int i = 0;; i++) {
		if (!host_step(w.dir, &steps[i % (unsigned int)n]))
			atomic_fetch_add(&w.shared->swaps, 1);
		/* Steps of another length each time: the resolver is met at every point. */
		for (volatile unsigned int wait = i * 7919 % 499; wait; wait--)
			;
	}
}

static const char *type_name(const struct stat *st)
{
	static const char *const names[16] = { [S_IFREG >> 12] = "file",
		[S_IFDIR >> 12] = "directory",
		[S_IFLNK >> 12] = "link",
		[S_IFIFO >> 12] = "fifo",
		[S_IFCHR >> 12] = "device",
		[S_IFSOCK >> 12] = "socket" };

	if (is_outside(st))
		return "ESCAPE";
	return names[st->st_mode >> 12] ? names[st->st_mode >> 12] : "nothing";
}

static const char *errno_name(int64_t r)
{
	const char *name = strerrorname_np((int)-r);

	return name ? name : "no errno";
}

/* What a descriptor is, and for a file: what it holds, or that it could be written. */
static const char *use_file(int fd, bool to_write)
{
	struct stat st;
	ssize_t n;
	int r = fileio_fstat(w.files, fd, &st);

	if (r)
		return errno_name(r);
	if (!S_ISREG(st.st_mode) || is_outside(&st))
		return type_name(&st);
	if (to_write) {
		n = fileio_write(w.files, fd, "guest", 5);
		return n == 5 ? "written" : errno_name(n);
	}
	n = fileio_read(w.files, fd, w.text, sizeof(w.text) - 1);
	if (n < 0)
		return errno_name(n);
	w.text[n] = 0;
	return strcmp(w.text, "SECRET") ? w.text : "ESCAPE";
}

static const char *do_open(const char *path, int flags)
{
	const char *outcome;
	int fd = fileio_open(w.files, path, flags, 0644);

	if (fd < 0)
		return errno_name(fd);
	outcome = use_file(fd, (flags & O_ACCMODE) != O_RDONLY);
	fileio_close(w.files, fd);
	return outcome;
}

static const char *do_stat(const char *path, int flags)
{
	struct stat st;
	int r = fileio_stat(w.files, path, true, &st);

	(void)flags;
	return r ? errno_name(r) : type_name(&st);
}

static const char *do_lstat(const char *path, int flags)
{
	struct stat st;
	int r = fileio_stat(w.files, path, false, &st);

	(void)flags;
	return r ? errno_name(r) : type_name(&st);
}

static const char *do_mkdir(const char *path, int flags)
{
	int r = fileio_mkdir(w.files, path, 0755);

	(void)flags;
	return r ? errno_name(r) : "made";
}

static const char *do_unlink(const char *path, int flags)
{
	int r = fileio_unlink(w.files, path);

	(void)flags;
	return r ? errno_name(r) : "gone";
}

/* The first letters of all names, in an order that does not change: one directory's, never two's. */
static const char *list(int fd)
{
	struct dirent64 entry;
	size_t len = 0;
	ssize_t n;

	/* Room for one short name, so that a listing takes several calls. */
	while ((n = fileio_getdents(w.files, fd, &entry, 24)) > 0)
		if (entry.d_name[0] != '.' && len < sizeof(w.text) - 1)
			w.text[len++] = entry.d_name[0];
	w.text[len] = 0;
	return n < 0 ? errno_name(n) : w.text;
}

static const char *do_list(const char *path, int flags)
{
	const char *outcome;
	int fd = fileio_open(w.files, path, O_RDONLY | O_DIRECTORY | flags, 0);

	if (fd < 0)
		return errno_name(fd);
	outcome = list(fd);
	fileio_close(w.files, fd);
	return outcome;
}

static const char *(*const ops[OP_COUNT])(const char *path, int flags) = { [READ] = do_open,
	[WRITE] = do_open,
	[STAT] = do_stat,
	[LSTAT] = do_lstat,
	[MKDIR] = do_mkdir,
	[UNLINK] = do_unlink,
	[LIST] = do_list };

static struct tally *tally_of(struct score *score, const char *outcome)
{
	struct tally *tally = score->outcomes;
	const struct tally *last = tally + sizeof(score->outcomes) / sizeof(*tally) - 1;

	while (tally < last && tally->n && strcmp(tally->name, outcome) != 0)
		tally++;
	if (!tally->n)
		snprintf(tally->name, sizeof(tally->name), "%s", outcome);
	return tally;
}

static bool is_among(const char *outcome, const char *const *names)
{
	for (; *names; names++)
		if (!strcmp(*names, outcome))
			return true;
	return false;
}

static void round_failed(
	struct score *score, const char *path, const char *what, const char *outcome)
{
	printf("     round %u, %s: %s%s\n", score->rounds, path, what, outcome);
	score->failed = true;
}

static void one_round(const struct shape *shape, const char *path, struct score *score)
{
	uint64_t swaps = atomic_load(&w.shared->swaps);
	const char *changed, *outcome;

	alarm(ROUND_SECONDS);
	outcome = ops[shape->op](path, shape->flags);
	score->raced += atomic_load(&w.shared->swaps) != swaps;
	score->rounds++;
	tally_of(score, outcome)->n++;
	score->escapes += !strcmp(outcome, "ESCAPE");
	if (!is_among(outcome, shape->must))
		round_failed(score, path, "came to ", outcome);
	if (score->rounds % CHECK_EVERY)
		return;
	changed = changed_canary();
	if (changed)
		round_failed(score, path, "changed ", changed);
}

static bool all_seen(const struct shape *shape, struct score *score)
{
	for (const char *const *must = shape->must; *must; must++)
		if (!tally_of(score, *must)->n && !(shape->rare && !must[1]))
			return false;
	return !shape->swap[0] || score->raced;
}

static void run_rounds(const struct shape *shape, struct score *score)
{
	int held = open(shape->held ? shape->held : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct step undo[LINES];
	unsigned int n_paths = 0, n_undo = 0, n = rounds_wanted(shape);

	CU_ASSERT_FATAL(held >= 0);
	while (shape->paths[n_paths])
		n_paths++;
	for (; shape->undo[n_undo]; n_undo++)
		undo[n_undo] = parse_step(shape->undo[n_undo]);
	start_swapper(shape);
	for (int batch = 0; batch < BATCHES_MAX; batch++) {
		for (unsigned int i = 0; i < n && !score->failed; i++) {
			one_round(shape, shape->paths[i % n_paths], score);
			for (unsigned int j = 0; j < n_undo; j++)
				host_step(held, &undo[j]);
		}
		if (score->failed || all_seen(shape, score))
			break;
	}
	alarm(0);
	if (w.swapper > 0)
		reap(w.swapper);
	close(held);
}

static void report(const char *engine, const char *name, const struct score *score)
{
	printf("     %s %s: %u rounds, %u raced:", engine, name, score->rounds, score->raced);
	for (const struct tally *tally = score->outcomes; tally->n; tally++)
		printf(" %u %s", tally->n, tally->name);
	printf("; %u escapes, 0 hangs\n", score->escapes);
}

static char hang_text[200];

static void on_hang(int number)
{
	(void)number;
	if (write(STDOUT_FILENO, hang_text, strlen(hang_text)) < 0)
		_exit(2);
	_exit(1);
}

static void world_begin(const struct engine *engine, const struct shape *shape)
{
	snprintf(hang_text, sizeof(hang_text), "FAIL %s %s: 1 hang\n", engine->name, shape->name);
	signal(SIGALRM, on_hang);
	world_make();
	CU_ASSERT_EQUAL_FATAL(host_steps(w.dir, shape->tree), 0);
	CU_ASSERT_EQUAL_FATAL(world_start(engine, parse_mounts(shape)), 0);
	name_scratch();
	canaries_begin();
}

static void run_shape(const struct engine *engine, const struct shape *shape)
{
	struct score score = { 0 };

	world_begin(engine, shape);
	run_rounds(shape, &score);
	report(engine->name, shape->name, &score);
	CU_ASSERT_FALSE(score.failed);
	CU_ASSERT_EQUAL(score.escapes, 0);
	CU_ASSERT(all_seen(shape, &score));
	CU_ASSERT_PTR_NULL(changed_canary());
	world_end();
}

/* Some file systems exchange no names, some users make no devices. */
static const char *cannot(const struct shape *shape)
{
	static const char *const pair[] = { "d a", "d b", "x a b", "e a", "e b", NULL };
	static const char *const device[] = { "c a", "u a", NULL };
	static const char *const nothing[] = { NULL };
	struct tmptree tree;
	int dir, r;

	CU_ASSERT_FATAL(tmptree_make(&tree, nothing) == 0);
	dir = open(tree.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = host_steps(dir, shape->device ? device : pair);
	close(dir);
	tmptree_remove(&tree);
	if (!r)
		return NULL;
	return shape->device ? "this user may make no devices"
			     : "the file system in TMPDIR cannot exchange names";
}

static void run_shapes(const struct shape *shapes, size_t n)
{
	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
		for (size_t j = 0; j < n; j++) {
			const char *why = cannot(&shapes[j]);

			if (why)
				unit_skip(why);
			else
				run_shape(&engines[i], &shapes[j]);
		}
	}
}

#define RUN(shapes) run_shapes(shapes, sizeof(shapes) / sizeof((shapes)[0]))

/* Ways to "/in/dir/name" that end up there while dir is a directory. */
#define WAYS                                                                                       \
	{                                                                                          \
		"/in/dir/name", "/in/./dir//name", "/in/dir/../dir/name", "/in/dir/sub/../name",   \
			NULL                                                                       \
	}
#define DIR_FOR_LINK   "x in/dir in/link"
#define FILE_FOR_OTHER "x in/file in/other"

static void reads_what_is_mapped(void)
{
	static const struct shape shapes[] = {
		{ .name = "directory for link out",
			.op = READ,
			.tree = { "d in/dir", "d in/dir/sub", "f in/dir/name ours",
				"l in/link ../out" },
			.swap = { DIR_FOR_LINK },
			.paths = WAYS,
			.must = { "ours", "ENOENT" } },
		{ .name = "directory for absolute link out",
			.variant = true,
			.op = READ,
			.tree = { "d in/dir", "d in/dir/sub", "f in/dir/name ours",
				"l in/link @/out" },
			.swap = { DIR_FOR_LINK },
			.paths = WAYS,
			.must = { "ours", "ENOENT" } },
		{ .name = "directory for magic link out",
			.variant = true,
			.op = READ,
			.tree = { "d in/dir", "d in/dir/sub", "f in/dir/name ours",
				"l in/link /proc/self/cwd/out" },
			.swap = { DIR_FOR_LINK },
			.paths = WAYS,
			.must = { "ours", "ENOENT" } },
		{ .name = "directory for link out, behind a link",
			.variant = true,
			.op = READ,
			.tree = { "d in/dir", "f in/dir/name ours", "l in/link ../out",
				"l in/way dir/name", "l in/long ./way/.././dir" },
			.swap = { DIR_FOR_LINK },
			.paths = { "/in/way", "/in/dir/../way" },
			.must = { "ours", "ENOENT" } },
		{ .name = "file for link out",
			.op = READ,
			.tree = { "f in/file ours", "l in/other ../out/name" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file", "/in/../in/file" },
			.must = { "ours", "ENOENT" } },
		{ .name = "file for link out, not followed",
			.variant = true,
			.op = READ,
			.flags = O_NOFOLLOW,
			.tree = { "f in/file ours", "l in/other ../out/name" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file", "/in/../in/file" },
			.must = { "ours", "ELOOP" } },
		{ .name = "link for link out",
			.variant = true,
			.op = READ,
			.tree = { "f in/name ours", "l in/file name", "l in/other ../out/name" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file" },
			.must = { "ours", "ENOENT" } },
		{ .name = "link for loop",
			.variant = true,
			.op = READ,
			.tree = { "f in/name ours", "l in/file name", "l in/other file" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file", "/in/./file" },
			.must = { "ours", "ELOOP" },
			.rare = true },
	};

	RUN(shapes);
}

static void writes_what_is_mapped(void)
{
	static const struct shape shapes[] = {
		{ .name = "write, file for link out",
			.op = WRITE,
			.flags = O_WRONLY | O_TRUNC,
			.tree = { "f in/file ours", "l in/other ../out/name" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file", "/in/../in/file" },
			.must = { "written", "ENOENT" } },
		{ .name = "write, directory for link out",
			.variant = true,
			.op = WRITE,
			.flags = O_RDWR | O_APPEND,
			.tree = { "d in/dir", "d in/dir/sub", "f in/dir/name ours",
				"l in/link ../out" },
			.swap = { DIR_FOR_LINK },
			.paths = WAYS,
			.must = { "written", "ENOENT" } },
		{ .name = "create, file for link out",
			.variant = true,
			.op = WRITE,
			.flags = O_RDWR | O_CREAT | O_TRUNC,
			.tree = { "f in/file ours", "l in/other ../out/name" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file" },
			.must = { "written", "ENOENT" } },
	};

	RUN(shapes);
}

static void observes_what_is_mapped(void)
{
	static const struct shape shapes[] = {
		{ .name = "stat, file for link out",
			.op = STAT,
			.tree = { "f in/file ours", "l in/other ../out/name" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file" },
			.must = { "file", "ENOENT" } },
		{ .name = "lstat, file for link out",
			.variant = true,
			.op = LSTAT,
			.tree = { "f in/file ours", "l in/other ../out/name" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file", "/in/../in/file" },
			.must = { "file", "link" } },
		{ .name = "stat, directory for link out",
			.variant = true,
			.op = STAT,
			.tree = { "d in/dir", "l in/link ../out" },
			.swap = { DIR_FOR_LINK },
			.paths = { "/in/dir", "/in/dir/", "/in/dir/.", "/in/../in/dir" },
			.must = { "directory", "ENOENT" } },
		{ .name = "lstat, directory for link out",
			.variant = true,
			.op = LSTAT,
			.tree = { "d in/dir", "d in/dir/sub", "f in/dir/name ours",
				"l in/link ../out" },
			.swap = { DIR_FOR_LINK },
			.paths = WAYS,
			.must = { "file", "ENOENT" } },
	};

	RUN(shapes);
}

static void creates_in_what_is_mapped(void)
{
	static const struct shape shapes[] = {
		{ .name = "create, parent for link out",
			.op = WRITE,
			.flags = O_WRONLY | O_CREAT | O_EXCL,
			.tree = { "d in/dir", "d in/dir/sub", "l in/link ../out" },
			.swap = { DIR_FOR_LINK },
			.held = "in/dir",
			.undo = { "u new" },
			.paths = { "/in/dir/new", "/in/dir/sub/../new" },
			.must = { "written", "ENOENT" } },
		{ .name = "mkdir, parent for link out",
			.op = MKDIR,
			.tree = { "d in/dir", "d in/dir/sub", "l in/link ../out" },
			.swap = { DIR_FOR_LINK },
			.held = "in/dir",
			.undo = { "e new" },
			.paths = { "/in/dir/new", "/in/dir/sub/../new/" },
			.must = { "made", "ENOENT" } },
		{ .name = "create, nothing for dangling link out",
			.op = WRITE,
			.flags = O_WRONLY | O_CREAT,
			.swap = { "l in/new ../out/new", "u in/new" },
			.held = "in",
			.undo = { "u new" },
			.paths = { "/in/new" },
			.must = { "written", "ENOENT" } },
		{ .name = "create anew, nothing for dangling link out",
			.variant = true,
			.op = WRITE,
			.flags = O_WRONLY | O_CREAT | O_EXCL,
			.swap = { "l in/new ../out/new", "u in/new" },
			.held = "in",
			.undo = { "u new" },
			.paths = { "/in/new" },
			.must = { "written", "EEXIST" } },
		{ .name = "create, nothing for dangling link inside",
			.variant = true,
			.op = WRITE,
			.flags = O_WRONLY | O_CREAT,
			.tree = { "d in/dir" },
			.swap = { "l in/new dir/made", "u in/new" },
			.held = "in",
			.undo = { "u new", "u dir/made" },
			.paths = { "/in/new" },
			.must = { "written" } },
		{ .name = "mkdir, nothing for dangling link out",
			.variant = true,
			.op = MKDIR,
			.swap = { "l in/new ../out/new", "u in/new" },
			.held = "in",
			.undo = { "e new" },
			.paths = { "/in/new", "/in/new/" },
			.must = { "made", "EEXIST" } },
	};

	RUN(shapes);
}

static void removes_only_what_is_mapped(void)
{
	static const struct shape shapes[] = {
		{ .name = "unlink, parent for link out",
			.op = UNLINK,
			.tree = { "d in/dir", "d in/dir/sub", "f in/dir/victim ours",
				"l in/link ../out" },
			.swap = { DIR_FOR_LINK },
			.held = "in/dir",
			.undo = { "f victim ours" },
			.paths = { "/in/dir/victim", "/in/dir/sub/../victim" },
			.must = { "gone", "ENOENT" } },
		{ .name = "unlink, file for directory for link out",
			.op = UNLINK,
			.swap = { "f in/x ours", "u in/x", "d in/x", "e in/x", "l in/x ../out/name",
				"u in/x" },
			.paths = { "/in/x" },
			.must = { "gone", "ENOENT", "EISDIR" } },
		{ .name = "unlink, .. of what moves out",
			.variant = true,
			.op = UNLINK,
			.tree = { "d in/a", "d in/a/b", "f in/a/victim ours" },
			.swap = { "r in/a/b aside/b", "r aside/b in/a/b" },
			.held = "in/a",
			.undo = { "f victim ours" },
			.paths = { "/in/a/b/../victim", "/in/a/b/../../a/b/../victim" },
			.must = { "gone", "ENOENT" } },
	};

	RUN(shapes);
}

static void lists_what_is_mapped(void)
{
	static const struct shape shapes[] = {
		{ .name = "list, directory for link out",
			.op = LIST,
			.tree = { "d in/dir", "f in/dir/a1 -", "f in/dir/a2 -", "f in/dir/a3 -",
				"l in/link ../out" },
			.swap = { DIR_FOR_LINK },
			.paths = { "/in/dir", "/in/dir/", "/in/dir/." },
			.must = { "aaa", "ENOENT" } },
		{ .name = "list, directory for file",
			.variant = true,
			.op = LIST,
			.tree = { "d in/dir", "f in/dir/a1 -", "f in/dir/a2 -", "f in/link -" },
			.swap = { DIR_FOR_LINK },
			.paths = { "/in/dir", "/in/./dir" },
			.must = { "aa", "ENOTDIR" } },
		{ .name = "list, directory for directory",
			.variant = true,
			.op = LIST,
			.tree = { "d in/dir", "f in/dir/a1 -", "f in/dir/a2 -", "f in/dir/a3 -",
				"d in/link", "f in/link/b1 -", "f in/link/b2 -" },
			.swap = { DIR_FOR_LINK },
			.paths = { "/in/dir", "/in/../in/dir" },
			.must = { "aaa", "bb" } },
	};

	RUN(shapes);
}

static void opens_nothing_special(void)
{
	static const struct shape shapes[] = {
		{ .name = "read, file for fifo",
			.op = READ,
			.tree = { "f in/file ours", "p in/other" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file" },
			.must = { "ours", "ENXIO" } },
		{ .name = "write, file for fifo",
			.variant = true,
			.op = WRITE,
			.flags = O_WRONLY,
			.tree = { "f in/file ours", "p in/other" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file" },
			.must = { "written", "ENXIO" } },
		{ .name = "create, file for fifo",
			.variant = true,
			.op = WRITE,
			.flags = O_RDWR | O_CREAT | O_TRUNC,
			.tree = { "f in/file ours", "p in/other" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file" },
			.must = { "written", "ENXIO" } },
		{ .name = "read, file for socket",
			.variant = true,
			.op = READ,
			.tree = { "f in/file ours", "s in/other" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file" },
			.must = { "ours", "ENXIO" } },
		{ .name = "read, file for directory",
			.op = READ,
			.tree = { "f in/file ours", "d in/other" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file" },
			.must = { "ours", "directory" } },
		{ .name = "write, file for directory",
			.variant = true,
			.op = WRITE,
			.flags = O_WRONLY | O_CREAT,
			.tree = { "f in/file ours", "d in/other" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file" },
			.must = { "written", "EISDIR" } },
		{ .name = "open directory, file for directory",
			.variant = true,
			.op = READ,
			.flags = O_DIRECTORY,
			.tree = { "f in/file ours", "d in/other" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file", "/in/../in/file" },
			.must = { "ENOTDIR", "directory" } },
	};

	RUN(shapes);
}

static void opens_no_device(void)
{
	static const struct shape shapes[] = {
		{ .name = "read, file for device",
			.op = READ,
			.tree = { "f in/file ours", "c in/other" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file" },
			.must = { "ours", "ENXIO" },
			.device = true },
		{ .name = "create, file for device",
			.variant = true,
			.op = WRITE,
			.flags = O_RDWR | O_CREAT | O_TRUNC,
			.tree = { "f in/file ours", "c in/other" },
			.swap = { FILE_FOR_OTHER },
			.paths = { "/in/file" },
			.must = { "written", "ENXIO" },
			.device = true },
	};

	RUN(shapes);
}

static void goes_up_where_it_came_from(void)
{
	static const struct shape shapes[] = {
		{ .name = ".. of what moves inside",
			.op = READ,
			.tree = { "d in/a", "d in/a/b", "d in/a/b/d", "d in/c", "f in/a/name ours",
				"f in/c/name other" },
			.swap = { "r in/a/b in/c/b", "r in/c/b in/a/b" },
			.paths = { "/in/a/b/../name", "/in/a/b/d/../../name",
				"/in/a/b/d/../../b/../name" },
			.must = { "ours", "ENOENT" } },
		{ .name = ".. of what moves out",
			.op = READ,
			.tree = { "d in/a", "d in/a/b", "d in/a/b/d", "f in/a/name ours" },
			.swap = { "r in/a/b aside/b", "r aside/b in/a/b" },
			.paths = { "/in/a/b/../name", "/in/a/b/d/../../name",
				"/in/a/b/../../../aside/name", "/in/a/b/d/../../../../out/name" },
			.must = { "ours", "ENOENT" } },
		{ .name = "create, .. of what moves out",
			.variant = true,
			.op = WRITE,
			.flags = O_WRONLY | O_CREAT | O_EXCL,
			.tree = { "d in/a", "d in/a/b", "d in/a/b/d" },
			.swap = { "r in/a/b aside/b", "r aside/b in/a/b" },
			.held = "in/a",
			.undo = { "u new" },
			.paths = { "/in/a/b/../new", "/in/a/b/d/../../new" },
			.must = { "written", "ENOENT" } },
	};

	RUN(shapes);
}

static void keeps_what_was_mapped(void)
{
	static const struct shape shapes[] = {
		{ .name = "mapped file for file",
			.op = READ,
			.mounts = { "conf:/etc/conf" },
			.tree = { "f conf old", "f other new" },
			.swap = { "x conf other" },
			.paths = { "/etc/conf", "/etc/../etc/conf" },
			.must = { "old" } },
		{ .name = "mapped file for link out",
			.variant = true,
			.op = WRITE,
			.flags = O_RDWR | O_TRUNC,
			.mounts = { "conf:/etc/conf:rw" },
			.tree = { "f conf old", "l other out/name" },
			.swap = { "x conf other" },
			.paths = { "/etc/conf", "/etc/../etc/conf" },
			.must = { "written" } },
		{ .name = "mapped directory for link out",
			.variant = true,
			.op = READ,
			.tree = { "f in/name ours", "l link out" },
			.swap = { "x in link" },
			.paths = { "/in/name", "/in/../in/name" },
			.must = { "ours" } },
		{ .name = "read, unlinkable file for link out",
			.variant = true,
			.op = READ,
			.mounts = { "state:/state:rw,unlink" },
			.tree = { "f state ours", "l other out/name" },
			.swap = { "x state other" },
			.paths = { "/state", "/./state" },
			.must = { "ours", "ELOOP" } },
		{ .name = "create, unlinkable file for link out",
			.variant = true,
			.op = WRITE,
			.flags = O_WRONLY | O_CREAT,
			.mounts = { "state:/state:rw,unlink" },
			.tree = { "f state ours" },
			.swap = { "l state out/new", "u state" },
			.undo = { "u state" },
			.paths = { "/state", "/./state" },
			.must = { "written", "ELOOP" } },
		{ .name = "unlink, unlinkable file for link out",
			.variant = true,
			.op = UNLINK,
			.mounts = { "state:/state:rw,unlink" },
			.tree = { "f state ours" },
			.swap = { "u state", "l state out/name", "u state", "f state ours" },
			.paths = { "/state" },
			.must = { "gone", "ELOOP", "ENOENT" } },
	};

	RUN(shapes);
}

static void never_writes_what_only_reads(void)
{
	static const struct shape shapes[] = {
		{ .name = "write, ro file for link to rw",
			.op = WRITE,
			.flags = O_WRONLY | O_TRUNC,
			.mounts = { "ro:/ro", "in:/in:rw" },
			.tree = { "f in/name ours", "f ro/file read-only", "l ro/link /in/name" },
			.swap = { "x ro/file ro/link" },
			.paths = { "/ro/file", "/in/../ro/file" },
			.must = { "written", "EROFS" } },
		{ .name = "create, ro parent for link to rw",
			.variant = true,
			.op = WRITE,
			.flags = O_WRONLY | O_CREAT,
			.mounts = { "ro:/ro", "in:/in:rw" },
			.tree = { "d ro/dir", "l ro/link /in" },
			.swap = { "x ro/dir ro/link" },
			.held = "in",
			.undo = { "u new" },
			.paths = { "/ro/dir/new", "/ro/dir/../dir/new" },
			.must = { "written", "EROFS", "ENOENT" } },
		{ .name = "unlink, rw parent for link to ro",
			.variant = true,
			.op = UNLINK,
			.mounts = { "ro:/ro", "in:/in:rw" },
			.tree = { "d in/dir", "f in/dir/name ours", "l in/link ../ro" },
			.swap = { DIR_FOR_LINK },
			.held = "in/dir",
			.undo = { "f name ours" },
			.paths = { "/in/dir/name" },
			.must = { "gone", "EROFS" } },
		{ .name = "write, parent of nested ro swapped",
			.op = WRITE,
			.flags = O_WRONLY,
			.mounts = { "in:/in:rw", "ro:/in/sub/ro" },
			.tree = { "d in/sub", "d in/other", "d in/other/ro",
				"f in/other/ro/name other" },
			.swap = { "x in/sub in/other" },
			.paths = { "/in/sub/ro/name", "/in/other/../sub/ro/name" },
			.must = { "EROFS" } },
		{ .name = "write, link to parent of nested ro swapped",
			.variant = true,
			.op = WRITE,
			.flags = O_WRONLY,
			.mounts = { "in:/in:rw", "ro:/in/sub/ro" },
			.tree = { "d in/sub", "l in/alias sub", "d in/other", "d in/other/ro",
				"f in/other/ro/name other" },
			.swap = { "x in/alias in/other" },
			.paths = { "/in/alias/ro/name", "/in/alias/ro/../ro/name" },
			.must = { "EROFS", "written" } },
		{ .name = "unlink, link to parent of nested ro swapped",
			.variant = true,
			.op = UNLINK,
			.mounts = { "in:/in:rw", "ro:/in/sub/ro" },
			.tree = { "d in/sub", "l in/alias sub", "d in/other", "d in/other/ro" },
			.swap = { "x in/alias in/other" },
			.held = "in/other/ro",
			.undo = { "f name other" },
			.paths = { "/in/alias/ro/name" },
			.must = { "EROFS", "gone" } },
		{ .name = "write, what nested ro covers moved",
			.variant = true,
			.op = WRITE,
			.flags = O_WRONLY | O_TRUNC,
			.mounts = { "in:/in:rw", "ro:/in/sub" },
			.tree = { "d in/sub", "f in/sub/shadowed read-only" },
			.swap = { "r in/sub in/moved", "r in/moved in/sub" },
			.paths = { "/in/moved/name", "/in/./moved/name" },
			.must = { "EROFS", "ENOENT" } },
	};

	RUN(shapes);
}

static void makes_parents_in_scratch_only(void)
{
	static const struct shape shapes[] = {
		{ .name = "create, implicit parents removed",
			.op = WRITE,
			.flags = O_WRONLY | O_CREAT,
			.swap = { "e root/a/b/c", "e root/a/b", "e root/a" },
			.undo = { "u root/a/b/c/new" },
			.paths = { "/a/b/c/new" },
			.must = { "written", "ENOENT" } },
		{ .name = "create, implicit parent for link out",
			.variant = true,
			.op = WRITE,
			.flags = O_WRONLY | O_CREAT,
			.swap = { "l root/a @/out", "u root/a" },
			.undo = { "u root/a/deep/new", "e root/a/deep", "e root/a" },
			.paths = { "/a/deep/new" },
			.must = { "written", "ENOENT" } },
		{ .name = "mkdir, implicit parent for link out",
			.variant = true,
			.op = MKDIR,
			.swap = { "l root/a @/out", "u root/a" },
			.undo = { "e root/a/deep/new", "e root/a/deep", "e root/a" },
			.paths = { "/a/deep/new" },
			.must = { "made", "ENOENT" } },
	};

	RUN(shapes);
}

/* Waits in an open of a fifo that needs another one at its other end. */
static pid_t start_opener(const char *fifo, int flags)
{
	pid_t child = fork_child();

	if (child)
		return child;
	if (open(fifo, flags) >= 0)
		atomic_store(&w.shared->woken, true);
	for (;;)
		pause();
}

/* That it would be told is seen at the end. */
static void wakes_nobody_at_a_fifo(void)
{
	static const struct shape shapes[] = {
		{ .name = "read, fifo", .variant = true, .flags = O_RDONLY },
		{ .name = "read, fifo, not blocking",
			.variant = true,
			.flags = O_RDONLY | O_NONBLOCK },
		{ .name = "write, fifo",
			.variant = true,
			.op = WRITE,
			.flags = O_WRONLY | O_CREAT },
		{ .name = "both, fifo", .variant = true, .op = WRITE, .flags = O_RDWR | O_TRUNC },
	};
	static const struct shape tree = { .name = "fifo",
		.tree = { "p in/fifo", "p out/fifo", "p out/fifo2", "l in/link fifo",
			"l in/away ../out/fifo", "l in/absolute @/out/fifo" } };
	static const char *const paths[] = { "/in/fifo", "/in/link", "/in/away", "/in/absolute",
		"/in/../in/fifo", NULL };

	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
		pid_t openers[3];
		int fd;

		world_begin(&engines[i], &tree);
		openers[0] = start_opener("in/fifo", O_WRONLY);
		openers[1] = start_opener("out/fifo", O_WRONLY);
		openers[2] = start_opener("out/fifo2", O_RDONLY);
		sleep_ms(50);
		for (size_t j = 0; j < sizeof(shapes) / sizeof(shapes[0]); j++) {
			struct shape shape = shapes[j];
			struct score score = { 0 };

			memcpy(shape.paths, paths, sizeof(paths));
			shape.must[0] = "ENXIO";
			shape.must[1] = "ENOENT";
			run_rounds(&shape, &score);
			report(engines[i].name, shape.name, &score);
			CU_ASSERT_FALSE(score.failed);
		}
		CU_ASSERT_FALSE(atomic_load(&w.shared->woken));
		fd = open("in/fifo", O_RDONLY | O_NONBLOCK);
		for (int tries = 0; tries < 1000 && !atomic_load(&w.shared->woken); tries++)
			sleep_ms(5);
		CU_ASSERT(atomic_load(&w.shared->woken));
		close(fd);
		for (size_t j = 0; j < sizeof(openers) / sizeof(openers[0]); j++)
			reap(openers[j]);
		world_end();
	}
}

/* The one scratch tree there is, held open; -1: none. */
static int open_scratch(void)
{
	struct dirent *entry;
	DIR *dir = opendir("scratch");
	char path[300];
	int fd = -1;

	while (dir && fd < 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "scratch/%s/root", entry->d_name);
		fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (dir)
		closedir(dir);
	return fd;
}

static void start_scratch_swapper(void)
{
	struct step link = parse_step("l link @/out"), swap = parse_step("x dir link");

	w.swapper = fork_child();
	if (w.swapper)
		return;
	for (;;) {
		int root = open_scratch();

		if (root < 0)
			continue;
		host_step(root, &link);
		for (int i = 0; i < 40; i++)
			if (!host_step(root, &swap))
				atomic_fetch_add(&w.shared->swaps, 1);
		close(root);
	}
}

/* A tree of the guest's goes while directories in it change places with links out. */
static void removes_only_its_scratch_tree(void)
{
	static const struct shape shape = { .name = "scratch removed", .variant = true };
	unsigned int n = rounds_wanted(&shape), raced = 0;

	world_begin(&engines[0], &shape);
	fileio_destroy(w.files);
	w.files = NULL;
	start_scratch_swapper();
	for (unsigned int i = 0; i < n && !changed_canary(); i++) {
		uint64_t swaps;

		alarm(ROUND_SECONDS);
		CU_ASSERT_EQUAL_FATAL(world_start(&engines[0], 0), 0);
		do_open("/dir/sub/victim", O_WRONLY | O_CREAT);
		do_open("/dir/victim", O_WRONLY | O_CREAT);
		swaps = atomic_load(&w.shared->swaps);
		fileio_destroy(w.files);
		w.files = NULL;
		raced += atomic_load(&w.shared->swaps) != swaps;
	}
	alarm(0);
	reap(w.swapper);
	printf("     %s: %u rounds, %u raced; 0 hangs\n", shape.name, n, raced);
	CU_ASSERT(raced > 0);
	CU_ASSERT_PTR_NULL(changed_canary());
	/* What the host put there last may be left. */
	tmptree_remove(&(struct tmptree){ "scratch" });
	CU_ASSERT_EQUAL(mkdir("scratch", 0755), 0);
	world_end();
}

static bool reads_secret(int fd)
{
	char text[8] = "";
	bool secret = fd >= 0 && read(fd, text, 6) == 6 && !strcmp(text, "SECRET");

	if (fd >= 0)
		close(fd);
	return secret;
}

static bool naive_open(void)
{
	autofree char *real = realpath("in/dir/name", NULL);

	if (!real || strncmp(real, w.tree.path, strlen(w.tree.path)) != 0 ||
		strncmp(real + strlen(w.tree.path), "/in/", 4) != 0)
		return false;
	return reads_secret(open("in/dir/name", O_RDONLY | O_CLOEXEC));
}

static bool naive_dotdot(void)
{
	int dir = open("in/a/b", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool escaped = reads_secret(openat(dir, "../name", O_RDONLY | O_NOFOLLOW | O_CLOEXEC));

	if (dir >= 0)
		close(dir);
	return escaped;
}

static bool naive_unlink(void)
{
	struct stat st;

	if (lstat("in/dir", &st) || !S_ISDIR(st.st_mode))
		return false;
	unlink("in/dir/victim");
	return lstat("out/victim", &st) != 0;
}

static bool naive_mkdir(void)
{
	struct stat st;

	if (lstat("in/dir", &st) || !S_ISDIR(st.st_mode))
		return false;
	mkdir("in/dir/new", 0755);
	rmdir("in/dir/new");
	return changed_canary() != NULL;
}

/* What looks first and then goes there by name: the same swapping leads it outside. */
static void would_lead_others_outside(void)
{
	static const struct {
		struct shape shape;
		bool (*escapes)(void);
	} naive[] = {
		{ { .name = "naive open",
			  .tree = { "d in/dir", "f in/dir/name ours", "l in/link ../out" },
			  .swap = { DIR_FOR_LINK } },
			naive_open },
		{ { .name = "naive ..",
			  .tree = { "d in/a", "d in/a/b", "f in/a/name ours" },
			  .swap = { "r in/a/b aside/b", "r aside/b in/a/b" } },
			naive_dotdot },
		{ { .name = "naive unlink",
			  .tree = { "d in/dir", "l in/link ../out" },
			  .swap = { DIR_FOR_LINK } },
			naive_unlink },
		{ { .name = "naive mkdir",
			  .tree = { "d in/dir", "l in/link ../out" },
			  .swap = { DIR_FOR_LINK } },
			naive_mkdir },
	};

	for (size_t i = 0; i < sizeof(naive) / sizeof(naive[0]); i++) {
		unsigned int n = 0;
		bool escaped = false;

		world_begin(&engines[0], &naive[i].shape);
		start_swapper(&naive[i].shape);
		alarm(SHAPE_SECONDS);
		while (!escaped && n++ < 100 * ROUNDS)
			escaped = naive[i].escapes();
		alarm(0);
		reap(w.swapper);
		printf("     %s: outside after %u rounds\n", naive[i].shape.name, n);
		CU_ASSERT(escaped);
		world_end();
	}
}

#define CASE(name)                                                                                 \
	{                                                                                          \
#name, name                                                                        \
	}
static const struct unit_case cases[] = {
	CASE(would_lead_others_outside),
	CASE(reads_what_is_mapped),
	CASE(writes_what_is_mapped),
	CASE(observes_what_is_mapped),
	CASE(creates_in_what_is_mapped),
	CASE(removes_only_what_is_mapped),
	CASE(lists_what_is_mapped),
	CASE(opens_nothing_special),
	CASE(opens_no_device),
	CASE(wakes_nobody_at_a_fifo),
	CASE(goes_up_where_it_came_from),
	CASE(keeps_what_was_mapped),
	CASE(never_writes_what_only_reads),
	CASE(makes_parents_in_scratch_only),
	CASE(removes_only_its_scratch_tree),
};

UNIT_MAIN("races", cases)
