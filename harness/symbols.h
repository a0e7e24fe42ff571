/* SPDX-License-Identifier: ISC */
/*
 * Names for guest addresses, and backtraces, from an image's symbols, DWARF and unwind tables by
 * elfutils' libdw. For reports after the guest has stopped: it allocates. libdw does not promise to
 * withstand hostile debug information, which may also name a further file to open: where the image is
 * not trusted, do all of it inside symbols_in_child.
 */
#ifndef SYMBOLS_H
#define SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct symbols;
struct cpu_regs;
struct err;

/*
 * Of an image that elf_parse has accepted; the bytes are copied. base: where a PIE was placed, else 0.
 * 0, -ENOMEM, or -ENOEXEC when libdw will not. Separate debug files are not looked for.
 */
int symbols_open(
	struct symbols **out, const uint8_t *bytes, size_t size, uint64_t base, struct err *err);
void symbols_close(struct symbols *s); /* takes NULL */

/*
 * "function+0x12 (dir/file.c:34)", less when less is known, "" when nothing is. Always terminated, one
 * printable line.
 */
void symbols_describe(struct symbols *s, uint64_t addr, char *buf, size_t size);

/*
 * The same for each function whose code lies there: those that the compiler has put into one another, innermost first,
 * "function, inlined (file.c:34)", and then the one around them with the line of the call. False, and "", when there
 * are not so many.
 */
bool symbols_describe_nth(struct symbols *s, uint64_t addr, unsigned nth, char *buf, size_t size);

/* Reads len bytes of guest-virtual memory: 0 or -errno. */
typedef int symbols_read_fn(void *ctx, uint64_t gva, void *buf, size_t len);

/*
 * Where the guest is and how it came there, innermost first, by CFI where the image has it, else by
 * frame pointers. pcs[0] is regs->rip; each further one is the last byte of a call instruction (the
 * return address minus one), so that symbols_describe names the line of the call. Returns how many
 * were found, at most max. Any registers and memory are survived.
 */
size_t symbols_backtrace(struct symbols *s, const struct cpu_regs *regs, symbols_read_fn *read,
	void *ctx, uint64_t *pcs, size_t max);

/* From now on this process may take 512 MiB of memory more than it has, or 2 GiB when it asks for that, and no more. */
void symbols_limit_memory(void);

/*
 * Runs work in a child process that can open no file, has its memory limited and lives at most timeout_ms, and collects what
 * it writes to fd into buf, always terminated. Bytes collected; 0 or more also when the child died or
 * was stopped half-way; -errno when there could be no child.
 */
ssize_t symbols_in_child(
	void (*work)(void *ctx, int fd), void *ctx, int timeout_ms, char *buf, size_t size);

#endif
