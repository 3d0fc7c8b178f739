"""Converting a CSV to its staged form, by RFC 4180; the header follows the same rules as the other lines."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from sources.errors import Unreadable, echoed
from sources.file.csv_chunks import (
    HIDDEN_CR,
    HIDDEN_LF,
    HIDDEN_SEPARATOR,
    QUOTE,
    SEPARATORS,
    Chunk,
    cut_records,
    first_record_end,
    hide_quoted,
    too_long,
)
from sources.file.text import MAX_RECORD_BYTES, UNDECODABLE
from sources.staged.content import Content, MalformedRecord
from sources.staged.writer import MAX_COLUMNS, StagedWriter
from sources.values import Kind

MAX_MALFORMED = 100_000
"""MalformedRecord records that are kept for rejection: each is a sentence in the memory of the reading process."""
MAX_MALFORMED_LINES = 100
"""A malformed record with more lines probably holds a stray pair of quotes, with many records between them."""


def convert_csv(blocks: Iterator[bytes], to: Path) -> Content:
    """Keep every value as text: leading zeros and long numbers stay as they are.

    An unquoted empty value is null, a quoted one is the empty text. `blocks` are UTF-8. Raises Unreadable.
    """
    chunks = cut_records(blocks)
    first = next(chunks, Chunk(1, b""))
    if not first.text:
        raise Unreadable("It is empty: its first line must name the columns.")
    end, behind = first_record_end(first.text)
    header = Chunk(first.line, first.text[:end])
    separator = _separator(header)
    names = _names(header, separator)
    reader = _Reader(separator, len(names))
    with StagedWriter(to, [pa.utf8()] * len(names)) as writer:
        for chunk in _joined(first.after(behind), chunks):
            columns = reader.columns(chunk)
            if len(columns[0]):
                writer.write(columns)
    return Content(tuple(names), (Kind.TEXT,) * len(names), writer.rows, tuple(reader.malformed))


def _joined(first: Chunk, others: Iterable[Chunk]) -> Iterator[Chunk]:
    if first.text:
        yield first
    yield from others


def _separator(header: Chunk) -> bytes:
    """Return the separator that occurs most often in the first record, outside of quotes."""
    if not header.text:
        raise Unreadable("Its first line is empty, and must name the columns.")
    outside = b"".join(header.text.split(QUOTE)[::2])
    return max(SEPARATORS, key=outside.count)


def _names(header: Chunk, separator: bytes) -> list[str]:
    _refuse_too_long(header, [header.text])
    if UNDECODABLE in header.text:
        raise Unreadable("Its first line must name the columns, and isn't UTF-8: write the file in UTF-8.")
    if b"\0" in header.text:
        raise Unreadable("Its first line holds NUL characters, as UTF-16 without a mark does: write it in UTF-8.")
    count = hide_quoted(header, separator).count(separator) + 1
    if count > MAX_COLUMNS:
        raise Unreadable(f"Its first line names {count} columns, more than {MAX_COLUMNS}: split it into several files.")
    names = [column[0].as_py() for column in _Reader(separator, count).columns(header)]
    seen: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name:
            raise Unreadable(f"Its first line must name the columns, each with another name: column {number} has none.")
        if (earlier := seen.setdefault(name, number)) != number:
            raise Unreadable(
                f"Its first line must name the columns, each with another name: columns {earlier} and {number} are "
                f"both {echoed(name)}."
            )
    return names


class _Reader:
    """Splits chunks into columns of values, and keeps the malformed records; `records` counts all records read."""

    def __init__(self, separator: bytes, width: int) -> None:
        self._separator = separator
        self._width = width
        self.records = 0
        self.malformed: list[MalformedRecord] = []

    def columns(self, chunk: Chunk) -> list[pa.Array]:
        """Return the values of the chunk's records, an array per column; raises Unreadable."""
        hidden = hide_quoted(chunk, self._separator)
        lines = pc.split_pattern(pa.array([hidden], pa.binary()), pattern=b"\n").flatten()
        if len(hidden) > MAX_RECORD_BYTES:
            _refuse_too_long(chunk, lines.to_pylist())
        lines = self._well_formed(chunk, hidden, lines)
        self.records += len(lines)
        split = pc.split_pattern(lines, pattern=self._separator)
        # All values are split first and then sorted by column: a call costs as much for one value as for a thousand.
        values = split.flatten()
        values = self._unquoted(values) if QUOTE in hidden else _null_if_empty(values)
        records = pa.ListArray.from_arrays(split.offsets, values.view(pa.utf8()))
        return [pc.list_element(records, pa.scalar(number, pa.int32())) for number in range(self._width)]

    def _well_formed(self, chunk: Chunk, hidden: bytes, lines: pa.Array) -> pa.Array:
        """Return the well-formed records, without blank lines; malformed records are kept."""
        separators = pc.count_substring(lines, pattern=self._separator)
        is_good = pc.equal(separators, self._width - 1)
        is_blank = pc.equal(pc.binary_length(lines), 0)
        if UNDECODABLE in hidden:
            is_good = pc.and_not(is_good, pc.match_substring(lines, pattern=UNDECODABLE))
        if pc.any(pc.invert(pc.or_(is_good, is_blank))).as_py():
            self._keep_malformed(chunk, lines.to_pylist(), separators.to_pylist(), is_good.to_pylist())
        return lines.filter(pc.and_not(is_good, is_blank))

    def _keep_malformed(self, chunk: Chunk, lines: list[bytes], separators: list[int], is_good: list[bool]) -> None:
        position = self.records + len(self.malformed)
        numbered = _numbered_lines(chunk, lines)
        for (line, lines_inside, record), count, good in zip(numbered, separators, is_good, strict=True):
            if record and not good:
                self._keep(MalformedRecord(position, line, self._defect(record, count + 1)), lines_inside)
            position += bool(record)

    def _keep(self, record: MalformedRecord, lines_inside: int) -> None:
        if lines_inside > MAX_MALFORMED_LINES:
            raise Unreadable(
                f"The record that begins in line {record.line} makes no sense ({record.text}) and reaches over "
                f"{lines_inside + 1} lines, as one does that a stray quote begins: find the quote, or double it."
            )
        self.malformed.append(record)
        if len(self.malformed) > MAX_MALFORMED:
            first = self.malformed[0]
            raise Unreadable(
                f"More than {MAX_MALFORMED} records make no sense, too many to reject each; the first is in line "
                f"{first.line} ({first.text}). Mend the file, or split it into several."
            )

    def _defect(self, record: bytes, values: int) -> str:
        if UNDECODABLE in record:
            return "it isn't UTF-8"
        return f"it has {values} value{'s' * (values > 1)} instead of {self._width}"

    def _unquoted(self, values: pa.Array) -> pa.Array:
        """Return the values without their quotes; an empty value without quotes is null."""
        is_quoted = pc.starts_with(values, pattern=QUOTE)
        inside = pc.binary_slice(values.filter(is_quoted), 1, -1)
        for written, meant in (
            (QUOTE + QUOTE, QUOTE),
            (HIDDEN_SEPARATOR, self._separator),
            (HIDDEN_LF, b"\n"),
            (HIDDEN_CR, b"\r"),
        ):
            inside = pc.replace_substring(inside, pattern=written, replacement=meant)
        return pc.replace_with_mask(_null_if_empty(values), is_quoted, inside)


def _numbered_lines(chunk: Chunk, lines: list[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Yield each line of a chunk with its number in the file and the number of quoted line ends in it."""
    line = chunk.line
    for text in lines:
        inside = text.count(HIDDEN_LF) + text.count(HIDDEN_CR) - text.count(HIDDEN_CR + HIDDEN_LF)
        yield line, inside, text
        line += inside + 1


def _refuse_too_long(chunk: Chunk, lines: list[bytes]) -> None:
    for line, _, text in _numbered_lines(chunk, lines):
        if len(text) > MAX_RECORD_BYTES:
            raise too_long(line)


def _null_if_empty(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(values, b""), None, values)
