// SPDX-License-Identifier: ISC
/* gdb's agent expressions: a table of instructions over one stack. Knows no machine and no packets. */
#include "gdb_agent.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct eval {
	const struct gdb_agent_env *env;
	const uint8_t *code;
	size_t len, pc, sp;
	uint64_t *stack;
	uint64_t fuel;
	bool ended;
	const char *why;
};

static int fail(struct eval *e, int r, const char *why)
{
	e->why = why;
	return r;
}

/* Work that is more than an instruction. */
static int burn(struct eval *e, uint64_t fuel)
{
	if (fuel > e->fuel)
		return fail(e, -ETIME, "it takes too long");
	e->fuel -= fuel;
	return 0;
}

/*
 * One instruction: its operand is read, its arguments are slot[0] on, the topmost last, and its results go
 * there, too.
 */
typedef int op_fn(struct eval *e, uint64_t operand, uint64_t *slot);

#define CALCULATE(name, result)                                                                    \
	static int name(struct eval *e, uint64_t operand, uint64_t *slot)                          \
	{                                                                                          \
		(void)e, (void)operand;                                                            \
		slot[0] = (uint64_t)(result);                                                      \
		return 0;                                                                          \
	}
#define A slot[0]
#define B slot[1]

static uint64_t shifted_right(uint64_t a, uint64_t n)
{
	return (uint64_t)((int64_t)a >> (n < 64 ? n : 63));
}

static uint64_t low_bits(uint64_t a, uint64_t n)
{
	return n < 64 ? a & ((1ull << n) - 1) : a;
}

static uint64_t sign_extended(uint64_t a, uint64_t n)
{
	uint64_t sign = n && n < 64 ? 1ull << (n - 1) : 0;

	return (low_bits(a, n) ^ sign) - sign;
}

/* clang-format off: no pointers here */
CALCULATE(add, A + B)
CALCULATE(sub, A - B)
CALCULATE(mul, A *B)
CALCULATE(shift_left, B < 64 ? A << B : 0)
CALCULATE(shift_right_signed, shifted_right(A, B))
CALCULATE(shift_right_unsigned, B < 64 ? A >> B : 0)
CALCULATE(log_not, !A)
CALCULATE(bit_and, A &B)
CALCULATE(bit_or, A | B)
CALCULATE(bit_xor, A ^ B)
CALCULATE(bit_not, ~A)
CALCULATE(equal, A == B)
CALCULATE(less_signed, (int64_t)A < (int64_t)B)
CALCULATE(less_unsigned, A < B)
CALCULATE(extend, sign_extended(A, operand))
CALCULATE(zero_extend, low_bits(A, operand))
CALCULATE(constant, operand)
/* clang-format on */

enum { REMAINDER = 1, UNSIGNED = 2 };

static int divide(struct eval *e, uint64_t kind, uint64_t *slot)
{
	if (!B)
		return fail(e, -EDOM, "division by zero");
	if (kind & UNSIGNED)
		A = kind & REMAINDER ? A % B : A / B;
	else if (B == UINT64_MAX) /* no quotient that does not fit */
		A = kind & REMAINDER ? 0 : -A;
	else
		A = (uint64_t)(kind & REMAINDER ? (int64_t)A % (int64_t)B
						: (int64_t)A / (int64_t)B);
	return 0;
}

static int reference(struct eval *e, uint64_t bytes, uint64_t *slot)
{
	uint64_t word = 0;

	if (e->env->read(e->env->ctx, A, &word, bytes))
		return fail(e, -EFAULT, "memory it refers to is not there");
	A = word;
	return 0;
}

static int read_register(struct eval *e, uint64_t n, uint64_t *slot)
{
	int r = e->env->reg(e->env->ctx, (unsigned)n, slot);

	return r ? fail(e, r, "there is no such register to compute with") : 0;
}

static int jump(struct eval *e, uint64_t to, uint64_t *slot)
{
	(void)slot;
	if (to >= e->len)
		return fail(e, -EINVAL, "jump outside");
	e->pc = to;
	return 0;
}

static int jump_if(struct eval *e, uint64_t to, uint64_t *slot)
{
	return A ? jump(e, to, slot) : 0;
}

static int duplicate(struct eval *e, uint64_t operand, uint64_t *slot)
{
	(void)e, (void)operand;
	B = A;
	return 0;
}

static int pop(struct eval *e, uint64_t operand, uint64_t *slot)
{
	(void)e, (void)operand, (void)slot;
	return 0;
}

static int pick(struct eval *e, uint64_t n, uint64_t *slot)
{
	size_t depth = (size_t)(slot - e->stack);

	if (n >= depth)
		return fail(e, -EINVAL, "stack underflow");
	A = e->stack[depth - 1 - n];
	return 0;
}

static int swap(struct eval *e, uint64_t operand, uint64_t *slot)
{
	uint64_t a = A;

	(void)e, (void)operand;
	A = B;
	B = a;
	return 0;
}

static int rotate(struct eval *e, uint64_t operand, uint64_t *slot)
{
	uint64_t top = slot[2];

	(void)e, (void)operand;
	slot[2] = B;
	B = A;
	A = top;
	return 0;
}

static int end(struct eval *e, uint64_t operand, uint64_t *slot)
{
	(void)operand, (void)slot;
	e->ended = true;
	return 0;
}

static int refuse(struct eval *e, uint64_t operand, uint64_t *slot)
{
	(void)operand, (void)slot;
	return fail(e, -EOPNOTSUPP, "tracing and floating point are not offered");
}

/* ---- printf: the format is the expression's, so only what was understood of it reaches ours ---- */

enum { TEXT_MAX = 4096, FIELD_MAX = 512 };

struct text {
	size_t len, work;
	char bytes[TEXT_MAX]; /* what is beyond is cut */
};

static void put(struct text *t, const void *bytes, size_t n)
{
	t->work += n;
	if (n > TEXT_MAX - t->len)
		n = TEXT_MAX - t->len;
	memcpy(t->bytes + t->len, bytes, n);
	t->len += n;
}

static void pad(struct text *t, int n)
{
	while (n-- > 0)
		put(t, " ", 1);
}

/* A conversion as it is written: %[flags][width][.precision][size]kind. */
struct conversion {
	char flags[6];
	bool left;
	int width, precision; /* -1: none */
	int bits;             /* of the argument */
	char kind;
};

/* C's escapes, which gdb sends as they were typed. Past the backslash; the character. */
static char escape(const char **p)
{
	static const char letters[] = "abefnrtv", meant[] = "\a\b\033\f\n\r\t\v";
	const char *letter = **p ? strchr(letters, **p) : NULL;
	int value = 0;

	if (letter) {
		(*p)++;
		return meant[letter - letters];
	}
	if (**p < '0' || **p > '7')
		return **p ? *(*p)++ : '\\';
	for (int i = 0; i < 3 && **p >= '0' && **p <= '7'; i++)
		value = value * 8 + *(*p)++ - '0';
	return (char)value;
}

/* -1 when it is more than we format. */
static int take_number(const char **p)
{
	int n = 0;

	for (; **p >= '0' && **p <= '9'; (*p)++)
		if (n <= FIELD_MAX)
			n = n * 10 + **p - '0';
	return n <= FIELD_MAX ? n : -1;
}

static int take_size(const char **p)
{
	static const struct {
		const char *name;
		int bits;
	} sizes[] = {
		{ "hh", 8 },
		{ "h", 16 },
		{ "ll", 64 },
		{ "l", 64 },
		{ "z", 64 },
		{ "j", 64 },
		{ "t", 64 },
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = strlen(sizes[i].name);

		if (!strncmp(*p, sizes[i].name, n)) {
			*p += n;
			return sizes[i].bits;
		}
	}
	return 32;
}

static int take_conversion(struct eval *e, const char **p, struct conversion *c)
{
	size_t flags = 0;

	*c = (struct conversion){ .precision = -1 };
	for (; **p && strchr("-+ #0", **p); (*p)++) {
		if (!strchr(c->flags, **p))
			c->flags[flags++] = **p;
		c->left |= **p == '-';
	}
	c->width = take_number(p);
	if (**p == '.') {
		(*p)++;
		c->precision = take_number(p);
		if (c->precision < 0)
			c->width = -1;
	}
	c->bits = take_size(p);
	c->kind = **p;
	if (c->width < 0 || !c->kind)
		return fail(e, -EINVAL, "not a format");
	(*p)++;
	if (strchr("aAeEfFgGL", c->kind) || (strchr("cs", c->kind) && c->bits != 32))
		return fail(e, -EOPNOTSUPP, "no format of ours");
	return strchr("diuxXocsp", c->kind) ? 0 : fail(e, -EINVAL, "not a format");
}

static void put_padded(struct text *t, const struct conversion *c, const void *bytes, size_t n)
{
	if (!c->left)
		pad(t, c->width - (int)n);
	put(t, bytes, n);
	if (c->left)
		pad(t, c->width - (int)n);
}

/* Up to its NUL, its precision, or what there is room for: no line of memory is looked at behind that. */
static int put_string(struct eval *e, struct text *t, const struct conversion *c, uint64_t gva)
{
	enum { LINE = 64 };
	char s[TEXT_MAX];
	size_t n = 0, max = c->precision >= 0 ? (size_t)c->precision : sizeof(s);

	while (n < max) {
		size_t part = LINE - ((gva + n) & (LINE - 1)), found;

		if (part > max - n)
			part = max - n;
		if (e->env->read(e->env->ctx, gva + n, s + n, part))
			return fail(e, -EFAULT, "a string to print is not there");
		found = strnlen(s + n, part);
		n += found;
		if (found < part)
			break;
	}
	put_padded(t, c, s, n);
	return 0;
}

static void put_integer(struct text *t, const struct conversion *c, uint64_t value)
{
	char format[16], field[2 * FIELD_MAX];
	uint64_t bits = (uint64_t)c->bits;
	bool is_signed = c->kind == 'd' || c->kind == 'i';
	int n;

	value = is_signed ? sign_extended(value, bits) : low_bits(value, bits);
	snprintf(format, sizeof(format), "%%%s*.*ll%c", c->flags, c->kind);
	n = snprintf(field, sizeof(field), format, c->width, c->precision, (long long)value);
	put(t, field, (size_t)n);
}

static void put_pointer(struct text *t, const struct conversion *c, uint64_t value)
{
	char field[19]; /* 0x, 16 digits */
	int n = snprintf(field, sizeof(field), value ? "%#llx" : "(nil)", (long long)value);

	put_padded(t, c, field, (size_t)n);
}

static int put_argument(struct eval *e, struct text *t, const struct conversion *c, uint64_t value)
{
	uint8_t ch = (uint8_t)value;

	if (c->kind == 's' && value)
		return put_string(e, t, c, value);
	if (c->kind == 's')
		put_padded(t, c, "(null)", 6);
	else if (c->kind == 'c')
		put_padded(t, c, &ch, 1);
	else if (c->kind == 'p')
		put_pointer(t, c, value);
	else
		put_integer(t, c, value);
	return 0;
}

/* args[n - 1] is the first. */
static int put_format(struct eval *e, struct text *t, const char *p, const uint64_t *args, size_t n)
{
	while (*p) {
		char ch = *p++;
		struct conversion c;
		int r;

		if (ch == '\\')
			ch = escape(&p);
		else if (ch == '%' && *p == '%')
			p++;
		else if (ch == '%') {
			r = take_conversion(e, &p, &c);
			if (!r && !n)
				r = fail(e, -EINVAL, "fewer values than the format has");
			if (!r)
				r = put_argument(e, t, &c, args[--n]);
			if (r)
				return r;
			continue;
		}
		put(t, &ch, 1);
	}
	return n ? fail(e, -EINVAL, "more values than the format has") : 0;
}

/* A function and a channel lie above the values; both are for who has several. Its operands are here. */
static int print(struct eval *e, uint64_t n_args, uint64_t *slot)
{
	struct text t;
	const char *format = (const char *)e->code + e->pc + 2;
	size_t len = 0, values = (size_t)(slot - e->stack);
	int r;

	if (e->len - e->pc >= 2)
		len = (size_t)e->code[e->pc] << 8 | e->code[e->pc + 1];
	if (!len || len > e->len - e->pc - 2 || format[len - 1])
		return fail(e, -EINVAL, "a format without end");
	if (n_args > values)
		return fail(e, -EINVAL, "stack underflow");
	if (!e->env->print)
		return fail(e, -EOPNOTSUPP, "printing is not offered here");
	e->pc += 2 + len;
	e->sp -= n_args;
	t.len = t.work = 0;
	r = put_format(e, &t, format, slot - n_args, n_args);
	if (!r)
		r = burn(e, len + t.work);
	if (!r)
		e->env->print(e->env->ctx, t.bytes, t.len);
	return r;
}

/* ---- the instructions: GDB manual, appendix F.2 ---- */

static const struct op {
	op_fn *run;
	uint8_t operand_bytes, pops, pushes;
	uint8_t operand; /* when it has no bytes */
} ops[] = {
	[0x01] = { .run = refuse }, /* float */
	[0x02] = { add, 0, 2, 1, 0 },
	[0x03] = { sub, 0, 2, 1, 0 },
	[0x04] = { mul, 0, 2, 1, 0 },
	[0x05] = { divide, 0, 2, 1, 0 },
	[0x06] = { divide, 0, 2, 1, UNSIGNED },
	[0x07] = { divide, 0, 2, 1, REMAINDER },
	[0x08] = { divide, 0, 2, 1, UNSIGNED | REMAINDER },
	[0x09] = { shift_left, 0, 2, 1, 0 },
	[0x0a] = { shift_right_signed, 0, 2, 1, 0 },
	[0x0b] = { shift_right_unsigned, 0, 2, 1, 0 },
	[0x0c] = { .run = refuse }, /* trace */
	[0x0d] = { .run = refuse }, /* trace_quick */
	[0x0e] = { log_not, 0, 1, 1, 0 },
	[0x0f] = { bit_and, 0, 2, 1, 0 },
	[0x10] = { bit_or, 0, 2, 1, 0 },
	[0x11] = { bit_xor, 0, 2, 1, 0 },
	[0x12] = { bit_not, 0, 1, 1, 0 },
	[0x13] = { equal, 0, 2, 1, 0 },
	[0x14] = { less_signed, 0, 2, 1, 0 },
	[0x15] = { less_unsigned, 0, 2, 1, 0 },
	[0x16] = { extend, 1, 1, 1, 0 },
	[0x17] = { reference, 0, 1, 1, 1 },
	[0x18] = { reference, 0, 1, 1, 2 },
	[0x19] = { reference, 0, 1, 1, 4 },
	[0x1a] = { reference, 0, 1, 1, 8 },
	[0x1b] = { .run = refuse }, /* ref_float, ref_double, ref_long_double, l_to_d, d_to_l */
	[0x1c] = { .run = refuse },
	[0x1d] = { .run = refuse },
	[0x1e] = { .run = refuse },
	[0x1f] = { .run = refuse },
	[0x20] = { jump_if, 2, 1, 0, 0 },
	[0x21] = { jump, 2, 0, 0, 0 },
	[0x22] = { constant, 1, 0, 1, 0 },
	[0x23] = { constant, 2, 0, 1, 0 },
	[0x24] = { constant, 4, 0, 1, 0 },
	[0x25] = { constant, 8, 0, 1, 0 },
	[0x26] = { read_register, 2, 0, 1, 0 },
	[0x27] = { .run = end },
	[0x28] = { duplicate, 0, 1, 2, 0 },
	[0x29] = { pop, 0, 1, 0, 0 },
	[0x2a] = { zero_extend, 1, 1, 1, 0 },
	[0x2b] = { swap, 0, 2, 2, 0 },
	[0x2c] = { .run = refuse }, /* getv, setv, tracev, tracenz, trace16 */
	[0x2d] = { .run = refuse },
	[0x2e] = { .run = refuse },
	[0x2f] = { .run = refuse },
	[0x30] = { .run = refuse },
	[0x32] = { pick, 1, 0, 1, 0 },
	[0x33] = { rotate, 0, 3, 3, 0 },
	[0x34] = { print, 1, 2, 0, 0 },
};

static const struct op *find_op(uint8_t code)
{
	return code < sizeof(ops) / sizeof(ops[0]) && ops[code].run ? &ops[code] : NULL;
}

/* Operands are big-endian, whatever the target is. */
static uint64_t take_operand(struct eval *e, const struct op *op)
{
	uint64_t operand = op->operand;

	for (size_t i = 0; i < op->operand_bytes; i++)
		operand = operand << 8 | e->code[e->pc++];
	return operand;
}

static int step(struct eval *e)
{
	const struct op *op;
	uint64_t *slot;

	if (e->pc >= e->len)
		return fail(e, -EINVAL, "no end");
	op = find_op(e->code[e->pc++]);
	if (!op)
		return fail(e, -EINVAL, "unknown instruction");
	if (op->operand_bytes > e->len - e->pc)
		return fail(e, -EINVAL, "no end");
	if (op->pops > e->sp)
		return fail(e, -EINVAL, "stack underflow");
	e->sp -= op->pops;
	slot = e->stack + e->sp;
	if (op->pushes > GDB_AGENT_STACK - e->sp)
		return fail(e, -EINVAL, "stack overflow");
	e->sp += op->pushes;
	return op->run(e, take_operand(e, op), slot);
}

int gdb_agent_eval(const uint8_t *code, size_t len, const struct gdb_agent_env *env,
	uint64_t *value, const char **why)
{
	uint64_t stack[GDB_AGENT_STACK];
	struct eval e = {
		.env = env, .code = code, .len = len, .stack = stack, .fuel = GDB_AGENT_FUEL
	};
	int r = 0;

	if (len > GDB_AGENT_MAX)
		r = fail(&e, -EINVAL, "longer than expressions may be");
	while (!r && !e.ended) {
		r = burn(&e, 1);
		if (!r)
			r = step(&e);
	}
	*value = !r && e.sp ? stack[e.sp - 1] : 0;
	*why = e.why;
	return r;
}
