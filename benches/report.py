#!/usr/bin/env python3
"""Turns what was recorded in `benches/results` into tables and charts.

    python3 benches/report.py tables                                       # prints them
    python3 benches/report.py tables --into benches/README.md README.md    # writes them there
    python3 benches/report.py charts                                       # writes the SVG files

With `--check` it writes nothing, and fails if a file is not what it would write.

A table goes between `<!-- begin NAME -->` and `<!-- end NAME -->`, where NAME is what `tables`
prints above it: `speed` into the README of the root, the others into that of `benches`. What is not
recorded is left out, with a line on stderr. Markers without a table fail, and tables without
markers.
"""

import argparse
import difflib
import math
import re
import statistics
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import charts
from recorded import FIRST_SIGHT, KEYED, KEYS, OUTCOMES, TWO_QUOTAS, TYPES
from recorded import in_keyed, in_order, note, number, read, read_keyed

HERE = Path(__file__).parent
GOVERNORS = ["governor", "governor + foldhash"]
CELL = ["type", "outcome", "keys", "threads"]

# What the README of the root shows, all with u64 keys: outcome, keys, threads.
SPEED = {
    "one key refused, 2 threads": ("refused", "1", 2),
    "1,000 keys allowed, 1 thread": ("allowed", "1000", 1),
    "1,000 keys allowed, 2 threads": ("allowed", "1000", 2),
    "one key allowed, 2 threads": ("allowed", "1", 2),
    "1M keys Zipf, refused, 1 thread": ("refused", "zipf", 1),
}


def tables(results):
    """Each table by its name, of what is recorded."""
    keyed = read_keyed(results)
    heap = read(results, "heap", ["type"], lambda row: float(row["bytes_per_key"]))
    instructions = read(results, "instructions", CELL[:3], lambda row: float(row["instructions"]))
    slowest = lambda row: (float(row["p9999_ns"]), float(row["max_ns"]))
    latency = read(results, "latency", ["what", "keys"], slowest)
    found = {
        "speed": speed_table(keyed),
        "summary": summary(keyed),
        "keyed": keyed_tables(keyed),
        "first-sight": times(in_keyed(keyed, FIRST_SIGHT), ["type", "outcome", "threads"]),
        "two-quotas": times(in_keyed(keyed, TWO_QUOTAS), CELL),
        "heap": counts(heap, ["type"]),
        "latency": latency_table(latency),
        "instructions": counts(instructions, CELL[:3]),
    }
    for name in (name for name in found if not found[name]):
        note(f"left out: nothing is recorded for {name}")
    return {name: text for name, text in found.items() if text}


def keyed_tables(keyed):
    parts = ["ns per check per thread; **bold** is the fastest, by the ratios within a turn."]
    for kind in TYPES:
        for outcome in OUTCOMES:
            cells = [pair for pair in in_keyed(keyed, KEYED) if pair[0][:2] == (kind, outcome)]
            if cells:
                parts += [f"### {kind}, {outcome}", times(cells, ["keys", "threads"])]
    return "\n\n".join(parts) if len(parts) > 1 else ""


def times(cells, columns):
    """A row for each cell: which it is, the floor, the contenders' ns, and the least ratio."""
    cells = list(cells)
    if not cells:
        return ""
    names = in_order(name for _, cell in cells for name in cell)
    floor = ["floor"] if "floor" in names else []
    names = [name for name in names if name != "floor"]
    rows = []
    for key, cell in cells:
        ratios = peers(cell)
        row = labels(dict(zip(CELL, key)), columns) + [ns(cell, name) for name in floor + names]
        rows.append(row + [f"{min(ratios.values()):.2f}" if ratios else "–"])
    heads = [named(name) for name in floor + names]
    return table(columns, heads + ["fastest peer / tollgate"], rows)


def speed_table(keyed):
    names = ["tollgate", *GOVERNORS]
    rows = []
    for label, (outcome, keys, threads) in SPEED.items():
        cell = keyed.get(("u64", outcome, keys, threads), {})
        cell = {name: cell[name] for name in names if name in cell}
        if GOVERNORS[1] in peers(cell):
            ratio = peers(cell)[GOVERNORS[1]]
            rows.append([label, *(ns(cell, name) for name in names), f"{ratio:.2f}"])
        else:
            note(f"left out: {label}")
    heads = [*names, f"{GOVERNORS[1]} / tollgate"]
    return table(["ns per check per thread, u64 keys"], heads, rows) if rows else ""


def summary(keyed):
    """Geometric means over the cells of the tables by keys, and every cell that a peer wins."""
    if not keyed:
        return ""
    means = []
    for among in [OUTCOMES, *([outcome] for outcome in OUTCOMES)]:
        row = [" and ".join(among)]
        for governor in GOVERNORS:
            cells = [cell for key, cell in in_keyed(keyed, KEYED) if key[1] in among]
            ratios = [cell[governor][1] for cell in cells if governor in peers(cell)]
            mean = f"{statistics.geometric_mean(ratios):.2f}" if ratios else "–"
            row.append(f"{mean} ({len(ratios)} cells)")
        means.append(row)
    lost = []
    for key, cell in in_keyed(keyed, KEYS):
        faster = [f"{named(name)} {ratio:.2f}" for name, ratio in peers(cell).items() if ratio < 1]
        if faster:
            lost.append([*labels(dict(zip(CELL, key)), CELL), ", ".join(faster)])
    told = f"A peer is faster in {len(lost)} of {len(keyed)} cells"
    told += ":\n\n" + table(CELL, ["its time / tollgate's"], lost) if lost else "."
    disturbed = [key for key, cell in in_keyed(keyed, KEYS) if any(of[2] for of in cell.values())]
    if disturbed:
        cells = "; ".join(", ".join(labels(dict(zip(CELL, key)), CELL)) for key in disturbed)
        told += f"\n\nTurns that count were disturbed in {len(disturbed)}: {cells}."
    heads = [f"{governor} / tollgate" for governor in GOVERNORS]
    return f"{table(['geometric mean'], heads, means)}\n\n{told}"


def counts(cells, columns):
    """A row for each cell of counts, of which less is better."""
    names = in_order(name for cell in cells.values() for name in cell)
    rows = []
    for key, cell in cells.items():
        least = min((round(cell[name]) for name in cell if name != "floor"), default=None)
        row = labels(dict(zip(columns, key)), columns)
        for name in names:
            best = name in cell and round(cell[name]) == least
            row.append(marked(name, number(cell[name]) if name in cell else "–", best))
        rows.append(row)
    return table(columns, [named(name) for name in names], rows) if rows else ""


def latency_table(cells):
    columns = ["what", "keys"]
    rows = [
        [*labels(dict(zip(columns, key)), columns), named(name), *map(duration, cell[name])]
        for key, cell in cells.items()
        for name in in_order(cell)
    ]
    return table([*columns, "contender"], ["99.99%", "greatest"], rows) if rows else ""


def peers(cell):
    """The ratios to tollgate's of those that compete with it, as they are printed."""
    return {
        name: round(cell[name][1], 2)
        for name in in_order(cell)
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


def labels(key, columns):
    """The first columns of a row."""
    texts = {**key, "keys": KEYS.get(key.get("keys"), key.get("keys"))}
    return [str(texts[column]) for column in columns]


def duration(ns):
    value, unit = (ns, "ns") if ns < 1e3 else (ns / 1e3, "µs") if ns < 1e6 else (ns / 1e6, "ms")
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def table(columns, heads, rows):
    """Of the columns, what stands in the row above is not said again, but for the last."""
    lines = [[*columns, *heads], ["---"] * len(columns) + ["--:"] * len(heads)]
    above = []
    for row in rows:
        same = [row[: i + 1] == above[: i + 1] for i in range(len(columns) - 1)]
        lines.append(["" if i < len(same) and same[i] else text for i, text in enumerate(row)])
        above = row
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def into(path, found):
    """The file's text with its tables as they are now."""
    of_benches = path.resolve().parent.name == "benches"
    due = [name for name in found if (name != "speed") == of_benches]
    text = path.read_text()
    begun = re.findall(r"<!-- begin (\S+) -->", text)
    for name in sorted(set(due) - set(begun)):
        note(f"{path}: no <!-- begin {name} --> for that table")
    for name in sorted(set(begun) - set(due)):
        note(f"{path}: no table for <!-- begin {name} -->")
    if sorted(begun) != sorted(due):
        sys.exit(f"{path}: it needs the markers of {', '.join(due) or 'nothing'}, each once")
    for name in due:
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, _, rest = text.partition(begin)
        old, ended, after = rest.partition(end)
        if not ended or "<!-- begin" in old:
            sys.exit(f"{path}: no {end} after {begin}")
        text = f"{before}{begin}\n\n{found[name]}\n\n{end}{after}"
    return text


def write(files, check):
    """Writes the files, or tells what differs; whether nothing had to be written."""
    different = {p: t for p, t in files.items() if not p.exists() or p.read_text() != t}
    for path, text in different.items():
        if check:
            note(f"{path} is not what is recorded")
            if path.suffix == ".md":
                old, new = path.read_text().splitlines(), text.splitlines()
                note("\n".join(list(difflib.unified_diff(old, new, lineterm="", n=0))[2:]))
        else:
            path.write_text(text)
            print(f"written: {path}")
    return not different


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["tables", "charts"])
    parser.add_argument("--into", metavar="FILE", type=Path, nargs="+", default=[])
    parser.add_argument("--check", action="store_true", help="write nothing, fail if it would")
    parser.add_argument("--results", metavar="DIR", type=Path, default=HERE / "results")
    asked = parser.parse_args()
    if asked.what == "charts" and asked.into:
        parser.error("charts go beside what is recorded")
    if asked.what == "tables" and asked.check and not asked.into:
        parser.error("tables --check needs --into")
    if asked.what == "charts":
        found = charts.draw(read_keyed(asked.results))
        files = {asked.results / name: picture for name, picture in found.items()}
    else:
        found = tables(asked.results)
        files = {path: into(path, found) for path in asked.into}
        if not files:
            print("\n\n".join(f"<!-- {name} -->\n\n{found[name]}" for name in found))
    if asked.check and not found:
        sys.exit("nothing is recorded that a file could be held to")
    if not write(files, asked.check) and asked.check:
        again = [argument for argument in sys.argv[1:] if argument != "--check"]
        sys.exit(f"run: python3 benches/report.py {' '.join(again)}")


if __name__ == "__main__":
    main()
