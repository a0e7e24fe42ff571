/* SPDX-License-Identifier: ISC */
/*
 * A machine with a history, and a log of what a forward pass over it saw: every place gone to again is held against that. For
 * tests of time travel.
 */
#ifndef HISTORY_MACHINE_H
#define HISTORY_MACHINE_H

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "bare_guest.h"
#include "err.h"
#include "fileio.h"
#include "history.h"
#include "history_move.h"
#include "trace.h"
#include "unit.h"
#include "vm.h"

enum { MEM = 16 << 20, PAGE = 4096 };

struct machine {
	struct vm *vm;
	struct fileio *files;
	struct history *h;
	uint8_t *image;
	size_t image_size;
	char *args[3];
	struct trace_sink sink;
	unsigned enters, leaves, stops; /* what the sink was told */
};

static struct err err;

static inline void *read_file(const char *path, size_t *size)
{
	FILE *f = fopen(path, "r");
	struct stat st;
	void *bytes;

	if (!f || fstat(fileno(f), &st))
		return NULL;
	*size = (size_t)st.st_size;
	bytes = malloc(*size);
	CU_ASSERT_EQUAL_FATAL(fread(bytes, 1, *size, f), *size);
	fclose(f);
	return bytes;
}

static inline void count_events(struct trace_sink *sink, const struct trace_event *event)
{
	struct machine *m = (struct machine *)((char *)sink - offsetof(struct machine, sink));

	m->enters += event->kind == TRACE_ENTER;
	m->leaves += event->kind == TRACE_LEAVE;
	m->stops += event->kind == TRACE_STOP;
}

static inline void finish(struct machine *m)
{
	history_close(m->h);
	vm_destroy(m->vm);
	fileio_destroy(m->files);
	free(m->image);
	memset(m, 0, sizeof(*m));
}

/* False when it cannot be had; then the case is skipped. */
static inline bool machine_on(struct machine *m, const char *backend, const char *guest,
	const char *arg, const struct history_options *options)
{
	const char *dir = getenv("GUESTS");
	static const struct history_options usual;
	char path[4096];
	int r;

	memset(m, 0, sizeof(*m));
	err.text[0] = 0;
	snprintf(path, sizeof(path), "%s/%s.elf", dir ? dir : "build/rel/kernels", guest);
	m->image = read_file(path, &m->image_size);
	if (!m->image) {
		unit_skip("the guests are not built");
		return false;
	}
	m->sink.emit = count_events;
	CU_ASSERT_EQUAL_FATAL(
		fileio_init(&m->files,
			&(struct fileio_config){
				.deterministic = true, .console_in = -1, .console_out = -1 },
			&err),
		0);
	m->args[0] = (char *)(uintptr_t)arg;
	r = vm_create(&m->vm,
		&(struct vm_config){ .backend = backend,
			.mem_size = MEM,
			.image = m->image,
			.image_size = m->image_size,
			.args = { .image_path = "guest", .app = m->args, .n_app = arg ? 1 : 0 },
			.files = m->files,
			.sinks = &m->sink,
			.boot_time_ns = 1704067200000000000u,
			.plain_cpu = true,
			.debug = true },
		&err);
	if (r == -ENODEV)
		unit_skip(err.text);
	else if (!r)
		r = history_open(&m->h, m->vm, options ? options : &usual, &err);
	if (r && r != -ENODEV)
		printf("     %s: %s\n", guest, err.text);
	CU_ASSERT_FATAL(!r || r == -ENODEV);
	if (r)
		finish(m);
	return !r;
}

/* How often: once where each time is done again and again, with failures. */
static inline unsigned rounds(unsigned n)
{
	return unit_fault_run ? 1 : n;
}

static inline bool machine(struct machine *m, const char *guest, const char *arg)
{
	return machine_on(m, "tcg", guest, arg, NULL);
}

static inline uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint64_t word;

	for (size_t i = 0; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, at + i, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15;
		hash ^= hash >> 31;
	}
	return hash;
}

static inline uint64_t hash_cpu(struct machine *m)
{
	struct cpu_state s;

	CU_ASSERT_EQUAL(backend_save(m->vm->cpu, &s), 0);
	if (!m->vm->cpu->ops->icount)
		s.tsc = 0;
	return mix(1, &s, sizeof(s));
}

static inline uint64_t hash_all(struct machine *m)
{
	uint64_t hash = hash_cpu(m), gpa = 0;
	static const uint8_t none[PAGE];
	uint8_t page[PAGE];

	for (size_t len; gmem_next_used(&m->vm->mem, &gpa, &len); gpa += len)
		for (size_t at = 0; at < len; at += PAGE) {
			uint64_t where = gpa + at;

			gmem_read(&m->vm->mem, where, page, PAGE);
			if (memcmp(page, none, PAGE) != 0)
				hash = mix(mix(hash, &where, sizeof(where)), page, PAGE);
		}
	return hash;
}

/* ---- what a forward pass saw ---- */

struct seen {
	struct history_pos pos;
	uint64_t rip, rsp, cpu, all; /* all: 0 where it was not looked at */
	bool watched;
};

struct log {
	struct seen *at;
	size_t n, max;
};

static const struct vcpu_debug free_run, one_step = { .step = true };

static inline void see(struct machine *m, struct log *log, bool all)
{
	struct cpu_regs regs;
	struct seen *s;

	backend_get_regs(m->vm->cpu, &regs);
	if (log->n == log->max) {
		log->max = log->max ? 2 * log->max : 1024;
		log->at = realloc(log->at, log->max * sizeof(*log->at));
	}
	s = &log->at[log->n++];
	history_now(m->h, &s->pos);
	s->rip = regs.rip;
	s->rsp = regs.gpr[CPU_RSP];
	s->watched = false;
	s->cpu = hash_cpu(m);
	s->all = all ? hash_all(m) : 0;
}

/* To the next instruction: on kvm a string instruction takes more steps, and who executes it
 * decides how many. */
static inline const struct vm_stop *step_with(
	struct machine *m, const struct vcpu_debug *debug, bool *watched)
{
	const struct vm_stop *stop;
	struct cpu_regs regs;
	uint64_t rip;

	backend_get_regs(m->vm->cpu, &regs);
	rip = regs.rip;
	do {
		stop = history_run(m->h, debug);
		*watched |= stop->kind == VM_DEBUG && stop->exit.why == VCPU_WATCHPOINT;
		backend_get_regs(m->vm->cpu, &regs);
	} while (!m->vm->cpu->ops->icount && stop->kind == VM_DEBUG && regs.rip == rip &&
		 m->vm->call_state == VM_CALL_NONE);
	return stop;
}

static inline const struct vm_stop *step(struct machine *m)
{
	bool watched = false;

	return step_with(m, &one_step, &watched);
}

/* Step by step to the end, at most n. */
static inline void step_through(struct machine *m, struct log *log, size_t n, unsigned every)
{
	log->n = 0;
	see(m, log, true);
	for (size_t i = 1; i <= n; i++) {
		const struct vm_stop *stop = step(m);

		see(m, log, i % every == 0 || stop->kind != VM_DEBUG);
		if (stop->kind != VM_DEBUG)
			break;
	}
}

static inline void expect(struct machine *m, const struct seen *s, const char *how)
{
	struct history_pos now;
	struct cpu_regs regs;
	bool same;

	history_now(m->h, &now);
	backend_get_regs(m->vm->cpu, &regs);
	same = !history_compare(&now, &s->pos) && regs.rip == s->rip && hash_cpu(m) == s->cpu &&
	       (!s->all || hash_all(m) == s->all);
	if (!same)
		printf("     %s: at %llu+%llu.%u.%llu rip %llx, want %llu+%llu.%u.%llu rip %llx "
		       "%s\n",
			how, (unsigned long long)now.calls, (unsigned long long)now.insns,
			now.stage, (unsigned long long)now.happened, (unsigned long long)regs.rip,
			(unsigned long long)s->pos.calls, (unsigned long long)s->pos.insns,
			s->pos.stage, (unsigned long long)s->pos.happened,
			(unsigned long long)s->rip, hash_cpu(m) == s->cpu ? "memory" : "registers");
	CU_ASSERT_TRUE(same);
}

static inline void seek_to(struct machine *m, const struct seen *s)
{
	int r = history_seek(m->h, &s->pos, &err);

	if (r)
		printf("     seek %llu+%llu: %s\n", (unsigned long long)s->pos.calls,
			(unsigned long long)s->pos.insns, err.text);
	CU_ASSERT_EQUAL(r, 0);
	if (!r)
		expect(m, s, "seek");
}

static inline int back_one(struct machine *m)
{
	int r = history_back(m->h, &(struct history_back){ .step = true }, &err);

	if (r < 0)
		printf("     back: %s\n", err.text);
	return r;
}

/* Here and there, a few steps to either side. */
static inline void wander(struct machine *m, const struct log *log, unsigned turns)
{
	for (unsigned i = 0; i < turns && !CU_get_number_of_failures(); i++) {
		size_t at = (size_t)random() % log->n;

		seek_to(m, &log->at[at]);
		for (int n = (int)(random() % 4); n && at; n--) {
			CU_ASSERT_EQUAL(back_one(m), HISTORY_STOPPED);
			expect(m, &log->at[--at], "back");
		}
		for (int n = (int)(random() % 4); n && at + 1 < log->n; n--) {
			step(m);
			expect(m, &log->at[++at], "step");
		}
	}
}

/* ---- backwards, against what was seen forwards ---- */

struct stops {
	const uint64_t *breaks;
	size_t n_breaks;
	bool watches;
};

static inline bool is_break(const struct stops *w, uint64_t rip)
{
	for (size_t i = 0; i < w->n_breaks; i++)
		if (w->breaks[i] == rip)
			return true;
	return false;
}

/* Where going back from a place must end: an index; 0: at the beginning. */
static inline size_t last_stop(const struct log *log, size_t from, const struct stops *w)
{
	for (size_t i = from; i-- > 0;) {
		if (w->watches && log->at[i + 1].watched)
			return i;
		if (i && is_break(w, log->at[i].rip))
			return i;
	}
	return 0;
}

static inline void mark_watched(struct machine *m, struct log *log, const struct vcpu_debug *debug)
{
	struct vcpu_debug d = *debug;

	d.step = true;
	d.n_breaks = 0;
	seek_to(m, &log->at[0]);
	for (size_t i = 1; i < log->n; i++) {
		log->at[i].watched = false;
		step_with(m, &d, &log->at[i].watched);
	}
}

static inline void back_through(
	struct machine *m, const struct log *log, const struct vcpu_debug *debug, size_t at)
{
	const struct stops w = { debug->breaks, debug->n_breaks, debug->n_watches };
	unsigned failures;
	size_t want;
	int r;

	seek_to(m, &log->at[at]);
	for (unsigned turns = 0; turns < rounds(12); turns++, at = want) {
		want = last_stop(log, at, &w);
		r = history_back(m->h, &(struct history_back){ .debug = debug }, &err);
		CU_ASSERT_EQUAL_FATAL(r, want || (w.watches && log->at[1].watched && at)
						 ? HISTORY_STOPPED
						 : HISTORY_BEGIN);
		failures = CU_get_number_of_failures();
		expect(m, &log->at[want], "back to a stop");
		if (CU_get_number_of_failures() > failures)
			printf("     from %zu to %zu\n", at, want);
		if (r == HISTORY_BEGIN)
			break;
		CU_ASSERT_EQUAL(m->vm->stop.exit.rip, log->at[want].rip);
		CU_ASSERT_EQUAL(m->vm->stop.exit.why,
			log->at[want + 1].watched && w.watches && !is_break(&w, log->at[want].rip)
				? VCPU_WATCHPOINT
				: m->vm->stop.exit.why);
	}
}

static inline bool hold_all(void *ctx, struct vm *vm, const struct hcall *call, bool answered)
{
	unsigned *which = ctx;

	(void)vm, (void)call;
	return *which & (answered ? 2u : 1u);
}

static inline void put64(struct machine *m, uint64_t gpa, uint64_t v)
{
	bare_put64(m->vm, gpa, v);
}

static inline void change(struct machine *m, uint64_t gpa, uint64_t value)
{
	struct cpu_regs regs;

	CU_ASSERT_EQUAL_FATAL(history_edit(m->h, &err), 0);
	put64(m, gpa, value);
	CU_ASSERT_EQUAL(history_edited(m->h, &err), 0);
	CU_ASSERT_EQUAL_FATAL(history_edit(m->h, &err), 0);
	backend_get_regs(m->vm->cpu, &regs);
	regs.gpr[CPU_R15] = value;
	CU_ASSERT_EQUAL(backend_set_regs(m->vm->cpu, &regs), 0);
	CU_ASSERT_EQUAL(history_edited(m->h, &err), 0);
}

#endif
