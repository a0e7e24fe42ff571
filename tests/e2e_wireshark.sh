#!/bin/bash
# SPDX-License-Identifier: ISC
# Recordings in Wireshark's own programs: without our dissector every packet is there, with it by name.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
BELLJAR=$(realpath "${BELLJAR:-build/rel/belljar}") GUESTS=$(realpath "${GUESTS:-build/rel/kernels}")
plugin=$(realpath "$(dirname "$0")/../scripts/bjt.lua")
for tool in tshark editcap capinfos; do
	if ! command -v $tool >/dev/null; then
		echo "SKIP wireshark: no $tool here"
		echo "0 passed, 0 failed, 1 skipped"
		exit 0
	fi
done
dir=$(mktemp -d)
recorder=
trap '[ -z "$recorder" ] || kill -9 "$recorder" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
cp "$plugin" bjt.lua
export HOME=$dir XDG_CONFIG_HOME=$dir

# Some builds of tshark run no Lua as root: where root can become somebody else, it does.
shark() { timeout 60 tshark "$@" 2>>stderr; }
if [ "$(id -u)" = 0 ] && setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null; then
	shark() { timeout 60 setpriv --reuid=65534 --regid=65534 --clear-groups tshark "$@" 2>>stderr; }
fi
ours() { shark -X lua_script:bjt.lua "$@"; }
info() { ours "$@" -T fields -e _ws.col.Protocol -e _ws.col.Info | tr '\t' ' '; }
field() { ours -r "$1" -Y "$2" -T fields -e "$3"; }
expect() { # NAME WANTED GOT
	[ "$2" = "$3" ]
	result "$1" $? "wanted: $2
got: $3
$(tail -n 3 stderr)"
}

mkdir -m 755 data
chmod 755 .
printf 'hello\n' >data/f
head -c 100000 "$plugin" >data/large
while [ "$(stat -c %s data/large)" -lt 300000 ]; do head -c 100000 "$plugin" >>data/large; done
ln -s f data/link
"$BELLJAR" record -o run.pcapng --backend tcg --mount data:/data:rw "$GUESTS/paths.elf" \
	open:/data/f create:/data/new open:/none stat:/data/f readdir:/data >out 2>&1
result a_guest_is_recorded $? "$(cat out)"
chmod 644 run.pcapng
calls=$("$BELLJAR" trace export --format jsonl run.pcapng | grep -c '^{"call":')

packets=$(capinfos -c -M run.pcapng | sed -n 's/^Number of packets: *//p')
shark -r run.pcapng >stock.out
result stock_tshark_reads_it_to_its_end $? "$(tail -n 3 stderr)"
expect stock_tshark_counts_every_packet "$packets" "$(wc -l <stock.out)"
expect capinfos_knows_who_wrote_it "belljar" \
	"$(capinfos run.pcapng | sed -n 's/^Capture application: *\([a-z]*\).*/\1/p')"
expect timestamps_are_in_nanoseconds "nanoseconds (9)" \
	"$(capinfos run.pcapng | sed -n 's/^File timestamp precision: *//p')"

info -r run.pcapng >ours.out
expect the_dissector_takes_every_packet "$packets" "$(grep -c '^BJT ' ours.out)"
expect nothing_of_it_is_broken "0 0" \
	"$(ours -r run.pcapng -Y 'bjt.broken || _ws.lua.error' | wc -l) $(field run.pcapng bjt.arg.other frame.number | wc -l)"
for line in 'BJT belljar [0-9.]*: paths.elf open:/data/f .*(uhyve v2)' 'BJT open "/data/f" -> 3' 'BJT read 3 -> 6' \
	'BJT open "/none" -> -ENOENT' 'BJT write 3 -> 16' 'BJT getdents 3 -> .*' 'BJT close 3 -> 0' \
	'BJT contents, 65536 bytes ...' 'BJT before: link "link" to "f"' 'BJT after: file "new"' 'BJT exit 0' 'BJT end: exited 0'; do
	grep -qx "$line" ours.out
	result "shows_${line#BJT }" $? "$(cat ours.out)"
done
expect calls_are_counted_by_a_filter "$calls" "$(field run.pcapng 'bjt.record == "call"' bjt.n | wc -l)"
expect a_filter_finds_the_write "16" "$(field run.pcapng 'bjt.call == "write" && bjt.ret > 0' bjt.ret)"
expect a_filter_finds_the_error "/none -2" \
	"$(ours -r run.pcapng -Y 'bjt.errno == "ENOENT"' -T fields -e bjt.path -e bjt.ret | tr '\t' ' ')"
expect arguments_are_fields "open" \
	"$(field run.pcapng 'bjt.arg.mode == 0666 && bjt.path == "/none"' bjt.call)"
expect data_is_a_field "read" "$(field run.pcapng 'bjt.out == 68:65:6c:6c:6f:0a' bjt.call)"
expect json_has_the_fields '"bjt_bjt_path":"/none"' \
	"$(ours -r run.pcapng -Y 'bjt.ret == -2' -T ek | grep -o '"bjt_bjt_path":"/none"')"
expect json_is_whole "$packets" "$(ours -r run.pcapng -T json | grep -c '^ *"bjt": {')"

# The first packet names the calls: with it, names survive a cut.
editcap -r run.pcapng cut.pcapng 1 10-12 2>>stderr && chmod 644 cut.pcapng
expect editcap_cuts 4 "$(shark -r cut.pcapng | wc -l)"
expect names_survive_a_cut 4 "$(info -r cut.pcapng | grep -c '^BJT ')"
editcap -a '5:look here' run.pcapng note.pcapng 2>>stderr && chmod 644 note.pcapng
expect editcap_annotates "look here" "$(ours -r note.pcapng -Y frame.number==5 -T fields -e frame.comment)"
expect belljar_reads_what_editcap_wrote "$("$BELLJAR" trace show run.pcapng | md5sum)" \
	"$("$BELLJAR" trace show note.pcapng 2>&1 | md5sum)"
editcap -r run.pcapng headless.pcapng 5-9 2>>stderr && chmod 644 headless.pcapng
expect a_capture_without_header_is_not_ours "5 0" \
	"$(info -r headless.pcapng | wc -l) $(info -r headless.pcapng | grep -c BJT)"

"$BELLJAR" record -o many.pcapng --backend tcg "$GUESTS/hypercalls.elf" 20000 >out 2>&1
chmod 644 many.pcapng
expect twenty_thousand_calls_go_by 20000 "$(info -r many.pcapng | grep -c '^BJT close')"

# A recorder killed in a call: the file opens as it is; recovered, it shows the call in flight.
mkfifo silence
exec 9<>silence
"$BELLJAR" record -o killed.pcapng --backend tcg "$GUESTS/console.elf" <silence >out 2>&1 &
recorder=$!
for _ in $(seq 100); do
	"$BELLJAR" trace show killed.pcapng 2>/dev/null | grep -q serial_read_byte && break
	sleep 0.1
done
{ kill -9 $recorder && wait $recorder; } 2>/dev/null
recorder=
chmod 644 killed.pcapng
shark -r killed.pcapng >killed.out
result a_killed_recording_opens $? "$(tail -n 3 stderr)"
"$BELLJAR" trace recover killed.pcapng >out 2>&1
result it_is_recovered $? "$(cat out)"
expect the_call_in_flight_is_shown "BJT serial_read_byte (in flight)" "$(info -r killed.pcapng | tail -n 1)"
expect no_finished_call_is_lost 21 "$(field killed.pcapng 'bjt.call == "serial_write_byte" && bjt.ret == 0' bjt.n | wc -l)"

# Any bytes in place of payloads: tshark goes on, and so does the dissector.
for seed in 1 2; do
	editcap -E 0.02 --seed $seed run.pcapng bad.pcapng 2>>stderr && chmod 644 bad.pcapng
	expect "damage_${seed}_is_survived" "$packets 0" \
		"$(info -r bad.pcapng | wc -l) $(ours -r bad.pcapng -V | grep -ci 'lua error')"
done
finish
