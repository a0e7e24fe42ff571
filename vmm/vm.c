// SPDX-License-Identifier: ISC
/* The machine, put together from its parts, and the loop. Knows no port, no ABI, no backend. */
#include "vm.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "log.h"
#include "trace.h"

static void fill_ports(struct vm *vm)
{
	const struct guest_abi *abi = vm->abi;

	for (size_t i = 0; i < abi->n_legacy_ports; i++)
		for (unsigned port = abi->legacy_ports[i].first; port <= abi->legacy_ports[i].last;
			port++)
			vm->row_of_port[port] = VM_PORT_LEGACY;
	for (size_t i = 0; i < abi->n_rows; i++)
		vm->row_of_port[abi->rows[i].port] = (uint8_t)(i + 1);
}

static int create(struct vm *vm, const struct vm_config *config, struct err *err)
{
	struct cpu_state state;
	int r;

	r = elf_parse(config->image, config->image_size, &vm->image, err);
	if (!r)
		r = abi_find(
			&vm->image, config->mem_size, &vm->abi, &vm->abi_version, &vm->layout, err);
	if (r)
		return r;
	fill_ports(vm);
	r = gmem_init(&vm->mem, vm->layout.ram_gpa, config->mem_size);
	if (r)
		return err_set(err, r, "guest memory of %llu bytes: %s; give less with --mem",
			(unsigned long long)config->mem_size, strerror(-r));
	r = elf_place(&vm->image, &vm->mem, vm->layout.kernel_base, err);
	if (r)
		return r;
	r = backend_open(config->backend,
		&(struct backend_config){
			.mem = &vm->mem,
			.irqchip = vm->abi->irqchip,
			.plain_cpu = config->plain_cpu,
			.debug = config->debug,
			.cpuid = config->cpuid,
			.n_cpuid = config->n_cpuid,
			.want_paging = vm->abi->wants_paging(vm->abi_version),
			.port = hcall_port,
			.ctx = vm,
		},
		&vm->cpu, &vm->cpu_info, err);
	if (r)
		return r;
	vm->tsc_khz = config->tsc_khz ? config->tsc_khz : backend_tsc_khz(vm->cpu);
	r = vm->abi->boot(vm, &state, err);
	if (r)
		return r;
	r = backend_load(vm->cpu, &state);
	return r ? err_set(err, r, "first CPU state: %s", strerror(-r)) : 0;
}

/* What every machine begins with: who it is for, who answers, who watches. */
static struct vm *vm_new(const struct vm_args *args, struct fileio *files, struct trace_sink *sinks)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->args = *args;
	vm->files = files;
	vm->trace = sinks;
	vm->respond = hcall_answer_row;
	return vm;
}

/* Hands a machine over, or, when making it failed, takes it apart. */
static int vm_hand_over(struct vm *vm, int r, struct vm **out)
{
	if (r)
		vm_destroy(vm);
	else
		*out = vm;
	return r;
}

int vm_create(struct vm **out, const struct vm_config *config, struct err *err)
{
	struct vm *vm = vm_new(&config->args, config->files, config->sinks);

	if (!vm)
		return err_set(err, -ENOMEM, "out of memory");
	vm->boot_time_ns = config->boot_time_ns;
	return vm_hand_over(vm, create(vm, config, err), out);
}

static int create_script(struct vm *vm, const struct vm_script *script, struct err *err)
{
	int r = gmem_init(&vm->mem, script->ram_gpa, script->mem_size);

	if (r)
		return err_set(err, r, "guest memory: %s", strerror(-r));
	fill_ports(vm);
	return backend_script.create(&vm->cpu,
		&(struct backend_config){
			.mem = &vm->mem, .port = hcall_port, .ctx = vm, .next = script->next },
		err);
}

int vm_create_script(struct vm **out, const struct vm_script *script, struct err *err)
{
	struct vm *vm = vm_new(&script->args, script->files, script->sinks);

	if (!vm)
		return err_set(err, -ENOMEM, "out of memory");
	vm->abi = script->abi;
	vm->abi_version = script->abi_version;
	return vm_hand_over(vm, create_script(vm, script, err), out);
}

void vm_destroy(struct vm *vm)
{
	if (!vm)
		return;
	backend_destroy(vm->cpu);
	gmem_finish(&vm->mem);
	free(vm);
}

void vm_stop_set(struct vm *vm, enum vm_stop_kind kind, const char *format, ...)
{
	va_list args;

	vm->stop.kind = kind;
	va_start(args, format);
	vsnprintf(vm->stop.text, sizeof(vm->stop.text), format, args);
	va_end(args);
}

void vm_stop_exit(struct vm *vm, int code)
{
	vm->stop = (struct vm_stop){ .kind = VM_EXITED, .code = code };
}

static void stop_refused(struct vm *vm, const struct vcpu_exit *exit)
{
	char bytes[3 * sizeof(exit->insn) + 1] = "";

	for (size_t i = 0; i < exit->insn_len && i < sizeof(exit->insn); i++)
		snprintf(bytes + 3 * i, 4, " %02x", exit->insn[i]);
	vm_stop_set(vm, VM_CRASHED, "%s at RIP 0x%llx%s%s",
		exit->text ? exit->text : "instruction refused", (unsigned long long)exit->rip,
		bytes[0] ? "; bytes" : "", bytes);
}

/* What an exit that no call answered means for the machine. */
static void stop_for(struct vm *vm, const struct vcpu_exit *exit)
{
	switch (exit->kind) {
	case VCPU_PORT: /* hcall_port has said why */
		return;
	case VCPU_DEBUG:
		return vm_stop_set(vm, VM_DEBUG, "debug stop");
	case VCPU_KICKED:
		return vm_stop_set(vm, vm->kicked ? VM_KICKED : VM_PAUSED, "interrupted");
	case VCPU_SHUTDOWN:
		return vm_stop_set(vm, VM_CRASHED,
			"triple fault at RIP 0x%llx: an exception, and no handler of the guest's "
			"that works",
			(unsigned long long)exit->rip);
	case VCPU_HALT:
		return vm_stop_set(vm, VM_CRASHED,
			"halted at RIP 0x%llx with nothing that could wake it",
			(unsigned long long)exit->rip);
	case VCPU_REFUSED:
		return stop_refused(vm, exit);
	case VCPU_EXIT_COUNT:
		break;
	}
	vm_stop_set(vm, VM_FAILED, "backend %s: exit %d is not one we know", vm->cpu->ops->name,
		exit->kind);
}

/*
 * Looked at by vm_look: a CPU that sleeps in HLT with interrupts off never wakes, and only some backends
 * notice by themselves. Turns the kick into the halt that it is.
 */
static bool sleeps_for_ever(struct vm *vm)
{
	struct cpu_state state;

	if (backend_save(vm->cpu, &state) || !state.halted || (state.regs.rflags & CPU_RFLAGS_IF))
		return false;
	vm->exit = (struct vcpu_exit){ .kind = VCPU_HALT, .rip = state.regs.rip };
	return true;
}

/* The guest runs. A call that the last run stopped in is answered first. */
static void go_on(struct vm *vm)
{
	int r;

	if (vm->call_state != VM_CALL_NONE && !hcall_port(vm, &vm->exit))
		return;
	do
		r = backend_run(vm->cpu, &vm->exit);
	while (!r && vm->exit.kind == VCPU_KICKED && !vm->kicked && !vm->paused &&
		!sleeps_for_ever(vm));
	if (r)
		vm_stop_set(vm, VM_FAILED, "backend %s: %s", vm->cpu->ops->name, strerror(-r));
	else if (vm->stop.kind == VM_RUNNING)
		stop_for(vm, &vm->exit);
}

/* May it be run on? */
static bool is_break(const struct vm_stop *stop)
{
	return stop->kind == VM_DEBUG || stop->kind == VM_CALL || stop->kind == VM_PAUSED;
}

const struct vm_stop *vm_run(struct vm *vm)
{
	vm->stop = (struct vm_stop){ .kind = VM_RUNNING };
	if (vm->kicked || vm->paused)
		stop_for(vm, &(struct vcpu_exit){ .kind = VCPU_KICKED });
	else
		go_on(vm);
	/* One that came while it stopped for something else is for the next run. */
	if (vm->stop.kind == VM_KICKED || vm->stop.kind == VM_PAUSED)
		vm->kicked = vm->paused = 0;
	vm->stop.exit = vm->exit;
	for (struct trace_sink *s = vm->trace; s && !is_break(&vm->stop); s = s->next)
		s->emit(s, &(struct trace_event){ .kind = TRACE_STOP, .stop = &vm->stop });
	return &vm->stop;
}

void vm_look(struct vm *vm)
{
	if (vm->cpu->ops->sleeps)
		backend_kick(vm->cpu);
}

void vm_kick(struct vm *vm)
{
	vm->kicked = 1;
	backend_kick(vm->cpu);
}

void vm_pause(struct vm *vm)
{
	vm->paused = 1;
	backend_kick(vm->cpu);
}
