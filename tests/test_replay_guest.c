// SPDX-License-Identifier: ISC
/* Divergence reports, from calls made by hand: what counts as the same, and how the rest is told. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "abi.h"
#include "cmd.h"
#include "divergence.h"
#include "err.h"
#include "golden.h"
#include "replay.h"
#include "session.h"
#include "tmptree.h"
#include "unit.h"

static struct trace_header header(void)
{
	return (struct trace_header){ .abi = &abi_uhyve, .abi_version = 2 };
}

/* A call by name, with its fields in order and the bytes that it gives the host. */
static struct trace_record call(
	const char *name, uint64_t a, uint64_t b, uint64_t c, const char *in)
{
	const struct trace_header h = header();
	const struct hcall_row *row = trace_row_of_name(&h, name, strlen(name));

	return (struct trace_record){ .kind = TRACE_CALL,
		.row = row,
		.port = row->port,
		.args = { a, b, c },
		.in = (const uint8_t *)in,
		.in_len = in ? strlen(in) : 0 };
}

static void addresses_are_not_compared(void)
{
	struct trace_record a = call("write", 1, 0x1000, 3, "abc");
	struct trace_record b = call("write", 1, 0x2000, 3, "abc");

	CU_ASSERT_TRUE(divergence_same_call(&a, &b));
	b.rip = 77;
	CU_ASSERT_TRUE(divergence_same_call(&a, &b));
}

static void everything_else_is_compared(void)
{
	const struct trace_record a = call("write", 1, 0, 3, "abc");
	const struct trace_record others[] = {
		call("write", 2, 0, 3, "abc"),
		call("write", 1, 0, 4, "abc"),
		call("write", 1, 0, 3, "abd"),
		call("write", 1, 0, 3, "ab"),
		call("write", 1, 0, 3, NULL),
		call("write@0x400", 1, 0, 3, "abc"),
		call("read", 1, 0, 3, NULL),
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		CU_ASSERT_FALSE(divergence_same_call(&a, &others[i]));
}

static void only_the_bytes_of_a_field_count(void)
{
	struct trace_record a = call("close", (uint64_t)-1, 0, 0, NULL);
	struct trace_record b = call("close", 0xffffffff, 0, 0, NULL);

	CU_ASSERT_TRUE(divergence_same_call(&a, &b));
	b.args[0] = 0xfffffffe;
	CU_ASSERT_FALSE(divergence_same_call(&a, &b));
}

static char *report_of(const struct divergence *d, bool json)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (json)
		divergence_print_json(out, d);
	else
		divergence_print(out, d, false);
	fclose(out);
	CU_ASSERT_EQUAL(strlen(text), len);
	for (size_t i = 0; i < len; i++)
		CU_ASSERT_TRUE(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
	return text;
}

static void check_report(const struct divergence *d, const char *want)
{
	char *text = report_of(d, false);

	if (strcmp(text, want) != 0)
		printf("--- got\n%s--- want\n%s---\n", text, want);
	CU_ASSERT_STRING_EQUAL(text, want);
	free(text);
}

static void tells_a_changed_byte(void)
{
	const struct trace_header h = header();
	struct trace_record got = call("write", 4, 0, 9, "total=17\n");
	struct trace_record expected = call("write", 4, 0, 10, "total=189\n");
	struct trace_record before = call("close", 3, 0, 0, NULL);
	struct trace_record next = call("exit", 0, 0, 0, NULL);
	const struct divergence d = { .file = "a.bjt",
		.text = true,
		.header = &h,
		.kind = DIVERGENCE_CHANGED,
		.seq = 41,
		.frames = "0x100b02  write_line+0x1c (main.c:88)\n0x100c00  main\n",
		.got = &got,
		.expected = &expected,
		.before = { &before },
		.n_before = 1,
		.next = { &next },
		.n_next = 1,
		.followed = 2,
		.has_nearest = true,
		.nearest = 12 };

	before.seq = 40;
	next.seq = 42;
	next.ends = true;
	expected.where = 96;
	check_report(&d,
		"DIVERGENCE at call 41 (guest-side)  exit 3\n"
		"  guest    0x100b02  write_line+0x1c (main.c:88)\n"
		"           0x100c00  main\n"
		"  call     write                expected write                same\n"
		"  fd       4                    expected 4                    same\n"
		"  in       9 bytes              expected 10 bytes             DIFFERS at byte 7\n"
		"           74 6f 74 61 6c 3d 31 [37 0a]      \"total=17\\n\"\n"
		"  expected 74 6f 74 61 6c 3d 31 [38 39 0a]   \"total=189\\n\"\n"
		"  len      9                    expected 10                   DIFFERS\n"
		"  before   40 close 3 -> 0\n"
		"  next     42 exit 0\n"
		"  looks like: CHANGED (the following 2 calls would match)\n"
		"  nearest other match: call 12, equal\n"
		"  trace    a.bjt:96\n");
}

static void tells_where_one_is_shorter(void)
{
	const struct trace_header h = header();
	struct trace_record got = call("open", 0, O_RDWR | O_CREAT, 0644, "/out/a");
	struct trace_record expected = call("open", 0, O_RDWR, 0, "/out/ab");
	const struct divergence d = { .file = "a.pcapng",
		.header = &h,
		.wrong_guest = true,
		.cpu = "kvm adds avx",
		.frames = "",
		.got = &got,
		.expected = &expected };

	expected.where = 0x123;
	check_report(&d, "DIVERGENCE at call 0 (guest-side)  exit 3\n"
			 "  WRONG-GUEST? this image is not the one that was recorded\n"
			 "  cpu      kvm adds avx\n"
			 "  call     open                 expected open                 same\n"
			 "  path     \"/out/a\"             expected \"/out/ab\"            "
			 "DIFFERS at byte 6\n"
			 "           2f 6f 75 74 2f 61 []     \"/out/a\"\n"
			 "  expected 2f 6f 75 74 2f 61 [62]   \"/out/ab\"\n"
			 "  flags    rdwr+creat           expected rdwr                 DIFFERS\n"
			 "  mode     0644                 expected 0                    DIFFERS\n"
			 "  looks like: CHANGED (what follows does not match)\n"
			 "  trace    a.pcapng offset 0x123\n");
}

static void tells_how_a_guest_ended(void)
{
	const struct trace_header h = header();
	const struct trace_record expected = {
		.kind = TRACE_END, .stop_kind = VM_EXITED, .where = 7
	};
	const struct divergence d = { .file = "a.bjt",
		.text = true,
		.header = &h,
		.kind = DIVERGENCE_END,
		.seq = 3,
		.frames = "",
		.ended = "triple fault",
		.expected = &expected };

	check_report(&d, "DIVERGENCE at call 3 (guest-side)  exit 3\n"
			 "  ended    triple fault\n"
			 "  call     none                 expected end, exit 0          DIFFERS\n"
			 "  looks like: END (the trace ends in another way)\n"
			 "  trace    a.bjt:7\n");
}

static void tells_values_as_their_kind_is(void)
{
	static const struct {
		const char *name;
		uint64_t args[2][3];
		const char *line; /* without what pads it */
	} rows[] = {
		{ "lseek", { { 3, 1, SEEK_SET }, { 3, 1, SEEK_END } },
			"whence set expected end DIFFERS" },
		{ "lseek", { { 3, 1, 9 }, { 3, 1, SEEK_CUR } }, "whence 9 expected cur DIFFERS" },
		{ "lseek", { { 3, (uint64_t)-1, 0 }, { 3, 1, 0 } },
			"offset -1 expected 1 DIFFERS" },
		{ "stat", { { 0, 0, 0 }, { 0, 1, 0 } }, "kind stat expected lstat DIFFERS" },
		{ "serial_write_byte", { { 'a' }, { 0xff } },
			"byte \"a\" expected \"\\xff\" DIFFERS" },
		{ "open", { { 0, O_RDWR | O_CREAT | 0x10000000, 0 }, { 0, O_RDONLY, 0 } },
			"flags rdwr+creat+0x10000000 expected rdonly DIFFERS" },
		{ "open", { { 0, O_WRONLY | O_SYNC | O_APPEND, 0644 }, { 0, O_WRONLY, 0644 } },
			" expected wronly DIFFERS" },
		{ "getdents", { { 3, 0, 512 }, { 3, 0, 1024 } }, "len 512 expected 1024 DIFFERS" },
	};
	const struct trace_header h = header();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const uint64_t(*v)[3] = rows[i].args;
		struct trace_record got = call(rows[i].name, v[0][0], v[0][1], v[0][2], NULL);
		struct trace_record expected = call(rows[i].name, v[1][0], v[1][1], v[1][2], NULL);
		const struct divergence d = {
			.file = "a", .header = &h, .frames = "", .got = &got, .expected = &expected
		};
		char *text = report_of(&d, false), *to = text;

		for (const char *at = text; *at; at++) /* runs of blanks become one */
			if (*at != ' ' || at[1] != ' ')
				*to++ = *at;
		*to = 0;
		if (!strstr(text, rows[i].line))
			printf("     '%s' not in\n%s", rows[i].line, text);
		CU_ASSERT_PTR_NOT_NULL(strstr(text, rows[i].line));
		free(text);
	}
}

static void tells_results_and_memory(void)
{
	const struct trace_header h = header();
	struct trace_record got = call("unlink", 0, 0, 0, NULL),
			    expected = call("unlink", 0, 0, 0, "/x");
	const struct divergence d = { .file = "a",
		.header = &h,
		.frames = "",
		.has_result = true,
		.got = &got,
		.expected = &expected };
	char *text;

	got.fault = true;
	got.result = -14;
	expected.result = 7;
	text = report_of(&d, false);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "path     outside RAM          expected \"/x\""));
	CU_ASSERT_PTR_NOT_NULL(strstr(
		text, "memory   outside RAM          expected in RAM               DIFFERS"));
	CU_ASSERT_PTR_NOT_NULL(strstr(
		text, "result   -EFAULT              expected 7                    DIFFERS"));
	free(text);
	got.fault = false;
	expected.fault = true;
	got.result = -99999;
	text = report_of(&d, false);
	CU_ASSERT_PTR_NOT_NULL(strstr(
		text, "memory   in RAM               expected outside RAM          DIFFERS"));
	CU_ASSERT_PTR_NOT_NULL(strstr(
		text, "result   -99999               expected 7                    DIFFERS"));
	free(text);
	text = report_of(&d, true);
	CU_ASSERT_PTR_EQUAL(strchr(text, '\n'), text + strlen(text) - 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "-99999"));
	free(text);
}

static void colours_only_what_differs(void)
{
	const struct trace_header h = header();
	struct trace_record got = call("close", 3, 0, 0, NULL),
			    expected = call("close", 4, 0, 0, NULL);
	const struct trace_record crash = { .kind = TRACE_END, .stop_kind = VM_CRASHED };
	struct divergence d = { .file = "a",
		.header = &h,
		.frames = "",
		.wrong_guest = true,
		.got = &got,
		.expected = &expected };
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	divergence_print(out, &d, true);
	fclose(out);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\033[1;31m"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\033[0m"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "same\n"));
	free(text);
	d.expected = &crash; /* the guest asks on where it crashed before */
	d.kind = DIVERGENCE_END;
	text = report_of(&d, true);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"wrong_guest\":true"));
	free(text);
	text = report_of(&d, false);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "expected end, a crash"));
	free(text);
}

static void shows_the_middle_of_long_data(void)
{
	const struct trace_header h = header();
	static char got_bytes[5000], expected_bytes[5000];
	struct trace_record got = call("write", 1, 0, 5000, NULL), expected = got;
	const struct divergence d = {
		.file = "a", .header = &h, .frames = "", .got = &got, .expected = &expected
	};
	char *text;

	memset(got_bytes, 'x', sizeof(got_bytes));
	memset(expected_bytes, 'x', sizeof(expected_bytes));
	got_bytes[4000] = '\xff';
	got.in = (const uint8_t *)got_bytes;
	expected.in = (const uint8_t *)expected_bytes;
	got.in_len = expected.in_len = sizeof(got_bytes);
	text = report_of(&d, false);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "DIFFERS at byte 4000\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "... 78 78 78 78 78 78 78 78 [ff] 78 78"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "78 ...  \"xxxxxxxx\\xffxx"));
	CU_ASSERT_TRUE(strlen(text) < 2000);
	free(text);
}

/* Any file name and any bytes: one line that stays JSON. */
static void json_is_one_line(void)
{
	const struct trace_header h = header();
	struct trace_record got = call("open", 0, 0xffffffff, 0, "\"\\\n\x01\xff");
	struct trace_record expected = call("open", 0, 0, 0, NULL);
	const struct divergence d = { .file = "a\"\n\\b",
		.text = true,
		.header = &h,
		.frames = "0x12  f\"g\n",
		.got = &got,
		.expected = &expected };
	char *text;

	got.fault = true;
	text = report_of(&d, true);
	CU_ASSERT_PTR_EQUAL(strchr(text, '\n'), text + strlen(text) - 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"rip\":\"0x12\",\"at\":\"f\\\"g\""));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"got_len\":5,\"expected_len\":0,\"at\":0,"
					    "\"got_hex\":\"225c0a01ff\",\"expected_hex\":\"\""));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"nearest\":null"));
	free(text);
}

static void says_why_it_cannot_begin(void)
{
	struct replay_result result;
	struct session session;
	struct err err = { "" };
	int code;

	session_init(&session);
	CU_ASSERT_TRUE(replay_guest(&session, "/nonexistent/trace", "/nonexistent/guest",
			       &(struct replay_guest_options){ 0 }, &result, &code, &err) < 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nonexistent/trace"));
	session_finish(&session);
}

/* ---- guests that run ---- */

static const char *guest(const char *name)
{
	const char *dir = getenv("GUESTS");
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : "build/rel/kernels", name);
	return path;
}

static bool no_guests(void)
{
	if (!access(guest("exit.elf"), R_OK))
		return false;
	unit_skip("the guests are not built");
	return true;
}

/* What came of one replay. */
struct ending {
	struct replay_result result;
	int r, code;
	char *report;
	struct err err;
};

struct edit {
	const char *golden, *image;
	const char *from, *to; /* in the text, once; behind a cut nothing follows */
};

/* golden/NAME.bjt, edited, in a file of its own. */
static void write_edited(const char *path, const struct edit *edit)
{
	char name[200], *text = NULL, *at;
	size_t len;
	FILE *out;

	snprintf(name, sizeof(name), "golden/%s.bjt", edit->golden);
	CU_ASSERT_EQUAL_FATAL(golden_read(name, &text, &len, NULL), 0);
	at = strstr(text, edit->from);
	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	out = fopen(path, "we");
	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	fprintf(out, "%.*s%s%s", (int)(at - text), text, edit->to,
		strstr(edit->to, "cut\n") ? "" : at + strlen(edit->from));
	fclose(out);
	free(text);
}

static struct ending replay_edited(
	const struct edit *edit, uint64_t timeout_ms, bool json, int console)
{
	static const char *const lines[] = { "d x", NULL };
	struct replay_guest_options o = { .json = json };
	struct ending e = { .err = { "" } };
	struct session session;
	struct tmptree tree;
	char path[100];
	size_t len;

	CU_ASSERT_FATAL(!tmptree_make(&tree, lines));
	snprintf(path, sizeof(path), "%s/a.bjt", tree.path);
	write_edited(path, edit);
	o.out = open_memstream(&e.report, &len);
	session_init(&session);
	session.options.backend = "tcg";
	session.options.timeout_ms = timeout_ms;
	session.console_out = console;
	e.r = replay_guest(&session, path, guest(edit->image), &o, &e.result, &e.code, &e.err);
	session_finish(&session);
	fclose(o.out);
	tmptree_remove(&tree);
	return e;
}

static void tells_what_a_guest_does_otherwise(void)
{
	static const struct {
		struct edit edit;
		const char *said, *also; /* also: NULL, or something else */
	} rows[] = {
		{ { "badcalls", "badcalls.elf", "close 3 ->", "close 4 ->" }, "CHANGED",
			"fd       3 " },
		{ { "badcalls", "badcalls.elf", "> close, fd -1", "> close, fd -2" }, "CHANGED",
			"DIFFERS at byte 11" },
		{ { "badcalls", "badcalls.elf", "serial_write -> 21\n  > close, fd 3 = -EBADF\\n\n",
			  "" },
			"EXTRA", NULL },
		{ { "badcalls", "badcalls.elf", "close -1 -> -EBADF\n",
			  "close -1 -> -EBADF\nlseek 9 0 set -> -EBADF\n" },
			"MISSING", "lseek" },
		{ { "badcalls", "badcalls.elf", "read -1 cap=64 bad ->", "read -1 cap=64 ->" },
			"CHANGED", "memory   outside RAM" },
		{ { "exit", "exit.elf", "\nexit 7", "\nclose 5 -> -EBADF\nexit 7" }, "EARLY-EXIT",
			NULL },
		{ { "exit", "exit.elf", "\nexit 7", "\nexit 8" }, "CHANGED", "DIFFERS" },
		{ { "exit", "fault.elf", "argv \"7\"", "argv \"ud\"" }, "CHANGED", "asked" },
		{ { "fault-ud", "fault.elf", "end crashed", "close 5 -> -EBADF\nend crashed" },
			"EARLY-EXIT", "ended    triple fault" },
		{ { "exit", "exit.elf", "\nexit 7\nend\n", "\nend crashed \"gone\"\n" }, "EXTRA",
			NULL },
		{ { "paths", "paths.elf", "open \"/in/input.txt\" rdonly mode=0666 -> 3",
			  "open \"/in/link\" rdonly mode=0666 -> 3" },
			"CHANGED", "/in/input.txt" },
		{ { "paths", "paths.elf", "open \"/in/input.txt\" rdonly mode=0666 -> 3",
			  "open \"/in/input.txt\" rdonly mode=0666 -> 4" },
			"CHANGED", "read" },
		{ { "paths", "paths.elf", "read 3 cap=65536 -> 54", "read 3 cap=100 -> 54" },
			"MISSING", "expected 100" },
		{ { "console", "console.elf", "serial_read_byte -> 65", "serial_read_byte -> 66" },
			"CHANGED", "DIFFERS at byte 16" },
		{ { "args-v1", "args-v1.elf", "cmdsize", "close 77 -> -EBADF\ncmdsize" }, "MISSING",
			NULL },
		{ { "badcalls", "badcalls.elf", "close 3 -> -EBADF", "close 4 -> ?\ncut\n" },
			"CHANGED", "fd       3 " },
		/* what a debugger wrote is of no concern behind the first difference */
		{ { "badcalls", "badcalls.elf", "close 3 ->",
			  "close 4 -> -EBADF\nedit +1 r15 0x0000000000000001\nclose 3 ->" },
			"MISSING", NULL },
	};
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (no_guests()) {
		close(null);
		return;
	}
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		bool json = i & 1;
		struct ending e = replay_edited(&rows[i / 2].edit, 20000, json, null);

		CU_ASSERT_EQUAL(e.r, 0);
		CU_ASSERT_EQUAL(e.result.mismatches, 1);
		if (!strstr(e.report, rows[i / 2].said))
			printf("     row %zu: %d %s: no %s in\n%s", i / 2, e.r, e.err.text,
				rows[i / 2].said, e.report);
		CU_ASSERT_PTR_NOT_NULL(strstr(e.report, rows[i / 2].said));
		CU_ASSERT(json || !rows[i / 2].also || strstr(e.report, rows[i / 2].also));
		free(e.report);
	}
	close(null);
}

static void agrees_with_what_was_recorded(void)
{
	static const struct {
		struct edit edit;
		bool cut;
	} rows[] = {
		{ { "badcalls", "badcalls.elf", "", "" }, false },
		{ { "paths-stat", "paths.elf", "", "" }, false },
		{ { "console", "console.elf", "", "" }, false },
		{ { "fault-ud", "fault.elf", "", "" }, false },
		{ { "exit", "exit.elf", "\nexit 7\nend\n", "\ncut\n" }, true },
		{ { "badcalls", "badcalls.elf", "close 3 -> -EBADF", "cut\n" }, true },
		{ { "badcalls", "badcalls.elf", "close 3 -> -EBADF", "close 3 -> ?\ncut\n" },
			true },
		{ { "fault-ud", "fault.elf", "end crashed", "cut\n" }, true },
		{ { "fault-ud", "fault.elf", "end crashed", "close 5 -> ?\ncut\n" }, true },
		{ { "exit", "exit.elf", "\nexit 7",
			  "\nedit +5 r15 0x0000000000000001\nedit held memory "
			  "0x103fff000\n  < xyz\nexit 7" },
			false },
	};
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	for (size_t i = 0; !no_guests() && i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ending e = replay_edited(&rows[i].edit, 20000, false, null);

		if (e.r || e.report[0])
			printf("     row %zu: %d %s\n%s", i, e.r, e.err.text, e.report);
		CU_ASSERT_EQUAL(e.r, 0);
		CU_ASSERT_EQUAL(e.result.mismatches, 0);
		CU_ASSERT_EQUAL(e.result.cut, rows[i].cut);
		CU_ASSERT_EQUAL(e.code, 0);
		CU_ASSERT_STRING_EQUAL(e.report, "");
		free(e.report);
	}
	close(null);
}

static void says_what_cannot_be_replayed(void)
{
	static const struct {
		struct edit edit;
		const char *said;
	} rows[] = {
		{ { "exit-v1", "exit.elf", "", "" }, "was recorded from a guest of" },
		{ { "exit", "none.elf", "", "" }, "none.elf: " },
		{ { "badcalls", "badcalls.elf", "close 3 -> -EBADF", "nonsense" }, "a.bjt:" },
		{ { "exit", "exit.elf", "mem=67108864", "mem=4096" }, "" },
		{ { "exit", "exit.elf", "\nexit 7",
			  "\nedit +999999999 r15 0x0000000000000001\nexit 7" },
			"without coming there" },
		{ { "exit", "exit.elf", "\nexit 7", "\nedit +5 memory 0x10\n  < x\nexit 7" },
			"before call 0: " },
	};
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	for (size_t i = 0; !no_guests() && i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ending e = replay_edited(&rows[i].edit, 20000, false, null);

		CU_ASSERT_TRUE(e.r < 0);
		if (!strstr(e.err.text, rows[i].said))
			printf("     row %zu: %s\n", i, e.err.text);
		CU_ASSERT_PTR_NOT_NULL(strstr(e.err.text, rows[i].said));
		CU_ASSERT_STRING_NOT_EQUAL(e.err.text, "");
		CU_ASSERT_STRING_EQUAL(e.report, "");
		free(e.report);
	}
	close(null);
}

static void stops_a_guest_that_asks_nothing(void)
{
	static const struct edit edit = { "count", "count.elf", "\"100000\"",
		"\"100000000000000\"" };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct ending e;

	if (no_guests()) {
		close(null);
		return;
	}
	e = replay_edited(&edit, 300, false, null);
	CU_ASSERT_EQUAL(e.r, 0);
	CU_ASSERT_EQUAL(e.code, EXIT_TIME_LIMIT);
	CU_ASSERT_EQUAL(e.result.mismatches, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(e.report, "TIMEOUT"));
	free(e.report);
	close(null);
}

static void cannot_show_what_the_guest_says(void)
{
	static const struct edit edit = { "hello", "hello.elf", "", "" };
	int closed = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct ending e;

	if (no_guests()) {
		close(closed);
		return;
	}
	e = replay_edited(&edit, 20000, false, closed);
	CU_ASSERT_EQUAL(e.r, 0);
	CU_ASSERT_EQUAL(e.code, EXIT_OURS);
	CU_ASSERT_EQUAL(e.result.mismatches, 0);
	free(e.report);
	close(closed);
}

static const struct unit_case cases[] = {
	{ "tells_what_a_guest_does_otherwise", tells_what_a_guest_does_otherwise },
	{ "agrees_with_what_was_recorded", agrees_with_what_was_recorded },
	{ "says_what_cannot_be_replayed", says_what_cannot_be_replayed },
	{ "stops_a_guest_that_asks_nothing", stops_a_guest_that_asks_nothing },
	{ "cannot_show_what_the_guest_says", cannot_show_what_the_guest_says },
	{ "addresses_are_not_compared", addresses_are_not_compared },
	{ "everything_else_is_compared", everything_else_is_compared },
	{ "only_the_bytes_of_a_field_count", only_the_bytes_of_a_field_count },
	{ "tells_a_changed_byte", tells_a_changed_byte },
	{ "tells_where_one_is_shorter", tells_where_one_is_shorter },
	{ "tells_how_a_guest_ended", tells_how_a_guest_ended },
	{ "tells_values_as_their_kind_is", tells_values_as_their_kind_is },
	{ "tells_results_and_memory", tells_results_and_memory },
	{ "colours_only_what_differs", colours_only_what_differs },
	{ "shows_the_middle_of_long_data", shows_the_middle_of_long_data },
	{ "json_is_one_line", json_is_one_line },
	{ "says_why_it_cannot_begin", says_why_it_cannot_begin },
};

UNIT_MAIN("replay_guest", cases)
