/* SPDX-License-Identifier: ISC */
/*
 * A directory of golden traces: NAME.bjt and, where the guest saw files, NAME.d/; data too large for the
 * text in blobs/, named by its SHA-256; NAME.bjt.new is what waits for a review.
 */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h" /* struct strings */

struct err;

struct golden {
	char *name;
	bool has_text, has_new, has_tree;
};

/* What belongs to no golden: files[i], and reasons[i] for it. In any order. */
struct golden_strays {
	struct strings files, reasons;
};
void golden_strays_finish(struct golden_strays *strays);

struct golden_suite {
	const char *dir; /* borrowed */
	struct golden *list;
	size_t n; /* sorted by name */
	struct golden_strays strays;
};

#define GOLDEN_TEXT ".bjt"
#define GOLDEN_NEW  ".bjt.new"
#define GOLDEN_TREE ".d"

/* Letters, digits and ._+- ; a letter or digit first; at most 100 bytes. */
bool golden_name_ok(const char *name);

/* What is in dir, and what does not belong there. 0, or -errno with err; finish it either way. */
int golden_scan(struct golden_suite *suite, const char *dir, struct err *err);
void golden_suite_finish(struct golden_suite *suite); /* takes one zeroed */
const struct golden *golden_find(const struct golden_suite *suite, const char *name); /* or NULL */

/* "DIR/NAME" and a suffix; the caller's to free. NULL: out of memory. */
char *golden_path(const char *dir, const char *name, const char *suffix);

/*
 * What lies in blobs/ and no text mentions it, as "blobs/NAME". 0, or -errno with err: then nothing is known
 * of them.
 */
int golden_stray_blobs(const char *dir, struct golden_strays *strays, struct err *err);
/*
 * Removes those with a name of ours, a SHA-256; blobs/ goes too when it is empty. What cannot be removed
 * stays.
 */
void golden_drop_stray_blobs(const char *dir);

/*
 * Nothing there, or a directory: 0. What else bears the name, a link above all, could lead out of the suite:
 * -ENOTDIR with err.
 */
int golden_own_dir(const char *path, struct err *err);

/* Writes a file as a whole or not at all. 0, or -errno with err. */
int golden_write(const char *path, const char *text, size_t len, struct err *err);
/* The whole of a file, terminated, the caller's to free. 0, or -errno with err. */
int golden_read(const char *path, char **text, size_t *len, struct err *err);

/* When may check and new write? */
enum golden_policy {
	GOLDEN_POLICY_NO,     /* never */
	GOLDEN_POLICY_NEW,    /* beside, as NAME.bjt.new */
	GOLDEN_POLICY_ALWAYS, /* over what is there */
	GOLDEN_POLICY_UNSEEN, /* directly what has no golden yet, beside what differs */
	GOLDEN_POLICY_COUNT,
};
/* Is CI set, and to neither "", "false" nor "0"? */
bool golden_in_ci(void);
/* As BELLJAR_GOLDEN says; no in CI, whatever it says. 0, or -EINVAL with err: an unknown word. */
int golden_policy(enum golden_policy *policy, struct err *err);

/*
 * Where the image of a trace's guest is: in the first of these directories that has its name. The caller's
 * to free. 0, or -errno with err.
 */
int golden_image(const struct strings *guests, const char *trace, char **path, struct err *err);

#endif
