// SPDX-License-Identifier: ISC
/*
 * The verbs of goldens as a user types them, in this process, and the directory they keep: what is said and
 * what lies there afterwards. Whatever fails on the way, a verb says so by its exit code and leaves nothing
 * behind (see fault_unit.c).
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"
#include "err.h"
#include "golden.h"
#include "golden_new.h"
#include "golden_take.h"
#include "fileio.h"
#include "log.h"
#include "tmptree.h"
#include "unit.h"

/* For the runner: what these cases assert counts when something fails, too. */
extern const bool fault_strict;
const bool fault_strict = true;

/* How many calls have failed so far; only a fault build has it. */
unsigned fault_failed(void) __attribute__((weak));

static bool nothing_failed(void)
{
	return !fault_failed || !fault_failed();
}

enum { WORDS_MAX = 24 };
#define HASH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* A directory with a suite in it, and what the last verb said. */
static struct world {
	struct tmptree tree;
	char suite[100];
	char said[1 << 16];
} w;

/* Of four at a time. */
static char *in_tree(const char *name)
{
	static char paths[4][200];
	static unsigned n;
	char *path = paths[n++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", w.tree.path, name);
	return path;
}

static void begin(void)
{
	static const char *const lines[] = { "d suite", "d in", "d out", "f in/a first", NULL };

	unsetenv("CI");
	unsetenv("BELLJAR_GOLDEN");
	log_set_level(LOG_WARN);
	CU_ASSERT_FATAL(!tmptree_make(&w.tree, lines));
	snprintf(w.suite, sizeof(w.suite), "%s/suite", w.tree.path);
}

static void end(void)
{
	tmptree_remove(&w.tree);
}

static void add(const char *line)
{
	CU_ASSERT_EQUAL(tmptree_add(&w.tree, line), 0);
}

static bool is_there(const char *name)
{
	return !access(in_tree(name), F_OK);
}

/* A text of the project's own suite, `from` in it once become `to`. */
static void copy_golden(const char *from_name, const char *name, const char *from, const char *to)
{
	char path[200], *text = NULL, *at, *edited = NULL;
	size_t len = 0;
	FILE *out;

	snprintf(path, sizeof(path), "golden/%s.bjt", from_name);
	if (golden_read(path, &text, &len, NULL)) {
		CU_ASSERT(!nothing_failed());
		return;
	}
	at = strstr(text, from);
	CU_ASSERT_FATAL(at != NULL);
	CU_ASSERT_FATAL(
		asprintf(&edited, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
	out = fopen(in_tree(name), "we");
	CU_ASSERT_FATAL(out && fputs(edited, out) >= 0);
	fclose(out);
	free(edited);
	free(text);
}

/* Runs something that returns an exit code; what it says on standard output and error is kept in w.said. */
static int listen_to(int (*run)(void *ctx), void *ctx)
{
	int to = memfd_create("said", MFD_CLOEXEC), out = dup(STDOUT_FILENO), code;
	int err = dup(STDERR_FILENO);
	ssize_t len;

	CU_ASSERT_FATAL(to >= 0 && out >= 0 && err >= 0);
	fflush(stdout);
	dup2(to, STDOUT_FILENO);
	dup2(to, STDERR_FILENO);
	code = run(ctx);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	len = pread(to, w.said, sizeof(w.said) - 1, 0);
	w.said[len > 0 ? len : 0] = 0;
	close(to);
	close(out);
	close(err);
	return code;
}

struct command_line {
	int n;
	char **words;
};

static int run_golden(void *ctx)
{
	const struct command_line *line = ctx;

	return cmd_golden.run(&cmd_golden, line->n, line->words);
}

/* The words end in NULL. True: it ended as it should; else something must have failed. */
static bool ends(int want, const char *first, ...)
{
	char *words[WORDS_MAX] = { strdup("golden") }, *again[WORDS_MAX];
	const char *word = first;
	int n = 1, code;
	va_list list;

	va_start(list, first);
	for (; word && n < WORDS_MAX - 1; word = va_arg(list, const char *))
		words[n++] = strdup(word);
	va_end(list);
	memcpy(again, words, sizeof(words)); /* the verb moves them about */
	code = listen_to(run_golden, &(struct command_line){ n, again });
	if (code != want && nothing_failed())
		printf("     golden %s ...: exit code %d, not %d:\n%s", first, code, want, w.said);
	CU_ASSERT(code == want || !nothing_failed());
	CU_ASSERT(code >= 0 && code <= EXIT_CRASHED);
	while (n)
		free(words[--n]);
	return code == want;
}

static bool says(const char *text)
{
	bool said = strstr(w.said, text) != NULL;

	if (!said && nothing_failed())
		printf("     not said: %s\n%s", text, w.said);
	return said || !nothing_failed();
}

static const char *guests(void)
{
	const char *dir = getenv("GUESTS");

	return dir ? dir : "build/rel/kernels";
}

static char *guest(const char *name)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", guests(), name);
	return path;
}

static bool no_guests(void)
{
	if (!access(guest("exit.elf"), R_OK))
		return false;
	unit_skip("the guests are not built");
	return true;
}

/* ---- command lines ---- */

static void knows_what_it_is_told(void)
{
	static const struct {
		const char *words[8];
		const char *said;
	} rows[] = {
		{ { NULL }, "no verb given" },
		{ { "frobnicate" }, "frobnicate: no such verb" },
		{ { "check", "--dir", "" }, "give a directory" },
		{ { "check", "--guests", "" }, "give a directory" },
		{ { "check", "--backend", "" }, "no such backend" },
		{ { "check", "--backend", "script" }, "one of auto, kvm, tcg" },
		{ { "check", "-j", "0" }, "from 1 to 256" },
		{ { "check", "-j", "257" }, "from 1 to 256" },
		{ { "check", "-j", "3x" }, "from 1 to 256" },
		{ { "check", "-j", "-1" }, "from 1 to 256" },
		{ { "check", "-j", "=" }, "from 1 to 256" },
		{ { "check", "--junit", "" }, "give a file name" },
		{ { "check", "--timeout", "soon" }, "timeout" },
		{ { "check", "name", "--frob" }, "frob: no such option" },
		{ { "new" }, "no name given" },
		{ { "new", "name" }, "no guest given" },
		{ { "new", "--stdin", "", "name" }, "give a file name" },
		{ { "new", "name", "--frob" }, "frob: no such option" },
		{ { "new", "name", "--backend", "none", "guest" }, "backend" },
	};

	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *const *a = rows[i].words;

		ends(EXIT_USAGE, a[0], a[1], a[2], a[3], a[4], NULL);
		CU_ASSERT(says(rows[i].said));
	}
	end();
}

static void helps(void)
{
	begin();
	ends(0, "--help", NULL);
	CU_ASSERT(says("check|review|accept|new"));
	ends(0, "-h", NULL);
	CU_ASSERT(says("check|review|accept|new"));
	ends(0, "check", "--help", NULL);
	CU_ASSERT(says("Check goldens"));
	ends(0, "new", "name", "--help", NULL);
	CU_ASSERT(says("Record a guest for the first time"));
	end();
}

static void needs_a_directory(void)
{
	begin();
	ends(EXIT_OURS, "check", "--dir", in_tree("none"), NULL);
	CU_ASSERT(says("none: No such file or directory"));
	ends(EXIT_OURS, "check", "--dir", in_tree("in/a"), NULL);
	CU_ASSERT(says("in/a: Not a directory"));
	ends(EXIT_OURS, "new", "--dir", in_tree("in/a/b"), "app", in_tree("in/a"), NULL);
	CU_ASSERT(says("in/a/b: Not a directory"));
	ends(EXIT_OURS, "check", "--dir", w.suite, NULL);
	CU_ASSERT(says("no goldens; `belljar golden new` makes the first"));
	ends(EXIT_OURS, "new", "--dir", in_tree("made"), "--backend", "tcg", "app", in_tree("none"),
		NULL);
	CU_ASSERT(says("none: No such file"));
	CU_ASSERT(!is_there("made") || !nothing_failed());
	end();
}

static void takes_the_policy_from_its_environment(void)
{
	begin();
	copy_golden("exit", "suite/exit.bjt", "", "");
	setenv("BELLJAR_GOLDEN", "perhaps", 1);
	ends(EXIT_USAGE, "check", "--dir", w.suite, NULL);
	CU_ASSERT(says("BELLJAR_GOLDEN=perhaps: no such word"));
	setenv("BELLJAR_GOLDEN", "no", 1);
	ends(EXIT_OURS, "accept", "--dir", w.suite, "--guests", w.suite, NULL);
	CU_ASSERT(says("BELLJAR_GOLDEN=no, so nothing is written"));
	setenv("BELLJAR_GOLDEN", "", 1);
	ends(EXIT_OURS, "accept", "--dir", w.suite, NULL);
	CU_ASSERT(says("--guests DIR says where the images are"));
	ends(EXIT_USAGE, "accept", "--dir", w.suite, "--guests", w.suite, "none", NULL);
	CU_ASSERT(says("none: no such golden"));
	ends(EXIT_USAGE, "review", "--dir", w.suite, "none", NULL);
	CU_ASSERT(says("none: no such golden"));
	ends(0, "accept", "--dir", w.suite, "--guests", w.suite, NULL);
	CU_ASSERT(says("nothing to accept"));
	ends(0, "review", "--dir", w.suite, NULL);
	CU_ASSERT(says("nothing to review"));
	setenv("CI", "1", 1);
	ends(EXIT_OURS, "new", "--dir", w.suite, "app", "guest", NULL);
	CU_ASSERT(says("CI is set, so nothing is written"));
	setenv("CI", "false", 1);
	ends(EXIT_USAGE, "new", "--dir", w.suite, "-app", "guest", NULL);
	ends(EXIT_USAGE, "new", "--dir", w.suite, "a/b", "guest", NULL);
	CU_ASSERT(says("letters, digits"));
	ends(EXIT_OURS, "new", "--dir", w.suite, "exit", "guest", NULL);
	CU_ASSERT(says("is there already"));
	end();
}

static void runs_only_where_it_can(void)
{
	begin();
	copy_golden("exit", "suite/exit.bjt", "", "");
	ends(0, "check", "--dir", w.suite, "--backend", "auto", "--backend", "tcg", "--backend",
		"tcg", NULL);
	CU_ASSERT(says("1 passed, 0 failed"));
	CU_ASSERT(says("note: host side only"));
	if (access("/dev/kvm", F_OK)) {
		ends(EXIT_OURS, "check", "--dir", w.suite, "--backend", "kvm", NULL);
		CU_ASSERT(says("--backend kvm: /dev/kvm: "));
	}
	end();
}

/* ---- checks ---- */

static void checks_handlers(void)
{
	begin();
	copy_golden("exit", "suite/good.bjt", "", "");
	copy_golden("badcalls", "suite/wrong.bjt", "-> -EBADF", "-> -EIO");
	add("f suite/broken.bjt bjt 99");
	if (ends(EXIT_OURS, "check", "--dir", w.suite, "--backend", "tcg", "--junit",
		    in_tree("junit.xml"), "-j", "2", NULL) &&
		nothing_failed()) {
		CU_ASSERT(says("ok   good host"));
		CU_ASSERT(says("FAIL wrong host"));
		CU_ASSERT(says("FAIL broken host"));
		CU_ASSERT(says("1 passed, 2 failed"));
		CU_ASSERT(is_there("junit.xml"));
	}
	ends(EXIT_MISMATCH, "check", "wrong", "--dir", w.suite, "-q", NULL);
	CU_ASSERT(says("0 passed, 1 failed"));
	CU_ASSERT(!strstr(w.said, "ok   "));
	ends(0, "check", "--dir", w.suite, "--", "good", NULL);
	CU_ASSERT(says("1 passed, 0 failed"));
	ends(EXIT_OURS, "check", "--dir", w.suite, "good", "--junit", in_tree("none/junit.xml"),
		NULL);
	CU_ASSERT(says("none/junit.xml: No such file"));
	end();
}

static void finds_what_belongs_to_no_golden(void)
{
	begin();
	copy_golden("exit", "suite/good.bjt", "", "");
	copy_golden("exit", "suite/good.bjt.new", "", "");
	copy_golden("exit", "suite/later.bjt.new", "", "");
	add("d suite/lost.d");
	add("f suite/-odd.bjt text");
	add("l suite/link.bjt good.bjt");
	add("f suite/file.d x");
	add("f suite/README x");
	add("f suite/.hidden.bjt x");
	add("f suite/.bjt x");
	add("d suite/blobs");
	add("f suite/blobs/" HASH_A " x");
	add("f suite/blobs/abc x");
	setenv("CI", "yes", 1);
	if (ends(EXIT_MISMATCH, "check", "--dir", w.suite, NULL) && nothing_failed()) {
		CU_ASSERT(says("FAIL lost.d/: there is no lost.bjt"));
		CU_ASSERT(says("FAIL -odd.bjt: a golden's name is"));
		CU_ASSERT(says("FAIL link.bjt: not a file"));
		CU_ASSERT(says("FAIL file.d: not a directory"));
		CU_ASSERT(says("FAIL good.bjt.new: waits for `belljar golden review`\n"));
		CU_ASSERT(says("FAIL later.bjt.new: waits for `belljar golden review`: there is"));
		CU_ASSERT(says("FAIL blobs/" HASH_A ": no golden mentions it"));
		CU_ASSERT(says("FAIL blobs/abc: its name is no SHA-256"));
		CU_ASSERT(says("1 passed, 8 failed"));
	}
	CU_ASSERT(is_there("suite/blobs/" HASH_A));
	end();
}

static void keeps_only_blobs_that_are_mentioned(void)
{
	struct golden_strays strays = { 0 };
	struct err err = { "" };
	FILE *out;

	begin();
	add("f suite/b.bjt not a line of data: sha256=" HASH_B);
	add("d suite/blobs");
	add("f suite/blobs/" HASH_A " kept");
	add("f suite/blobs/" HASH_B " dropped");
	add("f suite/blobs/README kept");
	out = fopen(in_tree("suite/a.bjt"), "we");
	CU_ASSERT_FATAL(out != NULL);
	fputs("  < blob sha256=" HASH_A " len=5000\n  < blob sha256=abc\n", out);
	fclose(out);
	if (golden_stray_blobs(w.suite, &strays, &err)) {
		CU_ASSERT(!nothing_failed() && err.text[0]);
	} else {
		CU_ASSERT_EQUAL(strays.files.n, 2);
		CU_ASSERT(strays.files.n != 2 ||
			  (!strcmp(strays.files.list[0], "blobs/" HASH_B) &&
				  !strcmp(strays.files.list[1], "blobs/README")));
	}
	golden_strays_finish(&strays);
	golden_drop_stray_blobs(w.suite);
	CU_ASSERT(is_there("suite/blobs/" HASH_A));
	CU_ASSERT(is_there("suite/blobs/README"));
	CU_ASSERT(!is_there("suite/blobs/" HASH_B) || !nothing_failed());
	end();
}

static void removes_no_blobs_when_a_text_cannot_be_read(void)
{
	struct golden_strays strays = { 0 };
	struct err err = { "" };

	if (!geteuid())
		return unit_skip("root reads everything");
	begin();
	add("f suite/a.bjt text");
	add("d suite/blobs");
	add("f suite/blobs/" HASH_A " x");
	CU_ASSERT_EQUAL(chmod(in_tree("suite/a.bjt"), 0), 0);
	CU_ASSERT(golden_stray_blobs(w.suite, &strays, &err) < 0);
	CU_ASSERT(err.text[0]);
	golden_strays_finish(&strays);
	golden_drop_stray_blobs(w.suite);
	CU_ASSERT(is_there("suite/blobs/" HASH_A));
	end();
}

static void follows_no_link_to_blobs(void)
{
	struct golden_strays strays = { 0 };
	struct err err = { "" };

	begin();
	add("f in/" HASH_A " precious");
	add("l suite/blobs ../in");
	CU_ASSERT(golden_stray_blobs(w.suite, &strays, &err) < 0);
	CU_ASSERT(strstr(err.text, "Not a directory") || !nothing_failed());
	golden_strays_finish(&strays);
	golden_drop_stray_blobs(w.suite);
	CU_ASSERT(is_there("in/" HASH_A));
	CU_ASSERT_EQUAL(unlink(in_tree("suite/blobs")), 0);
	err.text[0] = 0;
	CU_ASSERT(!golden_stray_blobs(w.suite, &strays, &err) || !nothing_failed());
	CU_ASSERT_EQUAL(strays.files.n, 0);
	golden_strays_finish(&strays);
	end();
}

/* ---- files and images ---- */

static void writes_a_file_whole_or_not_at_all(void)
{
	struct err err = { "" };
	char *text = NULL;
	size_t len = 0;
	struct stat st;

	begin();
	if (!golden_write(in_tree("new"), "a\0b", 3, &err)) {
		CU_ASSERT_EQUAL(stat(in_tree("new"), &st), 0);
		CU_ASSERT_EQUAL(st.st_size, 3);
		CU_ASSERT_EQUAL(st.st_mode & 0777, 0666 & ~umask(022));
		if (!golden_read(in_tree("new"), &text, &len, &err)) {
			CU_ASSERT_EQUAL_FATAL(len, 3);
			CU_ASSERT_EQUAL(memcmp(text, "a\0b", 4), 0);
		}
		free(text);
	} else {
		CU_ASSERT(!nothing_failed() && err.text[0]);
		CU_ASSERT(!is_there("new"));
	}
	CU_ASSERT(golden_write(in_tree("none/new"), "", 0, &err) < 0);
	CU_ASSERT(golden_write(in_tree("in"), "", 0, &err) < 0); /* no file takes its place */
	text = NULL;
	CU_ASSERT(golden_read(in_tree("none"), &text, &len, &err) < 0);
	CU_ASSERT(golden_read(in_tree("in"), &text, &len, &err) < 0);
	CU_ASSERT_PTR_NULL(text);
	CU_ASSERT(strstr(err.text, "cannot be read") || !nothing_failed());
	end();
}

static void finds_images_by_a_plain_name(void)
{
	static const struct {
		const char *name, *said; /* NULL: it is found */
	} rows[] = {
		{ "a", NULL },
		{ "none", "none: no such image in " },
		{ ".", "is no name of a guest's image" },
		{ "..", "is no name of a guest's image" },
		{ "../in/a", "is no name of a guest's image" },
		{ "", "is no name of a guest's image" },
	};
	struct strings dirs = { 0 }, none = { 0 };
	struct err err = { "" };
	char *path = NULL, line[100];

	begin();
	CU_ASSERT(!strings_add(&dirs, w.suite, &err) || !nothing_failed());
	CU_ASSERT(!strings_add(&dirs, in_tree("in"), &err) || !nothing_failed());
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int r;

		snprintf(line, sizeof(line), "guest \"%s\"", rows[i].name);
		copy_golden("exit", "suite/x.bjt", "guest \"exit.elf\"", line);
		err.text[0] = 0;
		r = golden_image(&dirs, in_tree("suite/x.bjt"), &path, &err);
		CU_ASSERT(!r == !rows[i].said || !nothing_failed());
		if (r && nothing_failed())
			CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].said));
		if (!r) {
			CU_ASSERT_STRING_EQUAL(path, in_tree("in/a"));
			free(path);
		}
	}
	CU_ASSERT(golden_image(&none, in_tree("suite/x.bjt"), &path, &err) < 0);
	CU_ASSERT(golden_image(&none, in_tree("suite/none.bjt"), &path, &err) < 0);
	strings_finish(&dirs);
	end();
}

static void knows_a_goldens_name(void)
{
	char name[102];

	memset(name, 'a', sizeof(name));
	name[101] = 0;
	CU_ASSERT(!golden_name_ok(name));
	name[100] = 0;
	CU_ASSERT(golden_name_ok(name));
	CU_ASSERT(golden_name_ok("a.b_c+d-9"));
	CU_ASSERT(!golden_name_ok(""));
	CU_ASSERT(!golden_name_ok(".a"));
	CU_ASSERT(!golden_name_ok("-a"));
	CU_ASSERT(!golden_name_ok("a b"));
}

static void gives_mounts_plain_names_of_their_own(void)
{
	static const struct {
		const char *guest, *name;
	} rows[] = { { "/", "root" }, { "/srv/data", "data" }, { "/other/data/", "data-2" },
		{ "/x/.git", "root-2" }, { "/x/.GIT", "root-3" }, { "/x/.", "root-4" },
		{ "/x/..", "root-5" }, { "data", "data-3" } };
	enum { N = sizeof(rows) / sizeof(rows[0]) };
	static char *words[] = { "images/app.elf", "--", "--", "word" };
	struct fileio_mount *mounts = calloc(N, sizeof(*mounts));
	struct trace_header header = { 0 };
	struct err err = { "" };
	struct vm_options o;

	begin();
	vm_options_init(&o);
	CU_ASSERT_FATAL(mounts != NULL);
	o.mounts = mounts;
	for (; o.n_mounts < N; o.n_mounts++) {
		mounts[o.n_mounts].host = strdup(w.tree.path);
		mounts[o.n_mounts].guest = strdup(rows[o.n_mounts].guest);
	}
	if (golden_new_header(&header, &o, words, 4, &err)) {
		CU_ASSERT(!nothing_failed() && err.text[0]);
	} else {
		CU_ASSERT_EQUAL(header.n_mounts, N);
		for (size_t i = 0; i < header.n_mounts && i < N; i++) {
			CU_ASSERT_STRING_EQUAL(header.mounts[i].host, rows[i].name);
			CU_ASSERT_STRING_EQUAL(header.mounts[i].guest, rows[i].guest);
		}
		CU_ASSERT_EQUAL(header.argv.n, 3);
		CU_ASSERT_STRING_EQUAL(header.argv.list[0], "app.elf");
		CU_ASSERT_STRING_EQUAL(header.argv.list[1], "--");
		trace_header_finish(&header);
	}
	vm_options_finish(&o);
	end();
}

static void takes_no_name_that_is_in_use(void)
{
	begin();
	copy_golden("exit", "suite/waits.bjt.new", "", "");
	add("d suite/lost.d");
	add("f suite/lost.d/a kept");
	ends(EXIT_OURS, "new", "--dir", w.suite, "--backend", "tcg", "waits", in_tree("in/a"),
		NULL);
	CU_ASSERT(says("waits: is there already"));
	ends(EXIT_OURS, "new", "--dir", w.suite, "--backend", "tcg", "lost", in_tree("in/a"), NULL);
	CU_ASSERT(says("lost.d: is there, without a golden; remove it first"));
	CU_ASSERT(is_there("suite/lost.d/a"));
	ends(EXIT_OURS, "new", "--dir", w.suite, "--backend", "tcg", "--stdin", in_tree("none"),
		"app", in_tree("in/a"), NULL);
	CU_ASSERT(says("none: No such file"));
	end();
}

/* ---- from a first recording to what is accepted ---- */

static void mount_words(char *in, char *out, size_t size)
{
	snprintf(in, size, "%s:/in", in_tree("in"));
	snprintf(out, size, "%s:/out:rw", in_tree("out"));
}

static void records_a_guest_for_the_first_time(void)
{
	char in[200], out[200];

	if (no_guests())
		return;
	begin();
	mount_words(in, out, sizeof(in));
	if (ends(0, "new", "--dir", w.suite, "--backend", "tcg", "app", "--mount", in, "--mount",
		    out, guest("report.elf"), NULL)) {
		CU_ASSERT(says("app.bjt: "));
		CU_ASSERT(is_there("suite/app.bjt"));
		CU_ASSERT(is_there("suite/app.d/in/a"));
	} else {
		CU_ASSERT(!is_there("suite/app.bjt") || !nothing_failed());
	}
	end();
}

static void accepts_what_a_review_has_seen(void)
{
	if (no_guests())
		return;
	begin();
	setenv("BELLJAR_GOLDEN", "new", 1);
	if (ends(0, "new", "--dir", w.suite, "--backend", "tcg", "app", "--stdin", in_tree("in/a"),
		    guest("console.elf"), NULL)) {
		CU_ASSERT(is_there("suite/app.bjt.new"));
		CU_ASSERT(!is_there("suite/app.bjt"));
		ends(EXIT_MISMATCH, "review", "--dir", w.suite, NULL);
		CU_ASSERT(says("--- app.bjt (not there yet)"));
		ends(0, "accept", "--dir", w.suite, "--backend", "tcg", "--guests", guests(), NULL);
		CU_ASSERT(says("app: accepted"));
		CU_ASSERT(is_there("suite/app.bjt") || !nothing_failed());
		CU_ASSERT(is_there("suite/app.bjt") || is_there("suite/app.bjt.new"));
	}
	end();
}

static void writes_down_what_a_guest_does_now(void)
{
	if (no_guests())
		return;
	begin();
	copy_golden("exit", "suite/exit.bjt", "\nexit ", "\nclose -1 -> -EBADF\nexit ");
	if (ends(EXIT_MISMATCH, "check", "--dir", w.suite, "--backend", "tcg", "--guests", guests(),
		    NULL) &&
		nothing_failed()) {
		CU_ASSERT(says("FAIL exit guest@tcg"));
		CU_ASSERT(says("exit.bjt.new: what the guest does now"));
		CU_ASSERT(is_there("suite/exit.bjt.new"));
	}
	/* Somebody mends the golden itself: then what waits is overtaken. */
	copy_golden("exit", "suite/exit.bjt", "", "");
	copy_golden("exit", "suite/exit.bjt.new", "", "");
	ends(0, "check", "--dir", w.suite, "--backend", "tcg", "--guests", guests(), "-v", NULL);
	CU_ASSERT(says("exit.bjt.new: removed, for the golden passes"));
	CU_ASSERT(is_there("suite/exit.bjt") || !nothing_failed());
	CU_ASSERT(!is_there("suite/exit.bjt.new") || !nothing_failed());
	end();
}

/* ---- what a job does, without one ---- */

static int run_once(void *take)
{
	return golden_take_once(take);
}

static int run_twice(void *take)
{
	return golden_take_twice(take);
}

/* The guest of suite/NAME.bjt, with its files in a directory of the case's own, as a job has it. */
static bool takes(
	int want, int (*run)(void *take), const char *name, const char *from, const char *image)
{
	struct golden_take take = { .dir = w.suite,
		.name = name,
		.guest = guest(image),
		.backend = "tcg",
		.timeout_ms = 20000,
		.from = from };
	const char *tmp = getenv("TMPDIR");
	char *old = tmp ? strdup(tmp) : NULL;
	int code;

	setenv("TMPDIR", in_tree("out"), 1);
	code = listen_to(run, &take);
	if (old)
		setenv("TMPDIR", old, 1);
	else
		unsetenv("TMPDIR");
	free(old);
	if (code != want && nothing_failed())
		printf("     %s: exit code %d, not %d:\n%s", name, code, want, w.said);
	CU_ASSERT(code == want || !nothing_failed());
	CU_ASSERT(code >= 0 && code <= EXIT_CRASHED);
	CU_ASSERT(!code || w.said[0]); /* it says why */
	return code == want;
}

static bool has_line(const char *file, const char *text)
{
	char *bytes = NULL;
	size_t len;
	bool has = !golden_read(in_tree(file), &bytes, &len, NULL) && strstr(bytes, text);

	free(bytes);
	return has || !nothing_failed();
}

static void keeps_masks_and_what_was_typed(void)
{
	if (no_guests())
		return;
	begin();
	copy_golden("badcalls", "suite/app.bjt", "-> -EBADF", "-> ~-EIO");
	if (takes(0, run_once, "app", GOLDEN_TEXT, "badcalls.elf")) {
		CU_ASSERT(has_line("suite/app.bjt.new", "-> ~-EBADF"));
	} else {
		CU_ASSERT(!is_there("suite/app.bjt.new"));
	}
	copy_golden("console", "suite/typed.bjt", "", "");
	if (takes(0, run_once, "typed", GOLDEN_TEXT, "console.elf"))
		CU_ASSERT(has_line("suite/typed.bjt.new", "first byte = 0x41"));
	end();
}

static void takes_only_what_was_reviewed(void)
{
	if (no_guests())
		return;
	begin();
	copy_golden("hello", "suite/app.bjt.new", "", "");
	takes(0, run_twice, "app", GOLDEN_NEW, "hello.elf");
	takes(EXIT_MISMATCH, run_twice, "app", GOLDEN_NEW, "args.elf");
	CU_ASSERT(says("no longer what the guest does"));
	CU_ASSERT(is_there("suite/app.bjt.new") || !nothing_failed());
	end();
}

static void needs_what_it_takes_from(void)
{
	if (no_guests())
		return;
	begin();
	takes(EXIT_OURS, run_once, "app", GOLDEN_TEXT, "exit.elf");
	CU_ASSERT(says("app.bjt: No such file"));
	copy_golden("exit", "suite/app.bjt", "", "");
	takes(EXIT_OURS, run_once, "app", GOLDEN_TEXT, "none.elf");
	CU_ASSERT(says("No such file"));
	add("f suite/app.d x");
	takes(EXIT_OURS, run_once, "app", GOLDEN_TEXT, "exit.elf");
	CU_ASSERT(says("app.d: not a directory"));
	CU_ASSERT_EQUAL(unlink(in_tree("suite/app.d")), 0);
	add("f suite/blobs x");
	takes(EXIT_OURS, run_once, "app", GOLDEN_TEXT, "exit.elf");
	CU_ASSERT(says("blobs: not a directory"));
	CU_ASSERT(!is_there("suite/app.bjt.new"));
	end();
}

static const struct unit_case cases[] = {
	{ "knows_what_it_is_told", knows_what_it_is_told },
	{ "helps", helps },
	{ "needs_a_directory", needs_a_directory },
	{ "takes_the_policy_from_its_environment", takes_the_policy_from_its_environment },
	{ "runs_only_where_it_can", runs_only_where_it_can },
	{ "checks_handlers", checks_handlers },
	{ "finds_what_belongs_to_no_golden", finds_what_belongs_to_no_golden },
	{ "keeps_only_blobs_that_are_mentioned", keeps_only_blobs_that_are_mentioned },
	{ "removes_no_blobs_when_a_text_cannot_be_read",
		removes_no_blobs_when_a_text_cannot_be_read },
	{ "follows_no_link_to_blobs", follows_no_link_to_blobs },
	{ "writes_a_file_whole_or_not_at_all", writes_a_file_whole_or_not_at_all },
	{ "finds_images_by_a_plain_name", finds_images_by_a_plain_name },
	{ "knows_a_goldens_name", knows_a_goldens_name },
	{ "gives_mounts_plain_names_of_their_own", gives_mounts_plain_names_of_their_own },
	{ "takes_no_name_that_is_in_use", takes_no_name_that_is_in_use },
	{ "keeps_masks_and_what_was_typed", keeps_masks_and_what_was_typed },
	{ "takes_only_what_was_reviewed", takes_only_what_was_reviewed },
	{ "needs_what_it_takes_from", needs_what_it_takes_from },
	{ "records_a_guest_for_the_first_time", records_a_guest_for_the_first_time },
	{ "accepts_what_a_review_has_seen", accepts_what_a_review_has_seen },
	{ "writes_down_what_a_guest_does_now", writes_down_what_a_guest_does_now },
};
UNIT_MAIN("golden", cases)
