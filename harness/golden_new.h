/* SPDX-License-Identifier: ISC */
/* What a first recording is made of: the command line as a trace's header, the mapped files as NAME.d/. */
#ifndef GOLDEN_NEW_H
#define GOLDEN_NEW_H

#include "trace_record.h"

struct err;
struct vm_options;

/*
 * A header as a trace of this command line has it; mounts get names of their own, relative to NAME.d/. words:
 * the image and its arguments. Free with trace_header_finish. 0, or -errno with err.
 */
int golden_new_header(struct trace_header *header, const struct vm_options *vm, char **words,
	size_t n_words, struct err *err);

/*
 * Copies what lies at the mounts' host paths to dir (NAME.d/), under the names of the header: files,
 * directories and links, for git keeps nothing else. Makes dir only when there is something to put there.
 * 0, or -errno with err; then dir may be there in part.
 */
int golden_new_tree(const char *dir, const struct trace_header *header, const struct vm_options *vm,
	struct err *err);
/*
 * What NAME is called while it is made: no golden's name, and it says whose it is. The caller's to free. NULL:
 * out of memory.
 */
char *golden_new_name(const char *name);
/* And the NAME in it again, for messages. */
const char *golden_new_shown(const char *name);
/* Removes from the suite's directory what one that was killed has left there under such a name. */
void golden_new_sweep(const char *dir);
/* Removes dir and all in it, following no link. */
void golden_remove_tree(const char *dir);

#endif
