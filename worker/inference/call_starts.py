"""Showing the starts of calls in flight; only of slow calls, so that quick ones cost nothing."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from db import call_starts
from db.call_starts import ShownCall
from db.engine import REJECTED, UNAVAILABLE, in_transaction
from domain.calls import Cell
from worker.context import Context
from worker.inference.executor import Executor
from worker.inference.runs import BatchRun

LOOK_SECONDS = 0.25
SHOWN_SECONDS = 0.25
"""Calls in flight for this long are shown; a statement writes 100 of them in 0.8 ms (2026-11-29)."""


async def show_call_starts(context: Context, executor: Executor) -> None:
    """Show the starts of calls in flight, until cancelled. The heartbeat reports an unavailable database."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        runs = [run for run in executor.in_hand.runs if run.makes_calls and not run.logs_starts]
        calls = [call for run in runs for call in _to_show(run)]
        if not calls:
            continue
        try:
            with suppress(*UNAVAILABLE):
                shown = await in_transaction(context.claims, partial(call_starts.show_calls, calls=calls))
                _note(runs, shown & {call.cell for call in calls if call.started_us is not None})
        except REJECTED as error:
            context.log.warning("call_starts_refused", cells=len(calls), error=str(error))


def _to_show(run: BatchRun) -> Sequence[ShownCall]:
    """Return a batch's slow calls that aren't shown yet.

    A batch may still show calls of an earlier holder, so the first look clears its other cells.
    """
    latest_us = run.clock_us() - round(SHOWN_SECONDS * 1_000_000)
    starts = {
        index: started_us
        for index, started_us in run.asked.items()
        if started_us <= latest_us and index not in run.shown
    }
    cleared = () if run.is_cleared or run.batch.fence == 1 else range(len(run.batch.attempts))
    run.is_cleared = True
    return [
        ShownCall(run.batch, run.cell(index), starts.get(index), run.batch.attempts[index])
        for index in sorted({*starts, *cleared})
    ]


def _note(runs: Sequence[BatchRun], shown: set[Cell]) -> None:
    for run in runs:
        run.shown.update(index for index in run.asked if run.cell(index) in shown)
