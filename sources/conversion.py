"""Converting an open file to Parquet whose columns are `c0`, `c1` …, in row groups of a few thousand rows."""

import threading
from concurrent.futures import wait
from pathlib import Path

from sources.content import Content
from sources.csv_records import convert_csv
from sources.duck import Session, Stopped
from sources.formats import Compression, Format, Layout
from sources.lines import NOT_BYTES, find_blank_lines, open_bytes
from sources.parquet import write_rows
from sources.threads import begin
from sources.values import Kind

MAX_NAMES = 10_000
"""Names of members of JSON lines that are remembered."""
MAX_BLANK_LINES = 100_000
"""Blank lines among JSON lines that are remembered; where there are more, no row's line is told."""


def convert(session: Session, *, file: int, format_: Format, to: Path) -> Content:
    """Write the rows of an open file to `to`, in their order; raises Unreadable for what isn't of its format."""
    # The descriptor, not the path: what was opened is what is read, whoever moves files meanwhile.
    path = f"/dev/fd/{file}"
    match format_.layout:
        case Layout.CSV:
            return convert_csv(session, path, format_.compression, to)
        case Layout.JSON_LINES:
            return _convert_json_lines(session, path, format_.compression, to)
        case Layout.PARQUET:
            from sources.parquet_file import convert_parquet  # noqa: PLC0415 (as DuckDB, only who needs it loads it)

            return convert_parquet(path, to)


def _convert_json_lines(session: Session, path: str, compression: Compression, to: Path) -> Content:
    """Keep each line as the text it is, and null where it is no JSON; blank lines are no rows."""
    rows, blank_lines = _write_documents(session, path, compression, to)
    names = session.connection.execute(
        f"""
        SELECT DISTINCT unnest(json_keys(c0)) AS name FROM read_parquet($rows)
        WHERE json_type(c0) = 'OBJECT' ORDER BY name LIMIT {MAX_NAMES}
        """,
        {"rows": str(to)},
    ).fetchall()
    columns = tuple(name for (name,) in names)
    return Content(columns, (Kind.JSON,), rows, holds_documents=True, blank_lines=blank_lines)


def _write_documents(
    session: Session, path: str, compression: Compression, to: Path
) -> tuple[int, tuple[int, ...] | None]:
    """Write the rows and look for blank lines meanwhile; return how many rows there are, and `Content.blank_lines`."""
    failed = threading.Event()
    looking = begin("lines", lambda: _blank_lines(session, path, compression, failed))
    try:
        rows = write_rows(
            session,
            """
            SELECT CAST(json AS VARCHAR) AS c0 FROM read_json_objects(
                $path, compression = $compression, format = 'newline_delimited', ignore_errors = true
            )
            """,
            {"path": path, "compression": compression},
            to,
        )
    except BaseException:
        failed.set()
        wait([looking])
        raise
    counted, blank_lines = looking.result()
    # Who counts other rows than DuckDB can't say where one stands.
    return rows, tuple(blank_lines) if blank_lines is not None and counted == rows else None


def _blank_lines(
    session: Session, path: str, compression: Compression, failed: threading.Event
) -> tuple[int, list[int] | None]:
    def go_on() -> None:
        session.go_on()
        if failed.is_set():
            raise Stopped

    source = open_bytes(path, compression)
    if source is None:
        return 0, None
    with source:
        try:
            return find_blank_lines(source, most=MAX_BLANK_LINES, go_on=go_on)
        except NOT_BYTES:
            return 0, None
