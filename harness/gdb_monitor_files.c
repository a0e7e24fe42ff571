// SPDX-License-Identifier: ISC
/* `monitor`, files: what the guest has open, what is mapped, where a path would lead it. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "err.h"
#include "fileio.h"
#include "filemap.h"
#include "gdb_monitor.h"
#include "gdb_vm.h"
#include "guestfd.h"
#include "hostfs.h"
#include "resolve.h"
#include "session.h"

static struct fileio *files_of(struct gdb_vm *g, FILE *out)
{
	if (!g->session->files)
		fputs("this guest has no files: a recording answers it\n", out);
	return g->session->files;
}

/* ---- descriptors ---- */

static void put_rights(FILE *out, const struct guestfd *f)
{
	char text[5] = "";

	strcat(text, f->readable ? "r" : "-");
	strcat(text, f->writable ? "w" : "-");
	strcat(text, f->rwf ? "+" : "");
	fprintf(out, "%-6s  ", text);
}

static void put_fd(const struct gdb_vm *g, int fd, const struct guestfd *f, FILE *out)
{
	static const char *const kinds[GUESTFD_KIND_COUNT] = { "console", "file", "dir" };
	char host[RESOLVE_NAME_MAX], guest[RESOLVE_NAME_MAX];

	fprintf(out, "%4d  %-7s  ", fd, kinds[f->kind]);
	put_rights(out, f);
	if (f->kind == GUESTFD_CONSOLE) {
		fprintf(out, "%12s  ", "-");
		if (f->host < 0)
			fputs("nowhere\n", out);
		else
			fprintf(out, "descriptor %d of belljar\n", f->host);
		return;
	}
	resolve_name_fd(
		fileio_map(g->session->files), g->session->options.mounts, f->host, host, guest);
	fprintf(out, "%12" PRId64 "  ", f->offset + f->skip);
	if (guest[0])
		gdb_monitor_quote(out, guest);
	else
		fputs("?", out);
	fputs("  ", out);
	gdb_monitor_quote(out, host);
	putc('\n', out);
}

static void info_fds(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	struct fileio *files = files_of(g, out);
	const struct guestfd *f;

	(void)w;
	if (!files)
		return;
	fputs("  fd  kind     rights      position  guest's name, host's name\n", out);
	for (int fd = 0; fd < GUESTFD_MAX; fd++) {
		f = fileio_fd(files, fd);
		if (f)
			put_fd(g, fd, f, out);
	}
}

/* ---- mappings ---- */

static void put_mount(FILE *out, const struct fileio_mount *m, int width)
{
	fprintf(out, "%-*s  %s%s%s%s  ", width, m->guest, m->writable ? "rw" : "ro",
		m->may_unlink ? ",unlink" : "", m->submounts ? ",submounts" : "",
		m->no_hardlinks ? ",nohardlinks" : "");
	gdb_monitor_quote(out, m->host);
	putc('\n', out);
}

static void info_mounts(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	const struct vm_options *o = &g->session->options;
	struct fileio *files = files_of(g, out);
	struct fileio_limits left;
	const struct filemap *map;
	int width = 1;
	bool root = false;

	(void)w;
	if (!files)
		return;
	map = fileio_map(files);
	left = fileio_left(files);
	for (size_t i = 0; i < o->n_mounts; i++) {
		int len = (int)strlen(o->mounts[i].guest);

		width = len > width && len <= 40 ? len : width;
		root |= map->nodes[FILEMAP_ROOT].mount == (int)i;
	}
	for (size_t i = 0; i < o->n_mounts; i++)
		put_mount(out, &o->mounts[i], width);
	if (!root)
		fprintf(out,
			"%-*s  rw  scratch: %" PRIu64 " bytes and %" PRIu64 " files are left\n",
			width, "/", left.scratch_bytes, left.scratch_inodes);
	fprintf(out, "relative paths begin at %.*s; %" PRIu64 " descriptors are left; by %s\n",
		(int)(map->cwd_len > 1 ? map->cwd_len - 1 : map->cwd_len), map->cwd, left.fds,
		map->host->name);
}

/* ---- paths ---- */

static void resolve(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	struct resolve r = { .files = files_of(g, out),
		.mounts = g->session->options.mounts,
		.op = RESOLVE_OPEN,
		.explain = true,
		.out = out };
	const char *path = w->list[0];
	struct err err = { "" };
	char op[100];
	size_t n = strcspn(path, " \t");

	if (!r.files)
		return;
	if (path[0] == '-' && path[1] == 'o') {
		path += 2 + strspn(path + 2, " \t");
		n = strcspn(path, " \t");
		snprintf(op, sizeof(op), "%.*s", (int)n, path);
		path += n + strspn(path + n, " \t");
		if (!*path) {
			fputs("expected: monitor resolve [-o OP[,FLAGS]] PATH\n", out);
			return;
		}
		if (resolve_parse_op(&r, op, &err)) {
			fprintf(out, "%s\n", err.text);
			return;
		}
	}
	if (resolve_begin(&r)) {
		fputs("out of memory\n", out);
		return;
	}
	resolve_path(&r, path);
	resolve_end(&r);
}

const struct gdb_command gdb_commands_files[] = {
	{ "info fds", "", "the guest's open files, and what they are on the host", 0, 0, info_fds },
	{ "info mounts", "", "what of the host the guest sees, and what it may still use up", 0, 0,
		info_mounts },
	{ "resolve", "[-o OP[,FLAGS]] PATH",
		"where a path would lead the guest, and why\n"
		"Nothing is changed, not even what the guest has used up. OP is what it would do, "
		"with\n"
		"open flags behind it: open (if nothing is said), create, stat, lstat, readdir, "
		"mkdir,\n"
		"unlink; open,rdwr+creat. See belljar resolve.",
		1, -1, resolve },
	{ 0 },
};
