// SPDX-License-Identifier: ISC
/* A session and a trace's header: what CPUID said goes into the one and comes out of the other. */
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi_uhyve.h"
#include "cpuid_table.h"
#include "err.h"
#include "tcg_cpuid.h"
#include "unit.h"

enum { MEM = 64 << 20, SSE3 = 1 << 0, NOTE = 800 };

static char image[4096];

/* The software CPU's table, with further features in ECX of leaf 1. */
static size_t table_with(struct cpuid_entry table[TCG_CPUID_LEAVES], uint32_t set, uint32_t clear)
{
	size_t n = tcg_cpuid_table(table, abi_uhyve.irqchip, true);

	table[1].ecx = (table[1].ecx & ~clear) | set;
	return n;
}

static struct trace_header header_of(struct cpuid_entry *table, size_t n)
{
	static char *argv[] = { (char *)"hello.elf" };

	return (struct trace_header){
		.version = TRACE_VERSION,
		.abi = &abi_uhyve,
		.abi_version = 2,
		.mem_size = MEM,
		.argv = { argv, 1 },
		.cpuid = table,
		.n_cpuid = n,
	};
}

/* A machine as for a replay of that header. */
static void start(struct session *s, const struct trace_header *header)
{
	static char *words[] = { image };
	struct err err = { "" };

	session_init(s);
	s->no_files = true;
	s->options.backend = "tcg";
	if (session_from_header(s, header, &err) || session_prepare(s, words, 1, &err))
		CU_FAIL_FATAL(err.text);
}

static const char *note_of(const struct session *s, const struct trace_header *header)
{
	static char note[NOTE];

	session_cpu_note(s, header, note, sizeof(note));
	return note;
}

static void a_guest_sees_the_cpuid_of_its_recording(void)
{
	struct cpuid_entry table[TCG_CPUID_LEAVES], seen[CPUID_TABLE_MAX];
	size_t n = table_with(table, CPUID_ECX_AVX | CPUID_ECX_XSAVE, 0);
	struct trace_header header = header_of(table, n), again;
	struct err err = { "" };
	struct session s;
	int r;

	start(&s, &header);
	r = backend_cpuid(s.vm->cpu, seen, CPUID_TABLE_MAX);
	CU_ASSERT_FATAL(r > 0);
	CU_ASSERT(cpuid_table_same(seen, (size_t)r, table, n));
	CU_ASSERT_STRING_EQUAL(note_of(&s, &header), "");
	CU_ASSERT_EQUAL_FATAL(session_header(&s, &again, &err), 0);
	CU_ASSERT(cpuid_table_same(again.cpuid, again.n_cpuid, table, n));
	trace_header_finish(&again);
	session_finish(&s);
}

/* What everybody is told needs no place in a recording. */
static void an_ordinary_cpuid_is_left_out(void)
{
	struct trace_header header = header_of(NULL, 0), again;
	struct err err = { "" };
	struct session s;

	start(&s, &header);
	CU_ASSERT_STRING_EQUAL(note_of(&s, &header), "");
	CU_ASSERT_EQUAL_FATAL(session_header(&s, &again, &err), 0);
	CU_ASSERT_EQUAL(again.n_cpuid, 0);
	CU_ASSERT_PTR_NULL(again.cpuid);
	trace_header_finish(&again);
	session_finish(&s);
}

static void says_which_features_differ(void)
{
	struct cpuid_entry table[TCG_CPUID_LEAVES];
	struct trace_header plain = header_of(NULL, 0), other;
	struct session s;

	start(&s, &plain);
	other = header_of(table, table_with(table, CPUID_ECX_AVX | CPUID_ECX_XSAVE, 0));
	CU_ASSERT_STRING_EQUAL(note_of(&s, &other),
		"tcg lacks features in CPUID that the recording's CPU had: xsave avx; a guest that "
		"prints or uses them differs");
	other = header_of(table, table_with(table, 0, SSE3));
	CU_ASSERT_STRING_EQUAL(note_of(&s, &other),
		"tcg adds features to CPUID that the recording's CPU had not: sse3; a guest that "
		"prints or uses them differs");
	other = header_of(table, table_with(table, 0, 0));
	table[1].eax++;
	CU_ASSERT_STRING_EQUAL(note_of(&s, &other),
		"CPUID on tcg is not what it was in the recording; a guest that prints or uses it "
		"differs");
	session_finish(&s);
}

/* Of a trace, everything may be said. */
static void refuses_what_no_command_line_could_say(void)
{
	static const struct trace_mount aside = { .host = (char *)"in", .guest = (char *)"in" };
	static const struct {
		size_t mem, n_argv;
		const char *cwd;
		const struct trace_mount *mount;
		const char *says;
	} rows[] = {
		{ MEM + 1, 1, NULL, NULL, "guest RAM of 67108865 bytes" },
		{ MEM, 0, NULL, NULL, "even the guest's name is missing" },
		{ MEM, 1, "in", NULL, "directory does not begin with /" },
		{ MEM, 1, "", NULL, "directory does not begin with /" },
		{ MEM, 1, "/", &aside, "mount 0: the guest's path does not begin with /" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct trace_header header = header_of(NULL, 0);
		struct err err = { "" };
		struct session s;

		header.mem_size = rows[i].mem;
		header.argv.n = rows[i].n_argv;
		header.cwd = (char *)rows[i].cwd;
		header.mounts = (struct trace_mount *)rows[i].mount;
		header.n_mounts = rows[i].mount != NULL;
		session_init(&s);
		CU_ASSERT_EQUAL(session_from_header(&s, &header, &err), -EINVAL);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].says));
		session_finish(&s);
	}
}

static void takes_what_was_said_on_the_command_line(void)
{
	static char *env[] = { (char *)"A=1", (char *)"B=2" }, *kernel[] = { (char *)"-freq" };
	struct trace_header header = header_of(NULL, 0);
	struct err err = { "" };
	struct session s;

	header.env = (struct strings){ env, 2 };
	header.kernel_args = (struct strings){ kernel, 1 };
	header.cwd = (char *)"/in";
	header.utf8_paths = true;
	session_init(&s);
	CU_ASSERT_EQUAL_FATAL(session_from_header(&s, &header, &err), 0);
	CU_ASSERT(s.options.env.n == 2 && !strcmp(s.options.env.list[1], "B=2"));
	CU_ASSERT(s.options.kernel_args.n == 1 && !strcmp(s.options.kernel_args.list[0], "-freq"));
	CU_ASSERT_STRING_EQUAL(s.options.cwd, "/in");
	CU_ASSERT(s.options.utf8_paths && s.options.deterministic);
	session_finish(&s);
}

static const struct unit_case cases[] = {
	{ "a_guest_sees_the_cpuid_of_its_recording", a_guest_sees_the_cpuid_of_its_recording },
	{ "an_ordinary_cpuid_is_left_out", an_ordinary_cpuid_is_left_out },
	{ "says_which_features_differ", says_which_features_differ },
	{ "refuses_what_no_command_line_could_say", refuses_what_no_command_line_could_say },
	{ "takes_what_was_said_on_the_command_line", takes_what_was_said_on_the_command_line },
};

int main(void)
{
	const char *dir = getenv("GUESTS");

	snprintf(image, sizeof(image), "%s/hello.elf", dir ? dir : "build/rel/kernels");
	return unit_run("session", cases, sizeof(cases) / sizeof(cases[0]));
}
