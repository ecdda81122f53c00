"""Reads what was recorded in `benches/results`, for `report.py`."""

import csv
import sys

CONTENDERS = ["tollgate", "governor", "governor + foldhash", "tokio-rate-limit", "throttlecrab"]
CONTENDERS += ["Mutex<HashMap>", "floor"]
TYPES, OUTCOMES, THREADS = ["u64", "String"], ["allowed", "refused"], [1, 2, 8]
CORES = 2  # of the machine that recorded

# The keys that a keyed cell may have, as they are recorded and as they are printed.
KEYED = {"1": "1", "1000": "1,000", "1000000": "1,000,000", "zipf": "1,000,000 by Zipf"}
KEYED["10000000"] = "10,000,000"
FIRST_SIGHT = {"first sight": "first sight"}
TWO_QUOTAS = {"1, two quotas": "1, two quotas", "1000, two quotas": "1,000, two quotas"}
KEYS = {**KEYED, **FIRST_SIGHT, **TWO_QUOTAS}


def note(text):
    print(text, file=sys.stderr)


def read(results, name, keys, value):
    """A file as a dict of cells, each a dict of contenders; nothing if there is no such file."""
    path = results / f"{name}.csv"
    if not path.exists():
        note(f"left out: there is no {path}")
        return {}
    cells = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            cell = cells.setdefault(tuple(row[key] for key in keys), {})
            if row["contender"] in cell:
                sys.exit(f"{path}: twice {', '.join(row.values())}")
            cell[row["contender"]] = value(row)
    present = {contender for cell in cells.values() for contender in cell}
    for absent in in_order(set(CONTENDERS) - present):
        note(f"left out: {path} has no {absent}")
    return cells


def read_keyed(results):
    """Cells by (type, outcome, keys, threads): each contender's ns, its ratio to tollgate's, and
    how many turns count although the host took a core away."""

    def value(row):
        ratio = 1.0 if row["contender"] == "tollgate" else float(row["ratio"] or "nan")
        return float(row["ns"]), ratio, int(row["disturbed"])

    cells = {}
    order = ["type", "outcome", "keys", "threads"]
    for (kind, outcome, keys, threads), cell in read(results, "keyed", order, value).items():
        if kind not in TYPES or outcome not in OUTCOMES or keys not in KEYS:
            sys.exit(f"keyed.csv: unknown cell {kind}, {outcome}, {keys}")
        if int(threads) not in THREADS:
            sys.exit(f"keyed.csv: {threads} threads are in no table")
        if "tollgate" in cell:
            cells[kind, outcome, keys, int(threads)] = cell
        else:
            note(f"left out: {kind}, {outcome}, {keys}, {threads} threads has no tollgate")
    return cells


def in_order(contenders):
    """Those we know first, the floor last."""
    rank = {contender: place for place, contender in enumerate(CONTENDERS[:-1])}
    key = lambda name: (name == "floor", rank.get(name, len(rank)))
    return sorted(dict.fromkeys(contenders), key=key)


def in_keyed(keyed, among):
    """The cells whose keys are in `among`, in the order of reading."""
    for kind in TYPES:
        for outcome in OUTCOMES:
            for keys in among:
                for threads in THREADS:
                    if (kind, outcome, keys, threads) in keyed:
                        yield (kind, outcome, keys, threads), keyed[kind, outcome, keys, threads]


def number(value):
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
