"""A table's rows in staged form: each value as JSON text, since in SQLite every value has its own type."""

import base64
import difflib
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from sources.errors import SourceMissing, Unreadable, echoed
from sources.staged.content import Content
from sources.staged.writer import StagedWriter
from sources.values import DEFECT, Kind

BATCH_ROWS = 500
BATCH_CHARACTERS = 4_000_000
_SHOWN_TABLES = 20
_ENCODINGS = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}


def convert_table(database: sqlite3.Connection, encoding: str, table: str, to: Path) -> Content:
    """Write the rows of a table in the order of its rowid or key, or those of a view in the view's order.

    `encoding` is that of the database's text, as SQLite names it. Raises SourceMissing for a table that isn't there,
    Unreadable for a virtual one.
    """
    source = _found(database, table)
    columns = tuple(name for name, *_ in database.execute(f"SELECT * FROM {source} LIMIT 0").description)
    decoding = _ENCODINGS[encoding]
    rows = database.execute(f"SELECT {', '.join(map(_selected, columns))} FROM {source}")
    with StagedWriter(to, [pa.utf8()] * len(columns)) as writer:
        for batch in _batches([_document(value, decoding) for value in record] for record in rows):
            writer.write([pa.array(values, pa.utf8()) for values in zip(*batch, strict=True)])
    return Content(columns, (Kind.DOCUMENT,) * len(columns), writer.rows)


def _batches(rows: Iterable[list[str | None]]) -> Iterator[list[list[str | None]]]:
    """Yield the rows a few at a time, fewer where they are large."""
    batch: list[list[str | None]] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += sum(len(value) for value in row if value)
        if len(batch) == BATCH_ROWS or characters > BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _found(database: sqlite3.Connection, table: str) -> str:
    """Return the quoted name of a table of the file; system tables don't count."""
    listed = database.execute("SELECT name, type, rootpage FROM sqlite_master WHERE type IN ('table', 'view')")
    found: Mapping[str, tuple[str, int]] = {
        name: (kind, page) for name, kind, page in listed if not name.startswith("sqlite_")
    }
    if table not in found:
        near = difflib.get_close_matches(table, list(found), n=1)
        shown = ", ".join(map(echoed, sorted(found)[:_SHOWN_TABLES])) or "none"
        hint = f"did you mean {echoed(near[0])}?" if near else f"it has {shown}."
        raise SourceMissing(f"The file has no table {echoed(table)}: {hint}")
    kind, page = found[table]
    if kind == "view":
        return f"{_quoted(table)} AS t"
    if not page:
        raise Unreadable(f"{echoed(table)} is a virtual table, which isn't read: import a table that holds its rows.")
    return f"{_quoted(table)} AS t NOT INDEXED"  # so that the order of rows doesn't depend on indexes


def _selected(column: str) -> str:
    """Return the expression that selects text as its raw bytes, and bytes as hexadecimal digits."""
    value = f"t.{_quoted(column)}"
    return f"CASE typeof({value}) WHEN 'text' THEN CAST({value} AS BLOB) WHEN 'blob' THEN hex({value}) ELSE {value} END"


def _document(value: Any, decoding: str) -> str | None:
    """Return a selected value as JSON text, or DEFECT and the reason if JSON can't express it."""
    if isinstance(value, bytes):
        return _text(value, decoding)
    if isinstance(value, str):
        return f'"{base64.b64encode(bytes.fromhex(value)).decode()}"'
    if isinstance(value, float) and not math.isfinite(value):
        return f"{DEFECT}is {value}, which JSON has no word for"
    return None if value is None else orjson.dumps(value).decode()


def _text(value: bytes, decoding: str) -> str:
    try:
        text = value.decode(decoding)
    except UnicodeDecodeError:
        return f"{DEFECT}isn't valid {decoding[:6].upper().rstrip('-')}"
    if "\0" in text:
        return f"{DEFECT}holds a NUL character, which the database can't store"
    return orjson.dumps(text).decode()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
