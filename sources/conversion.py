"""Converting an open file to Parquet whose columns are `c0`, `c1` …, in row groups of a few thousand rows."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sources.duck import Session
from sources.errors import Unreadable
from sources.formats import Compression, Format, Layout
from sources.values import Kind

ROW_GROUP_ROWS = 8192
"""A read decodes the groups it touches whole, and looks at all groups' headers: 500 rows of 1,000,000 took 5.7 ms with
4,096, 4.0 with 8,192, 3.0 with 32,768 (2026-11-24), while memory and the cost of a small read grow with it."""
MAX_MALFORMED = 10_000
MAX_NAMES = 10_000
"""Malformed records that are kept for rejection, and names of members of JSON lines that are remembered."""
_SEPARATORS = ",;\t|"
_STORED: Mapping[str, tuple[str, Kind]] = {
    **dict.fromkeys(["BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", '"NULL"'], ("{}", Kind.PLAIN)),
    **dict.fromkeys(["UTINYINT", "USMALLINT", "UINTEGER"], ("{}", Kind.PLAIN)),
    **dict.fromkeys(["UBIGINT", "HUGEINT", "UHUGEINT", "BIGNUM", "DECIMAL"], ("CAST({} AS VARCHAR)", Kind.NUMBER)),
    **dict.fromkeys(["FLOAT", "DOUBLE"], ("{}", Kind.FLOAT)),
    **dict.fromkeys(["DATE", "TIME", "TIMESTAMP"], ("CAST({} AS VARCHAR)", Kind.MOMENT)),
    **dict.fromkeys(["VARCHAR", "ENUM", "UUID", "INTERVAL", "BIT"], ("CAST({} AS VARCHAR)", Kind.TEXT)),
    "JSON": ("CAST({} AS VARCHAR)", Kind.JSON),
    "BLOB": ("base64({})", Kind.PLAIN),
}
"""How a column of a type is stored, and what its values need when they are read; others are kept and looked at."""
# What loses the records that the quote swallowed, so that rejecting one record would lose others silently.
_FATAL = ("UNQUOTED VALUE", "INVALID STATE")


@dataclass(frozen=True, slots=True)
class Content:
    """What a staged file holds: `rows` in Parquet, and a sentence for each record that made no sense.

    With `holds_documents` the only stored column is the text of a JSON document per row, and `columns` are the names
    of its members.
    """

    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    rows: int
    malformed: tuple[str, ...] = ()
    holds_documents: bool = False


def convert(session: Session, *, file: int, format_: Format, to: Path) -> Content:
    """Write the rows of an open file to `to`, in their order; raises Unreadable for what isn't of its format."""
    # The descriptor, not the path: what was opened is what is read, whoever moves files meanwhile.
    path = f"/dev/fd/{file}"
    match format_.layout:
        case Layout.CSV:
            return _convert_csv(session, path, format_.compression, to)
        case Layout.JSON_LINES:
            return _convert_json_lines(session, path, format_.compression, to)
        case Layout.PARQUET:
            return _convert_parquet(session, path, to)


def _convert_csv(session: Session, path: str, compression: Compression, to: Path) -> Content:
    """Keep every value as the text it is: a leading zero or a long number is not ours to read.

    An unquoted empty value is null, a quoted one is the empty text.
    """
    names, separator = _header(session, path, compression)
    columns = {f"c{number}": "VARCHAR" for number in range(len(names))}
    # The first line is read as a record, so that one that isn't text comes among the malformed. A blank line is none;
    # only where there is a single column would it look like one.
    condition = "WHERE c0 IS NOT NULL" if len(names) == 1 else ""
    rows = _write(
        session,
        f"""
        SELECT * FROM read_csv(
            $path, compression = $compression, columns = $columns, header = false, auto_detect = false,
            delim = $separator, quote = '"', escape = '"', nullstr = '', allow_quoted_nulls = false,
            store_rejects = true, rejects_limit = {MAX_MALFORMED + 1}
        ) {condition} OFFSET 1
        """,
        {"path": path, "compression": compression, "columns": columns, "separator": separator},
        to,
    )
    return Content(tuple(names), (Kind.TEXT,) * len(names), rows, _malformed_records(session))


def _header(session: Session, path: str, compression: Compression) -> tuple[list[str], str]:
    """Return the names in the first line, and the separator that stands in it most often outside quotes.

    A first line that isn't text is passed over here, and found to be malformed when all is read.
    """
    found = session.connection.execute(
        """
        SELECT line FROM read_csv(
            $path, compression = $compression, columns = {line: 'VARCHAR'}, header = false, auto_detect = false,
            delim = chr(31), quote = '', escape = '', ignore_errors = true
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
    return names, separator


def _malformed_records(session: Session) -> tuple[str, ...]:
    """Return a sentence for each record of the last CSV that was left out; raises Unreadable if they may not be all."""
    rejects = session.connection.execute(
        "SELECT line - 1, error_type, split_part(error_message, chr(10), 1) FROM reject_errors ORDER BY line"
    ).fetchall()
    for record, kind, text in rejects:
        if record == 0:
            raise Unreadable(f"The first line must name the columns: {text}")
        if kind in _FATAL:
            raise Unreadable(f"Record {record} has a stray quote, so what follows it can't be told apart: {text}")
    if len(rejects) > MAX_MALFORMED:
        raise Unreadable(f"More than {MAX_MALFORMED} records make no sense; the first is record {rejects[0][0]}.")
    return tuple({record: f"Record {record}: {text}" for record, _, text in rejects}.values())


def _convert_json_lines(session: Session, path: str, compression: Compression, to: Path) -> Content:
    """Keep each line as the text it is, and null where it is no JSON; blank lines are no rows."""
    rows = _write(
        session,
        """
        SELECT CAST(json AS VARCHAR) AS c0 FROM read_json_objects(
            $path, compression = $compression, format = 'newline_delimited', ignore_errors = true
        )
        """,
        {"path": path, "compression": compression},
        to,
    )
    names = session.connection.execute(
        f"""
        SELECT DISTINCT unnest(json_keys(c0)) AS name FROM read_parquet($rows)
        WHERE json_type(c0) = 'OBJECT' ORDER BY name LIMIT {MAX_NAMES}
        """,
        {"rows": str(to)},
    ).fetchall()
    return Content(tuple(name for (name,) in names), (Kind.JSON,), rows, holds_documents=True)


def _convert_parquet(session: Session, path: str, to: Path) -> Content:
    """Keep the values, cut into our row groups; what Python has no exact value for is kept as text."""
    described = session.connection.execute("DESCRIBE SELECT * FROM read_parquet($path)", {"path": path}).fetchall()
    stored = [_stored(name, type_) for name, type_, *_ in described]
    expressions = ", ".join(f"{expression} AS c{number}" for number, (expression, _) in enumerate(stored))
    rows = _write(session, f"SELECT {expressions} FROM read_parquet($path)", {"path": path}, to)
    return Content(tuple(name for name, *_ in described), tuple(kind for _, kind in stored), rows)


def _stored(name: str, type_: str) -> tuple[str, Kind]:
    """Return the expression that a column is stored as, and what its values need when they are read."""
    quoted = '"' + name.replace('"', '""') + '"'
    # `DECIMAL(18,3)`, `TIMESTAMP WITH TIME ZONE`, `TIMESTAMP_NS`; but `DATE[]` is a list.
    base = re.split(r"[( _]", type_)[0]
    template, kind = ("{}", Kind.NESTED) if type_.endswith("]") else _STORED.get(base, ("{}", Kind.NESTED))
    return template.format(quoted), kind


def _write(session: Session, query: str, parameters: dict[str, Any], to: Path) -> int:
    """Write the query's rows in their order; return how many."""
    written: Sequence[Any] | None = session.connection.execute(
        f"COPY ({query}) TO $to (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS})",
        {**parameters, "to": str(to)},
    ).fetchone()
    return int(written[0]) if written else 0
