// SPDX-License-Identifier: ISC
/* belljar record: run a guest and write every hypercall to a file. */
#include <errno.h>
#include <string.h>

#include "cmd.h"
#include "err.h"
#include "log.h"
#include "record.h"
#include "session.h"
#include "tree.h"

static int set_output(void *ctx, const char *value, struct err *err)
{
	if (!*value)
		return err_set(err, -EINVAL, "give a file name");
	if (!strcmp(value, "-"))
		return err_set(err, -EINVAL,
			"a recording needs a file to survive being killed; for a file of that name "
			"give ./-");
	((struct record_options *)ctx)->file = value;
	return 0;
}

static int set_on_error(void *ctx, const char *value, struct err *err)
{
	static const char *const names[] = {
		[TRACE_ERROR_STOP] = "stop", [TRACE_ERROR_CONTINUE] = "continue"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(value, names[i])) {
			((struct record_options *)ctx)->on_error = (enum trace_on_error)i;
			return 0;
		}
	return err_set(err, -EINVAL, "one of stop, continue");
}

static int set_tree_limit(void *ctx, const char *value, struct err *err)
{
	struct record_options *o = ctx;
	int r = options_parse_size(value, &o->tree_limit, err);

	if (!r && !o->tree_limit)
		return err_set(err, -EINVAL, "for a recording without files give --no-tree");
	return r;
}

static int set_no_tree(void *ctx, const char *value, struct err *err)
{
	(void)value, (void)err;
	((struct record_options *)ctx)->no_tree = true;
	return 0;
}

static const struct option_row record_rows[] = {
	{ "output", 'o', OPTION_ARG, "FILE", "where the recording goes (.pcapng); needed",
		set_output },
	{ "on-record-error", 0, OPTION_ARG, "stop|continue",
		"when it cannot be written on (disk full ...): stop\nthe guest (the default) and "
		"exit 125, or let it\ngo on",
		set_on_error },
	{ "tree-limit", 0, OPTION_ARG, "SIZE",
		"store the mapped files up to this size in all\n(default 64M)", set_tree_limit },
	{ "no-tree", 0, OPTION_NO_ARG, NULL,
		"do not store the mapped files: replays with --guest\nonly", set_no_tree },
	{ 0 },
};

static int record_guest(
	struct session *s, char **words, size_t n_words, const struct record_options *o)
{
	const struct vm_stop *stop;
	struct err err = { "" };
	int code, r = record_session(s, words, n_words, o, &stop, &err);

	if (r && !stop) {
		log_error("%s: %s", words[0], err.text);
		return session_exit_code(s, NULL);
	}
	if (r && o->on_error == TRACE_ERROR_STOP) {
		log_error("%s", err.text);
		return EXIT_OURS;
	}
	code = session_exit_code(s, stop);
	if (r)
		log_error("the recording is not whole: %s", err.text);
	return code;
}

static int cmd_record_main(const struct cmd *cmd, int argc, char **argv)
{
	struct record_options o = { .tree_limit = (uint64_t)TREE_DEFAULT_LIMIT_MB << 20 };
	struct err err = { "" };
	struct session session;
	int first, code, r;

	session_init(&session);
	session.options.deterministic = true;
	r = options_parse_with_vm(
		cmd->options, &o, cmd->vm_options, &session.options, argc, argv, &first, &err);
	if (!r)
		r = vm_options_check(&session.options, argv[first], &err);
	if (!r)
		r = vm_options_check_core(&session.options, o.file, "the recording", &err);
	if (!r && !o.file)
		r = err_set(&err, -EINVAL, "no -o FILE given");
	if (!r && first == argc)
		r = err_set(&err, -EINVAL, "no guest given");
	if (r)
		code = r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	else
		code = record_guest(&session, argv + first, (size_t)(argc - first), &o);
	session_finish(&session);
	return session_die(code);
}

const struct cmd cmd_record = {
	.name = "record",
	.synopsis = "-o FILE [OPTIONS] GUEST [--] [ARGS...]",
	.summary = "Run a guest and write every hypercall to a file",
	.options = record_rows,
	.vm_options = vm_option_rows,
	.notes = "The guest runs as under --deterministic. FILE is pcapng: Wireshark opens it, "
		 "`belljar trace`\n"
		 "reads it, `belljar replay` runs it again. FILE.tail beside it holds the last "
		 "calls "
		 "while the\n"
		 "guest runs; after a kill they are read from there, and `belljar trace recover "
		 "FILE` puts\n"
		 "them where they belong.\n\n"
		 "Example:\n"
		 "  belljar record -o run.pcapng --mount ./data:/data guest.elf -- /data/x",
	.run = cmd_record_main,
};
