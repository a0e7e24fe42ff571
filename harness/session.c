// SPDX-License-Identifier: ISC
/* One run of a guest: made from options or from a trace's header, run under signals and a time limit. */
#include "session.h"

#include <argz.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "backend.h"
#include "cmd.h"
#include "core.h"
#include "elf_load.h"
#include "cleanup.h"
#include "err.h"
#include "fileio.h"
#include "filemap_path.h"
#include "gdb_server.h"
#include "inode.h"
#include "log.h"
#include "report.h"
#include "trace.h"

enum { HEARTBEAT_NS = 100000000, GUEST_UMASK = 022 };
#define HEARTBEAT SIGRTMIN

/* What signal handlers may know: whom to stop, why, and by when. */
static struct vm *volatile running_vm;
static volatile sig_atomic_t stop_signal, second_signal;
static volatile sig_atomic_t timed_out;
static volatile sig_atomic_t interrupted; /* calls that wait are to return */
static struct timespec deadline;          /* written before the heart beats; 0: none */

static void stop_running(int signum)
{
	if (!stop_signal)
		stop_signal = signum;
	interrupted = 1;
	if (running_vm)
		vm_kick(running_vm);
}

/* There is input for who drives. */
static void on_input(int signum)
{
	(void)signum;
	interrupted = 1;
	if (running_vm)
		vm_pause(running_vm);
}

static void on_signal(int signum)
{
	if (stop_signal)
		second_signal = signum;
	stop_running(signum);
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
		stop_running(signum);
	} else if (stop_signal && running_vm) {
		vm_kick(running_vm);
	} else if (running_vm) {
		vm_look(running_vm);
	}
}

void session_init(struct session *s)
{
	*s = (struct session){
		.strace_fd = -1, .console_in = STDIN_FILENO, .console_out = STDOUT_FILENO
	};
	vm_options_init(&s->options);
}

void session_finish(struct session *s)
{
	running_vm = NULL;
	gdb_server_free(s->gdb);
	if (timed_out) /* another session of this process has its own time; a signal is meant for both */
		stop_signal = timed_out = interrupted = 0;
	vm_destroy(s->vm);
	fileio_destroy(s->files);
	if (s->strace_fd >= 0)
		close(s->strace_fd);
	for (size_t i = 0; s->mount_dirs && i < s->options.n_mounts; i++)
		free(s->mount_dirs[i]);
	free(s->mount_dirs);
	free(s->mount_is_file);
	strings_finish(&s->own_args);
	free(s->image);
	vm_options_finish(&s->options);
	if (s->header)
		trace_header_finish(s->header);
	free(s->header);
}

/* A file that is still to be made is a file, too. A trace has it written down. */
static bool mount_is_file(const struct session *s, size_t i)
{
	struct stat st;

	if (s->header)
		return s->header->mounts[i].is_file;
	return stat(s->options.mounts[i].host, &st) || !S_ISDIR(st.st_mode);
}

/* A slash in front of each name and none at the end; "" is the root. NULL when out of memory. */
static char *clean_guest_path(const char *guest)
{
	char *path = malloc(strlen(guest) + 2), *to = path;
	struct filemap_name name;

	if (!path)
		return NULL;
	while (filemap_path_next(&guest, &name)) {
		if (filemap_name_is_dot(name))
			continue;
		*to++ = '/';
		to = mempcpy(to, name.text, name.len);
	}
	*to = 0;
	return path;
}

/* For the device tree: mapped directories, and the directories that mapped files are in; never "/". */
static int list_mount_dirs(struct session *s, struct vm_args *args, struct err *err)
{
	const struct vm_options *o = &s->options;

	s->mount_dirs = calloc(o->n_mounts + 1, sizeof(*s->mount_dirs));
	s->mount_is_file = calloc(o->n_mounts + 1, sizeof(*s->mount_is_file));
	if (!s->mount_dirs || !s->mount_is_file)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < o->n_mounts; i++) {
		char *dir = clean_guest_path(o->mounts[i].guest);
		bool seen = false;

		if (!dir)
			return err_set(err, -ENOMEM, "out of memory");
		s->mount_is_file[i] = mount_is_file(s, i);
		if (s->mount_is_file[i] && dir[0])
			*strrchr(dir, '/') = 0;
		for (size_t k = 0; k < args->n_mount_dirs; k++)
			seen |= !strcmp(s->mount_dirs[k], dir);
		if (seen || !dir[0])
			free(dir);
		else
			s->mount_dirs[args->n_mount_dirs++] = dir;
	}
	args->mount_dirs = s->mount_dirs;
	return 0;
}

static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat(path, &b) && same_inode(&a, &b);
}

static int open_strace(struct session *s, struct err *err)
{
	const char *file = s->options.strace_file;
	int fd = STDERR_FILENO;

	if (!s->options.strace)
		return 0;
	if (file) {
		fd = s->strace_fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
		if (fd < 0)
			return err_set(err, -errno, "--strace=%s: %m", file);
		if (same_file(fd, s->guest))
			return err_set(err, -EINVAL,
				"--strace=%s: is the guest itself; name another file", file);
		if (ftruncate(fd, 0) && errno != EINVAL) /* a pipe or a device has no length */
			return err_set(err, -errno, "--strace=%s: %m", file);
	}
	strace_init(&s->strace, fd);
	return 0;
}

static int check_core(const struct session *s, struct err *err)
{
	struct err why = { "" };
	int r = core_check(s->options.core_file, &why);

	return r ? err_set(err, r, "--core %s", why.text) : 0;
}

/* A guest that sees where scratch trees are made sees into other guests'. */
static void warn_of_scratch(const struct fileio_config *config)
{
	const char *tmp = getenv("TMPDIR");
	autofree char *scratch = realpath(tmp && *tmp ? tmp : "/tmp", NULL);

	for (size_t i = 0; scratch && i < config->n_mounts; i++) {
		autofree char *host = realpath(config->mounts[i].host, NULL);

		if (host && filemap_path_behind(scratch, host))
			log_warn("mount %s:%s: %s lies in it, where guests' private files are; set "
				 "TMPDIR to a directory that no guest sees",
				config->mounts[i].host, config->mounts[i].guest, scratch);
	}
}

static int open_files(struct session *s, struct fileio **files, struct err *err)
{
	struct fileio_config config = vm_options_files(&s->options);

	*files = NULL;
	if (s->no_files)
		return 0;
	config.console_in = s->console_in;
	config.console_out = s->console_out;
	config.stop = &interrupted;
	config.deterministic = s->options.deterministic;
	config.clock_ns = SESSION_CLOCK_NS;
	warn_of_scratch(&config);
	return fileio_init(files, &config, err);
}

/*
 * One that was ignored when we came (nohup, a job in the background) stays so. A write past a limit of ours is
 * an errno for the guest, not our end.
 */
void session_catch_signals(void)
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
	action.sa_handler = on_input;
	sigaction(SIGIO, &action, NULL);
	signal(SIGXFSZ, SIG_IGN);
}

static const char *without_directory(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void set_arguments(const struct session *s, struct vm_args *args)
{
	const struct vm_options *o = &s->options;

	args->image_path = o->deterministic ? without_directory(s->words[0]) : s->words[0];
	args->kernel = o->kernel_args.list;
	args->n_kernel = o->kernel_args.n;
	args->env = o->env.list;
	args->n_env = o->env.n;
	args->app = s->words + 1;
	args->n_app = s->n_words - 1;
	if (s->header) {
		args->image_path = s->header->argv.list[0];
		args->app = s->header->argv.list + 1;
		args->n_app = s->header->argv.n - 1;
	} else if (args->n_app && !strcmp(args->app[0], "--")) {
		args->app++;
		args->n_app--;
	}
}

static uint64_t clock_start_ns(const struct session *s)
{
	struct timespec now;

	if (s->header)
		return s->header->boot_time_ns;
	if (s->options.deterministic)
		return SESSION_CLOCK_NS;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void say_what_it_is(const struct vm *vm)
{
	log_info("backend %s: %s%s%s", vm->cpu->ops->name, vm->cpu_info.kind,
		vm->cpu_info.why[0] ? "; " : "", vm->cpu_info.why);
	log_debug("RAM 0x%llx-0x%llx, image 0x%llx-0x%llx, ABI %s v%d",
		(unsigned long long)vm->mem.gpa, (unsigned long long)(vm->mem.gpa + vm->mem.size),
		(unsigned long long)(vm->layout.kernel_base + vm->image.start),
		(unsigned long long)(vm->layout.kernel_base + vm->image.end), vm->abi->name,
		vm->abi_version);
	for (size_t i = 0; i < vm->args.n_mount_dirs; i++)
		log_debug("the guest is told of files in %s", vm->args.mount_dirs[i]);
}

/* The machine at its first instruction, with its files. */
static int make_machine(struct session *s, struct fileio **files, struct vm **vm, struct err *err)
{
	const struct vm_options *o = &s->options;
	struct vm_config config = {
		.backend = o->backend,
		.mem_size = o->mem_size,
		.image = s->image,
		.image_size = s->image_size,
		.args = s->args,
		.boot_time_ns = clock_start_ns(s),
		.tsc_khz = o->deterministic ? BACKEND_TSC_KHZ : 0,
		.plain_cpu = o->deterministic,
		.debug = s->gdb != NULL,
	};
	int r = open_files(s, files, err);

	if (r)
		return r;
	config.files = *files;
	if (s->header) {
		config.cpuid = s->header->cpuid;
		config.n_cpuid = s->header->n_cpuid;
	}
	r = vm_create(vm, &config, err);
	if (!r && s->respond) {
		(*vm)->respond = s->respond;
		(*vm)->respond_ctx = s->respond_ctx;
	}
	return r;
}

int session_prepare(struct session *s, char **words, size_t n_words, struct err *err)
{
	const struct vm_options *o = &s->options;
	int r;

	session_catch_signals();
	s->guest = words[0];
	s->words = words;
	s->n_words = n_words;
	set_arguments(s, &s->args);
	r = vm_options_check(o, s->guest, err);
	if (!r)
		r = elf_read_file(s->guest, &s->image, &s->image_size, err);
	if (!r && o->core_file)
		r = check_core(s, err);
	if (!r)
		r = open_strace(s, err);
	if (!r && o->gdb)
		r = gdb_server_new(&s->gdb, s, o->gdb, s->gdb_waits, err);
	umask(GUEST_UMASK);
	if (!r)
		r = list_mount_dirs(s, &s->args, err);
	if (!r)
		r = make_machine(s, &s->files, &s->vm, err);
	if (!r)
		say_what_it_is(s->vm);
	return r;
}

int session_restart(struct session *s, const char *args, size_t len, struct err *err)
{
	struct fileio *files = NULL;
	struct vm *vm = NULL;
	struct strings own = { NULL, 0 };
	struct vm_args before = s->args;
	int r = 0;

	if (s->sinks || s->no_files)
		return err_set(err, -EOPNOTSUPP, "a recording is of one run from beginning to end");
	for (const char *arg = len ? args : NULL; !r && arg; arg = argz_next(args, len, arg))
		r = strings_add(&own, arg, err);
	set_arguments(s, &s->args);
	if (len) {
		s->args.app = own.list;
		s->args.n_app = own.n;
	}
	if (!r)
		r = make_machine(s, &files, &vm, err);
	if (r) {
		s->args = before;
		strings_finish(&own);
		fileio_destroy(files);
		return r;
	}
	vm->trace = s->options.strace ? &s->strace.sink : NULL;
	running_vm = vm;
	vm_destroy(s->vm);
	fileio_destroy(s->files);
	strings_finish(&s->own_args);
	s->vm = vm;
	s->files = files;
	s->own_args = own;
	return 0;
}

static struct timespec ms_from_now(uint64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(ms / 1000);
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static int start_heart(const struct session *s, timer_t *timer)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = HEARTBEAT };
	struct itimerspec beat = { { 0, HEARTBEAT_NS }, { 0, HEARTBEAT_NS } };
	uint64_t ms = s->options.timeout_ms;

	deadline = ms ? ms_from_now(ms) : (struct timespec){ 0 };
	if (ms && ms * 1000000 < HEARTBEAT_NS)
		beat.it_value.tv_nsec = (long)ms * 1000000;
	running_vm = s->vm;
	if (timer_create(CLOCK_MONOTONIC, &event, timer))
		return -errno;
	return timer_settime(*timer, 0, &beat, NULL) ? -errno : 0;
}

const struct vm_stop *session_run(struct session *s)
{
	const struct vm_stop *stop;
	timer_t timer;

	s->strace.sink.next = s->sinks;
	s->vm->trace = s->options.strace ? &s->strace.sink : s->sinks;
	if (start_heart(s, &timer)) {
		vm_stop_set(s->vm, VM_FAILED, "timer: %m");
		return &s->vm->stop;
	}
	if (stop_signal)
		vm_kick(s->vm); /* it came before there was anybody to tell */
	stop = s->drive ? s->drive(s->drive_ctx, s->vm) : vm_run(s->vm);
	timer_delete(timer);
	return stop;
}

/* A core that cannot be written is said, and is not what the run ends with. */
static void write_core(struct session *s, int signal)
{
	const char *file = s->options.core_file;
	struct core_size size;
	struct err err = { "" };

	if (!file)
		return;
	if (core_write_vm(s->vm, signal, file, session_signal(), &size, &err))
		return log_error("--core: %s", err.text);
	if (size.cut)
		log_warn("%s: the page tables map more than %zu ranges; the rest is left out", file,
			size.ranges);
	fprintf(stderr, "  core: gdb %s %s\n", s->guest, file);
}

int session_exit_code(struct session *s, const struct vm_stop *stop)
{
	if (stop && stop->kind == VM_EXITED)
		return stop->code & 0xff;
	if (stop && timed_out) {
		log_error("%s: still running after %llu.%03llu s; stopped", s->guest,
			(unsigned long long)s->options.timeout_ms / 1000,
			(unsigned long long)s->options.timeout_ms % 1000);
		return EXIT_TIME_LIMIT;
	}
	if (s->ended_by_debugger) {
		log_warn("%s: %s", s->guest, s->ended_by_debugger);
		return EXIT_KILLED;
	}
	if (stop_signal) /* tidy up, then die of it, so that the parent sees why */
		return -stop_signal;
	if (!stop)
		return EXIT_OURS;
	if (stop->kind == VM_CRASHED) {
		write_core(s, report_crash(s->vm));
		return EXIT_CRASHED;
	}
	log_error("%s: %s", s->guest, stop->text);
	return EXIT_OURS;
}

int session_run_guest(struct session *s, char **words, size_t n_words)
{
	struct err err = { "" };

	if (session_prepare(s, words, n_words, &err)) {
		log_error("%s: %s", words[0], err.text);
		return session_exit_code(s, NULL);
	}
	return session_exit_code(s, session_run(s));
}

int session_die(int code)
{
	if (code < 0) {
		signal(-code, SIG_DFL);
		raise(-code);
	}
	return code;
}

const volatile sig_atomic_t *session_signal(void)
{
	return stop_signal ? &second_signal : &stop_signal;
}

bool session_stopping(void)
{
	return stop_signal;
}

bool session_watch(int fd, bool on)
{
	struct f_owner_ex owner = { F_OWNER_TID, gettid() };
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETOWN_EX, &owner))
		return false;
	return !fcntl(fd, F_SETFL, on ? flags | O_ASYNC : flags & ~O_ASYNC);
}

void session_go_on(void)
{
	interrupted = stop_signal != 0;
}

void session_stop(struct session *s, const char *why)
{
	snprintf(s->stopped, sizeof(s->stopped), "%s", why);
	vm_kick(s->vm);
}

void session_why(const struct session *s, const struct vm_stop *stop, char *line, size_t size)
{
	bool kicked = stop->kind == VM_KICKED;

	if (kicked && s->stopped[0])
		snprintf(line, size, "The recording failed: %s.\n", s->stopped);
	else if (kicked && timed_out && s->options.timeout_ms)
		snprintf(line, size, "The time limit of %llu ms is over.\n",
			(unsigned long long)s->options.timeout_ms);
	else if (kicked && stop_signal && !timed_out)
		snprintf(line, size, "belljar is told to end: %s.\n", sigdescr_np(stop_signal));
	else
		snprintf(line, size, "%s\n", stop->text);
}

void session_hurry(struct session *s, unsigned ms)
{
	sigset_t beat, before;

	(void)s;
	sigemptyset(&beat);
	sigaddset(&beat, HEARTBEAT);
	pthread_sigmask(SIG_BLOCK, &beat, &before);
	deadline = ms_from_now(ms);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}
