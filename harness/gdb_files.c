// SPDX-License-Identifier: ISC
/* The debugger's files. */
#include "gdb_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hcall.h"
#include "session.h"
#include "trace_record.h"

const char *const gdb_file_names[GDB_FILE_COUNT] = {
	[GDB_FILE_GUEST] = "/guest.elf",
	[GDB_FILE_TRACE] = "/trace",
	[GDB_FILE_CONSOLE] = "/console",
};

/* ---- the console ---- */

static void keep(struct gdb_files *f, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		f->console[f->said++ % GDB_CONSOLE_MAX] = bytes[i];
}

/* A call that speaks: it names standard output or error, or no descriptor at all. */
static bool speaks(const struct hcall *call)
{
	const struct hcall_field *first = &call->row->fields[0];
	int64_t fd = (int64_t)hcall_field_value(call, first);

	return !call->row->local && trace_row_find(call->row, HCALL_DATA_IN) >= 0 &&
	       (first->kind != HCALL_FD || fd == STDOUT_FILENO || fd == STDERR_FILENO);
}

static void see(struct trace_sink *sink, const struct trace_event *event)
{
	struct gdb_files *f = (struct gdb_files *)sink;
	uint8_t byte;

	if (event->kind == TRACE_READ && speaks(event->call)) {
		keep(f, event->data, event->len);
	} else if (event->kind == TRACE_LEAVE && event->call->row->fields[0].kind == HCALL_BYTE) {
		byte = (uint8_t)hcall_field_value(event->call, &event->call->row->fields[0]);
		keep(f, &byte, 1);
	}
}

/* How much of it is gone. */
static uint64_t lost(const struct gdb_files *f)
{
	return f->said > GDB_CONSOLE_MAX ? f->said - GDB_CONSOLE_MAX : 0;
}

/* ---- files ---- */

int gdb_files_init(struct gdb_files *f, const struct session *session)
{
	*f = (struct gdb_files){ .sink.emit = see, .session = session, .trace = -1 };
	f->console = malloc(GDB_CONSOLE_MAX);
	return f->console ? 0 : -ENOMEM;
}

void gdb_files_finish(struct gdb_files *f)
{
	if (!f->console)
		return;
	if (f->trace >= 0)
		close(f->trace);
	free(f->console);
	f->console = NULL;
}

static int open_trace(struct gdb_files *f)
{
	if (f->trace < 0 && f->session->recording)
		f->trace = open(f->session->recording, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return f->trace >= 0 ? 0 : -ENOENT;
}

int gdb_files_find(struct gdb_files *f, const char *name)
{
	int file = 0;

	while (file < GDB_FILE_COUNT && strcmp(name, gdb_file_names[file]) != 0)
		file++;
	if (file == GDB_FILE_COUNT || (file == GDB_FILE_TRACE && open_trace(f)))
		return -ENOENT;
	return file;
}

int64_t gdb_files_size(struct gdb_files *f, int file)
{
	struct stat st;

	switch (file) {
	case GDB_FILE_GUEST:
		return (int64_t)f->session->image_size;
	case GDB_FILE_TRACE:
		return f->trace >= 0 && !fstat(f->trace, &st) ? st.st_size : -1;
	case GDB_FILE_CONSOLE:
		return (int64_t)(f->said - lost(f));
	default:
		return -1;
	}
}

ssize_t gdb_files_read(struct gdb_files *f, int file, uint64_t at, void *buf, size_t len)
{
	int64_t size = gdb_files_size(f, file);
	ssize_t n;

	if (size < 0)
		return -EBADF;
	if (at >= (uint64_t)size)
		return 0;
	if (len > (uint64_t)size - at)
		len = (uint64_t)size - at;
	if (file == GDB_FILE_TRACE) {
		n = pread(f->trace, buf, len, (off_t)at);
		return n < 0 ? -errno : n;
	}
	if (file == GDB_FILE_GUEST) {
		memcpy(buf, f->session->image + at, len);
		return (ssize_t)len;
	}
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = f->console[(lost(f) + at + i) % GDB_CONSOLE_MAX];
	return (ssize_t)len;
}
