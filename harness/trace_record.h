/* SPDX-License-Identifier: ISC */
/*
 * What a trace holds, decoded: one header, then records in order. The same whether it is read from a
 * recording (.pcapng), from golden text (.bjt) or comes from a running machine. Plain data.
 */
#ifndef TRACE_RECORD_H
#define TRACE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hcall.h"
#include "fileio.h"
#include "options.h" /* struct strings */
#include "trace.h"

struct cpuid_entry;
struct err;
struct guest_abi;

enum {
	TRACE_VERSION = 1,       /* readers refuse only a higher one */
	TRACE_HASH_LEN = 32,     /* SHA-256 */
	TRACE_BLOCK_MAX = 65536, /* payload bytes of one pcapng block; Wireshark refuses 262,145 */
};

struct trace_mount {
	char *host;  /* as given; in golden text relative to NAME.d/ */
	char *guest; /* absolute */
	bool writable, may_unlink, no_hardlinks;
	bool is_file; /* a mapped file (or one still to be made), not a directory */
};

/* Owns all it points to. No string holds a NUL. */
struct trace_header {
	unsigned version;
	char *program; /* "belljar 0.1.0": who wrote it; may be NULL */
	const struct guest_abi *abi;
	int abi_version;
	bool has_guest_hash;
	uint8_t guest_hash[TRACE_HASH_LEN]; /* of the image file */
	uint64_t mem_size;                  /* bytes of guest RAM */
	struct strings argv;                /* argv[0]: the image's name without its directory */
	struct strings kernel_args, env;
	char *cwd;
	struct fileio_limits limits; /* 0: what is usual */
	bool utf8_paths;
	struct trace_mount *mounts;
	size_t n_mounts;
	uint64_t boot_time_ns; /* the guest's clock at its start */
	uint64_t seed;
	char *cpu; /* "kvm GenuineIntel 6-85-7": where it was recorded; may be NULL */
	/* What CPUID said (cpuid_table.h); none: what every backend says to a deterministic guest. */
	struct cpuid_entry *cpuid;
	size_t n_cpuid;
	bool partial; /* begins in the middle of a run, or the run was not deterministic: not to be replayed */
	bool has_tree; /* TRACE_BLOB and TRACE_BEFORE records hold the mounts' first contents */
};

enum trace_record_kind {
	TRACE_BLOB,    /* contents of a file of the tree: hash, in = the bytes */
	TRACE_BEFORE,  /* one object of the mounts' trees as the guest found them */
	TRACE_CALL,    /* a finished call */
	TRACE_PENDING, /* the call in flight when the recorder was killed: no result */
	TRACE_EDITED,  /* a debugger wrote, between the calls before and behind it */
	TRACE_AFTER,   /* one difference of the trees at the end; see enum tree_kind */
	TRACE_END,     /* why the machine stopped: only calls' number and this follow */
	TRACE_CUT,     /* there is no end: the recording was cut off here */
	TRACE_RECORD_COUNT,
};

enum tree_kind {
	TREE_NONE, /* in TRACE_AFTER: removed */
	TREE_FILE,
	TREE_DIR,
	TREE_LINK,
	TREE_FIFO,
	TREE_SOCKET,
	TREE_DEVICE, /* cannot be made again without privilege: a fifo takes its place */
	TREE_KIND_COUNT,
};

struct tree_entry {
	enum tree_kind kind;
	uint32_t mount;               /* index into header.mounts */
	mode_t mode;                  /* permission bits */
	uint64_t size;                /* TREE_FILE */
	uint8_t hash[TRACE_HASH_LEN]; /* TREE_FILE */
	const uint8_t
		*path; /* beneath the mount, no slash at either end; empty: the mount itself */
	size_t path_len;
	const uint8_t *target; /* TREE_LINK */
	size_t target_len;
	/*
	 * TRACE_BEFORE: this is one more name of the object that an earlier such record names: the number of that
	 * record, counted from 1. 0: no other name came before it.
	 */
	uint64_t same;
	/* TRACE_BEFORE: another mount of the host's, which the guest was not shown; nothing in it is kept. */
	bool xdev;
};

/* In golden text a value behind `~` is recorded but not compared. */
enum trace_mask { TRACE_MASK_RESULT = 1, TRACE_MASK_OUT = 2 };

struct trace_record {
	enum trace_record_kind kind;
	uint64_t where; /* for messages: offset in a recording, line in golden text */

	/* CALL, PENDING */
	uint64_t seq;
	uint64_t time_ns, duration_ns; /* real time since 1970 at its start; 0 in golden text */
	uint64_t rip;                  /* 0 in golden text */
	uint16_t port;
	const struct hcall_row *row;     /* never NULL: readers refuse unknown ports */
	uint64_t args[HCALL_FIELDS_MAX]; /* hcall_field_value of each field; pointers 0 in text */
	int64_t result;                  /* value or -errno */
	bool ends;                       /* the machine stopped in this call */
	bool fault;                      /* hcall.fault */
	unsigned masked;                 /* bits of enum trace_mask */
	/*
	 * What crossed guest memory, pieces joined: a path without its NUL (4096 bytes: none was found),
	 * then bytes the host read; bytes the host wrote. The reader's, until the next record.
	 */
	const uint8_t *in, *out;
	size_t in_len, out_len;

	/* EDITED: out, and where it went. reg is one of gdb_regs.h. */
	struct trace_edit edit;

	/* BLOB: hash, in. BEFORE, AFTER: */
	struct tree_entry tree;

	/* END: enum vm_stop_kind, exit code, one line */
	int stop_kind, stop_code;
	const char *stop_text;
};

/* All strings copied; free with trace_header_finish. 0 or -ENOMEM. */
int trace_header_copy(struct trace_header *to, const struct trace_header *from);
void trace_header_finish(struct trace_header *header); /* takes one zeroed */
/* Can it be replayed, as far as the header says? 0, or -EINVAL with err, which begins with name. */
int trace_header_replays(const struct trace_header *header, const char *name, struct err *err);

/* The row of a port, or NULL. */
const struct hcall_row *trace_row_of_port(const struct guest_abi *abi, uint16_t port);
/*
 * A row's name in text. Where both generations of an ABI have the name, the other one's than
 * abi_version carries its port: "write@0x400". Back: NULL when there is none.
 */
void trace_row_name(
	const struct trace_header *header, const struct hcall_row *row, char *buf, size_t size);
const struct hcall_row *trace_row_of_name(
	const struct trace_header *header, const char *name, size_t len);
/* Number of fields of the row. */
size_t trace_row_fields(const struct hcall_row *row);
/* The first field of this kind, or -1; is there one? */
int trace_row_find(const struct hcall_row *row, enum hcall_kind kind);
bool trace_row_has(const struct hcall_row *row, enum hcall_kind kind);
/* Is this field an address: recorded, never matched, absent from text? */
bool trace_field_is_pointer(enum hcall_kind kind);
/*
 * Does an entry's path stay beneath its mount: names, each but the last a directory, no slash at either end,
 * none empty, "." or ".."? Can a link hold the target?
 */
bool trace_tree_path_is_sane(const uint8_t *path, size_t len);
bool trace_tree_target_is_sane(const uint8_t *target, size_t len);
/*
 * Does what a call says agree with itself? No more bytes than it has room for, as many as its result counts.
 * Calls that are not finished, and values behind ~, are held to the room alone. Else false, with why.
 */
bool trace_record_is_sane(const struct trace_record *record, struct err *why);
/* The same of an edit: a register that there is, with as many bytes as it has; or memory, that a packet holds. */
bool trace_edit_is_sane(const struct trace_record *record, struct err *why);
/* The register of this name, as in trace_edit.reg; NULL: there is none. */
const char *trace_edit_register(const char *name, size_t len);
/*
 * A record as it passes by a running machine: fills kind, seq, rip, port, row, args, result, ends, fault
 * from the call. in and out stay as they are.
 */
void trace_record_of_call(struct trace_record *record, const struct hcall *call);
/* And back: row, seq, rip, block (with the recorded addresses), result. arg only where there is no block. */
void trace_call_of_record(struct hcall *call, const struct trace_record *record);

#endif
