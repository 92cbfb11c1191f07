"""Child processes on a CPU of their own: what they use, and how they are started and ended."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

from .setup import fill

PROXY_CPU, OTHER_CPU = "0", "1"
TICKS = os.sysconf("SC_CLK_TCK")


class Program:
    """A child process on one CPU, ended by its own id however this script ends."""

    def __init__(self, ending, cpu, *command, **options):
        # In a session of its own: Ctrl-C reaches this script alone, which then ends what it started.
        command = ["taskset", "-c", cpu, *map(str, command)]
        self.process = subprocess.Popen(command, start_new_session=True, **options)
        ending.callback(self.end)

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def family(self):
        """This process and its children (nginx has a master and a worker)."""
        pid = str(self.process.pid)
        stats = [stat for stat in map(stat_of, os.listdir("/proc")) if stat]
        return [stat for stat in stats if pid in (stat["pid"], stat["parent"])]

    def cpu_seconds(self):
        """User and system time of all threads so far."""
        return sum(stat["ticks"] for stat in self.family()) / TICKS

    def rss_mb(self):
        return sum(stat["rss_pages"] for stat in self.family()) * os.sysconf("SC_PAGE_SIZE") / 1e6


def stat_of(pid):
    """The fields of /proc/PID/stat that count here (proc(5)); nothing for what is no process any more."""
    try:
        text = pathlib.Path("/proc", pid, "stat").read_text() if pid.isdigit() else ""
    except OSError:
        text = ""
    fields = text.rpartition(") ")[2].split()
    if not fields:
        return None
    return {"pid": pid, "parent": fields[1], "ticks": int(fields[11]) + int(fields[12]), "rss_pages": int(fields[21])}


def busy_seconds(cpu):
    """How long a CPU was busy or taken away by the host since the machine's start."""
    line = next(line for line in open("/proc/stat") if line.startswith(f"cpu{cpu} "))
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def nginx(ending, directory, cpu, name, **values):
    """Starts an nginx and waits until it accepts; its ports by the names that they have in its configuration."""
    ports = {kind: free_port() for kind in ("port", "over_tls", "tls", "h2c")}
    config = fill(name, directory, **ports, **values)
    program = Program(ending, cpu, "nginx", "-p", directory, "-c", config, "-e", "stderr")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", ports["port"])):
            return program, ports
        time.sleep(0.01)
    sys.exit(f"bench: nginx does not accept ({name})")


def veilwarden(ending, config, binary, prefix=()):
    """Starts veilwarden; the program, its port, and the milliseconds until it said that it is ready."""
    command = [*prefix, binary, "serve", "--config", config]
    environment = {key: value for key, value in os.environ.items() if key != "RUST_BACKTRACE"}
    environment["TOKIO_WORKER_THREADS"] = "1"
    # Not in the file: builds from before there was a CA would refuse the key.
    environment["STATE_DIRECTORY"] = str(config.parent / "state")
    begun = time.monotonic()
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    program = Program(ending, PROXY_CPU, *command, env=environment, **streams)
    said = []
    for line in program.process.stderr:
        said.append(line)
        if '"ready"' in line:
            ready = (time.monotonic() - begun) * 1000
            # The log goes on; a full pipe must not stop the program.
            threading.Thread(target=program.process.stderr.read, daemon=True).start()
            return program, int(json.loads(line)["listen"].rpartition(":")[2]), ready
    sys.exit(f"bench: {binary} does not start\n" + "".join(said))
