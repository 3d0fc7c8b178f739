"""People's actions on jobs: each is one transaction with its record and counters; then the workers are notified.

A notice may be lost: workers check their leases regularly, and the reconciler announces owed work.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from fastapi.responses import Response
from pydantic import BaseModel

from api.idempotent_actions import Action, ActionResult, Reply
from api.schemas.executions import ExecutionWithAttempts
from api.schemas.job_actions import CancelAnswer, ReleaseAnswer, RetryAnswer
from broker import notices
from broker.envelopes import BrokerError, Client
from broker.notices import Notice
from db import cancelling, cell_retrying, dead_letters, releasing, resolving, retrying
from db.cancelling import Cancelled
from db.controls import Actor
from db.counters import Increment, increment
from db.engine import Connection
from db.executions import read_execution_on
from db.kinds import Retried, RetryFilter
from db.releasing import Released
from db.resolving import Resolution, Resolved
from runtime.metrics import COORDINATION, EXECUTIONS, IMPORT_BATCHES, RETRIES
from submissions.announcing import Announcer

NOTICE_SECONDS = 0.5

log = structlog.stdlib.get_logger()


async def cancel(action: Action, job_id: str, actor: Actor, body: BaseModel) -> ActionResult[Cancelled]:
    """Cancel a job unless it has ended. Raises NotFound and as `Action.perform`."""
    result = await action.perform(
        body,
        lambda connection: cancelling.cancel(connection, action.tenant_no, job_id, actor),
        answer=lambda done: Reply(202 if done.is_done else 200, CancelAnswer.of(job_id, done)),
        counted=cancel_increments,
    )
    if result.effect is not None and result.effect.is_done:
        log.info("job_cancelled", job_id=job_id, cells=result.effect.cells, who=actor.by, reason=actor.reason)
    return result


async def retry_job(
    action: Action, job_id: str, wanted: RetryFilter, actor: Actor, body: BaseModel
) -> ActionResult[Retried]:
    """Retry a job's failed cells. Raises NotFound, JobCancelled and as `Action.perform`."""
    return await _retry(
        action,
        body,
        lambda connection: retrying.retry_job(connection, action.tenant_no, job_id, wanted, actor, kinds=action.kinds),
        actor,
        job_id=job_id,
        **wanted.given(),
    )


async def retry_execution(action: Action, execution_id: str, actor: Actor, body: BaseModel) -> ActionResult[Retried]:
    """Retry a cell if it has failed. Raises as `retry_job`."""
    return await _retry(
        action,
        body,
        lambda connection: cell_retrying.retry_execution(connection, action.tenant_no, execution_id, actor),
        actor,
        execution_id=execution_id,
    )


async def replay(action: Action, dead_letter_no: int, actor: Actor, body: BaseModel) -> ActionResult[Retried]:
    """Retry the cell of any tenant's dead letter, once. Raises as `retry_job`."""
    return await _retry(
        action,
        body,
        lambda connection: dead_letters.replay(connection, dead_letter_no, actor),
        actor,
        dead_letter_id=dead_letter_no,
    )


async def resolve(action: Action, execution_id: str, resolution: Resolution, actor: Actor, body: BaseModel) -> Response:
    """Give an unknown cell its result. Raises NotFound, ExecutionNotUnknown and as `Action.perform`."""

    async def unit(connection: Connection) -> tuple[Resolved, ExecutionWithAttempts]:
        resolved = await resolving.resolve(connection, action.tenant_no, execution_id, resolution, actor)
        shown = await read_execution_on(connection, action.tenant_no, execution_id)
        return resolved, ExecutionWithAttempts.with_attempts(*shown)

    result = await action.perform(
        body,
        unit,
        answer=lambda done: Reply(200, done[1]),
        counted=lambda done: _resolve_increments(done[0], resolution),
    )
    if result.effect is not None and result.effect[0].pool:
        status = resolution.status
        log.info("execution_resolved", execution_id=execution_id, status=status, who=actor.by, reason=actor.reason)
    return result.response


async def release(action: Action, job_id: str, batch_no: int, actor: Actor, body: BaseModel) -> ActionResult[Released]:
    """Take a batch from its holder. Raises NotFound and as `Action.perform`."""
    result = await action.perform(
        body,
        lambda connection: releasing.release(connection, action.tenant_no, job_id, batch_no, actor),
        answer=lambda done: Reply(200, ReleaseAnswer.of(done)),
    )
    if result.effect is not None and result.effect.is_released:
        held_by = result.effect.held_by
        log.info("lease_released", job_id=job_id, batch_no=batch_no, held_by=held_by, who=actor.by, reason=actor.reason)
    return result


def announce(announcer: Announcer, retried: Retried | None) -> None:
    """Publish an envelope for retried work, if there is any; its trigger is in the ledger already."""
    if retried is None:
        return
    if retried.is_queued:
        announcer.announce([retried.job_no], source="manual")  # its trigger is in the ledger already
    if retried.batch_no is not None:
        announcer.announce_batch(retried.job_no, retried.batch_no, source="retry")


async def announce_cancelled(announcer: Announcer, broker: Client, cancelled: Cancelled | None) -> None:
    """Notify the workers of a job that was cancelled, and of the room that it leaves; nothing else was done."""
    if cancelled is None or not cancelled.is_done:
        return
    await notify_workers(broker, cancelled.job_no)
    if cancelled.batch_no is not None:
        announcer.announce_batch(cancelled.job_no, cancelled.batch_no)


async def notify_workers(broker: Client, job_no: int) -> None:
    """Notify the workers, so that each checks its leases on the job's batches.

    A worker that misses the notice checks them within two seconds anyway.
    """
    try:
        async with asyncio.timeout(NOTICE_SECONDS):
            await notices.publish(broker, Notice("cancelled", job_no))
    except (BrokerError, OSError) as error:
        log.warning("notice_not_told", about="cancelled", job_no=job_no, error=f"{type(error).__name__}: {error}")


async def _retry(
    action: Action,
    body: BaseModel,
    unit: Callable[[Connection], Awaitable[Retried]],
    actor: Actor,
    **about: object,
) -> ActionResult[Retried]:
    result = await action.perform(
        body, unit, answer=lambda done: Reply(200, RetryAnswer.of(done)), counted=retry_increments
    )
    if result.effect is not None:
        _log_retry(result.effect, actor, **about)
    return result


def _log_retry(retried: Retried, actor: Actor, **about: object) -> None:
    if retried.retried:
        log.info("executions_retried", cells=retried.retried, who=actor.by, reason=actor.reason, **about)


def cancel_increments(cancelled: Cancelled) -> Sequence[Increment]:
    """Return what a cancel adds to the counters."""
    ended = [
        increment(EXECUTIONS.name, cells, status="cancelled", provider=provider, region=region)
        for (provider, region), cells in cancelled.cells_by_pool.items()
    ]
    if cancelled.batches:
        ended.append(increment(IMPORT_BATCHES.name, cancelled.batches, status="cancelled"))
    failed = [increment(COORDINATION.name, 1, source=source, outcome="failed") for source in cancelled.failed_triggers]
    return [*ended, *failed]


def retry_increments(retried: Retried) -> Sequence[Increment]:
    """Return what a retry adds to the counters."""
    if not retried.retried:
        return ()  # the trigger of an import that waits is counted with its coordination
    return [
        increment(RETRIES.name, retried.retried, reason="user"),
        increment(COORDINATION.name, 1, source="retry", outcome="joined"),
    ]


def _resolve_increments(resolved: Resolved, resolution: Resolution) -> Sequence[Increment]:
    """Count the end that a person reported; the ambiguous end stays counted, too, since counters only rise."""
    if resolved.pool is None:
        return ()
    provider, region = resolved.pool
    return [increment(EXECUTIONS.name, 1, status=resolution.status, provider=provider, region=region)]
