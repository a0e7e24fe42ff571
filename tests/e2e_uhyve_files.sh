#!/bin/bash
# SPDX-License-Identifier: ISC
# Files as Uhyve's guests know them: what Uhyve's own tests of files ask (upstream, with the name they have
# there), what else it does that we keep, and, where we differ on purpose, what we promise instead and why.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
BELLJAR=${BELLJAR:-build/rel/belljar} GUESTS=${GUESTS:-build/rel/kernels}
BELLJAR=$(realpath "$BELLJAR") GUESTS=$(realpath "$GUESTS")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export TMPDIR=$dir/tmp

# A check begins with a host directory `h` of its own, and ends with its line.
check() { # NAME
	name=$1 why=
	rm -rf h tmp
	mkdir h tmp
}

end() {
	result "$name $abi $backend" "$([ -z "$why" ]; echo $?)" "$why"
}

# Its console and exit code are in $console and $code. Whatever it did, nothing of it stays in $TMPDIR.
guest() { # OPTIONS -- ARGUMENTS OF paths
	local options=() image=$GUESTS/paths.elf
	[ "$abi" = v1 ] && image=$GUESTS/paths-v1.elf
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	console=$(timeout 60 "$BELLJAR" run --backend "$backend" --mem 16M "${options[@]}" "$image" "$@" 2>stderr)
	code=$?
	[ -z "$(ls tmp)" ] || why+="left in scratch: $(ls tmp); "
}

exits() { # CODE
	[ "$code" = "$1" ] || why+="exit $code: $(head -n 2 stderr); "
}

prints() { # LINE...
	[ "$console" = "$(printf '%s\n' "$@")" ] || why+=$(diff <(printf '%s\n' "$@") - <<<"$console")
}

# The same of a guest that ended well.
says() { # LINE...
	exits 0
	prints "$@"
}

holds() { # FILE TEXT
	[ "$(cat "$1" 2>&1)" = "$2" ] || why+="$1 holds $(head -c 100 "$1" 2>&1); "
}

gone() { # FILE
	[ ! -e "$1" ] && [ ! -L "$1" ] || why+="$1 is there; "
}

asked() { # CALL TIMES: in the log that --strace=calls wrote
	local n
	n=$(grep -c "^$1(" calls)
	[ "$n" = "$2" ] || why+="$1 was called $n times; "
}

hello='write,3:Hello, world!'
wrote='write 3 "Hello, world!" = 13'

upstream_files() {
	check creates_reads_and_removes_in_a_mapped_directory # create_mapped_parent_nonpresent_file
	guest --file-mapping h:/mount -- hold,wronly+creat+trunc:/mount/f "$hello" close,3: open:/mount/f unlink:/mount/f
	says 'hold "/mount/f" = 3' "$wrote" 'close 3 "" = 0' 'open "/mount/f" = 3' '  "Hello, world!"' 'unlink "/mount/f" = 0'
	gone h/f
	end

	check a_mapped_file_that_is_missing_is_made_on_the_host # create_write_mapped_nonpresent_file
	guest --file-mapping h/f:/mount/g -- hold,wronly+creat+trunc:/mount/g "$hello" close,3: open:/mount/g
	says 'hold "/mount/g" = 3' "$wrote" 'close 3 "" = 0' 'open "/mount/g" = 3' '  "Hello, world!"'
	holds h/f 'Hello, world!'
	end

	check creates_reads_and_removes_what_is_not_mapped # create_write_unmapped_nonpresent_file
	guest -- hold,wronly+creat+trunc:/root/f "$hello" close,3: open:/root/f unlink:/root/f open:/root/f
	says 'hold "/root/f" = 3' "$wrote" 'close 3 "" = 0' 'open "/root/f" = 3' '  "Hello, world!"' \
		'unlink "/root/f" = 0' 'open "/root/f" = -ENOENT'
	end

	check removes_a_mapped_file_on_the_host # remove_mapped_present_file
	echo text >h/f
	guest --file-mapping h/f:/mount/f -- unlink:/mount/f open:/mount/f
	says 'unlink "/mount/f" = 0' 'open "/mount/f" = -ENOENT'
	gone h/f
	end

	check removes_a_file_of_a_mapped_directory # remove_mapped_parent_present_file
	echo text >h/f
	guest --file-mapping h:/mount -- unlink:/mount/f open:/mount/f
	says 'unlink "/mount/f" = 0' 'open "/mount/f" = -ENOENT'
	gone h/f
	end

	check removing_what_is_nowhere_fails # remove_nonpresent_file_test
	guest -- unlink:/mount/f
	says 'unlink "/mount/f" = -ENOENT'
	end
}

upstream_descriptors() {
	check an_open_file_outlives_its_removal # fd_open_remove_close
	guest --file-mapping h/f:/mount/f -- hold,rdwr+creat+trunc:/mount/f "$hello" unlink:/mount/f seek,3:7 read,3:9 close,3:
	says 'hold "/mount/f" = 3' "$wrote" 'unlink "/mount/f" = 0' 'seek 3 "7" = 7' 'read 3 "9" = 6' '  "world!"' 'close 3 "" = 0'
	gone h/f
	end

	check a_mapped_file_is_removed_once # fd_open_remove_before_and_after_closing_host
	guest --file-mapping h/f:/mount/f -- hold,wronly+creat:/mount/f "$hello" unlink:/mount/f close,3: unlink:/mount/f
	says 'hold "/mount/f" = 3' "$wrote" 'unlink "/mount/f" = 0' 'close 3 "" = 0' 'unlink "/mount/f" = -ENOENT'
	gone h/f
	end

	check an_unmapped_file_is_removed_once # fd_open_remove_before_and_after_closing_guest
	guest -- hold,wronly+creat:/mount/f "$hello" unlink:/mount/f close,3: unlink:/mount/f
	says 'hold "/mount/f" = 3' "$wrote" 'unlink "/mount/f" = 0' 'close 3 "" = 0' 'unlink "/mount/f" = -ENOENT'
	end

	check an_open_file_is_removed_once # fd_remove_twice_before_closing
	guest -- hold,wronly+creat:/mount/f "$hello" unlink:/mount/f unlink:/mount/f close,3:
	says 'hold "/mount/f" = 3' "$wrote" 'unlink "/mount/f" = 0' 'unlink "/mount/f" = -ENOENT' 'close 3 "" = 0'
	end

	# Uhyve panics. Ours is an errno, where the call has room for one.
	check what_is_open_for_reading_is_not_written # open_read_only_write
	printf kept >h/f
	guest --file-mapping h/f:/mount/f -- hold:/mount/f 'write,3:No more.' close,3:
	if [ "$abi" = v1 ]; then
		exits 126
		prints 'hold "/mount/f" = 3'
	else
		says 'hold "/mount/f" = 3' 'write 3 "No more." = -EBADF' 'close 3 "" = 0'
	fi
	holds h/f kept
	end

	check writes_to_1_and_2_are_on_the_console # fd_write_to_fd
	guest -- 'write,1:out\x0a' 'write,2:err\x0a' 'hold,wronly+creat:/root/foo' 'write,3:No! ' 'write,3:Yes!' open:/root/foo
	says out 'write 1 "out\x0a" = 4' err 'write 2 "err\x0a" = 4' 'hold "/root/foo" = 3' 'write 3 "No! " = 4' \
		'write 3 "Yes!" = 4' 'open "/root/foo" = 4' '  "No! Yes!"'
	end

	check a_descriptor_that_was_not_given_is_not_written # fd_write_to_fd, of 42
	guest -- 'write,42:What?'
	if [ "$abi" = v1 ]; then # as above: v1 cannot be told
		exits 126
		grep -q 'EBADF, and this call has no way to tell' stderr || why+=$(head -n 2 stderr)
	else
		says 'write 42 "What?" = -EBADF'
	fi
	end

	check reads_where_it_sought # lseek_test
	guest --file-mapping h/f:/mount/f -- hold,rdwr+creat+trunc:/mount/f write,3:abcdefghijklmnopqrs read,3:10 seek,3:0 \
		read,3:10 seek,3:5 read,3:10 close,3:
	says 'hold "/mount/f" = 3' 'write 3 "abcdefghijklmnopqrs" = 19' 'read 3 "10" = 0' '  ""' 'seek 3 "0" = 0' \
		'read 3 "10" = 10' '  "abcdefghij"' 'seek 3 "5" = 5' 'read 3 "10" = 10' '  "fghijklmno"' 'close 3 "" = 0'
	end
}

upstream_mappings() {
	check many_mappings_at_once # mounts_test
	mkdir h/1 h/2 h/3
	printf 12345 >h/1/a
	printf abcde >h/2/b
	printf a1b2c3 >h/3/c
	guest --file-mapping h/1:/dir1 --file-mapping h/2:/dir2 --file-mapping h/3:/dir3/sub1/sub2/sub3 \
		--file-mapping h/2:/dir4 --file-mapping h/1/a:/other/t.txt -- \
		open:/dir1/a open:/dir2/b open:/dir3/sub1/sub2/sub3/c open:/dir4/b open:/other/t.txt
	says 'open "/dir1/a" = 3' '  "12345"' 'open "/dir2/b" = 3' '  "abcde"' \
		'open "/dir3/sub1/sub2/sub3/c" = 3' '  "a1b2c3"' 'open "/dir4/b" = 3' '  "abcde"' 'open "/other/t.txt" = 3' '  "12345"'
	end

	check a_mapping_by_a_link_is_of_what_it_leads_to # test_uhyvefilemap
	mkdir h/folder
	printf inner >h/folder/file
	ln -s folder/file h/link
	printf readme >h/README
	guest --file-mapping h/README:/readme --file-mapping h/folder:/guest --file-mapping h/none:/file \
		--file-mapping h/link:/linked -- open:readme open:guest/file open:/file create:/file open:linked open:/not_mapped
	says 'open "readme" = 3' '  "readme"' 'open "guest/file" = 3' '  "inner"' 'open "/file" = -ENOENT' \
		'create "/file" = 3' 'open "linked" = 3' '  "inner"' 'open "/not_mapped" = -ENOENT'
	holds h/none 'made by a guest'
	end

	check a_mapped_directory_is_mapped_all_the_way_down # test_uhyvefilemap_directory
	mkdir -p h/folder/second
	printf inner >h/folder/file
	printf deep >h/folder/second/file
	ln -s folder/file h/link
	guest --file-mapping h/folder:/folder --file-mapping h:/root -- open:/folder/second/file open:/root/link
	says 'open "/folder/second/file" = 3' '  "deep"' 'open "/root/link" = 3' '  "inner"'
	guest -- open:/folder/second/file
	says 'open "/folder/second/file" = -ENOENT'
	end
}

# Calls of the second generation alone.
upstream_directories() {
	check makes_a_directory_on_the_host # hypercall_mkdir_test
	guest --strace=calls --file-mapping h:/mount -- mkdir:/mount/new create,excl:/mount/new/0 create,excl:/mount/new/1 create,excl:/mount/new/2
	says 'mkdir "/mount/new" = 0' 'create "/mount/new/0" = 3' 'create "/mount/new/1" = 3' 'create "/mount/new/2" = 3'
	asked mkdir 1
	asked open 3
	for i in 0 1 2; do
		holds h/new/$i 'made by a guest'
	done
	end

	check makes_a_directory_that_is_not_mapped # hypercall_mkdir_unmapped_test
	guest --strace=calls -- mkdir:/root/new create:/root/new/0 create:/root/new/1 create:/root/new/2 readdir:/root/new
	says 'mkdir "/root/new" = 0' 'create "/root/new/0" = 3' 'create "/root/new/1" = 3' 'create "/root/new/2" = 3' \
		'readdir "/root/new" = 5 names' '  "."' '  ".."' '  "0"' '  "1"' '  "2"'
	asked mkdir 1
	asked open 4
	end

	check lists_a_mapped_directory # getdents_test
	echo text >h/a
	guest --file-mapping h:/dir -- readdir:/dir
	says 'readdir "/dir" = 3 names' '  "."' '  ".."' '  "a"'
	end

	check stats_a_mapped_file # hypercall_stat_test
	printf 12345 >h/a
	guest --file-mapping h/a:/file -- stat:/file
	says 'stat "/file" = file, mode 0644, 5 bytes'
	end

	check stats_an_open_file # hypercall_fstat_test
	printf 12345 >h/a
	guest --file-mapping h/a:/dir/file -- hold:/dir/file fstat,3: close,3:
	says 'hold "/dir/file" = 3' 'fstat 3 "" = file, mode 0644, 5 bytes' 'close 3 "" = 0'
	end
}

mapped_files() {
	check file_mapping_is_rw
	printf text >h/f
	guest --file-mapping h/f:/f -- hold,rdwr:/f read,3:4 write,3:more close,3: create,append:/f
	says 'hold "/f" = 3' 'read 3 "4" = 4' '  "text"' 'write 3 "more" = 4' 'close 3 "" = 0' 'create "/f" = 3'
	holds h/f 'textmoremade by a guest'
	end

	# In Uhyve it is a temporary file from then on, and the host's stays away.
	check a_mapped_file_removed_and_made_again_is_the_hosts
	printf text >h/f
	guest --file-mapping h/f:/etc/f -- unlink:/etc/f open:/etc/f create,excl:/etc/f open:/etc/f
	says 'unlink "/etc/f" = 0' 'open "/etc/f" = -ENOENT' 'create "/etc/f" = 3' 'open "/etc/f" = 3' '  "made by a guest\x0a"'
	holds h/f 'made by a guest'
	end

	# Where nobody asked for Uhyve's rights a mapping is a mount point, and those are busy.
	check a_mapped_file_stays_without_unlink
	printf text >h/f
	guest --mount h/f:/f:rw --mount h/f:/g -- unlink:/f unlink:/g open:/f hold,wronly:/g
	says 'unlink "/f" = -EBUSY' 'unlink "/g" = -EBUSY' 'open "/f" = 3' '  "text"' 'hold "/g" = -EROFS'
	holds h/f text
	end

	# Uhyve answers EISDIR, too, but has lost the mapping.
	check a_mapped_directory_is_not_unlinked_nor_lost
	printf text >h/f
	guest --file-mapping h:/m -- unlink:/m open:/m/f
	says 'unlink "/m" = -EISDIR' 'open "/m/f" = 3' '  "text"'
	end

	check what_is_removed_is_the_link_not_its_target
	printf text >h/f
	ln -s f h/link
	guest --file-mapping h:/m -- unlink:/m/link open:/m/f
	says 'unlink "/m/link" = 0' 'open "/m/f" = 3' '  "text"'
	gone h/link
	end

	check names_of_the_host_are_any_bytes
	mkdir h/$'d\xff'
	printf text >h/$'d\xff/f\xfe'
	guest --file-mapping h/$'d\xff/f\xfe':/f --file-mapping h/$'d\xff':/d -- open:/f 'open:/d/f\xfe'
	says 'open "/f" = 3' '  "text"' 'open "/d/f\xfe" = 3' '  "text"'
	end

	check guests_use_utf8_if_asked
	guest --guest-paths utf8 --file-mapping h:/d -- 'open:/d/\xff' 'create:/d/\xff' 'unlink:/d/\xff' 'create:/\xff' \
		'create:/d/\xc3\xa9'
	says 'open "/d/\xff" = -EINVAL' 'create "/d/\xff" = -EINVAL' 'unlink "/d/\xff" = -EINVAL' 'create "/\xff" = -EINVAL' \
		'create "/d/\xc3\xa9" = 3'
	holds h/é 'made by a guest'
	end

	# A tool that sees names as bytes shows every file; the option is for guests that rely on EINVAL.
	check guests_use_any_bytes_otherwise
	guest --file-mapping h:/d -- 'create:/d/\xff' 'open:/d/\xff'
	says 'create "/d/\xff" = 3' 'open "/d/\xff" = 3' '  "made by a guest\x0a"'
	holds h/$'\xff' 'made by a guest'
	end

	# Uhyve panics when one lies within the other.
	check nested_mappings_come_in_any_order
	mkdir h/outer h/inner
	printf outer >h/outer/f
	printf inner >h/inner/f
	for order in "h/outer:/m h/inner:/m/n/o" "h/inner:/m/n/o h/outer:/m"; do
		guest --file-mapping "${order% *}" --file-mapping "${order#* }" -- open:/m/f open:/m/n/o/f unlink:/m/n/o
		says 'open "/m/f" = 3' '  "outer"' 'open "/m/n/o/f" = 3' '  "inner"' 'unlink "/m/n/o" = -EISDIR'
	done
	end
}

unmapped_files() {
	check parents_of_what_is_not_mapped_are_made
	guest --file-mapping h:/m -- create:/a/b/c/d open:/a/b/c/d open:/a/b create:/m/a/b open:a//b/./c/d
	says 'create "/a/b/c/d" = 3' 'open "/a/b/c/d" = 3' '  "made by a guest\x0a"' 'open "/a/b" = 3' '  read = -EISDIR' \
		'create "/m/a/b" = -ENOENT' 'open "a//b/./c/d" = 3' '  "made by a guest\x0a"'
	gone h/a
	end

	check temporary_files_are_gone_with_the_guest
	guest -- create:/t open:/t
	says 'create "/t" = 3' 'open "/t" = 3' '  "made by a guest\x0a"'
	guest -- open:/t
	says 'open "/t" = -ENOENT'
	end

	# Uhyve has --tempdir for it.
	check temporary_files_are_where_TMPDIR_says # test_create_with_dir_path
	TMPDIR=$dir/none guest -- create:/t
	exits 125
	grep -qF "$dir/none: No such file or directory; set TMPDIR" stderr || why+=$(head -n 2 stderr)
	end

	check a_temporary_file_has_no_children
	guest -- create:/t create:/t/u
	says 'create "/t" = 3' 'create "/t/u" = -ENOTDIR'
	end

	check without_creat_there_is_nothing
	guest -- open,rdwr:/t open,wronly+trunc:/t open: open:/.. unlink:/t/u
	says 'open "/t" = -ENOENT' 'open "/t" = -ENOENT' 'open "" = -ENOENT' 'open "/.." = 3' '  read = -EISDIR' \
		'unlink "/t/u" = -ENOENT'
	end

	check directory_and_creat_together_are_refused
	mkdir h/d
	guest --file-mapping h:/m -- hold,creat+directory:/m/new hold,creat+directory:/m/d hold,creat+directory:/new open:/new
	says 'hold "/m/new" = -EINVAL' 'hold "/m/d" = -EINVAL' 'hold "/new" = -EINVAL' 'open "/new" = -ENOENT'
	gone h/new
	end

	# Uhyve drops flags that it does not know; those that would mean something else then are an error.
	check flags_are_taken_or_refused
	printf text >h/f
	guest --file-mapping h:/m -- open,cloexec+nonblock+noctty+largefile+noatime:/m/f open,path:/m/f open,direct:/m/f open,rdwr+tmpfile:/m
	says 'open "/m/f" = 3' '  "text"' 'open "/m/f" = -EINVAL' 'open "/m/f" = -EINVAL' 'open "/m" = -EOPNOTSUPP'
	end
}

descriptors() {
	check descriptors_begin_at_3
	guest -- hold,wronly+creat:/a hold:/a hold:/a close,4: close,4: read,5:1
	says 'hold "/a" = 3' 'hold "/a" = 4' 'hold "/a" = 5' 'close 4 "" = 0' 'close 4 "" = -EBADF' 'read 5 "1" = 0' '  ""'
	end

	# Uhyve's only grow; a guest with POSIX in mind expects the lowest, and the table is of a size.
	check a_closed_descriptors_number_is_given_again
	guest -- hold,wronly+creat:/a hold:/a close,3: hold:/a
	says 'hold "/a" = 3' 'hold "/a" = 4' 'close 3 "" = 0' 'hold "/a" = 3'
	end

	check closing_the_console_changes_nothing
	guest -- close,0: close,1: close,2: 'write,1:still\x0a' hold,wronly+creat:/a
	says 'close 0 "" = 0' 'close 1 "" = 0' 'close 2 "" = 0' still 'write 1 "still\x0a" = 6' 'hold "/a" = 3'
	end

	# Uhyve closes negative ones with success, and panics when they are read.
	check what_is_not_open_is_ebadf
	guest -- close,3: close,-1: close,-2147483648: read,3:1 read,-1:1 close,1024: read,99999:1
	says 'close 3 "" = -EBADF' 'close -1 "" = -EBADF' 'close -2147483648 "" = -EBADF' 'read 3 "1" = -EBADF' \
		'read -1 "1" = -EBADF' 'close 1024 "" = -EBADF' 'read 99999 "1" = -EBADF'
	end

	check seeking_nowhere_is_an_error
	error=-EBADF invalid=-EINVAL
	[ "$abi" = v1 ] && error=-1 invalid=-1
	guest -- seek,3:0 seek,-1:0 hold,rdwr+creat:/a seek,3:-1 seek,3:7 write,3:x seek,3:0 read,3:9
	says "seek 3 \"0\" = $error" "seek -1 \"0\" = $error" 'hold "/a" = 3' "seek 3 \"-1\" = $invalid" 'seek 3 "7" = 7' \
		'write 3 "x" = 1' 'seek 3 "0" = 0' 'read 3 "9" = 8' '  "\x00\x00\x00\x00\x00\x00\x00x"'
	end

	check what_is_open_for_writing_is_not_read
	guest -- hold,wronly+creat:/a read,3:1
	says 'hold "/a" = 3' 'read 3 "1" = -EBADF'
	end
}

# On purpose not as in Uhyve: the guest's tree is what Linux would show, and it has no way out.
differences() {
	# Uhyve follows them on the host, wherever they lead.
	check links_do_not_lead_out
	mkdir h/m h/out
	echo secret >h/out/secret
	ln -s ../out/secret h/m/up
	ln -s "$dir/h/out/secret" h/m/absolute
	ln -s ../out h/m/dir
	guest --file-mapping h/m:/m -- open:/m/up open:/m/absolute open:/m/dir/secret create:/m/dir/new unlink:/m/dir/secret
	says 'open "/m/up" = -ENOENT' 'open "/m/absolute" = -ENOENT' 'open "/m/dir/secret" = -ENOENT' \
		'create "/m/dir/new" = -ENOENT' 'unlink "/m/dir/secret" = -ENOENT'
	holds h/out/secret secret
	gone h/out/new
	end

	# The same links mean something where the guest has what they name.
	check links_lead_around_in_the_guests_tree
	mkdir h/m h/o
	echo secret >h/o/f
	printf guests >h/m/f
	ln -s /other/f h/m/link
	guest --file-mapping h/m:/m --file-mapping h/m:/other -- open:/m/link
	says 'open "/m/link" = 3' '  "guests"'
	end

	# Uhyve drops `x/..` as text, whatever x is; with links in between that names another file.
	check dotdot_is_physical
	mkdir -p h/sub/deep
	printf top >h/f
	printf below >h/sub/f
	ln -s sub/deep h/link
	guest --file-mapping h:/m -- open:/m/link/../f open:/m/missing/../f open:/m/f/../f open:/m/../../m/sub/../f
	says 'open "/m/link/../f" = 3' '  "below"' 'open "/m/missing/../f" = -ENOENT' 'open "/m/f/../f" = -ENOTDIR' \
		'open "/m/../../m/sub/../f" = 3' '  "top"'
	end

	# Uhyve passes ten errors on and makes EPERM of all others; a guest's libc knows them all.
	check errors_are_linuxs
	long=$(printf '%256s' '' | tr ' ' x)
	mkdir h/d
	printf text >h/f
	ln -s loop h/loop
	mkfifo h/fifo
	guest --file-mapping h:/m --file-mapping h/f:/f -- open:/m/f/x open:/f/x open:/m/loop "open:/m/$long" open,nofollow:/m/loop \
		open,wronly:/m/d open,creat:/m/d create,excl:/m/f open:/m/f/ unlink:/m/f/x open:/m/fifo
	says 'open "/m/f/x" = -ENOTDIR' 'open "/f/x" = -ENOTDIR' 'open "/m/loop" = -ELOOP' "open \"/m/$long\" = -ENAMETOOLONG" \
		'open "/m/loop" = -ELOOP' 'open "/m/d" = -EISDIR' 'open "/m/d" = -EISDIR' 'create "/m/f" = -EEXIST' \
		'open "/m/f/" = -ENOTDIR' 'unlink "/m/f/x" = -ENOTDIR' 'open "/m/fifo" = -ENXIO'
	end

	# Uhyve panics at a guest path of `/`; here it is the guest's whole tree.
	check the_root_may_be_mapped
	printf text >h/f
	guest --file-mapping h:/ -- open:/f create:/g
	says 'open "/f" = 3' '  "text"' 'create "/g" = 3'
	holds h/g 'made by a guest'
	end
}

# Calls of the second generation alone.
directories() {
	check utf8_holds_for_every_call
	guest --guest-paths utf8 -- 'stat:/\xff' 'lstat:/\xff' 'mkdir:/\xff' 'readdir:/\xff'
	says 'stat "/\xff" = -EINVAL' 'lstat "/\xff" = -EINVAL' 'mkdir "/\xff" = -EINVAL' 'readdir "/\xff" = -EINVAL'
	end

	# Uhyve leaves . and .. out in those that no host directory is behind; a libc expects them in all.
	check directories_above_mappings_are_listed
	printf text >h/f
	guest --file-mapping h/f:/a/b/file --file-mapping h:/a/dir -- create:/a/z readdir:/a readdir:/a/b readdir:/ stat:/a/b
	says 'create "/a/z" = 3' 'readdir "/a" = 5 names' '  "."' '  ".."' '  "b"' '  "dir"' '  "z"' \
		'readdir "/a/b" = 3 names' '  "."' '  ".."' '  "file"' 'readdir "/" = 3 names' '  "."' '  ".."' '  "a"' \
		'stat "/a/b" = directory, mode 0755'
	end

	check parents_that_were_made_are_directories
	guest -- create:/a/b/c stat:/a readdir:/a mkdir:/x/y/z stat:/x/y
	says 'create "/a/b/c" = 3' 'stat "/a" = directory, mode 0755' 'readdir "/a" = 3 names' '  "."' '  ".."' '  "b"' \
		'mkdir "/x/y/z" = 0' 'stat "/x/y" = directory, mode 0755'
	end

	check stat_follows_and_lstat_does_not
	printf 12345 >h/f
	ln -s f h/link
	guest --file-mapping h:/m -- stat:/m/link lstat:/m/link lstat:/m/f stat:/nowhere
	says 'stat "/m/link" = file, mode 0644, 5 bytes' 'lstat "/m/link" = link, mode 0777, 1 bytes' \
		'lstat "/m/f" = file, mode 0644, 5 bytes' 'stat "/nowhere" = -ENOENT'
	end

	# Uhyve: EINVAL for the first and the third, and EIO for what is none of its ten errors.
	check making_a_directory_fails_as_in_linux
	printf text >h/f
	guest --file-mapping h:/a/m -- mkdir:/a mkdir:/a/m mkdir:/a/m/f/x mkdir:/a/m/x/y mkdir:/ mkdir:
	says 'mkdir "/a" = -EEXIST' 'mkdir "/a/m" = -EEXIST' 'mkdir "/a/m/f/x" = -ENOTDIR' 'mkdir "/a/m/x/y" = -ENOENT' \
		'mkdir "/" = -EEXIST' 'mkdir "" = -ENOENT'
	end

	check directories_are_not_files
	guest --file-mapping h:/m -- hold,directory:/m read,3:1 write,3:x fstat,3: getdents,3: getdents,3: seek,3:0 getdents,3: \
		hold,wronly+creat:/f getdents,4: getdents,42: fstat,42: fstat,-1: getdents,1:
	says 'hold "/m" = 3' 'read 3 "1" = -EISDIR' 'write 3 "x" = -EBADF' 'fstat 3 "" = directory, mode 0755' \
		'getdents 3 "" = some' 'getdents 3 "" = 0' 'seek 3 "0" = 0' 'getdents 3 "" = some' 'hold "/f" = 4' \
		'getdents 4 "" = -ENOTDIR' 'getdents 42 "" = -EBADF' 'fstat 42 "" = -EBADF' 'fstat -1 "" = -EBADF' 'getdents 1 "" = -ENOTDIR'
	end
}

# What the boot data tells a kernel to mount.
boot_data() {
	check mappings_are_in_the_boot_data
	mkdir h/d
	printf text >h/f
	guest --file-mapping h/d:/dir --file-mapping h/f:/other/f --file-mapping h/f:/other/g --file-mapping h/f:/f -- mounts:
	says 'mounts "" = listed' '  "/dir"' '  "/other"'
	guest --file-mapping h/d:/dir//sub/ --file-mapping h/f:/dir/./sub//f --file-mapping h/f:/./f -- mounts:
	says 'mounts "" = listed' '  "/dir/sub"'
	guest -- mounts:
	says 'mounts "" = none'
	guest --file-mapping h/f:/f -- mounts:
	says 'mounts "" = none'
	end
}

# What is wrong with a mapping is said at the start, in a line, and no guest runs.
refused() { # NAME PATTERN MAPPINGS...
	local options=() mapping
	check "$1"
	pattern=$2
	shift 2
	for mapping in "$@"; do
		options+=(--file-mapping "$mapping")
	done
	mkdir -p h/d
	printf text >h/f
	ln -s nowhere h/dangling
	guest "${options[@]}" -- create:/x
	[ "$code" = 2 ] || exits 125
	[ -z "$console" ] || why+="the guest ran: $console; "
	[ "$(wc -l <stderr)" = 1 ] && grep -qE "$pattern" stderr || why+=$(head -n 3 stderr)
	gone h/nowhere
	end
}

mappings() {
	check the_last_colon_divides # test_split_guest_and_host_path
	mkdir h/a:b
	printf text >h/a:b/f
	guest --file-mapping h/a:b:/m -- open:/m/f # in Uhyve no host path has a colon
	says 'open "/m/f" = 3' '  "text"'
	guest --file-mapping h/a:b/../a:b//f:/test//./f/ -- open:/test/f
	says 'open "/test/f" = 3' '  "text"'
	end
	# Uhyve ignores what follows the guest's path, takes a relative one from the root, and drops `x/..` in it.
	refused nothing_follows_the_guest_path 'takes no OPTS' h/f:/f:should_not_exist.txt
	refused a_guest_path_is_absolute 'GUEST beginning with /' h/f:f.md
	refused a_guest_path_has_no_dotdot 'the guest path has a .\.\..; write it without' h/f:/test/../f
	refused a_guest_path_is_given 'not HOST:GUEST' h/f
	# Uhyve panics.
	refused a_guest_path_is_mapped_once 'is mapped there; choose another' h/f:/m h/d:/m
	refused a_file_has_nothing_below 'lies beneath a mapped file' h/f:/m h/d:/m/n
	# Uhyve would let the guest make what the link names, wherever that is.
	refused a_link_to_nowhere_is_no_mapping 'a link to nowhere; name the file itself' h/dangling:/f
	refused only_the_file_itself_may_be_missing 'make the directory first' h/none/none:/f
}

# Where the device can be opened a failure of belljar is one; elsewhere there is nothing to test.
kvm_works() {
	[ -c /dev/kvm ] && (: <>/dev/kvm) 2>/dev/null
}

for backend in tcg kvm; do
	if [ $backend = kvm ] && ! kvm_works; then
		skip "guests kvm" "/dev/kvm cannot be opened"
		continue
	fi
	for abi in v2 v1; do
		upstream_files
		upstream_descriptors
		upstream_mappings
		[ $abi = v1 ] || upstream_directories
		# How a call is answered does not depend on the CPU that asks.
		[ $backend = tcg ] || continue
		mapped_files
		unmapped_files
		descriptors
		differences
		boot_data
		[ $abi = v1 ] || directories
	done
done
backend=tcg abi=v2
mappings
finish
