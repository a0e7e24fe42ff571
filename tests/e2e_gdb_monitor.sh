#!/bin/bash
# SPDX-License-Identifier: ISC
# monitor and scripts/belljar-gdb.py as a user sees them: real gdb, in batch mode, on every backend.
# shellcheck disable=SC2016 # $ is gdb's
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/gdb_lib.sh
. "$(dirname "$0")/gdb_lib.sh"
BELLJAR=${BELLJAR:-build/rel/belljar} GUESTS=${GUESTS:-build/rel/kernels}
BELLJAR=$(realpath "$BELLJAR") GUESTS=$(realpath "$GUESTS")
script=$(realpath "$(dirname "$0")/../scripts/belljar-gdb.py")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
mkdir in out tmp
export TMPDIR=$dir/tmp HOME=$dir
echo hello >in/file
echo "some text" >in/input.txt

if ! command -v "$GDB" >/dev/null; then
	skip monitor_in_gdb "gdb is not installed"
	finish
	exit
fi
if ! "$GDB" -q -nx -batch -ex 'python print("yes")' 2>/dev/null | grep -q yes; then
	python=no
else
	python=yes
fi

# gdb_says BACKEND "OPTIONS" "GUEST ARGS" COMMAND...: all that gdb prints, in the file `said`.
gdb_says() {
	local backend=$1 options=$2 guest=$3 args=()
	shift 3
	for command in "$@"; do
		args+=(-ex "$command")
	done
	timeout 60 "$GDB" -q -nx -batch -ex 'set pagination off' -ex 'set style enabled off' -ex 'set width 0' \
		-ex "target remote | $BELLJAR debug --gdb=stdio --backend $backend $options $GUESTS/$guest" \
		"${args[@]}" >said 2>&1 </dev/null
}

# has NAME PATTERN...: each is found in what was said.
has() {
	local name=$1 missing=
	shift
	for pattern in "$@"; do
		grep -qE -- "$pattern" said || missing="$missing [$pattern]"
	done
	[ -z "$missing" ]
	result "$name" $? "no$missing in: $(tail -n 25 said)"
}

# hasnt NAME PATTERN
hasnt() {
	! grep -qE -- "$2" said
	result "$1" $? "$2 in: $(tail -n 25 said)"
}

mounts="--mount in:/in --mount out:/out:rw"

# The end is a place like others; the code that a guest exits with stays the guest's.
at_the_end() { # BACKEND
	local b=$1 belljar=$BELLJAR

	printf '#!/bin/sh\n"%s" "$@"\necho "code $?" >code\n' "$belljar" >wrap
	chmod +x wrap
	BELLJAR=$PWD/wrap
	gdb_says "$b" -q "exit.elf 7" 'monitor stop-at-exit on' 'continue' 'stepi' 'continue' 'monitor stop-at-exit off' 'continue'
	has "$b: goes on from the end" 'Here the guest exits with code 7' 'exited with code 07'
	result "$b: stays at the end" $(($(grep -c 'Here the guest exits with code 7' said) != 3)) "$(tail -n 25 said)"
	gdb_says "$b" -q "exit.elf 7" 'monitor stop-at-exit on' 'monitor stop-at-exit perhaps' 'continue' 'reverse-stepi' 'detach'
	for _ in $(seq 50); do
		[ -s code ] && break
		sleep 0.1
	done
	cat code >>said
	has "$b: detaches from the end" 'neither on nor off' 'Here the guest exits with code 7' '^code 7$'
	BELLJAR=$belljar
	gdb_says "$b" "$mounts" files.elf 'monitor goto 20' 'monitor goto 20+9' 'monitor goto 5+1' 'monitor goto 100' \
		'monitor goto 28' 'monitor goto begin' 'maintenance flush register-cache' 'tbreak main' 'continue' 'monitor goto begin' \
		'monitor goto 21+1' 'kill'
	has "$b: goes to where the guest has not been" '^at 20\+0, RIP' '^at 20\+9, RIP' '^at 5\+1, RIP' '^call 100: there are calls 0 to 28$' \
		'^at 28\+[0?], at the end' 'breakpoint 1, main' '^at 0\+0, RIP' '^at 21\+1, RIP'
	gdb_says "$b" "$mounts" files.elf 'tbreak main' 'continue' 'monitor goto begin' 'monitor goto 2+1' 'monitor goto 1+5' 'kill'
	has "$b: and on from before where it was" 'breakpoint 1, main' '^at 0\+0, RIP' '^at 2\+1, RIP' '^at 1\+5, RIP'
	gdb_says "$b" "$mounts" files.elf 'catch syscall lseek' 'monitor stop-at-exit on' 'continue' 'continue' 'continue' \
		'reverse-continue' 'reverse-continue' 'continue' 'kill'
	result "$b: tells a call's answer in the past" $(($(grep -c '^lseek(3, 0, SEEK_SET) = 0$' said) != 3)) "$(tail -n 25 said)"
	hasnt "$b: tells no other call's answer" '^[+][+][+] exited'
	gdb_says "$b" "$mounts" files.elf 'monitor strace on' 'catch syscall lseek' 'continue' 'continue' 'delete' 'tbreak exit' 'continue' \
		'catch syscall lseek' 'reverse-continue' 'monitor info stats' 'monitor info trace' 'kill'
	result "$b: tells a call's answer once" $(($(grep -c '^lseek(3, 0, SEEK_SET) = 0$' said) != 2)) "$(tail -n 25 said)"
	has "$b: counts calls up to here" '^this is the past: ([0-9]+) of them were made up to here$' '^calls +([0-9]+) made, the last \1 kept'
	[ "$(sed -nE 's/^this is the past: ([0-9]+) .*/\1/p' said)" = "$(sed -nE 's/^calls +([0-9]+) made.*/\1/p' said)" ]
	result "$b: the same everywhere" $? "$(tail -n 25 said)"
}

# Places are those of the whole run, whenever the debugger came: what it was before cannot be gone to, and that is said.
comes_late() { # BACKEND
	local guest
	"$BELLJAR" run --timeout 60 --gdb=unix:late --backend "$1" "$GUESTS/count.elf" 1000000000000 >/dev/null 2>&1 </dev/null &
	guest=$!
	appears -S late
	sleep 0.3
	printf '%s\n' 'print $insn_count' 'monitor when' 'stepi' 'monitor goto begin' 'detach' | gdb_talk said late
	printf '%s\n' 'print $insn_count' 'monitor when' 'monitor goto 0' 'kill' | gdb_talk again late
	wait $guest
	if [ "$1" = kvm ]; then
		has "$1: says that it came late" '^at 0\+0: 0 calls' '^the way back begins at 0\+0: until the next call' '^at 0\+0, RIP'
		return
	fi
	for file in said again; do
		n=$(sed -nE 's/^\$1 = ([0-9]+)$/\1/p' $file)
		[ "$n" -gt 1000 ] && grep -q "^at 0+$n: 0 calls answered, $n instructions since" $file &&
			grep -q "^the way back begins at 0+$n: no debugger was there before" $file
		result "$1: places are counted from the start, $file" $? "$(cat $file)"
	done
	has "$1: comes back to where it came" "^at 0\+[0-9]{4,}, RIP"
	grep -q '^that is before the beginning$' again
	result "$1: and not to before" $? "$(cat again)"
}

# A recording of another guest is left at the first call that differs; another run cannot be asked for.
other_guest() {
	"$BELLJAR" record -q -b tcg -o files.pcapng --mount in:/in --mount out:/out:rw "$GUESTS/files.elf" >/dev/null
	gdb_says tcg "--trace files.pcapng --guest" memory.elf 'continue' 'monitor trace last' 'kill'
	has stops_at_the_call_that_differs '^at call 0 the guest did something else than was recorded; this image is not the one' '^ +0  serial_write'
	hasnt makes_no_call_behind_it '^ +[1-9]  '
	# Nor is one that cannot be read on a reason to say no more than that.
	"$BELLJAR" trace show --bjt files.pcapng | awk '/^open/ && ++n == 3 { print "nonsense"; next } 1' >broken.bjt
	gdb_says tcg "--trace broken.bjt --guest" files.elf 'continue' 'kill'
	has says_why_a_trace_is_no_good '^the trace is no good: broken.bjt:[0-9]+: '
	for option in '--mount in:/in' '--env A=B' '--mem 4M' '--deterministic' '--core x'; do
		# shellcheck disable=SC2086
		"$BELLJAR" debug --trace files.pcapng --guest "$GUESTS/files.elf" $option >said 2>&1
		result "refuses $option with --trace" $(($? != 2)) "$(cat said)"
		has "says why it refuses $option" "^belljar: debug: ${option%% *}: no such option with --trace: the run is the recorded one"
	done
}

on_backend() { # BACKEND
	local b=$1

	gdb_says "$b" "$mounts" "filework.elf 2" 'monitor help' 'monitor info vm' 'monitor info mounts' \
		'monitor info mem' 'monitor info registers' 'monitor info fdss' 'catch syscall open' 'continue' \
		'monitor info call' 'continue' 'monitor info fds' 'monitor trace last' 'monitor info stats' \
		'monitor resolve -o create /out/x' 'kill'
	has "${b}_lists_its_commands" '^  info fds  +the guest' '^  record start NAME.pcapng  +record'
	has "${b}_tells_the_machine" '^guest +".*/filework.elf"$' "^backend +$b" '^/out +rw  "out"$'
	has "${b}_speaks_as_qemu_does" '^0000000100000000-0000000100200000 0000000000200000 -rw$' \
		'^CS =0008 0000000000000000 ffffffff 00a0?' '^EFER=0000000000000d00$'
	has "${b}_names_the_nearest" '"info fdss"; the nearest is "info fds"'
	has "${b}_tells_the_call_it_is_in" '^in call 0: open\("/out/r0", O_WRONLY\|O_CREAT, 0644\)$'
	has "${b}_tells_open_files" "^ +3  file +-w +0  \"/out/r0\"  \"$dir/out/r0\"\$"
	has "${b}_keeps_the_last_calls" '^ +0  open\("/out/r0", .*\) = 3$' '^ +1 +0 +8 +0  open$'
	has "${b}_resolves" '^    at     ".*/out/x", nothing there, rw' '^    gives  ok$'
	[ ! -e out/x ]
	result "${b}_resolving_makes_nothing" $? "out/x is there"

	gdb_says "$b" "" hello.elf 'monitor info backend' 'print $insn_count' 'monitor strace on' 'continue'
	has "${b}_shows_calls_as_they_are_made" '^strace is on' '^(serial_)?write\(.*"'
	if [ "$b" = kvm ]; then
		has "${b}_says_that_it_does_not_count" '^instructions  not counted; \$insn_count is -1$' '^\$1 = -1$'
	else
		has "${b}_counts" '^instructions  counted$' '^\$1 = 0$'
	fi

	gdb_says "$b" "--history 1M $mounts" "filework.elf 1000" 'monitor stop-at-exit on' 'continue' 'monitor when' \
		'reverse-continue' 'monitor when' 'monitor goto 0' 'kill'
	has "${b}_forgets_what_is_too_old" '^the way back begins at [1-9][0-9]*\+0: ' \
		'^kept: [0-9]+ answers and [0-9]+ states, ([0-9]{1,3}|10[01][0-9]|102[0-4]) KiB$' \
		'No more reverse-execution history|Reached end of recorded history' '^at [1-9][0-9]*\+0: ' \
		'^call 0'

	rm -f ./*.core
	gdb_says "$b" "" hello.elf 'break main' 'continue' 'monitor dump-core it.core' 'monitor dump-core it.core' \
		'monitor dump-core ../it.core' 'kill'
	has "${b}_writes_a_core" '^it.core: [0-9]+ bytes, ' '"it.core" is there already' '"../it.core": expected NAME.core'
	timeout 30 "$GDB" -q -nx -batch -ex bt "$GUESTS/hello.elf" it.core >said 2>&1
	has "${b}_a_core_knows_where_it_was" '^#0 .*main'

	rm -f ./*.pcapng
	gdb_says "$b" "--deterministic $mounts" "filework.elf 2" 'monitor record start whole.pcapng' \
		'monitor record start two.pcapng' 'monitor info trace' 'continue'
	has "${b}_records" 'to whole.pcapng from call 0 on' 'it replays' 'there is a recording already' \
		'^recording +to whole.pcapng, 0 calls$'
	timeout 60 "$BELLJAR" replay --guest "$GUESTS/filework.elf" --backend tcg whole.pcapng >replayed 2>&1
	result "${b}_a_recording_from_the_start_replays" $? "$(cat replayed)"

	gdb_says "$b" "--deterministic $mounts" "filework.elf 2" 'catch syscall open' 'continue' 'continue' \
		'monitor record start part.pcapng' 'continue' 'continue' 'monitor record stop' \
		'monitor record stop' 'monitor record start part.pcapng' 'monitor record start ../x.pcapng' 'kill'
	has "${b}_records_a_part" 'marked as a part' '^part.pcapng: [1-9][0-9]* calls recorded$' \
		'there is no recording' '"part.pcapng" is there already' 'expected NAME.pcapng, without directory'
	timeout 20 "$BELLJAR" trace show -v part.pcapng >said 2>&1
	has "${b}_a_part_is_read" '^# part of a run' 'write\(3, .*\) = 256' 'the debugger ended the recording'
	timeout 20 "$BELLJAR" trace show --bjt part.pcapng >part.bjt && grep -qx partial part.bjt &&
		! timeout 20 "$BELLJAR" replay part.bjt >said 2>&1 && grep -q 'is part of a run' said
	result "${b}_a_part_is_one_as_text_too" $? "$(cat said)"
	timeout 20 "$BELLJAR" replay part.pcapng >said 2>&1
	[ $? = 125 ] && grep -q 'is part of a run, so it cannot be replayed' said
	result "${b}_a_part_is_not_replayed" $? "$(cat said)"
	timeout 20 "$BELLJAR" replay --guest "$GUESTS/filework.elf" part.pcapng >said 2>&1
	[ $? = 125 ] && grep -q 'is part of a run, so it cannot be replayed' said
	result "${b}_nor_with_its_guest" $? "$(cat said)"

	if [ $python = no ]; then
		skip "${b}_python_commands" "this gdb has no Python"
		return
	fi
	gdb_says "$b" "$mounts" "filework.elf 2" "source $script" 'belljar fds' 'belljar mounts' 'belljar regs' \
		'belljar pages $sp' 'belljar pages main' 'belljar resolve -o open,rdwr /in/file' 'belljar when' \
		'catch hypercall opn' 'catch hypercall open close' 'continue' 'belljar hypercall' 'continue' \
		'belljar trace' 'belljar trace open 3' 'belljar fds now' 'help belljar' 'delete' 'break rt_hypercall' \
		'continue' 'kill'
	has "${b}_python_shows_files" '^ +1  console +-w' '^/in +ro  "in"$' '^ +0  open\("/out/r0", .*\) = 3$' \
		'usage: belljar fds$' '^    gives  EROFS'
	has "${b}_python_shows_the_cpu" '^rflags ' 'is 0x[0-9a-f]+ in RAM: a page of 2M' \
		'^_start'
	has "${b}_python_catches_by_name" 'no hypercall opn; there are .*open' '^Catchpoint 1 \(hypercall open, close\)$' \
		'call to syscall open' '^in call 0: open\('
	has "${b}_python_has_help" '^belljar resolve -- Where a path' '^belljar fds -- '

	gdb_says "$b" "" hello.elf "source $script" 'break main' 'continue' \
		'python
for i in range(3000):
    code = gdb.selected_inferior().read_memory(gdb.selected_frame().pc(), 1)
    if bytes(code)[0] == 0xef: break
    gdb.execute("stepi", to_string=True)
print(gdb.execute("belljar hypercall", to_string=True))' 'kill'
	has "${b}_python_sees_a_call_coming" '^about to make call [0-9]+: [a-z_]+\('
}

for backend in tcg kvm; do
	if [ $backend = kvm ] && ! { [ -c /dev/kvm ] && (: <>/dev/kvm) 2>/dev/null; }; then
		skip kvm_in_gdb "/dev/kvm cannot be opened"
		continue
	fi
	on_backend $backend
	at_the_end $backend
	comes_late $backend
done

# A place is the same on every backend.
places() { # BACKEND: what is at some, around calls
	local commands=('monitor stop-at-exit on' 'continue') place

	for place in 0+7 1 1+1 1+944 2 2+1 2+5; do
		commands+=("monitor goto $place" 'maintenance flush register-cache' 'info registers rip rax rcx rdx rsi rdi rsp')
	done
	commands+=('reverse-stepi' 'monitor when' 'monitor goto 2' 'maintenance flush register-cache' 'reverse-stepi' 'monitor when'
		'stepi' 'monitor when' 'monitor checkpoint' 'stepi' 'monitor goto c1' 'kill')
	gdb_says "$1" "" corrupt.elf "${commands[@]}"
	grep -E '^(r..|checkpoint|at) ' said >"places.$1"
}
places tcg
has goes_to_places_around_calls '^at 2\+5, RIP' '^at 2\+4: ' '^at 1\+[0-9]+: ' '^at 2\+0: ' '^checkpoint 1 at 2\+0; '
if [ -c /dev/kvm ] && (: <>/dev/kvm) 2>/dev/null; then
	places kvm
	diff places.tcg places.kvm >differ
	result places_are_the_same_on_kvm $? "$(cat differ)"
	gdb_says kvm "" "count.elf 20000" 'tbreak printf' 'continue' 'reverse-stepi' 'monitor when' 'kill'
	has a_way_that_was_stepped_is_not_gone_again '^this is the past; ' '^kept: 0 answers and ([2-9]|[1-9][0-9]+) states'
else
	skip places_are_the_same_on_kvm "/dev/kvm cannot be opened"
	skip a_way_that_was_stepped_is_not_gone_again "/dev/kvm cannot be opened"
fi

# Of a recording, too, so much is kept and no more.
timeout 60 "$BELLJAR" record -q --backend tcg --mount out:/out:rw -o long.pcapng "$GUESTS/filework.elf" 1000 >said 2>&1
gdb_says tcg "--history 1M --trace long.pcapng --guest" filework.elf 'continue' 'monitor when' 'reverse-continue' \
	'monitor when' 'continue' 'kill'
has a_recording_is_forgotten_as_well '^the way back begins at [1-9][0-9]*\+0: ' \
	'No more reverse-execution history|Reached end of recorded history' '^at [1-9][0-9]*\+0: ' \
	'Here the guest exits with code 0'

# There and back again.
gdb_says tcg "$mounts" "filework.elf 3" 'monitor when' 'monitor checkpoint' 'catch syscall open' 'continue' 'continue' \
	'delete' 'tbreak exit' 'continue' 'monitor when' 'monitor checkpoint' 'monitor checkpoint list' 'monitor goto c1' \
	'maintenance flush register-cache' 'frame' 'monitor when' 'monitor trace last' 'monitor goto 3+2' \
	'monitor trace last 1' 'monitor run 1' 'monitor checkpoint delete 1' 'monitor checkpoint list' 'monitor goto c1' \
	'monitor goto x' 'monitor goto 1+x' 'monitor goto 99999' 'monitor diverge on' 'monitor goto end' 'monitor when' 'kill'
has goes_to_places_in_time '^at 0\+0: 0 calls answered, 0 instructions since$' '^checkpoint 1 at 0\+0; monitor goto c1' '^at 0\+0, RIP 0x' \
	'^#0 .* in _start' '^this is the past; the present is at [0-9]+\+[0-9]+' '^no call was made yet$' '^at 3\+2, RIP' \
	'^ +2  close\(3\) = 0$' '^RIP 0x[0-9a-f]+, [0-9]+ instructions since the start$' '^   2  [0-9]+\+[0-9]+$' \
	'^checkpoint 1 is deleted$' '^there is no checkpoint 1; ' '"x": expected begin, end' '"x": expected instructions' \
	'forgets what came behind'
# gdb's breakpoints are there for it only when gdb leaves them there.
gdb_says tcg "" "count.elf 1000" 'break main' 'stepi' 'monitor run 100000'
has runs_over_breakpoints_that_gdb_took_out '^the guest ended with exit code 0$'
gdb_says tcg "" "count.elf 1000" 'set breakpoint always-inserted on' 'break main' 'stepi' 'monitor run 100000' \
	'maintenance flush register-cache' 'frame' 'kill'
has runs_up_to_breakpoints_that_are_left '^#0 .*main '
# The past is another's, what is open is not.
gdb_says tcg "$mounts" "filework.elf 3" 'catch syscall write' 'continue' 'monitor checkpoint' 'delete' 'tbreak exit' 'continue' \
	'monitor goto c1' 'maintenance flush register-cache' 'monitor diverge on' 'monitor strace on' 'reverse-stepi' 'set $r15 = $r15 + 1' 'catch syscall write' \
	'continue' 'continue' 'kill'
has open_files_are_those_of_the_present 'write\(3, .*EBADF'
for b in tcg kvm; do
	[ $b = tcg ] || { [ -c /dev/kvm ] && (: <>/dev/kvm) 2>/dev/null; } || continue
	gdb_says $b "$mounts" "filework.elf 3" 'catch syscall write' 'continue' 'monitor checkpoint' 'continue' 'continue' \
		'monitor checkpoint' 'reverse-continue' 'reverse-continue' 'monitor diverge on' 'stepi' 'set $r15 = $r15 + 1' \
		'monitor checkpoint list' 'monitor goto c2' 'kill'
	has "$b: checkpoints of a way not taken are gone" '^ +1  [0-9]+\+' '^there is no checkpoint 2'
	hasnt "$b: none of them is listed" '^ +2  [0-9]+\+'
done
gdb_says tcg "--history 0" hello.elf 'monitor when' 'monitor goto 1' 'kill'
has says_that_there_is_no_way_back '0 calls were made, 0 instructions; there is no way back here'
if [ $python = yes ]; then
	gdb_says tcg "$mounts" "filework.elf 3" "source $script" 'tbreak exit' 'continue' 'belljar when' 'belljar goto begin' \
		'belljar run 1' 'stepi' 'belljar goto 2' 'kill'
	has python_goes_to_places_in_time '^at 0\+0, RIP 0x' '^#0 .* in _start' '^#0 +rt_|^#0 .* in rt_' ', 1 instructions since'
	gdb_says tcg "" hello.elf "source $script" 'belljar nosuch' 'belljar goto' 'belljar goto x' 'belljar run 0' 'kill'
	has python_fails_where_it_does_nothing '^Undefined belljar command: "nosuch"\.  Try "help belljar"\.$' \
		'^too little: expected: monitor goto PLACE$' '^"x": expected begin' '^"0": expected how many'
	hasnt python_shows_no_frame_then '^#0|List of belljar'

	# Colours are for people: at a terminal, in words of gdb's own.
	cat >lines <<-EOF
		source $script
		target remote | $BELLJAR debug --timeout 30 --gdb=stdio --backend tcg $GUESTS/hello.elf
		belljar fds
		python print("captured", gdb.execute("belljar fds", to_string=True))
		kill
		quit
	EOF
	colours() { # NAME LINES TERM [GDB'S OPTIONS]
		TERM=$3 timeout -k 5 60 script -qec "'$GDB' -q -nx -iex 'set confirm off' ${*:4} -x lines" /dev/null </dev/null >said 2>&1
		[ "$(grep -c $'\x1b\\[2m  fd  kind\|\\\\e\\[2m' said)" = "$2" ] && [ "$(grep -c '  fd  kind' said)" = 2 ]
		result "python_$1" $? "$(cat -v said)"
	}
	if command -v script >/dev/null; then
		colours has_colours_at_a_terminal 1 xterm
		colours has_none_at_a_dumb_one 0 dumb
		colours has_none_without_style 0 xterm -ex "'set style enabled off'"
		colours has_none_in_mi 0 xterm -i=mi
	else
		skip python_has_colours_at_a_terminal "script is not installed"
	fi
	timeout 60 "$GDB" -q -nx <lines >said 2>&1
	hasnt python_has_none_in_a_pipe $'\x1b'
fi

# A guest without interrupt table: its exceptions are seen all the same, and then are its end.
gdb_says tcg "" "fault.elf page" 'monitor catch exception 14,6' 'continue' 'backtrace 1' 'monitor info regs' 'continue' \
	'continue'
has catches_a_page_fault '^stops before these exceptions are delivered: 6 14$' \
	'^The guest raised page fault \(#PF\), error code 0x2, at 0x700000000000\.$' 'received signal SIGSEGV' \
	'^#0 .*innermost' '^exception 14 is to be delivered next$' 'triple fault at RIP'
gdb_says tcg "" "fault.elf de" 'monitor catch exception 14,0' 'continue' 'kill'
has catches_a_division 'The guest raised divide error \(#DE\)\.' 'received signal SIGFPE'
gdb_says tcg "" "fault.elf de" 'monitor catch exception 0' 'monitor catch exception off' 'continue' 'kill'
has catches_nothing_when_off 'exceptions do not stop the guest' 'triple fault at RIP'

if [ $python = yes ]; then
	timeout 30 "$GDB" -q -nx -batch -ex "source $script" -ex 'belljar fds' -ex 'catch hypercall open' >said 2>&1
	has python_without_a_guest_says_so 'no guest of belljar is connected'
	for c in 'belljar when' 'belljar run 5' 'belljar run x' 'belljar pages x' 'belljar pages $rip' 'belljar goto 5'; do
		timeout 30 "$GDB" -q -nx -batch -ex "source $script" -ex "$c" >said 2>&1
		grep -q '^no guest of belljar is connected' said && ! grep -q Exception said
		result "python_without_a_guest: $c" $? "$(cat said)"
	done
	printf 'int main(void) { return 0; }\n' >t.c
	if ${CC:-cc} -g -o t t.c 2>/dev/null; then
		timeout 30 "$GDB" -q -nx -batch -ex "source $script" -ex 'break main' -ex run -ex 'stepi' -ex 'kill' ./t \
			>said 2>&1
		! grep -qE 'Error|Traceback|belljar' said
		result python_leaves_other_programs_alone $? "$(cat said)"
	else
		skip python_leaves_other_programs_alone "no compiler"
	fi
fi
other_guest
finish
