// SPDX-License-Identifier: ISC
/* Host trees: looked at, stored, made again, compared; and what a hostile recording may not do. */
#include <errno.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "err.h"
#include "tmptree.h"
#include "trace_write.h"
#include "tree.h"
#include "unit.h"

enum { STORED_MAX = 64 };

/* Stands for the writer: what is stored is kept here. */
static struct {
	struct trace_record records[STORED_MAX];
	size_t n;
} stored;

int trace_writer_put(struct trace_writer *w, const struct trace_record *record)
{
	struct trace_record *r = &stored.records[stored.n];
	uint8_t *bytes;

	(void)w;
	if (stored.n == STORED_MAX)
		return -ENOSPC;
	*r = *record;
	bytes = malloc(record->in_len + 1);
	if (!bytes)
		return -ENOMEM;
	if (record->in_len)
		memcpy(bytes, record->in, record->in_len);
	r->in = bytes;
	stored.n++;
	return 0;
}

static void forget_stored(void)
{
	for (size_t i = 0; i < stored.n; i++)
		free((void *)(uintptr_t)stored.records[i].in);
	stored.n = 0;
}

static const char *const sample[] = { "d d", "d d/empty", "f d/a hello", "f b hello", "f c world",
	"f nothing", "l link d/a", "l out /etc", "p pipe", "f a-b 1", "d a", "f a/x 2", NULL };

static struct tmptree host;
static struct err err;
static struct trace_mount mounts[2];
static struct trace_header header;

static void start(void)
{
	CU_ASSERT_FATAL(!tmptree_make(&host, sample));
	mounts[0] = (struct trace_mount){ .host = host.path, .guest = (char[]){ "/x" } };
	mounts[0].guest = (char *)(uintptr_t) "/x";
	header = (struct trace_header){ .mounts = mounts, .n_mounts = 1, .has_tree = true };
	err.text[0] = 0;
}

static void finish(void)
{
	forget_stored();
	tmptree_remove(&host);
}

static void in_host(const char *name, char path[200])
{
	snprintf(path, 200, "%s/%s", host.path, name);
}

static void add_to_host(const char *line)
{
	CU_ASSERT_FATAL(!tmptree_add(&host, line));
}

static void look(struct tree *tree)
{
	CU_ASSERT_FATAL(!tree_look(tree, mounts, header.n_mounts, 0, &err));
}

static const struct tree_entry *find(const struct tree *tree, const char *path)
{
	for (size_t i = 0; i < tree->n; i++)
		if (!strcmp((const char *)tree->entries[i].path, path))
			return &tree->entries[i];
	return NULL;
}

/* Stores host and makes it again; the copy is left for the caller. */
static void copy_host(struct tree_copy *copy)
{
	struct tree tree;

	look(&tree);
	forget_stored();
	CU_ASSERT_FATAL(!tree_store(&tree, mounts, NULL, &err));
	CU_ASSERT_FATAL(!tree_copy_init(copy, &header, &err));
	for (size_t i = 0; i < stored.n; i++)
		CU_ASSERT_FATAL(!tree_copy_put(copy, &stored.records[i], &err));
	CU_ASSERT_FATAL(!tree_copy_seal(copy, &err));
	tree_finish(&tree);
}

static void same_trees(const struct trace_mount *a, const struct trace_mount *b, size_t n)
{
	struct tree before, after, diff;

	CU_ASSERT_FATAL(!tree_look(&before, a, n, 0, &err));
	CU_ASSERT_FATAL(!tree_look(&after, b, n, 0, &err));
	CU_ASSERT_FATAL(!tree_diff(&before, &after, &diff, &err));
	CU_ASSERT_EQUAL(diff.n, 0);
	for (size_t i = 0; i < diff.n; i++)
		printf("     differs: %d %s\n", diff.entries[i].kind, diff.entries[i].path);
	tree_finish(&before);
	tree_finish(&after);
	tree_finish(&diff);
}

static void looks_in_the_order_of_names(void)
{
	static const char *const order[] = { "", "a", "a-b", "a/x", "b", "c", "d", "d/a", "d/empty",
		"link", "nothing", "out", "pipe" };
	struct tree tree;

	start();
	look(&tree);
	CU_ASSERT_EQUAL_FATAL(tree.n, sizeof(order) / sizeof(order[0]));
	for (size_t i = 0; i < tree.n; i++)
		CU_ASSERT_STRING_EQUAL((const char *)tree.entries[i].path, order[i]);
	CU_ASSERT_EQUAL(find(&tree, "link")->kind, TREE_LINK);
	CU_ASSERT_STRING_EQUAL((const char *)find(&tree, "link")->target, "d/a");
	CU_ASSERT_EQUAL(find(&tree, "pipe")->kind, TREE_FIFO);
	CU_ASSERT_EQUAL(find(&tree, "b")->size, 5);
	CU_ASSERT(!memcmp(find(&tree, "b")->hash, find(&tree, "d/a")->hash, TRACE_HASH_LEN));
	tree_finish(&tree);
	finish();
}

static void hashes_as_sha256(void)
{
	static const uint8_t abc[4] = { 0xba, 0x78, 0x16, 0xbf };
	uint8_t hash[TRACE_HASH_LEN];

	tree_hash("abc", 3, hash);
	CU_ASSERT(!memcmp(hash, abc, sizeof(abc)));
}

/* Hundreds of names, two for each file: all are found, and which belong together. */
static void knows_any_number_of_names(void)
{
	enum { FILES = 150 };
	struct tree tree;
	char line[100], one[200], other[200];

	start();
	for (int i = 0; i < FILES; i++) {
		snprintf(line, sizeof(line), "f d/empty/f%03d %d", i, i);
		add_to_host(line);
		snprintf(line, sizeof(line), "d/empty/f%03d", i);
		in_host(line, one);
		snprintf(line, sizeof(line), "a/g%03d", FILES - 1 - i);
		in_host(line, other);
		CU_ASSERT_EQUAL(link(one, other), 0);
	}
	look(&tree);
	for (int i = 0; i < FILES; i++) {
		const struct tree_entry *first, *second;

		snprintf(line, sizeof(line), "a/g%03d", FILES - 1 - i);
		first = find(&tree, line);
		snprintf(line, sizeof(line), "d/empty/f%03d", i);
		second = find(&tree, line);
		CU_ASSERT_FATAL(first && second);
		CU_ASSERT_EQUAL(first->same, 0);
		CU_ASSERT_EQUAL(second->same, (size_t)(first - tree.entries) + 1);
	}
	tree_finish(&tree);
	finish();
}

static void a_limit_bounds_what_is_read(void)
{
	struct tree tree;
	char path[200];

	start();
	CU_ASSERT_EQUAL(tree_look(&tree, mounts, 1, 17, &err), 0); /* 5 + 5 + 5 + 1 + 1 */
	tree_finish(&tree);
	CU_ASSERT_EQUAL(tree_look(&tree, mounts, 1, 16, &err), -EFBIG);
	CU_ASSERT(strstr(err.text, "16 bytes") != NULL);
	in_host("b", path);
	CU_ASSERT(!truncate(path, (off_t)1 << 40)); /* must not be read */
	CU_ASSERT_EQUAL(tree_look(&tree, mounts, 1, 1 << 20, &err), -EFBIG);
	finish();
}

static void stores_each_content_once(void)
{
	struct tree tree;
	size_t blobs = 0;

	start();
	look(&tree);
	CU_ASSERT(!tree_store(&tree, mounts, NULL, &err));
	for (size_t i = 0; i < stored.n; i++)
		blobs += stored.records[i].kind == TRACE_BLOB;
	CU_ASSERT_EQUAL(blobs, 4); /* hello, world, 1, 2; an empty file needs none */
	CU_ASSERT_EQUAL(stored.n, tree.n + blobs);
	tree_finish(&tree);
	finish();
}

static void says_when_a_file_changed_meanwhile(void)
{
	struct tree tree;
	char path[200];

	start();
	look(&tree);
	in_host("c", path);
	CU_ASSERT(!truncate(path, 3));
	CU_ASSERT_EQUAL(tree_store(&tree, mounts, NULL, &err), -ESTALE);
	CU_ASSERT(strstr(err.text, "c: changed") != NULL);
	tree_finish(&tree);
	finish();
}

static void makes_the_same_tree_again(void)
{
	struct tree_copy copy;
	struct stat st;
	char path[200], dir[200];

	start();
	in_host("d", path);
	CU_ASSERT(!chmod(path, 0555));
	in_host("c", path);
	CU_ASSERT(!chmod(path, 0640));
	copy_host(&copy);
	same_trees(mounts, copy.mounts, 1);
	CU_ASSERT(!stat(copy.dir, &st) && (st.st_mode & 07777) == 0700);
	CU_ASSERT_STRING_EQUAL(copy.mounts[0].guest, "/x");
	snprintf(dir, sizeof(dir), "%s", copy.dir);
	tree_copy_finish(&copy);
	CU_ASSERT(stat(dir, &st) && errno == ENOENT);
	finish();
}

static void removes_what_nobody_may_enter(void)
{
	struct tree_copy copy;
	struct stat st;
	char path[200], dir[200];

	start();
	add_to_host("d d/empty/deep");
	add_to_host("f d/empty/deep/f x");
	copy_host(&copy);
	snprintf(dir, sizeof(dir), "%s", copy.dir);
	snprintf(path, sizeof(path), "%s/d/empty/deep", copy.mounts[0].host);
	CU_ASSERT(!chmod(path, 0));
	snprintf(path, sizeof(path), "%s/d/empty", copy.mounts[0].host);
	CU_ASSERT(!chmod(path, 0));
	CU_ASSERT(!chmod(copy.mounts[0].host, 0));
	tree_copy_finish(&copy);
	CU_ASSERT(stat(dir, &st) && errno == ENOENT);
	finish();
}

static void unreadable_files_keep_their_size(void)
{
	struct tree_copy copy;
	struct tree tree;
	char path[200];

	start();
	in_host("c", path);
	CU_ASSERT(!chmod(path, 0));
	look(&tree);
	CU_ASSERT_EQUAL(find(&tree, "c")->size, 5);
	if (geteuid())
		CU_ASSERT(!memcmp(find(&tree, "c")->hash, tree_unknown, TRACE_HASH_LEN));
	tree_finish(&tree);
	copy_host(&copy);
	CU_ASSERT(!tree_look(&tree, copy.mounts, 1, 0, &err));
	CU_ASSERT_EQUAL(find(&tree, "c")->size, 5);
	CU_ASSERT_EQUAL(find(&tree, "c")->mode, 0);
	tree_finish(&tree);
	tree_copy_finish(&copy);
	finish();
}

/* What may be listed but not entered shows its names, and no more, to the guest and to us. */
/* root becomes somebody else, as far as files go. */
static void what_may_not_be_read_is_there_all_the_same(void)
{
	struct tree tree;
	char file[200], dir[200];
	int there;

	start();
	add_to_host("d locked");
	add_to_host("f locked/inside x");
	in_host("c", file);
	in_host("locked", dir);
	CU_ASSERT(!chmod(file, 0) && !chmod(dir, 0));
	setfsuid(geteuid() ? geteuid() : 65534);
	there = open(host.path, O_RDONLY | O_CLOEXEC);
	if (there >= 0) {
		close(there);
		look(&tree);
	}
	setfsuid(geteuid());
	if (there < 0) {
		unit_skip("the directory for temporary files is not everybody's");
	} else {
		CU_ASSERT_EQUAL(find(&tree, "c")->size, 5);
		CU_ASSERT(!memcmp(find(&tree, "c")->hash, tree_unknown, TRACE_HASH_LEN));
		CU_ASSERT_EQUAL(find(&tree, "locked")->kind, TREE_DIR);
		CU_ASSERT_PTR_NULL(find(&tree, "locked/inside"));
		CU_ASSERT(memcmp(find(&tree, "b")->hash, tree_unknown, TRACE_HASH_LEN));
		tree_finish(&tree);
	}
	CU_ASSERT(!chmod(dir, 0755));
	finish();
}

/* Sockets come again as sockets, devices as fifos, that nobody opens. */
static void special_files_only_look_like_it(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct tree_copy copy;
	struct tree tree;
	char path[200];
	bool device;

	start();
	in_host("socket", path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
	CU_ASSERT_FATAL(!bind(socket_fd, (struct sockaddr *)&address, sizeof(address)));
	in_host("null", path);
	device = !mknod(path, S_IFCHR | 0600, makedev(1, 3));
	look(&tree);
	CU_ASSERT_EQUAL(find(&tree, "socket")->kind, TREE_SOCKET);
	CU_ASSERT(!device || find(&tree, "null")->kind == TREE_DEVICE);
	tree_finish(&tree);
	copy_host(&copy);
	CU_ASSERT(!tree_look(&tree, copy.mounts, 1, 0, &err));
	CU_ASSERT_EQUAL(find(&tree, "socket")->kind, TREE_SOCKET);
	CU_ASSERT_EQUAL(find(&tree, "pipe")->kind, TREE_FIFO);
	CU_ASSERT(!device || find(&tree, "null")->kind == TREE_FIFO);
	tree_finish(&tree);
	tree_copy_finish(&copy);
	close(socket_fd);
	if (!device)
		unit_skip("this user makes no devices");
	finish();
}

static void says_what_is_no_tree(void)
{
	static const struct {
		const char *name;
		bool is_file;
		int expect;
		const char *says;
	} rows[] = {
		{ "none", false, -ENOENT, "No such file" },
		{ "b/beneath", false, -ENOTDIR, "Not a directory" },
		{ "pipe", false, -EINVAL, "neither a directory nor a regular file" },
	};
	struct tree tree;
	char path[200];

	start();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		in_host(rows[i].name, path);
		mounts[0].host = path;
		CU_ASSERT_EQUAL(tree_look(&tree, mounts, 1, 0, &err), rows[i].expect);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].says));
	}
	in_host("none", path); /* a file that is still to be made */
	mounts[0].is_file = true;
	CU_ASSERT_EQUAL(tree_look(&tree, mounts, 1, 0, &err), 0);
	CU_ASSERT_EQUAL(tree.n, 0);
	tree_finish(&tree);
	finish();
}

static void names_out_of_reach_are_kept(void)
{
	struct tree_copy copy;
	struct tree tree;
	char path[200];

	start();
	add_to_host("l d/link a");
	in_host("d", path);
	CU_ASSERT(!chmod(path, 0444));
	look(&tree);
	CU_ASSERT_FATAL(find(&tree, "d/a") && find(&tree, "d/empty") && find(&tree, "d/link"));
	CU_ASSERT_EQUAL(find(&tree, "d/a")->kind, TREE_FILE);
	CU_ASSERT_EQUAL(find(&tree, "d/a")->size, geteuid() ? 0 : 5);
	CU_ASSERT_EQUAL(find(&tree, "d/empty")->kind, TREE_DIR);
	CU_ASSERT_EQUAL(find(&tree, "d/link")->kind, TREE_LINK);
	tree_finish(&tree);
	copy_host(&copy);
	same_trees(mounts, copy.mounts, 1);
	tree_copy_finish(&copy);
	CU_ASSERT(!chmod(path, 0755));
	finish();
}

static void mapped_files_are_copied_alone(void)
{
	struct tree_copy copy;
	struct tree tree;
	char b[200], missing[200];

	start();
	in_host("b", b);
	in_host("missing", missing);
	mounts[0] = (struct trace_mount){ .host = b, .guest = mounts[0].guest, .is_file = true };
	mounts[1] = (struct trace_mount){
		.host = missing, .guest = mounts[0].guest, .is_file = true, .writable = true
	};
	header.n_mounts = 2;
	copy_host(&copy);
	CU_ASSERT_EQUAL(stored.n, 2);
	same_trees(mounts, copy.mounts, 2);
	CU_ASSERT(access(copy.mounts[1].host, F_OK) && errno == ENOENT);
	CU_ASSERT(!tree_look(&tree, copy.mounts, 2, 0, &err));
	CU_ASSERT_EQUAL(tree.n, 1);
	tree_finish(&tree);
	tree_copy_finish(&copy);
	finish();
}

static void differences_name_what_changed(void)
{
	struct tree_copy copy;
	struct tree before, after, diff;
	char path[200];

	start();
	copy_host(&copy);
	CU_ASSERT(!tree_look(&before, copy.mounts, 1, 0, &err));
	snprintf(path, sizeof(path), "%s/a/x", copy.mounts[0].host);
	CU_ASSERT(!unlink(path));
	snprintf(path, sizeof(path), "%s/b", copy.mounts[0].host);
	CU_ASSERT(!chmod(path, 0600));
	snprintf(path, sizeof(path), "%s/c", copy.mounts[0].host);
	CU_ASSERT(!truncate(path, 1));
	snprintf(path, sizeof(path), "%s/new", copy.mounts[0].host);
	CU_ASSERT(!mkdir(path, 0700));
	CU_ASSERT(!tree_look(&after, copy.mounts, 1, 0, &err));
	CU_ASSERT(!tree_diff(&before, &after, &diff, &err));
	CU_ASSERT_EQUAL_FATAL(diff.n, 4);
	CU_ASSERT_STRING_EQUAL((const char *)diff.entries[0].path, "a/x");
	CU_ASSERT_EQUAL(diff.entries[0].kind, TREE_NONE);
	CU_ASSERT_STRING_EQUAL((const char *)diff.entries[1].path, "b");
	CU_ASSERT_EQUAL(diff.entries[1].mode, 0600);
	CU_ASSERT_STRING_EQUAL((const char *)diff.entries[2].path, "c");
	CU_ASSERT_EQUAL(diff.entries[2].size, 1);
	CU_ASSERT_STRING_EQUAL((const char *)diff.entries[3].path, "new");
	CU_ASSERT_EQUAL(diff.entries[3].kind, TREE_DIR);
	tree_finish(&before);
	tree_finish(&after);
	tree_finish(&diff);
	tree_copy_finish(&copy);
	finish();
}

/* One record of a hostile recording: kind, mount, path, and the target of a link or contents of a file. */
struct put {
	enum tree_kind kind;
	uint32_t mount;
	const char *path;
	const char *more;
	int path_len;  /* 0: as long as path is */
	int64_t wrong; /* added to the size */
	uint64_t same;
};

static int put_one(struct tree_copy *copy, const struct put *p)
{
	struct trace_record blob = { .kind = TRACE_BLOB }, before = { .kind = TRACE_BEFORE };
	struct tree_entry *e = &before.tree;

	*e = (struct tree_entry){ .kind = p->kind,
		.mount = p->mount,
		.mode = p->kind == TREE_DIR ? 0755 : 0644,
		.path = (const uint8_t *)p->path,
		.path_len = p->path_len ? (size_t)p->path_len : strlen(p->path),
		.same = p->same };
	if (p->kind == TREE_LINK && p->more) {
		e->target = (const uint8_t *)p->more;
		e->target_len = strlen(p->more);
	} else if (p->more) {
		blob.in = (const uint8_t *)p->more;
		blob.in_len = strlen(p->more);
		tree_hash(p->more, blob.in_len, blob.tree.hash);
		memcpy(e->hash, blob.tree.hash, TRACE_HASH_LEN);
		CU_ASSERT(!tree_copy_put(copy, &blob, &err));
		e->size = (uint64_t)((int64_t)blob.in_len + p->wrong);
	} else {
		e->size = (uint64_t)p->wrong;
		tree_hash(p->path, strlen(p->path), e->hash);
	}
	return tree_copy_put(copy, &before, &err);
}

static char canary[200];

static const struct tree_entry *entry_at(const struct tree *tree, uint32_t mount, const char *path)
{
	for (size_t i = 0; i < tree->n; i++)
		if (tree->entries[i].mount == mount &&
			!strcmp((const char *)tree->entries[i].path, path))
			return &tree->entries[i];
	CU_FAIL_FATAL("no such entry");
	return NULL;
}

static uint64_t number_of(const struct tree *tree, uint32_t mount, const char *path)
{
	return (uint64_t)(entry_at(tree, mount, path) - tree->entries) + 1;
}

static ino_t ino_of(const struct tree_copy *copy, uint32_t mount, const char *path)
{
	char full[300];
	struct stat st = { 0 };

	snprintf(full, sizeof(full), "%s%s%s", copy->mounts[mount].host, path[0] ? "/" : "", path);
	CU_ASSERT(!lstat(full, &st));
	return st.st_ino;
}

static void names_of_one_file_stay_that(void)
{
	struct tree_copy copy;
	struct tree before, after, diff;
	char path[300];

	start();
	add_to_host("h d/b2 b");
	add_to_host("h z b");
	add_to_host("h link2 link");
	add_to_host("h pipe2 pipe");
	look(&before);
	CU_ASSERT_EQUAL(find(&before, "b")->same, 0);
	CU_ASSERT_EQUAL(find(&before, "d/a")->same, 0); /* as long and of the same bytes, no more */
	CU_ASSERT_EQUAL(find(&before, "d/b2")->same, number_of(&before, 0, "b"));
	CU_ASSERT_EQUAL(find(&before, "z")->same, number_of(&before, 0, "b"));
	CU_ASSERT_EQUAL(find(&before, "link2")->same, number_of(&before, 0, "link"));
	CU_ASSERT_EQUAL(find(&before, "pipe2")->same, number_of(&before, 0, "pipe"));
	tree_finish(&before);
	copy_host(&copy);
	same_trees(mounts, copy.mounts, 1);
	CU_ASSERT_EQUAL(ino_of(&copy, 0, "b"), ino_of(&copy, 0, "d/b2"));
	CU_ASSERT_EQUAL(ino_of(&copy, 0, "b"), ino_of(&copy, 0, "z"));
	CU_ASSERT_NOT_EQUAL(ino_of(&copy, 0, "b"), ino_of(&copy, 0, "d/a"));
	CU_ASSERT_EQUAL(ino_of(&copy, 0, "link"), ino_of(&copy, 0, "link2"));
	CU_ASSERT_EQUAL(ino_of(&copy, 0, "pipe"), ino_of(&copy, 0, "pipe2"));
	CU_ASSERT(!tree_look(&before, copy.mounts, 1, 0, &err));
	snprintf(path, sizeof(path), "%s/d/b2", copy.mounts[0].host);
	CU_ASSERT(!truncate(path, 1));
	CU_ASSERT(!tree_look(&after, copy.mounts, 1, 0, &err));
	CU_ASSERT(!tree_diff(&before, &after, &diff, &err));
	CU_ASSERT_EQUAL_FATAL(diff.n, 3); /* each of its names */
	CU_ASSERT_STRING_EQUAL((const char *)diff.entries[0].path, "b");
	CU_ASSERT_STRING_EQUAL((const char *)diff.entries[1].path, "d/b2");
	CU_ASSERT_STRING_EQUAL((const char *)diff.entries[2].path, "z");
	tree_finish(&before);
	tree_finish(&after);
	tree_finish(&diff);
	tree_copy_finish(&copy);
	finish();
}

static void a_file_may_have_names_in_several_mounts(void)
{
	struct trace_mount three[3];
	struct tree_copy copy;
	struct tree tree;
	char dirs[3][200];

	start();
	add_to_host("d other");
	add_to_host("h other/b b");
	add_to_host("h d/b b");
	add_to_host("h d/b-2 b");
	for (size_t i = 0; i < 3; i++) {
		in_host((const char *const[]){ "d", "b", "other" }[i], dirs[i]);
		three[i] = (struct trace_mount){ .host = dirs[i], .guest = mounts[0].guest };
	}
	three[1].is_file = true;
	header.mounts = three;
	header.n_mounts = 3;
	forget_stored();
	CU_ASSERT_FATAL(!tree_look(&tree, three, 3, 0, &err));
	CU_ASSERT_EQUAL(entry_at(&tree, 0, "b-2")->same, number_of(&tree, 0, "b"));
	CU_ASSERT_EQUAL(entry_at(&tree, 1, "")->same, number_of(&tree, 0, "b"));
	CU_ASSERT_EQUAL(entry_at(&tree, 2, "b")->same, number_of(&tree, 0, "b"));
	CU_ASSERT_FATAL(!tree_store(&tree, three, NULL, &err));
	CU_ASSERT_FATAL(!tree_copy_init(&copy, &header, &err));
	for (size_t i = 0; i < stored.n; i++)
		CU_ASSERT(!tree_copy_put(&copy, &stored.records[i], &err));
	CU_ASSERT_FATAL(!tree_copy_seal(&copy, &err));
	CU_ASSERT_EQUAL(ino_of(&copy, 0, "b"), ino_of(&copy, 0, "b-2"));
	CU_ASSERT_EQUAL(ino_of(&copy, 0, "b"), ino_of(&copy, 1, ""));
	CU_ASSERT_EQUAL(ino_of(&copy, 0, "b"), ino_of(&copy, 2, "b"));
	tree_finish(&tree);
	tree_copy_finish(&copy);
	finish();
}

/* git would not keep them so; on the machine where they are written down they must not differ. */
static void names_in_a_golden_are_files_of_their_own(void)
{
	struct tree_copy copy;
	struct trace_mount mount = { .host = (char[]){ "d" }, .guest = (char[]){ "/" } };

	start();
	add_to_host("h d/b d/a");
	header.mounts = &mount;
	CU_ASSERT_FATAL(!tree_copy_from_dir(&copy, host.path, &header, &err));
	CU_ASSERT_NOT_EQUAL(ino_of(&copy, 0, "a"), ino_of(&copy, 0, "b"));
	tree_copy_finish(&copy);
	finish();
}

static void a_look_can_be_interrupted(void)
{
	static const volatile sig_atomic_t yes = 1, no;
	int fds;
	struct tree tree;

	start();
	fds = tmptree_open_fds();
	CU_ASSERT_EQUAL(tree_look_until(&tree, mounts, 1, 0, &yes, &err), -EINTR);
	CU_ASSERT(strstr(err.text, "interrupted") != NULL);
	CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	in_host("b", canary);
	mounts[0].host = canary;
	mounts[0].is_file = true; /* amid its bytes */
	CU_ASSERT_EQUAL(tree_look_until(&tree, mounts, 1, 0, &yes, &err), -EINTR);
	CU_ASSERT_EQUAL(tree_look_until(&tree, mounts, 1, 0, &no, &err), 0);
	tree_finish(&tree);
	finish();
}

static void make_canary(char *guest_path)
{
	in_host("canary", canary);
	add_to_host("d canary");
	add_to_host("f canary/file untouched");
	snprintf(guest_path, 200, "%s", canary);
}

static bool canary_lives(void)
{
	char text[32] = "", path[300];
	struct tree tree;
	struct trace_mount m = { .host = canary };
	FILE *f;
	bool alive;

	CU_ASSERT(!tree_look(&tree, &m, 1, 0, &err));
	alive = tree.n == 2;
	tree_finish(&tree);
	snprintf(path, sizeof(path), "%s/file", canary);
	f = fopen(path, "r");
	alive = alive && f && fgets(text, sizeof(text), f) && !strcmp(text, "untouched");
	if (f)
		fclose(f);
	return alive;
}

#define ODD_AT(kind, mount, path)                                                                  \
	{                                                                                          \
		kind, mount, path, NULL, 0, 0, 0                                                   \
	}
#define DIR_AT(mount, path)  ODD_AT(TREE_DIR, mount, path)
#define FIFO_AT(mount, path) ODD_AT(TREE_FIFO, mount, path)
#define LOST_AT(mount, path, size)                                                                 \
	{                                                                                          \
		TREE_FILE, mount, path, NULL, 0, size, 0                                           \
	} /* no contents stored */
#define FILE_AT(mount, path, text)                                                                 \
	{                                                                                          \
		TREE_FILE, mount, path, text, 0, 0, 0                                              \
	}
#define LINK_AT(mount, path, target)                                                               \
	{                                                                                          \
		TREE_LINK, mount, path, target, 0, 0, 0                                            \
	}

#define SAME_AT(kind, mount, path, more, same)                                                     \
	{                                                                                          \
		kind, mount, path, more, 0, 0, same                                                \
	}

/* Each begins with two mounts, a directory and a file; the last record must be refused. */
static void refuses_hostile_recordings(void)
{
	static char outside[200], long_path[5000];
	static const struct {
		const char *why; /* a part of the message */
		struct put puts[4];
	} table[] = {
		{ "no such mount", { DIR_AT(2, "x") } },
		{ "no such mount", { DIR_AT(UINT32_MAX, "") } },
		{ "not come before", { SAME_AT(TREE_FILE, 1, "", "boo", 1) } },
		{ "not come before", { DIR_AT(0, ""), SAME_AT(TREE_FILE, 0, "f", "boo", 2) } },
		{ "not come before",
			{ DIR_AT(0, ""), SAME_AT(TREE_FILE, 0, "f", "boo", UINT64_MAX) } },
		{ "is not the same", { DIR_AT(0, ""), SAME_AT(TREE_DIR, 0, "d", NULL, 1) } },
		{ "is not the same", { DIR_AT(0, ""), SAME_AT(TREE_FILE, 0, "f", "boo", 1) } },
		{ "is not the same", { DIR_AT(0, ""), FILE_AT(0, "f", "boo"),
					     SAME_AT(TREE_FILE, 0, "g", "foo", 2) } },
		{ "is not the same", { DIR_AT(0, ""), LINK_AT(0, "l", outside),
					     SAME_AT(TREE_FILE, 0, "g", "foo", 2) } },
		{ "twice", { DIR_AT(0, ""), FILE_AT(0, "f", "boo"),
				   SAME_AT(TREE_FILE, 0, "f", "boo", 2) } },
		{ ". or ..", { DIR_AT(0, ""), FILE_AT(0, "f", "boo"),
				     SAME_AT(TREE_FILE, 0, "../f", "boo", 2) } },
		{ "no directory", { DIR_AT(0, ""), LINK_AT(0, "l", outside), FILE_AT(0, "f", "boo"),
					  SAME_AT(TREE_FILE, 0, "l/f", "boo", 3) } },
		{ ". or ..", { DIR_AT(0, ""), FILE_AT(0, "../x", "boo") } },
		{ ". or ..", { DIR_AT(0, ""), FILE_AT(0, "a/../../x", "boo") } },
		{ ". or ..", { DIR_AT(0, ""), DIR_AT(0, "..") } },
		{ ". or ..", { DIR_AT(0, ""), DIR_AT(0, ".") } },
		{ ". or ..", { DIR_AT(0, ""), DIR_AT(0, "a/./b") } },
		{ "absolute", { DIR_AT(0, ""), FILE_AT(0, "/tmp/x", "boo") } },
		{ "absolute", { DIR_AT(0, ""), DIR_AT(0, "/") } },
		{ "empty component", { DIR_AT(0, ""), DIR_AT(0, "a//b") } },
		{ "empty component", { DIR_AT(0, ""), DIR_AT(0, "a/") } },
		{ "NUL", { DIR_AT(0, ""), { TREE_DIR, 0, "a\0b", NULL, 3, 0, 0 } } },
		{ "too long", { DIR_AT(0, ""), DIR_AT(0, long_path) } },
		{ "cannot be made", { DIR_AT(0, ""), DIR_AT(0, long_path + 4000) } },
		{ "no directory",
			{ DIR_AT(0, ""), LINK_AT(0, "l", outside), FILE_AT(0, "l/file", "boo") } },
		{ "no directory", { DIR_AT(0, ""), LINK_AT(0, "l", outside), DIR_AT(0, "l/new") } },
		{ "no directory",
			{ DIR_AT(0, ""), LINK_AT(0, "l", "../.."), LINK_AT(0, "l/new", "x") } },
		{ "twice", { DIR_AT(0, ""), LINK_AT(0, "l", outside), FILE_AT(0, "l", "boo") } },
		{ "twice", { DIR_AT(0, ""), LINK_AT(0, "l", outside), DIR_AT(0, "l") } },
		{ "twice", { DIR_AT(0, ""), DIR_AT(0, "") } },
		{ "twice", { FILE_AT(1, "", "a"), FILE_AT(1, "", "a") } },
		{ "twice", { DIR_AT(0, ""), FILE_AT(0, "f", "a"), FIFO_AT(0, "f") } },
		{ "no directory", { DIR_AT(0, ""), FILE_AT(0, "f", "a"), FILE_AT(0, "f/g", "b") } },
		{ "no directory", { DIR_AT(0, ""), FILE_AT(0, "d/f", "a") } },
		{ "no directory", { FILE_AT(0, "f", "a") } },
		{ "where the mount is one", { LINK_AT(0, "", outside) } },
		{ "where the mount is one", { FILE_AT(0, "", "a") } },
		{ "where the mount is one", { DIR_AT(1, "") } },
		{ "where the mount is one", { LINK_AT(1, "", outside) } },
		{ "where the mount is one", { FILE_AT(1, "x", "a") } },
		{ "of no kind", { ODD_AT(TREE_NONE, 0, "") } },
		{ "of no kind", { ODD_AT(TREE_KIND_COUNT, 0, "") } },
		{ "of no kind", { ODD_AT((enum tree_kind) - 1, 0, "") } },
		{ "empty or too long", { DIR_AT(0, ""), LINK_AT(0, "l", "") } },
		{ "empty or too long", { DIR_AT(0, ""), LINK_AT(0, "l", long_path) } },
		{ "not in the recording", { DIR_AT(0, ""), LOST_AT(0, "f", 3) } },
		{ "empty, but", { DIR_AT(0, ""), LOST_AT(0, "f", 0) } },
		{ "another one", { DIR_AT(0, ""), { TREE_FILE, 0, "f", "abc", 0, 1, 0 } } },
		{ "another one", { DIR_AT(0, ""), { TREE_FILE, 0, "f", "abc", 0, -1, 0 } } },
		{ "more bytes",
			{ DIR_AT(0, ""), { TREE_FILE, 0, "f", "abc", 0, INT64_MAX - 9, 0 } } },
	};

	start();
	make_canary(outside);
	memset(long_path, 'x', sizeof(long_path) - 1);
	mounts[1] = (struct trace_mount){
		.host = mounts[0].host, .guest = mounts[0].guest, .is_file = true
	};
	header.n_mounts = 2;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct put *p = table[i].puts;
		int fds = tmptree_open_fds();
		struct tree_copy copy;
		int r = 0;

		CU_ASSERT_FATAL(!tree_copy_init(&copy, &header, &err));
		while (!r && p < table[i].puts + 4 && p->path)
			r = put_one(&copy, p++);
		if (!r || !strstr(err.text, table[i].why) || strchr(err.text, '\n'))
			printf("     row %zu: %d %s\n", i, r, err.text);
		CU_ASSERT(r < 0);
		CU_ASSERT(strstr(err.text, table[i].why) != NULL);
		CU_ASSERT(p == table[i].puts + 4 || !p->path);
		tree_copy_finish(&copy);
		CU_ASSERT(canary_lives());
		CU_ASSERT_EQUAL(tmptree_open_fds(), fds);
	}
	finish();
}

static void refuses_bytes_of_another_hash(void)
{
	struct trace_record blob = {
		.kind = TRACE_BLOB, .in = (const uint8_t *)"abc", .in_len = 3
	};
	struct tree_copy copy;

	start();
	CU_ASSERT_FATAL(!tree_copy_init(&copy, &header, &err));
	tree_hash("abd", 3, blob.tree.hash);
	CU_ASSERT_EQUAL(tree_copy_put(&copy, &blob, &err), -EBADMSG);
	CU_ASSERT(strstr(err.text, "another hash") != NULL);
	tree_copy_finish(&copy);
	finish();
}

/* Links may point anywhere: they are contents. Modes set at the end must not follow them. */
static void links_out_are_kept_but_never_followed(void)
{
	static char outside[200];
	const struct put puts[] = { DIR_AT(0, ""), LINK_AT(0, "l", outside), DIR_AT(0, "m") };
	struct stat was, is;
	struct tree_copy copy;

	start();
	make_canary(outside);
	CU_ASSERT(!stat(canary, &was));
	CU_ASSERT_FATAL(!tree_copy_init(&copy, &header, &err));
	for (size_t i = 0; i < sizeof(puts) / sizeof(puts[0]); i++)
		CU_ASSERT(!put_one(&copy, &puts[i]));
	CU_ASSERT(!tree_copy_seal(&copy, &err));
	tree_copy_finish(&copy);
	CU_ASSERT(!stat(canary, &is) && is.st_mode == was.st_mode);
	CU_ASSERT(canary_lives());
	finish();
}

static void copies_a_golden_directory(void)
{
	static struct trace_mount golden[3];
	struct tree_copy copy;
	struct tree tree;
	char path[200];

	start();
	in_host("d/a", path);
	CU_ASSERT(!chmod(path, 0700));
	in_host("b", path);
	CU_ASSERT(!chmod(path, 0600));
	golden[0] =
		(struct trace_mount){ .host = (char *)(uintptr_t) "d", .guest = mounts[0].guest };
	golden[1] = (struct trace_mount){
		.host = (char *)(uintptr_t) "b", .guest = mounts[0].guest, .is_file = true
	};
	golden[2] = (struct trace_mount){ .host = (char *)(uintptr_t) "none/such",
		.guest = mounts[0].guest };
	header.mounts = golden;
	header.n_mounts = 3;
	CU_ASSERT_FATAL(!tree_copy_from_dir(&copy, host.path, &header, &err));
	CU_ASSERT_FATAL(!tree_look(&tree, copy.mounts, 3, 0, &err));
	CU_ASSERT_EQUAL_FATAL(tree.n, 5);
	CU_ASSERT_EQUAL(tree.entries[0].mode, 0755);
	CU_ASSERT_STRING_EQUAL((const char *)tree.entries[1].path, "a");
	CU_ASSERT_EQUAL(tree.entries[1].mode, 0755);
	CU_ASSERT_EQUAL(tree.entries[2].mode, 0755);
	CU_ASSERT_EQUAL(tree.entries[3].mount, 1);
	CU_ASSERT_EQUAL(tree.entries[3].mode, 0644);
	CU_ASSERT_EQUAL(tree.entries[4].mount, 2);
	CU_ASSERT_EQUAL(tree.entries[4].kind, TREE_DIR);
	tree_finish(&tree);
	tree_copy_finish(&copy);
	finish();
}

static void a_golden_stays_in_its_directory(void)
{
	static const struct {
		const char *host, *why;
	} table[] = {
		{ "../x", "leaves" },
		{ "..", "leaves" },
		{ "/etc", "leaves" },
		{ "d/../../x", "leaves" },
		{ "out", "a link" },
		{ "out/passwd", "a link" },
		{ "b", "where the mount is one" },
	};
	struct tree_copy copy;

	start();
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		mounts[0].host = (char *)(uintptr_t)table[i].host;
		CU_ASSERT(tree_copy_from_dir(&copy, host.path, &header, &err) < 0);
		if (!strstr(err.text, table[i].why))
			printf("     %s: %s\n", table[i].host, err.text);
		CU_ASSERT(strstr(err.text, table[i].why) != NULL);
	}
	finish();
}

static void covers_are_found_in_the_text_of_paths(void)
{
	static const struct {
		const char *host;
		bool is_file;
		size_t cover;
		const char *rest;
	} table[] = {
		{ "data/out/", false, 1, "out" },
		{ "./data", false, 1, NULL },
		{ "data//", false, 1, "" },
		{ "data-x", false, 3, NULL },
		{ "data/./out/file", true, 1, "out/file" },
		{ "../data/out", false, 5, NULL },
		{ "/srv", false, 6, NULL },
		{ "/srv/a/b", false, 6, "a/b" },
		{ "/srvx", false, 8, NULL },
		{ "file", true, 9, NULL },
		{ "file", true, 9, "" },
		{ "file/x", true, 11, NULL },
	};
	enum { N = sizeof(table) / sizeof(table[0]) };
	struct trace_mount all[N];
	struct tree_cover *covers;

	for (size_t i = 0; i < N; i++)
		all[i] = (struct trace_mount){ .host = (char *)(uintptr_t)table[i].host,
			.is_file = table[i].is_file };
	CU_ASSERT_FATAL(!tree_find_covers(&covers, all, N, &err));
	for (size_t i = 0; i < N; i++) {
		CU_ASSERT_EQUAL(covers[i].mount, table[i].cover);
		CU_ASSERT_EQUAL(!covers[i].rest, !table[i].rest);
		if (covers[i].rest && table[i].rest)
			CU_ASSERT_STRING_EQUAL(covers[i].rest, table[i].rest);
	}
	tree_drop_covers(covers, N);
	all[0].host = (char *)(uintptr_t) "/";
	all[1].host = (char *)(uintptr_t) ".";
	CU_ASSERT_FATAL(!tree_find_covers(&covers, all, N, &err));
	CU_ASSERT_EQUAL(covers[6].mount, 0);
	CU_ASSERT_EQUAL(covers[3].mount, 1);
	CU_ASSERT_EQUAL(covers[1].mount, 1);
	tree_drop_covers(covers, N);
}

static void in_copy(const struct tree_copy *copy, size_t mount, const char *name, char path[300])
{
	snprintf(path, 300, "%s%s%s", copy->mounts[mount].host, name[0] ? "/" : "", name);
}

/* What one mount shows of another is the same file in a copy, too. */
static void mounts_within_mounts_stay_so(void)
{
	static struct trace_mount many[5];
	static const char *const hosts[] = { "d", "d/empty", "d/a", "d/new", "dlink" };
	char names[5][200], path[300], other[300];
	struct tree_copy copy;
	struct tree tree;
	struct stat a, b;

	start();
	add_to_host("l dlink d");
	for (size_t i = 0; i < 5; i++) {
		in_host(hosts[i], names[i]);
		many[i] = (struct trace_mount){ .host = names[i],
			.guest = mounts[0].guest,
			.writable = true,
			.is_file = i == 2 || i == 3 };
	}
	header.mounts = many;
	header.n_mounts = 5;
	CU_ASSERT_FATAL(!tree_look(&tree, many, 5, 0, &err));
	CU_ASSERT_EQUAL(tree.n, 6); /* d, d/a, d/empty, and once more by another name */
	CU_ASSERT_FATAL(!tree_copy_init(&copy, &header, &err));
	forget_stored();
	CU_ASSERT_FATAL(!tree_store(&tree, many, NULL, &err));
	for (size_t i = 0; i < stored.n; i++)
		CU_ASSERT(!tree_copy_put(&copy, &stored.records[i], &err));
	tree_finish(&tree);
	CU_ASSERT_FATAL(!tree_copy_seal(&copy, &err));
	for (size_t i = 1; i < 4; i++) {
		in_copy(&copy, 0, hosts[i] + 2, path);
		in_copy(&copy, i, "", other);
		CU_ASSERT_STRING_EQUAL(path, other);
	}
	in_copy(&copy, 0, "a", path);
	in_copy(&copy, 4, "a", other);
	CU_ASSERT(!stat(path, &a) && !stat(other, &b) && a.st_ino == b.st_ino);
	CU_ASSERT(!tree_look(&tree, copy.mounts, 5, 0, &err));
	CU_ASSERT_EQUAL(tree.n, 6);
	tree_finish(&tree);
	tree_copy_finish(&copy);
	finish();
}

static void goldens_within_goldens_stay_so(void)
{
	static struct trace_mount many[3];
	struct tree_copy copy;
	char path[300], other[300];

	start();
	many[0] = (struct trace_mount){ .host = (char *)(uintptr_t) "d/none",
		.guest = mounts[0].guest };
	many[1] = (struct trace_mount){ .host = (char *)(uintptr_t) "d", .guest = mounts[0].guest };
	many[2] = (struct trace_mount){
		.host = (char *)(uintptr_t) "d/a", .guest = mounts[0].guest, .is_file = true
	};
	header.mounts = many;
	header.n_mounts = 3;
	CU_ASSERT_FATAL(!tree_copy_from_dir(&copy, host.path, &header, &err));
	in_copy(&copy, 1, "none", path);
	in_copy(&copy, 0, "", other);
	CU_ASSERT_STRING_EQUAL(path, other);
	CU_ASSERT(!access(path, F_OK));
	in_copy(&copy, 1, "a", path);
	in_copy(&copy, 2, "", other);
	CU_ASSERT_STRING_EQUAL(path, other);
	CU_ASSERT(!access(path, F_OK));
	tree_copy_finish(&copy);
	finish();
}

/* A recording's link in the place of a mount is no way out. */
static void a_cover_is_not_left_through_a_link(void)
{
	static char outside[200];
	const struct put puts[] = { DIR_AT(0, ""), LINK_AT(0, "l", outside) };
	struct trace_mount two[2] = { { .host = (char *)(uintptr_t) "x" },
		{ .host = (char *)(uintptr_t) "x/l", .writable = true } };
	static const char *const hosts[] = { "x/l", "x/l/file", "x/l/new" };
	struct tree_copy copy;
	char path[300];
	struct stat st;

	start();
	make_canary(outside);
	two[0].guest = two[1].guest = mounts[0].guest;
	header.mounts = two;
	header.n_mounts = 2;
	for (size_t i = 0; i < 6; i++) {
		two[1].host = (char *)(uintptr_t)hosts[i % 3];
		two[1].is_file = i >= 3;
		CU_ASSERT_FATAL(!tree_copy_init(&copy, &header, &err));
		CU_ASSERT(!put_one(&copy, &puts[0]) && !put_one(&copy, &puts[1]));
		CU_ASSERT(!tree_copy_seal(&copy, &err));
		snprintf(path, sizeof(path), "%s/1%s", copy.dir, i >= 3 ? "/file" : "");
		CU_ASSERT_STRING_EQUAL(copy.mounts[1].host, path); /* its own */
		CU_ASSERT(i >= 3 || (!lstat(path, &st) && S_ISDIR(st.st_mode)));
		tree_copy_finish(&copy);
		CU_ASSERT(canary_lives());
	}
	finish();
}

static void finishing_takes_nothing(void)
{
	struct tree_copy copy = { 0 };
	struct tree tree = { 0 };

	tree_copy_finish(&copy);
	tree_finish(&tree);
}

static const struct unit_case cases[] = {
	{ "looks_in_the_order_of_names", looks_in_the_order_of_names },
	{ "hashes_as_sha256", hashes_as_sha256 },
	{ "knows_any_number_of_names", knows_any_number_of_names },
	{ "a_limit_bounds_what_is_read", a_limit_bounds_what_is_read },
	{ "stores_each_content_once", stores_each_content_once },
	{ "says_when_a_file_changed_meanwhile", says_when_a_file_changed_meanwhile },
	{ "makes_the_same_tree_again", makes_the_same_tree_again },
	{ "removes_what_nobody_may_enter", removes_what_nobody_may_enter },
	{ "unreadable_files_keep_their_size", unreadable_files_keep_their_size },
	{ "what_may_not_be_read_is_there_all_the_same",
		what_may_not_be_read_is_there_all_the_same },
	{ "special_files_only_look_like_it", special_files_only_look_like_it },
	{ "says_what_is_no_tree", says_what_is_no_tree },
	{ "names_out_of_reach_are_kept", names_out_of_reach_are_kept },
	{ "mapped_files_are_copied_alone", mapped_files_are_copied_alone },
	{ "differences_name_what_changed", differences_name_what_changed },
	{ "names_of_one_file_stay_that", names_of_one_file_stay_that },
	{ "a_file_may_have_names_in_several_mounts", a_file_may_have_names_in_several_mounts },
	{ "names_in_a_golden_are_files_of_their_own", names_in_a_golden_are_files_of_their_own },
	{ "a_look_can_be_interrupted", a_look_can_be_interrupted },
	{ "refuses_hostile_recordings", refuses_hostile_recordings },
	{ "refuses_bytes_of_another_hash", refuses_bytes_of_another_hash },
	{ "links_out_are_kept_but_never_followed", links_out_are_kept_but_never_followed },
	{ "copies_a_golden_directory", copies_a_golden_directory },
	{ "a_golden_stays_in_its_directory", a_golden_stays_in_its_directory },
	{ "covers_are_found_in_the_text_of_paths", covers_are_found_in_the_text_of_paths },
	{ "mounts_within_mounts_stay_so", mounts_within_mounts_stay_so },
	{ "goldens_within_goldens_stay_so", goldens_within_goldens_stay_so },
	{ "a_cover_is_not_left_through_a_link", a_cover_is_not_left_through_a_link },
	{ "finishing_takes_nothing", finishing_takes_nothing },
};

UNIT_MAIN("tree", cases)
