"""Lines of formats that are written as nginx or Apache are configured."""

from . import SECOND, TRUST, broken_stamp, client, cut, iso, proxied, stamp, user

# A format, further arguments to choose from, and the names that a line is written with.
NGINX = [
    (
        '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
        '"$http_user_agent" "$http_x_forwarded_for" "$http_x_api_key"',
        [[], ["--key", "$remote_user"], ["--key", "http_x_api_key"], ["--key-type", "text"],
         ["--key", "$http_x_forwarded_for", "--trust", TRUST],
         ["--key", "$http_x_forwarded_for", "--key", "$remote_addr", "--trust", TRUST],
         ["--key", "$http_x_api_key", "--key-type", "text"]],
        "default",
        '{addr} - {user} [{stamp}] "{any}" {status} {size} "{any}" "{any}" "{proxied}" "{key}"',
    ),
    (
        "log_format main escape=json '{\"time\":\"$time_iso8601\",\"addr\":\"${remote_addr}\",'\n"
        "    '\"user\":\"$remote_user\",\"xff\":\"$http_x_forwarded_for\",\"took\":$request_time,'\n"
        "    \"\\\"key\\\":\\\"$http_x_api_key\\\",\\\"host\\\":\\\"$host\\\"}\";",
        [[], ["--key", "remote_user"], ["--key", "$http_x_api_key"], ["--key", "$host"],
         ["--key", "$http_x_forwarded_for", "--trust", TRUST, "--ipv6-prefix", "56"]],
        "json",
        '{{"time":"{iso}","addr":"{addr}","user":"{user}","xff":"{proxied}","took":{took},'
        '"key":"{key}","host":"{host}"}}',
    ),
    (
        "log_format tabs escape=none '$msec\\t$realip_remote_addr\\t$request_id\\t$http_x_real_ip\\t'\n"
        "  '$server_name\\t$request\\t$status\\t$http_x_api_key\\t$request_time';",
        [["--key", "$http_x_real_ip"], ["--key", "realip_remote_addr"], ["--key", "$http_x_api_key"],
         ["--key", "$server_name", "--key-type", "text"]],
        "none",
        "{msec}\t{addr}\t{id}\t{real}\t{host}\t{any}\t{status}\t{key}\t{took}",
    ),
]
APACHE = [
    (
        'LogFormat "%h %l %u %t \\"%r\\" %>s %b \\"%{Referer}i\\" \\"%{X-Forwarded-For}i\\" '
        '\\"%{X-API-Key}i\\" %D" mine',
        [[], ["--key", "%u"], ["--key", "%{X-API-Key}i"], ["--key", "%h", "--key-type", "text"],
         ["--key", "%{X-Forwarded-For}i", "--trust", TRUST],
         ["--key", "%{X-Forwarded-For}i", "--key", "%h", "--trust", TRUST],
         ["--key", "%{X-API-Key}i", "--key-type", "text"]],
        "apache",
        '{addr} - {user} [{stamp}] "{any}" {status} {size} "{any}" "{proxied}" "{key}" {digits}',
    ),
    (
        '%v:%p %a %{c}a %{usec}t "%r" %s %O "%{x-real-ip}i" "%{X-API-Key}i" 100%%',
        [[], ["--key", "%{c}a"], ["--key", "%{X-API-Key}i"], ["--key", "%v"], ["--key", "%{x-real-ip}i"]],
        "apache",
        '{host}:80 {addr} {addr} {usec} "{any}" {status} {digits} "{real}" "{key}" 100%',
    ),
    (
        '%{msec}t %{c}a "%{X-API-Key}i" %B "%{Referer}i" %>s %D',
        [["--key", "%{c}a"], ["--key", "%{X-API-Key}i"],
         ["--key", "%{X-API-Key}i", "--key-type", "text"]],
        "apache",
        '{msec_whole} {addr} "{key}" {digits} "{any}" {status} {digits}',
    ),
]


class Writer:
    def __init__(self, random, server, seed):
        cases = NGINX if server == "nginx" else APACHE
        form, self.options, self.escape, self.template = cases[seed % len(cases)]
        self.random, self.base = random, ["--format", form]

    def line(self, time, number):
        line = self.template.format_map(Values(self, time, number)).encode()
        if self.random.random() < 0.02:
            line = self.random.choice([cut(self.random, line), b"", line + b" more", b"x" + line, b"{}"])
        if self.random.random() < 0.005:
            line = b"\xef\xbb\xbf" + line
        return line

    def escaped(self, value):
        """Writes a value as the server does."""
        missing = "" if self.escape == "json" else "-"
        if value is None:
            return missing
        data = value if isinstance(value, bytes) else value.encode()
        if self.escape == "json":
            return json_escaped(data)
        if self.escape == "none":
            return data.decode(errors="replace").replace("\t", " ")
        return "".join(self.escaped_byte(byte) for byte in data)

    def escaped_byte(self, byte):
        if 0x20 <= byte < 0x7F and byte not in b'"\\':
            return chr(byte)
        if self.escape == "apache" and byte in b'"\\\n\t':
            return {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}[chr(byte)]
        return f"\\x{byte:02x}" if self.escape == "apache" else f"\\x{byte:02X}"


def json_escaped(data):
    special = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f"}
    return "".join(special.get(one) or (one if one >= " " else f"\\u{ord(one):04X}")
                   for one in data.decode(errors="replace"))


class Values(dict):
    """The values of one line, each made when the template asks for it."""

    def __init__(self, writer, time, number):
        super().__init__()
        self.writer, self.random, self.time, self.number = writer, writer.random, time, number

    def __missing__(self, name):
        return getattr(self, name)()

    def addr(self):
        if self.random.random() < 0.01:
            return self.random.choice(["-", "unix:", "host.example"])
        return client(self.random, self.number)

    def user(self):
        # A server without a user writes its placeholder.
        if self.random.random() < 0.3:
            return self.writer.escaped(None)
        return self.writer.escaped(user(self.random, self.number))

    def key(self):
        if self.random.random() < 0.05:
            return self.writer.escaped(self.random.choice([None, b"\xff\x00", "", '""', '"a\\b"', "\u00e9\n"]))
        if self.random.random() < 0.05:
            return self.writer.escaped(user(self.random, self.number))
        return self.writer.escaped(f"key-{self.number}")

    def proxied(self):
        return self.writer.escaped(proxied(self.random, self.number) if self.random.random() < 0.95 else None)

    def real(self):
        return self.writer.escaped(client(self.random, self.number) if self.random.random() < 0.95 else None)

    def any(self):
        return self.writer.escaped(self.random.choice(
            ["GET / HTTP/1.1", None, "", 'a "b" \\ c', b"\xff\x16\x03", "[x] \u00e9", "a\tb"]))

    def stamp(self):
        if self.random.random() < 0.02:
            return broken_stamp(self.random)
        return stamp(self.random, self.time, is_plain=True)

    def iso(self):
        if self.random.random() < 0.02:
            return self.random.choice(["2026-02-30T10:00:00+00:00", "1969-12-31T23:59:59+00:00",
                                       "2070-01-01T00:00:00+00:00", "2026-03-12T10:00:00", "-", ""])
        offset = self.random.choice([0, 0, 2])
        return iso(self.time + offset * 3600 * SECOND, f"+{offset:02}:00")

    def msec(self):
        if self.random.random() < 0.02:
            return self.random.choice(["3155760000.000", "-", "", "x", "4102444800.000"])
        return f"{self.time // SECOND}.{self.time // 10**6 % 1000:03}"

    def msec_whole(self):
        return str(self.time // 10**6) if self.random.random() < 0.98 else "4102444800000"

    def usec(self):
        return str(self.time // 10**3) if self.random.random() < 0.98 else self.random.choice(["-", "1.2.3"])

    def status(self):
        return self.random.choice(["200", "404", "304"])

    def size(self):
        return self.random.choice(["0", "512"])

    def took(self):
        return self.random.choice(["0.000", "0.012", "12.345"])

    def digits(self):
        return str(self.random.randrange(10_000))

    def id(self):
        return f"{self.random.getrandbits(128):032x}"

    def host(self):
        return self.random.choice(["a.example", "b.example", "www"])
