// SPDX-License-Identifier: ISC
/* The head of golden text, read: a table of its lines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "err.h"
#include "scan.h"
#include "session.h" /* SESSION_CLOCK_NS */
#include "trace_record.h"
#include "trace_text_parts.h"

static int add_string(struct scan *in, struct strings *to, const char *what)
{
	char **list, *string = NULL;
	int r;

	if (!(to->n & (to->n + 1))) { /* 0, 1, 3, 7 ... are full */
		list = reallocarray(to->list, to->n + 1, 2 * sizeof(*list));
		if (!list)
			return scan_no_memory(in);
		to->list = list;
	}
	r = scan_string(in, &string, what);
	if (!r)
		to->list[to->n++] = string;
	return r;
}

typedef int header_fn(struct scan *in, struct trace_header *h);

static int take_abi(struct scan *in, struct trace_header *h)
{
	struct word s, name;
	const char *slash;
	uint64_t version;

	if (!scan_peek_key(in, "abi=", &s))
		return scan_expected(in, "abi=NAME/GENERATION");
	slash = memchr(s.p, '/', s.n);
	name = (struct word){ s.p, slash ? (size_t)(slash - s.p) : s.n };
	for (size_t i = 0; abi_list[i]; i++)
		if (word_is(name, abi_list[i]->name))
			h->abi = abi_list[i];
	if (!h->abi)
		return scan_expected(in, "an ABI that is known: abi=uhyve/2");
	if (!slash || !word_number((struct word){ slash + 1, s.n - name.n - 1 }, 10, &version) ||
		version > INT32_MAX)
		return scan_expected(in, "abi=NAME/GENERATION");
	h->abi_version = (int)version;
	scan_skip(in, s);
	return 0;
}

static int header_guest(struct scan *in, struct trace_header *h)
{
	int r = add_string(in, &h->argv, "the guest's name in quotes");

	if (!r)
		r = take_abi(in, h);
	if (!r)
		r = scan_keyed(in, "mem=", 10, UINT64_MAX, "mem=BYTES", &h->mem_size);
	if (!r && !scan_at_end(in)) {
		r = scan_sha256(in, h->guest_hash);
		h->has_guest_hash = true;
	}
	return r;
}

static int all_strings(struct scan *in, struct strings *to, const char *what)
{
	int r;

	do {
		r = add_string(in, to, what);
	} while (!r && !scan_at_end(in));
	return r;
}

static int header_argv(struct scan *in, struct trace_header *h)
{
	if (!h->argv.n)
		return scan_fail(in, "'argv' in front of 'guest'; expected it behind");
	return all_strings(in, &h->argv, "an argument in quotes");
}

static int header_kernel(struct scan *in, struct trace_header *h)
{
	return all_strings(in, &h->kernel_args, "an argument in quotes");
}

static int header_env(struct scan *in, struct trace_header *h)
{
	return add_string(in, &h->env, "\"NAME=VALUE\"");
}

static int header_cwd(struct scan *in, struct trace_header *h)
{
	return scan_string(in, &h->cwd, "a directory in quotes");
}

/* As they are written: every combination, in one order. */
static bool mount_options(struct scan *in, struct trace_mount *m)
{
	static const char *const words[] = { "ro", "rw", "ro,unlink", "rw,unlink", "ro,nohardlinks",
		"rw,nohardlinks", "ro,unlink,nohardlinks", "rw,unlink,nohardlinks" };

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!scan_take_word(in, words[i]))
			continue;
		m->writable = i & 1;
		m->may_unlink = i & 2;
		m->no_hardlinks = i & 4;
		return true;
	}
	return false;
}

static int header_limit(struct scan *in, struct trace_header *h)
{
	char key[16];
	int r = 0;

	for (size_t i = 0; !r && i < LIMITS; i++) {
		struct word rest;

		snprintf(key, sizeof(key), "%s=", limit_names[i]);
		if (scan_peek_key(in, key, &rest))
			r = scan_keyed(
				in, key, 10, UINT64_MAX, "a number", limit_at(&h->limits, i));
	}
	return r || scan_at_end(in) ? r : scan_expected(in, "fds=, scratch=, inodes=, depth=");
}

static int header_paths(struct scan *in, struct trace_header *h)
{
	h->utf8_paths = scan_take_word(in, "utf8");
	return h->utf8_paths ? 0 : scan_expected(in, "utf8");
}

static int header_partial(struct scan *in, struct trace_header *h)
{
	(void)in;
	h->partial = true;
	return 0;
}

static int header_mount(struct scan *in, struct trace_header *h)
{
	struct trace_mount *m = h->mounts;
	int r;

	if (!(h->n_mounts & (h->n_mounts + 1))) {
		m = reallocarray(m, h->n_mounts + 1, 2 * sizeof(*m));
		if (!m)
			return scan_no_memory(in);
		h->mounts = m;
	}
	m += h->n_mounts++;
	*m = (struct trace_mount){ 0 };
	r = scan_string(in, &m->host, "a host path in quotes");
	if (!r)
		r = scan_string(in, &m->guest, "a guest path in quotes");
	if (r)
		return r;
	if (!mount_options(in, m))
		return scan_expected(in, "ro or rw, with ,unlink and ,nohardlinks or without");
	m->is_file = scan_take_word(in, "file");
	return 0;
}

static int header_clock(struct scan *in, struct trace_header *h)
{
	return scan_keyed(in, "", 10, UINT64_MAX, "nanoseconds since 1970", &h->boot_time_ns);
}

static int header_seed(struct scan *in, struct trace_header *h)
{
	return scan_keyed(in, "", 10, UINT64_MAX, "a number", &h->seed);
}

/* For the reader's eyes. */
static int header_omit(struct scan *in, struct trace_header *h)
{
	(void)h;
	while (scan_take_word(in, "t") || scan_take_word(in, "ip") || scan_take_word(in, "ptr") ||
		scan_take_word(in, "n"))
		;
	return 0;
}

static const struct header_row {
	const char *key;
	bool repeats;
	header_fn *take;
} header_rows[] = {
	{ "guest", false, header_guest },
	{ "argv", false, header_argv },
	{ "kernel", false, header_kernel },
	{ "env", true, header_env },
	{ "cwd", false, header_cwd },
	{ "limit", false, header_limit },
	{ "paths", false, header_paths },
	{ "partial", false, header_partial },
	{ "mount", true, header_mount },
	{ "clock", false, header_clock },
	{ "seed", false, header_seed },
	{ "omit", false, header_omit },
};
enum { HEADER_ROWS = sizeof(header_rows) / sizeof(header_rows[0]) };

static int read_header_line(struct scan *in, struct trace_header *h, unsigned *seen)
{
	int r;

	for (size_t i = 0; i < HEADER_ROWS; i++) {
		const struct header_row *row = &header_rows[i];

		if (!scan_take_word(in, row->key))
			continue;
		if (*seen & 1u << i && !row->repeats)
			return scan_fail(in, "'%s' again; expected it once", row->key);
		*seen |= 1u << i;
		r = row->take(in, h);
		return r ? r : scan_end_of_line(in);
	}
	return scan_expected(in, "guest, argv, kernel, env, cwd, limit, paths, partial, mount, "
				 "clock, seed, omit, or an empty line in front of the calls");
}

static int read_version(struct scan *in, struct trace_header *h)
{
	int n = scan_next_line(in);
	uint64_t version;

	if (n < 0)
		return n;
	if (!n)
		return err_set(in->err, -EINVAL, "%.200s: empty; expected 'bjt 1'", in->name);
	if (!scan_take_word(in, "bjt"))
		return scan_expected(in, "'bjt 1': golden text begins so");
	n = scan_keyed(in, "", 10, UINT32_MAX, "a version", &version);
	if (n)
		return n;
	if (!version || version > TRACE_VERSION)
		return scan_fail(in, "version %llu; expected %d: a newer belljar wrote this",
			(unsigned long long)version, TRACE_VERSION);
	h->version = (unsigned)version;
	return scan_end_of_line(in);
}

/* Up to the first empty line. */
int text_read_header(struct scan *in, struct trace_header *h)
{
	int n = read_version(in, h);
	unsigned seen = 0;

	h->boot_time_ns = SESSION_CLOCK_NS;
	while (!n && (n = scan_line(in)) > 0) {
		if (scan_at_end(in))
			break;
		n = *in->at == '#' ? 0 : read_header_line(in, h, &seen);
	}
	if (n < 0)
		return n;
	if (!h->abi)
		return scan_fail(in, "no 'guest' line; expected one in the header");
	if (!h->cwd)
		h->cwd = strdup("/");
	return h->cwd ? 0 : scan_no_memory(in);
}
