#!/bin/bash
# SPDX-License-Identifier: ISC
# The real gdb on real guests: over stdio, unix sockets and TCP, on every backend, in both ABI generations.
# shellcheck disable=SC2016 # much is for gdb to expand
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/gdb_lib.sh
. "$(dirname "$0")/gdb_lib.sh"
BELLJAR=$(realpath "${BELLJAR:-build/rel/belljar}") GUESTS=$(realpath "${GUESTS:-build/rel/kernels}")
source=$PWD
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

command -v "$GDB" >/dev/null || { skip gdb "gdb is not installed"; finish; exit; }

backends=()
for b in kvm tcg; do
	if "$BELLJAR" run --backend $b "$GUESTS/hello.elf" >/dev/null 2>&1; then
		backends+=("$b")
	else
		skip $b "this machine has none"
	fi
done

# The target of a session that has a guest to itself; the guest's console goes to the file console.
own() { # BACKEND OPTIONS AND GUEST...
	echo "| $BELLJAR debug --gdb=stdio --backend $1 ${*:2} 2>console"
}

# An image, as cases name it.
label() {
	case $1 in
	"$dir"/*) echo "plain ${1##*/}" ;;
	*) echo "${1##*/}" ;;
	esac
}

# ---- every guest: under gdb it does what it does alone ----

every_guest() { # BACKEND GUEST ARGS...
	local backend=$1 guest=$2 name="$2 $1" code want
	local options=(--deterministic --mount "$dir/in:/in" --mount "$PWD/out:/out:rw")
	shift 2
	mkdir out
	timeout 60 "$BELLJAR" run --backend "$backend" "${options[@]}" "$GUESTS/$guest.elf" "$@" >want 2>/dev/null </dev/null
	code=$?
	rm -rf out
	mkdir out
	want="exited with code $(printf %02o $code)\]"
	[ $code = 0 ] && want="exited normally"
	gdb_talk out.gdb "$(own "$backend" "${options[@]}" "$GUESTS/$guest.elf" "$*")" <<-'END'
		break main
		continue
		bt
		stepi
		x/i $pc
		next
		break rt_exit
		continue
		bt 1
		delete
		continue
	END
	said "under gdb: $name" out.gdb '^Breakpoint 1, main ' '^#0  main ' '^=> 0x[0-9a-f]+ <main\+' \
		'^Breakpoint 2, rt_exit ' '^#0  (0x[0-9a-f]+ in )?rt_exit' "$want"
	sed -i '/^warning: /d; /^Reading /d' console
	cmp -s want console
	result "its console: $name" $? "$(diff -a want console | head -n 12)"
}

# ---- what gdb is for ----

jumps() { # BACKEND GUEST
	gdb_talk out "$(own "$1" "$GUESTS/$2.elf" 100)" <<-'END'
		break spin
		continue
		jump *$pc
		info breakpoints
		condition 1 n == 1
		jump *$pc
	END
	said "a jump to a breakpoint meets it: $2 $1" out '^Breakpoint 1, spin ' '^Breakpoint 1, spin ' 'already hit 2 times' 'exited normally'
}

# Symbols that come when gdb has connected are where the image is, as those are that come before, or from belljar.
loads_symbols_late() { # BACKEND GUEST
	local command
	for command in file symbol-file; do
		gdb_talk out "$(own "$1" "$GUESTS/$2.elf" 100)" <<-END
			$command $GUESTS/$2.elf
			break spin
			continue
			info symbol \$pc
		END
		said "$command behind connecting: $2 $1" out '^Breakpoint 1, spin ' '^spin( \+ [0-9]+)? in section .text'
	done
}

# By the signal alone, as for a client that knows no reasons for a stop.
breaks_without_words() { # BACKEND PACKET...
	local off=() packet
	for packet in "${@:2}"; do
		off+=(-iex "set remote $packet-packet off")
	done
	gdb_talk out "$(own "$1" "$GUESTS/count.elf" 100)" "${off[@]}" "$GUESTS/count.elf" <<-'END'
		break main
		hbreak spin
		continue
		continue
		stepi
		continue
	END
	said "breakpoints without ${*:2}: $1" out '^Breakpoint 1, main ' '^Breakpoint 2, spin ' 'exited normally' '![Uu]nexpected'
}

# On count 100, whose spin sums up what it counts down.
looks_and_changes() { # BACKEND GUEST
	gdb_talk out "$(own "$1" "$GUESTS/$2.elf" 100)" <<-'END'
		info symbol main
		break main
		continue
		bt
		print argc
		print argv[1]
		print strlen(argv[1])
		hbreak spin
		tbreak exit
		continue
		bt
		print n
		set var n = 10
		stepi
		set $rax = 0x1234
		print/x $rax
		set $rax = 0
		x/2i $pc
		up
		info locals
		down
		print $pc
		print $cr0
		print $eflags
		print $_siginfo
		print/x *(unsigned char *)$pc
		finish
		info breakpoints
		continue
		info breakpoints
		print code
		continue
	END
	said "looks and changes: $2 $1" out '^main in section .text' '^Breakpoint 1, main \(argc=2' '^#0  main ' '= 2$' \
		'"100"$' '= 3$' '^Breakpoint 2, spin \(n=100\)' '^#0  spin \(n=100\) at kernels/count.c' \
		'^#1 .* in main .* at kernels/count.c' '= 100$' 'kernels/count.c|in spin' '= 0x1234$' '^=> 0x.*<spin\+' \
		'^   0x.*<spin\+' '^#1 .* in main ' '^n = 100$' '^#0 .*spin ' '<spin\+' 'PE .*PG' '\[.*\]' '= 0x' \
		'in main ' '^Value returned is \$[0-9]+ = 55$' '2 +hw breakpoint .* spin at kernels/count.c' 'already hit 1 time' \
		'^Temporary breakpoint 3, exit' '2 +hw breakpoint' '= 0$' 'exited normally'
	grep -q '^count: 10 turns, sum 55$' console
	result "what was set is what the guest counts: $2 $1" $? "$(cat console)"
}

# What is neither code nor data that is written lies where the image was placed, too.
constants() { # BACKEND GUEST
	gdb_talk out "$(own "$1" "$GUESTS/$2.elf")" <<-'END'
		print kinds[1]
		info symbol &kinds
		info sharedlibrary
	END
	said "constants: $2 $1" out '^\$1 = \{name = 0x[0-9a-f]+ "ud", run = 0x[0-9a-f]+ <ud>\}' '^kinds in section .data.rel.ro' \
		'^No shared libraries' '!Cannot access|warning: .*section'
}

# What the guest writes where a breakpoint is, is said once; what gdb writes there, never.
overwrites() { # BACKEND GUEST
	gdb_talk out "$(own "$1" "$GUESTS/$2.elf")" <<-'END'
		break *code
		break *(code+64)
		break run
		continue
		continue
		continue
		continue
		delete
		break *code
		print code[0] = 0x90
		tbreak run
		continue
		kill
	END
	said "code is written over: $2 $1" out '^Breakpoint ' \
		'^The guest has written over the code of the breakpoint at 0x[0-9a-f]+\.$' '^Breakpoint [13], ' '= 144 ' 'killed\]'
	[ "$(grep -c 'written over' out)" = 1 ]
	result "which is said once: $2 $1" $? "$(cat out)"
}

steps() { # BACKEND IMAGE
	gdb_talk out "$(own "$1" "$2" 100)" <<-'END'
		break spin
		continue
		bt
		finish
		step
		bt
		up
		down
		advance rt_serial_write
		up
		nexti
		stepi 5
		info registers rip
		kill
	END
	said "steps: $(label "$2") $1" out '^Breakpoint 1, spin ' '^#0 .*spin \(n=100\)' '^#1 .* main ' '^Value returned is .* = 5050' \
		'printf ' '^#0 .*printf ' '^#1 .*main ' '^#1 .*main ' '^#0 .*printf ' '^rt_serial_write \(' '^#1 ' '^rip +0x' \
		'^\[Inferior 1 .*killed\]'
}

# Of an unoptimised guest: variables are where their names say, and putchar is in one place.
unoptimised() { # BACKEND
	gdb_talk out "$(own "$1" "$dir/plain/kernels/count.elf" 100)" <<-'END'
		break main
		continue
		next
		info locals
		set var n = 7
		next
		print n
		break spin
		continue
		set var n = 4
		bt
		info locals
		finish
		continue
	END
	said "unoptimised: $1" out '^Breakpoint 1, main ' '^n = 1000' '= 100$' '^Breakpoint 2, spin \(n=100\)' '^#0 .*spin \(n=4\)' \
		'^#1 .*main' '^sum = ' '^Value returned is .* = 10$' 'exited normally'
	grep -q '^count: 100 turns, sum 10$' console
	result "unoptimised, changed: $1" $? "$(cat out console)"
	gdb_talk out "$(own "$1" "$dir/plain/kernels/count.elf" 100)" <<-'END'
		set dprintf-style agent
		dprintf putchar,"put %c=%d\n", c, c
		continue
	END
	said "dprintf by the agent: $1" out 'Dprintf 1 at' '^put c=99$' '^put 5=53$' '^put 0=48$' '^put 5=53$' '^put 0=48$' 'exited normally'
	[ "$(grep -c '^put ' out)" = "$(wc -c <console)" ] && grep -q '^count: 100 turns, sum 5050$' console
	result "once for each: $1" $? "$(cat out console)"
}

# gdb keeps what it has read of the stack, and is not told that the guest is elsewhere: what it is to be told is said.
looks_again() { # BACKEND
	gdb_talk out "$(own "$1" "$dir/plain/kernels/count.elf" 100)" <<-END
		break spin
		continue
		next
		monitor checkpoint
		next
		info locals
		monitor goto c1
		maintenance flush register-cache
		maintenance flush dcache
		info locals
		next
		info locals
		source $source/scripts/belljar-gdb.py
		belljar goto c1
		info locals
		info args
	END
	said "looks again: $1" out '^Breakpoint 1, ' '^sum = 5050' '^gdb does not know it yet' '^  maintenance flush register-cache$' \
		'^  maintenance flush dcache$' '^sum = 0' '^sum = 5050' '^at 0\+' '^sum = 0' '^n = 100'
	[ "$(grep -c 'maintenance flush' out)" = 2 ]
	result "the extension does it: $1" $? "$(cat out)"
}

# A breakpoint that is hit often, and its condition: here and there, and the same. (gdb 13 sends no 'c'.)
conditions() { # BACKEND IMAGE FUNCTION CHARACTER
	local where name
	name="$(label "$2") $1"
	for where in host target; do
		gdb_talk $where "$(own "$1" "$2")" <<-END
			set breakpoint condition-evaluation $where
			break $3 if $4 == 111 || $4 == 116
			continue
			info breakpoints
			print/c $4
			continue
			print/c $4
			continue
			print/c $4
			condition 1 $4 == 0
			continue
		END
		said "conditions at the $where: $name" $where "^Breakpoint 1, $3" "stop only if .*\\($where evals\\)|stop only if" \
			"'[ot]'\$" "^Breakpoint 1, $3" "'[ot]'\$" "^Breakpoint 1, $3" "'[ot]'\$" 'exited normally'
	done
	grep -q 'target evals' target
	result "conditions go to the target: $name" $? "$(grep -A 3 'stop only' target)"
	[ "$(grep "^\\\$.*'" host)" = "$(grep "^\\\$.*'" target)" ]
	result "both evaluate alike: $name" $? "$(diff host target)"
}

watches() { # BACKEND GUEST
	gdb_talk out "$(own "$1" "$GUESTS/$2.elf")" <<-'END'
		watch used
		continue
		continue
		delete
		rwatch used
		continue
		delete
		awatch used
		continue
		continue
		delete
		watch used if used == 9
		continue
		delete
		continue
	END
	if grep -q 'Could not insert hardware watchpoint' out && [ "$1" != tcg ]; then
		said "no watchpoints, and all else goes on: $2 $1" out 'Could not insert' 'exited normally'
		skip "watchpoints: $2 $1" "this KVM has no data breakpoints"
		return
	fi
	said "watchpoints: $2 $1" out '^Hardware watchpoint 1: used' '^Old value = 0' '^New value = 1' 'in putchar' '^Old value = 1' \
		'^New value = 2' '^Hardware read watchpoint 2: used' '^Value = 2' '^Hardware access .* watchpoint 3: used' \
		'^Old value = 2' '^New value = 3' '^Value = 3' '^Hardware watchpoint 4: used' '^New value = 9' 'exited normally'
}

caught_calls() { # BACKEND GUEST
	mkdir -p out
	gdb_talk out.gdb "$(own "$1" --mount "$dir/in:/in" --mount "$PWD/out:/out:rw" "$GUESTS/$2.elf" /in/input.txt /out/o)" <<-'END'
		catch syscall open read write
		continue
		bt
		continue
		continue
		continue
		continue
		continue
		delete
		catch syscall close
		continue
		kill
	END
	said "catch syscall: $2 $1" out.gdb "^Catchpoint 1 \(syscalls 'open' .*'read' .*'write'" \
		'^open\("/in/input.txt", O_RDONLY' '^Catchpoint 1 \(call to syscall open\), ' '^#0 .*rt_hypercall|^#0 .*rt_open' 'main ' \
		'^open\("/in/input.txt", O_RDONLY.* = 3' '^Catchpoint 1 \(returned from syscall open\), ' \
		'^read\(3, ' '^Catchpoint 1 \(call to syscall read\), ' '^read\(3, "A bell jar.* = 25' '^Catchpoint 1 \(returned from syscall read\), ' \
		'^open\("/out/o", O_RDWR\|O_CREAT' 'call to syscall open' 'returned from syscall open' \
		"^Catchpoint 2 \(syscall 'close'" 'call to syscall close|returned from syscall close'
}

exit_codes() { # BACKEND GUEST
	local code
	for code in 0 7 255; do
		gdb_talk out$code "$(own "$1" "$GUESTS/$2.elf" $code)" <<<continue
	done
	said "exit code 0: $2 $1" out0 'exited normally'
	said "exit code 7: $2 $1" out7 'exited with code 07\]'
	said "exit code 255: $2 $1" out255 'exited with code 0377\]'
}

crashes() { # BACKEND GUEST KIND SIGNAL REGEX...
	local kind=$3 signal=$4 name="crash by $3: $2 $1"
	gdb_talk out "$(own "$1" "$GUESTS/$2.elf" "$kind")" <<-'END'
		continue
		bt
		print $pc
		continue
		info program
	END
	said "$name" out '^The guest crashed: ' "received signal $signal" "${@:5}" "terminated with signal $signal" 'not being run'
}

# As often as it is tried, from the first instruction on: in one gdb.
breaks_at_once() { # BACKEND GUEST
	local i
	for i in {1..20}; do
		echo "break main"
		echo "continue"
		echo "kill"
		[ "$i" = 20 ] || echo "target remote $(own "$1" "$GUESTS/$2.elf")"
	done >commands
	gdb_talk out "$(own "$1" "$GUESTS/$2.elf")" <commands
	[ "$(grep -Ec '^Breakpoint [0-9]+, .*main ' out)" = 20 ]
	result "break main is hit 20 times of 20: $2 $1" $? "$(cat out)"
}

# ---- sockets ----

# A guest in the background, served at a socket of this directory: its pid in $guest.
serve() { # OPTIONS AND GUEST...; stdin, stdout, stderr are the caller's
	"$BELLJAR" debug --gdb=unix:socket "$@" <&0 &
	guest=$!
	appears -S socket
}

# The guest ends with this exit code, and soon.
ended() { # CODE
	timeout 20 tail --pid="$guest" -f /dev/null || kill -9 "$guest"
	wait "$guest" 2>/dev/null
	[ $? = "$1" ]
}

lets_go() { # BACKEND
	serve --backend "$1" "$GUESTS/count.elf" 100 >console 2>err </dev/null
	[ "$(stat -c %a socket)" = 600 ]
	result "the socket is its user's alone: $1" $? "$(ls -l socket)"
	printf 'break main\ncontinue\ndetach\n' | gdb_talk out socket
	said "detach: $1" out '^Breakpoint 1, main' '^\[Inferior 1 .*detached\]'
	ended 0 && grep -q '^count: 100 turns, sum 5050$' console && [ ! -e socket ]
	result "the guest runs on, and the socket goes: $1" $? "$(cat console err)"
	grep -q 'target remote socket' err
	result "what to type is said: $1" $? "$(cat err)"
}

kills() { # BACKEND
	serve --backend "$1" "$GUESTS/count.elf" 1000000000000 >console 2>err </dev/null
	printf 'break spin\ncontinue\nkill\n' | gdb_talk out socket
	said "kill: $1" out '^Breakpoint 1, .*spin' '^\[Inferior 1 .*killed\]'
	ended 137 && [ ! -s console ]
	result "a killed guest's exit code: $1" $? "$(cat console err)"
}

# Ctrl-C for gdb, while its guest runs: to be said before.
interrupt='shell (sleep 0.7; kill -INT $PPID) &'

interrupts() { # BACKEND
	serve --backend "$1" "$GUESTS/count.elf" 1000000000000 >console 2>err </dev/null
	gdb_talk out socket <<-END
		$interrupt
		continue
		bt
		$interrupt
		continue
		print \$pc
		detach
	END
	said "Ctrl-C: $1" out 'received signal SIGINT' '^#0 .*spin ' '^#1 .*main ' 'received signal SIGINT' '<spin\+' '^\[Inferior 1 .*detached\]'
	printf 'bt\nstepi 100\nprint $pc\nkill\n' | gdb_talk again socket
	said "attached anew: $1" again '^0x.*spin|^spin' '^#0 .*spin ' '^#1 .*main ' '<spin\+' 'killed\]'
	ended 137
	result "and killed: $1" $? "$(cat err)"
}

# In a call that waits for input.
interrupts_a_call() { # BACKEND
	mkfifo keys
	exec 3<>keys
	serve --backend "$1" "$GUESTS/console.elf" >console 2>err <keys 3>&-
	printf '%s\ncontinue\nbt\ndetach\n' "$interrupt" | gdb_talk out socket
	said "Ctrl-C in a call that waits: $1" out 'received signal SIGINT' '^#0 .*rt_(hypercall|serial_read_byte)' 'main ' 'detached\]'
	printf xyz >&3
	comes console '^then 2 bytes'
	exec 3>&-
	ended 0 && in_order console '^first byte = 0x78' '^then 2 bytes: "yz"' '^then read = 0' >why
	result "and the call is made all the same: $1" $? "$(cat why console err)"
}

# gdb dies; the guest does not.
loses_gdb() { # BACKEND
	serve --backend "$1" "$GUESTS/count.elf" 100 >console 2>err </dev/null
	printf 'break spin\ncontinue\nshell kill -9 $PPID\n' | gdb_talk out socket 2>/dev/null
	ended 0 && grep -q '^count: 100 turns' console
	result "gdb dies while the guest stands: $1" $? "$(cat out console err)"
	serve --backend "$1" "$GUESTS/count.elf" 1000000000000 >console 2>err </dev/null
	printf 'shell (sleep 0.5; kill -9 $PPID) &\ncontinue\n' | gdb_talk out socket 2>/dev/null
	printf 'bt\nkill\n' | gdb_talk again socket
	said "gdb dies while the guest runs: $1" again '^#0 .*spin ' 'killed\]'
	ended 137
	result "which was there still: $1" $? "$(cat err)"
}

refuses_a_second() { # BACKEND
	serve --backend "$1" "$GUESTS/count.elf" 100 >console 2>err </dev/null
	printf 'break spin\ncontinue\nshell timeout 10 %s -nx -batch -ex "target remote socket" >second 2>&1\nbt\ncontinue\n' "$GDB" |
		gdb_talk out socket
	said "a second gdb is refused: $1" second 'another debugger is connected'
	said "and the first goes on: $1" out '^Breakpoint 1, .*spin ' '^#0 .*spin ' 'exited normally'
	ended 0
	result "so does the guest: $1" $? "$(cat err)"
}

stale_sockets() {
	serve --backend tcg "$GUESTS/count.elf" >console 2>err </dev/null
	"$BELLJAR" debug --gdb=unix:socket --backend tcg "$GUESTS/count.elf" >out 2>&1
	[ $? = 125 ] && grep -q 'socket: Address already in use; choose another with --gdb=unix:PATH' out && [ -S socket ]
	result "a socket in use is not taken" $? "$(cat out)"
	kill -9 "$guest"
	wait "$guest" 2>/dev/null
	[ -S socket ] && serve --backend tcg "$GUESTS/count.elf" >console 2>err </dev/null
	echo continue | gdb_talk out socket
	said "one that was left behind is replaced" out 'exited normally'
	ended 0
	result "and served" $? "$(cat err)"
	echo precious >socket
	"$BELLJAR" debug --gdb=unix:socket --backend tcg "$GUESTS/count.elf" >out 2>&1
	[ $? = 125 ] && [ "$(cat socket)" = precious ] && grep -q 'socket: is there, and is no socket' out
	result "a file is not" $? "$(cat out)"
}

tcp() { # BACKEND
	local port
	"$BELLJAR" debug --gdb=0 --backend "$1" "$GUESTS/count.elf" 100 >console 2>err </dev/null &
	guest=$!
	comes err 'target remote localhost:[0-9]+'
	port=$(sed -nE 's/.*target remote localhost:([0-9]+)$/\1/p' err)
	awk -v "port=$(printf :%04X "$port")" 'index($2, port) && $4 == "0A" { print $2 }' /proc/net/tcp /proc/net/tcp6 >listening
	[ "$(cat listening)" = "0100007F$(printf :%04X "$port")" ]
	result "TCP on this machine alone: $1" $? "port $port: $(cat listening err)"
	"$BELLJAR" debug "--gdb=$port" "$GUESTS/count.elf" >out 2>&1
	[ $? = 125 ] && grep -q "localhost:$port: Address already in use; choose another port with --gdb=PORT" out
	result "a port in use: $1" $? "$(cat out)"
	printf 'break main\ncontinue\nbt\ncontinue\n' | gdb_talk out "localhost:$port"
	said "over TCP: $1" out '^Breakpoint 1, main' '^#0  main' 'exited normally'
	ended 0 && grep -q '^count: 100 turns' console
	result "over TCP, its console: $1" $? "$(cat console err)"
}

# A guest of `run`, which nobody waits for.
running() { # BACKEND
	"$BELLJAR" run --gdb=unix:socket --backend "$1" "$GUESTS/count.elf" 1000000000000 >console 2>err </dev/null &
	guest=$!
	appears -S socket
	sleep 0.3
	printf 'bt\nprint $pc\nstepi\ndetach\n' | gdb_talk out socket
	said "attached to a guest that runs: $1" out '^#0 .*spin ' '^#1 .*main ' '<spin\+' 'detached\]'
	printf 'info symbol $pc\nkill\n' | gdb_talk again socket
	said "and again: $1" again '^spin ' 'killed\]'
	ended 137
	result "a guest of run, killed: $1" $? "$(cat err)"
}

# What is recorded under gdb is what happened. What is written between hypercalls cannot be recorded on kvm.
recorded() { # BACKEND
	"$BELLJAR" record --gdb=unix:socket -o t.pcapng --backend "$1" "$GUESTS/count.elf" 1000000000000 >console 2>err </dev/null &
	guest=$!
	appears -S socket
	if [ "$1" = kvm ]; then
		printf 'bt\nset $rcx = 1\nkill\n' | gdb_talk out socket
		said "a run that is recorded: $1" out '^#0 .*spin ' "'(E\.)?cannot be replayed: step to a hypercall" 'killed\]'
		ended 137
	else
		printf 'bt\nset $rcx = 1\nbreak rt_serial_write\ncontinue\nbt\ncontinue\n' | gdb_talk out socket
		said "a run that is recorded: $1" out '^#0 .*spin ' 'Breakpoint 1, rt_serial_write' '^#0 ' 'main ' 'exited normally'
		ended 0
	fi && "$BELLJAR" replay t.pcapng >out 2>&1
	result "a recording made with gdb there replays: $1" $? "$(cat out err)"
	[ "$1" = kvm ] && return
	"$BELLJAR" replay --backend tcg --guest "$GUESTS/count.elf" t.pcapng >out 2>&1
	result "and its guest does: $1" $? "$(cat out; "$BELLJAR" trace show t.pcapng)"
	[ "${backends[0]}" = kvm ] || return
	"$BELLJAR" replay --timeout 1 --backend kvm --guest "$GUESTS/count.elf" t.pcapng >out 2>&1
	[ $? = 124 ] && grep -q 'instructions behind a hypercall: kvm goes there by single steps; --backend tcg is quicker$' out
	result "that a way is long is said" $? "$(cat out)"
}

# gdb's `run`, and `kill` which waits for it.
restarts() { # BACKEND
	"$BELLJAR" debug --gdb=unix:socket --backend "$1" "$GUESTS/count.elf" 100 >console 2>err </dev/null &
	guest=$!
	appears -S socket
	gdb_talk out "extended socket" <<-'END'
		break spin
		continue
		set var n = 10
		bt
		run
		bt
		finish
		kill
		run
		delete
		continue
		run
		info symbol $pc
		kill
	END
	said "run starts it again: $1" out '^Breakpoint 1, spin \(n=100\)' '^#0 .*spin \(n=10\)' '^Breakpoint 1, spin \(n=100\)' \
		'^#0 .*spin \(n=100\)' '^Value returned .* = 5050' 'killed\]' '^Breakpoint 1, spin \(n=100\)' 'exited normally' \
		'exited normally'
	ended 137
	[ "$(grep -c '^count: 100 turns, sum 5050$' console)" = 2 ]
	result "and it runs as ever: $1" $? "$(cat console err)"
}

# The arguments of gdb's `run` and `set args`; of a recording there is one run.
runs_with() { # BACKEND
	"$BELLJAR" debug --gdb=unix:socket --backend "$1" "$GUESTS/args.elf" first 'the second' >console 2>err </dev/null &
	guest=$!
	appears -S socket
	gdb_talk out "extended socket" <<-'END'
		run one "two words" '' $
		set args
		run
		set args third
		run
		break main
		run
		monitor info vm
		kill
	END
	said "run has arguments: $1" out 'exited normally' 'exited normally' 'exited normally' '^Breakpoint 1, main \(argc=2' \
		'^arguments +"third"$' 'killed\]'
	ended 137
	[ "$(cat console)" = "$(printf 'one\ntwo words\n\n$\nfirst\nthe second\nthird')" ]
	result "and the guest gets them: $1" $? "$(cat console err)"
	"$BELLJAR" record -o t.pcapng --backend "$1" "$GUESTS/args.elf" first >console 2>err </dev/null
	"$BELLJAR" debug --gdb=unix:again --trace t.pcapng --backend "$1" --guest "$GUESTS/args.elf" >console 2>err </dev/null &
	guest=$!
	appears -S again
	gdb_talk out "extended again" <<-'END'
		break main
		continue
		delete
		monitor checkpoint
		starti begin
		starti c1
		bt 1
		starti 1
		print $hypercall_index
		run first
		set args
		run
		kill
	END
	said "of a recording, run goes to a place: $1" out '^Breakpoint 1, main' '^Program stopped' ' in _start ' '^Program stopped' \
		'^#0 .*main ' '^Program stopped' '^\$1 = 1$' 'failed; try|^a recording has the arguments that it has' 'exited normally|No more reverse-execution history|Reached end of recorded history'
	ended 137
	grep -q 'a recording has the arguments that it has; `run` takes a place of it: "first": expected begin' err
	result "and says what that is: $1" $? "$(cat err)"
}

addresses() {
	local a long
	long=$(printf 'x%.0s' {1..108})
	for a in nonsense 99999 -1 '*:1' 9999999999999999999999 localhost: 1:2:x unix: "unix:$long" ""; do
		timeout 20 "$BELLJAR" debug "--gdb=$a" "$GUESTS/hello.elf" >out 2>err </dev/null
		[ $? = 2 ] && [ ! -s out ] && grep -Eq 'not stdio, unix:PATH, PORT or HOST:PORT|has no path|at most 107 bytes|at most 65535|no host' err
		result "a bad address: '${a:0:20}'" $? "$(cat out err)"
	done
	timeout 20 "$BELLJAR" debug --gdb=no.such.host.invalid:1 "$GUESTS/hello.elf" >out 2>err </dev/null
	[ $? = 125 ] && grep -q 'no.such.host.invalid' err
	result "a host that there is not" $? "$(cat err)"
}

stdio() { # BACKEND
	# shellcheck disable=SC2094 # waits for what comes
	(printf '$QStartNoAckMode#b0+$vCont;c#a8' && comes out W00) |
		timeout 40 "$BELLJAR" debug --gdb=stdio --backend "$1" "$GUESTS/hello.elf" >out 2>err
	[ "$(cat out)" = '+$OK#9a$W00#b7' ] && grep -q '^Hello, world!$' err
	result "stdio carries packets alone: $1" $? "$(cat out err)"
}

# Where its console and its words go when gdb starts it: a file, for gdb takes them over.
started() { # BACKEND VERB AND OPTIONS AND GUEST...
	echo "| { $BELLJAR $2 --gdb=stdio --backend $1 ${*:3}; echo \$? >code; } 2>console"
}

# It ends with the code, and soon.
ends_with() { # CODE
	comes code . && [ "$(cat code)" = "$1" ]
}

# Who quits has started it, and does not leave it behind; gdb does not wait for it to end by itself.
quits_stdio() { # BACKEND
	local before=$SECONDS
	printf 'break main\ncontinue\n' | gdb_talk out "$(started "$1" debug "$GUESTS/count.elf" 1000000000000)"
	ends_with 137 && [ $((SECONDS - before)) -lt 5 ] && in_order out '^Breakpoint 1, main' >why
	result "quit ends a guest at stdio: $1" $? "$((SECONDS - before)) s: $(cat out console why)"
}

# gdb dies: nobody else could come.
loses_stdio() { # BACKEND
	printf 'break main\ncontinue\nshell kill -9 $PPID\n' |
		gdb_talk out "$(started "$1" debug "$GUESTS/count.elf" 1000000000000)" 2>/dev/null
	ends_with 137 && grep -q 'gdb is gone without a word, and so is the guest' console
	result "gdb dies at stdio while the guest stands: $1" $? "$(cat out console code)"
	rm code
	printf 'shell (sleep 0.5; kill -9 $PPID) &\ncontinue\n' |
		gdb_talk out "$(started "$1" debug "$GUESTS/count.elf" 1000000000000)" 2>/dev/null
	ends_with 137 && grep -q 'gdb is gone without a word, and so is the guest' console
	result "gdb dies at stdio while the guest runs: $1" $? "$(cat out console code)"
	rm code
	printf 'detach\n' | gdb_talk out "$(started "$1" debug "$GUESTS/count.elf" 100)"
	ends_with 0 && grep -q '^count: 100 turns' console
	result "a detach at stdio lets it run on: $1" $? "$(cat out console code)"
}

# Where gdb has stderr, the reason is on its console before the end.
tells_why_it_ends() { # BACKEND
	echo continue | gdb_talk out "$(started "$1" debug --timeout 0.5 "$GUESTS/count.elf" 1000000000000)"
	said "the time limit is told: $1" out '^The time limit of 500 ms is over\.' 'terminated with signal SIGKILL'
	ends_with 124
	result "and is the exit code: $1" $? "$(cat code console)"
	rm code
	(ulimit -S -f 3000 && echo continue | gdb_talk out "$(started "$1" record -o r.pcapng "$GUESTS/hypercalls.elf" 1000000)")
	said "a recording that fails is told: $1" out '^The recording failed: r\.pcapng: File too large; the recording ends after [0-9]+ calls\.' \
		'terminated with signal SIGKILL'
	ends_with 125
	result "and is the exit code, too: $1" $? "$(cat code console)"
}

# Why nothing may be written, in gdb's words for registers, and once on stderr for what gdb does not show.
refuses_to_write() { # BACKEND
	gdb_talk out "$(own "$1" "$GUESTS/fault.elf" page)" <<-'END'
		catch syscall
		continue
		set $rax = 1
		delete
		continue
		set $rax = 1
		set var *(char *)$rsp = 1
		set var *(char *)$rsp = 1
		reverse-stepi
		set var *(char *)$rsp = 1
		set $rax = 1
		set $cs = 1
		monitor diverge on
		set $rax = 1
		print $rax
	END
	said "refused writes: $1" out "'(E\\.)?the registers wait for this hypercall's answer: step over it first" \
		"'(E\\.)?the guest is at its end: reverse-stepi first" '^Cannot access memory' '^Cannot access memory' '^Cannot access memory' \
		"'(E\\.)?this is the past; .monitor diverge on. lets it be changed" '(E\.)?this register cannot be written' '^\$1 = 1$'
	grep '^belljar: gdb: ' console >warned
	[ "$(wc -l <warned)" = 3 ] && in_order warned 'step over it first$' 'at its end: reverse-stepi first$' 'monitor diverge on' >why
	result "and why is on stderr, once: $1" $? "$(cat console why)"
}

words() { # NAME CODE PATTERN ARGS...: what debug makes of them, and says on either stream
	timeout 40 "$BELLJAR" debug --backend tcg "${@:4}" >out 2>err <"${input:-/dev/null}"
	[ $? = "$2" ] && cat out err | grep -qe "$3"
	result "debug: $1" $? "$(cat out err)"
}

refusals() {
	words "no guest" 2 'no guest given'
	words "a trace without a guest" 2 '--trace needs --guest GUEST' --trace x
	words "a guest without a trace" 2 '--guest goes with --trace' --guest x
	words "a trace with arguments" 2 'a recording has its arguments in itself' --trace x --guest y z
	words "a size that is none" 2 'see belljar debug --help' --mem x "$GUESTS/hello.elf"
	words help 0 'serve gdb' --help
	words "a trace that is not there" 125 'none.pcapng: No such file' --gdb=stdio --trace none.pcapng --guest "$GUESTS/hello.elf"
}

# A debugger that lets go at once: the recording is replayed all the same.
traces() {
	"$BELLJAR" record --backend tcg -o a.pcapng "$GUESTS/hello.elf" >out 2>err
	input=$dir/detach
	words "a recording that replays" 0 'Hello, world!$' --gdb=stdio --trace a.pcapng --guest "$GUESTS/hello.elf"
	words "a recording of another guest" 3 'by_hypercall' --gdb=stdio --trace a.pcapng --guest "$GUESTS/code.elf"
	input=/dev/null
	words "a debugger that says nothing" 137 'gdb is gone without a word' --gdb=stdio --trace a.pcapng --guest "$GUESTS/hello.elf"
}

# ---- all of them ----

mkdir "$dir/in" "$dir/plain"
# shellcheck disable=SC2016 # a packet
printf '$D#44' >"$dir/detach"
printf 'A bell jar keeps what is\n' >"$dir/in/input.txt"
env -u MAKEFLAGS -u MAKELEVEL make -s "B=$dir/plain" guest_opt=-O0 "$dir/plain/kernels/count.elf" >"$dir/make" 2>&1
unoptimised=$?

for b in "${backends[@]}"; do
	for v in "" -v1; do
		beside every_guest "$b" args$v one two
		beside every_guest "$b" badcalls$v
		beside every_guest "$b" code$v
		beside every_guest "$b" console$v
		beside every_guest "$b" count$v 1000
		beside every_guest "$b" exit$v 3
		beside every_guest "$b" files$v /in/input.txt /out/o
		beside every_guest "$b" filework$v 5
		beside every_guest "$b" floats$v
		beside every_guest "$b" hello$v
		beside every_guest "$b" hypercalls$v 20
		beside every_guest "$b" memory$v
		beside every_guest "$b" paths$v stat:/in
		beside every_guest "$b" report$v /in /out/report
		beside every_guest "$b" time$v
		beside looks_and_changes "$b" count$v
		beside constants "$b" fault$v
		beside overwrites "$b" code$v
		beside jumps "$b" count$v
		beside loads_symbols_late "$b" count$v
		beside steps "$b" "$GUESTS/count$v.elf"
		beside conditions "$b" "$GUESTS/console$v.elf" rt_serial_write_byte "\$rdi"
		beside watches "$b" hello$v
		beside caught_calls "$b" files$v
		beside exit_codes "$b" exit$v
		beside crashes "$b" fault$v page SIGSEGV '^#0 .*innermost ' '^#1 .*middle ' '^#2 .*page ' '^#3 .*main '
		beside breaks_at_once "$b" hello$v
	done
	beside breaks_without_words "$b" swbreak-feature hwbreak-feature
	beside breaks_without_words "$b" supported-packets
	beside crashes "$b" fault ud SIGILL '^#0 .*ud \(' '^#1 .*main ' '<ud(\+[0-9]+)?>'
	beside crashes "$b" fault de SIGFPE '^#0 .*de \(' '^#1 .*main '
	beside crashes "$b" fault halt SIGABRT '^#0 .*halt \(' '^#1 .*main '
	if [ $unoptimised = 0 ]; then
		beside unoptimised "$b"
		beside looks_again "$b"
		beside steps "$b" "$dir/plain/kernels/count.elf"
		beside conditions "$b" "$dir/plain/kernels/count.elf" putchar c
	else
		skip "unoptimised $b" "it could not be built: $(tail -n 1 "$dir/make")"
	fi
	for case in lets_go kills interrupts interrupts_a_call loses_gdb refuses_a_second tcp running recorded restarts runs_with stdio quits_stdio loses_stdio \
		tells_why_it_ends refuses_to_write; do
		beside $case "$b"
	done
done
beside stale_sockets
beside addresses
beside refusals
beside traces
beside_end
cd "$source" || exit 1
finish
