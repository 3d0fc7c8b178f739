"""Staying alive: renews the leases in hand and says so, at a beat that no work can hold up for long."""

import asyncio

from db import batches, workers
from db.engine import GONE, Connection, in_transaction
from worker.context import Context
from worker.executor import Executor
from worker.importer import Importer


async def beat(context: Context, executor: Executor, importer: Importer) -> None:
    """Renew leases and write the heartbeat every `heartbeat_seconds`, until cancelled.

    What a lost lease still runs is stopped. While the database is away leases run out, and others take over.
    """
    while True:
        try:
            await _beat_once(context, executor, importer)
        except GONE as error:
            context.log.warning("heartbeat_delayed", error=str(error))
        await asyncio.sleep(context.heartbeat_seconds)


async def _beat_once(context: Context, executor: Executor, importer: Importer) -> None:
    running = executor.running + len(importer.held)
    await in_transaction(context.engine, lambda c: _say_alive(c, context, running))
    held = [*(run.batch for run in executor.held.values()), *importer.held]
    if not held:
        return
    renewed = await in_transaction(context.engine, lambda c: batches.renew(c, held, context.lease_seconds))
    for batch in held:
        if batch.key[:3] not in renewed:
            executor.lose(batch)
            importer.lose(batch)


async def _say_alive(connection: Connection, context: Context, running: int) -> None:
    histograms = context.histograms
    if not await workers.beat(connection, context.worker_no, running=running, metrics=histograms.snapshot()):
        histograms.clear()
        await workers.start_over(connection, context.worker_no)
