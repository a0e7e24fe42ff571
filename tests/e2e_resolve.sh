#!/bin/bash
# SPDX-License-Identifier: ISC
# belljar resolve: what it says is what a guest gets, and it changes nothing.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
BELLJAR=${BELLJAR:-build/rel/belljar} GUESTS=${GUESTS:-build/rel/kernels}
BELLJAR=$(realpath "$BELLJAR") GUESTS=$(realpath "$GUESTS")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

mkdir -p in/sub out other tmp
export TMPDIR=$dir/tmp
echo hello >in/file
echo deep >in/sub/deep
echo alone >single
ln -s sub/deep in/link
ln -s /out/target in/across
ln -s loop in/loop
ln -s ../../../etc/passwd in/escape
mkfifo in/fifo
ln in/file other/hard
mounts=(--mount in:/in --mount out:/out:rw --mount other:/out/nested --mount single:/etc/single)

# says NAME CODE EXPECTED ARGS...: the whole of standard output.
says() {
	local name=$1 code=$2 expected=$3 got
	shift 3
	got=$(timeout 20 "$BELLJAR" resolve "${mounts[@]}" "$@" 2>err)
	got_code=$?
	[ "$got_code" = "$code" ] && [ "$got" = "$expected" ]
	result "$name" $? "exit $got_code: $got; $(head -n 1 err)"
}

# A state of everything that could change: names, kinds, contents, modes, times of change.
state() {
	find in out other single -printf '%p %y %m %s %l %n %C@ %T@\n' | sort
	ls tmp
}
before=$(state)

says "tells_the_host_file_and_the_rights" 0 \
	"open \"/in/file\" rdonly: \"$dir/in/file\", file, ro, mount \"in\" at \"/in\": ok" /in/file
says "follows_links_as_the_guest_does" 0 \
	"open \"/in/link\" rdonly: \"$dir/in/sub/deep\", file, ro, mount \"in\" at \"/in\": ok" /in/link
says "tells_a_link_when_asked_for_it" 0 \
	"lstat \"/in/link\": \"$dir/in/link\", link, ro, mount \"in\" at \"/in\": ok" -o lstat /in/link
says "links_lead_around_in_the_guests_tree" 0 \
	"create \"/in/across\" wronly+creat: \"$dir/out/target\", nothing there, rw, mount \"out\" at \"/out\": ok" \
	-o create /in/across
says "ro_is_erofs_and_says_so" 1 \
	"open \"/in/file\" rdwr: \"$dir/in/file\", file, ro, mount \"in\" at \"/in\": EROFS: it lies in a mapping that is ro" \
	-o open,rdwr /in/file
says "parents_in_scratch_would_be_made" 0 \
	"mkdir \"/a/b/c\": \"(scratch)/a/b/c\", nothing there, rw, scratch, 2 parents would be made: ok" -o mkdir /a/b/c
says "a_mapped_file_is_not_unlinked" 1 \
	"unlink \"/etc/single\": \"$dir/single\", file, ro, mount \"single\" at \"/etc/single\": EBUSY: it is a mapping itself; map it with rw,unlink to let the guest remove it" \
	-o unlink /etc/single
says "nowhere_is_an_errno" 1 \
	"open \"/in/none/x\" rdonly: ENOENT: nothing of that name there, as the guest sees it" /in/none/x
says "a_link_out_stays_in_the_guests_tree" 1 \
	"open \"/in/escape\" rdonly: \"(scratch)/etc/passwd\", nothing there, rw, scratch: ENOENT: nothing of that name there, as the guest sees it" /in/escape
says "a_fifo_is_not_opened" 1 \
	"open \"/in/fifo\" rdonly: \"$dir/in/fifo\", fifo, ro, mount \"in\" at \"/in\": ENXIO: a fifo, socket or device: never opened" /in/fifo
says "bytes_are_escaped" 1 \
	"open \"/in/\\x1b\\xff\" rdonly: \"$dir/in/\\x1b\\xff\", nothing there, ro, mount \"in\" at \"/in\": ENOENT: nothing of that name there, as the guest sees it" \
	$'/in/\x1b\xff'
says "explains_each_step" 1 "open \"/in/sub/../../out/nested/./x\" rdonly
    start  \"/\"  rw, scratch
    mount  \"in\"  ro, mount \"in\" at \"/in\"
    name   \"sub\"  ro, mount \"in\" at \"/in\"
    up     \"..\"  ro, mount \"in\" at \"/in\"
    up     \"..\"  rw, scratch
    mount  \"out\"  rw, mount \"out\" at \"/out\"
    mount  \"nested\"  ro, mount \"other\" at \"/out/nested\"
    name   \"x\"  ro, mount \"other\" at \"/out/nested\"
    at     \"$dir/other/x\", nothing there, ro, mount \"other\" at \"/out/nested\"
    gives  ENOENT: nothing of that name there, as the guest sees it" -x /in/sub/../../out/nested/./x
says "explains_a_loop" 1 "$(printf 'open "/in/loop" rdonly\n    start  "/"  rw, scratch\n    mount  "in"  ro, mount "in" at "/in"\n'
	for _ in $(seq 40); do echo '    link   "loop" -> "loop"  ro, mount "in" at "/in"'; done
	echo '    gives  ELOOP: a link that is not to be followed, or more than 40 of them')" -x /in/loop
says "explains_what_would_be_made" 0 "mkdir \"/etc/./a/b/c\"
    start  \"/\"  rw, scratch
    mount  \"etc\"  rw, scratch
    make   \"a\"  rw, scratch
    make   \"b\"  rw, scratch
    name   \"c\"  rw, scratch
    at     \"(scratch)/etc/a/b/c\", nothing there, rw, scratch, 2 parents would be made
    gives  ok" -x -o mkdir /etc/./a/b/c
says "explains_what_would_not_be_made" 1 "create \"/a/b/c\" wronly+creat
    start  \"/\"  rw, scratch
    error  \"a\"  ENOSPC
    gives  ENOSPC: scratch is full" -x -o create --limit inodes=1 /a/b/c
says "what_would_be_made_takes_inodes" 1 \
	"create \"/a/b\" wronly+creat: \"(scratch)/a/b\", nothing there, rw, scratch, 1 parent would be made: ENOSPC: scratch is full" \
	-o create --limit inodes=1 /a/b
says "explains_what_would_be_made_in_json" 0 \
	'{"path":"/a/b","op":"mkdir","steps":[{"step":"start","name":"/","rights":"rw","mount":null},{"step":"make","name":"a","rights":"rw","mount":null},{"step":"name","name":"b","rights":"rw","mount":null}],"host":"(scratch)/a/b","kind":null,"rights":"rw","mount":null,"parents_to_make":1,"errno":null,"why":null}' \
	-x -j -o mkdir /a/b
says "what_would_be_made_is_not_there_for_the_next_path" 0 \
	'mkdir "/a": "(scratch)/a", nothing there, rw, scratch: ok
mkdir "/a/b": "(scratch)/a/b", nothing there, rw, scratch, 1 parent would be made: ok
mkdir "/a/b": "(scratch)/a/b", nothing there, rw, scratch, 1 parent would be made: ok' -o mkdir /a /a/b /a/b
says "starts_at_the_cwd" 0 \
	"open \"sub/deep\" rdonly: \"$dir/in/sub/deep\", file, ro, mount \"in\" at \"/in\": ok" --cwd /in sub/deep
says "utf8_if_asked" 1 "stat \"/\\xff\": \"(scratch)/\\xff\", nothing there, rw, scratch: EINVAL: flags that no guest may use, or a path that is not UTF-8" \
	--guest-paths utf8 -o stat $'/\xff'
says "depth_if_asked" 1 "stat \"/in/sub/../sub/deep\": EDQUOT: deeper than --limit depth allows" \
	--limit depth=1 -o stat /in/sub/../sub/deep

json=$("$BELLJAR" resolve "${mounts[@]}" --json -x -o open,rdwr+excl+creat /in/link $'/\xff' 2>&1)
[ "$(jq -rs '[.[0].errno, .[0].flags, .[0].host, .[0].mount.guest, .[0].rights, (.[0].steps | length),
	.[0].steps[2].target, .[1].path.hex, .[1].kind, .[1].errno] | map(tostring) | join(" ")' <<<"$json" 2>&1)" = \
	"EEXIST rdwr+creat+excl $dir/in/link /in ro 3 null 2fff null null" ]
result "json_says_the_same" $? "$json"

[ "$("$BELLJAR" resolve "${mounts[@]}" --json /in/none/x /in/file | jq -c 'keys' | sort -u | wc -l)" = 1 ]
result "json_always_has_the_same_keys" $? "$("$BELLJAR" resolve "${mounts[@]}" --json /in/none/x)"

says "what_begins_with_a_dash_is_a_path_behind_dashes" 1 \
	"stat \"-j\": \"(scratch)/-j\", nothing there, rw, scratch: ENOENT: nothing of that name there, as the guest sees it" \
	-o stat -- -j

# In bulk: ended by NUL, the last without; both engines give the same.
for i in $(seq 500); do
	printf '/in/file\0/in/../in/link\0/out/%s/../x\0/in/\n\0' "$i"
done >paths
printf '/in/sub/' >>paths
for engine in openat2 walk; do
	timeout 60 "$BELLJAR" resolve "${mounts[@]}" --resolver $engine -o stat -0 <paths >bulk.$engine 2>&1
done
[ "$(wc -l <bulk.walk)" = 2001 ] && cmp -s bulk.openat2 bulk.walk
result "reads_paths_in_bulk" $? "$(wc -l <bulk.walk) lines; $(tail -n 1 bulk.walk)"

after=$(state)
[ "$before" = "$after" ]
result "changes_nothing" $? "$(diff <(echo "$before") <(echo "$after") | head -n 3)"

# Against a guest that does it: a run for each operation, over paths whose effects do not meet.
paths=(/ /in /in/file /in/file/ /in/link /in/across /in/loop /in/escape /in/fifo /in/sub/../file /in/none /out/new
	/out/other/ /out/nested /out/nested/hard /out/nested/new /etc/single /etc/single/x /etc /x/y/z "" .. /in/sub/.)
for op in open,rdonly open,rdwr open,rdwr+trunc create create,excl stat lstat readdir mkdir unlink open,directory open,nofollow; do
	timeout 20 "$BELLJAR" resolve "${mounts[@]}" --json -o "$op" -- "${paths[@]}" | jq -r '.errno // "ok"' >ours
	timeout 20 "$BELLJAR" run --backend tcg "${mounts[@]}" "$GUESTS/paths.elf" -- "${paths[@]/#/$op:}" 2>&1 |
		sed -nE 's/^[a-z].* = -?(E[A-Z0-9]+).*/\1/p; t; s/^[a-z].* = .*/ok/p' >theirs
	rm -rf out && mkdir -p out
	[ "$(wc -l <theirs)" = ${#paths[@]} ] && cmp -s ours theirs
	result "${op}_gives_what_a_guest_gets" $? "$(paste ours theirs <(printf '%s\n' "${paths[@]}") | awk '$1 != $2' | head -n 3)"
done

# Flags come before the length of the name, as in Linux.
long=$(printf 'x%.0s' $(seq 4096))
for op in open,creat+directory open,creat+path open,rdonly stat; do
	timeout 20 "$BELLJAR" resolve --json -o "$op" -- "$long" | jq -r .errno >ours
	timeout 20 "$BELLJAR" run --backend tcg "$GUESTS/paths.elf" -- "$op:$long" 2>&1 | sed -nE 's/.* = -(E[A-Z]+)$/\1/p' >theirs
	case $op in *creat*) echo EINVAL ;; *) echo ENAMETOOLONG ;; esac | cmp -s ours && cmp -s ours theirs
	result "a_long_name_and_${op}" $? "$(cat ours theirs)"
done

# What steers the host is neither shown nor touched, wherever it is mounted.
mkdir -p sub/proc sub/tmp sub/q
ln -sf q sub/to
cat >inside.sh <<'END'
mount -t proc none /proc && mount -t proc none sub/proc && mount -t tmpfs none sub/tmp && mount -t mqueue none sub/q && echo x >sub/tmp/f && : >sub/q/victim || exit
m=(--mount sub:/s:rw,submounts --resolver "$1")
for path in /s/tmp/f /s/proc /s/proc/self/environ /s/tmp/../proc/version; do "$BELLJAR" resolve "${m[@]}" --json "$path"; done | jq -r '.errno // "ok"'
echo =
for op in mkdir unlink create open,rdwr+trunc stat lstat readdir; do
	"$BELLJAR" resolve "${m[@]}" --json -o "$op" /s/q/victim /s/to/new /s/proc/self /s/q
done | jq -r .errno | sort | uniq -c | xargs
"$BELLJAR" run --backend tcg "${m[@]}" "$GUESTS/paths.elf" mkdir:/s/q/evil create:/s/q/evil create:/s/to/evil unlink:/s/q/victim \
	unlink:/s/to/victim open,wronly+trunc:/s/q/victim stat:/s/proc/self lstat:/s/proc/1 stat:/s/proc/sys/kernel/core_pattern \
	stat:/s/q/../tmp/f readdir:/s/q stat:/s/tmp/f | sed 's/.* = //'
ls sub/q
END
export BELLJAR GUESTS
for engine in openat2 walk; do
	if out=$(timeout 60 unshare -rmpfi bash inside.sh $engine 2>&1); then
		[ "$(xargs <<<"$out")" = "ok EACCES EACCES EACCES = 28 EACCES $(printf -- '-EACCES %.0s' $(seq 11))file, mode 0644, 2 bytes victim" ]
		result "submounts_show_no_proc_on_$engine" $? "$out"
	else
		skip "submounts_show_no_proc_on_$engine" "no right to mount, not even in a user namespace"
	fi
done

# Told to end, it leaves nothing behind.
mkfifo held
for signal in INT TERM HUP QUIT PIPE ALRM USR1 USR2; do
	env --default-signal=$signal "$BELLJAR" resolve -0 <held >out.txt 2>err &
	pid=$!
	exec 9>held
	printf '/a\0' >&9
	for _ in $(seq 100); do
		[ -n "$(ls tmp)" ] && break
		sleep 0.05
	done
	[ -n "$(ls tmp)" ] && kill -$signal $pid
	timeout 20 tail --pid=$pid -f /dev/null || kill -9 $pid
	wait $pid
	code=$?
	exec 9>&-
	[ $code -gt 128 ] && [ "$(kill -l $code)" = $signal ] && [ -z "$(ls tmp)" ]
	result "${signal}_leaves_nothing_behind" $? "exit $code, $(ls tmp)"
done 2>/dev/null # what the shell says of it
yes /a | head -n 20000 | tr '\n' '\0' >many
"$BELLJAR" resolve -0 <many 2>err | head -n 1 >out.txt
codes=${PIPESTATUS[*]}
[ "$codes" = "141 0" ] && [ "$(wc -l <out.txt)" = 1 ] && [ ! -s err ] && [ -z "$(ls tmp)" ]
result "a_closed_pipe_leaves_nothing_behind" $? "exit $codes, $(ls tmp); $(head -n 1 err)"
(
	trap '' PIPE
	exec "$BELLJAR" resolve -0
) <many 2>err | true
codes=${PIPESTATUS[*]}
[ "$codes" = "125 0" ] && grep -q '^belljar: standard output: ' err && [ -z "$(ls tmp)" ]
result "nor_when_its_signal_is_ignored" $? "exit $codes, $(ls tmp); $(head -n 1 err)"

# Where a mapping's name leads through a link, that is said; the cwd may.
mkdir -p chain/a/b
ln -sf a chain/la
out=$("$BELLJAR" run --backend tcg --mount chain:/n --mount other:/n/la/b "$GUESTS/paths.elf" readdir:/n/la 2>&1)
[[ $out = "belljar: mount: /n/la is a link in the mapping around it, and hidden: "*$'\nreaddir "/n/la" = 3 names\n  "."\n  ".."\n  "b"' ]]
result "warns_of_a_link_in_a_mappings_name" $? "$out"
out=$("$BELLJAR" resolve --mount chain:/n --mount other:/n/a/b --cwd /n/la -o stat b . 2>&1)
[ "$out" = "stat \"b\": \"$dir/other\", directory, ro, mount \"other\" at \"/n/a/b\": ok
stat \".\": \"$dir/chain/a\", directory, ro, mount \"chain\" at \"/n\": ok" ]
result "the_cwd_may_be_a_link" $? "$out"

# Wrong words.
wrong() { # NAME CODE PATTERN ARGS...
	local name=$1 code=$2 pattern=$3
	shift 3
	timeout 20 "$BELLJAR" resolve "$@" >out.txt 2>err </dev/null
	got=$?
	[ "$got" = "$code" ] && [ "$(wc -l <err)" = 1 ] && grep -aqE -e "$pattern" err && [ ! -s out.txt ]
	result "$name" $? "exit $got: $(head -n 2 err)"
}
wrong "no_path_is_usage" 2 "no path given; or -0"
wrong "unknown_operation_is_usage" 2 "no such operation; one of open" -o frob /x
wrong "unknown_flag_is_usage" 2 "frob: no such flag" -o open,rdwr+frob /x
wrong "two_access_modes_are_usage" 2 "wronly: an access mode was named already" -o open,rdonly+creat+wronly /x
wrong "stat_takes_no_flags" 2 "stat takes no flags" -o stat,creat /x
wrong "unknown_resolver_is_usage" 2 "one of auto, openat2, walk" --resolver frob /x
wrong "unknown_limit_is_usage" 2 "not fds=N, scratch=SIZE" --limit frob=1 /x
wrong "a_limit_has_bounds" 2 "fds is from 3 to 1024" --limit scratch=1M,fds=2 /x
wrong "a_limit_is_a_number" 2 "not a size" --limit depth=x /x
wrong "bad_path_kind_is_usage" 2 "bytes or utf8" --guest-paths latin1 /x
wrong "a_file_mapping_takes_no_options" 2 "takes no OPTS, it is rw,unlink" --file-mapping in/file:/x:ro /x
wrong "a_file_mapping_has_a_guest_path" 2 "not HOST:GUEST" --file-mapping in/file:x /x
says "a_colon_in_a_file_mapping_is_no_option" 0 \
	"stat \"/x:y\": \"$dir/in/file\", file, rw, mount \"in/file\" at \"/x:y\": ok" --file-mapping 'in/file:/x\:y' -o stat /x:y
wrong "a_mapping_is_utf8_if_asked" 2 "is not UTF-8, as --guest-paths" --mount in:$'/\xff' --guest-paths utf8 /x
wrong "a_mapping_is_utf8_if_asked_before" 2 "is not UTF-8, as --guest-paths" --guest-paths utf8 --mount in:$'/\xff' /x
wrong "the_cwd_is_utf8_if_asked" 2 "is not UTF-8, as --guest-paths" --cwd $'/\xff' --guest-paths utf8 /x
wrong "an_option_behind_a_path_is_usage" 2 "-j: options go in front" /x -j
wrong "missing_mapping_is_ours" 125 "no such file or directory; make it" --mount nowhere:/x /x

finish
