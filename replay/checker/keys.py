"""Makes keys of values. A key is the text that the report shows."""

import functools
import ipaddress
import re

from . import Malformed, times

# What only a whole line of an access log has.
A_LINE = re.compile(rb' \[' + times.STAMP_FORM + rb'\] "')

PORT = r":[0-9]{1,5}"
NODE_PORT = r":(?:[0-9]{1,5}|_[A-Za-z0-9._-]+)"
ZONE = r"(?:%[^\s%,\[\]]+)?"
IPV4 = r"([0-9.]+)"
IPV6 = r"([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)"


def forms(port, zone):
    return [re.compile(form) for form in
            (rf"{IPV4}(?:{port})?", rf"{IPV6}{zone}", rf"\[{IPV6}{zone}\](?:{port})?")]


LAST_ELEMENT, OTHER_ELEMENT = forms(PORT, ZONE), forms(NODE_PORT, "")


@functools.lru_cache(maxsize=100_000)
def address(text, is_last=True):
    """Returns the address that `text` is, or None. One that is not the last of a list has other forms."""
    text = text.strip(" \t")
    for form in LAST_ELEMENT if is_last else OTHER_ELEMENT:
        if match := form.fullmatch(text):
            try:
                found = ipaddress.ip_address(match.group(1))
            except ValueError:
                continue
            return getattr(found, "ipv4_mapped", None) or found
    return None


def decoded(value):
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Malformed from None


def ends_with_address(value):
    """Tells whether a value is an address, or a list whose last element is one."""
    try:
        return address(decoded(value).split(",")[-1]) is not None
    except Malformed:
        return False


def network(text):
    """Reads a network of `--trust`. One of IPv4 addresses written as IPv6 is that of the addresses."""
    found = ipaddress.ip_network(text.strip())
    mapped = getattr(found.network_address, "ipv4_mapped", None)
    if mapped is not None and found.prefixlen >= 96:
        return ipaddress.ip_network((mapped, found.prefixlen - 96))
    return found


class AddressKeys:
    """Keys that are the network of the client."""

    def __init__(self, trusted, ipv4_prefix, ipv6_prefix):
        self.trusted, self.prefixes = trusted, {4: ipv4_prefix, 6: ipv6_prefix}
        self.key_of = functools.lru_cache(maxsize=100_000)(self.key_of_address)

    def key(self, value):
        if value is None:
            raise Malformed
        return self.key_of(self.client(decoded(value).split(",")))

    def client(self, elements):
        if len(elements) > 1 and self.trusted is None:
            raise Malformed
        client = address(elements[-1])
        if client is None:
            raise Malformed
        for element in reversed(elements[:-1]):
            if not self.is_trusted(client):
                break
            further = address(element, is_last=False)
            if further is None:
                break
            client = further
        return client

    def is_trusted(self, client):
        return any(client.version == network.version and client in network
                   for network in self.trusted)

    def key_of_address(self, client):
        prefix = self.prefixes[client.version]
        if prefix == client.max_prefixlen:
            return str(client)
        return str(ipaddress.ip_network((client, prefix), strict=False))


class TextKeys:
    """Keys that are the value as it stands. `is_chosen` tells whether `--key-type text` was given."""

    def __init__(self, is_chosen):
        self.is_chosen = is_chosen

    def key(self, value):
        """Returns the key, or None for a line without one."""
        if value is None:
            return None
        text = decoded(value).strip(" \t")
        if text in ("", "-", '""'):
            return None
        if not self.is_chosen and ends_with_address(value):
            raise Malformed
        if A_LINE.search(value):
            raise Malformed
        return text
