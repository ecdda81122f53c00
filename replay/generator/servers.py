"""Lines of the formats `auto`, `common`, `combined` and `vhost_combined`."""

import json

from . import TRUST, broken_stamp, client, cut, prefix, proxied, stamp, user

REQUESTS = [
    b"GET / HTTP/1.1", b"GET /\\\"quoted\\\" HTTP/1.1", b"-", b"", b"\\x16\\x03\\x01", b"GET /\\\\",
    b"GET /\xff\xfe HTTP/1.0", b"GET / [10/Oct/2000:13:55:36 -0700] \\\" x", "GET /\u4e2d".encode(),
]
TAILS = [
    b"", b' "-" "agent"', b' "http://x.example/" "a \\"b\\""', b' "-" "\xff"', b' "-" "agent" 0.001 extra',
    b" ",
]
HOSTS = ["www.example:443", "example", "example:80", "-", "192.0.2.99:80", "shop.example"]


class Writer:
    def __init__(self, random, form):
        self.random, self.form = random, form
        self.base = [] if form == "auto" else ["--format", form]
        self.options = [
            [], ["--key", "user"], ["--key-type", "text"],
            ["--trust", TRUST, "--ipv4-prefix", "24", "--ipv6-prefix", "48"],
            ["--key", "client", "--ipv6-prefix", "128"], ["--key", "user", "--key-type", "text"],
        ]
        if form in ("auto", "vhost_combined"):
            self.options += [["--key", "vhost"], ["--key", "vhost", "--key-type", "text"]]

    def line(self, time, number):
        chance = self.random.random
        where = client(self.random, number) if chance() < 0.95 else proxied(self.random, number)
        if chance() < 0.02:
            where = self.random.choice(["host.example", "-", "unknown", "1.2.3.4.5", "1.2.3.04", "fe80::%",
                                        "1.2.3.4:", "[1.2.3.4]", "1.2.3.4:123456", "1.2.3.4:_a"])
        has_host = self.form == "vhost_combined" or (self.form == "auto" and chance() < 0.3)
        host = self.random.choice(HOSTS) + " " if has_host else ""
        who = user(self.random, number) if chance() < 0.6 else "-"
        ident = self.random.choice(["-", "-", "-", "-", "ident", "[x]"])
        if chance() < 0.01:
            # Another address in the place of the ident.
            ident = "192.0.2.77"
        head = f"{host}{where} {ident} {who}".encode()
        if chance() < 0.01:
            head = f"{host}{where} {ident}".encode()
        if chance() < 0.005:
            head += b"\xff"
        when = stamp(self.random, time) if chance() < 0.98 else broken_stamp(self.random)
        request = self.random.choice(REQUESTS) if chance() < 0.3 else REQUESTS[0]
        status = self.random.choice([b"200", b"404", b"-"])
        size = self.random.choice([b"0", b"5120", b"-"])
        line = head + f" [{when}] \"".encode() + request + b'" ' + status + b" " + size
        line += self.random.choice(TAILS)
        return self.spoiled(line, time)

    def spoiled(self, line, time):
        chance = self.random.random
        if chance() < 0.15:
            line = prefix(self.random, time) + line
        if chance() < 0.05:
            line = self.wrapped(line)
        if chance() < 0.005:
            line = b"\xef\xbb\xbf" + line
        if chance() < 0.005:
            line = b"\0" * self.random.choice([1, 5000]) + line
        if chance() < 0.02:
            line = self.random.choice([
                cut(self.random, line), b"", line.replace(b'" 200 ', b'" 20 '), line.replace(b'] "', b"] "),
                line.replace(b"GET", b'"GET'), line.replace(b'" 200 ', b'" 200  '), b"\x00\xff\x80",
                b"# a comment", b"<13>" + line.replace(b"  ", b" "),
                b"<1234>Mar 12 10:00:00 host nginx: " + line, b"Mar 12 10:00:00 host nginx " + line,
            ])
        if chance() < 0.0005:
            line += b" " + b"x" * 70_000
        return line

    def wrapped(self, line):
        """Returns the line as docker or journald write it, or as something like that."""
        text = line.decode(errors="replace")
        return self.random.choice([
            json.dumps({"log": text + "\n", "stream": "stdout", "time": "2026-03-12T10:00:00Z"}),
            json.dumps({"log": text + "\r\n", "MESSAGE": "x"}, ensure_ascii=False),
            json.dumps({"_PID": "1", "MESSAGE": text}), json.dumps({"log": 1, "MESSAGE": text}),
            json.dumps({"message": text}), json.dumps({"log": [text]}), json.dumps({"log": text})[:-1],
        ]).encode()
