"""Looks at the pages of `tollgate-replay --html` in a browser.

    cargo build --release -p tollgate-replay
    python3 replay/look.py target/release/tollgate-replay

The program replays its sample and generated logs, of which one has hostile keys. Headless Chromium
opens each page, untouched and with its content security policy, on a phone and on a desktop, light
and dark. It measures what it has drawn. The measurements are compared with the JSON report.

Then the checks are checked: bugs are planted in copies of the pages, and each must be found.

Exits with status 1 if a check fails, and with 2 if there is no browser.
"""

import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from fractions import Fraction

from looker.browser import Browser
from looker.probe import INJECT, PROBE

VIEWS = [(360, "light"), (360, "dark"), (1280, "light"), (1280, "dark")]
MAX_BYTES = 2_000_000
# A label may be this far from its time: the position is in hundredths of a percent.
LABEL_ERROR = Fraction(2, 10_000)
START = datetime(2026, 3, 12, 9, 58, 40, tzinfo=timezone.utc)

TEXT_KEYS = ["--format", "json", "--time", "t", "--key", "k", "--key-type", "text"]
POLICIES = ["10/minute", "10/minute; 60/hour", "1000/day burst 20"]
MANY_QUOTAS = (
    "20/second burst 40; 90/minute; 400/hour; 900/day; "
    "19/second burst 41; 89/minute burst 91; 399/hour burst 401; 899/day burst 901"
)


def main():
    arguments = read_arguments()
    with tempfile.TemporaryDirectory(prefix="look-", ignore_cleanup_errors=True) as folder:
        folder = pathlib.Path(folder)
        pages = [page(arguments.program, folder) for page in CASES]
        browser = Browser(arguments.browser, folder / "profile")
        try:
            failures = [failure for page in pages for failure in look(browser, page)]
            failures += look_for_planted_bugs(browser, {page.name: page for page in pages})
        finally:
            browser.close()
    if failures:
        print(*failures, sep="\n")
        sys.exit(1)
    print(f"no flaw of {len(pages)} pages in {len(VIEWS)} views; found {len(PLANTED)} planted bugs")


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--browser", default="chromium", help="Default: chromium")
    parser.add_argument("program", type=pathlib.Path, help="tollgate-replay")
    arguments = parser.parse_args()
    if shutil.which(arguments.browser) is None:
        print(f"error: there is no browser {arguments.browser!r}", file=sys.stderr)
        sys.exit(2)
    arguments.program = arguments.program.resolve()
    return arguments


class Page:
    """A page that the program wrote, and the report of the same run."""

    def __init__(self, name, program, folder, policies, log=None, options=(), statuses=(0,)):
        self.name = name
        self.path = folder / f"{name}.html"
        report = folder / f"{name}.json"
        command = [program, *options, "--html", self.path, "--json", report]
        for policy in policies:
            command += ["--policy", policy]
        run = subprocess.run(command + ([log] if log else []), capture_output=True, check=False)
        if run.returncode not in statuses:
            output = run.stderr.decode(errors="replace")
            sys.exit(f"{name}: the program failed with status {run.returncode}\n{output}")
        self.report = json.loads(report.read_text())


def write_log(path, requests):
    """Writes pairs of seconds since START and a key. A key of None is left out."""
    with open(path, "w", encoding="utf-8") as log:
        for seconds, key in sorted(requests, key=lambda request: request[0]):
            stamp = (START + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
            line = {"t": stamp} if key is None else {"t": stamp, "k": key}
            log.write(json.dumps(line) + "\n")
    return path


def sample(program, folder):
    options = ["--suggest", "99.9", "--suggest", "90"]
    return Page("sample", program, folder, POLICIES, options=options)


HOSTILE = [
    "<script>document.title='pwned'</script>",
    "</title></style></bdi></table></svg><script>document.title='pwned'</script>",
    "\"'><img src=x onerror=\"document.title='pwned'\">",
    "x" * 65_000,
    "\u202e\u2066gnp.exe\u200f\u200b\u2069",
    "\u05e9\u05dc\u05d5\u05dd" * 100,
    "e" + "\u0301" * 500,
    "\0\x1b[31m\n\t&lt;&amp;",
    "W\u00a0" * 300,
    "\U0001f600" * 300,
]


def hostile(program, folder):
    """Has clients of five classes. The heaviest ones are hostile, and so is the file's name."""
    numbers = random.Random(1)
    requests = [(numbers.uniform(0, 7200), f"light-{client}") for client in range(900)]
    for number, key in enumerate(HOSTILE):
        requests += [(numbers.uniform(600 * number, 7200), key) for _ in range(120 - number)]
    for client in range(40):
        requests += [(numbers.gauss(3600, 600), f"{client}.example") for _ in range(30)]
    requests += [(numbers.uniform(3000, 3300), "198.51.100.66") for _ in range(12_000)]
    log = write_log(folder / ("<img src=x>&quot;'\"" + "n" * 200 + ".json"), requests)
    policies = [*POLICIES, MANY_QUOTAS, "1/minute", "2/hour", "100000/minute", "1000/hour burst 10"]
    return Page("hostile", program, folder, policies, log, [*TEXT_KEYS, "--suggest", "99.9"])


def single(program, folder):
    log = write_log(folder / "single.log", [(0, "a")])
    return Page("single", program, folder, POLICIES[:1], log, TEXT_KEYS)


def nothing(program, folder):
    """Has no request: a line without a key, and one that is malformed."""
    log = write_log(folder / "nothing.log", [(0, None), (1, None), (2, "-")])
    with open(log, "a", encoding="utf-8") as file:
        file.write("<script>document.title='pwned'</script>\n")
    return Page("nothing", program, folder, POLICIES, log, TEXT_KEYS, statuses=(0, 1))


def years(program, folder):
    numbers = random.Random(2)
    days = [numbers.uniform(0, 1200) for _ in range(3000)] + [300 + n / 5000 for n in range(5000)]
    log = write_log(folder / "years.log", [(86_400 * day, "a") for day in days])
    return Page("years", program, folder, POLICIES, log, TEXT_KEYS)


def full(program, folder):
    """Has as many bars as a page can have of 20 policies: nearly all requests are denied."""
    log = write_log(folder / "full.log", [(n / 3, f"key {n % 2}") for n in range(480 * 8 * 3)])
    policies = [f"{number}/hour" for number in range(1, 21)]
    return Page("full", program, folder, policies, log, TEXT_KEYS)


CASES = [sample, hostile, single, nothing, years, full]


def look(browser, page):
    """Returns what is wrong with a page."""
    failures = []
    if page.path.stat().st_size > MAX_BYTES:
        failures.append(f"{page.name}: size: {page.path.stat().st_size} bytes")
    for width, scheme in VIEWS:
        browser.open(page.path, width, scheme)
        for flaw in flaws(browser, page.report):
            failures.append(f"{page.name}, {width} px, {scheme}: {flaw}")
    return failures


def flaws(browser, report):
    """Compares the open page with the report. Yields flaws, each of which starts with its check."""
    seen = browser.evaluate(PROBE)
    for check, flaw in seen["flaws"]:
        yield f"{check}: {flaw}"
    if "tollgate-replay" not in seen["title"]:
        yield f"title: {seen['title']!r}"
    for url in {*seen["fetched"], *browser.fetched}:
        yield f"fetch: {url}"
    yield from wrong_headline(seen, report)
    if report["requests"]:
        yield from wrong_tables(seen, report)
        yield from wrong_classes(seen, report)
        yield from wrong_plots(seen, report)
        yield from wrong_labels(seen, report)
    elif seen["plots"] or seen["classes"] or "no request" not in seen["text"]:
        yield "empty: the page does not only say that there is no request"
    yield from wrong_pixels(browser, seen)
    if browser.evaluate(INJECT) != seen["title"]:
        yield "policy: the page allows scripts"


def percent(part, whole):
    if part == 0:
        return "0%"
    if part == whole:
        return "100%"
    parts = int(Fraction(10_000 * part, whole) + Fraction(1, 2))
    if parts == 0:
        return "<0.01%"
    return ">99.99%" if parts == 10_000 else f"{parts // 100}.{parts % 100:02}%"


def wrong_headline(seen, report):
    names = ["requests", "clients", "late", "malformed", "without_key"]
    expected = [f"{report[name]:,}" for name in names]
    if seen["headline"] != expected:
        yield f"headline: {seen['headline']} instead of {expected}"
    if len(report["warnings"]) != seen["warnings"]:
        yield f"headline: {seen['warnings']} warnings"


def wrong_tables(seen, report):
    """Compares the table of policies and the tables of the worst clients, as text."""
    if len(report["policies"]) != len(seen["policies"]):
        yield f"numbers: {len(seen['policies'])} instead of {len(report['policies'])} policies"
    for policy, cells in zip(report["policies"], seen["policies"]):
        expected = [
            policy["policy"],
            f"{policy['admitted']:,}",
            f"{policy['denied']:,}",
            percent(policy["denied"], report["requests"]),
            f"{policy['touched']:,} {percent(policy['touched'], report['clients'])}",
        ]
        if [" ".join(cell.split()) for cell in cells[:5]] != expected:
            yield f"numbers: {cells[:5]} instead of {expected}"
    worst = [client for policy in report["policies"] for client in policy["worst"]]
    if len(worst) != len(seen["worst"]):
        yield f"keys: {len(seen['worst'])} instead of {len(worst)} worst clients"
    for client, (key, denied, *_) in zip(worst, seen["worst"]):
        expected = client["key"][:200] + ("…" if len(client["key"]) > 200 else "")
        # Invisible characters are written as escapes.
        if expected.isprintable() and key != expected:
            yield f"keys: {key!r} instead of {expected!r}"
        if denied != f"{client['denied']:,}":
            yield f"keys: {denied} instead of {client['denied']} denied"


def wrong_classes(seen, report):
    """Compares the bars and the texts of each class, for each policy."""
    classes = report["classes"]
    most = max(each["clients"] for each in classes)
    if [len(rows) for rows in seen["classes"]] != [len(classes)] * len(report["policies"]):
        yield "classes: a row is missing"
        return
    for policy, rows in enumerate(seen["classes"]):
        for each, cells in zip(classes, rows):
            sides = [("clients", "touched", most), ("requests", "denied", each["requests"])]
            for cell, (all_name, part_name, scale) in zip(cells, sides, strict=True):
                whole, part = each[all_name], each[part_name][policy]
                where = f"classes: policy {policy}, {each['at_least']} requests, {part_name}"
                text = f"{part:,} of {whole:,} {percent(part, whole)}"
                if " ".join(cell["text"].split()) != text:
                    yield f"{where}: {cell['text']!r} instead of {text!r}"
                bars = [whole / scale] + ([part / scale] if part else [])
                close = [abs(a - b) < 0.001 for a, b in zip(bars, cell["bars"])]
                if len(bars) != len(cell["bars"]) or not all(close):
                    yield f"{where}: bars {cell['bars']} instead of {bars}"


def wrong_plots(seen, report):
    """Compares number, place, height and tooltip of the bars over time."""
    timeline = report["timeline"]
    start, width = read_time(timeline["start"]), timeline["seconds_per_bin"]
    if len(seen["plots"]) != len(report["policies"]):
        yield f"bars: {len(seen['plots'])} plots"
        return
    top = max(timeline["requests"])
    for policy, plot in enumerate(seen["plots"]):
        denied = timeline["denied"][policy]
        expected = [
            (bin, number, denied[bin])
            for bin, number in enumerate(timeline["requests"])
            if number or denied[bin]
        ]
        if len(expected) != len(plot["bars"]):
            yield f"bars: {len(plot['bars'])} instead of {len(expected)} for policy {policy}"
            continue
        total = 0
        for (bin, *numbers), bar in zip(expected, plot["bars"]):
            where = f"policy {policy}, bin {bin}"
            second = start.replace(microsecond=0) + timedelta(seconds=bin * width)
            requests = f"{numbers[0]:,} request{'' if numbers[0] == 1 else 's'}"
            title = f"{second:%-d %b %Y, %H:%M:%S} UTC: {requests}, {numbers[1]:,} denied"
            if bar["title"] != title:
                yield f"tooltip: {bar['title']!r} instead of {title!r}"
            if int(bar["left"]) != bin:
                yield f"bars: {where} is drawn at {bar['left']}"
            heights = [number / top for number in numbers if number]
            if len(heights) != len(bar["heights"]):
                yield f"bars: {where} has {len(bar['heights'])} bars"
            elif any(abs(a - b) > 1e-4 for a, b in zip(heights, bar["heights"])):
                yield f"heights: {where}: {bar['heights']} instead of {heights}"
            total += bar["heights"][1] if len(bar["heights"]) > 1 else 0
        # Each bar is rounded to 1/10,000 of the height.
        if abs(total * top - sum(denied)) > 1e-4 * top * len(expected):
            yield f"heights: policy {policy}: all denials are {total * top}, not {sum(denied)}"
        if sum(denied) != report["policies"][policy]["denied"]:
            yield f"heights: the report counts {sum(denied)} denials of policy {policy}"


def read_time(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def wrong_labels(seen, report):
    """Checks that each label of an axis is at its time or number, and that each axis has labels."""
    timeline = report["timeline"]
    start = read_time(timeline["start"])
    for plot in seen["plots"]:
        length = plot["bins"] * timeline["seconds_per_bin"]
        if not plot["times"] or not plot["levels"]:
            yield "labels: an axis has none"
        for label, position in plot["times"]:
            shown = start + timedelta(seconds=length * position)
            errors = [abs((shown - time).total_seconds()) for time in meanings(label, shown)]
            error = min(errors, default=length)
            if error > LABEL_ERROR * length:
                yield f"labels: {label!r} is {error} s beside its time"
        for label, position in plot["levels"]:
            expected = int(label.replace(",", "")) / max(timeline["requests"])
            # In whole pixels of 120.
            if abs(position - expected) > 1 / 120:
                yield f"labels: {label!r} is at {position} instead of {expected}"


def meanings(label, near):
    """Returns the times near a time that a label can stand for."""
    for format in ["%H:%M:%S", "%H:%M", "%d %b %Y", "%b %Y", "%Y"]:
        needs_year = "%Y" in format and format != "%Y"
        years = [f" {near.year + years}" for years in (-1, 0, 1)] if needs_year else [""]
        for year in years:
            try:
                time = datetime.strptime(label + year, format).replace(tzinfo=timezone.utc)
            except ValueError:
                continue
            if "%H" not in format:
                yield time
                continue
            for days in (-1, 0, 1):
                yield datetime.combine(near.date() + timedelta(days), time.timetz())


def wrong_pixels(browser, seen):
    """Looks at screenshots: at the top of the page, and at the first plot with a denial."""
    colors = set(browser.screenshot(0, 0, seen["width"], 900, 0.25))
    if len(colors) < 8:
        yield f"blank: the page has {len(colors)} colours"
    for has_denied in (True, False):
        for plot in seen["plots"]:
            if has_denied == any(len(bar["heights"]) > 1 for bar in plot["bars"]):
                pixels = browser.screenshot(*plot["box"], 0.5)
                red = [each for each in pixels if each[0] > 80 and each[0] > 1.5 * max(each[1:])]
                if bool(red) != has_denied:
                    yield f"blank: {len(red)} red pixels in {plot['name']!r}"
                break


# Bugs: the check that must find it, the page, and how it is planted. A pair is replaced in the text
# of the page; a text is a script that runs in the open page.
NO_POLICY = ("Content-Security-Policy", "x-nothing")
SCRIPT = "<script>document.title='pwned'</script>"
ESCAPED = SCRIPT.replace("<", "&lt;").replace(">", "&gt;")
PLANTED = [
    ("title", "hostile", [NO_POLICY, (ESCAPED, SCRIPT)]),
    ("policy", "sample", [NO_POLICY]),
    ("fetch", "sample", [NO_POLICY, ("<main>", "<main><img src='x.png'>")]),
    ("overflow", "hostile", "find('.excerpt').forEach(e => e.style.maxWidth = 'none')"),
    ("overflow", "sample", "find('h1')[0].style.width = '1400px'"),
    ("overlap", "sample", "find('.level')[1].y.baseVal[0].value += 30"),
    ("overlap", "sample", "find('.narrow, .wide').forEach(e => e.style.display = 'inline')"),
    ("outside", "sample", "find('.bars path')[0].setAttribute('d', 'M-9 0v10h1V0')"),
    ("outside", "hostile", "find('.bar rect')[0].setAttribute('width', '101%')"),
    ("contrast", "sample", "find('.legend')[0].style.color = '#909090'"),
    ("narrow", "sample", [("thead th { white-space: nowrap", "th { overflow-wrap: anywhere")]),
    ("narrow", "hostile", "find('.worst .excerpt')[0].style.maxWidth = '20px'"),
    ("names", "sample", "find('.timeline title')[0].remove()"),
    ("names", "sample", "find('th')[0].removeAttribute('scope')"),
    ("headline", "nothing", "find('.headline div')[0].remove()"),
    ("headline", "sample", "find('.headline strong')[2].textContent = 'x'"),
    ("numbers", "sample", "find('.policies td')[1].textContent = 1"),
    ("keys", "hostile", "find('.worst .excerpt').forEach(e => e.textContent = 'x')"),
    ("classes", "hostile", "find('.classes tbody tr')[0].remove()"),
    ("classes", "hostile", "find('.classes .d')[0].setAttribute('width', '7%')"),
    ("classes", "hostile", "find('.classes td strong')[0].textContent = 7"),
    ("bars", "years", "find('.bars g g')[5].remove()"),
    ("bars", "years", "find('.bars .d')[1].remove()"),
    ("bars", "years", "find('.bars g g')[5].setAttribute('transform', 'translate(1 0)')"),
    ("heights", "years", "find('.bars .d')[1].setAttribute('transform', 'scale(1 0.9)')"),
    ("tooltip", "years", "find('.bars title')[5].textContent = ''"),
    ("labels", "years", "find('.times text').forEach(e => e.x.baseVal[0].value += 2)"),
    ("labels", "years", "find('.level')[1].textContent = 1"),
    ("blank", "sample", "find('main')[0].style.opacity = 0"),
    ("blank", "sample", "find('.bars').forEach(e => e.style.visibility = 'hidden')"),
    ("empty", "nothing", "find('.empty')[0].remove()"),
]


def look_for_planted_bugs(browser, pages):
    """Returns the bugs that no check found."""
    failures = []
    for number, (check, name, bug) in enumerate(PLANTED):
        page = pages[name]
        copy = page.path.with_name(f"planted-{number}.html")
        text = page.path.read_text(encoding="utf-8")
        for old, new in bug if isinstance(bug, list) else []:
            if old not in text:
                sys.exit(f"planted bug {number}: the page has no {old!r}")
            text = text.replace(old, new)
        copy.write_text(text, encoding="utf-8")
        browser.open(copy, *VIEWS[0])
        if isinstance(bug, str):
            browser.evaluate(f"{{ const find = s => [...document.querySelectorAll(s)]; {bug} }}")
        if not any(flaw.startswith(f"{check}:") for flaw in flaws(browser, page.report)):
            failures.append(f"planted bug {number} in {name}: the check {check!r} did not find it")
    return failures


if __name__ == "__main__":
    main()
