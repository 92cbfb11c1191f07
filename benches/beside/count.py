"""Instructions of one call, which a busy machine does not change."""

import contextlib
import re
import signal
import socket
import sys
import time

from .loads import expect
from .programs import veilwarden
from .setup import HOST, PATH

# Both runs begin with as many calls; the difference between them is that of the others.
FEW, MORE = 500, 2000


def ask(port, headers, calls):
    """So many calls over one connection."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    call = f"GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n".encode()
    with socket.create_connection(("127.0.0.1", port)) as stream:
        for _ in range(calls):
            stream.sendall(call)
            expect(stream, b"HTTP/1.1 200", body=True)


def warm_up(port, headers):
    """Under valgrind the first review may take longer than it may."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return ask(port, headers, 1)
        except SystemExit:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def instructions(config, binary, headers, directory):
    """Instructions a call, and those of the start together with the first calls."""
    totals = []
    for calls in (FEW, FEW + MORE):
        out = directory / f"callgrind.{calls}"
        prefix = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        with contextlib.ExitStack() as ending:
            program, port, _ = veilwarden(ending, config, binary, prefix)
            warm_up(port, headers)
            ask(port, headers, calls)
            program.process.send_signal(signal.SIGTERM)
            program.process.wait(120)
        found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M)
        totals.append(int(found[1]) if found else sys.exit(f"bench: {out} has no total"))
    return (totals[1] - totals[0]) / MORE, totals[0]
