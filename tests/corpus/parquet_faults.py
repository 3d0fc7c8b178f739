"""Parquet files that are broken, and ones that are whole but hold what can't be imported as it is."""

import io
import random
from collections.abc import Callable, Mapping

import pyarrow as pa
from pyarrow import parquet
from pyarrow.parquet import encryption

from tests.corpus.expected import Case, Expected, Record, Refusal, Reject, Row, refused

Random = random.Random
_BROKEN = "write|export|copy|damaged|complete|corrupt|truncated|cut|checksum|no Parquet|not a Parquet|encrypt"


def draw_fault(name: str, rng: Random) -> Case:
    """Return a file with one fault, chosen by the case's number, and the expected result."""
    fault = list(FAULTS)[int(name.rpartition("-")[2]) % len(FAULTS)]
    content, expected = FAULTS[fault](rng)
    return Case(f"{name}.parquet", content, expected, ("id",), frozenset({fault}))


def _sound(rng: Random, **options: object) -> bytes:
    rows = rng.choice((1, 10, 3000))
    table = pa.table({"id": range(rows), "v": [f"value {rng.random()}" for _ in range(rows)]})
    file = io.BytesIO()
    parquet.write_table(table, file, compression=rng.choice(("NONE", "ZSTD", "SNAPPY")), **options)
    return file.getvalue()


def _cut(rng: Random) -> tuple[bytes, Expected]:
    whole = _sound(rng)
    return whole[: rng.randrange(len(whole))], refused(_BROKEN)


def _cut_in_front(rng: Random) -> tuple[bytes, Expected]:
    whole = _sound(rng)
    return whole[rng.randrange(1, len(whole)) :], refused(_BROKEN)


def _other_magic(rng: Random) -> tuple[bytes, Expected]:
    return _sound(rng)[:-4] + rng.choice((b"PAR2", b"\0\0\0\0", b"RAP1")), refused(_BROKEN)


def _length_of_footer(rng: Random) -> tuple[bytes, Expected]:
    length = rng.choice((0, 1, 2**31 - 1, 2**32 - 1))
    return _sound(rng)[:-8] + length.to_bytes(4, "little") + b"PAR1", refused(_BROKEN)


def _footer(rng: Random) -> tuple[bytes, Expected]:
    whole = bytearray(_sound(rng))
    length = int.from_bytes(whole[-8:-4], "little")
    whole[-8 - length : -8] = rng.randbytes(length)
    return bytes(whole), refused(_BROKEN)


def _page(rng: Random) -> tuple[bytes, Expected]:
    """A bit of a page is wrong, which its checksum shows."""
    whole = bytearray(_sound(rng, write_page_checksum=True, use_dictionary=False, data_page_size=1000))
    group = parquet.ParquetFile(io.BytesIO(whole)).metadata.row_group(0)
    column = group.column(rng.randrange(2))
    end = column.data_page_offset + column.total_compressed_size
    whole[end - 1 - rng.randrange(4)] ^= 1 << rng.randrange(8)
    return bytes(whole), refused(_BROKEN)


def _names_twice(rng: Random) -> tuple[bytes, Expected]:
    file = io.BytesIO()
    table = pa.Table.from_arrays([pa.array([1, 2])] * 3, names=rng.choice((["id", "v", "v"], ["v", "id", "v"])))
    parquet.write_table(table, file)
    return file.getvalue(), refused('"v"')


def _no_name(rng: Random) -> tuple[bytes, Expected]:
    file = io.BytesIO()
    parquet.write_table(pa.Table.from_arrays([pa.array([1, 2]), pa.array([3, 4])], names=["id", ""]), file)
    rows = [Row({"id": 1, "": 3}), Row({"id": 2, "": 4})]
    return file.getvalue(), Expected(("id", ""), rows, Refusal("name|column", is_certain=False))


def _no_utf_8(rng: Random) -> tuple[bytes, Expected]:
    """Text of which a value isn't UTF-8: its row is rejected, or the file refused with the column's name."""
    bad = rng.choice((b"\xff", b"\xc3", b"\xed\xa0\x80", b"gr\xf6\xdfer"))
    values = [b"a", "é".encode(), bad, b"b"]
    text = pa.array(values, pa.binary())
    text = pa.Array.from_buffers(pa.string(), len(values), text.buffers())
    if rng.random() < 0.3:
        text = text.dictionary_encode() if rng.random() < 0.5 else pa.ListArray.from_arrays([0, 1, 2, 3, 4], text)
    file = io.BytesIO()
    parquet.write_table(pa.table({"id": range(4), "text": text}), file, use_dictionary=rng.random() < 0.5)
    is_list = pa.types.is_list(text.type)
    wanted = [[value.decode()] if is_list else value.decode() for value in values if value != bad]
    records: list[Record] = [
        Row({"id": number, "text": value}) for number, value in zip((0, 1, 3), wanted, strict=True)
    ]
    records.insert(2, Reject(column="text"))
    return file.getvalue(), Expected(("id", "text"), records, Refusal("text", is_certain=False))


def _no_columns_but_the_key(rng: Random) -> tuple[bytes, Expected]:
    file = io.BytesIO()
    rows = rng.choice((0, 1, 3))
    parquet.write_table(pa.table({"id": pa.array(range(rows), pa.int64())}), file)
    return file.getvalue(), Expected(("id",), [Row({"id": number}) for number in range(rows)])


def _no_row_groups(rng: Random) -> tuple[bytes, Expected]:
    file = io.BytesIO()
    parquet.ParquetWriter(file, pa.schema([("id", pa.int64()), ("v", pa.list_(pa.string()))])).close()
    return file.getvalue(), Expected(("id", "v"), [])


def _many_columns(rng: Random) -> tuple[bytes, Expected]:
    file = io.BytesIO()
    names = ["id", *(f"n{number}" for number in range(300))]
    parquet.write_table(pa.table({name: [number] for number, name in enumerate(names)}), file)
    return file.getvalue(), Expected(tuple(names), [Row({name: number for number, name in enumerate(names)})])


class _Keys(encryption.KmsClient):
    """Keys that are no secret."""

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:  # noqa: ARG002
        return key_bytes

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:  # noqa: ARG002
        return wrapped_key


def _encrypted(rng: Random) -> tuple[bytes, Expected]:
    factory = encryption.CryptoFactory(lambda _: _Keys())
    configuration = encryption.EncryptionConfiguration(
        footer_key="footer", column_keys={"column": ["v"]}, plaintext_footer=rng.random() < 0.5
    )
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), configuration)
    file = io.BytesIO()
    table = pa.table({"id": range(3), "v": ["a", "b", "c"]})
    with parquet.ParquetWriter(file, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    return file.getvalue(), refused("encrypt")


FAULTS: Mapping[str, Callable[[Random], tuple[bytes, Expected]]] = {
    "cut": _cut,
    "cut in front": _cut_in_front,
    "other magic": _other_magic,
    "length of footer": _length_of_footer,
    "footer": _footer,
    "page checksum": _page,
    "names twice": _names_twice,
    "no name": _no_name,
    "no UTF-8": _no_utf_8,
    "the key only": _no_columns_but_the_key,
    "no row groups": _no_row_groups,
    "many columns": _many_columns,
    "encrypted": _encrypted,
}
