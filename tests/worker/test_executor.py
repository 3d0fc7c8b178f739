"""Running batches: what a batch takes of the worker's room is given back once, whatever ends first."""

import asyncio
from types import SimpleNamespace
from typing import Any

import structlog

from db.batches import ClaimedBatch
from domain.normalize import normalize
from domain.outcome import Completed, Outcome
from runtime.histograms import Histograms
from tests.support.configurations import REGISTRY
from tests.support.jobs import job_body
from worker.inference.executor import Executor
from worker.inference.runner import InferenceRunner
from worker.inference.runs_in_hand import INSTANT_CELLS
from worker.inference.start_log import StartLog
from worker.inference.writer import Writer
from worker.providers.protocol import Call
from worker.runner import Wakes

CELLS = 3
CALLS = 10


class HeldProvider:
    """Answers each call once it may."""

    name = "held"
    makes_calls = False

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.is_done = asyncio.Event()
        self.calls = 0
        self.job_nos: set[int] = set()

    async def answer(self, call: Call) -> Outcome:
        self.calls += 1
        self.job_nos.add(call.cell.job_no)
        self.is_asked.set()
        await self.may_answer.wait()
        if self.calls == CELLS:
            self.is_done.set()
        return Completed(call.question)

    async def aclose(self) -> None:
        return None


POOLS = {("p", "us-east"): [1]}


def context_of(provider: HeldProvider) -> Any:
    return SimpleNamespace(
        engine=None,
        serving=SimpleNamespace(called=POOLS, instant=POOLS, identity_nos_by_pool={("p", "us-east"): [1]}),
        concurrency=CALLS,
        histograms=Histograms(),
        log=structlog.stdlib.get_logger(),
        provider_of=lambda _: provider,
    )


def executor_of(provider: HeldProvider) -> Executor:
    context = context_of(provider)
    return Executor(context, Writer(context, lambda _: None, lambda _: None), StartLog(context))


def batch(permits: int = 0) -> ClaimedBatch:
    return ClaimedBatch(
        job_no=1,
        batch_no=1,
        wave_no=1,
        next_batch_no=None,
        provider="p",
        region="us-east",
        region_no=0,
        fence=1,
        holder=1,
        virtual_finish_time=0,
        waited_seconds=0.0,
        claimed_at=0.0,
        model_nos=[0] * CELLS,
        question_nos=list(range(CELLS)),
        attempts=[0] * CELLS,
        forgiven=[0] * CELLS,
        key_nos=[0] * CELLS,
        marked=[False] * CELLS,
        identity_no=1,
        permits=permits,
    )


def start(executor: Executor, held: ClaimedBatch) -> None:
    executor.start([held], {held.job_no: normalize(job_body(questions=CELLS), REGISTRY).spec})


async def test_a_batch_that_is_lost_while_it_is_answered_gives_its_room_back_once() -> None:
    provider = HeldProvider()
    executor, held = executor_of(provider), batch()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(executor.run())
        start(executor, held)
        await provider.is_asked.wait()
        assert executor.in_hand.room_for_cells == INSTANT_CELLS - CELLS
        executor.lose(held)
        executor.release(held)
        provider.may_answer.set()
        await provider.is_done.wait()
        running.cancel()
    assert executor.in_hand.room_for_cells == INSTANT_CELLS
    assert executor.in_hand.permits == 0
    assert executor.held == []


async def test_a_batch_that_is_lost_while_its_calls_are_out_gives_their_permits_back() -> None:
    provider = HeldProvider()
    executor, held = executor_of(provider), batch(permits=2)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(executor.run())
        start(executor, held)
        await provider.is_asked.wait()
        executor.grow(held, 1)
        assert executor.in_hand.room_for_calls == CALLS - 3
        executor.lose(held)
        executor.release(held)
        executor.grow(held, 1)
        await executor.emptied()
        running.cancel()
    assert executor.in_hand.room_for_calls == CALLS
    assert executor.in_hand.permits == 0


async def test_a_batch_that_is_lost_before_it_begins_makes_no_call() -> None:
    provider = HeldProvider()
    executor, lost, kept = executor_of(provider), batch(), batch(permits=1)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        start(executor, lost)
        executor.lose(lost)
        kept.job_no = 2
        start(executor, kept)
        running = group.create_task(executor.run())
        await provider.is_asked.wait()
        assert provider.job_nos == {2}
        running.cancel()
    assert executor.in_hand.room_for_cells == INSTANT_CELLS


async def test_under_a_configuration_that_serves_a_provider_again_there_is_room_again() -> None:
    """The last batch ended while none was served; the worker reads no envelopes until there is room."""
    context = context_of(HeldProvider())
    runner = InferenceRunner(context, Wakes(all_kinds=lambda: None, own_kind=lambda: None))
    held = batch(permits=CELLS)
    runner._executor.start([held], {held.job_no: normalize(job_body(questions=CELLS), REGISTRY).spec})
    context.serving.called = context.serving.instant = {}
    runner.release(held)
    assert not runner.has_room
    context.serving.called = POOLS
    runner.look()
    assert runner.has_room
    async with asyncio.timeout(5):
        await runner.room_to_plan()
