"""Reads lines of a server's own format, by a regular expression that is made of the format.

The tables say what the servers write for each variable. A field of any bytes ends at the first place
where the rest of the line fits the rest of the format.
"""

import re

from . import Malformed, times
from .lines import joined, without_prefix

ADDRESSES = {
    "$remote_addr", "$realip_remote_addr", "$proxy_protocol_addr", "$http_x_forwarded_for",
    "$proxy_add_x_forwarded_for", "$http_x_real_ip", "%h", "%a", "%{c}h", "%{c}a",
    "%{x-forwarded-for}i", "%{x-real-ip}i",
}

ISO = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"
WORD, INTEGER, DECIMAL, STATUS = rb"[^ \"]+", rb"\d+", rb"\d+(?:\.\d+)?", rb"\d{3}"

NGINX = {
    "$time_local": times.SERVER_STAMP, "$time_iso8601": ISO, "$msec": rb"\d+\.\d+", "$status": STATUS,
    "$pipe": rb"[p.]", "$host": WORD, "$server_name": WORD, "$server_protocol": WORD,
    "$scheme": WORD, "$request_method": WORD, "$request_id": WORD, "$hostname": WORD,
    "$remote_addr": WORD, "$realip_remote_addr": WORD, "$server_addr": WORD,
    "$proxy_protocol_addr": WORD, "$request_time": DECIMAL, "$gzip_ratio": DECIMAL,
} | dict.fromkeys(
    ("$body_bytes_sent", "$bytes_sent", "$request_length", "$connection", "$connection_requests",
     "$remote_port", "$server_port", "$realip_remote_port", "$content_length", "$pid"), INTEGER)

APACHE = {
    "h": WORD, "a": WORD, "A": WORD, "v": WORD, "V": WORD, "m": WORD, "H": WORD, "l": WORD,
    "s": STATUS, "X": rb"[X+-]", "t": rb"\[" + times.SERVER_STAMP + rb"\]", "q": rb"(?:\?.*?)?",
} | dict.fromkeys("bBDIOSTPpk", INTEGER)
EPOCH_UNITS = {"sec": times.SECOND, "msec": 10**6, "usec": 10**3}

# Values that may have any bytes, by how the server escapes them. `none` does not escape.
ANY = {
    "default": rb'(?:[^"\\\x00-\x1f]|\\x[0-9A-Fa-f]{2})*?',
    "json": rb'(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u00[0-9A-Fa-f]{2})*?',
    "none": rb".*?",
    # For an empty user, Apache writes two quotes that it does not escape.
    "apache": rb'(?:""|(?:[^"\\\x00-\x1f]|\\["\\bnrtv]|\\x[0-9A-Fa-f]{2})*?)',
}
ESCAPES = {
    "default": re.compile(rb"\\x([0-9A-Fa-f]{2})"),
    "json": re.compile(rb'\\(?:u00([0-9A-Fa-f]{2})|(["\\/bfnrt]))'),
    "none": re.compile(rb"(?!)"),
    "apache": re.compile(rb'\\(?:x([0-9A-Fa-f]{2})|(["\\bnrtv]))'),
}
LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}

NGINX_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)
APACHE_DIRECTIVE = re.compile(r"%(?:%|[!0-9,<>]*(?:\{([^}]*)\})?[!0-9,<>]*(\^t[io]|[A-Za-z]))")
WORDS = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s;'"]\S*?)(?=[\s;]|$)""", re.DOTALL)


def is_pattern(form):
    return re.search(r"\$[A-Za-z{]", form) is not None or "%" in form


class Pattern:
    """A format of nginx or Apache."""

    def __init__(self, form, keys):
        is_nginx = re.search(r"\$[A-Za-z{]", form) is not None
        pieces, self.escape = nginx_pieces(form) if is_nginx else apache_pieces(form)
        names = [name for is_field, name in pieces if is_field]

        time = next((at for at, name in enumerate(names) if time_reader(name)), None)
        if time is None:
            raise ValueError("the pattern has no time")
        self.time, self.read_time = time, time_reader(names[time])

        if keys is None:
            wanted = [name for name in ("$remote_addr", "%h", "%a") if name in names][:1]
        else:
            keys = [re.sub(r"^\$?\{(\w+)\}$", r"$\1", key) for key in keys]
            wanted = [name for key in keys for name in (key, "$" + key) if name in names]
        if not wanted or len(wanted) < len(keys or []):
            raise ValueError(f"the pattern has no field {keys!r}")
        self.keys = [names.index(name) for name in wanted]
        is_address = all(name.lower() in ADDRESSES for name in wanted)
        self.default_type = "address" if is_address else "text"

        missing = rb"" if self.escape == "json" else rb"-"
        expression = b""
        for is_field, text in pieces:
            if not is_field:
                expression += re.escape(text.encode())
                continue
            kind = (nginx_kind if is_nginx else apache_kind)(text)
            value = ANY[self.escape] if kind is None else kind + rb"|" + missing
            expression += rb"(" + value + rb")"
        self.line = re.compile(expression, re.DOTALL)

    def read(self, line):
        match = self.line.fullmatch(line if self.time == 0 else without_prefix(line))
        if match is None:
            raise Malformed
        time = self.read_time(match.group(self.time + 1))
        values = (match.group(key + 1) for key in self.keys)
        return time, joined([None if value == b"-" else self.unescaped(value) for value in values])

    def unescaped(self, value):
        def replaced(match):
            if match.group(1):
                return bytes([int(match.group(1), 16)])
            return LETTERS.get(match.group(2), match.group(2))

        return ESCAPES[self.escape].sub(replaced, value)


def time_reader(name):
    """Returns what reads the time in a field, or None if the field is no time."""
    if name in ("$time_local", "%t"):
        return lambda value: times.from_stamp(value.strip(b"[]"))
    if name == "$time_iso8601":
        return times.from_rfc_3339
    if name == "$msec":
        return lambda value: times.from_number(value, times.SECOND)
    match = re.fullmatch(r"%\{(sec|msec|usec)\}t", name)
    return match and (lambda value: times.from_number(value, EPOCH_UNITS[match.group(1)]))


def nginx_pieces(form):
    """Returns (is it a field, its text) for each piece, and how values are escaped."""
    escape = "default"
    if directive := re.match(r"\s*log_format\s+\S+\s+(?:escape=(\w+)\s+)?(?=['\"$])", form):
        escape = directive.group(1) or escape
        form = "".join(nginx_text(match) for match in WORDS.finditer(form, directive.end()))
    pieces, at = [], 0
    for match in NGINX_VARIABLE.finditer(form):
        pieces += [(False, form[at : match.start()]), (True, "$" + (match.group(1) or match.group(2)))]
        at = match.end()
    return [*pieces, (False, form[at:])], escape


def nginx_text(match):
    """Returns a word of nginx's configuration, without its quotes."""
    text = next(group for group in match.groups() if group is not None)
    letters = {"t": "\t", "r": "\r", "n": "\n", '"': '"', "'": "'", "\\": "\\"}
    return re.sub(r"\\([trn\"'\\])", lambda escaped: letters[escaped.group(1)], text)


def apache_pieces(form):
    """As `nginx_pieces`."""
    if directive := re.match(r"\s*LogFormat\s+", form, re.IGNORECASE):
        quoted = WORDS.match(form, directive.end())
        form = next(group for group in quoted.groups() if group is not None)
    # As in the configuration, also without the directive around it.
    form = re.sub(r'\\(["\\])', r"\1", form)
    pieces, at = [], 0
    for match in APACHE_DIRECTIVE.finditer(form):
        pieces.append((False, form[at : match.start()]))
        pieces.append((False, "%") if match.group() == "%%" else (True, match.group()))
        at = match.end()
    return [*pieces, (False, form[at:])], "apache"


def nginx_kind(name):
    return NGINX.get(name)


def apache_kind(name):
    """Returns what the server writes, or None for any bytes."""
    match = APACHE_DIRECTIVE.fullmatch(name)
    argument, letter = match.groups()
    if argument is None or letter in "apThD":
        return APACHE.get(letter)
    return INTEGER if letter == "t" and time_reader(name) else None
