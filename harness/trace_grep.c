// SPDX-License-Identifier: ISC
/*
 * Conditions on calls. A subject is something every call has, by its own word; any other word is a field of
 * some call's row. Values are compared as numbers or as bytes.
 */
#include "trace_grep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "err.h"
#include "escape.h"
#include "names.h"

/* What a call has to say to a condition. */
struct value {
	bool is_number;
	__int128 number;
	const void *bytes;
	size_t len;
	char text[64]; /* for those that have no bytes of their own */
};

/* False: this call has none. */
typedef bool subject_fn(
	struct value *v, const struct trace_header *header, const struct trace_record *record);

struct trace_subject {
	const char *name;
	bool is_number;
	subject_fn *get;
};

static bool number(struct value *v, __int128 n)
{
	v->is_number = true;
	v->number = n;
	return true;
}

static bool bytes(struct value *v, const void *p, size_t len)
{
	v->bytes = p;
	v->len = len;
	return true;
}

static bool get_call(
	struct value *v, const struct trace_header *header, const struct trace_record *record)
{
	trace_row_name(header, record->row, v->text, sizeof(v->text));
	return bytes(v, v->text, strlen(v->text));
}

static bool get_ret(
	struct value *v, const struct trace_header *header, const struct trace_record *record)
{
	(void)header;
	return record->kind == TRACE_CALL && !record->ends && number(v, record->result);
}

static bool get_n(
	struct value *v, const struct trace_header *header, const struct trace_record *record)
{
	(void)header;
	return number(v, record->seq);
}

static bool get_dur(
	struct value *v, const struct trace_header *header, const struct trace_record *record)
{
	(void)header;
	return record->kind == TRACE_CALL && record->time_ns && number(v, record->duration_ns);
}

static bool get_ip(
	struct value *v, const struct trace_header *header, const struct trace_record *record)
{
	(void)header;
	return record->rip && number(v, record->rip);
}

static bool get_in(
	struct value *v, const struct trace_header *header, const struct trace_record *record)
{
	(void)header;
	return bytes(v, record->in, record->in_len);
}

static bool get_out(
	struct value *v, const struct trace_header *header, const struct trace_record *record)
{
	(void)header;
	return bytes(v, record->out, record->out_len);
}

static bool get_path(
	struct value *v, const struct trace_header *header, const struct trace_record *record)
{
	return trace_row_has(record->row, HCALL_PATH) && get_in(v, header, record);
}

/* Whatever the row calls it: maxlen is one, too. */
static bool get_len(
	struct value *v, const struct trace_header *header, const struct trace_record *record)
{
	int field = trace_row_find(record->row, HCALL_LEN);

	(void)header;
	return field >= 0 && number(v, record->args[field]);
}

static const struct trace_subject subjects[] = {
	{ "call", false, get_call },
	{ "path", false, get_path },
	{ "in", false, get_in },
	{ "out", false, get_out },
	{ "ret", true, get_ret },
	{ "len", true, get_len },
	{ "n", true, get_n },
	{ "dur", true, get_dur },
	{ "ip", true, get_ip },
};

const char trace_condition_help[] =
	"A condition is FIELD OPERATOR VALUE without blanks; all of them must hold.\n"
	"  call path in out     bytes: = != ~= (contains); \\xHH, \\n, \\t are escapes\n"
	"  ret len n ip         numbers: = != < <= > >=; ret also takes -ENOENT\n"
	"  dur                  the same, with ns, us, ms or s behind it\n"
	"  fd flags mode ...    any argument by its name, as a number; flags, whence and kind\n"
	"                       also take names: flags~=creat, whence=SEEK_END\n\n"
	"Exits with 0 when a call was found, with 1 when none was.\n\n"
	"Example:\n"
	"  belljar trace grep run.pcapng call=open path~=/etc 'ret<0'";

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* --- parsing -------------------------------------------------------------------------------------- */

static const struct {
	const char *text; /* longer ones first */
	enum trace_op op;
} operators[] = {
	{ "!=", TRACE_OP_NOT_EQUAL },
	{ "<=", TRACE_OP_LESS_EQUAL },
	{ ">=", TRACE_OP_MORE_EQUAL },
	{ "~=", TRACE_OP_CONTAINS },
	{ "=", TRACE_OP_EQUAL },
	{ "<", TRACE_OP_LESS },
	{ ">", TRACE_OP_MORE },
};

_Static_assert(ARRAY_LEN(operators) == TRACE_OP_COUNT, "one each");

/* The kind of the argument that has this name in some call of some ABI. */
static bool find_argument(const char *name, enum hcall_kind *kind)
{
	for (size_t a = 0; abi_list[a]; a++)
		for (size_t i = 0; i < abi_list[a]->n_rows; i++) {
			const struct hcall_field *f = abi_list[a]->rows[i].fields;

			for (; f->name; f++)
				if (!strcmp(f->name, name)) {
					*kind = f->kind;
					return true;
				}
		}
	return false;
}

static bool parse_plain(const char *text, __int128 *n, const char **end)
{
	bool minus = *text == '-';
	unsigned long long value;
	char *stop;

	text += minus;
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &stop, 0);
	*n = minus ? -(__int128)value : (__int128)value;
	*end = stop;
	return !errno;
}

static bool parse_errno(const char *text, __int128 *n)
{
	bool minus = *text == '-';
	int error = name_find_errno(text + minus, strlen(text + minus));

	*n = -(__int128)error; /* results are negative, whether it was said or not */
	return error;
}

static bool parse_duration(const char *text, __int128 *n)
{
	static const struct {
		const char *suffix;
		double ns;
	} units[] = { { "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "", 1 } };
	double value;
	char *end;

	/* Plain decimals: no signs, blanks, exponents or names of numbers. */
	if (!strspn(text, "0123456789.") || text[strspn(text, "0123456789.nums")])
		return false;
	value = strtod(text, &end);
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (!strcmp(end, units[i].suffix) && value * units[i].ns < 1e19) {
			*n = (__int128)(value * units[i].ns);
			return true;
		}
	return false;
}

/* A name in full or in short, of one bit or choice. */
static bool find_name(const struct names *names, const char *text, size_t len, uint64_t *value)
{
	for (size_t i = 0; i < names->n; i++)
		if (!strncmp(names->rows[i].text, text, len) && !names->rows[i].text[len]) {
			*value = names->rows[i].value;
			return true;
		}
	return name_find_short(names, text, len, value);
}

/* Names joined by | or +. */
static bool parse_flags(const char *text, __int128 *n)
{
	uint64_t value, all = 0;

	for (;; text++) {
		size_t len = strcspn(text, "|+");

		if (!find_name(&names_access, text, len, &value) &&
			!find_name(&names_open_flags, text, len, &value))
			return false;
		all |= value;
		text += len;
		if (!*text)
			break;
	}
	*n = all;
	return true;
}

static bool parse_choice(const struct names *names, const char *text, __int128 *n)
{
	uint64_t value;

	if (!find_name(names, text, strlen(text), &value))
		return false;
	*n = value;
	return true;
}

static bool parse_named(
	const struct trace_condition *c, enum hcall_kind kind, const char *text, __int128 *n)
{
	if (c->subject)
		return !strcmp(c->subject->name, "ret") && parse_errno(text, n);
	if (kind == HCALL_OPEN_FLAGS)
		return parse_flags(text, n);
	if (kind == HCALL_WHENCE)
		return parse_choice(&names_whence, text, n);
	return kind == HCALL_STAT_KIND && parse_choice(&names_stat_kind, text, n);
}

static int parse_number(
	struct trace_condition *c, enum hcall_kind kind, const char *text, struct err *err)
{
	const char *end = text;
	bool ok;

	if (c->op == TRACE_OP_CONTAINS && (c->subject || kind != HCALL_OPEN_FLAGS))
		return err_set(err, -EINVAL, "%s is a number: one of = != < <= > >=", c->field);
	if (c->subject && !strcmp(c->subject->name, "dur"))
		ok = parse_duration(text, &c->number);
	else
		ok = (parse_plain(text, &c->number, &end) && !*end) ||
		     parse_named(c, kind, text, &c->number);
	if (!ok)
		return err_set(err, -EINVAL, "\"%.80s\" is no value of %s", text, c->field);
	return 0;
}

static int parse_bytes(struct trace_condition *c, const char *text, struct err *err)
{
	ssize_t n;

	if (c->op != TRACE_OP_EQUAL && c->op != TRACE_OP_NOT_EQUAL && c->op != TRACE_OP_CONTAINS)
		return err_set(err, -EINVAL, "%s is text: one of = != ~=", c->field);
	c->bytes = malloc(strlen(text) + 1);
	if (!c->bytes)
		return err_set(err, -ENOMEM, "out of memory");
	n = unescape_bytes(c->bytes, text, strlen(text));
	if (n < 0)
		return err_set(err, -EINVAL,
			"\"%.80s\": not an escape; there are \\xHH, \\n, \\t, \\r and \\\\",
			text - (n + 1));
	c->len = (size_t)n;
	return 0;
}

static bool take_operator(struct trace_condition *c, const char **text)
{
	for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
		size_t len = strlen(operators[i].text);

		if (strncmp(*text, operators[i].text, len) != 0)
			continue;
		c->op = operators[i].op;
		*text += len;
		return true;
	}
	return false;
}

static int parse_condition(struct trace_condition *c, const char *text, struct err *err)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz_");
	enum hcall_kind kind = HCALL_INT;

	if (!len || len >= sizeof(c->field))
		return err_set(err, -EINVAL,
			"does not begin with a field; there are call, path, in, out, ret, len, n, "
			"dur, ip and the arguments' names");
	memcpy(c->field, text, len);
	text += len;
	if (!take_operator(c, &text))
		return err_set(err, -EINVAL,
			"no operator behind %s; there are = != < <= > >= and ~=", c->field);
	for (size_t i = 0; i < ARRAY_LEN(subjects); i++)
		if (!strcmp(subjects[i].name, c->field))
			c->subject = &subjects[i];
	if (!c->subject && !find_argument(c->field, &kind))
		return err_set(err, -EINVAL,
			"no call has a field %s; there are call, path, in, out, ret, len, n, dur, "
			"ip, fd, flags, mode, offset, whence, kind ...",
			c->field);
	if (c->subject && !c->subject->is_number)
		return parse_bytes(c, text, err);
	return parse_number(c, kind, text, err);
}

int trace_condition_parse(struct trace_condition *c, const char *text, struct err *err)
{
	struct err why = { "" };
	int r;

	*c = (struct trace_condition){ 0 };
	r = parse_condition(c, text, &why);
	if (r) {
		trace_condition_finish(c);
		err_set(err, r, "%.100s: %s", text, why.text);
	}
	return r;
}

void trace_condition_finish(struct trace_condition *c)
{
	free(c->bytes);
	c->bytes = NULL;
}

/* --- looking at calls ----------------------------------------------------------------------------- */

static bool get_argument(struct value *v, const char *name, const struct trace_record *record)
{
	const struct hcall_field *f = record->row->fields;

	for (size_t i = 0; f[i].name; i++) {
		bool is_signed = f[i].kind == HCALL_INT || f[i].kind == HCALL_FD;

		if (!strcmp(f[i].name, name))
			return number(v, is_signed ? (__int128)(int64_t)record->args[i]
						   : (__int128)record->args[i]);
	}
	return false;
}

static bool number_holds(const struct trace_condition *c, __int128 n)
{
	switch (c->op) {
	case TRACE_OP_EQUAL:
		return n == c->number;
	case TRACE_OP_NOT_EQUAL:
		return n != c->number;
	case TRACE_OP_LESS:
		return n < c->number;
	case TRACE_OP_LESS_EQUAL:
		return n <= c->number;
	case TRACE_OP_MORE:
		return n > c->number;
	case TRACE_OP_MORE_EQUAL:
		return n >= c->number;
	case TRACE_OP_CONTAINS:
		return (n & c->number) == c->number;
	case TRACE_OP_COUNT:
		break;
	}
	return false;
}

static bool bytes_hold(const struct trace_condition *c, const void *p, size_t len)
{
	bool equal = len == c->len && (!len || !memcmp(p, c->bytes, len));

	if (c->op == TRACE_OP_CONTAINS)
		return !c->len || (len && memmem(p, len, c->bytes, c->len));
	return equal == (c->op == TRACE_OP_EQUAL);
}

bool trace_condition_holds(const struct trace_condition *c, const struct trace_header *header,
	const struct trace_record *record)
{
	struct value v = { 0 };
	bool has = c->subject ? c->subject->get(&v, header, record)
			      : get_argument(&v, c->field, record);

	if (!has)
		return false;
	return v.is_number ? number_holds(c, v.number) : bytes_hold(c, v.bytes, v.len);
}
