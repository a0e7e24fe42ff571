// SPDX-License-Identifier: ISC
/*
 * The start of a file map: every mapping checked and opened, the last time that a host path is
 * looked up by name. Makes the parents that mappings need and the host does not have.
 */
#include "filemap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "err.h"
#include "fileio.h"
#include "hostfs.h"
#include "log.h"

/* File systems that speak for the kernel: a guest that writes there steers the host. */
static const struct {
	long magic;
	const char *name;
} refused_fs[] = {
	{ PROC_SUPER_MAGIC, "proc" },
	{ SYSFS_MAGIC, "sysfs" },
	{ DEVPTS_SUPER_MAGIC, "devpts" },
	{ CGROUP_SUPER_MAGIC, "cgroup" },
	{ CGROUP2_SUPER_MAGIC, "cgroup2" },
	{ DEBUGFS_MAGIC, "debugfs" },
	{ TRACEFS_MAGIC, "tracefs" },
	{ SECURITYFS_MAGIC, "securityfs" },
	{ BPF_FS_MAGIC, "bpf" },
	{ SELINUX_MAGIC, "selinuxfs" },
	{ SMACK_MAGIC, "smackfs" },
	{ EFIVARFS_MAGIC, "efivarfs" },
	{ PSTOREFS_MAGIC, "pstore" },
	{ BINFMTFS_MAGIC, "binfmt_misc" },
	{ 0x7655821, "resctrl" },
	{ NSFS_MAGIC, "nsfs" },
	{ 0x62656570, "configfs" },
	{ 0x65735543, "fusectl" },
	{ 0x19800202, "mqueue" },
	{ 0x6e667364, "nfsd" },
	{ 0x67596969, "rpc_pipefs" },
	{ 0xabba1974, "xenfs" },
	{ 0xa647361, "functionfs" },
};

/* What helps when something could not be opened: r may tell better than what usually does. */
static const char *hint(int r, const char *usual)
{
	return r == -EMFILE   ? "raise ulimit -n"
	       : r == -EAGAIN ? "another process holds a lease on it; have it given up first"
			      : usual;
}

static int refuse(struct err *err, int r, const struct fileio_mount *mount, const char *why)
{
	const char *help = hint(r, "");

	return err_set(err, r, "mount %s:%s: %s%s%s", mount->host, mount->guest, why,
		*help ? "; " : "", help);
}

static const char *refused_name(long magic)
{
	for (size_t i = 0; i < sizeof(refused_fs) / sizeof(refused_fs[0]); i++)
		if (magic == refused_fs[i].magic)
			return refused_fs[i].name;
	return NULL;
}

int filemap_shown(const struct hostfs *host, unsigned int how, int fd)
{
	long magic;

	if (fd < 0 || !(how & HOSTFS_XDEV) || (!host->fs_magic(fd, &magic) && !refused_name(magic)))
		return fd;
	host->close(fd);
	return -EACCES;
}

static int check_fs(
	const struct hostfs *host, int fd, const struct fileio_mount *mount, struct err *err)
{
	long magic;
	int r = host->fs_magic(fd, &magic);

	if (r)
		return refuse(err, r, mount, strerror(-r));
	if (!refused_name(magic))
		return 0;
	return err_set(err, -EPERM, "mount %s:%s: lies on %s, which steers the host; map a copy",
		mount->host, mount->guest, refused_name(magic));
}

/* Checks the directory node->fd for a mapped file known by its name there. */
static int check_named(const struct hostfs *host, struct filemap_node *node,
	const struct fileio_mount *mount, const char *name, struct err *err)
{
	struct stat st;
	int r = check_fs(host, node->fd, mount, err);

	if (r)
		return r;
	if (!host->stat(node->fd, name, HOSTFS_XDEV, &st) && !S_ISREG(st.st_mode))
		return refuse(err, -ELOOP, mount, "a link to nowhere; name the file itself");
	node->host_name = strdup(name);
	node->kind = FILEMAP_NAME;
	return node->host_name ? 0 : -ENOMEM;
}

/* A mapped file known by name: in a directory of the host, which text names, as what follows. */
static int open_named(const struct hostfs *host, struct filemap_node *node,
	const struct fileio_mount *mount, const char *text, struct err *err)
{
	const char *slash = strrchr(text, '/');
	const char *name = slash ? slash + 1 : text;
	autofree char *dir = slash ? strndup(text, (size_t)(name - text)) : strdup(".");

	if (!dir)
		return -ENOMEM;
	if (!name[0] || !strcmp(name, ".") || !strcmp(name, "..") ||
		strlen(name) > FILEMAP_NAME_MAX)
		return refuse(err, -ENOENT, mount, "no such directory; make it first");
	node->fd = host->open_host(dir, O_PATH | O_DIRECTORY);
	if (node->fd < 0)
		return err_set(err, node->fd, "mount %s:%s: %s: %s; %s", mount->host, mount->guest,
			dir, strerror(-node->fd), hint(node->fd, "make the directory first"));
	return check_named(host, node, mount, name, err);
}

static int open_missing(const struct hostfs *host, struct filemap_node *node,
	const struct fileio_mount *mount, struct err *err)
{
	if (!mount->writable)
		return refuse(err, -ENOENT, mount,
			"no such file or directory; make it, or let the guest: map it rw");
	return open_named(host, node, mount, mount->host, err);
}

static int open_pinned(const struct hostfs *host, struct filemap_node *node,
	const struct fileio_mount *mount, const char *path, struct err *err)
{
	int flags = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | (mount->writable ? O_RDWR : O_RDONLY);
	struct stat st;

	node->kind = FILEMAP_PINNED;
	node->fd = host->open_host(path, flags);
	if (node->fd < 0)
		return err_set(err, node->fd, "mount %s:%s: %s; %s", mount->host, mount->guest,
			strerror(-node->fd),
			hint(node->fd, mount->writable ? "map it ro or change its mode"
						       : "change its mode"));
	if (host->fstat(node->fd, &st) || st.st_dev != node->dev || st.st_ino != node->ino)
		return refuse(err, -ESTALE, mount, "replaced while it was opened; start again");
	return 0;
}

/* What the mapping's real name leads to, and whether it may be mapped: *st. */
static int look_at_source(const struct hostfs *host, const struct fileio_mount *mount,
	const char *path, int *fd, struct stat *st, struct err *err)
{
	int r;

	*fd = host->open_host(path, O_PATH | O_NOFOLLOW);
	r = *fd < 0 ? *fd : host->fstat(*fd, st);
	if (r)
		return refuse(err, r, mount, strerror(-r));
	r = check_fs(host, *fd, mount, err);
	if (!r && !S_ISDIR(st->st_mode) && !S_ISREG(st->st_mode))
		return refuse(err, -EINVAL, mount,
			"a fifo, socket or device; map a directory or a regular file");
	return r;
}

/* Where it may be had: paths then take a system call less. path as for hostfs->isolate. */
static void isolate(const struct hostfs *host, struct filemap_node *node, const char *path)
{
	int fd = host->isolate ? host->isolate(node->fd, path, node->writable) : -EOPNOTSUPP;

	if (fd < 0)
		return;
	host->close(node->fd);
	node->fd = fd;
	node->isolated = true;
}

static int open_source(const struct filemap *map, struct filemap_node *node,
	const struct fileio_mount *mount, struct err *err)
{
	const struct hostfs *host = map->host;
	autofree char *path = host->realpath(mount->host);
	struct stat st = { 0 };
	int fd, r;

	node->writable = mount->writable;
	node->may_unlink = mount->may_unlink;
	node->no_hardlinks = mount->no_hardlinks;
	node->how = mount->submounts ? HOSTFS_XDEV : 0;
	if (!path)
		return errno == ENOENT ? open_missing(host, node, mount, err)
				       : refuse(err, -errno, mount, strerror(errno));
	r = look_at_source(host, mount, path, &fd, &st, err);
	node->dev = st.st_dev;
	node->ino = st.st_ino;
	if (!r && S_ISDIR(st.st_mode)) {
		node->kind = FILEMAP_DIR;
		node->fd = fd;
		if (!mount->submounts)
			isolate(host, node, path);
		return 0;
	}
	if (fd >= 0)
		host->close(fd);
	if (r)
		return r;
	return mount->may_unlink ? open_named(host, node, mount, path, err)
				 : open_pinned(host, node, mount, path, err);
}

/* Takes fd, which may be an error. */
static int directory_node(
	const struct hostfs *host, struct filemap_node *node, int fd, struct err *err)
{
	struct stat st = { 0 };
	int r;

	node->kind = FILEMAP_DIR;
	node->fd = fd;
	r = fd < 0 ? fd : host->fstat(fd, &st);
	node->dev = st.st_dev;
	node->ino = st.st_ino;
	return r ? err_set(err, r, "file map: %s; %s", strerror(-r),
			   hint(r, "look at the scratch directory"))
		 : 0;
}

/* A directory in dir, made if missing. */
static int subdir(const struct hostfs *host, int dir, const char *name)
{
	int r = host->mkdir(dir, name, 0755);

	if (r && r != -EEXIST)
		return r;
	return host->open(dir, name, O_PATH | O_DIRECTORY, 0, 0);
}

/* A directory in the scratch tree outside what the guest sees as its root. */
static int private_node(struct filemap *map, struct filemap_node *node, const char *name,
	const char *scratch_parent, struct err *err)
{
	int r;

	if (map->scratch.dir < 0) {
		r = map->host->scratch_init(&map->scratch, scratch_parent, err);
		if (r)
			return r;
	}
	r = directory_node(map->host, node, subdir(map->host, map->scratch.dir, name), err);
	if (!r)
		isolate(map->host, node, NULL);
	return r;
}

/* Names are covered as they are written: mount(8) would have gone where the link leads. */
static void warn_of_link(const struct filemap *map, int i)
{
	char name[PATH_MAX] = "";
	size_t at = sizeof(name) - 1;

	for (; i != FILEMAP_ROOT && (size_t)map->tree.nodes[i].len < at;
		i = map->tree.nodes[i].parent) {
		at -= (size_t)map->tree.nodes[i].len;
		memcpy(name + at, map->tree.nodes[i].name, (size_t)map->tree.nodes[i].len);
		name[--at] = '/';
	}
	log_warn("mount: %s is a link in the mapping around it, and hidden: the guest finds a "
		 "directory there, with what is mapped beneath; to map it behind the link, name "
		 "where that leads",
		name + at);
}

/*
 * A directory that is there for the mappings beneath it: in scratch a real one, in a mapping the
 * host's if it has one, else an empty one that only reads.
 */
static int open_parent(struct filemap *map, int i, const char *scratch_parent, struct err *err)
{
	const struct filemap_branch *branch = &map->tree.nodes[i];
	const struct filemap_node *parent = &map->nodes[branch->parent];
	const struct hostfs *host = map->host;
	struct filemap_node *node = &map->nodes[i];
	char name[32];
	int fd;

	node->mount = parent->mount;
	node->writable = parent->writable;
	node->no_hardlinks = parent->no_hardlinks;
	node->how = parent->how;
	node->isolated = parent->isolated;
	node->scratch = parent->scratch;
	if (parent->scratch)
		return directory_node(host, node, subdir(host, parent->fd, branch->name), err);
	fd = filemap_shown(host, parent->how,
		host->open(parent->fd, branch->name, O_PATH | O_DIRECTORY, 0, parent->how));
	if (fd == -ELOOP)
		warn_of_link(map, i);
	if (fd >= 0)
		return directory_node(host, node, fd, err);
	node->mount = FILEMAP_NONE;
	node->isolated = node->writable = false;
	snprintf(name, sizeof(name), "parent-%d", i);
	return private_node(map, node, name, scratch_parent, err);
}

static void note_shadow(struct filemap *map, int i)
{
	const struct filemap_branch *branch = &map->tree.nodes[i];
	struct filemap_node *node = &map->nodes[i], *parent = &map->nodes[branch->parent];
	struct stat st;

	if (parent->scratch || map->host->stat(parent->fd, branch->name, HOSTFS_XDEV, &st))
		return;
	node->has_shadow = true;
	node->shadow_dev = st.st_dev;
	node->shadow_ino = st.st_ino;
	parent->n_shadows++;
}

static int open_root(struct filemap *map, const struct fileio_mount *mount,
	const char *scratch_parent, struct err *err)
{
	struct filemap_node *root = &map->nodes[FILEMAP_ROOT];
	int r;

	root->scratch = root->writable = !mount;
	r = mount ? open_source(map, root, mount, err)
		  : private_node(map, root, "root", scratch_parent, err);
	if (!r && root->kind != FILEMAP_DIR)
		r = refuse(err, -ENOTDIR, mount, "the root must be a directory");
	return r;
}

/* Parents have lower numbers than their children, so they are open already. */
static int open_node(struct filemap *map, int i, const struct fileio_mount *const *by_node,
	const char *scratch_parent, struct err *err)
{
	const struct filemap_branch *nodes = map->tree.nodes;
	int mapped = i;

	if (i == FILEMAP_ROOT)
		return open_root(map, by_node[i], scratch_parent, err);
	if (map->nodes[nodes[i].parent].kind != FILEMAP_DIR) {
		while (!by_node[mapped]) /* a parent: it is there for some mapping */
			mapped = nodes[mapped].first_child;
		return refuse(err, -ENOTDIR, by_node[mapped],
			"lies beneath a mapped file; choose another guest path");
	}
	note_shadow(map, i);
	return by_node[i] ? open_source(map, &map->nodes[i], by_node[i], err)
			  : open_parent(map, i, scratch_parent, err);
}

static int add_mount(struct filemap *map, const struct fileio_mount *mount, struct err *err)
{
	int node = filemap_tree_add_path(&map->tree, mount->guest);

	if (node == -EINVAL)
		return refuse(err, node, mount,
			mount->guest[0] == '/' ? "the guest path has a `..`; write it without"
					       : "the guest path must begin with /");
	if (node == -ENAMETOOLONG)
		return refuse(
			err, node, mount, "a name in the guest path is longer than 255 bytes");
	if (node >= 0 && mount->may_unlink && !mount->writable)
		return refuse(err, -EINVAL, mount, "unlink needs rw; say rw,unlink");
	return node;
}

/* Mounts by node: every guest path once. */
static int place_mounts(struct filemap *map, const struct fileio_mount *mounts, size_t n_mounts,
	const struct fileio_mount ***by_node, struct err *err)
{
	autofree int *nodes = calloc(n_mounts + 1, sizeof(*nodes));
	size_t n;

	if (!nodes)
		return -ENOMEM;
	for (size_t i = 0; i < n_mounts; i++) {
		nodes[i] = add_mount(map, &mounts[i], err);
		if (nodes[i] < 0)
			return nodes[i];
	}
	n = (size_t)map->tree.n_nodes;
	map->nodes = calloc(n, sizeof(*map->nodes));
	*by_node = calloc(n, sizeof(**by_node));
	if (!map->nodes || !*by_node)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		map->nodes[i].fd = map->nodes[i].mount = -1;
	for (size_t i = 0; i < n_mounts; i++) {
		if ((*by_node)[nodes[i]])
			return err_set(err, -EEXIST,
				"mount %s:%s: %s is mapped there; choose another guest path",
				mounts[i].host, mounts[i].guest, (*by_node)[nodes[i]]->host);
		(*by_node)[nodes[i]] = &mounts[i];
		map->nodes[nodes[i]].mount = (int)i;
	}
	return 0;
}

/* The steps of a walk, made a name without links: "" is the root. */
struct real_name {
	struct filemap_watch watch;
	char text[PATH_MAX];
	size_t len;
	bool full;
};

static void note_step(struct filemap_watch *watch, const struct filemap_step *step)
{
	struct real_name *real = (struct real_name *)watch;
	bool down = step->kind == FILEMAP_STEP_MOUNT || step->kind == FILEMAP_STEP_DOWN;

	if (step->kind == FILEMAP_STEP_UP)
		while (real->len && real->text[--real->len] != '/')
			;
	if (step->kind == FILEMAP_STEP_LINK && step->text.text[0] == '/')
		real->len = 0;
	real->full |= down && step->name.len >= sizeof(real->text) - 1 - real->len;
	if (down && !real->full) {
		real->text[real->len++] = '/';
		memcpy(real->text + real->len, step->name.text, step->name.len);
		real->len += step->name.len;
	}
	real->text[real->len] = 0;
}

/* Links are followed now, as by chdir(2): what is kept is the real name, and looked at once more. */
static int find_cwd(
	struct filemap *map, const char *cwd, struct real_name *real, struct filemap_place *place)
{
	int r;

	*real = (struct real_name){ .watch.step = note_step };
	map->watch = &real->watch;
	r = filemap_resolve(map, cwd, FILEMAP_FOLLOW, place);
	map->watch = NULL;
	filemap_leave(map, place, false);
	if (r || real->full)
		return r ? r : -ENAMETOOLONG;
	return filemap_resolve(map, real->len ? real->text : "/", 0, place);
}

static int set_cwd(struct filemap *map, const char *cwd, struct err *err)
{
	struct filemap_place place;
	struct real_name real;
	struct filemap_name name;
	const char *at = cwd;
	bool directory;
	int r;

	if (cwd[0] != '/' || strlen(cwd) >= PATH_MAX - 2)
		return err_set(err, -EINVAL, "cwd %s: must begin with / and be a path", cwd);
	while (filemap_path_next(&at, &name)) {
		if (filemap_name_is_dotdot(name))
			return err_set(err, -EINVAL, "cwd %s: has a `..`; write it without", cwd);
	}
	r = find_cwd(map, cwd, &real, &place);
	if (!r && place.kind == FILEMAP_NAME && !place.exists)
		r = -ENOENT;
	directory =
		!r && (place.kind == FILEMAP_DIR || (place.kind == FILEMAP_NAME && place.exists &&
							    S_ISDIR(place.st.st_mode)));
	filemap_leave(map, &place, false);
	if (!directory)
		return err_set(err, r ? r : -ENOTDIR,
			"cwd %s: no such directory in the guest's tree; map one there", cwd);
	if (asprintf(&map->cwd, "%s/", real.text) < 0) {
		map->cwd = NULL;
		return -ENOMEM;
	}
	map->cwd_len = strlen(map->cwd);
	return 0;
}

int filemap_init(struct filemap *map, const struct filemap_config *config, struct err *err)
{
	autofree const struct fileio_mount **by_node = NULL;
	int r;

	memset(map, 0, sizeof(*map));
	map->scratch.dir = -1;
	map->host = config->host ? config->host : hostfs_best();
	log_debug("files: resolved by %s", map->host->name);
	r = config->host ? hostfs_probe(config->host) : 0;
	if (r)
		return err_set(err, r, "resolver %s does not work here: %s; choose auto or walk",
			config->host->name, strerror(-r));
	map->inodes_left = config->inodes;
	map->max_depth = config->depth;
	r = filemap_tree_init(&map->tree);
	if (!r)
		r = place_mounts(map, config->mounts, config->n_mounts, &by_node, err);
	for (int i = 0; !r && i < map->tree.n_nodes; i++)
		r = open_node(map, i, by_node, config->scratch_parent, err);
	if (!r)
		r = set_cwd(map, config->cwd ? config->cwd : "/", err);
	if (r)
		filemap_finish(map);
	return r;
}

void filemap_finish(struct filemap *map)
{
	if (!map->tree.nodes)
		return;
	for (int i = 0; map->nodes && i < map->tree.n_nodes; i++) {
		if (map->nodes[i].fd >= 0)
			map->host->close(map->nodes[i].fd);
		free(map->nodes[i].host_name);
	}
	free(map->nodes);
	free(map->cwd);
	filemap_tree_finish(&map->tree);
	map->host->scratch_finish(&map->scratch);
	map->nodes = NULL;
	map->cwd = NULL;
}
