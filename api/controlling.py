"""A person's actions on jobs: done, recorded and counted in one transaction, then told to whoever works.

Telling may fail: workers look at their leases by themselves, and the reconciler announces what is owed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from api.announcing import Announcer
from broker import notices
from broker.envelopes import BrokerError, Client
from broker.notices import Notice
from db import cancelling, dead_letters, releasing, resolving, retrying, tallies
from db.cancelling import Cancelled
from db.controls import HELD_UP, Actor
from db.engine import Connection, Engine, in_transaction
from db.releasing import Released
from db.resolving import Resolution, Resolved
from db.retrying import Retried, RetryFilter
from db.tallies import Tally, tally
from domain.errors import Overloaded
from runtime.metrics import COORDINATION, EXECUTIONS, IMPORT_BATCHES, RETRIES

NOTICE_SECONDS = 0.5
HELD_UP_RETRY_SECONDS = 1
Result = TypeVar("Result")

log = structlog.stdlib.get_logger()


async def cancel(engine: Engine, tenant_no: int, job_id: str, actor: Actor) -> Cancelled:
    """Cancel a job unless it has ended. Raises NotFound, and Overloaded where somebody holds it up."""
    cancelled = await _act(
        engine, actor, lambda c: cancelling.cancel(c, tenant_no, job_id, actor), counted=_cancel_tallies
    )
    if cancelled.is_done:
        log.info("job_cancelled", job_id=job_id, cells=cancelled.cells, who=actor.by, reason=actor.reason)
    return cancelled


async def retry_job(engine: Engine, tenant_no: int, job_id: str, wanted: RetryFilter, actor: Actor) -> Retried:
    """Have a job's failed cells run again. Raises NotFound, JobCancelled, and Overloaded as `cancel`."""
    retried = await _act(
        engine, actor, lambda c: retrying.retry_job(c, tenant_no, job_id, wanted, actor), counted=_retry_tallies
    )
    _log_retry(retried, actor, job_id=job_id, **wanted.told())
    return retried


async def retry_execution(engine: Engine, tenant_no: int, execution_id: str, actor: Actor) -> Retried:
    """Have one cell run again if it has failed. Raises as `retry_job`."""
    retried = await _act(
        engine, actor, lambda c: retrying.retry_execution(c, tenant_no, execution_id, actor), counted=_retry_tallies
    )
    _log_retry(retried, actor, execution_id=execution_id)
    return retried


async def replay(engine: Engine, tenant_no: int, dead_letter_no: int, actor: Actor) -> Retried:
    """Have the cell of a dead letter run again, once. Raises as `retry_job`."""
    retried = await _act(
        engine, actor, lambda c: dead_letters.replay(c, tenant_no, dead_letter_no, actor), counted=_retry_tallies
    )
    _log_retry(retried, actor, dead_letter_id=dead_letter_no)
    return retried


async def resolve(engine: Engine, tenant_no: int, execution_id: str, resolution: Resolution, actor: Actor) -> Resolved:
    """Give an unknown cell its result. Raises NotFound, ExecutionNotUnknown, and Overloaded as `cancel`."""
    resolved = await _act(
        engine,
        actor,
        lambda c: resolving.resolve(c, tenant_no, execution_id, resolution, actor),
        counted=lambda done: _resolve_tallies(done, resolution),
    )
    if resolved.pool:
        status = resolution.status
        log.info("execution_resolved", execution_id=execution_id, status=status, who=actor.by, reason=actor.reason)
    return resolved


async def release(engine: Engine, tenant_no: int, job_id: str, batch_no: int, actor: Actor) -> Released:
    """Take a batch from its holder. Raises NotFound, and Overloaded as `cancel`."""
    released = await _act(engine, actor, lambda c: releasing.release(c, tenant_no, job_id, batch_no, actor))
    if released.is_released:
        held_by = released.held_by
        log.info("lease_released", job_id=job_id, batch_no=batch_no, held_by=held_by, who=actor.by, reason=actor.reason)
    return released


def announce(announcer: Announcer, retried: Retried) -> None:
    """Ring for what runs again, if anything does. An envelope of the batch: the trigger is in the ledger already."""
    if retried.is_queued:
        announcer.announce([retried.job_no], source="manual")  # its trigger is in the ledger already
    if retried.batch_no is not None:
        announcer.announce_batch(retried.job_no, retried.batch_no, source="retry")


async def tell_workers(broker: Client, job_no: int) -> None:
    """Tell the workers to look whether they still hold what they run of a job.

    Those that don't hear look by themselves within two seconds.
    """
    try:
        async with asyncio.timeout(NOTICE_SECONDS):
            await notices.publish(broker, Notice("cancelled", job_no))
    except (BrokerError, OSError) as error:
        log.warning("notice_not_told", about="cancelled", job_no=job_no, error=f"{type(error).__name__}: {error}")


async def _act(
    engine: Engine,
    actor: Actor,
    unit: Callable[[Connection], Awaitable[Result]],
    *,
    counted: Callable[[Result], Sequence[Tally]] = lambda _: (),
) -> Result:
    async def act(connection: Connection) -> Result:
        done = await unit(connection)
        await tallies.add(connection, actor.worker_no, counted(done))
        return done

    try:
        return await in_transaction(engine, act)
    except HELD_UP as error:
        detail = "Somebody holds what this would change for longer than it waits; nothing was changed. Try again."
        raise Overloaded(detail, retry_after_seconds=HELD_UP_RETRY_SECONDS) from error


def _log_retry(retried: Retried, actor: Actor, **asked: object) -> None:
    if retried.retried:
        log.info("executions_retried", cells=retried.retried, who=actor.by, reason=actor.reason, **asked)


def _cancel_tallies(cancelled: Cancelled) -> Sequence[Tally]:
    ended = [
        tally(EXECUTIONS.name, cells, status="cancelled", provider=provider, region=region)
        for (provider, region), cells in cancelled.cells_by_pool.items()
    ]
    if cancelled.import_batches:
        ended.append(tally(IMPORT_BATCHES.name, cancelled.import_batches, status="cancelled"))
    failed = [tally(COORDINATION.name, 1, source=source, outcome="failed") for source in cancelled.failed_triggers]
    return [*ended, *failed]


def _retry_tallies(retried: Retried) -> Sequence[Tally]:
    if not retried.retried:
        return ()  # an import that waits for its coordination counts its trigger with that
    return [
        tally(RETRIES.name, retried.retried, reason="user"),
        tally(COORDINATION.name, 1, source="retry", outcome="joined"),
    ]


def _resolve_tallies(resolved: Resolved, resolution: Resolution) -> Sequence[Tally]:
    """Count the end that a person told; the ambiguous one before it stays counted, as counters only rise."""
    if resolved.pool is None:
        return ()
    provider, region = resolved.pool
    return [tally(EXECUTIONS.name, 1, status=resolution.status, provider=provider, region=region)]
