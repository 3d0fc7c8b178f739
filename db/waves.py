"""Reading the waves and batches of a job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.engine import Connection, Engine, connect, statement
from db.jobs import find_job, look_up_job
from db.reading import Slice, columns_of, read, sliced
from db.tables.batches import Batch, Wave
from domain.errors import NotFound


@dataclass(frozen=True, slots=True)
class WaveRead:
    """A wave with its batches counted by state."""

    wave_no: int
    level: int
    status: str
    total_batches: int
    open_batches: int
    completed_batches: int
    failed_batches: int
    cancelled_batches: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class BatchRead:
    """A batch with its lease and fence."""

    batch_no: int
    wave_no: int
    provider: str
    region: str
    status: str
    attempts: int
    cells: int
    open_cells: int
    fence: int
    lease_until: datetime | None
    lost_leases: int
    not_before: datetime | None
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


async def list_waves(engine: Engine, tenant_no: int, job_id: str, *, after: int, limit: int) -> Slice[WaveRead]:
    """Return a job's waves in order, with numbers above `after`; raise NotFound for an unknown job."""
    async with connect(engine) as connection:
        job_no = await look_up_job(connection, tenant_no, job_id)
        rows = await read_waves(connection, job_no, after=after, limit=limit + 1)
    return Slice(rows[:limit], is_last=len(rows) <= limit)


async def read_waves(connection: Connection, job_no: int, *, after: int, limit: int) -> Sequence[WaveRead]:
    """Return up to `limit` waves of the job with this key."""
    rows = await connection.fetch(statement("list_waves"), job_no, after, limit)
    return [WaveRead(**row) for row in rows]


async def list_batches(
    engine: Engine, tenant_no: int, job_id: str, wave_no: int, *, after: int, limit: int, status: str | None = None
) -> Slice[BatchRead]:
    """Return a wave's batches in order, filtered by state if given.

    Raises NotFound for an unknown job or wave.
    """
    job_no = await find_job(engine, tenant_no, job_id)
    batches = (
        select(Batch)
        .where(col(Batch.job_no) == job_no, col(Batch.wave_no) == wave_no, col(Batch.batch_no) > after)
        .order_by(col(Batch.batch_no))
        .limit(limit + 1)
    )
    if status is not None:
        batches = batches.where(col(Batch.status) == status)

    async def batches_of_wave(session: AsyncSession) -> Sequence[Batch]:
        if await session.get(Wave, (job_no, wave_no)) is None:
            raise NotFound("The job has no wave with this number.")
        return (await session.exec(batches)).all()

    found = await read(engine, batches_of_wave)
    return sliced(found, limit, columns_of(BatchRead))
