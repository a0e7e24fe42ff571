// SPDX-License-Identifier: ISC
/*
 * Listings over a host whose records are made to order: broken ones, more than fit, names that come
 * and go, and numbers that stat does not know.
 */
#include "dirlist.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fileid.h"
#include "filemap.h"
#include "guestfd.h"
#include "hostfs.h"
#include "unit.h"

enum { DIR_FD = 50, DIR_INO = 100, NAMES_MAX = 3100, TEXT_MAX = 2000 };

struct record { /* struct linux_dirent64 */
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
} __attribute__((packed));

enum { NAME_AT = offsetof(struct record, name) };

/* ---- the host ---- */

struct entry {
	char name[257];
	uint8_t type;
	ino_t ino;
};

struct known { /* to stat */
	const char *name;
	dev_t dev;
	ino_t ino;
	mode_t mode;
};

static struct {
	struct entry entries[NAMES_MAX];
	int n, at, per_call;
	const void *raw; /* instead of entries, when not NULL */
	size_t raw_len;
	const struct known *known;
	size_t n_known;
	dev_t dev;
	int passes, fstats, stats;
	int fail_pass, fail_fstat; /* which one; 0: none */
	bool changes;              /* before the second pass */
} says;

static void add(const char *name, uint8_t type, ino_t ino)
{
	struct entry *e = &says.entries[says.n++];

	snprintf(e->name, sizeof(e->name), "%s", name);
	e->type = type;
	e->ino = ino;
}

static void drop(const char *name)
{
	for (int i = 0; i < says.n; i++)
		if (!strcmp(says.entries[i].name, name))
			says.entries[i] = says.entries[--says.n];
}

static size_t put_record(char *buf, const struct entry *e)
{
	size_t len = strlen(e->name), need = (NAME_AT + len + 1 + 7) & ~(size_t)7;
	struct record head = { .ino = e->ino, .reclen = (uint16_t)need, .type = e->type };

	memset(buf, 0, need);
	memcpy(buf, &head, sizeof(head));
	memcpy(buf + NAME_AT, e->name, len);
	return need;
}

static void begin_pass(void)
{
	says.at = 0;
	if (++says.passes != 2 || !says.changes)
		return;
	drop("n00002");
	drop("n02000");
	add("n00001a", DT_REG, 1);
	add("n02000a", DT_REG, 2);
}

static ssize_t told_getdents(int fd, void *buf, size_t len, bool rewind)
{
	size_t done = 0;
	int n = 0;

	CU_ASSERT_EQUAL(fd, DIR_FD);
	if (rewind)
		begin_pass();
	if (says.passes == says.fail_pass)
		return -ENXIO;
	if (says.raw) {
		memcpy(buf, says.raw, says.raw_len);
		return rewind ? (ssize_t)says.raw_len : 0;
	}
	while (says.at < says.n && len - done >= 280 && n++ < says.per_call)
		done += put_record((char *)buf + done, &says.entries[says.at++]);
	return (ssize_t)done;
}

static int told_fstat(int fd, struct stat *st)
{
	CU_ASSERT_EQUAL(fd, DIR_FD);
	if (++says.fstats == says.fail_fstat)
		return -EACCES;
	*st = (struct stat){ .st_dev = says.dev, .st_ino = DIR_INO, .st_mode = S_IFDIR | 0755 };
	return 0;
}

static int told_stat(int dir, const char *name, unsigned int how, struct stat *st)
{
	CU_ASSERT(dir == DIR_FD && how == HOSTFS_XDEV);
	says.stats++;
	for (size_t i = 0; i < says.n_known; i++) {
		const struct known *k = &says.known[i];

		if (strcmp(k->name, name))
			continue;
		*st = (struct stat){ .st_dev = k->dev, .st_ino = k->ino, .st_mode = k->mode };
		return 0;
	}
	return -ENOENT;
}

static const struct hostfs host = {
	.name = "told", .getdents = told_getdents, .fstat = told_fstat, .stat = told_stat
};

/* ---- the listing ---- */

static struct dirlist list;
static struct filemap map;
static struct guestfd dir;

static void begin(void)
{
	memset(&says, 0, sizeof(says));
	says.per_call = 100;
	says.dev = 7;
	memset(&list, 0, sizeof(list));
	memset(&map, 0, sizeof(map));
	map.host = &host;
	dir = (struct guestfd){ .kind = GUESTFD_DIR, .host = DIR_FD, .node = FILEMAP_NONE };
}

static struct got {
	uint64_t ino;
	int64_t off;
	uint8_t type;
	char name[256];
} got[NAMES_MAX + 2];
static int n_got;

static size_t take_record(const char *at, size_t left)
{
	struct got *g = &got[n_got++];
	struct record head;
	size_t len;

	CU_ASSERT_FATAL(left >= NAME_AT + 1 && n_got <= NAMES_MAX + 2);
	memcpy(&head, at, sizeof(head));
	CU_ASSERT_FATAL(head.reclen <= left && head.reclen > NAME_AT);
	len = strnlen(at + NAME_AT, head.reclen - (size_t)NAME_AT);
	CU_ASSERT_FATAL(len < sizeof(g->name));
	CU_ASSERT_EQUAL_FATAL(head.reclen, (NAME_AT + len + 1 + 7) / 8 * 8);
	*g = (struct got){ head.ino, head.off, head.type, "" };
	memcpy(g->name, at + NAME_AT, len);
	for (size_t i = NAME_AT + len; i < head.reclen; i++)
		CU_ASSERT_EQUAL(at[i], 0);
	return head.reclen;
}

static char buf[65536 + 1];

/* One read: its records are in got, too. */
static ssize_t read_some(struct guestfd *of, size_t len)
{
	ssize_t n;

	memset(buf, 0x55, sizeof(buf));
	n = dirlist_read(&list, &map, of, buf, len);
	CU_ASSERT_FATAL(n <= (ssize_t)len);
	for (ssize_t at = 0; at < n;)
		at += (ssize_t)take_record(buf + at, (size_t)(n - at));
	CU_ASSERT_EQUAL(buf[n > 0 ? n : 0], 0x55);
	return n;
}

static int read_all(size_t len)
{
	ssize_t n;

	n_got = 0;
	do
		n = read_some(&dir, len);
	while (n > 0);
	return (int)n;
}

/* NAME:INO:TYPE:OFF of all. */
static const char *all_got(void)
{
	static char text[TEXT_MAX];
	size_t at = 0;

	text[0] = 0;
	for (int i = 0; i < n_got && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s:%ld:%d:%ld ", got[i].name,
			(long)got[i].ino, got[i].type, (long)got[i].off);
	return text;
}

static void lists_by_name_what_the_host_says(void)
{
	for (int per_call = 1; per_call <= 7; per_call++) {
		begin();
		says.per_call = per_call;
		add("b", DT_REG, 2);
		add("..", DT_DIR, 90);
		add("ab", DT_UNKNOWN, 3);
		add(".", DT_DIR, 91);
		add("a", DT_LNK, 1);
		add("\xff", DT_FIFO, 4);
		CU_ASSERT_EQUAL(read_all(65536), 0);
		CU_ASSERT_STRING_EQUAL(
			all_got(), ".:100:4:1 ..:90:4:2 a:1:10:3 ab:3:0:4 b:2:8:5 \xff:4:1:6 ");
		CU_ASSERT(says.passes == 1 && !says.stats);
	}
}

/* Lengths that a record claims to have, and what there is of it. */
static void refuses_records_that_are_none(void)
{
	static const struct {
		uint16_t reclen;
		size_t len;
		int expect;
	} rows[] = { { 24, 24, 0 }, { 20, 20, 0 }, { 19, 19, 0 }, { 18, 24, -EIO }, { 0, 24, -EIO },
		{ 25, 24, -EIO }, { 65535, 24, -EIO }, { 24, 23, -EIO }, { 19, 18, -EIO },
		{ 24, 10, -EIO }, { 24, 1, -EIO } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char raw[48] = { 0 };
		struct record head = { .ino = 5, .reclen = 24, .type = DT_REG };

		begin();
		for (int at = 0; at < 48; at += 24) {
			memcpy(raw + at, &head, sizeof(head));
			raw[at + NAME_AT] = at ? 'b' : 'a';
			head.reclen = rows[i].reclen;
		}
		says.raw = raw;
		says.raw_len = 24 + rows[i].len;
		CU_ASSERT_EQUAL(read_all(4096), rows[i].expect);
		CU_ASSERT_EQUAL(n_got, rows[i].expect ? 0 : rows[i].reclen > NAME_AT ? 4 : 3);
	}
}

/* Bytes where a name should be, without a NUL behind them, and the name that is listed. */
static void lists_only_names(void)
{
	static char longest[] = "0123456789abcde", too_long[257], fits[256];
	static const struct {
		const char *bytes;
		size_t len;
		const char *name; /* NULL: none is */
	} rows[] = { { "", 1, NULL }, { "\0hidden", 7, NULL }, { "/", 1, NULL }, { "a/b", 3, NULL },
		{ "ab/", 3, NULL }, { "/etc", 4, NULL }, { ".", 1, NULL }, { "..", 2, NULL },
		{ "...", 3, "..." }, { ".a", 2, ".a" }, { "a\0b", 3, "a" },
		{ longest, 15, longest }, { fits, 255, fits }, { too_long, 256, NULL } };

	memset(too_long, 'x', 256);
	memset(fits, 'x', 255);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char raw[300];
		struct record head = {
			.ino = 5, .reclen = (uint16_t)(NAME_AT + rows[i].len), .type = DT_REG
		};

		begin();
		memcpy(raw, &head, sizeof(head));
		memcpy(raw + NAME_AT, rows[i].bytes, rows[i].len);
		raw[NAME_AT + rows[i].len] = 'z';
		says.raw = raw;
		says.raw_len = head.reclen;
		CU_ASSERT_EQUAL(read_all(4096), 0);
		CU_ASSERT_EQUAL_FATAL(n_got, rows[i].name ? 3 : 2);
		if (rows[i].name)
			CU_ASSERT_STRING_EQUAL(got[2].name, rows[i].name);
	}
}

static void shuffle(void)
{
	struct entry kept;
	uint32_t x = 1;

	for (int i = says.n - 1; i > 0; i--) {
		int k = (int)((x = x * 1664525 + 1013904223) >> 8) % (i + 1);

		kept = says.entries[i];
		says.entries[i] = says.entries[k];
		says.entries[k] = kept;
	}
}

/* Every third name begins with the one before it. */
static void numbered(char *name, int i)
{
	sprintf(name, "n%05d%s", i - (i % 3 == 1), i % 3 == 1 ? "x" : "");
}

static void lists_any_number_in_any_order(void)
{
	static const int counts[] = { 0, 1, 2, 3, 100, 1022, 1023, 1024, 1025, 1026, 2047, 2048,
		2049, 3072, 3073 };
	char name[32];

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		for (int order = 0; order < 3; order++) {
			int n = counts[i], wrong = 0;

			begin();
			for (int k = 0; k < n; k++) {
				numbered(name, order == 1 ? n - 1 - k : k);
				add(name, DT_REG, 5);
			}
			if (order == 2)
				shuffle();
			CU_ASSERT_EQUAL(read_all(order == 2 ? 4096 : 65536), 0);
			CU_ASSERT_EQUAL_FATAL(n_got, n + 2);
			for (int k = 0; k < n; k++) {
				numbered(name, k);
				wrong += strcmp(got[k + 2].name, name) != 0;
				wrong += got[k + 2].off != k + 3;
			}
			CU_ASSERT_EQUAL(wrong, 0);
			CU_ASSERT_EQUAL(says.passes,
				n > DIRLIST_ROOM ? (n + DIRLIST_ROOM - 1) / DIRLIST_ROOM : 1);
			CU_ASSERT_EQUAL(says.fstats, 1);
		}
}

static bool was_got(const char *name)
{
	for (int i = 0; i < n_got; i++)
		if (!strcmp(got[i].name, name))
			return true;
	return false;
}

static void names_come_and_go_around_those_that_stay(void)
{
	char name[32];

	begin();
	says.changes = true;
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "n%05d", i);
		add(name, DT_REG, 5);
	}
	shuffle();
	CU_ASSERT_EQUAL(read_all(1000), 0);
	CU_ASSERT_EQUAL(n_got, 2 + 3000);
	CU_ASSERT(was_got("n00002") && !was_got("n00001a"));
	CU_ASSERT(!was_got("n02000") && was_got("n02000a"));
	for (int i = 3; i < n_got; i++)
		CU_ASSERT(strcmp(got[i - 1].name, got[i].name) < 0);
}

static void fills_the_buffer_and_not_more(void)
{
	static const struct {
		size_t len;
		ssize_t dot, dotdot, four, five; /* what a read at each of them gives */
	} rows[] = { { 0, -EINVAL, -EINVAL, -EINVAL, -EINVAL },
		{ 23, -EINVAL, -EINVAL, -EINVAL, -EINVAL }, { 24, 24, 24, 24, -EINVAL },
		{ 31, 24, 24, 24, -EINVAL }, { 32, 24, 24, 24, 32 }, { 47, 24, 24, 24, 32 },
		{ 48, 48, 48, 24, 32 }, { 56, 48, 48, 56, 32 }, { 103, 72, 80, 56, 32 },
		{ 104, 104, 80, 56, 32 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ssize_t expect[] = { rows[i].dot, rows[i].dotdot, rows[i].four, rows[i].five, 0 };

		for (int at = 0; at < 5; at++) {
			begin();
			add("four", DT_REG, 4);
			add("with5", DT_REG, 5);
			dirlist_seek(&list, &dir, at);
			n_got = 0;
			CU_ASSERT_EQUAL(read_some(&dir, rows[i].len), expect[at]);
		}
	}
}

static void every_position_can_be_sought(void)
{
	static struct got before[NAMES_MAX + 2];
	char name[32];
	int n;

	begin();
	for (int i = 0; i < 1030; i++) {
		numbered(name, i);
		add(name, DT_REG, (ino_t)i);
	}
	shuffle();
	CU_ASSERT_EQUAL(read_all(65536), 0);
	memcpy(before, got, sizeof(got));
	n = n_got;
	for (int i = 0; i <= n + 1; i += i == 5 ? 1015 : 1) {
		dirlist_seek(&list, &dir, i);
		n_got = 0;
		CU_ASSERT_EQUAL(read_some(&dir, 48) > 0, i < n);
		CU_ASSERT_EQUAL(n_got > 0, i < n);
		if (n_got)
			CU_ASSERT(!memcmp(&before[i], &got[0], sizeof(got[0])));
	}
	CU_ASSERT_EQUAL(read_some(&dir, 48), 0);
	dirlist_seek(&list, &dir, 0);
	CU_ASSERT_EQUAL(read_all(65536), 0);
	CU_ASSERT_EQUAL(n_got, n);
}

static void an_error_comes_behind_what_was_listed(void)
{
	char name[32];

	begin();
	for (int i = 0; i < 1500; i++) {
		numbered(name, i);
		add(name, DT_REG, 5);
	}
	says.fail_pass = 2;
	n_got = 0;
	CU_ASSERT(read_some(&dir, 65536) > 0);
	CU_ASSERT_EQUAL(n_got, 2 + DIRLIST_ROOM);
	CU_ASSERT_EQUAL(says.passes, 2);
	says.fail_pass = 3;
	CU_ASSERT_EQUAL(read_some(&dir, 65536), -ENXIO);
	says.fail_pass = 0;
	CU_ASSERT(read_some(&dir, 65536) > 0);
	CU_ASSERT_EQUAL(n_got, 2 + 1500);
	CU_ASSERT_EQUAL(read_some(&dir, 65536), 0);
	CU_ASSERT_EQUAL(says.fstats, 1);
	begin();
	says.fail_fstat = 1;
	CU_ASSERT_EQUAL(read_some(&dir, 65536), -EACCES);
	CU_ASSERT_EQUAL(says.passes, 0);
	CU_ASSERT_EQUAL(read_some(&dir, 65536), 48);
}

static void descriptors_share_the_memory(void)
{
	struct guestfd other;
	char name[32];

	begin();
	for (int i = 0; i < 9; i++) {
		numbered(name, i);
		add(name, DT_REG, 5);
	}
	other = dir;
	for (int i = 0; i < 11; i++) {
		n_got = 0;
		CU_ASSERT_EQUAL(read_some(&dir, 32), i < 2 ? 24 : 32);
		CU_ASSERT_EQUAL(read_some(&other, 32), i < 2 ? 24 : 32);
		CU_ASSERT_EQUAL(n_got, 2);
		CU_ASSERT_STRING_EQUAL(got[0].name, got[1].name);
		CU_ASSERT_EQUAL(got[0].off, i + 1);
	}
	CU_ASSERT_EQUAL(says.passes, 22);
	CU_ASSERT(!read_some(&other, 32) && !read_some(&dir, 32));
	CU_ASSERT_EQUAL(says.passes, 23);
	dirlist_forget(&list, &other);
	dirlist_seek(&list, &other, 3);
	CU_ASSERT_EQUAL(read_some(&dir, 32), 0);
	CU_ASSERT_EQUAL(says.passes, 23);
	dirlist_forget(&list, &dir);
	add("z", DT_REG, 5);
	CU_ASSERT_EQUAL(read_some(&dir, 32), 24);
	CU_ASSERT_EQUAL(says.passes, 24);
}

/* ---- mappings ---- */

static struct filemap_node nodes[10];

static int map_node(const char *guest, enum filemap_kind kind, ino_t ino, char *host_name)
{
	int i = filemap_tree_add_path(&map.tree, guest);

	CU_ASSERT_FATAL(i >= 0 && i < 10);
	nodes[i] = (struct filemap_node){
		.kind = kind, .fd = DIR_FD, .dev = 8, .ino = ino, .host_name = host_name
	};
	return i;
}

static void begin_mapped(void)
{
	static char here[] = "here", nowhere[] = "nowhere";
	static const struct known known[] = { { "here", 9, 700, S_IFREG },
		{ "x", 9, 701, S_IFREG } };

	begin();
	CU_ASSERT_FATAL(!filemap_tree_init(&map.tree));
	map.nodes = nodes;
	map_node("/", FILEMAP_DIR, 1000, NULL);
	dir.node = map_node("/m", FILEMAP_DIR, 1001, NULL);
	map_node("/m/dir", FILEMAP_DIR, 1002, NULL);
	map_node("/m/pinned", FILEMAP_PINNED, 1003, NULL);
	map_node("/m/named", FILEMAP_NAME, 1004, here);
	map_node("/m/none", FILEMAP_NAME, 1005, nowhere);
	says.known = known;
	says.n_known = 2;
	add("dir", DT_REG, 1);
	add("none", DT_REG, 2);
	add("..", DT_DIR, 3);
	add("x", DT_FIFO, 4);
	add("m", DT_FIFO, 6);
}

static void mappings_take_the_place_of_what_they_cover(void)
{
	begin_mapped();
	CU_ASSERT_EQUAL(read_all(4096), 0);
	CU_ASSERT_STRING_EQUAL(all_got(), ".:100:4:1 ..:1000:4:2 dir:1002:4:3 m:6:1:4 "
					  "named:700:8:5 pinned:1003:8:6 x:4:1:7 ");
	filemap_tree_finish(&map.tree);
}

/* What the records' numbers stand for: the dev and ino of every name. */
static void numbers_are_those_of_the_mappings(void)
{
	static const struct {
		const char *name;
		dev_t dev;
		ino_t ino;
		uint8_t type;
	} rows[] = { { ".", 7, 100, DT_DIR }, { "..", 8, 1000, DT_DIR }, { "dir", 8, 1002, DT_DIR },
		{ "m", 7, 6, DT_FIFO }, { "named", 9, 700, DT_REG }, { "pinned", 8, 1003, DT_REG },
		{ "x", 9, 701, DT_REG } };
	struct fileid *ids;

	begin_mapped();
	CU_ASSERT_FATAL(!fileid_create(&ids));
	list.ids = ids;
	CU_ASSERT_EQUAL(read_all(4096), 0);
	CU_ASSERT_EQUAL_FATAL(n_got, 7);
	for (int i = 0; i < 7; i++) {
		CU_ASSERT_STRING_EQUAL(got[i].name, rows[i].name);
		CU_ASSERT_EQUAL(got[i].type, rows[i].type);
		CU_ASSERT_EQUAL(got[i].ino, (uint64_t)i + 1);
		CU_ASSERT_EQUAL(fileid_number(ids, rows[i].dev, rows[i].ino), got[i].ino);
	}
	fileid_destroy(ids);
	filemap_tree_finish(&map.tree);
}

/* Where listings say what stat says, only the type is asked for when it is not told. */
static void stat_is_asked_where_the_listing_is_not_to_be_trusted(void)
{
	static const struct {
		const char *name;
		uint8_t type;
		ino_t trusted, asked; /* whose number is told: 11 by the listing, 21 by stat */
		uint8_t trusted_type, asked_type;
	} rows[] = { { "known", DT_FIFO, 11, 21, DT_FIFO, DT_REG },
		{ "known", DT_UNKNOWN, 21, 21, DT_REG, DT_REG },
		{ "gone", DT_FIFO, 11, 11, DT_FIFO, DT_FIFO },
		{ "gone", DT_UNKNOWN, 11, 11, DT_REG, DT_REG } };
	int memfd = memfd_create("dirlist", MFD_CLOEXEC); /* lies on a tmpfs */
	struct known known = { "known", 0, 21, S_IFREG | 0644 };
	struct stat st;

	CU_ASSERT_FATAL(memfd >= 0 && !fstat(memfd, &st));
	known.dev = st.st_dev;
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		bool trusted = i % 2;
		struct fileid *ids;

		begin();
		CU_ASSERT_FATAL(!fileid_create(&ids));
		if (trusted)
			fileid_learn(ids, memfd);
		says.dev = st.st_dev;
		says.known = &known;
		says.n_known = 1;
		list.ids = ids;
		add("..", DT_DIR, 90);
		add(rows[i / 2].name, rows[i / 2].type, 11);
		CU_ASSERT_EQUAL(read_all(4096), 0);
		CU_ASSERT_EQUAL_FATAL(n_got, 3);
		CU_ASSERT_EQUAL(
			got[2].type, trusted ? rows[i / 2].trusted_type : rows[i / 2].asked_type);
		CU_ASSERT_EQUAL(got[2].ino, 3);
		CU_ASSERT_EQUAL(fileid_number(ids, st.st_dev,
					trusted ? rows[i / 2].trusted : rows[i / 2].asked),
			3);
		CU_ASSERT_EQUAL(fileid_number(ids, st.st_dev, 90), 2);
		CU_ASSERT_EQUAL(
			says.stats, (rows[i / 2].type == DT_UNKNOWN || !trusted) + !trusted);
		fileid_destroy(ids);
	}
	close(memfd);
}

/* Else a number would depend on the size of a buffer. */
static void numbers_are_given_when_there_is_room(void)
{
	struct fileid *ids;

	begin();
	CU_ASSERT_FATAL(!fileid_create(&ids));
	list.ids = ids;
	add("a", DT_REG, 11);
	add("b", DT_REG, 12);
	dirlist_seek(&list, &dir, 3);
	n_got = 0;
	CU_ASSERT_EQUAL(read_some(&dir, 23), -EINVAL);
	CU_ASSERT_EQUAL(fileid_number(ids, says.dev, 999), 1);
	CU_ASSERT_EQUAL(read_some(&dir, 24), 24);
	CU_ASSERT_STRING_EQUAL(got[0].name, "b");
	CU_ASSERT_EQUAL(got[0].ino, 2);
	CU_ASSERT_EQUAL(fileid_number(ids, says.dev, 12), 2);
	fileid_destroy(ids);
}

static const struct unit_case cases[] = {
	{ "lists_by_name_what_the_host_says", lists_by_name_what_the_host_says },
	{ "refuses_records_that_are_none", refuses_records_that_are_none },
	{ "lists_only_names", lists_only_names },
	{ "lists_any_number_in_any_order", lists_any_number_in_any_order },
	{ "names_come_and_go_around_those_that_stay", names_come_and_go_around_those_that_stay },
	{ "fills_the_buffer_and_not_more", fills_the_buffer_and_not_more },
	{ "every_position_can_be_sought", every_position_can_be_sought },
	{ "an_error_comes_behind_what_was_listed", an_error_comes_behind_what_was_listed },
	{ "descriptors_share_the_memory", descriptors_share_the_memory },
	{ "mappings_take_the_place_of_what_they_cover",
		mappings_take_the_place_of_what_they_cover },
	{ "numbers_are_those_of_the_mappings", numbers_are_those_of_the_mappings },
	{ "stat_is_asked_where_the_listing_is_not_to_be_trusted",
		stat_is_asked_where_the_listing_is_not_to_be_trusted },
	{ "numbers_are_given_when_there_is_room", numbers_are_given_when_there_is_room },
};

UNIT_MAIN("dirlist", cases)
