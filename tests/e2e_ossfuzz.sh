#!/bin/bash
# SPDX-License-Identifier: ISC
# OSS-Fuzz's contract: its build script makes every target, and each runs where nothing but /tmp can be written,
# without /dev, without our libraries, from a directory and in an environment that say nothing.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL MODE

# In a mount namespace: the targets of OUT in a file system that is made for them at ROOT.
inside() { # ROOT OUT
	local root=$1 target log timeout chroot
	timeout=$(command -v timeout) chroot=$(PATH=$PATH:/usr/sbin command -v chroot)
	mount --make-rprivate / && mount -t tmpfs root "$root" || return 1
	mkdir -p "$root"/{out,proc,tmp,dev} &&
		cp -r "$2/." "$root/out/" &&
		ldd "$2"/fuzz_* | grep -oE '/[^ ]*/(libc|libm|libdl|librt|libpthread|libresolv|ld-linux[^/]*)\.so[^ ]*' | sort -u |
		while read -r library; do cp -L --parents "$library" "$root/"; done
	mount --rbind /proc "$root/proc" && mount -t tmpfs tmp "$root/tmp" && mount -o remount,ro "$root" || return 1
	if touch "$root/out/x" 2>/dev/null; then return 1; fi
	for target in "$root"/out/fuzz_*_seed_corpus.zip; do
		target=$(basename "$target" _seed_corpus.zip)
		rm -rf "$root/tmp"/*
		mkdir "$root/tmp/corpus"
		python3 -m zipfile -e "$root/out/${target}_seed_corpus.zip" "$root/tmp/corpus"
		if log=$(cd / && env -i ASAN_OPTIONS=detect_leaks=0 "$timeout" 60 "$chroot" "$root" "/out/$target" -max_total_time=1 \
			-artifact_prefix=/tmp/ /tmp/corpus 2>&1); then
			echo "ran $target $(grep -c . <<<"$log")"
		else
			echo "failed $target $(grep -E 'ERROR|Assertion|error' <<<"$log" | head -n 3 | tr '\n' ' ')$(tail -n 1 <<<"$log")"
		fi
	done
}

if [ "${1-}" = --inside ]; then
	inside "$2" "$3"
	exit
fi

cd "$(dirname "$0")/.." || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/src" "$dir/out" "$dir/root"
ln -s "$PWD" "$dir/src/belljar"
flags='-O0 -gline-tables-only -fsanitize=address,undefined,fuzzer-no-link'
for tool in clang clang++ zip python3; do
	command -v $tool >/dev/null && continue
	skip every_target_is_built "$tool is not installed"
	finish
	exit
done
log=$(env -u LDFLAGS SRC="$dir/src" OUT="$dir/out" CC=clang CXX=clang++ CFLAGS="$flags" CXXFLAGS="$flags" \
	LIB_FUZZING_ENGINE=-fsanitize=fuzzer nice fuzz/oss-fuzz/build.sh 2>&1)
code=$?
missing=
for source in fuzz/fuzz_*.c; do
	target=$dir/out/$(basename "$source" .c)
	[ -x "$target" ] && [ -s "${target}_seed_corpus.zip" ] || missing="$missing $target"
done
[ $code = 0 ] && [ -z "$missing" ]
result every_target_is_built $? "exit $code, missing:$missing; $(tail -n 5 <<<"$log")"

unshare=(unshare --mount)
[ "$(id -u)" = 0 ] || unshare+=(--user --map-root-user)
if ! why=$("${unshare[@]}" true 2>&1); then
	skip targets_run_under_the_contract "no mount namespace: $why"
else
	log=$("${unshare[@]}" "$0" --inside "$dir/root" "$dir/out" 2>&1)
	for source in fuzz/fuzz_*.c; do
		target=$(basename "$source" .c)
		grep -q "^ran $target " <<<"$log"
		result "${target}_runs_under_the_contract" $? "$(grep "^failed $target " <<<"$log" || tail -n 3 <<<"$log")"
	done
fi
finish
