// SPDX-License-Identifier: ISC
/* A pool of child processes around one ppoll(2). */
#include "jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "err.h"
#include "log.h"
#include "scratch.h"
#include "ticker.h"

/* One that is told to end has the grace to tidy up; no job needs a tenth of it. */
enum { READ_AT_ONCE = 16384, PARALLEL_MAX = 1024, GRACE_MS = 2000 };

struct child {
	size_t job;
	pid_t pid;
	int pidfd, output;        /* output: -1 once it has been read to its end */
	uint64_t start, deadline; /* deadline 0: none */
	bool told, timed_out;
	struct scratch tmp;
};

struct pool {
	const struct jobs *jobs;
	struct job_result *results;
	bool *ended;
	size_t n_begun, n_ended, n_told;
	struct child *children;
	size_t n_children;
	struct pollfd *fds; /* two for each child */
	unsigned parallel;
};

#define NS_PER_MS 1000000ull

static volatile sig_atomic_t stop_signal;

static void on_signal(int signum)
{
	stop_signal = signum;
}

unsigned jobs_cores(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return CPU_COUNT(&set) > 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

/* What ends us: blocked but for the wait in ppoll, so that none comes between a look and the wait. */
static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGALRM, SIGUSR1,
	SIGUSR2 };
enum { N_ENDING = sizeof(ending) / sizeof(ending[0]) };

struct signals {
	struct sigaction old[N_ENDING];
	sigset_t mask;
};

static void signals_catch(struct signals *s)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t block;

	stop_signal = 0;
	sigemptyset(&block);
	for (size_t i = 0; i < N_ENDING; i++) {
		sigaddset(&block, ending[i]);
		sigaction(ending[i], NULL, &s->old[i]);
	}
	sigprocmask(SIG_BLOCK, &block, &s->mask);
	for (size_t i = 0; i < N_ENDING; i++)
		if (s->old[i].sa_handler != SIG_IGN)
			sigaction(ending[i], &action, NULL);
}

static void signals_restore(const struct signals *s)
{
	for (size_t i = 0; i < N_ENDING; i++)
		sigaction(ending[i], &s->old[i], NULL);
	sigprocmask(SIG_SETMASK, &s->mask, NULL);
}

/* The job's own directory becomes $TMPDIR. */
static int use_tmp(const struct scratch *tmp)
{
	const char *parent = getenv("TMPDIR");
	char path[4096];

	if (!parent || !parent[0])
		parent = "/tmp";
	if (snprintf(path, sizeof(path), "%s/%s", parent, tmp->name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return setenv("TMPDIR", path, 1) ? -errno : 0;
}

static _Noreturn void child_main(const struct pool *pool, const struct child *child, int output,
	const struct signals *signals, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), code;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it died before that */
		_exit(EXIT_FAILURE);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
		dup2(output, STDERR_FILENO) < 0 || use_tmp(&child->tmp))
		abort();
	signals_restore(signals);
	code = pool->jobs->run(pool->jobs->ctx, child->job);
	fflush(NULL);
	_exit(code);
}

static int child_begin(struct pool *pool, const struct signals *signals, struct err *err)
{
	struct child *child = &pool->children[pool->n_children];
	pid_t parent = getpid();
	int pipes[2], r;

	*child = (struct child){ .job = pool->n_begun, .start = monotonic_ns() };
	r = scratch_init(&child->tmp, NULL, err);
	if (r)
		return r;
	if (pipe2(pipes, O_CLOEXEC)) {
		r = err_set(err, -errno, "pipe: %m");
		goto fail;
	}
	fflush(NULL); /* what is buffered is the parent's to write */
	child->pid = fork();
	if (!child->pid)
		child_main(pool, child, pipes[1], signals, parent);
	r = child->pid < 0 ? err_set(err, -errno, "fork: %m") : 0;
	close(pipes[1]);
	child->output = pipes[0];
	if (r) {
		close(pipes[0]);
		goto fail;
	}
	setpgid(child->pid, child->pid);
	fcntl(child->output, F_SETFL, O_NONBLOCK);
	child->pidfd = pidfd_open(child->pid, 0);
	if (pool->jobs->timeout_ms)
		child->deadline = child->start + pool->jobs->timeout_ms * NS_PER_MS;
	pool->n_begun++;
	pool->n_children++;
	return child->pidfd < 0 ? err_set(err, -errno, "pidfd_open: %m") : 0;
fail:
	scratch_finish(&child->tmp);
	return r;
}

static int keep_output(struct job_result *result, const char *bytes, size_t n)
{
	size_t room = JOBS_OUTPUT_MAX - result->output_len;
	char *grown;

	result->output_cut |= n > room;
	n = n < room ? n : room;
	grown = realloc(result->output, result->output_len + n + 1);
	if (!grown)
		return -ENOMEM;
	memcpy(grown + result->output_len, bytes, n);
	result->output = grown;
	result->output_len += n;
	grown[result->output_len] = 0;
	return 0;
}

/* All that is there now. Somebody the job left behind may hold the pipe open: no waiting for its end. */
static int drain(struct pool *pool, struct child *child)
{
	char bytes[READ_AT_ONCE];
	int r = 0;

	while (!r && child->output >= 0) {
		ssize_t n = read(child->output, bytes, sizeof(bytes));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (n > 0) {
			r = keep_output(&pool->results[child->job], bytes, (size_t)n);
			continue;
		}
		close(child->output);
		child->output = -1;
	}
	return r;
}

static void child_finish(struct child *child)
{
	if (child->output >= 0)
		close(child->output);
	if (child->pidfd >= 0)
		close(child->pidfd);
	scratch_finish(&child->tmp);
}

/* Its group goes while it is still a zombie: until it is waited for, nobody else gets its number. */
static int child_reap(struct pool *pool, struct child *child)
{
	struct job_result *result = &pool->results[child->job];
	int status = 0, r;

	kill(-child->pid, SIGKILL);
	while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
		;
	r = drain(pool, child);
	if (!result->output)
		r = keep_output(result, "", 0);
	result->end = child->timed_out    ? JOB_TIMED_OUT
		      : WIFEXITED(status) ? JOB_EXITED
					  : JOB_KILLED;
	result->code = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
	result->ns = monotonic_ns() - child->start;
	pool->ended[child->job] = true;
	pool->n_ended++;
	child_finish(child);
	*child = pool->children[--pool->n_children];
	return r;
}

static void tell(struct pool *pool)
{
	const struct jobs *jobs = pool->jobs;

	for (; pool->n_told < jobs->n && pool->ended[pool->n_told]; pool->n_told++) {
		struct job_result *result = &pool->results[pool->n_told];

		jobs->done(jobs->ctx, pool->n_told, result);
		free(result->output);
		result->output = NULL;
	}
	if (jobs->progress)
		jobs->progress(jobs->ctx, pool->n_ended);
}

/* To end, then, if it was told already, at once. */
static void child_stop(struct child *child)
{
	kill(-child->pid, child->told ? SIGKILL : SIGTERM);
	child->deadline = child->told ? 0 : monotonic_ns() + GRACE_MS * NS_PER_MS;
	child->told = true;
}

/* Stops who is late. Nanoseconds until the next one is; 0: nobody will be. */
static uint64_t watch_clocks(struct pool *pool)
{
	uint64_t now = monotonic_ns(), next = 0;

	for (size_t i = 0; i < pool->n_children; i++) {
		struct child *child = &pool->children[i];

		if (child->deadline && child->deadline <= now) {
			child->timed_out |= !child->told;
			child_stop(child);
		}
		if (child->deadline && (!next || child->deadline - now < next))
			next = child->deadline - now;
	}
	return next;
}

/* Waits for something to happen, and sees to it. */
static int step(struct pool *pool, const sigset_t *mask)
{
	struct pollfd *fds = pool->fds;
	uint64_t wait = watch_clocks(pool);
	struct timespec t = { (time_t)(wait / 1000000000), (long)(wait % 1000000000) };
	size_t n = pool->n_children;
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		fds[2 * i] = (struct pollfd){ .fd = pool->children[i].pidfd, .events = POLLIN };
		fds[2 * i + 1] =
			(struct pollfd){ .fd = pool->children[i].output, .events = POLLIN };
	}
	if (ppoll(fds, 2 * n, wait ? &t : NULL, mask) < 0)
		return errno == EINTR ? 0 : -errno;
	/* From the end: the last child takes the place of one that is reaped. */
	for (size_t i = n; !r && i--;) {
		if (fds[2 * i + 1].revents)
			r = drain(pool, &pool->children[i]);
		if (!r && fds[2 * i].revents)
			r = child_reap(pool, &pool->children[i]);
	}
	return r;
}

static int run_pool(struct pool *pool, const struct signals *signals, struct err *err)
{
	int r = 0;

	while (!r && !stop_signal && pool->n_ended < pool->jobs->n) {
		while (!r && pool->n_begun < pool->jobs->n && pool->n_children < pool->parallel)
			r = child_begin(pool, signals, err);
		if (!r)
			r = step(pool, &signals->mask);
		if (r < 0 && err && !err->text[0])
			err_set(err, r, "jobs: %s", strerror(-r));
		if (!r && !stop_signal)
			tell(pool);
	}
	return r ? r : stop_signal;
}

/* Those that still run get the grace, unless we cannot watch them, or are told to end once more. */
static void stop_children(struct pool *pool, const struct signals *signals, bool watched)
{
	int r = watched ? 0 : -ECHILD;

	stop_signal = 0;
	for (size_t i = 0; i < pool->n_children; i++)
		if (!pool->children[i].told)
			child_stop(&pool->children[i]);
	while (!r && !stop_signal && pool->n_children)
		r = step(pool, &signals->mask);
	while (pool->n_children) {
		kill(-pool->children[0].pid, SIGKILL);
		child_reap(pool, &pool->children[0]);
	}
}

static void pool_finish(struct pool *pool)
{
	free(pool->fds);
	for (size_t i = 0; pool->results && i < pool->jobs->n; i++)
		free(pool->results[i].output);
	free(pool->results);
	free(pool->ended);
	free(pool->children);
}

int jobs_run(const struct jobs *jobs, struct err *err)
{
	struct pool pool = { .jobs = jobs, .parallel = jobs->parallel };
	struct signals signals;
	int r;

	if (pool.parallel > PARALLEL_MAX)
		pool.parallel = PARALLEL_MAX;
	if (pool.parallel > jobs->n)
		pool.parallel = (unsigned)jobs->n;
	if (!jobs->n)
		return 0;
	pool.results = calloc(jobs->n, sizeof(*pool.results));
	pool.ended = calloc(jobs->n, sizeof(*pool.ended));
	pool.children = calloc(pool.parallel, sizeof(*pool.children));
	pool.fds = calloc(pool.parallel, 2 * sizeof(*pool.fds));
	signals_catch(&signals);
	if (pool.results && pool.ended && pool.children && pool.fds)
		r = run_pool(&pool, &signals, err);
	else
		r = err_set(err, -ENOMEM, "out of memory");
	stop_children(&pool, &signals, r >= 0);
	pool_finish(&pool);
	signals_restore(&signals);
	return r;
}
