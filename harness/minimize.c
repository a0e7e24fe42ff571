// SPDX-License-Identifier: ISC
/*
 * Delta debugging of traces: candidates with ever smaller pieces left out are written to a private
 * directory and tried, until no single call can go any more.
 */
#include "minimize.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "err.h"
#include "replay.h"
#include "subtrace.h"
#include "trace_text.h"
#include "tree.h"

extern char **environ;

/* How a candidate fails. */
struct failure {
	int64_t record;    /* the call, as an index into the whole trace; -1: none */
	char field[16];    /* what of it */
	char detail[1024]; /* what came out, where that tells failures apart */
	int code;          /* a program's */
};

struct minimize {
	const struct minimize_options *o;
	struct subtrace t;
	bool *keep;               /* what is known to fail */
	bool *candidate;          /* what is tried */
	char *dir, *path;         /* of candidates: a private directory */
	enum trace_format format; /* of candidates */
	char *tree_dir;           /* golden text: its files, or NULL */
	char **argv;              /* the program, or NULL */
	struct failure whole;
	struct tree changes; /* that the calls of the result make */
	struct minimize_result *result;
	struct err *err;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int sig)
{
	interrupted = sig;
}

/* --- failures: replay ------------------------------------------------------------------------------ */

/* Behind a JSON value. */
static const char *skip_value(const char *at)
{
	int depth = 0;
	bool quoted = false;

	for (; *at; at++) {
		if (quoted) {
			if (*at == '\\' && at[1])
				at++;
			else if (*at == '"')
				quoted = false;
			continue;
		}
		if (*at == '"')
			quoted = true;
		else if (*at == '{' || *at == '[')
			depth++;
		else if (depth && (*at == '}' || *at == ']'))
			depth--;
		else if (!depth && (*at == ',' || *at == '}' || *at == ':'))
			break;
	}
	return at;
}

/* The text of a value of the object that is a line of JSON; "" when it has none. Cut to size. */
static void get_value(const char *line, const char *key, char *buf, size_t size)
{
	const char *at = line + (*line == '{'), *end;

	buf[0] = 0;
	while (*at && *at != '}') {
		size_t key_len = strlen(key);
		bool found =
			at[0] == '"' && !strncmp(at + 1, key, key_len) && at[key_len + 1] == '"';

		at = skip_value(at);
		at += *at == ':';
		end = skip_value(at);
		if (found) {
			snprintf(buf, size, "%.*s",
				(int)(end - at < (long)size ? end - at : (long)size), at);
			return;
		}
		at = end + (*end == ',');
	}
}

/* The call with this number in the candidate. */
static int64_t record_of_call(const struct minimize *m, const char *number)
{
	uint64_t n = strtoull(number, NULL, 10);

	for (size_t i = 0; *number && i < m->t.n; i++)
		if (m->candidate[i] && m->t.records[i].kind == TRACE_CALL && !n--)
			return (int64_t)i;
	return -1;
}

static bool gives_descriptor(const struct trace_record *record)
{
	return trace_row_has(record->row, HCALL_OPEN_FLAGS);
}

/* The first mismatch, from its line of JSON. */
static void read_failure(const struct minimize *m, const char *line, struct failure *failure)
{
	static const char *const tree_keys[] = { "mount", "path", "field" };
	char value[300];

	*failure = (struct failure){ .record = -1 };
	get_value(line, "mismatch", value, sizeof(value));
	if (value[0] == '"')
		snprintf(failure->field, sizeof(failure->field), "%.*s",
			(int)strcspn(value + 1, "\""), value + 1);
	if (!strcmp(failure->field, "tree")) {
		for (size_t i = 0; i < sizeof(tree_keys) / sizeof(tree_keys[0]); i++) {
			size_t used = strlen(failure->detail);

			get_value(line, tree_keys[i], value, sizeof(value));
			snprintf(failure->detail + used, sizeof(failure->detail) - used, "%s ",
				value);
		}
		return;
	}
	get_value(line, "call", value, sizeof(value));
	failure->record = record_of_call(m, value);
	if (!strcmp(failure->field, "result") && failure->record >= 0 &&
		!gives_descriptor(&m->t.records[failure->record]))
		get_value(line, "got", failure->detail, sizeof(failure->detail));
}

/* 1 with how it fails, 0 when it does not, or -errno with err. */
static int try_replay(struct minimize *m, struct failure *failure, struct err *err)
{
	autofree char *text = NULL;
	size_t len = 0;
	struct replay_host_options o = {
		.tree_dir = m->tree_dir, .json = true, .stop = &interrupted
	};
	struct replay_result result;
	int r;

	o.out = open_memstream(&text, &len);
	if (!o.out)
		return err_set(err, -ENOMEM, "out of memory");
	r = replay_host(m->path, &o, &result, err);
	if (fclose(o.out) && !r)
		r = err_set(err, -ENOMEM, "out of memory");
	if (r)
		return r;
	if (!result.mismatches)
		return 0;
	text[strcspn(text, "\n")] = 0;
	read_failure(m, text, failure);
	return 1;
}

/* --- failures: a program --------------------------------------------------------------------------- */

static int spawn(char *const *argv, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	int r = posix_spawn_file_actions_init(&files);

	if (r)
		return r;
	for (int fd = 0; !r && fd < 3; fd++)
		r = posix_spawn_file_actions_addopen(
			&files, fd, "/dev/null", fd ? O_WRONLY : O_RDONLY, 0);
	if (!r)
		r = posix_spawnp(pid, argv[0], &files, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	return r;
}

static int try_program(struct minimize *m, struct failure *failure, struct err *err)
{
	int status = 0, r;
	pid_t pid;

	r = spawn(m->argv, &pid);
	if (r)
		return err_set(err, -r, "%s: %s", m->argv[0], strerrordesc_np(r));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(err, -errno, "%s: %s", m->argv[0], strerrordesc_np(errno));
	*failure = (struct failure){ .record = -1,
		.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status) };
	return failure->code != 0;
}

/* A word with the path in place of every "{}". */
static char *put_path(const char *word, const char *path, bool *used)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	const char *at;

	if (!out)
		return NULL;
	while ((at = strstr(word, "{}"))) {
		fprintf(out, "%.*s%s", (int)(at - word), word, path);
		word = at + 2;
		*used = true;
	}
	fputs(word, out);
	if (!fclose(out))
		return text;
	free(text);
	return NULL;
}

static int make_argv(struct minimize *m)
{
	bool used = false;

	if (!m->o->command)
		return 0;
	m->argv = calloc(m->o->n_command + 1, sizeof(*m->argv));
	for (size_t i = 0; m->argv && i < m->o->n_command; i++) {
		m->argv[i] = put_path(m->o->command[i], m->path, &used);
		if (!m->argv[i])
			return err_set(m->err, -ENOMEM, "out of memory");
	}
	if (!m->argv)
		return err_set(m->err, -ENOMEM, "out of memory");
	if (!used)
		return err_set(m->err, -EINVAL,
			"{} is not among the command's words: it stands for the trace to try");
	return 0;
}

/* --- the search ------------------------------------------------------------------------------------ */

static size_t count_calls(const struct minimize *m, const bool *keep)
{
	size_t n = 0;

	for (size_t i = 0; i < m->t.n; i++)
		n += keep[i] && m->t.records[i].kind == TRACE_CALL;
	return n;
}

static void show_progress(const struct minimize *m)
{
	if (!m->o->progress)
		return;
	fprintf(m->o->progress, "\rtried %llu, %zu of %zu calls left ",
		(unsigned long long)m->result->tries, m->result->calls, m->result->calls_before);
	fflush(m->o->progress);
}

/* Writes the candidate and tries it: as the two above. */
static int try(struct minimize *m, struct failure *failure, struct err *err)
{
	int r = subtrace_write(&m->t, m->candidate, m->path, m->format, err);

	if (r)
		return r;
	m->result->tries++;
	show_progress(m);
	return (m->argv ? try_program : try_replay)(m, failure, err);
}

/* 1: it fails as the whole does; 0: not so. A candidate that cannot be tried is not one. */
static int fails_alike(struct minimize *m)
{
	struct failure failure;
	struct err why = { "" };
	int r = try(m, &failure, &why);

	if (r == -ENOMEM || r == -ENOSPC || r == -EDQUOT || r == -EIO)
		return err_set(m->err, r, "%s", why.text);
	return r > 0 && failure.record == m->whole.record && failure.code == m->whole.code &&
	       !strcmp(failure.field, m->whole.field) && !strcmp(failure.detail, m->whole.detail);
}

static bool may_go_on(const struct minimize *m)
{
	uint64_t max = m->o->max_tries ? m->o->max_tries : MINIMIZE_DEFAULT_TRIES;

	return !interrupted && m->result->tries < max;
}

/* What is left that may go, as indices in order. */
static size_t list_units(const struct minimize *m, size_t *units)
{
	size_t n = 0;

	for (size_t i = 0; i < m->t.n; i++)
		if (m->keep[i] && subtrace_may_drop(&m->t, i))
			units[n++] = i;
	return n;
}

/* Tries without units[from] to units[to - 1]. 1: they are gone, with what needed them. */
static int try_without(struct minimize *m, const size_t *units, size_t from, size_t to)
{
	int r;

	memcpy(m->candidate, m->keep, m->t.n * sizeof(*m->keep));
	for (size_t i = from; i < to; i++)
		m->candidate[units[i]] = false;
	subtrace_close(&m->t, m->candidate);
	r = fails_alike(m);
	if (r > 0) {
		memcpy(m->keep, m->candidate, m->t.n * sizeof(*m->keep));
		m->result->calls = count_calls(m, m->keep);
	}
	return r;
}

/*
 * One round with pieces of this size, from the end: what needs a call comes after it, so the pieces
 * before one that went are as they were. 1 when something went.
 */
static int round_of(struct minimize *m, size_t *units, size_t piece)
{
	int r, gone = 0;

	for (size_t to = list_units(m, units), from; to && may_go_on(m); to = from) {
		from = to > piece ? to - piece : 0;
		r = try_without(m, units, from, to);
		if (r < 0)
			return r;
		gone |= r;
	}
	return gone;
}

static int search(struct minimize *m)
{
	autofree size_t *units = calloc(m->t.n + 1, sizeof(*units));
	size_t piece;
	int r = 0;

	if (!units)
		return err_set(m->err, -ENOMEM, "out of memory");
	for (piece = (list_units(m, units) + 1) / 2; piece > 1 && may_go_on(m);
		piece = (piece + 1) / 2) {
		r = round_of(m, units, piece);
		if (r < 0)
			return r;
	}
	do {
		if (subtrace_note_makers(&m->t, m->keep))
			return err_set(m->err, -ENOMEM, "out of memory");
		r = round_of(m, units, 1);
	} while (r > 0 && may_go_on(m));
	if (r < 0)
		return r;
	m->result->minimal = may_go_on(m);
	return 0;
}

/*
 * With calls gone, the files end up otherwise than recorded. So that the result fails in the one way alone, it
 * gets the differences that its own replay makes, unless it is these that are wrong.
 */
static int find_changes(struct minimize *m)
{
	struct replay_host_options o = {
		.tree_dir = m->tree_dir, .stop = &interrupted, .changes = &m->changes
	};
	struct replay_result result;
	struct err why = { "" };
	int r;

	if (m->argv || !strcmp(m->whole.field, "tree"))
		return 0;
	r = subtrace_write(&m->t, m->keep, m->path, m->format, m->err);
	if (r)
		return r;
	if (!replay_host(m->path, &o, &result, &why)) /* else it was interrupted: as it is */
		m->t.changes = &m->changes;
	return 0;
}

/* --- beginning and end ----------------------------------------------------------------------------- */

static void put_reason(const struct minimize *m)
{
	char *reason = m->result->reason;
	size_t size = sizeof(m->result->reason), used;

	if (m->argv) {
		snprintf(reason, size, "exit code %d", m->whole.code);
		return;
	}
	if (m->whole.record < 0) {
		snprintf(reason, size, "%s %.150s", m->whole.field, m->whole.detail);
		return;
	}
	trace_text_line(&m->t.header, &m->t.records[m->whole.record], reason, size - 24);
	used = strlen(reason);
	snprintf(reason + used, size - used, ": %s", m->whole.field);
}

/* As it is written again, so that a difference that gets lost in that is not searched for. */
static int try_whole(struct minimize *m)
{
	int r;

	memset(m->keep, true, m->t.n * sizeof(*m->keep));
	memset(m->candidate, true, m->t.n * sizeof(*m->candidate));
	m->result->calls = m->result->calls_before = count_calls(m, m->keep);
	r = try(m, &m->whole, m->err);
	if (r < 0)
		return r;
	if (!r)
		return err_set(m->err, -EINVAL, "%s: does not fail: %s; nothing to minimize",
			m->o->file,
			m->argv ? "the command exits with 0" : "every answer is the same");
	put_reason(m);
	return 0;
}

/* Golden text has its files beside it, and programs look for them beside a candidate. */
static int find_tree(struct minimize *m)
{
	size_t len = strlen(m->o->file);
	autofree char *link = NULL, *real = NULL;
	enum trace_format format;
	struct err unused;

	if (m->t.format != TRACE_BJT)
		return 0;
	if (!subtrace_format_of(m->o->file, &format, &unused) && format == TRACE_BJT)
		len -= strlen(".bjt");
	if (asprintf(&m->tree_dir, "%.*s.d", (int)len, m->o->file) < 0) {
		m->tree_dir = NULL;
		return err_set(m->err, -ENOMEM, "out of memory");
	}
	real = realpath(m->tree_dir, NULL);
	if (!real || asprintf(&link, "%s/candidate.d", m->dir) < 0)
		return 0;
	if (symlink(real, link))
		return err_set(m->err, -errno, "%s: %s", link, strerrordesc_np(errno));
	return 0;
}

static int make_dir(struct minimize *m)
{
	const char *tmp = getenv("TMPDIR");
	char *dir;

	if (asprintf(&dir, "%s/belljar-XXXXXX", tmp && tmp[0] ? tmp : "/tmp") < 0)
		return err_set(m->err, -ENOMEM, "out of memory");
	if (!mkdtemp(dir)) {
		int r = err_set(m->err, -errno, "%s: %s; set TMPDIR to a directory of yours", dir,
			strerrordesc_np(errno));

		free(dir);
		return r;
	}
	m->dir = dir;
	if (asprintf(&m->path, "%s/candidate.%s", dir, m->format == TRACE_BJT ? "bjt" : "pcapng") >=
		0)
		return 0;
	m->path = NULL;
	return err_set(m->err, -ENOMEM, "out of memory");
}

static void remove_dir(struct minimize *m)
{
	static const char *const names[] = { "candidate.bjt", "candidate.pcapng",
		"candidate.pcapng.tail", "candidate.d" };
	int fd = m->dir ? open(m->dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

	for (size_t i = 0; fd >= 0 && i < sizeof(names) / sizeof(names[0]); i++)
		unlinkat(fd, names[i], 0);
	if (fd >= 0)
		close(fd);
	if (m->dir)
		rmdir(m->dir);
}

static void finish(struct minimize *m)
{
	remove_dir(m);
	for (size_t i = 0; m->argv && i < m->o->n_command; i++)
		free(m->argv[i]);
	free(m->argv);
	free(m->dir);
	free(m->path);
	free(m->tree_dir);
	free(m->keep);
	free(m->candidate);
	subtrace_finish(&m->t);
	tree_finish(&m->changes);
}

static int minimize(struct minimize *m, enum trace_format format)
{
	int r = subtrace_read(&m->t, m->o->file, m->err);

	if (r)
		return r;
	/* Replay needs the files, which text has beside it and a recording in it. */
	m->format = m->o->command ? format : m->t.format;
	m->keep = calloc(m->t.n + 1, sizeof(*m->keep));
	m->candidate = calloc(m->t.n + 1, sizeof(*m->candidate));
	if (!m->keep || !m->candidate)
		return err_set(m->err, -ENOMEM, "out of memory");
	m->result->no_files = m->t.format != format && m->t.header.n_mounts;
	r = make_dir(m);
	if (!r)
		r = make_argv(m);
	if (!r)
		r = find_tree(m);
	if (!r)
		r = try_whole(m);
	if (!r)
		r = search(m);
	if (!r)
		r = find_changes(m);
	return r ? r : subtrace_write(&m->t, m->keep, m->o->out, format, m->err);
}

int minimize_main(const struct minimize_options *o, struct minimize_result *result, struct err *err)
{
	static const int signals[] = { SIGINT, SIGTERM };
	struct sigaction old[sizeof(signals) / sizeof(signals[0])];
	struct sigaction catch = { .sa_handler = interrupt };
	struct minimize m = { .o = o, .result = result, .err = err };
	enum trace_format format;
	int r = subtrace_format_of(o->out, &format, err);

	*result = (struct minimize_result){ 0 };
	if (r)
		return r;
	interrupted = 0;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &catch, &old[i]);
	r = minimize(&m, format);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &old[i], NULL);
	if (o->progress && result->tries)
		fputc('\n', o->progress);
	finish(&m);
	return r;
}
