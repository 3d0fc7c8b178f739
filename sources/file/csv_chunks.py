"""Cutting the text of a CSV into runs of whole records, by RFC 4180: a line end ends a record unless it is quoted.

A quote may open a field, close it, or stand doubled inside. Any other quote is an error for the whole file, since the
text behind it is ambiguous. The ends of records don't depend on the separator, so the first record can be cut off
before the separator is known.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sources.errors import Unreadable
from sources.file.text import MAX_RECORD_BYTES, mark_undecodable

QUOTE = b'"'
SEPARATORS = (b",", b";", b"\t", b"|")
MAX_QUOTES = 4_000_000
"""In a record: each is an object of some 100 bytes while it is split."""
# UTF-8 contains none of these bytes, so they replace quoted separators and line ends until the fields are split.
HIDDEN_SEPARATOR, HIDDEN_LF, HIDDEN_CR = b"\xff", b"\xfe", b"\xfd"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole records, byte for byte as in the file. The first begins in `line`, counted from 1."""

    line: int
    text: bytes

    def after(self, offset: int) -> "Chunk":
        """Return the rest of the chunk behind an offset, which must be the end of a line."""
        return Chunk(self.line + count_lines(self.text[:offset]), self.text[offset:])


def cut_records(blocks: Iterator[bytes]) -> Iterator[Chunk]:
    """Yield all of the text in runs of whole records; raises Unreadable for a record that is too large."""
    line, waiting = 1, b""
    looked_at = quotes = 0  # of the buffered bytes in which no record ends: their number and their quotes
    for block in blocks:
        waiting += block
        end = _last_record_end(waiting, looked_at, is_quoted=quotes % 2 == 1)
        if end:
            chunk = Chunk(line, mark_undecodable(waiting[:end]))
            yield chunk
            line += count_lines(chunk.text)
            waiting = waiting[end:]
        looked_at = len(waiting) - waiting.endswith(b"\r")  # a CR, which may be half of a line end
        quotes = waiting.count(QUOTE, 0, looked_at)
        if len(waiting) > MAX_RECORD_BYTES or quotes > MAX_QUOTES:
            raise _too_large(Chunk(line, waiting), quotes)
    if waiting:
        yield Chunk(line, mark_undecodable(waiting))


def _too_large(record: Chunk, quotes: int) -> Unreadable:
    """Return the error for a record that seems too long; a stray quote is a likelier cause than the size."""
    pieces = record.text.split(QUOTE)
    if (stray := _find_stray_quote(record, pieces, SEPARATORS)) is not None:
        return stray
    if quotes > MAX_QUOTES:
        return Unreadable(
            f"The record that begins in line {record.line} holds more than {MAX_QUOTES} quotes: shorten it, or "
            "write JSON lines or Parquet."
        )
    return too_long(record.line)


def too_long(line: int) -> Unreadable:
    """Return the error for the record that begins in this line."""
    return Unreadable(
        f"The record that begins in line {line} is longer than {MAX_RECORD_BYTES >> 20} MiB. Shorten it, or close the "
        "quote that it opens, if that was meant to end earlier."
    )


def count_lines(text: bytes) -> int:
    """Return how many lines end in a text, which must not be cut within CR LF."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


def first_record_end(text: bytes) -> tuple[int, int]:
    """Return where the first record of a chunk ends: without its line end, and with it."""
    offset = 0
    for number, piece in enumerate(text.split(QUOTE)):
        if number % 2 == 0 and (found := _LINE_END.search(piece)):
            return offset + found.start(), offset + found.end()
        offset += len(piece) + 1
    return len(text), len(text)


def hide_quoted(chunk: Chunk, separator: bytes) -> bytes:
    """Return the text with other bytes in place of the separators and line ends that are quoted.

    Every line end outside of quotes becomes LF; the quotes stay. Raises Unreadable for a stray quote.
    """
    text = chunk.text
    if QUOTE in text:
        pieces = text.split(QUOTE)
        _refuse_stray_quotes(chunk, pieces, separator)
        hiding = bytes.maketrans(separator + b"\n\r", HIDDEN_SEPARATOR + HIDDEN_LF + HIDDEN_CR)
        pieces[1::2] = QUOTE.join(pieces[1::2]).translate(hiding).split(QUOTE)
        text = QUOTE.join(pieces)
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return text


_LINE_END = re.compile(rb"\r\n?|\n")


def _last_record_end(text: bytes, start: int, *, is_quoted: bool) -> int:
    """Return the length of the whole records in the text, 0 if there are none; no record ends before `start`.

    It counts quotes, so it is right up to the first stray one. A CR at the very end may be half of a line end.
    """
    if not is_quoted and text.find(QUOTE, start) < 0:
        return max(text.rfind(b"\n", start), text.rfind(b"\r", start, -1)) + 1
    pieces = text[start:].split(QUOTE)
    offset = len(text)
    for number in range(len(pieces) - 1, -1, -1):
        piece = pieces[number]
        offset -= len(piece)
        if (number % 2 == 1) == is_quoted:
            last = len(piece) - 1 if offset + len(piece) == len(text) else len(piece)
            if found := max(piece.rfind(b"\n"), piece.rfind(b"\r", 0, max(last, 0))) + 1:
                return offset + found
        offset -= 1
    return 0


def _refuse_stray_quotes(chunk: Chunk, pieces: list[bytes], separator: bytes) -> None:
    """Raise Unreadable for a quote within an unquoted field, for text behind a closing one, and for one left open.

    `pieces` are the chunk's text between its quotes: those at odd places are quoted, and an empty one between two of
    them is a doubled quote.
    """
    if (stray := _find_stray_quote(chunk, pieces, (separator,))) is not None:
        raise stray
    if len(pieces) % 2 == 0:
        raise _stray(chunk, pieces[:-1], "it opens a value and is never closed.")


def _find_stray_quote(chunk: Chunk, pieces: list[bytes], separators: Collection[bytes]) -> Unreadable | None:
    """Return the error for the first quote whose neighbour is neither a separator nor a line end."""
    beside = {b"", *separators, b"\n", b"\r"}
    # Two sets of a few bytes, not a search through all of the text, which took 2/5 of the whole time (2026-11-30).
    if {piece[-1:] for piece in pieces[:-1:2]} | {piece[:1] for piece in pieces[2::2]} <= beside:
        return None
    for opening in range(0, len(pieces), 2):
        if opening and pieces[opening][:1] not in beside:
            return _stray(chunk, pieces[:opening], "there is text behind a closing quote.")
        if opening + 1 < len(pieces) and pieces[opening][-1:] not in beside:
            return _stray(chunk, pieces[: opening + 1], "it stands within an unquoted value.")
    raise AssertionError("some quote has something else beside it")


def _stray(chunk: Chunk, before: list[bytes], why: str) -> Unreadable:
    """Return the error for the quote behind these pieces."""
    line = chunk.line + count_lines(QUOTE.join(before))
    return Unreadable(
        f"Line {line} has a stray quote, so what follows can't be told apart: {why} Quote whole values only, with no "
        "blanks around the quotes, and double the quotes inside."
    )
