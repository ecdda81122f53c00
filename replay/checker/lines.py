"""Reads lines of the formats `auto`, `common`, `combined`, `vhost_combined` and `json`.

Each format has a method `read`, which returns the time and the value that the key is made of. A value
is bytes, or None if there is none.
"""

import json
import re

from . import Malformed, times
from .keys import ends_with_address

ISO_TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^ ]*"
ELEMENT = rb'\[(?:[^\]"\\]|\\.|"(?:[^"\\]|\\.)*")*\]'
PREFIX = re.compile(
    rb"(?:<\d{1,3}>)?(?:[A-Za-z]{3} (?:\d\d| \d) \d\d:\d\d:\d\d|" + ISO_TIME + rb") "
    # The last word is the first that ends with a colon: the client behind it may end with one, too.
    rb"(?:[^ ]*[^ :] )?[^ ]*: "
    rb"|<\d{1,3}>1(?: [^ ]+){5} (?:-|(?:" + ELEMENT + rb")+) "
    rb"|" + ISO_TIME + rb" std(?:out|err) F ",
    re.DOTALL,
)
STAMP = re.compile(rb" \[(" + times.STAMP_FORM + rb')\] "')
BEFORE_STAMP = re.compile(rb"(?: [^ ]*(?: (?P<user>.*))?)?", re.DOTALL)
# From behind the opening quote: the request, the status and the size.
REST = re.compile(rb'(?:[^"\\]|\\.)*" (?:\d{3}|-) (?:\d+|-)(?: |\Z)', re.DOTALL)


def unwrapped(line):
    """Returns the text that docker or journald wrapped into an object, or the line."""
    if not line.startswith(b"{"):
        return line
    try:
        fields = json.loads(line, parse_constant=reject)
    except (ValueError, RecursionError):
        return line
    message = fields.get("log" if "log" in fields else "MESSAGE")
    if not isinstance(message, str):
        return line
    try:
        return message.encode().rstrip(b" \t\n\r\x0c")
    except UnicodeEncodeError:
        return line


def without_prefix(line):
    match = PREFIX.match(line)
    return line[match.end() :] if match else line


class Common:
    """The formats of the servers themselves. `layout` is the name of the format."""

    default_key = "client"

    def __init__(self, layout, key):
        self.layout, self.name = layout, key or self.default_key
        if self.name not in ("client", "user", "vhost"):
            raise ValueError(f"not a key of this format: {key!r}")
        self.default_type = "address" if self.name == "client" else "text"

    def read(self, line):
        line = without_prefix(unwrapped(line))
        start, end = self.client(line)
        stamp = STAMP.search(line, end)
        before = stamp and BEFORE_STAMP.fullmatch(line, end, stamp.start())
        if not before or not REST.match(line, stamp.end()):
            raise Malformed
        if any(ends_with_address(word) for word in before.group().split(b" ")):
            raise Malformed
        time = times.from_stamp(stamp.group(1))
        values = {
            "client": line[start:end],
            "user": before["user"],
            "vhost": line[: start - 1] if start > 0 else None,
        }
        return time, values[self.name]

    def client(self, line):
        """Returns where the client starts and ends."""
        second = line.find(b" ") + 1
        if self.layout == "vhost_combined":
            return second, client_end(line, second)
        end = client_end(line, 0)
        if self.layout != "auto":
            return 0, end
        if ends_with_address(line[:end]):
            return 0, end
        if is_client(line, second):
            return second, client_end(line, second)
        raise Malformed


def client_end(line, start):
    """Returns where a client ends that starts here: the words go on behind a comma."""
    while True:
        end = line.find(b" ", start)
        if end <= start:
            raise Malformed
        if line[end - 1 : end] != b",":
            return end
        start = end + 1


def is_client(line, start):
    try:
        return ends_with_address(line[start : client_end(line, start)])
    except Malformed:
        return False


def joined(values):
    """Returns the only value; or one list of all that are values, each of which is a part of it."""
    if len(values) == 1:
        return values[0]
    parts = [value for value in values if value not in (None, b"", b"-", b'""')]
    return b", ".join(parts) if parts else None


class Number(str):
    """A number of JSON, as it is written there."""


def reject(constant):
    raise ValueError(f"not JSON: {constant}")


class Json:
    """Objects in JSON."""

    default_type = "text"

    def __init__(self, time, names):
        if time is None or not names:
            raise ValueError("json needs --time and --key")
        self.time, self.names = time, names

    def read(self, line):
        try:
            text = without_prefix(line).decode(errors="replace")
            fields = json.loads(text, parse_int=Number, parse_float=Number, parse_constant=reject)
        except (ValueError, RecursionError):
            raise Malformed from None
        if not isinstance(fields, dict):
            raise Malformed
        time = field(fields, self.time)
        if not isinstance(time, str):
            raise Malformed
        values = [self.value(field(fields, name)) for name in self.names]
        if text.encode() != without_prefix(line) and any("\ufffd".encode() in (value or b"") for value in values):
            raise Malformed
        return times.from_json(utf_8(time)), joined(values)

    def value(self, found):
        if found is None or (found in ("", "-") and not isinstance(found, Number)):
            return None
        if isinstance(found, bool):
            return b"true" if found else b"false"
        if isinstance(found, str):
            return utf_8(found)
        raise Malformed


def utf_8(text):
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, which JSON can write with an escape.
        raise Malformed from None


def field(fields, name):
    """Returns the field with this name or at this path, or None."""
    if name in fields:
        return fields[name]
    found = fields
    for part in name.split("."):
        if isinstance(found, dict):
            found = found.get(part)
        elif isinstance(found, list) and re.fullmatch("[0-9]+", part) and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found
