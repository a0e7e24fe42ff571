// SPDX-License-Identifier: ISC
/*
 * Linked into the programs of MODE=cov alone. Counters are written by exit(); here also before _exit(), by a
 * signal that ends the process, below another root and under limits of files. SIGKILL takes them with it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* libgcov's, and what the linker's --wrap names. */
void __gcov_dump(void);
int __real_chroot(const char *path);
int __real_setrlimit(__rlimit_resource_t what, const struct rlimit *limit);
int __real_sigaction(int signum, const struct sigaction *action, struct sigaction *old);
_Noreturn void __real__exit(int code);
int __wrap_chroot(const char *path);
int __wrap_setrlimit(__rlimit_resource_t what, const struct rlimit *limit);
int __wrap_sigaction(int signum, const struct sigaction *action, struct sigaction *old);
sighandler_t __wrap_signal(int signum, sighandler_t handler);
_Noreturn void __wrap__exit(int code);

static const int deadly[] = { SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV,
	SIGPIPE, SIGALRM, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ };

static int outer_root = -1;

static rlim_t lift_limit(__rlimit_resource_t what)
{
	struct rlimit limit = { 0 };

	getrlimit(what, &limit);
	limit.rlim_cur = limit.rlim_max;
	__real_setrlimit(what, &limit);
	return limit.rlim_cur;
}

/* libgcov writes in any case; what it cannot open is not cut at a limit, and nobody sees its complaints. */
static void write_none(void)
{
	setenv("GCOV_PREFIX", "/dev/null", 1);
	unsetenv("GCOV_ERROR_FILE");
	dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
}

static void write_counters(void)
{
	bool outside = outer_root < 0 || (!fchdir(outer_root) && !__real_chroot("."));

	lift_limit(RLIMIT_NOFILE);
	if (lift_limit(RLIMIT_FSIZE) != RLIM_INFINITY || !outside)
		write_none();
	__gcov_dump();
}

static void on_deadly(int signum)
{
	struct sigaction none = { .sa_handler = SIG_DFL };
	sigset_t set;

	__real_sigaction(signum, &none, NULL);
	write_counters();
	sigemptyset(&set);
	sigaddset(&set, signum);
	raise(signum);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static bool is_deadly(int signum)
{
	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		if (deadly[i] == signum)
			return true;
	return false;
}

/* Ours stands for the default, and is told as that. */
int __wrap_sigaction(int signum, const struct sigaction *action, struct sigaction *old)
{
	struct sigaction ours;
	int r;

	if (action && action->sa_handler == SIG_DFL && is_deadly(signum)) {
		ours = *action;
		ours.sa_handler = on_deadly;
		action = &ours;
	}
	r = __real_sigaction(signum, action, old);
	if (!r && old && old->sa_handler == on_deadly)
		old->sa_handler = SIG_DFL;
	return r;
}

sighandler_t __wrap_signal(int signum, sighandler_t handler)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART }, old;

	return __wrap_sigaction(signum, &action, &old) ? SIG_ERR : old.sa_handler;
}

/* A hard limit once lowered could not be lifted again. */
int __wrap_setrlimit(__rlimit_resource_t what, const struct rlimit *limit)
{
	struct rlimit soft;

	if (what != RLIMIT_FSIZE && what != RLIMIT_NOFILE)
		return __real_setrlimit(what, limit);
	if (getrlimit(what, &soft))
		return -1;
	soft.rlim_cur = limit->rlim_cur;
	if (limit->rlim_max > soft.rlim_max)
		soft.rlim_max = limit->rlim_max;
	return __real_setrlimit(what, &soft);
}

/* The first is outside of all. What looks at the lowest free number finds it where it was. */
static void keep_outer_root(void)
{
	enum { HIGH = 900 };
	int low, high;

	if (outer_root >= 0)
		return;
	low = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	high = fcntl(low, F_DUPFD_CLOEXEC, HIGH);
	outer_root = high < 0 ? low : high;
	if (high >= 0)
		close(low);
}

int __wrap_chroot(const char *path)
{
	keep_outer_root();
	return __real_chroot(path);
}

void __wrap__exit(int code)
{
	write_counters();
	__real__exit(code);
}

/* atexit()'s functions come before libgcov's destructor, which then finds nothing left to write. */
__attribute__((constructor)) static void set_up(void)
{
	struct sigaction now;

	atexit(write_counters);
	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		if (!__real_sigaction(deadly[i], NULL, &now) && now.sa_handler == SIG_DFL)
			__wrap_signal(deadly[i], SIG_DFL);
}
