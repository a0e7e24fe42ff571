#!/bin/bash
# SPDX-License-Identifier: ISC
# The fuzzing commands from end to end, in a small tree of their own: a target with planted bugs is fuzzed by
# both engines, what is found is sorted into causes and kept, the corpus is made small, hosts are synchronised.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL
cd "$(dirname "$0")/.." || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/tree"/{vmm,harness,golden,fuzz/seeds/planted,fuzz/dict}
cp -r Makefile scripts "$dir/tree/"
cp fuzz/fuzz.h fuzz/replay_main.c fuzz/empty.c "$dir/tree/fuzz/"
cd "$dir/tree" || exit 1
echo '# all counts' >fuzz/denylist

cat >fuzz/fuzz_planted.c <<'END'
// SPDX-License-Identifier: ISC
/* A target with two bugs. One is seen by sanitizers alone. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"

static uint8_t byte_behind(const uint8_t *copy, size_t size)
{
	volatile const uint8_t *p = copy;

	return p[size];
}

static void refuse(const uint8_t *data, size_t size)
{
	assert(size < 4 || data[3] != '!');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + !size);

	if (size && copy) {
		memcpy(copy, data, size);
		if (data[0] == 'O')
			byte_behind(copy, size);
		if (data[0] == 'A')
			refuse(copy, size);
	}
	free(copy);
	return 0;
}

int fuzz_print_bjt(const uint8_t *data, size_t size, FILE *out)
{
	fprintf(out, "bjt 1\n# %zu bytes, first %02x\n", size, size ? data[0] : 0);
	return 0;
}
END
printf 'A---' >fuzz/seeds/planted/refused

for script in fuzz fuzz-cmin fuzz-triage fuzz-sync bench-fuzz; do
	"scripts/$script" --help >"$dir/help" 2>&1 && grep -q "Usage: scripts/$script" "$dir/help" && [ ! -e build ]
	result "$script --help only says how it is used" $? "$(cat "$dir/help")"
done
printf 'N seed that is longer' >fuzz/seeds/planted/other
printf '"!"\n"O"\n' >fuzz/dict/planted.dict

# What still runs in this tree, of engines and scripts.
left_over() {
	local process command
	for process in /proc/[0-9]*; do
		[ "$(readlink "$process/cwd")" = "$dir/tree" ] || continue
		command=$(tr '\0' ' ' 2>/dev/null <"$process/cmdline")
		[[ $command =~ (fuzz_planted|scripts/fuzz) ]] && echo "$process: $command"
	done
}

out=$(make fuzz 2>&1)
code=$?
[ $code = 0 ] && grep -q '^  planted  *A target with two bugs\.$' <<<"$out"
result targets_are_listed_with_what_they_say $? "$out"

out=$(make fuzz TARGET=nothing 2>&1)
code=$?
[ $code != 0 ] && grep -q 'there is no fuzz target nothing' <<<"$out" && grep -q ' planted ' <<<"$out"
result an_unknown_target_is_refused_with_those_there_are $? "$out"

out=$(scripts/fuzz --jobs 0 planted 2>&1)
code=$?
[ $code = 2 ] && grep -q '^fuzz: JOBS=0 is no number of jobs; usage: ' <<<"$out"
result a_wrong_option_is_refused $? "$out"

out=$(make fuzz-triage 2>&1)
code=$?
[ $code = 0 ] && [ "$out" = 'nothing to triage' ]
result there_is_nothing_to_triage_at_first $? "$out"

triaged() { # OUT: both causes are named and kept
	grep -qE '^planted: heap-buffer-overflow READ 1 in byte_behind fuzz/fuzz_planted\.c:13  \([0-9]+ inputs?; build/fuzz/planted/triaged/' <<<"$1" &&
		grep -qE "^planted: assertion .size < 4 \|\| data\[3\] != '!'' in refuse fuzz/fuzz_planted\.c:18  \([0-9]+ input" <<<"$1" &&
		[ "$(grep -c '^planted: ' <<<"$1")" = 2 ] &&
		[ "$(cat fuzz/seeds/planted/crash-heap-buffer-overflow-read-1-in-byte-behind)" = O ] &&
		od -An -tx1 fuzz/seeds/planted/crash-assertion-size-4-data-3-in-refuse | grep -qx ' 41 .. .. 21' &&
		grep -qx '# 1 bytes, first 4f' golden/planted-crash-heap-buffer-overflow-read-1-in-byte-behind.bjt
}

if command -v afl-fuzz >/dev/null && command -v afl-clang-fast >/dev/null; then
	out=$(TRIAGE_SECONDS=10 make fuzz TARGET=planted TIME=5 JOBS=2 2>&1)
	code=$?
	[ $code != 0 ] && grep -qE '^planted: [0-9]+ s, 2 jobs, afl: [1-9][0-9]* inputs \([0-9]+/s\), [0-9]+ paths, [1-9][0-9]* crashes' <<<"$out" &&
		grep -qx 'found: build/fuzz/planted/; next: make fuzz-triage TARGET=planted' <<<"$out"
	result afl_finds_what_was_planted $? "exit $code: $out"
	[ -z "$(left_over)" ]
	result no_process_is_left $? "$(left_over)"

	out=$(TRIAGE_SECONDS=10 make fuzz-triage TARGET=planted 2>&1)
	code=$?
	[ $code != 0 ] && triaged "$out"
	result triage_names_causes_and_keeps_their_inputs $? "exit $code: $out; $(ls fuzz/seeds/planted golden)"
	out=$(make fuzz-triage 2>&1)
	code=$?
	[ $code = 0 ] && [ "$out" = 'nothing to triage' ]
	result what_was_triaged_is_not_triaged_again $? "$out"

	rm -rf build/fuzz/planted/status
	env --default-signal=INT setsid scripts/fuzz --time 60 --jobs 3 planted >"$dir/log" 2>&1 </dev/null &
	pid=$!
	for _ in {1..300}; do
		[ -s build/fuzz/planted/status/cmplog ] && break
		sleep 0.1
	done
	kill -INT $pid
	for _ in {1..100}; do
		kill -0 $pid 2>/dev/null || break
		sleep 0.1
	done
	! kill -0 $pid 2>/dev/null && [ -z "$(left_over)" ] && grep -q '; stopped$' "$dir/log"
	result ctrl_c_ends_all_and_tells_what_was_done $? "$(cat "$dir/log"; left_over)"

	out=$(make fuzz-cmin TARGET=planted 2>&1)
	code=$?
	[ $code = 0 ] && grep -qE '^planted: [0-9]+ inputs, [0-9]+ files kept' <<<"$out" && [ -z "$(find fuzz/corpus -size +16k)" ]
	result the_corpus_is_made_small $? "$out"
else
	skip afl "AFL++ is not installed (apt-get install afl++)"
	out=$(make fuzz TARGET=planted 2>&1)
	code=$?
	[ $code != 0 ] && grep -q 'apt-get install afl++' <<<"$out"
	result without_afl_it_is_said_what_to_install $? "$out"
fi

# Two hosts, which are two directories: each has a main fuzzer, and one more that stays where it is.
other=$dir/other
mine=build/fuzz/planted/afl/main-here theirs=$other/build/fuzz/planted/afl/main-there
mkdir -p $mine/queue "$theirs/queue/.state" "$theirs/crashes" "$other/build/fuzz/planted/afl/asan/queue"
echo here >$mine/queue/id:000000
echo there >"$theirs/queue/id:000000"
echo stays | tee "$theirs/fuzzer_stats" "$theirs/queue/.state/x" "$other/build/fuzz/planted/afl/asan/queue/id:000001" >"$theirs/crashes/id:1"
out=$(scripts/fuzz-sync --hosts "$dir/absent" planted 2>&1)
code=$?
[ $code = 2 ] && [ "$out" = "fuzz-sync: --hosts $dir/absent: No such file or directory" ]
result an_absent_list_of_hosts_is_a_line $? "exit $code: $out"
if command -v rsync >/dev/null; then
	out=$(FUZZ_HOST=here scripts/fuzz-sync --once planted "$other" "$dir/absent/x" 2>&1)
	code=$?
	[ $code = 1 ] && [ "$(cat "$other/$mine/queue/id:000000")" = here ] &&
		[ "$(find build/fuzz/planted/afl/main-there -type f)" = build/fuzz/planted/afl/main-there/queue/id:000000 ] &&
		[ ! -e build/fuzz/planted/afl/asan/queue/id:000001 ] && grep -q "^planted: $other: 1 sent, 1 fetched$" <<<"$out" &&
		grep -q "^planted: $dir/absent/x: " <<<"$out"
	result hosts_exchange_what_their_main_fuzzers_found $? "exit $code: $out; $(find build/fuzz/planted/afl/main-* "$other" -type f)"
	start=$SECONDS
	out=$(FUZZ_HOST=here scripts/fuzz-sync --interval 1 --for 3 planted "$other" 2>&1)
	code=$?
	[ $code = 0 ] && [ $((SECONDS - start)) -lt 10 ] && [ "$(grep -c ': 0 sent, 0 fetched$' <<<"$out")" -ge 2 ]
	result synchronising_ends_in_time $? "exit $code: $out"
else
	skip sync "rsync is not installed (apt-get install rsync)"
fi

rm -rf build/fuzz fuzz/corpus fuzz/seeds/planted/crash-* golden/*
out=$(make fuzz TARGET=planted TIME=4 JOBS=1 ENGINE=libfuzzer 2>&1)
code=$?
[ $code != 0 ] && grep -qE '^planted: [0-9]+ s, 1 jobs, libfuzzer: [1-9][0-9]* inputs .* [1-9][0-9]* crashes' <<<"$out"
result libfuzzer_finds_what_was_planted $? "exit $code: $out"
[ -z "$(left_over)" ]
result no_process_of_libfuzzer_is_left $? "$(left_over)"
out=$(TRIAGE_SECONDS=10 make fuzz-triage 2>&1)
code=$?
[ $code != 0 ] && grep -q '^planted: heap-buffer-overflow READ 1 in byte_behind' <<<"$out"
result what_libfuzzer_found_is_triaged $? "$out"
finish
