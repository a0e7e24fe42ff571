# SPDX-License-Identifier: ISC
"""Random commands forth and back; wherever the guest has been before, all is as it was."""
import random

import gdb

FORWARD = ["stepi", "stepi 7", "nexti", "stepi 40"]
BACK = ["reverse-stepi", "reverse-stepi 7", "reverse-nexti", "reverse-stepi 40"]
FAR = ["continue", "reverse-continue", "reverse-continue"]


def quietly(command):
    try:
        return gdb.execute(command, to_string=True)
    except gdb.error as error:
        return str(error)


def place():
    """Registers and a part of the stack, as gdb shows them; where there is no count, steps tell one place from another."""
    registers = quietly("info registers") + quietly("info registers sse") + quietly("info registers system")
    return registers + quietly("x/64xg $rsp & ~0xfff")


def walk(steps):
    gdb.execute("break rt_hypercall", to_string=True)
    gdb.execute("break main", to_string=True)
    gdb.execute("monitor stop-at-exit on", to_string=True)
    choice = random.Random(20)
    counted = int(gdb.parse_and_eval("(long)$insn_count")) != -1
    seen, wrong, at_end = {}, 0, False
    for _ in range(steps):
        kinds = [BACK] if at_end else [FORWARD, FORWARD, BACK, BACK, FAR]
        command = choice.choice(choice.choice(kinds))
        at_end = "No more" in quietly(command) and "reverse" not in command
        if not gdb.selected_inferior().pid:
            print("the guest is gone")
            return
        if not counted:
            continue
        key = int(gdb.parse_and_eval("$insn_count")), int(gdb.parse_and_eval("$hypercall_index"))
        now = place()
        if seen.setdefault(key, now) != now:
            wrong += 1
            print("at", key, "was:\n" + seen[key] + "\nand is:\n" + now)
    if not wrong:
        print("walked %d commands, %d places, all the same" % (steps, len(seen)))
