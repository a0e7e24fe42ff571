# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# What the e2e scripts share: counting, and a line per case.
passed=0 failed=0 skipped=0
umask 022
export LC_ALL=C.UTF-8

result() { # NAME STATUS WHY
	if [ "$2" = 0 ]; then
		echo "ok   $1"
		passed=$((passed + 1))
	else
		echo "FAIL $1: $3"
		failed=$((failed + 1))
	fi
}

skip() { # NAME WHY
	echo "SKIP $1: $2"
	skipped=$((skipped + 1))
}

# The closing line; fails when a case did.
finish() {
	if [ "$skipped" = 0 ]; then
		echo "$passed passed, $failed failed"
	else
		echo "$passed passed, $failed failed, $skipped skipped"
	fi
	[ "$failed" = 0 ]
}
