#!/bin/bash
# SPDX-License-Identifier: ISC
# gdb, backwards: a bug found from its effect to its cause, live and from a recording; 1,000 random commands forth and
# back; the begin, the end, the past that may not be changed.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/gdb_lib.sh
. "$(dirname "$0")/gdb_lib.sh"
belljar=$(realpath "${BELLJAR:-build/rel/belljar}")
guests=$(realpath "${GUESTS:-build/rel/kernels}")
here=$(realpath "$(dirname "$0")")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

if ! command -v "$GDB" >/dev/null; then
	skip everything "gdb is not installed"
	finish
	exit
fi

stdio() { # BACKEND WORDS...
	echo "| $belljar debug -q --gdb=stdio --backend $*"
}

# From the crash to the line that wrote the pointer.
finds_the_bug() { # NAME TARGET
	gdb_talk out "$2" <<-'EOF'
		continue
		print *p
		watch -l p->born_in
		reverse-continue
		reverse-continue
		backtrace 1
		print p->name
	EOF
	said "$1" out 'Program received signal SIGSEGV' 'introduce \(.*corrupt.c:' \
		'born_in = 0x73756564616d4120' 'Old value = .* 0x73756564616d4120' 'New value = .* 0x756564616d4120' \
		'set_name \(.*"Wolfgang Amadeus"\) at .*corrupt.c:' \
		'New value = .*0x6564616d4120' '"Wolfgang"' '!No more reverse' '!Reached end of rec'
}

# There and back between breakpoints, over calls, and out of functions.
moves() { # NAME TARGET
	gdb_talk out "$2" <<-'EOF'
		break ponder
		break introduce if p == &people[1]
		continue
		continue
		backtrace 1
		reverse-next
		reverse-continue
		reverse-finish
		reverse-step
		reverse-stepi
		delete
		reverse-continue
		info registers rip
		stepi
		reverse-stepi
		reverse-stepi
		tbreak introduce
		continue
		continue
	EOF
	said "$1" out 'Breakpoint 1, ponder' 'Breakpoint 2, introduce \(p=.*people\+16' '#0 .*introduce' \
		'Breakpoint 1, ponder \(n=20000\)' \
		'(No more reverse-execution history|Reached end of recorded history)' 'rip .*<_start>' '(No more reverse-execution history|Reached end of recorded history)' \
		'Temporary breakpoint 3, introduce \(p=.*<people>' 'Program received signal SIGSEGV'
}

# One back from behind a hypercall is at its instruction, whoever stopped there.
out_again() { # NAME TARGET
	gdb_talk out "$2" <<-'EOF'
		catch syscall
		continue
		continue
		reverse-stepi
		x/i $pc
		stepi
		stepi
		delete
		x/2i $pc-1
		reverse-stepi
		x/i $pc
		stepi
		reverse-stepi
		reverse-stepi
		stepi
		x/i $pc
	EOF
	said "$1" out 'call to syscall' 'returned from syscall' '=> .*out +%eax,\(%dx\)' 'call to syscall' 'returned from syscall' \
		'out +%eax,\(%dx\)' '=> ' '=> .*out +%eax,\(%dx\)' '=> .*out +%eax,\(%dx\)'
}

# What was cannot be changed, unless asked for; then the guest goes on from there.
past() { # NAME TARGET
	gdb_talk out "$2" <<-'EOF'
		break introduce
		continue
		print people[0].name[0] = 'H'
		reverse-continue
		print people[0].name[0] = 'J'
		delete
		continue
	EOF
	said "$1" out "Breakpoint 1, introduce" "= 72 'H'" '(No more reverse-execution history|Reached end of recorded history)' \
		'(Cannot access memory|this is the past)' 'Hranz comes from Vienna' 'SIGSEGV' '!J.anz comes'
}

# A function that gdb called is a part of the way; a breakpoint where that was done is one still, either way.
over_a_called_function() { # NAME TARGET
	gdb_talk out "$2" <<-'EOF'
		break ponder
		continue
		call (void)introduce(&people[0])
		next
		reverse-continue
		backtrace 1
		reverse-continue
		continue
		backtrace 1
		delete
		continue
	EOF
	# Where nobody counts, the call may have made its place the begin.
	said "$1" out 'Breakpoint 1, ponder' 'Franz comes from Vienna' '(Breakpoint 1, |^)ponder' '#0 +ponder' \
		'(No more reverse-execution history|Reached end of recorded history)' 'pondered' 'SIGSEGV' '!SIGTRAP'
}

# Who leaves the guest in the past, by a word or without, leaves it to the present: it does nothing twice, however far that is.
leaves_the_past() { # NAME COMMAND
	"$belljar" debug -q --gdb=unix:socket --backend tcg "$guests/count.elf" 30000000 >console 2>err <&- &
	local guest=$!
	appears -S socket
	gdb_talk out socket <<-EOF 2>/dev/null
		break rt_exit
		continue
		delete
		reverse-continue
		$2
	EOF
	timeout 60 tail --pid="$guest" -f /dev/null || kill -9 "$guest"
	wait "$guest" && [ "$(grep -c '^count: 30000000 turns' console)" = 1 ]
	result "$1" $? "$(cat out console err)"
}

# Nor is the guest's end one of the way back: gdb takes it for gone, and is told how to come to it again.
behind_the_end() { # BACKEND
	gdb_talk out "extended $(stdio "$1" "$guests/hello.elf")" <<-'EOF'
		continue
		monitor goto begin
		attach 1
		tbreak main
		continue
		reverse-stepi
		continue
		continue
	EOF
	said "$1: back from the end" out 'exited normally' '^at 0\+0, ' '^gdb takes the guest for gone' '^  attach 1$' ' _start ' \
		'Temporary breakpoint 1, main ' '^0x' 'Temporary breakpoint|exited normally'
	[ "$(grep -c '^Hello, world!$' out)" = 1 ]
	result "$1: and nothing is done twice" $? "$(cat out)"
}

# The end of a recording is no end of the session.
recording() { # NAME TARGET
	gdb_talk out "$2" <<-'EOF'
		continue
		continue
	EOF
	said "$1" out 'Here the guest exits with code 0' 'No more reverse-execution history|Reached end of recorded history|exited normally'
}

# Nor does gdb lose its way where it steps over a breakpoint to the end, or at it.
over_the_end() { # NAME TARGET
	gdb_talk out "$2" <<-'EOF'
		monitor stop-at-exit on
		break rt_exit
		continue
		break *$pc+10
		info symbol $pc+10
		x/i $pc+10
		continue
		continue
		reverse-continue
		continue
		stepi
		break *$pc
		continue
		reverse-continue
		reverse-continue
	EOF
	said "$1" out 'Breakpoint 1, ' '^rt_exit \+ 10' 'out +%eax' 'Breakpoint 2, ' 'Here the guest exits' \
		'No more reverse-execution history|Reached end of recorded history' 'Breakpoint 2, ' 'Here the guest exits' \
		'No more reverse-execution history|Reached end of recorded history' \
		'No more reverse-execution history|Reached end of recorded history' \
		'Breakpoint 3 ' 'Here the guest exits' 'Breakpoint 2, ' 'Breakpoint 1, '
}

# Nor that of one cut off before its first call: the way to it can be walked.
cut_recording() { # BACKEND
	"$belljar" trace show --bjt "$dir/hello-$1.pcapng" | sed '/^$/q; $d' >cut.bjt
	echo cut >>cut.bjt
	gdb_talk out "$(stdio "$1" --trace cut.bjt --guest "$guests/hello.elf")" <<-'EOF'
		break main
		continue
		delete
		continue
		monitor when
	EOF
	said "$1: a recording without a call" out ' in _start ' 'Breakpoint 1, main' '^the recording was cut off here$' ', at the end: '
}

# Nor is a guest that does something else; whoever goes on all the same is told so again.
another_way() { # NAME BACKEND
	"$belljar" record -q --backend tcg -o run.pcapng "$guests/hypercalls.elf" 20 >said
	"$belljar" trace show --bjt run.pcapng | awk '/^close/ && ++n == 10 { $2 = "-2" } 1' >other.bjt
	gdb_talk out "$(stdio "$2" --trace other.bjt --guest "$guests/hypercalls.elf" '2>report; echo $? >code')" <<-'EOF'
		continue
		continue
		continue
		continue
		monitor goto 9
		maintenance flush register-cache
		continue
		monitor when
	EOF
	said "$1" out '^at call 9 the guest did something else than was recorded$' '^at call 9 the' '^at call 9 the' '^at call 9 the' \
		'^at 9\+0, ' '^at call 9 the' '^at 10\+.*, at the end: 9 calls answered, call 9 is not$'
	appears -s code && [ "$(cat code)" = 3 ] && grep -q '^DIVERGENCE at call 9' report
	result "$1, reported at the end" $? "$(cat code report)"
}

# kvm does not count, and reads are seen by the software CPU alone: the same is told all the same.
alike() { # NAME REGEX GUEST... <COMMANDS
	local b
	mkdir in out
	echo "some text" >in/input.txt
	cat >commands
	for b in tcg kvm; do
		rm -f out/*
		gdb_talk said "$(stdio "$b" --mount ./in:/in --mount ./out:/out:rw "${@:3}")" <commands
		grep -Ev '^(at [0-9]+[+]|kept: )' said >$b
	done
	diff tcg kvm >differs && grep -Eq -- "$2" kvm
	result "kvm as tcg: $1" $? "$(cat differs kvm)"
}

watched_reads() {
	alike "reads" '^Value = .*' "$guests/files.elf" <<-'EOF'
		rwatch output[4]
		continue
		continue
		continue
	EOF
}

# Within a string instruction, too, which kvm may take at one go.
reads_back() {
	alike "reads, and back" '^rcx .* -2$' "$guests/corrupt.elf" <<-'EOF'
		break ponder
		continue
		delete
		rwatch people[0].name[0]
		continue
		info registers rip rcx rdi
		reverse-continue
		info registers rip rcx rdi
		reverse-stepi
		info registers rip rcx rdi
		continue
		delete
		continue
		rwatch people[0].name[0]
		reverse-continue
		reverse-continue
		reverse-continue
	EOF
}

# A step is the whole of a string instruction, a watchpoint is within it.
strings() {
	alike "string instructions" '^Watchpoint 2' "$guests/corrupt.elf" <<-'EOF'
		break memcpy
		continue
		stepi 2
		x/i $pc
		info registers rip rcx
		stepi
		info registers rip rcx
		reverse-stepi
		watch *(char *)($rdi + 2)
		continue
		info registers rip rcx
		stepi
		reverse-stepi
		reverse-stepi
		info registers rip rcx
		continue
		continue
		reverse-continue
		reverse-continue
	EOF
}

calls_back() { # GUEST...
	alike "calls backwards: ${1##*/}" 'returned from syscall' "$@" <<-'EOF'
		monitor stop-at-exit on
		continue
		catch syscall
		reverse-continue
		reverse-continue
		reverse-continue
		reverse-continue
		reverse-continue
		reverse-continue
	EOF
}

walk() { # NAME TARGET STEPS
	gdb_seconds=300 gdb_talk out "$2" <<-EOF
		source $here/gdb_walk.py
		python walk($3)
	EOF
	said "$1" out "^walked $3 commands, [0-9]+ places, all the same\$"
}

backends=(tcg)
if "$belljar" run -q --backend kvm "$guests/hello.elf" >"$dir/hello" 2>&1; then
	backends+=(kvm)
else
	skip kvm "$(head -n 1 "$dir/hello")"
fi
for b in "${backends[@]}"; do
	"$belljar" record -q --backend "$b" -o "$dir/$b.pcapng" "$guests/corrupt.elf" >"$dir/out" 2>&1
	"$belljar" record -q --backend "$b" -o "$dir/hello-$b.pcapng" "$guests/hello.elf" >"$dir/out" 2>&1
	beside finds_the_bug "$b: live" "$(stdio "$b" "$guests/corrupt.elf")"
	beside moves "$b: moves" "$(stdio "$b" "$guests/corrupt.elf")"
	beside out_again "$b: a hypercall again" "$(stdio "$b" "$guests/hello.elf")"
	beside past "$b: the past" "$(stdio "$b" "$guests/corrupt.elf")"
	beside over_a_called_function "$b: over a function that gdb called" "$(stdio "$b" "$guests/corrupt.elf")"
	beside behind_the_end "$b"
	beside over_the_end "$b: over a breakpoint to the end" "$(stdio "$b" "$guests/hello.elf")"
	beside over_the_end "$b: over one to a recording's end" \
		"$(stdio "$b" --trace "$dir/hello-$b.pcapng" --guest "$guests/hello.elf")"
	for on in "${backends[@]}"; do
		beside finds_the_bug "recorded on $b, on $on" \
			"$(stdio "$on" --trace "$dir/$b.pcapng" --guest "$guests/corrupt.elf")"
	done
	beside recording "$b: the end of a recording" \
		"$(stdio "$b" --trace "$dir/hello-$b.pcapng" --guest "$guests/hello.elf")"
	beside cut_recording "$b"
	beside another_way "$b: another guest than recorded" "$b"
done
beside leaves_the_past "detached in the past" detach
# shellcheck disable=SC2016 # gdb's shell's
beside leaves_the_past "gone in the past" 'shell kill -9 $PPID'
beside walk "tcg: a walk" "$(stdio tcg "$guests/hello.elf")" 1000
if [ ${#backends[@]} = 2 ]; then
	beside watched_reads
	beside reads_back
	beside strings
	beside calls_back "$guests/count.elf" 100000
	beside calls_back "$guests/corrupt.elf"
	beside walk "kvm: a walk" "$(stdio kvm "$guests/hello.elf")" 60
fi
beside_end
finish
