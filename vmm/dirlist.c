// SPDX-License-Identifier: ISC
/*
 * Sorted directories in fixed memory.
 *
 * How this works: a descriptor remembers the name it listed last. A pass reads the host's directory
 * from its start and keeps the DIRLIST_ROOM smallest names behind that one in a heap, largest on
 * top; the heap is then sorted and handed out. A name that is there throughout is listed exactly
 * once, whatever comes and goes around it.
 */
#include "dirlist.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "fileid.h"
#include "filemap.h"
#include "guestfd.h"
#include "hostfs.h"

struct raw_dirent { /* struct linux_dirent64 */
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
} __attribute__((packed));

enum { RAW_NAME = offsetof(struct raw_dirent, name) };

static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int r = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return r ? r : (a_len > b_len) - (a_len < b_len);
}

static bool is_less(const struct dirlist *list, int a, int b)
{
	const struct dirlist_entry *x = &list->entries[list->order[a]];
	const struct dirlist_entry *y = &list->entries[list->order[b]];

	return compare(x->name, x->len, y->name, y->len) < 0;
}

static void swap(struct dirlist *list, int a, int b)
{
	uint16_t kept = list->order[a];

	list->order[a] = list->order[b];
	list->order[b] = kept;
}

static void sift_down(struct dirlist *list, int i, int n)
{
	for (int child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n && is_less(list, child, child + 1))
			child++;
		if (!is_less(list, i, child))
			return;
		swap(list, i, child);
	}
}

static void sift_up(struct dirlist *list, int i)
{
	for (; i && is_less(list, (i - 1) / 2, i); i = (i - 1) / 2)
		swap(list, i, (i - 1) / 2);
}

static void sort(struct dirlist *list)
{
	for (int n = list->n; n > 1; n--) {
		swap(list, 0, n - 1);
		sift_down(list, 0, n - 1);
	}
}

static void offer(struct dirlist *list, const struct guestfd *dir, struct dirlist_object what,
	struct filemap_name name)
{
	const struct dirlist_entry *largest = &list->entries[list->order[0]];
	struct dirlist_entry *entry;
	int i = list->n;

	if (compare(name.text, name.len, dir->last, dir->last_len) <= 0)
		return;
	if (i == DIRLIST_ROOM) {
		list->more = true;
		if (compare(name.text, name.len, largest->name, largest->len) >= 0)
			return;
		i = list->order[0];
	} else {
		list->order[list->n++] = (uint16_t)i;
	}
	entry = &list->entries[i];
	entry->what = what;
	entry->len = (uint8_t)name.len;
	memcpy(entry->name, name.text, name.len);
	if (list->more)
		sift_down(list, 0, list->n);
	else
		sift_up(list, list->n - 1);
}

/* The host's file system is not trusted to write names that are names. */
static bool is_name(struct filemap_name name)
{
	return name.len && name.len <= FILEMAP_NAME_MAX && !filemap_name_is_dot(name) &&
	       !filemap_name_is_dotdot(name) && !memchr(name.text, '/', name.len);
}

static int offer_raw(
	struct dirlist *list, const struct filemap *map, const struct guestfd *dir, size_t len)
{
	for (size_t at = 0; at < len;) {
		const struct raw_dirent *raw = (const struct raw_dirent *)(list->raw + at);
		struct filemap_name name = { .text = raw->name };

		if (len - at < RAW_NAME || raw->reclen < RAW_NAME || raw->reclen > len - at)
			return -EIO;
		name.len = strnlen(raw->name, raw->reclen - (size_t)RAW_NAME);
		at += raw->reclen;
		if (filemap_name_is_dotdot(name))
			list->parent_ino = raw->ino;
		if (is_name(name) &&
			(dir->node == FILEMAP_NONE ||
				filemap_tree_child(&map->tree, dir->node, name) == FILEMAP_NONE))
			offer(list, dir,
				(struct dirlist_object){ list->dev, raw->ino, raw->type, true },
				name);
	}
	return 0;
}

static void offer_mappings(
	struct dirlist *list, const struct filemap *map, const struct guestfd *dir)
{
	const struct filemap_branch *nodes = map->tree.nodes;

	if (dir->node == FILEMAP_NONE)
		return;
	for (int i = nodes[dir->node].first_child; i; i = nodes[i].next_sibling) {
		const struct filemap_node *node = &map->nodes[i];
		struct filemap_name name = { .text = nodes[i].name, .len = (size_t)nodes[i].len };
		struct stat st = { .st_dev = node->dev, .st_ino = node->ino };
		uint8_t type = node->kind == FILEMAP_DIR ? DT_DIR : DT_REG;

		if (node->kind == FILEMAP_NAME &&
			map->host->stat(node->fd, node->host_name, HOSTFS_XDEV, &st))
			continue; /* not there now */
		offer(list, dir, (struct dirlist_object){ st.st_dev, st.st_ino, type, false },
			name);
	}
}

static int choose(struct dirlist *list, const struct filemap *map, const struct guestfd *dir)
{
	bool wanted = list->ids || !dir->offset; /* else nobody will ask who we are */
	struct stat st = { 0 };
	ssize_t n;
	int r = 0;

	list->owner = NULL;
	list->n = list->next = 0;
	list->more = false;
	list->parent_ino = 0;
	list->host = map->host;
	if (wanted)
		r = map->host->fstat(dir->host, &st);
	if (r)
		return r;
	list->dev = st.st_dev;
	list->ino = st.st_ino;
	offer_mappings(list, map, dir);
	for (bool rewind = true; !r; rewind = false) {
		n = map->host->getdents(dir->host, list->raw, sizeof(list->raw), rewind);
		if (!n)
			break;
		r = n < 0 ? (int)n : offer_raw(list, map, dir, (size_t)n);
	}
	if (r)
		return r;
	sort(list);
	list->owner = dir;
	return 0;
}

/* `.` or `..`. Above a mapping's root lies the guest's tree: what the host has there is not told. */
static void dot_entry(const struct dirlist *list, const struct filemap *map,
	const struct guestfd *dir, struct dirlist_entry *entry)
{
	const struct filemap_node *parent;

	*entry = (struct dirlist_entry){ .what = { list->dev, list->ino, DT_DIR, false },
		.len = (uint8_t)(1 + dir->offset),
		.name = ".." };
	if (!dir->offset)
		return;
	if (dir->node == FILEMAP_NONE) {
		entry->what.ino = list->parent_ino;
		entry->what.hearsay = true;
		return;
	}
	parent = &map->nodes[map->tree.nodes[dir->node].parent];
	entry->what.dev = parent->dev;
	entry->what.ino = parent->ino;
}

/* The entry at the descriptor's position. 1, 0 at the end, or -errno. */
static int peek(struct dirlist *list, const struct filemap *map, const struct guestfd *dir,
	struct dirlist_entry *dot, const struct dirlist_entry **entry)
{
	int r;

	if (list->owner != dir || (list->next == list->n && list->more)) {
		r = choose(list, map, dir);
		if (r)
			return r;
	}
	if (dir->offset < 2) {
		dot_entry(list, map, dir, dot);
		*entry = dot;
		return 1;
	}
	if (list->next == list->n)
		return 0;
	*entry = &list->entries[list->order[list->next]];
	return 1;
}

static void advance(struct dirlist *list, struct guestfd *dir, const struct dirlist_entry *entry)
{
	if (dir->offset >= 2) {
		list->next++;
		dir->last_len = entry->len;
		memcpy(dir->last, entry->name, entry->len);
	}
	dir->offset++;
}

/*
 * What the guest is told of an object instead of what the host says. File systems that list another
 * ino than stat knows, or no type, are asked. `..` is a name like any here: only its number is told.
 */
static struct dirlist_object settled(
	const struct dirlist *list, const struct guestfd *dir, const struct dirlist_entry *entry)
{
	struct dirlist_object what = entry->what;
	char name[sizeof(entry->name) + 1];
	struct stat st;

	memcpy(name, entry->name, entry->len);
	name[entry->len] = 0;
	if (what.hearsay && (what.type == DT_UNKNOWN || !fileid_lists_ino(list->ids, what.dev)) &&
		!list->host->stat(dir->host, name, HOSTFS_XDEV, &st))
		what = (struct dirlist_object){ st.st_dev, st.st_ino, (uint8_t)IFTODT(st.st_mode),
			false };
	if (what.type == DT_UNKNOWN) /* it has just gone */
		what.type = DT_REG;
	what.ino = fileid_number(list->ids, what.dev, what.ino);
	return what;
}

static size_t emit(const struct dirlist *list, const struct guestfd *dir,
	const struct dirlist_entry *entry, char *buf, size_t room)
{
	size_t need = (RAW_NAME + (size_t)entry->len + 1 + 7) & ~(size_t)7;
	struct raw_dirent raw = { .off = dir->offset + 1, .reclen = (uint16_t)need };
	struct dirlist_object what = entry->what;

	if (need > room)
		return 0;
	if (list->ids) /* not before there is room: numbers go by first sight */
		what = settled(list, dir, entry);
	raw.ino = what.ino;
	raw.type = what.type;
	memset(buf, 0, need);
	memcpy(buf, &raw, RAW_NAME);
	memcpy(buf + RAW_NAME, entry->name, entry->len);
	return need;
}

ssize_t dirlist_read(
	struct dirlist *list, const struct filemap *map, struct guestfd *dir, void *buf, size_t len)
{
	const struct dirlist_entry *entry = NULL;
	struct dirlist_entry dot;
	size_t done = 0, n;
	int r;

	while ((r = peek(list, map, dir, &dot, &entry)) > 0) {
		n = dir->skip ? 0 : emit(list, dir, entry, (char *)buf + done, len - done);
		if (!dir->skip && !n)
			return done ? (ssize_t)done : -EINVAL;
		done += n;
		dir->skip -= dir->skip > 0;
		advance(list, dir, entry);
	}
	return done ? (ssize_t)done : r;
}

void dirlist_seek(struct dirlist *list, struct guestfd *dir, int64_t position)
{
	dirlist_forget(list, dir);
	dir->offset = 0;
	dir->skip = position;
	dir->last_len = 0;
}

void dirlist_forget(struct dirlist *list, const struct guestfd *dir)
{
	if (list->owner == dir)
		list->owner = NULL;
}
