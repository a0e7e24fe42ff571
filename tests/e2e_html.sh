#!/bin/bash
# SPDX-License-Identifier: ISC
# The page of `belljar trace html` in a real browser, headless Chromium: what it shows, what it finds, and
# what it does not do whatever is in the trace.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
BELLJAR=$(realpath "${BELLJAR:-build/rel/belljar}") GUESTS=$(realpath "${GUESTS:-build/rel/kernels}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

# browse PAGE [FRAGMENT]: the document as it is when its script has done its work, into dom; messages to console.
browse() {
	HOME=$dir timeout -k 5 60 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
		--disable-background-networking --disable-extensions --user-data-dir="$dir/profile" --window-size=1400,900 \
		--virtual-time-budget=3000 --enable-logging=stderr --dump-dom "file://$dir/$1${2:+#$2}" >dom 2>log </dev/null
	grep CONSOLE log >console
	grep -q 'data-ready="1"' dom
}
has() { # NAME PATTERN
	grep -qE -- "$2" dom
	result "$1" $? "$(head -c 300 dom)"
}
shown() {
	grep -oE 'data-shown="[0-9]+"' dom | tr -dc 0-9
}
text_of() { # TAG: the texts of these elements, a line each
	grep -oE "<$1[ >][^<]*" dom | sed 's/^[^>]*>//'
}

mkdir from to
printf 'hello\n' >from/input.txt
printf '\000\001\377raw' >from/bytes
"$BELLJAR" record --backend tcg -o a.pcapng --mount from:/in --mount to:/out:rw "$GUESTS/paths.elf" open:/in/input.txt \
	open:/in/bytes create:/out/x stat:/in lstat:/in/none readdir:/in open:/nope >out 2>err
"$BELLJAR" trace html a.pcapng -o a.html 2>err
result "the_page_is_written" $? "$(cat err)"
calls=$("$BELLJAR" trace grep -c a.pcapng 'n>=0')

grep -vE '^<(!--|meta http-equiv)' a.html | sed '/<script type="application\/json"/,/<\/script>/d' >code
! grep -nE 'https?:|src=|href=|url\(|@import|fetch\(|XMLHttp|WebSocket|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(' code >why
result "the_page_loads_nothing_and_inserts_text_only" $? "$(head -n 3 why)"

if ! command -v chromium >/dev/null; then
	skip "the_page_in_a_browser" "chromium is not installed"
	finish
	exit
fi
printf '<!doctype html><html data-ready="1">' >probe.html
if ! browse probe.html; then
	skip "the_page_in_a_browser" "chromium does not start: $(grep -m 1 ERROR log)"
	finish
	exit
fi

browse a.html
result "the_page_is_ready" $? "$(cat console)"
[ ! -s console ] && ! grep -q 'data-error' dom
result "no_complaints_on_the_console" $? "$(cat console)"
[ "$(shown)" = "$calls" ] && [ "$(grep -o 'class="row' dom | wc -l)" -ge 20 ]
result "all_calls_are_listed" $? "$(shown) of $calls"
"$BELLJAR" trace stat a.pcapng | sed '1,2d' | awk '/^---/ { exit } { print $NF, $4 }' | sort >want
grep -oE 'data-call="[^"]*" data-calls="[0-9]+"' dom | sed -E 's/data-call="([^"]*)" data-calls="([0-9]+)"/\1 \2/' | sort >got
cmp -s want got
result "the_table_is_that_of_stat" $? "$(diff want got | head -n 5)"
has "it_says_how_the_guest_ended" '>exited with 0<'
has "it_says_what_changed" '>1 "x" file mode=0644'
has "errors_are_marked" 'class="row fails"'

# The search and `trace grep` mean the same.
while read -r query; do
	browse a.html "q=$(printf %s "$query" | sed 's/%/%25/g; s/ /%20/g; s/\\/%5C/g; s/</%3C/g; s/>/%3E/g; s/#/%23/g; s/"/%22/g')"
	# shellcheck disable=SC2086 # words
	want=$("$BELLJAR" trace grep -c a.pcapng $query)
	[ "$(shown)" = "$want" ] && [ "$want" != 0 ] && [ ! -s console ]
	result "searching_as_grep_does: $query" $? "$(shown), not $want: $(cat console)"
done <<'EOF'
call=open path~=/in/ ret>=0
ret=-ENOENT dur>1ns
out~=\x01\xffraw
fd=3 len>=4096 n!=2
EOF
browse a.html 'q=nope&n=2'
[ "$(shown)" = 2 ] && grep -q '>call<' dom && grep -q '>read, number 2<' dom && grep -q '<pre class="wrap">hello' dom
result "a_link_selects_a_call" $? "$(shown): $(text_of dd | tail -n 5)"
browse a.html 'q=ret%3Cmany'
has "what_is_no_condition_is_said" 'class="wrong".*|>not a condition<'

# Half a run, and one that was cut.
"$BELLJAR" trace html --limit 5 a.pcapng -o few.html && browse few.html
[ "$(shown)" = 5 ] && grep -q 'only the first 5 calls are listed; the table counts all' dom && grep -q ">$calls calls<" dom
result "the_page_says_what_it_leaves_out" $? "$(shown)"

# Hostile names and data stay text.
nasty="<img src=x onerror=document.title='pwned'>.bjt"
cat >"$nasty" <<'EOF'
bjt 1
guest "<img src=x onerror=document.title='pwned'>" abi=uhyve/2 mem=67108864
argv "</script><script>document.title='pwned'</script>" "\xe2\x80\xa8\xff"
env "X=<svg onload=document.title='pwned'>"
mount "<b>" "/<b>" ro
omit t ip ptr n

open "</script><img src=x onerror=document.title='pwned'>" rdonly mode=0 -> 3
open "\xe2\x80\xa8<!--<script>\xff" rdonly mode=0 -> -ENOENT
write 3 -> ?
  > <script>document.title='pwned'</script>
cut
EOF
"$BELLJAR" trace html "$nasty" -o nasty.html 2>err
browse nasty.html n=0
result "a_hostile_trace_has_a_page" $? "$(cat console)"
[ ! -s console ] && [ "$(text_of title)" = '&lt;img src=x onerror=document.title='"'pwned'"'&gt;.bjt – belljar trace' ] && ! sed '/<script/,/<\/script>/d' dom | grep -qE '<(img|svg|b)[ >]'
result "and_stays_text" $? "$(text_of title); $(cat console)"
has "a_cut_recording_is_marked" 'class="chip bad">recording was cut<'
has "the_unfinished_call_is_marked" 'class="row open"'
[ "$(shown)" = 3 ]
result "the_unfinished_call_is_listed" $? "$(shown)"

# Were something to get in, the browser would not run or load it.
sed 's#</body>#<script>document.title="pwned"</script><img src="http://127.0.0.1:9/x" onerror="document.title=1"></body>#' a.html >inject.html
browse inject.html
[ "$(text_of title)" = 'a.pcapng – belljar trace' ] && [ "$(grep -c 'Content Security Policy' console)" -ge 2 ]
result "the_policy_holds" $? "$(text_of title); $(cat console)"

# What a user does: events from a script, for which the policy is taken out.
cat >drive <<'EOF'
<script>
const got = [], $ = id => document.getElementById(id), page = document.documentElement.dataset;
const check = (name, ok) => got.push((ok ? "ok:" : "FAIL:") + name);
const key = (on, k) => on.dispatchEvent(new KeyboardEvent("keydown", { key: k, bubbles: true, cancelable: true }));
const canvas = $("canvas"), box = canvas.getBoundingClientRect(), whole = $("range").textContent;
const at = (type, x, y) => canvas.dispatchEvent(new PointerEvent(type, { clientX: box.left + x, clientY: box.top + y, bubbles: true }));
const frame = () => new Promise(requestAnimationFrame);
const selected = () => { const row = document.querySelector(".row.sel"); return row ? row.firstChild.textContent : ""; };
(async () => {
	canvas.setPointerCapture = () => {};
	key(document.body, "/");
	check("slash_goes_to_the_search", document.activeElement === $("q"));
	$("q").value = "call=open";
	$("q").dispatchEvent(new Event("input"));
	check("typing_filters", +page.shown > 1 && +page.shown < 10 && location.hash === "#q=call%3Dopen");
	key($("q"), "Escape");
	check("escape_clears", $("q").value === "" && +page.shown > 10);
	key($("list"), "ArrowDown");
	key($("list"), "ArrowDown");
	check("arrows_move", selected() === "1" && $("detail").textContent.includes("number 1"));
	key($("list"), "End");
	check("end_is_the_last", +selected() === page.shown - 1);
	document.querySelector(".row").click();
	check("a_click_selects", selected() === document.querySelector(".row").firstChild.textContent);
	canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: -500, clientX: box.left + 500, clientY: box.top + 40, cancelable: true }));
	await frame(); await frame();
	const near = $("range").textContent;
	check("the_wheel_zooms", near !== whole);
	at("pointerdown", 600, 40); at("pointermove", 500, 40); at("pointerup", 500, 40);
	await frame(); await frame();
	check("dragging_pans", $("range").textContent !== near && $("range").textContent !== whole);
	key(canvas, "0");
	await frame(); await frame();
	check("zero_shows_all", $("range").textContent === whole);
	$("axis-number").click();
	await frame(); await frame();
	check("the_axis_changes", $("axis-number").getAttribute("aria-pressed") === "true");
	// By number: where calls lie in time depends on the machine.
	at("pointermove", 106, 26);
	check("hovering_tells", !$("tip").hidden && $("tip").textContent.startsWith("#0  open("));
	at("pointerdown", 106, 26); at("pointerup", 106, 26);
	check("a_click_in_the_timeline_selects", selected() === "0");
	const names = () => [...document.querySelectorAll("#summary tbody tr")].map(tr => tr.dataset.call).join();
	const before = names();
	document.querySelector("#summary th button").click();
	check("the_table_sorts", names() !== before && names() === names().split(",").sort().join());
	document.querySelector("#summary tbody tr").click();
	check("a_row_filters", $("q").value.startsWith("call="));
	page.got = got.join(" ");
})().catch(e => { page.got = "FAIL:" + e; });
</script>
EOF
# Nobody looks, so no frame would come.
sed -e 's#.*Content-Security-Policy.*#<script>window.requestAnimationFrame = f => setTimeout(f, 0)</script>#' -e '/^<\/body>/{
r drive
d
}' a.html >driven.html
browse driven.html
got=$(grep -oE 'data-got="[^"]*"' dom | sed 's/^data-got="//; s/"$//')
for one in ${got:-FAIL:nothing}; do
	[ "${one%%:*}" = ok ]
	result "${one#*:}" $? "$got"
done
[ "$(wc -w <<<"$got")" = 14 ] && [ ! -s console ]
result "all_was_done" $? "$(cat console)"

# Many calls: the document has rows for those that can be seen.
"$BELLJAR" record --backend tcg -o many.pcapng "$GUESTS/hypercalls.elf" 50100 >out 2>err
"$BELLJAR" trace html many.pcapng -o many.html
browse many.html n=49990
rows=$(grep -o 'class="row' dom | wc -l)
[ "$(shown)" = 50000 ] && [ "$rows" -lt 100 ] && grep -qE '<div class="row [a-z ]*sel" role="option" id="call-49990"' dom
result "fifty_thousand_calls_scroll" $? "$(shown) shown, $rows rows"

finish
