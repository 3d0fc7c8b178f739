"""The start log: commits the starts of calls that must not be repeated, before the calls, many in one transaction."""

import asyncio
from typing import NamedTuple

from db import call_starts
from db.batches import ClaimedBatch
from db.engine import INVALID_DATA, REJECTED, UNAVAILABLE, in_transaction
from domain.calls import Cell
from runtime.retrying import retry
from worker.context import Context

RETRY_SECONDS = 0.2


class _Request(NamedTuple):
    batch: ClaimedBatch
    cell: Cell
    may_start: "asyncio.Future[bool]"


class StartLog:
    """Logs starts; answers all waiting requests together."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: list[_Request] = []
        self._arrived = asyncio.Event()

    async def add(self, batch: ClaimedBatch, cell: Cell) -> bool:
        """Log the start of a cell's call; return whether the call may be made: not if the lease is lost."""
        request = _Request(batch, cell, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._arrived.set()
        return await request.may_start

    async def run(self) -> None:
        """Log until cancelled. While the database is unavailable calls wait; none is made without its start."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            taken = [request for request in self._waiting if not request.may_start.done()]
            self._waiting = []
            logged = await self._log([(request.batch, request.cell) for request in taken]) if taken else set()
            for request in taken:
                if not request.may_start.done():
                    request.may_start.set_result(request.cell in logged)

    async def _log(self, cells: list[tuple[ClaimedBatch, Cell]]) -> set[Cell]:
        try:
            return await retry(
                lambda: in_transaction(self._context.engine, lambda c: call_starts.mark_started(c, cells)),
                on=(*UNAVAILABLE, *REJECTED),
                but_not=INVALID_DATA,
                delay_seconds=RETRY_SECONDS,
                log_delay=lambda error: self._context.log.warning("marks_delayed", error=str(error), cells=len(cells)),
            )
        except INVALID_DATA:
            self._context.log.exception("marks_refused", cells=len(cells))
            return set()
