// SPDX-License-Identifier: ISC
/* A golden's beginnings: names for mounts, and copies of what lies there. */
#include "golden_new.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "err.h"
#include "golden.h"
#include "log.h"
#include "options.h"
#include "session.h"
#include "tree.h"

enum { PIECE = 65536, DEPTH = 16 };

static int no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "out of memory");
}

static bool name_taken(const struct trace_header *h, const char *name)
{
	for (size_t i = 0; i < h->n_mounts; i++)
		if (!strcmp(h->mounts[i].host, name))
			return true;
	return false;
}

/* "data" for /srv/data, "root" for /, "data-2" when there is one already. */
static char *name_mount(const struct trace_header *h, const char *guest)
{
	autofree char *path = strdup(guest);
	size_t len = path ? strlen(path) : 0;
	const char *last;
	char *name;

	if (!path)
		return NULL;
	while (len && path[len - 1] == '/')
		path[--len] = 0;
	last = strrchr(path, '/');
	last = last ? last + 1 : path;
	/* What git or a reader of the text would trip over. */
	if (!last[0] || !strcmp(last, ".") || !strcmp(last, "..") || !strcasecmp(last, ".git"))
		last = "root";
	name = strdup(last);
	for (int n = 2; name && name_taken(h, name); n++) {
		free(name);
		if (asprintf(&name, "%s-%d", last, n) < 0)
			return NULL;
	}
	return name;
}

static int add_mount(struct trace_header *h, const struct fileio_mount *from)
{
	struct trace_mount *to = &h->mounts[h->n_mounts];
	struct stat st;

	*to = (struct trace_mount){
		.host = name_mount(h, from->guest),
		.guest = strdup(from->guest),
		.writable = from->writable,
		.may_unlink = from->may_unlink,
		.no_hardlinks = from->no_hardlinks,
		.is_file = stat(from->host, &st) || !S_ISDIR(st.st_mode),
	};
	h->n_mounts++;
	return to->host && to->guest ? 0 : -ENOMEM;
}

static int add_strings(struct strings *to, const struct strings *from, struct err *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < from->n; i++)
		r = strings_add(to, from->list[i], err);
	return r;
}

int golden_new_header(struct trace_header *header, const struct vm_options *vm, char **words,
	size_t n_words, struct err *err)
{
	const char *slash = strrchr(words[0], '/');
	size_t skip = n_words > 1 && !strcmp(words[1], "--") ? 2 : 1;
	int r;

	*header = (struct trace_header){
		.version = TRACE_VERSION,
		.mem_size = vm->mem_size,
		.boot_time_ns = SESSION_CLOCK_NS,
		.cwd = strdup(vm->cwd),
		.limits = vm->limits,
		.utf8_paths = vm->utf8_paths,
		.mounts = calloc(vm->n_mounts + 1, sizeof(*header->mounts)),
	};
	r = header->cwd && header->mounts ? 0 : no_memory(err);
	if (!r)
		r = strings_add(&header->argv, slash ? slash + 1 : words[0], err);
	for (size_t i = skip; !r && i < n_words; i++)
		r = strings_add(&header->argv, words[i], err);
	if (!r)
		r = add_strings(&header->env, &vm->env, err);
	if (!r)
		r = add_strings(&header->kernel_args, &vm->kernel_args, err);
	for (size_t i = 0; !r && i < vm->n_mounts; i++)
		if (add_mount(header, &vm->mounts[i]))
			r = no_memory(err);
	if (r)
		trace_header_finish(header);
	return r;
}

static int copy_bytes(int from, int to)
{
	char piece[PIECE];
	ssize_t n;

	while ((n = TEMP_FAILURE_RETRY(read(from, piece, sizeof(piece)))) > 0)
		for (ssize_t at = 0, m; at < n; at += m) {
			m = TEMP_FAILURE_RETRY(write(to, piece + at, (size_t)(n - at)));
			if (m < 0)
				return -errno;
		}
	return n < 0 ? -errno : 0;
}

static int copy_file(const char *from, const char *to, mode_t mode)
{
	autoclose int in = open(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	autoclose int out = -1;

	if (in < 0)
		return -errno;
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & S_IXUSR ? 0777 : 0666);
	return out < 0 ? -errno : copy_bytes(in, out);
}

static int copy_entry(
	const struct tree_entry *entry, const char *from, const char *to, struct err *err)
{
	int r = -EINVAL;

	if (entry->kind == TREE_DIR)
		r = mkdir(to, 0777) ? -errno : 0;
	else if (entry->kind == TREE_LINK)
		r = symlink((const char *)entry->target, to) ? -errno : 0;
	else if (entry->kind == TREE_FILE)
		r = copy_file(from, to, entry->mode);
	else
		return err_set(err, r,
			"%s: a golden keeps files, directories and links, for git keeps nothing "
			"else",
			from);
	return r ? err_set(err, r, "%s: cannot be copied to %s: %s", from, to, strerror(-r)) : 0;
}

static bool lies_in(const struct tree_entry *entry, const struct tree_entry *dir)
{
	return !dir->path_len ||
	       (entry->path_len > dir->path_len && entry->path[dir->path_len] == '/' &&
		       !memcmp(entry->path, dir->path, dir->path_len));
}

/* git keeps no directory for its own sake: what a checkout would lack, no golden may depend on. */
static bool git_keeps(const struct tree *tree, size_t i)
{
	const struct tree_entry *entry = &tree->entries[i];

	if (entry->kind != TREE_DIR)
		return true;
	for (size_t k = i + 1; k < tree->n; k++)
		if (tree->entries[k].kind != TREE_DIR && lies_in(&tree->entries[k], entry))
			return true;
	return false;
}

static int copy_tree(const char *dir, const struct trace_mount *mount, const char *host,
	const struct tree *tree, struct err *err)
{
	int r = 0;

	if (tree->n && git_keeps(tree, 0) && mkdir(dir, 0777) && errno != EEXIST)
		return err_set(err, -errno, "%s: %m", dir);
	for (size_t i = 0; !r && i < tree->n; i++) {
		const struct tree_entry *e = &tree->entries[i];
		const char *slash = e->path_len ? "/" : "", *path = (const char *)e->path;
		autofree char *from = NULL, *to = NULL;

		if (asprintf(&from, "%s%s%.*s", host, slash, (int)e->path_len, path) < 0 ||
			asprintf(&to, "%s/%s%s%.*s", dir, mount->host, slash, (int)e->path_len,
				path) < 0)
			return no_memory(err);
		if (e->same)
			log_warn("%s: another name of %s%s%s, which git does not keep: a file of "
				 "its own "
				 "in the golden",
				from, host, tree->entries[e->same - 1].path_len ? "/" : "",
				(const char *)tree->entries[e->same - 1].path);
		if (git_keeps(tree, i))
			r = copy_entry(e, from, to, err);
		else if (e->path_len) /* a mount is made again */
			log_warn("%s: an empty directory, which git does not keep: left out", from);
	}
	return r;
}

static int copy_mount(
	const char *dir, const struct trace_mount *mount, const char *host, struct err *err)
{
	autofree char *real = realpath(host, NULL);
	struct trace_mount source = *mount;
	struct tree tree = { 0 };
	int r;

	if (!real)
		return errno == ENOENT && mount->is_file && mount->writable
			       ? 0
			       : err_set(err, -errno, "--mount %s: %m", host);
	source.host = real;
	r = tree_look(&tree, &source, 1, 0, err);
	if (!r)
		r = copy_tree(dir, mount, real, &tree, err);
	tree_finish(&tree);
	return r;
}

int golden_new_tree(const char *dir, const struct trace_header *header, const struct vm_options *vm,
	struct err *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < header->n_mounts; i++)
		r = copy_mount(dir, &header->mounts[i], vm->mounts[i].host, err);
	return r;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

void golden_remove_tree(const char *dir)
{
	nftw(dir, remove_one, DEPTH, FTW_DEPTH | FTW_PHYS);
}

/* A golden's name begins with a letter or digit. */
#define MAKING ".new-"

char *golden_new_name(const char *name)
{
	char *made;

	return asprintf(&made, MAKING "%d-%s", (int)getpid(), name) < 0 ? NULL : made;
}

const char *golden_new_shown(const char *name)
{
	if (strncmp(name, MAKING, strlen(MAKING)) != 0)
		return name;
	name += strlen(MAKING);
	name += strspn(name, "0123456789");
	return name + (*name == '-');
}

/* Was it made by a process that is no more? */
static bool is_left_behind(const char *file)
{
	char *end;
	long pid;

	if (strncmp(file, MAKING, strlen(MAKING)) != 0)
		return false;
	pid = strtol(file + strlen(MAKING), &end, 10);
	return pid > 0 && pid <= INT_MAX && *end == '-' && kill((pid_t)pid, 0) && errno == ESRCH;
}

void golden_new_sweep(const char *dir)
{
	DIR *stream = opendir(dir);
	struct dirent *entry;

	while (stream && (entry = readdir(stream))) {
		autofree char *path = NULL;

		if (is_left_behind(entry->d_name))
			path = golden_path(dir, entry->d_name, "");
		if (path)
			golden_remove_tree(path);
	}
	if (stream)
		closedir(stream);
}
