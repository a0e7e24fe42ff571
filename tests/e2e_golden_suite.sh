#!/bin/bash
# SPDX-License-Identifier: ISC
# Our own golden traces: every guest, both ABIs, in the guest's place and in the host's on every backend.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
BELLJAR=${BELLJAR:-build/rel/belljar} GUESTS=${GUESTS:-build/rel/kernels}
root=$(dirname "$0")/..
log=$(mktemp)
trap 'rm -f "$log"' EXIT

CI=true BELLJAR_GOLDEN=no "$BELLJAR" golden check --dir "$root/golden" --guests "$GUESTS" >"$log" 2>&1
code=$?
cat "$log"
closing=$(tail -n 1 "$log")
passed=$(sed -n 's/^\([0-9]*\) passed, [0-9]* failed$/\1/p' <<<"$closing")
failed=$(sed -n 's/^[0-9]* passed, \([0-9]*\) failed$/\1/p' <<<"$closing")
[ -n "$passed" ] && [ -n "$failed" ] || passed=0 failed=1

# A guest without a golden is a guest that nobody looks at.
without=
for source in "$root"/kernels/*.c; do
	guest=$(basename "$source" .c)
	for image in "$guest" "$guest-v1"; do
		grep -lq "^guest \"$image\.elf\" " "$root"/golden/*.bjt || without="$without $image"
	done
done
[ -z "$without" ]
result every_guest_has_a_golden $? "none has:$without"
! grep -q '^note: host side only' "$log"
result guests_were_run $? "$(grep '^note' "$log")"
[ "$code" = 0 ] || [ "$failed" != 0 ]
result the_exit_code_is_that_of_the_results $? "exit $code: $closing"
while read -r backend why; do
	skip "golden ${backend%:}" "$why"
done < <(sed -n 's/^note: no guest was run on //p' "$log")
finish
