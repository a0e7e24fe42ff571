// SPDX-License-Identifier: ISC
/*
 * Registers as gdb numbers and names them: one list gives both the table and target.xml. Features other than
 * ours, their registers and their order are gdb's (GDB manual, appendix G.5). AVX comes last, so that numbers are the
 * same without it.
 */
#include "gdb_regs.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "cpu.h"

enum source {
	STATE,  /* width bytes at offset of struct cpu_state */
	COUNTS, /* of struct gdb_counts */
	TAGS,   /* the x87 tag word, made of the byte that FXSAVE has and of the registers */
	NONE,   /* Linux's orig_rax: no system call is being restarted here */
};

struct reg;
/* Is this value one a CPU may hold there? 0, after putting reserved bits right; or -errno. */
typedef int accept_fn(const struct cpu_state *s, const struct reg *reg, uint64_t *value);

struct reg {
	const char *name;
	uint8_t size; /* as gdb sees it */
	uint8_t width;
	uint16_t offset;
	uint8_t from;
	accept_fn *accept; /* NULL: anything */
};

/* ---- what values are accepted ---- */

static int fixed(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	(void)s, (void)reg, (void)value;
	return -EPERM;
}

static int canonical(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	int unused = s->cr4 & CPU_CR4_LA57 ? 64 - 57 : 64 - 48;

	(void)reg;
	return (uint64_t)((int64_t)(*value << unused) >> unused) == *value ? 0 : -EINVAL;
}

static int no_high_half(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	(void)s, (void)reg;
	return *value >> 32 ? -EINVAL : 0;
}

static int flags(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	enum { VM = 1 << 17, KNOWN = 0x3f7fd5 & ~VM };

	(void)s, (void)reg;
	if (*value & VM)
		return -EINVAL; /* no virtual-8086 mode in long mode */
	*value = (*value & KNOWN) | CPU_RFLAGS_FIXED;
	return 0;
}

static int x87_control(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	(void)s, (void)reg;
	*value = (*value & 0x1f3f) | 0x40; /* SDM 1 8.1.5 */
	return 0;
}

static int x87_status(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	(void)s, (void)reg;
	*value &= 0xffff;
	return 0;
}

static int x87_opcode(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	(void)s, (void)reg;
	*value &= 0x7ff;
	return 0;
}

/* What is a tag's other than "empty" follows from the register: a byte of which are not. */
static int x87_tags(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	uint64_t used = 0;

	(void)s, (void)reg;
	for (int i = 0; i < 8; i++)
		if ((*value >> 2 * i & 3) != 3)
			used |= 1u << i;
	*value = used;
	return 0;
}

static int sse_control(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	uint32_t known;

	(void)reg;
	memcpy(&known, s->fx + 28, sizeof(known));
	*value &= known ? known : 0xffbf; /* SDM 1 11.6.6 */
	return 0;
}

/* CR0, CR4 and EFER agree with one another: SDM 3A 4.1.1, 10.8.5. */
static bool modes_agree(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	enum { NW = 1 << 29, CD = 1 << 30, PCIDE = 1 << 17, CET = 1 << 23 };
	bool paging = cr0 & CPU_CR0_PG, lma = efer & CPU_EFER_LMA;

	return !(paging && !(cr0 & CPU_CR0_PE)) && !((cr0 & NW) && !(cr0 & CD)) &&
	       lma == (paging && efer & CPU_EFER_LME) && !(lma && !(cr4 & CPU_CR4_PAE)) &&
	       !((cr4 & PCIDE) && !lma) && !((cr4 & CET) && !(cr0 & CPU_CR0_WP));
}

/* Bits that we know of no use for may stay, but not come. */
static bool unknown_bits(uint64_t value, uint64_t known, uint64_t now)
{
	return value & ~known & ~now;
}

static int cr0(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	(void)reg;
	*value |= CPU_CR0_ET;
	if (unknown_bits(*value, 0xe005003f, s->cr0) || !modes_agree(*value, s->cr4, s->efer))
		return -EINVAL;
	return 0;
}

static int cr3(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	(void)s, (void)reg;
	return *value >> 52 ? -EINVAL : 0;
}

static int cr4(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	(void)reg;
	if (unknown_bits(*value, 0x1f71fff, s->cr4) || !modes_agree(s->cr0, *value, s->efer))
		return -EINVAL;
	if ((s->cr0 & CPU_CR0_PG) && (*value ^ s->cr4) & CPU_CR4_LA57)
		return -EINVAL; /* page tables have the depth they have */
	return 0;
}

static int cr8(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	(void)s, (void)reg;
	return *value > 15 ? -EINVAL : 0;
}

static int efer(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	static const uint64_t known = CPU_EFER_SCE | CPU_EFER_LME | CPU_EFER_LMA | CPU_EFER_NXE;

	(void)reg;
	if (unknown_bits(*value, known, s->efer) || !modes_agree(s->cr0, s->cr4, *value))
		return -EINVAL;
	return (s->cr0 & CPU_CR0_PG) && (*value ^ s->efer) & CPU_EFER_LME ? -EINVAL : 0;
}

/* SDM 3B 17.2: what is reserved reads as it does after reset. */
static int dr6(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	if (no_high_half(s, reg, value))
		return -EINVAL;
	*value = (*value & 0xe00f) | 0xffff0ff0;
	return 0;
}

static int dr7(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	if (no_high_half(s, reg, value))
		return -EINVAL;
	*value = (*value & 0xffff23ff) | 0x400;
	return 0;
}

/* Granularity and limit are one field of a descriptor: SDM 3C 26.3.1.2. */
static int segment_limit(const struct cpu_state *s, const struct reg *reg, uint64_t *value)
{
	bool pages = s->seg[CPU_TR].attr & CPU_SEG_G;

	(void)reg;
	return pages ? ((*value & 0xfff) == 0xfff ? 0 : -EINVAL) : (*value >> 20 ? -EINVAL : 0);
}

/* ---- the list: name, bits, type and more for target.xml; where it is; what is accepted ---- */

/* clang-format off */
#define IN(from, strct, field) sizeof(((struct strct *)0)->field), offsetof(struct strct, field), from
#define S(field) IN(STATE, cpu_state, field)
#define FX(at, n) n, offsetof(struct cpu_state, fx[at]), STATE
#define TYPE(t) " type=\"" t "\""
#define INT TYPE("int64")
#define FLOAT(t) TYPE(t) " group=\"float\""
#define SYSTEM(t) TYPE(t) " group=\"system\" save-restore=\"no\""

#define CORE(R)                                                                       \
	R(rax, 64, INT, S(regs.gpr[CPU_RAX]), NULL)                                   \
	R(rbx, 64, INT, S(regs.gpr[CPU_RBX]), NULL)                                   \
	R(rcx, 64, INT, S(regs.gpr[CPU_RCX]), NULL)                                   \
	R(rdx, 64, INT, S(regs.gpr[CPU_RDX]), NULL)                                   \
	R(rsi, 64, INT, S(regs.gpr[CPU_RSI]), NULL)                                   \
	R(rdi, 64, INT, S(regs.gpr[CPU_RDI]), NULL)                                   \
	R(rbp, 64, TYPE("data_ptr"), S(regs.gpr[CPU_RBP]), NULL)                      \
	R(rsp, 64, TYPE("data_ptr"), S(regs.gpr[CPU_RSP]), NULL)                      \
	R(r8, 64, INT, S(regs.gpr[CPU_R8]), NULL)                                     \
	R(r9, 64, INT, S(regs.gpr[CPU_R9]), NULL)                                     \
	R(r10, 64, INT, S(regs.gpr[CPU_R10]), NULL)                                   \
	R(r11, 64, INT, S(regs.gpr[CPU_R11]), NULL)                                   \
	R(r12, 64, INT, S(regs.gpr[CPU_R12]), NULL)                                   \
	R(r13, 64, INT, S(regs.gpr[CPU_R13]), NULL)                                   \
	R(r14, 64, INT, S(regs.gpr[CPU_R14]), NULL)                                   \
	R(r15, 64, INT, S(regs.gpr[CPU_R15]), NULL)                                   \
	R(rip, 64, TYPE("code_ptr"), S(regs.rip), canonical)                          \
	R(eflags, 32, TYPE("i386_eflags"), S(regs.rflags), flags)                     \
	R(cs, 32, TYPE("int32"), S(seg[CPU_CS].selector), fixed)                      \
	R(ss, 32, TYPE("int32"), S(seg[CPU_SS].selector), fixed)                      \
	R(ds, 32, TYPE("int32"), S(seg[CPU_DS].selector), fixed)                      \
	R(es, 32, TYPE("int32"), S(seg[CPU_ES].selector), fixed)                      \
	R(fs, 32, TYPE("int32"), S(seg[CPU_FS].selector), fixed)                      \
	R(gs, 32, TYPE("int32"), S(seg[CPU_GS].selector), fixed)                      \
	X87(R, 0) X87(R, 1) X87(R, 2) X87(R, 3) X87(R, 4) X87(R, 5) X87(R, 6) X87(R, 7) \
	R(fctrl, 32, FLOAT("int"), FX(0, 2), x87_control)                             \
	R(fstat, 32, FLOAT("int"), FX(2, 2), x87_status)                              \
	R(ftag, 32, FLOAT("int"), 1, offsetof(struct cpu_state, fx[4]), TAGS, x87_tags) \
	R(fiseg, 32, FLOAT("int"), FX(12, 4), NULL)                                   \
	R(fioff, 32, FLOAT("int"), FX(8, 4), NULL)                                    \
	R(foseg, 32, FLOAT("int"), FX(20, 4), NULL)                                   \
	R(fooff, 32, FLOAT("int"), FX(16, 4), NULL)                                   \
	R(fop, 32, FLOAT("int"), FX(6, 2), x87_opcode)
#define X87(R, n) R(st##n, 80, TYPE("i387_ext"), FX(32 + 16 * n, 10), NULL)

#define SSE(R)                                                                        \
	XMM(R, 0) XMM(R, 1) XMM(R, 2) XMM(R, 3) XMM(R, 4) XMM(R, 5) XMM(R, 6) XMM(R, 7) \
	XMM(R, 8) XMM(R, 9) XMM(R, 10) XMM(R, 11) XMM(R, 12) XMM(R, 13) XMM(R, 14) XMM(R, 15) \
	R(mxcsr, 32, TYPE("i386_mxcsr") " group=\"vector\"", FX(24, 4), sse_control)
#define XMM(R, n) R(xmm##n, 128, TYPE("vec128"), FX(160 + 16 * n, 16), NULL)

#define LINUX(R) R(orig_rax, 64, TYPE("int"), 0, 0, NONE, NULL)

#define SEGMENTS(R)                                                                   \
	R(fs_base, 64, TYPE("int"), S(seg[CPU_FS].base), canonical)                  \
	R(gs_base, 64, TYPE("int"), S(seg[CPU_GS].base), canonical)

#define OURS(R)                                                                       \
	R(cr0, 64, SYSTEM("x86_cr0"), S(cr0), cr0)                                    \
	R(cr2, 64, SYSTEM("uint64"), S(cr2), NULL)                                    \
	R(cr3, 64, SYSTEM("uint64"), S(cr3), cr3)                                     \
	R(cr4, 64, SYSTEM("x86_cr4"), S(cr4), cr4)                                    \
	R(cr8, 64, SYSTEM("uint64"), S(cr8), cr8)                                     \
	R(efer, 64, SYSTEM("x86_efer"), S(efer), efer)                                \
	R(k_gs_base, 64, SYSTEM("data_ptr"), S(kernel_gs_base), canonical)            \
	R(star, 64, SYSTEM("uint64"), S(star), NULL)                                  \
	R(lstar, 64, SYSTEM("code_ptr"), S(lstar), canonical)                         \
	R(sfmask, 64, SYSTEM("uint64"), S(sfmask), no_high_half)                      \
	R(gdtr_base, 64, SYSTEM("data_ptr"), S(gdt.base), canonical)                  \
	R(gdtr_limit, 16, SYSTEM("uint16"), S(gdt.limit), NULL)                       \
	R(idtr_base, 64, SYSTEM("data_ptr"), S(idt.base), canonical)                  \
	R(idtr_limit, 16, SYSTEM("uint16"), S(idt.limit), NULL)                       \
	R(tr, 16, SYSTEM("uint16"), S(seg[CPU_TR].selector), fixed)                   \
	R(tr_base, 64, SYSTEM("data_ptr"), S(seg[CPU_TR].base), canonical)            \
	R(tr_limit, 32, SYSTEM("uint32"), S(seg[CPU_TR].limit), segment_limit)        \
	R(dr0, 64, SYSTEM("uint64"), S(dr[0]), NULL)                                  \
	R(dr1, 64, SYSTEM("uint64"), S(dr[1]), NULL)                                  \
	R(dr2, 64, SYSTEM("uint64"), S(dr[2]), NULL)                                  \
	R(dr3, 64, SYSTEM("uint64"), S(dr[3]), NULL)                                  \
	R(dr6, 64, SYSTEM("x86_dr6"), S(dr6), dr6)                                    \
	R(dr7, 64, SYSTEM("uint64"), S(dr7), dr7)                                     \
	R(insn_count, 64, SYSTEM("int64"), IN(COUNTS, gdb_counts, insn_count), fixed) \
	R(hypercall_index, 64, SYSTEM("uint64"), IN(COUNTS, gdb_counts, hypercall_index), fixed)

#define AVX(R)                                                                        \
	YMM(R, 0) YMM(R, 1) YMM(R, 2) YMM(R, 3) YMM(R, 4) YMM(R, 5) YMM(R, 6) YMM(R, 7) \
	YMM(R, 8) YMM(R, 9) YMM(R, 10) YMM(R, 11) YMM(R, 12) YMM(R, 13) YMM(R, 14) YMM(R, 15)
#define YMM(R, n) R(ymm##n##h, 128, TYPE("uint128"), S(ymmh[n]), NULL)

#define ROW(name, bits, xml, ...) { #name, (bits) / 8, __VA_ARGS__ },
static const struct reg regs[] = { CORE(ROW) SSE(ROW) LINUX(ROW) SEGMENTS(ROW) OURS(ROW) AVX(ROW) };

#define XML(name, bits, xml, ...) "<reg name=\"" #name "\" bitsize=\"" #bits "\"" xml "/>\n"
#define FEATURE(name, types, list) "<feature name=\"" name "\">\n" types list(XML) "</feature>\n"
#define BITS(name, first, last) "<field name=\"" name "\" start=\"" #first "\" end=\"" #last "\"/>\n"
#define BIT(name, n) BITS(name, n, n)
#define FLAGS(id, size, bits) "<flags id=\"" id "\" size=\"" #size "\">\n" bits "</flags>\n"
#define VECTOR(id, type, count) "<vector id=\"" id "\" type=\"" type "\" count=\"" #count "\"/>\n"
#define FIELD(name, type) "<field name=\"" name "\" type=\"" type "\"/>\n"

#define EFLAGS_TYPE                                                                   \
	FLAGS("i386_eflags", 4, BIT("CF", 0) BIT("", 1) BIT("PF", 2) BIT("AF", 4) BIT("ZF", 6) \
		BIT("SF", 7) BIT("TF", 8) BIT("IF", 9) BIT("DF", 10) BIT("OF", 11) BIT("NT", 14) \
		BIT("RF", 16) BIT("VM", 17) BIT("AC", 18) BIT("VIF", 19) BIT("VIP", 20) BIT("ID", 21))
#define SSE_TYPES                                                                     \
	VECTOR("v4f", "ieee_single", 4) VECTOR("v2d", "ieee_double", 2)               \
	VECTOR("v16i8", "int8", 16) VECTOR("v8i16", "int16", 8)                       \
	VECTOR("v4i32", "int32", 4) VECTOR("v2i64", "int64", 2)                       \
	"<union id=\"vec128\">\n"                                                     \
	FIELD("v4_float", "v4f") FIELD("v2_double", "v2d") FIELD("v16_int8", "v16i8") \
	FIELD("v8_int16", "v8i16") FIELD("v4_int32", "v4i32") FIELD("v2_int64", "v2i64") \
	FIELD("uint128", "uint128") "</union>\n"                                      \
	FLAGS("i386_mxcsr", 4, BIT("IE", 0) BIT("DE", 1) BIT("ZE", 2) BIT("OE", 3) BIT("UE", 4) \
		BIT("PE", 5) BIT("DAZ", 6) BIT("IM", 7) BIT("DM", 8) BIT("ZM", 9) BIT("OM", 10) \
		BIT("UM", 11) BIT("PM", 12) BIT("FZ", 15))
#define OUR_TYPES                                                                     \
	FLAGS("x86_cr0", 8, BIT("PE", 0) BIT("MP", 1) BIT("EM", 2) BIT("TS", 3) BIT("ET", 4) \
		BIT("NE", 5) BIT("WP", 16) BIT("AM", 18) BIT("NW", 29) BIT("CD", 30) BIT("PG", 31)) \
	FLAGS("x86_cr4", 8, BIT("VME", 0) BIT("PVI", 1) BIT("TSD", 2) BIT("DE", 3) BIT("PSE", 4) \
		BIT("PAE", 5) BIT("MCE", 6) BIT("PGE", 7) BIT("PCE", 8) BIT("OSFXSR", 9) \
		BIT("OSXMMEXCPT", 10) BIT("UMIP", 11) BIT("LA57", 12) BIT("FSGSBASE", 16) \
		BIT("PCIDE", 17) BIT("OSXSAVE", 18) BIT("SMEP", 20) BIT("SMAP", 21) BIT("PKE", 22) \
		BIT("CET", 23) BIT("PKS", 24))                                        \
	FLAGS("x86_efer", 8, BIT("SCE", 0) BIT("LME", 8) BIT("LMA", 10) BIT("NXE", 11)) \
	FLAGS("x86_dr6", 8, BIT("B0", 0) BIT("B1", 1) BIT("B2", 2) BIT("B3", 3) BIT("BD", 13) \
		BIT("BS", 14) BIT("BT", 15))

#define TARGET(more)                                                                  \
	"<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"      \
	"<target version=\"1.0\">\n"                                                  \
	"<architecture>i386:x86-64</architecture>\n<osabi>GNU/Linux</osabi>\n"        \
	FEATURE("org.gnu.gdb.i386.core", EFLAGS_TYPE, CORE)                           \
	FEATURE("org.gnu.gdb.i386.sse", SSE_TYPES, SSE)                               \
	FEATURE("org.gnu.gdb.i386.linux", "", LINUX)                                  \
	FEATURE("org.gnu.gdb.i386.segments", "", SEGMENTS)                            \
	FEATURE("org.belljar.x86.system", OUR_TYPES, OURS)                            \
	more "</target>\n"
/* clang-format on */

static const char xml_plain[] = TARGET("");
static const char xml_avx[] = TARGET(FEATURE("org.gnu.gdb.i386.avx", "", AVX));

enum { AVX_COUNT = 16, COUNT = sizeof(regs) / sizeof(regs[0]) };
static_assert(COUNT == 40 + 17 + 1 + 2 + 25 + AVX_COUNT, "registers are numbered by their place");

/* ---- the table, used ---- */

size_t gdb_regs_count(bool avx)
{
	return avx ? COUNT : COUNT - AVX_COUNT;
}

size_t gdb_regs_size(bool avx)
{
	size_t size = 0;

	for (size_t i = 0; i < gdb_regs_count(avx); i++)
		size += regs[i].size;
	return size;
}

size_t gdb_reg_size(bool avx, unsigned n)
{
	return n < gdb_regs_count(avx) ? regs[n].size : 0;
}

const char *gdb_reg_name(unsigned n)
{
	return n < COUNT ? regs[n].name : NULL;
}

int gdb_reg_find(bool avx, const char *name)
{
	for (size_t i = 0; i < gdb_regs_count(avx); i++)
		if (!strcmp(regs[i].name, name))
			return (int)i;
	return -1;
}

const char *gdb_regs_xml(bool avx)
{
	return avx ? xml_avx : xml_plain;
}

enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

/* SDM 1 8.1.7, 10.5.1.1: of an 80-bit number. */
static unsigned tag(const uint8_t *st)
{
	uint64_t mantissa;
	unsigned exponent = (st[8] | (unsigned)st[9] << 8) & 0x7fff;

	memcpy(&mantissa, st, sizeof(mantissa));
	if (!exponent && !mantissa)
		return TAG_ZERO;
	return exponent && exponent != 0x7fff && mantissa >> 63 ? TAG_VALID : TAG_SPECIAL;
}

/* By number of the register, whereas FXSAVE stores them by their distance from the top. */
static uint64_t tags(const struct cpu_state *s)
{
	unsigned top = s->fx[3] >> 3 & 7;
	uint64_t word = 0;

	for (unsigned i = 0; i < 8; i++) {
		const uint8_t *st = s->fx + 32 + 16 * ((i - top) & 7);
		unsigned t = s->fx[4] >> i & 1 ? tag(st) : TAG_EMPTY;

		word |= (uint64_t)t << 2 * i;
	}
	return word;
}

void gdb_reg_get(
	const struct cpu_state *s, const struct gdb_counts *counts, unsigned n, uint8_t *value)
{
	const struct reg *reg = &regs[n];
	const void *from = reg->from == COUNTS ? (const void *)counts : s;
	uint64_t word;

	assert(n < COUNT);
	memset(value, reg->from == NONE ? 0xff : 0, reg->size);
	if (reg->from == TAGS) {
		word = tags(s);
		memcpy(value, &word, reg->size);
	} else {
		memcpy(value, (const uint8_t *)from + reg->offset,
			reg->width < reg->size ? reg->width : reg->size);
	}
}

int gdb_reg_set(
	struct cpu_state *s, const struct gdb_counts *counts, unsigned n, const uint8_t *value)
{
	const struct reg *reg = &regs[n];
	uint8_t now[GDB_REG_MAX];
	uint64_t word = 0;
	int r;

	gdb_reg_get(s, counts, n, now);
	if (!memcmp(now, value, reg->size) || reg->from == NONE)
		return 0;
	if (reg->size > sizeof(word)) {
		memcpy((uint8_t *)s + reg->offset, value, reg->width);
		return 0;
	}
	memcpy(&word, value, reg->size);
	r = reg->accept ? reg->accept(s, reg, &word) : 0;
	if (!r)
		memcpy((uint8_t *)s + reg->offset, &word, reg->width);
	return r;
}
