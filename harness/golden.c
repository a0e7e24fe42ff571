// SPDX-License-Identifier: ISC
/* The suite as a directory: what is there, what does not belong, and how files are put in. */
#include "golden.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "err.h"
#include "escape.h"
#include "trace_read.h"

enum { NAME_LEN_MAX = 100, HASH_DIGITS = 2 * TRACE_HASH_LEN };
#define BLOBS "blobs"

static int no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "out of memory");
}

bool golden_name_ok(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._+-";
	size_t len = strlen(name);

	return len && len <= NAME_LEN_MAX && strspn(name, letters) == len &&
	       !strchr("._+-", name[0]);
}

char *golden_path(const char *dir, const char *name, const char *suffix)
{
	char *path;

	return asprintf(&path, "%s/%s%s", dir, name, suffix) < 0 ? NULL : path;
}

static int add_stray(
	struct golden_strays *strays, const char *file, const char *reason, struct err *err)
{
	char text[1200] = "";
	size_t used = 0;
	int r;

	escape_bytes(text, sizeof(text), &used, file, strlen(file));
	r = strings_add(&strays->files, text, err);
	return r ? r : strings_add(&strays->reasons, reason, err);
}

void golden_strays_finish(struct golden_strays *strays)
{
	strings_finish(&strays->files);
	strings_finish(&strays->reasons);
}

static struct golden *find_or_add(struct golden_suite *suite, const char *name, struct err *err)
{
	struct golden *list;

	for (size_t i = 0; i < suite->n; i++)
		if (!strcmp(suite->list[i].name, name))
			return &suite->list[i];
	list = reallocarray(suite->list, suite->n + 1, sizeof(*list));
	if (!list) {
		no_memory(err);
		return NULL;
	}
	suite->list = list;
	list[suite->n] = (struct golden){ .name = strdup(name) };
	if (!list[suite->n].name) {
		no_memory(err);
		return NULL;
	}
	return &list[suite->n++];
}

const struct golden *golden_find(const struct golden_suite *suite, const char *name)
{
	for (size_t i = 0; i < suite->n; i++)
		if (!strcmp(suite->list[i].name, name))
			return &suite->list[i];
	return NULL;
}

/* What a name's ending makes of it; the longest first. */
static const struct {
	const char *suffix;
	size_t offset; /* of the flag in struct golden */
	mode_t type;
	const char *wrong_type;
} endings[] = {
	{ GOLDEN_NEW, offsetof(struct golden, has_new), S_IFREG, "not a file" },
	{ GOLDEN_TEXT, offsetof(struct golden, has_text), S_IFREG, "not a file" },
	{ GOLDEN_TREE, offsetof(struct golden, has_tree), S_IFDIR, "not a directory" },
};

static int add_entry(struct golden_suite *suite, int dir, const char *file, struct err *err)
{
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t len = strlen(file), end = strlen(endings[i].suffix);
		autofree char *name = NULL;
		struct golden *golden;
		struct stat st;

		if (len <= end || strcmp(file + len - end, endings[i].suffix) != 0)
			continue;
		name = strndup(file, len - end);
		if (!name)
			return no_memory(err);
		if (!golden_name_ok(name))
			return add_stray(&suite->strays, file,
				"a golden's name is letters, digits and ._+- only", err);
		if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW))
			return errno == ENOENT
				       ? 0
				       : err_set(err, -errno, "%s/%s: %m", suite->dir, name);
		if ((st.st_mode & S_IFMT) != endings[i].type)
			return add_stray(&suite->strays, file, endings[i].wrong_type, err);
		golden = find_or_add(suite, name, err);
		if (!golden)
			return -ENOMEM;
		*(bool *)((char *)golden + endings[i].offset) = true;
		return 0;
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct golden *)a)->name, ((const struct golden *)b)->name);
}

/* A tree, and nothing that it is the tree of. */
static int find_orphans(struct golden_suite *suite, struct err *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < suite->n; i++) {
		const struct golden *g = &suite->list[i];
		char file[120], why[140];

		if (g->has_text || g->has_new)
			continue;
		snprintf(file, sizeof(file), "%.100s" GOLDEN_TREE "/", g->name);
		snprintf(why, sizeof(why), "there is no %.100s" GOLDEN_TEXT, g->name);
		r = add_stray(&suite->strays, file, why, err);
	}
	return r;
}

int golden_scan(struct golden_suite *suite, const char *dir, struct err *err)
{
	DIR *stream = opendir(dir);
	struct dirent *entry;
	int r = 0;

	*suite = (struct golden_suite){ .dir = dir };
	if (!stream)
		return err_set(err, -errno, "%s: %m; --dir DIR says where the goldens are", dir);
	while (!r && (errno = 0, entry = readdir(stream)))
		if (entry->d_name[0] != '.')
			r = add_entry(suite, dirfd(stream), entry->d_name, err);
	if (!r && errno)
		r = err_set(err, -errno, "%s: %m", dir);
	closedir(stream);
	if (!r && suite->n)
		qsort(suite->list, suite->n, sizeof(*suite->list), by_name);
	return r ? r : find_orphans(suite, err);
}

void golden_suite_finish(struct golden_suite *suite)
{
	for (size_t i = 0; i < suite->n; i++)
		free(suite->list[i].name);
	free(suite->list);
	golden_strays_finish(&suite->strays);
}

static bool is_hash(const char *text, size_t len)
{
	return len == HASH_DIGITS && strspn(text, "0123456789abcdef") >= len;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The hashes in lines of data ("  < blob sha256=... len=..."). */
static int add_mentioned(struct strings *hashes, const char *path, struct err *err)
{
	static const char mark[] = "sha256=";
	FILE *in = fopen(path, "re");
	autofree char *line = NULL;
	size_t room = 0;
	int r = 0;

	if (!in)
		return err_set(err, -errno, "%s: %m", path);
	while (!r && getline(&line, &room, in) >= 0) {
		char *at = line[0] == ' ' ? strstr(line, mark) : NULL;

		if (!at)
			continue;
		at += strlen(mark);
		at[strnlen(at, HASH_DIGITS)] = 0;
		if (is_hash(at, strlen(at)))
			r = strings_add(hashes, at, err);
	}
	if (!r && ferror(in))
		r = err_set(err, -EIO, "%s: cannot be read", path);
	fclose(in);
	return r;
}

static int add_mentioned_of(
	struct strings *hashes, const char *dir, const struct golden *g, struct err *err)
{
	autofree char *text = golden_path(dir, g->name, GOLDEN_TEXT);
	autofree char *new = golden_path(dir, g->name, GOLDEN_NEW);
	int r = text && new ? 0 : no_memory(err);

	if (!r && g->has_text)
		r = add_mentioned(hashes, text, err);
	if (!r && g->has_new)
		r = add_mentioned(hashes, new, err);
	return r;
}

int golden_own_dir(const char *path, struct err *err)
{
	struct stat st;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : err_set(err, -errno, "%s: %m", path);
	return S_ISDIR(st.st_mode) ? 0 : err_set(err, -ENOTDIR, "%s: not a directory", path);
}

/* blobs/ itself, never what a link of that name leads to. NULL with *r = 0: there is none. */
static DIR *open_blobs(const char *dir, int *r, struct err *err)
{
	autofree char *path = golden_path(dir, BLOBS, "");
	int fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);

	*r = 0;
	if (!path)
		*r = no_memory(err);
	else if (!stream && errno != ENOENT)
		*r = err_set(err, -errno, "%s: %s", path,
			errno == ELOOP ? strerror(ENOTDIR) : strerror(errno));
	if (!stream && fd >= 0)
		close(fd);
	return stream;
}

/* Of what lies in blobs/: hashes that are not mentioned, and what is no hash. Either may be NULL. */
static int look_at_blobs(const char *dir, const struct strings *mentioned, struct strings *hashes,
	struct strings *others, struct err *err)
{
	struct dirent *entry;
	int r;
	DIR *stream = open_blobs(dir, &r, err);

	while (stream && !r && (errno = 0, entry = readdir(stream))) {
		char *name = entry->d_name;
		struct strings *to = is_hash(name, strlen(name)) ? hashes : others;

		if (!strcmp(name, ".") || !strcmp(name, "..") || !to)
			continue;
		if (to == others || !mentioned->n ||
			!bsearch(&name, mentioned->list, mentioned->n, sizeof(*mentioned->list),
				by_text))
			r = strings_add(to, name, err);
	}
	if (stream && !r && errno)
		r = err_set(err, -errno, "%s/" BLOBS ": %m", dir);
	if (stream)
		closedir(stream);
	return r;
}

static int stray_blobs(
	const char *dir, struct strings *hashes, struct strings *others, struct err *err)
{
	struct golden_suite suite;
	struct strings mentioned = { 0 };
	int r = golden_scan(&suite, dir, err);

	for (size_t i = 0; !r && i < suite.n; i++)
		r = add_mentioned_of(&mentioned, dir, &suite.list[i], err);
	if (!r && mentioned.n)
		qsort(mentioned.list, mentioned.n, sizeof(*mentioned.list), by_text);
	if (!r)
		r = look_at_blobs(dir, &mentioned, hashes, others, err);
	strings_finish(&mentioned);
	golden_suite_finish(&suite);
	return r;
}

static int add_stray_blobs(struct golden_strays *strays, const struct strings *names,
	const char *reason, struct err *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < names->n; i++) {
		autofree char *file = golden_path(BLOBS, names->list[i], "");

		r = file ? add_stray(strays, file, reason, err) : no_memory(err);
	}
	return r;
}

int golden_stray_blobs(const char *dir, struct golden_strays *strays, struct err *err)
{
	struct strings hashes = { 0 }, others = { 0 };
	int r = stray_blobs(dir, &hashes, &others, err);

	if (!r)
		r = add_stray_blobs(strays, &hashes, "no golden mentions it", err);
	if (!r)
		r = add_stray_blobs(strays, &others, "its name is no SHA-256", err);
	strings_finish(&hashes);
	strings_finish(&others);
	return r;
}

void golden_drop_stray_blobs(const char *dir)
{
	autofree char *blobs = golden_path(dir, BLOBS, "");
	struct strings hashes = { 0 };
	DIR *stream = NULL;
	int r;

	if (blobs && !stray_blobs(dir, &hashes, NULL, NULL))
		stream = open_blobs(dir, &r, NULL);
	for (size_t i = 0; stream && i < hashes.n; i++)
		unlinkat(dirfd(stream), hashes.list[i], 0);
	if (stream) {
		closedir(stream);
		rmdir(blobs);
	}
	strings_finish(&hashes);
}

int golden_write(const char *path, const char *text, size_t len, struct err *err)
{
	autofree char *tmp = NULL;
	mode_t mask = umask(0);
	int fd, r = 0;
	FILE *out;

	umask(mask);
	if (asprintf(&tmp, "%s.XXXXXX", path) < 0) {
		tmp = NULL;
		return no_memory(err);
	}
	fd = mkostemp(tmp, O_CLOEXEC);
	out = fd < 0 ? NULL : fdopen(fd, "w");
	if (!out) {
		r = err_set(err, -errno, "%s: %m", path);
		if (fd >= 0)
			close(fd);
		return r;
	}
	if (fwrite(text, 1, len, out) != len || fflush(out) || fchmod(fd, 0666 & ~mask))
		r = -errno;
	if (fclose(out) && !r)
		r = -errno;
	if (!r && rename(tmp, path))
		r = -errno;
	if (r)
		unlink(tmp);
	return r ? err_set(err, r, "%s: %s", path, strerror(-r)) : 0;
}

int golden_read(const char *path, char **text, size_t *len, struct err *err)
{
	FILE *in = fopen(path, "re"), *out;
	char bytes[16384];
	size_t n;
	int r = 0;

	if (!in)
		return err_set(err, -errno, "%s: %m", path);
	out = open_memstream(text, len);
	if (!out) {
		fclose(in);
		return no_memory(err);
	}
	while (!r && (n = fread(bytes, 1, sizeof(bytes), in)) > 0)
		if (fwrite(bytes, 1, n, out) != n)
			r = no_memory(err);
	if (!r && ferror(in))
		r = err_set(err, -EIO, "%s: cannot be read", path);
	fclose(in);
	if (fclose(out) && !r)
		r = no_memory(err);
	if (r) {
		free(*text);
		*text = NULL;
	}
	return r;
}

bool golden_in_ci(void)
{
	const char *ci = getenv("CI");

	return ci && ci[0] && strcmp(ci, "false") != 0 && strcmp(ci, "0") != 0;
}

int golden_policy(enum golden_policy *policy, struct err *err)
{
	static const char *const words[] = {
		[GOLDEN_POLICY_NO] = "no",
		[GOLDEN_POLICY_NEW] = "new",
		[GOLDEN_POLICY_ALWAYS] = "always",
		[GOLDEN_POLICY_UNSEEN] = "unseen",
	};
	const char *word = getenv("BELLJAR_GOLDEN");
	size_t i = GOLDEN_POLICY_UNSEEN;

	static_assert(sizeof(words) / sizeof(words[0]) == GOLDEN_POLICY_COUNT, "a word each");
	if (word && word[0])
		for (i = 0; i < GOLDEN_POLICY_COUNT && strcmp(words[i], word) != 0; i++)
			;
	if (i == GOLDEN_POLICY_COUNT)
		return err_set(err, -EINVAL,
			"BELLJAR_GOLDEN=%s: no such word; one of no, new, always, unseen", word);
	*policy = golden_in_ci() ? GOLDEN_POLICY_NO : (enum golden_policy)i;
	return 0;
}

static int find_image(const struct strings *guests, const char *name, char **path, struct err *err)
{
	char shown[300] = "";
	size_t used = 0;

	escape_bytes(shown, sizeof(shown), &used, name, strlen(name));
	/* The name comes from a file that may be anybody's. */
	if (!name[0] || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
		return err_set(err, -EINVAL, "\"%s\" is no name of a guest's image", shown);
	for (size_t i = 0; i < guests->n; i++) {
		*path = golden_path(guests->list[i], name, "");
		if (!*path)
			return no_memory(err);
		if (!access(*path, F_OK))
			return 0;
		free(*path);
		*path = NULL;
	}
	return err_set(err, -ENOENT,
		"%s: no such image in %s; build it, or --guests DIR says where it is", shown,
		guests->n ? guests->list[0] : "any directory");
}

int golden_image(const struct strings *guests, const char *trace, char **path, struct err *err)
{
	const struct trace_header *header;
	struct trace_reader *reader;
	int r = trace_reader_open(&reader, trace, err);

	if (r)
		return r;
	header = trace_reader_header(reader);
	r = find_image(guests, header->argv.n ? header->argv.list[0] : "", path, err);
	trace_reader_close(reader);
	return r;
}
