// SPDX-License-Identifier: ISC
/* belljar run: boot a guest, answer its hypercalls from the mapped files, exit with its code. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cleanup.h"
#include "cmd.h"
#include "elf_load.h"
#include "err.h"
#include "fileio.h"
#include "log.h"
#include "report.h"
#include "strace.h"
#include "vm.h"

enum { HEARTBEAT_NS = 100000000, GUEST_UMASK = 022 };
#define HEARTBEAT SIGRTMIN

/* What signal handlers may know: whom to stop, why, and by when. */
static struct vm *volatile running_vm;
static volatile sig_atomic_t stop_signal;
static volatile sig_atomic_t timed_out;
static struct timespec deadline; /* written before the heart beats; 0: none */

static void on_signal(int signum)
{
	if (!stop_signal)
		stop_signal = signum;
	if (running_vm)
		vm_kick(running_vm);
}

/*
 * Ten times a second: is it time? Kicks again and again, for a kick may fall between the last look
 * and a read that blocks; and wakes a CPU that sleeps in HLT, to see whether anything could.
 */
static void on_heartbeat(int signum)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (deadline.tv_sec &&
		(now.tv_sec > deadline.tv_sec ||
			(now.tv_sec == deadline.tv_sec && now.tv_nsec >= deadline.tv_nsec))) {
		timed_out = 1;
		on_signal(signum);
	} else if (stop_signal && running_vm) {
		vm_kick(running_vm);
	} else if (running_vm) {
		vm_look(running_vm);
	}
}

/* One run: everything it owns. */
struct run {
	struct vm_options options;
	uint8_t *image;
	size_t image_size;
	struct fileio *files;
	struct strace strace;
	int strace_fd;
	struct vm *vm;
	char **mount_dirs;
};

static void run_finish(struct run *run)
{
	running_vm = NULL;
	vm_destroy(run->vm);
	fileio_destroy(run->files);
	if (run->strace_fd >= 0)
		close(run->strace_fd);
	for (size_t i = 0; run->mount_dirs && i < run->options.n_mounts; i++)
		free(run->mount_dirs[i]);
	free(run->mount_dirs);
	free(run->image);
	vm_options_finish(&run->options);
}

/* For the device tree: mapped directories, and the directories that mapped files are in; never "/". */
static int list_mount_dirs(struct run *run, struct vm_args *args, struct err *err)
{
	struct vm_options *o = &run->options;

	run->mount_dirs = calloc(o->n_mounts + 1, sizeof(*run->mount_dirs));
	if (!run->mount_dirs)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < o->n_mounts; i++) {
		char *dir = strdup(o->mounts[i].guest);
		struct stat st;
		bool seen = false;

		if (!dir)
			return err_set(err, -ENOMEM, "out of memory");
		/* A file that is still to be made is a file, too. */
		if (stat(o->mounts[i].host, &st) || !S_ISDIR(st.st_mode))
			*strrchr(dir, '/') = 0;
		for (size_t k = 0; k < args->n_mount_dirs; k++)
			seen |= !strcmp(run->mount_dirs[k], dir);
		if (seen || !dir[0] || !strcmp(dir, "/"))
			free(dir);
		else
			run->mount_dirs[args->n_mount_dirs++] = dir;
	}
	args->mount_dirs = run->mount_dirs;
	return 0;
}

static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int open_strace(struct run *run, const char *image, struct err *err)
{
	const char *file = run->options.strace_file;
	int fd = STDERR_FILENO;

	if (!run->options.strace)
		return 0;
	if (file) {
		fd = run->strace_fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
		if (fd < 0)
			return err_set(err, -errno, "--strace=%s: %m", file);
		if (same_file(fd, image))
			return err_set(err, -EINVAL,
				"--strace=%s: is the guest itself; name another file", file);
		if (ftruncate(fd, 0) && errno != EINVAL) /* a pipe or a device has no length */
			return err_set(err, -errno, "--strace=%s: %m", file);
	}
	strace_init(&run->strace, fd);
	return 0;
}

static int prepare(struct run *run, char **words, size_t n_words, struct err *err)
{
	struct vm_options *o = &run->options;
	struct timespec now;
	struct vm_config config = {
		.backend = o->backend,
		.mem_size = o->mem_size,
		.args = { .image_path = words[0],
			.kernel = o->kernel_args.list,
			.n_kernel = o->kernel_args.n,
			.app = words + 1,
			.n_app = n_words - 1,
			.env = o->env.list,
			.n_env = o->env.n },
		.sinks = o->strace ? &run->strace.sink : NULL,
	};
	int r;

	if (config.args.n_app && !strcmp(config.args.app[0], "--")) {
		config.args.app++;
		config.args.n_app--;
	}
	r = elf_read_file(words[0], &run->image, &run->image_size, err);
	if (!r)
		r = open_strace(run, words[0], err);
	umask(GUEST_UMASK);
	if (!r)
		r = list_mount_dirs(run, &config.args, err);
	if (!r)
		r = fileio_init(&run->files,
			&(struct fileio_config){
				.mounts = o->mounts,
				.n_mounts = o->n_mounts,
				.cwd = o->cwd,
				.console_in = STDIN_FILENO,
				.console_out = STDOUT_FILENO,
				.stop = &stop_signal,
			},
			err);
	if (r)
		return r;
	clock_gettime(CLOCK_REALTIME, &now);
	config.image = run->image;
	config.image_size = run->image_size;
	config.files = run->files;
	config.boot_time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	return vm_create(&run->vm, &config, err);
}

/*
 * Signals end the run in good order: caught from before anything is made that must be removed. One that
 * was ignored when we came (nohup, a job in the background) stays so. A write past a limit of ours is
 * an errno for the guest, not our end.
 */
static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGALRM, SIGUSR1,
		SIGUSR2 };
	struct sigaction action = { .sa_handler = on_signal },
			 old; /* no SA_RESTART: reads must end */

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	action.sa_handler = on_heartbeat;
	sigaction(HEARTBEAT, &action, NULL);
	signal(SIGXFSZ, SIG_IGN);
}

static int start_heart(const struct run *run, timer_t *timer, struct err *err)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = HEARTBEAT };
	struct itimerspec beat = { { 0, HEARTBEAT_NS }, { 0, HEARTBEAT_NS } };
	uint64_t ms = run->options.timeout_ms;

	if (ms) {
		clock_gettime(CLOCK_MONOTONIC, &deadline);
		deadline.tv_sec += (time_t)(ms / 1000);
		deadline.tv_nsec += (long)(ms % 1000) * 1000000;
		deadline.tv_sec += deadline.tv_nsec / 1000000000;
		deadline.tv_nsec %= 1000000000;
		if (ms * 1000000 < HEARTBEAT_NS)
			beat.it_value.tv_nsec = (long)ms * 1000000;
	}
	running_vm = run->vm;
	if (timer_create(CLOCK_MONOTONIC, &event, timer) || timer_settime(*timer, 0, &beat, NULL))
		return err_set(err, -errno, "timer: %m");
	return 0;
}

static int exit_code(struct run *run, const struct vm_stop *stop)
{
	if (stop->kind == VM_EXITED)
		return stop->code & 0xff;
	if (timed_out) {
		log_error("%s: still running after %llu.%03llu s; stopped",
			run->vm->args.image_path,
			(unsigned long long)run->options.timeout_ms / 1000,
			(unsigned long long)run->options.timeout_ms % 1000);
		return EXIT_TIME_LIMIT;
	}
	if (stop_signal) /* tidy up, then die of it, so that the parent sees why */
		return -stop_signal;
	if (stop->kind == VM_CRASHED) {
		report_crash(run->vm);
		return EXIT_CRASHED;
	}
	log_error("%s: %s", run->vm->args.image_path, stop->text);
	return EXIT_OURS;
}

static int run_guest(struct run *run, char **words, size_t n_words)
{
	struct err err = { "" };
	const struct vm_stop *stop;
	const struct vm *vm;
	timer_t timer;

	catch_signals();
	if (prepare(run, words, n_words, &err)) {
		log_error("%s: %s", words[0], err.text);
		return stop_signal ? -stop_signal : EXIT_OURS;
	}
	vm = run->vm;
	log_info("backend %s: %s%s%s", vm->cpu->ops->name, vm->cpu_info.kind,
		vm->cpu_info.why[0] ? "; " : "", vm->cpu_info.why);
	log_debug("RAM 0x%llx-0x%llx, image 0x%llx-0x%llx, ABI %s v%d",
		(unsigned long long)vm->mem.gpa, (unsigned long long)(vm->mem.gpa + vm->mem.size),
		(unsigned long long)(vm->layout.kernel_base + vm->image.start),
		(unsigned long long)(vm->layout.kernel_base + vm->image.end), vm->abi->name,
		vm->abi_version);
	for (size_t i = 0; i < vm->args.n_mount_dirs; i++)
		log_debug("the guest is told of files in %s", vm->args.mount_dirs[i]);
	if (start_heart(run, &timer, &err)) {
		log_error("%s", err.text);
		return EXIT_OURS;
	}
	if (stop_signal)
		vm_kick(run->vm); /* it came before there was anybody to tell */
	stop = vm_run(run->vm);
	timer_delete(timer);
	return exit_code(run, stop);
}

static int cmd_run_main(const struct cmd *cmd, int argc, char **argv)
{
	struct run run = { .strace_fd = -1 };
	struct err err = { "" };
	int first, code, r;

	vm_options_init(&run.options);
	r = options_parse(cmd->options, &run.options, argc, argv, &first, &err);
	if (!r && first == argc)
		r = err_set(&err, -EINVAL, "no guest given");
	if (r)
		code = r > 0 ? cmd_help(cmd) : cmd_usage(cmd, &err);
	else
		code = run_guest(&run, argv + first, (size_t)(argc - first));
	run_finish(&run);
	if (code < 0) {
		signal(-code, SIG_DFL);
		raise(-code);
	}
	return code;
}

const struct cmd cmd_run = {
	.name = "run",
	.synopsis = "[OPTIONS] GUEST [--] [ARGS...]",
	.summary = "Boot a guest, answer its hypercalls, exit with its code",
	.options = vm_option_rows,
	.notes = "GUEST is a Hermit/Uhyve image (`belljar inspect` says what an image is). Options "
		 "come\n"
		 "before it; what follows it are its own arguments. Its console is standard input "
		 "and\n"
		 "output; belljar itself speaks on standard error.\n\n"
		 "Example:\n"
		 "  belljar run --strace --mount ./data:/data --mount ./out:/out:rw guest.elf -- "
		 "/data/x",
	.run = cmd_run_main,
};
