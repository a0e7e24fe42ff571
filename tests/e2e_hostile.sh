#!/bin/bash
# SPDX-License-Identifier: ISC
# A guest walks a directory made to harm: links out in every form, loops, special files, names of any bytes,
# paths at every limit, a nested mapping that only reads. Each answer and the tree afterwards are compared
# with what Linux itself makes of the same calls in a mount namespace (tests/hostile_oracle.py).
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
BELLJAR=${BELLJAR:-build/rel/belljar} GUESTS=${GUESTS:-build/rel/kernels}
oracle=$(dirname "$0")/hostile_oracle.py
dir=$(mktemp -d)
opener=
cleanup() {
	[ -z "$opener" ] || kill "$opener" 2>/dev/null
	chmod -R u+rwx "$dir"
	rm -rf "$dir"
}
trap cleanup EXIT

if ! command -v python3 >/dev/null; then
	skip hostile_tree "no python3"
	finish
	exit
fi
python3 "$oracle" cases >"$dir/cases"

backends=(tcg)
if [ -c /dev/kvm ] && (: <>/dev/kvm) 2>/dev/null; then
	backends+=(kvm)
else
	skip kvm "/dev/kvm cannot be opened"
fi
resolvers=("")
if "$BELLJAR" run --help | grep -q -- --resolver; then
	resolvers+=(walk)
else
	skip resolver_walk "run has no --resolver"
fi

# What lies there, and for a file what is in it.
tree_of() { # DIR
	(cd "$1" && find . -printf '%P %y %m %l\n' 2>/dev/null | LC_ALL=C sort &&
		find . -type f -perm -u=r -exec sha256sum -- {} + 2>/dev/null | LC_ALL=C sort)
}

# Everything of what is outside, its times, too.
outside() { # WORLD
	(cd "$1" && find outside -printf '%p %y %m %s %i %T@ %n\n' | LC_ALL=C sort && cat outside/secret)
}

make_world() { # NAME
	python3 "$oracle" tree "$dir/$1"
	outside "$dir/$1" >"$dir/$1.outside"
}

# guest WORLD OPTION ...: all calls, a run for each batch. What the guest says to WORLD.said; 0 when each run ended.
guest() {
	local world=$dir/$1 batch=() line
	shift
	: >"$world.said"
	while IFS= read -r line; do
		if [ -n "$line" ]; then
			batch+=("$line")
			continue
		fi
		timeout 60 "$BELLJAR" run "$@" --mount "$world/in:/in:rw" --mount "$world/ro:/in/nested" \
			--mount "$world/ro:/ro" "$GUESTS/paths.elf" -- "${batch[@]}" \
			>>"$world.said" 2>>"$world.err" </dev/null || return
		batch=()
	done <"$dir/cases"
	# Which descriptor is nothing that Linux would have to agree with.
	sed -i -E 's/^((open|create) .*) = [0-9]+$/\1 = 3/' "$world.said"
}

# ---- what Linux says ----

make_world linux
uid=$(id -u)
asked=no
own=-rm
[ "$uid" = 0 ] && own=-m
if ! unshare $own true 2>"$dir/why"; then
	skip linux_itself "unshare: $(head -n 1 "$dir/why")"
elif unshare $own python3 "$oracle" ask "$dir/linux" "$uid" <"$dir/cases" >"$dir/linux.said" 2>"$dir/why"; then
	asked=yes
	tree_of "$dir/linux/in" >"$dir/linux.tree"
	result linux_answers_all "$([ "$(grep -c '^[a-z]' "$dir/linux.said")" = "$(grep -c . "$dir/cases")" ]; echo $?)" \
		"some calls have no answer"
else
	result linux_answers_all 1 "$(tail -n 1 "$dir/why")"
fi

# ---- what the guest is told ----

first=
for backend in "${backends[@]}"; do
	for resolver in "${resolvers[@]}"; do
		name=$backend${resolver:+-$resolver}
		options=(--backend "$backend" --strace="$dir/strace" ${resolver:+--resolver "$resolver"})
		make_world "$name"
		(: >"$dir/$name/in/fifo" && : >"$dir/woken") 2>/dev/null & # waits for a reader
		opener=$!
		guest "$name" "${options[@]}"
		result "${name}_ends_by_itself" $? "$(tail -n 2 "$dir/$name.err")"
		[ ! -e "$dir/woken" ] && kill -0 $opener 2>/dev/null
		result "${name}_opens_no_fifo" $? "whoever waited at it was woken"
		kill $opener 2>/dev/null
		wait $opener 2>/dev/null
		opener=
		! grep -qa -e SECRET -e root:x: "$dir/$name.said"
		result "${name}_reads_nothing_outside" $? "$(grep -a -B1 -e SECRET -e root:x: "$dir/$name.said" | head -n 4)"
		outside "$dir/$name" | cmp -s - "$dir/$name.outside"
		result "${name}_changes_nothing_outside" $? "$(outside "$dir/$name" | diff - "$dir/$name.outside" | head -n 6)"
		! LC_ALL=C grep -qa '[^ -~]' "$dir/$name.said" "$dir/strace" "$dir/$name.err"
		result "${name}_lets_no_control_byte_through" $? \
			"$(LC_ALL=C grep -a '[^ -~]' "$dir/$name.said" "$dir/strace" "$dir/$name.err" | head -n 2 | cat -v)"
		if [ $asked = yes ]; then
			cmp -s "$dir/linux.said" "$dir/$name.said"
			result "${name}_answers_as_linux" $? "$(diff -a "$dir/linux.said" "$dir/$name.said" | cut -c 1-160 | head -n 12)"
			tree_of "$dir/$name/in" | cmp -s "$dir/linux.tree" -
			result "${name}_leaves_what_linux_leaves" $? \
				"$(tree_of "$dir/$name/in" | diff -a "$dir/linux.tree" - | cut -c 1-160 | cat -v | head -n 8)"
		fi
		if [ -n "$first" ]; then
			cmp -s "$dir/$first.said" "$dir/$name.said"
			result "${name}_answers_as_$first" $? "$(diff -a "$dir/$first.said" "$dir/$name.said" | cut -c 1-160 | head -n 6)"
		fi
		first=${first:-$name}
	done
done
finish
