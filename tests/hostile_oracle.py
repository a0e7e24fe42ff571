#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""
What Linux itself answers to the calls that the guest `paths` makes, in the same words.

  hostile_oracle.py tree DIR           makes a hostile directory
  hostile_oracle.py cases              the calls, one a line, as arguments of `paths`; an empty line behind those of
                                       one run
  hostile_oracle.py ask DIR UID        reads such lines and makes the calls, as user UID would: in a mount namespace
                                       of its own, the root an empty directory with DIR/in and DIR/ro bound into it

Where belljar departs from Linux by design, policy() says so; nothing else is changed.
"""
import ctypes
import errno
import os
import socket
import stat
import sys

CLONE_NEWNS, MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 1, 32, 4096, 16384, 1 << 18
LONG = b"n" * 255
DEEP = 150  # directories; a path through them with `..` holds each one open
libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


# ---- the tree ----

LINKS = {
    b"to_etc": b"/etc", b"to_passwd": b"/etc/passwd", b"up": b"../../../../../../../../etc/passwd",
    b"up_dir": b"../../../..", b"outside": b"../outside/secret", b"outside_dir": b"../outside",
    b"self_fd": b"/proc/self/fd/0", b"self_root": b"/proc/self/root/etc/passwd", b"self_cwd": b"/proc/self/cwd",
    b"loop": b"loop", b"loop1": b"loop2", b"loop2": b"./loop1", b"dot": b".", b"dotdot": b"..",
    b"root": b"/", b"file_slash": b"file/", b"dir_slash": b"dir/", b"to_file": b"file", b"to_dir": b"dir",
    b"to_to_file": b"dir/../to_file", b"absolute_in": b"/in/file", b"dangling": b"made_through",
    b"dangling_out": b"../outside/made", b"dangling_dir": b"nowhere/made", b"to_fifo": b"fifo",
    b"to_ro": b"nested", b"in_and_out": b"../in/dir/../../in/file", b"long_target": b"dir/../" * 500 + b"file",
    b"esc\x1b[31m": b"file", b"\xff\xfe": b"\xff\xfd", b"clamped": b"/../../../in/file",
    b"empty_name": b"..//..//in//.//file",
}


def put(name, content=b"", mode=0o644):
    with open(name, "wb") as file:
        file.write(content)
    os.chmod(name, mode)


def special_files():
    os.mkfifo(b"fifo", 0o644)
    server = socket.socket(socket.AF_UNIX)
    server.bind(b"socket")
    server.close()
    os.chmod(b"socket", 0o755)
    if os.geteuid() == 0:
        try:
            os.mknod(b"zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
            os.mknod(b"disk", stat.S_IFBLK | 0o600, os.makedev(1, 0))
        except PermissionError:
            pass  # a container's root


def make_tree(top):
    os.makedirs(top, exist_ok=True)
    os.umask(0o022)
    for name in (b"in", b"ro", b"outside", b"root"):
        os.mkdir(os.path.join(os.fsencode(top), name))
    os.chdir(top)
    put(b"outside/secret", b"SECRET")
    put(b"ro/file", b"read only\n")
    os.symlink(b"/in/file", b"ro/to_rw")
    os.symlink(b"nothing", b"ro/dangling")
    os.chdir(b"in")
    for name in (b"dir", b"dir/sub", b"empty", b"nested", LONG, b"\xc3\x28", b"new\nline"):
        os.mkdir(name)
    put(b"nested/shadowed", b"shadowed")
    put(b"file", b"inside\n")
    put(b"dir/file", b"in dir\n")
    put(LONG + b"/" + LONG[:254], b"long\n")
    put(b"\xff\xfd", b"not UTF-8\n")
    put(b"\xed\xa0\x80", b"a surrogate\n")
    put(b"new\nline/\x1b]0;title\x07", b"control\n")
    put(b"set_id", b"set-id\n", 0o6755)
    put(b"unreadable", b"unreadable\n", 0)
    put(b"..a", b"two dots\n")
    put(b"...", b"three dots\n")
    os.mkdir(b"closed")
    put(b"closed/file", b"closed\n")
    os.chmod(b"closed", 0)
    os.mkdir(b"sticky")
    os.chmod(b"sticky", 0o1777)
    for name, target in LINKS.items():
        os.symlink(target, name)
    os.symlink(b"file", b"chain1")
    for i in range(2, 42):
        os.symlink(b"chain%d" % (i - 1), b"chain%d" % i)
    special_files()
    for _ in range(DEEP):
        os.mkdir(b"d")
        os.chdir(b"d")
    put(b"file", b"deep\n")


# ---- the calls ----

def paths():
    names = sorted(LINKS) + [b"chain40", b"chain41", b"fifo", b"socket", b"zero", b"disk", b"set_id", b"unreadable",
                             b"file", b"dir", b"empty", b"missing", b"\xff\xfd", b"\xed\xa0\x80", b"..a", b"...",
                             b"sticky", b"closed", b"closed/file", b"new\nline/\x1b]0;title\x07", b"file/x",
                             b"missing/..", b"missing/../file", b"file/../file", b"to_file/../file", b"to_dir/../file",
                             b"outside_dir/secret", b"to_etc/passwd", b"up_dir/etc/passwd", b"root/in/file",
                             b"dotdot/in/file", b"dotdot/outside/secret", b"dot/dot/dot/file", b"dir/sub/../../file",
                             LONG + b"/" + LONG[:254], LONG + b"n", LONG + b"n/file", b"loop/file", b"fifo/x",
                             b"nested/file", b"nested/shadowed", b"to_ro/file", b"to_ro/to_rw", b"dir/../nested/file",
                             b"nested/../file", b"nested/dangling", b"self_fd/0", b"self_cwd/file"]
    found = [b"/in/" + name for name in names]
    found += [path + b"/" for path in found] + [path + b"/." for path in found[:60]]
    deep = b"/in/" + b"d/" * DEEP
    found += [deep + b"file", deep + b"../" * DEEP + b"file", deep + b"../" * (DEEP + 9) + b"outside/secret",
              b"/in/" + b"./" * 2043 + b"file", b"/in/" + b"./" * 2043 + b"files", b"/in" + b"/" * 4088 + b"file",
              b"/in" + b"/" * 4089 + b"file", b"/" + b"../" * 1300 + b"in/file", b"/in/" + b"dir/../" * 584 + b"x",
              b"", b"/", b"//", b"/.", b"/..", b"/../..", b".", b"in/file", b"in/../in/file", b"/outside/secret",
              b"/etc/passwd", b"/proc/self/fd/0", b"/ro", b"/ro/file", b"/ro/to_rw", b"/ro/../in/file"]
    return found


BATCH = 10000  # bytes of arguments: the guest has room for 16384


def batches(lines):
    """Lines between empty ones belong together."""
    batch, size = [], 0
    for line in lines:
        if line:
            batch.append(line)
            size += len(line) + 8
        elif size >= BATCH:
            yield batch
            batch, size = [], 0
    yield batch


def escaped(path):
    return "".join(chr(c) if 32 < c < 127 and c != 92 else "\\x%02x" % c for c in path)


def cases():
    for path in paths():
        for op in ("open", "open,nofollow", "open,directory", "stat", "lstat", "readdir"):
            yield op + ":" + escaped(path)
            yield ""
    for name in sorted(LINKS) + [b"chain40", b"chain41", b"fifo", b"socket", b"file", b"dir", b"dir/", b"missing/",
                                 b"unreadable", b"nested", b"nested/new", b"nested/file", b"to_ro/new", b"to_ro/file",
                                 b"nested/missing", b"nested/dangling", b"nested/to_rw", b"dir/new", b"to_dir/new",
                                 b"to_dir/../new2", b"outside_dir/new", b"up_dir/new3", b"\xff\xfd",
                                 b"\x1b[0m", b"x\ny", LONG + b"n", b"closed/new", b"file/new", b"missing/../new"]:
        where = escaped(b"/in/" + name)
        for op in ("create,excl", "mkdir", "create", "open,rdwr", "open,trunc", "open,rdwr+trunc+nofollow", "unlink",
                   "lstat"):
            yield op + ":" + where
        yield ""
    for path in (b"/", b"/in", b"/in/", b"/in/.", b"/in/..", b"/in/nested", b"/in/nested/.", b"/ro", b"/ro/file"):
        for op in ("unlink", "mkdir", "create", "create,excl"):
            yield op + ":" + escaped(path)
            yield ""
    yield "readdir:/in"
    yield "readdir:/in/nested"


# ---- Linux's answers ----

def quoted(data):
    return '"' + "".join("\\\\" if c == 92 else chr(c) if 32 <= c < 127 and c != 34 else "\\x%02x" % c for c in data) + '"'


def unescaped(text):
    parts = text.split("\\x")
    return parts[0].encode() + b"".join(bytes([int(part[:2], 16)]) + part[2:].encode() for part in parts[1:])


def policy(path, flags):
    """Where belljar says something else than Linux: a fifo, socket or device is never opened."""
    if flags & (os.O_DIRECTORY | os.O_EXCL):
        return
    try:
        st = os.stat(path) if not flags & os.O_NOFOLLOW else os.lstat(path)
    except OSError:
        return
    if stat.S_ISFIFO(st.st_mode) or stat.S_ISSOCK(st.st_mode) or stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        raise OSError(errno.ENXIO, "policy")


def do_open(path, flags):
    policy(path, flags)
    fd = os.open(path, flags, 0o666)
    try:
        text = " = 3\n"
        if flags & os.O_ACCMODE != os.O_WRONLY:
            try:
                text += "  " + quoted(os.read(fd, 0x10000)) + "\n"
            except OSError as e:
                text += "  read = -%s\n" % errno.errorcode[e.errno]
    finally:
        os.close(fd)
    return text


def do_create(path, flags):
    policy(path, flags)
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | flags, 0o666)
    os.write(fd, b"made by a guest\n")
    os.close(fd)
    return " = 3\n"


def attributes(st):
    types = {stat.S_IFIFO: "fifo", stat.S_IFCHR: "char", stat.S_IFDIR: "directory", stat.S_IFBLK: "block",
             stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFSOCK: "socket"}
    text = " = %s, mode %04o" % (types[stat.S_IFMT(st.st_mode)], stat.S_IMODE(st.st_mode))
    if stat.S_ISREG(st.st_mode) or stat.S_ISLNK(st.st_mode):
        text += ", %d bytes" % st.st_size
    return text + "\n"


def do_readdir(path, flags):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | flags)
    names = sorted([b".", b".."] + [os.fsencode(name) for name in os.listdir(fd)])
    os.close(fd)
    return " = %d names\n" % len(names) + "".join("  " + quoted(name) + "\n" for name in names)


def zero(result):
    assert result is None
    return " = 0\n"


OPS = {
    "open": do_open, "create": do_create, "readdir": do_readdir,
    "stat": lambda path, flags: attributes(os.stat(path)),
    "lstat": lambda path, flags: attributes(os.lstat(path)),
    "mkdir": lambda path, flags: zero(os.mkdir(path)),
    "unlink": lambda path, flags: zero(os.unlink(path)),
}


def answer(case):
    head, path = case.split(":", 1)
    op, _, names = head.partition(",")
    flags = 0
    for name in filter(None, names.split("+")):
        flags |= getattr(os, "O_" + name.upper())
    path = unescaped(path)
    # Linux that must walk anew, since a directory changes meanwhile, counts the links of its first try, too.
    for _ in range(50):
        try:
            said = OPS[op](path, flags)
        except OSError as e:
            said = " = -%s\n" % errno.errorcode[e.errno]
        if said != " = -ELOOP\n":
            break
    return op + " " + quoted(path) + said


def mount(source, target, flags):
    checked(libc.mount(source, target, None, ctypes.c_ulong(flags), None))


def enter(top, root):
    """Called as root of a user namespace, or as root."""
    top, root = os.fsencode(top), os.fsencode(root)
    mount(b"none", b"/", MS_REC | MS_PRIVATE)
    for source, target, ro in ((b"in", b"in", False), (b"ro", b"in/nested", True), (b"ro", b"ro", True)):
        place = os.path.join(root, target)
        os.makedirs(place, exist_ok=True)
        mount(os.path.join(top, source), place, MS_BIND)
        if ro:
            mount(None, place, MS_REMOUNT | MS_BIND | MS_RDONLY)
    os.chroot(root)
    os.chdir("/")
    os.umask(0o022)


def drop_rights():
    """What a user may not do, its namespace's root may: read all files. So no capability is kept."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    checked(libc.capset(header, (ctypes.c_uint32 * 6)()))


def main():
    if sys.argv[1] == "tree":
        make_tree(sys.argv[2])
    elif sys.argv[1] == "cases":
        print("".join("\n".join(batch) + "\n\n" for batch in batches(cases())), end="")
    elif sys.argv[1] == "ask":
        calls = sys.stdin.read().splitlines()
        enter(sys.argv[2], os.path.join(sys.argv[2], "root"))
        if sys.argv[3] != "0":
            drop_rights()
        sys.stdout.write("".join(answer(case) for case in calls if case))
    else:
        sys.exit(__doc__)


main()
