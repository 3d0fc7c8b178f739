"""Manual triggers of coordination."""

from collections.abc import Sequence

import structlog
from pydantic import BaseModel

from api.idempotent_actions import Action, ActionResult, Reply
from api.schemas.waves import ManualTrigger, Trigger, Wave
from db.counters import Increment, increment
from db.engine import QUICK_SECONDS, Connection
from db.jobs import absent_job, refuse_impossible
from db.triggers import Triggered, trigger_manually
from runtime.metrics import COORDINATION, DUPLICATES_PREVENTED

log = structlog.stdlib.get_logger()


async def coordinate(action: Action, job_id: str, body: BaseModel) -> ActionResult[Triggered]:
    """Record and count a manual trigger; announce it if it `is_open`. Raises NotFound and as `Action.perform`."""
    refuse_impossible(job_id)
    worker_no = await action.worker_no()

    async def record(connection: Connection) -> Triggered:
        triggered = await trigger_manually(connection, action.tenant_no, job_id, worker_no)
        if triggered is None:
            raise absent_job()
        return triggered

    result = await action.perform(body, record, answer=_reply, counted=_joined_increments, seconds=QUICK_SECONDS)
    if result.effect is not None:
        log.info("coordination_triggered", job_id=job_id, source="manual", outcome=result.effect.trigger.outcome)
        if not result.effect.is_open:
            log.info("duplicate_prevented", layer="coordination", reason="manual_joined", job_id=job_id)
    return result


def _reply(triggered: Triggered) -> Reply:
    waves = [Wave.of(wave) for wave in triggered.waves]
    shown = ManualTrigger(trigger=Trigger.of(triggered.trigger), waves=waves)
    return Reply(202 if triggered.is_open else 200, shown)


def _joined_increments(triggered: Triggered) -> Sequence[Increment]:
    if triggered.is_open:
        return ()
    return [
        increment(COORDINATION.name, 1, source="manual", outcome="joined"),
        increment(DUPLICATES_PREVENTED.name, 1, layer="coordination", reason="manual_joined"),
    ]
