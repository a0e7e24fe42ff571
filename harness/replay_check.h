/* SPDX-License-Identifier: ISC */
/*
 * Answers of a running machine compared with recorded ones: a trace sink that is told which record the
 * call at hand is of. Every mismatch is reported; nothing is stopped. Allocates nothing per call.
 *
 * As text, a line that says where, and beneath it the field with what was expected and what came. As JSON,
 * a line each:
 *   {"mismatch": "result" | "fault" | "ends" | "in" | "out" | "tree" | "stop",
 *    "trace": FILE, "line": N or "offset": N, "call": N, "text": the call's line of golden text,
 *    "expected": ..., "got": ...}
 * result: numbers, an error negative. fault, ends: booleans. in, out: "at": offset of the first byte that
 * differs, and for both sides {"len": N, "from": offset of what is shown, "bytes": BYTES}. out of a call that
 * answers with a structure: besides, "fields", an array of {"name": ..., "expected": TEXT, "got": TEXT}, those
 * that differ; and in a directory, "entry": number of the first that does, from 0, TEXT null where one side
 * has none. tree: no
 * line and call, but "mount": N, "guest": where it is mapped, "path": BYTES, "field": what differs first.
 * BYTES are a string when they are UTF-8, else {"hex": "..."}; so are all texts.
 */
#ifndef REPLAY_CHECK_H
#define REPLAY_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "trace.h"
#include "trace_read.h"
#include "trace_record.h"
#include "vm.h"

struct err;
struct tree;

enum {
	REPLAY_NEAR = 8,     /* bytes shown on either side of a difference */
	REPLAY_OBJECT = 320, /* a struct uhyve_attr, a directory entry */
};

/* What went one way through guest memory in the call at hand. */
struct replay_passed {
	size_t len;
	bool differs;
	size_t at; /* the first byte that does */
	uint8_t near[2 * REPLAY_NEAR];
	size_t near_from, near_len;
};

struct replay_check {
	struct trace_sink sink; /* first: it is the machine's */
	/* The caller's: */
	const struct trace_header *header;
	const char *trace; /* its name, for reports */
	enum trace_format format;
	FILE *out; /* NULL: silence */
	bool json;
	uint64_t most;                     /* as text, only so many mismatches are told; 0: all */
	const struct trace_record *record; /* of the call at hand */
	/* Counted here: */
	uint64_t calls, mismatches;
	uint64_t excess; /* bytes that went through guest memory beyond what was recorded */
	struct replay_passed in, answer;
	/* The structure in answer that holds the first byte that differs: as much of it as there is room for. */
	uint8_t object[REPLAY_OBJECT];
	size_t object_from, object_len;
	/*
	 * Set when a host ran out of something where the other one did not, ours or the recording's: no
	 * answer from there on says anything. See replay_check_lost.
	 */
	bool lost;
	int64_t lost_got;
};

/* The fields above the line "Counted here" are filled in by the caller afterwards. */
void replay_check_init(struct replay_check *check);
/* When it is lost, and record is still the call: -errno, with err saying which call, why, and what to do. */
int replay_check_lost(const struct replay_check *check, struct err *err);
/* The recorded end against how the machine stopped in its last call; VM_RUNNING: it did not. */
void replay_check_stop(
	struct replay_check *check, const struct trace_record *end, const struct vm_stop *stop);
/* What changed in the trees against what was recorded to have changed; both sorted. */
void replay_check_trees(
	struct replay_check *check, const struct tree *expected, const struct tree *got);

#endif
