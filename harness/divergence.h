/* SPDX-License-Identifier: ISC */
/*
 * A guest that asked something else than the trace says: what is the same, what differs and where, what
 * came before and would come next, and what it looks like. As a text for people and as one line of JSON.
 */
#ifndef DIVERGENCE_H
#define DIVERGENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "trace_record.h"

enum divergence_kind {
	DIVERGENCE_CHANGED,    /* another call, or other values, in the place of the expected one */
	DIVERGENCE_EXTRA,      /* a call more than the trace has */
	DIVERGENCE_MISSING,    /* the guest skipped what the trace has */
	DIVERGENCE_EARLY_EXIT, /* it ended, and the trace goes on */
	DIVERGENCE_END,        /* it ended in another way than the trace says */
	DIVERGENCE_TIMEOUT,    /* none: it made no call and was stopped */
	DIVERGENCE_KIND_COUNT,
};
extern const char *const divergence_kind_names[DIVERGENCE_KIND_COUNT];

enum { DIVERGENCE_BEFORE = 3, DIVERGENCE_NEXT = 2, DIVERGENCE_FRAMES = 4 };

/* Everything is borrowed. */
struct divergence {
	const char *file; /* the trace */
	bool text;        /* golden text: places are lines; else offsets */
	const struct trace_header *header;
	enum divergence_kind kind;
	bool wrong_guest;   /* the image's hash is not the recorded one */
	const char *cpu;    /* what CPUID says otherwise here; NULL: nothing */
	uint64_t seq;       /* of the guest's call */
	const char *frames; /* report_frames */
	/* The guest's call, all bytes of `in`; its result only when has_result. NULL: see ended. */
	const struct trace_record *got;
	bool has_result;
	const char *ended; /* how the guest ended, when that was not in a call */
	/* CALL, or END when the trace has no more. */
	const struct trace_record *expected;
	const struct trace_record *before[DIVERGENCE_BEFORE]; /* oldest first */
	size_t n_before;
	const struct trace_record
		*next[DIVERGENCE_NEXT]; /* that the trace expects after expected */
	size_t n_next;
	uint64_t skipped;  /* MISSING: calls */
	unsigned followed; /* further calls of the guest that agree with what kind says */
	bool has_nearest;
	uint64_t nearest; /* number of another call in the trace that equals got */
};

/* Do two calls ask the same: row, every field that is no pointer, bytes read? */
bool divergence_same_args(const struct hcall_row *row, const uint64_t *a, const uint64_t *b);
bool divergence_same_call(const struct trace_record *a, const struct trace_record *b);

void divergence_print(FILE *out, const struct divergence *d, bool color);
/*
 * One line, ASCII, of an object with these keys, always all of them:
 *   file, side ("guest"), call (number), kind ("CHANGED", "EXTRA", "MISSING", "EARLY-EXIT", "END",
 *   "TIMEOUT": no divergence, the guest ran into the time limit),
 *   wrong_guest, cpu (what CPUID says otherwise than in the recording, or null), rip ("0x..." or ""), at (function and line, or ""), got and expected (the call's name, or
 *   null at the end), ended (how the guest ended, or null), fields (array of {name, got, expected, same} and,
 *   for bytes, {name, got_len, expected_len, at, got_hex, expected_hex, same}: at is the first byte that
 *   differs or null, the hex up to 16 bytes from there), before and next (arrays of {call, text}), skipped,
 *   followed, nearest (number or null), where ("FILE:LINE" or "FILE offset 0x..."), exit (3; 124 with TIMEOUT).
 */
void divergence_print_json(FILE *out, const struct divergence *d);

#endif
