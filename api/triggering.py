"""Coordination set off by hand: recorded and counted in one transaction."""

import structlog

from db import tallies
from db.engine import QUICK_SECONDS, Connection, Engine, in_transaction
from db.jobs import absent_job, refuse_impossible
from db.tallies import tally
from db.triggers import Triggered, trigger_manually
from runtime.metrics import COORDINATION, DUPLICATES_PREVENTED

log = structlog.stdlib.get_logger()


async def coordinate(engine: Engine, tenant_no: int, job_id: str, worker_no: int) -> Triggered:
    """Record a manual trigger; one that `is_open` is to be announced. Raise NotFound where there is no such job."""
    refuse_impossible(job_id)

    async def record(connection: Connection) -> Triggered | None:
        triggered = await trigger_manually(connection, tenant_no, job_id, worker_no)
        if triggered is not None and not triggered.is_open:
            await _count_joined(connection, worker_no)
        return triggered

    triggered = await in_transaction(engine, record, seconds=QUICK_SECONDS)
    if triggered is None:
        raise absent_job()
    log.info("coordination_triggered", job_id=job_id, source="manual", outcome=triggered.trigger.outcome)
    if not triggered.is_open:
        log.info("duplicate_prevented", layer="coordination", reason="manual_joined", job_id=job_id)
    return triggered


async def _count_joined(connection: Connection, worker_no: int) -> None:
    joined = [
        tally(COORDINATION.name, 1, source="manual", outcome="joined"),
        tally(DUPLICATES_PREVENTED.name, 1, layer="coordination", reason="manual_joined"),
    ]
    await tallies.add(connection, worker_no, joined)
