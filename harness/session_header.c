// SPDX-License-Identifier: ISC
/* A session and a trace's header, to and fro: what must be the same for a guest to run the same way again. */
#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "cleanup.h"
#include "cpuid_table.h"
#include "err.h"
#include "session.h"
#include "tcg_cpuid.h"
#include "tree.h"

enum { FEATURES_TEXT = 600 };

/* "kvm GenuineIntel 6-85-7": the CPU that we are on, whichever backend makes use of it. */
static void describe_cpu(const struct session *s, char *buf, size_t size)
{
	unsigned a = 0, b = 0, c = 0, d = 0, family, model;
	char vendor[13] = "";

	__get_cpuid(0, &a, &b, &c, &d);
	memcpy(vendor, &b, 4);
	memcpy(vendor + 4, &d, 4);
	memcpy(vendor + 8, &c, 4);
	__get_cpuid(1, &a, &b, &c, &d);
	/* SDM 2A, CPUID leaf 1: the extended fields count in these families only. */
	family = a >> 8 & 15;
	model = a >> 4 & 15;
	if (family == 6 || family == 15)
		model += (a >> 16 & 15) << 4;
	if (family == 15)
		family += a >> 20 & 255;
	snprintf(buf, size, "%s %s %u-%u-%u", s->vm->cpu->ops->name, vendor, family, model, a & 15);
}

static struct trace_mount mount_of(const struct fileio_mount *m, bool is_file)
{
	return (struct trace_mount){
		.host = (char *)(uintptr_t)m->host,
		.guest = (char *)(uintptr_t)m->guest,
		.writable = m->writable,
		.may_unlink = m->may_unlink,
		.no_hardlinks = m->no_hardlinks,
		.is_file = is_file,
	};
}

/* What CPUID says to this session's guest, when that is not what any deterministic guest is told. */
static size_t special_cpuid(const struct session *s, struct cpuid_entry table[CPUID_TABLE_MAX])
{
	struct cpuid_entry plain[TCG_CPUID_LEAVES];
	size_t n_plain = tcg_cpuid_table(plain, s->vm->abi->irqchip, true);
	int n = backend_cpuid(s->vm->cpu, table, CPUID_TABLE_MAX);

	return n > 0 && !cpuid_table_same(table, (size_t)n, plain, n_plain) ? (size_t)n : 0;
}

void session_cpu_note(
	const struct session *s, const struct trace_header *header, char *buf, size_t size)
{
	struct cpuid_entry here[CPUID_TABLE_MAX], plain[TCG_CPUID_LEAVES];
	const struct cpuid_entry *there = header->n_cpuid ? header->cpuid : plain;
	size_t n_there = tcg_cpuid_table(plain, s->vm->abi->irqchip, true);
	const char *name = s->vm->cpu->ops->name;
	int r = backend_cpuid(s->vm->cpu, here, CPUID_TABLE_MAX);
	size_t n = r > 0 ? (size_t)r : 0;
	char features[FEATURES_TEXT];

	if (header->n_cpuid)
		n_there = header->n_cpuid;
	buf[0] = 0;
	if (!n || cpuid_table_same(here, n, there, n_there))
		return;
	if (cpuid_table_added(there, n_there, here, n, features, sizeof(features)))
		snprintf(buf, size,
			"%s adds features to CPUID that the recording's CPU had not:%s; a guest "
			"that "
			"prints or uses them differs",
			name, features);
	else if (cpuid_table_added(here, n, there, n_there, features, sizeof(features)))
		snprintf(buf, size,
			"%s lacks features in CPUID that the recording's CPU had:%s; a guest that "
			"prints or uses them differs",
			name, features);
	else
		snprintf(buf, size,
			"CPUID on %s is not what it was in the recording; a guest that prints or "
			"uses it differs",
			name);
}

int session_header(const struct session *s, struct trace_header *header, struct err *err)
{
	const struct vm_options *o = &s->options;
	const struct vm_args *args = &s->vm->args;
	autofree char **argv = calloc(args->n_app + 1, sizeof(*argv));
	autofree struct trace_mount *mounts = calloc(o->n_mounts + 1, sizeof(*mounts));
	struct cpuid_entry cpuid[CPUID_TABLE_MAX];
	char cpu[80], program[] = "belljar " BELLJAR_VERSION;
	struct trace_header h = {
		.version = TRACE_VERSION,
		.program = program,
		.abi = s->vm->abi,
		.abi_version = s->vm->abi_version,
		.has_guest_hash = true,
		.mem_size = o->mem_size,
		.argv = { argv, args->n_app + 1 },
		.kernel_args = o->kernel_args,
		.env = o->env,
		.cwd = (char *)(uintptr_t)o->cwd,
		.limits = o->limits,
		.utf8_paths = o->utf8_paths,
		.mounts = mounts,
		.n_mounts = o->n_mounts,
		.boot_time_ns = s->vm->boot_time_ns,
		.cpu = cpu,
		.cpuid = cpuid,
		.n_cpuid = special_cpuid(s, cpuid),
	};

	if (!argv || !mounts)
		return err_set(err, -ENOMEM, "out of memory");
	tree_hash(s->image, s->image_size, h.guest_hash);
	describe_cpu(s, cpu, sizeof(cpu));
	argv[0] = (char *)(uintptr_t)args->image_path;
	for (size_t i = 0; i < args->n_app; i++)
		argv[i + 1] = args->app[i];
	for (size_t i = 0; i < o->n_mounts; i++)
		mounts[i] = mount_of(&o->mounts[i], s->mount_is_file[i]);
	return trace_header_copy(header, &h) ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* What a trace may say is not yet what a command line would have been allowed to. */
static int check_header(const struct trace_header *header, struct err *err)
{
	if (!vm_mem_size_ok(header->mem_size))
		return err_set(err, -EINVAL, "guest RAM of %llu bytes: %s",
			(unsigned long long)header->mem_size, VM_MEM_SIZE_RULE);
	if (!header->argv.n)
		return err_set(err, -EINVAL, "no arguments: even the guest's name is missing");
	if (header->cwd && header->cwd[0] != '/')
		return err_set(err, -EINVAL, "the guest's directory does not begin with /");
	for (size_t i = 0; i < header->n_mounts; i++)
		if (header->mounts[i].guest[0] != '/')
			return err_set(err, -EINVAL,
				"mount %zu: the guest's path does not begin with /", i);
	return 0;
}

static int copy_mounts(struct vm_options *o, const struct trace_header *header)
{
	o->mounts = calloc(header->n_mounts + 1, sizeof(*o->mounts));
	if (!o->mounts)
		return -ENOMEM;
	for (; o->n_mounts < header->n_mounts; o->n_mounts++) {
		const struct trace_mount *from = &header->mounts[o->n_mounts];
		struct fileio_mount *to = &o->mounts[o->n_mounts];

		*to = (struct fileio_mount){ .host = strdup(from->host),
			.guest = strdup(from->guest),
			.writable = from->writable,
			.may_unlink = from->may_unlink,
			.no_hardlinks = from->no_hardlinks };
		if (!to->host || !to->guest) {
			o->n_mounts++;
			return -ENOMEM;
		}
	}
	return 0;
}

int session_from_header(struct session *s, const struct trace_header *header, struct err *err)
{
	struct vm_options *o = &s->options;
	int r = check_header(header, err);

	if (r)
		return r;
	s->header = calloc(1, sizeof(*s->header));
	if (!s->header || trace_header_copy(s->header, header) || copy_mounts(o, header))
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; !r && i < header->env.n; i++)
		r = strings_add(&o->env, header->env.list[i], err);
	for (size_t i = 0; !r && i < header->kernel_args.n; i++)
		r = strings_add(&o->kernel_args, header->kernel_args.list[i], err);
	o->mem_size = header->mem_size;
	o->cwd = s->header->cwd ? s->header->cwd : "/";
	o->limits = header->limits;
	o->utf8_paths = header->utf8_paths;
	o->deterministic = true;
	return r;
}
