"""Reading imported rows, by pages or all."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db.engine import Connection, Engine, connect, statement
from db.reading import PAGE_BYTES, Slice, bounded, columns_of, snapshot
from domain.errors import NotFound

PAGE_RECORDS = 1_000
PART_BYTES = 256 * 1024
"""The bytes of rows that are read at once of all rows, plus those of one more row."""
LEAST_CHARACTER = "\x01"
"""Text holds no NUL, so a key followed by this character is the smallest key above it."""


@dataclass(frozen=True, slots=True)
class RecordRead:
    """A row as it was imported last; `payload` is JSON text. `job_id` is None once that job is deleted.

    `generation` is that of the newest import that wrote the row or found it unchanged, which needn't be that job.
    """

    record_key: str
    payload: str
    updated_at: datetime
    job_id: str | None
    batch_no: int
    generation: int


class Records:
    """The rows of a record set from one snapshot, page by page."""

    def __init__(self, connection: Connection, record_set_no: int) -> None:
        self._connection = connection
        self._record_set_no = record_set_no
        self._after: str | None = None

    async def following(self) -> Sequence[RecordRead]:
        """Return the next page; empty at the end."""
        rows = await _rows(
            self._connection, self._record_set_no, after=self._after, limit=PAGE_RECORDS, most_bytes=PART_BYTES
        )
        page = [_record(row) for row in rows]
        if page:
            self._after = page[-1].record_key
        return page


async def list_records(
    engine: Engine, tenant_no: int, dataset: str, record_type: str, *, after: str | None, limit: int
) -> Slice[RecordRead]:
    """Return the rows of a record type in key order, after the key `after`, up to `limit` and about PAGE_BYTES.

    Raises NotFound if it was never imported. None is below every key, including the empty one.
    """
    async with connect(engine) as connection:
        record_set_no = await _find_record_set(connection, tenant_no, dataset, record_type)
        rows = await _rows(connection, record_set_no, after=after, limit=limit + 1, most_bytes=PAGE_BYTES)
    return bounded(rows, limit, _record)


@asynccontextmanager
async def all_records(engine: Engine, *, tenant_no: int, dataset: str, record_type: str) -> AsyncIterator[Records]:
    """Lend all rows of a record type, from one snapshot. Raises as `list_records`."""
    async with snapshot(engine) as connection:
        yield Records(connection, await _find_record_set(connection, tenant_no, dataset, record_type))


async def _find_record_set(connection: Connection, tenant_no: int, dataset: str, record_type: str) -> int:
    rows = await connection.fetch(statement("find_record_sets"), tenant_no, dataset, [record_type])
    if not rows:
        raise NotFound(
            "Nothing was imported into this dataset under this record type; GET /datasets lists what there is."
        )
    record_set_no: int = rows[0]["record_set_no"]
    return record_set_no


async def _rows(
    connection: Connection, record_set_no: int, *, after: str | None, limit: int, most_bytes: int
) -> Sequence[Any]:
    first = "" if after is None else after + LEAST_CHARACTER
    return await connection.fetch(statement("list_records"), record_set_no, first, limit, most_bytes)


_record = columns_of(RecordRead)
