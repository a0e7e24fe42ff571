// SPDX-License-Identifier: ISC
/*
 * Numbers by first sight.
 *
 * How this works: objects lie in a ring in the order of their numbers, so the one that a full ring
 * overwrites is the oldest. An open-addressing table of twice as many slots finds them; a slot that
 * is emptied is filled from behind (Knuth, 6.4, algorithm R), so that it never needs cleaning.
 */
#include "fileid.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>

enum {
	SLOTS = 2 * FILEID_OBJECTS, /* a power of two */
	DEVS_MAX = 16, /* of those that list what stat says; more are asked each time */
};

struct object {
	dev_t dev;
	ino_t ino;
	bool known; /* not one whose dev and ino went to another */
};

struct fileid {
	uint64_t given; /* numbers given so far; number n is in ring[n % FILEID_OBJECTS] */
	struct object ring[FILEID_OBJECTS];
	uint64_t numbers[SLOTS]; /* 0: empty */
	dev_t devs[DEVS_MAX];
	size_t n_devs;
};

int fileid_create(struct fileid **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void fileid_destroy(struct fileid *ids)
{
	free(ids);
}

/* splitmix64's finish. */
static size_t home_of(dev_t dev, ino_t ino)
{
	uint64_t x = (uint64_t)ino + 0x9e3779b97f4a7c15 * ((uint64_t)dev + 1);

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return (x ^ x >> 31) & (SLOTS - 1);
}

static struct object *object_of(struct fileid *ids, uint64_t number)
{
	return &ids->ring[number % FILEID_OBJECTS];
}

/* The slot of an object, or the empty one where it would be. */
static size_t find(struct fileid *ids, dev_t dev, ino_t ino)
{
	size_t slot = home_of(dev, ino);

	for (; ids->numbers[slot]; slot = (slot + 1) & (SLOTS - 1)) {
		const struct object *o = object_of(ids, ids->numbers[slot]);

		if (o->ino == ino && o->dev == dev)
			break;
	}
	return slot;
}

static void empty_slot(struct fileid *ids, size_t hole)
{
	for (size_t at = (hole + 1) & (SLOTS - 1); ids->numbers[at]; at = (at + 1) & (SLOTS - 1)) {
		const struct object *o = object_of(ids, ids->numbers[at]);
		size_t home = home_of(o->dev, o->ino);

		/* What is nearer to its home than the hole is stays. */
		if (((at - home) & (SLOTS - 1)) < ((at - hole) & (SLOTS - 1)))
			continue;
		ids->numbers[hole] = ids->numbers[at];
		hole = at;
	}
	ids->numbers[hole] = 0;
}

static void forget(struct fileid *ids, struct object *o)
{
	if (o->known)
		empty_slot(ids, find(ids, o->dev, o->ino));
	o->known = false;
}

static uint64_t give(struct fileid *ids, dev_t dev, ino_t ino)
{
	uint64_t number = ++ids->given;
	struct object *o = object_of(ids, number);

	forget(ids, o);
	*o = (struct object){ .dev = dev, .ino = ino, .known = true };
	ids->numbers[find(ids, dev, ino)] = number;
	return number;
}

uint64_t fileid_number(struct fileid *ids, dev_t dev, ino_t ino)
{
	uint64_t number = ids->numbers[find(ids, dev, ino)];

	return number ? number : give(ids, dev, ino);
}

uint64_t fileid_renew(struct fileid *ids, dev_t dev, ino_t ino)
{
	uint64_t number = ids->numbers[find(ids, dev, ino)];

	if (number)
		forget(ids, object_of(ids, number));
	return give(ids, dev, ino);
}

void fileid_learn(struct fileid *ids, int fd)
{
	static const long honest[] = { EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, TMPFS_MAGIC,
		RAMFS_MAGIC };
	struct statfs fs;
	struct stat st;

	if (fstatfs(fd, &fs) || fstat(fd, &st) || fileid_lists_ino(ids, st.st_dev))
		return;
	for (size_t i = 0; i < sizeof(honest) / sizeof(honest[0]); i++)
		if (fs.f_type == honest[i] && ids->n_devs < DEVS_MAX)
			ids->devs[ids->n_devs++] = st.st_dev;
}

bool fileid_lists_ino(const struct fileid *ids, dev_t dev)
{
	for (size_t i = 0; i < ids->n_devs; i++)
		if (ids->devs[i] == dev)
			return true;
	return false;
}
