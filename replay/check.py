"""Calculates the numbers of `tollgate-replay` in another way, and compares the two reports.

    cargo run --release -p tollgate-replay -- --policy "10/minute; 60/hour" access.log > report.txt
    python3 replay/check.py --policy "10/minute; 60/hour" --compare report.txt access.log

All requests are held in memory, and every number is a fraction. A bucket has a level, which rises
with time up to the burst. `src/log_line.rs` says which lines count, and `src/reorder.rs` what "in
order within a window" means. This program follows their comments, not their code.

Without --compare it prints its own report. With it, it prints each line that differs and exits with
status 1 if there is one.
"""

import argparse
import bisect
import collections
import gzip
import itertools
import pathlib
import re
import sys
from datetime import datetime, timedelta, timezone
from fractions import Fraction

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
END = datetime(2070, 1, 1, tzinfo=timezone.utc)
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
LONGEST_LINE = 65536

HOST = re.compile(rb"[\x21-\x7e]+(?= )")
STAMP = re.compile(
    rb" \[(\d\d)/([A-Za-z]{3})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\] \""
)
# From behind the opening quote: the request, the status and the size.
REST = re.compile(rb'(?:[^"\\]|\\.)*" (?:\d{3}|-) (?:\d+|-)(?: |\Z)', re.DOTALL)

QUOTA = re.compile(
    r"\s*([\d_]+)\s*(?:/|per\b)\s*([\d_]+)?\s*([^\W\d_]+)\s*(?:burst\s*([\d_]+)\s*)?", re.IGNORECASE
)
PERIODS = {
    "ns nsec nsecs nanosecond nanoseconds": Fraction(1, 10**9),
    "us µs μs usec usecs microsecond microseconds": Fraction(1, 10**6),
    "ms msec msecs millisecond milliseconds": Fraction(1, 10**3),
    "s sec secs second seconds": Fraction(1),
    "m min mins minute minutes": Fraction(60),
    "h hr hrs hour hours": Fraction(3600),
    "d day days": Fraction(86400),
    "w wk wks week weeks": Fraction(7 * 86400),
}

Request = collections.namedtuple("Request", "key time")


def main():
    arguments = read_arguments()
    requests, malformed = read_logs(arguments.files)
    requests = in_order(requests, arguments.reorder_seconds)
    lines = report(requests, malformed, arguments.policy)
    if arguments.compare is None:
        print(*lines, sep="\n")
    else:
        sys.exit(compare(arguments.compare.read_text(encoding="utf-8").splitlines(), lines))


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=policy, default="100/minute burst 10")
    parser.add_argument("--reorder-seconds", type=int, default=60)
    parser.add_argument("--compare", type=pathlib.Path, metavar="REPORT")
    sample = pathlib.Path(__file__).with_name("sample.log")
    parser.add_argument("files", nargs="*", type=pathlib.Path, default=[sample], metavar="FILE")
    return parser.parse_args()


def policy(text):
    """Returns a list of (units per second, burst)."""
    quotas = []
    for part in text.split(";"):
        match = QUOTA.fullmatch(part)
        if match is None:
            raise argparse.ArgumentTypeError(f"not a quota: {part!r}")
        units, count, name, burst = match.groups()
        seconds = [length for names, length in PERIODS.items() if name.lower() in names.split()]
        if not seconds:
            raise argparse.ArgumentTypeError(f"not a unit of time: {name!r}")
        quotas.append((int(units) / (int(count or 1) * seconds[0]), int(burst or units)))
    return quotas


def read_logs(paths):
    requests, malformed = [], 0
    for path in paths:
        log = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        if log.startswith(b"\x1f\x8b"):
            log = gzip.decompress(log)
        lines = log.split(b"\n")
        if lines[-1] == b"":
            lines.pop()
        for line in lines:
            request = parse(line)
            if request is None:
                malformed += 1
            else:
                requests.append(request)
    return requests, malformed


def parse(line):
    """Returns the request of a line, or None if the line is malformed."""
    if len(line) > LONGEST_LINE:
        return None
    if line.endswith(b"\r"):
        line = line[:-1]
    host = HOST.match(line)
    stamp = host and STAMP.search(line, host.end())
    if not stamp or not REST.match(line, stamp.end()):
        return None
    day, month, year, hour, minute, second, sign, *offset = (
        int(group) if group.isdigit() else group.decode().lower() for group in stamp.groups()
    )
    if offset[0] > 25 or offset[1] > 59:
        return None
    offset = timedelta(hours=offset[0], minutes=offset[1])
    if second == 60:
        second = 59
    try:
        month = MONTHS.index(month) + 1
        time = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
        time = time - offset if sign == "+" else time + offset
    except (ValueError, OverflowError):
        return None
    if not EPOCH <= time < END:
        return None
    return Request(host.group().decode(), (time - EPOCH) // timedelta(seconds=1))


def in_order(requests, window):
    """Returns the requests in the order in which they are replayed.

    A request is replayed at the first arrival, not before its own, by which a request has arrived
    whose time is at least `window` later. One arrival replays its requests in order of time.
    """
    newest = list(itertools.accumulate((request.time for request in requests), max))

    def when(arrival):
        time = requests[arrival].time
        # `newest` never falls. No arrival before its own can release a request.
        released = bisect.bisect_left(newest, time + window, lo=arrival)
        return released, time, arrival

    return [requests[arrival] for arrival in sorted(range(len(requests)), key=when)]


def report(requests, malformed, quotas):
    replayed = list(itertools.accumulate((request.time for request in requests), max))
    late = sum(request.time < now for request, now in zip(requests, replayed))

    # For each key, the time of its latest admission and the levels after it.
    buckets = {}

    def levels(key, now):
        if key not in buckets:
            return [Fraction(burst) for _, burst in quotas]
        then, left = buckets[key]
        risen = (level + (now - then) * rate for level, (rate, _) in zip(left, quotas))
        return [min(level, Fraction(burst)) for level, (_, burst) in zip(risen, quotas)]

    admitted, denied, minutes = (collections.Counter() for _ in range(3))
    for request, now in zip(requests, replayed):
        held = levels(request.key, now)
        if min(held) >= 1:
            buckets[request.key] = now, [level - 1 for level in held]
            admitted[request.key] += 1
        else:
            denied[request.key] += 1
            minutes[now // 60] += 1

    lines = []
    if requests:
        lines += [
            row("first request", utc(replayed[0], "%Y-%m-%d %H:%M:%S")),
            row("last request", utc(replayed[-1], "%Y-%m-%d %H:%M:%S")),
        ]
    lines += [
        row("requests", len(requests)),
        row("keys", len({request.key for request in requests})),
        row("admitted", sum(admitted.values())),
        row("denied", sum(denied.values())),
        row("late", late),
        row("malformed", malformed),
    ]
    if denied:
        lines.append("most denied keys:")
        for key, count in sorted(denied.items(), key=lambda item: (-item[1], item[0]))[:10]:
            lines.append(f"  {count:>8} denied {admitted[key]:>8} admitted  {key}")
        minute, count = min(minutes.items(), key=lambda item: (-item[1], item[0]))
        minute = utc(minute * 60, "%Y-%m-%d %H:%M")
        lines.append(row("busiest denied minute", f"{minute}, {count} denied"))
    else:
        lines += [row("most denied keys", "none"), row("busiest denied minute", "none")]

    bursts = [burst for _, burst in quotas]
    in_debt = sum(levels(key, replayed[-1]) != bursts for key in buckets)
    lines.append(row("stored after sweeping", in_debt))
    return lines


def row(label, value):
    return f"{label + ':':<24}{value}"


def utc(seconds, form):
    return (EPOCH + timedelta(seconds=seconds)).strftime(form) + " UTC"


def compare(reported, expected):
    """Prints each line that differs. Returns 1 if there is one, and 0 otherwise."""
    found, wanted = by_name(reported), by_name(expected)
    # Lines that only the replay can print are not compared: arguments, malformed lines, sweeps.
    names = list(wanted) + [name for name in found if name.startswith("key ")]
    differing = 0
    for name in dict.fromkeys(names):
        if found.get(name) != wanted.get(name):
            differing += 1
            print(f"{name}:", f"  found {found.get(name)!r}", f"  expected {wanted.get(name)!r}",
                  sep="\n")
    print(f"{differing} lines differ" if differing else f"all {len(wanted)} lines agree")
    return 1 if differing else 0


def by_name(lines):
    """Returns the lines by label, and the most denied keys by rank."""
    keys = [line for line in lines if re.match(r" +\d+ denied +\d+ admitted  ", line)]
    names = {line.split(":")[0]: line for line in lines if not line.startswith(" ")}
    return names | {f"key {rank}": line for rank, line in enumerate(keys, start=1)}


if __name__ == "__main__":
    main()
