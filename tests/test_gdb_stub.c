// SPDX-License-Identifier: ISC
/*
 * Packets over a target that is a script: every answer to the byte, to what gdb and lldb send and to what nobody should.
 * A stream may come in any pieces, and after it the stub still answers.
 */
#include "gdb_stub.h"

#include <argz.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "cpu.h"
#include "gdb_packet.h"
#include "gdb_reader.h"
#include "gdb_regs.h"
#include "said.h"
#include "unit.h"

enum { MEMORY = 0x1000, MEMORY_LEN = 0x100, SAID = 1 << 20 };
#define NO_MEMORY   0xdead
#define NO_ROOM     0xf0
#define NO_BYTES    0xbad
#define GUEST_BYTES "\177ELF}#$*guest"

/* The target. Memory is at MEMORY, each byte the low part of its address; its physical address is 0. */
struct world {
	struct cpu_state cpu;
	uint8_t memory[MEMORY_LEN];
	const char *stops; /* what the next runs end with; a letter each */
	struct gdb_stub *stub;
	char *said; /* both what was sent and what was done to the target, in its order */
	size_t len;
	bool corrupt, ended;
};

__attribute__((format(printf, 2, 3))) static void note(struct world *w, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(w->said + w->len, SAID - w->len, format, args);
	va_end(args);
	w->len += n > 0 && (size_t)n < SAID - w->len ? (size_t)n : 0;
}

static int get_state(void *target, struct cpu_state *state, struct gdb_counts *counts)
{
	*state = ((struct world *)target)->cpu;
	*counts = (struct gdb_counts){ 7, 8 };
	return 0;
}

static int get_regs(void *target, struct cpu_regs *regs)
{
	*regs = ((struct world *)target)->cpu.regs;
	return 0;
}

static int set_state(void *target, const struct cpu_state *state, const char **why)
{
	struct world *w = target;

	if (state->regs.gpr[CPU_RBX] == NO_MEMORY) {
		*why = "not this one";
		return -EBUSY;
	}
	if (memcmp(&w->cpu, state, sizeof(*state)))
		note(w, "[set]");
	w->cpu = *state;
	return 0;
}

static size_t read_memory(void *target, bool physical, uint64_t addr, void *buf, size_t len)
{
	struct world *w = target;
	uint64_t at = physical ? addr : addr - MEMORY;

	if (at >= MEMORY_LEN)
		return 0;
	if (len > MEMORY_LEN - at)
		len = MEMORY_LEN - at;
	memcpy(buf, w->memory + at, len);
	return len;
}

static int write_memory(
	void *target, bool physical, uint64_t addr, const void *buf, size_t len, const char **why)
{
	struct world *w = target;
	uint64_t at = physical ? addr : addr - MEMORY;

	(void)why;
	if (at >= MEMORY_LEN || len > MEMORY_LEN - at)
		return -EFAULT;
	memcpy(w->memory + at, buf, len);
	note(w, "[write %llx %zu]", (unsigned long long)addr, len);
	return 0;
}

static void note_codes(struct world *w, const char *name, const struct gdb_code *codes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		note(w, " %s", name);
		for (size_t k = 0; k < codes[i].len; k++)
			note(w, "%02x", codes[i].bytes[k]);
	}
}

static int insert(void *target, const struct gdb_point *p, const char **why)
{
	struct world *w = target;

	if (p->addr == NO_ROOM) {
		*why = "all are taken";
		return -ENOSPC;
	}
	note(w, "[Z%d %llx %llx", (int)p->kind, (unsigned long long)p->addr,
		(unsigned long long)p->len);
	note_codes(w, "if ", p->conditions, p->n_conditions);
	note_codes(w, "do ", p->commands, p->n_commands);
	note(w, "]");
	return 0;
}

static int remove_point(void *target, enum gdb_point_kind kind, uint64_t addr, uint64_t len)
{
	note(target, "[z%d %llx %llx]", (int)kind, (unsigned long long)addr,
		(unsigned long long)len);
	return 0;
}

static int catch_calls(void *target, bool on, const uint64_t *numbers, size_t n)
{
	note(target, "[catch %d", on);
	for (size_t i = 0; i < n; i++)
		note(target, " %llu", (unsigned long long)numbers[i]);
	note(target, "]");
	return 0;
}

static const struct gdb_stop stops[] = {
	['b' - 'a'] = { .signal = GDB_SIG_TRAP, .why = GDB_WHY_BREAK_SOFT },
	['h' - 'a'] = { .signal = GDB_SIG_TRAP, .why = GDB_WHY_BREAK_HARD },
	['w' - 'a'] = { .signal = GDB_SIG_TRAP, .why = GDB_WHY_WATCH, .value = 0x1234 },
	['r' - 'a'] = { .signal = GDB_SIG_TRAP, .why = GDB_WHY_RWATCH, .value = UINT64_MAX },
	['a' - 'a'] = { .signal = GDB_SIG_TRAP, .why = GDB_WHY_AWATCH },
	['e' - 'a'] = { .signal = GDB_SIG_TRAP,
		.why = GDB_WHY_CALL_ENTRY,
		.value = 2,
		.text = "open(1)\n" },
	['f' - 'a'] = { .signal = GDB_SIG_TRAP, .why = GDB_WHY_CALL_RETURN, .value = 1012 },
	['i' - 'a'] = { .signal = GDB_SIG_INT },
	['s' - 'a'] = { .signal = GDB_SIG_SEGV, .text = "a crash, #$*}\n" },
	['o' - 'a'] = { .signal = GDB_SIG_TRAP, .why = GDB_WHY_BEGIN },
	['p' - 'a'] = { .signal = GDB_SIG_TRAP, .why = GDB_WHY_END },
	['q' - 'a'] = { .kind = GDB_EXITED, .code = 7 },
	['x' - 'a'] = { .kind = GDB_ENDED, .signal = GDB_SIG_SEGV },
};

static void resume(void *target, const struct gdb_resume *how, struct gdb_stop *stop)
{
	struct world *w = target;

	note(w, "[%s%s%s", how->reverse ? "back " : "", how->step ? "step" : "go",
		how->alone ? " alone" : "");
	if (how->range_start || how->range_end)
		note(w, " %llx-%llx", (unsigned long long)how->range_start,
			(unsigned long long)how->range_end);
	note(w, "]");
	gdb_stub_say(w->stub, "", 0);
	*stop = *w->stops ? stops[*w->stops++ - 'a'] : stops['b' - 'a'];
}

static void why(void *target, struct gdb_stop *stop)
{
	(void)target;
	*stop = (struct gdb_stop){ .signal = GDB_SIG_TRAP };
}

static int restart(
	void *target, const char *args, size_t len, struct gdb_stop *stop, const char **why_not)
{
	struct world *w = target;

	note(w, "[restart");
	for (const char *arg = len ? args : NULL; arg; arg = argz_next(args, len, arg))
		note(w, " %s", arg);
	note(w, "]");
	if (*w->stops == 'n') {
		*why_not = "not twice";
		return -EOPNOTSUPP;
	}
	why(target, stop);
	return 0;
}

static void detach(void *target)
{
	note(target, "[detach]");
}

static bool monitor(void *target, const char *line, FILE *out)
{
	(void)target;
	if (!strcmp(line, "quiet"))
		return true;
	for (int i = 0; !strcmp(line, "loud") && i < GDB_PACKET_MAX; i++)
		fputc('x', out);
	if (!strncmp(line, "echo ", 5))
		fprintf(out, "%s\n", line + 5);
	return !strcmp(line, "loud") || !strncmp(line, "echo ", 5);
}

static int file_find(void *target, const char *name)
{
	(void)target;
	return strcmp(name, "/guest.elf") ? -ENOENT : 0;
}

static int64_t file_size(void *target, int file)
{
	(void)target;
	return file ? -1 : (int64_t)strlen(GUEST_BYTES);
}

static ssize_t file_read(void *target, int file, uint64_t at, void *buf, size_t len)
{
	size_t n = strlen(GUEST_BYTES);

	(void)target, (void)file;
	if (at == NO_BYTES)
		return -EIO;
	if (at > n)
		at = n;
	if (len > n - at)
		len = n - at;
	memcpy(buf, &GUEST_BYTES[at], len);
	return (ssize_t)len;
}

static const char *exec_file(void *target)
{
	(void)target;
	return "/guest.elf";
}

static uint64_t load_offset(void *target)
{
	(void)target;
	return 0x100000000;
}

static uint64_t image_entry(void *target)
{
	(void)target;
	return 0x41;
}

static uint64_t image_start(void *target)
{
	(void)target;
	return 0x2000;
}

static uint64_t not_moved(void *target)
{
	(void)target;
	return 0;
}

static const struct gdb_target_ops ops = {
	.get_state = get_state,
	.get_regs = get_regs,
	.set_state = set_state,
	.read = read_memory,
	.write = write_memory,
	.insert = insert,
	.remove = remove_point,
	.catch_calls = catch_calls,
	.resume = resume,
	.why = why,
	.restart = restart,
	.detach = detach,
	.monitor = monitor,
	.file_find = file_find,
	.file_size = file_size,
	.file_read = file_read,
	.exec_file = exec_file,
	.load_offset = load_offset,
	.image_start = image_start,
	.image_entry = image_entry,
};

/* As a reader has it: acknowledgements as they are, replies between < and >, console text between " and ". */
static void take(void *ctx, const uint8_t *bytes, size_t n)
{
	static uint8_t text[GDB_PACKET_MAX];
	struct world *w = ctx;
	long len = -1;

	if (n == 1) {
		note(w, "%c", bytes[0]);
		return;
	}
	len = gdb_reader_take(bytes, n, false, text, sizeof(text));
	w->corrupt |= len < 0;
	if (len > 0 && text[0] == 'O' && text[1] != 'K') {
		note(w, "\"");
		for (long i = 1; i + 1 < len; i += 2) {
			char byte[3] = { (char)text[i], (char)text[i + 1], 0 };

			note(w, "%c", (char)strtoul(byte, NULL, 16));
		}
		note(w, "\"");
	} else if (len >= 0) {
		note(w, "<");
		for (long i = 0; i < len; i++)
			if (text[i] >= ' ' && text[i] <= '~')
				note(w, "%c", text[i]);
			else
				note(w, "\\%02x", text[i]);
		note(w, ">");
	}
}

static void begin(struct world *w, const struct gdb_target_ops *with, const char *stops_of_runs)
{
	*w = (struct world){ .stops = stops_of_runs, .said = calloc(1, SAID) };
	cpu_state_long_mode(&w->cpu);
	w->cpu.regs.rip = MEMORY;
	w->cpu.regs.gpr[CPU_RSP] = 0x2000;
	for (unsigned i = 0; i < MEMORY_LEN; i++)
		w->memory[i] = (uint8_t)i;
	w->stub = gdb_stub_new(with, w, take, w);
	if (!w->stub) {
		free(w->said);
		CU_FAIL_FATAL("out of memory");
	}
}

static void end(struct world *w)
{
	CU_ASSERT(!w->corrupt);
	gdb_stub_free(w->stub);
	free(w->said);
}

static void feed(struct world *w, const char *bytes, size_t n)
{
	const uint8_t *at = (const uint8_t *)bytes;

	while (n && !w->ended)
		w->ended = gdb_stub_input(w->stub, &at, &n) != GDB_TALKING;
}

/* "{PAYLOAD}" is that packet, with its checksum; %HH is a byte; all else is as it is. */
static size_t expand(const char *stream, char *out)
{
	uint8_t sum = 0;
	char *o = out;

	for (const char *p = stream; *p; p++) {
		char ch = *p;

		if (ch == '%') {
			char digits[3] = { p[1], p[2], 0 };

			ch = (char)strtoul(digits, NULL, 16);
			p += 2;
		} else if (ch == '{') {
			sum = 0;
			*o++ = '$';
			continue;
		} else if (ch == '}') {
			o += sprintf(o, "#%02x", sum);
			continue;
		}
		*o++ = ch;
		sum = (uint8_t)(sum + (uint8_t)ch);
	}
	return (size_t)(o - out);
}

/* The registers that every stop tells. */
#define EXPEDITED         "10:0010000000000000;07:0020000000000000;06:0000000000000000;11:02000000;"
#define STOP(signal, why) "<T" signal EXPEDITED why "thread:1;>"
#define BROKE             STOP("05", "") /* to a client that did not ask for swbreak */
#define STANDS            STOP("05", "")
#define BAD               "<E16>" /* EINVAL */
#define BAD_LENGTH        "<E.the value has another length>"
#define SUPPORTED                                                                                  \
	"<PacketSize=20000;QStartNoAckMode+;qXfer:features:read+;qXfer:exec-file:read+;"           \
	"qXfer:threads:read+;qXfer:auxv:read+;swbreak+;hwbreak+;vContSupported+;QCatchSyscalls+;"  \
	"ConditionalBreakpoints+;BreakpointCommands+;binary-upload+;error-message+>"

/* A pair of the auxiliary vector: the page's size, the entry point, the end. */
#define NONE6        "\\00\\00\\00\\00\\00\\00"
#define AUX(key, lo) "\\0" key "\\00" NONE6 lo NONE6

static const struct stream {
	const char *bytes, *said;
} streams[] = {
	/* framing */
	{ "", "" },
	{ "+", "" },
	{ "-", "" },
	{ "\003", "" },
	{ "\003\003\003+++", "" },
	{ "noise", "" },
	{ "{}", "+<>" },
	{ "{?}", "+" STANDS },
	{ "+{?}+", "+" STANDS },
	{ "$?#00", "-" },
	{ "$?#3", "" },
	{ "$?#", "" },
	{ "$?", "" },
	{ "$", "" },
	{ "$?#3f", "+" STANDS },
	{ "$?#3F", "+" STANDS },
	{ "$?#xx", "-" },
	{ "$?#3x", "-" },
	{ "$?#{?}", "-+" STANDS },
	{ "$?#3{?}", "-+" STANDS },
	{ "$cut{?}", "+" STANDS },
	{ "$$$$", "" },
	{ "####", "" },
	{ "$#00", "+<>" },
	{ "$##", "-" },
	{ "{?\003}", "+<>" },
	{ "{?%00}", "+<>" },
	{ "{%00}", "+<>" },
	{ "{%ff%fe%80}", "+<>" },
	{ "{}{}{}", "+<>+<>+<>" },
	{ "{qC}-", "+<QC1><QC1>" },
	{ "{qC}---", "+<QC1><QC1><QC1><QC1>" },
	{ "{qC}+-+", "+<QC1><QC1>" },
	{ "{qC}$bad#00-", "+<QC1>-<QC1>" },
	{ "{qC}\003{qC}", "+<QC1>+<QC1>" },
	{ "$qC#b4\003", "+<QC1>" },
	{ "{QStartNoAckMode}{qC}", "+<OK><QC1>" },
	{ "{QStartNoAckMode}+{qC}+", "+<OK><QC1>" },
	{ "{QStartNoAckMode}-", "+<OK>" },
	{ "{QStartNoAckMode}$qC#00", "+<OK><QC1>" },
	{ "{QStartNoAckMode}$qC#zz{qC}", "+<OK><QC1>" },
	{ "{QStartNoAckMode}{QStartNoAckMode}", "+<OK><OK>" },
	{ "$QStartNoAckMode#00{qC}", "-+<QC1>" },
	{ "{QStartNoAckModeX}{qC}", "+<>+<QC1>" },
	/* what is not known */
	{ "{A}", "+<>" },
	{ "{b}", "+<>" },
	{ "{d}", "+<>" },
	{ "{i}", "+<>" },
	{ "{t}", "+<>" },
	{ "{j}", "+<>" },
	{ "{vMustReplyEmpty}", "+<>" },
	{ "{vCont.c}", "+<>" },
	{ "{vStopped}", "+<>" },
	{ "{v}", "+<>" },
	{ "{q}", "+<>" },
	{ "{Q}", "+<>" },
	{ "{qTStatus}", "+<>" },
	{ "{qXfer}", "+<>" },
	{ "{qXfer:memory-map:read::0,1000}", "+<>" },
	{ "{qXfer:auxv:read::0,1000}",
		"+<l" AUX("6", "\\00\\10") AUX("9", "A\\00") AUX("0", "\\00\\00") ">" },
	{ "{qXfer:auxv:read::10,2}", "+<m\\09\\00>" },
	{ "{qXfer:auxv:read::30,2}", "+<l>" },
	{ "{qXfer:auxv:read:x:0,10}", "+<>" },
	{ "{qXfer:features:write:target.xml:0:}", "+<>" },
	{ "{qAttachedX}", "+<>" },
	{ "{qSupportedX}", "+<>" },
	{ "{Hx1}", "+<>" },
	{ "{Z5,1000,1}", "+<>" },
	{ "{z9,1000,1}", "+<>" },
	{ "{Z,1000,1}", "+<>" },
	{ "{Z-1,1000,1}", "+<>" },
	{ "{garbage}", "+<>" },
	{ "{kill}", "+<>" },
	{ "{Detach}", "+<>" },
	{ "{?!}", "+<>" },
	{ "{!!}", "+<>" },
	/* registers */
	{ "{p10}", "+<0010000000000000>" },
	{ "{p7}", "+<0020000000000000>" },
	{ "{p11}", "+<02000000>" },
	{ "{p}", "+" BAD },
	{ "{px}", "+" BAD },
	{ "{p-1}", "+" BAD },
	{ "{p55}", "+" BAD },
	{ "{pffffffffffffffff}", "+" BAD },
	{ "{p10000000000000010}", "+" BAD },
	{ "{p10 }", "+" BAD },
	{ "{p10;}", "+" BAD },
	{ "{P0=0100000000000000}{p0}", "+[set]<OK>+<0100000000000000>" },
	{ "{P0=01000000000000}", "+" BAD_LENGTH },
	{ "{P0=010000000000000000}", "+" BAD_LENGTH },
	{ "{P0=}", "+" BAD_LENGTH },
	{ "{P0}", "+" BAD_LENGTH },
	{ "{P}", "+" BAD },
	{ "{P=00}", "+" BAD },
	{ "{P0=010000000000000x}", "+" BAD_LENGTH },
	{ "{P999=0100000000000000}", "+" BAD },
	{ "{P1=adde000000000000}{p1}", "+<E.not this one>+<0000000000000000>" },
	{ "{P10=0000000000000080}{p10}",
		"+<E.no CPU may hold this value there>+<0010000000000000>" },
	{ "{P12=00000000}", "+<E.this register cannot be written>" },
	{ "{P53=0900000000000000}{p53}", "+<OK>+<0700000000000000>" },
	{ "{P54=0900000000000000}{p54}", "+<OK>+<0800000000000000>" },
	{ "{P39=0000000000000000}", "+<OK>" },
	{ "{G}", "+<E.not as many bytes as g gives>" },
	{ "{G00}", "+<E.not as many bytes as g gives>" },
	{ "{Gxx}", "+<E.not as many bytes as g gives>" },
	{ "{g }", "+<>" },
	/* memory */
	{ "{m1000,4}", "+<00010203>" },
	{ "{m1000,0}", "+<>" },
	{ "{m10fe,4}", "+<feff>" },
	{ "{m1100,1}", "+<E0e>" },
	{ "{mfff,2}", "+<E0e>" },
	{ "{mffffffffffffffff,2}", "+<E0e>" },
	{ "{m10fe,ffffffffffffffff}", "+<feff>" },
	{ "{m10ff,8000000000000000}", "+<ff>" },
	{ "{m10000000000001000,1}", "+" BAD },
	{ "{m1000}", "+" BAD },
	{ "{m1000,}", "+" BAD },
	{ "{m,4}", "+" BAD },
	{ "{m}", "+" BAD },
	{ "{m-1000,4}", "+" BAD },
	{ "{m1000,-4}", "+" BAD },
	{ "{m1000,4 }", "+" BAD },
	{ "{m1000,4,4}", "+" BAD },
	{ "{m 1000,4}", "+" BAD },
	{ "{m0x1000,4}", "+" BAD },
	{ "{x1020,6}", "+<b !\"}\\03}\\04%>" },
	{ "{x1000,0}", "+<b>" },
	{ "{x1100,1}", "+<E0e>" },
	{ "{x1000}", "+" BAD },
	{ "{x1000,4 }", "+" BAD },
	{ "{x10ff,ffffffffffffffff}", "+<b\\ff>" },
	{ "{M1000,2:abcd}{m1000,3}", "+[write 1000 2]<OK>+<abcd02>" },
	{ "{M1000,0:}", "+<OK>" },
	{ "{M1000,2:ab}", "+" BAD },
	{ "{M1000,2:abcdef}", "+" BAD },
	{ "{M1000,2:abc}", "+" BAD },
	{ "{M1000,2:abcx}", "+" BAD },
	{ "{M1000,2}", "+" BAD },
	{ "{M1000,2:}", "+" BAD },
	{ "{M1000:abcd}", "+" BAD },
	{ "{M10ff,2:abcd}", "+<E0e>" },
	{ "{M1000,8000000000000000:}", "+" BAD },
	{ "{M1000,8000000000000001:ab}", "+" BAD },
	{ "{M1000,ffffffffffffffff:ab}", "+" BAD },
	{ "{X1000,0:}", "+<OK>" },
	{ "{X1000,2:AB}{m1000,3}", "+[write 1000 2]<OK>+<414202>" },
	{ "{X1000,4:%7d%03%7d%04%7d%0a%7d%5d}{m1000,5}", "+[write 1000 4]<OK>+<23242a7d04>" },
	{ "{X1000,2:%00%ff}{m1000,2}", "+[write 1000 2]<OK>+<00ff>" },
	{ "{X1000,2:A}", "+" BAD },
	{ "{X1000,2:ABC}", "+" BAD },
	{ "{X1000,2:A%7d}", "+" BAD },
	{ "{X1000,1:A%7d}{m1000,1}", "+[write 1000 1]<OK>+<41>" },
	{ "{X1000,2}", "+" BAD },
	{ "{X}", "+" BAD },
	{ "{X1100,1:A}", "+<E0e>" },
	{ "{Xffffffffffffffff,2:AB}", "+<E0e>" },
	{ "{X1000,ffffffffffffffff:AB}", "+" BAD },
	{ "{qCRC:1000,0}", "+<Cffffffff>" },
	{ "{qCRC:1000,1}", "+<C4e08bfb4>" },
	{ "{qCRC:10ff,2}", "+<E0e>" },
	{ "{qCRC:1000,ffffffffffffffff}", "+<E0e>" },
	{ "{qCRC:1000}", "+" BAD },
	{ "{qCRC:1000,}", "+" BAD },
	{ "{qCRC:}", "+" BAD },
	{ "{qSearch:memory:1000;100;%41%42}", "+<1,1041>" },
	{ "{qSearch:memory:1000;100;%7d%03}", "+<1,1023>" },
	{ "{qSearch:memory:1000;42;%41%42}", "+<0>" },
	{ "{qSearch:memory:1000;43;%41%42}", "+<1,1041>" },
	{ "{qSearch:memory:1042;100;%41%42}", "+<0>" },
	{ "{qSearch:memory:1000;ffffffffffffffff;%00%00}", "+<0>" },
	{ "{qSearch:memory:1000;0;A}", "+<0>" },
	{ "{qSearch:memory:1000;100;}", "+" BAD },
	{ "{qSearch:memory:1000;100}", "+" BAD },
	{ "{qSearch:memory:1000;}", "+" BAD },
	{ "{qSearch:memory:1000}", "+" BAD },
	{ "{qSearch:memory:}", "+" BAD },
	{ "{qSearch:memory:5000;100;A}", "+<0>" },
	{ "{qSearch:memory:1000;100;%7d}", "+<0>" },
	{ "{Qqemu.PhyMemMode:1}{m0,2}{qqemu.PhyMemMode}{M0,1:aa}{m0,1}",
		"+<OK>+<0001>+<1>+[write 0 1]<OK>+<aa>" },
	{ "{Qqemu.PhyMemMode:2}{qqemu.PhyMemMode}", "+" BAD "+<0>" },
	{ "{Qqemu.PhyMemMode:1}{Qqemu.PhyMemMode:0}{m0,2}", "+<OK>+<OK>+<E0e>" },
	{ "{qqemu.sstepbits}{qqemu.sstep}", "+<ENABLE=1,NOIRQ=2,NOTIMER=4>+<0x1>" },
	/* breakpoints */
	{ "{Z0,1000,1}", "+[Z0 1000 1]<OK>" },
	{ "{Z1,1000,1}{z1,1000,1}", "+[Z1 1000 1]<OK>+[z1 1000 1]<OK>" },
	{ "{Z2,1000,8}{Z3,1000,8}{Z4,1000,8}", "+[Z2 1000 8]<OK>+[Z3 1000 8]<OK>+[Z4 1000 8]<OK>" },
	{ "{Z0,f0,1}", "+<E1c>" },
	{ "{Z0,1000}", "+" BAD },
	{ "{Z0,1000,}", "+" BAD },
	{ "{Z0,,1}", "+" BAD },
	{ "{Z0}", "+<>" },
	{ "{Z}", "+<>" },
	{ "{z0,1000}", "+" BAD },
	{ "{Z00000000000000000,1000,1}", "+[Z0 1000 1]<OK>" },
	{ "{Z0,ffffffffffffffff,ffffffffffffffff}", "+[Z0 ffffffffffffffff ffffffffffffffff]<OK>" },
	{ "{Z0,1000,1;}", "+[Z0 1000 1]<OK>" },
	{ "{Z0,1000,1;X2,2227}", "+[Z0 1000 1 if 2227]<OK>" },
	{ "{Z0,1000,1X2,2227}", "+[Z0 1000 1 if 2227]<OK>" },
	{ "{Z0,1000,1;X1,27X2,2227}", "+[Z0 1000 1 if 27 if 2227]<OK>" },
	{ "{Z0,1000,1;X1,27;X2,2227}", "+[Z0 1000 1 if 27 if 2227]<OK>" },
	{ "{Z0,1000,1;X1,27;cmds:0,X2,2227}", "+[Z0 1000 1 if 27 do 2227]<OK>" },
	{ "{Z0,1000,1;cmds:1,X2,2227}", "+[Z0 1000 1 do 2227]<OK>" },
	{ "{Z0,1000,1;cmds:0,X1,27X1,27}", "+[Z0 1000 1 do 27 do 27]<OK>" },
	{ "{Z0,1000,1;cmds:0,}", "+[Z0 1000 1]<OK>" },
	{ "{Z0,1000,1;cmds:}", "+" BAD },
	{ "{Z0,1000,1;cmds:,X1,27}", "+" BAD },
	{ "{Z0,1000,1;cmds:0}", "+" BAD },
	{ "{Z0,1000,1;cmds:0,X1}", "+" BAD },
	{ "{Z0,1000,1;X0,}", "+[Z0 1000 1 if ]<OK>" },
	{ "{Z0,1000,1;X1,2}", "+" BAD },
	{ "{Z0,1000,1;X3,2227}", "+" BAD },
	{ "{Z0,1000,1;X1,2227}", "+" BAD },
	{ "{Z0,1000,1;X,27}", "+" BAD },
	{ "{Z0,1000,1;X1}", "+" BAD },
	{ "{Z0,1000,1;X}", "+" BAD },
	{ "{Z0,1000,1;Xffffffffffffffff,27}", "+" BAD },
	{ "{Z0,1000,1;X-1,27}", "+" BAD },
	{ "{Z0,1000,1;Y1,27}", "+" BAD },
	{ "{Z0,1000,1;27}", "+" BAD },
	{ "{Z0,1000,1,1}", "+" BAD },
	{ "{z0,1000,1;}", "+" BAD },
	/* threads */
	{ "{Hg0}{Hc-1}{Hg1}{Hgp1.1}{Hgp0.0}{Hgp-1.-1}{Hgp1}{Hcp1.-1}",
		"+<OK>+<OK>+<OK>+<OK>+<OK>+<OK>+<OK>+<OK>" },
	{ "{Hg2}{Hgp2.1}{Hgp1.2}{Hc-2}{Hg}{Hg1.1}{Hgp}{Hgp1.}{Hg1 }",
		"+<E03>+<E03>+<E03>+<E03>+<E03>+<E03>+<E03>+<E03>+<E03>" },
	{ "{H}", "+<>" },
	{ "{T1}{T2}{T}{Tp1.1}", "+<OK>+<E03>+<E03>+<OK>" },
	{ "{qfThreadInfo}{qsThreadInfo}", "+<m1>+<l>" },
	{ "{qsThreadInfo}", "+<l>" },
	{ "{qThreadExtraInfo,1}", "+<764350552030>" },
	{ "{qAttached}{qAttached:1}{qC}", "+<1>+<1>+<QC1>" },
	/* running */
	{ "{c}", "+[go]" BROKE },
	{ "{s}", "+[step alone]" BROKE },
	{ "{C05}", "+[go]" BROKE },
	{ "{S05}", "+[step alone]" BROKE },
	{ "{c2000}{p10}",
		"+[set][go]<T0510:0020000000000000;07:0020000000000000;06:0000000000000000;"
		"11:02000000;thread:1;>+<0020000000000000>" },
	{ "{s1000}", "+[step alone]" BROKE },
	{ "{C05;1000}", "+[go]" BROKE },
	{ "{c8000000000000000}{p10}", "+" BAD "+<0010000000000000>" },
	{ "{cx}", "+" BAD },
	{ "{c1000x}", "+" BAD },
	{ "{c10000000000001000}", "+" BAD },
	{ "{C}", "+" BAD },
	{ "{Cx}", "+" BAD },
	{ "{C05x}", "+" BAD },
	{ "{C05;}", "+[go]" BROKE },
	{ "{S}", "+" BAD },
	{ "{s-1}", "+" BAD },
	{ "{bs}{bc}", "+<>+<>" },
	{ "{vCont?}", "+<vCont;c;C;s;S;r;t>" },
	{ "{vCont;c}", "+[go]" BROKE },
	{ "{vCont;C05}", "+[go]" BROKE },
	{ "{vCont;s}", "+[step]" BROKE },
	{ "{vCont;S05:1}", "+[step alone]" BROKE },
	{ "{vCont;r1000,1010}", "+[step 1000-1010]" BROKE },
	{ "{vCont;r1000,1010:p1.1}", "+[step alone 1000-1010]" BROKE },
	{ "{vCont;r1010,1000}", "+[step 1010-1000]" BROKE },
	{ "{vCont;s:1;c}", "+[step]" BROKE },
	{ "{vCont;s:p1.1;c:p1.-1}", "+[step]" BROKE },
	{ "{vCont;c:2;s:1}", "+[step]" BROKE },
	{ "{vCont;c:p2.-1;s}", "+[step]" BROKE },
	{ "{vCont;c:-1}", "+[go]" BROKE },
	{ "{vCont;c:0}", "+[go]" BROKE },
	{ "{vCont;c:2}", "+" STANDS },
	{ "{vCont;t}", "+" STANDS },
	{ "{vCont;t:1;c}", "+[go]" BROKE },
	{ "{vCont}", "+" BAD },
	{ "{vCont;}", "+" BAD },
	{ "{vCont;c;}", "+" BAD },
	{ "{vCont;x}", "+" BAD },
	{ "{vCont;c:}", "+" BAD },
	{ "{vCont;c:x}", "+" BAD },
	{ "{vCont;c1}", "+" BAD },
	{ "{vCont;C}", "+" BAD },
	{ "{vCont;r1000}", "+" BAD },
	{ "{vCont;r1000,}", "+" BAD },
	{ "{vCont;r}", "+" BAD },
	{ "{vCont;s:1;c:}", "+" BAD },
	{ "{vCont:c}", "+" BAD },
	{ "{vCtrlC}", "+<OK>" },
	{ "{c}-", "+[go]" BROKE BROKE },
	{ "{vRun;}", "+[restart]" STANDS },
	{ "{vRun}{vRun;2f61}{vRun;;}",
		"+[restart]" STANDS "+[restart]" STANDS "+[restart ]" STANDS },
	{ "{vRun;2f61;62}", "+[restart b]" STANDS },
	{ "{vRun;;61206263;;24237d}", "+[restart a bc  $#}]" STANDS },
	{ "{vRun;;6}{vRun;;6x}{vRun;;61;620063}{vRun;;00}", "+" BAD "+" BAD "+" BAD "+" BAD },
	{ "{R00}", "+[restart]" },
	{ "{!}{vKill;1}{?}", "+<OK>+<OK>+" STANDS },
	{ "{vAttach;1}{vAttach;2}{vAttach;}", "+" STANDS "+<E03>+<E03>" },
	{ "{D}", "+[detach]<OK>" },
	{ "{D;1}", "+[detach]<OK>" },
	{ "{k}", "+" },
	{ "{vKill;1}", "+<OK>" },
	{ "{k}{qC}", "+" },
	/* queries */
	{ "{qSupported}", "+" SUPPORTED },
	{ "{qSupported:multiprocess+;swbreak+;xmlRegisters=i386}", "+" SUPPORTED },
	{ "{qSupported:multiprocess+;swbreak+}{c}", "+" SUPPORTED "+[go]" STOP("05", "swbreak:;") },
	{ "{qSupported:swbreak-;hwbreak+}{c}", "+" SUPPORTED "+[go]" BROKE },
	{ "{qSupported:;;;}", "+" SUPPORTED },
	{ "{qSupported:error-message+}{p999}", "+" SUPPORTED "+<E.no such register>" },
	{ "{qSupported:xerror-message+}{p999}", "+" SUPPORTED "+" BAD },
	{ "{qOffsets}", "+<TextSeg=100002000>" },
	{ "{qSymbol::}", "+<OK>" },
	{ "{qXfer:exec-file:read:1:0,100}", "+<l/guest.elf>" },
	{ "{qXfer:exec-file:read::0,4}", "+<m/gue>" },
	{ "{qXfer:exec-file:read::4,100}", "+<lst.elf>" },
	{ "{qXfer:exec-file:read::a,100}", "+<l>" },
	{ "{qXfer:exec-file:read::b,100}", "+<l>" },
	{ "{qXfer:exec-file:read::ffffffffffffffff,ffffffffffffffff}", "+<l>" },
	{ "{qXfer:exec-file:read::0,0}", "+<m>" },
	{ "{qXfer:exec-file:read::0}", "+" BAD },
	{ "{qXfer:exec-file:read::0,}", "+" BAD },
	{ "{qXfer:exec-file:read::,4}", "+" BAD },
	{ "{qXfer:exec-file:read::-1,4}", "+" BAD },
	{ "{qXfer:exec-file:read:0,4}", "+<E02>" },
	{ "{qXfer:features:read:target.xml:0,e}", "+<m<?xml version=>" },
	{ "{qXfer:features:read:target.xml:ffffff,e}", "+<l>" },
	{ "{qXfer:features:read:other.xml:0,e}", "+<>" },
	{ "{QCatchSyscalls:1}", "+[catch 1]<OK>" },
	{ "{QCatchSyscalls:0}", "+[catch 0]<OK>" },
	{ "{QCatchSyscalls:1;0;2;3e8}", "+[catch 1 0 2 1000]<OK>" },
	{ "{QCatchSyscalls:}", "+" BAD },
	{ "{QCatchSyscalls:2}", "+" BAD },
	{ "{QCatchSyscalls:1;}", "+" BAD },
	{ "{QCatchSyscalls:1;x}", "+" BAD },
	{ "{QCatchSyscalls:1;1;;2}", "+" BAD },
	{ "{QCatchSyscalls:1 }", "+" BAD },
	{ "{qRcmd,6563686f206869}", "+<68690a>" },
	{ "{qRcmd,7175696574}", "+<OK>" },
	{ "{qRcmd,6e6f}",
		"+<6e6f3a206e6f207375636820636f6d6d616e643b20736565206d6f6e69746f722068656c700a>" },
	{ "{qRcmd,}", "+<68656c703a206e6f207375636820636f6d6d616e643b20736565206d6f6e69746f722068656c700a>" },
	{ "{qRcmd,6}", "+" BAD },
	{ "{qRcmd,656}", "+" BAD },
	{ "{qRcmd,6x}", "+" BAD },
	{ "{qRcmd}", "+<>" },
	{ "{qRcmd,7175696574007a}", "+<OK>" },
	/* files */
	{ "{vFile:setfs:0}", "+<F0>" },
	{ "{vFile:open:2f67756573742e656c66,0,0}", "+<F0>" },
	{ "{vFile:open:2f67756573742e656c66,0}", "+<F0>" },
	{ "{vFile:open:2f6574632f706173737764,0,0}", "+<F-1,2>" },
	{ "{vFile:open:2f67756573742e656c66,1,0}", "+<F-1,1e>" },
	{ "{vFile:open:2f67756573742e656c66,602,1ff}", "+<F-1,1e>" },
	{ "{vFile:open:2f67756573742e656c6,0,0}", "+<F-1,16>" },
	{ "{vFile:open:,0,0}", "+<F-1,2>" },
	{ "{vFile:open:2f67}", "+<F-1,16>" },
	{ "{vFile:open:2f67,}", "+<F-1,16>" },
	{ "{vFile:open:2f6x,0,0}", "+<F-1,16>" },
	{ "{vFile:open:}", "+<F-1,16>" },
	{ "{vFile:open}", "+<>" },
	{ "{vFile:pread:0,ff,0}", "+<Fd;\\7fELF}]}\\03}\\04}\\0aguest>" },
	{ "{vFile:pread:0,4,9}", "+<F4;uest>" },
	{ "{vFile:pread:0,4,d}", "+<F0;>" },
	{ "{vFile:pread:0,4,ffffffffffffffff}", "+<F0;>" },
	{ "{vFile:pread:0,ffffffffffffffff,c}", "+<F1;t>" },
	{ "{vFile:pread:0,0,0}", "+<F0;>" },
	{ "{vFile:pread:1,4,0}", "+<F-1,9>" },
	{ "{vFile:pread:-1,4,0}", "+<F-1,9>" },
	{ "{vFile:pread:ffffffffffffffff,4,0}", "+<F-1,9>" },
	{ "{vFile:pread:0,4}", "+<F-1,16>" },
	{ "{vFile:pread:0,4,}", "+<F-1,16>" },
	{ "{vFile:pread:0,}", "+<F-1,16>" },
	{ "{vFile:pread:0,4,bad}", "+<F-1,270f>" },
	{ "{vFile:pread:0}", "+<F-1,16>" },
	{ "{vFile:pread:}", "+<F-1,9>" },
	{ "{vFile:close:0}", "+<F0>" },
	{ "{vFile:close:1}", "+<F-1,9>" },
	{ "{vFile:close:}", "+<F-1,9>" },
	{ "{vFile:fstat:9}", "+<F-1,9>" },
	{ "{vFile:pwrite:0,0,x}", "+<F-1,1e>" },
	{ "{vFile:unlink:2f}", "+<F-1,1e>" },
	{ "{vFile:readlink:2f}", "+<>" },
	{ "{vFile:}", "+<>" },
};

/* What the first run ends with, too: a letter of stops[]. */
static const struct ended_stream {
	const char *stops;
	struct stream stream;
} ended_streams[] = {
	{ "h", { "{c}", "+[go]" STOP("05", "") } },
	{ "h", { "{qSupported:swbreak+;hwbreak+}{c}",
		       "+" SUPPORTED "+[go]" STOP("05", "hwbreak:;") } },
	{ "h", { "{qSupported:swbreak+}{c}", "+" SUPPORTED "+[go]" STOP("05", "") } },
	{ "w", { "{c}", "+[go]" STOP("05", "watch:1234;") } },
	{ "r", { "{c}", "+[go]" STOP("05", "rwatch:ffffffffffffffff;") } },
	{ "a", { "{c}", "+[go]" STOP("05", "awatch:0;") } },
	{ "e", { "{c}", "+[go]\"open(1)\n\"" STOP("05", "syscall_entry:2;") } },
	{ "f", { "{c}", "+[go]" STOP("05", "syscall_return:3f4;") } },
	{ "i", { "{c}", "+[go]" STOP("02", "") } },
	{ "s", { "{c}", "+[go]\"a crash, #$*}\n\"" STOP("0b", "") } },
	{ "o", { "{c}", "+[go]" STOP("05", "replaylog:begin:;") } },
	{ "p", { "{c}", "+[go]" STOP("05", "replaylog:end:;") } },
	{ "q", { "{c}", "+[go]<W07>" } },
	{ "x", { "{c}", "+[go]<X0b>" } },
	{ "q", { "{c}{T1}{qXfer:threads:read::0,100}",
		       "+[go]<W07>+<E03>+<l<?xml version=\"1.0\"?><threads/>>" } },
	{ "n", { "{vRun;}", "+[restart]<E5f>" } },
	{ "n", { "{QEnableErrorStrings}{Z0,f0,1}{m0,1}{vRun;}",
		       "+<OK>+<E.all are taken>+<E0e>+[restart]<E.not twice>" } },
};
enum {
	STREAMS = sizeof(streams) / sizeof(streams[0]),
	ENDED = sizeof(ended_streams) / sizeof(ended_streams[0])
};

static const struct stream *stream(size_t i, const char **with)
{
	*with = i < STREAMS ? "" : ended_streams[i - STREAMS].stops;
	return i < STREAMS ? &streams[i] : &ended_streams[i - STREAMS].stream;
}

/* The last reply is that it stands still. */
static bool still_answers(struct world *w)
{
	size_t want = strlen(STANDS);

	if (w->ended)
		return true;
	w->cpu.regs.rip = MEMORY;
	feed(w, "$?#3f", 5);
	return w->len >= want && !strcmp(w->said + w->len - want, STANDS);
}

static bool says(struct world *w, const char *packet, const char *want)
{
	static char bytes[8192];
	size_t n = expand(packet, bytes), at = w->len;
	bool ok;

	feed(w, bytes, n);
	ok = !strcmp(w->said + at, want);
	if (!ok)
		printf("     %.60s\n     said   %s\n     should %s\n", packet, w->said + at, want);
	return ok;
}

static int no_state(void *target, struct cpu_state *state, struct gdb_counts *counts)
{
	(void)target, (void)state, (void)counts;
	return -EIO;
}

static int no_regs(void *target, struct cpu_regs *regs)
{
	(void)target, (void)regs;
	return -EIO;
}

/* What asks for them is an error; a stop is told without. */
static void a_cpu_may_not_give_its_registers(void)
{
	struct gdb_target_ops with = ops;
	static char all[4096] = "{G";
	struct world w;

	with.get_state = no_state;
	with.get_regs = no_regs;
	memset(all + 2, '0', 2 * gdb_regs_size(false));
	strcat(all, "}");
	begin(&w, &with, "");
	CU_ASSERT(says(&w, "{g}", "+<E05>"));
	CU_ASSERT(says(&w, all, "+<E05>"));
	CU_ASSERT(says(&w, "{p10}", "+<E05>"));
	CU_ASSERT(says(&w, "{P10=0000000000000000}", "+<E05>"));
	CU_ASSERT(says(&w, "{c2000}", "+<E05>"));
	CU_ASSERT(says(&w, "{c}", "+[go]<T05thread:1;>"));
	CU_ASSERT(says(&w, "{QEnableErrorStrings}{g}", "+<OK>+<E.the registers cannot be read>"));
	end(&w);
}

static void a_guest_of_the_debuggers_own_ends_with_it(void)
{
	struct gdb_target_ops with = ops;
	struct world w;

	with.created = true;
	begin(&w, &with, "");
	CU_ASSERT(says(&w, "{qAttached}", "+<0>"));
	end(&w);
}

/* What is said on stderr to these packets. */
static const char *warnings_of(struct world *w, const char *stream, const char *replies)
{
	static char warnings[1000];
	struct said said;

	said_begin(&said);
	CU_ASSERT(says(w, stream, replies));
	return said_end(&said, warnings, sizeof(warnings));
}

/* For gdb does not show every one; and not again and again, for it asks again and again. */
static void reasons_are_told_on_stderr_once(void)
{
	struct world w;

	begin(&w, &ops, "nn");
	CU_ASSERT_STRING_EQUAL(warnings_of(&w, "{Z0,f0,1}{Z0,f0,1}", "+<E1c>+<E1c>"),
		"belljar: gdb: all are taken\n");
	CU_ASSERT_STRING_EQUAL(
		warnings_of(&w, "{P1=adde000000000000}{P1=adde000000000000}{Z0,f0,1}",
			"+<E.not this one>+<E.not this one>+<E1c>"),
		"belljar: gdb: not this one\nbelljar: gdb: all are taken\n");
	CU_ASSERT_STRING_EQUAL(
		warnings_of(&w, "{vRun;}", "+[restart]<E5f>"), "belljar: gdb: not twice\n");
	CU_ASSERT_STRING_EQUAL(warnings_of(&w, "{M10ff,2:abcd}{X1100,1:A}", "+<E0e>+<E0e>"), "");
	gdb_stub_reset(w.stub);
	CU_ASSERT_STRING_EQUAL(
		warnings_of(&w, "{vRun;}", "+[restart]<E5f>"), "belljar: gdb: not twice\n");
	end(&w);
}

static void names_and_patterns_have_an_end(void)
{
	static char packet[5000];
	struct world w;

	begin(&w, &ops, "");
	strcpy(packet, "{vFile:open:");
	memset(packet + strlen(packet), '2', 2 * 255);
	strcat(packet, ",0,0}");
	CU_ASSERT(says(&w, packet, "+<F-1,2>"));
	strcpy(packet, "{vFile:open:");
	memset(packet + strlen(packet), 0, 2 * 256 + 1);
	memset(packet + strlen(packet), '2', 2 * 256);
	strcat(packet, ",0,0}");
	CU_ASSERT(says(&w, packet, "+<F-1,16>"));
	strcpy(packet, "{qSearch:memory:1000;100;");
	memset(packet + strlen(packet), 0, 1100);
	memset(packet + strlen(packet), 'x', 1024);
	strcat(packet, "}");
	CU_ASSERT(says(&w, packet, "+<0>"));
	packet[strlen(packet) - 1] = 'x';
	strcat(packet, "}");
	CU_ASSERT(says(&w, packet, "+" BAD));
	end(&w);
}

static void answers_to_the_byte(void)
{
	for (size_t i = 0; i < STREAMS + ENDED; i++) {
		const char *with;
		const struct stream *s = stream(i, &with);
		char bytes[1000];
		size_t n = expand(s->bytes, bytes);
		struct world w;
		bool ok;

		begin(&w, &ops, with);
		feed(&w, bytes, n);
		ok = !strcmp(w.said, s->said);
		if (!ok)
			printf("     %s\n     said   %s\n     should %s\n", s->bytes, w.said,
				s->said);
		CU_ASSERT(ok);
		ok = still_answers(&w);
		if (!ok)
			printf("     after %s: %s\n", s->bytes, w.said);
		CU_ASSERT(ok);
		end(&w);
	}
}

static void pieces_change_nothing(void)
{
	for (size_t i = 0; i < STREAMS + ENDED; i++) {
		const char *with;
		const struct stream *s = stream(i, &with);
		char bytes[1000];
		size_t n = expand(s->bytes, bytes);
		struct world w;

		begin(&w, &ops, with);
		for (size_t at = 0; at < n; at++)
			feed(&w, bytes + at, 1);
		CU_ASSERT_STRING_EQUAL(w.said, s->said);
		end(&w);
	}
}

static void survives_a_cut_anywhere(void)
{
	for (size_t i = 0; i < STREAMS + ENDED; i++) {
		const char *with;
		const struct stream *s = stream(i, &with);
		char bytes[1000];
		size_t n = expand(s->bytes, bytes);

		for (size_t cut = 0; cut < n; cut++) {
			struct world w;

			begin(&w, &ops, with);
			feed(&w, bytes, cut);
			CU_ASSERT(!strncmp(w.said, s->said, w.len) || strchr(bytes, '#') == NULL ||
				  w.said[w.len - 1] == '-');
			CU_ASSERT(still_answers(&w));
			end(&w);
		}
	}
}

/* A packet of many bytes. */
static void feed_large(struct world *w, const char *head, char fill, size_t n, const char *tail)
{
	size_t len = strlen(head) + n + strlen(tail);
	char *bytes = malloc(len + 5);
	uint8_t sum = 0;

	sprintf(bytes, "$%s", head);
	memset(bytes + 1 + strlen(head), fill, n);
	strcpy(bytes + 1 + strlen(head) + n, tail);
	for (size_t i = 1; i <= len; i++)
		sum = (uint8_t)(sum + (uint8_t)bytes[i]);
	sprintf(bytes + 1 + len, "#%02x", sum);
	feed(w, bytes, len + 4);
	free(bytes);
}

static void takes_the_largest_packet_and_no_larger(void)
{
	struct world w;

	begin(&w, &ops, "");
	feed_large(&w, "", 'y', GDB_PACKET_MAX, "");
	CU_ASSERT_STRING_EQUAL(w.said, "+<>");
	feed_large(&w, "", 'y', GDB_PACKET_MAX + 1, "");
	CU_ASSERT_STRING_EQUAL(w.said, "+<>-");
	feed_large(&w, "M1000,100:", '7', 2 * MEMORY_LEN, "");
	CU_ASSERT_STRING_EQUAL(w.said, "+<>-+[write 1000 256]<OK>");
	CU_ASSERT(w.memory[255] == 0x77);
	feed_large(&w, "m", '0', GDB_PACKET_MAX - 4, "1,1");
	CU_ASSERT_STRING_EQUAL(w.said + w.len - 6, "+<E0e>");
	CU_ASSERT(still_answers(&w));
	end(&w);
}

static void reads_as_much_as_fits(void)
{
	struct world w;

	begin(&w, &ops, "");
	feed_large(&w, "qRcmd,6c6f7564", 0, 0, ""); /* loud: more than two packets have room for */
	CU_ASSERT(w.len == 1 + 2 + GDB_PACKET_MAX);
	CU_ASSERT(!strncmp(w.said, "+<7878", 6));
	end(&w);
}

static void refuses_more_conditions_than_there_is_room_for(void)
{
	struct world w;
	char packet[40 + 5 * (GDB_CODES_MAX + 1)] = "";

	for (int n = GDB_CODES_MAX; n <= GDB_CODES_MAX + 1; n++) {
		begin(&w, &ops, "");
		strcpy(packet, "Z0,1000,1;");
		for (int i = 0; i < n; i++)
			strcat(packet, "X1,27");
		feed_large(&w, packet, 0, 0, "");
		CU_ASSERT((n > GDB_CODES_MAX) == !strcmp(w.said, "+" BAD));
		CU_ASSERT((n > GDB_CODES_MAX) == !strstr(w.said, "[Z0 1000 1 if 27 if 27"));
		end(&w);
	}
}

static void catches_no_more_calls_than_there_is_room_for(void)
{
	char packet[40 + 2 * 300] = "";
	struct world w;

	for (int n = 256; n <= 257; n++) {
		begin(&w, &ops, "");
		strcpy(packet, "QCatchSyscalls:1");
		for (int i = 0; i < n; i++)
			strcat(packet, ";1");
		feed_large(&w, packet, 0, 0, "");
		CU_ASSERT((n > 256) == !strcmp(w.said, "+" BAD));
		end(&w);
	}
}

static void takes_a_line_for_the_monitor_that_fills_a_packet(void)
{
	struct world w;

	begin(&w, &ops, "");
	feed_large(&w, "qRcmd,6563686f20", '7', GDB_PACKET_MAX - 16, ""); /* echo */
	CU_ASSERT(!strncmp(w.said, "+<7777", 6));
	CU_ASSERT(w.len == 1 + 2 + GDB_PACKET_MAX - 16 + 2);
	end(&w);
}

static bool ends_with(const struct world *w, const char *reply)
{
	size_t len = strlen(reply);

	return w->len >= len && !strcmp(w->said + w->len - len, reply);
}

static void all_registers_go_round(void)
{
	for (int avx = 0; avx <= 1; avx++) {
		struct gdb_target_ops with = ops;
		size_t size = 2 * gdb_regs_size(avx);
		struct world w;
		char *all;

		with.has_avx = avx;
		begin(&w, &with, "");
		feed(&w, "$g#67", 5);
		CU_ASSERT_FATAL(w.len == size + 3);
		all = strndup(w.said + 2, size);
		feed_large(&w, "G", 0, 0, all);
		CU_ASSERT_STRING_EQUAL(w.said + size + 3, "+<OK>");
		all[0] = '7'; /* rax */
		feed_large(&w, "G", 0, 0, all);
		CU_ASSERT(w.cpu.regs.gpr[CPU_RAX] == 0x70);
		all[size - 1] = 'x';
		feed_large(&w, "G", 0, 0, all);
		CU_ASSERT(ends_with(&w, "+<E.not hex digits>"));
		all[size - 1] = '0';
		feed_large(&w, "G", '0', 2, all);
		CU_ASSERT(ends_with(&w, "+<E.not as many bytes as g gives>"));
		all[size - 2] = 0;
		feed_large(&w, "G", 0, 0, all);
		CU_ASSERT(ends_with(&w, "+<E.not as many bytes as g gives>"));
		CU_ASSERT(w.cpu.regs.gpr[CPU_RAX] == 0x70);
		free(all);
		end(&w);
	}
}

static void goes_back_where_the_target_can(void)
{
	struct gdb_target_ops with = ops;
	struct world w;

	with.can_reverse = true;
	begin(&w, &with, "ob");
	feed_large(&w, "bs", 0, 0, "");
	feed_large(&w, "bc", 0, 0, "");
	CU_ASSERT_STRING_EQUAL(
		w.said, "+[back step]" STOP("05", "replaylog:begin:;") "+[back go]" BROKE);
	feed_large(&w, "bsx", 0, 0, "");
	feed_large(&w, "qSupported", 0, 0, "");
	CU_ASSERT_PTR_NOT_NULL(strstr(w.said, ";ReverseStep+;ReverseContinue+>"));
	end(&w);
}

static void an_image_that_was_not_moved_is_where_it_was_linked(void)
{
	struct gdb_target_ops with = ops;
	struct world w;

	with.load_offset = not_moved;
	begin(&w, &with, "");
	feed_large(&w, "qOffsets", 0, 0, "");
	CU_ASSERT_STRING_EQUAL(w.said, "+<Text=0;Data=0;Bss=0>");
	end(&w);
}

static void how_a_session_ends_is_said(void)
{
	static const struct {
		const char *bytes;
		enum gdb_stub_state state;
	} ends[] = {
		{ "{?}", GDB_TALKING },
		{ "{D}", GDB_DETACHED },
		{ "{k}", GDB_KILLED },
		{ "{vKill;1}", GDB_KILLED },
		{ "{!}{vKill;1}", GDB_TALKING },
		{ "{!}{k}", GDB_TALKING },
	};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		enum gdb_stub_state state = GDB_TALKING;
		char bytes[100];
		const uint8_t *at = (const uint8_t *)bytes;
		size_t n = expand(ends[i].bytes, bytes);
		struct world w;

		begin(&w, &ops, "");
		while (n && state == GDB_TALKING)
			state = gdb_stub_input(w.stub, &at, &n);
		CU_ASSERT(state == ends[i].state);
		CU_ASSERT(
			gdb_stub_gone(w.stub) ==
			(strstr(ends[i].bytes, "k") || strstr(ends[i].bytes, "vK") ? GDB_KILLED
										   : GDB_DETACHED));
		end(&w);
	}
}

static void the_next_debugger_begins_anew(void)
{
	struct world w;

	begin(&w, &ops, "");
	feed_large(&w, "QEnableErrorStrings", 0, 0, "");
	feed_large(&w, "Qqemu.PhyMemMode:1", 0, 0, "");
	feed_large(&w, "!", 0, 0, "");
	feed_large(&w, "QStartNoAckMode", 0, 0, "");
	feed(&w, "$half", 5);
	w.len = 0;
	gdb_stub_reset(w.stub);
	feed(&w, "-", 1);
	feed_large(&w, "m1000,1", 0, 0, "");
	feed_large(&w, "p999", 0, 0, "");
	CU_ASSERT_STRING_EQUAL(w.said, "+<00>+" BAD);
	w.len = 0;
	feed(&w, "$?#00", 5);
	CU_ASSERT_STRING_EQUAL(w.said, "-");
	end(&w);
}

static void says_nothing_while_the_guest_stands(void)
{
	struct world w;

	begin(&w, &ops, "");
	gdb_stub_say(w.stub, "text", 4);
	CU_ASSERT_STRING_EQUAL(w.said, "");
	end(&w);
}

static const struct unit_case cases[] = {
	{ "answers_to_the_byte", answers_to_the_byte },
	{ "a_cpu_may_not_give_its_registers", a_cpu_may_not_give_its_registers },
	{ "a_guest_of_the_debuggers_own_ends_with_it", a_guest_of_the_debuggers_own_ends_with_it },
	{ "reasons_are_told_on_stderr_once", reasons_are_told_on_stderr_once },
	{ "names_and_patterns_have_an_end", names_and_patterns_have_an_end },
	{ "pieces_change_nothing", pieces_change_nothing },
	{ "survives_a_cut_anywhere", survives_a_cut_anywhere },
	{ "takes_the_largest_packet_and_no_larger", takes_the_largest_packet_and_no_larger },
	{ "reads_as_much_as_fits", reads_as_much_as_fits },
	{ "refuses_more_conditions_than_there_is_room_for",
		refuses_more_conditions_than_there_is_room_for },
	{ "catches_no_more_calls_than_there_is_room_for",
		catches_no_more_calls_than_there_is_room_for },
	{ "takes_a_line_for_the_monitor_that_fills_a_packet",
		takes_a_line_for_the_monitor_that_fills_a_packet },
	{ "all_registers_go_round", all_registers_go_round },
	{ "goes_back_where_the_target_can", goes_back_where_the_target_can },
	{ "an_image_that_was_not_moved_is_where_it_was_linked",
		an_image_that_was_not_moved_is_where_it_was_linked },
	{ "how_a_session_ends_is_said", how_a_session_ends_is_said },
	{ "the_next_debugger_begins_anew", the_next_debugger_begins_anew },
	{ "says_nothing_while_the_guest_stands", says_nothing_while_the_guest_stands },
};
UNIT_MAIN("gdb_stub", cases)
