// SPDX-License-Identifier: ISC
/* Golden text: what is written reads back the same, what does not parse says where and why. */
#include "trace_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "abi.h"
#include "abi_uhyve.h"
#include "err.h"
#include "heap.h"
#include "names.h"
#include "scan.h"
#include "session.h"
#include "tmptree.h"
#include "trace_text_parts.h"
#include "unit.h"
#include "vm.h"

/* Records kept, for they live only until the next. */
struct kept {
	struct trace_header header;
	struct trace_record *records;
	size_t n;
};

static const uint8_t *copy_bytes(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len + 1);

	if (len)
		memcpy(copy, bytes, len);
	copy[len] = 0;
	return copy;
}

static void keep(struct kept *k, const struct trace_record *r)
{
	struct trace_record *copy;

	k->records = realloc(k->records, (k->n + 1) * sizeof(*k->records));
	copy = &k->records[k->n++];
	*copy = *r;
	copy->in = copy_bytes(r->in, r->in_len);
	copy->out = copy_bytes(r->out, r->out_len);
	copy->tree.path = copy_bytes(r->tree.path, r->tree.path_len);
	copy->tree.target = copy_bytes(r->tree.target, r->tree.target_len);
	copy->stop_text = (const char *)copy_bytes(
		(const uint8_t *)r->stop_text, r->stop_text ? strlen(r->stop_text) : 0);
}

static void drop_records(struct kept *k)
{
	for (size_t i = 0; i < k->n; i++) {
		free((void *)(uintptr_t)k->records[i].in);
		free((void *)(uintptr_t)k->records[i].out);
		free((void *)(uintptr_t)k->records[i].tree.path);
		free((void *)(uintptr_t)k->records[i].tree.target);
		free((void *)(uintptr_t)k->records[i].stop_text);
	}
	free(k->records);
	k->records = NULL;
	k->n = 0;
}

static void drop(struct kept *k)
{
	drop_records(k);
	trace_header_finish(&k->header);
	*k = (struct kept){ 0 };
}

/* 0, or -errno with err: then nothing is kept. */
static int parse(struct kept *k, const char *text, const char *blob_dir, struct err *err)
{
	FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	struct trace_text_reader *reader;
	struct trace_record record;
	int r;

	*k = (struct kept){ 0 };
	r = trace_text_open(&reader, in, "t.bjt", blob_dir, &k->header, err);
	if (!r) {
		while ((r = trace_text_next(reader, &record, err)) == 1)
			keep(k, &record);
		CU_ASSERT(r <= 0);
		trace_text_close(reader);
	}
	fclose(in);
	if (r)
		drop(k);
	return r;
}

static void nothing_is_left_behind(void)
{
	enum { WARM = 10, ROUNDS = 100, LEAST = 32 }; /* LEAST: bytes of anything */
	size_t before = 0;
	struct kept k;
	struct err err;

	for (int i = 0; i < WARM + ROUNDS; i++) {
		CU_ASSERT_EQUAL(
			parse(&k, "bjt 1\nguest \"g\" abi=uhyve/2 mem=4096\n\nend\n", NULL, &err),
			0);
		drop(&k);
		CU_ASSERT(parse(&k, "bjt 1\nno\n", NULL, &err) < 0);
		if (i == WARM)
			before = heap();
	}
	CU_ASSERT(heap() < before + ROUNDS * LEAST / 2);
}

static char *write_text(const struct kept *k, bool full, const char *blob_dir)
{
	struct trace_text_config config = { .full = full, .blob_dir = blob_dir };
	struct err err = { 0 };
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	CU_ASSERT_EQUAL(trace_text_begin(out, &k->header, &config, &err), 0);
	for (size_t i = 0; i < k->n; i++)
		CU_ASSERT_EQUAL(trace_text_put(out, &k->header, &k->records[i], &config, &err), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
	fclose(out);
	return text;
}

#define HEADER "bjt 1\nguest \"g\" abi=uhyve/2 mem=2097152\n"
#define BEGIN  HEADER "omit t ip ptr n\n\n"

static void text_comes_back_as_it_was(void)
{
	static const char *const texts[] = {
		BEGIN "end\n",
		BEGIN "cut\n",
		BEGIN "edit +0 memory 0x201000\n  < hello\nedit +18446744073709551615/7 rip "
		      "0x0000000000401000\nedit held memory 0x0\n  <x 00ff80\ncut\n",
		BEGIN "close 3 -> 0\nedit +12 mxcsr 0x00001f80\nedit +12/4294967295 xmm0 "
		      "0x000102030405060708090a0b0c0d0e0f\nexit 0\nend\n",
		BEGIN "exit 3\nend\n",
		BEGIN "exit 3\nend code=4\n",
		BEGIN "exit -1\nend\n",
		BEGIN "exit 3\nend code=0 \"why\"\n",
		BEGIN "end crashed \"at \\xff\\\"\"\n",
		BEGIN "close 3 -> 0\nend kicked code=-9\n",
		BEGIN "open \"/in/caf\\xe9\\n\" rdwr+creat+excl+trunc mode=0644 -> 3\nend\n",
		BEGIN "open bad rdonly mode=0 -> -EFAULT\ncut\n",
		BEGIN
		"open \"\" accmode+sync+tmpfile+0x80000000 mode=037777777777 -> -99999\nend\n",
		BEGIN "stat bad lstat -> -EFAULT\nstat \"x\" lstat bad -> -EFAULT\nend\n",
		BEGIN "read 3 cap=256 -> 13\n  < hello, world\\n\nend\n",
		BEGIN "read 3 cap=256 bad -> -EFAULT\nend\n",
		BEGIN "read 3 cap=256 -> ~13\n  ~< hello, world\\n\nend\n",
		BEGIN "read 3 cap=0 -> ~-EIO\n  ~<\nend\n",
		BEGIN "read 3 cap=3 -> 3\n  <x 00ff80\nend\n",
		BEGIN "write -1 len=5 -> -EBADF\nend\n",
		BEGIN "write 3 -> 5\n  > done\\n\nend\n",
		BEGIN "write 3 -> 0\nend\n",
		BEGIN "write 3 len=5 -> ?\n  > done\ncut\n",
		BEGIN "write@0x400 3 -> 2\n  >  \\x20\nend\n",
		BEGIN "lseek -2147483648 -9223372036854775808 hole -> -9223372036854775808\nend\n",
		BEGIN "lseek 0 1 5 -> -EINVAL\nend\n",
		BEGIN "serial_write_byte \"\\xff\" -> 0\nuart \"\\\"\" -> 0\nend\n",
		BEGIN "serial_read_byte -> 10\nserial_read cap=1 -> 1\n  < x\nend\n",
		BEGIN "cmdsize -> 0\ncmdval bad -> -EFAULT\nend\n",
		BEGIN "fstat 3 -> 0\n  < attr mode=0100644 size=13 ino=5\nend\n",
		BEGIN
		"stat \"/\" stat -> 0\n  < attr mode=040755 size=4096 ino=1 dev=0 nlink=7 uid=1 "
		"gid=2 "
		"rdev=3 blksize=-4 blocks=9 atime=0 mtime=-5.000000001 ctime=7.999999999\nend\n",
		BEGIN "stat \"/\" 2 -> -EFAULT\n  <x 61\nend\n",
		BEGIN "getdents 3 cap=512 -> 80\n  < dent ino=5 off=1 dir \".\"\n"
		      "  < dent ino=0 off=-1 unknown \"\"\n  < dent ino=9 off=3 200 \"a "
		      "\\\"b\\x80\"\nend\n",
		BEGIN "getdents 3 cap=512 -> 24\n  < dent ino=9 off=3 255 \"x\"\nend\n",
		BEGIN "getdents 3 cap=512 -> 2\n  <x 0102\nend\n",
		"bjt 1\nguest \"g w.elf\" abi=uhyve/1 mem=1\nargv \"\" \"a b\" \"\\xff\"\nkernel "
		"\"-f\" \"2\"\n"
		"env \"A=1\"\nenv \"A=1\"\ncwd \"/x\"\nlimit fds=5 depth=3\npaths utf8\npartial\n"
		"mount \"in\" \"/in\" ro\nmount \"h\" \"/h\" ro,nohardlinks\n"
		"mount \"u\" \"/u\" rw,unlink,nohardlinks\n"
		"mount \"o\" \"/o\" rw,unlink file\nclock 0\nseed 18446744073709551615\n"
		"omit t ip ptr n\n\nexit 0\n"
		"after 0 \"\" dir mode=0755\nafter 1 \"a/b\" removed\nafter 1 \"f\" file "
		"mode=07777 size=3 "
		"sha256=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
		"after 1 \"l\" link \"../\\xe9\"\nafter 1 \"m\" link mode=0700 \".\"\n"
		"after 1 \"p\" fifo mode=0600\nafter 0 \"s\" socket mode=0\nafter 0 \"d\" device "
		"mode=01\nend\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct err err = { 0 };
		struct kept k;
		char *again;

		CU_ASSERT_EQUAL(parse(&k, texts[i], NULL, &err), 0);
		CU_ASSERT_STRING_EQUAL(err.text, "");
		if (err.text[0]) {
			printf("%s", texts[i]);
			continue;
		}
		again = write_text(&k, false, NULL);
		CU_ASSERT_STRING_EQUAL(again, texts[i]);
		if (strcmp(again, texts[i]) != 0)
			printf("%s---\n%s", texts[i], again);
		free(again);
		drop(&k);
	}
}

static void full_text_comes_back_as_it_was(void)
{
	static const char text[] =
		"bjt 1\nguest \"g\" abi=uhyve/2 mem=1 "
		"sha256=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n\n"
		"close 3 -> 0 @n=5 t=1700000000000000000ns d=7ns ip=0x100a31\n"
		"write 3 -> 2 @n=6 t=+10ns d=0ns ip=0x100a31 ptr=0x2000\n  > hi\n"
		"stat \"\" stat -> -ENOENT @n=7 t=1600000000000000000ns d=0ns ip=0x0 "
		"ptr=0x2000,0xffffffffffffffff\n"
		"edit held memory 0x1000 @ip=0x100a31\n  < a\nedit +3 rax 0x0000000000000001\n"
		"exit 0 @n=9 t=+0ns d=0ns ip=0x1\nend\n";
	struct err err = { 0 };
	struct kept k;
	char *again;

	CU_ASSERT_EQUAL_FATAL(parse(&k, text, NULL, &err), 0);
	CU_ASSERT_EQUAL(k.records[0].seq, 5);
	CU_ASSERT_EQUAL(k.records[0].duration_ns, 7);
	CU_ASSERT_EQUAL(k.records[1].time_ns, UINT64_C(1700000000000000010));
	CU_ASSERT_EQUAL(k.records[1].rip, 0x100a31);
	CU_ASSERT_EQUAL(k.records[1].args[1], 0x2000);
	again = write_text(&k, true, NULL);
	CU_ASSERT_STRING_EQUAL(again, text);
	free(again);
	drop(&k);
}

static void addresses_of_a_crash_stay_out(void)
{
	static const char text[] = BEGIN "end crashed \"at 0x10ab5: 0x1f\\\" 0x, 0xffff0\"\n";
	struct err err = { 0 };
	struct kept k;
	char *again;

	CU_ASSERT_EQUAL_FATAL(parse(&k, text, NULL, &err), 0);
	again = write_text(&k, false, NULL);
	CU_ASSERT_STRING_EQUAL(again, BEGIN "end crashed \"at 0x..: 0x1f\\\" 0x, 0x..\"\n");
	free(again);
	drop(&k);
}

static void liberties_of_whoever_edits(void)
{
	static const char text[] =
		"# why\n" HEADER "# no omit line\n\n\n# first\nread 3 cap=9 -> 6\n"
		"  < abc\n# within\n\n  < def\nexit 0\n\nend\n# behind\n\n";
	struct err err = { 0 };
	struct kept k;

	CU_ASSERT_EQUAL_FATAL(parse(&k, text, NULL, &err), 0);
	CU_ASSERT_EQUAL_FATAL(k.n, 3);
	CU_ASSERT_EQUAL(k.records[0].where, 8);
	CU_ASSERT_EQUAL(k.records[0].out_len, 6);
	CU_ASSERT(!memcmp(k.records[0].out, "abcdef", 6));
	CU_ASSERT_STRING_EQUAL(k.header.cwd, "/");
	CU_ASSERT_EQUAL(k.header.boot_time_ns, SESSION_CLOCK_NS);
	CU_ASSERT_EQUAL(k.header.argv.n, 1);
	drop(&k);
}

static void what_is_omitted_comes_in_any_order(void)
{
	static const char *const words[] = { "t", "ip", "ptr", "n", "n ptr", "ptr t", "n ip t" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		char text[200];
		struct err err = { 0 };
		struct kept k;

		snprintf(text, sizeof(text), HEADER "omit %s\n\nend\n", words[i]);
		CU_ASSERT_EQUAL(parse(&k, text, NULL, &err), 0);
		CU_ASSERT_STRING_EQUAL(err.text, "");
		drop(&k);
	}
}

static void a_file_that_cannot_be_read_is_no_empty_one(void)
{
	FILE *directory = fopen(".", "r");
	struct trace_text_reader *reader;
	struct trace_header header = { 0 };
	struct err err = { 0 };

	CU_ASSERT_PTR_NOT_NULL_FATAL(directory);
	CU_ASSERT_EQUAL(trace_text_open(&reader, directory, ".", NULL, &header, &err), -EISDIR);
	CU_ASSERT_STRING_EQUAL(err.text, ".: Is a directory");
	trace_text_close(reader); /* there is none */
	fclose(directory);
}

static void says_where_and_why_it_is_refused(void)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "\n", "t.bjt: empty" },
		{ "hello\n", "t.bjt:1: 'hello'; expected 'bjt 1'" },
		{ "bjt\n", "t.bjt:1: the line ends; expected a version" },
		{ "bjt 2\n", "t.bjt:1: version 2; expected 1" },
		{ "bjt 0\n", "t.bjt:1: version 0" },
		{ "bjt 1 2\n", "t.bjt:1: '2'; expected the end of the line" },
		{ "bjt 1\n\n", "no 'guest' line" },
		{ "bjt 1\n", "no 'guest' line" },
		{ "bjt :\n", "t.bjt:1: ':'; expected a version" },
		{ "bjt\r 1\n", "t.bjt:1: byte 0x0d in column 4" },
		{ "bjt 1\nguest g\n\n", "t.bjt:2: 'g'; expected the guest's name" },
		{ "bjt 1\nguest \"g\"abi=uhyve/2\n\n", "expected a blank" },
		{ "bjt 1\nguest \"g\" abi=uhive/2 mem=1\n\n", "expected an ABI" },
		{ "bjt 1\nguest \"g\" mem=1\n\n", "expected abi=NAME/GENERATION" },
		{ "bjt 1\nguest \"g\" abi=uhyve/: mem=1\n\n", "expected abi=NAME/GENERATION" },
		{ "bjt 1\nguest \"g\" abi=uhyve/2147483648 mem=1\n\n",
			"expected abi=NAME/GENERATION" },
		{ "bjt 1\nguest \"g\" abi=uhyve/x mem=1\n\n", "expected abi=NAME/GENERATION" },
		{ "bjt 1\nguest \"g\" abi=uhyve mem=1\n\n", "expected abi=NAME/GENERATION" },
		{ "bjt 1\nguest \"g\" abi=uhyve/2 mem=18446744073709551616\n\n", "expected mem=" },
		{ "bjt 1\nguest \"g\" abi=uhyve/2 mem=-1\n\n", "expected mem=BYTES" },
		{ "bjt 1\nguest \"g\" abi=uhyve/2 mem=99999999999999999999\n\n", "expected mem=" },
		{ "bjt 1\nguest \"g\" abi=uhyve/2147483648 mem=1\n\n", "abi=NAME/GENERATION" },
		{ "bjt 1\nguest \"g\\x00\" abi=uhyve/2 mem=1\n\n", "t.bjt:2: \\x00 in a string" },
		{ "bjt 1\nguest \"g\" abi=uhyve/2 mem=1 sha256=00\n\n", "64 hex digits" },
		{ "bjt 1\nargv \"a\"\n\n", "'argv' in front of 'guest'" },
		{ HEADER "guest \"g\" abi=uhyve/2 mem=1\n\n", "t.bjt:3: 'guest' again" },
		{ HEADER "cwd \"/\"\ncwd \"/\"\n\n", "t.bjt:4: 'cwd' again" },
		{ HEADER "mount \"a\" \"/a\" wr\n\n", "t.bjt:3: 'wr'; expected ro or rw" },
		{ HEADER "mount \"a\" \"/a\" nohardlinks\n\n", "expected ro or rw" },
		{ HEADER "limit fds=x\n\n", "t.bjt:3: 'fds=x'; expected a number" },
		{ HEADER "limit frob=1\n\n", "expected fds=, scratch=" },
		{ HEADER "limit depth=1 fds=1\n\n", "expected fds=, scratch=" },
		{ HEADER "paths bytes\n\n", "t.bjt:3: 'bytes'; expected utf8" },
		{ HEADER "argv \"a\"\nargv \"a\"\n\n", "t.bjt:4: 'argv' again" },
		{ HEADER "kernel \"a\"\nkernel \"a\"\n\n", "t.bjt:4: 'kernel' again" },
		{ HEADER "clock 1\nclock 1\n\n", "t.bjt:4: 'clock' again" },
		{ HEADER "limit fds=9\nlimit fds=9\n\n", "t.bjt:4: 'limit' again" },
		{ HEADER "seed 1\nseed 1\n\n", "t.bjt:4: 'seed' again" },
		{ HEADER "omit t\nomit t\n\n", "t.bjt:4: 'omit' again" },
		{ HEADER "mount \"a\" \"/a\" ro fil\n\n", "expected the end of the line" },
		{ HEADER "env A=1\n\n", "t.bjt:3: 'A=1'; expected \"NAME=VALUE\"" },
		{ HEADER "argv \"a\n\n", "t.bjt:3: the line ends within quotes" },
		{ HEADER "argv \"\\q\"\n\n", "t.bjt:3: '\\q\"'; expected \\n" },
		{ HEADER "argv \"\\xFF\"\n\n", "expected \\n \\t" },
		{ HEADER "close 3 -> 0\nend\n", "t.bjt:3: 'close 3 -> 0'; expected guest, argv" },
		{ BEGIN, "t.bjt: truncated: no `end` line" },
		{ BEGIN "close 3 -> 0\n", "truncated: no `end` line" },
		{ BEGIN "end\nclose 3 -> 0\n", "t.bjt:6: 'close 3 -> 0'; expected nothing behind" },
		{ BEGIN "end\nend\n", "t.bjt:6: 'end'; expected nothing" },
		{ BEGIN "cut off\n", "'off'; expected the end" },
		{ BEGIN "end crashed code=2147483648\n", "expected code=NUMBER" },
		{ BEGIN "end crashed code=-2147483649\n", "expected code=NUMBER" },
		{ BEGIN "end crashed code=\n", "expected code=NUMBER" },
		{ BEGIN "end \"\\x7f\"\n", "a control character" },
		{ BEGIN "end wild\n", "t.bjt:5: 'wild'; expected why it stopped" },
		{ BEGIN "end \"\\x00\"\n", "\\x00 in a string" },
		{ BEGIN "end \"\\n\"\n", "a control character" },
		{ BEGIN "end \"\\x1b\"\n", "a control character" },
		{ BEGIN "end running\n", "'running'; expected why" },
		{ BEGIN "unlink \"a\\x00b\" -> 0\nend\n", "\\x00 in a path" },
		{ HEADER "mount \"a\" \"/a\" ro\n\nafter 0 \"a/../b\" removed\nend\n",
			"beneath its mount" },
		{ HEADER "mount \"a\" \"/a\" ro\n\nafter 0 \"/b\" removed\nend\n",
			"beneath its mount" },
		{ HEADER "mount \"a\" \"/a\" ro\n\nafter 0 \"b/\" removed\nend\n",
			"beneath its mount" },
		{ HEADER "mount \"a\" \"/a\" ro\n\nafter 0 \"b\" link \"\"\nend\n",
			"a target of 0 bytes" },
		{ HEADER "mount \"a\" \"/a\" ro\n\nafter 0 \"b\" link x\nend\n",
			"expected what the link holds, in quotes" },
		{ BEGIN "edit\nend\n", "t.bjt:5: the line ends; expected held or +INSTRUCTIONS" },
		{ BEGIN "edit 5 rip 0x0\nend\n", "expected held or +INSTRUCTIONS" },
		{ BEGIN "edit + rip 0x0\nend\n", "expected +INSTRUCTIONS" },
		{ BEGIN "edit +-1 rip 0x0\nend\n", "expected +INSTRUCTIONS" },
		{ BEGIN "edit +18446744073709551616 rip 0x0\nend\n", "expected +INSTRUCTIONS" },
		{ BEGIN "edit +5/ rip 0x0\nend\n", "expected +INSTRUCTIONS/EXCEPTIONS" },
		{ BEGIN "edit +5/0 rip 0x0\nend\n", "expected +INSTRUCTIONS/EXCEPTIONS" },
		{ BEGIN "edit +5/18446744073709551616 rip 0x0\nend\n", "+INSTRUCTIONS/EXCEPTIONS" },
		{ BEGIN "edit +5/1/1 rip 0x0\nend\n", "+INSTRUCTIONS/EXCEPTIONS" },
		{ BEGIN "edit +5\nend\n", "expected memory or the name of a register" },
		{ BEGIN "edit +5 rap 0x0\nend\n", "'rap 0x0'; expected memory or the name" },
		{ BEGIN "edit +5 rip\nend\n", "a value of rip; expected 0x and 16 hex digits" },
		{ BEGIN "edit +5 rip 0x0\nend\n", "expected 0x and 16 hex digits" },
		{ BEGIN "edit +5 rip 0x00000000000000000\nend\n", "0x and 16 hex digits" },
		{ BEGIN "edit +5 rip 0x000000000000000G\nend\n", "0x and 16 hex digits" },
		{ BEGIN "edit +5 rip 0x0000000000000000 1\nend\n", "expected the end of the line" },
		{ BEGIN "edit held rip 0x0000000000000000\nend\n",
			"t.bjt:5: register rip written before a call's answer" },
		{ BEGIN "edit +5 memory\nend\n", "expected 0xADDRESS" },
		{ BEGIN "edit +5 memory 0x10000000000000000\n  < a\nend\n", "0xADDRESS" },
		{ BEGIN "edit +5 memory 0x1000\nend\n", "t.bjt:5: 0 bytes written; expected 1 to" },
		{ BEGIN "edit +5 memory 0x1000\n  > a\nend\n", "for a debugger wrote it" },
		{ BEGIN "edit +5 memory 0x1000\n  ~< a\nend\n", "for a debugger wrote it" },
		{ BEGIN "edit +5 memory 0x1000 @ip=5\n  < a\nend\n", "expected @ip=0x" },
		{ BEGIN "edit +5 rip 0x0000000000000000\n  < a\nend\n", "t.bjt:6: " },
		{ BEGIN "close 3 -> ?\nedit +5 memory 0x1000\n  < a\ncut\n",
			"'edit' behind the calls" },
		{ HEADER "mount \"a\" \"/a\" ro\n\nafter 0 \"b\" removed\nedit +5 memory 0x1\n  < "
			 "a\nend\n",
			"'edit' behind the calls" },
		{ BEGIN "clsoe 3 -> 0\nend\n", "t.bjt:5: 'clsoe 3 -> 0'; expected a call" },
		{ BEGIN " close 3 -> 0\nend\n", "t.bjt:5: " },
		{ BEGIN "close  3 -> 0\nend\n", "expected a descriptor" },
		{ BEGIN "close 3 -> 0 \nend\n", "t.bjt:5: blank at the end" },
		{ BEGIN "close 2147483648 -> 0\nend\n", "expected a number that fits" },
		{ BEGIN "close three -> 0\nend\n", "t.bjt:5: 'three -> 0'; expected a descriptor" },
		{ BEGIN "close 3 -> -ENOSUCH\nend\n", "expected a result" },
		{ BEGIN "close 3 -> 9223372036854775808\nend\n", "expected a result" },
		{ BEGIN "close 3 -> ~\nend\n", "expected a result" },
		{ BEGIN "close 3 -> 1ENOENT\nend\n", "expected a result" },
		{ BEGIN "close 3 ->\nend\n", "the line ends; expected a result" },
		{ BEGIN "close 3 -> 0 0\nend\n", "'0'; expected the end of the line" },
		{ BEGIN "close 3 > 0\nend\n", "'> 0'; expected the end of the line" },
		{ BEGIN "close 3 -> ?\nend\n", "t.bjt:6: 'end' behind a call without result" },
		{ BEGIN "close 3 -> ?\nclose 3 -> 0\nend\n", "t.bjt:6: " },
		{ HEADER "mount \"a\" \"/a\" ro\n\nclose 3 -> ?\nafter 0 \"b\" removed\ncut\n",
			"'after' behind a call without result; expected cut" },
		{ BEGIN "open \"x\" rdonly -> 3\nend\n", "t.bjt:5: '-> 3'; expected mode=OCTAL" },
		{ BEGIN "open \"x\" rdonly mode=8 -> 3\nend\n", "expected mode=OCTAL" },
		{ BEGIN "open \"x\" creat mode=0 -> 3\nend\n", "expected open flags" },
		{ BEGIN "open \"x\" rdonly+ mode=0 -> 3\nend\n", "expected open flags" },
		{ BEGIN "open \"x\" rdonly+0x100000000 mode=0 -> 3\nend\n", "32 bits" },
		{ BEGIN "open x rdonly mode=0 -> 3\nend\n", "expected a path in quotes, or bad" },
		{ BEGIN "read 3 -> 3\nend\n", "expected cap=N" },
		{ BEGIN "read 3 cap=x -> 3\nend\n", "expected a length" },
		{ BEGIN "uart \"ab\" -> 0\nend\n", "2 bytes in quotes" },
		{ BEGIN "uart x -> 0\nend\n", "expected a byte in quotes" },
		{ BEGIN "unlink\nend\n", "the line ends; expected a path in quotes" },
		{ BEGIN "lseek 3 0 beg -> 0\nend\n", "expected set, cur, end" },
		{ BEGIN "read 3 cap=3 -> 3\n  <\nend\n", "t.bjt:6: the line ends; expected data" },
		{ BEGIN "read 3 cap=3 -> 3\n  | x\nend\n", "expected <, <x" },
		{ BEGIN "read 3 cap=3 -> 3\n  ~\nend\n", "the line ends; expected <, <x" },
		{ BEGIN "read 3 cap=3 -> 3\n  <x\nend\n", "expected pairs of hex" },
		{ BEGIN "read 3 cap=3 -> 3\n  <abc\nend\n", "expected a blank and data" },
		{ BEGIN "read 3 cap=3 -> 3\n < abc\nend\n", "expected no blank, or two" },
		{ BEGIN "read 3 cap=3 -> 3\n  < ab \nend\n", "t.bjt:6: blank at the end" },
		{ BEGIN "read 3 cap=3 -> 3\n  <x 0g\nend\n", "expected pairs of hex" },
		{ BEGIN "read 3 cap=3 -> 3\n  <x 012\nend\n", "expected pairs of hex" },
		{ BEGIN "read 3 cap=3 -> 3\n  < a\n  ~< b\nend\n", "expected all or none" },
		{ BEGIN "write 3 -> 3\n  ~> a\nend\n", "expected <, <x" },
		{ BEGIN "unlink \"x\" -> 0\n  > a\nend\n", "data read from unlink" },
		{ BEGIN "cmdsize -> 0\n  < a\nend\n", "data of cmdsize" },
		{ BEGIN "fstat 3 -> 0\n  < abc\nend\n", "expected attr" },
		{ BEGIN "fstat 3 -> 0\n  < attr mode=0 ino=1\nend\n", "expected size=" },
		{ BEGIN "fstat 3 -> 0\n  < attr mode=040000000000 size=0 ino=1\nend\n", "fits" },
		{ BEGIN "fstat 3 -> 0\n  < attr mode=0 size=many ino=1\nend\n", "fits" },
		{ BEGIN "fstat 3 -> 0\n  < attr mode=9 size=0 ino=1\nend\n", "fits" },
		{ BEGIN "fstat 3 -> 0\n  < attr mode=0 size=0 ino=1 blksize=4k\nend\n", "fits" },
		{ BEGIN "fstat 3 -> 0\n  < attr mode=0 size=0 ino=1 mtime=-\nend\n", "fits" },
		{ BEGIN "fstat 3 -> 0\n  < attr mode=0 size=0 ino=1 mtime=1.5\nend\n", "fits" },
		{ BEGIN "fstat 3 -> 0\n  < attr mode=0 size=0 ino=1 mtime=1.x00000000\nend\n",
			"fits" },
		{ BEGIN "fstat 3 -> 0\n  < attr mode=0 size=0 ino=1 colour=1\nend\n",
			"expected the end" },
		{ BEGIN "getdents 3 cap=1 -> 0\n  < abc\nend\n", "expected dent" },
		{ BEGIN "getdents 3 cap=1 -> 0\n  < dent ino=1 off=1 reg \"\\x00\"\nend\n",
			"no \\x00" },
		{ BEGIN "getdents 3 cap=1 -> 0\n  < dent ino=1 off=1 256 \"\"\nend\n",
			"expected reg" },
		{ BEGIN "after x \"\" removed\nend\n", "expected the number of a mount" },
		{ BEGIN "getdents 3 cap=1 -> 0\n  < dent ino=1 off=1 pipe \"\"\nend\n",
			"'pipe \"\"'; expected reg" },
		{ BEGIN "getdents 3 cap=1 -> 0\n  < dent name\nend\n", "expected ino=NUMBER" },
		{ BEGIN "getdents 3 cap=1 -> 0\n  < dent ino=1 reg \"\"\nend\n",
			"expected off=NUMBER" },
		{ BEGIN "getdents 3 cap=1 -> 0\n  < dent ino=1 off=- reg \"\"\nend\n",
			"expected off=NUMBER" },
		{ BEGIN "getdents 3 cap=1 -> 0\n  < dent ino=1 off=1 reg name\nend\n",
			"expected a name in quotes" },
		{ BEGIN "after 0 \"\" removed\nend\n", "t.bjt:5: mount 0; expected less than 0" },
		{ HEADER "mount \"a\" \"/a\" ro\n\nafter 0 \"x\" gone\nend\n",
			"expected removed, file" },
		{ HEADER "mount \"a\" \"/a\" ro\n\nafter 0 \"x\" removed\nclose 3 -> 0\nend\n",
			"t.bjt:6: 'close 3 -> 0'; expected after, end or cut" },
		{ HEADER "mount \"a\" \"/a\" ro\n\nafter 0 \"x\" dir mode=010000\nend\n", "OCTAL" },
		{ BEGIN "close 3 -> 0\r\nend\r\n", "t.bjt:5: CR LF line end" },
		{ "bjt 1\r\n", "t.bjt:1: CR LF line end; expected LF alone: git's core.autocrlf" },
		{ BEGIN "close 3 -> 0\x01\nend\n", "t.bjt:5: byte 0x01 in column 13" },
		{ BEGIN "close\t3 -> 0\nend\n", "t.bjt:5: byte 0x09 in column 6" },
		{ BEGIN "close 3 -> 0\rx\nend\n", "t.bjt:5: byte 0x0d in column 13" },
		{ BEGIN "unlink \"\x7f\" -> 0\nend\n", "byte 0x7f in column 9" },
		{ BEGIN "unlink \"caf\xe9\" -> 0\nend\n",
			"byte 0xe9 in column 12; expected ASCII" },
		{ BEGIN "close 3 -> 0 @n=x\nend\n", "expected @n=NUMBER" },
		{ BEGIN "close 3 -> 0 @n=1 t=5\nend\n", "expected t=NUMBERns" },
		{ BEGIN "close 3 -> 0 @n=1 t=5nx\nend\n", "expected t=NUMBERns" },
		{ BEGIN "close 3 -> 0 @n=1 t=+5\nend\n", "expected t=+NUMBERns" },
		{ BEGIN "close 3 -> 0 @n=1 d=5\nend\n", "expected d=NUMBERns" },
		{ BEGIN "close 3 -> 0 @n=1 ip=0xg\nend\n", "expected ip=0x" },
		{ BEGIN "fstat 3 -> -EIO @n=1 ptr=0xg\nend\n", "each address within its field" },
		{ BEGIN "fstat 3 -> -EIO @n=1 ptr=0x\nend\n", "each address within its field" },
		{ BEGIN "close 3 -> 0 @n=1 t=ns\nend\n", "expected t=NUMBERns" },
		{ BEGIN "close 3 -> 0 @n=1 t=5ms\nend\n", "expected t=NUMBERns" },
		{ BEGIN "close 3 -> 0 @n=1 t=+xns\nend\n", "expected t=+NUMBERns" },
		{ BEGIN "close 3 -> 0 @n=1 t=18446744073709551615ns\nclose 3 -> 0 @n=2 "
			"t=+1ns\nend\n",
			"t.bjt:6: 't=+1ns'; expected t=+NUMBERns" },
		{ BEGIN "close 3 -> 0 @n=1 d=xns\nend\n", "expected d=NUMBERns" },
		{ BEGIN "close 3 -> 0 @n=1 ip=0xg\nend\n", "expected ip=0x.." },
		{ BEGIN "close 3 -> 0 @n=1 u=5\nend\n", "expected t=, d=, ip= or ptr=" },
		{ BEGIN "fstat 3 -> -EIO @n=1 ptr=0x1,0x2\nend\n", "no more addresses" },
		{ BEGIN "stat \"\" stat -> -EIO @n=1 ptr=0x1\nend\n", "one for each address" },
		{ BEGIN "stat \"\" stat -> -EIO @n=1 ptr=\nend\n", "one for each address" },
		{ BEGIN "fstat 3 -> -EIO @n=1 ptr=100\nend\n", "one for each address" },
		{ BEGIN "fstat 3 -> -EIO @n=1 ptr=0xg\nend\n", "each address within its field" },
		{ BEGIN "cmdsize -> 0 @n=1 ptr=0x100000000\nend\n",
			"each address within its field" },
		{ BEGIN "fstat 3 -> -EIO @n=1 ptr=0x1,\nend\n", "no more addresses" },
		{ BEGIN "read 3 cap=1 -> 1\n  < blob sha256=00 len=1\nend\n", "64 hex digits" },
		{ BEGIN "read 3 cap=1 -> 1\n  < blob "
			"sha256=../../../../../../../../../../../../../../../../"
			"../../../../../etc len=1\nend\n",
			"64 hex digits" },
		{ BEGIN "read 3 cap=1 -> 1\n  < blob "
			"sha256=00000000000000000000000000000000"
			"00000000000000000000000000000000 len=1 2\nend\n",
			"t.bjt:6: '2'; expected the end of the line" },
		{ BEGIN "read 3 cap=2 -> 2\n  <x 0102 03\nend\n",
			"t.bjt:6: '03'; expected the end of the line" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = { 0 };
		struct kept k;

		CU_ASSERT_EQUAL(parse(&k, rows[i].text, NULL, &err), -EINVAL);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].says));
		if (!strstr(err.text, rows[i].says))
			printf("%s--- '%s' not in '%s'\n", rows[i].text, rows[i].says, err.text);
		drop(&k);
	}
}

/* BEFORE, then n times a, then AFTER: -EINVAL, and says what it says. */
static void refuses_so_many(const char *before, size_t n, const char *after, const char *says)
{
	size_t len = strlen(before);
	char *text = malloc(len + n + strlen(after) + 1);
	struct err err = { 0 };
	struct kept k;

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	memcpy(text, before, len);
	memset(text + len, 'a', n);
	strcpy(text + len + n, after);
	CU_ASSERT_EQUAL(parse(&k, text, NULL, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, says));
	drop(&k);
	free(text);
}

static void names_have_their_limits(void)
{
	refuses_so_many(BEGIN "unlink \"", HCALL_STRING_MAX + 1, "\" -> 0\nend\n",
		"t.bjt:5: a path of 4097 bytes; expected up to 4096");
	refuses_so_many(BEGIN "getdents 3 cap=1 -> 0\n  < dent ino=1 off=1 reg \"", 65520,
		"\"\nend\n", "t.bjt:6: a name of 65520 bytes; expected less than 64 KiB");
}

static void attributes_are_as_usual_unless_given(void)
{
	static const struct {
		const char *attr;
		int64_t blocks;
	} rows[] = { { "mode=0100644 size=0", 0 }, { "mode=0100644 size=1", 8 },
		{ "mode=0100644 size=4096", 8 }, { "mode=0100644 size=4097", 16 },
		{ "mode=0100644 size=8193", 24 }, { "mode=0120777 size=5000", 0 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct uhyve_attr attr;
		struct err err = { 0 };
		char text[300];
		struct kept k;

		snprintf(text, sizeof(text),
			HEADER "clock 1500000007\n\nfstat 3 -> 0\n  < attr %s ino=5 mtime=2\nend\n",
			rows[i].attr);
		CU_ASSERT_EQUAL_FATAL(parse(&k, text, NULL, &err), 0);
		CU_ASSERT_EQUAL_FATAL(k.records[0].out_len, sizeof(attr));
		memcpy(&attr, k.records[0].out, sizeof(attr));
		CU_ASSERT_EQUAL(attr.blocks, rows[i].blocks);
		CU_ASSERT(attr.dev == 1 && attr.nlink == 1 && attr.blksize == 4096);
		CU_ASSERT(!attr.uid && !attr.gid && !attr.rdev && attr.ino == 5);
		CU_ASSERT(attr.atim.sec == 1 && attr.atim.nsec == 500000007);
		CU_ASSERT(attr.ctim.sec == 1 && attr.ctim.nsec == 500000007);
		CU_ASSERT(attr.mtim.sec == 2 && !attr.mtim.nsec);
		drop(&k);
	}
}

/* As Linux does: a NUL behind the name, and a multiple of 8. */
static void entries_are_as_long_as_their_names_need(void)
{
	static const struct {
		const char *name;
		uint16_t size;
	} rows[] = { { "", 24 }, { "abcd", 24 }, { "abcde", 32 }, { "abcdefghijkl", 32 },
		{ "abcdefghijklm", 40 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = { 0 };
		char text[300];
		uint16_t size = 0;
		struct kept k;

		snprintf(text, sizeof(text),
			BEGIN "getdents 3 cap=99 -> %d\n  < dent ino=1 off=1 reg \"%s\"\nend\n",
			rows[i].size, rows[i].name);
		CU_ASSERT_EQUAL_FATAL(parse(&k, text, NULL, &err), 0);
		CU_ASSERT_EQUAL_FATAL(k.records[0].out_len, rows[i].size);
		memcpy(&size, k.records[0].out + 16, sizeof(size));
		CU_ASSERT_EQUAL(size, rows[i].size);
		drop(&k);
	}
}

/* Ours are short, but whoever edits need not know. */
static void lines_of_hex_may_be_long(void)
{
	for (size_t n = 250; n < 1 << 20; n = 3 * n + 1) {
		size_t size = 2 * n + sizeof(BEGIN) + 100;
		char *text = malloc(size);
		int at = snprintf(text, size, BEGIN "read 3 cap=%zu -> %zu\n  <x ", n, n);
		struct err err = { 0 };
		struct kept k;

		CU_ASSERT_PTR_NOT_NULL_FATAL(text);
		memset(text + at, 'a', 2 * n);
		strcpy(text + at + 2 * n, "\nend\n");
		CU_ASSERT_EQUAL_FATAL(parse(&k, text, NULL, &err), 0);
		CU_ASSERT_EQUAL_FATAL(k.records[0].out_len, n);
		CU_ASSERT(k.records[0].out[0] == 0xaa &&
			  !memcmp(k.records[0].out, k.records[0].out + 1, n - 1));
		drop(&k);
		free(text);
	}
}

static void strings_of_any_length_come_back(void)
{
	for (size_t n = 250; n < 260; n++) {
		struct err err = { 0 };
		char text[600];
		struct kept k;

		snprintf(text, sizeof(text), HEADER "env \"A=%0*d\"\n\nend\n", (int)n, 0);
		CU_ASSERT_EQUAL_FATAL(parse(&k, text, NULL, &err), 0);
		CU_ASSERT_EQUAL(strlen(k.header.env.list[0]), n + 2);
		drop(&k);
	}
}

/* An entry is written by its fields only when they make all its bytes. */
static void entries_of_a_directory_are_taken_whole(void)
{
	static const struct {
		size_t len;
		uint8_t reclen, type, last; /* last: of its bytes, behind the name */
		const char *name;
		size_t expect;
	} rows[] = {
		{ 24, 24, 8, 0, "a", 24 },
		{ 100, 24, 8, 0, "a", 24 },
		{ 23, 24, 8, 0, "a", 0 },
		{ 18, 24, 8, 0, "a", 0 },
		{ 32, 24, 8, 0, "abcd", 24 },
		{ 32, 24, 8, 0, "abcde", 0 },
		{ 32, 32, 8, 0, "abcde", 32 },
		{ 32, 32, 8, 0, "a", 0 }, /* more than it takes */
		{ 24, 24, 8, 1, "a", 0 },
		{ 24, 19, 8, 0, "", 0 },
		{ 24, 0, 8, 0, "a", 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t data[100] = { [16] = rows[i].reclen, [18] = rows[i].type };
		struct text_dent dent;
		size_t n;

		memcpy(data + 19, rows[i].name, strlen(rows[i].name));
		if (rows[i].last)
			data[rows[i].reclen - 1] = rows[i].last;
		n = text_dent_next(data, rows[i].len, &dent);
		CU_ASSERT_EQUAL(n, rows[i].expect);
		if (n != rows[i].expect)
			printf("     row %zu: %zu\n", i, n);
		CU_ASSERT(!n || (dent.name_len == strlen(rows[i].name) && dent.type == 8));
	}
}

/* Of the one call that is nothing but a code, when it is the last. */
static void exit_codes_are_of_calls_that_end(void)
{
	static const struct {
		bool ends;
		struct hcall_field fields[2];
		int expect;
	} rows[] = {
		{ true, { { "code", 0, 4, HCALL_INT } }, -7 },
		{ false, { { "code", 0, 4, HCALL_INT } }, 0 },
		{ true, { { "fd", 0, 4, HCALL_FD } }, 0 },
		{ true, { { "a", 0, 4, HCALL_INT }, { "b", 4, 4, HCALL_INT } }, 0 },
		{ .ends = true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct hcall_row row = { .name = "x" };
		struct trace_record record = {
			.row = &row, .ends = rows[i].ends, .args = { (uint32_t)-7 }
		};

		memcpy(row.fields, rows[i].fields, sizeof(rows[i].fields));
		CU_ASSERT_EQUAL(text_exit_code(&record), rows[i].expect);
	}
}

/* More than there is can be asked of sanitizers, too. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void there_is_no_room_for_more_than_there_can_be(void)
{
	struct bytes b = { 0 };
	struct err err = { "" };

	CU_ASSERT(bytes_room(&b, 10) && b.room >= 10);
	CU_ASSERT(!bytes_room(&b, SIZE_MAX));
	CU_ASSERT(!bytes_room(&b, SIZE_MAX / 4));
	CU_ASSERT_EQUAL(scan_no_memory(&(struct scan){ .err = &err }), -ENOMEM);
	CU_ASSERT_STRING_EQUAL(err.text, "out of memory");
	CU_ASSERT(b.data != NULL && b.room >= 10);
	free(b.data);
}

/* The text, then an error of the device. */
static ssize_t read_and_fail(void *cookie, char *buf, size_t size)
{
	const char **rest = cookie;
	size_t n = strlen(*rest) < size ? strlen(*rest) : size;

	if (!n)
		return -1;
	memcpy(buf, *rest, n);
	*rest += n;
	return (ssize_t)n;
}

static void what_cannot_be_read_is_no_end(void)
{
	const char *text = BEGIN "close 3 -> 0\n";
	FILE *in = fopencookie(&text, "r", (cookie_io_functions_t){ .read = read_and_fail });
	struct trace_text_reader *reader;
	struct trace_header header;
	struct trace_record record;
	struct err err = { 0 };

	CU_ASSERT_PTR_NOT_NULL_FATAL(in);
	CU_ASSERT_FATAL(!trace_text_open(&reader, in, "t.bjt", NULL, &header, &err));
	CU_ASSERT_EQUAL(trace_text_next(reader, &record, &err), -EIO);
	CU_ASSERT_STRING_EQUAL(err.text, "t.bjt: Input/output error");
	trace_text_close(reader);
	trace_header_finish(&header);
	fclose(in);
}

/* Random records. */

struct random {
	uint64_t state;
};

static uint64_t roll(struct random *r)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return r->state * UINT64_C(2685821657736338717) >> 8;
}

static uint64_t below(struct random *r, uint64_t n)
{
	return roll(r) % n;
}

static uint64_t number(struct random *r)
{
	static const uint64_t edges[] = { 0, 1, 2, 255, 0x7fffffff, 0x80000000, 0xffffffff,
		INT64_MAX, UINT64_MAX, (uint64_t)INT64_MIN, (uint64_t)-2, 4096 };

	if (below(r, 2))
		return edges[below(r, sizeof(edges) / sizeof(edges[0]))];
	return roll(r) << 8 >> below(r, 64);
}

/* Text, hex, blanks, escapes, structures of the format itself. */
static size_t fill(struct random *r, uint8_t *buf, size_t size)
{
	static const char *const pieces[] = { "blob ", " ", "\n", "\\", "\"", "attr ", "# ", "\r\n",
		"  < ", "~", "\xff", "end\n", "word", "0123456789012345678901234567890123456789" };
	size_t len = 0, n;
	unsigned how = (unsigned)below(r, 3);

	for (size_t i = below(r, 24); i && len + 64 < size; i--) {
		const char *piece = pieces[below(r, sizeof(pieces) / sizeof(pieces[0]))];

		if (how == 0 || (how == 1 && !below(r, 4))) {
			for (n = below(r, 9); n; n--)
				buf[len++] = (uint8_t)roll(r);
		} else {
			n = strlen(piece);
			memcpy(buf + len, piece, n);
			len += n;
		}
	}
	return len;
}

/* Beneath a directory: names of no dots alone, one slash between. */
static size_t fill_path(struct random *r, uint8_t *buf, size_t size)
{
	size_t len = fill(r, buf, size - 1);

	for (size_t i = 0; i < len; i++)
		if (!buf[i] || (i % 5 && (buf[i] == '/' || buf[i] == '.')))
			buf[i] = 'z';
	for (size_t i = 5; i + 1 < len; i += 10) {
		buf[i - 1] = buf[i + 1] = 'y';
		buf[i] = '/';
	}
	for (size_t i = 0; i < len; i++)
		if (buf[i] == '/' && i % 10 != 5)
			buf[i] = 'x';
	if (len && (buf[len - 1] == '/' || buf[len - 1] == '.'))
		buf[len - 1] = 'w';
	return len;
}

static size_t fill_attr(struct random *r, uint8_t *buf)
{
	struct uhyve_attr attr = {
		.dev = 1,
		.ino = number(r),
		.nlink = 1,
		.mode = (uint32_t)number(r),
		.size = (int64_t)number(r),
		.blksize = 4096,
		.mtim = { .sec = SESSION_CLOCK_NS / 1000000000 },
	};
	uint8_t *bytes = (uint8_t *)&attr;

	for (size_t i = below(r, 4); i; i--)
		bytes[below(r, sizeof(attr))] = (uint8_t)number(r);
	memcpy(buf, &attr, sizeof(attr));
	return sizeof(attr) - (below(r, 8) ? 0 : below(r, 100));
}

static size_t fill_dents(struct random *r, uint8_t *buf)
{
	enum { NAME = 19 };
	size_t len = 0;

	for (size_t i = below(r, 5); i; i--) {
		size_t name = below(r, 20);
		uint16_t size = (uint16_t)((NAME + name + 1 + 7) & ~(size_t)7);
		uint64_t ino = number(r), off = number(r);

		memset(buf + len, 0, size);
		memcpy(buf + len, &ino, 8);
		memcpy(buf + len + 8, &off, 8);
		memcpy(buf + len + 16, &size, 2);
		buf[len + 18] = (uint8_t)below(r, 14);
		for (size_t n = 0; n < name; n++)
			buf[len + NAME + n] = (uint8_t)(1 + below(r, 255));
		len += size;
	}
	if (len && !below(r, 4))
		buf[below(r, len)] ^= (uint8_t)(1u << below(r, 8));
	return len;
}

struct buffers {
	uint8_t in[2048], out[2048];
	char text[64];
};

/* A result that counts the bytes, and room for them: the rest a reader refuses. */
static void settle(struct trace_record *rec)
{
	int len = trace_row_find(rec->row, HCALL_LEN);
	struct err why;

	if (trace_record_is_sane(rec, &why))
		return;
	if (trace_row_find(rec->row, HCALL_STAT_OUT) >= 0) {
		rec->result = -EFAULT;
		rec->out_len = rec->out_len < 120 ? rec->out_len : 120;
		return;
	}
	rec->result = (int64_t)(trace_row_find(rec->row, HCALL_DATA_IN) >= 0 ? rec->in_len
									     : rec->out_len);
	rec->args[len] = (uint64_t)rec->result;
}

static void random_call(struct random *r, struct trace_record *rec, struct buffers *b)
{
	*rec = (struct trace_record){ .kind = TRACE_CALL };
	rec->row = &abi_uhyve.rows[below(r, abi_uhyve.n_rows)];
	rec->port = rec->row->port;
	rec->seq = number(r);
	rec->time_ns = number(r);
	rec->duration_ns = number(r);
	rec->rip = number(r);
	for (size_t i = 0; i < trace_row_fields(rec->row); i++)
		rec->args[i] = number(r);
	rec->result = below(r, 3) ? (int64_t)number(r) : -(int64_t)below(r, 140);
	rec->ends = !below(r, 8);
	rec->fault = !below(r, 4);
	rec->masked = below(r, 4) ? 0 : (unsigned)below(r, 4);
	rec->in = b->in;
	rec->out = b->out;
	rec->in_len = below(r, 3) ? fill(r, b->in, sizeof(b->in)) : 0;
	for (size_t i = 0; trace_row_find(rec->row, HCALL_PATH) >= 0 && i < rec->in_len; i++)
		b->in[i] |= !b->in[i];
	rec->out_len = below(r, 3) ? fill(r, b->out, sizeof(b->out)) : 0;
	if (trace_row_find(rec->row, HCALL_STAT_OUT) >= 0 && below(r, 4))
		rec->out_len = fill_attr(r, b->out);
	if (trace_row_find(rec->row, HCALL_DENTS_OUT) >= 0 && below(r, 4))
		rec->out_len = fill_dents(r, b->out);
	for (size_t i = 0; i < trace_row_fields(rec->row); i++)
		if (rec->row->fields[i].kind == HCALL_LEN && below(r, 2))
			rec->args[i] = rec->in_len;
	settle(rec);
}

static void random_after(struct random *r, struct trace_record *rec, struct buffers *b)
{
	*rec = (struct trace_record){ .kind = TRACE_AFTER };
	rec->tree.kind = (enum tree_kind)below(r, TREE_KIND_COUNT);
	rec->tree.mount = (uint32_t)below(r, 2);
	rec->tree.mode = (mode_t)below(r, 010000);
	rec->tree.size = number(r);
	for (size_t i = 0; i < TRACE_HASH_LEN; i++)
		rec->tree.hash[i] = (uint8_t)roll(r);
	rec->tree.path = b->in;
	rec->tree.path_len = fill_path(r, b->in, sizeof(b->in));
	rec->tree.target = b->out;
	rec->tree.target_len = 1 + fill_path(r, b->out + 1, sizeof(b->out) - 1);
	b->out[0] = '/';
}

static void random_end(struct random *r, struct trace_record *rec, struct buffers *b)
{
	size_t n = below(r, 20);

	*rec = (struct trace_record){ .kind = TRACE_END };
	rec->stop_kind = VM_EXITED + (int)below(r, VM_STOP_COUNT - VM_EXITED);
	rec->stop_code = (int)number(r);
	for (size_t i = 0; i < n; i++)
		b->text[i] = below(r, 2) ? (char)(' ' + below(r, 95)) : (char)(128 + below(r, 128));
	b->text[n] = 0;
	rec->stop_text = b->text;
}

static void random_trace(struct random *r, struct kept *k)
{
	static char *argv[] = { (char *)"g", (char *)"a \xff" }, *env[] = { (char *)"A=\"" };
	static char host[] = "in \n", guest[] = "/in", cwd[] = "/";
	struct trace_mount mounts[] = {
		{ .host = host, .guest = guest, .writable = true, .is_file = true },
		{ .host = host, .guest = guest, .may_unlink = true },
	};
	struct trace_header header = {
		.version = TRACE_VERSION,
		.abi = &abi_uhyve,
		.abi_version = 1 + (int)below(r, 2),
		.mem_size = number(r),
		.argv = { argv, 2 },
		.env = { env, below(r, 2) },
		.kernel_args = { argv, below(r, 3) },
		.cwd = cwd,
		.mounts = mounts,
		.n_mounts = 2,
		.boot_time_ns = below(r, 2) ? SESSION_CLOCK_NS : number(r),
		.seed = number(r),
		.has_guest_hash = below(r, 2),
	};
	struct trace_record rec;
	struct buffers b;

	*k = (struct kept){ 0 };
	CU_ASSERT_FATAL(!trace_header_copy(&k->header, &header));
	for (int i = 0; i < 200; i++) {
		random_call(r, &rec, &b);
		keep(k, &rec);
	}
	for (size_t i = below(r, 5); i; i--) {
		random_after(r, &rec, &b);
		keep(k, &rec);
	}
	if (below(r, 2)) {
		random_end(r, &rec, &b);
		return keep(k, &rec);
	}
	if (k->records[k->n - 1].kind == TRACE_CALL && below(r, 2)) {
		random_call(r, &rec, &b);
		rec.kind = TRACE_PENDING;
		keep(k, &rec);
	}
	keep(k, &(struct trace_record){ .kind = TRACE_CUT });
}

/* What text keeps of an argument. */
static uint64_t kept_arg(const struct trace_record *r, size_t i, bool full)
{
	const struct hcall_field *f = &r->row->fields[i];
	uint64_t value = r->args[i];

	if (trace_field_is_pointer(f->kind) && !full)
		return 0;
	if (f->size == 4)
		value = f->kind == HCALL_INT || f->kind == HCALL_FD ? (uint64_t)(int32_t)value
								    : (uint32_t)value;
	return f->size == 1 ? (uint8_t)value : value;
}

static bool same_bytes(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && (!a_len || !memcmp(a, b, a_len));
}

static bool same_call(
	const struct trace_record *was, const struct trace_record *is, uint64_t seq, bool full)
{
	bool answered = was->kind == TRACE_CALL && !was->ends;
	unsigned masked = was->masked & (answered ? 3u : (unsigned)TRACE_MASK_OUT);

	if (was->row->local)
		masked &= ~(unsigned)TRACE_MASK_OUT;
	if (is->row != was->row || is->port != was->port || is->masked != masked)
		return false;
	for (size_t i = 0; i < trace_row_fields(was->row); i++)
		if (is->args[i] != kept_arg(was, i, full))
			return false;
	if (is->result != (answered ? was->result : 0) || is->fault != was->fault ||
		is->ends != (was->ends && was->kind == TRACE_CALL))
		return false;
	if (full ? is->seq != was->seq || is->time_ns != was->time_ns ||
				is->duration_ns != was->duration_ns || is->rip != was->rip
		 : is->seq != seq || is->time_ns || is->duration_ns || is->rip)
		return false;
	if (was->row->local)
		return !is->in_len && !is->out_len;
	return same_bytes(is->in, is->in_len, was->in, was->in_len) &&
	       same_bytes(is->out, is->out_len, was->out, was->out_len);
}

static bool same_after(const struct tree_entry *was, const struct tree_entry *is)
{
	bool file = was->kind == TREE_FILE, link = was->kind == TREE_LINK;

	return is->kind == was->kind && is->mount == was->mount &&
	       is->mode == (was->kind ? was->mode : 0) && is->size == (file ? was->size : 0) &&
	       (!file || !memcmp(is->hash, was->hash, sizeof(is->hash))) &&
	       same_bytes(is->path, is->path_len, was->path, was->path_len) &&
	       same_bytes(is->target, is->target_len, was->target, link ? was->target_len : 0);
}

static bool same_record(
	const struct trace_record *was, const struct trace_record *is, uint64_t seq, bool full)
{
	if (is->kind != was->kind)
		return false;
	switch (was->kind) {
	case TRACE_CALL:
	case TRACE_PENDING:
		return same_call(was, is, seq, full);
	case TRACE_AFTER:
		return same_after(&was->tree, &is->tree);
	case TRACE_END:
		return is->stop_kind == was->stop_kind && is->stop_code == was->stop_code &&
		       !strcmp(is->stop_text, was->stop_text);
	default:
		return true;
	}
}

static bool is_clean(const char *text)
{
	for (const char *p = text; *p; p++)
		if ((*p < ' ' && *p != '\n') || *p > '~' || (*p == ' ' && p[1] == '\n'))
			return false;
	return true;
}

static void round_trip(const struct kept *was, bool full)
{
	char *text = write_text(was, full, NULL), *again;
	struct err err = { 0 };
	struct kept is;

	CU_ASSERT(is_clean(text));
	CU_ASSERT_EQUAL_FATAL(parse(&is, text, NULL, &err), 0);
	CU_ASSERT_EQUAL_FATAL(is.n, was->n);
	for (size_t i = 0; i < is.n; i++) {
		bool same = same_record(&was->records[i], &is.records[i], i, full);
		char line[200];

		CU_ASSERT(same);
		if (same)
			continue;
		trace_text_line(&was->header, &was->records[i], line, sizeof(line));
		printf("differs, line %llu: %s\n", (unsigned long long)is.records[i].where, line);
	}
	CU_ASSERT_EQUAL(is.header.boot_time_ns, was->header.boot_time_ns);
	CU_ASSERT_EQUAL(is.header.seed, was->header.seed);
	CU_ASSERT_EQUAL(is.header.has_guest_hash, full && was->header.has_guest_hash);
	again = write_text(&is, full, NULL);
	CU_ASSERT_STRING_EQUAL(again, text);
	free(again);
	free(text);
	drop(&is);
}

/* What a result stands for must be there: no more, no less, and no more than there is room for. */
static void a_result_fits_its_data(void)
{
	static const struct {
		const char *call, *why; /* NULL: it is taken */
	} rows[] = {
		{ "read 3 cap=4 -> 3\n  < abc", NULL },
		{ "read 3 cap=4 -> 4\n  < abc",
			"t.bjt:5: read -> 4 with 3 bytes to the guest; expected 4" },
		{ "read 3 cap=4 -> 2\n  < abc", "t.bjt:5: read -> 2 with 3 bytes" },
		{ "read 3 cap=4 bad -> 2\n  < abc", "t.bjt:5: read -> 2 with 3 bytes" },
		{ "read 3 cap=2 -> 3\n  < abc", "3 bytes to the guest; expected up to 2" },
		{ "read 3 cap=4 -> ~2\n  ~< abc", NULL },
		{ "read 3 cap=4 -> ~5\n  ~< abc", "expected up to 4" },
		{ "read 3 cap=2 -> ~2\n  ~< abc", "expected up to 2" },
		{ "read 3 cap=4 -> -EIO", NULL },
		{ "read 3 cap=4", NULL },
		{ "serial_read cap=4 -> 1", "serial_read -> 1 with 0 bytes" },
		{ "getdents 3 cap=4096 -> 25\n  < dent ino=4 off=2 dir \"..\"",
			"getdents -> 25 with 24 bytes" },
		{ "getdents 3 cap=4096 -> 24\n  < dent ino=4 off=2 dir \"..\"", NULL },
		{ "fstat 3 -> 0", "fstat -> 0 with 0 bytes to the guest; expected 120" },
		{ "stat \"/\" stat -> 0\n  <x 61", "stat -> 0 with 1 bytes" },
		{ "stat \"/\" stat bad -> -EFAULT", NULL },
		{ "write 3 len=4 -> 3\n  > abc", NULL },
		{ "write 3 len=4 -> 4\n  > abc", "write -> 4 with 3 bytes to the host" },
		{ "write 3 len=2 -> 3\n  > abc", "expected up to 2" },
		{ "write 3 len=4 -> -EIO\n  > abc", NULL },
		{ "serial_write -> 4\n  > abc", "expected up to 3" },
		{ "cmdsize -> 4", NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = { "" };
		struct kept k = { 0 };
		char text[300];
		int r;

		snprintf(text, sizeof(text), BEGIN "%s\nend\n", rows[i].call);
		r = parse(&k, text, NULL, &err);
		if (!r)
			drop(&k);
		if (!r != !rows[i].why || (r && !strstr(err.text, rows[i].why)))
			printf("     %s: %s\n", rows[i].call, err.text);
		CU_ASSERT(!r == !rows[i].why);
		CU_ASSERT(!r || strstr(err.text, rows[i].why));
	}
}

static void random_records_of_every_row_round_trip(void)
{
	struct random random = { UINT64_C(88172645463325252) };

	for (int i = 0; i < 30; i++) {
		struct kept k;

		random_trace(&random, &k);
		round_trip(&k, false);
		round_trip(&k, true);
		drop(&k);
	}
}

/* Lines of b that a does not have at their place, when what is inserted is taken out of the way. */
static size_t lines_inserted(const char *a, const char *b)
{
	size_t n = 0;

	while (*b) {
		size_t len = strcspn(b, "\n") + 1;

		if (!strncmp(a, b, len))
			a += len;
		else
			n++;
		b += len;
	}
	return *a ? SIZE_MAX : n;
}

static void a_call_inserted_changes_one_line(void)
{
	const struct hcall_row *close_row = trace_row_of_port(&abi_uhyve, UHYVE_V2_CLOSE);
	struct random random = { 42 };
	char *before, *after;
	struct kept k;

	random_trace(&random, &k);
	before = write_text(&k, false, NULL);
	keep(&k, &(struct trace_record){ .kind = TRACE_CALL, .row = close_row, .args = { 77 } });
	for (size_t i = k.n - 1; i; i--) {
		struct trace_record moved = k.records[i];

		k.records[i] = k.records[i - 1];
		k.records[i - 1] = moved;
	}
	after = write_text(&k, false, NULL);
	CU_ASSERT_EQUAL(lines_inserted(before, after), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(after, "\n\nclose 77 -> 0\n"));
	free(before);
	free(after);
	drop(&k);
}

static void data_lines_follow_the_data(void)
{
	static const struct {
		const char *data;
		size_t len;
		const char *lines;
	} rows[] = {
		{ "a\nb", 3, "  > a\\n\n  > b\n" },
		{ "a\tb\\\"\r\n", 7, "  > a\\tb\\\\\"\\r\\n\n" },
		{ "a ", 2, "  > a\\x20\n" },
		{ " ", 1, "  > \\x20\n" },
		{ "blob ", 5, "  > \\x62lob\\x20\n" },
		{ "blob\n", 5, "  > blob\\n\n" },
		{ "# no comment", 12, "  > # no comment\n" },
		{ "abcdefg\xff\xff\xff", 10, "  > abcdefg\\xff\\xff\\xff\n" },
		{ "abcdef\xff\xff\xff\xff", 10, "  >x 616263646566ffffffff\n" },
		{ "0123456789012345678901234567890123456789012345678901234567890123x", 65,
			"  > 0123456789012345678901234567890123456789012345678901234567890123\n"
			"  > x\n" },
		{ "\0\1\2\3\4\5\6\7\0\1\2\3\4\5\6\7\0\1\2\3\4\5\6\7\0\1\2\3\4\5\6\7\0", 33,
			"  >x 0001020304050607000102030405060700010203040506070001020304050607\n"
			"  >x 00\n" },
	};
	struct random random = { 1 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct trace_record rec = {
			.kind = TRACE_CALL,
			.row = trace_row_of_port(&abi_uhyve, UHYVE_V2_WRITE),
			.args = { 1, 0, rows[i].len },
			.in = (const uint8_t *)rows[i].data,
			.in_len = rows[i].len,
		};
		struct kept k;
		char *text;

		random_trace(&random, &k);
		k.header.abi_version = 2;
		drop_records(&k);
		keep(&k, &rec);
		text = write_text(&k, false, NULL);
		CU_ASSERT_STRING_EQUAL(
			strstr(text, "\n\n") + 2 + strlen("write 1 -> 0\n"), rows[i].lines);
		free(text);
		drop(&k);
	}
}

/* The data line of a call to which such bytes were given. */
static void expect_hex(uint16_t port, const void *out, size_t len)
{
	struct trace_record rec = {
		.kind = TRACE_CALL,
		.row = trace_row_of_port(&abi_uhyve, port),
		.args = { 3, 0, len },
		.result = port == UHYVE_V2_GETDENTS ? (int64_t)len : 0,
		.out = out,
		.out_len = len,
	};
	struct random random = { 1 };
	struct kept k;
	char *text;

	random_trace(&random, &k);
	k.header.abi_version = 2;
	drop_records(&k);
	keep(&k, &rec);
	text = write_text(&k, false, NULL);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n  <x "));
	free(text);
	drop(&k);
}

/* attr and dent lines would not give these back as they are. */
static void what_words_would_change_is_hex(void)
{
	static const struct uhyve_time times[] = { { 1, -1, 0 }, { 1, 1000000000, 0 },
		{ 1, 0, 1 } };
	struct uhyve_attr attr = { .mode = S_IFREG, .ino = 1 };
	uint8_t dent[40] = { [16] = 24, [18] = 8, [19] = 'a' };

	for (size_t i = 0; i < 9; i++) {
		struct uhyve_attr odd = attr;

		*(i % 3 == 0 ? &odd.atim : i % 3 == 1 ? &odd.mtim : &odd.ctim) = times[i / 3];
		expect_hex(UHYVE_V2_FSTAT, &odd, sizeof(odd));
	}
	attr.pad = 1;
	expect_hex(UHYVE_V2_FSTAT, &attr, sizeof(attr));
	expect_hex(UHYVE_V2_FSTAT, &attr, sizeof(attr) - 1);
	dent[23] = 1; /* behind the name's end */
	expect_hex(UHYVE_V2_GETDENTS, dent, 24);
	dent[23] = 0, dent[16] = 40; /* more room than the name needs */
	expect_hex(UHYVE_V2_GETDENTS, dent, 40);
	dent[16] = 19; /* or none */
	expect_hex(UHYVE_V2_GETDENTS, dent, 40);
	dent[16] = 48; /* or more than there is */
	expect_hex(UHYVE_V2_GETDENTS, dent, 40);
}

/* Data of more than 4 KiB: beside the text. */

static char blob_name[65];

static void make_blob(struct kept *k, struct tmptree *tree, char **text)
{
	static uint8_t data[5000];
	struct random random = { 3 };
	struct trace_record rec = {
		.kind = TRACE_CALL,
		.port = UHYVE_V2_READ,
		.row = trace_row_of_port(&abi_uhyve, UHYVE_V2_READ),
		.args = { 3, 0, sizeof(data) },
		.result = sizeof(data),
		.out = data,
		.out_len = sizeof(data),
	};
	char dir[100], *at;

	CU_ASSERT_EQUAL_FATAL(tmptree_make(tree, (const char *const[]){ NULL }), 0);
	snprintf(dir, sizeof(dir), "%s/blobs", tree->path);
	memset(data, 'x', sizeof(data));
	random_trace(&random, k);
	k->header.abi_version = 2;
	drop_records(k);
	keep(k, &rec);
	keep(k, &(struct trace_record){ .kind = TRACE_CUT });
	*text = write_text(k, false, dir);
	at = strstr(*text, "  < blob sha256=");
	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	snprintf(blob_name, sizeof(blob_name), "%s", at + strlen("  < blob sha256="));
	CU_ASSERT_PTR_NOT_NULL(strstr(at, " len=5000\ncut\n"));
}

static void much_data_goes_beside_the_text(void)
{
	struct tmptree tree;
	struct kept k, is;
	struct err err = { 0 };
	char *text, *again, dir[100];

	make_blob(&k, &tree, &text);
	snprintf(dir, sizeof(dir), "%s/blobs", tree.path);
	CU_ASSERT_EQUAL_FATAL(parse(&is, text, dir, &err), 0);
	CU_ASSERT(same_call(&k.records[0], &is.records[0], 0, false));
	again = write_text(&is, false, dir);
	CU_ASSERT_STRING_EQUAL(text, again);
	free(again);
	again = write_text(&is, false, NULL); /* whole, when there is no place beside */
	CU_ASSERT_PTR_NULL(strstr(again, "blob"));
	CU_ASSERT(strlen(again) > 5000);
	free(again);
	free(text);
	drop(&k);
	drop(&is);
	tmptree_remove(&tree);
}

static void put_in_front(char *text, const char *of, const char *what)
{
	char *at = strstr(text, of);

	memmove(at + strlen(what), at, strlen(at) + 1);
	memcpy(at, what, strlen(what));
}

static void refuses_wrong_blobs(void)
{
	enum { NO_DIR, MISSING_DIR, MISSING, SHORT, CHANGED, LINK, FIFO, TWO, N_WAYS };
	static const char *const says[] = { "no directory beside", "No such file", "No such file",
		"a regular file of 5000", "expected its SHA-256", "Too many levels",
		"a regular file", "behind data in the text" };

	for (int way = 0; way < N_WAYS; way++) {
		int fds = tmptree_open_fds();
		struct tmptree tree;
		struct err err = { 0 };
		struct kept k, is;
		char *text, *copy, dir[100], file[200], other[210];
		int fd, r;

		make_blob(&k, &tree, &text);
		snprintf(dir, sizeof(dir), "%s/%s", tree.path, way == MISSING_DIR ? "no" : "blobs");
		snprintf(file, sizeof(file), "%s/%s", dir, blob_name);
		snprintf(other, sizeof(other), "%s.old", file);
		copy = calloc(1, strlen(text) + 100);
		strcpy(copy, text);
		fd = open(file, O_WRONLY);
		if (way == SHORT)
			CU_ASSERT_EQUAL(ftruncate(fd, 4999), 0);
		if (way == CHANGED)
			CU_ASSERT_EQUAL(pwrite(fd, "y", 1, 4999), 1);
		if (way == MISSING || way == LINK || way == FIFO)
			CU_ASSERT_EQUAL(rename(file, other), 0);
		if (way == LINK)
			CU_ASSERT_EQUAL(symlink(other, file), 0);
		if (way == FIFO)
			CU_ASSERT_EQUAL(mkfifo(file, 0600), 0);
		if (way == TWO)
			put_in_front(copy, "  < blob", "  < a\n");
		if (fd >= 0)
			close(fd);
		r = parse(&is, copy, way == NO_DIR ? NULL : dir, &err);
		CU_ASSERT_EQUAL(r, -EINVAL);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, says[way]));
		if (!strstr(err.text, says[way]))
			printf("%d: '%s'\n", way, err.text);
		drop(&is);
		drop(&k);
		free(text);
		free(copy);
		tmptree_remove(&tree);
		CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	}
}

static void a_line_for_reports_is_cut_to_size(void)
{
	struct kept k;
	struct err err = { 0 };
	char line[40];

	CU_ASSERT_EQUAL_FATAL(parse(&k, BEGIN "read 3 cap=9 -> 2\n  < hi\nend\n", NULL, &err), 0);
	for (size_t size = 0; size < sizeof(line); size++) {
		memset(line, '#', sizeof(line));
		trace_text_line(&k.header, &k.records[0], line, size);
		CU_ASSERT_EQUAL(line[size], '#');
		CU_ASSERT(!size || strlen(line) < size);
	}
	trace_text_line(&k.header, &k.records[0], line, sizeof(line));
	CU_ASSERT_STRING_EQUAL(line, "read 3 cap=9 -> 2");
	trace_text_line(&k.header, &k.records[0], line, 18);
	CU_ASSERT_STRING_EQUAL(line, "read 3 cap=9 -> 2");
	trace_text_line(&k.header, &k.records[0], line, 17);
	CU_ASSERT_STRING_EQUAL(line, "read 3 cap=9 ...");
	drop(&k);
}

static void a_full_disk_is_said(void)
{
	FILE *out = fopen("/dev/full", "w");
	struct trace_text_config config = { 0 };
	struct err err = { 0 };
	struct kept k;
	int r = 0;

	if (!out) {
		unit_skip("no /dev/full");
		return;
	}
	CU_ASSERT_EQUAL_FATAL(parse(&k, BEGIN "close 3 -> 0\nend\n", NULL, &err), 0);
	for (int i = 0; !r && i < 1000; i++)
		r = trace_text_put(out, &k.header, &k.records[0], &config, &err);
	CU_ASSERT_EQUAL(r, -EIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "disk full"));
	fclose(out);
	drop(&k);
}

static void names_go_both_ways(void)
{
	static const struct names *const all[] = { &names_access, &names_open_flags, &names_whence,
		&names_stat_kind, &names_file_type, &names_stop, &names_tree };
	char name[NAME_SHORT_MAX];
	uint64_t value;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		for (size_t n = 0; n < all[i]->n; n++) {
			CU_ASSERT(name_short(all[i], all[i]->rows[n].value, name));
			CU_ASSERT(name_find_short(all[i], name, strlen(name), &value));
			CU_ASSERT_EQUAL(value, all[i]->rows[n].value);
			CU_ASSERT(!name_find_short(all[i], name, strlen(name) - 1, &value));
		}
		CU_ASSERT(!name_short(all[i], 0x123456789, name));
		CU_ASSERT_STRING_EQUAL(name, "");
		CU_ASSERT_PTR_NULL(name_of(all[i], 0x123456789));
	}
	for (int e = 1; e < 134; e++)
		if (strerrorname_np(e))
			CU_ASSERT_EQUAL(
				name_find_errno(strerrorname_np(e), strlen(strerrorname_np(e))), e);
	CU_ASSERT_EQUAL(name_find_errno("ENOEN", 5), 0);
	CU_ASSERT_EQUAL(name_find_errno("", 0), 0);
}

static const struct unit_case cases[] = {
	{ "text_comes_back_as_it_was", text_comes_back_as_it_was },
	{ "entries_of_a_directory_are_taken_whole", entries_of_a_directory_are_taken_whole },
	{ "exit_codes_are_of_calls_that_end", exit_codes_are_of_calls_that_end },
	{ "nothing_is_left_behind", nothing_is_left_behind },
	{ "full_text_comes_back_as_it_was", full_text_comes_back_as_it_was },
	{ "addresses_of_a_crash_stay_out", addresses_of_a_crash_stay_out },
	{ "liberties_of_whoever_edits", liberties_of_whoever_edits },
	{ "what_is_omitted_comes_in_any_order", what_is_omitted_comes_in_any_order },
	{ "a_file_that_cannot_be_read_is_no_empty_one",
		a_file_that_cannot_be_read_is_no_empty_one },
	{ "says_where_and_why_it_is_refused", says_where_and_why_it_is_refused },
	{ "names_have_their_limits", names_have_their_limits },
	{ "attributes_are_as_usual_unless_given", attributes_are_as_usual_unless_given },
	{ "entries_are_as_long_as_their_names_need", entries_are_as_long_as_their_names_need },
	{ "lines_of_hex_may_be_long", lines_of_hex_may_be_long },
	{ "strings_of_any_length_come_back", strings_of_any_length_come_back },
	{ "there_is_no_room_for_more_than_there_can_be",
		there_is_no_room_for_more_than_there_can_be },
	{ "what_cannot_be_read_is_no_end", what_cannot_be_read_is_no_end },
	{ "a_result_fits_its_data", a_result_fits_its_data },
	{ "random_records_of_every_row_round_trip", random_records_of_every_row_round_trip },
	{ "a_call_inserted_changes_one_line", a_call_inserted_changes_one_line },
	{ "data_lines_follow_the_data", data_lines_follow_the_data },
	{ "what_words_would_change_is_hex", what_words_would_change_is_hex },
	{ "much_data_goes_beside_the_text", much_data_goes_beside_the_text },
	{ "refuses_wrong_blobs", refuses_wrong_blobs },
	{ "a_line_for_reports_is_cut_to_size", a_line_for_reports_is_cut_to_size },
	{ "a_full_disk_is_said", a_full_disk_is_said },
	{ "names_go_both_ways", names_go_both_ways },
};

UNIT_MAIN("trace_text", cases)
