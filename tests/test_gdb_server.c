// SPDX-License-Identifier: ISC
/*
 * Where gdb is served: addresses as users write them, sockets that are their user's alone, and debuggers that come, say
 * something, and go, while a script stands for the guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "abi_uhyve.h"
#include "err.h"
#include "fileio.h"
#include "gdb_address.h"
#include "gdb_server.h"
#include "heap.h"
#include "session.h"
#include "said.h"
#include "tmptree.h"
#include "unit.h"
#include "vm.h"

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
		{ "9", 0, GDB_TCP, "", "9" },
		{ "a", -EINVAL, 0, "", "" },
		{ "000000000000001", 0, GDB_TCP, "", "000000000000001" },
		{ "0000000000000001", -EINVAL, 0, "", "" },
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
		{ "[::1:1", 0, GDB_TCP, "[::1", "1" },
		{ "[:1", 0, GDB_TCP, "[", "1" },
		{ "[]:1", 0, GDB_TCP, "", "1" },
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

/* What is said on stderr while an address is made one to listen at; -1 in *fd: it is none. */
static const char *warning_of(const char *address, char *text, size_t size, int *fd)
{
	static char warning[1000];
	struct gdb_address a;
	struct said said;

	said_begin(&said);
	*fd = listen_at(address, &a, text, size);
	return said_end(&said, warning, sizeof(warning));
}

/* Others, if they are asked for; with a warning where others than this machine are meant. */
static void tcp_is_at_any_address_that_is_named(void)
{
	static const struct {
		const char *address, *text;
		bool warns;
	} rows[] = { { "0", "localhost:%u", false }, { "127.0.0.2:0", "127.0.0.2:%u", false },
		{ "0.0.0.0:0", "0.0.0.0:%u", true }, { "0:0", "0:%u", true },
		{ "[::1]:0", "[::1]:%u", false }, { "[::]:0", "[::]:%u", true } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sockaddr_in6 in6 = { 0 }; /* the port is where IPv4 has it */
		socklen_t len = sizeof(in6), on_len = sizeof(int);
		char text[300], want[300];
		int fd, on = 0;
		bool warned = strstr(warning_of(rows[i].address, text, sizeof(text), &fd),
			"whoever can reach this address");

		if (fd < 0 && rows[i].address[0] == '[') {
			unit_skip("this machine has no IPv6");
			return;
		}
		CU_ASSERT_FATAL(fd >= 0);
		CU_ASSERT(warned == rows[i].warns);
		CU_ASSERT(!getsockname(fd, (struct sockaddr *)&in6, &len));
		CU_ASSERT(!getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, &on_len) && on);
		snprintf(want, sizeof(want), rows[i].text, ntohs(in6.sin6_port));
		CU_ASSERT_STRING_EQUAL(text, want);
		close_all(fd, -1);
	}
}

static void names_of_nobody_are_refused(void)
{
	struct gdb_address a = { .transport = GDB_TCP, .host = "no such name", .port = "1" };
	struct err err = { "" };
	char text[300];

	CU_ASSERT_EQUAL(gdb_address_listen(&a, text, sizeof(text), &err), -EINVAL);
	CU_ASSERT(!strncmp(err.text, "no such name: ", 14));
}

static void a_unix_socket_is_its_users_alone(void)
{
	mode_t before = umask(0);
	char dir[TMPTREE_PATH], address[100], text[300];
	struct gdb_address a;
	struct stat st;
	int fd, other;

	CU_ASSERT_FATAL(tmptree_dir(dir) != NULL);
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

/* Why nothing can be listened for at address. */
static const char *refusal_of(const char *address)
{
	static struct err err;
	struct gdb_address a;
	char text[300];

	err.text[0] = 0;
	CU_ASSERT_FATAL(!gdb_address_parse(address, &a, &err));
	close_all(gdb_address_listen(&a, text, sizeof(text), &err), -1);
	return err.text;
}

static void what_is_in_the_way_is_said(void)
{
	static const char other[] = ": is there, and is no socket; name another path";
	char dir[TMPTREE_PATH], fifo[100], address[120], text[300];
	struct gdb_address a;
	int fd;

	CU_ASSERT_FATAL(tmptree_dir(dir) != NULL);
	snprintf(address, sizeof(address), "unix:%s", dir);
	CU_ASSERT_PTR_NOT_NULL(strstr(refusal_of(address), other));
	CU_ASSERT_STRING_EQUAL(refusal_of("unix:/dev/null"),
		"/dev/null: is there, and is no socket; name another path");
	snprintf(fifo, sizeof(fifo), "%s/f", dir);
	CU_ASSERT(!mkfifo(fifo, 0600));
	snprintf(address, sizeof(address), "unix:%s", fifo);
	CU_ASSERT_PTR_NOT_NULL(strstr(refusal_of(address), other));
	unlink(fifo);
	fd = listen_at(address, &a, text, sizeof(text));
	CU_ASSERT_PTR_NOT_NULL(
		strstr(refusal_of(address), "in use; choose another with --gdb=unix:PATH"));
	close_all(fd, -1);
	fd = listen_at("0", &a, text, sizeof(text));
	CU_ASSERT_PTR_NOT_NULL(
		strstr(refusal_of(text), "in use; choose another port with --gdb=PORT"));
	close_all(fd, -1);
	unlink(fifo);
	rmdir(dir);
}

static void what_is_no_socket_stays(void)
{
	char dir[TMPTREE_PATH], address[100], link_name[90], text[300];
	struct gdb_address a;
	struct stat st;
	int fd;

	CU_ASSERT_FATAL(tmptree_dir(dir) != NULL);
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

/* Nor what is somebody's who speaks otherwise. */
static void a_socket_of_another_kind_stays(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	char dir[TMPTREE_PATH], address[100], text[300];
	struct gdb_address a;
	struct stat st;
	int fd, other;

	CU_ASSERT_FATAL(tmptree_dir(dir) != NULL);
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/s", dir);
	snprintf(address, sizeof(address), "unix:%s/s", dir);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CU_ASSERT(!bind(fd, (struct sockaddr *)&name, sizeof(name)));
	other = listen_at(address, &a, text, sizeof(text));
	CU_ASSERT(other == -EADDRINUSE);
	CU_ASSERT(!lstat(name.sun_path, &st) && S_ISSOCK(st.st_mode));
	close_all(fd, other);
	unlink(name.sun_path);
	rmdir(dir);
}

static void says_how_long_a_path_may_be(void)
{
	struct gdb_address a;
	struct err err = { "" };

	CU_ASSERT_EQUAL(gdb_address_parse("unix:" X100 "xxxxxxxx", &a, &err), -EINVAL);
	CU_ASSERT_STRING_EQUAL(err.text, X100 "xxxxxxxx: a socket's path has at most 107 bytes");
}

static int lowest_free(void)
{
	int fd = dup(STDOUT_FILENO);

	close(fd);
	return fd;
}

/* Whatever comes of it, and whatever numbers descriptors have: 0 is one of them. */
static void descriptors_are_closed_and_may_be_0(void)
{
	char dir[TMPTREE_PATH], address[100], text[300];
	int before = dup(STDIN_FILENO), free_one, fd, other;
	struct gdb_address a;

	CU_ASSERT_FATAL(tmptree_dir(dir) != NULL);
	snprintf(address, sizeof(address), "unix:%s/s", dir);
	fd = listen_at(address, &a, text, sizeof(text));
	free_one = lowest_free();
	CU_ASSERT(listen_at(address, &a, text, sizeof(text)) == -EADDRINUSE);
	CU_ASSERT_EQUAL(lowest_free(), free_one);
	CU_ASSERT(listen_at("unix:/no/such/place", &a, text, sizeof(text)) == -ENOENT);
	CU_ASSERT_EQUAL(lowest_free(), free_one);
	close(STDIN_FILENO);
	CU_ASSERT(listen_at("unix:/no/such/place", &a, text, sizeof(text)) == -ENOENT);
	CU_ASSERT_EQUAL(lowest_free(), STDIN_FILENO);
	CU_ASSERT(listen_at(address, &a, text, sizeof(text)) == -EADDRINUSE);
	close_all(fd, -1);
	fd = listen_at(address, &a, text, sizeof(text)); /* nobody is there any more */
	CU_ASSERT_EQUAL(fd, STDIN_FILENO);
	other = listen_at(address, &a, text, sizeof(text));
	CU_ASSERT(other == -EADDRINUSE);
	close_all(fd, -1);
	unlink(address + 5);
	fd = listen_at("127.0.0.1:0", &a, text, sizeof(text));
	CU_ASSERT_EQUAL(fd, STDIN_FILENO);
	free_one = lowest_free();
	CU_ASSERT(listen_at(strrchr(text, ':') + 1, &a, text, sizeof(text)) == -EADDRINUSE);
	CU_ASSERT_EQUAL(lowest_free(), free_one);
	close_all(fd, -1);
	dup2(before, STDIN_FILENO);
	close_all(before, -1);
	rmdir(dir);
}

static void nothing_is_left_behind(void)
{
	struct gdb_address a;
	size_t before = 0;
	char text[300];

	for (int i = 0; i < 20; i++) {
		close_all(listen_at("127.0.0.1:0", &a, text, sizeof(text)), -1);
		if (i == 9)
			before = heap();
	}
	CU_ASSERT_EQUAL(heap(), before);
}

static void says_when_there_are_no_more_descriptors(void)
{
	struct gdb_address unix_one = { .transport = GDB_UNIX, .host = "no such place" };
	struct gdb_address tcp_one = { .transport = GDB_TCP, .host = "127.0.0.1", .port = "0" };
	struct rlimit before, none;
	struct err err = { "" };
	char text[300];
	int a, b;

	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ (rlim_t)lowest_free(), before.rlim_max };
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &none), 0);
	a = gdb_address_listen(&unix_one, text, sizeof(text), &err);
	b = gdb_address_listen(&tcp_one, text, sizeof(text), &err);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
	CU_ASSERT_EQUAL(a, -EMFILE);
	CU_ASSERT_EQUAL(b, -EMFILE);
}

/* ---- debuggers ---- */

enum { RAM = 0x100000, SIZE = 0x10000, CALL_EXIT = 0x1010, CALL_BYTE = 0x1020, STEPS = 200 };

static struct world {
	struct session session;
	char dir[TMPTREE_PATH], address[80];
	struct sockaddr_un name;
	struct backend_ops ops;
	int client, other;
	int steps;               /* how far the guest is */
	void (*meanwhile)(void); /* what happens outside when it is at its third */
	char said[1 << 12];
} w;

/* As the program does it for a connection that says something. */
static void on_input(int signum)
{
	(void)signum;
	if (w.session.vm)
		vm_pause(w.session.vm);
}

/* Bytes to the console, and then the end. */
static int next(void *ctx, struct backend *b, struct vcpu_exit *exit)
{
	(void)ctx, (void)b;
	if (++w.steps == 3 && w.meanwhile)
		w.meanwhile();
	*exit = (struct vcpu_exit){ .kind = VCPU_PORT,
		.size = 4,
		.port = w.steps < STEPS ? CALL_BYTE : CALL_EXIT,
		.rdi = w.steps < STEPS ? 'y' : 5 };
	return 0;
}

/* A script stops nowhere by itself, and says nothing against it. */
static int set_debug(struct backend *b, const struct vcpu_debug *debug)
{
	(void)b, (void)debug;
	return 0;
}

static int come(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT(fd >= 0);
	CU_ASSERT(!connect(fd, (struct sockaddr *)&w.name, sizeof(w.name)));
	return fd;
}

static void say_to(int fd, const char *text)
{
	CU_ASSERT_EQUAL(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* What was sent there: all of it is, when this is asked. */
static const char *heard(int fd)
{
	ssize_t n, used = 0;

	while ((n = recv(fd, w.said + used, sizeof(w.said) - 1 - (size_t)used, MSG_DONTWAIT)) > 0)
		used += n;
	w.said[used] = 0;
	return w.said;
}

static bool has_heard(int fd, const char *part)
{
	bool found = strstr(heard(fd), part);

	if (!found)
		printf("     heard %s     not %s\n", w.said, part);
	return found;
}

static void serve_script(bool wait)
{
	struct err err = { "" };

	memset(&w, 0, sizeof(w));
	CU_ASSERT_FATAL(tmptree_dir(w.dir) != NULL);
	w.client = w.other = -1;
	w.name.sun_family = AF_UNIX;
	snprintf(w.name.sun_path, sizeof(w.name.sun_path), "%s/s", w.dir);
	snprintf(w.address, sizeof(w.address), "unix:%s/s", w.dir);
	session_init(&w.session);
	w.session.guest = "guest.elf";
	signal(SIGIO, on_input);
	if (fileio_init(&w.session.files,
		    &(struct fileio_config){ .console_in = -1, .console_out = -1 }, &err) ||
		vm_create_script(&w.session.vm,
			&(struct vm_script){ .abi = &abi_uhyve,
				.abi_version = 2,
				.ram_gpa = RAM,
				.mem_size = SIZE,
				.files = w.session.files,
				.next = next },
			&err) ||
		gdb_server_new(&w.session.gdb, &w.session, w.address, wait, &err)) {
		session_finish(&w.session);
		rmdir(w.dir);
		CU_FAIL_FATAL(err.text);
	}
	w.ops = backend_script;
	w.ops.set_debug = set_debug;
	w.session.vm->cpu->ops = &w.ops;
}

static const struct vm_stop *drive(void)
{
	return w.session.drive(w.session.drive_ctx, w.session.vm);
}

static void finish(void)
{
	close_all(w.client, w.other);
	session_finish(&w.session);
	CU_ASSERT_EQUAL(rmdir(w.dir), 0); /* the socket is gone */
}

#define EXPEDITED "10:0*,;07:0*,;06:0*,;11:020*\";"

static void a_debugger_that_goes_lets_the_guest_go(void)
{
	const struct vm_stop *stop;

	serve_script(false);
	w.client = come();
	say_to(w.client, "+$qC#b4");
	shutdown(w.client, SHUT_WR);
	stop = drive();
	CU_ASSERT(stop->kind == VM_EXITED && stop->code == 5);
	CU_ASSERT_STRING_EQUAL(heard(w.client), "+$QC1#c5");
	CU_ASSERT(!w.session.ended_by_debugger);
	finish();
}

/* Nor has it let go of a guest that it never spoke of. */
static void who_says_nothing_has_not_let_it_go(void)
{
	if (unit_fault_run) {
		unit_skip("who fails to hear the last of them waits for ever");
		return;
	}
	serve_script(true);
	close_all(come(), -1);
	w.client = come();
	say_to(w.client, "$qC#b4$k#6b");
	CU_ASSERT_EQUAL(drive()->kind, VM_KICKED);
	CU_ASSERT_EQUAL(w.steps, 0);
	CU_ASSERT_STRING_EQUAL(heard(w.client), "+$QC1#c5+");
	CU_ASSERT(w.session.ended_by_debugger != NULL);
	finish();
}

/* What it says while the guest runs waits until that stands. */
static void words_to_a_running_guest_wait(void)
{
	serve_script(false);
	w.client = come();
	say_to(w.client, "$c#63$k#6b");
	CU_ASSERT_EQUAL(drive()->kind, VM_EXITED);
	CU_ASSERT_STRING_EQUAL(heard(w.client), "+$W05#bc+");

	finish();
}

static void interrupt_and_detach(void)
{
	say_to(w.client, "\003$D#44");
}

static void an_interrupt_is_answered_by_a_stop(void)
{
	serve_script(false);
	w.meanwhile = interrupt_and_detach;
	w.client = come();
	say_to(w.client, "$c#63");
	CU_ASSERT_EQUAL(drive()->kind, VM_EXITED);
	CU_ASSERT(has_heard(w.client, "+$T02" EXPEDITED "thread:1;#"));
	CU_ASSERT_PTR_NOT_NULL(strstr(w.said, "+$OK#9a"));
	CU_ASSERT_EQUAL(w.steps, STEPS);
	finish();
}

static void another_comes(void)
{
	w.other = come();
	say_to(w.client, "+");
}

static void a_second_debugger_is_told_that_it_is_one(void)
{
	serve_script(false);
	w.meanwhile = another_comes;
	w.client = come();
	say_to(w.client, "$c#63$k#6b");
	CU_ASSERT_EQUAL(drive()->kind, VM_EXITED);
	CU_ASSERT_STRING_EQUAL(
		heard(w.other), "+$E.another debugger is connected to this guest#bb");
	CU_ASSERT(has_heard(w.client, "$W05#bc"));
	finish();
}

static void it_goes(void)
{
	close_all(w.client, -1);
	w.client = -1;
}

/* The guest goes on, and the next one finds it where it is; there are none to come. */
static void a_debugger_may_go_while_the_guest_runs(void)
{
	serve_script(false);
	w.meanwhile = it_goes;
	w.client = come();
	say_to(w.client, "$c#63");
	CU_ASSERT_EQUAL(drive()->kind, VM_EXITED);
	CU_ASSERT_EQUAL(w.steps, STEPS);
	finish();
}

static void it_floods(void)
{
	static char noise[1 << 17];

	memset(noise, 'x', sizeof(noise));
	memcpy(noise + sizeof(noise) - 5, "$k#6b", 5);
	CU_ASSERT_EQUAL(send(w.client, noise, sizeof(noise), MSG_NOSIGNAL), sizeof(noise));
}

/* What it says is kept, but not without end. */
static void a_debugger_that_floods_a_running_guest_stops_it(void)
{
	serve_script(false);
	w.meanwhile = it_floods;
	w.client = come();
	say_to(w.client, "$c#63");
	CU_ASSERT_EQUAL(drive()->kind, VM_KICKED);
	CU_ASSERT(has_heard(w.client, "+$T02"));
	CU_ASSERT_EQUAL(w.steps, 3);
	finish();
}

static void it_comes(void)
{
	w.client = come();
	say_to(w.client, "$?#3f$k#6b");
}

static void who_comes_to_a_running_guest_stops_it(void)
{
	serve_script(false);
	w.meanwhile = it_comes;
	CU_ASSERT_EQUAL(drive()->kind, VM_KICKED);
	CU_ASSERT(has_heard(w.client, "+$T02" EXPEDITED "thread:1;#"));
	CU_ASSERT(w.steps >= 3 && w.steps < STEPS);
	finish();
}

static const struct unit_case cases[] = {
	{ "parses_what_users_write", parses_what_users_write },
	{ "tcp_is_of_this_machine", tcp_is_of_this_machine },
	{ "a_unix_socket_is_its_users_alone", a_unix_socket_is_its_users_alone },
	{ "tcp_is_at_any_address_that_is_named", tcp_is_at_any_address_that_is_named },
	{ "names_of_nobody_are_refused", names_of_nobody_are_refused },
	{ "what_is_in_the_way_is_said", what_is_in_the_way_is_said },
	{ "what_is_no_socket_stays", what_is_no_socket_stays },
	{ "says_how_long_a_path_may_be", says_how_long_a_path_may_be },
	{ "descriptors_are_closed_and_may_be_0", descriptors_are_closed_and_may_be_0 },
	{ "nothing_is_left_behind", nothing_is_left_behind },
	{ "says_when_there_are_no_more_descriptors", says_when_there_are_no_more_descriptors },
	{ "a_socket_of_another_kind_stays", a_socket_of_another_kind_stays },
	{ "a_debugger_that_goes_lets_the_guest_go", a_debugger_that_goes_lets_the_guest_go },
	{ "who_says_nothing_has_not_let_it_go", who_says_nothing_has_not_let_it_go },
	{ "words_to_a_running_guest_wait", words_to_a_running_guest_wait },
	{ "an_interrupt_is_answered_by_a_stop", an_interrupt_is_answered_by_a_stop },
	{ "a_second_debugger_is_told_that_it_is_one", a_second_debugger_is_told_that_it_is_one },
	{ "a_debugger_may_go_while_the_guest_runs", a_debugger_may_go_while_the_guest_runs },
	{ "a_debugger_that_floods_a_running_guest_stops_it",
		a_debugger_that_floods_a_running_guest_stops_it },
	{ "who_comes_to_a_running_guest_stops_it", who_comes_to_a_running_guest_stops_it },
};
UNIT_MAIN("gdb_server", cases)
