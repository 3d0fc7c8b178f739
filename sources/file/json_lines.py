"""Converting JSON lines to their staged form: the text of each line. Its JSON is checked when the row is read."""

from collections.abc import Iterator, KeysView
from pathlib import Path

import jiter
import pyarrow as pa

from sources.errors import Unreadable
from sources.file.text import MAX_RECORD_BYTES
from sources.staged.content import Content
from sources.staged.writer import StagedWriter
from sources.values import Kind

MAX_NAMES = 10_000
"""Names of members that are remembered, …"""
MAX_NAMES_CHARACTERS = 1_000_000
"""… and how long they may be in all."""
MAX_BLANK_LINES = 100_000
"""Blank lines that are remembered; with more of them, rows have no line numbers."""
MAX_LINE_VALUES = 1_000_000
"""JSON values in one line: each becomes an object of some 60 bytes when the line is read."""


def convert_json_lines(blocks: Iterator[bytes], to: Path) -> Content:
    """Keep each line as its text, or as null if it isn't valid UTF-8; blank lines are no rows.

    `blocks` are UTF-8. Raises Unreadable for a line that is too long, and where no line holds an object.
    """
    names = _Names()
    blank_lines: list[int] = []
    line = 1
    with StagedWriter(to, [pa.utf8()]) as writer:
        for text in _whole_lines(blocks):
            lines = text.removesuffix(b"\n").split(b"\n")
            documents = [line for line in lines if not _is_blank(line)]
            if len(documents) < len(lines) and len(blank_lines) <= MAX_BLANK_LINES:
                blank_lines += _blank_lines(lines, writer.rows)
            _refuse_too_large(lines, line)
            names.look_at(documents)
            kept = documents if _is_utf8(text) else [document if _is_utf8(document) else None for document in documents]
            values = text.count(b",") + text.count(b"[") + text.count(b"{")
            writer.write([pa.array(kept, pa.binary()).view(pa.utf8())], values=values)
            line += len(lines)
    if not names.has_object:
        raise Unreadable("No line of it holds a JSON object: write one object per line.")
    return Content(
        columns=tuple(sorted(names.found)),
        kinds=(Kind.JSON,),
        rows=writer.rows,
        holds_documents=True,
        has_more_columns=names.has_more,
        blank_lines=tuple(blank_lines) if len(blank_lines) <= MAX_BLANK_LINES else None,
    )


def _whole_lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    line, waiting = 1, b""
    for block in blocks:
        waiting += block
        if end := waiting.rfind(b"\n") + 1:
            yield waiting[:end]
            line += waiting.count(b"\n")
            waiting = waiting[end:]
        if len(waiting) > MAX_RECORD_BYTES:
            raise _too_long(line)
    if waiting:
        yield waiting


def _too_long(line: int) -> Unreadable:
    return Unreadable(
        f"Line {line} is longer than {MAX_RECORD_BYTES >> 20} MiB: shorten it, or give each object a line of its own."
    )


def _refuse_too_large(lines: list[bytes], first: int) -> None:
    for number, line in enumerate(lines, first):
        if len(line) > MAX_LINE_VALUES:
            if len(line) > MAX_RECORD_BYTES:
                raise _too_long(number)
            if (values := line.count(b",") + line.count(b"[") + line.count(b"{")) > MAX_LINE_VALUES:
                raise Unreadable(f"Line {number} holds some {values} values, more than {MAX_LINE_VALUES}: shorten it.")


def _blank_lines(lines: list[bytes], rows: int) -> Iterator[int]:
    """Yield for each blank line how many rows stand before it."""
    for line in lines:
        if _is_blank(line):
            yield rows
        else:
            rows += 1


def _is_blank(line: bytes) -> bool:
    """Say whether a line holds nothing but white space, as JSON defines it."""
    return not line.strip(b" \t\r")


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


class _Names:
    """The names of the documents' members, up to a limit."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._characters = 0
        self.has_object = False
        self.has_more = False

    def look_at(self, documents: list[bytes]) -> None:
        for document in documents:
            try:
                value = jiter.from_json(document)
            except ValueError:
                continue  # becomes a reject where it is read
            if type(value) is dict:
                self.has_object = True
                if not self.has_more and not value.keys() <= self.found:
                    self._add(value.keys())

    def _add(self, names: KeysView[str]) -> None:
        for name in names - self.found:
            self._characters += len(name)
            if len(self.found) == MAX_NAMES or self._characters > MAX_NAMES_CHARACTERS:
                self.has_more = True
                return
            self.found.add(name)
