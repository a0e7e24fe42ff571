#!/bin/bash
# SPDX-License-Identifier: ISC
# lldb on a guest: it finds where the image is, stops, steps, watches, changes and lets go.
# shellcheck disable=SC2016,SC2094 # much is for lldb to expand; what it says is waited for
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/gdb_lib.sh
. "$(dirname "$0")/gdb_lib.sh"
BELLJAR=$(realpath "${BELLJAR:-build/rel/belljar}") GUESTS=$(realpath "${GUESTS:-build/rel/kernels}")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

command -v lldb >/dev/null || { skip lldb "lldb is not installed"; finish; exit; }

# A guest at a port, for lldb knows nothing else: in $guest, $port.
serve() { # BACKEND IMAGE ARGS...
	: >err
	"$BELLJAR" debug --gdb=0 --backend "$1" "${@:2}" >console 2>err <&- &
	guest=$!
	comes err 'target remote localhost:[0-9]+'
	port=$(sed -nE 's/.*target remote localhost:([0-9]+)$/\1/p' err)
}

# A session; commands on stdin. The guest's exit code.
lldb_talk() { # BACKEND IMAGE ARGS...
	local port guest line args=(-b -k "thread backtrace" -k quit) # -k: when it crashes
	serve "$@"
	args+=(-o "gdb-remote localhost:$port")
	while IFS= read -r line; do
		args+=(-o "$line")
	done
	timeout -k 5 "$gdb_seconds" lldb --no-lldbinit "${args[@]}" "$2" >out 2>&1 </dev/null
	timeout 20 tail --pid="$guest" -f /dev/null || kill -9 "$guest"
	wait "$guest" 2>/dev/null
}

looks_and_changes() { # BACKEND GUEST
	lldb_talk "$1" "$GUESTS/$2.elf" 100 <<-'END'
		breakpoint set --name main
		breakpoint set --name spin
		continue
		thread backtrace
		continue
		frame variable n
		thread backtrace
		thread list
		thread step-inst
		disassemble --count 2 --pc
		register read rip
		memory read --size 1 --count 4 $pc
		thread step-out
		register write rax 7
		expression $rax
		breakpoint delete 1
		breakpoint set --name rt_exit
		continue
		thread backtrace
		continue
	END
	result "lldb's guest ends as ever: $2 $1" $? "$(cat out console err)"
	said "what lldb set is what the guest counts: $2 $1" console '^count: 100 turns, sum 7$'
	said "lldb looks and changes: $2 $1" out '^Breakpoint 1: where = .*main at count.c' '^Breakpoint 2: where = .*spin at count.c' \
		'stop reason = breakpoint 1.1' 'main\(argc=2' 'frame #0: .*main\(argc=2' 'frame #1: .*rt_start' 'stop reason = breakpoint 2.1' \
		'n = 100$' 'frame #0: .*spin\(n=100\)' 'frame #1: .*main' 'thread #1' 'instruction step into' '->  0x.*<\+2>' \
		'rip = 0x.*spin' '^0x.*:' 'step out' 'Return value: .* = 5050' '= 7$' 'stop reason = breakpoint' 'frame #0: .*rt_exit' \
		'exited with status = 0'
}

watches() { # BACKEND GUEST
	lldb_talk "$1" "$GUESTS/$2.elf" <<-'END'
		watchpoint set variable used
		continue
		watchpoint delete 1
		continue
	END
	said "lldb watches: $2 $1" out 'Watchpoint 1: addr = 0x' '^old value: 0' '^new value: 1' 'stop reason = watchpoint 1' 'exited with status = 0'
}

crashes() { # BACKEND GUEST
	lldb_talk "$1" "$GUESTS/$2.elf" page <<-'END'
		target variable kinds[1]
		register read --all
		continue
	END
	said "what is constant, and all registers: $2 $1" out 'name = 0x[0-9a-f]+ "ud"' 'run = 0x.*`ud at fault.c' \
		'^ +rip = 0x.*_start' '^ +fs_base = 0x0' '^ +mxcsr = 0x00001f80' '^ +cr3 = 0x' '^ +insn_count = 0x'
	said "a crash in lldb: $2 $1" out 'stop reason = signal SIGSEGV' 'frame #0: .*innermost' 'frame #1: .*middle' 'frame #3: .*main'
}

# While the guest runs, which takes an lldb that reads its commands one by one.
interrupts() { # BACKEND GUEST
	local port guest
	serve "$1" "$GUESTS/$2.elf" 1000000000000
	: >out
	{
		echo "gdb-remote localhost:$port"
		comes out 'stop reason = signal SIGTRAP'
		echo "process continue"
		comes out 'Process 1 resuming'
		sleep 0.5
		echo "process interrupt"
		comes out 'stop reason = signal SIGINT'
		echo "thread backtrace"
		comes out 'frame #3'
		echo "process kill"
		sleep 0.5
	} | timeout -k 5 "$gdb_seconds" lldb --no-lldbinit "$GUESTS/$2.elf" >out 2>&1
	timeout 20 tail --pid="$guest" -f /dev/null || kill -9 "$guest"
	wait "$guest" 2>/dev/null
	result "lldb interrupts, and kills: $2 $1" $(($? != 137)) "$(cat out err)"
	said "what it interrupted: $2 $1" out 'stop reason = signal SIGINT' 'frame #0: .*spin' 'frame #1: .*main'
}

lets_go() { # BACKEND GUEST
	lldb_talk "$1" "$GUESTS/$2.elf" 100 <<-'END'
		breakpoint set --name spin
		continue
		process detach
	END
	result "lldb goes, the guest runs on: $2 $1" $? "$(cat out console err)"
	said "to its end: $2 $1" console '^count: 100 turns'
	lldb_talk "$1" "$GUESTS/$2.elf" 1000000000000 <<-'END'
		breakpoint set --name spin
		continue
		process kill
	END
	result "lldb kills: $2 $1" $(($? != 137)) "$(cat out console err)"
}

for b in kvm tcg; do
	"$BELLJAR" run --backend $b "$GUESTS/hello.elf" >/dev/null 2>&1 || { skip "$b" "this machine has none"; continue; }
	for v in "" -v1; do
		beside looks_and_changes $b count$v
		beside crashes $b fault$v
		beside lets_go $b count$v
		beside interrupts $b count$v
		beside watches $b hello$v
	done
done
beside_end
finish
