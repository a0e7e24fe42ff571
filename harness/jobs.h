/* SPDX-License-Identifier: ISC */
/*
 * Work done side by side in child processes: each in a process group and with a temporary directory of its
 * own, under a time limit, its output collected. One that is to end is asked first, by SIGTERM, and killed
 * two seconds later. Whatever a job does to itself, the caller lives on.
 */
#ifndef JOBS_H
#define JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum job_end { JOB_EXITED, JOB_KILLED, JOB_TIMED_OUT };

struct job_result {
	enum job_end end;
	int code;     /* JOB_EXITED: the exit code, 0 to 255; JOB_KILLED: the signal */
	char *output; /* standard output and standard error, and a NUL; the jobs' own */
	size_t output_len;
	bool output_cut; /* there was more than JOBS_OUTPUT_MAX */
	uint64_t ns;     /* how long it ran */
};

enum { JOBS_OUTPUT_MAX = 1 << 20 };

struct jobs {
	size_t n;
	unsigned parallel;   /* at once; at least 1 */
	uint64_t timeout_ms; /* for each; 0: none */
	/* In the child; standard input is empty, TMPDIR is the job's own. Returns the exit code. */
	int (*run)(void *ctx, size_t i);
	/* In order of i, as soon as those before it are done. The result lives as long as the call. */
	void (*done)(void *ctx, size_t i, const struct job_result *result);
	/* Something began or ended; may be NULL. */
	void (*progress)(void *ctx, size_t n_ended);
	void *ctx;
};

/*
 * Runs them all. 0; the number of a signal that told us to end, when every child is gone (a second signal
 * kills them); or -errno with err. One at a time per process.
 */
int jobs_run(const struct jobs *jobs, struct err *err);

/* The cores that this process may use, at least 1. */
unsigned jobs_cores(void);

#endif
