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

struct err;

struct session {
	struct vm_options options;
	uint8_t *image;
	size_t image_size;
	struct fileio *files;
	struct strace strace;
	int strace_fd;
	struct vm *vm;
	char **mount_dirs;
	/* The caller's choices between session_init and session_prepare: */
	int console_in, console_out; /* default 0 and 1 */
	bool no_files;               /* no host file is touched: answers come from respond */
	hcall_respond_fn *respond;   /* NULL: the handlers */
	void *respond_ctx;
	struct trace_sink *sinks; /* told besides strace */
};

void session_init(struct session *s);
/* Frees everything; takes one that session_init left or that session_prepare failed on. */
void session_finish(struct session *s);

/*
 * Catches signals, reads the image (words[0]), opens strace, files and machine. With
 * options.deterministic: fixed clock, argv[0] without directory, deterministic files. words must outlive it.
 */
int session_prepare(struct session *s, char **words, size_t n_words, struct err *err);
/*
 * The header that a recording of this session has: to be called when the image has been read, that is
 * after session_prepare. Free with trace_header_finish.
 */
int session_header(const struct session *s, struct trace_header *header, struct err *err);
/* Sets options and arguments from a trace, so that session_prepare makes the machine it was recorded on. */
int session_from_header(struct session *s, const struct trace_header *header, struct err *err);
/* Runs under the time limit and signals. */
const struct vm_stop *session_run(struct session *s);
/*
 * Says on stderr what is to be said (crash report, time limit) and gives the exit code; -signum when a
 * signal ended it: see session_die.
 */
int session_exit_code(struct session *s, const struct vm_stop *stop);
/* code as it is; or, when negative, dies of that signal so that the parent sees why. */
int session_die(int code);
/* From a sink or a responder: stop the machine soon. */
void session_stop(struct session *s);

#endif
