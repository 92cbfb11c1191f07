"""What is asked of the proxies, with wrk, h2load or, inside of tunnels, from here. Every call has to succeed."""

import dataclasses
import json
import re
import socket
import ssl
import subprocess
import sys
import time

from .programs import PROXY_CPU, busy_seconds
from .setup import HOST, LARGE, PATH, ROOT, UPLOAD


@dataclasses.dataclass
class Contender:
    """A proxy under test: the program for each kind of upstream, and the ports by which it is reached.

    `ports` has `plain` (to the upstream in clear), `over_tls`, `h2c`, and `tunnel`, which is opened by CONNECT when
    `connects`, and is TLS from its first byte otherwise. `authority` is the file with the CA of what is in the tunnel.
    """

    clear: object
    secured: object
    ports: dict
    connects: bool
    authority: str

    def cpu_seconds(self):
        return self.clear.cpu_seconds() + (0 if self.secured is self.clear else self.secured.cpu_seconds())


def wrk(port, headers, connections, seconds, path=PATH, paths="same"):
    """One run of wrk; `paths` is `same`, `new` for one that no call had before, or `upload` for a body of 64 KiB."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", ROOT / "benches/setup/report.lua"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    command += [f"http://127.0.0.1:{port}{path}", "--", paths]
    output = subprocess.run(command, check=True, capture_output=True, text=True)
    return checked(json.loads(output.stdout.splitlines()[-1]))


def h2load(port, headers, seconds):
    """Eight connections of HTTP/2 by prior knowledge, eight streams each."""
    command = ["h2load", "-t1", "-c8", "-m8", f"-D{seconds}"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    command += [f"http://127.0.0.1:{port}{PATH}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    good, *others = map(int, re.search(r"(\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output).groups())
    return checked({"requests": good, "failed": sum(others) + int(re.search(r"(\d+) failed", output)[1])})


def tunnels(contender, headers, seconds, calls):
    """One tunnel after the other with so many calls in each, or so many that the time is over (`calls` is None)."""
    trust = ssl.create_default_context(cafile=contender.authority)
    end, made, asked = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        with socket.create_connection(("127.0.0.1", contender.ports["tunnel"])) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if contender.connects:
                credential = f"Proxy-Authorization: {headers['Authorization']}\r\n"
                plain.sendall(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n{credential}\r\n".encode())
                expect(plain, b"HTTP/1.1 200")
            with trust.wrap_socket(plain, server_hostname=HOST) as inside:
                made, in_this = made + 1, 0
                while in_this != calls and (calls or time.monotonic() < end):
                    inside.sendall(f"GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
                    expect(inside, b"HTTP/1.1 200", body=True)
                    in_this += 1
                asked += in_this
    return {"requests": asked if calls is None else made, "failed": 0}


def expect(stream, start, body=False):
    """Reads an answer to its end, that of its head when it has no body."""
    answer = b""
    while True:
        head, found, rest = answer.partition(b"\r\n\r\n")
        if found:
            length = re.search(rb"content-length: *(\d+)", head, re.I)
            if not body or len(rest) >= int(length[1]):
                break
        more = stream.recv(65536)
        if not more:
            sys.exit("bench: a connection ended early")
        answer += more
    if not answer.startswith(start):
        sys.exit(f"bench: {answer[:200]!r}")


def checked(report):
    if report["failed"] or not report["requests"]:
        sys.exit(f"bench: {report['failed']} calls of {report['requests']} failed")
    return report


# Everything that is run; the first ones are small calls between nothing but HTTP/1.1 in clear.
LOADS = {
    "64 connections": lambda c, h, s: wrk(c.ports["plain"], h, 64, s),
    "64 connections, new paths": lambda c, h, s: wrk(c.ports["plain"], h, 64, s, paths="new"),
    "1 connection": lambda c, h, s: wrk(c.ports["plain"], h, 1, s),
    "1 connection, new paths": lambda c, h, s: wrk(c.ports["plain"], h, 1, s, paths="new"),
    "TLS upstream": lambda c, h, s: wrk(c.ports["over_tls"], h, 64, s),
    "64 KiB down": lambda c, h, s: wrk(c.ports["plain"], h, 16, s, path=LARGE),
    "64 KiB up": lambda c, h, s: wrk(c.ports["plain"], h, 16, s, path=UPLOAD, paths="upload"),
    "h2c in front": lambda c, h, s: h2load(c.ports["h2c"], h, s),
    "new tunnels": lambda c, h, s: tunnels(c, h, s, 1),
    "inside a tunnel": lambda c, h, s: tunnels(c, h, s, None),
}
FIRST_LOADS = list(LOADS)[:4]


def sample(load, contender, headers, seconds):
    """A run with the CPU time that the proxy spent on it, and how busy others kept the proxy's CPU."""
    begun, own, busy = time.monotonic(), contender.cpu_seconds(), busy_seconds(PROXY_CPU)
    report = LOADS[load](contender, headers, seconds)
    took, own = time.monotonic() - begun, contender.cpu_seconds() - own
    report["cpu_us"] = own / report["requests"] * 1e6
    report["others_percent"] = max(0.0, (busy_seconds(PROXY_CPU) - busy - own) / took * 100)
    return report
