#!/bin/bash
# SPDX-License-Identifier: ISC
# Builds every fuzz target into $OUT, with what belongs to it: the contract of OSS-Fuzz. CC, CXX, CFLAGS,
# CXXFLAGS and LIB_FUZZING_ENGINE say how; the machine that runs them has no library but glibc.
set -eu
cd "$SRC/belljar"
make -j"$(nproc)" MODE=ossfuzz fuzz-targets

libraries() { # PROGRAM
	ldd "$1" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' |
		grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv)\.so\.[0-9]+$'
}

mkdir -p "$OUT/lib"
for source in fuzz/fuzz_*.c; do
	target=$(basename "$source" .c)
	name=${target#fuzz_}
	cp "build/ossfuzz/fuzz/$target" "$OUT/"
	for library in $(libraries "$OUT/$target"); do
		cp -Ln "$library" "$OUT/lib/"
	done
	rm -f "$OUT/${target}_seed_corpus.zip"
	find "fuzz/seeds/$name" "fuzz/corpus/$name" -type f 2>/dev/null |
		zip -jq "$OUT/${target}_seed_corpus.zip" -@
	if [ -f "fuzz/dict/$name.dict" ]; then
		cp "fuzz/dict/$name.dict" "$OUT/$target.dict"
	fi
	printf '[libfuzzer]\nmax_len = 65536\n' >"$OUT/$target.options" # longer ones are only slower
done
