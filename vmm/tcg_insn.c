// SPDX-License-Identifier: ISC
/* Instruction lengths: SDM 2 appendix A as two tables of one letter per opcode. Knows no CPU. */
#include "tcg_insn.h"

/*
 * What follows the opcode. Lower case: with ModRM. A, a: nothing more. B, b: 1 byte. Z, z: 4 bytes,
 * 2 with the operand-size prefix. W: 2 bytes. E: 3 bytes. V: 4, 2 or with REX.W 8 bytes. O: an
 * address. f: b only for /0 and /1. g: z likewise. p: prefix. r: REX. x, y: VEX. -: no instruction.
 * m: ModRM whose mod bits do not count.
 */
static const char one_byte[256 + 1] = "aaaaBZ--aaaaBZ-."  /* 00; 0f is the escape */
				      "aaaaBZ--aaaaBZ--"  /* 10 */
				      "aaaaBZp-aaaaBZp-"  /* 20 */
				      "aaaaBZp-aaaaBZp-"  /* 30 */
				      "rrrrrrrrrrrrrrrr"  /* 40 */
				      "AAAAAAAAAAAAAAAA"  /* 50 */
				      "---appppZzBbAAAA"  /* 60 */
				      "BBBBBBBBBBBBBBBB"  /* 70 */
				      "bz-baaaaaaaaaaaa"  /* 80 */
				      "AAAAAAAAAA-AAAAA"  /* 90 */
				      "OOOOAAAABZAAAAAA"  /* a0 */
				      "BBBBBBBBVVVVVVVV"  /* b0 */
				      "bbWAyxbzEAWAAB-A"  /* c0 */
				      "aaaa---Aaaaaaaaa"  /* d0 */
				      "BBBBBBBBZZ-BAAAA"  /* e0 */
				      "pAppAAfgAAAAAAaa"; /* f0 */

static const char two_bytes[256 + 1] =
	"aaaa-AAAAA-A-aAb"  /* 0f 00 */
	"aaaaaaaaaaaaaaaa"  /* 10 */
	"mmmm----aaaaaaaa"  /* 20 */
	"AAAAAA--a-b-----"  /* 30; 38 and 3a are escapes with a further byte */
	"aaaaaaaaaaaaaaaa"  /* 40 */
	"aaaaaaaaaaaaaaaa"  /* 50 */
	"aaaaaaaaaaaaaaaa"  /* 60 */
	"bbbbaaaAaa--aaaa"  /* 70 */
	"ZZZZZZZZZZZZZZZZ"  /* 80 */
	"aaaaaaaaaaaaaaaa"  /* 90 */
	"AAAaba--AAAabaaa"  /* a0 */
	"aaaaaaaaaabaaaaa"  /* b0 */
	"aababbbaAAAAAAAA"  /* c0 */
	"aaaaaaaaaaaaaaaa"  /* d0 */
	"aaaaaaaaaaaaaaaa"  /* e0 */
	"aaaaaaaaaaaaaaaa"; /* f0 */

static const struct kind_row {
	uint8_t first, last, kind;
} one_byte_kinds[] = {
	{ 0x6c, 0x6f, TCG_STRING_IO },
	{ 0x8e, 0x8e, TCG_SHADOW },
	{ 0x9c, 0x9c, TCG_PUSHF },
	{ 0x9d, 0x9d, TCG_POPF },
	{ 0xa4, 0xa7, TCG_REPEAT }, /* when there is a repeat prefix */
	{ 0xaa, 0xaf, TCG_REPEAT },
	{ 0xcc, 0xcd, TCG_SOFT_INT },
	{ 0xcf, 0xcf, TCG_IRET },
	{ 0xe4, 0xe5, TCG_IN },
	{ 0xe6, 0xe7, TCG_OUT },
	{ 0xe8, 0xe8, TCG_CALL },
	{ 0xec, 0xed, TCG_IN },
	{ 0xee, 0xef, TCG_OUT },
	{ 0xf1, 0xf1, TCG_SOFT_INT },
	{ 0xf4, 0xf4, TCG_HLT },
	{ 0xfb, 0xfb, TCG_SHADOW },
	{ 0xff, 0xff, TCG_CALL },
}, two_byte_kinds[] = {
	{ 0x05, 0x05, TCG_SYSCALL },
	{ 0x20, 0x20, TCG_MOV_CR },
	{ 0x21, 0x21, TCG_MOV_DR },
	{ 0x22, 0x22, TCG_MOV_CR },
	{ 0x23, 0x23, TCG_MOV_DR },
	{ 0x30, 0x30, TCG_WRMSR },
	{ 0x31, 0x31, TCG_RDTSC },
	{ 0x32, 0x32, TCG_RDMSR },
};

static uint8_t find_kind(const struct kind_row *rows, size_t n, uint8_t opcode)
{
	for (size_t i = 0; i < n && rows[i].first <= opcode; i++)
		if (opcode <= rows[i].last)
			return rows[i].kind;
	return TCG_PLAIN;
}

struct cursor {
	const uint8_t *p;
	size_t n, at;
	uint8_t escape; /* the byte behind 0f */
};

static bool take(struct cursor *c, uint8_t *byte)
{
	if (c->at >= c->n || c->at >= TCG_INSN_MAX)
		return false;
	*byte = c->p[c->at++];
	return true;
}

static void prefix(struct tcg_insn *insn, uint8_t byte)
{
	switch (byte) {
	case 0x66:
		insn->opsize = true;
		break;
	case 0x67:
		insn->addrsize = true;
		break;
	case 0xf2:
	case 0xf3:
		insn->rep = byte;
		break;
	case 0xf0:
		insn->lock = true;
		break;
	default:
		insn->segment = byte;
		break;
	}
}

/* A REX prefix counts for Unicorn even when others follow it. */
static bool prefixes(struct cursor *c, struct tcg_insn *insn, uint8_t *opcode)
{
	for (;;) {
		if (!take(c, opcode))
			return false;
		if (one_byte[*opcode] == 'r') {
			insn->rex = *opcode;
		} else if (one_byte[*opcode] == 'p') {
			prefix(insn, *opcode);
		} else {
			return true;
		}
	}
}

static char two_byte(struct cursor *c, struct tcg_insn *insn)
{
	uint8_t escape;

	if (!take(c, &escape))
		return '-';
	insn->opcode = c->escape = escape;
	if ((escape == 0x38 || escape == 0x3a) && !take(c, &insn->opcode))
		return '-';
	if (escape != 0x38 && escape != 0x3a)
		insn->kind = find_kind(
			two_byte_kinds, sizeof(two_byte_kinds) / sizeof(two_byte_kinds[0]), escape);
	return two_bytes[escape];
}

/* andn, bls*, bzhi, pext, mulx, bextr and shifts; rorx */
static bool is_bmi(uint8_t map, uint8_t opcode)
{
	if (map == 3)
		return opcode == 0xf0;
	return map == 2 && (opcode == 0xf2 || opcode == 0xf3 || (opcode >= 0xf5 && opcode <= 0xf7));
}

/* Only what has a VEX form and is executed: the general-purpose ones of BMI; maps 1 to 3. */
static char vex(struct cursor *c, struct tcg_insn *insn, bool three)
{
	uint8_t byte, map = 1;

	if (!take(c, &byte))
		return '-';
	if (three) {
		map = byte & 0x1f;
		if (!take(c, &byte))
			return '-';
	}
	if (!take(c, &insn->opcode))
		return '-';
	if (!is_bmi(map, insn->opcode))
		insn->kind = TCG_AVX;
	switch (map) {
	case 1:
		return two_bytes[insn->opcode];
	case 2:
		return 'a';
	case 3:
		return 'b';
	default:
		return '-';
	}
}

static bool take_modrm(struct cursor *c, struct tcg_insn *insn, bool register_only)
{
	uint8_t mod, rm, sib;

	insn->modrm_at = (uint8_t)c->at;
	if (!take(c, &insn->modrm))
		return false;
	mod = insn->modrm >> 6;
	rm = insn->modrm & 7;
	if (mod == 3 || register_only)
		return true;
	if (rm == 4) {
		if (!take(c, &sib))
			return false;
		if (mod == 0 && (sib & 7) == 5)
			c->at += 4;
	}
	if (mod == 1)
		c->at += 1;
	else if (mod == 2 || rm == 5)
		c->at += 4;
	return true;
}

static unsigned immediate_size(const struct tcg_insn *insn, char what)
{
	unsigned z = insn->opsize && !(insn->rex & 8) ? 2 : 4;

	switch (what) {
	case 'B':
	case 'b':
		return 1;
	case 'W':
		return 2;
	case 'E':
		return 3;
	case 'Z':
	case 'z':
		return z;
	case 'V':
		return insn->rex & 8 ? 8 : z;
	case 'O':
		return insn->addrsize ? 4 : 8;
	case 'f':
		return insn->modrm & 0x30 ? 0 : 1;
	case 'g':
		return insn->modrm & 0x30 ? 0 : z;
	default:
		return 0;
	}
}

/* Of an opcode behind 0f that has no kind of its own. */
static uint8_t extra_kind(uint8_t escape, const struct tcg_insn *insn)
{
	unsigned reg = insn->modrm >> 3 & 7;
	bool memory = insn->modrm < 0xc0;

	if (insn->lock)
		return TCG_PLAIN;
	if (escape == 0xb8)
		return insn->rep == 0xf3 ? TCG_POPCNT : TCG_PLAIN;
	if (insn->rep)
		return TCG_PLAIN;
	if (escape == 0x38)
		return memory && (insn->opcode & 0xfe) == 0xf0 ? TCG_MOVBE : TCG_PLAIN;
	if (escape == 0xc7 && !memory && reg == 6)
		return TCG_RDRAND;
	if (insn->opsize)
		return TCG_PLAIN;
	if (escape == 0x01 && (insn->modrm & 0xfe) == 0xd0)
		return insn->modrm & 1 ? TCG_XSETBV : TCG_XGETBV;
	if ((escape == 0xae && memory && (reg == 4 || reg == 6)) ||
		(escape == 0xc7 && memory && reg == 4))
		return TCG_XSAVE;
	return escape == 0xae && memory && reg == 5 ? TCG_XRSTOR : TCG_PLAIN;
}

/* What depends on more than the opcode. */
static void refine(const struct cursor *c, struct tcg_insn *insn, bool escaped)
{
	unsigned reg = insn->modrm >> 3 & 7;

	if (insn->kind == TCG_REPEAT && !insn->rep)
		insn->kind = TCG_PLAIN; /* a single round */
	if (insn->kind == TCG_SHADOW && insn->opcode == 0x8e && reg != 2)
		insn->kind = TCG_PLAIN; /* mov to another segment than SS */
	if (insn->kind == TCG_CALL && insn->opcode == 0xff && reg != 2 && reg != 3)
		insn->kind = TCG_PLAIN;
	if (!escaped || insn->kind)
		return;
	if (c->escape == 1 && insn->modrm == 0xf9)
		insn->kind = TCG_RDTSCP;
	else if (c->escape == 1 && reg == 7 && insn->modrm < 0xc0)
		insn->kind = TCG_INVLPG;
	else
		insn->kind = extra_kind(c->escape, insn);
}

bool tcg_insn_decode(const uint8_t *p, size_t n, struct tcg_insn *insn)
{
	struct cursor c = { .p = p, .n = n };
	bool escaped;
	char what;

	*insn = (struct tcg_insn){ 0 };
	if (!prefixes(&c, insn, &insn->opcode))
		return false;
	what = one_byte[insn->opcode];
	escaped = what == '.';
	if (escaped)
		what = two_byte(&c, insn);
	else if (what == 'x' || what == 'y')
		what = vex(&c, insn, what == 'y');
	else
		insn->kind = find_kind(one_byte_kinds,
			sizeof(one_byte_kinds) / sizeof(one_byte_kinds[0]), insn->opcode);
	if (what == '-')
		return false;
	if (what >= 'a' && !take_modrm(&c, insn, what == 'm'))
		return false;
	refine(&c, insn, escaped);
	if (c.at < n)
		insn->imm = p[c.at];
	c.at += immediate_size(insn, what);
	insn->len = (uint8_t)c.at;
	return c.at <= n && c.at <= TCG_INSN_MAX;
}

bool tcg_insn_locks_compare(const uint8_t *p, size_t n)
{
	bool lock = false;
	size_t i = 0;

	for (; i < n && (one_byte[p[i]] == 'p' || one_byte[p[i]] == 'r'); i++)
		lock |= p[i] == TCG_INSN_LOCK;
	if (!lock || i == n)
		return false;
	if (p[i] == 0xa6 || p[i] == 0xa7)
		return true;
	if (i + 1 == n || p[i + 1] >= 0xc0)
		return false;
	return p[i] == 0x38 || p[i] == 0x39 ||
	       (p[i] >= 0x80 && p[i] <= 0x83 && (p[i + 1] >> 3 & 7) == 7);
}
