/* SPDX-License-Identifier: ISC */
/*
 * The host trees behind the mounts: looked at (names, modes, contents by SHA-256), stored in a recording,
 * made again somewhere else, compared. Links are never followed; everything goes beneath dirfds. Names of one
 * object stay that in a recording's copy (not in a golden's: git keeps no hard links); times and owners are
 * not kept.
 */
#ifndef TREE_H
#define TREE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace_record.h"

struct err;
struct inode;
struct trace_writer;
struct tree_copy_work;

/* Entries own their strings; sorted by mount, then path bytewise (a directory before what is in it). */
struct tree {
	struct tree_entry *entries;
	size_t n, room;
};

void tree_finish(struct tree *tree); /* takes one zeroed */
/* Appends a copy; the order is the caller's care. 0 or -ENOMEM with err. */
int tree_add(struct tree *tree, const struct tree_entry *entry, struct err *err);
/* Into the order above. */
void tree_sort(struct tree *tree);
/*
 * Walks two sorted trees side by side: false behind the last, else with the entries at the next place, NULL
 * where there is none. at_a and at_b begin at 0.
 */
bool tree_next_pair(const struct tree *a, size_t *at_a, const struct tree_entry **entry_a,
	const struct tree *b, size_t *at_b, const struct tree_entry **entry_b);
/* Same kind, mode and contents, wherever they are? */
bool tree_entry_same(const struct tree_entry *a, const struct tree_entry *b);
/* Its path as printable text, cut to size. Returns buf. */
const char *tree_name(const struct tree_entry *entry, char *buf, size_t size);

/*
 * The hash of a file that could not be read (so that the guest could not either): only its size is known,
 * and a copy holds as many zeros.
 */
extern const uint8_t tree_unknown[TRACE_HASH_LEN];

/*
 * A mount whose host path lies in another mount's, as its text says: of which it is a part, and where in it. What
 * lies in no other is its own cover, and rest is NULL.
 */
struct tree_cover {
	size_t mount; /* the outermost */
	char *rest;   /* beneath that one; "": the same */
};
/* One for each mount. 0 or -ENOMEM with err. */
int tree_find_covers(struct tree_cover **out, const struct trace_mount *mounts, size_t n_mounts,
	struct err *err);
void tree_drop_covers(struct tree_cover *covers, size_t n_mounts); /* takes NULL */

enum { TREE_DEFAULT_LIMIT_MB = 64 };

/*
 * What lies at the mounts' host paths now, in the order of the mounts. A mount that lies in another is looked at
 * there only. -EFBIG with err when files hold
 * more than limit bytes in all (0: no limit).
 */
int tree_look(struct tree *tree, const struct trace_mount *mounts, size_t n_mounts, uint64_t limit,
	struct err *err);
/* The same, but -EINTR with err soon after *stop is set; stop may be NULL. */
int tree_look_until(struct tree *tree, const struct trace_mount *mounts, size_t n_mounts,
	uint64_t limit, const volatile sig_atomic_t *stop, struct err *err);
/*
 * Stores it as TRACE_BLOB (each content once) and TRACE_BEFORE records. Contents are read again here; a file
 * that has changed since is -ESTALE with err.
 */
int tree_store(const struct tree *tree, const struct trace_mount *mounts, struct trace_writer *w,
	struct err *err);
/* The differences of two looks as TRACE_AFTER entries: changed and new as in `after`, removed as TREE_NONE. */
int tree_diff(
	const struct tree *before, const struct tree *after, struct tree *diff, struct err *err);

/*
 * A private directory with a copy of the trees, 0700, removed by tree_copy_finish: mount i lies at
 * mounts[i].host of the copy, absolute; everything else as in the header.
 */
struct tree_copy {
	char *dir;
	struct trace_mount *mounts;
	size_t n_mounts;
	struct inode *xdev; /* what stands for other mounts; sorted once sealed */
	size_t n_xdev;
	struct tree_copy_work *work; /* tree_copy.c's own */
};
/* From the records at the head of a recording: feed it every BLOB and BEFORE record, then seal. */
int tree_copy_init(struct tree_copy *copy, const struct trace_header *header, struct err *err);
int tree_copy_put(struct tree_copy *copy, const struct trace_record *record, struct err *err);
/*
 * Sets the modes of directories; mounts of which nothing was put are made, empty, or lie where their cover
 * has them. Must be called once, even when nothing was put.
 */
int tree_copy_seal(struct tree_copy *copy, struct err *err);
/*
 * From a directory (a golden's NAME.d/): mount i's host path is relative to dir and may not leave it.
 * Modes are made independent of the checkout: 0755 for directories and what the owner may execute, else 0644.
 * A mount whose directory is missing is made empty (git keeps no empty directories), and names of one file are
 * files of their own (nor hard links). Sealed.
 */
int tree_copy_from_dir(struct tree_copy *copy, const char *dir, const struct trace_header *header,
	struct err *err);
void tree_copy_finish(struct tree_copy *copy); /* takes one zeroed */

/* SHA-256 of bytes; of a file. */
void tree_hash(const void *data, size_t len, uint8_t hash[TRACE_HASH_LEN]);

#endif
