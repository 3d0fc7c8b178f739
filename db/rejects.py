"""Reading rejected rows of imports, by pages or all."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from db.engine import Connection, Engine, connect, statement
from db.jobs import look_up_job
from db.reading import Slice, snapshot

PAGE_REJECTS = 1_000
FIRST = (0, -1)
"""Below the batch and position of every reject."""


@dataclass(frozen=True, slots=True)
class RejectRead:
    """A rejected row; `position` counts from 0 over its whole source."""

    batch_no: int
    record_type: str
    position: int
    record_key: str | None
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class RejectFilter:
    """The filter of a list of rejects; None stands for any value."""

    record_type: str | None = None
    code: str | None = None


@dataclass(slots=True)
class Rejects:
    """The remaining rejects of an import, from one snapshot."""

    connection: Connection
    job_no: int
    wanted: RejectFilter
    after: tuple[int, int] = FIRST

    async def following(self) -> Sequence[RejectRead]:
        """Return the next rejects by batch and position; empty at the end."""
        page = await _page(self.connection, self.job_no, self.wanted, after=self.after, limit=PAGE_REJECTS)
        if page:
            self.after = page[-1].batch_no, page[-1].position
        return page


async def list_rejects(
    engine: Engine, tenant_no: int, job_id: str, wanted: RejectFilter, *, after: tuple[int, int], limit: int
) -> Slice[RejectRead]:
    """Return an import's rejects by batch and position that follow `after`; raise NotFound for an unknown job."""
    async with connect(engine) as connection:
        job_no = await look_up_job(connection, tenant_no, job_id)
        rows = await _page(connection, job_no, wanted, after=after, limit=limit + 1)
    return Slice(rows[:limit], is_last=len(rows) <= limit)


@asynccontextmanager
async def all_rejects(engine: Engine, tenant_no: int, job_id: str, wanted: RejectFilter) -> AsyncIterator[Rejects]:
    """Lend all matching rejects of an import, from one snapshot; raise NotFound for an unknown job."""
    async with snapshot(engine) as connection:
        yield Rejects(connection, await look_up_job(connection, tenant_no, job_id), wanted)


async def _page(
    connection: Connection, job_no: int, wanted: RejectFilter, *, after: tuple[int, int], limit: int
) -> Sequence[RejectRead]:
    rows = await connection.fetch(statement("list_rejects"), job_no, *after, wanted.record_type, wanted.code, limit)
    return [RejectRead(**row) for row in rows]
