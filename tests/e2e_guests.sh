#!/bin/bash
# SPDX-License-Identifier: ISC
# Every guest, in both ABI generations, on every backend: its console byte for byte (tests/expect/)
# and its exit code. One expectation serves all backends: so they are compared with each other too.

BELLJAR=${BELLJAR:-build/rel/belljar}
GUESTS=${GUESTS:-build/rel/kernels}
expect=$(dirname "$0")/expect
time_limit=60
input=/dev/null
passed=0 failed=0 skipped=0

tmp=$(mktemp -d) || exit 1
trap 'chmod -R u+rwx "$tmp"; rm -rf "$tmp"' EXIT
umask 022

pass() { passed=$((passed + 1)); echo "ok   $1"; }
fail() { failed=$((failed + 1)); echo "FAIL $1: $2"; }
skip() { skipped=$((skipped + 1)); echo "SKIP $1: $2"; }

# A host tree with a bit of everything, the same for every run.
make_tree()
{
	rm -rf "$tmp/in" "$tmp/out" "$tmp/numbers" "$tmp/report"
	mkdir -m 755 "$tmp/in" "$tmp/in/sub" "$tmp/out" "$tmp/numbers" "$tmp/report"
	printf 'A bell jar keeps what is inside\nfrom what is outside.\n' >"$tmp/in/input.txt"
	printf 'inner\n' >"$tmp/in/sub/inner.txt"
	printf '\000\001"\\\377' >"$tmp/in/bytes"
	printf '100\n-3\n' >"$tmp/numbers/north.txt"
	printf '92' >"$tmp/numbers/south.txt"
	: >"$tmp/in/empty"
	printf 'odd\n' >"$tmp/in/"$'odd \377\\name'
	ln -s input.txt "$tmp/in/link"
	ln -s ../../../../etc/passwd "$tmp/in/escape"
	ln -s nowhere "$tmp/in/dangling"
	ln -s loop "$tmp/in/loop"
	mkfifo -m 644 "$tmp/in/fifo"
	printf 'kept\n' >"$tmp/out/kept.txt"
}

image() # GUEST: the file, for $abi
{
	case $abi in
	v1) echo "$GUESTS/$1-v1.elf" ;;
	*) echo "$GUESTS/$1.elf" ;;
	esac
}

# check LABEL CODE GUEST [OPTIONS] [-- ARGUMENTS]: exits with CODE, console as in expect/LABEL.out
# (for v1 LABEL-v1.out where there is one).
check()
{
	local label=$1 code=$2 guest=$3 options=() got want=$expect/$1.out name="$1 $abi $backend"
	shift 3
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	[ "$abi" = v1 ] && [ -e "$expect/$label-v1.out" ] && want=$expect/$label-v1.out
	timeout "$time_limit" "$BELLJAR" run --backend "$backend" "${options[@]}" \
		"$(image "$guest")" "$@" >"$tmp/stdout" 2>"$tmp/stderr" <"$input"
	got=$?
	if [ $got -ne "$code" ]; then
		fail "$name" "exit code $got, not $code: $(head -n 3 "$tmp/stderr")"
	elif ! cmp -s "$want" "$tmp/stdout"; then
		fail "$name" "console differs from $want"
		diff -a "$want" "$tmp/stdout" | head -n 12
	elif [ "$code" -eq 126 ] && [ ! -s "$tmp/stderr" ]; then
		fail "$name" "stopped, and not a word why"
	else
		pass "$name"
	fi
}

same_file() # NAME WANT GOT
{
	if cmp -s "$2" "$3"; then
		pass "$1 $abi $backend"
	else
		fail "$1 $abi $backend" "$3 differs from $2"
	fi
}

backtrace() # FUNCTION...: the last run's report names these frames, innermost first
{
	local got
	got=$(sed -nE 's/^  #[0-9]+  0x[0-9a-f]+  ([a-z_]+).*/\1/p' "$tmp/stderr" | grep -v '^rt_' | xargs)
	if [ "$got" = "$*" ]; then
		pass "backtrace $abi $backend"
	else
		fail "backtrace $abi $backend" "$got"
	fi
}

simple_guests()
{
	check hello 0 hello
	check count 0 count -- 100000
	check count_nothing 0 count -- 0
	check hypercalls 0 hypercalls -- 2000
	check floats 0 floats
	check time 0 time
	check console_empty 0 console
	printf 'A\0\377 longer than a buffer' >"$tmp/input"
	input=$tmp/input
	check console 0 console
	input=/dev/null
	check code 0 code
	check memory 0 memory
	check memory 0 memory --mem 16M
	check memory 0 memory --mem 2G
	for code in 0 1 7 255; do
		check silence $code exit -- $code
	done
	check silence 255 exit -- -1
	check exit_usage 1 exit -- one
}

arguments()
{
	check no_args 0 args
	check args 0 args --env A=1 --env 'B=two words' --env "C='q' \"q\" \\" --env D= \
		--env $'E=\001\t\n\377' -- plain 'two  words' "it's" '"double"' 'back\slash' '' -- -x \
		"\$HOME" $'\001\t\n\377' env=F=2 '*' "'"
}

file_guests()
{
	make_tree
	check files 0 files --mount "$tmp/in:/in" --mount "$tmp/out:/out:rw"
	same_file files_wrote "$expect/files.txt" "$tmp/out/output.txt"
	check files_scratch 0 files --mount "$tmp/in:/in" -- /in/sub/inner.txt /tmp/a/b
	check files_absent 1 files
	check report 0 report --mount "$tmp/numbers:/in" --mount "$tmp/report:/out:rw"
	same_file report_wrote "$expect/report.txt" "$tmp/report/report.txt"
	check paths 0 paths --mount "$tmp/in:/in" -- \
		open:/in/input.txt open:/in/sub/../input.txt open:in/sub/./inner.txt open://in//empty \
		open:/in/bytes 'open:/in/odd \xff\\name' open:/in/link open:/in/escape open:/in/dangling \
		open:/in/loop open,nofollow:/in/link open:/in/fifo open:/in/input.txt/ open:/in/input.txt/x \
		open:/in/missing/../input.txt open:/in open:/nowhere open: open,wronly:/in/input.txt \
		open,creat+excl:/in/input.txt open,creat:/in/new open,path:/in open,wronly+rdwr:/in/input.txt
	check paths_rw 0 paths --mount "$tmp/in:/in" --mount "$tmp/out:/out:rw" -- \
		create:/out/new open:/out/new create,excl:/out/new create,append:/out/new open:/out/new \
		open,rdwr+trunc:/out/new unlink:/out/new open:/out/new unlink:/out unlink:/in/input.txt \
		create:/in/new create:/out/new/ create:/out/a/b create:/scratch/a/b open:/scratch/a/b \
		unlink:/scratch/a unlink:/out/missing unlink: open:/out/kept.txt
	check paths_stat 0 paths --mount "$tmp/in:/in" --mount "$tmp/out:/out:rw" -- \
		stat:/in/input.txt lstat:/in/link stat:/in/link stat:/in lstat:/in/dangling stat:/in/dangling \
		stat:/in/fifo stat:/ stat:/nowhere stat:/in/input.txt/ readdir:/in readdir:/in/sub \
		readdir:/in/input.txt readdir:/nowhere mkdir:/out/dir mkdir:/out/dir mkdir:/in/dir \
		mkdir:/in/sub mkdir:/out/x/y stat:/out/dir readdir:/out mkdir:/tmp2 readdir:/
}

hostile_guests()
{
	for kind in page ud de stack triple halt; do
		check fault_$kind 126 fault -- $kind
		[ $kind = page ] && backtrace innermost middle page main _start
	done
	check fault_usage 1 fault
	check corrupt 126 corrupt
	check badcalls 0 badcalls
	for kind in block half unknown serial; do
		check badcalls_$kind 126 badcalls -- fatal $kind
	done
	[ $abi = v1 ] || return
	for kind in write exit cmdval; do
		check badcalls_$kind 126 badcalls -- fatal $kind
	done
}

# What the loader relies on, and what nobody should rely on.
images()
{
	local image bad
	for image in "$GUESTS"/*.elf; do
		bad=$(readelf -lW "$image" | awk '$1 == "LOAD" && (/ RWE / || $NF != "0x1000")')
		bad+=$(readelf -rW "$image" | awk '$3 ~ /^R_/ && $3 != "R_X86_64_RELATIVE"')
		bad+=$(readelf -lW "$image" | awk '$1 == "INTERP" || ($1 == "GNU_STACK" && / RWE /)')
		[ "$(od -An -tu1 -j7 -N1 "$image")" -eq 255 ] || bad+='OSABI is not 255'
		if [ -n "$bad" ]; then
			fail "image $(basename "$image")" "$bad"
		else
			pass "image $(basename "$image")"
		fi
	done
}

# Where the device can be opened a failure of belljar is one; elsewhere there is nothing to test.
kvm_works()
{
	[ -c /dev/kvm ] && (: <>/dev/kvm) 2>/dev/null
}

if [ ! -x "$BELLJAR" ] || [ ! -e "$GUESTS/hello.elf" ]; then
	fail guests "$BELLJAR or $GUESTS/hello.elf is not there; make builds both"
	echo "$passed passed, $failed failed, $skipped skipped"
	exit 1
fi
images
for backend in tcg kvm; do
	if [ $backend = kvm ] && ! kvm_works; then
		skip "guests $backend" "/dev/kvm cannot be opened"
		continue
	fi
	for abi in v2 v1; do
		simple_guests
		arguments
		file_guests
		hostile_guests
	done
done

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
