"""Lines of an open file, counted from 1 as an editor does: of the bytes at an offset, and which of them are blank."""

import gzip
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from gzip import GzipFile
from io import BufferedReader
from pathlib import Path

from sources.formats import Compression

_CHUNK = 1 << 20
_BLANK_LINE = re.compile(rb"\n[ \t\r\v\f]*+(?=\n)")
_BREAKS = (b"\r", b"\n")

NOT_BYTES = (OSError, EOFError, zlib.error)
"""What reading the bytes of a file raises: above all gzip that DuckDB takes and Python doesn't."""


def open_bytes(path: str, compression: Compression) -> "BufferedReader | GzipFile | None":
    """Open what a file holds once it is decompressed; None for Zstandard, which Python can't read."""
    match compression:
        case "none":
            return Path(path).open("rb")
        case "gzip":
            return gzip.open(path)
        case "zstd":
            return None


def mark_records(
    source: "BufferedReader | GzipFile", offsets: Iterable[int], mark: bytes, write: Callable[[bytes], object]
) -> list[int]:
    """Copy all bytes, and write `mark` as a line of its own before each record; return the records' lines.

    `offsets` say at which byte the records begin, in their order; a line break there is taken for the end of what
    stands before.
    """
    copy = _Copy(source, write)
    lines = []
    for offset in offsets:
        copy.up_to(offset)
        while source.peek(1)[:1] in _BREAKS:
            copy.up_to(copy.offset + 1)
        lines.append(copy.line)
        write(mark + copy.line_break)
    copy.up_to(None)
    return lines


def find_blank_lines(
    source: "BufferedReader | GzipFile", *, most: int, go_on: Callable[[], object]
) -> tuple[int, list[int] | None]:
    """Return how many lines aren't blank, and for each blank one how many of them stand before it.

    None instead of more than `most` blank lines. `go_on` is called every now and then.
    """
    lines = 0
    blank: list[int] | None = []
    blanks = 0
    # Of the line that isn't read to its end it only matters whether anything stands in it.
    begun = b"\n"
    while chunk := source.read(_CHUNK):
        go_on()
        text = begun + chunk
        end = text.rindex(b"\n")
        counted = 0
        for found in _BLANK_LINE.finditer(text, 0, end + 1):
            lines += text.count(b"\n", counted, found.start())
            counted = found.start()
            if blank is not None:
                blank.append(lines - blanks)
            blanks += 1
            if blanks > most:
                blank = None
        lines += text.count(b"\n", counted, end)
        begun = b"\nx" if text[end:].strip() else b"\n"
    return lines - blanks + len(begun) - 1, blank


@dataclass(slots=True)
class _Copy:
    """Bytes on their way, and the line they have come to. CR, LF, and both in this order, end a line each."""

    source: "BufferedReader | GzipFile"
    write: Callable[[bytes], object]
    offset: int = 0
    line: int = 1
    last: bytes = b""

    @property
    def line_break(self) -> bytes:
        """The break that was copied last, if nothing was copied after it."""
        return self.last if self.last == b"\r\n" else self.last[-1:]

    def up_to(self, offset: int | None) -> None:
        """Copy what stands before an offset, or all there is."""
        while offset is None or self.offset < offset:
            chunk = self.source.read(_CHUNK if offset is None else min(_CHUNK, offset - self.offset))
            if not chunk:
                return
            self.offset += len(chunk)
            self.line += chunk.count(b"\n") + chunk.count(b"\r") - chunk.count(b"\r\n")
            self.line -= self.last.endswith(b"\r") and chunk.startswith(b"\n")
            self.last = (self.last + chunk[-2:])[-2:]
            self.write(chunk)
