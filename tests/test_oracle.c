// SPDX-License-Identifier: ISC
/*
 * The file map against the kernel: a table of what the guest's tree promises, and random calls in
 * random worlds. ORACLE_OPS says how many of these, ORACLE_SEED with which world they begin.
 */
#include "oracle.h"

#include <ctype.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include "hostfs.h"
#include "oracle_rows.h"
#include "refuse.h"
#include "unit.h"

enum { NOT_ALLOWED = 77, NO_OPENAT2, NO_FILTER };
enum { WORLD_OPS = 300, ARENA = 1 << 18, TOLD_MAX = 5, PRINT_MAX = 400 };

enum { OPENAT2, WITHOUT_VIEWS, WALK, N_ENGINES };

enum {
	N_ROWS = sizeof(oracle_rows) / sizeof(oracle_rows[0]),
};

/* Views would hide it when openat2 were asked for too little. */
static const struct hostfs *engine(int which)
{
	static struct hostfs without_views;

	without_views = hostfs_openat2;
	without_views.name = "openat2 without views";
	without_views.isolate = NULL;
	return which == OPENAT2 ? &hostfs_openat2 : which == WALK ? &hostfs_walk : &without_views;
}

/* Runs `run` in a child with mounts of its own, on an empty directory. What it returned, or -1. */
static int in_child(int (*run)(const char *base))
{
	const char *tmp = getenv("TMPDIR");
	char base[100];
	int status = -1;
	pid_t child;

	snprintf(base, sizeof(base), "%.60s/belljar-oracle-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(base))
		return -1;
	fflush(stdout);
	child = fork();
	if (!child) {
		int r;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		umask(022);
		r = own_mounts() ? NOT_ALLOWED : run(base);
		exit(r); /* not _exit: what instruments us wants its say */
	}
	waitpid(child, &status, 0);
	rmdir(base);
	if (WIFSIGNALED(status))
		printf("     killed by SIG%s\n", sigabbrev_np(WTERMSIG(status)));
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void must_be_fine(int r)
{
	if (r == NOT_ALLOWED)
		unit_skip("no right to mount, not even in a user namespace");
	else if (r == NO_OPENAT2)
		unit_skip("no openat2 here as it is: the walk is all there is");
	else if (r == NO_FILTER)
		unit_skip("seccomp filters are not allowed here");
	else
		CU_ASSERT_EQUAL(r, 0);
}

/* --- worlds from text, and text from worlds --- */

/* Cuts text, which is ours, at `separator`. */
static int cut(char *text, char separator, const char **parts, int max)
{
	int n = 0;

	for (char *at = text; at && *at && n < max; n++) {
		parts[n] = at;
		at = strchr(at, separator);
		if (at)
			*at++ = 0;
	}
	return n;
}

static void parse_mount(struct oracle_mount *m, const char *text)
{
	const char *guest = strchr(text, ':') + 1;
	const char *rights = strchr(guest, ':') + 1;

	*m = (struct oracle_mount){ .writable = !strncmp(rights, "rw", 2),
		.may_unlink = strstr(rights, "unlink"),
		.submounts = strstr(rights, "submounts") };
	snprintf(m->host, sizeof(m->host), "%.*s", (int)(guest - text) - 1, text);
	snprintf(m->guest, sizeof(m->guest), "%.*s", (int)(rights - guest) - 1, guest);
}

static void parse_row(const struct oracle_row *row, struct oracle_spec *spec)
{
	static char tree[sizeof(ORACLE_TREE) + 16384], mounts[1000];
	const char *parts[ORACLE_MOUNTS];

	*spec = (struct oracle_spec){ .cwd = row->cwd, .strict = true };
	snprintf(tree, sizeof(tree), ORACLE_TREE ";%s", row->tree ? row->tree : "");
	spec->n_lines = cut(tree, ';', spec->lines, ORACLE_LINES);
	snprintf(mounts, sizeof(mounts), "%s", row->mounts ? row->mounts : ORACLE_USUAL);
	spec->n_mounts = cut(mounts, ' ', parts, ORACLE_MOUNTS);
	for (int i = 0; i < spec->n_mounts; i++)
		parse_mount(&spec->mounts[i], parts[i]);
}

static const char *error_name(int r)
{
	return r >= 0 ? "ok" : strerrorname_np(-r);
}

static void print_string(const char *text)
{
	int n = 0;

	putchar('"');
	for (bool hex = false; *text; text++) {
		if (n++ == PRINT_MAX) {
			printf("\" /* and %zu bytes */ \"", strlen(text));
			break;
		}
		if (hex && isxdigit((unsigned char)*text))
			fputs("\" \"", stdout);
		hex = *text < ' ' || *text > '~';
		if (hex)
			printf("\\x%02x", (unsigned char)*text);
		else
			printf(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
	}
	putchar('"');
}

static void print_flags(int flags)
{
	static const struct {
		int bits;
		const char *name;
	} names[] = { { O_CREAT, "O_CREAT" }, { O_EXCL, "O_EXCL" }, { O_TRUNC, "O_TRUNC" },
		{ O_APPEND, "O_APPEND" }, { O_DIRECTORY, "O_DIRECTORY" },
		{ O_NOFOLLOW, "O_NOFOLLOW" }, { O_NONBLOCK, "O_NONBLOCK" } };
	static const char *const modes[] = { "O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE" };

	fputs(modes[flags & O_ACCMODE], stdout);
	flags &= ~O_ACCMODE;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (flags & names[i].bits) {
			printf(" | %s", names[i].name);
			flags &= ~names[i].bits;
		}
	if (flags)
		printf(" | %#x", (unsigned int)flags);
}

static void print_op(const struct oracle_op *op)
{
	static const char *const names[] = { "OPEN", "STAT", "LSTAT", "MKDIR", "UNLINK", "LIST" };

	if (op->kind == ORACLE_MKDIR) {
		printf("{ ORACLE_MKDIR, ");
		print_string(op->path);
		printf(", 0, %#o }", op->mode);
		return;
	}
	printf("%s(", op->kind == ORACLE_OPEN && op->flags & O_CREAT ? "MAKE" : names[op->kind]);
	if (op->kind == ORACLE_OPEN) {
		print_flags(op->flags);
		if (op->flags & O_CREAT)
			printf(", %#o", op->mode);
		fputs(", ", stdout);
	}
	print_string(op->path);
	putchar(')');
}

/* --- the table --- */

struct told {
	const struct oracle_row *row;
	const char *engine;
	int n;
};

static int row_is_wrong(struct told *told, const char *who, const char *what)
{
	size_t number = (size_t)(told->row - oracle_rows);

	if (told->n++ < 4 * TOLD_MAX) {
		printf("     %s, row %zu: %s: ", told->engine, number,
			oracle_rules[told->row->rule]);
		print_op(&told->row->op);
		printf(": %s: ", who);
		print_string(what);
		putchar('\n');
	}
	return 1;
}

static void read_all(int dir, const char *name, char *text, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	text[n < 0 ? 0 : n] = 0;
	if (fd >= 0)
		close(fd);
}

/* The object that an answer must be about. NULL, or what is wrong. */
static const char *check_object(const struct oracle_row *row, const struct oracle_side *side,
	const char *name, const struct oracle_answer *answer, bool kernels)
{
	bool by_policy = row->policy && kernels;
	int dir = oracle_dir(side, &name);
	bool there;
	struct stat st;
	char text[100];

	obey_modes(false);
	there = !fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW);
	read_all(dir, name, text, row->holds ? sizeof(text) : 1);
	obey_modes(true);
	if (row->op.kind == ORACLE_UNLINK)
		return there ? "it is still there" : NULL;
	if (!there)
		return "it is not where it should be";
	if (row->op.kind != ORACLE_MKDIR &&
		(st.st_ino != answer->st.st_ino || st.st_dev != answer->st.st_dev))
		return "another object";
	if (row->op.kind == ORACLE_MKDIR && !S_ISDIR(st.st_mode))
		return "no directory";
	if (row->op.kind == ORACLE_OPEN) /* as it was made: the write may have changed it */
		st = answer->st;
	if (row->mode &&
		(st.st_mode & 07777) != (by_policy ? row->op.mode & 07777 & ~022u : row->mode))
		return "another mode";
	return row->holds && strcmp(text, row->holds) ? "holds something else" : NULL;
}

static int check_answer(struct told *told, const struct oracle_side *side, const char *expect,
	const struct oracle_answer *answer, bool kernels)
{
	const char *who = kernels ? "kernel" : "ours";
	const char *wrong;
	char text[200];

	if (expect[0] == 'E' ? strcmp(error_name(answer->r), expect) : answer->r) {
		snprintf(text, sizeof(text), "%s, not %s", error_name(answer->r), expect);
		return row_is_wrong(told, who, text);
	}
	if (expect[0] == 'E')
		return 0;
	if (told->row->op.kind == ORACLE_LIST)
		wrong = strcmp(answer->names, expect) ? answer->names : NULL;
	else
		wrong = check_object(told->row, side, expect, answer, kernels);
	return wrong ? row_is_wrong(told, who, wrong) : 0;
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* The kernel blocks where the row says EINTR: it is woken. */
static void ask_kernel(const struct oracle_row *row, struct oracle_answer *answer)
{
	const struct oracle_who kernel = { .dir = AT_FDCWD };
	struct sigaction action = { .sa_handler = on_alarm }, old;
	struct itimerval timer = { { 0, 10000 }, { 0, 10000 } };

	if (strcmp(row->kernel, "EINTR")) {
		oracle_ask(&kernel, &row->op, answer);
		return;
	}
	sigaction(SIGALRM, &action, &old);
	setitimer(ITIMER_REAL, &timer, NULL);
	oracle_ask(&kernel, &row->op, answer);
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	sigaction(SIGALRM, &old, NULL);
}

static int kernel_version(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	if (uname(&name) || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return 0;
	return 100 * major + minor;
}

static int check_row(struct oracle_world *w, struct told *told)
{
	static struct oracle_answer kernels, ours;
	const struct oracle_row *row = told->row;
	const struct oracle_who us = { .files = w->files };
	const char *expect = row->ours ? row->ours : row->kernel;
	static char path[ORACLE_PATH];
	bool old = row->since > kernel_version();
	const char *differ = NULL;
	int wrong = 0;

	if (!old) {
		ask_kernel(row, &kernels);
		wrong += check_answer(told, &w->kernels, row->kernel, &kernels, true);
	}
	oracle_ask(&us, &row->op, &ours);
	wrong += check_answer(told, &w->ours, expect, &ours, false);
	if (!old && !row->policy) {
		differ = oracle_difference(w, &ours, &kernels);
		if (differ)
			wrong += row_is_wrong(told, "answers differ in", differ);
	}
	/* What nobody changed must be alike, too. Submounts are not, by design. */
	if (!old && !wrong && row->rule != SUBMOUNT &&
		(!row->policy || (row->kernel[0] == 'E' && expect[0] == 'E'))) {
		differ = oracle_effects_differ(w, path);
		if (differ)
			wrong += row_is_wrong(told, path, differ);
	}
	return wrong;
}

/* The kinds of lines that this user cannot make. */
static const char *kinds_refused(const char *base)
{
	static char kinds[3];
	size_t n = 0;
	char path[200];

	snprintf(path, sizeof(path), "%s/node", base);
	if (mknod(path, S_IFCHR | 0600, makedev(1, 3)))
		kinds[n++] = 'n';
	unlink(path);
	if (mknod(path, S_IFREG | 0600, 0) || chown(path, 1, (gid_t)-1))
		kinds[n++] = 'o';
	unlink(path);
	kinds[n] = 0;
	return kinds;
}

/* The whole table, over one engine. */
static int run_rows(const char *base, const struct hostfs *engine, const char *name)
{
	static struct oracle_world w;
	static struct oracle_spec spec;
	const char *refused = kinds_refused(base);
	int wrong = 0, asked = 0;

	for (size_t i = 0; i < N_ROWS; i++) {
		struct told told = { &oracle_rows[i], name, wrong };

		if (told.row->tree && told.row->tree[0] && strchr(refused, told.row->tree[0]))
			continue;
		parse_row(told.row, &spec);
		spec.engine = engine;
		asked++;
		wrong += oracle_enter(&w, base, &spec)
				 ? row_is_wrong(&told, "world", "not to be made")
				 : check_row(&w, &told);
		oracle_leave(&w);
	}
	printf("     %s: %d of %d rows asked\n", name, asked, (int)N_ROWS);
	return wrong != 0;
}

static int run_table(const char *base)
{
	int wrong = 0;

	for (int e = 0; e < N_ENGINES; e++)
		wrong |= run_rows(base, engine(e), engine(e)->name);
	return wrong;
}

static void answers_every_row_as_the_kernel_does(void)
{
	must_be_fine(in_child(run_table));
}

/* Who asks for it all the same is told what is wrong. */
static int says_so(int error)
{
	struct fileio *files;
	struct err err;
	int r = fileio_init(&files, &(struct fileio_config){ .host = &hostfs_openat2 }, &err);

	return r != -error || !strstr(err.text, "resolver openat2 does not work here");
}

/* As in a container whose filter does not know the call, or on an old kernel. */
static int without_openat2(const char *base, int error)
{
	if (hostfs_best() != &hostfs_openat2)
		return NO_OPENAT2;
	if (refuse_call(SYS_openat2, error))
		return NO_FILTER;
	if (hostfs_best() != &hostfs_walk || says_so(error))
		return printf("     openat2 is refused, and not noticed\n"), 1;
	return run_rows(base, NULL, strerrorname_np(error));
}

static int run_without_call(const char *base)
{
	return without_openat2(base, ENOSYS);
}

static int run_forbidden_call(const char *base)
{
	return without_openat2(base, EPERM);
}

static void walks_where_openat2_is_not_there(void)
{
	must_be_fine(in_child(run_without_call));
}

static void walks_where_openat2_is_forbidden(void)
{
	must_be_fine(in_child(run_forbidden_call));
}

static void has_rows_for_every_rule(void)
{
	int n[ORACLE_RULE_COUNT] = { 0 };

	for (size_t i = 0; i < N_ROWS; i++) {
		const struct oracle_row *row = &oracle_rows[i];

		n[row->rule]++;
		CU_ASSERT_EQUAL(!row->ours, !row->policy);
	}
	for (int i = 0; i < ORACLE_RULE_COUNT; i++)
		CU_ASSERT(n[i] >= 3);
}

/* --- random worlds --- */

struct random_world {
	struct oracle_spec spec;
	struct oracle_op ops[WORLD_OPS];
	int n_ops, n_dirs;
	unsigned int locks;             /* modes that are changed */
	const char *dirs[ORACLE_LINES]; /* names of directories in the tree */
	size_t used;
	char arena[ARENA];
};

static uint64_t seed;

static unsigned int choose(unsigned int n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned int)((seed >> 11) % n);
}

#define PICK(list) ((list)[choose(sizeof(list) / sizeof((list)[0]))])

__attribute__((format(printf, 2, 3))) static const char *keep(
	struct random_world *w, const char *format, ...)
{
	char *text = w->arena + w->used;
	va_list args;

	va_start(args, format);
	w->used += (size_t)vsnprintf(text, ARENA - w->used, format, args) + 1;
	va_end(args);
	if (w->used > ARENA)
		abort();
	return text;
}

/* Names that begin like each other, or are not text. */
static const char *random_name(void)
{
	static const char *const names[] = { "a", "a", "a", "ab", "a.b", "b", "b", "c", "c", "d",
		"f", "f", "m", "m", "x", "..a", "...", ".x", "\xff", "A" };

	return PICK(names);
}

static const char *name_in(const char *name, const char *host)
{
	size_t n = strlen(host);

	return !strncmp(name, host, n) && (!name[n] || name[n] == '/') ? name + n : NULL;
}

static const char *line_name(struct random_world *w)
{
	const char *line = w->spec.lines[choose((unsigned int)w->spec.n_lines)] + 2;

	return keep(w, "%.*s", (int)strcspn(line, " "), line);
}

/* A path to something of the tree, as the guest sees it: with luck. */
static const char *path_to_something(struct random_world *w)
{
	const char *name = line_name(w), *rest = name_in(name, "guest");

	for (int i = 0; !rest && i < w->spec.n_mounts; i++) {
		const struct oracle_mount *m = &w->spec.mounts[i];

		rest = name_in(name, m->host);
		if (rest)
			return keep(w, "%s%s", strcmp(m->guest, "/") ? m->guest : "", rest);
	}
	return rest ? rest : "";
}

static const char *random_path(struct random_world *w, bool link)
{
	static const char *const tails[] = { "/", "/.", "/..", "/../", "//", "/./" };
	static char path[1500];
	char longer[258];
	size_t n = 0;

	path[0] = 0;
	if (choose(3))
		n += (size_t)sprintf(path, "%s", path_to_something(w));
	else if (w->spec.n_mounts && choose(2))
		n += (size_t)sprintf(
			path, "%s", w->spec.mounts[choose((unsigned int)w->spec.n_mounts)].guest);
	for (unsigned int i = choose(n ? 3 : 4); i; i--) {
		const char *name = choose(5) ? random_name() : choose(3) ? ".." : ".";

		n += (size_t)sprintf(path + n, "%s%s", n || choose(link ? 3 : 5) ? "/" : "", name);
	}
	if (!choose(40)) {
		memset(longer, 'n', sizeof(longer));
		longer[254 + choose(3)] = 0;
		n += (size_t)sprintf(path + n, "/%s", longer);
	}
	if (!choose(7))
		n += (size_t)sprintf(path + n, "%s", PICK(tails));
	if (!n && (link || choose(4)))
		strcpy(path, "/");
	return keep(w, "%s", path[0] == '/' && path[1] && !choose(12) ? path + 1 : path);
}

static void add_line(struct random_world *w, const char *line)
{
	if (w->spec.n_lines < ORACLE_LINES)
		w->spec.lines[w->spec.n_lines++] = line;
}

static void add_dir(struct random_world *w, const char *name)
{
	add_line(w, keep(w, "d %s", name));
	w->dirs[w->n_dirs++] = name;
}

static void random_object(struct random_world *w)
{
	const char *name =
		keep(w, "%s/%s", w->dirs[choose((unsigned int)w->n_dirs)], random_name());
	unsigned int kind = choose(20);

	if (kind < 8)
		add_dir(w, name);
	else if (kind < 13)
		add_line(w, keep(w, "f %s text of %s", name, name));
	else if (kind < 18)
		add_line(w, keep(w, "l %s %s", name, random_path(w, true)));
	else if (kind < 19)
		add_line(w, keep(w, "%c %s", choose(2) ? 'p' : 's', name));
	else if (!w->locks) /* else the modes of a mapped file might change by another name */
		add_line(w, keep(w, "h %s %s", name, line_name(w)));
}

static void random_mount(struct random_world *w, const char *host)
{
	struct oracle_mount *m = &w->spec.mounts[w->spec.n_mounts++];
	const char *before = "";

	m->writable = choose(2);
	snprintf(m->host, sizeof(m->host), "%s", host);
	if (!choose(8)) {
		strcpy(m->guest, "/");
		return;
	}
	if (w->spec.n_mounts > 1 && choose(2)) {
		const struct oracle_mount *in =
			&w->spec.mounts[choose((unsigned int)w->spec.n_mounts - 1)];
		const char *name = line_name(w), *rest = name_in(name, in->host);

		before = strcmp(in->guest, "/") ? in->guest : "";
		if (rest && rest[0] && choose(3)) {
			snprintf(m->guest, sizeof(m->guest), "%.150s%.150s", before, rest);
			return;
		}
	}
	snprintf(m->guest, sizeof(m->guest), "%.200s/%s", before, random_name());
	for (unsigned int i = choose(3); i > 1; i--)
		snprintf(m->guest + strlen(m->guest), 50, "/%s", random_name());
}

/* Does a mapping lie beneath this? It would be reached whatever the modes there. */
static bool is_on_the_way(const struct random_world *w, const char *name)
{
	for (int i = 0; i < w->spec.n_mounts; i++) {
		const char *guest = w->spec.mounts[i].guest, *rest;
		char place[800];

		for (int k = -1; k < w->spec.n_mounts; k++) {
			const struct oracle_mount *in = k < 0 ? NULL : &w->spec.mounts[k];

			rest = in ? oracle_beneath(guest, in->guest) : guest + 1;
			snprintf(place, sizeof(place), "%s/%s", in ? in->host : "guest",
				rest ? rest : "");
			if (rest && name_in(place, name))
				return true;
		}
	}
	return false;
}

static bool is_mapped(const struct random_world *w, const char *name)
{
	for (int i = 0; i < w->spec.n_mounts; i++)
		if (!strcmp(w->spec.mounts[i].host, name))
			return true;
	return false;
}

/* Hosts h0, h1 ..., what is in them, the mounts; some objects come when all is mounted. */
static void random_tree(struct random_world *w)
{
	static const char *const modes[] = { "0", "0111", "0222", "0333", "0444", "0555", "0755" };
	unsigned int n_hosts = 2 + choose(4);

	w->locks = choose(3) ? 0 : 1 + choose(4);
	for (unsigned int i = 0; i < n_hosts; i++)
		if (!i || choose(4))
			add_dir(w, keep(w, "h%u", i));
		else
			add_line(w, keep(w, "f h%u text", i));
	for (unsigned int i = 8 + choose(20); i; i--)
		random_object(w);
	for (unsigned int i = 1 + choose(6); i; i--)
		random_mount(w, choose(6) ? keep(w, "h%u", choose(n_hosts)) : line_name(w));
	if (choose(2))
		w->dirs[w->n_dirs++] = "guest";
	for (unsigned int i = 4 + choose(16); i; i--)
		random_object(w);
	for (unsigned int i = w->locks; i; i--) {
		const char *name = line_name(w);

		if (!is_on_the_way(w, name) && !is_mapped(w, name))
			add_line(w, keep(w, "c %s %s", name, PICK(modes)));
	}
	if (!choose(3) && w->spec.mounts[0].host[0] == 'h')
		w->spec.cwd = w->spec.mounts[0].guest;
}

static void random_op(struct random_world *w, struct oracle_op *op)
{
	static const int bits[] = { O_CREAT, O_CREAT, O_CREAT | O_EXCL, O_EXCL, O_TRUNC, O_APPEND,
		O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_CREAT | O_TRUNC };
	static const int odd[] = { O_PATH, O_ASYNC, O_TMPFILE, O_ACCMODE, OTHER_FLAG };
	static const enum oracle_kind kinds[] = { ORACLE_OPEN, ORACLE_OPEN, ORACLE_OPEN,
		ORACLE_OPEN, ORACLE_STAT, ORACLE_LSTAT, ORACLE_LIST, ORACLE_MKDIR, ORACLE_UNLINK };

	op->kind = PICK(kinds);
	op->flags = (int)choose(3);
	for (unsigned int n = choose(4); n; n--)
		op->flags |= PICK(bits);
	if (!choose(60))
		op->flags |= PICK(odd);
	op->mode = choose(6) ? op->kind == ORACLE_MKDIR ? 0777 : 0666 : choose(010000);
	op->path = random_path(w, false);
}

static void random_world(struct random_world *w, uint64_t number)
{
	memset(w, 0, offsetof(struct random_world, arena));
	seed = 88172645463325252ull + number * 0x9e3779b97f4a7c15ull;
	for (int i = 0; i < 8; i++)
		choose(2);
	random_tree(w);
	for (w->n_ops = 0; w->n_ops < WORLD_OPS; w->n_ops++)
		random_op(w, &w->ops[w->n_ops]);
}

/* --- what we promise where we promise something else --- */

/* 0: these flags are for the kernel to judge; else what we say, whatever the path. */
static int refused_flags(int flags)
{
	const int taken = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_DIRECTORY |
			  O_NOFOLLOW | O_NONBLOCK;

	if ((flags & O_TMPFILE) == O_TMPFILE)
		return -EOPNOTSUPP;
	if (flags & ~taken || (flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	return flags & O_CREAT && flags & O_DIRECTORY ? -EINVAL : 0;
}

static bool means_to_write(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
}

/* The name of the directory that this path asks to be made in; NULL: none is ever made for it. */
static char *parent_to_make(const struct oracle_spec *spec, const struct oracle_op *op)
{
	static char text[ORACLE_PATH];
	size_t n;

	if (op->kind != ORACLE_MKDIR && (op->kind != ORACLE_OPEN || !(op->flags & O_CREAT)))
		return NULL;
	n = (size_t)snprintf(text, sizeof(text), "/%s/%s",
		op->path[0] == '/' || !spec->cwd ? "" : spec->cwd, op->path);
	if (op->kind == ORACLE_OPEN && text[n - 1] == '/')
		return NULL;
	while (n && text[n - 1] == '/')
		text[--n] = 0;
	for (const char *at = text; *at; at += strcspn(at, "/")) {
		at += strspn(at, "/");
		if (!strncmp(at, "..", 2) && strchr("/", at[2]))
			return NULL;
	}
	if (!n || (n > 1 && !strcmp(text + n - 2, "/.")))
		return NULL;
	*strrchr(text, '/') = 0;
	return text;
}

struct made {
	char names[16][ORACLE_PATH];
	int n;
};

static void unmake_parents(struct made *made)
{
	while (made->n)
		unlinkat(AT_FDCWD, made->names[--made->n], AT_REMOVEDIR);
}

/*
 * A new file outside of all mappings gets its parents, if no link and no `..` is on the way. 0: there
 * was something to make; or what we say instead of ENOENT.
 */
static int make_parents(const struct oracle_world *w, char *parent, struct made *made)
{
	char plain[ORACLE_PATH] = "";
	size_t n = 0;
	struct stat st;

	for (char *at = parent; *at;) {
		const struct oracle_mount *holder;
		const char *rest;
		size_t len;

		at += strspn(at, "/");
		len = strcspn(at, "/");
		if (len && (len != 1 || at[0] != '.')) {
			n += (size_t)sprintf(plain + n, "/%.*s", (int)len, at);
			holder = oracle_holder(w, plain, &rest);
			if (!lstat(plain, &st)) {
				if (S_ISLNK(st.st_mode))
					return -ENOENT;
			} else if (holder) {
				return -ENOENT;
			} else if (mkdir(plain, 0755)) {
				return -errno;
			} else if (made->n < 16) {
				strcpy(made->names[made->n++], plain);
			}
		}
		at += len;
	}
	return made->n ? 0 : -ENOENT;
}

/* The kernel refuses to unlink a mount point through another mapping of its directory, too. */
static bool is_elsewhere_mounted(const struct oracle_op *op, const struct oracle_answer *answer)
{
	struct statx st;

	return op->kind == ORACLE_UNLINK && answer->r == -EBUSY &&
	       !statx(AT_FDCWD, op->path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st) &&
	       !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* What a file is, and what its mapping grants, is looked at before what is asked of it. */
static int promised_error(const struct oracle_op *op, const struct oracle_answer *answer)
{
	struct statvfs fs;
	struct stat st = answer->st;
	bool plain;

	if (answer->r && (answer->r != -EACCES || stat(op->path, &st)))
		return answer->r;
	plain = S_ISREG(st.st_mode) || S_ISDIR(st.st_mode);
	if (!plain && !(op->flags & O_DIRECTORY))
		return -ENXIO;
	if (answer->r && S_ISREG(st.st_mode) && means_to_write(op->flags) &&
		!statvfs(op->path, &fs) && fs.f_flag & ST_RDONLY)
		return -EROFS;
	return answer->r;
}

/* The kernel's answer, but for what we promise instead: see the rows with a policy. */
static void ask_promise(const struct oracle_world *w, const struct oracle_spec *spec,
	const struct oracle_op *asked, struct oracle_answer *answer)
{
	const struct oracle_who kernel = { .dir = AT_FDCWD };
	static struct made made;
	struct oracle_op op = *asked;
	char *parent;
	int r = op.kind == ORACLE_OPEN ? refused_flags(op.flags) : 0;

	memset(answer, 0, offsetof(struct oracle_answer, names) + 1);
	answer->r = r;
	if (r)
		return;
	op.mode &= 0777;
	op.flags |= O_NONBLOCK; /* never waits at a fifo */
	made.n = 0;
	oracle_ask(&kernel, &op, answer);
	parent = answer->r == -ENOENT ? parent_to_make(spec, &op) : NULL;
	if (parent) {
		answer->r = make_parents(w, parent, &made);
		if (!answer->r)
			oracle_ask(&kernel, &op, answer);
		if (answer->r)
			unmake_parents(&made);
	}
	r = op.kind == ORACLE_OPEN ? promised_error(&op, answer) : answer->r;
	if (r)
		memset(answer, 0, offsetof(struct oracle_answer, names) + 1);
	answer->r = r;
}

/* --- running them --- */

struct outcome {
	const char *differ; /* NULL: nothing */
	int at;             /* the op, or n_ops when the trees differ in the end */
	struct oracle_answer ours, kernels;
	char path[ORACLE_PATH];
};

struct tally {
	long ops, worlds, ok[ORACLE_KIND_COUNT], errors[256];
};

static void run_world(
	const char *base, struct random_world *w, struct outcome *out, struct tally *tally)
{
	static struct oracle_world world;
	int r = oracle_enter(&world, base, &w->spec);

	if (r && w->spec.cwd) { /* the mapping it lies in could not be mounted there */
		oracle_leave(&world);
		w->spec.cwd = NULL;
		r = oracle_enter(&world, base, &w->spec);
	}
	if (tally)
		tally->worlds++;
	out->differ = r ? "the world is not to be made" : NULL;
	out->at = -1;
	for (int i = 0; !out->differ && i < w->n_ops; i++) {
		const struct oracle_who us = { .files = world.files };

		out->at = i;
		ask_promise(&world, &w->spec, &w->ops[i], &out->kernels);
		if (is_elsewhere_mounted(&w->ops[i], &out->kernels))
			continue; /* we unlink it, and that cannot be undone: see the table */
		oracle_ask(&us, &w->ops[i], &out->ours);
		out->differ = oracle_difference(&world, &out->ours, &out->kernels);
		if (!tally)
			continue;
		tally->ops++;
		if (out->kernels.r)
			tally->errors[-out->kernels.r & 255]++;
		else
			tally->ok[w->ops[i].kind]++;
	}
	if (!out->differ) {
		out->at = w->n_ops;
		out->differ = oracle_effects_differ(&world, out->path);
	}
	oracle_leave(&world);
}

/* Takes items out, more and more singly, as long as something still differs. */
static void reduce(const char *base, struct random_world *w, struct outcome *out, void *items,
	int *n, size_t size, int keep_last)
{
	static char backup[WORLD_OPS * sizeof(struct oracle_op)];
	struct outcome *trial = malloc(sizeof(*trial));
	char *list = items;

	for (int chunk = *n; chunk; chunk /= 2)
		for (int at = 0; at + chunk <= *n - keep_last;) {
			int before = *n;

			memcpy(backup, list, (size_t)*n * size);
			memmove(list + (size_t)at * size, list + (size_t)(at + chunk) * size,
				(size_t)(*n - at - chunk) * size);
			*n -= chunk;
			run_world(base, w, trial, NULL);
			if (trial->differ && trial->at >= 0) {
				*out = *trial;
				continue;
			}
			*n = before;
			memcpy(list, backup, (size_t)*n * size);
			at += chunk;
		}
	free(trial);
}

static void print_answer(const struct oracle_answer *answer)
{
	printf("%s mode %o size %jd read %d write %d names %s", error_name(answer->r),
		answer->st.st_mode, (intmax_t)answer->st.st_size, answer->read, answer->write,
		answer->names);
}

static void print_row(const struct random_world *w, const struct oracle_op *op, const char *kernel)
{
	printf("     ROW(ORACLE_RULE, ");
	print_op(op);
	printf(", \"%s\", .tree = ", kernel);
	for (int k = 0; k < w->spec.n_lines; k++) {
		printf("%s", k ? " \";\" " : "");
		print_string(w->spec.lines[k]);
	}
	printf("%s, .mounts = \"", w->spec.n_lines ? "" : "\"\"");
	for (int k = 0; k < w->spec.n_mounts; k++)
		printf("%s%s:%s:%s", k ? " " : "", w->spec.mounts[k].host, w->spec.mounts[k].guest,
			w->spec.mounts[k].writable ? "rw" : "ro");
	printf("\"");
	if (w->spec.cwd)
		printf(", .cwd = \"%s\"", w->spec.cwd);
	printf("),\n");
}

/* As rows of the table: the last is the one that differs, the others come before it. */
static void print_world(const struct random_world *w, const struct outcome *out)
{
	const struct oracle_op last = { ORACLE_LSTAT, out->path, 0, 0 };

	for (int i = 0; i < w->n_ops; i++)
		print_row(w, &w->ops[i], i == out->at ? error_name(out->kernels.r) : "ok");
	if (out->at == w->n_ops)
		print_row(w, &last, out->differ);
}

static void tell(const char *base, struct random_world *w, struct outcome *out, uint64_t number)
{
	if (out->at >= 0) {
		w->n_ops = out->at < w->n_ops ? out->at + 1 : w->n_ops;
		reduce(base, w, out, w->ops, &w->n_ops, sizeof(w->ops[0]), 0);
		reduce(base, w, out, w->spec.lines, &w->spec.n_lines, sizeof(w->spec.lines[0]), 0);
		reduce(base, w, out, w->spec.mounts, &w->spec.n_mounts, sizeof(w->spec.mounts[0]),
			0);
	}
	printf("ORACLE_SEED=%ju: %s%s%s\n", (uintmax_t)number, out->differ,
		out->at == w->n_ops ? " afterwards, at " : "",
		out->at == w->n_ops ? out->path : "");
	print_world(w, out);
	if (out->at >= 0 && out->at < w->n_ops) {
		printf("       ours:   ");
		print_answer(&out->ours);
		printf("\n       kernel: ");
		print_answer(&out->kernels);
		printf("\n");
	}
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* Enough of everything must have come about, or the worlds are worth nothing. */
static int check_tally(const struct tally *tally)
{
	static const int errors[] = { ENOENT, ENOTDIR, EISDIR, EEXIST, ELOOP, EROFS, EBUSY, EINVAL,
		EACCES, ENXIO, ENAMETOOLONG, EOPNOTSUPP };
	int wrong = 0;

	for (int i = 0; i < ORACLE_KIND_COUNT; i++)
		wrong += tally->ok[i] < tally->ops / 500;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		wrong += tally->errors[errors[i]] < tally->ops / 10000;
	printf("       ok %ld %ld %ld %ld %ld %ld;", tally->ok[0], tally->ok[1], tally->ok[2],
		tally->ok[3], tally->ok[4], tally->ok[5]);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		printf(" %s %ld", strerrorname_np(errors[i]), tally->errors[errors[i]]);
	printf("\n");
	return wrong;
}

static int run_random(const char *base)
{
	static struct random_world w;
	static struct outcome out;
	uint64_t first = number_from("ORACLE_SEED", 0), n = number_from("ORACLE_OPS", 100000);
	struct timespec start, end;
	struct tally tally = { 0 };
	int wrong = 0;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (; (uint64_t)tally.ops < n && wrong < TOLD_MAX; first++)
		for (int e = 0; e < N_ENGINES; e++) {
			random_world(&w, first);
			w.spec.engine = engine(e);
			run_world(base, &w, &out, &tally);
			if (!out.differ)
				continue;
			wrong++;
			printf("     %s: ", engine(e)->name);
			tell(base, &w, &out, first);
		}
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("     %ld calls in %ld worlds, %.1f s\n", tally.ops, tally.worlds,
		(double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
	wrong += n >= 100000 && check_tally(&tally);
	return wrong != 0;
}

static void answers_random_calls_as_the_kernel_does(void)
{
	must_be_fine(in_child(run_random));
}

/* --- does it notice? --- */

static void flip_right(struct fileio_mount *mounts, size_t *n)
{
	if (*n)
		mounts[0].writable ^= true;
}

static void forget_deepest(struct fileio_mount *mounts, size_t *n)
{
	(void)mounts;
	if (*n > 1)
		memmove(mounts, mounts + 1, --*n * sizeof(*mounts));
}

static void swap_hosts(struct fileio_mount *mounts, size_t *n)
{
	const char *host = mounts[0].host;

	if (*n < 2 || mounts[0].may_unlink || mounts[1].may_unlink)
		return;
	mounts[0].host = mounts[1].host;
	mounts[1].host = host;
}

/* Wrong mappings on our side: most worlds must show it. */
static int run_wrong(const char *base)
{
	static void (*const skews[])(
		struct fileio_mount *, size_t *) = { flip_right, forget_deepest, swap_hosts };
	static struct random_world w;
	static struct outcome out;

	for (size_t i = 0; i < sizeof(skews) / sizeof(skews[0]); i++) {
		int noticed = 0;

		for (uint64_t number = 0; number < 20; number++) {
			random_world(&w, number);
			w.spec.skew = skews[i];
			w.spec.cwd = NULL;
			run_world(base, &w, &out, NULL);
			noticed += out.differ && out.at >= 0;
		}
		if (noticed < 8)
			return printf("     skew %zu: noticed in %d of 20 worlds\n", i, noticed), 1;
	}
	return 0;
}

static void notices_mappings_that_are_wrong(void)
{
	must_be_fine(in_child(run_wrong));
}

static const struct unit_case cases[] = {
	{ "has_rows_for_every_rule", has_rows_for_every_rule },
	{ "answers_every_row_as_the_kernel_does", answers_every_row_as_the_kernel_does },
	{ "walks_where_openat2_is_not_there", walks_where_openat2_is_not_there },
	{ "walks_where_openat2_is_forbidden", walks_where_openat2_is_forbidden },
	{ "answers_random_calls_as_the_kernel_does", answers_random_calls_as_the_kernel_does },
	{ "notices_mappings_that_are_wrong", notices_mappings_that_are_wrong },
};

UNIT_MAIN("oracle", cases)
