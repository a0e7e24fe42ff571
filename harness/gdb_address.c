// SPDX-License-Identifier: ISC
/* Addresses and listening sockets. */
#include "gdb_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "err.h"
#include "log.h"

enum { PORT_MAX = 65535 };

/* Neither blank nor sign, nor nothing. */
static bool is_number(const char *port)
{
	return *port && !port[strspn(port, "0123456789")];
}

static int parse_tcp(const char *text, struct gdb_address *a, struct err *err)
{
	const char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : text, *host = text;
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (!is_number(port))
		return err_set(err, -EINVAL, "%s: not stdio, unix:PATH, PORT or HOST:PORT", text);
	if (strlen(port) >= sizeof(a->port) || strtoul(port, NULL, 10) > PORT_MAX)
		return err_set(err, -EINVAL, "%s: a port is at most %d", text, PORT_MAX);
	if (len > 1 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	if (len == 1 && host[0] == '*')
		return err_set(err, -EINVAL,
			"%s: no host; 0.0.0.0 is every IPv4 address of this machine, [::] every "
			"IPv6 one",
			text);
	if (len >= sizeof(a->host))
		return err_set(err, -EINVAL, "%s: longer than any name of a host", text);
	a->transport = GDB_TCP;
	memcpy(a->host, host, len);
	strcpy(a->port, port);
	return 0;
}

int gdb_address_parse(const char *text, struct gdb_address *a, struct err *err)
{
	const struct sockaddr_un *un = NULL;

	*a = (struct gdb_address){ .transport = GDB_STDIO };
	if (!strcmp(text, "stdio") || !strcmp(text, "-"))
		return 0;
	if (strncmp(text, "unix:", 5))
		return parse_tcp(text, a, err);
	a->transport = GDB_UNIX;
	if (!text[5])
		return err_set(err, -EINVAL, "unix: has no path");
	if (strlen(text + 5) >= sizeof(un->sun_path))
		return err_set(err, -EINVAL, "%s: a socket's path has at most %zu bytes", text + 5,
			sizeof(un->sun_path) - 1);
	strcpy(a->host, text + 5);
	return 0;
}

static int fail(int fd, int e, const char *what, struct err *err)
{
	if (fd >= 0)
		close(fd);
	return err_set(err, -e, "%s: %s", what, strerrordesc_np(e));
}

/* ---- unix ---- */

static struct sockaddr_un unix_name(const struct gdb_address *a)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };

	strcpy(name.sun_path, a->host);
	return name;
}

/* Nobody listens there any more. */
static bool is_left_behind(const struct gdb_address *a)
{
	struct sockaddr_un name = unix_name(a);
	struct stat st;
	bool refused;
	int fd;

	if (lstat(a->host, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	refused = connect(fd, (struct sockaddr *)&name, sizeof(name)) && errno == ECONNREFUSED;
	close(fd);
	return refused;
}

static int bind_private(int fd, const struct gdb_address *a)
{
	struct sockaddr_un name = unix_name(a);
	mode_t before = umask(0177);
	int r = bind(fd, (struct sockaddr *)&name, sizeof(name)) ? errno : 0;

	umask(before);
	return r;
}

/* By somebody who listens there; or what is there was never a socket, and stays. */
static int in_use(const struct gdb_address *a, struct err *err)
{
	struct stat st;
	bool other = !lstat(a->host, &st) && !S_ISSOCK(st.st_mode);

	return err_set(err, -EADDRINUSE, "%s: %s", a->host,
		other ? "is there, and is no socket; name another path"
		      : "Address already in use; choose another with --gdb=unix:PATH");
}

static int listen_unix(const struct gdb_address *a, struct err *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;

	if (fd < 0)
		return fail(fd, errno, a->host, err);
	r = bind_private(fd, a);
	if (r == EADDRINUSE && is_left_behind(a)) {
		unlink(a->host);
		r = bind_private(fd, a);
	}
	if (r == EADDRINUSE) {
		close(fd);
		return in_use(a, err);
	}
	if (r)
		return fail(fd, r, a->host, err);
	if (listen(fd, 1))
		return fail(fd, errno, a->host, err);
	return fd;
}

void gdb_address_forget(const struct gdb_address *a)
{
	if (a->transport == GDB_UNIX)
		unlink(a->host);
}

/* ---- TCP ---- */

static bool is_loopback(const struct sockaddr *sa)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;

	if (sa->sa_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return !memcmp(&in6->sin6_addr, &in6addr_loopback, sizeof(in6addr_loopback));
}

static int listen_at(const struct addrinfo *ai)
{
	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1,
	    e;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (!bind(fd, ai->ai_addr, ai->ai_addrlen) && !listen(fd, 1))
		return fd;
	e = errno;
	close(fd);
	return -e;
}

/* The port that was chosen, when 0 was asked for. */
static unsigned port_of(int fd)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);

	getsockname(fd, (struct sockaddr *)&sa, &len);
	return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
					      : ((struct sockaddr_in *)&sa)->sin_port);
}

static int listen_tcp(const struct gdb_address *a, char *text, size_t size, struct err *err)
{
	struct addrinfo hints = { .ai_family = a->host[0] ? AF_UNSPEC : AF_INET,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	const char *host = a->host[0] ? a->host : "localhost";
	int fd, r = getaddrinfo(host, a->port, &hints, &found);

	if (r)
		return err_set(err, -EINVAL, "%s: %s", host, gai_strerror(r));
	fd = listen_at(found);
	if (fd >= 0 && !is_loopback(found->ai_addr))
		log_warn("gdb at %s:%s: whoever can reach this address can do with the guest, and "
			 "with the files you map, what you can",
			host, a->port);
	freeaddrinfo(found);
	if (fd < 0)
		return err_set(err, fd, "%s:%s: %s%s", host, a->port, strerrordesc_np(-fd),
			fd == -EADDRINUSE ? "; choose another port with --gdb=PORT, or 0 for any "
					    "that is free"
					  : "");
	snprintf(text, size, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port_of(fd));
	return fd;
}

int gdb_address_listen(const struct gdb_address *a, char *text, size_t size, struct err *err)
{
	if (a->transport == GDB_TCP)
		return listen_tcp(a, text, size, err);
	snprintf(text, size, "%s", a->host);
	return listen_unix(a, err);
}
