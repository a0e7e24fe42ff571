#!/bin/bash
# SPDX-License-Identifier: ISC
# Recording as a user sees it: the guest notices nothing, every call is there, and neither SIGKILL nor a full
# disk takes one away.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
BELLJAR=${BELLJAR:-build/rel/belljar} GUESTS=${GUESTS:-build/rel/kernels}
KILLS=${KILLS:-200}
dir=$(mktemp -d)
export TMPDIR=$dir # for what a kill leaves behind
trap 'rm -rf "$dir"' EXIT
trace=$dir/r.pcapng
umask 022

belljar() { timeout -k 5 60 "$BELLJAR" "$@"; }

make_tree() {
	rm -rf "$dir/in" "$dir/out"
	mkdir "$dir/in" "$dir/out"
	printf 'A bell jar keeps what is inside\nfrom what is outside.\n' >"$dir/in/input.txt"
	printf 'kept\n' >"$dir/out/kept.txt"
}

# --- the guest notices nothing, and every call is there --------------------------------------------

# same NAME BACKEND GUEST ARGS...: recorded and not, the console and the exit code are the same; and the
# recording shows what strace showed.
same() {
	local name=$1 backend=$2 image=$GUESTS/$3.elf why='' code want
	local options=(--backend "$backend" --mount "$dir/in:/in" --mount "$dir/out:/out:rw")
	shift 3
	make_tree
	belljar run --deterministic --strace="$dir/strace" "${options[@]}" "$image" "$@" >"$dir/want" 2>&1 </dev/null
	want=$?
	make_tree
	belljar record -o "$trace" "${options[@]}" "$image" "$@" >"$dir/got" 2>&1 </dev/null
	code=$?
	belljar trace show "$trace" 2>&1 | grep -v '^+++' >"$dir/shown"
	[ $code = $want ] || why="exit $code, not $want"
	cmp -s "$dir/want" "$dir/got" || why="the console differs: $(diff "$dir/want" "$dir/got" | head -n 3)"
	[ "$(wc -l <"$dir/shown")" = "$(grep -vc '^+++' "$dir/strace")" ] ||
		why="$(wc -l <"$dir/shown") calls recorded, $(wc -l <"$dir/strace") made"
	[ -e "$trace.tail" ] && why="a tail was left"
	[ -z "$why" ]
	result "$name, $backend" $? "$why"
}

for backend in tcg kvm; do
	if ! belljar run --backend $backend "$GUESTS/hello.elf" >/dev/null 2>"$dir/why"; then
		skip "a guest does not notice, $backend" "$(cat "$dir/why")"
		continue
	fi
	same hello_does_not_notice $backend hello
	same hello_v1_does_not_notice $backend hello-v1
	same files_does_not_notice $backend files
	same paths_does_not_notice $backend paths open:/in/input.txt readdir:/in 'stat:/in/nope' mkdir:/out/d \
		unlink:/out/kept.txt 'create:/out/caf\xe9'
	same exit_does_not_notice $backend exit 42
	same fault_does_not_notice $backend fault ud
done

# --- how it ends ---------------------------------------------------------------------------------

# expect NAME CODE STDERR_PATTERN ARGS...: exit code and one line on stderr.
expect() {
	local name=$1 code=$2 pattern=$3 got
	shift 3
	belljar record "$@" >"$dir/console" 2>"$dir/err" </dev/null
	got=$?
	[ $got = "$code" ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qE "$pattern" "$dir/err"
	result "$name" $? "exit $got: $(head -n 3 "$dir/err")"
}

hello=$GUESTS/hello.elf
tcg=(--backend tcg)
mkfifo "$dir/fifo"
cp "$hello" "$dir/guest.elf"
expect needs_a_file 2 "no -o FILE" "$hello"
expect needs_a_guest 2 "no guest given" -o "$trace"
expect refuses_standard_output 2 "needs a file" -o - "$hello"
expect refuses_a_fifo 125 "no regular file" -o "$dir/fifo" "${tcg[@]}" "$hello"
expect refuses_a_device 125 "no regular file" -o /dev/null "${tcg[@]}" "$hello"
expect refuses_a_directory_that_is_not_there 125 "No such file" -o "$dir/no/x" "${tcg[@]}" "$hello"
expect refuses_to_replace_the_guest 125 "is the guest itself" -o "$dir/guest.elf" "${tcg[@]}" "$dir/guest.elf"
expect refuses_what_the_guest_would_see 125 "the guest would see it" -q -o "$dir/out/x" "${tcg[@]}" \
	--mount "$dir:/d" "$hello"
ln -s in/evil.pcapng "$dir/dangling.pcapng"
expect refuses_a_link_to_where_the_guest_would_see_it 125 "the guest would see it" -o "$dir/dangling.pcapng" "${tcg[@]}" \
	--mount "$dir/in:/in:rw" "$hello"
ln -s "$dir/dangling.pcapng" "$dir/chain.pcapng"
expect refuses_a_chain_of_links 125 "the guest would see it" -o "$dir/chain.pcapng" "${tcg[@]}" --mount "$dir/in:/in" "$hello"
ln -s ../away.pcapng "$dir/in/link.pcapng"
expect refuses_a_link_that_the_guest_sees 125 "the guest would see it" -o "$dir/in/link.pcapng" "${tcg[@]}" \
	--mount "$dir/in:/in" "$hello"
rm "$dir/in/link.pcapng"
echo kept >"$dir/in/hard" && ln "$dir/in/hard" "$dir/hard.pcapng"
expect refuses_another_name_of_a_file 125 "hard link" -o "$dir/hard.pcapng" "${tcg[@]}" --mount "$dir/in:/in:rw" "$hello"
expect refuses_strace_where_the_guest_would_see_it 125 "strace=.*the guest would see it" -o "$trace" "${tcg[@]}" \
	--strace="$dir/in/hard" --mount "$dir/in:/in:rw" "$hello"
[ "$(cat "$dir/in/hard")" = kept ] && [ ! -e "$dir/in/evil.pcapng" ]
result and_these_are_untouched_too $? "they are not"
rm "$dir/in/hard" "$dir/hard.pcapng"
expect refuses_an_unknown_policy 2 "stop, continue" --on-record-error never -o "$trace" "$hello"
cmp -s "$hello" "$dir/guest.elf" && [ ! -e "$dir/out/x" ]
result what_was_refused_is_untouched $? "it is not"
head -c 3000 /dev/zero >"$dir/in/large"
expect warns_of_a_tree_that_is_too_large 0 "without them" -o "$trace" "${tcg[@]}" --tree-limit 1K \
	--mount "$dir/in:/in" "$hello"
belljar record -v -o "$trace" "${tcg[@]}" "$hello" 2>&1 | grep -q 'r.pcapng: 2 calls recorded, [0-9]* bytes'
result says_how_much_was_recorded $? "it does not"
expect a_time_limit_ends_it_in_order 124 "still running" -o "$trace" "${tcg[@]}" --timeout 0.3 "$GUESTS/count.elf" 1000000000000
belljar trace show "$trace" >"$dir/shown" 2>&1
result and_the_recording_has_an_end $? "$(tail -n 1 "$dir/shown")"
timeout --preserve-status -s TERM 0.3 "$BELLJAR" record -o "$trace" "${tcg[@]}" "$GUESTS/count.elf" 1000000000000 2>"$dir/err"
code=$?
belljar trace show "$trace" >"$dir/shown" 2>&1 && [ $code = 143 ] && [ ! -e "$trace.tail" ] && ! grep -q 'was cut' "$dir/shown"
result a_signal_ends_it_in_order $? "exit $code: $(cat "$dir/shown" "$dir/err")"

# --- no work of ours for each call ----------------------------------------------------------------

# calls BACKEND N: a recorder of N calls, its system calls by name; on kvm the guest's own steps aside.
calls() {
	timeout -k 5 60 strace -f -qq -o "$dir/syscalls" "$BELLJAR" record -o "$trace" --backend "$1" \
		"$GUESTS/hypercalls.elf" "$2" >/dev/null 2>&1
	grep -oE ' [a-z_0-9]+\((-?[0-9]+, KVM_[A-Z_0-9]+)?' "$dir/syscalls" | grep -v KVM_RUN | sed 's/([0-9]*, /(/' | sort | uniq -c
}

for backend in tcg kvm; do
	name="no_system_call_for_each_event, $backend"
	if ! strace -o /dev/null true 2>/dev/null; then
		skip "$name" "strace may not trace here"
	elif ! belljar run --backend $backend "$hello" >/dev/null 2>"$dir/why"; then
		skip "$name" "$(cat "$dir/why")"
	else
		calls $backend 10 >"$dir/few"
		calls $backend 3010 >"$dir/many"
		# A heart that beats ten times a second looks after the CPU: that is not for each call.
		grown=$(awk 'FNR == NR { few[$2] = $1; next } $1 > few[$2] + 300 { print }' "$dir/few" "$dir/many")
		grep -q pwrite64 "$dir/few" && [ -s "$dir/many" ] && [ -z "$grown" ]
		result "$name" $? "3000 calls more: $grown"
	fi
done

# --- killed ---------------------------------------------------------------------------------------

# killed ARGS...: records until SIGKILL comes, within 24 ms of when it may have begun. False when it had not; then
# the next one gets more time.
soonest=8
killed() {
	local ms=$((RANDOM % 24 + soonest))
	rm -f "$trace" "$trace.tail"
	( # another shell, for the one that waits says "Killed"
		timeout -s KILL "$(printf '0.%03d' $ms)" "$BELLJAR" record --backend tcg -o "$trace" "$@"
		:
	) >/dev/null 2>&1 </dev/null
	for f in "$trace" "$trace.tail"; do # it does not wait for what it kills, which holds locks until it is gone
		[ ! -e "$f" ] || flock -w 10 "$f" true
	done
	[ -s "$trace" ] && return
	soonest=$((soonest + 3))
	return 1
}

# What `trace show` says, into shown; the number of its finished calls of a kind (all: the empty string) in
# n, and in pending whether the call in flight is of that kind: 0 or 1.
look() {
	"$BELLJAR" trace show "$trace" >"$dir/shown" 2>"$dir/err" || return 1
	n=$(grep -cE "^$1.* = " "$dir/shown")
	pending=$(grep -cE "^$1.*<unfinished" "$dir/shown")
	return 0
}

# recovered: the tail goes, and what is shown stays the same.
recovered() {
	"$BELLJAR" trace recover "$trace" >/dev/null 2>"$dir/err" && [ ! -e "$trace.tail" ] &&
		"$BELLJAR" trace show "$trace" 2>"$dir/err" | cmp -s "$dir/shown" -
}

# opens_in tshark|capinfos torn|whole: the header at least is there; of a packet that was being written it may say that
# it is cut short. Both read files with the same library, and capinfos starts much faster.
opens_in() {
	local options=(-T fields -e frame.number -r)
	[ "$1" = tshark ] || options=(-TmrBc)
	"$1" "${options[@]}" "$trace" >"$dir/frames" 2>"$dir/err" ||
		{ [ "$2" = torn ] && grep -q 'cut short' "$dir/err"; } || { why="$1: $(cat "$dir/err")"; return 1; }
	[ -s "$dir/frames" ]
}

# opens_in_wireshark: the same of many whole files at once.
opens_in_wireshark() {
	[ $have_tshark = 1 ] && ls "$dir"/whole/* >/dev/null 2>&1 || return 0
	capinfos -c "$dir"/whole/* >"$dir/infos" 2>"$dir/err" || why="capinfos: $(cat "$dir/err")"
	rm -f "$dir"/whole/*
}

have_tshark=0
if command -v tshark capinfos >/dev/null; then have_tshark=1; else skip opens_in_tshark "tshark is not installed"; fi
done_kills=0 tries=0 why=''

# One kill of a guest that works on files at full speed: what its files say it has written is recorded, or in flight.
kill_filework() {
	local turns made
	rm -f "$dir"/out/*
	killed --mount "$dir/out:/out:rw" "$GUESTS/filework.elf" 1000000 || return 0
	look write || { why="trace show: $(cat "$dir/err")"; return 1; }
	turns=$(head -qc 8 "$dir"/out/w* 2>/dev/null | od -An -v -w8 -t u8 | sort -n | tail -n 1)
	made=${turns:-0}
	for f in "$dir"/out/r*; do [ ! -s "$f" ] || made=$((made + 1)); done
	[ "$n" = "$made" ] || [ "$((n + pending))" = "$made" ] ||
		{ why="$made writes made, $n recorded, $pending in flight"; return 1; }
	done_kills=$((done_kills + 1))
}

# One kill of a guest that makes cheap calls, with strace to count them: it is told first.
kill_hypercalls() {
	local made
	killed --strace="$dir/strace" "$GUESTS/hypercalls.elf" 100000000 || return 0
	look '' || { why="trace show: $(cat "$dir/err")"; return 1; }
	made=$(grep -c ' = ' "$dir/strace")
	[ "$n" = "$made" ] || [ "$((n + pending))" = "$made" ] ||
		{ why="$made calls made, $n recorded, $pending in flight"; return 1; }
	done_kills=$((done_kills + 1))
}

make_tree
mkdir "$dir/whole"
while [ $done_kills -lt "$KILLS" ] && [ -z "$why" ] && [ $tries -lt $((3 * KILLS + 50)) ]; do
	tries=$((tries + 1))
	if [ $((tries % 2)) = 0 ]; then kill_filework; else kill_hypercalls; fi || break
	[ -s "$trace" ] || continue
	with=''
	[ $((tries % 10)) != 0 ] || with=capinfos
	[ $tries -gt 4 ] || with=tshark
	[ $have_tshark = 1 ] || with=''
	[ -z "$with" ] || opens_in $with torn || break
	recovered || why="recover: $(cat "$dir/err")"
	[ "$with" != tshark ] || opens_in tshark whole || break
	mv "$trace" "$dir/whole/$tries"
	[ $((tries % 20)) != 0 ] || opens_in_wireshark
done
opens_in_wireshark
[ -z "$why" ] && [ $done_kills -ge "$KILLS" ]
result no_finished_call_is_lost_to_sigkill $? "kill $done_kills of $KILLS in $tries tries: $why"

# --- killed at every system call ------------------------------------------------------------------

# Each of these has its files in $dir/KIND: FILE is new, was empty, or was a recording longer than this one will be.
start_over() {
	rm -f "$dir/$1".{pcapng,pcapng.tail,console}
	case $1 in
	empty) : >"$dir/$1.pcapng" ;;
	old) cp "$dir/longer.pcapng" "$dir/$1.pcapng" ;;
	esac
}

record_hello() { # KIND STRACE_OPTIONS...
	local at=$dir/$1
	shift
	timeout -k 5 20 strace -qq -o "$at.calls" "$@" "$BELLJAR" record --backend tcg -o "$at.pcapng" \
		"$hello" >"$at.console" 2>"$at.err" </dev/null
}

# whole KIND: it opens, and has the call that the guest has made. Before the guest runs FILE may not be there, and one
# that was empty may still be.
whole() {
	local at=$dir/$1
	if [ -s "$at.console" ]; then
		belljar trace show "$at.pcapng" 2>"$at.err" | grep -q '^serial_write("Hello'
	elif [ -e "$at.pcapng" ]; then
		belljar trace show "$at.pcapng" >/dev/null 2>"$at.err" ||
			{ [ "$1" = empty ] && ! grep -qs bjttail1 "$at.pcapng.tail" && [ "$(wc -l <"$at.err")" = 1 ] &&
				grep -q 'killed before the guest ran' "$at.err"; }
	else
		[ "$1" = new ]
	fi
}

# kill_everywhere KIND LAST: at each system call from the first open of FILE to the first that matches LAST. strace counts
# every system call's own invocations. When the tail is gone, those that only concern the recorder's own memory and
# descriptors are left out.
kill_everywhere() {
	local kind=$1 last=$2 name nth killed=0 at=$dir/$1
	start_over "$kind"
	record_hello "$kind"
	awk -v file="\"$at.pcapng\"" -v last="$last" -v own='^(munmap|brk|close|fcntl|lseek|getdents64)$' '
		match($0, /^[a-z_0-9]+/) { name = substr($0, 1, RLENGTH); n[name]++ }
		name == "openat" && index($0, file) { on = 1 }
		/\.gcda"/ { exit } # of a build for coverage, when the program is over
		on && !(gone && name ~ own) { print name, n[name] }
		name == "unlink" && index($0, ".tail") { gone = 1 }
		on && $0 ~ last { exit }' "$at.calls" >"$at.points"
	while read -r name nth; do
		start_over "$kind"
		record_hello "$kind" -e "inject=$name:signal=KILL:when=$nth"
		[ $? = 137 ] && killed=$((killed + 1))
		whole "$kind" || echo "$name, number $nth: $(tail -n 1 "$at.err")"
	done <"$at.points" >"$at.why" 2>/dev/null
	[ "$killed" -gt 9 ] || echo "killed $killed times" >>"$at.why"
}

name=there_is_a_recording_or_none_wherever_killed
if ! strace -o "$dir/calls" -e inject=getpid:signal=KILL:when=1 true 2>/dev/null; then
	skip $name "strace may not trace here"
else
	belljar record --backend tcg -o "$dir/longer.pcapng" "$GUESTS/hypercalls.elf" 100 >/dev/null
	( # in parallel, for each starts a program many times
		kill_everywhere new '^exit_group' &
		kill_everywhere empty '^munmap' &
		kill_everywhere old '^munmap' &
		wait
	)
	cat "$dir"/{new,empty,old}.why >"$dir/why"
	[ ! -s "$dir/why" ]
	result $name $? "$(head -n 3 "$dir/why")"
fi

# --- a full disk ----------------------------------------------------------------------------------

# full NAME POLICY CODE WHY DIR: a guest that makes more calls than fit; what the line on stderr says is there, is there.
full() {
	local name=$1 policy=$2 want=$3 why=$4 at=$5 code calls
	rm -f "$dir"/out/*
	belljar record --backend tcg --on-record-error "$policy" -o "$at/r.pcapng" --mount "$dir/out:/out:rw" \
		"$GUESTS/filework.elf" 3000 >"$dir/console" 2>"$dir/err" </dev/null
	code=$?
	calls=$(grep -oE 'ends after [0-9]+ calls' "$dir/err" | head -n 1 | grep -oE '[0-9]+')
	[ $code = "$want" ] && grep -q "$why; the recording ends after" "$dir/err" &&
		{ [ "$policy" = continue ] || [ "$(wc -l <"$dir/err")" = 1 ]; } &&
		{ [ "$policy" = stop ] || { grep -q 'is not whole' "$dir/err" && grep -q '^filework: 3000 turns' "$dir/console"; }; } &&
		[ "$(belljar trace show "$at/r.pcapng" 2>/dev/null | grep -c ' = ')" = "$calls" ]
	code=$?
	result "$name" $code "$(head -n 3 "$dir/err")"
}

# The cases of a shell that could not stay: their lines count here.
tally() {
	cat "$1"
	passed=$((passed + $(grep -c '^ok ' "$1")))
	failed=$((failed + $(grep -c '^FAIL ' "$1")))
}

(
	ulimit -S -f 3000
	full stops_at_a_limit_of_file_size stop 125 'File too large' "$dir"
	full goes_on_at_a_limit_of_file_size continue 0 'File too large' "$dir"
) >"$dir/cases"
tally "$dir/cases"

full_disk() {
	mount -t tmpfs -o size=3m none "$dir/small" || return
	full stops_on_a_full_disk stop 125 'No space left on device' "$dir/small"
	full goes_on_on_a_full_disk continue 0 'No space left on device' "$dir/small"
	rm -f "$dir"/small/r.*
	head -c 2500k /dev/zero >"$dir/small/ballast"
	expect needs_room_for_its_tail 125 'no room for 1024 KiB' -o "$dir/small/r.pcapng" --backend tcg "$hello"
	[ -z "$(find "$dir/small" -name 'r.*')" ]
	result and_leaves_nothing_behind $? "$(ls "$dir/small")"
}

mkdir "$dir/small"
if unshare -rm mount -t tmpfs none "$dir/small" 2>"$dir/why"; then
	export dir BELLJAR GUESTS hello failed passed
	export -f full full_disk expect result belljar
	unshare -rm bash -c full_disk >"$dir/cases" 2>&1
	tally "$dir/cases"
else
	skip a_full_disk "$(cat "$dir/why")"
fi

# Other mounts within a mapping, directories and a file: the guest is not shown them, neither here nor at a replay.
within() {
	local replayed calls=() call
	for call in stat lstat open open,rdwr create create,excl open,rdwr+trunc readdir mkdir unlink; do
		calls+=("$call:/m/d" "$call:/m/d/in" "$call:/m/d/in/f" "$call:/m/d/new" "$call:/m/g" "$call:/m/g/x" "$call:/m/e/../d/")
	done
	calls+=(readdir:/m readdir:/m/e)
	mount --bind "$dir/other" "$dir/host/d" && mount --bind "$dir/other/in/f" "$dir/host/g" || return
	# NAME WARNING MOUNTS...
	one() {
		local name=$1 warning=$2
		shift 2
		rm -f "$trace"
		belljar record -o "$trace" --backend tcg --mount "$dir/host:/m:rw" "$@" "$GUESTS/paths.elf" -- "${calls[@]}" \
			>"$dir/said" 2>"$dir/err"
		[ "$(sed "s|^belljar: $dir/host: something else is mounted in it, at \(.\): .*|\1|" "$dir/err")" = "$warning" ]
		result "$name" $? "$(cat "$dir/err")"
		replayed=$(belljar replay "$trace" 2>&1)
		[[ $replayed == *' calls, no mismatch (host side)' ]]
		result "${name}_at_a_replay" $? "$replayed"
	}
	one other_mounts_are_told_of d
	[ "$(belljar trace export --format jsonl "$trace" | jq -rs 'map(select(.xdev)|.path)|join(" ")')" = "d g" ] &&
		! grep -qE '"/m/(d|g)" = ([^-]|-ENOENT)' "$dir/said"
	result other_mounts_are_noted $? "$(grep -E '"/m/(d|g)"' "$dir/said")"
	one those_that_are_mapped_are_not_told_of '' --mount "$dir/other:/m/d" --mount "$dir/other/in/f:/m/g:rw"
	one others_are g --mount "$dir/other/in:/m/d:rw" --cwd /m/d
}
mkdir -p "$dir/host/d" "$dir/host/e/y" "$dir/other/in"
echo other | tee "$dir/host/g" >"$dir/other/in/f"
if unshare -rm mount --bind "$dir/other" "$dir/host/d" 2>"$dir/why"; then
	export dir trace BELLJAR GUESTS failed passed
	export -f within result belljar
	unshare -rm bash -c within >"$dir/cases" 2>&1
	[ "$(grep -c '^ok ' "$dir/cases")" = 7 ] || echo "FAIL within: $(tail -n 3 "$dir/cases")" >>"$dir/cases"
	tally "$dir/cases"
else
	skip other_mounts_within "$(cat "$dir/why")"
fi

printf '\0notes of mine' >"$dir/own.pcapng.tail"
belljar record -o "$dir/own.pcapng" "$GUESTS/hello.elf" >/dev/null 2>&1
[ $? = 125 ] && [ "$(tr -d '\0' <"$dir/own.pcapng.tail")" = "notes of mine" ]
result what_is_no_tail_is_left_alone $? "$(od -c "$dir/own.pcapng.tail" | head -n 2)"

finish
