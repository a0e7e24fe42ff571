#!/bin/bash
# SPDX-License-Identifier: ISC
# Replay: what was recorded replays on either side and every backend with the files gone; what differs is
# told, by call, field and offset, and by what it looks like.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
BELLJAR=${BELLJAR:-build/rel/belljar} GUESTS=${GUESTS:-build/rel/kernels}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

backends=(tcg)
if [ -c /dev/kvm ] && (: <>/dev/kvm) 2>/dev/null; then
	backends+=(kvm)
else
	skip kvm "/dev/kvm cannot be opened"
fi

make_files() {
	rm -rf "$dir/in" "$dir/out"
	mkdir "$dir/in" "$dir/out"
	printf '100\n-3\n' >"$dir/in/north.txt"
	printf '92\n' >"$dir/in/south.txt"
}

# record FILE BACKEND GUEST [ARGUMENT ...]: the console goes to FILE.out; the files are gone afterwards.
record() {
	local file=$1 backend=$2 guest=$3
	shift 3
	make_files
	timeout 60 "$BELLJAR" record -o "$dir/$file" --backend "$backend" --mount "$dir/in:/in" \
		--mount "$dir/out:/out:rw" "$GUESTS/$guest.elf" "$@" >"$dir/$file.out" 2>"$dir/err" </dev/null
	local code=$?
	rm -rf "$dir/in" "$dir/out"
	return $code
}

# replay CODE FILE [OPTION ...]: standard output to $dir/out.txt, the other one to $dir/err.
replay() {
	local want=$1 file=$2
	shift 2
	timeout 60 "$BELLJAR" replay "$file" "$@" >"$dir/out.txt" 2>"$dir/err" </dev/null
	local code=$?
	[ $code = "$want" ] || echo "exit $code, not $want" >>"$dir/err"
	[ $code = "$want" ]
}

# says NAME PATTERN ...: each is in what the last replay said on standard error.
says() {
	local name=$1 pattern
	shift
	for pattern in "$@"; do
		if ! grep -qE -- "$pattern" "$dir/err"; then
			result "$name" 1 "no $pattern in: $(cat "$dir/err")"
			return
		fi
	done
	result "$name" 0 ""
}

# diverges NAME GUEST FILE PATTERN ...: on tcg, with exit 3 and a report in which each pattern is.
diverges() {
	local name=$1 guest=$2 file=$3
	shift 3
	replay 3 "$file" --guest "$GUESTS/$guest.elf" --backend tcg
	says "$name" '^DIVERGENCE at call' ', 1 mismatch \(guest side\)$' "$@"
	! grep -q '^exit ' "$dir/err"
	result "${name}_exits_with_3" $? "$(tail -n 1 "$dir/err")"
}

# ---- the same again, on every backend, with the files gone ----

for v in "" -v1; do
	for backend in "${backends[@]}"; do
		record "report$v-$backend.pcapng" "$backend" "report$v"
		result "records_report$v-$backend" $? "$(cat "$dir/err")"
		replay 0 "$dir/report$v-$backend.pcapng" &&
			grep -q ' calls, no mismatch (host side)$' "$dir/out.txt"
		result "report$v-${backend}_replays_on_the_host_side" $? "$(cat "$dir/out.txt" "$dir/err")"
		for other in "${backends[@]}"; do
			replay 0 "$dir/report$v-$backend.pcapng" --guest "$GUESTS/report$v.elf" --backend "$other" &&
				cmp -s "$dir/report$v-$backend.pcapng.out" "$dir/out.txt" &&
				grep -q ' calls, no mismatch (guest side)$' "$dir/err"
			result "report$v-${backend}_replays_on_$other" $? "$(cat "$dir/err")"
		done
	done
	"$BELLJAR" trace show --bjt "$dir/report$v-tcg.pcapng" >"$dir/report$v.bjt" 2>"$dir/err"
	replay 0 "$dir/report$v.bjt" --guest "$GUESTS/report$v.elf"
	result "report${v}_replays_from_text" $? "$(cat "$dir/err")"
done
cp "$dir/report.bjt" "$dir/good.bjt"

for guest in "console" "files" "badcalls" "floats" "time" "memory" "args" "paths" "console-v1" "badcalls-v1" "args-v1"; do
	words=()
	case $guest in
	args*) words=(a 'b c' '') ;;
	paths) words=(open:/in/north.txt create:/out/x readdir:/out stat:/in/none mkdir:/out/d unlink:/out/x) ;;
	files) words=(/in/north.txt /out/x) ;;
	esac
	for backend in "${backends[@]}"; do
		other=$([ "$backend" = tcg ] && echo "${backends[-1]}" || echo tcg)
		record "one.pcapng" "$backend" "$guest" "${words[@]}" &&
			replay 0 "$dir/one.pcapng" --guest "$GUESTS/$guest.elf" --backend "$other" &&
			cmp -s "$dir/one.pcapng.out" "$dir/out.txt"
		result "$guest-${backend}_replays_on_$other" $? "$(cat "$dir/err")"
	done
done

# What is written through one name is read through the others, and all have one inode number.
mkdir "$dir/linked"
printf 'old\n' >"$dir/linked/a"
ln "$dir/linked/a" "$dir/linked/b"
ln -s a "$dir/linked/l"
ln -P "$dir/linked/l" "$dir/linked/m"
cp "$dir/linked/a" "$dir/linked/other"
timeout 60 "$BELLJAR" record -o "$dir/linked.pcapng" --backend tcg --mount "$dir/linked:/out:rw" "$GUESTS/paths.elf" \
	readdir:/out open,wronly+trunc:/out/b open:/out/a stat:/out/a stat:/out/b lstat:/out/l lstat:/out/m stat:/out/other \
	unlink:/out/a open:/out/b >"$dir/linked.out" 2>"$dir/err" </dev/null &&
	[ ! -s "$dir/linked/b" ]
result "a_hard_link_is_written_to" $? "$(cat "$dir/linked.out" "$dir/err")"
rm -rf "$dir/linked"
replay 0 "$dir/linked.pcapng"
result "hard_links_are_in_the_recording" $? "$(cat "$dir/out.txt")"

record fault.pcapng tcg fault page
replay 0 "$dir/fault.pcapng" --guest "$GUESTS/fault.elf" --backend tcg
result "a_crash_replays_as_a_crash" $? "$(cat "$dir/err")"

# ---- linked anew: every address is another ----

objects=$GUESTS
printf 'char zz_pad[70000] = { 1 }; int zz_code(int); int zz_code(int x) { return x * 3; }\n' >"$dir/pad.c"
gcc -c -O2 -fpie -ffreestanding -o "$dir/pad.o" "$dir/pad.c" &&
	ld -m elf_x86_64 -T kernels/rt/guest.ld -z noexecstack -z norelro -z max-page-size=4096 --build-id=none \
		-pie --no-dynamic-linker -o "$dir/moved.elf" "$dir/pad.o" "$objects/rt/notes_v2.o" "$objects/rt/abi_v2.o" \
		"$objects/rt/args.o" "$objects"/rt/{print,result,rt,start,string}.o "$objects/report.o" 2>"$dir/err" &&
	printf '\377' | dd of="$dir/moved.elf" bs=1 seek=7 conv=notrunc status=none
result "a_guest_is_linked_anew" $? "$(cat "$dir/err")"
before=$(nm "$GUESTS/report.elf" | grep ' main$') after=$(nm "$dir/moved.elf" | grep ' main$')
[ -n "$after" ] && [ "$before" != "$after" ]
result "its_addresses_are_others" $? "$before, $after"
for backend in "${backends[@]}"; do
	replay 0 "$dir/report-tcg.pcapng" --guest "$dir/moved.elf" --backend "$backend"
	result "it_replays_on_$backend" $? "$(cat "$dir/err")"
done
sed 's/total=189/total=198/' "$dir/good.bjt" >"$dir/x.bjt"
replay 3 "$dir/x.bjt" --guest "$dir/moved.elf"
says "that_it_is_another_image_is_said_when_it_diverges" 'total=1|DIFFERS'
replay 3 "$dir/report-tcg.pcapng" --guest "$GUESTS/hello.elf"
says "wrong_guest_is_said_first" 'WRONG-GUEST' 'call +serial_write +expected open +DIFFERS'

# ---- no host file is touched ----

if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
	for backend in "${backends[@]}"; do
		strace -f -s 256 -o "$dir/log" "$BELLJAR" replay -v "$dir/report-tcg.pcapng" --guest "$GUESTS/report.elf" \
			--backend "$backend" >"$dir/out.txt" 2>"$dir/err"
		# From the line that says that the machine is there.
		sed -n "/write(2, \"belljar: backend /,\$p" "$dir/log" >"$dir/running"
		touched=$(grep -E '\b(open|openat|openat2|creat|stat|lstat|newfstatat|statx|mkdir|mkdirat|unlink|unlinkat|rename|getdents64|readlink|access)\(' \
			"$dir/running" | grep -vE 'newfstatat\([0-9]*, "",|\.gcda"') # a build for coverage writes its counters
		[ -s "$dir/running" ] && [ -z "$touched" ] && ! grep -qE "\"$dir/(in|out)[/\"]" "$dir/log"
		result "no_host_file_is_touched_on_$backend" $? "$(echo "$touched" | head -n 3)"
	done
else
	skip no_host_file_is_touched "strace does not work here"
fi

# ---- what differs ----

line() { # PATTERN: the number of its first line in the good text
	grep -nE -- "$1" "$dir/good.bjt" | head -n 1 | cut -d: -f1
}

# edit NAME SED_SCRIPT: good.bjt, edited, as x.bjt
edit() {
	sed -E "$1" "$dir/good.bjt" >"$dir/x.bjt"
	cmp -s "$dir/good.bjt" "$dir/x.bjt" && result "an_edit_that_edits: $1" 1 "nothing changed"
}

edit 's/total=189/total=198/'
diverges a_changed_byte report "$dir/x.bjt" 'at call 11 ' 'call +write +expected write +same' \
	'fd +3 +expected 3 +same' 'in +10 bytes +expected 10 bytes +DIFFERS at byte 7' '\[38 39\] 0a +"total=189' \
	'\[39 38\] 0a +"total=198' 'write_line\+0x[0-9a-f]+ \(kernels/report.c:' 'before +8 ' \
	'looks like: CHANGED \(the following 2 calls would match\)' "trace .*x.bjt:$(($(line 'total=') - 1))\$"

edit 's,/in/south.txt,/in/south.tyt,'
diverges a_changed_path report "$dir/x.bjt" 'path +"/in/south.txt" +expected "/in/south.tyt" +DIFFERS at byte 11' \
	'flags +rdonly +expected rdonly +same' 'looks like: CHANGED'

edit 's/^(open "\/out.*) wronly/\1 rdwr/'
diverges changed_flags report "$dir/x.bjt" 'flags +wronly\+creat\+trunc +expected rdwr\+creat\+trunc +DIFFERS' \
	'path .* same'

edit '0,/^close 3/{/^close 3/d}'
diverges a_call_too_many report "$dir/x.bjt" 'asked +close 3' 'looks like: EXTRA .*the following 3 calls would match' \
	'next +2 open "/in/south.txt"'

edit '0,/^close 3/s//lseek 3 0 set -> 0\nclose 3/'
diverges a_call_too_few report "$dir/x.bjt" 'call +close +expected lseek' \
	'looks like: MISSING \(the guest skipped 1 call; the following 3 calls would match\)'

edit '/^exit/s//close 3 -> 0\nexit/'
diverges an_early_exit report "$dir/x.bjt" 'asked +exit 0' 'looks like: EARLY-EXIT'

edit '/^exit/d'
replay 125 "$dir/x.bjt" --guest "$GUESTS/report.elf" || replay 3 "$dir/x.bjt" --guest "$GUESTS/report.elf"
result no_exit_is_told $? "$(cat "$dir/err")"

sed '/^serial_write/,$d' "$dir/good.bjt" >"$dir/x.bjt"
echo cut >>"$dir/x.bjt"
replay 0 "$dir/x.bjt" --guest "$GUESTS/report.elf"
result a_cut_text_is_no_mismatch $? "$(cat "$dir/err")"
says and_it_is_said 'no mismatch \(guest side\); the recording was cut off there'

edit '0,/^read 3 cap=4095/s//read 3 cap=300/'
diverges a_call_that_comes_again report "$dir/x.bjt" 'len +4095 +expected 300 +DIFFERS' 'looks like: CHANGED' \
	'nearest other match: call 4, equal'

# Guests that really do other things: their words are in the trace.
record paths.pcapng tcg paths open:/in/north.txt lstat:/in/none open:/in/south.txt mkdir:/out/a unlink:/out/b
"$BELLJAR" trace show --bjt "$dir/paths.pcapng" >"$dir/good.bjt" 2>"$dir/err"
replay 0 "$dir/good.bjt" --guest "$GUESTS/paths.elf" --backend tcg
result paths_replays_from_text $? "$(cat "$dir/err")"
edit '/^argv/s, "lstat:[^"]*",,'
diverges another_guest_skips_a_call paths "$dir/x.bjt" 'call +open +expected stat' 'looks like: MISSING'
edit '/^argv/s, "lstat, "stat:/in/more" "lstat,'
diverges another_guest_asks_more paths "$dir/x.bjt" 'path +"/in/more" +expected "/in/none"' 'kind +stat +expected lstat' \
	'looks like: (EXTRA|CHANGED)'
edit '/^argv/s, "mkdir.*$,,'
diverges another_guest_ends_early paths "$dir/x.bjt" 'asked +exit 0' 'looks like: EARLY-EXIT'
edit '/^argv/s,/out/a,/out/c,'
diverges another_guest_asks_for_another paths "$dir/x.bjt" 'path +"/out/c" +expected "/out/a" +DIFFERS at byte 5' \
	'looks like: CHANGED'
"$BELLJAR" trace show --bjt "$dir/fault.pcapng" >"$dir/good.bjt" 2>"$dir/err"
edit '/^argv/s/page/ud/; s/page/ud/; s/-> 12/-> 10/'
replay 0 "$dir/x.bjt" --guest "$GUESTS/fault.elf" --backend tcg
result a_crash_is_a_crash_wherever_it_is $? "$(cat "$dir/err")"
edit 's/^end .*/exit 0\nend/'
diverges a_crash_that_was_not fault "$dir/x.bjt" 'ended +triple fault' 'call +none +expected exit' \
	'looks like: EARLY-EXIT' 'innermost'
record exit.pcapng tcg exit 7
"$BELLJAR" trace show --bjt "$dir/exit.pcapng" >"$dir/good.bjt" 2>"$dir/err"
edit 's/^exit 7/exit 8/'
diverges another_exit_code exit "$dir/x.bjt" 'code +7 +expected 8 +DIFFERS'
edit '/^argv/s/7/8/'
diverges another_word_another_code exit "$dir/x.bjt" 'code +8 +expected 7 +DIFFERS'

# ---- JSON, the console, the command line ----

replay 3 "$dir/x.bjt" --guest "$GUESTS/exit.elf" --json
keys=$(head -n 1 "$dir/out.txt" | grep -oE '"[a-z_]+":' | tr -d '":' | sort -u | xargs)
[ "$(wc -l <"$dir/out.txt")" = 2 ] && [ ! -s "$dir/err" ] &&
	[ "$keys" = "at before call cpu ended exit expected fields file followed got kind name nearest next rip same side skipped where wrong_guest" ]
result json_has_its_keys $? "$keys; $(cat "$dir/err")"
grep -q '"fields":\[{"name":"code","got":"8","expected":"7","same":false}\]' "$dir/out.txt" &&
	grep -q '"calls":0,"mismatches":1,"cut":false}$' "$dir/out.txt"
result json_says_what_differs $? "$(cat "$dir/out.txt")"
replay 0 "$dir/paths.pcapng" --guest "$GUESTS/paths.elf" -q && [ ! -s "$dir/out.txt" ] && [ ! -s "$dir/err" ]
result quiet_says_nothing $? "$(cat "$dir/out.txt" "$dir/err")"
replay 0 "$dir/paths.pcapng" --guest "$GUESTS/paths.elf" --strace --timeout 60 && grep -q '^mkdir("/out/a") = 0$' "$dir/err"
result strace_works $? "$(cat "$dir/err")"

replay 2 "$dir/x.bjt" "$dir/x.bjt" --guest "$GUESTS/exit.elf"
says two_traces_are_usage 'one trace at a time'
replay 2 --guest "$GUESTS/exit.elf"
says no_trace_is_usage 'no trace given'
replay 2 "$dir/x.bjt" --tree "$dir" --guest "$GUESTS/exit.elf"
says a_tree_and_a_guest_are_usage 'no host file is touched'
replay 2 "$dir/x.bjt" --strace
says strace_without_a_guest_is_usage 'no guest runs without --guest'
for words in "--env host" "--mount $dir:/../y" "--mount $dir:/x/.." "--file-mapping $dir:/../y" "--cwd /a/../b"; do
	# shellcheck disable=SC2086
	timeout 60 "$BELLJAR" record -o "$dir/never.pcapng" $words "$GUESTS/hello.elf" >"$dir/out.txt" 2>"$dir/err"
	code=$?
	[ $code = 2 ] && [ ! -e "$dir/never.pcapng" ]
	result "usage: ${words%% *} ${words##*:}" $? "exit $code: $(cat "$dir/err")"
done
replay 2 "$dir/paths.pcapng" --tree "$dir"
says a_tree_beside_a_recording_is_usage 'is a recording, its files are in it'
replay 2 "$dir/x.bjt" --all --guest "$GUESTS/exit.elf"
says all_of_one_is_usage 'the first mismatch is the only one'
timeout 60 "$BELLJAR" replay - <"$dir/report.bjt" >"$dir/out.txt" 2>"$dir/err"
says standard_input_names_the_option 'has mounts; .*--tree'
for _ in $(seq 60); do printf 'close 9 -> 0\nclose 8 -> 1\n'; done |
	sed -e '1i bjt 1\nguest "g" abi=uhyve/2 mem=67108864\nargv "x"\nomit t ip ptr n\n' -e '$a exit 0\nend' >"$dir/many.bjt"
replay 3 "$dir/many.bjt" && replay 3 "$dir/many.bjt" --all && [ "$(grep -c ^MISMATCH "$dir/out.txt")" = 120 ] &&
	replay 3 "$dir/many.bjt" && [ "$(grep -c ^MISMATCH "$dir/out.txt")" = 100 ] && grep -q ': 20 more ' "$dir/out.txt" &&
	replay 3 "$dir/many.bjt" --json && [ "$(grep -c ^.\"mismatch\" "$dir/out.txt")" = 120 ]
result the_first_hundred_mismatches_are_told $? "$(tail -n 3 "$dir/out.txt" "$dir/err")"
replay 3 "$dir/report.bjt" --guest "$GUESTS/hello.elf" --strace
says strace_shows_the_call_that_differs '^serial_write\("'
sed '/^open/d' "$dir/report.bjt" >"$dir/no-open.bjt"
replay 3 "$dir/no-open.bjt" --guest "$GUESTS/report.elf" --strace
says strace_shows_the_path_that_differs '^open\("/in/north.txt"'
replay 0 "$dir/report-tcg.pcapng" --guest "$dir/moved.elf" -v
says another_image_that_agrees_is_remarked_on 'is not the image that was recorded'
replay 125 "$dir/nosuch" --guest "$GUESTS/exit.elf"
says a_missing_trace nosuch
replay 125 "$dir/x.bjt" --guest "$dir/nosuch"
says a_missing_guest nosuch
replay 125 "$GUESTS/exit.elf" --guest "$GUESTS/exit.elf"
says a_guest_is_no_trace 'exit.elf'
replay 125 "$dir/report.bjt" --guest "$GUESTS/report-v1.elf"
says another_abi_is_refused 'recorded from a guest of uhyve v2'

# ---- cut, endless, hostile ----

size=$(stat -c %s "$dir/report-tcg.pcapng")
head -c $((size - 200)) "$dir/report-tcg.pcapng" >"$dir/cut.pcapng"
for backend in "${backends[@]}"; do
	replay 0 "$dir/cut.pcapng" --guest "$GUESTS/report.elf" --backend "$backend"
	says "a_cut_recording_is_no_mismatch_on_$backend" 'no mismatch .*cut off'
done
# In the midst of the stored files: there is not even where the guest was to start.
mkdir -p "$dir/files/d"
head -c 100000 /dev/urandom >"$dir/files/d/x"
timeout 60 "$BELLJAR" record -o "$dir/files.pcapng" --backend tcg --mount "$dir/files:/files" --cwd /files/d \
	"$GUESTS/paths.elf" open:x >"$dir/out.txt" 2>"$dir/err"
rm -r "$dir/files"
size=$(stat -c %s "$dir/files.pcapng")
replay 0 "$dir/files.pcapng"
for cut in 50000 $((size - 1000)); do
	head -c $cut "$dir/files.pcapng" >"$dir/cut.pcapng"
	replay 0 "$dir/cut.pcapng" && grep -qE ': [0-9]+ calls?, no mismatch .*; the recording was cut off there$' "$dir/out.txt"
	result "cut_at_${cut}_is_no_wrong_cwd" $? "$(cat "$dir/out.txt" "$dir/err")"
done
timeout 60 "$BELLJAR" record -o "$dir/count.pcapng" --backend tcg --timeout 0.2 "$GUESTS/count.elf" 1000000000000 \
	>"$dir/out.txt" 2>"$dir/err"
replay 0 "$dir/count.pcapng" --guest "$GUESTS/count.elf"
says what_was_stopped_replays_so_far 'cut off'
record count.pcapng tcg count 1000
"$BELLJAR" trace show --bjt "$dir/count.pcapng" >"$dir/good.bjt" 2>"$dir/err"
edit '/^argv/s/1000/1000000000000/'
replay 124 "$dir/x.bjt" --guest "$GUESTS/count.elf" --timeout 0.3
says time_limit 'still running after 0.300 s' '^TIMEOUT at call 0 \(guest-side\)  exit 124' 'count.c:' \
	'call +none +expected serial_write' 'next +0 serial_write'
replay 124 "$dir/x.bjt" --guest "$GUESTS/count.elf" --timeout 0.3 --json
grep -q '"kind":"TIMEOUT".*"expected":"serial_write".*"exit":124}$' "$dir/out.txt"
result time_limit_in_json $? "$(cat "$dir/out.txt" "$dir/err")"

# Killed while the guest waits for its console: the call in flight is known, its answer is not.
mkfifo "$dir/console"
exec 9<>"$dir/console"
"$BELLJAR" record -o "$dir/killed.pcapng" --backend tcg "$GUESTS/console.elf" <"$dir/console" >"$dir/out.txt" 2>"$dir/err" &
pid=$!
for _ in $(seq 200); do
	grep -q 'by byte' "$dir/out.txt" && break
	sleep 0.05
done
sleep 0.2
kill -9 $pid
wait $pid 2>/dev/null
exec 9>&-
for backend in "${backends[@]}"; do
	replay 0 "$dir/killed.pcapng" --guest "$GUESTS/console.elf" --backend "$backend" &&
		[ "$(cat "$dir/out.txt")" = "written byte by byte" ]
	says "a_killed_recording_replays_so_far_on_$backend" '21 calls, no mismatch .*cut off'
done

cp "$dir/report.bjt" "$dir/good.bjt"
hostile() { # NAME SED_SCRIPT PATTERN: one line, exit 125
	edit "$2"
	replay 125 "$dir/x.bjt" --guest "$GUESTS/report.elf" --backend tcg
	says "$1" "^belljar: .*$3"
}
hostile odd_memory '/^guest/s/mem=[0-9]*/mem=12345/' '.'
hostile no_memory_that_big '/^guest/s/mem=[0-9]*/mem=18446744073709551615/' '.'
hostile calls_after_the_end 's/^exit 0/exit 0\nclose 3 -> 0/' '.'

# ---- a host that runs out is no verdict ----

# All that is compared was read, and is as it was; what lies behind its end is damage all the same.
for tail in zeros text; do
	cp "$dir/report-tcg.pcapng" "$dir/behind.pcapng"
	if [ $tail = zeros ]; then head -c 64 /dev/zero; else echo "exit 0 = ? and so on for a line"; fi >>"$dir/behind.pcapng"
	for side in host guest; do
		sides=()
		[ $side = guest ] && sides=(--guest "$GUESTS/report.elf" --backend tcg)
		replay 125 "$dir/behind.pcapng" "${sides[@]}" && grep -qE 'behind.pcapng: at offset [0-9]+: ' "$dir/err"
		result "damage_behind_the_end_is_told_${tail}_$side" $? "$(tail -n 3 "$dir/err")"
	done
done

# full NAME FILE PATTERN: a replay with $TMPDIR on a file system with 64 KiB, all but $4 of them taken
full() {
	local name=$1 file=$2 pattern=$3 room=$4 code
	mkdir -p "$dir/small"
	# shellcheck disable=SC2016
	unshare -rm bash -c 'mount -t tmpfs -o size=64k tmpfs "$1/small" && head -c $((65536 - $4)) /dev/zero >"$1/small/fill"
		[ -s "$1/small/fill" ] || exit 77
		TMPDIR=$1/small timeout 60 "$2" replay "$3" >"$1/out.txt" 2>"$1/err"' - "$dir" "$BELLJAR" "$file" "$room" \
		2>/dev/null
	code=$?
	[ $code = 125 ] && [ ! -s "$dir/out.txt" ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qE "$pattern" "$dir/err"
	result "$name" $? "exit $code: $(head -n 3 "$dir/out.txt" "$dir/err")"
}
# shellcheck disable=SC2016 # for the inner shell
if unshare -rm bash -c 'mkdir -p "$1" && mount -t tmpfs -o size=64k tmpfs "$1"' - "$dir/small" 2>/dev/null; then
	for v in "" -v1; do
		"$BELLJAR" record -q -o "$dir/work$v.pcapng" --backend tcg "$GUESTS/filework$v.elf" 100 / >"$dir/out.txt"
	done
	full a_full_disk_is_no_mismatch "$dir/work.pcapng" 'call 1, write: ENOSPC: .*small is full.*TMPDIR' 0
	full a_disk_that_fills_is_no_mismatch "$dir/work.pcapng" 'call [0-9]+, write: ENOSPC: .*TMPDIR' 8192
	full a_short_write_is_no_mismatch "$dir/work-v1.pcapng" 'call [0-9]+, write: ENOSPC: .*TMPDIR' 4096
	full no_room_for_the_copy_is_told "$dir/report-tcg.pcapng" 'No space left.*TMPDIR' 0
else
	skip a_full_disk_is_no_mismatch "no mounts in a user namespace here"
fi

finish
