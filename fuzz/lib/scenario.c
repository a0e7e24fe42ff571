// SPDX-License-Identifier: ISC
/*
 * The decoder. A head of three bytes; entries of two bytes, links with a path more; operations of one byte,
 * open with one for its flags, a race with one, all but close with a path. A path is a byte that says how it
 * looks and one for each of its names.
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "escape.h"

enum {
	HEAD_VARIANT = 3,
	HEAD_RACE = 0x38, /* all of these */
	HEAD_OTHER = 0x40,
	HEAD_REPHRASE = 0x80,
	PATH_NAMES = 7,
	PATH_SLASH = 8,
	PATH_RELATIVE = 16,
	PATH_DOUBLE = 32,
	WILD = 0xff,
	LONG = 0xfe,
	AROUND_LIMIT = 4088, /* 16 lengths from here on, of which the last ones are too long */
	DOTS = 64,           /* of such a path, and slashes: each costs a step of every walk */
	LONGEST = 255,
};

#define N15  "nnnnnnnnnnnnnnn"
#define N60  N15 N15 N15 N15
#define N255 N60 N60 N60 N60 N15

#define DIR(path)                                                                                  \
	{                                                                                          \
		path, S_IFDIR | 0755, 0, NULL, false                                               \
	}
#define FILE_(path, size)                                                                          \
	{                                                                                          \
		path, S_IFREG | 0644, size, NULL, false                                            \
	}
#define LINK(path, target)                                                                         \
	{                                                                                          \
		path, S_IFLNK | 0777, sizeof(target) - 1, target, false                            \
	}

const struct scenario_base scenario_base[SCENARIO_BASE] = {
	DIR("m0"),
	DIR("m0/a"),
	FILE_("m0/a/f", 5),
	FILE_("m0/b", 3),
	LINK("m0/ab", "a"),
	{ "m0/a.b", S_IFIFO | 0644, 0, NULL, false },
	LINK("m0/l", "../out/secret"),
	LINK("m0/..a", "/a/a"),
	DIR("m1"),
	DIR("m1/a"),
	DIR("m1/a/b"),
	FILE_("m1/f", 1),
	LINK("m1/up", ".."),
	LINK("m1/d", "../out"),
	LINK("m1/a/x", "../../m0/a/f"),
	DIR("m2"),
	DIR("k"),
	FILE_("k/f0", 5),
	FILE_("k/f1", 0),
	{ "out", S_IFDIR | 0755, 0, NULL, true },
	{ "out/secret", S_IFREG | 0644, 9, NULL, true },
	{ "out/d", S_IFDIR | 0755, 0, NULL, true },
	{ "out/d/f", S_IFREG | 0644, 2, NULL, true },
};

/* Where entries go, by three bits. */
static const int parents[] = { 0, 1, 8, 9, 15, SCENARIO_IN_SCRATCH, SCENARIO_IN_ENTRY, 10 };

#define RO(host, guest)                                                                            \
	{                                                                                          \
		host, guest, false, false                                                          \
	}
#define RW(host, guest)                                                                            \
	{                                                                                          \
		host, guest, true, false                                                           \
	}
#define UNLINK(host, guest)                                                                        \
	{                                                                                          \
		host, guest, true, true                                                            \
	}

static const struct scenario_config configs[SCENARIO_CONFIGS] = {
	{ { RW("m0", "/a") }, NULL },
	{ { RW("m0", "/a"), RO("m1", "/a/a") }, NULL },
	{ { RO("m0", "/a"), RW("m1", "/a/a") }, NULL },
	{ { RW("m0", "/a"), RO("m1", "/b"), RO("k/f0", "/f"), RW("m2", "/x") }, NULL },
	{ { { NULL, NULL, false, false } }, NULL },
	{ { RW("m0", "/") }, NULL },
	{ { RO("m0", "/"), RW("m1", "/a") }, NULL },
	{ { RW("k/f0", "/a/b/f"), RW("m1", "/a/ab") }, NULL },
	{ { RW("m0", "/a"), RO("m0", "/b"), RW("m1", "/a/a") }, NULL },
	{ { RW("m0", "/a"), RO("m0/a", "/b") }, NULL },
	{ { RW("m0", "/a"), RO("k/f0", "/a/b") }, NULL },
	{ { RO("m0", "/a"), RW("m2", "/a/x/y") }, NULL },
	{ { RW("m0", "/a"), RW("m1", "/a/ab") }, NULL },
	{ { RW("m0", "/a"), RW("m1", "/a/b") }, NULL },
	{ { RW("m1", "/a"), RO("m2", "/a/a/b") }, NULL },
	{ { RW("m0", "/a"), RW("m1", "/a/a"), RO("m2", "/a/a/a"), RW("k/f1", "/a/a/f") }, NULL },
	{ { RW("m0", "/" N255), RO("m1", "/\xff\xfe"), RW("m2", "/a\nb"), RO("k/f0", "/\x1b[31m") },
		NULL },
	{ { RW("m0", "/a"), RW("m1", "/ab"), RO("m2", "/a.b"), RW("k/f0", "/..a") }, NULL },
	{ { UNLINK("k/f1", "/a"), RW("m0", "/b") }, NULL },
	{ { UNLINK("k/new", "/a/f"), RO("m1", "/a/b") }, NULL },
	{ { RW("k/new", "/f") }, NULL },
	{ { RO("m0", "/a"), UNLINK("k/f1", "/a/b") }, NULL },
	{ { RW("m2", "/a"), RW("m0", "/a/b") }, NULL },
	{ { RW("m0", "/a"), RW("m1", "/a/a/b"), RO("m2", "/a/a/b/a/b") }, NULL },
	{ { RW("m0", "/a"), RO("m1", "/a/a") }, "/a/a" },
	{ { RW("m0", "/a/b") }, "/a" },
	{ { RW("m0", "/a"), RW("k/new", "/a/f"), UNLINK("k/f1", "/a/a/f") }, "/a" },
	{ { RW("m1", "/"), RO("m0", "/a/b"), RW("k/f0", "/f") }, "/a" },
	{ { RW("m0", "/a"), RO("m1", "/x/y/a"), RW("m2", "/x/y/b") }, "/x" },
	{ { RW("m0", "//a/./x/"), RO("m1", "/a") }, NULL },
	{ { RO("m0", "/a"), RO("m0", "/a/a"), RW("m0", "/a/a/a") }, NULL },
	{ { RW("m1/a", "/a/b"), RW("m1", "/a/b/b"), RO("k/f1", "/x/y") }, NULL },
};

/* The forms of a row of the table. */
enum { VARIANT_AS_IS, VARIANT_READ_ONLY, VARIANT_OTHER_RIGHTS, VARIANT_BACKWARDS };

#define NAME(text)                                                                                 \
	{                                                                                          \
		text, sizeof(text) - 1                                                             \
	}

static const struct {
	const char *text;
	size_t len;
} names[32] = { NAME("a"), NAME("b"), NAME("ab"), NAME("f"), NAME(".."), NAME("a.b"), NAME("x"),
	NAME("y"), NAME("l"), NAME("."), NAME("up"), NAME("..a"), NAME("..."), NAME("out"),
	NAME("secret"), NAME("d"), NAME("new"), NAME("m0"), NAME("m1"), NAME("\xff\xfe"),
	NAME("a\nb"), NAME("\x1b[31m"), NAME("\xc0\xae\xc0\xae"), NAME("\xed\xa0\x80"), NAME(N255),
	NAME(N255 "n"), NAME("./."), NAME("d/d"), NAME(" "), NAME(":"), NAME("../.."), NAME("k") };

/* bits 0-1 how it is opened, then these. */
static const int flag_bits[6] = { O_CREAT, O_EXCL, O_TRUNC, O_NOFOLLOW, O_DIRECTORY, O_APPEND };

static uint8_t byte(struct scenario *s)
{
	return s->at < s->end ? *s->at++ : 0;
}

int scenario_mounts(int config, int variant, struct scenario_mount mounts[SCENARIO_MOUNTS])
{
	const struct scenario_mount *from = configs[config].mounts;
	int n = 0;

	while (n < SCENARIO_MOUNTS && from[n].host)
		n++;
	for (int i = 0; i < n; i++) {
		struct scenario_mount *mount =
			&mounts[variant == VARIANT_BACKWARDS ? n - 1 - i : i];

		*mount = from[i];
		if (mount->may_unlink ||
			!strcmp(mount->host, "k/new")) /* both need to be writable */
			continue;
		mount->writable = variant != VARIANT_READ_ONLY &&
				  mount->writable != (variant == VARIANT_OTHER_RIGHTS);
	}
	return n;
}

const char *scenario_cwd(int config)
{
	return configs[config].cwd ? configs[config].cwd : "/";
}

void scenario_begin(struct scenario *s, const uint8_t *data, size_t size)
{
	uint8_t how;

	s->at = data;
	s->end = data + size;
	s->config = byte(s) % SCENARIO_CONFIGS;
	how = byte(s);
	s->variant = how & HEAD_VARIANT;
	s->race = (how & HEAD_RACE) == HEAD_RACE;
	s->other = how & HEAD_OTHER;
	s->rephrase = how & HEAD_REPHRASE;
	s->entries_left = byte(s) & 15;
	if (s->entries_left > SCENARIO_ENTRIES)
		s->entries_left = 0;
	s->ops_left = SCENARIO_OPS;
}

static size_t put(char *to, size_t at, const char *text, size_t len)
{
	memcpy(to + at, text, len);
	return at + len;
}

/* Bytes as they are, for what no alphabet has. */
static void raw_path(struct scenario *s)
{
	size_t n = byte(s), at = 0;

	while (at < n && s->at < s->end)
		s->path[at++] = (char)byte(s);
	s->path[at] = 0;
}

/* As long as a path may be, or a little longer: some dots, slashes, then a name. */
static void long_path(struct scenario *s)
{
	size_t len = AROUND_LIMIT + (byte(s) & 15);
	const char *name = names[byte(s) % 4].text;
	size_t at = len - strlen(name);

	memset(s->path, '/', at);
	for (size_t i = 1; i < DOTS; i += 2)
		s->path[i] = '.';
	strcpy(s->path + at, name);
}

static void read_path(struct scenario *s)
{
	uint8_t how = byte(s);
	size_t at = 0;

	if (how == WILD)
		raw_path(s);
	if (how == LONG)
		long_path(s);
	if (how >= LONG)
		return;
	if (!(how & PATH_RELATIVE))
		s->path[at++] = '/';
	for (int i = 0; i < (how & PATH_NAMES); i++) {
		uint8_t which = byte(s), wild = which == WILD ? byte(s) : 0;

		if (i) {
			s->path[at++] = '/';
			if (how & PATH_DOUBLE)
				s->path[at++] = '/';
		}
		if (wild)
			s->path[at++] = (char)wild;
		else if (which != WILD)
			at = put(s->path, at, names[which % 32].text, names[which % 32].len);
	}
	if (how & PATH_SLASH)
		s->path[at++] = '/';
	s->path[at] = 0;
}

/* A single name: what is none is left out. */
static const char *entry_name(uint8_t which, size_t *len)
{
	const char *name = names[which % 32].text;

	*len = names[which % 32].len;
	if (*len > LONGEST || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..")) {
		*len = 1;
		return "z";
	}
	return name;
}

bool scenario_next_entry(struct scenario *s, struct scenario_entry *entry)
{
	static const mode_t modes[] = { S_IFLNK | 0777, S_IFDIR | 0755, S_IFREG | 0644,
		S_IFLNK | 0777, S_IFLNK | 0777, S_IFIFO | 0644, S_IFSOCK | 0644, S_IFDIR | 0755 };
	uint8_t what;

	if (!s->entries_left || s->at == s->end)
		return false;
	s->entries_left--;
	what = byte(s);
	entry->mode = modes[what & 7];
	entry->parent = parents[what >> 3 & 7];
	entry->name = entry_name(byte(s), &entry->name_len);
	entry->target = NULL;
	if (S_ISLNK(entry->mode)) {
		read_path(s);
		if (!s->path[0] || strlen(s->path) > 4000)
			strcpy(s->path, "/");
		entry->target = s->path;
	}
	return true;
}

static int read_flags(struct scenario *s)
{
	uint8_t bits = byte(s);
	int flags = bits & 3;

	if (bits == WILD) {
		flags = byte(s);
		for (int i = 0; i < 3; i++)
			flags = (int)((unsigned int)flags << 8 | byte(s));
		return flags;
	}
	if (flags == O_ACCMODE)
		flags = O_RDONLY;
	for (int i = 0; i < 6; i++)
		flags |= bits & 4 << i ? flag_bits[i] : 0;
	/* Refused at once, and hence dull. */
	return flags & O_CREAT && bits != 0xfe ? flags & ~O_DIRECTORY : flags;
}

bool scenario_rephrase(const char *path, char *out, size_t size)
{
	size_t at = 0;

	if (!path[0])
		return false;
	if (path[0] != '/')
		at = put(out, at, "./", 2);
	for (; *path; path++) {
		if (at + 6 > size)
			return false;
		at = *path == '/' ? put(out, at, "/.//", 4) : put(out, at, path, 1);
	}
	out[at] = 0;
	return true;
}

bool scenario_next_op(struct scenario *s, struct scenario_op *op)
{
	static const enum scenario_kind kinds[8] = { SCENARIO_OPEN, SCENARIO_STAT, SCENARIO_LSTAT,
		SCENARIO_MKDIR, SCENARIO_UNLINK, SCENARIO_LIST, SCENARIO_OPEN, SCENARIO_CLOSE };
	static const mode_t op_modes[4] = { 0644, 0600, 0755, 07777 };
	uint8_t what;

	if (!s->ops_left || s->at == s->end)
		return false;
	s->ops_left--;
	what = byte(s);
	*op = (struct scenario_op){ .kind = kinds[what & 7],
		.mode = op_modes[what >> 3 & 3],
		.which = what >> 3,
		.path = s->path };
	if (op->kind == SCENARIO_OPEN)
		op->flags = read_flags(s);
	if (op->kind == SCENARIO_LIST)
		op->flags = O_RDONLY | O_DIRECTORY;
	if (s->race) {
		op->race = byte(s);
		op->race_after = 1 + what / 64;
	}
	if (op->kind == SCENARIO_CLOSE)
		s->path[0] = 0;
	else
		read_path(s);
	return true;
}

static void print_quoted(FILE *out, const char *text, size_t len)
{
	char line[4 * SCENARIO_PATH + 1];
	size_t used = 0;

	escape_bytes(line, sizeof(line), &used, text, len);
	fprintf(out, "\"%s\"", line);
}

static void print_mounts(const struct scenario *s, FILE *out)
{
	struct scenario_mount mounts[SCENARIO_MOUNTS];
	int n = scenario_mounts(s->config, s->variant, mounts);

	for (int i = 0; i < n; i++) {
		fprintf(out, "mount \"%s\" ", mounts[i].host);
		print_quoted(out, mounts[i].guest, strlen(mounts[i].guest));
		fprintf(out, " %s%s%s\n", mounts[i].writable ? "rw" : "ro",
			mounts[i].may_unlink ? ",unlink" : "",
			mounts[i].host[0] == 'k' ? " file" : "");
	}
	if (strcmp(scenario_cwd(s->config), "/"))
		fprintf(out, "cwd \"%s\"\n", scenario_cwd(s->config));
}

static char letter_of(mode_t mode)
{
	return S_ISDIR(mode)    ? 'd'
	       : S_ISREG(mode)  ? 'f'
	       : S_ISLNK(mode)  ? 'l'
	       : S_ISFIFO(mode) ? 'p'
				: 's';
}

/* What golden text cannot say: for whoever makes NAME.d beside it. */
static void print_tree(struct scenario *s, FILE *out)
{
	struct scenario_entry entry;

	for (int i = 0; i < SCENARIO_BASE; i++) {
		const struct scenario_base *base = &scenario_base[i];

		fprintf(out, "# tree %c %s%s%s\n", letter_of(base->mode), base->path,
			base->target ? " -> " : "", base->target ? base->target : "");
	}
	while (scenario_next_entry(s, &entry)) {
		fprintf(out, "# tree %c %s ", letter_of(entry.mode),
			entry.parent >= 0                     ? scenario_base[entry.parent].path
			: entry.parent == SCENARIO_IN_SCRATCH ? "(scratch)"
							      : "(the last directory)");
		print_quoted(out, entry.name, entry.name_len);
		if (entry.target) {
			fputs(" -> ", out);
			print_quoted(out, entry.target, strlen(entry.target));
		}
		fputs("\n", out);
	}
}

static void print_flags(int flags, FILE *out)
{
	static const char *const how[] = { "rdonly", "wronly", "rdwr", "accmode" };
	static const struct {
		int bit;
		const char *name;
	} rows[] = { { O_CREAT, "creat" }, { O_EXCL, "excl" }, { O_NOCTTY, "noctty" },
		{ O_TRUNC, "trunc" }, { O_APPEND, "append" }, { O_NONBLOCK, "nonblock" } };
	int rest = flags & ~O_ACCMODE;

	fprintf(out, " %s", how[flags & O_ACCMODE]);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rest & rows[i].bit)
			fprintf(out, "+%s", rows[i].name);
		rest &= ~rows[i].bit;
	}
	if (rest)
		fprintf(out, "+%#x", (unsigned int)rest);
}

static void print_op(const struct scenario_op *op, FILE *out)
{
	static const char *const verbs[] = { "open", "stat", "stat", "mkdir", "unlink", "open",
		"close" };

	if (op->race)
		fprintf(out, "# race: mutation %#x after %d calls\n", op->race, op->race_after);
	fprintf(out, "%s ", verbs[op->kind]);
	if (op->kind == SCENARIO_CLOSE)
		fprintf(out, "%d", 3 + op->which);
	else
		print_quoted(out, op->path, strnlen(op->path, 4096));
	if (op->kind == SCENARIO_OPEN || op->kind == SCENARIO_LIST) {
		print_flags(op->flags, out);
		fprintf(out, " mode=%#o", op->mode);
	}
	if (op->kind == SCENARIO_STAT || op->kind == SCENARIO_LSTAT)
		fputs(op->kind == SCENARIO_STAT ? " stat" : " lstat", out);
	fputs(" -> ~0\n", out);
}

int scenario_print(const uint8_t *data, size_t size, FILE *out)
{
	static struct scenario s;
	struct scenario_op op;

	scenario_begin(&s, data, size);
	fputs("bjt 1\nguest \"none.elf\" abi=uhyve/2 mem=67108864\n", out);
	print_mounts(&s, out);
	print_tree(&s, out);
	fputs("omit t ip ptr n\n\n", out);
	while (scenario_next_op(&s, &op))
		print_op(&op, out);
	fputs("end\n", out);
	return ferror(out) ? -EIO : 0;
}
