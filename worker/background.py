"""A worker's background services side by side, and the order in which they stop."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from broker import envelopes
from broker.envelopes import BrokerError
from db import batches, leadership, workers
from db.engine import UNAVAILABLE, Connection, in_transaction
from runtime.tasks import end_tasks
from worker import heartbeat
from worker.broker_watch import BrokerWatch
from worker.claimer import Claimer
from worker.configuration import Follower
from worker.consumer import Consumer
from worker.context import Context
from worker.lease_monitor import LeaseMonitor
from worker.reconciler import Reconciler
from worker.runner import Task, WorkerKind

LEAVE_SECONDS = 1.0
RELEASE_SECONDS = 2.0
"""The part of the grace period that is reserved for releasing batches that didn't end in time."""


class Worker:
    """A worker. Services that take work stop first; services that end work go on until it is recorded or released."""

    def __init__(self, context: Context, follower: Follower, kinds: Sequence[WorkerKind]) -> None:
        self._context = context
        self._follower = follower
        self._claimer = Claimer(context)
        self._runners = [self._claimer.open_runner(kind) for kind in kinds]
        self._lease_monitor = LeaseMonitor(
            context,
            self._runners,
            on_notice=self._wake,
            on_left={
                kind.left_notice: partial(self._claimer.wake_by_another, kind.stored.name)
                for kind in kinds
                if kind.left_notice is not None
            },
            on_configuration=context.served.is_stale.set,
        )
        self._consumer = Consumer(context, self._runners, self._claimer)
        self._reconciler = Reconciler(context, self._consumer, self._wake)
        self._broker_watch = BrokerWatch(context, self._consumer.look)

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, then end or release the batches in hand."""
        self._context.log.info("worker_started", worker_no=self._context.worker_no)
        async with asyncio.TaskGroup() as services:  # if a service fails, all stop, the heartbeat too
            takers = [
                services.create_task(self._consumer.run(), name="consumer"),
                services.create_task(self._claimer.run(), name="claimer"),
                services.create_task(self._reconciler.run(), name="reconciler"),
                services.create_task(self._broker_watch.run(), name="broker watch"),
                services.create_task(
                    self._follower.run(
                        every_seconds=self._context.heartbeat_seconds,
                        look=self._look_at_everything,
                        stop=stopping.set,
                    ),
                    name="configuration",
                ),
                *_created(services, [runner.taking for runner in self._runners]),
            ]
            enders = [
                *_created(services, [runner.ending for runner in self._runners]),
                services.create_task(heartbeat.keep_leases(self._context, self._runners), name="leases"),
                services.create_task(heartbeat.beat(self._context, self._runners, self._wake), name="heartbeat"),
                services.create_task(self._lease_monitor.run(), name="lease monitor"),
                services.create_task(self._lease_monitor.listen(), name="notices"),
            ]
            await stopping.wait()
            await end_tasks(takers)
            for runner in self._runners:
                runner.drain()
            await self._end_in_time()
            await end_tasks(enders)
        await self._leave()

    def _wake(self) -> None:
        self._claimer.wake()
        for runner in self._runners:
            runner.look()

    async def _look_at_everything(self) -> None:
        """Look at all waiting work: another configuration, or moving jobs to it, may allow held work."""
        self._wake()
        await self._consumer.look()

    async def _end_in_time(self) -> None:
        grace = max(0.0, self._context.shutdown_seconds - RELEASE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                for runner in self._runners:
                    await runner.emptied()
        for runner in self._runners:
            for batch in runner.held:
                runner.release(batch)
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._release_all()
        except (*UNAVAILABLE, TimeoutError) as error:
            self._context.log.warning("not_handed_back", error=str(error))

    async def _release_all(self) -> None:
        """Release all of this worker's batches in the database: a claim may have been cancelled after its commit."""
        for runner in self._runners:
            await runner.recorded()
        returned = await in_transaction(self._context.engine, lambda c: batches.release_all(c, self._context.worker_no))
        if returned:
            self._context.log.info("handed_back", batches=len(returned))
        await self._claimer.announce_all()

    async def _leave(self) -> None:
        async def stop(connection: Connection) -> None:
            await leadership.release(connection, self._context.worker_no)
            await workers.stop(connection, self._context.worker_no, metrics=self._context.histograms.snapshot())

        with suppress(*UNAVAILABLE, BrokerError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await in_transaction(self._context.engine, stop)
                await envelopes.forget(self._context.redis, self._context.worker_id)
        self._context.log.info("worker_stopped")


def _created(group: asyncio.TaskGroup, tasks: Iterable[Mapping[str, Task]]) -> list[asyncio.Task[None]]:
    return [group.create_task(task(), name=name) for named in tasks for name, task in named.items()]
