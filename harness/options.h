/* SPDX-License-Identifier: ISC */
/*
 * Options of the verbs: tables of rows that parse and explain themselves. The VM options are one
 * table shared by every verb that runs a guest.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fileio.h"

struct err;

enum option_arg { OPTION_NO_ARG, OPTION_ARG, OPTION_MAYBE_ARG };

struct option_row {
	const char *name; /* without the dashes; NULL ends the table */
	char letter;      /* short form, or 0 */
	enum option_arg arg;
	const char *metavar, *help; /* help may hold newlines */
	/* value is NULL without an argument; ctx is what options_parse was given. 0 or -EINVAL with err. */
	int (*set)(void *ctx, const char *value, struct err *err);
};

/*
 * Consumes options up to the first other word or "--". 0 with *first the index of what follows;
 * 1 when --help was given; -EINVAL with err.
 */
int options_parse(const struct option_row *rows, void *ctx, int argc, char **argv, int *first,
	struct err *err);
/* The rows as a help text on stdout. */
void options_print(const struct option_row *rows);
/* --help, which every verb has: to be printed, not parsed. */
extern const struct option_row help_option_rows[];

/* For set functions: "64M". 0 or -EINVAL with err. */
int options_parse_size(const char *text, uint64_t *bytes, struct err *err);

struct strings {
	char **list;
	size_t n;
};
/* Appends a copy: 0 or -ENOMEM with err. */
int strings_add(struct strings *s, const char *text, struct err *err);
void strings_finish(struct strings *s);

#define VM_MEM_SIZE_RULE "must be a multiple of 2M, at least 2M and at most 64G"
bool vm_mem_size_ok(uint64_t bytes);

/* The members of struct fileio_limits, as --limit and traces name them. */
enum { LIMITS = 4 };
extern const char *const limit_names[LIMITS];
uint64_t *limit_at(struct fileio_limits *limits, size_t i);

struct vm_options {
	const char *backend;
	uint64_t mem_size;
	struct fileio_mount *mounts;
	size_t n_mounts;
	const char *cwd;
	const struct hostfs *resolver; /* NULL: auto */
	bool utf8_paths;
	struct fileio_limits limits;
	struct strings env, kernel_args;
	bool strace;
	const char *strace_file; /* NULL: stderr */
	const char *core_file;   /* of a guest that crashes; NULL: none */
	uint64_t timeout_ms;     /* 0: none */
	bool deterministic;      /* fixed clock, TSC, file metadata, argv[0]; env only as given */
	bool env_host;           /* --env host was given */
	uint64_t history;        /* bytes that the way back may take; 0: none */
	const char *gdb;         /* where gdb is served; NULL: nowhere */
};

/* ctx is a struct vm_options. */
extern const struct option_row vm_option_rows[];
/* Those of the file map alone. */
extern const struct option_row file_option_rows[];
/* Those that remain when the machine itself comes from a trace. */
extern const struct option_row vm_replay_rows[];
/* As options_parse, for a verb's own rows with ctx and VM options besides. */
int options_parse_with_vm(const struct option_row *rows, void *ctx,
	const struct option_row *vm_rows, struct vm_options *vm, int argc, char **argv, int *first,
	struct err *err);
void vm_options_init(struct vm_options *o);
void vm_options_finish(struct vm_options *o);
/* What they say of the guest's files; the rest is the caller's. */
struct fileio_config vm_options_files(const struct vm_options *o);
/* Do they go together, and with that guest (may be NULL)? 0 or -EINVAL with err. */
int vm_options_check(const struct vm_options *o, const char *guest, struct err *err);
/* Would the core take the place of another file that is used? Then -EINVAL with err: what that is. path may be NULL. */
int vm_options_check_core(
	const struct vm_options *o, const char *path, const char *what, struct err *err);

#endif
