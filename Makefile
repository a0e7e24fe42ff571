# One file. MODE=rel|dbg|asan|cov picks flags and build/$(MODE)/; V=1 shows commands; CC=clang works.
# MODE=afl|aflcmp|aflasan|libfuzzer|ossfuzz: what fuzzing engines run; scripts/fuzz picks among them.
MODE    ?= rel
V       ?= 0
PREFIX  ?= /usr/local
DESTDIR ?=
B       := build/$(MODE)
Q       := $(if $(filter 1,$(V)),,@)
say      = $(if $(filter 1,$(V)),,@printf '  %-6s %s\n' $(1) $(2))

ifeq ($(origin CC),default)
CC := gcc
endif

# A row per mode: flags; of those that feed fuzz targets also the compiler and what links the engine's main
# instead of fuzz/replay_main.c. Of ossfuzz both come from its environment.
MODES     := rel dbg asan cov afl aflcmp aflasan libfuzzer ossfuzz
sanitize  := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
flags_rel       := -O2 -g
flags_dbg       := -O0 -g3
flags_asan      := $(sanitize)
flags_cov       := -O0 -g --coverage -fprofile-update=atomic
flags_afl       := -O2 -g
flags_aflcmp    := -O2 -g
flags_aflasan   := $(sanitize)
flags_libfuzzer := $(sanitize) -fsanitize=fuzzer-no-link
engine_afl       := -fsanitize=fuzzer
engine_aflcmp    := -fsanitize=fuzzer
engine_aflasan   := -fsanitize=fuzzer
engine_libfuzzer := -fsanitize=fuzzer
engine_ossfuzz   := $(LIB_FUZZING_ENGINE) -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/lib'
cc_afl       := afl-clang-fast
cc_aflcmp    := afl-clang-fast
cc_aflasan   := afl-clang-fast
cc_libfuzzer := clang
ifeq ($(filter $(MODE),$(MODES)),)
$(error MODE=$(MODE): one of $(MODES))
endif
ifneq ($(cc_$(MODE)),)
override CC := $(cc_$(MODE))
endif
export AFL_QUIET := 1
export AFL_LLVM_DENYLIST := $(CURDIR)/fuzz/denylist
ifeq ($(MODE),aflcmp)
export AFL_LLVM_CMPLOG := 1
endif

# What compiles needs a compiler; demo and check install it, the others say what is missing.
ifneq ($(filter-out demo check coverage clean help fuzz fuzz-triage fuzz-cmin,$(or $(MAKECMDGOALS),build)),)
ifeq ($(shell command -v $(CC)),)
$(error $(CC) is not installed; $(if $(filter afl-%,$(CC)),as root: apt-get install afl++,scripts/setup build installs what is needed))
endif
endif

NM       ?= nm
OBJCOPY  ?= objcopy
VERSION  := 0.1.0
WARN     := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes $(if $(CI),-Werror)
override CPPFLAGS += -D_GNU_SOURCE -DBELLJAR_VERSION='"$(VERSION)"' -I. -Ivmm -Iharness -Ifuzz/lib
CFLAGS   += -std=gnu17 $(WARN) $(flags_$(MODE))
LDFLAGS  += $(flags_$(MODE))
LDLIBS   += -lelf -ldw -lunicorn -lfdt -lnettle -lcbor -lpthread

vmm_src     := $(wildcard vmm/*.c)
harness_src := $(filter-out harness/main.c,$(wildcard harness/*.c))
test_src    := $(wildcard tests/test_*.c)
lib_obj     := $(vmm_src:%.c=$(B)/%.o)
har_obj     := $(harness_src:%.c=$(B)/%.o)
main_obj    := $(B)/harness/main.o
test_bin    := $(test_src:tests/%.c=$(B)/tests/%)
bench_bin   := $(patsubst %.c,$(B)/%,$(wildcard tests/bench*.c))
fuzz_src    := $(wildcard fuzz/fuzz_*.c)
fuzz_bin    := $(fuzz_src:%.c=$(B)/%)
fuzz_main   := $(if $(engine_$(MODE)),,$(B)/fuzz/replay_main.o)
fuzz_lib    := $(patsubst %.c,$(B)/%.o,$(wildcard fuzz/lib/*.c))
fuzz_ld     := $(if $(filter ossfuzz,$(MODE)),$(CXX) $(CXXFLAGS),$(CC))
obj         := $(lib_obj) $(har_obj) $(main_obj) $(test_src:%.c=$(B)/%.o) $(fuzz_src:%.c=$(B)/%.o) \
	       $(fuzz_lib) $(B)/fuzz/replay_main.o $(B)/fuzz/empty.o $(bench_bin:%=%.o)

.PHONY: all build
.DEFAULT_GOAL := all
all: build
build: $(B)/belljar
	@:

$(B)/belljar: $(main_obj) $(B)/libharness.a $(B)/libvmm.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/libvmm.a: $(lib_obj)
$(B)/libharness.a: $(har_obj)
$(B)/%.a:
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D) && rm -f $@ && ar crs $@ $^

# Another compiler or other flags make everything anew.
compiler := $(CC) $(CPPFLAGS) $(CFLAGS)
$(B)/compiler: FORCE
	@mkdir -p $(@D) && echo '$(subst ','\'',$(compiler))' | cmp -s - $@ || echo '$(subst ','\'',$(compiler))' >$@
.PHONY: FORCE
FORCE:

$(B)/%.o: %.c $(B)/compiler
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Linked in as it is.
$(B)/harness/trace_html.o: harness/html/page.html

$(bench_bin): %: %.o $(B)/libharness.a $(B)/libvmm.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# What fuzz targets and their tests share.
$(B)/libfuzz.a: $(fuzz_lib)

$(B)/tests/%: $(B)/tests/%.o $(B)/libfuzz.a $(B)/libharness.a $(B)/libvmm.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcunit

# Failures made to order: the same objects, but what may fail in our libraries is called through the wrappers
# of tests/fault.c, and so are in the tests the calls that give things back.
# Not those that count rounds against the clock or bytes of the heap, or hold ours against the kernel, nor those
# of the fuzz targets.
fault_not := races filemap_path oracle model fuzz_%
fault_bin := $(patsubst %,$(B)/fault/fault_%,$(filter-out $(fault_not),$(test_src:tests/test_%.c=%)))
fault_run := $(B)/tests/fault.o $(B)/tests/fault_unit.o
obj       += $(fault_run)

$(B)/fault/calls: $(B)/tests/fault.o
	$(Q)mkdir -p $(@D) && $(NM) -g --defined-only $< | sed -nE 's/.* T (fault_(call|both)_(.*))/\3 \1/p' >$@
$(B)/fault/gives: $(fault_run)
	$(Q)mkdir -p $(@D) && $(NM) -g --defined-only $^ | sed -nE 's/.* T (fault_both_(.*))/\2 \1/p' >$@
$(B)/fault/%.a: $(B)/%.a $(B)/fault/calls
	$(call say,FAULT,$@)
	$(Q)$(OBJCOPY) --redefine-syms=$(B)/fault/calls $< $@
$(B)/fault/%.o: $(B)/tests/%.o $(B)/fault/gives
	$(Q)$(OBJCOPY) --redefine-syms=$(B)/fault/gives $< $@
$(B)/fault/fault_%: $(B)/fault/test_%.o $(fault_run) $(B)/libfuzz.a $(B)/fault/libharness.a $(B)/fault/libvmm.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcunit
.PRECIOUS: $(B)/fault/%.o $(B)/fault/%.a

# A fuzz target is one LLVMFuzzerTestOneInput, linked with what fuzz targets share, and with the mode's engine
# or, where there is none, with a main that replays files.
fuzz_link = $(fuzz_ld) $(LDFLAGS) -o $@ $^ $(engine_$(MODE)) $(LDLIBS)
$(B)/fuzz/fuzz_%: $(B)/fuzz/fuzz_%.o $(fuzz_main) $(B)/libfuzz.a $(B)/libharness.a $(B)/libvmm.a
	$(call say,LD,$@)
	$(Q)$(fuzz_link)

# What an engine does without a target: the measure of how fast one can be.
$(B)/fuzz/empty: $(B)/fuzz/empty.o $(fuzz_main)
	$(call say,LD,$@)
	$(Q)$(fuzz_link)

# What a recipe makes, it makes on all CPUs, unless make was told how.
at_once = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

# Coverage: counters are written by what ends without exit(), too.
ifeq ($(MODE),cov)
cov_wrap := _exit chroot setrlimit sigaction signal
LDFLAGS  += $(cov_wrap:%=-Wl,--wrap=%) $(B)/tests/coverage.o
obj      += $(B)/tests/coverage.o
$(B)/libvmm.a $(B)/fuzz/empty: | $(B)/tests/coverage.o
endif
.PHONY: coverage
coverage:
	@scripts/setup coverage
	@$(MAKE) $(at_once) --no-print-directory MODE=cov build tests
	@scripts/coverage

# The guests: one image for each ABI generation, and the same bytes whatever MODE is. Not the host's
# program, so nothing of CFLAGS and CPPFLAGS reaches them.
guest_src   := $(wildcard kernels/*.c)
guest_rt    := $(patsubst %.c,$(B)/%.o,$(filter-out kernels/rt/abi_%,$(wildcard kernels/rt/*.c)))
guest_rt    += $(B)/kernels/rt/start.o
guest_names := $(guest_src:%.c=$(B)/%)
guests      := $(guest_names:%=%.elf) $(guest_names:%=%-v1.elf)
guest_obj   := $(guest_names:%=%.o) $(guest_rt) $(foreach v,v1 v2,$(B)/kernels/rt/abi_$(v).o $(B)/kernels/rt/notes_$(v).o)

GUEST_CC     := $(patsubst afl-%,gcc,$(CC))
guest_opt    := -O2
guest_fpu     = -mgeneral-regs-only
guest_flags   = -std=gnu17 $(WARN) $(guest_opt) -g -Ivmm -Ikernels/rt -ffreestanding -fpie -fvisibility=hidden \
		-march=x86-64 -mno-red-zone -fno-stack-protector -fcf-protection=none $(guest_fpu) \
		-fno-omit-frame-pointer -mno-omit-leaf-frame-pointer -fno-optimize-sibling-calls \
		-fasynchronous-unwind-tables '-ffile-prefix-map=$(CURDIR)=.'
guest_ldflags := -m elf_x86_64 -T kernels/rt/guest.ld -z noexecstack -z norelro -z max-page-size=4096 \
		--build-id=none --hash-style=gnu
$(B)/kernels/floats.o: guest_fpu =

.PHONY: guests
build: guests
guests: $(guests)

$(B)/kernels/%.o: kernels/%.c $(B)/compiler
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(GUEST_CC) $(guest_flags) -MMD -MP -c -o $@ $<

$(B)/kernels/%.o: kernels/%.S $(B)/compiler
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D) && $(GUEST_CC) $(guest_flags) -g0 -MMD -MP -c -o $@ $<

# The ABI's mark in the ELF header, EI_OSABI = 255, is one ld cannot be asked for.
guest_link = $(LD) $(guest_ldflags) $(1) -o $@ $(filter %.o,$^) && printf '\377' | dd of=$@ bs=1 seek=7 conv=notrunc status=none

$(B)/kernels/%.elf: $(B)/kernels/%.o $(B)/kernels/rt/notes_v2.o $(B)/kernels/rt/abi_v2.o $(guest_rt) kernels/rt/guest.ld
	$(call say,LD,$@)
	$(Q)$(call guest_link,-pie --no-dynamic-linker -z text)

$(B)/kernels/%-v1.elf: $(B)/kernels/%.o $(B)/kernels/rt/notes_v1.o $(B)/kernels/rt/abi_v1.o $(guest_rt) kernels/rt/guest.ld
	$(call say,LD,$@)
	$(Q)$(call guest_link,-Ttext-segment=0x200000)

.SECONDARY: $(guest_obj)
-include $(guest_obj:.o=.d)

# What debuggers are measured on: one image, at its link addresses, that belljar runs as a Hermit kernel and QEMU by PVH.
# At -O1 the lines of its source are still told apart.
gdb_guest     := $(B)/tests/gdb_guest/guest.elf
gdb_guest_obj := $(B)/tests/gdb_guest/main.o $(B)/tests/gdb_guest/start.o
$(B)/tests/gdb_guest/%.o: tests/gdb_guest/%.c $(B)/compiler
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(GUEST_CC) $(filter-out -fpie,$(guest_flags)) -O1 -fno-pic -MMD -MP -c -o $@ $<

$(B)/tests/gdb_guest/%.o: tests/gdb_guest/%.S $(B)/compiler
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D) && $(GUEST_CC) $(guest_flags) -g0 -MMD -MP -c -o $@ $<

$(gdb_guest): $(gdb_guest_obj) kernels/rt/guest.ld
	$(call say,LD,$@)
	$(Q)$(call guest_link,-Ttext-segment=0x200000)
-include $(gdb_guest_obj:.o=.d)

# belljar's stub beside QEMU's, which this installs. ROUNDS=9, ONLY="step memory": what the script says of them.
.PHONY: bench-gdb
bench-gdb:
	@scripts/setup bench-gdb
	@$(MAKE) $(at_once) --no-print-directory build $(gdb_guest)
	@scripts/bench-gdb $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only '$(ONLY)') $(B)/belljar $(gdb_guest)

# GDB's own test suite. BACKEND=kvm, ONLY="break watchpoint": what the script says of them.
.PHONY: gdb-suite
gdb-suite:
	@scripts/setup gdb-suite
	@$(MAKE) $(at_once) --no-print-directory $(B)/belljar
	@scripts/gdb-suite --belljar $(B)/belljar $(if $(BACKEND),--backend $(BACKEND)) $(if $(ONLY),--only '$(ONLY)')

# What a user types. Names that are folders too, hence .PHONY.
.PHONY: demo check bench install clean tests faults golden kernels scripts help
e2e := $(sort $(wildcard tests/e2e_*.sh))

help:
	@echo 'make demo     install what is missing, build, show what belljar does'
	@echo 'make check    install what is missing, build, run every test; [JOBS=N] at once'
	@echo 'make          build $(B)/belljar and the guests in $(B)/kernels'
	@echo 'make coverage what the tests reach, and whether that is enough: build/cov/report/index.html'
	@echo 'make golden   check the golden traces alone'
	@echo 'make bench    speed, as ratios measured side by side'
	@echo 'make bench-gdb  the debugger: ours beside that of QEMU, which is installed for it'
	@echo 'make gdb-suite  the test suite of GDB itself, which is fetched; [BACKEND=kvm] [ONLY="FILE ..."]'
	@echo 'make mutate   small mistakes put into the parsers: do the tests notice?'
	@echo 'make install  program, man page, completion, Wireshark dissector below PREFIX=$(PREFIX)'
	@echo 'make fuzz     the fuzz targets; TARGET=NAME [TIME=60] [JOBS=2] [ENGINE=afl|libfuzzer] runs one'
	@echo 'make fuzz-triage, fuzz-cmin   [TARGET=NAME] what was found: sorted into causes, kept as a small corpus'
	@echo 'MODE=rel|dbg|asan|cov, CC=gcc|clang, V=1 shows commands'

demo:
	@scripts/setup build
	@$(MAKE) $(at_once) --no-print-directory build
	@scripts/demo $(B)

check:
	@scripts/setup check
	@$(MAKE) $(at_once) --no-print-directory build tests
	@scripts/check $(B) scripts/check-layers scripts/check-warnings $(test_bin) $(fault_bin) $(e2e)

bench: build $(bench_bin)
	@scripts/bench $(B)

tests: $(test_bin) $(fuzz_bin) $(fault_bin)

# Every call of every kind, where check fails one of each site: an hour or so.
faults: build tests
	@FAULT_ALL=1 TEST_SECONDS=7200 scripts/check $(B) $(fault_bin)

kernels: guests

# The scripts build what they need, in the modes they need.
.PHONY: fuzz fuzz-triage fuzz-cmin fuzz-targets
TIME   ?= 60
JOBS   ?= 2
ENGINE ?= afl
fuzz:
	@scripts/fuzz $(if $(TARGET),--engine '$(ENGINE)' --time '$(TIME)' --jobs '$(JOBS)' '$(TARGET)')

fuzz-triage:
	@scripts/fuzz-triage $(TARGET)

fuzz-cmin:
	@scripts/fuzz-cmin $(TARGET)

fuzz-targets: $(fuzz_bin)

# On your own machine also writes what differs to golden/NAME.bjt.new, for `belljar golden review`.
golden: build
	@$(B)/belljar golden check --guests $(B)/kernels -q

# Do the tests notice wrong parsers? MODULES="gmem pcapng" MUTANTS=40|all TIME=minutes JOBS=2 SEED=1
.PHONY: mutate
mutate:
	@scripts/setup check
	@LDLIBS='$(LDLIBS)' MAKE='$(MAKE)' MODULES='$(MODULES)' MUTANTS='$(MUTANTS)' TIME='$(TIME)' JOBS='$(JOBS)' \
		SEED='$(SEED)' scripts/mutate

install: build
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/belljar
	install -m 755 $(B)/belljar $(DESTDIR)$(PREFIX)/bin/belljar
	install -m 644 belljar.1 $(DESTDIR)$(PREFIX)/share/man/man1/belljar.1
	install -m 644 scripts/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/belljar
	install -m 644 scripts/bjt.lua $(DESTDIR)$(PREFIX)/share/belljar/bjt.lua
	install -m 644 scripts/belljar-gdb.py $(DESTDIR)$(PREFIX)/share/belljar/belljar-gdb.py

clean:
	rm -rf build

.SECONDARY: $(obj)
-include $(obj:.o=.d)
