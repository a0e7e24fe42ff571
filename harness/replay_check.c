// SPDX-License-Identifier: ISC
/* Recorded answers compared with a machine's. Knows nothing of where the machine's questions come from. */
#include "replay_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "abi_uhyve.h"
#include "err.h"
#include "escape.h"
#include "hcall.h"
#include "json.h"
#include "trace_text.h"
#include "trace_text_parts.h"
#include "tree.h"

enum { LINE_ROOM = 1024, NAME_ROOM = 20000, FIELD_ROOM = 1100, DENT_FIELDS = 4 };

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* --- reports ------------------------------------------------------------------------------------- */

static const char *where_unit(const struct replay_check *c)
{
	return c->format == TRACE_BJT ? "line" : "offset";
}

static bool told(const struct replay_check *c)
{
	return c->out && (c->json || !c->most || c->mismatches <= c->most);
}

/* The head of a report about the record at hand; what follows is the field's. False: nothing is to follow. */
static bool begin(struct replay_check *c, const char *field)
{
	const struct trace_record *r = c->record;
	char line[LINE_ROOM];

	c->mismatches++;
	if (!told(c))
		return false;
	trace_text_line(c->header, r, line, sizeof(line));
	if (!c->json) {
		fprintf(c->out, "MISMATCH call %llu, %s %llu: %s\n  %-8s",
			(unsigned long long)r->seq, where_unit(c), (unsigned long long)r->where,
			line, field);
		return true;
	}
	fprintf(c->out, "{\"mismatch\":\"%s\",\"trace\":", field);
	json_put_text(c->out, c->trace);
	fprintf(c->out, ",\"%s\":", where_unit(c));
	json_put_uint(c->out, r->where);
	fputs(",\"call\":", c->out);
	json_put_uint(c->out, r->seq);
	fputs(",\"text\":", c->out);
	json_put_text(c->out, line);
	return true;
}

static void put_result(FILE *out, const char *what, int64_t r)
{
	const char *name = r < 0 && r > -4096 ? strerrorname_np((int)-r) : NULL;

	if (name)
		fprintf(out, "%s-%s", what, name);
	else
		fprintf(out, "%s%lld", what, (long long)r);
}

static void report_result(struct replay_check *c, int64_t got)
{
	int64_t expected = c->record->result;

	if (!begin(c, "result"))
		return;
	if (c->json) {
		fputs(",\"expected\":", c->out);
		json_put_int(c->out, expected);
		fputs(",\"got\":", c->out);
		json_put_int(c->out, got);
		fputs("}\n", c->out);
		return;
	}
	put_result(c->out, " expected ", expected);
	put_result(c->out, ", got ", got);
	fputc('\n', c->out);
}

static void report_flag(
	struct replay_check *c, const char *field, bool expected, const char *yes, const char *no)
{
	if (!begin(c, field))
		return;
	if (c->json)
		fprintf(c->out, ",\"expected\":%s,\"got\":%s}\n", expected ? "true" : "false",
			expected ? "false" : "true");
	else
		fprintf(c->out, " expected %s, got %s\n", expected ? yes : no, expected ? no : yes);
}

/* Some bytes around one of them, which is in brackets: hex, then as text. */
static void put_near(
	FILE *out, const char *what, const uint8_t *bytes, size_t from, size_t len, size_t at)
{
	char text[4 * 2 * REPLAY_NEAR + 1] = "";
	size_t used = 0;

	escape_bytes(text, sizeof(text), &used, bytes, len);
	fprintf(out, "           %-8s%s", what, from ? " ..." : "");
	for (size_t i = 0; i < len; i++)
		fprintf(out, from + i == at ? " [%02x]" : " %02x", bytes[i]);
	if (from + len <= at)
		fputs(" [end]", out);
	fprintf(out, "  \"%s\"\n", text);
}

static void json_near(
	FILE *out, const char *what, size_t total, const uint8_t *bytes, size_t from, size_t len)
{
	fprintf(out, ",\"%s\":{\"len\":%zu,\"from\":%zu,\"bytes\":", what, total, from);
	json_put_bytes(out, bytes, len);
	fputc('}', out);
}

/* --- structures --- */

/* Members of a structure that differ. A side that has no such structure: "". */
struct field_list {
	bool dents;
	size_t entry;
	struct {
		const char *name;
		char expected[FIELD_ROOM], got[FIELD_ROOM];
	} list[TEXT_ATTR_FIELDS]; /* more than DENT_FIELDS */
	size_t n;
};

/* Where in the expected answer the structure lies that holds this byte; SIZE_MAX: there is none. */
static size_t object_at(const struct trace_record *r, size_t at, size_t *entry)
{
	struct text_dent dent;
	size_t start = 0, n;

	*entry = 0;
	if (trace_row_has(r->row, HCALL_STAT_OUT))
		return 0;
	if (!trace_row_has(r->row, HCALL_DENTS_OUT))
		return SIZE_MAX;
	for (; start < r->out_len; start += n, ++*entry) {
		n = text_dent_next(r->out + start, r->out_len - start, &dent);
		if (!n || at - start < n)
			return start;
	}
	return start;
}

/* Of the piece in which the first difference is. */
static void keep_object(struct replay_check *c, const uint8_t *piece, size_t from, size_t len)
{
	size_t entry, start = object_at(c->record, c->answer.at, &entry);

	if (start < from || start - from >= len)
		return;
	c->object_from = start;
	c->object_len = min_size(len - (start - from), sizeof(c->object));
	memcpy(c->object, piece + (start - from), c->object_len);
}

static bool list_attr(struct field_list *l, const struct replay_check *c)
{
	const struct trace_record *r = c->record;
	struct uhyve_attr want, got;

	if (r->out_len != sizeof(want) || c->object_len != sizeof(got))
		return false;
	memcpy(&want, r->out, sizeof(want));
	memcpy(&got, c->object, sizeof(got));
	if (!text_attr_is_plain(&want) || !text_attr_is_plain(&got))
		return false;
	for (size_t i = 0; i < TEXT_ATTR_FIELDS; i++) {
		const struct text_attr_field *f = &text_attr_fields[i];

		if (!memcmp((uint8_t *)&want + f->at, (uint8_t *)&got + f->at, f->size))
			continue;
		text_attr_value(f, &want, l->list[l->n].expected);
		text_attr_value(f, &got, l->list[l->n].got);
		l->list[l->n++].name = f->name;
	}
	return l->n;
}

static void quote(char text[FIELD_ROOM], const struct text_dent *dent)
{
	size_t used = 1;

	strcpy(text, "\"");
	escape_bytes(text, FIELD_ROOM - 1, &used, dent->name, dent->name_len);
	strcpy(text + used, "\"");
}

/* A name and its value on both sides, one of which may lack the entry. */
static void add_dent(struct field_list *l, const struct text_dent *want,
	const struct text_dent *got, size_t what)
{
	static const char *const names[DENT_FIELDS] = { "name", "ino", "type", "off" };
	const struct text_dent *sides[] = { want, got };
	char *texts[] = { l->list[l->n].expected, l->list[l->n].got };

	for (int i = 0; i < 2; i++) {
		texts[i][0] = 0;
		if (!sides[i])
			continue;
		if (what == 0)
			quote(texts[i], sides[i]);
		else if (what == 1)
			snprintf(texts[i], FIELD_ROOM, "%llu", (unsigned long long)sides[i]->ino);
		else if (what == 2)
			text_dent_type(sides[i]->type, texts[i]);
		else
			snprintf(texts[i], FIELD_ROOM, "%lld", (long long)sides[i]->off);
	}
	if (strcmp(texts[0], texts[1]) != 0)
		l->list[l->n++].name = names[what];
}

static bool list_dent(struct field_list *l, const struct replay_check *c, size_t at)
{
	const struct trace_record *r = c->record;
	struct text_dent want, got, *has_want = NULL, *has_got = NULL;
	size_t start = object_at(r, at, &l->entry);

	if (start < r->out_len && text_dent_next(r->out + start, r->out_len - start, &want))
		has_want = &want;
	if (c->object_len && c->object_from == start &&
		text_dent_next(c->object, c->object_len, &got))
		has_got = &got;
	if ((!has_want && start < r->out_len) || (!has_got && start < c->answer.len))
		return false;
	for (size_t i = 0; i < DENT_FIELDS; i++)
		add_dent(l, has_want, has_got, i);
	l->dents = true;
	return l->n;
}

/* False: not to be had in fields. */
static bool list_fields(struct field_list *l, const struct replay_check *c, size_t at)
{
	l->n = 0;
	l->dents = false;
	if (trace_row_has(c->record->row, HCALL_STAT_OUT))
		return list_attr(l, c);
	return trace_row_has(c->record->row, HCALL_DENTS_OUT) && list_dent(l, c, at);
}

static void print_fields(FILE *out, const struct field_list *l)
{
	static const char none[] = "no entry";

	for (size_t i = 0; i < l->n; i++) {
		fprintf(out, i ? "          " : "");
		if (l->dents)
			fprintf(out, " entry %zu:", l->entry);
		fprintf(out, " %s expected %s, got %s\n", l->list[i].name,
			l->list[i].expected[0] ? l->list[i].expected : none,
			l->list[i].got[0] ? l->list[i].got : none);
	}
}

static void json_value(FILE *out, const char *key, const char *text)
{
	fprintf(out, ",\"%s\":", key);
	if (text[0])
		json_put_text(out, text);
	else
		fputs("null", out);
}

static void json_fields(FILE *out, const struct field_list *l)
{
	if (l->dents)
		fprintf(out, ",\"entry\":%zu", l->entry);
	fputs(",\"fields\":[", out);
	for (size_t i = 0; i < l->n; i++) {
		fprintf(out, "%s{\"name\":\"%s\"", i ? "," : "", l->list[i].name);
		json_value(out, "expected", l->list[i].expected);
		json_value(out, "got", l->list[i].got);
		fputc('}', out);
	}
	fputc(']', out);
}

static void report_bytes(struct replay_check *c, const char *field, const struct replay_passed *got,
	const uint8_t *expected, size_t len)
{
	size_t at = got->differs ? got->at : got->len;
	size_t from = at > REPLAY_NEAR ? at - REPLAY_NEAR : 0;
	size_t near = from < len ? min_size(len, at + REPLAY_NEAR) - from : 0;
	struct field_list fields;
	bool structured;

	if (!begin(c, field))
		return;
	structured = got == &c->answer && list_fields(&fields, c, at);
	if (c->json) {
		fprintf(c->out, ",\"at\":%zu", at);
		json_near(c->out, "expected", len, near ? expected + from : NULL, from, near);
		json_near(c->out, "got", got->len, got->near, got->near_from, got->near_len);
		if (structured)
			json_fields(c->out, &fields);
		fputs("}\n", c->out);
		return;
	}
	if (structured)
		return print_fields(c->out, &fields);
	fprintf(c->out, " differs at byte %zu: expected %zu bytes, got %zu\n", at, len, got->len);
	put_near(c->out, "expected", near ? expected + from : NULL, from, near, at);
	put_near(c->out, "got", got->near, got->near_from, got->near_len, at);
}

/* --- calls --------------------------------------------------------------------------------------- */

static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t n)
{
	size_t i = 0;

	if (!n || !memcmp(a, b, n))
		return n;
	while (a[i] == b[i])
		i++;
	return i;
}

/* One piece of what passes, against its part of what was recorded. */
static void compare_piece(struct replay_passed *p, const uint8_t *expected, size_t expected_len,
	const uint8_t *got, size_t len)
{
	size_t left = expected_len > p->len ? expected_len - p->len : 0, same;

	if (!p->differs) {
		same = left ? first_difference(expected + p->len, got, min_size(len, left)) : 0;
		p->differs = same < len;
		p->at = p->len + same;
		p->near_len = 0;
		if (len) { /* kept even if all is the same: it may be all there is */
			size_t from = same > REPLAY_NEAR ? same - REPLAY_NEAR : 0;

			p->near_from = p->len + from;
			p->near_len = min_size(len, same + REPLAY_NEAR) - from;
			memcpy(p->near, got + from, p->near_len);
		}
	}
	p->len += len;
}

static void on_enter(struct replay_check *c)
{
	c->calls++;
	c->in.len = c->answer.len = 0;
	c->in.differs = c->answer.differs = false;
	c->in.near_from = c->answer.near_from = c->in.near_len = c->answer.near_len = 0;
	c->object_from = c->object_len = 0;
}

/* A path is recorded without its NUL. */
static bool ends_path(const struct hcall *call, const struct trace_event *event)
{
	int path = trace_row_find(call->row, HCALL_PATH);

	return path >= 0 && event->len && !((const uint8_t *)event->data)[event->len - 1] &&
	       event->addr == hcall_field_value(call, &call->row->fields[path]);
}

static void on_read(struct replay_check *c, const struct trace_event *event)
{
	size_t len = event->len - ends_path(event->call, event);

	compare_piece(&c->in, c->record->in, c->record->in_len, event->data, len);
}

static void on_write(struct replay_check *c, const struct trace_event *event)
{
	bool differed = c->answer.differs;
	size_t from = c->answer.len;

	compare_piece(&c->answer, c->record->out, c->record->out_len, event->data, event->len);
	if (!differed && c->answer.differs)
		keep_object(c, event->data, from, event->len);
}

static void count_excess(struct replay_check *c)
{
	const struct trace_record *r = c->record;

	if (c->in.len > r->in_len)
		c->excess += c->in.len - r->in_len;
	if (c->answer.len > r->out_len)
		c->excess += c->answer.len - r->out_len;
}

/* Errors that tell of a host's state, not of what was asked of it. */
static bool host_ran_out(int64_t result)
{
	return result == -ENOSPC || result == -EDQUOT || result == -ENFILE || result == -ENOMEM;
}

/* A recorded -EIO may be the handlers' own word; where something else was recorded, it is the host's. */
static bool host_failed(int64_t result)
{
	return host_ran_out(result) || result == -EIO;
}

/* Where the copies of the host's files are. */
static const char *copies_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	return tmp && tmp[0] ? tmp : "/tmp";
}

static bool copies_lack_room(uint64_t bytes)
{
	struct statvfs fs;

	return !statvfs(copies_dir(), &fs) && fs.f_bavail < bytes / fs.f_frsize + 1;
}

/* A write that stopped early, for want of room. */
static bool cut_short(const struct trace_record *r, int64_t got)
{
	return trace_row_has(r->row, HCALL_DATA_IN) && got >= 0 && got < r->result &&
	       copies_lack_room((uint64_t)(r->result - got));
}

static bool is_lost(struct replay_check *c, int64_t got)
{
	const struct trace_record *r = c->record;

	if (got == r->result || r->masked & TRACE_MASK_RESULT)
		return false;
	c->lost_got = got;
	c->lost = host_failed(got) || host_ran_out(r->result) || cut_short(r, got);
	return c->lost;
}

int replay_check_lost(const struct replay_check *c, struct err *err)
{
	const struct trace_record *r = c->record;
	unsigned long long seq = r->seq;
	const char *name = r->row->name;
	int e = (int)-c->lost_got;

	if (!host_failed(c->lost_got) && host_ran_out(r->result))
		return err_set(err, -EOPNOTSUPP,
			"%s: call %llu, %s: %s was recorded, for the recording's host had run out; "
			"that cannot be had again; replay it with --guest",
			c->trace, seq, name, strerrorname_np((int)-r->result));
	if (c->lost_got >= 0 || (e == EIO && copies_lack_room(0)))
		e = ENOSPC;
	if (e == ENOSPC || e == EDQUOT)
		return err_set(err, -e,
			"%s: call %llu, %s: %s: the file system of %s is full; that says nothing "
			"of the recording; set TMPDIR to a directory with room",
			c->trace, seq, name, strerrorname_np(e), copies_dir());
	return err_set(err, -e,
		"%s: call %llu, %s: %s (%s): this host failed, which says nothing of the recording",
		c->trace, seq, name, strerrorname_np(e), strerrordesc_np(e));
}

static void on_leave(struct replay_check *c, const struct hcall *call)
{
	const struct trace_record *r = c->record;

	count_excess(c);
	if (is_lost(c, call->result))
		return;
	if (call->result != r->result && !(r->masked & TRACE_MASK_RESULT))
		report_result(c, call->result);
	if (call->ends != r->ends)
		report_flag(c, "ends", r->ends, "the machine to stop", "the machine to go on");
	if (call->row->local) /* what passes are the guest's own addresses */
		return;
	if (call->fault != r->fault)
		report_flag(c, "fault", r->fault, "an address outside RAM", "all inside RAM");
	if (c->in.differs || c->in.len != r->in_len)
		report_bytes(c, "in", &c->in, r->in, r->in_len);
	if ((c->answer.differs || c->answer.len != r->out_len) && !(r->masked & TRACE_MASK_OUT))
		report_bytes(c, "out", &c->answer, r->out, r->out_len);
}

static void emit(struct trace_sink *sink, const struct trace_event *event)
{
	struct replay_check *c = (struct replay_check *)sink;

	switch (event->kind) {
	case TRACE_ENTER:
		return on_enter(c);
	case TRACE_READ:
		return on_read(c, event);
	case TRACE_WRITE:
		return on_write(c, event);
	case TRACE_LEAVE:
		return on_leave(c, event->call);
	case TRACE_EDIT:
	case TRACE_STOP:
	case TRACE_KIND_COUNT:
		return;
	}
}

void replay_check_init(struct replay_check *check)
{
	*check = (struct replay_check){ .sink.emit = emit };
}

/* --- the end ------------------------------------------------------------------------------------- */

static void describe_stop(char *buf, size_t size, int kind, int code)
{
	if (kind == VM_EXITED)
		snprintf(buf, size, "the guest to exit with %d", code);
	else
		snprintf(buf, size, "the guest not to exit by itself");
}

void replay_check_stop(
	struct replay_check *c, const struct trace_record *end, const struct vm_stop *stop)
{
	char expected[64], got[64];

	if ((end->stop_kind == VM_EXITED) == (stop->kind == VM_EXITED) &&
		(stop->kind != VM_EXITED || stop->code == end->stop_code))
		return;
	describe_stop(expected, sizeof(expected), end->stop_kind, end->stop_code);
	describe_stop(got, sizeof(got), (int)stop->kind, stop->code);
	c->record = end;
	c->mismatches++;
	if (!told(c))
		return;
	if (!c->json) {
		fprintf(c->out, "MISMATCH at the end, %s %llu:\n  stop     expected %s, got %s\n",
			where_unit(c), (unsigned long long)end->where, expected, got);
		return;
	}
	fputs("{\"mismatch\":\"stop\",\"trace\":", c->out);
	json_put_text(c->out, c->trace);
	fprintf(c->out, ",\"%s\":", where_unit(c));
	json_put_uint(c->out, end->where);
	fprintf(c->out, ",\"expected\":\"%s\",\"got\":\"%s\"}\n", expected, got);
}

static void describe_entry(char *buf, size_t size, const struct tree_entry *e)
{
	static const char *const kinds[TREE_KIND_COUNT] = { "removed", "a file", "a directory",
		"a link", "a fifo", "a socket", "a device" };
	size_t used;

	used = (size_t)snprintf(buf, size, "%s", e ? kinds[e->kind] : "unchanged");
	if (!e || e->kind == TREE_NONE)
		return;
	if (e->kind == TREE_LINK) {
		used += (size_t)snprintf(buf + used, size - used, " to ");
		escape_bytes(buf, size, &used, e->target, e->target_len);
		return;
	}
	used += (size_t)snprintf(buf + used, size - used, ", mode %04o", e->mode);
	if (e->kind != TREE_FILE)
		return;
	used += (size_t)snprintf(
		buf + used, size - used, ", %llu bytes, sha256=", (unsigned long long)e->size);
	for (size_t i = 0; i < TRACE_HASH_LEN; i++)
		used += (size_t)snprintf(buf + used, size - used, "%02x", e->hash[i]);
}

static const char *first_field(const struct tree_entry *a, const struct tree_entry *b)
{
	if (!a || !b || a->kind != b->kind)
		return "object";
	if (a->kind == TREE_LINK)
		return "target";
	return a->mode != b->mode ? "mode" : "contents";
}

/* NULL: nothing was to change there, or nothing has. */
static void report_entry(
	struct replay_check *c, const struct tree_entry *expected, const struct tree_entry *got)
{
	const struct tree_entry *e = expected ? expected : got;
	const char *guest =
		e->mount < c->header->n_mounts ? c->header->mounts[e->mount].guest : "?";
	const char *field = first_field(expected, got);
	char want_text[NAME_ROOM], got_text[NAME_ROOM], name[NAME_ROOM];

	c->mismatches++;
	if (!told(c))
		return;
	describe_entry(want_text, sizeof(want_text), expected);
	describe_entry(got_text, sizeof(got_text), got);
	if (!c->json) {
		fprintf(c->out, "MISMATCH at the end, mount %u at %s, \"%s\"\n", e->mount, guest,
			tree_name(e, name, sizeof(name)));
		fprintf(c->out, "  %-8s expected %s\n           got      %s\n", field, want_text,
			got_text);
		return;
	}
	fputs("{\"mismatch\":\"tree\",\"trace\":", c->out);
	json_put_text(c->out, c->trace);
	fprintf(c->out, ",\"mount\":%u,\"guest\":", e->mount);
	json_put_text(c->out, guest);
	fputs(",\"path\":", c->out);
	json_put_bytes(c->out, e->path, e->path_len);
	fprintf(c->out, ",\"field\":\"%s\",\"expected\":", field);
	json_put_text(c->out, want_text);
	fputs(",\"got\":", c->out);
	json_put_text(c->out, got_text);
	fputs("}\n", c->out);
}

void replay_check_trees(struct replay_check *c, const struct tree *expected, const struct tree *got)
{
	const struct tree_entry *e, *g;
	size_t i = 0, k = 0;

	while (tree_next_pair(expected, &i, &e, got, &k, &g))
		if (!e || !g || !tree_entry_same(e, g))
			report_entry(c, e, g);
}
