"""A worker's duties side by side, and the order in which they stop."""

import asyncio
from contextlib import suppress

from broker import envelopes
from broker.envelopes import BrokerError
from db import batches, leadership, workers
from db.engine import GONE, Connection, in_transaction
from db.importing import ImportRecorded
from db.results import Recorded
from runtime.tasks import end_tasks
from worker import heartbeat
from worker.broker_watch import BrokerWatch
from worker.call_starts import show_call_starts
from worker.claimer import Claimer
from worker.configuration import Follower
from worker.consumer import Consumer
from worker.context import Context
from worker.coordinator import Coordinator
from worker.executor import Executor
from worker.import_coordinator import ImportCoordinator
from worker.importer import Importer
from worker.loader import Loader
from worker.reconciler import Reconciler
from worker.specs import Specs
from worker.start_log import StartLog
from worker.watch import Watch
from worker.writer import Writer

LEAVE_SECONDS = 1.0
HAND_BACK_SECONDS = 2.0
"""Kept of the grace period for handing back what didn't end in time."""


class Worker:
    """One worker. Duties that take work stop first; those that end it go on until it is recorded or handed back."""

    def __init__(self, context: Context, follower: Follower) -> None:
        self._context = context
        self._follower = follower
        specs = Specs(context.engine)
        self._writer = Writer(context, self._on_recorded, self._on_refused)
        self._start_log = StartLog(context)
        self._executor = Executor(context, self._writer, self._start_log)
        self._loader = Loader(context, self._on_loaded)
        self._importer = Importer(context, self._loader, self._on_half_read)
        self._claimer = Claimer(context, self._executor, self._importer, specs)
        self._import_coordinator = ImportCoordinator(context, self._claimer.wake)
        self._watch = Watch(
            context,
            self._executor,
            self._importer,
            on_notice=self._wake,
            on_imports=self._claimer.wake_by_another,
            on_configuration=context.served.is_stale.set,
        )
        self._consumer = Consumer(
            context,
            coordinator=Coordinator(context),
            imports=self._import_coordinator,
            claimer=self._claimer,
            executor=self._executor,
            specs=specs,
        )
        self._reconciler = Reconciler(context, self._consumer, self._wake)
        self._broker_watch = BrokerWatch(context, self._consumer.look)

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, then end or hand back what is in hand."""
        self._context.log.info("worker_started", worker_no=self._context.worker_no)
        async with asyncio.TaskGroup() as duties:  # one for all: when one fails, no heart goes on to beat for the rest
            takers = [
                duties.create_task(self._consumer.run(), name="consumer"),
                duties.create_task(self._claimer.run(), name="claimer"),
                duties.create_task(self._reconciler.run(), name="reconciler"),
                duties.create_task(self._broker_watch.run(), name="broker watch"),
                duties.create_task(self._import_coordinator.run(), name="import coordinator"),
                duties.create_task(
                    self._follower.run(
                        every_seconds=self._context.heartbeat_seconds,
                        on_changed=self._look_anew,
                        stop=stopping.set,
                    ),
                    name="configuration",
                ),
            ]
            enders = [
                duties.create_task(self._executor.run(), name="executor"),
                duties.create_task(self._writer.run(), name="writer"),
                duties.create_task(self._start_log.run(), name="start log"),
                duties.create_task(self._importer.run(), name="importer"),
                duties.create_task(self._loader.run(), name="loader"),
                duties.create_task(heartbeat.keep_leases(self._context, self._executor, self._importer), name="leases"),
                duties.create_task(
                    heartbeat.say_alive(self._context, self._executor, self._importer), name="heartbeat"
                ),
                duties.create_task(show_call_starts(self._context, self._executor), name="call starts"),
                duties.create_task(self._watch.run(), name="watch"),
                duties.create_task(self._watch.listen(), name="notices"),
            ]
            await stopping.wait()
            await end_tasks(takers)
            self._executor.drain()
            self._importer.drain()
            await self._end_in_time()
            await end_tasks(enders)
        await self._leave()

    def _on_recorded(self, recorded: Recorded) -> None:
        """Let go of batches whose end is recorded, and of stale ones; look for more."""
        for settlement in (*recorded.settled, *recorded.stale):
            if settlement.refusal is not None:
                self._executor.hear_of_gate(settlement.batch.pool)
        for settlement in recorded.settled:
            if settlement.status != "running":
                self._executor.release(settlement.batch)
        for settlement in recorded.stale:
            self._executor.lose(settlement.batch)
            self._executor.release(settlement.batch)
        if recorded.stale or any(one.freed_slots or one.status != "running" for one in recorded.settled):
            self._claimer.wake_for_cells()

    def _on_loaded(self, recorded: ImportRecorded) -> None:
        """Let go of batches whose end is recorded, and of stale ones; look for more."""
        for settlement in (*recorded.settled, *recorded.stale):
            self._importer.release(settlement.batch)
        self._claimer.wake()
        if any(job.status != "running" for job in recorded.jobs):
            self._import_coordinator.wake()  # another import may have waited for the end of this one

    def _on_half_read(self) -> None:
        self._claimer.wake()

    def _wake(self) -> None:
        self._claimer.wake()
        self._import_coordinator.wake()

    async def _look_anew(self) -> None:
        """Look at everything that waits: another configuration may let go on what was held."""
        self._claimer.wake()
        self._import_coordinator.wake()
        await self._consumer.look()

    def _on_refused(self, batch: batches.ClaimedBatch) -> None:
        """Leave a batch whose results can't be recorded to its lease."""
        self._executor.hear_of_gate(batch.pool)
        self._executor.release(batch)
        self._claimer.wake()

    async def _end_in_time(self) -> None:
        grace = max(0.0, self._context.shutdown_seconds - HAND_BACK_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._executor.emptied()
                await self._importer.emptied()
        for batch in self._executor.held:
            self._executor.release(batch)
        for batch in self._importer.held:
            self._importer.release(batch)
        try:
            async with asyncio.timeout(HAND_BACK_SECONDS):
                await self._hand_back()
        except (*GONE, TimeoutError) as error:
            self._context.log.warning("not_handed_back", error=str(error))

    async def _hand_back(self) -> None:
        """Give back all that the register says this worker holds: a claim may have been cut off after its commit."""
        await self._writer.drain()
        returned = await in_transaction(self._context.engine, lambda c: batches.hand_back(c, self._context.worker_no))
        if returned:
            self._context.log.info("handed_back", batches=len(returned))
        serving = self._context.serving
        await self._claimer.ring((*serving.cell_identity_nos, *serving.import_identity_nos))

    async def _leave(self) -> None:
        async def stop(connection: Connection) -> None:
            await leadership.release(connection, self._context.worker_no)
            await workers.stop(connection, self._context.worker_no, metrics=self._context.histograms.snapshot())

        with suppress(*GONE, BrokerError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await in_transaction(self._context.engine, stop)
                await envelopes.forget(self._context.redis, self._context.worker_id)
        self._context.log.info("worker_stopped")
