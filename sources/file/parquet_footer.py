"""The footer of a Parquet file as the Parquet specification has it, without the schema that Arrow adds for itself."""

import os
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from sources.errors import Unreadable
from sources.values import MAX_DEPTH

MAX_LEVELS = 3 * MAX_DEPTH
"""Levels of a Parquet schema; a list takes two."""
_MAGIC = b"PAR1"
_ENDING_BYTES = 8
"""Behind the footer: its length, and the magic."""
_KEY = b"ARROW:schema"
# A key and its value in Thrift's compact protocol: the key's field and length, the key, the value's field.
_ENTRY, _OTHER_ENTRY = b"\x18\x0c" + _KEY + b"\x18", b"\x18\x0cother_schema\x18"


def read_footer(path: str) -> tuple[parquet.FileMetaData, pa.Schema]:
    """Return a footer without Arrow's own schema, and the columns with the types of that schema.

    By its own schema Arrow reads plain Parquet columns as dictionaries, extensions and lists of a fixed size.
    It then cuts batches elsewhere in each column, and can't build some nested types (26.0.1).

    Raises Unreadable, and Arrow's errors for a file that it can't open.
    """
    with _opened(path) as file:
        footer, arrow_schema = file.metadata, file.schema_arrow
    if _KEY not in (footer.metadata or {}):
        return footer, arrow_schema
    with _opened(pa.BufferReader(_MAGIC + _raw_footer(path).replace(_ENTRY, _OTHER_ENTRY))) as file:
        changed = file.metadata
    if _KEY in changed.metadata or not changed.schema.equals(footer.schema):
        raise Unreadable("It holds Arrow's schema in an unusual place: write it without one (store_schema=False).")
    return changed, arrow_schema


def _opened(source: str | pa.BufferReader) -> parquet.ParquetFile:
    return parquet.ParquetFile(source, schema_depth_limit=MAX_LEVELS)


def _raw_footer(path: str) -> bytes:
    """Return the footer and the bytes behind it, of a file that Arrow has opened."""
    with Path(path).open("rb") as file:
        file.seek(-_ENDING_BYTES, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-_ENDING_BYTES - length, os.SEEK_END)
        return file.read()
