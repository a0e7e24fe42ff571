// SPDX-License-Identifier: ISC
/* The door to guest memory: bounds at both ends, wrapping, strings that do not end. */
#include "gmem.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "refuse.h"
#include "tmptree.h"
#include "unit.h"

enum { SIZE = 0x4000, PAGE = 4096 };
#define GPA 0x100000000ull

static const struct range {
	uint64_t gpa;
	size_t len;
	bool inside;
} ranges[] = {
	{ GPA, 0, true },
	{ GPA, 1, true },
	{ GPA, SIZE, true },
	{ GPA, SIZE + 1, false },
	{ GPA + 1, SIZE, false },
	{ GPA + SIZE, 0, true },
	{ GPA + SIZE, 1, false },
	{ GPA + SIZE + 1, 0, false },
	{ GPA - 1, 0, false },
	{ GPA - 1, 2, false },
	{ 0, 1, false },
	{ UINT64_MAX, 1, false },
	{ UINT64_MAX, 0, false },
	{ GPA + 8, SIZE_MAX, false },
	{ GPA + 8, SIZE_MAX - 8, false },
	{ GPA + SIZE - 1, SIZE_MAX, false },
	{ UINT64_MAX - 1, SIZE_MAX, false },
};

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static void spans_only_what_lies_inside(void)
{
	struct gmem m = { 0 };

	CU_ASSERT_EQUAL(gmem_init(&m, GPA, SIZE), 0);
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		CU_ASSERT_EQUAL(
			gmem_span(&m, ranges[i].gpa, ranges[i].len) != NULL, ranges[i].inside);
	gmem_finish(&m);
}

static void copies_nothing_when_a_byte_is_outside(void)
{
	struct gmem m = { 0 };
	char buf[16] = "unchanged";

	CU_ASSERT_EQUAL(gmem_init(&m, GPA, SIZE), 0);
	CU_ASSERT_EQUAL(gmem_fill(&m, GPA, 'x', SIZE), 0);
	CU_ASSERT_EQUAL(gmem_read(&m, GPA + SIZE - 4, buf, 5), -EFAULT);
	CU_ASSERT_STRING_EQUAL(buf, "unchanged");
	CU_ASSERT_EQUAL(gmem_write(&m, GPA + SIZE - 4, buf, 5), -EFAULT);
	CU_ASSERT_EQUAL(gmem_read(&m, GPA + SIZE - 4, buf, 4), 0);
	CU_ASSERT_EQUAL(memcmp(buf, "xxxxanged", 9), 0);
	CU_ASSERT_EQUAL(gmem_fill(&m, GPA - 1, 0, 2), -EFAULT);
	gmem_finish(&m);
}

static void ram_starts_zeroed(void)
{
	struct gmem m = { 0 };
	uint8_t page[4096];
	unsigned sum = 0;

	CU_ASSERT_EQUAL(gmem_init(&m, 0, SIZE), 0);
	for (uint64_t at = 0; at < SIZE; at += sizeof(page)) {
		CU_ASSERT_EQUAL(gmem_read(&m, at, page, sizeof(page)), 0);
		for (size_t i = 0; i < sizeof(page); i++)
			sum += page[i];
	}
	CU_ASSERT_EQUAL(sum, 0);
	gmem_finish(&m);
}

static void strings_end_or_are_refused(void)
{
	struct gmem m = { 0 };
	char buf[8];

	CU_ASSERT_EQUAL(gmem_init(&m, GPA, SIZE), 0);
	CU_ASSERT_EQUAL(gmem_fill(&m, GPA, 'a', SIZE), 0);
	CU_ASSERT_EQUAL(gmem_read_string(&m, GPA, buf, sizeof(buf)), -ENAMETOOLONG);
	CU_ASSERT_EQUAL(gmem_read_string(&m, GPA + SIZE - 3, buf, sizeof(buf)), -EFAULT);
	CU_ASSERT_EQUAL(gmem_read_string(&m, GPA + SIZE - 8, buf, sizeof(buf)), -ENAMETOOLONG);
	CU_ASSERT_EQUAL(gmem_read_string(&m, GPA + SIZE, buf, sizeof(buf)), -EFAULT);
	CU_ASSERT_EQUAL(gmem_read_string(&m, GPA + SIZE, buf, 0), -EFAULT);
	CU_ASSERT_EQUAL(gmem_read_string(&m, 0, buf, sizeof(buf)), -EFAULT);
	CU_ASSERT_EQUAL(gmem_read_string(&m, UINT64_MAX, buf, sizeof(buf)), -EFAULT);
	CU_ASSERT_EQUAL(gmem_fill(&m, GPA + 7, 0, 1), 0);
	CU_ASSERT_EQUAL(gmem_read_string(&m, GPA, buf, sizeof(buf)), 7);
	CU_ASSERT_STRING_EQUAL(buf, "aaaaaaa");
	CU_ASSERT_EQUAL(gmem_fill(&m, GPA + SIZE - 1, 0, 1), 0);
	CU_ASSERT_EQUAL(gmem_read_string(&m, GPA + SIZE - 1, buf, sizeof(buf)), 0);
	gmem_finish(&m);
}

static void refuses_sizes_that_are_not_pages_or_wrap(void)
{
	int fds = tmptree_open_fds();
	struct gmem m = { 0 };

	CU_ASSERT_EQUAL(gmem_init(&m, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(gmem_init(&m, 0, 100), -EINVAL);
	CU_ASSERT_EQUAL(gmem_init(&m, 1, 4096), -EINVAL);
	CU_ASSERT_EQUAL(gmem_init(&m, 0ull - 4096, 8192), -EINVAL);
	CU_ASSERT_EQUAL(gmem_init(&m, 0, 1ull << 62), -ENOMEM);
	gmem_finish(&m);
	gmem_finish(NULL);
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
}

static void descriptor_zero_is_one_too(void)
{
	int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100);
	struct gmem m = { 0 };

	close(STDIN_FILENO);
	CU_ASSERT_EQUAL_FATAL(gmem_init(&m, GPA, SIZE), 0);
	CU_ASSERT_EQUAL(m.file, STDIN_FILENO + 1);
	CU_ASSERT_EQUAL(gmem_fill(&m, GPA, 'x', SIZE), 0);
	gmem_finish(&m);
	CU_ASSERT(fcntl(STDIN_FILENO, F_GETFD) < 0);
	dup2(saved, STDIN_FILENO);
	close(saved);
}

static bool is_mapped(void *at)
{
	return msync(at, 4096, MS_ASYNC) == 0;
}

static void what_is_finished_is_gone(void)
{
	int fds = tmptree_open_fds();
	struct gmem m = { 0 };
	uint8_t *base, *view;

	CU_ASSERT_EQUAL(gmem_init(&m, GPA, SIZE), 0);
	base = m.base;
	view = gmem_view(&m, GPA, 4096);
	CU_ASSERT_TRUE(is_mapped(base) && is_mapped(view));
	gmem_view_drop(view, 4096);
	CU_ASSERT_FALSE(is_mapped(view));
	gmem_finish(&m);
	CU_ASSERT_FALSE(is_mapped(base));
	CU_ASSERT_PTR_NULL(m.base);
	CU_ASSERT_EQUAL(m.gpa + m.size, 0);
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	gmem_finish(&m);
}

static void a_view_shows_the_same_bytes(void)
{
	struct gmem m = { 0 };
	uint8_t *view;

	CU_ASSERT_EQUAL(gmem_init(&m, GPA, SIZE), 0);
	CU_ASSERT_EQUAL(gmem_fill(&m, GPA + 4096, 7, 1), 0);
	view = gmem_view(&m, GPA + 4096, 4096);
	CU_ASSERT_PTR_NOT_NULL_FATAL(view);
	CU_ASSERT_EQUAL(view[0], 7);
	view[1] = 8;
	CU_ASSERT_EQUAL(m.base[4097], 8);
	gmem_view_drop(view, 4096);
	CU_ASSERT_EQUAL(m.base[4097], 8);
	CU_ASSERT_PTR_NULL(gmem_view(&m, GPA, 0));
	CU_ASSERT_PTR_NULL(gmem_view(&m, GPA, 100));
	CU_ASSERT_PTR_NULL(gmem_view(&m, GPA + 1, 4096));
	CU_ASSERT_PTR_NULL(gmem_view(&m, GPA + SIZE, 4096));
	gmem_view_drop(NULL, 4096);
	gmem_finish(&m);
}

/* Parts in use as "first-last" pages, for a machine of eight. */
static void used_parts(const struct gmem *m, char *text, size_t size)
{
	uint64_t gpa = 0;
	size_t len, at = 0;

	for (*text = 0; gmem_next_used(m, &gpa, &len); gpa += len)
		at += (size_t)snprintf(text + at, size - at, "%d-%d ", (int)((gpa - m->gpa) / PAGE),
			(int)((gpa + len - 1 - m->gpa) / PAGE));
}

static void knows_what_was_never_used(void)
{
	struct gmem m = { 0 };
	char text[100];

	CU_ASSERT_EQUAL_FATAL(gmem_init(&m, GPA, 8 * PAGE), 0);
	used_parts(&m, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "");
	gmem_fill(&m, GPA + 2 * PAGE - 1, 'x', 2);
	gmem_fill(&m, GPA + 7 * PAGE, 'x', 1);
	used_parts(&m, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "1-2 7-7 ");
	CU_ASSERT_TRUE(gmem_same(&m, GPA + 2 * PAGE - 1, "xx", 2));
	CU_ASSERT_FALSE(gmem_same(&m, GPA + 2 * PAGE - 1, "xxx", 3));
	CU_ASSERT_FALSE(gmem_same(&m, GPA + 8 * PAGE - 1, "\0", 2));
	gmem_finish(&m);
}

/* Wherever in a page one begins to look, and below RAM, too. */
static void used_parts_are_whole_pages(void)
{
	static const struct {
		uint64_t from, gpa;
		size_t len; /* 0: there is none */
	} rows[] = {
		{ 0, GPA, 2 * PAGE },
		{ GPA - 1, GPA, 2 * PAGE },
		{ GPA, GPA, 2 * PAGE },
		{ GPA + 1, GPA, 2 * PAGE },
		{ GPA + PAGE + 5, GPA + PAGE, PAGE },
		{ GPA + 2 * PAGE, GPA + 4 * PAGE, 2 * PAGE },
		{ GPA + 3 * PAGE + 1, GPA + 4 * PAGE, 2 * PAGE },
		{ GPA + 6 * PAGE - 1, GPA + 5 * PAGE, PAGE },
		{ GPA + 6 * PAGE, 0, 0 },
		{ GPA + 8 * PAGE - 1, 0, 0 },
		{ GPA + 8 * PAGE, 0, 0 },
		{ UINT64_MAX, 0, 0 },
	};
	struct gmem m = { 0 };

	CU_ASSERT_EQUAL_FATAL(gmem_init(&m, GPA, 8 * PAGE), 0);
	gmem_fill(&m, GPA, 'x', 2 * PAGE);
	gmem_fill(&m, GPA + 4 * PAGE, 'x', 2 * PAGE);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t gpa = rows[i].from;
		size_t len;

		CU_ASSERT_EQUAL(gmem_next_used(&m, &gpa, &len), rows[i].len > 0);
		CU_ASSERT(!rows[i].len || (gpa == rows[i].gpa && len == rows[i].len));
	}
	gmem_finish(&m);
}

/* Nothing stays open of memory that there is no room for. */
static void is_refused_where_there_is_no_room(void)
{
	int fds = tmptree_open_fds(), r;
	struct rlimit old, none = { 0 };
	struct gmem m = { 0 };

	getrlimit(RLIMIT_AS, &old);
	none.rlim_max = old.rlim_max;
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_AS, &none), 0);
	r = gmem_init(&m, GPA, SIZE);
	setrlimit(RLIMIT_AS, &old);
	CU_ASSERT_EQUAL(r, -ENOMEM);
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	gmem_finish(&m);
}

enum { NO_FILTER = 77 };

/* In a child to which a call is refused: 0 when all of RAM is looked at. */
static int looks_at_all_without_lseek(void)
{
	struct gmem m = { 0 };
	char text[100];

	if (gmem_init(&m, GPA, 8 * PAGE) || gmem_fill(&m, GPA + PAGE, 1, 1) ||
		refuse_call(SYS_lseek, ENOSYS))
		return NO_FILTER;
	used_parts(&m, text, sizeof(text));
	return strcmp(text, "0-7 ") != 0;
}

static void all_counts_as_used_when_the_kernel_tells_nothing(void)
{
	int status = -1;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child)
		_exit(looks_at_all_without_lseek());
	waitpid(child, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTER)
		unit_skip("seccomp filters are not allowed here");
	else
		CU_ASSERT_EQUAL(status, 0);
}

/* Files may be limited; guest memory is none, as far as anybody can tell. */
static void is_there_whatever_files_may_be(void)
{
	struct rlimit old, none = { 0 };
	struct gmem m = { 0 };
	char text[100];

	getrlimit(RLIMIT_FSIZE, &old);
	none.rlim_max = old.rlim_max;
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &none), 0);
	CU_ASSERT_EQUAL(gmem_init(&m, GPA, 8 * PAGE), 0);
	setrlimit(RLIMIT_FSIZE, &old);
	used_parts(&m, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "0-7 ");
	gmem_finish(&m);
}

static const struct unit_case cases[] = {
	{ "spans_only_what_lies_inside", spans_only_what_lies_inside },
	{ "copies_nothing_when_a_byte_is_outside", copies_nothing_when_a_byte_is_outside },
	{ "ram_starts_zeroed", ram_starts_zeroed },
	{ "strings_end_or_are_refused", strings_end_or_are_refused },
	{ "refuses_sizes_that_are_not_pages_or_wrap", refuses_sizes_that_are_not_pages_or_wrap },
	{ "descriptor_zero_is_one_too", descriptor_zero_is_one_too },
	{ "what_is_finished_is_gone", what_is_finished_is_gone },
	{ "a_view_shows_the_same_bytes", a_view_shows_the_same_bytes },
	{ "knows_what_was_never_used", knows_what_was_never_used },
	{ "used_parts_are_whole_pages", used_parts_are_whole_pages },
	{ "is_refused_where_there_is_no_room", is_refused_where_there_is_no_room },
	{ "all_counts_as_used_when_the_kernel_tells_nothing",
		all_counts_as_used_when_the_kernel_tells_nothing },
	{ "is_there_whatever_files_may_be", is_there_whatever_files_may_be },
};

UNIT_MAIN("gmem", cases)
