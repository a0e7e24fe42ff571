#!/bin/bash
# SPDX-License-Identifier: ISC
# What a debugger writes while a guest is recorded is a part of the recording: replayed, in the guest's place and in the
# host's, on every backend; forth and back under gdb; and refused where it could not be written again.
# shellcheck disable=SC2016,SC2094 # $ is gdb's; files are read only
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/gdb_lib.sh
. "$(dirname "$0")/gdb_lib.sh"
belljar=$(realpath "${BELLJAR:-build/rel/belljar}")
guests=$(realpath "${GUESTS:-build/rel/kernels}")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
guest=$guests/count.elf

if ! command -v gdb >/dev/null; then
	skip everything "gdb is not installed"
	finish
	exit
fi
backends=(tcg)
if "$belljar" run -q --backend kvm "$guests/hello.elf" >"$dir/hello" 2>&1; then
	backends+=(kvm)
else
	skip kvm "$(head -n 1 "$dir/hello")"
fi

recorded_on() { # BACKEND FILE: a target
	echo "| $belljar record -q --gdb=stdio --backend $1 -o $2 $guest"
}

replayed_on() { # BACKEND FILE [OPTIONS]: a target
	echo "| $belljar debug -q --gdb=stdio --backend $1 ${*:3} --trace $2 --guest $guest"
}

says() { # NAME FILE REGEX...
	local why
	why=$(in_order "${@:2}")
	result "$1" $? "$why"
}

# As it was recorded, in both places; and without what was written it is another run.
replays() { # NAME FILE CONSOLE
	local b status
	for b in "${backends[@]}"; do
		timeout 60 "$belljar" replay --backend "$b" --guest "$guest" "$2" >out 2>err
		status=$?
		[ $status = 0 ] && [ "$(cat out)" = "$3" ]
		result "$1, replayed on $b" $? "exit code $status: $(cat out err)"
		"$belljar" trace show --bjt --full "$2" >edited.bjt
		timeout 60 "$belljar" replay --backend "$b" --guest "$guest" edited.bjt >out 2>err
		status=$?
		[ $status = 0 ] && [ "$(cat out)" = "$3" ]
		result "$1, as golden text on $b" $? "exit code $status: $(cat out err)"
		sed '/^edit held/,+1d; /^edit/d' edited.bjt >plain.bjt
		timeout 60 "$belljar" replay --backend "$b" --guest "$guest" plain.bjt >out 2>err
		status=$?
		[ $status = 3 ]
		result "$1, without what was written, on $b" $? "exit code $status: $(cat out err)"
	done
	"$belljar" replay -q "$2" >out 2>&1
	result "$1, in the guest's place" $? "$(cat out)"
}

# A register and a variable in the middle of a function, one more before the answer of a call.
in_the_middle() {
	gdb_talk talk "$(recorded_on tcg "$PWD/run.pcapng")" <<-'EOF'
		break spin
		continue
		stepi
		set var $rdi = 7
		stepi 2
		set var $rcx = 5
		catch syscall
		continue
		set var buffer[0] = 'C'
		continue
		set var $k_gs_base = 0x1234
		delete
		continue
	EOF
	says "tcg: recorded" talk 'Breakpoint 1, spin' 'call to syscall' 'returned from syscall' 'exited normally'
	"$belljar" trace show --full run.pcapng >shown
	says "shown" shown '^--- edit \+[0-9]+ rdi 0x0000000000000007 ---$' '^--- edit \+[0-9]+ rcx 0x0000000000000005 ---$' \
		'^--- edit held memory 0x[0-9a-f]+ ---$' '^    < C$' '^serial_write\("Count: 7 turns, sum 17' \
		'^--- edit \+0 k_gs_base 0x0000000000001234 ---$'
	"$belljar" trace stat run.pcapng >counted
	says "counted" counted '^A debugger wrote 4 times\.$'
	"$belljar" trace export --format jsonl run.pcapng >lines
	says "exported" lines '"edit":"rdi","n":0,"instructions":[0-9]+,"ip":"0x[0-9a-f]+","value":"0x0000000000000007"' \
		'"edit":"memory","n":0,"held":true,"ip":"0x[0-9a-f]+","address":"0x[0-9a-f]+","out":"C"'
	"$belljar" trace export --format pcapng run.pcapng -o again.pcapng
	"$belljar" trace diff run.pcapng again.pcapng >out 2>&1
	result "exported as it is" $? "$(cat out)"
	"$belljar" trace html run.pcapng -o page.html && grep -q '"a debugger wrote","held memory' page.html
	result "on the page" $? "not there"
	"$belljar" trace show --bjt run.pcapng | sed 's/rcx 0x0000000000000005/rcx 0x0000000000000006/' >other.bjt
	"$belljar" trace diff run.pcapng other.bjt >differs
	says "differences" differs '^-.*edit \+[0-9]+ rcx 0x0000000000000005' '^\+.*edit \+[0-9]+ rcx 0x0000000000000006'
	replays "written on tcg" run.pcapng "Count: 7 turns, sum 17"
}

# Forth and back over what was written, and on without the debugger.
travels() { # BACKEND FILE OPTIONS...
	gdb_talk talk "$(replayed_on "$1" "$2")" <<-'EOF'
		break spin
		continue
		print $rdi
		stepi 3
		print $rdi
		catch syscall
		continue
		reverse-continue
		print $rdi
		continue
		continue
		print/d $k_gs_base
		stepi
		print/d $k_gs_base
		reverse-continue
		reverse-continue
		print/d $k_gs_base
		delete
		continue
	EOF
	says "$1: forth and back" talk '^\$1 = 1000$' '^\$2 = 7$' 'serial_write\("(C|c)ount: 7 turns, sum 17' \
		'Breakpoint 1' '^\$3 = 1000$' 'call to syscall' 'Count: 7 turns, sum 17' 'returned from syscall' '^\$4 = 0$' \
		'^\$5 = 4660$' '^\$6 = 0$' 'Here the guest exits with code 0'
	# What the guest says then is nothing that gdb would pass on.
	gdb_talk talk "$(replayed_on "$1" "$2") 2>said" <<-'EOF'
		break spin
		continue
		detach
	EOF
	comes said 'Count: 7 turns, sum 17'
	result "$1: detached" $? "$(cat talk said)"
	gdb_talk talk "$(replayed_on "$1" "$2" --history 0)" <<-'EOF'
		break spin
		continue
		stepi 3
		print $rdi
		delete
		continue
	EOF
	says "$1: no way back" talk '^\$1 = 7$' 'Count: 7 turns, sum 17' 'exited normally|exits with code 0'
}

# Where nobody counts: at calls.
at_a_call() { # BACKEND
	gdb_talk talk "$(recorded_on "$1" "$PWD/run.pcapng")" <<-'EOF'
		catch syscall
		continue
		set var buffer[0] = 'C'
		continue
		set var $k_gs_base = 0x1234
		delete
		continue
	EOF
	says "$1: recorded at a call" talk 'call to syscall' 'returned from syscall' 'exited normally'
	"$belljar" trace show run.pcapng >shown
	says "$1: both are there" shown '^--- edit held memory 0x[0-9a-f]+ ---$' 'edit \+0 k_gs_base 0x0000000000001234'
	replays "written on $1 at a call" run.pcapng "Count: 1000 turns, sum 500500"
}

refuses() {
	gdb_talk talk "| $belljar record --gdb=stdio --backend kvm -o run.pcapng $guest" <<-'EOF'
		break spin
		continue
		set var $rdi = 7
		set var buffer[0] = 'C'
		print buffer[0]
		delete
		continue
	EOF
	says "kvm: refused between calls" talk 'cannot be replayed: step to a hypercall \(catch syscall\) first, or record on tcg' \
		"= 0 '" 'count: 1000 turns' 'exited normally'
	"$belljar" trace stat run.pcapng >counted
	says "kvm: and not recorded" counted '!debugger'
	timeout 60 "$belljar" replay -q --backend tcg --guest "$guest" run.pcapng >out 2>&1
	result "kvm: replayed all the same" $? "$(cat out)"
}

# What was is recorded, and stays; what was written is recorded once, however often the guest comes by there.
past() { # BACKEND
	gdb_talk talk "$(recorded_on "$1" "$PWD/run.pcapng")" <<-'EOF'
		catch syscall
		continue
		set var buffer[0] = 'C'
		continue
		reverse-continue
		monitor diverge on
		set var buffer[1] = 'O'
		continue
		continue
		reverse-continue
		continue
		delete
		continue
	EOF
	says "$1: the past" talk 'returned from syscall' 'exited normally'
	"$belljar" trace stat run.pcapng >counted
	says "$1: written once" counted '^A debugger wrote 1 times\.$'
	timeout 60 "$belljar" replay -q --backend "$1" --guest "$guest" run.pcapng >out 2>&1
	result "$1: replayed after all that" $? "$(cat out)"
}

# What a debugger itself records, from the first instruction on.
by_monitor() {
	gdb_talk talk "| $belljar debug -q --deterministic --gdb=stdio --backend tcg $guest" <<-'EOF'
		monitor record start run.pcapng
		break spin
		continue
		set var $rdi = 7
		delete
		continue
	EOF
	says "monitor: recorded" talk 'it replays' 'count: 7 turns, sum 28' 'exited normally'
	replays "written on tcg, recorded by monitor" run.pcapng "count: 7 turns, sum 28"
	gdb_talk talk "| $belljar debug -q --deterministic --gdb=stdio --backend tcg $guest" <<-'EOF'
		set var buffer[0] = 'C'
		monitor record start late.pcapng
		continue
	EOF
	says "monitor: begun too late" talk 'what came before is not in it'
}

# Nothing comes behind what was written: the guest goes on to its next call, of which nothing is known.
cut_there() { # BACKEND
	"$belljar" trace show --bjt "$dir/1/run.pcapng" | sed '/^edit held/,$d' >cut.bjt
	echo cut >>cut.bjt
	timeout 60 "$belljar" replay --backend "$1" --guest "$guest" cut.bjt >out 2>&1
	result "$1: cut behind a write" $? "$(cat out)"
	says "$1: cut there" out '0 calls, no mismatch \(guest side\); the recording was cut off there'
}

# Another guest's place, or none: said, not written somewhere else.
elsewhere() { # BACKEND
	gdb_talk talk "$(recorded_on tcg "$PWD/run.pcapng")" <<-'EOF'
		break spin
		continue
		set var $rdi = 7
		delete
		continue
	EOF
	"$belljar" trace show --bjt --full run.pcapng >run.bjt
	sed 's/^edit +\([0-9]*\)/edit +1\1/' run.bjt >late.bjt
	timeout 60 "$belljar" replay -q --backend "$1" --guest "$guest" late.bjt >out 2>&1
	says "$1: never comes there" out 'before call 0 a debugger wrote, 1[0-9]+ instructions .* serial_write'
	sed 's/^edit +[0-9]*/edit +10/' run.bjt >early.bjt
	timeout 60 "$belljar" replay -q --backend "$1" --guest "$guest" early.bjt >out 2>&1
	says "$1: is elsewhere" out 'a debugger wrote when the guest was at 0x[0-9a-f]+, and here it is at 0x'
	sed 's/^edit .*/edit +10 memory 0x1\n  < x/' run.bjt >outside.bjt
	timeout 60 "$belljar" replay -q --backend "$1" --guest "$guest" outside.bjt >out 2>&1
	says "$1: outside of memory" out 'what a debugger wrote to memory cannot be written: Bad address'
}

beside in_the_middle
beside by_monitor
for b in "${backends[@]}"; do
	beside at_a_call "$b"
	beside past "$b"
	beside elsewhere "$b"
done
[ ${#backends[@]} = 1 ] || beside refuses
beside_end
for b in "${backends[@]}"; do
	beside travels "$b" "$dir/1/run.pcapng"
	beside cut_there "$b"
done
beside_end
finish
