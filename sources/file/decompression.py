"""The decompressed bytes of a file, block by block; damaged or truncated input is always an error."""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa

from sources.errors import Unreadable
from sources.file.formats import Compression

BLOCK_BYTES = 1 << 20
_READ_BYTES = 1 << 16
"""Compressed bytes read at once. At a member's end the bytes read beyond it are copied, and members may be tiny."""
_GZIP = 16 + zlib.MAX_WBITS
"""Has zlib expect a gzip header, and verify checksum and length."""


def read_blocks(file: BinaryIO, compression: Compression) -> Iterator[bytes]:
    """Yield the content of the file in blocks of BLOCK_BYTES; the last block may be shorter. Raises Unreadable.

    Of gzip every member's checksum and length are verified, and of Zstandard each frame's checksum, if it has one.
    """
    match compression:
        case "none":
            parts = iter(lambda: file.read(BLOCK_BYTES), b"")
        case "gzip":
            parts = _gunzip(file)
        case "zstd":
            parts = _unzstd(file)
    return _full_blocks(parts)


def _full_blocks(parts: Iterator[bytes]) -> Iterator[bytes]:
    waiting = bytearray()
    for part in parts:
        if not waiting and len(part) == BLOCK_BYTES:
            yield part
            continue
        waiting += part
        while len(waiting) >= BLOCK_BYTES:
            yield bytes(waiting[:BLOCK_BYTES])
            del waiting[:BLOCK_BYTES]
    if waiting:
        yield bytes(waiting)


def _gunzip(file: BinaryIO) -> Iterator[bytes]:
    waiting = file.read(_READ_BYTES)
    while waiting:
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            try:
                part = member.decompress(waiting, BLOCK_BYTES)
            except zlib.error as error:
                raise Unreadable(f"Its gzip is damaged ({_reason(error)}): compress it again.") from None
            waiting = member.unconsumed_tail
            if part:
                yield part
            elif not member.eof and not waiting:
                waiting = file.read(_READ_BYTES)
                if not waiting:
                    raise Unreadable("Its gzip is cut off before its end: copy the whole file.")
        waiting = _after_padding(member.unused_data, file)


def _after_padding(rest: bytes, file: BinaryIO) -> bytes:
    """Return the bytes behind a member, without the zeros that some tools pad it with."""
    while not (rest := rest.lstrip(b"\0")):
        rest = file.read(_READ_BYTES)
        if not rest:
            break
    return rest


def _reason(error: zlib.error) -> str:
    """Return zlib's own words, as in `Error -3 while decompressing data: incorrect data check`."""
    return str(error).rpartition(": ")[2]


def _unzstd(file: BinaryIO) -> Iterator[bytes]:
    with pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd") as stream:
        while True:
            try:
                part = stream.read(BLOCK_BYTES)
            except OSError as error:
                if error.errno is not None:  # the disk's, not the decompressor's
                    raise
                raise Unreadable(f"Its Zstandard is damaged or cut off ({error}): compress it again.") from None
            if not part:
                return
            yield part
