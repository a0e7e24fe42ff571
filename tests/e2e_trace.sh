#!/bin/bash
# SPDX-License-Identifier: ISC
# The verbs of `belljar trace` on real recordings, on golden text, on what was cut and on what is hostile.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
BELLJAR=$(realpath "${BELLJAR:-build/rel/belljar}") GUESTS=$(realpath "${GUESTS:-build/rel/kernels}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

trace() {
	timeout -k 5 30 "$BELLJAR" trace "$@"
}

# expect NAME CODE STDERR_PATTERN ARGS...: the exit code, and one line on stderr that matches (or none).
expect() {
	local name=$1 code=$2 pattern=$3 got
	shift 3
	trace "$@" >out 2>err </dev/null
	got=$?
	if [ "$got" != "$code" ]; then
		result "$name" 1 "exit $got, not $code: $(head -n 2 err)"
	elif [ -z "$pattern" ]; then
		[ ! -s err ]
		result "$name" $? "stderr: $(head -n 2 err)"
	else
		[ "$(wc -l <err)" = 1 ] && grep -qE "^belljar: .*$pattern" err
		result "$name" $? "stderr: $(head -n 3 err)"
	fi
}

says() { # NAME PATTERN: the last output has such a line
	grep -qE -- "$2" out
	result "$1" $? "$(head -n 5 out)"
}

# A run that reads, writes, lists and fails; strace beside it, to compare with.
mkdir from to
printf 'hello\n' >from/input.txt
printf '\000\001\377raw' >from/bytes
"$BELLJAR" record --backend tcg --strace=live.log -o a.pcapng --mount from:/in --mount to:/out:rw --env K=V \
	"$GUESTS/paths.elf" open:/in/input.txt open:/in/bytes 'open:/in/\xff\x01' create:/out/x stat:/in \
	lstat:/in/none readdir:/in mkdir:/out/d unlink:/out/x open:/nope >console 2>err
result "a_run_is_recorded" $? "$(cat err)"
calls=$(grep -vc '^+++' live.log)

# --- show
trace show a.pcapng >shown 2>err
cmp -s shown live.log
result "show_is_what_strace_printed" $? "$(diff live.log shown | head -n 5)"
trace show --bjt a.pcapng >a.bjt && trace show a.bjt | sed 's/0x[0-9a-f]*/ADDR/g' >text && sed 's/0x[0-9a-f]*/ADDR/g' live.log | cmp -s text -
result "golden_text_shows_alike" $? "$(diff text live.log | head -n 5)"
trace show --from 3 --to 5 a.pcapng >out
sed -n 4,6p live.log | cmp -s - out
result "show_takes_a_range" $? "$(cat out)"
trace show --full a.pcapng >out
says "full_has_number_time_and_rip" '^    #2  20[0-9]{2}-.* took [0-9.]+ us  rip 0x[0-9a-f]+$'
says "full_has_data_as_text" '^    < hello\\n$'
says "full_has_data_as_hex" '^    < 00000000  00 01 ff 72 61 77 .*\|\.\.\.raw\|$'
trace show -v a.pcapng >out
says "verbose_has_the_mounts" '^# mount "to" at "/out" rw$'
says "verbose_has_the_environment" '^# environment "K=V"$'
says "verbose_has_what_changed" '^# after 1 "d" dir'
trace show a.pcapng a.bjt >out && [ "$(grep -c '^==> .* <==$' out)" = 2 ]
result "several_files_have_headings" $? "$(head -n 2 out)"
trace show - <a.pcapng | cmp -s - shown
result "show_reads_standard_input" $? ""
trace show a.bjt --from=0 -- ./a.bjt >out 2>err && grep -q '^==> ./a.bjt <==$' out
result "options_may_stand_anywhere" $? "$(cat err)"

# --- stat
trace stat a.pcapng >out
says "stat_counts_all_calls" " $calls +[0-9]+ +[0-9]+ +[0-9]+ total\$"
errors=$(grep -c ' = -1 E' live.log)
says "stat_counts_errors" "^100.00 .* $calls +$errors +[0-9]+ +[0-9]+ total\$"
for key in time calls errors name bytes; do
	trace stat --sort $key a.pcapng >out && [ "$(wc -l <out)" -gt 6 ]
	result "stat_sorts_by_$key" $? "$(cat out)"
done
trace stat --sort name a.pcapng | sed '1,2d' | sed '/^---/,$d' | awk '{ print $NF }' >names
sort -c names
result "stat_by_name_is_sorted" $? "$(cat names)"
if command -v jq >/dev/null; then
	[ "$(trace stat --json a.pcapng a.bjt | jq -c '[.total.calls, .total.errors, .cut, ([.rows[].calls] | add)]' | uniq)" = "[$calls,$errors,false,$calls]" ]
	result "stat_has_json" $? "$(trace stat --json a.pcapng)"
else
	skip "stat_has_json" "no jq"
fi

# --- grep
expect "grep_finds" 0 "" grep a.pcapng call=open 'path~=/in/' 'ret>=0'
[ "$(grep -c '^open("/in' out)" = "$(wc -l <out)" ] && [ -s out ]
result "grep_prints_lines_of_show" $? "$(cat out)"
expect "grep_finds_nothing" 1 "" grep a.pcapng call=open 'path~=/etc'
expect "grep_counts" 0 "" grep -c a.pcapng 'ret<0'
[ "$(cat out)" = "$errors" ]
result "grep_counts_errors" $? "$(cat out)"
expect "grep_knows_errors_by_name" 0 "" grep a.bjt ret=-ENOENT 'path=/nope'
expect "grep_knows_escapes" 0 "" grep a.pcapng 'path~=\xff\x01'
expect "grep_looks_into_data" 0 "" grep a.pcapng 'out~=\x01\xffraw'
expect "grep_knows_flags" 0 "" grep a.pcapng 'flags~=creat'
expect "grep_knows_descriptors" 0 "" grep a.pcapng fd=3 'len>=4096' 'n>1' 'dur>1ns'
expect "grep_knows_numbers_of_calls" 0 "" grep a.pcapng n=0
[ "$(cat out)" = "$(head -n 1 live.log)" ]
result "call_0_is_the_first" $? "$(cat out)"
expect "unknown_field" 2 "no call has a field frob; there are call, path" grep a.pcapng frob=1
expect "no_operator" 2 "no operator behind ret" grep a.pcapng ret
expect "operator_of_text_on_numbers" 2 "ret is a number" grep a.pcapng 'ret~=3'
expect "operator_of_numbers_on_text" 2 "path is text" grep a.pcapng 'path<3'
expect "no_number" 2 "no value of ret" grep a.pcapng ret=many
expect "no_unit" 2 "no value of dur" grep a.pcapng 'dur>3h'
expect "no_escape" 2 "not an escape" grep a.pcapng 'in~=\q'
expect "no_condition" 2 "no condition given" grep a.pcapng

# --- diff
expect "diff_of_the_same" 0 "" diff a.pcapng a.bjt
says "diff_counts_what_is_the_same" "^$calls same, 0 changed, 0 only in a.pcapng, 0 only in a.bjt$"
sed 's/made by a guest/made by a ghost/' a.bjt >changed.bjt
expect "diff_of_a_changed_call" 3 "" diff a.pcapng changed.bjt
says "diff_shows_the_byte" '^\? +in: differ at byte 11: .*guest.*\| .*ghost'
says "diff_counts_one_change" '^[0-9]+ same, 1 changed, 0 only in a.pcapng, 0 only in changed.bjt$'
sed '0,/^close 3 -> 0$/{/^close 3 -> 0$/d}' a.bjt >fewer.bjt
expect "diff_of_a_lost_call" 3 "" diff a.bjt fewer.bjt
says "diff_counts_one_lost" '^[0-9]+ same, 0 changed, 1 only in a.bjt, 0 only in fewer.bjt$'
says "diff_shows_context" '^ +[0-9]+ +[0-9]+  (read|serial_write|open)'
expect "diff_the_other_way" 3 "" diff fewer.bjt a.pcapng
says "diff_counts_one_more" '^[0-9]+ same, 0 changed, 0 only in fewer.bjt, 1 only in a.pcapng$'
sed 's/-> -ENOENT/-> -EACCES/' a.bjt >errno.bjt
expect "diff_of_results" 3 "" diff --all a.bjt errno.bjt
[ "$(grep -c 'result: -ENOENT | -EACCES' out)" = "$(grep -c '= -1 ENOENT' live.log)" ]
result "diff_all_shows_all" $? "$(cat out)"
sed 's/attr mode=040755/attr mode=040700/' a.bjt >attr.bjt
expect "diff_of_a_structure" 3 "" diff a.pcapng attr.bjt
says "diff_shows_its_fields" '^\+ +< attr mode=040700 '
sed 's/^end$/end crashed "x"/' a.bjt >end.bjt
expect "diff_of_the_end" 3 "" diff a.bjt end.bjt
says "diff_counts_the_end_apart" '; 1 difference in files or end$'
expect "diff_says_when_there_is_more" 3 "" diff --window 2 a.bjt errno.bjt
says "diff_names_the_window" '^Only 2 calls from the first difference on'
sed 's/mem=67108864/mem=33554432/' a.bjt >mem.bjt
expect "diff_of_headers_only" 0 "" diff a.bjt mem.bjt
says "diff_notes_headers" '^note: not the same: memory$'
expect "diff_of_a_stream" 125 "read twice" diff - a.bjt
# What is masked is not compared.
sed 's/^\(open "\/nope".*-> \)-ENOENT/\1~-EACCES/' a.bjt >masked.bjt
expect "diff_leaves_out_what_is_masked" 0 "" diff a.pcapng masked.bjt

# --- export
trace export --format bjt a.pcapng -o b.bjt && cmp -s a.bjt b.bjt
result "export_of_text" $? "$(diff a.bjt b.bjt | head -n 3)"
trace export --format pcapng a.bjt -o b.pcapng && trace show --bjt b.pcapng | cmp -s - a.bjt
result "text_becomes_a_recording_and_text_again" $? ""
trace export --format jsonl a.pcapng >a.jsonl
if command -v python3 >/dev/null; then
	cat >rebuild.py <<'EOF'
import json, struct, sys

def item(b, at):
    major, info = b[at] >> 5, b[at] & 31
    at += 1
    if major == 7:
        return {20: False, 21: True}[info], at
    value = info
    if info >= 24:
        size = 1 << (info - 24)
        value = int.from_bytes(b[at:at + size], "big")
        at += size
    if major == 0: return value, at
    if major == 1: return -1 - value, at
    if major == 2: return b[at:at + value], at + value
    if major == 3: return b[at:at + value].decode(), at + value
    out = []
    for _ in range(value * (major - 3)):
        one, at = item(b, at)
        out.append(one)
    return (out if major == 4 else dict(zip(out[::2], out[1::2]))), at

def packets(b):
    at = 0
    while at < len(b):
        kind, size = struct.unpack_from("<II", b, at)
        if kind == 6:
            high, low, n = struct.unpack_from("<III", b, at + 12)
            yield high << 32 | low, item(b[at + 28:at + 28 + n], 0)[0]
        at += size

def joined(b):
    whole = None
    for time, m in packets(b):
        if whole is None:
            whole, when = m, time
        else:
            for k, v in m.items():
                whole[k] = whole[k] + v if k in whole and isinstance(v, (bytes, list)) else v
        if not m.get("more"):
            whole.pop("more", None)
            yield when, whole
            whole = None

raw = lambda v: bytes.fromhex(v["hex"]) if isinstance(v, dict) else v.encode()
num = lambda v: int(v, 0) if isinstance(v, str) else v
TREE = ["removed", "file", "dir", "link", "fifo", "socket", "device"]
STOP = ["running", "exited", "crashed", "debug", "kicked", "failed"]

def entry(e):
    m = {"kind": None, "mount": e["mount"], "path": raw(e["path"]), "mode": e["mode"]}
    if "size" in e: m.update(size=num(e["size"]), hash=bytes.fromhex(e["sha256"]))
    if "same" in e: m["same"] = num(e["same"])
    if "xdev" in e: m["xdev"] = e["xdev"]
    if "target" in e: m["target"] = raw(e["target"])
    return m

def rebuild(j):
    if "bjt" in j:
        return {"bjt": j["bjt"], "abi": j["abi"], "gen": j["generation"], "mem": num(j["memory"]), "clk": num(j["clock"]),
            "cwd": raw(j["directory"]), "env": list(map(raw, j["environment"])), "argv": list(map(raw, j["arguments"])),
            "karg": list(map(raw, j["kernel_arguments"])), "seed": num(j["seed"]), "guest": bytes.fromhex(j["guest"]),
            "mnt": [[raw(m["host"]), raw(m["guest"]), m.get("writable", 0) + 2 * m.get("may_unlink", 0) + 4 * m.get("file", 0)] for m in j["mounts"]]}
    if "blob" in j: return {"blob": bytes.fromhex(j["sha256"]), "data": raw(j["data"])}
    for when, key in (("before", "tree"), ("after", "after")):
        if when in j: return dict(entry(j), kind=None, **{key: TREE.index(j[when])})
    if "end" in j: return {"end": j["end"], "stop": STOP.index(j["stop"]), "code": j["code"], "text": j["text"]}
    m = {"n": j["n"], "nr": j["port"], "d": num(j["d"]), "ip": num(j["ip"]), "r": num(j["ret"]),
        "a": [num(v) & (1 << 64) - 1 for v in j["args"].values()], "in": raw(j.get("in", j.get("path", ""))),
        "out": raw(j.get("out", ""))}
    if j.get("ends"): m["fin"] = True
    if j.get("fault"): m["bad"] = True
    return m

lines = [json.loads(l) for l in open(sys.argv[2])]
records = list(joined(open(sys.argv[1], "rb").read()))
if len(lines) != len(records):
    sys.exit(f"{len(lines)} lines, {len(records)} records")
for j, (time, m) in zip(lines, records):
    want = {k: v for k, v in m.items() if k not in ("call", "cpu", "prog", "tree" if "bjt" in m else "")}
    got = {k: v for k, v in rebuild(j).items() if v is not None}
    for k in sorted(set(want) | set(got)):
        if (want.get(k) or 0) != (got.get(k) or 0) and (want.get(k) or got.get(k)) not in (b"", [], ""):
            sys.exit(f"{j}: {k}: {got.get(k)} is not {want.get(k)}")
    if "t" in j and int(j["t"]) != time:
        sys.exit(f"{j}: time is {time}")
EOF
	python3 rebuild.py a.pcapng a.jsonl >why 2>&1
	result "json_lines_lose_nothing" $? "$(tail -n 1 why)"
else
	skip "json_lines_lose_nothing" "no python3"
fi
trace export --format chrome a.pcapng -o a.json
if command -v jq >/dev/null; then
	jq -e . a.jsonl >/dev/null
	result "json_lines_are_json" $? ""
	[ "$(jq -s -c '[(first | has("bjt")), last.end, ([.[] | select(.call)] | length)]' a.jsonl)" = "[true,$calls,$calls]" ]
	result "json_lines_begin_and_end" $? "$(jq -s -c '[first, last]' a.jsonl)"
	[ "$(jq '[.traceEvents[] | select(.ph == "X" and .cat == "hcall" and .dur >= 0 and .ts >= 0)] | length' a.json)" = "$calls" ]
	result "trace_events_are_complete" $? "$(head -c 300 a.json)"
else
	skip "json_is_json" "no jq"
fi
expect "export_needs_a_format" 2 "no --format given" export a.pcapng
expect "export_knows_its_formats" 2 "one of jsonl, chrome, bjt, pcapng" export --format xml a.pcapng
expect "a_recording_needs_a_file" 2 "give -o OUT" export --format pcapng a.pcapng
cp a.pcapng same.pcapng
for format in jsonl pcapng; do
	expect "export_${format}_does_not_overwrite_what_it_reads" 125 "is what is read" export --format $format same.pcapng -o ./same.pcapng
done
expect "html_does_not_overwrite_what_it_reads" 125 "is what is read" html same.pcapng -o same.pcapng
cmp -s a.pcapng same.pcapng
result "and_it_is_still_there" $? ""

# --- what was cut
head -c $(($(wc -c <a.pcapng) - 200)) a.pcapng >cut.pcapng
expect "a_cut_recording_is_shown" 0 "" show cut.pcapng
[ "$(tail -n 1 out)" = "+++ recording was cut +++" ] && grep -v '^+++' out | cmp -s - <(head -n "$(($(wc -l <out) - 1))" live.log)
result "a_cut_recording_says_so" $? "$(tail -n 2 out)"
expect "a_cut_recording_is_counted" 0 "" stat cut.pcapng
says "stat_says_that_it_was_cut" '^The recording was cut'
if command -v jq >/dev/null; then
	for format in jsonl chrome; do
		trace export --format $format cut.pcapng | jq -e . >/dev/null
		result "a_cut_recording_is_json_as_$format" $? ""
	done
fi

# A recorder that was killed while its guest waited for the console.
mkfifo line
"$BELLJAR" record --backend tcg -o killed.pcapng "$GUESTS/console.elf" <line >console 2>err &
pid=$!
exec 9>line
for _ in $(seq 100); do
	grep -q 'byte by byte' console && break
	sleep 0.1
done
sleep 0.2
kill -KILL $pid
wait $pid 2>/dev/null
exec 9>&-
expect "a_killed_recording_is_shown" 0 "calls came from killed.pcapng.tail; .belljar trace recover killed.pcapng. puts" show killed.pcapng
says "the_call_in_flight_is_named" '^serial_read_byte\( <unfinished \.\.\.>$'
[ "$(tail -n 1 out)" = "+++ recording was cut +++" ]
result "then_it_was_cut" $? "$(tail -n 2 out)"
cp out before
for format in jsonl chrome bjt; do
	expect "a_killed_recording_exports_as_$format" 0 "trace recover" export --format $format killed.pcapng
	if [ $format != bjt ] && command -v jq >/dev/null; then
		jq -e . out >/dev/null
		result "and_is_json_as_$format" $? ""
	fi
done
expect "recover" 0 "" recover killed.pcapng
says "recover_says_what_it_did" '^killed.pcapng: recovered$'
[ ! -e killed.pcapng.tail ]
result "recover_removes_the_tail" $? ""
expect "recover_once_more" 0 "" recover killed.pcapng
says "recover_has_nothing_to_do" 'nothing to recover'
expect "a_recovered_recording_is_shown" 0 "" show killed.pcapng
cmp -s out before
result "and_is_the_same" $? "$(diff before out | head -n 3)"

# --- what is hostile
: >empty
head -c 3000 /dev/urandom >noise
printf 'bjt 99\n' >future.bjt
printf 'bjt 1\nfrob\n' >odd.bjt
for verb in show stat html export grep diff recover; do
	args=() more=()
	case $verb in
	html) more=(-o x.html) ;;
	export) args=(--format chrome) more=(-o x.json) ;;
	grep) more=(n=0) ;;
	diff) more=(a.bjt) ;;
	esac
	for file in empty noise nosuch .; do
		# What has no tail, whatever it is, is left as it is.
		case $verb-$file in recover-empty | recover-noise) continue ;; esac
		expect "${verb}_of_${file/./a_directory}" 125 . $verb "${args[@]}" $file "${more[@]}"
	done
done
expect "text_of_the_future" 125 "future.bjt" show future.bjt
expect "odd_text" 125 "odd.bjt:2" show odd.bjt

# Bytes changed at random: an answer or one line, never anything else.
bad=
size=$(wc -c <a.pcapng)
for i in $(seq 40); do
	cp a.pcapng mutant
	for _ in 1 2 3; do
		printf '%b' "\\x$(printf %02x $((RANDOM % 256)))" |
			dd of=mutant bs=1 seek=$(((RANDOM * 32768 + RANDOM) % size)) conv=notrunc status=none
	done
	case $((i % 5)) in
	0) set -- show --full -v mutant ;;
	1) set -- export --format jsonl mutant ;;
	2) set -- html mutant -o - ;;
	3) set -- diff mutant a.bjt ;;
	4) set -- export --format chrome mutant ;;
	esac
	trace "$@" >out 2>err
	code=$?
	case $code in 0 | 3 | 125) ;; *) bad="$* exits with $code: $(head -n 3 err)" ;; esac
	[ "$(wc -l <err)" -le 1 ] || bad="$*: $(head -n 3 err)"
	[ $code != 125 ] || [ -s err ] || bad="$*: 125 without a word"
	if [ "$1 $3" = "export chrome" ] && command -v jq >/dev/null; then
		[ ! -s out ] || jq -e . out >/dev/null 2>&1 || bad="$*: not JSON"
	fi
	[ -z "$bad" ] || break
done
[ -z "$bad" ]
result "mutants_are_answered_or_refused" $? "$bad"

# Names that would command a terminal, or a page, stay text.
cat >nasty.bjt <<'EOF'
bjt 1
guest "\x1b]0;x\x07" abi=uhyve/2 mem=67108864
argv "\x1b[31m" "</script>"
mount "\x1b[2J" "/\x1b[2J" ro
omit t ip ptr n

open "/\x1b[31m\x9b\xff" rdonly mode=0 -> -ENOENT
serial_write -> 5
  > \x1b[2J\n
after 0 "\x1b[1m" file mode=0644 size=0 sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
end crashed "\x1b[5m"
EOF
for verb in "show --full -v" "show --bjt" stat "stat --json" "export --format jsonl" "export --format chrome" "html -o -" "diff --all a.bjt"; do
	# shellcheck disable=SC2086 # words
	trace $verb nasty.bjt >out 2>err
	! LC_ALL=C grep -q $'[\001-\010\013-\037\177]' out err
	result "nothing_obeys_${verb// /_}" $? "$(head -n 3 err; LC_ALL=C grep -an $'[\001-\010\013-\037\177]' out | cat -v | head -n 3)"
done

# --- output that goes nowhere
for verb in show stat "show --full" "show --bjt" "export --format jsonl" "export --format chrome" "html -o -" "grep -c"; do
	set -- a.pcapng
	[ "$verb" = "grep -c" ] && set -- a.pcapng 'n>=0'
	# shellcheck disable=SC2086 # words
	trace $verb "$@" >/dev/full 2>err
	code=$?
	[ $code = 125 ] && [ "$(wc -l <err)" = 1 ] && grep -q 'No space left' err
	result "a_full_disk_is_an_error_of_${verb// /_}" $? "code $code: $(cat err)"
done
for format in jsonl bjt; do
	expect "a_full_disk_of_export_${format}_-o" 125 "/dev/full: No space left" export --format $format a.pcapng -o /dev/full
done
expect "an_output_that_cannot_be_made" 125 "no/such" html a.pcapng -o no/such
trace diff a.bjt changed.bjt >/dev/full 2>err
[ $? = 125 ] && [ "$(wc -l <err)" = 1 ]
result "diff_on_a_full_disk" $? "$(cat err)"

# Enough lines that a pipe is closed on the way.
{
	sed '/^$/q' a.bjt
	for _ in $(seq 300); do sed '1,/^$/d; /^exit 0/,$d' a.bjt; done
	echo cut
} >long.bjt
for verb in show "show --full" "export --format jsonl" "html -o -"; do
	# shellcheck disable=SC2086 # words
	trace $verb long.bjt 2>err | head -n 1 >out
	[ ! -s err ] && [ -s out ]
	result "a_closed_pipe_is_quiet_for_${verb// /_}" $? "$(cat err)"
done

# --- words
expect "trace_has_help" 0 "" --help
for verb in show stat diff export grep html minimize recover; do
	expect "${verb}_has_help" 0 "" $verb --help
	says "${verb}_help_is_its_own" "^Usage: belljar trace $verb "
	expect "${verb}_wants_a_trace" 2 "see belljar trace $verb --help" $verb
done
expect "no_verb" 2 "no verb given"
expect "unknown_verb" 2 "frob: no such verb" frob
expect "unknown_option" 2 "--frob: no such option" show --frob a.pcapng
expect "no_number_for_from" 2 "not a number" show --from x a.pcapng
expect "diff_wants_two" 2 "two traces are wanted" diff a.pcapng
expect "html_wants_an_output" 2 "no -o OUT.html" html a.pcapng
expect "unknown_sort" 2 "one of time, calls, errors, name, bytes" stat --sort x a.pcapng

for verb in "export --format jsonl" html; do
	# shellcheck disable=SC2086 # words
	(ulimit -S -f 1; trap '' XFSZ; trace $verb long.bjt -o part 2>err)
	[ $? = 125 ] && [ ! -e part ] && grep -q "part: File too large" err
	result "no_half_file_is_left_by_${verb%% *}" $? "$(cat err)"
done

finish
