// SPDX-License-Identifier: ISC
/* `monitor`, hypercalls: which there are, which were made, the one that is on, and recordings of them. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "err.h"
#include "gdb_monitor.h"
#include "gdb_vm.h"
#include "history.h"
#include "log.h"
#include "record.h"
#include "session.h"
#include "trace_write.h"

enum { LAST_USUAL = 10, TEXT_LEN = 1000, INSN_LEN = 3 };

/* ---- watching ---- */

static struct gdb_monitor *of(struct trace_sink *sink)
{
	return (struct gdb_monitor *)sink;
}

static void add_up(struct gdb_monitor *m, const struct trace_event *event, size_t row)
{
	switch (event->kind) {
	case TRACE_READ:
		m->counts[row].bytes_in += event->len;
		return;
	case TRACE_WRITE:
		m->counts[row].bytes_out += event->len;
		return;
	case TRACE_LEAVE:
		m->counts[row].calls++;
		m->counts[row].errors += event->call->result < 0;
		return;
	case TRACE_ENTER:
	case TRACE_EDIT:
	case TRACE_STOP:
	case TRACE_KIND_COUNT:
		return;
	}
}

/* A recording sees calls from their beginning only. */
static void feed(struct gdb_monitor *m, const struct trace_event *event)
{
	struct trace_sink *to = trace_writer_sink(m->recording);

	m->recording_call |= event->kind == TRACE_ENTER;
	if (event->kind == TRACE_EDIT ? !m->partial
				      : m->recording_call || event->kind == TRACE_STOP)
		to->emit(to, event);
}

static size_t row_of(const struct gdb_vm *g, const struct hcall *call)
{
	return call ? (size_t)(call->row - g->vm->abi->rows) : 0;
}

static void emit(struct trace_sink *sink, const struct trace_event *event)
{
	struct gdb_monitor *m = of(sink);
	const struct gdb_vm *g =
		(const struct gdb_vm *)(const void *)((const uint8_t *)m -
						      offsetof(struct gdb_vm, monitor));

	add_up(m, event, row_of(g, event->call));
	if (m->recording)
		feed(m, event);
}

void gdb_monitor_begin(struct gdb_vm *g)
{
	memset(g->monitor.counts, 0, sizeof(g->monitor.counts));
	g->monitor.sink = (struct trace_sink){ emit, g->vm->trace };
	g->vm->trace = &g->monitor.sink;
}

/* ---- recordings ---- */

static void on_failed(void *ctx, const char *text)
{
	(void)ctx;
	log_warn("%s; the guest goes on", text);
}

/*
 * Replay begins at the first instruction and needs every answer since, on a CPU and clock that are the same each
 * time. A debugger may begin to record there, too.
 */
static bool is_partial(const struct gdb_vm *g)
{
	return g->vm->n_calls || g->edited || !g->session->options.deterministic;
}

static void explain_recording(const struct gdb_vm *g, FILE *out)
{
	fprintf(out,
		"recording to %s from call %" PRIu64 " on; belljar trace reads it, and Wireshark\n",
		g->monitor.recording_name, g->vm->n_calls);
	if (!g->monitor.partial)
		fputs("nothing was asked before: it replays, with belljar replay --guest\n", out);
	else if (g->vm->n_calls || g->edited)
		fputs("what came before is not in it, so it is marked as a part: it does not "
		      "replay\n",
			out);
	else
		fputs("this run is not deterministic, so it is marked: it does not replay; for one "
		      "that "
		      "does: belljar debug --deterministic\n",
			out);
}

static void record_start(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	const struct trace_writer_config config = { .on_error = TRACE_ERROR_CONTINUE,
		.failed = on_failed };
	struct trace_header header = { 0 };
	const char *name = w->list[0];
	struct gdb_monitor *m = &g->monitor;
	struct err err = { "" };
	int r;

	if (m->recording) {
		fprintf(out, "there is a recording already, to %s; monitor record stop ends it\n",
			m->recording_name);
		return;
	}
	if (g->ended) {
		fputs("the guest is at its end: there is nothing to record\n", out);
		return;
	}
	if (!gdb_monitor_file(out, name, ".pcapng"))
		return;
	r = record_check_place(g->session, name, &err);
	if (!r)
		r = session_header(g->session, &header, &err);
	header.partial = m->partial = is_partial(g);
	if (!r)
		r = trace_writer_open(&m->recording, name, &header, &config, &err);
	trace_header_finish(&header);
	if (r) {
		fprintf(out, "%s\n", err.text);
		return;
	}
	m->recording_call = false;
	strcpy(m->recording_name, name);
	explain_recording(g, out);
}

/* With an end of its own when the guest has not come to its. */
static void stop_recording(struct gdb_vm *g, FILE *out)
{
	struct gdb_monitor *m = &g->monitor;
	uint64_t calls = trace_writer_count(m->recording);
	struct err err = { "" };

	if (!g->ended)
		trace_writer_put(
			m->recording, &(struct trace_record){ .kind = TRACE_END,
					      .stop_kind = VM_PAUSED,
					      .stop_text = "the debugger ended the recording" });
	if (trace_writer_close(m->recording, &err))
		fprintf(out, "the recording is not whole: %s\n", err.text);
	else
		fprintf(out, "%s: %" PRIu64 " calls recorded\n", m->recording_name, calls);
	m->recording = NULL;
}

static void record_stop(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	(void)w;
	if (g->monitor.recording)
		stop_recording(g, out);
	else
		fputs("there is no recording; monitor record start NAME.pcapng begins one\n", out);
}

void gdb_monitor_end(struct gdb_vm *g)
{
	g->vm->trace = g->monitor.sink.next;
	gdb_monitor_end_recording(g);
}

void gdb_monitor_end_recording(struct gdb_vm *g)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out;

	if (!g->monitor.recording)
		return;
	out = open_memstream(&text, &size);
	if (!out) {
		trace_writer_close(g->monitor.recording, NULL);
		g->monitor.recording = NULL;
		return;
	}
	stop_recording(g, out);
	if (!fclose(out))
		log_info("%.*s", (int)strcspn(text, "\n"), text);
	free(text);
}

/* ---- the table ---- */

/* "open(name, flags, mode)" */
static void put_row(const struct hcall_row *row, FILE *out)
{
	fprintf(out, "%s(", row->name);
	for (const struct hcall_field *f = row->fields; f->name; f++)
		fprintf(out, "%s%s", f == row->fields ? "" : ", ", f->name);
	fputs(")\n", out);
}

static void info_hypercalls(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	const struct guest_abi *abi = g->vm->abi;

	(void)w;
	fputs("number  port   caught  calls  name and fields\n", out);
	for (size_t i = 0; i < abi->n_rows; i++) {
		fprintf(out, "%6" PRIu64 "  0x%-4x %-6s %6" PRIu64 "  ",
			gdb_call_number(g->vm, &abi->rows[i]), abi->rows[i].port,
			g->catch_row[i] ? "yes" : "", g->monitor.counts[i].calls);
		put_row(&abi->rows[i], out);
	}
}

static void info_stats(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	uint64_t calls = 0, errors = 0, in = 0, bytes_out = 0;

	(void)w;
	fputs("     calls     errors   bytes from guest     bytes to guest  call\n", out);
	for (size_t i = 0; i < g->vm->abi->n_rows; i++) {
		if (!g->monitor.counts[i].calls)
			continue;
		fprintf(out, "%10" PRIu64 " %10" PRIu64 " %18" PRIu64 " %18" PRIu64 "  %s\n",
			g->monitor.counts[i].calls, g->monitor.counts[i].errors,
			g->monitor.counts[i].bytes_in, g->monitor.counts[i].bytes_out,
			g->vm->abi->rows[i].name);
		calls += g->monitor.counts[i].calls;
		errors += g->monitor.counts[i].errors;
		in += g->monitor.counts[i].bytes_in;
		bytes_out += g->monitor.counts[i].bytes_out;
	}
	fprintf(out, "%10" PRIu64 " %10" PRIu64 " %18" PRIu64 " %18" PRIu64 "  in all\n", calls,
		errors, in, bytes_out);
	if (g->history && history_in_past(g->history))
		fprintf(out, "this is the past: %" PRIu64 " of them were made up to here\n",
			g->vm->n_calls);
}

/* ---- the last ones ---- */

static void put_line(FILE *out, const struct gdb_log_line *line)
{
	fprintf(out, "%8" PRIu64 "  %s", line->seq, line->text);
}

/* Is it a line of this call's? name NULL: of any. */
static bool is_of(const struct gdb_log_line *line, const char *name)
{
	size_t n = name ? strlen(name) : 0;

	return !name || (!strncmp(line->text, name, n) && line->text[n] == '(');
}

/*
 * The lines of the run that led to where the guest is, from the last one back: what it did later, or did before it
 * went back and took another way, is left out. What is behind a call of the same number is how the run ended.
 */
static bool counts(const struct gdb_log_line *line, uint64_t *bound)
{
	if (line->seq >= *bound)
		return false;
	*bound = line->seq + (line->text[0] == '+');
	return true;
}

/* The last n, the oldest of them first. */
static void put_last(const struct gdb_vm *g, const char *name, uint64_t n, FILE *out)
{
	const struct gdb_log_line *found[GDB_LOG_LINES];
	uint64_t kept = g->n_log < GDB_LOG_LINES ? g->n_log : GDB_LOG_LINES;
	uint64_t bound = g->vm->n_calls, n_found = 0;

	for (uint64_t i = 0; i < kept && n_found < n; i++) {
		const struct gdb_log_line *line = &g->log[(g->n_log - 1 - i) % GDB_LOG_LINES];

		if (counts(line, &bound) && is_of(line, name))
			found[n_found++] = line;
	}
	if (!n_found)
		fprintf(out,
			name ? "no such call among the last %" PRIu64 "\n"
			     : "no call was made yet\n",
			kept);
	while (n_found)
		put_line(out, found[--n_found]);
}

static bool take_count(FILE *out, const struct gdb_words *w, int i, uint64_t *n)
{
	*n = LAST_USUAL;
	return w->n <= i ||
	       gdb_monitor_number(out, w->list[i], "how many calls", 1, GDB_LOG_LINES, n);
}

static void trace_last(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	uint64_t n;

	if (take_count(out, w, 0, &n))
		put_last(g, NULL, n, out);
}

/* The first row of that name; NULL. */
static const struct hcall_row *row_named(const struct guest_abi *abi, const char *name)
{
	for (size_t i = 0; i < abi->n_rows; i++)
		if (!strcmp(abi->rows[i].name, name))
			return &abi->rows[i];
	return NULL;
}

static bool is_call(const struct gdb_vm *g, const char *name, FILE *out)
{
	const struct guest_abi *abi = g->vm->abi;

	if (row_named(abi, name))
		return true;
	gdb_monitor_quote(out, name);
	fputs(" is no hypercall; there are", out);
	for (const struct hcall_row *row = abi->rows; row < abi->rows + abi->n_rows; row++)
		if (row_named(abi, row->name) == row)
			fprintf(out, "%s %s", row == abi->rows ? "" : ",", row->name);
	putc('\n', out);
	return false;
}

static void trace_filter(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	uint64_t n;

	if (is_call(g, w->list[0], out) && take_count(out, w, 1, &n))
		put_last(g, w->list[0], n, out);
}

/* Of the calls made up to here, those that are in the log. */
static uint64_t kept_calls(const struct gdb_vm *g)
{
	uint64_t lines = g->n_log < GDB_LOG_LINES ? g->n_log : GDB_LOG_LINES;
	uint64_t bound = g->vm->n_calls, kept = 0;

	for (uint64_t i = 0; i < lines; i++) {
		const struct gdb_log_line *line = &g->log[(g->n_log - 1 - i) % GDB_LOG_LINES];

		kept += counts(line, &bound) && line->text[0] != '+';
	}
	return kept;
}

static void info_trace(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	(void)w;
	fprintf(out,
		"calls         %" PRIu64 " made, the last %" PRIu64 " kept: monitor trace last\n",
		g->vm->n_calls, kept_calls(g));
	fprintf(out, "strace        %s\n", g->strace_on ? "on" : "off");
	if (g->monitor.recording)
		fprintf(out, "recording     to %s, %" PRIu64 " calls%s\n",
			g->monitor.recording_name, trace_writer_count(g->monitor.recording),
			trace_writer_broken(g->monitor.recording) ? "; it could not be written on"
								  : "");
	else
		fputs("recording     none\n", out);
}

static void strace(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	bool on;

	if (!gdb_monitor_switch(out, w->list[0], &on))
		return;
	g->strace_on = on;
	fprintf(out, "strace is %s%s\n", on ? "on" : "off",
		on ? ": each call shows up as it is made, while the guest runs" : "");
}

/* ---- the one that is on ---- */

/* The port access that the instruction at RIP is: SDM 2A, IN, and 2B, OUT. False: it is none. */
static bool port_access(struct gdb_vm *g, const struct cpu_regs *regs, struct vcpu_exit *exit)
{
	uint8_t insn[INSN_LEN] = { 0 }, *at = insn;
	bool word = false;

	gdb_vm_read(g, false, regs->rip, insn, sizeof(insn));
	if (*at == 0x66) {
		word = true;
		at++;
	}
	if ((*at & 0xf4) != 0xe4)
		return false;
	*exit = (struct vcpu_exit){ .kind = VCPU_PORT,
		.rip = regs->rip,
		.port = *at & 8 ? (uint16_t)regs->gpr[CPU_RDX] : at[1],
		.size = !(*at & 1) ? 1
			: word     ? 2
				   : 4,
		.in = !(*at & 2),
		.data = (uint32_t)regs->gpr[CPU_RAX],
		.rdi = regs->gpr[CPU_RDI] };
	return true;
}

static void info_call(struct gdb_vm *g, const struct gdb_words *w, FILE *out)
{
	char text[TEXT_LEN];
	struct vcpu_exit exit;
	struct cpu_regs regs;
	struct hcall call;

	(void)w;
	if (g->ended || g->ops.get_regs(g, &regs)) {
		fputs("in no hypercall\n", out);
		return;
	}
	if (g->vm->call_state != VM_CALL_NONE) {
		strace_describe(g->vm, &g->vm->call, text, sizeof(text));
		fprintf(out, "in call %" PRIu64 ": %s", g->vm->call.seq, text);
	} else if (port_access(g, &regs, &exit) && hcall_look(g->vm, &exit, &call)) {
		strace_describe(g->vm, &call, text, sizeof(text));
		fprintf(out, "about to make call %" PRIu64 ": %s", call.seq, text);
	} else {
		fputs("in no hypercall\n", out);
	}
}

const struct gdb_command gdb_commands_calls[] = {
	{ "info call", "", "the hypercall that it stands in, or is about to make", 0, 0,
		info_call },
	{ "info hypercalls", "",
		"which there are, and their numbers for catch syscall\n"
		"Numbers are Linux's where it has a call of that name.",
		0, 0, info_hypercalls },
	{ "info stats", "", "how often each was made, with how many errors and bytes", 0, 0,
		info_stats },
	{ "info trace", "", "what is kept of them, and whether they are shown or recorded", 0, 0,
		info_trace },
	{ "trace last", "[N]", "the last calls, 10 if nothing is said", 0, 1, trace_last },
	{ "trace filter", "NAME [N]", "the last calls of one name", 1, 2, trace_filter },
	{ "strace", "on|off", "show each call as it is made, while the guest runs", 1, 1, strace },
	{ "record start", "NAME.pcapng",
		"record every call from here on\n"
		"The file is made where belljar was started, and must not be there yet. belljar "
		"trace and\n"
		"Wireshark read it. Begun before the first call of a run with --deterministic it "
		"can be\n"
		"replayed (belljar replay --guest); begun later it is marked as a part, and replay "
		"refuses\n"
		"it. It ends with record stop, or with the guest.",
		1, -1, record_start },
	{ "record stop", "", "end the recording", 0, 0, record_stop },
	{ 0 },
};
