"""Heartbeats: renewing the leases in hand and the worker's row, at intervals that no work can delay for long."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence

from db import batches, workers
from db.engine import QUICK_SECONDS, UNAVAILABLE, Connection, in_transaction
from worker.context import Context
from worker.runner import Runner


async def keep_leases(context: Context, runners: Sequence[Runner]) -> None:
    """Renew the leases in hand every `heartbeat_seconds`, until cancelled; stop a batch whose lease was lost.

    While the database is unavailable leases run out, and other workers take over.
    """
    while True:
        await _guarded(context, _renew(context, runners))
        await asyncio.sleep(context.heartbeat_seconds)


async def beat(context: Context, runners: Sequence[Runner], on_resumed: Callable[[], None]) -> None:
    """Write the heartbeat every `heartbeat_seconds`, until cancelled, independent of the leases.

    Each tells whether the worker is drained; `on_resumed` is called once it may take work again.
    """
    while True:
        await _guarded(context, _write(context, sum(runner.running for runner in runners), on_resumed))
        await asyncio.sleep(context.heartbeat_seconds)


async def _guarded(context: Context, step: Coroutine[None, None, None]) -> None:
    try:
        await step
    except UNAVAILABLE as error:
        context.log.warning("heartbeat_delayed", error=str(error), error_type=type(error).__name__)


async def _renew(context: Context, runners: Sequence[Runner]) -> None:
    held = [(runner, batch) for runner in runners for batch in runner.held]
    if not held:
        return
    renewed = await in_transaction(
        context.heartbeats,
        lambda c: batches.renew(c, [batch for _, batch in held], context.lease_seconds),
        seconds=QUICK_SECONDS,
    )
    for runner, batch in held:
        if batch.key[:3] not in renewed:
            runner.lose(batch)


async def _write(context: Context, running: int, on_resumed: Callable[[], None]) -> None:
    histograms = context.histograms

    async def unit(connection: Connection) -> bool:
        if not await workers.beat(
            connection,
            context.worker_no,
            running=running,
            metrics=histograms.snapshot(),
            standing=context.serving.standing,
        ):
            histograms.clear()
            await workers.start_over(connection, context.worker_no)
        return await workers.is_drained(connection, context.worker_no)

    is_drained = await in_transaction(context.heartbeats, unit, seconds=QUICK_SECONDS)
    if context.drain.note(is_drained=is_drained):
        context.log.info("worker_drained" if is_drained else "worker_resumed")
        if not is_drained:
            on_resumed()
