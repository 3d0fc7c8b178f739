"""Rejected specs: entered into the ledger in groups, so that they don't queue for the row of a counter."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from db import counters
from db.counters import increment
from db.engine import QUICK_SECONDS, Connection, Engine, in_transaction
from db.ledger import LedgerRow, insert_ledger_rows
from domain.errors import BreakwaterError
from runtime.metrics import JOBS_SUBMITTED
from submissions.submission import Sender

GROUP = 500


@dataclass(frozen=True, slots=True)
class _Rejection:
    row: LedgerRow
    entered: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class RejectionLedger:
    """Enters rejections; those that arrive during a transaction are entered together in the next transaction."""

    def __init__(self, engine: Engine, *, worker_no: Callable[[], Awaitable[int]]) -> None:
        self._engine = engine
        self._worker_no = worker_no
        self._waiting: list[_Rejection] = []
        self._arrived = asyncio.Event()

    async def enter(self, tenant_no: int, sender: Sender, error: BreakwaterError, key: str | None) -> None:
        """Enter a well-formed submission that was rejected; return once its row is committed.

        Raises the errors of the database, UNAVAILABLE among them.
        """
        rejection = _Rejection(_row(tenant_no, sender, error, key))
        self._waiting.append(rejection)
        self._arrived.set()
        await rejection.entered

    async def run(self) -> None:
        """Enter groups until cancelled."""
        while True:
            await self._arrived.wait()
            group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
            if not self._waiting:
                self._arrived.clear()
            try:
                await self._enter(group)
            except Exception as error:  # noqa: BLE001 - raised to the waiting callers; the loop must go on
                for rejection in group:
                    if not rejection.entered.done():
                        rejection.entered.set_exception(error)

    async def _enter(self, group: Sequence[_Rejection]) -> None:
        worker_no = await self._worker_no()
        counted = increment(JOBS_SUBMITTED.name, len(group), kind="unknown", outcome="rejected")

        async def unit(connection: Connection) -> None:
            await insert_ledger_rows(connection, [rejection.row for rejection in group])
            await counters.add(connection, worker_no, [counted])

        await in_transaction(self._engine, unit, seconds=QUICK_SECONDS)
        for rejection in group:
            if not rejection.entered.done():
                rejection.entered.set_result(None)


def _row(tenant_no: int, sender: Sender, error: BreakwaterError, key: str | None) -> LedgerRow:
    return LedgerRow(
        tenant_no=tenant_no,
        job_no=None,
        kind=None,
        outcome="rejected",
        reason=error.code,
        matched_on=None,
        status_code=422,
        idempotency_key=key,
        client=sender.client,
        user_agent=sender.user_agent,
        request_id=sender.request_id,
        submitted_by=sender.by,
        session_id=sender.session_id,
    )
