#!/bin/bash
# SPDX-License-Identifier: ISC
# Every fuzz target over its seeds, the crashes it once found, and its corpus: fuzz/seeds/NAME, fuzz/corpus/NAME.
set -u
shopt -s nullglob
build=$(dirname "${BELLJAR:-build/rel/belljar}")
passed=0 failed=0
cd "$(dirname "$0")/.." || exit 1
for source in fuzz/fuzz_*.c; do
	name=$(basename "$source" .c)
	out='' inputs=("fuzz/seeds/${name#fuzz_}"/* "fuzz/corpus/${name#fuzz_}"/*)
	if [ ${#inputs[@]} -gt 0 ] && out=$("$build/fuzz/$name" "${inputs[@]}" 2>&1); then
		echo "ok   ${name}_survives_its_seeds (${#inputs[@]} inputs)"
		passed=$((passed + 1))
	else
		echo "FAIL ${name}_survives_its_seeds: $(echo "${out:-it has none}" | tail -n 5)"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
