"""Reading imported rows, by pages or all."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from db.engine import Connection, Engine, connect, statement
from db.reading import Slice, snapshot
from domain.errors import NotFound

PAGE_RECORDS = 1_000
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
        page = await _page(self._connection, self._record_set_no, after=self._after, limit=PAGE_RECORDS)
        if page:
            self._after = page[-1].record_key
        return page


async def list_records(
    engine: Engine, tenant_no: int, dataset: str, record_type: str, *, after: str | None, limit: int
) -> Slice[RecordRead]:
    """Return the rows of a record type in key order, after the key `after`; raise NotFound if it was never imported.

    None is below every key, including the empty one.
    """
    async with connect(engine) as connection:
        record_set_no = await _find_record_set(connection, tenant_no, dataset, record_type)
        rows = await _page(connection, record_set_no, after=after, limit=limit + 1)
    return Slice(rows[:limit], is_last=len(rows) <= limit)


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


async def _page(connection: Connection, record_set_no: int, *, after: str | None, limit: int) -> list[RecordRead]:
    first = "" if after is None else after + LEAST_CHARACTER
    rows = await connection.fetch(statement("list_records"), record_set_no, first, limit)
    return [RecordRead(**row) for row in rows]
