#!/usr/bin/env python3
"""Counts the instructions of a check or of a request, or compares tollgate's checks with the record.

    python3 benches/instructions.py                                          # checks, as a table
    python3 benches/instructions.py --csv benches/results/instructions.csv   # and record them
    python3 benches/instructions.py --check                                  # for CI
    python3 benches/instructions.py --bench http                             # requests, as a table

The counts do not depend on the load of the machine. Checks are counted in cargo's default profile
and with fat LTO (`lto = "fat"`, `codegen-units = 1`). `tollgate` is `allow`, and `tollgate check` is
`check`, and `tiers` is `allow` of a tier. valgrind counts one function of `benches/peers`: `keyed::counted_check`, or `http::serve`.
Each count is the difference of two runs of different length, so that what is done once cancels out.
It leaves out two things: the waits that time measures, and the inside of a clock reading that is a
system call there.

Hash seeds are random, so each count is the median of three runs. Over 15 runs of each cell, no
median of three was more than 1.1% from the median of all, and no median of five more than 0.8%
(AMD EPYC, rustc 1.95.0, 2026-11-26, commit 278f7c4).

`--check` counts tollgate alone. It fails if a cell takes over 5% more than the record, or more than
`--tolerance` says, or if `allow` does not take fewer instructions than `check`. 2% suits the machine
of the record. On others the C library copies and compares with other instructions. A compiler that
differs from the recorded one is named and is no excuse, because users pay for its regressions too.
If the compiler is to blame, or if a cell takes over 5% less, record anew.
"""

import argparse
import csv
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MANIFEST = HERE / "peers" / "Cargo.toml"
RECORD = HERE / "results" / "instructions.csv"
RUNS = 3
# The checks, or requests, of the two runs.
LENGTHS = {"check": (2_000, 22_000), "serve": (2_000, 4_000)}
COUNTED = {"check": "*keyed::counted_check*", "serve": "*::http::serve*"}

FAT = {"CARGO_PROFILE_RELEASE_LTO": "fat", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "1"}
PROFILES = {"default": {}, "fat LTO": FAT}

OWN = ["tollgate", "tollgate check", "tiers"]
PEERS = ["governor", "governor + foldhash"]
REST = ["Mutex<HashMap>", "floor"]
CONTENDERS = {
    "u64": [*OWN, *PEERS, *REST],
    "String": [*OWN, *PEERS, "tokio-rate-limit", "throttlecrab", *REST],
}
CELLS = [(t, o, k) for t in CONTENDERS for o in ["allowed", "denied"] for k in ["1", "1000"]]
LAYERS = ["bare service", "tollgate", "tower_governor"]


def build(example, profile="default"):
    """Builds an example of `benches/peers` with symbols, and returns its path."""
    command = ["cargo", "build", "--release", "--example", example, "--message-format", "json"]
    command += ["--manifest-path", str(MANIFEST)]
    if profile != "default":
        command += ["--target-dir", str(MANIFEST.parent / "target" / "fat")]
    env = {**os.environ, "CARGO_PROFILE_RELEASE_DEBUG": "1", **PROFILES[profile]}
    built = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
    if built.returncode:
        sys.exit(f"the example {example} does not build")
    return re.findall(r'"executable":"([^"]*)"', built.stdout)[-1]


def collected(program, arguments, function):
    """Returns the instructions of all calls, or raises the program's own message."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += [f"--toggle-collect={function}", program, *arguments]
    env = {**os.environ, "RUST_BACKTRACE": "0"}
    ran = subprocess.run(command, env=env, capture_output=True, text=True)
    if ran.returncode:
        own = [line for line in ran.stderr.splitlines() if line and not line.startswith("==")]
        raise ValueError(" ".join(own[:2]) or f"exit status {ran.returncode}")
    return int(re.search(r"Collected : (\d+)", ran.stderr).group(1))


def count(program, *cell):
    """Returns the instructions of one check, or of one request."""
    example = Path(program).name
    (shorter, longer), function = LENGTHS[example], COUNTED[example]
    counts = []
    for _ in range(RUNS):
        most = collected(program, [*cell, str(longer)], function)
        least = collected(program, [*cell, str(shorter)], function)
        # A count of zero would pass for a great improvement.
        if most <= least:
            raise ValueError(f"{most} instructions in {function}: is it inlined, or renamed?")
        counts.append((most - least) / (longer - shorter))
    return statistics.median(counts)


def named(cell):
    kind, outcome, keys = cell
    return f"{kind}, {outcome}, {int(keys):,} key" + ("" if keys == "1" else "s")


def table(rustc, into):
    """Prints the counts of every contender, and records them."""
    rows = []
    programs = {profile: build("check", profile) for profile in PROFILES}
    for profile, kind in ((profile, kind) for profile in PROFILES for kind in CONTENDERS):
        contenders, program = CONTENDERS[kind], programs[profile]
        print(f"{profile} profile")
        print(f"{kind:28}" + "".join(f"  {contender:>8}" for contender in contenders))
        for cell in (cell for cell in CELLS if cell[0] == kind):
            print(f"{named(cell):28}", end="", flush=True)
            for contender in contenders:
                try:
                    text = f"{count(program, contender, *cell):.0f}"
                    rows.append([profile, *cell, contender, text, rustc])
                except ValueError as why:
                    if contender in OWN:
                        raise
                    text = "-"
                    print(f"\n{contender}, {named(cell)}: {why}", file=sys.stderr)
                print(f"  {text:>{max(8, len(contender))}}", end="", flush=True)
            print()
    if into:
        with open(into, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow("profile type outcome keys contender instructions rustc".split())
            writer.writerows(rows)


def check(rustc, record, tolerance):
    """Returns whether tollgate takes no more than the record, cell by cell."""
    with open(record, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["contender"] in OWN]
    columns = ["profile", "type", "outcome", "keys", "contender"]
    recorded = {tuple(row[column] for column in columns): row for row in rows}
    programs = {profile: build("check", profile) for profile in PROFILES}
    more, less = [], []
    for profile, cell in ((profile, cell) for profile in PROFILES for cell in CELLS):
        program, counts = programs[profile], []
        for contender in OWN:
            name = f"{profile}, {named(cell)}, {contender}"
            row = recorded.get((profile, *cell, contender))
            if not row:
                sys.exit(f"{record} has no row for {name}")
            before, by = float(row["instructions"]), row["rustc"]
            counts.append(count(program, contender, *cell))
            change = counts[-1] / before - 1
            line = f"{name:56} recorded {before:5.0f}  measured {counts[-1]:5.0f}  {change:+7.1%}"
            if by != rustc:
                line += f"  (recorded with rustc {by}, this is {rustc})"
            print(line, flush=True)
            if abs(change) > tolerance:
                (more if change > 0 else less).append(line)
        if counts[0] >= counts[1]:
            more.append(f"{profile}, {named(cell)}: `allow` takes no fewer than `check`")
    if less:
        print(f"\nOver {tolerance:.0%} less than recorded; record anew with --csv {record}:")
        print("\n".join(less))
    if more:
        print(f"\nFAILED, over {tolerance:.0%} more than recorded in {record}:")
        print("\n".join(more))
    return not more


def requests(program):
    """Prints what each layer adds to the bare service's instructions, with 1,000 clients."""
    print(f"{'':22}" + "".join(f"{layer:>18}" for layer in LAYERS))
    for outcome in ["allowed", "rejected"]:
        for by in ["header", "address"]:
            counts = [count(program, layer, by, outcome, "1000") for layer in LAYERS]
            bare, *layers = counts
            texts = [f"{bare:.0f}"] + [f"{layer - bare:+.0f}" for layer in layers]
            print(f"{outcome + ', ' + by:22}" + "".join(f"{text:>18}" for text in texts))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", choices=["keyed", "http"], default="keyed")
    parser.add_argument("--csv", metavar="FILE", help="record the table of checks there")
    parser.add_argument("--check", action="store_true", help="compare tollgate with the record")
    parser.add_argument("--tolerance", metavar="PART", type=float, default=0.05, help="of --check")
    parser.add_argument("--record", metavar="FILE", default=RECORD, help="the record of --check")
    chosen = parser.parse_args()
    if chosen.check and chosen.csv:
        parser.error("--check records nothing")
    if chosen.bench == "http" and (chosen.check or chosen.csv):
        parser.error("there is no record of requests")
    if not shutil.which("valgrind"):
        sys.exit("valgrind is missing: apt-get install valgrind")
    if chosen.check and not Path(chosen.record).exists():
        sys.exit(f"{chosen.record} is missing: there is no record to compare with")
    # In that directory, where a toolchain file may choose another compiler.
    version = subprocess.run(
        ["rustc", "--version"], cwd=MANIFEST.parent, stdout=subprocess.PIPE, text=True
    )
    rustc = version.stdout.split()[1]
    try:
        if chosen.bench == "http":
            requests(build("serve"))
            return
        if not chosen.check:
            table(rustc, chosen.csv)
        elif not check(rustc, chosen.record, chosen.tolerance):
            sys.exit(1)
    except ValueError as why:
        sys.exit(f"tollgate: {why}")


if __name__ == "__main__":
    main()
