/* SPDX-License-Identifier: ISC */
/*
 * Bytes as a tree of the host's, mappings of it, and operations of a guest: the input format of the file map's
 * fuzz targets. Total: every string of bytes means something, what is cut off is zero, and most of what there
 * is to choose leads somewhere; 0xff is where the rare and the broken is.
 */
#ifndef SCENARIO_H
#define SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
	SCENARIO_MOUNTS = 4,
	SCENARIO_ENTRIES = 12,
	SCENARIO_OPS = 8,
	SCENARIO_PATH = 8192, /* longer than any guest may say */
	SCENARIO_VARIANTS = 4,
};

/* What is in the host's directory before any input comes: by its path there, parents first. */
struct scenario_base {
	const char *path;
	mode_t mode;
	off_t size;
	const char *target;
	bool outside; /* no mapping leads there */
};

enum { SCENARIO_BASE = 23, SCENARIO_M2 = 15 };
extern const struct scenario_base scenario_base[SCENARIO_BASE];

struct scenario_mount {
	const char *host, *guest; /* host: as in scenario_base, or a missing file */
	bool writable, may_unlink;
};

struct scenario_config {
	struct scenario_mount mounts[SCENARIO_MOUNTS];
	const char *cwd; /* NULL: "/" */
};

enum { SCENARIO_CONFIGS = 32 };

/* The mappings number `config` in one of SCENARIO_VARIANTS forms; how many they are. */
int scenario_mounts(int config, int variant, struct scenario_mount mounts[SCENARIO_MOUNTS]);
const char *scenario_cwd(int config);

struct scenario {
	int config, variant;
	bool race;     /* the host changes while the guest works */
	bool other;    /* of two engines, the other one */
	bool rephrase; /* say paths in other words, too */
	int entries_left, ops_left;
	const uint8_t *at, *end;
	char path[SCENARIO_PATH];
};

void scenario_begin(struct scenario *s, const uint8_t *data, size_t size);

/* A thing to be put into the host's tree. */
struct scenario_entry {
	int parent; /* in scenario_base; SCENARIO_IN_SCRATCH; or SCENARIO_IN_ENTRY: the last directory made */
	mode_t mode;
	const char *name;
	size_t name_len;
	const char *target; /* in s->path: until the next call */
};

enum { SCENARIO_IN_SCRATCH = -1, SCENARIO_IN_ENTRY = -2 };

/* All entries come before all operations. False: no more. */
bool scenario_next_entry(struct scenario *s, struct scenario_entry *entry);

enum scenario_kind {
	SCENARIO_OPEN,
	SCENARIO_STAT,
	SCENARIO_LSTAT,
	SCENARIO_MKDIR,
	SCENARIO_UNLINK,
	SCENARIO_LIST,  /* open, read all, close */
	SCENARIO_CLOSE, /* an open descriptor */
	SCENARIO_KIND_COUNT
};

struct scenario_op {
	enum scenario_kind kind;
	int flags;
	mode_t mode;
	int which;        /* CLOSE */
	int race_after;   /* calls */
	uint8_t race;     /* what the host does then */
	const char *path; /* in s->path: until the next call */
};

bool scenario_next_op(struct scenario *s, struct scenario_op *op);

/* The same path in other words, with dots and slashes; false when that does not fit. */
bool scenario_rephrase(const char *path, char *out, size_t size);

/* The input as golden text: its tree in comments, its mappings and calls. 0 or -errno. */
int scenario_print(const uint8_t *data, size_t size, FILE *out);

#endif
