// SPDX-License-Identifier: ISC
/*
 * The runner of a fault build: each case of a suite in a child of its own, once to see which calls it makes,
 * then with one of them failing at a time. What counts then is that nothing crashes, hangs, or is left over;
 * what the case asserts counts only where the suite says that it is written for this (fault_strict).
 *
 * Environment: FAULT=CASE[:KIND:N[+]] runs one, in this process, for a debugger; + also fails all that
 * follow. FAULT_ALL=1: every call and every kind; else one call of each site, and only such that fail.
 * FAULT_MS: time for the failures of each case and kind, else 50 ms, or
 * 500 ms where all counts.
 */
#include <CUnit/CUnit.h>
#include <dirent.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/fault.h"
#include "tests/unit.h"

/* A suite that defines it as true asserts what must hold whatever fails, and leaves nothing behind. */
extern const bool fault_strict __attribute__((weak));

/* Of sanitizers, where the build has them. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

enum {
	REAP_MS = 2000,
	HANG_MS = 60000, /* the longest case on a busy machine takes half of it */
	FINDINGS_SHOWN = 3,
	LEFT_SHOWN = 4,
	LIST_MAX = 1 << 16,
	TRIED_MAX = 1 << 12
};

/* What a child says of itself; it lives in shared memory, for it may die. */
struct verdict {
	bool finished, skipped, leaked;
	unsigned failed; /* assertions */
	char assertion[400], skip_reason[200];
	int signal;
	struct fault_trace died;
	size_t n_left, n_fds_left;
	struct fault_owned left[LEFT_SHOWN];
	int fds_left[LEFT_SHOWN];
};

struct shared {
	struct fault_state state;
	struct verdict verdict;
};

static struct runner {
	const struct unit_case *cases;
	char *skip_reason;
	struct shared *shared;
	char dir[100]; /* TMPDIR of the cases: in memory if there is such a place, for it is made thousands of times */
	int output; /* what the case prints */
	bool strict, all;
	bool leaves_processes; /* this case does, without failures */
	uint64_t ms;
	Dwfl *dwfl;
	uint64_t *tried[FAULT_KIND_COUNT]; /* hashes of sites: by earlier cases, too */
	size_t n_tried[FAULT_KIND_COUNT];
	unsigned passed, failed, skipped;
} runner;

/* In the child that runs a case: where a failed assertion leads. */
static struct {
	sigjmp_buf out;
	pid_t pid;
	const char *name;
} here;

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/*
 * What the tests' assertions call. The first that fails ends the case, so that test code does not go on
 * with what it does not have; a suite that is written for failures goes on.
 */
CU_BOOL fault_both_CU_assertImplementation(CU_BOOL value, unsigned line, const char *condition,
	const char *file, const char *function, CU_BOOL fatal);
CU_BOOL fault_both_CU_assertImplementation(CU_BOOL value, unsigned line, const char *condition,
	const char *file, const char *function, CU_BOOL fatal)
{
	struct verdict *v = &runner.shared->verdict;

	(void)function;
	if (value)
		return value;
	if (getpid() != here.pid) /* a child of the case */
		_exit(1);
	if (!v->failed++)
		snprintf(v->assertion, sizeof(v->assertion), "%s:%u: %s", file, line, condition);
	if (fatal || !runner.strict) {
		if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
			v->leaked = true;
		siglongjmp(here.out, 1);
	}
	return value;
}

/* For cases that ask CUnit who they are. */
CU_pTest fault_both_CU_get_current_test(void);
CU_pTest fault_both_CU_get_current_test(void)
{
	static CU_Test test;

	test.pName = (char *)(uintptr_t)here.name;
	return &test;
}

static void died(int number)
{
	struct verdict *v = &runner.shared->verdict;

	if (!v->signal) {
		v->signal = number;
		fault_backtrace(&v->died, NULL);
	}
	signal(number, SIG_DFL);
	raise(number);
}

/* Where the code died, unless a sanitizer wants to say so itself. abort() is the library's own to catch. */
static void catch_deaths(void)
{
	static const int signals[] = { SIGQUIT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	static char stack[1 << 16];

	sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof(stack) }, NULL);
	for (size_t i = 0; i < (__lsan_do_recoverable_leak_check ? 1 : 5); i++)
		sigaction(signals[i],
			&(struct sigaction){
				.sa_handler = died, .sa_flags = SA_ONSTACK | SA_NODEFER },
			NULL);
}

enum { FDS = 1024 };

static void note_fds(bool *open)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	memset(open, 0, FDS);
	while (dir && (entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (fd < FDS && fd != dirfd(dir) && entry->d_name[0] != '.')
			open[fd] = true;
	}
	if (dir)
		closedir(dir);
}

static void note_left(struct verdict *v, const bool *before)
{
	struct fault_owned owned;
	bool after[FDS];

	while (fault_live(v->n_left, &owned)) {
		if (v->n_left < LEFT_SHOWN)
			v->left[v->n_left] = owned;
		if (++v->n_left == 1000)
			break;
	}
	note_fds(after);
	for (int fd = 0; fd < FDS; fd++) {
		if (!after[fd] || before[fd])
			continue;
		if (v->n_fds_left < LEFT_SHOWN)
			v->fds_left[v->n_fds_left] = fd;
		v->n_fds_left++;
	}
	if (__lsan_do_recoverable_leak_check && !v->failed && __lsan_do_recoverable_leak_check())
		v->leaked = true;
}

/* In this process, which has no more to do afterwards. */
static void run_here(const struct unit_case *c)
{
	struct verdict *v = &runner.shared->verdict;
	bool before[FDS];

	here.pid = getpid();
	here.name = c->name;
	note_fds(before);
	fault_start(&runner.shared->state);
	if (!sigsetjmp(here.out, 1))
		c->run();
	note_left(v, before);
	fault_stop();
	if (runner.skip_reason[0]) {
		v->skipped = true;
		snprintf(v->skip_reason, sizeof(v->skip_reason), "%s", runner.skip_reason);
	}
	v->finished = true;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind;
	return ftw->level ? remove(path) : 0;
}

/* What the case has left in its directory goes. Was there something? */
static bool sweep(char *first, size_t size)
{
	DIR *dir = opendir(runner.dir);
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		found = strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
		if (found && first)
			snprintf(first, size, "%s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	if (found)
		nftw(runner.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return found;
}

/* Ends what the case has left running. Was there something? Who has been killed may take a moment to be gone. */
static bool reap(void)
{
	int moments = runner.leaves_processes ? 0 : REAP_MS;
	bool found = false;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0) {
		if (pid == 0 && moments-- > 0) {
			poll(NULL, 0, 1);
			continue;
		}
		found |= pid == 0;
		if (pid == 0) {
			char path[64], list[400] = "";
			char *at = list, *end;
			FILE *f;

			snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
			f = fopen(path, "re");
			if (!f || !fgets(list, sizeof(list), f))
				list[0] = 0;
			if (f)
				fclose(f);
			for (long child; (child = strtol(at, &end, 10)) > 0 && end != at; at = end)
				kill((pid_t)child, SIGKILL);
			poll(NULL, 0, 1);
		}
	}
	return found;
}

static void wait_for(pid_t pid, int *status, bool *hung)
{
	struct pollfd p = { .fd = pidfd_open(pid, 0), .events = POLLIN };

	*hung = false;
	if (p.fd >= 0 && poll(&p, 1, HANG_MS) == 0) {
		*hung = true;
		kill(pid, SIGQUIT); /* says where */
		if (poll(&p, 1, 2000) == 0)
			kill(pid, SIGKILL);
	}
	if (p.fd >= 0)
		close(p.fd);
	waitpid(pid, status, 0);
}

/* What came of one run. */
struct outcome {
	struct verdict verdict;
	unsigned injected;
	int status;
	bool hung, processes_left, files_left;
	char file_left[256];
};

static void run_case(
	const struct unit_case *c, const struct fault_plan *plan, bool survey, struct outcome *o)
{
	struct shared *s = runner.shared;
	pid_t pid;

	if (survey) {
		memset(&s->state, 0, sizeof(s->state));
		runner.leaves_processes = false;
	}
	memset(s->state.count, 0, sizeof(s->state.count));
	memset(&s->verdict, 0, sizeof(s->verdict));
	s->state.injected = 0;
	s->state.plan = *plan;
	s->state.survey = survey;
	fflush(stdout);
	if (ftruncate(runner.output, 0) || lseek(runner.output, 0, SEEK_SET))
		abort();
	pid = fork();
	if (pid == 0) {
		dup2(runner.output, STDOUT_FILENO);
		dup2(runner.output, STDERR_FILENO);
		catch_deaths();
		run_here(c);
		fflush(stdout);
		_exit(0);
	}
	*o = (struct outcome){ 0 };
	wait_for(pid, &o->status, &o->hung);
	o->processes_left = reap();
	if (survey)
		runner.leaves_processes = o->processes_left;
	o->files_left = sweep(o->file_left, sizeof(o->file_left));
	o->verdict = s->verdict;
	o->injected = s->state.injected;
}

static int find_module(
	Dwfl_Module *module, void **user, const char *name, Dwarf_Addr base, char **file, Elf **elf)
{
	return dwfl_linux_proc_find_elf(module, user, name, base, file, elf);
}

static Dwfl_Module *module_of(Dwarf_Addr at)
{
	static const Dwfl_Callbacks callbacks = { .find_elf = find_module,
		.find_debuginfo = dwfl_standard_find_debuginfo };

	if (!runner.dwfl) {
		runner.dwfl = dwfl_begin(&callbacks);
		dwfl_linux_proc_report(runner.dwfl, getpid());
		dwfl_report_end(runner.dwfl, NULL, NULL);
	}
	return dwfl_addrmodule(runner.dwfl, at);
}

static bool goes_through(const struct fault_trace *trace, const char *function)
{
	for (int i = 0; i < trace->n; i++) {
		Dwarf_Addr at = (Dwarf_Addr)(uintptr_t)trace->at[i] - 1;
		Dwfl_Module *module = module_of(at);
		const char *name = module ? dwfl_module_addrname(module, at) : NULL;
		size_t len = strlen(function);

		if (name && !strncmp(name, function, len) && (!name[len] || name[len] == '.'))
			return true;
	}
	return false;
}

/* Where a failure leaves files, and must. call NULL: any; function NULL: anywhere. */
static const struct {
	const char *function, *call, *why;
} tidying[] = {
	{ NULL, "unlinkat", "what cannot be removed stays" },
	{ NULL, "unlink", "the same" },
	{ NULL, "rmdir", "the same" },
	{ "scratch_finish", NULL, "what cannot be opened or listed stays, and is told of" },
	{ "golden_remove_tree", NULL, "the same" },
	{ "minimize_main", "open", "the same, of its own directory" },
};

static bool excused(size_t i)
{
	const struct fault_state *s = &runner.shared->state;

	if (tidying[i].call && strcmp(s->call->name, tidying[i].call) != 0)
		return false;
	return !tidying[i].function || goes_through(&s->trace, tidying[i].function);
}

static bool may_leave_files(void)
{
	const struct fault_state *s = &runner.shared->state;

	if (s->plan.onward) /* removing fails as well */
		return true;
	for (size_t i = 0; s->injected && i < sizeof(tidying) / sizeof(tidying[0]); i++)
		if (excused(i))
			return true;
	return false;
}

/* "name (file.c:12) < name (file.c:40) < ..." */
static void print_trace(const struct fault_trace *trace)
{
	for (int i = 0; i < trace->n; i++) {
		Dwarf_Addr at = (Dwarf_Addr)(uintptr_t)trace->at[i] - 1;
		Dwfl_Module *module = module_of(at);
		const char *name = module ? dwfl_module_addrname(module, at) : NULL;
		Dwfl_Line *line = module ? dwfl_module_getsrc(module, at) : NULL;
		const char *file =
			line ? dwfl_lineinfo(line, NULL, &(int){ 0 }, NULL, NULL, NULL) : NULL;
		int number = 0;

		if (line)
			dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL);
		if (name && (!strcmp(name, "run_here") || !strcmp(name, "run_case")))
			break;
		printf("%s%s", i ? " < " : "", name ? name : "?");
		if (file)
			printf(" (%s:%d)", strrchr(file, '/') ? strrchr(file, '/') + 1 : file,
				number);
	}
	printf("\n");
}

static void print_owned(const struct fault_owned *owned)
{
	printf("       %s in ", owned->call);
	print_trace(&owned->trace);
}

static void print_output(void)
{
	char buf[3000];
	off_t size = lseek(runner.output, 0, SEEK_END), at = size > 2500 ? size - 2500 : 0;
	ssize_t n = pread(runner.output, buf, sizeof(buf) - 1, at);

	buf[n > 0 ? n : 0] = 0;
	for (char *rest = buf, *line; (line = strsep(&rest, "\n"));)
		if (line[0])
			printf("     | %s\n", line);
}

/* Does what was printed hold a sanitizer's report? */
static bool reported(void)
{
	static char buf[1 << 18];
	ssize_t n = pread(runner.output, buf, sizeof(buf) - 1, 0);

	buf[n > 0 ? n : 0] = 0;
	return memmem(buf, (size_t)(n > 0 ? n : 0), "ERROR: AddressSanitizer", 23) ||
	       memmem(buf, (size_t)(n > 0 ? n : 0), "runtime error: ", 15);
}

static bool crashed(const struct outcome *o, const struct outcome *normal)
{
	int number = WIFSIGNALED(o->status) ? WTERMSIG(o->status) : 0;

	if (o->verdict.finished)
		return o->verdict.signal && !normal->verdict.signal; /* a child did */
	if (runner.strict)
		return true;
	return number != SIGINT && number != SIGTERM && number != SIGHUP; /* the case's own */
}

/* What a case leaves that went well without failures is its own. */
static const char *judge(const struct outcome *o, const struct outcome *normal)
{
	const struct verdict *v = &o->verdict, *was = &normal->verdict;
	bool strict = runner.strict, whole = strict || !v->failed;

	if (o->hung)
		return "hangs";
	if (crashed(o, normal))
		return "dies";
	if (!v->finished)
		return NULL;
	if (reported())
		return "is reported by a sanitizer";
	if (v->leaked && !was->leaked)
		return "leaks, says LeakSanitizer";
	if (whole && v->n_left > was->n_left)
		return "leaks";
	if (whole && v->n_fds_left > was->n_fds_left)
		return "leaves descriptors open";
	if (whole && o->processes_left && !normal->processes_left)
		return "leaves processes running";
	if (strict && v->failed)
		return "does not keep its promises";
	if (strict && o->files_left && !may_leave_files())
		return "leaves files";
	return NULL;
}

static void print_finding(const struct unit_case *c, const struct outcome *o, const char *what)
{
	const struct fault_state *s = &runner.shared->state;
	const struct verdict *v = &o->verdict;

	printf("FAIL %s %s with FAULT=%s", c->name, what, c->name);
	if (s->plan.n)
		printf(":%s:%llu%s", fault_kind_names[s->plan.kind], (unsigned long long)s->plan.n,
			s->plan.onward ? "+" : "");
	printf("\n");
	if (o->injected) {
		printf("     failed: %s (%s) in ", s->call->name,
			s->error ? strerrorname_np(s->error) : "in part");
		print_trace(&s->trace);
	}
	if (v->signal) {
		printf("     %s in ", strsignal(v->signal));
		print_trace(&v->died);
	} else if (!v->finished) {
		printf("     wait status %x\n", o->status);
	}
	if (v->failed)
		printf("     %s\n", v->assertion);
	for (size_t i = 0; i < v->n_left && i < LEFT_SHOWN; i++)
		print_owned(&v->left[i]);
	for (size_t i = 0; i < v->n_fds_left && i < LEFT_SHOWN; i++)
		printf("       descriptor %d\n", v->fds_left[i]);
	if (o->files_left)
		printf("       file %s\n", o->file_left);
	print_output();
}

static bool already_tried(enum fault_kind kind, uint64_t hash)
{
	for (size_t i = 0; i < runner.n_tried[kind]; i++)
		if (runner.tried[kind][i] == hash)
			return true;
	return false;
}

static void note_tried(enum fault_kind kind, uint64_t hash)
{
	if (runner.n_tried[kind] < TRIED_MAX && !already_tried(kind, hash))
		runner.tried[kind][runner.n_tried[kind]++] = hash;
}

struct candidate {
	uint64_t n, site;
};

/* The n of a kind that are worth failing: all; or the first of each site that no case before has had. */
static size_t list_calls(enum fault_kind kind, struct candidate *list)
{
	const struct fault_state *s = &runner.shared->state;
	size_t n = 0;

	for (uint64_t i = 1; runner.all && i <= s->count[kind] && n < LIST_MAX; i++)
		list[n++].n = i;
	for (size_t i = 0; !runner.all && i < FAULT_SITES; i++)
		if (s->sites[kind][i].hash && !already_tried(kind, s->sites[kind][i].hash))
			list[n++] = (struct candidate){ s->sites[kind][i].first,
				s->sites[kind][i].hash };
	return n;
}

/* One kind of failure through one case. Returns how many went wrong. */
static unsigned try_kind(const struct unit_case *c, enum fault_kind kind, bool onward,
	const struct outcome *normal, uint64_t total, const struct candidate *list, size_t n,
	char *summary, size_t size)
{
	uint64_t until = now_ms() + runner.ms;
	unsigned bad = 0, tried = 0;
	struct outcome o;

	for (size_t i = 0; i < n && (runner.all || now_ms() < until); i++) {
		struct fault_plan plan = { .kind = kind, .n = list[i].n, .onward = onward };
		const char *what;

		run_case(c, &plan, false, &o);
		note_tried(kind, list[i].site);
		tried += o.injected != 0;
		what = judge(&o, normal);
		if (what && ++bad <= FINDINGS_SHOWN)
			print_finding(c, &o, what);
	}
	if (n)
		snprintf(summary + strlen(summary), size - strlen(summary), ", %s%s %u of %llu",
			fault_kind_names[kind], onward ? "+" : "", tried,
			(unsigned long long)total);
	return bad;
}

/* Cases that cannot be judged when something fails in them. */
static const struct {
	const char *name, *why;
} unfit[] = {
	{ "ends_when_told_to", "its jobs wait for a signal that a failed job does not send" },
	{ "the_interrupted_may_tidy_up",
		"its jobs wait for a signal that a failed job does not send" },
	{ "the_second_signal_is_the_last", "the same" },
};

static const char *why_unfit(const char *name)
{
	for (size_t i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++)
		if (!strcmp(unfit[i].name, name))
			return unfit[i].why;
	return NULL;
}

static void skip(const char *name, const char *why)
{
	printf("SKIP %s: %s\n", name, why);
	runner.skipped++;
}

static void try_case(const struct unit_case *c)
{
	static struct candidate lists[FAULT_KIND_COUNT][LIST_MAX];
	uint64_t totals[FAULT_KIND_COUNT];
	size_t n[FAULT_KIND_COUNT];
	char summary[400] = "";
	struct outcome normal;
	unsigned bad = 0;
	const char *what = why_unfit(c->name);

	if (what)
		return skip(c->name, what);
	run_case(c, &(struct fault_plan){ 0 }, true, &normal);
	if (normal.verdict.skipped)
		return skip(c->name, normal.verdict.skip_reason);
	what = judge(&normal, runner.strict ? &(struct outcome){ 0 } : &normal);
	if (what || normal.verdict.failed) {
		print_finding(c, &normal, what ? what : "fails");
		runner.failed++;
		return;
	}
	for (enum fault_kind kind = 0; kind < FAULT_KIND_COUNT; kind++) {
		totals[kind] = runner.shared->state.count[kind];
		n[kind] = list_calls(kind, lists[kind]);
	}
	for (enum fault_kind kind = 0;
		kind < (runner.all || runner.strict ? FAULT_KIND_COUNT : FAULT_INTR); kind++)
		for (int onward = 0;
			onward < (kind <= FAULT_IO && (runner.all || runner.strict) ? 2 : 1);
			onward++)
			bad += try_kind(c, kind, onward, &normal, totals[kind], lists[kind],
				n[kind], summary, sizeof(summary));
	if (bad > FINDINGS_SHOWN)
		printf("     %u findings in all\n", bad);
	printf("%s %s%s\n", bad ? "FAIL" : "ok  ", c->name, summary[0] ? summary + 1 : "");
	*(bad ? &runner.failed : &runner.passed) += 1;
}

/* "CASE[:KIND:N[+]]" */
static int run_one(char *text, size_t n)
{
	char *name = strsep(&text, ":"), *kind = text ? strsep(&text, ":") : NULL;
	struct fault_plan plan = { 0 };

	if (text) {
		plan.n = strtoull(text, NULL, 10);
		plan.onward = strchr(text, '+');
		while (plan.kind < FAULT_KIND_COUNT && strcmp(kind, fault_kind_names[plan.kind]))
			plan.kind++;
	}
	for (size_t i = 0; i < n; i++) {
		if (strcmp(runner.cases[i].name, name))
			continue;
		if (!text) {
			try_case(&runner.cases[i]);
			return runner.failed != 0;
		}
		runner.shared->state.plan = plan;
		run_here(&runner.cases[i]);
		print_finding(&runner.cases[i],
			&(struct outcome){ .verdict = runner.shared->verdict,
				.injected = runner.shared->state.injected },
			"ends");
		return 0;
	}
	fprintf(stderr, "FAULT: no case %s\n", name);
	return 2;
}

int unit_fault_run(const struct unit_case *cases, size_t n, char *skip_reason)
{
	const char *tmp = access("/dev/shm", W_OK) ? getenv("TMPDIR") : "/dev/shm",
		   *ms = getenv("FAULT_MS"), *one = getenv("FAULT");
	char text[200];
	int r = 0;

	runner = (struct runner){ .cases = cases, .skip_reason = skip_reason };
	runner.strict = &fault_strict && fault_strict;
	runner.all = getenv("FAULT_ALL") != NULL;
	runner.ms = ms ? strtoull(ms, NULL, 10) : runner.strict ? 500 : 50;
	runner.output = memfd_create("output", MFD_CLOEXEC);
	runner.shared = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (enum fault_kind kind = 0; kind < FAULT_KIND_COUNT; kind++)
		runner.tried[kind] = calloc(TRIED_MAX, sizeof(uint64_t));
	fault_backtrace(&(struct fault_trace){ 0 }, NULL); /* the first one loads what unwinds */
	snprintf(runner.dir, sizeof(runner.dir), "%.60s/fXXXXXX", tmp ? tmp : "/tmp");
	if (runner.output < 0 || runner.shared == MAP_FAILED || !mkdtemp(runner.dir) ||
		chmod(runner.dir, 01777) || setenv("TMPDIR", runner.dir, 1)) {
		perror("fault_unit");
		return 1;
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (one) {
		snprintf(text, sizeof(text), "%s", one);
		r = run_one(text, n);
	} else {
		for (size_t i = 0; i < n; i++)
			try_case(&cases[i]);
		printf("%u passed, %u failed, %u skipped\n", runner.passed, runner.failed,
			runner.skipped);
	}
	sweep(NULL, 0);
	rmdir(runner.dir);
	return r ? r : runner.failed != 0;
}
