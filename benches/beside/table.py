"""What was found, as rows and as text."""

import statistics

# The title, the load, what is looked at, and the goal: so much at most, for the ratio or for our own value.
ROWS = [
    ("CPU time a call, µs", "64 connections", "cpu_us", ("ratio", 2.5)),
    ("the same, every path new", "64 connections, new paths", "cpu_us", None),
    ("p50 with 64 connections, µs", "64 connections", "p50_us", None),
    ("p50 with 1 connection, µs", "1 connection", "p50_us", ("ratio", 1.5)),
    ("the same, every path new", "1 connection, new paths", "p50_us", None),
    ("CPU, upstream over TLS, µs", "TLS upstream", "cpu_us", None),
    ("CPU, answer of 64 KiB, µs", "64 KiB down", "cpu_us", None),
    ("CPU, body of 64 KiB, µs", "64 KiB up", "cpu_us", None),
    ("CPU, h2c in front, µs", "h2c in front", "cpu_us", None),
    ("CPU, a new tunnel, µs", "new tunnels", "cpu_us", ("value", 1200)),
    ("CPU, a call inside one, µs", "inside a tunnel", "cpu_us", None),
]


def summary(samples, memory, start):
    """One row a measure: both contenders, and the median of the ratios that the two had turn by turn."""
    first, second = samples
    rows = []
    for title, load, key, goal in ROWS:
        if load in samples[first]:
            base, own = ([turn[key] for turn in samples[name][load]] for name in (first, second))
            ratio = statistics.median(b / a for a, b in zip(base, own))
            rows.append((title, statistics.median(base), statistics.median(own), ratio, goal))
    base, own = memory[first], memory[second]
    rows.append(("memory after small calls, MB", base, own, own / base, ("value", 20)))
    for title, key, goal in [
        ("start to the line ready, ms", "ready", ("value", 100)),
        ("start to the first answer, ms", "first", None),
    ]:
        base, own = (start.get(name, {}).get(key) for name in (first, second))
        rows.append((title, base, own, own / base if base else None, goal))
    others = [turn["others_percent"] for loads in samples.values() for turns in loads.values() for turn in turns]
    found = {"names": [first, second], "rows": rows}
    return found | {"others_percent": statistics.median(others), "others_most": max(others)}


def text(found, goals):
    """The table; `goals`: whether there are any, which there are beside nginx."""
    first, second = found["names"]
    lines = [f"{'':32}{first:>10}{second:>12}{'ratio':>8}" + ("   goal" if goals else "")]
    for title, base, own, ratio, goal in found["rows"]:
        cell = lambda value, width, digits: " " * width if value is None else f"{value:{width}.{digits}f}"
        line = f"{title:32}{cell(base, 10, 1)}{cell(own, 12, 1)}{cell(ratio, 8, 2)}"
        if goal and goals:
            kind, limit = goal
            line += f"   {'ratio ' if kind == 'ratio' else ''}<= {limit}"
            line += "" if (ratio if kind == "ratio" else own) <= limit else "  MISSED"
        lines.append(line.rstrip())
    others, most = found["others_percent"], found["others_most"]
    return "\n".join([*lines, f"others had the proxy's CPU for {others:.0f} % of the time (median), {most:.0f} % at most"])
