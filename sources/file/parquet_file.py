"""Converting Parquet to its staged form: Apache Arrow reads it batch by batch, independent of its row groups."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, zip_longest
from operator import add
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from sources.errors import Unreadable, echoed
from sources.file.parquet_columns import Column, columns_of, leaves_of
from sources.file.parquet_footer import MAX_LEVELS, read_footer
from sources.staged.content import Content
from sources.staged.writer import StagedWriter
from sources.values import MAX_DEPTH

BATCH_BYTES = 8 * 1024 * 1024
"""Bytes of a batch by the sizes stated in the file: its values are in memory several times until they are staged."""
BATCH_ROWS = (8192, 256, 8, 1)
"""If the stated sizes are so wrong that memory runs out, the file is read again with smaller batches."""
BUFFER_BYTES = 1024 * 1024
"""Bytes read at once of each column; without a limit Arrow reads a whole column of a row group."""
_PATH = re.compile(r"'?/(?:dev|proc)/\S+")
_EMPTY_PAGE = "a page without values, at which Arrow stops: write the file again, with pages of the usual size"
_REMEDIES: Sequence[tuple[str, str]] = (
    (r"encrypt|decrypt|crypto", "It is encrypted: write it without encryption"),
    (r"codec|compress", "It can't be decompressed: write it with zstd, snappy, gzip or no compression"),
    (
        r"deeply nested",
        f"Its columns are nested deeper than {MAX_DEPTH} levels: write what lies deeper as a text of JSON",
    ),
    (
        r"Corrupted me(ssage|tadata)|schema message|metadata bytes|flatbuffer",
        "The schema that Arrow adds to the file is damaged: write it without one (store_schema=False)",
    ),
    (r"child array|length smaller|same size|levels exceeded", f"A column ends before its rows, or has {_EMPTY_PAGE}"),
    (r"Map keys", "It has a map whose keys may be null: write the file again, with keys that are required"),
)
"""Remedies for errors of Arrow, by words in their texts."""


def convert_parquet(path: str, to: Path) -> Content:
    """Write the rows of a Parquet file to `to`, in their order.

    A value that a payload can't hold is staged as a defect, and its row is rejected when it is read. Raises Unreadable
    for a file that breaks the Parquet specification, is encrypted, or has unsupported types; OSError for errors of the
    disk.
    """
    with _explained():
        footer, arrow_schema = read_footer(path)
        for batch_rows in _batch_sizes(footer):
            try:
                return _convert(path, footer, arrow_schema, to, batch_rows)
            except MemoryError:
                continue
        raise MemoryError


@contextmanager
def _explained() -> Iterator[None]:
    """Turn Arrow's errors about the file into Unreadable, and errors of the disk into a plain OSError."""
    try:
        yield
    except MemoryError as error:
        raise Unreadable(
            "Its values need more memory than an import may take: write the file with smaller pages."
        ) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno:
            raise OSError(error.errno, os.strerror(error.errno)) from error
        raise Unreadable(_remedy(error)) from error


def _remedy(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "The name of one of its columns isn't valid UTF-8: write the file with another one."
    reason = _PATH.sub("the file", str(error).splitlines()[0] if str(error) else type(error).__name__).rstrip(".")
    for words, remedy in _REMEDIES:
        if re.search(words, reason, re.IGNORECASE):
            return f"{remedy} ({reason})."
    return f"It can't be read as Parquet: {reason}. Check the file, or write it again."


def _convert(path: str, footer: parquet.FileMetaData, arrow_schema: pa.Schema, to: Path, batch_rows: int) -> Content:
    with _opened(path, footer) as file:
        columns = columns_of(file.schema_arrow, leaves_of(file.schema), arrow_schema)
        counted = [0] * len(file.schema)
        with StagedWriter(to, [column.type for column in columns]) as writer:
            for batch, seconds in _batches(file, path, columns, batch_rows):
                staged, counts = zip(*(column.stage(batch, seconds) for column in columns), strict=True)
                writer.write(staged)
                counted = list(map(add, counted, chain.from_iterable(counts)))
        _refuse_other_counts(file, writer.rows, counted)
    return Content(tuple(column.name for column in columns), tuple(column.kind for column in columns), writer.rows)


def _opened(path: str, footer: parquet.FileMetaData, *, int96_unit: str = "ns") -> parquet.ParquetFile:
    return parquet.ParquetFile(
        path,
        metadata=footer,
        buffer_size=BUFFER_BYTES,
        pre_buffer=False,
        page_checksum_verification=True,
        arrow_extensions_enabled=False,
        schema_depth_limit=MAX_LEVELS,
        coerce_int96_timestamp_unit=int96_unit,
    )


def _refuse_other_counts(file: parquet.ParquetFile, rows: int, counted: Sequence[int]) -> None:
    """Refuse a file whose stated numbers of rows or values differ from those that were read.

    Arrow reads as many rows as the row groups say, and looks neither at the footer's number nor at the remaining pages.
    """
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    for said in (file.metadata.num_rows, sum(group.num_rows for group in groups)):
        if said != rows:
            raise Unreadable(f"It says that it has {said} rows, and holds {rows}, or {_EMPTY_PAGE}.")
    for number, values in enumerate(counted):
        if (said := sum(group.column(number).num_values for group in groups)) != values:
            path = file.schema.column(number).path
            raise Unreadable(
                f"It says that the column {echoed(path)} has {said} values, and {values} belong to its rows: write the "
                "file again."
            )


def _batch_sizes(footer: parquet.FileMetaData) -> Iterable[int]:
    """Return the batch sizes to try in turn, in rows: none above BATCH_BYTES by the sizes stated in the file."""
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    row_bytes = max((group.total_byte_size // group.num_rows for group in groups if group.num_rows), default=0)
    most = max(1, BATCH_BYTES // max(1, row_bytes))
    return dict.fromkeys(min(most, rows) for rows in BATCH_ROWS)


def _batches(
    file: parquet.ParquetFile, path: str, columns: Sequence[Column], batch_rows: int
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch | None]]:
    """Yield the rows and, where a column holds INT96, the same rows of such columns with whole seconds.

    An INT96 is read as nanoseconds modulo 2^64, which alone would be another moment before 1677 and after 2262.
    """
    batches = file.iter_batches(batch_rows, use_threads=False)
    int96 = [column.name for column in columns if column.holds_int96]
    if not int96:
        yield from ((batch, None) for batch in batches)
        return
    with _opened(path, file.metadata, int96_unit="s") as again:
        in_seconds = again.iter_batches(batch_rows, columns=int96, use_threads=False)
        for batch, seconds in zip_longest(batches, in_seconds):
            if batch is None or seconds is None or batch.num_rows != seconds.num_rows:
                raise Unreadable(f"Its columns have different numbers of rows, or {_EMPTY_PAGE}.")
            yield batch, seconds
