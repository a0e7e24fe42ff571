#!/bin/bash
# SPDX-License-Identifier: ISC
# What a user is told and given: the man page knows every option, scripts are clean, install installs.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
BELLJAR=${BELLJAR:-build/rel/belljar}
cd "$(dirname "$0")/.." || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

verbs=$("$BELLJAR" --help | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p')
missing=
for verb in $verbs; do
	grep -q "^\.It Cm $verb\$" belljar.1 || missing="$missing $verb"
	grep -qw "$verb" scripts/completion.bash || missing="$missing $verb(completion)"
	for option in $("$BELLJAR" "$verb" --help | grep -oE '^ +(-., )?--[a-z-]+' | grep -oE -- '--[a-z-]+'); do
		grep -qE "Fl -${option#--}( |\$)" belljar.1 || missing="$missing $option"
	done
done
traces=$("$BELLJAR" trace --help | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p')
for verb in $traces; do
	grep -q "^\.It Cm $verb\$" belljar.1 || missing="$missing trace $verb"
	grep -qw "$verb" scripts/completion.bash || missing="$missing trace $verb(completion)"
	for option in $("$BELLJAR" trace "$verb" --help | grep -oE '^ +(-., )?--[a-z-]+' | grep -oE -- '--[a-z-]+'); do
		grep -qE "Fl -${option#--}( |\$)" belljar.1 || missing="$missing $option"
	done
done
[ -n "$verbs" ] && [ -n "$traces" ] && [ -z "$missing" ]
result the_man_page_knows_every_verb_and_option $? "missing:$missing"

out=$(mandoc -T lint -W error belljar.1 2>&1)
result the_man_page_is_well_formed $? "$out"

out=$(shellcheck -x scripts/setup scripts/check scripts/check-layers scripts/check-warnings scripts/demo \
	scripts/bench scripts/coverage scripts/gdb-suite.d/cc scripts/fuzz scripts/fuzz-* scripts/bench-fuzz fuzz/oss-fuzz/build.sh scripts/completion.bash tests/*.sh .ci/run 2>&1)
result scripts_are_clean $? "$out"

mode=$(basename "$(dirname "$BELLJAR")")
out=$(make --no-print-directory install MODE="$mode" DESTDIR="$dir" PREFIX=/usr 2>&1) &&
	[ -x "$dir/usr/bin/belljar" ] && [ -f "$dir/usr/share/man/man1/belljar.1" ] &&
	[ -f "$dir/usr/share/bash-completion/completions/belljar" ] && [ -f "$dir/usr/share/belljar/bjt.lua" ] && "$dir/usr/bin/belljar" --version >/dev/null
result install_installs $? "$out"

out=$(scripts/demo "$(dirname "$BELLJAR")" 2>&1)
code=$?
[ $code = 0 ] && echo "$out" | grep -q 'ALL THAT THE GUEST CAN SEE' && echo "$out" | grep -q 'innermost.*(kernels/fault.c:' &&
	echo "$out" | grep -q 'no mismatch (host side)' && echo "$out" | grep -q 'looks like: CHANGED'
result the_demo_tells_its_story $? "$(echo "$out" | tail -n 20)"

finish
