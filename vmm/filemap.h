/* SPDX-License-Identifier: ISC */
/*
 * The file map: a guest's path -> a host directory held open, one name in it, and the rights there.
 * The guest sees what Linux would show if every mapping were bind-mounted over a private scratch
 * root; see filemap.c for how. Knows no descriptors of the guest and opens no file for it.
 */
#ifndef FILEMAP_H
#define FILEMAP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "filemap_path.h"
#include "scratch.h"

struct err;
struct fileid;
struct fileio_mount;
struct hostfs;

enum {
	FILEMAP_TRIES = 256,      /* while the host changes what we walk through */
	FILEMAP_LINKS_MAX = 40,   /* followed in one path, as in Linux */
	FILEMAP_DEPTH_MAX = 2048, /* beneath the root; a walk holds so many directories open */
	FILEMAP_TEXT_MAX = 42 * PATH_MAX, /* cwd, path, and the text of every link */
};

enum filemap_kind {
	FILEMAP_DIR, /* dir is the directory itself: the root, a mapping, one's parent, `.`, `..` */
	FILEMAP_PINNED, /* dir is a mapped file, open since the start */
	FILEMAP_NAME,   /* name, in dir */
	FILEMAP_KIND_COUNT
};

/* A node of the tree of names: a mapping, or a directory that mappings lie beneath. */
struct filemap_node {
	enum filemap_kind kind; /* FILEMAP_NAME: a mapped file that may come and go */
	int fd;                 /* as filemap_place.dir */
	char *host_name;        /* FILEMAP_NAME */
	int mount;        /* the mapping whose rights hold here, as given; FILEMAP_NONE: ours */
	unsigned int how; /* HOSTFS_* of what lies here */
	bool isolated;    /* fd is a view in which the host itself follows no link */
	bool writable;
	bool may_unlink;
	bool no_hardlinks;
	bool scratch;    /* lies in the scratch tree */
	bool has_shadow; /* covers an object of the host's with this identity: */
	dev_t shadow_dev, dev;
	ino_t shadow_ino, ino;
	int n_shadows; /* of its children */
};

struct filemap_level {
	int fd, node; /* node FILEMAP_NONE: fd is ours to close */
	int in;       /* the node whose rights hold */
};

/* What a walk did, for who wants to see it. */
enum filemap_step_kind {
	FILEMAP_STEP_START, /* at the guest's root, or its cwd: in */
	FILEMAP_STEP_MOUNT, /* name is a node of the tree of names: in */
	FILEMAP_STEP_DOWN,  /* name is a directory of the host's; or, the last, a name in one */
	FILEMAP_STEP_UP,    /* `..` */
	FILEMAP_STEP_LINK,  /* name is a link; text follows in its place */
	FILEMAP_STEP_ERROR, /* name: r */
	FILEMAP_STEP_COUNT
};

struct filemap_step {
	enum filemap_step_kind kind;
	struct filemap_name name, text;
	int in, r;
};

struct filemap_watch {
	void (*step)(struct filemap_watch *watch, const struct filemap_step *step);
};

struct filemap {
	struct filemap_tree tree;
	struct filemap_node *nodes; /* parallel to tree.nodes */
	const struct hostfs *host;
	struct scratch scratch;
	uint64_t inodes_left; /* that may be made in scratch */
	int max_depth;
	struct filemap_watch *watch; /* borrowed, NULL: nobody */
	struct fileid *ids; /* told of directories made as parents; borrowed, NULL: nobody is */
	char *cwd;          /* its real name in the guest's tree, with a slash at both ends */
	size_t cwd_len;
	struct filemap_level levels[1 + FILEMAP_DEPTH_MAX]; /* the root is the first */
	int depth;
	char text[FILEMAP_TEXT_MAX]; /* what is still to walk, against the end */
};

enum filemap_want {
	FILEMAP_FOLLOW = 1, /* a link at the end is followed */
	FILEMAP_PARENT = 2, /* the name itself is meant: no link at the end, not even before `/` */
	FILEMAP_CREATE = 4, /* for a new file: no `/` at the end; in scratch its parents are made */
	FILEMAP_MKDIR = 8,  /* for a new directory: in scratch its parents are made */
};

struct filemap_place {
	enum filemap_kind kind;
	int dir;
	const char *
		name; /* FILEMAP_NAME; more than one name only when it exists and nobody asked for a parent */
	char last[FILEMAP_NAME_MAX + 1];
	int node;      /* the node this is, or FILEMAP_NONE */
	int in;        /* the node whose rights hold */
	bool writable; /* what lies here may be written, made, removed */
	bool slash;    /* the path went on with a slash: only a directory will do */
	bool dots;     /* the path ended in `.` or `..`, or is the root */
	bool exists;   /* FILEMAP_NAME, unless FILEMAP_PARENT: when last looked, with this st */
	struct stat st;
	bool owned;        /* dir is ours to close */
	int made, made_in; /* missing parents made, beneath this node, named by made_text */
	char *made_text, *made_end;
};

struct filemap_config {
	const struct fileio_mount *mounts;
	size_t n_mounts;
	const char *scratch_parent, *cwd; /* NULL: what is usual */
	const struct hostfs *host;        /* NULL: the best there is */
	uint64_t inodes;                  /* that may be made in scratch */
	int depth;                        /* at most FILEMAP_DEPTH_MAX */
};

/*
 * fd, which may be an error; or, where other mounts may be entered (HOSTFS_XDEV) and this lies on a file system that
 * speaks for the kernel, closed and -EACCES: all that a walk enters, looks at or opens goes through here.
 */
int filemap_shown(const struct hostfs *host, unsigned int how, int fd);

/* All that is opened by host name is opened here. 0, or -errno with err set. */
int filemap_init(struct filemap *map, const struct filemap_config *config, struct err *err);
/* Takes one zeroed or half built. Removes the scratch tree. */
void filemap_finish(struct filemap *map);

/*
 * Where path leads. 0 or -errno: -EDQUOT when that is deeper than allowed, -ENOSPC when scratch is full.
 * The place is good until filemap_leave(), which must follow; one place at a time.
 */
int filemap_resolve(
	struct filemap *map, const char *path, unsigned int want, struct filemap_place *place);
/* Looks at FILEMAP_NAME again: sets exists and st. 0, or -errno other than -ENOENT. */
int filemap_look(const struct filemap *map, struct filemap_place *place);
/* Opens FILEMAP_NAME or FILEMAP_DIR, following no link: a descriptor of map->host's, or -errno. */
int filemap_open(
	const struct filemap *map, const struct filemap_place *place, int flags, mode_t mode);
/* Is the directory that this node lies in writable? Its own name belongs to that. */
bool filemap_parent_writable(const struct filemap *map, int node);
/* Before a try that follows others: for longer and longer, so as not to dance in step with who changes the host. */
void filemap_back_off(unsigned tries);
/* failed: what the place was for did not come about, so parents made for it go again. */
void filemap_leave(struct filemap *map, struct filemap_place *place, bool failed);

#endif
