#!/usr/bin/env python3
"""Turns the records in `benches/results` into the tables of the READMEs.

    python3 benches/report.py                                       # prints them
    python3 benches/report.py --into benches/README.md README.md    # writes them
    python3 benches/report.py --into benches/README.md README.md --check

`--check` writes nothing, and fails if a file would change.

A table goes between `<!-- begin NAME -->` and `<!-- end NAME -->`: `speed` into the README of the
root, all others into that of `benches`. Markers without a table fail, and tables without markers.
"""

import argparse
import csv
import difflib
import math
import re
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).parent
GOVERNORS = ["governor", "governor + foldhash"]
CONTENDERS = ["tollgate", *GOVERNORS, "tokio-rate-limit", "throttlecrab", "Mutex<HashMap>", "floor"]
TYPES, OUTCOMES, THREADS = ["u64", "String"], ["allowed", "denied"], [1, 2, 8]
CELL = ["type", "outcome", "keys", "threads"]

# The keys of a cell, as recorded and as printed.
KEYED = {"1": "1", "1000": "1,000", "1000000": "1,000,000", "zipf": "1,000,000 by Zipf"}
KEYED["10000000"] = "10,000,000"
FIRST_SIGHT = {"first sight": "first sight"}
TWO_QUOTAS = {"1, two quotas": "1, two quotas", "1000, two quotas": "1,000, two quotas"}
KEYS = {**KEYED, **FIRST_SIGHT, **TWO_QUOTAS}

# The table of the root's README, all with u64 keys: outcome, keys, threads.
SPEED = {
    "one key denied, 2 threads": ("denied", "1", 2),
    "1,000 keys allowed, 1 thread": ("allowed", "1000", 1),
    "1,000 keys allowed, 2 threads": ("allowed", "1000", 2),
    "one key allowed, 2 threads": ("allowed", "1", 2),
    "1M keys Zipf, denied, 1 thread": ("denied", "zipf", 1),
}


def tables(results):
    """Returns each table by its name."""
    keyed = read_keyed(results)
    heap = read(results, "heap", ["type"], lambda row: float(row["bytes_per_key"]))
    instructions = read(results, "instructions", CELL[:3], lambda row: float(row["instructions"]))
    slowest = lambda row: (float(row["p9999_ns"]), float(row["max_ns"]))
    latency = read(results, "latency", ["what", "keys"], slowest)
    return {
        "speed": speed_table(keyed),
        "summary": summary(keyed),
        "keyed": keyed_tables(keyed),
        "first-sight": times(in_keyed(keyed, FIRST_SIGHT), ["type", "outcome", "threads"]),
        "two-quotas": times(in_keyed(keyed, TWO_QUOTAS), CELL),
        "heap": counts(heap, ["type"]),
        "latency": latency_table(latency),
        "instructions": counts(instructions, CELL[:3]),
    }


def read(results, name, keys, value):
    """Reads a file as a dict of cells, each of them a dict of contenders."""
    path = results / f"{name}.csv"
    cells = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            cell = cells.setdefault(tuple(row[key] for key in keys), {})
            if row["contender"] in cell or row["contender"] not in CONTENDERS:
                sys.exit(f"{path}: twice or unknown: {', '.join(row.values())}")
            cell[row["contender"]] = value(row)
    for key, cell in cells.items():
        if "tollgate" not in cell:
            sys.exit(f"{path}: no tollgate in {', '.join(key)}")
    return cells


def read_keyed(results):
    """Reads the cells by (type, outcome, keys, threads): each contender's ns, the ratio to
    tollgate's, and the number of disturbed turns that count."""

    def value(row):
        return float(row["ns"]), float(row["ratio"] or "nan"), int(row["disturbed"])

    cells = {}
    for (kind, outcome, keys, threads), cell in read(results, "keyed", CELL, value).items():
        if kind not in TYPES or outcome not in OUTCOMES or keys not in KEYS:
            sys.exit(f"keyed.csv: unknown cell {kind}, {outcome}, {keys}")
        if int(threads) not in THREADS:
            sys.exit(f"keyed.csv: {threads} threads are in no table")
        cells[kind, outcome, keys, int(threads)] = cell
    return cells


def in_keyed(keyed, among):
    """Returns the cells whose keys are in `among`, in reading order."""
    return [
        ((kind, outcome, keys, threads), keyed[kind, outcome, keys, threads])
        for kind in TYPES
        for outcome in OUTCOMES
        for keys in among
        for threads in THREADS
        if (kind, outcome, keys, threads) in keyed
    ]


def in_order(cells):
    """Returns the contenders of any of these cells."""
    present = {name for cell in cells for name in cell}
    return [name for name in CONTENDERS if name in present]


def keyed_tables(keyed):
    parts = ["ns per check per thread; **bold** is the fastest, by the ratios within a turn."]
    for kind in TYPES:
        for outcome in OUTCOMES:
            cells = [pair for pair in in_keyed(keyed, KEYED) if pair[0][:2] == (kind, outcome)]
            parts += [f"#### {kind}, {outcome}", times(cells, ["keys", "threads"])]
    return "\n\n".join(parts)


def times(cells, columns):
    """Has a row for each cell: its labels, the floor, each contender's ns, and the least ratio."""
    names = in_order(cell for _, cell in cells)
    names = names[-1:] + names[:-1]  # the floor first
    rows = []
    for key, cell in cells:
        row = labels(dict(zip(CELL, key)), columns) + [ns(cell, name) for name in names]
        rows.append(row + [f"{min(peers(cell).values()):.2f}"])
    return table(columns, [named(name) for name in names] + ["fastest peer / tollgate"], rows)


def speed_table(keyed):
    names = ["tollgate", *GOVERNORS]
    rows = []
    for label, (outcome, keys, threads) in SPEED.items():
        cell = keyed["u64", outcome, keys, threads]
        cell = {name: cell[name] for name in names}
        ratio = peers(cell)[GOVERNORS[1]]
        rows.append([label, *(ns(cell, name) for name in names), f"{ratio:.2f}"])
    heads = [*names, f"{GOVERNORS[1]} / tollgate"]
    return table(["ns per check per thread, u64 keys"], heads, rows)


def summary(keyed):
    """Has the geometric means over the tables by keys, and every cell that a peer wins."""
    means = []
    for among in [OUTCOMES, *([outcome] for outcome in OUTCOMES)]:
        row = [" and ".join(among)]
        for governor in GOVERNORS:
            cells = [cell for key, cell in in_keyed(keyed, KEYED) if key[1] in among]
            ratios = [cell[governor][1] for cell in cells]
            row.append(f"{statistics.geometric_mean(ratios):.2f} ({len(ratios)} cells)")
        means.append(row)
    lost = []
    for key, cell in in_keyed(keyed, KEYS):
        faster = [f"{named(name)} {ratio:.2f}" for name, ratio in peers(cell).items() if ratio < 1]
        if faster:
            lost.append([*labels(dict(zip(CELL, key)), CELL), ", ".join(faster)])
    text = f"tollgate loses {len(lost)} of {len(keyed)} cells"
    text += ":\n\n" + table(CELL, ["peer's time / tollgate's"], lost) if lost else "."
    disturbed = [key for key, cell in in_keyed(keyed, KEYS) if any(of[2] for of in cell.values())]
    if disturbed:
        cells = "; ".join(", ".join(labels(dict(zip(CELL, key)), CELL)) for key in disturbed)
        text += f"\n\nDisturbed turns count in {len(disturbed)} cells: {cells}."
    heads = [f"{governor} / tollgate" for governor in GOVERNORS]
    return f"{table(['geometric mean'], heads, means)}\n\n{text}"


def counts(cells, columns):
    """Has a row for each cell of counts. The least count is the best."""
    names = in_order(cells.values())
    rows = []
    for key, cell in cells.items():
        least = min(round(cell[name]) for name in cell if name != "floor")
        row = labels(dict(zip(columns, key)), columns)
        for name in names:
            best = name in cell and round(cell[name]) == least
            row.append(marked(name, number(cell[name]) if name in cell else "–", best))
        rows.append(row)
    return table(columns, [named(name) for name in names], rows)


def latency_table(cells):
    columns = ["what", "keys"]
    names = in_order(cells.values())
    rows = []
    for key, cell in cells.items():
        texts = [" / ".join(map(duration, cell[name])) if name in cell else "–" for name in names]
        rows.append([*labels(dict(zip(columns, key)), columns), *texts])
    return table(columns, [named(name) for name in names], rows)


def peers(cell):
    """Returns the ratios of tollgate's peers, rounded as printed."""
    return {
        name: round(cell[name][1], 2)
        for name in in_order([cell])
        if name not in ("tollgate", "floor") and not math.isnan(cell[name][1])
    }


def ns(cell, name):
    if name not in cell:
        return "–"
    ratios = {"tollgate": 1.0, **peers(cell)}
    return marked(name, number(cell[name][0]), ratios.get(name) == min(ratios.values()))


def marked(name, text, best):
    return f"*{text}*" if name == "floor" else f"**{text}**" if best else text


def named(contender):
    return {"floor": "*floor*", "Mutex<HashMap>": "`Mutex<HashMap>`"}.get(contender, contender)


def number(value):
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def labels(key, columns):
    """Returns the first columns of a row."""
    texts = {**key, "keys": KEYS.get(key.get("keys"), key.get("keys"))}
    return [str(texts[column]) for column in columns]


def duration(ns):
    value, unit = (ns / 1e3, "µs") if ns < 1e6 else (ns / 1e6, "ms")
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def table(columns, heads, rows):
    """Leaves out a label that the row above has, except in the last column of labels."""
    lines = [[*columns, *heads], ["---"] * len(columns) + ["--:"] * len(heads)]
    above = []
    for row in rows:
        same = [row[: i + 1] == above[: i + 1] for i in range(len(columns) - 1)]
        lines.append(["" if i < len(same) and same[i] else text for i, text in enumerate(row)])
        above = row
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def into(path, found):
    """Returns the text of a file with these tables."""
    of_benches = path.resolve().parent == HERE.resolve()
    due = [name for name in found if (name != "speed") == of_benches]
    text = path.read_text()
    begun = re.findall(r"<!-- begin (\S+) -->", text)
    if sorted(begun) != sorted(due):
        sys.exit(f"{path} has the markers of {begun}, and needs those of {due}, each once")
    for name in due:
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, _, rest = text.partition(begin)
        old, ended, after = rest.partition(end)
        if not ended or "<!-- begin" in old:
            sys.exit(f"{path}: no {end} after {begin}")
        text = f"{before}{begin}\n\n{found[name]}\n\n{end}{after}"
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", metavar="FILE", type=Path, nargs="+", default=[])
    parser.add_argument("--check", action="store_true", help="write nothing, fail if it would")
    parser.add_argument("--results", metavar="DIR", type=Path, default=HERE / "results")
    chosen = parser.parse_args()
    if chosen.check and not chosen.into:
        parser.error("--check needs --into")
    found = tables(chosen.results)
    if not chosen.into:
        print("\n\n".join(f"<!-- {name} -->\n\n{found[name]}" for name in found))
    stale = False
    for path in chosen.into:
        old, new = path.read_text(), into(path, found)
        if old == new:
            continue
        if chosen.check:
            stale = True
            lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
            print(f"{path} is not what is recorded", *list(lines)[2:], sep="\n", file=sys.stderr)
        else:
            path.write_text(new)
            print(f"written: {path}")
    if stale:
        again = [argument for argument in sys.argv[1:] if argument != "--check"]
        sys.exit(f"run: python3 benches/report.py {' '.join(again)}")


if __name__ == "__main__":
    main()
