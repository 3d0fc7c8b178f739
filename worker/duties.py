"""A worker's duties side by side, and the order in which they stop."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from broker import envelopes
from broker.envelopes import BrokerError
from db import batches, leadership, workers
from db.engine import GONE, Connection, in_transaction
from runtime.tasks import end_tasks
from worker import heartbeat
from worker.broker_watch import BrokerWatch
from worker.claimer import Claimer
from worker.configuration import Follower
from worker.consumer import Consumer
from worker.context import Context
from worker.reconciler import Reconciler
from worker.runner import Task, WorkerKind
from worker.watch import Watch

LEAVE_SECONDS = 1.0
HAND_BACK_SECONDS = 2.0
"""Kept of the grace period for handing back what didn't end in time."""


class Worker:
    """One worker. Duties that take work stop first; those that end it go on until it is recorded or handed back."""

    def __init__(self, context: Context, follower: Follower, kinds: Sequence[WorkerKind]) -> None:
        self._context = context
        self._follower = follower
        self._claimer = Claimer(context)
        self._runners = [self._claimer.open_runner(kind) for kind in kinds]
        self._watch = Watch(
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
        """Work until `stopping` is set, then end or hand back what is in hand."""
        self._context.log.info("worker_started", worker_no=self._context.worker_no)
        async with asyncio.TaskGroup() as duties:  # one for all: when one fails, no heart goes on to beat for the rest
            takers = [
                duties.create_task(self._consumer.run(), name="consumer"),
                duties.create_task(self._claimer.run(), name="claimer"),
                duties.create_task(self._reconciler.run(), name="reconciler"),
                duties.create_task(self._broker_watch.run(), name="broker watch"),
                duties.create_task(
                    self._follower.run(
                        every_seconds=self._context.heartbeat_seconds,
                        on_changed=self._look_anew,
                        stop=stopping.set,
                    ),
                    name="configuration",
                ),
                *_created(duties, [runner.taking for runner in self._runners]),
            ]
            enders = [
                *_created(duties, [runner.ending for runner in self._runners]),
                duties.create_task(heartbeat.keep_leases(self._context, self._runners), name="leases"),
                duties.create_task(heartbeat.say_alive(self._context, self._runners), name="heartbeat"),
                duties.create_task(self._watch.run(), name="watch"),
                duties.create_task(self._watch.listen(), name="notices"),
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

    async def _look_anew(self) -> None:
        """Look at everything that waits: another configuration may let go on what was held."""
        self._wake()
        await self._consumer.look()

    async def _end_in_time(self) -> None:
        grace = max(0.0, self._context.shutdown_seconds - HAND_BACK_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                for runner in self._runners:
                    await runner.emptied()
        for runner in self._runners:
            for batch in runner.held:
                runner.release(batch)
        try:
            async with asyncio.timeout(HAND_BACK_SECONDS):
                await self._hand_back()
        except (*GONE, TimeoutError) as error:
            self._context.log.warning("not_handed_back", error=str(error))

    async def _hand_back(self) -> None:
        """Give back all that the register says this worker holds: a claim may have been cut off after its commit."""
        for runner in self._runners:
            await runner.recorded()
        returned = await in_transaction(self._context.engine, lambda c: batches.hand_back(c, self._context.worker_no))
        if returned:
            self._context.log.info("handed_back", batches=len(returned))
        await self._claimer.announce_all()

    async def _leave(self) -> None:
        async def stop(connection: Connection) -> None:
            await leadership.release(connection, self._context.worker_no)
            await workers.stop(connection, self._context.worker_no, metrics=self._context.histograms.snapshot())

        with suppress(*GONE, BrokerError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await in_transaction(self._context.engine, stop)
                await envelopes.forget(self._context.redis, self._context.worker_id)
        self._context.log.info("worker_stopped")


def _created(group: asyncio.TaskGroup, tasks: Iterable[Mapping[str, Task]]) -> list[asyncio.Task[None]]:
    return [group.create_task(task(), name=name) for named in tasks for name, task in named.items()]
