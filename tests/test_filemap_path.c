// SPDX-License-Identifier: ISC
/* The tree of mapped names: found again among many, spread over the buckets, listed once each. And UTF-8. */
#include "filemap_path.h"

#include <errno.h>
#include <malloc.h>

#include "unit.h"

enum { NAMES = 4000, CHAIN_MAX = 12 };

/* Families of names that differ in one place only. */
static const char *const families[] = { "%d", "%d.txt", "directory-%d", "x%d/", "%08x" };

static struct filemap_name name_of(char *text, size_t size, const char *family, int i)
{
	size_t len = (size_t)snprintf(text, size, family, i);

	return (struct filemap_name){ text, len };
}

static int longest_chain(const struct filemap_tree *tree)
{
	int longest = 0;

	for (int b = 0; b < tree->n_buckets; b++) {
		int n = 0;

		for (int i = tree->buckets[b]; i; i = tree->nodes[i].next_in_bucket)
			n++;
		longest = n > longest ? n : longest;
	}
	return longest;
}

static void names_are_spread_over_the_buckets(void)
{
	for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
		struct filemap_tree tree;
		char text[40];

		CU_ASSERT_FATAL(filemap_tree_init(&tree) == 0);
		for (int i = 0; i < NAMES; i++)
			CU_ASSERT_FATAL(filemap_tree_add(&tree, 0,
						name_of(text, sizeof(text), families[f], i)) > 0);
		CU_ASSERT_EQUAL(tree.n_nodes, NAMES + 1);
		CU_ASSERT(tree.n_buckets > tree.n_nodes);
		CU_ASSERT_EQUAL(tree.n_buckets & (tree.n_buckets - 1), 0);
		CU_ASSERT(longest_chain(&tree) <= CHAIN_MAX);
		filemap_tree_finish(&tree);
		CU_ASSERT(!tree.nodes && !tree.buckets && !tree.n_nodes);
	}
}

/* The same name, or the same first letters aside, in many directories. */
static void parents_are_spread_over_the_buckets(void)
{
	const struct filemap_name same = { "same", 4 };
	struct filemap_tree tree;
	char text[40];

	CU_ASSERT_FATAL(filemap_tree_init(&tree) == 0);
	for (int i = 0; i < NAMES; i++) {
		int parent =
			filemap_tree_add(&tree, 0, name_of(text, sizeof(text), families[0], i));

		CU_ASSERT_FATAL(parent > 0);
		CU_ASSERT_FATAL(filemap_tree_add(&tree, parent, same) > parent);
	}
	CU_ASSERT(longest_chain(&tree) <= CHAIN_MAX);
	filemap_tree_finish(&tree);
	CU_ASSERT_FATAL(filemap_tree_init(&tree) == 0);
	for (int i = 0; i < 200; i++)
		CU_ASSERT_FATAL(filemap_tree_add(&tree, 0,
					(struct filemap_name){
						(char[]){ (char)(i + 48), 'b', 'c' }, 3 }) > 0);
	CU_ASSERT(longest_chain(&tree) <= CHAIN_MAX);
	filemap_tree_finish(&tree);
}

static void a_name_is_added_once(void)
{
	static const char *const paths[] = { "/a", "/ab", "/a/b", "/a/b/c", "/b", "/b/a", "/a.b" };
	struct filemap_tree tree;
	int nodes[7], children = 0;

	CU_ASSERT_FATAL(filemap_tree_init(&tree) == 0);
	for (int i = 0; i < 7; i++) {
		nodes[i] = filemap_tree_add_path(&tree, paths[i]);
		CU_ASSERT_EQUAL(nodes[i], i + 1);
	}
	for (int i = 0; i < 7; i++)
		CU_ASSERT_EQUAL(filemap_tree_add_path(&tree, paths[i]), nodes[i]);
	CU_ASSERT_EQUAL(tree.n_nodes, 8);
	for (int i = tree.nodes[FILEMAP_ROOT].first_child; i; i = tree.nodes[i].next_sibling) {
		CU_ASSERT_EQUAL(tree.nodes[i].parent, FILEMAP_ROOT);
		CU_ASSERT_EQUAL(tree.nodes[i].len, (int)strlen(tree.nodes[i].name));
		children++;
	}
	CU_ASSERT_EQUAL(children, 4);
	CU_ASSERT_EQUAL(
		filemap_tree_child(&tree, nodes[0], (struct filemap_name){ "b", 1 }), nodes[2]);
	CU_ASSERT_EQUAL(
		filemap_tree_child(&tree, nodes[1], (struct filemap_name){ "b", 1 }), FILEMAP_NONE);
	CU_ASSERT_EQUAL(filemap_tree_child(&tree, 0, (struct filemap_name){ "abc", 2 }), nodes[1]);
	filemap_tree_finish(&tree);
	filemap_tree_finish(&tree);
}

static size_t bytes_in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static int make_and_finish(void)
{
	struct filemap_tree tree;
	char text[40];
	int r = filemap_tree_init(&tree);

	for (int i = 0; i < NAMES && r >= 0; i++)
		r = filemap_tree_add(&tree, 0, name_of(text, sizeof(text), families[0], i));
	filemap_tree_finish(&tree);
	return r;
}

/* The first time also fills malloc's caches. */
static void what_is_finished_is_given_back(void)
{
	size_t before;

	CU_ASSERT_EQUAL(make_and_finish(), NAMES);
	before = bytes_in_use();
	CU_ASSERT_EQUAL(make_and_finish(), NAMES);
	CU_ASSERT_EQUAL(bytes_in_use(), before);
}

static void names_have_at_most_255_bytes(void)
{
	struct filemap_tree tree;
	char path[300] = "/";

	CU_ASSERT_FATAL(filemap_tree_init(&tree) == 0);
	memset(path + 1, 'n', 255);
	CU_ASSERT_EQUAL(filemap_tree_add_path(&tree, path), 1);
	CU_ASSERT_EQUAL(filemap_tree_child(&tree, 0, (struct filemap_name){ path + 1, 255 }), 1);
	path[256] = 'n';
	CU_ASSERT_EQUAL(filemap_tree_add_path(&tree, path), -ENAMETOOLONG);
	CU_ASSERT_EQUAL(
		filemap_tree_child(&tree, 0, (struct filemap_name){ path + 1, 256 }), FILEMAP_NONE);
	filemap_tree_finish(&tree);
}

static void utf8_at_its_borders(void)
{
	static const struct {
		const char *path;
		bool is;
	} rows[] = {
		{ "", true },
		{ "/a\x01\x7f", true },
		{ "\x80", false },
		{ "\xbf\x80", false },
		{ "\xc0\x80", false },
		{ "\xc1\xbf", false },
		{ "\xc2\x80", true },
		{ "\xdf\xbf", true },
		{ "\xdf", false },
		{ "\xdf/", false },
		{ "\xdf\xc0", false },
		{ "\xe0\x9f\xbf", false },
		{ "\xe0\xa0\x80", true },
		{ "\xe1\x80", false },
		{ "\xe1\x80/", false },
		{ "\xed\x9f\xbf", true },
		{ "\xed\xa0\x80", false },
		{ "\xed\xbf\xbf", false },
		{ "\xee\x80\x80", true },
		{ "\xef\xbf\xbf", true },
		{ "\xf0\x8f\xbf\xbf", false },
		{ "\xf0\x90\x80\x80", true },
		{ "\xf0\x90\x80", false },
		{ "\xf4\x8f\xbf\xbf", true },
		{ "\xf4\x90\x80\x80", false },
		{ "\xf7\xbf\xbf\xbf", false },
		{ "\xf8\x88\x80\x80", false },
		{ "\xf8\x80\x80\x80\x80", false },
		{ "\xff", false },
		{ "/ok/\xc3\xa4/\xe2\x82\xac/\xf0\x9f\x90\xa7", true },
		{ "/ok/\xc3\xa4/\xe2\x82", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CU_ASSERT_EQUAL(filemap_path_is_utf8(rows[i].path), rows[i].is);
		if (filemap_path_is_utf8(rows[i].path) != rows[i].is)
			printf("     row %zu\n", i);
	}
}

static void lies_behind_whole_names_only(void)
{
	static const struct {
		const char *path, *dir, *rest;
	} rows[] = { { "/a/b", "/a", "/b" }, { "/a", "/a", "" }, { "/ab", "/a", NULL },
		{ "/a/b", "/", "/a/b" }, { "/", "/", "/" }, { "/a", "/a/b", NULL },
		{ "/a", "", NULL }, { "/b/a", "/a", NULL } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *rest = filemap_path_behind(rows[i].path, rows[i].dir);

		CU_ASSERT_EQUAL(!rest, !rows[i].rest);
		CU_ASSERT(!rest || !rows[i].rest || !strcmp(rest, rows[i].rest));
	}
}

static const struct unit_case cases[] = {
	{ "names_are_spread_over_the_buckets", names_are_spread_over_the_buckets },
	{ "parents_are_spread_over_the_buckets", parents_are_spread_over_the_buckets },
	{ "a_name_is_added_once", a_name_is_added_once },
	{ "what_is_finished_is_given_back", what_is_finished_is_given_back },
	{ "names_have_at_most_255_bytes", names_have_at_most_255_bytes },
	{ "utf8_at_its_borders", utf8_at_its_borders },
	{ "lies_behind_whole_names_only", lies_behind_whole_names_only },
};

UNIT_MAIN("filemap_path", cases)
