// SPDX-License-Identifier: ISC
/* A session recorded: the trees before, every call, what has become of the trees, why it ended. */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "err.h"
#include "filemap_path.h"
#include "inode.h"
#include "log.h"
#include "session.h"
#include "tree.h"

struct recording {
	const struct record_options *options;
	struct session *session;
	struct trace_header header;
	struct tree before;
	struct trace_writer *writer;
};

/* From within the machine. What is said then is said once more at the end, when somebody looks. */
static void on_failed(void *ctx, const char *text)
{
	const struct recording *rec = ctx;

	if (rec->options->on_error == TRACE_ERROR_STOP)
		session_stop(rec->session, text);
	else
		log_warn("%s; the guest goes on", text);
}

/* The directory that file is or will be in. */
static int open_parent(const char *file, struct err *err)
{
	const char *slash = strrchr(file, '/');
	autofree char *dir = slash ? strndup(file, (size_t)(slash - file) + 1) : strdup(".");
	int fd;

	if (!dir)
		return err_set(err, -ENOMEM, "out of memory");
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_set(err, -errno, "%s: %m", file) : fd;
}

/* Is the directory fd, or one above it, the one in st? */
static bool lies_in(int fd, const struct stat *dir)
{
	autoclose int at = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct stat here = { 0 }, above;

	while (at >= 0 && !fstat(at, &here)) {
		int up;

		if (same_inode(&here, dir))
			return true;
		up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (up < 0)
			return false;
		close(at);
		at = up;
		if (fstat(at, &above) || same_inode(&above, &here))
			return false;
	}
	return false;
}

enum { LINKS_MAX = 40 }; /* as the kernel follows */

/* Where file leads when its last component is a link, whether anything is there or not; NULL with errno. */
static char *follow(const char *file)
{
	char *at = strdup(file);

	for (int i = 0; at && i < LINKS_MAX; i++) {
		char target[PATH_MAX], *next;
		ssize_t n = readlink(at, target, sizeof(target));
		const char *slash = strrchr(at, '/');
		int dir_len = n > 0 && *target != '/' && slash ? (int)(slash - at) + 1 : 0;

		if (n <= 0)
			return at;
		if (asprintf(&next, "%.*s%.*s", dir_len, at, (int)n, target) < 0)
			next = NULL;
		free(at);
		at = next;
	}
	errno = at ? ELOOP : ENOMEM;
	free(at); /* keeps errno */
	return NULL;
}

/* The mount through which the guest sees what is made or changed under this name; NULL: none. -errno with err. */
static int find_mount(const struct session *s, const char *file, const char **host, struct err *err)
{
	autoclose int dir = open_parent(file, err);
	struct stat at, other;
	bool exists = !stat(file, &at);

	if (dir < 0)
		return dir;
	for (size_t i = 0; i < s->options.n_mounts && !*host; i++) {
		const char *mount = s->options.mounts[i].host;

		if (stat(mount, &other)) {
			if (errno == ENOENT) /* gone since */
				continue;
			return err_set(err, -errno, "mount %s: %m", mount);
		}
		if (S_ISDIR(other.st_mode) ? lies_in(dir, &other)
					   : exists && same_inode(&at, &other))
			*host = mount;
	}
	return 0;
}

/* Neither under its own name nor where that leads may the guest see file. label: for messages. */
static int check_unseen(
	const struct session *s, const char *file, const char *label, struct err *err)
{
	autofree char *target = follow(file);
	const char *host = NULL;
	struct stat st;
	int r;

	if (!target)
		return err_set(err, -errno, "%s%s: %m", label, file);
	r = find_mount(s, file, &host, err);
	if (!r && !host && strcmp(target, file) != 0)
		r = find_mount(s, target, &host, err);
	if (r)
		return r;
	if (host)
		return err_set(err, -EINVAL,
			"%s%s: the guest would see it, through --mount %s; name another directory",
			label, file, host);
	if (s->options.n_mounts && !stat(file, &st) && S_ISREG(st.st_mode) && st.st_nlink > 1)
		return err_set(err, -EINVAL,
			"%s%s: has another name (a hard link), by which the guest may see it; "
			"remove it or name another file",
			label, file);
	return 0;
}

int record_check_place(const struct session *s, const char *file, struct err *err)
{
	struct stat at, other;
	bool exists = !stat(file, &at);

	if (exists && !stat(s->guest, &other) && same_inode(&at, &other))
		return err_set(err, -EINVAL, "%s: is the guest itself; name another file", file);
	if (exists && s->strace_fd >= 0 && !fstat(s->strace_fd, &other) && same_inode(&at, &other))
		return err_set(err, -EINVAL, "%s: strace goes there; name another file", file);
	return check_unseen(s, file, "", err);
}

/* To make one again takes a privilege, so a fifo stands in for it: the guest cannot open either. */
static void warn_of_devices(const struct recording *rec)
{
	for (size_t i = 0; i < rec->before.n; i++) {
		const struct tree_entry *e = &rec->before.entries[i];

		if (e->kind != TREE_DEVICE)
			continue;
		log_warn("%s: there is a device in it, and a replay in the guest's place will have "
			 "a fifo there: what the guest learns of its kind will differ",
			rec->header.mounts[e->mount].host);
		return;
	}
}

/* Does the guest see another mount where this lies, or above it? */
static bool is_covered(const struct recording *rec, const struct tree_entry *e)
{
	const struct trace_header *h = &rec->header;
	char path[2 * PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", h->mounts[e->mount].guest, (const char *)e->path);
	for (size_t i = 0; i < h->n_mounts; i++)
		if (strlen(h->mounts[i].guest) > strlen(h->mounts[e->mount].guest) &&
			filemap_path_behind(path, h->mounts[i].guest))
			return true;
	return false;
}

static void warn_of_mounts(const struct recording *rec)
{
	char name[200];

	for (size_t i = 0; i < rec->before.n; i++) {
		const struct tree_entry *e = &rec->before.entries[i];

		if (!e->xdev || is_covered(rec, e))
			continue;
		log_warn("%s: something else is mounted in it, at %s: the guest is not shown that, "
			 "nor is it recorded; to show it, map it itself",
			rec->header.mounts[e->mount].host, tree_name(e, name, sizeof(name)));
		return;
	}
}

static int look_before(struct recording *rec, struct err *err)
{
	const struct trace_header *h = &rec->header;
	int r;

	if (rec->options->no_tree)
		return 0;
	r = tree_look_until(&rec->before, h->mounts, h->n_mounts, rec->options->tree_limit,
		session_signal(), err);
	if (r == -EFBIG) {
		log_warn("%s; recorded without them: it replays with --guest only", err->text);
		tree_finish(&rec->before);
		rec->before = (struct tree){ 0 };
		return 0;
	}
	rec->header.has_tree = !r;
	if (r)
		return r;
	warn_of_devices(rec);
	warn_of_mounts(rec);
	return 0;
}

/* All that comes before the guest's first instruction. */
static int begin(struct recording *rec, char **words, size_t n_words, struct err *err)
{
	const struct record_options *o = rec->options;
	const struct trace_writer_config config = {
		.on_error = o->on_error, .failed = on_failed, .ctx = rec
	};
	struct session *s = rec->session;
	int r = 0;

	s->options.deterministic = true;
	if (s->options.strace && s->options.strace_file) /* before it is truncated */
		r = check_unseen(s, s->options.strace_file, "--strace=", err);
	if (!r)
		r = session_prepare(s, words, n_words, err);
	if (!r)
		r = record_check_place(s, o->file, err);
	if (!r)
		r = session_header(s, &rec->header, err);
	if (!r)
		r = look_before(rec, err);
	if (!r)
		r = trace_writer_open(&rec->writer, o->file, &rec->header, &config, err);
	if (!r && rec->header.has_tree)
		r = tree_store(&rec->before, rec->header.mounts, rec->writer, err);
	if (r && rec->writer && trace_writer_broken(rec->writer) &&
		o->on_error == TRACE_ERROR_CONTINUE)
		return 0;
	return r;
}

/* What the guest has made of the trees; only hashes are kept, so no limit is needed. */
static int put_after(struct recording *rec, struct err *err)
{
	struct tree after = { 0 }, diff = { 0 };
	const struct trace_header *h = &rec->header;
	int r;

	r = tree_look_until(&after, h->mounts, h->n_mounts, 0, session_signal(), err);
	if (!r)
		r = tree_diff(&rec->before, &after, &diff, err);
	for (size_t i = 0; !r && i < diff.n; i++) {
		r = trace_writer_put(rec->writer,
			&(struct trace_record){ .kind = TRACE_AFTER, .tree = diff.entries[i] });
		if (r)
			err_set(err, r, "%s: %s", rec->options->file, strerror(-r));
	}
	if (r) /* with an end, it would say that nothing has become of the trees */
		trace_writer_cut(rec->writer);
	tree_finish(&diff);
	tree_finish(&after);
	return r;
}

static int end(struct recording *rec, bool ran, struct err *err)
{
	const char *file = rec->options->file;
	unsigned long long calls = trace_writer_count(rec->writer);
	struct stat st;
	int r = trace_writer_close(rec->writer, err);

	if (!ran)
		unlink(file); /* there is nothing to keep */
	else if (!stat(file, &st))
		log_info("%s: %llu calls recorded, %lld bytes", file, calls, (long long)st.st_size);
	return r;
}

static int run(struct recording *rec, const struct vm_stop **stop, struct err *err)
{
	rec->session->sinks = trace_writer_sink(rec->writer);
	rec->session->recording = rec->options->file;
	*stop = session_run(rec->session);
	if (!rec->header.has_tree || trace_writer_broken(rec->writer))
		return 0;
	return put_after(rec, err);
}

int record_session(struct session *s, char **words, size_t n_words, const struct record_options *o,
	const struct vm_stop **stop, struct err *err)
{
	struct recording rec = { .options = o, .session = s };
	int r, closed;

	*stop = NULL;
	r = begin(&rec, words, n_words, err);
	if (!r)
		r = run(&rec, stop, err);
	s->sinks = NULL;
	if (rec.writer) {
		closed = end(&rec, *stop != NULL, r ? NULL : err);
		r = r ? r : closed;
	}
	tree_finish(&rec.before);
	trace_header_finish(&rec.header);
	return r;
}
