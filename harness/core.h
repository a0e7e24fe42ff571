/* SPDX-License-Identifier: ISC */
/*
 * Core files: a stopped machine as ELF that gdb opens, `gdb GUEST CORE`. Reads the machine and changes nothing of
 * it; allocates. Any tables and registers the guest left behind are survived.
 */
#ifndef CORE_H
#define CORE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cpu_state;
struct err;
struct gmem;
struct vm;

/* More ranges than ELF counts in e_phnum are left out. */
enum { CORE_RANGES_MAX = 65000 };

struct core {
	const struct gmem *mem;
	const struct cpu_state *state;
	int signal;          /* what it died of, as Linux would say it */
	uint64_t fault_addr; /* for $_siginfo */
	uint64_t entry;      /* where the image's entry point came to lie: gdb moves a PIE by it */
	const char *name;    /* of the image, without directory */
	const char *args;    /* the command line */
	const volatile sig_atomic_t *stop; /* not 0: give up with -EINTR; may be NULL */
};

struct core_size {
	size_t ranges;
	bool cut;             /* there was more: hostile tables */
	uint64_t bytes, used; /* of the file; and of memory in it that is not zero */
};

/*
 * Into an empty file. Never more than RAM and 4 MiB, however often a page is mapped, and zero pages are holes: 0, or
 * -errno with err.
 */
int core_write(const struct core *core, int fd, struct core_size *size, struct err *err);

/*
 * The machine's core as the file `path`, mode 0600. It appears whole or not at all, in place of a file of that name or
 * of a link, which is not followed; anything else there is refused.
 */
int core_write_vm(struct vm *vm, int signal, const char *path, const volatile sig_atomic_t *stop,
	struct core_size *size, struct err *err);

/* Is that file, which need not be there yet, where a core would be put? */
bool core_replaces(const char *path, const char *file);

/* What gdb knows an image's place by: an auxiliary vector of pairs, of which it says how many. */
enum { CORE_AUX_MAX = 3 };
size_t core_auxv(uint64_t entry, uint64_t aux[CORE_AUX_MAX][2]);

/* Could that file be made, as far as can be told beforehand? 0 or -errno with err. */
int core_check(const char *path, struct err *err);

#endif
