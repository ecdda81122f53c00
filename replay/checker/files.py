"""Reads the lines of a file: compressed or not, and in several encodings."""

import bz2
import lzma
import subprocess
import sys
import zlib

LONGEST_LINE = 65536
BYTE_ORDER_MARK = "\ufeff".encode()

ZSTD = b"\x28\xb5\x2f\xfd"
SKIPPABLE_ZSTD = [bytes([low]) + b"\x2a\x4d\x18" for low in range(0x50, 0x60)]
# Kinds of files that are no logs. The program may know more of them.
OTHER_KINDS = (
    b"PK\x03\x04", b"PK\x05\x06", b"\x04\x22\x4d\x18", b"7z\xbc\xaf\x27\x1c", b"LZIP", b"\x1f\x9d",
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"%PDF-", b"\x7fELF", b"Rar!\x1a\x07",
)


class Unreadable(Exception):
    """A file that is no log. It has no lines."""


def lines_of(path):
    """Returns the lines, without their ends. A line of which damage left only a part is dropped."""
    data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    text, is_damaged = decompressed(data)
    lines = in_utf_8(text).split(b"\n")
    if is_damaged or lines[-1] == b"":
        lines.pop()
    return [without_marks(line) for line in lines]


def without_marks(line):
    return line.lstrip(b"\0").removesuffix(b"\r").removeprefix(BYTE_ORDER_MARK)


def decompressed(data):
    """Returns the text, and whether the file is damaged behind it."""
    if data.startswith(b"\x1f\x8b"):
        return all_streams(data, lambda: zlib.decompressobj(wbits=31), next_magic=b"\x1f\x8b")
    if data.startswith(b"BZh"):
        return all_streams(data, bz2.BZ2Decompressor)
    if data.startswith(b"\xfd7zXZ\x00"):
        return all_streams(data, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), padding=4)
    if data.startswith((ZSTD, *SKIPPABLE_ZSTD)):
        run = subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=False)
        return run.stdout, run.returncode != 0
    if data.startswith(OTHER_KINDS):
        raise Unreadable
    return data, False


def all_streams(data, new, padding=None, next_magic=b""):
    """Returns the text of the streams that follow each other, and whether there is damage.

    What does not start with `next_magic`, behind a stream and zeros, is ignored. Without it, all is damage
    that is no stream.
    """
    text = bytearray()
    while data:
        stream = new()
        try:
            part, is_whole = stream.decompress(data), stream.eof
        except (zlib.error, OSError, lzma.LZMAError, EOFError):
            part, is_whole = salvaged(data, new()), False
        text += part
        if not is_whole:
            return bytes(text), True
        data = stream.unused_data
        if padding is not None:
            zeros = len(data) - len(data.lstrip(b"\0"))
            data = data[zeros - zeros % padding :]
        if next_magic:
            data = data.lstrip(b"\0")
        if not data.startswith(next_magic):
            break
    return bytes(text), False


def salvaged(data, stream):
    """Returns the text before the damage. The stream is fed single bytes, and yields single bytes."""
    text = bytearray()
    try:
        for at in range(len(data)):
            fed = data[at : at + 1]
            while True:
                part = stream.decompress(fed, 1)
                text += part
                # The streams of zlib return what they did not consume. The others keep it.
                fed = getattr(stream, "unconsumed_tail", b"")
                if not part and not fed:
                    break
                if stream.eof:
                    return bytes(text)
    except (zlib.error, OSError, lzma.LZMAError, EOFError):
        pass
    return bytes(text)


def in_utf_8(text):
    """Returns the text without any other encoding.

    UTF-16 without a byte order mark is recognized by its first two characters, of ASCII.
    """
    if text.startswith(b"\0\0\xfe\xff") or (text.startswith(b"\xff\xfe\0\0") and text[6:8] == b"\0\0"):
        raise Unreadable
    start = [byte != 0 for byte in text[:8]]
    if start in ([True, False, False, False] * 2, [False, False, False, True] * 2):
        raise Unreadable
    start = start[:4]
    if text.startswith(b"\xff\xfe") or start == [True, False] * 2:
        encoding = "utf-16-le"
    elif text.startswith(b"\xfe\xff") or start == [False, True] * 2:
        encoding = "utf-16-be"
    else:
        return text
    whole = text[: len(text) // 2 * 2]
    return whole.decode(encoding, errors="replace").removeprefix("\ufeff").encode()
