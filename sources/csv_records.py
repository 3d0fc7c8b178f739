"""Converting a CSV to Parquet, and finding where in the file the records stand that made no sense.

DuckDB leaves those out and tells at which byte they begin, but not how many good ones stand before them: quotes hide
line breaks, and blank lines are no records. Only a file that has any is read again for that, with a mark before each of
them, by the same parser, so that nobody else's idea of CSV matters.
"""

import csv
import os
from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

from sources.content import Content, Malformed
from sources.duck import Session
from sources.errors import Unreadable
from sources.formats import Compression
from sources.lines import NOT_BYTES, mark_records, open_bytes
from sources.parquet import write_rows
from sources.threads import begin
from sources.values import Kind

MAX_MALFORMED = 100_000
"""Malformed records that are kept for rejection: each is a sentence in the memory of who reads the file."""
_MAX_DEFECTS = 10 * MAX_MALFORMED
"""What DuckDB remembers: each value that is too many is a defect of its own."""
_SEPARATORS = ",;\t|"
# What loses the records that the quote swallowed, so that rejecting one record would lose others silently.
_FATAL = ("UNQUOTED VALUE", "INVALID STATE")


@dataclass(frozen=True, slots=True)
class _Csv:
    path: str
    compression: Compression
    names: tuple[str, ...]
    separator: str

    @property
    def columns(self) -> list[str]:
        return [f"c{number}" for number in range(len(self.names))]


class _Reject(NamedTuple):
    """A record that DuckDB left out: its number where the header is 0 and blank lines count, and its first byte."""

    number: int
    offset: int
    text: str
    is_fatal: bool


def convert_csv(session: Session, path: str, compression: Compression, to: Path) -> Content:
    """Keep every value as the text it is: a leading zero or a long number is not ours to read.

    An unquoted empty value is null, a quoted one is the empty text. Raises Unreadable.
    """
    file = _Csv(path, compression, *_header(session, path, compression))
    # The first line is read as a record, so that one that isn't text comes among the malformed.
    rows = write_rows(
        session,
        f"SELECT * FROM {_records(file, f'store_rejects = true, rejects_limit = {_MAX_DEFECTS + 1}')} OFFSET 1",
        _parameters(file),
        to,
    )
    malformed = _malformed_records(session, file, rows)
    return Content(file.names, (Kind.TEXT,) * len(file.names), rows, malformed)


def _header(session: Session, path: str, compression: Compression) -> tuple[tuple[str, ...], str]:
    """Return the names in the first line, and the separator that stands in it most often outside quotes.

    A first line that isn't text is passed over here, and found to be malformed when all is read.
    """
    found = session.connection.execute(
        """
        SELECT line FROM read_csv(
            $path, compression = $compression, columns = {line: 'VARCHAR'}, header = false, auto_detect = false,
            delim = chr(31), quote = '', escape = '', ignore_errors = true, strict_mode = false
        ) LIMIT 1
        """,
        {"path": path, "compression": compression},
    ).fetchone()
    if found is None or not found[0]:
        raise Unreadable("The first line is empty: it must name the columns.")
    line = found[0]
    outside = "".join(line.split('"')[::2])
    separator = max(_SEPARATORS, key=outside.count)
    names = next(csv.reader([line], delimiter=separator))
    if len(set(names)) < len(names) or not all(names) or line.count('"') % 2:
        raise Unreadable("The first line must name the columns, each with another name, and close its quotes.")
    return tuple(names), separator


def _records(file: _Csv, on_error: str) -> str:
    """Return what stands behind FROM for all records, the first line included."""
    # A blank line is no record; only where there is a single column would it look like one.
    condition = "WHERE c0 IS NOT NULL" if len(file.names) == 1 else ""
    return f"""
        read_csv(
            $path, compression = $compression, columns = $columns, header = false, auto_detect = false,
            delim = $separator, quote = '"', escape = '"', nullstr = '', allow_quoted_nulls = false, {on_error}
        ) {condition}
    """


def _parameters(file: _Csv) -> dict[str, Any]:
    return {
        "path": file.path,
        "compression": file.compression,
        "columns": dict.fromkeys(file.columns, "VARCHAR"),
        "separator": file.separator,
    }


def _malformed_records(session: Session, file: _Csv, rows: int) -> tuple[Malformed, ...]:
    """Return the records that were left out of `rows`; raises Unreadable if they may not be all."""
    rejects = _rejects(session)
    if not rejects:
        return ()
    if rejects[0].number == 0:
        raise Unreadable(f"The first line must name the columns: {rejects[0].text}")
    if fatal := next((one for one in rejects if one.is_fatal), None):
        place = _place(session, file, fatal)
        raise Unreadable(f"There is a stray quote in {place}, so what follows can't be told apart: {fatal.text}")
    if len(rejects) > MAX_MALFORMED or _defects(session) > _MAX_DEFECTS:
        raise Unreadable(
            f"More than {MAX_MALFORMED} records make no sense, too many to reject each; the first is "
            f"{_place(session, file, rejects[0])}: {rejects[0].text} Mend the file, or split it into several."
        )
    return _marked(session, file, rejects) or _by_number(rejects, rows)


def _rejects(session: Session) -> list[_Reject]:
    """Return what the last CSV left out, in its order, one more than may be at most; the last defect of each tells."""
    found = session.connection.execute(
        f"""
        SELECT line - 1, min(line_byte_position) - 1,
            arg_max(split_part(error_message, chr(10), 1), coalesce(column_idx, 0)), bool_or(error_type IN {_FATAL})
        FROM reject_errors GROUP BY line ORDER BY bool_or(error_type IN {_FATAL}) DESC, line LIMIT {MAX_MALFORMED + 1}
        """
    ).fetchall()
    return sorted(_Reject(*one) for one in found)


def _defects(session: Session) -> int:
    (defects,) = session.connection.execute("SELECT count(*) FROM reject_errors").fetchone() or (0,)
    return int(defects)


def _marked(session: Session, file: _Csv, rejects: Sequence[_Reject]) -> tuple[Malformed, ...] | None:
    """Return the malformed records with their exact positions and lines; None if the file's bytes can't be had."""
    source = open_bytes(file.path, file.compression)
    if source is None:
        return None
    mark = token_hex(16)
    line = (mark + file.separator * (len(file.names) - 1)).encode()
    reader, writer = os.pipe()
    offsets = [one.offset for one in rejects]
    with source:
        marking = begin("marks", lambda: _write_marked(source, offsets, line, writer))
        try:
            positions = _marked_positions(session, file, f"/dev/fd/{reader}", mark)
        finally:
            os.close(reader)  # who writes for a reader that failed ends by this
            wait([marking])
    if isinstance(marking.exception(), NOT_BYTES) or len(positions) != len(rejects):
        return None
    return tuple(
        Malformed(position, line, one.text)
        for position, line, one in zip(positions, marking.result(), rejects, strict=True)
    )


def _write_marked(source: Any, offsets: Sequence[int], line: bytes, writer: int) -> list[int]:
    with open(writer, "wb") as pipe:
        return mark_records(source, offsets, line, pipe.write)


def _marked_positions(session: Session, file: _Csv, path: str, mark: str) -> list[int]:
    """Return which of the records are marks, counted without the first line; the malformed behind them are left out."""
    # A record with a bad byte in a column that nobody asks for would count, so all are asked for.
    found = session.connection.execute(
        f"""
        SELECT position FROM (
            SELECT row_number() OVER () - 2 AS position, c0, hash({", ".join(file.columns)}) AS whole
            FROM {_records(file, "ignore_errors = true")}
        ) WHERE c0 = $mark AND whole IS NOT NULL ORDER BY position
        """,
        {**_parameters(file), "path": path, "compression": "none", "mark": mark},
    ).fetchall()
    return [position for (position,) in found]


def _by_number(rejects: Sequence[_Reject], rows: int) -> tuple[Malformed, ...]:
    """Return the malformed records as if no line was blank: each that is shifts those behind it by one."""
    return tuple(Malformed(min(one.number - 1, rows + earlier), None, one.text) for earlier, one in enumerate(rejects))


def _place(session: Session, file: _Csv, reject: _Reject) -> str:
    """Return where a record stands, for people."""
    source = open_bytes(file.path, file.compression)
    if source is None:
        return f"record {reject.number}"
    with source:
        (line,) = mark_records(source, [reject.offset], b"", lambda _: session.go_on())
    return f"line {line}"
