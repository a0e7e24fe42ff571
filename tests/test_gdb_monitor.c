// SPDX-License-Identifier: ISC
/* What `monitor` says to a line, over a machine whose CPU is a script: tables in RAM, calls made one by one. */
#include "gdb_monitor.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi_uhyve.h"
#include "err.h"
#include "fileio.h"
#include "gdb_vm.h"
#include "session.h"
#include "tmptree.h"
#include "unit.h"

enum {
	RAM = 0x100000,
	SIZE = 0x10000,
	TABLES = RAM + 0x1000,
	BLOCK = RAM + 0x800,
	TEXT = RAM + 0x900
};
enum { PRESENT = 1, WRITABLE = 2, USER = 4 };

static struct world {
	struct tmptree tree;
	struct session session;
	struct gdb_vm g;
	struct vcpu_exit calls[4];
	int n_calls, at;
	char cwd[300], said[200];
	char *text;
} w;

static int next(void *ctx, struct backend *b, struct vcpu_exit *exit)
{
	(void)ctx, (void)b;
	if (w.at < w.n_calls)
		*exit = w.calls[w.at++];
	else
		*exit = (struct vcpu_exit){ .kind = VCPU_DEBUG };
	return 0;
}

static enum gdb_poll poll_nobody(void *ctx)
{
	(void)ctx;
	return GDB_POLL_NOTHING;
}

static void watch_nobody(void *ctx, bool on)
{
	(void)ctx, (void)on;
}

static void say(void *ctx, const char *text, size_t len)
{
	(void)ctx;
	snprintf(w.said, sizeof(w.said), "%.*s", (int)len, text);
}

/* The first 8 KiB of RAM at 0x400000, the second page for the user and not to be written; and 2 MiB further up. */
static void put_tables(struct gmem *m)
{
	static const struct {
		uint64_t at, value;
	} rows[] = {
		{ TABLES, (TABLES + 0x1000) | PRESENT | WRITABLE | USER },
		{ TABLES + 0x1000, (TABLES + 0x2000) | PRESENT | WRITABLE | USER },
		{ TABLES + 0x2000 + 8 * 2, (TABLES + 0x3000) | PRESENT | WRITABLE | USER },
		{ TABLES + 0x2000 + 8 * 4, 0x200000 | PRESENT | WRITABLE | 1 << 7 },
		{ TABLES + 0x3000, RAM | PRESENT | WRITABLE },
		{ TABLES + 0x3000 + 8, (RAM + 0x1000) | PRESENT | USER | 1 << 5 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		gmem_write(m, rows[i].at, &rows[i].value, sizeof(rows[i].value));
}

static void start_cpu(struct vm *vm)
{
	struct cpu_state s;

	cpu_state_long_mode(&s);
	s.cr3 = TABLES;
	s.cr4 = CPU_CR4_PAE;
	s.efer |= CPU_EFER_NXE;
	s.regs.rip = 0x400010;
	s.regs.gpr[CPU_RSP] = 0x400800;
	CU_ASSERT_EQUAL(backend_load(vm->cpu, &s), 0);
}

static void begin(void)
{
	static const char *const lines[] = { "d in", "d tmp", "d here", "f in/file hello", NULL };
	static const struct gdb_link link = { NULL, poll_nobody, watch_nobody, say };
	static char mount[300], scratch[300];
	struct fileio_config config;
	struct err err = { "" };
	struct session *s = &w.session;

	memset(&w, 0, sizeof(w));
	CU_ASSERT_EQUAL_FATAL(tmptree_make(&w.tree, lines), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(w.cwd, sizeof(w.cwd)));
	session_init(s);
	s->guest = "guest.elf";
	snprintf(mount, sizeof(mount), "%s/in", w.tree.path);
	snprintf(scratch, sizeof(scratch), "%s/tmp", w.tree.path);
	s->options.mounts = calloc(1, sizeof(*s->options.mounts));
	s->options.mounts[0] =
		(struct fileio_mount){ .host = strdup(mount), .guest = strdup("/in") };
	s->options.n_mounts = 1;
	s->mount_is_file = calloc(1, sizeof(*s->mount_is_file));
	config = vm_options_files(&s->options);
	config.scratch_parent = scratch;
	CU_ASSERT_EQUAL_FATAL(fileio_init(&s->files, &config, &err), 0);
	CU_ASSERT_EQUAL_FATAL(vm_create_script(&s->vm,
				      &(struct vm_script){ .abi = &abi_uhyve,
					      .abi_version = 2,
					      .ram_gpa = RAM,
					      .mem_size = SIZE,
					      .files = s->files,
					      .next = next },
				      &err),
		0);
	s->vm->args.image_path = "guest.elf";
	put_tables(&s->vm->mem);
	start_cpu(s->vm);
	CU_ASSERT_EQUAL_FATAL(gdb_vm_init(&w.g, s, &link), 0);
	CU_ASSERT_EQUAL(chdir(w.tree.path) || chdir("here"), 0);
}

static void end(void)
{
	CU_ASSERT_EQUAL(chdir(w.cwd), 0);
	gdb_vm_finish(&w.g);
	session_finish(&w.session);
	free(w.text);
	tmptree_remove(&w.tree);
}

/* Always lines, whole ones. */
static const char *said(const char *line)
{
	size_t size = 0;
	FILE *out;

	free(w.text);
	w.text = NULL;
	out = open_memstream(&w.text, &size);
	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	gdb_monitor_line(&w.g, line, out);
	fclose(out);
	CU_ASSERT(size && w.text[size - 1] == '\n');
	return w.text;
}

struct row {
	const char *line, *answer; /* a part of it */
};

static void run_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strstr(said(rows[i].line), rows[i].answer))
			continue;
		printf("     %s: %s     not: %s\n", rows[i].line, w.text, rows[i].answer);
		CU_FAIL("a row");
	}
}
#define RUN(rows) run_rows(rows, sizeof(rows) / sizeof((rows)[0]))

/* open("/in/file") or write(1, "..."), of the second generation. */
static void make_open(void)
{
	struct uhyve_open block = { .name = TEXT };

	gmem_write(&w.session.vm->mem, TEXT, "/in/file", 9);
	gmem_write(&w.session.vm->mem, BLOCK, &block, sizeof(block));
	w.calls[w.n_calls++] = (struct vcpu_exit){
		.kind = VCPU_PORT, .port = 0x1110, .size = 8, .rdi = BLOCK, .rip = 0x400020
	};
	vm_run(w.session.vm);
	w.at = w.n_calls = 0;
}

static void helps(void)
{
	static const struct row rows[] = {
		{ "help", "\nIts memory\n  info pages [ADDRESS]          what is mapped" },
		{ "help", "\n  help [COMMAND]                this list" },
		{ "help xp", "monitor xp [/FORMAT] ADDRESS\n  show physical memory\n  FORMAT is" },
		{ "  help   info   fds ", "monitor info fds\n" },
		{ "\thelp\tinfo\tfds\t", "monitor info fds\n" },
		{ "help trace", "  trace last [N]         the last" },
		{ "info", "  info fds " },
		{ "help nothing", "no such command: \"nothing\"" },
		{ "info fdss", "no such command: \"info fdss\"; the nearest is \"info fds\"" },
		{ "info f", "no such command: \"info f\"; the nearest is \"info fds\"" },
		{ "info zzz", "no such command: \"info zzz\"; monitor help lists them all\n" },
		{ "tarce last", "the nearest is \"trace last\"" },
		{ "stracer", "the nearest is \"strace\"" },
		{ "zzz", "no such command: \"zzz\"; monitor help lists them all\n" },
		{ "fds", "the nearest is \"info fds\"" },
		{ "int3", "no such command: \"int3\"; monitor help lists them all\n" },
		{ "xp4xw 0x100800",
			"no such command: \"xp4xw 0x100800\"; monitor help lists them all\n" },
		{ "", "no such command: \"\"" },
		{ "\x01\xff", "no such command: \"\\x01\\xff\"" },
		{ "strace", "too little: expected: monitor strace on|off" },
		{ "info vm 1", "too much: expected: monitor info vm\n" },
		{ "strace maybe", "\"maybe\" is neither on nor off" },
	};

	begin();
	RUN(rows);
	end();
}

static void every_command_has_its_help(void)
{
	static const struct gdb_command *const tables[] = { gdb_commands_machine,
		gdb_commands_memory, gdb_commands_calls, gdb_commands_files, gdb_commands_time };
	char line[100];

	begin();
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct gdb_command *c = tables[i]; c->name; c++) {
			snprintf(line, sizeof(line), "help %s", c->name);
			CU_ASSERT(!strncmp(said(line), "monitor ", 8) && strstr(w.text, c->name));
			CU_ASSERT(strcspn(c->help, "\n") <= 70 && strlen(c->help) > 10);
		}
	end();
}

static void takes_numbers_strictly(void)
{
	static const struct row rows[] = {
		{ "xp 0x100800", "0000000000100800: 0x00000000\n" },
		{ "xp /2xg 1050624", "0000000000100800: 0x0000000000000000 0x0000000000000000\n" },
		{ "xp/2xg 1050624", "0000000000100800: 0x0000000000000000 0x0000000000000000\n" },
		{ "xp $cr3", "0000000000101000: 0x00102007\n" },
		{ "xp /1xb $cr3+1", "0000000000101001: 0x20\n" },
		{ "xp /2ob $cr3-0x1", "0000000000100fff: 0000 0007\n" },
		{ "xp /2db 0x101000", "    7   32\n" },
		{ "xp /1ub 0x101000", "    7\n" },
		{ "xp /1tb 0x101000", ": 00000111\n" },
		{ "xp /2cb 0x101000", ": \"\\x07\" \" \"\n" },
		{ "xp /1c 0x100800", ": \"\\x00\"\n" },
		{ "xp 0x10fffe", "000000000010fffe: not RAM\n" },
		{ "xp /2xw 0x10fffc", "000000000010fffc: 0x00000000 not RAM\n" },
		{ "xp 0xffffffffffffffff", "not RAM" },
		{ "xp 0x", "\"0x\": expected an address" },
		{ "xp 12x", "expected an address" },
		{ "xp -1", "expected an address" },
		{ "xp 0x10000000000000000", "expected an address" },
		{ "xp 99999999999999999999", "expected an address" },
		{ "xp $nothing", "expected an address" },
		{ "xp $xmm0", "expected an address" },
		{ "xp $rsp+", "expected an address" },
		{ "xp $rsp+1+1", "expected an address" },
		{ "xp $", "expected an address" },
		{ "xp $aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "expected an address" },
		{ "xp $pc", "0000000000400010: not RAM" },
		{ "xp $sp", "0000000000400800: not RAM" },
		{ "xp $fp", "0000000000000000: not RAM" },
		{ "xp 0X100800", "0000000000100800: 0x00000000\n" },
		{ "xp 1 2", "expected: monitor xp" },
		{ "xp /4x", "expected: monitor xp" },
		{ "xp /4097xb 0", "\"/4097xb\": expected /[COUNT]" },
		{ "xp /99999999999999999999xb 0", "expected /[COUNT]" },
		{ "xp /0xb 0", "expected /[COUNT]" },
		{ "xp /4i 0", "expected /[COUNT]" },
		{ "trace last 0", "\"0\": expected how many calls, a number from 1 to 1024" },
		{ "trace last 1025", "from 1 to 1024" },
		{ "trace last ten", "from 1 to 1024" },
		{ "trace last 5x", "from 1 to 1024" },
		{ "trace filter open 0", "from 1 to 1024" },
		{ "trace last 5 5", "too much" },
	};

	begin();
	RUN(rows);
	end();
}

static void shows_what_is_mapped(void)
{
	static const struct row rows[] = {
		{ "info mem", "0000000000400000-0000000000401000 0000000000001000 -rw\n"
			      "0000000000401000-0000000000402000 0000000000001000 ur-\n"
			      "0000000000800000-0000000000a00000 0000000000200000 -rw\n" },
		{ "info tlb", "0000000000401000: 0000000000101000 ----A--U-\n"
			      "0000000000800000: 0000000000200000 --P-----W\n" },
		{ "info pages",
			"0000000000401000-0000000000401fff      4K  ur-x  -> 000000101000\n" },
		{ "info pages 0x401234", "0x401234 is 0x101234 in RAM: a page of 4K, user, rwx\n"
					 "  PML4 entry   0 at 000101000: 0000000000102007  table "
					 "000102000, writable, user\n" },
		{ "info pages 0x800000",
			"0x800000 is 0x200000 in no RAM: a page of 2M, supervisor, rwx\n" },
		{ "info pages 0x600000", "0x600000 is not mapped\n" },
		{ "info pages 0x8000000000000000", "0x8000000000000000 is not canonical: it can" },
		{ "info pages 0x800000000000", "0x800000000000 is not canonical: it can" },
		{ "info pages 0xffff800000000000", "0xffff800000000000 is not mapped\n" },
		{ "info pages 0x600000",
			"PD   entry   3 at 000103018: 0000000000000000  not present\n" },
		{ "info pages here", "expected an address" },
		{ "gva2gpa here", "expected an address" },
		{ "gva2gpa 0x400123", "gpa: 0x100123\n" },
		{ "gva2gpa 0x7fff00000000", "Unmapped\n" },
	};

	begin();
	RUN(rows);
	end();
}

/* Tables that contain themselves map more than anybody wants to read. */
static void bears_hostile_tables(void)
{
	uint64_t entry = TABLES | PRESENT | WRITABLE;

	begin();
	for (uint64_t i = 0; i < 512; i++)
		gmem_write(&w.session.vm->mem, TABLES + 8 * i, &entry, sizeof(entry));
	said("info mem");
	CU_ASSERT(strlen(w.text) < 100000);
	CU_ASSERT_PTR_NOT_NULL(strstr(said("info tlb"), "... and more pages"));
	CU_ASSERT_PTR_NOT_NULL(strstr(said("info pages"), "... the tables map more"));
	entry = (RAM + SIZE) | PRESENT;
	gmem_write(&w.session.vm->mem, TABLES, &entry, sizeof(entry));
	CU_ASSERT_PTR_NOT_NULL(
		strstr(said("info pages 0"), "the next table, at 000110000, is not in RAM"));
	gmem_fill(&w.session.vm->mem, TABLES, 0, 4096);
	CU_ASSERT_STRING_EQUAL(said("info tlb"), "nothing is mapped\n");
	CU_ASSERT_STRING_EQUAL(said("info mem"), "nothing is mapped\n");
	CU_ASSERT_STRING_EQUAL(said("info pages"), "nothing is mapped\n");
	end();
}

static void shows_the_machine(void)
{
	static const struct row rows[] = {
		{ "info vm", "guest         \"guest.elf\"\n" },
		{ "info vm", "RAM           0x100000-0x10ffff, 0 MiB\n" },
		{ "info vm",
			"state         stopped at RIP 0x400010\nso far        0 hypercalls\n" },
		{ "info backend", "backend       script, " },
		{ "info regs", "rip     0000000000400010\nrflags  0000000000000002\n" },
		{ "info regs", "cr4     0000000000000020  PAE\n" },
		{ "info regs", "CS      0008  base 0000000000000000 limit ffffffff level 0 code, "
			       "64 bit\n" },
		{ "info registers",
			"RSI=0000000000000000 RDI=0000000000000000 RBP=0000000000000000 "
			"RSP=0000000000400800\n" },
		{ "info registers",
			"RIP=0000000000400010 RFL=00000002 [-------] CPL=0 II=0 A20=1" },
		{ "info registers",
			"\nCS =0008 0000000000000000 ffffffff 00a09b00 DPL=0 CS64 [-RA]\n" },
		{ "info registers", "\nEFER=0000000000000d00\nFCW=037f FSW=0000 [ST=0] FTW=00 " },
		{ "info mounts", "/    rw  scratch: 1073741824 bytes and 65536 files are left\n" },
		{ "catch exception", "exceptions do not stop the guest\n" },
		{ "catch exception 14", "script does not tell what exceptions" },
		{ "catch exception 14,x", "\"x\": expected off, or vectors such as 14,13: each, a "
					  "number from 0 to 31" },
		{ "catch exception 32", "\"32\": expected off" },
		{ "catch exception 14,", "\"\": expected off" },
		{ "catch exception 000000014", "\"\": expected off" },
		{ "catch exception 14 13", "too much" },
		{ "irq", "a step goes over the handlers of interrupts" },
		{ "irq on", "a step ends in an interrupt's handler" },
		{ "irq off", "a step goes over" },
		{ "irq 1", "neither on nor off" },
	};

	begin();
	RUN(rows);
	end();
}

static void shows_calls(void)
{
	static const struct row before[] = {
		{ "info call", "in no hypercall\n" },
		{ "trace last", "no call was made yet\n" },
		{ "info trace", "strace        off\nrecording     none\n" },
	};
	static const struct row after[] = {
		{ "trace last 1", "       0  open(\"/in/file\", O_RDONLY) = 3\n" },
		{ "trace filter open", "O_RDONLY) = 3\n" },
		{ "trace filter write 3", "no such call among the last 1\n" },
		{ "trace filter openat",
			"\"openat\" is no hypercall; there are write, open, close," },
		{ "info trace", "calls         1 made, the last 1 kept" },
		{ "info stats",
			"         1          0                  9                  0  open\n" },
		{ "info hypercalls", "     2  0x1110             1  open(name, flags, mode)\n" },
		{ "info fds", "   3  file     r-                 0  \"/in/file\"  \"/" },
		{ "strace on", "strace is on: each call" },
	};

	begin();
	RUN(before);
	make_open();
	RUN(after);
	make_open();
	CU_ASSERT_STRING_EQUAL(w.said, "open(\"/in/file\", O_RDONLY) = 4\n");
	CU_ASSERT_STRING_EQUAL(said("strace off"), "strace is off\n");
	end();
}

static void sees_a_call_coming(void)
{
	static const uint8_t out[] = { 0xef };
	struct uhyve_open block = { .name = TEXT };
	struct cpu_regs regs;

	begin();
	gmem_write(&w.session.vm->mem, TEXT, "/in/x", 6);
	gmem_write(&w.session.vm->mem, BLOCK, &block, sizeof(block));
	gmem_write(&w.session.vm->mem, RAM + 0x10, out, sizeof(out));
	backend_get_regs(w.session.vm->cpu, &regs);
	regs.gpr[CPU_RDX] = 0x1110;
	regs.gpr[CPU_RDI] = BLOCK;
	backend_set_regs(w.session.vm->cpu, &regs);
	CU_ASSERT_STRING_EQUAL(
		said("info call"), "about to make call 0: open(\"/in/x\", O_RDONLY)\n");
	regs.gpr[CPU_RDI] = RAM + SIZE;
	backend_set_regs(w.session.vm->cpu, &regs);
	CU_ASSERT_STRING_EQUAL(said("info call"), "in no hypercall\n");
	regs.gpr[CPU_RDX] = 0x1234;
	backend_set_regs(w.session.vm->cpu, &regs);
	CU_ASSERT_STRING_EQUAL(said("info call"), "in no hypercall\n");
	end();
}

static void resolves_without_a_trace(void)
{
	static const struct row rows[] = {
		{ "resolve /in/file", "/in/file\", file, ro, mount \"" },
		{ "resolve /in/file", "\n    gives  ok\n" },
		{ "resolve -o create /in/x", "gives  EROFS: it lies in a mapping that is ro\n" },
		{ "resolve -o mkdir /a b/c ", "mkdir \"/a b/c\"\n" },
		{ "resolve -o mkdir /a b/c", "gives  ok\n" },
		{ "resolve -o nothing /x", "no such operation; one of open" },
		{ "resolve -o open", "expected: monitor resolve" },
		{ "resolve", "too little: expected: monitor resolve" },
	};
	struct fileio_limits before, after;

	begin();
	before = fileio_left(w.session.files);
	RUN(rows);
	after = fileio_left(w.session.files);
	CU_ASSERT(!memcmp(&before, &after, sizeof(before)));
	end();
}

static void makes_no_file_but_of_a_plain_name(void)
{
	static const struct row rows[] = {
		{ "record start ../x.pcapng", "expected NAME.pcapng, without directory" },
		{ "record start /tmp/x.pcapng", "expected NAME.pcapng" },
		{ "record start x", "expected NAME.pcapng" },
		{ "record start .pcapng", "expected NAME.pcapng" },
		{ "record start .x.pcapng", "expected NAME.pcapng" },
		{ "record start -x.pcapng", "expected NAME.pcapng" },
		{ "record start a\nb.pcapng", "expected NAME.pcapng" },
		{ "record start \xff.pcapng", "expected NAME.pcapng" },
		{ "record start \x7f.pcapng", "expected NAME.pcapng" },
		{ "record start there.pcapng", "\"there.pcapng\" is there already" },
		{ "record start dangling.pcapng", "\"dangling.pcapng\" is there already" },
		{ "record stop", "there is no recording" },
		{ "dump-core ../x.core", "expected NAME.core" },
		{ "dump-core x.pcapng", "expected NAME.core" },
		{ "record start", "too little" },
	};
	char name[300];

	begin();
	CU_ASSERT_EQUAL(symlink("nowhere", "dangling.pcapng"), 0);
	CU_ASSERT_EQUAL(mkdir("there.pcapng", 0700), 0);
	RUN(rows);
	memset(name, 'x', sizeof(name));
	memcpy(name, "record start ", 13);
	strcpy(name + sizeof(name) - 8, ".pcapng");
	CU_ASSERT_PTR_NOT_NULL(strstr(said(name), "...: a name may have 193 letters\n"));
	CU_ASSERT_EQUAL(unlink("dangling.pcapng"), 0);
	CU_ASSERT_EQUAL(rmdir("there.pcapng"), 0);
	end();
}

static void says_when_there_is_no_way_back(void)
{
	static const struct row rows[] = {
		{ "when", "0 calls were made; there is no way back here: " },
		{ "goto 5", "there is no way back here" },
		{ "goto", "too little" },
		{ "checkpoint", "there is no way back here" },
		{ "checkpoint list", "there is no way back here" },
		{ "checkpoint delete 1", "there is no way back here" },
		{ "diverge on", "there is no way back here" },
		{ "stop-at-exit on", "stop-at-exit is on, but there is no way back" },
		{ "run 5", "script does not count instructions" },
		{ "run x", "\"x\": expected how many instructions" },
	};

	begin();
	RUN(rows);
	end();
}

static void a_line_may_be_longer_than_any_path(void)
{
	char line[5000];

	begin();
	memset(line, 'x', sizeof(line));
	memcpy(line, "resolve ", 8);
	line[sizeof(line) - 1] = 0;
	CU_ASSERT_PTR_NOT_NULL(strstr(said(line), "ENAMETOOLONG"));
	end();
}

/* ---- other CPUs ---- */

static void set_state(const struct cpu_state *s)
{
	CU_ASSERT_EQUAL(backend_load(w.session.vm->cpu, s), 0);
}

static struct cpu_state state_now(void)
{
	struct cpu_state s;

	CU_ASSERT_EQUAL(backend_save(w.session.vm->cpu, &s), 0);
	return s;
}

static void shows_segments_of_all_kinds(void)
{
	enum { CODE = 8, READ = 2, ACCESSED = 1, CONFORMING = 4, WRITE = 2, DOWN = 4 };
	static const struct {
		uint32_t attr;
		const char *text, *qemu;
	} rows[] = {
		{ CPU_SEG_P | CPU_SEG_S | CODE | CPU_SEG_L, "level 0 code, 64 bit",
			"DPL=0 CS64 [---]" },
		{ CPU_SEG_P | CPU_SEG_S | CODE | CPU_SEG_DB | READ | ACCESSED, "code, 32 bit",
			"CS32 [-RA]" },
		{ CPU_SEG_P | CPU_SEG_S | CODE | CONFORMING | 3 << CPU_SEG_DPL_SHIFT,
			"level 3 code, 16 bit", "DPL=3 CS16 [C--]" },
		{ CPU_SEG_P | CPU_SEG_S | CPU_SEG_DB | WRITE | ACCESSED, "data", "DS   [-WA]" },
		{ CPU_SEG_P | CPU_SEG_S | DOWN, "data", "DS16 [E--]" },
		{ CPU_SEG_P | 11, "system", "DPL=0 TSS64-busy" },
		{ CPU_SEG_P | 4, "system", "DPL=0 Reserved" },
		{ CPU_SEG_UNUSABLE | CPU_SEG_P, "not usable", "ffffffff 00000000\n" },
		{ CPU_SEG_S, "level 0 data", "ffffffff 00001000\n" },
	};
	struct cpu_state s;

	begin();
	s = state_now();
	s.seg[CPU_CS].attr &= ~(uint32_t)CPU_SEG_L; /* else data has no size */
	s.halted = true;
	s.regs.rflags = 0xcd5;
	s.event = (struct cpu_event){ .pending = true, .vector = 13 };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row both[] = { { "info regs", rows[i].text },
			{ "info registers", rows[i].qemu } };

		s.seg[CPU_ES] = (struct cpu_seg){ .limit = 0xffffffff, .attr = rows[i].attr };
		set_state(&s);
		RUN(both);
		CU_ASSERT_PTR_NOT_NULL(strstr(said("info registers"), "\nES =0000 "));
	}
	CU_ASSERT_PTR_NOT_NULL(
		strstr(w.text, "RFL=00000cd5 [DOSZAPC] CPL=0 II=0 A20=1 SMM=0 HLT=1"));
	CU_ASSERT_PTR_NOT_NULL(strstr(said("info regs"), "rip     0000000000400010  halted\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(w.text, "exception 13 is to be delivered next\n"));
	end();
}

static uint64_t count_nothing(struct backend *b)
{
	(void)b;
	return 0;
}

static void shows_what_a_backend_has_and_lacks(void)
{
	static const struct row plain[] = {
		{ "info backend", "breakpoints   no, 0 set\nwatchpoints   no, 0 set\ninstructions  "
				  "not counted; $insn_count is -1\n"
				  "CPU state     can be read and written\nhelped by     nobody\n" },
	};
	static const struct row all[] = {
		{ "info backend",
			"note          a note\nmissing       a gap\ndebugging     by steps\n"
			"breakpoints   yes, 0 set\nwatchpoints   yes, 0 set\ninstructions  "
			"counted\n"
			"CPU state     registers only\n"
			"helped by     tcg, for instructions it refuses\n" },
	};
	static char one[] = "one", two[] = "two";
	static char *const words[] = { one, two };
	static const struct row args[] = {
		{ "info vm", "\narguments     \"one\" \"two\"\nenvironment   \"one\"\n" },
		{ "info vm", " kHz, deterministic\n" },
	};
	struct backend_ops ops = backend_script;
	struct vm *vm;

	begin();
	vm = w.session.vm;
	RUN(plain);
	vm->cpu_info = (struct backend_info){ .why = "a note",
		.gaps = "a gap",
		.debug = "by steps",
		.breakpoints = true,
		.watchpoints = true,
		.refuses = true };
	ops.icount = count_nothing;
	ops.load = NULL;
	vm->cpu->ops = &ops;
	RUN(all);
	ops.load = backend_script.load;
	ops.save = NULL;
	RUN(all);
	vm->cpu->ops = &backend_script;
	vm->args.app = vm->args.env = words;
	vm->args.n_app = 2;
	vm->args.n_env = 1;
	w.session.options.deterministic = true;
	RUN(args);
	end();
}

/* Of a CPU that does not tell them. */
static void says_when_registers_cannot_be_had(void)
{
	static const struct row rows[] = {
		{ "info vm", "the registers cannot be had of this backend" },
		{ "info regs", "the registers cannot be had of this backend" },
		{ "info registers", "the registers cannot be had of this backend" },
		{ "info mem", "this backend does not tell its control registers" },
		{ "info tlb", "this backend does not tell its control registers" },
		{ "info pages", "this backend does not tell its control registers" },
		{ "info pages 1", "this backend does not tell its control registers" },
		{ "gva2gpa 1", "this backend does not tell its control registers" },
		{ "xp/2xg 1050624", "0000000000100800: 0x0000000000000000 0x0000000000000000\n" },
		{ "xp $cr3", "expected an address" },
		{ "info call", "in no hypercall" },
		{ "dump-core x.core", "registers: Operation not supported" },
	};
	struct backend_ops ops = backend_script;

	begin();
	ops.save = NULL;
	ops.get_regs = NULL;
	ops.paging = NULL;
	w.session.vm->cpu->ops = &ops;
	RUN(rows);
	CU_ASSERT(access("x.core", F_OK) != 0);
	w.session.vm->cpu->ops = &backend_script;
	end();
}

static void says_when_paging_is_off(void)
{
	static const struct row rows[] = {
		{ "info mem", "paging is off: every address is a physical one" },
		{ "info tlb", "paging is off: every address is a physical one" },
		{ "info pages", "paging is off: every address is a physical one" },
		{ "info pages 0x100123", "0x100123 is 0x100123 in RAM" },
		{ "info pages 0x100123", "paging is off\n" },
		{ "gva2gpa 0x100123", "gpa: 0x100123" },
	};
	struct cpu_state s;

	begin();
	s = state_now();
	s.cr0 &= ~(uint64_t)CPU_CR0_PG;
	set_state(&s);
	RUN(rows);
	end();
}

static void put_entry(unsigned i, uint64_t entry)
{
	gmem_write(&w.session.vm->mem, TABLES + 0x3000 + 8 * i, &entry, sizeof(entry));
}

/* What follows each other is one range as long as all that is shown of it is the same. */
static void joins_what_is_alike(void)
{
	enum { GLOBAL = 1 << 8, ACCESSED = 1 << 5, DIRTY = 1 << 6 };
	static const struct row rows[] = {
		{ "info mem", "0000000000400000-0000000000404000 0000000000004000 -rw\n"
			      "0000000000404000-0000000000405000 0000000000001000 urw\n" },
		{ "info pages",
			"0000000000400000-0000000000401fff      8K  -rwx  -> 000000100000\n"
			"0000000000402000-0000000000402fff      4K  -rw-  -> 000000102000\n"
			"0000000000403000-0000000000403fff      4K  -rw-  -> 000000107000\n"
			"0000000000404000-0000000000404fff      4K  urwx  -> 000000108000\n" },
		{ "info pages",
			"0000000000800000-0000000000bfffff      4M  -rwx  -> 000000200000\n" },
		{ "info tlb", "0000000000402000: 0000000000102000 X-------W\n" },
		{ "info tlb", "0000000000404000: 0000000000108000 -G-DA--UW\n" },
		{ "info pages 0x402000", "supervisor, rw-\n" },
		{ "info pages 0x402000", ", writable, no execute\n" },
		{ "info pages 0x404000", ", user, global, accessed, dirty\n" },
	};
	uint64_t large = 0x400000 | PRESENT | WRITABLE | 1 << 7;

	begin();
	put_entry(1, (RAM + 0x1000) | PRESENT | WRITABLE);
	put_entry(2, (RAM + 0x2000) | PRESENT | WRITABLE | 1ull << 63);
	put_entry(3, (RAM + 0x7000) | PRESENT | WRITABLE | 1ull << 63);
	put_entry(4, (RAM + 0x8000) | PRESENT | WRITABLE | USER | GLOBAL | ACCESSED | DIRTY);
	gmem_write(&w.session.vm->mem, TABLES + 0x2000 + 8 * 5, &large, sizeof(large));
	RUN(rows);
	end();
}

/* ---- cores and calls ---- */

static void writes_a_core_where_it_was_started(void)
{
	static const struct row rows[] = {
		{ "dump-core x.core", "x.core: " },
		{ "dump-core x.core", "\"x.core\" is there already" },
	};
	static const struct row seen[] = {
		{ "dump-core y.core", "y.core: " },
		{ "record start y.pcapng", "y.pcapng: " },
	};

	begin();
	w.g.stop.signal = GDB_SIG_BUS;
	RUN(rows);
	CU_ASSERT_EQUAL(unlink("x.core"), 0);
	CU_ASSERT_EQUAL(chdir("../in"), 0); /* which the guest sees */
	RUN(seen);
	CU_ASSERT(access("y.core", F_OK) != 0 && access("y.pcapng", F_OK) != 0);
	end();
}

/* An instruction at RIP, as SDM 2A and 2B have IN and OUT. */
static void knows_a_call_by_its_instruction(void)
{
	static const struct {
		uint8_t insn[3];
		uint16_t dx;
		bool call;
	} rows[] = {
		{ { 0xef }, 0x1020, true },
		{ { 0xee }, 0x1020, true },
		{ { 0x66, 0xef }, 0x1020, true },
		{ { 0xe7, 0x20 }, 0x1020, false }, /* out to port 0x20 */
		{ { 0xed }, 0x1020, false },       /* in */
		{ { 0x90 }, 0x1020, false },
	};
	struct cpu_state s;

	begin();
	s = state_now();
	s.regs.gpr[CPU_RDI] = 'y';
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		gmem_write(&w.session.vm->mem, RAM + 0x10, rows[i].insn, 3);
		s.regs.gpr[CPU_RDX] = rows[i].dx;
		set_state(&s);
		CU_ASSERT_EQUAL(
			!!strstr(said("info call"), "about to make call 0: serial_write_byte("),
			rows[i].call);
	}
	end();
}

/* A name that another begins with is not that one. */
static void filters_by_whole_names(void)
{
	static const struct row rows[] = {
		{ "trace filter serial_write", "no such call among the last 1" },
		{ "trace filter serial_write_byte", "serial_write_byte(" },
		{ "info trace", "strace        on\n" },
	};

	begin();
	w.calls[w.n_calls++] = (struct vcpu_exit){
		.kind = VCPU_PORT, .port = 0x1020, .size = 4, .rdi = 'y', .rip = 0x400020
	};
	vm_run(w.session.vm);
	said("strace on");
	RUN(rows);
	end();
}

/* With all that a mapping can be told. */
static void shows_mappings_with_their_rights(void)
{
	static const struct row plain[] = { { "info mounts", "\n/    rw  scratch: " },
		{ "info mounts", "/in  ro  \"" } };
	static const struct row all[] = {
		{ "info mounts", "/in  rw,unlink,submounts,nohardlinks  \"" },
	};
	static const struct row wide[] = {
		{ "info mounts", "xxxx  rw,unlink,submounts,nohardlinks  \"" },
		{ "info mounts", "\n/  rw  scratch: " }, /* not as wide as that */
	};
	struct fileio_mount *m;
	const char *guest;

	begin();
	RUN(plain);
	m = &w.session.options.mounts[0];
	m->writable = m->may_unlink = m->submounts = m->no_hardlinks = true;
	RUN(all);
	guest = m->guest;
	m->guest = "/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
	RUN(wide);
	m->guest = guest;
	end();
}

static void answers_any_bytes(void)
{
	char line[200];

	begin();
	srand(1);
	for (int i = 0; i < 2000; i++) {
		size_t len = (size_t)rand() % (sizeof(line) - 1), head = (size_t)rand() % 4;
		static const char *const heads[] = { "", "xp ", "info ", "resolve " };

		strcpy(line, heads[head]);
		for (size_t k = strlen(line); k < len; k++)
			line[k] = (char)(1 + rand() % 255);
		line[len > strlen(heads[head]) ? len : strlen(heads[head])] = 0;
		said(line);
		for (const char *at = w.text; *at; at++)
			CU_ASSERT(isprint((unsigned char)*at) || *at == '\n');
	}
	end();
}

static const struct unit_case cases[] = {
	{ "helps", helps },
	{ "every_command_has_its_help", every_command_has_its_help },
	{ "takes_numbers_strictly", takes_numbers_strictly },
	{ "shows_what_is_mapped", shows_what_is_mapped },
	{ "bears_hostile_tables", bears_hostile_tables },
	{ "shows_the_machine", shows_the_machine },
	{ "shows_calls", shows_calls },
	{ "sees_a_call_coming", sees_a_call_coming },
	{ "resolves_without_a_trace", resolves_without_a_trace },
	{ "makes_no_file_but_of_a_plain_name", makes_no_file_but_of_a_plain_name },
	{ "says_when_there_is_no_way_back", says_when_there_is_no_way_back },
	{ "a_line_may_be_longer_than_any_path", a_line_may_be_longer_than_any_path },
	{ "shows_segments_of_all_kinds", shows_segments_of_all_kinds },
	{ "shows_what_a_backend_has_and_lacks", shows_what_a_backend_has_and_lacks },
	{ "says_when_registers_cannot_be_had", says_when_registers_cannot_be_had },
	{ "says_when_paging_is_off", says_when_paging_is_off },
	{ "joins_what_is_alike", joins_what_is_alike },
	{ "writes_a_core_where_it_was_started", writes_a_core_where_it_was_started },
	{ "knows_a_call_by_its_instruction", knows_a_call_by_its_instruction },
	{ "filters_by_whole_names", filters_by_whole_names },
	{ "shows_mappings_with_their_rights", shows_mappings_with_their_rights },
	{ "answers_any_bytes", answers_any_bytes },
};
UNIT_MAIN("gdb_monitor", cases)
