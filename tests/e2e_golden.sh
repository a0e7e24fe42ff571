#!/bin/bash
# SPDX-License-Identifier: ISC
# The golden workflow in somebody else's repository: new, check, review, accept, CI, and all that goes wrong.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
BELLJAR=${BELLJAR:-build/rel/belljar} GUESTS=${GUESTS:-build/rel/kernels}
BELLJAR=$(realpath "$BELLJAR") GUESTS=$(realpath "$GUESTS")
dir=$(mktemp -d)
trap 'chmod -R u+rwx "$dir"; rm -rf "$dir"' EXIT
chmod 755 "$dir"
cd "$dir" || exit 1
unset CI BELLJAR_GOLDEN
mkdir images tmp
export TMPDIR=$dir/tmp

# golden VERB ...: as a user calls it, on one backend so that it is quick; code and out are what came of it.
golden() {
	local verb=$1
	shift
	timeout -k 5 60 "$BELLJAR" golden "$verb" --backend tcg "$@" >out 2>&1 </dev/null
	code=$?
}

# expect NAME CODE PATTERN...: the last exit code, and each pattern in what was said.
expect() {
	local name=$1 want=$2 why=
	shift 2
	[ "$code" = "$want" ] || why="exit $code, not $want"
	for pattern in "$@"; do
		grep -qE -- "$pattern" out || why="$why; nothing said like '$pattern'"
	done
	[ -z "$why" ]
	result "$name" $? "$why: $(head -n 12 out)"
}

# Everything beneath a directory, with contents.
listing() { (cd "$1" && find . -printf '%p %y %m %s %l\n' && find . -type f -exec sha256sum {} +) | sort; }

# use GUEST: the image that `app` is now.
use() { cp "$GUESTS/$1.elf" images/app.elf; }

# ---- a first golden ----

golden check
expect check_without_a_directory 125 'golden: No such file'
use hello
golden new app images/app.elf
expect new_says_what_it_wrote 0 '^golden/app.bjt: 2 calls$'
[ "$(wc -l <out)" = 1 ] && grep -q '^  > Hello, world!\\n$' golden/app.bjt && [ ! -e golden/app.d ]
result new_is_quiet_and_writes_text $? "$(cat out)"
golden new app images/app.elf
expect new_overwrites_nothing 125 'is there already' 'accept app'
golden new 'a/b' images/app.elf
expect new_wants_a_plain_name 2 'letters, digits'
golden new app2
expect new_wants_a_guest 2 'no guest given'
golden new app2 images/none.elf
expect new_wants_an_image 125 'images/none.elf'
golden new app2 --mount "$dir/none:/x" images/app.elf
expect new_wants_what_it_maps 125 'none'
golden new --frob app2 images/app.elf
expect new_knows_its_options 2 'frob: no such option'
golden check --guests images
expect check_is_green 0 '^ok   app host$' '^ok   app guest@tcg$' '^2 passed, 0 failed$'
golden check
expect without_images_the_host_side_alone 0 '^1 passed, 0 failed$' '^note: host side only'
golden check -q --guests images
[ "$(cat out)" = '2 passed, 0 failed' ]
result quiet_says_only_the_count $? "$(cat out)"
golden check app -j 1 --guests images
expect options_may_follow_names 0 '^2 passed'
golden check none
expect unknown_names_are_usage 2 'none: no such golden'
golden check -j 0
expect no_jobs_is_usage 2 'from 1 to'
golden frobnicate
expect unknown_verbs_are_usage 2 'frobnicate: no such verb'
BELLJAR_GOLDEN=perhaps golden check
expect unknown_policies_are_usage 2 'BELLJAR_GOLDEN=perhaps' 'no, new, always, unseen'

# ---- the guest changes ----

use args
before=$(listing golden)
CI=1 golden check --guests images
expect ci_fails 3 '^ok   app host$' '^FAIL app guest@tcg' '^     .*DIVERGENCE' '^1 passed, 1 failed$'
[ "$before" = "$(listing golden)" ]
result ci_writes_nothing $? "$(listing golden)"
CI=1 timeout 60 "$BELLJAR" golden check --guests images --junit junit.xml >out 2>&1 </dev/null
code=$?
if grep -q 'app guest@kvm' out; then
	expect equal_reports_are_printed_once 3 '^FAIL app guest@tcg: the same as guest@kvm$' '^1 passed, 2 failed$'
	[ "$(grep -c DIVERGENCE out)" = 1 ] && [ "$(grep -c DIVERGENCE junit.xml)" = 2 ]
	result junit_has_both $? "$(cat out)"
else
	skip equal_reports_are_printed_once 'no KVM here'
fi
for verb in accept new; do
	CI=1 golden $verb --guests images other images/app.elf
	[ $code != 0 ] && [ "$before" = "$(listing golden)" ]
	result "ci_${verb}s_nothing" $? "$(cat out)"
done
CI=1 BELLJAR_GOLDEN=always golden check --guests images
[ $code = 3 ] && [ "$before" = "$(listing golden)" ]
result ci_writes_nothing_whatever_is_asked $? "$(cat out)"
for ci in 1 true yes '' 0 false; do
	CI=$ci golden check --guests images
	[ -e golden/app.bjt.new ]
	written=$?
	rm -f golden/app.bjt.new
	case $ci in
	'' | 0 | false) [ $written = 0 ] ;;
	*) [ $written = 1 ] ;;
	esac
	result "CI='$ci'_is_understood" $? "$(cat out)"
done
BELLJAR_GOLDEN=no golden check --guests images
[ $code = 3 ] && [ "$before" = "$(listing golden)" ]
result policy_no_writes_nothing $? "$(cat out)"
golden check
expect without_images_a_changed_guest_is_not_seen 0 '^1 passed'
golden check --guests images
expect a_changed_guest_fails 3 '^FAIL app guest@tcg' 'app.bjt.new' 'golden review'
[ -f golden/app.bjt.new ] && ! grep -q Hello golden/app.bjt.new
result what_it_does_now_is_beside $? "$(ls golden)"
CI=1 golden check --guests images
expect a_leftover_new_fails_in_ci 3 'app.bjt.new: waits'
golden review
expect review_shows_a_diff 3 '^--- app.bjt$' '^\+\+\+ app.bjt.new$' '^-  > Hello, world' '^@@ '
golden accept app
expect accept_wants_the_image 125 '--guests DIR'
golden accept --guests tmp app
expect accept_wants_that_very_image 125 'app.elf: no such image'
use hello
golden accept --guests images
expect accept_takes_only_what_the_guest_does 3 'no longer what the guest does'
use args
golden accept --guests images
expect accept_takes_what_waits 0 '^app: accepted$'
golden check --guests images
expect and_then_it_is_green 0 '^2 passed, 0 failed$'
[ ! -e golden/app.bjt.new ]
result nothing_waits_any_more $? "$(ls golden)"
golden accept --guests images
expect nothing_is_left_to_accept 0 'nothing to accept'
golden review
expect nothing_is_left_to_review 0 'nothing to review'
use hello
golden accept --guests images app
expect accept_by_name_records_again 0 '^app: accepted$'
golden check --guests images
expect and_that_is_green_too 0 '^2 passed'

use args
BELLJAR_GOLDEN=always golden check --guests images
expect policy_always_replaces 3 'app: accepted'
golden check --guests images
expect policy_always_converges 0 '^2 passed'
use hello
golden check --guests images
use args
golden check --guests images
expect an_overtaken_proposal_goes 0 'app.bjt.new: removed' '^2 passed'
BELLJAR_GOLDEN=new golden new later images/app.elf
[ $code = 0 ] && [ -f golden/later.bjt.new ] && [ ! -e golden/later.bjt ]
result policy_new_keeps_even_a_first_one_beside $? "$(cat out)"
golden check --guests images
expect what_was_never_accepted_fails 3 'later.bjt.new: waits.*no golden yet'
sed -i 's/app\.elf/hello.elf/' golden/later.bjt.new
golden accept later --guests images
expect a_golden_names_its_image 125 'hello.elf: no such image'
rm -f golden/later*

# ---- review asks on a terminal ----

ask() { # ANSWER
	timeout -k 5 60 script -qec "'$BELLJAR' golden review --backend tcg --guests images" /dev/null >out 2>&1 <<<"$1"
	code=$?
}
if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
	use hello
	golden check --guests images
	ask s
	[ -f golden/app.bjt.new ] && grep -q $'\033\\[3[12]m' out
	result review_skips_and_colours $? "$(cat out)"
	ask x
	[ -f golden/app.bjt.new ] && [ "$(grep -o 'a/r/s' out | wc -l)" -ge 2 ] && grep -q 'r  reject: remove' out
	result review_asks_again $? "$(cat out)"
	ask a
	[ ! -e golden/app.bjt.new ] && grep -q 'app: accepted' out
	result review_accepts $? "$(cat out)"
	use args
	golden check --guests images
	ask r
	[ ! -e golden/app.bjt.new ] && grep -q 'app: rejected' out && grep -q 'Hello' golden/app.bjt
	result review_rejects $? "$(cat out)"
else
	skip review_asks 'script(1) gets no terminal here'
fi
rm -rf golden

# ---- new leaves nothing behind ----

golden new app2 images/none.elf
[ $code = 125 ] && [ ! -e golden ]
result a_new_that_fails_makes_no_directory $? "$(ls -d golden)"
mkdir -p kept/within && echo x >kept/within/f
cp "$GUESTS/count.elf" images
"$BELLJAR" golden new endless --backend tcg --mount kept:/in images/count.elf 100000000000000 >out 2>&1 &
pid=$!
for _ in $(seq 100); do
	sleep 0.05
	[ -e golden/.new-$pid-endless.d ] && child=$(ps -o pid= --ppid $pid | head -n 1) && [ -n "$child" ] && break
done
use hello
golden new app images/app.elf
[ -e golden/.new-$pid-endless.d ]
result one_that_is_being_made_is_left_alone $? "$(ls -A golden)"
kill -KILL $pid
wait $pid 2>/dev/null
for c in $child; do kill -KILL -- "-$c" 2>/dev/null; done
[ ! -e golden/endless.d ] && [ -e golden/.new-$pid-endless.d ]
result a_killed_new_is_under_no_goldens_name $? "$(ls -A golden)"
golden check
expect and_fails_no_check 0 '^1 passed, 0 failed$'
[ "$(ls -A golden)" = app.bjt ] && [ -e kept/within/f ]
result and_is_swept_away $? "$(ls -A golden)"
rm -rf golden kept tmp/*

# ---- files ----

mkdir -p src/in src/out
printf 'some text\n' >src/in/input.txt
ln -s input.txt src/in/link
cp "$GUESTS/files.elf" "$GUESTS/files-v1.elf" "$GUESTS/paths.elf" images
golden new files --mount src/in:/in --mount src/out:/out:rw images/files.elf
ln src/in/input.txt src/in/zz
golden new linked --mount src/in:/in images/paths.elf -- open:/in/zz
grep -q "src/in/zz: another name of .*src/in/input.txt, which git does not keep" out &&
	[ "$(stat -c %h golden/linked.d/in/zz)" = 1 ] && cmp -s src/in/input.txt golden/linked.d/in/zz
result a_hard_link_becomes_a_file_of_its_own $? "$(cat out)"
rm -rf golden/linked.* src/in/zz
golden new twice --mount src/in:/in --mount src/in:/other/in/ images/paths.elf -- open:/other/in/link stat:/in
[ "$(find golden -type f -o -type l | sort | xargs)" = "golden/files.bjt golden/files.d/in/input.txt golden/files.d/in/link \
golden/twice.bjt golden/twice.d/in-2/input.txt golden/twice.d/in-2/link golden/twice.d/in/input.txt golden/twice.d/in/link" ]
result mapped_trees_are_copied $? "$(find golden)"
grep -q '^mount "in-2" "/other/in/" ro$' golden/twice.bjt || grep -q '^mount "in-2" "/other/in" ro$' golden/twice.bjt
result mounts_have_names_of_their_own $? "$(grep mount golden/twice.bjt)"
rm -rf src
golden check --guests images
expect the_originals_are_not_needed 0 '^4 passed, 0 failed$'
before=$(listing golden)
printf 'other text\n' >golden/files.d/in/input.txt
golden check --guests images
expect a_changed_input_fails_on_the_host_side 3 '^FAIL files host' 'other text|MISMATCH' '^ok   files guest@tcg'
grep -q 'OTHER TEXT' golden/files.bjt.new
result and_the_guest_is_shown_with_it $? "$(cat golden/files.bjt.new)"
golden review
expect the_review_shows_what_came_of_it 3 '^-  < some text' '^\+  < other text' '^\+  > OTHER TEXT'
golden accept --guests images
golden check --guests images
expect accepted_with_its_input 0 '^4 passed'
printf 'some text\n' >golden/files.d/in/input.txt
golden accept files --guests images
[ "$before" = "$(listing golden)" ]
result and_back_to_the_byte $? "$(listing golden | diff - <(echo "$before"))"
chmod -R go-rwx golden
golden check --guests images
expect the_checkouts_modes_do_not_matter 0 '^4 passed'
mkdir -p src/empty/within src/full
echo x >src/full/f
golden new readdir --mount src:/ --mount src/empty:/other:rw images/paths.elf -- readdir:/ readdir:/other
[ $code = 0 ] && grep -q 'src/empty: an empty directory' out && ! grep -q '"empty"' golden/readdir.bjt && [ ! -e golden/readdir.d/other ] &&
	grep -q '"full"' golden/readdir.bjt
result nothing_depends_on_what_git_does_not_keep $? "$(cat out golden/readdir.bjt; find golden/readdir.d)"
rm -rf golden/readdir* src
mkfifo fifo
golden new fifo --mount "$dir:/x" images/files.elf
expect what_git_cannot_keep_is_refused 125 'fifo.*files, directories and links'
[ ! -e golden/fifo.d ] && [ ! -e golden/fifo.bjt ] && [ ! -e golden/fifo.bjt.new ]
result and_nothing_of_it_stays $? "$(ls golden)"

# Data over 4 KiB lies beside the text.
mkdir -p src
seq 2000 >src/input.txt
golden new big --mount src/input.txt:/in/input.txt images/files.elf -- /in/input.txt /tmp/x
[ "$(find golden/blobs -type f | wc -l)" = 2 ]
result much_data_lies_in_blobs $? "$(cat out; ls golden/blobs)"
golden check big --guests images
expect blobs_are_compared 0 '^2 passed'
blob=$(find golden/blobs -type f | head -n 1)
mv "$blob" kept
golden check big --guests images
expect a_missing_blob_is_said 125 'FAIL big host' 'big.bjt:[0-9]+: .*golden/blobs/'
mv kept "$blob"
printf '1\n' >golden/big.d/input.txt
golden accept big --guests images
[ ! -e golden/blobs ]
result accept_removes_what_nobody_mentions $? "$(cat out; ls golden/blobs 2>&1)"
rm -rf golden/big*

# ---- what belongs to no golden ----

CI=1 golden check
expect nothing_is_stray_yet 0 '^2 passed, 0 failed$'
mkdir golden/lost.d golden/blobs
hash=$(printf x | sha256sum | cut -d ' ' -f 1)
touch "golden/blobs/$hash" "golden/odd name.bjt" golden/README golden/files.bjt.new
ln -s files.bjt golden/link.bjt
touch golden/blobs/abc
CI=1 golden check --junit junit.xml
expect strays_fail 3 'FAIL lost.d/: there is no lost.bjt' "FAIL blobs/$hash" 'FAIL odd name.bjt: a golden' \
	'FAIL files.bjt.new: waits' 'FAIL link.bjt: not a file' 'FAIL blobs/abc: its name is no SHA-256' '^2 passed, 6 failed$'
grep -q 'name="link.bjt" ' junit.xml && grep -q 'message="not a file">not a file<' junit.xml && grep -q 'name="lost.d/"' junit.xml
result junit_has_the_file_and_the_reason $? "$(cat junit.xml)"
golden check files
expect strays_are_not_what_was_asked_for 0 '^1 passed, 0 failed$'
rm -rf golden/lost.d golden/blobs golden/odd* golden/link.bjt golden/files.bjt.new golden/README

# ---- machines read it ----

echo 'bjt 99' >'golden/a<b>&.bjt'
cp golden/files.bjt golden/broken.bjt
sed -i 's/^close 3 -> 0/close 3 -> 1/' golden/broken.bjt
cp -r golden/files.d golden/broken.d
CI=1 golden check --guests images --junit junit.xml
expect junit_leaves_the_rest_as_it_was 3 '^FAIL broken host'
python3 - junit.xml <<'PY' 2>why
import sys, xml.etree.ElementTree as xml
suite = xml.parse(sys.argv[1]).getroot().find("testsuite")
cases = suite.findall("testcase")
failed = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
assert len(cases) == int(suite.get("tests")) == 7, len(cases)
assert len(failed) == int(suite.get("failures")) + int(suite.get("errors")), len(failed)
assert any("a<b>&.bjt" in c.get("name") for c in failed), [c.get("name") for c in failed]
assert any(c.get("classname") == "broken" and "close" in c.find("failure").text for c in failed if c.find("failure") is not None)
PY
if [ $? = 127 ]; then
	skip junit_is_xml 'no python3 here'
else
	[ ! -s why ]
	result junit_is_xml $? "$(cat why)"
fi
CI=1 golden check --junit none/junit.xml files
expect junit_that_cannot_be_written_is_said 125 'none/junit.xml: No such file' '^1 passed'
rm -rf golden/a* golden/broken*

# ---- hostile goldens: a line of why each, and nothing of the host is touched ----

echo secret >secret
cp -r golden/files.d golden/bad.d
hostile() { # NAME PATTERN: the text on standard input
	cat >golden/bad.bjt
	CI=1 golden check bad --guests images
	[ $code = 125 ] && grep -qE "$2" out && [ "$(cat secret)" = secret ] && [ "$(wc -l <out)" -le 12 ]
	result "hostile_$1" $? "exit $code: $(head -n 12 out)"
}
hostile nothing 'bad.bjt' </dev/null
hostile noise 'bad.bjt' < <(head -c 3000 /dev/zero | tr '\0' '\377')
hostile another_version 'bad.bjt.*(version|99)' <<<'bjt 99'
hostile cut_short 'bad.bjt' < <(head -n -1 golden/files.bjt)
hostile merged 'bad.bjt' < <(cat golden/files.bjt golden/files.bjt)
sed '/^close/,$d' golden/files.bjt >golden/bad.bjt
echo cut >>golden/bad.bjt
CI=1 golden check bad --guests images
expect a_golden_that_was_cut_fails 3 '^FAIL bad host' '^FAIL bad guest@tcg' 'bad.bjt: ends in .cut.:.*.end.' '^0 passed, 2 failed$'
hostile guest_elsewhere 'no name of a guest' < <(sed 's/^guest "files.elf"/guest "..\/images\/files.elf"/' golden/files.bjt)
hostile mount_elsewhere 'leaves|relative' < <(sed 's/^mount "out"/mount "..\/..\/.."/' golden/files.bjt)
hostile mount_absolute 'leaves|relative' < <(sed 's/^mount "out"/mount "\/etc"/' golden/files.bjt)
mkdir -p golden/bad.d
ln -s ../.. golden/bad.d/out
hostile mount_through_a_link 'bad.d/out' < <(cat golden/files.bjt)
hostile much_memory 'bad' < <(sed 's/mem=[0-9]*/mem=18446744073709551615/' golden/files.bjt)
rm -rf golden/bad*

# What a link in golden/ leads to is not ours to read, still less to remove.
mkdir -p elsewhere/in
echo secret >elsewhere/in/input.txt
echo precious >"elsewhere/$hash"
cp golden/files.bjt golden/bad.bjt
ln -s ../elsewhere golden/bad.d
CI=1 golden check --guests images
expect a_tree_is_no_link 125 'FAIL bad.d: not a directory' 'bad.d: not a directory$'
! grep -q secret out
result and_is_not_followed $? "$(cat out)"
golden accept bad --guests images
expect nor_when_it_is_recorded 125 'bad.d: not a directory'
rm golden/bad*
ln -s ../elsewhere golden/blobs
CI=1 golden check
expect nor_are_blobs 3 'FAIL blobs: golden/blobs: Not a directory'
golden accept files --guests images
[ "$(cat "elsewhere/$hash")" = precious ] && [ "$(cat elsewhere/in/input.txt)" = secret ]
result and_nothing_is_removed_through_it $? "$(cat out)"
rm golden/blobs

# ---- guests and jobs that do not end, or end badly ----

cp "$GUESTS/count.elf" "$GUESTS/console.elf" "$GUESTS/hypercalls.elf" images
golden new count images/count.elf -- 1000
sed -i 's/^argv "1000"/argv "100000000000000"/' golden/count.bjt
CI=1 golden check count --guests images --timeout 0.5
expect a_guest_that_does_not_end_has_changed 3 '^FAIL count guest@tcg' 'still running after 0.5'
golden check count --guests images --timeout 0.5
expect outside_ci_too 3 '^     count: not recorded' '^1 passed, 1 failed$'
[ "$(grep -c '^FAIL' out)" = 1 ]
result what_is_said_to_fail_is_counted $? "$(cat out)"
[ -z "$(ls tmp)" ]
result a_time_limit_leaves_nothing $? "$(ls tmp)"
golden new endless --timeout 0.3 images/count.elf -- 100000000000000
expect nor_is_it_recorded 125 'still running'
[ ! -e golden/endless.bjt ] && [ ! -e golden/endless.bjt.new ]
result and_leaves_nothing $? "$(ls golden)"
# shellcheck disable=SC2009 # children of one process
child_of() { ps -o pid= --ppid "$1" | head -n 1; }
(CI=1 exec "$BELLJAR" golden check --backend tcg --guests images -j 2 count) >out 2>&1 &
pid=$!
for _ in $(seq 100); do
	sleep 0.05
	grep -q '^ok   count host' out && child=$(child_of $pid) && [ -n "$child" ] && break
done
kill -KILL "${child:-$pid}"
wait $pid
code=$?
expect a_killed_child_is_ours_not_the_guests 125 '^FAIL count guest@tcg: ended by signal 9' '^1 passed, 1 failed$'
for signal in INT TERM HUP QUIT ALRM USR1; do
	CI=1 timeout --foreground --preserve-status -k 20 -s $signal 0.4 \
		"$BELLJAR" golden check --backend tcg --guests images count >out 2>&1
	code=$?
	[ $code -gt 128 ] && [ "$(kill -l $code)" = $signal ] && [ -z "$(ls tmp)" ]
	result "SIG${signal}_ends_it_and_leaves_nothing" $? "code $code; $(ls tmp)"
done
rm -f golden/count.bjt

# A console that says something else each time it is read.
golden new flaky --stdin /proc/sys/kernel/random/uuid images/console.elf
expect a_flaky_guest_is_refused 3 'FAIL flaky: not recorded' 'a second run differs' '^     -.*[0-9a-f]' '^     \+'
[ -z "$(find golden -name 'flaky*')" ]
result and_not_kept $? "$(ls golden)"
printf 'typed\n' >typed
golden new console --stdin typed images/console.elf
rm typed
golden accept console --guests images
golden check console --guests images
expect console_input_is_in_the_golden 0 '^2 passed'
grep -q 'typed\|yped' golden/console.bjt
result and_is_typed_again $? "$(cat golden/console.bjt)"

golden new silent images/console.elf
golden accept silent --guests images
expect a_console_that_says_nothing 0 'silent: accepted'

# ---- what a review sees ----

golden new many images/hypercalls.elf -- 200
cp golden/many.bjt many.was
sed -i '0,/^close/s//close -1 -> -EBADF\n&/' golden/many.bjt
golden check many --guests images
expect a_call_less_is_found 3 '^FAIL many guest@tcg' 'MISSING'
[ "$(diff golden/many.bjt golden/many.bjt.new | grep -c '^[<>]')" = 1 ] && cmp -s many.was golden/many.bjt.new
result one_call_is_one_line $? "$(diff golden/many.bjt golden/many.bjt.new)"
golden review many
[ "$(grep -c '^[-+][^-+]' out)" = 1 ]
result and_the_review_shows_one_line $? "$(cat out)"
sed -i '0,/^close -1 -> -EBADF$/s//close -1 -> ~-EIO/' many.was
rm golden/many.bjt.new
cp many.was golden/many.bjt
golden check many
expect a_masked_result_may_differ 0 '^1 passed'
golden accept many --guests images
grep -q '^close -1 -> ~-EBADF$' golden/many.bjt && [ "$(grep -c '~' golden/many.bjt)" = 1 ]
result masks_outlive_an_accept $? "$(head -n 9 golden/many.bjt)"

# ---- a directory that cannot be written ----

user=()
[ "$(id -u)" = 0 ] && user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
chmod -R a+rX images golden
chmod 1777 tmp
chmod a-w golden
printf 'read only\n' >golden/files.d/in/input.txt
"${user[@]}" "$BELLJAR" golden check --backend tcg --guests images files >out 2>&1
code=$?
expect a_directory_that_cannot_be_written_is_said 125 '^FAIL files host' 'files.bjt.new: Permission denied' '^1 passed, 1 failed$'
CI=1 "${user[@]}" "$BELLJAR" golden check --backend tcg --guests images files >out 2>&1
code=$?
expect in_ci_it_need_not_be_written 3 '^FAIL files host' '^1 passed, 1 failed$'
chmod u+w golden
[ -z "$(ls tmp)" ]
result no_temporary_file_stays $? "$(ls tmp)"

finish
