"""Lists of datasets and of their record types, with the newest imports."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from db.engine import Engine, connect, statement
from db.reading import Slice
from domain.errors import NotFound

PAGE_TYPES = 2_000
"""A page of datasets ends with the one by which it has so many record types, each of about 1 KB at most."""


@dataclass(frozen=True, slots=True)
class DatasetImportRead:
    """An import of a record type of a dataset."""

    job_id: str
    generation: int
    status: str
    planned_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class DatasetTypeRead:
    """A record type of a dataset: `generation` was given last.

    `completed` is the completed import with the highest generation, `newest` the import with the highest generation of
    all; None if there is none, or if it is deleted.
    """

    record_type: str
    generation: int
    completed: DatasetImportRead | None
    newest: DatasetImportRead | None


@dataclass(frozen=True, slots=True)
class DatasetRead:
    """A dataset with its record types, by name."""

    name: str
    record_types: Sequence[DatasetTypeRead]


async def list_datasets(engine: Engine, tenant_no: int, *, after: str | None, limit: int) -> Slice[DatasetRead]:
    """Return a tenant's datasets by name, from above `after` on, up to `limit` and about PAGE_TYPES record types.

    None is below all of them.
    """
    async with connect(engine) as connection:
        # No name is empty.
        rows = await connection.fetch(statement("list_datasets"), tenant_no, after or "", limit + 1, PAGE_TYPES)
    found = [
        DatasetRead(name, [_record_type(tuple(row)) for row in group])
        for name, group in groupby(rows, key=lambda row: str(row["dataset"]))
    ]
    shown = found[:limit]
    return Slice(shown, is_last=not rows or len(shown) == rows[0]["found"])


def _record_type(row: tuple[Any, ...]) -> DatasetTypeRead:
    """Return the record type of a row: dataset, record type, generation, and five columns of each import."""
    completed, newest = (DatasetImportRead(*part) if part[0] is not None else None for part in (row[3:8], row[8:13]))
    return DatasetTypeRead(row[1], row[2], completed, newest)


async def list_record_types(engine: Engine, tenant_no: int, dataset: str, *, limit: int) -> Sequence[str]:
    """Return the record types of a dataset, up to `limit`; raise NotFound where nothing was imported into it."""
    async with connect(engine) as connection:
        rows = await connection.fetch(statement("list_record_types"), tenant_no, dataset, limit)
    if not rows:
        raise NotFound("Nothing was imported into this dataset; GET /datasets lists those that there are.")
    return [row["record_type"] for row in rows]
