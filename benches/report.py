#!/usr/bin/env python3
"""Turns the records in `benches/results` into the tables of the READMEs.

    python3 benches/report.py            # prints them
    python3 benches/report.py --write    # writes them
    python3 benches/report.py --check    # writes nothing, and fails if a file would change

There is a record for each vendor of processors, in a folder of its own. A file there has the times, and
one of the same name that ends in `.txt` has the machine.

A table goes between `<!-- begin NAME -->` and `<!-- end NAME -->`: into the README of the root, that of
`benches`, or that of the vendor's folder. Markers without a table fail, and tables without markers.
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
ROOT = HERE.parent
VENDORS = {"intel": "Intel", "amd": "AMD"}
# Files of times, and what they are called. A vendor may lack one.
PROFILES = {"keyed": "", "keyed-fat": ", fat LTO"}
GOVERNORS = ["governor", "governor + foldhash"]
OPTIONS = ["calls", "clocks", "forgets"]
OWN = ["tollgate", "tollgate check"]
CONTENDERS = [*OWN, *GOVERNORS]
CONTENDERS += ["tokio-rate-limit", "throttlecrab", "Mutex<HashMap>", "floor", "tiers"]
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
    """Returns the tables of each file by their names."""
    heap = read(results, "heap", ["type"], lambda row: float(row["bytes_per_key"]))
    of_check = ["profile", *CELL[:3]]
    instructions = read(results, "instructions", of_check, lambda row: float(row["instructions"]))
    slowest = lambda row: (float(row["p9999_ns"]), float(row["max_ns"]))
    records, found = {}, {}
    for vendor, name in VENDORS.items():
        of_vendor = {
            f"{name}{suffix}": read_keyed(results / vendor, profile)
            for profile, suffix in PROFILES.items()
            if (results / vendor / f"{profile}.csv").exists()
        }
        latency = read(results / vendor, "latency", ["what", "keys"], slowest)
        found[results / vendor / "README.md"] = {
            "machine": machines(results / vendor),
            "keyed": keyed_tables(of_vendor, KEYED),
            "first-sight": keyed_tables(of_vendor, FIRST_SIGHT),
            "two-quotas": keyed_tables(of_vendor, TWO_QUOTAS),
            "latency": latency_table(latency),
            "options": options_tables(results / vendor),
        }
        records.update(of_vendor)
    found[ROOT / "README.md"] = {"speed": speed_table(records)}
    found[HERE / "README.md"] = {
        "summary": summary(records),
        "ratios": ratios_table(records),
        "heap": counts(heap, ["type"]),
        "instructions": counts(instructions, of_check),
    }
    return found


def machines(folder):
    """Has a column for each file of a vendor."""
    files = sorted(folder.glob("*.txt"))
    about = [dict(line.split(": ", 1) for line in path.read_text().splitlines()) for path in files]
    rows = [[name, *(of[name] for of in about)] for name in about[0]]
    return table([""], [f"`{path.stem}.csv`" for path in files], rows)


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


def read_keyed(results, name):
    """Reads the cells by (type, outcome, keys, threads): each contender's ns, the ratio to
    tollgate's, and the number of disturbed turns that count."""

    def value(row):
        return float(row["ns"]), float(row["ratio"] or "nan"), int(row["disturbed"])

    cells = {}
    for (kind, outcome, keys, threads), cell in read(results, name, CELL, value).items():
        if kind not in TYPES or outcome not in OUTCOMES or keys not in KEYS:
            sys.exit(f"{name}.csv: unknown cell {kind}, {outcome}, {keys}")
        if int(threads) not in THREADS:
            sys.exit(f"{name}.csv: {threads} threads are in no table")
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


def keyed_tables(records, among):
    """Has a table for each record, type and outcome of these cells."""
    parts = ["ns per check per thread; **bold** is the fastest, by the ratios within a turn."]
    for record, keyed in records.items():
        for kind in TYPES:
            for outcome in OUTCOMES:
                cells = in_keyed(keyed, among)
                cells = [pair for pair in cells if pair[0][:2] == (kind, outcome)]
                if cells:
                    parts += [f"{record}: {kind}, {outcome}", times(cells, ["keys", "threads"])]
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


def speed_table(records):
    names = ["tollgate", *GOVERNORS]
    rows = []
    for label, (outcome, keys, threads) in SPEED.items():
        for vendor in VENDORS.values():
            cell = records[vendor]["u64", outcome, keys, threads]
            cell = {name: cell[name] for name in names}
            ratio = peers(cell)[GOVERNORS[1]]
            rows.append([label, vendor, *(ns(cell, name) for name in names), f"{ratio:.2f}"])
    heads = [*names, f"{GOVERNORS[1]} / tollgate"]
    return table(["ns per check per thread, u64 keys", "processor"], heads, rows)


def summary(records):
    """Has the geometric means over the tables by keys, and every cell that a peer wins."""
    means = []
    for among in [OUTCOMES, *([outcome] for outcome in OUTCOMES)]:
        for governor in GOVERNORS:
            row = [" and ".join(among), governor]
            for keyed in records.values():
                cells = [cell for key, cell in in_keyed(keyed, KEYED) if key[1] in among]
                ratios = [cell[governor][1] for cell in cells if governor in cell]
                row.append(f"{statistics.geometric_mean(ratios):.2f} ({len(ratios)} cells)")
            means.append(row)
    text = table(["geometric mean", "time over tollgate's"], list(records), means)
    lost, counted = [], []
    for record, keyed in records.items():
        of_record = []
        for key, cell in in_keyed(keyed, KEYS):
            of = [f"{named(name)} {ratio:.2f}" for name, ratio in peers(cell).items() if ratio < 1]
            if of:
                of_record.append([record, *labels(dict(zip(CELL, key)), CELL), ", ".join(of)])
        lost += of_record
        cells = [cell for _, cell in in_keyed(keyed, KEYS)]
        disturbed = sum(any(of[2] for of in cell.values()) for cell in cells)
        counted.append(
            f"{record}: tollgate loses {len(of_record)} of {len(cells)} cells, and disturbed turns count "
            f"in {disturbed}."
        )
    text += "\n\n" + "\n".join(f"- {line}" for line in counted)
    if lost:
        text += "\n\nEvery cell that is lost:\n\n"
        text += table(["record", *CELL], ["peer's time / tollgate's"], lost)
    return text


def ratios_table(records):
    """Has both ratios of every cell, the records side by side."""
    keys = {key: None for keyed in records.values() for key, _ in in_keyed(keyed, KEYS)}
    rows = []
    for among in [KEYED, FIRST_SIGHT, TWO_QUOTAS]:
        for key in (key for key in keys if key[2] in among):
            row = labels(dict(zip(CELL, key)), CELL)
            for keyed in records.values():
                cell = keyed.get(key)
                row += [f"{cell['tollgate'][0]:,.0f}" if cell else "–"]
                row += [ratio(cell, governor) for governor in GOVERNORS]
            rows.append(row)
    heads = [f"{record}: {head}" for record in records for head in ["ns", "g", "g + f"]]
    return table(CELL, heads, rows)


def options_tables(folder):
    """Has a table for each option that was recorded: ns, and the ratio to the default."""
    parts = []
    for option in OPTIONS:
        path = folder / f"{option}.csv"
        if not path.exists():
            continue
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        names = list(dict.fromkeys(row["contender"] for row in rows))
        cells = {}
        for row in rows:
            text = f"{float(row['ns']):.1f} ({float(row['ratio']):.2f})"
            cells.setdefault(tuple(row[column] for column in CELL), []).append(text)
        lines = [[*labels(dict(zip(CELL, key)), CELL), *texts] for key, texts in cells.items()]
        parts += [f"`keyed -- --against {option}`", table(CELL, names, lines)]
    return "\n\n".join(parts) or "Not recorded."


def ratio(cell, contender):
    """Returns a ratio as text, and emphasizes one that tollgate loses."""
    if not cell or contender not in cell:
        return "–"
    ratio = round(cell[contender][1], 2)
    return f"**{ratio:.2f}**" if ratio < 1 else f"{ratio:.2f}"


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
        if name not in (*OWN, "floor") and not math.isnan(cell[name][1])
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


def filled(path, found):
    """Returns the text of a file with these tables."""
    text = path.read_text()
    begun = re.findall(r"<!-- begin (\S+) -->", text)
    if sorted(begun) != sorted(found):
        sys.exit(f"{path} has the markers of {begun}, and needs those of {list(found)}, each once")
    for name, of_name in found.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, _, rest = text.partition(begin)
        old, ended, after = rest.partition(end)
        if not ended or "<!-- begin" in old:
            sys.exit(f"{path}: no {end} after {begin}")
        text = f"{before}{begin}\n\n{of_name}\n\n{end}{after}"
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write them into their files")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if it would")
    chosen = parser.parse_args()
    stale = False
    for path, found in tables(HERE / "results").items():
        if not chosen.write and not chosen.check:
            print("\n\n".join(f"<!-- {name} -->\n\n{text}" for name, text in found.items()))
            continue
        old, new = path.read_text(), filled(path, found)
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
        sys.exit("run: python3 benches/report.py --write")


if __name__ == "__main__":
    main()
