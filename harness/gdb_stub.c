// SPDX-License-Identifier: ISC
/*
 * The stub itself: acknowledgements, the table of packets, registers, memory, breakpoints. Queries are in gdb_query.c,
 * what resumes the guest in gdb_run.c, host I/O in gdb_file.c.
 */
#include "gdb_stub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gdb_stub_parts.h"
#include "log.h"

struct gdb_stub *gdb_stub_new(
	const struct gdb_target_ops *ops, void *target, gdb_send_fn *send, void *ctx)
{
	struct gdb_stub *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->ops = ops;
	s->target = target;
	s->send = send;
	s->send_ctx = ctx;
	return s;
}

void gdb_stub_free(struct gdb_stub *s)
{
	free(s);
}

void gdb_stub_reset(struct gdb_stub *s)
{
	s->state = GDB_TALKING;
	s->no_ack = s->error_text = s->extended = s->physical = s->has_state = false;
	s->killed = s->over = false;
	memset(s->takes, 0, sizeof(s->takes));
	s->framed = 0;
	s->warned[0] = 0;
	s->in.state = 0;
	s->in.no_ack = false;
}

/* ---- replies ---- */

void gdb_reply_error(struct gdb_stub *s, int error, const char *why)
{
	gdb_reply_begin(&s->out);
	if (s->error_text && why)
		gdb_printf(&s->out, "E.%s", why);
	else
		gdb_printf(&s->out, "E%02x", (unsigned)abs(error));
}

void gdb_reply_result(struct gdb_stub *s, int r, const char *why)
{
	if (r)
		gdb_reply_error(s, r, why);
	else
		gdb_put(&s->out, "OK");
}

/* To a client that prints E and all that follows, as every gdb does when a register cannot be written. */
static void reply_words(struct gdb_stub *s, const char *why)
{
	gdb_reply_begin(&s->out);
	gdb_printf(&s->out, "E.%s", why);
}

static void warn_once(struct gdb_stub *s, const char *why)
{
	if (!why || !strcmp(why, s->warned))
		return;
	snprintf(s->warned, sizeof(s->warned), "%s", why);
	log_warn("gdb: %s", why);
}

void gdb_reply_refused(struct gdb_stub *s, int r, const char *why, const char *otherwise)
{
	warn_once(s, why);
	gdb_reply_error(s, r, why ? why : otherwise);
}

void gdb_reply_part(struct gdb_stub *s, struct gdb_cursor *c, const void *bytes, size_t n)
{
	uint64_t at, len;
	size_t done;

	if (!gdb_take_hex(c, &at) || !gdb_take_char(c, ',') || !gdb_take_hex(c, &len))
		return gdb_reply_error(s, EINVAL, "offset and length expected");
	if (at > n)
		at = n;
	if (len > n - at)
		len = n - at;
	gdb_put(&s->out, "m");
	done = gdb_put_escaped(&s->out, (const uint8_t *)bytes + at, len);
	if (at + done == n)
		s->out.bytes[0] = 'l';
}

/* One write for acknowledgement and reply: a packet each costs a round trip. */
static void send_reply(struct gdb_stub *s)
{
	s->framed = gdb_frame(&s->out, s->frame);
	s->send(s->send_ctx, s->frame, s->framed);
}

void gdb_stub_say(struct gdb_stub *s, const char *text, size_t len)
{
	size_t most = (GDB_PACKET_MAX - 1) / 2;

	for (size_t n; s->resumed && len; text += n, len -= n) {
		n = len < most ? len : most;
		gdb_reply_begin(&s->said);
		gdb_put(&s->said, "O");
		gdb_put_hex(&s->said, text, n);
		s->send(s->send_ctx, s->note, gdb_frame(&s->said, s->note));
	}
}

/* ---- registers ---- */

bool gdb_stub_state_get(struct gdb_stub *s)
{
	int r = s->has_state ? 0 : s->ops->get_state(s->target, &s->cpu, &s->counts);

	s->has_state = !r;
	if (r)
		gdb_reply_error(s, r, "the registers cannot be read");
	return !r;
}

/* What was changed of them goes to the machine; what it refuses is as it was. */
static void state_set(struct gdb_stub *s)
{
	const char *why = "this CPU does not take such registers";
	int r = s->ops->set_state(s->target, &s->cpu, &why);

	s->has_state = false;
	if (!r)
		return gdb_put(&s->out, "OK");
	warn_once(s, why);
	reply_words(s, why);
}

static void put_register(struct gdb_stub *s, unsigned n)
{
	uint8_t value[GDB_REG_MAX];

	gdb_reg_get(&s->cpu, &s->counts, n, value);
	gdb_put_hex(&s->out, value, gdb_reg_size(s->ops->has_avx, n));
}

static void read_registers(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	if (!gdb_stub_state_get(s))
		return;
	for (unsigned n = 0; n < gdb_regs_count(s->ops->has_avx); n++)
		put_register(s, n);
}

/* 0, or why this value may not be there. */
static int change_register(struct gdb_stub *s, unsigned n, const uint8_t *value)
{
	return gdb_reg_set(&s->cpu, &s->counts, n, value);
}

/* All of them: what may not be changed must be as it is, and is skipped when it is not, for gdb sends what it has. */
static void write_registers(struct gdb_stub *s, struct gdb_cursor *c)
{
	uint8_t value[GDB_REG_MAX];

	if (gdb_left(c) != 2 * gdb_regs_size(s->ops->has_avx))
		return reply_words(s, "not as many bytes as g gives");
	if (!gdb_stub_state_get(s))
		return;
	for (unsigned n = 0; n < gdb_regs_count(s->ops->has_avx); n++) {
		if (!gdb_take_bytes(c, value, gdb_reg_size(s->ops->has_avx, n))) {
			s->has_state = false;
			return reply_words(s, "not hex digits");
		}
		change_register(s, n, value);
	}
	state_set(s);
}

static bool take_register(struct gdb_stub *s, struct gdb_cursor *c, unsigned *n)
{
	uint64_t number;

	if (gdb_take_hex(c, &number) && number < gdb_regs_count(s->ops->has_avx)) {
		*n = (unsigned)number;
		return true;
	}
	gdb_reply_error(s, EINVAL, "no such register");
	return false;
}

/* False: the reply says so. */
static bool ends(struct gdb_stub *s, const struct gdb_cursor *c)
{
	if (gdb_left(c))
		gdb_reply_error(s, EINVAL, "more than this packet has");
	return !gdb_left(c);
}

static void read_register(struct gdb_stub *s, struct gdb_cursor *c)
{
	unsigned n;

	if (take_register(s, c, &n) && ends(s, c) && gdb_stub_state_get(s))
		put_register(s, n);
}

/* Behind a function that it had called, gdb puts back all registers; these know no way back, and it need not mind. */
static bool is_count(unsigned n)
{
	return !strcmp(gdb_reg_name(n), "insn_count") ||
	       !strcmp(gdb_reg_name(n), "hypercall_index");
}

static void write_register(struct gdb_stub *s, struct gdb_cursor *c)
{
	uint8_t value[GDB_REG_MAX];
	unsigned n;
	int r;

	if (!take_register(s, c, &n) || !gdb_stub_state_get(s))
		return;
	if (!gdb_take_char(c, '=') || !gdb_take_bytes(c, value, gdb_reg_size(s->ops->has_avx, n)) ||
		gdb_left(c))
		return reply_words(s, "the value has another length");
	r = is_count(n) ? 0 : change_register(s, n, value);
	if (!r)
		return state_set(s);
	reply_words(s, r == -EPERM ? "this register cannot be written"
				   : "no CPU may hold this value there");
}

/* ---- memory ---- */

static bool take_range(struct gdb_stub *s, struct gdb_cursor *c, uint64_t *addr, uint64_t *len)
{
	if (gdb_take_hex(c, addr) && gdb_take_char(c, ',') && gdb_take_hex(c, len))
		return true;
	gdb_reply_error(s, EINVAL, "address and length expected");
	return false;
}

/* As much as there is and fits: a short answer is one, and an error would be taken for all of it. */
static size_t read_some(struct gdb_stub *s, uint64_t addr, uint64_t len, size_t most)
{
	return s->ops->read(s->target, s->physical, addr, s->bytes, len < most ? len : most);
}

static void read_memory(struct gdb_stub *s, struct gdb_cursor *c)
{
	uint64_t addr, len;
	size_t n;

	if (!take_range(s, c, &addr, &len) || !ends(s, c))
		return;
	n = read_some(s, addr, len, GDB_PACKET_MAX / 2);
	if (n || !len)
		gdb_put_hex(&s->out, s->bytes, n);
	else
		gdb_reply_error(s, EFAULT, NULL); /* gdb 13 dies of words here */
}

static void read_binary(struct gdb_stub *s, struct gdb_cursor *c)
{
	uint64_t addr, len;
	size_t n;

	if (!take_range(s, c, &addr, &len) || !ends(s, c))
		return;
	n = read_some(s, addr, len, GDB_PACKET_MAX - 1);
	if (!n && len)
		return gdb_reply_error(s, EFAULT, NULL);
	gdb_put(&s->out, "b");
	gdb_put_escaped(&s->out, s->bytes, n);
	s->out.binary = true;
}

static void write_bytes(struct gdb_stub *s, uint64_t addr, const void *bytes, size_t n)
{
	const char *why = NULL;
	int r = n ? s->ops->write(s->target, s->physical, addr, bytes, n, &why) : 0;

	s->has_state = false; /* a counter may have moved */
	if (r)
		return gdb_reply_refused(s, r, why, "no such memory");
	gdb_put(&s->out, "OK");
}

static void write_memory(struct gdb_stub *s, struct gdb_cursor *c)
{
	uint64_t addr, len;

	if (!take_range(s, c, &addr, &len))
		return;
	if (!gdb_take_char(c, ':') || gdb_left(c) != 2 * len || len > sizeof(s->bytes) ||
		!gdb_take_bytes(c, s->bytes, len))
		return gdb_reply_error(s, EINVAL, "the data has another length");
	write_bytes(s, addr, s->bytes, len);
}

static void write_binary(struct gdb_stub *s, struct gdb_cursor *c)
{
	uint64_t addr, len;
	size_t n;

	if (!take_range(s, c, &addr, &len))
		return;
	if (!gdb_take_char(c, ':'))
		return gdb_reply_error(s, EINVAL, "no data");
	n = gdb_left(c);
	memcpy(s->bytes, c->at, n);
	if (gdb_unescape(s->bytes, n) != len)
		return gdb_reply_error(s, EINVAL, "the data has another length");
	write_bytes(s, addr, s->bytes, len);
}

/* ---- breakpoints ---- */

/* LEN "," HEX: its bytes go to *store, which moves on. */
static bool take_code(struct gdb_cursor *c, struct gdb_code *code, uint8_t **store, size_t *room)
{
	uint64_t len;

	if (!gdb_take_hex(c, &len) || !gdb_take_char(c, ',') || len > *room ||
		!gdb_take_bytes(c, *store, len))
		return false;
	*code = (struct gdb_code){ *store, len };
	*store += len;
	*room -= len;
	return true;
}

static bool take_codes(
	struct gdb_cursor *c, struct gdb_code *codes, size_t *n, uint8_t **store, size_t *room)
{
	while (gdb_take_char(c, 'X')) {
		if (*n == GDB_CODES_MAX || !take_code(c, &codes[*n], store, room))
			return false;
		++*n;
		gdb_take_char(c, ';'); /* newer clients put one between */
	}
	return true;
}

/* Behind the address and the length: ";" conditions, ";cmds:" persist "," commands, in any order. */
static bool take_extras(struct gdb_stub *s, struct gdb_cursor *c, struct gdb_point *p)
{
	size_t room = sizeof(s->bytes);
	uint8_t *store = s->bytes;
	uint64_t persist;
	bool ok = true;

	gdb_take_char(c, ';');
	while (ok && gdb_left(c)) {
		if (gdb_take(c, "cmds:"))
			ok = gdb_take_hex(c, &persist) && gdb_take_char(c, ',') &&
			     take_codes(c, p->commands, &p->n_commands, &store, &room);
		else
			ok = *c->at == 'X' &&
			     take_codes(c, p->conditions, &p->n_conditions, &store, &room);
		gdb_take_char(c, ';');
	}
	return ok;
}

static bool take_point(struct gdb_stub *s, struct gdb_cursor *c, struct gdb_point *p)
{
	uint64_t kind;

	if (!gdb_take_hex(c, &kind) || kind >= GDB_POINT_KINDS || !gdb_take_char(c, ',')) {
		gdb_reply_begin(&s->out); /* a kind that is not known here */
		return false;
	}
	p->kind = (enum gdb_point_kind)kind;
	return take_range(s, c, &p->addr, &p->len);
}

static void insert_point(struct gdb_stub *s, struct gdb_cursor *c)
{
	struct gdb_point p = { 0 };
	const char *why = NULL;
	int r;

	if (!take_point(s, c, &p))
		return;
	if (!take_extras(s, c, &p))
		return gdb_reply_error(s, EINVAL, "conditions or commands that make no sense");
	r = s->ops->insert(s->target, &p, &why);
	if (r)
		return gdb_reply_refused(s, r, why, "no room for it");
	gdb_put(&s->out, "OK");
}

static void remove_point(struct gdb_stub *s, struct gdb_cursor *c)
{
	struct gdb_point p = { 0 };

	if (take_point(s, c, &p) && ends(s, c))
		gdb_reply_result(s, s->ops->remove(s->target, p.kind, p.addr, p.len), NULL);
}

/* ---- threads: there is one ---- */

static bool take_number(struct gdb_cursor *c, bool *ours)
{
	uint64_t n = 1;
	bool ok = gdb_take(c, "-1") || gdb_take_hex(c, &n);

	*ours = n <= 1;
	return ok;
}

bool gdb_take_thread(struct gdb_cursor *c, bool *ours)
{
	bool process;

	if (!gdb_take_char(c, 'p'))
		return take_number(c, ours);
	if (!take_number(c, &process))
		return false;
	*ours = true;
	if (gdb_take_char(c, '.') && !take_number(c, ours))
		return false;
	*ours &= process;
	return true;
}

static void reply_thread(struct gdb_stub *s, struct gdb_cursor *c)
{
	bool ours, ok = gdb_take_thread(c, &ours) && !gdb_left(c) && ours && !s->over;

	gdb_reply_result(s, ok ? 0 : -ESRCH, "there is only thread 1");
}

static void set_thread(struct gdb_stub *s, struct gdb_cursor *c)
{
	if (gdb_take_char(c, 'g') || gdb_take_char(c, 'c'))
		reply_thread(s, c);
}

static void set_extended(struct gdb_stub *s, struct gdb_cursor *c)
{
	(void)c;
	s->extended = true;
	gdb_put(&s->out, "OK");
}

enum gdb_stub_state gdb_stub_gone(struct gdb_stub *s)
{
	s->ops->detach(s->target);
	return s->killed ? GDB_KILLED : GDB_DETACHED;
}

/* ---- the table ---- */

static const struct gdb_packet_row rows[] = {
	{ "g", read_registers, GDB_WHOLE },
	{ "G", write_registers, 0 },
	{ "p", read_register, 0 },
	{ "P", write_register, 0 },
	{ "m", read_memory, 0 },
	{ "M", write_memory, 0 },
	{ "x", read_binary, 0 },
	{ "X", write_binary, 0 },
	{ "Z", insert_point, 0 },
	{ "z", remove_point, 0 },
	{ "H", set_thread, 0 },
	{ "T", reply_thread, 0 },
	{ "!", set_extended, GDB_WHOLE },
	{ NULL, NULL, 0 },
};
static const struct gdb_packet_row *const tables[] = { rows, gdb_run_rows, gdb_query_rows,
	gdb_file_rows };

static bool is_row(const struct gdb_packet_row *row, struct gdb_cursor c)
{
	return gdb_take(&c, row->name) &&
	       (!(row->flags & GDB_WHOLE) || !gdb_left(&c) || memchr(":;,?", *c.at, 4));
}

static const struct gdb_packet_row *find_row(struct gdb_cursor c)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct gdb_packet_row *row = tables[i]; row->name; row++)
			if (is_row(row, c))
				return row;
	return NULL;
}

static void answer(struct gdb_stub *s)
{
	struct gdb_cursor c = { s->in.payload, s->in.payload + s->in.len };
	const struct gdb_packet_row *row = find_row(c);
	bool acks = !s->no_ack;

	if (acks)
		s->send(s->send_ctx, (const uint8_t *)"+", 1);
	gdb_reply_begin(&s->out);
	if (row) {
		c.at += strlen(row->name);
		row->handle(s, &c);
	}
	if (!row || !(row->flags & GDB_SILENT))
		send_reply(s);
	s->in.no_ack = s->no_ack;
}

enum gdb_stub_state gdb_stub_input(struct gdb_stub *s, const uint8_t **bytes, size_t *n)
{
	switch (gdb_decode(&s->in, bytes, n)) {
	case GDB_PACKET:
		answer(s);
		break;
	case GDB_CORRUPT:
		if (!s->no_ack)
			s->send(s->send_ctx, (const uint8_t *)"-", 1);
		break;
	case GDB_NAK:
		if (!s->no_ack && s->framed)
			s->send(s->send_ctx, s->frame, s->framed);
		break;
	case GDB_INTERRUPT: /* it stands still already, and said so */
	case GDB_ACK:
	case GDB_NOTHING:
		break;
	}
	return s->state;
}
