// SPDX-License-Identifier: ISC
/* Where gdb is served: addresses as users write them, and sockets that are their user's alone. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "err.h"
#include "gdb_address.h"
#include "unit.h"

#define X10  "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10

static void parses_what_users_write(void)
{
	static const struct {
		const char *text;
		int r;
		enum gdb_transport transport;
		const char *host, *port;
	} rows[] = {
		{ "stdio", 0, GDB_STDIO, "", "" },
		{ "-", 0, GDB_STDIO, "", "" },
		{ "1234", 0, GDB_TCP, "", "1234" },
		{ "0", 0, GDB_TCP, "", "0" },
		{ "65535", 0, GDB_TCP, "", "65535" },
		{ "65536", -EINVAL, 0, "", "" },
		{ "99999999999999999999", -EINVAL, 0, "", "" },
		{ "-1", -EINVAL, 0, "", "" },
		{ "+1", -EINVAL, 0, "", "" },
		{ " 1", -EINVAL, 0, "", "" },
		{ "1 ", -EINVAL, 0, "", "" },
		{ "0x10", -EINVAL, 0, "", "" },
		{ "", -EINVAL, 0, "", "" },
		{ ":", -EINVAL, 0, "", "" },
		{ ":1234", 0, GDB_TCP, "", "1234" },
		{ "localhost:1234", 0, GDB_TCP, "localhost", "1234" },
		{ "127.0.0.1:1", 0, GDB_TCP, "127.0.0.1", "1" },
		{ "[::1]:1", 0, GDB_TCP, "::1", "1" },
		{ "::1:1", 0, GDB_TCP, "::1", "1" },
		{ "localhost:", -EINVAL, 0, "", "" },
		{ "localhost:port", -EINVAL, 0, "", "" },
		{ "localhost", -EINVAL, 0, "", "" },
		{ X100 X100 X10 X10 X10 X10 X10 "xxxxx:1", 0, GDB_TCP,
			X100 X100 X10 X10 X10 X10 X10 "xxxxx", "1" },
		{ X100 X100 X10 X10 X10 X10 X10 "xxxxxx:1", -EINVAL, 0, "", "" },
		{ "00000000000000000001", -EINVAL, 0, "", "" },
		{ "unix:", -EINVAL, 0, "", "" },
		{ "unix:x", 0, GDB_UNIX, "x", "" },
		{ "unix:1234", 0, GDB_UNIX, "1234", "" },
		{ "unix:a:1", 0, GDB_UNIX, "a:1", "" },
		{ "unix:" X100 "xxxxxxx", 0, GDB_UNIX, X100 "xxxxxxx", "" },
		{ "unix:" X100 "xxxxxxxx", -EINVAL, 0, "", "" },
		{ "unixy:1", 0, GDB_TCP, "unixy", "1" },
		{ "tcp:x", -EINVAL, 0, "", "" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct gdb_address a;
		struct err err = { "" };
		int r = gdb_address_parse(rows[i].text, &a, &err);

		CU_ASSERT(r == rows[i].r);
		if (r != rows[i].r)
			printf("     %s: %d\n", rows[i].text, r);
		CU_ASSERT(!r == !err.text[0]);
		if (r)
			continue;
		CU_ASSERT(a.transport == rows[i].transport);
		CU_ASSERT_STRING_EQUAL(a.host, rows[i].host);
		CU_ASSERT_STRING_EQUAL(a.port, rows[i].port);
	}
}

static int listen_at(const char *address, struct gdb_address *a, char *text, size_t size)
{
	struct err err = { "" };
	int fd;

	CU_ASSERT_FATAL(!gdb_address_parse(address, a, &err));
	fd = gdb_address_listen(a, text, size, &err);
	CU_ASSERT((fd < 0) == !!err.text[0]);
	return fd;
}

static void close_all(int a, int b)
{
	if (a >= 0)
		close(a);
	if (b >= 0)
		close(b);
}

static bool closes_on_exec(int fd)
{
	return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

static void tcp_is_of_this_machine(void)
{
	struct sockaddr_in in = { 0 };
	socklen_t len = sizeof(in);
	char text[300], again[300], address[20];
	struct gdb_address a;
	int fd = listen_at("0", &a, text, sizeof(text)), other;

	if (fd < 0)
		return;
	CU_ASSERT(!getsockname(fd, (struct sockaddr *)&in, &len));
	CU_ASSERT(ntohl(in.sin_addr.s_addr) == INADDR_LOOPBACK && closes_on_exec(fd));
	snprintf(address, sizeof(address), "localhost:%u", ntohs(in.sin_port));
	CU_ASSERT_STRING_EQUAL(text, address);
	other = listen_at(address + strlen("localhost:"), &a, again, sizeof(again));
	CU_ASSERT(other == -EADDRINUSE);
	close_all(fd, other);
}

static void a_unix_socket_is_its_users_alone(void)
{
	mode_t before = umask(0);
	char dir[] = "/tmp/gdb-XXXXXX", address[100], text[300];
	struct gdb_address a;
	struct stat st;
	int fd, other;

	CU_ASSERT_FATAL(mkdtemp(dir) != NULL);
	snprintf(address, sizeof(address), "unix:%s/s", dir);
	fd = listen_at(address, &a, text, sizeof(text));
	if (fd >= 0) {
		CU_ASSERT_STRING_EQUAL(text, address + 5);
		CU_ASSERT(!stat(text, &st) && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0600);
		CU_ASSERT(closes_on_exec(fd));
		CU_ASSERT(umask(0) == 0);
		other = listen_at(address, &a, text, sizeof(text));
		CU_ASSERT(other == -EADDRINUSE);
		CU_ASSERT(!stat(text, &st));
		close_all(fd, other);
		fd = listen_at(address, &a, text, sizeof(text)); /* nobody is there any more */
		CU_ASSERT(fd >= 0);
		close_all(fd, -1);
		gdb_address_forget(&a);
		CU_ASSERT(stat(text, &st) && errno == ENOENT);
	}
	umask(before);
	unlink(address + 5);
	rmdir(dir);
}

static void what_is_no_socket_stays(void)
{
	char dir[] = "/tmp/gdb-XXXXXX", address[100], link_name[90], text[300];
	struct gdb_address a;
	struct stat st;
	int fd;

	CU_ASSERT_FATAL(mkdtemp(dir) != NULL);
	snprintf(address, sizeof(address), "unix:%s/f", dir);
	snprintf(link_name, sizeof(link_name), "%s/l", dir);
	fd = open(address + 5, O_CREAT | O_WRONLY, 0600);
	close_all(fd, -1);
	fd = listen_at(address, &a, text, sizeof(text));
	CU_ASSERT(fd == -EADDRINUSE);
	CU_ASSERT(!stat(address + 5, &st) && S_ISREG(st.st_mode));
	CU_ASSERT(!symlink(address + 5, link_name));
	unlink(address + 5);
	snprintf(address, sizeof(address), "unix:%s", link_name);
	fd = listen_at(address, &a, text, sizeof(text)); /* a link to nowhere is not followed */
	CU_ASSERT(fd == -EADDRINUSE);
	CU_ASSERT(!lstat(link_name, &st) && S_ISLNK(st.st_mode));
	snprintf(address, sizeof(address), "unix:%s/no/s", dir);
	fd = listen_at(address, &a, text, sizeof(text));
	CU_ASSERT(fd == -ENOENT);
	unlink(link_name);
	rmdir(dir);
}

static const struct unit_case cases[] = {
	{ "parses_what_users_write", parses_what_users_write },
	{ "tcp_is_of_this_machine", tcp_is_of_this_machine },
	{ "a_unix_socket_is_its_users_alone", a_unix_socket_is_its_users_alone },
	{ "what_is_no_socket_stays", what_is_no_socket_stays },
};
UNIT_MAIN("gdb_server", cases)
