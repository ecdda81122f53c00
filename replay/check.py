"""Calculates the numbers of `tollgate-replay` in another way, and compares the two reports.

    cargo run --release -p tollgate-replay -- --policy "10/minute; 60/hour" --json report.json access.log
    python3 replay/check.py --policy "10/minute; 60/hour" --compare report.json access.log

It follows `README.md`, not the code. All requests are held in memory. A bucket has a level, which
rises with time up to the burst. Times are whole nanoseconds, and levels are whole numbers on a scale
on which they are exact. `checker/` reads files, lines and keys.

Without --compare it prints its own report as JSON. With it, it prints each value that differs and
exits with status 1 if there is one. Neither has what only the program can tell: its warnings, the
lines that it shows, and the most keys that it stored.
"""

import argparse
import bisect
import collections
import heapq
import itertools
import json
import pathlib
import re
import sys
from fractions import Fraction

from checker import Malformed, files, keys, lines, patterns, times

SAMPLE = pathlib.Path(__file__).with_name("sample.log")
QUOTA = re.compile(
    r"\s*([\d_]+)\s*(?:/|per\b)\s*([\d_]+)?\s*([^\W\d_]+)\s*(?:burst\s*([\d_]+)\s*)?", re.IGNORECASE
)
# The lengths in ns, the names that are written, and those that are read besides.
PERIODS = [
    (7 * 86400 * times.SECOND, "week", "w wk wks"),
    (86400 * times.SECOND, "day", "d"),
    (3600 * times.SECOND, "hour", "h hr hrs"),
    (60 * times.SECOND, "minute", "m min mins"),
    (times.SECOND, "second", "s sec secs"),
    (10**6, "millisecond", "ms msec msecs"),
    (10**3, "microsecond", "us µs μs usec usecs"),
    (1, "nanosecond", "ns nsec nsecs"),
]
SUGGESTED = {
    "minute": [digit * 10**zeros for zeros in range(4) for digit in (1, 2, 5)],
    "hour": [digit * 10**zeros for zeros in range(1, 5) for digit in (1, 2, 5)],
}
MOST_BINS = 480
# In seconds. Behind them, widths double.
WIDTHS = [1, 5, 15, 60, 300, 900, 3600, 3 * 3600, 12 * 3600, 86400, 7 * 86400]
NOT_COMPARED = {"reading", "stored_at_peak", "warnings", "shown", "error"}

Quota = collections.namedtuple("Quota", "units period burst")
Request = collections.namedtuple("Request", "time key")


def main():
    arguments = read_arguments()
    logs = [read_log(path, arguments) for path in arguments.files]
    window = arguments.reorder_seconds * times.SECOND
    requests = in_order(merged([requests for requests, _ in logs]), window)
    if arguments.files == [SAMPLE]:
        # The program has its own name for the sample that is built in.
        NOT_COMPARED.add("name")
    result = report(requests, [counts for _, counts in logs], arguments)
    if arguments.compare is None:
        print(json.dumps(result, indent=1, ensure_ascii=False))
    else:
        sys.exit(compare(json.loads(arguments.compare.read_text(encoding="utf-8")), result))


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=policy, action="append")
    parser.add_argument("--format", default="auto")
    parser.add_argument("--time", metavar="FIELD")
    parser.add_argument("--key", metavar="FIELD", action="append")
    parser.add_argument("--key-type", choices=["address", "text"])
    parser.add_argument("--trust", type=lambda text: [keys.network(one) for one in text.split(",")])
    parser.add_argument("--ipv4-prefix", type=int, default=32)
    parser.add_argument("--ipv6-prefix", type=int, default=64)
    parser.add_argument("--reorder-seconds", type=int, default=60)
    parser.add_argument("--suggest", action="append", default=[], metavar="PERCENT")
    parser.add_argument("--compare", type=pathlib.Path, metavar="REPORT")
    parser.add_argument("files", nargs="*", type=pathlib.Path, metavar="FILE")
    arguments = parser.parse_args()
    arguments.policy = arguments.policy or [policy("100/minute burst 10")]
    arguments.files = arguments.files or [SAMPLE]
    try:
        arguments.lines = line_format(arguments)
    except ValueError as error:
        parser.error(str(error))
    if (arguments.key_type or arguments.lines.default_type) == "text":
        arguments.keys = keys.TextKeys(is_chosen=arguments.key_type is not None)
    else:
        prefixes = arguments.ipv4_prefix, arguments.ipv6_prefix
        arguments.keys = keys.AddressKeys(arguments.trust, *prefixes)
    return arguments


def line_format(arguments):
    form = arguments.format
    if form in ("auto", "common", "combined", "vhost_combined"):
        return lines.Common(form, arguments.key and arguments.key[0])
    if form == "json":
        return lines.Json(arguments.time, arguments.key)
    if patterns.is_pattern(form):
        return patterns.Pattern(form, arguments.key)
    raise ValueError(f"not a format: {form!r}")


def policy(text):
    """Returns a list of quotas."""
    quotas = []
    for part in text.split(";"):
        match = QUOTA.fullmatch(part)
        if match is None:
            raise argparse.ArgumentTypeError(f"not a quota: {part!r}")
        units, count, name, burst = match.groups()
        name = name.lower()
        lengths = [length for length, long, short in PERIODS
                   if name.removesuffix("s") == long or name in short.split()]
        if not lengths:
            raise argparse.ArgumentTypeError(f"not a unit of time: {name!r}")
        quotas.append(Quota(int(units), int(count or 1) * lengths[0], int(burst or units)))
    return quotas


def text_of(quotas):
    """Writes a policy. Weeks are read and not written."""
    texts = []
    for units, period, burst in quotas:
        length, name, _ = next(entry for entry in PERIODS[1:] if period % entry[0] == 0)
        count = period // length
        text = f"{units}/{name}" if count == 1 else f"{units}/{count} {name}s"
        texts.append(text if burst == units else f"{text} burst {burst}")
    return "; ".join(texts)


def read_log(path, arguments):
    """Returns the requests of a file, in the order of its lines, and its part of the report."""
    requests, without_key, malformed = [], 0, 0
    try:
        all_lines = files.lines_of(path)
    except (OSError, files.Unreadable):
        all_lines = []
    for line in all_lines:
        try:
            if len(line) > files.LONGEST_LINE:
                raise Malformed
            time, value = arguments.lines.read(line)
            key = arguments.keys.key(value)
        except Malformed:
            malformed += 1
            continue
        if key is None:
            without_key += 1
        else:
            requests.append(Request(time, key))
    return requests, {
        "name": str(path), "lines": len(all_lines), "requests": len(requests),
        "without_key": without_key, "malformed": malformed,
    }


def merged(logs):
    """Returns all requests. The next is from the log whose next request is the earliest.

    Of logs whose next requests have the same time, the first argument goes first.
    """
    arrived = []
    heads = [(log[0].time, number, 0) for number, log in enumerate(logs) if log]
    heapq.heapify(heads)
    while heads:
        _, number, at = heads[0]
        log = logs[number]
        arrived.append(log[at])
        if at + 1 < len(log):
            heapq.heapreplace(heads, (log[at + 1].time, number, at + 1))
        else:
            heapq.heappop(heads)
    return arrived


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


def decide(requests, reached, quotas):
    """Returns whether each request is denied, and how many keys are in debt at the end.

    A level is in units, times the period in ns. On this scale it rises by `units` in each ns.
    """
    # For each key, the time of its latest admission and the levels after it.
    buckets = {}
    full = [burst * period for _, period, burst in quotas]

    def levels(key, now):
        if key not in buckets:
            return full
        then, left = buckets[key]
        return [min(level + (now - then) * quota.units, most)
                for level, quota, most in zip(left, quotas, full)]

    denied = []
    for request, now in zip(requests, reached):
        held = levels(request.key, now)
        left = [level - quota.period for level, quota in zip(held, quotas)]
        denied.append(min(left) < 0)
        if not denied[-1]:
            buckets[request.key] = now, left
    in_debt = sum(levels(key, reached[-1]) != full for key in buckets)
    return denied, in_debt


def report(requests, counts, arguments):
    reached = list(itertools.accumulate((request.time for request in requests), max))
    clients = collections.Counter(request.key for request in requests)
    decisions = [decide(requests, reached, quotas) for quotas in arguments.policy]
    denied_flags = [flags for flags, _ in decisions]
    denials = [collections.Counter(request.key for request, is_denied in zip(requests, flags)
                                   if is_denied) for flags in denied_flags]
    return {
        "first": times.utc(reached[0]) if reached else None,
        "last": times.utc(reached[-1]) if reached else None,
        "reorder_seconds": arguments.reorder_seconds,
        "requests": len(requests),
        "late": sum(request.time < now for request, now in zip(requests, reached)),
        "without_key": sum(file["without_key"] for file in counts),
        "malformed": sum(file["malformed"] for file in counts),
        "clients": len(clients),
        "files": counts,
        "policies": [
            policy_report(quotas, reached, clients, denied, flags, in_debt)
            for quotas, denied, (flags, in_debt) in zip(arguments.policy, denials, decisions)
        ],
        "classes": classes(clients, denials),
        "timeline": timeline(reached, denied_flags),
        "suggestions": suggestions(requests, reached, arguments.suggest),
    }


def policy_report(quotas, reached, clients, denied, flags, in_debt):
    minute = 60 * times.SECOND
    minutes = collections.Counter(now // minute for now, is_denied in zip(reached, flags) if is_denied)
    busiest = min(minutes, key=lambda start: (-minutes[start], start), default=None)
    worst = sorted(denied, key=lambda key: (-denied[key], key))[:10]
    return {
        "policy": text_of(quotas),
        "admitted": flags.count(False),
        "denied": flags.count(True),
        "touched": len(denied),
        "worst": [{"key": key, "admitted": clients[key] - denied[key], "denied": denied[key]}
                  for key in worst],
        "busiest": None if busiest is None else
            {"start": times.utc(busiest * minute), "denied": minutes[busiest]},
        "stored_at_end": in_debt,
    }


def classes(clients, denials):
    """Groups clients by the number of digits of their requests."""
    groups = collections.defaultdict(list)
    for key, count in clients.items():
        groups[len(str(count))].append(key)
    return [
        {
            "at_least": 10 ** (digits - 1),
            "at_most": 10**digits - 1,
            "clients": len(members),
            "requests": sum(clients[key] for key in members),
            "touched": [sum(key in denied for key in members) for denied in denials],
            "denied": [sum(denied[key] for key in members) for denied in denials],
        }
        for digits, members in sorted(groups.items())
    ]


def timeline(reached, denied_flags):
    """Counts in at most 480 bins, which start at multiples of their width."""
    widths = itertools.chain(WIDTHS, (WIDTHS[-1] * 2**power for power in itertools.count(1)))
    for width in widths:
        numbers = [now // (width * times.SECOND) for now in reached]
        if not numbers or numbers[-1] - numbers[0] < MOST_BINS:
            break
    bins = [number - numbers[0] for number in numbers]

    def counted(flags):
        counts = [0] * (bins[-1] + 1 if bins else 0)
        for place in itertools.compress(bins, flags):
            counts[place] += 1
        return counts

    return {
        "start": times.utc(numbers[0] * width * times.SECOND) if reached else None,
        "seconds_per_bin": width,
        "requests": counted(itertools.repeat(True)),
        "denied": [counted(flags) for flags in denied_flags],
    }


def suggestions(requests, reached, percents):
    """Names the tightest round policies that deny few enough, and the next tighter one of each."""
    if not percents:
        return []
    found = []
    denied = {per: [round_policy(requests, reached, per, units) for units in all_units]
              for per, all_units in SUGGESTED.items()}
    for percent in percents:
        most = len(requests) * (1 - Fraction(percent) / 100)
        for per, ladder in denied.items():
            place = next((place for place, step in enumerate(ladder) if step["denied"] <= most),
                         len(ladder))
            found.append({
                "percent": percent,
                "per": per,
                "policy": ladder[place] if place < len(ladder) else None,
                "tighter": ladder[place - 1] if place > 0 else None,
            })
    return found


def round_policy(requests, reached, per, units):
    quotas = policy(f"{units}/{per}")
    denied, _ = decide(requests, reached, quotas) if requests else ([], 0)
    return {"policy": text_of(quotas), "denied": sum(denied)}


def compare(reported, expected):
    """Prints each value that differs. Returns 1 if there is one, and 0 otherwise."""
    found, wanted = by_path(reported), by_path(expected)
    differing = [path for path in {**wanted, **found}
                 if found.get(path, "absent") != wanted.get(path, "absent")]
    for path in differing:
        print(f"{path}:", f"  found    {found.get(path, 'absent')!r}",
              f"  expected {wanted.get(path, 'absent')!r}", sep="\n")
    print(f"{len(differing)} of {len(wanted)} values differ" if differing
          else f"all {len(wanted)} values agree")
    return 1 if differing else 0


def by_path(value, path=""):
    """Returns the values in a report by their paths. An empty list or object is a value, too."""
    if isinstance(value, dict):
        inner = [(f"{path}.{name}".lstrip("."), one) for name, one in value.items()
                 if name not in NOT_COMPARED]
    elif isinstance(value, list):
        inner = [(f"{path}[{place}]", one) for place, one in enumerate(value)]
    else:
        return {path: value}
    if not inner:
        return {path: "empty"}
    return {place: one for name, part in inner for place, one in by_path(part, name).items()}


if __name__ == "__main__":
    main()
