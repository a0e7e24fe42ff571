// SPDX-License-Identifier: ISC
/*
 * The connection, and whose turn it is: the debugger's while the guest stands still, the guest's otherwise. While it
 * runs, input raises a signal that pauses the machine, so that nothing is polled and nothing waits.
 */
#include "gdb_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "err.h"
#include "gdb_address.h"
#include "gdb_stub.h"
#include "gdb_vm.h"
#include "log.h"

enum { INPUT = 1 << 16, INTERRUPT = 3, SILENCE_MS = 20 };

struct gdb_server {
	struct session *session;
	struct gdb_address address;
	char text[300];                 /* for `target remote` */
	bool wait;                      /* the guest stands still until a debugger says something */
	int listener, in, out, refused; /* -1: none */
	bool gone;
	uint8_t input[INPUT];
	const uint8_t *at;
	size_t n;
	struct gdb_vm target;
	struct gdb_stub *stub;
};

/* ---- the wire ---- */

/* A debugger that is gone is no reason to end: no SIGPIPE where that can be had. */
static ssize_t send_some(int fd, const uint8_t *bytes, size_t n)
{
	ssize_t done = send(fd, bytes, n, MSG_NOSIGNAL);

	return done < 0 && errno == ENOTSOCK ? write(fd, bytes, n) : done;
}

static void send_bytes(void *ctx, const uint8_t *bytes, size_t n)
{
	struct gdb_server *s = ctx;

	while (n && !s->gone) {
		ssize_t done = send_some(s->out, bytes, n);

		if (done < 0 && errno == EINTR && !session_stopping())
			continue;
		if (done < 0)
			s->gone = true;
		else
			bytes += done, n -= (size_t)done;
	}
}

static bool has_input(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return fd >= 0 && poll(&p, 1, 0) > 0;
}

/* There may still be something to read of it. */
static bool hung_up(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* It stays open until the next one, so that what it says finds somebody and it comes to read why. */
static void refuse_others(struct gdb_server *s)
{
	static const char text[] = "+$E.another debugger is connected to this guest#bb";
	int fd;

	while (s->listener >= 0 &&
		(fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		close_fd(&s->refused);
		s->refused = fd;
		(void)!send_some(fd, (const uint8_t *)text, strlen(text));
		shutdown(fd, SHUT_WR);
		log_info("gdb: a second debugger was refused");
	}
}

/* It has been silent for SILENCE_MS: who else comes is told. False: a signal came. */
static bool wait_for_input(struct gdb_server *s)
{
	struct pollfd fds[] = { { .fd = s->in, .events = POLLIN },
		{ .fd = s->listener, .events = POLLIN } };

	while (!fds[0].revents) {
		if (poll(fds, 2, -1) < 0)
			return false;
		if (!fds[0].revents)
			refuse_others(s);
	}
	return true;
}

/* Waits for input, and takes it; false when there will be none. What is there is kept. */
static bool fill(struct gdb_server *s)
{
	size_t room;
	ssize_t n;

	memmove(s->input, s->at, s->n);
	s->at = s->input;
	room = sizeof(s->input) - s->n;
	if (s->gone || !room)
		return false;
	n = read(s->in, s->input + s->n, room);
	if (n < 0 && errno == EAGAIN)
		n = wait_for_input(s) ? read(s->in, s->input + s->n, room) : -1;
	if (n < 0 && errno == EINTR)
		return !session_stopping();
	if (n <= 0)
		s->gone = true;
	else
		s->n += (size_t)n;
	return n > 0;
}

static enum gdb_poll poll_client(void *ctx)
{
	struct gdb_server *s = ctx;

	if (has_input(s->in))
		fill(s);
	s->gone |= hung_up(s->in);
	if (!s->gone)
		refuse_others(s);
	while (s->n && *s->at == '+')
		s->at++, s->n--;
	if (s->n && *s->at == INTERRUPT) {
		s->at++, s->n--;
		return GDB_POLL_INTERRUPT;
	}
	return s->gone || s->n == sizeof(s->input) || session_stopping() ? GDB_POLL_GONE
									 : GDB_POLL_NOTHING;
}

static void watch_client(void *ctx, bool on)
{
	struct gdb_server *s = ctx;

	session_watch(s->in, on);
	if (s->listener >= 0) /* others come to hear that it is taken */
		session_watch(s->listener, on);
}

static void say(void *ctx, const char *text, size_t len)
{
	struct gdb_server *s = ctx;

	gdb_stub_say(s->stub, text, len);
}

/* ---- clients ---- */

static bool take_client(struct gdb_server *s)
{
	/* A debugger that is busy costs one call a packet. Signals come at 10 Hz, and begin this anew. */
	const struct timeval silence = { .tv_usec = SILENCE_MS * 1000 };
	int on = 1, fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return false;
	if (s->address.transport == GDB_TCP)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
	s->in = s->out = fd;
	return true;
}

static void begin_client(struct gdb_server *s)
{
	s->gone = false;
	s->at = s->input;
	s->n = 0;
	gdb_stub_reset(s->stub);
}

/* Standard input and output stay open, so that no file of the guest's gets their numbers; but a socket, as gdb has it, ends. */
static void end_client(struct gdb_server *s)
{
	if (s->listener >= 0) {
		close_fd(&s->in);
	} else {
		shutdown(s->in, SHUT_RDWR);
		shutdown(s->out, SHUT_RDWR);
	}
	close_fd(&s->refused);
	s->in = s->out = -1;
}

/* The guest stands still until a debugger is there: false when we are to end. */
static bool wait_for_client(struct gdb_server *s)
{
	struct pollfd p = { .fd = s->listener, .events = POLLIN };

	while (!session_stopping())
		if (poll(&p, 1, -1) > 0 && take_client(s))
			return true;
	return false;
}

/* At stdio nobody else can come to a guest that is left alone: only a debugger that detaches lets it run on. */
static enum gdb_stub_state lost(struct gdb_server *s)
{
	enum gdb_stub_state state = s->wait ? GDB_TALKING : gdb_stub_gone(s->stub);

	if (s->listener >= 0 || session_stopping() || state == GDB_KILLED ||
		gdb_vm_ended(&s->target))
		return state;
	s->session->ended_by_debugger =
		"gdb is gone without a word, and so is the guest (after `detach` it runs on)";
	return GDB_KILLED;
}

/* Until the debugger is done with the guest, or gone. */
static enum gdb_stub_state talk(struct gdb_server *s)
{
	enum gdb_stub_state state = GDB_TALKING;

	begin_client(s);
	gdb_vm_begin(&s->target);
	while (state == GDB_TALKING && !session_stopping()) {
		if (!s->n && !fill(s))
			break;
		s->wait &= !s->n;
		state = gdb_stub_input(s->stub, &s->at, &s->n);
	}
	if (state == GDB_TALKING)
		state = lost(s);
	gdb_vm_end(&s->target);
	end_client(s);
	return state;
}

/* ---- driving ---- */

/* Ended in good order, so that who watches learns of it. */
static const struct vm_stop *end_guest(struct gdb_server *s)
{
	struct vm *vm = s->target.vm;

	if (gdb_vm_ended(&s->target))
		return &vm->stop;
	vm_kick(vm);
	return vm_run(vm);
}

/* Without a debugger. True: one is there now. */
static bool run_alone(struct gdb_server *s)
{
	bool there = false, paused = true;

	if (s->listener >= 0)
		session_watch(s->listener, true);
	while (paused && !there) { /* one may be there already, of which no signal tells */
		there = s->listener >= 0 && take_client(s);
		paused = there || gdb_vm_run_free(&s->target)->kind == VM_PAUSED;
	}
	if (s->listener >= 0)
		session_watch(s->listener, false);
	return there;
}

static void invite(const struct gdb_server *s)
{
	if (s->address.transport == GDB_STDIO)
		return;
	if (s->wait)
		fprintf(stderr,
			"belljar: the guest waits for gdb at its first instruction. Type there:\n  "
			"target remote %s\n",
			s->text);
	else if (s->address.transport == GDB_TCP && !strtoul(s->address.port, NULL, 10))
		fprintf(stderr, "belljar: gdb: target remote %s\n", s->text);
	else
		log_info("gdb: target remote %s", s->text);
}

/* Whoever came and went without a word has not let the guest go. */
static bool next_client(struct gdb_server *s)
{
	return s->wait && s->listener >= 0 ? wait_for_client(s) : run_alone(s);
}

static const struct vm_stop *serve(struct gdb_server *s)
{
	bool there = s->address.transport == GDB_STDIO;

	invite(s);
	if (!there)
		there = next_client(s);
	while (there) {
		if (talk(s) == GDB_KILLED) {
			if (!s->session->ended_by_debugger)
				s->session->ended_by_debugger = "killed by the debugger";
			break;
		}
		if (gdb_vm_ended(&s->target) || session_stopping())
			break;
		there = next_client(s);
	}
	return end_guest(s);
}

const struct vm_stop *gdb_server_drive(void *ctx, struct vm *vm)
{
	struct gdb_server *s = ctx;
	struct gdb_link link = { s, poll_client, watch_client, say };
	const struct vm_stop *stop;

	if (!gdb_vm_init(&s->target, s->session, &link))
		s->stub = gdb_stub_new(&s->target.ops, &s->target, send_bytes, s);
	s->target.ops.created = s->address.transport == GDB_STDIO;
	if (!s->stub) {
		vm_stop_set(vm, VM_FAILED, "gdb: out of memory");
		gdb_vm_finish(&s->target);
		return &vm->stop;
	}
	stop = serve(s);
	gdb_stub_free(s->stub);
	s->stub = NULL;
	gdb_vm_finish(&s->target);
	return stop;
}

/* ---- beginning and end ---- */

static int open_transport(struct gdb_server *s, struct err *err)
{
	if (s->address.transport != GDB_STDIO) {
		s->listener = gdb_address_listen(&s->address, s->text, sizeof(s->text), err);
		return s->listener < 0 ? s->listener : 0;
	}
	s->in = STDIN_FILENO;
	s->out = STDOUT_FILENO;
	s->session->console_in = -1;
	s->session->console_out = STDERR_FILENO;
	return 0;
}

int gdb_server_new(struct gdb_server **out, struct session *session, const char *address, bool wait,
	struct err *err)
{
	struct gdb_server *s = calloc(1, sizeof(*s));
	struct err why = { "" };
	int r;

	*out = NULL;
	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->session = session;
	s->wait = wait;
	s->listener = s->in = s->out = s->refused = -1;
	r = gdb_address_parse(address, &s->address, &why);
	if (!r)
		r = open_transport(s, &why);
	if (r) {
		free(s);
		return err_set(err, r, "--gdb=%s: %s", address, why.text);
	}
	session->drive = gdb_server_drive;
	session->drive_ctx = s;
	*out = s;
	return 0;
}

void gdb_server_free(struct gdb_server *s)
{
	if (!s)
		return;
	if (s->listener >= 0) {
		close(s->listener);
		gdb_address_forget(&s->address);
	}
	free(s);
}
