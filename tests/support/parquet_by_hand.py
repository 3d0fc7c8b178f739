"""Writing Parquet byte by byte, as no library of today does: annotations of old files, and footers that lie."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

INT32, INT64, INT96, BYTE_ARRAY, FIXED = 1, 2, 3, 6, 7
ENUM, DECIMAL, DATE, TIME_MILLIS, TIME_MICROS, TIMESTAMP_MILLIS, TIMESTAMP_MICROS = 4, 5, 6, 7, 8, 9, 10
UTF8, JSON, BSON, INTERVAL = 0, 19, 20, 21
UNCOMPRESSED, LZO = 0, 3
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
_DATA_PAGE, _PLAIN, _RLE, _REQUIRED = 0, 0, 3, 0
_MAGIC = b"PAR1"


@dataclass(frozen=True)
class HandColumn:
    """A required column; `converted` is its annotation by the names of ConvertedType, and values are as PLAIN wants."""

    name: str
    physical: int
    values: Sequence[bytes]
    converted: int | None = None
    length: int | None = None
    codec: int = UNCOMPRESSED


def write_by_hand(
    path: Path, *columns: HandColumn, rows: int | None = None, group_rows: int | None = None, lacking: int = 0
) -> None:
    """Write a file of one row group; `rows` and `group_rows` are what its footer claims, by default the truth.

    So many of the last columns are `lacking` in the row group.
    """
    true_rows = len(columns[0].values)
    written = bytearray(_MAGIC)
    chunks = []
    for column in columns:
        data = b"".join(column.values)
        page = _struct((1, _I32, _DATA_PAGE), (2, _I32, len(data)), (3, _I32, len(data)), (5, _STRUCT, _page(column)))
        chunks.append(_chunk(column, offset=len(written), size=len(page) + len(data)))
        written += page + data
    group = _struct(
        (1, _LIST, _list(_STRUCT, chunks[: len(chunks) - lacking])),
        (2, _I64, len(written)),
        (3, _I64, true_rows if group_rows is None else group_rows),
    )
    root = _struct((4, _BINARY, b"root"), (5, _I32, len(columns)))
    footer = _struct(
        (1, _I32, 1),
        (2, _LIST, _list(_STRUCT, [root, *map(_element, columns)])),
        (3, _I64, true_rows if rows is None else rows),
        (4, _LIST, _list(_STRUCT, [group])),
    )
    path.write_bytes(written + footer + struct.pack("<I", len(footer)) + _MAGIC)


def text(value: str | bytes) -> bytes:
    """A value of BYTE_ARRAY as PLAIN wants it."""
    encoded = value.encode() if isinstance(value, str) else value
    return struct.pack("<I", len(encoded)) + encoded


def _page(column: HandColumn) -> bytes:
    return _struct((1, _I32, len(column.values)), (2, _I32, _PLAIN), (3, _I32, _RLE), (4, _I32, _RLE))


def _chunk(column: HandColumn, *, offset: int, size: int) -> bytes:
    about = _struct(
        (1, _I32, column.physical),
        (2, _LIST, _list(_I32, [_varint(_zigzag(_PLAIN))])),
        (3, _LIST, _list(_BINARY, [_binary(column.name.encode())])),
        (4, _I32, column.codec),
        (5, _I64, len(column.values)),
        (6, _I64, size),
        (7, _I64, size),
        (9, _I64, offset),
    )
    return _struct((2, _I64, offset), (3, _STRUCT, about))


def _element(column: HandColumn) -> bytes:
    fields = [(1, _I32, column.physical), (2, _I32, column.length), (3, _I32, _REQUIRED)]
    fields += [(4, _BINARY, column.name.encode()), (6, _I32, column.converted)]
    if column.converted == DECIMAL:
        fields += [(7, _I32, 2), (8, _I32, 9)]
    return _struct(*(field for field in fields if field[2] is not None))


def _struct(*fields: tuple[int, int, int | bytes]) -> bytes:
    """A struct in Thrift's compact protocol; lists and structs are given encoded."""
    encoded, last = b"", 0
    for number, type_, value in fields:
        encoded += bytes([(number - last) << 4 | type_])
        if isinstance(value, int):
            encoded += _varint(_zigzag(value))
        else:
            encoded += _binary(value) if type_ == _BINARY else value
        last = number
    return encoded + b"\0"


def _list(type_: int, items: Sequence[bytes]) -> bytes:
    return bytes([0xF0 | type_]) + _varint(len(items)) + b"".join(items)


def _binary(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _zigzag(value: int) -> int:
    return value * 2 if value >= 0 else -value * 2 - 1


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
