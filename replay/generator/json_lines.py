"""Lines of the format `json`."""

import json

from . import SECOND, TRUST, client, cut, iso, prefix, proxied, stamp, user

BASE = ["--format", "json", "--time"]


class Raw(str):
    """Text that stands in the line as it is."""


class Writer:
    base = []

    def __init__(self, random):
        self.random = random
        self.options = [
            [*BASE, "ts", "--key", "user"],
            [*BASE, "ts", "--key", "client", "--key-type", "address", "--ipv6-prefix", "48"],
            [*BASE, "ts", "--key", "request.xff", "--key-type", "address", "--trust", TRUST],
            [*BASE, "ts", "--key", "request.xff", "--key", "client", "--key-type", "address", "--trust",
             TRUST],
            [*BASE, "at.0", "--key", "request.headers.X-Api-Key.0"],
            [*BASE, "at.0", "--key", "request.headers.X-Api-Key.0", "--key-type", "text"],
            [*BASE, "ts", "--key", "client", "--key-type", "text"],
            [*BASE, "ts", "--key", "number"],
        ]

    def line(self, time, number):
        chance = self.random.random
        fields = {
            "ts": self.time(time) if chance() < 0.98 else self.broken_time(),
            "at": [self.time(time), "x"],
            "client": client(self.random, number) if chance() < 0.98 else None,
            "user": user(self.random, number) if chance() < 0.9 else self.odd_value(),
            "number": Raw(self.random.choice([f"{number}", f"{number}.0", f"{number}e0", f"-{number}"])),
            "request": {
                "xff": proxied(self.random, number),
                "headers": {"X-Api-Key": [f"key-{number}" if chance() < 0.9 else self.odd_value()]},
            },
            "note": self.random.choice(["", 'a "b"', "\u00e9\n", "\U0001f600", "]}"]),
        }
        if chance() < 0.05:
            fields["request.headers.X-Api-Key.0"] = self.random.choice([f"key-{number}", None, "x", True])
        if chance() < 0.05:
            fields["request"]["headers"]["X-Api-Key"] = self.random.choice(
                [[], {"0": f"key-{number}"}, "key", None, [["a"]]])
        if chance() < 0.05:
            fields.pop(self.random.choice(["user", "client", "request", "number"]))
        names = list(fields)
        self.random.shuffle(names)
        line = self.written({name: fields[name] for name in names})
        return self.spoiled(line.encode(), time)

    def spoiled(self, line, time):
        chance = self.random.random
        if chance() < 0.15:
            line = prefix(self.random, time) + line
        if chance() < 0.02:
            line = self.random.choice([
                cut(self.random, line), b"", b"[1]", b"null", line + b",", line + b"}", b"{" + line,
                line.replace(b'"ts"', b"'ts'"), line.replace(b'"a ', b'"\xff'), b"<13>" + line,
                line.replace(b":", b": NaN,", 1), b"1.2.3.4 - - [", line + b" \t",
            ])
        if chance() < 0.005:
            line = b"\xef\xbb\xbf" + line
        if chance() < 0.0005:
            line = line[:-1] + b',"long":"' + b"x" * 70_000 + b'"}'
        return line

    def time(self, time):
        """Returns a time in any of the forms. A form may cut the time off."""
        seconds, rest = divmod(time, SECOND)
        digits = f"{rest:09}"[: self.random.randint(1, 9)]
        number = self.random.choice([
            f"{seconds}", f"{seconds}.{digits}", f"{time // 10**6}", f"{time // 10**6}.{rest % 10**6:06}",
            f"{time // 10**3}", f"{time // 10**3}.75", f"{time}", f"{time}.999", f"{seconds}.{rest:09}99",
        ])
        text = self.random.choice([
            iso(time, "Z"), iso(time, f".{digits}Z"), iso(time + 3600 * SECOND, f".{digits}+01:00"),
            iso(time - 5400 * SECOND, "-0130").replace("T", " "), iso(time, "z").replace("T", "t"),
            iso(time, "-00:00"), stamp(self.random, time), number, f"0{number}",
        ])
        return Raw(number) if self.random.random() < 0.5 else text

    def broken_time(self):
        return self.random.choice([
            None, True, {}, [], "", "-", Raw("-1"), Raw("1e9"), "1e9", "-1", "+1", "1.", ".5", " 1",
            "2026-03-12T10:00:00", "2026-02-29T10:00:00Z", "2026-03-12T10:00:00.Z", "2026-03-12",
            "2026-03-12T10:00:00.0123456789Z", "2026-03-12T10:00Z", "2070-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999Z", "2026-03-12T10:00:61Z", "2026-03-12T10:00:00+1",
            "[12/Mar/2026:10:00:00 +0000]", "12/Mar/2026:10:00:00", Raw("99999999999"), Raw("31557600000"),
            Raw("123456789012345678901234567890"),
        ])

    def odd_value(self):
        return self.random.choice([
            None, True, False, "", "-", " ", ' "" ', '""', " - ", {}, [], {"a": 1}, "1.2.3.4:80", "::1",
            Raw("1.50"), Raw("-0"), Raw("1E5"), Raw("12345678901234567890123"), "a\tb", "\u00e9", "\U0001f600",
        ])

    def written(self, value):
        if isinstance(value, Raw):
            return str(value)
        space = " " if self.random.random() < 0.1 else ""
        if isinstance(value, dict):
            parts = (f"{json.dumps(name)}:{space}{self.written(one)}" for name, one in value.items())
            return "{" + f",{space}".join(parts) + space + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(self.written, value)) + "]"
        return json.dumps(value, ensure_ascii=self.random.random() < 0.3)
