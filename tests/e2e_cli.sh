#!/bin/bash
# SPDX-License-Identifier: ISC
# The command line: help, wrong words, exit codes, time limits, signals.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
BELLJAR=${BELLJAR:-build/rel/belljar} GUESTS=${GUESTS:-build/rel/kernels}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# expect NAME CODE STDERR_PATTERN ARGS...: the exit code, one line on stderr that matches (or none for
# an empty pattern).
expect() {
	local name=$1 code=$2 pattern=$3 got lines
	shift 3
	timeout -k 5 30 "$BELLJAR" "$@" >"$dir/out" 2>"$dir/err" </dev/null
	got=$?
	lines=$(wc -l <"$dir/err")
	if [ "$got" != "$code" ]; then
		result "$name" 1 "exit $got, not $code: $(head -n 1 "$dir/err")"
	elif [ -z "$pattern" ]; then
		[ "$lines" = 0 ]
		result "$name" $? "stderr: $(head -n 1 "$dir/err")"
	else
		[ "$lines" = 1 ] && grep -qE "^belljar: .*$pattern" "$dir/err"
		result "$name" $? "stderr: $(head -n 3 "$dir/err")"
	fi
}

hello=$GUESTS/hello.elf
tcg=(run --backend tcg)
expect "help_is_no_error" 0 "" --help
expect "version_is_no_error" 0 "" --version
for verb in run inspect doctor; do
	expect "${verb}_has_help" 0 "" $verb --help
done
expect "no_verb_is_usage" 2 "no verb"
expect "unknown_verb_is_usage" 2 "frobnicate: no such verb" frobnicate
expect "no_guest_is_usage" 2 "no guest given" run
expect "unknown_option_is_usage" 2 "--frob: no such option" run --frob "$hello"
expect "unknown_letter_is_usage" 2 "-z: no such option" run -z "$hello"
expect "missing_value_is_usage" 2 "--mem: needs a value" run --mem
expect "value_where_none_belongs" 2 "takes no value" run --verbose=3 "$hello"
expect "unknown_backend_is_usage" 2 "no such backend" run --backend vax "$hello"
expect "odd_memory_is_usage" 2 "multiple of 2M" run --mem 3000000 "$hello"
expect "no_memory_is_usage" 2 "at least 2M" run --mem 0 "$hello"
expect "huge_memory_is_usage" 2 "not a size" run --mem 99999999999999999999G "$hello"
expect "wrapping_memory_is_usage" 2 "not a size" run --mem 17179869184G "$hello"
expect "negative_memory_is_usage" 2 "not a size" run --mem -2M "$hello"
expect "junk_timeout_is_usage" 2 "not a time limit" run --timeout soon "$hello"
expect "nan_timeout_is_usage" 2 "not a time limit" run --timeout nan "$hello"
expect "env_without_value_is_usage" 2 "NAME=VALUE" run --env X "$hello"
expect "deterministic_takes_no_host_environment" 2 "differs from machine to machine" run --deterministic --env host "$hello"
expect "relative_cwd_is_usage" 2 "must begin with /" run --cwd x "$hello"
expect "unknown_resolver_is_usage" 2 "one of auto, openat2, walk" run --resolver frob "$hello"
expect "unknown_kind_of_paths_is_usage" 2 "bytes or utf8" run --guest-paths ascii "$hello"
expect "unknown_limit_is_usage" 2 "fds=N, scratch=SIZE" run --limit files=3 "$hello"
expect "a_limit_out_of_bounds_is_usage" 2 "depth is from 1 to 2048" run --limit depth=4096 "$hello"
expect "unknown_mount_option_is_usage" 2 "say ro, rw, unlink, submounts or nohardlinks" run --mount /tmp:/x:rx "$hello"
expect "a_recording_keeps_no_submounts" 2 "map it itself" record -o "$dir/x" --mount /tmp:/x:submounts "$hello"
expect "mount_without_guest_is_usage" 2 "HOST:GUEST" run --mount /tmp "$hello"
expect "inspect_wants_one_guest" 2 "one guest at a time" inspect "$hello" "$hello"
expect "doctor_takes_no_arguments" 2 "takes no arguments" doctor x
expect "missing_guest" 125 "nosuch" "${tcg[@]}" "$dir/nosuch"
expect "missing_mount_source" 125 "nosuch" "${tcg[@]}" --mount "$dir/nosuch:/x" "$hello"
expect "unwritable_strace_file" 125 "strace" "${tcg[@]}" --strace="$dir/no/such" "$hello"
expect "too_little_memory_for_the_arguments" 125 "do not fit" "${tcg[@]}" "$hello" "$(printf 'x%.0s' $(seq 20000))"
expect "guest_code_is_the_exit_code" 42 "" "${tcg[@]}" "$GUESTS/exit.elf" -- 42
expect "guest_code_is_cut_to_a_byte" 1 "" "${tcg[@]}" "$GUESTS/exit.elf" 257
expect "hello_exits_with_zero" 0 "" "${tcg[@]}" "$hello"
expect "time_limit" 124 "still running after 0.200 s" "${tcg[@]}" --timeout 0.2 "$GUESTS/count.elf" 1000000000000
expect "inspect_a_guest" 0 "" inspect "$hello"

"$BELLJAR" run --backend tcg --strace "$hello" >"$dir/out" 2>"$dir/err"
[ "$(cat "$dir/out")" = "Hello, world!" ] && grep -q '^serial_write("Hello, world!\\n", 14) = 14$' "$dir/err" &&
	grep -q '^exit(0) = ?$' "$dir/err" && tail -n 1 "$dir/err" | grep -q '^+++ exited with 0 +++$'
result "strace_reads_like_strace" $? "$(cat "$dir/err")"

"$BELLJAR" run --backend tcg --strace="$dir/log" "$hello" >"$dir/out" 2>"$dir/err"
[ ! -s "$dir/err" ] && grep -q '^exit(0) = ?$' "$dir/log"
result "strace_goes_to_a_file" $? "$(cat "$dir/err")"

out=$(TMPDIR=$dir "$BELLJAR" run --backend tcg --mount "$dir:/m" "$hello" 2>&1)
[[ $out = "belljar: mount $dir:/m: $dir lies in it, where guests' private files are; "*$'\nHello, world!' ]]
result "warns_of_a_guest_that_sees_scratch_trees" $? "$out"

for resolver in openat2 walk; do
	out=$("$BELLJAR" run --backend tcg --resolver $resolver --limit fds=4,scratch=20,inodes=2,depth=2 --guest-paths utf8 \
		"$GUESTS/paths.elf" create:/a/f create:/b create:/a/f mkdir:/a/b/c 'stat:/\xff' stat:/a/f 2>&1)
	[ "$out" = 'create "/a/f" = 3
create "/b" = -ENOSPC
create "/a/f" = 3
mkdir "/a/b/c" = -ENOSPC
stat "/\xff" = -EINVAL
stat "/a/f" = file, mode 0644, 16 bytes' ]
	result "limits_hold_on_$resolver" $? "$out"
done

mkdir "$dir/m"
printf 'abc\xe9\n' >"$dir/m/f"
"$BELLJAR" run --backend tcg --strace="$dir/log" --mount "$dir/m:/m:rw" "$GUESTS/paths.elf" open:/m/f create:/m/n \
	create,excl:/m/n stat:/m/n lstat:/m/none readdir:/m mkdir:/m/d unlink:/m/n 'open:/m/\xff\x01' \
	open,wronly+append+nofollow+dsync:/m/f >"$dir/out" 2>"$dir/err"
sed 's/0x[0-9a-f]\{6,\}/ADDR/g; /^serial_write/d' "$dir/log" >"$dir/lines"
diff "$dir/lines" "$(dirname "$0")/expect/strace.log" >"$dir/diff"
result "strace_decodes_every_file_call" $? "$(head -n 20 "$dir/diff")"

"$BELLJAR" run --backend tcg -v "$hello" >"$dir/out" 2>"$dir/err"
grep -q '^belljar: backend tcg: Unicorn' "$dir/err"
result "verbose_says_which_backend" $? "$(cat "$dir/err")"

mkdir "$dir/d"
"$BELLJAR" run --backend tcg -v -v --mount "$dir/d:/data" --mount "$dir/f:/a/b/later:rw" --mount "$dir/m/f:/a/b/now" \
	--mount "$dir/m/f:/top" "$hello" >"$dir/out" 2>"$dir/err"
told=$(sed -n 's/^belljar: the guest is told of files in //p' "$dir/err" | tr '\n' ' ')
[ "$told" = "/data /a/b " ]
result "the_guest_is_told_of_directories_only" $? "told of: $told"

# A signal ends the guest at once, and belljar dies of it after tidying up.
for signal in INT TERM HUP QUIT USR1; do
	mkdir -p "$dir/tmp"
	# In the background a shell ignores INT and QUIT for its children.
	(ulimit -c 0 && TMPDIR=$dir/tmp exec env --default-signal=INT,QUIT "$BELLJAR" run \
		--timeout 20 --backend tcg "$GUESTS/count.elf" 1000000000000) >"$dir/out" 2>"$dir/err" &
	pid=$!
	sleep 0.3
	kill -$signal $pid
	wait $pid
	code=$?
	[ $code -gt 128 ] && [ "$(kill -l $code)" = $signal ] && [ -z "$(ls "$dir/tmp")" ]
	result "dies_of_SIG${signal}_and_leaves_nothing" $? "code $code; $(ls "$dir/tmp"); $(cat "$dir/err")"
done

# At any moment of the start, too. A shell that is killed before it becomes belljar would run our trap.
trap - EXIT
rm -rf "$dir/tmp" && mkdir "$dir/tmp"
for _ in $(seq 40); do
	TMPDIR=$dir/tmp "$BELLJAR" run --timeout 20 --backend tcg "$GUESTS/count.elf" 1000000000000 \
		>"$dir/out" 2>"$dir/err" &
	pid=$!
	sleep "0.0$((RANDOM % 3))$((RANDOM % 10))"
	kill -TERM $pid
	wait $pid
done 2>/dev/null
trap 'rm -rf "$dir"' EXIT
[ -z "$(ls "$dir/tmp")" ]
result "a_kill_while_starting_leaves_nothing" $? "$(ls "$dir/tmp")"

# What is ignored on entry stays ignored.
(trap '' HUP && exec "$BELLJAR" run --timeout 1 --backend tcg "$GUESTS/count.elf" 1000000000000) \
	>"$dir/out" 2>"$dir/err" &
pid=$!
sleep 0.3
kill -HUP $pid
wait $pid
code=$?
[ $code = 124 ]
result "nohup_is_respected" $? "code $code"

"$BELLJAR" run --backend tcg "$hello" >/dev/full 2>"$dir/err"
code=$?
[ $code = 125 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -q 'standard output: No space left' "$dir/err"
result "a_full_disk_is_not_the_guests_crash" $? "code $code: $(cat "$dir/err")"

"$BELLJAR" doctor >/dev/full 2>"$dir/err"
code=$?
[ $code = 125 ] && grep -q 'standard output' "$dir/err"
result "lost_results_are_an_error" $? "code $code: $(cat "$dir/err")"

cp "$hello" "$dir/guest.elf"
"$BELLJAR" run --backend tcg --strace="$dir/guest.elf" "$dir/guest.elf" >"$dir/out" 2>"$dir/err"
code=$?
[ $code = 125 ] && cmp -s "$hello" "$dir/guest.elf"
result "strace_does_not_overwrite_the_guest" $? "code $code: $(cat "$dir/err")"

out=$(env -i X=1 "$BELLJAR" run --backend tcg -e host -e X=2 -e Y=3 -e Y=4 "$GUESTS/args.elf")
[ "$out" = "$(printf 'X=2\nY=4')" ]
result "the_last_value_of_a_variable_counts" $? "$out"

# A reader that goes away is not an error of ours or of the guest's.
"$BELLJAR" run --backend tcg "$GUESTS/args.elf" a b c 2>"$dir/err" | true
code=${PIPESTATUS[0]}
{ [ "$code" = 141 ] || [ "$code" = 0 ]; } && [ ! -s "$dir/err" ]
result "a_closed_pipe_is_quiet" $? "code $code: $(cat "$dir/err")"


finish
