# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# What the fuzzing scripts share: targets by their source files, builds, an engine's environment. Below
# build/fuzz/NAME/: in (seeds and corpus), afl (AFL++'s directory), libfuzzer (corpus and artifacts), log.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export LC_ALL=C.UTF-8
unset MAKEFLAGS MAKEOVERRIDES MFLAGS MODE # every build here names its own mode
shopt -s nullglob

export AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_AFFINITY=1 AFL_AUTORESUME=1
export AFL_HANG_TMOUT=10000 AFL_SKIP_CRASHES=1 AFL_ALLOW_TMP=1 AFL_NO_CRASH_README=1 AFL_IMPORT_FIRST=1
export ASAN_OPTIONS=abort_on_error=1:symbolize=0:detect_leaks=0
export UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:symbolize=0

die() { # CODE MESSAGE
	echo "${0##*/}: $2" >&2
	exit "$1"
}

# What the script that runs says at its top.
help() {
	sed -n '3,/^[^#]/{/^# shellcheck/d; s/^# \{0,1\}//p}' "$0"
	exit 0
}

targets() {
	local source
	for source in fuzz/fuzz_*.c; do
		basename "${source#fuzz/fuzz_}" .c
	done
}

# How the comment at the top of its file begins, up to the first full stop or colon.
describe() { # NAME
	sed -n '2,/\*\//p' "fuzz/fuzz_$1.c" | sed 's/^[ /]*\*[ /]*//; s/[ ]*\*\/$//' | tr '\n' ' ' |
		sed 's/^ *//; s/\([.:]\) .*/\1/; s/:$/./'
}

list_targets() {
	local name
	for name in $(targets); do
		printf '  %-14s %s\n' "$name" "$(describe "$name")"
	done
}

need_target() { # NAME
	[ -f "fuzz/fuzz_$1.c" ] && return
	echo "${0##*/}: there is no fuzz target $1 (fuzz/fuzz_$1.c); there are:" >&2
	list_targets >&2
	exit 2
}

# What tells this host's main fuzzer from those of others.
host_name() {
	local name=${FUZZ_HOST:-$(uname -n)}
	name=${name//[!A-Za-z0-9_-]/_}
	echo "${name:0:24}"
}

has_afl() {
	command -v afl-fuzz >/dev/null && command -v afl-clang-fast >/dev/null
}

build() { # MODE NAME
	make --no-print-directory -j"${FUZZ_MAKE_JOBS:-2}" MODE="$1" "build/$1/fuzz/fuzz_$2" ||
		die 2 "the $1 build of $2 failed"
}

# What lies about of a target to begin with, as files of DIR.
gather() { # NAME DIR
	local file
	mkdir -p "$2"
	for file in "fuzz/seeds/$1"/* "fuzz/corpus/$1"/*; do
		cp "$file" "$2/$(basename "$(dirname "$(dirname "$file")")")-$(basename "$file")"
	done
	[ -n "$(ls "$2")" ] || echo >"$2/line"
}

# A directory for what targets write, in memory where there is room.
scratch() {
	local room
	room=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1)
	if [ -w /dev/shm ] && [ "${room:-0}" -ge 262144 ]; then
		mktemp -d -p /dev/shm belljar-run-XXXXXX
	else
		mktemp -d
	fi
}
