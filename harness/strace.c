// SPDX-License-Identifier: ISC
/*
 * One line per hypercall. Gathers what passes through a call's buffers and prints when the call
 * ends; which field means what is in the call's row, so no call is known by name here.
 */
#include "strace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi_uhyve.h"
#include "escape.h"
#include "gmem.h"
#include "hcall.h"
#include "log.h"
#include "names.h"
#include "paging.h"
#include "vm.h"

enum { LATE_MAX = 48 };
enum { LINE_MAX_LEN = 20480 }; /* a path of 4095 bytes, each as \xHH, and the rest */

struct line {
	char text[LINE_MAX_LEN];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void put(struct line *line, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line->text + line->len, sizeof(line->text) - line->len, format, args);
	va_end(args);
	if (n > 0)
		line->len += (size_t)n;
	if (line->len >= sizeof(line->text))
		line->len = sizeof(line->text) - 1;
}

static void put_quoted(struct line *line, const void *bytes, size_t len, bool cut)
{
	put(line, "\"");
	escape_bytes(line->text, sizeof(line->text), &line->len, bytes, len);
	put(line, cut ? "\"..." : "\"");
}

static void put_open_flags(struct line *line, uint64_t flags)
{
	const struct name *row = names_open_flags.rows;

	put(line, "%s", name_of(&names_access, flags & O_ACCMODE));
	flags &= ~(uint64_t)O_ACCMODE & 0xffffffff;
	for (size_t i = 0; i < names_open_flags.n; i++, row++) {
		if ((flags & row->value) != row->value)
			continue;
		put(line, "|%s", row->text);
		flags &= ~row->value;
	}
	if (flags)
		put(line, "|0x%llx", (unsigned long long)flags);
}

static void put_choice(struct line *line, uint64_t value, const struct names *names)
{
	const char *name = name_of(names, value);

	if (name)
		put(line, "%s", name);
	else
		put(line, "0x%llx", (unsigned long long)value);
}

static void put_attr(struct line *line, const struct strace *s)
{
	struct uhyve_attr attr;
	const char *type;

	memcpy(&attr, s->data, sizeof(attr));
	type = name_of(&names_file_type, attr.mode & S_IFMT);
	put(line, "{st_mode=");
	if (type)
		put(line, "%s|", type);
	put(line, "%#o, st_size=%lld, ...}", attr.mode & (type ? 07777u : ~0u),
		(long long)attr.size);
}

static void put_data(struct line *line, const struct strace *s, uint64_t address)
{
	size_t shown = s->data_len < STRACE_DATA_MAX ? (size_t)s->data_len : STRACE_DATA_MAX;

	if (s->has_data)
		put_quoted(line, s->data, shown, s->data_len > shown);
	else if (!s->in_call && s->call->result == 0)
		put(line, "\"\"");
	else
		put(line, "0x%llx", (unsigned long long)address);
}

/* What is at an address now. */
static void put_late(struct line *line, uint64_t address, bool known, const void *bytes, size_t len)
{
	put(line, "0x%llx", (unsigned long long)address);
	if (!known)
		return;
	put(line, " /* now ");
	put_quoted(line, bytes, len < LATE_MAX ? len : LATE_MAX, len > LATE_MAX);
	put(line, " */");
}

static void put_field(struct line *line, const struct strace *s, const struct hcall_field *field)
{
	uint64_t value = hcall_field_value(s->call, field);

	switch (field->kind) {
	case HCALL_INT:
	case HCALL_FD:
		return put(line, "%lld", (long long)value);
	case HCALL_LEN:
		return put(line, "%llu", (unsigned long long)value);
	case HCALL_MODE:
		return put(line, "%#llo", (unsigned long long)value);
	case HCALL_OPEN_FLAGS:
		return put_open_flags(line, value);
	case HCALL_WHENCE:
		return put_choice(line, value, &names_whence);
	case HCALL_STAT_KIND:
		return put_choice(line, value, &names_stat_kind);
	case HCALL_DENTS_OUT:
		if (s->late)
			break;
		return put(line, "0x%llx /* %u entries */", (unsigned long long)value, s->n_dents);
	case HCALL_BYTE:
		return put_quoted(line, &value, 1, false);
	case HCALL_PATH:
		if (s->late)
			return put_late(line, value, s->has_path, s->path, s->path_len);
		if (s->has_path)
			return put_quoted(line, s->path, s->path_len, false);
		break;
	case HCALL_DATA_IN:
	case HCALL_DATA_OUT:
		if (s->late)
			return put_late(line, value, s->has_data, s->data, (size_t)s->data_len);
		return put_data(line, s, value);
	case HCALL_STAT_OUT:
		if (s->has_data && s->data_len >= sizeof(struct uhyve_attr))
			return put_attr(line, s);
		break;
	case HCALL_POINTER:
	case HCALL_KIND_COUNT:
		break;
	}
	put(line, "0x%llx", (unsigned long long)value);
}

/* mode only means something to an open that may create, as in strace. */
static bool field_shown(const struct hcall *call, const struct hcall_field *field)
{
	const struct hcall_field *f;

	if (field->kind != HCALL_MODE)
		return true;
	for (f = call->row->fields; f->name; f++)
		if (f->kind == HCALL_OPEN_FLAGS)
			return hcall_field_value(call, f) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY));
	return true;
}

static void put_call(struct line *line, const struct strace *s)
{
	const struct hcall_field *field;

	put(line, "%s(", s->call->row->name);
	for (field = s->call->row->fields; field->name; field++) {
		if (!field_shown(s->call, field))
			continue;
		if (field != s->call->row->fields)
			put(line, ", ");
		put_field(line, s, field);
	}
}

static void put_result(struct line *line, const struct hcall *call)
{
	int64_t r = call->result;
	const char *name = r < 0 && r > -4096 ? strerrorname_np((int)-r) : NULL;

	if (call->ends)
		put(line, ") = ?");
	else if (name)
		put(line, ") = -1 %s (%s)", name, strerrordesc_np((int)-r));
	else
		put(line, ") = %lld", (long long)r);
}

static void flush(struct strace *s, struct line *line)
{
	size_t done = 0;

	if (line->len == sizeof(line->text) - 1)
		line->len--;
	line->text[line->len++] = '\n';
	if (s->put_line)
		return s->put_line(s->put_line_ctx, line->text, line->len);
	while (done < line->len && !s->broken) {
		ssize_t n = write(s->fd, line->text + done, line->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) { /* a watcher that cannot write does not disturb the guest */
			log_error(
				"--strace: %s; no more lines are written", strerrordesc_np(errno));
			s->broken = true;
			return;
		}
		done += (size_t)n;
	}
}

static unsigned count_dents(const uint8_t *data, size_t len)
{
	enum { RECLEN_AT = 16, DENT_MIN = 24 }; /* struct linux_dirent64 */
	unsigned n = 0;
	uint16_t reclen;

	for (size_t at = 0; len - at >= DENT_MIN; at += reclen, n++) {
		memcpy(&reclen, data + at + RECLEN_AT, sizeof(reclen));
		if (reclen < DENT_MIN || reclen > len - at)
			break;
	}
	return n;
}

/* Keeps the first bytes of the pieces of one buffer, and counts the rest. */
static void gather(struct strace *s, const struct trace_event *event)
{
	const struct hcall_field *f;

	for (f = s->call->row->fields; f->name; f++) {
		uint64_t value = hcall_field_value(s->call, f);

		if (f->kind == HCALL_PATH && event->kind == TRACE_READ && event->addr == value &&
			event->len <= sizeof(s->path)) {
			s->has_path = true;
			memcpy(s->path, event->data, event->len);
			s->path_len = strnlen(s->path, event->len);
			return;
		}
		if (f->kind == HCALL_DENTS_OUT && event->addr == value) {
			s->n_dents = count_dents(event->data, event->len);
			return;
		}
		if ((f->kind == HCALL_DATA_IN || f->kind == HCALL_DATA_OUT ||
			    f->kind == HCALL_STAT_OUT) &&
			event->addr == value + s->data_len) {
			size_t have = s->data_len < sizeof(s->data) ? (size_t)s->data_len
								    : sizeof(s->data);
			size_t room = sizeof(s->data) - have;

			memcpy(s->data + have, event->data, event->len < room ? event->len : room);
			s->data_len += event->len;
			s->has_data = true;
			return;
		}
	}
}

static void print_stop(struct strace *s, const struct vm_stop *stop)
{
	struct line line;

	line.len = 0;
	if (s->in_call) {
		put_call(&line, s);
		put(&line, " <unfinished ...>");
		flush(s, &line);
		line.len = 0;
		s->in_call = false;
	}
	if (stop->kind == VM_EXITED)
		put(&line, "+++ exited with %d +++", stop->code);
	else if (stop->kind != VM_DEBUG)
		put(&line, "+++ stopped: %s +++", stop->text);
	if (line.len)
		flush(s, &line);
}

static void print_call(struct strace *s)
{
	struct line line;

	line.len = 0;
	put_call(&line, s);
	put_result(&line, s->call);
	flush(s, &line);
}

static void strace_emit(struct trace_sink *sink, const struct trace_event *event)
{
	struct strace *s = (struct strace *)sink;

	switch (event->kind) {
	case TRACE_ENTER:
		s->call = event->call;
		s->in_call = true;
		s->has_path = s->has_data = false;
		s->data_len = 0;
		s->n_dents = 0;
		return;
	case TRACE_READ:
	case TRACE_WRITE:
		return gather(s, event);
	case TRACE_LEAVE:
		s->in_call = false;
		return print_call(s);
	case TRACE_EDIT:
		return;
	case TRACE_STOP:
		return print_stop(s, event->stop);
	case TRACE_KIND_COUNT:
		return;
	}
}

void strace_init(struct strace *s, int fd)
{
	*s = (struct strace){ .sink.emit = strace_emit, .fd = fd };
}

void strace_init_lines(struct strace *s, strace_line_fn *put_line, void *ctx)
{
	strace_init(s, -1);
	s->put_line = put_line;
	s->put_line_ctx = ctx;
}

/* How many of a buffer's bytes the call is about: its length; or, of what the host wrote, what came of it. */
static uint64_t bytes_of(const struct hcall *call, enum hcall_kind kind)
{
	if (kind == HCALL_DATA_OUT)
		return call->result > 0 ? (uint64_t)call->result : 0;
	for (const struct hcall_field *f = call->row->fields; f->name; f++)
		if (f->kind == HCALL_LEN)
			return hcall_field_value(call, f);
	return 0;
}

/* What passed to the host or is about to, and what came back, as far as it is there now. */
static void look_at(struct strace *s, struct vm *vm, const struct hcall_field *f)
{
	uint64_t addr = hcall_field_value(s->call, f);
	struct paging paging = { 0 };
	ssize_t n;

	if (f->kind == HCALL_PATH) {
		n = gmem_read_string(&vm->mem, addr, s->path, sizeof(s->path));
		s->has_path = n >= 0;
		s->path_len = n >= 0 ? (size_t)n : 0;
	} else if (f->kind == HCALL_DATA_IN || (f->kind == HCALL_DATA_OUT && s->late)) {
		if (s->call->row->virtual_buffers && backend_paging(vm->cpu, &paging))
			return;
		s->data_len = bytes_of(s->call, f->kind);
		n = s->data_len < sizeof(s->data) ? (ssize_t)s->data_len : (ssize_t)sizeof(s->data);
		s->has_data = n && paging_read(&vm->mem, &paging, addr, s->data, (size_t)n) ==
					   (uint64_t)n;
	}
}

void strace_describe(struct vm *vm, const struct hcall *call, char *buf, size_t size)
{
	struct strace s = { .call = call, .in_call = true };
	struct line line;

	for (const struct hcall_field *f = call->row->fields; f->name; f++)
		look_at(&s, vm, f);
	line.len = 0;
	put_call(&line, &s);
	put(&line, ")");
	snprintf(buf, size, "%.*s\n", (int)(size > 2 ? size - 2 : 0), line.text);
}

void strace_late(struct vm *vm, const struct hcall *call, strace_line_fn *put_line, void *ctx)
{
	struct strace s;

	strace_init_lines(&s, put_line, ctx);
	s.call = call;
	s.late = true;
	for (const struct hcall_field *f = call->row->fields; f->name; f++)
		look_at(&s, vm, f);
	print_call(&s);
}
