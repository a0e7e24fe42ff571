// SPDX-License-Identifier: ISC
/* Guest paths looked at: the steps, the place, the answer, and why. */
#include "resolve.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "escape.h"
#include "fileio.h"
#include "filemap.h"
#include "hostfs_dry.h"
#include "json.h"
#include "names.h"

enum { HOST_MAX = RESOLVE_NAME_MAX };

static const struct op {
	const char *name;
	int flags; /* with which the guest would open it; -1: it would not */
	unsigned int want;
} ops[RESOLVE_OP_COUNT] = {
	[RESOLVE_OPEN] = { "open", O_RDONLY, 0 },
	[RESOLVE_CREATE] = { "create", O_WRONLY | O_CREAT, 0 },
	[RESOLVE_STAT] = { "stat", -1, FILEMAP_FOLLOW },
	[RESOLVE_LSTAT] = { "lstat", -1, 0 },
	[RESOLVE_READDIR] = { "readdir", O_RDONLY | O_DIRECTORY, 0 },
	[RESOLVE_MKDIR] = { "mkdir", -1, FILEMAP_PARENT | FILEMAP_MKDIR },
	[RESOLVE_UNLINK] = { "unlink", -1, FILEMAP_PARENT },
};

/* What an errno means here: the first row that fits. */
static const struct reason {
	int r;
	const char *text;
} reasons[] = {
	{ ENOENT, "nothing of that name there, as the guest sees it" },
	{ EROFS, "it lies in a mapping that is ro" },
	{ EEXIST, "it is there already" },
	{ EBUSY, "it is a mapping itself; map it with rw,unlink to let the guest remove it" },
	{ ENXIO, "a fifo, socket or device: never opened" },
	{ EISDIR, "a directory; or a slash behind what is to be made" },
	{ ENOTDIR, "not a directory, or something on the way is none" },
	{ ELOOP, "a link that is not to be followed, or more than 40 of them" },
	{ ENAMETOOLONG, "a name of more than 255 bytes, or a path of more than 4095" },
	{ EINVAL, "flags that no guest may use, or a path that is not UTF-8" },
	{ EOPNOTSUPP, "O_TMPFILE is not offered" },
	{ EMFILE, "the guest's descriptors are used up, or this process's own (ulimit -n)" },
	{ ENOSPC, "scratch is full" },
	{ EDQUOT, "deeper than --limit depth allows" },
	{ EACCES, "the host's file modes say no; or another mount of the host's begins there, or a "
		  "file of several names is not to be opened" },
	{ EPERM, "the host says no" },
	{ EIO, "the host could not do it, or another process holds a lease on it" },
};

static const char *reason_of(int r)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].r == -r)
			return reasons[i].text;
	return strerrordesc_np(-r);
}

int resolve_parse_op(struct resolve *r, const char *text, struct err *err)
{
	size_t len = strcspn(text, ",");
	const char *at = text + len;
	bool has_access = false, is_access;
	uint64_t flag;

	for (r->op = 0; r->op < RESOLVE_OP_COUNT; r->op++)
		if (strlen(ops[r->op].name) == len && !memcmp(ops[r->op].name, text, len))
			break;
	if (r->op == RESOLVE_OP_COUNT)
		return err_set(err, -EINVAL,
			"no such operation; one of open, create, stat, lstat, readdir, mkdir, "
			"unlink");
	r->flags = ops[r->op].flags;
	if (*at && r->flags < 0)
		return err_set(err, -EINVAL, "%s takes no flags", ops[r->op].name);
	while (*at) {
		at++;
		len = strcspn(at, "+");
		is_access = name_find_short(&names_access, at, len, &flag);
		if (!is_access && !name_find_short(&names_open_flags, at, len, &flag))
			return err_set(err, -EINVAL,
				"%.*s: no such flag; such as rdonly, wronly, rdwr, creat, excl, "
				"trunc, append, directory, nofollow, joined by +",
				(int)len, at);
		if (is_access && has_access)
			return err_set(err, -EINVAL,
				"%.*s: an access mode was named already; one of rdonly, wronly, "
				"rdwr",
				(int)len, at);
		if (is_access)
			r->flags &= ~O_ACCMODE;
		has_access |= is_access;
		r->flags |= (int)flag;
		at += len;
	}
	return 0;
}

int resolve_begin(struct resolve *r)
{
	return fileio_look_begin(r->files, hostfs_dry(fileio_map(r->files)->host));
}

void resolve_end(struct resolve *r)
{
	fileio_look_end(r->files);
}

static void put_quoted(FILE *out, const char *bytes, size_t len)
{
	char text[4];

	putc('"', out);
	for (size_t i = 0; i < len; i++)
		fwrite(text, 1, escape_byte(text, (uint8_t)bytes[i], true), out);
	putc('"', out);
}

/* The host's name of a held directory or file; "" when it has none any more. */
static void name_of_fd(int fd, char buf[HOST_MAX])
{
	char link[40];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, buf, PATH_MAX - 1);
	buf[n < 0 ? 0 : n] = 0;
}

/* Tells views of the host's directories apart, in which names begin at the view. 0: nobody knows. */
static uint64_t view_of_fd(int fd)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) || !(st.stx_mask & STATX_MNT_ID))
		return 0;
	return st.stx_mnt_id;
}

struct names_out {
	char *host, *guest;
};

/* rest begins with a slash or is empty. */
static void put_names(struct names_out out, const char *host, const char *guest, const char *rest)
{
	char text[RESOLVE_NAME_MAX];
	size_t len = strlen(host);

	while (len && host[len - 1] == '/' && *rest)
		len--;
	snprintf(text, sizeof(text), "%.*s%s", (int)len, host, rest);
	strcpy(out.host, text);
	len = strlen(guest);
	while (len && guest[len - 1] == '/')
		len--;
	if (out.guest)
		snprintf(out.guest, RESOLVE_NAME_MAX, "%.*s%s", (int)len, guest,
			*rest || len ? rest : "/");
}

/* In a view: text begins at the mapping, or at the guest's scratch root. */
static bool name_in_view(const struct filemap *map, const struct fileio_mount *mounts, int fd,
	const char *text, struct names_out out)
{
	uint64_t view = view_of_fd(fd);
	const char *rest = strcmp(text, "/") ? text : "";

	for (int i = 0; view && i < map->tree.n_nodes; i++) {
		const struct filemap_node *node = &map->nodes[i];
		char real[PATH_MAX];

		if (!node->isolated || view_of_fd(node->fd) != view)
			continue;
		if (node->mount == FILEMAP_NONE)
			put_names(out, "(scratch)", "", rest);
		else
			put_names(out,
				realpath(mounts[node->mount].host, real) ? real
									 : mounts[node->mount].host,
				mounts[node->mount].guest, rest);
		return true;
	}
	return false;
}

/* The host's name of a node; "" when it has none. */
static void name_of_node(const struct filemap_node *node, char buf[HOST_MAX])
{
	size_t len;

	name_of_fd(node->fd, buf);
	len = strlen(buf);
	if (node->kind == FILEMAP_NAME && len)
		snprintf(buf + len, HOST_MAX - len, "/%s", node->host_name);
}

/* A node within a mapping has its mount, too. */
static bool begins_mount(const struct filemap *map, int i)
{
	return i == FILEMAP_ROOT ||
	       map->nodes[map->tree.nodes[i].parent].mount != map->nodes[i].mount;
}

/* The deepest mapping whose host's name text begins with. */
static void name_in_mounts(const struct filemap *map, const struct fileio_mount *mounts,
	const char *text, struct names_out out)
{
	char name[HOST_MAX];
	const char *rest;
	size_t best = 0;

	strcpy(out.host, text);
	if (out.guest)
		out.guest[0] = 0;
	for (int i = 0; i < map->tree.n_nodes; i++) {
		const struct filemap_node *node = &map->nodes[i];

		if (node->mount == FILEMAP_NONE || node->isolated || node->fd < 0)
			continue;
		name_of_node(node, name);
		rest = filemap_path_behind(text, name);
		if (!rest || strlen(name) < best || !begins_mount(map, i))
			continue;
		best = strlen(name);
		put_names(out, name, mounts[node->mount].guest, rest);
	}
}

void resolve_name_fd(const struct filemap *map, const struct fileio_mount *mounts, int fd,
	char host[RESOLVE_NAME_MAX], char guest[RESOLVE_NAME_MAX])
{
	struct names_out out = { host, guest };
	char text[HOST_MAX], scratch[HOST_MAX] = "";
	const char *rest;

	name_of_fd(fd, text);
	if (text[0] && name_in_view(map, mounts, fd, text, out))
		return;
	if (map->scratch.dir >= 0)
		name_of_fd(map->scratch.dir, scratch);
	rest = filemap_path_behind(text, scratch);
	if (rest && *rest) /* the guest's root is a directory in there */
		return put_names(out, "(scratch)", "", rest + 1 + strcspn(rest + 1, "/"));
	name_in_mounts(map, mounts, text, out);
}

/* Where the place is on the host, parents that would be made included. */
static void name_place(const struct resolve *r, const struct filemap *map,
	const struct filemap_place *place, char buf[HOST_MAX])
{
	const char *rest = place->kind == FILEMAP_NAME ? place->name : NULL;
	size_t len;

	if (place->made) {
		resolve_name_fd(map, r->mounts, map->nodes[place->made_in].fd, buf, NULL);
		rest = place->made_text;
	} else {
		resolve_name_fd(map, r->mounts, place->dir, buf, NULL);
	}
	len = strlen(buf);
	if (rest && len) /* without /proc nobody knows */
		snprintf(buf + len, HOST_MAX - len, "%s%s", len && buf[len - 1] == '/' ? "" : "/",
			rest);
}

struct teller {
	struct filemap_watch watch;
	struct resolve *r;
	bool any;
	/* Where the walk ended, until it is known whether that is made. */
	struct filemap_step error;
	char name[FILEMAP_NAME_MAX + 1];
};

static const char *const step_names[] = { "start", "mount", "name", "up", "link", "error" };
static_assert(sizeof(step_names) / sizeof(step_names[0]) == FILEMAP_STEP_COUNT, "one each");

static const struct fileio_mount *mount_of(const struct resolve *r, int node)
{
	int i = fileio_map(r->files)->nodes[node].mount;

	return i == FILEMAP_NONE ? NULL : &r->mounts[i];
}

static void put_rights(const struct resolve *r, int node)
{
	const struct fileio_mount *mount = mount_of(r, node);
	bool writable = fileio_map(r->files)->nodes[node].writable;

	if (mount) {
		fprintf(r->out, "%s, mount ", writable ? "rw" : "ro");
		put_quoted(r->out, mount->host, strlen(mount->host));
		fputs(" at ", r->out);
		put_quoted(r->out, mount->guest, strlen(mount->guest));
	} else {
		fprintf(r->out, "%s, scratch", writable ? "rw" : "ro");
	}
}

static void tell_text(const struct resolve *r, const char *kind, const struct filemap_step *step)
{
	fprintf(r->out, "    %-6s ", kind);
	put_quoted(r->out, step->name.len ? step->name.text : "/",
		step->name.len ? step->name.len : 1);
	if (step->kind == FILEMAP_STEP_LINK) {
		fputs(" -> ", r->out);
		put_quoted(r->out, step->text.text, step->text.len);
	}
	if (step->kind == FILEMAP_STEP_ERROR) {
		fprintf(r->out, "  %s", strerrorname_np(-step->r));
	} else {
		fputs("  ", r->out);
		put_rights(r, step->in);
	}
	putc('\n', r->out);
}

static void json_mount(const struct resolve *r, int node)
{
	const struct fileio_mount *mount = mount_of(r, node);

	fprintf(r->out, ",\"rights\":\"%s\",\"mount\":",
		fileio_map(r->files)->nodes[node].writable ? "rw" : "ro");
	if (!mount) {
		fputs("null", r->out);
		return;
	}
	fputs("{\"host\":", r->out);
	json_put_text(r->out, mount->host);
	fputs(",\"guest\":", r->out);
	json_put_text(r->out, mount->guest);
	putc('}', r->out);
}

static void tell_json(
	const struct resolve *r, const char *kind, const struct filemap_step *step, bool first)
{
	fprintf(r->out, "%s{\"step\":\"%s\",\"name\":", first ? "" : ",", kind);
	json_put_bytes(r->out, step->name.len ? step->name.text : "/",
		step->name.len ? step->name.len : 1);
	if (step->kind == FILEMAP_STEP_LINK) {
		fputs(",\"target\":", r->out);
		json_put_bytes(r->out, step->text.text, step->text.len);
	}
	if (step->kind == FILEMAP_STEP_ERROR)
		fprintf(r->out, ",\"errno\":\"%s\"", strerrorname_np(-step->r));
	json_mount(r, step->in);
	putc('}', r->out);
}

static void tell_as(struct teller *teller, const char *kind, const struct filemap_step *step)
{
	if (teller->r->json)
		tell_json(teller->r, kind, step, !teller->any);
	else
		tell_text(teller->r, kind, step);
	teller->any = true;
}

static void tell(struct filemap_watch *watch, const struct filemap_step *step)
{
	struct teller *teller = (struct teller *)watch;

	if (step->kind != FILEMAP_STEP_ERROR) {
		tell_as(teller, step_names[step->kind], step);
		return;
	}
	teller->error = *step;
	teller->error.name.text = memcpy(teller->name, step->name.text, step->name.len);
}

/* From where the walk ended on: parents that would be made, and the last name in them. */
static void tell_made(struct teller *teller, const struct filemap_place *place)
{
	struct filemap_step step = { .kind = FILEMAP_STEP_DOWN, .in = place->in };
	const char *at = place->made_text;
	int there = -place->made;

	while (filemap_path_next(&at, &step.name))
		there += step.name.text < place->made_end && !filemap_name_is_dot(step.name);
	at = place->made_text;
	while (filemap_path_next(&at, &step.name)) {
		if (filemap_name_is_dot(step.name) || there-- > 0)
			continue;
		tell_as(teller, step.name.text < place->made_end ? "make" : "name", &step);
	}
}

/* What the operation would give the guest. */
static int answer(struct resolve *r, const char *path)
{
	struct filemap *map = fileio_map(r->files);
	uint64_t inodes = map->inodes_left;
	struct stat st;
	int result;

	hostfs_dry_forget();
	if (ops[r->op].flags >= 0) {
		result = fileio_open(r->files, path, r->flags, 0666);
		if (result >= 0)
			fileio_close(r->files, result);
	} else if (r->op == RESOLVE_MKDIR) {
		result = fileio_mkdir(r->files, path, 0777);
	} else if (r->op == RESOLVE_UNLINK) {
		result = fileio_unlink(r->files, path);
	} else {
		result = fileio_stat(r->files, path, r->op == RESOLVE_STAT, &st);
	}
	map->inodes_left = inodes;
	return result < 0 ? result : 0;
}

static unsigned int want_of(const struct resolve *r)
{
	return ops[r->op].flags >= 0 ? fileio_open_want(r->flags) : ops[r->op].want;
}

/* By the S_IFMT bits. */
static const char *const kinds[16] = {
	[S_IFIFO >> 12] = "fifo",
	[S_IFCHR >> 12] = "character device",
	[S_IFDIR >> 12] = "directory",
	[S_IFBLK >> 12] = "block device",
	[S_IFREG >> 12] = "file",
	[S_IFLNK >> 12] = "link",
	[S_IFSOCK >> 12] = "socket",
};

/* NULL: there is nothing. */
static const char *kind_of(const struct filemap *map, struct filemap_place *place)
{
	if (place->kind == FILEMAP_DIR)
		return "directory";
	if (place->kind == FILEMAP_PINNED)
		return "file";
	if (place->made || (!place->exists && (filemap_look(map, place) || !place->exists)))
		return NULL;
	return kinds[place->st.st_mode >> 12 & 15];
}

struct found {
	char host[HOST_MAX];
	const char *kind;
	int in;
	int made; /* parents that would be made */
};

/* 0 with *found, or -errno: the path leads nowhere. */
static int find(struct resolve *r, const char *path, struct found *found)
{
	struct filemap *map = fileio_map(r->files);
	struct teller teller = { .watch.step = tell, .r = r };
	struct filemap_place place;
	int result;

	hostfs_dry_forget();
	map->watch = r->explain ? &teller.watch : NULL;
	result = filemap_resolve(map, path, want_of(r), &place);
	map->watch = NULL;
	teller.error.r = result;
	if (result && teller.error.name.text)
		tell_as(&teller, step_names[FILEMAP_STEP_ERROR], &teller.error);
	if (result)
		return result;
	if (r->explain && place.made)
		tell_made(&teller, &place);
	name_place(r, map, &place, found->host);
	found->kind = kind_of(map, &place);
	found->in = place.in;
	found->made = place.made;
	filemap_leave(map, &place, true);
	return 0;
}

static void report_text(const struct resolve *r, const struct found *found, int place, int result)
{
	if (!place) {
		fputs(r->explain ? "    at     " : ": ", r->out);
		if (found->host[0])
			put_quoted(r->out, found->host, strlen(found->host));
		else
			fputs("(no name: is there no /proc?)", r->out);
		fprintf(r->out, ", %s, ", found->kind ? found->kind : "nothing there");
		put_rights(r, found->in);
		if (found->made)
			fprintf(r->out, ", %d parent%s would be made", found->made,
				found->made == 1 ? "" : "s");
	}
	if (r->explain && !place)
		putc('\n', r->out);
	fputs(r->explain ? "    gives  " : ": ", r->out);
	if (result)
		fprintf(r->out, "%s: %s\n", strerrorname_np(-result), reason_of(result));
	else
		fputs("ok\n", r->out);
}

static void put_flags(const struct resolve *r)
{
	static const char *const access[] = { "rdonly", "wronly", "rdwr", "accmode" };
	uint64_t left = (uint64_t)(unsigned int)r->flags & ~(uint64_t)O_ACCMODE;
	char text[NAME_SHORT_MAX];

	fputs(access[r->flags & O_ACCMODE], r->out);
	for (size_t i = 0; i < names_open_flags.n; i++) {
		uint64_t mask = names_open_flags.rows[i].value;

		if ((left & mask) != mask || !name_short(&names_open_flags, mask, text))
			continue;
		fprintf(r->out, "+%s", text);
		left &= ~mask;
	}
}

static void report_json(const struct resolve *r, const struct found *found, int place, int result)
{
	fputs(",\"host\":", r->out);
	if (!place && found->host[0])
		json_put_text(r->out, found->host);
	else
		fputs("null", r->out);
	if (place) {
		fputs(",\"kind\":null,\"rights\":null,\"mount\":null,\"parents_to_make\":0",
			r->out);
	} else {
		fprintf(r->out, ",\"kind\":%s%s%s", found->kind ? "\"" : "",
			found->kind ? found->kind : "null", found->kind ? "\"" : "");
		json_mount(r, found->in);
		fprintf(r->out, ",\"parents_to_make\":%d", found->made);
	}
	if (result) {
		fprintf(r->out, ",\"errno\":\"%s\",\"why\":", strerrorname_np(-result));
		json_put_text(r->out, reason_of(result));
	} else {
		fputs(",\"errno\":null,\"why\":null", r->out);
	}
	fputs("}\n", r->out);
}

static void report_head(const struct resolve *r, const char *path)
{
	if (r->json) {
		fputs("{\"path\":", r->out);
		json_put_text(r->out, path);
		fprintf(r->out, ",\"op\":\"%s\"", ops[r->op].name);
		if (ops[r->op].flags >= 0) {
			fputs(",\"flags\":\"", r->out);
			put_flags(r);
			putc('"', r->out);
		}
		return;
	}
	fprintf(r->out, "%s ", ops[r->op].name);
	put_quoted(r->out, path, strlen(path));
	if (ops[r->op].flags >= 0) {
		putc(' ', r->out);
		put_flags(r);
	}
	if (r->explain)
		putc('\n', r->out);
}

int resolve_path(struct resolve *r, const char *path)
{
	struct found found;
	int place, result;

	report_head(r, path);
	if (r->explain && r->json)
		fputs(",\"steps\":[", r->out);
	place = find(r, path, &found);
	if (r->explain && r->json)
		putc(']', r->out);
	result = answer(r, path);
	if (r->json)
		report_json(r, &found, place, result);
	else
		report_text(r, &found, place, result);
	return result;
}
