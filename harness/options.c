// SPDX-License-Identifier: ISC
/* Options of the verbs: getopt_long does the work, tables of rows say what there is. */
#include "options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "cleanup.h"
#include "core.h"
#include "err.h"
#include "filemap_path.h"
#include "gdb_address.h"
#include "hostfs.h"
#include "log.h"

enum { ROWS_MAX = 64, LONG_BASE = 256, HELP_COLUMN = 28 };

extern char **environ;

/* Tables that are parsed as one, each with its own ctx. */
struct table {
	const struct option_row *rows;
	void *ctx;
};

struct found {
	const struct option_row *row; /* NULL: --help */
	void *ctx;
};

/* What getopt_long wants; rows of all tables are numbered through, in found. */
static void fill_tables(const struct table *tables, size_t n_tables, struct found *found,
	struct option *longs, char *shorts)
{
	size_t n = 0, at = 0;

	shorts[at++] = '+'; /* stop at the first word that is no option: the rest is the guest's */
	shorts[at++] = ':';
	for (size_t t = 0; t < n_tables; t++) {
		for (const struct option_row *row = tables[t].rows; row->name; row++, n++) {
			assert(n < ROWS_MAX);
			found[n] = (struct found){ row, tables[t].ctx };
			longs[n] = (struct option){ row->name, (int)row->arg, NULL,
				LONG_BASE + (int)n };
			if (!row->letter)
				continue;
			shorts[at++] = row->letter;
			if (row->arg == OPTION_ARG)
				shorts[at++] = ':';
		}
	}
	found[n] = (struct found){ 0 };
	longs[n++] = (struct option){ "help", no_argument, NULL, 'h' };
	shorts[at++] = 'h';
	longs[n] = (struct option){ 0 };
	shorts[at] = 0;
}

static const struct found *find_row(const struct found *found, int c)
{
	if (c >= LONG_BASE)
		return &found[c - LONG_BASE];
	while (found->row && found->row->letter != c)
		found++;
	return found;
}

/* "--mem 3X: not a size": what the option found wrong, with its name and value before it. */
static int name_option(const struct option_row *row, const char *value, int r, struct err *err)
{
	struct err why = *err;

	return err_set(err, r, "--%s%s%s: %s", row->name, value ? (*value ? " " : " \"\"") : "",
		value ? value : "", why.text);
}

static int parse_tables(const struct table *tables, size_t n_tables, int argc, char **argv,
	int *first, struct err *err)
{
	struct option longs[ROWS_MAX + 2];
	struct found found[ROWS_MAX + 1];
	char shorts[3 * ROWS_MAX + 4];
	const struct found *f;
	int c, r;

	fill_tables(tables, n_tables, found, longs, shorts);
	opterr = 0;
	optind = 0; /* 0 makes glibc start afresh */
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == 'h')
			return 1;
		if (c == ':')
			return err_set(err, -EINVAL, "%s: needs a value", argv[optind - 1]);
		if (c == '?' && optopt >= LONG_BASE)
			return err_set(err, -EINVAL, "%s: takes no value", argv[optind - 1]);
		if (c == '?' && optopt)
			return err_set(err, -EINVAL, "-%c: no such option", optopt);
		if (c == '?')
			return err_set(err, -EINVAL, "%s: no such option", argv[optind - 1]);
		f = find_row(found, c);
		r = f->row->set(f->ctx, optarg, err);
		if (r)
			return name_option(f->row, optarg, r, err);
	}
	*first = optind;
	return 0;
}

int options_parse(const struct option_row *rows, void *ctx, int argc, char **argv, int *first,
	struct err *err)
{
	return parse_tables(&(struct table){ rows, ctx }, 1, argc, argv, first, err);
}

int options_parse_with_vm(const struct option_row *rows, void *ctx,
	const struct option_row *vm_rows, struct vm_options *vm, int argc, char **argv, int *first,
	struct err *err)
{
	const struct table tables[] = { { rows, ctx }, { vm_rows, vm } };

	return parse_tables(tables, 2, argc, argv, first, err);
}

static void print_row(const struct option_row *row)
{
	char left[80];
	const char *help = row->help, *line;
	int n;

	n = snprintf(left, sizeof(left), "  %s%c%s--%s%s%s%s", row->letter ? "-" : "  ",
		row->letter ? row->letter : ' ', row->letter ? ", " : " ", row->name,
		row->arg == OPTION_MAYBE_ARG ? "[="
		: row->arg                   ? " "
					     : "",
		row->arg ? row->metavar : "", row->arg == OPTION_MAYBE_ARG ? "]" : "");
	printf("%-*s", HELP_COLUMN, left);
	if (n >= HELP_COLUMN)
		printf("\n%*s", HELP_COLUMN, "");
	while ((line = strchr(help, '\n'))) {
		printf("%.*s\n%*s", (int)(line - help), help, HELP_COLUMN, "");
		help = line + 1;
	}
	printf("%s\n", help);
}

void options_print(const struct option_row *rows)
{
	for (; rows->name; rows++)
		print_row(rows);
}

int options_parse_size(const char *text, uint64_t *bytes, struct err *err)
{
	static const char suffixes[] = "KMG";
	const char *suffix;
	unsigned long long n;
	unsigned shift = 0;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || errno)
		return err_set(
			err, -EINVAL, "not a size; give a number with K, M or G, such as 64M");
	if (*end && (suffix = strchr(suffixes, *end))) {
		shift = 10 * (unsigned)(suffix - suffixes + 1);
		end++;
	}
	if (*end || n > UINT64_MAX >> shift)
		return err_set(
			err, -EINVAL, "not a size; give a number with K, M or G, such as 64M");
	*bytes = (uint64_t)n << shift;
	return 0;
}

/* Seconds, "10" or "0.5", as milliseconds. */
static int parse_ms(const char *text, uint64_t *ms, struct err *err)
{
	char *end;
	double seconds = strtod(text, &end);

	/* Plain decimals: no signs, blanks, exponents or names of numbers. */
	if (end == text || text[strspn(text, "0123456789.")] || seconds <= 0 || seconds > 1e9)
		return err_set(err, -EINVAL, "not a time limit; give seconds, such as 10 or 0.5");
	*ms = (uint64_t)(seconds * 1000);
	*ms += (double)*ms < seconds * 1000; /* never less than was asked for */
	return 0;
}

int strings_add(struct strings *s, const char *text, struct err *err)
{
	char **list = reallocarray(s->list, s->n + 1, sizeof(*list));

	if (!list)
		return err_set(err, -ENOMEM, "out of memory");
	s->list = list;
	s->list[s->n] = strdup(text);
	if (!s->list[s->n])
		return err_set(err, -ENOMEM, "out of memory");
	s->n++;
	return 0;
}

/* Takes out an earlier entry of the same name: the last one said is meant. */
static void strings_forget_name(struct strings *s, const char *entry)
{
	size_t len = (size_t)(strchr(entry, '=') - entry) + 1, kept = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (strncmp(s->list[i], entry, len))
			s->list[kept++] = s->list[i];
		else
			free(s->list[i]);
	}
	s->n = kept;
}

void strings_finish(struct strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->list[i]);
	free(s->list);
}

static int set_backend(void *ctx, const char *value, struct err *err)
{
	if (strcmp(value, "auto") && !backend_find(value))
		return err_set(err, -EINVAL, "no such backend; one of auto, kvm, tcg");
	((struct vm_options *)ctx)->backend = value;
	return 0;
}

bool vm_mem_size_ok(uint64_t bytes)
{
	const uint64_t granularity = 2 << 20, limit = 1ull << 36;

	return bytes && bytes % granularity == 0 && bytes <= limit;
}

static int set_mem(void *ctx, const char *value, struct err *err)
{
	struct vm_options *o = ctx;
	int r = options_parse_size(value, &o->mem_size, err);

	if (!r && !vm_mem_size_ok(o->mem_size))
		r = err_set(err, -EINVAL, VM_MEM_SIZE_RULE);
	return r;
}

/* What the file map would refuse later on is a mistake of the command line. */
static int check_guest_path(const struct vm_options *o, const char *path, struct err *err)
{
	if (o->utf8_paths && !filemap_path_is_utf8(path))
		return err_set(err, -EINVAL,
			"the guest path %s is not UTF-8, as --guest-paths utf8 wants all to be",
			path);
	for (const char *at = path; (at = strstr(at, "/..")); at += 3)
		if (!at[3] || at[3] == '/')
			return err_set(err, -EINVAL, "the guest path has a `..`; write it without");
	return 0;
}

static int add_mount(struct vm_options *o, const char *text, struct err *err)
{
	struct fileio_mount mount, *mounts;
	int r = fileio_parse_mount(text, &mount, err);

	if (r)
		return r;
	mounts = reallocarray(o->mounts, o->n_mounts + 1, sizeof(*mounts));
	if (!mounts) {
		free((char *)(uintptr_t)mount.host);
		free((char *)(uintptr_t)mount.guest);
		return err_set(err, -ENOMEM, "out of memory");
	}
	o->mounts = mounts;
	o->mounts[o->n_mounts++] = mount; /* vm_options_finish frees it, whatever it is */
	return check_guest_path(o, mount.guest, err);
}

static int set_mount(void *ctx, const char *value, struct err *err)
{
	return add_mount(ctx, value, err);
}

static int set_file_mapping(void *ctx, const char *value, struct err *err)
{
	char text[2 * FILEIO_PATH_MAX];
	const char *colon = strrchr(value, ':');

	if (colon && colon[1] != '/' && strstr(value, ":/") && colon[-1] != '\\')
		return err_set(err, -EINVAL,
			"takes no OPTS, it is rw,unlink; with others give --mount HOST:GUEST:OPTS");
	if (snprintf(text, sizeof(text), "%s:rw,unlink", value) >= (int)sizeof(text))
		return err_set(err, -EINVAL, "longer than any path");
	return add_mount(ctx, text, err);
}

static int set_cwd(void *ctx, const char *value, struct err *err)
{
	struct vm_options *o = ctx;

	if (value[0] != '/')
		return err_set(err, -EINVAL, "must begin with /");
	o->cwd = value;
	return check_guest_path(o, value, err);
}

static int set_resolver(void *ctx, const char *value, struct err *err)
{
	static const struct hostfs *const engines[] = { &hostfs_openat2, &hostfs_walk };
	struct vm_options *o = ctx;

	if (!strcmp(value, "auto")) {
		o->resolver = NULL;
		return 0;
	}
	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
		if (!strcmp(value, engines[i]->name)) {
			o->resolver = engines[i];
			return 0;
		}
	}
	return err_set(err, -EINVAL, "no such resolver; one of auto, openat2, walk");
}

static int set_guest_paths(void *ctx, const char *value, struct err *err)
{
	struct vm_options *o = ctx;
	int r = 0;

	o->utf8_paths = !strcmp(value, "utf8");
	if (!o->utf8_paths && strcmp(value, "bytes"))
		return err_set(err, -EINVAL, "bytes or utf8");
	for (size_t i = 0; !r && i < o->n_mounts; i++)
		r = check_guest_path(o, o->mounts[i].guest, err);
	return r ? r : check_guest_path(o, o->cwd, err);
}

const char *const limit_names[LIMITS] = { "fds", "scratch", "inodes", "depth" };

uint64_t *limit_at(struct fileio_limits *limits, size_t i)
{
	uint64_t *const members[LIMITS] = { &limits->fds, &limits->scratch_bytes,
		&limits->scratch_inodes, &limits->depth };

	return members[i];
}

static int set_one_limit(struct fileio_limits *limits, const char *text, struct err *err)
{
	struct fileio_limits most = fileio_limits_max;
	size_t len = strcspn(text, "=");
	uint64_t n, least;
	int r;

	for (size_t i = 0; text[len] && i < LIMITS; i++) {
		if (strlen(limit_names[i]) != len || memcmp(limit_names[i], text, len))
			continue;
		r = options_parse_size(text + len + 1, &n, err);
		if (r)
			return r;
		least = i ? 1 : FILEIO_FDS_MIN;
		if (n < least || n > *limit_at(&most, i))
			return err_set(err, -EINVAL, "%s is from %" PRIu64 " to %" PRIu64,
				limit_names[i], least, *limit_at(&most, i));
		*limit_at(limits, i) = n;
		return 0;
	}
	return err_set(err, -EINVAL, "not fds=N, scratch=SIZE, inodes=N or depth=N");
}

static int set_limit(void *ctx, const char *value, struct err *err)
{
	autofree char *copy = strdup(value);
	char *rest = copy, *one;
	int r = copy ? 0 : err_set(err, -ENOMEM, "out of memory");

	while (!r && (one = strsep(&rest, ",")))
		r = set_one_limit(&((struct vm_options *)ctx)->limits, one, err);
	return r;
}

static int set_env(void *ctx, const char *value, struct err *err)
{
	struct vm_options *o = ctx;
	int r = 0;

	if (!strcmp(value, "host")) {
		o->env_host = true;
		for (char **e = environ; !r && *e; e++)
			r = strings_add(&o->env, *e, err);
		return r;
	}
	if (!strchr(value, '=') || value[0] == '=')
		return err_set(err, -EINVAL, "give NAME=VALUE, or host for all of belljar's own");
	strings_forget_name(&o->env, value);
	return strings_add(&o->env, value, err);
}

static int set_kernel_arg(void *ctx, const char *value, struct err *err)
{
	return strings_add(&((struct vm_options *)ctx)->kernel_args, value, err);
}

static int set_strace(void *ctx, const char *value, struct err *err)
{
	struct vm_options *o = ctx;

	(void)err;
	o->strace = true;
	o->strace_file = value;
	return 0;
}

static int set_gdb(void *ctx, const char *value, struct err *err)
{
	struct vm_options *o = ctx;
	struct gdb_address address;

	o->gdb = value ? value : GDB_ADDRESS_DEFAULT;
	return gdb_address_parse(o->gdb, &address, err);
}

static int set_core(void *ctx, const char *value, struct err *err)
{
	if (!*value)
		return err_set(err, -EINVAL, "give a file name");
	((struct vm_options *)ctx)->core_file = value;
	return 0;
}

static int set_history(void *ctx, const char *value, struct err *err)
{
	return options_parse_size(value, &((struct vm_options *)ctx)->history, err);
}

static int set_timeout(void *ctx, const char *value, struct err *err)
{
	return parse_ms(value, &((struct vm_options *)ctx)->timeout_ms, err);
}

static int set_deterministic(void *ctx, const char *value, struct err *err)
{
	(void)value, (void)err;
	((struct vm_options *)ctx)->deterministic = true;
	return 0;
}

static int set_verbose(void *ctx, const char *value, struct err *err)
{
	(void)ctx, (void)value, (void)err;
	if (log_get_level() < LOG_DEBUG)
		log_set_level(log_get_level() + 1);
	return 0;
}

static int set_quiet(void *ctx, const char *value, struct err *err)
{
	(void)ctx, (void)value, (void)err;
	log_set_level(LOG_ERROR);
	return 0;
}

const struct option_row help_option_rows[] = {
	{ "help", 'h', OPTION_NO_ARG, NULL, "show this help", NULL },
	{ 0 },
};

/* clang-format off */
#define ROW_BACKEND                                                                                \
	{ "backend", 'b', OPTION_ARG, "auto|kvm|tcg",                                              \
		"which CPU; auto (the default) takes kvm where it\nworks, else tcg, the software CPU", \
		set_backend }
#define ROW_STRACE                                                                                 \
	{ "strace", 0, OPTION_MAYBE_ARG, "FILE", "one line per hypercall, to stderr or FILE",      \
		set_strace }
#define ROW_GDB                                                                                    \
	{ "gdb", 0, OPTION_MAYBE_ARG, "ADDR",                                                      \
		"serve gdb at stdio, unix:PATH, PORT (of this machine)\nor HOST:PORT; 1234 without ADDR", \
		set_gdb },                                                                          \
	{ "history", 0, OPTION_ARG, "SIZE",                                                        \
		"memory for going back under gdb (default 256M);\nwhat is too old for it is forgotten; 0: no way back", set_history }
#define ROW_TIMEOUT                                                                                \
	{ "timeout", 0, OPTION_ARG, "SECONDS", "stop a guest that runs longer; exit 124",          \
		set_timeout }
#define ROW_VERBOSE                                                                                \
	{ "verbose", 'v', OPTION_NO_ARG, NULL, "say more on stderr; twice for more still",         \
		set_verbose }
#define ROW_QUIET { "quiet", 'q', OPTION_NO_ARG, NULL, "errors only", set_quiet }
/* clang-format on */

/* clang-format off */
#define FILE_ROWS                                                                                  \
	{ "mount", 0, OPTION_ARG, "HOST:GUEST[:OPTS]",                                             \
		"show the guest a host file or directory; OPTS, joined\n"                          \
		"by commas: ro (the default) or rw; unlink: a mapped\n"                            \
		"file may be unlinked itself; nohardlinks: files of\n"                             \
		"several names are not opened; submounts: what is\n"                               \
		"mounted inside is shown, too; repeatable",                                        \
		set_mount },                                                                       \
	{ "file-mapping", 0, OPTION_ARG, "HOST:GUEST",                                             \
		"Uhyve's spelling: --mount HOST:GUEST:rw,unlink", set_file_mapping },              \
	{ "cwd", 0, OPTION_ARG, "DIR", "where relative guest paths start (default /)", set_cwd },  \
	{ "guest-paths", 0, OPTION_ARG, "bytes|utf8",                                              \
		"utf8: a guest's path that is not UTF-8 is EINVAL", set_guest_paths },             \
	{ "limit", 0, OPTION_ARG, "NAME=N[,...]",                                                  \
		"what the guest may use up: fds (default 1024);\n"                                 \
		"scratch, bytes with K, M, G (1G); inodes in scratch\n"                            \
		"(64K); depth of directories (2048)",                                              \
		set_limit },                                                                       \
	{ "resolver", 0, OPTION_ARG, "auto|openat2|walk",                                          \
		"how paths are walked; auto takes openat2 where the\nkernel has it; all answer alike", \
		set_resolver }
/* clang-format on */

const struct option_row file_option_rows[] = {
	FILE_ROWS,
	ROW_VERBOSE,
	ROW_QUIET,
	{ 0 },
};

const struct option_row vm_option_rows[] = {
	ROW_BACKEND,
	{ "mem", 'm', OPTION_ARG, "SIZE",
		"guest RAM, a multiple of 2M, with K, M or G\n(default 64M)", set_mem },
	FILE_ROWS,
	{ "env", 'e', OPTION_ARG, "K=V|host",
		"guest environment: an entry, or all of belljar's own", set_env },
	{ "kernel-arg", 0, OPTION_ARG, "WORD", "a word for the guest's kernel, not its application",
		set_kernel_arg },
	ROW_STRACE,
	ROW_GDB,
	{ "core", 0, OPTION_ARG, "FILE",
		"of a guest that crashes, write a core file:\n`gdb GUEST FILE`", set_core },
	ROW_TIMEOUT,
	{ "deterministic", 0, OPTION_NO_ARG, NULL,
		"the same answers at every run: fixed clock, TSC, file\ntimes and numbers, sorted "
		"directories",
		set_deterministic },
	ROW_VERBOSE,
	ROW_QUIET,
	{ 0 },
};

const struct option_row vm_replay_rows[] = {
	ROW_BACKEND,
	ROW_STRACE,
	ROW_GDB,
	ROW_TIMEOUT,
	ROW_VERBOSE,
	ROW_QUIET,
	{ 0 },
};

void vm_options_init(struct vm_options *o)
{
	*o = (struct vm_options){
		.backend = "auto", .mem_size = 64 << 20, .cwd = "/", .history = 256 << 20
	};
}

void vm_options_finish(struct vm_options *o)
{
	for (size_t i = 0; i < o->n_mounts; i++) {
		free((char *)(uintptr_t)o->mounts[i].host);
		free((char *)(uintptr_t)o->mounts[i].guest);
	}
	free(o->mounts);
	strings_finish(&o->env);
	strings_finish(&o->kernel_args);
}

struct fileio_config vm_options_files(const struct vm_options *o)
{
	return (struct fileio_config){ .mounts = o->mounts,
		.n_mounts = o->n_mounts,
		.cwd = o->cwd,
		.host = o->resolver,
		.utf8_paths = o->utf8_paths,
		.limits = o->limits,
		.console_in = -1,
		.console_out = -1 };
}

int vm_options_check_core(
	const struct vm_options *o, const char *path, const char *what, struct err *err)
{
	if (!o->core_file || !path || !core_replaces(o->core_file, path))
		return 0;
	return err_set(err, -EINVAL, "--core %s: is %s; name another file", o->core_file, what);
}

int vm_options_check(const struct vm_options *o, const char *guest, struct err *err)
{
	int r = vm_options_check_core(o, guest, "the guest itself", err);

	if (!r)
		r = vm_options_check_core(o, o->strace_file, "where --strace writes", err);
	if (r)
		return r;
	if (o->deterministic && o->env_host)
		return err_set(err, -EINVAL,
			"--env host: the environment differs from machine to machine, so a run "
			"would not repeat; give the entries it needs, --env NAME=VALUE");
	for (size_t i = 0; o->deterministic && i < o->n_mounts; i++)
		if (o->mounts[i].submounts)
			return err_set(err, -EINVAL,
				"--mount %s:%s: what is mounted inside is not kept, so a run would "
				"not repeat; leave out submounts, and map it itself",
				o->mounts[i].host, o->mounts[i].guest);
	return 0;
}
