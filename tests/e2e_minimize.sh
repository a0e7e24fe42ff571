#!/bin/bash
# SPDX-License-Identifier: ISC
# `belljar trace minimize` as a user sees it: golden text with a wrong line, a recording, a command, refusals.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
BELLJAR=$(realpath "${BELLJAR:-build/rel/belljar}") GUESTS=$(realpath "${GUESTS:-build/rel/kernels}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/tmp" && cd "$dir" || exit 1
export TMPDIR=$dir/tmp

minimize() { # CODE ARGS...: the exit code
	local code=$1 got
	shift
	timeout -k 5 60 "$BELLJAR" trace minimize "$@" >out 2>err </dev/null
	got=$?
	[ $got = "$code" ] || { echo "exit $got, not $code" >>err; return 1; }
}

mkdir in to
printf 'hello\n' >in/a
printf 'world\n' >in/b
"$BELLJAR" record --backend tcg -o run.pcapng --mount in:/in --mount to:/out:rw "$GUESTS/paths.elf" \
	open:/in/a create:/out/x open:/in/b readdir:/in mkdir:/out/d create:/out/d/y open:/out/d/y >console 2>err
result "a_run_is_recorded" $? "$(cat err)"
mkdir run.d && cp -r in to run.d && rm -rf run.d/to/*
"$BELLJAR" trace show --bjt run.pcapng | sed 's|^mount "[^"]*/|mount "|' >run.bjt
minimize 125 run.bjt -o small.bjt && grep -q 'does not fail' err && [ ! -e small.bjt ]
result "what_does_not_fail_is_refused" $? "$(cat err)"

sed 's/^  < world\\n/  < words\\n/' run.bjt >bad.bjt
mv run.d bad.d
minimize 0 bad.bjt -o small.bjt && grep -q '^small.bjt: 3 of [0-9]* calls' out && [ ! -s err ]
result "a_wrong_line_becomes_three_calls" $? "$(cat out err)"
[ "$(grep -c '^[a-z].* -> \|^exit' small.bjt)" = 3 ] && grep -q '^open "/in/b" .* -> 3$' small.bjt && grep -q '^  < words\\n' small.bjt
result "the_result_is_golden_text" $? "$(cat small.bjt)"
"$BELLJAR" replay --tree bad.d small.bjt >out 2>err
[ $? = 3 ] && grep -q 'read 3' out
result "the_result_fails_in_replay" $? "$(cat out err)"
sed 's/^  < words\\n/  < world\\n/' small.bjt >good.bjt
"$BELLJAR" replay --tree bad.d good.bjt >out 2>err
result "and_only_for_that" $? "$(cat out err)"

# What the result needs for its failure makes a file; the rest of what was made is not made any more.
mkdir out2
"$BELLJAR" record --backend tcg -o out.pcapng --mount out2:/out:rw "$GUESTS/paths.elf" create:/out/x create:/out/y mkdir:/out/d \
	unlink:/out/x create:/out/z stat:/out/y >console 2>err
"$BELLJAR" trace show --bjt out.pcapng | sed 's|^mount "[^"]*/|mount "|' >out.bjt
sed '/^stat "\/out\/y"/,/^ /s/size=[0-9]*/size=77/' out.bjt >wrong.bjt
mkdir -p wrong.d/out2
cmp -s out.bjt wrong.bjt
[ $? = 1 ] && "$BELLJAR" replay wrong.bjt >out 2>err
[ "$(grep -c ^MISMATCH out)" = 1 ]
result "one_thing_is_wrong" $? "$(cat out err wrong.bjt)"
minimize 0 wrong.bjt -o less.bjt && "$BELLJAR" replay --tree wrong.d less.bjt >out 2>err
[ "$(grep -c ^MISMATCH out)" = 1 ] && grep -q '^MISMATCH.*stat "/out/y"' out && grep -q '^after 0 "y" file' less.bjt && ! grep -q '"x"\|"z"\|"d"' less.bjt
result "and_nothing_else_in_the_result" $? "$(cat out err less.bjt)"

# shellcheck disable=SC2016 # {} and $1 are for minimize and sh
minimize 0 run.pcapng -o dirs.bjt -- sh -c '! grep -q "^mkdir" "$1"' sh {} && grep -q ': 2 of .*exit code 1' out &&
	grep -q 'without the mapped files' err
result "a_command_may_say_what_fails" $? "$(cat out err)"
[ "$(sed -n 's/^\([a-z]*\) .*-> .*/\1/p' dirs.bjt)" = mkdir ]
result "what_it_asks_for_is_what_is_left" $? "$(cat dirs.bjt)"
minimize 0 run.pcapng -o few.pcapng --max-tries 3 -- test '!' -s {} && grep -q 'after 3 tries' out && grep -q 'ended early' out
result "tries_may_be_bounded" $? "$(cat out err)"
"$BELLJAR" trace stat few.pcapng >out 2>err
result "what_there_is_then_is_a_recording" $? "$(cat err)"
minimize 125 run.pcapng -o x.bjt -- no-such-program {} && grep -q 'no-such-program' err
result "a_command_that_is_not_there_is_named" $? "$(cat err)"
minimize 125 run.pcapng -o x.bjt -- true && grep -q '{}' err
result "a_command_without_a_place_for_it_is_refused" $? "$(cat err)"
minimize 2 run.pcapng && minimize 2 -o x.bjt && minimize 2 run.pcapng -o x.txt && minimize 2 a b -o x.bjt &&
	minimize 2 run.pcapng -o x.bjt -- && minimize 2 run.pcapng -o x.bjt --max-tries 0
result "wrong_usage_is_told" $? "$(cat err)"
printf 'bjt 1\nnonsense\n' >hostile.bjt
minimize 125 hostile.bjt -o x.bjt && [ "$(wc -l <err)" = 1 ]
result "hostile_text_is_one_line" $? "$(cat err)"
[ -z "$(ls -A "$TMPDIR")" ]
result "nothing_is_left_behind" $? "$(ls -A "$TMPDIR")"

finish
