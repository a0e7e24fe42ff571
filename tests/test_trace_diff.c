// SPDX-License-Identifier: ISC
/* Two traces compared: what counts as a difference, and how it is said. The traces are golden text. */
#include "trace_diff.h"

#include <errno.h>

#include "err.h"
#include "tmptree.h"
#include "unit.h"

#define HEADER(more) "bjt 1\nguest \"g\" abi=uhyve/2 mem=2097152\n" more "\n"
#define MOUNTED      HEADER("mount \"m\" \"/m\" rw\n")
#define HASH_A       "sha256=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HASH_B       "sha256=ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static struct tmptree tree;

static void save(const char *name, const char *text)
{
	char path[100];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", tree.path, name);
	file = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	CU_ASSERT(fputs(text, file) >= 0 && !fclose(file));
}

/* What is said of the two, to be freed. */
static char *diff(const char *a, const char *b, const struct trace_diff_options *o,
	struct trace_diff_result *result)
{
	char path_a[100], path_b[100], *text = NULL;
	struct err err = { "" };
	size_t len;
	FILE *out = open_memstream(&text, &len);

	CU_ASSERT_FATAL(!tmptree_make(&tree, (const char *const[]){ NULL }));
	save("a", a);
	save("b", b);
	snprintf(path_a, sizeof(path_a), "%s/a", tree.path);
	snprintf(path_b, sizeof(path_b), "%s/b", tree.path);
	CU_ASSERT_EQUAL(trace_diff(out, path_a, path_b, o, result, &err), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
	fclose(out);
	tmptree_remove(&tree);
	return text;
}

static void expect_said(const char *a, const char *b, const char *says)
{
	struct trace_diff_result result;
	char *text = diff(a, b, &(struct trace_diff_options){ .all = true }, &result);

	if (!strstr(text, says))
		printf("%s--- and\n%s--- '%s' not in\n%s", a, b, says, text);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, says));
	CU_ASSERT(trace_diff_found(&result));
	free(text);
}

static void says_what_differs_in_a_call(void)
{
	static const struct {
		const char *a, *b, *says;
	} rows[] = {
		{ "close 3 -> 0", "close 4 -> 0", "fd: 3 | 4\n" },
		{ "open \"x\" rdonly mode=0 -> 3", "open \"x\" rdwr+creat mode=0 -> 3",
			"flags: 0 | 0102\n" },
		{ "open \"x\" rdonly mode=0644 -> 3", "open \"x\" rdonly mode=0600 -> 3",
			"mode: 0644 | 0600\n" },
		{ "read 3 cap=4 -> 0", "read 3 cap=5 -> 0", "len: 4 | 5\n" },
		{ "lseek 3 0 set -> 0", "lseek 3 -1 set -> 0", "offset: 0 | -1\n" },
		{ "lseek 3 0 set -> 0", "lseek 3 0 end -> 0", "whence: 0 | 2\n" },
		{ "close 3 -> 0", "close 3 -> -EBADF", "result: 0 | -EBADF\n" },
		{ "close 3 -> -4095", "close 3 -> -4096", "result: -4095 | -4096\n" },
		{ "lseek 3 0 set -> 7", "lseek 3 0 set -> 9223372036854775807",
			"result: 7 | 9223372036854775807\n" },
		{ "read 3 cap=4 bad -> -EFAULT", "read 3 cap=4 -> -EFAULT",
			"result: -EFAULT (bad address) | -EFAULT\n" },
		{ "exit 0", "exit 1", "code: 0 | 1\n" },
		{ "close 3 -> 0", "close 3", "result: 0 | the guest ended\n" },
		{ "close 3 bad", "close 3",
			"result: the guest ended (bad address) | the guest ended\n" },
		{ "cmdsize -> 0", "cmdsize -> -EFAULT", "result: 0 | -EFAULT\n" },
		{ "unlink \"ab\" -> 0", "unlink \"ac\" -> 0",
			"path: differ at byte 1: \"ab\" | \"ac\"\n" },
		{ "unlink \"ab\" -> 0", "unlink \"a\" -> 0",
			"path: 2 bytes | 1 bytes, differ at byte 1: " },
		{ "write 3 -> 1\n  > a", "write 3 -> 1\n  > b",
			"in: differ at byte 0: \"a\" | \"b\"\n" },
		{ "read 3 cap=4 -> 1\n  < a", "read 3 cap=4 -> 1\n  < b",
			"out: differ at byte 0: \"a\" | \"b\"\n" },
		{ "fstat 3 -> 0\n  < attr mode=0100644 size=1 ino=2",
			"fstat 3 -> 0\n  < attr mode=0100644 size=3 ino=2",
			"-                 < attr mode=0100644 size=1 ino=2\n" },
		{ "getdents 3 cap=99 -> 24\n  < dent ino=5 off=1 reg \"a\"",
			"getdents 3 cap=99 -> 24\n  < dent ino=5 off=1 dir \"a\"",
			"+                 < dent ino=5 off=1 dir \"a\"\n" },
		{ "getdents 3 cap=99 -> 0",
			"getdents 3 cap=99 -> 24\n  < dent ino=5 off=1 dir \"a\"",
			"+                 < dent ino=5 off=1 dir \"a\"\n" },
	};
	char a[300], b[300];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(a, sizeof(a), HEADER("") "%s\nend\n", rows[i].a);
		snprintf(b, sizeof(b), HEADER("") "%s\nend\n", rows[i].b);
		expect_said(a, b, rows[i].says);
		expect_said(a, b, " 1 changed, 0 only in ");
	}
}

static void long_data_is_shown_where_it_differs(void)
{
	char a[2000], b[2000], *at;

	at = stpcpy(a, HEADER("") "write 3 -> 300\n");
	for (int line = 0; line < 6; line++)
		at = stpcpy(at, "  > 01234567890123456789012345678901234567890123456789\n");
	strcpy(at, "end\n");
	strcpy(b, a);
	strstr(b, "  > ")[3 * 55 + 10] = 'X';
	expect_said(a, b, "in: differ at byte 156: ...\"");
	expect_said(a, b, "\"... | ...\"");
}

static void what_is_no_call_counts_apart(void)
{
	static const struct {
		const char *a, *b, *says;
	} rows[] = {
		{ "end", "end code=1", "; 1 difference in files or end\n" },
		{ "end", "end crashed", "; 1 difference in files or end\n" },
		{ "end", "cut", " in files or end\n" },
		{ "after 0 \"x\" removed\nend", "end", "; 1 difference in files or end\n" },
		{ "after 0 \"x\" removed\nend", "after 0 \"y\" removed\nend",
			" in files or end\n" },
		{ "after 0 \"x\" dir mode=0700\nend", "after 0 \"x\" dir mode=0755\nend",
			" in files or end\n" },
		{ "after 0 \"x\" removed\nend", "after 0 \"x\" fifo mode=0\nend",
			" in files or end\n" },
		{ "after 0 \"x\" link \"a\"\nend", "after 0 \"x\" link \"b\"\nend",
			" in files or end\n" },
		{ "after 0 \"x\" file mode=0 size=1 " HASH_A "\nend",
			"after 0 \"x\" file mode=0 size=2 " HASH_A "\nend", " in files or end\n" },
		{ "after 0 \"x\" file mode=0 size=1 " HASH_A "\nend",
			"after 0 \"x\" file mode=0 size=1 " HASH_B "\nend", " in files or end\n" },
		{ "after 0 \"x\" link \"a\"\nend", "after 0 \"x\" link \"ab\"\nend",
			" in files or end\n" },
		{ "after 0 \"x\" removed\nend", "after 0 \"xy\" removed\nend",
			" in files or end\n" },
		{ "close 3 -> 0\nend", "close 3 -> ?\ncut", " 1 changed, " },
		{ "close 3 -> 0\nend", "end", "0 same, 0 changed, 1 only in " },
		{ "end", "close 3 -> 0\nend", "0 changed, 0 only in " },
	};
	char a[400], b[400];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(a, sizeof(a), MOUNTED "%s\n", rows[i].a);
		snprintf(b, sizeof(b), MOUNTED "%s\n", rows[i].b);
		expect_said(a, b, rows[i].says);
	}
}

static void expect_same(const char *a, const char *b)
{
	struct trace_diff_result result;
	char *text = diff(a, b, &(struct trace_diff_options){ .all = true }, &result);

	if (trace_diff_found(&result))
		printf("%s--- and\n%s---\n%s", a, b, text);
	CU_ASSERT(!trace_diff_found(&result));
	free(text);
}

static void what_is_not_compared_is_no_difference(void)
{
	static const char *const bodies[][2] = {
		{ "close 3 -> 0\nend", "close 3 -> ~-EBADF\nend" },
		{ "read 3 cap=4 -> 1\n  < a\nend", "read 3 cap=4 -> ~1\n  ~< b\nend" },
		{ "read 3 cap=4 -> ~1\n  ~< a\nend", "read 3 cap=4 -> 1\n  < b\nend" },
		{ "fstat 3 -> 0 @n=1 ptr=0x1000\n  < attr mode=0 size=1 ino=2\nend",
			"fstat 3 -> 0 @n=9 t=5ns d=7ns ip=0x8 ptr=0x2000\n  < attr mode=0 size=1 "
			"ino=2\nend" },
		{ "cmdsize -> 0 @n=1 ptr=0x1\nend", "cmdsize -> 0 @n=1 ptr=0x2\nend" },
		{ "close 3 -> ?\ncut", "close 3 -> ?\ncut" },
		{ "after 0 \"x\" link \"a\"\nafter 0 \"y\" file mode=0 size=1 " HASH_A "\nend",
			"after 0 \"x\" link \"a\"\nafter 0 \"y\" file mode=0 size=1 " HASH_A
			"\nend" },
		{ "end", "end" },
	};
	char a[400], b[400];

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		snprintf(a, sizeof(a), MOUNTED "%s\n", bodies[i][0]);
		snprintf(b, sizeof(b), MOUNTED "%s\n", bodies[i][1]);
		expect_same(a, b);
	}
}

/* What a debugger wrote: where, into what, and what. */
static void edits_differ_in_all_they_say(void)
{
	static const char first[] = "edit +5/1 memory 0x1000\n  < ab";
	static const char *const others[] = {
		"edit +6/1 memory 0x1000\n  < ab",
		"edit +5/2 memory 0x1000\n  < ab",
		"edit +5/1 memory 0x1001\n  < ab",
		"edit +5/1 memory 0x1000\n  < ac",
		"edit +5/1 memory 0x1000\n  < abc",
		"edit held memory 0x1000\n  < ab",
		"edit +5/1 rax 0x0000000000001000",
	};
	char a[300], b[300];

	snprintf(a, sizeof(a), HEADER("") "%s\nclose 3 -> 0\nend\n", first);
	expect_same(a, a);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		snprintf(b, sizeof(b), HEADER("") "%s\nclose 3 -> 0\nend\n", others[i]);
		expect_said(a, b, " differ");
		expect_said(b, a, " differ");
	}
}

/* Listings that have nothing in common: the first lines are enough. */
static void long_listings_are_cut(void)
{
	char a[8000], b[8000], *at = a, *bt = b;

	at += sprintf(at, HEADER("") "getdents 3 cap=9999 -> 2400\n");
	bt += sprintf(bt, HEADER("") "getdents 3 cap=9999 -> 2400\n");
	for (int i = 0; i < 100; i++) {
		at += sprintf(at, "  < dent ino=%d off=%d reg \"a\"\n", i + 1, i + 1);
		bt += sprintf(bt, "  < dent ino=%d off=%d dir \"b\"\n", i + 201, i + 1);
	}
	strcpy(at, "end\n");
	strcpy(bt, "end\n");
	expect_said(a, b, "?               ...\n");
}

static void headers_are_noted_and_do_not_count(void)
{
	static const struct {
		const char *a, *b, *says;
	} rows[] = {
		{ "abi=uhyve/2 mem=4096", "abi=uhyve/1 mem=4096", "not the same: ABI\n" },
		{ "abi=uhyve/2 mem=4096 " HASH_A, "abi=uhyve/2 mem=4096 " HASH_B,
			"not the same: image\n" },
		{ "abi=uhyve/2 mem=4096", "abi=uhyve/2 mem=8192", "not the same: memory\n" },
		{ "abi=uhyve/2 mem=4096\nargv \"x\"", "abi=uhyve/2 mem=4096",
			"not the same: arguments\n" },
		{ "abi=uhyve/2 mem=4096\nargv \"x\"", "abi=uhyve/2 mem=4096\nargv \"y\"",
			"not the same: arguments\n" },
		{ "abi=uhyve/2 mem=4096\nkernel \"x\"", "abi=uhyve/2 mem=4096",
			"kernel arguments\n" },
		{ "abi=uhyve/2 mem=4096\nenv \"A=1\"", "abi=uhyve/2 mem=4096\nenv \"A=2\"",
			"not the same: environment\n" },
		{ "abi=uhyve/2 mem=4096\ncwd \"/x\"", "abi=uhyve/2 mem=4096",
			"not the same: directory\n" },
		{ "abi=uhyve/2 mem=4096\nclock 1", "abi=uhyve/2 mem=4096\nseed 2",
			"clock, seed\n" },
		{ "abi=uhyve/2 mem=4096\nmount \"a\" \"/a\" ro", "abi=uhyve/2 mem=4096",
			"same: mounts\n" },
		{ "abi=uhyve/2 mem=4096\nmount \"a\" \"/a\" ro",
			"abi=uhyve/2 mem=4096\nmount \"a\" \"/b\" ro", "same: mounts\n" },
		{ "abi=uhyve/2 mem=4096\nmount \"a\" \"/a\" ro",
			"abi=uhyve/2 mem=4096\nmount \"a\" \"/a\" rw", "same: mounts\n" },
		{ "abi=uhyve/2 mem=4096\nmount \"a\" \"/a\" rw",
			"abi=uhyve/2 mem=4096\nmount \"a\" \"/a\" rw,unlink", "same: mounts\n" },
		{ "abi=uhyve/2 mem=4096\nmount \"a\" \"/a\" ro file",
			"abi=uhyve/2 mem=4096\nmount \"a\" \"/a\" ro", "same: mounts\n" },
		{ "abi=uhyve/2 mem=4096\nmount \"a\" \"/a\" ro",
			"abi=uhyve/2 mem=4096\nmount \"elsewhere\" \"/a\" ro",
			"0 same, 0 changed" },
	};
	char a[300], b[300];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct trace_diff_result result;
		char *text;

		snprintf(a, sizeof(a), "bjt 1\nguest \"g\" %s\n\nend\n", rows[i].a);
		snprintf(b, sizeof(b), "bjt 1\nguest \"g\" %s\n\nend\n", rows[i].b);
		text = diff(a, b, &(struct trace_diff_options){ 0 }, &result);
		if (!strstr(text, rows[i].says))
			printf("'%s' not in %s", rows[i].says, text);
		CU_ASSERT_PTR_NOT_NULL(strstr(text, rows[i].says));
		CU_ASSERT(!trace_diff_found(&result));
		free(text);
	}
}

/* n calls, of which those from `first` on have another result, as many as `changed`. */
static void many_calls(char *text, int n, int first, int changed)
{
	text = stpcpy(text, HEADER(""));
	for (int i = 0; i < n; i++)
		text += sprintf(text, "close %d -> %s\n", i,
			i >= first && i < first + changed ? "-EBADF" : "0");
	strcpy(text, "end\n");
}

static unsigned count_lines(const char *text, const char *of)
{
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, of)); at++)
		n++;
	return n;
}

static void only_the_first_difference_is_shown_unless_asked(void)
{
	static char a[40000], b[40000];
	struct trace_diff_result result;
	char *text;

	many_calls(a, 1000, 0, 0);
	many_calls(b, 1000, 100, 1);
	strcpy(strstr(b, "close 500 -> 0"), "close 500 -> 1\nend\n"); /* and the rest is missing */
	text = diff(a, b, &(struct trace_diff_options){ 0 }, &result);
	CU_ASSERT_EQUAL(count_lines(text, "result: "), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "(more differences follow; --all shows them)"));
	CU_ASSERT(result.same == 499 && result.changed == 2 && result.only_a == 499 &&
		  !result.only_b);
	free(text);
	text = diff(a, b, &(struct trace_diff_options){ .all = true }, &result);
	CU_ASSERT_EQUAL(count_lines(text, "result: "), 2);
	CU_ASSERT_PTR_NULL(strstr(text, "--all"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "close 999 -> 0"));
	free(text);
}

static void the_first_difference_is_not_shown_without_end(void)
{
	static char a[40000], b[40000];
	struct trace_diff_result result;
	char *text;

	many_calls(a, 1500, 0, 0);
	many_calls(b, 1500, 100, 500);
	text = diff(a, b, &(struct trace_diff_options){ 0 }, &result);
	CU_ASSERT(count_lines(text, "result: ") < 100);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "(more differences follow"));
	CU_ASSERT_EQUAL(result.changed, 500);
	free(text);
	text = diff(a, b, &(struct trace_diff_options){ .window = 10 }, &result);
	CU_ASSERT(result.capped && result.changed <= 10);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "Only 10 calls from the first difference on"));
	free(text);
}

static void says_what_cannot_be_compared(void)
{
	struct trace_diff_options o = { 0 };
	struct trace_diff_result result;
	char good[100], bad[100];
	struct err err = { "" };
	FILE *out = fopen("/dev/null", "w");

	CU_ASSERT_FATAL(out && !tmptree_make(&tree, (const char *const[]){ "p fifo", NULL }));
	save("good", HEADER("") "end\n");
	save("bad", HEADER("") "close 3 -> 0\nclsoe 3 -> 0\nend\n");
	snprintf(good, sizeof(good), "%s/good", tree.path);
	snprintf(bad, sizeof(bad), "%s/bad", tree.path);
	CU_ASSERT_EQUAL(trace_diff(out, "-", good, &o, &result, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "-: traces are read twice"));
	CU_ASSERT_EQUAL(trace_diff(out, good, "/dev/null", &o, &result, &err), -EINVAL);
	CU_ASSERT_EQUAL(trace_diff(out, good, "/no/such/file", &o, &result, &err), -ENOENT);
	CU_ASSERT_EQUAL(trace_diff(out, "/no/such/file", good, &o, &result, &err), -ENOENT);
	CU_ASSERT_EQUAL(trace_diff(out, good, bad, &o, &result, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "'clsoe 3 -> 0'"));
	CU_ASSERT_EQUAL(trace_diff(out, bad, good, &o, &result, &err), -EINVAL);
	CU_ASSERT_EQUAL(trace_diff(out, bad, bad, &o, &result, &err), -EINVAL);
	fclose(out);
	tmptree_remove(&tree);
}

static const struct unit_case cases[] = {
	{ "says_what_differs_in_a_call", says_what_differs_in_a_call },
	{ "long_data_is_shown_where_it_differs", long_data_is_shown_where_it_differs },
	{ "what_is_no_call_counts_apart", what_is_no_call_counts_apart },
	{ "what_is_not_compared_is_no_difference", what_is_not_compared_is_no_difference },
	{ "edits_differ_in_all_they_say", edits_differ_in_all_they_say },
	{ "long_listings_are_cut", long_listings_are_cut },
	{ "headers_are_noted_and_do_not_count", headers_are_noted_and_do_not_count },
	{ "only_the_first_difference_is_shown_unless_asked",
		only_the_first_difference_is_shown_unless_asked },
	{ "the_first_difference_is_not_shown_without_end",
		the_first_difference_is_not_shown_without_end },
	{ "says_what_cannot_be_compared", says_what_cannot_be_compared },
};

UNIT_MAIN("trace_diff", cases)
