#!/usr/bin/env python3
"""Runs a benchmark several times over and prints the median of each row.

    python3 benches/rounds.py hot_path 7 "allow/|deny/"

A shared machine changes its pace from one second to the next. A short run of all rows, again and
again, spreads that over every row; a long run of each, one after the other, does not.
"""

import re
import statistics
import subprocess
import sys

UNITS = {"ns": 1, "µs": 1e3, "us": 1e3, "ms": 1e6, "s": 1e9}
TIME = re.compile(r"time:\s+\[\S+ \S+ ([\d.]+) (\S+) \S+ \S+\]")


def rows(bench, pattern):
    """The rows of one run: a name and its median in ns."""
    command = ["cargo", "bench", "--quiet", "--bench", bench, "--", pattern, "--noplot"]
    command += ["--warm-up-time", "0.1", "--measurement-time", "0.3", "--sample-size", "20"]
    name = ""
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        time = TIME.search(line)
        if time:
            before = line[: time.start()].strip()
            yield before or name, float(time.group(1)) * UNITS[time.group(2)]
        elif line and not line[0].isspace() and not line.startswith(("Benchmarking", "Found")):
            name = line.strip()


def main():
    bench, rounds, pattern = sys.argv[1], int(sys.argv[2]), (sys.argv[3:] or [""])[0]
    found = {}
    for _ in range(rounds):
        for name, time in rows(bench, pattern):
            found.setdefault(name, []).append(time)
    for name, times in found.items():
        print(f"{name:55} {statistics.median(times):10.1f} ns  (least {min(times):.1f})")


if __name__ == "__main__":
    main()
