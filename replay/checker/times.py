"""Reads times. A time is a whole number of nanoseconds since 1970."""

import re
from datetime import datetime, timedelta, timezone

from . import Malformed

SECOND = 10**9
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
END = (datetime(2070, 1, 1, tzinfo=timezone.utc) - EPOCH) // timedelta(seconds=1) * SECOND
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()

# As servers write it. The formats of the servers themselves take any letters for the month.
SERVER_STAMP = rb"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"
STAMP_FORM = rb"\d\d/[A-Za-z]{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"
STAMP = re.compile(rb"(\d\d)/([A-Za-z]{3})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")
RFC_3339 = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):?(\d\d))"
)
NUMBER = re.compile(rb"(\d+)(?:\.(\d+))?")


def from_stamp(text):
    """Reads `10/Oct/2000:13:55:36 -0700`."""
    match = STAMP.fullmatch(text)
    if match is None:
        raise Malformed
    day, month, year, hour, minute, second, sign, *offset = match.groups()
    month = month.decode().lower()
    if month not in MONTHS:
        raise Malformed
    month = MONTHS.index(month) + 1
    return civil(year, month, day, hour, minute, second, b"", sign, *offset)


def from_rfc_3339(text):
    """Reads `2026-03-12T10:00:00.25Z` and its variants."""
    match = RFC_3339.fullmatch(text)
    if match is None:
        raise Malformed
    *fields, fraction, sign, hours, minutes = match.groups()
    return civil(*fields, fraction or b"", sign or b"+", hours or b"00", minutes or b"00")


def civil(year, month, day, hour, minute, second, fraction, sign, hours, minutes):
    """Returns the time of a date and time of day with an offset from UTC."""
    if int(hours) > 25 or int(minutes) > 59:
        raise Malformed
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    second = 59 if int(second) == 60 else int(second)
    try:
        local = datetime(int(year), int(month), int(day), int(hour), int(minute), second,
                         tzinfo=timezone.utc)
        time = local - offset if sign == b"+" else local + offset
    except (ValueError, OverflowError):
        raise Malformed from None
    return in_range((time - EPOCH) // timedelta(seconds=1) * SECOND + int(fraction.ljust(9, b"0")))


def from_number(text, unit=None):
    """Reads a count of units since 1970. Without a unit, the size of the number says which it is."""
    match = NUMBER.fullmatch(text)
    if match is None:
        raise Malformed
    whole, fraction = match.group(1).lstrip(b"0"), match.group(2) or b""
    if len(whole) > 30:
        raise Malformed
    whole = int(whole or b"0")
    if unit is None:
        unit = next((unit for limit, unit in ((10**11, SECOND), (10**14, 10**6), (10**17, 10**3))
                     if whole < limit), 1)
    # Nine digits are a nanosecond of the longest unit, a second.
    return in_range(whole * unit + int(fraction[:9].ljust(9, b"0")) * unit // 10**9)


def from_json(text):
    """Reads a value of JSON that is a string or a number, in any of the three forms."""
    for read in (from_rfc_3339, from_stamp, from_number):
        try:
            return read(text)
        except Malformed:
            continue
    raise Malformed


def in_range(time):
    if not 0 <= time < END:
        raise Malformed
    return time


def utc(time):
    """Writes a time as RFC 3339, with the shortest fraction."""
    seconds, fraction = divmod(time, SECOND)
    text = (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{fraction:09}".rstrip("0") if fraction else "") + "Z"
