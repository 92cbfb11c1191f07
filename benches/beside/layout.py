"""Which functions of the program its work needs, so that the linker can lay them side by side.

The kernel maps 64 KB of a program around each page of it that is touched. With the functions in the compiler's order nearly
the whole text gets mapped in, though less than half of it ever runs.
"""

import collections
import contextlib
import http.client
import re
import signal
import subprocess

from .count import ask, warm_up
from .loads import Contender, tunnels
from .programs import veilwarden
from .setup import LARGE, LARGE_BYTES, PATH, ROOT, UPLOAD

FILE = ROOT / "layout/functions"
HEAD = """\
# The functions that run from the start to the stop of veilwarden on x86-64, busiest first, as lld's --symbol-ordering-file
# takes them. Written by `scripts/bench --layout`; docs/performance.md says what for. A name that is no longer there is
# passed over, and a function that is not here comes after the others.
"""
CALLS = 200


def functions(configs, binary, headers):
    """The linker's names of the functions that ran from start to stop, busiest first.

    The first configuration has an upstream in clear, the second one over TLS; only that can be reached through tunnels.
    """
    spent = collections.Counter()
    for config in configs:
        out = config.with_suffix(".callgrind")
        prefix = ["valgrind", "--tool=callgrind", "--demangle=no", f"--callgrind-out-file={out}"]
        with contextlib.ExitStack() as ending:
            program, port, _ = veilwarden(ending, config, binary, prefix)
            use(port, headers)
            if config == configs[1]:
                inside = Contender(program, program, {"tunnel": port}, True, str(config.parent / "state/ca.crt"))
                tunnels(inside, headers, 10, 20)
            program.process.send_signal(signal.SIGTERM)
            program.process.wait(120)
        spent.update(instructions(out.read_text()))
    known = symbols(binary)
    return [name for name, _ in spent.most_common() if name in known]


def use(port, headers):
    """Calls as the loads have them, but for tunnels."""
    warm_up(port, headers)
    ask(port, headers, CALLS)
    for number in range(CALLS):
        status(port, "GET", f"{PATH}?layout={number}", headers)
        status(port, "GET", LARGE, headers)
        status(port, "POST", UPLOAD, headers, b"x" * LARGE_BYTES)
    status(port, "GET", "/v1/x", headers, expected=403)
    fields = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    subprocess.run(["h2load", f"-n{CALLS}", "-c2", "-m8", *fields, f"http://127.0.0.1:{port}{PATH}"], check=True, capture_output=True)


def status(port, method, path, headers, body=None, expected=200):
    """One call on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != expected:
        raise SystemExit(f"bench: {method} {path}: {answer.status}")


def instructions(profile):
    """What each function spent by itself, from a file in callgrind's format; the line after `calls=` is the callee's."""
    names, spent = {}, collections.Counter()
    current, callee = None, False
    for line in profile.splitlines():
        if named := re.match(r"c?fn=\((\d+)\)(?: (.*))?$", line):
            number, name = named.groups()
            if name:
                names[number] = re.sub(r"'\d+$", "", name)
            if line.startswith("fn="):
                current = names[number]
        elif line.startswith("calls="):
            callee = True
        elif cost := re.match(r"[+*-]?\d* (\d+)$", line):
            if not callee:
                spent[current] += int(cost[1])
            callee = False
    return spent


def symbols(binary):
    """The names that the program itself has (the profile also has addresses for what has none)."""
    lines = subprocess.run(["nm", binary], check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split()[-1] for line in lines}
