# SPDX-License-Identifier: ISC
"""gdb commands for guests of belljar: `source belljar-gdb.py`, then `help belljar`.

Needs nothing but gdb (13 or later). All it knows it asks of belljar's `monitor` commands; without a guest of
belljar at the other end its commands say so, and nothing else changes.
"""

import os
import re
import sys

import gdb

COLOURS = {"red": "31", "green": "32", "cyan": "36", "bold": "1", "dim": "2"}


class CatchFailed(gdb.GdbError):
    """A hypercall that cannot be caught."""


def on_terminal():
    """Does what gdb says go to a terminal, as it is? MI may be spoken on one, too."""
    try:
        with open("/proc/self/cmdline") as words:
            is_mi = re.search(r"\0--?i(nt\w*)?[=\0]mi", words.read())
    except OSError:
        is_mi = False
    return os.isatty(1) and os.environ.get("TERM", "dumb") != "dumb" and not is_mi


ON_TERMINAL = on_terminal()


def may_be_captured():
    """Other Python code called us, by gdb.execute; nobody says whether to_string=True."""
    frame = sys._getframe()
    while frame and frame.f_code.co_filename == may_be_captured.__code__.co_filename:
        frame = frame.f_back
    return frame is not None


def colour(text, name):
    """The text, in colour when gdb's own output is."""
    if not ON_TERMINAL or not gdb.parameter("style enabled") or may_be_captured():
        return text
    return "\x1b[%sm%s\x1b[0m" % (COLOURS[name], text)


def monitor(line):
    """What `monitor LINE` says."""
    try:
        return gdb.execute("monitor " + line, to_string=True)
    except gdb.error as error:
        raise gdb.GdbError("no guest of belljar is connected: %s" % error)


def number(expression):
    """What an expression of the user's comes to; of a function or an array, its address."""
    if not gdb.selected_inferior().pid:
        raise gdb.GdbError("no guest of belljar is connected")
    try:
        value = gdb.parse_and_eval(expression)
        if value.type.strip_typedefs().code in (gdb.TYPE_CODE_FUNC, gdb.TYPE_CODE_ARRAY):
            value = value.address
        return int(value.cast(gdb.lookup_type("unsigned long")))
    except gdb.error as error:
        raise gdb.GdbError(str(error))


def say(text):
    gdb.write(text if text.endswith("\n") else text + "\n")


def no_arguments(arg, usage):
    if arg.strip():
        raise gdb.GdbError("usage: " + usage)


def hypercalls():
    """The rows of `monitor info hypercalls`: (number, name, text)."""
    rows = []
    for line in monitor("info hypercalls").splitlines()[1:]:
        match = re.match(r"\s*(\d+)\s+0x[0-9a-f]+\s+(?:yes\s+)?\d+\s+((\w+)\(.*)$", line)
        if match:
            rows.append((int(match.group(1)), match.group(3), match.group(2)))
    if not rows:
        raise gdb.GdbError("this is no guest of belljar")
    return rows


def call_line(line):
    """A hypercall as strace writes it, in colours."""
    match = re.match(r"(.*?)(\w+)(\(.*)$", line)
    if not match:
        return colour(line, "dim") if line.lstrip().startswith("+++") else line
    head, name, rest = match.groups()
    failed = re.search(r"\) = -1 E\w+ .*$", rest)
    if failed:
        at = failed.start() + len(") = ")
        rest = rest[:at] + colour(rest[at:], "red")
    return head + colour(name, "bold") + rest


class Belljar(gdb.Command):
    """Look at a guest of belljar: what it has open, what it asked, where it is."""

    def __init__(self):
        super().__init__("belljar", gdb.COMMAND_STATUS, prefix=True)

    def invoke(self, arg, from_tty):
        if arg.strip():
            raise gdb.GdbError('Undefined belljar command: "%s".  Try "help belljar".' % arg.strip())
        gdb.execute("help belljar")


class Fds(gdb.Command):
    """The guest's open files: descriptor, rights, position, its name for them and the host's."""

    def __init__(self):
        super().__init__("belljar fds", gdb.COMMAND_STATUS)

    def invoke(self, arg, from_tty):
        no_arguments(arg, "belljar fds")
        lines = monitor("info fds").splitlines()
        for i, line in enumerate(lines):
            kind = line[4:12].strip()
            if i == 0:
                line = colour(line, "dim")
            elif kind == "dir":
                line = colour(line, "cyan")
            elif kind == "console":
                line = colour(line, "dim")
            say(line)


class Mounts(gdb.Command):
    """What of the host the guest sees, with which rights, and what it may still use up."""

    def __init__(self):
        super().__init__("belljar mounts", gdb.COMMAND_STATUS)

    def invoke(self, arg, from_tty):
        no_arguments(arg, "belljar mounts")
        for line in monitor("info mounts").splitlines():
            match = re.match(r"(\S+)(\s+)(r[ow]\S*)(\s+.*)$", line)
            if match:
                path, gap, rights, rest = match.groups()
                line = colour(path, "bold") + gap + \
                    colour(rights, "green" if rights.startswith("rw") else "dim") + rest
            say(line)


class Trace(gdb.Command):
    """The last hypercalls: belljar trace [N], or of one name: belljar trace NAME [N]."""

    def __init__(self):
        super().__init__("belljar trace", gdb.COMMAND_STATUS)

    def invoke(self, arg, from_tty):
        words = arg.split()
        verb = "last" if not words or words[0][0].isdigit() else "filter"
        for line in monitor(" ".join(["trace", verb] + words)).splitlines():
            say(call_line(line))

    def complete(self, text, word):
        try:
            return sorted({name for _, name, _ in hypercalls() if name.startswith(word)})
        except gdb.GdbError:
            return []


class Hypercall(gdb.Command):
    """The hypercall that the guest stands in, or is about to make."""

    def __init__(self):
        super().__init__("belljar hypercall", gdb.COMMAND_STATUS)

    def invoke(self, arg, from_tty):
        no_arguments(arg, "belljar hypercall")
        say(call_line(monitor("info call").rstrip("\n")))


class When(gdb.Command):
    """Where in its run the guest is: hypercalls answered, instructions since, and what is kept of its past."""

    def __init__(self):
        super().__init__("belljar when", gdb.COMMAND_STATUS)

    def invoke(self, arg, from_tty):
        no_arguments(arg, "belljar when")
        text = monitor("when")
        say(place(gdb.newest_frame()) + "\n" + text)


class Moving(gdb.Command):
    """A command of monitor's that moves the guest: gdb looks again afterwards."""

    def move(self, line):
        text, moved, _ = monitor(line).partition("gdb does not know it yet")
        if not moved and "attach 1" not in text:
            raise gdb.GdbError(text.rstrip("\n"))
        say(text)
        if moved:
            for cache in ("register-cache", "dcache"):
                gdb.execute("maintenance flush " + cache, to_string=True)
            gdb.execute("frame")


class Goto(Moving):
    """Go to another place of the guest's run: belljar goto CALLS[+INSNS]|begin|end|cN."""

    def __init__(self):
        super().__init__("belljar goto", gdb.COMMAND_RUNNING)

    def invoke(self, arg, from_tty):
        self.move("goto " + arg)


class Run(Moving):
    """Run exactly so many instructions: belljar run N."""

    def __init__(self):
        super().__init__("belljar run", gdb.COMMAND_RUNNING)

    def invoke(self, arg, from_tty):
        self.move("run %d" % number(arg) if arg.strip() else "run")


class Regs(gdb.Command):
    """Registers, flags and segments, in words."""

    def __init__(self):
        super().__init__("belljar regs", gdb.COMMAND_DATA)

    def invoke(self, arg, from_tty):
        no_arguments(arg, "belljar regs")
        for line in monitor("info regs").splitlines():
            say(re.sub(r"\b(0000000000000000)\b", lambda m: colour(m.group(1), "dim"), line))


class Pages(gdb.Command):
    """How an address is translated: belljar pages EXPRESSION. Without: all that is mapped."""

    def __init__(self):
        super().__init__("belljar pages", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, arg, from_tty):
        if arg.strip():
            say(monitor("info pages 0x%x" % number(arg)))
        else:
            say(monitor("info pages"))


class Resolve(gdb.Command):
    """Where a path would lead the guest, and why: belljar resolve [-o OP[,FLAGS]] PATH."""

    def __init__(self):
        super().__init__("belljar resolve", gdb.COMMAND_STATUS)

    def invoke(self, arg, from_tty):
        if not arg.strip():
            raise gdb.GdbError("usage: belljar resolve [-o OP[,FLAGS]] PATH")
        for line in monitor("resolve " + arg).splitlines():
            head, gives, rest = line.partition("gives  ")
            if gives and not head.strip():
                line = head + gives + colour(rest, "green" if rest == "ok" else "red")
            say(line)


class CatchHypercall(gdb.Command):
    """Stop before and behind hypercalls: catch hypercall NAME..., or all of them without a name.

The same as catch syscall with the numbers that `monitor info hypercalls` tells."""

    def __init__(self):
        super().__init__("catch hypercall", gdb.COMMAND_BREAKPOINTS)

    def invoke(self, arg, from_tty):
        names = arg.split()
        rows = hypercalls()
        known = {}
        for number, name, _ in rows:
            known.setdefault(name, []).append(number)
        unknown = [name for name in names if name not in known]
        if unknown:
            raise CatchFailed("no hypercall %s; there are %s" % (
                ", ".join(unknown), ", ".join(sorted(known))))
        numbers = sorted({number for name in names for number in known[name]})
        text = gdb.execute("catch syscall " + " ".join(map(str, numbers)), to_string=True)
        match = re.search(r"Catchpoint (\d+)", text)
        say("Catchpoint %s (%s)" % (match.group(1) if match else "?",
                                    "hypercall " + ", ".join(names) if names else "any hypercall"))

    def complete(self, text, word):
        try:
            return sorted({name for _, name, _ in hypercalls() if name.startswith(word)})
        except gdb.GdbError:
            return []


def place(frame):
    """Where a frame is, as people say it."""
    name = frame.name() or "??"
    where = frame.find_sal()
    if where.symtab:
        return "%s (%s:%d)" % (name, where.symtab.filename, where.line)
    return "%s, 0x%x" % (name, frame.pc())


# `in` and `out` in all their forms: SDM 2A and 2B.
PORT_INSNS = {0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef}


def at_port():
    """Does the guest stand at a port instruction? Without asking belljar: gdb has the bytes."""
    frame = gdb.selected_frame()
    code = bytes(gdb.selected_inferior().read_memory(frame.pc(), 2))
    return code[0] in PORT_INSNS or (code[0] == 0x66 and code[1] in PORT_INSNS)


def on_stop(event):
    """At the hypercall itself (a step, a breakpoint): what it asks. A catchpoint's stop says it by itself."""
    if not isinstance(event, (gdb.StopEvent,)):
        return
    caught = any(b.type == gdb.BP_CATCHPOINT for b in getattr(event, "breakpoints", []))
    try:
        if caught or not at_port():
            return
        text = monitor("info call").rstrip("\n")
    except (gdb.error, gdb.GdbError):
        return
    if text.startswith("in call") or text.startswith("about to make"):
        say(call_line(text))


for command in (Belljar, Fds, Mounts, Trace, Hypercall, When, Goto, Run, Regs, Pages, Resolve, CatchHypercall):
    command()
gdb.events.stop.connect(on_stop)
