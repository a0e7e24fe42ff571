#!/bin/bash
# SPDX-License-Identifier: ISC
# Options of the verbs on traces and goldens: values that are none, words too many or too few; progress on a terminal.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
BELLJAR=$(realpath "${BELLJAR:-build/rel/belljar}") GUESTS=$(realpath "${GUESTS:-build/rel/kernels}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export TMPDIR=$dir
unset CI BELLJAR_GOLDEN

# expect NAME CODE PATTERN ARGS...: the exit code, and a line on stderr like that (or none at all).
expect() {
	local name=$1 code=$2 pattern=$3 got
	shift 3
	timeout -k 5 60 "$BELLJAR" "$@" >out 2>err </dev/null
	got=$?
	if [ -z "$pattern" ]; then
		[ "$got" = "$code" ] && [ ! -s err ]
	else
		[ "$got" = "$code" ] && grep -qE -- "^belljar: .*$pattern" err
	fi
	result "$name" $? "exit $got, not $code: $(head -n 2 err)"
}

"$BELLJAR" record --backend tcg -o a.pcapng "$GUESTS/hello.elf" >console 2>err
result a_recording_to_work_on $? "$(cat err)"

# --- golden
expect golden_wants_a_verb 2 'golden' golden
expect golden_knows_its_verbs 2 'frob' golden frob
expect golden_has_help 0 '' golden --help
expect golden_has_short_help 0 '' golden -h
for verb in new check review accept; do
	expect "golden_${verb}_has_help" 0 '' golden $verb --help
	expect "golden_${verb}_wants_a_directory" 2 'give a directory' golden $verb --dir ''
done
expect guests_want_a_directory 2 'give a directory' golden check --guests ''
expect junit_wants_a_file 2 'give a file name' golden check --junit ''
expect stdin_wants_a_file 2 'give a file name' golden new --stdin '' x "$GUESTS/hello.elf"
expect backends_are_known 2 'no such backend; one of auto' golden check --backend vax
for jobs in '' 0 -1 x 1x 99999999999; do
	expect "no_jobs_are_'$jobs'" 2 'give a number from 1' golden check -j "$jobs"
done
expect golden_new_wants_a_name 2 'no name given' golden new
mkdir golden
expect a_check_of_nothing_does_not_pass 125 'no goldens; .belljar golden new. makes the first' golden check
expect golden_new_is_made_in_a_directory_that_is_there 0 '' golden new --backend tcg -q hello "$GUESTS/hello.elf"
expect a_backend_named_twice_is_one 0 '' golden check --backend tcg --backend tcg --backend auto --guests "$GUESTS"
[ "$(grep -c '^ok   hello guest@tcg$' out)" = 1 ]
result a_backend_named_twice_is_run_once $? "$(cat out)"
expect verbose_shows_what_passed 0 '' golden check --backend tcg -v --guests "$GUESTS"
expect an_input_that_is_not_there 125 'none: No such file' golden new --stdin none other "$GUESTS/hello.elf"
mkdir golden/stray.d
expect files_without_their_golden_are_in_the_way 125 'stray.d: is there, without a golden' golden new stray "$GUESTS/hello.elf"
rmdir golden/stray.d
expect a_report_that_cannot_be_written 125 'no/junit.xml' golden check --backend tcg --junit no/junit.xml
expect a_report_on_a_full_disk 125 '/dev/full' golden check --backend tcg --junit /dev/full
mv golden goldens && : >golden
expect a_file_is_no_directory_of_goldens 125 'Not a directory' golden check
expect nor_can_one_be_made_there 125 'golden' golden new x "$GUESTS/hello.elf"
rm golden && mv goldens golden

# --- trace
expect trace_wants_a_verb 2 'trace' trace
expect trace_knows_its_verbs 2 'frob' trace frob
for help in help -h --help; do expect "trace_takes_$help" 0 '' trace $help; done
for verb in 'export --format bjt' html minimize; do
	# shellcheck disable=SC2086 # words
	expect "${verb%% *}_wants_a_trace" 2 'no trace given|give one trace' trace $verb -o out.bjt
	# shellcheck disable=SC2086
	expect "${verb%% *}_takes_one_trace" 2 'one trace' trace $verb -o out.bjt a.pcapng a.pcapng
	# shellcheck disable=SC2086
	expect "${verb%% *}_wants_a_name_for_its_file" 2 'give a file name|must end in' trace $verb a.pcapng -o ''
done
for n in '' x 1x -1 99999999999999999999; do
	expect "no_call_has_the_number_'$n'" 2 '--from' trace show --from "$n" a.pcapng
done
for window in 0 9999999999 x; do
	expect "no_window_is_$window" 2 '--window' trace diff --window $window a.pcapng a.pcapng
done
expect no_limit_is_so_large 2 'at most' trace html --limit 99999999999 a.pcapng -o a.html
expect no_tries_are_too_few 2 'at least 1' trace minimize --max-tries 0 a.pcapng -o b.bjt
expect grep_shows_all_of_a_call 0 '' trace grep --full a.pcapng call=serial_write
grep -q '  rip 0x' out && grep -q '^    > Hello, world' out
result grep_shows_time_rip_and_data $? "$(cat out)"
expect grep_full_of_a_number 0 '' trace grep -f -c a.pcapng call=serial_write
expect export_may_go_to_standard_output 0 '' trace export --format bjt a.pcapng -o -
grep -q '^bjt 1$' out
result export_went_to_standard_output $? "$(head -n 3 out)"
for verb in 'export --format bjt' html; do
	# shellcheck disable=SC2086 # two words
	expect "${verb%% *}_does_not_write_over_its_trace" 125 'a.pcapng' trace $verb a.pcapng -o a.pcapng
	# shellcheck disable=SC2086
	expect "${verb%% *}_says_when_it_cannot_write" 125 'no/such' trace $verb a.pcapng -o no/such
	# shellcheck disable=SC2086
	expect "${verb%% *}_says_when_the_disk_is_full" 125 '/dev/full: No space' trace $verb a.pcapng -o /dev/full
done

# --- what a guest was allowed stands in its recording, whatever it is turned into
mkdir from && : >from/file
"$BELLJAR" record --backend tcg -o limits.pcapng --limit fds=20,scratch=1M,inodes=9,depth=5 --guest-paths utf8 \
	--mount from:/in:ro,nohardlinks --mount from/file:/f:rw,unlink --cwd /in "$GUESTS/hello.elf" >console 2>err
result a_recording_with_limits $? "$(cat err)"
expect show_tells_limits 0 '' trace show -v limits.pcapng
[ "$(grep -cE '^# limit (fds 20|scratch 1048576|inodes 9|depth 5)$' out)" = 4 ] && grep -q nohardlinks out && grep -q unlink out
result show_told_all_of_it $? "$(grep '^#' out)"
expect json_tells_limits 0 '' trace export --format jsonl limits.pcapng
jq -es '.[0].limits == {"fds":20,"scratch":1048576,"inodes":9,"depth":5}' out >/dev/null
result json_told_all_of_it $? "$(head -n 1 out)"
expect html_tells_limits 0 '' trace html limits.pcapng -o limits.html
grep -q nohardlinks limits.html && grep -q 1048576 limits.html
result html_told_all_of_it $? "$(wc limits.html)"
expect text_tells_limits 0 '' trace export --format bjt limits.pcapng -o limits.bjt
expect text_is_made_a_recording_again 0 '' trace export --format pcapng limits.bjt -o again.pcapng
expect nothing_was_lost 0 '' trace diff limits.pcapng again.pcapng
! grep -q '^note:' out
result no_header_differs $? "$(cat out)"
sed 's/\(.*fds\)[ =]20/\1=21/; s/fds==/fds=/' limits.bjt >other.bjt
sed 's/,nohardlinks//; s/ro nohardlinks/ro/' limits.bjt >links.bjt
expect other_limits_are_noted 0 '' trace diff limits.bjt other.bjt
grep -q '^note: not the same: limits$' out
result limits_were_noted $? "$(cat out; grep -n fds limits.bjt other.bjt)"
expect other_mounts_are_noted 0 '' trace diff limits.bjt links.bjt
grep -q '^note: not the same: mounts$' out
result mounts_were_noted $? "$(cat out)"

# --- strace
"$BELLJAR" run --backend tcg --strace=/dev/full "$GUESTS/hello.elf" >out 2>err &&
	grep -q '^Hello, world!$' out && [ "$(cat err)" = 'belljar: --strace: No space left on device; no more lines are written' ]
result a_watcher_that_cannot_write_disturbs_nobody $? "$(cat out err)"
why=
for guest in badcalls badcalls-v1; do
	for fatal in '' 'fatal block' 'fatal cmdval' 'fatal exit' 'fatal half' 'fatal serial' 'fatal unknown' 'fatal write'; do
		# shellcheck disable=SC2086 # two words or none
		"$BELLJAR" run --backend tcg "$GUESTS/$guest.elf" $fatal >plain 2>err
		code=$?
		# shellcheck disable=SC2086
		"$BELLJAR" run --backend tcg --strace=calls "$GUESTS/$guest.elf" $fatal >out 2>err
		[ $? = $code ] && cmp -s plain out && [ -s calls ] && ! LC_ALL=C grep -q '[^ -~]' calls || why="$why $guest $fatal,"
	done
done
[ -z "$why" ]
result strace_tells_all_calls_in_ascii_and_changes_none $? "$why"

# --- replay
expect replay_of_a_host_has_no_time_limit 2 'timeout' replay --timeout 3 a.pcapng
expect replay_of_a_host_has_no_strace 2 'strace' replay --strace a.pcapng
expect replay_wants_a_trace 2 'no trace given' replay
expect replay_of_nothing_there 125 'none: No such file' replay none
expect replay_as_json 0 '' replay --json a.pcapng
jq -e '.mismatches == 0 and .cut == false' out >/dev/null
result the_last_line_of_json_says_how_it_went $? "$(cat out)"

# --- run
long=$(printf '%09000d' 0)
expect env_wants_a_value 2 'NAME=VALUE' run --env A "$GUESTS/hello.elf"
expect env_wants_a_name 2 'NAME=VALUE' run --env =1 "$GUESTS/hello.elf"
expect a_mapping_is_no_longer_than_paths_are 2 '--file-mapping 0000' run --file-mapping "$long" "$GUESTS/hello.elf"
expect a_name_with_two_dots_is_no_way_up 125 'no such file or directory; make it' run --mount none:/..a "$GUESTS/hello.elf"
expect no_way_up_in_the_guest 2 'has a .[.][.].; write it' run --mount .:/a/../b "$GUESTS/hello.elf"
expect limits_have_names 2 'not fds=N' run --limit frob=3 "$GUESTS/hello.elf"
expect limits_have_values 2 'not fds=N' run --limit fds "$GUESTS/hello.elf"
expect limits_are_sizes 2 'not a size' run --limit fds=x "$GUESTS/hello.elf"
for seconds in '' x 0 -1 1e3 1x 9999999999; do
	expect "no_time_is_'$seconds'" 2 'not a time limit' run --timeout "$seconds" "$GUESTS/hello.elf"
done
for size in '' x -1 1X 1KK 99999999999999999999 17179869184G; do
	expect "no_memory_is_'$size'" 2 'not a size' run --mem "$size" "$GUESTS/hello.elf"
done
for size in 0 1M 3M 65G; do
	expect "no_memory_of_$size" 2 'multiple of 2' run --mem "$size" "$GUESTS/hello.elf"
done
expect history_is_a_size 2 'not a size' run --gdb --history x "$GUESTS/hello.elf"
expect resolvers_are_known 2 'resolver' run --resolver frob "$GUESTS/hello.elf"
for resolver in auto openat2 walk; do
	expect "the_resolver_may_be_$resolver" 0 '' run --backend tcg --resolver "$resolver" "$GUESTS/hello.elf"
done
A=outer "$BELLJAR" run --backend tcg --env host --env A=1 --env B=2 --env A=3 "$GUESTS/args.elf" >out 2>err
[ "$(grep -cE '\bA=' out)" = 1 ] && grep -q 'A=3' out && grep -q 'B=2' out
result the_last_of_a_name_is_meant $? "$(cat out err)"

# --- on a terminal: colours, and progress of what takes its time; nowhere else.

# on_terminal COMMAND: what it writes there; the exit code is its own.
on_terminal() {
	script -qec "$1" /dev/null >out 2>&1 </dev/null
}

if ! on_terminal true; then
	skip terminals "script makes no terminal here"
else
	cat >slowly <<-EOF
		(head -c 300 a.pcapng; sleep 3; tail -c +301 a.pcapng) | '$BELLJAR' replay -
	EOF
	on_terminal 'bash slowly'
	tr '\r' '\n' <out | grep -qE '^-: [0-9]+ calls' && grep -q $'\e\[K' out && grep -q 'calls, no mismatch' out
	result progress_of_a_replay $? "$(tr '\r' '\n' <out | tail -n 3)"
	on_terminal "'$BELLJAR' doctor" && grep -q $'\e\[' out
	result doctor_in_colours $? "$(head -n 3 out)"
	on_terminal "'$BELLJAR' golden check --backend tcg --guests '$GUESTS'" && grep -q $'\e\[32mok' out
	result what_passed_in_green $? "$(head -n 3 out)"
	sed 's/Hello/Hullo/' golden/hello.bjt >hullo && cp hullo golden/hello.bjt
	on_terminal "'$BELLJAR' golden check --backend tcg --guests '$GUESTS'"
	[ $? = 3 ] && grep -q $'\e\[31mFAIL' out && [ -e golden/hello.bjt.new ]
	result what_failed_in_red $? "$(head -n 3 out)"
	on_terminal "'$BELLJAR' replay --guest '$GUESTS/hello.elf' --backend tcg golden/hello.bjt"
	[ $? = 3 ] && grep -q $'\e\[1;31m' out && grep -q DIVERGENCE out
	result where_a_guest_diverges_in_red $? "$(head -n 12 out)"
	# shellcheck disable=SC2016 # for sh
	on_terminal "'$BELLJAR' trace minimize golden/hello.bjt -o less.bjt -- sh -c '! grep -q Hullo \"\$1\"' sh {}"
	result minimize_on_a_terminal $? "$(tail -n 3 out)"
	tr '\r' '\n' <out | grep -qE '^tried [0-9]+, [0-9]+ of [0-9]+ calls left'
	result progress_of_minimize $? "$(tr '\r' '\n' <out | head -n 3)"
	"$BELLJAR" replay --guest "$GUESTS/hello.elf" --backend tcg golden/hello.bjt >out 2>&1
	[ $? = 3 ] && ! grep -q $'\e' out
	result no_colours_elsewhere $? "$(head -n 12 out)"
fi

finish
