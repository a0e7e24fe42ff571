// SPDX-License-Identifier: ISC
/* belljar trace: recordings and golden text looked at. A table of verbs beneath it, each with its help. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "cmd.h"
#include "err.h"
#include "inode.h"
#include "log.h"
#include "minimize.h"
#include "subtrace.h"
#include "trace_diff.h"
#include "trace_export.h"
#include "trace_grep.h"
#include "trace_html.h"
#include "trace_read.h"
#include "trace_show.h"
#include "trace_stat.h"
#include "trace_text.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

enum { EXIT_NOT_FOUND = 1 }; /* as grep has it */

/* --- what the verbs share ------------------------------------------------------------------------- */

/* Words of a command line without its options, which may stand anywhere before "--". */
struct words {
	char **list; /* free it */
	size_t n;
};

/* As options_parse. */
static int parse(const struct cmd *cmd, void *options, int argc, char **argv, struct words *words,
	struct err *err)
{
	int first, r;

	*words = (struct words){ calloc((size_t)argc + 1, sizeof(char *)), 0 };
	if (!words->list)
		return err_set(err, -ENOMEM, "out of memory");
	for (;;) {
		bool plain;

		r = options_parse(cmd->options, options, argc, argv, &first, err);
		if (r)
			return r;
		plain = first > 1 && !strcmp(argv[first - 1], "--");
		do {
			if (first == argc)
				return 0;
			words->list[words->n++] = argv[first++];
		} while (plain);
		argc -= first - 1;
		argv += first - 1;
	}
}

/* What is left when no more can be done: the reason, and the exit code. */
static int give_up(const struct err *err)
{
	log_error("%s", err->text);
	return EXIT_OURS;
}

static int flush_stdout(int code)
{
	return cmd_flush(stdout, "standard output", code);
}

/* The killed recorder's last calls are beside FILE, where only we look. */
static void tell_of_tail(const char *file, const struct trace_reader *reader)
{
	unsigned long long n = trace_reader_recovered(reader);

	if (n)
		log_warn("%s: the last %llu call%s came from %s.tail; `belljar trace recover %s` "
			 "puts %s where other tools look",
			file, n, n == 1 ? "" : "s", file, file, n == 1 ? "it" : "them");
}

/* What a verb does with one trace. 0, or -errno with err. */
typedef int trace_fn(void *ctx, const char *file, struct trace_reader *reader, struct err *err);

static int with_trace(const char *file, trace_fn *fn, void *ctx)
{
	struct trace_reader *reader = NULL;
	struct err err = { "" };
	int r = trace_reader_open(&reader, file, &err);

	if (!r)
		r = fn(ctx, file, reader, &err);
	if (!r)
		tell_of_tail(file, reader);
	trace_reader_close(reader);
	if (!r)
		return EXIT_OK;
	fflush(stdout); /* what there is comes before the reason why there is no more */
	return give_up(&err);
}

/* One after the other, with a heading when there are several. The worst exit code. */
static int with_traces(const struct words *files, trace_fn *fn, void *ctx, bool headings)
{
	int code = EXIT_OK;

	for (size_t i = 0; i < files->n && !ferror(stdout); i++) {
		int c;

		if (headings && files->n > 1)
			printf("%s==> %s <==\n", i ? "\n" : "", files->list[i]);
		c = with_trace(files->list[i], fn, ctx);
		code = c > code ? c : code;
	}
	return flush_stdout(code);
}

static int parse_number(const char *text, uint64_t *value, struct err *err)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno)
		return err_set(err, -EINVAL, "not a number");
	return 0;
}

static const struct option_row no_options[] = { { 0 } };

/* --- show ----------------------------------------------------------------------------------------- */

struct show {
	struct trace_show_options o;
	bool bjt;
};

static int set_full(void *ctx, const char *value, struct err *err)
{
	(void)value, (void)err;
	((struct show *)ctx)->o.full = true;
	return 0;
}

static int set_header(void *ctx, const char *value, struct err *err)
{
	(void)value, (void)err;
	((struct show *)ctx)->o.header = true;
	return 0;
}

static int set_bjt(void *ctx, const char *value, struct err *err)
{
	(void)value, (void)err;
	((struct show *)ctx)->bjt = true;
	return 0;
}

static int set_from(void *ctx, const char *value, struct err *err)
{
	return parse_number(value, &((struct show *)ctx)->o.from, err);
}

static int set_to(void *ctx, const char *value, struct err *err)
{
	return parse_number(value, &((struct show *)ctx)->o.to, err);
}

static const struct option_row show_rows[] = {
	{ "full", 'f', OPTION_NO_ARG, NULL, "number, time, RIP and all data beneath each call",
		set_full },
	{ "verbose", 'v', OPTION_NO_ARG, NULL,
		"what the header says, and what the run changed in\nthe files, as lines that begin "
		"with #",
		set_header },
	{ "from", 0, OPTION_ARG, "N", "begin at call N; the first is 0", set_from },
	{ "to", 0, OPTION_ARG, "N", "end with call N", set_to },
	{ "bjt", 0, OPTION_NO_ARG, NULL,
		"as golden text; with --full what shifts, too, at the\nend of each line", set_bjt },
	{ 0 },
};

/* A trace as golden text. */
static int put_text(
	FILE *out, struct trace_reader *reader, const struct trace_show_options *o, struct err *err)
{
	const struct trace_header *header = trace_reader_header(reader);
	struct trace_text_config config = { .full = o->full };
	struct trace_record record;
	int r = trace_text_begin(out, header, &config, err);

	while (!r && (r = trace_reader_next(reader, &record, err)) > 0) {
		bool call = record.kind == TRACE_CALL || record.kind == TRACE_PENDING;

		r = 0;
		if (!call || (record.seq >= o->from && record.seq <= o->to))
			r = trace_text_put(out, header, &record, &config, err);
	}
	return r;
}

static int show_one(void *ctx, const char *file, struct trace_reader *reader, struct err *err)
{
	const struct show *show = ctx;

	(void)file;
	if (show->bjt)
		return put_text(stdout, reader, &show->o, err);
	return trace_show(stdout, reader, &show->o, err);
}

static int show_main(const struct cmd *cmd, int argc, char **argv)
{
	struct show show = { .o.to = UINT64_MAX };
	struct words words;
	struct err err = { "" };
	int code, r = parse(cmd, &show, argc, argv, &words, &err);

	if (!r && !words.n)
		r = err_set(&err, -EINVAL, "no trace given");
	if (r)
		code = r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	else
		code = with_traces(&words, show_one, &show, true);
	free(words.list);
	return code;
}

static const struct cmd trace_show_cmd = {
	.name = "trace show",
	.synopsis = "[OPTIONS] FILE...",
	.summary = "Print the calls as strace would have",
	.options = show_rows,
	.notes = "Example:\n  belljar trace show --from 40 --to 45 --full run.pcapng",
	.run = show_main,
};

/* --- stat ----------------------------------------------------------------------------------------- */

struct stat_options {
	enum trace_stat_sort sort;
	bool json;
};

static int set_sort(void *ctx, const char *value, struct err *err)
{
	for (int i = 0; i < TRACE_STAT_SORT_COUNT; i++)
		if (!strcmp(value, trace_stat_sort_names[i])) {
			((struct stat_options *)ctx)->sort = (enum trace_stat_sort)i;
			return 0;
		}
	return err_set(err, -EINVAL, "one of time, calls, errors, name, bytes");
}

static int set_stat_json(void *ctx, const char *value, struct err *err)
{
	(void)value, (void)err;
	((struct stat_options *)ctx)->json = true;
	return 0;
}

static const struct option_row stat_rows[] = {
	{ "sort", 's', OPTION_ARG, "KEY", "by time (default), calls, errors, name or bytes",
		set_sort },
	{ "json", 0, OPTION_NO_ARG, NULL, "a line of JSON for each trace", set_stat_json },
	{ 0 },
};

static int stat_one(void *ctx, const char *file, struct trace_reader *reader, struct err *err)
{
	const struct stat_options *o = ctx;
	struct trace_stat stat;
	int r = trace_stat_read(&stat, reader, err);

	if (r)
		return r;
	trace_stat_sort(&stat, o->sort);
	if (o->json)
		trace_stat_json(stdout, &stat, file);
	else
		trace_stat_print(stdout, &stat);
	trace_stat_finish(&stat);
	return 0;
}

static int stat_main(const struct cmd *cmd, int argc, char **argv)
{
	struct stat_options o = { .sort = TRACE_STAT_TIME };
	struct words words;
	struct err err = { "" };
	int code, r = parse(cmd, &o, argc, argv, &words, &err);

	if (!r && !words.n)
		r = err_set(&err, -EINVAL, "no trace given");
	if (r)
		code = r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	else
		code = with_traces(&words, stat_one, &o, !o.json);
	free(words.list);
	return code;
}

static const struct cmd trace_stat_cmd = {
	.name = "trace stat",
	.synopsis = "[OPTIONS] FILE...",
	.summary = "Count calls, errors, bytes and time, as strace -c does",
	.options = stat_rows,
	.notes = "In is from guest to host, out from host to guest. Golden text has no times.",
	.run = stat_main,
};

/* --- diff ----------------------------------------------------------------------------------------- */

static int set_all(void *ctx, const char *value, struct err *err)
{
	(void)value, (void)err;
	((struct trace_diff_options *)ctx)->all = true;
	return 0;
}

static int set_window(void *ctx, const char *value, struct err *err)
{
	struct trace_diff_options *o = ctx;
	uint64_t n;
	int r = parse_number(value, &n, err);

	if (!r && (!n || n > INT32_MAX / 2))
		return err_set(err, -EINVAL, "at least 1, at most %d", INT32_MAX / 2);
	o->window = (size_t)n;
	return r;
}

static const struct option_row diff_rows[] = {
	{ "all", 0, OPTION_NO_ARG, NULL, "every difference, not the first only", set_all },
	{ "window", 0, OPTION_ARG, "N",
		"compare N calls from the first difference on\n(default 262144); memory grows with "
		"it",
		set_window },
	{ 0 },
};

static int diff_main(const struct cmd *cmd, int argc, char **argv)
{
	struct trace_diff_options o = { 0 };
	struct trace_diff_result result;
	struct words words;
	struct err err = { "" };
	int code, r = parse(cmd, &o, argc, argv, &words, &err);

	if (!r && words.n != 2)
		r = err_set(&err, -EINVAL, "two traces are wanted");
	if (r) {
		code = r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	} else if (trace_diff(stdout, words.list[0], words.list[1], &o, &result, &err)) {
		fflush(stdout);
		code = give_up(&err);
	} else {
		code = flush_stdout(trace_diff_found(&result) ? EXIT_MISMATCH : EXIT_OK);
	}
	free(words.list);
	return code;
}

static const struct cmd trace_diff_cmd = {
	.name = "trace diff",
	.synopsis = "[OPTIONS] A B",
	.summary = "Compare two traces: the first difference, and how many there are",
	.options = diff_rows,
	.notes =
		"Questions and answers are compared; addresses, times and numbers of calls are "
		"not. Either\n"
		"may be a recording or golden text. Exits with 0 when all is the same, 3 when not.",
	.run = diff_main,
};

/* --- grep ----------------------------------------------------------------------------------------- */

struct grep {
	struct trace_condition *conditions;
	size_t n;
	bool count, full;
	uint64_t found;
	struct trace_lines lines;
};

static int set_count(void *ctx, const char *value, struct err *err)
{
	(void)value, (void)err;
	((struct grep *)ctx)->count = true;
	return 0;
}

static int set_grep_full(void *ctx, const char *value, struct err *err)
{
	(void)value, (void)err;
	((struct grep *)ctx)->full = true;
	return 0;
}

static const struct option_row grep_rows[] = {
	{ "count", 'c', OPTION_NO_ARG, NULL, "only say how many calls there are", set_count },
	{ "full", 'f', OPTION_NO_ARG, NULL, "number, time, RIP and all data beneath each call",
		set_grep_full },
	{ 0 },
};

static bool all_hold(const struct grep *grep, const struct trace_header *header,
	const struct trace_record *record)
{
	for (size_t i = 0; i < grep->n; i++)
		if (!trace_condition_holds(&grep->conditions[i], header, record))
			return false;
	return true;
}

static int grep_one(void *ctx, const char *file, struct trace_reader *reader, struct err *err)
{
	const struct trace_header *header = trace_reader_header(reader);
	struct grep *grep = ctx;
	struct trace_record record;
	int r;

	(void)file;
	while ((r = trace_reader_next(reader, &record, err)) > 0 && !ferror(stdout)) {
		if ((record.kind != TRACE_CALL && record.kind != TRACE_PENDING) ||
			!all_hold(grep, header, &record))
			continue;
		grep->found++;
		if (grep->count)
			continue;
		trace_lines_put(&grep->lines, &record);
		if (grep->full)
			trace_show_full(stdout, &record);
	}
	if (grep->count && !r)
		printf("%llu\n", (unsigned long long)grep->found);
	return r < 0 ? r : 0;
}

static int parse_conditions(struct grep *grep, const struct words *words, struct err *err)
{
	int r = 0;

	if (words->n < 2)
		return err_set(err, -EINVAL, words->n ? "no condition given" : "no trace given");
	grep->conditions = calloc(words->n, sizeof(*grep->conditions));
	if (!grep->conditions)
		return err_set(err, -ENOMEM, "out of memory");
	while (!r && grep->n < words->n - 1) {
		r = trace_condition_parse(
			&grep->conditions[grep->n], words->list[grep->n + 1], err);
		grep->n += !r;
	}
	return r;
}

static int grep_main(const struct cmd *cmd, int argc, char **argv)
{
	struct grep grep = { 0 };
	struct words words;
	struct err err = { "" };
	int code, r = parse(cmd, &grep, argc, argv, &words, &err);

	if (!r)
		r = parse_conditions(&grep, &words, &err);
	if (r) {
		code = r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	} else {
		trace_lines_init(&grep.lines, trace_line_to_stream, stdout);
		words.n = 1;
		code = with_traces(&words, grep_one, &grep, false);
		if (!code && !grep.found)
			code = EXIT_NOT_FOUND;
	}
	for (size_t i = 0; i < grep.n; i++)
		trace_condition_finish(&grep.conditions[i]);
	free(grep.conditions);
	free(words.list);
	return code;
}

static const struct cmd trace_grep_cmd = {
	.name = "trace grep",
	.synopsis = "[OPTIONS] FILE CONDITION...",
	.summary = "Print the calls that meet conditions",
	.options = grep_rows,
	.notes = trace_condition_help,
	.run = grep_main,
};

/* --- export --------------------------------------------------------------------------------------- */

typedef int export_fn(FILE *out, struct trace_reader *reader, struct err *err);
/* The same for those who have more to say. */
typedef int write_fn(void *ctx, FILE *out, struct trace_reader *reader, struct err *err);

struct format {
	const char *name;
	export_fn *write; /* NULL: a recording, which must be a file */
};

struct export
{
	const struct format *format;
	const char *output; /* NULL: standard output */
};

static int export_bjt(FILE *out, struct trace_reader *reader, struct err *err)
{
	return put_text(out, reader, &(struct trace_show_options){ .to = UINT64_MAX }, err);
}

static const struct format formats[] = {
	{ "jsonl", trace_export_jsonl },
	{ "chrome", trace_export_chrome },
	{ "bjt", export_bjt },
	{ "pcapng", NULL },
};

static int set_format(void *ctx, const char *value, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (!strcmp(value, formats[i].name)) {
			((struct export *)ctx)->format = &formats[i];
			return 0;
		}
	return err_set(err, -EINVAL, "one of jsonl, chrome, bjt, pcapng");
}

static int set_export_output(void *ctx, const char *value, struct err *err)
{
	if (!*value)
		return err_set(err, -EINVAL, "give a file name");
	((struct export *)ctx)->output = strcmp(value, "-") ? value : NULL;
	return 0;
}

static const struct option_row export_rows[] = {
	{ "format", 0, OPTION_ARG, "FORMAT", "jsonl, chrome, bjt or pcapng; needed", set_format },
	{ "output", 'o', OPTION_ARG, "OUT", "where it goes (default: standard output)",
		set_export_output },
	{ 0 },
};

/* Writing to what is being read would lose it. */
static int check_output(const char *file, const char *output, struct err *err)
{
	struct stat in, out;

	if (stat(output, &out) || !S_ISREG(out.st_mode))
		return 0;
	if (strcmp(file, "-") ? stat(file, &in) : fstat(STDIN_FILENO, &in))
		return 0;
	if (same_inode(&in, &out))
		return err_set(err, -EINVAL, "%s: is what is read; give another file", output);
	return 0;
}

/* Half a file would be taken for a whole one. */
static void drop_part(FILE *out, const char *output)
{
	struct stat st;

	if (!fstat(fileno(out), &st) && S_ISREG(st.st_mode))
		unlink(output);
}

/* Lets write fill the file, or standard output. */
static int write_output(const char *file, const char *output, write_fn *write, void *ctx,
	struct trace_reader *reader, struct err *err)
{
	FILE *out;
	int r;

	if (!output)
		return write(ctx, stdout, reader, err);
	r = check_output(file, output, err);
	if (r)
		return r;
	out = fopen(output, "we");
	if (!out)
		return err_set(err, -errno, "%s: %s", output, strerrordesc_np(errno));
	r = write(ctx, out, reader, err);
	if (!r && (fflush(out) || ferror(out)))
		r = err_set(err, -EIO, "%s: %s", output, strerrordesc_np(errno ? errno : EIO));
	if (r && ferror(out))
		drop_part(out, output);
	fclose(out);
	return r;
}

static int export_write(void *ctx, FILE *out, struct trace_reader *reader, struct err *err)
{
	const struct export *o = ctx;

	return o->format->write(out, reader, err);
}

static int export_one(void *ctx, const char *file, struct trace_reader *reader, struct err *err)
{
	const struct export *o = ctx;
	int r;

	if (o->format->write)
		return write_output(file, o->output, export_write, ctx, reader, err);
	r = check_output(file, o->output, err);
	return r ? r : trace_export_recording(o->output, reader, err);
}

static int check_export(const struct export *o, const struct words *words, struct err *err)
{
	if (!o->format)
		return err_set(
			err, -EINVAL, "no --format given; one of jsonl, chrome, bjt, pcapng");
	if (!o->format->write && !o->output)
		return err_set(err, -EINVAL, "a recording needs a file: give -o OUT");
	if (words->n != 1)
		return err_set(err, -EINVAL, words->n ? "one trace at a time" : "no trace given");
	return 0;
}

static int export_main(const struct cmd *cmd, int argc, char **argv)
{
	struct export o = { 0 };
	struct words words;
	struct err err = { "" };
	int code, r = parse(cmd, &o, argc, argv, &words, &err);

	if (!r)
		r = check_export(&o, &words, &err);
	if (r)
		code = r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	else
		code = with_traces(&words, export_one, &o, false);
	free(words.list);
	return code;
}

static const struct cmd trace_export_cmd = {
	.name = "trace export",
	.synopsis = "--format FORMAT FILE [-o OUT]",
	.summary = "Write a trace for other tools",
	.options = export_rows,
	.notes = "jsonl   a line of JSON for each record, the header first; nothing is lost: bytes "
		 "that are\n"
		 "        not UTF-8 are {\"hex\":...}, numbers beyond 2^53 strings\n"
		 "chrome  trace events, for ui.perfetto.dev and chrome://tracing\n"
		 "bjt     golden text\n"
		 "pcapng  a recording, for Wireshark or `belljar replay`\n\n"
		 "Example:\n"
		 "  belljar trace export --format jsonl run.pcapng | jq 'select(.ret < 0)'",
	.run = export_main,
};

/* --- html ----------------------------------------------------------------------------------------- */

struct html {
	const char *output, *file;
	uint64_t limit;
};

static int set_html_output(void *ctx, const char *value, struct err *err)
{
	if (!*value)
		return err_set(err, -EINVAL, "give a file name");
	((struct html *)ctx)->output = value;
	return 0;
}

static int set_limit(void *ctx, const char *value, struct err *err)
{
	struct html *o = ctx;
	int r = parse_number(value, &o->limit, err);

	if (!r && o->limit > TRACE_HTML_LIMIT_MAX)
		return err_set(err, -EINVAL, "at most %d", TRACE_HTML_LIMIT_MAX);
	return r;
}

static const struct option_row html_rows[] = {
	{ "output", 'o', OPTION_ARG, "OUT.html",
		"where the page goes, - for standard output; needed", set_html_output },
	{ "limit", 0, OPTION_ARG, "N", "list the first N calls (default 50000)", set_limit },
	{ 0 },
};

static int html_write(void *ctx, FILE *out, struct trace_reader *reader, struct err *err)
{
	const struct html *o = ctx;

	return trace_html(out, o->file, reader, o->limit, err);
}

static int html_one(void *ctx, const char *file, struct trace_reader *reader, struct err *err)
{
	struct html *o = ctx;

	o->file = file;
	return write_output(
		file, strcmp(o->output, "-") ? o->output : NULL, html_write, o, reader, err);
}

static int html_main(const struct cmd *cmd, int argc, char **argv)
{
	struct html o = { .limit = TRACE_HTML_LIMIT };
	struct words words;
	struct err err = { "" };
	int code, r = parse(cmd, &o, argc, argv, &words, &err);

	if (!r && words.n != 1)
		r = err_set(&err, -EINVAL, words.n ? "one trace at a time" : "no trace given");
	if (!r && !o.output)
		r = err_set(&err, -EINVAL, "no -o OUT.html given");
	if (r)
		code = r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	else
		code = with_traces(&words, html_one, &o, false);
	free(words.list);
	return code;
}

static const struct cmd trace_html_cmd = {
	.name = "trace html",
	.synopsis = "FILE -o OUT.html",
	.summary = "Write one self-contained page: timeline, table, list, search",
	.options = html_rows,
	.notes =
		"The page loads nothing from anywhere. Its search takes text and the conditions of "
		"`belljar\n"
		"trace grep`; #q=call=open behind its address does a search at once.",
	.run = html_main,
};

/* --- recover -------------------------------------------------------------------------------------- */

static int recover_main(const struct cmd *cmd, int argc, char **argv)
{
	struct words words;
	struct err err = { "" };
	int code = EXIT_OK, r = parse(cmd, NULL, argc, argv, &words, &err);

	if (!r && !words.n)
		r = err_set(&err, -EINVAL, "no recording given");
	if (r)
		code = r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	for (size_t i = 0; !r && i < words.n; i++) {
		int done = trace_recover(words.list[i], &err);

		if (done < 0)
			code = give_up(&err);
		else
			printf("%s: %s\n", words.list[i],
				done ? "recovered" : "nothing to recover");
	}
	free(words.list);
	return r ? code : flush_stdout(code);
}

static const struct cmd trace_recover_cmd = {
	.name = "trace recover",
	.synopsis = "FILE...",
	.summary = "Put what a killed recorder left in FILE.tail where it belongs",
	.options = no_options,
	.notes = "Afterwards FILE alone is the recording, and other tools see all of it. May be "
		 "interrupted\nand done over again.",
	.run = recover_main,
};

/* --- minimize ------------------------------------------------------------------------------------- */

static int set_output_file(void *ctx, const char *value, struct err *err)
{
	enum trace_format format;

	((struct minimize_options *)ctx)->out = value;
	return subtrace_format_of(value, &format, err);
}

static int set_max_tries(void *ctx, const char *value, struct err *err)
{
	struct minimize_options *o = ctx;
	int r = parse_number(value, &o->max_tries, err);

	return r || o->max_tries ? r : err_set(err, -EINVAL, "at least 1");
}

static const struct option_row minimize_rows[] = {
	{ "output", 'o', OPTION_ARG, "FILE", "where the result goes: .bjt or .pcapng; needed",
		set_output_file },
	{ "max-tries", 0, OPTION_ARG, "N", "stop after trying N smaller traces (default 10000)",
		set_max_tries },
	{ 0 },
};

static int say_minimized(const struct minimize_options *o, const struct minimize_result *result)
{
	printf("%s: %zu of %zu calls fail alike, after %llu tries: %s\n", o->out, result->calls,
		result->calls_before, (unsigned long long)result->tries, result->reason);
	if (result->no_files)
		log_warn("%s: without the mapped files, which golden text keeps beside it and a "
			 "recording in it: to replay it, choose a name that ends as FILE's",
			o->out);
	if (!result->minimal)
		printf("The search ended early: there may be a smaller one.\n");
	return flush_stdout(EXIT_OK);
}

static int minimize_trace(struct minimize_options *o)
{
	struct minimize_result result;
	struct err err = { "" };

	o->progress = isatty(STDERR_FILENO) ? stderr : NULL;
	return minimize_main(o, &result, &err) ? give_up(&err) : say_minimized(o, &result);
}

/* What stands behind "--" is a command and not parsed. */
static int minimize_verb_main(const struct cmd *cmd, int argc, char **argv)
{
	struct minimize_options o = { 0 };
	struct words words;
	struct err err = { "" };
	int code, r, n = 1;

	while (n < argc && strcmp(argv[n], "--"))
		n++;
	if (n < argc) {
		o.command = argv + n + 1;
		o.n_command = (size_t)(argc - n - 1);
	}
	r = parse(cmd, &o, n, argv, &words, &err);
	if (!r && words.n != 1)
		r = err_set(&err, -EINVAL,
			words.n ? "give one trace, and a command behind --" : "no trace given");
	if (!r && !o.out)
		r = err_set(&err, -EINVAL, "no -o FILE given");
	if (!r && o.command && !o.n_command)
		r = err_set(&err, -EINVAL, "no command behind --");
	o.file = !r ? words.list[0] : NULL;
	if (r)
		code = r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	else
		code = minimize_trace(&o);
	free(words.list);
	return code;
}

static const struct cmd trace_minimize_cmd = {
	.name = "trace minimize",
	.synopsis = "FILE -o OUT [OPTIONS] [-- COMMAND... {} ...]",
	.summary = "Leave out what a failing trace does not need to fail",
	.options = minimize_rows,
	.notes = "A trace fails when its replay in the guest's place differs, and a smaller one "
		 "fails alike when\n"
		 "the same call differs first, in the same way. With a COMMAND it fails when that, "
		 "with the\n"
		 "trace's path for {}, exits with the same code as for FILE, other than 0.\n\n"
		 "An open goes together with the calls that use its descriptor, and what makes a "
		 "path together\n"
		 "with its users. The files of golden text stay where they are: replay OUT with "
		 "--tree FILE's.d.\n\n"
		 "Examples:\n"
		 "  belljar trace minimize failing.pcapng -o small.pcapng\n"
		 "  belljar trace minimize run.pcapng -o small.bjt -- ./check {}",
	.run = minimize_verb_main,
};

/* --- the table ------------------------------------------------------------------------------------ */

static const struct cmd *const verbs[] = { &trace_show_cmd, &trace_stat_cmd, &trace_diff_cmd,
	&trace_export_cmd, &trace_grep_cmd, &trace_html_cmd, &trace_minimize_cmd,
	&trace_recover_cmd };

/* "show" of "trace show" */
static const char *short_name(const struct cmd *verb)
{
	return strchr(verb->name, ' ') + 1;
}

static int help(const struct cmd *cmd)
{
	printf("Usage: belljar %s %s\n\n%s.\n\nVerbs:\n", cmd->name, cmd->synopsis, cmd->summary);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		printf("  %-10s%s\n", short_name(verbs[i]), verbs[i]->summary);
	printf("\n%s\n", cmd->notes);
	return EXIT_OK;
}

static int cmd_trace_main(const struct cmd *cmd, int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : NULL;
	struct err err = { "" };

	if (!verb) {
		err_set(&err, -EINVAL, "no verb given");
		return cmd_usage(cmd, &err);
	}
	if (!strcmp(verb, "--help") || !strcmp(verb, "-h") || !strcmp(verb, "help"))
		return help(cmd);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (!strcmp(verb, short_name(verbs[i])))
			return verbs[i]->run(verbs[i], argc - 1, argv + 1);
	err_set(&err, -EINVAL, "%s: no such verb", verb);
	return cmd_usage(cmd, &err);
}

const struct cmd cmd_trace = {
	.name = "trace",
	.synopsis = "VERB [OPTIONS] FILE...",
	.summary = "Look at recordings and golden text: show, stat, diff, export, grep, html",
	.notes = "`belljar trace VERB --help` explains a verb. FILE is a recording (.pcapng), "
		 "golden "
		 "text\n"
		 "(.bjt), or - for standard input.",
	.run = cmd_trace_main,
};
