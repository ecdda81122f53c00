#!/usr/bin/env python3
"""Counts the instructions of a check, for each contender, or holds tollgate's to the record.

    python3 benches/instructions.py                                          # a table
    python3 benches/instructions.py --csv benches/results/instructions.csv   # and record it
    python3 benches/instructions.py --check                                  # for CI

They do not depend on what else the machine does. Counted is `keyed::ask` of `benches/peers`, as the
difference of two runs of unlike length, so that what is done but once falls out. It needs valgrind,
which leaves two things out: the waits that time measures, and the inside of a reading of the clock,
if that is a call into the kernel there.

Each count is the median of five, as limiters seed their hash by chance. A cell that varies by more
than some per cent is a finding: it was one when the memory of refusals kept newcomers out.

`--check` counts tollgate alone and fails if a cell takes over 5% more than was recorded. A narrower
bound would fail by itself: for the seeds, and as the C library's copying and comparing follow the
processor. A compiler that differs from the recorded one is named and not excused, as users pay for
its regressions too; if it is to blame, or if a cell takes over 5% less, record anew.
"""

import argparse
import csv
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
from callgrind import build, collected

HERE = Path(__file__).parent
RECORD = HERE / "results" / "instructions.csv"
TOLERANCE = 0.05
ASK = "*keyed::ask*"
SHORTER, LONGER, RUNS = 2_000, 22_000, 5
CONTENDERS = {
    "u64": ["tollgate", "governor", "governor + foldhash", "Mutex<HashMap>", "floor"],
    "String": ["tollgate", "governor", "governor + foldhash", "tokio-rate-limit", "throttlecrab"],
}
CONTENDERS["String"] += CONTENDERS["u64"][-2:]
CELLS = [(t, o, k) for t in CONTENDERS for o in ["allowed", "refused"] for k in ["1", "1000"]]


def count(program, contender, cell):
    """The instructions of one check, or a `ValueError` that says why there is no telling."""
    counts = []
    for _ in range(RUNS):
        longer = collected(program, [contender, *cell, str(LONGER)], ASK)
        shorter = collected(program, [contender, *cell, str(SHORTER)], ASK)
        # Nothing counted would pass for a great improvement.
        if longer <= shorter:
            raise ValueError(f"{longer} instructions in `keyed::ask`: is it inlined, or renamed?")
        counts.append((longer - shorter) / (LONGER - SHORTER))
    return statistics.median(counts)


def said(cell):
    kind, outcome, keys = cell
    return f"{kind}, {outcome}, {int(keys):,} key" + ("" if keys == "1" else "s")


def table(program, rustc, into):
    rows = []
    for kind, contenders in CONTENDERS.items():
        print(f"{kind:28}" + "".join(f"  {contender:>8}" for contender in contenders))
        for cell in (cell for cell in CELLS if cell[0] == kind):
            print(f"{said(cell):28}", end="", flush=True)
            for contender in contenders:
                try:
                    counted = f"{count(program, contender, cell):.0f}"
                    rows.append([*cell, contender, counted, rustc])
                except ValueError as why:
                    if contender == "tollgate":
                        raise
                    counted = "-"
                    print(f"\n{contender}, {said(cell)}: {why}", file=sys.stderr)
                print(f"  {counted:>{max(8, len(contender))}}", end="", flush=True)
            print()
    if into:
        with open(into, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow("type outcome keys contender instructions rustc".split())
            writer.writerows(rows)


def check(program, rustc, record):
    """Whether tollgate takes no more than was recorded, cell by cell."""
    with open(record, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["contender"] == "tollgate"]
    recorded = {(row["type"], row["outcome"], row["keys"]): row for row in rows}
    worse, better = [], []
    for cell in CELLS:
        if cell not in recorded:
            sys.exit(f"{record} has no tollgate row for {said(cell)}")
        before, by = float(recorded[cell]["instructions"]), recorded[cell].get("rustc") or "unknown"
        now = count(program, "tollgate", cell)
        change = now / before - 1
        line = f"{said(cell):28} recorded {before:6.0f}  measured {now:6.0f}  {change:+7.1%}"
        if by != rustc:
            line += f"  (recorded with rustc {by}, this is {rustc})"
        print(line, flush=True)
        if abs(change) > TOLERANCE:
            (worse if change > 0 else better).append(line)
    if better:
        print(f"\nOver {TOLERANCE:.0%} less than recorded; record anew with --csv {record}:")
        print("\n".join(better))
    if worse:
        print(f"\nFAILED, over {TOLERANCE:.0%} more than recorded in {record}:")
        print("\n".join(worse))
    return not worse


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", metavar="FILE", help="record the table there")
    parser.add_argument("--check", action="store_true", help="hold tollgate to the record")
    parser.add_argument("--record", metavar="FILE", default=RECORD, help="that --check reads")
    parser.add_argument("--manifest-path", default=str(HERE / "peers" / "Cargo.toml"))
    asked = parser.parse_args()
    if asked.check and asked.csv:
        parser.error("--check records nothing")
    if not shutil.which("valgrind"):
        sys.exit("valgrind is missing: apt-get install valgrind")
    if asked.check and not Path(asked.record).exists():
        sys.exit(f"{asked.record} is missing: nothing is recorded to hold tollgate to")
    # Where the program is built: a toolchain file may choose another compiler there.
    where = Path(asked.manifest_path).resolve().parent
    told = subprocess.run(["rustc", "--version"], cwd=where, stdout=subprocess.PIPE, text=True)
    rustc = told.stdout.split()[1]
    program = build(asked.manifest_path, "check")
    try:
        if not asked.check:
            table(program, rustc, asked.csv)
        elif not check(program, rustc, asked.record):
            sys.exit(1)
    except ValueError as why:
        sys.exit(f"tollgate: {why}")


if __name__ == "__main__":
    main()
