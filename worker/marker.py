"""Start marks: commits, before a call that must not be made twice, that it is made; many calls in one transaction."""

import asyncio
from typing import NamedTuple

from db import marks
from db.batches import ClaimedBatch
from db.engine import GONE, REFUSED, UNFIT, in_transaction
from domain.calls import Cell
from worker.context import Context

PATIENCE_SECONDS = 0.2


class _Request(NamedTuple):
    batch: ClaimedBatch
    cell: Cell
    may_ask: "asyncio.Future[bool]"


class Marker:
    """Takes requests for start marks and answers them, all that wait at once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: list[_Request] = []
        self._arrived = asyncio.Event()

    async def mark(self, batch: ClaimedBatch, cell: Cell) -> bool:
        """Mark a cell as started; return whether it may be asked: not if the lease is lost."""
        request = _Request(batch, cell, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._arrived.set()
        return await request.may_ask

    async def run(self) -> None:
        """Mark until cancelled. A database that is away delays calls; none is made without its mark."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            taken = [request for request in self._waiting if not request.may_ask.done()]
            self._waiting = []
            marked = await self._mark([(request.batch, request.cell) for request in taken]) if taken else set()
            for request in taken:
                if not request.may_ask.done():
                    request.may_ask.set_result(request.cell in marked)

    async def _mark(self, cells: list[tuple[ClaimedBatch, Cell]]) -> set[Cell]:
        while True:
            try:
                return await in_transaction(self._context.engine, lambda c: marks.mark_started(c, cells))
            except UNFIT:
                self._context.log.exception("marks_refused", cells=len(cells))
                return set()
            except (*GONE, *REFUSED) as error:
                self._context.log.warning("marks_delayed", error=str(error), cells=len(cells))
                await asyncio.sleep(PATIENCE_SECONDS)
