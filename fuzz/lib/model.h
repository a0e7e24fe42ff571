/* SPDX-License-Identifier: ISC */
/*
 * What a guest must see, said a second time and simply: a forest of nodes, mounts over names in it, and
 * the path walk of Linux, component by component, as it is documented in path_resolution(7), open(2),
 * mkdir(2), unlink(2) and seen in the kernel. Shares nothing with vmm/; makes no system calls. Where we
 * mean to differ from Linux there is a switch in struct model_policy, off in a model of Linux itself.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum { MODEL_NODES = 2048, MODEL_TEXT = 1 << 18, MODEL_MOUNTS = 16 };

struct model_policy {
	bool special_enxio;    /* fifos, sockets and devices cannot be opened */
	bool implicit_parents; /* in scratch a new file or directory makes its missing parents */
	bool strict_flags;     /* flags that are unknown or change what open means are refused */
	bool utf8_paths;       /* a path that is not UTF-8 is refused */
	bool strip_modes;      /* no set-id, no sticky, umask 022 */
	bool submounts;        /* what is foreign is looked at before it is refused */
};

struct model_node {
	mode_t mode;
	int parent, first, next; /* 0 is none: nothing has node 0 as a child */
	uint32_t hash, name, target;
	uint16_t name_len, target_len;
	off_t size;
	bool gone;
	bool foreign; /* another file system begins there, which is not shown */
};

/* A mount covers a name in a directory as seen by one mount, whether or not something is there. */
struct model_mount {
	int parent; /* mount */
	int dir;    /* node; of mount 0 itself */
	uint32_t hash, name;
	uint16_t name_len;
	int root; /* node; -1: whatever has host_name in host_dir, a file that may come and go */
	int host_dir;
	uint32_t host_name;
	uint16_t host_name_len;
	bool writable, may_unlink;
	bool scratch; /* missing parents are made here */
};

struct model_at {
	int mount, node;
};

/* What an operation came to. */
struct model_result {
	int r;              /* 0 or -errno */
	struct model_at at; /* open, stat: the object */
	int n_made;         /* nodes made: the last n_made ones, in order */
	int removed;        /* node that lost its name; 0: none */
	int truncated;      /* node; 0: none */
	off_t old_size;
};

struct model {
	struct model_node nodes[MODEL_NODES];
	char text[MODEL_TEXT];
	struct model_mount mounts[MODEL_MOUNTS];
	int n_nodes, n_mounts;
	uint32_t n_text;
	struct model_policy policy;
	struct model_at cwd;
	bool full; /* something did not fit: answers mean nothing any more */
};

/* Empty: node 0 is a directory that contains every file system there is and that no guest sees. */
void model_init(struct model *m);
/* As `from`, which is not full; costs what is in it. */
void model_copy(struct model *to, const struct model *from);

/* The node, or -EEXIST, -ENOTDIR, -ENAMETOOLONG, -ENOSPC. */
int model_add(
	struct model *m, int dir, const char *name, size_t len, mode_t mode, const char *target);
int model_child(const struct model *m, int dir, const char *name, size_t len);
/* The mount that covers the name, or -1. */
int model_covered(const struct model *m, struct model_at dir, const char *name, size_t len);
/* Number of the mount. The first one is `/`. */
int model_mount(struct model *m, struct model_at dir, const char *name, size_t len, int root,
	bool writable);

/* The mount shows what is called name in dir, whatever that is at the time. */
void model_mount_name(struct model *m, int mount, int dir, const char *name);
/* What a directory has by that name: a node, or -ENOENT. */
int model_peek(const struct model *m, struct model_at dir, const char *name, size_t len);

struct model_result model_open(struct model *m, const char *path, int flags, mode_t mode);
struct model_result model_stat(struct model *m, const char *path, bool follow);
struct model_result model_mkdir(struct model *m, const char *path, mode_t mode);
struct model_result model_unlink(struct model *m, const char *path);

/* Goes over what a directory lists besides `.` and `..`, in no order. */
struct model_listing {
	int next, next_mount;
};

struct model_entry {
	const char *name; /* not terminated */
	size_t len;
	mode_t mode; /* type alone */
};

bool model_list(const struct model *m, struct model_at dir, struct model_listing *at,
	struct model_entry *entry);

#endif
