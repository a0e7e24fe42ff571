/* SPDX-License-Identifier: ISC */
/*
 * A machine and all that one run of it owns: options, image, files, strace, signals, time limit. What the
 * verbs that run a guest share. One at a time per process.
 */
#ifndef SESSION_H
#define SESSION_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "hcall.h"
#include "options.h"
#include "strace.h"
#include "trace_record.h"
#include "vm.h"

struct edits;
struct err;
struct gdb_server;

/* When a deterministic guest's clock starts: 2024-01-01 00:00:00 UTC. */
#define SESSION_CLOCK_NS 1704067200000000000u

struct session {
	struct vm_options options;
	const char *guest; /* path of the image; borrowed */
	uint8_t *image;
	size_t image_size;
	struct fileio *files; /* NULL with no_files */
	struct strace strace;
	int strace_fd;
	struct vm *vm;
	struct vm_args args; /* what the guest is told */
	char **words;        /* what it was started with: borrowed */
	size_t n_words;
	struct strings own_args; /* args.app, when session_restart was given some */
	char **mount_dirs;
	bool *mount_is_file;         /* one per mount */
	struct trace_header *header; /* what session_from_header was given: a copy; else NULL */
	/* The caller's choices between session_init and session_prepare: */
	int console_in, console_out; /* default 0 and 1 */
	bool no_files;               /* no host file is touched: answers come from respond */
	hcall_respond_fn *respond;   /* NULL: the handlers */
	void *respond_ctx;
	struct edits
		*edits; /* NULL, or what is to be written on the way: who drives sees to that */
	/* Who drives, until the guest's end: may be set until session_run. NULL: vm_run alone. */
	const struct vm_stop *(*drive)(void *ctx, struct vm *vm);
	void *drive_ctx;
	bool gdb_waits;         /* the guest begins when a debugger lets it */
	struct gdb_server *gdb; /* options.gdb: it drives */
	const char *recording;  /* what is written or replayed; borrowed; NULL: nothing */
	char stopped[400];      /* why session_stop was called; "": it was not */
	/* How, set by who drives: the exit code is then as of a process that was killed. NULL: it was not. */
	const char *ended_by_debugger;
	/* Told besides strace; may be set until session_run. */
	struct trace_sink *sinks;
};

void session_init(struct session *s);
/* Frees everything; takes one that session_init left or that session_prepare failed on. */
void session_finish(struct session *s);

/*
 * Catches signals, reads the image (words[0]), opens strace, files and machine. With
 * options.deterministic: fixed clock, argv[0] without directory, deterministic files. words must outlive it.
 * After session_from_header only words[0] counts: the arguments are the header's.
 */
int session_prepare(struct session *s, char **words, size_t n_words, struct err *err);
/*
 * The header that a recording of this session has: to be called when the image has been read, that is
 * after session_prepare. Free with trace_header_finish.
 */
int session_header(const struct session *s, struct trace_header *header, struct err *err);
/* Sets options and arguments from a trace, so that session_prepare makes the machine it was recorded on. */
int session_from_header(struct session *s, const struct trace_header *header, struct err *err);
/*
 * One line on what CPUID says here and did not say there, for guests that ask for it: "" when there is nothing
 * to say. After session_prepare.
 */
void session_cpu_note(
	const struct session *s, const struct trace_header *header, char *buf, size_t size);
/* Runs under the time limit and signals. */
const struct vm_stop *session_run(struct session *s);
/*
 * Says on stderr what is to be said (crash report, time limit) and gives the exit code; -signum when a
 * signal ended it: see session_die. stop NULL: session_prepare failed, and the caller has said why.
 */
int session_exit_code(struct session *s, const struct vm_stop *stop);
/* All of it, from words to exit code; what goes wrong is said. */
int session_run_guest(struct session *s, char **words, size_t n_words);
/* code as it is; or, when negative, dies of that signal so that the parent sees why. */
int session_die(int code);
/*
 * Signals end us in good order: to be called before anything is made that must be removed, by who makes no session.
 * Which one came is at session_signal().
 */
void session_catch_signals(void);
/* What the next signal that is to end us will set: for work before or behind a run that may be given up. */
const volatile sig_atomic_t *session_signal(void);
/* Are we to end, by a signal or the time limit? */
bool session_stopping(void);
/* For who drives: vm_pause when there is input at fd, or no more. False: it cannot be had of this file. */
bool session_watch(int fd, bool on);
/* Before the guest is run on after a pause: its calls may wait again. */
void session_go_on(void);
/*
 * While it runs, from who drives: another machine in place of s->vm, at its first instruction, with files as they are
 * on the host now and these arguments: argz(3), copied; len 0: those of words. On failure all is as it was. -EOPNOTSUPP
 * while somebody records, or for a trace.
 */
int session_restart(struct session *s, const char *args, size_t len, struct err *err);
/* From a sink or a responder: stop the machine soon. why: for who drives, to tell it. */
void session_stop(struct session *s, const char *why);
/* Why the machine has stopped: a line for who drives, to be told where stderr is not seen. */
void session_why(const struct session *s, const struct vm_stop *stop, char *line, size_t size);
/* The same: no matter what was asked for, only this much longer. */
void session_hurry(struct session *s, unsigned ms);

#endif
