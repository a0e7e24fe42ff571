#!/bin/bash
# SPDX-License-Identifier: ISC
# What a debugger may do to the connection that gdb does not: silence, pieces, floods, haste, and going away.
# shellcheck disable=SC2016 # packets begin with a $
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/gdb_lib.sh
. "$(dirname "$0")/gdb_lib.sh"
BELLJAR=$(realpath "${BELLJAR:-build/rel/belljar}") GUESTS=$(realpath "${GUESTS:-build/rel/kernels}")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
heard=
stands='T05*' # a stop reply

# A guest that waits, its port in $port and its pid in $guest.
serve() { # VERB BACKEND GUEST ARGS...
	: >err # not the one before's
	"$BELLJAR" "$1" -v --gdb=0 --backend "$2" "$GUESTS/$3.elf" "${@:4}" >console 2>err <&- &
	guest=$!
	comes err 'target remote localhost:[0-9]+'
	port=$(sed -nE 's/.*target remote localhost:([0-9]+)$/\1/p' err)
}

ended() { # CODE
	timeout 20 tail --pid="$guest" -f /dev/null || kill -9 "$guest"
	wait "$guest" 2>/dev/null
	[ $? = "$1" ]
}

frame() { # PAYLOAD
	local i sum=0
	for ((i = 0; i < ${#1}; i++)); do
		sum=$((sum + $(printf %d "'${1:i:1}")))
	done
	printf '$%s#%02x' "$1" $((sum & 255))
}

# The next reply at descriptor 3, in $heard, without acknowledgements.
hear() {
	local sum
	IFS= read -r -d '#' -t 20 -u 3 heard && IFS= read -r -N 2 -t 20 -u 3 sum || heard="nothing: $heard"
	heard=${heard##*\$}
}

# Says it, and hears a reply like the pattern.
ask() { # PAYLOAD PATTERN
	frame "$1" >&3
	hear
	# shellcheck disable=SC2254 # a pattern
	case $heard in
	$2) ;;
	*)
		echo "$1: $heard, not $2" >>why
		return 1
		;;
	esac
}

connects() {
	exec 3<>"/dev/tcp/127.0.0.1/$port"
}

goes() {
	exec 3>&-
}

silent() { # BACKEND
	: >why
	serve debug "$1" count 100
	connects && goes && connects && goes
	sleep 0.3
	[ ! -s console ] && connects && ask '?' "$stands" && ask 'vCont;c' W00
	result "who says nothing does not let the guest go: $1" $? "$(cat why console err)"
	goes
	ended 0
	result "who speaks does: $1" $? "$(cat err)"
}

pieces() { # BACKEND
	local packets i
	: >why
	serve debug "$1" count 100
	connects
	packets="$(frame '?')$(frame QStartNoAckMode)$(frame 'p10')"
	for ((i = 0; i < ${#packets}; i++)); do
		printf %s "${packets:i:1}" >&3
	done
	hear
	[[ $heard == T05* ]] && hear && [ "$heard" = OK ] && hear && [ ${#heard} -ge 8 ]
	result "packets may come in pieces: $1" $? "$heard"
	printf '$vCon' >&3
	goes
	ended 0 && grep -q '^count: 100 turns' console
	result "half a packet, and the guest runs on: $1" $? "$(cat console err)"
}

haste() { # BACKEND
	: >why
	serve debug "$1" count 1000000000000
	connects
	printf '%s\003' "$(frame 'vCont;c')" >&3
	hear
	[[ $heard == T02* ]]
	result "an interrupt that comes with the packet: $1" $? "$heard"
	frame 'vCont;c' >&3
	printf '+%.0s' {1..5000} >&3
	sleep 0.3
	printf '\003' >&3
	hear
	[[ $heard == T02* ]]
	result "behind many acknowledgements: $1" $? "$heard"
	printf '\003\003\003' >&3
	ask '?' 'T02*' && ask 'qC' QC1
	result "an interrupt while it stands changes nothing: $1" $? "$(cat why)"
	frame 'vCont;c' >&3
	head -c 100000 /dev/zero | tr '\0' x >&3
	hear
	[[ $heard == T02* ]] && ask 'qC' QC1
	result "a flood stops the guest: $1" $? "$heard $(cat why)"
	frame 'vCont;c' >&3
	goes
	connects
	ask '?' 'T02*' && ask 'p10' '????????*' && frame k >&3
	result "it was left running, and there for the next: $1" $? "$(cat why)"
	goes
	ended 137
	result "and killed: $1" $? "$(cat err)"
}

# Another one is refused beside who is connected, who stays.
is_alone() { # NAME
	exec 4<&3 4>&3
	connects
	hear
	[ "$heard" = "E.another debugger is connected to this guest" ]
	result "$1" $? "$heard"
	goes
	exec 3<&4 3>&4 4>&-
}

second() { # BACKEND
	: >why
	serve debug "$1" count 100
	connects
	ask '?' "$stands"
	is_alone "a second is refused while the first is silent: $1"
	ask '?' "$stands" && ask 'vCont;c' W00
	result "and the first goes on: $1" $? "$(cat why)"
	goes
	ended 0
	result "to the end: $1" $? "$(cat err)"
	: >why
	serve debug "$1" count 1000000000000
	connects
	frame 'vCont;c' >&3
	sleep 0.3
	is_alone "and while the guest runs: $1"
	printf '\003' >&3
	hear
	[[ $heard == T02* ]] && frame k >&3
	result "which runs on until the first stops it: $1" $? "$heard"
	goes
	ended 137 && grep -q ': killed by the debugger$' err
	result "and kills it, which is said: $1" $? "$(cat err)"
}

# Arguments that are none are refused, and the guest stays where it is; none given are the command line's.
again() { # BACKEND
	: >why
	serve debug "$1" count 100
	connects
	ask '!' OK && ask 'vRun;2f61;62' "$stands" && ask 'vRun;2f61;6' E16 && ask 'vRun;;00' E16 && ask 'vRun;' "$stands" &&
		ask 'vRun;2f61' "$stands" && ask 'vCont;c' W00
	result "starts it again: $1" $? "$(cat why err)"
	goes
	ended 0
	result "and it ends: $1" $? "$(cat err)"
}

# Whoever attaches to a guest that runs stops it, and goes; many times.
comes_and_goes() { # BACKEND
	local i ok=0
	: >why
	serve run "$1" count 1000000000000
	for i in {1..20}; do
		connects
		[ $((i % 3)) = 0 ] || { ask '?' 'T02*' || ok=1; }
		[ $((i % 2)) = 0 ] || frame D >&3
		goes
	done
	result "comes and goes: $1" $ok "$(cat why)"
	connects
	frame 'vKill;1' >&3
	goes
	ended 137
	result "and ends it: $1" $? "$(cat err)"
}

signals() { # BACKEND
	: >why
	serve debug "$1" count 1000000000000
	kill -TERM "$guest"
	ended 143
	result "a signal ends a guest that waits: $1" $? "$(cat err)"
	serve debug "$1" count 1000000000000
	connects
	ask '?' "$stands"
	kill -TERM "$guest"
	ended 143
	result "and one that stands: $1" $? "$(cat err)"
	goes
	serve debug "$1" count 1000000000000
	connects
	frame 'vCont;c' >&3
	sleep 0.3
	kill -TERM "$guest"
	ended 143
	result "and one that runs: $1" $? "$(cat err)"
	goes
}

# Whatever never ends does not keep it from ending.
floods() { # BACKEND
	local code
	timeout -k 10 20 "$BELLJAR" debug --timeout 1 --gdb=stdio --backend "$1" "$GUESTS/hello.elf" </dev/zero >out 2>err
	code=$?
	[ $code = 124 ] && [ ! -s out ] && grep -q 'still running after 1.000 s' err
	result "a flood at stdio has its time limit: $1" $? "exit $code: $(cat err)"
	# Only the kill itself is gdb's wish: who asked to hear of errors alone hears nothing.
	frame k | timeout -k 10 20 "$BELLJAR" debug --quiet --gdb=stdio --backend "$1" "$GUESTS/hello.elf" >out 2>err
	code=$?
	[ $code = 137 ] && [ ! -s err ]
	result "--quiet says nothing of a kill: $1" $? "exit $code: $(cat err)"
	: >why
	serve debug "$1" count 100
	connects
	yes "$(frame qC)" >&3 2>/dev/null &
	cat <&3 >/dev/null &
	sleep 0.5
	kill -TERM "$guest"
	ended 143
	result "one at a socket ends at a signal: $1" $? "$(cat err)"
	goes
	wait
}

# Standard input and output are gdb's socket: it ends where the debugger is let go, for gdb 16 asks once more, and waits.
lets_go_of_stdio() { # BACKEND
	if ! command -v python3 >/dev/null; then
		skip "a socket as standard input: $1" "no python3"
		return
	fi
	timeout 60 python3 - "$BELLJAR" debug --gdb=stdio --backend "$1" "$GUESTS/count.elf" 1000000000000 >out 2>&1 <<-'END'
		import socket, subprocess, sys
		ours, its = socket.socketpair()
		guest = subprocess.Popen(sys.argv[1:], stdin=its, stdout=its)
		its.close()
		ours.settimeout(20)
		ours.sendall(b"$D#44")
		heard = b""
		try:
		    while part := ours.recv(100):
		        heard += part
		    print(heard, guest.poll())
		finally:
		    guest.kill()
	END
	said "a socket as standard input ends, the guest does not: $1" out '^b.[+][$]OK#9a. None$'
}

for b in kvm tcg; do
	"$BELLJAR" run --backend $b "$GUESTS/hello.elf" >/dev/null 2>&1 || { skip "$b" "this machine has none"; continue; }
	for case in silent again pieces haste second comes_and_goes signals floods lets_go_of_stdio; do
		beside $case $b
	done
done
beside_end
finish
