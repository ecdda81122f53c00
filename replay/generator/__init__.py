"""The parts of `generate.py`: what each format writes, and how a line can be hostile or broken.

A writer has `base`, the arguments that every run needs, `options`, further arguments to choose from,
and `line`, which writes one line.
"""

from datetime import datetime, timedelta, timezone

SECOND = 10**9
TRUST = "10.0.0.0/8,192.168.0.0/16,fd00::/8"


def addresses(number):
    """Returns the address of a client in several spellings. The first is the usual one."""
    kind, host = number % 4, number // 4 + 1
    if kind == 0:
        # Two clients in one network of 64 bits.
        address = f"2001:db8:0:{host // 2}::{host}"
        return [address, f"[{address}]", f"[{address}]:4711", f"{address}%eth0", f"2001:DB8:0:{host // 2}::"]
    address = f"{(203, 198, 192)[kind - 1]}.0.113.{host}"
    return [address, f"{address}:4711", f"::ffff:{address}", f"[::FFFF:{address}]:1"]


def client(random, number):
    spellings = addresses(number)
    return spellings[0] if random.random() < 0.9 else random.choice(spellings)


def proxied(random, number):
    """Returns a value of X-Forwarded-For. About half of them are lists."""
    if random.random() < 0.5:
        return client(random, number)
    before = random.choice([
        "", "unknown, ", "8.8.8.8, ", "::1, ", "10.9.9.9, ", "localhost, ", ", ", "x:y,", "1.2.3.4,",
        "fe80::1%eth0, ", "10.0.0.300, ",
    ])
    port = random.choice(["", "", ":_hidden"]) if number % 4 else ""
    behind = random.choice(["", ", 10.0.0.1", ",192.168.3.4", ", 10.1.2.3:80, fd00::1", ", [fd00::2]:1",
                            ", 172.16.0.1", ",\t10.0.0.1"])
    return before + addresses(number)[0] + (port if behind else "") + behind


def user(random, number):
    """Returns the text of a user. It may be anything that a client sends."""
    name = f"user{number}"
    if random.random() < 0.75:
        return name
    return random.choice([
        "-", "", name.upper(), f"{name} [b] c", f"{name} \u00e9\u4e2d", f"  {name}\t", "10.0.0.1",
        "[2001:db8::1]:80", "1.2.3.4, 5.6.7.8", f"a:{number}", "true", f"{number}",
    ])


def stamp(random, time, is_plain=False):
    """Returns a stamp, without brackets. A plain one is as servers write it, with no far offset."""
    if is_plain or random.random() < 0.97:
        hours, minutes = random.choice([(0, 0), (0, 0), (-7, 0), (5, 30), (14, 0), (-12, -15)])
    else:
        hours, minutes = 25, 59
    offset = timedelta(hours=hours, minutes=minutes)
    local = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=time // SECOND) + offset
    sign = "-" if offset < timedelta(0) else "+"
    text = local.strftime("%d/%b/%Y:%H:%M:%S") + f" {sign}{abs(hours):02}{abs(minutes):02}"
    if not is_plain and random.random() < 0.02:
        return text.swapcase()
    return text


def broken_stamp(random):
    return random.choice([
        "30/Feb/2026:10:00:00 +0000", "12/Mar/2026:24:00:00 +0000", "12/Mar/2026:10:60:00 +0000",
        "12/Mar/2026:10:00:61 +0000", "12/Foo/2026:10:00:00 +0000", "31/Dec/1969:23:59:59 +0000",
        "01/Jan/2070:00:00:00 +0000", "01/Jan/1970:00:00:00 +0001", "12/Mar/2026:10:00:00 +2600",
        "12/Mar/2026:10:00:00 +0060", "12/Mar/2026 10:00:00 +0000", "2/Mar/2026:10:00:00 +0000",
        "12/Mar/2026:10:00:00", "00/Mar/2026:10:00:00 +0000", "12/Mar/0000:10:00:00 +0000",
    ])


def cut(random, line):
    """Returns a part of a line, as a full disk leaves it. It may be empty."""
    return line[: random.randrange(len(line))]


def iso(time, zone="+00:00"):
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=time // SECOND)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + zone


def prefix(random, time):
    """Returns what syslog or a container runtime writes before a line."""
    day = random.choice(["Mar 12", "Mar  2", "Foo 99"])
    return random.choice([
        f"<13>{day} 10:00:00 host nginx: ", f"{day} 10:00:00 host nginx[12]: ", f"{day} 10:00:00 nginx: ",
        f"<190>{iso(time, '.123456+02:00')} host httpd: ", f"{iso(time, 'Z')} httpd: ",
        f"<13>1 {iso(time, 'Z')} host nginx 1 - - ", "<1>1 - - - - - - ",
        f'<165>1 {iso(time, "Z")} host nginx 1 ID [a@1 b="c" d="]\\"\\]"][e@2] ',
        f"{iso(time, '.000000001Z')} stdout F ", f"{iso(time, '.1+01:00')} stderr F ",
    ]).encode()
