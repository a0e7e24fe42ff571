// SPDX-License-Identifier: ISC
/* Replay in the guest's place: what agrees, every kind of mismatch, and what a hostile trace may not do. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "err.h"
#include "replay.h"
#include "tmptree.h"
#include "trace_read.h"
#include "trace_write.h"
#include "tree.h"
#include "unit.h"
#include "vm.h"

#define GUEST(mounts, abi)                                                                         \
	"bjt 1\nguest \"g\" abi=uhyve/" abi " mem=67108864\n" mounts "omit t ip ptr n\n\n"
#define MOUNT(host) "mount \"" host "\" \"/in\" ro\n"
#define HEAD        GUEST("", "2")
#define HEAD1       GUEST("", "1")
#define HEAD_IN     GUEST(MOUNT("in"), "2")
#define HEAD1_IN    GUEST(MOUNT("in"), "1")

static const char golden[] =
	"bjt 1\n"
	"guest \"g\" abi=uhyve/2 mem=67108864\n"
	"argv \"x\"\n"
	"mount \"in\" \"/in\" ro\n"
	"mount \"out\" \"/out\" rw\n"
	"omit t ip ptr n\n"
	"\n"
	"open \"/in/a\" rdonly mode=0 -> 3\n"
	"read 3 cap=65536 -> 17\n"
	"  < A bell jar\\n\n"
	"  < keeps\\n\n"
	"read 3 cap=65519 -> 0\n"
	"lseek 3 -5 end -> 12\n"
	"close 3 -> 0\n"
	"open \"/out/new\" wronly+creat mode=0666 -> 3\n"
	"write 3 -> 5\n"
	"  > made\\n\n"
	"close 3 -> 0\n"
	"mkdir \"/out/dir\" -> 0\n"
	"unlink \"/out/kept\" -> 0\n"
	"open \"/in/none\" rdonly mode=0 -> -ENOENT\n"
	"stat \"/in/a\" stat -> 0\n"
	"  < attr mode=0100644 size=17 ino=3\n"
	"close 3 -> -EBADF\n"
	"# a comment\n"
	"exit 0\n"
	"after 1 \"dir\" dir mode=0755\n"
	"after 1 \"kept\" removed\n"
	"after 1 \"new\" file mode=0644 size=5 "
	"sha256=33db20f0f0a4d0b8a5a4ef4a5e1d2a4c7f9e6a2e5b7e3d0d8a9f6f4c3b2a1908\n"
	"end\n";

static struct tmptree host; /* a golden's NAME.d, and TMPDIR while a case runs */
static char tmp_dir[100];
static char *text; /* golden, with the right hash */
static char *report;
static struct replay_result result;
static struct err err;
static bool json;

static const char *const tree_lines[] = { "d in", "d out", "d tmp", "f out/kept kept", NULL };

static void start(void)
{
	static const char a[] = "A bell jar\nkeeps\n";
	char path[200], hex[65], *at;
	uint8_t hash[TRACE_HASH_LEN];
	FILE *f;

	CU_ASSERT_FATAL(!tmptree_make(&host, tree_lines));
	snprintf(path, sizeof(path), "%s/in/a", host.path);
	f = fopen(path, "w");
	CU_ASSERT_FATAL(f && fputs(a, f) >= 0 && !fclose(f));
	snprintf(tmp_dir, sizeof(tmp_dir), "%s/tmp", host.path);
	setenv("TMPDIR", tmp_dir, 1);
	tree_hash("made\n", 5, hash);
	for (size_t i = 0; i < TRACE_HASH_LEN; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
	text = strdup(golden);
	CU_ASSERT_FATAL(text != NULL);
	at = strstr(text, "sha256=");
	memcpy(at + 7, hex, 64);
	json = false;
	err.text[0] = 0;
}

static void finish(void)
{
	free(text);
	free(report);
	text = report = NULL;
	CU_ASSERT(!rmdir(tmp_dir)); /* nothing was left there */
	unsetenv("TMPDIR");
	tmptree_remove(&host);
}

static int replay_bytes(const void *bytes, size_t len)
{
	struct replay_host_options o = { .tree_dir = host.path, .json = json };
	struct trace_reader *reader;
	size_t size;
	int r;

	free(report);
	report = NULL;
	result = (struct replay_result){ 0 };
	err.text[0] = 0;
	r = trace_reader_open_memory(&reader, bytes, len, "x.bjt", &err);
	if (r)
		return r;
	o.out = open_memstream(&report, &size);
	r = replay_host_reader(reader, "x.bjt", &o, &result, &err);
	trace_reader_close(reader);
	fclose(o.out);
	return r;
}

static int replay(const char *trace)
{
	int r = replay_bytes(trace, strlen(trace));

	if (r)
		printf("     error %d: %s\n", r, err.text);
	return r;
}

static bool agrees(const char *trace)
{
	bool good = !replay(trace) && !result.mismatches;

	if (report && report[0])
		printf("%s", report);
	return good;
}

/* Where `old` is in the golden, `new` is put. */
static char *edited(const char *old, const char *new)
{
	const char *at = strstr(text, old);
	char *copy;

	CU_ASSERT_FATAL(at != NULL);
	CU_ASSERT_FATAL(
		asprintf(&copy, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old)) > 0);
	return copy;
}

static void agrees_with_what_was_recorded(void)
{
	int fds;
	mode_t mask;

	start();
	fds = tmptree_open_fds();
	mask = umask(077);
	CU_ASSERT(agrees(text));
	CU_ASSERT_EQUAL(result.calls, 14);
	CU_ASSERT(!result.cut);
	CU_ASSERT_EQUAL(umask(mask), 077);
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	finish();
}

/* Each edit makes one mismatch, and the report says this. */
static void every_kind_of_mismatch_is_reported_once(void)
{
	static const struct {
		const char *old, *new, *says;
	} table[] = {
		{ "end -> 12", "end -> 13",
			"MISMATCH call 3, line 13: lseek 3 -5 end -> 13\n"
			"  result   expected 13, got 12\n" },
		{ "-ENOENT", "-EACCES", "  result   expected -EACCES, got -ENOENT\n" },
		{ "keeps", "keept",
			"MISMATCH call 1, line 9: read 3 cap=65536 -> 17\n"
			"  out      differs at byte 15: expected 17 bytes, got 17\n"
			"           expected ... 6a 61 72 0a 6b 65 65 70 [74] 0a  "
			"\"jar\\nkeept\\n\"\n"
			"           got      ... 6a 61 72 0a 6b 65 65 70 [73] 0a  "
			"\"jar\\nkeeps\\n\"\n" },
		{ "-> 17\n  < A bell jar\\n\n  < keeps\\n", "-> ~17\n  < A bell jar\\n\n  < keeps",
			"  out      differs at byte 16: expected 16 bytes, got 17\n" },
		{ "-> 17\n  < A bell jar\\n\n  < keeps\\n",
			"-> ~17\n  < A bell jar\\n\n  < keeps\\n!",
			"  out      differs at byte 17: expected 18 bytes, got 17\n"
			"           expected ... 72 0a 6b 65 65 70 73 0a [21]  \"r\\nkeeps\\n!\"\n"
			"           got      ... 72 0a 6b 65 65 70 73 0a [end]  "
			"\"r\\nkeeps\\n\"\n" },
		{ "attr mode=0100644 size=17", "attr mode=0100755 size=18",
			"  out      mode expected 0100755, got 0100644\n"
			"           size expected 18, got 17\n" },
		{ "attr mode=0100644 size=17 ino=3",
			"attr mode=0100644 size=17 ino=3 atime=1.000000002",
			"  out      atime expected 1.000000002, got 1704067200\n" },
		{ "dir mode=0755", "dir mode=0700",
			"MISMATCH at the end, mount 1 at /out, \"dir\"\n"
			"  mode     expected a directory, mode 0700\n"
			"           got      a directory, mode 0755\n" },
		{ "file mode=0644", "file mode=0600", "  mode     expected a file, mode 0600" },
		{ "size=5 sha256=", "size=6 sha256=", "  contents expected a file" },
		{ "after 1 \"dir\" dir mode=0755\n", "",
			"  object   expected unchanged\n           got      a directory, mode "
			"0755\n" },
		{ "after 1 \"kept\" removed\n",
			"after 1 \"kept\" removed\nafter 1 \"lost\" removed\n",
			"\"lost\"\n  object   expected removed\n           got      unchanged\n" },
		{ "\"kept\" removed", "\"kept\" link \"x\"",
			"  object   expected a link to x\n           got      removed\n" },
		{ "end\n", "end code=1\n",
			"  stop     expected the guest to exit with 1, got the guest to exit with "
			"0\n" },
		{ "end\n", "end crashed\n", "expected the guest not to exit by itself" },
		{ "exit 0\n", "", "got the guest not to exit by itself" },
	};

	start();
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char *trace = edited(table[i].old, table[i].new);

		CU_ASSERT(!replay(trace));
		if (result.mismatches != 1 || !report || !strstr(report, table[i].says))
			printf("     row %zu: %llu\n%s", i, (unsigned long long)result.mismatches,
				report ? report : "");
		CU_ASSERT_EQUAL(result.mismatches, 1);
		CU_ASSERT(report && strstr(report, table[i].says) != NULL);
		free(trace);
	}
	finish();
}

static void masked_values_are_not_compared(void)
{
	char *trace;

	start();
	trace = edited("end -> 12", "end -> ~99");
	CU_ASSERT(agrees(trace));
	free(trace);
	finish();
}

static void all_that_follows_from_a_missing_file_is_reported(void)
{
	char path[200];

	start();
	snprintf(path, sizeof(path), "%s/in/a", host.path);
	CU_ASSERT(!unlink(path));
	CU_ASSERT(!replay(text));
	/* open, read (result and data), read, lseek, close, stat (result and data) */
	CU_ASSERT_EQUAL(result.mismatches, 8);
	CU_ASSERT(strstr(report, "expected 3, got -ENOENT\n") != NULL);
	finish();
}

static void directories_are_listed_as_they_were(void)
{
	static const char trace[] = HEAD_IN "open \"/in\" rdonly+directory mode=0 -> 3\n"
					    "getdents 3 cap=65536 -> 72\n"
					    "  < dent ino=1 off=1 dir \".\"\n"
					    "  < dent ino=2 off=2 dir \"..\"\n"
					    "  < dent ino=3 off=3 reg \"a\"\n"
					    "getdents 3 cap=65464 -> 0\n"
					    "exit 0\n"
					    "end\n";

	start();
	CU_ASSERT(!replay(trace));
	CU_ASSERT_EQUAL(result.mismatches, 0);
	if (result.mismatches)
		printf("%s", report);
	CU_ASSERT(!tmptree_add(&host, "f in/b x"));
	CU_ASSERT(!replay(trace));
	CU_ASSERT_EQUAL(result.mismatches, 2);
	finish();
}

/* A value, and what is behind it; NULL when it is none. */
static const char *json_value(const char *p);

static const char *json_string(const char *p)
{
	for (p++; *p && *p != '"'; p++) {
		if ((unsigned char)*p < 0x20)
			return NULL;
		if (*p == '\\' && !strchr("\"\\/bfnrtu", *++p))
			return NULL;
	}
	return *p ? p + 1 : NULL;
}

static const char *json_object(const char *p)
{
	do {
		p = p[1] == '"' ? json_string(p + 1) : NULL;
		if (!p || *p != ':')
			return NULL;
		p = json_value(p + 1);
	} while (p && *p == ',');
	return p && *p == '}' ? p + 1 : NULL;
}

static const char *json_value(const char *p)
{
	size_t n = strspn(p, "-0123456789");

	if (*p == '"')
		return json_string(p);
	if (*p == '{')
		return json_object(p);
	if (!strncmp(p, "true", 4))
		return p + 4;
	if (!strncmp(p, "false", 5))
		return p + 5;
	return n ? p + n : NULL;
}

static void directories_differ_by_their_entries(void)
{
	static const struct {
		int size;
		const char *want, *says;
	} table[] = {
		{ 72, "  < dent ino=3 off=3 reg \"b\"\n",
			"  out      entry 2: name expected \"b\", got \"a\"\n" },
		{ 72, "  < dent ino=4 off=3 dir \"a\"\n",
			"  out      entry 2: ino expected 4, got 3\n"
			"           entry 2: type expected dir, got reg\n" },
		{ 96, "  < dent ino=3 off=3 reg \"a\"\n  < dent ino=9 off=4 reg \"z\"\n",
			"  out      entry 3: name expected \"z\", got no entry\n"
			"           entry 3: ino expected 9, got no entry\n" },
		{ 48, "", "  out      entry 2: name expected no entry, got \"a\"\n" },
		{ 49, "  <x 00\n", "  out      differs at byte 48: expected 49 bytes, got 72\n" },
	};

	start();
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char *trace;

		CU_ASSERT_FATAL(asprintf(&trace,
					HEAD_IN "open \"/in\" rdonly+directory mode=0 -> 3\n"
						"getdents 3 cap=65536 -> %d\n"
						"  < dent ino=1 off=1 dir \".\"\n"
						"  < dent ino=2 off=2 dir \"..\"\n"
						"%sclose 3 -> 0\nexit 0\nend\n",
					table[i].size, table[i].want) > 0);
		CU_ASSERT(!replay(trace));
		CU_ASSERT_EQUAL(
			result.mismatches, 1u + (table[i].size != 72)); /* the result, too */
		CU_ASSERT(report && strstr(report, table[i].says) != NULL);
		if (!report || !strstr(report, table[i].says))
			printf("     row %zu:\n%s", i, report);
		free(trace);
	}
	finish();
}

static void no_more_mismatches_than_asked_for_are_told(void)
{
	struct replay_host_options o = { .tree_dir = host.path, .most = 2 };
	struct trace_reader *reader;
	char *trace;
	size_t size, n = 0;

	start();
	o.tree_dir = host.path;
	trace = edited("-> 3\nread 3 cap=65536", "-> 4\nread 5 cap=65536");
	for (int pass = 0; pass < 2; pass++, n = 0) {
		o.json = pass;
		free(report);
		report = NULL;
		CU_ASSERT_FATAL(
			!trace_reader_open_memory(&reader, trace, strlen(trace), "x.bjt", &err));
		o.out = open_memstream(&report, &size);
		CU_ASSERT(!replay_host_reader(reader, "x.bjt", &o, &result, &err));
		trace_reader_close(reader);
		fclose(o.out);
		CU_ASSERT(result.mismatches > 2);
		for (const char *at = report; (at = strcasestr(at, "mismatch")); at++)
			n++;
		CU_ASSERT_EQUAL(n, o.json ? result.mismatches : 2);
	}
	free(trace);
	finish();
}

static void fields_are_in_json(void)
{
	char *trace;

	start();
	json = true;
	trace = edited("attr mode=0100644 size=17", "attr mode=0100755 size=17");
	CU_ASSERT(!replay(trace));
	CU_ASSERT(strstr(report, ",\"fields\":[{\"name\":\"mode\",\"expected\":\"0100755\","
				 "\"got\":\"0100644\"}]}\n") != NULL);
	free(trace);
	finish();
}

static void each_mismatch_is_a_line_of_json(void)
{
	static const char *const says[] = {
		"{\"mismatch\":\"result\",\"trace\":\"x.bjt\",\"line\":13,\"call\":3,"
		"\"text\":\"lseek 3 -5 end -> 13\",\"expected\":13,\"got\":12}\n",
		"\"at\":15,\"expected\":{\"len\":17,\"from\":7,\"bytes\":{\"hex\":"
		"\"6a61720a6b656570ff0a\"}},\"got\":{\"len\":17,\"from\":7,\"bytes\":"
		"\"jar\\nkeeps\\n\"}}\n",
		"\"mount\":1,\"guest\":\"/out\",\"path\":{\"hex\":\"ff\"},\"field\":\"object\","
		"\"expected\":\"removed\",\"got\":\"unchanged\"}\n",
		"{\"mismatch\":\"stop\",",
	};
	size_t lines = 0;
	char *trace;

	start();
	json = true;
	trace = edited("end -> 12", "end -> 13");
	free(text);
	text = trace;
	trace = edited("keeps", "keep\\xff");
	free(text);
	text = trace;
	trace = edited("end\n", "after 1 \"\\xff\" removed\nend code=7\n");
	CU_ASSERT(!replay(trace));
	CU_ASSERT_EQUAL(result.mismatches, 4);
	for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		if (!strstr(report, says[i]))
			printf("     not there: %s%s", says[i], report);
		CU_ASSERT(strstr(report, says[i]) != NULL);
	}
	for (const char *p = report; p && *p; p++, lines++) {
		p = *p == '{' ? json_value(p) : NULL;
		CU_ASSERT_FATAL(p && *p == '\n');
	}
	CU_ASSERT_EQUAL(lines, result.mismatches);
	free(trace);
	finish();
}

/* A question asked otherwise need not be answered otherwise; anything else must show. */
static bool may_go_unnoticed(const char *trace, size_t at)
{
	static const char *const lines[] = { "guest ", "argv ", "omit ", "#", "exit ",
		"open \"/in/none\"" };
	static const char *const values[] = { " cap=", " mode=" }; /* of read and open */
	size_t from = at;

	while (from && trace[from - 1] != '\n')
		from--;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (!strncmp(trace + from, lines[i], strlen(lines[i])))
			return true;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		const char *value = strstr(trace + from, values[i]);
		size_t len = strlen(values[i]);

		if (strncmp(trace + from, "after", 5) != 0 && value && trace + at >= value + len &&
			trace + at < value + len + strspn(value + len, "0123456789"))
			return true;
	}
	return false;
}

static void a_changed_byte_is_noticed(void)
{
	unsigned errors = 0, mismatches = 0;

	start();
	for (size_t i = 0; text[i]; i++) {
		int r;

		text[i] ^= 1;
		r = replay_bytes(text, strlen(text));
		text[i] ^= 1;
		errors += r != 0;
		mismatches += !r && result.mismatches;
		if (r || result.mismatches || may_go_unnoticed(text, i))
			continue;
		printf("     another byte goes unnoticed at %.40s\n", text + i);
		CU_ASSERT(false);
	}
	CU_ASSERT(errors && mismatches);
	finish();
}

static void a_cut_trace_is_compared_as_far_as_it_goes(void)
{
	char *trace = NULL, *at;

	start();
	trace = strdup(text);
	at = strstr(trace, "unlink");
	strcpy(at, "cut\n");
	CU_ASSERT(agrees(trace));
	CU_ASSERT(result.cut);
	CU_ASSERT_EQUAL(result.calls, 9);
	free(trace);
	finish();
}

static void console_input_is_what_it_was(void)
{
	start();
	CU_ASSERT(agrees(HEAD "read 0 cap=100 -> 5\n  < one\\n2\n"
			      "serial_read_byte -> 104\n"
			      "serial_read_byte -> -ENODATA\n"
			      "serial_read cap=5 -> 3\n  < abc\n"
			      "read 0 cap=100 -> 0\n"
			      "read 0 cap=100 -> -EIO\n"
			      "serial_read_byte -> 0\n"
			      "exit 3\nend\n"));
	CU_ASSERT_EQUAL(result.calls, 8);
	finish();
}

static void console_output_goes_nowhere(void)
{
	start();
	CU_ASSERT(agrees(HEAD "write 1 -> 4\n  > one\\n\n"
			      "write 2 len=10 -> 3\n  > two\n"
			      "write 1 len=5 -> -EPIPE\n"
			      "serial_write -> 3\n  > abc\n"
			      "serial_write_byte \"x\" -> 0\n"
			      "exit 0\nend\n"));
	finish();
}

/* Addresses outside RAM, and buffers of which a part is. */
static void faults_are_made_again(void)
{
	start();
	CU_ASSERT(agrees(HEAD_IN "open bad rdonly mode=0 -> -EFAULT\n"
				 "open \"\" rdonly mode=0 -> -ENOENT\n"
				 "open \"/in/a\" rdonly mode=0 -> 3\n"
				 "read 3 cap=100 bad -> -EFAULT\n"
				 "read 99 cap=100 bad -> -EBADF\n"
				 "write 1 len=8 bad -> -EFAULT\n"
				 "fstat 3 bad -> -EFAULT\n"
				 "stat \"/in/a\" stat bad -> -EFAULT\n"
				 "stat bad stat -> -EFAULT\n"
				 "stat \"/in/none\" stat -> -ENOENT\n"
				 "getdents 3 cap=100 bad -> -EFAULT\n"
				 "exit 0\nend\n"));
	CU_ASSERT(agrees(HEAD1_IN "open \"/in/a\" rdonly mode=0 -> 3\n"
				  "read 3 cap=8192 bad -> 5\n  < A bel\n"
				  "read 3 cap=8192 bad -> -EFAULT\n"
				  "read 3 cap=8192 -> 12\n  < l jar\\n\n  < keeps\\n\n"
				  "cmdsize -> 0\n"
				  "cmdval -> 0\n"
				  "cmdval bad -> -EFAULT\n"
				  "uart \"x\" -> 0\n"
				  "write 1 len=5000 bad -> -EIO\n  > four\n"
				  "end crashed\n"));
	/* Said to be outside when it is not, and the other way round. */
	CU_ASSERT(!replay(HEAD "close 7 bad -> -EBADF\nread 7 cap=1 -> -EFAULT\nexit 0\nend\n"));
	CU_ASSERT_EQUAL(result.mismatches, 2);
	finish();
}

static void goes_on_after_a_call_that_stopped_the_machine(void)
{
	start();
	CU_ASSERT(!replay(
		HEAD1 "write 9 -> -EBADF\n  > x\nclose 9 -> -EBADF\nclose 8 -> 0\nend crashed\n"));
	CU_ASSERT_EQUAL(result.calls, 3);
	CU_ASSERT_EQUAL(result.mismatches, 2); /* no byte of x was asked for; close 8 */
	finish();
}

/* A short trace must not make the host write or read for ever. */
static void absurd_lengths_cost_little(void)
{
	char *trace;
	size_t size;
	FILE *f;

	start();
	f = open_memstream(&trace, &size);
	fputs("bjt 1\nguest \"g\" abi=uhyve/2 mem=68719476736\n"
	      "mount \"out\" \"/out\" rw\nomit t ip ptr n\n\nopen \"/out/x\" rdwr+creat mode=0666 "
	      "-> 3\n",
		f);
	for (int i = 0; i < 50; i++)
		fputs("write 3 len=60000000000 -> -EFBIG\nlseek 3 0 set -> 0\n"
		      "read 3 cap=60000000000 -> 0\n",
			f);
	fputs("exit 0\nend\n", f);
	fclose(f);
	CU_ASSERT(!replay(trace));
	CU_ASSERT(result.mismatches >= 100);
	free(trace);
	finish();
}

static void refuses_what_cannot_be_replayed(void)
{
	static const struct {
		const char *trace, *why;
	} table[] = {
		{ "bjt 1\nguest \"g\" abi=uhyve/2 mem=3\nomit t ip ptr n\n\nexit 0\nend\n",
			"3 bytes of guest memory" },
		{ GUEST(MOUNT("../in"), "2") "exit 0\nend\n", "leaves" },
		{ GUEST(MOUNT("/etc"), "2") "exit 0\nend\n", "leaves" },
		{ HEAD "exit 0\n", "" },
	};

	start();
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		CU_ASSERT(replay_bytes(table[i].trace, strlen(table[i].trace)) < 0);
		if (!err.text[0] || !strstr(err.text, table[i].why))
			printf("     row %zu: %s\n", i, err.text);
		CU_ASSERT(err.text[0] && strstr(err.text, table[i].why) != NULL);
	}
	finish();
}

/* A host that ran out of something is no mismatch, neither ours nor the recorded one. */
static void a_recorded_host_that_ran_out_cannot_be_repeated(void)
{
	static const char *const errors[] = { "-ENOSPC", "-EDQUOT", "-ENFILE", "-ENOMEM" };

	start();
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		char *trace = edited("-ENOENT", errors[i]);

		CU_ASSERT_EQUAL(replay_bytes(trace, strlen(trace)), -EOPNOTSUPP);
		CU_ASSERT_EQUAL(result.mismatches, 0);
		CU_ASSERT(strstr(err.text, errors[i] + 1) && strstr(err.text, "call 10, open"));
		if (!strstr(err.text, "call 10, open"))
			printf("     %s\n", err.text);
		free(trace);
	}
	finish();
}

static void a_stop_is_heeded(void)
{
	static volatile sig_atomic_t stop = 1;
	struct replay_host_options o = { .tree_dir = host.path, .stop = &stop };
	struct trace_reader *reader;

	start();
	CU_ASSERT_FATAL(!trace_reader_open_memory(&reader, text, strlen(text), "x", &err));
	CU_ASSERT_EQUAL(replay_host_reader(reader, "x", &o, &result, &err), -EINTR);
	trace_reader_close(reader);
	finish();
}

/* --- recordings ---------------------------------------------------------------------------------- */

static struct trace_mount in_mount;
static struct trace_header header;

static void make_header(char *in)
{
	static char *argv[] = { (char *)(uintptr_t) "g" };

	in_mount = (struct trace_mount){ .host = in, .guest = (char *)(uintptr_t) "/in" };
	header = (struct trace_header){ .version = TRACE_VERSION,
		.abi = &abi_uhyve,
		.abi_version = 2,
		.mem_size = 2 << 20,
		.argv = { argv, 1 },
		.cwd = (char *)(uintptr_t) "/",
		.mounts = &in_mount,
		.n_mounts = 1,
		.has_tree = true };
}

/* One call: open, and the exit. */
static void put_calls(struct trace_writer *w, const char *path, int64_t fd)
{
	struct trace_record open = { .kind = TRACE_CALL,
		.port = 0x1110,
		.row = trace_row_of_port(&abi_uhyve, 0x1110),
		.result = fd,
		.in = (const uint8_t *)path,
		.in_len = strlen(path) };
	struct trace_record exit = { .kind = TRACE_CALL,
		.seq = 1,
		.port = 0x1010,
		.row = trace_row_of_port(&abi_uhyve, 0x1010),
		.ends = true };
	struct trace_record end = { .kind = TRACE_END, .stop_kind = VM_EXITED };

	CU_ASSERT(!trace_writer_put(w, &open));
	CU_ASSERT(!trace_writer_put(w, &exit));
	CU_ASSERT(!trace_writer_put(w, &end));
}

static void recordings_bring_their_files(void)
{
	struct replay_host_options o = { 0 };
	struct trace_writer *w;
	struct tree tree;
	char path[200], in[200];

	start();
	snprintf(path, sizeof(path), "%s/x.pcapng", host.path);
	snprintf(in, sizeof(in), "%s/in", host.path);
	make_header(in);
	CU_ASSERT_FATAL(!tree_look(&tree, &in_mount, 1, 0, &err));
	CU_ASSERT_FATAL(
		!trace_writer_open(&w, path, &header, &(struct trace_writer_config){ 0 }, &err));
	CU_ASSERT(!tree_store(&tree, &in_mount, w, &err));
	put_calls(w, "/in/a", 3);
	CU_ASSERT(!trace_writer_close(w, &err));
	tree_finish(&tree);
	snprintf(in, sizeof(in), "%s/in/a", host.path);
	CU_ASSERT(!unlink(in)); /* the recording has it */
	CU_ASSERT(!replay_host(path, &o, &result, &err));
	CU_ASSERT_EQUAL(result.mismatches, 0);
	CU_ASSERT_EQUAL(result.calls, 2);
	CU_ASSERT(!unlink(path));
	finish();
}

static int replay_recording(const struct trace_record *records, size_t n)
{
	struct replay_host_options o = { 0 };
	struct trace_writer *w;
	char path[200];
	int r;

	snprintf(path, sizeof(path), "%s/x.pcapng", host.path);
	CU_ASSERT_FATAL(
		!trace_writer_open(&w, path, &header, &(struct trace_writer_config){ 0 }, &err));
	for (size_t i = 0; i < n; i++)
		CU_ASSERT(!trace_writer_put(w, &records[i]));
	put_calls(w, "/in/a", 3);
	CU_ASSERT(!trace_writer_close(w, &err));
	err.text[0] = 0;
	r = replay_host(path, &o, &result, &err);
	CU_ASSERT(!unlink(path));
	return r;
}

static void refuses_recordings_that_lack_or_forge_files(void)
{
	struct trace_record dir = { .kind = TRACE_BEFORE,
		.tree = { .kind = TREE_DIR, .mode = 0755, .path = (const uint8_t *)"" } };
	struct trace_record link = { .kind = TRACE_BEFORE,
		.tree = { .kind = TREE_LINK,
			.path = (const uint8_t *)"l",
			.path_len = 1,
			.target = (const uint8_t *)host.path,
			.target_len = strlen(host.path) } };
	struct trace_record through = { .kind = TRACE_BEFORE,
		.tree = { .kind = TREE_DIR,
			.mode = 0755,
			.path = (const uint8_t *)"l/made",
			.path_len = 6 } };
	struct trace_record forged[3];
	char made[200];

	start();
	make_header(host.path);
	link.tree.target_len = strlen(host.path);
	memcpy(forged, (struct trace_record[]){ dir, link, through }, sizeof(forged));
	CU_ASSERT(replay_recording(forged, 3) < 0);
	if (!strstr(err.text, "at offset"))
		printf("     %s\n", err.text);
	CU_ASSERT(strstr(err.text, "at offset") != NULL);
	snprintf(made, sizeof(made), "%s/made", host.path);
	CU_ASSERT(access(made, F_OK) != 0);
	header.has_tree = false;
	CU_ASSERT_EQUAL(replay_recording(forged, 0), -ENOENT);
	CU_ASSERT(strstr(err.text, "--guest") != NULL);
	finish();
}

static const struct unit_case cases[] = {
	{ "agrees_with_what_was_recorded", agrees_with_what_was_recorded },
	{ "every_kind_of_mismatch_is_reported_once", every_kind_of_mismatch_is_reported_once },
	{ "masked_values_are_not_compared", masked_values_are_not_compared },
	{ "all_that_follows_from_a_missing_file_is_reported",
		all_that_follows_from_a_missing_file_is_reported },
	{ "directories_are_listed_as_they_were", directories_are_listed_as_they_were },
	{ "directories_differ_by_their_entries", directories_differ_by_their_entries },
	{ "no_more_mismatches_than_asked_for_are_told",
		no_more_mismatches_than_asked_for_are_told },
	{ "fields_are_in_json", fields_are_in_json },
	{ "each_mismatch_is_a_line_of_json", each_mismatch_is_a_line_of_json },
	{ "a_changed_byte_is_noticed", a_changed_byte_is_noticed },
	{ "a_cut_trace_is_compared_as_far_as_it_goes", a_cut_trace_is_compared_as_far_as_it_goes },
	{ "console_input_is_what_it_was", console_input_is_what_it_was },
	{ "console_output_goes_nowhere", console_output_goes_nowhere },
	{ "faults_are_made_again", faults_are_made_again },
	{ "goes_on_after_a_call_that_stopped_the_machine",
		goes_on_after_a_call_that_stopped_the_machine },
	{ "absurd_lengths_cost_little", absurd_lengths_cost_little },
	{ "refuses_what_cannot_be_replayed", refuses_what_cannot_be_replayed },
	{ "a_recorded_host_that_ran_out_cannot_be_repeated",
		a_recorded_host_that_ran_out_cannot_be_repeated },
	{ "a_stop_is_heeded", a_stop_is_heeded },
	{ "recordings_bring_their_files", recordings_bring_their_files },
	{ "refuses_recordings_that_lack_or_forge_files",
		refuses_recordings_that_lack_or_forge_files },
};

UNIT_MAIN("replay_host", cases)
