#!/bin/bash
# SPDX-License-Identifier: ISC
# Every fuzz target over its seeds and the crashes it once found: fuzz/seeds/NAME/*.
set -u
build=$(dirname "${BELLJAR:-build/rel/belljar}")
passed=0 failed=0
cd "$(dirname "$0")/.." || exit 1
for source in fuzz/fuzz_*.c; do
	name=$(basename "$source" .c)
	seeds=fuzz/seeds/${name#fuzz_}
	if out=$("$build/fuzz/$name" "$seeds"/* 2>&1) && [ "${out%% *}" -gt 0 ]; then
		echo "ok   ${name}_survives_its_seeds ($out)"
		passed=$((passed + 1))
	else
		echo "FAIL ${name}_survives_its_seeds: $(echo "$out" | tail -n 5)"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
