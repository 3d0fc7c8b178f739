"""The text of a file as UTF-8, decoded by its byte order mark."""

import codecs
from collections.abc import Iterator

from sources.errors import Unreadable

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""Bytes of one record's text: it is in memory several times, with up to four bytes a character."""
_MARK_BYTES = 4
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
UNDECODABLE = b"\xfb"
"""Replaces bytes that can't be decoded. It never occurs in UTF-8, and neither do the bytes from 0xf5 on."""


def utf8_blocks(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the text as UTF-8 without its byte order mark; undecodable bytes stay invalid UTF-8.

    Raises Unreadable for UTF-32, and for UTF-16 that ends within a character.
    """
    start = b""
    while len(start) < _MARK_BYTES and (block := next(blocks, b"")):
        start += block
    if start.startswith(_UTF_32):
        raise Unreadable("It is written in UTF-32: write it in UTF-8.")
    encoding = next((name for mark, name in _UTF_16.items() if start.startswith(mark)), None)
    if encoding is not None:
        yield from _recoded(start[2:], blocks, encoding)
        return
    yield start.removeprefix(codecs.BOM_UTF8)
    yield from blocks


def _recoded(start: bytes, blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    # Halves of surrogate pairs pass through, and are invalid UTF-8 then.
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    yield decoder.decode(start).encode("utf-8", "surrogatepass")
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "surrogatepass")
    try:
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise Unreadable("Its UTF-16 ends within a character: copy the whole file.") from None


def mark_undecodable(encoded: bytes) -> bytes:
    """Return UTF-8 in which UNDECODABLE replaces each invalid byte."""
    if encoded.isascii():
        return encoded
    try:
        encoded.decode()
    except UnicodeDecodeError:
        escaped = encoded.decode("utf-8", "surrogateescape")
        return escaped.translate(_ESCAPED).encode("utf-8", "surrogateescape")
    return encoded


_ESCAPED = dict.fromkeys(range(0xDC80, 0xDD00), 0xDC00 + UNDECODABLE[0])
