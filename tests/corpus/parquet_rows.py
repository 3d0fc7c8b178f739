"""Parquet files of about as many rows as a reader may take at once, in row groups that end elsewhere."""

import io
import random
from collections.abc import Sequence

import pyarrow as pa
from pyarrow import parquet

from tests.corpus.expected import Case, Expected, Row
from tests.corpus.parquet_types import clock_text, day_text

Random = random.Random
_MICROSECONDS = 86_400_000_000


def draw_parquet_rows(name: str, rng: Random, counts: Sequence[int]) -> Case:
    """Return a file of four columns, a list among them; what each row holds follows from its number."""
    rows = rng.choice(counts) + rng.choice((-1, 0, 1))
    group = rng.choice((1000, 2047, 2048, 8191, 8193, 122_880, 122_881, rows))
    numbers = range(rows)
    texts = [None if number % 7 == 0 else f"value {number}" for number in numbers]
    moments = [number * 86_399_999_999 for number in numbers]
    lists = [[number] * (number % 3) for number in numbers]
    columns = {
        "id": pa.array(numbers, pa.int64()),
        "text": pa.array(texts),
        "at": pa.array(moments, pa.timestamp("us")),
        "list": pa.array(lists, pa.list_(pa.int32())),
    }
    file = io.BytesIO()
    parquet.write_table(
        pa.table(columns),
        file,
        row_group_size=group,
        compression=rng.choice(("NONE", "ZSTD", "SNAPPY")),
        data_page_size=rng.choice((1000, 1 << 20)),
        use_dictionary=rng.random() < 0.5,
    )
    records = [
        Row({"id": number, "text": text, "at": _moment(moment), "list": list_})
        for number, text, moment, list_ in zip(numbers, texts, moments, lists, strict=True)
    ]
    tags = frozenset({f"rows {rows}", f"row groups of {group}"})
    expected = Expected(tuple(columns), records)
    return Case(f"{name}.parquet", file.getvalue(), expected, ("id",), tags, max(7, rows // 40))


def _moment(microseconds: int) -> str:
    days, ticks = divmod(microseconds, _MICROSECONDS)
    return f"{day_text(days)}T{clock_text(ticks, 'us')}"
