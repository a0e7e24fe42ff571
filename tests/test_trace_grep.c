// SPDX-License-Identifier: ISC
/* Conditions on calls: which calls meet them, and what is no condition. */
#include "trace_grep.h"

#include <errno.h>
#include <stdlib.h>

#include "err.h"
#include "trace_read.h"
#include "unit.h"

/* Calls a, b, c ...; conditions say which of them they hold for. */
static const char trace[] =
	"bjt 1\nguest \"g\" abi=uhyve/2 mem=2097152\n\n"
	"open \"/in/a\" rdwr+creat mode=0644 -> 3 @n=0 t=1000ns d=1500ns ip=0x1000\n" /* a */
	"open \"\" rdonly mode=0 -> -ENOENT @n=1 t=+1ns d=0ns ip=0x2000\n"            /* b */
	"read 3 cap=256 -> 3 @n=2\n  < a\\nb\n"                                       /* c */
	"write 1 -> 2 @n=3\n  > hi\n"                                                 /* d */
	"lseek 3 -5 end -> 0 @n=4\n"                                                  /* e */
	"stat \"/x\" lstat -> -EACCES @n=5\n"                                         /* f */
	"close -1 -> -9223372036854775808 @n=6\n"                                     /* g */
	"serial_read cap=7 -> 0 @n=7\n"                                               /* h */
	"exit 3 @n=18446744073709551615\nend\n";                                      /* i */

static const struct {
	const char *condition, *holds;
} rows[] = {
	{ "call=open", "ab" },
	{ "call!=open", "cdefghi" },
	{ "call~=e", "abcdeghi" },
	{ "call~=serial", "h" },
	{ "path=/in/a", "a" },
	{ "path~=/", "af" },
	{ "path~=", "abf" },
	{ "path=", "b" },
	{ "path!=/x", "ab" },
	{ "in=hi", "d" },
	{ "in~=h", "d" },
	{ "out=a\\nb", "c" },
	{ "out~=\\x0a", "c" },
	{ "out!=x", "abcdefghi" },
	{ "ret=3", "ac" },
	{ "ret!=3", "bdefgh" },
	{ "ret<0", "bfg" },
	{ "ret<=0", "befgh" },
	{ "ret>2", "ac" },
	{ "ret>=2", "acd" },
	{ "ret=-ENOENT", "b" },
	{ "ret=EACCES", "f" },
	{ "ret=-9223372036854775808", "g" },
	{ "len=256", "c" },
	{ "len<=7", "dh" },
	{ "n=0", "a" },
	{ "n>=7", "hi" },
	{ "n=18446744073709551615", "i" },
	{ "n=0x3", "d" },
	{ "dur=1500", "a" },
	{ "dur=1.5us", "a" },
	{ "dur<1ms", "ab" },
	{ "dur>=1s", "" },
	{ "ip=0x1000", "a" },
	{ "ip>0", "ab" },
	{ "fd=3", "ce" },
	{ "fd=-1", "g" },
	{ "fd<0", "g" },
	{ "code=3", "i" },
	{ "offset=-5", "e" },
	{ "mode=0644", "a" },
	{ "flags=0", "b" },
	{ "flags=rdwr|creat", "a" },
	{ "flags=O_RDWR+O_CREAT", "a" },
	{ "flags~=creat", "a" },
	{ "flags~=0x40", "a" },
	{ "flags!=rdonly", "a" },
	{ "whence=end", "e" },
	{ "whence=SEEK_END", "e" },
	{ "whence=2", "e" },
	{ "kind=lstat", "f" },
	{ "kind!=stat", "f" },
};

static void holds_for_the_calls_that_it_should(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct trace_condition c;
		struct trace_reader *reader;
		struct trace_record record;
		struct err err = { "" };
		char holds[20] = "", letter[2] = "a";

		CU_ASSERT_EQUAL(trace_condition_parse(&c, rows[i].condition, &err), 0);
		CU_ASSERT_STRING_EQUAL(err.text, "");
		CU_ASSERT_FATAL(!trace_reader_open_memory(
			&reader, trace, sizeof(trace) - 1, "t.bjt", &err));
		for (; trace_reader_next(reader, &record, &err) > 0 && record.kind == TRACE_CALL;
			letter[0]++)
			if (trace_condition_holds(&c, trace_reader_header(reader), &record))
				strcat(holds, letter);
		CU_ASSERT_STRING_EQUAL(err.text, "");
		CU_ASSERT_EQUAL(letter[0], 'j');
		if (strcmp(holds, rows[i].holds) != 0)
			printf("     %s: %s, not %s\n", rows[i].condition, holds, rows[i].holds);
		CU_ASSERT_STRING_EQUAL(holds, rows[i].holds);
		trace_reader_close(reader);
		trace_condition_finish(&c);
	}
}

static void a_call_in_flight_has_no_result(void)
{
	static const char cut[] =
		"bjt 1\nguest \"g\" abi=uhyve/2 mem=2097152\n\nclose 3 -> ?\ncut\n";
	static const char *const conditions[] = { "ret=0", "ret!=0", "dur>=0" };
	struct trace_condition c;
	struct trace_reader *reader;
	struct trace_record record;
	struct err err;

	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		CU_ASSERT_FATAL(
			!trace_reader_open_memory(&reader, cut, sizeof(cut) - 1, "t.bjt", &err));
		CU_ASSERT_EQUAL_FATAL(trace_reader_next(reader, &record, &err), 1);
		CU_ASSERT_EQUAL(record.kind, TRACE_PENDING);
		CU_ASSERT_EQUAL(trace_condition_parse(&c, conditions[i], &err), 0);
		CU_ASSERT(!trace_condition_holds(&c, trace_reader_header(reader), &record));
		trace_condition_finish(&c);
		trace_reader_close(reader);
	}
}

static void says_why_it_is_no_condition(void)
{
	static const struct {
		const char *condition, *says;
	} bad[] = {
		{ "", "does not begin with a field" },
		{ "=3", "does not begin with a field" },
		{ "abcdefghijklmnopqrstuvwxyzabcdefg=3", "does not begin with a field" },
		{ "ret", "no operator behind ret" },
		{ "ret:3", "no operator behind ret" },
		{ "frob=3", "no call has a field frob" },
		{ "path<3", "path is text: one of" },
		{ "in>=3", "in is text" },
		{ "in=\\q", "\"\\q\": not an escape" },
		{ "ret~=3", "ret is a number" },
		{ "fd~=3", "fd is a number" },
		{ "ret=", "\"\" is no value of ret" },
		{ "ret=3x", "\"3x\" is no value of ret" },
		{ "ret=-", "no value of ret" },
		{ "ret=ENOSUCH", "no value of ret" },
		{ "ret=18446744073709551616", "no value of ret" },
		{ "n=EPERM", "no value of n" },
		{ "fd=EPERM", "no value of fd" },
		{ "mode=creat", "no value of mode" },
		{ "flags=creat|frob", "no value of flags" },
		{ "flags=", "no value of flags" },
		{ "whence=middle", "no value of whence" },
		{ "kind=fstat", "no value of kind" },
		{ "dur=", "no value of dur" },
		{ "dur=s", "no value of dur" },
		{ "dur=.", "no value of dur" },
		{ "dur=-1s", "no value of dur" },
		{ "dur=1e3", "no value of dur" },
		{ "dur=1h", "no value of dur" },
		{ "dur=1mm", "no value of dur" },
		{ "dur=99999999999s", "no value of dur" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct trace_condition c;
		struct err err = { "" };

		CU_ASSERT_EQUAL(trace_condition_parse(&c, bad[i].condition, &err), -EINVAL);
		if (!strstr(err.text, bad[i].says))
			printf("     '%s' not in '%s'\n", bad[i].says, err.text);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, bad[i].says));
		CU_ASSERT_PTR_NULL(c.bytes);
	}
}

static const struct unit_case cases[] = {
	{ "holds_for_the_calls_that_it_should", holds_for_the_calls_that_it_should },
	{ "a_call_in_flight_has_no_result", a_call_in_flight_has_no_result },
	{ "says_why_it_is_no_condition", says_why_it_is_no_condition },
};

UNIT_MAIN("trace_grep", cases)
