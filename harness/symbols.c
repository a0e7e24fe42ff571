// SPDX-License-Identifier: ISC
/* Names and backtraces by libdw. Knows addresses and bytes, not machines; the only user of libdw. */
#include "symbols.h"

#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "cpu.h"
#include "err.h"

#define MEMORY_MORE (512ull << 20)
#define MEMORY_MOST (2048ull << 20)
enum { INLINED_MAX = 16, TAIL_NAMES = 3 };

struct symbols {
	uint8_t *
		bytes; /* our own: libelf writes into an image when it expands compressed sections */
	size_t size;
	uint64_t start, end; /* of the placed image */
	Dwfl *dwfl;
	Dwfl_Module *module;
	/* Of the backtrace in progress. */
	const struct cpu_regs *regs;
	symbols_read_fn *read;
	void *ctx;
};

/* System V x86-64 ABI figure 3.36: DWARF register numbers; 16 is the return address. */
enum { DWARF_RSP = 7, DWARF_RA = 16, DWARF_REGS };
static const enum cpu_gpr dwarf_gprs[DWARF_RA] = {
	CPU_RAX,
	CPU_RDX,
	CPU_RCX,
	CPU_RBX,
	CPU_RSI,
	CPU_RDI,
	CPU_RBP,
	CPU_RSP,
	CPU_R8,
	CPU_R9,
	CPU_R10,
	CPU_R11,
	CPU_R12,
	CPU_R13,
	CPU_R14,
	CPU_R15,
};

/* ---- the image, as libdwfl asks for it ---- */

static int find_elf_in_memory(Dwfl_Module *module, void **userdata, const char *name,
	Dwarf_Addr base, char **file_name, Elf **elf)
{
	const struct symbols *s = *userdata;

	(void)module;
	(void)name;
	(void)base;
	(void)file_name;
	*elf = elf_memory((char *)s->bytes, s->size);
	return -1;
}

/* Debug information comes from the image or not at all: no search on the host, none on the net. */
static int find_nothing(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
	const char *file_name, const char *link, GElf_Word crc, char **found)
{
	(void)module;
	(void)userdata;
	(void)name;
	(void)base;
	(void)file_name;
	(void)link;
	(void)crc;
	(void)found;
	return -1;
}

static const Dwfl_Callbacks image_callbacks = {
	.find_elf = find_elf_in_memory,
	.find_debuginfo = find_nothing,
	.section_address = dwfl_offline_section_address,
};

/* ---- the guest's CPU, as the one dead thread libdwfl unwinds ---- */

enum { GUEST_TID = 1 };

static pid_t next_thread(Dwfl *dwfl, void *dwfl_arg, void **thread_arg)
{
	(void)dwfl;
	if (*thread_arg)
		return 0;
	*thread_arg = dwfl_arg;
	return GUEST_TID;
}

static bool read_word(Dwfl *dwfl, Dwarf_Addr addr, Dwarf_Word *result, void *dwfl_arg)
{
	const struct symbols *s = dwfl_arg;

	(void)dwfl;
	return s->read && !s->read(s->ctx, addr, result, sizeof(*result));
}

static bool set_registers(Dwfl_Thread *thread, void *thread_arg)
{
	const struct symbols *s = thread_arg;
	Dwarf_Word words[DWARF_REGS];

	for (size_t i = 0; i < DWARF_RA; i++)
		words[i] = s->regs->gpr[dwarf_gprs[i]];
	words[DWARF_RA] = s->regs->rip;
	return dwfl_thread_state_registers(thread, 0, DWARF_REGS, words);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
	.next_thread = next_thread,
	.memory_read = read_word,
	.set_initial_registers = set_registers,
};

/* ---- opening ---- */

/* Addresses the loaded segments take, the first rounded down as libdwfl does to find the bias. */
static int find_range(struct symbols *s, uint64_t base)
{
	Elf *elf = elf_memory((char *)s->bytes, s->size);
	bool first = true;
	GElf_Phdr ph;
	size_t n = 0;

	if (!elf || elf_getphdrnum(elf, &n))
		n = 0;
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_LOAD)
			continue;
		if (first)
			s->start = base + (ph.p_vaddr & -ph.p_align);
		first = false;
		s->end = base + ph.p_vaddr + ph.p_memsz;
	}
	elf_end(elf);
	return s->start < s->end ? 0 : -ENOEXEC;
}

static int open_module(struct symbols *s, struct err *err)
{
	GElf_Addr bias;
	void **userdata;

	s->dwfl = dwfl_begin(&image_callbacks);
	if (!s->dwfl)
		return err_set(err, -ENOMEM, "symbols: %s", dwfl_errmsg(-1));
	s->module = dwfl_report_module(s->dwfl, "guest", s->start, s->end);
	if (!s->module)
		return err_set(err, -ENOEXEC, "symbols: %s", dwfl_errmsg(-1));
	dwfl_module_info(s->module, &userdata, NULL, NULL, NULL, NULL, NULL, NULL);
	*userdata = s;
	if (dwfl_report_end(s->dwfl, NULL, NULL) || !dwfl_module_getelf(s->module, &bias))
		return err_set(err, -ENOEXEC, "symbols: %s", dwfl_errmsg(-1));
	return 0;
}

int symbols_open(
	struct symbols **out, const uint8_t *bytes, size_t size, uint64_t base, struct err *err)
{
	struct symbols *s = calloc(1, sizeof(*s));
	int r;

	if (s)
		s->bytes = malloc(size + 1);
	if (!s || !s->bytes) {
		free(s);
		return err_set(err, -ENOMEM, "symbols: no memory");
	}
	memcpy(s->bytes, bytes, size);
	s->bytes[size] = 0; /* a name may reach to the end: nobody looks for where it ends */
	s->size = size;
	elf_version(EV_CURRENT);
	r = find_range(s, base);
	if (r)
		err_set(err, r, "symbols: no segment is loaded");
	else
		r = open_module(s, err);
	if (!r && !dwfl_attach_state(s->dwfl, NULL, GUEST_TID, &thread_callbacks, s))
		r = err_set(err, -ENOEXEC, "symbols: %s", dwfl_errmsg(-1));
	if (r)
		symbols_close(s);
	else
		*out = s;
	return r;
}

void symbols_close(struct symbols *s)
{
	if (!s)
		return;
	if (s->dwfl)
		dwfl_end(s->dwfl);
	free(s->bytes);
	free(s);
}

/* ---- names ---- */

static bool inside(const struct symbols *s, uint64_t addr)
{
	return addr >= s->start && addr < s->end;
}

/* The image chose these bytes; a terminal or a log is going to show them. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

/* LLVM writes no .debug_aranges, without which libdw finds no unit by address: then ask each unit. */
static Dwarf_Die *find_unit(struct symbols *s, uint64_t addr, Dwarf_Addr *bias)
{
	Dwarf_Die *unit;

	*bias = 0;
	unit = dwfl_module_addrdie(s->module, addr, bias);
	if (!unit)
		while ((unit = dwfl_module_nextcu(s->module, unit, bias)))
			if (dwarf_haspc(unit, addr - *bias) > 0)
				break;
	return unit;
}

/* A place in source text: a path and a line. */
struct source {
	const char *file; /* NULL: not known */
	int line;
};

static struct source source_of_line(Dwarf_Line *line)
{
	struct source at = { 0 };

	if (line && !dwarf_lineno(line, &at.line))
		at.file = dwarf_linesrc(line, NULL, NULL);
	return at;
}

static struct source source_of_call(Dwarf_Die *unit, Dwarf_Die *inlined)
{
	struct source at = { 0 };
	Dwarf_Word file, line;
	Dwarf_Attribute attr;
	Dwarf_Files *files;

	if (!dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attr), &file) &&
		!dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attr), &line) &&
		!dwarf_getsrcfiles(unit, &files, NULL))
		at = (struct source){ dwarf_filesrc(files, file, NULL, NULL), (int)line };
	return at;
}

/* The functions that were inlined where addr is, innermost first: how many, at most max. */
static unsigned find_inlined(Dwarf_Die *unit, Dwarf_Addr addr, Dwarf_Die *inlined, unsigned max)
{
	Dwarf_Die *inward = NULL, *outward = NULL;
	unsigned found = 0;
	int n = 0;

	/* The first list goes on from an inlined function to where that was defined; the second, to who calls it. */
	if (dwarf_getscopes(unit, addr, &inward) > 0)
		n = dwarf_getscopes_die(inward, &outward);
	for (int i = 0; i < n && found < max && dwarf_tag(&outward[i]) != DW_TAG_subprogram; i++)
		if (dwarf_tag(&outward[i]) == DW_TAG_inlined_subroutine)
			inlined[found++] = outward[i];
	free(inward);
	free(outward);
	return found;
}

/* The end of a path: enough to tell files of one name apart. */
static const char *tail_of(const char *path)
{
	const char *tail = path + strlen(path);

	for (int names = 0; tail > path; tail--)
		if (tail[-1] == '/' && ++names == TAIL_NAMES)
			break;
	return tail[0] == '.' && tail[1] == '/' ? tail + 2 : tail;
}

static void put_source(char *buf, size_t size, const struct source *source)
{
	size_t len = strlen(buf);

	if (source->file)
		snprintf(buf + len, size - len, "%s(%.128s:%d)", len ? " " : "",
			tail_of(source->file), source->line);
}

/* Does its end lie in our copy? What was expanded to somewhere else may have none. */
static bool ends_in_image(const struct symbols *s, const char *name)
{
	return (uintptr_t)name - (uintptr_t)s->bytes < s->size;
}

static void put_function(struct symbols *s, uint64_t addr, char *buf, size_t size)
{
	GElf_Off offset = 0;
	GElf_Sym sym;
	const char *name = dwfl_module_addrinfo(s->module, addr, &offset, &sym, NULL, NULL, NULL);

	if (name && !ends_in_image(s, name))
		name = NULL;
	if (name && offset)
		snprintf(buf, size, "%s+0x%" PRIx64, name, offset);
	else
		snprintf(buf, size, "%s", name ? name : "");
}

void symbols_describe(struct symbols *s, uint64_t addr, char *buf, size_t size)
{
	struct source source;
	Dwarf_Addr bias;
	Dwarf_Die *unit;

	if (!size)
		return;
	buf[0] = 0;
	if (!inside(s, addr))
		return;
	unit = find_unit(s, addr, &bias);
	source = source_of_line(unit ? dwarf_getsrc_die(unit, addr - bias) : NULL);
	put_function(s, addr, buf, size);
	put_source(buf, size, &source);
	make_printable(buf);
}

bool symbols_describe_nth(struct symbols *s, uint64_t addr, unsigned nth, char *buf, size_t size)
{
	Dwarf_Die *unit = NULL, inlined[INLINED_MAX];
	struct source source;
	Dwarf_Addr bias = 0;
	const char *name;
	unsigned n = 0;

	if (size)
		buf[0] = 0;
	if (inside(s, addr))
		unit = find_unit(s, addr, &bias);
	if (unit)
		n = find_inlined(unit, addr - bias, inlined, INLINED_MAX);
	if (nth > n)
		return false;
	if (!n || !size) {
		symbols_describe(s, addr, buf, size);
		return true;
	}
	source = nth ? source_of_call(unit, &inlined[nth - 1])
		     : source_of_line(dwarf_getsrc_die(unit, addr - bias));
	name = nth < n ? dwarf_diename(&inlined[nth]) : NULL;
	if (nth == n)
		put_function(s, addr, buf, size);
	else
		snprintf(buf, size, "%s, inlined", name ? name : "?");
	put_source(buf, size, &source);
	make_printable(buf);
	return true;
}

/* ---- backtraces ---- */

struct trail {
	const struct symbols *s;
	uint64_t *pcs, last_sp;
	size_t n, max;
};

/* A caller's frame lies above its callee's and its code in the image; anything else is a wild stack. */
static int add_frame(Dwfl_Frame *frame, void *arg)
{
	struct trail *t = arg;
	Dwarf_Addr pc;
	Dwarf_Word sp;
	bool first = !t->n, exact;

	if (t->n == t->max || !dwfl_frame_pc(frame, &pc, &exact))
		return DWARF_CB_ABORT;
	if (!exact)
		pc--;
	if (!first && !inside(t->s, pc))
		return DWARF_CB_ABORT;
	if (!dwfl_frame_reg(frame, DWARF_RSP, &sp)) {
		/* Signed: a stack that grew below address 0 has wrapped. */
		if (!first && (int64_t)sp <= (int64_t)t->last_sp)
			return DWARF_CB_ABORT;
		t->last_sp = sp;
	}
	t->pcs[t->n++] = pc;
	return DWARF_CB_OK;
}

size_t symbols_backtrace(struct symbols *s, const struct cpu_regs *regs, symbols_read_fn *read,
	void *ctx, uint64_t *pcs, size_t max)
{
	struct trail t = { .s = s, .pcs = pcs, .max = max };
	struct cpu_regs caller = *regs;
	uint64_t word;

	if (!max)
		return 0;
	/* A call that went nowhere: the way back is still on top of the stack. */
	if (!inside(s, regs->rip)) {
		pcs[t.n++] = regs->rip;
		if (read(ctx, regs->gpr[CPU_RSP], &word, sizeof(word)) || !inside(s, word - 1))
			return t.n;
		caller.rip = word - 1;
		caller.gpr[CPU_RSP] += sizeof(word);
		t.last_sp = regs->gpr[CPU_RSP];
	}
	s->regs = &caller;
	s->read = read;
	s->ctx = ctx;
	dwfl_getthread_frames(s->dwfl, GUEST_TID, add_frame, &t);
	s->regs = NULL;
	return t.n;
}

/* ---- at arm's length ---- */

/* What a header says of sizes may be a lie of gigabytes, and libdw believes it. */
void symbols_limit_memory(void)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	unsigned long long data = 0;
	struct rlimit limit;

	if (statm && fscanf(statm, "%*u %*u %*u %*u %*u %llu", &data) == 1) {
		data *= (unsigned long long)sysconf(_SC_PAGESIZE);
		limit.rlim_cur = data + MEMORY_MORE;
		limit.rlim_max = data + MEMORY_MOST;
		setrlimit(RLIMIT_DATA, &limit);
	}
	if (statm)
		fclose(statm);
}

/* No file can be opened from here on, no message of a failed assertion appears. */
static void confine_self(int fd)
{
	static const int deadly[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTERM, SIGINT };
	const struct rlimit none = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	symbols_limit_memory();
	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		signal(deadly[i], SIG_DFL);
	for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
		if (i != fd)
			close(i);
	setrlimit(RLIMIT_CORE, &none);
	setrlimit(RLIMIT_NOFILE, &none);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static size_t collect(int fd, int timeout_ms, char *buf, size_t size)
{
	int64_t end = now_ms() + timeout_ms, left;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;

	while (n < size - 1 && (left = end - now_ms()) > 0) {
		ssize_t r = poll(&p, 1, (int)left);

		if (r > 0)
			r = read(fd, buf + n, size - 1 - n);
		else if (!r)
			break;
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	buf[n] = 0;
	return n;
}

ssize_t symbols_in_child(
	void (*work)(void *ctx, int fd), void *ctx, int timeout_ms, char *buf, size_t size)
{
	autoclose int from = -1;
	int ends[2], error;
	size_t n;
	pid_t child;

	buf[0] = 0;
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	from = ends[0];
	child = fork();
	error = errno;
	if (!child) {
		confine_self(ends[1]);
		work(ctx, ends[1]);
		_exit(0);
	}
	close(ends[1]);
	if (child < 0)
		return -error;
	n = collect(from, timeout_ms, buf, size);
	kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return (ssize_t)n;
}
