/* SPDX-License-Identifier: ISC */
/*
 * Numbers for a guest's files that are the same in every run: an object (dev and ino of the host)
 * gets the next one when it is first seen. In fixed memory. Knows no paths and no descriptors of the
 * guest; the hash it uses has no influence on what it answers.
 */
#ifndef FILEID_H
#define FILEID_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fileid;

/*
 * Objects that are remembered. Of one more, the one that was numbered first is forgotten, and gets a
 * new number when it is seen again: the same in every run too, and no number is ever given twice.
 */
enum { FILEID_OBJECTS = 65536 };

/* All the memory there will be: 0 or -ENOMEM. */
int fileid_create(struct fileid **out);
void fileid_destroy(struct fileid *ids); /* takes NULL */

/* From 1 on. */
uint64_t fileid_number(struct fileid *ids, dev_t dev, ino_t ino);
/* The object has just been made: hosts use ino again, so what is known of it was another's. */
uint64_t fileid_renew(struct fileid *ids, dev_t dev, ino_t ino);

/* Finds out whether the file system that fd lies on lists the ino that stat(2) says. At the start. */
void fileid_learn(struct fileid *ids, int fd);
/* Is it known that directories on dev do? */
bool fileid_lists_ino(const struct fileid *ids, dev_t dev);

#endif
