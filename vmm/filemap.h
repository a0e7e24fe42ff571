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
#include <sys/stat.h>

#include "filemap_path.h"
#include "scratch.h"

struct err;
struct fileid;
struct fileio_mount;

enum {
	FILEMAP_TRIES = 64,               /* while the host changes what we walk through */
	FILEMAP_LINKS_MAX = 40,           /* followed in one path, as in Linux */
	FILEMAP_DEPTH_MAX = 256,          /* directories held open by one walk */
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
	bool writable;
	bool may_unlink;
	bool scratch;    /* lies in the scratch tree */
	bool has_shadow; /* covers an object of the host's with this identity: */
	dev_t shadow_dev, dev;
	ino_t shadow_ino, ino;
	int n_shadows; /* of its children */
};

struct filemap_level {
	int fd, node; /* node FILEMAP_NONE: fd is ours to close */
	bool writable;
};

struct filemap {
	struct filemap_tree tree;
	struct filemap_node *nodes; /* parallel to tree.nodes */
	struct scratch scratch;
	struct fileid *ids; /* told of directories made as parents; borrowed, NULL: nobody is */
	char *cwd;          /* with a slash at both ends */
	size_t cwd_len;
	struct filemap_level levels[FILEMAP_DEPTH_MAX];
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
	char name[FILEMAP_NAME_MAX + 1];
	int node;      /* the node this is, or FILEMAP_NONE */
	bool writable; /* what lies here may be written, made, removed */
	bool slash;    /* the path went on with a slash: only a directory will do */
	bool dots;     /* the path ended in `.` or `..`, or is the root */
	bool exists;   /* FILEMAP_NAME, unless FILEMAP_PARENT: when last looked, with this st */
	struct stat st;
	bool owned;        /* dir is ours to close */
	int made, made_in; /* missing parents made, beneath this node, named by made_text */
	char *made_text, *made_end;
};

/* All that is opened by host name is opened here. 0, or -errno with err set. */
int filemap_init(struct filemap *map, const struct fileio_mount *mounts, size_t n_mounts,
	const char *scratch_parent, const char *cwd, struct err *err);
/* Takes one zeroed or half built. Removes the scratch tree. */
void filemap_finish(struct filemap *map);

/*
 * Where path leads. 0 or -errno. The place is good until filemap_leave(), which must follow; one
 * place at a time.
 */
int filemap_resolve(
	struct filemap *map, const char *path, unsigned int want, struct filemap_place *place);
/* Looks at FILEMAP_NAME again: sets exists and st. 0, or -errno other than -ENOENT. */
int filemap_look(struct filemap_place *place);
/* Opens FILEMAP_NAME (beneath_open) or FILEMAP_DIR. */
int filemap_open(const struct filemap_place *place, int flags, mode_t mode);
/* Is the directory that this node lies in writable? Its own name belongs to that. */
bool filemap_parent_writable(const struct filemap *map, int node);
/* failed: what the place was for did not come about, so parents made for it go again. */
void filemap_leave(struct filemap *map, struct filemap_place *place, bool failed);

#endif
