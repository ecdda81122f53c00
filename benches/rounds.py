#!/usr/bin/env python3
"""Runs a benchmark several times over and prints the median of each row.

    python3 benches/rounds.py hot_path 7 "allow/|deny/"
    python3 benches/rounds.py http 7 --manifest-path benches/peers/Cargo.toml --over "bare service"

A shared machine changes its pace from one second to the next. A short run of all rows, again and
again, spreads that over every row; a long run of each, one after the other, does not.

With `--over` it prints too how much more a row takes than the row of that name in its group, as the
median of the differences within a round.
"""

import argparse
import re
import statistics
import subprocess
import sys

UNITS = {"ns": 1, "µs": 1e3, "us": 1e3, "ms": 1e6, "s": 1e9}
TIME = re.compile(r"time:\s+\[\S+ \S+ ([\d.]+) (\S+) \S+ \S+\]")


def rows(bench, pattern, manifest):
    """The rows of one run: a name and its median in ns."""
    command = ["cargo", "bench", "--quiet", *manifest, "--bench", bench, "--", pattern, "--noplot"]
    command += ["--warm-up-time", "0.1", "--measurement-time", "0.3", "--sample-size", "20"]
    name = ""
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    for line in ran.stdout.splitlines():
        time = TIME.search(line)
        if time:
            before = line[: time.start()].strip()
            yield before or name, float(time.group(1)) * UNITS[time.group(2)]
        elif line and not line[0].isspace() and not line.startswith(("Benchmarking", "Found")):
            name = line.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench")
    parser.add_argument("rounds", type=int)
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--manifest-path")
    parser.add_argument("--over", metavar="ROW")
    asked = parser.parse_args()
    manifest = ["--manifest-path", asked.manifest_path] if asked.manifest_path else []
    found = {}
    for _ in range(asked.rounds):
        for name, time in rows(asked.bench, asked.pattern, manifest):
            found.setdefault(name, []).append(time)
    for name, times in found.items():
        line = f"{name:55} {statistics.median(times):10.1f} ns  (least {min(times):.1f})"
        base = found.get(f"{name.rpartition('/')[0]}/{asked.over}")
        if base:
            over = statistics.median(time - bare for time, bare in zip(times, base))
            line += f"  {over:+10.1f} ns over {asked.over}"
        print(line)


if __name__ == "__main__":
    main()
