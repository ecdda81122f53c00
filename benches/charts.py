"""Draws what was recorded as SVG, for `report.py`. The same data give the same bytes."""

import math
from html import escape

from recorded import CORES, OUTCOMES, THREADS, in_order, note, number

INK, SOFT, GRID, PAPER = "#1b1b1b", "#555555", "#dddddd", "#ffffff"
# Colours that the colour-blind tell apart (Okabe and Ito), and dashes for whoever sees none.
LOOKS = {
    "tollgate": ("#0072b2", ""),
    "governor": ("#d55e00", "9 3"),
    "governor + foldhash": ("#e69f00", "9 3 2 3"),
    "tokio-rate-limit": ("#cc79a7", "5 3"),
    "throttlecrab": ("#009e73", "5 3 1 3"),
    "Mutex<HashMap>": ("#56b4e9", "3 2"),
    "floor": ("#777777", "1 3"),
}
PLOT_WIDTH, PLOT_HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 230, 290, 62, 216, 74, 56
LINE = 16  # between two labels


def draw(keyed):
    """Each picture by its file's name, of what is recorded."""
    found = {
        "threads.svg": threads_chart(keyed),
        "keys.svg": keys_chart(keyed),
        "refused.svg": refused_chart(keyed),
    }
    for name in (name for name in found if not found[name]):
        note(f"left out: nothing is recorded for {name}")
    return {name: drawn for name, drawn in found.items() if drawn}


def threads_chart(keyed):
    xs = {threads: (str(threads), math.log(threads, max(THREADS))) for threads in THREADS}
    panes = {
        heading: lines_of(keyed, xs, lambda threads: ("u64", "allowed", keys, threads))
        for keys, heading in [("1", "One key"), ("1000", "1,000 keys")]
    }
    title = "Time of an allowed check by number of threads, u64 keys"
    return panels(title, panes, xs, f"threads, on {CORES} cores")


def keys_chart(keyed):
    texts = {1: "1", 1_000: "1,000", 1_000_000: "1M", 10_000_000: "10M"}
    xs = {str(keys): (texts[keys], math.log(keys, max(texts))) for keys in texts}
    panes = {
        outcome.capitalize(): lines_of(keyed, xs, lambda keys: ("u64", outcome, keys, 1))
        for outcome in OUTCOMES
    }
    return panels("Time of a check by number of keys, one thread, u64 keys", panes, xs, "keys")


def refused_chart(keyed):
    """Bars from zero, as throughputs are compared by length."""
    groups = []
    for threads in THREADS:
        cell = keyed.get(("u64", "refused", "1", threads), {})
        if cell:
            heading = f"{threads} thread" + ("" if threads == 1 else "s")
            heading += f" on {CORES} cores" if threads > CORES else ""
            rates = {name: threads * 1000 / cell[name][0] for name in in_order(cell)}
            groups.append((heading, rates))
    if not groups:
        return None
    _, high, ticks, _ = scale([max(rate for _, rates in groups for rate in rates.values())])
    left, width, step = 310, 480, 22
    y, body, told = 60, [], []
    for heading, rates in groups:
        body.append(text(16, y + 15, heading, 13, more=' font-weight="bold"'))
        for name, rate in rates.items():
            colour, long = LOOKS.get(name, (INK, ""))[0], width * rate / high
            paint = f'fill="{colour}"'
            if name == "floor":
                paint = f'fill="none" stroke="{colour}" stroke-dasharray="2 2"'
            size = f'width="{long:.1f}" height="{step - 6}"'
            body.append(text(left - 8, y + 15, name, 12, "end", more=bold(name)))
            body.append(f'<rect x="{left}" y="{y + 3}" {size} {paint}/>')
            body.append(text(left + long + 6, y + 15, f"{rate:.1f}", more=bold(name)))
            y += step
        told.append(f"{heading}: " + ", ".join(f"{n} {r:.1f}" for n, r in rates.items()) + ".")
        y += 14
    body.append(line(left, y - 6, left + width, y - 6, SOFT))
    for tick in ticks:
        at = left + width * tick / high
        body.append(line(at, y - 6, at, y - 1, SOFT))
        body.append(text(at, y + 13, f"{tick:g}", 12, "middle", SOFT))
    axis = "million checks a second, all threads together"
    body.append(text(left + width / 2, y + 34, axis, 12, "middle", SOFT))
    title = "A flood on one key that is refused: checks answered, u64 keys"
    described = f"Bars, in {axis}. " + " ".join(told)
    return svg(left + width + 60, y + 50, title, described, body)


def lines_of(keyed, xs, key):
    """Each contender's points: `key` makes the cell of an x."""
    lines = {}
    for x in xs:
        for name, (ns, *_) in keyed.get(key(x), {}).items():
            lines.setdefault(name, []).append((x, ns))
    return lines


def panels(title, panes, xs, x_title):
    """Plots side by side on one scale: `panes` has the lines of each by its heading."""
    panes = {heading: lines for heading, lines in panes.items() if lines}
    if not panes:
        return None
    y_scale = scale([ns for lines in panes.values() for of in lines.values() for _, ns in of])
    body, told = [], []
    for at, (heading, lines) in enumerate(panes.items()):
        left = LEFT + at * (LEFT + PLOT_WIDTH + RIGHT)
        body += panel(left, heading, lines, xs, x_title, y_scale)
        for name in in_order(lines):
            points = ", ".join(f"{number(ns)} at {xs[x][0]}" for x, ns in lines[name])
            told.append(f"{heading}, {name}: {points}.")
    width = len(panes) * (LEFT + PLOT_WIDTH + RIGHT)
    described = f"Nanoseconds per check, per thread, by {x_title}. " + " ".join(told)
    return svg(width, TOP + PLOT_HEIGHT + BOTTOM, title, described, body)


def panel(left, heading, lines, xs, x_title, y_scale):
    """One plot. `lines` has each contender's points, `xs` the text and place (0 to 1) of each x."""
    low, high, ticks, logarithmic = y_scale
    of = math.log10 if logarithmic else float
    bottom = TOP + PLOT_HEIGHT

    def up(value):
        return bottom - PLOT_HEIGHT * (of(value) - of(low)) / (of(high) - of(low))

    def across(x):
        return left + PLOT_WIDTH * (0.04 + 0.92 * xs[x][1])

    y_title = "ns per check, per thread" + (" (log scale)" if logarithmic else "")
    turned = f' transform="rotate(-90 {left - 46:.1f} {TOP + PLOT_HEIGHT / 2:.1f})"'
    body = [text(left, TOP - 14, heading, 13, more=' font-weight="bold"')]
    for tick in ticks:
        body.append(line(left, up(tick), left + PLOT_WIDTH, up(tick), GRID))
        body.append(text(left - 6, up(tick) + 4, f"{tick:,.0f}", anchor="end", colour=SOFT))
    body.append(text(left - 46, TOP + PLOT_HEIGHT / 2, y_title, 12, "middle", SOFT, turned))
    body.append(line(left, bottom, left + PLOT_WIDTH, bottom, SOFT))
    for x in xs:
        body.append(line(across(x), bottom, across(x), bottom + 5, SOFT))
        body.append(text(across(x), bottom + 19, xs[x][0], 12, "middle", SOFT))
    body.append(text(left + PLOT_WIDTH / 2, bottom + 40, x_title, 12, "middle", SOFT))

    names = in_order(lines)
    places = apart([up(lines[name][-1][1]) for name in names], TOP, bottom)
    # Tollgate's line is drawn last, above the others.
    for at, name in reversed(list(enumerate(names))):
        colour, dash = LOOKS.get(name, (INK, "2 2"))
        points = [(across(x), up(ns)) for x, ns in lines[name]]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        more = f' stroke-dasharray="{dash}"' if dash else ""
        width = 3 if name == "tollgate" else 2
        (x, y), label = points[-1], left + PLOT_WIDTH + 14
        body.append(line(x + 5, y, label - 3, places[at], colour, ' stroke-width="0.8"'))
        drawn = f'fill="none" stroke="{colour}" stroke-width="{width}"{more}'
        body.append(f'<polyline points="{path}" {drawn}/>')
        body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
        last, ns = lines[name][-1]
        words = f"{name}, {number(ns)}" + (f" at {xs[last][0]}" if last != list(xs)[-1] else "")
        body.append(text(label, places[at] + 4, words, more=bold(name)))
    return body


def scale(values):
    """Its ends, its ticks and whether it is logarithmic, which a range above tenfold asks for."""
    least, most = min(values), max(values)
    logarithmic = most > 10 * least
    if logarithmic:
        steps = [1, 2, 5] if most < 1_000 * least else [1]
        ticks = [step * 10.0**power for power in range(-3, 13) for step in steps]
        low = max(tick for tick in ticks if tick <= least)
        high = min(tick for tick in ticks if tick >= most)
    else:
        low, rough = 0, 10.0 ** math.floor(math.log10(most / 2))
        step = next(rough * by for by in [1, 2, 5, 10] if rough * by * 6 >= most)
        high = step * math.ceil(most / step)
        ticks = [step * i for i in range(int(high / step) + 1)]
    return low, high, [tick for tick in ticks if low <= tick <= high], logarithmic


def apart(wanted, low, high):
    """Where labels stand: near where they would, in the same order, and not on each other."""
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    places = []
    for i in order:
        places.append(max(wanted[i], places[-1] + LINE if places else low))
    # Those that were pushed too far push back.
    limit = high
    for at in reversed(range(len(places))):
        places[at] = min(places[at], limit)
        limit = places[at] - LINE
    return {i: place for i, place in zip(order, places)}


def svg(width, height, title, described, body):
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img" aria-labelledby="title desc"'
        ' font-family="Helvetica, Arial, sans-serif">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(described)}</desc>',
        f'<rect width="{width}" height="{height}" rx="6" fill="{PAPER}"/>',
        text(16, 28, title, 16, more=' font-weight="bold"'),
        *body,
        "</svg>\n",
    ])


def text(x, y, words, size=12, anchor="start", colour=INK, more=""):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"'
        f"{more}>{escape(words)}</text>"
    )


def line(x1, y1, x2, y2, colour, more=""):
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}"{more}/>'


def bold(contender):
    return ' font-weight="bold"' if contender == "tollgate" else ""
