// SPDX-License-Identifier: ISC
/* What a debugger can fetch: the image, what the guest has said, the recording as it grows. By their own names, and no others. */
#include "gdb_files.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "abi_uhyve.h"
#include "hcall.h"
#include "session.h"
#include "tmptree.h"
#include "unit.h"

static struct session session;
static struct gdb_files files;

static void begin(void)
{
	memset(&session, 0, sizeof(session));
	session.image = (uint8_t *)(uintptr_t) "\177ELF...";
	session.image_size = 7;
	CU_ASSERT_EQUAL_FATAL(gdb_files_init(&files, &session), 0);
}

static void end(void)
{
	gdb_files_finish(&files);
	gdb_files_finish(&files); /* once is enough */
}

static const struct hcall_row *row_named(const char *name)
{
	for (size_t i = 0; i < abi_uhyve.n_rows; i++)
		if (!strcmp(abi_uhyve.rows[i].name, name))
			return &abi_uhyve.rows[i];
	CU_FAIL_FATAL("no such row");
	return NULL;
}

/* As the machine tells of a call: what it reads of guest memory, and that it is over. */
static void call(const char *name, uint32_t first, const char *bytes)
{
	const struct hcall_row *row = row_named(name);
	struct hcall c = { .row = row };
	struct trace_event read = {
		.kind = TRACE_READ, .call = &c, .data = bytes, .len = strlen(bytes)
	};

	c.arg = first;
	memcpy(c.block + row->fields[0].at, &first, sizeof(first));
	files.sink.emit(&files.sink, &(struct trace_event){ .kind = TRACE_ENTER, .call = &c });
	if (bytes[0])
		files.sink.emit(&files.sink, &read);
	files.sink.emit(&files.sink, &(struct trace_event){ .kind = TRACE_LEAVE, .call = &c });
}

static bool holds(int file, uint64_t at, size_t len, const char *want)
{
	char text[100];
	ssize_t n = gdb_files_read(&files, file, at, text, len);

	return n == (ssize_t)strlen(want) && !memcmp(text, want, strlen(want));
}

static void has_three_names(void)
{
	static const char *const none[] = { "", "/", "guest.elf", "/guest.elf/", "/etc/passwd",
		"/../guest.elf", "/trace" };

	begin();
	CU_ASSERT_EQUAL(gdb_files_find(&files, "/guest.elf"), GDB_FILE_GUEST);
	CU_ASSERT_EQUAL(gdb_files_find(&files, "/console"), GDB_FILE_CONSOLE);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		CU_ASSERT_EQUAL(gdb_files_find(&files, none[i]), -ENOENT);
	for (int file = GDB_FILE_COUNT; file < 5; file++) {
		CU_ASSERT(gdb_files_size(&files, file) < 0);
		CU_ASSERT_EQUAL(gdb_files_read(&files, file, 0, NULL, 0), -EBADF);
	}
	CU_ASSERT(gdb_files_size(&files, -1) < 0);
	CU_ASSERT(gdb_files_size(&files, GDB_FILE_TRACE) < 0); /* there is no recording */
	CU_ASSERT_EQUAL(gdb_files_size(&files, GDB_FILE_GUEST), 7);
	CU_ASSERT(holds(GDB_FILE_GUEST, 1, 3, "ELF"));
	CU_ASSERT(holds(GDB_FILE_GUEST, 4, 100, "..."));
	CU_ASSERT(holds(GDB_FILE_GUEST, 7, 100, ""));
	CU_ASSERT(holds(GDB_FILE_GUEST, UINT64_MAX, 100, ""));
	end();
}

static void the_console_is_what_the_guest_says(void)
{
	begin();
	CU_ASSERT_EQUAL(gdb_files_size(&files, GDB_FILE_CONSOLE), 0);
	call("serial_write_byte", 'a', "");
	call("serial_write", 0, "bc");
	call("write", STDOUT_FILENO, "d");
	call("write", STDERR_FILENO, "e");
	call("write", 5, "to a file");
	call("open", 0, "/a/path");
	call("close", 1, "");
	CU_ASSERT_EQUAL(gdb_files_size(&files, GDB_FILE_CONSOLE), 5);
	CU_ASSERT(holds(GDB_FILE_CONSOLE, 0, 100, "abcde"));
	CU_ASSERT(holds(GDB_FILE_CONSOLE, 3, 1, "d"));
	end();
}

/* The last of it is kept. */
static void the_console_forgets_what_is_old(void)
{
	char line[] = "a line of sixteen bytes, twice.\n";

	begin();
	CU_ASSERT_EQUAL_FATAL(GDB_CONSOLE_MAX % strlen(line), 0);
	for (size_t i = 0; i <= GDB_CONSOLE_MAX / strlen(line); i++) {
		if (i == GDB_CONSOLE_MAX / strlen(line))
			line[0] = 'A';
		call("serial_write", 0, line);
	}
	call("serial_write_byte", '!', "");
	CU_ASSERT_EQUAL(gdb_files_size(&files, GDB_FILE_CONSOLE), GDB_CONSOLE_MAX);
	CU_ASSERT(holds(GDB_FILE_CONSOLE, 0, 6, " line "));
	CU_ASSERT(holds(
		GDB_FILE_CONSOLE, GDB_CONSOLE_MAX - 33, 100, "A line of sixteen bytes, twice.\n!"));
	end();
}

static void the_recording_is_read_as_it_grows(void)
{
	char dir[TMPTREE_PATH], name[TMPTREE_PATH + 8];
	int fd;

	CU_ASSERT_FATAL(tmptree_dir(dir) != NULL);
	snprintf(name, sizeof(name), "%s/trace", dir);
	fd = open(name, O_WRONLY | O_CREAT, 0600);
	CU_ASSERT_FATAL(fd >= 0);
	begin();
	session.recording = name;
	CU_ASSERT_EQUAL(gdb_files_find(&files, "/trace"), GDB_FILE_TRACE);
	CU_ASSERT_EQUAL(gdb_files_size(&files, GDB_FILE_TRACE), 0);
	CU_ASSERT_EQUAL(write(fd, "packets", 7), 7);
	CU_ASSERT_EQUAL(unlink(name), 0);
	CU_ASSERT_EQUAL(gdb_files_find(&files, "/trace"), GDB_FILE_TRACE); /* is open already */
	CU_ASSERT_EQUAL(gdb_files_size(&files, GDB_FILE_TRACE), 7);
	CU_ASSERT(holds(GDB_FILE_TRACE, 2, 100, "ckets"));
	end();
	begin();
	session.recording = name;
	CU_ASSERT_EQUAL(gdb_files_find(&files, "/trace"), -ENOENT);
	end();
	begin();
	session.recording = "/"; /* which can be opened, and has a size, and cannot be read */
	CU_ASSERT_EQUAL(gdb_files_find(&files, "/trace"), GDB_FILE_TRACE);
	if (gdb_files_size(&files, GDB_FILE_TRACE) > 0) {
		char byte;

		CU_ASSERT_EQUAL(gdb_files_read(&files, GDB_FILE_TRACE, 0, &byte, 1), -EISDIR);
	}
	end();
	close(fd);
	rmdir(dir);
}

static const struct unit_case cases[] = {
	{ "has_three_names", has_three_names },
	{ "the_console_is_what_the_guest_says", the_console_is_what_the_guest_says },
	{ "the_console_forgets_what_is_old", the_console_forgets_what_is_old },
	{ "the_recording_is_read_as_it_grows", the_recording_is_read_as_it_grows },
};

UNIT_MAIN("gdb_files", cases)
