"""Writing the staged form of a file: Parquet that is read a few thousand rows at a time."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
from pyarrow import parquet

from sources.errors import Unreadable

ROW_GROUP_ROWS = 8192
"""A read decodes whole groups, and reads all groups' headers: 500 rows of 1,000,000 took 5.7 ms with
4,096, 4.0 with 8,192, 3.0 with 32,768 (2026-11-24), while memory and the cost of a small read grow with it."""
ROW_GROUP_BYTES = 8 * 1024 * 1024
"""A group of wide rows ends earlier: about so many bytes are in memory at once, or a single wider row."""
ROW_GROUP_WEIGHT = 4 * ROW_GROUP_BYTES
"""Limit of a group's rows by the memory of their values."""
MAX_COLUMNS = 2_000
"""Each column takes buffers in every read: 500 rows of 2,000 columns took 180 MB (2026-11-30)."""
VALUE_BYTES = 32
"""Bytes of a Python value without its text, at least half of its real size."""
_WEIGHTS = b"weights"


class StagedWriter:
    """Writes rows in their order to one Parquet file; a context manager, whose end completes the file.

    Columns are named c0, c1 … and have the Arrow types given: types that DuckDB reads as they are (64-bit
    integers, booleans, doubles, text, binary). Raises Unreadable for more than MAX_COLUMNS.
    """

    def __init__(self, to: Path, types: Sequence[pa.DataType]) -> None:
        if len(types) > MAX_COLUMNS:
            raise Unreadable(f"It has {len(types)} columns, more than {MAX_COLUMNS}: split it into several files.")
        self._schema = pa.schema([(f"c{number}", type_) for number, type_ in enumerate(types)])
        self._writer = parquet.ParquetWriter(to, self._schema, compression="zstd", write_statistics=False)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._waiting_bytes = 0
        self._waiting_values = 0.0
        self._weights: list[tuple[int, int]] = []
        self.rows = 0

    def write(self, columns: Sequence[pa.Array], *, values: int | None = None) -> None:
        """Append rows, given as one array per column, all of one length.

        `values` is the number of values in all rows, for columns that hold several values per row.
        """
        batch = pa.RecordBatch.from_arrays(list(columns), schema=self._schema)
        row_values = len(columns) if values is None else values / max(1, batch.num_rows)
        self.rows += batch.num_rows
        while batch.num_rows:
            part = batch.slice(0, self._room(batch))
            batch = batch.slice(part.num_rows)
            self._waiting.append(part)
            self._waiting_rows += part.num_rows
            self._waiting_bytes += part.nbytes
            self._waiting_values += row_values * part.num_rows
            if (
                self._waiting_rows >= ROW_GROUP_ROWS
                or self._waiting_bytes >= ROW_GROUP_BYTES
                or self._weight >= ROW_GROUP_WEIGHT
            ):
                self._end_group()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the file; after an error it is left incomplete, and its folder is removed."""
        if error is None:
            self._end_group()
            self._writer.add_key_value_metadata({_WEIGHTS: json.dumps(self._weights)})
        self._writer.close()

    @property
    def _weight(self) -> int:
        """About how many bytes the buffered rows take once they are read."""
        return self._waiting_bytes + round(VALUE_BYTES * self._waiting_values)

    def _room(self, batch: pa.RecordBatch) -> int:
        """Return how many of the batch's rows still fit into the group, at least one."""
        rows: int = min(batch.num_rows, ROW_GROUP_ROWS - self._waiting_rows)
        while rows > 1 and batch.slice(0, rows).nbytes > ROW_GROUP_BYTES - self._waiting_bytes:
            rows //= 2
        return rows

    def _end_group(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema), row_group_size=ROW_GROUP_ROWS)
            self._weights.append((self._waiting_rows, self._weight))
            self._waiting, self._waiting_rows, self._waiting_bytes, self._waiting_values = [], 0, 0, 0.0


def read_weights(staged: Path) -> tuple[tuple[int, int], ...]:
    """Return for each run of rows their number and about how many bytes they take once they are read."""
    metadata = parquet.read_metadata(staged).metadata
    return tuple((rows, weight) for rows, weight in json.loads(metadata[_WEIGHTS]))
