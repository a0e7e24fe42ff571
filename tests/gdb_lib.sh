# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# Sessions of the real gdb: what it is told, and whether it printed what must be there. Cases run side by side, below $dir.
GDB=$(realpath "$(command -v "${GDB:-gdb}" || echo gdb)") # another one by GDB=PATH
gdb_seconds=240
gdb_cases=0
dir=

# gdb_talk FILE [extended ]TARGET [OPTIONS] <COMMANDS: what gdb says goes to FILE. A command that fails does not end it.
gdb_talk() {
	local file=$1 line kind=remote args
	[ "${2%% *}" = extended ] && kind=extended-remote
	args=(-nx -batch -iex 'set width 0' -iex 'set pagination off' -iex 'set confirm off' -iex 'set debuginfod enabled off')
	args+=("${@:3}" -ex "target $kind ${2#extended }")
	while IFS= read -r line; do
		[ -n "$line" ] && args+=(-ex "$line")
	done
	timeout --foreground -k 5 "$gdb_seconds" "$GDB" "${args[@]}" >"$file" 2>&1 </dev/null
}

# in_order FILE REGEX...: has lines that match, in this order; else it says which one it lacks. "!REGEX": no
# line at all may match.
in_order() {
	local file=$1 at=0 regex n
	shift
	for regex; do
		if [ "${regex:0:1}" = '!' ]; then
			! grep -Eq -- "${regex:1}" "$file" && continue
			echo "a line is like '${regex:1}' in:"
		else
			n=$(tail -n +$((at + 1)) "$file" | grep -n -m1 -E -- "$regex" | cut -d: -f1)
			at=$((at + ${n:-0}))
			[ -n "$n" ] && continue
			echo "no line like '$regex' below line $at of:"
		fi
		cat "$file"
		return 1
	done
}

# said NAME FILE REGEX...: a case of its own.
said() {
	local why
	why=$(in_order "${@:2}")
	result "$1" $? "$why"
}

# A path comes to be; false when that takes too long.
appears() { # TEST-OPTION PATH
	for _ in {1..200}; do
		test "$1" "$2" && return
		sleep 0.05
	done
	return 1
}

# A line in a file likewise.
comes() { # FILE REGEX [TIMES]
	for _ in {1..400}; do
		[ -e "$1" ] && [ "$(grep -Ec -- "$2" "$1")" -ge "${3:-1}" ] && return
		sleep 0.05
	done
	return 1
}

# The function with its arguments, in a directory and a process of its own, beside others; it may `result`.
beside() { # FUNCTION [ARGS]
	while [ "$(jobs -rp | wc -l)" -ge "${GDB_JOBS:-3}" ]; do
		wait -n
	done
	gdb_cases=$((gdb_cases + 1))
	mkdir "$dir/$gdb_cases"
	(
		trap 'kill -9 $(jobs -p) 2>/dev/null' EXIT # what a case that fails leaves running
		cd "$dir/$gdb_cases" || exit 1
		"$@" >log 2>&1
		echo "done" >>log
	) &
}

# Waits for all of them; their lines become ours.
beside_end() {
	wait
	for i in $(seq "$gdb_cases"); do
		if [ "$(tail -n 1 "$dir/$i/log")" != "done" ]; then
			result "case $i" 1 "it did not come to its end: $(cat "$dir/$i/log")"
			continue
		fi
		sed '$d' "$dir/$i/log"
		passed=$((passed + $(grep -c '^ok   ' "$dir/$i/log")))
		failed=$((failed + $(grep -c '^FAIL ' "$dir/$i/log")))
		skipped=$((skipped + $(grep -c '^SKIP ' "$dir/$i/log")))
	done
}
