// SPDX-License-Identifier: ISC
/* `monitor`: finds the command, checks its words, and says what is wrong with them. */
#include "gdb_monitor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "cpu.h"
#include "escape.h"
#include "gdb_regs.h"
#include "gdb_vm.h"

enum { NAME_LEN = 32, ECHO_LEN = 60 };

static void help(struct gdb_vm *g, const struct gdb_words *w, FILE *out);

static const struct gdb_command commands_help[] = {
	{ "help", "[COMMAND]", "this list, or all about a command", 0, -1, help },
	{ 0 },
};

static const struct group {
	const char *title;
	const struct gdb_command *commands;
} groups[] = {
	{ "The machine", gdb_commands_machine },
	{ "Its memory", gdb_commands_memory },
	{ "Its hypercalls", gdb_commands_calls },
	{ "Its files", gdb_commands_files },
	{ "Its time", gdb_commands_time },
	{ "", commands_help },
};
enum { GROUPS = sizeof(groups) / sizeof(groups[0]) };

/* ---- words ---- */

void gdb_monitor_quote(FILE *out, const char *text)
{
	char buf[4 * ECHO_LEN + 1];
	size_t used = 0, len = strlen(text);

	buf[0] = 0;
	escape_bytes(buf, sizeof(buf), &used, text, len < ECHO_LEN ? len : ECHO_LEN);
	fprintf(out, "\"%s\"%s", buf, len > ECHO_LEN ? "..." : "");
}

bool gdb_monitor_switch(FILE *out, const char *word, bool *on)
{
	bool is_on = !strcmp(word, "on");

	if (is_on || !strcmp(word, "off")) {
		*on = is_on;
		return true;
	}
	gdb_monitor_quote(out, word);
	fputs(" is neither on nor off\n", out);
	return false;
}

/* Digits and nothing else: "0x" and hex, or decimal. The end of them, or NULL. */
static const char *take_number(const char *at, uint64_t *value)
{
	bool hex = at[0] == '0' && (at[1] == 'x' || at[1] == 'X');
	const char *digits = hex ? "0123456789abcdefABCDEF" : "0123456789";
	size_t len = strspn(at + 2 * hex, digits);
	char *end;

	if (!len)
		return NULL;
	errno = 0;
	*value = strtoull(at, &end, hex ? 16 : 10);
	return errno ? NULL : end;
}

bool gdb_monitor_number(
	FILE *out, const char *word, const char *what, uint64_t min, uint64_t max, uint64_t *value)
{
	const char *end = take_number(word, value);

	if (end && !*end && *value >= min && *value <= max)
		return true;
	gdb_monitor_quote(out, word);
	fprintf(out, ": expected %s, a number from %" PRIu64 " to %" PRIu64 "\n", what, min, max);
	return false;
}

/* "$rsp": of no more than 64 bits. */
static const char *take_register(struct gdb_vm *g, const char *at, uint64_t *value)
{
	size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_");
	struct gdb_counts counts;
	char name[NAME_LEN] = "";
	struct cpu_state state;
	uint8_t bytes[GDB_REG_MAX] = { 0 };
	int n;

	if (len >= sizeof(name))
		return NULL;
	memcpy(name, at, len);
	n = !strcmp(name, "pc")   ? GDB_RIP
	    : !strcmp(name, "sp") ? GDB_RSP
	    : !strcmp(name, "fp") ? GDB_RBP
				  : gdb_reg_find(g->ops.has_avx, name);
	if (n < 0 || gdb_reg_size(g->ops.has_avx, (unsigned)n) > sizeof(*value) ||
		g->ops.get_state(g, &state, &counts))
		return NULL;
	gdb_reg_get(&state, &counts, (unsigned)n, bytes);
	memcpy(value, bytes, sizeof(*value));
	return at + len;
}

bool gdb_monitor_address(struct gdb_vm *g, FILE *out, const char *word, uint64_t *addr)
{
	const char *at = *word == '$' ? take_register(g, word + 1, addr) : take_number(word, addr);
	uint64_t offset = 0;
	char sign = at ? *at : 0;

	if (sign == '+' || sign == '-') {
		at = take_number(at + 1, &offset);
		*addr += sign == '+' ? offset : -offset;
	}
	if (at && !*at)
		return true;
	gdb_monitor_quote(out, word);
	fputs(": expected an address: a number such as 0x1000 or a register such as $rsp, and "
	      "+N or -N behind it if need be\n",
		out);
	return false;
}

/*
 * A socket may be reached by others than the one who started us (any user of this host, by TCP): so nobody replaces a
 * file, leaves the directory, follows a link, or makes a file that something else reads at its next start.
 */
bool gdb_monitor_file(FILE *out, const char *name, const char *suffix)
{
	size_t len = strlen(name), end = strlen(suffix);
	struct stat st;
	size_t most = GDB_FILE_MAX - sizeof(".tail") - 1;
	bool plain = len > end && len <= most && *name != '.' && *name != '-' &&
		     !strcmp(name + len - end, suffix);

	for (size_t i = 0; i < len; i++)
		plain &= name[i] != '/' && name[i] >= ' ' && name[i] <= '~';
	if (plain && lstat(name, &st) && errno == ENOENT)
		return true;
	gdb_monitor_quote(out, name);
	if (plain)
		fputs(" is there already; name another file\n", out);
	else if (len > most)
		fprintf(out, ": a name may have %zu letters\n", most);
	else
		fprintf(out,
			": expected NAME%s, without directory: it goes where belljar was started\n",
			suffix);
	return false;
}

/* ---- names ---- */

/* Does the line begin with these words? Where it goes on, or NULL. A '/' ends a word, too: xp/4xw, as QEMU takes it. */
static const char *behind(const char *line, const char *name)
{
	line += strspn(line, " \t");
	while (*name) {
		size_t n = strcspn(name, " ");

		if (strncmp(line, name, n) != 0 || (line[n] && !strchr(" \t/", line[n])))
			return NULL;
		line += n + strspn(line + n, " \t");
		name += n + (name[n] == ' ');
	}
	return line;
}

static const struct gdb_command *next(size_t *group, size_t *row)
{
	for (; *group < GROUPS; (*group)++, *row = 0)
		if (groups[*group].commands[*row].name)
			return &groups[*group].commands[(*row)++];
	return NULL;
}

/* The one with the longest name that the line begins with. */
static const struct gdb_command *find(const char *line, const char **rest)
{
	const struct gdb_command *c, *best = NULL;
	const char *at;

	for (size_t group = 0, row = 0; (c = next(&group, &row));) {
		at = behind(line, c->name);
		if (!at || (best && strlen(c->name) < strlen(best->name)))
			continue;
		best = c;
		*rest = at;
	}
	return best;
}

/* How many letters are to be put in, left out or replaced to make b of a. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[NAME_LEN + 1];
	size_t len = strlen(b);

	for (size_t i = 0; i <= len; i++)
		row[i] = (unsigned)i;
	for (; *a; a++) {
		unsigned corner = row[0]++;

		for (size_t i = 0; i < len; i++) {
			unsigned cost = corner + (*a != b[i]);

			corner = row[i + 1];
			if (cost > corner + 1)
				cost = corner + 1;
			if (cost > row[i] + 1)
				cost = row[i] + 1;
			row[i + 1] = cost;
		}
	}
	return row[len];
}

/* The line's first words, as many as name has. */
static void first_words(const char *line, const char *name, char buf[NAME_LEN])
{
	size_t used = 0;

	for (int words = strchr(name, ' ') ? 2 : 1; words; words--) {
		line += strspn(line, " \t");
		if (used && *line && used + 1 < NAME_LEN)
			buf[used++] = ' ';
		while (*line && *line != ' ' && *line != '\t') {
			if (used + 1 < NAME_LEN)
				buf[used++] = *line;
			line++;
		}
	}
	buf[used] = 0;
}

enum { TOO_FAR = 100 };

/* From the line's first words to a name: at most half may be wrong, of "info fds" of its last word; or it is begun. */
static unsigned misses(const char *line, const char *name)
{
	const char *last = strchr(name, ' ');
	size_t same = last ? (size_t)(last + 1 - name) : 0;
	char words[NAME_LEN];
	unsigned d;

	first_words(line, name, words);
	if (*words && !strncmp(words, name, strlen(words)))
		return 1;
	if (strncmp(words, name, same) != 0)
		same = 0;
	name += same;
	d = distance(words + same, name);
	return d <= strlen(name) / 2 ? d : TOO_FAR;
}

/* "fds" is near to "info fds", too. NULL: nothing is. */
static const struct gdb_command *nearest(const char *line)
{
	const struct gdb_command *c, *best = NULL;
	unsigned least = TOO_FAR;

	for (size_t group = 0, row = 0; (c = next(&group, &row));) {
		const char *last = strchr(c->name, ' ');
		unsigned d = misses(line, c->name), alone = last ? misses(line, last + 1) + 1 : d;

		if (alone < d)
			d = alone;
		if (d < least) {
			least = d;
			best = c;
		}
	}
	return best;
}

static void unknown(const char *line, FILE *out)
{
	const struct gdb_command *c = nearest(line);

	fputs("no such command: ", out);
	gdb_monitor_quote(out, line);
	if (c)
		fprintf(out, "; the nearest is \"%s\"", c->name);
	fputs("; monitor help lists them all\n", out);
}

/* ---- help ---- */

static int width(const struct gdb_command *c)
{
	return (int)(strlen(c->name) + 1 + strlen(c->args));
}

static void list(const char *prefix, FILE *out)
{
	const struct gdb_command *c;
	int widest = 0;

	for (size_t group = 0, row = 0; (c = next(&group, &row));)
		if (behind(c->name, prefix) && width(c) > widest)
			widest = width(c);
	for (size_t i = 0; i < GROUPS; i++) {
		bool titled = *prefix || !groups[i].title[0];

		for (c = groups[i].commands; c->name; c++) {
			if (!behind(c->name, prefix))
				continue;
			if (!titled)
				fprintf(out, "%s\n", groups[i].title);
			titled = true;
			fprintf(out, "  %s %-*s  %.*s\n", c->name,
				widest - (int)strlen(c->name) - 1, c->args,
				(int)strcspn(c->help, "\n"), c->help);
		}
	}
}

static void explain(const struct gdb_command *c, FILE *out)
{
	fprintf(out, "monitor %s%s%s\n", c->name, *c->args ? " " : "", c->args);
	for (const char *at = c->help; *at;) {
		int len = (int)strcspn(at, "\n");

		fprintf(out, "  %.*s\n", len, at);
		at += len + (at[len] == '\n');
	}
}

/* "info", "trace": what begins so. */
static bool is_prefix(const char *line)
{
	const struct gdb_command *c;

	for (size_t group = 0, row = 0; *line && (c = next(&group, &row));)
		if (behind(c->name, line))
			return true;
	return false;
}

static void help(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	const char *line = w->n ? w->list[0] : "", *rest;
	const struct gdb_command *c = find(line, &rest);

	(void)g;
	if (c)
		return explain(c, out);
	if (*line && !is_prefix(line))
		return unknown(line, out);
	list(line, out);
	if (!*line)
		fputs("monitor help COMMAND says more of one.\n", out);
}

/* ---- a line ---- */

/* buf takes the words apart. False: there are too many or too few. */
static bool split(const struct gdb_command *c, char *buf, struct gdb_words *w)
{
	char *save = NULL;

	*w = (struct gdb_words){ .n = 0 };
	if (c->most < 0) {
		for (size_t len = strlen(buf); len && strchr(" \t", buf[len - 1]);)
			buf[--len] = 0;
		if (*buf)
			w->list[w->n++] = buf;
		return w->n >= c->least;
	}
	for (char *at = strtok_r(buf, " \t", &save); at; at = strtok_r(NULL, " \t", &save)) {
		if (w->n == c->most)
			return false;
		w->list[w->n++] = at;
	}
	return w->n >= c->least;
}

void gdb_monitor_line(struct gdb_vm *g, const char *line, FILE *out)
{
	const char *rest = NULL;
	const struct gdb_command *c = find(line, &rest);
	autofree char *buf = NULL;
	struct gdb_words words;

	line += strspn(line, " \t");
	if (!c && is_prefix(line))
		return list(line, out);
	if (!c)
		return unknown(line, out);
	buf = strdup(rest);
	if (!buf) {
		fputs("out of memory\n", out);
		return;
	}
	if (split(c, buf, &words))
		return c->run(g, &words, out);
	fprintf(out, "%s: expected: monitor %s%s%s\n",
		words.n < c->least ? "too little" : "too much", c->name, *c->args ? " " : "",
		c->args);
}
