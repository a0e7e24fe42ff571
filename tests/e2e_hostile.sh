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
python3 "$oracle" cases >"$dir/all"
# A batch that only looks and those that change things: where every answer takes its time, they will do.
awk -v RS= -v ORS='\n\n' '{ b[NR] = $0 } END { print b[1]; print b[NR - 1]; print b[NR] }' "$dir/all" >"$dir/some"

runs=("tcg auto all" "tcg walk all") # backend, resolver, calls
if [ -c /dev/kvm ] && (: <>/dev/kvm) 2>/dev/null; then
	runs+=("kvm auto some" "kvm walk some")
else
	skip kvm "/dev/kvm cannot be opened"
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

# guest CALLS WORLD OPTION ...: a run for each batch; 0 when all ended. What the guest says goes to WORLD.said, what
# belljar does, its --strace too, to WORLD.err.
guest() {
	local calls=$dir/$1 world=$dir/$2 batch=() line
	shift 2
	: >"$world.said"
	while IFS= read -r line; do
		if [ -n "$line" ]; then
			batch+=("$line")
			continue
		fi
		timeout 60 "$BELLJAR" run "$@" --strace --mount "$world/in:/in:rw" --mount "$world/ro:/in/nested" \
			--mount "$world/ro:/ro" "$GUESTS/paths.elf" -- "${batch[@]}" \
			>>"$world.said" 2>>"$world.err" </dev/null || return
		batch=()
	done <"$calls"
	# Which descriptor is nothing that Linux would have to agree with.
	sed -i -E 's/^((open|create) .*) = [0-9]+$/\1 = 3/' "$world.said"
}

# ---- what Linux says ----

uid=$(id -u)
own=-rm
[ "$uid" = 0 ] && own=-m
asked=yes
if ! unshare $own true 2>"$dir/why"; then
	skip linux_itself "unshare: $(head -n 1 "$dir/why")"
	asked=no
fi
for calls in all some; do
	[ $asked = yes ] || break
	make_world $calls.linux
	unshare $own python3 "$oracle" ask "$dir/$calls.linux" "$uid" <"$dir/$calls" >"$dir/$calls.said" 2>"$dir/why" &&
		[ "$(grep -c '^[a-z]' "$dir/$calls.said")" = "$(grep -c . "$dir/$calls")" ]
	result "linux_answers_$calls" $? "$(tail -n 1 "$dir/why")"
	tree_of "$dir/$calls.linux/in" >"$dir/$calls.tree"
done

# ---- what the guest is told ----

for run in "${runs[@]}"; do
	read -r backend resolver calls <<<"$run"
	name=$backend-$resolver
	make_world "$name"
	(: >"$dir/$name/in/fifo" && : >"$dir/woken") 2>/dev/null & # waits for a reader
	opener=$!
	guest "$calls" "$name" --backend "$backend" --resolver "$resolver"
	result "${name}_ends_by_itself" $? "$(tail -n 2 "$dir/$name.err" | cut -c 1-200)"
	[ ! -e "$dir/woken" ] && kill -0 $opener 2>/dev/null
	result "${name}_opens_no_fifo" $? "whoever waited at it was woken"
	kill $opener 2>/dev/null
	wait $opener 2>/dev/null
	opener=
	! grep -qa -e SECRET -e root:x: "$dir/$name.said"
	result "${name}_reads_nothing_outside" $? "$(grep -a -B1 -e SECRET -e root:x: "$dir/$name.said" | head -n 4)"
	outside "$dir/$name" | cmp -s - "$dir/$name.outside"
	result "${name}_changes_nothing_outside" $? "$(outside "$dir/$name" | diff - "$dir/$name.outside" | head -n 6)"
	grep -qF '/in/esc\x1b[31m"' "$dir/$name.err" && ! LC_ALL=C grep -qa '[^ -~]' "$dir/$name.said" "$dir/$name.err"
	result "${name}_lets_no_control_byte_through" $? \
		"$(LC_ALL=C grep -a '[^ -~]' "$dir/$name.said" "$dir/$name.err" | head -n 2 | cat -v)"
	[ $asked = yes ] || continue
	cmp -s "$dir/$calls.said" "$dir/$name.said"
	result "${name}_answers_as_linux" $? "$(diff -a "$dir/$calls.said" "$dir/$name.said" | cut -c 1-160 | head -n 12)"
	tree_of "$dir/$name/in" | cmp -s "$dir/$calls.tree" -
	result "${name}_leaves_what_linux_leaves" $? \
		"$(tree_of "$dir/$name/in" | diff -a "$dir/$calls.tree" - | cut -c 1-160 | cat -v | head -n 8)"
done
finish
