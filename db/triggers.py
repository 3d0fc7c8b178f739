"""Triggers of coordination: listing a job's triggers, and the manual trigger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, select

from db.engine import Connection, Engine, statement
from db.jobs import find_job
from db.reading import Slice, read_all, sliced
from db.tables.fleet import Process
from db.tables.jobs import Trigger
from db.waves import WaveRead, read_waves

WAITING = ("queued", "coordinating")
SHOWN_WAVES = 200


@dataclass(frozen=True, slots=True)
class TriggerRead:
    """A trigger of a job's coordination and its outcome; `worker` is the process that recorded the outcome."""

    trigger_no: int
    source: str
    outcome: str | None
    fence: int | None
    worker: str | None
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Triggered:
    """A manual trigger: open while its job waits to be planned, else joined to the existing waves."""

    job_no: int
    trigger: TriggerRead
    waves: Sequence[WaveRead]

    @property
    def is_open(self) -> bool:
        """Whether its coordination is still to come."""
        return self.trigger.outcome is None


async def list_triggers(engine: Engine, tenant_no: int, job_id: str, *, after: int, limit: int) -> Slice[TriggerRead]:
    """Return a job's triggers, oldest first, from above the key `after` on; raise NotFound for an unknown job."""
    job_no = await find_job(engine, tenant_no, job_id)
    triggers = (
        select(Trigger, col(Process.id))
        .join(Process, col(Process.worker_no) == col(Trigger.worker_no), isouter=True)
        .where(col(Trigger.job_no) == job_no, col(Trigger.trigger_no) > after)
        .order_by(col(Trigger.trigger_no))
        .limit(limit + 1)
    )
    found = await read_all(engine, triggers)
    return sliced(found, limit, lambda row: _trigger(*row))


async def trigger_manually(connection: Connection, tenant_no: int, job_id: str, worker_no: int) -> Triggered | None:
    """Record a manual trigger under its job's lock, in the caller's transaction; None for an unknown job.

    The lock makes it wait for a coordination that is being written, which it then joins. A rescheduled import becomes
    due at once.
    """
    job = await connection.fetchrow(statement("lock_job_by_id"), tenant_no, job_id)
    if job is None:
        return None
    if job["status"] in WAITING:
        await connection.execute(statement("end_coordination_delay"), job["job_no"])
    [trigger] = await connection.fetch(
        statement("insert_manual_trigger"), job["job_no"], job["status"] in WAITING, worker_no
    )
    waves = await read_waves(connection, job["job_no"], after=0, limit=SHOWN_WAVES)
    return Triggered(job["job_no"], TriggerRead(**trigger), waves)


def _trigger(trigger: Trigger, worker: str | None) -> TriggerRead:
    return TriggerRead(
        trigger_no=trigger.trigger_no,
        source=trigger.source,
        outcome=trigger.outcome,
        fence=trigger.fence,
        worker=worker,
        started_at=trigger.started_at,
        finished_at=trigger.finished_at,
    )
